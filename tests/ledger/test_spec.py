"""The specification and the code say the same: codes, kinds, fields, tables, clause numbers."""

import re
from dataclasses import fields
from pathlib import Path

from ledger.blocks import BlockRecord
from ledger.rules import authority, centres, claims, parties, programmes, settlement, vouchers
from ledger.rules.refusals import all_refusals
from ledger.transactions import RULES
from ledger.view import Table

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "docs" / "spec"
PAGES = {
    name: (SPEC / f"{name}.md").read_text(encoding="utf-8")
    for name in ("wire", "transactions", "blocks")
}


def test_every_code_stands_in_the_table_with_its_number_and_values() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| .* \| (.*) \|$", PAGES["transactions"], re.M)
    written = [(int(number), code, re.findall(r"`(\w+)`", values)) for number, code, values in rows]
    assert written == [
        (one.number, one.code, [field.name for field in fields(one)])  # type: ignore[arg-type]
        for one in all_refusals()
    ]


def section(kind: str) -> str:
    """Return the text of a kind's section."""
    found = re.search(
        rf"^### T\d `{re.escape(kind)}`.*?(?=^##)", PAGES["transactions"], re.M | re.S
    )
    assert found is not None, f"no section of {kind}"
    return found.group()


def test_every_kind_lists_its_fields_in_order() -> None:
    for rule in RULES:
        kind = str(rule.__struct_config__.tag)
        text = section(kind).partition("\n1. ")[0]
        places = [text.find(f"`{name}`") for name in rule.__struct_fields__]
        assert -1 not in places, f"{kind}: {rule.__struct_fields__}"
        assert places == sorted(places), f"{kind}: fields in another order"


def test_every_table_of_records_is_described() -> None:
    modules = (authority, centres, claims, parties, programmes, settlement, vouchers)
    tables = [
        value for module in modules for value in vars(module).values() if isinstance(value, Table)
    ]
    names = {table.name for table in tables} | {"parameters", "validators"}
    written = set(re.findall(r"^\| `([a-z-]+)` \| ", PAGES["blocks"], re.M))
    assert written == names


def test_the_record_lists_its_fields_in_order() -> None:
    text = PAGES["blocks"].partition("**B4")[2].partition("**B5")[0]
    names = [name.replace("_", " ") for name in BlockRecord.__struct_fields__]
    cells = "\n".join(re.findall(r"^\| ([^|]*) \|", text, re.M))
    found = [max(cells.find(name), cells.find(name.replace(" ", "_"))) for name in names]
    assert -1 not in found
    assert found == sorted(found)


CLAUSE = re.compile(r"\b(?:[WXTRGBLSIA]\d+(?:\.\d+)?)\b")


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
