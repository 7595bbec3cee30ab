"""``tally node``: what an operator does with a node's folder."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engines.builtin.signer import SignerDamaged, SignRequest
from ledger.encoding.crypto import public_key, sign, tagged_hash
from ledger.genesis import log_id_of, parse_genesis
from ledger.rules.parties import proof_message
from localnet.facts import load_facts, member_plans
from localnet.network import LocalNetwork
from node.build import LOG_KEY_NAMES, load_keys, load_signer, start_node, validators_of
from node.commands.node import group
from node.config import ConfigInvalid, ObserverConfig, PeerConfig, load_config
from node.lock import FolderInUse, held
from node.scrub import StoreRotten
from node.stopped import forget_stop, read_stop, remember_stop
from tally.exits import KeyTrouble, NotFound, UsageError

HANG_GUARD_S = 30
ROOT = Path(__file__).resolve().parent.parent.parent
KEY = public_key(tagged_hash("test", b"peer"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the genesis of another party's network, keys and a configuration."""
    plans = member_plans(load_facts())[:1]
    network = LocalNetwork.create(
        tmp_path / "net", name="dev-test", plans=plans, validators=[plans[0].party]
    )
    (tmp_path / "genesis.bin").write_bytes(network.genesis)
    done(tmp_path, "init")
    done(
        tmp_path,
        *("config", "--party", "newcomer", "--genesis", str(tmp_path / "genesis.bin")),
        *("--peer", "ada=ada.example:7800", "--peer", f"bob=bob.example:7801,{KEY.hex()}"),
        *("--observer", f"eve={KEY.hex()}"),
    )
    return tmp_path


def tried(folder: Path, *arguments: str) -> Result:
    """Return how a command went."""
    return CliRunner().invoke(group, [*arguments, "--folder", str(folder)])


def done(folder: Path, *arguments: str) -> None:
    """Run a command that must succeed."""
    result = tried(folder, *arguments)
    assert result.exit_code == 0, (result.output, result.exception)


def test_a_party_that_genesis_does_not_know_gets_a_configuration(folder: Path) -> None:
    config = load_config(folder / "node.toml")
    assert config.party == "newcomer"
    assert config.peers == (
        PeerConfig(party="ada", host="ada.example", port=7800),
        PeerConfig(party="bob", host="bob.example", port=7801, link_key=KEY),
    )
    assert config.observers == (ObserverConfig(name="eve", link_key=KEY),)


@pytest.mark.parametrize(
    "words",
    [
        ("--observer", "eve"),
        ("--observer", "eve=12"),
        ("--observer", "eve=" + "00" * 32),
        ("--peer", "ada=ada.example:7800,xyz"),
        ("--peer", "Ada Lovelace=ada.example:7800"),
        ("--peer", "ada=ada.example:0"),
        ("--peer", "ada=ada.example:65536"),
        ("--peer", 'ada=a"b:7800'),
        ("--observer", f"Eve={KEY.hex()}"),
        ("--listen", "0.0.0.0:78000"),
    ],
)
def test_what_is_no_name_no_port_and_no_key_is_refused(
    folder: Path, words: tuple[str, str]
) -> None:
    before = (folder / "node.toml").read_bytes()
    genesis = str(folder / "genesis.bin")
    arguments = ("config", "--replace", "--party", "newcomer", "--genesis", genesis)
    result = tried(folder, *arguments, *words)
    assert isinstance(result.exception, UsageError)
    assert "expected" in str(result.exception), "it names what was expected"
    assert (folder / "node.toml").read_bytes() == before


def test_a_party_that_is_none_is_refused(folder: Path) -> None:
    words = ("config", "--replace", "--genesis", str(folder / "genesis.bin"))
    result = tried(folder, *words, "--party", 'new"comer')
    assert isinstance(result.exception, UsageError)
    assert "--party: expected a name" in str(result.exception)


def test_a_peer_that_nobody_knows_needs_its_key(folder: Path) -> None:
    genesis = ("--genesis", str(folder / "genesis.bin"))
    words = ("config", "--replace", "--party", "newcomer", *genesis)
    unknown = tried(folder, *words, "--peer", "ada=ada.example:7800")
    assert "--peer ada=ada.example:7800,KEY" in unknown.output
    stated = tried(folder, *words, "--peer", f"ada=ada.example:7800,{KEY.hex()}")
    assert "KEY" not in stated.output


def test_an_observer_may_not_take_a_validator_s_name(folder: Path) -> None:
    genesis = folder / "genesis.bin"
    ((party, key),) = validators_of(parse_genesis(genesis.read_bytes())).items()
    words = ("config", "--replace", "--party", "newcomer", "--genesis", str(genesis))
    result = tried(folder, *words, "--observer", f"{party}={KEY.hex()}")
    assert isinstance(result.exception, UsageError)
    assert f"genesis has {party} as a validator" in str(result.exception)
    done(folder, *words, "--observer", f"{party}={key.hex()}")


