"""Data centres: accreditation, recognition, who accepts whom at what rate (T5, T6, R5, R6.1)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger.encoding.codec import FEN_MAX, AtMostOne, Fen, Natural, ProgrammeId, Record, Slug, only
from ledger.rules import calendar, money
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.parties import PARTIES, party_of, require_active, require_city, require_kind
from ledger.rules.programmes import (
    ChipOrigin,
    Ownership,
    Terms,
    issuer_of,
    programme_of,
)
from ledger.rules.refusals import (
    CentreNotAccepted,
    CentreNotAccredited,
    ChipNotAccredited,
    HostMismatch,
    IssuerMismatch,
    PeriodEmpty,
    PeriodsOverlap,
    PeriodsTooMany,
    RateNone,
    RecognitionExceeded,
    RepeatedValue,
)
from ledger.view import Draft, StateView, Table, get, must

CHIPS_MAX = 64
POWER_MAX_W = 100_000
HOSTS_MAX = 64
PERIODS_MAX = 4
"""Periods of one recognition that have not ended."""
DEVICES_MAX = 10_000_000
"""Devices of one chip at a centre; a day's device time of that many is far inside the range."""


class Devices(Record, frozen=True):
    """Accredited devices of one chip at a centre."""

    chip: Slug
    origin: ChipOrigin
    count: Annotated[int, Meta(ge=0, le=DEVICES_MAX)]
    tariff_ceiling: Annotated[int, Meta(ge=1, le=FEN_MAX)]
    """Highest price in fen of an hour on one device."""
    power_w: Annotated[int, Meta(ge=1, le=POWER_MAX_W)]
    """The chip's declared maximal power."""


class Accreditation(Record, frozen=True):
    """What a host city vouches for at a centre."""

    centre: Slug
    host: Slug
    devices: Annotated[tuple[Devices, ...], Meta(max_length=CHIPS_MAX)]
    pue_milli: Natural
    """Power usage effectiveness × 1000."""
    ownership: Ownership
    ended: bool
    since_day: Natural
    """Day of its first accreditation: no use before it is paid."""


class Recognition(Record, frozen=True):
    """A period in which an issuer lets a host city's centres redeem a programme's vouchers."""

    programme: ProgrammeId
    host: Slug
    period: Natural
    """From 1: claims name it, so that each gives back where it took."""
    mode: Literal["direct", "host_pays"]
    limit: AtMostOne[Fen]
    used: Fen
    """What claims of this period have pending and accepted where the host pays."""
    from_ms: Natural
    until_ms: Natural


class RecognitionPeriods(Record, frozen=True):
    """Which periods a recognition has."""

    last: Natural
    """The last number that was given."""
    periods: Annotated[tuple[Natural, ...], Meta(min_length=1, max_length=PERIODS_MAX)]
    """Those that had not ended when one was set, and that one."""


class PayingHost(Record, frozen=True):
    """Who pays a claim and is reimbursed, and in which period of its recognition."""

    party: Slug
    period: Natural


ACCREDITATIONS = Table("accreditation", Accreditation)
"""By centre."""
RECOGNITIONS = Table("recognition", Recognition, running_sum=True)
"""By programme, host and period."""
RECOGNITION_PERIODS = Table("recognition-periods", RecognitionPeriods)
"""By programme and host."""


class Accredit(Record, frozen=True, tag="centre.accredit"):
    """A host city states a centre's devices, or that its accreditation ends (T5)."""

    host: Slug
    centre: Slug
    devices: Annotated[tuple[Devices, ...], Meta(max_length=CHIPS_MAX)]
    pue_milli: Natural
    ownership: Ownership
    ended: bool


class Recognise(Record, frozen=True, tag="recognition.set"):
    """An issuer recognises hosts for some of its programmes (T6)."""

    issuer: Slug
    programmes: Annotated[tuple[ProgrammeId, ...], Meta(min_length=1, max_length=64)]
    hosts: Annotated[tuple[Slug, ...], Meta(min_length=1, max_length=HOSTS_MAX)]
    mode: Literal["direct", "host_pays"]
    limit: AtMostOne[Fen]
    from_ms: Natural
    until_ms: Natural


