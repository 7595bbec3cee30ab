"""Who else has the store open: reads give their slots back, the dead lose theirs, one writes."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.ledger import Ledger
from ledger.store.lmdb_store import READERS_MAX, LmdbReader, LmdbStore, Snapshot
from tests import builders

ROOT = Path(__file__).resolve().parents[2]
DIES_WHILE_IT_READS = """
import os, sys
from pathlib import Path
from ledger.store.lmdb_store import LmdbReader
read = LmdbReader(Path(sys.argv[1])).begin()
with read as snapshot:
    assert snapshot.head() is not None
    os._exit(3)
"""
REFUSED, WRITTEN, OTHERWISE = 4, 5, 6


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[builders.Chain]:
    store = LmdbStore(tmp_path / "store")
    yield builders.Chain(ledger=Ledger(store))
    store.close()


def store_of(chain: builders.Chain) -> LmdbStore:
    store = chain.ledger._storage
    assert isinstance(store, LmdbStore)
    return store


def test_held_snapshots_take_no_reader_slots(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "store")
    builders.Chain(ledger=Ledger(store))
    store.close()
    reader = LmdbReader(tmp_path / "store")
    held: list[Snapshot] = []
    for _ in range(2 * READERS_MAX):
        with reader.begin() as snapshot:
            assert snapshot.head() is not None
        held.append(snapshot)
    reader.close()
    assert len(held) == 2 * READERS_MAX


def test_the_slots_of_readers_that_died_are_freed(chain: builders.Chain, tmp_path: Path) -> None:
    command = [sys.executable, "-c", DIES_WHILE_IT_READS, str(tmp_path / "store")]
    for _ in range(3):
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == 3
    assert store_of(chain).check_readers() == 3
    assert store_of(chain).check_readers() == 0


def test_a_second_thread_may_not_write(chain: builders.Chain) -> None:
    height, said = chain.ledger.last().height, []

    def write() -> None:
        try:
            chain.block(builders.publish())
        except AssertionError as error:
            said.append(str(error))

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert said == ["a second thread writes"]
    chain.block(builders.publish())
    assert chain.ledger.last().height == height + 1


def test_a_forked_process_may_not_write(chain: builders.Chain) -> None:
    height = chain.ledger.last().height
    child = os.fork()
    if child == 0:  # nothing of pytest may run on here, whatever happens
        how = OTHERWISE
        try:
            chain.block(builders.publish())
            how = WRITTEN
        except AssertionError as error:
            how = REFUSED if str(error) == "a forked process writes" else OTHERWISE
        finally:
            os._exit(how)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == REFUSED
    chain.block(builders.publish())
    assert chain.ledger.last().height == height + 1
