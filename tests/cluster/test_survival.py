"""Four real validators under double spends, kills and lost quorums."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ledger.store.lmdb_store import LmdbReader
from ledger.store.memory import MemoryStore
from tests.cluster.support import Cluster, running_cluster
from trials.replay import replay
from wallet.profile import NodeAddress, Profile, save_profile

pytestmark = pytest.mark.cluster

PAIRS = 200
PAIR_LIFE_MS = 8_000
ROUNDS = 20


class Traffic:
    """Transfers of one fen, sent without a pause until stopped; remembers what became final."""

    def __init__(self, cluster: Cluster, *, sender: int, parties: list[str]) -> None:
        self.final: list[str] = []
        self._cluster, self._sender, self._parties = cluster, sender, parties
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        amount = 1
        while not self._stop.is_set():
            signed = self._cluster.transfer(self._sender, self._sender + 1, amount)
            amount = amount % 50 + 1
            party = self._parties[amount % len(self._parties)]
            try:
                document = self._cluster.post(party, signed)
            except (httpx2.TransportError, AssertionError):
                time.sleep(0.05)  # that validator was just killed; its API says so
                continue
            if document["status"] == "final":
                self.final.append(document["id"])

    def stop(self) -> list[str]:
        """Stop and return the ids that were reported final."""
        self._stop.set()
        self._thread.join()
        return self.final


@pytest.mark.ci
def test_of_each_double_spend_exactly_one_half_becomes_final(tmp_path: Path) -> None:
    with running_cluster(tmp_path, firms=PAIRS + 4) as cluster:
        traffic = Traffic(cluster, sender=PAIRS, parties=cluster.parties)
        ended: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for number in range(PAIRS):
            first, second = (number % 4, (number + 1 + number // 4 % 3) % 4)
            halves = [
                cluster.transfer(number, recipient, 600_000, life_ms=PAIR_LIFE_MS)
                for recipient in (PAIRS + 2, PAIRS + 3)
            ]
            answers: list[dict[str, Any]] = [{}, {}]

            def fire(
                position: int, party: str, halves: Any = halves, answers: Any = answers
            ) -> None:
                answers[position] = cluster.post(party, halves[position])

            threads = [
                threading.Thread(target=fire, args=(0, cluster.parties[first])),
                threading.Thread(target=fire, args=(1, cluster.parties[second])),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            ended.append((answers[0], answers[1]))
        losers = []
        for answers_of_pair in ended:
            words = sorted(answer["status"] for answer in answers_of_pair)
            assert words == ["final", "refused"], answers_of_pair
            loser = next(one for one in answers_of_pair if one["status"] != "final")
            assert loser["code"] == "voucher_exhausted"
            losers.append(loser)
        deadline = time.monotonic() + 30
        for loser in losers:
            # No node keeps what was refused: with its expiry the id is known to have expired.
            path = f"/v1/transactions/{loser['id']}?expires_at={loser['expires_at']}"
            while cluster.http.get(cluster.url("guiyang", path)).json()["status"] != "expired":
                assert time.monotonic() < deadline, "a loser is not certain within 30 s"
                time.sleep(0.2)
        went_on = traffic.stop()
        head = cluster.wait_same_head()
        hashes = [cluster.record_hashes(party, head.height) for party in cluster.parties]
        assert all(one == hashes[0] for one in hashes)
        for party in cluster.parties:
            for answers_of_pair in ended:
                winner = next(one for one in answers_of_pair if one["status"] == "final")
                assert cluster.get(party, f"/v1/transactions/{winner['id']}")["status"] == "final"
        print(f"{len(ended)} double spends, {len(went_on)} other transfers, {head.height} heights")
        assert len(ended) == PAIRS and went_on


@pytest.mark.long
def test_what_was_final_survives_twenty_kills(tmp_path: Path) -> None:
    seed = int(os.environ.get("TALLY_SEED", "20260101"))
    dice = random.Random(seed)
    with running_cluster(tmp_path, firms=4) as cluster:
        final: list[str] = []
        for _ in range(ROUNDS):
            victim = dice.choice(cluster.parties)
            others = [party for party in cluster.parties if party != victim]
            traffic = Traffic(cluster, sender=0, parties=cluster.parties)
            time.sleep(dice.uniform(0.05, 0.4))
            cluster.network.kill(victim)
            time.sleep(dice.uniform(0.05, 0.3))
            cluster.network.start(victim)
            final += traffic.stop()
            final.append(
                cluster.final(cluster.transfer(1, 2, len(final) + 1), party=others[0])[0]["id"]
            )
        head = cluster.wait_same_head()
        for party in cluster.parties:
            for transaction_id in final:
                status = cluster.get(party, f"/v1/transactions/{transaction_id}")["status"]
                assert status == "final", f"{transaction_id} is {status} on {party}"
        hashes = [cluster.record_hashes(party, head.height) for party in cluster.parties]
        assert all(one == hashes[0] for one in hashes)
        reader = LmdbReader(cluster.network.folder / "guiyang" / "store")
        with reader.begin() as snapshot:
            log = snapshot.entries(0, head.log_size)
        reader.close()
        report = replay(cluster.network.genesis, log, storage=MemoryStore(), verify_commit=None)
        assert report.record_hash == head.record_hash
        print(f"seed {seed}: {ROUNDS} kills, {len(final)} final transactions, height {head.height}")
        assert len(final) > ROUNDS


def test_without_a_quorum_nothing_finalises_and_the_wallet_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_cluster(tmp_path, firms=4) as cluster:
        for party in ("guian-hub", "chengdu-aicc"):
            cluster.network.kill(party)
        time.sleep(5.5)  # the wallet speaks after five seconds without a quorum
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        profile = Profile(
            name="test",
            network=cluster.network.name,
            log_id=cluster.network.log_id.hex(),
            nodes=(NodeAddress(name="shanghai", url=cluster.url("shanghai", "")),),
            dev_seed=str(cluster.network.folder / "dev-seed"),
        )
        save_profile(profile, make_default=True)
        before = cluster.head("shanghai").height
        arguments = ["voucher", "transfer", "shanghai.test.000000001", "firm-001", "1.00"]
        arguments += ["--key", "firm-000/owner"]
        finished = subprocess.run(
            [sys.executable, "-P", "-m", "tally", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert finished.returncode == 7, finished.stderr
        assert "no quorum" in finished.stderr
        assert cluster.head("shanghai").height == before
        for party in ("guian-hub", "chengdu-aicc"):
            cluster.network.start(party)
        cluster.final(cluster.transfer(1, 2, 5))
        cluster.wait_same_head()
