"""The event loop's half: links to the peers, what comes over them, and who can be reached."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from engines.builtin.engine import BuiltinEngine
from engines.builtin.messages import Batch, decode_message
from engines.builtin.p2p.frames import Channel, PeerFault
from engines.builtin.p2p.link import Limits, Peer
from engines.builtin.p2p.links import Links
from engines.builtin.p2p.roster import Roster
from engines.failures import BrokenOff, Mistake, attempt
from engines.seam import (
    Clock,
    HostJobs,
    Neighbours,
    PeerState,
    Reachability,
    VerifyEnvelopes,
)
from ledger.inadmissible import Inadmissible, KindUnknown
from ledger.status import Busy
from ledger.transactions import Transaction

PEER_BATCHES_MAX = 64
"""Batches of one peer that wait for verification; more close the link."""
PEER_JOBS_MAX = 1_024
"""Messages of one peer that wait for the host; more close its link, and nobody else's."""
CLOCK_OFFSET_MAX_MS = 2_000
"""With validators' clocks further than this from its own, by their median, a node does not vote."""
CLOCK_EVERY_S = 1.0

_LOGGER = logging.getLogger(__name__)

MakeLinks = Callable[["Mesh", tuple[Peer, ...]], Links]


class LoopNetwork:
    """The engine's way out: hands messages to the links, from the host thread to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.links: Links | None = None

    def send(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Queue a message to one peer."""
        self._loop.call_soon_threadsafe(self._send, peer, channel, payload)

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Queue a message to every peer."""
        self._loop.call_soon_threadsafe(self._broadcast, channel, payload)

    def fault(self, peer: str, reason: str) -> None:
        """Close the link of a peer."""
        self._loop.call_soon_threadsafe(self._fault, peer, reason)

    def _send(self, peer: str, channel: Channel, payload: bytes) -> None:
        if self.links is not None:
            self.links.send(peer, channel, payload)

    def _broadcast(self, channel: Channel, payload: bytes) -> None:
        if self.links is not None:
            self.links.broadcast(channel, payload)

    def _fault(self, peer: str, reason: str) -> None:
        if self.links is not None:
            self.links.fault(peer, reason)


class Inflow:
    """What comes over the links, on its way to the host thread; each peer has its share."""

    def __init__(
        self,
        *,
        jobs: HostJobs,
        verify: VerifyEnvelopes,
        heard: Callable[[str], None],
        network: LoopNetwork,
    ) -> None:
        self.engine: BuiltinEngine
        """The other half: known before the first link is up, and used on the host thread alone."""
        self._jobs = jobs
        self._verify = verify
        self._heard = heard
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._waiting: Counter[str] = Counter()
        """Messages by peer that the host has not taken yet."""
        self._batches: Counter[str] = Counter()
        """The same of batches that are being verified."""

    def take(self, peer: str, channel: Channel, payload: bytes, *, validates: bool) -> None:
        """Take a peer's message off the wire; raise PeerFault."""
        self._heard(peer)
        if channel is Channel.TRANSACTIONS:
            self._take_batch(peer, payload)
            return

        def job() -> None:
            self._loop.call_soon_threadsafe(self._taken, peer)
            try:
                self.engine.on_message(peer, channel, payload)
            except PeerFault as fault:
                self._network.fault(peer, str(fault))

        if self._waiting[peer] >= PEER_JOBS_MAX:
            raise PeerFault("sends faster than this node can read")
        # What an observer says decides nothing: it waits for whoever does.
        is_urgent = channel is not Channel.SYNC and validates
        if (self._jobs.put_urgent if is_urgent else self._jobs.put_bulk)(job):
            self._waiting[peer] += 1

    def _taken(self, peer: str) -> None:
        self._waiting[peer] -= 1

    def _take_batch(self, peer: str, payload: bytes) -> None:
        if self._batches[peer] >= PEER_BATCHES_MAX:
            raise PeerFault("sends transactions faster than this node can verify them")
        batch = decode_message(Channel.TRANSACTIONS, payload)
        assert isinstance(batch, Batch)
        self._batches[peer] += 1
        self._loop.create_task(self._verify_batch(peer, batch))

    async def _verify_batch(self, peer: str, batch: Batch) -> None:
        try:
            verified = await self._verify(batch.envelopes)
        finally:
            self._batches[peer] -= 1
        good = [item for item in verified if isinstance(item, Transaction)]
        # A kind that only newer software knows, or our mistake, is no fault of who sends it on.
        unknown = sum(isinstance(item, KindUnknown | Mistake) for item in verified)
        if len(good) + unknown < len(verified):
            self._network.fault(peer, "sent a transaction that is malformed or badly signed")

        def job() -> None:
            mistakes = []
            for transaction in good:
                outcome = attempt(lambda t=transaction: self._admit(t))  # type: ignore[misc]
                if isinstance(outcome, BrokenOff):
                    mistakes.append(outcome.error)
            if mistakes:
                raise mistakes[0]  # for the log; the others of the batch are in

        self._jobs.put_bulk(job)

    def _admit(self, transaction: Transaction) -> None:
        with suppress(Inadmissible, Busy):  # an honest peer may be a block behind, or we be full
            self.engine.on_transaction(transaction, own=False)


