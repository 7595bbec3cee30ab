"""The golden ledger: a small story whose every sum can be checked with pencil and paper.

Six cities, a province, three data centres, an auditor and six firms run published programmes from
June 2025 to June 2026. All 26 kinds occur, and the refusals that protect the money stand beside
what just still holds. docs/golden.md tells the story with its arithmetic; the tests hold every sum
as a literal, and the record hash at the end is a vector for other implementations.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click
import msgspec

from ledger.encoding import crypto
from ledger.encoding.codec import Record
from ledger.ledger import Storage
from ledger.rules import calendar
from ledger.rules.attestations import Attest, RevokeAttestation, Topic
from ledger.rules.budgets import Appropriate
from ledger.rules.cases import ClearHold, RecordAnchor, SetHold
from ledger.rules.centres import Recognise
from ledger.rules.claims import Credit, Decide, DecideClaim, Dispute, Line
from ledger.rules.clearing import Close
from ledger.rules.governance import Admit, Propose, Vote
from ledger.rules.invoices import HOUR_MS, Contract, Invoice, Usage
from ledger.rules.money import FunderShare
from ledger.rules.parties import Enrol, HolderClass, PartyKey
from ledger.rules.payments import (
    Confirm,
    Instruct,
    ObjectToPayment,
    RecordPayment,
    Return,
    WriteOff,
)
from ledger.rules.programmes import Publish, RateRow, Review, Terms
from ledger.rules.recoveries import DecideKeys, Recover, SetKeys
from ledger.rules.redemptions import GrantAfterUse, Redeem
from ledger.rules.reserves import Release, SetAside
from ledger.rules.vouchers import Extend, Mint, MintRow, Revoke, Transfer
from ledger.rules.withdrawals import Withdraw
from ledger.store.memory import MemoryStore
from localnet.facts import load_facts, member_plans
from localnet.network import Plan, make_member
from trials.datasets.world import (
    MASTER,
    NETWORK,
    YUAN,
    Act,
    Attempted,
    InProcess,
    Who,
    consent,
    first_officers,
    genesis,
    public_key,
    second_officers,
)
from wallet.terms import terms_from_facts

CITIES = ("nanning", "zhengzhou", "hangzhou", "shenzhen", "qingyang", "guiyang")
PROVINCE = "henan-province"
CENTRES = {"guian-hub": "guiyang", "zhengzhou-aicc": "zhengzhou", "shenzhen-nscc": "shenzhen"}
AUDITOR = "audit-office"
DOMESTIC = "guiyang.domestic"
"""Not published anywhere: made to show a programme for domestic chips only, and transfers."""
DOMESTIC_DAYS = 60

TWIN_INVOICE = "invoice for two cities"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One act of the story, and how it must end."""

    act: Act
    code: str = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A block of the story."""

    title: str
    time_ms: int
    steps: tuple[Step, ...]


def moment(text: str) -> int:
    """Return a time such as ``2025-06-02 09:00`` at +08:00 in milliseconds."""
    when = datetime.fromisoformat(text)
    midnight_ms = calendar.end_of_day_ms(calendar.day_number(when.date()) - 1)
    return midnight_ms + (when.hour * 60 + when.minute) * 60_000


def day(text: str) -> int:
    """Return a date such as ``2025-03-01`` as a day number."""
    return calendar.day_of(moment(f"{text} 00:00"))


START_MS = moment("2025-06-02 09:00")


def digest(*names: str) -> bytes:
    """Return 32 bytes that names stand for."""
    return crypto.tagged_hash("tallystick/golden/v1", *(name.encode() for name in names))


def plans() -> tuple[Plan, ...]:
    """Return the members of the golden genesis."""
    wanted = (*CITIES, PROVINCE, *CENTRES)
    return tuple(plan for plan in member_plans(load_facts()) if plan.party in wanted)


def golden_genesis() -> bytes:
    """Return the genesis bytes."""
    return genesis(plans(), time_ms=START_MS, validators=("nanning", "guian-hub"))


def play(storage: Storage) -> tuple[InProcess, list[tuple[Scene, Attempted]]]:
    """Run the whole story on an empty store; return the ledger and each scene's outcome."""
    ledger = InProcess(storage, golden_genesis())
    played = []
    for scene in story():
        attempted = ledger.attempt((step.act for step in scene.steps), time_ms=scene.time_ms)
        played.append((scene, attempted))
    return ledger, played


