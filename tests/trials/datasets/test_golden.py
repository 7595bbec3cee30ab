"""The golden ledger: every sum is a literal here, with its working beside it.

Amounts are in fen, written as yuan_fen: ``25_102_00`` is 25,102.00 yuan.
"""

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ledger import catalogue
from ledger.encoding import codec
from ledger.execute import Execution
from ledger.genesis import Genesis
from ledger.invariants import check_state
from ledger.rules.budgets import BUDGETS
from ledger.rules.claims import CLAIMS, Claim
from ledger.rules.clearing import CYCLES
from ledger.rules.parties import PARTIES
from ledger.rules.payables import PAYABLES, Payable, open_of
from ledger.rules.payments import PAYMENTS
from ledger.rules.programmes import TOTALS, Totals
from ledger.rules.refusals import TransactionRefused
from ledger.rules.reserves import RESERVES
from ledger.rules.vouchers import VOUCHERS
from ledger.store.memory import MemoryStore
from ledger.transactions import kind_of, parse
from ledger.view import Table, must
from tests.ledger.test_twin import books_of_ledger, check_books
from tests.reference.twin import KINDS, Twin
from trials.datasets import golden
from trials.datasets.golden import Scene, moment
from trials.datasets.world import Attempted
from trials.replay import replay

ROOT = Path(__file__).resolve().parents[3]
VECTOR = json.loads((ROOT / "tests" / "vectors" / "golden.json").read_text(encoding="utf-8"))


@cache
def played() -> tuple[MemoryStore, list[tuple[Scene, Attempted]]]:
    """Return the store after the story, and every block of it."""
    store = MemoryStore()
    _, blocks = golden.play(store)
    return store, blocks


def stored(table: Table[Any], *parts: str) -> Any:
    """Return a record as it is at the end."""
    return must(played()[0], table, *parts)


def refusals(title: str) -> list[TransactionRefused]:
    """Return what was refused in a scene, in order."""
    (attempted,) = (attempted for scene, attempted in played()[1] if scene.title == title)
    return [refusal for refusal in attempted.refusals if refusal is not None]


def values(refusal: TransactionRefused, *names: str) -> tuple[Any, ...]:
    """Return values of a refusal after its code."""
    return (refusal.code, *(getattr(refusal, name) for name in names))


def totals(programme: str) -> dict[str, int]:
    """Return a programme's totals but for the zeros."""
    record: Totals = stored(TOTALS, programme)
    found = {name: getattr(record, name) for name in Totals.__struct_fields__}
    return {name: fen for name, fen in found.items() if fen and name != "next_serial"}


def budget(programme: str, year: int, funder: str) -> tuple[int, int]:
    """Return what a funder appropriated and what is committed of it."""
    record = stored(BUDGETS, programme, str(year), funder)
    return record.appropriated, record.committed


def test_every_step_of_the_story_ends_as_it_says() -> None:
    for scene, attempted in played()[1]:
        for step, code in zip(scene.steps, attempted.codes, strict=True):
            assert code == step.code, f"{scene.title}, {kind_of(step.act.operation)}"


def test_the_story_has_every_kind_of_transaction_and_each_succeeds() -> None:
    kinds = Counter(
        kind_of(step.act.operation)
        for scene, _ in played()[1]
        for step in scene.steps
        if step.code == "ok"
    )
    assert sorted(kinds) == sorted(catalogue.KINDS)


def test_the_golden_log_has_this_record_hash_at_every_height() -> None:
    assert golden.vector(MemoryStore()) == VECTOR


def test_every_invariant_holds_over_the_whole_state() -> None:
    assert check_state(played()[0].records()) > 200


def test_an_auditor_replays_it_from_the_log_alone() -> None:
    store, _ = played()
    report = replay(
        golden.golden_genesis(), iter(store.log), storage=MemoryStore(), verify_commit=None
    )
    assert report.record_hash.hex() == VECTOR["record_hash"]
    assert (report.blocks, report.transactions) == (19, 97)


