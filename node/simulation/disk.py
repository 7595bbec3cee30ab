"""Simulated disks: what was not synced is lost or torn at a crash, and a crash can come any time.

A crash is planned as a number of steps. Every write, sync, store commit and message sent is two
steps, one before and one after, so that a crash falls between any two effects of a host.
"""

from collections.abc import Callable
from random import Random

from ledger.execute import Execution
from ledger.store.memory import MemoryStore
from node.signer import SLOT_BYTES


class Crash(BaseException):
    """The simulated process dies here. No handler of the node may keep it alive."""


class CrashPlan:
    """Counts a process's steps, and kills it at a chosen one."""

    def __init__(self) -> None:
        self._steps_left = 0

    def arm(self, steps: int) -> None:
        """Die at the given step from now on, at least 1; 0 calls the plan off."""
        self._steps_left = steps

    def step(self) -> None:
        """Count a step; raise Crash if it is the one."""
        if self._steps_left:
            self._steps_left -= 1
            if not self._steps_left:
                raise Crash


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
        """Write at the end."""
        self._plan.step()
        self._pending.append(data)
        self._plan.step()

    def sync(self) -> None:
        """Make everything written so far durable."""
        self._plan.step()
        self._durable, self._pending = self.read_all(), []
        self._plan.step()

    def read_all(self) -> bytes:
        """Return the whole content."""
        content = self._durable
        for operation in self._pending:
            content = _after(content, operation)
        return content

    def truncate(self, size: int) -> None:
        """Cut the file."""
        self._plan.step()
        self._pending.append(size)
        self._plan.step()

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
        """Write in place."""
        self._plan.step()
        self._pending.append((offset, data))
        self._plan.step()

    def sync(self) -> None:
        """Make everything written so far durable."""
        self._plan.step()
        self._durable, self._pending = self.read(), []
        self._plan.step()

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


class SimulatedStore(MemoryStore):
    """A store whose commit happens wholly or not, and survives a crash once it happened."""

    def __init__(self, plan: CrashPlan, committed: Callable[[Execution], None]) -> None:
        super().__init__()
        self._plan = plan
        self._committed = committed
        """Told at once, for the process may die before it could tell."""

    def commit(self, execution: Execution, certificate: bytes) -> None:
        """Write a block."""
        self._plan.step()
        super().commit(execution, certificate)
        self._committed(execution)
        self._plan.step()
