"""Data centres: accreditation, recognition, who accepts whom at what rate (T5, T6, R5, R6.1)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger.encoding.codec import AtMostOne, Fen, Natural, ProgrammeId, Record, Slug, only
from ledger.rules import money
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
    RateNone,
    RecognitionExceeded,
    RepeatedValue,
)
from ledger.view import Draft, StateView, Table, get, must

CHIPS_MAX = 64
HOSTS_MAX = 64
DEVICES_MAX = 10_000_000
"""Devices of one chip at a centre; a day's device time of that many is far inside the range."""


class Devices(Record, frozen=True):
    """Accredited devices of one chip at a centre."""

    chip: Slug
    origin: ChipOrigin
    count: Annotated[int, Meta(ge=0, le=DEVICES_MAX)]
    tariff_ceiling: Fen
    """Highest price in fen of an hour on one device; 0 if none is set."""


class Accreditation(Record, frozen=True):
    """What a host city vouches for at a centre."""

    centre: Slug
    host: Slug
    devices: Annotated[tuple[Devices, ...], Meta(max_length=CHIPS_MAX)]
    pue_milli: Natural
    """Power usage effectiveness × 1000."""
    ownership: Ownership
    ended: bool


class Recognition(Record, frozen=True):
    """An issuer lets a host city's centres redeem a programme's vouchers."""

    programme: ProgrammeId
    host: Slug
    mode: Literal["direct", "host_pays"]
    limit: AtMostOne[Fen]
    used: Fen
    """What claims of this period have pending and accepted where the host pays."""
    from_ms: Natural
    until_ms: Natural


ACCREDITATIONS = Table("accreditation", Accreditation)
"""By centre."""
RECOGNITIONS = Table("recognition", Recognition, running_sum=True)
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
            before = get(view, RECOGNITIONS, programme_id, host)
            goes_on = before is not None and tx.from_ms < before.until_ms
            recognition = Recognition(
                programme=programme_id,
                host=host,
                mode=tx.mode,
                limit=tx.limit,
                used=before.used if before is not None and goes_on else 0,
                from_ms=tx.from_ms,
                until_ms=tx.until_ms,
            )
            draft.put(RECOGNITIONS, recognition, programme_id, host)
    return Outcome(changes=draft.changes())


RECOGNISE = Kind(
    record=Recognise, apply=apply_recognise, rows=lambda tx: len(tx.programmes) * len(tx.hosts)
)


def require_distinct(values: list[str] | tuple[str, ...]) -> None:
    """Raise RepeatedValue if a value stands twice."""
    seen: dict[str, None] = {}
    for value in values:
        if value in seen:
            raise RepeatedValue(value=value)
        seen[value] = None


def accreditation_of(view: StateView, centre: str) -> Accreditation:
    """Return a centre's accreditation in force; raise CentreNotAccredited (R5.3)."""
    accreditation = get(view, ACCREDITATIONS, centre)
    if accreditation is None or accreditation.ended:
        raise CentreNotAccredited(centre=centre)
    if must(view, PARTIES, accreditation.host).status == "removed":
        raise CentreNotAccredited(centre=centre)
    return accreditation


def require_accepted(
    view: StateView,
    programme_id: str,
    terms: Terms,
    accreditation: Accreditation,
    time_ms: int,
) -> None:
    """Raise CentreNotAccepted unless the programme takes claims of this centre (R5.1).

    A city's own centres are always accepted.
    """
    if accreditation.host == issuer_of(programme_id):
        return
    if terms.centres == "listed" and accreditation.centre in terms.listed:
        return
    if terms.centres == "recognised":
        recognition = get(view, RECOGNITIONS, programme_id, accreditation.host)
        if recognition is not None and recognition.from_ms <= time_ms < recognition.until_ms:
            return
    raise CentreNotAccepted(
        programme=programme_id, centre=accreditation.centre, host=accreditation.host
    )


def paying_host(
    view: StateView, programme_id: str, terms: Terms, accreditation: Accreditation
) -> Recognition | None:
    """Return the recognition under which the host pays claims of this centre, or None (R5.2)."""
    if accreditation.host == issuer_of(programme_id) or terms.centres != "recognised":
        return None
    recognition = get(view, RECOGNITIONS, programme_id, accreditation.host)
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
    used = msgspec.structs.replace(recognition, used=money.add(recognition.used, amount))
    draft.put(RECOGNITIONS, used, recognition.programme, recognition.host)


def free_recognition(
    draft: Draft, programme_id: str, host: str, amount: int, *, submitted_ms: int
) -> None:
    """Take back what a claim counted in, if it was of the present period (R12.4)."""
    recognition = must(draft, RECOGNITIONS, programme_id, host)
    if submitted_ms >= recognition.from_ms:
        freed = msgspec.structs.replace(recognition, used=max(0, recognition.used - amount))
        draft.put(RECOGNITIONS, freed, programme_id, host)


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
