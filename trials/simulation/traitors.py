"""A whole network in which more than a third lie together: it forks, and whoever hears of it stops.

Every traitor runs twice with one key, as two processes that each keep to the protocol. While the
network is split in two, each half has one process of every traitor and half of the honest members,
so both halves have a quorum. Then the split ends. Traitors go on as if nothing had happened; an
honest node that is shown the other branch stops and keeps both certificates (node.md N6.14).
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from consensus.forks import ForkEvidence
from consensus.messages import BlockId
from engines.builtin.block_check import ForkSeen
from engines.builtin.engine import BuiltinEngine
from engines.builtin.messages import block_id, decode_commit
from engines.builtin.signer import SignRequest
from ledger.execute import Execution
from trials.simulation.faults import Faults
from trials.simulation.member import Member
from trials.simulation.network import SimulatedNetwork
from trials.simulation.signatures import STAND_IN, seed_of
from trials.simulation.society import Clients, centre_name, foundation_of
from trials.simulation.world import MIDNIGHT_MS, World

DELAYS_MEAN_MS = (2.0, 10.0, 30.0)
"""Of a message; the seed chooses."""
DROP_MAX = 0.05
TOGETHER_US_MAX = 2_000_000
"""How long all are linked before the split."""
APART_US = (1_000_000, 8_000_000)
"""From and to; half a second goes by until twins are linked."""
HEALED_US = 3_000_000
CLIENT_MEAN_US = 100_000
LATE_MS = 3_600_000
OPENING_AGAIN_US = 250_000


class Process(Member):
    """A member that knows of forks: an honest one ends, a traitor goes on."""

    def __init__(self, name: str, *, is_honest: bool, **rest: Any) -> None:
        super().__init__(name, **rest)
        self.is_honest = is_honest
        self.evidence: ForkEvidence | None = None
        """Why an honest one stopped."""
        self.proof = b""
        """What it keeps of that in a file."""

    def start(self) -> None:
        """Start the process; a traitor's key signs on whatever its twin is seen to have signed."""
        super().start()
        if self.host is not None and not self.is_honest:
            self.host.key.stop = lambda reason: None  # type: ignore[method-assign]

    def _run(self, action: Callable[[BuiltinEngine], None]) -> None:
        try:
            super()._run(action)
        except ForkSeen as seen:
            if self.is_honest:
                self.evidence, self.proof = seen.fork, seen.evidence
                self.kill()

    def decided(self, height: int) -> BlockId:
        """Return the id of the block that it decided at a height."""
        data = self.store.stored_commit(height)
        assert data is not None
        return block_id(decode_commit(data).header)


class Bystander:
    """The witness: nothing that happens here is a violation by itself."""

    def signed(self, member: Member, request: SignRequest) -> None:
        """Let it pass."""

    def committed(self, member: Member, execution: Execution) -> None:
        """Let it pass."""

    def blamed(self, member: Member, peer: str, reason: str) -> None:
        """Let it pass: traitors' links are closed, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Two halves that decided two blocks at one height."""

    height: int
    """The first at which they differ."""
    stopped: tuple[Process, ...]
    """Honest ones that stopped, with evidence."""
    unaware: tuple[Process, ...]
    """Honest ones that nobody showed the other branch."""


class Conspiracy:
    """A network of ``validators`` keys, of which the last ``traitors`` run twice."""

    def __init__(self, seed: int, *, validators: int, traitors: int) -> None:
        self._random = Random(f"{seed}/{validators}/{traitors}")
        self.world = World(MIDNIGHT_MS - 600_000)
        faults = Faults(
            delay_mean_ms=self._random.choice(DELAYS_MEAN_MS),
            drop=self._random.uniform(0, DROP_MAX),
        )
        self.network = SimulatedNetwork(self.world, faults, Random(f"{seed}/network"))
        self.foundation = foundation_of(validators)
        self._clients = Clients(self.foundation.log_id, STAND_IN, Random(f"{seed}/clients"))
        honest = validators - traitors
        self.halves: tuple[list[Process], list[Process]] = ([], [])
        for index in range(honest):
            self.halves[index * 2 // honest].append(self._process(seed, index, is_honest=True))
        for half, members in enumerate(self.halves):
            for index in range(honest, validators):
                members.append(self._process(seed, index, is_honest=False, twin=half))

    def _process(self, seed: int, index: int, *, is_honest: bool, twin: int = 0) -> Process:
        key_of = centre_name(index)
        name = f"{key_of}-twin" if twin else key_of
        process = Process(
            name,
            is_honest=is_honest,
            seed=seed_of(key_of, "consensus"),
            genesis=self.foundation.genesis,
            world=self.world,
            network=self.network,
            signatures=STAND_IN,
            witness=Bystander(),
            random=Random(f"{seed}/{name}"),
        )
        self.network.add(process)
        return process

    @property
    def processes(self) -> list[Process]:
        """Return all processes, of both halves."""
        return [*self.halves[0], *self.halves[1]]

    @property
    def honest(self) -> list[Process]:
        """Return the honest ones."""
        return [process for process in self.processes if process.is_honest]

    @property
    def traitors(self) -> set[bytes]:
        """Return the keys of those that run twice."""
        return {process.key for process in self.processes if not process.is_honest}

    def run(self) -> Fork | None:
        """Live together, apart, and together again; return the fork that came of it, if any."""
        twins = [process for process in self.halves[1] if not process.is_honest]
        for process in self.processes:
            if process not in twins:
                process.start()
        opening = self._clients.opening(self.world.now_ms, expiries=False)
        self._hand_in([raw for _, raw in opening])
        self._live(self._random.randint(0, TOGETHER_US_MAX))
        self.network.split([[process.name for process in half] for half in self.halves])
        for process in twins:
            process.start()
        self._live(self._random.randint(*APART_US))
        height = self._first_difference()
        self.network.heal()
        self._live(HEALED_US)
        if height is None:
            height = self._first_difference()
        if height is None:
            assert all(process.is_up for process in self.honest), "stopped without a fork"
            return None
        return Fork(
            height=height,
            stopped=tuple(process for process in self.honest if process.evidence),
            unaware=tuple(process for process in self.honest if not process.evidence),
        )

    def _hand_in(self, raws: list[bytes]) -> None:
        """Hand the opening in everywhere, again and again: a fact is refused until others hold."""
        for process in self.processes:
            for raw in raws:
                process.submit(raw)
        self.world.after(OPENING_AGAIN_US, lambda: self._hand_in(raws))

    def _live(self, for_us: int) -> None:
        """Let time pass; clients hand in new transactions everywhere."""
        end_us = self.world.now_us + for_us
        while self.world.now_us < end_us:
            wait_us = int(self._random.expovariate(1.0) * CLIENT_MEAN_US)
            self.world.run_until(min(end_us, self.world.now_us + wait_us))
            _, raw = self._clients.mint(self.world.now_ms + LATE_MS)
            self._random.choice(self.processes).submit(raw)

    def _first_difference(self) -> int | None:
        """Return the lowest height at which two honest processes decided two blocks."""
        known: dict[int, BlockId] = {}
        differing = [
            height
            for process in self.honest
            for height in range(1, process.store_height + 1)
            if known.setdefault(height, process.decided(height)) != process.decided(height)
        ]
        return min(differing, default=None)
