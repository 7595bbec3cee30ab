"""The page that clients are written from, docs/spec/http.md, against what the server takes."""

import re
from pathlib import Path

import pytest

from api.problems import CODES
from tests.api.world import World

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "http.md").read_text(encoding="utf-8")
PAGING = {"limit", "cursor"}


def rows(chapter: str) -> list[list[str]]:
    """Return the cells of a chapter's first table, without its head."""
    text = PAGE[PAGE.index(f"## {chapter}.") :]
    table = re.search(r"(?:^\|.*\n)+", text, re.M)
    assert table is not None
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[0].splitlines()[2:]]


async def parameters_of(world: World) -> dict[str, set[str]]:
    """Return the query parameters that each address takes, by its path."""
    paths = (await world.get("/openapi.json"))["paths"]
    return {
        path: {one["name"] for one in get.get("parameters", []) if one["in"] == "query"}
        for path, methods in paths.items()
        if (get := methods.get("get")) is not None
    }


async def test_records_have_the_filters_of_the_page_and_no_others(world: World) -> None:
    taken = await parameters_of(world)
    seen = set()
    for address, answers, filters in rows("H4"):
        of_list, _, of_one = filters.partition("of one: ")
        path = address.strip("`")
        listed, single = re.sub(r"\[.*\]", "", path), re.sub(r"[\[\]]", "", path)
        expected = set(re.findall(r"`(\w+)`", of_list))
        assert taken[listed] - PAGING == expected, address
        seen.add(listed)
        if single != listed:
            assert taken[single] == set(re.findall(r"`(\w+)`", of_one)), address
            seen.add(single)
        for other in re.findall(r"also `(/v1/[^`]*)`", answers):
            assert taken[other] - PAGING == expected
            seen.add(other)
    of_records = {
        path
        for path in taken
        if not re.match(
            r"/v1/(transactions|blocks|genesis|status|exports|receipts|policy|proofs|events)", path
        )
        and path.startswith("/v1/")
    }
    assert seen == of_records


async def test_every_list_has_pages(world: World) -> None:
    for path, taken in (await parameters_of(world)).items():
        assert taken & PAGING in (set(), PAGING), path


def test_the_page_has_every_code_with_its_status() -> None:
    told = {code.strip("`"): int(status) for code, status, _ in rows("H2")}
    assert told == {code: known.status for code, known in CODES.items()}


async def test_every_parameter_stands_on_the_page(world: World) -> None:
    for path, taken in (await parameters_of(world)).items():
        for name in taken:
            assert re.search(rf"[`?&]{name}\b", PAGE), (path, name)
