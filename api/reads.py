"""Reading the store: one short read transaction an answer, pages by cursor, places in the log.

Every function here takes a Snapshot and returns before anything is awaited: a read that stays open
makes the node's store grow.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from api.problems import Problem
from ledger.encoding import codec
from ledger.encoding.codec import Record
from ledger.encoding.plain import Plain, plain
from ledger.entries import ClosingEntry, Entry, decode_entry
from ledger.execute import Head
from ledger.rules.budgets import BUDGETS, Budget
from ledger.store.lmdb_store import Snapshot
from ledger.store.rows import BlockRow
from ledger.view import Table

R = TypeVar("R", bound=Record)

SCAN_MAX = 5_000
"""Rows that one page may look at: a filter that matches little gives short pages, not slow ones."""
CURSOR_BYTES_MAX = 200
"""Longest key that a cursor may hold; LMDB's own bound is 511."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of a list, and the cursor of the next page if there is one."""

    items: list[Plain]
    next: str | None


def head_of(snapshot: Snapshot) -> Head:
    """Return where the ledger stands; the server starts only once there is a head."""
    head = snapshot.head()
    assert head is not None, "a store without genesis is not served"
    return head


def anchored(content: dict[str, Plain], head: Head | BlockRow) -> dict[str, Plain]:
    """Return an answer with the height and record hash that it is true at."""
    return {**content, "height": head.height, "record_hash": head.record_hash.hex()}


def cursor_of(key: bytes) -> str:
    """Return the cursor of a page that starts at a key."""
    return base64.urlsafe_b64encode(key).decode("ascii").rstrip("=")


def start_of(cursor: str | None, prefix: bytes) -> bytes:
    """Return the key at which a cursor's page starts; raise Problem on a foreign cursor."""
    if cursor is None:
        return prefix
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        key = b""
    if not key.startswith(prefix) or len(key) > CURSOR_BYTES_MAX:
        raise Problem("cursor_invalid", "expected a cursor that this list gave as `next`")
    return key


@dataclass(frozen=True, slots=True)
class Moment:
    """The records as they were after a block, within one read of the store."""

    snapshot: Snapshot
    block: Head | BlockRow

    def version(self, table: Table[R], key: bytes, value: bytes | None) -> tuple[R, int] | None:
        """Return a record and when it last changed, from its current value or an older one."""
        log_size = self.block.log_size
        if value is not None and int.from_bytes(value[:8], "big") >= log_size:
            value = None
            prefix = key + b"\0"
            start = prefix + log_size.to_bytes(8, "big")
            for _, older in self.snapshot.scan(
                "history", prefix=prefix, start=start, limit=1, reverse=True
            ):
                value = older
        if value is None:
            return None
        return codec.decode_stored(table.record, value[8:]), int.from_bytes(value[:8], "big")

    def latest(self, table: Table[R], *parts: str) -> tuple[R, int] | None:
        """Return a record and the sequence number of its last change, or None."""
        key = table.key(*parts)
        return self.version(table, key, self.snapshot.value(key))

    def get(self, table: Table[R], *parts: str) -> R | None:
        """Return a record, or None."""
        stored = self.latest(table, *parts)
        return None if stored is None else stored[0]

    def versions(self, table: Table[R], *parts: str) -> Iterator[tuple[int, R]]:
        """Yield (sequence, record) of a record's versions, oldest first."""
        for sequence, value in self.snapshot.versions(table.key(*parts)):
            if sequence >= self.block.log_size:
                return
            yield sequence, codec.decode_stored(table.record, value[8:])


def now_of(snapshot: Snapshot) -> Moment:
    """Return the records as they are."""
    return Moment(snapshot, head_of(snapshot))


