"""New keys for a party: rotation, a member's announced change, recovery of lost ones (spec T10)."""

from typing import Literal

import msgspec

from ledger.encoding.codec import AtMostOne, Hash, Natural, Record, Slug
from ledger.rules import calendar
from ledger.rules.authority import TREASURY_ROLES
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.parties import (
    KEYS_WAIT_MAX_MS,
    PARTIES,
    KeySet,
    Party,
    Proofs,
    announce_keys,
    may_use,
    party_of,
    put_keys,
    require_active,
    require_city,
    require_city_or_auditor,
    require_consent,
    require_free,
    require_keys_fit,
    require_kind,
    stopped_so_far,
)
from ledger.rules.refusals import (
    EnrolledElsewhere,
    KeyChangeOpen,
    KeysNotTheirs,
    KeyTaken,
    RecoveryCooling,
    RecoveryTooEarly,
    RecoveryUnknown,
    SecondOpinionMissing,
)
from ledger.rules.successors import acting_for, acts_for_one
from ledger.view import Draft, StateView, Table, get

RECOVERY_WAIT_MS = 72 * 3_600_000
"""How long those who have the old keys may object."""
COOLING_MS = 14 * calendar.DAY_MS
"""How long after a recovery that was not accepted no other one opens."""


class Recovery(Record, frozen=True):
    """New keys that wait: of a city for a holder, or of a member for itself; a party's newest."""

    party: Slug
    opened_by: Slug
    """The enrolling city; the party itself if it is a member's key change."""
    opened_ms: Natural
    keys: KeySet
    threshold: Natural
    case: AtMostOne[Hash]
    objected_ms: AtMostOne[Natural]
    status: Literal["open", "accepted", "rejected"]
    """An open one whose time is over has ended by itself."""
    closed_ms: AtMostOne[Natural]

    @property
    def is_key_change(self) -> bool:
        """Return whether a member announced it for itself."""
        return self.opened_by == self.party

    @property
    def ends_ms(self) -> int:
        """Return when it ended, or ends by itself."""
        return self.closed_ms[0] if self.closed_ms else self.opened_ms + KEYS_WAIT_MAX_MS

    def is_open(self, time_ms: int) -> bool:
        """Return whether it waits for its decision."""
        return time_ms < self.ends_ms


RECOVERIES = Table("recovery", Recovery)
"""By party."""


class Rotate(Record, frozen=True, tag="rotate"):
    """A party replaces its own keys at once."""

    party: Slug
    keys: KeySet
    threshold: Natural
    proofs: Proofs


class Announce(Record, frozen=True, tag="announce"):
    """A member says which keys it will have, if nobody objects."""

    party: Slug
    keys: KeySet
    threshold: Natural
    proofs: Proofs


class Recover(Record, frozen=True, tag="recover"):
    """The enrolling city opens a recovery: the old keys stop at once."""

    city: Slug
    party: Slug
    keys: KeySet
    threshold: Natural
    proofs: Proofs
    case: Hash
    second: AtMostOne[Slug]
    """Another city or an auditor, who must agree if the last recovery was not accepted."""


class ObjectToKeys(Record, frozen=True, tag="object"):
    """Whoever has one of the old keys says no, or an auditor to a member's new ones."""

    party: Slug
    by: Slug


class DecideKeys(Record, frozen=True, tag="decide"):
    """The new keys come into force or are given up."""

    by: Slug
    party: Slug
    accept: bool
    second: AtMostOne[Slug]
    """Another city or an auditor, who must agree if there was an objection."""


class SetKeys(Record, frozen=True, tag="party.set_keys"):
    """A party's keys change, or are about to (T10)."""

    act: Rotate | Announce | Recover | ObjectToKeys | DecideKeys


def apply_set_keys(view: StateView, tx: SetKeys, context: Context) -> Outcome:
    """Return the writes of a change of keys. Checks run in the order of T10."""
    match tx.act:
        case Rotate() as act:
            return _rotate(view, act, context)
        case Announce() as act:
            return _announce(view, act, context)
        case Recover() as act:
            return _recover(view, act, context)
        case ObjectToKeys() as act:
            return _object(view, act, context)
        case DecideKeys() as act:
            return _decide(view, act, context)


