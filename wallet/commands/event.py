"""``tally event``: the ledger as it grows."""

from collections.abc import Iterator
from itertools import islice

import click

from desk.documents import Json
from tally.exits import UsageError
from tally.output import Mode, current_mode, emit_each
from wallet.client import Event
from wallet.commands.session import Session, in_fen, reading
from words.dates import moment

KINDS = ("transaction", "automatic", "block")
COLUMNS = ("sequence", "height", "time", "event", "kind", "status", "code", "id")


@click.group()
def group() -> None:
    """Watch the ledger as it grows."""


@group.command()
@click.option("--after", type=click.IntRange(0), help="From after this sequence number on.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many.")
@reading
def watch(
    *, after: int | None, kinds: tuple[str, ...], count: int | None, session: Session
) -> None:
    """Write what is logged, a line each; a lost connection is taken up where it broke off."""
    if current_mode() is Mode.JSON and count is None:
        raise UsageError("an endless stream is no document: use -o ndjson, or --count")
    rows = _rows(session.nodes.events(after), kinds)
    emit_each(islice(rows, count), COLUMNS)


def _rows(events: Iterator[Event], kinds: tuple[str, ...]) -> Iterator[Json]:
    for event in events:
        if kinds and event.kind not in kinds:
            continue
        row = {"event": event.kind, **event.data, "sequence": event.sequence}
        if "time_ms" in row:
            row["time"] = moment(row["time_ms"])
        if "postings" in row:
            row["postings"] = [in_fen(posting, "amount") for posting in row["postings"]]
        yield row
