"""A store made from rows instead of by executing blocks (spec N12).

Nothing here is checked: whoever fills a draft proves the rows, and takes the draft into use only
then. It has the rows that a store would have that executed every block, in every table.
"""

from pathlib import Path

from ledger import state_tree
from ledger.encoding import codec, tiles
from ledger.encoding.codec import Record
from ledger.execute import Head
from ledger.store.lmdb_store import (
    FILLED_AT_ONCE,
    LmdbStore,
    _page_key,
    _tile_key,
    _u64,
)
from ledger.store.rows import BlockRow, due_row, id_key, party_rows

WAITING_ROWS_MAX = 20_000
WAITING_BYTES_MAX = 16 * 1024 * 1024
"""What is kept in memory between two write transactions; LMDB keeps about as much again."""
TREE_BATCH_MAX = 20_000
"""Records taken into the state tree at once: a page is written once a batch."""


class StoreDraft(LmdbStore):
    """A store in the making; not durable before ``finish``."""

    def __init__(self, path: Path, *, map_bytes: int) -> None:
        super().__init__(path, map_bytes=map_bytes, durable=False)
        self._waiting: list[tuple[str, bytes, bytes]] = []
        self._waiting_bytes = 0
        self._leaves: dict[bytes, bytes] = {}
        self._log_leaves: list[bytes] = []
        """Of the last entries, which no tile holds yet."""
        self._tiled = 0
        """How many entries are in tiles."""
        self._last_tiles: dict[int, bytes] = {}
        """The last tile of each level."""

    def add_entry(self, sequence: int, entry: bytes, leaf: bytes) -> None:
        """Take the next entry of the log, with its leaf hash."""
        self._add("log", _u64(sequence), entry)
        self._log_leaves.append(leaf)
        if len(self._log_leaves) >= FILLED_AT_ONCE:
            self._grow_tiles()

    def add_id(self, transaction_id: bytes, expires_at: int, sequence: int) -> None:
        """Take the id of a logged transaction."""
        self._add("ids", id_key(transaction_id, expires_at), _u64(sequence))

    def add_block(self, row: BlockRow) -> None:
        """Take where a block lies in the log."""
        self._add("blocks", _u64(row.height), codec.encode(row))

    def add_commit(self, height: int, commit: bytes) -> None:
        """Take what the engine stored with a block."""
        self._add("commits", _u64(height), commit)

    def add_version(self, row: bytes, value: bytes) -> None:
        """Take a version of a record: the last one of some block."""
        self._add("history", row, value)

    def add_first(self, key: bytes, record: Record) -> None:
        """Take a record as the block left it that made it: by that it is found."""
        for row in party_rows(key, record):
            self._add("parties", row, b"")

    def add_current(self, key: bytes, value: bytes, record: Record) -> None:
        """Take the last version of a record."""
        self._add("state", key, value)
        due = due_row(key, record)
        if due is not None:
            self._add("due", due, b"")

    def add_leaf(self, key: bytes, value: bytes) -> None:
        """Take a record into the state tree: its last version as of the last state root."""
        self._leaves[key] = value
        if len(self._leaves) >= TREE_BATCH_MAX:
            self._grow_tree()

    def tree_root(self) -> bytes:
        """Return the root over all leaves."""
        self._grow_tree()
        return state_tree.root(self)

    def flush(self) -> None:
        """Write what waits, so that it can be read; raise StoreFull if there is no room."""
        with self._write() as transaction:
            for name, key, value in self._waiting:
                self._put(transaction, name, key, value)
        self._waiting.clear()
        self._waiting_bytes = 0

    def version(self, row: bytes) -> bytes | None:
        """Return a version of a record that was flushed."""
        return next(
            (value for _, value in self.snapshot.scan("history", prefix=row, limit=1)), None
        )

    def finish(self, genesis: bytes, head: Head, *, tree_log_size: int | None) -> None:
        """Write the head, and make all of it durable but the names of folder and files.

        ``tree_log_size`` is how many entries the last state root covers; None if there is no root.
        """
        self._grow_tiles()
        self._add("meta", b"genesis", genesis)
        self._add("meta", b"head", codec.encode(head))
        if tree_log_size is not None:
            self._add("meta", b"tree", _u64(tree_log_size))
        self.flush()
        self._environment.sync(True)

    def _add(self, name: str, key: bytes, value: bytes) -> None:
        self._waiting.append((name, key, value))
        self._waiting_bytes += len(value)
        if len(self._waiting) >= WAITING_ROWS_MAX or self._waiting_bytes >= WAITING_BYTES_MAX:
            self.flush()

    def _grow_tiles(self) -> None:
        leaves, self._log_leaves = self._log_leaves, []
        grown = tiles.grow(
            lambda level, _: self._last_tiles[level], size=self._tiled, leaves=leaves
        )
        for (level, index), data in grown.items():
            self._add("tiles", _tile_key(level, index), data)
            self._last_tiles[level] = data
        self._tiled += len(leaves)

    def _grow_tree(self) -> None:
        pages = state_tree.update(self, self._leaves).pages
        for prefix, page in pages.items():
            self._add("tree", _page_key(prefix), page)
        self._leaves.clear()
        self.flush()  # the next batch reads these pages
