"""How long a round waits (spec T1)."""

from dataclasses import dataclass

from consensus.inputs import TimeoutKind

TIMEOUT_MS_MAX = 30_000
"""No timer is longer, however high the round: a network that heals must go on within it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutPolicy:
    """Base of each timer, and what every further round adds, in milliseconds."""

    propose_ms: int = 1_000
    prevote_ms: int = 500
    precommit_ms: int = 500
    increment_ms: int = 500

    def after_ms(self, kind: TimeoutKind, round: int) -> int:
        """Return the length of a timer: linear in the round, at most TIMEOUT_MS_MAX."""
        base_ms = {
            TimeoutKind.PROPOSE: self.propose_ms,
            TimeoutKind.PREVOTE: self.prevote_ms,
            TimeoutKind.PRECOMMIT: self.precommit_ms,
        }[kind]
        return min(base_ms + round * self.increment_ms, TIMEOUT_MS_MAX)
