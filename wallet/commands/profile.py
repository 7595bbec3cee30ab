"""``tally profile``: the networks that this wallet knows."""

import contextlib
from pathlib import Path

import click

from ledger.encoding.codec import NotCanonical
from ledger.encoding.policy import POLICY_BYTES_MAX
from ledger.encoding.text import MalformedText
from ledger.genesis import Genesis, GenesisInvalid, log_id_of, parse_genesis
from tally.exits import Unreachable, UsageError
from tally.output import emit, say
from wallet.client import NodeClient
from wallet.commands.typed import HASH
from wallet.learned import accept_policy, forget_policy
from wallet.profile import (
    NodeAddress,
    Profile,
    check_profile,
    default_name,
    list_profiles,
    load_profile,
    save_profile,
    use_profile,
)
from wallet.verified import Verifier

COLUMNS = ("profile", "default", "network", "log_id", "nodes")


@click.group()
def group() -> None:
    """Add, choose and list networks."""


def _shown(profile: Profile) -> dict[str, object]:
    return {
        "profile": profile.name,
        "default": profile.name == default_name(),
        "network": profile.network,
        "log_id": profile.log_id,
        "nodes": [f"{node.name}={node.url}" for node in profile.nodes],
        "dev_seed": profile.dev_seed,
    }


@group.command()
@click.argument("name")
@click.option("--node", "nodes", multiple=True, required=True, help="name=http://host:port")
@click.option("--log-id", type=HASH, help="What the network's members say its log id is.")
@click.option("--dev-seed", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--default", "is_default", is_flag=True, help="Use it from now on.")
def add(
    name: str,
    *,
    nodes: tuple[str, ...],
    log_id: bytes | None,
    dev_seed: Path | None,
    is_default: bool,
) -> None:
    """Add a network: its genesis comes from the first node, and its hash is the log id."""
    addresses = tuple(_address(text) for text in nodes)
    client = NodeClient(addresses[0].url, log_id=log_id)
    data = client.genesis()
    client.close()
    genesis = _genesis(data, addresses[0].url)
    if log_id is None:
        say("the log id was taken from the node: compare it with what the members publish")
    profile = Profile(
        name=name,
        network=genesis.network,
        log_id=log_id_of(data).hex(),
        nodes=addresses,
        dev_seed=None if dev_seed is None else str(dev_seed.resolve()),
    )
    check_profile(profile)
    save_profile(profile, make_default=is_default or default_name() is None)
    emit(_shown(profile))


def _address(text: str) -> NodeAddress:
    name, sign, url = text.partition("=")
    if not sign or "://" in name:
        name, url = text.partition("://")[2], text
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{text!r}: write name=http://host:port")
    return NodeAddress(name=name, url=url)


def _genesis(data: bytes, url: str) -> Genesis:
    try:
        return parse_genesis(data)
    except (NotCanonical, GenesisInvalid) as error:
        raise Unreachable(f"{url} serves no genesis: {error}") from None


@group.command()
@click.argument("name")
def use(name: str) -> None:
    """Make a network the default."""
    use_profile(name)
    emit(_shown(load_profile(name)))


@group.command(name="list")
def list_() -> None:
    """List the networks that this wallet knows."""
    emit([_shown(profile) for profile in list_profiles()], COLUMNS)


@group.command()
@click.argument("name", required=False)
@click.option(
    "--policy",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Believe this from now on: from somebody you trust, after validators changed at once.",
)
@click.option(
    "--follow", is_flag=True, help="Believe again whom the log names, after --policy did not."
)
def trust(name: str | None, *, file: Path | None, follow: bool) -> None:
    """Show whom the wallet believes about the log, or take it over from a file.

    A policy that was given stays until another one is; else the wallet follows the validators.
    """
    profile = load_profile(name)
    if follow:
        forget_policy(profile)
    if file is not None:
        data = file.read_bytes()[: POLICY_BYTES_MAX + 1]
        try:
            accept_policy(profile, data)
        except MalformedText as error:
            raise UsageError(f"{file}: {error}") from None
    with contextlib.closing(NodeClient(profile.nodes[0].url, log_id=profile.log_id_bytes)) as node:
        verifier = Verifier(profile, node)
        seen = verifier.seen()
        emit(
            {
                "profile": profile.name,
                "log": verifier.policy.logs[0].key.name,
                "cosigners": [cosigner.name for cosigner in verifier.policy.witnesses],
                "largest_head_seen": None if seen is None else seen.size,
            }
        )
