"""A member that dies at every single write to its disk, and again while it recovers.

The same two blocks are decided again and again. In each visit the victim dies before or after one
more of its writes; its next life can end in the middle of its recovery, and so can the one after.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from trials.simulation.faults import Faults
from trials.simulation.member import Member
from trials.simulation.simulation import Simulation
from trials.simulation.world import Violation

Role = Literal["proposer", "voter", "last voter", "latecomer"]
"""Who dies: the maker of the first block, any other, one without whom there is no quorum, and one
that hears of nothing until both blocks are decided."""
ROLES: tuple[Role, ...] = get_args(Role)

STEP_US = 50_000
SECOND_BLOCK_US = 600_000
JOIN_US = 1_500_000
END_US_MAX = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How often a process wrote, in steps: two a write."""

    recovery: int
    """While it started."""
    total: int


def visit(role: Role, deaths: tuple[int, ...], *, seed: int = 0) -> tuple[Life, ...]:
    """Let the victim's lives end at the given steps, and the last one go on; return all lives.

    Raises Violation.
    """
    return _Visit(role, deaths, seed).lives()


def explore(role: Role, depth: int, *, every: int = 1) -> Iterator[tuple[int, ...]]:
    """Visit all points up to ``depth`` deaths; yield the deaths of each.

    Of the deepest ones only every so many are visited.
    """
    yield from _walk(role, (), depth, every)


def _walk(role: Role, deaths: tuple[int, ...], depth: int, every: int) -> Iterator[tuple[int, ...]]:
    lives = visit(role, deaths)
    yield deaths
    if len(deaths) == depth:
        return
    last = lives[-1]
    # Later deaths fall into recoveries: from there on a life is like the first.
    steps = last.recovery if deaths else last.total
    stride = every if len(deaths) + 1 == depth else 1
    for step in range(1 + sum(deaths) % stride, steps + 1, stride):
        yield from _walk(role, (*deaths, step), depth, every)


class _Visit:
    """One run."""

    def __init__(self, role: Role, deaths: tuple[int, ...], seed: int) -> None:
        faults = Faults(clients_every_ms=0)
        self._simulation = Simulation(seed, validators=4, faults=faults)
        self._deaths = list(deaths)
        self._lives: list[Life] = []
        self._recovery = 0
        self._begun = 0
        members = self._simulation.members
        proposer = self._simulation.checks.register.at(1).proposer(1, 0)
        makers = [member for member in members if member.key == proposer]
        others = [member for member in members if member.key != proposer]
        self._victim = makers[0] if role == "proposer" else others[0]
        # What each crash leaves of the unsynced is another matter at every point.
        self._victim.disk_dice.seed(f"{role} {deaths} {seed}")
        self._helper = others[1]
        self._absent = [others[2]] if role == "last voter" else []
        self._is_late = role == "latecomer"

    def lives(self) -> tuple[Life, ...]:
        simulation, world = self._simulation, self._simulation.world
        if self._is_late:
            rest = [member.name for member in simulation.members if member is not self._victim]
            simulation.network.split([[self._victim.name], rest])
        for member in simulation.members:
            if member is self._victim:
                self._start()
            elif member not in self._absent:
                member.start()
        transactions = simulation.opening()[:2]
        for place, (transaction_id, raw) in enumerate(transactions):
            simulation.checks.submitted[transaction_id] = raw
            world.after(place * SECOND_BLOCK_US, partial(self._hand_in, transaction_id, raw))
        world.after(JOIN_US, self._join)
        while not self._is_done([transaction_id for transaction_id, _ in transactions]):
            if world.now_us > END_US_MAX:
                raise Violation(f"not live: {self._where()} after deaths at {self._deaths}")
            world.run_until(world.now_us + STEP_US)
            if not self._victim.is_up:
                self._bury()
                self._start()
        self._bury()
        assert not self._deaths, "every planned death came"
        simulation.checks.all_may_vote()
        simulation.checks.same_everywhere(member.store for member in simulation.members)
        return tuple(self._lives)

    def _hand_in(self, transaction_id: bytes, raw: bytes) -> None:
        """Hand a transaction in until it is final: it is refused while what it rests on is not."""
        if transaction_id not in self._simulation.checks.tally.logged:
            self._helper.submit(raw)
            again = partial(self._hand_in, transaction_id, raw)
            self._simulation.world.after(SECOND_BLOCK_US, again)

    def _start(self) -> None:
        plan = self._victim.plan
        self._begun = plan.durable_steps
        plan.arm(self._deaths.pop(0) if self._deaths else 0, only_durable=True)
        self._victim.start()
        self._recovery = plan.durable_steps - self._begun

    def _bury(self) -> None:
        total = self._victim.plan.durable_steps - self._begun
        self._lives.append(Life(recovery=self._recovery, total=total))

    def _join(self) -> None:
        for member in self._absent:
            member.start()
        self._simulation.network.join()

    def _is_done(self, transaction_ids: list[bytes]) -> bool:
        simulation = self._simulation
        heads = {member.store.head() for member in simulation.members}
        hosts = [member.host for member in simulation.members]
        return (
            simulation.world.now_us > JOIN_US
            and len(heads) == 1
            and all(host is not None and not len(host.pool) for host in hosts)
            and all(
                transaction_id in simulation.checks.tally.logged
                for transaction_id in transaction_ids
            )
        )

    def _where(self) -> list[str]:
        return [_place(member) for member in self._simulation.members]


def _place(member: Member) -> str:
    host = member.host
    return f"{member.name} down" if host is None else f"{member.name} h{host.height} r{host.round}"
