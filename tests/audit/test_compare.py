"""Two copies of a ledger: they are the same, one is the beginning, or they part somewhere."""

import random
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from audit import files
from audit.compare import compare, entry_at
from audit.sources import Api, ExportFolder, NodeStore, Source, SourceWrong, TileDump
from ledger.encoding import merkle, tiles
from ledger.encoding.tiles import Node
from ledger.entries import ClosingEntry, GenesisEntry, decode_entry, encode_entry
from tests.audit import forge
from tests.audit.conftest import World
from tests.audit.stories import Server, entries
from tests.audit.test_levels import dumped, entries_of
from tests.node.test_fetch import framed
from tests.wallet.terminal import Tally

SEED = 20_272


def with_tiles(folder: Path, log: list[bytes]) -> Path:
    """Write the hash tiles beside a dump's bundles."""
    for tile in tiles.tiles_of(len(log)):
        path = folder / tile.path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Server(log).tile(tile))
    return folder


def cut(world: World, folder: Path, count: int) -> Path:
    """Write an export that ends after some entries."""
    folder.mkdir()
    rows = b"".join(map(framed, entries_of(world)[:count]))
    (folder / files.GENESIS).write_bytes(world.mirror.genesis)
    (folder / files.ENTRIES).write_bytes(rows)
    (folder / files.COMMITS).write_bytes(b"")
    return folder


def without_tiles(world: World) -> httpx2.Client:
    """Return a client of a mirror that serves exports alone."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.startswith("/log/"):
            return httpx2.Response(404)
        return world.mirror._answer(request)

    return httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://mirror")


def bent(world: World, folder: Path) -> tuple[Path, int, int]:
    """Write an export with another entry; return it, the entry's position and its height."""
    at = max(number for number, one in enumerate(world.log) if len(one.raws) > 1)
    raw = bytearray(world.log[at].raws[0])
    raw[-1] ^= 1
    log = forge.with_entry(world.log, at, 0, bytes(raw))
    made = forge.write(folder, world.mirror.genesis, log)
    return made, forge.first_sequence(world.log, at), world.log[at].record.height


def test_the_first_difference_is_that_of_a_naive_search() -> None:
    dice = random.Random(SEED)

    def nodes(log: list[bytes]) -> Node:
        return lambda level, index: merkle.root(log[index << level : (index + 1) << level])

    same = 0
    for _ in range(200):
        size = dice.randrange(1, 300)
        one, other = entries(size), entries(size)
        for _ in range(dice.randrange(3)):
            other[dice.randrange(size)] = b"another"
        differing = [at for at in range(size) if one[at] != other[at]]
        expected = differing[0] if differing else None
        same += expected is None
        assert tiles.first_difference(nodes(one), nodes(other), size=size) == expected
    assert 20 < same < 150


def test_all_copies_of_one_ledger_are_the_same(world: World, tmp_path: Path) -> None:
    log = entries_of(world)
    (tmp_path / "dump").mkdir()
    made: dict[str, Source] = {
        "store": NodeStore(world.store),
        "export": ExportFolder(world.export),
        "api": Api(without_tiles(world)),
        "dump": TileDump(with_tiles(dumped(world, tmp_path / "dump"), log)),
    }
    for first, one in made.items():
        for second, other in made.items():
            found = compare(one, other)
            assert (found.sizes, found.common) == ((len(log), len(log)), len(log))
            assert (found.root, found.differ) == (merkle.root(log), False)
            has_tiles = {first, second} <= {"store", "dump"}  # the mirror serves none
            assert found.compared == ("tiles" if has_tiles else "entries")
            assert compare(one, other, by_entries=True).root == found.root
    for source in made.values():
        source.close()


@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_copy_that_ends_earlier_is_the_beginning(
    world: World, tmp_path: Path, count: int
) -> None:
    log = entries_of(world)
    short = ExportFolder(cut(world, tmp_path / "short", count))
    with closing(NodeStore(world.store)) as store:
        found = compare(short, store)
    assert (found.sizes, found.common, found.differ) == ((count, len(log)), count, False)
    assert found.root == merkle.root(log[:count])


