"""Transaction files: how a transaction goes from desk to desk, until all have signed who must."""

import msgspec

from desk.drafts import Draft, draft_in, draft_of
from ledger.encoding import crypto
from ledger.encoding.codec import NotCanonical
from ledger.inadmissible import KindUnknown
from ledger.rules.base import ENVELOPE_BYTES_MAX

FILE_FORMAT = "tallystick-tx/1"
FILE_BYTES_MAX = 4 * ENVELOPE_BYTES_MAX


class TransactionFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A transaction on its way from desk to desk: the body and who has signed it so far."""

    format: str
    network: str
    """For people; what counts is the log id in the body."""
    body: str
    """Canonical bytes, hex: the only thing that is signed."""
    signatures: dict[str, str]
    """Signature by public key, both hex."""


class NoTransaction(Exception):
    """The bytes are no file of a transaction; the text says why."""


class ForgedSignature(Exception):
    """A signature in a file does not verify; the text names its key."""


def written(draft: Draft, network: str) -> bytes:
    """Return the file of a transaction."""
    stored = TransactionFile(
        format=FILE_FORMAT,
        network=network,
        body=draft.body.hex(),
        signatures={key.hex(): value.hex() for key, value in sorted(draft.signatures.items())},
    )
    return msgspec.json.format(msgspec.json.encode(stored), indent=2) + b"\n"


def read(data: bytes) -> Draft:
    """Return the transaction in a file, or in the raw bytes of an envelope.

    Raises NoTransaction for anything but one whole canonical transaction, and ForgedSignature.
    """
    try:
        draft = _from_text(data) if data.lstrip().startswith(b"{") else draft_in(data)
    except (NotCanonical, KindUnknown, msgspec.DecodeError, ValueError) as error:
        raise NoTransaction(str(error)) from None
    for key, signature in draft.signatures.items():
        if not crypto.verify(key, draft.message, signature):
            raise ForgedSignature(f"the signature of key {key.hex()} does not verify")
    return draft


def _from_text(data: bytes) -> Draft:
    stored = msgspec.json.decode(data, type=TransactionFile)
    if stored.format != FILE_FORMAT:
        raise ValueError(f"unknown format {stored.format!r}")
    signatures = {
        bytes.fromhex(key): bytes.fromhex(value) for key, value in stored.signatures.items()
    }
    return draft_of(bytes.fromhex(stored.body), signatures)
