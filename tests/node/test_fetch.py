"""A node made from what strangers export: the same store, or none (N12)."""

import io
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import BinaryIO

import httpx2
import lmdb
import msgspec
import pytest
from click.testing import CliRunner, Result

from audit import files
from engines.builtin.messages import decode_commit
from engines.builtin.signer import create_signer
from ledger.blocks import BlockInput
from ledger.encoding import codec
from ledger.entries import ClosingEntry, decode_entry
from ledger.execute import ROOT_EVERY_MS
from ledger.ledger import Ledger
from ledger.rules.governance import SetValidator
from ledger.store import restore
from ledger.store.lmdb_store import LmdbStore
from node.commands.node import group
from node.config import NodeConfig, config_text
from node.exports import Version, read_commits, read_entries, read_history
from node.fetch import (
    TARGET,
    AddressInvalid,
    AnotherLedger,
    FetchBroken,
    client_of,
    fetch_store,
)
from node.lock import held
from node.scrub import Scrub
from node.snapshot import (
    COMMITS,
    HISTORY,
    LOG,
    Made,
    SnapshotRefused,
    TrustPoint,
)
from tally.exits import AuditFinding, Unreachable, UsageError
from tests import builders, decided
from tests.builders import Chain
from tests.decided import DecidedChain
from trials.replay import check_export, replay

SEED = 20262
CHANGES = 120
MAP_BYTES = 2**27
TABLES = (
    *("state", "history", "log", "blocks", "commits", "ids", "due", "parties", "tree", "tiles"),
    "meta",
)
PLACE = re.compile(r"entry \d+|height \d+|version \d+|byte \d+")
V1, V2 = "shanghai.compute.000000001", "shanghai.compute.000000002"
READERS: dict[str, Callable[[BinaryIO], Iterator[object]]] = {
    LOG: read_entries,
    COMMITS: read_commits,
    HISTORY: read_history,
}
Rows = dict[str, dict[bytes, bytes]]


def leave() -> tuple[bytes, ...]:
    """Return the transactions by which all members agree that a centre no longer validates."""
    proposal = builders.propose(SetValidator(party="guian-hub", validator=(), proofs=()))
    votes = (builders.vote(voter=voter) for voter in ("guiyang", "guian-hub", "chengdu-aicc"))
    return (proposal, *votes)


