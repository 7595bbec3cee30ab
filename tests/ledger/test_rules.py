"""What each kind does when it holds, and the exact edges of its bounds."""

from datetime import date
from typing import Any

import msgspec
import pytest

from ledger.entries import AutomaticEntry, decode_entry
from ledger.execute import Execution
from ledger.genesis import log_id_of
from ledger.rules import calendar, money
from ledger.rules.attestations import ATTESTATIONS
from ledger.rules.authority import KEYS
from ledger.rules.base import Posting
from ledger.rules.budgets import BUDGETS
from ledger.rules.centres import ACCREDITATIONS, RECOGNITIONS
from ledger.rules.claims import CLAIMS, Line
from ledger.rules.invoices import DAY_GPU_MS, DEVICE_TIME, INVOICES, Usage
from ledger.rules.money import FunderShare, Rounding
from ledger.rules.parties import PARTIES, REGISTRATION_TAGS, PartyKey
from ledger.rules.payables import PAYABLES, payable_id
from ledger.rules.programmes import PROGRAMMES, TOTALS, Publish, RateRow, Review
from ledger.rules.redemptions import BAND_USED
from ledger.rules.vouchers import ISSUED, VOUCHERS, Voucher
from ledger.transactions import parse
from ledger.view import Table, get, must
from tests import builders
from tests.builders import GENESIS_MS, NOON_MS, Chain, funded_chain, key, no_caps

PROGRAMME = "shanghai.compute"
V1, V2, V3 = (f"{PROGRAMME}.{serial:09d}" for serial in (1, 2, 3))
TODAY = calendar.day_of(NOON_MS)
replace = msgspec.structs.replace
HENAN_1_TO_1 = (
    FunderShare(funder="shanghai", basis_points=5000),
    FunderShare(funder="henan", basis_points=5000),
)


def stored(chain: Chain, table: Table[Any], *parts: str) -> Any:
    """Return a record that must exist, loosely typed so that tests read its fields at once."""
    return must(chain.ledger._storage, table, *parts)


def voucher(chain: Chain, voucher_id: str = V1) -> Voucher:
    found = stored(chain, VOUCHERS, voucher_id)
    assert isinstance(found, Voucher)
    return found


def postings(execution: Execution) -> tuple[Posting, ...]:
    return tuple(posting for result in execution.results for posting in result.postings)


def code(execution: Execution) -> str:
    """Return the code of a block's only transaction."""
    (result,) = execution.results
    return "ok" if result.refusal is None else result.refusal.code


def chain_with(*funds: tuple[str, int], **terms: Any) -> Chain:
    """Return a chain whose programme has these terms and appropriations."""
    chain = Chain()
    enrolments = [builders.enrol(name) for name in ("firm-a", "firm-b")]
    chain.accept(builders.publish(**terms), *enrolments, builders.accredit())
    for funder, amount in funds or (("shanghai", 100_000_000),):
        chain.accept(builders.appropriate(amount, funder=funder))
    chain.accept(builders.recognise())
    return chain


def re_signed(raw: bytes, genesis: bytes) -> bytes:
    """Return an officers' operation, signed again for another log."""
    transaction = parse(raw)
    names = {key("shanghai", person): person for person in builders.OFFICERS}
    signers = [("shanghai", names[public]) for public, _ in transaction.signatures]
    log_id = log_id_of(genesis)
    return builders.signed(transaction.body.operation, *signers, log_id=log_id)


# One success of each kind


def test_an_enrolled_party_has_its_keys_its_tag_and_its_city() -> None:
    chain = Chain()
    chain.accept(builders.enrol("firm-a", control_group="group-1"))
    party = stored(chain, PARTIES, "firm-a")
    assert (party.kind, party.party_class, party.enrolled_by) == (
        "holder",
        "start_up",
        ("shanghai",),
    )
    assert stored(chain, KEYS, key("firm-a", "owner").hex()).party == "firm-a"
    tag = builders.seed("firm-a", "registration").hex()
    assert stored(chain, REGISTRATION_TAGS, tag).party == "firm-a"


def test_a_threshold_of_two_needs_two_keys() -> None:
    chain = funded_chain()
    keys = tuple(
        PartyKey(key=key("firm-c", person), person=person, roles=()) for person in ("one", "two")
    )
    chain.accept(builders.enrol("firm-c", keys=keys, threshold=2))
    chain.accept(builders.mint(("firm-c", 100)))
    one, two = ("firm-c", "one"), ("firm-c", "two")
    alone = builders.transfer(V1, 5, holder="firm-c", by=(one,))
    together = builders.transfer(V1, 6, holder="firm-c", by=(one, two))
    assert code(chain.block(alone)) == "signature_missing"
    assert code(chain.block(together)) == "ok"


