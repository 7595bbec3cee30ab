"""Transactions in words: nothing that is signed is left out, and amounts read as yuan."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from desk.description import describe, operation_from
from ledger.encoding.codec import Record
from ledger.rules.cases import SetHold
from ledger.rules.vouchers import Mint, MintRow, Transfer
from tests.words.examples import descriptions, literals, records
from words import fields, units
from words.acts import in_words, lines, said
from words.answers import placeholders
from words.languages import CODES, load

ENGLISH, CHINESE = (load(code) for code in CODES)
OPERATIONS = [pytest.param(description, id=name) for name, description in descriptions()]
NAMES = [name for name, _ in descriptions()]
FIXED = {
    (field.name, value)
    for _, record in records()
    for field in record.fields
    for value in literals(field.type)
}


def leaves(name: str, value: Any, code: str) -> Iterator[str]:
    """Yield each text, hash and fixed value of a description as it must be shown."""
    match value:
        case dict():
            for field, item in value.items():
                if field != "kind" or (field, item) in FIXED:
                    yield from leaves(field, item, code)
        case list():
            for item in value:
                yield from leaves(name, item, code)
        case str() if (name, value) in FIXED and name != "about":
            yield load(code).word(name, value) or value
        case str() if (name, value) in FIXED:
            yield load(code).texts[f"value.record.anchor about.{value}"]
        case str():
            yield value


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("description", OPERATIONS)
def test_nothing_that_is_signed_is_left_out_of_the_words(
    description: dict[str, Any], code: str
) -> None:
    operation: Record = operation_from(description)
    assert describe(operation) == description
    spoken = load(code)
    words = in_words(operation, spoken, whole=True)
    assert words.startswith(description["kind"])
    missing = [leaf for leaf in leaves("", description, code) if leaf not in words]
    assert not missing, words
    sheet = " ".join(line.value for line in lines(operation, spoken))
    assert not [leaf for leaf in leaves("", description, code) if leaf not in sheet]


@pytest.mark.parametrize("code", CODES)
def test_every_act_has_its_sentence_and_no_sentence_is_left_over(code: str) -> None:
    prefix = "says."
    texts = load(code).texts
    assert {key.removeprefix(prefix) for key in texts if key.startswith(prefix)} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_sentence_says_the_same_in_both_languages(name: str) -> None:
    english, chinese = (spoken.texts[f"says.{name}"] for spoken in (ENGLISH, CHINESE))
    assert placeholders(english) == placeholders(chinese)


@pytest.mark.parametrize("code", CODES)
def test_every_kind_and_act_has_a_name(code: str) -> None:
    texts = load(code).texts
    kinds = {name.split(" ")[0] for name in NAMES}
    named = {name.split(" ")[1] for name in NAMES if " " in name}
    assert {key.removeprefix("kind.") for key in texts if key.startswith("kind.")} == kinds
    assert {key.removeprefix("act.") for key in texts if key.startswith("act.")} == named


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("description", OPERATIONS)
def test_no_two_lines_of_a_sheet_have_the_same_title(
    description: dict[str, Any], code: str
) -> None:
    titles = [line.title for line in lines(operation_from(description), load(code))]
    assert len(titles) == len(set(titles)), titles


def test_words_read_as_people_read() -> None:
    passes = Transfer(
        voucher="shanghai.compute.000000042", holder="firm-a", recipient="firm-b", amount=1_250_000
    )
    assert in_words(passes, ENGLISH) == (
        "voucher.transfer: firm-a passes 12,500.00 yuan of voucher shanghai.compute.000000042 "
        "to firm-b"
    )
    assert in_words(passes, CHINESE) == (
        "voucher.transfer（转让）：firm-a 将算力券 shanghai.compute.000000042 中的 "
        "12,500.00 元转让给 firm-b"
    )


def test_a_kind_without_a_sentence_is_shown_by_its_name_and_fields() -> None:
    class Note(Record, frozen=True, tag="voucher.note"):
        """A kind that no catalogue knows."""

        voucher: str
        amount: int

    note = Note(voucher="shanghai.compute.000000042", amount=100)
    assert in_words(note, ENGLISH) == (
        "voucher.note: voucher shanghai.compute.000000042; amount 1.00 yuan"
    )
    assert in_words(note, CHINESE) == (
        "voucher.note（voucher.note）：算力券 shanghai.compute.000000042；金额 1.00 元"
    )


def test_what_an_act_is_about_is_its_amount_or_the_sum_of_its_rows() -> None:
    amounts = {
        name: said(operation_from(description), ENGLISH).amount
        for name, description in descriptions()
    }
    assert {name for name, amount in amounts.items() if amount is not None} == {
        *("programme.appropriate", "voucher.mint", "voucher.transfer", "voucher.reserve"),
        *("voucher.release", "voucher.redeem", "voucher.revoke", "claim.decide decide"),
        *("claim.credit", "payment.record instructed", "payment.record written_off"),
    }
    (redeem,) = (one for name, one in descriptions() if name == "voucher.redeem")
    parts = [line["amount"] for line in redeem["lines"]] + [redeem["grant"]["amount"]]
    assert amounts["voucher.redeem"] == sum(parts)


def test_a_long_list_is_cut_short_but_its_sum_is_not() -> None:
    row = MintRow(holder="firm-a", amount=100, decision=bytes(32))
    mint = Mint(programme="shanghai.compute", terms_version=1, rows=(row,) * 1_000)
    words = in_words(mint, ENGLISH)
    assert f"grants {units.yuan(100_000)} yuan" in words
    assert words.endswith("and 992 more")
    assert in_words(mint, CHINESE).endswith("另有 992 项")
    assert in_words(mint, ENGLISH, whole=True).count("firm-a") == 1_000


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("letter", ["\x1b", "\n", "\N{RIGHT-TO-LEFT OVERRIDE}"])
def test_words_steer_no_screen(letter: str, code: str) -> None:
    reason = f"a{letter}b"  # no decoder takes it, and words rely on none
    operation = SetHold(by="shanghai", scope="party", id="firm-a", case=bytes(32), reason=reason)
    assert letter not in in_words(operation, load(code))


def test_a_text_cannot_pass_for_words_of_ours() -> None:
    operation = operation_from(
        {"kind": "hold.set", "by": "shanghai", "scope": "party", "id": "firm-a", "case": "00" * 32}
        | {"reason": 'none"; case cleared'}
    )
    assert in_words(operation, ENGLISH).startswith(
        'hold.set: shanghai freezes party firm-a: "none\\"; case cleared"; case 0000'
    )


def test_an_id_is_never_taken_for_a_fixed_value() -> None:
    statement = operation_from(
        {"kind": "attestation.issue", "attester": "shanghai", "subject": "firm-a", "amount": 0}
        | {"topic": "unrelated_to", "about": "document", "text": "", "valid_until_ms": 0}
        | {"commitment": None}
    )
    assert "对象 document" in in_words(statement, CHINESE)
    fixed = {name for name, _ in FIXED}
    free = {
        field.name
        for _, record in records()
        for field in record.fields
        if isinstance(field.type, msgspec.inspect.StrType)
        or (
            isinstance(field.type, msgspec.inspect.VarTupleType)
            and isinstance(field.type.item_type, msgspec.inspect.StrType)
        )
    }
    both = {name for name in fixed & free if fields.fixed(name, "", CHINESE) is None}
    shadowed = {name for name in both for key in CHINESE.texts if key.startswith(f"value.{name}.")}
    # A rule for officers names kinds of transaction, a kind of member its own: no id is either.
    assert shadowed <= {"kind"}
