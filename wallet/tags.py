"""Tags of the numbers on papers, by keys whose check values stand on the ledger (spec Z)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from desk.documents import Json
from ledger.devkeys import tag_key_of
from ledger.encoding.normal import NotNormal, tag_key_check
from tally.exits import NotFound, UsageError
from wallet.profile import Profile

TAG_KEYS = click.option(
    "--tag-key",
    "tag_keys",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The network's tag key; of two epochs in force, both.",
)


@dataclass(frozen=True, slots=True)
class EpochKey:
    """A tag key, and the epoch that the ledger knows it by; the key is in no repr."""

    epoch: int
    key: bytes = field(repr=False)


Make = Callable[[bytes], bytes]
"""Makes the tag of one number under a key."""


def read_tag_key(path: Path) -> bytes:
    """Return the tag key in a file, which is its hex; raise NotFound or UsageError."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise NotFound(f"can't read the tag key {path}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"the tag key {path}: expected 64 hex digits") from None
    if len(key) != 32:
        raise UsageError(f"the tag key {path} has {len(key)} bytes, expected 32")
    return key


def keys_in_force(
    profile: Profile, paths: Sequence[Path], listed: Iterable[Json]
) -> tuple[EpochKey, ...]:
    """Return the keys in these files, oldest epoch first, as the ledger's parameters list them.

    On a dev network a key is derived if no file is named. Raises UsageError unless each is in
    force: a tag by another key finds no duplicate, and is refused by no rule.
    """
    epochs = {row["check_value"]: int(row["epoch"]) for row in listed}
    if paths:
        named = {str(path): read_tag_key(path) for path in paths}
    else:
        master = profile.master()
        if master is None:
            raise UsageError("name the file with the network's tag key: --tag-key")
        named = {"derived from the dev seed": tag_key_of(profile.network, master)}
    found = []
    for name, key in named.items():
        check = tag_key_check(key).hex()
        if check not in epochs:
            known = ", ".join(f"{value} (epoch {epoch})" for value, epoch in epochs.items())
            raise UsageError(
                f"the tag key {name} is none of network {profile.network}: its check value is"
                f" {check}, in force is {known}. Ask a city or an auditor of the network for the"
                " file (docs/operating.md, Tag keys)"
            )
        found.append(EpochKey(epochs[check], key))
    return tuple(sorted(found, key=lambda one: one.epoch))


def normal_of(number: Callable[[str], str], typed: str) -> str:
    """Return a number's normal form; raise UsageError with what is wrong with it."""
    try:
        return number(typed)
    except NotNormal as error:
        raise UsageError(f"{typed!r}: {error}") from None


def tag_of(
    keys: Sequence[EpochKey], make: Make, known: Callable[[], Iterable[str]]
) -> tuple[int, bytes]:
    """Return epoch and tag of a number: those that the ledger has of it already, else the newest.

    ``known`` asks for tags on the ledger in hex, which matters only while two epochs overlap.
    """
    if len(keys) > 1:
        seen = frozenset(known())
        for one in keys:
            if make(one.key).hex() in seen:
                return one.epoch, make(one.key)
    newest = keys[-1]
    return newest.epoch, make(newest.key)
