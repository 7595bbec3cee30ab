"""Virtual time, the queue of what will happen, and the trace of what did."""

import hashlib
import heapq
from collections import deque
from collections.abc import Callable
from datetime import date
from itertools import count

from engines.builtin import messages
from engines.builtin.p2p.frames import Channel
from ledger.encoding import codec
from ledger.encoding.codec import NotCanonical
from ledger.rules import calendar

TRACE_MAX = 200
"""Lines kept to be shown when something fails; all lines are hashed."""
MIDNIGHT_MS = calendar.end_of_day_ms(calendar.day_number(date(2026, 1, 31)))
"""Worlds begin some seconds before this end of a day, at which vouchers may expire."""

Action = Callable[[], None]


class Violation(AssertionError):
    """Something that must never happen did."""


class World:
    """Runs actions in the order of their virtual times."""

    def __init__(self, start_ms: int) -> None:
        self.now_us = 0
        self.start_ms = start_ms
        """Wall-clock time at virtual time 0."""
        self.happened: dict[str, int] = {}
        """Faults and other events, by name."""
        self._queue: list[tuple[int, int, Action]] = []
        self._order = count()
        self._hash = hashlib.sha256()
        self._lines: deque[tuple[int, str, Channel | None, bytes]] = deque(maxlen=TRACE_MAX)

    @property
    def now_ms(self) -> int:
        """Return the true wall-clock time; members' clocks may be off."""
        return self.start_ms + self.now_us // 1_000

    def after(self, delay_us: int, action: Action) -> None:
        """Let something happen later, after what is due at the same time already."""
        heapq.heappush(self._queue, (self.now_us + max(0, delay_us), next(self._order), action))

    def run_until(self, end_us: int) -> None:
        """Let everything happen that is due until a time."""
        while self._queue and self._queue[0][0] <= end_us:
            self.now_us, _, action = heapq.heappop(self._queue)
            action()
        self.now_us = end_us

    def count(self, event: str) -> None:
        """Count something that happened."""
        self.happened[event] = self.happened.get(event, 0) + 1

    def note(self, line: str, channel: Channel | None = None, payload: bytes = b"") -> None:
        """Add a line to the trace; a message is told in words only if it is shown."""
        self._hash.update(b"%d %s %s\n" % (self.now_us, line.encode(), payload))
        self._lines.append((self.now_us, line, channel, payload))

    def trace_hash(self) -> str:
        """Return the hash of all lines so far: one seed, one hash."""
        return self._hash.hexdigest()

    def trace(self) -> list[str]:
        """Return the last lines."""
        return [
            f"{now_us / 1e6:11.6f} {line} {describe(channel, payload)}".rstrip()
            for now_us, line, channel, payload in self._lines
        ]


def describe(channel: Channel | None, payload: bytes) -> str:
    """Return a message in a few words."""
    types = {
        Channel.VOTE: messages.OnVoteChannel,
        Channel.BLOCK: messages.OnBlockChannel,
        Channel.TRANSACTIONS: messages.OnTransactionsChannel,
        Channel.SYNC: messages.OnSyncChannel,
    }
    if channel is None:
        return ""
    try:
        message = codec.decode(types[channel], payload, len(payload))
    except NotCanonical:
        return f"{channel.name.lower()} junk of {len(payload)} bytes"
    match message:
        case messages.VoteMessage(vote=vote):
            voted = vote.block_id[0].hex()[:6] if vote.block_id else "nil"
            who = vote.validator.hex()[:4]
            return f"{vote.kind} h{vote.height} r{vote.round} {voted} by {who}"
        case messages.Here(height=height, round=round_):
            return f"here h{height} r{round_}"
        case messages.ProposalMessage(proposal=proposal):
            valid = f" valid r{proposal.valid_round[0]}" if proposal.valid_round else ""
            block_id = proposal.block_id.hex()[:6]
            return f"proposal h{proposal.height} r{proposal.round} {block_id}{valid}"
        case messages.Chunk(height=height, block_id=block, index=index):
            return f"chunk {index} of {block.hex()[:6]} h{height}"
        case messages.WantChunks(height=height, block_id=block):
            return f"want {block.hex()[:6]} h{height}"
        case messages.Batch(envelopes=envelopes):
            return f"batch of {len(envelopes)}"
        case messages.Ask(from_height=height):
            return f"ask from h{height}"
        case messages.Blocks(blocks=blocks):
            return "blocks " + " ".join(f"h{block.header.height}" for block in blocks)
    return type(message).__name__
