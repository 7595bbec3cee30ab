"""A second engine, with nothing of the first: one key orders everything, and its word is final.

It knows the seam and the ledger. What it stores with a block is its own: a line signed by that key.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from engines.seam import (
    Blockstore,
    Clock,
    CommitHead,
    CommitInvalid,
    CommitMissing,
    EngineState,
    HostJobs,
    Neighbours,
    OnCommit,
    ProvenCommit,
    Reachability,
    SeenCommit,
    Tell,
    Timers,
    VerifyEnvelopes,
)
from ledger.blocks import BlockInput, BlockRecord, Limits, record_hash_of
from ledger.encoding import codec, crypto
from ledger.encoding.codec import Hash, Natural, Record, Signature
from ledger.entries import TransactionEntry, decode_entry
from ledger.execute import Verify
from ledger.ledger import Ledger
from ledger.rules.validators import ValidatorSchedule
from ledger.status import TransactionStatus, Waiting
from ledger.store.rows import BlockRow
from ledger.transactions import Transaction

NAME = "solo"
SEED = bytes(range(32))
KEY = crypto.public_key(SEED)
EVERY_MS = 5


class SoloCommit(Record, frozen=True):
    """What stands beside a block."""

    height: Natural
    time_ms: Natural
    record_hash: Hash
    envelopes: Hash
    """Tagged hash of what was decided."""
    signature: Signature


def envelopes_hash(envelopes: tuple[bytes, ...]) -> bytes:
    return crypto.tagged_hash("tallystick/solo/v1", *envelopes)


def message_of(log_id: bytes, height: int, time_ms: int, record: bytes, envelopes: bytes) -> bytes:
    return codec.encode(("solo", log_id, height, time_ms, record, envelopes))


def commit_of(stored: bytes) -> SoloCommit:
    commit: SoloCommit = codec.decode(SoloCommit, stored, 1024)
    return commit


class SoloChain:
    """Follows what the key signed, height by height."""

    def __init__(
        self,
        log_id: bytes,
        commits: Iterator[tuple[int, bytes]],
        on_commit: OnCommit,
        verify: Verify | None,
    ) -> None:
        self.height, self.time_ms, self.record_hash = 0, 0, log_id
        self._log_id = log_id
        self._commits = commits
        self._on_commit = on_commit
        self._verify = verify
        self._last = b""

    def head(self) -> CommitHead | None:
        if not self.height:
            return None
        return CommitHead(
            height=self.height,
            time_ms=self.time_ms,
            record_hash=self.record_hash,
            proof=self._last,
        )

    def go_on(self, head: CommitHead, schedule: ValidatorSchedule) -> None:
        self.height, self.time_ms, self.record_hash = head.height, head.time_ms, head.record_hash
        self._last = head.proof

    def advance_to(self, record: BlockRecord, schedule: ValidatorSchedule) -> None:
        while self.height < record.height:
            expects = (
                record_hash_of(record) if self.height + 1 == record.height else self.record_hash
            )
            if not self._next(expects):
                raise CommitMissing(height=self.height + 1, reason="the commits end before it")

    def finish(self, schedule: ValidatorSchedule) -> None:
        while self._next(self.record_hash):
            pass

    def _next(self, record: bytes) -> bool:
        height, stored = next(self._commits, (0, b""))
        if not height:
            return False
        commit = commit_of(stored)
        if (commit.height, commit.record_hash) != (self.height + 1, record):
            raise CommitInvalid(height=height, reason="it is of another block")
        message = message_of(
            self._log_id, height, commit.time_ms, commit.record_hash, commit.envelopes
        )
        if self._verify is not None and not self._verify(KEY, message, commit.signature):
            raise CommitInvalid(height=height, reason="the key did not sign it")
        self.height, self.time_ms, self.record_hash = height, commit.time_ms, record
        self._last = stored
        self._on_commit(
            ProvenCommit(
                height=height,
                time_ms=commit.time_ms,
                record_hash=record,
                stored=stored,
                carries=lambda envelopes: envelopes_hash(envelopes) == commit.envelopes,
            )
        )
        return True


class SoloCommits:
    """Its family of commits."""

    name = NAME
    bytes_max = 1024

    def height_of(self, stored: bytes) -> int:
        return commit_of(stored).height

    def chain(
        self,
        log_id: bytes,
        commits: Iterator[tuple[int, bytes]],
        on_commit: OnCommit = lambda _: None,
        *,
        verify: Verify | None,
    ) -> SoloChain:
        return SoloChain(log_id, commits, on_commit, verify)

    def verify_stored(self, blocks: Blockstore, row: BlockRow, parent: bytes) -> bytes:
        stored = blocks.stored_commit(row.height)
        if stored is None:
            raise CommitMissing(height=row.height, reason="it is missing")
        entries = map(decode_entry, blocks.entries(row.first_sequence, row.log_size))
        envelopes = tuple(one.signed for one in entries if isinstance(one, TransactionEntry))
        if commit_of(stored).envelopes != envelopes_hash(envelopes):
            raise CommitInvalid(height=row.height, reason="the log has another body")
        return stored


@dataclass
class SoloConnection:
    """It has nobody to talk to."""

    started: bool = False

    async def start(self) -> None:
        self.started = True

    async def stop(self) -> None:
        self.started = False

    def reachability(self) -> Reachability:
        return Reachability(peers=(), quorum_age_ms=0, faults=())

    def reconfigure(self, named: Neighbours) -> bool:
        return True


@dataclass
class SoloEngine:
    """Orders what comes in, a few milliseconds later."""

    ledger: Ledger
    clock: Clock
    timers: Timers
    tell: Tell
    pool: dict[bytes, Transaction] = field(default_factory=dict)
    seen: list[SeenCommit] = field(default_factory=list)
    stopped: str = ""
    pauses: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        self.timers.after(EVERY_MS, self._step)

    def submit(self, transaction: Transaction) -> None:
        self.ledger.adopt(transaction)
        self.ledger.take_in(transaction, self._now_ms())
        self.pool[transaction.id] = transaction

    def status(self, transaction_id: bytes) -> TransactionStatus:
        waiting = self.pool.get(transaction_id)
        if waiting is None:
            return TransactionStatus.unknown(transaction_id)
        return TransactionStatus.pending(transaction_id, waiting.body.expires_at)

    def waiting(self, after: int) -> Iterator[Waiting]:
        for arrival, one in enumerate(self.pool.values(), 1):
            if arrival > after:
                yield Waiting(arrival=arrival, raw=one.raw, status=self.status(one.id))

    def state(self) -> EngineState:
        return EngineState(
            round=0,
            step="alone",
            validates=not self.stopped,
            pending=len(self.pool),
            stopped=self.stopped or "; ".join(self.pauses.values()),
            commits=tuple(self.seen),
        )

    def has_work(self) -> bool:
        return bool(self.pool)

    def on_idle(self) -> None:
        pass

    def stop_voting(self, reason: str) -> None:
        self.stopped = self.stopped or reason
        self.tell.stopped(reason)

    def pause_voting(self, cause: str, reason: str) -> None:
        self.pauses = {one: text for one, text in self.pauses.items() if one != cause}
        if reason:
            self.pauses[cause] = reason
        self.tell.paused(self.pauses)

    def knows_where_it_was(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def _now_ms(self) -> int:
        return max(self.clock.wall_ms(), self.ledger.last().time_ms + 1)

    def _step(self) -> None:
        self.timers.after(EVERY_MS, self._step)
        if self.pool and not self.stopped and not self.pauses:
            self._decide()

    def _decide(self) -> None:
        height, time_ms = self.ledger.last().height + 1, self._now_ms()
        envelopes = self.ledger.propose(
            self.pool.values(), height=height, time_ms=time_ms, limits=Limits()
        )
        execution = self.ledger.execute(
            BlockInput(height=height, time_ms=time_ms, transactions=envelopes)
        )
        record, body = execution.head.record_hash, envelopes_hash(envelopes)
        message = message_of(execution.head.log_id, height, time_ms, record, body)
        commit = SoloCommit(
            height=height,
            time_ms=time_ms,
            record_hash=record,
            envelopes=body,
            signature=crypto.sign(SEED, message),
        )
        self.ledger.commit(execution, codec.encode(commit))
        self.pool.clear()  # what did not hold is forgotten: its client asks again
        seen = SeenCommit(
            height=height,
            time_ms=time_ms,
            round=0,
            transactions=len(envelopes),
            finality_us=0,
            signers=(KEY,),
        )
        self.seen.append(seen)
        self.tell.committed(execution, seen)


@dataclass
class Solo:
    """Both halves, for a node."""

    name: str = NAME
    connection: SoloConnection = field(default_factory=SoloConnection)
    engine: SoloEngine | None = None

    def on_loop(
        self, jobs: HostJobs, verify: VerifyEnvelopes, heard: Callable[[str], None]
    ) -> SoloConnection:
        assert asyncio.get_running_loop()
        return self.connection

    def on_host(
        self, ledger: Ledger, blocks: Blockstore, *, clock: Clock, timers: Timers, tell: Tell
    ) -> SoloEngine:
        self.engine = SoloEngine(ledger=ledger, clock=clock, timers=timers, tell=tell)
        return self.engine
