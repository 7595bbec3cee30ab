"""``tally wallet``: keys on this machine."""

import os
from pathlib import Path

import click

from tally.exits import KeyTrouble, NotFound, UsageError
from tally.output import confirm, emit, say
from wallet.commands.typed import PASSPHRASE_FD, PROFILE
from wallet.keystore import Keystore, key_files, read_key, read_passphrase
from wallet.profile import keys_folder, load_profile
from wallet.signing import enrolment_line, key_file, open_signers, proof_by

PHRASE_FD = click.option(
    "--phrase-fd", type=click.IntRange(0), help="Read the recovery phrase from it."
)
NETWORK = click.option("--network", help="For which network (default: the profile's).")


@click.group()
def group() -> None:
    """Make, recover and list keys. A key is named NAME or PARTY/PERSON."""


def _network(network: str | None, profile_name: str | None) -> str:
    return network or load_profile(profile_name).network


def _shown(name: str, path: Path, public_key: bytes, network: str) -> dict[str, object]:
    return {"key": name, "network": network, "public_key": public_key.hex(), "file": str(path)}


@group.command()
@click.argument("name")
@NETWORK
@PROFILE
@PASSPHRASE_FD
def create(
    name: str, *, network: str | None, profile_name: str | None, passphrase_fd: int | None
) -> None:
    """Make a new key and show its recovery phrase, once."""
    chosen = _network(network, profile_name)
    path = key_file(chosen, name)
    if path.exists():
        raise KeyTrouble(f"{path} exists; a key is never overwritten")
    passphrase = read_passphrase(passphrase_fd, prompt="New passphrase", repeat=True)
    phrase = Keystore.create(path, chosen, passphrase)
    key = Keystore.open(path, passphrase)
    say("write the phrase down and keep it apart: whoever has it has the key")
    emit({**_shown(name, path, key.public_key, chosen), "phrase": phrase})


@group.command()
@click.argument("name")
@NETWORK
@PROFILE
@PASSPHRASE_FD
@PHRASE_FD
def recover(
    name: str,
    *,
    network: str | None,
    profile_name: str | None,
    passphrase_fd: int | None,
    phrase_fd: int | None,
) -> None:
    """Make a key again from its recovery phrase."""
    chosen = _network(network, profile_name)
    path = key_file(chosen, name)
    phrase = read_passphrase(phrase_fd, prompt="Recovery phrase")
    passphrase = read_passphrase(passphrase_fd, prompt="New passphrase", repeat=True)
    key = Keystore.recover(path, chosen, passphrase, phrase)
    emit(_shown(name, path, key.public_key, chosen))


@group.command(name="import")
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@NETWORK
@PROFILE
@PASSPHRASE_FD
def import_(
    name: str,
    file: Path,
    *,
    network: str | None,
    profile_name: str | None,
    passphrase_fd: int | None,
) -> None:
    """Take over a key file from another machine; its passphrase stays."""
    chosen = _network(network, profile_name)
    path = key_file(chosen, name)
    passphrase = read_passphrase(passphrase_fd, prompt="Its passphrase")
    key = Keystore.open(file, passphrase)
    if key.network != chosen:
        raise KeyTrouble(f"{file} is for network {key.network}, not for {chosen}")
    Keystore.recover(path, chosen, passphrase, key.phrase())
    emit(_shown(name, path, key.public_key, chosen))


@group.command(name="list")
@NETWORK
@PROFILE
def list_(*, network: str | None, profile_name: str | None) -> None:
    """List the keys of a network on this machine."""
    chosen = _network(network, profile_name)
    top = keys_folder(chosen)
    folders = [top, *sorted(path for path in top.glob("*") if path.is_dir())]
    rows = [
        _listed(path.stem if folder == top else f"{folder.name}/{path.stem}", path, chosen)
        for folder in folders
        for path in key_files(folder)
    ]
    emit(rows, ("key", "network", "public_key", "state"))


def _listed(name: str, path: Path, network: str) -> dict[str, object]:
    """Return a key's row; what is wrong with a file spoils no other row."""
    try:
        key = read_key(path)
    except (KeyTrouble, NotFound) as error:
        damaged = {"key": name, "network": network, "public_key": None, "file": str(path)}
        return {**damaged, "state": "damaged", "problem": error.message}
    return {**_shown(name, path, key.public_key, key.network), "state": "ok"}


@group.command()
@click.argument("name")
@NETWORK
@PROFILE
def show(name: str, *, network: str | None, profile_name: str | None) -> None:
    """Show a key's public half. To be enrolled with it, see `prove`."""
    chosen = _network(network, profile_name)
    path = key_file(chosen, name)
    if not path.is_file():
        raise KeyTrouble(f"there is no key {name} of network {chosen} (looked at {path})")
    key = read_key(path)
    emit(_shown(name, path, key.public_key, key.network))


@group.command()
@click.argument("name")
@click.option("--party", help="Whose key it is to be (default: the party of PARTY/PERSON).")
@PROFILE
@PASSPHRASE_FD
def prove(
    name: str, *, party: str | None, profile_name: str | None, passphrase_fd: int | None
) -> None:
    """Show the line that enrols a key: the key, and its proof that it is the party's.

    Whoever names the key for the party, such as its city, pastes the line: --person owner=LINE.
    """
    profile = load_profile(profile_name)
    owner = party or name.rpartition("/")[0]
    if not owner:
        raise UsageError("whose key is it to be? give --party")
    (signer,) = open_signers(profile, [name], passphrase_fd=passphrase_fd)
    line = enrolment_line(signer.public_key, proof_by(profile, signer, owner))
    emit({"key": name, "party": owner, "log_id": profile.log_id, "line": line})


@group.command()
@click.argument("name")
@NETWORK
@PROFILE
@PASSPHRASE_FD
@click.option("--yes", is_flag=True, help="Show the phrase without asking.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Copy the sealed key file there instead; it needs its passphrase still.",
)
def export(
    name: str,
    *,
    network: str | None,
    profile_name: str | None,
    passphrase_fd: int | None,
    yes: bool,
    out: Path | None,
) -> None:
    """Show a key's recovery phrase again, or copy its sealed file."""
    chosen = _network(network, profile_name)
    path = key_file(chosen, name)
    key = Keystore.open(path, read_passphrase(passphrase_fd, prompt=f"Passphrase of {name}"))
    if out is not None:
        _copy(path, out)
        emit(_shown(name, out, key.public_key, chosen))
        return
    if not yes and not confirm("Show the recovery phrase on this screen?"):
        raise UsageError("not shown")
    emit({**_shown(name, path, key.public_key, chosen), "phrase": key.phrase()})


def _copy(source: Path, target: Path) -> None:
    """Copy a key file, readable by its owner alone and never over another file."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"can't write {target}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
