"""Every scenario of three rounds, then many longer ones: traitors never make honest drivers differ.

Which scenarios run by default: those of four keys, the last with two drivers, that are the earliest
of all that differ in names alone (``Shape.relabellings``: any order of the three honest drivers,
either order of the two twins). Nothing is lost by it but who leads after the network has healed.
All of them, without this reduction, are marked ``long``: ``TALLY_TWINS_SHARD=2/8`` runs the second
of eight parts, so that they can be shared out and taken up again.
"""

import os
import sys
import time
from collections import Counter, deque
from random import Random

import pytest

from consensus.forks import ForkEvidence, fork_evidence
from consensus.messages import ValidatorKey
from consensus.validators import ValidatorSet
from tests.consensus import test_planted_bugs as planted
from tests.consensus.harness import Violation
from tests.consensus.twins import (
    PRECOMMIT,
    PREVOTE,
    Choice,
    Crash,
    Disagreement,
    Shape,
    Standstill,
    Tally,
    World,
    explore,
    finish,
)

ROUNDS = 3
ONE_TRAITOR = Shape(keys=4, twins=1)
CHOICES = ONE_TRAITOR.choices()
RELABELLINGS = ONE_TRAITOR.relabellings()
SLOW = (16, 20, 22, 23, 28, 30, 31)
"""First choices with 16,288 runs, which the default run leaves to continuous integration."""
FIRST = tuple(
    index
    for index in range(len(CHOICES))
    if all(relabelling[index] >= index for relabelling in RELABELLINGS)
)
"""First choices of the reduced enumeration."""
RUNS_ALL = 262_144
RUNS_REDUCED = 25_740
TWO_TRAITORS = Shape(keys=4, twins=2)
SEEDS = 100
"""Sampled scenarios of each shape by default."""
SEEDS_LONG = 5_000


def orbits(relabellings: tuple[tuple[int, ...], ...], rounds: int) -> int:
    """Count scenarios up to relabelling without listing them (Burnside's lemma)."""
    total = 0
    for relabelling in relabellings:
        fixed = sum(image == index for index, image in enumerate(relabelling))
        total += int(fixed**rounds)
    assert total % len(relabellings) == 0
    return total // len(relabellings)


def fixing(first: int) -> tuple[tuple[int, ...], ...]:
    return tuple(relabelling for relabelling in RELABELLINGS if relabelling[first] == first)


def tell(name: str, tally: Tally, start_s: float) -> None:
    seconds = time.monotonic() - start_s
    # Workers of a parallel run have no standard output to show.
    sys.stderr.write(
        f"\n  {name}: {tally.runs} runs, {tally.early} decided early by some, {tally.alone} of"
        f" these alone by the rest; {tally.handled} inputs; {tally.runs / seconds:.0f} runs/s\n"
    )


def test_the_scenarios_are_counted() -> None:
    assert len(CHOICES) == 16 * 4
    assert len(CHOICES) ** ROUNDS == RUNS_ALL
    assert len(set(RELABELLINGS)) == len(RELABELLINGS) == 12
    assert orbits(RELABELLINGS, ROUNDS) == RUNS_REDUCED
    assert sum(orbits(fixing(first), ROUNDS - 1) for first in FIRST) == RUNS_REDUCED