def test_the_naive_twin_keeps_the_same_books() -> None:
    genesis = golden.golden_genesis()
    array = msgspec.msgpack.decode(genesis)
    assert len(array) == len(Genesis.__struct_fields__)
    twin = Twin(array[3], array[4], lambda key: True, lambda key, party, proof: True)
    store = MemoryStore()
    ledger, blocks = golden.play(store)
    record_hash = bytes.fromhex(VECTOR["log_id"])
    for scene, attempted in blocks:
        height = attempted.execution.block.height
        twin.begin_block(scene.time_ms, height, record_hash)
        for raw, refusal in zip(attempted.raws, attempted.refusals, strict=True):
            transaction = parse(raw)
            kind, *fields = msgspec.msgpack.decode(codec.encode(transaction.body.operation))
            code = twin.apply(
                kind,
                dict(zip(KINDS[kind][1], fields, strict=True)),
                signers=twin.signers_of([key for key, _ in transaction.signatures]),
                time_ms=scene.time_ms,
                height=height,
                record_hash=record_hash,
                transaction_id=transaction.id,
                size=len(transaction.body_bytes),
            )
            expected = 0 if refusal is None else refusal.number
            assert code == expected, f"{scene.title}: {kind} {fields}"
        record_hash = attempted.execution.head.record_hash
    assert record_hash == ledger.record_hash
    assert len(books_of_ledger(store)["claim"]) == 14
    check_books(SimpleNamespace(twin=twin), store, "at the end")  # type: ignore[arg-type]


# Nanning: after use, for a contract of two years


def test_nanning_pays_25_102_yuan_for_its_own_example() -> None:
    # 2025-03-01 + 729 days = 2027-02-28; of these, 305 lie between 2025-03-01 and 2025-12-31.
    # 200,000.00 × 305 / 729 = 83,676.268 → 83,676.00   (truncate, step 100 fen)
    #  83,676.00 × 30 %       = 25,102.80  → 25,102.00   (truncate, step 100 fen)
    claim = stored(CLAIMS, "guian-hub.000000007")
    assert claim.invoice.base == 83_676_00
    assert claim.basis_points == 3_000
    assert (claim.amount, claim.accepted, claim.status) == (25_102_00, 25_102_00, "accepted")
    assert claim.contract[0].end_day - claim.contract[0].start_day == 729


def test_nanning_refuses_a_fen_more_of_the_contract_and_the_half_up_sum() -> None:
    contract, rate, record = refusals("Nanning pays after use")
    assert values(contract, "base", "allowed") == ("base_exceeds_contract", 83_676_01, 83_676_00)
    # half up would give 25,103.00
    assert values(rate, "asked", "allowed") == ("rate_exceeded", 25_103_00, 25_102_00)
    assert values(record, "needed") == ("not_eligible", "clean_record")


def test_nanning_owes_its_holder_and_mints_what_it_pays() -> None:
    payable = stored(PAYABLES, "guian-hub.000000007-000")
    assert (payable.debtor, payable.creditor) == ("nanning", "firm-nanning")
    assert payable.amount == 25_102_00
    assert totals("nanning.compute") == {"minted": 25_102_00, "redeemed": 25_102_00}
    assert budget("nanning.compute", 2025, "nanning") == (100_000_00, 25_102_00)


# Henan: one redemption, two payables


def test_henan_and_zhengzhou_share_to_the_fen() -> None:
    # 1,000.05 × 20 % = 200.01; half of it is 100.005:
    # province 100.00 (truncate), zhengzhou 200.01 − 100.00 = 100.01 (residual funder)
    claim = stored(CLAIMS, "zhengzhou-aicc.000000001")
    assert claim.accepted == 200_01
    province = stored(PAYABLES, "zhengzhou-aicc.000000001-000")
    city = stored(PAYABLES, "zhengzhou-aicc.000000001-001")
    assert (province.debtor, province.amount) == ("henan-province", 100_00)
    assert (city.debtor, city.amount) == ("zhengzhou", 100_01)
    assert province.creditor == city.creditor == "zhengzhou-aicc"


