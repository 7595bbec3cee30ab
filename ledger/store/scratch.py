"""A lean store for a replay: current records only, and what its rules ask for (spec A8).

Whoever replays a log reads neither the history nor the indexes of parties, and can begin again when
the machine stops. So records wait in memory, where hot ones are written over many times, and go to
disk by the ten thousand, when it is told to. A killed process finds the last ``flush``.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import lmdb
import msgspec

from ledger.encoding import codec
from ledger.encoding.codec import Record
from ledger.execute import Execution, Head, Write
from ledger.rules.claims import Claim
from ledger.rules.expiry import due_ms
from ledger.rules.reserves import Reserve
from ledger.rules.vouchers import VOUCHERS, Voucher
from ledger.store.rows import due_row, id_key
from ledger.store.tree import TreeBesideStore, Values
from ledger.tables import table_of

R = TypeVar("R", bound=Record)

MAP_BYTES = 64 * 1024**3
"""Size of the sparse map; only what is used takes space."""
WAITING_MAX = 30_000
"""Records and ids that wait in memory for the disk."""
CACHE_MAX = 50_000
"""Decoded records that are kept between two flushes; the oldest go."""
VALUES_MAX = 20_000
"""Values that wait to be folded into the state tree: a key that changes in every block between two
roots is folded once."""
PAGES_MAX = 20_000
"""Changed pages of the state tree that wait in memory."""
_NEVER_MS = 2**63
_EXPIRING = (Voucher, Reserve, Claim)
_BEHIND_VOUCHERS = VOUCHERS.prefix[:-1] + b"0"
"""The first key that can stand behind the table."""
_UNKNOWN = Record()
"""Stands for what was not read yet; None for what does not exist."""
_NAMES = ("state", "ids", "due", "meta")


def _open(path: Path, databases: int) -> lmdb.Environment:
    path.mkdir(parents=True, exist_ok=True)
    # Neither synced nor copied into the file: a page that a power cut tears is made again.
    return lmdb.open(
        str(path),
        map_size=MAP_BYTES,
        max_dbs=databases,
        sync=False,
        writemap=True,
        meminit=False,
        lib_version=0,
    )


class ScratchStore:
    """The state of a ledger while its log is replayed; for one thread, never a node's."""

    def __init__(self, path: Path) -> None:
        """Open or make it."""
        self._environment = _open(path, len(_NAMES))
        self._databases = {name: self._environment.open_db(name.encode()) for name in _NAMES}
        self._reading = self._environment.begin()
        self._records: dict[bytes, Record | None] = {}
        """By key, also what is known not to exist: rules ask for that again and again."""
        self._waiting: dict[bytes, bytes] = {}
        """Values by key that are not on disk yet; their records stand in the cache."""
        self._ids: dict[bytes, int] = {}
        self._due_ms = _NEVER_MS
        """When the first of the waiting records is due."""

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Return the current version of a record."""
        cached = self._records.get(key, _UNKNOWN)
        if cached is None:
            return None
        if isinstance(cached, record):
            return cached
        assert cached is _UNKNOWN, f"{key.decode('ascii')} is a {type(cached).__name__}"
        value = self._get("state", key)
        stored: R | None = None if value is None else codec.decode_stored(record, value[8:])
        self._records[key] = stored
        return stored

    def due(self, until_ms: int, limit: int) -> tuple[str, ...]:
        """Return keys of due records by (due, key)."""
        rows: list[bytes] = []
        if until_ms >= self._due_ms:
            rows = [row for row in self._waiting_rows() if _due_ms_of(row) <= until_ms]
        with self._reading.cursor(db=self._databases["due"]) as cursor:
            taken = 0
            for row in cursor.iternext(values=False):
                if taken == limit or _due_ms_of(row) > until_ms:
                    break
                if row[8:] not in self._waiting:  # else the index is behind it
                    rows.append(bytes(row))
                    taken += 1
        return tuple(row[8:].decode("ascii") for row in sorted(rows)[:limit])

    def _waiting_rows(self) -> list[bytes]:
        """Return the rows of records that wait, and note when the first of them is due."""
        due_rows = (due_row(key, self._records[key]) for key in self._waiting)
        rows = [row for row in due_rows if row is not None]
        self._due_ms = min(map(_due_ms_of, rows), default=_NEVER_MS)
        return rows

    def state_root(self) -> bytes:
        """Refuse: whoever replays has the roots made beside it."""
        raise AssertionError("the tree of a replay is kept apart from its records")

    def sequence_of(self, transaction_id: bytes, expires_at: int) -> int | None:
        """Return where an id was logged, or None."""
        row = id_key(transaction_id, expires_at)
        waiting = self._ids.get(row)
        if waiting is not None:
            return waiting
        sequence = self._get("ids", row)
        return None if sequence is None else int.from_bytes(sequence, "big")

    def begin(self, writes: Iterable[Write]) -> None:
        """Take what genesis makes, or whatever else a replay begins with."""
        self._put(writes)

    def commit(self, execution: Execution) -> None:
        """Take what a block did."""
        self._put(execution.writes)
        for result in execution.results:
            self._ids[id_key(result.id, result.expires_at)] = result.sequence

    def _put(self, writes: Iterable[Write]) -> None:
        records, waiting = self._records, self._waiting
        for write in writes:
            record = write.record
            records[write.key] = record
            waiting[write.key] = write.value
            if isinstance(record, _EXPIRING):
                due = due_ms(record)
                if due is not None and due < self._due_ms:
                    self._due_ms = due

    def is_full(self) -> bool:
        """Return whether so much waits that it should be written: ``flush`` or ``settle``."""
        return len(self._waiting) + len(self._ids) >= WAITING_MAX

    def add_id(self, row: bytes, sequence: int) -> None:
        """Take the row of a logged transaction's id, as a store has it."""
        self._ids[row] = sequence
        if len(self._ids) >= WAITING_MAX:
            self._write()

    def add_current(self, key: bytes, value: bytes) -> None:
        """Take a record of a snapshot as it is stored: u64be sequence, then the record."""
        record: Record = codec.decode_stored(table_of(key).record, value[8:])
        self._put([Write(key, int.from_bytes(value[:8], "big"), value, record)])
        if len(self._waiting) >= WAITING_MAX:
            self._write()

    def settle(self) -> None:
        """Write everything that waits, so that all of it can be walked through."""
        self._write()

    def flush(self, head: Head | None, note: bytes) -> None:
        """Write everything with the head and a note of whoever replays, in one step."""
        meta = [(b"note", note)]
        if head is not None:
            meta.append((b"head", codec.encode(head)))
        self._write(meta)

    def head(self) -> Head | None:
        """Return the head of the last flush."""
        row = self._get("meta", b"head")
        if row is None:
            return None
        head: Head = codec.decode_stored(Head, row)
        return head

    def note(self) -> bytes | None:
        """Return the note of the last flush; None if something was written since then."""
        return self._get("meta", b"note")

    def values(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every record with its key, by key, as it is stored; nothing may wait."""
        assert not self._waiting
        with self._reading.cursor(db=self._databases["state"]) as cursor:
            for key, value in cursor:
                yield bytes(key), bytes(value)

    def records(self) -> Iterator[tuple[bytes, Record]]:
        """Yield every record but vouchers with its key, by key; nothing may wait."""
        assert not self._waiting
        with self._reading.cursor(db=self._databases["state"]) as cursor:
            has_row = cursor.first()
            while has_row:
                key = bytes(cursor.key())
                if key.startswith(VOUCHERS.prefix):
                    has_row = cursor.set_range(_BEHIND_VOUCHERS)
                    continue
                yield key, codec.decode_stored(table_of(key).record, bytes(cursor.value())[8:])
                has_row = cursor.next()

    def vouchers_backwards(self) -> Iterator[tuple[bytes, Voucher]]:
        """Yield every voucher with its key by id, from the last to the first; nothing may wait."""
        assert not self._waiting
        with self._reading.cursor(db=self._databases["state"]) as cursor:
            # Without a key behind the table the cursor goes to the last of all.
            if not (cursor.prev() if cursor.set_range(_BEHIND_VOUCHERS) else cursor.last()):
                return
            for key, value in cursor.iterprev():
                if not key.startswith(VOUCHERS.prefix):
                    return
                yield bytes(key), codec.decode_stored(Voucher, value[8:])

    def close(self) -> None:
        """Close the environment."""
        self._reading.abort()
        self._environment.close()

    def _get(self, name: str, key: bytes) -> bytes | None:
        value = self._reading.get(key, None, self._databases[name])
        assert value is None or isinstance(value, bytes)
        return value

    def _write(self, meta: Iterable[tuple[bytes, bytes]] = ()) -> None:
        state, due = self._databases["state"], self._databases["due"]
        with self._environment.begin(write=True) as transaction:
            waiting = sorted(self._waiting.items())
            for key, _ in waiting:
                self._index(transaction, due, key)
            transaction.cursor(state).putmulti(waiting)
            ids = [(row, at.to_bytes(8, "big")) for row, at in sorted(self._ids.items())]
            transaction.cursor(self._databases["ids"]).putmulti(ids)
            transaction.delete(b"note", db=self._databases["meta"])
            for key, value in meta:
                transaction.put(key, value, db=self._databases["meta"])
        self._reading.abort()
        self._reading = self._environment.begin()
        self._waiting.clear()
        self._ids.clear()
        self._due_ms = _NEVER_MS
        if len(self._records) > CACHE_MAX:
            for key in list(self._records)[: len(self._records) - CACHE_MAX]:
                del self._records[key]

    def _index(self, transaction: lmdb.Transaction, due: lmdb._Database, key: bytes) -> None:
        """Bring the due index up to a record that is about to be written."""
        record = self._records[key]
        if not isinstance(record, _EXPIRING):
            return
        before = self._get("state", key)
        was = None
        if before is not None:
            was = due_row(key, codec.decode_stored(type(record), before[8:]))
        now = due_row(key, record)
        if was != now:
            if was is not None:
                transaction.delete(was, db=due)
            if now is not None:
                transaction.put(now, b"", db=due)


class ScratchTree:
    """The state tree of a replay, with a disk of its own, so that another process can keep it."""

    def __init__(self, path: Path) -> None:
        """Open or make it."""
        self._environment = _open(path, 1)
        self._reading = self._environment.begin()
        self._tree = TreeBesideStore(self, self._unread, VALUES_MAX)
        self._tree.root()  # every other value comes by ``note``

    def page(self, prefix: bytes) -> bytes | None:
        """Return a stored page."""
        page = self._reading.get(_page_key(prefix))
        assert page is None or isinstance(page, bytes)
        return page

    def note(self, values: Iterable[tuple[bytes, bytes]], cuts: int) -> None:
        """Take in what a block wrote: for the last of the cuts that have no root yet."""
        self._tree.note(values, cuts)
        if len(self._tree.changed) >= PAGES_MAX:
            self._write(None)

    def root(self) -> bytes:
        """Return the root as of the oldest cut that has none yet."""
        return self._tree.root()

    def carried(self) -> None:
        """Go on to the next cut."""
        self._tree.carried()

    def log_size(self) -> int | None:
        """Return how many entries the stored pages cover, None if that is not known."""
        log_size = self._reading.get(b"log size")
        return None if log_size is None else int.from_bytes(log_size, "big")

    def clear(self) -> None:
        """Forget all pages."""
        with self._environment.begin(write=True) as transaction:
            transaction.drop(self._environment.open_db(None, txn=transaction), delete=False)
        self._read_anew()
        self._tree = TreeBesideStore(self, self._unread, VALUES_MAX)
        self._tree.root()

    def flush(self, log_size: int) -> None:
        """Write all pages, and how many entries they cover."""
        self._write(log_size)

    def close(self) -> None:
        """Close the environment."""
        self._reading.abort()
        self._environment.close()

    def _write(self, log_size: int | None) -> None:
        with self._environment.begin(write=True) as transaction:
            for prefix, page in sorted(self._tree.changed.items()):
                transaction.put(_page_key(prefix), page)
            transaction.delete(b"log size")
            if log_size is not None:
                transaction.put(b"log size", log_size.to_bytes(8, "big"))
                transaction.put(b"waiting", msgspec.msgpack.encode(self._tree.waiting()))
        self._tree.changed.clear()
        self._read_anew()

    def _unread(self) -> list[dict[bytes, bytes]]:
        """Return the values that were in no page at the last flush, by cut."""
        stored = self._reading.get(b"waiting")
        return [] if stored is None else msgspec.msgpack.decode(stored, type=list[Values])

    def _read_anew(self) -> None:
        self._reading.abort()
        self._reading = self._environment.begin()


def _due_ms_of(row: bytes) -> int:
    return int.from_bytes(row[:8], "big")


def _page_key(prefix: bytes) -> bytes:
    return bytes([len(prefix)]) + prefix  # LMDB takes no empty key
