"""A failing seed shrinks to what it needs to fail, and says how to see it again."""

import pytest

from trials.simulation.disk import SimulatedSlotFile
from trials.simulation.faults import Faults, faults_from
from trials.simulation.shrink import fails, first_words, shrink, smaller
from trials.simulation.simulation import Failed

MANY = Faults(
    lasts_ms=8_000,
    delay_mean_ms=20.0,
    duplicate=0.3,
    one_way_every_ms=4_000,
    crash_every_ms=150,
    jumps_every_ms=3_000,
    skew_ms=50,
    expiries=True,
)


def first_failure(faults: Faults) -> Failed:
    for seed in range(40):
        failed = fails(seed, 4, faults)
        if failed is not None:
            return failed
    raise AssertionError("40 seeds found nothing")


def test_a_planted_bug_shrinks_to_the_fault_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedSlotFile, "sync", lambda file: None)
    failed = first_failure(MANY)
    small = shrink(failed)
    assert first_words(small.failed.reason) == first_words(failed.reason)
    assert small.faults.crash_every_ms == MANY.crash_every_ms, "without crashes nothing is lost"
    assert small.faults.lasts_ms < MANY.lasts_ms
    for fewer in smaller(small.faults):
        other = fails(failed.seed, failed.validators, fewer)
        words = "" if other is None else first_words(other.reason)
        assert words != first_words(failed.reason), "nothing more can be left out"
    again = faults_from(small.failed.again.partition("--faults '")[2].rstrip("'"))
    seen = fails(small.failed.seed, small.failed.validators, again)
    assert seen is not None and seen.trace_hash == small.failed.trace_hash
    text = str(small)
    assert small.failed.reason in text and small.failed.again in text
    assert len(text.splitlines()) < 45


def test_smaller_faults_have_one_thing_less() -> None:
    for one in smaller(MANY):
        differing = [
            name
            for name in Faults.__dataclass_fields__
            if getattr(one, name) != getattr(MANY, name)
        ]
        assert len(differing) == 1


def test_nothing_is_left_to_drop_from_a_quiet_network_but_time_and_clients() -> None:
    quiet = Faults(clients_every_ms=0, lasts_ms=100)
    assert list(smaller(quiet)) == []


def test_failures_of_one_cause_begin_with_the_same_words() -> None:
    assert first_words("Violation: lock broken: v1 at h3 r2") == "Violation: lock broken"
    assert first_words("KeyError: 'x'") == "KeyError: 'x'"
