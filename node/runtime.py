"""A running node. `Node` is the event loop's half: sockets, and questions to the host thread.

The other half is `node.host_side`. The loop hands it jobs through a bounded inbox, what is urgent
before the rest; it hands answers and events back with ``call_soon_threadsafe``. Each half touches
what its thread owns and nothing else.
"""

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from msgspec.structs import replace

from engines.failures import STOPS, BrokenOff, Mistake, attempt
from engines.seam import EngineKind, PromiseBroken
from ledger.encoding.codec import NotCanonical
from ledger.inadmissible import Inadmissible
from ledger.state_tree import DamagedPage
from ledger.status import Busy, TransactionStatus, Waiting
from ledger.store.lmdb_store import is_broken
from node.clock import SystemClock
from node.config import ConfigInvalid, NodeConfig
from node.host_side import HostSide
from node.inbox import Inbox, ThreadOwned
from node.log_keeper import LogKeeper
from node.metrics import Metrics
from node.port import Effect, JobFailed, NodeStatus, PortServer
from node.scrub import StoreRotten
from node.stopped import keep_evidence, remember_stop
from node.verifying import Verified, Verifiers

SUBMISSIONS_MAX = 8_192
"""Envelopes that wait for verification; more are answered busy."""
GATHER_S = 0.003
"""Under load, envelopes wait this long for others to be verified with; the first does not."""
BATCH_MAX = 512
"""Envelopes verified in one go."""
SIMULATIONS_MAX = 2
"""Simulations under way: they take the host's time, and anybody may ask for one."""
LISTINGS_MAX = 2
"""Listings of what waits under way: each goes through the pool."""
COSIGNINGS_MAX = 64
"""Requests to cosign under way."""

_LOGGER = logging.getLogger(__name__)
T = TypeVar("T")