def test_two_keys_of_one_person_are_not_four_eyes() -> None:
    same = PartyKey(key=key("xian", "spare"), person="officer-1", roles=("budget", "registrar"))
    city = builders.city("xian")
    doubled = builders.genesis(
        replace(city, keys=(*city.keys, same)),
        builders.city("shanghai"),
    )
    log_id = log_id_of(doubled)
    chain = Chain(genesis=doubled)
    operation = Publish(
        programme="xian.compute",
        version=1,
        status="open",
        terms=builders.terms(
            funders=(FunderShare(funder="xian", basis_points=10_000),), residual_funder="xian"
        ),
    )
    one_person = builders.signed(operation, ("xian", "officer-1"), ("xian", "spare"), log_id=log_id)
    assert code(chain.block(one_person)) == "four_eyes_missing"


def test_an_attestation_is_recorded_and_a_newer_one_replaces_it() -> None:
    chain = funded_chain()
    chain.accept(builders.attest("firm-a", "revenue_at_least", amount=5))
    chain.accept(builders.attest("firm-a", "revenue_at_least", amount=7))
    found = stored(chain, ATTESTATIONS, "firm-a", "revenue_at_least", "shanghai", "")
    assert (found.amount, found.issued_ms) == (7, chain.now_ms)


def test_a_new_version_leaves_old_vouchers_their_terms() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 100)))
    chain.accept(builders.publish(version=2, transfer="none"))
    assert stored(chain, PROGRAMMES, PROGRAMME).version == 2
    assert code(chain.block(builders.transfer(V1, 1))) == "ok"


def test_an_appropriation_adds_up_and_may_be_taken_back_to_nothing() -> None:
    chain = funded_chain()
    chain.accept(builders.appropriate(5))
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").appropriated == 100_000_005
    chain.accept(builders.appropriate(-100_000_005))
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").appropriated == 0
    assert code(chain.block(builders.mint(("firm-a", 1)))) == "appropriation_exceeded"


def test_an_accreditation_may_change_and_end() -> None:
    chain = funded_chain()
    chain.accept(builders.accredit(pue_milli=1100))
    assert stored(chain, ACCREDITATIONS, "guian-hub").pue_milli == 1100
    chain.accept(builders.accredit(ended=True))
    assert stored(chain, ACCREDITATIONS, "guian-hub").ended


def test_a_recognition_covers_every_pair_of_programme_and_host() -> None:
    chain = funded_chain()
    chain.accept(builders.publish(programme="shanghai.second"))
    programmes = (PROGRAMME, "shanghai.second")
    chain.accept(builders.recognise(programmes=programmes, hosts=("guiyang", "shanghai")))
    for programme in programmes:
        for host in ("guiyang", "shanghai"):
            assert stored(chain, RECOGNITIONS, programme, host).until_ms > NOON_MS


def test_a_mint_numbers_its_vouchers_in_row_order_with_one_posting() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 100)))
    execution = chain.accept(builders.mint(("firm-b", 200), ("firm-a", 300)))
    assert [(voucher(chain, v).holder, voucher(chain, v).face) for v in (V1, V2, V3)] == [
        ("firm-a", 100),
        ("firm-b", 200),
        ("firm-a", 300),
    ]
    (posting,) = postings(execution)
    assert (posting.kind, posting.serial, posting.count, posting.amount) == ("mint", 2, 2, 500)
    totals = stored(chain, TOTALS, PROGRAMME)
    assert (totals.minted, totals.available, totals.next_serial) == (600, 600, 4)
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").committed == 600


def test_a_mint_is_all_rows_or_none() -> None:
    chain = funded_chain()
    assert code(chain.block(builders.mint(("firm-a", 100), ("nobody", 1)))) == "party_unknown"
    assert get(chain.ledger._storage, VOUCHERS, V1) is None
    assert stored(chain, TOTALS, PROGRAMME).next_serial == 1


def test_a_thousand_rows_are_one_mint() -> None:
    chain = funded_chain()
    execution = chain.accept(builders.mint(*[("firm-a", 1)] * 1_000))
    assert stored(chain, TOTALS, PROGRAMME).next_serial == 1_001
    assert postings(execution)[0].count == 1_000


