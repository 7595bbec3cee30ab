"""What a node must not forget over a restart: that it stopped voting, and why (spec N6.11).

A small text file in the node's folder. While it is there the node follows without signing; only
its operator takes it away.
"""

from pathlib import Path

from ledger.store.durable import sync_folder, write_durably

REASON_BYTES_MAX = 4 * 1024


def read_stop(path: Path) -> str:
    """Return why the node stopped voting, or an empty text if it may vote."""
    try:
        with path.open("rb") as file:
            text = file.read(REASON_BYTES_MAX).decode("utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""
    return text or "no reason was written down"


def remember_stop(path: Path, reason: str) -> None:
    """Write down why the node stopped voting, durably; the first reason stays."""
    if path.exists():
        return
    write_durably(path, reason.encode()[:REASON_BYTES_MAX] + b"\n")


def forget_stop(path: Path) -> None:
    """Let the node vote again from its next start on, durably."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def keep_evidence(path: Path, evidence: bytes) -> None:
    """Keep what shows a broken promise beside the reason, durably; the first one stays."""
    if not path.exists():
        write_durably(path, evidence)
