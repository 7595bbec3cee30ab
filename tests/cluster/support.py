"""A real four-validator network for tests: processes, sockets, HTTP."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from ledger.encoding.codec import Record
from ledger.execute import Head
from ledger.rules.budgets import Appropriate
from ledger.rules.programmes import Publish
from ledger.rules.vouchers import Mint, MintRow, Transfer, voucher_id
from ledger.store.lmdb_store import LmdbReader
from localnet.facts import DEMO_VALIDATORS, load_facts, member_plans
from localnet.network import LocalNetwork
from localnet.signing import LIFE_MS, DevSigner, Signed
from tests import builders
from trials.bench.transfers import Load
from trials.chaos import kills
from trials.chaos.clients import FIRMS, Crowd
from trials.chaos.history import History
from trials.samples import enrolment

PROGRAMME = "shanghai.test"
FACE_FEN = 1_000_000
BUDGET = (("shanghai", "officer-1"), ("shanghai", "officer-2"))
MINTERS = (("shanghai", "officer-3"), ("shanghai", "officer-4"))
PATIENCE_S = 60
"""A hang guard, not a measure."""
CLIENTS = 4
ASKED = ("submit", "status", "balance")
HEARD_MIN = 20
"""Answers of each kind without which a verdict on a history says little."""


class Cluster:
    """A network with a programme, and firms that each hold one voucher."""

    def __init__(self, network: LocalNetwork) -> None:
        self.network = network
        self.signer = DevSigner(network)
        self.parties = list(network.places)
        self.http = httpx2.Client(
            trust_env=False, timeout=30, limits=httpx2.Limits(max_connections=64)
        )

    def url(self, party: str, path: str) -> str:
        """Return an address at a validator's API."""
        return self.network.places[party].url + path

    def get(self, party: str, path: str) -> Any:
        """Return the JSON of a page that must exist."""
        answer = self.http.get(self.url(party, path))
        assert answer.status_code in (200, 202), f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def sign(self, operation: Record, *who: tuple[str, str], life_ms: int = LIFE_MS) -> Signed:
        """Return an operation signed with derived keys."""
        return self.signer.sign(operation, *who, life_ms=life_ms)

    def post(self, party: str, signed: Signed, *, wait: bool = True) -> dict[str, Any]:
        """Post to a validator; return the transaction document."""
        answer = self.http.post(
            self.url(party, "/v1/transactions"),
            params={"wait": "final"} if wait else {},
            content=signed.raw,
            headers={"content-type": "application/octet-stream"},
        )
        assert answer.status_code in (200, 202), f"{answer.status_code} {answer.text}"
        document: dict[str, Any] = answer.json()
        return document

    def final(self, *signed: Signed, party: str = "shanghai") -> list[dict[str, Any]]:
        """Post many at once; every one must become final."""
        with ThreadPoolExecutor(8) as pool:
            documents = list(pool.map(lambda one: self.post(party, one), signed))
        for document in documents:
            assert document["status"] == "final", document
        return documents

    def fund(self, firms: int) -> None:
        """Publish a programme and give each firm a voucher of 10,000 yuan."""
        terms = builders.terms(transfer="enrolled")
        self.final(
            self.sign(Publish(programme=PROGRAMME, version=1, status="open", terms=terms), *BUDGET),
            *(self.sign(self._enrol(number), *BUDGET) for number in range(firms)),
        )
        self.final(
            self.sign(
                Appropriate(
                    programme=PROGRAMME,
                    funder="shanghai",
                    year=time.gmtime(time.time() + 8 * 3600).tm_year,
                    delta=firms * FACE_FEN,
                    carried_from=(),
                ),
                *BUDGET,
            )
        )
        rows = tuple(
            MintRow(holder=firm(number), amount=FACE_FEN, decision=number.to_bytes(32, "big"))
            for number in range(firms)
        )
        self.final(self.sign(Mint(programme=PROGRAMME, terms_version=1, rows=rows), *MINTERS))

    def _enrol(self, number: int) -> Record:
        return enrolment(firm(number), self.signer.public_key(firm(number), "owner"))

    def transfer(
        self, number: int, recipient: int, amount: int, *, life_ms: int = LIFE_MS
    ) -> Signed:
        """Return a transfer out of a firm's first voucher."""
        operation = Transfer(
            voucher=voucher_id(PROGRAMME, number + 1),
            holder=firm(number),
            recipient=firm(recipient),
            amount=amount,
        )
        signers = (firm(number), "owner"), (firm(recipient), "owner")
        return self.sign(operation, *signers, life_ms=life_ms)

    def head(self, party: str) -> Head:
        """Return where a validator's store stands."""
        reader = LmdbReader(self.network.folder / party / "store")
        with reader.begin() as snapshot:
            head = snapshot.head()
        reader.close()
        assert head is not None
        return head

    def wait_same_head(self) -> Head:
        """Return the head that all validators have; they get there or the test fails."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            heads = [self.head(party) for party in self.parties]
            if len({(head.height, head.record_hash) for head in heads}) == 1:
                return heads[0]
            assert time.monotonic() < deadline, f"heights {[head.height for head in heads]}"
            time.sleep(0.05)

    def record_hashes(self, party: str, last: int) -> list[bytes]:
        """Return the record hash after every height."""
        reader = LmdbReader(self.network.folder / party / "store")
        with reader.begin() as snapshot:
            rows = [snapshot.block_row(height) for height in range(1, last + 1)]
        reader.close()
        return [row.record_hash for row in rows if row is not None]


@contextmanager
def checked(network: LocalNetwork, *, seed: int) -> Iterator[Crowd]:
    """Let clients spend the same vouchers at all nodes meanwhile, and check what they heard.

    Whatever was done to the network must be over at the end.
    """
    asyncio.run(Load(network, firms=FIRMS).prepare())
    crowd = Crowd(network, clients=CLIENTS, seed=seed)
    crowd.start()
    try:
        yield crowd
    finally:
        crowd.stop()
    assert crowd.settle(PATIENCE_S) == [], "nobody knows what became of these"
    kills.await_same_head(network)
    history, count = crowd.history, heard(crowd)
    print(f"seed {seed}: {dict(count)} of {len(history.answers)} heard, {crowd.finals()} final")
    (network.folder / "history.json").write_bytes(msgspec.json.encode(history))
    problems = [*history.problems(), *kills.acknowledged_is_logged(network, history)]
    assert problems == [], problems
    assert all(count[asked] >= HEARD_MIN for asked in ASKED), count
    assert doctored(history).problems(), "a balance that is wrong by a fen is believed"


def heard(crowd: Crowd) -> Counter[str]:
    """Return how many questions of each kind were answered so far."""
    return Counter(one.asked for one in crowd.history.answers if one.said != "lost")


def hear(crowd: Crowd, more: int) -> None:
    """Return once so many more questions of each kind were answered, under whatever goes on."""
    before, deadline = heard(crowd), time.monotonic() + PATIENCE_S
    while min((heard(crowd) - before)[asked] for asked in ASKED) < more:
        assert time.monotonic() < deadline, f"only {heard(crowd) - before} answers"
        time.sleep(0.05)


def doctored(history: History) -> History:
    """Return a history in which the last balance that anybody heard is wrong by a fen."""
    last = max(place for place, one in enumerate(history.answers) if one.said == "balance")
    answers = list(history.answers)
    answers[last] = replace(answers[last], amount=answers[last].amount + 1)
    return replace(history, answers=answers)


def firm(number: int) -> str:
    """Return a firm's id."""
    return f"firm-{number:03d}"


@contextmanager
def running_cluster(folder: Path, *, firms: int = 8) -> Iterator[Cluster]:
    """Yield a running, funded network; stop it afterwards."""
    network = LocalNetwork.create(
        folder / "net",
        name="dev-test",
        plans=member_plans(load_facts()),
        validators=DEMO_VALIDATORS,
    )
    try:
        network.up()
        cluster = Cluster(network)
        cluster.fund(firms)
        yield cluster
        cluster.http.close()
    finally:
        network.down()
