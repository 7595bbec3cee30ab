"""A disk that the power can leave at any moment: what is durable, and what may or may not be.

The rules, each as weak as the code's own words allow:

- A write is *pending* until a sync of its file returns. After a cut every pending write is there
  or not, by itself and by 512-byte sectors, or up to any byte if it is the last of its file; what
  the lost part would have added to the file's size is missing or reads as zeros.
- A write through a descriptor opened with O_DSYNC is pending while the call lasts and durable when
  it returns. It makes no other write durable. LMDB writes its meta pages so.
- A sync makes all earlier writes of that file durable, and no other file's.
- A change of size is pending too, but no later write to the file overtakes it: file systems keep
  the two in order (node/wal.py says why it relies on that).
- A name (new, linked or removed) is durable once its folder is synced; pending names are kept or
  lost one by one. ext4, xfs and btrfs give a name with the sync of its file; nobody promised that.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, get_args

SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A new name of a file, relative to the recorded folder."""

    name: str
    file: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A name is gone."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Bytes put into a file."""

    file: int
    offset: int
    data: bytes
    through: bool
    """Durable when the call returns (O_DSYNC)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """A file cut or extended to a size."""

    file: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """A file synced."""

    file: int
    name: str
    """Under which it was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSynced:
    """A folder synced: ``.`` is the recorded one."""

    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The process promised that a step is durable."""

    line: str


Operation = Named | Removed | Written | Resized | Synced | FolderSynced | Said

Manner = Literal["nothing", "everything", "torn end", "some writes", "some sectors"]
"""Which pending writes a cut keeps; *torn end*: all, but of each file's last one only a start."""
MANNERS: tuple[Manner, ...] = get_args(Manner)

Piece = tuple[int, bytes]
"""Offset and bytes: what is kept of a write."""


class Disk:
    """What operations have done so far."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._pending_names: list[Named | Removed] = []
        self._contents: dict[int, bytes] = {}
        self._pending: dict[int, list[Written | Resized]] = {}

    def begin(self, operation: Operation) -> None:
        """Let an operation start: what it changes is pending."""
        match operation:
            case Named() | Removed():
                self._pending_names.append(operation)
            case Written(file=file) | Resized(file=file):
                self._pending.setdefault(file, []).append(operation)

    def end(self, operation: Operation) -> None:
        """Let an operation return: what it synced is durable."""
        match operation:
            case Written(file=file, through=True):
                assert self._pending[file].pop() is operation
                self._settle(file, [operation])
            case Synced(file=file):
                self._settle(file, self._pending.pop(file, []))
            case FolderSynced(folder=folder):
                self._settle_names(lambda change: str(PurePath(change.name).parent) == folder)

    def image(self, manner: Manner, dice: random.Random) -> dict[str, bytes]:
        """Return names and contents of all files after a cut now."""
        odds = {"nothing": 0.0, "everything": 1.0, "torn end": 1.0}.get(
            manner, dice.choice((0.1, 0.5, 0.9))
        )

        def coin() -> bool:
            return dice.random() < odds

        names = dict(self._names)
        for change in self._pending_names:
            if coin():
                _rename(names, change)
        contents: dict[int, bytes] = {}
        for file in sorted(set(names.values())):
            pending = self._pending.get(file, [])
            kept = [_pieces(change, manner, coin) for change in pending]
            if manner == "torn end" and pending and isinstance(last := pending[-1], Written):
                kept[-1] = [(last.offset, last.data[: dice.randrange(len(last.data))])]
            grows = manner == "some sectors" and coin()
            contents[file] = _content(
                self._contents.get(file, b""), pending, kept, coin=coin, grows=grows
            )
        return {name: contents[file] for name, file in names.items()}

    def _settle(self, file: int, changes: Sequence[Written | Resized]) -> None:
        kept = [_pieces(change, "everything", lambda: True) for change in changes]
        durable = self._contents.get(file, b"")
        self._contents[file] = _content(durable, changes, kept, coin=lambda: True, grows=False)

    def _settle_names(self, is_settled: Callable[[Named | Removed], bool]) -> None:
        for change in self._pending_names:
            if is_settled(change):
                _rename(self._names, change)
        self._pending_names = [one for one in self._pending_names if not is_settled(one)]


def _rename(names: dict[str, int], change: Named | Removed) -> None:
    if isinstance(change, Named):
        names[change.name] = change.file
    else:
        names.pop(change.name, None)


def _pieces(change: Written | Resized, manner: Manner, coin: Callable[[], bool]) -> list[Piece]:
    """Return what is kept of a write."""
    if isinstance(change, Resized):
        return []
    if manner != "some sectors":
        return [(change.offset, change.data)] if coin() else []
    end = change.offset + len(change.data)
    first = change.offset - change.offset % SECTOR_BYTES
    pieces = []
    for sector in range(first, end, SECTOR_BYTES):
        start = max(sector, change.offset)
        if coin():
            data = change.data[start - change.offset : sector + SECTOR_BYTES - change.offset]
            pieces.append((start, data))
    return pieces


def _content(
    durable: bytes,
    changes: Sequence[Written | Resized],
    kept: Sequence[Sequence[Piece]],
    *,
    coin: Callable[[], bool],
    grows: bool,
) -> bytes:
    """Return a file's content after some pieces of changes; if it ``grows``, sizes are kept."""
    content = bytearray(durable)
    for number, change in enumerate(changes):
        if isinstance(change, Resized):
            if grows or any(kept[number + 1 :]) or coin():
                del content[change.size :]
                content.extend(bytes(change.size - len(content)))
            continue
        for offset, data in kept[number]:
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
        if grows:
            content.extend(bytes(max(0, change.offset + len(change.data) - len(content))))
    return bytes(content)
