"""Invoices, device time, contracts and ceilings of a redemption: T9.16 to T9.21, T9.23."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.encoding.codec import FEN_MAX, NotCanonical
from ledger.ledger import Ledger
from ledger.rules import invoices
from ledger.rules.centres import ACCREDITATIONS, DEVICES_MAX, Accreditation, Devices
from ledger.rules.invoices import CONTRACT_PAID, DAY_GPU_MS, DEVICE_TIME, HOUR_MS, Usage
from ledger.rules.money import Rounding
from ledger.rules.programmes import Review
from ledger.rules.redemptions import Redeem
from ledger.rules.refusals import AmountOverflow
from ledger.store.lmdb_store import LmdbStore
from ledger.transactions import parse
from ledger.view import Draft, must
from tests import builders
from tests.builders import NOON_MS, funded_chain
from tests.ledger.rules.case import (
    CLAIM,
    DAY_MS,
    EVER_MS,
    GRANTED,
    PROGRAMME,
    TODAY,
    V1,
    V2,
    Case,
    Ready,
    Step,
    accredit,
    adopted,
    decide,
    mint,
    no,
    ok,
    rate,
    recognise,
    redeem,
    transfer,
    written,
)
from tests.ledger.rules.chains import chain_with, code
from tests.ledger.rules.situations import (
    AFTER,
    ALL_MINTED,
    CONTRACT,
    NEARLY,
    SECOND,
    STACKABLE,
    STACKED,
    WHOLE_BILLS,
    C,
    after_use,
    again,
    caps,
    claim,
    stacked,
    tag_keys,
)


def usage(chip: str = "ascend-910b", day: int = TODAY, gpu_ms: int = 1) -> Usage:
    return Usage(chip=chip, day=day, gpu_ms=gpu_ms, energy_wh=0)


BY_ORIGIN = (rate(3_000, chip_origin="domestic"), rate(2_000, chip_origin="foreign"))


def tariff(ceiling: int, other: int = 1) -> Step:
    """Return an accreditation with the highest price of an hour on both chips."""
    return accredit(
        devices=(
            Devices(
                chip="ascend-910b", origin="domestic", count=9, tariff_ceiling=ceiling, power_w=400
            ),
            Devices(
                chip="nvidia-a100", origin="foreign", count=9, tariff_ceiling=other, power_w=400
            ),
        )
    )


SHOWN = claim(contract=(CONTRACT,))


def contracted(amount: int = 100, **changes: Any) -> Step:
    """Return a claim that shows the contract, some of its fields changed."""
    rest = {name: changes.pop(name) for name in ("invoice", "net", "base") if name in changes}
    return claim(amount, contract=(replace(CONTRACT, **changes),), **rest)


PRORATED: dict[str, Any] = {"base_period": ((TODAY + 50, TODAY + 200),)}
"""Half of the contract's days count."""

