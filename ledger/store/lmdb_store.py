"""The ledger in LMDB: one durable transaction a block (spec S).

Databases: ``state`` (key → value), ``history`` (key NUL u64be sequence → value), ``log``
(u64be sequence → entry), ``blocks`` and ``commits`` (u64be height), ``ids`` (u32be expiry hour,
id → u64be sequence), ``due`` (u64be time, record key), ``parties`` (party NUL key), ``tree``
(u8 depth, path prefix → page), ``tiles`` (u8 level, u64be index → all hashes so far), ``meta``.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import lmdb
import msgspec

from ledger.encoding import codec, merkle, tiles
from ledger.encoding.codec import UINT64_MAX, Record
from ledger.encoding.tiles import HASH_BYTES, TILE_WIDTH, Bundle, Tile
from ledger.execute import Execution, Head, Write
from ledger.store.durable import sync_folder
from ledger.store.rows import BlockRow, due_row, id_key, party_rows
from ledger.store.tree import TreeBesideStore
from ledger.tables import table_of

R = TypeVar("R", bound=Record)

MAP_BYTES = 64 * 1024**3
"""Size of the sparse map; only what is used takes space."""
READERS_MAX = 126
CACHE_MAX = 50_000
"""Decoded records that the writing end keeps; the oldest goes."""
ROOM_MIN = 1024 * 1024
"""Bytes on a disk below which it is full: LMDB writes at most 64 pages at once."""
FILLED_AT_ONCE = 16 * TILE_WIDTH
"""Entries read at once where the tiles of a whole log are made."""
_NAMES = (
    *("state", "history", "log", "blocks", "commits", "ids", "due", "parties", "tree", "tiles"),
    "meta",
)


ANEW = (
    "move it away and start again (`tally node heal` does), "
    "the node then makes it anew from its peers"
)
"""The way out of a store that can't be used."""
DAMAGES = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError)
"""What LMDB raises when its own pages make no sense."""


def is_broken(error: BaseException) -> bool:
    """Return whether LMDB found damage, or the disk failed under it: a plain Error, no OSError."""
    return isinstance(error, DAMAGES) or type(error) is lmdb.Error


def is_of_lmdb(error: BaseException) -> bool:
    """Return whether LMDB itself failed, for whatever reason."""
    return isinstance(error, lmdb.Error)


class StoreDamaged(Exception):
    """The store's file is not what a store ever wrote."""


class StoreFull(Exception):
    """The store has no room for the block."""


def _page_key(prefix: bytes) -> bytes:
    return bytes([len(prefix)]) + prefix  # LMDB takes no empty key


def _tile_key(level: int, index: int) -> bytes:
    return bytes([level]) + _u64(index)


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _environment(
    path: Path, *, readonly: bool, map_bytes: int, durable: bool = True
) -> lmdb.Environment:
    # lib_version is passed so that no environment variable can pick another file format.
    return lmdb.open(
        str(path),
        map_size=map_bytes,
        max_dbs=len(_NAMES),
        max_readers=READERS_MAX,
        readonly=readonly,
        create=not readonly,
        lock=True,
        sync=durable,
        metasync=durable,
        writemap=False,
        meminit=False,
        lib_version=0,
    )