def apply_accredit(view: StateView, tx: Accredit, context: Context) -> Outcome:
    """Return the write that accredits a centre. Checks run in the order of T5."""
    host = require_city(view, tx.host)
    context.signers.require_officers(tx.host, "registrar")
    require_active(host)
    centre = party_of(view, tx.centre)
    require_kind(centre, "data_centre")
    before = get(view, ACCREDITATIONS, tx.centre)
    moves = before is not None and before.host != tx.host
    if moves and not context.signers.has_threshold(centre.id, centre.threshold):
        assert before is not None
        raise HostMismatch(centre=tx.centre, host=before.host)
    if moves:
        require_active(centre)
    require_distinct([devices.chip for devices in tx.devices])
    accreditation = Accreditation(
        centre=tx.centre,
        host=tx.host,
        devices=tx.devices,
        pue_milli=tx.pue_milli,
        ownership=tx.ownership,
        ended=tx.ended,
        since_day=calendar.day_of(context.time_ms) if before is None else before.since_day,
    )
    draft = Draft(view)
    draft.put(ACCREDITATIONS, accreditation, tx.centre)
    return Outcome(changes=draft.changes())


ACCREDIT = Kind(record=Accredit, apply=apply_accredit)


def apply_recognise(view: StateView, tx: Recognise, context: Context) -> Outcome:
    """Return the writes that recognise hosts. Checks run in the order of T6."""
    issuer = require_city(view, tx.issuer)
    context.signers.require_officers(tx.issuer, "registrar")
    require_active(issuer)
    if tx.until_ms <= tx.from_ms:
        raise PeriodEmpty(from_ms=tx.from_ms, until_ms=tx.until_ms)
    require_distinct(tx.programmes)
    require_distinct(tx.hosts)
    for host in tx.hosts:
        city = require_city(view, host)
        if tx.mode == "host_pays":  # it will owe its centres, so it agrees
            context.signers.require_officers(host, "registrar")
            require_active(city)
    draft = Draft(view)
    for programme_id in tx.programmes:
        if issuer_of(programme_id) != tx.issuer:
            raise IssuerMismatch(
                programme=programme_id, issuer=issuer_of(programme_id), party=tx.issuer
            )
        programme_of(view, programme_id)
        for host in tx.hosts:
            _set_period(draft, tx, programme_id, host, context.time_ms)
    return Outcome(changes=draft.changes())


RECOGNISE = Kind(
    record=Recognise, apply=apply_recognise, rows=lambda tx: len(tx.programmes) * len(tx.hosts)
)


def _set_period(draft: Draft, tx: Recognise, programme_id: str, host: str, time_ms: int) -> None:
    """Change a period of a recognition, or make the next one (R5.3, T6.8)."""
    known = get(draft, RECOGNITION_PERIODS, programme_id, host)
    last = 0 if known is None else known.last
    period = Recognition(
        programme=programme_id,
        host=host,
        period=last + 1,
        mode=tx.mode,
        limit=tx.limit,
        used=0,
        from_ms=tx.from_ms,
        until_ms=tx.until_ms,
    )
    others: list[Recognition] = []
    for one in _periods(draft, programme_id, host):
        if one.until_ms <= time_ms:
            continue
        if max(one.from_ms, time_ms) == max(tx.from_ms, time_ms):  # what has begun begins now
            period = msgspec.structs.replace(
                one, mode=tx.mode, limit=tx.limit, until_ms=tx.until_ms
            )
        else:
            others.append(one)
    for one in others:
        if one.from_ms < period.until_ms and period.from_ms < one.until_ms:
            raise PeriodsOverlap(
                programme=programme_id, host=host, from_ms=one.from_ms, until_ms=one.until_ms
            )
    if len(others) >= PERIODS_MAX:
        raise PeriodsTooMany(programme=programme_id, host=host, maximum=PERIODS_MAX)
    numbers = sorted([period.period, *(one.period for one in others)])
    periods = RecognitionPeriods(last=max(last, period.period), periods=tuple(numbers))
    draft.put(RECOGNITIONS, period, programme_id, host, str(period.period))
    draft.put(RECOGNITION_PERIODS, periods, programme_id, host)


def _periods(view: StateView, programme_id: str, host: str) -> tuple[Recognition, ...]:
    """Return the periods of a recognition that may not have ended."""
    known = get(view, RECOGNITION_PERIODS, programme_id, host)
    return tuple(
        must(view, RECOGNITIONS, programme_id, host, str(number))
        for number in (() if known is None else known.periods)
    )


