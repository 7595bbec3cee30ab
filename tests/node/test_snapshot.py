"""What no honest ledger exports makes no store, and is refused in the words of one check (N12)."""

import io
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from ledger.audit import BLOCK_ENTRIES_MAX
from ledger.encoding import codec
from ledger.entries import ClosingEntry, GenesisEntry, decode_entry
from ledger.execute import ROOT_EVERY_MS, ROOT_LAG_MS, Cut, Head
from ledger.ledger import Ledger
from ledger.store.lmdb_store import LmdbStore
from node import snapshot
from node.exports import read_history
from node.snapshot import (
    COMMITS,
    HISTORY,
    INDEX,
    LOG,
    Made,
    SnapshotRefused,
    TrustPoint,
    make_store,
)
from tests import builders
from tests.builders import Chain
from tests.decided import DecidedChain
from tests.node.test_fetch import (
    MAP_BYTES,
    TABLES,
    Mirror,
    framed,
    live,
    rows_in,
    rows_of,
    without_inner,
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that executed everything."""
    path = tmp_path_factory.mktemp("sound") / "store"
    live(path, blocks=4)
    return path


def made_of(folder: Path, mirror: Mirror, trust: TrustPoint | None = None) -> Made:
    """Make a store of files as they are, whatever a download would have said of them."""
    folder.mkdir()
    for name, data in mirror.files.items():
        (folder / name).write_bytes(data)
    (folder / INDEX).write_bytes(b"as a process leaves it that was killed")
    made = make_store(
        genesis=mirror.genesis,
        folder=folder,
        height=mirror.height,
        log_size=mirror.log_size,
        trust=trust,
        draft=folder / "draft",
        store=folder / "store",
        map_bytes=MAP_BYTES,
    )
    assert not (folder / INDEX).exists()
    return made


def ended(path: Path, *blocks: tuple[tuple[bytes, ...], int]) -> Path:
    """Return the folder of a store whose last blocks have these transactions, so much later."""
    store = LmdbStore(path, map_bytes=MAP_BYTES)
    made = DecidedChain(Chain(ledger=Ledger(store)))
    made.block(builders.publish(), builders.enrol("firm-a"), builders.appropriate())
    made.block(builders.mint(("firm-a", 100)))
    for raws, after_ms in blocks:
        made.block(*raws, after_ms=after_ms)
    store.close()
    return path


ROOT_DUE_MS = ROOT_EVERY_MS + ROOT_LAG_MS
MINT = (builders.mint(("firm-a", 7)),)
ENDS: dict[str, tuple[tuple[tuple[bytes, ...], int], ...]] = {
    "with a transaction": ((MINT, 1),),
    "with a root and a transaction": ((MINT, ROOT_DUE_MS),),
    "with a root alone": ((MINT, 1), ((), ROOT_DUE_MS)),
    "with the root of what was written while another was due": (
        *((MINT, 1), ((builders.enrol("firm-b"),), ROOT_EVERY_MS)),
        *(((), ROOT_LAG_MS), ((), ROOT_EVERY_MS)),
    ),
    "with two cuts open": ((MINT, 1), ((builders.enrol("firm-b"),), ROOT_EVERY_MS)),
    "with nothing": ((MINT, 1), ((), 1), ((), 1)),
    "after a pause": (((), 1), (MINT, 1)),
    "with one record written": (((builders.enrol("firm-b"),), 1),),
}


@pytest.mark.parametrize("name", ENDS)
def test_wherever_a_ledger_ends_the_store_is_the_one_that_executed_it(
    name: str, tmp_path: Path
) -> None:
    path = ended(tmp_path / "executed", *ENDS[name])
    made_of(tmp_path / "made", Mirror.of(path))
    expected, found = without_inner(path), rows_of(tmp_path / "made" / "store")
    for table in TABLES:
        assert found[table] == expected[table], table


def test_a_root_is_of_a_height_that_had_none_before(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as changing:
        cut = Cut(time_ms=0, height=9, log_size=1)
        changing.setattr(Head, "due_cut", lambda head, _: cut if head.height == 0 else None)
        path = ended(tmp_path / "executed", (MINT, 1))
    assert "no root before is of 9" in refusal_of(tmp_path / "made", Mirror.of(path))


def test_a_ledger_may_be_taken_through_an_earlier_height(tmp_path: Path) -> None:
    path = ended(tmp_path / "executed", *ENDS["with nothing"])
    mirror = Mirror.of(path)
    mirror.height -= 1
    assert made_of(tmp_path / "made", mirror).head.height == mirror.height
    mirror.height -= 2
    says = f"height {mirror.height + 1}, entries"
    assert says in refusal_of(tmp_path / "above", mirror)


def test_the_first_and_the_last_block_are_held_against_the_trusted_one(
    sound: Path, tmp_path: Path
) -> None:
    mirror = Mirror.of(sound)
    head = made_of(tmp_path / "untrusting", mirror).head
    for height, record_hash in ((0, head.log_id), (head.height, head.record_hash)):
        right = TrustPoint(height=height, record_hash=record_hash)
        made_of(tmp_path / f"right {height}", mirror, right)
        wrong = TrustPoint(height=height, record_hash=bytes(32))
        says = f"height {height}: its record hash is {record_hash.hex()}, the trusted 00"
        assert says in refusal_of(tmp_path / f"wrong {height}", mirror, wrong)
    above = TrustPoint(height=head.height + 1, record_hash=bytes(32))
    assert "the trusted one is above it" in refusal_of(tmp_path / "above", mirror, above)


def refusal_of(folder: Path, mirror: Mirror, trust: TrustPoint | None = None) -> str:
    """Return why no store is made of files."""
    with pytest.raises(SnapshotRefused) as refused:
        made_of(folder, mirror, trust)
    assert not (folder / "store").exists()
    return str(refused.value)


def with_row(mirror: Mirror, name: str, at: int, row: bytes) -> Mirror:
    """Put another row in the place of one."""
    rows = rows_in(name, mirror.files[name])
    rows[at] = row
    mirror.files[name] = b"".join(rows)
    return mirror


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("previous", bytes(32), "it does not follow the one before"),
        ("height", -1, "it does not follow the one before"),
        ("transactions_root", bytes(32), "the transactions before it are not its own"),
        ("log_root", bytes(32), "the entries before it are not those that it names"),
        ("log_size", 1, "the entries before it are not those that it names"),
    ],
)
def test_a_record_is_of_the_entries_before_it(
    sound: Path, tmp_path: Path, field: str, value: object, says: str
) -> None:
    mirror = Mirror.of(sound)
    rows = rows_in(LOG, mirror.files[LOG])
    records = [
        (at, entry.record)
        for at, row in enumerate(rows)
        if isinstance(entry := decode_entry(row[4:]), ClosingEntry)
    ]
    (_, before), (at, record) = records[-2:]
    forged = msgspec.structs.replace(record, **{field: before.height if value == -1 else value})
    with_row(mirror, LOG, at, framed(codec.encode(ClosingEntry(record=forged))))
    assert says in refusal_of(tmp_path / "made", mirror)


def test_an_entry_says_what_it_is_where_it_may_be(sound: Path, tmp_path: Path) -> None:
    other = framed(codec.encode(GenesisEntry(genesis=builders.genesis(network="dev-other"))))
    own = rows_in(LOG, Mirror.of(sound).files[LOG])[0]
    where = "genesis is entry 0 and no other"
    for number, (at, row, says) in enumerate(
        (
            (0, other, f"entry 0 of the log: {where}"),
            (3, own, f"entry 3 of the log: {where}"),
            (3, framed(b"\xc1"), "entry 3 of the log: "),
            (3, b"\xff\xff\xff\xff", f"{LOG}, byte "),
        )
    ):
        mirror = with_row(Mirror.of(sound), LOG, at, row)
        assert says in refusal_of(tmp_path / str(number), mirror)


def test_the_log_ends_where_it_was_said_to(sound: Path, tmp_path: Path) -> None:
    longer, inside, above = Mirror.of(sound), Mirror.of(sound), Mirror.of(sound)
    longer.log_size += 1
    assert f"not at {longer.log_size}" in refusal_of(tmp_path / "longer", longer)
    inside.log_size -= 1
    assert "inside a block" in refusal_of(tmp_path / "inside", inside)
    above.height -= 6
    assert f"above {above.height}" in refusal_of(tmp_path / "above", above)


def test_every_height_has_a_commit_through_the_one_that_was_asked_for(
    sound: Path, tmp_path: Path
) -> None:
    mirror = Mirror.of(sound)
    mirror.height += 1
    says = f"the commits end at height {mirror.height - 1}, not at {mirror.height}"
    assert says in refusal_of(tmp_path / "later", mirror)
    trust = TrustPoint(height=mirror.height, record_hash=bytes(32))
    assert "the trusted one is above it" in refusal_of(tmp_path / "trusted", mirror, trust)
    for number, (row, says) in enumerate(
        ((b"\xff" * 12, f"{COMMITS}, byte "), (bytes(7) + b"\1" + framed(b"\xc1"), "height 1"))
    ):
        assert says in refusal_of(
            tmp_path / str(number), with_row(Mirror.of(sound), COMMITS, 0, row)
        )


def version(key: bytes, sequence: int, value: bytes) -> bytes:
    """Return a row of a history."""
    return len(key).to_bytes(2, "big") + key + sequence.to_bytes(8, "big") + framed(value)


def test_a_row_of_the_history_says_itself_why_it_is_none(sound: Path, tmp_path: Path) -> None:
    sound_rows = rows_in(HISTORY, Mirror.of(sound).files[HISTORY])
    first = next(read_history(io.BytesIO(sound_rows[0])))
    end = Mirror.of(sound).log_size
    named = end.to_bytes(8, "big")
    for number, (at, row, says) in enumerate(
        (
            (0, version(b"", first.sequence, first.value), "it is no key"),
            (0, version(b"\xff", first.sequence, first.value), "it is no key"),
            (1, sound_rows[0], "it is not after the row before"),
            (0, version(first.key, end, named + first.value[8:]), f"the log ends at {end}"),
            (0, version(first.key, first.sequence, named), "its value names another entry"),
            (0, version(b"!", first.sequence, first.value), "it cannot be read"),
            (0, version(first.key, first.sequence, first.value[:8] + b"\xc1"), "cannot be read"),
            (0, b"\0\1a" + bytes(8) + b"\xff\xff\xff\xff", f"{HISTORY}, byte "),
        )
    ):
        mirror = with_row(Mirror.of(sound), HISTORY, at, row)
        assert says in refusal_of(tmp_path / str(number), mirror), says
    nothing = Mirror.of(sound)
    nothing.files[HISTORY] = b""
    assert "the history is empty" in refusal_of(tmp_path / "nothing", nothing)


@pytest.mark.parametrize(
    ("least", "says"),
    [(0, "the history is not what genesis makes"), (8, "the history is not what they wrote")],
)
def test_genesis_writes_what_it_makes_and_a_block_what_its_record_names(
    sound: Path, tmp_path: Path, least: int, says: str
) -> None:
    mirror = Mirror.of(sound)
    rows = rows_in(HISTORY, mirror.files[HISTORY])
    read = [next(read_history(io.BytesIO(row))) for row in rows]
    at = next(
        number
        for number, (one, after) in enumerate(pairwise(read))
        if (one.sequence == 0 if least == 0 else one.sequence > least)
        and one.key != after.key  # its last: it is under a hash for certain
    )
    mirror.files[HISTORY] = b"".join(rows[:at] + rows[at + 1 :])
    assert says in refusal_of(tmp_path / "made", mirror)


def test_a_ledger_that_has_decided_nothing_is_taken_as_it_began(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "begun", map_bytes=MAP_BYTES)
    Ledger(store).begin(builders.genesis())
    store.close()
    made_of(tmp_path / "made", Mirror.of(tmp_path / "begun"))
    assert rows_of(tmp_path / "made" / "store") == rows_of(tmp_path / "begun")


def test_a_block_may_have_as_many_entries_and_bytes_as_a_block_can_have(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[list[int]] = [[]]
    for row in rows_in(LOG, Mirror.of(sound).files[LOG]):
        sizes[-1].append(len(row) - 4)
        if isinstance(decode_entry(row[4:]), ClosingEntry | GenesisEntry):
            sizes.append([])
    entries_max, bytes_max = max(map(len, sizes)), max(map(sum, sizes))
    monkeypatch.setattr(snapshot, "BLOCK_ENTRIES_MAX", entries_max)
    monkeypatch.setattr(snapshot, "BLOCK_LOG_BYTES_MAX", bytes_max)
    made_of(tmp_path / "largest", Mirror.of(sound))
    for bound, value in (
        ("BLOCK_ENTRIES_MAX", entries_max - 1),
        ("BLOCK_LOG_BYTES_MAX", bytes_max - 1),
    ):
        with monkeypatch.context() as less:
            less.setattr(snapshot, bound, value)
            says = refusal_of(tmp_path / bound, Mirror.of(sound))
            assert "no block is as large as this one" in says


def test_two_places_lie_in_one_block_or_not(tmp_path: Path) -> None:
    index = snapshot._Index(tmp_path / "index")
    ends = (0, 1, 1 + BLOCK_ENTRIES_MAX, 2 + BLOCK_ENTRIES_MAX)
    for first, end in pairwise(ends):
        index.add_block(first, end)
    assert not index.same_block(0, 1)
    assert index.same_block(1, BLOCK_ENTRIES_MAX)
    assert not index.same_block(2, BLOCK_ENTRIES_MAX + 1)
    assert not index.same_block(BLOCK_ENTRIES_MAX, BLOCK_ENTRIES_MAX + 1)
    index.close()
