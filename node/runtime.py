"""A running node: the event loop with its sockets, and the one host thread.

The loop hands work to the host thread through a bounded inbox, votes and blocks before the rest.
The host hands messages back with ``call_soon_threadsafe``. Transactions are decoded and verified
in a pool of threads, many at a time, before the host sees them.
"""

import asyncio
import heapq
import logging
import os
import shutil
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar

from consensus.timeouts import TimeoutPolicy
from ledger.encoding import codec, crypto
from ledger.encoding.codec import NotCanonical
from ledger.execute import Execution, Inadmissible, signatures_hold
from ledger.ledger import Ledger
from ledger.rules.refusals import TransactionRefused
from ledger.store.lmdb_store import LmdbStore
from ledger.transactions import Transaction, parse
from node.clock import SystemClock
from node.config import NodeConfig
from node.host import Host
from node.mempool import inadmissible_status
from node.messages import BATCH_BYTES_MAX, Batch
from node.metrics import Metrics
from node.p2p.frames import Channel, PeerFault
from node.p2p.links import Links
from node.port import (
    Busy,
    Committed,
    Effect,
    NodeStatus,
    PeerStatus,
    PortServer,
    RefusedForNow,
    TransactionStatus,
)
from node.signer import Signer
from node.wal import open_wal

_LOGGER = logging.getLogger(__name__)

