"""A year of seventeen cities, run in process or through the HTTP API of a local network.

``python -m trials.datasets.city_year --scale 50`` takes a fiftieth; ``--network`` sends it to
four validators. Both end with every sum made anew and compared; a difference is an error.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click

from ledger.encoding.crypto import public_key as public_key_of_seed
from ledger.invariants import check_state
from ledger.ledger import Storage
from ledger.rules import calendar
from ledger.rules.base import Posting
from ledger.rules.programmes import TOTALS
from ledger.store.lmdb_store import LmdbStore
from ledger.view import must
from localnet.facts import DEMO_VALIDATORS
from localnet.network import LocalNetwork, officer_seed
from localnet.signing import DevSigner
from tally.output import say
from trials.bench.transfers import Connection
from trials.datasets.sums import Sums, add_up, differences, disagreements
from trials.datasets.world import InProcess, genesis, public_key
from trials.datasets.year import MONTH_DAYS, MONTHS, Item, Year, year_plans
from wallet.client import NodeClient
from words import units

BLOCK_TRANSACTIONS = 1_000
FIRST_DAY = calendar.day_of(1_767_196_800_000)
"""2026-01-01: in process every month has block times of its own."""
START_MS = calendar.end_of_day_ms(FIRST_DAY - 1) + 9 * 3_600_000
IN_FLIGHT = 512
PER_FIRM = 16
"""Acts under way for each firm: a node takes no more than a few dozen of one holder."""
SAME_HEIGHT_S = 60
"""How long validators may take to reach a common height; a hang guard."""


class YearFailed(Exception):
    """Something did not go, or does not add up, as it must; the sentences say what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did."""

    way: str
    scale: int
    transactions: int
    claims: int
    firms: int
    vouchers: int
    blocks: int
    took_ms: int
    state_bytes: int
    """On disk: state, history, log and indexes of one node."""
    records: int
    statuses: tuple[tuple[str, int], ...]
    """Claims by status."""
    record_hash: bytes

    @property
    def per_second(self) -> int:
        """Return transactions a second."""
        return self.transactions * 1_000 // max(1, self.took_ms)

    def lines(self) -> list[str]:
        """Return the report in words."""
        statuses = ", ".join(f"{count} {name}" for name, count in self.statuses)
        mib = self.state_bytes * 10 // 2**20
        return [
            f"city-year, {self.way}, 1/{self.scale} of the full size",
            f"transactions            {self.transactions}, in {self.blocks} blocks",
            f"claims                  {self.claims} ({statuses})",
            f"firms, vouchers         {self.firms}, {self.vouchers}",
            f"time                    {units.decimal(self.took_ms // 100, 1)} s",
            f"transactions a second   {self.per_second}",
            f"state on disk           {units.decimal(mib, 1)} MiB, {self.records} records",
            f"record hash             {self.record_hash.hex()}",
            "every sum agrees",
        ]


class Shadow:
    """Totals by programme, kept from postings alone."""

    def __init__(self) -> None:
        self.parts: dict[str, Counter[str]] = {}

    def post(self, postings: Iterable[Posting]) -> None:
        """Add what a block's transactions moved."""
        for posting in postings:
            parts = self.parts.setdefault(posting.programme, Counter())
            if posting.kind == "mint":
                parts["minted"] += posting.amount
                parts["available"] += posting.amount
            elif posting.kind != "transfer":
                parts[posting.source] -= posting.amount
                parts[posting.target] += posting.amount

    def disagreements(self, storage: Storage, height: int) -> Iterator[str]:
        """Yield where a programme's totals are not what its postings add up to."""
        for programme, parts in self.parts.items():
            totals = must(storage, TOTALS, programme)
            stated = {name: getattr(totals, name) for name in parts}
            yield from differences(stated, parts, f"at height {height} totals of {programme},")
            rest = totals.minted - sum(parts[name] for name in parts if name != "minted")
            if rest:
                yield f"at height {height} {programme} lost {rest} fen"


