"""A fresh node takes its store from a running network's exports, and follows from there."""

import subprocess
import sys
from pathlib import Path

import pytest

from ledger.store.lmdb_store import LmdbReader
from localnet.facts import DEMO_VALIDATORS
from tests.cluster.support import PATIENCE_S
from tests.cluster.test_joining import NEWCOMER, consortium

pytestmark = pytest.mark.cluster


def test_a_newcomer_fetches_a_store_joins_and_follows(tmp_path: Path) -> None:
    with consortium(tmp_path, members=DEMO_VALIDATORS) as cluster:
        network = cluster.network
        cluster.until(lambda: len(cluster.final_ids) >= 20)
        trusted = cluster.get("chengdu-aicc", "/v1/blocks/3")["item"]
        network.add(NEWCOMER)
        fetch = ("fetch", "--from", cluster.url("shanghai", ""))
        made = cluster.run_tally(NEWCOMER, *fetch, "--trust", f"3:{trusted['record_hash']}")
        assert made["trusted"] and made["height"] >= cluster.head("shanghai").height - 20
        assert refused(network.folder / NEWCOMER, *fetch) == 2, "there is a store now"

        network.start(NEWCOMER)
        cluster.parties.append(NEWCOMER)
        last = cluster.head("shanghai").height
        cluster.until(lambda: cluster.head(NEWCOMER).height > last)
        assert not cluster.status(NEWCOMER)["stopped"]
        cluster.stop_load()
        cluster.check_all_equal()
        head = cluster.wait_same_head()
        assert states(network.folder / NEWCOMER) == states(network.folder / "shanghai")
        print(f"fetched through {made['height']}, followed to {head.height}")


def refused(folder: Path, *arguments: str) -> int:
    """Return the exit code of a ``tally node`` command in a node's folder."""
    command = [sys.executable, "-m", "tally", "node", *arguments, "--folder", str(folder)]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE_S).returncode


def states(folder: Path) -> dict[bytes, bytes]:
    """Return the current records of a node's store."""
    reader = LmdbReader(folder / "store")
    with reader.begin() as snapshot:
        found = dict(snapshot.scan("state", prefix=b"", limit=10**6))
    reader.close()
    return found
