"""The tiles that a store keeps (Y9, S4): those of the definition, for ever, and all or nothing."""

import hashlib
import random
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ledger.encoding import merkle, tiles
from ledger.encoding.tiles import HASH_BYTES, TILE_WIDTH, Bundle, Tile
from ledger.ledger import Ledger
from ledger.store import lmdb_store, restore
from ledger.store.lmdb_store import LmdbReader, LmdbStore, Snapshot
from tests import builders
from tests.builders import Chain
from tests.ledger import synthetic
from tests.ledger.log_vectors import GO, SIZE, entry
from tests.reference import tiles as naive

MAP_BYTES = 2**26
SIZES = (0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537)


def grown(leaves: list[bytes], pieces: list[int]) -> dict[tuple[int, int], bytes]:
    """Return the tiles of a tree that grew piece by piece."""
    found: dict[tuple[int, int], bytes] = {}
    size = 0
    for piece in [*pieces, len(leaves)]:
        more = leaves[size : size + piece]
        found.update(tiles.grow(lambda *place: found[place], size=size, leaves=more))
        size += len(more)
    return found


@pytest.mark.parametrize("size", SIZES)
def test_tiles_grow_to_those_of_the_definition(size: int) -> None:
    entries = [entry(index) for index in range(size)]
    leaves = [merkle.leaf_hash(data) for data in entries]
    dice, expected = random.Random(size), naive.tiles(entries)
    assert grown(leaves, []) == expected
    assert grown(leaves, [dice.choice((1, 3, 255, 256, 700, 5_000)) for _ in range(40)]) == expected
    assert sorted(expected) == sorted((one.level, one.index) for one in tiles.tiles_of(size))


@settings(max_examples=60, deadline=None)
@given(size=some.integers(0, 1_500), pieces=some.lists(some.integers(0, 600), max_size=8))
def test_however_a_tree_grows_its_tiles_are_the_same(size: int, pieces: list[int]) -> None:
    leaves = [merkle.leaf_hash(entry(index)) for index in range(size)]
    assert grown(leaves, pieces) == grown(leaves, [])


def test_go_makes_the_tiles_that_grow() -> None:
    leaves = [merkle.leaf_hash(entry(index)) for index in range(SIZE)]
    found, whole = grown(leaves, [1, 4_000, 60_000]), hashlib.sha256()
    for tile in tiles.tiles_of(SIZE):
        whole.update(tile.path().encode() + b"\n" + found[tile.level, tile.index])
    assert (len(found), whole.hexdigest()) == (GO["tile_count"], GO["all_tiles"])


def test_only_the_last_tile_of_a_level_is_asked_for() -> None:
    leaves = [merkle.leaf_hash(entry(index)) for index in range(600)]
    asked: list[tuple[int, int]] = []
    before = grown(leaves[:300], [])

    def stored(level: int, index: int) -> bytes:
        asked.append((level, index))
        return before[level, index]

    assert sorted(tiles.grow(stored, size=300, leaves=leaves[300:])) == [(0, 1), (0, 2), (1, 0)]
    assert asked == [(0, 1), (1, 0)]
    assert tiles.grow(stored, size=300, leaves=[]) == {}


def test_a_tile_of_another_tree_is_not_grown() -> None:
    with pytest.raises(AssertionError, match="tile 0/1 is not of this tree"):
        tiles.grow(lambda *_: bytes(32), size=300, leaves=[bytes(32)])


def stored_tiles(snapshot: Snapshot) -> dict[tuple[int, int], bytes]:
    rows = snapshot.scan("tiles", prefix=b"", limit=10**6)
    return {(key[0], int.from_bytes(key[1:], "big")): value for key, value in rows}


def check_tiles(snapshot: Snapshot) -> int:
    """Assert that a store has exactly the tiles of its log; return how many."""
    found = stored_tiles(snapshot)
    assert found == naive.tiles(snapshot.entries(0, 10**6))
    return len(found)


def lived(store: LmdbStore, blocks: int, first: int = 0) -> Chain:
    """Add blocks of five mints each to a chain in a store."""
    ledger = Ledger(store)
    if ledger._head is None:
        chain = builders.funded_chain(ledger=ledger)
    else:
        chain = Chain(ledger=ledger, now_ms=ledger.last().time_ms)
    for number in range(first, first + blocks):
        chain.accept(*(builders.mint(("firm-a", 10 + number), ("firm-b", n)) for n in range(1, 6)))
    return chain


def test_every_block_leaves_the_tiles_of_its_log_also_over_restarts(tmp_path: Path) -> None:
    counts = []
    for start in range(3):
        store = LmdbStore(tmp_path, map_bytes=MAP_BYTES)
        lived(store, 30, first=30 * start)
        counts.append(check_tiles(store.snapshot))
        store.close()
    assert counts == [1, 3, 4]


def test_genesis_alone_has_a_tile_of_one_hash(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, map_bytes=MAP_BYTES)
    Ledger(store).begin(builders.genesis())
    (genesis,) = store.entries(0, 2)
    assert stored_tiles(store.snapshot) == {(0, 0): merkle.leaf_hash(genesis)}
    store.close()


def test_a_read_has_every_width_up_to_its_log_and_none_beyond(tmp_path: Path) -> None:
    size = 600
    synthetic.make_store(tmp_path / "store", size)
    entries, reader = synthetic.log_of(size), LmdbReader(tmp_path / "store")
    expected = naive.tiles(entries)
    with reader.begin() as snapshot:
        for tile in tiles.tiles_of(size):
            data = expected[tile.level, tile.index]
            for width in range(1, TILE_WIDTH + 1):
                named = Tile(level=tile.level, index=tile.index, width=width)
                is_there = width <= tile.width
                assert snapshot.tile(named) == (data[: width * HASH_BYTES] if is_there else None)
        for bundle in tiles.bundles_of(size):
            for width in range(1, TILE_WIDTH + 1):
                named_bundle = Bundle(index=bundle.index, width=width)
                framed = naive.bundle(entries, bundle.index, width)
                is_there = width <= bundle.width
                assert snapshot.bundle(named_bundle) == (framed if is_there else None)
        for beyond in (Tile(level=2, index=0, width=1), Tile(level=0, index=2**55 - 1, width=1)):
            assert snapshot.tile(beyond) is None
        assert snapshot.bundle(Bundle(index=3, width=1)) is None
    reader.close()


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_537])
def test_a_restored_store_has_the_tiles_of_the_definition(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if size < 1_000:
        monkeypatch.setattr(restore, "FILLED_AT_ONCE", 100)
    synthetic.make_store(tmp_path / "store", size)
    store = synthetic.open_store(tmp_path / "store")
    assert stored_tiles(store.snapshot) == naive.tiles(synthetic.log_of(size))
    store.close()


def test_a_store_without_tiles_gets_them_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_store, "FILLED_AT_ONCE", 100)
    store = LmdbStore(tmp_path, map_bytes=MAP_BYTES)
    lived(store, 50)
    expected = stored_tiles(store.snapshot)
    store.close()
    with lmdb.open(str(tmp_path), max_dbs=16, map_size=MAP_BYTES, lib_version=0) as environment:
        database = environment.open_db(b"tiles")
        with environment.begin(write=True) as writing:
            writing.drop(database)
    again = LmdbStore(tmp_path, map_bytes=MAP_BYTES)
    assert stored_tiles(again.snapshot) == expected
    lived(again, 1, first=50)
    assert check_tiles(again.snapshot) == len(expected)
    again.close()
