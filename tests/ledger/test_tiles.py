"""Tiles (Y5): paths, contents and proofs, against the definition and against Go."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ledger.encoding import merkle, tiles
from ledger.encoding.text import SIZE_MAX
from ledger.encoding.tiles import (
    BUNDLE_BYTES_MAX,
    ENTRY_BYTES_MAX,
    PATH_CHARACTERS_MAX,
    TILE_WIDTH,
    Bundle,
    MalformedTile,
    Tile,
    TileNodes,
)
from tests.ledger.log_vectors import GO, SIZE, entry, node


def fetch(tile: Tile) -> bytes:
    """Serve a tile of the tree."""
    return tiles.tile_bytes(tile, node)


def root_of(size: int) -> bytes:
    return tiles.root(node, size=size)


def test_a_tree_of_70000_has_the_tiles_of_the_specification() -> None:
    found = list(tiles.tiles_of(70_000))
    widths = [(tile.level, tile.width) for tile in found]
    assert widths.count((0, 256)) == 273
    assert [pair for pair in widths if pair != (0, 256)] == [
        (0, 112), (1, 256), (1, 17), (2, 1),
    ]  # fmt: skip
    assert [(tile.level, tile.width) for tile in tiles.tiles_of(256)] == [(0, 256), (1, 1)]
    assert [len(list(tiles.tiles_of(size))) for size in (0, 1, 255, 257)] == [0, 1, 1, 3]
    assert sum(bundle.width for bundle in tiles.bundles_of(70_000)) == 70_000


def test_go_makes_the_same_tiles() -> None:
    whole, some_tiles, count = hashlib.sha256(), {}, 0
    for tile in tiles.tiles_of(SIZE):
        data = fetch(tile)
        whole.update(tile.path().encode() + b"\n" + data)
        count += 1
        if tile.path() in GO["tiles"]:
            some_tiles[tile.path()] = hashlib.sha256(data).hexdigest()
    assert some_tiles == GO["tiles"]
    assert (count, whole.hexdigest()) == (GO["tile_count"], GO["all_tiles"])


def test_a_tile_above_holds_the_roots_of_full_tiles_below() -> None:
    first = tiles.tile_hashes(fetch(Tile(level=1, index=0, width=256)), 256)
    for index in (0, 1, 255):
        below = tiles.tile_hashes(fetch(Tile(level=0, index=index, width=256)), 256)
        assert merkle.subtree_root(below) == first[index]


def test_paths_are_those_of_the_specification_and_of_go() -> None:
    assert Tile(level=0, index=1_234_067, width=256).path() == "tile/0/x001/x234/067"
    assert Bundle(index=5, width=7).path() == "tile/entries/005.p/7"
    for line in GO["paths"]:
        level, index, width, path = line.split(" ")
        tile = Tile(level=int(level), index=int(index), width=int(width))
        assert (tile.path(), tiles.parse_path(path)) == (path, tile)


WIDTHS = some.integers(1, TILE_WIDTH)
HIGHER = some.builds(Tile, level=some.integers(0, 5), index=some.integers(0, 9999), width=WIDTHS)
TILES = HIGHER | some.builds(
    Tile, level=some.just(0), index=some.integers(0, 2**55 - 2), width=WIDTHS
)
BUNDLES = some.builds(Bundle, index=some.integers(0, 2**55 - 2), width=WIDTHS)


@given(TILES | BUNDLES)
def test_a_path_leads_back_to_its_tile(named: Tile | Bundle) -> None:
    assert tiles.parse_path(named.path()) == named


NO_PATHS = [
    *("", "tile", "tile/0", "tile/0/", "tile//000", "/tile/0/000", "tile/0/000/", "file/0/000"),
    *("tile/00/000", "tile/+0/000", "tile/x/000", "tile/64/000", "tile/8/000", "tile/-1/000"),
    *("tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/1000", "tile/0/x001", "tile/0/001/000"),
    *("tile/0/x000/001", "tile/0/x001/x000", "tile/0/X001/000", "tile/0/0x1", "tile/0/abc"),
    *("tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/257", "tile/0/000.p/01"),
    *("tile/0/000.p/", "tile/0/000.p", "tile/0/000.p/1/", "tile/0/000.p/1.p/1", "tile/0/000p/1"),
    *("tile/entry/000", "tile/entries/00", "tile/0/\u0660\u0660\u0660", "tile/0/000\n"),
    "tile/9223372036854775807/000",
    "tile/0/" + "x000/" * 10 + "000",
    "tile/0/" + "x999/" * 6 + "999",
    "tile/0/" + "9" * PATH_CHARACTERS_MAX,
]


@pytest.mark.parametrize("path", NO_PATHS)
def test_no_tile_has_the_path(path: str) -> None:
    with pytest.raises(MalformedTile):
        tiles.parse_path(path)


@given(some.text(alphabet="tile/0123456789x.pents", max_size=PATH_CHARACTERS_MAX + 2))
def test_a_path_that_is_read_is_written_back(tail: str) -> None:
    for path in (tail, f"tile/{tail}", f"tile/0/{tail}"):
        try:
            assert tiles.parse_path(path).path() == path
        except MalformedTile:
            continue


def test_a_tree_determines_its_tiles_and_narrower_ones_and_no_others() -> None:
    for size in (1, 255, 256, 257, 65_535, 65_536, SIZE):
        for tile in tiles.tiles_of(size):
            assert tiles.is_within(tile, size)
            start = tile.index * TILE_WIDTH
            hashes = size // TILE_WIDTH**tile.level
            wider = Tile(level=tile.level, index=tile.index, width=hashes - start + 1)
            assert not tiles.is_within(wider, size)
    assert tiles.is_within(Bundle(index=2**55 - 1, width=255), SIZE_MAX)
    assert not tiles.is_within(Bundle(index=2**55 - 1, width=256), SIZE_MAX)


@given(some.lists(some.binary(max_size=300), min_size=1, max_size=20))
def test_bundles_are_read_as_they_are_written(entries: list[bytes]) -> None:
    data = tiles.bundle_bytes(entries)
    assert tiles.bundle_entries(data, len(entries)) == tuple(entries)
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(MalformedTile):
            tiles.bundle_entries(wrong, len(entries))
    with pytest.raises(MalformedTile):
        tiles.bundle_entries(data, len(entries) + 1)


def test_the_longest_entry_fits_a_bundle_and_none_longer() -> None:
    longest = bytes(ENTRY_BYTES_MAX)
    assert tiles.bundle_entries(tiles.bundle_bytes([longest]), 1) == (longest,)
    assert len(tiles.bundle_bytes([longest] * TILE_WIDTH)) == BUNDLE_BYTES_MAX
    with pytest.raises(OverflowError):
        tiles.bundle_bytes([longest + b"x"])


def test_a_tile_of_another_length_is_refused() -> None:
    for length in (0, 31, 63, 65, 96):
        with pytest.raises(MalformedTile):
            tiles.tile_hashes(bytes(length), 2)


def test_roots_from_tiles_are_those_of_the_frontier_at_every_size_to_600() -> None:
    frontier = merkle.Frontier()
    for size in range(601):
        assert tiles.root(TileNodes(size=size, fetch=fetch), size=size) == frontier.root()
        frontier.append(node(0, size))


def test_inclusion_proofs_from_tiles_are_those_of_the_leaves_at_every_size_to_600() -> None:
    dice = random.Random(1)
    leaves = [node(0, index) for index in range(600)]
    compared = 0
    for size in range(1, 601):
        reader = TileNodes(size=size, fetch=fetch)
        for index in sorted({0, size - 1, *(dice.randrange(size) for _ in range(2))}):
            proof = tiles.inclusion_proof(reader, index=index, size=size)
            assert proof == merkle.inclusion_proof(leaves[:size], index)
            compared += 1
    assert compared > 2_000


def holds(size1: int, size2: int, proof: list[bytes]) -> bool:
    return merkle.verify_consistency(
        size1=size1, size2=size2, root1=root_of(size1), root2=root_of(size2), proof=proof
    )


def test_consistency_proofs_from_tiles_hold_between_sizes_to_600() -> None:
    dice = random.Random(2)
    for size2 in range(1, 601):
        reader = TileNodes(size=size2, fetch=fetch)
        for size1 in sorted({1, size2, *(dice.randint(1, size2) for _ in range(3))}):
            assert holds(size1, size2, tiles.consistency_proof(reader, size1=size1, size2=size2))


def test_proofs_from_tiles_hold_at_random_sizes_to_70000() -> None:
    dice = random.Random(3)
    for _ in range(60):
        size2 = dice.randint(601, SIZE)
        size1, index = dice.randint(1, size2), dice.randrange(size2)
        reader = TileNodes(size=size2, fetch=fetch)
        assert holds(size1, size2, tiles.consistency_proof(reader, size1=size1, size2=size2))
        assert merkle.verify_inclusion(
            leaf=merkle.leaf_hash(entry(index)),
            index=index,
            size=size2,
            proof=tiles.inclusion_proof(reader, index=index, size=size2),
            expected_root=root_of(size2),
        )


def test_go_makes_the_same_proofs() -> None:
    assert root_of(SIZE).hex() == GO["root"]
    for case in GO["inclusion"]:
        reader = TileNodes(size=case["size"], fetch=fetch)
        proof = tiles.inclusion_proof(reader, index=case["index"], size=case["size"])
        assert [one.hex() for one in proof] == case["proof"]
    for case in GO["consistency"]:
        reader = TileNodes(size=case["size2"], fetch=fetch)
        proof = tiles.consistency_proof(reader, size1=case["size1"], size2=case["size2"])
        assert [one.hex() for one in proof] == case["proof"]


def test_a_reader_fetches_each_tile_once_and_only_tiles_of_its_tree() -> None:
    fetched: list[Tile] = []

    def counting(tile: Tile) -> bytes:
        fetched.append(tile)
        return fetch(tile)

    reader = TileNodes(size=SIZE, fetch=counting)
    for index in (0, 1, 255, SIZE - 1):
        tiles.inclusion_proof(reader, index=index, size=SIZE)
    assert len(fetched) == len(set(fetched)) < 10
    assert set(fetched) <= set(tiles.tiles_of(SIZE))


def test_one_wrong_bit_of_any_tile_changes_the_root_or_is_in_no_proof() -> None:
    size = 600
    dice = random.Random(4)
    for tile in tiles.tiles_of(size):
        for _ in range(8):
            place = dice.randrange(tile.width * 32)

            def lying(asked: Tile, bad: Tile = tile, place: int = place) -> bytes:
                data = bytearray(fetch(asked))
                if asked == bad:
                    data[place] ^= 1
                return bytes(data)

            # Every hash of the tile takes part in the audit path of its neighbour.
            beside = ((tile.index * 256 + place // 32) ^ 1) << (8 * tile.level)
            if beside >= size:
                continue
            proof = tiles.inclusion_proof(
                TileNodes(size=size, fetch=lying), index=beside, size=size
            )
            assert not merkle.verify_inclusion(
                leaf=node(0, beside),
                index=beside,
                size=size,
                proof=proof,
                expected_root=root_of(size),
            )
