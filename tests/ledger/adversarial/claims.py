"""Redemptions: T9, R6, R12."""

from typing import Any

import msgspec

from ledger.encoding.codec import FEN_MAX
from ledger.encoding.crypto import sha256
from ledger.rules.centres import ACCREDITATIONS, RECOGNITIONS, Devices
from ledger.rules.claims import CLAIMS, REDEEMED, Line
from ledger.rules.invoices import CONTRACT_PAID, DAY_GPU_MS, Contract, Usage
from ledger.rules.parties import PARTIES
from ledger.rules.programmes import Review
from ledger.rules.redemptions import GrantAfterUse
from ledger.rules.reserves import GRACE_MS
from ledger.rules.sums import Amount
from ledger.rules.vouchers import GROUP_ISSUED, ISSUED
from tests.builders import NOON_MS, criterion, no_caps, seed
from tests.ledger.adversarial.case import (
    BOTH,
    CLAIM,
    DAY_MS,
    EVER_MS,
    FOR_LONG,
    GRANTED,
    HOST_PAYS,
    PROGRAMME,
    RESERVE,
    TODAY,
    V1,
    V2,
    Case,
    Step,
    accredit,
    appropriate,
    attest,
    credit,
    decide,
    doctored,
    enrol,
    mint,
    missing,
    no,
    ok,
    publish,
    rate,
    recognise,
    recover,
    redeem,
    set_aside,
    set_hold,
    suspended,
    together,
    written,
)
from tests.ledger.adversarial.programmes import APPROPRIATED

replace = msgspec.structs.replace
OWNER = (("firm-a", "owner"),)
CENTRE = (("guian-hub", "officer-1"),)
EXPIRY_MS = NOON_MS + 10 * DAY_MS + GRACE_MS
"""When a reserve of the setting is no longer good."""
SET_ASIDE = (GRANTED, set_aside(V1, 1_000))
SUSPENDED = publish(status="suspended")
CLOSED = publish(status="closed")


def claim(amount: int = 100, **changes: Any) -> Step:
    """Return a claim of holder and centre; the invoice is ten times as large."""
    return redeem((V1, amount), **changes)


def alone(amount: int = 100, voucher: str = V1, reserve: str = RESERVE, **changes: Any) -> Step:
    """Return a claim that the centre makes alone under a reserve."""
    line = Line(voucher=voucher, amount=amount, reserve=(reserve,))
    return redeem((voucher, amount), lines=(line,), **{"by": CENTRE, **changes})


def usage(chip: str = "ascend-910b", day: int = TODAY, gpu_ms: int = 1) -> Usage:
    return Usage(chip=chip, day=day, gpu_ms=gpu_ms, energy_wh=0)


def caps(**changes: tuple[int]) -> dict[str, Any]:
    return {"caps": no_caps(**changes)}


# Grants after use

AFTER: dict[str, Any] = {"grant": "after_use", "transfer": "none"}
CONTRACT = Contract(tag=seed("contract"), amount=10_000, start_day=TODAY, end_day=TODAY + 100)
C = CONTRACT.tag.hex()


def after_use(amount: int = 100, programme: str = PROGRAMME, **changes: Any) -> Step:
    """Return a claim that asks for a grant after use."""
    version = changes.pop("terms_version", 1)
    grant = GrantAfterUse(programme=programme, terms_version=version, amount=amount)
    values: dict[str, Any] = {"grant": (grant,), "net": amount * 10, "contract": (CONTRACT,)}
    return redeem(**(values | changes))


# A second programme, whose vouchers may pay the same invoice

SECOND = "shanghai.second"
S1 = f"{SECOND}.000000001"


def stacked(**terms: Any) -> tuple[Step, ...]:
    """Return a second programme with money and a voucher of each firm, and a first claim."""
    return (
        publish(programme=SECOND, **{"stackable": (PROGRAMME,), **terms}),
        appropriate(programme=SECOND),
        recognise(programmes=(SECOND,)),
        mint(("firm-a", 10_000), ("firm-b", 10_000), programme=SECOND),
        GRANTED,
        claim(),
    )


