"""A byte of a running node's store rots: the node finds it, stops, and is healed by its peers."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.entries import TransactionEntry, decode_entry
from ledger.store.lmdb_store import LmdbReader
from node.stopped import read_stop
from tests.cluster.support import PATIENCE_S, running_cluster
from tests.cluster.test_machine_faults import assert_votes

pytestmark = [pytest.mark.cluster, pytest.mark.ci]

TABLES = ("state", "history", "log", "blocks", "ids", "due", "parties", "tree", "tiles")
"""All but the commits: nodes may hold different certificates of a block (K3)."""


def test_a_rotten_byte_is_found_while_the_node_runs_and_healed_from_its_peers(
    tmp_path: Path,
) -> None:
    with running_cluster(tmp_path, firms=4) as cluster:
        rotten, other = cluster.parties[:2]
        folder = cluster.network.folder / rotten
        amounts = range(1, 6)
        cluster.final(*(cluster.transfer(0, 1, amount) for amount in amounts), party=other)
        cluster.wait_same_head()
        sequence = flip_a_byte_of_an_entry(folder / "store")

        until(lambda: not cluster.network.runs(rotten))
        row = f"entry {sequence} of the log"
        assert row in read_stop(folder / "stopped")
        assert row in cluster.network.tail(rotten)
        cluster.final(cluster.transfer(1, 2, 7), party=other)

        heal = [sys.executable, "-m", "tally", "node", "heal", "--yes", "--folder", str(folder)]
        subprocess.run(heal, check=True, capture_output=True, timeout=PATIENCE_S)
        assert (folder / "store.damaged").exists()
        assert not (folder / "store").exists()
        cluster.network.start(rotten, api=False)
        until(lambda: "the store was made anew" in cluster.network.tail(rotten))
        cluster.network.start(rotten)  # the API, which had the damaged store open
        cluster.wait_same_head()
        assert_votes(cluster, rotten)
        cluster.network.down()
        here, there = tables(folder), tables(cluster.network.folder / other)
        assert here == there
        # The tree has no page before the first root of the state, after five seconds.
        assert [name for name in TABLES if not here[name]] in ([], ["tree"])
        print(f"entry {sequence} of {len(here['log'])} was damaged, found and made anew")


def until(holds: Callable[[], bool]) -> None:
    """Return once something holds; it does within some seconds, or the test fails."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def flip_a_byte_of_an_entry(store: Path) -> int:
    """Change the last transaction's entry wherever the file has it; return its sequence number."""
    reader = LmdbReader(store)
    with reader.begin() as snapshot:
        entries = snapshot.entries(0, 10**6)
    sequence, raw = next(
        (place, raw)
        for place, raw in reversed(list(enumerate(entries)))
        if isinstance(decode_entry(raw), TransactionEntry)
    )
    while True:  # a page that is just being written may be a copy from before
        with (store / "data.mdb").open("r+b") as file:
            content = file.read()
            place = content.find(raw)
            while place >= 0:
                file.seek(place + len(raw) // 2)
                file.write(bytes([raw[len(raw) // 2] ^ 1]))
                place = content.find(raw, place + 1)
        with reader.begin() as snapshot:
            (found,) = snapshot.entries(sequence, sequence + 1)
        if found != raw:
            reader.close()
            return sequence


def tables(folder: Path) -> dict[str, dict[bytes, bytes]]:
    """Return all rows of a node's store."""
    reader = LmdbReader(folder / "store")
    with reader.begin() as snapshot:
        found = {name: dict(snapshot.scan(name, prefix=b"", limit=10**6)) for name in TABLES}
    reader.close()
    return found
