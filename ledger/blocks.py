"""What a block says, free of the engine that ordered it (spec B)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ledger.encoding.codec import AtMostOne, Hash, Natural, PublicKey, Record, encode
from ledger.encoding.crypto import tagged_hash

BLOCK_BYTES_MAX = 2 * 1024 * 1024
BLOCK_TRANSACTIONS_MAX = 4_000
BLOCK_ROWS_MAX = 8_000
BLOCK_EXPIRIES_MAX = 256
MISBEHAVIOURS_MAX = 64
RULES_VERSION = 1


class Misbehaviour(Record, frozen=True):
    """A validator that signed two contradicting messages."""

    validator: PublicKey
    kind: Literal["proposal", "prevote", "precommit"]
    height: Natural
    evidence: Hash
    """Names the evidence that the engine keeps beside the log."""


class StateRoot(Record, frozen=True):
    """Root of the state tree as of a height."""

    root: Hash
    height: Natural


class BlockRecord(Record, frozen=True):
    """The closing log entry of a block; its hash is the record hash."""

    version: Literal[1]
    log_id: Hash
    height: Natural
    time_ms: Natural
    previous: Hash
    """Hash of the previous record; the log id before the first."""
    transactions_root: Hash
    """RFC 6962 root over the envelopes as received."""
    changes_root: Hash
    """RFC 6962 root over the written records, by key."""
    state_root: AtMostOne[StateRoot]
    log_size: Natural
    """Entries through the block's last transaction, before this one."""
    log_root: Hash
    validators_hash: Hash
    """Of the set that acts at height + 2."""
    parameters_hash: Hash
    rules_version: Natural
    misbehaviours: Annotated[tuple[Misbehaviour, ...], Meta(max_length=MISBEHAVIOURS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockInput:
    """What an engine decided: nothing in it is an engine's own choice of form."""

    height: int
    time_ms: int
    transactions: tuple[bytes, ...]
    """Envelopes as received, in order."""
    misbehaviours: tuple[Misbehaviour, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a proposer may put into a block."""

    bytes_max: int = BLOCK_BYTES_MAX
    transactions_max: int = BLOCK_TRANSACTIONS_MAX
    rows_max: int = BLOCK_ROWS_MAX


class BlockRefused(Exception):
    """A whole block is not acceptable; an honest proposer never makes one."""

    def __init__(self, sentence: str, *, position: int | None = None) -> None:
        super().__init__(sentence)
        self.position = position
        """Which of the block's transactions is why, if it is one."""


def record_hash_of(record: BlockRecord) -> bytes:
    """Return the record hash that a record stands for."""
    return tagged_hash("tallystick/record/v1", encode(record))
