"""Processes that help the one that people started: how they begin, and that they end with it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

BEHIND = 5
"""How much nicer to others a helper is than the process that waits for it."""


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
