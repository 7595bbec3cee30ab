"""What was proven stays proven: over new keys, new validators, lost disks and old backups."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest

from ledger.encoding import checkpoint, note, policy, receipt
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.crypto import public_key
from ledger.encoding.note import VerifierKey
from ledger.encoding.policy import Policy
from ledger.rules.governance import Admit
from ledger.trust import cosigner_key
from localnet.facts import DEMO_VALIDATORS
from node.build import load_keys
from tests.cluster.support import PATIENCE_S
from tests.cluster.test_joining import NEWCOMER, Consortium, consortium, replace_keys
from tests.cluster.test_public_log import await_receipt, eventually, policy_of, size_of
from wallet.client import NodeClient
from wallet.profile import NodeAddress, Profile
from wallet.verified import Verifier

pytestmark = [pytest.mark.cluster, pytest.mark.ci]

KEPT = ("node-keys.json", "genesis.bin", "node.toml")
"""What an operator backs up (docs/operating.md)."""
CHECK_EVERY_S = 0.1
SOME_ENTRIES = 200
"""Of a light load: some ten seconds, two heads."""


def reader_of(cluster: Consortium, party: str, name: str) -> Verifier:
    """Return a wallet that asks one node; two of one name are the same wallet."""
    url = cluster.url(party, "")
    profile = Profile(
        name=name,
        network=cluster.network.name,
        log_id=cluster.network.log_id.hex(),
        nodes=(NodeAddress(name=party, url=url),),
        dev_seed=None,
    )
    return Verifier(profile, NodeClient(url))


def verified_offline(path: Path, trusted: Path) -> dict[str, object]:
    """Return what `tally audit receipt` says of a file."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tally", "-o", "json", "audit", "receipt", str(path)),
            *("--policy", str(trusted)),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_receipt_outlives_keys_validators_and_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    rotated, lost = "chengdu-aicc", "guian-hub"
    with consortium(tmp_path, members=DEMO_VALIDATORS) as cluster:
        trusted, old = tmp_path / "first.policy", tmp_path / "old.tlog-proof"
        trusted.write_bytes(policy_of(cluster).to_bytes())
        (paid,) = cluster.final(cluster.transfer(0, 1, 7_777))
        old.write_bytes(await_receipt(cluster, "shanghai", paid["id"]))
        proven = [verified_offline(old, trusted)]
        assert proven[0]["transaction"] == paid["id"]
        away = reader_of(cluster, rotated, "away")
        assert away.policy == policy.parse(trusted.read_bytes())

        replace_keys(cluster, rotated)
        proven.append(verified_offline(old, trusted))
        # Who was away finds a key that it knows, and learns the new ones from the log.
        eventually("the former key is known", lambda: bool(size_of(cluster, rotated, away.policy)))
        eventually("the new keys are proven", away.follow_validators)
        assert away.policy == policy_of(cluster)
        assert away.policy != policy.parse(trusted.read_bytes())

        cluster.add(NEWCOMER)
        joined = cluster.decide(Admit(member=cluster.member(NEWCOMER), proofs=()))
        cluster.wait_signed(cluster.consensus_key(NEWCOMER), after=joined)
        cluster.members.append(NEWCOMER)
        proven.append(verified_offline(old, trusted))
        eventually("the new validator is proven", away.follow_validators)
        assert len(away.policy.witnesses) == len(DEMO_VALIDATORS) + 1

        restore(cluster, lost)
        proven.append(verified_offline(old, trusted))
        assert all(one == proven[0] for one in proven)

        present = policy_of(cluster)
        for party in cluster.parties:
            again = receipt.parse(await_receipt(cluster, party, paid["id"]))
            accepted = receipt.verify(again, entry=again.extra, trusted=present)
            assert again.extra == receipt.parse(old.read_bytes()).extra
            assert len(accepted.cosigned) >= 4, party
        eventually("the restored one cosigns", lambda: cosigns(cluster, lost, present))
        cluster.stop_load()
        cluster.check_all_equal()


