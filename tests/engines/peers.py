"""A host on simulated disks, and the three validators around it: what they say, what it says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from consensus.certificate import Certificate
from consensus.messages import (
    BlockId,
    Proposal,
    ValidatorKey,
    Vote,
    VoteKind,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from engines.builtin import messages
from engines.builtin.engine import BuiltinEngine
from engines.builtin.messages import (
    ENGINE_EPOCH,
    NO_BLOCK,
    Ask,
    Body,
    Chunk,
    DecidedBlock,
    Header,
    Message,
    ProposalMessage,
    StoredCommit,
    VoteMessage,
)
from engines.builtin.p2p.frames import Channel
from engines.builtin.signer import Signer, SigningPort, format_slots
from engines.builtin.wal import WriteAheadLog
from engines.seam import SeenCommit
from ledger.blocks import BlockInput
from ledger.encoding import codec
from ledger.execute import Execution
from ledger.ledger import Ledger
from ledger.status import TransactionStatus
from ledger.store.memory import MemoryStore
from trials.simulation.disk import CrashPlan, SimulatedLogFile, SimulatedSlotFile
from trials.simulation.member import TIMEOUTS
from trials.simulation.signatures import STAND_IN, seed_of
from trials.simulation.society import Clients, centre_name, consensus_key, foundation_of
from trials.simulation.world import MIDNIGHT_MS

VALIDATORS = 4
FOUNDATION = foundation_of(VALIDATORS)
START_MS = MIDNIGHT_MS - 60_000


def names_in_turn() -> list[str]:
    """Return validator names by whose turn it is at height 1, from round 0 on."""
    by_key = {consensus_key(centre_name(i)): centre_name(i) for i in range(VALIDATORS)}
    return [by_key[FOUNDATION.validators.proposer(1, round_)] for round_ in range(VALIDATORS)]


FIRST, SECOND, OWN, FOURTH = names_in_turn()
"""The host under test is OWN: two others propose before it."""


@dataclass
class Ports:
    """Everything that outlives a process, and what the process says. Time is set by hand."""

    name: str = OWN
    now_ms: int = START_MS
    sent: list[tuple[str, Channel, bytes]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    timers: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    commits: list[SeenCommit] = field(default_factory=list)
    refusals: list[TransactionStatus] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    pauses: list[dict[str, str]] = field(default_factory=list)
    store: MemoryStore = field(default_factory=MemoryStore)
    plan: CrashPlan = field(default_factory=CrashPlan)

    def __post_init__(self) -> None:
        dice = Random(1)
        self.logs = [SimulatedLogFile(f"wal.{index}", self.plan, dice) for index in (0, 1)]
        self.slots = SimulatedSlotFile(self.plan, dice)
        format_slots(seed_of(self.name, "consensus"), self.slots)
        Ledger(self.store).begin(FOUNDATION.genesis)

    def host(self, *, signer: SigningPort | None = None) -> BuiltinEngine:
        """Return a new process on these disks, started; with its own signer, or another."""
        self.sent.clear()
        self.timers.clear()
        host = BuiltinEngine(
            ledger=Ledger(self.store, verify=STAND_IN.verify),
            blocks=self.store,
            wal=WriteAheadLog(self.logs),
            signer=signer
            or Signer(seed_of(self.name, "consensus"), self.slots, sign=STAND_IN.sign),
            network=self,
            clock=self,
            timers=self,
            timeouts=TIMEOUTS,
            tell=self,
            verify=STAND_IN.verify,
        )
        host.start()
        return host

    def crash(self) -> None:
        """Lose what was not synced."""
        self.plan.arm(0)
        for file in self.logs:
            file.crash()
        self.slots.crash()

    def send(self, peer: str, channel: Channel, payload: bytes) -> None:
        self.plan.step()
        self.sent.append((peer, channel, payload))

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        self.send("*", channel, payload)

    def fault(self, peer: str, reason: str) -> None:
        self.faults.append((peer, reason))

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_us(self) -> int:
        return self.now_ms * 1_000

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.timers.append((self.now_ms + delay_ms, action))

    def pass_time(self, for_ms: int) -> None:
        """Let timers run out."""
        end_ms = self.now_ms + for_ms
        while due := sorted(
            (timer for timer in self.timers if timer[0] <= end_ms), key=lambda timer: timer[0]
        ):
            self.timers.remove(due[0])
            self.now_ms = max(self.now_ms, due[0][0])
            due[0][1]()
        self.now_ms = end_ms

    def committed(self, execution: Execution, seen: SeenCommit) -> None:
        self.commits.append(seen)

    def refused(self, status: TransactionStatus) -> None:
        self.refusals.append(status)

    def stopped(self, reason: str) -> None:
        self.stops.append(reason)

    def paused(self, reasons: Mapping[str, str]) -> None:
        self.pauses.append(dict(reasons))

    def votes(self) -> list[Vote]:
        """Return the host's own votes, as sent."""
        out = []
        for _, channel, payload in self.sent:
            if channel is Channel.VOTE:
                message = codec.decode(messages.OnVoteChannel, payload, len(payload))
                is_vote = isinstance(message, VoteMessage)
                if is_vote and message.vote.validator == consensus_key(self.name):
                    out.append(message.vote)
        return out

    def asks(self) -> list[tuple[str, int]]:
        """Return whom the host asked for blocks, and from which height."""
        return [
            (peer, message.from_height)
            for peer, channel, payload in self.sent
            if channel is Channel.SYNC
            and isinstance(message := codec.decode(messages.OnSyncChannel, payload, 10**7), Ask)
        ]


