"""Small files that are durable or not there: written beside their place, synced, then put there."""

import os
from contextlib import suppress
from pathlib import Path

from node.wal import sync_folder


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


def _draft(path: Path, data: bytes) -> Path:
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return draft