def test_new_keys_come_with_their_record_and_take_over_when_they_are_used(folder: Path) -> None:
    config = load_config(folder / "node.toml")
    old = load_keys(config.keys)
    done(folder, "keys", "new")
    assert load_keys(config.keys) == old, "nothing has changed yet"
    new = load_keys(config.next_keys)
    assert not new.items() & old.items()
    assert config.next_keys.stat().st_mode & 0o777 == 0o600
    assert isinstance(tried(folder, "keys", "new").exception, UsageError), "they are waited for"
    shown = tried(folder, "keys", "prove").output
    log_id = log_id_of(config.genesis.read_bytes())
    for seed in new.values():
        key = public_key(seed)
        assert key.hex() in shown
        assert sign(seed, proof_message(log_id, config.party, key)).hex() in shown
    assert isinstance(tried(folder, "keys", "use").exception, UsageError), "nobody to ask"
    used = tried(folder, "keys", "use", "--yes")
    assert "[[observers]] or [[peers]], must list the new one" in used.output
    assert public_key(new["link"]).hex() in used.output
    heir = load_signer(config, load_keys(config.keys)["consensus"])
    assert heir.public_key == public_key(new["consensus"])
    assert isinstance(
        heir.sign(SignRequest(epoch=0, height=1, round=0, step=0, message=b"m")), bytes
    )
    heir.close()
    assert isinstance(tried(folder, "keys", "use", "--yes").exception, NotFound)


def test_former_log_keys_go_on_beside_the_new_ones_until_they_are_forgotten(folder: Path) -> None:
    config = load_config(folder / "node.toml")
    first = load_keys(config.keys)
    for _ in range(2):
        old = load_keys(config.keys)
        done(folder, "keys", "new")
        done(folder, "keys", "use", "--yes")
        former = load_keys(config.former_keys, LOG_KEY_NAMES)
        assert former == {name: old[name] for name in ("log", "cosigner")}
        assert config.former_keys.stat().st_mode & 0o777 == 0o600
    assert former["log"] != first["log"], "only the last ones are kept"
    done(folder, "keys", "forget")
    assert not config.former_keys.exists()
    assert isinstance(tried(folder, "keys", "forget").exception, NotFound)


