"""What rules read and what they return: tables, views and changes."""

from typing import Generic, Protocol, TypeVar

from ledger.encoding.codec import Record

R = TypeVar("R", bound=Record)


class Table(Generic[R]):
    """A named family of records; the key is ``name/part/part`` in ASCII, readable on disk."""

    def __init__(self, name: str, record: type[R], *, running_sum: bool = False) -> None:
        """A ``running_sum``, or counter, is changed by almost every transaction that reads it.

        A change of one says little about other transactions, so nobody waits for it.
        """
        self.name = name
        self.record = record
        self.running_sum = running_sum
        self.prefix = name.encode("ascii") + b"/"

    def key(self, *parts: str) -> bytes:
        """Return the storage key of the record with these key parts."""
        text = parts[0] if len(parts) == 1 else "/".join(parts)
        return self.prefix + text.encode("ascii")


Put = tuple[bytes, Record]
"""A record to write under a key. Nothing is ever deleted."""


class StateView(Protocol):
    """A consistent, read-only state."""

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Return the record under a key, or None."""

    def due(self, until_ms: int, limit: int) -> tuple[str, ...]:
        """Return keys of vouchers and reserves that expiry looks at until ``until_ms`` (R8.1).

        Ordered by (due, key), at most ``limit``.
        """


# The next two and ``Draft.put`` make the key by themselves: a rule does it some twenty times, and
# handing the parts on costs more than joining them.


def get(view: StateView, table: Table[R], *parts: str) -> R | None:
    """Return a record of ``table``, or None."""
    text = parts[0] if len(parts) == 1 else "/".join(parts)
    return view.read(table.prefix + text.encode("ascii"), table.record)


def must(view: StateView, table: Table[R], *parts: str) -> R:
    """Return a record that an invariant promises to exist."""
    text = parts[0] if len(parts) == 1 else "/".join(parts)
    record = view.read(table.prefix + text.encode("ascii"), table.record)
    assert record is not None, f"{table.name}/{'/'.join(parts)} must exist"
    return record


class Draft:
    """A view with writes on top: a rule's own, a block's, or a whole proposal's.

    Reading sees the writes; the base is never changed.
    """

    def __init__(self, base: StateView) -> None:
        self._base = base
        self.written: dict[bytes, Record] = {}
        """The last write of each key."""

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Return the newest record under a key, or None."""
        written = self.written.get(key)
        if written is None:
            return self._base.read(key, record)
        assert isinstance(written, record)
        return written

    def due(self, until_ms: int, limit: int) -> tuple[str, ...]:
        """Return the base's due records: expiries run before anything is written in a block."""
        assert not self.written, "due() is asked before the block writes"
        return self._base.due(until_ms, limit)

    def put(self, table: Table[R], record: R, *parts: str) -> None:
        """Write a record."""
        text = parts[0] if len(parts) == 1 else "/".join(parts)
        self.written[table.prefix + text.encode("ascii")] = record

    def apply(self, changes: tuple[Put, ...]) -> None:
        """Write the changes that a rule returned."""
        self.written.update(changes)

    def changes(self) -> tuple[Put, ...]:
        """Return the writes in the order in which each key was first written."""
        return tuple(self.written.items())


class Nothing:
    """The view of a ledger that has not begun."""

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Return None."""
        return None

    def due(self, until_ms: int, limit: int) -> tuple[str, ...]:
        """Return nothing."""
        return ()


class Reads:
    """A view that remembers which keys were read, so that a pool knows when to look again."""

    def __init__(self, base: StateView) -> None:
        self._base = base
        self.keys: dict[bytes, None] = {}

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Return a record and remember its key."""
        self.keys[key] = None
        return self._base.read(key, record)

    def due(self, until_ms: int, limit: int) -> tuple[str, ...]:
        """Return the base's due records."""
        return self._base.due(until_ms, limit)
