"""Operations as JSON that a person can read and write, and back to the ledger's records.

Names are the record's own; ``kind`` names the operation, and within it the act; bytes are
lower-case hex; an optional field is null or its value; money is integer fen. What is signed is
never the JSON: it is built into canonical bytes first, and those bytes are shown decoded.
"""

import unicodedata
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from ledger.catalogue import KINDS
from ledger.encoding.codec import Record
from ledger.encoding.complaint import complaint, member_of
from ledger.encoding.plain import plain
from ledger.transactions import Body, Operation
from tally.exits import UsageError

Json = dict[str, Any]
R = TypeVar("R", bound=Record)


def describe(record: Record) -> Json:
    """Return a record as a JSON object; an operation also names its ``kind``."""
    return plain(record)


def operation_from(description: object) -> Operation:
    """Return the operation that a JSON object describes.

    Raises UsageError, naming the field that is missing, unknown or wrong.
    """
    if not isinstance(description, dict):
        raise UsageError("a description is a JSON object with a kind and that kind's fields")
    kind = description.get("kind")
    if kind not in KINDS:
        raise UsageError(f"kind {kind!r} is not one of {', '.join(sorted(KINDS))}")
    return record_from(KINDS[str(kind)].record, description)


def record_from(type_: type[R], description: object) -> R:
    """Return the record that a JSON object describes; raise UsageError as ``operation_from``."""
    built = _built(_info(type_), description, type_.__name__)
    try:
        record: R = msgspec.convert(built, type_)
    except msgspec.ValidationError as error:
        raise UsageError(_complaint(type_, built, str(error))) from None
    return record


def _complaint(type_: type[Record], built: Any, error: str) -> str:
    """Return a decoder's error with the names of fields, positions counted from 1."""
    path, told = complaint(type_, built, error)
    steps = [f"item {step + 1}" if isinstance(step, int) else step for step in path]
    return f"{': '.join(steps or [type_.__name__])}: {told}"


def describe_body(body: Body) -> Json:
    """Return a transaction's body as a JSON object."""
    return {
        "log_id": body.log_id.hex(),
        "expires_at": body.expires_at,
        "operation": describe(body.operation),
    }


@cache
def _info(type_: type[Record]) -> inspect.Type:
    return inspect.type_info(type_)


def _built(type_: inspect.Type, value: Any, where: str) -> Any:
    """Return a JSON value as the nested lists that a record is made of."""
    match type_:
        case inspect.UnionType():
            kind = value.get("kind") if isinstance(value, dict) else None
            member = member_of(type_, kind)
            if member is None:
                known = ", ".join(
                    str(getattr(member_type, "tag", member_type)) for member_type in type_.types
                )
                raise UsageError(f"{where}: expected an object whose kind is one of {known}")
            return _built(member, value, where)
        case inspect.StructType(fields=fields, tag=tag):
            if not isinstance(value, dict):
                raise UsageError(f"{where}: expected an object, got {value!r}")
            names = [field.name for field in fields]
            unknown = sorted(set(value) - set(names) - ({"kind"} if tag is not None else set()))
            missing = [name for name in names if name not in value]
            if unknown or missing:
                raise UsageError(f"{where}: missing fields {missing}, unknown fields {unknown}")
            built = [_built(field.type, value[field.name], field.name) for field in fields]
            return built if tag is None else [tag, *built]
        case inspect.VarTupleType(item_type=item_type, max_length=1):
            return [] if value is None else [_built(item_type, value, where)]
        case inspect.VarTupleType(item_type=item_type):
            if not isinstance(value, list):
                raise UsageError(f"{where}: expected a list, got {value!r}")
            return [_built(item_type, item, where) for item in value]
        case inspect.BytesType():
            try:
                return bytes.fromhex(value)
            except (TypeError, ValueError):
                raise UsageError(f"{where}: expected hex, got {value!r}") from None
    # One name, one spelling: Unicode tables differ between Pythons, so the ledger can't do this.
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value
