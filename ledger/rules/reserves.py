"""Reserves: value that a holder sets aside for a centre's order (spec T12, T13)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from ledger.encoding.characters import TEXT_PATTERN
from ledger.encoding.codec import Fen, Natural, Record, SerialId, Slug
from ledger.rules import calendar
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.centres import accreditation_of, devices_of, rate_for, require_accepted
from ledger.rules.control import PARAMETERS
from ledger.rules.holds import require_not_held
from ledger.rules.parties import (
    PARTIES,
    Party,
    party_of,
    require_active,
    require_free,
    require_kind,
)
from ledger.rules.programmes import (
    ServiceClass,
    issuer_of,
    programme_of,
    require_not_suspended,
    terms_of,
)
from ledger.rules.refusals import (
    ReserveExhausted,
    ReserveExpired,
    ReserveMismatch,
    ReserveRunning,
    ReserveTooSmall,
    ReserveUnknown,
    ReserveUntilInvalid,
)
from ledger.rules.successors import acting_for, settling_for
from ledger.rules.sums import next_serial
from ledger.rules.vouchers import (
    PositiveFen,
    give_back,
    held_voucher,
    held_with,
    move_value,
    require_available,
    require_unexpired,
)
from ledger.view import Draft, StateView, Table, get, must

GRACE_MS = 30 * calendar.DAY_MS
"""How long after the hold end a centre may still claim what was reserved for it."""

OrderRef = Annotated[str, Meta(max_length=64, pattern=TEXT_PATTERN)]
"""The centre's own reference of a job."""


class Reserve(Record, frozen=True):
    """Value set aside for a centre: the holder's authorisation to claim it."""

    id: SerialId
    voucher: SerialId
    holder: Slug
    centre: Slug
    order: OrderRef
    chip: Slug
    service_class: ServiceClass
    amount: Fen
    """What was set aside."""
    left: Fen
    """What is neither claimed nor given back."""
    until_ms: Natural
    """Hold end."""


RESERVES = Table("reserve", Reserve)


class SetAside(Record, frozen=True, tag="voucher.reserve"):
    """A holder sets value aside for a centre (T12)."""

    voucher: SerialId
    holder: Slug
    centre: Slug
    order: OrderRef
    amount: PositiveFen
    chip: Slug
    service_class: ServiceClass
    until_ms: Natural


class Release(Record, frozen=True, tag="voucher.release"):
    """A centre gives reserved value back, or after the hold end the holder with its city (T13)."""

    reserve: SerialId
    by: Slug
    amount: PositiveFen


def apply_set_aside(view: StateView, tx: SetAside, context: Context) -> Outcome:
    """Return the writes that set value aside. Checks run in the order of T12."""
    holder = party_of(view, tx.holder)
    require_kind(holder, "holder")
    centre = party_of(view, tx.centre)
    require_kind(centre, "data_centre")
    context.signers.require_threshold(holder.id, holder.threshold)
    require_free(holder, context.time_ms)
    require_active(centre)
    voucher = held_voucher(view, tx.voucher, tx.holder)
    require_not_held(
        view,
        ("party", holder.id),
        ("party", centre.id),
        ("centre", centre.id),
        ("programme", voucher.programme),
        *held_with(view, voucher),
    )
    require_not_suspended(programme_of(view, voucher.programme))
    terms = terms_of(view, voucher.programme, voucher.terms_version)
    accreditation = accreditation_of(view, centre.id)
    require_accepted(view, voucher.programme, terms, accreditation, context.time_ms)
    devices = devices_of(accreditation, tx.chip)
    rate_for(
        terms,
        holder_class=holder.party_class,
        chip_origin=devices.origin,
        service_class=tx.service_class,
        ownership=accreditation.ownership,
    )
    expiry = require_unexpired(voucher, holder, context)
    require_available(voucher, tx.amount)
    least = must(view, PARAMETERS, "all").reserve_min
    if tx.amount < min(least, voucher.available):
        raise ReserveTooSmall(amount=tx.amount, least=least)
    if not context.time_ms < tx.until_ms <= expiry:
        raise ReserveUntilInvalid(until_ms=tx.until_ms, time_ms=context.time_ms, latest_ms=expiry)
    draft = Draft(view)
    reserve = Reserve(
        id=next_serial(draft, "reserve", centre.id),
        voucher=voucher.id,
        holder=holder.id,
        centre=centre.id,
        order=tx.order,
        chip=tx.chip,
        service_class=tx.service_class,
        amount=tx.amount,
        left=tx.amount,
        until_ms=tx.until_ms,
    )
    draft.put(RESERVES, reserve, reserve.id)
    posting = move_value(
        draft,
        voucher.id,
        source="available",
        target="reserved",
        amount=tx.amount,
    )
    return Outcome(changes=draft.changes(), postings=(posting,))


