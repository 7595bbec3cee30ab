"""The round machine of one height: the paper, line by line (arXiv 1807.04938, algorithm 1).

``apply`` is a pure function. Counting votes is not its business: an event says that a quorum is
there. Every event may be given at any time and any number of times; the guards of the paper decide
whether it does anything. Spec C1 to C12 are these branches.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import assert_never

from consensus.effects import BuildProposal, Repropose, SignVote
from consensus.inputs import TimeoutKind
from consensus.messages import NIL, ROUND_MAX, BlockId, OptionalBlockId, ValidatorKey, VoteKind
from consensus.validators import ValidatorSet
from ledger.encoding.codec import only

NO_ROUND = -1
"""The paper's round -1: never locked, no valid value."""


class Step(IntEnum):
    """Where in a round a validator is; the order matters (L36)."""

    WAITING = 0
    """Before round 0: nothing to decide yet."""
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3
    DECIDED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundState:
    """All that the paper's process remembers about a height (L1-L9)."""

    height: int
    validators: ValidatorSet
    own_key: ValidatorKey | None
    """None for an observer; neither it nor a key outside the set ever proposes or votes."""
    round: int = 0
    step: Step = Step.WAITING
    locked_block: OptionalBlockId = NIL
    locked_round: int = NO_ROUND
    valid_block: OptionalBlockId = NIL
    valid_round: int = NO_ROUND
    prevote_timer_started: bool = False
    """"For the first time" of L34. A new round starts with False."""
    precommit_timer_started: bool = False
    """"For the first time" of L47. A new round starts with False."""


# --- events --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightStarted:
    """There is something to decide (L10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshProposal:
    """The round's proposer proposed a block that had no polka before (L22)."""

    round: int
    block_id: BlockId
    acceptable: bool
    """Valid, and timely as this node saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproposalWithPolka:
    """The round's proposer proposed a block again; its polka of ``valid_round`` is here (L28)."""

    round: int
    block_id: BlockId
    valid_round: int
    valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PolkaAny:
    """A quorum prevoted in the round, for whatever (L34)."""

    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolkaForProposal:
    """A quorum prevoted the round's proposed block (L36)."""

    round: int
    block_id: BlockId
    valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PolkaNil:
    """A quorum prevoted nil (L44)."""

    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecommitAny:
    """A quorum precommitted in the round, for whatever (L47)."""

    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecommitQuorum:
    """A quorum precommitted a known valid block in any round (L49)."""

    round: int
    block_id: BlockId


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRound:
    """At least one correct validator is in this round or a later one (L55)."""

    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerExpired:
    """A timer of the round ran out (L57, L61, L65)."""

    kind: TimeoutKind
    round: int


Event = (
    HeightStarted
    | FreshProposal
    | ReproposalWithPolka
    | PolkaAny
    | PolkaForProposal
    | PolkaNil
    | PrecommitAny
    | PrecommitQuorum
    | SkipRound
    | TimerExpired
)


