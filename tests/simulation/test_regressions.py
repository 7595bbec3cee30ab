"""Seeds that once failed, each with a sentence on what it was. They stay."""

from dataclasses import dataclass

import pytest

from node.simulation.faults import faults_from
from node.simulation.simulation import run_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    seed: int
    validators: int
    faults: str
    """As JSON, so that a later way to draw faults does not change them."""
    what_it_was: str


REGRESSIONS = (
    Regression(
        seed=1,
        validators=4,
        faults=(
            '{"lasts_ms": 2000, "delay_mean_ms": 20.0, "partition_every_ms": 4000,'
            ' "one_way_every_ms": 1000, "long_pause": true, "drift": 0.05}'
        ),
        what_it_was=(
            "Clocks drifted by 5 % all through a stall of two minutes and were seconds apart after"
            " healing, beyond what a proposal may be off: the simulator now sets clocks when it"
            " heals, as a time service does."
        ),
    ),
    Regression(
        seed=5,
        validators=4,
        faults=(
            '{"lasts_ms": 2000, "delay_mean_ms": 1.0, "crash_every_ms": 5000, "long_pause": true,'
            ' "bit_flips": 1, "day_off": true, "lapses": true}'
        ),
        what_it_was=(
            "One member with a damaged disk and one asleep left two of four, and new transactions"
            " were asked for before the sleeper woke: the simulator now waits for it."
        ),
    ),
    Regression(
        seed=17,
        validators=4,
        faults=(
            '{"lasts_ms": 4000, "delay_mean_ms": 20.0, "partition_every_ms": 4000,'
            ' "crash_every_ms": 5000, "long_pause": true, "liars": 1, "lapses": true}'
        ),
        what_it_was=(
            "A liar and a sleeper let a height reach round 8, and the transactions by which the"
            " simulator asks for life expired after 3 s: now they last longer than they may take."
        ),
    ),
)


@pytest.mark.parametrize("one", REGRESSIONS, ids=lambda one: f"seed {one.seed}")
def test_a_seed_that_failed_once_passes(one: Regression) -> None:
    report = run_seed(one.seed, validators=one.validators, faults=faults_from(one.faults))
    assert report.transactions > 0
    assert one.what_it_was.endswith(".")
