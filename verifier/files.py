"""An exported ledger as files (blocks.md, A3), read a row at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from verifier.blocks import COMMIT_BYTES_MAX, ENTRY_BYTES_MAX, GENESIS_BYTES_MAX

GENESIS, ENTRIES, COMMITS = "genesis.bin", "entries.bin", "commits.bin"


class FileDamaged(ValueError):
    """A file ends inside a row, or a length in it makes no sense."""


def read_genesis(folder: Path) -> bytes:
    """Return genesis, or the beginning of something too long to be one."""
    with (folder / GENESIS).open("rb") as file:
        return file.read(GENESIS_BYTES_MAX + 1)


def read_entries(folder: Path) -> Iterator[bytes]:
    """Yield ``u32be length ‖ entry``, in order."""
    with (folder / ENTRIES).open("rb") as file:
        while head := file.read(4):
            yield _row(file, head, ENTRY_BYTES_MAX)


def read_commits(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Yield ``u64be height ‖ u32be length ‖ commit``, in order."""
    with (folder / COMMITS).open("rb") as file:
        while height := file.read(8):
            yield int.from_bytes(height, "big"), _row(file, file.read(4), COMMIT_BYTES_MAX)


def _row(file: BinaryIO, head: bytes, bytes_max: int) -> bytes:
    length = int.from_bytes(head, "big")
    if len(head) == 4 and length > bytes_max:
        raise FileDamaged(f"a row of {length} bytes, at most {bytes_max} are allowed")
    data = file.read(length)
    if len(head) < 4 or len(data) < length:
        raise FileDamaged("it ends inside a row")
    return data
