"""A server that is stuck in the node's store, or reads one that was put aside, ends (spec N13).

While a read transaction stays open, the node can use none of the room that it frees, and its store
grows for ever. Nothing in a server needs one for long: open for seconds, it is stuck. And a store
that was healed is another file: who has the old one open would tell of it for ever.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.store.lmdb_store import LmdbReader, Snapshot

READ_S_MAX = 5.0
"""How long a read transaction may be open."""
WATCH_EVERY_S = 1.0


class TimedReader(LmdbReader):
    """A reading end that knows how long its read transactions have been open."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = path / "data.mdb"
        self._opened = self._file.stat().st_ino
        self._since: dict[int, float] = {}
        """When each read that is open began."""
        self._lock = threading.Lock()
        self._count = 0

    @contextmanager
    def begin(self) -> Iterator[Snapshot]:
        """Yield a Snapshot; keep it short."""
        with self._lock:
            self._count += 1
            number = self._count
            self._since[number] = time.monotonic()
        try:
            with super().begin() as snapshot:
                yield snapshot
        finally:
            with self._lock:
                del self._since[number]

    def oldest_s(self) -> float:
        """Return how long the oldest read has been open; 0 if none is."""
        with self._lock:
            return time.monotonic() - min(self._since.values()) if self._since else 0.0

    def is_of_another_store(self) -> bool:
        """Return whether there is another store by now where this one was opened."""
        try:
            return self._file.stat().st_ino != self._opened
        except FileNotFoundError:
            return False  # put aside, and not made anew yet


def why_to_end(reader: TimedReader) -> str:
    """Return why a server can't go on with its reader; empty if it can."""
    if reader.oldest_s() > READ_S_MAX:
        return (
            f"a read of the store has been open for more than {READ_S_MAX:g} s and keeps its old "
            "pages alive"
        )
    return "the store was made anew since it was opened" if reader.is_of_another_store() else ""


def end_when_overdue(reader: TimedReader) -> None:
    """Watch a reader from a thread of its own; end the process once it can't go on with it.

    A thread, since what holds the read may be the event loop; at once, since it will not come back.
    """

    def watch() -> None:
        while not (reason := why_to_end(reader)):
            time.sleep(WATCH_EVERY_S)
        sys.stderr.write(f"{reason}: this server ends, start it again\n")
        sys.stderr.flush()
        os._exit(1)

    threading.Thread(target=watch, name="overdue reads", daemon=True).start()
