"""The state tree beside a store: complete when a root is asked for (spec V, S4).

Values wait here until somebody has time to fold them in, or until a root is due. Changed pages wait
until the block that carries the root is committed: they become durable in its transaction.
"""

from collections.abc import Callable, Iterable
from itertools import islice

from ledger import state_tree
from ledger.execute import Write

FOLD_MAX = 200
"""Values folded in at once between two blocks: some milliseconds."""
WAITING_MAX = 2_000
"""Values that wait before all are folded in: under load large batches cost less for each value, and
a root that is due still finds few."""


class TreeBesideStore:
    """Pages that are stored, pages that wait to be, and values that are in no page yet."""

    def __init__(
        self,
        stored: state_tree.Pages,
        unread: Callable[[], Iterable[tuple[bytes, bytes]]],
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """``unread`` yields (key, value) of every record that the stored pages do not know."""
        self._waiting_max = waiting_max
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
        self.take((write.key, write.value) for write in writes)

    def take(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        """Take in the new values of keys."""
        if self._values is not None:
            self._values.update(values)
            if len(self._values) >= self._waiting_max:
                self._fold(self._values)
                self._values = {}
        self._root = None

    def fold_some(self) -> bool:
        """Fold some waiting values in, so that fewer are left when a root is due.

        Return whether there were any. A node calls it when it has nothing else to do.
        """
        if not self._values:
            return False
        some = dict(islice(self._values.items(), FOLD_MAX))
        for key in some:
            del self._values[key]
        self._fold(some)
        return True

    @property
    def is_folded(self) -> bool:
        """Return whether a root costs nothing: it was asked for since the last change."""
        return self._root is not None

    def root(self, log_size: int) -> bytes:
        """Return the root over all records of a log of this size."""
        if self._root is None:
            values = self._values
            if values is None:
                values = dict(self._unread())
            self._root = self._fold(values)
            self._values = {}
            self.log_size = log_size
        return self._root

    def _fold(self, values: dict[bytes, bytes]) -> bytes:
        done = state_tree.update(self, values)
        self.changed.update(done.pages)
        return done.root