def live(path: Path, *, blocks: int = 24) -> None:
    """Make a store with state roots, idle heights, several versions and a validator that left."""
    store = LmdbStore(path, map_bytes=MAP_BYTES)
    made = DecidedChain(Chain(ledger=Ledger(store)))
    made.block(after_ms=1)
    made.block(builders.publish(), builders.enrol("firm-a"), builders.enrol("firm-b"))
    made.block(builders.accredit(), builders.appropriate(), builders.recognise())
    made.block(builders.mint(("firm-a", 100_000)), builders.mint(("firm-b", 200_000)))
    made.block(builders.redeem((V1, 1_000)), builders.set_aside(V1, 500))
    with pytest.MonkeyPatch.context() as changing:
        made.block(*leave())
        made.block()  # decided by those who still act, though the next record is others'
        changing.setattr(decided, "VOTERS", ("shanghai", "guiyang", "chengdu-aicc"))
        made.block(builders.set_hold("voucher", V1))
        for amount in range(1, blocks):
            raws = [builders.mint(("firm-a", amount), ("firm-b", amount + n)) for n in range(4)]
            made.block(*raws, after_ms=700)
            made.block()
        made.block()
    store.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that executed everything."""
    path = tmp_path_factory.mktemp("sound") / "store"
    live(path)
    return path


def rows_of(path: Path) -> Rows:
    """Return every row of a store."""
    with lmdb.open(str(path), max_dbs=16, map_size=MAP_BYTES, lib_version=0) as environment:
        databases = {name: environment.open_db(name.encode()) for name in TABLES}
        with environment.begin() as snapshot:
            return {name: dict(snapshot.cursor(one)) for name, one in databases.items()}


def without_inner(path: Path) -> Rows:
    """Return every row of a store but versions that the same block overwrote, the naive way."""
    rows = rows_of(path)
    store = LmdbStore(path, map_bytes=MAP_BYTES)
    head = store.head()
    assert head is not None
    blocks = map(store.block_row, range(head.height + 1))
    ends = [block.log_size for block in blocks if block is not None]
    store.close()
    last: dict[tuple[bytes, int], bytes] = {}
    for row in sorted(rows["history"]):
        sequence = int.from_bytes(row[-8:], "big")
        last[row[:-9], next(end for end in ends if sequence < end)] = row
    rows["history"] = {row: rows["history"][row] for row in last.values()}
    return rows


@dataclass
class Mirror:
    """Serves a store's exports, as a node's API or any mirror does."""

    files: dict[str, bytes]
    genesis: bytes
    height: int
    log_size: int
    cut_after: int | None = None
    """Bytes after which a stream of an export breaks off."""
    asked: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path) -> "Mirror":
        """Return a mirror of a store."""
        rows = rows_of(path)
        store = LmdbStore(path, map_bytes=MAP_BYTES)
        head, genesis = store.head(), store.genesis()
        store.close()
        assert head is not None and genesis is not None
        return cls(
            files={
                LOG: b"".join(framed(rows["log"][key]) for key in sorted(rows["log"])),
                COMMITS: b"".join(
                    key + framed(rows["commits"][key]) for key in sorted(rows["commits"])
                ),
                HISTORY: b"".join(
                    len(row[:-9]).to_bytes(2, "big")
                    + (row[:-9] + row[-8:] + framed(rows["history"][row]))
                    for row in sorted(rows["history"])
                ),
            },
            genesis=genesis,
            height=head.height,
            log_size=head.log_size,
        )

    def client(self) -> httpx2.Client:
        """Return a client that reaches this mirror."""
        return httpx2.Client(transport=httpx2.MockTransport(self._answer), base_url="http://mirror")

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        path, asked = request.url.path, request.url.params
        self.asked.append(str(request.url.raw_path, "ascii"))
        if path == "/v1/genesis":
            return httpx2.Response(200, content=self.genesis)
        if path == "/v1/blocks":
            item = {"height": self.height, "log_size": self.log_size}
            return httpx2.Response(200, json={"items": [item]})
        name = {"log": LOG, "commits": COMMITS, "history": HISTORY}[path.rsplit("/", 1)[1]]
        return httpx2.Response(200, content=self._pieces(self._from(name, asked.get("from"))))

    def _from(self, name: str, begin: str | None) -> bytes:
        file = io.BytesIO(self.files[name])
        at = 0
        for number, row in enumerate(READERS[name](file)):
            if begin is None or not is_before(begin, number, row):
                break
            at = file.tell()
        return self.files[name][at:]

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), 1_000):
            if self.cut_after is not None and at >= self.cut_after:
                raise httpx2.ReadError("cut")
            yield data[at : at + 1_000]


def is_before(begin: str, number: int, row: object) -> bool:
    """Return whether a row lies before what `from` asks for."""
    match row:
        case Version():
            return row.row <= bytes.fromhex(begin)
        case (int(height), _):
            return height < int(begin)
        case _:
            return number < int(begin)


def framed(data: bytes) -> bytes:
    """Return bytes after their length."""
    return len(data).to_bytes(4, "big") + data


def config_at(folder: Path, mirror: Mirror) -> NodeConfig:
    """Return the configuration of a node that has nothing but its genesis."""
    folder.mkdir(exist_ok=True)
    (folder / "genesis.bin").write_bytes(mirror.genesis)
    return NodeConfig(
        party="newcomer",
        folder=folder,
        listen_host="127.0.0.1",
        listen_port=7800,
        peers=(),
        links_per_address_max=2,
        map_bytes=MAP_BYTES,
    )


def fetched(folder: Path, mirror: Mirror, trust: TrustPoint | None = None) -> Made:
    """Fetch a store into a folder."""
    with mirror.client() as client:
        return fetch_store(config_at(folder, mirror), client, trust)


@pytest.mark.parametrize("rows_max", [7, restore.WAITING_ROWS_MAX])
def test_the_store_is_that_of_a_node_that_executed_everything(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    monkeypatch.setattr(restore, "WAITING_ROWS_MAX", rows_max)
    monkeypatch.setattr(restore, "TREE_BATCH_MAX", rows_max)
    made = fetched(tmp_path, Mirror.of(sound))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["genesis.bin", "store"]
    expected, found = without_inner(sound), rows_of(tmp_path / "store")
    assert len(expected["history"]) < len(rows_of(sound)["history"]), "some versions are inner"
    for name in TABLES:
        assert found[name] == expected[name], name
        assert found[name], f"the chain leaves something in {name}"
    assert made.versions == len(found["history"])
    entries = map(decode_entry, found["log"].values())
    records = [one.record for one in entries if isinstance(one, ClosingEntry)]
    assert sum(bool(record.state_root) for record in records) > 2
    assert len(records) < made.head.height, "some heights have no record"


def test_a_made_store_is_whole_and_goes_on_as_the_other_does(sound: Path, tmp_path: Path) -> None:
    fetched(tmp_path / "made", Mirror.of(sound))
    copy = tmp_path / "copy"
    shutil.copytree(sound, copy)
    for path in (copy, tmp_path / "made" / "store"):
        store = LmdbStore(path, map_bytes=MAP_BYTES)
        scrub = Scrub()
        while not scrub.passes:
            scrub.step(store.snapshot)
        ledger = Ledger(store)
        head = ledger.last()
        for number, after_ms in enumerate((700, ROOT_EVERY_MS, ROOT_EVERY_MS), start=1):
            raws = (builders.transfer(V2, number, holder="firm-b", recipient="firm-a"),)
            block = BlockInput(
                height=head.height + number,
                time_ms=ledger.last().time_ms + after_ms,
                transactions=raws,
            )
            execution = ledger.execute(block)
            ledger.commit(execution, b"commit")
            assert execution.record is not None
        store.close()
    expected, found = without_inner(copy), without_inner(tmp_path / "made" / "store")
    assert found == expected


def rows_in(name: str, data: bytes) -> list[bytes]:
    """Return the rows of a file."""
    file, ends = io.BytesIO(data), [0]
    for _ in READERS[name](file):
        ends.append(file.tell())
    return [data[begin:end] for begin, end in pairwise(ends)]


def flip(name: str, data: bytes, dice: Random) -> bytes:
    at = dice.randrange(8 * len(data))
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


def drop(name: str, data: bytes, dice: Random) -> bytes:
    rows = rows_in(name, data)
    del rows[dice.randrange(len(rows))]
    return b"".join(rows)


def swap(name: str, data: bytes, dice: Random) -> bytes:
    rows = rows_in(name, data)
    at = dice.randrange(len(rows) - 1)
    return b"".join([*rows[:at], rows[at + 1], rows[at], *rows[at + 2 :]])


def repeat(name: str, data: bytes, dice: Random) -> bytes:
    rows = rows_in(name, data)
    at = dice.randrange(len(rows))
    return b"".join([*rows[: at + 1], *rows[at:]])


def truncate(name: str, data: bytes, dice: Random) -> bytes:
    return data[: dice.randrange(len(data))]


def end_early(name: str, data: bytes, dice: Random) -> bytes:
    rows = rows_in(name, data)
    return b"".join(rows[: dice.randrange(len(rows))])


@pytest.mark.parametrize("name", [LOG, COMMITS, HISTORY])
@pytest.mark.parametrize("change", [flip, drop, swap, repeat, truncate, end_early])
def test_what_is_not_what_was_written_is_refused_with_its_place_and_leaves_no_store(
    sound: Path, tmp_path: Path, name: str, change: Callable[[str, bytes, Random], bytes]
) -> None:
    dice, places = Random(f"{SEED}/{name}/{change.__name__}"), list[str]()
    expected = without_inner(sound)
    # Two thirds of a history are versions that the same block overwrote: no hash holds them.
    for number in range((CHANGES // 18 + 4) * (3 if name == HISTORY else 1)):
        mirror = Mirror.of(sound)
        mirror.files[name] = change(name, mirror.files[name], dice)
        folder = tmp_path / str(number)
        try:
            fetched(folder, mirror)
        except SnapshotRefused as refusal:
            places.append(str(refusal))
            assert [one.name for one in folder.iterdir()] == ["genesis.bin"]
        else:  # the versions that are under no hash are not in the store either
            assert name == HISTORY
            assert rows_of(folder / "store") == expected
    assert len(places) >= (4 if name == HISTORY else 10)
    assert all(PLACE.search(place) for place in places), places


def test_a_state_root_that_is_not_the_states_is_refused_though_a_quorum_signed_it(
    tmp_path: Path,
) -> None:
    with pytest.MonkeyPatch.context() as changing:
        true_root = LmdbStore.state_root
        changing.setattr(LmdbStore, "state_root", lambda store: true_root(store)[::-1])
        live(tmp_path / "forged", blocks=1)
    with pytest.raises(SnapshotRefused, match="state after height 0 is not what its root says"):
        fetched(tmp_path / "made", Mirror.of(tmp_path / "forged"))


def test_a_history_that_no_quorum_decided_is_refused(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as changing:
        changing.setattr(decided, "VOTERS", ("shanghai", "guiyang"))
        live(tmp_path / "forged", blocks=1)
    with pytest.raises(SnapshotRefused, match="commit at height 1: power 2 of 4 is not a quorum"):
        fetched(tmp_path / "made", Mirror.of(tmp_path / "forged"))


def test_a_body_that_no_header_names_is_refused_though_every_signature_in_it_holds(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror.of(sound)
    commits = [
        (height, decode_commit(data))
        for height, data in read_commits(io.BytesIO(mirror.files[COMMITS]))
    ]
    monkeypatch.setattr(decided, "VOTERS", ("guiyang", "guian-hub", "chengdu-aicc"))
    height, commit = commits[3]
    another = decided.certify(commits[2][1].header)
    assert another != commit.previous[0]
    commits[3] = height, msgspec.structs.replace(commit, previous=(another,))
    mirror.files[COMMITS] = b"".join(
        height.to_bytes(8, "big") + framed(codec.encode(commit)) for height, commit in commits
    )
    with pytest.raises(SnapshotRefused, match="height 4: the body is not what it certifies"):
        fetched(tmp_path, mirror)


def test_another_history_by_the_same_keys_fails_against_a_trust_point(
    sound: Path, tmp_path: Path
) -> None:
    live(tmp_path / "fork", blocks=3)
    store = LmdbStore(sound, map_bytes=MAP_BYTES)
    rows = {height: store.block_row(height) for height in (5, 13)}
    store.close()
    points = {
        h: TrustPoint(height=h, record_hash=row.record_hash) for h, row in rows.items() if row
    }
    fork = Mirror.of(tmp_path / "fork")
    fetched(tmp_path / "unaware", fork)
    fetched(tmp_path / "before", fork, points[5])
    fetched(tmp_path / "right", Mirror.of(sound), points[13])
    wanted = points[13].record_hash.hex()
    with pytest.raises(SnapshotRefused, match=f"13: .* is [0-9a-f]+, the trusted {wanted}"):
        fetched(tmp_path / "other", fork, points[13])
    with pytest.raises(FetchBroken, match="below the trusted one"):
        fetched(tmp_path / "behind", fork, TrustPoint(height=1_000, record_hash=bytes(32)))


def test_a_download_that_breaks_off_goes_on_where_it_ended(sound: Path, tmp_path: Path) -> None:
    mirror = Mirror.of(sound)
    mirror.cut_after = 20_000
    (tmp_path / "store.new").mkdir()  # as a process leaves it that was killed
    (tmp_path / "store.new" / "data.mdb").write_bytes(b"half")
    breaks = 0
    while not (tmp_path / "store").exists():
        try:
            fetched(tmp_path, mirror)
        except FetchBroken:
            breaks += 1
            assert breaks < 200, "it gets on"
            (tmp_path / "fetch" / "index.sqlite").write_bytes(b"half")
        else:
            assert breaks == sum((len(data) - 1) // 20_000 for data in mirror.files.values())
    assert breaks > 5
    assert rows_of(tmp_path / "store") == without_inner(sound)


def test_a_download_is_of_one_block_though_the_ledger_grows_meanwhile(
    sound: Path, tmp_path: Path
) -> None:
    behind, ahead = Mirror.of(sound), tmp_path / "ahead"
    shutil.copytree(sound, ahead)
    behind.cut_after = 20_000
    with pytest.raises(FetchBroken):
        fetched(tmp_path / "made", behind)
    store = LmdbStore(ahead, map_bytes=MAP_BYTES)
    ledger = Ledger(store)
    grown = BlockInput(
        height=behind.height + 1,
        time_ms=ledger.last().time_ms + 1,
        transactions=(builders.enrol("firm-c"),),
    )
    ledger.commit(ledger.execute(grown), b"a commit that nobody will look at")
    store.close()
    later = Mirror.of(ahead)
    until = [row for row in rows_in(HISTORY, later.files[HISTORY]) if not is_new(row, behind)]
    later.files[HISTORY] = b"".join(until)  # the server leaves out what is younger than `until`
    made = fetched(tmp_path / "made", later)
    assert made.head.height == behind.height
    assert rows_of(tmp_path / "made" / "store") == without_inner(sound)


def is_new(row: bytes, mirror: Mirror) -> bool:
    """Return whether a row of the history is younger than a mirror."""
    return next(read_history(io.BytesIO(row))).sequence >= mirror.log_size


def test_a_server_of_another_ledger_is_refused_before_anything_is_taken(
    sound: Path, tmp_path: Path
) -> None:
    mirror = Mirror.of(sound)
    config = config_at(tmp_path, mirror)
    mirror.genesis = builders.genesis(network="dev-other")
    with mirror.client() as client, pytest.raises(AnotherLedger, match="mirror"):
        fetch_store(config, client, None)
    assert mirror.asked == ["/v1/genesis"]


def test_an_audit_follows_validators_who_leave_between_two_records(
    sound: Path, tmp_path: Path
) -> None:
    mirror = Mirror.of(sound)
    (tmp_path / files.ENTRIES).write_bytes(mirror.files[LOG])
    (tmp_path / files.COMMITS).write_bytes(mirror.files[COMMITS])
    assert check_export(mirror.genesis, tmp_path)["commits"] == mirror.height


def test_a_store_is_taken_to_where_executing_the_log_leads(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "store", map_bytes=MAP_BYTES)
    busy = DecidedChain(Chain(ledger=Ledger(store)))
    busy.block(builders.publish(), builders.enrol("firm-a"), builders.appropriate())
    for number in range(16):
        busy.block(*(builders.mint(("firm-a", 100 * number + n + 1)) for n in range(50)))
    store.close()
    mirror = Mirror.of(tmp_path / "store")
    begun = time.perf_counter()
    made = fetched(tmp_path / "made", mirror)
    took_s = time.perf_counter() - begun
    scratch = LmdbStore(tmp_path / "scratch", map_bytes=MAP_BYTES, durable=False)
    log = read_entries(io.BytesIO(mirror.files[LOG]))
    begun = time.perf_counter()
    report = replay(mirror.genesis, log, storage=scratch, verify_commit=None)
    executed_s = time.perf_counter() - begun
    scratch.close()
    assert report.record_hash == made.head.record_hash
    print(
        f"{made.head.log_size / took_s:.0f} entries/s taken, commits proven; "
        f"{made.head.log_size / executed_s:.0f} executed, commits unseen: "
        f"{executed_s / took_s:.1f} times as fast"
    )


@pytest.fixture
def folder(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a node without a store, whose command reaches a mirror."""
    mirror = Mirror.of(sound)
    monkeypatch.setattr("node.fetch.client_of", lambda _: mirror.client())
    config = config_at(tmp_path / "node", mirror)
    (config.folder / "node.toml").write_text(config_text(config), encoding="utf-8")
    create_signer(config.signer, builders.seed("newcomer")).close()
    (config.folder / "wal").mkdir()
    (config.folder / "wal" / "log").write_bytes(b"what this node once did")
    return config.folder


