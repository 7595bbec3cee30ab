"""Which peer to ask for decided blocks when this node is behind (spec N5). No I/O, no clock."""

from dataclasses import dataclass

ASK_TIMEOUT_US = 2_000_000
PATIENCE_US = 100_000
"""How long being behind may last before anybody is asked: often the block is on its way."""


@dataclass(slots=True)
class _Peer:
    height: int
    """The height it says it is deciding. A claim: it only makes us ask, never wait."""
    failures: int = 0


class Catchup:
    """Remembers what peers claim and which question is under way."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}
        self._asked: tuple[str, int] | None = None
        self._behind_since: tuple[int, int] | None = None
        """Own height, and when somebody was first known to be ahead of it."""

    def heard(self, peer: str, height: int) -> None:
        """Note the height that a peer says it is deciding."""
        known = self._peers.setdefault(peer, _Peer(height))
        known.height = max(known.height, height)

    def gone(self, peer: str) -> None:
        """Forget a peer whose link is down."""
        self._peers.pop(peer, None)
        if self._asked is not None and self._asked[0] == peer:
            self._asked = None

    def answered(self, peer: str, *, useful: bool) -> None:
        """Note an answer; one without the next block counts against the peer's claim."""
        if self._asked is not None and self._asked[0] == peer:
            self._asked = None
        if peer in self._peers and not useful:
            del self._peers[peer]

    def whom_to_ask(self, own_height: int, now_us: int, *, patient: bool = True) -> str | None:
        """Return a peer to ask for blocks from ``own_height`` on, or None.

        The least failing of those who claim to be ahead; a silent one is given up after a while.
        """
        ahead = [name for name, peer in self._peers.items() if peer.height > own_height]
        if not ahead:
            self._behind_since = None
            return None
        if self._behind_since is None or self._behind_since[0] != own_height:
            self._behind_since = (own_height, now_us)  # whoever moves on by itself asks nobody
        if patient and now_us - self._behind_since[1] < PATIENCE_US:
            return None
        if self._asked is not None:
            name, since_us = self._asked
            if now_us - since_us < ASK_TIMEOUT_US:
                return None
            if name in self._peers:
                self._peers[name].failures += 1
        chosen = min(ahead, key=lambda name: (self._peers[name].failures, name))
        self._asked = (chosen, now_us)
        return chosen
