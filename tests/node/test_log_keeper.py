"""When a node makes heads, when its cosigner may speak, and whom it asks."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ledger.encoding import note, policy
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.merkle import Frontier
from ledger.entries import ClosingEntry, decode_entry
from ledger.execute import ROOT_EVERY_MS
from ledger.ledger import Ledger
from ledger.rules.validators import ValidatorRecord, ValidatorSetRecord
from ledger.store.lmdb_store import LmdbStore
from node.config import NodeConfig, PeerConfig
from node.cosigner import Answer, Cosigner, root_at
from node.heads import Head
from node.log_keeper import REFRESH_US, WITNESS_PATH, LogKeeper, StoredTree
from tests import builders
from tests.builders import Chain, seed, validator_keys
from tests.decided import DecidedChain
from tests.node.test_cosigner import ORIGIN, Tree
from tests.node.test_inbox import StandingClock

MAP_BYTES = 2**26
CITIES = ("chengdu-aicc", "guiyang", "shanghai")


class Heads:
    """Takes the heads that are to be published."""

    def __init__(self) -> None:
        self.heads: list[Head] = []

    def publish(self, head: Head) -> None:
        self.heads.append(head)


class LedgerAt:
    """A ledger that stands where it is put."""

    def __init__(self) -> None:
        self.height, self.from_height = 6, 0

    def last(self) -> Any:
        return SimpleNamespace(height=self.height, log_size=9)

    def validators(self, height: int) -> ValidatorSetRecord:
        members = tuple(ValidatorRecord(party=city, keys=validator_keys(city)) for city in CITIES)
        return ValidatorSetRecord(from_height=self.from_height, validators=members)


def config_at(folder: Path, party: str = "shanghai") -> NodeConfig:
    peers = (
        PeerConfig(party="guiyang", host="guiyang.example", port=1, url="https://guiyang.example"),
        PeerConfig(party="chengdu-aicc", host="chengdu.example", port=1),
        PeerConfig(party="shanghai", host="shanghai.example", port=1, url="https://own.example"),
    )
    return NodeConfig(
        party=party,
        folder=folder,
        listen_host="127.0.0.1",
        listen_port=0,
        links_per_address_max=2,
        map_bytes=MAP_BYTES,
        peers=peers,
    )


class Kept:
    """A log keeper and all that it works with."""

    def __init__(self, folder: Path, *, party: str = "shanghai") -> None:
        self.cosigner = Cosigner(
            origin=ORIGIN,
            party=party,
            seeds=(seed(party, "cosigner"),),
            path=folder / "cosigned",
        )
        config = config_at(folder, party)
        self.keeper = LogKeeper(config, cosigner=self.cosigner, log_seeds=(seed(party, "log"),))
        self.clock, self.ledger, self.heads = StandingClock(), LedgerAt(), Heads()
        self.clock.wall_ms = lambda: 1_000_000  # type: ignore[method-assign]
        self.keeper._clock = cast(Any, self.clock)
        self.keeper._ledger = cast(Any, self.ledger)
        self.keeper._tree = cast(Any, Tree(9))
        self.keeper._publisher = cast(Any, self.heads)
        self.keeper._last = Tree(9).head(9)

    async def published(self) -> int:
        """Return how many heads there were since the last time."""
        await asyncio.sleep(0)
        count = len(self.heads.heads)
        self.heads.heads.clear()
        return count


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run something that needs a loop."""

    async def on_loop() -> None:
        await scenario()

    asyncio.run(on_loop())


def test_a_head_is_cosigned_anew_after_its_time_and_not_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path)
        for now_us, count in ((0, 1), (REFRESH_US - 1, 0), (REFRESH_US, 1), (REFRESH_US + 1, 0)):
            kept.clock.now_us = now_us
            kept.keeper.refresh()
            assert await kept.published() == count, now_us

    run(scenario)


def test_a_cosigner_speaks_once_the_height_that_was_being_decided_is_durable(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path)
        kept.keeper.refresh()
        for height, knows, is_silent in (
            (6, False, True),
            (7, False, True),
            (7, True, True),
            (7, True, True),
            (8, True, False),
        ):
            kept.ledger.height = height
            kept.keeper._end_silence_if_sure(knows)
            assert kept.cosigner.is_silent == is_silent, (height, knows)
        await kept.published()
        kept.keeper.refresh()
        assert await kept.published() == 1, "what it says of the last head does not wait"

    run(scenario)


def committed(*, state_root: bool, is_empty: bool = False) -> Any:
    """Return an execution with a record, if it is not empty."""
    record = None if is_empty else SimpleNamespace(state_root=(1,) if state_root else ())
    return SimpleNamespace(record=record, head=SimpleNamespace(log_size=0, log_peaks=()))


def test_a_block_makes_a_head_if_it_carries_a_state_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        kept, looked = Kept(tmp_path), list[int]()
        monkeypatch.setattr(kept.keeper, "look_around", lambda _: looked.append(1))
        for execution, count in (
            (committed(state_root=True), 1),
            (committed(state_root=False), 0),
            (committed(state_root=False, is_empty=True), 0),
        ):
            kept.keeper.committed(execution, knows_where_it_was=False)
            assert await kept.published() == count
        assert kept.keeper._last is not None
        assert kept.keeper._last.root == Frontier().root()
        assert looked == []
        kept.ledger.from_height = 8
        kept.keeper.committed(committed(state_root=False), knows_where_it_was=False)
        assert looked == [1], "others act from now on"

    run(scenario)


