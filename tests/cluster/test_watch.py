"""A watch of four live nodes: all is well, until a server shows another log with their keys."""

import json
from pathlib import Path
from typing import Any

import pytest

from ledger.store.lmdb_store import LmdbReader
from localnet.network import node_seed
from tests.audit.stories import Server, serving
from tests.cluster.support import Cluster, running_cluster
from tests.cluster.test_public_log import eventually, policy_of, size_of, transfers
from tests.wallet.terminal import Tally

pytestmark = [pytest.mark.cluster, pytest.mark.ci]


def entries_of(cluster: Cluster, party: str) -> list[bytes]:
    """Return a node's log."""
    reader = LmdbReader(cluster.network.folder / party / "store")
    with reader.begin() as snapshot:
        head = snapshot.head()
        assert head is not None
        found = snapshot.entries(0, head.log_size)
    reader.close()
    return list(found)


def test_a_forged_fork_of_a_live_network_is_found_proven_told_and_verified_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    tally = Tally(capsys)
    policy, hook = tmp_path / "trusted.policy", tmp_path / "hook"
    with running_cluster(tmp_path) as cluster:
        trusted = policy_of(cluster)
        urls = [cluster.url(party, "") for party in cluster.parties]
        tally.must("audit", "policy", "--node", urls[0], "--out", str(policy))

        def watch(*more: str, exits: int = 0) -> Any:
            words = ("audit", "watch", *urls, *more, "--policy", str(policy))
            state = ("--state", str(tmp_path / "state"), "--once", "--webhook-file", str(hook))
            return tally.json(*words, *state, exits=exits)

        def all_have(size: int) -> bool:
            return all(size_of(cluster, party, trusted) >= size for party in cluster.parties)

        eventually("heads of all", lambda: all_have(2))
        receiver = Server([], replies={"/s3cret": (200, b"")})
        with serving(receiver):
            hook.write_text(f"{receiver.url}/s3cret")
            assert watch()["verdict"].startswith("one log: 4 of 4 nodes answer")
            for round_ in range(3):
                before = size_of(cluster, "shanghai", trusted)
                transfers(cluster, 3, amount=10 * round_ + 1)
                eventually("a new head", lambda: size_of(cluster, "shanghai", trusted) > before)  # noqa: B023
                watch()

            last = cluster.parties[-1]
            cluster.network.kill(last, api=True)
            document = watch()
            assert document["nodes"][-1]["event"] == "unreachable"
            transfers(cluster, 2, amount=50)
            cluster.network.start(last)
            for _ in range(3):
                assert watch()["findings"] == [], "a node that comes back is no rollback"
            size = size_of(cluster, "shanghai", trusted)
            eventually("it came back", lambda: all_have(size))
            same = tally.json("audit", "compare", urls[0], urls[-1])
            assert same["compared"] == "tiles"

            # Other before the end of what all have published: behind it, it would be no fork.
            network, honest = cluster.network, entries_of(cluster, "shanghai")[:size]
            liar = Server(
                [*honest[:-3], b"another story", *honest[-3:]],
                log="guiyang",
                cosigners=cluster.parties[:3],
                origin=trusted.logs[0].key.name,
                secret=lambda party, name: node_seed(network.name, network.master, party, name),
            )
            assert not receiver.posted
            with serving(liar):
                found = watch(liar.url, exits=8)["error"]["details"]
                again = watch(liar.url, exits=8)["error"]["details"]
            (finding,) = found["findings"]
            assert (finding["event"], again["findings"]) == ("fork", [])
            assert len(found["branches"]) == 2
            (told,) = receiver.posted
            assert json.loads(told)["evidence"] == finding["evidence"]
    # The network is gone: the file and the policy are enough.
    verdict = tally.json("audit", "misbehaviour", finding["file"], "--policy", str(policy))
    assert verdict["misbehaviour"] == "fork"
    assert set(verdict["cosigned_both"]) <= set(cluster.parties[:3])
    assert len(verdict["cosigned_both"]) >= 2, "two quorums of four share two"
