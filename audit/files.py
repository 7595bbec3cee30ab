"""An exported ledger as files: genesis, log entries, commits. Nothing else is needed to audit."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from node import exports

GENESIS, ENTRIES, COMMITS = "genesis.bin", "entries.bin", "commits.bin"

ROW_BYTES_MAX = 4 * 1024 * 1024
"""Longer rows are refused while they come in."""

T = TypeVar("T")


class FileDamaged(ValueError):
    """An export ends in the middle of a record, or a length in it makes no sense."""


def read_entries(folder: Path) -> Iterator[bytes]:
    """Yield log entries in order."""
    return _read(folder / ENTRIES, exports.read_entries)


def read_commits(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (height, what the engine stored)."""
    return _read(folder / COMMITS, exports.read_commits)


def _read(path: Path, read: Callable[[BinaryIO], Iterator[T]]) -> Iterator[T]:
    with path.open("rb") as file:
        try:
            yield from read(file)
        except exports.FileDamaged as error:
            raise FileDamaged(f"{path.name}: {error}") from None


def first_entries(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    """Yield the first entries of a stream of them, as they came, and nothing after."""
    for number, row in enumerate(_rows(pieces, key_bytes=0), start=1):
        if number <= count:
            yield row
        if number >= count:
            return


def commits_through(pieces: Iterable[bytes], height: int) -> Iterator[bytes]:
    """Yield the commits of a stream of them through a height, as they came."""
    for row in _rows(pieces, key_bytes=8):
        if int.from_bytes(row[:8], "big") > height:
            return
        yield row


def _rows(pieces: Iterable[bytes], *, key_bytes: int) -> Iterator[bytes]:
    """Yield whole rows, key ‖ u32be length ‖ value; what is cut off at the end comes last."""
    buffer = b""
    for piece in pieces:
        buffer += piece
        at = 0
        while len(buffer) - at >= key_bytes + 4:
            start = at + key_bytes + 4
            end = start + int.from_bytes(buffer[start - 4 : start], "big")
            if end > len(buffer):
                break
            yield buffer[at:end]
            at = end
        buffer = buffer[at:]
        if len(buffer) > ROW_BYTES_MAX:
            raise FileDamaged(f"a row is longer than {ROW_BYTES_MAX} bytes")
    if buffer:
        yield buffer


def write(path: Path, pieces: Iterable[bytes]) -> int:
    """Write a stream to a file; return how many bytes it had."""
    size = 0
    with path.open("wb") as file:
        for piece in pieces:
            size += file.write(piece)
    return size
