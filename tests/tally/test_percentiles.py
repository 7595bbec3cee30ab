"""A percentile is the nearest rank: what it is at every boundary, and against its definition."""

import random

import pytest

from tally.percentiles import percentile


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7], 0, 7),
        ([7], 50, 7),
        ([7], 100, 7),
        ([30, 10, 20], 50, 20),
        ([30, 10, 20], 95, 30),
        ([1, 2], 50, 1),  # of an even number the lower median
        ([1, 2], 51, 2),
        (range(1, 101), 95, 95),
        (range(1, 101), 99, 99),  # not the most: one in a hundred is above
        (range(1, 102), 99, 100),
        (range(1, 101), 0, 1),
        (range(1, 101), 100, 100),
        ([-5, -1, -3], 50, -3),
    ],
)
def test_the_value_is_that_of_the_nearest_rank(
    values: list[int], percent: int, expected: int
) -> None:
    assert percentile(values, percent) == expected


def test_it_is_the_smallest_value_that_enough_do_not_exceed() -> None:
    dice = random.Random(7)
    for _ in range(500):
        values = [dice.randrange(-50, 50) for _ in range(dice.randrange(1, 300))]
        percent = dice.randrange(0, 101)
        enough = [
            bound
            for bound in values
            if sum(value <= bound for value in values) * 100 >= percent * len(values)
        ]
        assert percentile(values, percent) == min(enough)


def test_there_is_none_of_nothing() -> None:
    with pytest.raises(IndexError):
        percentile([], 50)
