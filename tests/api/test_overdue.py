"""A server whose read of the store stays open ends itself; the node gets its slot back (N13)."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import RemoteDisconnected
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from api import overdue
from api.overdue import TimedReader, why_to_end
from tests.api.process import ROOT, START_WITHIN_S, NodeThread
from tests.api.world import chain_at, store_of

STUCK_SERVER = """
import sys, time
from api import overdue, serve
overdue.READ_S_MAX, overdue.WATCH_EVERY_S = float(sys.argv[1]), 0.05
from ledger.store.lmdb_store import Snapshot
correct = Snapshot.block_row
def slow(snapshot, height):
    time.sleep(1.5)
    return correct(snapshot, height)
Snapshot.block_row = slow
serve.main(sys.argv[2:])
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeThread]:
    made = NodeThread(tmp_path)
    made.listen()
    yield made
    made.close()


def ask_a_slow_server(node: NodeThread, allowed_s: float) -> tuple[int | None, int, str]:
    """Return the answer's status, if any, the server's exit code, and what it said."""
    reading, writing = os.pipe()
    command = [sys.executable, "-c", STUCK_SERVER, str(allowed_s)]
    command += ["--store", str(node.store_path), "--port-socket", str(node.socket_path)]
    command += ["--listen-port", "0", "--network", "dev-test", "--ready-fd", str(writing)]
    process = subprocess.Popen(
        command, cwd=ROOT, pass_fds=(writing,), stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    status = None
    try:
        with os.fdopen(reading, "rb") as ready:
            port = int(ready.readline())
        address = f"http://127.0.0.1:{port}/v1/blocks/1"
        try:
            with urlopen(address, timeout=START_WITHIN_S) as answer:
                status = answer.status
            process.terminate()
        except (URLError, ConnectionError, RemoteDisconnected):
            pass  # it ended
        _, said = process.communicate(timeout=START_WITHIN_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return status, process.returncode, said


def test_a_server_with_a_read_open_too_long_ends_and_its_slot_is_freed(node: NodeThread) -> None:
    status, code, said = ask_a_slow_server(node, 0.3)
    assert (status, code) == (None, 1)
    assert said == (
        "a read of the store has been open for more than 0.3 s and keeps its old pages alive: "
        "this server ends, start it again\n"
    )
    assert node.call(lambda: store_of(node.node.chain).check_readers()) == 1


def test_a_server_that_is_slow_within_what_is_allowed_answers(node: NodeThread) -> None:
    status, code, said = ask_a_slow_server(node, overdue.READ_S_MAX)
    assert (status, code, said) == (200, 0, "")
    assert overdue.READ_S_MAX == 5


def test_a_reader_knows_its_oldest_read(tmp_path: Path) -> None:
    store_of(chain_at(tmp_path)).close()  # one process opens an environment once
    reader = TimedReader(tmp_path)
    assert reader.oldest_s() == 0
    with reader.begin() as first:
        assert first.head() is not None
        time.sleep(0.02)
        with reader.begin():
            assert reader.oldest_s() >= 0.02
        assert reader.oldest_s() >= 0.02
    assert reader.oldest_s() == 0
    reader.close()


def test_a_server_of_a_store_that_was_put_aside_ends_once_there_is_another(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store_of(chain_at(store)).close()
    reader = TimedReader(store)
    assert why_to_end(reader) == ""
    store.rename(tmp_path / "store.damaged")
    assert why_to_end(reader) == "", "it still answers while the new one is not there"
    store_of(chain_at(store)).close()
    assert why_to_end(reader) == "the store was made anew since it was opened"
    reader.close()