def moment_at(snapshot: Snapshot, height: int | None) -> Moment:
    """Return the records as they were after a block, now if no height is named.

    Raises Problem not_found on a height to come.
    """
    head = head_of(snapshot)
    if height is None:
        return Moment(snapshot, head)
    block = block_at(snapshot, height)
    if height > head.height or block is None:
        raise Problem(
            "not_found", f"no block {height}, the last is {head.height}", last=head.height
        )
    return Moment(snapshot, block)


@dataclass(frozen=True, slots=True)
class Resource(Generic[R]):
    """A table as people and programs see it: the records' fields, and what follows from others."""

    table: Table[R]
    more: Mapping[str, Callable[[Moment, R], Plain]] = field(default_factory=dict)
    """Further fields by name."""

    def show(self, moment: Moment, record: R) -> dict[str, Plain]:
        """Return a record as JSON."""
        return plain(record) | {name: make(moment, record) for name, make in self.more.items()}

    def single(self, moment: Moment, *parts: str) -> dict[str, Plain]:
        """Return a record's answer; raise Problem not_found."""
        stored = moment.latest(self.table, *parts)
        if stored is None:
            raise missing(self.table, *parts)
        record, sequence = stored
        item = self.show(moment, record)
        return anchored({"item": item, "sequence": sequence}, moment.block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection(Generic[R]):
    """Which records of a table are asked for; they come in key order."""

    of: Resource[R]
    under: str = ""
    """What their keys start with: ``shanghai.compute.`` of the vouchers."""
    named: str | None = None
    """What the store's index finds them by, e.g. a party."""
    keep: Callable[[Moment, R], bool] | None = None

    @property
    def prefix(self) -> bytes:
        """Return the beginning of all their storage keys."""
        return self.of.table.key(self.under)

    def rows(self, moment: Moment, start: bytes, limit: int) -> Iterator[tuple[bytes, R | None]]:
        """Yield up to ``limit`` keys from ``start`` on, with None for what is not asked for."""
        for key, version in self.versions(moment, start, limit):
            yield key, None if version is None else version[0]

    def versions(
        self, moment: Moment, start: bytes, limit: int
    ) -> Iterator[tuple[bytes, tuple[R, int] | None]]:
        """Yield the same, each record with the sequence number of its last change."""
        rows: Iterable[tuple[bytes, bytes | None]]
        snapshot = moment.snapshot
        if self.named is None:
            rows = snapshot.scan("state", prefix=self.prefix, start=start, limit=limit)
        else:
            keys = snapshot.keys_of_party(self.named, self.prefix, start, limit)
            rows = ((key, snapshot.value(key)) for key in keys)
        for key, value in rows:
            version = moment.version(self.of.table, key, value)
            if version is None or not (self.keep is None or self.keep(moment, version[0])):
                yield key, None
            else:
                yield key, version

    def page(self, moment: Moment, cursor: str | None, limit: int) -> Page:
        """Return the records from a cursor on."""
        items: list[Plain] = []
        start = start_of(cursor, self.prefix)
        for seen, (key, record) in enumerate(self.rows(moment, start, SCAN_MAX + 1)):
            if len(items) == limit or seen == SCAN_MAX:
                return Page(items, cursor_of(key))
            if record is not None:
                items.append(self.of.show(moment, record))
        return Page(items, None)


def where(**wanted: str | None) -> Callable[[Moment, Record], bool]:
    """Return whether a record's fields have the values wanted; None wants nothing of a field."""
    asked = [(name, value) for name, value in wanted.items() if value is not None]
    return lambda _, record: all(getattr(record, name) == value for name, value in asked)


def single(snapshot: Snapshot, table: Table[R], *parts: str) -> tuple[R, int]:
    """Return a record and the sequence number of its last change; raise Problem not_found."""
    value = snapshot.value(table.key(*parts))
    if value is None:
        raise missing(table, *parts)
    return codec.decode_stored(table.record, value[8:]), int.from_bytes(value[:8], "big")


def missing(table: Table[R], *parts: str) -> Problem:
    """Return the problem of a record that is not there."""
    name = "/".join(parts)
    return Problem("not_found", f"no {table.name} {name}", table=table.name, id=name)


def block_at(snapshot: Snapshot, height: int) -> BlockRow | None:
    """Return the last block at or below a height: heights may skip."""
    start = (height + 1).to_bytes(8, "big")
    for _, value in snapshot.scan("blocks", prefix=b"", start=start, limit=1, reverse=True):
        row: BlockRow = codec.decode_stored(BlockRow, value)
        return row
    return None


def block_of(snapshot: Snapshot, sequence: int) -> BlockRow:
    """Return the block that logged an entry: the first whose log reaches beyond it."""
    head = head_of(snapshot)
    assert sequence < head.log_size, "not logged yet"
    low, high = 0, head.height
    while low < high:
        middle = (low + high) // 2
        row = block_at(snapshot, middle)
        if row is not None and row.log_size > sequence:
            high = middle
        else:
            low = middle + 1
    block = block_at(snapshot, low)
    assert block is not None
    return block


def sequence_at(snapshot: Snapshot, time_ms: int) -> int:
    """Return the sequence number from which entries are of blocks at or after a time."""
    head = head_of(snapshot)
    low, high = 0, head.height + 1
    while low < high:
        middle = (low + high) // 2
        row = block_at(snapshot, middle)
        if row is not None and row.time_ms >= time_ms:
            high = middle
        else:
            low = middle + 1
    row = block_at(snapshot, low)
    assert row is not None, "there is a genesis block"
    return head.log_size if row.time_ms < time_ms else row.first_sequence


def log_from(snapshot: Snapshot, first: int, limit: int) -> Iterator[tuple[int, Entry]]:
    """Yield log entries with their sequence numbers, from ``first`` on."""
    for key, value in snapshot.scan("log", prefix=b"", start=first.to_bytes(8, "big"), limit=limit):
        yield int.from_bytes(key, "big"), decode_entry(value)


def log_before(
    snapshot: Snapshot, before: int, limit: int
) -> Iterator[tuple[int, BlockRow, Entry]]:
    """Yield log entries newest first, from just below ``before``, with their blocks."""
    block: BlockRow | None = None
    start = before.to_bytes(8, "big")
    for key, value in snapshot.scan("log", prefix=b"", start=start, limit=limit, reverse=True):
        sequence = int.from_bytes(key, "big")
        if block is None or not block.first_sequence <= sequence < block.log_size:
            block = block_of(snapshot, sequence)
        yield sequence, block, decode_entry(value)


def closing_of(snapshot: Snapshot, block: BlockRow) -> ClosingEntry | None:
    """Return the record that closed a block, or None if the block logged nothing."""
    if block.first_sequence == block.log_size:
        return None
    (data,) = snapshot.entries(block.log_size - 1, block.log_size)
    entry = decode_entry(data)
    assert isinstance(entry, ClosingEntry)
    return entry


@dataclass(frozen=True, slots=True)
class YearBudget:
    """One funder's budget of a programme and year."""

    year: int
    funder: str
    budget: Budget


def budgets_of(snapshot: Snapshot, programme: str) -> list[YearBudget]:
    """Return a programme's budgets by year and funder; there are few."""
    prefix = BUDGETS.key(programme, "")
    budgets = []
    for key, value in snapshot.scan("state", prefix=prefix, limit=SCAN_MAX):
        year, funder = key[len(prefix) :].decode("ascii").split("/")
        budget: Budget = codec.decode_stored(Budget, value[8:])
        budgets.append(YearBudget(int(year), funder, budget))
    return budgets


def budget_items(snapshot: Snapshot, programme: str) -> list[Plain]:
    """Return a programme's budgets as JSON."""
    return [
        {"year": entry.year, "funder": entry.funder, **plain(entry.budget)}
        for entry in budgets_of(snapshot, programme)
    ]
