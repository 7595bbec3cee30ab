"""``tally audit export``: the ledger as files, as tables, or as tiles."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click

from api.columns import TABLES
from audit import files, tables
from audit.dump import DumpRefused, NoDump, dump
from audit.streams import streamed
from node.fetch import AddressInvalid, client_of
from tally.exits import AuditFinding, Unreachable, UsageError
from tally.output import emit, say
from wallet.profile import load_profile


@click.command()
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
    """Download a ledger's files through its last block into a folder; return their bytes."""
    height, log_size = _last_block(url)
    downloads = (
        (files.GENESIS, download(url + "/v1/genesis")),
        (files.ENTRIES, files.first_entries(download(url + "/v1/exports/log"), log_size)),
        (files.COMMITS, files.commits_through(download(url + "/v1/exports/commits"), height)),
    )
    sizes = {}
    for name, pieces in downloads:
        sizes[name] = files.write(folder / name, pieces)
        say(f"{name}: {sizes[name]} bytes")
    return sum(sizes.values())


def _last_block(url: str) -> tuple[int, int]:
    """Return height and log size of the last block: a node goes on while it is exported."""
    try:
        block = json.loads(b"".join(download(f"{url}/v1/blocks?limit=1")))["items"][0]
        return int(block["height"]), int(block["log_size"])
    except IndexError:
        return 0, 1
    except RecursionError:
        raise Unreachable(f"{url} answers with something that is nested too deeply") from None
    except (ValueError, TypeError, KeyError):
        raise Unreachable(f"{url} does not say where its ledger ends") from None


def download(url: str, bytes_max: int | None = None) -> Iterator[bytes]:
    """Yield what an address answers; raise Unreachable, also beyond ``bytes_max``.

    What the node refuses to give is raised as its problem document says it.
    """
    with streamed(url, url) as answer:
        size = 0
        for piece in answer.iter_bytes():
            size += len(piece)
            if bytes_max is not None and size > bytes_max:
                raise Unreachable(f"{url} answers with more than {bytes_max} bytes")
            yield piece
