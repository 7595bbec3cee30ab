"""One connection to one peer: handshake, hello, pings, and frames both ways (spec P1 to P5).

Everything happens in the event loop's callbacks; there is no task and no lock. The TLS session is
moved by hand (``SecureSession``), so that the bytes of a stranger are counted.
"""

import asyncio
import hmac
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from statistics import median_low
from typing import Annotated, Protocol, cast

from msgspec import Meta

from engines.builtin.p2p.frames import (
    FRAME_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    Assembler,
    Channel,
    FrameDecoder,
    PeerFault,
    Push,
    SendQueue,
)
from engines.builtin.p2p.identity import SecureSession
from ledger.encoding.codec import Hash, Natural, NotCanonical, Record, Slug, decode, encode

VERSION = 1
"""The version of this protocol; both ends must say the same (P4.2)."""
UNAUTHENTICATED_BYTES_MAX = 16 * 1024
"""What a stranger may send before TLS has proved its key (P1.5)."""
FRAMES_PER_TURN_MAX = 16
"""Frames written for one peer before the other peers get their turn."""
_UNSENT_BYTES_MAX = 128 * 1024
"""What the kernel may hold unsent: a vote cannot overtake bytes that the kernel has."""
_BURSTS_PER_S = 4
"""So much of a second's messages may be taken at once (P5.8)."""
_PAUSE_MS_MIN = 20
"""Shortest pause of reading: what becomes due meanwhile is taken at once."""
_FAREWELL_S = 1.0
"""How long a closed connection may take to hand over its last bytes."""
_OFFSET_SAMPLES_MAX = 9
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A node that this one keeps a link with."""

    name: str
    link_key: bytes
    """Its Ed25519 public key."""
    host: str = ""
    """Empty while nobody said where it is: then its call is waited for."""
    port: int = 0
    validates: bool = True
    """Whether its votes count, or soon will: it may speak faster than others (P5.8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times and numbers that bound what a peer or a stranger can take (P5)."""

    handshake_ms: int = 5_000
    hello_ms: int = 2_000
    ping_ms: int = 5_000
    silence_ms_max: int = 15_000
    """A peer that says nothing for so long is dead."""
    probe_ms_max: int = 2_000
    """How long the better of two links to one peer has to prove that it is alive."""
    dial_ms_first: int = 50
    dial_ms_max: int = 2_000
    """Pause between attempts: it doubles from the first to the largest, less up to a half."""
    unauthenticated_max: int = 16
    per_identity_max: int = 2
    per_address_max: int = 2
    """Accepted connections from one address; a ``dev-`` network on loopback raises it."""
    validator_messages_per_s: int = 4_000
    """Messages of a validator that are read, of one link; a quarter of them at once (P5.8)."""
    observer_messages_per_s: int = 200
    """The same of anybody else; an honest observer needs far fewer."""


Nonce = Annotated[bytes, Meta(min_length=16, max_length=16)]


class Hello(Record, frozen=True, tag="hello"):
    """The first message of either end (P4.1)."""

    version: Natural
    log_id: Hash
    name: Slug
    nonce: Nonce


class Welcome(Record, frozen=True, tag="welcome"):
    """The answer to an accepted hello: its nonce."""

    nonce: Nonce


class Ping(Record, frozen=True, tag="ping"):
    """A question that the peer answers at once."""

    number: Natural


class Pong(Record, frozen=True, tag="pong"):
    """The answer: the ping's number and the peer's wall clock in milliseconds."""

    number: Natural
    time_ms: Natural


ControlMessage = Hello | Welcome | Ping | Pong


class Stage(Enum):
    """How far a link has come. It only moves forward."""

    HANDSHAKE = "handshake"
    HELLO = "hello"
    UP = "up"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """The ping under way, and when it was sent by either clock."""

    number: int
    sent_s: float
    sent_wall_ms: int


class Owner(Protocol):
    """What a link asks of and tells the one who keeps all links."""

    def admit(self, link: "Link") -> bool:
        """Return whether a connection from ``link.address`` may stay."""

    def identify(self, link: "Link") -> Peer | None:
        """Return whose key the finished handshake proved, or None if it has links enough.

        Raises PeerFault.
        """

    def messages_per_s(self, link: "Link") -> int:
        """Return how many messages a second are read of a link that is up."""

    def link_up(self, link: "Link") -> None:
        """Both hellos are acknowledged."""

    def link_message(self, link: "Link", channel: Channel, payload: bytes) -> None:
        """A whole message came. May raise PeerFault."""

    def link_answered(self, link: "Link") -> None:
        """A pong came."""

    def link_closed(self, link: "Link", reason: str, *, fault: bool) -> None:
        """The link is over, and nothing more will come from it."""


class Pace:
    """How many messages may be taken now: so many a second, and a quarter of them at once.

    More at once would keep the host from votes for that long, whenever a peer connects.
    """

    def __init__(self, now_us: int) -> None:
        self._since_us = now_us
        self._left: int | None = None
        """Millionths of a message; None before the first."""

    def wait_us(self, per_s: int, now_us: int) -> int:
        """Take one and return 0, or return after how long there is one to take."""
        most = per_s * _MILLION // _BURSTS_PER_S
        left = most if self._left is None else self._left
        left = min(most, left + (now_us - self._since_us) * per_s)
        self._since_us = now_us
        wait_us = 0 if left >= _MILLION else -((left - _MILLION) // per_s)
        self._left = left if wait_us else left - _MILLION
        return wait_us


class Link(asyncio.Protocol):
    """One connection. Its owner is told everything through ``Owner``."""

    def __init__(
        self,
        *,
        owner: Owner,
        limits: Limits,
        session: SecureSession,
        hello: Hello,
        dialled: Peer | None,
        wall_ms: Callable[[], int],
    ) -> None:
        self.dialled = dialled
        """Whom this end called, or None if the other end opened the connection."""
        self.stage = Stage.HANDSHAKE
        self.peer: Peer | None = None
        """Known once the handshake is over."""
        self.address = ""
        self.session = session
        self.settled = asyncio.Event()
        """Set when the link is up or closed."""
        self.gone = asyncio.Event()
        """Set when the socket is closed."""
        self.round_trip_us: int | None = None
        """The last ping's time there and back in microseconds."""
        self._owner = owner
        self._limits = limits
        self._hello = hello
        self._wall_ms = wall_ms
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._decoder = FrameDecoder()
        self._assembler = Assembler()
        self._held: deque[tuple[Channel, bytes]] = deque()
        """Messages that came faster than they are taken: those of one read at most."""
        self._pace = Pace(self._now_us())
        self._read_paused = False
        self._queue = SendQueue()
        self._write_paused = False
        self._pump_scheduled = False
        self._unauthenticated_bytes = 0
        self._hello_came = False
        self._welcome_came = False
        self._heard_s = self._loop.time()
        self._question: _Question | None = None
        self._questions = 0
        self._offsets_ms: deque[int] = deque(maxlen=_OFFSET_SAMPLES_MAX)

    def send(self, channel: Channel, payload: bytes) -> bool:
        """Queue a message of at most the channel's limit; return whether it will be sent.

        Overflow of a channel that consensus needs closes the link (P3.2).
        """
        if self.stage is Stage.CLOSED:
            return False
        push = self._queue.push(channel, payload)
        if push is Push.OVERFLOW:
            self.close("the peer reads too slowly")
        elif push is Push.QUEUED and not self._pump_scheduled:
            self._pump()
        return push is Push.QUEUED

    def probe(self) -> None:
        """Ask the peer for a sign of life within ``probe_ms_max``, or close."""
        self._ping()
        self._after("probe", self._limits.probe_ms_max, lambda: self.close("no answer to a probe"))

    def clock_offset_ms(self) -> int | None:
        """Return the median of how far the peer's clock is ahead, or None before a pong."""
        return median_low(self._offsets_ms) if self._offsets_ms else None

    def close(self, reason: str, *, fault: bool = False) -> None:
        """End the link; ``fault`` says that the peer is to blame."""
        if self.stage is Stage.CLOSED:
            return
        self.stage = Stage.CLOSED
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._transport is not None:
            self._transport.write(self.session.take())  # an alert tells the peer why
            self._transport.close()
            self._after("farewell", int(_FAREWELL_S * 1000), self._transport.abort)
        self.settled.set()
        self._owner.link_closed(self, reason, fault=fault)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake, unless there are too many strangers already."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=FRAME_BYTES_MAX)
        connection = self._transport.get_extra_info("socket")
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            option = socket.TCP_NOTSENT_LOWAT
            connection.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_BYTES_MAX)
        # There is no name if the other end hung up before it was taken in.
        self.address = (self._transport.get_extra_info("peername") or ("",))[0]
        if not self._owner.admit(self):
            self.close("too many connections")
            return
        self._after("begin", self._limits.handshake_ms, lambda: self.close("handshake too slow"))
        if self.dialled:
            self.data_received(b"")  # the client speaks first

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        if self.stage is Stage.CLOSED:
            return
        try:
            self._receive(data)
        except PeerFault as fault:
            self.close(str(fault), fault=True)

    def pause_writing(self) -> None:
        """Stop taking frames from the queue: the socket is full."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Go on taking frames from the queue."""
        self._write_paused = False
        if not self._pump_scheduled:
            self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the socket is closed."""
        self.close("connection lost")
        for timer in self._timers.values():
            timer.cancel()
        self.gone.set()

    # receiving

    def _receive(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        if self.stage is Stage.HANDSHAKE:
            self._unauthenticated_bytes += len(data)
            if self._unauthenticated_bytes > UNAUTHENTICATED_BYTES_MAX:
                raise PeerFault("too many bytes before authentication")
        plaintext = self.session.receive(data)
        assert self._transport is not None
        self._transport.write(self.session.take())
        if self.stage is Stage.HANDSHAKE and self.session.complete:
            self.peer = self._owner.identify(self)
            if self.peer is None:
                self.close("too many links to one peer")
                return
            self.stage = Stage.HELLO
            self._after("begin", self._limits.hello_ms, lambda: self.close("hello too slow"))
            self._say(self._hello)
        for frame in self._decoder.feed(plaintext):
            message = self._assembler.add(frame)
            if message is not None:
                self._held.append((frame.channel, message))
                self._take_held()
                self._require_held_in_time()
            # A message may have closed the link.
            if self.stage is Stage.CLOSED:
                return

    def _take_held(self) -> None:
        """Hand on what came, no faster than this peer may speak; let the socket hold the rest."""
        while self._held and not self._read_paused and self.stage is not Stage.CLOSED:
            wait_us = 0
            if self.stage is Stage.UP:
                per_s = self._owner.messages_per_s(self)
                wait_us = self._pace.wait_us(per_s, self._now_us())
            if wait_us:
                self._pause_reading(wait_us)
            else:
                self._on_message(*self._held.popleft())

    def _require_held_in_time(self) -> None:
        """Close if what is held takes so long that the peer would miss our answers to its pings."""
        if self._read_paused and self.stage is Stage.UP:
            takes_ms = len(self._held) * 1_000 // self._owner.messages_per_s(self)
            if takes_ms > self._limits.silence_ms_max // 2:
                self.close("speaks faster than it is read")

    def _pause_reading(self, wait_us: int) -> None:
        assert self._transport is not None
        self._read_paused = True
        self._transport.pause_reading()
        self._after("pace", max(_PAUSE_MS_MIN, wait_us // 1000), self._go_on)

    def _go_on(self) -> None:
        """Take what was held, then read again."""
        assert self._transport is not None
        self._read_paused = False
        try:
            self._take_held()
        except PeerFault as fault:
            self.close(str(fault), fault=True)
        if not self._read_paused and self.stage is not Stage.CLOSED:
            self._transport.resume_reading()

    def _on_message(self, channel: Channel, message: bytes) -> None:
        if channel is Channel.CONTROL:
            try:
                control = decode(ControlMessage, message, MESSAGE_BYTES_MAX[channel])
            except NotCanonical as error:
                raise PeerFault(f"control message: {error}") from None
            self._on_control(control)
        elif self.stage is Stage.UP:
            self._owner.link_message(self, channel, message)
        else:
            raise PeerFault("message before the hello")

    def _on_control(self, message: ControlMessage) -> None:
        match message:
            case Hello() if not self._hello_came:
                self._check_hello(message)
                self._hello_came = True
                self._say(Welcome(nonce=message.nonce))
                self._up_if_ready()
            case Welcome() if not self._welcome_came:
                if not hmac.compare_digest(message.nonce, self._hello.nonce):
                    raise PeerFault("welcome to somebody else's hello")
                self._welcome_came = True
                self._up_if_ready()
            case Ping() if self.stage is Stage.UP:
                self._say(Pong(number=message.number, time_ms=self._wall_ms()))
            case Pong() if self._question and message.number == self._question.number:
                self._on_answer(message, self._question)
            case _:
                raise PeerFault(f"{type(message).__name__} out of turn")

    def _check_hello(self, hello: Hello) -> None:
        assert self.peer is not None
        if hello.version != self._hello.version:
            raise PeerFault(f"speaks version {hello.version}")
        if hello.log_id != self._hello.log_id:
            raise PeerFault("belongs to another log")
        if hello.name != self.peer.name:
            raise PeerFault(f"calls itself {hello.name}, its key is {self.peer.name}'s")

    def _up_if_ready(self) -> None:
        if self._hello_came and self._welcome_came:
            self.stage = Stage.UP
            self._cancel("begin")
            self._tick()
            self.settled.set()
            self._owner.link_up(self)

    # pings

    def _tick(self) -> None:
        if self._read_paused:
            self._heard_s = self._loop.time()  # it has said more than was read
        silent_ms = int((self._loop.time() - self._heard_s) * 1000)
        if silent_ms >= self._limits.silence_ms_max:
            self.close("silent for too long")
            return
        self._ping()
        left_ms = self._limits.silence_ms_max - silent_ms
        self._after("tick", min(self._limits.ping_ms, left_ms), self._tick)

    def _ping(self) -> None:
        if self._question is None:
            self._questions += 1
            self._question = _Question(
                number=self._questions, sent_s=self._loop.time(), sent_wall_ms=self._wall_ms()
            )
            self._say(Ping(number=self._questions))

    def _on_answer(self, pong: Pong, question: _Question) -> None:
        self._question = None
        self._cancel("probe")
        self.round_trip_us = int((self._loop.time() - question.sent_s) * 1_000_000)
        # The peer read its clock about half a round trip after the ping left.
        there_ms = question.sent_wall_ms + self.round_trip_us // 2_000
        self._offsets_ms.append(pong.time_ms - there_ms)
        self._owner.link_answered(self)

    # sending

    def _say(self, message: ControlMessage) -> None:
        self.send(Channel.CONTROL, encode(message))

    def _pump(self) -> None:
        """Write frames until the queue or this turn is over, or the socket is full."""
        self._pump_scheduled = False
        for _ in range(FRAMES_PER_TURN_MAX):
            if self._write_paused or self.stage is Stage.CLOSED:
                return
            frame = self._queue.next_frame()
            if frame is None:
                return
            assert self._transport is not None
            self._transport.write(self.session.send(frame))
        self._pump_scheduled = True
        self._loop.call_soon(self._pump)

    # timers

    def _now_us(self) -> int:
        return int(self._loop.time() * _MILLION)

    def _after(self, name: str, delay_ms: int, action: Callable[[], object]) -> None:
        self._cancel(name)
        self._timers[name] = self._loop.call_later(delay_ms / 1000, action)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


def wall_clock_ms() -> int:
    """Return the wall clock in milliseconds."""
    return time.time_ns() // 1_000_000
