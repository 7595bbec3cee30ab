"""``tally node``: set up and run one node."""

import asyncio
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from engines.builtin.signer import create_signer
from ledger.encoding import crypto
from ledger.genesis import log_id_of
from ledger.rules.parties import proof_message
from ledger.store.durable import sync_folder
from ledger.store.lmdb_store import StoreFull
from node.build import KEY_NAMES, LOG_KEY_NAMES, load_genesis, load_keys, validators_of
from node.config import (
    PORT_MAX,
    ConfigInvalid,
    NodeConfig,
    ObserverConfig,
    PeerConfig,
    config_text,
    is_host,
    is_name,
    load_config,
)
from node.lock import FolderInUse, held
from node.port import NodeStatus, PortClient, PortClosed
from node.scrub import STORE_DAMAGED
from node.snapshot import SnapshotRefused, TrustPoint
from node.stopped import forget_stop, read_stop
from tally.exits import AuditFinding, KeyTrouble, NotFound, Unreachable, UsageError
from tally.output import confirm, emit, say

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
    path = folder / "node-keys.json"
    seeds = _new_seeds()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            raise UsageError(f"{path} exists; `tally node keys new` makes keys to replace them")
        record = folder / "signer"
        record.unlink(missing_ok=True)  # of keys that were never written down
        create_signer(record, seeds["consensus"]).close()
        _write_keys(path, seeds)
    except OSError as error:
        raise UsageError(f"can't make keys in {folder}: {error.strerror}") from None
    _emit_public(seeds)


def _new_seeds() -> dict[str, bytes]:
    return {name: secrets.token_bytes(32) for name in KEY_NAMES}


