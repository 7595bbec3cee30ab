"""The table of what went wrong elsewhere names tests that there are, for every line."""

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "reliability.md"
LINES = 21
WAYS = {"planted", "transcript", "control", "direct"}
ROW = re.compile(r"\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    number: int
    what: str
    tests: tuple[str, ...]
    ways: tuple[str, ...]


def rows_of(page: str) -> list[Row]:
    """Return the lines of the table on a page."""
    _, _, section = page.partition("\n## What went wrong elsewhere\n")
    table, _, _ = section.partition("\n## ")
    return [
        Row(
            number=int(number),
            what=what,
            tests=tuple(re.findall(r"`([^`]+)`", tests)),
            ways=tuple(ways.split(", ")),
        )
        for number, what, tests, ways in ROW.findall(table)
    ]


def faults_of(rows: list[Row]) -> list[str]:
    """Return what is wrong with the table, by line."""
    found = []
    if [row.number for row in rows] != list(range(1, LINES + 1)):
        found.append(f"lines {[row.number for row in rows]}")
    for row in rows:
        if not row.tests or not set(row.ways) <= WAYS:
            found.append(f"{row.number}: {len(row.tests)} tests, shown as {row.ways}")
        found += [f"{row.number}: no {name}" for name in row.tests if not is_defined(name)]
    return found


def is_defined(name: str) -> bool:
    """Return whether a file has the function that a test's name begins with."""
    file, _, function = name.partition("::")
    path = TESTS / file
    if not path.is_file():
        return False
    defined = ast.parse(path.read_text()).body
    return function.partition("[")[0] in {
        one.name for one in defined if isinstance(one, ast.FunctionDef)
    }


def test_each_of_the_21_lines_names_tests_that_there_are() -> None:
    assert faults_of(rows_of(PAGE.read_text())) == []


@pytest.mark.ci
def test_every_named_test_is_collected_with_its_parameters() -> None:
    names = [name for row in rows_of(PAGE.read_text()) for name in row.tests]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run([*command, *names], cwd=TESTS, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2_000:] + ran.stderr[-2_000:]
    collected = [line for line in ran.stdout.splitlines() if "::" in line]
    assert len(collected) >= len(names) >= LINES


def test_a_lost_line_and_a_test_that_is_gone_are_noticed() -> None:
    page = PAGE.read_text()
    lost = re.sub(r"\n\| 8 \|[^\n]*", "", page)
    assert len(faults_of(rows_of(lost))) == 1
    gone = page.replace("::test_no_two_lists_of_parts_share_a_frame", "::test_nothing")
    assert faults_of(rows_of(gone)) == ["9: no ledger/test_signatures.py::test_nothing"]
