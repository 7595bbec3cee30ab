"""What can happen to a driver. The write-ahead log stores these values, so they have bytes."""

from enum import StrEnum

from consensus.messages import Proposal, Round, Vote
from ledger.encoding.codec import Record


class TimeoutKind(StrEnum):
    """The three timers of a round."""

    PROPOSE = "propose"
    PREVOTE = "prevote"
    PRECOMMIT = "precommit"


class WorkArrived(Record, frozen=True, kw_only=True, tag="work"):
    """Something waits to be put into a block, or a heartbeat is due: round 0 may start (L10)."""


class ProposalReceived(Record, frozen=True, kw_only=True, tag="proposal"):
    """A proposal is here with its whole block, own proposals included.

    The host feeds it only after the signature is verified, the chunks are complete and the block
    was executed. Both verdicts are stored with it, so that a replay decides as the node did, or is
    seen not to (node.md N6.5).
    """

    proposal: Proposal
    valid: bool
    """The block is acceptable. All correct validators agree on this: the paper's valid(v)."""
    timely: bool
    """The block's time was near this node's clock at first receipt; correct validators may differ.

    It decides only the prevote for a fresh proposal (L23). Were it part of ``valid``, a node with
    a slow clock could not accept what the others have decided (L36, L50).
    """


class VoteReceived(Record, frozen=True, kw_only=True, tag="vote"):
    """A vote is here, own votes included. The host has verified its signature."""

    vote: Vote


class TimeoutExpired(Record, frozen=True, kw_only=True, tag="timeout"):
    """A timer asked for by ScheduleTimeout ran out."""

    kind: TimeoutKind
    round: Round


Input = WorkArrived | ProposalReceived | VoteReceived | TimeoutExpired
