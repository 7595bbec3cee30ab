"""Quorums and turns."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.inputs import TimeoutKind
from consensus.timeouts import TIMEOUT_MS_MAX, TimeoutPolicy
from consensus.validators import POWER_TOTAL_MAX, VALIDATORS_MAX, Validator, ValidatorSet
from tests.consensus.harness import key_of, validator_set

POWERS = st.lists(st.integers(1, 12), min_size=1, max_size=9).map(tuple)


@pytest.mark.parametrize(
    ("size", "quorum", "one_third_plus"),
    [(1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 3, 2), (5, 4, 2), (6, 5, 3), (7, 5, 3), (8, 6, 3)],
)
def test_a_quorum_is_more_than_two_thirds(size: int, quorum: int, one_third_plus: int) -> None:
    validators = validator_set((1,) * size)
    assert validators.is_quorum(quorum)
    assert not validators.is_quorum(quorum - 1)
    assert validators.is_one_third_plus(one_third_plus)
    assert not validators.is_one_third_plus(one_third_plus - 1)


@given(powers=POWERS, data=st.data())
def test_two_quorums_share_a_correct_validator(
    powers: tuple[int, ...], data: st.DataObject
) -> None:
    validators = validator_set(powers)
    indexes = range(len(powers))
    one = data.draw(st.frozensets(st.sampled_from(indexes)))
    other = data.draw(st.frozensets(st.sampled_from(indexes)))
    if all(validators.is_quorum(sum(powers[i] for i in quorum)) for quorum in (one, other)):
        assert validators.is_one_third_plus(sum(powers[i] for i in one & other))


@given(powers=POWERS, height=st.integers(0, 2**53 - 1))
def test_turns_are_in_proportion_to_power(powers: tuple[int, ...], height: int) -> None:
    validators = validator_set(powers)
    turns = Counter(validators.proposer(height, round) for round in range(sum(powers)))
    assert turns == {key_of(index): power for index, power in enumerate(powers)}


@pytest.mark.parametrize("power", [1, 10])
def test_equal_validators_take_turns_in_key_order(power: int) -> None:
    validators = validator_set((power,) * 4)
    turns = [validators.proposer(4, round) for round in range(5)]
    assert turns == [key_of(index) for index in (0, 1, 2, 3, 0)]


def test_the_next_round_has_another_proposer_where_power_is_spread() -> None:
    validators = validator_set((10, 9, 8, 7, 7))
    turns = [validators.proposer(1, round) for round in range(41)]
    assert all(one != other for one, other in pairwise(turns))


@pytest.mark.parametrize(
    ("complaint", "validators"),
    [
        ("not 0", []),
        ("ascending", [(2, 1), (1, 1)]),
        ("distinct", [(1, 1), (1, 1)]),
        ("no power", [(1, 0)]),
        ("add up", [(1, 2**53)]),
        ("not 129", [(index, 1) for index in range(VALIDATORS_MAX + 1)]),
    ],
)
def test_a_malformed_set_is_refused(complaint: str, validators: list[tuple[int, int]]) -> None:
    members = tuple(Validator(key=key_of(index), power=power) for index, power in validators)
    with pytest.raises(ValueError, match=complaint):
        ValidatorSet(validators=members)


def test_the_largest_sets_are_sets() -> None:
    assert validator_set((1,) * VALIDATORS_MAX).total_power == VALIDATORS_MAX
    assert validator_set((POWER_TOTAL_MAX - 1, 1)).total_power == POWER_TOTAL_MAX


def test_a_stranger_has_no_power() -> None:
    assert validator_set((5, 5)).power_of(key_of(7)) == 0


def test_timeouts_grow_linearly_and_stop_at_the_cap() -> None:
    policy = TimeoutPolicy(propose_ms=1_000, prevote_ms=300, precommit_ms=200, increment_ms=500)
    assert policy.after_ms(TimeoutKind.PROPOSE, 0) == 1_000
    assert policy.after_ms(TimeoutKind.PREVOTE, 3) == 1_800
    assert policy.after_ms(TimeoutKind.PRECOMMIT, 1_000_000) == TIMEOUT_MS_MAX
