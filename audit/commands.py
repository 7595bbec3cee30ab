"""``tally audit``: export a ledger, recompute it, or have it read by a second reader."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import httpx2

from audit import files
from audit.check import CheckFailed, check_export
from ledger.genesis import log_id_of
from tally.exits import AuditFinding, NotFound, Unreachable, UsageError
from tally.output import emit, say
from verifier.files import missing_files
from verifier.finding import Finding, Level
from verifier.verify import Report, verify
from wallet.profile import load_profile

DOWNLOAD_TIMEOUT_S = 60


@click.group()
def group() -> None:
    """Export a ledger, recompute it from genesis, verify it with a second reader."""


@group.command()
@click.option("--node", default=None, help="Address of an API; else the profile's first node.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder.")
def export(node: str | None, out: Path) -> None:
    """Download the whole ledger: genesis, log entries, commits."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is no empty folder")
    url = (node or load_profile(None).nodes[0].url).rstrip("/")
    # A folder beside it, renamed when whole: half an export is never left behind.
    scratch = out.with_name(f".{out.name}.{os.getpid()}.new")
    try:
        scratch.mkdir(parents=True)
        size = _export(url, scratch)
        scratch.rename(out)
    except OSError as error:
        raise UsageError(f"can't write {out}: {error.strerror}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    emit({"folder": str(out), "bytes": size})


def _export(url: str, folder: Path) -> int:
    """Download a ledger's files into a folder; return how many bytes they have."""
    # Commits first: every commit that is exported then has its entries in the export.
    sizes = {}
    for name, path in (
        (files.GENESIS, "/v1/genesis"),
        (files.COMMITS, "/v1/exports/commits"),
        (files.ENTRIES, "/v1/exports/log"),
    ):
        sizes[name] = files.write(folder / name, _download(url + path))
        say(f"{name}: {sizes[name]} bytes")
    return sum(sizes.values())


def _download(url: str) -> Iterator[bytes]:
    try:
        with httpx2.stream("GET", url, timeout=DOWNLOAD_TIMEOUT_S, trust_env=False) as answer:
            if answer.status_code != 200:
                raise Unreachable(f"{url} answered {answer.status_code}")
            yield from answer.iter_bytes()
    except (httpx2.ConnectError, httpx2.ConnectTimeout):
        raise Unreachable(f"no node answers at {url}") from None
    except httpx2.TransportError:
        raise Unreachable(f"the connection to {url} was lost; start again") from None


@group.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--log-id", required=True, help="Which ledger this must be, from a trusted place.")
def replay(folder: Path, log_id: str) -> None:
    """Recompute an exported ledger from genesis; verify every signature and every commit."""
    _check_log_id(log_id)
    missing = [
        name
        for name in (files.GENESIS, files.ENTRIES, files.COMMITS)
        if not (folder / name).is_file()
    ]
    if missing:
        raise NotFound(f"{folder} lacks {', '.join(missing)}")
    genesis = (folder / files.GENESIS).read_bytes()
    if log_id_of(genesis).hex() != log_id.lower():
        raise AuditFinding(
            f"the genesis in {folder} makes log {log_id_of(genesis).hex()}, not {log_id}"
        )
    try:
        emit(check_export(genesis, folder))
    except CheckFailed as failure:
        raise AuditFinding(str(failure), details=failure.details) from None


@group.command("verify")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--log-id", required=True, help="Which ledger this must be, from a trusted place.")
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default=Level.SIGNATURES.value,
    help="How much to check; each level includes those before it.",
)
def verify_export(folder: Path, log_id: str, level: str) -> None:
    """Read an export, or a dump of tiles, with a second reader; nothing is executed."""
    _check_log_id(log_id)
    if missing := missing_files(folder):
        raise NotFound(f"{folder} lacks {', '.join(missing)}")
    try:
        report = verify(folder, bytes.fromhex(log_id), Level(level))
    except Finding as finding:
        place = {"height": finding.height, "sequence": finding.sequence, "field": finding.field}
        raise AuditFinding(str(finding), details=place) from None
    document = _document(report)
    if report.unverifiable:  # never a silent pass
        sentence = f"nothing is wrong, but not all is verified: {' '.join(report.unverifiable)}"
        raise AuditFinding(sentence, details=document)
    emit(document)


def _document(report: Report) -> dict[str, object]:
    return {
        "verdict": f"everything holds that the level {report.level.value} looks at",
        "log_id": report.log_id.hex(),
        "height": report.height,
        "time_ms": report.time_ms,
        "record_hash": report.app_hash.hex(),
        "log_size": report.log_size,
        "log_root": "" if report.log_root is None else report.log_root.hex(),
        "records": report.records,
        "transactions": report.transactions,
        "refused": report.refused,
        "commits": report.commits,
        "unverifiable": list(report.unverifiable),
        "not_asked": list(report.not_asked),
    }


def _check_log_id(log_id: str) -> None:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", log_id):
        raise UsageError(f"--log-id: expected 64 hex digits, got {log_id!r}")
