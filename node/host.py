"""The host: the one loop that performs the effects of consensus (spec N6).

A synchronous state machine over ports. The node runs it in one thread; the simulator runs the very
same code on virtual time. Order is the contract: log before sign, sign before send, one durable
commit a block. An invariant that breaks raises and stops the node.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from consensus.certificate import Certificate
from consensus.driver import Driver
from consensus.effects import (
    BuildProposal,
    Decide,
    Effect,
    Equivocation,
    Log,
    Repropose,
    ScheduleTimeout,
    SignVote,
    StopVoting,
)
from consensus.evidence import FaultProof, ProofInvalid, proof_of
from consensus.inputs import (
    Input,
    ProposalReceived,
    TimeoutExpired,
    TimeoutKind,
    VoteReceived,
    WorkArrived,
)
from consensus.messages import (
    BlockId,
    Proposal,
    ValidatorKey,
    Vote,
    VoteKind,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from consensus.timeouts import TimeoutPolicy
from consensus.validators import ValidatorSet
from consensus.votebook import WINDOW_MAX
from ledger.blocks import BLOCK_TRANSACTIONS_MAX, BlockInput, Limits
from ledger.encoding import codec, crypto
from ledger.encoding.codec import NotCanonical
from ledger.execute import Execution, Verify
from ledger.ledger import Ledger
from ledger.transactions import Transaction
from node import messages
from node.catchup import Catchup
from node.decided import Blockstore, decided_block
from node.faults import Faults, is_current
from node.judge import EMPTY_BLOCK_MS, Judge, is_idle, validator_set
from node.mempool import Mempool
from node.messages import (
    Ask,
    Batch,
    Blocks,
    Body,
    Chunk,
    DecidedBlock,
    FaultMessage,
    Header,
    Here,
    LoggedInput,
    ProposalMessage,
    StoredCommit,
    VoteMessage,
    WantChunks,
)
from node.offers import CHUNK_PATIENCE_US, Offered, Offers
from node.own_key import OwnKey
from node.p2p.frames import Channel, PeerFault
from node.port import Committed, SeenCommit, TransactionStatus
from node.shares import Answers, Future, Told
from node.signer import Signer
from node.wal import WriteAheadLog

TICK_MS = 250
RESEND_US = 1_000_000
OUTBOX_BYTES = 256 * 1024
"""A batch of transactions is sent when it reaches this size, or when the host is idle."""
FLUSH_EVERY_MS = 10
"""Under load, batches wait this long for more: a batch costs its receivers about as much as it
costs to verify a transaction. The first one after a pause is sent at once."""
TIMELY_MS = 2_000
TIMELY_INCREMENT_MS = 500
SEEN_VOTES_MAX = 16_384
SEEN_COMMITS_MAX = 64


class Network(Protocol):
    """How the host reaches its peers, by name."""

    def send(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Queue a message; it is lost if there is no link or no room."""

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Queue a message to every peer."""

    def fault(self, peer: str, reason: str) -> None:
        """Close the link of a peer that broke the protocol."""


class Clock(Protocol):
    """The host's only idea of time."""

    def wall_ms(self) -> int:
        """Return Unix time in milliseconds."""

    def monotonic_us(self) -> int:
        """Return a clock that never steps, in microseconds."""


class Timers(Protocol):
    """Calls back later."""

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Call ``action`` on the host's thread after a delay."""


Listener = Callable[[Committed, Execution], None]


ENGINE = "builtin"
"""What governance calls this engine."""


class EngineSwitched(Exception):
    """Members chose another engine from this height on: this one decides nothing any more."""

    def __init__(self, *, height: int, engine: str) -> None:
        super().__init__(f"from height {height} on engine {engine} decides, this node is {ENGINE}")


