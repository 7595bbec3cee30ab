"""The pool of pending transactions: admitted, waiting, judged again when it matters (spec N7).

A pool, not a promise. What a rule refuses is answered and dropped: nothing that was refused becomes
final by itself later. Synchronous and without I/O; the caller passes the time.
"""

import heapq
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engines.failures import BrokenOff, attempt
from ledger.execute import Execution
from ledger.ledger import Checked, Ledger
from ledger.rules.refusals import TransactionRefused
from ledger.status import Busy, TransactionStatus, Waiting
from ledger.tables import TABLES
from ledger.transactions import Transaction

_LOGGER = logging.getLogger(__name__)

POOL_MAX = 20_000
POOL_BYTES_MAX = 64 * 1024 * 1024
PER_HOLDER_MAX = 64
PER_MEMBER_MAX = 4_000
FINISHED_MAX = 20_000
"""Expired and refused transactions remembered, so that their end can be told."""
JUDGED_MAX = 64
"""With more pending, the rules are asked about a peer's transaction only when a block is built:
there is work anyway, and its own node tells its client."""
RECHECKS_MAX = 256
"""Pending transactions looked at again after one block."""

RUNNING_SUMS = tuple(table.prefix for table in TABLES.values() if table.running_sum)
"""A change of one of these says little about pending transactions that read it: they are looked at
again for it by turns and when a block is built."""


@dataclass(slots=True)
class Entry:
    """A pending transaction."""

    transaction: Transaction
    sender: str
    own: bool
    """Taken in from this node's own client, who sends it on to the other validators."""
    arrival: int
    """Counts what came in."""
    reads: tuple[bytes, ...] = ()
    refusal: TransactionRefused | None = None
    """What a rule said last; so long no block takes it."""


