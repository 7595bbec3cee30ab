"""``tally audit``: export a ledger, and recompute it from genesis."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import httpx2

from audit import files
from audit.replay import Level, Plan, WorkFolderWrong
from audit.replay import replay as run_replay
from audit.roots import StateRoots
from audit.sources import SourceLacks, SourceUnreachable, SourceWrong, entries_in, open_source
from audit.verdicts import Incomplete as VerdictIncomplete
from audit.verdicts import Tampered
from audit.verdicts import Unverifiable as VerdictUnverifiable
from node.fetch import AddressInvalid
from tally.exits import (
    AuditFinding,
    Incomplete,
    NotFound,
    Unreachable,
    Unverifiable,
    UsageError,
)
from tally.output import emit, say
from wallet.profile import load_profile

DOWNLOAD_TIMEOUT_S = 60
WORKERS_MAX = 256


@click.group()
def group() -> None:
    """Export a ledger and recompute it from genesis."""


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


LEVELS = [level.name.lower() for level in Level]


@group.command()
@click.argument("source")
@click.option("--log-id", required=True, help="Which ledger this must be, from a trusted place.")
@click.option("--level", type=click.Choice(LEVELS), default="execute", show_default=True)
@click.option(
    "--state-roots",
    type=click.Choice(["all", "none"]),
    default="all",
    show_default=True,
    help="Make every root of the whole state again that the records carry, or none.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder that keeps where the replay stands: the same command goes on there.",
)
@click.option(
    "--snapshot",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The folder `fetch` of a node: what comes before it is proven by hashes, not executed.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, WORKERS_MAX),
    help="Processes that verify signatures; default: one for each core; 0: no other process.",
)
def replay(
    source: str,
    log_id: str,
    level: str,
    state_roots: StateRoots,
    work: Path | None,
    snapshot: Path | None,
    workers: int | None,
) -> None:
    """Replay the ledger of SOURCE: an API's address, an export, a dump of tiles, a node's store."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", log_id):
        raise UsageError(f"--log-id: expected 64 hex digits, got {log_id!r}")
    plan = Plan(
        log_id=bytes.fromhex(log_id),
        level=Level[level.upper()],
        state_roots=state_roots,
        workers=workers,
        snapshot=snapshot,
    )
    with ExitStack() as stack:
        if work is None:
            scratch = tempfile.TemporaryDirectory(prefix="tallystick-replay-")
            folder = Path(stack.enter_context(scratch))
        else:
            folder = work
        emit(_replayed(source, plan, folder, is_kept=work is not None))


def _replayed(where: str, plan: Plan, folder: Path, *, is_kept: bool) -> dict[str, object]:
    """Return what a replay found to be sound; raise the error of its verdict."""
    try:
        source = open_source(where)
    except AddressInvalid as error:
        raise UsageError(str(error)) from None
    except SourceLacks as error:
        raise NotFound(f"{where}: {error}") from None
    except SourceWrong as error:
        raise AuditFinding(f"tampered: {error.field}: {error}") from None
    except SourceUnreachable as error:
        raise Unreachable(str(error)) from None
    try:
        is_seen = sys.stderr.isatty()
        progress: Any = click.progressbar(
            length=entries_in(source) if is_seen else 1,
            label=plan.level.name.lower(),
            file=sys.stderr,
            hidden=not is_seen,
        )
        with progress as bar:
            report = run_replay(source, plan, folder, is_kept=is_kept, on_entries=bar.update)
    except Tampered as found:
        raise AuditFinding(str(found), details=found.details) from None
    except VerdictUnverifiable as found:
        raise Unverifiable(str(found), details=found.details) from None
    except VerdictIncomplete as found:
        raise Incomplete(str(found), details=found.details) from None
    except SourceUnreachable as error:
        raise Unreachable(str(error)) from None
    except WorkFolderWrong as error:
        raise UsageError(f"--work: {error}") from None
    finally:
        source.close()
    cost = report.cost
    return report.facts() | {
        "executed_from": report.executed_from,
        "resumed_at": report.resumed_at,
        "wall_ms": cost.wall_ms,
        "serial_cpu_ms": cost.serial_cpu_ms,
        "signatures_cpu_ms": cost.signatures_cpu_ms,
        "roots_cpu_ms": cost.roots_cpu_ms,
        "workers": cost.workers,
    }
