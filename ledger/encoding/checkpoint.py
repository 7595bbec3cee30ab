"""Checkpoints: the three lines that say which tree a log stands for (c2sp.org/tlog-checkpoint)."""

from dataclasses import dataclass

from ledger.encoding import merkle
from ledger.encoding.text import SIZE_MAX, MalformedText, base64_of, parse_decimal, parse_hash

ORIGIN_BYTES_MAX = 255
"""Longest origin in UTF-8: it is also the name of the log's keys."""


class MalformedCheckpoint(MalformedText):
    """The text of a note is no checkpoint in the form of Y4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A log had this root at this size."""

    origin: str
    """Which log; fixed for ever."""
    size: int
    """How many entries."""
    root: bytes
    """The RFC 6962 root over them, 32 bytes."""

    def text(self) -> str:
        """Return the note text, which ``parse`` takes back."""
        assert 0 <= self.size <= SIZE_MAX
        text = f"{self.origin}\n{self.size}\n{base64_of(self.root)}\n"
        assert parse(text) == self
        return text


def parse(text: str) -> Checkpoint:
    """Return the checkpoint that a note's text writes. Raises MalformedCheckpoint.

    Extension lines are refused: no auditor can check what they say, and cosigners would have to
    sign it. Nothing here is signed yet: ``policy.accept`` says whether to believe it.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise MalformedCheckpoint("expected three lines: origin, size, root")
    origin = lines[0]
    if not 1 <= len(origin.encode()) <= ORIGIN_BYTES_MAX:
        raise MalformedCheckpoint(f"expected an origin of 1 to {ORIGIN_BYTES_MAX} bytes")
    try:
        size, root = parse_decimal(lines[1]), parse_hash(lines[2])
    except MalformedText as error:
        raise MalformedCheckpoint(str(error)) from None
    if size == 0 and root != merkle.EMPTY_ROOT:
        raise MalformedCheckpoint("the empty tree has another root")
    return Checkpoint(origin=origin, size=size, root=root)
