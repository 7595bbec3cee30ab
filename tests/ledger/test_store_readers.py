"""A look at the store gives its reader slot back, even while somebody still holds the object."""

from pathlib import Path

from ledger.ledger import Ledger
from ledger.store.lmdb_store import READERS_MAX, LmdbReader, LmdbStore, Snapshot
from tests import builders


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
