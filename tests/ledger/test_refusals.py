"""Every refusal code is reached, carries its values, and changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from ledger.encoding.codec import FEN_MAX
from ledger.execute import Result
from ledger.ledger import Ledger
from ledger.rules import calendar
from ledger.rules.centres import Devices
from ledger.rules.claims import DAY_GPU_MS, Line, Usage
from ledger.rules.money import FunderShare
from ledger.rules.parties import PartyKey
from ledger.rules.programmes import RateRow
from ledger.rules.refusals import all_refusals, code_text
from ledger.store.memory import MemoryStore
from tests import builders
from tests.builders import GENESIS_MS, NOON_MS, Chain, key, no_caps, officers

V1, V2 = "shanghai.compute.000000001", "shanghai.compute.000000002"
TODAY = calendar.day_of(NOON_MS)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A transaction that must be refused after a setting was made."""

    claim: str
    code: str
    transaction: Callable[[], bytes]
    terms: dict[str, Any] = field(default_factory=dict)
    before: tuple[Callable[[], bytes], ...] = ()
    """Transactions that must hold first, each in a block of its own."""
    values: dict[str, int | str] = field(default_factory=dict)
    """Some of the typed values of the refusal."""


def mint(*rows: tuple[str, int], **changes: Any) -> Callable[[], bytes]:
    return lambda: builders.mint(*(rows or (("firm-a", 1_000),)), **changes)


def transfer(amount: int = 100, voucher: str = V1, **changes: Any) -> Callable[[], bytes]:
    return lambda: builders.transfer(voucher, amount, **changes)


def redeem(*lines: tuple[str, int], **changes: Any) -> Callable[[], bytes]:
    return lambda: builders.redeem(*(lines or ((V1, 100),)), **changes)


def publish(**changes: Any) -> Callable[[], bytes]:
    return lambda: builders.publish(version=2, **changes)


def appropriate(*delta: int, **changes: Any) -> Callable[[], bytes]:
    return lambda: builders.appropriate(*delta, **changes)


def enrol(party: str = "firm-c", **changes: Any) -> Callable[[], bytes]:
    return lambda: builders.enrol(party, **changes)


def attest(subject: str = "firm-a", **changes: Any) -> Callable[[], bytes]:
    return lambda: builders.attest(subject, **changes)


def accredit(centre: str = "guian-hub", **changes: Any) -> Callable[[], bytes]:
    return lambda: builders.accredit(centre, **changes)


def recognise(**changes: Any) -> Callable[[], bytes]:
    return lambda: builders.recognise(**changes)


def usage(chip: str = "ascend-910b", day: int = TODAY, gpu_ms: int = 1) -> Usage:
    return Usage(chip=chip, day=day, gpu_ms=gpu_ms, energy_wh=0)


def party_key(*names: str, person: str = "owner", roles: tuple[str, ...] = ()) -> PartyKey:
    return PartyKey(key=key(*names), person=person, roles=roles)


def rate(basis_points: int, **columns: str) -> RateRow:
    empty: dict[str, Any] = dict.fromkeys(
        ("holder_class", "chip_origin", "service_class", "ownership"), ()
    )
    chosen = {name: (value,) for name, value in columns.items()}
    return RateRow(**(empty | chosen), basis_points=basis_points)


def shares(*pairs: tuple[str, int]) -> tuple[FunderShare, ...]:
    return tuple(FunderShare(funder=name, basis_points=points) for name, points in pairs)


ONE_OFFICER = (("shanghai", "officer-1"),)
ONE_PERSON_MINTS = (("shanghai", "officer-3"),)
CLOSED = publish(status="closed")
SUSPENDED = publish(status="suspended")
GRANTED = mint(("firm-a", 10_000))
BY_ORIGIN = (rate(3000, chip_origin="domestic"), rate(2000, chip_origin="foreign"))

