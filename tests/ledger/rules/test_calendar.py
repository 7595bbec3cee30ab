"""The calendar at +08:00."""

from datetime import date

import pytest

from ledger.rules import calendar
from tests.builders import GENESIS_MS


@pytest.mark.parametrize(
    ("period", "when", "due"),
    [
        ("monthly", (2026, 1, 31), (2026, 1, 31)),
        ("monthly", (2026, 2, 1), (2026, 2, 28)),
        ("monthly", (2028, 2, 1), (2028, 2, 29)),
        ("quarterly", (2026, 1, 1), (2026, 3, 31)),
        ("quarterly", (2026, 12, 31), (2026, 12, 31)),
        ("yearly", (2026, 1, 1), (2026, 12, 31)),
    ],
)
def test_payables_fall_due_at_the_end_of_the_settlement_period(
    period: str, when: tuple[int, int, int], due: tuple[int, int, int]
) -> None:
    day = calendar.day_number(date(*when))
    last = calendar.end_of_day_ms(calendar.day_number(date(*due)))
    start = calendar.end_of_day_ms(day - 1)
    assert calendar.settlement_due_ms(start, period) == last
    assert calendar.settlement_due_ms(calendar.end_of_day_ms(day) - 1, period) == last


def test_a_day_begins_at_midnight_in_shanghai() -> None:
    midnight = GENESIS_MS - 8 * 3_600_000
    assert calendar.year_of(midnight) == 2026
    assert calendar.year_of(midnight - 1) == 2025
    assert calendar.month_of(midnight) == "2026-01"
    assert calendar.month_of(midnight - 1) == "2025-12"
    assert calendar.day_of(midnight) == calendar.day_of(midnight - 1) + 1
    assert calendar.end_of_day_ms(calendar.day_of(midnight)) == midnight + calendar.DAY_MS


def test_the_last_moment_of_the_ledger_still_has_a_due_date() -> None:
    for period in ("monthly", "quarterly", "yearly"):
        due = calendar.settlement_due_ms(calendar.TIME_MAX_MS, period)
        assert due == calendar.TIME_MAX_MS + 1
    with pytest.raises(ValueError, match="year"):
        calendar.settlement_due_ms(
            calendar.end_of_day_ms(calendar.day_number(date(9999, 12, 30))), "monthly"
        )
