"""The LMDB store (S1 to S5): the same as its naive twin, all or nothing, one writer."""

import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import lmdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ledger.blocks import BlockInput
from ledger.execute import Execution
from ledger.ledger import Ledger
from ledger.rules.budgets import BUDGETS
from ledger.rules.vouchers import VOUCHERS, Voucher
from ledger.store.lmdb_store import ROOM_MIN, LmdbStore, Snapshot, StoreDamaged, StoreFull
from ledger.store.memory import MemoryStore
from ledger.store.rows import due_row
from ledger.transactions import parse
from ledger.view import must
from tests import builders
from tests.builders import Chain, funded_chain
from tests.ledger.acts import opened, random_act, random_step_ms
from trials.replay import replay

ROOT = Path(__file__).resolve().parents[2]
V1 = "shanghai.compute.000000001"
EVER = 2**62
EXPIRY_MS = builders.NOON_MS + 3_600_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    made = LmdbStore(tmp_path / "store")
    yield made
    made.close()


def test_a_store_whose_head_is_of_other_software_is_refused_with_the_way_out(
    tmp_path: Path,
) -> None:
    store = LmdbStore(tmp_path)
    Chain(ledger=Ledger(store))
    store.close()
    environment = lmdb.open(str(tmp_path), max_dbs=1)
    with environment.begin(write=True) as writing:
        meta = environment.open_db(b"meta", txn=writing)
        fields = msgspec.msgpack.decode(writing.get(b"head", db=meta) or b"")
        writing.put(b"head", msgspec.msgpack.encode([*fields[:-1], 5, []]), db=meta)
    environment.close()
    with pytest.raises(StoreDamaged, match=r"of other software .*tally node heal"):
        LmdbStore(tmp_path)


def table(snapshot: Snapshot, name: str) -> dict[bytes, bytes]:
    return dict(snapshot.scan(name, prefix=b"", limit=EVER))


def check_same(store: LmdbStore, twin: MemoryStore, blocks: list[Execution]) -> None:
    """Assert that both stores hold the same of everything a ledger asks for."""
    snapshot = store.snapshot
    assert store.head() == twin.head()
    assert table(snapshot, "state") == twin.state
    history = {key + b"\0" + seq.to_bytes(8, "big"): v for (key, seq), v in twin.history.items()}
    assert table(snapshot, "history") == history
    assert list(store.entries(0, EVER)) == twin.log
    for execution in blocks:
        height = execution.head.height
        assert store.block_row(height) == twin.block_row(height)
        assert store.stored_commit(height) == twin.stored_commit(height)
        for result in execution.results:
            found = store.sequence_of(result.id, result.expires_at)
            assert found == twin.sequence_of(result.id, result.expires_at) == result.sequence
            assert snapshot.find(result.id) == result.sequence
    for until_ms in (0, *[execution.head.time_ms for execution in blocks[-3:]], EVER):
        for limit in (1, 2, 1_000):
            assert store.due(until_ms, limit) == twin.due(until_ms, limit)


@settings(max_examples=12, deadline=None)
@given(seed=some.integers(0, 2**32), blocks=some.integers(1, 12))
def test_both_stores_hold_the_same_after_random_blocks(seed: int, blocks: int) -> None:
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        lmdb, twin = LmdbStore(Path(folder)), MemoryStore()
        one, two = Chain(ledger=Ledger(lmdb)), Chain(ledger=Ledger(twin))
        opened(one)
        opened(two)
        executions = []
        for number in range(blocks):
            now_ms = one.now_ms + random_step_ms(dice)
            raws = [
                random_act(dice, now_ms, 1 + number, 10 * number + position).raw
                for position in range(dice.randrange(4))
            ]
            refusals = one.refusals(*raws, time_ms=now_ms)
            raws = [raw for raw in raws if raw not in refusals]
            executions.append(one.block(*raws, time_ms=now_ms))
            again = two.block(*raws, time_ms=now_ms)
            assert again.head == executions[-1].head
            check_same(lmdb, twin, executions)
        lmdb.close()


