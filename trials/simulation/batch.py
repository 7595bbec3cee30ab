"""Many seeds at once, a journal of what became of each, and what they did in sum."""

import multiprocessing
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tally.helpers import interrupts_held
from trials.simulation.faults import Faults
from trials.simulation.journal import JournalFile
from trials.simulation.simulation import WITH_REAL_SIGNATURES, Failed, Report, run_seed

Job = tuple[int, int]
"""Seed and number of validators."""
JOBS_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a run must do at the least, or it proves nothing."""

    seeds: int
    messages: int
    real_signatures: int = 0
    """Seeds that use Ed25519."""


SIZES = {
    "default": Size(seeds=2_000, messages=1_000_000, real_signatures=60),
    "ci": Size(seeds=3_000, messages=1_500_000, real_signatures=90),
    "nightly": Size(seeds=20_000, messages=10_000_000, real_signatures=600),
}

MIX = (1, 7, 10, 1, 7)
"""Validators of the first of every forty seeds; all others have four."""
MIX_OF = 40


def validators_of(seed: int) -> int:
    """Return how many validators a seed's network has, unless somebody says otherwise."""
    place = seed % MIX_OF
    return MIX[place] if place < len(MIX) else 4


def jobs_of(first: int, count: int, validators: int | None = None) -> list[Job]:
    """Return the jobs of consecutive seeds."""
    return [(seed, validators or validators_of(seed)) for seed in range(first, first + count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a seed: one line of a journal."""

    seed: int
    validators: int
    verdict: str
    """``passed``, or what was wrong."""
    trace_hash: str
    delivered: int
    cpu_ms: int
    report: Report | None
    text: str = ""
    """Of a failure: the trace and the command to see it again. Not in the journal."""


def attempt(job: Job, faults: Faults | None = None) -> Outcome:
    """Run a seed and return what became of it, in a form that crosses processes."""
    seed, validators = job
    start_ns = time.process_time_ns()
    report, verdict, text = None, "passed", ""
    try:
        report = run_seed(seed, validators=validators, faults=faults)
        trace_hash = report.trace_hash
    except Failed as failed:
        verdict, text, trace_hash = failed.reason, str(failed), failed.trace_hash
    return Outcome(
        seed=seed,
        validators=validators,
        verdict=verdict,
        trace_hash=trace_hash,
        delivered=report.delivered if report else 0,
        cpu_ms=(time.process_time_ns() - start_ns) // 1_000_000,
        report=report,
        text=text,
    )


def run_all(jobs: list[Job], workers: int) -> Iterator[Outcome]:
    """Yield what became of each job, in no fixed order."""
    if workers == 1:
        yield from map(attempt, jobs)
        return
    # Spawned, never forked: a child must not inherit half of another simulation.
    with interrupts_held():
        started = multiprocessing.get_context("spawn").Pool(workers)
    with started as pool:
        yield from pool.imap_unordered(attempt, jobs, chunksize=JOBS_AT_ONCE)


class Journal:
    """What became of every finished seed, so that a run can go on where it stopped."""

    def __init__(self, path: Path, *, validators: int | None = None) -> None:
        """Read what is there; ``validators`` is what was asked for. Raises JournalUnusable."""
        options = {"validators": "as drawn" if validators is None else validators}
        self._file = JournalFile(path, options, Outcome)
        self.outcomes = {
            (outcome.seed, outcome.validators): outcome for outcome in self._file.records
        }

    def add(self, outcome: Outcome) -> None:
        """Write a finished seed down."""
        self.outcomes[outcome.seed, outcome.validators] = outcome
        self._file.add(replace(outcome, text=""))

    def missing(self, jobs: Iterable[Job]) -> list[Job]:
        """Return the jobs of which nothing is known."""
        return [job for job in jobs if job not in self.outcomes]


def totals(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Return what seeds did in sum, by name."""
    done = list(outcomes)
    reports = [outcome.report for outcome in done if outcome.report is not None]
    delivered = sum(report.delivered for report in reports)
    cpu_ms = sum(outcome.cpu_ms for outcome in done)
    sizes = sorted({outcome.validators for outcome in done})
    happened: dict[str, int] = {}
    for report in reports:
        for name, times in report.happened.items():
            happened[name] = happened.get(name, 0) + times
    return {
        "seeds": len(done),
        "passed": len(reports),
        **{f"n = {n}": sum(outcome.validators == n for outcome in done) for n in sizes},
        "messages": delivered,
        "messages per second and core": delivered * 1_000 // max(cpu_ms, 1),
        "seconds of one core": cpu_ms // 1_000,
        "virtual seconds": sum(report.virtual_us for report in reports) // 1_000_000,
        "commits": sum(report.commits for report in reports),
        "transactions": sum(report.transactions for report in reports),
        "double spends tried": sum(report.pairs for report in reports),
        "validator changes": sum(report.changes for report in reports),
        "lies noticed": sum(report.lies for report in reports),
        "misbehaviour on the log": sum(report.recorded for report in reports),
        "suspended": sum(report.suspended for report in reports),
        "state roots compared": sum(report.roots for report in reports),
        "crashes": sum(report.crashes for report in reports),
        **{name: happened[name] for name in sorted(happened)},
    }


def summary(outcomes: Iterable[Outcome]) -> str:
    """Return the totals in one line."""
    return ", ".join(f"{name}: {number}" for name, number in totals(outcomes).items())


def shortfall(outcomes: Iterable[Outcome], size: Size) -> str:
    """Return what a run did too little of; empty if it was enough."""
    done = list(outcomes)
    delivered = sum(outcome.delivered for outcome in done)
    if len(done) < size.seeds:
        return f"only {len(done)} of {size.seeds} seeds ran"
    if delivered < size.messages:
        return f"only {delivered} of {size.messages} messages were delivered"
    real = totals(done).get(WITH_REAL_SIGNATURES, 0)
    if real < size.real_signatures:
        return f"only {real} of {size.real_signatures} seeds used real signatures"
    return ""