COMMANDS = {
    "start": ("start",),
    "fetch": ("fetch", "--from", "http://127.0.0.1:9"),
    "heal": ("heal", "--yes"),
    "keys use": ("keys", "use", "--yes"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_one_process_at_a_time_works_in_a_folder(folder: Path, name: str) -> None:
    done(folder, "keys", "new")
    config = load_config(folder / "node.toml")
    config.store.mkdir()
    before = sorted(path.name for path in folder.iterdir())
    with held(config.lock):
        result = tried(folder, *COMMANDS[name])
    assert isinstance(result.exception, UsageError)
    assert f"is in use by process {os.getpid()}" in str(result.exception)
    assert sorted({path.name for path in folder.iterdir()} - {"pid"}) == before


def test_a_node_in_a_folder_in_use_says_so_in_a_sentence(folder: Path) -> None:
    config = load_config(folder / "node.toml")
    with held(config.lock):
        ran = subprocess.run(
            [sys.executable, "-m", "node", "--config", str(folder / "node.toml")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=HANG_GUARD_S,
        )
    assert ran.returncode == 1
    assert f"{folder.resolve()} is in use by process {os.getpid()}" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_lock_of_a_folder_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from node.lock import held\n"
        "with held(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "pid")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(FolderInUse, match=f"by process {process.pid}"), held(tmp_path / "pid"):
            pass
        process.kill()
        process.wait(HANG_GUARD_S)
    with held(tmp_path / "pid"):
        assert int((tmp_path / "pid").read_text()) == os.getpid()
    assert (tmp_path / "pid").read_text() == "", "a process that has ended gets no signals"


def test_keys_are_not_made_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = tried(tmp_path / "file" / "node", "init")
    assert isinstance(result.exception, UsageError)
    assert "can't make keys in" in str(result.exception)
    assert "Not a directory" in str(result.exception)


@pytest.mark.parametrize("text", ["", "[]", "{}", "5", "\u00e9", '{"consensus": "00"}', None])
def test_broken_keys_are_named_and_not_repeated(folder: Path, text: str | None) -> None:
    path = folder / "node-keys.json"
    seed = load_keys(path)["consensus"].hex()
    path.write_text(text if text is not None else json.dumps({"consensus": seed}))
    words = ("config", "--replace", "--party", "newcomer")
    result = tried(folder, *words, "--genesis", str(folder / "genesis.bin"))
    assert isinstance(result.exception, KeyTrouble)
    assert f"{path} is damaged: expected the keys consensus, log" in str(result.exception)
    assert seed not in str(result.exception) + result.output


@pytest.mark.parametrize("kept_bytes", [0, 1, -1])
def test_a_genesis_that_was_cut_off_is_none(folder: Path, kept_bytes: int) -> None:
    path = folder / "genesis.bin"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(ConfigInvalid, match=r"genesis\.bin is not a genesis"):
        asyncio.run(start_node(load_config(folder / "node.toml")))
    fetched = tried(folder, "fetch", "--from", "http://127.0.0.1:9")
    assert "is not a genesis" in str(fetched.exception)


def test_healing_takes_the_reason_away_that_it_mends(folder: Path) -> None:
    config = load_config(folder / "node.toml")
    reasons = {"the node broke off: a fork": True, f"broke off: {StoreRotten('a row')}": False}
    for reason, stays in reasons.items():
        config.store.mkdir()
        remember_stop(config.stopped, reason)
        done(folder, "heal", "--yes")
        assert bool(read_stop(config.stopped)) == stays
        forget_stop(config.stopped)
        config.store.with_name("store.damaged").rmdir()


def test_using_new_keys_can_be_repeated_after_a_crash_in_between(folder: Path) -> None:
    config = load_config(folder / "node.toml")
    done(folder, "keys", "new")
    config.next_signer.replace(config.signer)  # and then the power failed
    done(folder, "keys", "use", "--yes")
    signer = load_signer(config, load_keys(config.keys)["consensus"])
    assert not signer.is_silent
    signer.close()


def test_a_key_whose_record_is_gone_is_silent_at_first(folder: Path) -> None:
    config = load_config(folder / "node.toml")
    config.signer.unlink()
    signer = load_signer(config, load_keys(config.keys)["consensus"])
    assert signer.is_silent
    signer.close()


def test_keys_put_by_hand_do_not_sign(folder: Path) -> None:
    config = load_config(folder / "node.toml")
    load_signer(config, load_keys(config.keys)["consensus"]).close()
    seeds = {name: seed[::-1].hex() for name, seed in load_keys(config.keys).items()}
    config.keys.write_text(json.dumps(seeds))
    with pytest.raises(SignerDamaged, match="another key"):
        load_signer(config, load_keys(config.keys)["consensus"])


def test_only_the_operator_lets_a_stopped_node_vote_again(folder: Path) -> None:
    stopped = load_config(folder / "node.toml").stopped
    assert isinstance(tried(folder, "resume", "--yes").exception, NotFound)
    remember_stop(stopped, "two nodes, one key")
    assert isinstance(tried(folder, "resume").exception, UsageError), "nobody to ask"
    assert read_stop(stopped) == "two nodes, one key"
    done(folder, "resume", "--yes")
    assert read_stop(stopped) == ""


def test_a_configuration_is_not_written_over_unasked(folder: Path) -> None:
    genesis, path = str(folder / "genesis.bin"), folder / "node.toml"
    before = path.read_bytes()
    words = ("config", "--party", "other", "--genesis", genesis)
    result = tried(folder, *words)
    assert isinstance(result.exception, UsageError)
    assert "--replace" in str(result.exception)
    assert path.read_bytes() == before
    done(folder, *words, "--replace")
    assert load_config(path).party == "other"


def test_a_store_keeps_its_ledger(folder: Path, tmp_path: Path) -> None:
    plans = member_plans(load_facts())[1:2]
    other = LocalNetwork.create(
        tmp_path / "other", name="dev-other", plans=plans, validators=[plans[0].party]
    )
    (tmp_path / "other.bin").write_bytes(other.genesis)
    (folder / "store").mkdir()
    before = (folder / "genesis.bin").read_bytes()
    words = ("--party", "newcomer", "--genesis", str(tmp_path / "other.bin"), "--replace")
    result = tried(folder, "config", *words)
    assert isinstance(result.exception, UsageError)
    assert "another ledger" in str(result.exception)
    assert (folder / "genesis.bin").read_bytes() == before


def test_a_folder_without_keys_is_told_how_to_make_them(folder: Path, tmp_path: Path) -> None:
    words = ("config", "--party", "newcomer", "--genesis", str(folder / "genesis.bin"))
    result = tried(tmp_path / "empty", *words)
    assert isinstance(result.exception, NotFound)
    assert "tally node init" in str(result.exception)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "ftp://a.example",
        "http://user:sesame@a.example",
        "http://a.example/?token=sesame",
        "http://a.example/v1",
    ],
)
def test_only_a_plain_address_is_fetched_from_and_no_secret_is_repeated(
    folder: Path, url: str
) -> None:
    result = tried(folder, "fetch", "--from", url)
    assert isinstance(result.exception, UsageError)
    assert "expected http://HOST:PORT" in str(result.exception)
    assert "sesame" not in str(result.exception) + result.output
