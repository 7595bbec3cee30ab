"""One claim of the paper, one test (arXiv 1807.04938, algorithm 1; the names give the lines).

Four validators of equal power at height 4, so that validator r proposes in round r; we are 1.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from consensus import driver as driver_module
from consensus import rounds as rounds_module
from consensus.driver import Driver
from consensus.effects import BuildProposal, Decide, Log, Repropose, ScheduleTimeout, SignVote
from consensus.inputs import ProposalReceived, TimeoutKind, VoteReceived, WorkArrived
from consensus.messages import NIL, ROUND_MAX, BlockId, OptionalBlockId, ValidatorKey, VoteKind
from consensus.rounds import (
    Decided,
    Event,
    FreshProposal,
    HeightStarted,
    PolkaAny,
    PolkaForProposal,
    PolkaNil,
    PrecommitAny,
    PrecommitQuorum,
    ReproposalWithPolka,
    RoundState,
    SkipRound,
    StartTimer,
    Step,
    TimerExpired,
    apply,
)
from tests.consensus.harness import TIMEOUTS, key_of, proposal_of, signed_vote, validator_set

V = BlockId(b"v" * 32)
W = BlockId(b"w" * 32)
START = RoundState(height=4, validators=validator_set((1, 1, 1, 1)), own_key=key_of(1))


def at(
    round: int,
    step: Step,
    *,
    locked: tuple[BlockId, int] | None = None,
    valid: tuple[BlockId, int] | None = None,
) -> RoundState:
    state = replace(START, round=round, step=step)
    if locked is not None:
        state = replace(state, locked_block=(locked[0],), locked_round=locked[1])
    if valid is not None:
        state = replace(state, valid_block=(valid[0],), valid_round=valid[1])
    return state


def fresh(block_id: BlockId, *, round: int = 2, acceptable: bool = True) -> FreshProposal:
    return FreshProposal(round=round, block_id=block_id, acceptable=acceptable)


def again(
    block_id: BlockId, valid_round: int, *, round: int = 3, valid: bool = True
) -> ReproposalWithPolka:
    return ReproposalWithPolka(round=round, block_id=block_id, valid_round=valid_round, valid=valid)


def polka(block_id: BlockId, *, round: int = 2, valid: bool = True) -> PolkaForProposal:
    return PolkaForProposal(round=round, block_id=block_id, valid=valid)


def prevote(round: int, block_id: OptionalBlockId) -> SignVote:
    return SignVote(kind=VoteKind.PREVOTE, round=round, block_id=block_id)


def precommit(round: int, block_id: OptionalBlockId) -> SignVote:
    return SignVote(kind=VoteKind.PRECOMMIT, round=round, block_id=block_id)


def timer(kind: TimeoutKind, round: int) -> StartTimer:
    return StartTimer(kind=kind, round=round)


def expired(kind: TimeoutKind, round: int) -> TimerExpired:
    return TimerExpired(kind=kind, round=round)


def test_l1_to_l9_a_height_begins_in_round_0_without_lock_or_valid_value() -> None:
    assert (START.round, START.step) == (0, Step.WAITING)
    assert (START.locked_block, START.locked_round) == (NIL, -1)
    assert (START.valid_block, START.valid_round) == (NIL, -1)


def test_l10_the_start_enters_round_0_once() -> None:
    state, outputs = apply(START, HeightStarted())
    assert (state.round, state.step) == (0, Step.PROPOSE)
    assert outputs == (timer(TimeoutKind.PROPOSE, 0),)
    assert apply(state, HeightStarted()) == (state, ())


def test_l11_to_l13_a_new_round_begins_in_propose_with_fresh_flags_and_the_old_lock() -> None:
    before = replace(
        at(0, Step.PRECOMMIT, locked=(V, 0), valid=(V, 0)),
        prevote_timer_started=True,
        precommit_timer_started=True,
    )
    state, _ = apply(before, expired(TimeoutKind.PRECOMMIT, 0))
    assert state == at(1, Step.PROPOSE, locked=(V, 0), valid=(V, 0))


def test_l14_l17_l18_the_proposer_builds_when_it_knows_no_valid_value() -> None:
    _, outputs = apply(at(0, Step.PRECOMMIT), expired(TimeoutKind.PRECOMMIT, 0))
    assert outputs == (timer(TimeoutKind.PROPOSE, 1), BuildProposal(round=1))


def test_l15_l16_l19_the_proposer_proposes_the_valid_value_with_its_round() -> None:
    before = at(4, Step.PRECOMMIT, locked=(W, 1), valid=(V, 3))
    _, outputs = apply(before, expired(TimeoutKind.PRECOMMIT, 4))
    assert outputs == (
        timer(TimeoutKind.PROPOSE, 5),
        Repropose(round=5, block_id=V, valid_round=3),
    )


def test_l20_l21_others_wait_for_the_proposal_under_a_timer() -> None:
    _, outputs = apply(at(1, Step.PRECOMMIT), expired(TimeoutKind.PRECOMMIT, 1))
    assert outputs == (timer(TimeoutKind.PROPOSE, 2),)


@pytest.mark.parametrize(
    ("claim", "state", "event", "expected"),
    [
        ("free: prevote it", at(2, Step.PROPOSE), fresh(V), (V,)),
        ("not acceptable: nil", at(2, Step.PROPOSE), fresh(V, acceptable=False), NIL),
        ("locked on it: prevote it", at(2, Step.PROPOSE, locked=(V, 0)), fresh(V), (V,)),
        ("locked on another: nil", at(2, Step.PROPOSE, locked=(W, 0)), fresh(V), NIL),
    ],
)
def test_l22_to_l27_fresh_proposal(
    claim: str, state: RoundState, event: Event, expected: OptionalBlockId
) -> None:
    after, outputs = apply(state, event)
    assert outputs == (prevote(2, expected),), claim
    assert after == replace(state, step=Step.PREVOTE), claim


@pytest.mark.parametrize(
    ("claim", "state", "event", "expected"),
    [
        ("free: prevote it", at(3, Step.PROPOSE), again(V, 1), (V,)),
        ("invalid: nil", at(3, Step.PROPOSE), again(V, 1, valid=False), NIL),
        ("polka older than the lock: nil", at(3, Step.PROPOSE, locked=(W, 2)), again(V, 1), NIL),
        ("polka of the lock's round", at(3, Step.PROPOSE, locked=(W, 1)), again(V, 1), (V,)),
        ("polka since the lock", at(3, Step.PROPOSE, locked=(W, 0)), again(V, 1), (V,)),
        ("locked on it", at(3, Step.PROPOSE, locked=(V, 2)), again(V, 1), (V,)),
    ],
)
def test_l28_to_l33_proposal_with_a_valid_round(
    claim: str, state: RoundState, event: Event, expected: OptionalBlockId
) -> None:
    after, outputs = apply(state, event)
    assert outputs == (prevote(3, expected),), claim
    assert after == replace(state, step=Step.PREVOTE), claim


@pytest.mark.parametrize("valid_round", [-1, 3, 4])
def test_l28_the_valid_round_lies_before_the_round(valid_round: int) -> None:
    state = at(3, Step.PROPOSE)
    assert apply(state, again(V, valid_round)) == (state, ())


def test_l34_l35_any_polka_starts_the_prevote_timer_for_the_first_time_only() -> None:
    state, outputs = apply(at(2, Step.PREVOTE), PolkaAny(round=2))
    assert outputs == (timer(TimeoutKind.PREVOTE, 2),)
    assert apply(state, PolkaAny(round=2)) == (state, ())


@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PRECOMMIT])
def test_l34_any_polka_matters_only_in_prevote(step: Step) -> None:
    assert apply(at(2, step), PolkaAny(round=2)) == (at(2, step), ())


def test_l36_to_l43_a_polka_locks_and_precommits() -> None:
    state, outputs = apply(at(2, Step.PREVOTE, locked=(W, 0), valid=(W, 1)), polka(V))
    assert state == at(2, Step.PRECOMMIT, locked=(V, 2), valid=(V, 2))
    assert outputs == (precommit(2, (V,)),)


def test_l37_l42_l43_a_polka_after_the_precommit_changes_the_valid_value_only() -> None:
    state, outputs = apply(at(2, Step.PRECOMMIT, locked=(W, 0), valid=(W, 1)), polka(V))
    assert state == at(2, Step.PRECOMMIT, locked=(W, 0), valid=(V, 2))
    assert outputs == ()
    assert apply(state, polka(V)) == (state, ())


def test_l36_a_polka_waits_for_our_own_prevote() -> None:
    assert apply(at(2, Step.PROPOSE), polka(V)) == (at(2, Step.PROPOSE), ())


def test_l36_a_polka_for_an_invalid_block_is_no_reason_to_lock() -> None:
    assert apply(at(2, Step.PREVOTE), polka(V, valid=False)) == (at(2, Step.PREVOTE), ())


def test_l44_to_l46_a_nil_polka_precommits_nil_and_keeps_the_lock() -> None:
    state, outputs = apply(at(2, Step.PREVOTE, locked=(W, 0)), PolkaNil(round=2))
    assert state == at(2, Step.PRECOMMIT, locked=(W, 0))
    assert outputs == (precommit(2, NIL),)


@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PRECOMMIT])
def test_l44_a_nil_polka_matters_only_in_prevote(step: Step) -> None:
    assert apply(at(2, step), PolkaNil(round=2)) == (at(2, step), ())


@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT])
def test_l47_l48_any_precommits_start_the_timer_in_every_step_once(step: Step) -> None:
    state, outputs = apply(at(2, step), PrecommitAny(round=2))
    assert outputs == (timer(TimeoutKind.PRECOMMIT, 2),)
    assert state.step is step
    assert apply(state, PrecommitAny(round=2)) == (state, ())


@pytest.mark.parametrize("kind", TimeoutKind)
def test_l47_l65_who_has_not_begun_starts_no_timer_and_heeds_none(kind: TimeoutKind) -> None:
    waiting = at(0, Step.WAITING)
    assert apply(waiting, PrecommitAny(round=0)) == (waiting, ())
    assert apply(waiting, PolkaAny(round=0)) == (waiting, ())
    assert apply(waiting, expired(kind, 0)) == (waiting, ())


@pytest.mark.parametrize("round", [0, 2, 5])
@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT])
def test_l49_to_l51_precommits_of_any_round_decide_in_any_step(round: int, step: Step) -> None:
    state, outputs = apply(at(2, step, locked=(W, 1)), PrecommitQuorum(round=round, block_id=V))
    assert outputs == (Decided(round=round, block_id=V),)
    assert state.step is Step.DECIDED


def test_l49_a_height_is_decided_once() -> None:
    decided = at(2, Step.DECIDED)
    assert apply(decided, PrecommitQuorum(round=3, block_id=W)) == (decided, ())


@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT])
def test_l55_l56_a_node_skips_to_a_later_round_from_any_step(step: Step) -> None:
    state, outputs = apply(at(2, step, locked=(V, 1)), SkipRound(round=7))
    assert state == at(7, Step.PROPOSE, locked=(V, 1))
    assert outputs == (timer(TimeoutKind.PROPOSE, 7),)


@pytest.mark.parametrize("round", [0, 1, 2])
def test_l55_a_node_never_goes_back(round: int) -> None:
    assert apply(at(2, Step.PREVOTE), SkipRound(round=round)) == (at(2, Step.PREVOTE), ())


def test_l57_to_l60_the_propose_timeout_prevotes_nil_even_when_locked() -> None:
    state, outputs = apply(at(2, Step.PROPOSE, locked=(V, 0)), expired(TimeoutKind.PROPOSE, 2))
    assert state == at(2, Step.PREVOTE, locked=(V, 0))
    assert outputs == (prevote(2, NIL),)


def test_l61_to_l64_the_prevote_timeout_precommits_nil() -> None:
    state, outputs = apply(at(2, Step.PREVOTE), expired(TimeoutKind.PREVOTE, 2))
    assert state == at(2, Step.PRECOMMIT)
    assert outputs == (precommit(2, NIL),)


@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT])
def test_l65_to_l67_the_precommit_timeout_enters_the_next_round_from_any_step(step: Step) -> None:
    state, _ = apply(at(2, step), expired(TimeoutKind.PRECOMMIT, 2))
    assert (state.round, state.step) == (3, Step.PROPOSE)


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (at(2, Step.PREVOTE), expired(TimeoutKind.PROPOSE, 2)),
        (at(2, Step.PROPOSE), expired(TimeoutKind.PREVOTE, 2)),
        (at(2, Step.PRECOMMIT), expired(TimeoutKind.PREVOTE, 2)),
        *(
            (at(2, step), expired(kind, round))
            for step in (Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT)
            for kind in TimeoutKind
            for round in (1, 3)
        ),
    ],
)
def test_l58_l62_l66_a_timeout_of_another_round_or_step_does_nothing(
    state: RoundState, event: Event
) -> None:
    assert apply(state, event) == (state, ())


@pytest.mark.parametrize(
    "event",
    [
        fresh(V, round=1),
        again(V, 0, round=2),
        PolkaAny(round=1),
        polka(V, round=1),
        PolkaNil(round=1),
        PrecommitAny(round=1),
    ],
)
@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT])
def test_rules_of_another_round_do_nothing(step: Step, event: Event) -> None:
    assert apply(at(3, step), event) == (at(3, step), ())


@pytest.mark.parametrize("own_key", [None, key_of(4)], ids=["no key", "a key outside the set"])
def test_an_observer_follows_without_voting(own_key: ValidatorKey | None) -> None:
    observer = replace(at(2, Step.PROPOSE), own_key=own_key)
    state, outputs = apply(observer, fresh(V))
    assert (state.step, outputs) == (Step.PREVOTE, ())


def test_the_last_round_has_no_next() -> None:
    last_but_one = at(ROUND_MAX - 1, Step.PRECOMMIT)
    state, _ = apply(last_but_one, expired(TimeoutKind.PRECOMMIT, ROUND_MAX - 1))
    assert state.round == ROUND_MAX
    last = at(ROUND_MAX, Step.PRECOMMIT)
    assert apply(last, expired(TimeoutKind.PRECOMMIT, ROUND_MAX)) == (last, ())


# --- lines that are the driver's ------------------------------------------------------------------


def driver_at(height: int) -> Driver:
    validators = validator_set((1, 1, 1, 1))
    return Driver(height=height, validators=validators, own_key=key_of(1), timeouts=TIMEOUTS)


def proposed(proposer: int, round: int, block_id: BlockId) -> ProposalReceived:
    proposal = proposal_of(key_of(proposer), 4, round, block_id)
    return ProposalReceived(proposal=proposal, valid=True, timely=True)


def voted(voter: int, kind: VoteKind, round: int, block_id: BlockId) -> VoteReceived:
    return VoteReceived(vote=signed_vote(key_of(voter), kind, 4, round, (block_id,)))


@pytest.mark.parametrize("stranger", [1, 2, 3, 4])
def test_l22_only_the_proposer_of_the_round_is_heard(stranger: int) -> None:
    driver = driver_at(4)
    assert driver.handle(proposed(stranger, 0, V)) == ()
    assert driver.proposal_for(0) is None
    assert driver.handle(proposed(0, 0, V))[-1] == prevote(0, (V,))


def test_l28_a_reproposal_waits_for_the_polka_of_its_valid_round_and_of_no_other() -> None:
    driver = driver_at(4)
    for voter in (0, 2):
        driver.handle(voted(voter, VoteKind.PREVOTE, 2, W))
    assert driver.round == 2
    again_v = proposal_of(key_of(2), 4, 2, V, (1,))
    driver.handle(ProposalReceived(proposal=again_v, valid=True, timely=True))
    for round in (0, 1):
        assert driver.step is Step.PROPOSE, "no polka of the valid round yet"
        for voter in (0, 2, 3):
            effects = driver.handle(voted(voter, VoteKind.PREVOTE, round, V))
    assert effects[1:] == (prevote(2, (V,)),)


def test_l49_l50_precommits_decide_only_when_their_block_is_here() -> None:
    driver = driver_at(4)
    for voter in (0, 2, 3):
        effects = driver.handle(voted(voter, VoteKind.PRECOMMIT, 0, V))
        assert not any(isinstance(effect, Decide) for effect in effects)
    assert isinstance(driver.handle(proposed(0, 0, V))[-1], Decide)


def test_l52_to_l54_the_next_height_is_a_driver_without_lock_that_heeds_only_its_own_height() -> (
    None
):
    following = driver_at(5)
    assert (following.round, following.step) == (0, Step.WAITING)
    assert (following.locked, following.valid) == (None, None)
    assert following.handle(voted(0, VoteKind.PRECOMMIT, 0, V)) == ()
    assert following.handle(WorkArrived()) == (
        Log(input=WorkArrived()),
        ScheduleTimeout(kind=TimeoutKind.PROPOSE, round=0, after_ms=TIMEOUTS.propose_ms),
        BuildProposal(round=0),
    )


# --- every line has its test ----------------------------------------------------------------------


def lines_in(text: str) -> set[int]:
    """Return the lines of the paper that a source names: L36, L36-L43."""
    lines = set[int]()
    for first, last in re.findall(r"\bL(\d+)(?:-L(\d+))?\b", text):
        lines.update(range(int(first), int(last or first) + 1))
    return lines


def lines_tested(text: str) -> set[int]:
    """Return the lines that the names of tests give: l14_l17, l36_to_l43."""
    lines = set[int]()
    for name in re.findall(r"^def test_((?:l\d+_(?:to_)?)+)", text, re.MULTILINE):
        for first, last in re.findall(r"l(\d+)(?:_to_l(\d+))?", name):
            lines.update(range(int(first), int(last or first) + 1))
    return lines


@pytest.mark.parametrize("module", [rounds_module, driver_module], ids=lambda m: m.__name__)
def test_each_line_named_in_the_code_has_a_test_that_names_it(module: object) -> None:
    source = Path(str(getattr(module, "__file__", ""))).read_text(encoding="utf-8")
    named = lines_in(source)
    assert len(named) > 5, "the code names the lines it follows"
    assert named - lines_tested(Path(__file__).read_text(encoding="utf-8")) == set()


def test_each_line_of_the_algorithm_from_the_first_round_on_has_a_test() -> None:
    tested = lines_tested(Path(__file__).read_text(encoding="utf-8"))
    assert set(range(10, 68)) - tested == set()
