"""What the pages at the top name is there: clauses, tests, files."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "docs" / "spec"
PAGES = ("README.md", "SECURITY.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_path_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    paths = re.findall(r"`((?:\w+/)+[\w.]*)`", text)
    assert len(links) + len(paths) > 3
    assert [name for name in (*links, *paths) if not (ROOT / name).exists()] == []


def clauses() -> list[tuple[str, str]]:
    """Return what SECURITY.md cites, as (page, clause)."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    cells = [line.split("|")[3] for line in text.splitlines() if line.count("|") == 5]
    found, page = [], ""
    for word in re.findall(r"[\w.]+\.md|[A-Z][\d.]*\d|[A-Z]\b", " ".join(cells[2:])):
        if word.endswith(".md"):
            page = word
        else:
            found.append((page, word))
    assert len(found) > 20
    return found


@pytest.mark.parametrize(("page", "clause"), clauses())
def test_a_clause_that_is_promised_stands_on_its_page(page: str, clause: str) -> None:
    text = (SPEC / page).read_text(encoding="utf-8")
    chapter, _, number = clause.partition(".")
    stated = (
        rf"^## {clause}[. ]",
        rf"^(- )?\*\*{re.escape(clause)}\b",
        # Clauses of the node's pages are numbered within their chapter.
        rf"^## {chapter} (?:(?!^## ).)*?^{number}\. ",
    )
    assert any(re.search(pattern, text, re.M | re.S) for pattern in stated)
