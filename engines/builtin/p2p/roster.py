"""Who may link to a node: what the ledger says and what its operator says, together (spec P6)."""

from collections.abc import Collection
from dataclasses import dataclass

from engines.builtin.p2p.link import Peer
from engines.seam import Neighbours, Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Who decides the present height, and who may link: by one commit and one configuration."""

    height: int
    powers: tuple[tuple[str, int], ...]
    """Validators and their powers."""
    validates: bool
    """Whether this node's own key is among them."""
    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What the ledger says of link keys at one height."""

    validators: tuple[tuple[str, bytes], ...]
    """Party and link key of everybody who validates now or will, the present ones first."""
    seen: Collection[bytes]
    """Which keys of the configuration are or were a validator's, whoever's."""


def allowed_peers(named: Neighbours, registered: Registered, own_key: bytes) -> tuple[Peer, ...]:
    """Return the peers that a node has: each key once, no other node of its own party."""
    addresses = {peer.party: (peer.host, peer.port) for peer in named.peers}
    names: dict[bytes, str] = {}
    for party, key in registered.validators:
        names.setdefault(key, party)
    validating = {party for party, _ in registered.validators}
    stated = [(peer.party, peer.link_key) for peer in named.peers if peer.link_key]
    stated += [
        (observer.name, observer.link_key)
        for observer in named.observers
        if observer not in misnamed(named, registered)
    ]
    for name, key in stated:
        # A key that its party replaced may be in wrong hands: no forgotten line lets it in (P6.3).
        if not (name in validating and key in registered.seen):
            names.setdefault(key, name)
    return tuple(
        Peer(
            name=name,
            link_key=key,
            host=addresses.get(name, ("", 0))[0],
            port=addresses.get(name, ("", 0))[1],
            validates=(name, key) in registered.validators,
        )
        for key, name in names.items()
        if name != named.party and key != own_key
    )


def misnamed(named: Neighbours, registered: Registered) -> tuple[Observer, ...]:
    """Return the observers that carry the name of somebody who validates, and another's key.

    They are not let in (P6.3): they would speak under the validator's name.
    """
    validating = dict.fromkeys(party for party, _ in registered.validators)
    return tuple(
        observer
        for observer in named.observers
        if observer.name in validating
        and (observer.name, observer.link_key) not in registered.validators
    )