SET_ASIDE = Kind(record=SetAside, apply=apply_set_aside)


def reserve_of(view: StateView, reserve_id: str) -> Reserve:
    """Return a reserve; raise ReserveUnknown."""
    reserve = get(view, RESERVES, reserve_id)
    if reserve is None:
        raise ReserveUnknown(reserve=reserve_id)
    return reserve


def end_of_grace(reserve: Reserve) -> int:
    """Return when expiry looks at a reserve (R8.1)."""
    return reserve.until_ms + GRACE_MS


def reserve_expiry_of(reserve: Reserve, context: Context) -> int:
    """Return the first millisecond at which a reserve is no longer good (R11.4)."""
    return context.put_off(end_of_grace(reserve))


def require_left(reserve: Reserve, amount: int) -> None:
    """Raise ReserveExhausted unless ``amount`` fen are left."""
    if amount > reserve.left:
        raise ReserveExhausted(asked=amount, available=reserve.left)


def require_good(reserve: Reserve, context: Context) -> None:
    """Raise ReserveExpired once hold end and grace are over."""
    expiry = reserve_expiry_of(reserve, context)
    if context.time_ms >= expiry:
        raise ReserveExpired(reserve=reserve.id, until_ms=expiry, time_ms=context.time_ms)


def change_left(draft: Draft, reserve_id: str, delta: int) -> None:
    """Add to what is left in a reserve."""
    reserve = must(draft, RESERVES, reserve_id)
    changed = msgspec.structs.replace(reserve, left=reserve.left + delta)
    draft.put(RESERVES, changed, reserve_id)


def apply_release(view: StateView, tx: Release, context: Context) -> Outcome:
    """Return the writes that give value back. Checks run in the order of T13."""
    reserve = reserve_of(view, tx.reserve)
    if tx.by not in (reserve.centre, reserve.holder):
        raise ReserveMismatch(reserve=reserve.id, voucher=reserve.voucher, centre=reserve.centre)
    if tx.by == reserve.holder:
        holder = must(view, PARTIES, tx.by)
        context.signers.require_threshold(holder.id, holder.threshold)
        _require_takes_back(view, reserve, holder, context)
    else:
        centre = settling_for(view, tx.by)
        context.signers.require_threshold(centre.id, centre.threshold)
    require_left(reserve, tx.amount)
    draft = Draft(view)
    change_left(draft, reserve.id, -tx.amount)
    postings = give_back(
        draft, reserve.voucher, source="reserved", amount=tx.amount, context=context
    )
    return Outcome(changes=draft.changes(), postings=postings)


def _require_takes_back(view: StateView, reserve: Reserve, holder: Party, context: Context) -> None:
    """Raise unless a holder may take back what a centre leaves lying (T13.4)."""
    require_free(holder, context.time_ms)
    issuer = acting_for(view, issuer_of(reserve.voucher))
    context.signers.require_officers(issuer.id, "review")
    until_ms = context.put_off(reserve.until_ms)
    if context.time_ms < until_ms:
        raise ReserveRunning(until_ms=until_ms, time_ms=context.time_ms)


RELEASE = Kind(record=Release, apply=apply_release)
