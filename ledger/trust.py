"""Whom to believe about the log: the names of its keys, its cosigners, their policy (spec Y10)."""

from collections.abc import Mapping

from ledger.encoding.note import KeyType, VerifierKey
from ledger.encoding.policy import (
    DEFINITIONS_MAX,
    Log,
    Policy,
    Witness,
    validators_policy,
)
from ledger.rules.validators import ValidatorRecord, ValidatorSetRecord

COSIGNERS_MAX = 31
"""Cosigners of one checkpoint: a note carries them, its log's lines and outside witnesses'."""


def origin_of(network: str, log_id: bytes) -> str:
    """Return the name of a log, which it keeps for ever (L3)."""
    return f"tallystick.log/{network}/{log_id.hex()}"


def parts_of(origin: str) -> tuple[str, bytes]:
    """Return network and log id of a log's name; raise ValueError if it is none of ours."""
    prefix, network, log_id = origin.split("/")
    parts = network, bytes.fromhex(log_id)
    if prefix != "tallystick.log" or origin_of(*parts) != origin:
        raise ValueError(f"expected tallystick.log/NETWORK/LOG-ID, got {origin!r}")
    return parts


def log_key(origin: str, public_key: bytes) -> VerifierKey:
    """Return the key with which a node signs the log's heads."""
    return VerifierKey(name=origin, type=KeyType.ED25519, public_key=public_key)


def cosigner_key(origin: str, party: str, public_key: bytes) -> VerifierKey:
    """Return the key with which a party's node cosigns them."""
    return VerifierKey(name=f"{origin}/{party}", type=KeyType.COSIGNATURE, public_key=public_key)


def cosigners(validators: ValidatorSetRecord) -> tuple[ValidatorRecord, ...]:
    """Return who cosigns: every validator, or the mightiest COSIGNERS_MAX, ascending by party."""
    return _mightiest(validators, COSIGNERS_MAX)


def _mightiest(validators: ValidatorSetRecord, count: int) -> tuple[ValidatorRecord, ...]:
    """Return the validators of the greatest power, of equal ones the first, by party."""
    by_power = sorted(validators.validators, key=lambda record: (-record.keys.power, record.party))
    return tuple(sorted(by_power[:count], key=lambda record: record.party))


def policy_of(
    origin: str, validators: ValidatorSetRecord, urls: Mapping[str, str] | None = None
) -> Policy:
    """Return the policy of a set of validators; ``urls`` tells where parties take checkpoints."""
    known = urls or {}
    logs: dict[bytes, Log] = {}
    for validator in _mightiest(validators, DEFINITIONS_MAX):
        key = log_key(origin, validator.keys.log)
        # No two may share an id (Y6.3): the later one stays out, and harms its own reader alone.
        logs.setdefault(key.id, Log(key=key, url=known.get(validator.party, "")))
    return validators_policy(
        logs=logs.values(),
        witnesses=[
            Witness(
                name=validator.party,
                key=cosigner_key(origin, validator.party, validator.keys.cosigner),
                url=known.get(validator.party, ""),
            )
            for validator in cosigners(validators)
        ],
    )
