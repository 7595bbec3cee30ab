"""What may end a node, and what ends no more than the job that raised it (spec N6.9).

Outsiders' bytes are looked at under ``attempt``: a mistake of ours in that ends with those bytes.
What changes the node's own state runs under ``unbroken``: half done, it would contradict itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from engines.seam import EngineStopped
from ledger.execute import RulesUnknown
from ledger.state_tree import DamagedPage
from ledger.store.lmdb_store import StoreDamaged, StoreFull, is_of_lmdb

T = TypeVar("T")

STOPS = (
    *(AssertionError, EngineStopped, RulesUnknown),
    *(StoreDamaged, StoreFull, DamagedPage, OSError, MemoryError),
)
"""A broken invariant, a disk or a store that cannot be trusted, an engine that is done."""


class Mistake(Exception):
    """This software failed in looking at something; nobody else is to blame."""


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """What a job raised that ends the job alone."""

    error: Exception


def stops_the_node(error: BaseException) -> bool:
    """Return whether nothing on the host thread may go on after an error."""
    return isinstance(error, STOPS) or is_of_lmdb(error) or not isinstance(error, Exception)


def attempt(job: Callable[[], T]) -> T | BrokenOff:
    """Return what a job gives, or what it raised; let out only what must stop the node."""
    try:
        return job()
    except Exception as error:
        if stops_the_node(error):
            raise
        return BrokenOff(error)


@contextmanager
def unbroken(what: str) -> Iterator[None]:
    """Stop the node if something breaks off half done, whatever is raised."""
    try:
        yield
    except Exception as error:
        if stops_the_node(error):
            raise
        raise AssertionError(f"{what} broke off: {type(error).__name__}: {error}") from error
