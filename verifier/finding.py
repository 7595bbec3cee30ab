"""What a verification can be asked for, and what it says when something is wrong."""

from enum import Enum


class Level(Enum):
    """How much is checked; each level includes those before it."""

    STRUCTURE = "structure"
    """Every byte is canonical, every field in its range, every entry and commit in its place."""
    MERKLE = "merkle"
    """All hashes: log id, trees, chain of records, sets and parameters."""
    SIGNATURES = "signatures"
    """Every signature of a transaction, every header and every certificate."""

    def includes(self, other: "Level") -> bool:
        """Return whether whoever asks for this level also asks for another."""
        order = list(Level)
        return order.index(self) >= order.index(other)


class FileDamaged(ValueError):
    """A file is missing, ends too early, or says what no such file may; ``path`` names it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Finding(Exception):
    """The first thing that no honest ledger writes, and where it stands."""

    def __init__(self, *, height: int, sequence: int | None, field: str, reason: str) -> None:
        place = "" if sequence is None else f", entry {sequence}"
        super().__init__(f"height {height}{place}, {field}: {reason}")
        self.height = height
        """Of the block; 0 is genesis."""
        self.sequence = sequence
        """Position in the log; None of what stands beside it, as commits do."""
        self.field = field
        self.reason = reason