class Host:
    """One node's engine: a driver for the current height, and everything it asks for."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        blocks: Blockstore,
        wal: WriteAheadLog,
        signer: Signer | None,
        network: Network,
        clock: Clock,
        timers: Timers,
        timeouts: TimeoutPolicy,
        on_commit: Listener,
        verify: Verify = crypto.verify,
        on_refused: Callable[[TransactionStatus], None] | None = None,
    ) -> None:
        self.mempool = Mempool(ledger, on_refused=on_refused)
        self.key = OwnKey(signer, wal, ledger.last().log_id)
        self.faults = Faults()
        self.seen_commits: deque[SeenCommit] = deque(maxlen=SEEN_COMMITS_MAX)
        self.catchup = Catchup()
        self._ledger = ledger
        self._blocks = blocks
        self._wal = wal
        self._network = network
        self._clock = clock
        self._timers = timers
        self._timeouts = timeouts
        self._on_commit = on_commit
        self._verify = verify
        self._log_id = ledger.last().log_id
        self._parent, self._previous = self._last_commit()
        self._driver: Driver
        self._judge: Judge
        self._inputs: deque[tuple[Driver, Input]] = deque()
        self._is_feeding = False
        self.offers = Offers()
        self._seen_votes: dict[tuple[bytes, VoteKind, int], Vote] = {}
        self._silent: list[SignVote] = []
        """Votes of this height that a pause kept back."""
        self._future = Future()
        self._told = Told()
        """What of this height."""
        self._helped = Told()
        """That they are behind."""
        self._answers = Answers()
        self._height_since_us = 0
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._flushed_us = 0
        self._flush_is_due = False
        self._work_arrived_at_all = False
        self._busy_since_us: int | None = None
        """When this node first knew of work for this height."""
        self._build_waits: int | None = None
        """Round of an own block that waits for its time, since there was nothing to put in."""
        self._resent_us = 0
        self._resent_height = 0

    # --- life ------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """Return the height being decided."""
        return self._ledger.last().height + 1

    @property
    def round(self) -> int:
        """Return the current round."""
        return self._driver.round

    @property
    def step(self) -> str:
        """Return the current step; ``waiting`` before the height has any work."""
        return self._driver.step.name.lower()

    @property
    def validators(self) -> ValidatorSet:
        """Return who decides this height."""
        return self._judge.validators

    @property
    def is_validator(self) -> bool:
        """Return whether this node's key votes at this height."""
        return self._own_key() is not None

    def start(self) -> None:
        """Take up the write-ahead log, then the height; call once."""
        self._new_driver()
        for certificate in self._previous:
            self._hold_against_votes(certificate)
        self._take_up_log()
        self._tick()

    @property
    def _is_behind_log(self) -> bool:
        """Return whether the log is of a height that the store has not come to yet."""
        return self._wal.height is not None and self._wal.height > self.height

    def _take_up_log(self) -> None:
        if self._wal.height == self.height:
            self._replay(self._wal.records)
        elif not self._is_behind_log:
            self._wal.start_height(self.height)

    def _new_driver(self) -> None:
        engine = self._ledger.engine(self.height)
        if engine not in ("", ENGINE):
            raise EngineSwitched(height=self.height, engine=engine)
        self._ledger.require_known_rules(self.height)
        self._told.clear()
        self._height_since_us = self._clock.monotonic_us()
        self._judge = Judge(
            ledger=self._ledger,
            log_id=self._log_id,
            parent=self._parent,
            previous=self._previous,
            validators=validator_set(self._ledger.validators(self.height)),
            has_verified=self.faults.has_verified,
            verify=self._verify,
        )
        self._driver = Driver(
            height=self.height,
            validators=self.validators,
            own_key=self._own_key(),
            timeouts=self._timeouts,
        )
        self._work_arrived_at_all = False
        self._busy_since_us = None
        self._build_waits = None
        self._silent = []

    def _own_key(self) -> ValidatorKey | None:
        """Return the key that votes at this height, if it is this node's and may."""
        key = self.key.public_key
        if key is None or self.key.follows(self.height):
            return None
        return key if self.validators.power_of(key) else None

    def _replay(self, records: tuple[bytes, ...]) -> None:
        """Bring a fresh driver to where the log ends; only then do effects count again (E4).

        Nothing is sent or signed during replay. Votes and timers that no logged input answers are
        then performed: the signer gives an old signature again, or stays silent.
        """
        open_effects: list[Effect] = []
        for record in records:
            logged: LoggedInput = codec.decode(LoggedInput, record, len(record))
            input_ = logged.input
            if isinstance(input_, ProposalReceived):
                self._learn_logged_body(input_.proposal, logged.body)
                input_ = self._judged_again(input_)
            effects = self._driver.handle(input_)
            open_effects.extend(effect for effect in effects if not isinstance(effect, Log))
        if self._own_key() is not None and not self.key.explains_its_last_signature(
            self.height, open_effects
        ):
            self.key.silent_below = self.height + 1
        for effect in open_effects:
            match effect:
                case SignVote(kind=kind, round=round_):
                    if self._driver.own_vote(round_, kind) is None:
                        self._perform(effect)
                case BuildProposal(round=round_) | Repropose(round=round_):
                    if self._driver.proposal_for(round_) is None and round_ == self._driver.round:
                        self._perform(effect)
                case ScheduleTimeout(round=round_):
                    if round_ == self._driver.round:
                        self._perform(effect)
                case Equivocation() | Decide() | StopVoting():
                    self._perform(effect)
        self._drain()

    def _judged_again(self, logged: ProposalReceived) -> ProposalReceived:
        """Return a logged proposal with this store's verdict; be silent if it was another (N6.5).

        A rotten store may have judged it, and have been put aside since. What was signed by that
        verdict cannot be told from the log any more.
        """
        valid = self.offers.must(logged.proposal.block_id).execution is not None
        if valid != logged.valid:
            self.key.silent_below = max(self.key.silent_below, self.height + 1)
        return ProposalReceived(proposal=logged.proposal, valid=valid, timely=logged.timely)

    def _learn_logged_body(self, proposal: Proposal, body: tuple[bytes, ...]) -> None:
        if not body:
            return
        header = messages.decode_header(proposal.header)
        offered = Offered(header, body[0], self._judge.execution(header, body[0]))
        self.offers.learn_logged(proposal.block_id, offered)

    # --- what comes in ---------------------------------------------------------------------------

    def on_message(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Take a peer's message; raise PeerFault if the peer breaks the protocol."""
        try:
            match channel:
                case Channel.VOTE:
                    vote_message: messages.OnVoteChannel = codec.decode(
                        messages.OnVoteChannel, payload, 4096
                    )
                    match vote_message:
                        case VoteMessage(vote=vote):
                            self._on_vote(peer, vote, payload)
                        case Here(height=height):
                            self._on_here(peer, height)
                        case FaultMessage(proof=proof):
                            self._on_fault(proof)
                case Channel.BLOCK:
                    block_message: messages.OnBlockChannel = codec.decode(
                        messages.OnBlockChannel, payload, 64 * 1024
                    )
                    match block_message:
                        case ProposalMessage(proposal=proposal):
                            self._on_proposal(peer, proposal, payload)
                        case Chunk():
                            self._on_chunk(peer, block_message, payload)
                        case WantChunks(height=height, block_id=block):
                            if height == self.height:
                                self._send_chunks(peer, BlockId(block))
                case Channel.SYNC:
                    sync_message: messages.OnSyncChannel = codec.decode(
                        messages.OnSyncChannel, payload, 8 * 1024 * 1024
                    )
                    match sync_message:
                        case Ask(from_height=height):
                            self._on_ask(peer, height)
                        case Blocks(blocks=blocks):
                            self._on_blocks(peer, blocks)
                case _:
                    raise PeerFault(f"channel {channel.name} is not for the host")
        except NotCanonical as error:
            raise PeerFault(f"malformed {channel.name.lower()} message: {error}") from None
        self._drain()

    def on_peer_up(self, peer: str) -> None:
        """Tell a peer where we are, and hand it what its clients have not seen."""
        self._say_here(peer)
        for proof in self.faults.waiting(self._ledger.may_record):
            self._network.send(peer, Channel.VOTE, codec.encode(FaultMessage(proof=proof)))
        batch = self._own_pending()
        if batch is not None:
            self._network.send(peer, Channel.TRANSACTIONS, batch)

    def _own_pending(self) -> bytes | None:
        """Return the oldest of what clients handed in and is not final, as one batch."""
        batch: list[bytes] = []
        size = 0
        for transaction in self.mempool.own_ready():
            size += len(transaction.raw)
            if size > messages.BATCH_BYTES_MAX or len(batch) == BLOCK_TRANSACTIONS_MAX:
                break
            batch.append(transaction.raw)
        return codec.encode(Batch(envelopes=tuple(batch))) if batch else None

    def on_peer_down(self, peer: str) -> None:
        """Forget what a peer claimed."""
        self.catchup.gone(peer)
        self._helped.forget(peer)
        self._told.forget(peer)

    def on_transaction(self, transaction: Transaction, *, own: bool) -> None:
        """Take in a transaction whose signatures were verified.

        Raises Inadmissible or Busy; what a rule refuses is kept in the pool as refused for now.
        """
        self._ledger.remember_verified(transaction)
        is_new = self.mempool.add(transaction, own=own, time_ms=self._next_time_ms())
        if is_new:
            self._ledger.adopt(transaction)
        if is_new and own:
            self._outbox.append(transaction.raw)
            self._outbox_bytes += len(transaction.raw)
            if self._outbox_bytes > OUTBOX_BYTES:
                self._flush(self._clock.monotonic_us())
        if is_new and self.mempool.has_ready():
            self._work_arrived()
            self._build_waiting(self._driver)

    def flush(self) -> None:
        """Send on what clients handed in; call when there is nothing else to do at once."""
        if self._outbox and not self._flush_is_due:
            now_us = self._clock.monotonic_us()
            if now_us - self._flushed_us >= FLUSH_EVERY_MS * 1_000:
                self._flush(now_us)
            else:
                self._flush_is_due = True
                self._timers.after(FLUSH_EVERY_MS, self._flush_later)

    def _flush_later(self) -> None:
        self._flush_is_due = False
        self._flush(self._clock.monotonic_us())

    def _flush(self, now_us: int) -> None:
        self._flushed_us = now_us
        if self._outbox:
            payload = codec.encode(Batch(envelopes=tuple(self._outbox)))
            self._network.broadcast(Channel.TRANSACTIONS, payload)
            self._outbox, self._outbox_bytes = [], 0

    def resume_voting(self) -> None:
        """Sign again, first the votes of this round that went by in silence.

        Were they left out, a network that paused together would wait for them for ever.
        """
        self.key.paused = ""
        silent, self._silent = self._silent, []
        for vote in silent:
            if vote.round == self._driver.round:
                self._perform(vote)
        self._drain()

    # --- votes -----------------------------------------------------------------------------------

    def _on_vote(self, peer: str, vote: Vote, payload: bytes) -> None:
        if self._is_elsewhere(peer, vote.height, Channel.VOTE, payload):
            self._on_late_vote(vote)
            return
        if not self.validators.power_of(vote.validator):
            return
        place = (vote.validator, vote.kind, vote.round)
        if self._seen_votes.get(place) == vote:
            return
        message = vote_sign_bytes(
            self._log_id,
            messages.ENGINE_EPOCH,
            vote.kind,
            vote.height,
            vote.round,
            vote.block_id,
        )
        if not self._verify(vote.validator, message, vote.signature):
            raise PeerFault("a vote's signature does not verify")
        if vote.validator == self._own_key() and not self.key.made(
            vote, self._driver.own_vote(vote.round, vote.kind)
        ):
            self.key.stop("a vote by this node's key that its signer never made: a second node?")
            return
        is_near = vote.round <= self._driver.round + WINDOW_MAX
        if is_near and len(self._seen_votes) < SEEN_VOTES_MAX:
            self._seen_votes[place] = vote
        self._feed(VoteReceived(vote=vote))

    def _on_late_vote(self, vote: Vote) -> None:
        """Look whether a vote of a decided height contradicts one that was seen in time."""
        proof = self.faults.contradicted_by(vote)
        if proof is not None and not self.faults.knows(proof):
            self._take_in(proof)

    def _hold_against_votes(self, certificate: Certificate) -> None:
        """Look whether a verified certificate contradicts a vote, or the own signer's record."""
        for key, signature in certificate.signatures:
            vote = Vote(
                kind=VoteKind.PRECOMMIT,
                height=certificate.height,
                round=certificate.round,
                block_id=(certificate.block_id,),
                validator=key,
                signature=signature,
            )
            self._on_late_vote(vote)
            if self.key.lacks(vote):
                self.key.stop("a certificate has a signature that the signer's record lacks")

    def _is_elsewhere(self, peer: str, height: int, channel: Channel, payload: bytes) -> bool:
        """Return whether a message is not of this height; keep one of the next."""
        if height == self.height:
            return False
        if height > self.height:
            self.catchup.heard(peer, height)
            self.key.heard(peer, height)
            if height == self.height + 1:
                self._future.keep(peer, channel, payload)
        elif self._clock.monotonic_us() - self._height_since_us >= RESEND_US:
            self._help(peer)  # in a busy network it hears of the height, and is but slow
        return True

    def _help(self, peer: str) -> None:
        """Tell a peer that speaks of a decided height where we are: it asks then (E5)."""
        if self._helped.may_repeat(peer, "height", self._clock.monotonic_us(), RESEND_US):
            self._say_here(peer)

    def _on_here(self, peer: str, height: int) -> None:
        self.catchup.heard(peer, height)
        self.key.heard(peer, height)
        self._end_silence_if_sure()
        if height < self.height:
            self._help(peer)  # it learns from this that we can help
        elif height == self.height and self._may_repeat(peer, "votes", RESEND_US):
            self._resend_to(peer)
        self._ask_if_behind(patient=False)

    def _may_repeat(self, peer: str, what: str, every_us: int) -> bool:
        """Return whether a peer may be told something of this height again already."""
        return self._told.may_repeat(peer, what, self._clock.monotonic_us(), every_us)

    def _say_here(self, peer: str) -> None:
        here = codec.encode(Here(height=self.height, round=self._driver.round))
        self._network.send(peer, Channel.VOTE, here)

    def _resend_to(self, peer: str) -> None:
        for payload_channel, payload in self._resend_messages():
            self._network.send(peer, payload_channel, payload)

    def _resend_messages(self) -> list[tuple[Channel, bytes]]:
        out = [
            (Channel.BLOCK, codec.encode(ProposalMessage(proposal=proposal)))
            for proposal in self._driver.resend_proposals()
        ]
        out += [
            (Channel.VOTE, codec.encode(VoteMessage(vote=vote))) for vote in self._driver.resend()
        ]
        return out

    def _end_silence_if_sure(self) -> None:
        self.key.end_silence_if_sure(self.height, self._ledger.validators(self.height))

    # --- faults ----------------------------------------------------------------------------------

    def _on_fault(self, proof: FaultProof) -> None:
        """Take in a proof from a peer; raise PeerFault if it proves nothing."""
        if not is_current(proof, self.height) or self.faults.knows(proof):
            return
        if not self._ledger.may_record(messages.fault_of(proof)):
            return
        self._take_in(proof)

    def _take_in(self, proof: FaultProof) -> None:
        try:
            self._judge.require_proven(proof)
        except ProofInvalid as error:
            raise PeerFault(f"a proof of a fault: {error}") from None
        self._learn_fault(proof)

    def _learn_fault(self, proof: FaultProof) -> None:
        """Keep a verified proof for the next block, and tell the others if it is news."""
        if proof.validator == self.key.public_key:
            self.key.stop("a proof that this node's key contradicted itself: a second node?")
        if self.faults.learn(proof):
            payload = codec.encode(FaultMessage(proof=proof))
            self._network.broadcast(Channel.VOTE, payload)

    # --- proposals -------------------------------------------------------------------------------

    def _on_proposal(self, peer: str, proposal: Proposal, payload: bytes) -> None:
        if self._is_elsewhere(peer, proposal.height, Channel.BLOCK, payload):
            return
        if proposal.round > self._driver.round + WINDOW_MAX:
            return
        if proposal.validator != self.validators.proposer(proposal.height, proposal.round):
            return
        if proposal.valid_round and proposal.valid_round[0] >= proposal.round:
            raise PeerFault("a proposal whose valid round is not before its round")
        if self._knows(proposal):
            return
        self._note_busy()
        message = proposal_sign_bytes(
            self._log_id,
            messages.ENGINE_EPOCH,
            proposal.height,
            proposal.round,
            proposal.valid_round,
            proposal.block_id,
        )
        if not self._verify(proposal.validator, message, proposal.signature):
            raise PeerFault("a proposal's signature does not verify")
        header = messages.decode_header(proposal.header)
        if messages.block_id(header) != proposal.block_id:
            raise PeerFault("a proposal's header is not the block it names")
        if messages.body_hash(proposal.chunk_hashes) != header.body_hash:
            raise PeerFault("a proposal's chunks are not what its header names")
        if not proposal.valid_round and header.proposer != proposal.validator:
            # Judged as a fresh one, the block of somebody else would be invalid here for ever.
            raise PeerFault("a fresh proposal of a block that somebody else built")
        first = self._driver.proposal_for(proposal.round)
        if first is not None and not self._driver.wants(proposal):
            self._learn_fault(proof_of(first, proposal))
            return  # executing block after block of one proposer would be its weapon
        received_ms = self._clock.wall_ms()
        if self.offers.get(proposal.block_id) is not None:
            self._give(proposal, header, received_ms)
            return
        now_us = self._clock.monotonic_us()
        self.offers.begin(proposal, header, received_ms=received_ms, now_us=now_us)

    def _knows(self, proposal: Proposal) -> bool:
        if self.offers.awaits(proposal):
            return True
        # Not by signature: a key can sign the same message in many ways, and that is no lie.
        return any(
            (known.round, known.valid_round) == (proposal.round, proposal.valid_round)
            for known in self._driver.proposals_of(proposal.block_id)
        )

    def _on_chunk(self, peer: str, chunk: Chunk, payload: bytes) -> None:
        if self._is_elsewhere(peer, chunk.height, Channel.BLOCK, payload):
            return
        assembly = self.offers.assembly(BlockId(chunk.block_id))
        if assembly is None:
            return
        if not assembly.add(chunk.index, chunk.data):
            raise PeerFault("a chunk is not the one that its proposal names")
        body = assembly.body()
        if body is not None:
            self.offers.finished(assembly)
            if not any(self._driver.wants(proposal) for proposal in assembly.proposals):
                for proposal in assembly.proposals:  # another block of this round was faster
                    first = self._driver.proposal_for(proposal.round)
                    if first is not None:
                        self._learn_fault(proof_of(first, proposal))
                return
            offered = Offered(assembly.header, body, self._judge.execution(assembly.header, body))
            self.offers.keep(assembly.block_id, offered, may_forget=not self._inputs)
            for proposal in assembly.proposals:
                self._give(proposal, assembly.header, assembly.received_ms)

    def _give(self, proposal: Proposal, header: Header, received_ms: int) -> None:
        """Give a complete proposal to the driver with both verdicts."""
        # The verdict is said of the block, and all correct validators agree on it.
        valid = self.offers.must(proposal.block_id).execution is not None
        timely = True
        if not proposal.valid_round:
            bound_ms = TIMELY_MS + TIMELY_INCREMENT_MS * proposal.round
            timely = abs(header.time_ms - received_ms) <= bound_ms
        self._feed(ProposalReceived(proposal=proposal, valid=valid, timely=timely))

    def _send_chunks(self, peer: str | None, block: BlockId) -> None:
        offered = self.offers.get(block)
        if offered is None:
            return
        if peer is not None and not self._may_repeat(peer, block.hex(), CHUNK_PATIENCE_US // 2):
            return
        for index, data in enumerate(messages.chunks_of(offered.body)):
            chunk = Chunk(height=self.height, block_id=block, index=index, data=data)
            if peer is None:
                self._network.broadcast(Channel.BLOCK, codec.encode(chunk))
            else:
                self._network.send(peer, Channel.BLOCK, codec.encode(chunk))

    # --- feeding the driver and performing what it asks ------------------------------------------

    def _feed(self, input: Input) -> None:
        self._inputs.append((self._driver, input))

    def _drain(self) -> None:
        """Feed what waits until nothing does; effects may add more."""
        if self._is_feeding:
            return
        self._is_feeding = True
        while self._inputs:
            driver, input_ = self._inputs.popleft()
            if driver is not self._driver:
                continue  # of a height that is decided
            for effect in driver.handle(input_):
                assert driver is self._driver, "nothing follows a decision"
                self._perform(effect)
        self._is_feeding = False

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Log(input=input_):
                self._log(input_)
            case SignVote() if self.key.paused:
                self._silent.append(effect)
            case SignVote(kind=kind, round=round_, block_id=value):
                self._sign_vote(kind, round_, value)
            case BuildProposal(round=round_):
                self._build(round_)
            case Repropose(round=round_, block_id=block, valid_round=valid_round):
                offered = self.offers.must(block)
                self._propose(round_, offered.header, offered.body, (valid_round,))
            case ScheduleTimeout(kind=kind_, round=round_, after_ms=after_ms):
                self._schedule(kind_, round_, after_ms)
            case Decide(block_id=block, certificate=certificate):
                self._decide(block, certificate)
            case StopVoting(round=round_, block_id=block):
                self.key.stop(f"a quorum committed {block.hex()}, which is invalid here")
            case Equivocation(first=first, second=second):
                self._learn_fault(proof_of(first, second))

    def _log(self, input_: Input) -> None:
        body: tuple[bytes, ...] = ()
        is_own_proposal = False
        if isinstance(input_, ProposalReceived):
            data = self.offers.log(input_.proposal.block_id)
            body = () if data is None else (data,)
            is_own_proposal = input_.proposal.validator == self.key.public_key
        if self._is_behind_log:
            return  # nothing is signed here, and the log to come to must stay as it is
        self._wal.append(codec.encode(LoggedInput(input=input_, body=body)))
        if is_own_proposal:
            assert isinstance(input_, ProposalReceived)
            self._wal.sync()
            proposal = codec.encode(ProposalMessage(proposal=input_.proposal))
            self._network.broadcast(Channel.BLOCK, proposal)
            self._send_chunks(None, input_.proposal.block_id)

    def _sign_vote(self, kind: VoteKind, round_: int, value: tuple[BlockId, ...]) -> None:
        vote = self.key.vote(kind, self.height, round_, value)
        if vote is not None:
            self._network.broadcast(Channel.VOTE, codec.encode(VoteMessage(vote=vote)))
            self._feed(VoteReceived(vote=vote))

    def _build(self, round_: int) -> None:
        """Build, sign and feed a block of our own; it is sent once it is logged."""
        driver, head = self._driver, self._ledger.last()
        now_ms = self._clock.wall_ms()
        if now_ms <= head.time_ms:
            # Our clock is behind the parent's time: wait until it is past.
            self._timers.after(head.time_ms + 1 - now_ms, lambda: self._build_later(driver, round_))
            return
        proofs = self.faults.waiting(self._ledger.may_record)
        faults = tuple(map(messages.fault_of, proofs))
        transactions = self._ledger.propose(
            self.mempool.ready(),
            height=self.height,
            time_ms=now_ms,
            limits=Limits(),
            faults=faults,
            on_refused=self.mempool.refuse,
        )
        body = Body(transactions=transactions, faults=proofs, previous=self._previous)
        data = codec.encode(body)
        execution = self._ledger.execute(
            BlockInput(height=self.height, time_ms=now_ms, transactions=transactions, faults=faults)
        )
        if is_idle(execution) and now_ms < head.time_ms + EMPTY_BLOCK_MS:
            wait_ms = head.time_ms + EMPTY_BLOCK_MS - now_ms
            self._build_waits = round_
            self._timers.after(wait_ms, lambda: self._build_waiting(driver))
            return
        own = self.key.public_key
        assert own is not None, "the driver asks validators only"
        header = Header(
            version=1,
            log_id=self._log_id,
            epoch=messages.ENGINE_EPOCH,
            height=self.height,
            time_ms=now_ms,
            proposer=own,
            parent=self._parent,
            record_hash=execution.head.app_hash,
            body_hash=messages.body_hash(messages.chunk_hashes(messages.chunks_of(data))),
        )
        self.offers.keep(messages.block_id(header), Offered(header, data, execution))
        self._propose(round_, header, data, ())

    def _build_later(self, driver: Driver, round_: int) -> None:
        if driver is self._driver and driver.round == round_:
            self._build(round_)
            self._drain()

    def _build_waiting(self, driver: Driver) -> None:
        """Build what waited, once: because it is time, or because work arrived before."""
        if driver is self._driver and self._build_waits is not None:
            round_, self._build_waits = self._build_waits, None
            self._build_later(driver, round_)

    def _propose(
        self, round_: int, header: Header, body: bytes, valid_round: tuple[int, ...]
    ) -> None:
        proposal = self.key.proposal(round_, header, body, valid_round)
        if proposal is not None:
            self._feed(ProposalReceived(proposal=proposal, valid=True, timely=True))

    def _schedule(self, kind: TimeoutKind, round_: int, after_ms: int) -> None:
        driver = self._driver

        def expired() -> None:
            if driver is self._driver:
                self._feed(TimeoutExpired(kind=kind, round=round_))
                self._drain()
                self._resend()

        self._timers.after(after_ms, expired)

    # --- decisions -------------------------------------------------------------------------------

    def _decide(self, block: BlockId, certificate: Certificate) -> None:
        offered = self.offers.must(block)
        assert offered.execution is not None, "the driver decides valid blocks only"
        body = messages.decode_body(offered.body)
        self._commit(offered.header, body, certificate, offered.execution)

    def _commit(
        self, header: Header, body: Body, certificate: Certificate, execution: Execution
    ) -> None:
        """Make a decided block durable and go on to the next height."""
        now_us = self._clock.monotonic_us()
        since_us = now_us if self._busy_since_us is None else self._busy_since_us
        round_ = certificate.round
        stored = StoredCommit(
            header=header, certificate=certificate, previous=body.previous, faults=body.faults
        )
        head = self._ledger.commit(execution, codec.encode(stored))
        self._parent, self._previous = messages.block_id(header), (certificate,)
        was_behind_log = (self._wal.height or 0) > head.height
        if not was_behind_log:
            self._wal.start_height(head.height + 1)
        self.offers.clear()
        self.faults.decided(head.height, self._seen_votes, self._ledger.may_record)
        self._seen_votes.clear()
        for one in (certificate, *body.previous):
            self._hold_against_votes(one)
        self._inputs.clear()
        self.mempool.committed(execution)
        done_us = self._clock.monotonic_us()
        self.seen_commits.append(
            SeenCommit(
                height=head.height,
                time_ms=head.time_ms,
                round=round_,
                transactions=len(execution.results),
                finality_us=done_us - since_us,
                signers=tuple(key for key, _ in certificate.signatures),
            )
        )
        self._end_silence_if_sure()
        event = Committed(height=head.height, time_ms=head.time_ms, log_size=head.log_size)
        self._on_commit(event, execution)
        self._new_driver()  # last: it may be that this node decides no further height
        if was_behind_log:
            self._take_up_log()
        future, self._future = self._future, Future()
        for peer, channel, payload in future.messages:
            try:
                self.on_message(peer, channel, payload)
            except PeerFault as fault:
                self._network.fault(peer, str(fault))
        if self.mempool.has_ready():
            self._work_arrived()

    def _last_commit(self) -> tuple[bytes, tuple[Certificate, ...]]:
        """Return the id and certificate of the last block, from the store."""
        height = self._ledger.last().height
        if height == 0:
            return messages.NO_BLOCK, ()
        data = self._blocks.certificate(height)
        assert data is not None, f"block {height} has no certificate"
        commit = messages.decode_commit(data)
        return messages.block_id(commit.header), (commit.certificate,)

    # --- sync ------------------------------------------------------------------------------------

    def _on_ask(self, peer: str, from_height: int) -> None:
        if not self._answers.may_answer(peer):
            return
        blocks: list[DecidedBlock] = []
        size = 0
        for height in range(from_height, min(from_height + messages.SYNC_BLOCKS_MAX, self.height)):
            block = decided_block(self._blocks, height)
            if block is None:
                break
            size += len(block.body)
            if blocks and size > messages.SYNC_BYTES_MAX:
                break
            blocks.append(block)
        self._answers.sent(size)
        self._network.send(peer, Channel.SYNC, codec.encode(Blocks(blocks=tuple(blocks))))

    def _on_blocks(self, peer: str, blocks: tuple[DecidedBlock, ...]) -> None:
        useful = False
        for block in blocks:
            if block.header.height < self.height:
                continue
            if block.header.height > self.height:
                break
            self._adopt(block)
            useful = True
        self.catchup.answered(peer, useful=useful)
        self._ask_if_behind(patient=False)

    def _adopt(self, block: DecidedBlock) -> None:
        """Commit a block that others decided; raise PeerFault if its proof does not hold."""
        execution = self._judge.adopted(block)
        body = messages.decode_body(block.body)
        self._commit(block.header, body, block.certificate, execution)

    def _ask_if_behind(self, *, patient: bool = True) -> None:
        now_us = self._clock.monotonic_us()
        peer = self.catchup.whom_to_ask(self.height, now_us, patient=patient)
        if peer is not None:
            ask = codec.encode(Ask(from_height=self.height))
            self._network.send(peer, Channel.SYNC, ask)

    # --- time ------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timers.after(TICK_MS, self._tick)
        if not self._work_arrived_at_all and self._has_work():
            self._work_arrived()
        self._answers.tick()
        self._ask_for_chunks()
        self._ask_if_behind()
        # Counted from the first work on: what was said just now need not be said again.
        since_us = max(self._resent_us, self._busy_since_us or 0)
        if self._clock.monotonic_us() - since_us > RESEND_US:
            self._resend()
        self.flush()

    def _has_work(self) -> bool:
        now_ms = self._next_time_ms()
        head = self._ledger.last()
        expiry_ms = self.mempool.next_expiry_ms()
        return (
            self.mempool.has_ready()
            or (expiry_ms is not None and expiry_ms <= now_ms)
            or now_ms - head.time_ms >= self._ledger.parameters().heartbeat_ms
            or self._ledger.has_due(now_ms)
        )

    def _work_arrived(self) -> None:
        if not self._work_arrived_at_all:
            self._work_arrived_at_all = True
            self._note_busy()
            self._feed(WorkArrived())
            self._drain()
            # A stray vote may have started the height before: whoever waits has a reason now.
            self._build_waiting(self._driver)

    def _note_busy(self) -> None:
        if self._busy_since_us is None:
            self._busy_since_us = self._clock.monotonic_us()

    def _next_time_ms(self) -> int:
        return max(self._clock.wall_ms(), self._ledger.last().time_ms + 1)

    def _resend(self) -> None:
        """Say again what we said at this height: links lose messages."""
        self._resent_us = self._clock.monotonic_us()
        for channel, payload in self._resend_messages():
            self._network.broadcast(channel, payload)
        if self.height == self._resent_height:
            # Nothing moved since: perhaps nobody else has what we wait for. Queues drop batches.
            batch = self._own_pending()
            if batch is not None:
                self._network.broadcast(Channel.TRANSACTIONS, batch)
        self._resent_height = self.height

    def _ask_for_chunks(self) -> None:
        for block in self.offers.overdue(self._clock.monotonic_us()):
            want = WantChunks(height=self.height, block_id=block)
            self._network.broadcast(Channel.BLOCK, codec.encode(want))
