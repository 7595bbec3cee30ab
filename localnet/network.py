"""Networks on one machine: real node and API processes on loopback, for trying things out.

Everything of a network lies in one folder: ``network.json``, the dev seed, and a folder per
validator with its configuration, keys, genesis, store and output.
"""

import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from engines.builtin.p2p.link import wall_clock_ms
from engines.builtin.signer import create_signer
from ledger import genesis as genesis_module
from ledger.devkeys import derive, tag_key_of
from ledger.encoding import codec, crypto
from ledger.encoding.normal import tag_key_check
from ledger.genesis import Genesis, log_id_of
from ledger.proofs import NamedKey, Sign
from ledger.rules.calendar import DAY_MS
from ledger.rules.control import Parameters, TagKey
from ledger.rules.governance import Member
from ledger.rules.parties import PartyClass, PartyKey, PartyKind
from ledger.rules.validators import ValidatorKeys
from node.build import KEY_NAMES
from node.config import (
    ConfigInvalid,
    NodeConfig,
    ObserverConfig,
    PeerConfig,
    config_text,
    load_config,
)

HOST = "127.0.0.1"
PORTS = range(10_000, 32_768)
"""Kernels give higher ones to outgoing connections: these would take them from nodes at rest."""
PORT_TRIALS = 1_000
START_S = 30
STOP_S = 5
MAP_BYTES = 16 * 1024**3
LINKS_PER_ADDRESS_MAX = 128
"""All nodes share one address."""
ROOT = Path(__file__).resolve().parent.parent

OFFICERS: dict[str, tuple[str, ...]] = {
    "officer-1": ("budget", "registrar", "review"),
    "officer-2": ("budget", "registrar", "review"),
    "officer-3": ("bank", "mint", "pay"),
    "officer-4": ("bank", "mint", "pay"),
}
"""Four officers suffice: nobody holds budget and mint, nor review and pay."""


class NetworkProblem(Exception):
    """A local network cannot do what was asked; the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A member to be: genesis gets its derived keys."""

    party: str
    kind: PartyKind
    party_class: PartyClass
    name: str
    region: str


@dataclass(slots=True, kw_only=True)
class NodePlace:
    """Where a validator's two processes are."""

    party: str
    link_port: int = 0
    api_port: int = 0
    node_pid: int = 0
    api_pid: int = 0
    link_key: str = ""
    """In hex, of one that joined after genesis: the others list it as an observer."""

    @property
    def url(self) -> str:
        """Return the address of its API."""
        return f"http://{HOST}:{self.api_port}"


def officer_seed(network: str, master: bytes, party: str, person: str) -> bytes:
    """Return the key seed of a person on a dev network."""
    return derive(network, master, party, person)


def node_seed(network: str, master: bytes, party: str, name: str) -> bytes:
    """Return one of a validating node's four key seeds on a dev network."""
    return derive(network, master, party, "node", name)


def dev_proof(network: str, master: bytes) -> Sign:
    """Return who proves the derived keys of a dev network; of others nothing holds."""

    def sign(named: NamedKey, message: bytes) -> bytes:
        for seed in (
            officer_seed(network, master, named.party, named.name),
            node_seed(network, master, named.party, named.name),
        ):
            if crypto.public_key(seed) == named.key:
                return crypto.sign(seed, message)
        return bytes(64)

    return sign


def make_member(network: str, master: bytes, plan: Plan, *, validates: bool) -> Member:
    """Return a member with four officers, and a node's keys if it validates."""
    keys = []
    for person, roles in OFFICERS.items():
        public = crypto.public_key(officer_seed(network, master, plan.party, person))
        own_roles = roles if plan.kind == "treasury" else ()
        keys.append(PartyKey(key=public, person=person, roles=own_roles))
    validator: tuple[ValidatorKeys, ...] = ()
    if validates:
        seeds = {name: node_seed(network, master, plan.party, name) for name in KEY_NAMES}
        public_keys = {name: crypto.public_key(seed) for name, seed in seeds.items()}
        validator = (ValidatorKeys(power=1, **public_keys),)
    return Member(
        id=plan.party,
        kind=plan.kind,
        party_class=plan.party_class,
        name=plan.name,
        region=plan.region,
        control_group=(),
        keys=tuple(keys),
        threshold=2 if plan.kind == "treasury" else 1,
        validator=validator,
    )


