"""The server as a process: it waits for its store, tells its port, and stops cleanly."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests import builders
from tests.api.process import NodeThread, Served, served_at, start_server

STOP_WITHIN_S = 3


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Serve a funded chain from a process of its own."""
    with served_at(tmp_path) as made:
        yield made


def test_the_server_waits_until_the_node_has_made_its_store(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    process = start_server(tmp_path / "store", tmp_path / "port", writing)
    os.close(writing)
    node = None
    try:
        os.set_blocking(reading, False)
        time.sleep(0.5)
        assert process.poll() is None
        with pytest.raises(BlockingIOError):
            os.read(reading, 1)
        os.set_blocking(reading, True)
        node = NodeThread(tmp_path)
        node.listen()
        with os.fdopen(reading, "rb") as ready:
            port = int(ready.readline())
        found = httpx2.get(f"http://127.0.0.1:{port}/v1/blocks").json()
        assert found["height"] == 2
    finally:
        process.terminate()
        process.wait()
        if node is not None:
            node.close()


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_open_streams_and_the_process(served: Served, asked: signal.Signals) -> None:
    with httpx2.stream("GET", f"{served.address}/v1/events?after=0") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith(":")
        began = time.monotonic()
        served.process.send_signal(asked)
        assert served.process.wait(STOP_WITHIN_S * 4) == 0
        assert time.monotonic() - began < STOP_WITHIN_S
        assert any(line == "event: block" for line in lines)


def test_a_closed_stream_is_counted_out(served: Served) -> None:
    for _ in range(6):  # more than a client may have at once
        with httpx2.stream("GET", f"{served.address}/v1/events") as stream:
            assert stream.status_code == 200
            next(stream.iter_lines())
        deadline = time.monotonic() + 20
        while "tally_api_streams 0" not in httpx2.get(f"{served.address}/metrics").text:
            assert time.monotonic() < deadline, "the stream stays counted"
            time.sleep(0.01)


def test_events_come_over_the_wire_as_they_are_committed(served: Served) -> None:
    with httpx2.stream("GET", f"{served.address}/v1/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        next(lines)
        served.node.commit(builders.mint(("firm-a", 100)))
        for line in lines:
            if line.startswith("event: "):
                assert line == "event: transaction"
                break


def test_a_transaction_goes_all_the_way_over_the_wire(served: Served) -> None:
    raw = builders.mint(("firm-a", 100))
    sent = httpx2.post(f"{served.address}/v1/transactions", content=raw)
    assert sent.status_code == 202
    served.node.commit()
    assert httpx2.get(served.address + sent.headers["location"]).json()["status"] == "final"
