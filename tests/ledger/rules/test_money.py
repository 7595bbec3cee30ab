"""A benefit, rounded to its step."""

from typing import Any

import pytest

from ledger.rules import money
from ledger.rules.money import Rounding


@pytest.mark.parametrize(("mode", "yuan"), [("truncate", 25_102), ("half_up", 25_103)])
def test_nanning_pays_whole_yuan_of_30_percent(mode: Any, yuan: int) -> None:
    base = 83_676_00
    assert money.benefit(base, 3000, Rounding(mode=mode, step_fen=100)) == yuan * 100


@pytest.mark.parametrize(
    ("base", "points", "mode", "step", "paid"),
    [
        (0, 3000, "truncate", 1, 0),
        (3, 3333, "truncate", 1, 0),
        (3, 5000, "truncate", 1, 1),
        (3, 5000, "half_up", 1, 2),
        (10_000, 10_000, "truncate", 100, 10_000),
        (10_049, 10_000, "half_up", 100, 10_000),
        (10_050, 10_000, "half_up", 100, 10_100),
        (2**53 - 1, 10_000, "truncate", 1, 2**53 - 1),
    ],
)
def test_a_benefit_is_rounded_to_its_step(
    base: int, points: int, mode: Any, step: int, paid: int
) -> None:
    assert money.benefit(base, points, Rounding(mode=mode, step_fen=step)) == paid
