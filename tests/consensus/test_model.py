"""The model keeps its promise everywhere within a bound; the drivers do only what it allows."""

from collections.abc import Callable

import pytest

from consensus.messages import OptionalBlockId, Proposal, Vote, VoteKind
from tests.consensus.harness import Message, Network, Node, Violation
from tests.consensus.model import NIL, Act, Kind, Model, State, explore, lock_of
from tests.consensus.test_planted_bugs import (
    lock_ignored_for_fresh_proposals,
    lock_lost_in_a_new_round,
    precommit_without_a_polka,
)

STATES_OF_TWO_ROUNDS = 19_511
TRACES = 200
KINDS = {VoteKind.PREVOTE: Kind.PREVOTE, VoteKind.PRECOMMIT: Kind.PRECOMMIT}


def test_no_reachable_state_of_two_rounds_lets_two_values_be_decided(
    capsys: pytest.CaptureFixture[str],
) -> None:
    explored = explore(Model(), rounds=2)
    with capsys.disabled():
        print(f"\n  model: {explored.states} states, {explored.decided} with a decision")
    assert explored.disagreement is None
    assert explored.states == STATES_OF_TWO_ROUNDS
    assert 0 < explored.decided < explored.states
    assert 0 < len(explored.final) < explored.states


def test_without_the_lock_the_model_disagrees() -> None:
    assert explore(Model(has_lock=False), rounds=2).disagreement is not None


def test_with_two_traitors_of_four_the_model_disagrees() -> None:
    assert explore(Model(honest=2, byzantine=2), rounds=1).disagreement is not None


def test_in_every_state_a_value_that_may_be_decided_is_locked_by_two_of_three() -> None:
    """Why it works: whoever comes later meets one of them in every quorum."""
    explored = explore(Model(), rounds=2)
    checked = 0
    for state in explored.final:
        for value in Model().decided(state):
            assert sum(lock_of(process)[0] == value for process in state) >= 2
            checked += 1
    assert checked > 0


class NotAllowed(AssertionError):
    """A driver did what the model does not allow."""


class Traced(Network):
    """A network whose honest nodes are held to the model, message by message.

    A round is entered in the model when something is said in it: what a node did before it
    crashed without a trace was never done.
    """

    def __init__(self, seed: int, *, powers: tuple[int, ...], byzantine: int) -> None:
        super().__init__(seed, powers=powers, byzantine=byzantine)
        self.model = Model(honest=len(self.nodes), byzantine=byzantine)
        self.model_state: State = self.model.start
        self.values: dict[OptionalBlockId, int] = {(): NIL}
        self.acts = 0

    def check_lock(self, vote: Vote) -> None:
        """The model checks locks here."""

    def broadcast(self, sender: Node, message: Message) -> None:
        match message:
            case Vote(validator=validator) if validator == sender.key:
                self.follow_vote(sender.index, message)
            case Proposal(validator=validator) if validator == sender.key:
                self.follow_proposal(sender.index, message)
        super().broadcast(sender, message)

    def follow_vote(self, process: int, vote: Vote) -> None:
        value = self.values.setdefault(vote.block_id, len(self.values) + NIL)
        kind = KINDS[vote.kind]
        said = self.model_state[process]
        if vote.round < len(said) and said[vote.round][kind - 1] == value:
            return  # sent again
        self.enter(process, vote.round)
        self.do(Act(process=process, kind=kind, round=vote.round, value=value))

    def follow_proposal(self, process: int, proposal: Proposal) -> None:
        if proposal.round < len(self.model_state[process]) - 1:
            return  # sent again
        self.enter(process, proposal.round)
        if proposal.valid_round:  # L16: the valid value had a polka in its round
            value = self.values.setdefault((proposal.block_id,), len(self.values) + NIL)
            round = proposal.valid_round[0]
            if not self.model.is_quorum(self.model_state, round, Kind.PREVOTE, value):
                raise NotAllowed(f"seed {self.seed}: a valid round without a polka")

    def enter(self, process: int, round: int) -> None:
        if round > len(self.model_state[process]) - 1:
            self.do(Act(process=process, kind=Kind.ENTER, round=round))

    def do(self, act: Act) -> None:
        if not self.model.allows(self.model_state, act):
            raise NotAllowed(f"seed {self.seed}: {act}")
        self.model_state = self.model.after(self.model_state, act)
        self.acts += 1

    def finish(self) -> None:
        self.run()
        assert self.decision is not None
        value = self.values[(self.decision,)]
        if self.model.decided(self.model_state) != {value}:
            raise NotAllowed(f"seed {self.seed}: a decision without a quorum")


@pytest.mark.parametrize(("size", "byzantine"), [(4, 1), (7, 2)])
def test_the_model_allows_all_that_drivers_do(
    size: int, byzantine: int, capsys: pytest.CaptureFixture[str]
) -> None:
    traced = acts = rounds = 0
    for seed in range(TRACES // 2):
        network = Traced(seed, powers=(1,) * size, byzantine=byzantine)
        network.finish()
        traced += 1
        acts += network.acts
        rounds = max(rounds, network.highest_round)
    with capsys.disabled():
        print(f"\n  model, {size} validators: {traced} traces, {acts} acts, rounds up to {rounds}")
    assert traced == TRACES // 2
    assert acts >= traced * (size - byzantine) * 2
    assert rounds > 2


@pytest.mark.parametrize(
    "plant",
    [lock_ignored_for_fresh_proposals, lock_lost_in_a_new_round, precommit_without_a_polka],
    ids=lambda plant: plant.__name__.replace("_", " "),
)
def test_the_model_refuses_what_a_wrong_driver_does(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    refused = 0
    for seed in range(TRACES):
        try:
            Traced(seed, powers=(1, 1, 1, 1), byzantine=1).finish()
        except NotAllowed:
            refused += 1
        except Violation:
            continue  # seen by the network's own checks
    assert refused > 0
