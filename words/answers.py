"""What a ledger answers, as sentences: refusals, and why a transaction is inadmissible.

A code's English stands where the code does, in a table of the ledger's; its Chinese in the
catalogue. Sentences are made anew from the typed values, in people's units: whoever shows a code
says the same words.
"""

import re
from collections.abc import Mapping
from functools import cache
from string import Formatter
from typing import NamedTuple

from ledger.inadmissible import all_inadmissible
from ledger.rules.refusals import all_refusals
from words import fields
from words.fields import Unit
from words.languages import DEFAULT, Language, load

Values = Mapping[str, int | str]

_UNIT_WORDS: dict[str, Unit] = {
    " fen": "money",
    " gpu_ms": "device_time",
    " basis points": "share",
    " ms": "duration",
}
"""How the English of the rules names the unit of the numbers in a sentence."""
_MONEY = frozenset(
    {
        *("asked", "available", "allowed", "minimum", "maximum", "appropriated", "committed"),
        *("total", "base", "net", "accepted", "amount", "delta"),
    }
)
_SHARES = frozenset({"basis_points", "first", "second"})
_COUNTED: dict[Unit, frozenset[str]] = {
    "money": _MONEY,
    "device_time": frozenset({"asked", "available"}),
    "share": _SHARES,
    "duration": frozenset({"expiry_ahead_max_ms"}),
}
"""Which values count in a unit, where the sentence names it."""
_OR = " or "
"""Between several words in one value."""


class Template(NamedTuple):
    """The English of a code."""

    sentence: str
    meaning: str
    """What the code means, where no values are at hand: the log keeps none."""


@cache
def templates() -> dict[str, Template]:
    """Return the English of every code: refusals by number, then what is inadmissible."""
    return {
        error.code: Template(error.sentence, (error.__doc__ or "").strip())
        for error in (*all_refusals(), *all_inadmissible())
    }


def sentence(code: str, values: Values, spoken: Language, *, otherwise: str = "") -> str:
    """Return what a code says with its values, or what it means where values are missing.

    A code that this software does not know, from a newer one, says what it was ``otherwise`` told
    in English.
    """
    english = templates().get(code)
    if english is None:
        return fields.safe(otherwise)
    if not says(code, values):
        is_told = otherwise != "" and spoken.code == DEFAULT
        return fields.safe(otherwise) if is_told else meaning(code, spoken)
    template = spoken.texts.get(f"refusal.{code}") or _without_units(english.sentence)
    counted = _units_in(english.sentence)
    return template.format(
        **{name: _value(code, name, value, counted, spoken) for name, value in values.items()}
    )


def says(code: str, values: Values) -> bool:
    """Return whether a code is known and its sentence has all the values that it shows."""
    english = templates().get(code)
    return english is not None and placeholders(english.sentence) <= values.keys()


def meaning(code: str, spoken: Language, *, otherwise: str = "") -> str:
    """Return what a code means, without values."""
    english = templates().get(code)
    if english is None:
        return otherwise
    return spoken.texts.get(f"meaning.{code}") or english.meaning


def placeholders(template: str) -> set[str]:
    """Return the names of the values that a template shows."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def _units_in(template: str) -> dict[str, Unit]:
    """Return the unit of each value that the English of the rules counts in one."""
    return {
        name: unit
        for word, unit in _UNIT_WORDS.items()
        if f"}}{word}" in template
        for name in _COUNTED[unit]
    }


def _without_units(template: str) -> str:
    """Return a template without the rules' units: values bring people's own."""
    for word in _UNIT_WORDS:
        template = template.replace(f"}}{word}", "}")
    return template


def _value(
    code: str, name: str, value: int | str, counted: Mapping[str, Unit], spoken: Language
) -> str:
    if isinstance(value, int):
        return fields.number(value, counted.get(name) or _own_unit(name), spoken)
    if name == "reason":
        return reason(value, spoken)
    if name == "field":
        return spoken.title(value)
    words = [fields.fixed(name, word, spoken) for word in value.split(_OR)]
    if all(words):
        return spoken.text("unit.or").join(word for word in words if word)
    return fields.text(value)


def _own_unit(name: str) -> Unit:
    unit = fields.unit_of(name)
    return "number" if unit in ("money", "share") else unit


def reason(text: str, spoken: Language) -> str:
    """Return why terms, keys or an action don't fit; a reason that nobody translated stays."""
    for pattern, template in _reasons(spoken.code):
        match = pattern.fullmatch(text)
        if match is not None:
            return template.format(
                **{name: fields.safe(value) for name, value in match.groupdict().items()}
            )
    subject, _, rest = text.partition(": ")  # of which member
    told = reason(rest, spoken) if rest else rest
    if told == fields.safe(rest):
        return fields.safe(text)
    return spoken.text("join.reason", id=fields.safe(subject), reason=told)


@cache
def _reasons(code: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return how the rules' English reasons look, each with its words in another language."""
    prefix = "reason."
    templates = [
        (key.removeprefix(prefix), template)
        for key, template in load(code).texts.items()
        if key.startswith(prefix)
    ]
    # What is fixed goes first: `{party} is {status} already` fits more than it means.
    templates.sort(key=lambda pair: len(placeholders(pair[0])))
    return tuple((re.compile(_pattern(english)), template) for english, template in templates)


def _pattern(template: str) -> str:
    """Return the pattern of texts that a template makes."""
    parts = []
    for literal, name, _, _ in Formatter().parse(template):
        parts.append(re.escape(literal))
        if name:
            parts.append(f"(?P<{name}>.+)")
    return "".join(parts)
