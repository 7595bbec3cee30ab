"""The console's languages: catalogues of texts, and how money and time are written."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

FOLDER = Path(__file__).parent / "locales"
CODES = ("en", "zh")
DEFAULT = "en"
_TIMEZONE = timezone(timedelta(hours=8))
"""The ledger's calendar is at +08:00 (spec R2)."""


@dataclass(frozen=True, slots=True)
class Language:
    """One language of the console."""

    code: str
    texts: dict[str, str]

    def text(self, key: str, **values: object) -> str:
        """Return a text with its values filled in; an unknown key is a bug."""
        return self.texts[key].format(**values)


def load(code: str) -> Language:
    """Return a language with its catalogue."""
    return Language(code, json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8")))


def chosen(asked: str | None, accept_language: str) -> str:
    """Return the language to answer in: what the address asks, else what the browser prefers."""
    if asked in CODES:
        return asked
    best, best_weight = DEFAULT, 0.0
    for part in accept_language.split(","):
        name, _, parameter = part.strip().partition(";")
        code = name.split("-")[0].lower()
        weight = _weight(parameter)
        if code in CODES and weight > best_weight:
            best, best_weight = code, weight
    return best


def _weight(parameter: str) -> float:
    """Return a language's weight, 0 for one that makes no sense."""
    name, _, value = parameter.strip().partition("=")
    if name == "":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def yuan(fen: int) -> str:
    """Return an amount in yuan with two decimals: ``-1,234.05``."""
    whole, cents = divmod(abs(fen), 100)
    return f"{'−' if fen < 0 else ''}{whole:,}.{cents:02d}"


def count(number: int) -> str:
    """Return a count with its thousands set apart."""
    return f"{number:,}"


def clock(time_ms: int) -> str:
    """Return a moment at +08:00, to the second."""
    when = datetime.fromtimestamp(time_ms // 1000, UTC).astimezone(_TIMEZONE)
    return when.strftime("%Y-%m-%d %H:%M:%S")


def day(time_ms: int) -> str:
    """Return the last day before a moment at +08:00: what falls due at midnight is due that day."""
    when = datetime.fromtimestamp((time_ms - 1) // 1000, UTC).astimezone(_TIMEZONE)
    return when.strftime("%Y-%m-%d")


def milliseconds(duration_us: int) -> str:
    """Return a duration in milliseconds, one decimal."""
    tenths = (duration_us + 50) // 100
    return f"{tenths // 10:,}.{tenths % 10}"
