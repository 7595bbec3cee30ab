"""The log as its readers' tools fetch it (Y9): the paths, the bytes and the headers."""

import gzip
from pathlib import Path

import pytest

from ledger.encoding import tiles
from tests import builders
from tests.api.publishing import publish, rooted
from tests.api.world import World, store_of
from tests.reference import tiles as naive

pytestmark = pytest.mark.anyio

FOREVER = "public, max-age=31536000, immutable"


def grow(world: World, blocks: int) -> list[bytes]:
    """Add blocks of ten mints each; return the entries of the log."""
    size = world.chain.ledger.last().log_size
    for number in range(blocks):
        raws = [builders.mint(("firm-a", size + number), ("firm-b", one)) for one in range(1, 11)]
        world.node.commit(*raws)
    return list(store_of(world.chain).entries(0, 10**6))


async def test_every_tile_and_bundle_at_several_widths_is_that_of_the_definition(
    world: World,
) -> None:
    entries = grow(world, 30)
    made = naive.tiles(entries)
    count = 0
    for level, index in made:
        data, whole = made[level, index], len(made[level, index]) // 32
        for width in {1, (whole + 1) // 2, whole}:
            tile = tiles.Tile(level=level, index=index, width=width)
            answer = await world.client.get(f"/log/{tile.path()}")
            assert (answer.status_code, answer.content) == (200, data[: 32 * width])
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["cache-control"] == FOREVER
            assert "content-encoding" not in answer.headers
            count += 1
            if level == 0:
                bundle = tiles.Bundle(index=index, width=width)
                answer = await world.client.get(f"/log/{bundle.path()}")
                framed = naive.bundle(entries, index, width)
                assert (answer.status_code, answer.content) == (200, framed)
                assert answer.headers["content-type"] == "application/octet-stream"
                assert answer.headers["cache-control"] == FOREVER
    assert len(made) == 3
    assert count == 7


async def test_a_partial_tile_stays_what_it_was_while_the_log_grows(world: World) -> None:
    paths = ("/log/tile/0/000.p/3", "/log/tile/entries/000.p/3")
    before = [(await world.client.get(path)).content for path in paths]
    grow(world, 30)
    assert [(await world.client.get(path)).content for path in paths] == before
    assert all(before)


async def test_what_the_log_does_not_have_yet_is_missing_until_it_has_it(world: World) -> None:
    size = world.chain.ledger.last().log_size
    path = f"/log/tile/entries/000.p/{size + 1}"
    missing = [path, f"/log/tile/0/000.p/{size + 1}", "/log/tile/0/000", "/log/tile/entries/001"]
    for one in [*missing, "/log/tile/1/000.p/1", "/log/tile/0/x005/000"]:
        assert await world.problem(one) == (404, "not_found"), one
    world.node.commit(builders.enrol("firm-c"))
    assert (await world.client.get(path)).status_code == 200


MALFORMED = (
    *("0/0", "0/00", "0/0000", "00/000", "64/000", "-1/000", "0/000.p/0", "0/000.p/256"),
    *("0/000.p/01", "0/000.p", "0/000.p/", "0/000/", "0/x000/001", "entries", "entries/0", ""),
    *("entries/000.p/257", "8/entries/000", "0/%30%30%30%0a", "0/" + "9" * 300, "0/..%2f000"),
)


@pytest.mark.parametrize("rest", MALFORMED)
async def test_a_malformed_path_is_missing_and_nothing_else(world: World, rest: str) -> None:
    assert await world.problem(f"/log/tile/{rest}") == (404, "not_found")


async def test_a_missing_tile_is_not_cached(world: World) -> None:
    answer = await world.client.get("/log/tile/0/000")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("accepted", "is_gzip"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("gzip;q=1.0", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000", False),
        ("identity", False),
        ("", False),
        ("x-gzipped", False),
    ],
)
async def test_bundles_are_compressed_for_those_who_take_it(
    world: World, accepted: str, is_gzip: bool
) -> None:
    request = world.client.build_request(
        "GET", "/log/tile/entries/000.p/3", headers={"Accept-Encoding": accepted}
    )
    answer = await world.client.send(request, stream=True)
    raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers.get("content-encoding", "") == ("gzip" if is_gzip else "")
    entries = list(store_of(world.chain).entries(0, 3))
    assert (gzip.decompress(raw) if is_gzip else raw) == naive.bundle(entries, 0, 3)


async def test_tiles_are_hashes_and_never_compressed(world: World) -> None:
    answer = await world.client.get("/log/tile/0/000.p/3", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


async def test_the_checkpoint_is_the_nodes_file_and_missing_until_there_is_one(
    world: World, tmp_path: Path
) -> None:
    assert await world.problem("/log/checkpoint") == (404, "not_found")
    for amount in (1_000, 2_000):
        world.node.commit(builders.mint(("firm-a", amount)))
        rooted(world)
        head = publish(world, tmp_path / "checkpoint")
        answer = await world.client.get("/log/checkpoint")
        assert (answer.status_code, answer.content) == (200, head)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["cache-control"] == "public, max-age=2"


async def test_no_head_is_shown_that_the_store_does_not_reach(world: World, tmp_path: Path) -> None:
    rooted(world)
    publish(world, tmp_path / "checkpoint", more=1)
    assert await world.problem("/log/checkpoint") == (404, "not_found")


async def test_a_head_request_says_what_a_get_would(world: World, tmp_path: Path) -> None:
    publish(world, tmp_path / "checkpoint")
    for path in ("checkpoint", "tile/0/000.p/2", "tile/entries/000.p/2", "tile/0/000", "tile/x"):
        got = await world.client.get(f"/log/{path}")
        asked = await world.client.head(f"/log/{path}")
        assert (asked.status_code, asked.headers) == (got.status_code, got.headers), path


async def test_nothing_can_be_sent_to_the_log(world: World) -> None:
    for path in ("/log/checkpoint", "/log/tile/0/000.p/1"):
        answer = await world.client.post(path, content=b"x")
        assert answer.status_code == 405
