"""Files that survive a power cut: written beside their place, synced, then renamed."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file by other bytes; a crash leaves the old ones or the new ones."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable: a new file can be lost without this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
