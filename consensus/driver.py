"""One height from first work to decision: inputs in, effects out (spec D1-D8).

The driver owns what the round machine and the vote book do not: the proposals, the questions to the
book after each step, and the duties of the host. It is deterministic: a fresh driver fed the logged
inputs of another is in the same state and has returned the same effects.
"""

from collections.abc import Iterator
from typing import assert_never

from consensus import rounds
from consensus.certificate import Certificate
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
from consensus.inputs import Input, ProposalReceived, TimeoutExpired, VoteReceived, WorkArrived
from consensus.messages import (
    NIL,
    ROUND_MAX,
    BlockId,
    OptionalBlockId,
    Proposal,
    ValidatorKey,
    Vote,
    VoteKind,
)
from consensus.rounds import Step
from consensus.timeouts import TimeoutPolicy
from consensus.validators import ValidatorSet
from consensus.votebook import WINDOW_MAX, VoteBook
from ledger.encoding.codec import only

STEPS_MAX = 64
"""Most transitions one input can cause; more would be a loop, which is our mistake."""

PREVOTE, PRECOMMIT = VoteKind.PREVOTE, VoteKind.PRECOMMIT


class Driver:
    """The engine for one height. Give each height a new one."""

    def __init__(
        self,
        *,
        height: int,
        validators: ValidatorSet,
        own_key: ValidatorKey | None,
        timeouts: TimeoutPolicy,
    ) -> None:
        """Wait in round 0. ``own_key`` is None for an observer, which follows but never signs."""
        self._state = rounds.RoundState(height=height, validators=validators, own_key=own_key)
        self._timeouts = timeouts
        self._book = VoteBook(validators)
        self._proposals: dict[int, list[ProposalReceived]] = {}
        """Per round, the first proposal and such others as ``_may_keep_another`` lets in."""
        self._is_valid: dict[BlockId, bool] = {}
        self._reported: set[tuple[ValidatorKey, str]] = set()
        self._stopped = False

    # --- what the host may ask -------------------------------------------------------------------

    @property
    def height(self) -> int:
        """The height being decided."""
        return self._state.height

    @property
    def round(self) -> int:
        """The current round."""
        return self._state.round

    @property
    def step(self) -> Step:
        """The current step."""
        return self._state.step

    @property
    def has_decided(self) -> bool:
        """Whether Decide was returned."""
        return self._state.step is Step.DECIDED

    @property
    def locked(self) -> tuple[BlockId, int] | None:
        """The block this node is locked on and the round of the lock."""
        state = self._state
        block_id = only(state.locked_block)
        return None if block_id is None else (block_id, state.locked_round)

    @property
    def valid(self) -> tuple[BlockId, int] | None:
        """The last block seen with a polka and the round of the polka."""
        state = self._state
        block_id = only(state.valid_block)
        return None if block_id is None else (block_id, state.valid_round)

    def proposal_for(self, round: int) -> Proposal | None:
        """Return the first proposal of a round."""
        kept = self._proposals.get(round)
        return kept[0].proposal if kept else None

    def proposals_of(self, block_id: BlockId) -> tuple[Proposal, ...]:
        """Return the proposals of a block, by round."""
        return tuple(
            received.proposal
            for _, kept in sorted(self._proposals.items())
            for received in kept
            if received.proposal.block_id == block_id
        )

    def own_votes(self) -> tuple[Vote, ...]:
        """Return the own votes of the current round, prevote first."""
        return self._own_votes(self._state.round)

    def own_vote(self, round: int, kind: VoteKind) -> Vote | None:
        """Return the own vote that was fed back, so that a restarted host knows what it lacks."""
        key = self._state.own_key
        return None if key is None else self._book.vote_of(key, round, kind)

    def missing_block(self) -> BlockId | None:
        """Return a block that a quorum voted for and that the host should fetch.

        It counts as here when one of its proposals was fed in.
        """
        if self._book.commit is not None:
            committed = self._book.commit[1][0]
            return None if committed in self._is_valid else committed
        round = self._state.round
        polka = self._book.quorum_value(round, PREVOTE)
        if polka and not any(p.proposal.block_id == polka[0] for p in self._kept(round)):
            return polka[0]
        return None

    def wants(self, proposal: Proposal) -> bool:
        """Return whether a proposal would be kept if it were fed: the first of its round is."""
        return not self._kept(proposal.round) or self._may_keep_another(proposal)

    def resend(self) -> tuple[Vote, ...]:
        """Return the votes to send again at link-up and at timeouts, at most 11 per validator.

        The votes of the current round and of the valid round's polka say where we are; the own
        votes and the precommits of the round before pull up whoever is still there: without them
        a vote lost on the way to all others could strand the first node in a new round.
        """
        state = self._state
        before = state.round - 1
        votes = [
            *self._own_votes(before),
            *self._book.votes(before, PRECOMMIT),
            *self._book.votes(state.round, PREVOTE),
            *self._book.votes(state.round, PRECOMMIT),
        ]
        if state.valid_block:
            votes.extend(
                vote
                for vote in self._book.votes(state.valid_round, PREVOTE)
                if vote.block_id == state.valid_block
            )
        return tuple(dict.fromkeys(votes))

    def resend_proposals(self) -> tuple[Proposal, ...]:
        """Return the proposals to send again beside ``resend``, whoever made them."""
        state = self._state
        wanted = sorted({state.valid_round, state.round - 1, state.round})
        return tuple(received.proposal for round in wanted for received in self._kept(round))

    # --- what the host must tell -----------------------------------------------------------------

    def handle(self, input: Input) -> tuple[Effect, ...]:
        """Return what is to be done about an input, in order. ``()`` if it changed nothing.

        Messages of other heights, other rounds' proposers and strangers are ignored; after Decide
        or StopVoting everything is.
        """
        if self._is_over():
            return ()
        before = self._state
        effects: list[Effect] = []
        match input:
            case WorkArrived():
                self._step(rounds.HeightStarted(), effects)
                changed = self._state is not before
            case ProposalReceived():
                changed = self._receive_proposal(input, effects)
            case VoteReceived():
                changed = self._receive_vote(input.vote, effects)
            case TimeoutExpired():
                self._step(rounds.TimerExpired(kind=input.kind, round=input.round), effects)
                changed = self._state is not before
            case _:
                assert_never(input)
        if not changed:
            return ()
        self._settle(effects)
        return (Log(input=input), *self._own_words(input), *effects)

    def _own_words(self, input: Input) -> tuple[Effect, ...]:
        """Return what sends the own message that an input brought: it is on the log by now."""
        own_key = self._state.own_key
        match input:
            case ProposalReceived(proposal=proposal) if proposal.validator == own_key:
                return (BroadcastProposal(proposal=proposal),)
            case VoteReceived(vote=vote) if vote.validator == own_key:
                return (BroadcastVote(vote=vote),)
        return ()

    def _receive_proposal(self, received: ProposalReceived, effects: list[Effect]) -> bool:
        proposal, state = received.proposal, self._state
        if proposal.height != state.height:
            return False
        if not 0 <= proposal.round <= min(state.round + WINDOW_MAX, ROUND_MAX):
            return False
        if proposal.validator != state.validators.proposer(state.height, proposal.round):  # L22
            return False
        valid_round = only(proposal.valid_round)
        if valid_round is not None and not valid_round < proposal.round:  # L28
            return False
        kept = self._kept(proposal.round)
        if any(_says_the_same(proposal, known.proposal) for known in kept):
            return False
        changed = False
        if kept:
            changed = self._report(kept[0].proposal, proposal, "proposal", effects)
        if not kept or self._may_keep_another(proposal):
            self._proposals.setdefault(proposal.round, []).append(received)
            self._is_valid.setdefault(proposal.block_id, received.valid)
            self._book.saw(proposal.validator, proposal.round)
            changed = True
        if changed:
            self._step(rounds.HeightStarted(), effects)
        return changed

    def _receive_vote(self, vote: Vote, effects: list[Effect]) -> bool:
        state = self._state
        if vote.height != state.height or not state.validators.power_of(vote.validator):
            return False
        if not 0 <= vote.round <= ROUND_MAX:
            return False
        changed, first = self._book.add(vote)
        if first is not None:
            changed |= self._report(first, vote, vote.kind, effects)
        if changed:
            self._step(rounds.HeightStarted(), effects)
        return changed

    def _report(
        self,
        first: Vote | Proposal,
        second: Vote | Proposal,
        kind: str,
        effects: list[Effect],
    ) -> bool:
        """Report an equivocation, once per key and kind; return whether it was news."""
        if (second.validator, kind) in self._reported:
            return False
        self._reported.add((second.validator, kind))
        effects.append(Equivocation(first=first, second=second))
        return True

    def _may_keep_another(self, proposal: Proposal) -> bool:
        """Return whether a correct validator voted for this one of several proposals.

        The paper's L36 and L49 take any proposal of the round. At most two blocks per kind of vote
        pass, so a proposer cannot fill our memory by making many.
        """
        value = (proposal.block_id,)
        is_wanted = any(
            self._state.validators.is_one_third_plus(
                self._book.power_for(proposal.round, kind, value)
            )
            for kind in VoteKind
        )
        return is_wanted and not any(
            known.proposal.block_id == proposal.block_id for known in self._kept(proposal.round)
        )

    # --- asking the book after each step ---------------------------------------------------------

    def _settle(self, effects: list[Effect]) -> None:
        """Give the machine what the book knows until nothing changes any more."""
        for _ in range(STEPS_MAX):
            self._stop_on_mismatch(effects)
            if self._is_over():
                return
            if not any(self._step(event, effects) for event in self._events()):
                return
        raise AssertionError(f"one input caused more than {STEPS_MAX} steps")

    def _events(self) -> Iterator[rounds.Event]:
        """Yield what holds now: the rules of the paper whose messages are all here."""
        book, round = self._book, self._state.round
        if book.commit is not None:  # L49
            # The proposal of that very round is not needed: L49 asks for it to learn the block.
            committed_round, value = book.commit
            if self._is_valid.get(value[0]):  # L50
                yield rounds.PrecommitQuorum(round=committed_round, block_id=value[0])
        target = book.skip_target()
        if target is not None:  # L55
            yield rounds.SkipRound(round=target)
        polka = book.quorum_value(round, PREVOTE)
        for received in self._kept(round):
            proposal = received.proposal
            valid_round = only(proposal.valid_round)
            if valid_round is None:  # L22
                yield rounds.FreshProposal(
                    round=round,
                    block_id=proposal.block_id,
                    acceptable=received.valid and received.timely,
                )
            elif self._has_polka(valid_round, (proposal.block_id,)):  # L28
                yield rounds.ReproposalWithPolka(
                    round=round,
                    block_id=proposal.block_id,
                    valid_round=valid_round,
                    valid=received.valid,
                )
            if polka == (proposal.block_id,):  # L36
                yield rounds.PolkaForProposal(
                    round=round, block_id=proposal.block_id, valid=received.valid
                )
        if polka == NIL:  # L44
            yield rounds.PolkaNil(round=round)
        if book.has_quorum(round, PREVOTE):  # L34
            yield rounds.PolkaAny(round=round)
        if book.has_quorum(round, PRECOMMIT):  # L47
            yield rounds.PrecommitAny(round=round)

    def _has_polka(self, round: int, value: OptionalBlockId) -> bool:
        return self._book.quorum_value(round, PREVOTE) == value

    def _step(self, event: rounds.Event, effects: list[Effect]) -> bool:
        """Give one event to the machine; return whether it did anything."""
        before = self._state
        after, outputs = rounds.apply(before, event)
        if after == before:
            assert not outputs
            return False
        self._state = after
        if after.round != before.round:
            self._book.enter_round(after.round)
        effects.extend(self._effect(output) for output in outputs)
        return True

    def _effect(self, output: rounds.Output) -> Effect:
        match output:
            case BuildProposal() | Repropose() | SignVote():
                return output
            case rounds.StartTimer(kind=kind, round=round):
                after_ms = self._timeouts.after_ms(kind, round)
                return ScheduleTimeout(kind=kind, round=round, after_ms=after_ms)
            case rounds.Decided(round=round, block_id=block_id):
                return Decide(
                    round=round,
                    block_id=block_id,
                    certificate=self._certificate(round, block_id),
                )
            case _:
                assert_never(output)

    def _stop_on_mismatch(self, effects: list[Effect]) -> None:
        """Give up if a quorum precommitted what we found invalid: we may be broken (L50)."""
        if self._book.commit is not None:
            round, value = self._book.commit
            if self._is_valid.get(value[0]) is False:
                self._stopped = True
                effects.append(StopVoting(round=round, block_id=value[0]))

    def _is_over(self) -> bool:
        return self._stopped or self.has_decided

    def _certificate(self, round: int, block_id: BlockId) -> Certificate:
        signatures = sorted(
            (vote.validator, vote.signature)
            for vote in self._book.votes(round, PRECOMMIT)
            if vote.block_id == (block_id,)
        )
        return Certificate(
            height=self._state.height,
            round=round,
            block_id=block_id,
            signatures=tuple(signatures),
        )

    def _kept(self, round: int) -> list[ProposalReceived]:
        return self._proposals.get(round, [])

    def _own_votes(self, round: int) -> tuple[Vote, ...]:
        votes = (self.own_vote(round, kind) for kind in VoteKind)
        return tuple(vote for vote in votes if vote is not None)


def _says_the_same(first: Proposal, second: Proposal) -> bool:
    return (first.block_id, first.valid_round) == (second.block_id, second.valid_round)