CASES = [
    # 1xx
    Case(
        claim="one officer alone enrols",
        code="four_eyes_missing",
        transaction=enrol(by=ONE_OFFICER),
        values={"party": "shanghai", "role": "registrar", "needed": 2, "signed": 1},
    ),
    Case(
        claim="two officers without the role mint",
        code="four_eyes_missing",
        transaction=mint(by=officers("shanghai", "budget")),
        values={"role": "mint", "signed": 0},
    ),
    Case(
        claim="one mint officer alone mints",
        code="four_eyes_missing",
        transaction=mint(by=ONE_PERSON_MINTS),
    ),
    Case(
        claim="another city's officers publish",
        code="four_eyes_missing",
        transaction=publish(by=officers("guiyang", "budget")),
    ),
    Case(
        claim="one officer alone appropriates",
        code="four_eyes_missing",
        transaction=appropriate(5, by=ONE_OFFICER),
    ),
    Case(
        claim="one officer alone accredits",
        code="four_eyes_missing",
        transaction=accredit(pue_milli=1300, by=(("guiyang", "officer-1"),)),
    ),
    Case(
        claim="one officer alone recognises",
        code="four_eyes_missing",
        transaction=recognise(limit=(1,), by=ONE_OFFICER),
    ),
    Case(
        claim="one officer alone attests",
        code="four_eyes_missing",
        transaction=attest(by=ONE_OFFICER),
    ),
    Case(
        claim="a data centre attests without its own signature",
        code="signature_missing",
        transaction=attest(attester="guian-hub", by=officers("shanghai", "registrar")),
        values={"party": "guian-hub", "needed": 1, "signed": 0},
    ),
    Case(
        claim="somebody else transfers",
        code="signature_missing",
        before=(GRANTED,),
        transaction=transfer(by=(("firm-b", "owner"),)),
    ),
    Case(
        claim="the holder redeems without the centre",
        code="signature_missing",
        before=(GRANTED,),
        transaction=redeem(by=(("firm-a", "owner"),)),
        values={"party": "guian-hub"},
    ),
    Case(
        claim="the centre redeems without the holder",
        code="signature_missing",
        before=(GRANTED,),
        transaction=redeem(by=(("guian-hub", "officer-1"),)),
        values={"party": "firm-a"},
    ),
    # 2xx
    Case(
        claim="a grant to nobody",
        code="party_unknown",
        transaction=mint(("nobody", 5)),
        values={"party": "nobody"},
    ),
    Case(
        claim="an attestation about nobody",
        code="party_unknown",
        transaction=attest("nobody"),
    ),
    Case(
        claim="an attestation that names nobody",
        code="party_unknown",
        transaction=attest(topic="unrelated_to", about=("nobody",)),
    ),
    Case(
        claim="an id that is taken", code="party_exists", transaction=enrol("firm-a", name="Other")
    ),
    Case(
        claim="a province enrols",
        code="party_wrong_kind",
        transaction=enrol(city="henan"),
        values={"party": "henan", "kind": "province", "expected": "city"},
    ),
    Case(
        claim="a holder attests",
        code="party_wrong_kind",
        transaction=attest(attester="firm-b", by=(("firm-b", "owner"),)),
    ),
    Case(
        claim="a grant to a data centre",
        code="party_wrong_kind",
        transaction=mint(("guian-hub", 5)),
    ),
    Case(
        claim="a transfer to a treasury",
        code="party_wrong_kind",
        before=(GRANTED,),
        transaction=transfer(recipient="guiyang"),
    ),
    Case(
        claim="a firm redeems at a firm",
        code="party_wrong_kind",
        before=(GRANTED,),
        transaction=redeem(redeemer="firm-b", by=(("firm-a", "owner"), ("firm-b", "owner"))),
    ),
    Case(
        claim="a firm is accredited",
        code="party_wrong_kind",
        transaction=accredit("firm-a"),
    ),
    Case(
        claim="a data centre as funder",
        code="party_wrong_kind",
        transaction=publish(funders=shares(("guian-hub", 10_000)), residual_funder="guian-hub"),
    ),
    Case(
        claim="a key of another party",
        code="key_taken",
        transaction=enrol(keys=(party_key("firm-a", "owner"),)),
    ),
    Case(
        claim="a key named twice",
        code="key_taken",
        transaction=enrol(keys=(party_key("x", "y"), party_key("x", "y", person="other"))),
    ),
    Case(
        claim="a key of small order",
        code="key_invalid",
        transaction=enrol(keys=(PartyKey(key=bytes(32), person="owner", roles=()),)),
        values={"key": "00" * 32},
    ),
    Case(
        claim="a firm under a second id",
        code="registration_tag_taken",
        transaction=enrol(registration_tag=builders.seed("firm-a", "registration")),
        values={"party": "firm-a"},
    ),
    Case(
        claim="a threshold of zero",
        code="threshold_invalid",
        transaction=enrol(threshold=0),
    ),
    Case(
        claim="a threshold above the keys",
        code="threshold_invalid",
        transaction=enrol(threshold=2),
        values={"threshold": 2, "keys": 1},
    ),
    Case(
        claim="validity that ends with the block",
        code="validity_passed",
        transaction=attest(valid_until_ms=NOON_MS + 3_000),
        values={"until_ms": NOON_MS + 3_000, "time_ms": NOON_MS + 3_000},
    ),
    Case(
        claim="a grant without an attestation",
        code="not_eligible",
        terms={
            "eligibility": (
                (
                    builders.criterion("revenue_at_least"),
                    builders.criterion("research_project"),
                ),
            )
        },
        transaction=mint(),
        values={"party": "firm-a", "needed": "revenue_at_least or research_project"},
    ),
    Case(
        claim="a holder's key with a role",
        code="roles_not_for_holders",
        transaction=enrol(keys=(party_key("firm-c", "owner", roles=("mint",)),)),
        values={"person": "owner", "roles": "mint"},
    ),
    # 3xx
    Case(
        claim="a mint of no programme",
        code="programme_unknown",
        transaction=mint(programme="shanghai.other"),
    ),
    Case(
        claim="an appropriation to no programme",
        code="programme_unknown",
        transaction=appropriate(programme="shanghai.other"),
    ),
    Case(
        claim="a recognition of no programme",
        code="programme_unknown",
        transaction=recognise(programmes=("shanghai.other",)),
    ),
    Case(
        claim="a version that is skipped",
        code="programme_version_wrong",
        transaction=lambda: builders.publish(version=3),
        values={"expected": 2, "given": 3},
    ),
    Case(
        claim="a version that exists",
        code="programme_version_wrong",
        transaction=lambda: builders.publish(version=1, title="again"),
    ),
    Case(
        claim="funder shares below the whole",
        code="terms_inconsistent",
        transaction=publish(funders=shares(("shanghai", 9_999))),
    ),
    Case(
        claim="a funder named twice",
        code="terms_inconsistent",
        transaction=publish(funders=shares(("shanghai", 5_000), ("shanghai", 5_000))),
    ),
    Case(
        claim="a residual funder who does not fund",
        code="terms_inconsistent",
        transaction=publish(residual_funder="henan"),
    ),
    Case(
        claim="a transferable grant after use",
        code="terms_inconsistent",
        transaction=publish(grant="after_use"),
    ),
    Case(
        claim="a minimum grant above the maximum",
        code="terms_inconsistent",
        transaction=publish(caps=no_caps(grant_min=(2,), grant_max=(1,))),
    ),
    Case(
        claim="listed centres under another rule",
        code="terms_inconsistent",
        transaction=publish(listed=("guian-hub",)),
    ),
    Case(
        claim="a mint of a closed programme",
        code="programme_not_open",
        before=(CLOSED,),
        transaction=mint(terms_version=2),
        values={"status": "closed"},
    ),
    Case(
        claim="a redemption of a suspended programme",
        code="programme_not_open",
        before=(GRANTED, SUSPENDED),
        transaction=redeem(),
        values={"status": "suspended"},
    ),
    Case(
        claim="a stranger's appropriation",
        code="not_a_funder",
        transaction=appropriate(funder="henan"),
    ),
    Case(
        claim="one fen above the appropriation",
        code="appropriation_exceeded",
        transaction=mint(("firm-a", 100_000_000), ("firm-b", 1)),
        values={"funder": "shanghai", "year": 2026, "asked": 1, "available": 0},
    ),
    Case(
        claim="taking back what is committed",
        code="appropriation_below_committed",
        before=(GRANTED,),
        transaction=appropriate(10_000 - 1 - 100_000_000),
        values={"appropriated": 9_999, "committed": 10_000},
    ),
    Case(
        claim="an appropriation beyond all amounts",
        code="amount_overflow",
        transaction=appropriate(FEN_MAX),
        values={"maximum": FEN_MAX},
    ),
    Case(
        claim="a carry-over",
        code="carry_over_not_supported",
        transaction=appropriate(carried_from=(2025,)),
    ),
    Case(
        claim="another city's programme is recognised",
        code="issuer_mismatch",
        transaction=recognise(issuer="guiyang"),
        values={"issuer": "shanghai", "party": "guiyang"},
    ),
    # 4xx
    Case(
        claim="a centre without accreditation",
        code="centre_not_accredited",
        before=(GRANTED,),
        transaction=redeem(redeemer="chengdu-aicc"),
    ),
    Case(
        claim="a centre whose accreditation ended",
        code="centre_not_accredited",
        before=(GRANTED, accredit(ended=True)),
        transaction=redeem(),
    ),
    Case(
        claim="another city's centre where only own ones count",
        code="centre_not_accepted",
        terms={"centres": "own_city"},
        before=(GRANTED,),
        transaction=redeem(),
        values={"centre": "guian-hub", "host": "guiyang"},
    ),
    Case(
        claim="a centre that is not on the list",
        code="centre_not_accepted",
        terms={"centres": "listed", "listed": ("chengdu-aicc",)},
        before=(GRANTED,),
        transaction=redeem(),
    ),
    Case(
        claim="a chip that the centre does not have",
        code="chip_not_accredited",
        before=(GRANTED,),
        transaction=redeem(chip="nvidia-h100"),
    ),
    Case(
        claim="one millisecond above the devices' day",
        code="capacity_exceeded",
        before=(GRANTED,),
        transaction=redeem(usage=(usage(gpu_ms=2000 * DAY_GPU_MS), usage(gpu_ms=1))),
        values={"asked": 1, "available": 0},
    ),
    Case(
        claim="recognition by which the host pays",
        code="mode_not_supported",
        transaction=recognise(mode="host_pays"),
    ),
    Case(
        claim="a recognition for no time",
        code="period_empty",
        transaction=recognise(until_ms=GENESIS_MS),
    ),
    Case(
        claim="a host named twice",
        code="repeated_value",
        transaction=recognise(hosts=("guiyang", "guiyang")),
    ),
    Case(
        claim="a programme named twice",
        code="repeated_value",
        transaction=recognise(programmes=("shanghai.compute", "shanghai.compute")),
    ),
    Case(
        claim="a chip named twice",
        code="repeated_value",
        transaction=accredit(
            devices=(Devices(chip="a", origin="domestic", count=1, tariff_ceiling=1),) * 2
        ),
    ),
    Case(
        claim="a voucher named twice in one claim",
        code="repeated_value",
        before=(GRANTED,),
        transaction=redeem((V1, 1), (V1, 2)),
        values={"value": V1},
    ),
    Case(
        claim="a second city accredits a centre",
        code="host_mismatch",
        transaction=accredit(host="shanghai"),
        values={"host": "guiyang"},
    ),
    # 5xx
    Case(
        claim="no such voucher",
        code="voucher_not_held",
        transaction=transfer(),
        values={"voucher": V1, "party": "firm-a"},
    ),
    Case(
        claim="another's voucher",
        code="voucher_not_held",
        before=(GRANTED,),
        transaction=transfer(holder="firm-b", recipient="firm-a"),
    ),
    Case(
        claim="another's voucher redeemed",
        code="voucher_not_held",
        before=(mint(("firm-b", 10_000)),),
        transaction=redeem(),
    ),
    Case(
        claim="a transfer of one fen too much",
        code="voucher_exhausted",
        before=(GRANTED,),
        transaction=transfer(10_001),
        values={"asked": 10_001, "available": 10_000},
    ),
    Case(
        claim="a redemption of one fen too much",
        code="voucher_exhausted",
        before=(GRANTED,),
        transaction=redeem((V1, 10_001)),
    ),
    Case(
        claim="a mint where money follows use",
        code="grant_is_after_use",
        terms={"grant": "after_use", "transfer": "none"},
        transaction=mint(),
    ),
    Case(
        claim="a grant below the minimum",
        code="grant_out_of_bounds",
        terms={"caps": no_caps(grant_min=(1_001,))},
        transaction=mint(),
        values={"asked": 1_000, "minimum": 1_001},
    ),
    Case(
        claim="a grant above the maximum",
        code="grant_out_of_bounds",
        terms={"caps": no_caps(grant_max=(999,))},
        transaction=mint(),
        values={"maximum": 999},
    ),
    Case(
        claim="two rows together above the holder's cap",
        code="holder_cap_exceeded",
        terms={"caps": no_caps(holder_year_issued=(1_999,))},
        transaction=mint(("firm-a", 1_000), ("firm-a", 1_000)),
        values={"asked": 1_000, "available": 999},
    ),
    Case(
        claim="a transfer above the recipient's cap",
        code="holder_cap_exceeded",
        terms={"caps": no_caps(holder_year_issued=(1_000,))},
        before=(mint(("firm-a", 1_000), ("firm-b", 950)),),
        transaction=transfer(51),
        values={"party": "firm-b", "asked": 51, "available": 50},
    ),
    Case(
        claim="two firms of one group above its cap",
        code="group_cap_exceeded",
        terms={"caps": no_caps(group_year_issued=(1_999,))},
        before=(
            enrol("firm-c", control_group="g"),
            enrol("firm-d", control_group="g"),
            mint(("firm-c", 1_000)),
        ),
        transaction=mint(("firm-d", 1_000)),
        values={"group": "g", "available": 999},
    ),
    Case(
        claim="a transfer where none is allowed",
        code="transfer_not_allowed",
        terms={"transfer": "none"},
        before=(GRANTED,),
        transaction=transfer(),
        values={"rule": "none"},
    ),
    Case(
        claim="a transfer out of the group",
        code="transfer_not_allowed",
        terms={"transfer": "same_group"},
        before=(GRANTED,),
        transaction=transfer(),
        values={"rule": "same_group"},
    ),
    Case(
        claim="a transfer to oneself",
        code="transfer_to_self",
        before=(GRANTED,),
        transaction=transfer(recipient="firm-a"),
    ),
    Case(
        claim="a mint under old terms",
        code="terms_version_wrong",
        before=(publish(),),
        transaction=mint(),
        values={"current": 2, "given": 1},
    ),
    # 6xx
    Case(
        claim="a reserve",
        code="reserve_not_supported",
        before=(GRANTED,),
        transaction=redeem(lines=(Line(voucher=V1, amount=1, reserve=("r.000000001",)),)),
    ),
    Case(
        claim="a claim without vouchers",
        code="after_use_not_supported",
        transaction=redeem(lines=()),
    ),
    Case(
        claim="vouchers of two versions in one claim",
        code="programmes_not_stackable",
        before=(GRANTED, publish(), mint(("firm-a", 500), terms_version=2)),
        transaction=redeem((V1, 1), (V2, 1)),
        values={"first": V1, "second": V2},
    ),
    Case(
        claim="an invoice that was claimed",
        code="invoice_used",
        before=(GRANTED, redeem()),
        transaction=redeem((V1, 200)),
        values={"claim": "guian-hub.000000001"},
    ),
    Case(
        claim="a base above the bill",
        code="base_exceeds_net",
        before=(GRANTED,),
        transaction=redeem(net=1_000, base=1_001),
        values={"base": 1_001, "net": 1_000},
    ),
    Case(
        claim="a claim without device time",
        code="usage_missing",
        before=(GRANTED,),
        transaction=redeem(usage=()),
    ),
    Case(
        claim="tomorrow's device time",
        code="usage_in_future",
        before=(GRANTED,),
        transaction=redeem(usage=(usage(day=TODAY + 1),)),
        values={"day": TODAY + 1, "today": TODAY},
    ),
    Case(
        claim="a chip that no rate covers",
        code="rate_none",
        terms={"rates": BY_ORIGIN[:1]},
        before=(GRANTED,),
        transaction=redeem(chip="nvidia-a100"),
        values={"chip_origin": "foreign"},
    ),
    Case(
        claim="domestic and foreign chips in one claim",
        code="rates_mixed",
        terms={"rates": BY_ORIGIN},
        before=(GRANTED,),
        transaction=redeem(usage=(usage(), usage("nvidia-a100"))),
        values={"first": 3000, "second": 2000},
    ),
    Case(
        claim="one fen above rate × base",
        code="rate_exceeded",
        before=(GRANTED,),
        transaction=redeem((V1, 301), net=1_000),
        values={"asked": 301, "allowed": 300, "basis_points": 3000, "base": 1_000},
    ),
    Case(
        claim="one fen above the ceiling",
        code="ceiling_exceeded",
        terms={"ceiling": 2_000},
        before=(GRANTED,),
        transaction=redeem((V1, 201), net=1_000),
        values={"asked": 201, "allowed": 200},
    ),
    Case(
        claim="one fen above the year's redemptions",
        code="redeemed_cap_exceeded",
        terms={"caps": no_caps(holder_year_redeemed=(150,))},
        before=(GRANTED, redeem((V1, 100))),
        transaction=redeem((V1, 51), invoice="invoice-2"),
        values={"asked": 51, "available": 50},
    ),
]


