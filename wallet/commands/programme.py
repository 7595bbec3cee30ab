"""``tally programme``: what a city promises, and the money behind it."""

from pathlib import Path
from typing import get_args

import click

from desk.description import record_from
from desk.documents import Json
from ledger.rules import calendar
from ledger.rules.budgets import Appropriate
from ledger.rules.programmes import GiveConsent, Publish, Status, Terms, terms_hash
from tally.exits import NotFound, UsageError
from tally.output import YUAN, Mode, current_mode, emit
from wallet import signing
from wallet.commands.session import (
    Desk,
    Session,
    in_fen,
    item_or_none,
    programme_of,
    reading,
    writing,
)
from wallet.commands.typed import read_object, split_programme
from wallet.terms import terms_from_facts

TOTALS = ("minted", "available", "reserved", "claimed", "redeemed", "expired", "revoked")
LISTED = ("id", "title", "status", "version", "minted_fen", "outstanding_fen", "redeemed_fen")
BUDGET = ("year", "funder", "appropriated_fen", "committed_fen", "free_fen")


@click.group()
def group() -> None:
    """Publish and fund programmes. A programme is named CITY.SLUG."""


@group.command()
@click.argument("programme", required=False)
@click.option("--programme", "named", help="The same, as an option.")
@click.option(
    "--facts",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of published programmes, from which the terms are made.",
)
@click.option(
    "--terms",
    "terms_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with the terms: the 'terms' of programme show -o json.",
)
@click.option("--status", type=click.Choice(get_args(Status)), default="open", show_default=True)
@writing
def publish(
    programme: str | None,
    *,
    named: str | None,
    facts: Path | None,
    terms_file: Path | None,
    status: Status,
    desk: Desk,
) -> None:
    """Publish a programme or a new version of it. Two budget officers sign.

    Without --facts or --terms the terms stay as they are. With other funders than the city it is
    proposed, and comes into force once they have consented (`programme consent`).
    """
    chosen = named or programme
    if chosen is None or (named and programme and named != programme):
        raise UsageError("name one programme: CITY.SLUG")
    if facts is not None and terms_file is not None:
        raise UsageError("give --facts or --terms, not both")
    city, slug = split_programme(chosen)
    current = item_or_none(desk, f"/v1/programmes/{city}/{slug}")
    if facts is not None:
        terms = _from_facts(facts, city, slug)
    elif terms_file is not None:
        terms = record_from(Terms, read_object(terms_file))
    elif current is not None:
        terms = record_from(Terms, current["terms"])
    else:
        raise UsageError(f"{chosen} is new: say its terms with --facts or --terms")
    version = 1 if current is None else (current["proposed"] or current["version"]) + 1
    operation = Publish(programme=chosen, version=version, status=status, terms=terms)
    desk.carry_out(operation, programme=chosen, version=version, assumed=list(terms.assumed))


@group.command()
@click.argument("programme")
@click.argument("status", type=click.Choice(get_args(Status)))
@writing
def status(programme: str, status: Status, *, desk: Desk) -> None:
    """Open, suspend or close a programme; its terms and version stay. Two budget officers sign.

    A suspended programme neither mints nor redeems; a closed one still redeems, for ever.
    """
    current = programme_of(desk, programme)
    operation = Publish(
        programme=programme,
        version=current["version"] or current["proposed"],
        status=status,
        terms=record_from(Terms, current["terms"]),
    )
    more = {"programme": programme, "version": operation.version, "programme_status": status}
    desk.carry_out(operation, **more)


@group.command()
@click.argument("programme")
@click.option("--funder", required=True, help="Whose money it is.")
@click.option(
    "--terms",
    "terms_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with the terms that were read (default: what the node shows as proposed).",
)
@writing
def consent(programme: str, *, funder: str, terms_file: Path | None, desk: Desk) -> None:
    """Consent to the proposed version, as a funder. Two of its budget officers sign.

    Read it first: `programme show -o json` has it under `proposed_terms`. What is signed names its
    hash, so that no other terms spend the funder's money.
    """
    current = programme_of(desk, programme)
    if current["proposed"] is None:
        raise NotFound(f"no version of {programme} waits for consent")
    read = read_object(terms_file) if terms_file else current["proposed_terms"]["terms"]
    operation = GiveConsent(
        programme=programme,
        version=current["proposed"],
        funder=funder,
        terms=terms_hash(record_from(Terms, read)),
    )
    desk.carry_out(operation, programme=programme, version=operation.version, funder=funder)