URGENT_MAX = 8_192
BULK_MAX = 4_096
SUBMISSIONS_MAX = 8_192
"""Envelopes that wait for verification; more are answered busy."""
VERIFIERS = max(1, (os.cpu_count() or 1) // 2)
"""Threads that verify signatures: the host thread needs a core of its own."""
GATHER_S = 0.003
"""Under load, envelopes wait this long for others to be verified with; the first does not."""
BATCH_MAX = 512
"""Envelopes verified in one go."""
PEER_BATCHES_MAX = 64
"""Batches of one peer that wait for verification; more close the link."""
SIMULATIONS_MAX = 2
"""Simulations under way: they take the host's time, and anybody may ask for one."""
PEER_JOBS_MAX = 1_024
"""Messages of one peer that wait for the host; more close its link, and nobody else's."""
DISK_FREE_PERCENT_MIN = 5
"""With less, a node stops voting while it still can write."""
READERS_EVERY_MS = 10_000
STORE_FULL_PERCENT = 90

T = TypeVar("T")
Job = Callable[[], None]


class Inbox:
    """Two bounded queues into the host thread: what is urgent goes first."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._urgent: deque[Job] = deque()
        self._bulk: deque[Job] = deque()

    def put_urgent(self, job: Job) -> bool:
        """Queue a job of consensus; return False if there is no room."""
        return self._put(self._urgent, URGENT_MAX, job)

    def put_bulk(self, job: Job) -> bool:
        """Queue any other job; return False if there is no room."""
        return self._put(self._bulk, BULK_MAX, job)

    def _put(self, queue: deque[Job], maximum: int, job: Job) -> bool:
        with self._ready:
            if len(queue) >= maximum:
                return False
            queue.append(job)
            self._ready.notify()
            return True

    def get(self, timeout_s: float) -> Job | None:
        """Return the next job, or None if none came in time."""
        with self._ready:
            if not self._urgent and not self._bulk:
                self._ready.wait(timeout_s)
            if self._urgent:
                return self._urgent.popleft()
            return self._bulk.popleft() if self._bulk else None

    def is_empty(self) -> bool:
        """Return whether nothing waits."""
        return not self._urgent and not self._bulk


class HostTimers:
    """Timers that run on the host thread."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Job]] = []
        self._order = count()

    def after(self, delay_ms: int, action: Job) -> None:
        """Run ``action`` after a delay."""
        due_us = self._clock.monotonic_us() + delay_ms * 1_000
        heapq.heappush(self._heap, (due_us, next(self._order), action))

    def run_due(self) -> None:
        """Run what is due."""
        now_us = self._clock.monotonic_us()
        while self._heap and self._heap[0][0] <= now_us:
            heapq.heappop(self._heap)[2]()

    def wait_s(self) -> float:
        """Return how long nothing is due."""
        if not self._heap:
            return 1.0
        return max(0, self._heap[0][0] - self._clock.monotonic_us()) / 1_000_000


class LoopNetwork:
    """The host's network: hands messages to the links on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.links: Links | None = None

    def send(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Queue a message to one peer."""
        self._loop.call_soon_threadsafe(self._send, peer, channel, payload)

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Queue a message to every peer."""
        self._loop.call_soon_threadsafe(self._broadcast, channel, payload)

    def fault(self, peer: str, reason: str) -> None:
        """Close the link of a peer."""
        self._loop.call_soon_threadsafe(self._fault, peer, reason)

    def _send(self, peer: str, channel: Channel, payload: bytes) -> None:
        if self.links is not None:
            self.links.send(peer, channel, payload)

    def _broadcast(self, channel: Channel, payload: bytes) -> None:
        if self.links is not None:
            self.links.broadcast(channel, payload)

    def _fault(self, peer: str, reason: str) -> None:
        if self.links is not None:
            self.links.fault(peer, reason)


class Node:
    """One node process: owns the loop's side and the host thread."""

    def __init__(self, config: NodeConfig, *, genesis: bytes, signer: Signer | None) -> None:
        self._config = config
        self._genesis = genesis
        self._signer = signer
        self._clock = SystemClock()
        self._timers = HostTimers(self._clock)
        self._inbox = Inbox()
        self._metrics = Metrics()
        self._loop = asyncio.get_running_loop()
        self._network = LoopNetwork(self._loop)
        self._pool = ThreadPoolExecutor(VERIFIERS, thread_name_prefix="verify")
        self._port = PortServer(config.port_socket, self)
        self._stopping = threading.Event()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._host_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="host")
        self.finished: asyncio.Future[None]
        """Done when the host thread has ended; carries what broke it, if anything did."""
        self._submissions: list[tuple[bytes, asyncio.Future[TransactionStatus]]] = []
        self._verifying: asyncio.Task[None] | None = None
        self._verified_at = 0.0
        self._simulating = 0
        self._peer_jobs: Counter[str] = Counter()
        self._peer_batches: dict[str, int] = {}
        self._quorum_lost_us: int | None = self._clock.monotonic_us()
        self._network_name = ""
        self._powers: tuple[tuple[str, int], ...] = ()
        """Validators and their powers, to know whether a quorum is linked."""
        self._host: Host
        self._ledger: Ledger
        self._store: LmdbStore

    # --- life ------------------------------------------------------------------------------------

    async def start(self, links: Callable[["Node"], Links], network_name: str) -> None:
        """Open the store, take up consensus, then let peers and API processes in."""
        self._network_name = network_name
        self.finished = self._loop.run_in_executor(self._host_thread, self._run)
        await asyncio.wait({self._started, self.finished}, return_when=asyncio.FIRST_COMPLETED)
        if self.finished.done():
            self.finished.result()
        self._network.links = links(self)
        await self._network.links.start(self._config.listen_host, self._config.listen_port)
        await self._port.start()
        _LOGGER.info("%s is at height %d", self._config.party, self._host.height - 1)

    async def stop(self) -> None:
        """Stop taking work, finish what is under way, close; raise what broke the host."""
        await self._port.stop()
        if self._network.links is not None:
            await self._network.links.stop()
        self._stopping.set()
        self._inbox.put_urgent(lambda: None)
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self.finished

    def _run(self) -> None:
        """Be the host thread: the only writer of store and log."""
        self._open()
        self._loop.call_soon_threadsafe(self._started.set_result, None)
        self._timers.after(READERS_EVERY_MS, self._look_after_store)
        while not self._stopping.is_set():
            job = self._inbox.get(self._timers.wait_s())
            self._timers.run_due()
            if job is not None:
                job()
            if self._inbox.is_empty():
                self._host.flush()
        self._store.close()

    def _open(self) -> None:
        self._store = LmdbStore(self._config.store, map_bytes=self._config.map_bytes)
        ledger = Ledger(self._store)
        ledger.begin(self._genesis)
        self._host = Host(
            ledger=ledger,
            blocks=self._store,
            wal=open_wal(self._config.folder),
            signer=self._signer,
            network=self._network,
            clock=self._clock,
            timers=self._timers,
            timeouts=TimeoutPolicy(),
            on_commit=self._on_commit,
            on_refused=self._on_refused,
        )
        self._ledger = ledger
        self._powers = tuple(
            (one.party, one.keys.power)
            for one in ledger.validators(ledger.last().height + 1).validators
        )
        self._host.start()

    def _look_after_store(self) -> None:
        self._timers.after(READERS_EVERY_MS, self._look_after_store)
        self._store.check_readers()
        usage = shutil.disk_usage(self._config.folder)
        if usage.free * 100 < usage.total * DISK_FREE_PERCENT_MIN:
            self._host.stop_voting(f"less than {DISK_FREE_PERCENT_MIN} % of the disk is free")

    def _on_commit(self, event: Committed, execution: Execution) -> None:
        seen = self._host.seen_commits[-1]
        self._metrics.height.set(event.height)
        for result in execution.results:
            outcome = "final" if result.refusal is None else "refused"
            self._metrics.transactions.labels(outcome).inc()
        if execution.results:
            self._metrics.finality.observe(seen.finality_us / 1_000_000)
        self._loop.call_soon_threadsafe(self._port.tell, event)

    def _on_refused(self, status: TransactionStatus) -> None:
        self._loop.call_soon_threadsafe(self._port.tell, RefusedForNow(status=status))

    # --- peers (on the loop) ---------------------------------------------------------------------

    def on_peer_message(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Take a peer's message off the wire; raise PeerFault."""
        if channel is Channel.TRANSACTIONS:
            self._on_batch(peer, payload)
            return

        def job() -> None:
            self._loop.call_soon_threadsafe(self._peer_job_done, peer)
            try:
                self._host.on_message(peer, channel, payload)
            except PeerFault as fault:
                self._network.fault(peer, str(fault))

        if self._peer_jobs[peer] >= PEER_JOBS_MAX:
            raise PeerFault("sends faster than this node can read")
        put = self._inbox.put_bulk if channel is Channel.SYNC else self._inbox.put_urgent
        if put(job):
            self._peer_jobs[peer] += 1

    def _peer_job_done(self, peer: str) -> None:
        self._peer_jobs[peer] -= 1

    def on_peer_up(self, peer: str) -> None:
        """Tell the host that a link is up."""
        self._note_quorum()
        self._inbox.put_urgent(lambda: self._host.on_peer_up(peer))

    def on_peer_down(self, peer: str) -> None:
        """Tell the host that a link is lost."""
        self._note_quorum()
        self._inbox.put_urgent(lambda: self._host.on_peer_down(peer))

    def _note_quorum(self) -> None:
        """Remember since when fewer than a quorum of validators are linked."""
        if self._network.links is None:
            return
        up = (*self._network.links.up(), self._config.party)
        total = sum(power for _, power in self._powers)
        linked = sum(power for party, power in self._powers if party in up)
        if 3 * linked > 2 * total:
            self._quorum_lost_us = None
        elif self._quorum_lost_us is None:
            self._quorum_lost_us = self._clock.monotonic_us()

    def _on_batch(self, peer: str, payload: bytes) -> None:
        waiting = self._peer_batches.get(peer, 0)
        if waiting >= PEER_BATCHES_MAX:
            raise PeerFault("sends transactions faster than this node can verify them")
        try:
            batch: Batch = codec.decode(Batch, payload, BATCH_BYTES_MAX + 64 * 1024)
        except NotCanonical as error:
            raise PeerFault(f"malformed batch: {error}") from None
        self._peer_batches[peer] = waiting + 1
        self._loop.create_task(self._take_batch(peer, batch))

    async def _take_batch(self, peer: str, batch: Batch) -> None:
        prepared = await self._loop.run_in_executor(self._pool, _prepare_all, batch.envelopes)
        self._peer_batches[peer] -= 1
        good = [one for one in prepared if isinstance(one, Transaction)]
        if len(good) < len(prepared):
            self._network.fault(peer, "sent a transaction that is malformed or badly signed")

        def job() -> None:
            for transaction in good:
                try:
                    self._host.on_transaction(transaction, own=False)
                except (Inadmissible, Busy):
                    continue  # an honest peer may be a block behind, or we may be full

        self._inbox.put_bulk(job)

    # --- API processes (on the loop) -------------------------------------------------------------

    async def submit(self, raw: bytes) -> TransactionStatus:
        """Take in an envelope; raise NotCanonical or Busy."""
        if len(self._submissions) >= SUBMISSIONS_MAX:
            raise Busy(f"{SUBMISSIONS_MAX} envelopes wait to be verified")
        future: asyncio.Future[TransactionStatus] = self._loop.create_future()
        self._submissions.append((raw, future))
        if self._verifying is None or self._verifying.done():
            self._verifying = self._loop.create_task(self._verify_submissions())
        return await future

    async def _verify_submissions(self) -> None:
        if self._loop.time() - self._verified_at < GATHER_S:
            await asyncio.sleep(GATHER_S)
        while self._submissions:
            taken, self._submissions = (
                self._submissions[:BATCH_MAX],
                self._submissions[BATCH_MAX:],
            )
            prepared = await self._loop.run_in_executor(
                self._pool, _prepare_all, tuple(raw for raw, _ in taken)
            )
            futures = [future for _, future in taken]
            if not self._inbox.put_bulk(lambda p=prepared, f=futures: self._admit(p, f)):  # type: ignore[misc]
                for future in futures:
                    _settle(future, Busy("the node is behind with its work"))
            self._verified_at = self._loop.time()

    def _admit(
        self,
        prepared: list["Transaction | NotCanonical | Inadmissible"],
        futures: list[asyncio.Future[TransactionStatus]],
    ) -> None:
        """Admit verified envelopes on the host thread and answer for all of them at once."""
        answers: list[TransactionStatus | NotCanonical | Busy] = []
        for one in prepared:
            if isinstance(one, NotCanonical):
                answers.append(one)
            elif isinstance(one, Inadmissible):
                answers.append(inadmissible_status(bytes(32), one))
            else:
                answers.append(self._admit_one(one))

        def settle() -> None:
            for future, answer in zip(futures, answers, strict=True):
                _settle(future, answer)

        self._loop.call_soon_threadsafe(settle)

    def _admit_one(self, transaction: Transaction) -> TransactionStatus | Busy:
        try:
            if self._store.used_share_percent() >= STORE_FULL_PERCENT:
                return Busy(f"the store is {STORE_FULL_PERCENT} % full")
            self._host.on_transaction(transaction, own=True)
        except Inadmissible as error:
            if error.code != "already_logged":
                return inadmissible_status(transaction.id, error, transaction.body.expires_at)
            return self._logged_status(transaction)
        except Busy as busy:
            return busy
        return self._host.mempool.status(transaction.id)

    def _logged_status(self, transaction: Transaction) -> TransactionStatus:
        """Return a status that sends the API to the log, where it reads the rest."""
        sequence = self._store.sequence_of(transaction.id, transaction.body.expires_at)
        assert sequence is not None
        return TransactionStatus(
            id=transaction.id,
            status="final",
            code="ok",
            number=0,
            sentence="",
            values=(),
            expires_at=transaction.body.expires_at,
            sequence=(sequence,),
            height=(),
        )

    async def simulate(self, raw: bytes) -> Effect:
        """Say what an envelope would do now; raise NotCanonical or Busy."""
        if self._simulating >= SIMULATIONS_MAX:
            raise Busy("other simulations are under way")
        self._simulating += 1
        try:
            return await self._on_host(lambda: self._simulate(raw))
        finally:
            self._simulating -= 1

    def _simulate(self, raw: bytes) -> Effect:
        height = self._host.height
        try:
            outcome = self._ledger.simulate(raw, time_ms=self._clock.wall_ms())
        except TransactionRefused as refusal:
            return Effect(
                height=height,
                code=refusal.code,
                number=refusal.number,
                sentence=str(refusal),
                values=tuple(refusal.values.items()),
                postings=(),
            )
        except Inadmissible as error:
            return Effect(
                height=height,
                code=error.code,
                number=0,
                sentence=str(error),
                values=(),
                postings=(),
            )
        return Effect(
            height=height,
            code="ok",
            number=0,
            sentence="",
            values=(),
            postings=tuple(
                (p.kind, p.programme, p.serial, p.count, p.amount, p.source, p.target)
                for p in outcome.postings
            ),
        )

    async def lookup(self, transaction_id: bytes) -> TransactionStatus:
        """Say what is known of a transaction outside the log."""
        return await self._on_host(lambda: self._host.mempool.status(transaction_id))

    async def status(self) -> NodeStatus:
        """Say how the node is."""
        links = self._network.links
        peers = tuple(
            PeerStatus(name=peer.name, up=peer.up, round_trip_us=peer.round_trip_us or 0)
            for peer in (links.status() if links is not None else ())
        )
        lost_us = self._quorum_lost_us
        age_ms = 0 if lost_us is None else (self._clock.monotonic_us() - lost_us) // 1_000
        return await self._on_host(lambda: self._status(peers, age_ms))

    def _status(self, peers: tuple[PeerStatus, ...], quorum_age_ms: int) -> NodeStatus:
        head = self._ledger.last()
        return NodeStatus(
            name=self._config.party,
            network=self._network_name,
            log_id=head.log_id,
            height=head.height,
            time_ms=head.time_ms,
            app_hash=head.app_hash,
            log_size=head.log_size,
            round=self._host.round,
            step=self._host.step,
            validating=self._host.is_validator,
            pending=len(self._host.mempool),
            quorum_age_ms=quorum_age_ms,
            stopped=self._host.stopped,
            peers=peers,
            commits=tuple(self._host.seen_commits),
        )

    async def metrics(self) -> str:
        """Return the metrics page."""
        links = self._network.links

        def page() -> str:
            self._metrics.round.set(self._host.round)
            self._metrics.pending.set(len(self._host.mempool))
            self._metrics.stopped.set(1 if self._host.stopped else 0)
            self._metrics.store_percent.set(self._store.used_share_percent())
            return self._metrics.page()

        if links is not None:
            self._metrics.peers.set(len(links.up()))
            for peer, faults in links.faults.items():
                self._metrics.faults.labels(peer).set(faults)
        return await self._on_host(page)

    async def _on_host(self, job: Callable[[], T]) -> T:
        """Return what a job gives on the host thread; raise Busy, or what the job raises."""
        future: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            try:
                answer = job()
            except NotCanonical as error:
                self._loop.call_soon_threadsafe(_fail, future, error)
            else:
                self._loop.call_soon_threadsafe(_succeed, future, answer)

        if not self._inbox.put_bulk(run):
            raise Busy("the node is behind with its work")
        return await future


def _settle(
    future: asyncio.Future[TransactionStatus], answer: TransactionStatus | Exception
) -> None:
    if isinstance(answer, Exception):
        _fail(future, answer)
    else:
        _succeed(future, answer)


def _succeed(future: asyncio.Future[T], answer: T) -> None:
    if not future.done():  # whoever asked may have gone
        future.set_result(answer)


def _fail(future: asyncio.Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _prepare_all(
    raws: tuple[bytes, ...],
) -> list[Transaction | NotCanonical | Inadmissible]:
    """Decode and verify envelopes; runs in a thread of the pool, where libsodium frees the GIL."""
    prepared: list[Transaction | NotCanonical | Inadmissible] = []
    for raw in raws:
        try:
            transaction = parse(raw)
        except NotCanonical as error:
            prepared.append(error)
            continue
        if signatures_hold(transaction, crypto.verify):
            prepared.append(transaction)
        else:
            prepared.append(Inadmissible("bad_signature", "a signature does not verify"))
    return prepared
