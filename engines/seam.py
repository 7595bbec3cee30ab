"""The seam between a node and the engine that decides its blocks (spec B2).

An engine has two halves, since a node has two threads. `Engine` lives on the host thread, which
owns ledger, store and whatever the engine makes durable; `Connection` lives on the event loop and
owns its sockets. A node knows both by these protocols alone; a second engine is a second folder
beside ``builtin``, its family in ``families`` and its `EngineKind` in ``node.build``.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.blocks import BlockRecord
from ledger.encoding.codec import Natural, PublicKey, Record
from ledger.execute import Execution, Verify
from ledger.ledger import Ledger
from ledger.rules.validators import ValidatorSchedule
from ledger.status import TransactionStatus, Waiting
from ledger.store.rows import BlockRow
from ledger.transactions import Transaction

# --- what an engine says of itself ---------------------------------------------------------------


class SeenCommit(Record, frozen=True):
    """One of the last blocks: when, how long it took, and who signed."""

    height: Natural
    time_ms: Natural
    round: Natural
    transactions: Natural
    finality_us: Natural
    """From the first knowledge of work to the durable commit, on this node."""
    signers: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """Where an engine stands."""

    round: int
    step: str
    validates: bool
    """Whether this node's key votes at the height being decided."""
    pending: int
    """Transactions that wait for a block."""
    stopped: str
    """Why this node does not vote; empty while it does."""
    commits: tuple[SeenCommit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerState:
    """One of the nodes that an engine talks to."""

    name: str
    up: bool
    round_trip_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachability:
    """Whom an engine reaches, as the event loop knows it."""

    peers: tuple[PeerState, ...]
    quorum_age_ms: int
    """How long less than a quorum of the power has been linked, in ms; 0 while a quorum is."""
    faults: tuple[tuple[str, int], ...]
    """How often a peer broke the protocol; strangers have no name."""


class EngineStopped(Exception):
    """This engine decides no further block, and the sentence says why: the node stops."""


class PromiseBroken(EngineStopped):
    """Validators with more than a third of the power broke the protocol: no restart helps."""

    def __init__(self, sentence: str, evidence: bytes) -> None:
        super().__init__(sentence)
        self.evidence = evidence
        """What shows it, to be kept in a file."""


# --- what a node gives it ------------------------------------------------------------------------


class Clock(Protocol):
    """The only idea of time that an engine has on the host thread."""

    def wall_ms(self) -> int:
        """Return Unix time in milliseconds."""

    def monotonic_us(self) -> int:
        """Return a clock that never steps, in microseconds."""


class Timers(Protocol):
    """Calls back later."""

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Call ``action`` on the host thread after a delay."""


class Tell(Protocol):
    """What an engine tells its node, on the host thread."""

    def committed(self, execution: Execution, seen: SeenCommit) -> None:
        """Learn that a block is durable."""

    def refused(self, status: TransactionStatus) -> None:
        """Learn that a pending transaction of an own client was dropped: a rule refuses it."""

    def stopped(self, reason: str) -> None:
        """Learn that this node must never vote again, even after a restart."""

    def paused(self, reasons: Mapping[str, str]) -> None:
        """Learn why it does not vote for now, by cause; nothing if it may again."""


class Address(Protocol):
    """Where another node can be reached, as an operator says."""

    @property
    def party(self) -> str:
        """Return whose node it is."""

    @property
    def host(self) -> str:
        """Return a name or an address."""

    @property
    def port(self) -> int:
        """Return the port of its links."""

    @property
    def link_key(self) -> bytes:
        """Return its Ed25519 link key; empty for the one that the ledger names."""


class Observer(Protocol):
    """A node that an operator lets in though it does not validate."""

    @property
    def name(self) -> str:
        """Return what it calls itself: its party, if it has one."""

    @property
    def link_key(self) -> bytes:
        """Return its Ed25519 link key."""


class Neighbours(Protocol):
    """Whom a node's operator names."""

    @property
    def party(self) -> str:
        """Return whose node this is."""

    @property
    def peers(self) -> Sequence[Address]:
        """Return where others can be reached."""

    @property
    def observers(self) -> Sequence[Observer]:
        """Return who may link without validating."""


class HostJobs(Protocol):
    """The way from the event loop to the host thread. Both return False if there is no room."""

    def put_urgent(self, job: Callable[[], None]) -> bool:
        """Queue what decides blocks."""

    def put_bulk(self, job: Callable[[], None]) -> bool:
        """Queue anything else."""


VerifyEnvelopes = Callable[[tuple[bytes, ...]], Awaitable[Sequence[Transaction | Exception]]]
"""Decodes envelopes and verifies their signatures, off the event loop, in their order."""


class Blockstore(Protocol):
    """What an engine reads back of decided blocks."""

    def block_row(self, height: int) -> BlockRow | None:
        """Return where a block lies in the log."""

    def stored_commit(self, height: int) -> bytes | None:
        """Return what the engine stored with a block."""

    def entries(self, first: int, last: int) -> tuple[bytes, ...]:
        """Return log entries."""


# --- the engine ----------------------------------------------------------------------------------


class Engine(Protocol):
    """The half on the host thread; nothing here is called from any other."""

    def start(self) -> None:
        """Take up what the disk holds, then the next height; raise EngineStopped."""

    def submit(self, transaction: Transaction) -> None:
        """Take in an own client's transaction whose signatures were verified.

        Raises Inadmissible or Busy; what a rule refuses is not kept, and its status says why.
        """

    def status(self, transaction_id: bytes) -> TransactionStatus:
        """Say what is known of a transaction outside the log."""

    def waiting(self, after: int) -> Iterator[Waiting]:
        """Yield what waits here and came in after an arrival, oldest first."""

    def state(self) -> EngineState:
        """Say where the engine stands."""

    def has_work(self) -> bool:
        """Return whether a transaction waits for its block: other work can wait."""

    def on_idle(self) -> None:
        """Do the work that was deferred until the inbox is empty."""

    def stop_voting(self, reason: str) -> None:
        """Sign nothing any more; the first reason stays."""

    def pause_voting(self, cause: str, reason: str) -> None:
        """Sign nothing while any cause has a reason; an empty reason ends a cause."""

    def knows_where_it_was(self) -> bool:
        """Return whether this node surely voted on nothing above the present height."""

    def close(self) -> None:
        """Give back what it holds of the disk."""


class Connection(Protocol):
    """The half on the event loop: the sockets by which an engine reaches the other nodes."""

    async def start(self) -> None:
        """Listen and call; raise OSError if the address cannot be had."""

    async def stop(self) -> None:
        """Close everything."""

    def reachability(self) -> Reachability:
        """Say who can be reached."""

    def reconfigure(self, named: Neighbours) -> bool:
        """Take what the operator says now; return False if there is no room for the job."""


class EngineKind(Protocol):
    """How a node gets its engine; a folder beside this file has one."""

    name: str
    """What governance calls it."""

    def on_loop(
        self, jobs: HostJobs, verify: VerifyEnvelopes, heard: Callable[[str], None]
    ) -> Connection:
        """Return the half on the event loop; called first, there.

        ``heard`` is to be told the peer of every message that comes in.
        """

    def on_host(
        self, ledger: Ledger, blocks: Blockstore, *, clock: Clock, timers: Timers, tell: Tell
    ) -> Engine:
        """Return the half on the host thread; called once, there."""


# --- what it stores with a block -----------------------------------------------------------------


class CommitInvalid(Exception):
    """A stored commit does not prove the block it stands beside."""

    def __init__(self, *, height: int, reason: str, field: str = "commit") -> None:
        super().__init__(f"commit at height {height}: {reason}")
        self.height, self.reason = height, reason
        self.field = field
        """``commit``, or the part of it that is wrong: ``commit.header.time_ms``."""


class CommitMissing(CommitInvalid):
    """The commits end before the log does."""


class CommitHead(Record, frozen=True):
    """Where a chain of commits stands, so that it can be taken up again."""

    height: Natural
    time_ms: Natural
    record_hash: bytes
    proof: bytes
    """What the chain goes on from, in bytes of its family's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenCommit:
    """A commit that holds."""

    height: int
    time_ms: int
    record_hash: bytes
    """After this height."""
    stored: bytes
    carries: Callable[[tuple[bytes, ...]], bool]
    """Tells whether these envelopes are what was decided, in their order."""


OnCommit = Callable[[ProvenCommit], None]
"""Told of each commit that holds, in the order of heights; may raise CommitInvalid."""


class CommitChain(Protocol):
    """Follows the commits of every height, those of blocks that logged nothing too.

    Whoever calls gives the schedule of validators as it was before the block: a set that a block
    decides acts two heights on, so the schedule holds for all heights through that block.
    """

    height: int
    """The last height whose commit was verified."""
    time_ms: int
    record_hash: bytes

    def head(self) -> CommitHead | None:
        """Return where the chain stands, None before the first height."""

    def go_on(self, head: CommitHead, schedule: ValidatorSchedule) -> None:
        """Take up a chain after a height; the commits that come are of those above."""

    def advance_to(self, record: BlockRecord, schedule: ValidatorSchedule) -> None:
        """Verify all commits through that of a block with a record; raise CommitInvalid."""

    def finish(self, schedule: ValidatorSchedule) -> None:
        """Verify what follows the last record: heights that logged nothing."""


class CommitFamily(Protocol):
    """What an engine stores beside a block, and who can verify it."""

    name: str
    bytes_max: int
    """Longest stored commit."""

    def height_of(self, stored: bytes) -> int:
        """Return which height a commit says it is of; raise NotCanonical."""

    def chain(
        self,
        log_id: bytes,
        commits: Iterator[tuple[int, bytes]],
        on_commit: OnCommit = lambda _: None,
        *,
        verify: Verify | None,
    ) -> CommitChain:
        """Return a chain before the first height; without ``verify`` no signature is looked at."""

    def verify_stored(self, blocks: Blockstore, row: BlockRow, parent: bytes) -> bytes:
        """Verify what a store has of one height by itself; raise CommitInvalid.

        ``parent`` is what this returned of the height before, empty before the first. Whether its
        signers were the validators of their height is a chain's business.
        """
