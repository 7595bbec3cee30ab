"""What each peer may have of this node: room, answers, and the same words again. No clock."""

from collections import Counter

from node.p2p.frames import Channel

FUTURE_MESSAGES_MAX = 512
"""Messages of one peer for the next height kept while this one is not committed yet."""
FUTURE_BYTES_MAX = 4 * 1024 * 1024
FUTURE_BYTES_ALL_MAX = 64 * 1024 * 1024
"""Of all peers together."""
ASKS_PER_TICK_MAX = 8
"""Questions for blocks that one peer gets answered between two ticks; more are ignored."""
ASK_BYTES_PER_TICK_MAX = 16 * 1024 * 1024
"""Of all answers between two ticks together: what is read for others delays our own vote."""


class Future:
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


class Told:
    """When each peer was last told what, so that nobody can make us repeat ourselves."""

    def __init__(self) -> None:
        self._told_us: dict[tuple[str, str], int] = {}

    def may_repeat(self, peer: str, what: str, now_us: int, every_us: int) -> bool:
        """Return whether a peer may be told something again, and note that it is."""
        told_us = self._told_us.get((peer, what))
        if told_us is not None and now_us - told_us < every_us:
            return False
        self._told_us[peer, what] = now_us
        return True

    def forget(self, peer: str) -> None:
        """Forget a peer whose link is down."""
        self._told_us = {key: told for key, told in self._told_us.items() if key[0] != peer}

    def clear(self) -> None:
        """Forget everything: there are new things to tell."""
        self._told_us.clear()


class Answers:
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