def cosigns(cluster: Consortium, party: str, trusted: Policy) -> bool:
    """Return whether the head that Shanghai publishes is cosigned by a party."""
    data = cluster.http.get(cluster.url("shanghai", "/log/checkpoint")).content
    found = policy.accept(trusted, note.parse(data))
    return party in [name for name, _ in found.cosigned]


def restore(cluster: Consortium, party: str) -> None:
    """Let a node lose everything but what its operator backs up."""
    own = cluster.network.folder / party
    cluster.network.kill(party, api=True)
    for path in own.iterdir():
        if path.name not in KEPT and not path.name.endswith(".out"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    cluster.network.start(party)


def newest(cluster: Consortium) -> int:
    """Return how many entries Shanghai's head has."""
    data = cluster.http.get(cluster.url("shanghai", "/log/checkpoint")).content
    return checkpoint.parse(note.parse(data).text).size


class Watch:
    """Keeps every cosignature by one key that anybody publishes, in the order of its time."""

    def __init__(self, cluster: Consortium, party: str) -> None:
        self._cluster = cluster
        self._origin = policy_of(cluster).logs[0].key.name
        seeds = load_keys(cluster.network.folder / party / "node-keys.json")
        self._key = cosigner_key(self._origin, party, public_key(seeds["cosigner"]))
        name = sha256(self._origin.encode()).hexdigest()
        self._urls = [cluster.url(one, "/log/checkpoint") for one in cluster.parties]
        self._urls.append(cluster.url(party, f"/witness/{name}/checkpoint"))
        self.seen: dict[tuple[int, int, bytes], None] = {}
        """Time, size and root."""
        self.failures: list[str] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch for a while."""
        self._thread.start()
        try:
            yield
        finally:
            self._ends.set()
            self._thread.join()

    def _run(self) -> None:
        with httpx2.Client(trust_env=False, timeout=5) as client:
            while not self._ends.wait(CHECK_EVERY_S):
                for url in self._urls:
                    try:
                        answer = client.get(url)
                    except httpx2.TransportError:
                        continue
                    if answer.status_code == 200:
                        self._take(note.parse(answer.content), [self._key])

    def _take(self, signed: note.Note, keys: list[VerifierKey]) -> None:
        head: Checkpoint = checkpoint.parse(signed.text)
        try:
            (found,) = note.verify(signed, keys)
        except note.NotSigned:
            return
        except note.BadSignature as error:
            self.failures.append(str(error))
            return
        assert found.time_s is not None
        self.seen[found.time_s, head.size, head.root] = None

    def in_order(self) -> list[tuple[int, int, bytes]]:
        """Return what was seen, by time and then by size."""
        return sorted(self.seen)


def test_a_cosigner_with_an_old_backup_takes_nothing_back(tmp_path: Path) -> None:
    party = "guian-hub"
    with consortium(tmp_path, members=DEMO_VALIDATORS) as cluster:
        own, copy = cluster.network.folder / party, tmp_path / "copy"
        watch = Watch(cluster, party)
        with watch.running():
            eventually("some heads", lambda: len(watch.seen) > 1)
            cluster.stop(party)
            shutil.copytree(own, copy, ignore=shutil.ignore_patterns("*.sock"))
            cluster.network.start(party)
            for is_whole in (False, True):
                before = len(watch.seen)
                eventually("more heads", lambda seen=before: len(watch.seen) > seen + 1)  # type: ignore[misc]
                cluster.network.kill(party, api=True)
                if is_whole:  # which nobody should do
                    shutil.rmtree(own)
                    shutil.copytree(copy, own)
                else:
                    shutil.copyfile(copy / "cosigned", own / "cosigned")
                cluster.network.start(party)
            last = watch.in_order()[-1]
            eventually(
                "it is back",
                lambda: cluster.status(party)["height"] > cluster.head(party).height - 9,
            )
            time.sleep(12)  # two heads and more
        cluster.stop_load()
        seen = watch.in_order()
        assert not watch.failures
        sizes = [size for _, size, _ in seen]
        assert sizes == sorted(sizes), "a later cosignature is never of a smaller head"
        assert len(set(sizes)) == len({(size, root) for _, size, root in seen})
        print(f"{len(seen)} cosignatures of {len(set(sizes))} heads, {last[1]} before the copy")
