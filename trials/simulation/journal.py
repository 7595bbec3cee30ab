"""A file with a line for every finished piece of a long run, so that it can go on where it stopped.

The first line names the version of the program, the hash of its source and the options of the run:
what others did must not be counted with it.
"""

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from tally import __version__

R = TypeVar("R")

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "ledger",
    "consensus",
    "engines",
    "node",
    "wallet",
    "api",
    "localnet",
    "tally",
    "trials",
)
"""What decides how a run ends."""


@functools.cache
def code_hash() -> str:
    """Return a hash of the source that runs: most changes of it change no version."""
    running = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            running.update(f"{path.relative_to(ROOT)} {content}\n".encode())
    return running.hexdigest()[:16]


class JournalUnusable(Exception):
    """A file cannot be gone on with; the sentence says why. It stays as it is."""


class Heading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line: who wrote the rest."""

    tallystick: str
    code: str
    """``code_hash``"""
    options: dict[str, object]

    def __str__(self) -> str:
        """Return the heading in words."""
        words = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"tallystick {self.tallystick} (code {self.code}) with {words or 'no options'}"


class JournalFile(Generic[R]):
    """The records of finished pieces, on disk and in memory."""

    def __init__(self, path: Path, options: Mapping[str, object], kind: type[R]) -> None:
        """Take up a file, or begin it. A line that an interruption tore counts as not written.

        Raises JournalUnusable.
        """
        self.path = path
        self.records: list[R] = []
        heading = Heading(tallystick=__version__, code=code_hash(), options=dict(options))
        try:
            if path.exists() and not path.is_file():
                raise JournalUnusable(f"{path} is no file")
            data = path.read_bytes() if path.exists() else b""
            first, newline, rest = data.partition(b"\n")
            if not newline and msgspec.json.encode(heading).startswith(first):
                path.write_bytes(msgspec.json.encode(heading) + b"\n")
                return
            self._require_same(first, heading)
            whole, newline, torn = rest.rpartition(b"\n")
            for line in whole.splitlines():
                self.records.append(self._read(line, kind))
            if torn:
                os.truncate(path, len(data) - len(torn))
        except OSError as error:
            raise JournalUnusable(f"{path}: {error.strerror}") from None

    def add(self, record: R) -> None:
        """Write a finished piece down; raise JournalUnusable if that fails."""
        self.records.append(record)
        try:
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
        except OSError as error:
            raise JournalUnusable(f"{self.path}: {error.strerror}") from None

    def _require_same(self, first: bytes, heading: Heading) -> None:
        try:
            written = msgspec.json.decode(first, type=Heading)
        except msgspec.DecodeError:
            raise JournalUnusable(f"{self.path} is no journal, and stays as it is") from None
        if msgspec.json.encode(written) != msgspec.json.encode(heading):
            raise JournalUnusable(
                f"{self.path} is of {written}; this is {heading}: take another file"
            )

    def _read(self, line: bytes, kind: type[R]) -> R:
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError as error:
            number = len(self.records) + 2
            raise JournalUnusable(f"{self.path}, line {number}: {error}") from None
