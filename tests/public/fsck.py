"""Runs a verifier that strangers wrote: the fsck of github.com/transparency-dev/tessera.

It reads a checkpoint and all entries, builds every tile and the root again, and compares.
"""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ledger.encoding.note import parse_verifier_key
from tests.public import build

VERSION = "v1.0.4"
MODULE = f"github.com/transparency-dev/tessera/cmd/fsck@{VERSION}"
VERDICT_WITHIN_S = 60
"""A guard: some wrong tiles make it wait for ever."""
WORKERS = 512
"""More than there are tiles at 70,000 entries: with fewer, it waits for ever at a wrong one."""

# This version exits with 0 also when it found something: only this line tells.
_SUCCESS = re.compile(r"Successfully fsck'd log with size (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What fsck said of a log."""

    size: int | None
    """Entries of the log that it accepts; None if it does not."""
    is_late: bool
    """It said nothing in time: a refusal of a log that is known to be altered, else a failure."""
    text: str
    """Its output."""

    @property
    def accepted(self) -> bool:
        """Return whether it said that the log is sound."""
        return self.size is not None


def installed_fsck() -> Path:
    """Return the program, installed with Go if it is not yet; without Go, skip the test."""
    program = build.cache() / f"fsck-{VERSION}" / "fsck"
    if not program.is_file():
        build.need("go", "the public verifier fsck")
        program.parent.mkdir(parents=True, exist_ok=True)
        build.made(["go", "install", MODULE], program.parent, GOBIN=str(program.parent))
    return program


def run_fsck(
    url: str, verifier_key: str, *, workers: int = WORKERS, within_s: int = VERDICT_WITHIN_S
) -> Verdict:
    """Return what fsck says of the log at ``url``: http://HOST/log/ or file://FOLDER/.

    ``verifier_key`` is the log's (Y2.5), whose name is the origin.
    """
    program = installed_fsck()
    with tempfile.NamedTemporaryFile("w", suffix=".vkey") as key_file:
        key_file.write(verifier_key)
        key_file.flush()
        command = [str(program), f"--storage_url={url}", f"--public_key={key_file.name}"]
        command += [f"--origin={parse_verifier_key(verifier_key).name}"]
        command += ["--ui=false", f"--N={workers}"]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=within_s)
            text, is_late = ended.stdout + ended.stderr, False
        except subprocess.TimeoutExpired as late:
            pieces = [piece for piece in (late.stdout, late.stderr) if piece]
            text, is_late = b"".join(map(_bytes, pieces)).decode("utf-8", "replace"), True
    said = _SUCCESS.search(text)
    return Verdict(size=None if said is None else int(said[1]), is_late=is_late, text=text)


def _bytes(piece: bytes | str) -> bytes:
    return piece if isinstance(piece, bytes) else piece.encode()
