"""Evidence on its way to the log, and votes that a late one may contradict (spec N9).

Everything is bounded, since a liar can contradict itself as often as it likes. No I/O, no clock.
"""

from collections.abc import Callable

from consensus.evidence import Evidence, evidence_of
from consensus.messages import Vote, VoteKind
from engines.builtin.messages import misbehaviour_of
from ledger.blocks import MISBEHAVIOURS_MAX, Misbehaviour

EVIDENCE_AGE_MAX = 64
"""Heights after which misbehaviour is no longer recorded."""
EVIDENCE_MAX = 1_024
"""Proofs kept; more are not looked at until some are recorded or too old."""
LATE_HEIGHTS = 5
"""Decided heights whose votes are remembered, to notice who contradicts one later."""
LATE_VOTES_MAX = 4_096
"""Votes remembered of each."""

Place = tuple[bytes, VoteKind, int]
"""Key, kind and round of a vote."""


class EvidencePool:
    """Evidence of what the log does not mention yet."""

    def __init__(self) -> None:
        self._proofs: dict[tuple[bytes, int, str], Evidence] = {}
        self._late: dict[int, dict[Place, Vote]] = {}

    def known(self) -> tuple[Evidence, ...]:
        """Return all evidence that is kept, the oldest first."""
        return tuple(self._proofs.values())

    def knows(self, evidence: Evidence) -> bool:
        """Return whether evidence of this key, height and kind waits already."""
        return _place(evidence) in self._proofs

    def has_verified(self, evidence: Evidence) -> bool:
        """Return whether this very evidence was verified before."""
        return self._proofs.get(_place(evidence)) == evidence

    def learn(self, evidence: Evidence) -> bool:
        """Keep verified evidence; return whether it is news and there was room."""
        if self.knows(evidence) or len(self._proofs) >= EVIDENCE_MAX:
            return False
        self._proofs[_place(evidence)] = evidence
        return True

    def waiting(self, may_record: Callable[[Misbehaviour], bool]) -> tuple[Evidence, ...]:
        """Return what the next block should carry, ascending by key, height and kind."""
        chosen = [
            self._proofs[place]
            for place in sorted(self._proofs)
            if may_record(misbehaviour_of(self._proofs[place]))
        ]
        return tuple(chosen[:MISBEHAVIOURS_MAX])

    def decided(
        self, height: int, votes: dict[Place, Vote], may_record: Callable[[Misbehaviour], bool]
    ) -> None:
        """Remember the votes of a decided height, and forget evidence that no block may carry."""
        if len(votes) <= LATE_VOTES_MAX:
            self._late[height] = dict(votes)
        self._late.pop(height - LATE_HEIGHTS, None)
        for place, evidence in list(self._proofs.items()):
            if not is_current(evidence, height + 1) or not may_record(misbehaviour_of(evidence)):
                del self._proofs[place]

    def contradicted_by(self, vote: Vote) -> Evidence | None:
        """Return what a vote of a decided height is evidence of, its signature unchecked."""
        known = self._late.get(vote.height, {}).get((vote.validator, vote.kind, vote.round))
        if known is None or known.block_id == vote.block_id:
            return None
        return evidence_of(known, vote)


def is_current(evidence: Evidence, height: int) -> bool:
    """Return whether a block of this height may carry evidence (N9.3)."""
    return height - EVIDENCE_AGE_MAX < evidence.height <= height


def _place(evidence: Evidence) -> tuple[bytes, int, str]:
    return evidence.validator, evidence.height, evidence.kind
