"""A server over a real store and Unix socket, with a node that commits when it is told to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from api.app import create_app
from api.services import Limits
from engines.seam import SeenCommit
from ledger.execute import Execution
from ledger.inadmissible import Inadmissible
from ledger.ledger import Ledger
from ledger.rules.refusals import TransactionRefused
from ledger.status import Busy, TransactionStatus, Waiting
from ledger.store.lmdb_store import LmdbReader, LmdbStore
from ledger.transactions import parse
from node.port import (
    Committed,
    Effect,
    NodeStatus,
    PeerStatus,
    PortClient,
    PortClosed,
    PortServer,
    Refused,
)
from tests import builders
from tests.builders import Chain

VALIDATORS = ("shanghai", "guiyang", "guian-hub", "chengdu-aicc")
EXPIRES_AT = builders.NOON_MS + 60 * builders.MINUTE_MS
"""Of every transaction outside the log."""


class SameProcessReader(LmdbReader):
    """A reading end that shares the writer's environment: LMDB opens a store once a process."""

    def __init__(self, store: LmdbStore) -> None:
        self._environment = store._environment
        self._databases = store._databases


@dataclass
class FakeNode:
    """Takes transactions in and commits them when a test says so."""

    chain: Chain
    pending: dict[bytes, bytes] = field(default_factory=dict)
    """Envelopes by id."""
    refused: dict[bytes, TransactionRefused] = field(default_factory=dict)
    """What was refused, by id."""
    refused_raws: list[bytes] = field(default_factory=list)
    commits: list[SeenCommit] = field(default_factory=list)
    quorum_age_ms: int = 3
    stopped: str = ""
    is_busy: bool = False
    lookups: int = 0
    asked_to_cosign: list[bytes] = field(default_factory=list)
    cosigns: tuple[int, str] = (503, "not yet")
    """The answer to the next request to cosign."""
    server: PortServer | None = None

    def commit(
        self, *more: bytes, signers: tuple[str, ...] = VALIDATORS, time_ms: int | None = None
    ) -> Execution:
        """Commit what is pending, and more, as one block."""
        raws = (*self.pending.values(), *more)
        self.pending.clear()
        execution = self.chain.block(*raws, time_ms=time_ms)
        head = execution.head
        seen = SeenCommit(
            height=head.height,
            time_ms=head.time_ms,
            round=0,
            transactions=len(raws),
            finality_us=20_000 + 1_000 * (head.height % 7),
            signers=tuple(builders.key(name, "consensus") for name in signers),
        )
        self.commits = [*self.commits, seen][-32:]
        if self.server is not None:
            self.server.tell(
                Committed(height=head.height, time_ms=head.time_ms, log_size=head.log_size)
            )
        return execution

    async def submit(self, raw: bytes) -> TransactionStatus:
        """Take in an envelope."""
        if self.is_busy:
            raise Busy("no room for another transaction")
        transaction = parse(raw)
        try:
            refusal = self.chain.ledger.check(raw).refusal
        except Inadmissible as error:
            expires_at = transaction.body.expires_at
            return TransactionStatus.inadmissible(transaction.id, expires_at, error)
        if refusal is not None:
            self.refused[transaction.id] = refusal
            self.refused_raws.append(raw)
            return await self.lookup(transaction.id)
        self.pending[transaction.id] = raw
        return TransactionStatus.pending(transaction.id, EXPIRES_AT)

    async def refuse(self, raw: bytes) -> None:
        """Do what a node does when a recheck refuses a pending transaction: tell the watchers."""
        status = await self.submit(raw)
        assert status.status == "refused" and self.server is not None
        self.pending.pop(status.id, None)
        self.server.tell(Refused(status=status))

    async def simulate(self, raw: bytes) -> Effect:
        """Say what an envelope would do."""
        height = self.chain.ledger.last().height + 1
        try:
            outcome = self.chain.ledger.simulate(raw, time_ms=self.chain.now_ms)
        except TransactionRefused as refusal:
            return Effect.refused(height, refusal)
        except Inadmissible as error:
            return Effect.inadmissible(height, error)
        return Effect.holding(height, outcome.postings)

    async def lookup(self, transaction_id: bytes) -> TransactionStatus:
        """Say what is known outside the log."""
        self.lookups += 1
        refusal = self.refused.get(transaction_id)
        if refusal is not None:
            return TransactionStatus.refused(transaction_id, EXPIRES_AT, refusal)
        if transaction_id in self.pending:
            return TransactionStatus.pending(transaction_id, EXPIRES_AT)
        return TransactionStatus.unknown(transaction_id)

    async def waiting(self, after: int, limit: int) -> tuple[Waiting, ...]:
        """Say what waits, at most two at a time."""
        page = []
        for arrival, raw in enumerate((*self.pending.values(), *self.refused_raws), 1):
            if arrival > after:
                status = await self.lookup(parse(raw).id)
                page.append(Waiting(arrival=arrival, raw=raw, status=status))
        return tuple(page[: min(limit, 2)])

    async def status(self) -> NodeStatus:
        """Say how the node is."""
        head = self.chain.ledger.last()
        return NodeStatus(
            name="shanghai",
            network="dev-test",
            log_id=head.log_id,
            height=head.height,
            time_ms=head.time_ms,
            record_hash=head.record_hash,
            log_size=head.log_size,
            round=0,
            step="propose",
            validating=True,
            pending=len(self.pending),
            quorum_age_ms=self.quorum_age_ms,
            stopped=self.stopped,
            peers=tuple(
                PeerStatus(name=name, up=name != "chengdu-aicc", round_trip_us=300)
                for name in VALIDATORS[1:]
            ),
            commits=tuple(self.commits),
        )

    async def cosign(self, body: bytes) -> tuple[int, str]:
        """Answer as told."""
        self.asked_to_cosign.append(body)
        return self.cosigns

    async def metrics(self) -> str:
        """Return a metrics page."""
        return "tally_height 3\n"


