"""New keys for a party: rotation, and recovery of lost ones (spec T10)."""

from typing import Literal

import msgspec

from ledger.encoding.codec import AtMostOne, Hash, Natural, Record, Slug, only
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.parties import (
    PARTIES,
    KeySet,
    Party,
    announce_keys,
    party_of,
    put_keys,
    require_active,
    require_city,
    require_city_or_auditor,
    require_consent,
    require_free,
    require_keys_fit,
    require_kind,
)
from ledger.rules.refusals import (
    EnrolledElsewhere,
    RecoveryTooEarly,
    RecoveryUnknown,
    SecondOpinionMissing,
)
from ledger.rules.successors import acting_for, actor_of
from ledger.view import Draft, StateView, Table, must

RECOVERY_WAIT_MS = 72 * 3_600_000
"""How long the holder of the old keys has to object."""


class Recovery(Record, frozen=True):
    """A city's attempt to give a holder new keys; the newest one of a party."""

    party: Slug
    opened_by: Slug
    opened_ms: Natural
    keys: KeySet
    threshold: Natural
    case: Hash
    objected_ms: AtMostOne[Natural]
    status: Literal["open", "accepted", "rejected"]
    closed_ms: AtMostOne[Natural]


RECOVERIES = Table("recovery", Recovery)
"""By party."""


class Rotate(Record, frozen=True, tag="rotate"):
    """A party replaces its own keys."""

    party: Slug
    keys: KeySet
    threshold: Natural


class Recover(Record, frozen=True, tag="recover"):
    """The enrolling city opens a recovery: the old keys stop at once."""

    city: Slug
    party: Slug
    keys: KeySet
    threshold: Natural
    case: Hash


class ObjectToRecovery(Record, frozen=True, tag="object"):
    """Whoever has one of the old keys says no."""

    party: Slug


class DecideRecovery(Record, frozen=True, tag="decide"):
    """The recovery comes into force or is stopped."""

    city: Slug
    party: Slug
    accept: bool
    second: AtMostOne[Slug]
    """Another city or an auditor, who must agree if there was an objection."""


class SetKeys(Record, frozen=True, tag="party.set_keys"):
    """A party's keys change, or are about to (T10)."""

    act: Rotate | Recover | ObjectToRecovery | DecideRecovery


def apply_set_keys(view: StateView, tx: SetKeys, context: Context) -> Outcome:
    """Return the writes of a change of keys. Checks run in the order of T10."""
    match tx.act:
        case Rotate() as act:
            return _rotate(view, act, context)
        case Recover() as act:
            return _recover(view, act, context)
        case ObjectToRecovery() as act:
            return _object(view, act, context)
        case DecideRecovery() as act:
            return _decide(view, act, context)


SET_KEYS = Kind(record=SetKeys, apply=apply_set_keys, allowed_while_paused=True)


def _rotate(view: StateView, act: Rotate, context: Context) -> Outcome:
    party = party_of(view, act.party)
    require_consent(context, party, "registrar")
    require_active(party)
    require_free(party)
    require_keys_fit(view, party.id, party.kind, act.keys, act.threshold)
    draft = Draft(view)
    replace_keys(draft, party, act.keys, act.threshold)
    return Outcome(changes=draft.changes())


def replace_keys(draft: Draft, party: Party, keys: KeySet, threshold: int) -> None:
    """Give a party new keys; the old ones are dead."""
    put_keys(draft, party.id, party.keys, keys)
    draft.put(PARTIES, msgspec.structs.replace(party, keys=keys, threshold=threshold), party.id)


def _recover(view: StateView, act: Recover, context: Context) -> Outcome:
    require_city(view, act.city)
    party = party_of(view, act.party)
    require_kind(party, "holder")
    _require_enrolled_by(party, act.city)
    context.signers.require_officers(acting_for(view, act.city).id, "registrar")
    require_free(party)
    require_keys_fit(view, party.id, party.kind, act.keys, act.threshold)
    recovery = Recovery(
        party=party.id,
        opened_by=act.city,
        opened_ms=context.time_ms,
        keys=act.keys,
        threshold=act.threshold,
        case=act.case,
        objected_ms=(),
        status="open",
        closed_ms=(),
    )
    draft = Draft(view)
    draft.put(RECOVERIES, recovery, party.id)
    announce_keys(draft, party.id, (key.key for key in act.keys))
    stopped = msgspec.structs.replace(party, stopped_since_ms=(context.time_ms,))
    draft.put(PARTIES, stopped, party.id)
    return Outcome(changes=draft.changes())


def _require_enrolled_by(party: Party, city: str) -> None:
    if party.enrolled_by != (city,):
        raise EnrolledElsewhere(party=party.id, city=city)


def _open_recovery(view: StateView, party: Party) -> Recovery:
    if not party.stopped_since_ms:
        raise RecoveryUnknown(party=party.id)
    return must(view, RECOVERIES, party.id)


def _object(view: StateView, act: ObjectToRecovery, context: Context) -> Outcome:
    party = party_of(view, act.party)
    recovery = _open_recovery(view, party)
    context.signers.require_threshold(party.id, 1)
    draft = Draft(view)
    objected = msgspec.structs.replace(recovery, objected_ms=(context.time_ms,))
    draft.put(RECOVERIES, objected, party.id)
    return Outcome(changes=draft.changes())


def _decide(view: StateView, act: DecideRecovery, context: Context) -> Outcome:
    require_city(view, act.city)
    party = party_of(view, act.party)
    recovery = _open_recovery(view, party)
    _require_enrolled_by(party, act.city)
    if (second := only(act.second)) is not None:
        _require_second(view, act, second, context)
    # A case is stopped by the second opinion alone: else a city could keep a holder frozen.
    if not (recovery.objected_ms and act.second and not act.accept):
        context.signers.require_officers(acting_for(view, act.city).id, "registrar")
    if act.accept:
        if recovery.objected_ms and not act.second:
            raise SecondOpinionMissing(party=party.id, city=act.city)
        from_ms = recovery.opened_ms + RECOVERY_WAIT_MS
        if context.time_ms < from_ms:
            raise RecoveryTooEarly(from_ms=from_ms, time_ms=context.time_ms)
    return _close(view, party, recovery, accept=act.accept, time_ms=context.time_ms)


def _require_second(view: StateView, act: DecideRecovery, second: str, context: Context) -> None:
    actor = actor_of(view, act.city)
    if actor is not None and second == actor.id:
        raise SecondOpinionMissing(party=act.party, city=act.city)
    second_party = party_of(view, second)
    require_city_or_auditor(second_party)
    require_active(second_party)
    require_consent(context, second_party, "registrar")


def _close(
    view: StateView, party: Party, recovery: Recovery, *, accept: bool, time_ms: int
) -> Outcome:
    draft = Draft(view)
    closed = msgspec.structs.replace(
        recovery, status="accepted" if accept else "rejected", closed_ms=(time_ms,)
    )
    draft.put(RECOVERIES, closed, party.id)
    free = msgspec.structs.replace(
        party,
        stopped_since_ms=(),
        stopped_ms=party.stopped_ms + time_ms - recovery.opened_ms,
    )
    draft.put(PARTIES, free, party.id)
    if accept:
        replace_keys(draft, free, recovery.keys, recovery.threshold)
    return Outcome(changes=draft.changes())
