"""Canonical bytes (W1) and envelopes (X1, X2): one value, one encoding, no surprises."""

import random
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args

import msgpack  # type: ignore[import-untyped]
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ledger import catalogue
from ledger.encoding import codec
from ledger.encoding.codec import FEN_MAX, NotCanonical, Record
from ledger.inadmissible import KindUnknown
from ledger.rules.base import ENVELOPE_BYTES_MAX, TRANSACTION_BYTES_MAX
from ledger.rules.claims import DecideClaim
from ledger.rules.governance import Action
from ledger.rules.payments import RecordPayment
from ledger.rules.recoveries import SetKeys
from ledger.rules.vouchers import Mint, MintRow, Transfer
from ledger.transactions import (
    SIGNATURES_MAX,
    Envelope,
    kind_of,
    parse,
    seal,
)
from tests import builders
from tests.ledger.envelopes import one_of_each_kind
from tests.reference import decode as reference

KINDS = one_of_each_kind()


class UnionBody(Record, frozen=True):
    """A body as one static union of all kinds decodes it: what the look-up must not differ from."""

    version: Literal[1]
    log_id: codec.Hash
    expires_at: codec.Natural
    operation: Union[tuple(kind.record for kind in catalogue.KINDS.values())]  # type: ignore[valid-type] # noqa: UP007


def accepts(raw: bytes) -> bool:
    """Return whether an envelope is of a known kind, by look-up and by the union alike."""
    is_parsed, unknown = True, None
    try:
        parse(raw)
    except KindUnknown as error:
        is_parsed, unknown = False, error.kind
    except NotCanonical:
        is_parsed = False
    assert unknown == reference.unknown_kind(raw)
    assert is_parsed is in_the_union(raw)
    return is_parsed


def in_the_union(raw: bytes) -> bool:
    try:
        envelope: Envelope = codec.decode(Envelope, raw, ENVELOPE_BYTES_MAX)
        body: UnionBody = codec.decode(UnionBody, envelope.body, ENVELOPE_BYTES_MAX)
        codec.check_texts(*texts_in(body))
    except NotCanonical:
        return False
    keys = [key for key, _ in envelope.signatures]
    is_short = len(raw) <= TRANSACTION_BYTES_MAX or isinstance(body.operation, Mint)
    return is_short and keys == sorted(set(keys))


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    if isinstance(value, Record):
        value = msgspec.structs.astuple(value)
    if isinstance(value, tuple):
        for item in value:
            yield from texts_in(item)


def opened(raw: bytes) -> tuple[Any, Any]:
    """Return envelope and body as plain lists."""
    outer = msgpack.unpackb(raw)
    return outer, msgpack.unpackb(outer[0])


def closed(outer: Any, body: Any) -> bytes:
    """Return an envelope around another body, the signatures left as they were."""
    packed = msgpack.packb([msgpack.packb(body), *outer[1:]])
    assert isinstance(packed, bytes)
    return packed


def test_the_envelopes_cover_every_kind_and_both_readers_take_them() -> None:
    kinds = {name.partition("/")[0] for name in KINDS}
    assert kinds == set(catalogue.KINDS)
    assert kinds == set(reference.KINDS)
    for name, raw in KINDS.items():
        assert kind_of(parse(raw).body.operation) == name.partition("/")[0]
        assert reference.accepts(raw)


def test_the_envelopes_cover_every_act_and_action() -> None:
    acts = {name.partition("/")[2] for name in KINDS} - {"", "grant", "reserved"}
    unions = (SetKeys, DecideClaim, RecordPayment)
    types = [one for union in unions for one in get_args(union.__annotations__["act"])]
    assert acts == {str(one.__struct_config__.tag) for one in (*types, *get_args(Action))}


@given(
    voucher=some.from_regex(reference.SERIAL, fullmatch=True),
    holder=some.from_regex(reference.SLUG, fullmatch=True),
    recipient=some.from_regex(reference.SLUG, fullmatch=True),
    amount=some.integers(1, FEN_MAX),
)
def test_what_is_encoded_decodes_to_itself_in_both_readers(
    voucher: str, holder: str, recipient: str, amount: int
) -> None:
    transfer = Transfer(voucher=voucher, holder=holder, recipient=recipient, amount=amount)
    data = codec.encode(transfer)
    assert codec.decode(Transfer, data, 1_000) == transfer
    assert reference.strict(data) == ["voucher.transfer", voucher, holder, recipient, amount]


@settings(max_examples=300)
@given(data=some.binary(max_size=200))
def test_random_bytes_are_no_envelope_to_either_reader(data: bytes) -> None:
    assert not accepts(data)
    assert not reference.accepts(data)