class Mesh:
    """One link to every peer, and what the loop knows of them; a `engines.seam.Connection`."""

    def __init__(
        self,
        *,
        party: str,
        listen_host: str,
        listen_port: int,
        limits: Limits,
        seed: bytes,
        log_id: bytes,
        clock: Clock,
        jobs: HostJobs,
        verify: VerifyEnvelopes,
        heard: Callable[[str], None],
        on_neighbours: Callable[[Neighbours], None],
    ) -> None:
        """``on_neighbours`` is called on the host thread with what an operator says anew."""
        self._loop = asyncio.get_running_loop()
        self.network = LoopNetwork(self._loop)
        self.inflow = Inflow(jobs=jobs, verify=verify, heard=heard, network=self.network)
        self._party = party
        self._address = (listen_host, listen_port)
        self._limits = limits
        self._seed = seed
        self._log_id = log_id
        self._clock = clock
        self._jobs = jobs
        self._on_neighbours = on_neighbours
        self._roster = Roster(height=0, powers=(), validates=False, peers=())
        self._quorum_lost_us: int | None = clock.monotonic_us()
        self._clock_is_off = False
        self._clock_timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen, and call every peer; raise OSError."""
        links = Links(
            name=self._party,
            seed=self._seed,
            log_id=self._log_id,
            peers=self._roster.peers,
            on_message=self._on_message,
            on_up=self._on_up,
            on_down=self._on_down,
            limits=self._limits,
        )
        self.network.links = links
        await links.start(*self._address)
        self._watch_clock(links)

    async def stop(self) -> None:
        """Close every link."""
        if self._clock_timer is not None:
            self._clock_timer.cancel()
        if self.network.links is not None:
            await self.network.links.stop()

    def reconfigure(self, named: Neighbours) -> bool:
        """Take what the operator says now; return False if there is no room for the job."""
        return self._jobs.put_urgent(lambda: self._on_neighbours(named))

    def set_roster(self, roster: Roster) -> None:
        """Let in and call whom the ledger and the operator name now, and nobody else."""
        if roster.validates != self._roster.validates or not self._roster.powers:
            does = "validates" if roster.validates else "observes: it follows without signing"
            _LOGGER.info("from height %d on %s %s", roster.height, self._party, does)
        self._roster = roster
        if self.network.links is not None:
            self.network.links.set_peers(roster.peers)
        self._note_quorum()

    def reachability(self) -> Reachability:
        """Say who can be reached."""
        links, lost_us = self.network.links, self._quorum_lost_us
        peers = () if links is None else links.status()
        return Reachability(
            peers=tuple(
                PeerState(name=peer.name, up=peer.up, round_trip_us=peer.round_trip_us)
                for peer in peers
            ),
            quorum_age_ms=0 if lost_us is None else (self._clock.monotonic_us() - lost_us) // 1_000,
            faults=() if links is None else tuple(links.faults.items()),
        )

    def _on_message(self, peer: str, channel: Channel, payload: bytes) -> None:
        validates = any(party == peer for party, _ in self._roster.powers)
        self.inflow.take(peer, channel, payload, validates=validates)

    def _on_up(self, peer: str) -> None:
        self._note_quorum()
        self._jobs.put_urgent(lambda: self.inflow.engine.on_peer_up(peer))

    def _on_down(self, peer: str) -> None:
        self._note_quorum()
        self._jobs.put_urgent(lambda: self.inflow.engine.on_peer_down(peer))

    def _note_quorum(self) -> None:
        """Remember since when fewer than a quorum of validators are linked."""
        if self.network.links is None:
            return
        up = self.network.links.up()
        if self._roster.validates:
            up += (self._party,)
        total = sum(power for _, power in self._roster.powers)
        linked = sum(power for party, power in self._roster.powers if party in up)
        if 3 * linked > 2 * total:
            self._quorum_lost_us = None
        elif self._quorum_lost_us is None:
            self._quorum_lost_us = self._clock.monotonic_us()

    def _watch_clock(self, links: Links) -> None:
        """Do not vote while this node's clock differs much from the other validators' (N6.12)."""
        self._clock_timer = self._loop.call_later(CLOCK_EVERY_S, self._watch_clock, links)
        offset_ms = links.clock_offset_ms([party for party, _ in self._roster.powers])
        is_off = offset_ms is not None and abs(offset_ms) > CLOCK_OFFSET_MAX_MS
        if is_off != self._clock_is_off:
            reason = f"the other validators' clocks are {offset_ms} ms ahead" if is_off else ""
            if self._jobs.put_urgent(lambda: self.inflow.engine.pause_voting("clock", reason)):
                self._clock_is_off = is_off
