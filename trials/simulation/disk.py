"""Simulated disks: what was not synced is lost or torn at a crash, and a crash can come any time.

A crash is planned as a number of steps. Every write, sync, store commit and message sent is two
steps, one before and one after, so that a crash falls between any two effects of a host. A disk
can also be full, or fail to sync; and its bits can flip while no process runs.
"""

import errno
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any, TypeVar, cast

from engines.builtin.signer import SLOT_BYTES
from ledger.encoding import codec
from ledger.encoding.codec import UINT64_MAX, Record
from ledger.execute import Execution, Write
from ledger.store.memory import MemoryStore
from ledger.store.rows import due_row

STORED_MAX = 20_000
"""Decoded records kept for the stores of all members."""

R = TypeVar("R", bound=Record)


class Crash(BaseException):
    """The simulated process dies here. No handler of the node may keep it alive."""


class CrashPlan:
    """Counts a process's steps, and kills it at a chosen one; says how its disk fails."""

    def __init__(self) -> None:
        self.is_full = False
        """Whether writes fail with ENOSPC."""
        self.sync_fails = False
        """Whether the next sync fails with EIO."""
        self.durable_steps = 0
        """Steps so far that wrote to disk."""
        self.only_durable = False
        """Whether a plan counts steps that write to disk alone."""
        self._steps_left = 0

    def arm(self, steps: int, *, only_durable: bool = False) -> None:
        """Die at the given step from now on, at least 1; 0 calls the plan off."""
        self._steps_left = steps
        self.only_durable = only_durable

    def step(self, *, durable: bool = False) -> None:
        """Count a step; raise Crash if it is the one."""
        self.durable_steps += durable
        if self._steps_left and (durable or not self.only_durable):
            self._steps_left -= 1
            if not self._steps_left:
                raise Crash

    def check_room(self) -> None:
        """Raise OSError if the disk is full."""
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left on a simulated device")

    def check_sync(self) -> None:
        """Raise OSError if this sync is to fail."""
        if self.sync_fails:
            self.sync_fails = False
            raise OSError(errno.EIO, "a simulated sync failed")


class SimulatedLogFile:
    """A LogFile: a crash keeps some of the unsynced operations, in order, the last one torn."""

    def __init__(self, name: str, plan: CrashPlan, random: Random) -> None:
        self.name = name
        self._plan = plan
        self._random = random
        self._durable = b""
        self._pending: list[bytes | int] = []
        """Unsynced operations: bytes to append, or a size to truncate to."""

    def append(self, data: bytes) -> None:
        """Write at the end; a full disk takes a part."""
        self._plan.step(durable=True)
        if self._plan.is_full:
            self._pending.append(data[: self._random.randrange(len(data))])
            self._plan.check_room()
        self._pending.append(data)
        self._plan.step(durable=True)

    def sync(self) -> None:
        """Make everything written so far durable."""
        self._plan.step(durable=True)
        self._plan.check_sync()
        self._durable, self._pending = self.read_all(), []
        self._plan.step(durable=True)

    def read_all(self) -> bytes:
        """Return the whole content."""
        content = self._durable
        for operation in self._pending:
            content = _after(content, operation)
        return content

    def truncate(self, size: int) -> None:
        """Cut the file."""
        self._plan.step(durable=True)
        self._pending.append(size)
        self._plan.step(durable=True)

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def crash(self) -> None:
        """Lose what chance does not keep."""
        kept = self._random.randint(0, len(self._pending))
        torn = self._pending[kept] if kept < len(self._pending) else 0
        self._pending = self._pending[:kept]
        self._durable, self._pending = self.read_all(), []
        if isinstance(torn, bytes):
            self._durable += torn[: self._random.randint(0, len(torn))]

    def flip(self, random: Random) -> None:
        """Flip a bit of what is durable."""
        self._durable = flipped(self._durable, random)

    def lose(self) -> None:
        """Be empty, as a file that was made anew."""
        self._durable, self._pending = b"", []

    def lose_end(self) -> None:
        """Lose the last byte: what was written last looks torn, though it was durable."""
        self._durable = self._durable[:-1]


