"""Records as plain JSON values: names as in the record, bytes as hex, optional fields as null.

A record is a `msgspec.Struct`. An optional field is a tuple of at most one item on the wire
(spec W1); here it is null or the item.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

Plain = Any
"""What JSON can say: dict, list, str, int, bool or None."""

Convert = Callable[[Any], Plain]


def plain(record: msgspec.Struct) -> dict[str, Plain]:
    """Return a record as an object of its fields; a record of a union also names its ``kind``."""
    converted: dict[str, Plain] = _of_struct(type(record))(record)
    return converted


@cache
def _of_struct(record: type[msgspec.Struct]) -> Convert:
    described = inspect.type_info(record)
    assert isinstance(described, inspect.StructType)
    fields = [(field.name, _of_type(field.type)) for field in described.fields]
    tag = described.tag

    def convert(value: msgspec.Struct) -> dict[str, Plain]:
        named = {name: make(getattr(value, name)) for name, make in fields}
        return named if tag is None else {"kind": str(tag), **named}

    return convert


def _of_type(described: inspect.Type) -> Convert:
    match described:
        case inspect.StructType():
            return _of_struct(described.cls)
        case inspect.UnionType():
            return lambda value: plain(value) if isinstance(value, msgspec.Struct) else value
        case inspect.BytesType():
            return bytes.hex
        case inspect.VarTupleType(item_type=item_type, max_length=1):
            convert = _of_type(item_type)
            return lambda value: convert(value[0]) if value else None
        case inspect.VarTupleType(item_type=item_type):
            convert = _of_type(item_type)
            return lambda value: [convert(item) for item in value]
        case inspect.TupleType(item_types=item_types):
            converts = [_of_type(item_type) for item_type in item_types]
            return lambda value: [
                convert(item) for convert, item in zip(converts, value, strict=True)
            ]
        case _:
            return lambda value: value
