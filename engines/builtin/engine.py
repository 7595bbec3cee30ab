"""The built-in engine's host side: every input comes in here, and one object owns each concern.

A synchronous state machine over ports. The node runs it on its host thread; the simulator runs the
very same code on virtual time. Order is the contract (spec N6): log before sign, sign before send,
one durable commit a block. An invariant that breaks raises and stops the node.

| object | owns |
|---|---|
| `Heights` | the last decided block, and all that belongs to the height being decided |
| `Machine`, `Inputs` | what waits to be fed to the driver, and the order of its effects |
| `Journal` | the write-ahead log, and coming back to where it ends |
| `OwnKey`, `Signing` | when the key may sign, and what it was asked |
| `Proposals`, `Builder` | blocks that others propose, blocks of our own |
| `Votes`, `EvidenceDesk` | verified votes, evidence of misbehaviour |
| `Decisions` | durable blocks and what follows from one |
| `Mempool`, `Gossip`, `Work` | pending transactions, their way to others, a reason for a block |
| `Presence`, `Sync` | where peers are, what is said again, blocks for who was away |
"""

import logging
from collections.abc import Iterator

from consensus import effects
from consensus.timeouts import TimeoutPolicy
from engines.builtin import messages
from engines.builtin.building import Builder
from engines.builtin.catchup import Catchup
from engines.builtin.deciding import Decisions
from engines.builtin.evidence import EvidenceDesk
from engines.builtin.evidence_pool import EvidencePool
from engines.builtin.gossip import Gossip
from engines.builtin.height import Heights
from engines.builtin.journal import Journal
from engines.builtin.machine import DrainedTimers, Inputs, Machine
from engines.builtin.mempool import Mempool
from engines.builtin.messages import (
    Ask,
    Blocks,
    Chunk,
    EvidenceMessage,
    Here,
    ProposalMessage,
    VoteMessage,
    WantChunks,
)
from engines.builtin.own_key import OwnKey
from engines.builtin.p2p.frames import Channel, PeerFault
from engines.builtin.ports import Messenger, Network
from engines.builtin.presence import Presence
from engines.builtin.proposals import Proposals
from engines.builtin.signer import SigningPort
from engines.builtin.signing import Signing
from engines.builtin.sync import Sync
from engines.builtin.timeouts import RoundTimers
from engines.builtin.votes import Votes
from engines.builtin.wal import WriteAheadLog
from engines.builtin.work import Work
from engines.failures import BrokenOff, attempt
from engines.seam import Blockstore, Clock, EngineState, Tell, Timers
from ledger.encoding import crypto
from ledger.encoding.codec import NotCanonical, only
from ledger.execute import Verify
from ledger.ledger import Ledger
from ledger.status import TransactionStatus, Waiting
from ledger.transactions import Transaction

_LOGGER = logging.getLogger(__name__)

TICK_MS = 250


