"""Prints the table of planted bugs for docs/reliability.md, with the seeds it took now.

python -m tests.trials.simulation.planted_table
"""

import pytest

from tests.consensus import test_planted_bugs as of_the_engine
from tests.trials.simulation import test_planted_bugs as of_the_network


def row(kind: str, name: str, seen: tuple[int, str] | None) -> str:
    """Return a line of the table."""
    seeds, how = ("none", "**not seen**") if seen is None else (str(seen[0]), cause(seen[1]))
    return f"| {name} | {kind} | {seeds} | {how} |"


def cause(reason: str) -> str:
    """Return the first words of what the bug was seen as."""
    return reason.removeprefix("Violation: ").split(":")[0][:50].strip()


def main() -> None:
    """Plant every bug in turn and print how many seeds it took to see it."""
    print("| planted bug | in | seeds needed | seen as |\n|---|---|---:|---|")
    for small in of_the_engine.BUGS:
        with pytest.MonkeyPatch.context() as patch:
            small.plant(patch)
            print(row("engine", small.name, of_the_engine.seeds_needed(small)), flush=True)
    for bug in of_the_network.BUGS:
        with pytest.MonkeyPatch.context() as patch:
            bug.plant(patch)
            print(row("network", bug.name, of_the_network.seeds_needed(bug)), flush=True)


if __name__ == "__main__":
    main()
