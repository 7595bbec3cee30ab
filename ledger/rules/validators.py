"""Validators: who they are, and which set of them acts at a height (spec G4, R14.2)."""

from typing import Annotated

from msgspec import Meta

from ledger.encoding.codec import AtMostOne, Natural, PublicKey, Record, Slug, only
from ledger.rules.base import Context
from ledger.rules.parties import VALIDATOR_KEYS, KeyOwner
from ledger.rules.refusals import ActionInvalid
from ledger.view import Draft, StateView, Table, must

VALIDATORS_MAX = 128
VALIDATOR_LAG = 2
"""A change of validators in block H acts at H + 2."""


class ValidatorKeys(Record, frozen=True):
    """The four keys of a validating node, and its power."""

    consensus: PublicKey
    log: PublicKey
    cosigner: PublicKey
    link: PublicKey
    power: Annotated[int, Meta(ge=1, le=1_000_000)]


class ValidatorRecord(Record, frozen=True):
    """A validator of a set."""

    party: Slug
    keys: ValidatorKeys


class ValidatorSetRecord(Record, frozen=True):
    """The validators that act from a height on."""

    from_height: Natural
    validators: tuple[ValidatorRecord, ...]


class ValidatorSchedule(Record, frozen=True):
    """The sets in force and decided, by height."""

    sets: tuple[ValidatorSetRecord, ...]


VALIDATORS = Table("validators", ValidatorSchedule)
"""One record, under ``all``."""


def validators_at(schedule: ValidatorSchedule, height: int) -> ValidatorSetRecord:
    """Return the set that acts at a height."""
    acting = schedule.sets[0]
    for candidate in schedule.sets:
        if candidate.from_height <= height:
            acting = candidate
    return acting


def validator_keys(validator: ValidatorKeys) -> list[bytes]:
    """Return the four keys of a validating node."""
    return [validator.consensus, validator.log, validator.cosigner, validator.link]


def put_validator_keys(draft: Draft, party: str, validator: ValidatorKeys) -> None:
    """Write whose a validating node's keys are: they stay so for ever."""
    for key in validator_keys(validator):
        draft.put(VALIDATOR_KEYS, KeyOwner(party=party), key.hex())


def require_room(validators: tuple[ValidatorRecord, ...]) -> None:
    """Raise ActionInvalid unless some validators are left, and not too many."""
    if not 1 <= len(validators) <= VALIDATORS_MAX:
        raise ActionInvalid(
            reason=f"{len(validators)} validators would remain, expected 1 to {VALIDATORS_MAX}"
        )


def set_validator(
    draft: Draft, party: str, validator: AtMostOne[ValidatorKeys], context: Context
) -> None:
    """Write the set that acts two heights on; sets that nobody asks for any more are dropped."""
    if (keys := only(validator)) is not None:
        put_validator_keys(draft, party, keys)
    from_height = context.height + VALIDATOR_LAG
    changed = ValidatorSetRecord(
        from_height=from_height, validators=next_set(draft, context, party, validator)
    )
    schedule = must(draft, VALIDATORS, "all")
    acting = validators_at(schedule, context.height)
    kept = [
        candidate
        for candidate in schedule.sets
        if acting.from_height <= candidate.from_height and candidate.from_height != from_height
    ]
    draft.put(VALIDATORS, ValidatorSchedule(sets=(*kept, changed)), "all")


def next_set(
    view: StateView, context: Context, party: str, validator: AtMostOne[ValidatorKeys]
) -> tuple[ValidatorRecord, ...]:
    """Return the validators two heights on with one party's replaced, in its old place."""
    schedule = must(view, VALIDATORS, "all")
    before = validators_at(schedule, context.height + VALIDATOR_LAG).validators
    new = tuple(ValidatorRecord(party=party, keys=keys) for keys in validator)
    if not any(record.party == party for record in before):
        return before + new
    after: list[ValidatorRecord] = []
    for record in before:
        after += new if record.party == party else [record]
    return tuple(after)