def test_henan_s_mint_commits_both_funders() -> None:
    # 1,000.01 minted: province 500.00, zhengzhou 500.01. Of what expired in 2026 (800.00) each
    # gets half back, though 2025 is closed.
    assert budget("zhengzhou.compute", 2025, "henan-province") == (5_000_00, 100_00)
    assert budget("zhengzhou.compute", 2025, "zhengzhou") == (5_000_00, 100_01)
    assert totals("zhengzhou.compute") == {
        "minted": 1_000_01,
        "redeemed": 200_01,
        "expired": 800_00,
    }


# Hangzhou: 30 % on domestic chips, 20 % on others


def test_hangzhou_pays_30_percent_on_ascend_and_20_on_a100_of_the_same_base() -> None:
    ascend, a100 = (stored(CLAIMS, f"guian-hub.00000000{number}") for number in (1, 2))
    assert ascend.invoice.base == a100.invoice.base == 10_000_00
    # 10,000.00 × 30 % = 3,000.00 and 10,000.00 × 20 % = 2,000.00
    assert (ascend.usage[0].chip, ascend.accepted) == ("ascend-910b", 3_000_00)
    assert (a100.usage[0].chip, a100.accepted) == ("nvidia-a100", 2_000_00)


def test_a_redemption_is_refused_one_fen_above_its_rate() -> None:
    found = refusals("Redemptions")
    rates = [one for one in found if one.code in ("rate_exceeded", "rates_mixed")]
    assert [values(one, *names) for one, names in zip(rates, RATE_VALUES, strict=True)] == [
        ("rate_exceeded", 3_000_01, 3_000_00),
        ("rate_exceeded", 2_000_01, 2_000_00),
        ("rates_mixed", 3_000, 2_000),
        ("rate_exceeded", 600_01, 600_00),  # Shenzhen's 60 % of 1,000.00
    ]


RATE_VALUES = [
    ("asked", "allowed"),
    ("asked", "allowed"),
    ("first", "second"),
    ("asked", "allowed"),
]


def test_hangzhou_s_books_at_the_end() -> None:
    # minted      50,000.00 + 1,000.00 (version 2)                            = 51,000.00
    # redeemed     3,000.00 − 500.00 − 200.00 (credit notes)                  =  2,300.00
    #            + 2,000.00 (A100) + 2,500.00 (disputed) + 300.00 (stacked)   =  7,100.00
    # expired     50,000.00 − (7,100.00 − 300.00)                             = 43,200.00
    # available    1,000.00 − 300.00                                          =    700.00
    assert totals("hangzhou.compute") == {
        "minted": 51_000_00,
        "available": 700_00,
        "redeemed": 7_100_00,
        "expired": 43_200_00,
    }
    # It expired in 2026 and is bound in 2025 no longer: 51,000.00 − 43,200.00
    assert budget("hangzhou.compute", 2025, "hangzhou") == (100_000_00, 7_800_00)


def test_a_disputed_claim_gives_the_rest_back_to_its_reserve() -> None:
    # 13,333.34 × 30 % = 4,000.002 → 4,000.00 claimed, 2,500.00 accepted. In the reserve:
    # 5,000.00 − 4,000.00 + 1,500.00 = 2,500.00, which the centre then released.
    claim = stored(CLAIMS, golden.DISPUTED)
    assert (claim.amount, claim.accepted) == (4_000_00, 2_500_00)
    reserve = stored(RESERVES, golden.RESERVE)
    assert (reserve.amount, reserve.left) == (5_000_00, 0)
    window, case = refusals("A claim is disputed")
    # submitted 2025-06-09 09:00, plus seven days
    assert values(window, "until_ms") == ("dispute_window_open", moment("2025-06-16 09:00"))
    assert case.code == "case_missing"