@given(value=some.integers(0, FEN_MAX))
def test_an_integer_has_one_form(value: int) -> None:
    shortest = codec.encode(value)
    assert codec.decode(codec.Natural, shortest, 9) == value
    for prefix, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8), (0xD3, 8)):
        if value < 2 ** (8 * size - (prefix == 0xD3)):
            form = bytes([prefix]) + value.to_bytes(size, "big")
            if form != shortest:
                with pytest.raises(NotCanonical):
                    codec.decode(codec.Natural, form, 9)


WIDER = {
    "text with an 8-bit length": (b"\xa4text", b"\xd9\x04text", str),
    "text with a 16-bit length": (b"\xa4text", b"\xda\x00\x04text", str),
    "bytes with a 16-bit length": (b"\xc4\x01b", b"\xc5\x00\x01b", bytes),
    "an array with a 16-bit length": (b"\x91\x01", b"\xdc\x00\x01\x01", tuple[int, ...]),
    "an array with a 32-bit length": (b"\x91\x01", b"\xdd\x00\x00\x00\x01\x01", tuple[int, ...]),
}


@pytest.mark.parametrize("name", WIDER)
def test_a_needlessly_long_form_is_refused(name: str) -> None:
    canonical, longer, type_ = WIDER[name]
    value = codec.decode(type_, canonical, 99)
    assert msgspec.msgpack.decode(longer, type=type_) == value, "the library alone takes it"
    with pytest.raises(NotCanonical):
        codec.decode(type_, longer, 99)


