"""Wires a node by hand: configuration and keys in, a running node out."""

import json
import logging
from pathlib import Path

from engines.builtin.kind import Builtin
from engines.builtin.p2p.link import Limits
from engines.builtin.signer import UNKNOWN_HEIGHT, Signer, create_signer, open_signer
from ledger.encoding.codec import NotCanonical
from ledger.genesis import Genesis, GenesisInvalid, log_id_of, parse_genesis
from ledger.trust import origin_of
from node.clock import SystemClock
from node.config import ConfigInvalid, NodeConfig
from node.cosigner import Cosigner
from node.log_keeper import LogKeeper
from node.runtime import Node

_LOGGER = logging.getLogger(__name__)
KEY_NAMES = ("consensus", "log", "cosigner", "link")
LOG_KEY_NAMES = ("log", "cosigner")
"""Those that sign heads of the log, and that go on beside their successors (Y10.4)."""


def load_keys(path: Path, names: tuple[str, ...] = KEY_NAMES) -> dict[str, bytes]:
    """Return key seeds by name; raise ConfigInvalid, which repeats none of them."""
    try:
        values = json.loads(path.read_text(encoding="ascii"))
        seeds = {name: bytes.fromhex(values[name]) for name in names}
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, LookupError):
        seeds = {}
    if not seeds or len(values) > len(seeds) or any(len(seed) != 32 for seed in seeds.values()):
        raise ConfigInvalid(
            f"{path} is damaged: expected the keys {', '.join(names)}, each as 64 hex digits; "
            "take it from its backup"
        )
    return seeds


def load_genesis(path: Path) -> tuple[bytes, Genesis]:
    """Return a genesis as bytes and as what they say; raise ConfigInvalid."""
    try:
        data = path.read_bytes()
        return data, parse_genesis(data)
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read: {error.strerror}") from None
    except (GenesisInvalid, NotCanonical) as error:
        raise ConfigInvalid(
            f"{path} is not a genesis ({error}); any member has the right one"
        ) from None


def load_signer(config: NodeConfig, seed: bytes) -> Signer:
    """Return the signer. A key whose record is gone may have signed: it gets a silent one (N10).

    A new key's record is made with the key: nothing else can tell it from one that was lost.
    """
    if not config.signer.exists():
        _LOGGER.warning("the record of what the key signed is gone: it is silent at first")
        return create_signer(config.signer, seed, watermark_height=UNKNOWN_HEIGHT)
    return open_signer(config.signer, seed)


def validators_of(genesis: Genesis) -> dict[str, bytes]:
    """Return the link keys of the validating members."""
    return {member.id: keys.link for member in genesis.members for keys in member.validator}


def _further_log_keys(config: NodeConfig) -> list[dict[str, bytes]]:
    """Return the next and the former keys that sign heads, so that readers find one (Y10.4)."""
    keys = []
    if config.next_keys.exists():
        keys.append(load_keys(config.next_keys))
    if config.former_keys.exists():
        keys.append(load_keys(config.former_keys, LOG_KEY_NAMES))
    return keys


async def start_node(config: NodeConfig) -> Node:
    """Return a node that runs; raise ConfigInvalid, GenesisInvalid or EngineStopped.

    The caller holds the folder (``node.lock``). The ledger need not know its party, or its keys,
    yet: until then the node follows (C14).
    """
    data, genesis = load_genesis(config.genesis)
    keys = load_keys(config.keys)
    pairs = [keys, *_further_log_keys(config)]
    clock = SystemClock()
    engine = Builtin(
        named=config,
        folder=config.folder,
        listen_host=config.listen_host,
        listen_port=config.listen_port,
        limits=Limits(per_address_max=config.links_per_address_max),
        link_seed=keys["link"],
        signer=load_signer(config, keys["consensus"]),
        log_id=log_id_of(data),
        clock=clock,
    )
    node = Node(
        config,
        genesis=data,
        network=genesis.network,
        kind=engine,
        log_keeper=LogKeeper(
            config,
            cosigner=Cosigner(
                origin=origin_of(genesis.network, log_id_of(data)),
                party=config.party,
                seeds=[pair["cosigner"] for pair in pairs],
                path=config.cosigned,
            ),
            log_seeds=tuple(pair["log"] for pair in pairs),
        ),
        clock=clock,
    )
    await node.start()
    return node
