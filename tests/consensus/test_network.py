"""Whole networks under faults keep every promise of the harness, seed after seed."""

import pytest

from tests.consensus.harness import Network, Outcome

SEEDS_PER_SHARD = 50
SHARDS = 8
SHAPES = (
    ((1, 1, 1, 1), 1),
    ((1, 1, 1, 1), 1),
    ((1, 1, 1, 1), 0),
    ((1, 1, 1, 1), 1),
    ((3, 2, 2, 2, 1), 1),
    ((7, 7, 7, 10), 1),
    ((1,) * 7, 2),
    ((1,) * 7, 2),
)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_correct_nodes_agree_and_decide_whatever_happens(shard: int) -> None:
    powers, byzantine = SHAPES[shard]
    seeds = range(shard * SEEDS_PER_SHARD, (shard + 1) * SEEDS_PER_SHARD)
    outcomes = [Network(seed, powers=powers, byzantine=byzantine).run() for seed in seeds]
    assert len(outcomes) == SEEDS_PER_SHARD
    assert sum(outcome.crashes for outcome in outcomes) > 0, "crashes were tried"
    assert sum(outcome.rounds > 1 for outcome in outcomes) > 5, "faults caused rounds"


def test_one_seed_gives_one_history() -> None:
    def run() -> Outcome:
        return Network(7).run()

    assert run() == run()
