"""What each peer may have of this node: room, answers, and repetitions. No clock."""

from collections import Counter

from engines.builtin.p2p.frames import Channel

FUTURE_MESSAGES_MAX = 512
"""Messages of one peer for the next height kept while this one is not committed yet."""
FUTURE_BYTES_MAX = 4 * 1024 * 1024
FUTURE_BYTES_ALL_MAX = 64 * 1024 * 1024
"""Of all peers together."""
ASKS_PER_TICK_MAX = 8
"""Questions for blocks that one peer gets answered between two ticks; more are ignored."""
ASK_BYTES_PER_TICK_MAX = 16 * 1024 * 1024
"""Of all answers between two ticks together: what is read for others delays our own vote."""


class NextHeight:
    """Messages for the next height, kept until this one is decided. Each peer has its share."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Channel, bytes]] = []
        self.count: Counter[str] = Counter()
        """By peer."""
        self.bytes: Counter[str] = Counter()

    def keep(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Keep a message if its peer, and all together, have room."""
        if (
            self.count[peer] < FUTURE_MESSAGES_MAX
            and self.bytes[peer] + len(payload) <= FUTURE_BYTES_MAX
            and self.bytes.total() + len(payload) <= FUTURE_BYTES_ALL_MAX
        ):
            self.messages.append((peer, channel, payload))
            self.count[peer] += 1
            self.bytes[peer] += len(payload)


class RecentlySent:
    """When each peer was last sent what, so that nobody can make us repeat ourselves."""

    def __init__(self) -> None:
        self._sent_us: dict[tuple[str, str], int] = {}

    def may_repeat(self, peer: str, what: str, now_us: int, every_us: int) -> bool:
        """Return whether something may be sent to a peer again, and note that it is."""
        sent_us = self._sent_us.get((peer, what))
        if sent_us is not None and now_us - sent_us < every_us:
            return False
        self._sent_us[peer, what] = now_us
        return True

    def forget(self, peer: str) -> None:
        """Forget a peer whose link is down."""
        self._sent_us = {place: us for place, us in self._sent_us.items() if place[0] != peer}


class SyncAnswers:
    """How many questions for blocks were answered since the last tick."""

    def __init__(self) -> None:
        self._asks: Counter[str] = Counter()
        self._bytes = 0

    def may_answer(self, peer: str) -> bool:
        """Return whether a peer's question is answered, and count it."""
        if self._asks[peer] >= ASKS_PER_TICK_MAX or self._bytes >= ASK_BYTES_PER_TICK_MAX:
            return False
        self._asks[peer] += 1
        return True

    def sent(self, size: int) -> None:
        """Count the bytes of an answer."""
        self._bytes += size

    def tick(self) -> None:
        """Begin anew."""
        self._asks.clear()
        self._bytes = 0
