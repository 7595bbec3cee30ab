"""Transactions in words: what is signed, and what the log holds, as a sentence."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ledger.encoding.codec import Record
from ledger.encoding.plain import plain
from words import answers, fields, units
from words.languages import Language

_ACTS = ("act", "action")
"""Fields under which a kind holds which of its acts it is."""
_SUMMED = ("rows", "lines", "grant")
"""Lists whose amounts add up to what a transaction is about."""
_AMOUNTS = ("amount", "delta", "accepted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A field that is signed, as people read it."""

    field: str
    """The record's own name; a field within another stands behind a dot."""
    title: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What a transaction says."""

    kind: str
    """The kind's text name."""
    name: str
    """What people call the kind."""
    act: str
    """What people call the act, empty for a kind that has none."""
    sentence: str
    """Empty for a kind that the catalogue has no sentence for."""
    more: tuple[Line, ...]
    """What is signed and not in the sentence."""
    amount: int | None
    """The fen it is about; None where no money is named."""
    vouchers: tuple[str, ...]
    """Vouchers that are named."""


def said(operation: Record, spoken: Language, *, items_max: int | None = None) -> Saying:
    """Return what an operation says; ``items_max`` cuts long lists short."""
    kind, act, content = _parts(operation)
    key = f"says.{kind} {act}" if act else f"says.{kind}"
    template = spoken.texts.get(key, "")
    named = answers.placeholders(template)
    amount = _amount(content)
    words = {
        name: _own_word(kind, name, value, spoken)
        or fields.shown(name, value, spoken, items_max=items_max)
        for name, value in content.items()
    }
    total = spoken.text("unit.yuan", amount=units.yuan(abs(amount or 0)))
    return Saying(
        kind=kind,
        name=spoken.kind(kind),
        act=spoken.act(act) if act else "",
        sentence=template.format(**words, total=total),
        more=tuple(
            Line(field=name, title=spoken.title(name), value=words[name])
            for name, value in content.items()
            if name not in named and fields.says_something(value)
        ),
        amount=amount,
        vouchers=tuple(dict.fromkeys(_named(content, "voucher"))),
    )


def in_words(operation: Record, spoken: Language, *, whole: bool = False) -> str:
    """Return a transaction in one line, with every field that says something.

    Long lists are cut short unless the ``whole`` is asked for.
    """
    saying = said(operation, spoken, items_max=None if whole else fields.ITEMS_MAX)
    parts = [saying.sentence] if saying.sentence else []
    parts += [f"{line.title} {line.value}" for line in saying.more]
    return spoken.text(
        "join.said",
        kind=saying.kind,
        name=saying.name,
        sentence=spoken.texts["join.parts"].join(parts),
    )


def lines(operation: Record, spoken: Language) -> tuple[Line, ...]:
    """Return every field that is signed, line by line and whole."""
    kind, _, content = _parts(operation)
    return tuple(_lines(kind, None, content, spoken))


def _lines(
    kind: str, outer: Line | None, content: dict[str, Any], spoken: Language
) -> Iterator[Line]:
    for name, value in content.items():
        field, title = name, spoken.title(name)
        if outer is not None:
            field = f"{outer.field}.{name}"
            title = spoken.text("join.title", outer=outer.title, inner=title)
        if isinstance(value, dict):
            within = Line(field=field, title=title, value="")
            yield from _lines(kind, within, value, spoken)
        else:
            yield Line(
                field=field,
                title=title,
                value=_own_word(kind, name, value, spoken) or fields.shown(name, value, spoken),
            )


def _own_word(kind: str, name: str, value: Any, spoken: Language) -> str | None:
    """Return the word for a fixed value whose field holds an id in other kinds."""
    return spoken.texts.get(f"value.{kind} {name}.{value}") if isinstance(value, str) else None


def _parts(operation: Record) -> tuple[str, str, dict[str, Any]]:
    """Return kind, act and all fields of an operation; the act's stand among the kind's own."""
    content = plain(operation)
    kind, act = str(content.pop("kind")), ""
    for union in _ACTS:
        if union in content:
            inner = content.pop(union)
            act = str(inner.pop("kind"))
            content |= inner
    return kind, act, content


def _amount(content: dict[str, Any]) -> int | None:
    if "topic" in content:  # a revenue that is attested moves no money
        return None
    for name in _AMOUNTS:
        if isinstance(content.get(name), int):
            return int(content[name])
    parts = [content[name] for name in _SUMMED if content.get(name)]
    rows = [row for part in parts for row in (part if isinstance(part, list) else [part])]
    return sum(row["amount"] for row in rows) if rows else None


def _named(value: Any, wanted: str) -> Iterator[str]:
    """Yield the texts that stand under a name, at every depth."""
    match value:
        case dict():
            for name, item in value.items():
                if name == wanted and isinstance(item, str):
                    yield item
                else:
                    yield from _named(item, wanted)
        case list():
            for item in value:
                yield from _named(item, wanted)
