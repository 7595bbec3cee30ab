"""``python -m node.simulation``: run many seeds, or one again with its trace."""

import argparse
import multiprocessing
import sys
import time
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


def main() -> int:
    """Return 0 if there were seeds and none of them found anything."""
    parser = argparse.ArgumentParser(prog="python -m node.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--seeds", type=int, default=100, help="how many to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--validators", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    first, count = arguments.first, arguments.seeds
    if arguments.seed is not None:
        first, count = arguments.seed, 1
    jobs = [(seed, arguments.validators) for seed in range(first, first + count)]
    start_s = time.monotonic()
    reports: list[Report] = []
    failures = 0
    for outcome in run_all(jobs, arguments.workers):
        if isinstance(outcome, Report):
            reports.append(outcome)
        else:
            failures += 1
            print(outcome, flush=True)
    print(summary(reports, time.monotonic() - start_s))
    if failures:
        print(f"{failures} seeds failed")
    return 0 if reports and not failures else 1


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
        f"{sum(report.virtual_us for report in reports) // 1_000_000} virtual seconds"
    )


if __name__ == "__main__":
    sys.exit(main())