def test_a_transfer_moves_face_to_a_child_and_mints_nothing() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 100)))
    before = stored(chain, TOTALS, PROGRAMME)
    execution = chain.accept(builders.transfer(V1, 40))
    parent, child = voucher(chain, V1), voucher(chain, V2)
    assert (parent.face, parent.available) == (60, 60)
    assert (child.face, child.available, child.holder) == (40, 40, "firm-b")
    assert (child.parent, child.expires_at_ms, child.year) == (
        (V1,),
        parent.expires_at_ms,
        parent.year,
    )
    after = stored(chain, TOTALS, PROGRAMME)
    assert (after.minted, after.available) == (before.minted, before.available)
    (posting,) = postings(execution)
    assert (posting.kind, posting.serial, posting.amount) == ("transfer", 2, 40)
    assert (posting.source, posting.target) == ("firm-a", "firm-b")
    assert stored(chain, ISSUED, PROGRAMME, "2026", "firm-a").fen == 100, "the sender's stays"
    assert stored(chain, ISSUED, PROGRAMME, "2026", "firm-b").fen == 40


@pytest.mark.parametrize("amount", [1, 99, 100])
def test_a_transfer_may_take_up_to_all(amount: int) -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 100)))
    chain.accept(builders.transfer(V1, amount))
    assert voucher(chain, V1).available == 100 - amount


def test_a_voucher_cannot_be_overspent_in_one_block() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 100)))
    first, second = builders.transfer(V1, 60), builders.transfer(V1, 41)
    results = chain.block(first, second).results
    assert [result.code for result in results] == [0, 502]
    assert voucher(chain, V1).available == 40


def test_a_redemption_in_the_band_is_burned_and_owed() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 1_000), ("firm-a", 500)))
    execution = chain.accept(builders.redeem((V1, 700), (V2, 500)))
    assert (voucher(chain, V1).available, voucher(chain, V1).redeemed) == (300, 700)
    claim = stored(chain, CLAIMS, "guian-hub.000000001")
    assert (claim.amount, claim.accepted, claim.status) == (1_200, 1_200, "accepted")
    assert claim.submitted_by == ("guian-hub/officer-1", "firm-a/owner")
    payable = stored(chain, PAYABLES, payable_id(claim.id, 0))
    assert (payable.debtor, payable.creditor, payable.amount) == ("shanghai", "guian-hub", 1_200)
    assert [posting.kind for posting in postings(execution)] == ["burn", "burn"]
    assert [use.claim for use in stored(chain, INVOICES, claim.invoice.tag.hex()).uses] == [
        claim.id
    ]
    assert stored(chain, DEVICE_TIME, "guian-hub", "ascend-910b", str(TODAY)).fen == 3_600_000
    totals = stored(chain, TOTALS, PROGRAMME)
    assert (totals.minted, totals.available, totals.redeemed) == (1_500, 300, 1_200)


def test_a_claim_above_the_band_waits_and_owes_nothing() -> None:
    chain = chain_with(review=Review(automatic_band=999, sample_every=0))
    chain.accept(builders.mint(("firm-a", 10_000)))
    execution = chain.accept(builders.redeem((V1, 1_000)))
    claim = stored(chain, CLAIMS, "guian-hub.000000001")
    assert (claim.status, claim.accepted, claim.decided_ms) == ("under_review", 0, ())
    assert (voucher(chain, V1).available, voucher(chain, V1).claimed) == (9_000, 1_000)
    assert [posting.kind for posting in postings(execution)] == ["move"]
    assert get(chain.ledger._storage, PAYABLES, payable_id(claim.id, 0)) is None


def test_the_band_is_summed_over_a_month_and_filled_to_the_fen() -> None:
    chain = chain_with(review=Review(automatic_band=1_000, sample_every=0))
    chain.accept(builders.mint(("firm-a", 10_000)))
    statuses = []
    for number, amount in enumerate((600, 401, 400, 1)):
        chain.accept(builders.redeem((V1, amount), invoice=f"bill {number}"))
        statuses.append(stored(chain, CLAIMS, f"guian-hub.{number + 1:09d}").status)
    assert statuses == ["accepted", "under_review", "accepted", "under_review"]
    assert stored(chain, BAND_USED, PROGRAMME, "firm-a", "guian-hub", "2026-01").fen == 1_000


def test_a_sample_of_one_in_one_sends_every_claim_to_review() -> None:
    chain = chain_with(review=Review(automatic_band=10**9, sample_every=1))
    chain.accept(builders.mint(("firm-a", 10_000)))
    chain.accept(builders.redeem((V1, 1)))
    assert stored(chain, CLAIMS, "guian-hub.000000001").status == "under_review"


def test_a_sample_of_one_in_three_is_drawn_by_hashes() -> None:
    chain = chain_with(review=Review(automatic_band=10**9, sample_every=3))
    chain.accept(builders.mint(("firm-a", 10_000)))
    statuses = []
    for number in range(30):
        chain.accept(builders.redeem((V1, 1), invoice=f"bill {number}"))
        statuses.append(stored(chain, CLAIMS, f"guian-hub.{number + 1:09d}").status)
    assert 3 <= statuses.count("under_review") <= 20


