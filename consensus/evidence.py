"""Evidence of equivocation: a validator said two things at one place of a height (spec D).

Anybody can check it with the validator's key alone. An honest key never made one: its signer keeps
what it signed last, and refuses to sign anything else at the same height, round and step.
"""

from typing import Literal

from consensus.certificate import Verify
from consensus.messages import (
    OptionalBlockId,
    OptionalRound,
    Proposal,
    Round,
    ValidatorKeyBytes,
    Vote,
    VoteKind,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from ledger.encoding.codec import Natural, Record, Signature, encode, only
from ledger.encoding.crypto import tagged_hash

EVIDENCE_BYTES_MAX = 512
"""Longest encoding."""

EvidenceKind = Literal["proposal", "prevote", "precommit"]


class Said(Record, frozen=True, kw_only=True):
    """One of the two messages: what it says beyond its place, and its signature."""

    block_id: OptionalBlockId
    valid_round: OptionalRound
    """Of a proposal; empty for a vote."""
    signature: Signature


class Evidence(Record, frozen=True, kw_only=True):
    """Two contradicting messages of one key and kind, for one height and round."""

    validator: ValidatorKeyBytes
    height: Natural
    kind: EvidenceKind
    round: Round
    said: tuple[Said, Said]
    """Ascending by block id and valid round, so that two messages make one evidence only."""


class EvidenceInvalid(ValueError):
    """Evidence does not show that its validator misbehaved."""


def evidence_of(first: Vote | Proposal, second: Vote | Proposal) -> Evidence:
    """Return what two verified messages prove; they differ in what they say alone."""
    kind: EvidenceKind = "proposal" if isinstance(first, Proposal) else _kind(first.kind)
    lower, higher = sorted((_said(first), _said(second)), key=_order)
    return Evidence(
        validator=first.validator,
        height=first.height,
        kind=kind,
        round=first.round,
        said=(lower, higher),
    )


def verify_evidence(evidence: Evidence, log_id: bytes, epoch: int, verify: Verify) -> None:
    """Raise EvidenceInvalid unless both messages are signed and say different things."""
    lower, higher = evidence.said
    if not _order(lower) < _order(higher):
        raise EvidenceInvalid("what was said is not two different things in ascending order")
    for said in evidence.said:
        if not verify(evidence.validator, _message(evidence, said, log_id, epoch), said.signature):
            raise EvidenceInvalid(f"bad signature of {evidence.validator.hex()}")


def evidence_hash(evidence: Evidence) -> bytes:
    """Return the name by which a record of the log mentions evidence."""
    return tagged_hash("tallystick/evidence/v1", encode(evidence))


def _message(evidence: Evidence, said: Said, log_id: bytes, epoch: int) -> bytes:
    height, round_ = evidence.height, evidence.round
    if evidence.kind != "proposal":
        if said.valid_round:
            raise EvidenceInvalid("a vote has no valid round")
        kind = VoteKind(evidence.kind)
        return vote_sign_bytes(log_id, epoch, kind, height, round_, said.block_id)
    block_id = only(said.block_id)
    if block_id is None:
        raise EvidenceInvalid("a proposal names a block")
    return proposal_sign_bytes(log_id, epoch, height, round_, said.valid_round, block_id)


def _said(message: Vote | Proposal) -> Said:
    if isinstance(message, Proposal):
        return Said(
            block_id=(message.block_id,),
            valid_round=message.valid_round,
            signature=message.signature,
        )
    return Said(block_id=message.block_id, valid_round=(), signature=message.signature)


def _kind(kind: VoteKind) -> Literal["prevote", "precommit"]:
    return "prevote" if kind is VoteKind.PREVOTE else "precommit"


def _order(said: Said) -> tuple[OptionalBlockId, OptionalRound]:
    return (said.block_id, said.valid_round)
