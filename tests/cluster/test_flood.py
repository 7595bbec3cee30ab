"""Junk at one node, from a peer's own key and from strangers: the network goes on finalising.

The flooder holds an observer's link key, and sends whatever costs its victim most without breaking
the protocol, for a breach would close its link. Honest transfers go one at a time, by turns through
all nodes, with and without the flood by turns, in one run.
"""

import asyncio
import random
import socket
import statistics
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ledger.encoding import codec, crypto
from localnet.network import HOST, node_seed
from node import messages
from node.p2p.frames import Assembler, Channel, FrameDecoder, encode_frame
from node.p2p.identity import client_context
from node.p2p.link import VERSION, Hello, Ping, Pong, Welcome
from tests.cluster.support import FACE_FEN, Cluster, running_cluster

pytestmark = pytest.mark.cluster

SEED = 20260106
INTRUDER = "intruder"
HONEST_PER_S = 20
JUNK_PER_S = 10 * HONEST_PER_S
STRANGERS_PER_S = 10
BATCH = 4
"""Envelopes in a junk batch; each costs a verification."""
PHASE_S = 15
PHASES = 4
RATIO_MAX = 2
RSS_MIB_MAX = 384
"""A node's memory, flooded or not: a full pool (64 MiB), a full set of queues, and the program."""