class LocalNetwork:
    """One network's folder and processes."""

    def __init__(self, folder: Path) -> None:
        """Take up an existing network; raise NetworkProblem if there is none."""
        self.folder = folder
        self.route: Callable[[str, str, int], int] = lambda dialler, listener, port: port
        """The port at which a node dials another: its own, unless a proxy stands between them."""
        try:
            values = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NetworkProblem(f"no network in {folder}") from None
        except (ValueError, OSError) as error:
            raise NetworkProblem(f"{folder / 'network.json'} cannot be read: {error}") from None
        self.name: str = values["name"]
        self.log_id = bytes.fromhex(values["log_id"])
        self.places = {place["party"]: NodePlace(**place) for place in values["places"]}

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        name: str,
        plans: Iterable[Plan],
        validators: Sequence[str],
        heartbeat_ms: int = 60_000,
    ) -> "LocalNetwork":
        """Make a network's folder: genesis, keys, configurations; nothing is started."""
        master = secrets.token_bytes(32)
        check_name(name)
        members = tuple(
            make_member(name, master, plan, validates=plan.party in validators) for plan in plans
        )
        data = codec.encode(
            Genesis(
                version=1,
                network=name,
                time_ms=wall_clock_ms(),
                members=members,
                parameters=plain_parameters(heartbeat_ms, tag_key_of(name, master)),
            )
        )
        genesis_module.parse_genesis(data)
        folder.mkdir(parents=True, mode=0o700)
        _write_secret(folder / "dev-seed", master.hex())
        for party in validators:
            own = folder / party
            own.mkdir(mode=0o700)
            (own / "genesis.bin").write_bytes(data)
            _write_keys(own, {key: node_seed(name, master, party, key) for key in KEY_NAMES})
        places = [NodePlace(party=party) for party in validators]
        _save(folder, name, log_id_of(data), places)
        return cls(folder)

    @property
    def master(self) -> bytes:
        """Return the seed that every key of this network comes from."""
        return bytes.fromhex(str((self.folder / "dev-seed").read_text(encoding="ascii")))

    @property
    def genesis(self) -> bytes:
        """Return the genesis bytes."""
        party = next(iter(self.places))
        return bytes((self.folder / party / "genesis.bin").read_bytes())

    def up(self, *, api: bool = True) -> None:
        """Start every process that does not run; return when all of them answer."""
        running = [place for place in self.places.values() if _is_ours(place.node_pid, "node")]
        if not running:
            self._choose_ports()
        for place in self.places.values():
            self.start(place.party, api=api, wait=False)
        for place in self.places.values():
            self.wait_ready(place.party, api=api)

    def add(self, party: str) -> None:
        """Make a node that genesis does not know, and let the running ones know it.

        It starts as an observer. Its derived keys are those that ``make_member`` gives.
        """
        own = self.folder / party
        own.mkdir(mode=0o700)
        (own / "genesis.bin").write_bytes(self.genesis)
        seeds = {key: node_seed(self.name, self.master, party, key) for key in KEY_NAMES}
        _write_keys(own, seeds)
        place = NodePlace(party=party, link_key=crypto.public_key(seeds["link"]).hex())
        place.link_port, place.api_port = free_ports(2)
        self.places[party] = place
        self.write_configs()
        for other in self.places:
            self.kill(other, signal.SIGHUP)

    def _choose_ports(self) -> None:
        """Take ports that are free now; whatever occupies others does not matter."""
        ports = free_ports(2 * len(self.places))
        for place in self.places.values():
            place.link_port, place.api_port = ports.pop(), ports.pop()
        self.write_configs()

    def write_configs(self) -> None:
        """Tell every node where the others are, and which of them genesis does not know.

        What somebody added to a node's file stays; a file that need not change stays as it is.
        Raises NetworkProblem if one cannot be read.
        """
        for place in self.places.values():
            made = self._config_of(place)
            path = made.folder / "node.toml"
            try:
                present = load_config(path) if path.exists() else None
            except (ConfigInvalid, OSError) as error:
                raise NetworkProblem(str(error)) from None
            wanted = made if present is None else _with_additions(made, present, self.places)
            if present != wanted:
                path.write_text(config_text(wanted), encoding="utf-8")
        self.save()

    def _config_of(self, place: NodePlace) -> NodeConfig:
        """Return what the network itself tells a node."""
        others = [other for other in self.places.values() if other is not place]
        return NodeConfig(
            party=place.party,
            folder=self.folder / place.party,
            listen_host=HOST,
            listen_port=place.link_port,
            peers=tuple(
                PeerConfig(
                    party=other.party,
                    host=HOST,
                    port=self.route(place.party, other.party, other.link_port),
                    url=f"http://{HOST}:{other.api_port}",
                )
                for other in others
                if other.link_port
            ),
            observers=tuple(
                ObserverConfig(name=other.party, link_key=bytes.fromhex(other.link_key))
                for other in others
                if other.link_key
            ),
            links_per_address_max=LINKS_PER_ADDRESS_MAX,
            map_bytes=MAP_BYTES,
        )

    def start(
        self, party: str, *, api: bool = True, wait: bool = True, around: tuple[str, ...] = ()
    ) -> None:
        """Start a validator's processes where they do not run.

        ``around`` is a module that runs ``node`` with something changed, for a traitor.
        """
        place = self.places[party]
        own = self.folder / party
        if not _is_ours(place.node_pid, "node"):
            (own / "port.sock").unlink(missing_ok=True)
            place.node_pid = self._spawn(
                own, "node.out", [*around, "node", "--config", "node.toml"]
            )
        if api and not _is_ours(place.api_pid, "api.serve"):
            place.api_pid = self._spawn(
                own,
                "api.out",
                [
                    "api.serve",
                    *("--store", "store", "--port-socket", "port.sock"),
                    *("--host", HOST, "--listen-port", str(place.api_port)),
                    *("--network", self.name),
                ],
            )
        self.save()
        if wait:
            self.wait_ready(party, api=api)

    def _spawn(self, folder: Path, output: str, arguments: list[str]) -> int:
        """Start ``python -m …`` in a session of its own, so that Ctrl-C reaches only us."""
        environment = dict(os.environ)
        environment["PYTHONPATH"] = str(ROOT)
        with (folder / output).open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _CHILDREN[process.pid] = process
        return process.pid

    def wait_ready(self, party: str, *, api: bool = True) -> None:
        """Return when a validator answers; raise NetworkProblem if it ends or takes too long."""
        place = self.places[party]
        deadline = time.monotonic() + START_S
        waiting = ["node"] + (["api"] if api else [])
        while waiting:
            for name in list(waiting):
                pid = place.node_pid if name == "node" else place.api_pid
                if not _is_alive(pid):
                    raise NetworkProblem(
                        f"{party}'s {name} process ended at its start, with these last words in "
                        f"{self.folder / party / name}.out:\n{self._last_words(party, name)}"
                    )
                if (name == "node" and (self.folder / party / "port.sock").exists()) or (
                    name == "api" and _accepts(place.api_port)
                ):
                    waiting.remove(name)
            if time.monotonic() > deadline:
                raise NetworkProblem(
                    f"{party}'s {' and '.join(waiting)} did not answer within {START_S} s; its "
                    f"output is in {self.folder / party}"
                )
            time.sleep(0.01)

    def tail(self, party: str, lines: int = 5) -> str:
        """Return the last lines of a validator's output."""
        return "".join(
            f"{name}.out:\n{self._last_words(party, name, lines)}"
            for name in ("node", "api")
            if (self.folder / party / f"{name}.out").exists()
        )

    def _last_words(self, party: str, name: str, lines: int = 5) -> str:
        text = (self.folder / party / f"{name}.out").read_text(encoding="utf-8", errors="replace")
        return "".join(f"{line}\n" for line in text.splitlines()[-lines:])

    def kill(self, party: str, number: int = signal.SIGKILL, *, api: bool = False) -> None:
        """Send a signal to a validator's node process (and its API process)."""
        place = self.places[party]
        if _is_ours(place.node_pid, "node"):
            os.kill(place.node_pid, number)
            if number == signal.SIGKILL:
                _wait_gone([place.node_pid], STOP_S)
        if api and _is_ours(place.api_pid, "api.serve"):
            os.kill(place.api_pid, number)
            if number == signal.SIGKILL:
                _wait_gone([place.api_pid], STOP_S)

    def down(self) -> None:
        """Stop every process; one that does not within five seconds is killed."""
        pids = []
        for place in self.places.values():
            for pid, module in ((place.api_pid, "api.serve"), (place.node_pid, "node")):
                if _is_ours(pid, module):
                    os.kill(pid, signal.SIGTERM)
                    os.kill(pid, signal.SIGCONT)
                    pids.append(pid)
        for pid in _wait_gone(pids, STOP_S):
            os.kill(pid, signal.SIGKILL)
        _wait_gone(pids, STOP_S)
        for place in self.places.values():
            place.node_pid = place.api_pid = 0
        self.save()

    def runs(self, party: str) -> bool:
        """Return whether a validator's node process runs."""
        return _is_ours(self.places[party].node_pid, "node")

    def is_up(self) -> bool:
        """Return whether any of its processes runs."""
        return any(
            _is_ours(place.node_pid, "node") or _is_ours(place.api_pid, "api.serve")
            for place in self.places.values()
        )

    def remove(self) -> None:
        """Stop the network and delete its folder."""
        self.down()
        shutil.rmtree(self.folder)

    def save(self) -> None:
        """Write down ports and process ids."""
        _save(self.folder, self.name, self.log_id, list(self.places.values()))


