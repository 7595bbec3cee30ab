"""Where the others are, and saying again what may have been lost on the way (spec E5, N5)."""

from consensus.effects import BroadcastVote
from engines.builtin.catchup import Catchup
from engines.builtin.gossip import Gossip
from engines.builtin.height import Heights
from engines.builtin.messages import Here, Message, ProposalMessage, VoteMessage
from engines.builtin.own_key import OwnKey
from engines.builtin.p2p.frames import Channel
from engines.builtin.ports import Messenger
from engines.builtin.quotas import NextHeight, RecentlySent
from engines.seam import Clock

RESEND_US = 1_000_000


class Presence:
    """Keeps track of heights: its own towards the peers, and theirs."""

    def __init__(
        self,
        *,
        heights: Heights,
        key: OwnKey,
        catchup: Catchup,
        gossip: Gossip,
        messenger: Messenger,
        clock: Clock,
    ) -> None:
        self._next_height = NextHeight()
        self._heights = heights
        self._key = key
        self._catchup = catchup
        self._gossip = gossip
        self._messenger = messenger
        self._clock = clock
        self._helped = RecentlySent()
        """Who was told that it is behind."""
        self._resent_us = 0
        self._resent_height = 0

    # --- where they are --------------------------------------------------------------------------

    def is_elsewhere(self, peer: str, height: int, channel: Channel, payload: bytes) -> bool:
        """Return whether a message is not of this height; keep one of the next."""
        now = self._heights.now
        if height == now.number:
            return False
        if height > now.number:
            self._heard(peer, height)
            if height == now.number + 1:
                self._next_height.keep(peer, channel, payload)
        elif self._clock.monotonic_us() - now.began_us >= RESEND_US:
            self._help(peer)  # in a busy network it hears of the height, and is but slow
        return True

    def on_here(self, peer: str, message: Here) -> None:
        """Note where a peer is, and send it what it lacks."""
        now = self._heights.now
        self._heard(peer, message.height)
        if message.height < now.number:
            self._help(peer)  # it learns from this that we can help
        elif message.height == now.number and self._may_repeat(peer, "votes"):
            for answer in self._words():
                self._messenger.send(peer, answer)

    def came_early(self) -> list[tuple[str, Channel, bytes]]:
        """Return what peers said of the height that has just begun, by peer and channel."""
        early, self._next_height = self._next_height, NextHeight()
        return early.messages

    def gone(self, peer: str) -> None:
        """Forget a peer whose link is down."""
        self._catchup.gone(peer)
        self._helped.forget(peer)
        self._heights.now.sent.forget(peer)

    def _heard(self, peer: str, height: int) -> None:
        self._catchup.heard(peer, height)
        self._key.heard(peer, height)

    # --- where we are ----------------------------------------------------------------------------

    def say_here(self, peer: str) -> None:
        """Tell a peer where we are."""
        now = self._heights.now
        self._messenger.send(peer, Here(height=now.number, round=now.driver.round))

    def broadcast(self, wanted: BroadcastVote) -> None:
        """Send an own vote to all."""
        self._messenger.broadcast(VoteMessage(vote=wanted.vote))

    def resend(self) -> None:
        """Say again what we said at this height: links lose messages."""
        self._resent_us = self._clock.monotonic_us()
        for message in self._words():
            self._messenger.broadcast(message)
        height = self._heights.now.number
        if height == self._resent_height:
            # Nothing moved since: perhaps nobody else has what we wait for. Queues drop batches.
            batch = self._gossip.own_pending()
            if batch is not None:
                self._messenger.broadcast(batch)
        self._resent_height = height

    def resend_if_due(self) -> None:
        """Say it again if the last time was long ago; call now and then."""
        # Counted from the first work on: what was said just now need not be said again.
        since_us = max(self._resent_us, self._heights.now.work_since_us or 0)
        if self._clock.monotonic_us() - since_us > RESEND_US:
            self.resend()

    def _words(self) -> list[Message]:
        driver = self._heights.now.driver
        return [
            *(ProposalMessage(proposal=proposal) for proposal in driver.resend_proposals()),
            *(VoteMessage(vote=vote) for vote in driver.resend()),
        ]

    def _help(self, peer: str) -> None:
        """Tell a peer that speaks of a decided height where we are: it asks then (E5)."""
        if self._helped.may_repeat(peer, "height", self._clock.monotonic_us(), RESEND_US):
            self.say_here(peer)

    def _may_repeat(self, peer: str, what: str) -> bool:
        now_us = self._clock.monotonic_us()
        return self._heights.now.sent.may_repeat(peer, what, now_us, RESEND_US)
