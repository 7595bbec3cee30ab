"""``tally network``: what it keeps, what it refuses, and what it says when a node cannot start."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from ledger.encoding.crypto import public_key, tagged_hash
from localnet.commands.network import group, take_profile
from localnet.facts import load_facts, member_plans, validators_for
from localnet.network import LocalNetwork, NetworkProblem, free_ports, state_folder
from node.config import NodeConfig, ObserverConfig, PeerConfig, config_text, load_config
from tally.exits import Exit, NotFound, TallyError, UsageError
from wallet.profile import NodeAddress, Profile, default_name, save_profile

NAME = "dev-test"
KEY = public_key(tagged_hash("test", b"eve"))
EVE = ObserverConfig(name="eve", link_key=KEY)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalNetwork]:
    """A network of two validators that was never started."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    facts = load_facts()
    made = LocalNetwork.create(
        state_folder() / NAME,
        name=NAME,
        plans=member_plans(facts),
        validators=validators_for(4, facts)[:2],
    )
    give_ports(made)
    yield made
    made.down()


def give_ports(network: LocalNetwork) -> None:
    """Choose ports that are free now, as each start of a network does."""
    for place in network.places.values():
        place.link_port, place.api_port = free_ports(2)
    network.write_configs()


def tried(*arguments: str) -> Result:
    """Return how a command went."""
    return CliRunner().invoke(group, arguments)


def config_of(network: LocalNetwork, party: str) -> NodeConfig:
    """Return what a node's file says."""
    return load_config(network.folder / party / "node.toml")


def test_what_an_operator_added_to_a_configuration_outlives_new_ports(
    network: LocalNetwork,
) -> None:
    party, other = network.places
    before = config_of(network, party)
    there = PeerConfig(party="ada", host="ada.example", port=7800, link_key=KEY)
    stated = tuple(replace(peer, link_key=KEY) for peer in before.peers)
    added = replace(before, peers=(*stated, there), observers=(EVE,), map_bytes=1 << 30)
    path = before.folder / "node.toml"
    path.write_text(config_text(added) + "# a remark\n", encoding="utf-8")
    network.write_configs()
    assert path.read_text(encoding="utf-8").endswith("# a remark\n"), "nothing had to change"
    give_ports(network)
    after = config_of(network, party)
    assert (after.listen_port, after.peers[0].port) == (
        network.places[party].link_port,
        network.places[other].link_port,
    )
    assert after.listen_port != before.listen_port
    assert (after.peers[0].link_key, after.peers[1]) == (KEY, there)
    assert (after.observers, after.map_bytes) == ((EVE,), 1 << 30)


def test_a_newcomer_is_told_to_all_and_stands_once_in_each_file(network: LocalNetwork) -> None:
    party, _ = network.places
    network.add("chengdu-aicc-2")
    give_ports(network)
    newcomer = network.places["chengdu-aicc-2"]
    config = config_of(network, party)
    assert [one.name for one in config.observers] == ["chengdu-aicc-2"]
    ports = {peer.party: peer.port for peer in config.peers}
    assert ports["chengdu-aicc-2"] == newcomer.link_port
    assert len(ports) == len(config.peers) == 2


def test_a_configuration_that_cannot_be_read_is_named_and_left_alone(network: LocalNetwork) -> None:
    party, _ = network.places
    path = network.folder / party / "node.toml"
    path.write_text("observers = 5\n")
    with pytest.raises(NetworkProblem, match=rf"{party}/node\.toml: "):
        network.write_configs()
    assert path.read_text() == "observers = 5\n"


def test_a_node_that_dies_at_its_start_is_named_with_its_file_and_its_last_words(
    network: LocalNetwork,
) -> None:
    party, _ = network.places
    (network.folder / party / "node-keys.json").write_text("junk")
    healed = tried("chaos", "heal", party, "--name", NAME)
    assert isinstance(healed.exception, TallyError)
    assert healed.exception.code == Exit.INTERNAL
    sentence = str(healed.exception)
    assert sentence.startswith(f"{party}'s node process ended at its start")
    assert str(network.folder / party / "node.out") in sentence
    assert "node-keys.json is damaged" in sentence
    assert "Traceback" not in sentence
    tried("down", "--name", NAME)  # its API, which stays up and reads
    up = tried("up", "--name", NAME, "--detach")
    assert f"{party}'s node process ended at its start" in str(up.exception)
    assert not LocalNetwork(network.folder).is_up(), "the other one does not stay behind"


def test_a_network_cannot_both_stop_and_stay(network: LocalNetwork) -> None:
    result = tried("up", "--demo", "--once", "--detach")
    assert isinstance(result.exception, UsageError)
    assert "--once stops the network, --detach leaves it" in str(result.exception)
    assert sorted(path.name for path in state_folder().iterdir()) == [NAME], "nothing was made"


def test_what_is_said_of_a_network_names_it(network: LocalNetwork) -> None:
    place = next(iter(network.places.values()))
    # What a running node looks like from outside.
    program = [sys.executable, "-c", "import sys; sys.stdin.read()", "-m", "node"]
    with subprocess.Popen(program, stdin=subprocess.PIPE) as process:
        place.node_pid = process.pid
        network.save()
        result = tried("up", "--name", NAME)
        assert f"`tally network down --name {NAME}`" in str(result.exception)
        assert tried("down", "--name", NAME).exit_code == 0
    missing = tried("down", "--name", "dev-other")
    assert isinstance(missing.exception, NotFound)
    assert "dev-other" in str(missing.exception)


def test_the_profile_that_a_start_takes_the_place_of_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    local = Profile(
        name=NAME,
        network=NAME,
        log_id="ab" * 32,
        nodes=(NodeAddress(name="shanghai", url="http://127.0.0.1:1"),),
        dev_seed=None,
    )
    told = f"the wallet's profile {NAME} names its nodes, and is the default now"
    assert take_profile(local) == told, "there was none"
    assert take_profile(local) == told, "it was this one"
    save_profile(replace(local, name="national"), make_default=True)
    assert take_profile(local) == f"{told}; `tally profile use national` brings back national"
    assert default_name() == NAME