def check_name(name: str) -> None:
    """Raise NetworkProblem unless a name can be a local network's."""
    if not re.fullmatch(r"dev-[a-z0-9][a-z0-9-]{0,27}", name):
        raise NetworkProblem(
            f"expected a name such as dev-local (dev-, then small letters and digits), got {name!r}"
        )


def plain_parameters(heartbeat_ms: int, tag_key: bytes) -> Parameters:
    """Return the parameters of a network on one machine, in processes or in one."""
    return Parameters(
        expiry_ahead_max_ms=7 * DAY_MS,
        heartbeat_ms=heartbeat_ms,
        block_bytes_max=2 * 1024 * 1024,
        block_transactions_max=4_000,
        block_rows_max=8_000,
        block_expiries_max=256,
        officers=(),
        tag_keys=(TagKey(epoch=1, check_value=tag_key_check(tag_key)),),
        holder_daily_entries=1_000_000,
        holder_daily_bytes=1024**3,
        member_daily_entries=1_000_000,
        member_daily_bytes=1024**3,
        reserve_min=1,
    )


def _with_additions(made: NodeConfig, present: NodeConfig, own: Collection[str]) -> NodeConfig:
    """Return a network's configuration of a node with what else stands in the node's file."""
    stated = {peer.party: peer.link_key for peer in present.peers}
    return replace(
        made,
        peers=(
            *(replace(peer, link_key=stated.get(peer.party, b"")) for peer in made.peers),
            *(peer for peer in present.peers if peer.party not in own),
        ),
        observers=(
            *made.observers,
            *(observer for observer in present.observers if observer not in made.observers),
        ),
        witnesses=present.witnesses,
        links_per_address_max=present.links_per_address_max,
        map_bytes=present.map_bytes,
    )


