"""An exported ledger as files: genesis, log entries, commits. Nothing else is needed to audit."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ledger.entries import ENTRY_BYTES_MAX

COMMIT_BYTES_MAX = 64 * 1024

GENESIS, ENTRIES, COMMITS = "genesis.bin", "entries.bin", "commits.bin"


class FileDamaged(ValueError):
    """An export ends in the middle of a record, or a length in it makes no sense."""


def read_entries(folder: Path) -> Iterator[bytes]:
    """Yield log entries in order: ``u32be length ‖ entry`` each."""
    with (folder / ENTRIES).open("rb") as file:
        while True:
            entry = _take(file, ENTRIES, ENTRY_BYTES_MAX)
            if entry is None:
                return
            yield entry


def read_commits(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (height, what the engine stored): ``u64be height ‖ u32be length ‖ bytes`` each."""
    with (folder / COMMITS).open("rb") as file:
        while True:
            height = file.read(8)
            if not height:
                return
            commit = _take(file, COMMITS, COMMIT_BYTES_MAX) if len(height) == 8 else None
            if commit is None:
                raise FileDamaged(f"{COMMITS} ends in the middle of a record")
            yield int.from_bytes(height, "big"), commit


def _take(file: BinaryIO, name: str, maximum: int) -> bytes | None:
    head = file.read(4)
    if not head:
        return None
    length = int.from_bytes(head, "big")
    if len(head) < 4 or length > maximum:
        raise FileDamaged(f"{name}: expected a length of at most {maximum}, got {head.hex()}")
    data = file.read(length)
    if len(data) < length:
        raise FileDamaged(f"{name} ends in the middle of a record")
    return data


def write(path: Path, pieces: Iterable[bytes]) -> int:
    """Write a stream to a file; return how many bytes it had."""
    size = 0
    with path.open("wb") as file:
        for piece in pieces:
            size += file.write(piece)
    return size
