"""The specification and the code say the same: codes, kinds, fields, tables, clause numbers."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ledger.blocks import BlockRecord
from ledger.catalogue import KINDS
from ledger.encoding.codec import Record
from ledger.inadmissible import all_inadmissible
from ledger.rules.governance import Action
from ledger.rules.refusals import all_refusals
from ledger.tables import TABLES

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "docs" / "spec"
PAGES = {
    name: (SPEC / f"{name}.md").read_text(encoding="utf-8")
    for name in (
        "wire",
        "normal",
        "transactions",
        "kinds",
        "rules",
        "blocks",
        "state",
        "log",
        "node",
    )
}


def test_every_code_stands_in_the_table_with_its_number_and_values() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| .* \| (.*) \|$", PAGES["transactions"], re.M)
    written = [(int(number), code, re.findall(r"`(\w+)`", values)) for number, code, values in rows]
    assert written == [
        (one.number, one.code, [field.name for field in fields(one)])  # type: ignore[arg-type]
        for one in all_refusals()
    ]


def test_every_inadmissible_code_stands_in_its_table_in_order_with_its_values() -> None:
    text = PAGES["transactions"].partition("**X7")[2].partition("## Codes")[0]
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", text, re.M)
    written = [(code, re.findall(r"`(\w+)`", values)) for code, values in rows]
    assert written == [
        (one.code, [field.name for field in fields(one)])  # type: ignore[arg-type]
        for one in all_inadmissible()
    ]


def sections() -> dict[str, str]:
    """Return the text of every kind's section, by the kind's name."""
    parts = re.split(r"^### T\d+ `([a-z_.]+)`", PAGES["kinds"], flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def names_of_fields(record: type) -> tuple[str, ...]:
    """Return the fields of an operation; of one with several acts, each act's in order."""
    act = record.__annotations__.get("act")
    if act is None:
        return tuple(record.__struct_fields__)  # type: ignore[attr-defined]
    found: list[str] = []
    for one in get_args(act):
        found += [str(one.__struct_config__.tag), *one.__struct_fields__]
    return ("act", *found)


def test_the_page_has_exactly_the_kinds_of_the_code() -> None:
    assert sorted(sections()) == sorted(KINDS)


def test_every_kind_lists_exactly_its_fields_in_order() -> None:
    for kind, declared in KINDS.items():
        text = re.split(r"\n(?:1\. |\*rotate\*|\*decide\*|\*instructed\*)", sections()[kind])[0]
        place = 0
        for name in names_of_fields(declared.record):
            found = text.find(f"`{name}`", place)
            assert found >= 0, f"{kind}: no {name} after {text[:place]!r}"
            place = found + 1


def test_every_field_on_the_page_is_in_the_code() -> None:
    """A name in back-quotes before the checks is a field, or a value of one."""
    known = {"act", *(word for kind in KINDS.values() for word in words_of(kind.record))}
    for kind, section in sections().items():
        head = re.split(r"\n(?:1\. |\*rotate\*|\*decide\*|\*instructed\*)", section)[0]
        written = re.sub(r"one of `[^`]*`|`\[[^`]*`", "", head, flags=re.S)
        for name in re.findall(r"`([a-z_]+)`", written):
            assert name in known, f"{kind}: {name} is no field"


def words_of(type_: Any) -> set[str]:
    """Return every field name, act and literal text within a record's types."""
    if get_origin(type_) is Literal:
        return {word for word in get_args(type_) if isinstance(word, str)}
    found: set[str] = set()
    if isinstance(type_, type) and issubclass(type_, Record):
        found |= {*type_.__struct_fields__, str(type_.__struct_config__.tag)}
        for field in get_type_hints(type_, include_extras=True).values():
            found |= words_of(field)
    for argument in get_args(type_):
        found |= words_of(argument)
    return found


def codes_of(text: str) -> set[int]:
    """Return the codes that a page's checks name."""
    found: set[int] = set()
    for brackets in re.findall(r"\(([^()]*)\)", text):
        found |= {int(number) for number in re.findall(r"\b([1-9]\d\d)\b(?!,\d)", brackets)}
    return found


def test_every_code_belongs_to_a_check_of_a_kind() -> None:
    known = {one.number for one in all_refusals()}
    named = codes_of(PAGES["kinds"]) | codes_of(PAGES["rules"])
    assert named - known == set(), "on the page only"
    assert known - named == set(), "in the code only"


def test_every_action_of_governance_is_described() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)`: `\[", PAGES["rules"], re.M)
    assert rows == [str(one.__struct_config__.tag) for one in get_args(Action)]


def test_every_table_of_records_is_described() -> None:
    written = re.findall(r"^\| `([a-z-]+)` \| ", PAGES["blocks"], re.M)
    assert sorted(written) == sorted(TABLES)


def test_every_running_sum_is_named_where_the_pool_passes_over_it() -> None:
    text = PAGES["node"].partition("Running sums and counters")[2].partition("The proposer")[0]
    written = re.findall(r"`([a-z-]+)`", text)
    assert written == sorted(table.name for table in TABLES.values() if table.running_sum)


def test_the_kinds_that_a_pause_does_not_stop_are_named() -> None:
    text = PAGES["rules"].partition("**R10.1**")[2].partition("**R10.2**")[0]
    written = re.findall(r"`([a-z_]+\.[a-z_]+)`", text)
    assert sorted(written) == sorted(
        name for name, kind in KINDS.items() if kind.allowed_while_paused
    )


def test_the_record_lists_its_fields_in_order() -> None:
    text = PAGES["blocks"].partition("**B4")[2].partition("**B5")[0]
    names = [name.replace("_", " ") for name in BlockRecord.__struct_fields__]
    cells = "\n".join(re.findall(r"^\| ([^|]*) \|", text, re.M))
    found = [max(cells.find(name), cells.find(name.replace(" ", "_"))) for name in names]
    assert -1 not in found
    assert found == sorted(found)


CLAUSE = re.compile(r"\b(?:[WXTRGBLSIAVY]\d+(?:\.\d+)?)\b")


def defined(page: str) -> set[str]:
    """Return the clauses that a page defines: in bold, as a heading, or numbered below a kind."""
    found: set[str] = set()
    for line in page.splitlines():
        for bold in re.findall(r"\*\*([^*]+)\*\*", line):
            found |= set(CLAUSE.findall(bold))
        if line.startswith("#"):
            found |= set(CLAUSE.findall(line))
    for kind in re.split(r"^### ", page, flags=re.M)[1:]:
        name = kind.split(" ", 1)[0]
        found |= {f"{name}.{number}" for number in re.findall(r"^(\d+)\. ", kind, re.M)}
    return found


def test_every_clause_that_the_ledger_cites_exists() -> None:
    known = set().union(*(defined(page) for page in PAGES.values()))
    cited: dict[str, str] = {}
    for path in sorted((ROOT / "ledger").rglob("*.py")):
        for clause in CLAUSE.findall(path.read_text(encoding="utf-8")):
            cited[clause] = path.name
    assert len(cited) > 40
    assert {clause: name for clause, name in cited.items() if clause not in known} == {}
