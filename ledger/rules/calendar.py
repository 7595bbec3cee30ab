"""Dates at +08:00 from block time in milliseconds; a day ends at 24:00 (spec R2)."""

from datetime import date, timedelta

DAY_MS = 86_400_000
_OFFSET_MS = 8 * 3_600_000
_EPOCH = date(1970, 1, 1)
TIME_MAX_MS = 253_370_736_000_000 - 1
"""Last millisecond of the year 9998 at +08:00: later times have no due date (R2.5)."""


def day_of(time_ms: int) -> int:
    """Return the number of the calendar day since 1970-01-01."""
    return (time_ms + _OFFSET_MS) // DAY_MS


def date_of(day: int) -> date:
    """Return a day number as a date."""
    return _EPOCH + timedelta(days=day)


def day_number(when: date) -> int:
    """Return a date as a day number."""
    return (when - _EPOCH).days


def end_of_day_ms(day: int) -> int:
    """Return the first millisecond after a day."""
    return (day + 1) * DAY_MS - _OFFSET_MS


def year_of(time_ms: int) -> int:
    """Return the calendar year, which is the fiscal year."""
    return date_of(day_of(time_ms)).year


def month_of(time_ms: int) -> str:
    """Return the calendar month as ``YYYY-MM``."""
    when = date_of(day_of(time_ms))
    return f"{when.year:04d}-{when.month:02d}"


def expiry_ms(granted_ms: int, validity_days: int) -> int:
    """Return when value granted now expires: at the end of the last valid day."""
    return end_of_day_ms(day_of(granted_ms) + validity_days)


CLEARING_DUE_DAYS = 30


def clearing_due_ms(closed_ms: int) -> int:
    """Return until when the net positions of a cycle are to be paid (R2.4)."""
    return end_of_day_ms(day_of(closed_ms) + CLEARING_DUE_DAYS)


def settlement_due_ms(accepted_ms: int, period: str) -> int:
    """Return the end of the settlement period that holds a moment.

    ``period`` is ``monthly``, ``quarterly`` or ``yearly``.
    """
    when = date_of(day_of(accepted_ms))
    months = {"monthly": 1, "quarterly": 3, "yearly": 12}[period]
    index = when.year * 12 + (when.month - 1) // months * months + months
    return end_of_day_ms(day_number(date(index // 12, index % 12 + 1, 1)) - 1)
