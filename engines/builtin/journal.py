"""The write-ahead log of the present height: kept, and replayed after a restart (E3, E4, N6.5)."""

from collections.abc import Callable

from consensus.effects import (
    BroadcastProposal,
    BroadcastVote,
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
from consensus.inputs import ProposalReceived
from consensus.messages import Proposal
from engines.builtin import messages
from engines.builtin.height import Heights
from engines.builtin.messages import LoggedInput
from engines.builtin.own_key import OwnKey
from engines.builtin.proposed_blocks import ProposedBlock
from engines.builtin.wal import WriteAheadLog
from ledger.encoding import codec
from ledger.encoding.codec import only


class Journal:
    """Logs what the driver took in, and brings a new driver to where the log ends."""

    def __init__(
        self,
        heights: Heights,
        key: OwnKey,
        wal: WriteAheadLog,
        perform: Callable[[Effect], None],
    ) -> None:
        self._heights = heights
        self._key = key
        self._wal = wal
        self._perform = perform

    @property
    def is_behind_log(self) -> bool:
        """Return whether the log is of a height that the store has not come to yet."""
        return self.is_behind_log_of(self._heights.number)

    def is_behind_log_of(self, height: int) -> bool:
        """Return whether the log is of a height above this one."""
        return self._wal.height is not None and self._wal.height > height

    def start(self, height: int) -> None:
        """Begin the log of a height."""
        self._wal.start_height(height)

    def take_up(self) -> None:
        """Replay the log if it is of this height, or begin it."""
        if self._wal.height == self._heights.number:
            self._replay(self._wal.records)
        elif not self.is_behind_log:
            self.start(self._heights.number)

    def log(self, wanted: Log) -> None:
        """Append an input, and the block that came with a proposal; durable after ``sync``."""
        body: tuple[bytes, ...] = ()
        if isinstance(wanted.input, ProposalReceived):
            data = self._heights.now.blocks.log(wanted.input.proposal.block_id)
            body = () if data is None else (data,)
        if self.is_behind_log:
            return  # nothing is signed here, and the log to come to must stay as it is
        self._wal.append(codec.encode(LoggedInput(input=wanted.input, body=body)))

    def sync(self) -> None:
        """Make durable what was logged."""
        self._wal.sync()

    def _replay(self, records: tuple[bytes, ...]) -> None:
        """Bring a fresh driver to where the log ends; only then do effects count again (E4).

        Nothing is sent or signed during replay. Votes and timers that no logged input answers are
        then performed: the signer gives an old signature again, or stays silent.
        """
        now = self._heights.now
        open_effects: list[Effect] = []
        for record in records:
            logged: LoggedInput = codec.decode(LoggedInput, record, len(record))
            input_ = logged.input
            if isinstance(input_, ProposalReceived):
                self._learn_logged_body(input_.proposal, only(logged.body))
                input_ = self._judged_again(input_)
            effects = now.driver.handle(input_)
            open_effects.extend(effect for effect in effects if not isinstance(effect, Log))
        is_voting = self._heights.own_key() is not None
        if is_voting and not self._key.explains_its_last_signature(now.number, open_effects):
            self._key.silent_below = now.number + 1
        for effect in open_effects:
            if self._is_still_open(effect):
                self._perform(effect)

    def _is_still_open(self, effect: Effect) -> bool:
        """Return whether nothing that was logged answers an effect."""
        driver = self._heights.now.driver
        match effect:
            case SignVote(kind=kind, round=round_):
                return driver.own_vote(round_, kind) is None
            case BuildProposal(round=round_) | Repropose(round=round_):
                return driver.proposal_for(round_) is None and round_ == driver.round
            case ScheduleTimeout(round=round_):
                return round_ == driver.round
            case BroadcastVote(vote=vote):
                return vote.round == driver.round  # a death may have come between
            case BroadcastProposal(proposal=proposal):
                return proposal.round == driver.round
            case Equivocation() | Decide() | StopVoting():
                return True
        return False

    def _judged_again(self, logged: ProposalReceived) -> ProposalReceived:
        """Return a logged proposal with this store's verdict; be silent if it was another (N6.5).

        A rotten store may have judged it, and have been put aside since. What was signed by that
        verdict cannot be told from the log any more.
        """
        now = self._heights.now
        valid = now.blocks.must(logged.proposal.block_id).execution is not None
        if valid != logged.valid:
            self._key.silent_below = max(self._key.silent_below, now.number + 1)
        return ProposalReceived(proposal=logged.proposal, valid=valid, timely=logged.timely)

    def _learn_logged_body(self, proposal: Proposal, body: bytes | None) -> None:
        if body is None:
            return
        now, header = self._heights.now, messages.decode_header(proposal.header)
        block = ProposedBlock(header, body, now.check.execution(header, body))
        now.blocks.learn_logged(proposal.block_id, block)
