"""Transactions: their envelope, their body and their id (spec X)."""

import re
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ledger.catalogue import KINDS
from ledger.encoding import codec
from ledger.encoding.codec import Hash, Natural, NotCanonical, PublicKey, Record, Signature
from ledger.encoding.crypto import frame, sha256
from ledger.inadmissible import KindUnknown
from ledger.rules.base import ENVELOPE_BYTES_MAX

SIGNATURES_MAX = 16
TRANSACTION_TAG = "tallystick/tx/v1"
_FRAMED_TAG = frame(TRANSACTION_TAG)
"""How a frame around a body begins (W2): the rest of it is the body after its length."""

KIND_NAME = re.compile(r"[a-z_]{1,32}\.[a-z_]{1,32}")
"""Form of every kind's name, known here or not (X1)."""

Operation = Record
"""What a transaction does: the record of one of the KINDS."""


class Body(Record, frozen=True):
    """What the signatures cover."""

    version: Literal[1]
    log_id: Hash
    expires_at: Natural
    """Block time in ms from which the transaction can no longer become final."""
    operation: Operation


class _Outline(Record, frozen=True):
    """A body whose operation is not decoded yet: its kind says how."""

    version: Literal[1]
    log_id: Hash
    expires_at: Natural
    operation: msgspec.Raw


_Known = msgspec.defstruct(
    "_Known",
    [
        ("version", Literal[1]),
        ("log_id", Hash),
        ("expires_at", Natural),
        ("operation", reduce(or_, [kind.record for kind in KINDS.values()])),
    ],
    bases=(Record,),
    frozen=True,
)
"""A body of a kind that this software knows: decoded in one go, as nearly all are."""


class Envelope(Record, frozen=True):
    """A signed body. Keys stand in strictly ascending order."""

    body: bytes
    signatures: Annotated[
        tuple[tuple[PublicKey, Signature], ...], Meta(min_length=1, max_length=SIGNATURES_MAX)
    ]


class Transaction(msgspec.Struct, frozen=True):
    """A decoded envelope."""

    raw: bytes
    """The envelope as received; hashes are taken of this, never of a re-encoding."""
    id: bytes
    body: Body
    body_bytes: bytes
    signatures: tuple[tuple[bytes, bytes], ...]
    digest: bytes
    """SHA-256 of the envelope; the id covers no signature, this does."""

    @property
    def kind(self) -> str:
        """Return the text name of the kind."""
        return kind_of(self.body.operation)

    @property
    def rows(self) -> int:
        """Return how many rows the transaction counts against a block's limit."""
        return KINDS[self.kind].rows(self.body.operation)


def bytes_max_of(operation: Operation) -> int:
    """Return how many bytes an envelope around an operation can have (X2)."""
    return KINDS[kind_of(operation)].bytes_max


def amount_of(operation: Operation) -> int:
    """Return the fen that an act is about, by which parameters may ask for more officers (R3.1)."""
    return KINDS[kind_of(operation)].amount(operation)


def kind_of(operation: Record) -> str:
    """Return the text name of an operation's kind."""
    return str(operation.__struct_config__.tag)


def transaction_id(body: bytes) -> bytes:
    """Return the tagged hash of a body, 32 bytes."""
    return sha256(signing_bytes(body))


def signing_bytes(body: bytes) -> bytes:
    """Return what each key signs: the framed body, not its hash."""
    return _FRAMED_TAG + len(body).to_bytes(4, "big") + body


def seal(body: bytes, signatures: dict[bytes, bytes]) -> bytes:
    """Return the envelope of a body and its signatures by key."""
    ordered = tuple((key, signatures[key]) for key in sorted(signatures))
    return codec.encode(Envelope(body=body, signatures=ordered))


def parse(raw: bytes) -> Transaction:
    """Return the transaction that an envelope holds.

    Raises NotCanonical, or KindUnknown if the form is right and only this software lacks the kind.
    Checks form only: neither signatures nor rules, nor whether a height's rules know the kind.
    """
    envelope: Envelope = codec.decode(Envelope, raw, ENVELOPE_BYTES_MAX)
    previous = b""
    for key, _ in envelope.signatures:
        if key <= previous:
            raise NotCanonical("signatures: keys are not in strictly ascending order")
        previous = key
    body = decode_body(envelope.body)
    bytes_max = bytes_max_of(body.operation)
    if len(raw) > bytes_max:
        raise NotCanonical(f"expected at most {bytes_max} bytes, got {len(raw)}")
    return Transaction(
        raw=raw,
        id=transaction_id(envelope.body),
        body=body,
        body_bytes=envelope.body,
        signatures=envelope.signatures,
        digest=sha256(raw),
    )


def decode_body(data: bytes) -> Body:
    """Return the body that its bytes hold; raise NotCanonical, or KindUnknown as ``parse``."""
    try:
        known: Any = codec.decode(_Known, data, ENVELOPE_BYTES_MAX)
    except NotCanonical:
        known = _decode_by_parts(data)  # it says what is wrong, and whether it is the kind
    if len(data) > codec.TEXT_BYTES_MAX:  # else no text in it can be too long
        _check_texts(known.operation, "operation")
    return Body(
        version=known.version,
        log_id=known.log_id,
        expires_at=known.expires_at,
        operation=known.operation,
    )


def _decode_by_parts(data: bytes) -> Body:
    outline: _Outline = codec.decode(_Outline, data, ENVELOPE_BYTES_MAX)
    operation = bytes(outline.operation)
    name = codec.name_in(operation, within="operation")
    kind = KINDS.get(name)
    if kind is None:
        codec.check_untyped(operation, nesting=codec.NESTING_MAX - 1)
        if not KIND_NAME.fullmatch(name):
            raise NotCanonical("operation: expected the name of a kind to begin with")
        raise KindUnknown(kind=name)
    return Body(
        version=outline.version,
        log_id=outline.log_id,
        expires_at=outline.expires_at,
        operation=codec.decode(kind.record, operation, ENVELOPE_BYTES_MAX, within="operation"),
    )


def _check_texts(value: object, within: str) -> None:
    """Raise NotCanonical on a text of too many bytes; nesting is bounded by the types."""
    if isinstance(value, str):
        codec.check_texts(value, within=within)
    elif isinstance(value, tuple):
        for position, item in enumerate(value):
            _check_texts(item, f"{within}.{position}")
    elif isinstance(value, Record):
        for name in value.__struct_fields__:
            _check_texts(getattr(value, name), f"{within}.{name}")
