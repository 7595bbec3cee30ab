"""A node's configuration file (TOML): what one operator decides for one node."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


class ConfigInvalid(ValueError):
    """The configuration cannot be used; the sentence names the key and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """Where a validator can be reached."""

    party: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Everything that a node is told at start."""

    party: str
    """The member this node belongs to, as genesis names it."""
    folder: Path
    """Holds genesis, keys, store, log and signer record."""
    listen_host: str
    listen_port: int
    peers: tuple[PeerConfig, ...]
    links_per_address_max: int
    """Links from one address; 2 unless many nodes share one machine."""
    map_bytes: int
    """Size of the sparse store map."""

    @property
    def genesis(self) -> Path:
        """Return where the genesis is."""
        return self.folder / "genesis.bin"

    @property
    def keys(self) -> Path:
        """Return where the node's four key seeds are, mode 0600."""
        return self.folder / "node-keys.json"

    @property
    def store(self) -> Path:
        """Return the folder of the LMDB environment."""
        return self.folder / "store"

    @property
    def signer(self) -> Path:
        """Return where the signer's record is."""
        return self.folder / "signer"

    @property
    def port_socket(self) -> Path:
        """Return where API processes reach the node."""
        return self.folder / "port.sock"


def load_config(path: Path) -> NodeConfig:
    """Return the configuration in a file; raise ConfigInvalid or OSError."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path}: {error}") from None
    try:
        return NodeConfig(
            party=_text(values, "party"),
            folder=path.parent,
            listen_host=_text(values, "listen_host"),
            listen_port=_number(values, "listen_port"),
            peers=tuple(
                PeerConfig(
                    party=_text(peer, "party"), host=_text(peer, "host"), port=_number(peer, "port")
                )
                for peer in values.get("peers", [])
            ),
            links_per_address_max=_number(values, "links_per_address_max"),
            map_bytes=_number(values, "map_bytes"),
        )
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{path}: {error}") from None


def config_text(config: NodeConfig) -> str:
    """Return the file that ``load_config`` reads."""
    lines = [
        f'party = "{config.party}"',
        f'listen_host = "{config.listen_host}"',
        f"listen_port = {config.listen_port}",
        f"links_per_address_max = {config.links_per_address_max}",
        f"map_bytes = {config.map_bytes}",
    ]
    for peer in config.peers:
        lines += [
            "",
            "[[peers]]",
            f'party = "{peer.party}"',
            f'host = "{peer.host}"',
            f"port = {peer.port}",
        ]
    return "\n".join(lines) + "\n"


def _text(values: dict[str, object], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigInvalid(f"{name}: expected a text, got {value!r}")
    return value


def _number(values: dict[str, object], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigInvalid(f"{name}: expected a whole number, got {value!r}")
    return value
