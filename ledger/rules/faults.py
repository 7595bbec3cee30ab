"""Faults: what validators did against the protocol, and who no longer votes for it (spec R15).

The engine proves a fault; the ledger records it once and bounds what follows from it.
"""

from ledger.blocks import Fault
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
"""Fewer could not survive the next fault: then only members decide who goes (R15.3)."""


class FaultRecord(Record, frozen=True):
    """A recorded fault, whose it was, and what it led to."""

    fault: Fault
    party: Slug
    """Owner of the key."""
    recorded_height: Natural
    suspended: bool
    """Whether the key stopped to validate for it, two heights on."""


FAULTS = Table("fault", FaultRecord)
"""By key in hex, height and kind."""


def fault_key(fault: Fault) -> tuple[str, str, str]:
    """Return the key parts of a fault's record."""
    return fault.validator.hex(), str(fault.height), fault.kind


def is_recorded(view: StateView, fault: Fault) -> bool:
    """Return whether a fault of this key, height and kind stands on the log."""
    return get(view, FAULTS, *fault_key(fault)) is not None


def problem_of(view: StateView, faults: tuple[Fault, ...], height: int) -> str:
    """Return why a block of this height may not carry these faults, or nothing (B3.1)."""
    places = [(fault.validator, fault.height, fault.kind) for fault in faults]
    if places != sorted(dict.fromkeys(places)):
        return "faults are not distinct and ascending by key, height and kind"
    for fault in faults:
        if fault.height > height:
            return f"a fault at height {fault.height}, the block is {height}"
        if _owner(view, fault.validator, height) is None:
            return f"a fault of {fault.validator.hex()}, which does not validate"
        if is_recorded(view, fault):
            return f"the {fault.kind} fault of {fault.validator.hex()} is recorded already"
    return ""


def apply_faults(
    before: StateView, view: StateView, faults: tuple[Fault, ...], context: Context
) -> tuple[Put, ...]:
    """Return the writes of a block's faults: their records, and a set without those who go.

    ``before`` is the state before the block, by which they were judged, ``view`` that at its end.
    """
    draft = Draft(view)
    for fault in faults:
        owner = _owner(before, fault.validator, context.height)
        assert owner is not None, "problem_of was asked before"
        suspended = _may_go(draft, fault.validator, context)
        if suspended:
            set_validator(draft, owner, (), context)
        record = FaultRecord(
            fault=fault,
            party=owner,
            recorded_height=context.height,
            suspended=suspended,
        )
        draft.put(FAULTS, record, *fault_key(fault))
    return draft.changes()


def _owner(view: StateView, key: bytes, height: int) -> str | None:
    """Return whose consensus key this is, if it validates at a height or two heights on.

    Keys that are gone could otherwise be used to fill the log with faults for ever.
    """
    schedule = must(view, VALIDATORS, "all")
    for at in (height, height + VALIDATOR_LAG):
        for one in validators_at(schedule, at).validators:
            if one.keys.consensus == key:
                return one.party
    return None


def _may_go(view: StateView, key: bytes, context: Context) -> bool:
    """Return whether a key validates and may be taken out without a decision of members (R15.3)."""
    schedule = must(view, VALIDATORS, "all")
    acting = validators_at(schedule, context.height).validators
    coming = validators_at(schedule, context.height + VALIDATOR_LAG).validators
    left = [one for one in coming if one.keys.consensus != key]
    if len(left) == len(coming) or len(left) < VALIDATORS_LEFT_MIN:
        return False
    staying = [one for one in acting if any(_same_key(one, other) for other in left)]
    gone = _power(acting) - _power(staying)
    return 3 * gone < _power(acting)


def _same_key(one: ValidatorRecord, other: ValidatorRecord) -> bool:
    return one.keys.consensus == other.keys.consensus


def _power(validators: list[ValidatorRecord] | tuple[ValidatorRecord, ...]) -> int:
    return sum(one.keys.power for one in validators)
