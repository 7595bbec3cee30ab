"""What nodes say to each other beside votes, and what they keep of a block (spec N1 to N4)."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from consensus.certificate import CERTIFICATE_BYTES_MAX, Certificate
from consensus.evidence import EVIDENCE_BYTES_MAX, Evidence, evidence_hash
from consensus.inputs import Input
from consensus.messages import CHUNKS_MAX, BlockId, Proposal, Vote
from engines.builtin.p2p.frames import MESSAGE_BYTES_MAX, Channel, PeerFault
from ledger.blocks import BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, MISBEHAVIOURS_MAX, Misbehaviour
from ledger.encoding import codec
from ledger.encoding.codec import AtMostOne, Hash, Natural, NotCanonical, PublicKey, Record
from ledger.encoding.crypto import sha256, tagged_hash
from ledger.rules.base import ENVELOPE_BYTES_MAX

CHUNK_BYTES = 60_000
"""Every chunk of a body but the last has this size."""
BODY_BYTES_MAX = CHUNKS_MAX * CHUNK_BYTES
SYNC_BLOCKS_MAX = 64
SYNC_BYTES_MAX = 4 * 1024 * 1024
"""A sync answer stops growing here; one block always fits."""
BATCH_BYTES_MAX = BLOCK_BYTES_MAX
COMMIT_BYTES_MAX = 2 * CERTIFICATE_BYTES_MAX + MISBEHAVIOURS_MAX * EVIDENCE_BYTES_MAX + 4096
ENGINE_EPOCH = 0
NO_BLOCK = bytes(32)
"""Parent of the first block."""


class Header(Record, frozen=True):
    """What the built-in engine decides on; its tagged hash is the block id."""

    version: Literal[1]
    log_id: Hash
    epoch: Natural
    height: Natural
    time_ms: Natural
    proposer: PublicKey
    """Who built the block; in a later round another validator may propose it again."""
    parent: Hash
    """Block id of the height before."""
    record_hash: Hash
    """Record hash after this block."""
    body_hash: Hash
    """Tagged hash of the chunk hashes."""


class Body(Record, frozen=True):
    """What a block carries."""

    transactions: Annotated[tuple[bytes, ...], Meta(max_length=BLOCK_TRANSACTIONS_MAX)]
    evidence: Annotated[tuple[Evidence, ...], Meta(max_length=MISBEHAVIOURS_MAX)]
    """Ascending by key, height and kind; none that stands on the log (N9)."""
    previous: AtMostOne[Certificate]
    """The certificate of the height before; none in the first block."""


class StoredCommit(Record, frozen=True):
    """What the engine stores beside a block of the log."""

    header: Header
    certificate: Certificate
    previous: AtMostOne[Certificate]
    evidence: Annotated[tuple[Evidence, ...], Meta(max_length=MISBEHAVIOURS_MAX)]
    """Both as the block carried them, so that its body can be made again."""


def misbehaviour_of(evidence: Evidence) -> Misbehaviour:
    """Return what the record of the log says of what is proven."""
    return Misbehaviour(
        validator=evidence.validator,
        kind=evidence.kind,
        height=evidence.height,
        evidence=evidence_hash(evidence),
    )


def block_id(header: Header) -> BlockId:
    """Return the id that votes name."""
    return BlockId(tagged_hash("tallystick/header/v1", codec.encode(header)))


def chunks_of(body: bytes) -> tuple[bytes, ...]:
    """Return a body cut into chunks."""
    return tuple(body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES))


def chunk_hashes(chunks: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the hash of each chunk."""
    return tuple(sha256(chunk) for chunk in chunks)


def body_hash(hashes: tuple[bytes, ...]) -> bytes:
    """Return what a header says of the body with these chunk hashes."""
    return tagged_hash("tallystick/body/v1", *hashes)


# On the vote channel


class VoteMessage(Record, frozen=True, tag="vote"):
    """A vote."""

    vote: Vote


class Here(Record, frozen=True, tag="here"):
    """Where the sender is; asks for what the receiver knows beyond that."""

    height: Natural
    """The height being decided."""
    round: Natural


