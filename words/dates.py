"""Moments and days as people write them, at +08:00 (spec R2)."""

from datetime import UTC, datetime, timedelta, timezone

from ledger.rules import calendar

OFFSET = "+08:00"
_ZONE = timezone(timedelta(hours=8))


def day(number: int) -> str:
    """Return the number of a day as its date."""
    if not 0 <= number <= calendar.day_of(calendar.TIME_MAX_MS):
        return f"day {number}"
    return calendar.date_of(number).isoformat()


def clock(time_ms: int) -> str:
    """Return a moment to the second, where a heading says which time it is."""
    if not _is_dated(time_ms):
        return f"{time_ms} ms"
    return datetime.fromtimestamp(time_ms // 1000, _ZONE).strftime("%Y-%m-%d %H:%M:%S")


def moment(time_ms: int) -> str:
    """Return a moment to the second, with its offset."""
    return f"{clock(time_ms)} {OFFSET}" if _is_dated(time_ms) else clock(time_ms)


def last_day(end_ms: int) -> str:
    """Return the last good day of what ends at a moment: at midnight it is the day before."""
    return day(calendar.day_of(end_ms - 1))


def through(end_ms: int) -> str:
    """Return until when something is good: its last day, or the moment if it ends within one."""
    return last_day(end_ms) if _is_day_end(end_ms) else moment(end_ms)


def end(end_ms: int) -> str:
    """Return the same within a sentence: what ends at midnight ends at 24:00 of its last day."""
    return f"{last_day(end_ms)} 24:00 {OFFSET}" if _is_day_end(end_ms) else moment(end_ms)


def _is_day_end(time_ms: int) -> bool:
    return _is_dated(time_ms) and calendar.end_of_day_ms(calendar.day_of(time_ms - 1)) == time_ms


def _is_dated(time_ms: int) -> bool:
    """Return whether a calendar has the moment: a number from elsewhere may be any."""
    return 0 <= time_ms <= calendar.TIME_MAX_MS


def stamp(time_s: int) -> str:
    """Return a machine's time in UTC as logs of many machines write it (ISO 8601).

    A head may claim any time; one that no calendar has is shown as seconds since 1970.
    """
    try:
        return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{time_s} s"
