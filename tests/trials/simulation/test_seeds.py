"""Whole networks from seeds: every one keeps every promise, through all its faults.

How many is one of three stated sizes: TALLY_SEEDS is `default`, `ci` or `nightly`. A run that
did less than its size says fails.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result

from tally.exits import UsageError
from trials.commands.simulate import simulate
from trials.simulation import journal
from trials.simulation.batch import (
    SIZES,
    Journal,
    Outcome,
    Size,
    attempt,
    jobs_of,
    run_all,
    shortfall,
    summary,
    totals,
    validators_of,
)
from trials.simulation.faults import Faults, draw, failing, faults_from, faults_text
from trials.simulation.journal import JournalUnusable
from trials.simulation.simulation import WITH_REAL_SIGNATURES, Failed, run_seed

ROOT = Path(__file__).resolve().parents[3]
SIZE_NAME = os.environ.get("TALLY_SEEDS", "default")
SIZE = SIZES[SIZE_NAME]
JOB_SEEDS = 50
"""Seeds of one test: tests of equal size are shared out well among workers."""
JOBS = range(0, SIZE.seeds, JOB_SEEDS)


@pytest.mark.parametrize("first", JOBS)
def test_every_promise_is_kept_through_faults(
    first: int, record_property: Callable[[str, object], None]
) -> None:
    outcomes = [attempt(job) for job in jobs_of(first, JOB_SEEDS)]
    record_property("simulated", totals(outcomes))
    failures = [outcome for outcome in outcomes if outcome.report is None]
    assert not failures, "\n".join(failure.text for failure in failures[:3])
    assert len(outcomes) == JOB_SEEDS
    check_that_it_happened(outcomes)


def check_that_it_happened(outcomes: list[Outcome]) -> None:
    """A simulation in which nothing happens proves nothing."""
    for outcome in outcomes:
        report, least = outcome.report, outcome.validators - (outcome.validators - 1) // 3
        assert report is not None
        assert report.commits >= report.heights * least > 0
        assert report.transactions > 0
        assert report.delivered > 0 or outcome.validators == 1
    done = totals(outcomes)
    for name in (
        *("double spends tried", "lies noticed", "crashes", "partitions", "replays"),
        *("misbehaviour on the log", "state roots compared"),
    ):
        assert done[name] > 0, name
    really = sum(draws_real_signatures(one.seed, one.validators) for one in outcomes)
    assert done.get(WITH_REAL_SIGNATURES, 0) == really
    assert done["messages"] >= SIZE.messages * JOB_SEEDS // SIZE.seeds


def draws_real_signatures(seed: int, validators: int) -> bool:
    """Return whether a seed uses Ed25519."""
    return draw(Random(f"{seed}/{validators}"), validators).real_signatures


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_some_seeds_of_each_size_use_real_signatures(size: Size) -> None:
    real = sum(draws_real_signatures(*job) for job in jobs_of(0, size.seeds))
    assert size.real_signatures <= real < 3 * size.real_signatures
    assert size.real_signatures > 0


def test_the_sizes_are_what_they_are_said_to_be() -> None:
    assert {name: (size.seeds, size.messages) for name, size in SIZES.items()} == {
        "default": (2_000, 1_000_000),
        "ci": (3_000, 1_500_000),
        "nightly": (20_000, 10_000_000),
    }
    assert len(JOBS) * JOB_SEEDS == SIZE.seeds
    drawn = [validators_of(seed) for seed in range(SIZE.seeds)]
    assert sorted(set(drawn)) == [1, 4, 7, 10]
    assert drawn.count(4) > len(drawn) * 3 // 4


def test_a_seed_run_twice_leaves_the_same_trace_whatever_the_hash_seed() -> None:
    here = run_seed(2, validators=4)
    assert run_seed(2, validators=4) == here
    elsewhere = subprocess.run(
        [
            sys.executable,
            "-c",
            "from trials.simulation.simulation import run_seed\n"
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
    drawn = [draw(Random(f"{seed}/4"), 4) for seed in range(SIZES["default"].seeds)]
    for name in set(Faults.__dataclass_fields__) - {"clients_every_ms"}:
        differing = sum(getattr(one, name) != getattr(plain, name) for one in drawn)
        assert 0 < differing < len(drawn), name


def test_real_signatures_keep_the_same_promises() -> None:
    report = run_seed(1, validators=4, faults=Faults(real_signatures=True, liars=1))
    assert report.transactions > 0


def test_a_quiet_network_makes_every_transaction_final_at_once() -> None:
    report = run_seed(0, validators=4, faults=Faults())
    assert report.crashes == 0
    assert report.lies == 0
    assert report.virtual_us < 60_000_000


def test_a_failure_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trials.simulation.checks.TIMELY_MS", -(10**9))
    with pytest.raises(Failed, match=r"tally network simulate --seed 5 --validators 4") as failed:
        run_seed(5, validators=4)
    assert failed.value.reason.startswith("Violation: time")
    assert "prevote h1 r0" in str(failed.value), "the trace tells messages in words"


def test_given_faults_are_part_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trials.simulation.checks.TIMELY_MS", -(10**9))
    faults = Faults(drop=0.1, lasts_ms=500)
    with pytest.raises(Failed) as failed:
        run_seed(5, validators=4, faults=faults)
    command = failed.value.again
    assert faults_from(command.partition("--faults '")[2].rstrip("'")) == faults


def test_faults_survive_their_text() -> None:
    for seed in range(50):
        faults = draw(Random(seed), 7)
        assert faults_from(faults_text(faults)) == faults
    with pytest.raises(ValueError, match="drop"):
        faults_from('{"drop": "much"}')


def without_time(outcomes: list[Outcome]) -> list[tuple[int, str, str]]:
    return sorted((one.seed, one.verdict, one.trace_hash) for one in outcomes)


def test_workers_find_what_one_process_finds() -> None:
    jobs = jobs_of(5, 3)
    assert without_time(list(run_all(jobs, 2))) == without_time(list(run_all(jobs, 1)))


def test_a_journal_lets_a_run_go_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first, jobs = Journal(path), jobs_of(5, 3)
    for outcome in run_all(jobs[:2], 1):
        first.add(outcome)
    with path.open("ab") as file:
        file.write(b'{"seed":7,"validators":4,"verdi')
    again = Journal(path)
    assert again.missing(jobs) == jobs[2:], "a torn line counts as not written"
    for outcome in run_all(again.missing(jobs), 1):
        again.add(outcome)
    last = Journal(path)
    assert last.missing(jobs) == []
    assert without_time(list(last.outcomes.values())) == without_time(list(run_all(jobs, 1)))
    assert len(path.read_bytes().splitlines()) == 4, "a heading and three seeds"


def test_a_journal_is_gone_on_with_by_the_same_version_and_options_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    Journal(path, validators=4).add(attempt((5, 4)))
    before = path.read_bytes()
    with pytest.raises(JournalUnusable, match=r"with validators 4; this .* validators as drawn"):
        Journal(path)
    monkeypatch.setattr(journal, "__version__", "99.0")
    with pytest.raises(JournalUnusable, match=r"this is tallystick 99\.0 .* take another file"):
        Journal(path, validators=4)
    monkeypatch.undo()
    monkeypatch.setattr(journal, "code_hash", lambda: "of another commit")
    with pytest.raises(JournalUnusable, match=r"this is .*\(code of another commit\)"):
        Journal(path, validators=4)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(Journal(path, validators=4).outcomes) == [(5, 4)]


@pytest.mark.parametrize("text", ["a letter, not a journal", "two\nlines\n", "{}\n", "\n"])
def test_a_file_that_is_no_journal_stays_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "letter"
    path.write_text(text)
    result = simulated("1", "--journal", str(path))
    assert isinstance(result.exception, UsageError)
    assert "is no journal" in str(result.exception)
    assert path.read_text() == text


def test_the_hash_of_the_code_follows_every_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in journal.PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "one.py").write_text("x = 1\n")
    monkeypatch.setattr(journal, "ROOT", tmp_path)
    make = journal.code_hash.__wrapped__
    seen = {make()}
    for package in journal.PACKAGES:
        (tmp_path / package / "one.py").write_text("x = 2\n")
        seen.add(make())
    (tmp_path / "node" / "one.py").rename(tmp_path / "node" / "two.py")
    seen.add(make())
    assert len(seen) == 2 + len(journal.PACKAGES)


def test_a_journal_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/full")):
        with pytest.raises(JournalUnusable, match="is no file"):
            Journal(path)
    path = tmp_path / "journal"
    begun = Journal(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(JournalUnusable, match="journal: Is a directory"):
        begun.add(attempt((5, 4)))


@pytest.mark.parametrize(
    "words",
    [
        *(("1", "--validators", "129"), ("10000001",), ("1", "--workers", "257")),
        *(("--seed", "1", "--journal", "j"), ("--seed", "1", "--first", "2")),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(words: tuple[str, ...]) -> None:
    assert isinstance(simulated(*words).exception, UsageError | SystemExit)


def test_a_journal_with_a_broken_line_names_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path)
    with path.open("a") as file:
        file.write("{}\n")
    before = path.read_bytes()
    with pytest.raises(JournalUnusable, match="journal, line 2: "):
        Journal(path)
    assert path.read_bytes() == before


def test_a_heading_that_an_interruption_tore_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    Journal(path)
    assert path.read_bytes() == whole


def test_a_journal_that_cannot_be_made_is_refused_before_anything_runs(tmp_path: Path) -> None:
    nowhere = simulated("1", "--journal", str(tmp_path / "no" / "journal"))
    assert isinstance(nowhere.exception, UsageError)
    assert "No such file or directory" in str(nowhere.exception)
    folder = simulated("1", "--journal", str(tmp_path))
    assert folder.exit_code == 2
    assert "is a directory" in folder.output


def simulated(*arguments: str) -> Result:
    """Return how `tally network simulate` went."""
    return CliRunner().invoke(simulate, arguments)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ('{"dorp": 0.1}', "dorp: unknown, expected one of lasts_ms, "),
        ('{"drop": 7}', "drop: expected 0 to 1, got 7"),
        ('{"crash_every_ms": -1}', "crash_every_ms: expected 0 to"),
        ('{"starved": "votes"}', "starved: expected one of prevote, precommit"),
        ('{"lost_part": "key"}', "lost_part: expected one of store"),
        ('{"liars": 2}', "2 of 4 members fail for good"),
        ("[]", "Expected `object`"),
        ("nonsense", "malformed"),
    ],
)
def test_faults_that_there_are_not_are_refused(faults: str, words: str) -> None:
    result = simulated("--seed", "1", "--validators", "4", "--faults", faults)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith("--faults: ")
    assert words in str(result.exception)


def test_a_seed_that_passes_says_so_when_a_failure_was_to_be_made_smaller() -> None:
    quiet = '{"lasts_ms": 100}'
    result = simulated("--seed", "5", "--validators", "4", "--faults", quiet, "--shrink")
    assert result.exit_code == 0
    assert "seed 5 passed: there is no failure to make smaller" in result.output
    assert re.search(r"verdict +passed", result.output)


def test_a_run_that_did_too_little_says_so() -> None:
    outcome = attempt((5, 4))
    size = Size(seeds=2_000, messages=2_000 * outcome.delivered, real_signatures=1)
    assert shortfall([], size) == "only 0 of 2000 seeds ran"
    assert shortfall([outcome] * 2_000, size) == "only 0 of 1 seeds used real signatures"
    real = attempt((1, 4), Faults(real_signatures=True, lasts_ms=500))
    assert shortfall([outcome] * 2_000 + [real], size) == ""
    more = replace(size, messages=size.messages + 1)
    assert shortfall([outcome] * 2_000, more) == (
        f"only {size.messages} of {more.messages} messages were delivered"
    )
    assert "passed: 1," in summary([outcome])


def test_no_seeds_are_refused() -> None:
    command = [sys.executable, "-m", "trials.simulation", "0"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "0 is not in the range" in ran.stderr


def test_those_who_fail_for_good_stay_below_a_third() -> None:
    for validators in (1, 3, 4, 6, 7):
        for seed in range(50):
            faults = draw(Random(seed), validators)
            assert 3 * failing(faults) < validators
            assert not (faults.churn_every_ms and (failing(faults) or faults.day_off))
