"""What the engine's host side reaches its peers by; clock and timers are the seam's."""

from typing import Protocol

from engines.builtin.messages import Message, channel_of
from engines.builtin.p2p.frames import Channel
from ledger.encoding import codec


class Network(Protocol):
    """How the host reaches its peers, by name."""

    def send(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Queue a message; it is lost if there is no link or no room."""

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Queue a message to every peer."""

    def fault(self, peer: str, reason: str) -> None:
        """Close the link of a peer that broke the protocol."""


class Messenger:
    """Puts messages into bytes and onto their channel."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def send(self, peer: str, message: Message) -> None:
        """Say something to one peer."""
        self._network.send(peer, channel_of(message), codec.encode(message))

    def broadcast(self, message: Message) -> None:
        """Say something to every peer."""
        self._network.broadcast(channel_of(message), codec.encode(message))

    def fault(self, peer: str, reason: str) -> None:
        """Close the link of a peer that broke the protocol."""
        self._network.fault(peer, reason)
