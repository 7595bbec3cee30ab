"""Operations as JSON that a person can read and write, and back to the ledger's records.

Names are the record's own; ``kind`` names the operation, and within it the act; bytes are
lower-case hex; an optional field is null or its value; money is integer fen. What is signed is
never the JSON: it is built into canonical bytes first, and those bytes are shown decoded.
"""

import re
import unicodedata
from functools import cache
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import inspect

from ledger.catalogue import KINDS
from ledger.encoding import codec
from ledger.encoding.codec import Record
from ledger.encoding.plain import plain
from ledger.rules import payables
from ledger.transactions import Body, Operation
from tally.exits import UsageError

Json = dict[str, Any]
R = TypeVar("R", bound=Record)

ID_EXAMPLES = tuple(
    (get_args(type_)[1].pattern, example)
    for type_, example in (
        (codec.Slug, "shanghai"),
        (codec.ProgrammeId, "shanghai.compute"),
        (codec.SerialId, "shanghai.compute.000000042"),
        (payables.PayableId, "guian-hub.000000042-000"),
    )
)
"""The pattern of each kind of id, and an id of that kind."""
_STEP = re.compile(r"\[([0-9]+|\.\.\.)\]")


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
        raise UsageError(_complaint(_info(type_), built, str(error))) from None
    return record


def _complaint(type_: inspect.Type, value: Any, error: str) -> str:
    """Return a decoder's error with the field's name for its place, and an example for a pattern.

    The decoder counts fields, since records are arrays: `$[4][...][1]` is the way to one.
    """
    expected, at, place = error.rpartition(" - at ")
    words = [type_.cls.__name__] if isinstance(type_, inspect.StructType) else []
    built = value
    for step in _STEP.findall(place):
        if isinstance(type_, inspect.UnionType):
            type_ = _member(type_, value[0]) or type_
        match type_:
            case inspect.StructType(fields=fields, tag=tag):
                field = fields[int(step) - (tag is not None)]
                words, type_ = [*words, field.name], field.type
            case inspect.VarTupleType(item_type=item_type, max_length=max_length):
                if step.isdecimal() and max_length != 1:
                    words.append(f"item {int(step) + 1}")
                type_ = item_type
            case inspect.TupleType(item_types=item_types):
                words.append(f"item {int(step) + 1}")
                type_ = item_types[int(step)]
        if step.isdecimal():
            value = value[int(step)]
        elif value:
            value = value[0]
    if codec.NO_TEXT in expected:
        expected = codec.text_fault(built) or expected
    for pattern, example in ID_EXAMPLES:
        if pattern in expected or repr(pattern)[1:-1] in expected:
            expected = f"expected an id such as {example}"
    expected = (expected if at else error).replace("`", "")
    return f"{': '.join(words[1:] or words)}: {expected[:1].lower()}{expected[1:]}"


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


def _member(union: inspect.UnionType, tag: object) -> inspect.StructType | None:
    """Return the record of a union that has a tag."""
    for member in union.types:
        if isinstance(member, inspect.StructType) and member.tag == tag:
            return member
    return None


def _built(type_: inspect.Type, value: Any, where: str) -> Any:
    """Return a JSON value as the nested lists that a record is made of."""
    match type_:
        case inspect.UnionType():
            kind = value.get("kind") if isinstance(value, dict) else None
            member = _member(type_, kind)
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