STACKABLE: dict[str, Any] = {"stackable": (SECOND,)}
STACKED = stacked()


def again(amount: int = 100, voucher: str = S1, **changes: Any) -> Step:
    """Return a claim on the first claim's invoice."""
    return redeem((voucher, amount), **{"net": 1_000, **changes})


BY_ORIGIN = (rate(3_000, chip_origin="domestic"), rate(2_000, chip_origin="foreign"))
ONE_GROUP = together(
    doctored(PARTIES, "firm-a", control_group="g"),
    doctored(PARTIES, "guian-hub", control_group="g"),
)
APART: dict[str, Any] = {"eligibility": ((criterion("unrelated_to"),),)}
G = sha256(b"g").hex()
NEARLY = Amount(fen=FEN_MAX - 99)


def tariff(ceiling: int, other: int) -> Step:
    """Return an accreditation with the highest price of an hour on both chips."""
    return accredit(
        devices=(
            Devices(chip="ascend-910b", origin="domestic", count=9, tariff_ceiling=ceiling),
            Devices(chip="nvidia-a100", origin="foreign", count=9, tariff_ceiling=other),
        )
    )


PARTIES_AND_LINES = [
    no("nobody redeems", "T9.1", "party_unknown", claim(holder="nobody", by=OWNER)),
    no("a treasury redeems", "T9.1", "party_wrong_kind", claim(holder="guiyang", by=OWNER)),
    no("a claim at nobody", "T9.2", "party_unknown", claim(centre="nobody", by=OWNER)),
    no("a claim at a firm", "T9.2", "party_wrong_kind", claim(centre="firm-b", by=OWNER)),
    no(
        "neither vouchers nor a grant",
        "T9.3",
        "lines_or_grant",
        redeem(),
        values={"lines": 0, "grants": 0},
    ),
    no(
        "vouchers and a grant",
        "T9.3",
        "lines_or_grant",
        after_use(lines=(Line(voucher=V1, amount=1, reserve=()),)),
        values={"lines": 1, "grants": 1},
    ),
    no(
        "a voucher named twice",
        "T9.4",
        "repeated_value",
        redeem((V1, 1), (V1, 2)),
        before=(GRANTED,),
        values={"value": V1},
    ),
    no(
        "the holder redeems without the centre",
        "T9.5",
        "signature_missing",
        claim(by=OWNER),
        before=(GRANTED,),
        values={"party": "guian-hub", "needed": 1, "signed": 0},
    ),
    no(
        "the centre redeems without the holder",
        "T9.6",
        "signature_missing",
        claim(by=CENTRE),
        before=(GRANTED,),
        values={"party": "firm-a"},
    ),
    no(
        "the centre redeems a reserve and a voucher alone",
        "T9.6",
        "signature_missing",
        redeem(
            (V1, 200),
            lines=(
                Line(voucher=V1, amount=100, reserve=(RESERVE,)),
                Line(voucher=V2, amount=100, reserve=()),
            ),
            by=CENTRE,
        ),
        before=(*SET_ASIDE, mint(("firm-a", 100))),
    ),
    no(
        "the centre takes a grant alone",
        "T9.6",
        "signature_missing",
        after_use(by=CENTRE),
        terms=AFTER,
    ),
    no(
        "a stopped holder redeems",
        "T9.6",
        "recovery_open",
        claim(),
        before=(GRANTED, recover()),
    ),
    no(
        "a suspended centre redeems",
        "T9.6",
        "party_not_active",
        claim(),
        before=(GRANTED, *suspended("guian-hub")),
    ),
    ok(
        "holder and centre redeem",
        "T9.6",
        claim(),
        before=(GRANTED,),
        wrote=((CLAIMS, (CLAIM,), {"status": "accepted", "holder_signed": True}),),
    ),
    ok(
        "a centre alone redeems what was reserved",
        "T9.6",
        alone(),
        before=SET_ASIDE,
        wrote=((CLAIMS, (CLAIM,), {"status": "under_review", "holder_signed": False}),),
    ),
    ok(
        "a stopped holder's reserve goes to review even if the old key signs",
        "T9.6",
        alone(by=OWNER + CENTRE),
        before=(*SET_ASIDE, recover()),
        wrote=((CLAIMS, (CLAIM,), {"status": "under_review", "holder_signed": False}),),
    ),
    ok(
        "a suspended centre redeems what was reserved",
        "T9.6",
        alone(),
        before=(*SET_ASIDE, *suspended("guian-hub")),
    ),
    no("a claim of no voucher", "T9.7", "voucher_not_held", claim()),
    no(
        "a claim of another's voucher",
        "T9.7",
        "voucher_not_held",
        claim(),
        before=(mint(("firm-b", 1_000)),),
        values={"voucher": V1, "party": "firm-a"},
    ),
    no("a claim of no reserve", "T9.7", "reserve_unknown", alone(), before=(GRANTED,)),
    no(
        "a reserve of another voucher",
        "T9.7",
        "reserve_mismatch",
        alone(voucher=V2),
        before=(*SET_ASIDE, mint(("firm-a", 1_000))),
        values={"reserve": RESERVE, "voucher": V1, "centre": "guian-hub"},
    ),
    no(
        "a reserve for another centre",
        "T9.7",
        "reserve_mismatch",
        alone(centre="chengdu-aicc", by=(("chengdu-aicc", "officer-1"),)),
        before=SET_ASIDE,
    ),
    *(
        no(
            f"a reserve for another {name}",
            "T9.7",
            "reserve_mismatch",
            alone(**dict[str, Any]({name: value})),
            before=SET_ASIDE,
        )
        for name, value in {
            "order": "another job",
            "service_class": "inference",
            "chip": "nvidia-a100",
        }.items()
    ),
    no(
        "vouchers of two versions",
        "T9.8",
        "lines_mixed",
        redeem((V1, 1), (V2, 1)),
        before=(GRANTED, publish(version=2), mint(("firm-a", 500), terms_version=2)),
        values={"first": V1, "second": V2},
    ),
    no(
        "vouchers of two programmes",
        "T9.8",
        "lines_mixed",
        redeem((V1, 1), (S1, 1)),
        before=STACKED,
        values={"first": V1, "second": S1},
    ),
    no(
        "a claim in the first expired millisecond",
        "T9.9",
        "voucher_expired",
        claim(),
        before=(GRANTED, recognise(until_ms=EVER_MS), FOR_LONG),
        values={"voucher": V1, "expires_at_ms": FOR_LONG, "time_ms": FOR_LONG},
    ),
    ok(
        "a claim in the last millisecond",
        "T9.9",
        claim(),
        before=(GRANTED, recognise(until_ms=EVER_MS), FOR_LONG - 1),
    ),
    no(
        "a claim of a fen too much",
        "T9.9",
        "voucher_exhausted",
        claim(10_001),
        before=(GRANTED,),
        values={"asked": 10_001, "available": 10_000},
    ),
    ok("a claim of all", "T9.9", claim(10_000), before=(GRANTED,)),
    no(
        "a reserve in its first expired millisecond",
        "T9.9",
        "reserve_expired",
        alone(),
        before=(*SET_ASIDE, EXPIRY_MS),
        values={"reserve": RESERVE, "until_ms": EXPIRY_MS, "time_ms": EXPIRY_MS},
    ),
    ok("a reserve in its last millisecond", "T9.9", alone(), before=(*SET_ASIDE, EXPIRY_MS - 1)),
    no(
        "a fen more than is left in a reserve",
        "T9.9",
        "reserve_exhausted",
        alone(1_001),
        before=SET_ASIDE,
        values={"asked": 1_001, "available": 1_000},
    ),
    ok("all that is left in a reserve", "T9.9", alone(1_000), before=SET_ASIDE),
    no(
        "a grant of no programme",
        "T9.10",
        "programme_unknown",
        after_use(programme="shanghai.other"),
    ),
    no(
        "a grant of a suspended programme",
        "T9.10",
        "programme_not_open",
        after_use(),
        terms=AFTER,
        before=(publish(status="suspended", **AFTER),),
    ),
    no(
        "a grant under other terms",
        "T9.10",
        "terms_version_wrong",
        after_use(terms_version=2),
        terms=AFTER,
        values={"current": 1, "given": 2},
    ),
    no("a grant where vouchers come first", "T9.10", "grant_not_after_use", after_use()),
    ok("a grant after use", "T9.10", after_use(), terms=AFTER),
    *(
        no(
            f"a claim under a hold on the {scope} {thing}",
            "T9.11",
            "held",
            claim(),
            before=(GRANTED, set_hold(scope, thing, member="audit-office")),
            values={"scope": scope, "id": thing, "hold": "audit-office.000000001"},
        )
        for scope, thing in (
            ("party", "firm-a"),
            ("party", "guian-hub"),
            ("centre", "guian-hub"),
            ("programme", PROGRAMME),
            ("voucher", V1),
        )
    ),
    no(
        "the second voucher is held",
        "T9.11",
        "held",
        redeem((V1, 1), (V2, 1)),
        before=(GRANTED, mint(("firm-a", 5)), set_hold("voucher", V2)),
    ),
    no(
        "a reserved voucher is held",
        "T9.11",
        "held",
        alone(),
        before=(*SET_ASIDE, set_hold("voucher", V1)),
    ),
    no(
        "a claim of a suspended programme",
        "T9.12",
        "programme_not_open",
        claim(),
        before=(GRANTED, SUSPENDED),
        values={"status": "suspended"},
    ),
    ok("a claim of a closed programme", "T9.12", claim(), before=(GRANTED, CLOSED)),
    ok("what was reserved before a suspension", "T9.12", alone(), before=(*SET_ASIDE, SUSPENDED)),
    no(
        "a centre without accreditation",
        "T9.13",
        "centre_not_accredited",
        claim(centre="chengdu-aicc"),
        before=(GRANTED,),
        values={"centre": "chengdu-aicc"},
    ),
    no(
        "a host that was never recognised",
        "T9.13",
        "centre_not_accepted",
        claim(),
        before=(GRANTED,),
        doctor=missing(RECOGNITIONS, PROGRAMME, "guiyang"),
    ),
    no(
        "a centre whose accreditation ended",
        "T9.13",
        "centre_not_accredited",
        claim(),
        before=(GRANTED, accredit(ended=True)),
    ),
    no(
        "a reserve at a centre that lost its record",
        "T9.13",
        "centre_not_accredited",
        alone(),
        before=SET_ASIDE,
        doctor=missing(ACCREDITATIONS, "guian-hub"),
    ),
    ok(
        "what was reserved before an accreditation ended",
        "T9.13",
        alone(),
        before=(*SET_ASIDE, accredit(ended=True), recognise(until_ms=NOON_MS)),
    ),
    no(
        "holder and centre in one group",
        "T9.14",
        "related_parties",
        claim(),
        terms=APART,
        before=(GRANTED,),
        doctor=ONE_GROUP,
        values={"holder": "firm-a", "centre": "guian-hub", "group": "g"},
    ),
    ok(
        "holder and centre in two groups",
        "T9.14",
        claim(),
        terms=APART,
        before=(GRANTED, attest("firm-a", "unrelated_to")),
        doctor=together(
            doctored(PARTIES, "firm-a", control_group="g"),
            doctored(PARTIES, "guian-hub", control_group="h"),
        ),
    ),
    ok(
        "one group where nobody asks",
        "T9.14",
        claim(),
        before=(GRANTED,),
        doctor=ONE_GROUP,
    ),
    no(
        "a grant to who is not eligible",
        "T9.15",
        "not_eligible",
        after_use(),
        terms={**AFTER, "eligibility": ((criterion("clean_record"),),)},
    ),
]

