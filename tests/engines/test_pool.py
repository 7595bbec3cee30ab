"""The pool alone: what is judged again after a block, and what it says of what it turns away."""

import pytest

from engines.builtin.mempool import Mempool
from ledger.inadmissible import Inadmissible, WrongLog
from ledger.ledger import Checked, Ledger
from ledger.rules.invoices import Contract
from ledger.status import TransactionStatus
from ledger.store.memory import MemoryStore
from ledger.transactions import Transaction, parse
from tests import builders
from tests.builders import NOON_MS, Chain

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
