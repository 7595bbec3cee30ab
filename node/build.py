"""Wires a node by hand: configuration and keys in, a running node out."""

import json
from pathlib import Path

from ledger.genesis import Genesis, log_id_of, parse_genesis
from node.config import ConfigInvalid, NodeConfig
from node.p2p.link import Limits, Peer
from node.p2p.links import Links
from node.runtime import Node
from node.signer import Signer, create_signer, open_signer

KEY_NAMES = ("consensus", "log", "cosigner", "link")


def load_keys(path: Path) -> dict[str, bytes]:
    """Return the node's key seeds by name; raise ConfigInvalid."""
    values = json.loads(path.read_text(encoding="ascii"))
    if sorted(values) != sorted(KEY_NAMES):
        raise ConfigInvalid(f"{path}: expected the keys {', '.join(KEY_NAMES)}")
    return {name: bytes.fromhex(values[name]) for name in KEY_NAMES}


def load_signer(config: NodeConfig, seed: bytes) -> Signer:
    """Return the signer; a record is made only together with a store that does not exist yet.

    A node whose record is gone while its store is there may have signed: it must not start.
    """
    if not config.signer.exists() and not config.store.exists():
        return create_signer(config.signer, seed)
    return open_signer(config.signer, seed)


def validators_of(genesis: Genesis) -> dict[str, bytes]:
    """Return the link keys of the validating members."""
    return {member.id: keys.link for member in genesis.members for keys in member.validator}


async def start_node(config: NodeConfig) -> Node:
    """Return a node that runs; raise ConfigInvalid, GenesisInvalid, SignerDamaged or WalDamaged."""
    data = config.genesis.read_bytes()
    genesis = parse_genesis(data)
    keys = load_keys(config.keys)
    members = {member.id: member for member in genesis.members}
    if config.party not in members:
        raise ConfigInvalid(f"party: {config.party} is not a member in this genesis")
    signer = load_signer(config, keys["consensus"])
    node = Node(config, genesis=data, signer=signer)
    link_keys = validators_of(genesis)
    peers = []
    for peer in config.peers:
        if peer.party not in link_keys:
            raise ConfigInvalid(f"peers: {peer.party} does not validate in this genesis")
        peers.append(
            Peer(
                name=peer.party,
                link_key=link_keys[peer.party],
                host=peer.host,
                port=peer.port,
            )
        )

    def links(running: Node) -> Links:
        return Links(
            name=config.party,
            seed=keys["link"],
            log_id=log_id_of(data),
            peers=peers,
            on_message=running.on_peer_message,
            on_up=running.on_peer_up,
            on_down=running.on_peer_down,
            limits=Limits(per_address_max=config.links_per_address_max),
        )

    await node.start(links, genesis.network)
    return node
