"""A running node: the event loop with its sockets, and the one host thread.

The loop hands work to the host thread through a bounded inbox, votes and blocks before the rest.
The host hands messages back with ``call_soon_threadsafe``. Transactions are decoded and verified
in a pool of threads, many at a time, before the host sees them.
"""

import asyncio
import errno
import heapq
import logging
import os
import shutil
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

from consensus.timeouts import TimeoutPolicy
from ledger.encoding import codec, crypto
from ledger.encoding.codec import NotCanonical
from ledger.execute import Execution, signatures_hold
from ledger.inadmissible import BadSignature, Inadmissible, KindUnknown
from ledger.ledger import Ledger
from ledger.rules.parties import VALIDATOR_KEYS
from ledger.rules.refusals import TransactionRefused
from ledger.state_tree import DamagedPage
from ledger.store.lmdb_store import is_broken
from ledger.transactions import Transaction, parse
from ledger.view import get
from node.clock import SystemClock
from node.config import ConfigInvalid, NodeConfig
from node.cosigner import Answer
from node.host import Host
from node.judge import ForkSeen
from node.log_keeper import LogKeeper
from node.mempool import inadmissible_status
from node.messages import BATCH_BYTES_MAX, Batch
from node.metrics import Metrics
from node.p2p.frames import Channel, PeerFault
from node.p2p.link import Peer
from node.p2p.links import Links
from node.p2p.roster import Registered, make_roster, misnamed
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
from node.scrub import Scrub, StoreRotten
from node.signer import Signer
from node.stopped import keep_fork, read_stop, remember_stop
from node.wal import open_wal
from node.watched_store import WatchedStore

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
COSIGNINGS_MAX = 64
"""Requests to cosign under way."""
PEER_JOBS_MAX = 1_024
"""Messages of one peer that wait for the host; more close its link, and nobody else's."""
DISK_FREE_PERCENT_MIN = 5
"""With less, a node does not vote, while it still can write."""
CLOCK_OFFSET_MAX_MS = 2_000
"""With validators' clocks further than this from its own, by their median, a node does not vote."""
CLOCK_EVERY_S = 1.0
READERS_EVERY_MS = 10_000
SCRUB_EVERY_MS = 500
HEAD_EVERY_MS = 1_000
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    """Who decides the present height, and who may link: by one commit and one configuration."""

    powers: tuple[tuple[str, int], ...]
    """Validators and their powers."""
    validates: bool
    """Whether this node's own key is among them."""
    peers: tuple[Peer, ...]


