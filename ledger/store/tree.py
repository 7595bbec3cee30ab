"""The state tree beside a store: brought up to date when a root is asked for (spec V, S4).

Between two roots the values written since wait here, and after one the changed pages wait until
the block that carries the root is committed: they become durable in its transaction.
"""

from collections.abc import Callable, Iterable, Mapping

from ledger import state_tree
from ledger.execute import Write


class TreeBesideStore:
    """Pages that are stored, pages that wait to be, and values that are in no page yet."""

    def __init__(
        self,
        stored: state_tree.Pages,
        unread: Callable[[], Iterable[tuple[bytes, bytes]]],
    ) -> None:
        """``unread`` yields (key, value) of every record that the stored pages do not know."""
        self.changed: dict[bytes, bytes] = {}
        """Pages that the store must write with the next root, by path prefix."""
        self.log_size = 0
        """Entries of the log that stored and changed pages cover together."""
        self._stored = stored
        self._unread = unread
        self._values: dict[bytes, bytes] | None = None
        """None until somebody asks for a root: a node starts without reading all its state."""
        self._root: bytes | None = None

    def page(self, prefix: bytes) -> bytes | None:
        """Return the newest page under a path prefix."""
        changed = self.changed.get(prefix)
        return self._stored.page(prefix) if changed is None else changed

    def note(self, writes: Iterable[Write]) -> None:
        """Take in what a block wrote, once it is durable."""
        if self._values is not None:
            for write in writes:
                self._values[write.key] = write.value
        self._root = None

    def root(self, log_size: int) -> bytes:
        """Return the root over all records of a log of this size."""
        if self._root is None:
            values: Mapping[bytes, bytes]
            values = dict(self._unread()) if self._values is None else self._values
            done = state_tree.update(self, values)
            self.changed.update(done.pages)
            self.log_size = log_size
            self._values, self._root = {}, done.root
        return self._root
