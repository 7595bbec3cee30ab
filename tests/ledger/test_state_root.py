"""When a record carries the root of the state tree, and of which state (B7)."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.blocks import Limits, StateRoot
from ledger.execute import ROOT_EVERY_MS, ROOT_LAG_MS, Execution
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
    """Return the root as of the oldest cut, or of the present state, computed from nothing."""
    store, cuts = store_of(chain), chain.ledger.last().cuts
    end = cuts[0].log_size if cuts else chain.ledger.last().log_size
    if isinstance(store, MemoryStore):
        versions = sorted(store.history.items())
    else:
        rows = store.snapshot.scan("history", prefix=b"", limit=10**9)
        versions = [((row[:-9], int.from_bytes(row[-8:], "big")), value) for row, value in rows]
    return naive.root({key: value for (key, sequence), value in versions if sequence < end})


def roots_in(execution: Execution) -> tuple[StateRoot, ...]:
    """Return what a block's record says of the state."""
    assert execution.record is not None
    return execution.record.state_root


def cuts_of(chain: Chain) -> list[tuple[int, int]]:
    """Return the cuts without a root, by time after noon, with the heights they are of."""
    return [(cut.time_ms - NOON_MS, cut.height) for cut in chain.ledger.last().cuts]


def test_a_cut_has_its_root_carried_two_seconds_later_and_what_came_between_is_not_in_it() -> None:
    chain = Chain()
    assert NOON_MS % ROOT_EVERY_MS == 0
    chain.block(builders.publish(), time_ms=NOON_MS)
    assert cuts_of(chain)[-1] == (ROOT_EVERY_MS, 1)
    wrote = chain.block(builders.enrol("firm-a"), time_ms=NOON_MS + ROOT_EVERY_MS - 1)
    assert cuts_of(chain)[-1] == (ROOT_EVERY_MS, 2)
    expected = naive_root(chain)
    after = chain.block(builders.enrol("firm-b"), time_ms=NOON_MS + ROOT_EVERY_MS)
    assert (roots_in(after), cuts_of(chain)) == ((), [(5_000, 2), (10_000, 3)])
    early = chain.block(builders.enrol("firm-c"), time_ms=NOON_MS + ROOT_EVERY_MS + ROOT_LAG_MS - 1)
    assert (roots_in(early), cuts_of(chain)) == ((), [(5_000, 2), (10_000, 4)])
    assert naive_root(chain) == expected
    carries = chain.block(builders.enrol("firm-d"), time_ms=NOON_MS + ROOT_EVERY_MS + ROOT_LAG_MS)
    assert roots_in(carries) == (StateRoot(root=expected, height=wrote.head.height),)
    assert cuts_of(chain) == [(10_000, 5)]


def test_the_first_root_is_that_of_genesis() -> None:
    chain = Chain()
    expected = naive_root(chain)
    execution = chain.block(builders.publish())
    assert roots_in(execution) == (StateRoot(root=expected, height=0),)


def test_after_a_long_silence_one_record_carries_one_root() -> None:
    chain = Chain()
    chain.block(builders.publish(), time_ms=NOON_MS)
    chain.block(builders.enrol("firm-a"), time_ms=NOON_MS + ROOT_EVERY_MS)
    roots: list[int] = []
    while chain.ledger.last().cuts:
        assert chain.ledger.has_due(NOON_MS + 600_000)
        expected = naive_root(chain)
        (root,) = roots_in(chain.block(time_ms=NOON_MS + 600_000 + len(roots)))
        assert root.root == expected
        roots.append(root.height)
    assert roots == [1, 2]
    assert not chain.ledger.has_due(NOON_MS + 900_000)


def test_a_root_that_is_due_is_work_and_an_idle_ledger_keeps_its_hash() -> None:
    chain = Chain()
    chain.block(builders.publish(), time_ms=NOON_MS)
    due_ms = NOON_MS + ROOT_EVERY_MS + ROOT_LAG_MS
    assert not chain.ledger.has_due(due_ms - 1)
    assert chain.ledger.has_due(due_ms)
    chain.block(time_ms=NOON_MS + 1_000)
    execution = chain.block(time_ms=due_ms)
    assert len(execution.entries) == 1
    assert roots_in(execution)[0].height == 1, "the block between wrote nothing"
    assert not chain.ledger.has_due(due_ms + 10 * ROOT_EVERY_MS)
    assert chain.block(time_ms=due_ms + 10 * ROOT_EVERY_MS).record is None


@given(st.lists(st.tuples(st.integers(1, 9_000), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_at_most_two_cuts_are_without_a_root_and_each_root_is_of_its_cut(
    steps: list[tuple[int, bool]],
) -> None:
    chain, states = Chain(), {}
    chain.block(time_ms=NOON_MS)
    for number, (after_ms, writes) in enumerate(steps):
        raws = (builders.enrol(f"firm-{number}"),) if writes else ()
        head = chain.ledger.last()
        due = [cut for cut in head.cuts if cut.time_ms + ROOT_LAG_MS <= head.time_ms + after_ms]
        expected = naive_root(chain)
        states[head.height] = dict(store_of(chain).state)
        execution = chain.block(*raws, time_ms=head.time_ms + after_ms)
        after = execution.head.cuts
        assert len(after) <= 2
        assert [cut.time_ms for cut in after] == sorted({cut.time_ms for cut in after})
        found = () if execution.record is None else execution.record.state_root
        assert found == tuple(StateRoot(root=expected, height=cut.height) for cut in due[:1])
        assert all(root.root == naive.root(states[root.height]) for root in found)


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
    grow(chain, 2)
    covered = store.snapshot.tree_log_size()
    assert 0 < covered < chain.ledger.last().log_size
    store.close()
    again = LmdbStore(tmp_path, map_bytes=2**26)
    assert 0 < len(list(again.snapshot.values_since(covered))) < len(list(again.records()))
    assert len(chain.ledger.last().cuts) == 2
    chain.ledger = Ledger(again)
    assert again.state_root() == naive_root(chain)
    again.close()


def test_a_root_computed_for_a_block_that_was_not_decided_spoils_nothing() -> None:
    chain = funded_chain()
    while (head := chain.ledger.last()).cuts:
        chain.block(time_ms=head.time_ms + 7_000)
    chain.block(builders.mint(("firm-a", 10)), time_ms=head.time_ms + 1_000)
    (cut,) = chain.ledger.last().cuts
    late = cut.time_ms + ROOT_LAG_MS
    height = chain.ledger.last().height + 1
    chain.ledger.propose((), height=height, time_ms=late, limits=Limits())
    soon = chain.block(builders.mint(("firm-a", 11)), time_ms=cut.time_ms - 1)
    assert roots_in(soon) == ()
    expected = naive_root(chain)
    assert roots_in(chain.block(time_ms=late + 1))[0].root == expected
