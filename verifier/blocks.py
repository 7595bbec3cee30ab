"""What stands in genesis, entries, envelopes and commits (blocks.md, transactions.md, node.md)."""

from itertools import pairwise
from typing import Any, NamedTuple

from verifier.kinds import (
    MEMBER,
    OPERATION,
    PARAMETERS,
    TRANSACTIONS_MAX,
    VALIDATORS_MAX,
    rows_of,
)
from verifier.wire import (
    Malformed,
    binary,
    decode,
    encode,
    fields,
    frame,
    hash32,
    integer,
    many,
    named,
    natural,
    optional,
    positive,
    programme_id,
    signature,
    slug,
    tagged_hash,
    text,
    word,
)

GENESIS_BYTES_MAX = 60_000
ENTRY_BYTES_MAX = 65_535
ENVELOPE_BYTES_MAX = 16_384
MINT_BYTES_MAX = 60_000
MISBEHAVIOURS_MAX = 64
ROUND_MAX = 2**31 - 1
COMMIT_BYTES_MAX = 69_632
"""A3."""
ENTRIES_MAX = TRANSACTIONS_MAX + 2
"""Of one block: the automatic entry, its transactions, the closing entry."""
LAST_MOMENT_MS = 253_370_735_999_999
"""R2.5."""
CLOSING = b"\x92\xa5block"
"""How a closing entry begins: an array of two, and its kind."""


class Genesis(NamedTuple):
    """G1."""

    version: int
    network: str
    time_ms: int
    members: tuple[Any, ...]
    parameters: tuple[Any, ...]


class Record(NamedTuple):
    """B4; it closes a block."""

    version: int
    log_id: bytes
    height: int
    time_ms: int
    previous: bytes
    transactions_root: bytes
    changes_root: bytes
    state_root: tuple[tuple[bytes, int], ...]
    """``[[root, height]]?`` (B7)."""
    log_size: int
    log_root: bytes
    validators_hash: bytes
    parameters_hash: bytes
    rules_version: int
    misbehaviours: tuple[tuple[bytes, str, int, bytes], ...]
    """Validator key, kind, height, name of the evidence."""

    def record_hash(self) -> bytes:
        """Return the record hash after this record (B5); its canonical bytes are those received."""
        return tagged_hash("tallystick/record/v1", encode(self))


class Entry(NamedTuple):
    """A log entry of any kind but the closing one (L1)."""

    kind: str
    content: bytes = b""
    """Genesis or an envelope; empty in an automatic entry."""
    postings: tuple[Any, ...] = ()


class Transaction(NamedTuple):
    """A signed transaction (X1, X2)."""

    log_id: bytes
    expires_at: int
    operation: tuple[Any, ...]
    """Kind and fields."""
    id: bytes
    body: bytes
    signatures: tuple[tuple[bytes, bytes], ...]
    """Key and signature, keys ascending."""

    def signed(self) -> bytes:
        """Return what each key signs (X3)."""
        return frame(TRANSACTION_TAG, self.body)

    def rows(self) -> int:
        """Return how many rows it counts in a block (B3.3)."""
        return rows_of(self.operation)


class Header(NamedTuple):
    """N1; the block id is its hash."""

    version: int
    log_id: bytes
    epoch: int
    height: int
    time_ms: int
    proposer: bytes
    parent: bytes
    record_hash: bytes
    body_hash: bytes

    def block_id(self) -> bytes:
        """Return the hash that votes name (N1.2)."""
        return tagged_hash("tallystick/header/v1", encode(self))


class Certificate(NamedTuple):
    """K1."""

    height: int
    round: int
    block_id: bytes
    signatures: tuple[tuple[bytes, bytes], ...]


class Commit(NamedTuple):
    """N4.1."""

    header: Header
    certificate: Certificate
    previous: tuple[Certificate, ...]
    """Of the height before; none in the first block."""
    evidence: tuple[tuple[Any, ...], ...]
    """Of the misbehaviours that the record names (D2)."""


TRANSACTION_TAG = "tallystick/tx/v1"