def setting(case: Case) -> Chain:
    """Return a chain on which everything but the case's transaction is right."""
    chain = Chain()
    programme = builders.publish(**case.terms)
    chain.accept(programme, builders.enrol("firm-a"), builders.enrol("firm-b"), accredit()())
    chain.accept(builders.appropriate(), builders.recognise())
    for step in case.before:
        chain.accept(step())
    return chain


def store_of(ledger: Ledger) -> MemoryStore:
    store = ledger._storage
    assert isinstance(store, MemoryStore)
    return store


def only_result(chain: Chain, transaction: bytes) -> Result:
    (result,) = chain.block(transaction).results
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}: {case.claim}")
def test_it_is_refused_and_changes_nothing(case: Case) -> None:
    chain = setting(case)
    before = dict(store_of(chain.ledger).state)
    result = only_result(chain, case.transaction())
    assert result.refusal is not None, "it was accepted"
    assert result.refusal.code == case.code, str(result.refusal)
    assert result.refusal.values.items() >= case.values.items()
    assert str(result.refusal).strip()
    assert result.postings == ()
    assert store_of(chain.ledger).state == before


def test_an_expired_voucher_is_refused_to_the_millisecond() -> None:
    chain = builders.funded_chain()
    execution = chain.accept(mint(("firm-a", 1_000))())
    assert execution.record is not None
    expires = calendar.expiry_ms(execution.record.time_ms, 365)
    late = expires + 60_000
    (last,) = chain.block(transfer(10, expires_at=late)(), time_ms=expires - 1).results
    (first,) = chain.block(transfer(11, expires_at=late)(), time_ms=expires).results
    assert last.refusal is None
    assert first.refusal is not None
    assert first.refusal.values == {"voucher": V1, "expires_at_ms": expires, "time_ms": expires}
    assert first.refusal.code == "voucher_expired"


def test_every_code_is_reached_here() -> None:
    reached = {case.code for case in CASES} | {"voucher_expired"}
    assert reached == {refusal.code for refusal in all_refusals()}


def test_codes_and_numbers_are_unique_and_named() -> None:
    refusals = all_refusals()
    assert len({refusal.code for refusal in refusals}) == len(refusals)
    assert len({refusal.number for refusal in refusals}) == len(refusals)
    assert all(100 < refusal.number < 700 for refusal in refusals)
    assert [code_text(refusal.number) for refusal in refusals] == [one.code for one in refusals]
    assert code_text(0) == "ok"