class HostQuestions:
    """Asks the host thread, and gives its answer to whoever waits on the loop."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._loop = asyncio.get_running_loop()
        self._open: dict[str, int] = {}

    async def ask(self, job: Callable[[], T]) -> T:
        """Return what a job gives on the host thread.

        Raises Busy, NotCanonical if the job does, JobFailed for any other mistake of ours.
        """
        future: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            answer = attempt(job)
            if not isinstance(answer, BrokenOff):
                self._loop.call_soon_threadsafe(_succeed, future, answer)
                return
            self._loop.call_soon_threadsafe(_fail, future, _public_error(answer.error))
            if not isinstance(answer.error, NotCanonical):
                raise answer.error  # for the log

        if not self._inbox.put_bulk(run):
            raise Busy("the node is behind with its work")
        return await future

    async def ask_few(self, kind: str, at_once_max: int, job: Callable[[], T]) -> T:
        """Ask what costs the host much; raise Busy while as many are under way already."""
        if self._open.get(kind, 0) >= at_once_max:
            raise Busy(f"other {kind} are under way")
        self._open[kind] = self._open.get(kind, 0) + 1
        try:
            return await self.ask(job)
        finally:
            self._open[kind] -= 1


class Submissions:
    """Envelopes of clients on their way in: gathered, verified together, admitted together."""

    def __init__(self, inbox: Inbox, verifiers: Verifiers, host: HostSide) -> None:
        self._inbox = inbox
        self._verifiers = verifiers
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[bytes, asyncio.Future[TransactionStatus]]] = []
        self._verifying: asyncio.Task[None] | None = None
        self._verified_at = 0.0

    async def submit(self, raw: bytes) -> TransactionStatus:
        """Take in an envelope; raise NotCanonical, Busy or JobFailed."""
        if len(self._waiting) >= SUBMISSIONS_MAX:
            raise Busy(f"{SUBMISSIONS_MAX} envelopes wait to be verified")
        future: asyncio.Future[TransactionStatus] = self._loop.create_future()
        self._waiting.append((raw, future))
        if self._verifying is None or self._verifying.done():
            self._verifying = self._loop.create_task(self._verify())
        return await future

    async def _verify(self) -> None:
        if self._loop.time() - self._verified_at < GATHER_S:
            await asyncio.sleep(GATHER_S)
        while self._waiting:
            taken, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            futures = [future for _, future in taken]
            try:
                verified = await self._verifiers.verify(tuple(raw for raw, _ in taken))
            except STOPS as error:  # this thread owns no state; whoever waits must hear of it
                _LOGGER.error("envelopes could not be verified", exc_info=error)
                for future in futures:
                    _fail(future, _public_error(error))
                continue
            if not self._inbox.put_bulk(self._admission(verified, futures)):
                for future in futures:
                    _fail(future, Busy("the node is behind with its work"))
            self._verified_at = self._loop.time()

    def _admission(
        self, verified: Sequence[Verified], futures: list[asyncio.Future[TransactionStatus]]
    ) -> Callable[[], None]:
        """Return the job that admits verified envelopes and answers for all of them at once."""

        def admit() -> None:
            answers = [self._answer(envelope) for envelope in verified]

            def settle() -> None:
                for future, answer in zip(futures, answers, strict=True):
                    if isinstance(answer, Exception):
                        _fail(future, answer)
                    else:
                        _succeed(future, answer)

            self._loop.call_soon_threadsafe(settle)

        return admit

    def _answer(self, envelope: Verified) -> TransactionStatus | Exception:
        """Admit one envelope, on the host thread; the mistakes of one are not those of others."""
        if isinstance(envelope, NotCanonical):
            return envelope
        if isinstance(envelope, Inadmissible):
            return TransactionStatus.inadmissible(bytes(32), 0, envelope)
        if isinstance(envelope, Mistake):
            return _public_error(envelope)
        answer = attempt(lambda: self._host.admit(envelope))
        if isinstance(answer, BrokenOff):
            self._host.jobs.tell(answer.error)
            return _public_error(answer.error)
        return answer


class Node:
    """One node process, on its event loop."""

    def __init__(
        self,
        config: NodeConfig,
        *,
        genesis: bytes,
        network: str,
        kind: EngineKind,
        log_keeper: LogKeeper,
        clock: SystemClock,
    ) -> None:
        self._config = config
        self._log_keeper = log_keeper
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadOwned()
        self._inbox = Inbox()
        self._metrics = Metrics()
        self._port = PortServer(config.port_socket, self)
        self._verifiers = Verifiers()
        self._connection = kind.on_loop(self._inbox, self._verifiers.verify, self._heard)
        self._host = HostSide(
            config,
            genesis=genesis,
            network=network,
            kind=kind,
            log_keeper=log_keeper,
            inbox=self._inbox,
            metrics=self._metrics,
            clock=clock,
            publish=lambda event: _call(self._loop, lambda: self._port.tell(event)),
        )
        self._questions = HostQuestions(self._inbox)
        self._submissions = Submissions(self._inbox, self._verifiers, self._host)
        self._host_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="host")
        self.finished: asyncio.Future[None]
        """Done when the host thread has ended; carries what broke it, if anything did."""

    # --- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store, take up consensus, then let peers and API processes in."""
        self._thread.check()
        self._log_keeper.start(self._questions.ask)
        started: asyncio.Future[int] = self._loop.create_future()
        self.finished = self._loop.run_in_executor(
            self._host_thread,
            self._host.run,
            lambda height: _call(self._loop, lambda: _succeed(started, height)),
        )
        self.finished.add_done_callback(self._host_ended)
        waited: set[asyncio.Future[Any]] = {started, self.finished}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if self.finished.done():
            await self.stop()  # raises what ended it
        try:
            await self._connection.start()
            await self._port.start()
        except OSError as error:
            await self.stop()
            host, port = self._config.listen_host, self._config.listen_port
            raise ConfigInvalid(f"can't listen at {host}, port {port}: {error}") from None
        _LOGGER.info("%s is at height %d", self._config.party, started.result())

    async def stop(self) -> None:
        """Stop taking work, finish what is under way, close; raise what broke the host."""
        self._thread.check()
        await self._port.stop()
        await self._log_keeper.stop()
        await self._connection.stop()
        self._host.stop()
        self._verifiers.stop()
        await self.finished

    def reconfigure(self, config: NodeConfig) -> None:
        """Take peers, observers and witnesses from a file that was read again.

        Everything else holds from start to end.
        """
        self._thread.check()
        taken = replace(
            self._config,
            peers=config.peers,
            observers=config.observers,
            witnesses=config.witnesses,
        )
        if config != taken:
            _LOGGER.warning(
                "peers, observers and witnesses change while a node runs; "
                "anything else waits for a restart"
            )
        self._config = taken
        is_taken = self._inbox.put_urgent(lambda: self._host.reconfigure(taken))
        if is_taken and self._connection.reconfigure(taken):
            _LOGGER.info(
                "the configuration was read again: %d peers and %d observers",
                len(taken.peers),
                len(taken.observers),
            )
        else:
            _LOGGER.error("the host is too busy for a new configuration: send SIGHUP again")

    def _host_ended(self, finished: "asyncio.Future[None]") -> None:
        """Record a fork, a broken invariant or a failed disk, so no restart goes on (N6.11)."""
        error = None if finished.cancelled() else finished.exception()
        if error is None:
            return
        disk_failed = is_broken(error) or (isinstance(error, OSError) and error.errno == errno.EIO)
        says_it_all = isinstance(error, PromiseBroken | StoreRotten | DamagedPage)
        if says_it_all or disk_failed or isinstance(error, AssertionError):
            reason = str(error) if says_it_all else f"{type(error).__name__}: {error}"
            try:
                remember_stop(self._config.stopped, f"the node broke off: {reason}")
                if isinstance(error, PromiseBroken):
                    keep_evidence(self._config.folder / "fork.bin", error.evidence)
            except OSError:
                _LOGGER.critical("the disk does not even take the reason", exc_info=True)

    def _heard(self, peer: str) -> None:
        self._metrics.messages.labels(peer).inc()

    # --- what API processes ask ------------------------------------------------------------------

    async def submit(self, raw: bytes) -> TransactionStatus:
        """Take in an envelope; raise NotCanonical, Busy or JobFailed."""
        self._thread.check()
        return await self._submissions.submit(raw)

    async def simulate(self, raw: bytes) -> Effect:
        """Say what an envelope would do now; raise NotCanonical, Busy or JobFailed."""
        return await self._questions.ask_few(
            "simulations", SIMULATIONS_MAX, lambda: self._host.simulate(raw)
        )

    async def cosign(self, body: bytes) -> tuple[int, str]:
        """Answer a request to cosign a head of the log (Y11.2); raise Busy or JobFailed."""
        answer = await self._questions.ask_few(
            "cosignings", COSIGNINGS_MAX, lambda: self._host.cosign(body)
        )
        return answer.status, answer.text

    async def lookup(self, transaction_id: bytes) -> TransactionStatus:
        """Say what is known of a transaction outside the log."""
        return await self._questions.ask(lambda: self._host.lookup(transaction_id))

    async def waiting(self, after: int, limit: int) -> tuple[Waiting, ...]:
        """Say what waits here and came in after an arrival; raise Busy or JobFailed."""
        return await self._questions.ask_few(
            "listings", LISTINGS_MAX, lambda: self._host.waiting(after, limit)
        )

    async def status(self) -> NodeStatus:
        """Say how the node is."""
        reached = self._connection.reachability()
        return await self._questions.ask(lambda: self._host.status(reached))

    async def metrics(self) -> str:
        """Return the metrics page."""
        reached = self._connection.reachability()
        self._metrics.peers.set(sum(peer.up for peer in reached.peers))
        for peer, faults in reached.faults:
            self._metrics.faults.labels(peer).set(faults)
        return await self._questions.ask(self._host.metrics_page)


def _call(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(action)


def _public_error(error: Exception) -> Exception:
    """Return the error that a caller may see; our own mistakes are described in the log alone."""
    if isinstance(error, NotCanonical | Busy):
        return error
    return JobFailed("the node could not answer because of an error of its own; its log says more")


def _succeed(future: asyncio.Future[T], answer: T) -> None:
    if not future.done():  # whoever asked may have gone
        future.set_result(answer)


def _fail(future: asyncio.Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
