"""``python -m trials.simulation.wide_area``: finality between real places, computing included.

Seventeen cities and forty data centres vote on virtual time. Three things make that time honest:
*distance*: great circle at two thirds of light, times ROUTE_FACTOR, with jitter, lost packets and
links that keep their order; *bandwidth*: every node's line, votes before blocks before the rest;
*computing*: one core a node, on which every event, signature and transaction takes what the same
code takes on the machine that runs this, measured first. Signatures themselves are stand-ins.
"""

import argparse
import math
import multiprocessing
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

from consensus.driver import Driver
from consensus.inputs import VoteReceived
from consensus.messages import ValidatorKey, Vote, VoteKind, vote_sign_bytes
from consensus.timeouts import TimeoutPolicy
from engines.builtin.engine import BuiltinEngine
from engines.builtin.messages import ENGINE_EPOCH, VoteMessage, decode_commit
from engines.builtin.p2p.frames import Channel
from engines.builtin.signer import SignRequest
from ledger.blocks import BlockInput
from ledger.encoding import codec, crypto
from ledger.execute import Execution, Head, Verify
from ledger.ledger import Checked, Ledger, Storage
from ledger.rules import calendar
from ledger.store.lmdb_store import LmdbStore
from ledger.transactions import Transaction, parse
from tally.helpers import interrupts_held
from tally.percentiles import percentile
from trials.simulation.faults import Faults
from trials.simulation.journal import JournalFile, JournalUnusable
from trials.simulation.member import Member
from trials.simulation.network import DELAY_MIN_US, SimulatedNetwork
from trials.simulation.signatures import STAND_IN, Signatures, seed_of
from trials.simulation.society import PROGRAMME, Clients, centre_name, foundation_of
from trials.simulation.tally import Tally
from trials.simulation.world import MIDNIGHT_MS, Violation, World

# --- places --------------------------------------------------------------------------------------

PLACES: dict[str, tuple[float, float]] = {
    "Beijing": (39.9, 116.4),
    "Shanghai": (31.2, 121.5),
    "Shenzhen": (22.5, 114.1),
    "Hangzhou": (30.3, 120.2),
    "Chengdu": (30.7, 104.1),
    "Guiyang": (26.6, 106.7),
    "Qingyang": (35.7, 107.6),
    "Zhengzhou": (34.7, 113.6),
    "Nanning": (22.8, 108.3),
    "Tianjin": (39.1, 117.2),
    "Langfang": (39.5, 116.7),
    "Xiamen": (24.5, 118.1),
    "Jinan": (36.7, 117.0),
    "Yangzhou": (32.4, 119.4),
    "Wuhan": (30.6, 114.3),
    "Wuxi": (31.5, 120.3),
    "Ningbo": (29.9, 121.6),
    "Gui'an": (26.4, 106.6),
    "Ulanqab": (41.0, 113.1),
    "Horinger": (40.4, 111.8),
    "Zhongwei": (37.5, 105.2),
    "Zhangjiakou": (40.8, 114.9),
    "Wuhu": (31.4, 118.4),
    "Shaoguan": (24.8, 113.6),
    "Chongqing": (29.6, 106.5),
    "Suzhou": (31.3, 120.6),
    "Nanjing": (32.1, 118.8),
    "Hefei": (31.8, 117.2),
    "Xi'an": (34.3, 108.9),
}
"""Latitude north and longitude east, in degrees."""
CITIES = tuple(PLACES)[:17]
"""Those of ``localnet/programmes.json``; each runs a validator."""
_CENTRES_IN = {
    **{"Gui'an": 4, "Ulanqab": 3, "Horinger": 2, "Zhongwei": 3, "Qingyang": 3, "Zhangjiakou": 3},
    **{"Wuhu": 3, "Shaoguan": 3, "Chengdu": 2, "Chongqing": 2, "Shanghai": 1, "Suzhou": 1},
    **{"Nanjing": 1, "Hefei": 1, "Wuxi": 1, "Hangzhou": 1, "Wuhan": 1, "Xi'an": 1},
    **{"Zhengzhou": 1, "Jinan": 1, "Tianjin": 1, "Shenzhen": 1},
}
"""Data centres by place: the eight national hubs have most of them. Which forty is assumed."""
EVERYBODY = (*CITIES, *(place for place, count in _CENTRES_IN.items() for _ in range(count)))
"""Where each of the 57 validators is; all have the same power."""
YANGTZE_DELTA = (
    *("Shanghai", "Hangzhou", "Yangzhou", "Wuxi", "Ningbo"),
    *("Wuhu", "Suzhou", "Nanjing", "Hefei"),
)

