"""``tally centre``: data centres, and where a voucher is good at what rate."""

from typing import Literal, get_args

import click

from desk.description import record_from
from desk.documents import Json
from ledger.rules import calendar
from ledger.rules.centres import Accredit, Devices, Recognise, rate_for
from ledger.rules.programmes import ChipOrigin, Ownership, ServiceClass, Terms, issuer_of
from ledger.rules.refusals import RateNone
from tally.exits import UsageError
from tally.output import YUAN, emit, parse_yuan, say, spoken
from wallet import signing
from wallet.commands.session import (
    Desk,
    Session,
    in_fen,
    programme_of,
    reading,
    shown_times,
    writing,
)
from wallet.commands.typed import DAY
from words import dates, units

COLUMNS = ("centre", "host", "chip", "origin", "count", "tariff_ceiling_fen", "pue_milli")
GOOD_AT = ("centre", "host", "chip", "origin", "rate", "tariff_ceiling_fen", "because", "until")
RECOGNITION_DAYS = 365
RECOGNISED = ("programme", "host", "period", "mode", "limit_fen", "used_fen", "from", "until")
MODES = ("direct", "host_pays")


@click.group()
def group() -> None:
    """Accredit and recognise data centres."""


@group.command()
@click.argument("centre")
@click.option("--host", required=True, help="The city that vouches for it.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="chip:origin:count:ceiling:watts, the ceiling in yuan a device hour, the watts its maximal"
    " power: ascend-910b:domestic:200:9:400",
)
@click.option("--pue-milli", type=click.IntRange(1000, 9999), help="PUE × 1000.")
@click.option("--ownership", type=click.Choice(get_args(Ownership)))
@click.option("--end", is_flag=True, help="The accreditation ends; what it says of devices stays.")
@writing
def accredit(
    centre: str,
    *,
    host: str,
    devices: tuple[str, ...],
    pue_milli: int | None,
    ownership: Ownership | None,
    end: bool,
    desk: Desk,
) -> None:
    """State a centre's devices, or that its accreditation ends. Two registrars sign."""
    if end:
        if devices or pue_milli or ownership:
            raise UsageError("--end says nothing about devices: leave the other options out")
        operation = _ended(desk, centre, host)
    else:
        if pue_milli is None or ownership is None:
            raise UsageError("say --pue-milli and --ownership, or --end")
        operation = Accredit(
            host=host,
            centre=centre,
            devices=tuple(_devices(text) for text in devices),
            pue_milli=pue_milli,
            ownership=ownership,
            ended=False,
        )
    desk.carry_out(operation, centre=centre, host=host, ended=end)


def _ended(session: Session, centre: str, host: str) -> Accredit:
    """Return the accreditation that a centre has now, ended."""
    now = session.item(f"/v1/centres/{centre}")
    stated = {name: now[name] for name in ("centre", "devices", "pue_milli", "ownership")}
    return record_from(Accredit, {**stated, "host": host, "ended": True})


def _devices(text: str) -> Devices:
    parts = text.split(":")
    if len(parts) != 5 or parts[1] not in get_args(ChipOrigin):
        raise UsageError(f"{text!r}: write chip:domestic|foreign:count:ceiling:watts")
    chip, origin, count, ceiling, watts = parts
    if not count.isdecimal() or not watts.isdecimal():
        raise UsageError(f"{text!r}: count and watts are whole numbers")
    return Devices(
        chip=chip,
        origin="domestic" if origin == "domestic" else "foreign",
        count=int(count),
        tariff_ceiling=parse_yuan(ceiling),
        power_w=int(watts),
    )


@group.command()
@click.option("--issuer", required=True, help="The city whose programmes are opened.")
@click.option("--programme", "programmes", multiple=True, required=True)
@click.option("--host", "hosts", multiple=True, required=True, help="A city with centres.")
@click.option("--from", "first_day", type=DAY, help="First day (default: today).")
@click.option("--until", "last_day", type=DAY, help="Last day (default: a year later).")
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="direct",
    show_default=True,
    help="Who pays the centres: the funders, or their host, to whom the funders owe it.",
)
@click.option("--limit", type=YUAN, help="The most that the host pays, in yuan.")
@writing
def recognise(
    *,
    issuer: str,
    programmes: tuple[str, ...],
    hosts: tuple[str, ...],
    first_day: int | None,
    last_day: int | None,
    mode: Literal["direct", "host_pays"],
    limit: int | None,
    desk: Desk,
) -> None:
    """Let the centres of other cities redeem a programme's vouchers. Two registrars sign.

    Where the host pays, two registrars of each host sign too. From today or before it changes the
    period in force; from a later day it sets a period ahead, which must not overlap another.
    """
    if limit is not None and mode == "direct":
        raise UsageError("--limit binds only what the host pays: --mode host_pays")
    first = calendar.day_of(signing.now_ms()) if first_day is None else first_day
    last = first + RECOGNITION_DAYS if last_day is None else last_day
    operation = Recognise(
        issuer=issuer,
        programmes=programmes,
        hosts=hosts,
        mode=mode,
        limit=() if limit is None else (limit,),
        from_ms=calendar.end_of_day_ms(first - 1),
        until_ms=calendar.end_of_day_ms(last),
    )
    desk.carry_out(operation, programmes=list(programmes), hosts=list(hosts), mode=mode)