INVOICES = [
    no(
        "a base a fen above the bill",
        "T9.16",
        "base_exceeds_net",
        claim(net=1_000, base=1_001),
        before=(GRANTED,),
        values={"base": 1_001, "net": 1_000},
    ),
    ok("a base of the whole bill", "T9.16", claim(net=1_000, base=1_000), before=(GRANTED,)),
    no(
        "an invoice that was claimed",
        "T9.17",
        "invoice_used",
        claim(200, net=1_000),
        before=(GRANTED, claim()),
        values={"claim": CLAIM},
    ),
    ok("an invoice that both programmes share", "T9.17", again(), terms=STACKABLE, before=STACKED),
    ok(
        "an invoice whose claim was rejected",
        "T9.17",
        claim(200, net=1_000),
        terms={"review": Review(automatic_band=0, sample_every=0)},
        before=(GRANTED, claim(), decide(CLAIM, 0)),
    ),
    ok(
        "an invoice written afresh after its claim was rejected",
        "T9.17",
        claim(200, net=5_000),
        terms={"review": Review(automatic_band=0, sample_every=0)},
        before=(GRANTED, claim(), decide(CLAIM, 0)),
    ),
    no(
        "the first programme does not share",
        "T9.17",
        "programmes_not_stackable",
        again(),
        before=STACKED,
        values={"first": PROGRAMME, "second": SECOND},
    ),
    no(
        "the second programme does not share",
        "T9.17",
        "programmes_not_stackable",
        again(),
        terms=STACKABLE,
        before=stacked(stackable=()),
    ),
    *(
        no(
            f"an invoice again with another {field}",
            "T9.17",
            "invoice_differs",
            again(**changes),
            terms=STACKABLE,
            before=(*STACKED, accredit("chengdu-aicc")),
            values={"claim": CLAIM, "field": field},
        )
        for field, changes in (
            ("centre", {"centre": "chengdu-aicc"}),
            ("holder", {"voucher": f"{SECOND}.000000002", "holder": "firm-b"}),
            ("net", {"net": 1_001, "base": 1_000}),
            ("base", {"base": 999}),
            ("usage", {"usage": (usage(),)}),
        )
    ),
    no("no device time", "T9.18", "usage_missing", claim(usage=()), before=(GRANTED,)),
    no(
        "a chip that the centre does not have",
        "T9.18",
        "chip_not_accredited",
        claim(chip="nvidia-h100"),
        before=(GRANTED,),
    ),
    no(
        "tomorrow's device time",
        "T9.18",
        "usage_in_future",
        claim(usage=(usage(day=TODAY + 1),)),
        before=(GRANTED,),
        values={"day": TODAY + 1, "today": TODAY},
    ),
    ok("today's device time", "T9.18", claim(usage=(usage(day=TODAY),)), before=(GRANTED,)),
    no(
        "a millisecond above the devices' day",
        "T9.18",
        "capacity_exceeded",
        claim(usage=(usage(gpu_ms=2_000 * DAY_GPU_MS), usage())),
        before=(GRANTED,),
        values={"chip": "ascend-910b", "day": TODAY, "asked": 1, "available": 0},
    ),
    ok(
        "all of the devices' day",
        "T9.18",
        claim(usage=(usage(gpu_ms=2_000 * DAY_GPU_MS - 1), usage())),
        before=(GRANTED,),
    ),
    ok(
        "two chips on one day",
        "T9.18",
        claim(usage=(usage(gpu_ms=2_000 * DAY_GPU_MS), usage("nvidia-a100"))),
        before=(GRANTED,),
    ),
    no(
        "a chip that is accredited no more, under a known invoice",
        "T9.19",
        "chip_not_accredited",
        again(),
        terms=STACKABLE,
        before=(*STACKED, accredit(devices=())),
    ),
    ok(
        "device time of a known invoice is not counted again",
        "T9.19",
        again(usage=(usage(gpu_ms=2_000 * DAY_GPU_MS),)),
        terms=STACKABLE,
        before=(*STACKED[:-1], claim(usage=(usage(gpu_ms=2_000 * DAY_GPU_MS),))),
    ),
    no(
        "a chip that no rate covers",
        "T9.19",
        "rate_none",
        claim(chip="nvidia-a100"),
        terms={"rates": BY_ORIGIN[:1]},
        before=(GRANTED,),
        values={"holder_class": "start_up", "chip_origin": "foreign", "ownership": "public"},
    ),
    ok(
        "a rate for just this use",
        "T9.19",
        claim(),
        terms={
            "rates": (
                rate(
                    3_000,
                    holder_class="start_up",
                    chip_origin="domestic",
                    service_class="training",
                    ownership="public",
                ),
            )
        },
        before=(GRANTED,),
    ),
    no(
        "domestic and foreign chips in one claim",
        "T9.19",
        "rates_mixed",
        claim(usage=(usage(), usage("nvidia-a100"))),
        terms={"rates": BY_ORIGIN},
        before=(GRANTED,),
        values={"first": 3_000, "second": 2_000},
    ),
    no(
        "a base a fen above the tariff",
        "T9.20",
        "tariff_exceeded",
        claim(net=1_001),
        before=(GRANTED, tariff(1_000, 0)),
        values={"base": 1_001, "allowed": 1_000},
    ),
    ok("a base at the tariff", "T9.20", claim(net=1_000), before=(GRANTED, tariff(1_000, 0))),
    ok(
        "a chip without a tariff",
        "T9.20",
        claim(net=5_000, usage=(usage(), usage("nvidia-a100"))),
        before=(GRANTED, tariff(1, 0)),
    ),
]

