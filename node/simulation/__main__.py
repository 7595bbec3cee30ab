"""``python -m node.simulation``: run many seeds, or one again with its trace."""

import argparse
import sys
import time

from node.simulation.batch import run_all, summary
from node.simulation.simulation import Report


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


if __name__ == "__main__":
    sys.exit(main())
