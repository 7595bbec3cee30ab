"""Every row of a store that rots is found by the scrub, and named (N11)."""

from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import lmdb
import msgspec
import pytest

from ledger import state_tree
from ledger.encoding import codec, merkle
from ledger.encoding.tiles import TILE_WIDTH, Tile
from ledger.entries import ClosingEntry, TransactionEntry, decode_entry, encode_entry
from ledger.execute import Head
from ledger.ledger import Ledger
from ledger.store.lmdb_store import LmdbStore
from ledger.store.rows import BlockRow
from node import scrub
from node.scrub import ROWS_A_STEP, Scrub, StoreRotten
from tests import builders
from tests.builders import Chain
from tests.decided import DecidedChain
from tests.node.test_cosigner import Tree

SEED = 20261
FLIPS = 300
MAP_BYTES = 2**26
HASHED = ("state", "history", "log", "blocks", "commits", "ids", "due", "parties", "tree", "tiles")


def life(path: Path) -> Path:
    """Return the folder of a store with a few blocks, some with state roots, and three tiles."""
    store = LmdbStore(path, map_bytes=MAP_BYTES)
    made = DecidedChain(Chain(ledger=Ledger(store)))
    made.block(builders.publish(), builders.enrol("firm-a"), builders.enrol("firm-b"))
    made.block(builders.accredit(), builders.appropriate(), builders.recognise())
    for amount in range(1, 40):
        raws = [builders.mint(("firm-a", amount), ("firm-b", one)) for one in range(1, 7)]
        made.block(*raws, after_ms=700)
    made.block(after_ms=100)
    store.close()
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return life(tmp_path_factory.mktemp("sound"))


def rows_of(path: Path) -> dict[str, dict[bytes, bytes]]:
    """Return every row of a store."""
    with lmdb.open(str(path), max_dbs=16, map_size=MAP_BYTES, lib_version=0) as environment:
        databases = {name: environment.open_db(name.encode()) for name in (*HASHED, "meta")}
        with environment.begin() as snapshot:
            return {name: dict(snapshot.cursor(one)) for name, one in databases.items()}


def changed(
    path: Path, name: str, key: bytes, value: bytes | None, new_key: bytes | None = None
) -> None:
    """Put another row in the place of one, or none."""
    with lmdb.open(str(path), max_dbs=16, map_size=MAP_BYTES, lib_version=0) as environment:
        database = environment.open_db(name.encode())
        with environment.begin(write=True) as writing:
            if value is None or new_key is not None:
                writing.delete(key, db=database)
            if value is not None:
                writing.put(key if new_key is None else new_key, value, db=database)


def scrubbed(path: Path) -> str:
    """Return what the scrub finds in one pass over a store; empty if nothing."""
    store = LmdbStore(path, map_bytes=MAP_BYTES)
    scrub = Scrub()
    try:
        while not scrub.passes:
            scrub.step(store.snapshot)
    except StoreRotten as rotten:
        return str(rotten)
    finally:
        store.close()
    return ""