_GENESIS = fields(
    version=integer(1, 1),
    network=slug,
    time_ms=natural,
    members=many(MEMBER, 1, 256),
    parameters=PARAMETERS,
)
_POSTING = fields(
    kind=word("mint", "transfer", "burn", "move"),
    programme=programme_id,
    serial=natural,
    count=natural,
    amount=natural,
    source=text,
    target=text,
)
_POSTINGS = many(_POSTING, 0, ENTRY_BYTES_MAX)
_SAID_KINDS = word("proposal", "prevote", "precommit")
_RECORD = fields(
    version=integer(1, 1),
    log_id=hash32,
    height=positive,
    time_ms=natural,
    previous=hash32,
    transactions_root=hash32,
    changes_root=hash32,
    state_root=optional(fields(root=hash32, height=natural)),
    log_size=natural,
    log_root=hash32,
    validators_hash=hash32,
    parameters_hash=hash32,
    rules_version=natural,
    misbehaviours=many(
        fields(key=hash32, kind=_SAID_KINDS, height=natural, evidence=hash32), 0, MISBEHAVIOURS_MAX
    ),
)


_ENTRY = named(
    {
        "genesis": fields(genesis=binary(1, GENESIS_BYTES_MAX)),
        "automatic": fields(postings=_POSTINGS),
        "transaction": fields(envelope=binary(1, MINT_BYTES_MAX), postings=_POSTINGS),
    }
)
_CLOSING_ENTRY = named({"block": fields(record=_RECORD)})
_PAIR = fields(key=hash32, signature=signature)
_ENVELOPE = fields(body=binary(1, MINT_BYTES_MAX), signatures=many(_PAIR, 1, 16))
_BODY = fields(version=integer(1, 1), log_id=hash32, expires_at=natural, operation=OPERATION)
_HEADER = fields(
    version=integer(1, 1),
    log_id=hash32,
    epoch=natural,
    height=positive,
    time_ms=natural,
    proposer=hash32,
    parent=hash32,
    record_hash=hash32,
    body_hash=hash32,
)
_CERTIFICATE = fields(
    height=natural,
    round=integer(0, ROUND_MAX),
    block_id=hash32,
    signatures=many(_PAIR, 1, VALIDATORS_MAX),
)
_SAID = fields(
    block=optional(hash32), valid_round=optional(integer(0, ROUND_MAX)), signature=signature
)
_EVIDENCE = fields(
    key=hash32,
    height=natural,
    kind=_SAID_KINDS,
    round=integer(0, ROUND_MAX),
    said=many(_SAID, 2, 2),
)
_COMMIT = fields(
    header=_HEADER,
    certificate=_CERTIFICATE,
    previous=optional(_CERTIFICATE),
    evidence=many(_EVIDENCE, 0, MISBEHAVIOURS_MAX),
)


def decode_genesis(data: bytes) -> Genesis:
    """Return genesis; raise Malformed."""
    return Genesis(*decode(data, _GENESIS, bytes_max=GENESIS_BYTES_MAX))


def decode_entry(data: bytes) -> Entry:
    """Return an entry that closes no block; raise Malformed."""
    kind, *values = decode(data, _ENTRY, bytes_max=ENTRY_BYTES_MAX)
    return Entry(kind, b"", *values) if kind == "automatic" else Entry(kind, *values)


def decode_closing(data: bytes) -> Record:
    """Return the record of a closing entry; raise Malformed."""
    _, record = decode(data, _CLOSING_ENTRY, bytes_max=ENTRY_BYTES_MAX)
    return Record(*record)


def decode_transaction(envelope: bytes) -> Transaction:
    """Return the transaction in an envelope; raise Malformed."""
    body, signatures = decode(envelope, _ENVELOPE, bytes_max=MINT_BYTES_MAX)
    _, log_id, expires_at, operation = decode(body, _BODY, bytes_max=MINT_BYTES_MAX)
    if len(envelope) > ENVELOPE_BYTES_MAX and operation[0] != "voucher.mint":
        raise Malformed(f"{len(envelope)} bytes, at most {ENVELOPE_BYTES_MAX} are allowed")
    if not is_ascending([key for key, _ in signatures]):
        raise Malformed("keys do not ascend", "signatures")
    return Transaction(
        log_id=log_id,
        expires_at=expires_at,
        operation=operation,
        id=tagged_hash(TRANSACTION_TAG, body),
        body=body,
        signatures=signatures,
    )


def decode_commit(data: bytes) -> Commit:
    """Return what the engine stored beside a block; raise Malformed."""
    header, certificate, previous, evidence = decode(data, _COMMIT, bytes_max=COMMIT_BYTES_MAX)
    return Commit(
        header=Header(*header),
        certificate=Certificate(*certificate),
        previous=tuple(Certificate(*fields) for fields in previous),
        evidence=evidence,
    )


def is_ascending(values: list[Any]) -> bool:
    """Return whether each value is greater than the one before."""
    return all(low < high for low, high in pairwise(values))