def run_in_process(folder: Path, *, scale: int, seed: int = 1, durable: bool = True) -> Report:
    """Run a year on a ledger of its own in ``folder``, month by month of block time.

    After every block the totals of every programme are compared with its postings. Raises
    YearFailed if an act is refused or a sum does not agree.
    """
    plans = year_plans()
    data = genesis(plans, time_ms=START_MS, validators=DEMO_VALIDATORS)
    store = LmdbStore(folder, durable=durable)
    ledger = InProcess(store, data)
    year = Year(
        scale=scale,
        keys=public_key,
        first_day=FIRST_DAY,
        day_of_month=lambda month: FIRST_DAY + month * MONTH_DAYS,
        until_ms=START_MS + 2 * 365 * calendar.DAY_MS,
        budget_year=calendar.year_of(START_MS),
        seed=seed,
    )
    shadow = Shadow()
    transactions = 0
    started = time.monotonic_ns()
    for items in _blocks(year.items()):
        month_ms = START_MS + items[0].month * MONTH_DAYS * calendar.DAY_MS
        execution = ledger.block(
            (item.act for item in items), time_ms=max(month_ms, ledger.time_ms + 1_000)
        )
        shadow.post(posting for result in execution.results for posting in result.postings)
        _require_none(shadow.disagreements(store, ledger.height))
        transactions += len(items)
    took_ms = (time.monotonic_ns() - started) // 1_000_000
    report = _report(
        way="in process",
        scale=scale,
        year=year,
        store=store,
        folder=folder,
        transactions=transactions,
        blocks=ledger.height,
        took_ms=took_ms,
        record_hash=ledger.record_hash,
    )
    store.close()
    return report


def _blocks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield blocks: a phase begins a new one, since keys work only from the block after theirs."""
    for _, phase in groupby(items, lambda item: item.phase):
        block: list[Item] = []
        for item in phase:
            block.append(item)
            if len(block) == BLOCK_TRANSACTIONS:
                yield block
                block = []
        if block:
            yield block


def _require_none(complaints: Iterable[str]) -> None:
    problems = list(complaints)
    if problems:
        raise YearFailed("\n".join(problems[:20]))


def reconcile(sums: Sums, year: Year) -> Iterator[str]:
    """Yield where the ledger's sums differ from each other, or from what was meant to happen."""
    yield from disagreements(sums)
    for programme, expected in year.expected.items():
        totals = sums.totals[programme]
        wanted = {
            "minted": expected.minted,
            "redeemed": expected.redeemed,
            "claimed": expected.claimed,
            "reserved": expected.reserved,
        }
        actual = {name: getattr(totals, name) for name in wanted}
        actual["vouchers"] = sums.vouchers[programme]
        wanted["vouchers"] = expected.vouchers
        yield from differences(actual, wanted, programme)
    if sums.statuses.total() != year.claims:
        yield f"{sums.statuses.total()} claims, expected {year.claims}"


def _report(
    *,
    way: str,
    scale: int,
    year: Year,
    store: LmdbStore,
    folder: Path,
    transactions: int,
    blocks: int,
    took_ms: int,
    record_hash: bytes,
) -> Report:
    records = check_state(store.records())
    sums = add_up(store.records())
    _require_none(reconcile(sums, year))
    return Report(
        way=way,
        scale=scale,
        transactions=transactions,
        claims=year.claims,
        firms=year.firms,
        vouchers=sums.vouchers.total(),
        blocks=blocks,
        took_ms=took_ms,
        state_bytes=(folder / "data.mdb").stat().st_blocks * 512,
        records=records,
        statuses=tuple(sorted(sums.statuses.items())),
        record_hash=record_hash,
    )