def tried(folder: Path, *more: str) -> Result:
    """Return how `tally node fetch` went."""
    arguments = ["fetch", "--folder", str(folder), "--from", "http://mirror", *more]
    return CliRunner().invoke(group, arguments)


def test_the_command_makes_the_store_and_leaves_everything_else_alone(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = tried(folder)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "without --trust" in result.output
    assert (folder / "store" / "data.mdb").exists()
    assert {path: path.read_bytes() for path in before} == before


def test_the_command_says_when_nobody_answers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    wrong = {"http://127.0.0.1:9": Unreachable, "nowhere": UsageError, "http://[::": UsageError}
    for url, error in wrong.items():
        result = CliRunner().invoke(group, ["fetch", "--folder", str(folder), "--from", url])
        assert isinstance(result.exception, error), result.exception
        assert not (folder / "store").exists()


def test_the_command_refuses_a_store_a_running_node_and_a_crooked_trust_point(
    folder: Path,
) -> None:
    for point in ("5", "5:abc", "x:" + "0" * 64, "5:" + "0" * 63):
        assert isinstance(tried(folder, "--trust", point).exception, UsageError)
    with held(folder / "pid"):
        assert f"in use by process {os.getpid()}" in str(tried(folder).exception)
    wrong = tried(folder, "--trust", "5:" + "0" * 64)
    assert isinstance(wrong.exception, AuditFinding)
    both = rf"height 5: its record hash is [0-9a-f]{{64}}, the trusted {'0' * 64}"
    assert re.search(both, str(wrong.exception)), wrong.exception
    assert "refused and deleted" in str(wrong.exception)
    (folder / "store").mkdir()
    assert "tally node heal" in str(tried(folder).exception)
    assert not any((folder / "store").iterdir())


def test_the_command_takes_nothing_from_a_server_of_another_ledger_and_deletes_nothing(
    folder: Path,
) -> None:
    (folder / "fetch").mkdir()
    begun = folder / "fetch" / LOG
    begun.write_bytes(b"what another server gave")
    (folder / "genesis.bin").write_bytes(builders.genesis(network="dev-other"))
    wrong = tried(folder)
    assert isinstance(wrong.exception, AuditFinding)
    assert "serves another ledger" in str(wrong.exception)
    assert "deleted" not in str(wrong.exception)
    assert begun.exists()


@pytest.mark.parametrize(
    "address",
    [
        *("nowhere", "ftp://host", "http:///path", "http://[::", "https://host/v1"),
        *("http://name:word@host", "http://host?a=b", "http://host#part"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(AddressInvalid, match="expected http://HOST:PORT") as refusal:
        client_of(address)
    assert address not in str(refusal.value)
    client_of("https://host:8443/mirror").close()


def answering(answer: Callable[[httpx2.Request], httpx2.Response]) -> httpx2.Client:
    """Return a client of a server that answers so."""
    return httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://mirror")


@pytest.mark.parametrize(
    ("length", "says"),
    [(2**20, "serves another ledger"), (2**20 + 1, "answers without end")],
)
def test_a_short_answer_may_be_so_long_and_no_longer(
    sound: Path, tmp_path: Path, length: int, says: str
) -> None:
    config = config_at(tmp_path, Mirror.of(sound))
    with (
        answering(lambda _: httpx2.Response(200, content=bytes(length))) as client,
        pytest.raises((AnotherLedger, FetchBroken), match=says),
    ):
        fetch_store(config, client, None)


@pytest.mark.parametrize("status", [199, 201, 404, 500])
def test_an_answer_that_is_none_is_told_by_its_number(
    sound: Path, tmp_path: Path, status: int
) -> None:
    config = config_at(tmp_path, Mirror.of(sound))
    with (
        answering(lambda _: httpx2.Response(status)) as client,
        pytest.raises(FetchBroken, match=f"answered {status}"),
    ):
        fetch_store(config, client, None)


@pytest.mark.parametrize("last", [b"", b"[]", b'{"items":[]}', b'{"items":[{"height":-1}]}'])
def test_a_server_that_does_not_name_its_last_block_is_left(
    sound: Path, tmp_path: Path, last: bytes
) -> None:
    mirror = Mirror.of(sound)

    def answer(request: httpx2.Request) -> httpx2.Response:
        is_genesis = request.url.path == "/v1/genesis"
        return httpx2.Response(200, content=mirror.genesis if is_genesis else last)

    with (
        answering(answer) as client,
        pytest.raises(FetchBroken, match="does not say which block is its last"),
    ):
        fetch_store(config_at(tmp_path, mirror), client, None)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        (LOG, b"\xff\xff\xff\xff", f"{LOG}, byte 0: expected a length"),
        (TARGET, b"half", "target"),
    ],
)
def test_what_an_earlier_download_left_is_read_with_the_same_eyes(
    sound: Path, tmp_path: Path, name: str, data: bytes, says: str
) -> None:
    (tmp_path / "fetch").mkdir()
    (tmp_path / "fetch" / name).write_bytes(data)
    with pytest.raises(SnapshotRefused, match=says):
        fetched(tmp_path, Mirror.of(sound))
    assert not (tmp_path / "fetch").exists()


def test_a_part_that_is_whole_is_not_asked_for_again(sound: Path, tmp_path: Path) -> None:
    mirror = Mirror.of(sound)
    last = rows_in(HISTORY, mirror.files[HISTORY])[-1]
    mirror.files[HISTORY] = mirror.files[HISTORY][: -len(last)] + last[:-1]
    (tmp_path / "fetch").mkdir()
    for name in (LOG, COMMITS):
        (tmp_path / "fetch" / name).write_bytes(mirror.files[name])
    with pytest.raises(SnapshotRefused, match=HISTORY):
        fetched(tmp_path, mirror)
    assert [path.split("?")[0] for path in mirror.asked] == [
        "/v1/genesis",
        "/v1/blocks",
        "/v1/exports/history",
    ]


@pytest.mark.parametrize("name", [LOG, COMMITS])
def test_a_part_that_lacks_one_row_is_asked_for_it_when_whole(
    sound: Path, tmp_path: Path, name: str
) -> None:
    mirror = Mirror.of(sound)
    (tmp_path / "fetch").mkdir()
    rows = rows_in(name, mirror.files[name])
    (tmp_path / "fetch" / name).write_bytes(b"".join(rows[:-1]))
    assert fetched(tmp_path, mirror).head.height == mirror.height


def test_the_trusted_block_may_be_the_first_or_the_last_and_no_later_one(
    sound: Path, tmp_path: Path
) -> None:
    mirror = Mirror.of(sound)
    store = LmdbStore(sound, map_bytes=MAP_BYTES)
    head, first = store.head(), store.block_row(0)
    store.close()
    assert head is not None and first is not None
    for place, height, record_hash in (
        ("first", 0, first.record_hash),
        ("last", head.height, head.record_hash),
    ):
        fetched(tmp_path / place, mirror, TrustPoint(height=height, record_hash=record_hash))
        wrong = TrustPoint(height=height, record_hash=bytes(32))
        with pytest.raises(SnapshotRefused, match=f"height {height}: its record hash is"):
            fetched(tmp_path / f"not the {place}", mirror, wrong)
    later = TrustPoint(height=head.height + 1, record_hash=head.record_hash)
    with pytest.raises(FetchBroken, match="below the trusted one"):
        fetched(tmp_path / "later", mirror, later)
