"""``tally audit verify``: a second opinion, by a reader that shares no code with the ledger."""

from pathlib import Path

import click

from audit.commands.options import log_id_of, log_id_option
from tally.exits import AuditFinding, NotFound, Unverifiable
from tally.output import emit
from verifier.files import missing_files
from verifier.finding import Finding, Level
from verifier.verify import Report
from verifier.verify import verify as read_again


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@log_id_option
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default=Level.SIGNATURES.value,
    help="How much to check; each level includes those before it.",
)
def verify(folder: Path, log_id: str, level: str) -> None:
    """Read an export, or a dump of tiles, with a second reader; nothing is executed."""
    wanted = log_id_of(log_id)
    if missing := missing_files(folder):
        raise NotFound(f"{folder} lacks {', '.join(missing)}")
    try:
        report = read_again(folder, wanted, Level(level))
    except Finding as finding:
        place = {"height": finding.height, "sequence": finding.sequence, "field": finding.field}
        raise AuditFinding(str(finding), details=place) from None
    document = _document(report)
    if report.unverifiable:  # never a silent pass
        sentence = f"nothing is wrong, but not all is verified: {' '.join(report.unverifiable)}"
        raise Unverifiable(sentence, details=document)
    emit(document)


def _document(report: Report) -> dict[str, object]:
    return {
        "verdict": f"everything holds that the level {report.level.value} looks at",
        "log_id": report.log_id.hex(),
        "height": report.height,
        "time_ms": report.time_ms,
        "record_hash": report.record_hash.hex(),
        "log_size": report.log_size,
        "log_root": "" if report.log_root is None else report.log_root.hex(),
        "records": report.records,
        "transactions": report.transactions,
        "commits": report.commits,
        "unverifiable": list(report.unverifiable),
        "not_asked": list(report.not_asked),
    }
