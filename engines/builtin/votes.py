"""Votes of the others, those of decided heights too (spec N2, N9)."""

from consensus.certificate import Certificate
from consensus.inputs import VoteReceived
from consensus.messages import Vote, VoteKind, vote_sign_bytes
from consensus.votebook import WINDOW_MAX
from engines.builtin import messages
from engines.builtin.evidence import EvidenceDesk
from engines.builtin.evidence_pool import EvidencePool
from engines.builtin.height import Heights
from engines.builtin.machine import Inputs
from engines.builtin.own_key import OwnKey
from engines.builtin.p2p.frames import PeerFault
from ledger.execute import Verify

SEEN_VOTES_MAX = 16_384
"""Verified votes of one height that are remembered."""


class Votes:
    """Verifies votes before the driver sees them, each once."""

    def __init__(
        self,
        *,
        heights: Heights,
        key: OwnKey,
        inputs: Inputs,
        desk: EvidenceDesk,
        pool: EvidencePool,
        verify: Verify,
    ) -> None:
        self._heights = heights
        self._key = key
        self._inputs = inputs
        self._desk = desk
        self._pool = pool
        self._verify = verify

    def on_vote(self, vote: Vote) -> None:
        """Take a vote of this height; raise PeerFault if its signature does not verify."""
        now = self._heights.now
        if not now.validators.power_of(vote.validator):
            return
        # A vote that was verified before is fed again: the second word of a key counts only once a
        # correct validator has said the same (consensus.md B3), and may have come before that.
        if now.votes.get((vote.validator, vote.kind, vote.round)) != vote:
            if not self._is_genuine(vote):
                return
            is_near = vote.round <= now.driver.round + WINDOW_MAX
            if is_near and len(now.votes) < SEEN_VOTES_MAX:
                now.votes[vote.validator, vote.kind, vote.round] = vote
        self._inputs.feed(VoteReceived(vote=vote))

    def _is_genuine(self, vote: Vote) -> bool:
        """Return whether a verified vote may count; raise PeerFault if it does not verify."""
        now = self._heights.now
        signed = vote_sign_bytes(
            self._heights.log_id,
            messages.ENGINE_EPOCH,
            vote.kind,
            vote.height,
            vote.round,
            vote.block_id,
        )
        if not self._verify(vote.validator, signed, vote.signature):
            raise PeerFault("a vote's signature does not verify")
        if vote.validator == self._heights.own_key() and not self._key.made(
            vote, now.driver.own_vote(vote.round, vote.kind)
        ):
            self._key.stop("a vote by this node's key that its signer never made: a second node?")
            return False
        return True

    def on_late_vote(self, vote: Vote) -> None:
        """Look whether a vote of a decided height contradicts one that was seen in time."""
        proof = self._pool.contradicted_by(vote)
        if proof is not None and not self._pool.knows(proof):
            self._desk.take(proof)

    def compare_with(self, certificate: Certificate) -> None:
        """Look whether a verified certificate contradicts a vote, or the own signer's record."""
        for key, signature in certificate.signatures:
            vote = Vote(
                kind=VoteKind.PRECOMMIT,
                height=certificate.height,
                round=certificate.round,
                block_id=(certificate.block_id,),
                validator=key,
                signature=signature,
            )
            self.on_late_vote(vote)
            if self._key.lacks(vote):
                self._key.stop("a certificate has a signature that the signer's record lacks")