def flipped(data: bytes, random: Random) -> bytes:
    """Return bytes with one bit another; nothing is left of nothing."""
    if not data:
        return data
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _after(content: bytes, operation: bytes | int) -> bytes:
    return content[:operation] if isinstance(operation, int) else content + operation


class SimulatedSlotFile:
    """A SlotFile: a crash keeps an unsynced write wholly, in part, or not."""

    def __init__(self, plan: CrashPlan, random: Random) -> None:
        self._plan = plan
        self._random = random
        self._durable = bytes(2 * SLOT_BYTES)
        self._pending: list[tuple[int, bytes]] = []

    def read(self) -> bytes:
        """Return the whole content."""
        content = self._durable
        for offset, data in self._pending:
            content = content[:offset] + data + content[offset + len(data) :]
        return content

    def write_at(self, offset: int, data: bytes) -> None:
        """Write in place; file systems that copy on write need room even for that."""
        self._plan.step(durable=True)
        self._plan.check_room()
        self._pending.append((offset, data))
        self._plan.step(durable=True)

    def sync(self) -> None:
        """Make everything written so far durable."""
        self._plan.step(durable=True)
        self._plan.check_sync()
        self._durable, self._pending = self.read(), []
        self._plan.step(durable=True)

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def crash(self) -> None:
        """Lose what chance does not keep."""
        self._pending = [
            (
                offset,
                data[: self._random.choice((0, len(data), self._random.randint(0, len(data))))],
            )
            for offset, data in self._pending
        ]
        self._durable, self._pending = self.read(), []

    def flip(self, random: Random) -> None:
        """Flip a bit in the record of a slot."""
        slot = random.choice((0, SLOT_BYTES))
        written = self._durable[slot : slot + SLOT_BYTES].rstrip(b"\0")
        after = flipped(written, random)
        self._durable = self._durable[:slot] + after + self._durable[slot + len(written) :]


@lru_cache(maxsize=STORED_MAX)
def _decoded(record: type[Record], value: bytes) -> Any:
    """Return a stored record: members store the same bytes, and a record never changes."""
    return codec.decode(record, value[8:], UINT64_MAX)


class SimulatedStore(MemoryStore):
    """A store whose commit happens wholly or not, and survives a crash once it happened."""

    def __init__(self, plan: CrashPlan, committed: Callable[[Execution], None]) -> None:
        super().__init__()
        self._plan = plan
        self._committed = committed
        """Told at once, for the process may die before it could tell."""
        self._due: dict[bytes, bytes] = {}
        """Rows of what waits for expiry, by record key: they are asked for all the time."""

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Return a committed record."""
        value = self.state.get(key)
        return None if value is None else cast(R, _decoded(record, value))

    def due(self, until_ms: int, limit: int) -> tuple[str, ...]:
        """Return keys of due records by (due, key)."""
        rows = (row for row in self._due.values() if int.from_bytes(row[:8], "big") <= until_ms)
        return tuple(row[8:].decode("ascii") for row in sorted(rows)[:limit])

    def _write(self, writes: tuple[Write, ...], *, cuts: int) -> None:
        super()._write(writes, cuts=cuts)
        for write in writes:
            row = due_row(write.key, write.record)
            if row is None:
                self._due.pop(write.key, None)
            else:
                self._due[write.key] = row

    def commit(self, execution: Execution, certificate: bytes) -> None:
        """Write a block; after a sync that failed it is there or not, and nobody knows."""
        self._plan.step(durable=True)
        self._plan.check_room()
        if self._plan.sync_fails and execution.head.height % 2:
            self._plan.check_sync()
        super().commit(execution, certificate)
        self._committed(execution)
        self._plan.check_sync()
        self._plan.step(durable=True)

    def flip(self, random: Random) -> None:
        """Flip a bit of a record, of a log entry or of a certificate."""
        match random.randrange(3):
            case 0:
                key = random.choice(sorted(self.state))
                self.state[key] = flipped(self.state[key], random)
            case 1:
                place = random.randrange(len(self.log))
                self.log[place] = flipped(self.log[place], random)
            case _ if self.commits:
                height = random.choice(sorted(self.commits))
                self.commits[height] = flipped(self.commits[height], random)
