"""Frames, fragments and the send queue of a link, without any I/O (spec P2, P3)."""

from collections import deque
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

FRAME_BYTES_MAX = 64 * 1024
"""A whole frame, its length field included (P2.1)."""
_LENGTH_BYTES = 4
_HEADER_BYTES = _LENGTH_BYTES + 2
FRAGMENT_BYTES_MAX = FRAME_BYTES_MAX - _HEADER_BYTES
"""What one frame carries of a message."""
_MORE_FOLLOWS = 1
"""The only flag: the message goes on in the next frame of this channel."""

QUEUE_MESSAGES_MAX = 224
"""Messages waiting for one peer on all channels but SYNC (P3.2)."""
QUEUE_BYTES_MAX = 4 * 1024 * 1024
"""Bytes waiting for one peer on all channels but SYNC (P3.2)."""
QUEUE_SYNC_MESSAGES_MAX = 32
"""Sync messages waiting or under way; with QUEUE_MESSAGES_MAX they make 256."""
QUEUE_SYNC_BYTES_MAX = 8 * 1024 * 1024
"""Sync bytes waiting or under way: room for exactly one answer of the largest size."""


class PeerFault(Exception):
    """A peer broke the protocol. Whoever catches it closes the link and counts it."""


class Channel(IntEnum):
    """What a frame is about; the lower number is sent first."""

    CONTROL = 0
    VOTE = 1
    BLOCK = 2
    TRANSACTIONS = 3
    SYNC = 4


MESSAGE_BYTES_MAX: Final = {
    Channel.CONTROL: 4 * 1024,
    Channel.VOTE: 4 * 1024,
    Channel.BLOCK: 64 * 1024,
    Channel.TRANSACTIONS: 2 * 1024 * 1024 + 64 * 1024,
    Channel.SYNC: 8 * 1024 * 1024,
}
"""Longest message of a channel in bytes. One that fits a frame is never fragmented (P2.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame as it came: a whole message or a fragment of one."""

    channel: Channel
    more_follows: bool
    payload: bytes


def encode_frame(channel: Channel, payload: bytes, *, more_follows: bool = False) -> bytes:
    """Return ``u32be length ‖ u8 channel ‖ u8 flags ‖ payload``; the length covers what follows."""
    assert 0 < len(payload) <= FRAGMENT_BYTES_MAX
    length = (len(payload) + _HEADER_BYTES - _LENGTH_BYTES).to_bytes(_LENGTH_BYTES, "big")
    return length + bytes((channel, _MORE_FOLLOWS if more_follows else 0)) + payload


class FrameDecoder:
    """Cuts a byte stream into frames. It keeps less than one frame between two calls."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that ``data`` completes.

        Raises PeerFault as soon as a header is wrong, before its payload is waited for; the
        decoder must not be used afterwards.
        """
        self._buffer += data
        frames: list[Frame] = []
        start = 0
        while (end := self._frame_end(start)) is not None:
            channel, flags = self._buffer[start + _LENGTH_BYTES : start + _HEADER_BYTES]
            frames.append(
                Frame(
                    channel=Channel(channel),
                    more_follows=flags == _MORE_FOLLOWS,
                    payload=bytes(self._buffer[start + _HEADER_BYTES : end]),
                )
            )
            start = end
        del self._buffer[:start]
        return frames

    def _frame_end(self, start: int) -> int | None:
        """Return where the frame at ``start`` ends, or None while bytes are missing."""
        available = len(self._buffer) - start
        if available < _LENGTH_BYTES:
            return None
        size = _LENGTH_BYTES + int.from_bytes(self._buffer[start : start + _LENGTH_BYTES], "big")
        if not _HEADER_BYTES < size <= FRAME_BYTES_MAX:
            raise PeerFault(f"frame of {size} bytes")
        if available < _HEADER_BYTES:
            return None
        channel, flags = self._buffer[start + _LENGTH_BYTES : start + _HEADER_BYTES]
        if channel >= len(Channel):
            raise PeerFault(f"unknown channel {channel}")
        if flags not in (0, _MORE_FOLLOWS):
            raise PeerFault(f"unknown flags {flags}")
        return start + size if available >= size else None


