"""The simulated network: links between members that lose, delay, repeat and split."""

from collections.abc import Callable
from random import Random
from typing import Protocol

from engines.builtin.p2p.frames import Channel
from trials.simulation.faults import Faults
from trials.simulation.world import World

DELAY_MIN_US = 100
HEALED_DELAY_US = 1_000
REPEAT_LATE_US = 3_000_000
"""A repeated message comes at most this much later."""
STARVED_LATE_US = 3_000_000
"""A starved message comes at most this much later."""
HISTORY_MAX = 20_000
"""Messages of the past that can be repeated."""
RECONNECT_US = 20_000


class Receiver(Protocol):
    """The end of links: a member."""

    name: str

    @property
    def is_up(self) -> bool:
        """Return whether the process runs."""

    def receive(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Take a message."""

    def peer_up(self, peer: str) -> None:
        """Note that a link is up."""

    def peer_down(self, peer: str) -> None:
        """Note that a link is lost."""


class SimulatedNetwork:
    """Carries messages between all members."""

    def __init__(self, world: World, faults: Faults, random: Random) -> None:
        self.sent = 0
        self.delivered = 0
        self._world = world
        self._faults = faults
        self._random = random
        self._members: dict[str, Receiver] = {}
        self._deaf: dict[tuple[str, str], None] = {}
        """Ordered pairs between which nothing arrives."""
        self._cut: dict[frozenset[str], None] = {}
        """Pairs without a link, for the protocol was broken or a process is down."""
        self._clogged: dict[str, dict[str, list[Callable[[], None]]]] = {}
        """What waits for a member that hears nothing for a while, by sender."""
        self._held: dict[str, list[Callable[[], None]]] = {}
        """What waits to arrive newest first, by receiver."""
        self._history: list[tuple[int, str, str, Channel, bytes]] = []
        """What was sent when, by whom, to whom."""
        self._forgotten_us: dict[str, int] = {}
        """When members last lost a part of their disks."""
        self._last_us: dict[tuple[str, str], int] = {}
        self._is_healed = False

    def add(self, member: Receiver) -> None:
        """Let a member take part."""
        self._members[member.name] = member

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all members."""
        return tuple(self._members)

    def send(self, source: str, target: str, channel: Channel, payload: bytes) -> None:
        """Send a message, or lose it."""
        self.sent += 1
        if (source, target) in self._deaf or frozenset((source, target)) in self._cut:
            return
        if self._faults.replay_every_ms and len(self._history) < HISTORY_MAX:
            self._history.append((self._world.now_us, source, target, channel, payload))
        if self._is_healed:
            self._deliver_after(HEALED_DELAY_US, source, target, channel, payload)
            return
        if self._random.random() < self._faults.drop:
            return
        delay_us = DELAY_MIN_US + int(
            self._random.expovariate(1.0) * self._faults.delay_mean_ms * 1_000
        )
        if self._faults.starved and self._faults.starved.encode() in payload[:24]:
            delay_us += self._random.randint(0, STARVED_LATE_US)
        elif self._faults.keeps_order:
            pair = (source, target)
            at_us = max(self._world.now_us + delay_us, self._last_us.get(pair, 0))
            self._last_us[pair] = at_us
            delay_us = at_us - self._world.now_us
        self._deliver_after(delay_us, source, target, channel, payload)
        if self._random.random() < self._faults.duplicate:
            late_us = delay_us + self._random.randint(0, REPEAT_LATE_US)
            self._deliver_after(late_us, source, target, channel, payload)

    def _deliver_after(
        self,
        delay_us: int,
        source: str,
        target: str,
        channel: Channel,
        payload: bytes,
        sent_us: int | None = None,
    ) -> None:
        first_us = self._world.now_us if sent_us is None else sent_us

        def arrive() -> None:
            if not self._faults.newest_first_ms or self._is_healed:
                deliver()
                return
            held = self._held.setdefault(target, [])
            if not held:
                wait_us = self._faults.newest_first_ms * 1_000
                self._world.after(wait_us, lambda: self._release(target))
            held.append(deliver)

        def deliver() -> None:
            if target in self._clogged:
                self._clogged[target].setdefault(source, []).append(deliver)
                return
            member = self._members[target]
            is_old = first_us <= self._forgotten_us.get(target, -1)
            if member.is_up and not is_old and frozenset((source, target)) not in self._cut:
                self.delivered += 1
                self._world.note(f"{source}>{target}", channel, payload)
                member.receive(source, channel, payload)

        self._world.after(delay_us, arrive)

    def _release(self, target: str) -> None:
        """Let what was held for a member arrive, the newest first."""
        for position, deliver in enumerate(reversed(self._held.pop(target, []))):
            self._world.after(position, deliver)

    def repeat(self, count: int) -> None:
        """Send messages again that were sent at any time before."""
        for _ in range(min(count, len(self._history))):
            sent_us, source, target, channel, payload = self._random.choice(self._history)
            self._deliver_after(DELAY_MIN_US, source, target, channel, payload, sent_us)

    def forget(self, name: str) -> None:
        """Let nothing arrive any more that was sent to a member until now.

        No message outlives its link, and who lost its record counts on that: where others are is
        what they said since it started (N10).
        """
        self._forgotten_us[name] = self._world.now_us

    # --- what goes wrong with links --------------------------------------------------------------

    def split(self, groups: list[list[str]]) -> None:
        """Let nothing pass between groups."""
        for group in groups:
            for inside in group:
                for outside in self._members:
                    if outside not in group:
                        self._deaf[inside, outside] = None
                        self._deaf[outside, inside] = None

    def deafen(self, source: str, target: str) -> None:
        """Let nothing pass from one member to another."""
        self._deaf[source, target] = None

    def clog(self, name: str) -> None:
        """Hold back all that arrives for a member."""
        self._clogged.setdefault(name, {})

    def flood(self, name: str) -> None:
        """Give a member at once all that was held back, sender by sender in any order."""
        waiting = self._clogged.pop(name, {})
        senders = list(waiting)
        self._random.shuffle(senders)
        for position, deliver in enumerate(
            deliver for name in senders for deliver in waiting[name]
        ):
            self._world.after(position, deliver)

    def join(self) -> None:
        """End splits and one-way losses; the links concerned are made anew."""
        pairs = dict.fromkeys(frozenset(pair) for pair in self._deaf)
        self._deaf.clear()
        for pair in pairs:
            name, peer = sorted(pair)
            self.relink(name, peer)

    def heal(self) -> None:
        """End all faults of the network; every link is made anew."""
        self._is_healed = True
        self._deaf.clear()
        for name in list(self._clogged):
            self.flood(name)
        names = list(self._members)
        for index, name in enumerate(names):
            for peer in names[index + 1 :]:
                self.relink(name, peer)

    def relink(self, name: str, peer: str) -> None:
        """Lose a link and make it again a little later."""
        self._cut[frozenset((name, peer))] = None
        self._tell(name, peer, is_up=False)

        def link() -> None:
            first, second = self._members[name], self._members[peer]
            if first.is_up and second.is_up and frozenset((name, peer)) in self._cut:
                del self._cut[frozenset((name, peer))]
                self._tell(name, peer, is_up=True)

        self._world.after(RECONNECT_US, link)

    def lose(self, name: str) -> None:
        """Lose all links of a member whose process ended."""
        for peer in self._members:
            if peer != name:
                self._cut[frozenset((name, peer))] = None
                self._tell(name, peer, is_up=False)

    def gain(self, name: str) -> None:
        """Make all links of a member whose process runs again."""
        for peer in self._members:
            if peer != name:
                self.relink(name, peer)

    def _tell(self, name: str, peer: str, *, is_up: bool) -> None:
        for told, about in ((name, peer), (peer, name)):
            member = self._members[told]
            if member.is_up:
                (member.peer_up if is_up else member.peer_down)(about)
