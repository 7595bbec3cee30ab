"""The host thread's half of a node: the only one that touches store, ledger and engine."""

import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from engines.seam import Engine, EngineKind, Reachability, SeenCommit
from ledger.execute import Execution
from ledger.inadmissible import Inadmissible
from ledger.ledger import Ledger
from ledger.rules.base import ENVELOPE_BYTES_MAX
from ledger.rules.refusals import TransactionRefused
from ledger.status import Busy, TransactionStatus, Waiting
from ledger.transactions import Transaction
from node.clock import SystemClock
from node.config import NodeConfig
from node.cosigner import Answer
from node.inbox import HostTimers, Inbox, JobRunner, ThreadOwned
from node.log_keeper import LogKeeper
from node.metrics import Metrics
from node.port import Committed, Effect, NodeStatus, PeerStatus, PortEvent, Refused
from node.scrub import Scrub
from node.stopped import read_stop, remember_stop
from node.watched_store import WatchedStore

DISK_FREE_PERCENT_MIN = 5
"""With less, a node does not vote, while it still can write."""
READERS_EVERY_MS = 10_000
SCRUB_EVERY_MS = 500
HEAD_EVERY_MS = 1_000
STORE_FULL_PERCENT = 90
WAITING_BYTES_MAX = 2 * ENVELOPE_BYTES_MAX
"""Envelopes of a page of what waits: room for the longest, and within a frame of the port."""

_LOGGER = logging.getLogger(__name__)


class Housekeeping:
    """What a node does beside its work, or when there is none."""

    def __init__(
        self,
        *,
        config: NodeConfig,
        store: WatchedStore,
        engine: Engine,
        log_keeper: LogKeeper,
        inbox: Inbox,
        timers: HostTimers,
    ) -> None:
        self._config = config
        self._store = store
        self._engine = engine
        self._log_keeper = log_keeper
        self._inbox = inbox
        self._timers = timers
        self._scrub = Scrub()

    def start(self) -> None:
        """Begin; what must be known before the first vote is looked at first."""
        self._look_after_store()  # a start on a full disk signs nothing either (N6.12)
        self._timers.after(SCRUB_EVERY_MS, self._scrub_a_step)
        self._timers.after(HEAD_EVERY_MS, self._refresh_head)

    def use_idle_time(self) -> None:
        """Send what waited for more, and take the state tree along: its root should not wait."""
        if self._inbox.is_empty():
            self._engine.on_idle()
        while self._is_idle() and self._store.fold_some():
            pass

    def _is_idle(self) -> bool:
        """Return whether nothing is due, and no transaction waits for its block."""
        return self._inbox.is_empty() and self._timers.wait_s() > 0 and not self._engine.has_work()

    def _scrub_a_step(self) -> None:
        """Look for what rotted on the disk, whenever there is nothing better to do (N11)."""
        self._timers.after(SCRUB_EVERY_MS, self._scrub_a_step)
        if self._inbox.is_empty() and not self._engine.has_work():
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
        self._engine.pause_voting("disk", reason if is_low else "")


