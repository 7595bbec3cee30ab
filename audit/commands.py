"""``tally audit``: export a ledger, and recompute it from genesis."""

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
from ledger.genesis import log_id_of
from tally.exits import AuditFinding, NotFound, Unreachable, UsageError
from tally.output import emit, say
from wallet.profile import load_profile

DOWNLOAD_TIMEOUT_S = 60


@click.group()
def group() -> None:
    """Export a ledger and recompute it from genesis."""


@group.command()
@click.option("--node", default=None, help="Address of an API; else the profile's first node.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--table", type=click.Choice([*TABLES, "all"]), help="A table instead, or all.")
@click.option("--format", "form", type=click.Choice(get_args(tables.Format)), help="Of tables.")
@click.option("--at-height", type=click.IntRange(0), help="Tables as they were after this block.")
def export(
    node: str | None,
    out: Path,
    table: str | None,
    form: tables.Format | None,
    at_height: int | None,
) -> None:
    """Download the whole ledger: genesis, log entries, commits; or tables of it (--table)."""
    if table is None and (form is not None or at_height is not None):
        raise UsageError("--format and --at-height are about tables: name one with --table")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is no empty folder")
    url = (node or load_profile(None).nodes[0].url).rstrip("/")
    # A folder beside it, renamed when whole: half an export is never left behind.
    scratch = out.with_name(f".{out.name}.{os.getpid()}.new")
    try:
        scratch.mkdir(parents=True)
        if table is None:
            written: dict[str, object] = {"bytes": _export(url, scratch)}
        else:
            names = tuple(TABLES) if table == "all" else (table,)
            written = tables.write_tables(url, scratch, names, form or "ndjson", at_height)
        scratch.rename(out)
    except OSError as error:
        raise UsageError(f"can't write {out}: {error.strerror}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    emit({"folder": str(out), **written})


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
    if not re.fullmatch(r"[0-9a-fA-F]{64}", log_id):
        raise UsageError(f"--log-id: expected 64 hex digits, got {log_id!r}")
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