def _rows(tx: SetKeys) -> int:
    """Return how many keys are named, each of which proves itself."""
    match tx.act:
        case Rotate(keys=keys) | Announce(keys=keys) | Recover(keys=keys):
            return len(keys)
    return 1


SET_KEYS = Kind(
    record=SetKeys,
    apply=apply_set_keys,
    allowed_while_paused=True,
    rows=_rows,
)


def _rotate(view: StateView, act: Rotate, context: Context) -> Outcome:
    party = party_of(view, act.party)
    require_consent(context, party, "registrar")
    require_active(party)
    require_free(party, context.time_ms)
    require_keys_fit(view, party.id, party.kind, act, context)
    if party.kind == "treasury":
        for role in _roles_changed(party, act):
            context.signers.require_officers(party.id, role)
    elif party.kind != "holder":
        context.signers.require_persons(party.id, len({key.person: None for key in party.keys}))
    draft = Draft(view)
    replace_keys(draft, party, act.keys, act.threshold)
    return Outcome(changes=draft.changes())


def _roles_changed(party: Party, act: Rotate) -> list[str]:
    """Return the roles that other keys or persons hold afterwards (R3.7)."""

    def holding(keys: KeySet, role: str) -> list[tuple[bytes, str]]:
        return sorted((key.key, key.person) for key in keys if role in key.roles)

    pairs = [(role, holding(party.keys, role), holding(act.keys, role)) for role in TREASURY_ROLES]
    other_threshold = act.threshold != party.threshold
    return [
        role for role, before, after in pairs if before != after or (other_threshold and before)
    ]


def replace_keys(draft: Draft, party: Party, keys: KeySet, threshold: int) -> None:
    """Give a party new keys; the old ones are dead."""
    put_keys(draft, party.id, party.keys, keys)
    draft.put(PARTIES, msgspec.structs.replace(party, keys=keys, threshold=threshold), party.id)


def _announce(view: StateView, act: Announce, context: Context) -> Outcome:
    party = party_of(view, act.party)
    require_kind(party, "treasury", "data_centre", "auditor")
    require_consent(context, party, "registrar")
    require_active(party)
    change = get(view, RECOVERIES, party.id)
    if change is not None and change.is_open(context.time_ms):
        raise KeyChangeOpen(party=party.id, opened_ms=change.opened_ms)
    require_keys_fit(view, party.id, party.kind, act, context)
    draft = Draft(view)
    _open(draft, act, context, opened_by=party.id, case=())
    return Outcome(changes=draft.changes())


def _open(
    draft: Draft,
    act: Announce | Recover,
    context: Context,
    *,
    opened_by: str,
    case: AtMostOne[Hash],
) -> None:
    """Write new keys that wait, and set them aside."""
    recovery = Recovery(
        party=act.party,
        opened_by=opened_by,
        opened_ms=context.time_ms,
        keys=act.keys,
        threshold=act.threshold,
        case=case,
        objected_ms=(),
        status="open",
        closed_ms=(),
    )
    draft.put(RECOVERIES, recovery, act.party)
    announce_keys(draft, act.party, (key.key for key in act.keys), recovery.ends_ms)


def _recover(view: StateView, act: Recover, context: Context) -> Outcome:
    require_city(view, act.city)
    party = party_of(view, act.party)
    require_kind(party, "holder")
    _require_enrolled_by(party, act.city)
    context.signers.require_officers(acting_for(view, act.city).id, "registrar")
    require_free(party, context.time_ms)
    last = get(view, RECOVERIES, party.id)
    if last is not None and last.status != "accepted":
        from_ms = last.ends_ms + COOLING_MS
        if context.time_ms < from_ms:
            raise RecoveryCooling(from_ms=from_ms, time_ms=context.time_ms)
        if not act.second:
            raise SecondOpinionMissing(party=party.id, by=act.city)
    _require_second(view, act.party, act.city, act.second, context)
    require_keys_fit(view, party.id, party.kind, act, context)
    draft = Draft(view)
    _open(draft, act, context, opened_by=act.city, case=(act.case,))
    stopped = msgspec.structs.replace(
        party,
        stopped_since_ms=(context.time_ms,),
        stopped_ms=stopped_so_far(party, context.time_ms),
    )
    draft.put(PARTIES, stopped, party.id)
    return Outcome(changes=draft.changes())