def vector(storage: Storage) -> dict[str, Any]:
    """Return what another implementation must get: log id, and per block record hash and codes.

    The block holds what has the code ``ok``; the rest is what it was tried with and refused.
    """
    ledger, played = play(storage)
    blocks = [
        {
            "height": attempted.execution.block.height,
            "time_ms": attempted.execution.block.time_ms,
            "codes": attempted.codes,
            "record_hash": attempted.execution.head.record_hash.hex(),
        }
        for _, attempted in played
    ]
    last = played[-1][1].execution.head
    return {
        "comment": "The golden ledger of docs/golden.md: python -m trials.datasets.golden",
        "log_id": last.log_id.hex(),
        "log_size": last.log_size,
        "record_hash": ledger.record_hash.hex(),
        "blocks": blocks,
    }


def story() -> tuple[Scene, ...]:
    """Return all blocks."""
    return (
        _scene("An auditor is admitted by two thirds", "2025-06-02 10:00", _admission()),
        _scene("Six programmes", "2025-06-02 11:00", _programmes()),
        _scene("Money, centres, recognitions", "2025-06-02 12:00", _money_and_centres()),
        _scene("Firms and facts about them", "2025-06-03 09:00", _firms()),
        _scene("Grants", "2025-06-04 09:00", _grants()),
        _scene("Redemptions", "2025-06-05 09:00", _redemptions()),
        _scene("A reserve and a transfer", "2025-06-06 09:00", _reserve_and_transfer()),
        _scene("A claim is disputed", "2025-06-09 09:00", _dispute()),
        _scene("A key is lost", "2025-06-09 10:00", _lost_key()),
        _scene("A new key, 72 hours later", "2025-06-12 10:00", _new_key()),
        _scene("Credit notes and payments", "2025-06-13 09:00", _payments()),
        _scene("Holds, extension, revocation", "2025-06-16 09:00", _cases()),
        _scene("Clearing", "2025-06-16 10:00", _clearing()),
        _scene("Sixty days are over, but not for all", "2025-08-04 00:00", _after_sixty_days()),
        _scene("Nor for the stopped holder any more", "2025-08-07 00:00", ()),
        _scene("Nanning pays after use", "2025-12-31 12:00", _nanning()),
        _scene("One invoice in two cities", "2025-12-31 13:00", _stacked()),
        _scene("Shenzhen's yearly cap", "2026-01-02 09:00", _yearly_cap()),
        _scene("What expires in a closed year", "2026-06-05 00:00", ()),
    )


def _scene(title: str, when: str, steps: Sequence[Step]) -> Scene:
    return Scene(title=title, time_ms=moment(when), steps=tuple(steps))


def _step(operation: Record, *signers: Who, code: str = "ok") -> Step:
    return Step(act=Act(operation=operation, signers=signers), code=code)


def _admission() -> list[Step]:
    plan = Plan(party=AUDITOR, kind="auditor", party_class="", name="Audit office", region="100000")
    member = make_member(NETWORK, MASTER, plan, validates=False)
    proposal = Propose(proposer="nanning", action=Admit(member=member, proofs=()))
    steps = [_step(proposal, *first_officers("nanning"))]
    for voter in ("zhengzhou", "hangzhou", "shenzhen", "qingyang", "guiyang", PROVINCE):
        vote = Vote(voter=voter, proposal=1, approve=True)
        steps.append(_step(vote, *first_officers(voter)))
    return steps


def published(city: str, **changes: Any) -> Terms:
    """Return a city's published terms, with changes."""
    facts = load_facts()
    terms = terms_from_facts(facts.programme(city), facts.assumptions)
    return msgspec.structs.replace(terms, **changes)


def _domestic_terms() -> Terms:
    """Return 40 % on domestic chips, and nothing on others."""
    rate = RateRow(
        holder_class=(),
        chip_origin=("domestic",),
        service_class=(),
        ownership=(),
        basis_points=4000,
    )
    return published(
        "guiyang",
        title="Domestic chips only",
        legal_basis="",
        rates=(rate,),
        transfer="enrolled",
        validity_days=DOMESTIC_DAYS,
        review=Review(automatic_band=200_000 * YUAN, sample_every=0),
        funders=(FunderShare(funder="guiyang", basis_points=10_000),),
    )


