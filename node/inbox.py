"""The way onto the host thread: two bounded queues, timers, and what may end it."""

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count

from engines.failures import BrokenOff, attempt
from engines.seam import Clock

URGENT_MAX = 8_192
BULK_MAX = 4_096
Job = Callable[[], None]
_LOGGER = logging.getLogger(__name__)


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

    def take_due(self) -> list[Job]:
        """Return the actions that are due by now; what they put in waits for the next time."""
        now_us = self._clock.monotonic_us()
        due = []
        while self._heap and self._heap[0][0] <= now_us:
            due.append(heapq.heappop(self._heap)[2])
        return due

    def wait_s(self) -> float:
        """Return how long nothing is due."""
        if not self._heap:
            return 1.0
        return max(0, self._heap[0][0] - self._clock.monotonic_us()) / 1_000_000


TOLD_AGAIN_S = 60.0
"""A mistake is told in full once in this time: whoever can cause it could fill the disk."""


class JobRunner:
    """Runs jobs of the host thread; if one breaks off the log tells, and the node goes on."""

    def __init__(self, on_failure: Callable[[], None]) -> None:
        """``on_failure`` counts."""
        self._on_failure = on_failure
        self._told: dict[str, float] = {}

    def run(self, job: Job) -> None:
        """Run a job; let out of it only what must stop the node."""
        outcome = attempt(job)
        if isinstance(outcome, BrokenOff):
            self.tell(outcome.error)

    def tell(self, error: Exception) -> None:
        """Count a mistake, and tell it unless it was told a moment ago."""
        self._on_failure()
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        line = "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        place, now_s = f"{type(error).__name__} {line}", time.monotonic()
        if now_s - self._told.get(place, -TOLD_AGAIN_S) >= TOLD_AGAIN_S:
            self._told[place] = now_s
            _LOGGER.error("a job of the host broke off; the node goes on", exc_info=error)