def recognition_in_force(
    view: StateView, programme_id: str, host: str, time_ms: int
) -> Recognition | None:
    """Return the period of a recognition that is in force, or None (R5.3)."""
    for period in _periods(view, programme_id, host):
        if period.from_ms <= time_ms < period.until_ms:
            return period
    return None


def require_distinct(values: list[str] | tuple[str, ...]) -> None:
    """Raise RepeatedValue if a value stands twice."""
    seen: dict[str, None] = {}
    for value in values:
        if value in seen:
            raise RepeatedValue(value=value)
        seen[value] = None


def accreditation_of(view: StateView, centre: str) -> Accreditation:
    """Return a centre's accreditation in force; raise CentreNotAccredited."""
    accreditation = get(view, ACCREDITATIONS, centre)
    if accreditation is None or not is_in_force(view, accreditation):
        raise CentreNotAccredited(centre=centre)
    return accreditation


def is_in_force(view: StateView, accreditation: Accreditation) -> bool:
    """Return whether an accreditation is in force (R5.4)."""
    if accreditation.ended:
        return False
    return must(view, PARTIES, accreditation.host).status != "removed"


def require_accepted(
    view: StateView,
    programme_id: str,
    terms: Terms,
    accreditation: Accreditation,
    time_ms: int,
) -> None:
    """Raise CentreNotAccepted unless the programme takes claims of this centre (R5.1)."""
    if not is_accepted(view, programme_id, terms, accreditation, time_ms):
        raise CentreNotAccepted(
            programme=programme_id, centre=accreditation.centre, host=accreditation.host
        )


def is_accepted(
    view: StateView,
    programme_id: str,
    terms: Terms,
    accreditation: Accreditation,
    time_ms: int,
) -> bool:
    """Return whether a programme takes claims of a centre: a city's own ones always (R5.1)."""
    if accreditation.host == issuer_of(programme_id):
        return True
    if terms.centres == "listed" and accreditation.centre in terms.listed:
        return True
    if terms.centres == "recognised":
        host = accreditation.host
        return recognition_in_force(view, programme_id, host, time_ms) is not None
    return False


def paying_host(
    view: StateView,
    programme_id: str,
    terms: Terms,
    accreditation: Accreditation,
    time_ms: int,
) -> Recognition | None:
    """Return the period in which the host pays claims of this centre, or None (R5.2)."""
    if accreditation.host == issuer_of(programme_id) or terms.centres != "recognised":
        return None
    recognition = recognition_in_force(view, programme_id, accreditation.host, time_ms)
    if recognition is None or recognition.mode != "host_pays":
        return None
    return recognition


def use_recognition(draft: Draft, recognition: Recognition, amount: int) -> None:
    """Count a claim in against what the host agreed to pay; raise RecognitionExceeded."""
    limit = only(recognition.limit)
    if limit is not None and recognition.used + amount > limit:
        raise RecognitionExceeded(
            programme=recognition.programme,
            host=recognition.host,
            asked=amount,
            available=max(0, limit - recognition.used),
        )
    _change_used(draft, recognition, amount)


def free_recognition(draft: Draft, programme_id: str, host: PayingHost, amount: int) -> None:
    """Take back what a claim counted in, in its own period (R12.4)."""
    period = must(draft, RECOGNITIONS, programme_id, host.party, str(host.period))
    _change_used(draft, period, -amount)


def _change_used(draft: Draft, period: Recognition, delta: int) -> None:
    used = msgspec.structs.replace(period, used=money.add(period.used, delta))
    draft.put(RECOGNITIONS, used, period.programme, period.host, str(period.period))


def devices_of(accreditation: Accreditation, chip: str) -> Devices:
    """Return a centre's devices of a chip; raise ChipNotAccredited."""
    for devices in accreditation.devices:
        if devices.chip == chip:
            return devices
    raise ChipNotAccredited(centre=accreditation.centre, chip=chip)


def rate_for(
    terms: Terms,
    *,
    holder_class: str,
    chip_origin: str,
    service_class: str,
    ownership: str,
) -> int:
    """Return the basis points of the first matching row; raise RateNone (R6.1)."""
    for row in terms.rates:
        if only(row.holder_class) not in (None, holder_class):
            continue
        if only(row.chip_origin) not in (None, chip_origin):
            continue
        if only(row.service_class) not in (None, service_class):
            continue
        if only(row.ownership) not in (None, ownership):
            continue
        return row.basis_points
    raise RateNone(holder_class=holder_class, chip_origin=chip_origin, ownership=ownership)
