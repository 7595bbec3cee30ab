"""Counting votes."""

from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import NIL, BlockId, OptionalBlockId, Vote, VoteKind
from consensus.votebook import WINDOW_MAX, Recorded, VoteBook
from tests.consensus.harness import key_of, signed_vote, validator_set

V: OptionalBlockId = (BlockId(b"v" * 32),)
W: OptionalBlockId = (BlockId(b"w" * 32),)
FOUR = validator_set((1, 1, 1, 1))
PREVOTE, PRECOMMIT = VoteKind.PREVOTE, VoteKind.PRECOMMIT


def vote(who: int, value: OptionalBlockId, *, round: int = 0, kind: VoteKind = PREVOTE) -> Vote:
    return signed_vote(key_of(who), kind, 1, round, value)


def book_with(*votes: Vote) -> VoteBook:
    book = VoteBook(FOUR)
    for each in votes:
        book.add(each)
    return book


def test_three_of_four_are_a_quorum_and_two_are_not() -> None:
    book = book_with(vote(0, V), vote(1, V))
    assert book.quorum_value(0, PREVOTE) is None
    book.add(vote(2, V))
    assert book.quorum_value(0, PREVOTE) == V


def test_a_quorum_for_nil_is_not_a_missing_quorum() -> None:
    assert book_with(vote(0, NIL), vote(1, NIL), vote(2, NIL)).quorum_value(0, PREVOTE) == NIL


def test_votes_for_different_things_are_a_quorum_for_nothing() -> None:
    book = book_with(vote(0, V), vote(1, W), vote(2, NIL))
    assert book.has_quorum(0, PREVOTE)
    assert book.quorum_value(0, PREVOTE) is None


def test_prevotes_and_precommits_and_rounds_are_counted_apart() -> None:
    book = book_with(vote(0, V), vote(1, V, kind=PRECOMMIT), vote(2, V, round=1))
    assert [book.power_for(0, PREVOTE, V), book.power_for(0, PRECOMMIT, V)] == [1, 1]
    assert book.power_for(1, PREVOTE, V) == 1


def test_a_repeated_vote_changes_nothing() -> None:
    book = book_with(vote(0, V))
    assert book.add(vote(0, V)) == Recorded(False, None)
    assert book.power_for(0, PREVOTE, V) == 1


def test_a_conflicting_vote_is_evidence_and_counts_for_nothing() -> None:
    book = book_with(vote(0, V), vote(1, W))
    assert book.add(vote(0, W)) == Recorded(False, vote(0, V))
    assert book.power_for(0, PREVOTE, W) == 1
    assert len(book.votes(0, PREVOTE)) == 2


def test_a_conflicting_vote_counts_for_what_a_correct_validator_voted() -> None:
    book = book_with(vote(0, W), vote(1, V), vote(2, V))
    assert book.add(vote(0, V)) == Recorded(True, vote(0, W))
    assert book.quorum_value(0, PREVOTE) == V
    assert book.add(vote(0, V)) == Recorded(False, None)


def test_a_key_that_tells_two_stories_is_one_key_in_any_quorum() -> None:
    book = book_with(vote(0, W), vote(1, V), vote(2, V))
    before = book_with(vote(0, W), vote(1, V))
    before.add(vote(0, V))
    assert not before.has_quorum(0, PREVOTE)
    assert book.has_quorum(0, PREVOTE)


def test_one_key_cannot_fill_the_book() -> None:
    book = book_with(vote(1, V), vote(2, V))
    for number in range(200):
        book.add(vote(0, (BlockId(bytes([number]) * 32),)))
    book.add(vote(0, V))
    assert len(book.votes(0, PREVOTE)) == 4


def test_the_first_precommit_quorum_for_a_block_is_remembered_in_any_round() -> None:
    book = book_with(*(vote(who, NIL, kind=PRECOMMIT) for who in range(3)))
    assert book.commit is None
    for who in range(3):
        book.add(vote(who, V, round=5, kind=PRECOMMIT))
    assert book.commit == (5, V)
    for who in range(3):
        book.add(vote(who, V, round=6, kind=PRECOMMIT))
    assert book.commit == (5, V)


def test_two_keys_in_later_rounds_move_us_to_what_a_correct_one_has_reached() -> None:
    book = book_with(vote(0, V, round=9))
    assert book.skip_target() is None
    book.add(vote(0, V, round=7, kind=PRECOMMIT))
    assert book.skip_target() is None, "one key counts once"
    book.add(vote(1, V, round=4, kind=PRECOMMIT))
    assert book.skip_target() == 4


