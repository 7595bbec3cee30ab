"""An exported ledger as files, read a row at a time: an export (A3) or a dump of tiles (log.md)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from verifier.blocks import COMMIT_BYTES_MAX, ENTRY_BYTES_MAX, GENESIS_BYTES_MAX
from verifier.dump import NOTE_BYTES_MAX, Checkpoint, read_bundles, read_checkpoint
from verifier.finding import FileDamaged

GENESIS, ENTRIES, COMMITS, CHECKPOINT = "genesis.bin", "entries.bin", "commits.bin", "checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What there is to read."""

    genesis: bytes | None
    """None in a dump: its entry 0 has it."""
    entries: Iterator[bytes]
    commits: Iterator[tuple[int, bytes]]
    checkpoint: Checkpoint | None
    """Only of a dump."""


def is_dump(folder: Path) -> bool:
    """Return whether a folder has tiles in place of the one file of entries."""
    return (folder / CHECKPOINT).is_file() and not (folder / ENTRIES).is_file()


def missing_files(folder: Path) -> list[str]:
    """Return the names of files without which nothing can be verified."""
    names = (CHECKPOINT, COMMITS) if is_dump(folder) else (GENESIS, ENTRIES, COMMITS)
    return [name for name in names if not (folder / name).is_file()]


def open_source(folder: Path) -> Source:
    """Return what a folder holds; raise FileDamaged of a checkpoint that is none."""
    commits = _read_commits(folder / COMMITS)
    if is_dump(folder):
        checkpoint = read_checkpoint(_head(folder / CHECKPOINT, NOTE_BYTES_MAX))
        return Source(
            genesis=None,
            entries=read_bundles(folder, checkpoint.size),
            commits=commits,
            checkpoint=checkpoint,
        )
    return Source(
        genesis=_head(folder / GENESIS, GENESIS_BYTES_MAX),
        entries=_read_entries(folder / ENTRIES),
        commits=commits,
        checkpoint=None,
    )


def _head(path: Path, bytes_max: int) -> bytes:
    """Return a file, or enough of it to see that it is too long."""
    with path.open("rb") as file:
        return file.read(bytes_max + 1)


def _read_entries(path: Path) -> Iterator[bytes]:
    """Yield ``u32be length ‖ entry``, in order."""
    with path.open("rb") as file:
        while head := file.read(4):
            yield _row(file, path.name, head, ENTRY_BYTES_MAX)


def _read_commits(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield ``u64be height ‖ u32be length ‖ commit``, in order."""
    with path.open("rb") as file:
        while height := file.read(8):
            yield (
                int.from_bytes(height, "big"),
                _row(file, path.name, file.read(4), COMMIT_BYTES_MAX),
            )


def _row(file: BinaryIO, name: str, head: bytes, bytes_max: int) -> bytes:
    length = int.from_bytes(head, "big")
    if len(head) == 4 and length > bytes_max:
        raise FileDamaged(name, f"a row of {length} bytes, at most {bytes_max} are allowed")
    data = file.read(length)
    if len(head) < 4 or len(data) < length:
        raise FileDamaged(name, "it ends inside a row")
    return data