def test_a_reopened_store_stands_where_it_stood(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    chain = funded_chain(ledger=Ledger(store))
    chain.accept(builders.mint(("firm-a", 100)))
    head, state = store.head(), table(store.snapshot, "state")
    store.close()
    again = LmdbStore(tmp_path)
    ledger = Ledger(again)
    assert ledger.begin(chain.genesis) == ledger.last() == head
    assert table(again.snapshot, "state") == state
    follow = Chain(ledger=ledger, now_ms=chain.now_ms)
    follow.accept(builders.transfer(V1, 40))
    again.close()


def test_a_logged_id_is_known_after_reopening(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    raw = builders.mint(("firm-a", 100))
    execution = funded_chain(ledger=Ledger(store)).accept(raw)
    store.close()
    again = LmdbStore(tmp_path)
    assert Ledger(again).is_logged(parse(raw))
    assert again.snapshot.find(parse(raw).id) == execution.results[0].sequence
    assert again.snapshot.find(bytes(32)) is None
    again.close()


def test_every_version_of_a_record_stays_readable(store: LmdbStore) -> None:
    chain = funded_chain(ledger=Ledger(store))
    sizes, left = [], []
    chain.accept(builders.mint(("firm-a", 100)))
    for amount in (10, 20, 30):
        sizes.append(chain.ledger.last().log_size)
        left.append(must(store, VOUCHERS, V1).available)
        chain.accept(builders.transfer(V1, amount))
    key = VOUCHERS.key(V1)
    then = [store.snapshot.read_at(key, Voucher, size) for size in sizes]
    assert [voucher.available for voucher in then if voucher is not None] == left == [100, 90, 70]
    assert store.snapshot.read_at(key, Voucher, 1) is None
    versions = [sequence for sequence, _ in store.snapshot.versions(key)]
    assert len(versions) == 4
    assert versions == sorted(versions)


def test_what_belongs_to_a_party_is_found_by_its_name(store: LmdbStore) -> None:
    chain = funded_chain(ledger=Ledger(store))
    chain.accept(builders.mint(("firm-a", 100), ("firm-b", 50), ("firm-a", 30)))
    chain.accept(builders.transfer(V1, 40))
    found = {
        name: store.snapshot.keys_of_party(name, VOUCHERS.prefix, VOUCHERS.prefix, 10)
        for name in ("firm-a", "firm-b", "firm")
    }
    serials = {name: [int(key[-9:]) for key in keys] for name, keys in found.items()}
    assert serials == {"firm-a": [1, 3], "firm-b": [2, 4], "firm": []}


READER = """
import sys
from pathlib import Path
from ledger.store.lmdb_store import LmdbReader
reader = LmdbReader(Path(sys.argv[1]))
with reader.begin() as snapshot:
    print(snapshot.head().height, flush=True)
    sys.stdin.readline()
    print(snapshot.head().height, flush=True)
with reader.begin() as snapshot:
    print(snapshot.head().height, flush=True)
"""


def test_a_read_of_another_process_is_of_one_moment(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    chain = funded_chain(ledger=Ledger(store))
    child = subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    heights = [child.stdout.readline()]
    chain.accept(builders.mint(("firm-a", 100)))
    said, _ = child.communicate("go on\n", timeout=30)
    heights += said.split()
    assert [int(height) for height in heights] == [2, 2, 3]
    store.close()


def test_a_second_thread_may_not_write(store: LmdbStore) -> None:
    chain = funded_chain(ledger=Ledger(store))
    head = chain.ledger.last()
    block = BlockInput(height=3, time_ms=head.time_ms + 1, transactions=(builders.enrol("x"),))
    execution = chain.ledger.execute(block)
    errors: list[str] = []

    def write() -> None:
        try:
            store.commit(execution, b"")
        except AssertionError as error:
            errors.append(str(error))

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(10)
    assert errors == ["a second thread writes"]
    assert store.head() == head
    assert chain.ledger.commit(execution, b"") == execution.head, "the first still may"


def test_a_full_store_keeps_its_last_block_whole(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, map_bytes=400 * 1024)
    chain = Chain(ledger=Ledger(store))
    chain.accept(builders.publish(), builders.enrol("firm-a"))
    chain.accept(builders.appropriate())
    serial, is_full = 0, False
    while not is_full and serial < 100:
        serial += 1
        head, state = store.head(), table(store.snapshot, "state")
        mint = builders.mint(*[("firm-a", 1)] * 100, expires_at=EXPIRY_MS + serial)
        try:
            chain.block(mint)
        except StoreFull:
            is_full = True
    assert is_full
    assert serial > 1, "some blocks fit"
    assert store.head() == head
    assert table(store.snapshot, "state") == state
    assert store.used_share_percent() > 50
    store.close()
    again = LmdbStore(tmp_path, map_bytes=400 * 1024)
    assert again.head() == head
    again.close()


@pytest.mark.parametrize(
    ("room", "raised"), [(0, StoreFull), (ROOM_MIN - 1, StoreFull), (ROOM_MIN, lmdb.Error)]
)
def test_what_a_disk_takes_in_part_is_a_full_disk_only_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, raised: type[Exception]
) -> None:
    def put(*_: object) -> None:
        raise lmdb.Error("mdb_txn_commit: Input/output error")

    store = LmdbStore(tmp_path)
    chain = Chain(ledger=Ledger(store))
    head = store.head()
    monkeypatch.setattr(LmdbStore, "_room", lambda _: room)
    monkeypatch.setattr(LmdbStore, "_put", put)
    with pytest.raises(raised) as refused:
        chain.block(builders.publish())
    assert type(refused.value) is raised
    assert store.head() == head


class FailingStore(LmdbStore):
    """A store whose n-th write fails, as a disk might."""

    fail_at = 0
    """Which write fails, counted down to it; 0 lets all pass."""

    def _put(self, transaction: lmdb.Transaction, name: str, key: bytes, value: bytes) -> None:
        self.fail_at -= 1
        if self.fail_at == 0:
            raise OSError("the disk is gone")
        super()._put(transaction, name, key, value)


def test_a_commit_that_fails_anywhere_leaves_nothing(tmp_path: Path) -> None:
    store = FailingStore(tmp_path)
    chain = funded_chain(ledger=Ledger(store))
    chain.accept(builders.mint(("firm-a", 100)))
    head = store.head()
    names = ("state", "history", "log", "ids", "blocks", "commits", "due", "parties", "tiles")
    before = {name: table(store.snapshot, name) for name in names}
    raw = builders.transfer(V1, 40)
    block = BlockInput(height=4, time_ms=chain.now_ms + 1_000, transactions=(raw,))
    execution = chain.ledger.execute(block)
    failures = 0
    while store.head() == head:
        store.fail_at = failures + 1
        try:
            chain.ledger.commit(execution, b"certificate")
        except OSError:
            failures += 1
            assert store.head() == head
            assert {name: table(store.snapshot, name) for name in names} == before
    assert failures > 10, "every single write failed once"
    assert store.head() == execution.head
    store.close()


KILLS = 8


def test_a_killed_process_leaves_whole_blocks(tmp_path: Path) -> None:
    dice = random.Random("kills")
    heights = [0]
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.commit_forever", str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline().strip().isdigit(), "it started and committed"
        time.sleep(dice.randrange(1, 60) / 1000)
        child.kill()
        said = [int(line) for line in child.stdout.read().split()]
        child.wait(10)
        store = LmdbStore(tmp_path)
        head = store.head()
        assert head is not None
        assert head.height >= max([*said, heights[-1] + 1]), "what was said to be durable is"
        row = store.block_row(head.height)
        assert row is not None
        assert (row.record_hash, row.log_size) == (head.record_hash, head.log_size)
        assert store.stored_commit(head.height) == b"certificate %d" % head.height
        assert store.stored_commit(head.height + 1) is None
        log = store.entries(0, EVER)
        assert len(log) == head.log_size
        again = MemoryStore()
        report = replay(builders.genesis(), log, storage=again, verify_commit=None)
        assert (report.record_hash, report.height) == (head.record_hash, head.height)
        assert table(store.snapshot, "state") == again.state
        budget = must(store, BUDGETS, "shanghai.compute", "2026", "shanghai")
        assert budget.appropriated == head.height - 1
        heights.append(head.height)
        store.close()
    print(f"{KILLS} kills at heights {heights[1:]}")


def test_only_value_that_can_expire_is_in_the_due_index(store: LmdbStore) -> None:
    chain = funded_chain(ledger=Ledger(store))
    chain.accept(builders.mint(("firm-a", 100), ("firm-a", 50)))
    chain.accept(builders.redeem((V1, 100)))
    assert due_row(b"voucher/" + V1.encode(), must(store, VOUCHERS, V1)) is None
    assert store.due(EVER, 10) == ("voucher/shanghai.compute.000000002",)
    assert store.due(must(store, VOUCHERS, V1).expires_at_ms - 1, 10) == ()
