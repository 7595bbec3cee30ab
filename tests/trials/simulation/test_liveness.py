"""Whatever went wrong, and however long: once it is over, blocks come again, and soon."""

from collections.abc import Callable

import pytest

from consensus import rounds
from consensus.inputs import TimeoutKind
from consensus.rounds import RoundState, Transition
from consensus.timeouts import TIMEOUT_MS_MAX, TimeoutPolicy
from engines.builtin.presence import RESEND_US
from engines.builtin.work import Work
from tests.trials.simulation.town import (
    TIMEOUTS,
    Stops,
    Town,
    blocks,
    nothing,
    round_us,
    the_proposer,
)

Plant = Callable[[pytest.MonkeyPatch], None]

FAILED_ROUNDS = 40
CAPPED_ROUNDS = 60
"""So many that every timer is as long as it ever gets."""
RESTART_ROUND = 12
ROUNDS_US_MAX = 7_200_000_000
"""Far more than so many rounds take."""
SLOW_CHECK_US = 100_000
NEVER_US = 120_000_000
"""Nothing that works takes this long."""


def fail_rounds(town: Town, stops: Stops, count: int) -> bytes:
    """Hand in a transaction that cannot become final; return its id when all rounds failed."""
    town.stops = stops
    made = town.wish()
    town.submit(next(one for one in town.members if one.is_up), made)
    height = town.hosts()[0].height
    took_us = town.run_until(
        lambda: all(host.round >= count for host in town.hosts()),
        ROUNDS_US_MAX,
        SLOW_CHECK_US,
    )
    assert took_us is not None
    assert all(host.height == height for host in town.hosts()), "no block was made"
    assert made[0] not in town.checks.tally.logged
    return made[0]


def healed_within_us(town: Town) -> int:
    """Return how long healing may take: the longest timer and two rounds."""
    return TIMEOUT_MS_MAX * 1_000 + 2 * round_us(max(host.round for host in town.hosts()) + 1)


# --- forty failed rounds -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("validators", "seed", "stops", "rounds_"),
    [
        (4, 0, the_proposer, FAILED_ROUNDS),
        (4, 1, the_proposer, FAILED_ROUNDS),
        (4, 2, blocks, FAILED_ROUNDS),
        (4, 3, blocks, FAILED_ROUNDS),
        pytest.param(4, 0, the_proposer, CAPPED_ROUNDS, marks=pytest.mark.ci),
        pytest.param(4, 2, blocks, CAPPED_ROUNDS, marks=pytest.mark.ci),
        pytest.param(7, 4, the_proposer, FAILED_ROUNDS, marks=pytest.mark.ci),
        pytest.param(7, 5, blocks, FAILED_ROUNDS, marks=pytest.mark.long),
    ],
)
def test_after_forty_failed_rounds_a_block_comes_within_thirty_seconds_and_two_rounds(
    validators: int, seed: int, stops: Stops, rounds_: int
) -> None:
    town = Town(seed, validators)
    town.begin()
    wanted = fail_rounds(town, stops, rounds_)
    assert len(town.hosts()) == validators
    most_us = healed_within_us(town)
    town.stops = nothing
    took_us = town.run_until(lambda: town.is_everywhere(wanted), 2 * most_us)
    assert took_us is not None
    assert took_us <= most_us
    print(f"{rounds_} failed rounds of {validators}, then a block after {took_us // 1_000} ms")


def test_proposals_that_were_held_back_are_decided_without_a_timer() -> None:
    town = Town(0, 4)
    town.begin()
    wanted = fail_rounds(town, blocks, RESTART_ROUND)
    town.stops = nothing
    took_us = town.run_until(lambda: town.is_everywhere(wanted), NEVER_US)
    assert took_us is not None
    assert took_us <= 2 * RESEND_US, "they are sent again, whatever the timers say"


def test_timers_grow_by_the_same_step_until_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    steep = TimeoutPolicy(propose_ms=600, prevote_ms=300, precommit_ms=300, increment_ms=3_000)
    asked: dict[tuple[TimeoutKind, int], int] = {}
    correct = TimeoutPolicy.after_ms

    def spy(policy: TimeoutPolicy, kind: TimeoutKind, round: int) -> int:
        asked[kind, round] = correct(policy, kind, round)
        return asked[kind, round]

    monkeypatch.setattr(TimeoutPolicy, "after_ms", spy)
    town = Town(0, 4)
    for member in town.members:
        member.timeouts = steep
    town.begin()
    asked.clear()
    fail_rounds(town, blocks, 15)
    lengths_ms = [asked[TimeoutKind.PROPOSE, round_] for round_ in range(15)]
    assert lengths_ms == [min(600 + 3_000 * round_, TIMEOUT_MS_MAX) for round_ in range(15)]
    assert lengths_ms[9] < TIMEOUT_MS_MAX == lengths_ms[10] == lengths_ms[14]
    assert max(asked.values()) == TIMEOUT_MS_MAX


