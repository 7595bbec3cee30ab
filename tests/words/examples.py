"""An operation of every kind and act, and a value for every field, from the types alone."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from msgspec import inspect

from ledger.catalogue import KINDS


def example(type_: inspect.Type, numbers: Iterator[int]) -> Any:
    """Return a value of a record's type as JSON; no two numbers and texts are the same."""
    match type_:
        case inspect.StructType(fields=fields, tag=tag):
            named = {field.name: example(field.type, numbers) for field in fields}
            return named if tag is None else {"kind": tag, **named}
        case inspect.VarTupleType(item_type=item_type, max_length=1):
            return example(item_type, numbers)
        case inspect.VarTupleType(item_type=item_type):
            return [example(item_type, numbers), example(item_type, numbers)]
        case inspect.TupleType(item_types=item_types):
            return [example(one, numbers) for one in item_types]
        case inspect.LiteralType(values=values):
            return values[next(numbers) % len(values)]
        case inspect.BytesType(min_length=size):
            return f"{next(numbers):0{2 * (size or 32)}x}"
        case inspect.BoolType():
            return True
        case inspect.IntType(ge=least, le=most):
            return min(max(next(numbers), least or 0), most or 2**53)
        case inspect.StrType(pattern=pattern):
            return text(pattern or "", next(numbers))
    raise AssertionError(f"no example of {type_}")


def text(pattern: str, number: int) -> str:
    """Return a text that fits a pattern."""
    if "-[0-9]{3}" in pattern:
        return f"guian-hub.{number:09d}-000"
    if "[0-9]{9}" in pattern:
        return f"shanghai.compute.{number:09d}"
    return f"s{number}.p" if r"\.[a-z0-9]" in pattern else f"t{number}"


def descriptions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a name and an operation of every kind, one for each of its acts."""
    for kind in (one.record for one in KINDS.values()):
        described = inspect.type_info(kind)
        assert isinstance(described, inspect.StructType)
        acts: list[tuple[str, inspect.Type]] = [("", described)]
        for one in described.fields:
            if isinstance(one.type, inspect.UnionType):
                acts = [(one.name, act) for act in one.type.types]
        for act_name, act in acts:
            numbers = count(2_003)
            fields = {
                one.name: example(act if one.name == act_name else one.type, numbers)
                for one in described.fields
            }
            assert isinstance(act, inspect.StructType)
            name = str(described.tag) + (f" {act.tag}" if act_name else "")
            yield name, {"kind": described.tag, **fields}


def records() -> Iterator[tuple[str, inspect.StructType]]:
    """Yield every record that an operation is made of, with the name of its class."""
    seen: set[type] = set()
    left: list[inspect.Type] = [inspect.type_info(kind.record) for kind in KINDS.values()]
    while left:
        match left.pop():
            case inspect.StructType(cls=cls, fields=fields) as described:
                if cls not in seen:
                    seen.add(cls)
                    yield cls.__name__, described
                    left += [field.type for field in fields]
            case inspect.UnionType(types=types) | inspect.TupleType(item_types=types):
                left += types
            case inspect.VarTupleType(item_type=item_type):
                left.append(item_type)


def literals(type_: inspect.Type) -> tuple[str, ...]:
    """Return the fixed values that a field's type allows."""
    match type_:
        case inspect.LiteralType(values=values):
            return tuple(str(value) for value in values)
        case inspect.VarTupleType(item_type=item_type):
            return literals(item_type)
    return ()