def flipped(data: bytes, dice: Random) -> bytes:
    at = dice.randrange(8 * len(data))
    changed_byte = data[at // 8] ^ 1 << at % 8
    return data[: at // 8] + bytes([changed_byte]) + data[at // 8 + 1 :]


def copied(sound: Path, folder: Path) -> Path:
    """Return the folder of a copy of a store."""
    folder.mkdir()
    (folder / "data.mdb").write_bytes((sound / "data.mdb").read_bytes())
    return folder


@pytest.mark.parametrize(
    ("field", "change", "says"),
    [
        ("record_hash", lambda _: bytes(32), "the head names another record"),
        ("log_peaks", lambda peaks: peaks[:-1], "the head is not of this log"),
        ("log_size", lambda size: size + 1, "is missing"),
        ("time_ms", lambda time_ms: time_ms + 1, "the head is not of the last block"),
        ("height", lambda height: height - 1, "the head is not of the last block"),
        ("height", lambda height: height + 1, "the row of block 43 is missing"),
        ("log_id", lambda _: bytes(32), "the record of height 1 does not follow the one before"),
    ],
)
def test_a_head_that_is_not_of_its_log_is_found(
    sound: Path, tmp_path: Path, field: str, change: Callable[[Any], object], says: str
) -> None:
    copy = copied(sound, tmp_path / "copy")
    head = codec.decode(Head, rows_of(copy)["meta"][b"head"], 10_000)
    crooked = msgspec.structs.replace(head, **{field: change(getattr(head, field))})
    changed(copy, "meta", b"head", codec.encode(crooked))
    assert says in scrubbed(copy)


@pytest.mark.parametrize(
    ("height", "field", "change", "says"),
    [
        (2, "height", lambda height: height + 1, "the row of block 2 is missing"),
        (2, "time_ms", lambda time_ms: time_ms + 1, "the row of block 2"),
        (2, "record_hash", lambda _: bytes(32), "the row of block 2"),
        (2, "first_sequence", lambda first: first + 1, "the row of block 2"),
        (2, "first_sequence", lambda first: first - 1, "the row of block 2"),
        (2, "log_size", lambda size: size - 1, "the row of block 2 does not end with a record"),
        (2, "log_size", lambda size: size - 5, "the row of block 2"),
        (0, "time_ms", lambda time_ms: time_ms + 1, "the row of block 0"),
        (0, "log_size", lambda _: 0, "the row of block 0"),
        (42, "record_hash", lambda _: bytes(32), "the row of block 42"),
        (42, "log_size", lambda size: size + 100, "a row cannot be read"),
    ],
)
def test_a_row_of_a_block_that_is_not_where_it_lies_is_found(
    sound: Path,
    tmp_path: Path,
    height: int,
    field: str,
    change: Callable[[Any], object],
    says: str,
) -> None:
    copy = copied(sound, tmp_path / "copy")
    key = height.to_bytes(8, "big")
    row = codec.decode(BlockRow, rows_of(copy)["blocks"][key], 10_000)
    crooked = msgspec.structs.replace(row, **{field: change(getattr(row, field))})
    changed(copy, "blocks", key, codec.encode(crooked))
    found = scrubbed(copy)
    assert says in found, found


def test_another_genesis_than_that_of_the_log_is_found(sound: Path, tmp_path: Path) -> None:
    copy = copied(sound, tmp_path / "copy")
    changed(copy, "meta", b"genesis", builders.genesis(network="dev-other"))
    assert "the genesis" in scrubbed(copy)


@pytest.mark.parametrize("by", [1, -1])
def test_a_state_tree_that_says_another_size_is_found(sound: Path, tmp_path: Path, by: int) -> None:
    copy = copied(sound, tmp_path / "copy")
    size = int.from_bytes(rows_of(copy)["meta"][b"tree"], "big")
    changed(copy, "meta", b"tree", (size + by).to_bytes(8, "big"))
    assert "the store is damaged" in scrubbed(copy)


@pytest.mark.parametrize("blocks", [0, 1])
def test_a_store_without_a_state_root_or_with_one_passes(tmp_path: Path, blocks: int) -> None:
    store = LmdbStore(tmp_path, map_bytes=MAP_BYTES)
    made = DecidedChain(Chain(ledger=Ledger(store)))
    for _ in range(blocks):
        made.block(builders.publish(), builders.enrol("firm-a"))
    made.block()
    made.block()
    head = store.head()
    assert head is not None
    ends = [row.log_size for height in range(head.height + 1) if (row := store.block_row(height))]
    assert ends[-2:] == [head.log_size] * 2, "the last height has no record"
    store.close()
    assert scrubbed(tmp_path) == ""
    key = head.height.to_bytes(8, "big")
    row = codec.decode(BlockRow, rows_of(tmp_path)["blocks"][key], 10_000)
    for height, field, value in (
        (head.height - 1, "record_hash", bytes(32)),
        (head.height, "record_hash", bytes(32)),
    ):
        copy = copied(tmp_path, tmp_path / str(height))
        crooked = msgspec.structs.replace(row, height=height, **{field: value})
        changed(copy, "blocks", height.to_bytes(8, "big"), codec.encode(crooked))
        assert scrubbed(copy).startswith(f"the store is damaged: the row of block {height};")


@pytest.mark.parametrize("rows", [8, 11])
def test_a_sound_store_passes_wherever_its_steps_end(
    sound: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(scrub, "ROWS_A_STEP", rows)
    assert scrubbed(sound) == ""


def test_a_store_without_anything_has_nothing_to_rot(tmp_path: Path) -> None:
    assert scrubbed(tmp_path) == ""


def test_a_page_of_the_state_tree_that_nothing_leads_to_is_found(
    sound: Path, tmp_path: Path
) -> None:
    pages = rows_of(sound)["tree"]
    deepest = max(pages)
    another_depth = bytes([deepest[0] + 1]) + deepest[1:]
    beside = deepest[:-1] + bytes([deepest[-1] ^ 1, 0])
    for number, stray in enumerate((another_depth, beside)):
        copy = copied(sound, tmp_path / str(number))
        assert stray not in pages
        changed(copy, "tree", stray, pages[deepest])
        assert f"page {stray.hex()} of the tree" in scrubbed(copy)
    copy = copied(sound, tmp_path / "long")
    named = bytes([deepest[0] + 1]) + deepest[1:] + b"\x0f"
    changed(copy, "tree", named, pages[deepest])
    assert f"page {named.hex()} of the tree" in scrubbed(copy)


@pytest.mark.parametrize("which", [min, max])
def test_a_record_that_rotted_like_its_last_version_is_not_what_the_state_root_says(
    sound: Path, tmp_path: Path, which: Callable[[Iterable[bytes]], bytes]
) -> None:
    copy, stored = copied(sound, tmp_path / "copy"), rows_of(sound)
    end = int.from_bytes(stored["meta"][b"tree"], "big")
    rooted = [key for key, value in stored["state"].items() if int.from_bytes(value[:8]) < end]
    key = which(rooted)
    value = stored["state"][key]
    other = value[:-1] + bytes([value[-1] ^ 1])
    changed(copy, "state", key, other)
    changed(copy, "history", key + b"\0" + value[:8], other)
    found = scrubbed(copy)
    assert f"{key.decode()} is not what the state root says" in found or "cannot be read" in found


def first_of(rows: dict[bytes, bytes], holds: Callable[[bytes, bytes], bool]) -> bytes:
    """Return the key of the first row of which something holds."""
    return next(key for key in sorted(rows) if holds(key, rows[key]))


def test_rot_is_told_by_where_it_is(sound: Path, tmp_path: Path) -> None:
    stored = rows_of(sound)
    full = first_of(stored["tiles"], lambda key, data: key[0] == 0 and len(data) == 256 * 32)
    above = first_of(stored["tiles"], lambda key, _: key[0] == 1)
    widest = max(key for key in stored["tiles"] if key[0] == 0)
    older = first_of(stored["history"], lambda key, _: key[-8:] == bytes(8))
    known = next(iter(sorted(stored["state"])))
    tile, up, last = (stored["tiles"][key] for key in (full, above, widest))
    past = stored["history"][older]
    for number, (name, key, value, says) in enumerate(
        (
            ("log", (3).to_bytes(8, "big"), None, "entry 3 is missing"),
            ("log", (3).to_bytes(8, "big"), b"\xc1", "a row cannot be read"),
            ("log", max(stored["log"]), None, "is missing"),
            ("tiles", full, bytes(32) + tile[32:], "entry 0 of the log, or its hash in the tile"),
            ("tiles", widest, last + bytes(32), "has another width"),
            ("tiles", above, bytes(32) + up[32:], "is not what the tile above it says"),
            ("tiles", above, up + bytes(32), "tile 1/0 of the log has another width"),
            ("history", older, bytes(7) + b"\1" + past[8:], "names another entry"),
            ("state", known, None, "is not its last version"),
            ("state", b"zzz", stored["state"][known], "zzz is not its last version"),
            ("tree", max(stored["tree"]), b"", "of the state tree is damaged"),
            ("commits", (2).to_bytes(8, "big"), None, "height 2"),
        )
    ):
        copy = copied(sound, tmp_path / str(number))
        changed(copy, name, key, value)
        found = scrubbed(copy)
        assert says in found, (says, found)


class Tiles:
    """A snapshot of a log of some size, which notes what tiles are read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.read: list[tuple[int, int]] = []

    def head(self) -> SimpleNamespace:
        return SimpleNamespace(log_size=self.size)

    def stored_tile(self, level: int, index: int) -> bytes:
        width = min(TILE_WIDTH, (self.size >> 8 * level) - index * TILE_WIDTH)
        self.read.append((level, index))
        return Tree(self.size).tile(Tile(level=level, index=index, width=width)) if width else b""


@pytest.mark.parametrize(
    ("size", "tiles"),
    [
        (1, {(0, 0)}),
        (255, {(0, 0)}),
        (256, {(0, 0), (1, 0)}),
        (257, {(0, 0), (0, 1), (1, 0)}),
        (512, {(0, 0), (0, 1), (1, 0)}),
        (513, {(0, 0), (0, 1), (0, 2), (1, 0)}),
        (2_304, {(0, index) for index in range(9)} | {(1, 0)}),
    ],
)
def test_every_tile_of_a_log_is_read(size: int, tiles: set[tuple[int, int]]) -> None:
    snapshot = Tiles(size)
    part = scrub._tiles()
    next(part)
    while scrub._goes_on(part, cast(Any, snapshot)):
        pass
    assert set(snapshot.read) == tiles


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("previous", "the record of height 1 does not follow the one before"),
        ("transactions_root", "a transaction before the record of height 1"),
        ("log_root", "an entry before the record of height 1"),
        ("log_size", "an entry before the record of height 1"),
    ],
)
def test_a_record_is_of_what_stands_before_it(sound: Path, field: str, says: str) -> None:
    frontier, envelopes = merkle.Frontier(), list[bytes]()
    for _, raw in sorted(rows_of(sound)["log"].items()):
        entry = decode_entry(raw)
        if isinstance(entry, ClosingEntry):
            break
        if isinstance(entry, TransactionEntry):
            envelopes.append(entry.signed)
        frontier.append(merkle.leaf_hash(raw))
    assert isinstance(entry, ClosingEntry)
    record = entry.record
    scrub._check_record(record, record.previous, envelopes, frontier)
    crooked = msgspec.structs.replace(record, **{field: 1 if field == "log_size" else bytes(32)})
    with pytest.raises(StoreRotten, match=says):
        scrub._check_record(crooked, record.previous, envelopes, frontier)


def test_a_state_tree_with_another_root_is_found(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.scrub.state_tree.root", lambda _: bytes(32))
    assert "the top of the state tree" in scrubbed(sound)


def test_a_damaged_page_at_the_top_is_damage_of_the_store(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> bytes:
        raise state_tree.DamagedPage(b"\0")

    for name in ("root", "prove"):
        with monkeypatch.context() as patch:
            patch.setattr(f"node.scrub.state_tree.{name}", fails)
            assert "page 0 of the state tree is damaged" in scrubbed(sound)


def test_a_sound_store_passes_again_and_again_while_it_grows(tmp_path: Path) -> None:
    store = LmdbStore(life(tmp_path), map_bytes=MAP_BYTES)
    scrub, steps = Scrub(), 0
    while scrub.passes < 3:
        scrub.step(store.snapshot)
        steps += 1
    assert steps > 3 * len(rows_of_snapshot(store)) // ROWS_A_STEP
    store.close()


def rows_of_snapshot(store: LmdbStore) -> list[bytes]:
    return [key for key, _ in store.snapshot.scan("history", prefix=b"", limit=10**6)]


@pytest.mark.parametrize("name", HASHED)
def test_a_flipped_bit_is_found_wherever_it_is(name: str, sound: Path, tmp_path: Path) -> None:
    rows, dice = rows_of(sound)[name], Random(f"{SEED}/{name}")
    if name == "history":  # of an older version nothing but its form is checked
        rows = {key: rows[key] for key in {key[:-9]: key for key in sorted(rows)}.values()}
    copy = tmp_path / "copy"
    data = (sound / "data.mdb").read_bytes()
    found = 0
    for _ in range(FLIPS // len(HASHED)):
        key = dice.choice(sorted(rows))
        copy.mkdir(exist_ok=True)
        (copy / "data.mdb").write_bytes(data)
        if rows[key] and dice.random() < 0.7:
            changed(copy, name, key, flipped(rows[key], dice))
        else:
            changed(copy, name, key, rows[key], flipped(key, dice))
        sentence = scrubbed(copy)
        assert "the store is damaged" in sentence, (name, key, rows[key])
        found += 1
    assert found == FLIPS // len(HASHED)


@pytest.mark.parametrize("name", HASHED)
def test_a_lost_row_is_found(name: str, sound: Path, tmp_path: Path) -> None:
    stored, dice = rows_of(sound), Random(f"{SEED}/lost/{name}")
    rows = list(stored[name])
    if name == "history":  # a version that its own block overwrote is under no hash
        rows = [key + b"\x00" + value[:8] for key, value in stored["state"].items()]
    key = dice.choice(sorted(rows))
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "data.mdb").write_bytes((sound / "data.mdb").read_bytes())
    changed(copy, name, key, None)
    assert "the store is damaged" in scrubbed(copy), key


def test_a_state_tree_is_of_the_root_that_a_later_record_names_for_its_height(sound: Path) -> None:
    log = [raw for _, raw in sorted(rows_of(sound)["log"].items())]
    heights, ends, carriers = {0: 1}, dict[int, bytes](), dict[int, int]()
    for at, raw in enumerate(log):
        if isinstance(entry := decode_entry(raw), ClosingEntry):
            heights[entry.record.height] = at + 1
            for named in entry.record.state_root:
                end = heights[named.height]
                ends[end], carriers[end] = named.root, at
    assert len(ends) > 1

    def root_after(size: int) -> bytes:
        stored = SimpleNamespace(entries=lambda first, last: log[first:last])
        return scrub._root_after(cast(Any, stored), size)

    for end, root in ends.items():
        assert root_after(end) == root
    unrooted = next(end for end in heights.values() if end not in ends)
    with pytest.raises(StoreRotten, match="the state tree is of no root"):
        root_after(unrooted)
    with pytest.raises(StoreRotten, match="the state tree is of no block"):
        root_after(len(log) + 1)
    bare = decode_entry(log[carriers[1]])
    assert isinstance(bare, ClosingEntry)
    less = msgspec.structs.replace(bare.record, state_root=())
    log[carriers[1]] = encode_entry(ClosingEntry(record=less))
    with pytest.raises(StoreRotten, match="the state tree is of no root"):
        root_after(1)
