"""All links of a node: who is dialled, who is let in, and which of two links stays (spec P5).

Everything here runs on the event loop that called ``start``; other threads come in through
``loop.call_soon_threadsafe``.
"""

import asyncio
import logging
import os
import random
import ssl
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import median_low

from engines.builtin.p2p.frames import Channel, PeerFault
from engines.builtin.p2p.identity import SecureSession, client_context, peer_key, server_context
from engines.builtin.p2p.link import VERSION, Hello, Limits, Link, Peer, Stage, wall_clock_ms
from ledger.encoding.crypto import public_key

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """What is known of a peer at this moment, for metrics and the console."""

    name: str
    up: bool
    round_trip_us: int | None
    clock_offset_ms: int | None
    """How far its clock is ahead of ours."""
    faults: int
    """How often a link to it was closed for its fault."""


class Links:
    """Keeps one link up to every peer; who the peers are may change at any time.

    A peer may have two keys for a while, when it replaces one: they share its name and its address.
    ``on_message(peer name, channel, payload)`` may raise PeerFault, which closes the link; any
    other exception reaches the loop's exception handler. ``on_up`` and ``on_down`` take the name
    of a peer and are called when its first link comes up and when its last one is lost.
    """

    def __init__(
        self,
        *,
        name: str,
        seed: bytes,
        log_id: bytes,
        peers: Sequence[Peer],
        on_message: Callable[[str, Channel, bytes], None],
        on_up: Callable[[str], None],
        on_down: Callable[[str], None],
        limits: Limits | None = None,
        wall_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.port = 0
        """Where this node listens; known after ``start``."""
        self.faults: Counter[str] = Counter()
        """Links closed for the other end's fault, by peer name; a stranger's are under ""."""
        self.refused = 0
        """Connections closed at once because there were too many."""
        self._name = name
        self._seed = seed
        self._link_key = public_key(seed)
        self._log_id = log_id
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._limits = limits or Limits()
        self._wall_ms = wall_ms
        self._jitter = random.SystemRandom()
        self._open: list[Link] = []
        """Every link that is not closed, in the order of their connections."""
        self._closing: list[Link] = []
        """Closed links whose sockets still hand over their last bytes."""
        self._alone: dict[str, asyncio.Event] = {}
        """By peer name, in the order they were given: set while it has no link that is up."""
        self._server: asyncio.Server | None = None
        self._dialling: dict[str, asyncio.Task[None]] = {}
        """By peer name: who calls it."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Those of ``_dialling``, and cancelled ones that have not ended yet."""
        self._stopping = False
        self._peers: dict[bytes, Peer] = {}
        self._server_context: ssl.SSLContext
        self._client_context: ssl.SSLContext
        self._pin(peers)

    async def start(self, host: str, port: int) -> None:
        """Listen on ``host`` and ``port`` (0 takes a free one) and start to dial every peer."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self._link(None), host, port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._dial_all()

    def set_peers(self, peers: Sequence[Peer]) -> None:
        """Let these peers in and nobody else, from now on (P5.6).

        A link whose key is not among them any more is closed at once, whatever it has come to; a
        handshake that is under way is judged by the new peers when it ends.
        """
        if self._stopping:
            return
        self._pin(peers)
        for link in tuple(self._open):
            known = link.peer or link.dialled
            if known is not None and not self._is_peer(known):
                link.close("no longer a peer")
        names = {peer.name for peer in self._peers.values()}
        for name in [name for name in self._alone if name not in names]:
            del self._alone[name]
        if self._server is not None:
            self._dial_all()

    async def stop(self) -> None:
        """Close every link and the port. It takes the farewell of ``link`` at most."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for task in self._dialling.values():
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in tuple(self._open):
            link.close("this node stops")
        for link in tuple(self._closing):
            await link.gone.wait()

    def send(self, peer: str, channel: Channel, payload: bytes) -> bool:
        """Send a message to a peer by name; return whether it was queued.

        False means that there is no link, or that the queue dropped it (see ``SendQueue``).
        """
        link = self._best(peer)
        return link is not None and link.send(channel, payload)

    def broadcast(self, channel: Channel, payload: bytes) -> int:
        """Send a message to every peer; return to how many it was queued."""
        return sum(self.send(name, channel, payload) for name in self._alone)

    def fault(self, peer: str, reason: str) -> None:
        """Close the links of a peer that was caught breaking the protocol."""
        for link in self._up(peer):
            link.close(reason, fault=True)

    def up(self) -> tuple[str, ...]:
        """Return the names of the peers that have a link."""
        return tuple(name for name in self._alone if self._up(name))

    def status(self) -> tuple[PeerStatus, ...]:
        """Return what is known of each peer, in the order they were given."""
        return tuple(self._status(name) for name in self._alone)

    def clock_offset_ms(self, among: Collection[str] | None = None) -> int | None:
        """Return the median of the peers' clock offsets, or None while none is known.

        ``among`` names the peers to ask; by default all.
        """
        names = [name for name in self._alone if among is None or name in among]
        offsets = [
            status.clock_offset_ms
            for status in map(self._status, names)
            if status.clock_offset_ms is not None
        ]
        return median_low([*offsets, 0]) if offsets else None  # the own clock counts too

    # Owner

    def admit(self, link: Link) -> bool:
        """Count a new connection in, unless one of the limits is reached (P5.2)."""
        accepted = [taken for taken in self._open if taken.dialled is None]
        strangers = sum(taken.peer is None for taken in accepted)
        neighbours = sum(taken.address == link.address for taken in accepted)
        self._open.append(link)
        if self._stopping:
            return False
        if link.dialled is None and (
            strangers >= self._limits.unauthenticated_max
            or neighbours >= self._limits.per_address_max
        ):
            self.refused += 1
            return False
        return True

    def identify(self, link: Link) -> Peer | None:
        """Return the peer whose key was proved, or None if it has links enough (P5.3).

        The session may rest on the peers of a moment ago: the key must be a peer's now.
        """
        peer = self._peers[peer_key(link.session.ssl_object, self._peers)]
        if link.dialled is not None and link.dialled.name != peer.name:
            raise PeerFault("another peer's key answers at this address")
        held = [known.peer.link_key for known in self._open if known.peer is not None]
        if held.count(peer.link_key) >= self._limits.per_identity_max:
            self.refused += 1
            return None
        return peer

    def messages_per_s(self, link: Link) -> int:
        """Return how many messages a second are read of a link: votes must always come through."""
        assert link.peer is not None
        peer = self._peers.get(link.peer.link_key, link.peer)
        limits = self._limits
        return limits.validator_messages_per_s if peer.validates else limits.observer_messages_per_s

    def link_up(self, link: Link) -> None:
        """Announce the peer, or see to it that only one of its links stays."""
        assert link.peer is not None
        name = link.peer.name
        if self._alone[name].is_set():
            self._alone[name].clear()
            _LOGGER.info("link to %s is up", name)
            self._on_up(name)
        elif (best := self._best(name)) is not None:
            best.probe()

    def link_message(self, link: Link, channel: Channel, payload: bytes) -> None:
        """Hand a message on."""
        assert link.peer is not None
        self._on_message(link.peer.name, channel, payload)

    def link_answered(self, link: Link) -> None:
        """Close what is superfluous beside a link that has just proved to work both ways."""
        assert link.peer is not None
        if self._best(link.peer.name) is link:
            for other in self._up(link.peer.name):
                if other is not link:
                    other.close("a better link stays")

    def link_closed(self, link: Link, reason: str, *, fault: bool) -> None:
        """Forget a link, and announce the peer's loss if it was the last."""
        name = link.peer.name if link.peer else ""
        if link in self._open:
            self._open.remove(link)
        if not link.gone.is_set():
            self._closing.append(link)
        self._closing = [leaving for leaving in self._closing if not leaving.gone.is_set()]
        if fault:
            self.faults[name] += 1
        called = link.dialled.name if link.dialled else link.address
        _LOGGER.info("link to %s closed: %s", name or called, reason)
        if name and not self._alone[name].is_set() and not self._up(name):
            self._alone[name].set()
            self._on_down(name)

    # inside

    def _pin(self, peers: Sequence[Peer]) -> None:
        """Take note of the peers. A trust store can only grow, so each change makes new ones."""
        keys = {peer.link_key: peer for peer in peers}
        assert self._link_key not in keys, "a node is not its own peer"
        if not self._peers or keys.keys() != self._peers.keys():
            self._server_context = server_context(self._seed, keys)
            self._client_context = client_context(self._seed, keys)
        self._peers = keys
        for peer in peers:
            if peer.name not in self._alone:
                self._alone[peer.name] = asyncio.Event()
                self._alone[peer.name].set()

    def _is_peer(self, peer: Peer) -> bool:
        known = self._peers.get(peer.link_key)
        return known is not None and known.name == peer.name

    def _link(self, dialled: Peer | None) -> Link:
        context = self._client_context if dialled else self._server_context
        return Link(
            owner=self,
            limits=self._limits,
            session=SecureSession(context, server_side=dialled is None),
            hello=Hello(
                version=VERSION, log_id=self._log_id, name=self._name, nonce=os.urandom(16)
            ),
            dialled=dialled,
            wall_ms=self._wall_ms,
        )

    def _dial_all(self) -> None:
        """Call every peer whose address is known, and nobody else."""
        loop = asyncio.get_running_loop()
        for name in [name for name in self._dialling if self._reachable(name) is None]:
            self._dialling.pop(name).cancel()
        for name in self._alone:
            if name not in self._dialling and self._reachable(name) is not None:
                task = loop.create_task(self._keep_dialling(name, self._alone[name]))
                self._dialling[name] = task
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _reachable(self, name: str) -> Peer | None:
        """Return a peer with the address to call it at, or None if it is waited for."""
        return next((p for p in self._peers.values() if p.name == name and p.host), None)

    async def _keep_dialling(self, name: str, alone: asyncio.Event) -> None:
        """Dial a peer whenever it has no link, more and more slowly while that fails."""
        pause_ms = self._limits.dial_ms_first
        while True:
            await alone.wait()
            peer = self._reachable(name)
            assert peer is not None, "whoever has no address any more is not dialled any more"
            if await self._dial(peer):
                pause_ms = self._limits.dial_ms_first
            await asyncio.sleep(pause_ms * self._jitter.uniform(0.5, 1.0) / 1000)
            pause_ms = min(2 * pause_ms, self._limits.dial_ms_max)

    async def _dial(self, peer: Peer) -> bool:
        """Return whether one attempt gave a link that came up."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.handshake_ms / 1000):
                _, link = await loop.create_connection(
                    lambda: self._link(peer), peer.host, peer.port
                )
        except OSError:  # a timeout is one too
            return False
        await link.settled.wait()
        return link.stage is Stage.UP

    def _up(self, name: str) -> list[Link]:
        return [
            link
            for link in self._open
            if link.stage is Stage.UP and link.peer is not None and link.peer.name == name
        ]

    def _best(self, name: str) -> Link | None:
        """Return the link to use: the one dialled by the smaller key, then the newest (P5.4).

        Both ends see the same keys, so they keep the same link without asking.
        """
        best = None
        for link in self._up(name):
            if best is None or self._is_preferred(link) or not self._is_preferred(best):
                best = link
        return best

    def _is_preferred(self, link: Link) -> bool:
        assert link.peer is not None
        return (link.dialled is not None) == (self._link_key < link.peer.link_key)

    def _status(self, name: str) -> PeerStatus:
        link = self._best(name)
        return PeerStatus(
            name=name,
            up=link is not None,
            round_trip_us=link.round_trip_us if link else None,
            clock_offset_ms=link.clock_offset_ms() if link else None,
            faults=self.faults[name],
        )
