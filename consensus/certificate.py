"""Proof that a height is decided: precommits of a quorum for one block (spec K1-K3)."""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated

from msgspec import Meta

from consensus.messages import (
    BlockIdBytes,
    Round,
    ValidatorKey,
    ValidatorKeyBytes,
    VoteKind,
    vote_sign_bytes,
)
from consensus.validators import VALIDATORS_MAX, ValidatorSet
from ledger.encoding.codec import Natural, Record, Signature

CERTIFICATE_BYTES_MAX = 16_384
"""Longest encoded certificate."""

Verify = Callable[[bytes, bytes, bytes], bool]
"""``verify(public_key, message, signature)``, normally ``ledger.encoding.crypto.verify``."""


class Certificate(Record, frozen=True, kw_only=True):
    """Signatures of a quorum under the precommit for one block in one round."""

    height: Natural
    round: Round
    block_id: BlockIdBytes
    signatures: Annotated[
        tuple[tuple[ValidatorKeyBytes, Signature], ...], Meta(max_length=VALIDATORS_MAX)
    ]
    """Pairs of key and signature, strictly ascending by key."""


class CertificateInvalid(ValueError):
    """A certificate does not prove what it claims."""


def verify_certificate(
    certificate: Certificate,
    validators: ValidatorSet,
    log_id: bytes,
    epoch: int,
    verify: Verify,
) -> None:
    """Raise CertificateInvalid unless a quorum of ``validators`` signed the block (K2).

    ``validators`` is the set of the certificate's height. Every signature is checked, those
    beyond the quorum too: a certificate with one bad signature is refused as a whole.
    """
    keys: list[ValidatorKey] = [key for key, _ in certificate.signatures]
    if any(first >= second for first, second in pairwise(keys)):
        raise CertificateInvalid("keys are not distinct and ascending")
    if not all(validators.power_of(key) for key in keys):
        raise CertificateInvalid("signed by a key outside the validator set")
    power = sum(validators.power_of(key) for key in keys)
    if not validators.is_quorum(power):
        raise CertificateInvalid(f"power {power} of {validators.total_power} is not a quorum")
    message = vote_sign_bytes(
        log_id,
        epoch,
        VoteKind.PRECOMMIT,
        certificate.height,
        certificate.round,
        (certificate.block_id,),
    )
    for key, signature in certificate.signatures:
        if not verify(key, message, signature):
            raise CertificateInvalid(f"bad signature of {key.hex()}")
