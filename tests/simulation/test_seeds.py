"""Whole networks from seeds: every one keeps every promise, through all its faults."""

import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from node.simulation.batch import run_all, summary
from node.simulation.faults import Faults, draw
from node.simulation.simulation import Failed, Report, run_seed

ROOT = Path(__file__).resolve().parent.parent.parent
BATCHES = (
    *((4, first, 30) for first in range(0, 270, 30)),
    (7, 0, 6),
    (7, 6, 6),
    (1, 0, 30),
)
"""Validators, first seed, number of seeds: enough batches to share out among workers."""
LONG_BATCHES = tuple((4, first, 250) for first in range(10_000, 14_000, 250)) + tuple(
    (7, first, 100) for first in range(10_000, 10_600, 100)
)


def run_batch(validators: int, first: int, count: int) -> list[Report]:
    """Run seeds one after the other; print what they did."""
    start_s = time.monotonic()
    reports = [run_seed(seed, validators=validators) for seed in range(first, first + count)]
    # Workers of a parallel run have no standard output to show.
    sys.stderr.write(
        f"\n  n = {validators}, seeds {first}…: {summary(reports, time.monotonic() - start_s)}\n"
    )
    return reports


def check_that_it_happened(reports: list[Report], validators: int) -> None:
    """A simulation in which nothing happens proves nothing."""
    for report in reports:
        assert report.commits >= report.heights * (validators - (validators - 1) // 3) > 0
        assert report.transactions > 0
    assert sum(report.pairs for report in reports) > 0
    assert sum(report.crashes for report in reports) > 0
    if validators > 1:
        assert min(report.delivered for report in reports) > 0
        assert sum(report.equivocations for report in reports) > 0


@pytest.mark.parametrize(("validators", "first", "count"), BATCHES)
def test_every_promise_is_kept_through_faults(
    validators: int, first: int, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        reports = run_batch(validators, first, count)
    assert len(reports) == count
    check_that_it_happened(reports, validators)


def test_at_least_three_hundred_seeds_run_by_default() -> None:
    assert sum(count for _, _, count in BATCHES) >= 300
    assert {validators for validators, _, _ in BATCHES} == {1, 4, 7}


@pytest.mark.long
@pytest.mark.parametrize(("validators", "first", "count"), LONG_BATCHES)
def test_every_promise_is_kept_through_many_more_faults(
    validators: int, first: int, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        check_that_it_happened(run_batch(validators, first, count), validators)


def test_a_seed_run_twice_leaves_the_same_trace_whatever_the_hash_seed() -> None:
    here = run_seed(2, validators=4)
    assert run_seed(2, validators=4) == here
    elsewhere = subprocess.run(
        [
            sys.executable,
            "-c",
            "from node.simulation.simulation import run_seed\n"
            "print(run_seed(2, validators=4).trace_hash)",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == here.trace_hash
    assert run_seed(3, validators=4).trace_hash != here.trace_hash


def test_every_fault_class_is_drawn_in_the_default_seeds() -> None:
    plain = Faults()
    drawn = [draw(Random(f"{seed}/4"), 4) for seed in range(270)]
    for name in Faults.__dataclass_fields__:
        differing = sum(getattr(one, name) != getattr(plain, name) for one in drawn)
        assert 0 < differing < len(drawn), name


def test_real_signatures_keep_the_same_promises() -> None:
    report = run_seed(1, validators=4, faults=Faults(real_signatures=True, liars=1))
    assert report.transactions > 0


def test_a_quiet_network_makes_every_transaction_final_at_once() -> None:
    report = run_seed(0, validators=4, faults=Faults())
    assert report.crashes == 0
    assert report.equivocations == 0
    assert report.virtual_us < 60_000_000


def test_a_failure_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.simulation.checks.TIMELY_MS", -(10**9))
    with pytest.raises(Failed, match=r"python -m node\.simulation --seed 5 --val") as failed:
        run_seed(5, validators=4)
    assert failed.value.reason.startswith("Violation: time")
    assert "prevote h1 r0" in str(failed.value), "the trace tells messages in words"


def test_workers_find_what_one_process_finds() -> None:
    jobs = [(seed, 4) for seed in range(2)]
    assert sorted(map(str, run_all(jobs, 2))) == sorted(map(str, run_all(jobs, 1)))


def test_no_seeds_are_a_failure() -> None:
    command = [sys.executable, "-m", "node.simulation", "--seeds", "0"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout[:14]) == (1, "0 seeds passed")


def test_liars_stay_below_a_third() -> None:
    for validators in (1, 3, 4, 6, 7):
        for seed in range(50):
            assert 3 * draw(Random(seed), validators).liars < validators
