"""One list of concepts: every kind and every table is declared once, and all lists follow."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from ledger import catalogue
from ledger.catalogue import CONCEPTS, KINDS, RULES_VERSIONS, rule_at
from ledger.inadmissible import all_inadmissible
from ledger.rules.base import ENVELOPE_BYTES_MAX, Kind
from ledger.rules.sums import Amount, Counter
from ledger.tables import TABLES
from ledger.transactions import KIND_NAME
from ledger.view import Table

ROOT = Path(__file__).resolve().parents[2]
MODULES: dict[str, ModuleType] = {
    path.stem: importlib.import_module(f"ledger.rules.{path.stem}")
    for path in sorted((ROOT / "ledger" / "rules").glob("*.py"))
    if path.stem != "__init__"
}


def declared(type_: type) -> list[tuple[str, str, object]]:
    """Return module, name and value of each constant of a type that a module of the rules makes."""
    made = []
    for module, loaded in MODULES.items():
        source = inspect.getsource(loaded)
        for name, value in vars(loaded).items():
            if isinstance(value, type_) and re.search(rf"^{name}(:.*)? = ", source, re.M):
                made.append((module, name, value))
    return made


def test_every_kind_and_every_table_of_the_rules_is_in_the_lists_and_no_name_stands_twice() -> None:
    kinds, tables = declared(Kind), declared(Table)
    assert {module for module, _, _ in kinds + tables} == {
        concept.__name__.rpartition(".")[2] for concept in CONCEPTS
    }
    assert len(kinds) == len(KINDS) > 20
    assert len(tables) == len(TABLES) > 30


@pytest.mark.parametrize("name", KINDS)
def test_record_rule_and_declaration_of_a_kind_share_a_stem_and_a_file(name: str) -> None:
    ((module, constant),) = ((m, c) for m, c, kind in declared(Kind) if kind is KINDS[name])
    kind = KINDS[name]
    stem = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.record.__name__)
    assert constant == stem.upper()
    assert kind.apply.__name__ == f"apply_{stem.lower()}"
    assert kind.apply.__module__ == kind.record.__module__ == f"ledger.rules.{module}"


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_keeps_within_what_an_envelope_and_a_name_may_be(name: str) -> None:
    assert KIND_NAME.fullmatch(name)
    assert 0 < KINDS[name].bytes_max <= ENVELOPE_BYTES_MAX
    assert KINDS[name].since in RULES_VERSIONS
    assert {since for since, _ in KINDS[name].changed} <= set(RULES_VERSIONS)


def test_a_rule_holds_from_its_version_on_and_what_is_unknown_has_none() -> None:
    assert rule_at(1, "voucher.transfer") is KINDS["voucher.transfer"].apply
    assert rule_at(0, "voucher.transfer") is None
    assert rule_at(1, "voucher.burn") is None


def test_every_running_sum_and_every_counter_says_so() -> None:
    """Else each block would have nearly all pending transactions judged again."""
    for table in TABLES.values():
        if table.record in (Amount, Counter):
            assert table.running_sum, table.name


def test_the_pages_that_say_how_many_kinds_there_are_say_it_right() -> None:
    said: dict[str, int] = {}
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        for number in re.findall(r"\b(?:all|the)\s+(\d+)\s+kinds\b", text, re.IGNORECASE):
            said[path.relative_to(ROOT).as_posix()] = int(number)
    assert len(said) >= 5
    assert said == dict.fromkeys(said, len(KINDS))


def test_codes_without_a_number_are_words_of_their_own() -> None:
    codes = [one.code for one in all_inadmissible()]
    assert len(set(codes)) == len(codes)
    assert catalogue.KINDS.keys().isdisjoint(codes)
