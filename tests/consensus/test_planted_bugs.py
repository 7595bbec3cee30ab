"""The simulator finds bugs: each known mistake is planted, and some seed must catch it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from consensus import rounds, votebook
from consensus.driver import Driver
from consensus.effects import Effect
from consensus.inputs import ProposalReceived, TimeoutExpired
from consensus.messages import NIL, OptionalBlockId, Vote, VoteKind
from consensus.rounds import RoundState, Transition
from consensus.validators import ValidatorSet
from tests.consensus.harness import Network, Node, Violation

SEEDS_MAX = 1_000
"""The adversary has this many tries for each bug."""

FOUR = (1, 1, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedBug:
    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
    caught_as: tuple[str, ...]
    """Beginnings of the violations that count as catching it."""
    powers: tuple[int, ...] = FOUR
    node: Callable[[Network, int], Node] = Node


def with_lock_of(before: RoundState, after: RoundState) -> RoundState:
    return replace(after, locked_block=before.locked_block, locked_round=before.locked_round)


def quorum_of_exactly_two_thirds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ValidatorSet, "is_quorum", lambda s, power: 3 * power >= 2 * s.total_power)


def quorum_of_a_half(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ValidatorSet, "is_quorum", lambda s, power: 2 * power > s.total_power)


def quorum_of_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ValidatorSet, "is_quorum", lambda s, power: power == s.total_power)


def lock_ignored_for_fresh_proposals(patch: pytest.MonkeyPatch) -> None:
    correct = rounds.on_fresh_proposal

    def planted(state: RoundState, event: rounds.FreshProposal) -> Transition:
        unlocked = replace(state, locked_block=NIL, locked_round=rounds.NO_ROUND)
        after, outputs = correct(unlocked, event)
        if not outputs:
            return state, ()
        return with_lock_of(state, after), outputs

    patch.setattr(rounds, "on_fresh_proposal", planted)


def any_old_polka_unlocks(patch: pytest.MonkeyPatch) -> None:
    correct = rounds.on_reproposal_with_polka

    def planted(state: RoundState, event: rounds.ReproposalWithPolka) -> Transition:
        after, outputs = correct(replace(state, locked_round=rounds.NO_ROUND), event)
        return (
            (replace(after, locked_round=state.locked_round), outputs) if outputs else (state, ())
        )

    patch.setattr(rounds, "on_reproposal_with_polka", planted)


def polka_of_the_valid_round_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Driver, "_has_polka", lambda s, round, value: True)


def lock_lost_in_a_new_round(patch: pytest.MonkeyPatch) -> None:
    correct = rounds.start_round

    def planted(state: RoundState, round: int) -> Transition:
        unlocked = replace(state, locked_block=NIL, locked_round=rounds.NO_ROUND)
        return correct(unlocked, round)

    patch.setattr(rounds, "start_round", planted)


def nil_polka_unlocks(patch: pytest.MonkeyPatch) -> None:
    correct = rounds.on_polka_nil

    def planted(state: RoundState, event: rounds.PolkaNil) -> Transition:
        after, outputs = correct(state, event)
        if not outputs:
            return state, ()
        return replace(after, locked_block=NIL, locked_round=rounds.NO_ROUND), outputs

    patch.setattr(rounds, "on_polka_nil", planted)


def precommit_without_a_lock(patch: pytest.MonkeyPatch) -> None:
    correct = rounds.on_polka_for_proposal

    def planted(state: RoundState, event: rounds.PolkaForProposal) -> Transition:
        after, outputs = correct(state, event)
        return with_lock_of(state, after), outputs

    patch.setattr(rounds, "on_polka_for_proposal", planted)


def precommit_without_a_polka(patch: pytest.MonkeyPatch) -> None:
    def planted(book: votebook.VoteBook, round: int, kind: VoteKind) -> OptionalBlockId | None:
        values = [vote.block_id for vote in book.votes(round, kind)]
        return values[0] if values else None

    patch.setattr(votebook.VoteBook, "quorum_value", planted)


def valid_round_off_by_one(patch: pytest.MonkeyPatch) -> None:
    correct = rounds.on_polka_for_proposal

    def planted(state: RoundState, event: rounds.PolkaForProposal) -> Transition:
        if state.valid_round == event.round + 1:
            return state, ()
        after, outputs = correct(state, event)
        changed = after.valid_round == event.round
        return replace(after, valid_round=after.valid_round + changed), outputs

    patch.setattr(rounds, "on_polka_for_proposal", planted)


def nil_votes_counted_for_the_block(patch: pytest.MonkeyPatch) -> None:
    def planted(book: votebook.VoteBook, round: int, kind: VoteKind) -> OptionalBlockId | None:
        votes = book.votes(round, kind)
        blocks = [vote.block_id for vote in votes if vote.block_id]
        if not book.has_quorum(round, kind):
            return None
        return blocks[0] if blocks else NIL

    patch.setattr(votebook.VoteBook, "quorum_value", planted)


def vote_counted_twice_per_key(patch: pytest.MonkeyPatch) -> None:
    def planted(tally: votebook._Tally, vote: Vote) -> votebook.Recorded:
        tally.first.setdefault(vote.validator, vote)
        tally.power_of_all += tally._validators.power_of(vote.validator)
        tally._count(vote)
        return votebook.Recorded(True, None)

    patch.setattr(votebook._Tally, "add", planted)


def one_vote_skips_a_round(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ValidatorSet, "is_one_third_plus", lambda s, power: power > 0)


def rounds_never_skipped_and_only_own_votes_resent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(votebook.VoteBook, "skip_target", lambda s: None)
    patch.setattr(Driver, "resend", Driver.own_votes)


def proposer_unchecked(patch: pytest.MonkeyPatch) -> None:
    correct = Driver._receive_proposal

    def planted(driver: Driver, received: ProposalReceived, effects: list[Effect]) -> bool:
        proposal = received.proposal
        turn = driver._state.validators.proposer(proposal.height, proposal.round)
        forged = {name: getattr(proposal, name) for name in proposal.__struct_fields__}
        forged["validator"] = turn
        as_if = ProposalReceived(
            proposal=type(proposal)(**forged), valid=received.valid, timely=received.timely
        )
        return correct(driver, as_if, effects)

    patch.setattr(Driver, "_receive_proposal", planted)
    patch.setattr(Driver, "_report", lambda *arguments: False)


def invalid_blocks_accepted(patch: pytest.MonkeyPatch) -> None:
    correct = Driver._receive_proposal

    def planted(driver: Driver, received: ProposalReceived, effects: list[Effect]) -> bool:
        as_if = ProposalReceived(proposal=received.proposal, valid=True, timely=True)
        return correct(driver, as_if, effects)

    patch.setattr(Driver, "_receive_proposal", planted)


def timer_flags_survive_the_round(patch: pytest.MonkeyPatch) -> None:
    correct = rounds.start_round

    def planted(state: RoundState, round: int) -> Transition:
        after, outputs = correct(state, round)
        after = replace(after, prevote_timer_started=state.prevote_timer_started)
        return replace(after, precommit_timer_started=state.precommit_timer_started), outputs

    patch.setattr(rounds, "start_round", planted)


def nothing(patch: pytest.MonkeyPatch) -> None:
    """The engine is right; the host is wrong."""


class SendsBeforeLog(Node):
    """Syncs only now and then, and not before a vote leaves."""

    def sync(self) -> None:
        if self.network.random.random() < 0.2:
            super().sync()


class ForgetsTimeouts(Node):
    """Logs messages, but not expired timers."""

    def sync(self) -> None:
        kept = [entry for entry in self.unsynced if not isinstance(entry[0], TimeoutExpired)]
        self.unsynced = kept
        super().sync()


BUGS = (
    PlantedBug(
        name="quorum is exactly two thirds",
        plant=quorum_of_exactly_two_thirds,
        caught_as=("certificate",),
        powers=(1,) * 6,
    ),
    PlantedBug(
        name="quorum is a half",
        plant=quorum_of_a_half,
        caught_as=("certificate", "disagreement"),
        powers=(1,) * 5,
    ),
    PlantedBug(name="quorum is everybody", plant=quorum_of_everybody, caught_as=("not live",)),
    PlantedBug(
        name="lock ignored for fresh proposals (L23)",
        plant=lock_ignored_for_fresh_proposals,
        caught_as=("disagreement", "lock broken"),
    ),
    PlantedBug(
        name="any old polka unlocks (L29)",
        plant=any_old_polka_unlocks,
        caught_as=("disagreement", "lock broken"),
    ),
    PlantedBug(
        name="polka of the valid round unchecked (L28)",
        plant=polka_of_the_valid_round_unchecked,
        caught_as=("disagreement", "lock broken"),
    ),
    PlantedBug(
        name="lock lost in a new round (L11)",
        plant=lock_lost_in_a_new_round,
        caught_as=("disagreement", "lock broken"),
    ),
    PlantedBug(
        name="nil polka unlocks (L44)",
        plant=nil_polka_unlocks,
        caught_as=("disagreement", "lock broken"),
    ),
    PlantedBug(
        name="precommit without a lock (L38)",
        plant=precommit_without_a_lock,
        caught_as=("disagreement", "lock broken"),
    ),
    PlantedBug(
        name="precommit without a polka (L36)",
        plant=precommit_without_a_polka,
        caught_as=("certificate", "disagreement"),
    ),
    PlantedBug(
        name="valid round off by one (L43)",
        plant=valid_round_off_by_one,
        caught_as=("not live", "disagreement"),
    ),
    PlantedBug(
        name="nil votes counted for the block (L36)",
        plant=nil_votes_counted_for_the_block,
        caught_as=("disagreement", "lock broken"),
    ),
    PlantedBug(
        name="a key counted twice",
        plant=vote_counted_twice_per_key,
        caught_as=("certificate", "disagreement"),
    ),
    PlantedBug(
        name="one vote skips a round (L55)",
        plant=one_vote_skips_a_round,
        caught_as=("ran ahead",),
    ),
    PlantedBug(
        name="rounds never skipped, little re-sent (L55)",
        plant=rounds_never_skipped_and_only_own_votes_resent,
        caught_as=("not live",),
    ),
    PlantedBug(
        name="proposer unchecked (L22)",
        plant=proposer_unchecked,
        caught_as=("prevote for what was not proposed",),
    ),
    PlantedBug(
        name="invalid blocks accepted (L23)",
        plant=invalid_blocks_accepted,
        caught_as=("invalid block",),
    ),
    PlantedBug(
        name="timer flags survive the round (L34)",
        plant=timer_flags_survive_the_round,
        caught_as=("not live",),
    ),
    PlantedBug(
        name="sent before logged",
        plant=nothing,
        caught_as=("contradiction",),
        node=SendsBeforeLog,
    ),
    PlantedBug(
        name="timeouts not logged",
        plant=nothing,
        caught_as=("contradiction", "a replay"),
        node=ForgetsTimeouts,
    ),
)


def seeds_needed(bug: PlantedBug) -> tuple[int, str] | None:
    """Return how many seeds it took to catch the bug and how it showed, or None."""
    for seed in range(SEEDS_MAX):
        try:
            Network(seed, powers=bug.powers, node=bug.node).run()
        except Violation as violation:
            if str(violation).startswith(bug.caught_as):
                return seed + 1, str(violation)
    return None


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_simulator_catches(
    bug: PlantedBug, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bug.plant(monkeypatch)
    caught = seeds_needed(bug)
    with capsys.disabled():
        print(f"\n  planted: {bug.name:44} {caught or 'NOT CAUGHT'}")
    assert caught is not None, f"{SEEDS_MAX} seeds did not catch: {bug.name}"


def test_at_least_ten_different_bugs_are_planted() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 10
