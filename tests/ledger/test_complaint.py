"""What a decoder complains of: the field by its name, the form in words, nothing that came."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec import inspect

from ledger.catalogue import KINDS
from ledger.encoding import codec
from ledger.encoding.characters import TEXT_PATTERN
from ledger.encoding.codec import NotCanonical
from ledger.encoding.complaint import EXPECTED
from ledger.genesis import Genesis
from ledger.inadmissible import KindUnknown
from ledger.transactions import parse

KEY, SIGNATURE, VOUCHER = b"k" * 32, b"s" * 64, "shanghai.compute.000000042"
TRANSFER = ["voucher.transfer", VOUCHER, "firm-a", "firm-b", 5]
SLUG_EXPECTED = "expected an id such as shanghai"


def envelope(
    operation: Any = TRANSFER, *, version: Any = 1, log_id: Any = KEY, pairs: Any = None
) -> bytes:
    """Return an envelope around whatever is given."""
    body = msgspec.msgpack.encode([version, log_id, 1, operation])
    return msgspec.msgpack.encode([body, [[KEY, SIGNATURE]] if pairs is None else pairs])


def transfer(position: int, value: Any) -> bytes:
    """Return a transfer with another value in a field."""
    return envelope([*TRANSFER[:position], value, *TRANSFER[position + 1 :]])


def keys(*named: Any) -> bytes:
    """Return a change of keys."""
    return envelope(["party.set_keys", ["rotate", "firm-a", list(named), 1, []]])


def told(raw: bytes) -> str:
    """Return why bytes are no transaction."""
    with pytest.raises(NotCanonical) as refusal:
        parse(raw)
    return str(refusal.value)


def test_the_examples_are_transactions() -> None:
    assert parse(envelope())
    assert parse(keys([KEY, "owner", ["budget"]]))


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (
            transfer(1, "shanghai.compute.42"),
            f"operation.voucher: expected an id such as {VOUCHER}",
        ),
        (transfer(2, "Firm A"), f"operation.holder: {SLUG_EXPECTED}"),
        (transfer(4, 0), "operation.amount: expected int >= 1"),
        (transfer(4, "5"), "operation.amount: expected int, got str"),
        (
            envelope(TRANSFER[:4]),
            "operation: expected exactly the fields voucher, holder, recipient, amount",
        ),
        (
            envelope([*TRANSFER, 6]),
            "operation: expected exactly the fields voucher, holder, recipient, amount",
        ),
        (envelope("x"), "operation: expected array, got str"),
        (envelope([7]), "operation.name: expected str, got int"),
        (envelope(["Voucher.transfer"]), "operation: expected the name of a kind to begin with"),
        (envelope(version=2), "version: expected 1"),
        (envelope(log_id=b"x"), "log_id: expected 32 bytes"),
        (envelope(pairs=[]), "signatures: expected array of length >= 1"),
        (envelope(pairs=[[KEY, b"s"]]), "signatures.0.1: expected 64 bytes"),
        (
            envelope(pairs=[[KEY, SIGNATURE]] * 2),
            "signatures: keys are not in strictly ascending order",
        ),
        (
            envelope(["party.set_keys", ["rotat", "firm-a", [], 1, []]]),
            "operation.act: expected one of rotate, announce, recover, object, decide",
        ),
        (
            keys([KEY, "owner", []], [KEY, "owner", ["A B"]]),
            f"operation.act.keys.1.roles.0: {SLUG_EXPECTED}",
        ),
        (
            envelope(["attestation.revoke", "a", "b", "colour", []]),
            "operation.topic: expected one of clean_record, registered_in, research_project, "
            "revenue_at_least, unrelated_to",
        ),
        (
            envelope(["attestation.revoke", "a", "b", "registered_in", ["A B"]]),
            f"operation.about: {SLUG_EXPECTED}",
        ),
    ],
)
def test_a_complaint_names_the_field_and_what_was_expected(raw: bytes, complaint: str) -> None:
    assert told(raw) == complaint


def test_a_text_too_long_in_bytes_is_named_too() -> None:
    anchor = ["record.anchor", "shanghai", "document", 1, KEY, "字" * 86]
    parse(envelope([*anchor[:-1], "字" * 85]))
    assert told(envelope(anchor)) == "operation.note: text of more than 256 bytes"


def complaints(raw: bytes) -> list[str]:
    """Return what is said of bytes by whoever decodes them, nothing where they are decoded."""
    decoders: list[Callable[[bytes], object]] = [parse]
    decoders += [partial(codec.decode, type_, limit=1_000) for type_ in (Genesis, int)]
    said = []
    for decode in decoders:
        try:
            decode(raw)
        except (NotCanonical, KindUnknown) as error:
            said.append(str(error))
    return said


@given(secret=some.text(min_size=3, max_size=30).map(lambda text: f"<{text}>"))
def test_nothing_that_came_is_repeated(secret: str) -> None:
    for raw in (
        *(transfer(position, secret) for position in range(len(TRANSFER))),
        envelope(["attestation.revoke", "a", "b", secret, []]),
        envelope(["party.set_keys", [secret]]),
        envelope(version=secret),
    ):
        said = complaints(raw)
        assert len(said) == 3
        assert not any(secret in one or ascii(secret)[1:-1] in one for one in said)


@given(rest=some.binary(max_size=30), cut=some.integers(0, 200), whole=some.binary(max_size=60))
def test_no_bytes_make_a_complaint_fail(rest: bytes, cut: int, whole: bytes) -> None:
    body = msgspec.msgpack.encode([1, KEY, 1, TRANSFER])
    for data in (whole, body[:cut] + rest):
        for raw in (data, msgspec.msgpack.encode([data, [[KEY, SIGNATURE]]])):
            assert all(one.isprintable() for one in complaints(raw))


def patterns_in(described: inspect.Type) -> Iterator[str]:
    """Yield the patterns of all fields of a type."""
    match described:
        case inspect.StrType(pattern=pattern) if pattern is not None:
            yield pattern
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from patterns_in(field.type)
        case inspect.VarTupleType(item_type=item_type):
            yield from patterns_in(item_type)
        case inspect.TupleType(item_types=types) | inspect.UnionType(types=types):
            for one in types:
                yield from patterns_in(one)


def test_every_pattern_of_a_field_has_words() -> None:
    types = [inspect.type_info(kind.record) for kind in KINDS.values()]
    types.append(inspect.type_info(Genesis))
    found = {pattern for one in types for pattern in patterns_in(one)}
    assert found == {*EXPECTED, TEXT_PATTERN}
