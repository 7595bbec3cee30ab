"""What an audit says when it does not say that all is well (spec A7)."""

from typing import ClassVar


class Finding(Exception):
    """An audit ended before the end: where, and why."""

    verdict: ClassVar[str]

    def __init__(self, *, height: int, sequence: int, field: str, reason: str) -> None:
        super().__init__(f"{self.verdict}: height {height}, entry {sequence}, {field}: {reason}")
        self.height = height
        """Of the block; of the last whole one if the block's own is not known."""
        self.sequence = sequence
        """Log position of the entry; of a commit, how many entries the log has before it."""
        self.field = field
        """Which part of the entry: ``code``, ``record.log_root``, ``commit.certificate``."""
        self.reason = reason

    @property
    def details(self) -> dict[str, object]:
        """Return the same for programs."""
        return {
            "verdict": self.verdict,
            "height": self.height,
            "sequence": self.sequence,
            "field": self.field,
            "reason": self.reason,
        }


class Tampered(Finding):
    """It is not what an honest ledger writes."""

    verdict = "tampered"


class Unverifiable(Finding):
    """Something is needed that nobody here has: other rules, the keys of a set, another genesis."""

    verdict = "unverifiable"


class Incomplete(Finding):
    """It ends too early: what is there is sound."""

    verdict = "incomplete"
