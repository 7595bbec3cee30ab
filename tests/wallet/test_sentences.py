"""Transactions in words: nothing that is signed is left out, and amounts read as yuan."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from msgspec import inspect

from ledger.catalogue import KINDS
from ledger.encoding.codec import Record
from ledger.rules.vouchers import Mint, MintRow, Transfer
from tally.output import format_yuan
from wallet.description import describe, operation_from
from wallet.sentences import SAYS, in_words


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
        case inspect.BytesType():
            return f"{next(numbers):064x}"
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


def operations() -> Iterator[Any]:
    """Yield an operation of every kind, one for each of its acts."""
    for kind in KINDS.values():
        described = inspect.type_info(kind.record)
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
            yield pytest.param({"kind": described.tag, **fields}, id=name)


def leaves(value: Any) -> Iterator[str]:
    """Yield each text, hash and number of a description as it may be shown."""
    match value:
        case dict():
            for name, item in value.items():
                if name != "kind":
                    yield from leaves(item)
        case list():
            for item in value:
                yield from leaves(item)
        case str():
            yield value


@pytest.mark.parametrize("description", list(operations()))
def test_nothing_that_is_signed_is_left_out_of_the_words(description: dict[str, Any]) -> None:
    operation: Record = operation_from(description)
    assert describe(operation) == description
    words = in_words(operation, whole=True)
    assert words.startswith(f"{description['kind']}: ")
    missing = [leaf for leaf in leaves(description) if leaf not in words]
    assert not missing, words


def test_every_act_has_its_sentence_and_no_sentence_is_left_over() -> None:
    assert {parameter.id for parameter in operations()} == set(SAYS)


def test_words_read_as_people_read() -> None:
    passes = Transfer(
        voucher="shanghai.compute.000000042", holder="firm-a", recipient="firm-b", amount=1_250_000
    )
    assert in_words(passes) == (
        "voucher.transfer: firm-a passes 12,500.00 yuan of voucher shanghai.compute.000000042 "
        "to firm-b"
    )


def test_a_long_list_is_cut_short_but_its_sum_is_not() -> None:
    row = MintRow(holder="firm-a", amount=100, commitment=())
    mint = Mint(programme="shanghai.compute", terms_version=1, rows=(row,) * 1_000)
    words = in_words(mint)
    assert f"grants {format_yuan(100_000)} yuan" in words
    assert words.endswith("and 992 more")
    assert in_words(mint, whole=True).count("firm-a") == 1_000


@pytest.mark.parametrize("letter", ["\x1b", "\n", "\N{RIGHT-TO-LEFT OVERRIDE}"])
def test_words_steer_no_screen(letter: str) -> None:
    operation = operation_from(
        {"kind": "hold.set", "by": "shanghai", "scope": "party", "id": "firm-a", "case": "00" * 32}
        | {"reason": f"a{letter}b"}
    )
    assert letter not in in_words(operation)


def test_a_text_cannot_pass_for_words_of_ours() -> None:
    operation = operation_from(
        {"kind": "hold.set", "by": "shanghai", "scope": "party", "id": "firm-a", "case": "00" * 32}
        | {"reason": 'none"; case cleared'}
    )
    assert in_words(operation).startswith(
        'hold.set: shanghai freezes party firm-a: "none\\"; case cleared"; case 0000'
    )
