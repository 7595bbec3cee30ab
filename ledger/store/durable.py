"""Files that survive a power cut: written beside their place, synced, then put there."""

import os
from contextlib import suppress
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file by other bytes; a crash leaves the old ones or the new ones."""
    _draft(path, data).replace(path)
    sync_folder(path.parent)


def write_once(path: Path, data: bytes) -> None:
    """Write a file unless it is there: then it stays as it is."""
    draft = _draft(path, data)
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable: a new file can be lost without this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _draft(path: Path, data: bytes) -> Path:
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return draft
