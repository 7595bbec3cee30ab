"""Numbers on papers have one spelling, and the same bill the same tag (Z)."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from ledger.encoding import normal
from ledger.encoding.crypto import tagged_hash
from ledger.encoding.normal import (
    BLANKS,
    CREDIT_ALPHABET,
    HANZI,
    NUMBER_MAX,
    SEPARATORS,
    TYPED_MAX,
    NotNormal,
    contract_number,
    contract_tag,
    credit_check,
    invoice_number,
    invoice_tag,
    registration_number,
    registration_tag,
    tag_key_check,
)
from tests.reference import normal as reference
from tests.reference.decode import points_of

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "normal.json"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "spec" / "normal.md"

Normal = Callable[[str], str]
KINDS: dict[str, tuple[Normal, Callable[[str], str | None]]] = {
    "invoice": (invoice_number, reference.invoice),
    "contract": (contract_number, reference.contract),
    "registration": (registration_number, reference.registration),
}
KEY = bytes(range(32))
CREDIT = "91350100M000100Y43"
"""The example of GB 32100."""


def by_us(kind: str, typed: str) -> str | None:
    try:
        return KINDS[kind][0](typed)
    except NotNormal:
        return None


def test_the_vectors_have_their_normal_forms_from_both_readers() -> None:
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert {one["kind"] for one in vectors["numbers"]} == set(KINDS)
    for one in vectors["numbers"]:
        typed = bytes.fromhex(one["typed"]).decode()
        assert by_us(one["kind"], typed) == one["normal"], one
        assert KINDS[one["kind"]][1](typed) == one["normal"], one


def test_the_vectors_have_their_tags_from_both_readers() -> None:
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    key = bytes.fromhex(vectors["tag_key"])
    assert tag_key_check(key).hex() == vectors["check"]
    assert tagged_hash("tallystick/tag-key/v1", key).hex() == vectors["check"]
    made: dict[str, Callable[..., bytes]] = {
        "tallystick/invoice-tag/v1": lambda number: invoice_tag(key, "nowhere", number),
        "tallystick/bill-tag/v1": lambda centre, number: invoice_tag(key, centre, number),
        "tallystick/contract-tag/v1": lambda centre, number: contract_tag(key, centre, number),
        "tallystick/registration-tag/v1": lambda number: registration_tag(key, number),
    }
    assert [one["frame"] for one in vectors["tags"]] == list(made)
    for one in vectors["tags"]:
        assert made[one["frame"]](*one["parts"]).hex() == one["tag"]
        assert reference.tag(key, one["frame"], *one["parts"]).hex() == one["tag"]


def test_the_tables_on_the_page_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:blanks|dashes)[^|]* \| ([0-9A-F][^|]*) \|$", page, re.M)
    ours = {point for first, last in (*BLANKS, *SEPARATORS) for point in range(first, last + 1)}
    assert len(rows) == 2
    assert points_of(" ".join(rows)) == ours == reference.LEFT_OUT
    assert CREDIT_ALPHABET in page


SPELLINGS = (
    "FP-2026-0001",
    "fp-2026-0001 ",
    "ＦＰ－２０２６－０００１",
    "FP-2026\u200b-0001",
    "\ufeffFP\u20132026\u20140001\u3000",
    "FP\t2026/0001\r\n",
    "【FP〔2026〕0001】",
)


def test_a_bill_of_another_spelling_is_the_same_bill() -> None:
    assert {invoice_number(typed) for typed in SPELLINGS} == {"FP20260001"}
    assert len({invoice_tag(KEY, "hub", invoice_number(typed)) for typed in SPELLINGS}) == 1


def test_an_old_invoice_is_its_code_and_its_number_however_they_are_joined() -> None:
    for code in ("3100201130", "031001900104"):
        for between in ("", " ", "-", "，", "\u00a0/ "):
            assert invoice_number(f"{code}{between}12345678") == f"{code}12345678"


def test_an_invoice_of_the_nation_has_one_tag_at_every_centre_and_a_bill_is_its_centres() -> None:
    number = invoice_number("26317000000123456789")
    assert invoice_tag(KEY, "hub", number) == invoice_tag(KEY, "other", number)
    assert invoice_tag(KEY, "hub", "FP1") != invoice_tag(KEY, "other", "FP1")
    assert contract_tag(KEY, "hub", "HT1") != contract_tag(KEY, "other", "HT1")


def test_papers_of_different_kinds_never_share_a_tag() -> None:
    number = CREDIT
    tags = {
        invoice_tag(KEY, "hub", number),
        contract_tag(KEY, "hub", number),
        registration_tag(KEY, number),
        invoice_tag(bytes(32), "hub", number),
    }
    assert len(tags) == 4


REFUSED: dict[str, tuple[str, str, str]] = {
    "an invoice without a number": ("invoice", " - \u200b", "never empty"),
    "a number without its code": ("invoice", "12345678", "got 8 digits"),
    "nineteen digits": ("invoice", "1" * 19, "got 19 digits"),
    "what a spreadsheet made": ("invoice", "2.6317E+19", "character 8 is U+002B"),
    "what a spreadsheet made and somebody tidied": ("invoice", "26317E19", "rounded"),
    "a word": ("invoice", "INVOICE", "has a digit; got INVOICE"),
    "a Chinese character": ("invoice", "FP 1 号", "character 6 is U+53F7"),
    "a full-width plus": ("invoice", "FP＋1", "character 3 is U+FF0B"),
    "a letter with an accent": ("invoice", "FÉ1", "character 2 is U+00C9"),
    "digits of another script": ("invoice", "\u0661" * 20, "character 1 is U+0661"),
    "a long bill": ("invoice", "F" + "1" * NUMBER_MAX, "at most 64 characters; got 65"),
    "a very long bill": ("invoice", "F" + " " * TYPED_MAX, "as typed; got 257"),
    "an empty contract": ("contract", "〔〕", "never empty"),
    "a compatibility ideograph": ("contract", "\uf900", "U+F900"),
    "a private character": ("contract", "合\ue000", "character 2 is U+E000"),
    "an old registration number": ("registration", "310104000123456", "old registration number"),
    "a short code": ("registration", CREDIT[:-1], "got 17"),
    "a long code": ("registration", CREDIT + "1", "got 19"),
    "a letter O for a zero": ("registration", CREDIT.replace("M0", "MO"), "I, O, S, V or Z"),
    "a letter in the region": ("registration", "9135010A" + CREDIT[8:], "3 to 8 are digits"),
    "a wrong check character": ("registration", CREDIT[:-1] + "4", "before is 3"),
    "two digits changed round": ("registration", "91530100M000100Y43", "the check character"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_number_is_refused_and_named(name: str) -> None:
    kind, typed, said = REFUSED[name]
    with pytest.raises(NotNormal, match=re.escape(said)):
        KINDS[kind][0](typed)
    assert KINDS[kind][1](typed) is None


@pytest.mark.parametrize("typed", ["1" * 17, "1" * 14 + "A"])
def test_only_fifteen_digits_are_an_old_registration_number(typed: str) -> None:
    with pytest.raises(NotNormal, match=r"got 1[57]$"):
        registration_number(typed)


def test_the_longest_numbers_are_taken() -> None:
    assert len(invoice_number("F" + "1" * (NUMBER_MAX - 1))) == NUMBER_MAX
    assert invoice_number("F1".ljust(TYPED_MAX)) == "F1"
    assert contract_number("沪算合同〔二〇二六〕第 12 号") == "沪算合同二〇二六第12号"


def test_every_character_of_a_credit_code_is_checked() -> None:
    assert registration_number(f" {CREDIT.lower()} ") == CREDIT
    for place in range(18):
        for char in CREDIT_ALPHABET:
            if char != CREDIT[place]:
                assert by_us("registration", CREDIT[:place] + char + CREDIT[place + 1 :]) is None


@given(first=some.text(alphabet=CREDIT_ALPHABET, min_size=17, max_size=17))
def test_a_check_character_fits_to_its_seventeen(first: str) -> None:
    code = first[:2] + "310115" + first[8:]
    code += credit_check(code)
    assert registration_number(code) == reference.registration(code) == code


TYPED = some.text(
    alphabet=some.one_of(
        some.sampled_from("AaＡZz09９０Ee+ -－_/〔〕（\u200b\ufeff\u3000号字沪合"),
        some.characters(),
    ),
    max_size=30,
)


@given(typed=TYPED, kind=some.sampled_from(sorted(KINDS)))
def test_both_readers_agree_and_a_normal_form_is_its_own(typed: str, kind: str) -> None:
    number = by_us(kind, typed)
    assert number == KINDS[kind][1](typed)
    if number is not None:
        assert by_us(kind, number) == number
        assert number.isprintable()


NOISE = some.lists(some.sampled_from([*" \t-_/.\u200b\u3000\u2014〔）"]), max_size=3).map("".join)


@given(number=some.text(alphabet="ABC0123456789", min_size=1, max_size=20), noise=some.data())
def test_no_spelling_makes_another_bill(number: str, noise: some.DataObject) -> None:
    """The attack of the five invoices, drawn: case, width, blanks and dashes."""
    assume(by_us("invoice", number) is not None)
    typed = ""
    for char in number:
        wide = chr(ord(char) + 0xFEE0)
        typed += noise.draw(NOISE) + noise.draw(some.sampled_from((char, char.lower(), wide)))
    assert invoice_number(typed + noise.draw(NOISE)) == number


def test_both_readers_agree_on_every_code_point_at_which_a_table_turns() -> None:
    ends = (point for span in (*BLANKS, *SEPARATORS, *HANZI) for point in span)
    turns = {near for point in ends for near in (point - 1, point, point + 1) if near >= 0}
    for point in sorted({*range(0x250), *range(0xFF00, 0x10000), *turns}):
        number = by_us("contract", f"A{chr(point)}1")
        assert number == reference.contract(f"A{chr(point)}1")


def test_normal_forms_need_no_tables_of_unicode() -> None:
    assert "unicodedata" not in vars(normal)