def test_cosigners_are_asked_where_they_are_known_to_be_and_never_this_node(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        for party, followed in (("shanghai", 0), ("hangzhou", 2)):
            kept, set_ = Kept(tmp_path, party=party), list[tuple[Any, ...]]()
            kept.keeper._set_targets = lambda *told, to=set_: to.append(told)  # type: ignore
            kept.keeper.look_around(kept.keeper._config)
            await asyncio.sleep(0)
            ((targets, urls),) = set_
            own = [] if party == "shanghai" else [f"https://own.example{WITNESS_PATH}"]
            expected = [f"https://guiyang.example{WITNESS_PATH}", *own]
            assert [target.url for target in targets] == expected
            assert len(urls) == followed, "who validates follows nobody"

    run(scenario)


@pytest.mark.parametrize("is_off", [False, True])
def test_a_node_whose_clock_is_off_makes_heads_without_its_line(
    tmp_path: Path, is_off: bool
) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path)
        kept.cosigner.end_silence(1)
        kept.keeper.clock_is_off = is_off
        kept.keeper.refresh()
        await asyncio.sleep(0)
        (head,) = kept.heads.heads
        assert len(head.own_lines) == (0 if is_off else 1)
        assert len(head.log_lines) == 1
        body = b"old 0\n"
        assert kept.keeper.cosign(body, knows_where_it_was=True).status == (503 if is_off else 400)

    run(scenario)


def test_a_node_that_is_no_cosigner_adds_no_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, party="hangzhou")
        kept.cosigner.end_silence(1)
        kept.keeper.refresh()
        await asyncio.sleep(0)
        (head,) = kept.heads.heads
        assert head.own_lines == ()

    run(scenario)


@pytest.mark.parametrize(("number", "goes_on"), [(errno.ENOSPC, True), (errno.EIO, False)])
def test_a_full_disk_costs_a_line_and_a_broken_one_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, goes_on: bool
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, "the disk")

    async def scenario() -> None:
        kept = Kept(tmp_path)
        for name in ("own", "add"):
            monkeypatch.setattr(kept.cosigner, name, fails)
        if goes_on:
            assert kept.keeper._own_lines(Tree(9).head(9)) == ()
            answer = kept.keeper.cosign(b"", knows_where_it_was=False)
            assert answer == Answer(
                status=503, text="there is no room for the record of what is cosigned"
            )
            return
        with pytest.raises(OSError, match="the disk"):
            kept.keeper._own_lines(Tree(9).head(9))
        with pytest.raises(OSError, match="the disk"):
            kept.keeper.cosign(b"", knows_where_it_was=False)

    run(scenario)


def test_a_head_that_others_publish_is_taken_if_the_own_log_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = Checkpoint(origin=ORIGIN, size=8, root=bytes(32))
    heads = [(Tree(8).head(8), True), (Tree(9).head(9), True), (Tree(10).head(10), False)]

    async def scenario() -> None:
        kept = Kept(tmp_path)
        for head, is_own in (*heads, (fork, False)):
            accepted = SimpleNamespace(checkpoint=head)
            monkeypatch.setattr(note, "parse", lambda data: data)
            monkeypatch.setattr(policy, "accept", lambda *_, of=accepted: of)
            assert kept.keeper._own_if_it_is(b"head") == ((b"head",) if is_own else ())

    run(scenario)


@pytest.mark.parametrize("blocks", [0, 1, 5])
def test_a_start_finds_the_last_head_of_the_store(tmp_path: Path, blocks: int) -> None:
    store = LmdbStore(tmp_path / "store", map_bytes=MAP_BYTES)
    made = DecidedChain(Chain(ledger=Ledger(store)))
    if blocks:
        made.block(builders.publish(), builders.enrol("firm-a"), builders.appropriate())
    for amount in range(1, blocks):
        made.block(builders.mint(("firm-a", amount)), after_ms=30_000)
    if blocks > 1:
        made.block(builders.mint(("firm-a", 9)), after_ms=1)  # it carries no root
    head = store.head()
    assert head is not None
    sizes = [
        at + 1
        for at, raw in enumerate(store.entries(0, head.log_size))
        if isinstance(entry := decode_entry(raw), ClosingEntry) and entry.record.state_root
    ]
    assert len(sizes) == blocks
    assert (head.log_size in sizes) == (blocks == 1)

    async def scenario() -> None:
        kept = Kept(tmp_path)
        kept.keeper._tree = StoredTree(store)
        found = kept.keeper._find_last_head()
        if not sizes:
            assert found is None
        else:
            assert found is not None
            assert (found.size, found.root) == (sizes[-1], root_at(StoredTree(store), sizes[-1]))

    run(scenario)
    store.close()


def test_a_head_of_two_entries_is_found(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "store", map_bytes=MAP_BYTES)
    DecidedChain(Chain(ledger=Ledger(store))).block(after_ms=ROOT_EVERY_MS)

    async def scenario() -> None:
        kept = Kept(tmp_path)
        kept.keeper._tree = StoredTree(store)
        found = kept.keeper._find_last_head()
        assert found is not None
        assert found.size == 2

    run(scenario)
    store.close()
