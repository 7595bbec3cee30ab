"""Transactions: the union of all kinds, their envelope and their id (spec X)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ledger.encoding import codec
from ledger.encoding.codec import Hash, Natural, NotCanonical, PublicKey, Record, Signature
from ledger.encoding.crypto import frame, sha256, tagged_hash
from ledger.rules import centres, claims, parties, programmes, vouchers
from ledger.rules.base import Context, Outcome
from ledger.view import StateView

TRANSACTION_BYTES_MAX = 16 * 1024
MINT_BYTES_MAX = 60_000
SIGNATURES_MAX = 16
TAG = "tallystick/tx/v1"

Operation = (
    parties.Enrol
    | parties.Attest
    | programmes.Publish
    | programmes.Appropriate
    | centres.Accredit
    | centres.Recognise
    | vouchers.Mint
    | vouchers.Transfer
    | claims.Redeem
)

Rule = Callable[[StateView, Any, Context], Outcome]

RULES: dict[type[Record], Rule] = {
    parties.Enrol: parties.apply_enrol,
    parties.Attest: parties.apply_attest,
    programmes.Publish: programmes.apply_publish,
    programmes.Appropriate: programmes.apply_appropriate,
    centres.Accredit: centres.apply_accredit,
    centres.Recognise: centres.apply_recognise,
    vouchers.Mint: vouchers.apply_mint,
    vouchers.Transfer: vouchers.apply_transfer,
    claims.Redeem: claims.apply_redeem,
}
"""The rule of every kind."""

_LONG_TEXTS = (parties.Enrol, parties.Attest, programmes.Publish)
"""Kinds with free text, whose length in bytes the type alone does not bound."""


class Body(Record, frozen=True):
    """What the signatures cover."""

    version: Literal[1]
    log_id: Hash
    expires_at: Natural
    """Block time in ms from which the transaction can no longer become final."""
    operation: Operation


class Envelope(Record, frozen=True):
    """A signed body. Keys stand in strictly ascending order."""

    body: bytes
    signatures: Annotated[
        tuple[tuple[PublicKey, Signature], ...], Meta(min_length=1, max_length=SIGNATURES_MAX)
    ]


@dataclass(frozen=True, slots=True)
class Transaction:
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
        match self.body.operation:
            case vouchers.Mint(rows=rows):
                return len(rows)
            case centres.Recognise(programmes=recognised, hosts=hosts):
                return len(recognised) * len(hosts)
            case parties.Enrol(keys=keys):
                return len(keys)
            case _:
                return 1


def kind_of(operation: Record) -> str:
    """Return the text name of an operation's kind."""
    return str(operation.__struct_config__.tag)


def transaction_id(body: bytes) -> bytes:
    """Return the tagged hash of a body, 32 bytes."""
    return tagged_hash(TAG, body)


def signing_bytes(body: bytes) -> bytes:
    """Return what each key signs: the framed body, not its hash."""
    return frame(TAG, body)


def seal(body: bytes, signatures: dict[bytes, bytes]) -> bytes:
    """Return the envelope of a body and its signatures by key."""
    ordered = tuple((key, signatures[key]) for key in sorted(signatures))
    return codec.encode(Envelope(body=body, signatures=ordered))


def parse(raw: bytes) -> Transaction:
    """Return the transaction that an envelope holds; raise NotCanonical.

    Checks form only: neither signatures nor rules.
    """
    envelope: Envelope = codec.decode(Envelope, raw, MINT_BYTES_MAX)
    body: Body = codec.decode(Body, envelope.body, MINT_BYTES_MAX)
    if len(raw) > TRANSACTION_BYTES_MAX and not isinstance(body.operation, vouchers.Mint):
        raise NotCanonical(f"expected at most {TRANSACTION_BYTES_MAX} bytes, got {len(raw)}")
    previous = b""
    for key, _ in envelope.signatures:
        if key <= previous:
            raise NotCanonical("keys are not in strictly ascending order")
        previous = key
    if isinstance(body.operation, _LONG_TEXTS):
        _check_texts(body.operation)
    return Transaction(
        raw=raw,
        id=transaction_id(envelope.body),
        body=body,
        body_bytes=envelope.body,
        signatures=envelope.signatures,
        digest=sha256(raw),
    )


def _check_texts(value: object) -> None:
    """Raise NotCanonical on a text of too many bytes; nesting is bounded by the types."""
    if isinstance(value, str):
        codec.check_texts(value)
    elif isinstance(value, tuple):
        for item in value:
            _check_texts(item)
    elif isinstance(value, Record):
        _check_texts(msgspec.structs.astuple(value))