class BuiltinEngine:
    """One node's engine; see `engines.seam.Engine` for what a node asks of it."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        blocks: Blockstore,
        wal: WriteAheadLog,
        signer: SigningPort | None,
        network: Network,
        clock: Clock,
        timers: Timers,
        timeouts: TimeoutPolicy,
        tell: Tell,
        verify: Verify = crypto.verify,
    ) -> None:
        self.pool = Mempool(ledger, on_refused=tell.refused)
        self.key = OwnKey(signer, wal, ledger.last().log_id, tell.stopped)
        self.evidence = EvidencePool()
        self.catchup = Catchup()
        self.heights = Heights(
            ledger=ledger,
            blocks=blocks,
            key=self.key,
            evidence=self.evidence,
            clock=clock,
            timeouts=timeouts,
            verify=verify,
        )
        self._ledger = ledger
        self._timers = timers
        self._tell = tell
        self._pauses: dict[str, str] = {}
        """Why this node does not vote at the moment, by cause."""
        heights, key, pool = self.heights, self.key, self.pool
        self._messenger = messenger = Messenger(network)
        inputs = Inputs(heights)
        self._machine = machine = Machine(heights, inputs)
        drained = DrainedTimers(timers, machine)
        journal = Journal(heights, key, wal, machine.perform)
        self._desk = desk = EvidenceDesk(self.evidence, heights, key, ledger, messenger)
        self._signing = Signing(heights, key, inputs, machine)
        self._gossip = Gossip(pool, messenger, clock, drained)
        self._presence = Presence(
            heights=heights,
            key=key,
            catchup=self.catchup,
            gossip=self._gossip,
            messenger=messenger,
            clock=clock,
        )
        self._votes = Votes(
            heights=heights, key=key, inputs=inputs, desk=desk, pool=self.evidence, verify=verify
        )
        self._proposals = Proposals(
            heights=heights,
            inputs=inputs,
            desk=desk,
            messenger=messenger,
            sync_log=journal.sync,
            clock=clock,
            verify=verify,
        )
        self._builder = Builder(
            heights=heights,
            ledger=ledger,
            pool=pool,
            desk=desk,
            signing=self._signing,
            clock=clock,
            timers=drained,
        )
        self._work = Work(
            heights=heights,
            ledger=ledger,
            pool=pool,
            inputs=inputs,
            machine=machine,
            builder=self._builder,
            clock=clock,
        )
        self._journal = journal
        self.decisions = Decisions(
            heights=heights,
            ledger=ledger,
            pool=pool,
            inputs=inputs,
            votes=self._votes,
            evidence=self.evidence,
            key=key,
            journal=journal,
            clock=clock,
            tell=tell,
            on_next_height=self._on_next_height,
        )
        self._sync = Sync(
            heights=heights,
            blocks=blocks,
            decisions=self.decisions,
            catchup=self.catchup,
            messenger=messenger,
            clock=clock,
        )
        round_timers = RoundTimers(
            heights=heights,
            inputs=inputs,
            machine=machine,
            presence=self._presence,
            timers=timers,
        )
        machine.start(
            {
                effects.Log: journal.log,
                effects.SignVote: self._signing.vote,
                effects.BroadcastProposal: self._proposals.broadcast,
                effects.BroadcastVote: self._presence.broadcast,
                effects.BuildProposal: self._builder.propose,
                effects.Repropose: self._builder.repropose,
                effects.ScheduleTimeout: round_timers.schedule,
                effects.Decide: self.decisions.decide,
                effects.StopVoting: self._stop_for,
                effects.Equivocation: desk.note,
            }
        )

    # --- what the node asks ----------------------------------------------------------------------

    def start(self) -> None:
        """Take up the write-ahead log, then the height; call once."""
        self.heights.next()
        if (certificate := only(self.heights.previous)) is not None:
            self._votes.compare_with(certificate)
        self._journal.take_up()
        self._machine.drain()
        self._tick()

    def submit(self, transaction: Transaction) -> None:
        """Take in an own client's transaction; raise Inadmissible or Busy."""
        self.on_transaction(transaction, own=True)

    def status(self, transaction_id: bytes) -> TransactionStatus:
        """Say what is known of a transaction outside the log."""
        return self.pool.status(transaction_id)

    def waiting(self, after: int) -> Iterator[Waiting]:
        """Yield what waits here and came in after an arrival, oldest first."""
        return self.pool.waiting(after)

    def state(self) -> EngineState:
        """Say where the engine stands."""
        driver = self.heights.now.driver
        return EngineState(
            round=driver.round,
            step=driver.step.name.lower(),
            validates=self.heights.own_key() is not None,
            pending=len(self.pool),
            stopped=self.key.stopped or self.key.paused,
            commits=tuple(self.decisions.seen),
        )

    def has_work(self) -> bool:
        """Return whether a transaction waits for its block."""
        return self.pool.has_ready()

    def on_idle(self) -> None:
        """Send on what waits for more."""
        self._gossip.flush()

    def stop_voting(self, reason: str) -> None:
        """Sign nothing any more; the first reason stays."""
        self.key.stop(reason)

    def pause_voting(self, cause: str, reason: str) -> None:
        """Sign nothing while any cause has a reason; an empty reason ends a cause."""
        if (cause in self._pauses) == bool(reason):
            return  # as before; the first words stay
        if reason:
            self._pauses[cause] = reason
        else:
            del self._pauses[cause]
        if self._pauses:
            self.key.paused = "; ".join(self._pauses.values())
        else:
            self._signing.resume()
            self._machine.drain()
        self._tell.paused(self._pauses)

    def knows_where_it_was(self) -> bool:
        """Return whether this node surely voted on nothing above the present height."""
        number = self.heights.number
        return self.key.knows_where_it_was(number, self._ledger.validators(number))

    def close(self) -> None:
        """Give the signer's record back."""
        self.key.close()

    @property
    def height(self) -> int:
        """Return the height being decided."""
        return self.heights.number

    @property
    def round(self) -> int:
        """Return its current round."""
        return self.heights.now.driver.round

    # --- what comes in ---------------------------------------------------------------------------

    def on_message(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Take a peer's message; raise PeerFault if the peer breaks the protocol."""
        if channel is Channel.TRANSACTIONS:
            raise PeerFault("batches come another way: their signatures are verified first")
        try:
            self._handle(peer, channel, payload)
        except NotCanonical as error:  # bytes within a message: a header, a body
            raise PeerFault(f"malformed {channel.name.lower()} message: {error}") from None
        self._machine.drain()

    def _handle(self, peer: str, channel: Channel, payload: bytes) -> None:
        message = messages.decode_message(channel, payload)

        def is_elsewhere(height: int) -> bool:
            return self._presence.is_elsewhere(peer, height, channel, payload)

        match message:
            case VoteMessage(vote=vote) if is_elsewhere(vote.height):
                self._votes.on_late_vote(vote)
            case VoteMessage(vote=vote):
                self._votes.on_vote(vote)
            case Here():
                self._presence.on_here(peer, message)
                self.decisions.end_silence_if_sure()
                self._sync.ask_if_behind(patient=False)
            case EvidenceMessage(evidence=evidence):
                self._desk.on_evidence(evidence)
            case ProposalMessage(proposal=proposal):
                if not is_elsewhere(proposal.height):
                    self._proposals.on_proposal(proposal)
            case Chunk():
                if not is_elsewhere(message.height):
                    self._proposals.on_chunk(message)
            case WantChunks():
                self._proposals.on_want_chunks(peer, message)
            case Ask():
                self._sync.on_ask(peer, message)
            case Blocks():
                self._sync.on_blocks(peer, message)

    def on_peer_up(self, peer: str) -> None:
        """Tell a peer where we are, and hand it what its clients have not seen."""
        self._presence.say_here(peer)
        for evidence in self._desk.waiting():
            self._messenger.send(peer, EvidenceMessage(evidence=evidence))
        batch = self._gossip.own_pending()
        if batch is not None:
            self._messenger.send(peer, batch)

    def on_peer_down(self, peer: str) -> None:
        """Forget what a peer claimed."""
        self._presence.gone(peer)

    def on_transaction(self, transaction: Transaction, *, own: bool) -> None:
        """Take in a transaction whose signatures were verified.

        Raises Inadmissible or Busy; what a rule refuses is not kept, and its status says why.
        """
        self._ledger.remember_verified(transaction)
        if not self.pool.add(transaction, own=own, time_ms=self._work.next_time_ms()):
            return
        self._ledger.adopt(transaction)
        if own:
            self._gossip.add(transaction)
        if self.pool.has_ready():
            self._work.arrived()
            self._builder.build_what_waits()
            self._machine.drain()

    # --- time and heights ------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timers.after(TICK_MS, self._tick)
        self._work.start_if_due()
        self._proposals.ask_for_chunks()
        self._sync.tick()
        self._presence.resend_if_due()
        self._gossip.flush()
        self._machine.drain()

    def _on_next_height(self) -> None:
        self._machine.drain()
        for peer, channel, payload in self._presence.came_early():
            # What a peer said early is looked at as if it came now: its faults end nothing else.
            outcome = attempt(lambda p=peer, c=channel, b=payload: self.on_message(p, c, b))  # type: ignore[misc]
            match outcome:
                case BrokenOff(error=PeerFault() as fault):
                    self._messenger.fault(peer, str(fault))
                case BrokenOff(error=error):
                    _LOGGER.error("an early message of %s broke off", peer, exc_info=error)
        if self.pool.has_ready():
            self._work.arrived()

    def _stop_for(self, wanted: effects.StopVoting) -> None:
        self.key.stop(f"a quorum committed {wanted.block_id.hex()}, which is invalid here")