class EvidenceMessage(Record, frozen=True, tag="evidence"):
    """A validator contradicted itself."""

    evidence: Evidence


# On the block channel


class ProposalMessage(Record, frozen=True, tag="proposal"):
    """A proposal; its chunks follow, or are asked for."""

    proposal: Proposal


class Chunk(Record, frozen=True, tag="chunk"):
    """A piece of a proposed body."""

    height: Natural
    block_id: Hash
    index: Annotated[int, Meta(ge=0, lt=CHUNKS_MAX)]
    data: Annotated[bytes, Meta(min_length=1, max_length=CHUNK_BYTES)]


class WantChunks(Record, frozen=True, tag="want"):
    """Ask for the chunks of a proposed block."""

    height: Natural
    block_id: Hash


# On the transactions channel


class Batch(Record, frozen=True, tag="batch"):
    """Envelopes that the sender took in from its own clients."""

    envelopes: Annotated[
        tuple[Annotated[bytes, Meta(max_length=ENVELOPE_BYTES_MAX)], ...],
        Meta(min_length=1, max_length=BLOCK_TRANSACTIONS_MAX),
    ]


# On the sync channel


class Ask(Record, frozen=True, tag="ask"):
    """Ask for decided blocks from a height on."""

    from_height: Natural


class DecidedBlock(Record, frozen=True):
    """A block with the proof that it was decided."""

    header: Header
    certificate: Certificate
    body: Annotated[bytes, Meta(max_length=BODY_BYTES_MAX)]


class Blocks(Record, frozen=True, tag="blocks"):
    """Decided blocks, consecutive."""

    blocks: Annotated[tuple[DecidedBlock, ...], Meta(max_length=SYNC_BLOCKS_MAX)]


OnVoteChannel = VoteMessage | Here | EvidenceMessage
OnBlockChannel = ProposalMessage | Chunk | WantChunks
OnTransactionsChannel = Batch
OnSyncChannel = Ask | Blocks
Message = OnVoteChannel | OnBlockChannel | OnTransactionsChannel | OnSyncChannel

_CHANNELS: dict[type[Record], Channel] = {
    **dict.fromkeys((VoteMessage, Here, EvidenceMessage), Channel.VOTE),
    **dict.fromkeys((ProposalMessage, Chunk, WantChunks), Channel.BLOCK),
    Batch: Channel.TRANSACTIONS,
    **dict.fromkeys((Ask, Blocks), Channel.SYNC),
}
_ON_CHANNEL: dict[Channel, Any] = {
    Channel.VOTE: OnVoteChannel,
    Channel.BLOCK: OnBlockChannel,
    Channel.TRANSACTIONS: OnTransactionsChannel,
    Channel.SYNC: OnSyncChannel,
}


def channel_of(message: Message) -> Channel:
    """Return the channel that a message goes by."""
    return _CHANNELS[type(message)]


def decode_message(channel: Channel, payload: bytes) -> Message:
    """Return what came on a channel; raise PeerFault."""
    if channel not in _ON_CHANNEL:
        raise PeerFault(f"channel {channel.name} is not for the engine")
    try:
        message: Message = codec.decode(_ON_CHANNEL[channel], payload, MESSAGE_BYTES_MAX[channel])
    except NotCanonical as error:
        raise PeerFault(f"malformed {channel.name.lower()} message: {error}") from None
    return message


class LoggedInput(Record, frozen=True):
    """A record of the write-ahead log: an input, and the body that came with a proposal."""

    input: Input
    body: AtMostOne[bytes]


def decode_body(data: bytes) -> Body:
    """Return a body; raise NotCanonical."""
    body: Body = codec.decode(Body, data, BODY_BYTES_MAX)
    return body


def decode_header(data: bytes) -> Header:
    """Return a header; raise NotCanonical."""
    header: Header = codec.decode(Header, data, 1024)
    return header


def decode_commit(data: bytes) -> StoredCommit:
    """Return what the engine stored with a block; raise NotCanonical."""
    commit: StoredCommit = codec.decode(StoredCommit, data, COMMIT_BYTES_MAX)
    return commit