def _publish(programme: str, version: int, terms: Terms) -> Step:
    operation = Publish(programme=programme, version=version, status="open", terms=terms)
    return _step(operation, *first_officers(programme.partition(".")[0]))


def _programmes() -> list[Step]:
    cities = ("nanning", "zhengzhou", "hangzhou", "shenzhen", "qingyang")
    steps = [_publish(f"{city}.compute", 1, published(city)) for city in cities]
    agreed = consent("zhengzhou.compute", 1, published("zhengzhou"), PROVINCE)
    return [*steps, _publish(DOMESTIC, 1, _domestic_terms()), Step(act=agreed)]


def _appropriate(
    programme: str, funder: str, yuan: int, *, year: int = 2025, carried_from: tuple[int, ...] = ()
) -> Step:
    operation = Appropriate(
        programme=programme,
        funder=funder,
        year=year,
        delta=yuan * YUAN,
        carried_from=carried_from,
    )
    return _step(operation, *first_officers(funder))


def _money_and_centres() -> list[Step]:
    return [
        _appropriate("nanning.compute", "nanning", 100_000),
        _appropriate("zhengzhou.compute", PROVINCE, 5_000),
        _appropriate("zhengzhou.compute", "zhengzhou", 5_000),
        _appropriate("hangzhou.compute", "hangzhou", 100_000),
        _appropriate("shenzhen.compute", "shenzhen", 20_000_000),
        _appropriate("qingyang.compute", "qingyang", 10_000),
        _appropriate(DOMESTIC, "guiyang", 3_000),
        *(_accredit(centre, host) for centre, host in CENTRES.items()),
        _recognise("nanning.compute", "guiyang"),
        _recognise("hangzhou.compute", "guiyang", "shenzhen"),
        _recognise("qingyang.compute", "guiyang"),
        _recognise("shenzhen.compute", "guiyang", host_pays=True, limit=(300_00,)),
        _recognise(DOMESTIC, "shenzhen", host_pays=True),
    ]


def _accredit(centre: str, host: str) -> Step:
    return _step(load_facts().accreditation(centre, host), *first_officers(host))


def _recognise(
    programme: str, *hosts: str, host_pays: bool = False, limit: tuple[int, ...] = ()
) -> Step:
    issuer = programme.partition(".")[0]
    operation = Recognise(
        issuer=issuer,
        programmes=(programme,),
        hosts=hosts,
        mode="host_pays" if host_pays else "direct",
        limit=limit,
        from_ms=START_MS,
        until_ms=moment("2027-01-01 00:00"),
    )
    signers = list(first_officers(issuer))
    for host in hosts if host_pays else ():
        signers += first_officers(host)
    return _step(operation, *signers)


def _firms() -> list[Step]:
    return [
        _enrol("firm-nanning", "nanning", "enterprise"),
        _enrol("firm-henan", "zhengzhou", "enterprise"),
        _enrol("firm-twin", "hangzhou", "start_up"),
        _enrol("firm-shenzhen", "shenzhen", "start_up"),
        _enrol("firm-qingyang", "qingyang", "maker"),
        _enrol("firm-guiyang", "guiyang", "institute"),
        _attest("firm-nanning", "nanning", "registered_in", text="450100"),
        _attest("firm-nanning", "nanning", "unrelated_to"),
        _attest("firm-nanning", "nanning", "clean_record"),
        _attest("firm-henan", "zhengzhou", "registered_in", text="410100"),
        _attest("firm-twin", "hangzhou", "registered_in", text="330100"),
        _attest("firm-twin", "shenzhen", "registered_in", text="440300"),
        _attest("firm-shenzhen", "shenzhen", "registered_in", text="440300"),
        _attest("firm-qingyang", "qingyang", "registered_in", text="621000"),
    ]


def _keys(firm: str, person: str) -> tuple[PartyKey, ...]:
    return (PartyKey(key=public_key(firm, person), person=person, roles=()),)


def _enrol(firm: str, city: str, holder_class: HolderClass) -> Step:
    operation = Enrol(
        city=city,
        party=firm,
        holder_class=holder_class,
        name=f"Synthetic {firm}",
        region=load_facts().programme(city)["region_code"],
        control_group=(),
        registration_tag=digest("registration", firm),
        tag_epoch=1,
        keys=_keys(firm, "owner"),
        threshold=1,
        proofs=(),
    )
    return _step(operation, *first_officers(city))


