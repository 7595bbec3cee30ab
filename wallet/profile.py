"""Profiles: which network, whose log, which nodes. One JSON file each, and one that is the default.

A profile holds the log id, which every signature covers: a wallet can't sign for another network
than the one that its profile names, whatever a node says.
"""

import os
import re
from pathlib import Path

import msgspec

from ledger.devkeys import is_dev
from tally.exits import NotFound, UsageError

PROFILE_BYTES_MAX = 64 * 1024
NODES_MAX = 64
ENVIRONMENT = "TALLY_PROFILE"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LOG_ID = re.compile(r"[0-9a-f]{64}")


class NodeAddress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a node's API answers."""

    name: str
    url: str


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network as this wallet knows it."""

    name: str
    network: str
    """The network's own name, as in its genesis; keys are stored by it."""
    log_id: str
    """32 bytes, hex."""
    nodes: tuple[NodeAddress, ...]
    """The first that answers is asked."""
    dev_seed: str | None
    """A file with the hex seed of all keys of a network for trying things out, or none."""

    @property
    def log_id_bytes(self) -> bytes:
        """Return the log id, 32 bytes."""
        return bytes.fromhex(self.log_id)

    def master(self) -> bytes | None:
        """Return the seed that a dev network's keys come from; None if there is none to have.

        Raises NotFound if the profile names a file that can't be read.
        """
        if self.dev_seed is None or not is_dev(self.network):
            return None
        try:
            return bytes.fromhex(Path(self.dev_seed).read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise NotFound(f"the profile's dev seed {self.dev_seed}: {error}") from None


def config_folder() -> Path:
    """Return where profiles and keys lie: under the XDG configuration folder."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # A relative path there is to be ignored, says the XDG specification.
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".config"
    return root / "tallystick"


def keys_folder(network: str) -> Path:
    """Return where the keys of a network lie."""
    return config_folder() / "keys" / _checked(network, "network")


def save_profile(profile: Profile, *, make_default: bool = False) -> Path:
    """Write a profile over an older one of its name; return its file."""
    check_profile(profile)
    path = _path(profile.name)
    replace_file(path, msgspec.json.format(msgspec.json.encode(profile), indent=2) + b"\n")
    if make_default:
        use_profile(profile.name)
    return path


def check_profile(profile: Profile) -> None:
    """Raise UsageError unless every part of a profile can be what it says."""
    _checked(profile.name, "profile")
    _checked(profile.network, "network")
    if not _LOG_ID.fullmatch(profile.log_id):
        raise UsageError(f"profile {profile.name}: the log id is not 64 hex digits")
    if not 1 <= len(profile.nodes) <= NODES_MAX:
        raise UsageError(f"profile {profile.name}: expected 1 to {NODES_MAX} nodes")
    for node in profile.nodes:
        if not node.url.startswith(("http://", "https://")):
            raise UsageError(f"profile {profile.name}: {node.url!r} is no http address")


def load_profile(name: str | None = None) -> Profile:
    """Return a profile: the named one, else TALLY_PROFILE's, else the default.

    Raises NotFound if there is none, UsageError if its file is damaged.
    """
    wanted = name or os.environ.get(ENVIRONMENT) or default_name()
    if wanted is None:
        raise NotFound(
            "no profile yet: start a network (tally network up) or add one (tally profile add)"
        )
    return _read(_path(wanted))


def list_profiles() -> tuple[Profile, ...]:
    """Return every profile by name."""
    return tuple(_read(path) for path in sorted((config_folder() / "profiles").glob("*.json")))


def use_profile(name: str) -> None:
    """Make a profile the default; raise NotFound if there is none of this name."""
    if not _path(name).is_file():
        raise NotFound(f"there is no profile {name}")
    replace_file(_pointer(), name.encode() + b"\n")


def default_name() -> str | None:
    """Return the name of the default profile, or None."""
    try:
        return _pointer().read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, IsADirectoryError):
        raise UsageError(
            f"{_pointer()} is not the name of a profile: set it with `tally profile use NAME`"
        ) from None


def _pointer() -> Path:
    return config_folder() / "default-profile"


def trust_path(name: str) -> Path:
    """Return where it stands what a profile has learned of its log (``wallet.verified``)."""
    return _path(name).with_suffix(".trust")


def _path(name: str) -> Path:
    return config_folder() / "profiles" / f"{_checked(name, 'profile')}.json"


def _checked(name: str, kind: str) -> str:
    """Return a name that stays within its folder; raise UsageError on any other."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a {kind} name: use a-z, 0-9, '.', '_' and '-'")
    return name


def _read(path: Path) -> Profile:
    try:
        with path.open("rb") as file:
            text = file.read(PROFILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no profile {path.stem}") from None
    try:
        profile: Profile = msgspec.json.decode(text[:PROFILE_BYTES_MAX], type=Profile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a profile: {error}") from None
    check_profile(profile)
    return profile


def replace_file(path: Path, content: bytes) -> None:
    """Write a file durably, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