class Snapshot:
    """The store at one moment, inside one short read transaction."""

    def __init__(self, transaction: lmdb.Transaction, databases: dict[str, lmdb._Database]) -> None:
        self._transaction = transaction
        self._databases = databases

    def end(self) -> None:
        """Give the reader's slot back, also while somebody still holds this object.

        An aborted transaction keeps its slot until it is deallocated (measured), and a coroutine
        that waits keeps its variables.
        """
        self._transaction.abort()
        del self._transaction

    def _get(self, database: str, key: bytes) -> bytes | None:
        value = self._transaction.get(key, db=self._databases[database])
        assert value is None or isinstance(value, bytes)
        return value

    def scan(
        self, database: str, *, prefix: bytes, start: bytes = b"", limit: int, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield up to ``limit`` rows under a key prefix, from ``start`` on (inclusive)."""
        with self._transaction.cursor(db=self._databases[database]) as cursor:
            if reverse:
                has_row = cursor.set_range(start or prefix + b"\xff" * 16)
                has_row = cursor.prev() if has_row else cursor.last()
                step = cursor.prev
            else:
                has_row = cursor.set_range(max(start, prefix))
                step = cursor.next
            while has_row and limit > 0:
                key = bytes(cursor.key())
                if not key.startswith(prefix):
                    return
                yield key, bytes(cursor.value())
                limit -= 1
                has_row = step()

    def has(self, database: str, key: bytes) -> bool:
        """Return whether an index has a row."""
        return self._get(database, key) is not None

    def value(self, key: bytes) -> bytes | None:
        """Return a stored value: u64be sequence of its last change, then the record."""
        return self._get("state", key)

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Return the current version of a record."""
        value = self._get("state", key)
        if value is None:
            return None
        decoded: R = codec.decode_stored(record, value[8:])
        return decoded

    def read_at(self, key: bytes, record: type[R], log_size: int) -> R | None:
        """Return a record as it was when the log had ``log_size`` entries."""
        newest = None
        for _, value in self.versions(key):
            if int.from_bytes(value[:8], "big") >= log_size:
                break
            newest = value
        if newest is None:
            return None
        decoded: R = codec.decode_stored(record, newest[8:])
        return decoded

    def versions(self, key: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (sequence, value) of every version of a record, oldest first."""
        for row, value in self.scan("history", prefix=key + b"\0", limit=UINT64_MAX):
            yield int.from_bytes(row[-8:], "big"), value

    def version_before(self, key: bytes, log_size: int) -> bytes | None:
        """Return the newest version of a record written before a log position, or None."""
        prefix = key + b"\0"
        start = prefix + _u64(log_size)
        rows = self.scan("history", prefix=prefix, start=start, limit=1, reverse=True)
        return next((value for _, value in rows), None)

    def due(self, until_ms: int, limit: int) -> tuple[str, ...]:
        """Return keys of due records by (due, key)."""
        keys = []
        for key, _ in self.scan("due", prefix=b"", limit=limit):
            if int.from_bytes(key[:8], "big") > until_ms:
                break
            keys.append(key[8:].decode("ascii"))
        return tuple(keys)

    def page(self, prefix: bytes) -> bytes | None:
        """Return a page of the state tree as of the last stored root."""
        return self._get("tree", _page_key(prefix))

    def tree_log_size(self) -> int:
        """Return how many entries of the log the stored pages cover: up to the last root's cut."""
        log_size = self._get("meta", b"tree")
        return 0 if log_size is None else int.from_bytes(log_size, "big")

    def values_since(self, log_size: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of every record that was written at or after a log position."""
        for key, value in self.scan("state", prefix=b"", limit=UINT64_MAX):
            if int.from_bytes(value[:8], "big") >= log_size:
                yield key, value

    def values_by_cut(self) -> list[dict[bytes, bytes]]:
        """Return the values that the stored pages do not know, of each cut without a root (B7)."""
        head = self.head()
        ends = () if head is None else tuple(cut.log_size for cut in head.cuts)
        starts = (self.tree_log_size(), *ends)
        return [dict(self.values_between(*span)) for span in zip(starts, ends, strict=False)]

    def values_between(self, first: int, end: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of what was written from one log position to another, as of that."""
        for key, current in self.values_since(first):
            # Only a key that was written again later has another version as of then.
            was_then = int.from_bytes(current[:8], "big") < end
            value = current if was_then else self.version_before(key, end)
            if value is not None and int.from_bytes(value[:8], "big") >= first:
                yield key, value

    def head(self) -> Head | None:
        """Return where the last commit ended."""
        row = self._get("meta", b"head")
        if row is None:
            return None
        head: Head = codec.decode_stored(Head, row)
        return head

    def genesis(self) -> bytes | None:
        """Return the genesis bytes."""
        return self._get("meta", b"genesis")

    def sequence_of(self, transaction_id: bytes, expires_at: int) -> int | None:
        """Return where an id with this expiry was logged, or None."""
        sequence = self._get("ids", id_key(transaction_id, expires_at))
        return None if sequence is None else int.from_bytes(sequence, "big")

    def find(self, transaction_id: bytes) -> int | None:
        """Return where an id was logged, its expiry unknown: one read per hour in the index."""
        with self._transaction.cursor(db=self._databases["ids"]) as cursor:
            has_row = cursor.last()
            while has_row:
                hour = bytes(cursor.key()[:4])
                if cursor.set_key(hour + transaction_id):
                    return int.from_bytes(cursor.value(), "big")
                has_row = cursor.set_range(hour) and cursor.prev()
        return None

    def block_row(self, height: int) -> BlockRow | None:
        """Return where a block lies in the log, or None."""
        row = self._get("blocks", _u64(height))
        if row is None:
            return None
        decoded: BlockRow = codec.decode_stored(BlockRow, row)
        return decoded

    def stored_commit(self, height: int) -> bytes | None:
        """Return what the engine stored with a block: opaque here."""
        return self._get("commits", _u64(height))

    def entries(self, first: int, last: int) -> tuple[bytes, ...]:
        """Return log entries first … last − 1."""
        rows = self.scan("log", prefix=b"", start=_u64(first), limit=max(0, last - first))
        return tuple(value for _, value in rows)

    def tile(self, tile: Tile) -> bytes | None:
        """Return the hashes of a tile, or None if the log does not determine all of it (Y5.3)."""
        if not tiles.is_within(tile, self._log_size()):
            return None
        return self.stored_tile(tile.level, tile.index)[: tile.width * HASH_BYTES]

    def stored_tile(self, level: int, index: int) -> bytes:
        """Return a tile as wide as the log has it; empty if there is none."""
        return self._get("tiles", _tile_key(level, index)) or b""

    def bundle(self, bundle: Bundle) -> bytes | None:
        """Return the entries of a bundle as it frames them, or None if some are not logged yet."""
        if not tiles.is_within(bundle, self._log_size()):
            return None
        first = bundle.index * TILE_WIDTH
        return tiles.bundle_bytes(self.entries(first, first + bundle.width))

    def _log_size(self) -> int:
        head = self.head()
        return 0 if head is None else head.log_size

    def keys_of_party(
        self, party: str, table_prefix: bytes, start: bytes, limit: int
    ) -> list[bytes]:
        """Return keys of records that name a party, from ``start`` on."""
        prefix = party.encode("ascii") + b"\0"
        rows = self.scan("parties", prefix=prefix + table_prefix, start=prefix + start, limit=limit)
        return [key[len(prefix) :] for key, _ in rows]


class LmdbStore:
    """The writing end: exactly one per environment, used by exactly one thread."""

    def __init__(self, path: Path, *, map_bytes: int = MAP_BYTES, durable: bool = True) -> None:
        """Open or make the environment; only a scratch copy may be not ``durable``."""
        is_new = not (path / "data.mdb").exists()
        path.mkdir(parents=True, exist_ok=True)
        try:
            self._environment = _environment(
                path, readonly=False, map_bytes=map_bytes, durable=durable
            )
            self._databases = {
                name: self._environment.open_db(name.encode("ascii")) for name in _NAMES
            }
        except (lmdb.InvalidError, *DAMAGES) as error:
            raise StoreDamaged(f"{path} is no store that can be read ({error}): {ANEW}") from None
        if is_new and durable:
            for folder in (path, path.parent):
                sync_folder(folder)
        self._thread = threading.get_ident()
        self._process = os.getpid()
        self._reading = self._environment.begin()
        self.snapshot = Snapshot(self._reading, self._databases)
        self._cache: dict[bytes, Record] = {}
        """Committed records as objects: most are read again and again between two changes."""
        self._tree = TreeBesideStore(self, self._unread)
        try:
            self._fill_tiles()
        except msgspec.DecodeError as error:
            self.close()
            reason = f"its head is damaged, or of other software ({error})"
            raise StoreDamaged(f"{path} can't be taken up, for {reason}: {ANEW}") from None

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Return a committed record."""
        cached = self._cache.get(key)
        if cached is not None:
            assert isinstance(cached, record)
            return cached
        stored = self.snapshot.read(key, record)
        if stored is not None:
            self._remember(key, stored)
        return stored

    def _remember(self, key: bytes, record: Record) -> None:
        if len(self._cache) >= CACHE_MAX:
            del self._cache[next(iter(self._cache))]
        self._cache[key] = record

    def due(self, until_ms: int, limit: int) -> tuple[str, ...]:
        """Return keys of due records by (due, key)."""
        return self.snapshot.due(until_ms, limit)

    def page(self, prefix: bytes) -> bytes | None:
        """Return a stored page of the state tree."""
        return self.snapshot.page(prefix)

    def _unread(self) -> list[dict[bytes, bytes]]:
        return self.snapshot.values_by_cut()

    def fold_some(self) -> bool:
        """Bring the state tree nearer to its next root; return whether there was anything to do."""
        return self._tree.fold_some()

    @property
    def root_is_known(self) -> bool:
        """Return whether ``state_root`` has nothing to do."""
        return self._tree.is_folded

    def state_root(self) -> bytes:
        """Return the root of the state tree as of the oldest cut that has none yet (B7)."""
        return self._tree.root()

    def head(self) -> Head | None:
        """Return where the last commit ended."""
        return self.snapshot.head()

    def genesis(self) -> bytes | None:
        """Return the genesis bytes."""
        return self.snapshot.genesis()

    def sequence_of(self, transaction_id: bytes, expires_at: int) -> int | None:
        """Return where an id was logged."""
        return self.snapshot.sequence_of(transaction_id, expires_at)

    def block_row(self, height: int) -> BlockRow | None:
        """Return where a block lies in the log."""
        return self.snapshot.block_row(height)

    def stored_commit(self, height: int) -> bytes | None:
        """Return what the engine stored with a block."""
        return self.snapshot.stored_commit(height)

    def entries(self, first: int, last: int) -> tuple[bytes, ...]:
        """Return log entries first … last − 1."""
        return self.snapshot.entries(first, last)

    def begin(self, data: bytes, head: Head, entry: bytes, writes: tuple[Write, ...]) -> None:
        """Write genesis, durably."""
        with self._write() as transaction:
            self._put(transaction, "meta", b"genesis", data)
            self._put(transaction, "log", _u64(0), entry)
            # The root of one entry is its leaf hash.
            self._put_tiles(transaction, self.snapshot.stored_tile, size=0, leaves=head.log_peaks)
            self._put_records(transaction, writes)
            self._put_head(transaction, head, first_sequence=0)

    def commit(self, execution: Execution, stored_commit: bytes) -> None:
        """Write a block in one durable transaction; raise StoreFull if there is no room."""
        first = execution.parent.log_size
        with self._write() as transaction:
            self._put_records(transaction, execution.writes)
            for offset, entry in enumerate(execution.entries):
                self._put(transaction, "log", _u64(first + offset), entry)
            self._put_tiles(
                transaction, self.snapshot.stored_tile, size=first, leaves=execution.leaves
            )
            for result in execution.results:
                key = id_key(result.id, result.expires_at)
                self._put(transaction, "ids", key, _u64(result.sequence))
            self._put(transaction, "commits", _u64(execution.head.height), stored_commit)
            self._put_head(transaction, execution.head, first_sequence=first)
            if execution.record is not None and execution.record.state_root:
                self._put_pages(transaction, execution.parent.cuts[0].log_size)
        for write in execution.writes:  # only now that they are durable; the last one stays
            self._remember(write.key, write.record)
        if execution.record is not None and execution.record.state_root:
            self._tree.changed.clear()
            self._tree.carried()
        values = ((write.key, write.value) for write in execution.writes)
        self._tree.note(values, len(execution.head.cuts))

    def _put_pages(self, transaction: lmdb.Transaction, log_size: int) -> None:
        for prefix, page in sorted(self._tree.changed.items()):
            self._put(transaction, "tree", _page_key(prefix), page)
        self._put(transaction, "meta", b"tree", _u64(log_size))

    def _put_tiles(
        self,
        transaction: lmdb.Transaction,
        stored: Callable[[int, int], bytes],
        *,
        size: int,
        leaves: Sequence[bytes],
    ) -> None:
        """Widen the tiles of a log of ``size`` entries by the leaf hashes of the next ones."""
        for place, data in tiles.grow(stored, size=size, leaves=leaves).items():
            self._put(transaction, "tiles", _tile_key(*place), data)

    def _fill_tiles(self) -> None:
        """Make the tiles of a store that older software made: it has none; raise StoreFull."""
        head = self.head()
        if head is None or any(self.snapshot.scan("tiles", prefix=b"", limit=1)):
            return
        with self._write() as transaction:
            written = Snapshot(transaction, self._databases)
            for first in range(0, head.log_size, FILLED_AT_ONCE):
                entries = self.entries(first, min(first + FILLED_AT_ONCE, head.log_size))
                leaves = [merkle.leaf_hash(entry) for entry in entries]
                self._put_tiles(transaction, written.stored_tile, size=first, leaves=leaves)

    def records(self) -> Iterator[tuple[bytes, Record]]:
        """Yield every current record with its key, by key; nothing may be committed meanwhile."""
        for key, value in self.snapshot.scan("state", prefix=b"", limit=UINT64_MAX):
            yield key, codec.decode_stored(table_of(key).record, value[8:])

    def used_share_percent(self) -> int:
        """Return how much of the map is in use, in percent."""
        info = self._environment.info()
        page = self._environment.stat()["psize"]
        return int(info["last_pgno"] + 1) * int(page) * 100 // int(info["map_size"])

    def check_readers(self) -> int:
        """Free the slots of readers that died; return how many there were."""
        return int(self._environment.reader_check())

    def close(self) -> None:
        """Close the environment."""
        self._reading.abort()
        self._environment.close()

    @contextmanager
    def _write(self) -> Iterator[lmdb.Transaction]:
        """Yield a write transaction; commit it, or abort on any error; raise StoreFull."""
        # LMDB accepts writes from other threads and forked children silently (measured).
        assert threading.get_ident() == self._thread, "a second thread writes"
        assert os.getpid() == self._process, "a forked process writes"
        try:
            with self._environment.begin(write=True) as transaction:
                yield transaction
        except (lmdb.MapFullError, lmdb.DiskError) as error:
            raise StoreFull(f"the store has no room for more: {error}") from None
        except lmdb.Error as error:
            # LMDB calls a write that the disk took in part an input/output error, full or broken.
            if type(error) is lmdb.Error and self._room() < ROOM_MIN:
                raise StoreFull(f"the disk is full: {error}") from None
            raise
        # The old read would pin every page it can see; take a new one at once.
        self._reading.abort()
        self._reading = self._environment.begin()
        self.snapshot = Snapshot(self._reading, self._databases)

    def _room(self) -> int:
        """Return the bytes that the file system still gives us."""
        disk = os.statvfs(self._environment.path())
        return disk.f_bavail * disk.f_frsize

    def _put(self, transaction: lmdb.Transaction, name: str, key: bytes, value: bytes) -> None:
        transaction.put(key, value, db=self._databases[name])

    def _put_head(self, transaction: lmdb.Transaction, head: Head, *, first_sequence: int) -> None:
        row = BlockRow(
            height=head.height,
            time_ms=head.time_ms,
            record_hash=head.record_hash,
            first_sequence=first_sequence,
            log_size=head.log_size,
        )
        self._put(transaction, "blocks", _u64(head.height), codec.encode(row))
        self._put(transaction, "meta", b"head", codec.encode(head))

    def _put_records(self, transaction: lmdb.Transaction, writes: tuple[Write, ...]) -> None:
        last: dict[bytes, Write] = {}
        for write in writes:
            last[write.key] = write
        for key in sorted(last):
            write = last[key]
            self._index(transaction, write)
            self._put(transaction, "state", key, write.value)
        for write in sorted(writes, key=lambda written: written.key):
            self._put(transaction, "history", write.key + b"\0" + _u64(write.sequence), write.value)

    def _index(self, transaction: lmdb.Transaction, write: Write) -> None:
        """Keep the due index and the index by party in step with a record."""
        record = write.record
        old = self.read(write.key, type(record))
        was, now = due_row(write.key, old), due_row(write.key, record)
        if was != now:
            if was is not None:
                transaction.delete(was, db=self._databases["due"])
            if now is not None:
                self._put(transaction, "due", now, b"")
        if old is None:
            for row in party_rows(write.key, record):
                self._put(transaction, "parties", row, b"")


class LmdbReader:
    """A reading end for another process, in short read transactions."""

    def __init__(self, path: Path, *, map_bytes: int = MAP_BYTES) -> None:
        self._environment = _environment(path, readonly=True, map_bytes=map_bytes)
        self._databases = {
            name: self._environment.open_db(name.encode("ascii"), create=False) for name in _NAMES
        }

    def begin(self) -> AbstractContextManager[Snapshot]:
        """Return a context manager that yields a Snapshot; keep it short."""
        return _ReadTransaction(self._environment, self._databases)

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()


class _ReadTransaction:
    def __init__(self, environment: lmdb.Environment, databases: dict[str, lmdb._Database]) -> None:
        self._snapshot = Snapshot(environment.begin(), databases)

    def __enter__(self) -> Snapshot:
        return self._snapshot

    def __exit__(self, *_: object) -> None:
        self._snapshot.end()