def test_the_timers_of_a_node_are_at_their_cap_after_sixty_rounds_and_not_after_forty() -> None:
    lengths_ms = {
        round_: [TIMEOUTS.after_ms(kind, round_) for kind in TimeoutKind]
        for round_ in (FAILED_ROUNDS, CAPPED_ROUNDS)
    }
    assert max(lengths_ms[FAILED_ROUNDS]) < TIMEOUT_MS_MAX
    assert min(lengths_ms[CAPPED_ROUNDS]) == TIMEOUT_MS_MAX


# --- a dead proposer of an idle network ----------------------------------------------------------

NOTICED_US = round_us(0) + TIMEOUTS.propose_ms * 1_000


def after_the_idle_proposer_died_us(seed: int, validators: int) -> int | None:
    """Return how long a transaction takes whose first proposer is dead, from an idle network."""
    town = Town(seed, validators)
    town.begin()
    town.world.run_until(town.world.now_us + 2_000_000)
    height = town.hosts()[0].height
    assert all(host.state().step == "waiting" and host.height == height for host in town.hosts()), (
        "idle"
    )
    dead = town.proposer(height, 0)
    dead.kill()
    taker = next(member for member in town.members if member is not dead)
    return town.final_after_us(taker, town.wish(), NEVER_US)


@pytest.mark.parametrize(("validators", "seed"), [(4, 0), (4, 1), (4, 2), (7, 0), (7, 1)])
def test_a_dead_idle_proposer_is_noticed_at_the_first_transaction(
    validators: int, seed: int
) -> None:
    took_us = after_the_idle_proposer_died_us(seed, validators)
    assert took_us is not None
    assert TIMEOUTS.propose_ms * 1_000 < took_us <= NOTICED_US
    print(f"final {took_us // 1_000} ms after the proposer died, of {NOTICED_US // 1_000}")


def timer_of_the_proposer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    correct = rounds.start_round

    def planted(state: RoundState, round: int) -> Transition:
        after, outputs = correct(state, round)
        if round == 0 and after.validators.proposer(after.height, 0) != after.own_key:
            return after, tuple(one for one in outputs if not isinstance(one, rounds.StartTimer))
        return after, outputs

    monkeypatch.setattr(rounds, "start_round", planted)


def work_counts_for_the_proposer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    correct = Work.arrived

    def planted(work: Work) -> None:
        heights = work._heights
        if heights.now.validators.proposer(heights.number, 0) == heights.own_key():
            correct(work)

    monkeypatch.setattr(Work, "arrived", planted)


@pytest.mark.parametrize("plant", [timer_of_the_proposer_alone, work_counts_for_the_proposer_alone])
def test_a_dead_idle_proposer_stops_all_if_nobody_else_starts_a_timer(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert after_the_idle_proposer_died_us(0, 4) is None


# --- restarts after rounds have grown ------------------------------------------------------------


@pytest.mark.parametrize(("validators", "seed"), [(4, 0), (4, 1), (7, 0)])
def test_a_network_restarted_in_a_late_round_goes_on_there(validators: int, seed: int) -> None:
    town = Town(seed, validators)
    town.begin()
    wanted = fail_rounds(town, blocks, RESTART_ROUND)
    for member in town.members:
        member.kill()
    for member in town.members:
        member.start()
    # What came after the last own signature was not durable; a round has two of them.
    assert all(host.round >= RESTART_ROUND - 1 for host in town.hosts())
    assert len(town.hosts()) == validators
    most_us = healed_within_us(town)
    town.stops = nothing
    took_us = town.run_until(lambda: town.is_everywhere(wanted), 2 * most_us)
    assert took_us is not None
    assert took_us <= most_us
    print(f"restarted in round {RESTART_ROUND}, a block after {took_us // 1_000} ms")


@pytest.mark.parametrize("seed", [0, 1])
def test_a_node_restarted_after_many_rounds_catches_up_and_its_vote_counts(seed: int) -> None:
    town = Town(seed, 4)
    town.begin()
    late, gone = town.members[1], town.members[2]
    late.kill()
    wanted = fail_rounds(town, blocks, RESTART_ROUND)
    late.start()
    took_us = town.run_until(
        lambda: late.host is not None and late.host.round >= RESTART_ROUND,
        NEVER_US,
    )
    assert took_us is not None
    assert took_us <= round_us(RESTART_ROUND), "others' votes show it the round"
    gone.kill()  # from here on three of four are left: nothing is decided without the late one
    most_us = healed_within_us(town)
    town.stops = nothing
    took_us = town.run_until(lambda: town.is_everywhere(wanted), 2 * most_us)
    assert took_us is not None
    assert took_us <= most_us
    assert late.store_height == max(town.checks.blocks)