def test_the_payee_may_be_the_holder() -> None:
    chain = chain_with(payee="holder")
    chain.accept(builders.mint(("firm-a", 100)))
    chain.accept(builders.redeem((V1, 100)))
    assert stored(chain, PAYABLES, "guian-hub.000000001-000").creditor == "firm-a"


# Golden cases: published programmes


@pytest.mark.parametrize(("mode", "yuan"), [("truncate", 25_102), ("half_up", 25_103)])
def test_nanning_pays_whole_yuan_of_30_percent(mode: Any, yuan: int) -> None:
    base = 83_676_00
    assert money.benefit(base, 3000, Rounding(mode=mode, step_fen=100)) == yuan * 100


def test_nanning_refuses_one_fen_above_whole_yuan() -> None:
    chain = chain_with(rounding=Rounding(mode="truncate", step_fen=100))
    chain.accept(builders.mint(("firm-a", 5_000_000)))
    above = builders.redeem((V1, 25_102_01), net=83_676_00)
    exact = builders.redeem((V1, 25_102_00), net=83_676_00)
    assert code(chain.block(above)) == "rate_exceeded"
    assert code(chain.block(exact)) == "ok"


@pytest.mark.parametrize("amount", [1, 2, 3, 99_999, 100_000])
def test_henan_and_its_province_owe_the_claim_to_the_fen(amount: int) -> None:
    chain = chain_with(("shanghai", 10**6), ("henan", 10**6), funders=HENAN_1_TO_1)
    chain.accept(builders.mint(("firm-a", 100_000)))
    chain.accept(builders.redeem((V1, amount)))
    owed = {}
    for position, debtor in enumerate(("shanghai", "henan")):
        found = get(chain.ledger._storage, PAYABLES, payable_id("guian-hub.000000001", position))
        owed[debtor] = 0 if found is None else found.amount
    assert owed == {"henan": amount // 2, "shanghai": amount - amount // 2}


@pytest.mark.parametrize(("chip", "allowed"), [("ascend-910b", 300), ("nvidia-a100", 200)])
def test_hangzhou_pays_more_on_domestic_chips(chip: str, allowed: int) -> None:
    chain = chain_with(rates=(row_for("domestic", 3000), row_for("foreign", 2000)))
    chain.accept(builders.mint(("firm-a", 10_000)))
    above = builders.redeem((V1, allowed + 1), net=1_000, chip=chip)
    exact = builders.redeem((V1, allowed), net=1_000, chip=chip)
    assert code(chain.block(above)) == "rate_exceeded"
    assert code(chain.block(exact)) == "ok"


@pytest.mark.parametrize(("holder_class", "allowed"), [("start_up", 600), ("enterprise", 500)])
def test_shenzhen_pays_start_ups_more_and_the_first_row_wins(
    holder_class: str, allowed: int
) -> None:
    def row(points: int, *holders: Any) -> RateRow:
        return RateRow(
            holder_class=holders,
            chip_origin=(),
            service_class=(),
            ownership=(),
            basis_points=points,
        )

    chain = chain_with(rates=(row(6000, "start_up"), row(5000)))
    chain.accept(builders.enrol("firm-c", holder_class=holder_class))
    chain.accept(builders.mint(("firm-c", 10_000)))
    above = builders.redeem((V1, allowed + 1), net=1_000, holder="firm-c")
    exact = builders.redeem((V1, allowed), net=1_000, holder="firm-c")
    assert code(chain.block(above)) == "rate_exceeded"
    assert code(chain.block(exact)) == "ok"


@pytest.mark.parametrize(
    ("base", "points", "mode", "step", "paid"),
    [
        (0, 3000, "truncate", 1, 0),
        (3, 3333, "truncate", 1, 0),
        (3, 5000, "truncate", 1, 1),
        (3, 5000, "half_up", 1, 2),
        (10_000, 10_000, "truncate", 100, 10_000),
        (10_049, 10_000, "half_up", 100, 10_000),
        (10_050, 10_000, "half_up", 100, 10_100),
        (2**53 - 1, 10_000, "truncate", 1, 2**53 - 1),
    ],
)
def test_a_benefit_is_rounded_to_its_step(
    base: int, points: int, mode: Any, step: int, paid: int
) -> None:
    assert money.benefit(base, points, Rounding(mode=mode, step_fen=step)) == paid


# Boundaries


def test_appropriations_caps_and_grants_hold_to_the_fen() -> None:
    caps = no_caps(grant_min=(10,), grant_max=(50,), holder_year_issued=(60,))
    chain = chain_with(("shanghai", 100), caps=caps)
    steps = [
        ("firm-a", 9, "grant_out_of_bounds"),
        ("firm-a", 51, "grant_out_of_bounds"),
        ("firm-a", 50, "ok"),
        ("firm-a", 11, "holder_cap_exceeded"),
        ("firm-a", 10, "ok"),
        ("firm-b", 41, "appropriation_exceeded"),
        ("firm-b", 40, "ok"),
    ]
    codes = [code(chain.block(builders.mint((who, amount)))) for who, amount, _ in steps]
    assert codes == [expected for _, _, expected in steps]


def test_caps_are_of_the_year_and_begin_re_signed() -> None:
    chain = chain_with(caps=no_caps(holder_year_issued=(10,)))
    chain.accept(builders.appropriate(10, year=2027))
    chain.accept(builders.mint(("firm-a", 10)))
    new_year = calendar.end_of_day_ms(calendar.day_number(date(2026, 12, 31)))
    late = {"expires_at": new_year + 60_000}
    eve = chain.block(builders.mint(("firm-a", 9), **late), time_ms=new_year - 1)
    assert code(eve) == "holder_cap_exceeded"
    day = chain.block(builders.mint(("firm-a", 10), **late), time_ms=new_year)
    assert code(day) == "ok"
    assert voucher(chain, V2).year == 2027


def test_the_groups_cap_counts_all_its_firms() -> None:
    chain = chain_with(caps=no_caps(group_year_issued=(100,)))
    for name in ("firm-c", "firm-d"):
        chain.accept(builders.enrol(name, control_group="g"))
    chain.accept(builders.mint(("firm-c", 60)))
    assert code(chain.block(builders.mint(("firm-d", 41)))) == "group_cap_exceeded"
    assert code(chain.block(builders.mint(("firm-d", 40)))) == "ok"


def test_same_group_transfers_stay_in_the_group() -> None:
    chain = chain_with(transfer="same_group")
    for name in ("firm-c", "firm-d"):
        chain.accept(builders.enrol(name, control_group="g"))
    chain.accept(builders.mint(("firm-c", 60)))
    inside = builders.transfer(V1, 5, holder="firm-c", recipient="firm-d")
    outside = builders.transfer(V1, 5, holder="firm-c", recipient="firm-a")
    assert code(chain.block(inside)) == "ok"
    assert code(chain.block(outside)) == "transfer_not_allowed"


def test_redemptions_of_a_year_end_at_the_cap() -> None:
    chain = chain_with(caps=no_caps(holder_year_redeemed=(100,)))
    chain.accept(builders.mint(("firm-a", 1_000)))
    chain.accept(builders.redeem((V1, 60), invoice="1"))
    assert code(chain.block(builders.redeem((V1, 41), invoice="2"))) == "redeemed_cap_exceeded"
    assert code(chain.block(builders.redeem((V1, 40), invoice="3"))) == "ok"


def test_device_time_of_a_day_ends_at_the_last_millisecond() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 1_000)))

    def used(gpu_ms: int, day: int, invoice: str) -> bytes:
        row = Usage(chip="ascend-910b", day=day, gpu_ms=gpu_ms, energy_wh=0)
        return builders.redeem((V1, 1), usage=(row,), invoice=invoice)

    whole = 2000 * DAY_GPU_MS
    assert code(chain.block(used(whole + 1, TODAY, "1"))) == "capacity_exceeded"
    assert code(chain.block(used(whole, TODAY, "2"))) == "ok"
    assert code(chain.block(used(1, TODAY, "3"))) == "capacity_exceeded"
    assert code(chain.block(used(1, TODAY - 1, "4"))) == "ok", "another day"


