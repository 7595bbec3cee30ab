"""Death at every single write, in every role, and again during recovery: nothing is ever lost."""

import sys

import pytest

from engines.builtin.signer import SignerDamaged
from trials.simulation.crash_points import ROLES, Role, explore, visit
from trials.simulation.disk import SimulatedSlotFile

POINTS_MIN = {"proposer": 60, "voter": 50, "last voter": 60, "latecomer": 18}
"""Steps of a life without a death, at the least: two a write."""
DEEPEST_EVERY = 6


def count(role: Role, depth: int, every: int) -> list[int]:
    """Visit all points and return how many there were with no death, one, two…"""
    visited = [0] * (depth + 1)
    for deaths in explore(role, depth, every=every):
        visited[len(deaths)] += 1
    sys.stderr.write(f"\n  crash points of a {role}: {visited} with 0, 1, 2… deaths\n")
    return visited


@pytest.mark.parametrize(
    "role",
    [pytest.param(role, marks=pytest.mark.ci) if role == "last voter" else role for role in ROLES],
)
def test_a_member_may_die_at_every_write_and_again_while_it_recovers(role: Role) -> None:
    none, once, twice, thrice = count(role, 3, DEEPEST_EVERY)
    assert none == 1
    assert once >= POINTS_MIN[role]
    assert twice > 2 * once, "every recovery writes"
    assert thrice > 0


@pytest.mark.long
@pytest.mark.parametrize("role", ROLES)
def test_a_member_may_die_at_every_write_of_three_lives(role: Role) -> None:
    _, once, twice, thrice = count(role, 3, 1)
    assert thrice > twice > once >= POINTS_MIN[role]


def test_every_write_of_a_life_is_visited_once() -> None:
    (life,) = visit("latecomer", ())
    deaths = [one for one in explore("latecomer", 1) if one]
    assert deaths == [(step,) for step in range(1, life.total + 1)]


def visit_all_once(seeds: int) -> None:
    for seed in range(seeds):
        for step in range(1, POINTS_MIN["proposer"]):
            visit("proposer", (step,), seed=seed)


def test_a_death_that_loses_a_promise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedSlotFile, "sync", lambda file: None)
    with pytest.raises((AssertionError, SignerDamaged)):
        visit_all_once(10)
