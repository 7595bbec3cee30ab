"""docs/adding.md is true: what it names is there, and a new kind touches no more than it says."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.catalogue import KINDS
from tests.test_tidy import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
PRODUCTION_FILES_MAX = 4
"""That a new kind touches, besides words and specification."""
WORDS = ("words/locales/en.json", "words/locales/zh.json")


@dataclass(frozen=True)
class Step:
    """A numbered step of the page."""

    heading: str
    list: int
    """Which of the page's lists."""
    number: int
    path: str
    names: tuple[str, ...]
    """What else stands in back-quotes."""

    def __str__(self) -> str:
        return f"{self.heading} {self.list}.{self.number}"


def steps() -> list[Step]:
    """Return the steps of all lists of the page, in order."""
    found: list[Step] = []
    for section in re.split(r"^## ", PAGE, flags=re.M)[1:]:
        heading = section.partition("\n")[0]
        for number, text in re.findall(r"^(\d+)\. (.+?)(?=^\d+\. |\n\n|\Z)", section, re.M | re.S):
            path, *names = re.findall(r"`([^`]+)`", text)
            assert text.startswith(f"`{path}`: "), f"a step begins with its file: {text}"
            before = found[-1].list if found else 0
            this = before + 1 if number == "1" else before
            found.append(Step(heading, this, int(number), path, tuple(names)))
    return found


STEPS = steps()


def test_steps_are_counted_on_from_one_in_each_list() -> None:
    by_list: dict[int, list[int]] = {}
    for step in STEPS:
        by_list.setdefault(step.list, []).append(step.number)
    assert len(by_list) >= 7
    for numbers in by_list.values():
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_step_names_what_stands_in_its_file(step: Step) -> None:
    paths = [step.path, *(name for name in step.names if "/" in name)]
    text = "".join((ROOT / path).read_text(encoding="utf-8") for path in paths)
    for name in step.names:
        if "/" not in name:
            assert re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text), f"{step.path}: {name}"


def test_every_file_that_the_page_names_exists() -> None:
    paths = re.findall(r"`([\w/]+/[\w.]+)`", PAGE)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_a_new_kind_touches_no_production_file_that_the_page_leaves_out() -> None:
    """A file that knows all kinds, or all but one or two, would have to know the next one too."""
    know_all = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.suffix in (".py", ".js", ".html", ".json") and package != "trials":
                text = path.read_text(encoding="utf-8")
                known = [name for name in KINDS if is_known(name, text)]
                if len(known) >= len(KINDS) - 2:
                    know_all.add(path.relative_to(ROOT).as_posix())
    first = [step.path for step in STEPS if step.list == 1]
    assert {step.path for step in STEPS if step.list == 2} == set(WORDS)
    assert know_all <= {*first, *WORDS}, "the page leaves out a file"
    assert know_all >= set(WORDS), "what is looked for is found"
    assert len(set(first)) == len(first) <= PRODUCTION_FILES_MAX


def is_known(kind: str, text: str) -> bool:
    """Return whether a text speaks of a kind, by its name or its record."""
    record = KINDS[kind].record.__name__
    return re.search(rf"\b{record}\b|\b{re.escape(kind)}\b", text) is not None