def test_a_claim_may_reach_the_ceiling() -> None:
    chain = chain_with(ceiling=2_000)
    chain.accept(builders.mint(("firm-a", 1_000)))
    assert code(chain.block(builders.redeem((V1, 201), net=1_000))) == "ceiling_exceeded"
    assert code(chain.block(builders.redeem((V1, 200), net=1_000))) == "ok"


def test_a_redemption_is_checked_in_the_order_of_its_clauses() -> None:
    """Everything is wrong at first; each step mends what was named, and the next clause speaks."""
    caps = no_caps(holder_year_redeemed=(300,))
    chain = chain_with(rates=(row_for("domestic", 3000),), ceiling=2_500, caps=caps)
    chain.accept(builders.mint(("firm-a", 1_000), ("firm-b", 5_000), ("firm-b", 5_000)))
    chain.accept(builders.redeem((V2, 250), holder="firm-b", invoice="used", net=1_000))
    chain.accept(builders.publish(version=2, status="suspended"))
    good = Usage(chip="ascend-910b", day=TODAY, gpu_ms=1, energy_wh=0)
    owner, centre = ("firm-b", "owner"), ("guian-hub", "officer-1")
    bad: dict[str, Any] = {
        "holder": "nobody",
        "centre": "firm-a",
        "by": (("firm-a", "owner"),),
        "lines": (),
        "invoice": "used",
        "net": 800,
        "base": 900,
        "usage": (),
    }
    open_again = builders.publish(version=3, ceiling=2_500)
    steps: list[tuple[str, dict[str, Any], bytes | None]] = [
        ("party_unknown", {"holder": "guiyang"}, None),
        ("party_wrong_kind", {"holder": "firm-b"}, None),
        ("party_wrong_kind", {"centre": "chengdu-aicc"}, None),
        ("lines_or_grant", {"lines": (line(V1, 9_999), line(V1, 9_999))}, None),
        (
            "repeated_value",
            {"lines": (line(V2, 9_999), replace(line(V1, 9_999), reserve=(V2,)))},
            None,
        ),
        ("signature_missing", {"by": (("chengdu-aicc", "officer-1"),)}, None),
        ("signature_missing", {"by": (owner, centre, ("chengdu-aicc", "officer-1"))}, None),
        ("voucher_not_held", {"lines": (line(V2, 9_999), line(V3, 9_999))}, None),
        ("voucher_exhausted", {"lines": (line(V2, 300), line(V3, 20))}, None),
        ("programme_not_open", {}, open_again),
        ("centre_not_accredited", {"centre": "guian-hub"}, builders.recognise(until_ms=NOON_MS)),
        ("centre_not_accepted", {}, builders.recognise(from_ms=NOON_MS)),
        ("base_exceeds_net", {"base": 800}, None),
        ("invoice_differs", {"invoice": "fresh"}, None),
        ("usage_missing", {"usage": (replace(good, chip="other"),)}, None),
        ("chip_not_accredited", {"usage": (replace(good, day=TODAY + 1, gpu_ms=2**50),)}, None),
        ("usage_in_future", {"usage": (replace(good, gpu_ms=2**50),)}, None),
        ("capacity_exceeded", {"usage": (replace(good, chip="nvidia-a100"),)}, None),
        ("rate_none", {"usage": (good,)}, None),
        ("rate_exceeded", {"net": 1_100, "base": 1_100}, None),
        ("ceiling_exceeded", {"net": 9_000, "base": 9_000}, None),
        ("redeemed_cap_exceeded", {"lines": (line(V2, 20), line(V3, 30))}, None),
        ("ok", {}, None),
    ]
    for number, (expected, mended, setting) in enumerate(steps):
        expires_at = NOON_MS + 3_600_000 + number
        assert code(chain.block(builders.redeem(**bad, expires_at=expires_at))) == expected
        bad |= mended
        if setting is not None:
            chain.accept(setting)


