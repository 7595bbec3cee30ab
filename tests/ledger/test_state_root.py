"""When a record carries the root of the state tree, and of which state (B7)."""

import secrets
from pathlib import Path
from typing import Any

import pytest

from ledger.blocks import Limits, StateRoot
from ledger.execute import ROOT_EVERY_MS, Execution
from ledger.ledger import Ledger
from ledger.store.lmdb_store import LmdbStore
from ledger.store.memory import MemoryStore
from tests import builders
from tests.builders import NOON_MS, Chain, funded_chain
from tests.reference import state_tree as naive


def store_of(chain: Chain) -> Any:
    """Return the store of a chain's ledger."""
    return chain.ledger._storage


def naive_root(chain: Chain) -> bytes:
    """Return the root over all current records, computed from nothing."""
    store = store_of(chain)
    if isinstance(store, MemoryStore):
        return naive.root(store.state)
    return naive.root(dict(store.snapshot.scan("state", prefix=b"", limit=10**9)))


def roots_in(execution: Execution) -> tuple[StateRoot, ...]:
    """Return what a block's record says of the state."""
    assert execution.record is not None
    return execution.record.state_root


def test_the_first_record_carries_the_root_of_genesis() -> None:
    chain = Chain()
    expected = naive_root(chain)
    execution = chain.block(builders.publish())
    assert roots_in(execution) == (StateRoot(root=expected, height=0),)


def test_a_root_is_of_the_state_before_its_block_and_comes_every_five_seconds() -> None:
    chain = Chain()
    chain.block(builders.publish(), time_ms=NOON_MS)
    wrote = chain.block(builders.enrol("firm-a"), time_ms=NOON_MS + ROOT_EVERY_MS - 1)
    assert roots_in(wrote) == ()
    expected = naive_root(chain)
    later = chain.block(builders.enrol("firm-b"), time_ms=NOON_MS + ROOT_EVERY_MS)
    assert roots_in(later) == (StateRoot(root=expected, height=wrote.head.height),)


def test_a_root_that_is_due_is_work_and_an_idle_ledger_keeps_its_hash() -> None:
    chain = Chain()
    chain.block(builders.publish(), time_ms=NOON_MS)
    assert not chain.ledger.has_due(NOON_MS + ROOT_EVERY_MS - 1)
    assert chain.ledger.has_due(NOON_MS + ROOT_EVERY_MS)
    chain.block(time_ms=NOON_MS + 1_000)
    execution = chain.block(time_ms=NOON_MS + ROOT_EVERY_MS)
    assert len(execution.entries) == 1
    assert roots_in(execution)[0].height == 1, "the block between wrote nothing"
    assert not chain.ledger.has_due(NOON_MS + 10 * ROOT_EVERY_MS)
    assert chain.block(time_ms=NOON_MS + 10 * ROOT_EVERY_MS).record is None


def grow(chain: Chain, blocks: int) -> None:
    """Commit some blocks of enrolments, three seconds apart."""
    for _ in range(blocks):
        names = [f"firm-{secrets.token_hex(6)}" for _ in range(5)]
        raws = [builders.enrol(name) for name in names]
        chain.block(*raws, time_ms=chain.now_ms + 3_000)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("folds", [0, 1, 9])
def test_the_tree_in_lmdb_is_the_one_from_nothing(
    tmp_path: Path, restarts: bool, folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.store.tree.FOLD_MAX", 7)
    store = LmdbStore(tmp_path, map_bytes=2**26)
    chain = Chain(ledger=Ledger(store))
    for _ in range(6):
        for _ in range(3):
            grow(chain, 1)
            for _ in range(folds):
                store.fold_some()
        assert store.state_root() == naive_root(chain)
        if restarts:
            store.close()
            store = LmdbStore(tmp_path, map_bytes=2**26)
            chain.ledger = Ledger(store)
    store.close()


def test_a_store_that_starts_between_two_roots_finds_what_was_written_since(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, map_bytes=2**26)
    chain = Chain(ledger=Ledger(store))
    grow(chain, 4)
    covered = store.snapshot.tree_log_size()
    assert 0 < covered < chain.ledger.last().log_size
    store.close()
    again = LmdbStore(tmp_path, map_bytes=2**26)
    assert 0 < len(list(again.snapshot.values_since(covered))) < len(list(again.records()))
    chain.ledger = Ledger(again)
    assert again.state_root() == naive_root(chain)
    again.close()


def test_a_root_computed_for_a_block_that_was_not_decided_spoils_nothing() -> None:
    chain = funded_chain()
    chain.now_ms += 4_000
    head = chain.ledger.last()
    late = head.time_ms + ROOT_EVERY_MS
    chain.ledger.propose((), height=head.height + 1, time_ms=late, limits=Limits())
    soon = chain.block(builders.mint(("firm-a", 10)), time_ms=head.time_ms + 1_000)
    assert roots_in(soon) == ()
    expected = naive_root(chain)
    assert roots_in(chain.block(time_ms=late + 1))[0].root == expected