@dataclass
class World:
    """Everything that a test of the server touches."""

    chain: Chain
    node: FakeNode
    port: PortServer
    app: FastAPI
    client: httpx2.AsyncClient

    async def get(self, path: str) -> Any:
        """Return the JSON of a successful answer."""
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def problem(self, path: str) -> tuple[int, str]:
        """Return status and code of a problem."""
        answer = await self.client.get(path)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer.status_code, answer.json()["code"]

    async def lose_node(self) -> None:
        """Stop the node's port, as if its process died; return once the server can see it."""
        await self.app.state.services.port.status()  # a link that stands is a link that falls
        await self.port.stop()
        while True:
            try:
                await self.app.state.services.port.status()
            except PortClosed:
                return


def chain_at(path: Path) -> Chain:
    """Return a funded chain in a store on disk."""
    return builders.funded_chain(ledger=Ledger(LmdbStore(path, map_bytes=64 * 1024**2)))


def store_of(chain: Chain) -> LmdbStore:
    """Return the store under a chain."""
    storage = chain.ledger._storage
    assert isinstance(storage, LmdbStore)
    return storage


@asynccontextmanager
async def world_at(
    path: Path, *, network: str = "dev-test", limits: Limits | None = None
) -> AsyncIterator[World]:
    """Serve a funded chain in this process."""
    chain = chain_at(path / "store")
    node = FakeNode(chain)
    port = PortServer(path / "port", node)
    node.server = port
    await port.start()
    app = create_app(
        SameProcessReader(store_of(chain)),
        PortClient(path / "port"),
        network,
        limits=limits,
        checkpoint=path / "checkpoint",
    )
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://node") as client,
    ):
        yield World(chain=chain, node=node, port=port, app=app, client=client)
    await port.stop()
    store_of(chain).close()