def _from_facts(path: Path, city: str, slug: str) -> Terms:
    document = read_object(path)
    for entry in document.get("programmes", []):
        if (entry.get("city"), entry.get("slug")) == (city, slug):
            return terms_from_facts(entry, document.get("assumptions", {}))
    raise NotFound(f"{path} has no programme {city}.{slug}")


@group.command()
@click.argument("programme")
@click.argument("amount", type=YUAN)
@click.option("--funder", help="Who pays (default: the city).")
@click.option("--year", type=click.IntRange(2000, 9999), help="Fiscal year (default: this one).")
@click.option("--take-back", is_flag=True, help="Lower the appropriation instead.")
@click.option("--carried-from", type=click.IntRange(2000, 9999), help="Taken from that year's.")
@writing
def appropriate(
    programme: str,
    amount: int,
    *,
    funder: str | None,
    year: int | None,
    take_back: bool,
    carried_from: int | None,
    desk: Desk,
) -> None:
    """Set money aside for a year. Two budget officers of the funder sign."""
    city, _ = split_programme(programme)
    operation = Appropriate(
        programme=programme,
        funder=funder or city,
        year=year or calendar.year_of(signing.now_ms()),
        delta=-amount if take_back else amount,
        carried_from=() if carried_from is None else (carried_from,),
    )
    desk.carry_out(
        operation,
        programme=programme,
        funder=operation.funder,
        year=operation.year,
        delta_fen=operation.delta,
    )


@group.command(name="list")
@reading
def list_(*, session: Session) -> None:
    """List programmes and what became of their value."""
    emit([_summary(item) for item in session.nodes.items("/v1/programmes")], LISTED)


def _summary(item: Json) -> Json:
    totals = item["totals"]
    outstanding = totals["available"] + totals["reserved"] + totals["claimed"]
    return {
        **item,
        "title": item["terms"]["title"],
        "minted_fen": totals["minted"],
        "outstanding_fen": outstanding,
        "redeemed_fen": totals["redeemed"],
    }


@group.command()
@click.argument("programme")
@reading
def show(programme: str, *, session: Session) -> None:
    """Show a programme's terms, those that wait for consent, totals and budgets."""
    item = programme_of(session, programme)
    if current_mode() in (Mode.JSON, Mode.NDJSON):
        emit(item)
        return
    totals = in_fen(item["totals"], *TOTALS)
    waiting = (item["proposed_terms"] or {}).get("consents_missing", [])
    about = ("id", "version", "proposed", "consents_missing", "status")
    columns = (*about, *item["terms"], *totals, "as_of_height")
    shown = {**item, **_terms_in_fen(item["terms"]), **totals, "consents_missing": waiting}
    emit(shown, columns)


def _terms_in_fen(terms: Json) -> Json:
    """Return terms whose amounts say that they are fen, so that tables show yuan."""
    return {
        **terms,
        "eligibility": [
            [in_fen(criterion, "amount") for criterion in group] for group in terms["eligibility"]
        ],
        "caps": in_fen(terms["caps"], *terms["caps"]),
        "review": in_fen(terms["review"], "automatic_band"),
    }


@group.command()
@click.argument("programme")
@reading
def budget(programme: str, *, session: Session) -> None:
    """Show what each funder set aside, by year, and how much of it is committed."""
    city, slug = split_programme(programme)
    rows = [
        {
            **in_fen(item, "appropriated", "committed"),
            "free_fen": item["appropriated"] - item["committed"],
        }
        for item in session.nodes.items(f"/v1/programmes/{city}/{slug}/budget")
    ]
    emit(rows, BUDGET)
