"""The state tree beside a store, made ready for the next root before a block asks for it (S4, B7).

Values wait here by the cut that they were written for. Those of the oldest cut are folded in
whenever somebody has time; those of the next one wait until a block has carried its root. Changed
pages wait for that block too: they become durable in its transaction.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from ledger import state_tree

FOLD_MAX = 200
"""Values folded in at once between two blocks: some milliseconds."""
WAITING_MAX = 2_000
"""Values that wait before as many are folded in: under load large batches cost less for each value,
and a root that is due still finds few."""
CLOSED_MAX = 500
"""Values of a cut that is over folded in with each block, where nobody is ever idle."""

Values = dict[bytes, bytes]
"""Stored values by key."""


class TreeBesideStore:
    """Pages that are stored, pages that wait to be, and values that are in no page yet."""

    def __init__(
        self,
        stored: state_tree.Pages,
        unread: Callable[[], Sequence[Values]],
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """``unread`` returns the values that the stored pages do not know, by cut."""
        self._waiting_max = waiting_max
        self.changed: dict[bytes, bytes] = {}
        """Pages that the store must write with the next root, by path prefix."""
        self._stored = stored
        self._unread = unread
        self._waiting: list[Values] | None = None
        """By cut, the oldest first. None until somebody asks for a root: a node starts without
        reading all its state."""
        self._root: bytes | None = None
        """As of the oldest cut, if it is known."""

    def page(self, prefix: bytes) -> bytes | None:
        """Return the newest page under a path prefix."""
        changed = self.changed.get(prefix)
        return self._stored.page(prefix) if changed is None else changed

    def note(self, values: Iterable[tuple[bytes, bytes]], cuts: int) -> None:
        """Take in what a block wrote, once it is durable: for the last of ``cuts`` cuts."""
        if self._waiting is None:
            return
        while len(self._waiting) < cuts:
            self._waiting.append({})
        if not self._waiting:
            return
        self._waiting[-1].update(values)
        if self._waiting[0]:
            self._root = None
        while len(self._waiting[0]) >= self._waiting_max:
            self._fold(self._waiting_max)
        if self._waiting[0] and len(self._waiting) > 1:
            self._fold(CLOSED_MAX)

    def carried(self) -> None:
        """Go on to the next cut: a block carries the root of the oldest."""
        assert self._waiting is not None, "a root that nobody asked for"
        assert not self._waiting[0], "a root over less than was written"
        del self._waiting[0]
        self._root = None

    def fold_some(self) -> bool:
        """Fold some values of the oldest cut in, so that its root is there when it is due.

        Return whether there were any. A node calls it when it has nothing else to do.
        """
        if not (self._waiting and self._waiting[0]):
            return False
        self._fold(FOLD_MAX)
        return True

    @property
    def is_folded(self) -> bool:
        """Return whether a root costs nothing."""
        return self._root is not None

    def waiting(self) -> list[Values]:
        """Return the values that are in no page yet, by cut."""
        if self._waiting is None:
            self._waiting = list(self._unread())
        return self._waiting

    def root(self) -> bytes:
        """Return the root as of the oldest cut; if there is none, over what the pages cover."""
        waiting = self.waiting()
        if self._root is None:
            self._root = self._fold(len(waiting[0]) if waiting else 0)
        return self._root

    def _fold(self, most: int) -> bytes:
        """Fold values of the oldest cut in; return the root over what pages then cover."""
        assert self._waiting is not None
        waiting = self._waiting[0] if self._waiting else {}
        some = dict(islice(waiting.items(), most))
        for key in some:
            del waiting[key]
        done = state_tree.update(self, some)
        self.changed.update(done.pages)
        self._root = None if waiting else done.root
        return done.root
