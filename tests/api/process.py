"""A real server process beside a node that runs in a thread of the test."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from node.port import PortServer
from tests.api.world import FakeNode, chain_at, store_of

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
START_WITHIN_S = 60
"""Guards against a hang; starting takes about a second."""


class NodeThread:
    """Runs a node's port and its store in one thread, as the store's writer must."""

    def __init__(self, folder: Path) -> None:
        self.store_path = folder / "store"
        self.socket_path = folder / "port"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.node = self.call(self._make)

    def _make(self) -> FakeNode:
        return FakeNode(chain_at(self.store_path))

    def call(self, work: Callable[[], T]) -> T:
        """Return what ``work`` gives when the node's thread does it."""

        async def done() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(START_WITHIN_S)

    def listen(self) -> None:
        """Open the port."""

        async def listening() -> None:
            self.node.server = PortServer(self.socket_path, self.node)
            await self.node.server.start()

        asyncio.run_coroutine_threadsafe(listening(), self._loop).result(START_WITHIN_S)

    def commit(self, *raws: bytes) -> None:
        """Commit a block."""
        self.call(lambda: self.node.commit(*raws))

    def close(self) -> None:
        """Close the port and the store."""

        async def closing() -> None:
            if self.node.server is not None:
                await self.node.server.stop()
            store_of(self.node.chain).close()

        asyncio.run_coroutine_threadsafe(closing(), self._loop).result(START_WITHIN_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_WITHIN_S)


def start_server(store: Path, socket: Path, ready_fd: int) -> subprocess.Popen[bytes]:
    """Start the server; it writes its port to ``ready_fd`` once it listens."""
    command = [sys.executable, "-m", "api.serve", "--store", str(store)]
    command += ["--port-socket", str(socket), "--listen-port", "0", "--network", "dev-test"]
    command += ["--ready-fd", str(ready_fd)]
    return subprocess.Popen(command, cwd=ROOT, pass_fds=(ready_fd,))


@dataclass
class Served:
    """A server process and the node beside it."""

    node: NodeThread
    process: subprocess.Popen[bytes]
    address: str


@contextmanager
def served_at(
    folder: Path, prepare: Callable[[FakeNode], object] | None = None
) -> Iterator[Served]:
    """Serve a funded chain from a process of its own."""
    node = NodeThread(folder)
    if prepare is not None:
        node.call(lambda: prepare(node.node))
    node.listen()
    try:
        with serving(node.store_path, node.socket_path) as (process, address):
            yield Served(node, process, address)
    finally:
        node.close()


@contextmanager
def serving(store: Path, socket: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve a store from a process of its own; yield the process and its address."""
    reading, writing = os.pipe()
    process = start_server(store, socket, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as ready:
            port = int(ready.readline())
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(START_WITHIN_S)
