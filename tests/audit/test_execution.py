"""Executing on the lean store gives what executing on the naive one gave, expiries and all."""

from contextlib import closing
from pathlib import Path

import pytest

from audit.execution import Executor
from audit.links import LogLinks
from audit.roots import RootKeeper
from audit.signatures import Place, SignatureQueue
from audit.structure import read_blocks
from audit.verdicts import Tampered
from ledger.encoding import merkle
from ledger.encoding.checkpoint import Checkpoint
from ledger.genesis import parse_genesis
from ledger.invariants import check_state
from ledger.ledger import beginning
from ledger.store import scratch
from ledger.store.memory import MemoryStore
from ledger.store.scratch import ScratchStore, ScratchTree
from tests.reference import state_tree as naive
from tests.trials import test_replay as small
from trials.datasets import golden


def golden_log() -> tuple[bytes, list[bytes], MemoryStore]:
    store = MemoryStore()
    golden.play(store)
    return golden.golden_genesis(), list(store.log), store


def small_log() -> tuple[bytes, list[bytes], MemoryStore]:
    store = small.CHAIN.ledger._storage
    assert isinstance(store, MemoryStore)
    return small.CHAIN.genesis, small.LOG, store


@pytest.mark.parametrize("log", [golden_log, small_log])
@pytest.mark.parametrize("waiting_max", [1, 40, scratch.WAITING_MAX])
def test_the_state_is_that_of_the_naive_store(
    log: object, waiting_max: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(log)
    genesis, entries, expected = log()
    monkeypatch.setattr(scratch, "WAITING_MAX", waiting_max)
    monkeypatch.setattr(scratch, "CACHE_MAX", waiting_max)
    monkeypatch.setattr(scratch, "PAGES_MAX", waiting_max)
    _, head, writes = beginning(parse_genesis(genesis), genesis)
    with (
        closing(ScratchStore(tmp_path / "store")) as store,
        closing(RootKeeper(tmp_path / "tree", "all", is_apart=False)) as roots,
    ):
        store.begin(writes)
        roots.begin([((write.key, write.value) for write in writes)], is_rooted=False)
        executor = Executor(store, head, roots)
        rooted = 0
        for block in read_blocks(entries[1:], first=1, height=0, time_ms=head.time_ms):
            executor.take(block)
            if store.is_full():
                store.settle()
            rooted += len(block.record.state_root)
        roots.settle(all_of_them=True)
        live = expected.head()
        assert live is not None
        assert executor.head.record_hash == live.record_hash
        assert rooted > 2
        store.settle()
        assert dict(store.values()) == expected.state
        backwards = list(store.vouchers_backwards())
        assert [key for key, _ in backwards] == sorted((k for k, _ in backwards), reverse=True)
        others = list(store.records())
        assert check_state(others, backwards) == check_state([*others, *backwards])


def test_a_tree_is_taken_up_only_where_it_was_flushed(tmp_path: Path) -> None:
    values = [(b"a/%d" % number, b"value") for number in range(300)]
    with closing(ScratchTree(tmp_path)) as tree:
        tree.note(values, 1)
        whole = tree.root()
        tree.note([(b"a/0", b"other")], 2)
        tree.flush(7)
        assert tree.log_size() == 7
    with closing(ScratchTree(tmp_path)) as tree:
        assert (tree.log_size(), tree.root()) == (7, whole)
        tree.carried()
        assert tree.root() == naive.root({**dict(values), b"a/0": b"other"})
        tree.clear()
        assert tree.log_size() is None
        tree.note(values, 1)
        assert tree.root() == whole


def test_a_signature_that_does_not_hold_is_named_with_its_place() -> None:
    with closing(SignatureQueue(0)) as queue:
        queue.add_commit(Place(3, 9, "commit.certificate"), bytes(32), b"message", bytes(64))
        with pytest.raises(Tampered) as found:
            queue.settle(all_of_them=True)
    assert (found.value.height, found.value.sequence) == (3, 9)
    assert found.value.field == "commit.certificate"


@pytest.mark.parametrize("size", range(1, 21))
def test_a_checkpoint_is_compared_wherever_in_a_block_it_stands(size: int) -> None:
    raws = [bytes([number]) for number in range(20)]

    def link(root: bytes) -> bytes:
        seen = Checkpoint(origin="log", size=size, root=root)
        links = LogLinks(bytes(32), merkle.Frontier(), bytes(32), seen)
        for first, end in ((0, 7), (7, 8), (8, 20)):
            links.append(raws[first:end])
        return links.frontier.root()

    assert link(merkle.root(raws[:size])) == merkle.root(raws)
    with pytest.raises(Tampered) as found:
        link(bytes(32))
    assert (found.value.field, found.value.sequence) == ("checkpoint.root", size - 1)
