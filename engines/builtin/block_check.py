"""Whether a block may stand on what this node decided (spec N2–N4, N9, K).

A check is of one height and changes nothing; no clock and no network.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from consensus.certificate import Certificate, CertificateInvalid, verify_certificate
from consensus.evidence import Evidence, EvidenceInvalid, verify_evidence
from consensus.forks import ForkEvidence, fork_evidence
from consensus.messages import ValidatorKey
from consensus.validators import Validator, ValidatorSet
from engines.builtin import messages
from engines.builtin.evidence_pool import is_current
from engines.builtin.messages import Body, DecidedBlock, Header
from engines.builtin.p2p.frames import PeerFault
from engines.failures import BrokenOff, attempt
from engines.seam import PromiseBroken
from ledger.blocks import BlockInput, BlockRefused
from ledger.encoding import codec
from ledger.encoding.codec import NotCanonical, only
from ledger.execute import Execution, Verify
from ledger.ledger import Ledger
from ledger.rules.validators import ValidatorSetRecord

_LOGGER = logging.getLogger(__name__)

EMPTY_BLOCK_MS = 500
"""Least time between a block and one after it that changes nothing."""


class ForkSeen(PromiseBroken):
    """Two blocks of one height were decided: more than a third of the power broke the protocol."""

    def __init__(self, fork: ForkEvidence) -> None:
        word = "proven guilty" if fork.proven else "suspects"
        super().__init__(
            f"a fork: height {fork.first.height} has a certificate for block "
            f"{fork.first.block_id.hex()} and one for {fork.second.block_id.hex()}; "
            f"{word}: {' '.join(key.hex() for key in fork.named)}",
            evidence=codec.encode((fork.first, fork.second)),
        )
        self.fork = fork


def validator_set(record: ValidatorSetRecord) -> ValidatorSet:
    """Return the voters that a ledger's record of validators stands for."""
    voters = (
        Validator(key=ValidatorKey(validator.keys.consensus), power=validator.keys.power)
        for validator in record.validators
    )
    return ValidatorSet(validators=tuple(sorted(voters, key=lambda voter: voter.key)))