SHOWN = claim(contract=(CONTRACT,))


def contracted(amount: int = 100, **changes: Any) -> Step:
    """Return a claim that shows the contract, some of its fields changed."""
    rest = {name: changes.pop(name) for name in ("invoice", "net", "base") if name in changes}
    return claim(amount, contract=(replace(CONTRACT, **changes),), **rest)


PRORATED: dict[str, Any] = {"base_period": ((TODAY + 50, TODAY + 200),)}
"""Half of the contract's days count."""

CONTRACTS = [
    *(
        no(
            f"no contract where terms have {name}",
            "T9.21",
            "contract_missing",
            after_use(contract=()) if name == "grant" else claim(),
            terms=terms,
            before=() if name == "grant" else (GRANTED,),
            values={"programme": PROGRAMME},
        )
        for name, terms in {
            "grant": AFTER,
            "contract_max": caps(contract_max=(1_000,)),
            "base_period": PRORATED,
            "contract_days_max": {"contract_days_max": 100},
        }.items()
    ),
    ok("a contract that nobody asks for", "T9.21", SHOWN, before=(GRANTED,)),
    *(
        no(
            f"a contract with another {field}",
            "T9.21",
            "contract_differs",
            change,
            before=(GRANTED, SHOWN, *before),
            values={"field": field},
        )
        for field, change, before in (
            ("amount", claim(invoice="2", contract=(replace(CONTRACT, amount=9_999),)), ()),
            ("start_day", contracted(invoice="2", start_day=TODAY - 1), ()),
            ("end_day", contracted(invoice="2", end_day=TODAY + 99), ()),
            (
                "centre",
                claim(invoice="2", contract=(CONTRACT,), centre="chengdu-aicc"),
                (accredit("chengdu-aicc"),),
            ),
            (
                "holder",
                redeem((V2, 100), holder="firm-b", invoice="2", contract=(CONTRACT,)),
                (mint(("firm-b", 100)),),
            ),
        )
    ),
    no(
        "a contract of no day",
        "T9.21",
        "period_empty",
        contracted(end_day=TODAY),
        before=(GRANTED,),
        values={"from_ms": TODAY, "until_ms": TODAY},
    ),
    ok("a contract of one day", "T9.21", contracted(end_day=TODAY + 1), before=(GRANTED,)),
    no(
        "a contract a day too long",
        "T9.21",
        "contract_too_long",
        SHOWN,
        terms={"contract_days_max": 99},
        before=(GRANTED,),
        values={"days": 100, "allowed": 99},
    ),
    ok(
        "the longest contract",
        "T9.21",
        SHOWN,
        terms={"contract_days_max": 100},
        before=(GRANTED,),
    ),
    no(
        "bases a fen above the contract",
        "T9.21",
        "base_exceeds_contract",
        contracted(1, invoice="2", net=9_001),
        before=(GRANTED, SHOWN),
        values={"base": 10_001, "allowed": 10_000},
    ),
    ok(
        "bases of the whole contract",
        "T9.21",
        contracted(1, invoice="2", net=9_000),
        before=(GRANTED, SHOWN),
    ),
    no(
        "a base a fen above the days that count",
        "T9.21",
        "base_exceeds_contract",
        contracted(1, net=5_001),
        terms=PRORATED,
        before=(GRANTED,),
        values={"base": 5_001, "allowed": 5_000},
    ),
    ok(
        "a base of the days that count",
        "T9.21",
        contracted(1, net=5_000),
        terms=PRORATED,
        before=(GRANTED,),
    ),
    no(
        "a contract of which no day counts",
        "T9.21",
        "base_exceeds_contract",
        contracted(1, net=5),
        terms={"base_period": ((TODAY + 200, TODAY + 300),)},
        before=(GRANTED,),
        values={"base": 5, "allowed": 0},
    ),
    no(
        "claims a fen above the contract's cap",
        "T9.21",
        "contract_cap_exceeded",
        contracted(51, invoice="2"),
        terms=caps(contract_max=(150,)),
        before=(GRANTED, SHOWN),
        values={"asked": 51, "available": 50},
    ),
    ok(
        "claims that fill the contract's cap",
        "T9.21",
        contracted(50, invoice="2"),
        terms=caps(contract_max=(150,)),
        before=(GRANTED, SHOWN),
    ),
    no(
        "a contract paid a fen beyond all amounts",
        "R1.1",
        "amount_overflow",
        SHOWN,
        before=(GRANTED,),
        doctor=written(CONTRACT_PAID, NEARLY, PROGRAMME, C),
    ),
]

