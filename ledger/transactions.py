"""Transactions: the union of all kinds, their envelope and their id (spec X)."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ledger.encoding import codec
from ledger.encoding.codec import Hash, Natural, NotCanonical, PublicKey, Record, Signature
from ledger.encoding.crypto import frame, sha256
from ledger.rules import (
    attestations,
    budgets,
    cases,
    centres,
    claims,
    clearing,
    governance,
    parties,
    payments,
    programmes,
    recoveries,
    redemptions,
    reserves,
    vouchers,
)
from ledger.rules.base import Context, Outcome
from ledger.view import StateView

TRANSACTION_BYTES_MAX = 16 * 1024
MINT_BYTES_MAX = 60_000
SIGNATURES_MAX = 16
TRANSACTION_TAG = "tallystick/tx/v1"
_FRAMED_TAG = frame(TRANSACTION_TAG)
"""How a frame around a body begins (W2): the rest of it is the body after its length."""

Operation = (
    governance.Propose
    | governance.Vote
    | parties.Enrol
    | recoveries.SetKeys
    | attestations.Attest
    | attestations.RevokeAttestation
    | programmes.Publish
    | budgets.Appropriate
    | centres.Accredit
    | centres.Recognise
    | vouchers.Mint
    | vouchers.Transfer
    | reserves.SetAside
    | reserves.Release
    | redemptions.Redeem
    | claims.DecideClaim
    | claims.Credit
    | vouchers.Extend
    | vouchers.Revoke
    | clearing.Close
    | payments.RecordPayment
    | cases.SetHold
    | cases.ClearHold
    | cases.RecordAnchor
)

Rule = Callable[[StateView, Any, Context], Outcome]

RULES: dict[type[Record], Rule] = {
    governance.Propose: governance.apply_propose,
    governance.Vote: governance.apply_vote,
    parties.Enrol: parties.apply_enrol,
    recoveries.SetKeys: recoveries.apply_set_keys,
    attestations.Attest: attestations.apply_attest,
    attestations.RevokeAttestation: attestations.apply_revoke_attestation,
    programmes.Publish: programmes.apply_publish,
    budgets.Appropriate: budgets.apply_appropriate,
    centres.Accredit: centres.apply_accredit,
    centres.Recognise: centres.apply_recognise,
    vouchers.Mint: vouchers.apply_mint,
    vouchers.Transfer: vouchers.apply_transfer,
    reserves.SetAside: reserves.apply_set_aside,
    reserves.Release: reserves.apply_release,
    redemptions.Redeem: redemptions.apply_redeem,
    claims.DecideClaim: claims.apply_decide_claim,
    claims.Credit: claims.apply_credit,
    vouchers.Extend: vouchers.apply_extend,
    vouchers.Revoke: vouchers.apply_revoke,
    clearing.Close: clearing.apply_close,
    payments.RecordPayment: payments.apply_record_payment,
    cases.SetHold: cases.apply_set_hold,
    cases.ClearHold: cases.apply_clear_hold,
    cases.RecordAnchor: cases.apply_record_anchor,
}
"""The rule of every kind, in rules version 1."""

RULES_OF_VERSION: dict[int, dict[type[Record], Rule]] = {1: RULES}
"""The rules versions that this software knows."""


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
        match self.body.operation:
            case vouchers.Transfer():  # first, since most transactions are these
                return 1
            case vouchers.Mint(rows=rows):
                return len(rows)
            case centres.Recognise(programmes=recognised, hosts=hosts):
                return len(recognised) * len(hosts)
            case parties.Enrol(keys=keys):
                return len(keys)
            case redemptions.Redeem(lines=lines, usage=usage):
                return len(lines) + len(usage)
            case _:
                return 1


def amount_of(operation: Record) -> int:
    """Return the fen that an act is about, by which parameters may ask for more officers (R3.1)."""
    match operation:
        case vouchers.Mint(rows=rows):
            return sum(row.amount for row in rows)
        case budgets.Appropriate(delta=delta):
            return abs(delta)
        case claims.DecideClaim(act=claims.Decide(accepted=accepted)):
            return accepted
        case claims.Credit(amount=amount) | vouchers.Revoke(amount=amount):
            return amount
        case payments.RecordPayment(
            act=payments.Instruct(amount=amount) | payments.WriteOff(amount=amount)
        ):
            return amount
        case _:
            return 0


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
    if len(envelope.body) > codec.TEXT_BYTES_MAX:  # else no text in it can be too long
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