# --- outputs -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimer:
    """Start a timer; the driver knows how long it is."""

    kind: TimeoutKind
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The block is decided; the driver adds the certificate."""

    round: int
    block_id: BlockId


Output = BuildProposal | Repropose | SignVote | StartTimer | Decided
Transition = tuple[RoundState, tuple[Output, ...]]


# --- the machine ---------------------------------------------------------------------------------


def apply(state: RoundState, event: Event) -> Transition:
    """Return the state after the event and what is to be done. Unchanged if a guard fails."""
    if state.step is Step.DECIDED:
        return state, ()
    match event:
        case HeightStarted():
            return start_round(state, 0) if state.step is Step.WAITING else (state, ())  # L10
        case FreshProposal():
            return on_fresh_proposal(state, event)
        case ReproposalWithPolka():
            return on_reproposal_with_polka(state, event)
        case PolkaAny():
            return on_polka_any(state, event)
        case PolkaForProposal():
            return on_polka_for_proposal(state, event)
        case PolkaNil():
            return on_polka_nil(state, event)
        case PrecommitAny():
            return on_precommit_any(state, event)
        case PrecommitQuorum():
            return on_precommit_quorum(state, event)
        case SkipRound():
            return start_round(state, event.round) if event.round > state.round else (state, ())
        case TimerExpired():
            return on_timer_expired(state, event)
        case _:
            assert_never(event)


def start_round(state: RoundState, round: int) -> Transition:
    """Enter a round and propose if it is our turn. Paper L11-L21."""
    after = replace(
        state,
        round=round,  # L12
        step=Step.PROPOSE,  # L13
        prevote_timer_started=False,
        precommit_timer_started=False,
    )
    # The paper starts this timer only on the others (L21). The proposer starts it too: a host that
    # cannot build a block must not be the one validator whose prevote never comes.
    timer = StartTimer(kind=TimeoutKind.PROPOSE, round=round)
    if after.validators.proposer(after.height, round) != after.own_key:  # L14
        return after, (timer,)
    if (valid_block := only(after.valid_block)) is not None:  # L15, L16
        again = Repropose(round=round, block_id=valid_block, valid_round=after.valid_round)
        return after, (timer, again)  # L19
    return after, (timer, BuildProposal(round=round))  # L18, L19


def on_fresh_proposal(state: RoundState, event: FreshProposal) -> Transition:
    """Prevote a new block unless locked on another. Paper L22-L27."""
    if event.round != state.round or state.step is not Step.PROPOSE:
        return state, ()
    free_to_accept = state.locked_round == NO_ROUND or state.locked_block == (event.block_id,)
    if event.acceptable and free_to_accept:  # L23
        return _prevote(state, (event.block_id,))  # L24, L27
    return _prevote(state, NIL)  # L26, L27


def on_reproposal_with_polka(state: RoundState, event: ReproposalWithPolka) -> Transition:
    """Prevote a block again; a polka since our lock frees us from it. Paper L28-L33."""
    if event.round != state.round or state.step is not Step.PROPOSE:
        return state, ()
    if not 0 <= event.valid_round < state.round:  # L28
        return state, ()
    free_to_accept = state.locked_round <= event.valid_round or state.locked_block == (
        event.block_id,
    )
    if event.valid and free_to_accept:  # L29
        return _prevote(state, (event.block_id,))  # L30, L33
    return _prevote(state, NIL)  # L32, L33


def on_polka_any(state: RoundState, event: PolkaAny) -> Transition:
    """Wait no longer than a timeout for the missing prevotes. Paper L34, L35."""
    if event.round != state.round or state.step is not Step.PREVOTE:
        return state, ()
    if state.prevote_timer_started:
        return state, ()
    timer = StartTimer(kind=TimeoutKind.PREVOTE, round=state.round)  # L35
    return replace(state, prevote_timer_started=True), (timer,)


def on_polka_for_proposal(state: RoundState, event: PolkaForProposal) -> Transition:
    """Lock and precommit what two thirds prevoted, or at least remember it. Paper L36-L43."""
    if event.round != state.round or state.step < Step.PREVOTE or not event.valid:  # L36
        return state, ()
    after = replace(
        state,
        valid_block=(event.block_id,),  # L42
        valid_round=event.round,  # L43
    )
    if state.step is not Step.PREVOTE:  # L37
        return after, ()
    locked = replace(
        after,
        locked_block=(event.block_id,),  # L38
        locked_round=event.round,  # L39
    )
    return _precommit(locked, (event.block_id,))  # L40, L41


def on_polka_nil(state: RoundState, event: PolkaNil) -> Transition:
    """Precommit nil when two thirds prevoted nil; a lock stays. Paper L44-L46."""
    if event.round != state.round or state.step is not Step.PREVOTE:
        return state, ()
    return _precommit(state, NIL)  # L45, L46


def on_precommit_any(state: RoundState, event: PrecommitAny) -> Transition:
    """Wait no longer than a timeout for the missing precommits. Paper L47, L48."""
    if event.round != state.round or state.step is Step.WAITING or state.precommit_timer_started:
        return state, ()
    timer = StartTimer(kind=TimeoutKind.PRECOMMIT, round=state.round)  # L48
    return replace(state, precommit_timer_started=True), (timer,)


def on_precommit_quorum(state: RoundState, event: PrecommitQuorum) -> Transition:
    """Decide, in whatever round and step we are. Paper L49-L54.

    The driver gives the event only for a block it knows to be valid (L50); the next height is
    another driver (L52-L54).
    """
    decided = Decided(round=event.round, block_id=event.block_id)  # L51
    return replace(state, step=Step.DECIDED), (decided,)


def on_timer_expired(state: RoundState, event: TimerExpired) -> Transition:
    """Go on without what did not come. Paper L57-L67."""
    if event.round != state.round:
        return state, ()
    match event.kind:
        case TimeoutKind.PROPOSE if state.step is Step.PROPOSE:  # L58
            return _prevote(state, NIL)  # L59, L60
        case TimeoutKind.PREVOTE if state.step is Step.PREVOTE:  # L62
            return _precommit(state, NIL)  # L63, L64
        case TimeoutKind.PRECOMMIT if state.round < ROUND_MAX and state.step > Step.WAITING:  # L66
            return start_round(state, state.round + 1)  # L67
        case _:
            return state, ()


def _prevote(state: RoundState, block_id: OptionalBlockId) -> Transition:
    after = replace(state, step=Step.PREVOTE)
    return after, _vote(state, VoteKind.PREVOTE, block_id)


def _precommit(state: RoundState, block_id: OptionalBlockId) -> Transition:
    after = replace(state, step=Step.PRECOMMIT)
    return after, _vote(state, VoteKind.PRECOMMIT, block_id)


def _vote(state: RoundState, kind: VoteKind, block_id: OptionalBlockId) -> tuple[SignVote, ...]:
    if state.own_key is None or not state.validators.power_of(state.own_key):
        return ()
    return (SignVote(kind=kind, round=state.round, block_id=block_id),)