EARTH_RADIUS_KM = 6_371.0
FIBRE_KM_PER_US = 0.299792458 * 2 / 3
ROUTE_FACTOR = 1.5
"""Cables are longer than great circles."""
METRO_US = 250
"""One way between two machines of one place."""


@cache
def one_way_us(source: str, target: str) -> int:
    """Return the least time of a message from place to place."""
    (north, east), (north_too, east_too) = PLACES[source], PLACES[target]
    north, east, north_too, east_too = map(math.radians, (north, east, north_too, east_too))
    half_chord = (
        math.sin((north - north_too) / 2) ** 2
        + math.cos(north) * math.cos(north_too) * math.sin((east - east_too) / 2) ** 2
    )
    distance_km = 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half_chord))
    return METRO_US + int(distance_km * ROUTE_FACTOR / FIBRE_KM_PER_US)


def finality_bound_us(places: Sequence[str], client: int, validators: int) -> int:
    """Return what no transaction can undercut at the node of index ``client`` among the living.

    A quorum's precommits must reach that node, and a quorum's prevotes must have reached the first
    to precommit: two waits for the nearest quorum, whatever the proposal and computing take.
    """
    quorum = 2 * validators // 3 + 1

    def wait_us(here: int) -> int:
        ways = [one_way_us(place, places[here]) for place in places]
        ways[here] = 0
        return sorted(ways)[quorum - 1]

    return wait_us(client) + min(wait_us(here) for here in range(len(places)))


# --- what computing costs ------------------------------------------------------------------------

