"""Who may link to a node, and the configuration that says a part of it."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from engines.builtin.p2p.link import Peer
from engines.builtin.p2p.roster import Registered, allowed_peers
from ledger.encoding.crypto import public_key, tagged_hash
from ledger.encoding.note import KeyType, VerifierKey
from node.config import (
    ENTRIES_MAX,
    ConfigInvalid,
    NodeConfig,
    ObserverConfig,
    PeerConfig,
    WitnessConfig,
    config_text,
    load_config,
)


def key(name: str) -> bytes:
    """Return the link key of a name."""
    return public_key(tagged_hash("test", name.encode()))


OWN = NodeConfig(
    party="own",
    folder=Path(),
    listen_host="0.0.0.0",
    listen_port=7800,
    peers=(),
    links_per_address_max=2,
    map_bytes=1 << 30,
)


def roster(
    *validators: tuple[str, bytes],
    peers: tuple[PeerConfig, ...] = (),
    observers: tuple[ObserverConfig, ...] = (),
    seen: tuple[bytes, ...] = (),
) -> dict[bytes, str]:
    """Return names by link key."""
    made = allowed_peers(
        replace(OWN, peers=peers, observers=observers),
        Registered(validators=validators, seen=seen),
        key("own"),
    )
    return {peer.link_key: peer.name for peer in made}


def at(party: str, link_key: bytes = b"") -> PeerConfig:
    """Return a peer's configuration."""
    return PeerConfig(party=party, host=f"{party}.example", port=7800, link_key=link_key)


def test_validators_are_peers_and_called_where_the_configuration_says() -> None:
    config = replace(OWN, peers=(at("ada"),))
    validators = (("ada", key("ada")), ("bob", key("bob")), ("own", key("own")))
    assert allowed_peers(config, Registered(validators=validators, seen=()), key("own")) == (
        Peer(name="ada", link_key=key("ada"), host="ada.example", port=7800),
        Peer(name="bob", link_key=key("bob")),
    )


def test_a_peer_without_a_key_that_does_not_validate_is_nobody() -> None:
    assert roster(peers=(at("ada"),)) == {}


def test_a_validator_that_replaces_its_key_has_both_while_both_act() -> None:
    assert roster(("ada", key("ada")), ("ada", key("new"))) == {
        key("ada"): "ada",
        key("new"): "ada",
    }


def test_observers_and_peers_with_a_stated_key_are_let_in() -> None:
    observer = ObserverConfig(name="eve", link_key=key("eve"))
    found = roster(peers=(at("ada", key("ada")),), observers=(observer,))
    assert found == {key("ada"): "ada", key("eve"): "eve"}


def test_a_stated_key_counts_beside_the_ledger_s_for_this_node_may_be_behind() -> None:
    found = roster(("ada", key("ada")), peers=(at("ada", key("new")),))
    assert found == {key("ada"): "ada", key("new"): "ada"}


def test_a_key_that_its_validator_replaced_is_refused_though_the_configuration_states_it() -> None:
    observer = ObserverConfig(name="ada", link_key=key("old"))
    found = roster(
        ("ada", key("ada")),
        peers=(at("ada", key("old")),),
        observers=(observer,),
        seen=(key("old"),),
    )
    assert found == {key("ada"): "ada"}


def test_a_validator_that_was_voted_out_is_let_in_if_it_is_stated() -> None:
    observer = ObserverConfig(name="ada", link_key=key("ada"))
    assert roster(observers=(observer,), seen=(key("ada"),)) == {key("ada"): "ada"}


def test_the_ledger_s_name_of_a_key_stands_above_a_stated_one() -> None:
    observer = ObserverConfig(name="eve", link_key=key("ada"))
    assert roster(("ada", key("ada")), observers=(observer,)) == {key("ada"): "ada"}


def test_an_observer_that_is_named_like_a_validator_is_not_let_in() -> None:
    observers = tuple(ObserverConfig(name=name, link_key=key("eve")) for name in ("ada", "eve"))
    assert roster(("ada", key("ada")), observers=observers[:1]) == {key("ada"): "ada"}
    assert roster(("bob", key("bob")), observers=observers[:1])[key("eve")] == "ada"
    assert roster(("ada", key("ada")), observers=observers)[key("eve")] == "eve"


def test_another_node_of_the_own_party_is_no_peer() -> None:
    observer = ObserverConfig(name="spare", link_key=key("own"))
    assert roster(("own", key("replaced")), observers=(observer,)) == {}


