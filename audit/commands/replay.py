"""``tally audit replay``: the levels of A4, from any source, with a verdict."""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import lmdb

from audit.commands.options import judging, log_id_of, log_id_option, opened
from audit.replay import Level, Plan, WorkFolderWrong
from audit.replay import replay as run_replay
from audit.roots import StateRoots
from audit.sources import SourceUnreachable, entries_in
from audit.verifying import HelperLost
from tally.exits import TallyError, Unreachable, UsageError
from tally.output import emit

WORKERS_MAX = 256
LEVELS = [level.name.lower() for level in Level]


@click.command()
@click.argument("source")
@log_id_option
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
    plan = Plan(
        log_id=log_id_of(log_id),
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
    source = opened(where)
    try:
        is_seen = sys.stderr.isatty()
        progress: Any = click.progressbar(
            length=entries_in(source) if is_seen else 1,
            label=plan.level.name.lower(),
            file=sys.stderr,
            hidden=not is_seen,
        )
        with judging(), progress as bar:
            report = run_replay(source, plan, folder, is_kept=is_kept, on_entries=bar.update)
    except SourceUnreachable as error:
        raise Unreachable(str(error)) from None
    except HelperLost as error:
        raise TallyError(f"{error} Start it again") from None
    except (lmdb.Error, OSError) as error:
        raise TallyError(f"can't go on reading {where} or writing {folder}: {error}") from None
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
