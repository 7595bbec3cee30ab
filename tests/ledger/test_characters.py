"""Which characters text has (W5): the page, the pattern and two other readers say the same."""

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from desk.description import operation_from
from ledger.encoding import codec
from ledger.encoding.characters import EXCLUDED, TEXT_PATTERN, fault_in, tidied
from ledger.encoding.codec import NotCanonical
from ledger.genesis import parse_genesis
from ledger.inadmissible import KindUnknown
from ledger.transactions import parse
from tally.exits import UsageError
from tests import builders
from tests.ledger.test_codec import of_unknown_kind
from tests.reference import decode as reference
from verifier.wire import Malformed
from verifier.wire import text as text_shape

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "text.json"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "spec" / "wire.md"


def by_codec(text: str) -> bool:
    try:
        taken = codec.decode(codec.Text, codec.encode(text), 2_000)
    except NotCanonical as error:
        return str(error) != fault_in(text)
    return bool(taken == text)


def by_verifier(text: str) -> bool:
    try:
        text_shape(text)
    except Malformed:
        return False
    return True


READERS: tuple[Callable[[str], bool], ...] = (by_codec, by_verifier, reference.text(256))


def test_the_vectors_have_their_verdicts_from_every_reader() -> None:
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert len(vectors["taken"]) > 100
    assert len(vectors["refused"]) > 140
    for name in ("taken", "refused"):
        for written in vectors[name]:
            text = bytes.fromhex(written).decode()
            assert [reader(text) for reader in READERS] == [name == "taken"] * 3, written
            assert (fault_in(text) is None) is (name == "taken"), written


def test_the_table_on_the_page_is_the_one_of_the_code() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("**W5.1**")[2].partition("**W5.2**")[0]
    rows = re.findall(r"^\| [^|]+ \| ([0-9A-F][^|]*) \|$", section, re.M)
    written = reference.points_of(
        " ".join(rows).replace(", and the last two of each plane from 1 to 16", "")
    )
    planes = {plane * 0x10000 + last for plane in range(1, 17) for last in (0xFFFE, 0xFFFF)}
    ours = {
        point
        for _, ranges in EXCLUDED
        for first, last in ranges
        for point in range(first, last + 1)
    }
    assert written | planes == ours
    assert written == reference.EXCLUDED


def test_every_code_point_is_taken_or_refused_alike() -> None:
    matches = re.compile(TEXT_PATTERN).search
    for point in (*range(0xD800), *range(0xE000, 0x30000), *range(0xDFF00, 0xF0100)):
        text = f"a{chr(point)}b"
        assert (matches(text) is not None) is reference.characters_fit(text) is by_verifier(text)


def test_nothing_invisible_is_left_that_this_unicode_version_knows() -> None:
    invisible = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
    chars = map(chr, (*range(0xE000), *range(0xF900, 0xF0000)))  # the rest is of private use
    hidden = [char for char in chars if unicodedata.category(char) in invisible]
    assert [char for char in hidden if fault_in(char) is None] == []


@given(text=some.text(alphabet="a 字\u200b\u3000", max_size=6))
def test_blanks_and_faults_are_found_wherever_they_stand(text: str) -> None:
    assert by_codec(text) is by_verifier(text) is reference.text(256)(text)


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("账户  不存在\r\n", "账户 不存在"),
        ("ＡＣ０１　（账户）", "AC01 （账户）"),
        ("\ufeffno\u200baccount\u0301", "no account"),
        (" \u202e ", ""),
        ("as it was: ￥1，“quoted”", "as it was: ￥1，“quoted”"),
    ],
)
def test_what_a_machine_wrote_can_be_tidied(written: str, taken: str) -> None:
    assert tidied(written) == taken
    assert fault_in(taken) is None


@given(text=some.text(max_size=20))
def test_what_is_tidied_is_taken_and_stays(text: str) -> None:
    assert fault_in(tidied(text)) is None
    assert tidied(tidied(text)) == tidied(text)


HIDDEN = "Firm\u200b A"


def everywhere() -> dict[str, bytes]:
    """Return envelopes that hide a character, in a name, a list, an order and an unknown kind."""
    return {
        "a name": builders.enrol("firm-a", name=HIDDEN),
        "a name that turns the line round": builders.enrol("firm-a", name="Firm \u202eA"),
        "a text in a list": builders.publish(assumed=("as written", HIDDEN)),
        "the order of a centre": builders.redeem(
            ("shanghai.compute.000000001", 1), order="order\u00a01"
        ),
        "a kind that nobody knows": of_unknown_kind("voucher.note", ["seen", HIDDEN]),
    }


@pytest.mark.parametrize("name", everywhere())
def test_a_hidden_character_makes_a_transaction_malformed(name: str) -> None:
    raw = everywhere()[name]
    with pytest.raises(NotCanonical, match=r"^([a-z_.0-9]+: )?character [0-9]+, U\+"):
        parse(raw)
    assert not reference.accepts(raw)
    assert reference.unknown_kind(raw) is None


@pytest.mark.parametrize(
    "rest",
    {"no UTF-8": b"\xa1\xff", "nothing": b"", "a nest": b"\x91" * 50_000 + b"\xc0"}.values(),
)
def test_a_hidden_character_before_what_cannot_be_read_is_a_fault_and_no_crash(rest: bytes) -> None:
    class Pair(codec.Record, frozen=True):
        first: codec.Text
        second: codec.Text

    hidden = msgspec.msgpack.encode(HIDDEN)
    with pytest.raises(NotCanonical, match=r"^first: text outside W5$"):
        codec.decode(Pair, b"\x92" + hidden + rest, 100_000)


def test_a_clean_text_of_an_unknown_kind_leaves_it_unknown() -> None:
    with pytest.raises(KindUnknown):
        parse(of_unknown_kind("voucher.note", ["seen", "Firm A"]))


def test_a_hidden_character_starts_no_ledger() -> None:
    clean = builders.city("shanghai")
    assert parse_genesis(builders.genesis(clean))
    member = codec.encode(clean).replace(b"Shanghai", b"Shang\xc2\xa0i")
    raw = builders.genesis(clean).replace(codec.encode(clean), member)
    with pytest.raises(NotCanonical, match=r"character 6, U\+00A0, is a blank other than U\+0020"):
        parse_genesis(raw)


def test_the_desk_says_which_field_and_which_character() -> None:
    described: dict[str, Any] = {
        "kind": "record.anchor",
        "by": "shanghai",
        "about": "document",
        "as_of": 0,
        "commitment": "00" * 32,
        "note": "three\u200bwords ",
    }
    with pytest.raises(UsageError, match=r"^note: character 6, U\+200B, is an invisible or"):
        operation_from(described)
    described["note"] = "three words "
    with pytest.raises(UsageError, match=r"^note: character 12, U\+0020, is a blank at an end"):
        operation_from(described)