def _attest(firm: str, city: str, topic: Topic, *, text: str = "") -> Step:
    operation = Attest(
        attester=city,
        subject=firm,
        topic=topic,
        about=(),
        text=text,
        amount=0,
        valid_until_ms=moment("2027-01-01 00:00"),
        commitment=(digest("document", firm, city, topic),),
    )
    return _step(operation, *first_officers(city))


def _mint(programme: str, *rows: tuple[str, int], version: int = 1, code: str = "ok") -> Step:
    operation = Mint(
        programme=programme,
        terms_version=version,
        rows=tuple(
            MintRow(
                holder=holder,
                amount=fen,
                decision=digest("decision", programme, holder, str(fen), code),
            )
            for holder, fen in rows
        ),
    )
    return _step(operation, *second_officers(programme.partition(".")[0]), code=code)


def _grants() -> list[Step]:
    return [
        _mint("zhengzhou.compute", ("firm-henan", 1_000_01)),
        _mint("hangzhou.compute", ("firm-twin", 50_000_00)),
        _mint("shenzhen.compute", ("firm-shenzhen", 9_999_999_99), ("firm-twin", 20_000_00)),
        _mint("shenzhen.compute", ("firm-shenzhen", 2), code="holder_cap_exceeded"),
        _mint("shenzhen.compute", ("firm-shenzhen", 1)),
        _mint("qingyang.compute", ("firm-qingyang", 4_999_99), code="grant_out_of_bounds"),
        _mint("qingyang.compute", ("firm-qingyang", 5_000_00)),
        _mint("nanning.compute", ("firm-nanning", 1_00), code="grant_is_after_use"),
        _mint(DOMESTIC, ("firm-guiyang", 2_000_00)),
        _mint(DOMESTIC, ("firm-guiyang", 1_000_01), code="appropriation_exceeded"),
    ]


def hours(chip: str, count: int, when: str) -> Usage:
    """Return device-hours of one day."""
    watts = load_facts().chips[chip]["watts"]
    return Usage(chip=chip, day=day(when), gpu_ms=count * HOUR_MS, energy_wh=count * watts)


def _redeem(
    voucher: str,
    holder: str,
    centre: str,
    amount: int,
    *,
    base: int,
    usage: tuple[Usage, ...],
    invoice: str = "",
    reserve: tuple[str, ...] = (),
    by: tuple[Who, ...] = (),
    code: str = "ok",
) -> Step:
    operation = Redeem(
        holder=holder,
        centre=centre,
        order=RESERVED_FOR if reserve else f"{holder} at {centre}",
        lines=(Line(voucher=voucher, amount=amount, reserve=reserve),),
        grant=(),
        # Every bill has its own number, if none is said: programme, voucher, centre, base, sum.
        invoice=_invoice(invoice or f"{voucher} {centre} {base} {amount}", base, base),
        contract=(),
        service_class="training",
        usage=usage,
        own_share=digest("own share", voucher, centre),
        holder_signs=not reserve,
    )
    signers = by or ((holder, "owner"), (centre, "officer-1"))
    return _step(operation, *signers, code=code)


def _invoice(name: str, net: int, base: int) -> Invoice:
    return Invoice(tag=digest("invoice", name), tag_epoch=1, net=net, base=base)


RESERVED_FOR = "a training run"
HANGZHOU_1 = "hangzhou.compute.000000001"
SHENZHEN_2 = "shenzhen.compute.000000002"
DOMESTIC_1 = f"{DOMESTIC}.000000001"
ASCEND_1200 = (hours("ascend-910b", 1_200, "2025-06-04"),)
ASCEND_200 = (hours("ascend-910b", 200, "2025-06-04"),)
A100_800 = (hours("nvidia-a100", 800, "2025-06-04"),)