# --- what peers say ------------------------------------------------------------------------------


def opening(now_ms: int = START_MS) -> tuple[bytes, ...]:
    """Return transactions that hold on an empty ledger."""
    clients = Clients(FOUNDATION.log_id, STAND_IN, Random(1))
    return tuple(raw for _, raw in clients.opening(now_ms, expiries=False))


def decided_chain(length: int) -> list[DecidedBlock]:
    """Return blocks that four validators decided: the first with transactions, the rest empty."""
    ledger = Ledger(MemoryStore(), verify=STAND_IN.verify)
    ledger.begin(FOUNDATION.genesis)
    blocks: list[DecidedBlock] = []
    for height in range(1, length + 1):
        transactions = opening() if height == 1 else ()
        parent = messages.block_id(blocks[-1].header) if blocks else NO_BLOCK
        previous = (blocks[-1].certificate,) if blocks else ()
        header, data, execution = make_block(
            ledger, FIRST, transactions, parent, previous, START_MS + 1_000 * height
        )
        certificate = certify(header)
        stored = StoredCommit(
            header=header, certificate=certificate, previous=previous, evidence=()
        )
        ledger.commit(execution, codec.encode(stored))
        blocks.append(DecidedBlock(header=header, certificate=certificate, body=data))
    return blocks


def make_block(
    ledger: Ledger,
    proposer: str,
    transactions: tuple[bytes, ...] = (),
    parent: bytes = NO_BLOCK,
    previous: tuple[Certificate, ...] = (),
    time_ms: int = START_MS,
) -> tuple[Header, bytes, Execution]:
    height = ledger.last().height + 1
    execution = ledger.execute(
        BlockInput(height=height, time_ms=time_ms, transactions=transactions)
    )
    body = codec.encode(Body(transactions=transactions, evidence=(), previous=previous))
    header = Header(
        version=1,
        log_id=FOUNDATION.log_id,
        epoch=ENGINE_EPOCH,
        height=height,
        time_ms=time_ms,
        proposer=consensus_key(proposer),
        parent=parent,
        record_hash=execution.head.record_hash,
        body_hash=messages.body_hash(messages.chunk_hashes(messages.chunks_of(body))),
    )
    return header, body, execution


def first_block(proposer: str, time_ms: int = START_MS) -> tuple[Header, bytes]:
    """Return a valid block of height 1."""
    ledger = Ledger(MemoryStore(), verify=STAND_IN.verify)
    ledger.begin(FOUNDATION.genesis)
    header, body, _ = make_block(ledger, proposer, opening(), time_ms=time_ms)
    return header, body


def vote(
    who: str, kind: VoteKind, block: tuple[BlockId, ...], *, round_: int = 0, height: int = 1
) -> Vote:
    message = vote_sign_bytes(FOUNDATION.log_id, ENGINE_EPOCH, kind, height, round_, block)
    return Vote(
        kind=kind,
        height=height,
        round=round_,
        block_id=block,
        validator=ValidatorKey(consensus_key(who)),
        signature=STAND_IN.sign(seed_of(who, "consensus"), message),
    )


def certify(header: Header, signers: tuple[str, ...] = (FIRST, SECOND, FOURTH)) -> Certificate:
    block = messages.block_id(header)
    votes = [vote(who, VoteKind.PRECOMMIT, (block,), height=header.height) for who in signers]
    return Certificate(
        height=header.height,
        round=0,
        block_id=block,
        signatures=tuple(sorted((one.validator, one.signature) for one in votes)),
    )


def proposal(
    who: str,
    header: Header,
    body: bytes,
    *,
    round_: int = 0,
    valid_round: tuple[int, ...] = (),
    height: int | None = None,
) -> Proposal:
    """Return a signed proposal, at the height that its header says or at another."""
    block = messages.block_id(header)
    height = header.height if height is None else height
    message = proposal_sign_bytes(
        FOUNDATION.log_id, ENGINE_EPOCH, height, round_, valid_round, block
    )
    return Proposal(
        height=height,
        round=round_,
        valid_round=valid_round,
        block_id=block,
        validator=ValidatorKey(consensus_key(who)),
        header=codec.encode(header),
        chunk_hashes=messages.chunk_hashes(messages.chunks_of(body)),
        signature=STAND_IN.sign(seed_of(who, "consensus"), message),
    )


def tell(host: BuiltinEngine, peer: str, message: Message) -> None:
    """Let a peer say something."""
    host.on_message(peer, messages.channel_of(message), codec.encode(message))


def offer(host: BuiltinEngine, peer: str, one: Proposal, body: bytes) -> None:
    """Let a peer send a proposal with all its chunks."""
    tell(host, peer, ProposalMessage(proposal=one))
    for index, data in enumerate(messages.chunks_of(body)):
        chunk = Chunk(height=one.height, block_id=one.block_id, index=index, data=data)
        tell(host, peer, chunk)


def said(votes: list[Vote]) -> dict[tuple[int, str], set[tuple[BlockId, ...]]]:
    """Return what was voted for by round and kind."""
    found: dict[tuple[int, str], set[tuple[BlockId, ...]]] = {}
    for one in votes:
        found.setdefault((one.round, one.kind), set()).add(one.block_id)
    return found
