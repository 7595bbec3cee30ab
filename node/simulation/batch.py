"""Many seeds at once, and what they did in sum."""

import multiprocessing
from collections.abc import Iterator

from node.simulation.simulation import Failed, Report, run_seed

Job = tuple[int, int]
"""Seed and number of validators."""


def attempt(job: Job) -> Report | str:
    """Return a seed's report, or what it found, as text that crosses processes."""
    seed, validators = job
    try:
        return run_seed(seed, validators=validators)
    except Failed as failed:
        return str(failed)


def run_all(jobs: list[Job], workers: int) -> Iterator[Report | str]:
    """Yield what became of each job, in no fixed order."""
    if workers == 1:
        yield from map(attempt, jobs)
        return
    # Spawned, never forked: a child must not inherit half of another simulation.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(attempt, jobs, chunksize=4)


def summary(reports: list[Report], elapsed_s: float) -> str:
    """Return what the seeds did, in a line or two."""
    delivered = sum(report.delivered for report in reports)
    return (
        f"{len(reports)} seeds passed in {elapsed_s:.1f} s: "
        f"{delivered} messages delivered ({delivered / max(elapsed_s, 0.001):.0f}/s), "
        f"{sum(report.commits for report in reports)} commits, "
        f"{sum(report.crashes for report in reports)} crashes, "
        f"{sum(report.transactions for report in reports)} transactions logged, "
        f"{sum(report.pairs for report in reports)} double-spend pairs, "
        f"{sum(report.equivocations for report in reports)} lies noticed, "
        f"{sum(report.changes for report in reports)} changes of validators, "
        f"{sum(report.virtual_us for report in reports) // 1_000_000} virtual seconds"
    )