class Assembler:
    """Joins fragments to messages; each channel has at most one message under way."""

    def __init__(self) -> None:
        self._partial: dict[Channel, bytearray] = {}

    def add(self, frame: Frame) -> bytes | None:
        """Return the message that ``frame`` completes, or None while more follows.

        Raises PeerFault if the channel's limit is passed, or if a fragment that is not the last
        is not full: a message has one way to be cut, so nobody can send it byte by byte (P2.3).
        """
        if frame.more_follows and len(frame.payload) != FRAGMENT_BYTES_MAX:
            raise PeerFault(f"fragment of {len(frame.payload)} bytes is not full")
        partial = self._partial.get(frame.channel, b"")
        size = len(partial) + len(frame.payload)
        # A fragment that promises more promises at least one byte.
        if size + frame.more_follows > MESSAGE_BYTES_MAX[frame.channel]:
            raise PeerFault(f"{frame.channel.name} message of {size} bytes or more")
        if frame.more_follows:
            self._partial.setdefault(frame.channel, bytearray()).extend(frame.payload)
            return None
        self._partial.pop(frame.channel, None)
        return bytes(partial) + frame.payload if partial else frame.payload


class Push(Enum):
    """What became of a message that was offered to a SendQueue."""

    QUEUED = "queued"
    DROPPED = "dropped"
    """No room for it, and that is no harm: gossip is repeated and sync is asked for again."""
    OVERFLOW = "overflow"
    """The peer reads too slowly for consensus: close the link."""


class SendQueue:
    """What waits for one peer, votes first; a vote waits behind one frame, never a message.

    Two budgets: SYNC has its own, counted until its last frame is taken; all other channels share
    one, in which a message stops counting with its first frame. Where the shared budget is full,
    new transactions are dropped, and waiting transactions give way to anything else (P3.2).
    """

    def __init__(self) -> None:
        self._waiting: dict[Channel, deque[bytes]] = {channel: deque() for channel in Channel}
        self._begun: dict[Channel, tuple[bytes, int]] = {}
        """The message under way and how many of its bytes are taken."""
        self._shared_messages = 0
        self._shared_bytes = 0
        self._sync_messages = 0
        self._sync_bytes = 0

    def push(self, channel: Channel, message: bytes) -> Push:
        """Take a message of at most MESSAGE_BYTES_MAX bytes, or say why not."""
        size = len(message)
        assert 0 < size <= MESSAGE_BYTES_MAX[channel]
        if channel is Channel.SYNC:
            if self._sync_messages == QUEUE_SYNC_MESSAGES_MAX:
                return Push.DROPPED
            if self._sync_bytes + size > QUEUE_SYNC_BYTES_MAX:
                return Push.DROPPED
            self._sync_messages += 1
            self._sync_bytes += size
        else:
            if channel is not Channel.TRANSACTIONS:
                self._make_room(size)
            if not self._has_room(size):
                return Push.DROPPED if channel is Channel.TRANSACTIONS else Push.OVERFLOW
            self._shared_messages += 1
            self._shared_bytes += size
        self._waiting[channel].append(message)
        return Push.QUEUED

    def next_frame(self) -> bytes | None:
        """Return the next frame of the first channel that has one, or None if nothing waits."""
        for channel in Channel:
            if channel in self._begun:
                return self._continue(channel, *self._begun.pop(channel))
            if self._waiting[channel]:
                message = self._waiting[channel].popleft()
                if channel is not Channel.SYNC:
                    self._shared_messages -= 1
                    self._shared_bytes -= len(message)
                return self._continue(channel, message, 0)
        return None

    def _continue(self, channel: Channel, message: bytes, start: int) -> bytes:
        end = start + FRAGMENT_BYTES_MAX
        more_follows = end < len(message)
        if more_follows:
            self._begun[channel] = (message, end)
        elif channel is Channel.SYNC:
            self._sync_messages -= 1
            self._sync_bytes -= len(message)
        return encode_frame(channel, message[start:end], more_follows=more_follows)

    def _has_room(self, size: int) -> bool:
        return (
            self._shared_messages < QUEUE_MESSAGES_MAX
            and self._shared_bytes + size <= QUEUE_BYTES_MAX
        )

    def _make_room(self, size: int) -> None:
        transactions = self._waiting[Channel.TRANSACTIONS]
        while transactions and not self._has_room(size):
            self._shared_messages -= 1
            self._shared_bytes -= len(transactions.pop())
