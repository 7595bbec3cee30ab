"""``tally settlement``: who owes whom, for which claim, and by when."""

import click

from tally.output import emit
from wallet.client import Json, moment
from wallet.commands.session import Session, in_fen, reading

LISTED = ("debtor", "creditor", "claim", "amount_fen", "paid_fen", "due")
SUMMED = ("debtor", "creditor", "claims", "amount_fen", "paid_fen", "open_fen")


@click.group()
def group() -> None:
    """What funders owe for accepted claims."""


@group.command()
@click.option("--debtor", help="What this treasury owes.")
@click.option("--creditor", help="What this party is owed.")
@click.option("--sum", "summed", is_flag=True, help="One row for each debtor and creditor.")
@reading
def statement(*, debtor: str | None, creditor: str | None, summed: bool, session: Session) -> None:
    """List payables by claim, or their sums."""
    items = session.nodes.items("/v1/payables", debtor=debtor, creditor=creditor)
    if summed:
        emit(_sums(items), SUMMED)
        return
    emit(
        [
            {
                **in_fen(item, "amount", "paid"),
                "claim": item["cause"],
                "due": moment(item["due_ms"]),
            }
            for item in items
        ],
        LISTED,
    )


def _sums(items: list[Json]) -> list[Json]:
    rows: dict[tuple[str, str], Json] = {}
    for item in items:
        pair = item["debtor"], item["creditor"]
        row = rows.setdefault(
            pair,
            {
                "debtor": pair[0],
                "creditor": pair[1],
                "claims": 0,
                "amount_fen": 0,
                "paid_fen": 0,
                "open_fen": 0,
            },
        )
        row["claims"] += 1
        row["amount_fen"] += item["amount"]
        row["paid_fen"] += item["paid"]
        row["open_fen"] += item["amount"] - item["paid"]
    return [rows[pair] for pair in sorted(rows)]
