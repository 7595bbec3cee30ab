"""Finality between real places: the model keeps to physics, and nothing is left behind."""

import sys
from dataclasses import replace

import pytest

from node.simulation import wide_area
from node.simulation.wide_area import (
    CITIES,
    COLUMNS,
    EVERYBODY,
    METRO_US,
    PLACES,
    YANGTZE_DELTA,
    Costs,
    Finality,
    Scenario,
    WideArea,
    finality_bound_us,
    measure,
    one_way_us,
    row,
)

COSTS = Costs(
    verify_us=100,
    sign_us=50,
    event_us=100,
    parse_us=10,
    admit_us=10,
    recheck_us=100,
    execute_us=500,
    commit_us=200,
)
"""Fixed, so that a run is the same everywhere."""
SEVEN = ("Beijing", "Shanghai", "Shenzhen", "Chengdu", "Guiyang", "Wuhan", "Xi'an")
QUIET = Scenario(name="nobody", per_second=5.0, seconds=4)


def run(scenario: Scenario, *, costs: Costs = COSTS, seed: int = 1) -> Finality:
    return WideArea(SEVEN, costs, seed).run(scenario)


def check_physics(one: Finality) -> None:
    assert 10 <= len(one.waits_us) == len(one.bounds_us)
    assert all(wait > bound for wait, bound in zip(one.waits_us, one.bounds_us, strict=True))
    assert one.waits_us == tuple(sorted(one.waits_us))
    assert one.quantile_ms(50) <= one.quantile_ms(99) <= one.waits_us[-1] // 1_000
    assert one.heights > 0


def test_seventeen_cities_and_forty_centres_validate() -> None:
    assert (len(CITIES), len(EVERYBODY)) == (17, 57)
    assert set(EVERYBODY) == set(PLACES)
    for latitude, longitude in PLACES.values():
        assert 18 < latitude < 54, "degrees north in China"
        assert 73 < longitude < 135, "degrees east in China"


def test_the_region_that_is_lost_has_less_than_a_third() -> None:
    lost = sum(place in YANGTZE_DELTA for place in EVERYBODY)
    assert 0 < 3 * lost < len(EVERYBODY)


def test_light_needs_the_way_between_places() -> None:
    assert one_way_us("Wuhan", "Wuhan") == METRO_US
    assert one_way_us("Beijing", "Shanghai") == one_way_us("Shanghai", "Beijing")
    # 1,067 km on the sphere, half as much again as cable, at 200,000 km/s.
    assert one_way_us("Beijing", "Shanghai") == pytest.approx(METRO_US + 8_000, rel=0.02)


def test_the_bound_is_two_waits_for_a_quorum() -> None:
    places = ("Beijing", "Beijing", "Beijing", "Shenzhen")
    far_us = one_way_us("Beijing", "Shenzhen")
    assert finality_bound_us(places, 0, 4) == 2 * METRO_US
    assert finality_bound_us(places, 3, 4) == METRO_US + far_us


def test_everything_is_final_and_nothing_is_faster_than_light() -> None:
    one = run(QUIET)
    check_physics(one)
    assert (one.living, one.validators) == (7, 7)
    assert one.delivered > 1_000


def test_a_run_is_the_same_again() -> None:
    assert run(QUIET) == run(QUIET) != run(QUIET, seed=2)


def test_a_lost_city_costs_rounds_and_loses_nothing() -> None:
    lost = run(replace(QUIET, name="Shanghai", lost=("Shanghai",)))
    check_physics(lost)
    assert (lost.living, lost.validators) == (6, 7)
    assert lost.later_rounds > 0, "each height whose proposer is gone needs a second round"
    assert lost.quantile_ms(99) > run(QUIET).quantile_ms(50) + 1_000, "the propose timeout shows"


def test_computing_takes_virtual_time() -> None:
    slow = replace(COSTS, verify_us=2_000, execute_us=20_000)
    assert run(QUIET, costs=slow).quantile_ms(50) > run(QUIET).quantile_ms(50) + 20


def test_costs_are_measured() -> None:
    costs = measure()
    assert all(getattr(costs, name) > 0 for name in Costs.__dataclass_fields__)
    assert costs.execute_us > costs.admit_us
    assert run(QUIET, costs=costs).waits_us, "a run takes what was measured"


def test_a_line_of_the_table_has_what_its_columns_say() -> None:
    one = run(QUIET)
    cells = row(one).strip("| ").split(" | ")
    shown = dict(zip(COLUMNS, cells, strict=True))
    assert (shown["lost"], shown["alive"], shown["load"]) == ("nobody", "7 of 7", "5/s")
    assert shown["transactions"] == str(len(one.waits_us))
    assert shown["p99"] == f"{one.quantile_ms(99)} ms"


def test_the_command_writes_a_line_for_each_loss_and_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wide_area, "EVERYBODY", SEVEN)
    monkeypatch.setattr(wide_area, "LOADS", ((5.0, 1), (10.0, 1)))
    monkeypatch.setattr(sys, "argv", ["wide_area", "--seconds", "1"])
    assert wide_area.main() == 0
    costs, _, header, _, *rows = capsys.readouterr().out.splitlines()
    assert costs.startswith("Measured costs: Costs(verify_us=")
    assert header == f"| {' | '.join(COLUMNS)} |"
    assert len(rows) == len(wide_area.LOSSES) * len(wide_area.LOADS)
