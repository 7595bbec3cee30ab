"""The naive twin of the ledger's money: whole numbers in dictionaries, nothing clever.

It follows the committed log alone and knows nothing of programmes' terms. What it refuses, no rule
may let through.
"""

from dataclasses import dataclass

from ledger import entries
from ledger.execute import Execution
from ledger.rules.programmes import TOTALS
from ledger.rules.redemptions import Redeem
from ledger.rules.vouchers import VOUCHERS, Mint, Transfer
from ledger.store.memory import MemoryStore
from ledger.transactions import parse
from ledger.view import must
from trials.simulation.world import Violation


@dataclass(slots=True)
class Purse:
    """What is left of one voucher."""

    holder: str
    fen: int


class Tally:
    """Vouchers by id, and what became of all that was minted, for one programme."""

    def __init__(self, programme: str) -> None:
        self.purses: dict[str, Purse] = {}
        self.minted = 0
        self.spent = 0
        """Redeemed, or claimed and waiting."""
        self.expired = 0
        self.logged: dict[bytes, None] = {}
        """Every logged transaction."""
        self._programme = programme

    def follow(self, execution: Execution) -> None:
        """Take in a block; raise Violation if it spends what is not there."""
        self._expire(execution)
        for raw in execution.block.transactions:
            transaction = parse(raw)
            if transaction.id in self.logged:
                raise Violation(f"logged twice: {transaction.id.hex()}")
            self.logged[transaction.id] = None
            match transaction.body.operation:
                case Mint(rows=rows):
                    for row in rows:
                        self._add(row.holder, row.amount)
                        self.minted += row.amount
                case Transfer() as transfer:
                    self._take(transfer.voucher, transfer.holder, transfer.amount)
                    self._add(transfer.recipient, transfer.amount)
                case Redeem() as redeem:
                    for line in redeem.lines:
                        self._take(line.voucher, redeem.holder, line.amount)
                        self.spent += line.amount

    def compare(self, store: MemoryStore) -> None:
        """Raise Violation unless a committed state says the same, voucher by voucher."""
        if not self.purses:
            return
        for voucher_id, purse in self.purses.items():
            voucher = must(store, VOUCHERS, voucher_id)
            if (voucher.holder, voucher.available) != (purse.holder, purse.fen):
                raise Violation(f"overspent or lost: {voucher} but the log leaves {purse}")
        totals = must(store, TOTALS, self._programme)
        left = sum(purse.fen for purse in self.purses.values())
        if self.minted != left + self.spent + self.expired:
            raise Violation(f"not conserved: {self.minted} minted, {left} left")
        known = (totals.minted, totals.available, totals.claimed + totals.redeemed, totals.expired)
        if known != (self.minted, left, self.spent, self.expired):
            raise Violation(f"not conserved: totals say {known}")

    def _add(self, holder: str, fen: int) -> None:
        serial = len(self.purses) + 1
        self.purses[f"{self._programme}.{serial:09d}"] = Purse(holder, fen)

    def _take(self, voucher: str, holder: str, fen: int) -> None:
        purse = self.purses.get(voucher)
        if purse is None or purse.holder != holder or purse.fen < fen:
            raise Violation(f"double spend: {holder} spends {fen} fen of {voucher}, {purse}")
        purse.fen -= fen

    def _expire(self, execution: Execution) -> None:
        first = entries.decode_entry(execution.entries[0]) if execution.entries else None
        if not isinstance(first, entries.AutomaticEntry):
            return
        for posting in first.postings:
            if posting.kind == "burn":
                continue  # a claim that was not drawn for review: spent before
            purse = self.purses[f"{posting.programme}.{posting.serial:09d}"]
            if purse.fen != posting.amount:
                raise Violation(f"expired {posting.amount} fen of {purse}")
            purse.fen = 0
            self.expired += posting.amount
