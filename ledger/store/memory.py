"""A store in plain dictionaries: the naive twin of the LMDB store, for tests and simulation."""

from collections.abc import Iterator
from typing import TypeVar

from ledger.encoding import codec
from ledger.encoding.codec import UINT64_MAX, Record
from ledger.execute import Execution, Head, Write
from ledger.rules.claims import CLAIMS
from ledger.rules.reserves import RESERVES
from ledger.rules.vouchers import VOUCHERS
from ledger.store.rows import BlockRow, due_row
from ledger.store.tree import TreeBesideStore
from ledger.tables import table_of

R = TypeVar("R", bound=Record)


class MemoryStore:
    """Everything in dictionaries; due vouchers are found by looking at all of them."""

    def __init__(self) -> None:
        self._head: Head | None = None
        self._genesis: bytes | None = None
        self.state: dict[bytes, bytes] = {}
        self.history: dict[tuple[bytes, int], bytes] = {}
        self.log: list[bytes] = []
        self.blocks: dict[int, BlockRow] = {}
        self.commits: dict[int, bytes] = {}
        self._ids: dict[bytes, int] = {}
        self._pages = _Pages()
        self.tree = TreeBesideStore(self._pages, lambda: ())
        self.tree.root()  # nothing is unread: every value comes by ``note``

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Return a committed record."""
        value = self.state.get(key)
        if value is None:
            return None
        decoded: R = codec.decode(record, value[8:], UINT64_MAX)
        return decoded

    def records(self) -> Iterator[tuple[bytes, Record]]:
        """Yield every current record with its key, by key."""
        for key in sorted(self.state):
            yield key, codec.decode(table_of(key).record, self.state[key][8:], UINT64_MAX)

    def due(self, until_ms: int, limit: int) -> tuple[str, ...]:
        """Return keys of due records by (due, key)."""
        rows = []
        for table in (VOUCHERS, RESERVES, CLAIMS):
            for key in self.state:
                if key.startswith(table.prefix):
                    row = due_row(key, self.read(key, table.record))
                    if row is not None and int.from_bytes(row[:8], "big") <= until_ms:
                        rows.append(row)
        return tuple(row[8:].decode("ascii") for row in sorted(rows)[:limit])

    def state_root(self) -> bytes:
        """Return the root of the state tree as of the oldest cut that has none yet."""
        return self.tree.root()

    def head(self) -> Head | None:
        """Return the head."""
        return self._head

    def genesis(self) -> bytes | None:
        """Return the genesis bytes."""
        return self._genesis

    def begin(self, data: bytes, head: Head, entry: bytes, writes: tuple[Write, ...]) -> None:
        """Write genesis."""
        self._genesis = data
        self._write(writes, cuts=len(head.cuts))
        self.log.append(entry)
        self._head = head

    def sequence_of(self, transaction_id: bytes, expires_at: int) -> int | None:
        """Return where an id was logged."""
        return self._ids.get(transaction_id)

    def commit(self, execution: Execution, stored_commit: bytes) -> None:
        """Write a block."""
        assert execution.parent == self._head
        if execution.record is not None and execution.record.state_root:
            self._pages.pages.update(self.tree.changed)
            self.tree.changed.clear()
            self.tree.carried()
        self._write(execution.writes, cuts=len(execution.head.cuts))
        first = len(self.log)
        self.log.extend(execution.entries)
        for result in execution.results:
            self._ids[result.id] = result.sequence
        head = execution.head
        self.blocks[head.height] = BlockRow(
            height=head.height,
            time_ms=head.time_ms,
            record_hash=head.record_hash,
            first_sequence=first,
            log_size=len(self.log),
        )
        self.commits[head.height] = stored_commit
        self._head = head

    def block_row(self, height: int) -> BlockRow | None:
        """Return where a block lies."""
        return self.blocks.get(height)

    def stored_commit(self, height: int) -> bytes | None:
        """Return what the engine stored with a block."""
        return self.commits.get(height)

    def entries(self, first: int, last: int) -> tuple[bytes, ...]:
        """Return log entries first … last − 1."""
        return tuple(self.log[first:last])

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _write(self, writes: tuple[Write, ...], *, cuts: int) -> None:
        for write in writes:
            self.state[write.key] = write.value
            self.history[write.key, write.sequence] = write.value
        self.tree.note(((write.key, write.value) for write in writes), cuts)


class _Pages:
    """Pages of the state tree as of the last root that a record carries."""

    def __init__(self) -> None:
        self.pages: dict[bytes, bytes] = {}

    def page(self, prefix: bytes) -> bytes | None:
        return self.pages.get(prefix)
