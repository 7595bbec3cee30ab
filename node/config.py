"""A node's configuration file (TOML): what one operator decides for one node."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, inspect

from ledger.encoding.crypto import is_registrable_key
from ledger.encoding.note import KeyType, MalformedKey, VerifierKey, parse_verifier_key

ENTRIES_MAX = 256
"""Peers, and observers, that one configuration may name."""
WITNESSES_MAX = 24
"""Outside witnesses: their lines have to fit into a note beside those of 31 cosigners."""
PORT_MAX = 65_535
_NAME = r"[a-z0-9][a-z0-9-]{0,31}"
_HOST = r"[0-9A-Za-z.:_%-]{1,255}"
_URL = r"""https?://(?!.*["\\])[!-~]{1,2000}"""
"""Without quotes and backslashes: they would end the text in the file."""

Name = Annotated[
    str, Meta(pattern=rf"\A{_NAME}\Z", description="small letters, digits and hyphens")
]
Host = Annotated[str, Meta(pattern=rf"\A{_HOST}\Z", description="the name or address of a machine")]
Url = Annotated[
    str,
    Meta(
        pattern=rf"\A{_URL}\Z",
        description="an address that begins with http:// or https://",
        extra={"may_be_secret": True},
    ),
]
ListenPort = Annotated[int, Meta(ge=0, le=PORT_MAX, description=f"0 to {PORT_MAX}")]
Port = Annotated[int, Meta(ge=1, le=PORT_MAX, description=f"1 to {PORT_MAX}")]
Positive = Annotated[int, Meta(ge=1, description="a whole number, at least 1")]
LinkKey = Annotated[bytes, Meta(description="a public key as 64 hex digits")]
Cosigner = Annotated[VerifierKey, Meta(description="a cosigner's key as name+id+key")]


class ConfigInvalid(ValueError):
    """The configuration cannot be used; the sentence names the key and what was expected."""


class PeerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where another node can be reached."""

    party: Name
    host: Host
    port: Port
    link_key: LinkKey = b""
    """Its Ed25519 link key; empty for the one that the ledger names."""
    url: Url = ""
    """Where its API is, which takes heads to be cosigned (Y11.6); empty if not known."""


class ObserverConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node that may link to this one without validating."""

    name: Name
    """What it calls itself: its party, if it has one."""
    link_key: LinkKey


class WitnessConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A witness outside the network that is asked to cosign."""

    key: Cosigner
    url: Url
    """Its submission prefix: ``/add-checkpoint`` is added."""


def _tables(name: str, most: int) -> Meta:
    """Return the bound of a list of tables in the file."""
    return Meta(max_length=most, description=f"at most {most} tables under [[{name}]]")


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a node is told at start."""

    party: Name
    """The member this node belongs to, or will belong to once the ledger knows it."""
    folder: Path
    """Holds genesis, keys, store, log and signer record: where the file is."""
    listen_host: Host
    listen_port: ListenPort
    """0 takes a free one."""
    links_per_address_max: Positive
    """Links from one address; 2 unless many nodes share one machine."""
    map_bytes: Positive
    """Size of the sparse store map."""
    peers: Annotated[tuple[PeerConfig, ...], _tables("peers", ENTRIES_MAX)] = ()
    observers: Annotated[tuple[ObserverConfig, ...], _tables("observers", ENTRIES_MAX)] = ()
    witnesses: Annotated[tuple[WitnessConfig, ...], _tables("witnesses", WITNESSES_MAX)] = ()

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


_TABLES: dict[str, type[msgspec.Struct]] = {
    "peers": PeerConfig,
    "observers": ObserverConfig,
    "witnesses": WitnessConfig,
}


