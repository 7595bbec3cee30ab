"""A store with a log of any size and nothing behind it: no block was executed.

Its entries are positions in decimal (those of the vectors), but for the last, which is the record
of its only block.
"""

from functools import cache
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ledger import entries
from ledger.encoding import merkle
from ledger.execute import Execution
from ledger.store.lmdb_store import LmdbStore
from ledger.store.restore import StoreDraft
from ledger.store.rows import BlockRow
from tests import builders
from tests.ledger.log_vectors import entry

MAP_BYTES = 2**28
COMMIT = b"the commit of the only block"


@cache
def _block() -> Execution:
    return builders.Chain().accept(builders.publish())


@cache
def closing(height: int = 1) -> bytes:
    """Return a last entry: some block's record, with this height."""
    record = _block().record
    assert record is not None
    changed = msgspec.structs.replace(record, height=height)
    return entries.encode_entry(entries.ClosingEntry(record=changed))


def log_of(size: int) -> list[bytes]:
    """Return the entries of a log."""
    return [*map(entry, range(size - 1)), closing()]


def make_store(path: Path, size: int) -> None:
    """Make a store whose log has ``size`` entries, at least one."""
    draft = StoreDraft(path, map_bytes=MAP_BYTES)
    frontier = merkle.Frontier()
    for sequence, data in enumerate(log_of(size)):
        leaf = merkle.leaf_hash(data)
        frontier.append(leaf)
        draft.add_entry(sequence, data, leaf)
    head = replace(_block().head, height=1, log_size=size, log_peaks=tuple(frontier.peaks))
    for height in (0, 1):
        draft.add_block(
            BlockRow(
                height=height,
                time_ms=head.time_ms,
                record_hash=head.record_hash,
                first_sequence=0,
                log_size=size,
            )
        )
    draft.add_commit(1, COMMIT)
    draft.finish(b"genesis", head, tree_log_size=None)
    draft.close()


def root_of(size: int) -> bytes:
    """Return the root of the log."""
    return merkle.root(log_of(size))


def open_store(path: Path) -> LmdbStore:
    """Open a store that was made here."""
    return LmdbStore(path, map_bytes=MAP_BYTES)
