"""``tally bench run``: what this machine does, all figures from one run.

Four validators with their API processes, and the client that loads them, share the machine. Speed
is printed beside what bounds it here: one Ed25519 verification and one fsync.
"""

import asyncio
import os
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import msgspec

from ledger.encoding import crypto
from ledger.rules.budgets import Appropriate
from ledger.rules.parties import Enrol
from ledger.rules.programmes import Publish
from ledger.rules.vouchers import Mint, MintRow, Transfer, voucher_id
from ledger.store.lmdb_store import LmdbReader, LmdbStore
from localnet.facts import DEMO_VALIDATORS, load_facts, member_plans
from localnet.network import HOST, LocalNetwork
from localnet.signing import DevSigner, Signed
from tally.output import say
from tally.percentiles import percentile
from trials.replay import replay
from trials.samples import enrolment, plain_terms
from words import units

FIRMS = 512
FACE_FEN = 10_000_000_000
PROGRAMME = "shanghai.bench"
VERIFICATIONS = 4_000
SYNCS = 200
SAMPLE_EVERY_S = 0.5
LIGHT = 120
LIGHT_PAUSE_S = 0.03
METRICS_WITHIN_S = 10
FOREVER = "+Inf"
STALLS = re.compile(r'^tallystick_state_root_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run measured. Times in microseconds unless the name says otherwise."""

    verification_us: int
    """CPU time of one verification on the idle machine."""
    loaded_verification_us: int
    """The same while the load ran: busy cores are slower, for the validators too."""
    fsync_p50_us: int
    light_p50_us: int
    light_p99_us: int
    load_transfers: int
    load_per_second: int
    load_p50_us: int
    load_p99_us: int
    node_cpu_us_per_transfer: int
    """Of one validator's node process."""
    api_cpu_us_per_transfer: int
    """Of all API processes together."""
    roots: int
    """State roots that blocks waited for under the load, counted at each validator."""
    root_p50_us: int
    """How long at most, by the bounds of the nodes' metrics; 0 if longer than the last bound."""
    root_p99_us: int
    replay_transactions: int
    replay_us_per_transaction: int

    def lines(self) -> list[str]:
        """Return the report in words; ratios are the figures to keep."""
        idle = self.node_cpu_us_per_transfer * 100 // self.verification_us
        loaded = self.node_cpu_us_per_transfer * 100 // self.loaded_verification_us
        share = self.verification_us * 100 // self.replay_us_per_transaction
        return [
            f"one Ed25519 verification (pre-check + libsodium)   {self.verification_us} us idle, "
            f"{self.loaded_verification_us} us under the load",
            f"one fdatasync, p50                                 {self.fsync_p50_us} us",
            f"finality, light load (one at a time)               "
            f"p50 {_ms(self.light_p50_us)} ms  p99 {_ms(self.light_p99_us)} ms",
            f"finality, full load                                "
            f"p50 {_ms(self.load_p50_us)} ms  p99 {_ms(self.load_p99_us)} ms",
            f"finalised transfers per second, 4 validators       {self.load_per_second} "
            f"({self.load_transfers} transfers)",
            f"CPU per transfer per validator (node process)      "
            f"{self.node_cpu_us_per_transfer} us = {units.decimal(loaded, 2)} "
            f"verifications under the load ({units.decimal(idle, 2)} idle ones)",
            f"CPU per transfer, API processes                    {self.api_cpu_us_per_transfer} us",
            f"a block with a state root waits for it             "
            f"p50 <= {_ms(self.root_p50_us)} ms  p99 <= {_ms(self.root_p99_us)} ms "
            f"({self.roots} roots)",
            f"replay, one core                                   "
            f"{self.replay_us_per_transaction} us per transaction = {share} % of the raw "
            f"verification rate ({self.replay_transactions} transactions)",
        ]


def _ms(us: int) -> str:
    return units.decimal(us // 100, 1)


def run_bench(*, seconds: int, in_flight: int) -> Report:
    """Return the figures of one run on a network of its own, which is removed afterwards."""
    verification_us = time_verification() // 1000
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as folder:
        fsync_us = _time_fsync(Path(folder))
        network = LocalNetwork.create(
            Path(folder) / "net",
            name="dev-bench",
            plans=member_plans(load_facts()),
            validators=DEMO_VALIDATORS,
        )
        report = None
        try:
            network.up()
            report = _measure(network, verification_us, fsync_us, seconds, in_flight)
            return report
        finally:
            network.down()
            if report is None:  # the folder goes; what the processes said must not
                for party in network.places:
                    say(f"{party}\n{network.tail(party, 30)}")


def _measure(
    network: LocalNetwork, verification_us: int, fsync_us: int, seconds: int, in_flight: int
) -> Report:
    load = Load(network)
    asyncio.run(load.prepare())
    light = asyncio.run(load.light())
    transfers = load.sign_transfers(seconds * 2_500)
    cpu_before, stalls_before = _cpu_us(network), _root_stalls(network)
    started = time.monotonic()
    times = asyncio.run(load.full(transfers, seconds, in_flight))
    took_us = int((time.monotonic() - started) * 1_000_000)
    cpu_after, stalls = _cpu_us(network), _root_stalls(network)
    stalls.subtract(stalls_before)
    node_cpu = sum(
        after[0] - before[0] for before, after in zip(cpu_before, cpu_after, strict=True)
    )
    api_cpu = sum(after[1] - before[1] for before, after in zip(cpu_before, cpu_after, strict=True))
    network.down()
    count, replay_us = _time_replay(network)
    return Report(
        verification_us=verification_us,
        loaded_verification_us=percentile(load.verification_us, 50),
        fsync_p50_us=fsync_us,
        light_p50_us=percentile(light, 50),
        light_p99_us=percentile(light, 99),
        load_transfers=len(times),
        load_per_second=len(times) * 1_000_000 // took_us,
        load_p50_us=percentile(times, 50),
        load_p99_us=percentile(times, 99),
        node_cpu_us_per_transfer=node_cpu // len(cpu_after) // len(times),
        api_cpu_us_per_transfer=api_cpu // len(times),
        roots=stalls[FOREVER],
        root_p50_us=bound_us(stalls, 50),
        root_p99_us=bound_us(stalls, 99),
        replay_transactions=count,
        replay_us_per_transaction=replay_us,
    )


def time_verification(rounds: int = 20) -> int:
    """Return the CPU time of one verification in nanoseconds: the median of some rounds."""
    seed, message = bytes(range(32)), b"m" * 250
    key, signature = crypto.public_key(seed), crypto.sign(seed, message)
    times = []
    for _ in range(rounds):
        before = time.thread_time_ns()
        for _ in range(VERIFICATIONS // 20):
            assert crypto.verify(key, message, signature)
        times.append((time.thread_time_ns() - before) // (VERIFICATIONS // 20))
    return max(1, percentile(times, 50))


def _time_fsync(folder: Path) -> int:
    times = []
    with (folder / "fsync").open("wb") as file:
        file.write(bytes(64 * 1024))
        file.flush()
        os.fsync(file.fileno())
        for index in range(SYNCS):
            os.pwrite(file.fileno(), os.urandom(256), index * 256)
            before = time.perf_counter_ns()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter_ns() - before) // 1000)
    return percentile(times, 50)


def _cpu_us(network: LocalNetwork) -> list[tuple[int, int]]:
    """Return user and system time of each validator's node and API process."""
    return [
        (_process_cpu_us(place.node_pid), _process_cpu_us(place.api_pid))
        for place in network.places.values()
    ]


def _root_stalls(network: LocalNetwork) -> Counter[str]:
    """Return how many roots all validators waited for, by the bound that the wait stayed within."""
    stalls: Counter[str] = Counter()
    for place in network.places.values():
        connection = HTTPConnection(HOST, place.api_port, timeout=METRICS_WITHIN_S)
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode("utf-8")
        connection.close()
        stalls.update({bound: int(float(count)) for bound, count in STALLS.findall(page)})
    return stalls


def bound_us(stalls: Counter[str], percent: int) -> int:
    """Return the least bound that so many of the waits stayed within; 0 if none is."""
    bounds = sorted((int(float(bound) * 1e6), bound) for bound in stalls if bound != FOREVER)
    within = (us for us, name in bounds if stalls[name] * 100 >= stalls[FOREVER] * percent)
    return next(within, 0)


def _process_cpu_us(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks * 1_000_000 // os.sysconf("SC_CLK_TCK")


class Load:
    """A client that posts transfers over keep-alive connections."""

    def __init__(self, network: LocalNetwork, *, firms: int = FIRMS) -> None:
        self._network = network
        self._firms = firms
        self._signer = DevSigner(network)
        self._ports = [place.api_port for place in network.places.values()]
        self._made = 0
        self.verification_us: list[int] = []
        """CPU time of a verification, sampled while the load runs."""

    async def prepare(self) -> None:
        """Make a programme, firms, and one large voucher each."""
        shanghai = ("shanghai", "officer-1"), ("shanghai", "officer-2")
        minters = ("shanghai", "officer-3"), ("shanghai", "officer-4")
        sign = self._signer.sign
        publish = Publish(programme=PROGRAMME, version=1, status="open", terms=plain_terms())
        await self._final(sign(publish, *shanghai))
        fund = Appropriate(
            programme=PROGRAMME,
            funder="shanghai",
            year=time.gmtime(time.time() + 8 * 3600).tm_year,
            delta=self._firms * FACE_FEN,
            carried_from=(),
        )
        await self._final(sign(fund, *shanghai))
        for first in range(0, self._firms, 64):
            await asyncio.gather(
                *(
                    self._final(sign(self._enrol(number), *shanghai))
                    for number in range(first, min(first + 64, self._firms))
                )
            )
        rows = tuple(
            MintRow(holder=firm(number), amount=FACE_FEN, decision=number.to_bytes(32, "big"))
            for number in range(self._firms)
        )
        mint = Mint(programme=PROGRAMME, terms_version=1, rows=rows)
        await self._final(sign(mint, *minters))

    def _enrol(self, number: int) -> Enrol:
        return enrolment(firm(number), self._signer.public_key(firm(number), "owner"))

    def sign_transfers(self, count: int) -> list[Signed]:
        """Return signed transfers of one fen each, from firm to firm by turns."""
        return [self._transfer() for _ in range(count)]

    def _transfer(self) -> Signed:
        number = self._made
        self._made += 1
        firms = self._firms
        holder, recipient = firm(number % firms), firm((number + 1) % firms)
        operation = Transfer(
            voucher=voucher_id(PROGRAMME, number % firms + 1),
            holder=holder,
            recipient=recipient,
            # Amounts differ, so that no two transfers are the same transaction.
            amount=1 + number // firms,
        )
        return self._signer.sign(operation, (holder, "owner"), (recipient, "owner"))

    async def light(self) -> list[int]:
        """Return the times to finality of transfers sent one at a time, in microseconds."""
        times = []
        connections = [await Connection.open(port) for port in self._ports]
        for index in range(LIGHT):
            times.append(await connections[index % len(connections)].post(self._transfer()))
            await asyncio.sleep(LIGHT_PAUSE_S)
        for connection in connections:
            connection.close()
        return times

    async def full(self, transfers: list[Signed], seconds: int, in_flight: int) -> list[int]:
        """Return the times to finality with ``in_flight`` transfers always under way."""
        times: list[int] = []
        waiting = iter(transfers)
        until = time.monotonic() + seconds

        async def worker(port: int) -> None:
            connection = await Connection.open(port)
            while time.monotonic() < until:
                signed = next(waiting, None)
                assert signed is not None, "more transfers were needed than were signed"
                times.append(await connection.post(signed))
            connection.close()

        async def sample() -> None:
            while time.monotonic() < until:
                await asyncio.sleep(SAMPLE_EVERY_S)
                self.verification_us.append(time_verification(1) // 1000)

        await asyncio.gather(
            sample(),
            *(worker(self._ports[index % len(self._ports)]) for index in range(in_flight)),
        )
        return times

    async def post_all(self, transfers: list[Signed], in_flight: int) -> None:
        """Post transfers, ``in_flight`` at a time; return once all are final."""
        waiting = iter(transfers)

        async def worker(port: int) -> None:
            connection = await Connection.open(port)
            for signed in waiting:
                await connection.post(signed)
            connection.close()

        await asyncio.gather(
            *(worker(self._ports[index % len(self._ports)]) for index in range(in_flight))
        )

    async def _final(self, signed: Signed) -> None:
        connection = await Connection.open(self._ports[0])
        await connection.post(signed)
        connection.close()


def firm(number: int) -> str:
    """Return the id of a firm that holds the voucher with the next serial."""
    return f"bench-firm-{number:03d}"


class Connection:
    """One HTTP/1.1 keep-alive connection that posts transactions: cheap, so that the load generator
    takes little of the machine it measures."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect to an API process."""
        return cls(*await asyncio.open_connection(HOST, port))

    async def post(self, signed: Signed) -> int:
        """Post a transaction, wait until it is final, return the microseconds that took."""
        head = (
            "POST /v1/transactions?wait=final HTTP/1.1\r\n"
            f"Host: {HOST}\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Length: {len(signed.raw)}\r\n\r\n"
        )
        before = time.perf_counter_ns()
        self._writer.write(head.encode("ascii") + signed.raw)
        headers = await self._reader.readuntil(b"\r\n\r\n")
        lines = headers.lower().split(b"\r\n")
        length = next(line for line in lines if line.startswith(b"content-length:"))
        document = msgspec.json.decode(await self._reader.readexactly(int(length.split(b":")[1])))
        assert document.get("status") == "final", f"a transfer ended as {document}"
        return (time.perf_counter_ns() - before) // 1000

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


def _time_replay(network: LocalNetwork) -> tuple[int, int]:
    """Return how many transactions were replayed, and the microseconds each took on one core."""
    reader = LmdbReader(network.folder / "shanghai" / "store")
    with reader.begin() as snapshot:
        head = snapshot.head()
        assert head is not None
        log = snapshot.entries(0, head.log_size)
    reader.close()
    with tempfile.TemporaryDirectory() as folder:
        before = time.perf_counter_ns()
        report = replay(
            network.genesis,
            iter(log),
            storage=LmdbStore(Path(folder), durable=False),
            verify_commit=None,
        )
        took_us = (time.perf_counter_ns() - before) // 1000
    assert report.record_hash == head.record_hash, "replay differs from live"
    return report.transactions, took_us // report.transactions
