"""What a decoder complains of, in the words of the specification.

A decoder counts fields, since records are arrays, quotes patterns, and repeats what it was given:
``$[4][...][1]`` is its way to one. Here fields have their names, forms are told by an example, and
nothing that came is repeated.
"""

import re
from functools import cache
from typing import Any

from msgspec import inspect

from ledger.encoding.characters import TEXT_PATTERN, fault_in

Path = tuple[str | int, ...]
"""The way to a field: names of fields, positions in lists from 0."""

_SLUG = "[a-z0-9][a-z0-9-]{0,31}"
SLUG = rf"\A{_SLUG}\Z"
PROGRAMME_ID = rf"\A{_SLUG}\.{_SLUG}\Z"
SERIAL_ID = rf"\A{_SLUG}(\.{_SLUG})?\.[0-9]{{9}}\Z"
PAYABLE_ID = rf"\A{_SLUG}\.[0-9]{{9}}-[0-9]{{3}}\Z"
THING_ID = r"\A[a-z0-9][a-z0-9.-]{0,95}\Z"
END_TO_END_ID = r"\A[A-Za-z0-9][A-Za-z0-9.-]{0,34}\Z"

EXAMPLES = {
    SLUG: "shanghai",
    PROGRAMME_ID: "shanghai.compute",
    SERIAL_ID: "shanghai.compute.000000042",
    PAYABLE_ID: "guian-hub.000000042-000",
}
"""An id of each form."""
EXPECTED = {
    **{pattern: f"an id such as {example}" for pattern, example in EXAMPLES.items()},
    THING_ID: "the id of a party, voucher, claim, programme or payable",
    END_TO_END_ID: "1 to 35 letters, digits, dots and hyphens, the first a letter or digit",
}
"""The patterns of fields that have one, and what is expected there."""
_NO_TEXT = repr(TEXT_PATTERN)[1:-1]
"""Stands in a decoder's sentence about a text of wrong characters."""
_PATTERNS = {repr(pattern)[1:-1]: expected for pattern, expected in EXPECTED.items()}
_STEP = re.compile(r"\[([0-9]+|\.\.\.)\]")
_LENGTH = re.compile(r"Expected `array` of at (least|most) length [0-9]+, got [0-9]+")


def complaint(type_: Any, value: Any, error: str) -> tuple[Path, str]:
    """Return which field of a record a decoder complains of, and the complaint.

    ``value`` is what was to be a record, as plain lists, None if it cannot be read so far.
    """
    told, _, place = error.rpartition(" - at ") if " - at " in error else (error, "", "")
    described = _info(type_)
    path: list[str | int] = []
    for step in _STEP.findall(place):
        if isinstance(described, inspect.UnionType):
            named = value[0] if isinstance(value, list) and value else None
            member = member_of(described, named)
            if member is None:
                break  # it is about the name itself
            described = member
        position = int(step) if step.isdecimal() else 0
        match described:
            case inspect.StructType(fields=fields, tag=tag):
                if tag is not None and position == 0:
                    break  # likewise
                field = fields[position - (tag is not None)]
                path.append(field.name)
                described = field.type
            case inspect.VarTupleType(item_type=item_type, max_length=max_length):
                if step.isdecimal() and max_length != 1:
                    path.append(position)
                described = item_type
            case inspect.TupleType(item_types=item_types):
                path.append(position)
                described = item_types[position]
            case _:
                break
        is_there = isinstance(value, list) and position < len(value)
        value = value[position] if is_there else None
    return tuple(path), _expected(described, value, told)


def _expected(described: inspect.Type, value: Any, told: str) -> str:
    if _NO_TEXT in told:
        return text_fault(value) or "text outside W5"
    if "matching regex" in told:
        expected = (words for pattern, words in _PATTERNS.items() if pattern in told)
        return f"expected {next(expected, 'text of another form')}"
    if told.startswith("Invalid"):
        known = _words(described)
        if known:
            one_of = "one of " if len(known) > 1 else ""
            return f"expected {one_of}{', '.join(known)}"
    if _LENGTH.fullmatch(told) and isinstance(described, inspect.StructType):
        names = ", ".join(field.name for field in described.fields)
        return f"expected exactly the fields {names}"
    if isinstance(described, inspect.BytesType) and "of length" in told:
        return f"expected {described.min_length} bytes"
    told = told.replace("`", "")
    return f"{told[:1].lower()}{told[1:]}"


def _words(described: inspect.Type) -> list[str]:
    """Return the words or numbers, one of which has to stand at a place."""
    match described:
        case inspect.LiteralType(values=values):
            return [str(value) for value in values]
        case inspect.UnionType(types=types):
            return [str(one.tag) for one in types if isinstance(one, inspect.StructType)]
        case inspect.StructType(tag=tag) if tag is not None:
            return [str(tag)]
    return []


def text_fault(value: Any) -> str | None:
    """Return what is wrong with the first faulty text in plain lists (W5), or None."""
    if isinstance(value, str):
        return fault_in(value)
    items = value if isinstance(value, list) else ()
    return next((fault for item in items if (fault := text_fault(item))), None)


def member_of(union: inspect.UnionType, tag: object) -> inspect.StructType | None:
    """Return the record of a union that has a tag."""
    for member in union.types:
        if isinstance(member, inspect.StructType) and member.tag == tag:
            return member
    return None


@cache
def _info(type_: Any) -> inspect.Type:
    return inspect.type_info(type_)
