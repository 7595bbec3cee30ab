"""The public log of a live network: heads, receipts, proofs, cosignatures, checked from outside."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from ledger.encoding import checkpoint, note, policy, receipt
from ledger.encoding.policy import Accepted
from ledger.entries import TransactionEntry, decode_entry
from ledger.transactions import parse
from tests.cluster.support import FACE_FEN, Cluster, running_cluster
from wallet.client import NodeClient
from wallet.profile import NodeAddress, Profile
from wallet.verified import Verifier

PATIENCE_S = 60
"""A hang guard, not a measure."""


def eventually(what: str, is_so: Callable[[], bool]) -> None:
    """Return once something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.1)


def policy_of(cluster: Cluster, party: str = "shanghai") -> policy.Policy:
    """Return whom a node says to believe."""
    return policy.parse(cluster.http.get(cluster.url(party, "/v1/policy")).content)


def head_of(cluster: Cluster, party: str, trusted: policy.Policy) -> Accepted | None:
    """Return a node's head, which everybody must be able to accept; None before the first."""
    answer = cluster.http.get(cluster.url(party, "/log/checkpoint"))
    if answer.status_code == 404:
        return None
    return policy.accept(trusted, note.parse(answer.content))


def size_of(cluster: Cluster, party: str, trusted: policy.Policy) -> int:
    """Return how many entries a node's head has."""
    head = head_of(cluster, party, trusted)
    return 0 if head is None else head.checkpoint.size


def transfers(cluster: Cluster, count: int, *, amount: int = 1) -> list[str]:
    """Let firms pay each other; return the ids, all final."""
    signed = [cluster.transfer(n, n + 1, amount + n) for n in range(count)]
    return [document["id"] for document in cluster.final(*signed)]


def await_receipt(cluster: Cluster, party: str, transaction: str) -> bytes:
    """Return a receipt as soon as a head has its entry."""
    found: list[bytes] = []

    def has_it() -> bool:
        answer = cluster.http.get(cluster.url(party, f"/v1/receipts/{transaction}"))
        assert answer.status_code in (200, 503), answer.text
        found[:] = [answer.content] if answer.status_code == 200 else []
        return bool(found)

    eventually("a receipt", has_it)
    return found[0]


@pytest.mark.cluster
def test_what_is_final_is_soon_proven_by_every_node_and_survives_the_loss_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with running_cluster(tmp_path) as cluster:
        trusted = policy_of(cluster)
        ids = transfers(cluster, 3)
        receipts = {party: await_receipt(cluster, party, ids[0]) for party in cluster.parties}
        roots = set()
        for party, data in receipts.items():
            found = receipt.parse(data)
            accepted = receipt.verify(found, entry=found.extra, trusted=trusted)
            assert len(accepted.cosigned) >= 3, party
            entry = decode_entry(found.extra)
            assert isinstance(entry, TransactionEntry)
            assert parse(entry.signed).id.hex() == ids[0]
            roots.add((accepted.checkpoint.size, accepted.checkpoint.root))
        assert len(roots) == len({size for size, _ in roots}), "one root for each size"

        for party in cluster.parties:
            profile = Profile(
                name=party,
                network=cluster.network.name,
                log_id=cluster.network.log_id.hex(),
                nodes=(NodeAddress(name=party, url=cluster.url(party, "")),),
                dev_seed=None,
            )
            item, proof = Verifier(profile, NodeClient(cluster.url(party, ""))).voucher(
                "shanghai.test.000000001"
            )
            assert item["available"] == FACE_FEN - 1, "the wallet was told of the transfer"
            assert len(proof.cosigned) >= 3

        cluster.network.kill(cluster.parties[-1], api=True)
        left = cluster.parties[:-1]
        before = size_of(cluster, left[0], trusted)
        transfers(cluster, 2, amount=10)
        eventually("a head by three of four", lambda: size_of(cluster, left[0], trusted) > before)
        again = receipt.parse(receipts[left[0]])
        assert receipt.verify(again, entry=again.extra, trusted=trusted), "it holds for ever"


@pytest.mark.cluster
def test_a_cosigner_answers_as_a_witness_does(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        trusted = policy_of(cluster)
        transfers(cluster, 1)
        eventually("a head", lambda: size_of(cluster, "shanghai", trusted) > 1)
        witness = cluster.url("guiyang", "/witness/add-checkpoint")
        data = cluster.http.get(cluster.url("shanghai", "/log/checkpoint")).content
        size = checkpoint.parse(note.parse(data).text).size

        def ask(old: int, body: bytes) -> httpx2.Response:
            return cluster.http.post(witness, content=f"old {old}\n\n".encode() + body)

        eventually("it cosigns its last head again", lambda: ask(size, data).status_code == 200)
        lines = note.parse_signatures(ask(size, data).content)
        (key,) = (one.key for one in trusted.witnesses if one.name == "guiyang")
        signed = note.Note(text=note.parse(data).text, signatures=lines)
        assert note.verify(signed, [key])[0].key == key
        conflict = ask(0, data)
        assert (conflict.status_code, conflict.text) == (409, f"{size}\n")
        assert conflict.headers["content-type"] == "text/x.tlog.size"
        assert ask(size, data.replace(b"tallystick.log", b"tallystick.lol")).status_code == 404
        assert ask(size, b"junk").status_code == 400
        assert ask(size, data[: data.rindex(b"\n", 0, -1)] + b"\n").status_code in (200, 403)