MEASURED = 200
"""Repetitions of each measurement."""
ROUNDS = 3
"""Measurements of which the best counts; each is the processor's time of this thread alone."""
SYNC_US = 1_000
"""One durable write of a data centre's disk: assumed, since virtual disks say nothing."""
SEND_US = 15
RECEIVE_US = 50
"""Link and event loop, per message: assumed."""
LATE_MS = 3_600_000
MAP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Microseconds of one core."""

    verify_us: int
    """One Ed25519 verification, with the checks before it."""
    sign_us: int
    event_us: int
    """Decoding a vote and giving it to consensus, its signature apart."""
    parse_us: int
    """Of a transaction."""
    admit_us: int
    recheck_us: int
    """Asking the rules at admission."""
    execute_us: int
    """Of a transaction within a block."""
    commit_us: int
    """Of a transaction, the disk apart."""


def _best_us(action: Callable[[], object], count: int) -> int:
    """Return the time of one of ``count`` things that an action does, at least 1."""
    times_ns: list[int] = []
    for _ in range(ROUNDS):
        start_ns = time.thread_time_ns()
        action()
        times_ns.append(time.thread_time_ns() - start_ns)
    return max(1, min(times_ns) // (1_000 * count))


def measure() -> Costs:
    """Return what things cost on this machine now; takes about a second."""
    with tempfile.TemporaryDirectory() as folder:
        store = LmdbStore(Path(folder), map_bytes=MAP_BYTES, durable=False)
        try:
            return _measure_on(store)
        finally:
            store.close()


def _measure_on(store: LmdbStore) -> Costs:
    seed, message = seed_of("measure"), bytes(120)
    key, signature = crypto.public_key(seed), crypto.sign(seed, message)
    ledger, raws = _stocked_ledger(store)
    now_ms = ledger.last().time_ms + 1
    transactions = [parse(raw) for raw in raws]
    for transaction in transactions:
        ledger.adopt(transaction)
    height = ledger.last().height + 1

    def block(time_ms: int) -> BlockInput:
        return BlockInput(height=height, time_ms=time_ms, transactions=tuple(raws))

    later_ms = iter(range(now_ms, now_ms + ROUNDS))  # the same block would only be remembered
    execute_us = _best_us(lambda: ledger.execute(block(next(later_ms))), MEASURED)

    def admit() -> None:
        for raw in transactions:
            ledger.admit(raw, now_ms)

    admit_us = _best_us(admit, MEASURED)
    recheck_us = _best_us(
        lambda: [ledger.recheck(raw, time_ms=now_ms) for raw in transactions], MEASURED
    )
    execution = ledger.execute(block(now_ms))
    start_ns = time.thread_time_ns()
    ledger.commit(execution, b"")
    commit_us = max(1, (time.thread_time_ns() - start_ns) // (1_000 * MEASURED))
    return Costs(
        verify_us=_best_us(
            lambda: [crypto.verify(key, message, signature) for _ in range(MEASURED)], MEASURED
        ),
        sign_us=_best_us(lambda: [crypto.sign(seed, message) for _ in range(MEASURED)], MEASURED),
        event_us=RECEIVE_US + _vote_us(),
        parse_us=_best_us(lambda: [parse(raw) for raw in raws], MEASURED),
        admit_us=admit_us,
        recheck_us=recheck_us,
        execute_us=execute_us,
        commit_us=commit_us,
    )


def _stocked_ledger(store: LmdbStore) -> tuple[Ledger, list[bytes]]:
    """Return a ledger with vouchers, and redemptions that hold."""
    foundation = foundation_of(4)
    clients = Clients(foundation.log_id, STAND_IN, Random("measure"))
    ledger, tally = Ledger(store, verify=STAND_IN.verify), Tally(PROGRAMME)
    ledger.begin(foundation.genesis)
    now_ms = MIDNIGHT_MS - calendar.DAY_MS // 2
    for height, made in enumerate(
        (*clients.opening(now_ms, expiries=False), clients.mint(now_ms)), start=1
    ):
        block = BlockInput(height=height, time_ms=now_ms + height, transactions=(made[1],))
        execution = ledger.execute(block)
        tally.follow(execution)
        ledger.commit(execution, b"")
    voucher, purse = next(iter(tally.purses.items()))
    return ledger, [
        clients.redemption(now_ms + LATE_MS, voucher, purse, 1)[1] for _ in range(MEASURED)
    ]


def _vote_us() -> int:
    foundation = foundation_of(len(EVERYBODY))
    keys = [voter.key for voter in foundation.validators.validators]
    payloads = [
        codec.encode(
            VoteMessage(
                vote=Vote(
                    kind=VoteKind.PREVOTE,
                    height=1,
                    round=round_,
                    block_id=(),
                    validator=ValidatorKey(key),
                    signature=bytes(64),
                )
            )
        )
        for round_ in range(4)
        for key in keys
    ]

    def handle() -> None:
        driver = Driver(
            height=1, validators=foundation.validators, own_key=None, timeouts=TimeoutPolicy()
        )
        for payload in payloads:
            message: VoteMessage = codec.decode(VoteMessage, payload, 4096)
            vote = message.vote
            vote_sign_bytes(
                foundation.log_id, ENGINE_EPOCH, vote.kind, vote.height, vote.round, vote.block_id
            )
            driver.handle(VoteReceived(vote=vote))

    return _best_us(handle, len(payloads))


# --- machines ------------------------------------------------------------------------------------


class MeteredLedger(Ledger):
    """A ledger whose work takes its machine's time."""

    def __init__(self, storage: Storage, *, verify: Verify, machine: "Machine") -> None:
        super().__init__(storage, verify=verify)
        self._machine = machine

    def adopt(self, transaction: Transaction) -> None:
        """Take in a transaction that was decoded."""
        self._machine.spend(self._machine.costs.parse_us)
        super().adopt(transaction)

    def admit(self, transaction: Transaction, time_ms: int) -> None:
        """Raise Inadmissible unless a transaction could be logged."""
        self._machine.spend(self._machine.costs.admit_us)
        super().admit(transaction, time_ms)

    def recheck(self, transaction: Transaction, *, time_ms: int) -> Checked:
        """Return what the rules say."""
        self._machine.spend(self._machine.costs.recheck_us)
        return super().recheck(transaction, time_ms=time_ms)

    def _keep(self, execution: Execution) -> None:
        """Keep an execution: each block that is really executed comes by here once."""
        self._machine.spend(self._machine.costs.execute_us * len(execution.results))
        super()._keep(execution)

    def commit(self, execution: Execution, certificate: bytes) -> Head:
        """Make a block durable."""
        self._machine.spend(SYNC_US + self._machine.costs.commit_us * len(execution.results))
        return super().commit(execution, certificate)