def line(voucher_id: str, amount: int) -> Line:
    return Line(voucher=voucher_id, amount=amount, reserve=())


def row_for(origin: Any, points: int) -> RateRow:
    return RateRow(
        holder_class=(),
        chip_origin=(origin,),
        service_class=(),
        ownership=(),
        basis_points=points,
    )


def test_a_recognition_holds_from_its_first_to_before_its_last_millisecond() -> None:
    chain = chain_with()
    chain.accept(builders.mint(("firm-a", 1_000)))
    start, end = NOON_MS + 100_000, NOON_MS + 200_000
    chain.accept(builders.recognise(from_ms=start, until_ms=end))
    moments = [(start - 1, "centre_not_accepted"), (start, "ok")]
    moments += [(end - 1, "ok"), (end, "centre_not_accepted")]
    for number, (moment, expected) in enumerate(moments):
        claim = builders.redeem((V1, 1), invoice=f"bill {number}")
        assert code(chain.block(claim, time_ms=moment)) == expected


@pytest.mark.parametrize(
    ("terms", "accepted"),
    [
        ({"centres": "own_city"}, True),
        ({"centres": "listed", "listed": ("guian-hub",)}, True),
        ({"centres": "recognised"}, True),
    ],
)
def test_a_citys_own_centre_is_always_accepted(terms: dict[str, Any], accepted: bool) -> None:
    chain = chain_with(**terms)
    chain.accept(builders.accredit("chengdu-aicc", host="shanghai"))
    chain.accept(builders.mint(("firm-a", 1_000)))
    claim = builders.redeem((V1, 1), centre="chengdu-aicc")
    assert (code(chain.block(claim)) == "ok") is accepted


