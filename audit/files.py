"""An exported ledger as files: genesis, log entries, commits. Nothing else is needed to audit."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from node import exports

GENESIS, ENTRIES, COMMITS = "genesis.bin", "entries.bin", "commits.bin"

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


def write(path: Path, pieces: Iterable[bytes]) -> int:
    """Write a stream to a file; return how many bytes it had."""
    size = 0
    with path.open("wb") as file:
        for piece in pieces:
            size += file.write(piece)
    return size