class Mempool:
    """Pending transactions in order of arrival, with limits per sender and in all."""

    def __init__(
        self, ledger: Ledger, *, on_refused: Callable[[TransactionStatus], None] | None = None
    ) -> None:
        """``on_refused`` is told when an own transaction is dropped because a rule refuses it."""
        self._ledger = ledger
        self._on_refused = on_refused
        self._entries: dict[bytes, Entry] = {}
        self._by_key: dict[bytes, dict[bytes, None]] = {}
        self._expiries: list[tuple[int, bytes]] = []
        self._per_sender: dict[str, int] = {}
        self._finished: dict[bytes, TransactionStatus] = {}
        self._refused = 0
        self._arrivals = 0
        self.bytes = 0
        self._turn: list[bytes] = []

    def __len__(self) -> int:
        return len(self._entries)

    def has_ready(self) -> bool:
        """Return whether a transaction waits that no rule refuses as far as is known."""
        return len(self._entries) > self._refused

    def ready(self) -> Iterator[Transaction]:
        """Yield what a block may take, oldest first."""
        for entry in list(self._entries.values()):
            if entry.refusal is None:
                yield entry.transaction

    def own_ready(self) -> Iterator[Transaction]:
        """Yield what this node's clients handed in and no rule refuses now."""
        for entry in self._entries.values():
            if entry.own and entry.refusal is None:
                yield entry.transaction

    def next_expiry_ms(self) -> int | None:
        """Return when the next pending transaction expires."""
        while self._expiries and self._expiries[0][1] not in self._entries:
            heapq.heappop(self._expiries)
        return self._expiries[0][0] if self._expiries else None

    def status(self, transaction_id: bytes) -> TransactionStatus:
        """Return what is known of a transaction that is not in the log."""
        entry = self._entries.get(transaction_id)
        if entry is not None:
            expires_at = entry.transaction.body.expires_at
            return TransactionStatus.pending(transaction_id, expires_at)
        finished = self._finished.get(transaction_id)
        return TransactionStatus.unknown(transaction_id) if finished is None else finished

    def waiting(self, after: int) -> Iterator[Waiting]:
        """Yield what waits and came in after an arrival, oldest first."""
        for entry in self._entries.values():
            if entry.arrival > after:
                yield Waiting(
                    arrival=entry.arrival, raw=entry.transaction.raw, status=self._said(entry)
                )

    def _said(self, entry: Entry) -> TransactionStatus:
        """Return what waits; if a rule refuses it and the next block decides, with its code."""
        if entry.refusal is not None:
            return _refused(entry.transaction, entry.refusal)
        return self.status(entry.transaction.id)

    def add(self, transaction: Transaction, *, own: bool, time_ms: int) -> bool:
        """Take a transaction in; return whether it is new here.

        Raises Inadmissible, or Busy if there is no room. An own one that a rule refuses is not
        kept; a peer's stays until the next block: it may have come before what it rests on.
        """
        known = self._entries.get(transaction.id)
        if known is not None:
            known.own = known.own or own
            # The id covers no signature. What is good here never gives way, and what is refused
            # gives way to what is not: with other signatures it may hold.
            if known.refusal is None or known.transaction.digest == transaction.digest:
                return False
        if len(self._entries) >= POOL_MAX or self.bytes + len(transaction.raw) > POOL_BYTES_MAX:
            raise Busy(f"the pool holds {len(self._entries)} transactions of {self.bytes} bytes")
        self._ledger.take_in(transaction, time_ms)
        sender, limit = self._sender(transaction)
        if self._per_sender.get(sender, 0) >= limit:
            raise Busy(f"{sender} has {limit} transactions pending already")
        own = own or (known is not None and known.own)
        verdict = None  # asked first: nothing is changed here if the rules break off
        if own or len(self._entries) < JUDGED_MAX:
            verdict = self._ledger.recheck(transaction, time_ms=time_ms)
        if verdict is not None and verdict.refusal is not None:
            if known is not None:
                return False
            if own:
                self._finish(_refused(transaction, verdict.refusal))
                return False
        if known is not None:
            self._drop(transaction.id)
        self._finished.pop(transaction.id, None)
        self._arrivals += 1
        entry = Entry(transaction=transaction, sender=sender, own=own, arrival=self._arrivals)
        self._entries[transaction.id] = entry
        if verdict is not None:
            self._take_verdict(entry, verdict)
        self._per_sender[sender] = self._per_sender.get(sender, 0) + 1
        self.bytes += len(transaction.raw)
        heapq.heappush(self._expiries, (transaction.body.expires_at, transaction.id))
        return True

    def refuse(self, transaction: Transaction, refusal: TransactionRefused) -> None:
        """Note what a rule said when a block was built; the next block's state says for good."""
        entry = self._entries.get(transaction.id)
        if entry is not None and entry.refusal is None:
            self._set_refused(entry, refusal)

    def _set_refused(self, entry: Entry, refusal: TransactionRefused) -> None:
        entry.refusal = refusal
        self._refused += 1

    def committed(self, execution: Execution) -> None:
        """Drop what was logged or has expired, and look again at what the block touched."""
        for result in execution.results:
            self._drop(result.id)
        time_ms = execution.head.time_ms
        while self._expiries and self._expiries[0][0] <= time_ms:
            _, transaction_id = heapq.heappop(self._expiries)
            entry = self._drop(transaction_id)
            if entry is not None:
                expires_at = entry.transaction.body.expires_at
                self._finish(TransactionStatus.expired(transaction_id, expires_at))
        if self._entries:
            self._recheck(execution, time_ms)

    def _recheck(self, execution: Execution, time_ms: int) -> None:
        touched: dict[bytes, None] = {}
        for write in execution.writes:
            for transaction_id in self._by_key.get(write.key, ()):
                touched[transaction_id] = None
        if not self._turn:
            self._turn = list(reversed(self._entries))
        budget = RECHECKS_MAX
        for transaction_id in touched:
            entry = self._entries[transaction_id]
            self._forget_verdict(entry)
            self._judge(entry, time_ms)
            budget -= 1
        while self._turn and budget > 0:
            budget -= 1
            entry_or_none = self._entries.get(self._turn.pop())
            if entry_or_none is not None and entry_or_none.refusal is not None:
                self._forget_verdict(entry_or_none)
                self._judge(entry_or_none, time_ms)

    def _judge(self, entry: Entry, time_ms: int) -> None:
        """Ask the rules anew; what they refuse, or break off at, leaves the pool."""
        verdict = attempt(lambda: self._ledger.recheck(entry.transaction, time_ms=time_ms))
        if isinstance(verdict, BrokenOff):
            self.drop(entry.transaction, verdict.error)
        elif verdict.refusal is None:
            self._take_verdict(entry, verdict)
        else:
            self._drop(entry.transaction.id)
            status = _refused(entry.transaction, verdict.refusal)
            self._finish(status)
            if entry.own and self._on_refused is not None:
                self._on_refused(status)

    def _finish(self, status: TransactionStatus) -> None:
        """Remember how a transaction ended that is not in the log."""
        if len(self._finished) >= FINISHED_MAX:
            del self._finished[next(iter(self._finished))]
        self._finished[status.id] = status

    def drop(self, transaction: Transaction, error: Exception) -> None:
        """Forget a transaction at which this software broke off; its client asks in vain."""
        _LOGGER.error("transaction %s is dropped", transaction.id.hex(), exc_info=error)
        self._drop(transaction.id)

    def _take_verdict(self, entry: Entry, verdict: Checked) -> None:
        """Remember what the rules say, and on which records that rests."""
        refusal = verdict.refusal
        entry.reads = tuple(key for key in verdict.reads if not key.startswith(RUNNING_SUMS))
        for key in entry.reads:
            self._by_key.setdefault(key, {})[entry.transaction.id] = None
        if refusal is not None:
            self._set_refused(entry, refusal)

    def _forget_verdict(self, entry: Entry) -> None:
        for key in entry.reads:
            waiting = self._by_key[key]
            del waiting[entry.transaction.id]
            if not waiting:
                del self._by_key[key]
        entry.reads = ()
        if entry.refusal is not None:
            self._refused -= 1
            entry.refusal = None

    def _drop(self, transaction_id: bytes) -> Entry | None:
        entry = self._entries.pop(transaction_id, None)
        if entry is None:
            return None
        self._forget_verdict(entry)
        self._ledger.forget(entry.transaction)
        self.bytes -= len(entry.transaction.raw)
        left = self._per_sender[entry.sender] - 1
        if left:
            self._per_sender[entry.sender] = left
        else:
            del self._per_sender[entry.sender]
        return entry

    def _sender(self, transaction: Transaction) -> tuple[str, int]:
        """Return the signing party with most room left, and how many it may have pending.

        Else who receives from many would be full by what others send.
        """
        limits = {
            party.id: PER_HOLDER_MAX if party.kind == "holder" else PER_MEMBER_MAX
            for party in self._ledger.signers(transaction)
        }
        return max(limits.items(), key=lambda one: one[1] - self._per_sender.get(one[0], 0))


def _refused(transaction: Transaction, refusal: TransactionRefused) -> TransactionStatus:
    return TransactionStatus.refused(transaction.id, transaction.body.expires_at, refusal)