_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Processes that this one started: they must be waited for, or they stay as zombies."""


def state_folder() -> Path:
    """Return the folder that holds local networks."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "tallystick" / "networks"


def _save(folder: Path, name: str, log_id: bytes, places: list[NodePlace]) -> None:
    values = {
        "name": name,
        "log_id": log_id.hex(),
        "places": [
            {field: getattr(place, field) for field in NodePlace.__slots__} for place in places
        ],
    }
    draft = folder / "network.json.new"
    draft.write_text(json.dumps(values, indent=1), encoding="utf-8")
    draft.replace(folder / "network.json")


def _write_keys(folder: Path, seeds: dict[str, bytes]) -> None:
    """Write a node's keys, and the record that the consensus key has signed nothing yet."""
    create_signer(folder / "signer", seeds["consensus"]).close()
    text = json.dumps({key: seed.hex() for key, seed in seeds.items()})
    _write_secret(folder / "node-keys.json", text)


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)


def free_ports(count: int) -> list[int]:
    """Return ports that are free at this moment, and that no outgoing connection will take.

    Raises NetworkProblem when none is found.
    """
    dice = random.SystemRandom()
    ports: list[int] = []
    with ExitStack() as held:
        for port in dice.sample(PORTS, PORT_TRIALS):
            if len(ports) == count:
                break
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind((HOST, port))
                ports.append(port)
    if len(ports) < count:
        raise NetworkProblem(f"need {count} free ports from {PORTS[0]} to {PORTS[-1]}")
    return ports


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((HOST, port)) == 0


def _is_alive(pid: int) -> bool:
    child = _CHILDREN.get(pid)
    if child is not None:
        return child.poll() is None
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return False
    return pid > 0 and state != "Z"  # a zombie waits for its parent, but it runs no more


def _is_ours(pid: int, module: str) -> bool:
    """Return whether a process id still belongs to the module that we started under it."""
    if not _is_alive(pid):
        return False
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return pid in _CHILDREN
    return b"-m" in words and module.encode() in words


def _wait_gone(pids: Iterable[int], timeout_s: float) -> list[int]:
    """Wait for processes to end; return those that did not."""
    deadline = time.monotonic() + timeout_s
    left = list(pids)
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if _is_alive(pid)]
        if left:
            time.sleep(0.01)
    return left
