"""Transactions on their way to the other validators (spec N7)."""

from engines.builtin.mempool import Mempool
from engines.builtin.messages import BATCH_BYTES_MAX, Batch
from engines.builtin.ports import Messenger
from engines.seam import Clock, Timers
from ledger.blocks import BLOCK_TRANSACTIONS_MAX
from ledger.transactions import Transaction

OUTBOX_BYTES = 256 * 1024
"""A batch of transactions is sent when it reaches this size, or when the host is idle."""
FLUSH_EVERY_MS = 10
"""Under load, batches wait this long for more: a batch costs its receivers about as much as it
costs to verify a transaction. The first one after a pause is sent at once."""


class Gossip:
    """Sends on what clients handed in here, in batches; owns what waits to be sent."""

    def __init__(self, pool: Mempool, messenger: Messenger, clock: Clock, timers: Timers) -> None:
        self._pool = pool
        self._messenger = messenger
        self._clock = clock
        self._timers = timers
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._flushed_us = 0
        self._flush_is_due = False

    def add(self, transaction: Transaction) -> None:
        """Take a new transaction of an own client."""
        self._outbox.append(transaction.raw)
        self._outbox_bytes += len(transaction.raw)
        if self._outbox_bytes > OUTBOX_BYTES:
            self._flush(self._clock.monotonic_us())

    def flush(self) -> None:
        """Send what waits; call when there is nothing else to do at once."""
        if self._outbox and not self._flush_is_due:
            now_us = self._clock.monotonic_us()
            if now_us - self._flushed_us >= FLUSH_EVERY_MS * 1_000:
                self._flush(now_us)
            else:
                self._flush_is_due = True
                self._timers.after(FLUSH_EVERY_MS, self._flush_later)

    def own_pending(self) -> Batch | None:
        """Return the oldest of what clients handed in and is not final, as one batch."""
        batch: list[bytes] = []
        size = 0
        for transaction in self._pool.own_ready():
            size += len(transaction.raw)
            if size > BATCH_BYTES_MAX or len(batch) == BLOCK_TRANSACTIONS_MAX:
                break
            batch.append(transaction.raw)
        return Batch(envelopes=tuple(batch)) if batch else None

    def _flush_later(self) -> None:
        self._flush_is_due = False
        self._flush(self._clock.monotonic_us())

    def _flush(self, now_us: int) -> None:
        self._flushed_us = now_us
        if self._outbox:
            self._messenger.broadcast(Batch(envelopes=tuple(self._outbox)))
            self._outbox, self._outbox_bytes = [], 0