FOREIGN: dict[str, Any] = {
    "nil": None,
    "true for 1": True,
    "a float": 1.0,
    "a map": {"1": 1},
    "text": "1",
    "bytes": b"1",
    "an array": [1],
    "zero": 0,
    "a negative": -1,
    "beyond 2^53 − 1": 2**53,
    "beyond 64 bits, nearly": 2**64 - 1,
    "an extension": msgpack.ExtType(1, b"1"),
    "a timestamp": msgpack.Timestamp(1, 0),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_an_amount_is_never(name: str) -> None:
    outer, body = opened(KINDS["voucher.transfer"])
    body[3][4] = FOREIGN[name]
    assert not accepts(closed(outer, body))
    assert not reference.accepts(closed(outer, body))


@pytest.mark.parametrize("amount", [1, FEN_MAX])
def test_an_amount_may_be_the_least_and_the_most(amount: int) -> None:
    outer, body = opened(KINDS["voucher.transfer"])
    body[3][4] = amount
    assert accepts(closed(outer, body))


def test_invalid_utf_8_is_refused_and_not_an_error_of_ours() -> None:
    raw = builders.enrol("firm-a", name="ABCD")
    for bad in (b"\xff\xfe\xfd\xfc", b"\xed\xa0\x80A", b"\xc0\x80AB", b"\xf5\x80\x80\x80"):
        mangled = raw.replace(b"ABCD", bad)
        assert mangled != raw
        assert not accepts(mangled)
        assert not reference.accepts(mangled)


def test_text_is_bounded_in_bytes_not_only_in_characters() -> None:
    assert accepts(builders.enrol("firm-a", name="字" * 85))
    assert not accepts(builders.enrol("firm-a", name="字" * 86)), "258 bytes"
    assert not accepts(builders.publish(assumed=("字" * 86,)))
    assert not accepts(builders.attest("firm-a", text="字" * 86))


def test_deep_nesting_is_refused_before_it_hurts() -> None:
    for depth in (9, 1_000, 50_000):
        assert not accepts(b"\x91" * depth + b"\x01")


def test_a_message_is_measured_before_it_is_decoded() -> None:
    with pytest.raises(NotCanonical, match="at most 4 bytes, got 5"):
        codec.decode(bytes, b"\xc1\x03abc", 4)  # which nothing decodes
    assert codec.decode(bytes, b"\xc4\x03abc", 5) == b"abc"


def test_trailing_bytes_are_refused() -> None:
    raw = KINDS["voucher.transfer"]
    assert not accepts(raw + b"\x00")
    assert not accepts(raw + raw)


def test_keys_stand_in_strictly_ascending_order() -> None:
    outer, body = opened(KINDS["voucher.mint"])
    first, second = outer[1]
    for signatures, is_accepted in (
        ([first, second], True),
        ([second, first], False),
        ([first, first], False),
        ([], False),
    ):
        raw = closed([outer[0], signatures], body)
        assert accepts(raw) is reference.accepts(raw) is is_accepted


def test_an_envelope_has_at_most_sixteen_signatures() -> None:
    body = parse(KINDS["voucher.transfer"]).body_bytes
    for count in (SIGNATURES_MAX, SIGNATURES_MAX + 1):
        raw = seal(body, {bytes([number]) * 32: bytes(64) for number in range(1, count + 1)})
        assert accepts(raw) is reference.accepts(raw) is (count == SIGNATURES_MAX)


def test_the_largest_key_and_the_smallest_are_ordinary_keys() -> None:
    body = parse(KINDS["voucher.transfer"]).body_bytes
    assert accepts(seal(body, {bytes([255]) * 32: bytes(64)}))


def of_unknown_kind(*operation: Any, keys: tuple[int, ...] = (1,)) -> bytes:
    """Return a sealed envelope around an operation, as it is."""
    outer, body = opened(KINDS["voucher.transfer"])
    body[3] = list(operation)
    outer[1] = [[bytes([key]) * 32, bytes(64)] for key in keys]
    return closed(outer, body)


def test_a_canonical_envelope_of_an_unknown_kind_is_told_from_a_malformed_one() -> None:
    for operation in (
        ("voucher.note",),
        (
            "voucher.note",
            "shanghai.compute.000000001",
            b"\x2c" * 32,
            -5,
            2**64 - 1,
            True,
            ["字" * 85],
        ),
        ("voucher.note", [[[[[[1]]]]]]),
        ("_._", "x" * 256),
        ("a" * 32 + "." + "b" * 32, b"x" * 50_000),
    ):
        with pytest.raises(KindUnknown) as unknown:
            parse(of_unknown_kind(*operation))
        assert (
            unknown.value.kind
            == operation[0]
            == reference.unknown_kind(of_unknown_kind(*operation))
        )


NOT_EVEN_UNKNOWN: dict[str, tuple[Any, ...]] = {
    "no name": (),
    "a number for a name": (1,),
    "a name of one word": ("note",),
    "a name with capitals": ("Voucher.note",),
    "a name of three words": ("voucher.note.more",),
    "a name that is too long": ("a" * 33 + ".b",),
    "nil": ("voucher.note", None),
    "a float": ("voucher.note", 1.0),
    "a map": ("voucher.note", {}),
    "a map within": ("voucher.note", [{"a": {}}]),
    "an extension": ("voucher.note", msgpack.ExtType(1, b"1")),
    "a timestamp": ("voucher.note", [msgpack.Timestamp(1, 0)]),
    "a long text": ("voucher.note", ["字" * 86]),
    "arrays too deep": ("voucher.note", [[[[[[[1]]]]]]]),
    "arrays far too deep": ("voucher.note", msgpack.unpackb(b"\x91" * 400 + b"\x01")),
}


@pytest.mark.parametrize("name", NOT_EVEN_UNKNOWN)
def test_what_no_kind_could_have_is_malformed_and_not_of_an_unknown_kind(name: str) -> None:
    raw = of_unknown_kind(*NOT_EVEN_UNKNOWN[name])
    assert reference.unknown_kind(raw) is None
    with pytest.raises(NotCanonical):
        parse(raw)


def test_an_unknown_kind_excuses_no_other_fault_of_form() -> None:
    good = of_unknown_kind("voucher.note", 5)
    assert reference.unknown_kind(good) == "voucher.note"
    for raw in (
        good + b"\x00",
        good.replace(b"\xacvoucher.note\x05", b"\xd9\x0cvoucher.note\x05"),
        good.replace(b"\xacvoucher.note\x05", b"\xacvoucher.note\xcc\x05"),
        good.replace(b"\xacvoucher.note\x05", b"\xacvoucher.no\xff\xff\x05"),
        of_unknown_kind("voucher.note", 5, keys=(2, 1)),
        of_unknown_kind("voucher.note", 5, keys=()),
        of_unknown_kind("voucher.note", *[bytes(15_000)] * 4),
    ):
        assert raw != good
        assert reference.unknown_kind(raw) is None
        with pytest.raises(NotCanonical):
            parse(raw)


def test_only_a_mint_may_be_longer_than_16_kib() -> None:
    signatures = {bytes([1]) * 32: bytes(64)}

    def sealed_mint(rows: int) -> bytes:
        row = MintRow(holder="a" * 12, amount=FEN_MAX, decision=bytes(32))
        operation = Mint(programme="shanghai.compute", terms_version=1, rows=(row,) * rows)
        _, body = opened(KINDS["voucher.mint"])
        body[3] = msgpack.unpackb(codec.encode(operation))
        packed = msgpack.packb(body)
        assert isinstance(packed, bytes)
        return seal(packed, signatures)

    assert TRANSACTION_BYTES_MAX < len(sealed_mint(1_000)) <= ENVELOPE_BYTES_MAX
    assert accepts(sealed_mint(1_000))
    assert not accepts(sealed_mint(1_001))


def test_other_kinds_end_at_16_kib() -> None:
    outer, body = opened(KINDS["programme.publish"])
    body[3][4][2] = ["x" * 256] * 32
    body[3][4][19] = ["a" * 32 + "." + "b" * 32] * 64
    body[3][4][3] = [[["clean_record", "", 0, [], 0]] * 16] * 11
    sizes = []
    for characters in range(40, 200):
        body[3][4][1] = "y" * characters
        raw = closed(outer, body)
        sizes.append(len(raw))
        assert accepts(raw) is reference.accepts(raw) is (len(raw) <= TRANSACTION_BYTES_MAX)
    assert {TRANSACTION_BYTES_MAX, TRANSACTION_BYTES_MAX + 1} <= set(sizes)


def test_the_id_covers_no_signature_and_the_digest_does() -> None:
    raw = KINDS["voucher.transfer"]
    transaction = parse(raw)
    other = parse(seal(transaction.body_bytes, {bytes([9]) * 32: bytes(64)}))
    assert other.id == transaction.id
    assert other.digest != transaction.digest


def test_an_envelope_is_hashed_as_received() -> None:
    raw = KINDS["voucher.redeem"]
    assert parse(raw).raw is raw
    assert codec.encode(codec.decode(Envelope, raw, ENVELOPE_BYTES_MAX)) == raw


MUTATIONS_PER_KIND = 700


def bent(dice: random.Random, raw: bytes) -> bytes:
    """Return an envelope with one or two bytes flipped, put in, taken out, doubled or cut off."""
    data = bytearray(raw)
    for _ in range(dice.choice((1, 1, 1, 2))):
        at = dice.randrange(len(data))
        match dice.randrange(6):
            case 0:
                data[at] ^= 1 << dice.randrange(8)
            case 1:
                data[at] = dice.randrange(256)
            case 2:
                data.insert(at, dice.randrange(256))
            case 3:
                del data[at]
            case 4:
                data[at:at] = data[at : at + dice.randrange(1, 9)]
            case 5:
                data = data[: max(1, at)]
    return bytes(data)


LEAVES: tuple[Any, ...] = (
    *(0, 1, 2, 127, 128, 255, 256, 9_999, 10_000, 10_001, 65_536, 2**53 - 1, 2**53, -1, -(2**53)),
    *("", "a", "-a", "a-", "A", "a.b", "a.b.000000001", "a.000000001", "a.b.0000000001", "a" * 33),
    *("open", "direct", "domestic", "training", "start_up", "字" * 85, "字" * 86, "a\n", "monthly"),
    *(b"", b"k" * 32, b"k" * 33, [], [1], ["a"], [b"k" * 32], True, False, None, {}),
)


def replaced(dice: random.Random, value: Any) -> Any:
    """Return a nested list with one place in it replaced, doubled or dropped."""
    if not isinstance(value, list) or (not value and dice.random() < 0.7):
        return dice.choice(LEAVES)
    if not value or dice.random() < 0.1:
        return [*value, dice.choice(LEAVES)]
    at = dice.randrange(len(value))
    copied = list(value)
    match dice.randrange(10):
        case 0:
            del copied[at]
        case 1:
            copied.insert(at, copied[at])
        case _:
            copied[at] = replaced(dice, copied[at])
    return copied


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_both_readers_agree_on_bent_envelopes(kind: str) -> None:
    dice = random.Random(f"bent {kind}")
    outer, body = opened(KINDS[kind])
    verdicts = {True: 0, False: 0}
    for number in range(MUTATIONS_PER_KIND):
        if number % 2:
            raw = bent(dice, KINDS[kind])
        elif number % 20:
            raw = closed(outer, replaced(dice, body))
        else:
            raw = closed(replaced(dice, outer) or [b""], body)
        verdict = accepts(raw)
        assert verdict is reference.accepts(raw), raw.hex()
        verdicts[verdict] += 1
    print(f"{kind}: {verdicts[True]} accepted, {verdicts[False]} refused")
    assert sum(verdicts.values()) == MUTATIONS_PER_KIND
    assert verdicts[True] > 10, "some changes stay within the format"
    assert verdicts[False] > 200


def test_what_a_stranger_chose_is_not_quoted() -> None:
    class One(Record, frozen=True, tag="one"):
        pass

    data = msgpack.packb(["A\n2026 ERROR forged\x1b[31m" + "z" * 60_000])
    with pytest.raises(NotCanonical) as raised:
        codec.decode(One, data, 1_000_000)
    assert str(raised.value) == "expected one"
