"""``tally audit``: export a ledger, recompute it, or have it read by a second reader."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import httpx2

from api.columns import TABLES
from audit import files, tables
from audit.check import CheckFailed, check_export
from audit.dump import DumpRefused, NoDump, dump
from ledger.genesis import log_id_of
from node.fetch import AddressInvalid, client_of
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
@click.option("--out", type=click.Path(path_type=Path), help="A new folder, for replay or tables.")
@click.option(
    "--tiles",
    type=click.Path(path_type=Path),
    help="A folder for web servers: checkpoint, tiles, entries, commits. Again: only what is new.",
)
@click.option("--table", type=click.Choice([*TABLES, "all"]), help="A table instead, or all.")
@click.option("--format", "form", type=click.Choice(get_args(tables.Format)), help="Of tables.")
@click.option("--at-height", type=click.IntRange(0), help="Tables as they were after this block.")
def export(
    node: str | None,
    out: Path | None,
    tiles: Path | None,
    table: str | None,
    form: tables.Format | None,
    at_height: int | None,
) -> None:
    """Download the whole ledger: genesis, log entries, commits; or tables of it; or its tiles."""
    if (out is None) is (tiles is None):
        raise UsageError("export needs either --out or --tiles")
    if table is None and (form is not None or at_height is not None):
        raise UsageError("--format and --at-height are about tables: name one with --table")
    if tiles is not None and table is not None:
        raise UsageError("tables are written with --out")
    url = (node or load_profile(None).nodes[0].url).rstrip("/")
    if tiles is not None:
        emit(_export_tiles(url, tiles))
    if out is not None:
        names = tuple(TABLES) if table == "all" else () if table is None else (table,)
        emit(_export_files(url, out, names, form or "ndjson", at_height))


def _export_tiles(url: str, folder: Path) -> dict[str, object]:
    try:
        with client_of(url) as client:
            done = dump(client, folder, say)
    except (AddressInvalid, NoDump) as error:
        raise UsageError(str(error)) from None
    except DumpRefused as finding:
        raise AuditFinding(str(finding)) from None
    except OSError as error:
        raise UsageError(f"can't write {folder}: {error.strerror}") from None
    return {
        "folder": str(folder),
        "origin": done.checkpoint.origin,
        "entries": done.checkpoint.size,
        "root": done.checkpoint.root,
        "height": done.height,
        "fetched": done.fetched,
    }


def _export_files(
    url: str, out: Path, names: tuple[str, ...], form: tables.Format, at_height: int | None
) -> dict[str, object]:
    """Download tables, or without names the whole ledger, into a new folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is no empty folder")
    # A folder beside it, renamed when whole: half an export is never left behind.
    scratch = out.with_name(f".{out.name}.{os.getpid()}.new")
    try:
        scratch.mkdir(parents=True)
        if names:
            written = tables.write_tables(url, scratch, names, form, at_height)
        else:
            written = {"bytes": _export(url, scratch)}
        scratch.rename(out)
    except OSError as error:
        raise UsageError(f"can't write {out}: {error.strerror}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {"folder": str(out), **written}


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
