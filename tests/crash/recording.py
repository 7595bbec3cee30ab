"""Records what a child process writes and syncs, in order, by following its system calls."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.crash.disk import (
    FolderSynced,
    Named,
    Operation,
    Removed,
    Resized,
    Said,
    Synced,
    Written,
)
from tests.crash.life import SAID

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = (
    *("open", "openat", "openat2", "creat", "truncate", "mkdir", "mkdirat", "link", "linkat"),
    *("symlink", "symlinkat", "rename", "renameat", "renameat2", "unlink", "unlinkat"),
)
BY_DESCRIPTOR = (
    *("close", "dup", "dup2", "dup3", "lseek", "write", "writev", "pwrite64", "pwritev"),
    *("pwritev2", "fsync", "fdatasync", "sync_file_range", "ftruncate", "fallocate"),
    *("copy_file_range", "sendfile"),
)
"""All calls by which a file could change: on a recorded file an unknown one is an error."""
LINE = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
STRING_MAX = 16 * 1024 * 1024
"""Longest write that is recorded whole."""
LOCKS = "store/lock.mdb"
"""LMDB's table of readers: made anew by the first who opens a store, so no image has it."""


@cache
def can_record() -> bool:
    """Return whether system calls can be followed here: some containers forbid it."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, timeout=30)
    return tried.returncode == 0


def record(folder: Path, *, durable: bool = True) -> tuple[Operation, ...]:
    """Live the life of tests/crash/life.py in ``folder / "node"``; return what it did to disk."""
    node, trace = folder / "node", folder / "trace"
    node.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.crash.life", str(node)]
    command += [] if durable else ["--not-durable"]
    options = [
        "-o",
        str(trace),
        "-xx",
        "-s",
        str(STRING_MAX),
        "-e",
        f"trace={','.join((*BY_NAME, *BY_DESCRIPTOR, 'msync'))}",
    ]
    subprocess.run(["strace", *options, *command], cwd=ROOT, check=True, timeout=120)
    with trace.open(encoding="ascii") as lines:
        return tuple(Follower(node).operations(lines))


@dataclass(slots=True, kw_only=True)
class Open:
    """An open descriptor."""

    name: str
    file: int
    """0 for a folder."""
    is_through: bool
    is_append: bool
    position: int = 0


class Follower:
    """Turns lines of strace into operations on the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, Open] = {}
        self._files: dict[str, int] = {}
        self._sizes: dict[int, int] = {}

    def operations(self, lines: Iterator[str]) -> Iterator[Operation]:
        """Yield operations; a call that this model does not know fails."""
        for line in lines:
            assert "unfinished" not in line, "one thread, or the order is not known"
            matched = LINE.match(line)
            if matched is not None and int(matched[3]) >= 0:
                yield from self._call(matched[1], matched[2], int(matched[3]))

    def _call(self, call: str, arguments: str, result: int) -> Iterator[Operation]:
        assert call != "msync", "writes through a mapping are not seen"
        if call in BY_NAME:
            names = [self._name(path) for path in _strings(arguments)]
            if any(name is not None and name != LOCKS for name in names):
                yield from self._named(call, [name or "" for name in names], arguments, result)
            return
        descriptor = int(re.split(r"\W", arguments, maxsplit=1)[0])
        handle = self._open.get(descriptor)
        if handle is not None:
            yield from self._done(call, handle, arguments, result)
            if call == "close":
                del self._open[descriptor]

    def _named(
        self, call: str, names: list[str], arguments: str, result: int
    ) -> Iterator[Operation]:
        if call == "link":
            self._files[names[1]] = self._files[names[0]]
            yield Named(name=names[1], file=self._files[names[0]])
        elif call == "unlink":
            del self._files[names[0]]
            yield Removed(name=names[0])
        elif call != "mkdir":
            assert call == "openat", f"unknown call on a recorded name: {call}"
            assert "O_TRUNC" not in arguments
            is_folder = "O_DIRECTORY" in arguments
            if not is_folder and names[0] not in self._files:
                number = len(self._sizes) + 1
                self._files[names[0]], self._sizes[number] = number, 0
                if names[0] != SAID:
                    yield Named(name=names[0], file=number)
            self._open[result] = Open(
                name=names[0],
                file=0 if is_folder else self._files[names[0]],
                is_through="O_DSYNC" in arguments or "O_SYNC" in arguments,
                is_append="O_APPEND" in arguments,
            )

    def _done(self, call: str, handle: Open, arguments: str, result: int) -> Iterator[Operation]:
        numbers = [int(part) for part in re.findall(r", (\d+)\b", arguments)]
        if call in ("write", "writev", "pwrite64"):
            data = b"".join(_strings(arguments))
            assert len(data) == result, "a write in part"
            if handle.name == SAID:
                yield Said(line=data.decode("ascii"))
                return
            if call == "pwrite64":
                offset = numbers[-1]
            else:
                offset = self._sizes[handle.file] if handle.is_append else handle.position
                handle.position = offset + len(data)
            self._sizes[handle.file] = max(self._sizes[handle.file], offset + len(data))
            yield Written(file=handle.file, offset=offset, data=data, through=handle.is_through)
        elif call in ("fsync", "fdatasync"):
            if handle.file == 0:
                yield FolderSynced(folder=handle.name)
            else:
                yield Synced(file=handle.file, name=handle.name)
        elif call == "ftruncate":
            self._sizes[handle.file] = numbers[0]
            yield Resized(file=handle.file, size=numbers[0])
        elif call == "fallocate":
            assert numbers[0] == 0, "only ever to grow"
            self._sizes[handle.file] = max(self._sizes[handle.file], numbers[1] + numbers[2])
            yield Resized(file=handle.file, size=self._sizes[handle.file])
        else:
            assert call in ("lseek", "close"), f"unknown call on a recorded file: {call}"
            if call == "lseek":
                handle.position = result

    def _name(self, path: bytes) -> str | None:
        """Return a path relative to the folder, or None for what lies elsewhere."""
        found = Path(path.decode())
        return str(found.relative_to(self._folder)) if found.is_relative_to(self._folder) else None


def _strings(arguments: str) -> list[bytes]:
    found = STRING.findall(arguments)
    assert not any(cut for _, cut in found), "a string was cut off"
    return [bytes.fromhex(text.replace("\\x", "")) for text, _ in found]