CASES: list[Case] = [
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
    no(
        "an invoice by a key of no epoch in force",
        "T9.17",
        "tag_epoch_unknown",
        claim(200, net=1_000, tag_epoch=2),
        before=(GRANTED, claim()),
        values={"epoch": 2},
    ),
    ok(
        "an invoice by the key of a new epoch",
        "T9.17",
        claim(200, invoice="other", net=2_000, tag_epoch=2),
        before=(GRANTED, *adopted(tag_keys(1, 2))),
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
        "attack: a watt-hour above what the device time can draw",
        "T9.18",
        "energy_exceeded",
        claim(usage=(replace(usage(gpu_ms=HOUR_MS), energy_wh=401),)),
        before=(GRANTED,),
        values={"chip": "ascend-910b", "day": TODAY, "energy_wh": 401, "allowed_wh": 400},
    ),
    no(
        "attack: 2^53 watt-hours for a millisecond",
        "T9.18",
        "energy_exceeded",
        claim(usage=(replace(usage(), energy_wh=FEN_MAX),)),
        before=(GRANTED,),
        values={"allowed_wh": 0},
    ),
    ok(
        "all that the device time can draw",
        "T9.18",
        claim(usage=(replace(usage(gpu_ms=HOUR_MS), energy_wh=400),)),
        before=(GRANTED,),
    ),
    no(
        "attack: device time of 1970",
        "T9.19",
        "usage_too_old",
        claim(usage=(usage(day=0),)),
        before=(GRANTED,),
        values={"day": 0, "earliest": TODAY},
    ),
    no(
        "device time of the day before the voucher",
        "T9.19",
        "usage_too_old",
        claim(),
        before=(NOON_MS + DAY_MS, GRANTED),
        values={"day": TODAY, "earliest": TODAY + 1},
    ),
    ok(
        "device time of the day of the voucher",
        "T9.19",
        claim(usage=(usage(day=TODAY + 1),)),
        before=(NOON_MS + DAY_MS, GRANTED),
    ),
    no(
        "device time of the day before the later of two vouchers",
        "T9.19",
        "usage_too_old",
        redeem((V1, 100), (V2, 1)),
        before=(GRANTED, NOON_MS + DAY_MS, mint(("firm-a", 100))),
        values={"earliest": TODAY + 1},
    ),
    ok(
        "a voucher that was passed on keeps its day",
        "T9.19",
        redeem((V2, 100), holder="firm-b"),
        before=(GRANTED, NOON_MS + DAY_MS, transfer(V1, 500)),
    ),
    no(
        "device time of the day before the accreditation",
        "T9.19",
        "usage_too_old",
        claim(centre="chengdu-aicc"),
        before=(GRANTED, NOON_MS + DAY_MS, accredit("chengdu-aicc")),
        values={"earliest": TODAY + 1},
    ),
    ok(
        "a centre that is accredited again keeps its first day",
        "T9.19",
        claim(),
        before=(GRANTED, accredit(ended=True), NOON_MS + DAY_MS, accredit(pue_milli=1_300)),
    ),
    no(
        "device time of 401 days ago",
        "T9.19",
        "usage_too_old",
        claim(),
        terms={"validity_days": 500},
        before=(GRANTED, recognise(until_ms=EVER_MS), NOON_MS + 401 * DAY_MS),
        values={"day": TODAY, "earliest": TODAY + 1},
    ),
    ok(
        "device time of 400 days ago",
        "T9.19",
        claim(),
        terms={"validity_days": 500},
        before=(GRANTED, recognise(until_ms=EVER_MS), NOON_MS + 400 * DAY_MS),
    ),
    no(
        "device time of the day before a contract that is paid after use",
        "T9.19",
        "usage_too_old",
        after_use(contract=(replace(CONTRACT, start_day=TODAY + 1),)),
        terms=AFTER,
        values={"earliest": TODAY + 1},
    ),
    ok(
        "a grant after use pays for what was before it",
        "T9.19",
        after_use(),
        terms=AFTER,
        before=(NOON_MS + DAY_MS,),
    ),
    no(
        "a second programme pays for no use from before its voucher",
        "T9.19",
        "usage_too_old",
        again(voucher=f"{SECOND}.000000003"),
        terms=STACKABLE,
        before=(*STACKED, NOON_MS + DAY_MS, mint(("firm-a", 500), programme=SECOND)),
        values={"earliest": TODAY + 1},
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
        before=(GRANTED, tariff(1_000)),
        values={"base": 1_001, "allowed": 1_000},
    ),
    ok("a base at the tariff", "T9.20", claim(net=1_000), before=(GRANTED, tariff(1_000))),
    ok(
        "two chips at their tariffs",
        "T9.20",
        claim(net=1_003, usage=(usage(gpu_ms=HOUR_MS), usage("nvidia-a100", gpu_ms=HOUR_MS))),
        before=(GRANTED, tariff(1_000, 3)),
    ),
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
        "no fen of a contract",
        "T9.21",
        "contract_cap_exceeded",
        contracted(1),
        terms=caps(contract_max=(0,)),
        before=(GRANTED,),
    ),
    no(
        "a ceiling of nothing",
        "T9.23",
        "ceiling_exceeded",
        claim(1),
        terms={"ceiling": 0},
        before=(GRANTED,),
        values={"allowed": 0},
    ),
    no(
        "a prorated base rounded up stays within its contract",
        "R12.3",
        "base_exceeds_contract",
        redeem(
            (V1, 1),
            net=FEN_MAX,
            contract=(replace(CONTRACT, amount=FEN_MAX - 1),),
        ),
        terms={
            **WHOLE_BILLS,
            "base_period": ((0, 10**6),),
            "rounding": Rounding(mode="half_up", step_fen=100),
        },
        before=ALL_MINTED,
        values={"base": FEN_MAX, "allowed": FEN_MAX - 1},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


CHIP = "ascend-910b"


def devices(count: int) -> tuple[Devices, ...]:
    return (Devices(chip=CHIP, origin="domestic", count=count, tariff_ceiling=900, power_w=400),)


def used(gpu_ms: int) -> Usage:
    return Usage(chip=CHIP, day=TODAY, gpu_ms=gpu_ms, energy_wh=0)


def redemption(*usage: Usage, invoice: str = "invoice-1") -> bytes:
    return builders.redeem((V1, 1), usage=usage, invoice=invoice)


def test_device_time_of_a_day_ends_at_the_last_millisecond() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 1_000)))

    def used(gpu_ms: int, day: int, invoice: str) -> bytes:
        row = Usage(chip="ascend-910b", day=day, gpu_ms=gpu_ms, energy_wh=0)
        expires_at = NOON_MS + 2 * DAY_MS
        return builders.redeem((V1, 1), usage=(row,), invoice=invoice, expires_at=expires_at)

    whole = 2000 * DAY_GPU_MS
    assert code(chain.attempt(used(whole + 1, TODAY, "1"))) == "capacity_exceeded"
    assert code(chain.attempt(used(whole, TODAY, "2"))) == "ok"
    assert code(chain.attempt(used(1, TODAY, "3"))) == "capacity_exceeded"
    tomorrow = used(1, TODAY + 1, "4")
    assert code(chain.attempt(tomorrow, time_ms=NOON_MS + DAY_MS)) == "ok", "another day"


