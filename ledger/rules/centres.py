"""Data centres: accreditation, recognition and who accepts whom (spec T5, T6, R5)."""

from typing import Annotated, Literal

from msgspec import Meta

from ledger.encoding.codec import Fen, Natural, ProgrammeId, Record, Slug
from ledger.rules.base import Context, Outcome
from ledger.rules.parties import party_of, require_city, require_kind
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
    HostMismatch,
    IssuerMismatch,
    ModeNotSupported,
    PeriodEmpty,
    RepeatedValue,
)
from ledger.view import Draft, StateView, Table, get

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
    """Highest price in fen of an hour on one device."""


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
    limit: Annotated[tuple[Fen, ...], Meta(max_length=1)]
    used: Fen
    from_ms: Natural
    until_ms: Natural


ACCREDITATIONS = Table("accreditation", Accreditation)
"""By centre."""
RECOGNITIONS = Table("recognition", Recognition)
"""By programme and host."""


class Accredit(Record, frozen=True, tag="provider.accredit"):
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
    limit: Annotated[tuple[Fen, ...], Meta(max_length=1)]
    from_ms: Natural
    until_ms: Natural


def apply_accredit(view: StateView, tx: Accredit, context: Context) -> Outcome:
    """Return the write that accredits a centre. Checks run in the order of T5."""
    require_city(view, tx.host)
    context.signers.require_officers(tx.host, "registrar")
    require_kind(party_of(view, tx.centre), "data_centre")
    before = get(view, ACCREDITATIONS, tx.centre)
    if before is not None and before.host != tx.host:
        raise HostMismatch(centre=tx.centre, host=before.host)
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


def apply_recognise(view: StateView, tx: Recognise, context: Context) -> Outcome:
    """Return the writes that recognise hosts. Checks run in the order of T6."""
    require_city(view, tx.issuer)
    context.signers.require_officers(tx.issuer, "registrar")
    if tx.mode != "direct":
        raise ModeNotSupported(mode=tx.mode)
    if tx.until_ms <= tx.from_ms:
        raise PeriodEmpty(from_ms=tx.from_ms, until_ms=tx.until_ms)
    require_distinct(tx.programmes)
    require_distinct(tx.hosts)
    draft = Draft(view)
    for programme_id in tx.programmes:
        if issuer_of(programme_id) != tx.issuer:
            raise IssuerMismatch(
                programme=programme_id, issuer=issuer_of(programme_id), party=tx.issuer
            )
        programme_of(view, programme_id)
        for host in tx.hosts:
            require_city(view, host)
            before = get(view, RECOGNITIONS, programme_id, host)
            recognition = Recognition(
                programme=programme_id,
                host=host,
                mode=tx.mode,
                limit=tx.limit,
                used=0 if before is None else before.used,
                from_ms=tx.from_ms,
                until_ms=tx.until_ms,
            )
            draft.put(RECOGNITIONS, recognition, programme_id, host)
    return Outcome(changes=draft.changes())


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
    if accreditation is None or accreditation.ended:
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
