"""A failing seed made small: fewer kinds of faults and a shorter run that still fail so."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from trials.simulation.faults import Faults
from trials.simulation.simulation import Failed, run_seed

RUNS_MAX = 400
SHORTEST_MS = 100
LINES_MAX = 40
"""Lines of the transcript that are shown: the last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """The smallest failure found."""

    failed: Failed
    faults: Faults
    runs: int

    def __str__(self) -> str:
        """Return the transcript and the command to see it again."""
        lines = self.failed.trace[-LINES_MAX:]
        return "\n".join(
            (*lines, f"{self.failed.reason}", f"shrunk in {self.runs} runs: {self.failed.again}")
        )


def first_words(reason: str) -> str:
    """Return what two failures of one cause have in common: ``Violation: lock broken``."""
    return ":".join(reason.split(":")[:2])[:60]


def fails(seed: int, validators: int, faults: Faults) -> Failed | None:
    """Return how a seed fails with given faults, if it does."""
    try:
        run_seed(seed, validators=validators, faults=faults)
    except Failed as failed:
        return failed
    return None


def smaller(faults: Faults) -> Iterator[Faults]:
    """Yield faults with one thing less each: whole kinds first, then a shorter run."""
    plain = Faults()
    for fault in fields(Faults):
        if fault.name not in ("lasts_ms", "clients_every_ms"):
            quiet: Any = getattr(plain, fault.name)
            if getattr(faults, fault.name) != quiet:
                yield replace(faults, **{fault.name: quiet})
    if faults.clients_every_ms:
        yield replace(faults, clients_every_ms=0)
    for part in (2, 4, 8):
        less_ms = faults.lasts_ms - max(SHORTEST_MS, faults.lasts_ms // part)
        if less_ms >= SHORTEST_MS:
            yield replace(faults, lasts_ms=less_ms)


def shrink(failed: Failed) -> Shrunk:
    """Return the smallest failure of the same kind that leaving things out one by one finds."""
    words, faults, runs = first_words(failed.reason), failed.faults, 0
    # With its faults given and not drawn a seed rolls other dice: it may not fail any more.
    best = fails(failed.seed, failed.validators, faults)
    if best is None or first_words(best.reason) != words:
        return Shrunk(failed=failed, faults=faults, runs=1)
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for fewer in smaller(faults):
            if runs >= RUNS_MAX:
                break
            runs += 1
            failure = fails(failed.seed, failed.validators, fewer)
            if failure is not None and first_words(failure.reason) == words:
                best, faults, is_smaller = failure, fewer, True
                break
    return Shrunk(failed=best, faults=faults, runs=runs)
