"""A live network with a log so long that it has a tile of level 2, and what it publishes of it."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger.encoding import note, policy
from ledger.encoding.note import Note
from ledger.encoding.policy import Accepted, Policy
from localnet.signing import Signed
from tests.cluster.support import Cluster, running_cluster
from trials.bench.transfers import Load

ENTRIES = 70_000
"""65,536 make a tile of level 2."""
IN_FLIGHT = 512
LOADED_WITHIN_S = 600
HEADS_WITHIN_S = 120
"""Guards, not measures: a head takes seconds, cosignatures are made anew every 30 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A loaded network at rest."""

    cluster: Cluster
    trusted: Policy
    posted: tuple[Signed, ...]
    """The transfers of the load, all final, an entry each."""
    before: dict[str, bytes]
    """By party: the head that its node published before the load."""
    after: dict[str, bytes]
    """The same afterwards: of all entries, with every cosignature."""

    def log_url(self, party: str) -> str:
        """Return where a node serves its log."""
        return self.cluster.url(party, "/log/")

    def log_key(self, head: bytes) -> str:
        """Return the verifier key of the log that signed a head."""
        (key,) = [one.key for one in self.trusted.logs if _is_signed(note.parse(head), one.key)]
        return key.text()

    def accept(self, head: bytes) -> Accepted:
        """Return what a head says; everybody must be able to accept it."""
        return policy.accept(self.trusted, note.parse(head))


def _is_signed(signed: Note, key: note.VerifierKey) -> bool:
    return any((line.name, line.key_id) == (key.name, key.id) for line in signed.signatures)


@contextmanager
def loaded_network(folder: Path) -> Iterator[Live]:
    """Yield a network after a load of ENTRIES transfers."""
    with running_cluster(folder, firms=1) as cluster:
        load = Load(cluster.network)
        asyncio.run(load.prepare())
        trusted = policy.parse(cluster.http.get(cluster.url("shanghai", "/v1/policy")).content)
        before = _heads(cluster, trusted, size=1, cosigned=policy.quorum_of(len(cluster.parties)))
        started = time.monotonic()
        transfers = load.sign_transfers(ENTRIES)
        signed_s = time.monotonic() - started
        asyncio.run(asyncio.wait_for(load.post_all(transfers, IN_FLIGHT), LOADED_WITHIN_S))
        print(f"signed {ENTRIES} in {signed_s:.0f} s, final in {time.monotonic() - started:.0f} s")
        last = cluster.wait_same_head().log_size
        after = _heads(cluster, trusted, size=last, cosigned=len(cluster.parties))
        yield Live(
            cluster=cluster,
            trusted=trusted,
            posted=tuple(transfers),
            before=before,
            after=after,
        )


def _heads(cluster: Cluster, trusted: Policy, *, size: int, cosigned: int) -> dict[str, bytes]:
    """Return every node's head once it has this size, and this many have cosigned it."""
    found: dict[str, bytes] = {}
    deadline = time.monotonic() + HEADS_WITHIN_S
    while len(found) < len(cluster.parties):
        assert time.monotonic() < deadline, f"heads within {HEADS_WITHIN_S} s, only {list(found)}"
        for party in cluster.parties:
            answer = cluster.http.get(cluster.url(party, "/log/checkpoint"))
            if answer.status_code != 200:
                continue
            head = policy.accept(trusted, note.parse(answer.content))
            if head.checkpoint.size >= size and len(head.cosigned) >= cosigned:
                found[party] = answer.content
        time.sleep(0.1)
    return found


def save(live: Live, folder: Path, *, receipts: int) -> None:
    """Write what libraries of strangers are to check: policy, heads, receipts of some transfers."""
    cluster = live.cluster
    (folder / "heads").mkdir(parents=True)
    (folder / "receipts").mkdir()
    answer = cluster.http.get(cluster.url("shanghai", "/v1/policy"))
    (folder / "policy").write_bytes(answer.content)
    nodes = [{"Name": party, "URL": cluster.url(party, "")} for party in cluster.parties]
    (folder / "nodes.json").write_text(json.dumps(nodes))
    for age, heads in (("before", live.before), ("after", live.after)):
        for party, head in heads.items():
            (folder / "heads" / f"{age}-{party}").write_bytes(head)
    step = len(live.posted) // receipts
    for index, signed in enumerate(live.posted[step - 1 :: step]):
        party = cluster.parties[index % len(cluster.parties)]
        answer = cluster.http.get(cluster.url(party, f"/v1/receipts/{signed.id}"))
        assert answer.status_code == 200, answer.text
        (folder / "receipts" / f"{index:06d}.tlog-proof").write_bytes(answer.content)