def test_a_configuration_is_read_as_it_was_written(tmp_path: Path) -> None:
    config = replace(
        OWN,
        folder=tmp_path,
        peers=(at("ada"), at("bob", key("bob"))),
        observers=(ObserverConfig(name="eve", link_key=key("eve")),),
        witnesses=(
            WitnessConfig(
                key=VerifierKey(
                    name="w.example", type=KeyType.COSIGNATURE, public_key=key("witness")
                ),
                url="https://w.example/tallystick",
            ),
        ),
    )
    path = tmp_path / "node.toml"
    path.write_text(config_text(config), encoding="utf-8")
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("claim", "text", "names"),
    [
        ("an observer needs a key", '[[observers]]\nname = "eve"\n', "link_key"),
        ("a key is hex", '[[observers]]\nname = "eve"\nlink_key = "xyz"\n', "link_key"),
        ("a key is a point", f'[[observers]]\nname = "e"\nlink_key = "{"00" * 32}"\n', "link_key"),
        ("an observer has a name", f'[[observers]]\nlink_key = "{key("eve").hex()}"\n', "name"),
        ("observers are tables", 'observers = ["eve"]\n', "observers"),
        ("a peer's key is a text", '[[peers]]\nparty="a"\nhost="h"\nport=1\nlink_key=1\n', "link"),
        ("a party has a name", '[[peers]]\nparty="A b"\nhost="h"\nport=1\n', "small letters"),
        ("a host is one", '[[peers]]\nparty="a"\nhost="a b"\nport=1\n', "a machine, got 'a b'"),
        ("a port is not 0", '[[peers]]\nparty="a"\nhost="h"\nport=0\n', "port: .* 1 to 65535"),
        ("nor above", '[[peers]]\nparty="a"\nhost="h"\nport=65536\n', "port: .* got 65536"),
        ("a slip", "link_per_address = 2\n", "link_per_address: unknown, expected one of party"),
        ("in a table", '[[peers]]\nparty="a"\nhots="h"\nport=1\n', r"\[\[peers\]\] hots: unknown"),
        ("or its name", f'[[observer]]\nname="e"\nlink_key="{key("e").hex()}"\n', "observer: un"),
        ("a slip", 'folder = "/"\n', "folder: unknown, expected one of party"),
        ("a name is a text", '[[peers]]\nparty=1\nhost="h"\nport=1\n', "small letters.*, got 1"),
        ("and whole", '[[peers]]\nparty="a\\n"\nhost="h"\nport=1\n', r"party: .*, got 'a\\n'"),
        ("a port is a number", '[[peers]]\nparty="a"\nhost="h"\nport="1"\n', "port: .* got '1'"),
        ("and whole", '[[peers]]\nparty="a"\nhost="h"\nport=1.0\n', "port: .*, got 1.0"),
        ("no flag", '[[peers]]\nparty="a"\nhost="h"\nport=true\n', "port: .*, got True"),
        ("a key is a text", '[[peers]]\nparty="a"\nhost="h"\nport=1\nlink_key=""\n', "got ''"),
        ("peers are many", "peers = 7\n", r"peers: expected at most 256 .* \[\[peers\]\], got 7"),
        ("peers are tables", "peers = [7]\n", r"\[\[peers\]\] expected a table, got 7"),
        ("a witness has a key", '[[witnesses]]\nurl="http://w"\n', "key: .*, got nothing"),
        ("and a real one", '[[witnesses]]\nurl="http://w"\nkey="w"\n', "key: "),
        ("or none", '[[witnesses]]\nurl="http://w"\nkey={name="w"}\n', "key: expected a cos"),
        ("there is a limit", '[[peers]]\nparty="a"\nhost="h"\nport=1\n' * (ENTRIES_MAX + 1), "257"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, claim: str, text: str, names: str
) -> None:
    path = tmp_path / "node.toml"
    rest = config_text(replace(OWN, folder=tmp_path))
    path.write_text(rest + text if text.startswith("[[") else text + rest, encoding="utf-8")
    with pytest.raises(ConfigInvalid, match=names) as refusal:
        load_config(path)
    assert str(refusal.value).startswith(f"{path}: "), "the file is named"


def test_what_is_missing_or_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    text = config_text(replace(OWN, folder=tmp_path))
    path.write_text(text.replace("map_bytes", "# map_bytes"))
    with pytest.raises(ConfigInvalid, match=r"map_bytes: expected a whole number, .* got nothing"):
        load_config(path)
    path.write_text(text.replace(f"map_bytes = {OWN.map_bytes}", "map_bytes = 0"))
    with pytest.raises(ConfigInvalid, match=r"map_bytes: expected .* at least 1, got 0"):
        load_config(path)
    path.write_text('party = "again"\n' + text)
    with pytest.raises(ConfigInvalid, match=str(path)):
        load_config(path)


@pytest.mark.parametrize("url", ["ftp://secret", "http://", "https://a b/secret", 'http://a\\"b'])
def test_an_address_that_is_none_is_not_repeated(tmp_path: Path, url: str) -> None:
    path = tmp_path / "node.toml"
    peer = f'[[peers]]\nparty = "a"\nhost = "h"\nport = 1\nurl = "{url}"\n'
    path.write_text(config_text(replace(OWN, folder=tmp_path)) + peer, encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="url: expected an address that begins") as refusal:
        load_config(path)
    assert "secret" not in str(refusal.value)


def test_an_address_ends_without_a_slash(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    peer = '[[peers]]\nparty = "a"\nhost = "h"\nport = 1\nurl = "http://a/log//"\n'
    path.write_text(config_text(replace(OWN, folder=tmp_path)) + peer, encoding="utf-8")
    assert load_config(path).peers[-1].url == "http://a/log"


def test_a_port_to_listen_at_is_one(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(config_text(replace(OWN, folder=tmp_path, listen_port=70_000)))
    with pytest.raises(ConfigInvalid, match="listen_port: expected 0 to 65535, got 70000"):
        load_config(path)
