"""Misbehaviour: what validators did against the protocol, and who stops voting for it (spec R15).

The engine has the evidence; the ledger records it once and bounds what follows from it.
"""

from ledger.blocks import Misbehaviour
from ledger.encoding.codec import Natural, Record, Slug
from ledger.rules.base import Context
from ledger.rules.validators import (
    VALIDATOR_LAG,
    VALIDATORS,
    ValidatorRecord,
    set_validator,
    validators_at,
)
from ledger.view import Draft, Put, StateView, Table, get, must

VALIDATORS_LEFT_MIN = 4
"""Fewer could not survive the next one that fails: then only members decide who goes (R15.3)."""


class MisbehaviourRecord(Record, frozen=True):
    """What a key did, whose it was, and what it led to."""

    misbehaviour: Misbehaviour
    party: Slug
    """Owner of the key."""
    recorded_height: Natural
    suspended: bool
    """Whether the key stopped validating for it, two heights on."""


MISBEHAVIOURS = Table("misbehaviour", MisbehaviourRecord)
"""By key in hex, height and kind."""


def misbehaviour_key(misbehaviour: Misbehaviour) -> tuple[str, str, str]:
    """Return the key parts of its record."""
    return misbehaviour.validator.hex(), str(misbehaviour.height), misbehaviour.kind


def is_recorded(view: StateView, misbehaviour: Misbehaviour) -> bool:
    """Return whether misbehaviour of this key, height and kind stands on the log."""
    return get(view, MISBEHAVIOURS, *misbehaviour_key(misbehaviour)) is not None


def problem_of(view: StateView, misbehaviours: tuple[Misbehaviour, ...], height: int) -> str:
    """Return why a block of this height may not name these, or nothing (B3.1)."""
    places = [
        (misbehaviour.validator, misbehaviour.height, misbehaviour.kind)
        for misbehaviour in misbehaviours
    ]
    if places != sorted(dict.fromkeys(places)):
        return "misbehaviours are not distinct and ascending by key, height and kind"
    for misbehaviour in misbehaviours:
        if misbehaviour.height > height:
            return f"misbehaviour at height {misbehaviour.height}, the block is {height}"
        if _owner(view, misbehaviour.validator, height) is None:
            return f"misbehaviour of {misbehaviour.validator.hex()}, which does not validate"
        if is_recorded(view, misbehaviour):
            key = misbehaviour.validator.hex()
            return f"the {misbehaviour.kind} misbehaviour of {key} is recorded already"
    return ""


def apply_misbehaviours(
    before: StateView, view: StateView, misbehaviours: tuple[Misbehaviour, ...], context: Context
) -> tuple[Put, ...]:
    """Return the writes of a block's misbehaviours: their records, and a set without those who go.

    ``before`` is the state before the block, by which they were checked, ``view`` that at its end.
    """
    draft = Draft(view)
    for misbehaviour in misbehaviours:
        owner = _owner(before, misbehaviour.validator, context.height)
        assert owner is not None, "problem_of was asked before"
        suspended = _may_go(draft, misbehaviour.validator, context)
        if suspended:
            set_validator(draft, owner, (), context)
        record = MisbehaviourRecord(
            misbehaviour=misbehaviour,
            party=owner,
            recorded_height=context.height,
            suspended=suspended,
        )
        draft.put(MISBEHAVIOURS, record, *misbehaviour_key(misbehaviour))
    return draft.changes()


def _owner(view: StateView, key: bytes, height: int) -> str | None:
    """Return whose consensus key this is, if it validates at a height or two heights on.

    Keys that are gone could otherwise be used to fill the log with misbehaviours for ever.
    """
    schedule = must(view, VALIDATORS, "all")
    for at in (height, height + VALIDATOR_LAG):
        for validator in validators_at(schedule, at).validators:
            if validator.keys.consensus == key:
                return validator.party
    return None


def _may_go(view: StateView, key: bytes, context: Context) -> bool:
    """Return whether a key validates and may be taken out without a decision of members (R15.3)."""
    schedule = must(view, VALIDATORS, "all")
    acting = validators_at(schedule, context.height).validators
    coming = validators_at(schedule, context.height + VALIDATOR_LAG).validators
    left = [validator for validator in coming if validator.keys.consensus != key]
    if len(left) == len(coming) or len(left) < VALIDATORS_LEFT_MIN:
        return False
    keys_left = [validator.keys.consensus for validator in left]
    staying = [validator for validator in acting if validator.keys.consensus in keys_left]
    gone = _power(acting) - _power(staying)
    return 3 * gone < _power(acting)


def _power(validators: list[ValidatorRecord] | tuple[ValidatorRecord, ...]) -> int:
    return sum(validator.keys.power for validator in validators)