def test_a_claim_may_reach_the_ceiling() -> None:
    chain = chain_with(ceiling=2_000)
    chain.accept(builders.mint(("firm-a", 1_000)))
    assert code(chain.attempt(builders.redeem((V1, 201), net=1_000))) == "ceiling_exceeded"
    assert code(chain.attempt(builders.redeem((V1, 200), net=1_000))) == "ok"


def test_no_centre_has_more_devices_than_the_range_of_device_time_bears() -> None:
    parse(builders.accredit(devices=devices(DEVICES_MAX)))
    with pytest.raises(NotCanonical):
        parse(builders.accredit(devices=devices(DEVICES_MAX + 1)))
    assert DEVICES_MAX == 10_000_000
    assert DEVICES_MAX * DAY_GPU_MS < FEN_MAX


def test_the_most_device_time_of_a_day_is_readable_after_a_restart(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, map_bytes=1 << 26)
    chain = funded_chain(ledger=Ledger(store))
    chain.accept(builders.accredit(devices=devices(DEVICES_MAX)))
    chain.accept(builders.mint(("firm-a", 1_000)))
    whole = DEVICES_MAX * DAY_GPU_MS
    chain.accept(redemption(used(whole - 1), used(1)))
    store.close()
    again = LmdbStore(tmp_path, map_bytes=1 << 26)
    ledger = Ledger(again)
    ledger.begin(chain.genesis)
    assert must(again, DEVICE_TIME, "guian-hub", CHIP, str(TODAY)).fen == whole
    for gpu_ms in (1, FEN_MAX):
        raw = redemption(used(gpu_ms), invoice="invoice-2")
        refusal = ledger.check(raw, time_ms=chain.now_ms + 1).refusal
        assert refusal is not None
        assert refusal.code == "capacity_exceeded"
    again.close()


def test_device_time_beyond_the_range_of_amounts_is_refused() -> None:
    chain = funded_chain()
    accredited = must(chain.ledger._storage, ACCREDITATIONS, "guian-hub")
    # The codec lets no such centre in; the sum is guarded by itself all the same.
    huge = Accreditation(
        centre=accredited.centre,
        host=accredited.host,
        devices=devices(FEN_MAX),
        pue_milli=accredited.pue_milli,
        ownership=accredited.ownership,
        ended=False,
        since_day=TODAY,
    )
    tx = parse(redemption(used(FEN_MAX), used(1))).body.operation
    assert isinstance(tx, Redeem)
    with pytest.raises(AmountOverflow) as refusal:
        invoices.count_usage(Draft(chain.ledger._storage), tx.usage, huge, NOON_MS)
    assert refusal.value.code == "amount_overflow"