def is_idle(execution: Execution) -> bool:
    """Return whether a block logs neither an expiry nor a transaction: at most its own record."""
    return len(execution.entries) <= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCheck:
    """Checks the blocks of the height after the ledger's last."""

    ledger: Ledger
    log_id: bytes
    parent: bytes
    """Id of the last decided block."""
    previous: tuple[Certificate, ...]
    """Its certificate; none before the first block."""
    validators: ValidatorSet
    """Who decides this height."""
    has_verified: Callable[[Evidence], bool]
    """Tells which evidence needs no second check."""
    verify: Verify

    def execution(self, header: Header, data: bytes) -> Execution | None:
        """Return what a proposed block does, or None if it must not stand.

        Raises ForkSeen if it stands on another block than this node decided, and proves it.
        """
        head = self.ledger.last()
        if (header.log_id, header.epoch) != (self.log_id, messages.ENGINE_EPOCH):
            return None
        if header.height != head.height + 1:
            return None
        if header.parent != self.parent:
            self._look_for_fork(data)
            return None
        if not self.validators.power_of(ValidatorKey(header.proposer)):
            return None
        if messages.body_hash(messages.chunk_hashes(messages.chunks_of(data))) != header.body_hash:
            return None  # cut otherwise: nobody could offer or prove it again
        outcome = attempt(lambda: self._executed(header, data))
        if isinstance(outcome, BrokenOff):
            # Nobody's fault but ours: all who run this software say nil, and go on.
            _LOGGER.error("a proposed block cannot be executed", exc_info=outcome.error)
            return None
        execution = outcome
        if execution is None:
            return None
        if is_idle(execution) and header.time_ms < head.time_ms + EMPTY_BLOCK_MS:
            return None  # nobody may make the height run for nothing
        return execution if execution.head.record_hash == header.record_hash else None

    def _executed(self, header: Header, data: bytes) -> Execution | None:
        try:
            body = messages.decode_body(data)
            self._check_previous(body, header.height)
            self._check_evidence(body, header.height)
            return self.ledger.execute(_block_input(header, body))
        except (NotCanonical, CertificateInvalid, BlockRefused):
            return None

    def adopted(self, block: DecidedBlock) -> Execution:
        """Return what a block does that others decided; raise PeerFault if its proof fails.

        The certificate is checked in full. A mismatch after that is not the peer's fault: then
        this node's own state is wrong, and AssertionError stops it.
        """
        header, certificate = block.header, block.certificate
        block_id = messages.block_id(header)
        if (certificate.height, certificate.block_id) != (header.height, block_id):
            raise PeerFault("a synced certificate is of another block")
        if (header.log_id, header.epoch) != (self.log_id, messages.ENGINE_EPOCH):
            raise PeerFault("a synced block is of another log")
        if header.parent != self.parent:
            # First: on the other branch of a fork another set may decide this height.
            self._look_for_fork(block.body)
        hashes = messages.chunk_hashes(messages.chunks_of(block.body))
        if messages.body_hash(hashes) != header.body_hash:
            raise PeerFault("a synced body is not what its header names")
        try:
            self._verify_certificate(certificate, self.validators)
        except CertificateInvalid as error:
            raise PeerFault(f"a synced certificate: {error}") from None
        execution = self.execution(header, block.body)
        if execution is None:
            raise AssertionError(f"certified block {header.height} does not hold on this state")
        return execution

    def require_proven(self, evidence: Evidence) -> None:
        """Raise EvidenceInvalid unless evidence holds."""
        if not self.has_verified(evidence):
            verify_evidence(evidence, self.log_id, messages.ENGINE_EPOCH, self.verify)

    def _check_evidence(self, body: Body, height: int) -> None:
        """Raise BlockRefused unless all evidence that a body carries holds and is current."""
        for evidence in body.evidence:
            if not is_current(evidence, height):
                raise BlockRefused(f"misbehaviour of height {evidence.height}")
            try:
                self.require_proven(evidence)
            except EvidenceInvalid as error:
                raise BlockRefused(f"evidence: {error}") from None

    def _check_previous(self, body: Body, height: int) -> None:
        """Raise CertificateInvalid unless a body carries the certificate of its parent."""
        if not self.previous:
            if body.previous:
                raise CertificateInvalid("the first block has no parent to certify")
            return
        carried = only(body.previous)
        if carried is None or carried.block_id != self.parent:
            raise CertificateInvalid("a block carries the certificate of its parent")
        if body.previous == self.previous:
            return
        if carried.height != height - 1:
            raise CertificateInvalid("a certificate of another height")
        self._verify_certificate(carried, self._set_at(height - 1))

    def _look_for_fork(self, data: bytes) -> None:
        """Raise ForkSeen if a block builds on another one than was decided here, and proves it."""
        try:
            body = messages.decode_body(data)
        except NotCanonical:
            return
        ours, theirs = only(self.previous), only(body.previous)
        if ours is None or theirs is None or theirs.height != ours.height:
            return
        validators = self._set_at(ours.height)
        try:
            self._verify_certificate(theirs, validators)
        except CertificateInvalid:
            return
        fork = fork_evidence(ours, theirs, validators)
        if fork is not None:
            raise ForkSeen(fork)

    def _set_at(self, height: int) -> ValidatorSet:
        return validator_set(self.ledger.validators(height))

    def _verify_certificate(self, certificate: Certificate, validators: ValidatorSet) -> None:
        verify_certificate(certificate, validators, self.log_id, messages.ENGINE_EPOCH, self.verify)


def _block_input(header: Header, body: Body) -> BlockInput:
    return BlockInput(
        height=header.height,
        time_ms=header.time_ms,
        transactions=body.transactions,
        misbehaviours=tuple(map(messages.misbehaviour_of, body.evidence)),
    )