def _redemptions() -> list[Step]:
    hangzhou = (HANGZHOU_1, "firm-twin", "guian-hub")
    shenzhen = (SHENZHEN_2, "firm-twin")
    domestic = (DOMESTIC_1, "firm-guiyang")
    return [
        _mint("shenzhen.compute", ("firm-shenzhen", 1), code="holder_cap_exceeded"),
        _redeem(*hangzhou, 3_000_01, base=10_000_00, usage=ASCEND_1200, code="rate_exceeded"),
        _redeem(*hangzhou, 3_000_00, base=10_000_00, usage=ASCEND_1200, invoice=TWIN_INVOICE),
        _redeem(*hangzhou, 2_000_01, base=10_000_00, usage=A100_800, code="rate_exceeded"),
        _redeem(*hangzhou, 2_000_00, base=10_000_00, usage=A100_800),
        _redeem(
            *hangzhou,
            100_00,
            base=10_000_00,
            usage=ASCEND_1200 + A100_800,
            code="rates_mixed",
        ),
        _redeem(
            "zhengzhou.compute.000000001",
            "firm-henan",
            "zhengzhou-aicc",
            200_01,
            base=1_000_05,
            usage=ASCEND_200,
        ),
        _step(
            Transfer(
                voucher="qingyang.compute.000000001",
                holder="firm-qingyang",
                recipient="firm-twin",
                amount=1_00,
            ),
            ("firm-qingyang", "owner"),
            ("firm-twin", "owner"),
            code="transfer_not_allowed",
        ),
        _redeem(*domestic, "guian-hub", 200_00, base=500_00, usage=A100_800, code="rate_none"),
        _redeem(*domestic, "guian-hub", 200_00, base=500_00, usage=ASCEND_200),
        _redeem(*domestic, "shenzhen-nscc", 400_00, base=1_000_00, usage=ASCEND_200),
        _redeem(
            *shenzhen,
            "guian-hub",
            1_00,
            base=10_000_00,
            usage=ASCEND_1200,
            invoice=TWIN_INVOICE,
            code="programmes_not_stackable",
        ),
        _redeem(
            *hangzhou,
            1_00,
            base=10_000_00,
            usage=ASCEND_1200,
            invoice=TWIN_INVOICE,
            code="invoice_used",
        ),
        _redeem(
            *shenzhen,
            "shenzhen-nscc",
            600_01,
            base=1_000_00,
            usage=ASCEND_200,
            code="rate_exceeded",
        ),
        _redeem(*shenzhen, "shenzhen-nscc", 600_00, base=1_000_00, usage=ASCEND_200),
        _redeem(*shenzhen, "guian-hub", 300_00, base=500_00, usage=ASCEND_200),
        _redeem(*shenzhen, "guian-hub", 1, base=2, usage=ASCEND_200, code="recognition_exceeded"),
    ]


def _reserve_and_transfer() -> list[Step]:
    set_aside = SetAside(
        voucher=HANGZHOU_1,
        holder="firm-twin",
        centre="guian-hub",
        order=RESERVED_FOR,
        amount=5_000_00,
        chip="ascend-910b",
        service_class="training",
        until_ms=moment("2025-06-30 00:00"),
    )
    transfer = Transfer(
        voucher=DOMESTIC_1, holder="firm-guiyang", recipient="firm-twin", amount=500_00
    )
    withdrawal = Withdraw(party="firm-twin", transaction=digest("a transfer that nobody sent"))
    return [
        _step(set_aside, ("firm-twin", "owner")),
        _step(transfer, ("firm-guiyang", "owner"), ("firm-twin", "owner")),
        _step(withdrawal, ("firm-twin", "owner")),
    ]


DISPUTED = "guian-hub.000000005"
RESERVE = "guian-hub.000000001"


def _decide(claim: str, accepted: int, *, city: str, case: str = "", code: str = "ok") -> Step:
    act = Decide(
        claim=claim,
        by=city,
        accepted=accepted,
        case=(digest("case", case),) if case else (),
        tag_checked=True,
    )
    return _step(DecideClaim(act=act), *first_officers(city), code=code)


def _dispute() -> list[Step]:
    usage = (hours("ascend-910b", 1_500, "2025-06-08"),)
    dispute = Dispute(claim=DISPUTED, case=digest("case", "hours"))
    release = Release(reserve=RESERVE, by="guian-hub", amount=2_500_00)
    return [
        _redeem(
            HANGZHOU_1,
            "firm-twin",
            "guian-hub",
            4_000_00,
            base=13_333_34,
            usage=usage,
            reserve=(RESERVE,),
            by=(("guian-hub", "officer-1"),),
        ),
        _decide(DISPUTED, 4_000_00, city="hangzhou", code="dispute_window_open"),
        _step(DecideClaim(act=dispute), ("firm-twin", "owner")),
        _decide(DISPUTED, 2_500_00, city="hangzhou", code="case_missing"),
        _decide(DISPUTED, 2_500_00, city="hangzhou", case="hours"),
        _step(release, ("guian-hub", "officer-1")),
    ]


