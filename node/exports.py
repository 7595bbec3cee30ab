"""What a server exports, as files: log entries, commits, versions of records (spec H6)."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from engines.families import commit_bytes_max
from ledger.entries import ENTRY_BYTES_MAX
from ledger.state_tree import KEY_BYTES_MAX

VALUE_BYTES_MAX = 16 * 1024 * 1024
"""Longest version of a record that is taken; real ones have some kilobytes."""


class FileDamaged(ValueError):
    """A length in an export makes no sense."""


class FileCutOff(FileDamaged):
    """An export ends in the middle of a row, as a broken download does."""


class Version(NamedTuple):
    """A record as one log entry left it."""

    key: bytes
    sequence: int
    value: bytes
    """As stored: u64be sequence, then the record."""

    @property
    def row(self) -> bytes:
        """Return the version's key in the history, which orders them."""
        return self.key + b"\0" + self.sequence.to_bytes(8, "big")


def read_entries(file: BinaryIO) -> Iterator[bytes]:
    """Yield log entries in order: ``u32be length ‖ entry`` each."""
    while True:
        head = file.read(4)
        if not head:
            return
        yield _body(file, head, ENTRY_BYTES_MAX)


def read_commits(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield (height, what the engine stored): ``u64be height ‖ u32be length ‖ bytes`` each."""
    while True:
        height = file.read(8)
        if not height:
            return
        yield int.from_bytes(height, "big"), _body(file, file.read(4), commit_bytes_max())


def read_history(file: BinaryIO) -> Iterator[Version]:
    """Yield versions: ``u16be length ‖ key ‖ u64be sequence ‖ u32be length ‖ value`` each."""
    while True:
        head = file.read(2)
        if not head:
            return
        key = _body(file, head, KEY_BYTES_MAX, width=2)
        sequence, length = file.read(8), file.read(4)
        value = _body(file, length, VALUE_BYTES_MAX)
        yield Version(key, int.from_bytes(sequence, "big"), value)


def _body(file: BinaryIO, head: bytes, maximum: int, *, width: int = 4) -> bytes:
    """Return what a length announces."""
    if len(head) < width:
        raise FileCutOff("it ends in the middle of a row")
    length = int.from_bytes(head, "big")
    if length > maximum:
        raise FileDamaged(f"expected a length of at most {maximum}, got {length}")
    data = file.read(length)
    if len(data) < length:
        raise FileCutOff("it ends in the middle of a row")
    return data
