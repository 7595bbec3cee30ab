"""A healthy simulated network whose troubles the test makes itself."""

from collections.abc import Callable

from consensus.inputs import TimeoutKind
from consensus.timeouts import TimeoutPolicy
from engines.builtin.engine import BuiltinEngine
from engines.builtin.p2p.frames import Channel
from trials.simulation.faults import Faults
from trials.simulation.member import Member
from trials.simulation.simulation import Simulation

TIMEOUTS = TimeoutPolicy()
"""Those of a real node; seeds use shorter ones, to come to more rounds."""
DELAYS_MS = (2.0, 10.0, 30.0)
"""Mean delay of a message; the seed chooses."""
CHECK_US = 10_000
OPENING_US_MAX = 60_000_000
LATE_MS = 36_000_000
"""Transactions expire this much later than clients usually ask for."""

Stops = Callable[["Town", Member, str, Channel], bool]
"""Whether a message of a member to a peer, on a channel, is lost."""


class Gate:
    """A member's port, through which the test lets pass what it likes."""

    def __init__(self, town: "Town", member: Member) -> None:
        self._town, self._member, self._port = town, member, member.port

    def send(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Send to one peer, perhaps."""
        if not self._town.stops(self._town, self._member, peer, channel):
            self._port.send(peer, channel, payload)

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Send to everybody who may have it."""
        for peer in self._town.network.names:
            if peer != self._member.name:
                self.send(peer, channel, payload)

    def fault(self, peer: str, reason: str) -> None:
        """Close a link."""
        self._port.fault(peer, reason)


def nothing(town: "Town", member: Member, peer: str, channel: Channel) -> bool:
    """Lose nothing."""
    return False


def blocks(town: "Town", member: Member, peer: str, channel: Channel) -> bool:
    """Lose all proposals and blocks; votes pass."""
    return channel is Channel.BLOCK


def the_proposer(town: "Town", member: Member, peer: str, channel: Channel) -> bool:
    """Cut off whoever's turn it is in the latest round that anybody reached."""
    latest = max((host.height, host.round) for host in town.hosts())
    key = town.checks.register.at(latest[0]).proposer(*latest)
    return key in (member.key, town.member(peer).key)


class Town(Simulation):
    """A network in which everybody is up, and nothing is lost but what ``stops`` names."""

    def __init__(self, seed: int, validators: int) -> None:
        faults = Faults(delay_mean_ms=DELAYS_MS[seed % len(DELAYS_MS)])
        super().__init__(seed, validators=validators, faults=faults)
        self.stops: Stops = nothing
        for member in self.members:
            member.port = Gate(self, member)
            member.timeouts = TIMEOUTS

    def begin(self) -> None:
        """Start everybody, and log what vouchers rest on."""
        for member in self.members:
            member.start()
        taker = next(iter(self.honest.values()))
        for made in self._clients.opening(self.world.now_ms, expiries=False):
            took_us = self.final_after_us(taker, made, OPENING_US_MAX)
            assert took_us is not None

    def hosts(self) -> list[BuiltinEngine]:
        """Return the hosts of those who are up."""
        return [member.host for member in self.members if member.host is not None]

    def member(self, name: str) -> Member:
        """Return a member by name."""
        return next(member for member in self.members if member.name == name)

    def proposer(self, height: int, round_: int) -> Member:
        """Return whose turn it is."""
        key = self.checks.register.at(height).proposer(height, round_)
        return next(member for member in self.members if member.key == key)

    def wish(self) -> tuple[bytes, bytes]:
        """Return id and envelope of a transaction that holds and lasts."""
        return self._clients.mint(self.world.now_ms + LATE_MS)

    def submit(self, member: Member, made: tuple[bytes, bytes]) -> None:
        """Hand in a transaction, once."""
        self.checks.submitted[made[0]] = made[1]
        member.submit(made[1])

    def run_until(
        self, is_done: Callable[[], bool], most_us: int, check_us: int = CHECK_US
    ) -> int | None:
        """Let time pass; return how much until something held, or None if it never did."""
        start_us = self.world.now_us
        while not is_done():
            if self.world.now_us - start_us > most_us:
                return None
            self.world.run_until(self.world.now_us + check_us)
            self.checks.all_may_vote()
        return self.world.now_us - start_us

    def is_everywhere(self, transaction_id: bytes) -> bool:
        """Return whether a transaction is final at every honest member who is up."""
        top = max(self.checks.blocks, default=0)
        heights = [member.store_height for member in self.honest.values() if member.is_up]
        return transaction_id in self.checks.tally.logged and min(heights) == top

    def final_after_us(self, member: Member, made: tuple[bytes, bytes], most_us: int) -> int | None:
        """Hand in a transaction; return how long it took until it was everywhere."""
        self.submit(member, made)
        return self.run_until(lambda: self.is_everywhere(made[0]), most_us)


def round_us(round_: int, timeouts: TimeoutPolicy = TIMEOUTS) -> int:
    """Return how long a round may last: its three timers."""
    return 1_000 * sum(timeouts.after_ms(kind, round_) for kind in TimeoutKind)
