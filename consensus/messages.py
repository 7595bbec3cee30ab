"""What validators say to each other: votes and proposals, and the bytes they sign (spec M1-M4)."""

from enum import StrEnum
from typing import Annotated, NewType

from msgspec import Meta

from ledger.encoding.codec import AtMostOne, Hash, Natural, Record, Signature, encode
from ledger.encoding.crypto import frame

BlockId = NewType("BlockId", bytes)
"""Names a block, 32 bytes. The engine compares ids and never looks inside a block."""
ValidatorKey = NewType("ValidatorKey", bytes)
"""A validator's Ed25519 public key for votes and proposals, 32 bytes."""

ROUND_MAX = 2**31 - 1
"""Largest round of a height."""
HEADER_BYTES_MAX = 1024
"""Longest engine header in a proposal; the engine carries it unread."""
CHUNKS_MAX = 48
"""Most chunks a proposed block comes in."""
VOTE_BYTES_MAX = 4096
"""Longest encoded vote."""
PROPOSAL_BYTES_MAX = 4096
"""Longest encoded proposal, without its chunks."""

Round = Annotated[int, Meta(ge=0, le=ROUND_MAX)]
OptionalRound = AtMostOne[Round]
"""``()`` is the paper's -1, ``(r,)`` is round r."""
BlockIdBytes = Annotated[BlockId, Meta(min_length=32, max_length=32)]
OptionalBlockId = AtMostOne[BlockIdBytes]
"""``()`` is the paper's nil, ``(v,)`` is the block v."""
ValidatorKeyBytes = Annotated[ValidatorKey, Meta(min_length=32, max_length=32)]

NIL: OptionalBlockId = ()
"""A vote for no block."""


class VoteKind(StrEnum):
    """The two votes of a round."""

    PREVOTE = "prevote"
    PRECOMMIT = "precommit"


class Vote(Record, frozen=True, kw_only=True):
    """One validator's prevote or precommit in one round."""

    kind: VoteKind
    height: Natural
    round: Round
    block_id: OptionalBlockId
    validator: ValidatorKeyBytes
    """Who votes. The signature does not cover it: only this key can have made the signature."""
    signature: Signature
    """Over ``vote_sign_bytes``."""


class Proposal(Record, frozen=True, kw_only=True):
    """The proposer's block for one round; the chunks of the block travel beside it."""

    height: Natural
    round: Round
    valid_round: OptionalRound
    """The earlier round in which the block had a polka, if it is proposed again (L19)."""
    block_id: BlockIdBytes
    validator: ValidatorKeyBytes
    header: Annotated[bytes, Meta(max_length=HEADER_BYTES_MAX)]
    """The engine header, opaque here. The node checks that ``block_id`` is its hash."""
    chunk_hashes: Annotated[tuple[Hash, ...], Meta(max_length=CHUNKS_MAX)]
    """Hashes of the chunks in order. The node checks that the header covers them."""
    signature: Signature
    """Over ``proposal_sign_bytes``."""


class _SignedVote(Record, frozen=True, kw_only=True):
    """What a vote's signature covers (M2)."""

    log_id: bytes
    epoch: int
    kind: VoteKind
    height: int
    round: int
    block_id: OptionalBlockId


class _SignedProposal(Record, frozen=True, kw_only=True):
    """What a proposal's signature covers (M3)."""

    log_id: bytes
    epoch: int
    height: int
    round: int
    valid_round: OptionalRound
    block_id: BlockId


def vote_sign_bytes(
    log_id: bytes,
    epoch: int,
    kind: VoteKind,
    height: int,
    round: int,
    block_id: OptionalBlockId,
) -> bytes:
    """Return the message a validator signs for a vote (M2).

    ``log_id`` is the log's 32-byte identity and ``epoch`` counts changes of engine, so that a vote
    can be used in no other network and under no other engine.
    """
    signed = _SignedVote(
        log_id=log_id, epoch=epoch, kind=kind, height=height, round=round, block_id=block_id
    )
    return frame("tallystick/vote/v1", encode(signed))


def proposal_sign_bytes(
    log_id: bytes,
    epoch: int,
    height: int,
    round: int,
    valid_round: OptionalRound,
    block_id: BlockId,
) -> bytes:
    """Return the message a proposer signs (M3).

    Header and chunk hashes are covered through the block id, which is the header's hash.
    """
    signed = _SignedProposal(
        log_id=log_id,
        epoch=epoch,
        height=height,
        round=round,
        valid_round=valid_round,
        block_id=block_id,
    )
    return frame("tallystick/proposal/v1", encode(signed))
