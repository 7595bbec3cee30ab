"""``tally network simulate``: whole networks from seeds, with everything that can go wrong."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tally.exits import Exit, TallyError, UsageError
from tally.output import emit, say

if TYPE_CHECKING:
    from trials.simulation.batch import Job, Journal, Outcome
    from trials.simulation.faults import Faults

SEEDS_MAX = 10_000_000
VALIDATORS_MAX = 128
"""Of a set (consensus.validators)."""
WORKERS_MAX = 256
SIZE_NAMES = ("default", "ci", "nightly")
SAY_EVERY_S = 30
FAILURES_SHOWN_MAX = 10


@click.command()
@click.argument("seeds", type=click.IntRange(1, SEEDS_MAX), required=False)
@click.option("--size", type=click.Choice(SIZE_NAMES), help="A stated size instead of SEEDS.")
@click.option("--first", type=click.IntRange(0), default=0, help="The first seed.")
@click.option(
    "--validators", type=click.IntRange(1, VALIDATORS_MAX), help="As many in every network."
)
@click.option("--workers", type=click.IntRange(1, WORKERS_MAX), default=1, help="Processes.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write every finished seed down here, and leave out what is there (same code only).",
)
@click.option("--seed", type=click.IntRange(0), help="Run one seed again and show its trace.")
@click.option("--faults", help="With --seed: these faults, as JSON, instead of the seed's own.")
@click.option("--shrink", is_flag=True, help="With --seed: find the smallest failure like it.")
def simulate(
    *,
    seeds: int | None,
    size: str | None,
    first: int,
    validators: int | None,
    workers: int,
    journal: Path | None,
    seed: int | None,
    faults: str | None,
    shrink: bool,
) -> None:
    """Run SEEDS whole networks on virtual time (100 if nothing is said), each with its faults.

    Exit code 8 if a seed found something, or if fewer seeds ran than were asked for.
    """
    if (seeds, size, seed).count(None) < 2:
        raise UsageError("say one of SEEDS, --size and --seed")
    if seed is not None:
        if journal is not None or workers != 1 or first:
            raise UsageError("--journal, --workers and --first are about many seeds, not --seed")
        _one(seed, validators, faults, shrink=shrink)
        return
    if faults is not None or shrink:
        raise UsageError("--faults and --shrink go with --seed")
    _many(100 if seeds is None else seeds, size, first, validators, workers, journal)


def _one(seed: int, validators: int | None, faults: str | None, *, shrink: bool) -> None:
    from trials.simulation.batch import validators_of
    from trials.simulation.shrink import shrink as smallest
    from trials.simulation.simulation import Failed, Reproducible, Simulation

    members = validators or validators_of(seed)
    simulation = Simulation(seed, validators=members, faults=_read(faults, members))
    try:
        with Reproducible(simulation):
            report = simulation.run()
    except Failed as failed:
        say(str(smallest(failed) if shrink else failed))
        raise TallyError(f"seed {seed}: {failed.reason}", Exit.FINDING) from None
    if shrink:
        say(f"seed {seed} passed: there is no failure to make smaller")
    else:
        for line in simulation.world.trace():
            say(line)
    emit(
        {
            "seed": seed,
            "verdict": "passed",
            "messages": report.delivered,
            "trace_hash": report.trace_hash,
        }
    )


def _read(text: str | None, members: int) -> "Faults | None":
    from trials.simulation.faults import failing, faults_from

    if text is None:
        return None
    try:
        faults = faults_from(text)
    except ValueError as error:
        raise UsageError(f"--faults: {error}") from None
    if 3 * failing(faults) >= members:
        raise UsageError(
            f"--faults: {failing(faults)} of {members} members fail for good "
            "(liars, bit_flips, lost_disks), expected fewer than a third"
        )
    return faults


def _many(
    count: int,
    size_name: str | None,
    first: int,
    validators: int | None,
    workers: int,
    path: Path | None,
) -> None:
    from trials.simulation.batch import SIZES, Journal, Size, jobs_of, shortfall, totals
    from trials.simulation.journal import JournalUnusable

    wanted = SIZES[size_name] if size_name else Size(seeds=count, messages=0)
    jobs = jobs_of(first, wanted.seeds, validators)
    try:
        journal = None if path is None else Journal(path, validators=validators)
        outcomes = _outcomes(jobs, journal, workers)
    except JournalUnusable as error:
        raise UsageError(f"--journal: {error}") from None
    emit(totals(outcomes))
    failures = [outcome for outcome in outcomes if outcome.report is None]
    for failure in failures[:FAILURES_SHOWN_MAX]:
        say(f"seed {failure.seed}, {failure.validators} validators: {failure.verdict}")
        say(
            f"  again: tally network simulate --seed {failure.seed} "
            f"--validators {failure.validators}"
        )
    missing = shortfall(outcomes, wanted)
    if failures:
        missing = f"{len(failures)} seeds found something"
    if missing:
        raise TallyError(missing, Exit.FINDING)


def _outcomes(jobs: "list[Job]", journal: "Journal | None", workers: int) -> "list[Outcome]":
    """Run what a journal does not know; return what became of all. Raises JournalUnusable."""
    from trials.simulation.batch import run_all

    known = {} if journal is None else journal.outcomes
    outcomes = [known[job] for job in jobs if job in known]
    open_jobs = jobs if journal is None else journal.missing(jobs)
    say(f"{len(open_jobs)} of {len(jobs)} seeds to run on {workers} processes")
    said_s = time.monotonic()
    for outcome in run_all(open_jobs, workers):
        outcomes.append(outcome)
        if journal is not None:
            journal.add(outcome)
        if outcome.report is None:
            say(outcome.text)
        if time.monotonic() - said_s > SAY_EVERY_S:
            said_s = time.monotonic()
            say(f"{len(outcomes)} of {len(jobs)} seeds done")
    return outcomes
