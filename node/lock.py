"""One process at a time works in a node's folder: a node, or a command that changes what it has.

The lock ends with its process, however that ends. The file holds the process id, for people and
their signals, and is empty while nobody works there.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ID_BYTES_MAX = 32


class FolderInUse(Exception):
    """Another process works in the folder; the sentence says which."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a node's folder by its lock file; raise FolderInUse or OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            number = os.pread(descriptor, _ID_BYTES_MAX, 0).decode("ascii", "replace").strip()
            raise FolderInUse(f"{path.parent.resolve()} is in use by process {number}") from None
        with suppress(OSError):  # a full disk keeps no node from starting
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
