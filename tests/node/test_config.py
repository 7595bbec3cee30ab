"""The largest and the least that a configuration may say, and keys that are almost right."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger.encoding.note import KeyType, VerifierKey
from node.build import KEY_NAMES, LOG_KEY_NAMES, load_genesis, load_keys
from node.config import (
    ConfigInvalid,
    NodeConfig,
    PeerConfig,
    WitnessConfig,
    config_text,
    load_config,
)
from tests.builders import key


def config_at(folder: Path) -> NodeConfig:
    return NodeConfig(
        party="shanghai",
        folder=folder,
        listen_host="127.0.0.1",
        listen_port=0,
        links_per_address_max=1,
        map_bytes=1,
    )


def read_back(config: NodeConfig) -> NodeConfig:
    """Return a configuration as its file is read."""
    path = config.folder / "node.toml"
    path.write_text(config_text(config), encoding="utf-8")
    return load_config(path)


def peer(number: int, *, port: int = 65_535) -> PeerConfig:
    return PeerConfig(party=f"p{number}", host="h", port=port)


def witness(number: int, type_: KeyType = KeyType.COSIGNATURE) -> WitnessConfig:
    public = key(f"w{number}", "cosigner")
    verifier = VerifierKey(name=f"w{number}.example", type=type_, public_key=public)
    return WitnessConfig(key=verifier, url="https://w.example")


def test_the_most_and_the_least_are_read(tmp_path: Path) -> None:
    plain = config_at(tmp_path)
    for config in (
        plain,
        replace(plain, listen_port=65_535),
        replace(plain, peers=(peer(1), peer(2, port=1))),
        replace(plain, peers=tuple(peer(number) for number in range(256))),
        replace(plain, witnesses=tuple(witness(number) for number in range(24))),
    ):
        assert read_back(config) == config


def test_what_is_beyond_them_is_refused(tmp_path: Path) -> None:
    plain = config_at(tmp_path)
    for config, says in (
        (replace(plain, listen_port=-1), "listen_port: expected 0 to 65535"),
        (replace(plain, listen_port=65_536), "listen_port: expected 0 to 65535"),
        (replace(plain, links_per_address_max=0), "links_per_address_max: expected a whole"),
        (replace(plain, peers=tuple(peer(number) for number in range(257))), "got 257"),
        (replace(plain, witnesses=tuple(witness(number) for number in range(25))), "got 25"),
        (replace(plain, witnesses=(witness(1, KeyType.ED25519),)), "got the key of a log"),
    ):
        with pytest.raises(ConfigInvalid, match=says):
            read_back(config)


def test_a_configuration_that_is_no_toml_or_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    for data in (b"party", b"\xff"):
        path.write_bytes(data)
        with pytest.raises(ConfigInvalid, match=str(path)):
            load_config(path)


@pytest.mark.parametrize("names", [KEY_NAMES, LOG_KEY_NAMES])
def test_keys_are_those_that_are_expected_and_no_others(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    path = tmp_path / "keys.json"
    whole = dict.fromkeys(names, "00" * 32)
    for keys, is_right in (
        (whole, True),
        (whole | {"another": "00" * 32}, False),
        (whole | {names[-1]: "00" * 31}, False),
        (whole | {names[0]: "00" * 33}, False),
        ({name: whole[name] for name in names[1:]}, False),
    ):
        path.write_text(json.dumps(keys))
        if is_right:
            assert load_keys(path, names) == {name: bytes(32) for name in names}
            continue
        with pytest.raises(ConfigInvalid, match="is damaged"):
            load_keys(path, names)
    with pytest.raises(ConfigInvalid, match="cannot be read: No such file"):
        load_keys(tmp_path / "none", names)


def test_a_genesis_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"genesis\.bin cannot be read: No such file"):
        load_genesis(tmp_path / "genesis.bin")
