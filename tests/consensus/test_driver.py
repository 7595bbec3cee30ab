"""What a driver lets in, what it misses and what it sends again, at the edges.

Four validators of equal power at height 4, so that validator r proposes in round r; we are 1.
"""

import pytest

from consensus.driver import Driver
from consensus.effects import Equivocation
from consensus.inputs import ProposalReceived, TimeoutExpired, TimeoutKind, VoteReceived
from consensus.messages import NIL, ROUND_MAX, BlockId, OptionalBlockId, Vote, VoteKind
from consensus.votebook import WINDOW_MAX
from tests.consensus.harness import TIMEOUTS, key_of, proposal_of, signed_vote, validator_set

V, W = BlockId(b"v" * 32), BlockId(b"w" * 32)
PREVOTE, PRECOMMIT = VoteKind.PREVOTE, VoteKind.PRECOMMIT


def driver() -> Driver:
    validators = validator_set((1, 1, 1, 1))
    return Driver(height=4, validators=validators, own_key=key_of(1), timeouts=TIMEOUTS)


def proposed(
    round: int, block_id: BlockId = V, valid_round: tuple[int, ...] = ()
) -> ProposalReceived:
    proposal = proposal_of(key_of(round % 4), 4, round, block_id, valid_round)
    return ProposalReceived(proposal=proposal, valid=True, timely=True)


def vote(
    who: int, value: OptionalBlockId, *, round: int = 0, kind: VoteKind = PREVOTE, height: int = 4
) -> Vote:
    return signed_vote(key_of(who), kind, height, round, value)


def hear(one: Driver, *votes: Vote) -> None:
    for each in votes:
        one.handle(VoteReceived(vote=each))


@pytest.mark.parametrize(
    ("round", "is_kept"),
    [(-1, False), (0, True), (WINDOW_MAX, True), (WINDOW_MAX + 1, False)],
)
def test_a_proposal_is_heard_within_the_window(round: int, is_kept: bool) -> None:
    assert bool(driver().handle(proposed(round))) == is_kept


def test_a_proposal_beyond_the_last_round_is_not_heard() -> None:
    one = driver()
    hear(one, *(vote(who, NIL, round=ROUND_MAX) for who in (0, 2)))
    assert one.round == ROUND_MAX
    assert one.handle(proposed(ROUND_MAX + 1)) == ()
    assert one.handle(proposed(ROUND_MAX))


@pytest.mark.parametrize(
    ("round", "is_heard"), [(-1, False), (0, True), (ROUND_MAX, True), (ROUND_MAX + 1, False)]
)
def test_a_vote_is_heard_in_every_round_that_there_is(round: int, is_heard: bool) -> None:
    assert bool(driver().handle(VoteReceived(vote=vote(0, (V,), round=round)))) == is_heard


def test_votes_of_other_heights_and_of_strangers_are_not_heard() -> None:
    one = driver()
    for stranger in (vote(0, (V,), height=5), vote(0, (V,), height=3), vote(7, (V,))):
        assert one.handle(VoteReceived(vote=stranger)) == ()


def test_the_window_moves_with_the_round() -> None:
    one = driver()
    hear(one, vote(0, NIL, round=5), vote(2, NIL, round=5))
    assert one.round == 5
    for round in (5 + WINDOW_MAX, 4 + WINDOW_MAX):
        assert one.handle(VoteReceived(vote=vote(0, (V,), round=round))), "all are kept"


@pytest.mark.parametrize(("valid_round", "is_kept"), [(1, True), (2, False), (3, False)])
def test_the_polka_of_a_reproposal_lies_before_its_round(valid_round: int, is_kept: bool) -> None:
    assert bool(driver().handle(proposed(2, V, (valid_round,)))) == is_kept


def test_a_block_with_a_polka_is_missed_until_one_of_its_proposals_is_here() -> None:
    one = driver()
    one.handle(proposed(0, W))
    hear(one, *(vote(who, (V,)) for who in (0, 2)))
    assert one.missing_block() is None, "two are no polka"
    hear(one, vote(3, (V,)))
    assert one.missing_block() == V
    assert one.wants(proposed(0, V).proposal)
    assert not one.wants(proposed(0, BlockId(b"x" * 32)).proposal), "nobody voted for that one"
    one.handle(proposed(0, V))
    assert one.missing_block() is None
    assert not one.wants(proposed(0, V).proposal), "it is here"
    assert one.wants(proposed(1, V).proposal), "the first of its round"


def test_nothing_is_missed_after_a_polka_for_nil() -> None:
    one = driver()
    hear(one, *(vote(who, NIL) for who in (0, 2, 3)))
    assert one.missing_block() is None


def test_proposals_of_a_block_are_those_of_no_other() -> None:
    one = driver()
    one.handle(proposed(0, V))
    one.handle(proposed(2, V))
    one.handle(proposed(3, W))
    assert [each.round for each in one.proposals_of(V)] == [0, 2]


def test_a_second_proposal_is_kept_only_if_somebody_correct_voted_for_it() -> None:
    one = driver()
    one.handle(proposed(0, W))
    effects = one.handle(proposed(0, V))
    assert any(isinstance(effect, Equivocation) for effect in effects)
    assert [each.block_id for each in (one.proposal_for(0),) if each] == [W]
    assert one.proposals_of(V) == ()
    hear(one, vote(0, (V,)), vote(2, (V,)))
    assert one.handle(proposed(0, V))
    assert len(one.proposals_of(V)) == 1
    assert one.handle(proposed(0, V)) == (), "the same again"


def test_the_polka_of_the_valid_round_is_sent_again_without_what_others_voted() -> None:
    one = driver()
    one.handle(proposed(0, V))
    hear(one, *(vote(who, (V,)) for who in (1, 2, 3)), vote(0, NIL))
    assert one.valid == (V, 0)
    for kind in (PREVOTE, PRECOMMIT):
        hear(one, *(vote(who, NIL, kind=kind) for who in (0, 2, 3)))
    one.handle(TimeoutExpired(kind=TimeoutKind.PRECOMMIT, round=0))
    one.handle(TimeoutExpired(kind=TimeoutKind.PROPOSE, round=1))
    hear(one, *(vote(who, NIL, round=2) for who in (0, 2)))
    assert one.round == 2
    assert one.valid == (V, 0)
    again = [each for each in one.resend() if each.round == 0 and each.kind is PREVOTE]
    assert again == [vote(who, (V,)) for who in (1, 2, 3)]
    assert [each.block_id for each in one.resend_proposals()] == [V]