@group.command()
@click.option("--programme")
@reading
def recognitions(*, programme: str | None, session: Session) -> None:
    """List which hosts' centres a programme recognises, who pays and how much is used."""
    items = session.nodes.items("/v1/recognitions", programme=programme)
    rows = [shown_times(in_fen(item, "limit", "used"), "from", "until") for item in items]
    emit(rows, RECOGNISED)


@group.command(name="list")
@click.option("--programme", help="Only where its vouchers are good, and at what rate.")
@click.option("--voucher", help="The same for one voucher and its holder.")
@click.option("--holder", help="The same for a programme and this holder.")
@click.option(
    "--service",
    "service_class",
    type=click.Choice(get_args(ServiceClass)),
    default="training",
    show_default=True,
)
@reading
def list_(
    *,
    programme: str | None,
    voucher: str | None,
    holder: str | None,
    service_class: ServiceClass,
    session: Session,
) -> None:
    """List centres; for a programme or voucher, where it is good and at what rate."""
    if voucher is not None:
        item = session.item(f"/v1/vouchers/{voucher}")
        programme, holder = item["programme"], item["holder"]
    centres = [item for item in session.nodes.items("/v1/centres") if not item["ended"]]
    if programme is None:
        if holder is not None:
            raise UsageError("name the --programme too")
        emit([row for item in centres for row in _rows(item)], COLUMNS)
        return
    emit(_good_at(session, programme, holder, service_class, centres), GOOD_AT)


def _rows(centre: Json) -> list[Json]:
    """Return a centre's chips, a row each."""
    shared = {name: value for name, value in centre.items() if name != "devices"}
    return [{**shared, **in_fen(devices, "tariff_ceiling")} for devices in centre["devices"]]


def _good_at(
    session: Session,
    programme: str,
    holder: str | None,
    service_class: ServiceClass,
    centres: list[Json],
) -> list[Json]:
    terms = record_from(Terms, programme_of(session, programme)["terms"])
    holder_class = ""
    if holder is not None:
        holder_class = session.item(f"/v1/parties/{holder}")["party_class"]
    elif any(row.holder_class for row in terms.rates):
        say("rates differ by class of holder: name one with --holder")
    now_ms = signing.now_ms()
    recognised = {
        item["host"]: item
        for item in session.nodes.items("/v1/recognitions", programme=programme)
        if item["from_ms"] <= now_ms < item["until_ms"]
    }
    rows = []
    for centre in centres:
        reason = _reason(terms, programme, centre, recognised.get(centre["host"]))
        if reason is None:
            continue
        for row in _rows(centre):
            rate = _rate(terms, row, holder_class, service_class)
            if rate is not None:
                shown = spoken().text("unit.percent", share=units.percent(rate))
                rows.append({**row, "rate_basis_points": rate, "rate": shown, **reason})
    return rows


def _rate(terms: Terms, row: Json, holder_class: str, service_class: str) -> int | None:
    try:
        return rate_for(
            terms,
            holder_class=holder_class,
            chip_origin=row["origin"],
            service_class=service_class,
            ownership=row["ownership"],
        )
    except RateNone:
        return None


def _reason(
    terms: Terms, programme: str, centre: Json, recognition: Json | None
) -> dict[str, str | None] | None:
    """Return why a programme takes claims of a centre and until when, or None (R5.1)."""
    if centre["host"] == issuer_of(programme):
        return {"because": "own city", "until": None}
    if terms.centres == "listed" and centre["centre"] in terms.listed:
        return {"because": "listed", "until": None}
    if terms.centres == "recognised" and recognition is not None:
        return {"because": "recognised", "until": dates.through(recognition["until_ms"])}
    return None
