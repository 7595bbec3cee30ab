"""Evidence of misbehaviour on its way in, and on to the others (spec N9)."""

from consensus.effects import Equivocation
from consensus.evidence import Evidence, EvidenceInvalid, evidence_of
from engines.builtin import messages
from engines.builtin.evidence_pool import EvidencePool, is_current
from engines.builtin.height import Heights
from engines.builtin.messages import EvidenceMessage
from engines.builtin.own_key import OwnKey
from engines.builtin.p2p.frames import PeerFault
from engines.builtin.ports import Messenger
from ledger.ledger import Ledger


class EvidenceDesk:
    """Verifies evidence, keeps it for the next block, and tells the others once."""

    def __init__(
        self,
        pool: EvidencePool,
        heights: Heights,
        key: OwnKey,
        ledger: Ledger,
        messenger: Messenger,
    ) -> None:
        self._pool = pool
        self._heights = heights
        self._key = key
        self._ledger = ledger
        self._messenger = messenger

    def on_evidence(self, evidence: Evidence) -> None:
        """Take a peer's evidence; raise PeerFault if it proves nothing."""
        if not is_current(evidence, self._heights.number) or self._pool.knows(evidence):
            return
        if self._ledger.may_record(messages.misbehaviour_of(evidence)):
            self.take(evidence)

    def take(self, evidence: Evidence) -> None:
        """Take evidence that nobody has verified yet; raise PeerFault."""
        try:
            self._heights.now.check.require_proven(evidence)
        except EvidenceInvalid as error:
            raise PeerFault(f"evidence of misbehaviour: {error}") from None
        self.learn(evidence)

    def note(self, seen: Equivocation) -> None:
        """Take what the driver saw: both messages were verified."""
        self.learn(evidence_of(seen.first, seen.second))

    def learn(self, evidence: Evidence) -> None:
        """Keep verified evidence for the next block, and tell the others if it is news."""
        if evidence.validator == self._key.public_key:
            self._key.stop("evidence that this node's key contradicted itself: a second node?")
        if self._pool.learn(evidence):
            self._messenger.broadcast(EvidenceMessage(evidence=evidence))

    def waiting(self) -> tuple[Evidence, ...]:
        """Return what the next block should carry."""
        return self._pool.waiting(self._ledger.may_record)
