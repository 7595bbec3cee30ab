"""``tally claim``: redemptions and how they were decided."""

import click

from tally.output import emit
from wallet.client import Json, moment
from wallet.commands.session import CLAIM, Session, in_fen, reading

AMOUNTS = ("amount", "accepted", "credited")
LISTED = ("id", "programme", "holder", "amount_fen", "accepted_fen", "status", "submitted")


@click.group()
def group() -> None:
    """What centres claim. A claim is named CENTRE.SERIAL."""


@group.command(name="list")
@click.option("--redeemer", help="Of this data centre.")
@click.option("--holder")
@click.option("--programme")
@reading
def list_(
    *, redeemer: str | None, holder: str | None, programme: str | None, session: Session
) -> None:
    """List claims."""
    items = session.nodes.items("/v1/claims", redeemer=redeemer, holder=holder, programme=programme)
    emit([_shown(item) for item in items], LISTED)


@group.command()
@click.argument("claim", type=CLAIM)
@reading
def show(claim: str, *, session: Session) -> None:
    """Show a claim."""
    emit(_shown(session.one(f"/v1/claims/{claim}")))


def _shown(item: Json) -> Json:
    return {
        **in_fen(item, *AMOUNTS),
        "lines": [in_fen(line, "amount") for line in item["lines"]],
        "invoice": in_fen(item["invoice"], "net", "base"),
        "submitted": moment(item["submitted_ms"]),
    }