class Machine(Member):
    """A member with one core: events wait for each other, and what they send leaves when due."""

    timeouts = TimeoutPolicy()

    def __init__(self, name: str, *, costs: Costs, world: World, **rest: Any) -> None:
        self.costs = costs
        self.spent_us = 0
        """What the event under way has cost so far."""
        self._waiting: deque[Callable[[BuiltinEngine], None]] = deque()
        self._is_busy = False
        self._free_us = 0
        self._time = world
        signatures = Signatures(sign=self._sign, verify=self._verify)
        super().__init__(name, world=world, signatures=signatures, **rest)

    def spend(self, cost_us: int) -> None:
        """Let the event under way take longer."""
        self.spent_us += cost_us

    def make_ledger(self) -> Ledger:
        """Return a ledger that takes time."""
        return MeteredLedger(self.store, verify=self._verify, machine=self)

    def _sign(self, seed: bytes, message: bytes) -> bytes:
        self.spend(self.costs.sign_us + 2 * SYNC_US)  # the log and the signer's record come first
        return STAND_IN.sign(seed, message)

    def _verify(self, key: bytes, message: bytes, signature: bytes) -> bool:
        self.spend(self.costs.verify_us)
        return STAND_IN.verify(key, message, signature)

    def _run(self, action: Callable[[BuiltinEngine], None]) -> None:
        self._waiting.append(action)
        if not self._is_busy:
            self._is_busy = True
            self._time.after(self._free_us - self._time.now_us, self._next)

    def _next(self) -> None:
        self.spent_us = self.costs.event_us
        super()._run(self._waiting.popleft())
        self._free_us = self._time.now_us + self.spent_us
        self.spent_us = 0
        self._is_busy = bool(self._waiting)
        if self._is_busy:
            self._time.after(self._free_us - self._time.now_us, self._next)


# --- lines ---------------------------------------------------------------------------------------

LINE_MBIT = 100
"""What a node's line takes each way; a megabit a second is a bit a microsecond."""
FRAME_BYTES = 120
"""TLS, TCP and IP around a message."""
JITTER_US = 1_000
JITTER_SHARE = 0.05
"""Jitter is exponential with a mean of JITTER_US and this share of the way: assumed."""
LOSS = 0.001
RETRANSMIT_US = 200_000
"""A lost message waits for TCP's least retransmission time, and so do its link's later ones."""

URGENCY = (Channel.VOTE, Channel.BLOCK, Channel.TRANSACTIONS)
"""A sender's line takes these first; sync goes with blocks."""