def test_who_is_in_our_round_moves_us_nowhere() -> None:
    assert book_with(vote(0, V), vote(1, V)).skip_target() is None
    book = book_with(vote(0, V, round=2), vote(1, V, round=2))
    book.enter_round(2)
    assert book.skip_target() is None


def test_a_proposal_counts_for_skipping() -> None:
    book = book_with(vote(0, V, round=3))
    book.saw(key_of(1), 3)
    assert book.skip_target() == 3


def test_beyond_the_window_a_key_has_one_vote_a_kind_and_replaces_it_by_doubling() -> None:
    far = WINDOW_MAX + 1
    book = book_with(vote(0, V, round=far))
    assert book.votes(far, PREVOTE) == ()
    assert not book.add(vote(0, V, round=2 * far - 1)).changed
    assert book.add(vote(0, V, round=2 * far)).changed
    assert not book.add(vote(0, V, round=far + 4)).changed
    assert book.add(vote(0, W, round=2 * far)) == Recorded(False, vote(0, V, round=2 * far))
    book.enter_round(2 * far - 1)
    assert book.votes(far, PREVOTE) == ()
    assert book.votes(2 * far, PREVOTE) == (vote(0, V, round=2 * far),)


def test_beyond_the_window_only_another_story_in_one_round_is_a_contradiction() -> None:
    far = WINDOW_MAX + 1
    book = book_with(vote(0, V, round=far))
    assert book.add(vote(0, V, round=far)) == Recorded(False, None), "the same again"
    assert book.add(vote(0, W, round=far + 1)) == Recorded(False, None), "another round"
    assert book.add(vote(0, W, round=far)) == Recorded(False, vote(0, V, round=far))


def test_a_vote_that_the_window_has_reached_leaves_its_place_to_another() -> None:
    far = WINDOW_MAX + 1
    book = book_with(vote(0, V, round=far))
    book.enter_round(1)
    assert book.add(vote(0, V, round=far + 1)) == Recorded(True, None), "it need not double"


def test_the_window_includes_its_last_round() -> None:
    book = book_with(vote(0, V, round=WINDOW_MAX))
    assert book.votes(WINDOW_MAX, PREVOTE) == (vote(0, V, round=WINDOW_MAX),)


def test_a_vote_counts_as_soon_as_the_window_reaches_it_and_no_sooner() -> None:
    far = WINDOW_MAX + 2
    book = book_with(vote(0, V, round=far))
    book.enter_round(1)
    assert book.votes(far, PREVOTE) == ()
    book.enter_round(2)
    assert book.votes(far, PREVOTE) == (vote(0, V, round=far),)


def test_a_commit_that_waited_beyond_the_window_is_found_on_the_way() -> None:
    far = WINDOW_MAX + 3
    book = book_with(*(vote(who, V, round=far, kind=PRECOMMIT) for who in range(3)))
    assert book.commit is None
    assert book.skip_target() == far
    book.enter_round(far)
    assert book.commit == (far, V)


VOTES = st.builds(
    vote,
    st.integers(0, 3),
    st.sampled_from((NIL, V, W)),
    round=st.integers(0, 2),
    kind=st.sampled_from(VoteKind),
)


@given(votes=st.lists(VOTES, max_size=40))
def test_the_book_agrees_with_counting_by_hand(votes: list[Vote]) -> None:
    book = book_with(*votes)
    for round in range(3):
        for kind in VoteKind:
            cast = [each for each in votes if (each.round, each.kind) == (round, kind)]
            voters = {each.validator for each in cast}
            assert book.has_quorum(round, kind) == (len(voters) >= 3)
            for value in (NIL, V, W):
                behind = {each.validator for each in cast if each.block_id == value}
                assert book.power_for(round, kind, value) <= len(behind)
            found = book.quorum_value(round, kind)
            if found is not None:
                assert len({e.validator for e in cast if e.block_id == found}) >= 3


@given(order=st.permutations([0, 1, 2, 3]), liar=st.sampled_from((NIL, W)))
def test_resending_lets_a_hidden_polka_be_seen_in_any_order(
    order: list[int], liar: OptionalBlockId
) -> None:
    book = book_with(vote(3, liar))
    resent = [vote(who, V) for who in order if who != 2]
    for each in (*resent, *resent):
        book.add(each)
    assert book.quorum_value(0, PREVOTE) == V