def _require_enrolled_by(party: Party, city: str) -> None:
    if party.enrolled_by != (city,):
        raise EnrolledElsewhere(party=party.id, city=city)


def _require_second(
    view: StateView, party_id: str, by: str, seconds: AtMostOne[Slug], context: Context
) -> None:
    """Raise unless the second that is named, if one is, gives its opinion (R3.8)."""
    for second in seconds:
        if acts_for_one(view, second, (by,)):
            raise SecondOpinionMissing(party=party_id, by=by)
        party = party_of(view, second)
        require_city_or_auditor(party)
        require_active(party)
        require_consent(context, party, "registrar")


def _open_recovery(view: StateView, party: Party, time_ms: int) -> Recovery:
    """Return a party's open recovery or key change; raise RecoveryUnknown."""
    recovery = get(view, RECOVERIES, party.id)
    if recovery is None or not recovery.is_open(time_ms):
        raise RecoveryUnknown(party=party.id)
    return recovery


def _object(view: StateView, act: ObjectToKeys, context: Context) -> Outcome:
    party = party_of(view, act.party)
    recovery = _open_recovery(view, party, context.time_ms)
    if act.by == party.id:
        require_active(party)
        context.signers.require_threshold(party.id, 1)
    else:
        if not recovery.is_key_change:
            raise KeysNotTheirs(party=party.id, by=act.by)
        auditor = party_of(view, act.by)
        require_kind(auditor, "auditor")
        require_active(auditor)
        require_consent(context, auditor, "registrar")
    draft = Draft(view)
    objected = msgspec.structs.replace(recovery, objected_ms=(context.time_ms,))
    draft.put(RECOVERIES, objected, party.id)
    return Outcome(changes=draft.changes())


def _decide(view: StateView, act: DecideKeys, context: Context) -> Outcome:
    party = party_of(view, act.party)
    recovery = _open_recovery(view, party, context.time_ms)
    if not recovery.is_key_change:
        _require_enrolled_by(party, act.by)
    elif act.by != party.id:
        raise KeysNotTheirs(party=party.id, by=act.by)
    _require_second(view, act.party, act.by, act.second, context)
    # A case is stopped by the second opinion alone: else a city could keep a holder frozen.
    if not (recovery.objected_ms and act.second and not act.accept):
        if recovery.is_key_change:  # nobody else has keys for it
            require_active(party)
        require_consent(context, acting_for(view, act.by), "registrar")
    if act.accept:
        if recovery.objected_ms and not act.second:
            raise SecondOpinionMissing(party=party.id, by=act.by)
        from_ms = recovery.opened_ms + RECOVERY_WAIT_MS
        if context.time_ms < from_ms:
            raise RecoveryTooEarly(from_ms=from_ms, time_ms=context.time_ms)
        for key in recovery.keys:  # a key may have got another person, or its end, meanwhile
            if not may_use(view, party.id, key, context.time_ms):
                raise KeyTaken(key=key.key.hex())
    return _close(view, party, recovery, accept=act.accept, time_ms=context.time_ms)


def _close(
    view: StateView, party: Party, recovery: Recovery, *, accept: bool, time_ms: int
) -> Outcome:
    draft = Draft(view)
    closed = msgspec.structs.replace(
        recovery, status="accepted" if accept else "rejected", closed_ms=(time_ms,)
    )
    draft.put(RECOVERIES, closed, party.id)
    if not recovery.is_key_change:
        party = msgspec.structs.replace(
            party, stopped_since_ms=(), stopped_ms=stopped_so_far(party, time_ms)
        )
        draft.put(PARTIES, party, party.id)
    if accept:
        replace_keys(draft, party, recovery.keys, recovery.threshold)
    return Outcome(changes=draft.changes())
