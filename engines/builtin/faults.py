"""Proofs of faults on their way to the log, and votes that a late one may contradict (spec N9).

Everything is bounded, since a liar can contradict itself as often as it likes. No I/O, no clock.
"""

from collections.abc import Callable

from consensus.evidence import FaultProof, proof_of
from consensus.messages import Vote, VoteKind
from engines.builtin.messages import fault_of
from ledger.blocks import FAULTS_MAX, Fault

FAULT_AGE_MAX = 64
"""Heights after which a fault is no longer recorded."""
PROOFS_MAX = 1_024
"""Proofs kept; more are not looked at until some are recorded or too old."""
LATE_HEIGHTS = 5
"""Decided heights whose votes are remembered, to notice who contradicts one later."""
LATE_VOTES_MAX = 4_096
"""Votes remembered of each."""

Place = tuple[bytes, VoteKind, int]
"""Key, kind and round of a vote."""


class Faults:
    """What is known of contradictions that the log does not mention yet."""

    def __init__(self) -> None:
        self._proofs: dict[tuple[bytes, int, str], FaultProof] = {}
        self._late: dict[int, dict[Place, Vote]] = {}

    def known(self) -> tuple[FaultProof, ...]:
        """Return every proof that is kept, the oldest first."""
        return tuple(self._proofs.values())

    def knows(self, proof: FaultProof) -> bool:
        """Return whether a fault of this key, height and kind waits already."""
        return _place(proof) in self._proofs

    def has_verified(self, proof: FaultProof) -> bool:
        """Return whether this very proof was verified before."""
        return self._proofs.get(_place(proof)) == proof

    def learn(self, proof: FaultProof) -> bool:
        """Keep a verified proof; return whether it is news and there was room."""
        if self.knows(proof) or len(self._proofs) >= PROOFS_MAX:
            return False
        self._proofs[_place(proof)] = proof
        return True

    def waiting(self, may_record: Callable[[Fault], bool]) -> tuple[FaultProof, ...]:
        """Return what the next block should carry, ascending by key, height and kind."""
        chosen = [
            self._proofs[place]
            for place in sorted(self._proofs)
            if may_record(fault_of(self._proofs[place]))
        ]
        return tuple(chosen[:FAULTS_MAX])

    def decided(
        self, height: int, votes: dict[Place, Vote], may_record: Callable[[Fault], bool]
    ) -> None:
        """Remember the votes of a decided height, and forget proofs that no block may carry."""
        if len(votes) <= LATE_VOTES_MAX:
            self._late[height] = dict(votes)
        self._late.pop(height - LATE_HEIGHTS, None)
        for place, proof in list(self._proofs.items()):
            if not is_current(proof, height + 1) or not may_record(fault_of(proof)):
                del self._proofs[place]

    def contradicted_by(self, vote: Vote) -> FaultProof | None:
        """Return the proof that a vote of a decided height makes, its signature unchecked."""
        known = self._late.get(vote.height, {}).get((vote.validator, vote.kind, vote.round))
        if known is None or known.block_id == vote.block_id:
            return None
        return proof_of(known, vote)


def is_current(proof: FaultProof, height: int) -> bool:
    """Return whether a block of this height may carry a proof (N9.3)."""
    return height - FAULT_AGE_MAX < proof.height <= height


def _place(proof: FaultProof) -> tuple[bytes, int, str]:
    return proof.validator, proof.height, proof.kind
