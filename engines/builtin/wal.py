"""The write-ahead log: what changed consensus at the current height, durable before it acts.

Two files take turns, one height each, so that the start of a height never touches the log of the
height before. What is appended waits in memory; ``sync`` writes it as *one* frame and makes it
durable. Only the last frame of a file can therefore be torn by a crash, and any other damage is
damage: the reader says where and stops.

    frame   = u32be length ‖ u32be crc32(u64be offset ‖ length) ‖ u32be crc32(body) ‖ body
    body    = (u32be length ‖ record)…
    record 0 of a file = "tallystick-wal-1" ‖ u64be height
"""

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from engines.seam import EngineStopped
from ledger.store.durable import sync_folder

RECORD_BYTES_MAX = 4 * 1024 * 1024
"""Longest record: a proposal with its block body fits."""
_PENDING_BYTES_MAX = 8 * 1024 * 1024
"""How much may wait in memory before ``append`` writes by itself."""
_MAGIC = b"tallystick-wal-1"
_FRAME_HEADER_BYTES = 12
_BODY_BYTES_MAX = _PENDING_BYTES_MAX + 2 * RECORD_BYTES_MAX


class WalDamaged(EngineStopped):
    """A log file is damaged where no crash can have torn it. The node must not start."""

    def __init__(self, *, name: str, offset: int) -> None:
        super().__init__(
            f"{name} is damaged at byte {offset}, before records that are whole; "
            "restore the disk, or remove the log and let this validator sit out the height"
        )
        self.name, self.offset = name, offset


class LogFile(Protocol):
    """A file that grows at its end: the disk, or a simulated one."""

    name: str

    def append(self, data: bytes) -> None:
        """Write at the end; durable only after ``sync``."""

    def sync(self) -> None:
        """Make everything written so far durable."""

    def read_all(self) -> bytes:
        """Return the whole content."""

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes."""

    def close(self) -> None:
        """Give the file back."""


class RealLogFile:
    """A LogFile on disk. The file and its folder entry are durable once it is open."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        sync_folder(path.parent)

    def append(self, data: bytes) -> None:
        """Write at the end; durable only after ``sync``."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        """Make everything written so far durable."""
        os.fdatasync(self._descriptor)

    def read_all(self) -> bytes:
        """Return the whole content."""
        return Path(self.name).read_bytes()

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)


class WriteAheadLog:
    """The records of the current height, in the order they were appended.

    An OSError from any method leaves unknown what is durable: the node must stop.
    """

    def __init__(self, files: Sequence[LogFile]) -> None:
        """Read both files, cut a torn end off, and take up the one with the larger height.

        Raises WalDamaged.
        """
        assert len(files) == 2
        self._files = files
        self._current = 0
        """Which file the current height is in."""
        self.height: int | None = None
        """The current height, or None in a new log."""
        self.records: tuple[bytes, ...] = ()
        """What was durable when the log was opened."""
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._size = 0
        for index, file in enumerate(files):
            height, records, size = _recover(file)
            if height is not None and (self.height is None or height > self.height):
                self._current, self._size = index, size
                self.height, self.records = height, records

    def start_height(self, height: int) -> None:
        """Begin a larger height: durable, and the log before it gone, with the next ``sync``.

        After a crash in between the log of the former height is read.
        """
        assert self.height is None or height > self.height
        self._current = 1 - self._current
        # Not synced: file systems do not let later writes to a file overtake its truncation.
        self._files[self._current].truncate(0)
        self._size = 0
        self._pending, self._pending_bytes = [], 0
        self.height = height
        self.append(_MAGIC + height.to_bytes(8, "big"))

    def append(self, record: bytes) -> None:
        """Add a record of at most RECORD_BYTES_MAX bytes; durable with the next ``sync``."""
        assert self.height is not None, "start a height first"
        assert len(record) <= RECORD_BYTES_MAX
        self._pending.append(len(record).to_bytes(4, "big") + record)
        self._pending_bytes += len(self._pending[-1])
        if self._pending_bytes > _PENDING_BYTES_MAX:
            self.sync()

    def sync(self) -> None:
        """Make every appended record durable; nothing is done if there is nothing new."""
        if not self._pending:
            return
        frame = _frame(b"".join(self._pending), offset=self._size)
        self._files[self._current].append(frame)
        self._files[self._current].sync()
        self._size += len(frame)
        self._pending, self._pending_bytes = [], 0

    def close(self) -> None:
        """Give the files back; what was not synced is lost."""
        for file in self._files:
            file.close()


def open_wal(folder: Path) -> WriteAheadLog:
    """Return the log in ``folder``, with its two files made if they are missing."""
    return WriteAheadLog((RealLogFile(folder / "wal.0"), RealLogFile(folder / "wal.1")))


def _frame(body: bytes, *, offset: int) -> bytes:
    length = len(body).to_bytes(4, "big")
    return length + _length_check(offset, length) + zlib.crc32(body).to_bytes(4, "big") + body


def _length_check(offset: int, length: bytes) -> bytes:
    """Bind a length to its place, so that a copy of a frame elsewhere is not taken for one."""
    return zlib.crc32(offset.to_bytes(8, "big") + length).to_bytes(4, "big")


def _length(data: bytes, offset: int) -> int | None:
    """Return how long the body of the frame at ``offset`` is, or None if none begins there."""
    header = data[offset : offset + _FRAME_HEADER_BYTES]
    if len(header) < _FRAME_HEADER_BYTES or header[4:8] != _length_check(offset, header[:4]):
        return None
    length = int.from_bytes(header[:4], "big")
    return length if 0 < length <= _BODY_BYTES_MAX else None


def _body(data: bytes, offset: int) -> bytes | None:
    """Return the body of the frame at ``offset``, or None if no whole, valid one is there."""
    length = _length(data, offset)
    start = offset + _FRAME_HEADER_BYTES
    if length is None or start + length > len(data):
        return None
    body = data[start : start + length]
    return body if zlib.crc32(body).to_bytes(4, "big") == data[start - 4 : start] else None


def _reaches_the_end(data: bytes, offset: int) -> bool:
    """Return whether a frame begins here that leaves no room for another: no need to search."""
    length = _length(data, offset)
    return length is not None and offset + _FRAME_HEADER_BYTES + length >= len(data)


def _recover(file: LogFile) -> tuple[int | None, tuple[bytes, ...], int]:
    """Return height, records and size of a file, its torn end cut off.

    The height is None if not even the first frame is whole: the start of that height was never
    durable, and the other file has the log.
    """
    data = file.read_all()
    records: list[bytes] = []
    size = 0
    while (body := _body(data, size)) is not None:
        records.extend(_split(body))
        size += _FRAME_HEADER_BYTES + len(body)
    if size < len(data):
        # One sync writes one frame, so a crash tears the last frame and nothing whole follows.
        later = range(size + 1, 0 if _reaches_the_end(data, size) else len(data))
        if any(_body(data, offset) is not None for offset in later):
            raise WalDamaged(name=file.name, offset=size)
        file.truncate(size)
        file.sync()
    if not records:
        return None, (), 0
    marker = records[0]
    if len(marker) != len(_MAGIC) + 8 or not marker.startswith(_MAGIC):
        raise WalDamaged(name=file.name, offset=0)
    return int.from_bytes(marker[len(_MAGIC) :], "big"), tuple(records[1:]), size


def _split(body: bytes) -> list[bytes]:
    """Return the records of a body whose checksum was right."""
    records: list[bytes] = []
    start = 0
    while start < len(body):
        end = start + 4 + int.from_bytes(body[start : start + 4], "big")
        records.append(body[start + 4 : end])
        start = end
    return records