# Shenzhen: 60 % for start-ups, ten million a year


def test_shenzhen_pays_a_start_up_60_percent() -> None:
    claim = stored(CLAIMS, "shenzhen-nscc.000000002")
    # 1,000.00 × 60 % = 600.00
    assert (claim.invoice.base, claim.basis_points, claim.accepted) == (1_000_00, 6_000, 600_00)
    assert stored(PARTIES, "firm-twin").party_class == "start_up"


def test_shenzhen_s_ten_million_bite_at_the_exact_fen_when_granted() -> None:
    # 9,999,999.99 granted: 0.02 more is refused, 0.01 holds, then nothing does.
    (first, *_) = refusals("Grants")
    assert values(first, "asked", "available") == ("holder_cap_exceeded", 2, 1)
    (second, *_) = refusals("Redemptions")
    assert values(second, "asked", "available") == ("holder_cap_exceeded", 1, 0)
    granted = [stored(VOUCHERS, f"shenzhen.compute.00000000{number}").face for number in (1, 3)]
    assert granted == [9_999_999_99, 1]
    assert sum(granted) == 10_000_000_00


def test_shenzhen_s_ten_million_bite_at_the_exact_fen_when_redeemed() -> None:
    # 16,666,666.65 × 60 % = 9,999,999.99 accepted in 2026 by two officers; 0.01 more holds
    # (0.02 × 60 % = 0.012 → 0.01), and the next fen, of a voucher of 2026, is refused.
    (refused,) = refusals("Shenzhen's yearly cap")
    assert values(refused, "asked", "available", "year") == ("redeemed_cap_exceeded", 1, 0, 2026)
    claims = [stored(CLAIMS, f"shenzhen-nscc.00000000{number}").accepted for number in (5, 6)]
    assert claims == [9_999_999_99, 1]


def test_shenzhen_s_books_at_the_end() -> None:
    # minted    9,999,999.99 + 20,000.00 + 0.01 + 1,000.00 + 1.00 (2026)   = 10,021,001.00
    # redeemed  600.00 + 300.00 + 500.00 + 9,999,999.99 + 0.01             = 10,001,400.00
    # expired   20,000.00 − 600.00 − 300.00                                =     19,100.00
    # available 1,000.00 − 500.00 + 1.00                                   =        501.00
    assert totals("shenzhen.compute") == {
        "minted": 10_021_001_00,
        "available": 501_00,
        "redeemed": 10_001_400_00,
        "expired": 19_100_00,
    }
    # 1,000.00 were carried over: 20,000,000.00 − 1,000.00; committed 10,021,000.00 − 19,100.00
    assert budget("shenzhen.compute", 2025, "shenzhen") == (19_999_000_00, 10_001_900_00)
    assert budget("shenzhen.compute", 2026, "shenzhen") == (1_000_00, 1_00)


# Qingyang and a programme for domestic chips


def test_qingyang_s_vouchers_do_not_move_and_start_at_5_000_yuan() -> None:
    transfer = next(one for one in refusals("Redemptions") if one.code == "transfer_not_allowed")
    assert values(transfer, "programme", "rule")[1:] == ("qingyang.compute", "none")
    small = refusals("Grants")[1]
    assert values(small, "asked", "minimum") == ("grant_out_of_bounds", 4_999_99, 5_000_00)


def test_qingyang_s_extended_voucher_outlives_the_year_and_the_revoked_part_returned() -> None:
    # 5,000.00 granted, 1,000.00 revoked in the open year: committed 4,000.00
    assert totals("qingyang.compute") == {
        "minted": 5_000_00,
        "available": 4_000_00,
        "revoked": 1_000_00,
    }
    assert budget("qingyang.compute", 2025, "qingyang") == (10_000_00, 4_000_00)
    assert stored(VOUCHERS, golden.QINGYANG_1).expires_at_ms == moment("2027-01-01 00:00")


