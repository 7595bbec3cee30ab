"""Loopback proxies between the nodes of a local network: the weather on every line.

Each node dials each other one through a port of its own here, so every link crosses exactly one
proxy, whichever end dialled. A line has two directions. Bytes can be held back in one or both,
delayed, or cut off after any number of them; a proxy never changes or reorders any.
"""

import asyncio
import random
import socket
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from localnet.network import HOST, LocalNetwork

CHUNK_BYTES = 16 * 1024
WAITING_CHUNKS_MAX = 256
"""Chunks under way in one direction of a connection; then its sender feels that nobody reads."""
CHECK_S = 0.005
"""How often a direction that is held back looks whether it may go on."""

Way = tuple[str, str]
"""From one node to another."""


@dataclass(slots=True, kw_only=True)
class Weather:
    """What happens to bytes on their way from one node to another."""

    held: bool = False
    """They wait, and nobody is told."""
    delay_ms: int = 0
    cut_after: int | None = None
    """Close the connection after this many further bytes, in the middle of whatever they are."""


@dataclass(slots=True, eq=False)
class Connection:
    """Both sockets of one link."""

    writers: list[asyncio.StreamWriter]

    def close(self) -> None:
        """Drop the connection at both ends at once, with whatever was under way."""
        for writer in self.writers:
            writer.transport.abort()


class Proxies:
    """The lines of one network; a context manager around the network's life.

    Enter it before ``network.up()``: it makes the network's nodes dial through it.
    """

    def __init__(self, network: LocalNetwork) -> None:
        self.bytes_moved = 0
        self.cuts = 0
        """Connections that were cut in the middle of their bytes."""
        self._network = network
        self._weather: dict[Way, Weather] = {
            (source, target): Weather()
            for source in network.places
            for target in network.places
            if source != target
        }
        self._connections: list[Connection] = []
        self._servers: dict[Way, asyncio.Server] = {}
        """By who dials and who is dialled."""
        self._targets: dict[Way, int] = {}
        """The real port behind each of them."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Proxies":
        """Start the proxies and make the network dial through them."""
        self._thread.start()
        self._network.route = self._route
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection and port."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # Weather, from any thread. It holds for the connections there are and for those to come.

    def hold(self, ways: Iterable[Way]) -> None:
        """Let no byte pass on these ways; connections stay, and new ones say nothing."""
        for way in ways:
            self._weather[way].held = True

    def delay(self, ways: Iterable[Way], delay_ms: int) -> None:
        """Let bytes take this long on these ways."""
        for way in ways:
            self._weather[way].delay_ms = delay_ms

    def cut(self, ways: Iterable[Way], dice: random.Random, bytes_max: int) -> None:
        """Cut each way's connection once, after a random number of further bytes."""
        for way in ways:
            self._weather[way].cut_after = dice.randrange(bytes_max)

    def partition(self, group: Iterable[str]) -> None:
        """Hold back everything between a group of nodes and all others."""
        inside = set(group)
        self.hold(way for way in self._weather if (way[0] in inside) != (way[1] in inside))

    def heal(self) -> None:
        """Let everything pass at once, on all ways; what was held back goes on first."""
        for weather in self._weather.values():
            weather.held, weather.delay_ms, weather.cut_after = False, 0, None

    def ways(self) -> tuple[Way, ...]:
        """Return all ways there are."""
        return tuple(self._weather)

    # Inside: on the loop of the proxies' thread.

    def _route(self, dialler: str, listener: str, port: int) -> int:
        """Return the port at which ``dialler`` reaches ``listener``: a line of their own."""
        asked = asyncio.run_coroutine_threadsafe(
            self._listen((dialler, listener), port), self._loop
        )
        return asked.result()

    async def _listen(self, ends: Way, port: int) -> int:
        if ends not in self._servers:

            async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._carry(ends, reader, writer)

            self._servers[ends] = await asyncio.start_server(accept, HOST, 0, limit=CHUNK_BYTES)
        self._targets[ends] = port
        return int(self._servers[ends].sockets[0].getsockname()[1])

    async def _carry(
        self, ends: Way, near: asyncio.StreamReader, back: asyncio.StreamWriter
    ) -> None:
        """Carry a connection's bytes both ways until one end closes or the line is cut."""
        connection = Connection([back])
        self._connections.append(connection)
        try:
            far, forth = await asyncio.open_connection(HOST, self._targets[ends], limit=CHUNK_BYTES)
            connection.writers.append(forth)
            _no_delay(back)
            _no_delay(forth)
            there = asyncio.create_task(self._pump(ends, near, forth, connection))
            here = asyncio.create_task(self._pump((ends[1], ends[0]), far, back, connection))
            await asyncio.wait((there, here))
        except OSError:
            pass  # the node at the other end does not run
        finally:
            connection.close()
            self._connections.remove(connection)

    async def _pump(
        self,
        way: Way,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: Connection,
    ) -> None:
        """Move bytes one way, each chunk not before its time."""
        weather = self._weather[way]
        waiting: deque[tuple[float, bytes]] = deque()
        arrived = asyncio.Event()
        room = asyncio.Semaphore(WAITING_CHUNKS_MAX)

        async def read() -> None:
            with suppress(OSError):  # a reset is an end, too
                while data := await reader.read(CHUNK_BYTES):
                    await room.acquire()
                    waiting.append((self._loop.time() + weather.delay_ms / 1000, data))
                    arrived.set()
            waiting.append((0, b""))
            arrived.set()

        reading = asyncio.create_task(read())
        try:
            while True:
                while not waiting:
                    arrived.clear()
                    await arrived.wait()
                due, data = waiting.popleft()
                room.release()
                while weather.held or self._loop.time() < due:
                    await asyncio.sleep(CHECK_S)
                if not data:
                    break
                if weather.cut_after is not None:
                    data, weather.cut_after = _cut(data, weather.cut_after)
                    if weather.cut_after is None:
                        self.cuts += 1
                        writer.write(data)
                        break
                writer.write(data)
                self.bytes_moved += len(data)
                await writer.drain()
        except OSError:
            pass  # one end is gone
        finally:
            reading.cancel()
            writer.close()
            connection.writers[0].close()

    async def _close(self) -> None:
        for server in self._servers.values():
            server.close()
        for connection in tuple(self._connections):
            connection.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _cut(data: bytes, left: int) -> tuple[bytes, int | None]:
    """Return what of a chunk still passes, and how many bytes may pass after it; None: none."""
    return (data[:left], None) if len(data) >= left else (data, left - len(data))


def _no_delay(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
