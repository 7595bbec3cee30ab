"""Fields of records as people read them: their titles, and values in people's units.

Programs read fen, milliseconds, basis points and fixed values; people read yuan, dates, per cent,
hours and words.
"""

import re
from typing import Any, Literal

from words import dates, units
from words.languages import Language

MONEY = frozenset(
    {
        *("amount", "delta", "limit", "net", "base", "accepted", "automatic_band", "from_fen"),
        *("tariff_ceiling", "grant_min", "grant_max", "contract_max", "step_fen"),
        *("holder_year_issued", "holder_year_redeemed", "group_year_issued"),
    }
)
"""Fields of operations that are fen."""
DAYS = frozenset({"day", "today", "earliest", "until_day", "start_day", "end_day", "base_period"})
DURATIONS = frozenset({"heartbeat_ms", "expiry_ahead_max_ms"})
"""Names that end like times and are lengths of it."""
DEVICE_TIME = frozenset({"gpu_ms"})
SHARES = frozenset({"basis_points", "ceiling"})
ENDS = frozenset(
    {
        *("until_ms", "valid_until_ms", "expires_at_ms", "due_ms"),
        *("latest_ms", "after_ms", "asked_ms"),
    }
)
"""Moments until which something is good: shown is its last good day, not the moment after."""
ITEMS_MAX = 8
"""How many items of a list are read out before a transaction is signed."""

Unit = Literal["money", "share", "device_time", "day", "end", "moment", "duration", "number"]

_PLAIN = re.compile(r"[A-Za-z0-9_.-]*")
"""Ids, hashes and words of the ledger's own."""


def unit_of(name: str) -> Unit:
    """Return in which unit a field counts, by its name."""
    if name in MONEY:
        return "money"
    if name in SHARES:
        return "share"
    if name in DEVICE_TIME:
        return "device_time"
    if name in DAYS:
        return "day"
    if name in ENDS:
        return "end"
    if name.endswith("_ms"):
        return "duration" if name in DURATIONS else "moment"
    return "number"


def number(value: int, unit: Unit, spoken: Language) -> str:
    """Return a number in people's unit."""
    match unit:
        case "money":
            return spoken.text("unit.yuan", amount=units.yuan(value))
        case "share":
            return spoken.text("unit.percent", share=units.percent(value))
        case "device_time":
            hours = units.hours(value)
            if hours is not None:
                return spoken.text("unit.hours", hours=hours)
            return spoken.text("unit.milliseconds", count=units.count(value))
        case "duration":
            return spoken.text("unit.milliseconds", count=units.count(value))
        case "day":
            return dates.day(value)
        case "end":
            return dates.end(value)
        case "moment":
            return dates.moment(value)
        case "number":
            return str(value)


def shown(name: str, value: Any, spoken: Language, *, items_max: int | None = None) -> str:
    """Return a field's value in words; ``items_max`` cuts long lists short."""
    match value:
        case None | []:
            return spoken.text("unit.none")
        case bool():
            return spoken.text("unit.yes" if value else "unit.no")
        case int():
            return number(value, unit_of(name), spoken)
        case dict():
            return spoken.listed(
                f"{spoken.title(field)} {shown(field, item, spoken, items_max=items_max)}"
                for field, item in value.items()
                if says_something(item)
            )
        case list():
            items = [shown(name, item, spoken, items_max=items_max) for item in value[:items_max]]
            if len(value) > len(items):
                items.append(spoken.text("unit.more", count=len(value) - len(items)))
            return " / ".join(items)
    return fixed(name, value, spoken) or text(value)


def says_something(value: Any) -> bool:
    """Return whether a field's value is worth a line: an absent or empty one is not."""
    return value not in (None, "", [])


def fixed(name: str, value: str, spoken: Language) -> str | None:
    """Return the word for a field's fixed value; None for ids and free text."""
    if name == "kind" and f"kind.{value}" in spoken.texts:
        return spoken.kind(value)
    return spoken.word(name, value)


def text(value: str) -> str:
    """Return a text so that it neither passes for words of ours nor steers a screen.

    Ids, hashes and words of the ledger's own stay as they are; others' text stands in quotes.
    """
    return value if _PLAIN.fullmatch(value) else '"' + safe(value).replace('"', '\\"') + '"'


def safe(value: str) -> str:
    """Return a text without what could steer a screen."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)