class HostSide:
    """Owns the host thread: runs its jobs, and answers what only it can know.

    Everything but the constructor and ``stop`` belongs to that thread; ``run`` is it.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        genesis: bytes,
        network: str,
        kind: EngineKind,
        log_keeper: LogKeeper,
        inbox: Inbox,
        metrics: Metrics,
        clock: SystemClock,
        publish: Callable[[PortEvent], None],
    ) -> None:
        """``publish`` hands an event to the event loop."""
        self._config = config
        self._genesis = genesis
        self._network = network
        self._kind = kind
        self._log_keeper = log_keeper
        self._inbox = inbox
        self._metrics = metrics
        self._clock = clock
        self._publish = publish
        self.jobs = JobRunner(metrics.failed_jobs.inc)
        self._timers = HostTimers(clock)
        self._stopping = threading.Event()
        self._thread: ThreadOwned
        self._store: WatchedStore
        self._ledger: Ledger
        self._engine: Engine
        self._housekeeping: Housekeeping
        self._closing = ExitStack()
        """What is given back when the thread ends, however it does."""

    def stop(self) -> None:
        """Let the thread end after the job it is at; called from any thread."""
        self._stopping.set()
        self._inbox.put_urgent(lambda: None)

    # --- the thread ------------------------------------------------------------------------------

    def run(self, on_started: Callable[[int], None]) -> None:
        """Be the host thread: the only writer of store and log, until ``stop``.

        ``on_started`` is told the height of the last block.
        """
        self._thread = ThreadOwned()
        with self._closing:
            self._open()
            on_started(self._ledger.last().height)
            self._work()

    def _work(self) -> None:
        while not self._stopping.is_set():
            job = self._inbox.get(self._timers.wait_s())
            if job is not None:
                self.jobs.run(job)
            for due in self._timers.take_due():
                self.jobs.run(due)
            self._housekeeping.use_idle_time()

    def _open(self) -> None:
        self._store = WatchedStore(
            self._config.store,
            map_bytes=self._config.map_bytes,
            now_us=self._clock.monotonic_us,
            waited=lambda us: self._metrics.root_stall.observe(us / 1_000_000),
        )
        self._closing.callback(self._store.close)
        self._ledger = Ledger(self._store)
        self._ledger.begin(self._genesis)
        self._engine = self._kind.on_host(
            self._ledger, self._store, clock=self._clock, timers=self._timers, tell=self
        )
        self._closing.callback(self._engine.close)
        self._log_keeper.open(self._ledger, self._store)
        reason = read_stop(self._config.stopped)
        if reason:
            reason = f"{reason} (until `tally node resume`)"
            self._engine.stop_voting(reason)
            _LOGGER.warning("follows without signing: %s", reason)
        self._housekeeping = Housekeeping(
            config=self._config,
            store=self._store,
            engine=self._engine,
            log_keeper=self._log_keeper,
            inbox=self._inbox,
            timers=self._timers,
        )
        self._housekeeping.start()
        self._engine.start()

    def reconfigure(self, config: NodeConfig) -> None:
        """Take what the operator says now."""
        self._thread.check()
        self._config = config
        self._log_keeper.look_around(config)

    # --- what the engine tells -------------------------------------------------------------------

    def committed(self, execution: Execution, seen: SeenCommit) -> None:
        """Learn that a block is durable."""
        self._thread.check()
        head = execution.head
        self._metrics.height.set(head.height)
        self._metrics.transactions.inc(len(execution.results))
        if execution.results:
            self._metrics.finality.observe(seen.finality_us / 1_000_000)
        self._publish(Committed(height=head.height, time_ms=head.time_ms, log_size=head.log_size))
        self._log_keeper.committed(execution, knows_where_it_was=self._engine.knows_where_it_was())

    def refused(self, status: TransactionStatus) -> None:
        """Learn that a rule refuses what an own client handed in, so that it was dropped."""
        self._publish(Refused(status=status))

    def stopped(self, reason: str) -> None:
        """Make sure that a restart does not forget why this node must not vote (N6.11)."""
        self._thread.check()
        if not self._config.stopped.exists():  # else it stopped because of what stands there
            remember_stop(self._config.stopped, reason)
            _LOGGER.critical("stops voting: %s", reason)

    def paused(self, reasons: Mapping[str, str]) -> None:
        """Learn why the engine does not vote for now."""
        self._thread.check()
        self._log_keeper.clock_is_off = "clock" in reasons
        if reasons:
            _LOGGER.warning("does not vote for now: %s", "; ".join(reasons.values()))
        else:
            _LOGGER.info("may vote again")

    # --- what API processes ask ------------------------------------------------------------------

    def admit(self, transaction: Transaction) -> TransactionStatus | Busy:
        """Take in a client's transaction whose signatures verified, and say what becomes of it."""
        self._thread.check()
        expires_at = transaction.body.expires_at
        sequence = self._store.sequence_of(transaction.id, expires_at)
        if sequence is not None:  # first of all: however full or late this node is, it is logged
            return TransactionStatus.logged(transaction.id, expires_at, sequence)
        try:
            if self._store.used_share_percent() >= STORE_FULL_PERCENT:
                return Busy(f"the store is {STORE_FULL_PERCENT} % full")
            self._engine.submit(transaction)
        except Inadmissible as error:
            return TransactionStatus.inadmissible(transaction.id, expires_at, error)
        except Busy as busy:
            return busy
        return self._engine.status(transaction.id)

    def lookup(self, transaction_id: bytes) -> TransactionStatus:
        """Say what is known of a transaction outside the log."""
        self._thread.check()
        return self._engine.status(transaction_id)

    def waiting(self, after: int, limit: int) -> tuple[Waiting, ...]:
        """Say what waits here and came in after an arrival: a page, as an answer can hold it."""
        self._thread.check()
        page: list[Waiting] = []
        room = WAITING_BYTES_MAX
        for one in self._engine.waiting(after):
            room -= len(one.raw)
            if len(page) == limit or room < 0:
                break
            page.append(one)
        return tuple(page)

    def simulate(self, raw: bytes) -> Effect:
        """Say what an envelope would do now; raise NotCanonical."""
        self._thread.check()
        height = self._ledger.last().height + 1
        try:
            outcome = self._ledger.simulate(raw, time_ms=self._clock.wall_ms())
        except TransactionRefused as refusal:
            return Effect.refused(height, refusal)
        except Inadmissible as error:
            return Effect.inadmissible(height, error)
        return Effect.holding(height, outcome.postings)

    def cosign(self, body: bytes) -> Answer:
        """Answer a request to cosign a head of the log (Y11.2)."""
        self._thread.check()
        knows = self._engine.knows_where_it_was()
        return self._log_keeper.cosign(body, knows_where_it_was=knows)

    def status(self, reached: Reachability) -> NodeStatus:
        """Say how the node is."""
        self._thread.check()
        head, state = self._ledger.last(), self._engine.state()
        return NodeStatus(
            name=self._config.party,
            network=self._network,
            log_id=head.log_id,
            height=head.height,
            time_ms=head.time_ms,
            record_hash=head.record_hash,
            log_size=head.log_size,
            round=state.round,
            step=state.step,
            validating=state.validates,
            pending=state.pending,
            quorum_age_ms=reached.quorum_age_ms,
            stopped=state.stopped,
            peers=tuple(
                PeerStatus(name=peer.name, up=peer.up, round_trip_us=peer.round_trip_us or 0)
                for peer in reached.peers
            ),
            commits=state.commits,
        )

    def metrics_page(self) -> str:
        """Return the metrics page."""
        self._thread.check()
        state = self._engine.state()
        self._metrics.round.set(state.round)
        self._metrics.pending.set(state.pending)
        self._metrics.stopped.set(1 if state.stopped else 0)
        self._metrics.store_percent.set(self._store.used_share_percent())
        return self._metrics.page()