def _decide_recovery(code: str = "ok") -> Step:
    act = DecideKeys(by="guiyang", party="firm-guiyang", accept=True, second=())
    return _step(SetKeys(act=act), *first_officers("guiyang"), code=code)


def _lost_key() -> list[Step]:
    recover = Recover(
        city="guiyang",
        party="firm-guiyang",
        keys=_keys("firm-guiyang", "owner-2"),
        threshold=1,
        case=digest("case", "lost key"),
        second=(),
        proofs=(),
    )
    transfer = Transfer(
        voucher=DOMESTIC_1, holder="firm-guiyang", recipient="firm-twin", amount=1_00
    )
    return [
        _step(SetKeys(act=recover), *first_officers("guiyang")),
        _step(transfer, ("firm-guiyang", "owner"), ("firm-twin", "owner"), code="recovery_open"),
        _decide_recovery(code="recovery_too_early"),
    ]


def _new_key() -> list[Step]:
    return [_decide_recovery()]


def _payments() -> list[Step]:
    first = "guian-hub.000000001"
    second = "guian-hub.000000002"
    desk = ("guian-hub", "officer-1")
    payers = second_officers("hangzhou")

    def credit(claim: str, amount: int) -> Step:
        operation = Credit(claim=claim, amount=amount, note=digest("note", claim, str(amount)))
        return _step(operation, desk, *first_officers("hangzhou"))

    def pay(amount: int, name: str, code: str = "ok") -> Step:
        act = Instruct(payable=f"{first}-000", amount=amount, end_to_end_id=name)
        return _step(RecordPayment(act=act), *payers, code=code)

    def confirm(name: str) -> Step:
        act = Confirm(debtor="hangzhou", end_to_end_id=name, by="guian-hub")
        return _step(RecordPayment(act=act), desk)

    came_back = Return(
        debtor="hangzhou", end_to_end_id="HZ-2", by="hangzhou", reason="account closed"
    )
    nothing_came = ObjectToPayment(
        debtor="hangzhou", end_to_end_id="HZ-3", reason="nothing arrived yet"
    )
    write_off = WriteOff(payable=f"{second}-000", amount=50, reason="rounding of the bank")
    return [
        credit(first, 500_00),
        pay(2_500_01, "HZ-1", code="payment_exceeds_due"),
        pay(1_000_00, "HZ-1"),
        pay(1_500_00, "HZ-2"),
        confirm("HZ-1"),
        _step(RecordPayment(act=came_back), *payers),
        pay(1_500_00, "HZ-3"),
        _step(RecordPayment(act=nothing_came), desk),
        confirm("HZ-3"),
        _step(RecordPayment(act=write_off), *payers, desk),
        credit(first, 200_00),
    ]


QINGYANG_1 = "qingyang.compute.000000001"


def _cases() -> list[Step]:
    desk = (AUDITOR, "officer-1")
    hold = SetHold(
        by=AUDITOR,
        scope="voucher",
        id=HANGZHOU_1,
        case=digest("case", "audit"),
        reason="under audit",
    )
    clear = ClearHold(by=AUDITOR, hold=f"{AUDITOR}.000000001", case=digest("case", "closed"))
    anchor = RecordAnchor(
        by=AUDITOR,
        about="trial_balance",
        as_of=11,
        commitment=digest("trial balance"),
        note="after the payments of June",
    )
    extend = Extend(voucher=QINGYANG_1, until_day=day("2026-12-31"), case=digest("case", "flood"))
    revoke = Revoke(voucher=QINGYANG_1, amount=1_000_00, case=digest("case", "overlap"))
    return [
        _step(hold, desk),
        _redeem(
            HANGZHOU_1,
            "firm-twin",
            "guian-hub",
            30_00,
            base=100_00,
            usage=ASCEND_200,
            code="held",
        ),
        _step(clear, desk),
        _step(anchor, desk),
        _step(extend, *first_officers("qingyang")),
        _step(revoke, *first_officers("qingyang")),
    ]


def _clearing() -> list[Step]:
    pay = Instruct(payable="clearing.000000001-000", amount=100_00, end_to_end_id="GY-1")
    confirm = Confirm(debtor="guiyang", end_to_end_id="GY-1", by="shenzhen")
    return [
        _step(Close(by="hangzhou", cycle=1), *second_officers("hangzhou")),
        _step(Close(by="hangzhou", cycle=2), *second_officers("hangzhou"), code="cycle_empty"),
        _step(RecordPayment(act=pay), *second_officers("guiyang")),
        _step(RecordPayment(act=confirm), *second_officers("shenzhen")),
    ]