def test_foreign_chips_have_no_rate_in_a_domestic_programme() -> None:
    refused = next(one for one in refusals("Redemptions") if one.code == "rate_none")
    assert values(refused, "chip_origin") == ("rate_none", "foreign")


def test_the_domestic_programme_returns_what_expired_in_its_year() -> None:
    # minted 2,000.00; redeemed 500.00 × 40 % + 1,000.00 × 40 % + 250.00 × 40 % = 700.00
    # expired 500.00 (transferred) + 800.00 (kept) = 1,300.00; committed 2,000.00 − 1,300.00
    assert totals(golden.DOMESTIC) == {
        "minted": 2_000_00,
        "redeemed": 700_00,
        "expired": 1_300_00,
    }
    assert budget(golden.DOMESTIC, 2025, "guiyang") == (3_000_00, 700_00)
    over = refusals("Grants")[-1]
    # 3,000.00 − 2,000.00 = 1,000.00 are free
    assert values(over, "asked", "available") == ("appropriation_exceeded", 1_000_01, 1_000_00)


def test_a_stopped_holder_loses_no_time() -> None:
    # Both expire after 2025-08-03; the holder was stopped for 72 hours: through 2025-08-06.
    blocks = {scene.title: attempted.execution for scene, attempted in played()[1]}
    first = blocks["Sixty days are over, but not for all"]
    assert expired_by(first) == [(f"{golden.DOMESTIC}.000000002", 500_00)]
    second = blocks["Nor for the stopped holder any more"]
    assert second.block.time_ms - first.block.time_ms == 72 * 3_600_000
    assert expired_by(second) == [(golden.DOMESTIC_1, 800_00)]


def expired_by(execution: Execution) -> list[tuple[str, int]]:
    """Return the vouchers whose value a block's time let expire."""
    _, postings = msgspec.msgpack.decode(execution.entries[0])
    return [
        (f"{programme}.{serial:09d}", amount)
        for _, programme, serial, _, amount, _, target in postings
        if target == "expired"
    ]


# One invoice, two cities


def test_an_invoice_is_refused_in_a_second_city_and_in_the_same_one() -> None:
    found = refusals("Redemptions")
    stacked = next(one for one in found if one.code == "programmes_not_stackable")
    assert values(stacked, "first", "second")[1:] == ("hangzhou.compute", "shenzhen.compute")
    used = next(one for one in found if one.code == "invoice_used")
    assert values(used, "claim")[1:] == ("guian-hub.000000001",)


def test_one_city_s_word_is_not_enough_and_together_they_stay_below_the_ceiling() -> None:
    one_sided, above = refusals("One invoice in two cities")
    assert one_sided.code == "programmes_not_stackable"
    # 1,000.00 × 80 % = 800.00; Hangzhou pays 300.00 (30 %), so Shenzhen at most 500.00, not 600.00
    assert values(above, "asked", "allowed") == ("ceiling_exceeded", 500_01, 500_00)
    claims = [stored(CLAIMS, f"shenzhen-nscc.00000000{number}") for number in (3, 4)]
    assert [claim.accepted for claim in claims] == [300_00, 500_00]
    assert len({claim.invoice.tag for claim in claims}) == 1


# Settlement


def test_credit_notes_come_off_before_payment_and_run_the_other_way_after_it() -> None:
    # 3,000.00 − 500.00 (cancelled) = 2,500.00 = 1,000.00 + 1,500.00 paid; then 200.00 back
    claim = stored(CLAIMS, "guian-hub.000000001")
    assert (claim.accepted, claim.credited) == (3_000_00, 700_00)
    payable = stored(PAYABLES, "guian-hub.000000001-000")
    assert (payable.cancelled, payable.paid, payable.reversed) == (500_00, 2_500_00, 200_00)
    assert (payable.attempt, open_of(payable)) == (2, 0)
    back = stored(PAYABLES, "guian-hub.000000001-001")
    assert (back.debtor, back.creditor, back.amount) == ("guian-hub", "hangzhou", 200_00)
    (above,) = refusals("Credit notes and payments")
    assert values(above, "asked", "available") == ("payment_exceeds_due", 2_500_01, 2_500_00)


