"""``tally claim``: redemptions on their way to a decision, and credit notes."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from desk.documents import Json
from ledger.encoding import normal
from ledger.rules.claims import DISPUTE_WINDOW_MS, Claim, Credit, Decide, DecideClaim, Dispute
from ledger.rules.programmes import issuer_of
from tally.exits import UsageError
from tally.output import YUAN, emit
from wallet.commands.session import Desk, Session, in_fen, reading, shown_times, writing
from wallet.commands.typed import CLAIM, Committed, committing
from wallet.tags import TAG_KEYS, normal_of
from words.dates import moment

AMOUNTS = ("amount", "accepted", "credited")
LISTED = ("id", "programme", "holder", "amount_fen", "accepted_fen", "status", "submitted")
STATUSES = get_args(Claim.__annotations__["status"])


@click.group()
def group() -> None:
    """Decide, dispute and credit what centres claim. A claim is named CENTRE.SERIAL."""


@group.command(name="list")
@click.option("--centre", help="Of this data centre.")
@click.option("--holder")
@click.option("--programme")
@click.option("--status", type=click.Choice(STATUSES))
@reading
def list_(
    *,
    centre: str | None,
    holder: str | None,
    programme: str | None,
    status: str | None,
    session: Session,
) -> None:
    """List claims."""
    items = session.nodes.items(
        "/v1/claims", centre=centre, holder=holder, programme=programme, status=status
    )
    emit([_shown(item) for item in items], LISTED)


@group.command()
@click.argument("claim", type=CLAIM)
@reading
def show(claim: str, *, session: Session) -> None:
    """Show a claim, and until when its holder may dispute it."""
    item = session.item(f"/v1/claims/{claim}")
    until = None
    if item["status"] == "under_review" and not item["holder_signed"]:
        until = moment(item["submitted_ms"] + DISPUTE_WINDOW_MS)
    emit({**_shown(item), "disputable_until": until})


def _shown(item: Json) -> Json:
    contract = item["contract"]
    parts = {
        "lines": [in_fen(line, "amount") for line in item["lines"]],
        "invoice": in_fen(item["invoice"], "net", "base"),
        "contract": None if contract is None else in_fen(contract, "amount"),
    }
    return shown_times({**in_fen(item, *AMOUNTS), **parts}, "submitted", "decided")


@group.command()
@click.argument("claim", type=CLAIM)
@click.option("--accept", "accepted", type=YUAN, help="How much of it; the rest is given back.")
@click.option("--all", "whole", is_flag=True, help="Accept all that is claimed.")
@click.option("--reject", is_flag=True, help="Accept nothing.")
@click.option("--by", help="Who decides: its issuer (default), or after 90 days an auditor.")
@click.option("--tag-checked", is_flag=True, help="You recomputed the tag from the invoice.")
@click.option("--invoice", help="Its number: the tag is recomputed here and now.")
@TAG_KEYS
@committing("case", "the case", required=False)
@writing
def decide(
    claim: str,
    *,
    accepted: int | None,
    whole: bool,
    reject: bool,
    by: str | None,
    tag_checked: bool,
    invoice: str | None,
    tag_keys: tuple[Path, ...],
    case: Committed | None,
    desk: Desk,
) -> None:
    """Accept a claim, in part or not at all. Two review officers of the issuer sign, or an auditor.

    To accept, the invoice's tag must have been recomputed: --invoice does it here,
    --tag-checked says that it was done elsewhere. A disputed claim needs a case.
    """
    if (accepted is not None) + whole + reject != 1:
        raise UsageError("give one of --accept, --all and --reject")
    item = desk.item(f"/v1/claims/{claim}")
    if invoice is not None:
        _require_invoice(desk, item, invoice, tag_keys)
    if accepted is None:
        accepted = int(item["amount"]) if whole else 0
    act = Decide(
        claim=claim,
        by=by or issuer_of(item["programme"]),
        accepted=accepted,
        case=() if case is None else (case.hash,),
        tag_checked=tag_checked or invoice is not None,
    )
    salt = {} if case is None else case.salt
    desk.carry_out(DecideClaim(act=act), claim=claim, accepted_fen=accepted, **salt)


def _require_invoice(session: Session, claim: Json, typed: str, paths: Sequence[Path]) -> None:
    """Raise UsageError unless a claim's tag is of this invoice, and no other claim has it too.

    While two epochs overlap, one invoice may be shown under either key (Z6.3).
    """
    keys, centre = session.tag_keys(paths), claim["centre"]
    number = normal_of(normal.invoice_number, typed)
    tags = {one.epoch: normal.invoice_tag(one.key, centre, number).hex() for one in keys}
    epoch = claim["invoice"]["tag_epoch"]
    if epoch not in tags:
        raise UsageError(f"{claim['id']} has a tag of epoch {epoch}: name its --tag-key")
    if tags[epoch] != claim["invoice"]["tag"]:
        raise UsageError(f"{typed!r} is not the invoice of {claim['id']}: its tag differs")
    others = {tag for other, tag in tags.items() if other != epoch}
    for shown in session.nodes.items("/v1/claims", centre=centre) if others else ():
        if shown["invoice"]["tag"] in others and shown["status"] != "rejected":
            raise UsageError(f"{typed!r} was claimed with {shown['id']}, under another tag key")


@group.command()
@click.argument("claim", type=CLAIM)
@committing("case", "the case")
@writing
def dispute(claim: str, *, case: Committed, desk: Desk) -> None:
    """Contest a claim that the centre made alone. The holder signs, within seven days."""
    desk.carry_out(DecideClaim(act=Dispute(claim=claim, case=case.hash)), claim=claim, **case.salt)


@group.command()
@click.argument("claim", type=CLAIM)
@click.argument("amount", type=YUAN)
@committing("note", "the credit note")
@writing
def credit(claim: str, amount: int, *, note: Committed, desk: Desk) -> None:
    """Take back part of an accepted claim. The centre and two review officers sign."""
    operation = Credit(claim=claim, amount=amount, note=note.hash)
    desk.carry_out(operation, claim=claim, amount_fen=amount, **note.salt)
