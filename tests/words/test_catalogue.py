"""The catalogue: both languages say everything, with the same places for values."""

import ast
import re
from pathlib import Path

import pytest

from ledger.inadmissible import all_inadmissible
from ledger.rules.refusals import all_refusals
from tests.words.examples import literals, records
from words import answers, fields
from words.answers import placeholders, templates
from words.languages import CODES, GROUPS, load

INADMISSIBLE = {error.code for error in all_inadmissible()}

ENGLISH, CHINESE = (load(code) for code in CODES)
RULES = Path(__file__).resolve().parents[2] / "ledger" / "rules"
ENGLISH_ELSEWHERE = ("refusal.", "meaning.", "reason.", "detail.")
"""Whose English stands where the code does."""
WITH_REASONS = ("ActionInvalid", "KeysUnfit", "TermsInconsistent")
ASKED_FOR_REASONS = ("member_problem", "role_conflict")
"""Functions of the rules that return a reason."""


def test_both_languages_have_the_same_texts() -> None:
    chinese = {key for key in CHINESE.texts if not key.startswith(ENGLISH_ELSEWHERE)}
    assert chinese == ENGLISH.texts.keys()


@pytest.mark.parametrize("key", sorted(ENGLISH.texts))
def test_a_text_has_the_same_places_for_values(key: str) -> None:
    if key != "join.said":  # English names a kind by its own name, Chinese by both
        english, chinese = ENGLISH.texts[key], CHINESE.texts[key]
        assert placeholders(english) == placeholders(chinese)


@pytest.mark.parametrize("code", sorted(templates()))
def test_a_code_is_said_in_both_languages_with_the_same_values(code: str) -> None:
    english = templates()[code]
    assert placeholders(CHINESE.texts[f"refusal.{code}"]) == placeholders(english.sentence)
    assert re.search(r"[\u4e00-\u9fff]", CHINESE.texts[f"meaning.{code}"])
    assert not placeholders(CHINESE.texts[f"meaning.{code}"])
    assert english.meaning.endswith(".")


def test_no_code_is_said_that_nobody_answers() -> None:
    known = {refusal.code for refusal in all_refusals()} | INADMISSIBLE
    assert known == templates().keys()
    for family in ("refusal.", "meaning."):
        said = {key.removeprefix(family) for key in CHINESE.texts if key.startswith(family)}
        assert said == known


@pytest.mark.parametrize("code", CODES)
def test_every_field_that_is_signed_has_a_title(code: str) -> None:
    texts = load(code).texts
    names = {field.name for _, record in records() for field in record.fields}
    untitled = {name for name in names if f"field.{name.removesuffix('_fen')}" not in texts}
    assert untitled - {"act", "action", "from_fen"} == set()


@pytest.mark.parametrize("code", CODES)
def test_every_fixed_value_that_is_signed_has_a_word_and_no_two_share_one(code: str) -> None:
    texts = load(code).texts
    for name, record in records():
        for field in record.fields:
            values = [value for value in literals(field.type) if value]
            group = GROUPS.get(field.name, field.name)
            if (name, field.name) == ("RecordAnchor", "about"):
                group = "record.anchor about"
            words = [texts[f"value.{group}.{value}"] for value in values]
            assert len(set(words)) == len(words), (name, field.name)


def reasons() -> list[str]:
    """Return the reasons that the rules give in English, with a mark for each value."""
    found = []
    for path in sorted(RULES.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name in ASKED_FOR_REASONS:
                found += [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in WITH_REASONS:
                found += [one.value for one in node.keywords if one.arg == "reason"]
    return [text for text in map(_with_marks, found) if text]


def _with_marks(node: ast.expr | None) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(_part, parts))
    return ""


def _part(part: ast.expr) -> str:
    """Return a part of a reason; a reason within it stands for one of its own words."""
    match part:
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue(value=ast.Name(id="conflict")):
            return "7 is not a role"
    return "7"


def test_every_reason_of_the_rules_is_told_in_chinese() -> None:
    assert len(reasons()) >= 25
    for reason in reasons():
        told = answers.reason(reason, CHINESE)
        assert re.search(r"[\u4e00-\u9fff]", told), reason
        assert answers.reason(reason, ENGLISH) == reason


def test_a_reason_that_nobody_translated_stays_and_steers_no_screen() -> None:
    assert answers.reason("new: \x1b[2J", CHINESE) == "new: \N{REPLACEMENT CHARACTER}[2J"


@pytest.mark.parametrize("code", CODES)
def test_titles_of_amounts_name_no_unit(code: str) -> None:
    for name in sorted(fields.MONEY):
        assert "yuan" not in load(code).title(name) and "元" not in load(code).title(name)
