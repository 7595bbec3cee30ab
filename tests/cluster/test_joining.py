"""Members come and go on real processes: a newcomer, a replaced key, seven, ten, and back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from engines.builtin.messages import decode_commit
from ledger.encoding import crypto
from ledger.rules.governance import Action, Admit, Member, Propose, SetValidator, Vote
from ledger.rules.validators import ValidatorKeys
from ledger.store.lmdb_store import LmdbReader
from localnet.facts import DEMO_VALIDATORS, load_facts, member_plans, validators_for
from localnet.network import ROOT, LocalNetwork, Plan, free_ports, make_member
from node.build import load_keys
from tests.cluster.support import PATIENCE_S, Cluster

pytestmark = pytest.mark.cluster

STRANGERS = 'tallystick_peer_faults{peer=""}'
NEWCOMER = "chengdu-aicc-2"
LOAD_PAUSE_S = 0.1
"""A light load: about ten transfers a second."""
FIRMS = 4
ACTS_AFTER = 2
"""A change that block H adopts acts at H + 2."""


def plan_of(party: str) -> Plan:
    """A published member, or a second data centre that nobody published."""
    plans = {plan.party: plan for plan in member_plans(load_facts())}
    centre = plans["chengdu-aicc"]
    newcomer = Plan(
        party=NEWCOMER, kind="data_centre", party_class="", name="second", region=centre.region
    )
    return plans.get(party, newcomer)


class Consortium(Cluster):
    """A network whose members vote for real, under a light load."""

    def __init__(self, network: LocalNetwork) -> None:
        super().__init__(network)
        self.members = list(network.places)
        """Whoever votes in governance."""
        self.proposals = 0
        self.final_ids: list[str] = []
        self.failures: list[str] = []
        """What became of transfers that are not final."""
        self._stopping = threading.Event()
        self._load = threading.Thread(target=self._transfer, daemon=True)

    def start_load(self) -> None:
        """Begin to send transfers, without end."""
        self._load.start()

    def stop_load(self) -> None:
        """End the load."""
        self._stopping.set()
        if self._load.is_alive():
            self._load.join()

    def _transfer(self) -> None:
        amount = 0
        while not self._stopping.is_set():
            amount += 1
            signed = self.transfer(amount % FIRMS, (amount + 1) % FIRMS, amount)
            status = "pending"
            while status == "pending":  # handing in again is always safe
                try:
                    status = self.post("guiyang", signed)["status"]
                except (httpx2.TransportError, AssertionError) as error:
                    self.failures.append(str(error))
                    return
            if status == "final":
                self.final_ids.append(signed.id)
            else:
                self.failures.append(f"{signed.id} is {status}")
            time.sleep(LOAD_PAUSE_S)

    def decide(self, action: Action) -> int:
        """Have the members adopt an action; return the height that adopted it."""
        proposer, *others = self.members
        operation = Propose(proposer=proposer, action=action)
        said = self.final(self.sign(operation, *self.who(proposer)))
        self.proposals += 1
        path = f"/v1/governance/proposals/{self.proposals}"
        for voter in others:
            if self.get("shanghai", path)["item"]["status"] == "adopted":
                break
            vote = Vote(voter=voter, proposal=self.proposals, approve=True)
            said = self.final(self.sign(vote, *self.who(voter)))
        assert self.get("shanghai", path)["item"]["status"] == "adopted"
        return int(said[0]["height"])

    def who(self, party: str) -> tuple[tuple[str, str], ...]:
        """Return who signs for a member: two registrars of a treasury, or one of a centre."""
        persons = 2 if plan_of(party).kind == "treasury" else 1
        return tuple((party, f"officer-{number + 1}") for number in range(persons))

    def member(self, party: str) -> Member:
        """Return a member with the keys of its node."""
        network = self.network
        return make_member(network.name, network.master, plan_of(party), validates=True)

    def add(self, party: str) -> None:
        """Start a node that genesis does not know, and wait until it has caught up."""
        self.network.add(party)
        self.network.start(party)
        self.parties.append(party)
        behind = self.head("shanghai").height
        self.until(lambda: self.head(party).height >= behind)
        assert not self.status(party)["validating"]

    def stop(self, party: str) -> None:
        """End a node as its operator does."""
        self.network.kill(party, signal.SIGTERM)
        self.until(lambda: not self.network.runs(party))

    def restart(self, party: str) -> None:
        """End a node and start it again."""
        self.stop(party)
        self.network.start(party)

    def status(self, party: str) -> dict[str, Any]:
        """Return how a node is; while it catches up it may be too busy to say so at once."""
        answers: list[httpx2.Response] = []

        def answered() -> bool:
            answers.append(self.http.get(self.url(party, "/v1/status")))
            return answers[-1].status_code == 200

        self.until(answered)
        document: dict[str, Any] = answers[-1].json()
        return document

    def linked(self, party: str) -> list[str]:
        """Return whom a node has a link with."""
        return [peer["name"] for peer in self.status(party)["peers"] if peer["up"]]

    def consensus_key(self, party: str) -> bytes:
        """Return the public key that a node's folder votes with."""
        seeds = load_keys(self.network.folder / party / "node-keys.json")
        return crypto.public_key(seeds["consensus"])

    def signers(self, height: int) -> tuple[bytes, ...]:
        """Return whose precommits decided a height."""
        reader = LmdbReader(self.network.folder / "shanghai" / "store")
        with reader.begin() as snapshot:
            commit = snapshot.stored_commit(height)
        reader.close()
        assert commit is not None
        return tuple(key for key, _ in decode_commit(commit).certificate.signatures)

    def wait_signed(self, key: bytes, *, after: int) -> int:
        """Return a height above ``after`` whose certificate has a key's signature."""
        seen = after

        def signed() -> bool:
            nonlocal seen
            while seen < self.head("shanghai").height:
                seen += 1
                if key in self.signers(seen):
                    return True
            return False

        self.until(signed)
        return seen

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that must come."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.05)

    def run_tally(self, party: str, *arguments: str) -> dict[str, Any]:
        """Return the JSON that a ``tally node`` command says of a node's folder."""
        folder = str(self.network.folder / party)
        finished = subprocess.run(
            [sys.executable, "-m", "tally", "-o", "json", "node", *arguments, "--folder", folder],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert finished.returncode == 0, finished.stderr
        document: dict[str, Any] = json.loads(finished.stdout)
        return document

    def validators(self) -> list[str]:
        """Return who decides the next block."""
        return [item["party"] for item in self.get("shanghai", "/v1/validators")["items"]]

    def check_all_equal(self) -> None:
        """Check that nothing final is lost, and that every node has the same bytes."""
        assert not self.failures
        head = self.wait_same_head()
        logs: list[tuple[bytes, ...]] = []
        for party in self.parties:
            reader = LmdbReader(self.network.folder / party / "store")
            with reader.begin() as snapshot:
                logs.append(tuple(snapshot.entries(0, head.log_size)))
            reader.close()
        hashes = [self.record_hashes(party, head.height) for party in self.parties]
        assert all(one == hashes[0] for one in hashes)
        assert all(one == logs[0] for one in logs)
        for party in self.parties:
            for transaction_id in self.final_ids:
                found = self.get(party, f"/v1/transactions/{transaction_id}")
                assert found["status"] == "final", f"{transaction_id} on {party}"


@contextmanager
def consortium(folder: Path, *, members: Sequence[str]) -> Iterator[Consortium]:
    """Yield a running, funded network of four; who else is a member may join it."""
    network = LocalNetwork.create(
        folder / "net",
        name="dev-test",
        plans=[plan_of(party) for party in members],
        validators=DEMO_VALIDATORS,
        heartbeat_ms=1_000,
    )
    try:
        network.up()
        cluster = Consortium(network)
        cluster.fund(FIRMS)
        cluster.start_load()
        try:
            yield cluster
        finally:
            cluster.stop_load()
            cluster.http.close()
    finally:
        network.down()


def test_a_newcomer_joins_validates_and_leaves_and_a_compromised_key_is_replaced(
    tmp_path: Path,
) -> None:
    with consortium(tmp_path, members=DEMO_VALIDATORS) as cluster:
        cluster.add(NEWCOMER)
        joined = cluster.decide(Admit(member=cluster.member(NEWCOMER), proofs=()))
        newcomer = cluster.consensus_key(NEWCOMER)
        first = cluster.wait_signed(newcomer, after=joined)
        assert first >= joined + ACTS_AFTER
        cluster.until(lambda: cluster.status(NEWCOMER)["validating"])
        cluster.members.append(NEWCOMER)

        stolen, heir = replace_keys(cluster, "chengdu-aicc")
        _assert_shut_out(cluster, "chengdu-aicc", stolen)

        left = cluster.decide(SetValidator(party=NEWCOMER, validator=(), proofs=()))
        last = cluster.wait_signed(heir, after=left + ACTS_AFTER)
        cluster.until(lambda: cluster.status(NEWCOMER)["height"] >= last)
        assert not cluster.status(NEWCOMER)["validating"], "it goes on as an observer"
        for height in range(left + ACTS_AFTER, last + 1):
            assert newcomer not in cluster.signers(height)

        cluster.stop_load()
        cluster.check_all_equal()
        print(f"joined at {joined}, left at {left}: {len(cluster.final_ids)} transfers")
        assert len(cluster.final_ids) > 10


def replace_keys(cluster: Consortium, party: str) -> tuple[bytes, bytes]:
    """Give a validator new keys; return the old key file, and the new consensus key."""
    network, old = cluster.network, cluster.consensus_key(party)
    stolen = (network.folder / party / "node-keys.json").read_bytes()
    made = cluster.run_tally(party, "keys", "new")
    cluster.restart(party)  # so that it announces them
    keys = ValidatorKeys(power=1, **{name: bytes.fromhex(key) for name, key in made.items()})
    proofs = tuple(map(bytes.fromhex, cluster.run_tally(party, "keys", "prove")["proofs"]))
    adopted = cluster.decide(SetValidator(party=party, validator=(keys,), proofs=proofs))
    cluster.until(lambda: party not in cluster.linked("shanghai"))  # it runs on, cut off
    cluster.stop(party)
    cluster.run_tally(party, "keys", "use", "--yes")
    network.start(party)
    first = cluster.wait_signed(keys.consensus, after=adopted)
    assert first >= adopted + ACTS_AFTER
    for height in range(adopted + ACTS_AFTER, first + 1):
        assert old not in cluster.signers(height), "the old key has no power any more"
    return stolen, keys.consensus


def _assert_shut_out(cluster: Consortium, party: str, keys: bytes) -> None:
    """Run a node with stolen keys: it calls the others, and nobody lets it in."""
    network = cluster.network
    thief = network.folder / "thief"
    thief.mkdir()
    for name in ("genesis.bin", "node.toml"):
        shutil.copyfile(network.folder / party / name, thief / name)
    own_port, free_port = network.places[party].link_port, free_ports(1)[0]
    text = (thief / "node.toml").read_text()
    (thief / "node.toml").write_text(text.replace(f"port = {own_port}", f"port = {free_port}"))
    (thief / "node-keys.json").write_bytes(keys)
    refused = _strangers(cluster)
    with (thief / "node.out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "--config", "node.toml"],
            cwd=thief,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=out,
        )
    try:
        cluster.until(lambda: _strangers(cluster) >= refused + 3)
        status = cluster.run_tally("thief", "status")
        assert (status["peers_up"], status["height"]) == (0, 0)
    finally:
        process.kill()
        process.wait()


def _strangers(cluster: Consortium) -> int:
    """Return how many links Shanghai closed for a fault of nobody that it knows."""
    page = cluster.http.get(cluster.url("shanghai", "/metrics")).text
    found = [line for line in page.splitlines() if line.startswith(STRANGERS)]
    return int(float(found[0].rsplit(" ", 1)[1])) if found else 0


@pytest.mark.ci
def test_four_validators_become_seven_and_ten_and_four_again(tmp_path: Path) -> None:
    everybody = validators_for(10, load_facts())
    joins: list[int] = []
    leaves: list[int] = []
    with consortium(tmp_path, members=everybody) as cluster:
        began_s = time.monotonic()
        cluster.members = list(everybody)
        for size in (7, 10):
            for party in everybody[size - 3 : size]:
                cluster.add(party)
                joined = cluster.decide(
                    SetValidator(party=party, validator=cluster.member(party).validator, proofs=())
                )
                joins.append(cluster.wait_signed(cluster.consensus_key(party), after=joined))
            cluster.until(lambda size=size: len(cluster.validators()) == size)  # type: ignore[misc]
        for party in everybody[4:]:
            leaves.append(cluster.decide(SetValidator(party=party, validator=(), proofs=())))
        cluster.until(lambda: cluster.validators() == list(DEMO_VALIDATORS))
        last = cluster.wait_signed(cluster.consensus_key("shanghai"), after=leaves[-1] + ACTS_AFTER)
        cluster.stop_load()
        cluster.check_all_equal()
        print(
            f"4, 7, 10 and 4 validators: joined at {joins}, left from {leaves[0]} to {leaves[-1]}, "
            f"{len(cluster.final_ids)} transfers, height {last}, "
            f"took {time.monotonic() - began_s:.0f} s"
        )
        assert len(cluster.final_ids) > 10
