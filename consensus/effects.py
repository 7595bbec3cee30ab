"""What a driver asks of its host. The order in the returned tuple is part of the contract.

The host performs effects strictly in order, and feeds back what they produce only after the whole
tuple is done. During the replay of a log it performs none of them: see spec E4.
"""

from dataclasses import dataclass

from consensus.certificate import Certificate
from consensus.inputs import Input, TimeoutKind
from consensus.messages import BlockId, OptionalBlockId, Proposal, Vote, VoteKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Append the input to the write-ahead log.

    Always first in its tuple. It must be durable before any SignVote, BuildProposal, Repropose,
    BroadcastProposal or Decide that follows is performed, in this tuple or a later one.
    """

    input: Input


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildProposal:
    """Build a block, sign a proposal for it without a valid round, feed it back (L18, L19)."""

    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repropose:
    """Sign a proposal for a known block with this valid round, feed it back (L16, L19)."""

    round: int
    block_id: BlockId
    valid_round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignVote:
    """Sign this vote and feed it back as VoteReceived, now or when the signer has answered."""

    kind: VoteKind
    round: int
    block_id: OptionalBlockId


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastProposal:
    """Send an own proposal and its block to all, once the Log before it is durable."""

    proposal: Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastVote:
    """Send an own vote to all. That it was signed is durable in the signer's record."""

    vote: Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleTimeout:
    """Feed TimeoutExpired of this kind and round back after ``after_ms``."""

    kind: TimeoutKind
    round: int
    after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """The height is decided: commit the block with its certificate (L51). The driver is done."""

    round: int
    block_id: BlockId
    certificate: Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class StopVoting:
    """A quorum precommitted a block that this node found invalid: its own state is suspect.

    The host must sign nothing more until an operator has looked. The driver is done.
    """

    round: int
    block_id: BlockId


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation:
    """Two conflicting messages of one key for the same height, round and kind.

    Reported at most once per key and kind in a height.
    """

    first: Vote | Proposal
    second: Vote | Proposal


Effect = (
    Log
    | BuildProposal
    | Repropose
    | SignVote
    | BroadcastProposal
    | BroadcastVote
    | ScheduleTimeout
    | Decide
    | StopVoting
    | Equivocation
)