def _write_keys(path: Path, seeds: dict[str, bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump({name: seed.hex() for name, seed in seeds.items()}, file)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def _emit_public(seeds: dict[str, bytes]) -> None:
    emit({name: crypto.public_key(seed).hex() for name, seed in seeds.items()})


@group.group()
def keys() -> None:
    """Replace the node's four keys, for instance when somebody else may have them."""


@keys.command(name="new")
@FOLDER
def new_keys(folder: Path) -> None:
    """Make the next keys beside those in force and show what the members must register.

    The record of what the consensus key signs is made with the key, while it certainly has signed
    nothing; nothing else can tell a new key from one whose record was lost.
    """
    config = _config(folder)
    if not config.keys.exists():
        raise NotFound(f"no keys in {folder.resolve()}; `tally node init` makes the first ones")
    if config.next_keys.exists():
        raise UsageError(f"{config.next_keys} exists; `tally node keys use` takes it up")
    seeds = _new_seeds()
    config.next_signer.unlink(missing_ok=True)  # of keys that were never written down
    create_signer(config.next_signer, seeds["consensus"]).close()
    _write_keys(config.next_keys, seeds)
    _emit_public(seeds)


@keys.command()
@FOLDER
def prove(folder: Path) -> None:
    """Show the next keys, or else those in force, with their proofs that they are its member's.

    With a power it is what `tally governance propose validator --file` takes.
    """
    config = _config(folder)
    seeds = _keys(config.next_keys if config.next_keys.exists() else config.keys)
    log_id = log_id_of(load_genesis(config.genesis)[0])
    public_keys = {name: crypto.public_key(seeds[name]) for name in KEY_NAMES}
    proofs = [
        crypto.sign(seeds[name], proof_message(log_id, config.party, key)).hex()
        for name, key in public_keys.items()
    ]
    emit({**{name: key.hex() for name, key in public_keys.items()}, "proofs": proofs})


@keys.command(name="use")
@FOLDER
@click.option("--yes", is_flag=True, help="Do not ask.")
def use_keys(folder: Path, yes: bool) -> None:
    """Put the next keys in the place of those in force. The node must not run.

    The log and cosigner keys go on signing heads of the log beside the new ones, for readers who
    know only the old ones; `tally node keys forget` ends that.
    """
    config = _config(folder)
    if not config.next_keys.exists():
        raise NotFound(f"no next keys in {folder.resolve()}; `tally node keys new` makes them")
    next_seeds = _keys(config.next_keys)
    with _holding(config):
        former = _keys(config.keys)
        if not yes and not confirm("The consensus and link keys in force are deleted. Go on?"):
            raise UsageError("nothing was changed")
        # The keys last: until then the same command can be given again.
        if config.next_signer.exists():
            config.next_signer.replace(config.signer)
        config.former_keys.unlink(missing_ok=True)
        _write_keys(config.former_keys, {name: former[name] for name in LOG_KEY_NAMES})
        config.next_keys.replace(config.keys)
        sync_folder(folder)
    say(
        "whoever lists this node's old link key, under [[observers]] or [[peers]], must list the "
        "new one; validators learn it from the ledger"
    )
    _emit_public(next_seeds)


@keys.command(name="forget")
@FOLDER
def forget_keys(folder: Path) -> None:
    """Delete the former log and cosigner keys, once readers know their successors."""
    config = _config(folder)
    if not config.former_keys.exists():
        raise NotFound(f"no former keys in {folder.resolve()}")
    with _holding(config):
        config.former_keys.unlink()
        sync_folder(folder)
    say("from its next start on the node signs heads with the keys in force alone")


def _config(folder: Path) -> NodeConfig:
    """Return the configuration in a folder."""
    try:
        return load_config(folder / "node.toml")
    except FileNotFoundError:
        raise NotFound(
            f"no node.toml in {folder.resolve()}; `tally node config` makes it"
        ) from None
    except ConfigInvalid as error:
        raise UsageError(str(error)) from None


def _keys(path: Path) -> dict[str, bytes]:
    """Return key seeds by name."""
    try:
        return load_keys(path)
    except ConfigInvalid as error:
        raise KeyTrouble(str(error)) from None


@contextmanager
def _holding(config: NodeConfig) -> Iterator[None]:
    """Keep every other process out of a node's folder: its node, and commands that change it."""
    try:
        with held(config.lock):
            yield
    except FolderInUse as error:
        raise UsageError(f"{error}: if that is the node, stop it first") from None


@group.command()
@FOLDER
@click.option("--party", required=True, help="The member that this node belongs to.")
@click.option("--genesis", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--listen", default="0.0.0.0:7800", show_default=True)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="PARTY=HOST:PORT[,KEY]",
    help="Where a node is, and its link key if this node's ledger does not know it.",
)
@click.option(
    "--observer",
    "observers",
    multiple=True,
    metavar="NAME=KEY",
    help="A node that may link without validating, and its link key.",
)
@click.option("--links-per-address", type=click.IntRange(1), default=2, show_default=True)
@click.option("--replace", is_flag=True, help="Write over a configuration that is there.")
def config(
    *,
    folder: Path,
    party: str,
    genesis: Path,
    listen: str,
    peers: tuple[str, ...],
    observers: tuple[str, ...],
    links_per_address: int,
    replace: bool,
) -> None:
    """Write the node's configuration beside its keys, and take its genesis in."""
    try:
        data, parsed = load_genesis(genesis)
    except ConfigInvalid as error:
        raise UsageError(str(error)) from None
    registered = validators_of(parsed)
    _require_free(folder, data, replace=replace)
    _named("--party", party)
    link_key = crypto.public_key(_keys(folder / "node-keys.json")["link"])
    if registered.get(party) != link_key:
        say(f"genesis does not name these keys of {party}: it observes until members vote it in")
    host, port = _address(listen)
    stated = tuple(_peer(text) for text in peers)
    for peer in stated:
        if not peer.link_key and peer.party not in registered:
            say(
                f"genesis does not name {peer.party}: it is called once the ledger names its key, "
                f"or at once with --peer {peer.party}={peer.host}:{peer.port},KEY"
            )
    let_in = tuple(_observer(text) for text in observers)
    for observer in let_in:
        if registered.get(observer.name, observer.link_key) != observer.link_key:
            raise UsageError(
                f"--observer: genesis has {observer.name} as a validator, with another link key"
            )
    made = NodeConfig(
        party=party,
        folder=folder,
        listen_host=host,
        listen_port=port,
        peers=stated,
        observers=let_in,
        links_per_address_max=links_per_address,
        map_bytes=MAP_BYTES,
    )
    if genesis.resolve() != made.genesis.resolve():
        shutil.copyfile(genesis, made.genesis)
    (folder / "node.toml").write_text(config_text(made), encoding="utf-8")
    emit({"party": party, "log_id": log_id_of(data).hex(), "config": str(folder / "node.toml")})


def _require_free(folder: Path, genesis: bytes, *, replace: bool) -> None:
    """Refuse to take a node's configuration or ledger away from it."""
    path, known = folder / "node.toml", folder / "genesis.bin"
    if not (folder / "node-keys.json").exists():
        raise NotFound(f"no keys in {folder.resolve()}; `tally node init` makes them")
    if path.exists() and not replace:
        raise UsageError(
            f"{path} exists: edit it and send the node a SIGHUP, or write it anew with --replace"
        )
    if (folder / "store").exists() and known.exists() and known.read_bytes() != genesis:
        raise UsageError(f"{folder / 'store'} is of another ledger than this genesis")


def _named(option: str, text: str) -> str:
    if not is_name(text):
        raise UsageError(
            f"{option}: expected a name of small letters, digits and hyphens, got {text!r}"
        )
    return text


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not is_host(host) or not port.isdecimal():
        raise UsageError(f"expected HOST:PORT, got {text!r}")
    if not 0 < int(port) <= PORT_MAX:
        raise UsageError(f"expected a port of 1 to {PORT_MAX}, got {text!r}")
    return host, int(port)


def _peer(text: str) -> PeerConfig:
    party, _, address = text.partition("=")
    if not party or not address:
        raise UsageError(f"expected PARTY=HOST:PORT, got {text!r}")
    address, _, key = address.partition(",")
    host, port = _address(address)
    return PeerConfig(
        party=_named("--peer", party), host=host, port=port, link_key=_key(key) if key else b""
    )


def _observer(text: str) -> ObserverConfig:
    name, _, key = text.partition("=")
    if not name or not key:
        raise UsageError(f"expected NAME=KEY, got {text!r}")
    return ObserverConfig(name=_named("--observer", name), link_key=_key(key))


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if not crypto.is_registrable_key(key):
        raise UsageError(f"expected a public key as 64 hex digits, got {text!r}")
    return key


@group.command()
@FOLDER
def start(folder: Path) -> None:
    """Run the node in the foreground until SIGTERM or Ctrl-C."""
    config = _config(folder)
    with _holding(config):
        pass  # the node takes it again; this is only for the better sentence
    reason = read_stop(config.stopped)
    if reason:
        say(f"it follows without signing: {reason}; `tally node resume` ends that")
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


def _role(node_status: NodeStatus) -> str:
    if node_status.stopped:
        return "stopped"
    return "validator" if node_status.validating else "observer"


@group.command()
@FOLDER
@click.option("--yes", is_flag=True, help="Do not ask.")
def resume(folder: Path, yes: bool) -> None:
    """Let a node that stopped voting vote again, from its next start on."""
    config = _config(folder)
    reason = read_stop(config.stopped)
    if not reason:
        raise NotFound("this node did not stop voting")
    say(f"it stopped voting because: {reason}")
    if not yes and not confirm("Is the cause gone, and does no other node have its keys?"):
        raise UsageError("nothing was changed")
    forget_stop(config.stopped)
    emit({"resumes": "at its next start", "reason": reason})


@group.command()
@FOLDER
@click.option("--yes", is_flag=True, help="Do not ask.")
def heal(folder: Path, yes: bool) -> None:
    """Put a damaged store aside; the next start makes it anew from the peers' blocks.

    Keys, the signer's record and the write-ahead log stay: they keep the node from contradicting
    itself.
    """
    config = _config(folder)
    aside = config.store.with_name("store.damaged")
    with _holding(config):
        if not config.store.exists():
            raise NotFound(f"no store in {folder.resolve()}")
        if aside.exists():
            raise UsageError(f"{aside} exists; move or delete it first")
        if not yes and not confirm(
            "The node will read the whole ledger again from its peers. Go on?"
        ):
            raise UsageError("nothing was changed")
        config.store.rename(aside)
        reason = read_stop(config.stopped)
        if STORE_DAMAGED in reason:
            forget_stop(config.stopped)
        elif reason:
            say(f"it goes on without voting, for another reason: {reason}")
    emit({"put_aside": str(aside), "heals": "at its next start"})


@group.command()
@FOLDER
@click.option("--from", "url", required=True, metavar="URL", help="Any node's API, or a mirror's.")
@click.option(
    "--trust",
    metavar="HEIGHT:HASH",
    help="The record hash after a height, from somebody you trust and not from the server.",
)
def fetch(folder: Path, url: str, trust: str | None) -> None:
    """Make the store from another node's exports: everything is proven, nothing executed.

    A download that breaks off is taken up by the same command. Keys, the signer's record and the
    write-ahead log are left alone.
    """
    # Only this command needs an HTTP client: the others start without it.
    from node.fetch import AddressInvalid, AnotherLedger, FetchBroken, client_of, fetch_store

    config = _config(folder)
    point = None if trust is None else _trust_point(trust)
    if point is None:
        say(
            "without --trust, whoever holds old keys of two thirds of the validators could show "
            "another history than the one that everybody else has"
        )
    try:
        load_genesis(config.genesis)
        with client_of(url.rstrip("/")) as client, _holding(config):
            if config.store.exists():
                raise UsageError(f"{config.store} exists; `tally node heal` puts it aside")
            made = fetch_store(config, client, point, say)
    except ConfigInvalid as error:
        raise UsageError(str(error)) from None
    except AddressInvalid as error:
        raise UsageError(f"--from: {error}") from None
    except FetchBroken as error:
        raise Unreachable(str(error)) from None
    except AnotherLedger as error:
        raise AuditFinding(f"{error}; nothing was taken from it") from None
    except SnapshotRefused as error:
        raise AuditFinding(f"what was downloaded is refused and deleted: {error}") from None
    except (OSError, StoreFull) as error:
        raise UsageError(f"can't make {config.store}: {error}") from None
    emit(
        {
            "height": made.head.height,
            "record_hash": made.head.record_hash.hex(),
            "log_size": made.head.log_size,
            "versions": made.versions,
            "trusted": point is not None,
        }
    )


def _trust_point(text: str) -> TrustPoint:
    height, _, digits = text.partition(":")
    if not height.isdecimal() or not re.fullmatch("[0-9a-fA-F]{64}", digits):
        raise UsageError(f"--trust: expected HEIGHT:HASH, the hash as 64 hex digits, got {text!r}")
    return TrustPoint(height=int(height), record_hash=bytes.fromhex(digits))


@group.command()
@FOLDER
def status(folder: Path) -> None:
    """Show how the node is, asked at its own port."""
    node_status = _status(folder)
    emit(
        {
            "name": node_status.name,
            "network": node_status.network,
            "log_id": node_status.log_id,
            "height": node_status.height,
            "time_ms": node_status.time_ms,
            "record_hash": node_status.record_hash,
            "log_size": node_status.log_size,
            "round": node_status.round,
            "role": _role(node_status),
            "validating": node_status.validating,
            "pending": node_status.pending,
            "quorum_age_ms": node_status.quorum_age_ms,
            "stopped": node_status.stopped,
            "peers_up": sum(peer.up for peer in node_status.peers),
            "peers": len(node_status.peers),
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
