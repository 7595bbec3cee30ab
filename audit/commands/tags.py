"""``tally audit tags``: papers in bulk against the tags on the log."""

from dataclasses import asdict
from pathlib import Path

import click

from audit.commands.options import judging, log_id_of, log_id_option, opened, reading
from audit.tags import COLUMNS, FIRM, Row, compare, epochs_of, read_tagged
from tally.exits import AuditFinding, TallyError, Unverifiable, UsageError
from tally.output import Mode, current_mode, emit
from wallet.commands.typed import read_text
from wallet.spreadsheets import Unreadable, csv_lines
from wallet.tags import read_tag_key

CSV_BYTES_MAX = 64 * 1024 * 1024
Lines = list[tuple[int, dict[str, str] | Unreadable]]
SHOWN = ("line", "what", "of", "verdict", "why")


@click.command()
@click.argument("papers", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--source", required=True, help="The log: an API's address, an export, a dump.")
@log_id_option
@click.option(
    "--tag-key",
    "key_files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The network's tag key; of several epochs, each.",
)
def tags(papers: Path, source: str, log_id: str, key_files: tuple[Path, ...]) -> None:
    """Recompute the tags of PAPERS, a CSV file, and compare them with those on the log.

    Columns: claim (or tag, of its invoice) with invoice, invoice_code, contract; party with
    registration. Exit 8 if a number has another tag, or two under two keys; 9 if one could not be
    checked.
    """
    keys = [read_tag_key(path) for path in key_files]
    lines = list(csv_lines(read_text(papers, CSV_BYTES_MAX), papers, ()))
    names = {name for _, fields in lines if not isinstance(fields, Unreadable) for name in fields}
    if foreign := sorted(names - set(COLUMNS)):
        raise UsageError(f"{papers} has a column {foreign[0]!r}; known are {', '.join(COLUMNS)}")
    rows = _compared(source, log_id_of(log_id), keys, lines)
    _emit(rows)


def _compared(
    where: str,
    log_id: bytes,
    keys: list[bytes],
    lines: Lines,
) -> list[Row]:
    log = opened(where)
    try:
        with reading(where), judging():
            tagged = read_tagged(log, log_id)
    finally:
        log.close()
    try:
        by_epoch = epochs_of(tagged, keys)
    except ValueError as error:
        raise UsageError(f"--tag-key: {error}") from None
    rows: list[Row] = []
    for line, fields in lines:
        if isinstance(fields, Unreadable):
            rows.append(Row(line=line, what="line", of="", verdict="not_normal", why=fields))
        else:
            rows += compare(tagged, by_epoch, line, fields)
    return rows


def _emit(rows: list[Row]) -> None:
    """Show the rows; raise if not all match. JSON is one document, so there they go into it."""
    wrong = [row for row in rows if row.verdict != "match"]
    shown = [asdict(row) for row in rows]
    if not wrong or current_mode() in (Mode.TABLE, Mode.CSV):
        emit(shown, SHOWN)
    if wrong:
        found = [row for row in wrong if row.verdict in FIRM]
        kind: type[TallyError] = AuditFinding if found else Unverifiable
        raise kind(f"{len(wrong)} of {len(rows)} numbers do not match", details={"rows": shown})
