"""Small files that are durable or not there: written beside their place, synced, then renamed."""

import os
from pathlib import Path

from node.wal import sync_folder


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file by other bytes; a crash leaves the old ones or the new ones."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)