AMOUNTS = [
    no(
        "a fen above rate × base",
        "T9.22",
        "rate_exceeded",
        claim(301, net=1_000),
        before=(GRANTED,),
        values={"asked": 301, "allowed": 300, "basis_points": 3_000, "base": 1_000},
    ),
    ok("rate × base", "T9.22", claim(300, net=1_000), before=(GRANTED,)),
    no(
        "a fen above the ceiling",
        "T9.23",
        "ceiling_exceeded",
        claim(201, net=1_000),
        terms={"ceiling": 2_000},
        before=(GRANTED,),
        values={"asked": 201, "allowed": 200},
    ),
    ok("the ceiling", "T9.23", claim(200, net=1_000), terms={"ceiling": 2_000}, before=(GRANTED,)),
    no(
        "two programmes a fen above the lower ceiling",
        "T9.23",
        "ceiling_exceeded",
        again(51),
        terms={**STACKABLE, "ceiling": 1_500},
        before=STACKED,
        values={"asked": 51, "allowed": 50},
    ),
    ok(
        "two programmes at the lower ceiling",
        "T9.23",
        again(50),
        terms={**STACKABLE, "ceiling": 1_500},
        before=STACKED,
    ),
    no(
        "the later programme's ceiling is the lower one",
        "T9.23",
        "ceiling_exceeded",
        again(51),
        terms=STACKABLE,
        before=stacked(ceiling=1_500),
        values={"asked": 51, "allowed": 50},
    ),
    no(
        "a fen above what the host agreed to pay",
        "T9.24",
        "recognition_exceeded",
        claim(51, invoice="2"),
        before=(recognise(mode="host_pays", limit=(150,), by=BOTH), GRANTED, claim()),
        values={"programme": PROGRAMME, "host": "guiyang", "asked": 51, "available": 50},
    ),
    ok(
        "all that the host agreed to pay",
        "T9.24",
        claim(50, invoice="2"),
        before=(recognise(mode="host_pays", limit=(150,), by=BOTH), GRANTED, claim()),
        wrote=((RECOGNITIONS, (PROGRAMME, "guiyang"), {"used": 150}),),
    ),
    ok(
        "a limit binds nobody who does not pay",
        "T9.24",
        claim(),
        before=(recognise(limit=(1,)), GRANTED),
    ),
    no(
        "a host would pay a fen beyond all amounts",
        "R1.1",
        "amount_overflow",
        claim(),
        before=(HOST_PAYS, GRANTED),
        doctor=doctored(RECOGNITIONS, PROGRAMME, "guiyang", used=FEN_MAX - 99),
    ),
    no(
        "a grant below the minimum",
        "T9.25",
        "grant_out_of_bounds",
        after_use(),
        terms={**AFTER, **caps(grant_min=(101,))},
        values={"asked": 100, "minimum": 101},
    ),
    no(
        "a grant above the holder's cap",
        "T9.25",
        "holder_cap_exceeded",
        after_use(),
        terms={**AFTER, **caps(holder_year_issued=(99,))},
    ),
    no(
        "a grant above the group's cap",
        "T9.25",
        "group_cap_exceeded",
        after_use(holder="firm-c"),
        terms={**AFTER, **caps(group_year_issued=(99,))},
        before=(enrol("firm-c", control_group="g"),),
    ),
    no(
        "a grant beyond a holder's amounts",
        "T9.25",
        "amount_overflow",
        after_use(),
        terms=AFTER,
        doctor=written(ISSUED, NEARLY, PROGRAMME, "2026", "firm-a"),
    ),
    no(
        "a grant beyond a group's amounts",
        "T9.25",
        "amount_overflow",
        after_use(holder="firm-c"),
        terms=AFTER,
        before=(enrol("firm-c", control_group="g"),),
        doctor=written(GROUP_ISSUED, NEARLY, PROGRAMME, "2026", G),
    ),
    no(
        "a grant a fen above the appropriation",
        "T9.25",
        "appropriation_exceeded",
        after_use(),
        terms=AFTER,
        before=(appropriate(99 - APPROPRIATED),),
        values={"asked": 100, "available": 99},
    ),
    ok(
        "a grant of all that is appropriated",
        "T9.25",
        after_use(),
        terms=AFTER,
        before=(appropriate(100 - APPROPRIATED),),
    ),
    no(
        "a fen above the year's redemptions",
        "T9.26",
        "redeemed_cap_exceeded",
        claim(51, invoice="2"),
        terms=caps(holder_year_redeemed=(150,)),
        before=(GRANTED, claim()),
        values={"party": "firm-a", "year": 2026, "asked": 51, "available": 50},
    ),
    ok(
        "all of the year's redemptions",
        "T9.26",
        claim(50, invoice="2"),
        terms=caps(holder_year_redeemed=(150,)),
        before=(GRANTED, claim()),
    ),
    ok(
        "what was credited may be redeemed again",
        "T9.26",
        claim(100, invoice="2"),
        terms=caps(holder_year_redeemed=(150,)),
        before=(GRANTED, claim(), credit(CLAIM, 50)),
    ),
    no(
        "a holder redeems a fen beyond all amounts",
        "T9.26",
        "amount_overflow",
        claim(),
        before=(GRANTED,),
        doctor=written(REDEEMED, NEARLY, PROGRAMME, "2026", "firm-a"),
    ),
    ok(
        "a claim that fills the band",
        "T9.26",
        claim(50, invoice="2"),
        terms={"review": Review(automatic_band=150, sample_every=0)},
        before=(GRANTED, claim()),
        wrote=((CLAIMS, ("guian-hub.000000002",), {"status": "accepted", "accepted": 50}),),
    ),
    ok(
        "a claim a fen above the band",
        "T9.26",
        claim(51, invoice="2"),
        terms={"review": Review(automatic_band=150, sample_every=0)},
        before=(GRANTED, claim()),
        wrote=((CLAIMS, ("guian-hub.000000002",), {"status": "under_review", "accepted": 0}),),
    ),
    ok(
        "every claim is drawn",
        "T9.26",
        claim(),
        terms={"review": Review(automatic_band=10**9, sample_every=1)},
        before=(GRANTED,),
        wrote=((CLAIMS, (CLAIM,), {"status": "under_review"}),),
    ),
]
CASES: list[Case] = [*PARTIES_AND_LINES, *INVOICES, *CONTRACTS, *AMOUNTS]
