"""A small city-year adds up, in process and on a network; the sums find a wrong fen."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest

from ledger.blocks import BlockRefused
from ledger.encoding import codec
from ledger.encoding.codec import Record
from ledger.rules.base import Posting
from ledger.rules.claims import Claim
from ledger.rules.payables import Payable
from ledger.rules.vouchers import Voucher
from ledger.store.lmdb_store import LmdbStore
from ledger.transactions import kind_of
from trials.datasets.city_year import (
    FIRST_DAY,
    START_MS,
    Report,
    Shadow,
    run_in_process,
    run_network,
)
from trials.datasets.sums import add_up, disagreements
from trials.datasets.world import public_key
from trials.datasets.year import CLAIMS, MONTH_DAYS, Item, Year, year_plans

SCALE = 200


def year(seed: int = 1, scale: int = SCALE) -> Year:
    return Year(
        scale=scale,
        keys=public_key,
        first_day=FIRST_DAY,
        day_of_month=lambda month: FIRST_DAY + month * MONTH_DAYS,
        until_ms=START_MS * 2,
        budget_year=2026,
        seed=seed,
    )


@cache
def small_year() -> tuple[Item, ...]:
    return tuple(year().items())


def bytes_of(items: Iterator[Item]) -> list[bytes]:
    return [codec.encode(item.act.operation) for item in items]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    folder = tmp_path_factory.mktemp("city-year")
    return run_in_process(folder, scale=SCALE, durable=False), folder


def test_the_same_seed_makes_the_same_year_and_another_seed_another() -> None:
    first = [codec.encode(item.act.operation) for item in small_year()]
    assert bytes_of(year().items()) == first
    assert bytes_of(year(seed=2).items()) != first


def test_a_year_has_claims_of_all_programmes_and_every_way_they_end() -> None:
    kinds = Counter(kind_of(item.act.operation) for item in small_year())
    assert kinds["voucher.redeem"] == CLAIMS // SCALE
    assert {
        "voucher.transfer",
        "voucher.reserve",
        "voucher.release",
        "claim.decide",
        "claim.credit",
    } <= set(kinds)
    full = year(scale=1)
    assert 1_100 <= full.firms <= 1_200
    assert len(full.expected) == 17
    assert sum(1 for plan in year_plans() if plan.kind == "data_centre") == 40


def test_a_phase_begins_where_an_order_matters() -> None:
    phases = [item.phase for item in small_year()]
    assert phases == sorted(phases)
    for phase in set(phases):
        lanes = {bool(item.lane) for item in small_year() if item.phase == phase}
        assert len(lanes) == 1, "a phase is all lanes or none"


def test_a_small_year_runs_and_every_sum_agrees(run: tuple[Report, Path]) -> None:
    report, _ = run
    assert report.transactions == len(small_year())
    assert report.claims == CLAIMS // SCALE == sum(count for _, count in report.statuses)
    assert {"accepted", "rejected", "under_review"} == {name for name, _ in report.statuses}


def test_a_run_is_the_same_again(run: tuple[Report, Path], tmp_path: Path) -> None:
    again = run_in_process(tmp_path, scale=SCALE, durable=False)
    assert again.record_hash == run[0].record_hash


def changed(folder: Path, kind: type[Record], **changes: int) -> list[str]:
    """Return the disagreements when one record of a kind says a fen more."""
    store = LmdbStore(folder, durable=False)
    records = list(store.records())
    store.close()
    assert list(disagreements(add_up(records))) == []
    place = next(
        place
        for place, (_, record) in enumerate(records)
        if isinstance(record, kind) and all(getattr(record, name) for name in changes)
    )
    key, record = records[place]
    values = {name: getattr(record, name) + delta for name, delta in changes.items()}
    records[place] = key, msgspec.structs.replace(record, **values)
    return list(disagreements(add_up(records)))


def test_the_sums_find_one_wrong_fen_in_a_claim_a_payable_or_a_voucher(
    run: tuple[Report, Path],
) -> None:
    _, folder = run
    (claim,) = changed(folder, Claim, accepted=1)
    assert "accepted by claims" in claim
    payable = changed(folder, Payable, amount=1)
    assert any("owed" in complaint for complaint in payable)
    voucher = changed(folder, Voucher, available=1)
    assert any("available" in complaint for complaint in voucher)


def test_the_shadow_of_postings_finds_value_from_nowhere(run: tuple[Report, Path]) -> None:
    _, folder = run
    store = LmdbStore(folder, durable=False)
    shadow = Shadow()
    posting = Posting(
        kind="mint",
        programme="shanghai.compute",
        serial=1,
        count=1,
        amount=1,
        source="shanghai",
        target="available",
    )
    shadow.post([posting])
    assert list(shadow.disagreements(store, 1)) != []
    store.close()


def test_a_refused_act_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Year, "_appropriate", lambda *_: iter(()))
    with pytest.raises(BlockRefused, match="is refused: appropriation_exceeded"):
        run_in_process(tmp_path, scale=SCALE, durable=False)


@pytest.mark.cluster
@pytest.mark.long
def test_a_small_year_runs_on_four_validators_which_all_keep_the_same_totals(
    tmp_path: Path,
) -> None:
    report = run_network(tmp_path, scale=SCALE)
    assert report.claims == CLAIMS // SCALE