def test_a_listed_centre_needs_no_recognition() -> None:
    chain = Chain()
    chain.accept(
        builders.publish(centres="listed", listed=("guian-hub",)),
        builders.enrol("firm-a"),
        builders.accredit(),
    )
    chain.accept(builders.appropriate())
    chain.accept(builders.mint(("firm-a", 1_000)))
    assert code(chain.block(builders.redeem((V1, 1)))) == "ok"


def test_eligibility_is_all_of_any_of_what_trusted_attesters_say() -> None:
    groups = (
        (
            builders.criterion("revenue_at_least", amount=1_000, attesters=("guiyang",)),
            builders.criterion("research_project"),
        ),
        (builders.criterion("registered_in", text="310000"),),
    )
    chain = chain_with(eligibility=groups)

    def verdict(fen: int) -> str:
        return code(chain.block(builders.mint(("firm-a", fen))))

    chain.accept(builders.attest("firm-a", text="520000"))
    chain.accept(builders.attest("firm-a", "revenue_at_least", amount=1_000))
    assert verdict(1) == "not_eligible", "Shanghai is not trusted on revenue"
    chain.accept(builders.attest("firm-a", "revenue_at_least", amount=999, attester="guiyang"))
    assert verdict(2) == "not_eligible", "one fen of revenue is missing"
    chain.accept(builders.attest("firm-a", "revenue_at_least", amount=1_000, attester="guiyang"))
    assert verdict(3) == "not_eligible", "registered elsewhere"
    chain.accept(builders.attest("firm-a", text="310000"))
    assert verdict(4) == "ok"


def test_a_research_project_qualifies_without_revenue() -> None:
    group = (
        builders.criterion("revenue_at_least", amount=10**9),
        builders.criterion("research_project"),
    )
    chain = chain_with(eligibility=(group,))
    chain.accept(builders.attest("firm-a", "research_project", attester="guiyang"))
    assert code(chain.block(builders.mint(("firm-a", 1)))) == "ok"


def test_an_attestation_ends_at_its_last_millisecond() -> None:
    chain = chain_with(eligibility=((builders.criterion("clean_record"),),))
    end = NOON_MS + 100_000
    chain.accept(builders.attest("firm-a", "clean_record", valid_until_ms=end))
    assert code(chain.block(builders.mint(("firm-a", 1)), time_ms=end - 1)) == "ok"
    assert code(chain.block(builders.mint(("firm-a", 2)), time_ms=end)) == "not_eligible"


def test_an_attestation_may_be_too_old() -> None:
    chain = chain_with(eligibility=((builders.criterion("clean_record", max_age_days=2),),))
    chain.accept(builders.attest("firm-a", "clean_record"))
    issued = chain.now_ms
    young, old = issued + 3 * calendar.DAY_MS - 1, issued + 3 * calendar.DAY_MS
    late = {"expires_at": old + 60_000}
    assert code(chain.block(builders.mint(("firm-a", 1), **late), time_ms=young)) == "ok"
    assert code(chain.block(builders.mint(("firm-a", 2), **late), time_ms=old)) == "not_eligible"


def test_a_recipient_must_be_eligible_too() -> None:
    chain = chain_with(eligibility=((builders.criterion("clean_record"),),))
    chain.accept(builders.attest("firm-a", "clean_record"))
    chain.accept(builders.mint(("firm-a", 10)))
    assert code(chain.block(builders.transfer(V1, 5))) == "not_eligible"
    chain.accept(builders.attest("firm-b", "clean_record"))
    assert code(chain.block(builders.transfer(V1, 4))) == "ok"


# Time by itself


def test_value_expires_at_the_end_of_its_last_day_and_returns_to_its_funders() -> None:
    chain = chain_with(validity_days=3)
    chain.accept(builders.mint(("firm-a", 100)))
    chain.accept(builders.transfer(V1, 40))
    expires = voucher(chain).expires_at_ms
    assert expires == calendar.end_of_day_ms(TODAY + 3)
    chain.block(time_ms=expires - 1)
    assert voucher(chain).available == 60
    execution = chain.block(time_ms=expires)
    assert (voucher(chain).available, voucher(chain).expired) == (0, 60)
    assert (voucher(chain, V2).available, voucher(chain, V2).expired) == (0, 40)
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").committed == 0
    assert stored(chain, TOTALS, PROGRAMME).expired == 100
    assert execution.record is not None


def test_nothing_returns_once_its_year_is_over() -> None:
    chain = chain_with(validity_days=365)
    chain.accept(builders.mint(("firm-a", 100)))
    chain.block(time_ms=voucher(chain).expires_at_ms)
    assert voucher(chain).expired == 100
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").committed == 100


