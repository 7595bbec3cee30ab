"""``tally record``: commitments to what lies outside the ledger."""

from typing import Literal, get_args

import click

from desk.documents import Json
from ledger.rules.cases import RecordAnchor
from tally.output import emit
from wallet.commands.session import Desk, Session, emit_outcome, reading, shown_times, writing
from wallet.commands.typed import CLAIM, Committed, committing

About = Literal["case", "document", "trial_balance"]
LISTED = ("id", "about", "as_of", "commitment", "note", "recorded")


@click.group()
def group() -> None:
    """Commit to cases, documents and trial balances outside the ledger."""


@group.command()
@click.option("--by", required=True, help="The member that commits itself.")
@click.option("--about", type=click.Choice(get_args(About)), required=True)
@click.option("--as-of", type=click.IntRange(0), help="The height it is about (default: the last).")
@click.option("--note", default="", help="In a few words, for everybody to read.")
@committing("commitment", "the document", file="--document")
@writing
def anchor(
    *, by: str, about: About, as_of: int | None, note: str, commitment: Committed, desk: Desk
) -> None:
    """Commit to something outside. Two registrars of a treasury sign, or the member."""
    if as_of is None:
        as_of = int(desk.nodes.ask(lambda node: node.status())["height"])
    operation = RecordAnchor(by=by, about=about, as_of=as_of, commitment=commitment.hash, note=note)
    document = desk.act(operation, more=commitment.salt)
    if document is not None:
        made = desk.made("/v1/anchors", {"commitment": commitment.hash.hex()}, by=by)
        emit_outcome(document, anchor=made, as_of=as_of, **commitment.salt)


@group.command(name="list")
@click.option("--by", help="Of this member.")
@reading
def list_(*, by: str | None, session: Session) -> None:
    """List commitments."""
    emit([_shown(item) for item in session.nodes.items("/v1/anchors", by=by)], LISTED)


@group.command()
@click.argument("anchor", type=CLAIM)
@reading
def show(anchor: str, *, session: Session) -> None:
    """Show a commitment."""
    emit(_shown(session.item(f"/v1/anchors/{anchor}")))


def _shown(item: Json) -> Json:
    return shown_times(item, "recorded")