class WideAreaNetwork(SimulatedNetwork):
    """Links as long as the way between places."""

    def __init__(self, world: World, random: Random) -> None:
        super().__init__(world, Faults(delay_mean_ms=0.0), random)
        self.bytes_sent: dict[str, int] = {}
        self._time = world
        self._dice = random
        self._machines: dict[str, Machine] = {}
        self._places: dict[str, str] = {}
        self._up_free_us: dict[tuple[str, int], int] = {}
        self._down_free_us: dict[str, int] = {}
        self._arrived_us: dict[tuple[str, str], int] = {}

    def place(self, machine: Machine, place: str) -> None:
        """Let a machine take part, somewhere."""
        self.add(machine)
        self._machines[machine.name] = machine
        self._places[machine.name] = place

    def send(self, source: str, target: str, channel: Channel, payload: bytes) -> None:
        """Send a message once the sender came to it and its line is free."""
        machine = self._machines[source]
        machine.spend(SEND_US)
        size = len(payload) + FRAME_BYTES
        self.bytes_sent[source] = self.bytes_sent.get(source, 0) + size
        gone_us = self._leave(source, self._time.now_us + machine.spent_us, channel, size)
        way_us = one_way_us(self._places[source], self._places[target])
        jitter_us = self._dice.expovariate(1.0) * (JITTER_US + way_us * JITTER_SHARE)
        if self._dice.random() < LOSS:
            jitter_us += RETRANSMIT_US + way_us
        link = (source, target)
        at_us = max(gone_us + way_us + int(jitter_us), self._arrived_us.get(link, 0))
        self._arrived_us[link] = at_us
        arrive = partial(self._arrive, source, target, channel, payload, size * 8 // LINE_MBIT)
        self._time.after(at_us - self._time.now_us, arrive)

    def _leave(self, source: str, ready_us: int, channel: Channel, size: int) -> int:
        """Return when a message has left; what is less urgent waits for it."""
        urgency = URGENCY.index(channel) if channel in URGENCY else 1
        start_us = max(ready_us, self._up_free_us.get((source, urgency), 0))
        takes_us = size * 8 // LINE_MBIT
        for less_urgent in range(urgency, len(URGENCY)):
            free_us = max(start_us, self._up_free_us.get((source, less_urgent), 0))
            self._up_free_us[source, less_urgent] = free_us + takes_us
        return start_us + takes_us

    def _arrive(
        self, source: str, target: str, channel: Channel, payload: bytes, takes_us: int
    ) -> None:
        ready_us = max(self._time.now_us, self._down_free_us.get(target, 0)) + takes_us
        self._down_free_us[target] = ready_us
        carry = partial(super().send, source, target, channel, payload)
        self._time.after(ready_us - self._time.now_us - DELAY_MIN_US, carry)


# --- a run ---------------------------------------------------------------------------------------

STEP_US = 20_000
RETRY_US = 3_000_000
SETTLE_US_MAX = 120_000_000
"""How long after the last transaction all are final."""
VOUCHERS_MIN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Who is gone, and what clients do."""

    name: str
    lost: tuple[str, ...] = ()
    """Places of which every validator is dead."""
    per_second: float
    """Redemptions that clients hand in, each at a random living node."""
    transactions: int
    """How many in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finality:
    """What clients saw: from handing in at a node to final at that node."""

    scenario: Scenario
    living: int
    validators: int
    waits_us: tuple[int, ...]
    """Ascending, one a transaction."""
    bounds_us: tuple[int, ...]
    """What light allows, in the same order."""
    heights: int
    later_rounds: int
    """Heights that were not decided in round 0."""
    delivered: int
    megabit_max: float
    """Mean use of the busiest node's line, outgoing."""


@dataclass(slots=True)
class _Handed:
    machine: Machine
    at_us: int


@dataclass(slots=True, kw_only=True)
class _Watch:
    """The witness: who committed what when, and that all committed the same."""

    world: World
    tally: Tally
    handed: dict[bytes, _Handed] = field(default_factory=dict)
    waits_us: dict[bytes, int] = field(default_factory=dict)
    rounds: dict[int, int] = field(default_factory=dict)
    record_hashes: dict[int, bytes] = field(default_factory=dict)

    def signed(self, member: Member, request: SignRequest) -> None:
        """Let it pass: the seeds look at signatures."""

    def committed(self, member: Member, execution: Execution) -> None:
        """Note what is final at the node where it was handed in."""
        head = execution.head
        if self.record_hashes.setdefault(head.height, head.record_hash) != head.record_hash:
            raise Violation(f"disagreement: {member.name} commits another block at {head.height}")
        if head.height not in self.rounds:
            data = member.store.stored_commit(head.height)
            assert data is not None
            self.rounds[head.height] = decode_commit(data).certificate.round
            self.tally.follow(execution)
        for result in execution.results:
            handed = self.handed.get(result.id)
            if handed is not None and handed.machine is member:
                done_us = self.world.now_us + handed.machine.spent_us
                self.waits_us[result.id] = done_us - handed.at_us

    def blamed(self, member: Member, peer: str, reason: str) -> None:
        """Refuse to go on: nobody lies here."""
        raise Violation(f"an honest peer blamed: {member.name} says {peer} {reason}")


class WideArea:
    """A network of machines at places."""

    def __init__(self, places: Sequence[str], costs: Costs, seed: int) -> None:
        self.places = tuple(places)
        self.world = World(MIDNIGHT_MS - calendar.DAY_MS // 2)
        self.watch = _Watch(world=self.world, tally=Tally(PROGRAMME))
        self.network = WideAreaNetwork(self.world, Random(f"{seed}/network"))
        self.machines: list[Machine] = []
        self._random = Random(f"{seed}/clients")
        foundation = foundation_of(len(places))
        self._clients = Clients(foundation.log_id, STAND_IN, Random(f"{seed}/wishes"))
        for index, place in enumerate(places):
            name = centre_name(index)
            machine = Machine(
                name,
                seed=seed_of(name, "consensus"),
                genesis=foundation.genesis,
                world=self.world,
                network=self.network,
                costs=costs,
                witness=self.watch,
                random=Random(f"{seed}/{name}"),
            )
            self.machines.append(machine)
            self.network.place(machine, place)

    def run(self, scenario: Scenario) -> Finality:
        """Start everybody, lose some, hand in for a while; raise Violation if all is not final."""
        for machine in self.machines:
            machine.start()
        self._open()
        for machine, place in zip(self.machines, self.places, strict=True):
            if place in scenario.lost:
                machine.kill()
        start_us, heights = self.world.now_us, len(self.watch.rounds)
        opening = tuple(self.watch.handed)
        sent_before = dict(self.network.bytes_sent)
        for _ in range(scenario.transactions):
            self._redeem_after(int(self._random.expovariate(scenario.per_second) * 1e6))
        self._wait()
        elapsed_us = self.world.now_us - start_us
        indexes = [i for i, machine in enumerate(self.machines) if machine.is_up]
        living = [self.places[index] for index in indexes]
        bound_us = {
            self.machines[index].name: finality_bound_us(living, at, len(self.machines))
            for at, index in enumerate(indexes)
        }
        waits = sorted(
            (wait_us, transaction_id)
            for transaction_id, wait_us in self.watch.waits_us.items()
            if transaction_id not in opening
        )
        return Finality(
            scenario=scenario,
            living=len(living),
            validators=len(self.machines),
            waits_us=tuple(wait_us for wait_us, _ in waits),
            bounds_us=tuple(
                bound_us[self.watch.handed[transaction_id].machine.name]
                for _, transaction_id in waits
            ),
            heights=len(self.watch.rounds) - heights,
            later_rounds=sum(round_ > 0 for round_ in list(self.watch.rounds.values())[heights:]),
            delivered=self.network.delivered,
            megabit_max=max(
                (sent - sent_before.get(name, 0)) * 8 / elapsed_us
                for name, sent in self.network.bytes_sent.items()
            ),
        )

    def _open(self) -> None:
        """Put the facts into the log that redemptions rest on."""
        for made in self._clients.opening(self.world.now_ms, expiries=False):
            self._hand_in(self.machines[0], *made)
            self._wait()
        for _ in range(VOUCHERS_MIN):
            self._hand_in(self.machines[0], *self._clients.mint(self.world.now_ms + LATE_MS))
        self._wait()

    def _redeem_after(self, wait_us: int) -> None:
        """Let somebody redeem out of a voucher, somewhere, some time later."""
        self.world.run_until(self.world.now_us + wait_us)
        purses = [(name, purse) for name, purse in self.watch.tally.purses.items() if purse.fen]
        voucher, purse = self._random.choice(purses)
        machine = self._random.choice([machine for machine in self.machines if machine.is_up])
        now_ms = self.world.now_ms + LATE_MS  # with time to spare: none may expire
        self._hand_in(machine, *self._clients.redemption(now_ms, voucher, purse, 1))

    def _hand_in(self, machine: Machine, transaction_id: bytes, raw: bytes) -> None:
        self.watch.handed.setdefault(transaction_id, _Handed(machine, self.world.now_us))
        machine.submit(raw)

        def again() -> None:
            if transaction_id not in self.watch.waits_us:  # the pool may have been full
                self._hand_in(machine, transaction_id, raw)

        self.world.after(RETRY_US, again)

    def _wait(self) -> None:
        end_us = self.world.now_us + SETTLE_US_MAX
        while len(self.watch.waits_us) < len(self.watch.handed):
            if self.world.now_us > end_us:
                missing = len(self.watch.handed) - len(self.watch.waits_us)
                raise Violation(f"not live: {missing} transactions are not final")
            self.world.run_until(self.world.now_us + STEP_US)


# --- the command ---------------------------------------------------------------------------------

LOADS = (2.0, 40.0)
"""Transactions a second."""
LOSSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nobody", ()),
    ("Shanghai", ("Shanghai",)),
    ("the Yangtze delta", YANGTZE_DELTA),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One seed of one row of the table, and what came out: a line of a journal."""

    seed: int
    costs: Costs
    finality: Finality


def pieces_of(seeds: range, transactions: int) -> list[tuple[int, Scenario]]:
    """Return what to run: every row with the first seed, then every row with the second."""
    return [
        (seed, Scenario(name=name, lost=lost, per_second=rate, transactions=transactions))
        for seed in seeds
        for name, lost in LOSSES
        for rate in LOADS
    ]


def run_piece(piece: tuple[int, Scenario], *, places: Sequence[str], costs: Costs) -> Piece:
    """Run one seed of one row."""
    seed, scenario = piece
    return Piece(seed=seed, costs=costs, finality=WideArea(places, costs, seed).run(scenario))


def run_all(
    pieces: Sequence[tuple[int, Scenario]], file: JournalFile[Piece] | None, workers: int
) -> tuple[Costs, list[Finality]]:
    """Run what the journal does not hold yet; return all results, and the costs that they rest on.

    Costs are measured once for a table: a run that goes on takes those of its beginning. Raises
    JournalUnusable.
    """
    pieces_before = [] if file is None else file.records
    costs = pieces_before[0].costs if pieces_before else measure()
    done = {(piece.seed, piece.finality.scenario): piece for piece in pieces_before}
    missing = [piece for piece in pieces if piece not in done]
    run = partial(run_piece, places=EVERYBODY, costs=costs)
    # Spawned, never forked: a child must not inherit half of another network.
    with interrupts_held():
        started = multiprocessing.get_context("spawn").Pool(workers)
    with started as pool:
        for piece in pool.imap(run, missing):
            done[piece.seed, piece.finality.scenario] = piece
            if file is not None:
                file.add(piece)
    return costs, [done[piece].finality for piece in pieces]


BOUNDS = (
    *(("seeds", 1, 1_000), ("seed", 0, 2**63), ("transactions", 1, 1_000_000)),
    ("workers", 1, 256),
)
"""Of the numbers that are asked for."""
COLUMNS = (
    *("lost", "alive", "load", "transactions", "p50", "p50 by seed", "p99", "p99 by seed"),
    *("least by light", "blocks", "later rounds", "busiest line"),
)


def quantile_ms(waits_us: Sequence[int], percent: int) -> int:
    """Return the time within which so many of a hundred were final."""
    return percentile(waits_us, percent) // 1_000


def row(seeds: Sequence[Finality]) -> str:
    """Return what several seeds of one scenario gave as a line of the table."""
    first = seeds[0]
    waits_us = [wait_us for seed in seeds for wait_us in seed.waits_us]
    bounds_us = [bound_us for seed in seeds for bound_us in seed.bounds_us]
    quantiles = []
    for percent in (50, 99):
        each = [quantile_ms(seed.waits_us, percent) for seed in seeds]
        quantiles += [f"{quantile_ms(waits_us, percent)} ms", f"{min(each)} to {max(each)} ms"]
    cells = (
        first.scenario.name,
        f"{first.living} of {first.validators}",
        f"{first.scenario.per_second:g}/s",
        str(len(waits_us)),
        *quantiles,
        f"{min(bounds_us) // 1_000} to {max(bounds_us) // 1_000} ms",
        str(sum(seed.heights for seed in seeds)),
        str(sum(seed.later_rounds for seed in seeds)),
        f"{max(seed.megabit_max for seed in seeds):.1f} Mbit/s",
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Run every row with every seed, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m trials.simulation.wide_area")
    parser.add_argument("--seeds", type=int, default=1, help="of each row")
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--transactions", type=int, default=100, help="of each row and seed")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--journal", type=Path, help="written, and gone on with")
    arguments = parser.parse_args()
    for name, least, most in BOUNDS:
        if not least <= getattr(arguments, name) <= most:
            number = getattr(arguments, name)
            parser.error(f"--{name} takes a number from {least} to {most}, not {number}")
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    pieces = pieces_of(seeds, arguments.transactions)
    options = {"places": len(EVERYBODY)}
    try:
        path = arguments.journal
        file = None if path is None else JournalFile(path, options, Piece)
        costs, results = run_all(pieces, file, arguments.workers)
    except JournalUnusable as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130  # what is done is in the journal
    sys.stdout.write(f"Measured costs: {costs}\n\n")
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n")
    rows = len(LOSSES) * len(LOADS)
    for number in range(rows):
        sys.stdout.write(f"{row(results[number::rows])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
