"""Numbers and moments: exact, and the last good day instead of the moment after it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.rules import calendar
from words import dates, units
from words.languages import chosen, of_environment
from words.units import FEN_MAX

MIDNIGHT_MS = calendar.end_of_day_ms(calendar.day_of(1_798_000_000_000))


@given(st.integers(0, FEN_MAX))
def test_an_amount_survives_being_shown_and_typed(fen: int) -> None:
    assert units.fen_of(units.yuan(fen)) == fen
    assert units.fen_of(units.bare_yuan(fen)) == fen


@pytest.mark.parametrize(
    ("fen", "text"),
    [(0, "0.00"), (5, "0.05"), (123456, "1,234.56"), (-7, "-0.07"), (100000000, "1,000,000.00")],
)
def test_fen_are_shown_in_yuan(fen: int, text: str) -> None:
    assert units.yuan(fen) == text


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (433_800_000, "120.5"),
        (3_600_000, "1"),
        (0, "0"),
        (36_000_000_000, "10,000"),
        (45, "0.0000125"),
    ],
)
def test_device_time_is_shown_in_hours(duration_ms: int, text: str) -> None:
    assert units.hours(duration_ms) == text


@given(st.integers(0, 10**15))
def test_hours_are_exact_or_not_shown(duration_ms: int) -> None:
    shown = units.hours(duration_ms)
    if shown is not None:
        whole, _, rest = shown.replace(",", "").partition(".")
        assert int(whole + rest.ljust(7, "0")) * 3_600_000 == duration_ms * 10**7


@pytest.mark.parametrize(
    ("basis_points", "text"), [(3_050, "30.50"), (5, "0.05"), (10_000, "100.00")]
)
def test_basis_points_are_shown_as_per_cent(basis_points: int, text: str) -> None:
    assert units.percent(basis_points) == text


def test_moments_are_written_at_plus_eight() -> None:
    assert dates.moment(0) == "1970-01-01 08:00:00 +08:00"
    assert dates.clock(0) == "1970-01-01 08:00:00"
    assert dates.stamp(0) == "1970-01-01T00:00:00Z"


def test_what_ends_at_midnight_is_good_through_the_day_before() -> None:
    day = calendar.date_of(calendar.day_of(MIDNIGHT_MS) - 1).isoformat()
    assert dates.through(MIDNIGHT_MS) == dates.last_day(MIDNIGHT_MS) == day
    assert dates.end(MIDNIGHT_MS) == f"{day} 24:00 +08:00"
    assert dates.end(MIDNIGHT_MS + 1_000) == dates.moment(MIDNIGHT_MS + 1_000)
    assert dates.through(MIDNIGHT_MS - 1_000) == f"{day} 23:59:59 +08:00"


@pytest.mark.parametrize("time_ms", [-1, calendar.TIME_MAX_MS + 1, 2**63])
def test_a_moment_that_no_calendar_has_is_shown_as_a_number(time_ms: int) -> None:
    for shown in (dates.moment, dates.clock, dates.end, dates.through):
        assert shown(time_ms) == f"{time_ms} ms"
    assert dates.day(10**9) == "day 1000000000"
    assert dates.stamp(2**63) == f"{2**63} s"


@pytest.mark.parametrize(
    ("asked", "accepted", "code"),
    [
        (None, "", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "en-GB,zh;q=0.9", "en"),
        (None, "fr, zh;q=0.2", "zh"),
        (None, "zh;q=0, en;q=0.1", "en"),
        (None, "zh;q=nan,,;;,zh;q=2", "en"),
        ("zh", "en", "zh"),
        ("xx", "zh", "zh"),
    ],
)
def test_the_language_is_the_asked_one_then_the_clients(
    asked: str | None, accepted: str, code: str
) -> None:
    assert chosen(asked, accepted) == code


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LC_ALL": "", "LANG": "ZH"}, "zh"),
    ],
)
def test_a_terminal_reads_the_language_of_its_locale(
    environment: dict[str, str], code: str
) -> None:
    assert of_environment(environment) == code
