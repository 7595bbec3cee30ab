"""The end of a year at +08:00: what expires returns to the pool of its mint, open or closed."""

from dataclasses import dataclass
from typing import Any

import pytest

from ledger.invariants import check_state
from ledger.rules import calendar
from ledger.rules.budgets import BUDGETS
from ledger.rules.claims import Decide, DecideClaim
from ledger.rules.money import FunderShare
from ledger.rules.programmes import Review
from ledger.rules.vouchers import Revoke
from ledger.store.memory import MemoryStore
from ledger.view import must
from tests.trials.datasets import small
from trials.datasets.golden import moment
from trials.datasets.world import Act, InProcess, consent, first_officers

PROGRAMME = "hangzhou.compute"
POOL = 10_000_00
NEW_YEAR_MS = moment("2027-01-01 00:00")
VALIDITY_DAYS = 10


@dataclass(frozen=True, slots=True)
class World:
    """Hangzhou with a pool of 10,000 yuan for 2026, of which vouchers are good for ten days."""

    ledger: InProcess
    store: MemoryStore

    def at(self, when: str | int, *acts: Act) -> list[str]:
        """Commit a block at a time; return the codes of its acts."""
        time_ms = moment(when) if isinstance(when, str) else when
        attempted = self.ledger.attempt(acts, time_ms=time_ms)
        assert check_state(self.store.records())
        return attempted.codes

    def committed(self, year: int, funder: str = "hangzhou") -> int:
        """Return what is committed of a year's pool."""
        return small.committed(self.store, PROGRAMME, year, funder)

    def part(self, name: str) -> int:
        """Return a part of the programme's totals."""
        return small.part(self.store, PROGRAMME, name)


def world(**terms: Any) -> World:
    """Return a world on 2026-12-01, ready to mint."""
    store = MemoryStore()
    cities = ("hangzhou", "guiyang")
    start_ms = moment("2026-12-01 09:00")
    ledger = small.begin(store, cities, {"hangzhou-dc": "hangzhou"}, start_ms)
    made = World(ledger, store)
    values = {"validity_days": VALIDITY_DAYS, **terms}
    terms_ = small.own_terms("hangzhou", **values)
    funders = [share.funder for share in terms_.funders]
    codes = made.at(
        "2026-12-01 10:00",
        small.publish(PROGRAMME, terms_),
        *(consent(PROGRAMME, 1, terms_, funder) for funder in funders if funder != "hangzhou"),
        small.enrol("firm-a", "hangzhou"),
        small.accredit("hangzhou-dc", "hangzhou"),
    )
    codes += made.at(
        "2026-12-01 11:00",
        *(small.appropriate(PROGRAMME, funder, POOL, year=2026) for funder in funders),
    )
    assert set(codes) == {"ok"}
    return made


def mint(fen: int, batch: int = 0) -> Act:
    return small.mint(PROGRAMME, ("firm-a", fen), batch=batch)


def test_what_expires_in_its_year_returns_to_the_fen_and_can_be_granted_again() -> None:
    it = world()
    assert it.at("2026-12-05 09:00", mint(POOL)) == ["ok"]
    # Good through 2026-12-15; nothing is left of the pool until then.
    before = moment("2026-12-16 00:00") - 1
    assert it.at(before, mint(1)) == ["appropriation_exceeded"]
    assert it.at("2026-12-16 00:00") == []
    assert (it.part("expired"), it.committed(2026)) == (POOL, 0)
    codes = it.at("2026-12-16 09:00", mint(POOL + 1), mint(POOL, 2), mint(1))
    assert codes == ["appropriation_exceeded", "ok", "appropriation_exceeded"]


def test_the_last_block_of_the_year_takes_nothing_and_the_first_one_returns_all() -> None:
    it = world()
    # Granted on 2026-12-21 and good for ten days: through the last moment of 2026-12-31.
    assert it.at("2026-12-21 09:00", mint(POOL)) == ["ok"]
    it.at(NEW_YEAR_MS - 1)
    assert (it.part("expired"), it.part("available"), it.committed(2026)) == (0, POOL, POOL)
    it.at(NEW_YEAR_MS)
    assert (it.part("expired"), it.part("available"), it.committed(2026)) == (POOL, 0, 0)
    # It is granted no more: a mint commits money of its own year. It is carried over.
    carried = small.appropriate(PROGRAMME, "hangzhou", POOL, year=2027, carried_from=(2026,))
    codes = it.at("2027-01-02 09:00", mint(1, 1), carried, mint(POOL, 2))
    assert codes == ["appropriation_exceeded", "ok", "ok"]