@pytest.mark.parametrize(
    "first", [pytest.param(one, marks=pytest.mark.ci) if one in SLOW else one for one in FIRST]
)
def test_one_traitor_of_four_makes_no_fork_in_any_scenario(
    first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    tally, start_s = Tally(), time.monotonic()
    world = World(ONE_TRAITOR)
    explore(world, ROUNDS, tally, choices=CHOICES, relabellings=RELABELLINGS, first=[first])
    with capsys.disabled():
        tell(f"twins, first choice {first}", tally, start_s)
    assert tally.runs == orbits(fixing(first), ROUNDS - 1)
    assert tally.alone > 0, "the rest decided on its own what some had decided"


def in_shard(first: int) -> bool:
    part, parts = (int(word) for word in os.environ.get("TALLY_TWINS_SHARD", "1/1").split("/"))
    assert 1 <= part <= parts <= len(CHOICES)
    return first % parts == part - 1


@pytest.mark.long
@pytest.mark.parametrize("first", [first for first in range(len(CHOICES)) if in_shard(first)])
def test_one_traitor_of_four_makes_no_fork_under_any_names(
    first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    tally, start_s = Tally(), time.monotonic()
    explore(World(ONE_TRAITOR), ROUNDS, tally, choices=CHOICES, first=[first])
    with capsys.disabled():
        tell(f"all twins, first choice {first}", tally, start_s)
    assert tally.runs == RUNS_ALL // len(CHOICES)


def run_sample(shape: Shape, seed: int) -> tuple[World, Tally]:
    """Play 4 to 8 rounds by the dice, with hosts that crash between any two inputs."""
    dice, tally, world = Random(seed), Tally(), World(shape)
    drivers = range(len(world.members))
    crashes = [
        Crash(after=dice.randint(1, 1_500), driver=dice.choice(drivers), lost=dice.randint(0, 6))
        for _ in range(dice.randint(1, 6))
    ]
    world.crashes = deque(sorted(crashes, key=lambda crash: crash.after))
    for _ in range(dice.randint(4, 8)):
        groups = tuple(dice.choice((0, 1)) for _ in drivers)
        world.play(Choice(groups=groups, leader=dice.randrange(shape.keys)))
    finish(world, tally)
    return world, tally


def run_samples(shape: Shape, seeds: range) -> int:
    """Return how many crashes there were; print what was done."""
    total, start_s, crashed = Tally(), time.monotonic(), 0
    for seed in seeds:
        try:
            world, tally = run_sample(shape, seed)
        except Violation as violation:
            raise AssertionError(f"seed {seed}: {violation}") from violation
        crashed += world.crashed
        total.runs += tally.runs
        total.early += tally.early
        total.alone += tally.alone
        total.handled += world.handled
    tell(f"sampled, {shape.keys} keys, {crashed} crashes", total, start_s)
    assert total.runs == len(seeds)
    assert total.alone > 0
    return crashed


SHAPES = (ONE_TRAITOR, Shape(keys=7, twins=2))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.keys} keys")
def test_longer_scenarios_with_crashes_make_no_fork(
    shape: Shape, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        assert run_samples(shape, range(SEEDS)) > SEEDS // 2


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.keys} keys")
def test_many_longer_scenarios_with_crashes_make_no_fork(
    shape: Shape, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        assert run_samples(shape, range(SEEDS, SEEDS + SEEDS_LONG)) > SEEDS_LONG // 2


def test_a_copy_of_a_world_goes_its_own_way() -> None:
    world = World(ONE_TRAITOR)
    world.play(CHOICES[5])
    before = [(member.driver.round, member.driver.resend()) for member in world.members]
    world.fork().play(CHOICES[9])
    assert [(member.driver.round, member.driver.resend()) for member in world.members] == before
    for member in world.members:
        world.crash(member, lost=0)  # raises unless the log alone gives the same driver
    assert [(member.driver.round, member.driver.resend()) for member in world.members] == before


BUGS = tuple(
    bug
    for bug in planted.BUGS
    if bug.plant
    in {
        planted.quorum_of_everybody,
        planted.lock_ignored_for_fresh_proposals,
        planted.lock_lost_in_a_new_round,
        planted.nil_polka_unlocks,
        planted.precommit_without_a_lock,
        planted.precommit_without_a_polka,
        planted.valid_round_off_by_one,
        planted.nil_votes_counted_for_the_block,
        planted.vote_counted_twice_per_key,
        planted.rounds_never_skipped_and_only_own_votes_resent,
    }
)
"""Those that twins can show. They never lie about a valid round, so L28 and L29 are not here."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_enumeration_catches(bug: planted.PlantedBug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.plant(monkeypatch)
    with pytest.raises(Violation) as caught:
        explore(World(ONE_TRAITOR), ROUNDS, Tally(), choices=CHOICES, relabellings=RELABELLINGS)
    assert str(caught.value).startswith((*bug.caught_as, "certificate"))


# --- too many traitors ---------------------------------------------------------------------------


def keys_of(world: World, *, honest: bool) -> set[ValidatorKey]:
    return {member.key for member in world.members if member.is_honest is honest}


def guilty(world: World, found: ForkEvidence) -> set[ValidatorKey]:
    """Find them by all prevotes ever sent, as F4 says."""
    block, first = (found.first.block_id,), found.first.round
    for round in range(first, found.second.round + 1):
        for other in {value for member in world.members for value in member.said.values()}:
            if other and other != block and world.is_voted(round, PREVOTE, other):
                voted = world.voters(round, PREVOTE, other)
                if round == first:
                    return voted & world.voters(first, PREVOTE, block)
                return voted & {key for key, _ in found.first.signatures}
    raise AssertionError("a block was decided without a polka")


def check_fork(world: World, fork: Disagreement, counted: Counter[str]) -> None:
    found = fork_evidence(fork.one, fork.other, world.validators)
    assert found is not None
    counted["proven" if found.proven else "suspected"] += 1
    honest, traitors = keys_of(world, honest=True), keys_of(world, honest=False)
    assert {*found.proven} <= traitors, "nobody honest is called proven"
    counted["with an innocent suspect"] += bool(honest.intersection(found.suspects))
    assert is_one_third_plus(world.validators, {*found.named})
    settled = guilty(world, found)
    assert settled <= traitors, "the prevotes settle it, and acquit everybody honest"
    assert is_one_third_plus(world.validators, settled)
    for certificate in (fork.one, fork.other):
        signed = world.voters(certificate.round, PRECOMMIT, (certificate.block_id,))
        assert {key for key, _ in certificate.signatures} <= signed


def is_one_third_plus(validators: ValidatorSet, keys: set[ValidatorKey]) -> bool:
    return 3 * len(keys) > len(validators.validators)


def test_two_traitors_of_four_make_forks_and_every_fork_names_two_keys_or_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counted: Counter[str] = Counter()
    tally, start_s = Tally(), time.monotonic()
    explore(
        World(TWO_TRAITORS),
        2,
        tally,
        choices=TWO_TRAITORS.choices(),
        relabellings=TWO_TRAITORS.relabellings(),
        on_fork=lambda world, fork: check_fork(world, fork, counted),
    )
    with capsys.disabled():
        tell(f"two traitors: {tally.forks} forks, {dict(counted)}", tally, start_s)
    assert tally.forks == counted["proven"] + counted["suspected"]
    assert counted["proven"] > 0, "two certificates of one round"
    assert counted["suspected"] > 0, "certificates of two rounds"


def test_three_traitors_of_seven_make_forks_in_which_a_suspect_may_be_innocent() -> None:
    counted: Counter[str] = Counter()
    shape = Shape(keys=7, twins=3)
    for seed in range(150):
        dice, world = Random(seed), World(shape)
        try:
            for _ in range(3):
                groups = tuple(dice.choice((0, 1)) for _ in world.members)
                world.play(Choice(groups=groups, leader=dice.randrange(shape.keys)))
            world.heal()
        except Disagreement as fork:
            check_fork(world, fork, counted)
        except Standstill:
            counted["standing still"] += 1
    assert counted["proven"] > 0
    assert counted["with an innocent suspect"] > 0
