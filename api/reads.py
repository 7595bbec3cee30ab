"""Reading the store: one short look an answer, pages by cursor, places in the log.

Every function here takes a Snapshot and returns before anything is awaited: a look that stays open
makes the node's store grow.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from api.plain import Plain, plain
from api.problems import Problem
from ledger.encoding import codec
from ledger.encoding.codec import UINT64_MAX, Record
from ledger.entries import ClosingEntry, Entry, decode_entry
from ledger.execute import Head
from ledger.rules.programmes import BUDGETS, PROGRAMMES, TERMS, TOTALS, Budget
from ledger.store.lmdb_store import Snapshot
from ledger.store.rows import BlockRow
from ledger.view import Table

R = TypeVar("R", bound=Record)

SCAN_MAX = 5_000
"""Rows that one page may look at: a filter that matches little gives short pages, not slow ones."""
CURSOR_BYTES_MAX = 200
"""Longest key that a cursor may hold; LMDB's own bound is 511."""

Keep = Callable[[R], bool]


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
    return {**content, "height": head.height, "record_hash": head.app_hash.hex()}


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


def page(
    snapshot: Snapshot,
    table: Table[R],
    *,
    under: str = "",
    cursor: str | None,
    limit: int,
    keep: Keep[R] | None = None,
    show: Callable[[R], Plain] = plain,
) -> Page:
    """Return records of a table in key order, those that ``keep`` accepts.

    ``under`` narrows to keys that start so: ``shanghai.compute.`` of the vouchers.
    """
    prefix = table.key(under)
    start = start_of(cursor, prefix)
    rows = snapshot.scan("state", prefix=prefix, start=start, limit=SCAN_MAX + 1)
    return _collect(((key, value[8:]) for key, value in rows), table, limit, keep, show)


def page_of_party(
    snapshot: Snapshot,
    table: Table[R],
    party: str,
    *,
    under: str = "",
    cursor: str | None,
    limit: int,
    keep: Keep[R] | None = None,
) -> Page:
    """Return records of a table that name a party, in key order."""
    prefix = table.key(under)
    start = start_of(cursor, prefix)
    keys = snapshot.keys_of_party(party, prefix, start, SCAN_MAX + 1)
    return _collect(_values(snapshot, keys), table, limit, keep, plain)


def _values(snapshot: Snapshot, keys: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for key in keys:
        value = snapshot.value(key)
        assert value is not None, "the index names a record that is not there"
        yield key, value[8:]


def _collect(
    rows: Iterator[tuple[bytes, bytes]],
    table: Table[R],
    limit: int,
    keep: Keep[R] | None,
    show: Callable[[R], Plain],
) -> Page:
    items: list[Plain] = []
    for seen, (key, data) in enumerate(rows):
        if len(items) == limit or seen == SCAN_MAX:
            return Page(items, cursor_of(key))
        record: R = codec.decode(table.record, data, UINT64_MAX)
        if keep is None or keep(record):
            items.append(show(record))
    return Page(items, None)


def single(snapshot: Snapshot, table: Table[R], *parts: str) -> tuple[R, int]:
    """Return a record and the sequence number of its last change; raise Problem not_found."""
    value = snapshot.value(table.key(*parts))
    if value is None:
        raise missing(table, *parts)
    record: R = codec.decode(table.record, value[8:], UINT64_MAX)
    return record, int.from_bytes(value[:8], "big")


def single_at(snapshot: Snapshot, table: Table[R], *parts: str, log_size: int) -> tuple[R, int]:
    """Return a record as it was when the log had ``log_size`` entries, like ``single``."""
    prefix = table.key(*parts) + b"\0"
    start = prefix + log_size.to_bytes(8, "big")
    for _, value in snapshot.scan("history", prefix=prefix, start=start, limit=1, reverse=True):
        record: R = codec.decode(table.record, value[8:], UINT64_MAX)
        return record, int.from_bytes(value[:8], "big")
    raise missing(table, *parts)


def missing(table: Table[R], *parts: str) -> Problem:
    """Return the problem of a record that is not there."""
    name = "/".join(parts)
    return Problem("not_found", f"no {table.name} {name}", table=table.name, id=name)


def block_at(snapshot: Snapshot, height: int) -> BlockRow | None:
    """Return the last block at or below a height: heights may skip."""
    start = (height + 1).to_bytes(8, "big")
    for _, value in snapshot.scan("blocks", prefix=b"", start=start, limit=1, reverse=True):
        row: BlockRow = codec.decode(BlockRow, value, UINT64_MAX)
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
    found = block_at(snapshot, low)
    assert found is not None
    return found


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
    found = []
    for key, value in snapshot.scan("state", prefix=prefix, limit=SCAN_MAX):
        year, funder = key[len(prefix) :].decode("ascii").split("/")
        budget: Budget = codec.decode(Budget, value[8:], UINT64_MAX)
        found.append(YearBudget(int(year), funder, budget))
    return found


def budget_items(snapshot: Snapshot, programme: str) -> list[Plain]:
    """Return a programme's budgets as JSON."""
    return [
        {"year": one.year, "funder": one.funder, **plain(one.budget)}
        for one in budgets_of(snapshot, programme)
    ]


def programme_item(snapshot: Snapshot, programme: str) -> tuple[Plain, int]:
    """Return a programme with its terms, totals and budgets, and when it last changed."""
    record, sequence = single(snapshot, PROGRAMMES, programme)
    terms, _ = single(snapshot, TERMS, programme, str(record.version))
    totals, _ = single(snapshot, TOTALS, programme)
    item = plain(record) | {
        "terms": plain(terms),
        "totals": plain(totals),
        "budgets": budget_items(snapshot, programme),
    }
    return item, sequence