def _after_sixty_days() -> list[Step]:
    return [
        _redeem(
            DOMESTIC_1,
            "firm-guiyang",
            "guian-hub",
            100_00,
            base=250_00,
            usage=(hours("ascend-910b", 200, "2025-08-01"),),
            by=(("firm-guiyang", "owner-2"), ("guian-hub", "officer-1")),
        )
    ]


def _nanning_claim(name: str, amount: int, base: int, *, code: str = "ok") -> Step:
    start = day("2025-03-01")
    operation = Redeem(
        holder="firm-nanning",
        centre="guian-hub",
        order="a contract of two years",
        lines=(),
        grant=(GrantAfterUse(programme="nanning.compute", terms_version=1, amount=amount),),
        invoice=_invoice(name, 200_000_00, base),
        contract=(
            Contract(
                tag=digest("contract", "firm-nanning"),
                amount=200_000_00,
                start_day=start,
                end_day=start + 729,
            ),
        ),
        service_class="training",
        usage=(hours("ascend-910b", 10_000, "2025-12-30"),),
        own_share=digest("own share", name),
        holder_signs=True,
    )
    signers = (("firm-nanning", "owner"), ("guian-hub", "officer-1"))
    return _step(operation, *signers, code=code)


def _nanning() -> list[Step]:
    revoke = RevokeAttestation(
        attester="nanning", subject="firm-nanning", topic="clean_record", about=()
    )
    return [
        _nanning_claim("first", 25_102_00, 83_676_01, code="base_exceeds_contract"),
        _nanning_claim("first", 25_103_00, 83_676_00, code="rate_exceeded"),
        _nanning_claim("first", 25_102_00, 83_676_00),
        _step(revoke, *first_officers("nanning")),
        _nanning_claim("second", 1_00, 100_00, code="not_eligible"),
    ]


def _stacked() -> list[Step]:
    hangzhou = published("hangzhou", stackable=("shenzhen.compute",), ceiling=8_000)
    shenzhen = published("shenzhen", stackable=("hangzhou.compute",), ceiling=8_000)
    usage = (hours("ascend-910b", 200, "2025-12-31"),)

    def claim(voucher: str, amount: int, code: str = "ok") -> Step:
        return _redeem(
            voucher,
            "firm-twin",
            "shenzhen-nscc",
            amount,
            base=1_000_00,
            usage=usage,
            invoice="stacked",
            code=code,
        )

    return [
        _publish("hangzhou.compute", 2, hangzhou),
        _publish("shenzhen.compute", 2, shenzhen),
        _mint("hangzhou.compute", ("firm-twin", 1_000_00), version=2),
        _mint("shenzhen.compute", ("firm-twin", 1_000_00), version=2),
        claim("hangzhou.compute.000000002", 300_00),
        claim(SHENZHEN_2, 500_00, code="programmes_not_stackable"),
        claim("shenzhen.compute.000000004", 500_01, code="ceiling_exceeded"),
        claim("shenzhen.compute.000000004", 500_00),
    ]


def _yearly_cap() -> list[Step]:
    shenzhen = ("firm-shenzhen", "shenzhen-nscc")
    usage = tuple(hours("nvidia-a800", 48_000, f"2025-12-{date:02d}") for date in range(1, 27))
    hour = (hours("ascend-910b", 1, "2026-01-02"),)
    return [
        _appropriate("shenzhen.compute", "shenzhen", 1_000, year=2026, carried_from=(2025,)),
        _mint("shenzhen.compute", ("firm-shenzhen", 1_00), version=2),
        _redeem(
            "shenzhen.compute.000000001",
            *shenzhen,
            9_999_999_99,
            base=16_666_666_65,
            usage=usage,
        ),
        _decide("shenzhen-nscc.000000005", 9_999_999_99, city="shenzhen"),
        _redeem("shenzhen.compute.000000003", *shenzhen, 1, base=2, usage=hour),
        _redeem(
            "shenzhen.compute.000000005",
            *shenzhen,
            1,
            base=2,
            usage=hour,
            code="redeemed_cap_exceeded",
        ),
    ]


if __name__ == "__main__":
    click.echo(json.dumps(vector(MemoryStore()), indent=1))
