"""Which operations name new keys, and how the keys' proofs come in (spec R3.9)."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from ledger.encoding.codec import Record
from ledger.rules.governance import Admit, Propose, SetMemberKeys, SetValidator
from ledger.rules.parties import Enrol, PartyKey, proof_message
from ledger.rules.recoveries import Announce, Recover, Rotate, SetKeys
from ledger.rules.validators import ValidatorKeys


class NamedKey(NamedTuple):
    """A key that an operation names."""

    party: str
    name: str
    """The person's; of a validator's key what it is for."""
    key: bytes


Sign = Callable[[NamedKey, bytes], bytes]
"""Returns a key's signature of a message."""
R = TypeVar("R", bound=Record)


def keys_named(operation: Record) -> tuple[NamedKey, ...]:
    """Return the keys that an operation names, in the order of its proofs."""
    match operation:
        case Enrol(party=party, keys=keys):
            return _of_persons(party, keys)
        case SetKeys(act=Rotate() | Announce() | Recover() as act):
            return _of_persons(act.party, act.keys)
        case Propose(action=Admit(member=member)):
            signing = _of_persons(member.id, member.keys)
            return signing + _of_validator(member.id, member.validator)
        case Propose(action=SetValidator(party=party, validator=validator)):
            return _of_validator(party, validator)
        case Propose(action=SetMemberKeys(party=party, keys=keys)):
            return _of_persons(party, keys)
    return ()


def _of_persons(party: str, keys: tuple[PartyKey, ...]) -> tuple[NamedKey, ...]:
    return tuple(NamedKey(party, key.person, key.key) for key in keys)


def _of_validator(party: str, validators: tuple[ValidatorKeys, ...]) -> tuple[NamedKey, ...]:
    names = ("consensus", "log", "cosigner", "link")
    return tuple(NamedKey(party, name, getattr(one, name)) for one in validators for name in names)


def proven(operation: R, log_id: bytes, sign: Sign) -> R:
    """Return an operation with the proofs of all keys that it names, unless it has some."""
    keys = keys_named(operation)
    proofs = tuple(sign(one, proof_message(log_id, one.party, one.key)) for one in keys)
    for part in ("act", "action"):
        if keys and (inner := getattr(operation, part, None)) is not None:
            return msgspec.structs.replace(operation, **{part: _with(inner, proofs)})
    return _with(operation, proofs) if keys else operation


def _with(names: Any, proofs: tuple[bytes, ...]) -> Any:
    return names if names.proofs else msgspec.structs.replace(names, proofs=proofs)
