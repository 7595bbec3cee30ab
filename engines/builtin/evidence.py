"""Evidence of misbehaviour on its way in, and on to the others (spec N9)."""

from consensus.effects import Equivocation
from consensus.evidence import FaultProof, ProofInvalid, proof_of
from engines.builtin import messages
from engines.builtin.faults import Faults, is_current
from engines.builtin.height import Heights
from engines.builtin.messages import FaultMessage
from engines.builtin.own_key import OwnKey
from engines.builtin.p2p.frames import PeerFault
from engines.builtin.ports import Messenger
from ledger.ledger import Ledger


class EvidenceDesk:
    """Verifies evidence, keeps it for the next block, and tells the others once."""

    def __init__(
        self, pool: Faults, heights: Heights, key: OwnKey, ledger: Ledger, messenger: Messenger
    ) -> None:
        self._pool = pool
        self._heights = heights
        self._key = key
        self._ledger = ledger
        self._messenger = messenger

    def on_evidence(self, proof: FaultProof) -> None:
        """Take a peer's evidence; raise PeerFault if it proves nothing."""
        if not is_current(proof, self._heights.number) or self._pool.knows(proof):
            return
        if self._ledger.may_record(messages.fault_of(proof)):
            self.take(proof)

    def take(self, proof: FaultProof) -> None:
        """Take evidence that nobody has verified yet; raise PeerFault."""
        try:
            self._heights.now.check.require_proven(proof)
        except ProofInvalid as error:
            raise PeerFault(f"a proof of a fault: {error}") from None
        self.learn(proof)

    def note(self, seen: Equivocation) -> None:
        """Take what the driver saw: both messages were verified."""
        self.learn(proof_of(seen.first, seen.second))

    def learn(self, proof: FaultProof) -> None:
        """Keep verified evidence for the next block, and tell the others if it is news."""
        if proof.validator == self._key.public_key:
            self._key.stop("a proof that this node's key contradicted itself: a second node?")
        if self._pool.learn(proof):
            self._messenger.broadcast(FaultMessage(proof=proof))

    def waiting(self) -> tuple[FaultProof, ...]:
        """Return what the next block should carry."""
        return self._pool.waiting(self._ledger.may_record)
