"""The node's store, which tells how long a block waited for the state root that it carries."""

from collections.abc import Callable
from pathlib import Path

from ledger.store.lmdb_store import LmdbStore


class WatchedStore(LmdbStore):
    """A store that measures what a root costs when a block asks for it."""

    def __init__(
        self,
        path: Path,
        *,
        map_bytes: int,
        now_us: Callable[[], int],
        waited: Callable[[int], None],
    ) -> None:
        """Tell ``waited`` the microseconds of every root that was not known already."""
        super().__init__(path, map_bytes=map_bytes)
        self._now_us = now_us
        self._waited = waited

    def state_root(self) -> bytes:
        """Return the root of the state tree as of the oldest cut that has none yet (B7)."""
        if self.root_is_known:
            return super().state_root()
        began_us = self._now_us()
        root = super().state_root()
        self._waited(self._now_us() - began_us)
        return root
