"""``tally network kills``: real processes killed under load, again and again."""

import signal
import sys
from pathlib import Path

import click

from localnet.commands.network import VALIDATORS_MAX
from tally.exits import Exit, TallyError, UsageError
from tally.output import emit, say
from trials.simulation.journal import JournalFile, JournalUnusable

KILLS_MAX = 100_000


@click.command()
@click.option("--kills", type=click.IntRange(1, KILLS_MAX), default=50, show_default=True)
@click.option(
    "--validators",
    "sizes",
    type=click.IntRange(4, VALIDATORS_MAX),
    multiple=True,
    default=(4, 7),
    show_default=True,
    help="Size of a network; several take turns.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The first one.")
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Go on where this file of the same version, seed and sizes ends; rounds with problems "
    "are kept beside it.",
)
def kills(*, kills: int, sizes: tuple[int, ...], seed: int, journal: Path | None) -> None:
    """Kill nodes of networks under load, again and again, and check what survived."""
    from trials.chaos.kills import Verdict, plans_of, run_campaign, totals  # slow to import

    try:
        options = {"seed": seed, "validators": list(sizes)}
        file = None if journal is None else JournalFile(journal, options, Verdict)
    except JournalUnusable as error:
        raise UsageError(f"--journal: {error}") from None
    # Ended from outside it must not leave networks behind, as it would without a word of farewell.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    plans = plans_of(kills=kills, validators=sizes, first_seed=seed)
    verdicts = run_campaign(plans, file, lambda verdict: say(verdict.line()))
    emit(totals(verdicts))
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    if problems:
        raise TallyError(f"{len(problems)} problems were found", Exit.INTERNAL)
