"""What a worker does that verifies signatures. It imports little: workers start quickly so."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from ledger.encoding import crypto

Job = tuple[bytes, bytes, bytes, str]
"""Key, message, signature, and the tag of the frame that the worker puts around the message, empty
if it has its frame: plain tuples, since there is one for each signature of the log."""
_JOBS = msgspec.msgpack.Decoder(list[Job])
BEHIND = 5
"""How much nicer to others the helpers of the executing process are."""


class HelperLost(Exception):
    """A process that helps the executing one ended before its work; the sentence says which."""

    def __init__(self, work: str) -> None:
        super().__init__(
            f"a process that {work} ended unexpectedly: was it killed, or is memory or disk short?"
        )


class Verdict(NamedTuple):
    """What a worker found in a batch."""

    bad: int | None
    """The first signature that does not hold."""
    cpu_ns: int


def verify_batch(jobs: bytes) -> Verdict:
    """Verify the signatures of encoded jobs, in their order; runs in a worker."""
    before = time.process_time_ns()
    bad = None
    for number, (key, message, signature, tag) in enumerate(_JOBS.decode(jobs)):
        framed = crypto.frame(tag, message) if tag else message
        if not crypto.verify(key, framed, signature):
            bad = number
            break
    return Verdict(bad, time.process_time_ns() - before)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Start processes in here: Ctrl-C never reaches them, and this one a moment later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def step_back() -> None:
    """Be a helper: let the executing process go first, and end with it."""
    os.nice(BEHIND)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Nobody says goodbye where the parent is killed: a pool's worker would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
