"""``tally hold``: freezing something with a case behind it."""

from typing import get_args

import click

from desk.documents import Json
from ledger.rules.cases import ClearHold, SetHold
from ledger.rules.holds import Scope
from tally.output import emit
from wallet.commands.session import Desk, Session, emit_outcome, reading, shown_times, writing
from wallet.commands.typed import CLAIM, Committed, committing, owner_of

SCOPE = click.Choice(get_args(Scope))
LISTED = ("id", "scope", "thing", "reason", "set", "cleared")


@click.group()
def group() -> None:
    """Freeze and release parties, vouchers and what else a case is about."""


@group.command(name="set")
@click.argument("scope", type=SCOPE)
@click.argument("thing")
@click.option("--by", required=True, help="The city or auditor.")
@click.option("--reason", required=True, help="In a few words, for everybody to read.")
@committing("case", "the case")
@writing
def set_(scope: Scope, thing: str, *, by: str, reason: str, case: Committed, desk: Desk) -> None:
    """Freeze something. Two review officers of a city sign, or the auditor."""
    operation = SetHold(by=by, scope=scope, id=thing, case=case.hash, reason=reason)
    document = desk.act(operation, more=case.salt)
    like = {"setter": by, "case": case.hash.hex()}
    if document is not None:
        hold = desk.made("/v1/holds", like, scope=scope, thing=thing)
        emit_outcome(document, hold=hold, scope=scope, thing=thing, **case.salt)


@group.command()
@click.argument("hold", type=CLAIM)
@click.option("--by", help="Who ends it (default: who set it).")
@committing("case", "the case that ends it")
@writing
def clear(hold: str, *, by: str | None, case: Committed, desk: Desk) -> None:
    """End a hold. Two review officers of the city that set it sign, or the auditor."""
    operation = ClearHold(by=by or owner_of(hold), hold=hold, case=case.hash)
    desk.carry_out(operation, hold=hold, **case.salt)


@group.command(name="list")
@click.option("--scope", type=SCOPE)
@click.option("--thing", help="On this party, voucher, …")
@click.option("--open", "only_open", is_flag=True, help="Only those that are not cleared.")
@reading
def list_(*, scope: str | None, thing: str | None, only_open: bool, session: Session) -> None:
    """List holds."""
    items = session.nodes.items(
        "/v1/holds", scope=scope, thing=thing, open="true" if only_open else None
    )
    emit([_shown(item) for item in items], LISTED)


@group.command()
@click.argument("hold", type=CLAIM)
@reading
def show(hold: str, *, session: Session) -> None:
    """Show a hold."""
    emit(_shown(session.item(f"/v1/holds/{hold}")))


def _shown(item: Json) -> Json:
    return shown_times(item, "set", "cleared")