def test_payments_end_as_the_banks_said() -> None:
    found = {
        name: stored(PAYMENTS, "guiyang" if name == "GY-1" else "hangzhou", name)
        for name in ("HZ-1", "HZ-2", "HZ-3", "GY-1")
    }
    assert {name: (one.status, one.amount, one.attempt) for name, one in found.items()} == {
        "HZ-1": ("confirmed", 1_000_00, 1),
        "HZ-2": ("returned", 1_500_00, 1),
        "HZ-3": ("confirmed", 1_500_00, 2),
        "GY-1": ("confirmed", 100_00, 1),
    }
    # 2,000.00 − 0.50 written off
    assert open_of(stored(PAYABLES, "guian-hub.000000002-000")) == 1_999_50


def test_hosts_pay_their_centres_and_a_cycle_nets_what_they_are_owed() -> None:
    # Guiyang paid 300.00 for Shenzhen (500.00 × 60 %), Shenzhen 400.00 for Guiyang
    # (1,000.00 × 40 %): net, Guiyang owes Shenzhen 100.00.
    cycle = stored(CYCLES, "1")
    nets = {position.party: position.net for position in cycle.positions}
    assert nets == {"guiyang": -100_00, "shenzhen": 100_00}
    assert (cycle.payables, cycle.amount) == (1, 100_00)
    settlement = stored(PAYABLES, "clearing.000000001-000")
    assert (settlement.debtor, settlement.creditor) == ("guiyang", "shenzhen")
    assert (settlement.amount, open_of(settlement)) == (100_00, 0)
    over = refusals("Redemptions")[-1]
    assert values(over, "asked", "available") == ("recognition_exceeded", 1, 0)


PROGRAMMES = sorted(
    ("nanning", "zhengzhou", "hangzhou", "shenzhen", "qingyang"),
)


@pytest.mark.parametrize("city", PROGRAMMES)
def test_what_centres_and_holders_are_owed_is_what_was_redeemed(city: str) -> None:
    """Statements from two sides: by the claims, and by the payables of the first leg."""
    claimed = owed = 0
    for _, record in played()[0].records():
        match record:
            case Claim(programme=programme) if programme == f"{city}.compute":
                claimed += record.accepted - record.credited
            case Payable(leg="benefit"):
                if stored(CLAIMS, record.cause).programme == f"{city}.compute":
                    owed += -record.amount if record.reverse else record.amount - record.cancelled
    assert claimed == owed == totals(f"{city}.compute").get("redeemed", 0)


def test_the_page_shows_the_sums_that_hold() -> None:
    page = (ROOT / "docs" / "golden.md").read_text(encoding="utf-8")
    for programme in (*(f"{city}.compute" for city in PROGRAMMES), golden.DOMESTIC):
        row = re.search(rf"^\| `{re.escape(programme)}` \|(.*)\|$", page, re.M)
        assert row, programme
        cells = [int(re.sub(r"[ ,.]", "", cell)) for cell in row[1].split("|")]
        record = stored(TOTALS, programme)
        parts = ("minted", "available", "redeemed", "expired", "revoked")
        assert cells == [getattr(record, part) for part in parts]
    assert VECTOR["record_hash"] in page
    assert (
        "19 blocks" in page
        and f"97\ntransactions of all {len(catalogue.KINDS)} kinds, and 27 more that are tried"
        in page
    )
    for scene, _ in played()[1]:
        assert scene.title in page, f"the page leaves out {scene.title!r}"
