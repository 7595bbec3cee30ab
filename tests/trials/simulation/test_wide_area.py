"""Finality between real places: the model keeps to physics, and nothing is left behind."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from trials.simulation import wide_area
from trials.simulation.wide_area import (
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
    quantile_ms,
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
QUIET = Scenario(name="nobody", per_second=5.0, transactions=20)


def run(scenario: Scenario, *, costs: Costs = COSTS, seed: int = 1) -> Finality:
    return WideArea(SEVEN, costs, seed).run(scenario)


def p50(one: Finality) -> int:
    return quantile_ms(one.waits_us, 50)


def check_physics(one: Finality) -> None:
    assert one.scenario.transactions == len(one.waits_us) == len(one.bounds_us)
    assert all(wait > bound for wait, bound in zip(one.waits_us, one.bounds_us, strict=True))
    assert one.waits_us == tuple(sorted(one.waits_us))
    assert p50(one) <= quantile_ms(one.waits_us, 99) <= one.waits_us[-1] // 1_000
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
    assert quantile_ms(lost.waits_us, 99) > p50(run(QUIET)) + 1_000, "the propose timeout shows"


def test_computing_takes_virtual_time() -> None:
    slow = replace(COSTS, verify_us=2_000, execute_us=20_000)
    assert p50(run(QUIET, costs=slow)) > p50(run(QUIET)) + 20


def test_costs_are_measured() -> None:
    costs = measure()
    assert all(getattr(costs, name) > 0 for name in Costs.__dataclass_fields__)
    assert costs.execute_us > costs.admit_us
    assert run(QUIET, costs=costs).waits_us, "a run takes what was measured"


def test_a_line_of_the_table_has_what_its_columns_say() -> None:
    seeds = [run(QUIET, seed=seed) for seed in (1, 2, 3)]
    cells = row(seeds).strip("| ").split(" | ")
    shown = dict(zip(COLUMNS, cells, strict=True))
    assert (shown["lost"], shown["alive"], shown["load"]) == ("nobody", "7 of 7", "5/s")
    assert shown["transactions"] == str(3 * QUIET.transactions)
    waits_us = [wait_us for one in seeds for wait_us in one.waits_us]
    assert shown["p99"] == f"{quantile_ms(waits_us, 99)} ms"
    assert shown["p50 by seed"] == f"{min(map(p50, seeds))} to {max(map(p50, seeds))} ms"


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(wide_area, "EVERYBODY", SEVEN)
    monkeypatch.setattr(wide_area, "LOADS", (5.0, 10.0))
    monkeypatch.setattr(sys, "argv", ["wide_area", "--transactions", "6", *words])
    return wide_area.main()


def test_the_command_writes_a_line_for_each_loss_and_load_and_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    journal = ("--journal", str(tmp_path / "journal"))
    assert command(monkeypatch, "--seeds", "2", *journal) == 0
    costs, _, header, divider, *rows = capsys.readouterr().out.splitlines()
    assert costs.startswith("Measured costs: Costs(verify_us=")
    assert header == f"| {' | '.join(COLUMNS)} |"
    assert len(rows) == len(wide_area.LOSSES) * len(wide_area.LOADS)
    assert all("| 12 |" in line for line in rows)
    monkeypatch.setattr(wide_area, "run_piece", pytest.fail)  # nothing is left to run
    monkeypatch.setattr(wide_area, "measure", pytest.fail)  # nor to measure: a table has one cost
    assert command(monkeypatch, "--seeds", "2", *journal) == 0
    assert capsys.readouterr().out.splitlines() == [costs, "", header, divider, *rows]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--seeds", "0"), "--seeds takes a number from 1 to 1000, not 0"),
        (("--seed", "-5"), "--seed takes a number from 0 to"),
        (("--journal", "letter"), "letter is no journal"),
    ],
)
def test_the_command_refuses(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: tuple[str, ...],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letter").write_text("Dear all")
    with pytest.raises(SystemExit):
        command(monkeypatch, *words)
    assert complaint in capsys.readouterr().err


@pytest.mark.long
def test_fifty_seven_places_decide_with_and_without_the_yangtze_delta() -> None:
    everybody = Scenario(name="nobody", per_second=4.0, transactions=16)
    without = replace(everybody, name="the Yangtze delta", lost=YANGTZE_DELTA)
    whole, rest = (
        WideArea(EVERYBODY, COSTS, seed=1).run(scenario) for scenario in (everybody, without)
    )
    for one in (whole, rest):
        check_physics(one)
    assert (whole.living, rest.living, rest.validators) == (57, 43, 57)
    assert rest.later_rounds > 0, "dead proposers cost rounds"
    assert p50(rest) > p50(whole)