def test_claimed_value_waits_for_its_decision_and_does_not_expire() -> None:
    chain = chain_with(validity_days=3, review=Review(automatic_band=0, sample_every=0))
    chain.accept(builders.mint(("firm-a", 100)))
    chain.accept(builders.redeem((V1, 30)))
    chain.block(time_ms=voucher(chain).expires_at_ms)
    assert (voucher(chain).claimed, voucher(chain).expired) == (30, 70)


def test_funders_never_get_back_more_than_they_committed_however_a_voucher_is_split() -> None:
    chain = chain_with(("shanghai", 1_000), ("henan", 1_000), funders=HENAN_1_TO_1, validity_days=1)
    chain.accept(builders.mint(("firm-a", 10)))
    for serial in range(9):
        chain.accept(builders.transfer(V1, 1, expires_at=NOON_MS + 3_600_000 + serial))
    chain.block(time_ms=voucher(chain).expires_at_ms)
    assert stored(chain, TOTALS, PROGRAMME).expired == 10
    for funder in ("shanghai", "henan"):
        assert 0 <= stored(chain, BUDGETS, PROGRAMME, "2026", funder).committed <= 5


def test_expiries_are_at_most_the_parameter_a_block_in_order_of_expiry_and_id() -> None:
    genesis = builders.genesis(block_expiries_max=2)
    chain = Chain(genesis=genesis)

    chain.accept(
        re_signed(builders.publish(validity_days=3), genesis),
        re_signed(builders.enrol("firm-a"), genesis),
    )
    chain.accept(re_signed(builders.appropriate(), genesis))
    chain.accept(re_signed(builders.mint(*[("firm-a", 5)] * 5), genesis))
    due = voucher(chain).expires_at_ms
    serials = []
    for step in range(4):
        execution = chain.block(time_ms=due + step)
        serials.append([posting.serial for posting in expiries(execution)])
    assert serials == [[1, 2], [3, 4], [5], []]


def test_256_expiries_fit_into_one_entry_and_the_rest_follows() -> None:
    chain = chain_with(validity_days=3)
    chain.accept(builders.mint(*[("firm-a", 1)] * 300))
    due = voucher(chain).expires_at_ms
    counts = [len(expiries(chain.block(time_ms=due + step))) for step in range(3)]
    assert counts == [256, 44, 0]


def expiries(execution: Execution) -> tuple[Posting, ...]:
    """Return the postings of a block's automatic entry."""
    for data in execution.entries[:1]:
        entry = decode_entry(data)
        if isinstance(entry, AutomaticEntry):
            assert (entry.signed, entry.code) == (b"", 0)
            return entry.postings
    return ()


# The calendar at +08:00


@pytest.mark.parametrize(
    ("period", "when", "due"),
    [
        ("monthly", (2026, 1, 31), (2026, 1, 31)),
        ("monthly", (2026, 2, 1), (2026, 2, 28)),
        ("monthly", (2028, 2, 1), (2028, 2, 29)),
        ("quarterly", (2026, 1, 1), (2026, 3, 31)),
        ("quarterly", (2026, 12, 31), (2026, 12, 31)),
        ("yearly", (2026, 1, 1), (2026, 12, 31)),
    ],
)
def test_payables_fall_due_at_the_end_of_the_settlement_period(
    period: str, when: tuple[int, int, int], due: tuple[int, int, int]
) -> None:
    day = calendar.day_number(date(*when))
    last = calendar.end_of_day_ms(calendar.day_number(date(*due)))
    start = calendar.end_of_day_ms(day - 1)
    assert calendar.settlement_due_ms(start, period) == last
    assert calendar.settlement_due_ms(calendar.end_of_day_ms(day) - 1, period) == last


def test_a_day_begins_at_midnight_in_shanghai() -> None:
    midnight = GENESIS_MS - 8 * 3_600_000
    assert calendar.year_of(midnight) == 2026
    assert calendar.year_of(midnight - 1) == 2025
    assert calendar.month_of(midnight) == "2026-01"
    assert calendar.month_of(midnight - 1) == "2025-12"
    assert calendar.day_of(midnight) == calendar.day_of(midnight - 1) + 1
    assert calendar.end_of_day_ms(calendar.day_of(midnight)) == midnight + calendar.DAY_MS


def test_the_last_moment_of_the_ledger_still_has_a_due_date() -> None:
    for period in ("monthly", "quarterly", "yearly"):
        due = calendar.settlement_due_ms(calendar.TIME_MAX_MS, period)
        assert due == calendar.TIME_MAX_MS + 1
    with pytest.raises(ValueError, match="year"):
        calendar.settlement_due_ms(
            calendar.end_of_day_ms(calendar.day_number(date(9999, 12, 30))), "monthly"
        )