def load_config(path: Path) -> NodeConfig:
    """Return the configuration in a file; raise ConfigInvalid or OSError."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path}: {error}") from None
    try:
        if "folder" in values:
            raise msgspec.ValidationError("unknown field `folder`")
        _read_keys(values)
        given = values | {"folder": path.parent}
        return msgspec.convert(given, NodeConfig, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"{path}: {_explained(error, values)}") from None
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{path}: {error}") from None


def config_text(config: NodeConfig) -> str:
    """Return the file that ``load_config`` reads."""
    lines = [*_lines(config)]
    for name in _TABLES:
        for table in getattr(config, name):
            lines += ["", f"[[{name}]]", *_lines(table)]
    return "\n".join(lines) + "\n"


def _lines(shape: msgspec.Struct) -> Iterator[str]:
    for name in _fields(type(shape)):
        match getattr(shape, name):
            case "" | b"" | tuple():
                pass
            case int(number):
                yield f"{name} = {number}"
            case bytes(key):
                yield f'{name} = "{key.hex()}"'
            case VerifierKey() as key:
                yield f'{name} = "{key.text()}"'
            case text:
                yield f'{name} = "{text}"'


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a party or a node."""
    return re.fullmatch(_NAME, text) is not None


def is_host(text: str) -> bool:
    """Return whether a text can be the name or the address of a machine."""
    return re.fullmatch(_HOST, text) is not None


def _read_keys(values: dict[str, Any]) -> None:
    """Make keys of the texts that they are in the file; what is none is left for its refusal."""
    for name, field, read in (
        ("peers", "link_key", _link_key),
        ("observers", "link_key", _link_key),
        ("witnesses", "key", _verifier_key),
        ("peers", "url", _prefix),
        ("witnesses", "url", _prefix),
    ):
        tables = values.get(name)
        for table in tables if isinstance(tables, list) else ():
            if isinstance(table, dict) and field in table:
                table[field] = read(table[field])


def _link_key(text: object) -> object:
    try:
        key = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return text
    return key if is_registrable_key(key) else text


def _verifier_key(text: object) -> object:
    if not isinstance(text, str):
        return None
    try:
        key = parse_verifier_key(text)
    except MalformedKey as error:
        raise ConfigInvalid(f"[[witnesses]] key: {error}") from None
    if key.type is not KeyType.COSIGNATURE:
        raise ConfigInvalid(
            f"[[witnesses]] key: expected a cosigner's key, got the key of a log, {text!r}"
        )
    return key


def _prefix(text: object) -> object:
    return text.rstrip("/") if isinstance(text, str) else text


def _explained(error: msgspec.ValidationError, values: dict[str, Any]) -> str:
    """Return an error as an operator reads it: the key, what was expected and what came."""
    complaint, _, place = str(error).partition(" - at `$")
    shape, got, where = _fields(NodeConfig), values, ""
    table = re.match(r"\.(\w+)\[(\d+)\]", place)
    if table is not None:
        name, number = table[1], int(table[2])
        shape, got, where = _fields(_TABLES[name]), values[name][number], f"[[{name}]] "
        place = place[table.end() :]
    named = re.search(r"field `(.+)`", complaint)
    if named is not None and named[1] not in shape:
        return f"{where}{named[1]}: unknown, expected one of {', '.join(shape)}"
    name = place.strip(".`") if named is None else named[1]
    if not name:
        return f"{where}expected a table, got {got!r}"
    about = shape[name]
    assert isinstance(about, inspect.Metadata) and about.extra_json_schema is not None
    sentence = f"{where}{name}: expected {about.extra_json_schema['description']}"
    if about.extra is not None:
        return sentence  # an address may hold a secret: what was given is not repeated
    if name not in got:
        return f"{sentence}, got nothing"
    value = got[name]
    return f"{sentence}, got {len(value) if isinstance(value, list) else repr(value)}"


def _fields(shape: type[msgspec.Struct]) -> dict[str, inspect.Type]:
    """Return what a table of the file may hold."""
    described = inspect.type_info(shape)
    assert isinstance(described, inspect.StructType)
    return {field.name: field.type for field in described.fields if field.name != "folder"}
