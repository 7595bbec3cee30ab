"""Transactions before they are sent: a body, and the signatures gathered for it.

A body is encoded once, when it is drafted, and decoded once from those very bytes: what people are
shown is what the signatures cover, and no description beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from desk.description import describe, operation_from
from ledger.encoding import codec
from ledger.encoding.codec import NotCanonical
from ledger.inadmissible import KindUnknown
from ledger.transactions import (
    SIGNATURES_MAX,
    Body,
    Operation,
    bytes_max_of,
    decode_body,
    kind_of,
    parse,
    seal,
    signing_bytes,
    transaction_id,
)
from tally.exits import UsageError

LIFE_MS = 10 * 60_000
"""What is signed and sent at once: short, so that the loser of a double spend is soon certain."""
OFFLINE_LIFE_MS = 86_400_000
"""What several people sign by turns: nothing forgotten becomes final by itself later on."""
_NO_SIGNATURE = bytes(64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A body and the signatures gathered for it."""

    body: bytes
    """Canonical bytes: the only thing that is signed."""
    content: Body
    """What the bytes say."""
    signatures: Mapping[bytes, bytes]
    """Signature by public key."""

    @property
    def id(self) -> str:
        """Return the transaction's id, hex; signatures are no part of it."""
        return transaction_id(self.body).hex()

    @property
    def kind(self) -> str:
        """Return the text name of the kind."""
        return kind_of(self.content.operation)

    @property
    def message(self) -> bytes:
        """Return what each key signs."""
        return signing_bytes(self.body)

    def signed(self, signatures: Mapping[bytes, bytes]) -> "Draft":
        """Return the draft with these signatures too."""
        return replace(self, signatures={**self.signatures, **signatures})

    def envelope(self) -> bytes:
        """Return the signed envelope; raise UsageError if nobody signed or it is too large."""
        return self._sealed(self.signatures)

    def rehearsal(self, keys: Sequence[bytes]) -> bytes:
        """Return an envelope in the name of these keys that no block can hold.

        A node simulates it; with no signature in it, nobody can send it on.
        """
        return self._sealed(dict.fromkeys(keys, _NO_SIGNATURE))

    def _sealed(self, signatures: Mapping[bytes, bytes]) -> bytes:
        if not signatures:
            raise UsageError("nobody has signed: name keys with --key")
        if len(signatures) > SIGNATURES_MAX:
            raise _untakeable(f"expected at most {SIGNATURES_MAX} keys, got {len(signatures)}")
        raw = seal(self.body, dict(signatures))
        bytes_max = bytes_max_of(self.content.operation)
        if len(raw) > bytes_max:
            raise _untakeable(f"expected at most {bytes_max} bytes, got {len(raw)}")
        return raw


def drafted(operation: Operation, *, log_id: bytes, expires_at: int) -> Draft:
    """Return an unsigned transaction for a ledger.

    Raises UsageError, naming the field, if a part is not what the ledger's types allow.
    """
    body = Body(
        version=1,
        log_id=log_id,
        expires_at=expires_at,
        operation=operation_from(describe(operation)),
    )
    try:
        return draft_of(codec.encode(body), {})
    except (NotCanonical, KindUnknown) as error:
        raise _untakeable(str(error)) from None


def _untakeable(why: str) -> UsageError:
    return UsageError(f"this is not a transaction that a node takes: {why}")


def draft_of(body: bytes, signatures: Mapping[bytes, bytes]) -> Draft:
    """Return the draft of a body's bytes; raise NotCanonical or KindUnknown."""
    return Draft(body=body, content=decode_body(body), signatures=dict(signatures))


def draft_in(envelope: bytes) -> Draft:
    """Return the draft that an envelope was made of; raise NotCanonical or KindUnknown."""
    transaction = parse(envelope)
    return Draft(
        body=transaction.body_bytes,
        content=transaction.body,
        signatures=dict(transaction.signatures),
    )
