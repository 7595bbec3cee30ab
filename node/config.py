"""A node's configuration file (TOML): what one operator decides for one node."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ledger.encoding.crypto import is_registrable_key
from ledger.encoding.note import KeyType, MalformedKey, VerifierKey, parse_verifier_key

ENTRIES_MAX = 256
"""Peers, and observers, that one configuration may name."""
WITNESSES_MAX = 24
"""Outside witnesses: their lines have to fit into a note beside those of 31 cosigners."""
PORT_MAX = 65_535
PEER_KEYS = ("party", "host", "port", "link_key", "url")
OBSERVER_KEYS = ("name", "link_key")
WITNESS_KEYS = ("key", "url")
KEYS = (
    *("party", "listen_host", "listen_port", "links_per_address_max", "map_bytes"),
    *("peers", "observers", "witnesses"),
)
"""What a file may say; anything else is refused, for it may be a slip of the pen."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_URL = re.compile(r"https?://[!-~]{1,2000}")
_HOST = re.compile(r"[0-9A-Za-z.:_%-]{1,255}")


class ConfigInvalid(ValueError):
    """The configuration cannot be used; the sentence names the key and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """Where another node can be reached."""

    party: str
    host: str
    port: int
    link_key: bytes = b""
    """Its Ed25519 link key; empty for the one that the ledger names."""
    url: str = ""
    """Where its API is, which takes heads to be cosigned (Y11.6); empty if not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverConfig:
    """A node that may link to this one without validating."""

    name: str
    """What it calls itself: its party, if it has one."""
    link_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessConfig:
    """A witness outside the network that is asked to cosign."""

    key: VerifierKey
    url: str
    """Its submission prefix: ``/add-checkpoint`` is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Everything that a node is told at start."""

    party: str
    """The member this node belongs to, or will belong to once the ledger knows it."""
    folder: Path
    """Holds genesis, keys, store, log and signer record."""
    listen_host: str
    listen_port: int
    """0 takes a free one."""
    peers: tuple[PeerConfig, ...]
    observers: tuple[ObserverConfig, ...] = ()
    witnesses: tuple[WitnessConfig, ...] = ()
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
    def next_keys(self) -> Path:
        """Return where keys are that will replace the node's, mode 0600."""
        return self.folder / "node-keys.next.json"

    @property
    def former_keys(self) -> Path:
        """Return where the former log and cosigner keys are, which still sign beside the others."""
        return self.folder / "node-keys.former.json"

    @property
    def store(self) -> Path:
        """Return the folder of the LMDB environment."""
        return self.folder / "store"

    @property
    def signer(self) -> Path:
        """Return where the signer's record is."""
        return self.folder / "signer"

    @property
    def next_signer(self) -> Path:
        """Return where the record of the next consensus key is: made with the key."""
        return self.folder / "signer.next"

    @property
    def stopped(self) -> Path:
        """Return where it stands why this node must not vote before its operator says so."""
        return self.folder / "stopped"

    @property
    def lock(self) -> Path:
        """Return the lock of the folder: it names the process that works there."""
        return self.folder / "pid"

    @property
    def checkpoint(self) -> Path:
        """Return where the head is that was published last (Y9.3)."""
        return self.folder / "checkpoint"

    @property
    def cosigned(self) -> Path:
        """Return where the head is that was cosigned last (Y11.3)."""
        return self.folder / "cosigned"

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
        _require_known(values, KEYS, "")
        return NodeConfig(
            party=_name(values, "party"),
            folder=path.parent,
            listen_host=_host(values, "listen_host"),
            listen_port=_number(values, "listen_port", maximum=PORT_MAX),
            peers=tuple(
                PeerConfig(
                    party=_name(peer, "party"),
                    host=_host(peer, "host"),
                    port=_number(peer, "port", minimum=1, maximum=PORT_MAX),
                    link_key=_key(peer) if "link_key" in peer else b"",
                    url=_url(peer) if "url" in peer else "",
                )
                for peer in _entries(values, "peers", PEER_KEYS)
            ),
            observers=tuple(
                ObserverConfig(name=_name(observer, "name"), link_key=_key(observer))
                for observer in _entries(values, "observers", OBSERVER_KEYS)
            ),
            witnesses=tuple(
                WitnessConfig(key=_verifier_key(witness), url=_url(witness))
                for witness in _entries(values, "witnesses", WITNESS_KEYS, WITNESSES_MAX)
            ),
            links_per_address_max=_number(values, "links_per_address_max", minimum=1),
            map_bytes=_number(values, "map_bytes", minimum=1),
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
        if peer.link_key:
            lines.append(f'link_key = "{peer.link_key.hex()}"')
        if peer.url:
            lines.append(f'url = "{peer.url}"')
    for observer in config.observers:
        lines += [
            "",
            "[[observers]]",
            f'name = "{observer.name}"',
            f'link_key = "{observer.link_key.hex()}"',
        ]
    for witness in config.witnesses:
        lines += ["", "[[witnesses]]", f'key = "{witness.key.text()}"', f'url = "{witness.url}"']
    return "\n".join(lines) + "\n"


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a party or a node."""
    return _NAME.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Return whether a text can be the name or the address of a machine."""
    return _HOST.fullmatch(text) is not None


def _require_known(values: dict[str, object], known: tuple[str, ...], where: str) -> None:
    for name in values:
        if name not in known:
            raise ConfigInvalid(f"{where}{name}: unknown, expected one of {', '.join(known)}")


def _text(values: dict[str, object], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigInvalid(f"{name}: expected a text, got {value!r}")
    return value


def _name(values: dict[str, object], name: str) -> str:
    text = _text(values, name)
    if not is_name(text):
        raise ConfigInvalid(f"{name}: expected small letters, digits and hyphens, got {text!r}")
    return text


def _host(values: dict[str, object], name: str) -> str:
    text = _text(values, name)
    if not is_host(text):
        raise ConfigInvalid(f"{name}: expected the name or address of a machine, got {text!r}")
    return text


def _number(
    values: dict[str, object], name: str, *, minimum: int = 0, maximum: int | None = None
) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigInvalid(f"{name}: expected a whole number, got {value!r}")
    if value < minimum or (maximum is not None and value > maximum):
        bounds = f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"
        raise ConfigInvalid(f"{name}: expected {bounds}, got {value}")
    return value


def _entries(
    values: dict[str, object], name: str, known: tuple[str, ...], most: int = ENTRIES_MAX
) -> list[dict[str, object]]:
    entries = values.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise ConfigInvalid(f"{name}: expected tables under [[{name}]], got {entries!r}")
    if len(entries) > most:
        raise ConfigInvalid(f"{name}: {len(entries)} entries, expected at most {most}")
    for entry in entries:
        _require_known(entry, known, f"[[{name}]] ")
    return entries


def _url(values: dict[str, object]) -> str:
    text = _text(values, "url")
    # What was given is not repeated: an address may hold a secret. Quotes would end the text.
    if not _URL.fullmatch(text) or '"' in text or "\\" in text:
        raise ConfigInvalid("url: expected an address that begins with http:// or https://")
    return text.rstrip("/")


def _verifier_key(values: dict[str, object]) -> VerifierKey:
    text = _text(values, "key")
    try:
        key = parse_verifier_key(text)
    except MalformedKey as error:
        raise ConfigInvalid(f"key: {error}") from None
    if key.type is not KeyType.COSIGNATURE:
        raise ConfigInvalid(f"key: expected a cosigner's key, got the key of a log, {text!r}")
    return key


def _key(values: dict[str, object]) -> bytes:
    text = _text(values, "link_key")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32 or not is_registrable_key(key):
        raise ConfigInvalid(f"link_key: expected a public key as 64 hex digits, got {text!r}")
    return key
