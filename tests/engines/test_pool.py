"""The pool alone: what is judged again after a block, and what it says of what it turns away."""

import pytest

from engines.builtin.mempool import Mempool
from ledger.inadmissible import AlreadyLogged, Expired, ExpiresTooFar, Inadmissible, WrongLog
from ledger.ledger import Checked, Ledger
from ledger.rules.invoices import Contract
from ledger.status import TransactionStatus
from ledger.store.memory import MemoryStore
from ledger.transactions import Transaction, parse
from tests import builders
from tests.builders import MINUTE_MS, NOON_MS, Chain

CONTRACT = Contract(tag=bytes(32), amount=10_000_000, start_day=20_000, end_day=20_365)


class CountingLedger(Ledger):
    """A ledger that tells which transactions it was asked about."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.asked: list[bytes] = []

    def recheck(self, transaction: Transaction, *, time_ms: int) -> Checked:
        """Answer, and note the transaction."""
        self.asked.append(transaction.id)
        return super().recheck(transaction, time_ms=time_ms)


def stocked() -> tuple[Chain, CountingLedger]:
    """Return a chain on which firm-a holds three vouchers."""
    ledger = CountingLedger(MemoryStore())
    chain = builders.funded_chain(ledger=ledger)
    chain.accept(builders.mint(*[("firm-a", 10_000)] * 3))
    return chain, ledger


def claim(number: int) -> bytes:
    """Return a redemption of a voucher under the one contract, with an invoice of its own."""
    voucher = f"shanghai.compute.{number:09d}"
    return builders.redeem((voucher, 100), contract=(CONTRACT,), invoice=f"invoice-{number}")


def test_a_block_that_changes_only_running_sums_has_nothing_judged_again() -> None:
    chain, ledger = stocked()
    pool = Mempool(ledger)
    first, second, third = (parse(claim(number)) for number in (1, 2, 3))
    for transaction in (first, second):
        assert pool.add(transaction, own=True, time_ms=chain.now_ms)
    assert ledger.asked == [first.id, second.id]
    ledger.asked.clear()
    pool.committed(chain.accept(third.raw))
    assert ledger.asked == []
    pool.committed(chain.accept(builders.transfer("shanghai.compute.000000001", 1)))
    assert ledger.asked == [first.id], "its voucher was written"


def test_only_block_time_says_that_a_transaction_has_expired() -> None:
    chain, ledger = stocked()
    pool = Mempool(ledger)
    block_ms = chain.now_ms + 5_000
    raw = builders.transfer("shanghai.compute.000000001", 1, expires_at=block_ms)
    late = parse(raw)
    ahead_ms = block_ms + 60 * MINUTE_MS
    assert pool.add(late, own=True, time_ms=ahead_ms), "by a clock that is ahead"
    assert pool.status(late.id).status == "pending"
    pool.committed(chain.block(time_ms=block_ms - 1))
    assert pool.status(late.id).status == "pending"
    pool.committed(chain.block(time_ms=block_ms))
    assert pool.status(late.id).status == "expired"
    with pytest.raises(Expired):
        pool.add(late, own=True, time_ms=block_ms)


def test_the_log_is_looked_at_before_any_clock() -> None:
    chain, ledger = stocked()
    pool = Mempool(ledger)
    raw = builders.transfer("shanghai.compute.000000001", 1)
    chain.accept(raw)
    chain.block(time_ms=parse(raw).body.expires_at)
    with pytest.raises(AlreadyLogged):
        pool.add(parse(raw), own=True, time_ms=chain.now_ms)


def test_an_expiry_may_lie_ahead_of_the_clock_or_of_block_time() -> None:
    _, ledger = stocked()
    pool = Mempool(ledger)
    most_ms = ledger.parameters().expiry_ahead_max_ms
    last_ms, clock_ms = ledger.last().time_ms, ledger.last().time_ms + MINUTE_MS
    voucher = "shanghai.compute.000000001"
    for time_ms, from_ms in ((clock_ms, clock_ms), (last_ms - MINUTE_MS, last_ms)):
        good = parse(builders.transfer(voucher, 1, expires_at=from_ms + most_ms))
        assert pool.add(good, own=True, time_ms=time_ms)
        far = parse(builders.transfer(voucher, 1, expires_at=from_ms + most_ms + 1))
        with pytest.raises(ExpiresTooFar):
            pool.add(far, own=True, time_ms=time_ms)


def test_what_waits_is_listed_in_the_order_in_which_it_came_and_from_any_place_on() -> None:
    chain, ledger = stocked()
    pool = Mempool(ledger)
    good, refused, better = (
        parse(builders.transfer(f"shanghai.compute.{number:09d}", amount))
        for number, amount in ((1, 1), (2, 10_001), (3, 1))
    )
    alone = parse(builders.transfer("shanghai.compute.000000003", 1, by=(("firm-a", "owner"),)))
    for transaction in (alone, good, refused, better):
        assert pool.add(transaction, own=False, time_ms=chain.now_ms)
    found = list(pool.waiting(0))
    assert [(one.raw, one.status.status, one.status.code) for one in found] == [
        (good.raw, "pending", "ok"),
        (refused.raw, "refused", "voucher_exhausted"),
        (better.raw, "pending", "ok"),
    ]
    assert [one.arrival for one in found] == [2, 3, 4], "who signed more came in anew"
    assert list(pool.waiting(2)) == found[1:]
    assert list(pool.waiting(4)) == []
    pool.committed(chain.accept(good.raw))
    assert list(pool.waiting(0)) == found[2:], "what the next block's state refuses is dropped"


def test_what_is_turned_away_is_told_with_its_code_and_values() -> None:
    chain, ledger = stocked()
    pool = Mempool(ledger)
    stranger = parse(builders.transfer("shanghai.compute.000000001", 1, log_id=bytes(32)))
    with pytest.raises(Inadmissible) as turned_away:
        pool.add(stranger, own=True, time_ms=chain.now_ms)
    assert isinstance(turned_away.value, WrongLog)
    status = TransactionStatus.inadmissible(stranger.id, NOON_MS, turned_away.value)
    assert (status.status, status.code, status.number) == ("inadmissible", "wrong_log", 0)
    assert dict(status.values) == {"signed_for": "00" * 32, "log_id": builders.LOG_ID.hex()}