def test_the_command_says_which_is_further(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally(capsys)
    short = str(cut(world, tmp_path / "short", 10))
    document = tally.json("audit", "compare", str(world.store), short)
    left = len(entries_of(world)) - 10
    assert document["verdict"] == (
        f"{short} is the beginning of {world.store}, which has {left} entries more"
    )
    same = tally.json("audit", "compare", str(world.store), str(world.export))
    assert same["verdict"] == "the same"
    assert same["log_id"]


def test_where_they_part_is_said_with_what_each_has(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, sequence, height = bent(world, tmp_path / "bent")
    found = Tally(capsys).json("audit", "compare", str(world.export), str(other), exits=8)
    details = found["error"]["details"]
    assert details["sequence"] == details["common_size"] == sequence
    assert details["a"]["height"] == height
    assert details["a"]["entry"] == "transaction"
    assert details["b"] != details["a"]
    assert f"they differ from entry {sequence} on" in found["error"]["message"]


def test_tiles_find_the_same_place_as_entries(world: World, tmp_path: Path) -> None:
    other, sequence, _ = bent(world, tmp_path / "bent")
    log = list(ExportFolder(other).entries(0))
    (tmp_path / "dump").mkdir()
    dump = TileDump(with_tiles(dumped(world, tmp_path / "dump"), log))
    with closing(NodeStore(world.store)) as store:
        found = compare(store, dump)
        assert (found.compared, found.common, found.differ) == ("tiles", sequence, True)
        assert found.root == merkle.root(log[:sequence])
        assert entry_at(store, sequence)[0] == entry_at(dump, sequence)[0], "its bundles are true"


def test_tiles_that_are_not_the_entries_are_told_as_such(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, _, _ = bent(world, tmp_path / "bent")
    (tmp_path / "dump").mkdir()
    dump = with_tiles(dumped(world, tmp_path / "dump"), list(ExportFolder(other).entries(0)))
    tally = Tally(capsys)
    found = tally.json("audit", "compare", str(world.store), str(dump), exits=8)
    assert "it is not what lies below it" in found["error"]["message"]
    words = ("audit", "compare", str(world.store), str(dump), "--entries")
    assert tally.json(*words)["verdict"] == "the same", "of tiles nothing was asked"
    (tile,) = [one for one in tiles.tiles_of(len(entries_of(world))) if one.level == 0]
    (dump / tile.path()).write_bytes(b"short")
    with closing(NodeStore(world.store)) as store, pytest.raises(SourceWrong):
        compare(store, TileDump(dump))


def test_two_ledgers_are_said_plainly(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    genesis = world.mirror.genesis.replace(b"dev-test", b"dev-tesu")
    assert genesis != world.mirror.genesis
    (other / files.GENESIS).write_bytes(genesis)
    (other / files.ENTRIES).write_bytes(framed(encode_entry(GenesisEntry(genesis=genesis))))
    found = Tally(capsys).json("audit", "compare", str(world.export), str(other), exits=8)
    assert "two ledgers" in found["error"]["message"]
    assert found["error"]["details"]["a_log_id"] != found["error"]["details"]["b_log_id"]


def test_what_is_no_copy_is_named(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally(capsys)
    assert tally("audit", "compare", str(world.export), str(tmp_path / "nowhere")) == 3
    assert tally("audit", "compare", str(world.export), "http://127.0.0.1:1") == 7
    assert tally("audit", "compare", str(world.export), "ftp://x") == 2
    assert tally("audit", "compare", str(world.store), f"{world.store}/../store") == 2
    assert "the same place" in tally.err


def test_a_server_compares_by_its_tiles(
    golden_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally(capsys)
    by_tiles = tally.json("audit", "compare", golden_url, golden_url)
    assert (by_tiles["verdict"], by_tiles["compared"]) == ("the same", "tiles")
    tally.must("audit", "export", "--node", golden_url, "--out", str(tmp_path / "export"))
    read = tally.json("audit", "compare", golden_url, str(tmp_path / "export"))
    assert (read["verdict"], read["compared"]) == ("the same", "entries")
    assert read["common_root"] == by_tiles["common_root"]


def test_the_height_of_an_entry_is_that_of_the_record_that_closes_its_block(
    world: World,
) -> None:
    log = entries_of(world)
    source = ExportFolder(world.export)
    height = 0
    for index in range(len(log) - 1, 0, -1):
        entry = decode_entry(log[index])
        if isinstance(entry, ClosingEntry):
            height = entry.record.height
        assert entry_at(source, index) == (log[index], height)