class Node:
    """One node process: owns the loop's side and the host thread."""

    def __init__(
        self,
        config: NodeConfig,
        *,
        genesis: bytes,
        signer: Signer,
        link_key: bytes,
        log_keeper: LogKeeper,
    ) -> None:
        self._config = config
        self._log_keeper = log_keeper
        self._genesis = genesis
        self._signer = signer
        self._link_key = link_key
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
        self._cosigning = 0
        self._peer_jobs: Counter[str] = Counter()
        self._peer_batches: dict[str, int] = {}
        self._quorum_lost_us: int | None = self._clock.monotonic_us()
        self._network_name = ""
        self._circle = Circle(powers=(), validates=False, peers=())
        """As the loop knows it."""
        self._sets: tuple[int, int] | None = None
        """From which heights the sets of this height and the next one act."""
        self._clock_is_off = False
        self._clock_timer: asyncio.TimerHandle | None = None
        self._pauses: dict[str, str] = {}
        """Why this node does not vote at the moment, by cause; on the host thread."""
        self._noted_stop = ""
        """The reason that is written down, or need not be."""
        self._scrub = Scrub()
        self._host: Host
        self._ledger: Ledger
        self._store: WatchedStore

    # --- life ------------------------------------------------------------------------------------

    async def start(
        self, links: Callable[["Node", tuple[Peer, ...]], Links], network_name: str
    ) -> None:
        """Open the store, take up consensus, then let peers and API processes in."""
        self._network_name = network_name
        self._log_keeper.start(self._on_host)
        self.finished = self._loop.run_in_executor(self._host_thread, self._run)
        self.finished.add_done_callback(self._host_ended)
        await asyncio.wait({self._started, self.finished}, return_when=asyncio.FIRST_COMPLETED)
        if self.finished.done():
            self.finished.result()
        self._network.links = links(self, self._circle.peers)
        host, port = self._config.listen_host, self._config.listen_port
        try:
            await self._network.links.start(host, port)
            await self._port.start()
        except OSError as error:
            await self.stop()
            raise ConfigInvalid(f"can't listen at {host}, port {port}: {error}") from None
        self._watch_clock()
        _LOGGER.info("%s is at height %d", self._config.party, self._host.height - 1)

    async def stop(self) -> None:
        """Stop taking work, finish what is under way, close; raise what broke the host."""
        await self._port.stop()
        await self._log_keeper.stop()
        if self._clock_timer is not None:
            self._clock_timer.cancel()
        if self._network.links is not None:
            await self._network.links.stop()
        self._stopping.set()
        self._inbox.put_urgent(lambda: None)
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self.finished

    def reconfigure(self, config: NodeConfig) -> None:
        """Take peers, observers and witnesses from a file that was read again; on the loop.

        Everything else holds from start to end.
        """
        taken = replace(
            self._config,
            peers=config.peers,
            observers=config.observers,
            witnesses=config.witnesses,
        )
        if config != taken:
            _LOGGER.warning("peers, observers and witnesses change while a node runs; no more")
        self._config = taken
        if self._inbox.put_urgent(self._look_around):
            _LOGGER.info(
                "the configuration was read again: %d peers and %d observers",
                len(taken.peers),
                len(taken.observers),
            )
        else:
            _LOGGER.error("the host is too busy for a new configuration: send SIGHUP again")

    def _host_ended(self, finished: "asyncio.Future[None]") -> None:
        """Write down a fork, a broken invariant or a failed disk: no restart mends it (N6.11)."""
        error = None if finished.cancelled() else finished.exception()
        if error is None:
            return
        disk_failed = is_broken(error) or (isinstance(error, OSError) and error.errno == errno.EIO)
        says_it_all = isinstance(error, ForkSeen | StoreRotten | DamagedPage)
        if says_it_all or disk_failed or isinstance(error, AssertionError):
            reason = str(error) if says_it_all else f"{type(error).__name__}: {error}"
            try:
                remember_stop(self._config.stopped, f"the node broke off: {reason}")
                if isinstance(error, ForkSeen):
                    keep_fork(self._config.folder / "fork.bin", error.found)
            except OSError:
                _LOGGER.critical("the disk does not even take the reason", exc_info=True)

    def _run(self) -> None:
        """Be the host thread: the only writer of store and log."""
        self._open()
        self._loop.call_soon_threadsafe(self._started.set_result, None)
        self._timers.after(SCRUB_EVERY_MS, self._scrub_a_step)
        self._timers.after(HEAD_EVERY_MS, self._refresh_head)
        while not self._stopping.is_set():
            job = self._inbox.get(self._timers.wait_s())
            if job is not None:
                job()
            self._timers.run_due()
            if self._host.key.stopped != self._noted_stop:
                self._note_stop()
            if self._inbox.is_empty():
                self._host.flush()
                self._fold_while_idle()
        self._store.close()
        self._signer.close()

    def _open(self) -> None:
        self._store = WatchedStore(
            self._config.store,
            map_bytes=self._config.map_bytes,
            now_us=self._clock.monotonic_us,
            waited=lambda us: self._metrics.root_stall.observe(us / 1_000_000),
        )
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
        self._log_keeper.open(ledger, self._store)
        self._look_around()
        reason = read_stop(self._config.stopped)
        if reason:
            self._host.key.stop(f"{reason} (until `tally node resume`)")
            self._noted_stop = self._host.key.stopped
            _LOGGER.warning("follows without signing: %s", self._host.key.stopped)
        self._look_after_store()  # a start on a full disk signs nothing either (N6.12)
        self._host.start()

    def _note_stop(self) -> None:
        """Make sure that a restart does not forget why this node must not vote (N6.11)."""
        self._noted_stop = self._host.key.stopped
        remember_stop(self._config.stopped, self._noted_stop)
        _LOGGER.critical("stops voting: %s", self._noted_stop)

    def _look_around(self) -> None:
        """Tell the loop who validates and who may link, after either changed (P6)."""
        height = self._ledger.last().height + 1
        now, later = self._ledger.validators(height), self._ledger.validators(height + 1)
        self._sets = (now.from_height, later.from_height)
        own_key, config = self._signer.public_key, self._config
        owner = get(self._store, VALIDATOR_KEYS, own_key.hex())
        if owner is not None and owner.party != config.party:
            raise ConfigInvalid(
                f"party: the ledger has this node's consensus key as {owner.party}'s, "
                f"not {config.party}'s"
            )
        stated = [peer.link_key for peer in config.peers if peer.link_key]
        stated += [observer.link_key for observer in config.observers]
        registered = Registered(
            validators=tuple(
                (one.party, one.keys.link) for one in (*now.validators, *later.validators)
            ),
            seen=tuple(
                key for key in stated if get(self._store, VALIDATOR_KEYS, key.hex()) is not None
            ),
        )
        for observer in misnamed(config, registered):
            _LOGGER.warning(
                "[[observers]] %s is not let in: a validator has this name and another link key",
                observer.name,
            )
        circle = Circle(
            powers=tuple((one.party, one.keys.power) for one in now.validators),
            validates=any(one.keys.consensus == own_key for one in now.validators),
            peers=make_roster(config, registered, self._link_key),
        )
        self._loop.call_soon_threadsafe(self._take_circle, circle, height)
        self._log_keeper.look_around(config)

    def _fold_while_idle(self) -> None:
        """Take the state tree along between blocks: a root that is due should not wait for it."""
        while self._is_idle() and self._store.fold_some():
            pass

    def _is_idle(self) -> bool:
        """Return whether nothing is due, and no transaction waits for its block."""
        return (
            self._inbox.is_empty()
            and self._timers.wait_s() > 0
            and not self._host.mempool.has_ready()
        )

    def _scrub_a_step(self) -> None:
        """Look for what rotted on the disk, whenever there is nothing better to do (N11)."""
        self._timers.after(SCRUB_EVERY_MS, self._scrub_a_step)
        if self._inbox.is_empty() and not self._host.mempool.has_ready():
            self._scrub.step(self._store.snapshot)

    def _refresh_head(self) -> None:
        self._timers.after(HEAD_EVERY_MS, self._refresh_head)
        self._log_keeper.refresh()

    def _look_after_store(self) -> None:
        self._timers.after(READERS_EVERY_MS, self._look_after_store)
        self._store.check_readers()
        usage = shutil.disk_usage(self._config.folder)
        is_low = usage.free * 100 < usage.total * DISK_FREE_PERCENT_MIN
        reason = f"less than {DISK_FREE_PERCENT_MIN} % of the disk is free"
        self._pause("disk", reason if is_low else "")

    def _pause(self, cause: str, reason: str) -> None:
        """Do not vote while any cause has a reason; vote again when none has."""
        if (cause in self._pauses) == bool(reason):
            return  # as before; the first words stay
        if reason:
            self._pauses[cause] = reason
        else:
            del self._pauses[cause]
        self._log_keeper.clock_is_off = "clock" in self._pauses
        if self._pauses:
            self._host.key.paused = "; ".join(self._pauses.values())
            _LOGGER.warning("does not vote for now: %s", self._host.key.paused)
        else:
            self._host.resume_voting()
            _LOGGER.info("may vote again")

    def _on_commit(self, event: Committed, execution: Execution) -> None:
        seen = self._host.seen_commits[-1]
        self._metrics.height.set(event.height)
        for result in execution.results:
            outcome = "final" if result.refusal is None else "refused"
            self._metrics.transactions.labels(outcome).inc()
        if execution.results:
            self._metrics.finality.observe(seen.finality_us / 1_000_000)
        acting = tuple(
            self._ledger.validators(event.height + ahead).from_height for ahead in (1, 2)
        )
        if acting != self._sets:
            self._look_around()
        self._loop.call_soon_threadsafe(self._port.tell, event)
        self._log_keeper.committed(execution, knows_where_it_was=self._knows_where_it_was())

    def _knows_where_it_was(self) -> bool:
        height = self._ledger.last().height + 1
        return self._host.key.knows_where_it_was(height, self._ledger.validators(height))

    def _on_refused(self, status: TransactionStatus) -> None:
        self._loop.call_soon_threadsafe(self._port.tell, RefusedForNow(status=status))

    # --- peers (on the loop) ---------------------------------------------------------------------

    def _take_circle(self, circle: Circle, height: int) -> None:
        """Let in and call whom the ledger and the operator name now, and nobody else."""
        if circle.validates != self._circle.validates or not self._circle.powers:
            does = "validates" if circle.validates else "observes: it follows without signing"
            _LOGGER.info("from height %d on %s %s", height, self._config.party, does)
        self._circle = circle
        if self._network.links is not None:
            self._network.links.set_peers(circle.peers)
        self._note_quorum()

    def _watch_clock(self) -> None:
        """Do not vote while this node's clock differs much from the other validators' (N6.12)."""
        self._clock_timer = self._loop.call_later(CLOCK_EVERY_S, self._watch_clock)
        assert self._network.links is not None
        among = [party for party, _ in self._circle.powers]
        offset_ms = self._network.links.clock_offset_ms(among)
        is_off = offset_ms is not None and abs(offset_ms) > CLOCK_OFFSET_MAX_MS
        if is_off != self._clock_is_off:
            reason = f"the other validators' clocks are {offset_ms} ms ahead" if is_off else ""
            if self._inbox.put_urgent(lambda: self._pause("clock", reason)):
                self._clock_is_off = is_off

    def on_peer_message(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Take a peer's message off the wire; raise PeerFault."""
        self._metrics.messages.labels(peer).inc()
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
        # What an observer says decides nothing: it waits for whoever does.
        is_urgent = channel is not Channel.SYNC and self._validates(peer)
        if (self._inbox.put_urgent if is_urgent else self._inbox.put_bulk)(job):
            self._peer_jobs[peer] += 1

    def _validates(self, peer: str) -> bool:
        return any(party == peer for party, _ in self._circle.powers)

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
        up = self._network.links.up()
        if self._circle.validates:
            up += (self._config.party,)
        total = sum(power for _, power in self._circle.powers)
        linked = sum(power for party, power in self._circle.powers if party in up)
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
        # A kind that only newer software knows is no fault of who sends it on.
        if len(good) + sum(isinstance(one, KindUnknown) for one in prepared) < len(prepared):
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

    async def cosign(self, body: bytes) -> tuple[int, str]:
        """Answer a request to cosign a head of the log (Y11.2); raise Busy."""
        if self._cosigning >= COSIGNINGS_MAX:
            raise Busy("other heads are being cosigned")
        self._cosigning += 1
        try:
            answer = await self._on_host(lambda: self._cosign(body))
        finally:
            self._cosigning -= 1
        return answer.status, answer.text

    def _cosign(self, body: bytes) -> Answer:
        return self._log_keeper.cosign(body, knows_where_it_was=self._knows_where_it_was())

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
            stopped=self._host.key.stopped or self._host.key.paused,
            peers=peers,
            commits=tuple(self._host.seen_commits),
        )

    async def metrics(self) -> str:
        """Return the metrics page."""
        links = self._network.links

        def page() -> str:
            self._metrics.round.set(self._host.round)
            self._metrics.pending.set(len(self._host.mempool))
            self._metrics.stopped.set(1 if self._host.key.stopped or self._host.key.paused else 0)
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
        except (NotCanonical, KindUnknown) as error:
            prepared.append(error)
            continue
        if signatures_hold(transaction, crypto.verify):
            prepared.append(transaction)
        else:
            prepared.append(BadSignature())
    return prepared