def test_the_year_ends_at_midnight_in_china_not_in_greenwich() -> None:
    hour_ms = 3_600_000
    it = world()
    assert it.at("2026-12-30 09:00", mint(4_000_00)) == ["ok"]
    revoke = Revoke(
        voucher=f"{PROGRAMME}.000000001", amount=1_000_00, case=small.digest("case", "old year")
    )
    act = Act(operation=revoke, signers=first_officers("hangzhou"))
    assert it.at(NEW_YEAR_MS - 1, act) == ["ok"]
    assert it.committed(2026) == 3_000_00
    # In Greenwich it is 16:00 of the old year; grants are of the new one.
    assert (NEW_YEAR_MS + 8 * hour_ms) % calendar.DAY_MS == 0
    assert it.at(NEW_YEAR_MS, act, mint(1)) == ["ok", "appropriation_exceeded"]
    assert (it.part("revoked"), it.committed(2026)) == (2_000_00, 2_000_00)


def test_a_silence_over_new_year_binds_nothing() -> None:
    it = world()
    assert it.at("2026-12-05 09:00", mint(POOL)) == ["ok"]
    # It was over on 2026-12-16, but the first block to see it is one of 2027.
    it.at("2027-01-03 09:00")
    assert (it.part("expired"), it.committed(2026)) == (POOL, 0)


def test_the_new_pool_is_its_own_and_what_is_unused_is_carried_over_by_the_funder() -> None:
    it = world()
    assert it.at("2026-12-30 09:00", mint(6_000_00)) == ["ok"]
    carry = [
        small.appropriate(PROGRAMME, "hangzhou", fen, year=2027, carried_from=(2026,))
        for fen in (4_000_01, 4_000_00)
    ]
    codes = it.at("2027-01-02 09:00", mint(2), *carry, mint(4_000_00), mint(1))
    assert codes == [
        "appropriation_exceeded",
        "appropriation_below_committed",
        "ok",
        "ok",
        "appropriation_exceeded",
    ]
    assert (it.committed(2026), it.committed(2027)) == (6_000_00, 4_000_00)
    # The voucher of 2026 expires on 2027-01-10: its own pool gets it.
    it.at("2027-01-10 00:00")
    assert it.part("expired") == 6_000_00
    assert (it.committed(2026), it.committed(2027)) == (0, 4_000_00)
    # The voucher of 2027 expires in its own year.
    it.at("2027-01-13 00:00")
    assert it.part("expired") == POOL
    assert (it.committed(2026), it.committed(2027)) == (0, 0)
    assert must(it.store, BUDGETS, PROGRAMME, "2026", "hangzhou").appropriated == 6_000_00


def test_two_funders_get_back_no_more_than_each_committed() -> None:
    funders = (
        FunderShare(funder="hangzhou", basis_points=6_667),
        FunderShare(funder="guiyang", basis_points=3_333),
    )
    it = world(funders=funders)
    assert it.at("2026-12-05 09:00", mint(1_000_01)) == ["ok"]
    # 100,001 fen × 33.33 % = 33,330.33 → 33,330; Hangzhou takes the rest: 66,671
    assert (it.committed(2026), it.committed(2026, "guiyang")) == (666_71, 333_30)
    it.at("2026-12-16 00:00")
    # Back go 66,670 (100,001 × 66.67 % = 66,670.67) and 33,330: a fen stays committed.
    assert (it.committed(2026), it.committed(2026, "guiyang")) == (1, 0)


@pytest.mark.parametrize("decided", ["2026-12-31 23:59", "2027-01-01 00:00"])
def test_claimed_value_waits_for_its_decision_and_returns_whatever_the_date(decided: str) -> None:
    it = world(review=Review(automatic_band=0, sample_every=0))
    assert it.at("2026-12-10 09:00", mint(1_000_00)) == ["ok"]
    claim = small.redeem(
        f"{PROGRAMME}.000000001",
        "firm-a",
        "hangzhou-dc",
        1_000_00,
        number=1,
        day=calendar.day_of(moment("2026-12-10 00:00")),
    )
    assert it.at("2026-12-11 09:00", claim) == ["ok"]
    # The voucher is over since 2026-12-21, what is claimed of it is not.
    it.at("2026-12-22 00:00")
    assert (it.part("claimed"), it.part("expired")) == (1_000_00, 0)
    reject = Decide(
        claim="hangzhou-dc.000000001", by="hangzhou", accepted=0, case=(), tag_checked=False
    )
    act = Act(operation=DecideClaim(act=reject), signers=first_officers("hangzhou"))
    assert it.at(decided, act) == ["ok"]
    assert (it.part("claimed"), it.part("expired")) == (0, 1_000_00)
    assert it.committed(2026) == 0
