"""Cases: setting and clearing holds, and anchoring what lies outside (spec T20, T21, T22)."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from ledger.encoding.codec import Hash, Natural, Record, SerialId, Slug, Text
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.centres import ACCREDITATIONS
from ledger.rules.claims import CLAIMS
from ledger.rules.holds import (
    HELD,
    HOLD_BARS,
    HOLDS,
    HOLDS_MAX,
    OWN_HOLDS_MAX,
    HeldBy,
    Hold,
    HoldBar,
    Scope,
    ThingId,
    open_holds,
)
from ledger.rules.parties import (
    PARTIES,
    Party,
    party_of,
    require_active,
    require_city_or_auditor,
    require_consent,
    require_kind,
)
from ledger.rules.payables import (
    PAYABLES,
    Payable,
    claim_payables,
    is_cleared,
    join_cycle,
    leave_cycle,
    open_cycle,
)
from ledger.rules.programmes import PROGRAMMES, issuer_of
from ledger.rules.refusals import (
    HeightAhead,
    HoldBarred,
    HoldCleared,
    HoldNotTheirs,
    HoldsTooMany,
    HoldUnknown,
    NotConcerned,
    OwnCause,
    ScopeUnknown,
)
from ledger.rules.successors import acts_for_one
from ledger.rules.sums import next_serial
from ledger.rules.vouchers import VOUCHERS
from ledger.view import Draft, StateView, Table, get, must


class SetHold(Record, frozen=True, tag="hold.set"):
    """A city or an auditor freezes something (T20)."""

    by: Slug
    scope: Scope
    id: ThingId
    case: Hash
    reason: Text


class ClearHold(Record, frozen=True, tag="hold.clear"):
    """A hold ends (T21)."""

    by: Slug
    hold: SerialId
    case: Hash


class Anchor(Record, frozen=True):
    """A commitment to something outside the ledger."""

    id: SerialId
    by: Slug
    about: Literal["case", "document", "trial_balance"]
    as_of: Natural
    """The height that it is about."""
    commitment: Hash
    note: Text
    recorded_ms: Natural


class RecordAnchor(Record, frozen=True, tag="record.anchor"):
    """A member commits to a case, a document or a trial balance (T22)."""

    by: Slug
    about: Literal["case", "document", "trial_balance"]
    as_of: Natural
    commitment: Hash
    note: Text


ANCHORS = Table("anchor", Anchor)


def apply_set_hold(view: StateView, tx: SetHold, context: Context) -> Outcome:
    """Return the writes of a hold. Checks run in the order of T20."""
    setter = party_of(view, tx.by)
    require_city_or_auditor(setter)
    require_consent(context, setter, "review")
    require_active(setter)
    concerned = _concerned(view, tx.scope, tx.id)
    if concerned is None:
        raise ScopeUnknown(scope=tx.scope, id=tx.id)
    _require_no_own_cause(view, setter, tx.scope, tx.id)
    if setter.kind != "auditor" and not acts_for_one(view, setter.id, concerned):
        raise NotConcerned(party=setter.id, scope=tx.scope, id=tx.id)
    if get(view, HOLD_BARS, tx.scope, tx.id, setter.id) is not None:
        raise HoldBarred(party=setter.id, scope=tx.scope, id=tx.id)
    before = open_holds(view, tx.scope, tx.id)
    own = [hold for hold in before if hold.partition(".")[0] == setter.id]
    for held, maximum in ((own, OWN_HOLDS_MAX), (before, HOLDS_MAX)):
        if len(held) >= maximum:
            raise HoldsTooMany(party=setter.id, scope=tx.scope, id=tx.id, maximum=maximum)
    draft = Draft(view)
    hold = Hold(
        id=next_serial(draft, "hold", setter.id),
        setter=setter.id,
        scope=tx.scope,
        thing=tx.id,
        case=tx.case,
        reason=tx.reason,
        set_ms=context.time_ms,
        cleared_ms=(),
        cleared_case=(),
    )
    draft.put(HOLDS, hold, hold.id)
    draft.put(HELD, HeldBy(holds=(*before, hold.id)), tx.scope, tx.id)
    for payable in _cleared_payables(view, tx.scope, tx.id):
        if payable.cycle == (open_cycle(draft).number,):
            leave_cycle(draft, payable)
    return Outcome(changes=draft.changes())


SET_HOLD = Kind(record=SetHold, apply=apply_set_hold, allowed_while_paused=True)


def _concerned(view: StateView, scope: Scope, thing: str) -> tuple[str, ...] | None:
    """Return the parties whose business a thing is (T20.6), None if there is no such thing."""
    match scope:
        case "party":
            party = get(view, PARTIES, thing)
            return None if party is None else party.enrolled_by
        case "centre":
            accreditation = get(view, ACCREDITATIONS, thing)
            return None if accreditation is None else (accreditation.host,)
        case "programme":
            return None if get(view, PROGRAMMES, thing) is None else (issuer_of(thing),)
        case "voucher":
            return None if get(view, VOUCHERS, thing) is None else (issuer_of(thing),)
        case "claim":
            claim = get(view, CLAIMS, thing)
            return None if claim is None else (issuer_of(claim.programme),)
        case "payable":
            payable = get(view, PAYABLES, thing)
            if payable is None:
                return None
            claim = get(view, CLAIMS, payable.cause)
            return () if claim is None else (issuer_of(claim.programme),)


def _require_no_own_cause(view: StateView, by: Party, scope: Scope, thing: str) -> None:
    """Raise OwnCause where a party, or one that it acts for, is held or owes or is owed (R10.7)."""
    payables: Iterable[Payable] = ()
    if scope == "payable":
        payables = (must(view, PAYABLES, thing),)
    elif scope == "claim":
        payables = claim_payables(view, thing, must(view, CLAIMS, thing).payables)
    sides = {side: None for payable in payables for side in (payable.debtor, payable.creditor)}
    if scope == "party":
        sides[thing] = None
    if acts_for_one(view, by.id, sides):
        raise OwnCause(party=by.id, scope=scope, id=thing)


def _cleared_payables(view: StateView, scope: Scope, thing: str) -> tuple[Payable, ...]:
    """Return the payables that a hold takes out of clearing (R13.2)."""
    if scope == "payable":
        payables = [must(view, PAYABLES, thing)]
    elif scope == "claim":
        payables = list(claim_payables(view, thing, must(view, CLAIMS, thing).payables))
    else:
        return ()
    return tuple(payable for payable in payables if is_cleared(payable))


def apply_clear_hold(view: StateView, tx: ClearHold, context: Context) -> Outcome:
    """Return the writes that end a hold. Checks run in the order of T21."""
    hold = get(view, HOLDS, tx.hold)
    if hold is None:
        raise HoldUnknown(hold=tx.hold)
    if hold.cleared_ms:
        raise HoldCleared(hold=hold.id)
    by = party_of(view, tx.by)
    require_city_or_auditor(by)
    require_active(by)
    theirs = acts_for_one(view, by.id, (hold.setter,))
    # A city's hold may keep a debt out of clearing: an auditor can end any.
    if not theirs and by.kind != "auditor":
        raise HoldNotTheirs(hold=hold.id, setter=hold.setter)
    if by.id != hold.setter:
        _require_no_own_cause(view, by, hold.scope, hold.thing)
    require_consent(context, by, "review")
    draft = Draft(view)
    if not theirs:
        draft.put(HOLD_BARS, HoldBar(hold=hold.id), hold.scope, hold.thing, hold.setter)
    cleared = msgspec.structs.replace(hold, cleared_ms=(context.time_ms,), cleared_case=(tx.case,))
    draft.put(HOLDS, cleared, hold.id)
    still_open = tuple(
        hold_id for hold_id in open_holds(view, hold.scope, hold.thing) if hold_id != hold.id
    )
    draft.put(HELD, HeldBy(holds=still_open), hold.scope, hold.thing)
    for payable in _cleared_payables(view, hold.scope, hold.thing):
        if not payable.cycle and not _is_held(draft, payable):
            join_cycle(draft, payable, context.time_ms)
    return Outcome(changes=draft.changes())


CLEAR_HOLD = Kind(record=ClearHold, apply=apply_clear_hold, allowed_while_paused=True)


def _is_held(view: StateView, payable: Payable) -> bool:
    return bool(open_holds(view, "payable", payable.id) or open_holds(view, "claim", payable.cause))


def apply_record_anchor(view: StateView, tx: RecordAnchor, context: Context) -> Outcome:
    """Return the write of an anchor. Checks run in the order of T22."""
    member = party_of(view, tx.by)
    require_kind(member, "treasury", "data_centre", "auditor")
    require_consent(context, member, "registrar")
    require_active(member)
    if tx.as_of >= context.height:
        raise HeightAhead(as_of=tx.as_of, last=context.height - 1)
    draft = Draft(view)
    anchor = Anchor(
        id=next_serial(draft, "anchor", member.id),
        by=member.id,
        about=tx.about,
        as_of=tx.as_of,
        commitment=tx.commitment,
        note=tx.note,
        recorded_ms=context.time_ms,
    )
    draft.put(ANCHORS, anchor, anchor.id)
    return Outcome(changes=draft.changes())


RECORD_ANCHOR = Kind(record=RecordAnchor, apply=apply_record_anchor, allowed_while_paused=True)