def run_network(folder: Path, *, scale: int, seed: int = 1, in_flight: int = IN_FLIGHT) -> Report:
    """Run a year through the HTTP API of four validators of their own, and stop them.

    All four must end with the same totals, height and record hash. Raises YearFailed otherwise.
    """
    network = LocalNetwork.create(
        folder / "net", name="dev-city-year", plans=year_plans(), validators=DEMO_VALIDATORS
    )
    now_ms = time.time_ns() // 1_000_000
    master = network.master
    year = Year(
        scale=scale,
        keys=lambda party, person: public_key_of_seed(
            officer_seed(network.name, master, party, person)
        ),
        first_day=calendar.day_of(now_ms) - MONTHS * MONTH_DAYS,
        day_of_month=lambda _: calendar.day_of(time.time_ns() // 1_000_000),
        until_ms=now_ms + 2 * 365 * calendar.DAY_MS,
        budget_year=calendar.year_of(now_ms),
        seed=seed,
    )
    network.up()
    try:
        load = NetworkLoad(network, min(in_flight, PER_FIRM * year.firms))
        started = time.monotonic_ns()
        transactions = asyncio.run(load.send(year.items()))
        took_ms = (time.monotonic_ns() - started) // 1_000_000
        heights = load.wait_same_height()
        _require_none(load.different_totals())
    finally:
        network.down()
    heads = []
    for party in network.places:
        store = LmdbStore(network.folder / party / "store")
        heads.append(store.head())
        store.close()
    hashes = {head.record_hash for head in heads if head is not None}
    if len(hashes) != 1:
        raise YearFailed(f"validators end with different record hashes: {heads}")
    first = network.folder / next(iter(network.places)) / "store"
    store = LmdbStore(first)
    report = _report(
        way=f"{len(heads)} validators over HTTP",
        scale=scale,
        year=year,
        store=store,
        folder=first,
        transactions=transactions,
        blocks=heights,
        took_ms=took_ms,
        record_hash=hashes.pop(),
    )
    store.close()
    return report


class NetworkLoad:
    """Sends a year's acts to all validators by turns, phase after phase."""

    def __init__(self, network: LocalNetwork, in_flight: int) -> None:
        """Begin with a network that is up."""
        self._signer = DevSigner(network)
        self._in_flight = in_flight
        self._ports = [place.api_port for place in network.places.values()]
        self._clients = {place.party: NodeClient(place.url) for place in network.places.values()}

    async def send(self, items: Iterable[Item]) -> int:
        """Send everything; return how many acts there were."""
        sent = 0
        month = -1
        for _, phase in groupby(items, lambda item: item.phase):
            acts = list(phase)
            if acts[0].month != month:
                month = acts[0].month
                say(f"month {month}: {sent} transactions are final")
            await self._send_phase(acts)
            sent += len(acts)
            self.wait_same_height()
        return sent

    async def _send_phase(self, acts: list[Item]) -> None:
        """Send what may come in any order at once, and each lane one by one."""
        lanes: dict[str, list[Item]] = {}
        for number, item in enumerate(acts):
            lanes.setdefault(item.lane or str(number), []).append(item)
        waiting = iter(lanes.values())

        async def work(port: int) -> None:
            connection = await Connection.open(port)  # a server closes one that rests for long
            for lane in waiting:
                for item in lane:
                    act = item.act
                    await connection.post(self._signer.sign(act.operation, *act.signers))
            connection.close()

        workers = min(self._in_flight, len(lanes))
        await asyncio.gather(
            *(work(self._ports[number % len(self._ports)]) for number in range(workers))
        )

    def wait_same_height(self) -> int:
        """Return a height that every validator has reached, so that each knows what is final."""
        wanted = max(self._heights())
        deadline = time.monotonic() + SAME_HEIGHT_S
        while min(self._heights()) < wanted:
            if time.monotonic() > deadline:
                raise YearFailed(f"not every validator reaches height {wanted}")
            time.sleep(0.02)
        return wanted

    def _heights(self) -> list[int]:
        # What the stores have: a node's own status may be a moment old.
        pages = [client.get_json("/v1/blocks", limit=1) for client in self._clients.values()]
        return [int(page["items"][0]["height"]) for page in pages]

    def different_totals(self) -> Iterator[str]:
        """Yield where validators answer with different totals of a programme."""
        answers = {}
        for party, client in self._clients.items():
            items = client.items("/v1/programmes")
            answers[party] = {item["id"]: item["totals"] for item in items}
        first, *others = answers.items()
        for party, totals in others:
            if totals != first[1]:
                yield f"{party} has other totals than {first[0]}"


@click.command()
@click.option("--scale", type=click.IntRange(1, 1_000), default=50, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--network", "over_http", is_flag=True, help="Four validators over HTTP.")
@click.option("--in-flight", type=click.IntRange(1, 2_000), default=IN_FLIGHT, show_default=True)
def main(scale: int, seed: int, over_http: bool, in_flight: int) -> None:
    """Run one SCALE-th of a city-year and print what it took."""
    with tempfile.TemporaryDirectory(prefix="tallystick-city-year-") as folder:
        if over_http:
            report = run_network(Path(folder), scale=scale, seed=seed, in_flight=in_flight)
        else:
            report = run_in_process(Path(folder), scale=scale, seed=seed)
    for line in report.lines():
        click.echo(line)


if __name__ == "__main__":
    main()