class Flood:
    """Sends junk to one node in a thread of its own while it is switched on."""

    def __init__(self, cluster: Cluster, *, victim: str) -> None:
        self.sent = 0
        self.strangers = 0
        self.on = threading.Event()
        network = cluster.network
        self._hello = Hello(
            version=VERSION, log_id=network.log_id, name=INTRUDER, nonce=bytes(range(16))
        )
        self._seed = node_seed(network.name, network.master, INTRUDER, "link")
        self._victim_key = crypto.public_key(
            node_seed(network.name, network.master, victim, "link")
        )
        self._port = network.places[victim].link_port
        self._dice = random.Random(SEED)
        # Well signed, and refused: the voucher has not that much.
        self._envelopes = [
            cluster.transfer(3, 2, FACE_FEN + 1 + number).raw for number in range(200)
        ]
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=lambda: asyncio.run(self._flood())),
            threading.Thread(target=self._knock),
        ]

    def start(self) -> None:
        """Begin, silent until switched on."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    async def _flood(self) -> None:
        while not self._end.is_set():
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(
                    HOST, self._port, ssl=client_context(self._seed, [self._victim_key])
                )
                listening = asyncio.create_task(self._listen(reader, writer))
                self._say(writer, self._hello)
                await asyncio.sleep(0.2)
                due = time.monotonic()
                while not (self._end.is_set() or writer.is_closing() or listening.done()):
                    due = max(due, time.monotonic() - 1)  # what was missed is not made up for ever
                    if self.on.is_set() and time.monotonic() >= due:
                        writer.write(self._junk())
                        self.sent += 1
                        due += 1 / JUNK_PER_S
                        await writer.drain()
                    else:
                        await asyncio.sleep(1 / JUNK_PER_S)
                listening.cancel()
                writer.close()
            await asyncio.sleep(0.2)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Be polite enough to stay: answer the hello and the pings, and read everything else."""
        frames, whole = FrameDecoder(), Assembler()
        while data := await reader.read(65_536):
            for frame in frames.feed(data):
                message = whole.add(frame)
                if frame.channel is not Channel.CONTROL or message is None:
                    continue
                match codec.decode(Hello | Welcome | Ping | Pong, message, 4096):
                    case Hello(nonce=nonce):
                        self._say(writer, Welcome(nonce=nonce))
                    case Ping(number=number):
                        self._say(writer, Pong(number=number, time_ms=time.time_ns() // 1_000_000))

    def _say(self, writer: asyncio.StreamWriter, message: codec.Record) -> None:
        writer.write(encode_frame(Channel.CONTROL, codec.encode(message)))

    def _junk(self) -> bytes:
        """Return something that the protocol allows and nobody needs."""
        match self._dice.randrange(4):
            case 0:
                envelopes = tuple(self._dice.sample(self._envelopes, BATCH))
                batch = codec.encode(messages.Batch(envelopes=envelopes))
                return encode_frame(Channel.TRANSACTIONS, batch)
            case 1:
                here = messages.Here(height=self._dice.randrange(1, 1_000_000), round=0)
                return encode_frame(Channel.VOTE, codec.encode(here))
            case 2:
                want = messages.WantChunks(
                    height=self._dice.randrange(1, 100), block_id=self._dice.randbytes(32)
                )
                return encode_frame(Channel.BLOCK, codec.encode(want))
            case _:
                ask = messages.Ask(from_height=1)
                return encode_frame(Channel.SYNC, codec.encode(ask))

    def _knock(self) -> None:
        """Strangers connect, send rubbish, and hang up."""
        while not self._end.wait(1 / STRANGERS_PER_S):
            if self.on.is_set():
                with suppress(OSError), socket.create_connection((HOST, self._port), 1) as one:
                    one.sendall(self._dice.randbytes(8_000))
                    self.strangers += 1


def rss_mib(pid: int) -> int:
    """Return the memory that a process has in use."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise AssertionError(f"process {pid} has no memory")


def transfers(cluster: Cluster, seconds: int, first: int) -> list[int]:
    """Send transfers one at a time for a while; return the milliseconds until each was final."""
    times: list[int] = []
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        amount = first + len(times)
        signed = cluster.transfer(amount % 2, 2, 1 + amount // 2)
        document = cluster.post(cluster.parties[amount % 4], signed)
        assert document["status"] == "final", document
        took_s = time.monotonic() - began
        times.append(int(took_s * 1000))
        time.sleep(max(0, 1 / HONEST_PER_S - took_s))
    return times


def by_turns(folder: Path, *, phases: int, phase_s: int) -> tuple[list[int], list[int], int]:
    """Return the times to finality without and with the flood, and the victim's memory in MiB."""
    with running_cluster(folder, firms=4) as cluster:
        victim = cluster.parties[0]
        cluster.network.add(INTRUDER)
        flood = Flood(cluster, victim=victim)
        flood.start()
        quiet: list[int] = []
        flooded: list[int] = []
        rss = 0
        try:
            for phase in range(phases):
                times = flooded if phase % 2 else quiet
                if phase % 2:
                    flood.on.set()
                done = len(quiet) + len(flooded)
                times += transfers(cluster, phase_s, done)
                flood.on.clear()
                rss = max(rss, rss_mib(cluster.network.places[victim].node_pid))
        finally:
            flood.stop()
        flooded_s = phases // 2 * phase_s
        print(
            f"seed {SEED}: {flood.sent} junk messages and {flood.strangers} strangers in "
            f"{flooded_s} s; honest finality quiet {_line(quiet)}, flooded {_line(flooded)}; "
            f"the victim has {rss} MiB"
        )
        assert flood.sent > len(flooded) * (JUNK_PER_S // HONEST_PER_S) * 4 // 5, "too little junk"
        cluster.wait_same_head()
        return quiet, flooded, rss


def _line(times: list[int]) -> str:
    return f"p50 {statistics.median_low(times)} ms p99 {p99(times)} ms of {len(times)}"


def p99(times: list[int]) -> int:
    """Return the time that one in a hundred passes."""
    return sorted(times)[len(times) * 99 // 100]


def test_a_flood_of_junk_stops_nobody(tmp_path: Path) -> None:
    quiet, flooded, rss = by_turns(tmp_path, phases=2, phase_s=4)
    assert quiet
    assert flooded
    assert rss < RSS_MIB_MAX


@pytest.mark.long
def test_a_flood_of_ten_times_the_honest_rate_at_most_doubles_the_time_to_finality(
    tmp_path: Path,
) -> None:
    quiet, flooded, rss = by_turns(tmp_path, phases=PHASES, phase_s=PHASE_S)
    assert p99(flooded) <= RATIO_MAX * p99(quiet)
    assert rss < RSS_MIB_MAX
