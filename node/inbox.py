"""The way onto the host thread: two bounded queues, timers, and what may end it."""

import heapq
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from engines.seam import Clock, EngineStopped
from ledger.execute import RulesUnknown
from ledger.state_tree import DamagedPage
from ledger.store.lmdb_store import StoreDamaged, StoreFull, is_broken
from node.scrub import StoreRotten

URGENT_MAX = 8_192
BULK_MAX = 4_096
STOPS = (
    *(AssertionError, EngineStopped, RulesUnknown),
    *(StoreDamaged, StoreFull, StoreRotten, DamagedPage, OSError, MemoryError),
)
"""What ends a node: a broken invariant, a disk or a store that cannot be trusted, an engine that
has nothing more to decide. Whatever else a job raises ends with the job."""

Job = Callable[[], None]
T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)


def stops_the_node(error: BaseException) -> bool:
    """Return whether nothing on the host thread may go on after an error."""
    return isinstance(error, STOPS) or is_broken(error) or not isinstance(error, Exception)


class ThreadOwned:
    """Asserts that an object is used by the thread that made it, and by no other."""

    def __init__(self) -> None:
        self._owner = threading.get_ident()

    def check(self) -> None:
        """Call first in whatever only the owner may do."""
        assert threading.get_ident() == self._owner, "another thread uses what is not its own"


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

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Job]] = []
        self._order = count()

    def after(self, delay_ms: int, action: Job) -> None:
        """Run ``action`` after a delay."""
        due_us = self._clock.monotonic_us() + delay_ms * 1_000
        heapq.heappush(self._heap, (due_us, next(self._order), action))

    def take_due(self) -> Job | None:
        """Return the next action that is due, if one is."""
        if not self._heap or self._heap[0][0] > self._clock.monotonic_us():
            return None
        return heapq.heappop(self._heap)[2]

    def wait_s(self) -> float:
        """Return how long nothing is due."""
        if not self._heap:
            return 1.0
        return max(0, self._heap[0][0] - self._clock.monotonic_us()) / 1_000_000


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """What a job raised that ends the job alone."""

    error: Exception


def attempt(job: Callable[[], T]) -> T | BrokenOff:
    """Return what a job gives, or what it raised; let out only what must stop the node.

    Anything else is a mistake of ours in looking at what an outsider sent. Once a job has begun
    to change the node's own state, the engine turns such a mistake into an AssertionError.
    """
    try:
        return job()
    except Exception as error:
        if stops_the_node(error):
            raise
        return BrokenOff(error)


def run_job(job: Job, on_failure: Callable[[], None]) -> None:
    """Run a job of the host thread; if it breaks off the log tells, and the node goes on."""
    outcome = attempt(job)
    if isinstance(outcome, BrokenOff):
        on_failure()
        _LOGGER.error("a job of the host broke off; the node goes on", exc_info=outcome.error)
