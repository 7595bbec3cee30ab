"""``tally node``: set up and run one node."""

import asyncio
import json
import os
import secrets
import shutil
import sys
from pathlib import Path

import click

from ledger.encoding import crypto
from ledger.encoding.codec import NotCanonical
from ledger.genesis import GenesisInvalid, log_id_of, parse_genesis
from node.build import KEY_NAMES, load_keys, validators_of
from node.config import ConfigInvalid, NodeConfig, PeerConfig, config_text, load_config
from node.port import NodeStatus, PortClient, PortClosed
from tally.exits import NotFound, Unreachable, UsageError
from tally.output import emit, say

MAP_BYTES = 64 * 1024**3

FOLDER = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="here",
    help="The node's folder.",
)


@click.group()
def group() -> None:
    """Set up and run one node."""


@group.command()
@FOLDER
def init(folder: Path) -> None:
    """Make the node's four keys and show what genesis must register of them."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "node-keys.json"
    if path.exists():
        raise UsageError(f"{path} exists; a node's keys are never replaced in place")
    seeds = {name: secrets.token_bytes(32) for name in KEY_NAMES}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump({name: seed.hex() for name, seed in seeds.items()}, file)
        file.flush()
        os.fsync(file.fileno())
    emit({name: crypto.public_key(seed).hex() for name, seed in seeds.items()})


@group.command()
@FOLDER
@click.option("--party", required=True, help="The member that this node belongs to.")
@click.option("--genesis", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--listen", default="0.0.0.0:7800", show_default=True)
@click.option("--peer", "peers", multiple=True, metavar="PARTY=HOST:PORT")
@click.option("--links-per-address", default=2, show_default=True)
def config(
    *,
    folder: Path,
    party: str,
    genesis: Path,
    listen: str,
    peers: tuple[str, ...],
    links_per_address: int,
) -> None:
    """Write the node's configuration beside its keys, and take its genesis in."""
    data = genesis.read_bytes()
    try:
        registered = validators_of(parse_genesis(data))
    except (GenesisInvalid, NotCanonical) as error:
        raise UsageError(f"{genesis}: {error}") from None
    keys = load_keys(folder / "node-keys.json")
    if party in registered and registered[party] != crypto.public_key(keys["link"]):
        raise UsageError(f"{genesis} registers other keys for {party} than this folder holds")
    host, port = _address(listen)
    made = NodeConfig(
        party=party,
        folder=folder,
        listen_host=host,
        listen_port=port,
        peers=tuple(_peer(text) for text in peers),
        links_per_address_max=links_per_address,
        map_bytes=MAP_BYTES,
    )
    if genesis.resolve() != made.genesis.resolve():
        shutil.copyfile(genesis, made.genesis)
    (folder / "node.toml").write_text(config_text(made), encoding="utf-8")
    emit({"party": party, "log_id": log_id_of(data).hex(), "config": str(folder / "node.toml")})


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"expected HOST:PORT, got {text!r}")
    return host, int(port)


def _peer(text: str) -> PeerConfig:
    party, _, address = text.partition("=")
    if not party or not address:
        raise UsageError(f"expected PARTY=HOST:PORT, got {text!r}")
    host, port = _address(address)
    return PeerConfig(party=party, host=host, port=port)


@group.command()
@FOLDER
def start(folder: Path) -> None:
    """Run the node in the foreground until SIGTERM or Ctrl-C."""
    try:
        load_config(folder / "node.toml")
    except FileNotFoundError:
        raise NotFound(
            f"no node.toml in {folder.resolve()}; `tally node config` makes it"
        ) from None
    except ConfigInvalid as error:
        raise UsageError(str(error)) from None
    say(f"starting the node in {folder.resolve()}")
    os.chdir(folder)
    os.execv(  # noqa: S606 - the same interpreter, our own module
        sys.executable, [sys.executable, "-P", "-m", "node", "--config", "node.toml"]
    )


def _status(folder: Path) -> NodeStatus:
    async def ask() -> NodeStatus:
        client = PortClient(folder / "port.sock")
        try:
            return await asyncio.wait_for(client.status(), 5)
        finally:
            await client.close()

    try:
        return asyncio.run(ask())
    except (PortClosed, TimeoutError):
        raise Unreachable(f"no node answers in {folder.resolve()}") from None


@group.command()
@FOLDER
def status(folder: Path) -> None:
    """Show how the node is, asked at its own port."""
    found = _status(folder)
    emit(
        {
            "name": found.name,
            "network": found.network,
            "log_id": found.log_id,
            "height": found.height,
            "time_ms": found.time_ms,
            "record_hash": found.app_hash,
            "log_size": found.log_size,
            "round": found.round,
            "validating": found.validating,
            "pending": found.pending,
            "quorum_age_ms": found.quorum_age_ms,
            "stopped": found.stopped,
            "peers_up": sum(peer.up for peer in found.peers),
            "peers": len(found.peers),
        }
    )


@group.command()
@FOLDER
def peers(folder: Path) -> None:
    """Show the node's peers."""
    rows = [
        {"peer": peer.name, "up": peer.up, "round_trip_us": peer.round_trip_us}
        for peer in _status(folder).peers
    ]
    emit(rows, ["peer", "up", "round_trip_us"])
