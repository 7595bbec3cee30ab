"""Following the node: one watcher tells event streams and waiting requests of every commit."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from api.documents import Logged, logged_at
from api.node_view import answer
from api.reads import head_of
from ledger.status import Busy, TransactionStatus
from ledger.store.lmdb_store import LmdbReader
from node.port import JobFailed, PortClient, PortClosed, Refused

WAITERS_MAX = 10_000
"""Requests that may wait for a transaction at once; beyond, they are answered as things stand."""
RECONNECT_S = 0.1
TICK_S = 0.1
"""How often waiting requests are looked at when no commit wakes us."""
LOOKUP_AFTER_S = 1
"""How long a request waits before the node is asked: it tells us of refusals by itself."""
LOOKUP_WITHIN_S = 1
LOOKUPS_MAX = 32
"""Transactions that the node is asked about in one pass, in turn."""


class Follower:
    """Knows when the store has grown."""

    def __init__(self, port: PortClient) -> None:
        self._port = port
        self._commit = asyncio.Event()
        self.stopping = False
        self.on_refused: Callable[[TransactionStatus], None] = lambda _: None
        """Told of a pending transaction that was dropped because a rule refuses it."""

    async def run(self) -> None:
        """Follow the node for ever; reconnect when it is lost."""
        while True:
            try:
                # Something may have been committed while nobody told us.
                self._wake()
                async for event in self._port.watch():
                    if isinstance(event, Refused):
                        self.on_refused(event.status)
                    else:
                        self._wake()
            except (PortClosed, Busy, JobFailed):
                pass  # the node is away: ticks and streams look at the store meanwhile
            await asyncio.sleep(RECONNECT_S)

    def next_commit(self) -> asyncio.Event:
        """Return an event that is set at the next commit; take it before reading the store."""
        return self._commit

    def stop(self) -> None:
        """Wake the streams for the last time: they end."""
        self.stopping = True
        self._wake()

    def _wake(self) -> None:
        event, self._commit = self._commit, asyncio.Event()
        event.set()


async def woken(event: asyncio.Event, within_s: float) -> bool:
    """Wait for an event for at most some seconds; return whether it came."""
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


@dataclass(eq=False, slots=True, kw_only=True)
class _Waiter:
    transaction_id: bytes
    expires_at: int
    since: float
    outcome: "asyncio.Future[Outcome | None]"


@dataclass(frozen=True, slots=True)
class Expired:
    """Block time passed the expiry and the transaction was not logged: certain."""


Outcome = Logged | TransactionStatus | Expired


class Waiters:
    """Requests that wait for their transaction, all served by one pass over the store."""

    def __init__(self, reader: LmdbReader, port: PortClient, follower: Follower) -> None:
        self._reader = reader
        self._port = port
        self._follower = follower
        self._waiting: dict[_Waiter, None] = {}
        self._some = asyncio.Event()
        follower.on_refused = self._refused
        self._asking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def settled(
        self, transaction_id: bytes, expires_at: int, within_s: float
    ) -> Outcome | None:
        """Return what became of a transaction, or None if it is still open at the timeout.

        The server's stop ends the wait too.
        """
        if len(self._waiting) >= WAITERS_MAX or self._follower.stopping:
            return None
        outcome: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(
            transaction_id=transaction_id,
            expires_at=expires_at,
            since=monotonic(),
            outcome=outcome,
        )
        self._waiting[waiter] = None
        self._settle((waiter,))  # it may have been logged since it was submitted
        self._some.set()
        try:
            async with asyncio.timeout(within_s):
                return await outcome
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(waiter, None)

    async def run(self) -> None:
        """Serve waiting requests for ever: at each commit and at each tick."""
        while True:
            if not self._waiting:
                self._some.clear()
                await self._some.wait()
            commit = self._follower.next_commit()
            self._settle(tuple(self._waiting))
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            await woken(commit, TICK_S)

    def stop(self) -> None:
        """Let every waiting request be answered as things stand."""
        for waiter in self._waiting:
            if not waiter.outcome.done():
                waiter.outcome.set_result(None)

    def _refused(self, status: TransactionStatus) -> None:
        for waiter in self._waiting:
            if waiter.transaction_id == status.id and not waiter.outcome.done():
                waiter.outcome.set_result(status)

    def _settle(self, waiters: tuple[_Waiter, ...]) -> None:
        """Settle what the store settles, in one short read transaction."""
        with self._reader.begin() as snapshot:
            head = head_of(snapshot)
            for waiter in waiters:
                if waiter.outcome.done():
                    continue
                sequence = snapshot.sequence_of(waiter.transaction_id, waiter.expires_at)
                if sequence is not None:
                    waiter.outcome.set_result(logged_at(snapshot, sequence))
                elif head.time_ms >= waiter.expires_at:
                    waiter.outcome.set_result(Expired())

    async def _ask(self) -> None:
        """Ask the node about some that wait longest: it knows what was refused."""
        now = monotonic()
        chosen = [
            waiter
            for waiter in self._waiting
            if now - waiter.since >= LOOKUP_AFTER_S and not waiter.outcome.done()
        ][:LOOKUPS_MAX]
        for waiter in chosen:  # to the end of the queue, so that everybody's turn comes
            self._waiting[waiter] = self._waiting.pop(waiter)
        try:
            statuses = await asyncio.gather(
                *(
                    answer(self._port.lookup(waiter.transaction_id), LOOKUP_WITHIN_S)
                    for waiter in chosen
                )
            )
        except (PortClosed, Busy, JobFailed):
            return  # the timeout answers
        for waiter, status in zip(chosen, statuses, strict=True):
            if status.status == "refused" and not waiter.outcome.done():
                waiter.outcome.set_result(status)
