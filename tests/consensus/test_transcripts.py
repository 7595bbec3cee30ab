"""Replays the readable scenarios in ``transcripts/``: ``>`` goes in, ``<`` must come out, in order.

Validators are a, b, c, …; blocks are capital letters. The first line gives powers, height and who
we are (``-`` for an observer). At height 4 of four equal validators a proposes in round 0, b in
round 1. ``? name value`` asks an accessor. After every scenario its logged inputs are replayed
through a fresh driver, which must return the same effects and end in the same state; ``! restart``
does so in the middle.

``# without: …`` names a protection: when that mistake is planted, the scenario must fail.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from consensus import rounds, votebook
from consensus.driver import Driver
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
from consensus.inputs import (
    Input,
    ProposalReceived,
    TimeoutExpired,
    TimeoutKind,
    VoteReceived,
    WorkArrived,
)
from consensus.messages import NIL, BlockId, OptionalBlockId, ValidatorKey, Vote, VoteKind
from consensus.rounds import RoundState, Step, Transition
from consensus.timeouts import TimeoutPolicy
from consensus.validators import ValidatorSet
from tests.consensus import test_planted_bugs as planted
from tests.consensus.harness import TIMEOUTS, key_of, proposal_of, signed_vote, validator_set

TRANSCRIPTS = sorted(Path(__file__).parent.joinpath("transcripts").glob("*.txt"))


def key_named(name: str) -> ValidatorKey:
    return key_of(ord(name) - ord("a"))


def name_of(key: ValidatorKey) -> str:
    return chr(key[0] - 1 + ord("a"))


def value_named(name: str) -> OptionalBlockId:
    return NIL if name == "nil" else (BlockId(name.encode() * 32),)


def value_name(value: OptionalBlockId) -> str:
    return chr(value[0][0]) if value else "nil"


class Scenario:
    def __init__(self, header: str) -> None:
        words = header.split()
        assert (words[0], words[-4], words[-2]) == ("validators", "height", "we"), header
        self.validators = validator_set(tuple(int(word) for word in words[1:-4]))
        self.height = int(words[-3])
        self.own_key = None if words[-1] == "-" else key_named(words[-1])
        self.driver = self.new_driver()

    def new_driver(self) -> Driver:
        return Driver(
            height=self.height,
            validators=self.validators,
            own_key=self.own_key,
            timeouts=TIMEOUTS,
        )

    def input(self, line: str) -> Input:
        words = line.split()
        match words:
            case ["work"]:
                return WorkArrived()
            case ["timeout", kind, round]:
                return TimeoutExpired(kind=TimeoutKind(kind), round=int(round))
            case ["proposal", name, round, block, *notes]:
                valid_rounds = [int(note[3:]) for note in notes if note.startswith("vr=")]
                block_id = BlockId(block.encode() * 32)
                proposal = proposal_of(
                    key_named(name), self.height, int(round), block_id, tuple(valid_rounds)
                )
                return ProposalReceived(
                    proposal=proposal, valid="invalid" not in notes, timely="late" not in notes
                )
            case [kind, name, round, block, *notes]:
                height = int(notes[0].removeprefix("height=")) if notes else self.height
                value = value_named(block)
                vote = signed_vote(key_named(name), VoteKind(kind), height, int(round), value)
                return VoteReceived(vote=vote)
            case _:
                raise AssertionError(line)

    def ask(self, question: str) -> str:
        match question:
            case "missing":
                missing = self.driver.missing_block()
                return value_name((missing,) if missing else NIL)
            case "locked" | "valid":
                pair = self.driver.locked if question == "locked" else self.driver.valid
                return f"{value_name((pair[0],))} {pair[1]}" if pair else "nil"
            case "at":
                return f"{self.driver.round} {self.driver.step.name.lower()}"
            case "resend":
                votes = self.driver.resend()
                return " ".join(
                    f"{vote.kind}:{name_of(vote.validator)}{vote.round}{value_name(vote.block_id)}"
                    for vote in votes
                )
            case _:
                raise AssertionError(question)


def line_of(effect: Effect, logged: str) -> str:
    match effect:
        case Log():
            return "log"
        case BuildProposal(round=round):
            return f"build {round}"
        case Repropose(round=round, block_id=block_id, valid_round=valid_round):
            return f"repropose {round} {value_name((block_id,))} vr={valid_round}"
        case SignVote(kind=kind, round=round, block_id=value):
            return f"{kind} {round} {value_name(value)}"
        case BroadcastProposal(proposal=proposal):
            return f"send proposal {proposal.round} {value_name((proposal.block_id,))}"
        case BroadcastVote(vote=vote):
            return f"send {vote.kind} {vote.round} {value_name(vote.block_id)}"
        case ScheduleTimeout(kind=kind, round=round, after_ms=after_ms):
            return f"timer {kind} {round} {after_ms}"
        case Decide(round=round, block_id=block_id, certificate=certificate):
            signers = "".join(name_of(key) for key, _ in certificate.signatures)
            return f"decide {round} {value_name((block_id,))} {signers}"
        case StopVoting(round=round, block_id=block_id):
            return f"stop {round} {value_name((block_id,))}"
        case Equivocation(first=first):
            return f"equivocation {name_of(first.validator)}"


def is_logged(input: Input) -> bool:
    """A host logs every input that changed something."""
    return True


def run(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    scenario = Scenario(lines.pop(0))
    logged: list[tuple[Input, tuple[Effect, ...]]] = []
    expected: list[str] = []
    came: list[str] = []
    for line in lines:
        mark, text = line.split(maxsplit=1)
        expected.append(line)
        if mark == ">":
            given = scenario.input(text)
            effects = scenario.driver.handle(given)
            came.append(line)
            came += [f"< {line_of(effect, text)}" for effect in effects]
            if effects:
                assert effects[0] == Log(input=given), "what changed something is logged first"
            if effects and is_logged(given):
                logged.append((given, effects))
        elif mark == "?":
            question = text.split()[0]
            came.append(f"? {question} {scenario.ask(question)}")
        elif mark == "!":
            assert text == "restart"
            came.append(line)
            scenario.driver = replayed(scenario, logged)
    assert came == expected
    assert replayed(scenario, logged)._state == scenario.driver._state


def replayed(scenario: Scenario, logged: list[tuple[Input, tuple[Effect, ...]]]) -> Driver:
    fresh = scenario.new_driver()
    for given, effects in logged:
        assert fresh.handle(given) == effects, "a replay gives the same effects"
    return fresh


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    run(path)


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 18


# --- each fails without its protection -----------------------------------------------------------


def lock_prevoted_at_once(patch: pytest.MonkeyPatch) -> None:
    correct = rounds.start_round

    def wrong(state: RoundState, round: int) -> Transition:
        after, outputs = correct(state, round)
        if not after.locked_block:
            return after, outputs
        vote = SignVote(kind=VoteKind.PREVOTE, round=round, block_id=after.locked_block)
        return replace(after, step=Step.PREVOTE), (*outputs, vote)

    patch.setattr(rounds, "start_round", wrong)


def nil_prevoted_early(patch: pytest.MonkeyPatch) -> None:
    correct = rounds.on_polka_nil

    def wrong(state: RoundState, event: rounds.PolkaNil) -> Transition:
        if event.round == state.round and state.step is Step.PROPOSE:
            vote = SignVote(kind=VoteKind.PREVOTE, round=state.round, block_id=NIL)
            return replace(state, step=Step.PREVOTE), (vote,)
        return correct(state, event)

    patch.setattr(rounds, "on_polka_nil", wrong)


def lock_for_ever(patch: pytest.MonkeyPatch) -> None:
    correct = rounds.on_reproposal_with_polka

    def wrong(state: RoundState, event: rounds.ReproposalWithPolka) -> Transition:
        is_free = state.locked_block in (NIL, (event.block_id,))
        return correct(state, replace(event, valid=event.valid and is_free))

    patch.setattr(rounds, "on_reproposal_with_polka", wrong)


def endless_timers(patch: pytest.MonkeyPatch) -> None:
    def wrong(policy: TimeoutPolicy, kind: TimeoutKind, round: int) -> int:
        return policy.propose_ms + round * policy.increment_ms

    patch.setattr(TimeoutPolicy, "after_ms", wrong)


def timeouts_not_logged(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(globals(), "is_logged", lambda given: not isinstance(given, TimeoutExpired))


def votes_not_logged(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(globals(), "is_logged", lambda given: not isinstance(given, VoteReceived))


def turns_off_by_one(patch: pytest.MonkeyPatch) -> None:
    correct = ValidatorSet.proposer
    patch.setattr(ValidatorSet, "proposer", lambda s, height, round: correct(s, height, round + 1))


def second_vote_never_counts(patch: pytest.MonkeyPatch) -> None:
    correct = votebook._Tally.add

    def wrong(tally: votebook._Tally, vote: Vote) -> votebook.Recorded:
        first = tally.first.get(vote.validator)
        return correct(tally, vote) if first is None else votebook.Recorded(False, first)

    patch.setattr(votebook._Tally, "add", wrong)


def untimely_is_invalid(patch: pytest.MonkeyPatch) -> None:
    correct = Driver._receive_proposal

    def wrong(driver: Driver, received: ProposalReceived, effects: list[Effect]) -> bool:
        valid = received.valid and received.timely
        as_if = ProposalReceived(proposal=received.proposal, valid=valid, timely=received.timely)
        return correct(driver, as_if, effects)

    patch.setattr(Driver, "_receive_proposal", wrong)


MISTAKES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a lock is for ever (L29)": lock_for_ever,
    "a lock is lost in a new round (L11)": planted.lock_lost_in_a_new_round,
    "a lock is prevoted at once": lock_prevoted_at_once,
    "a missing block is not missed": lambda patch: patch.setattr(
        Driver, "missing_block", lambda driver: None
    ),
    "a proposer's second block is never kept": lambda patch: patch.setattr(
        Driver, "_may_keep_another", lambda driver, proposal: False
    ),
    "a voter's second vote never counts": second_vote_never_counts,
    "an untimely block is invalid": untimely_is_invalid,
    "invalid blocks are accepted (L23)": planted.invalid_blocks_accepted,
    "nil is prevoted early": nil_prevoted_early,
    "rounds are never skipped (L55)": planted.rounds_never_skipped_and_only_own_votes_resent,
    "the lock is ignored for fresh proposals (L23)": planted.lock_ignored_for_fresh_proposals,
    "the proposer is not checked (L22)": planted.proposer_unchecked,
    "the quorum is everybody": planted.quorum_of_everybody,
    "the valid round is off by one (L43)": planted.valid_round_off_by_one,
    "timeouts are not logged": timeouts_not_logged,
    "timer flags survive the round (L34)": planted.timer_flags_survive_the_round,
    "timers grow without end": endless_timers,
    "turns are off by one": turns_off_by_one,
    "votes are not logged": votes_not_logged,
}


def mistakes_in(path: Path) -> list[str]:
    mark = "# without: "
    lines = path.read_text().splitlines()
    return [line.removeprefix(mark) for line in lines if line.startswith(mark)]


PAIRS = [(path, mistake) for path in TRANSCRIPTS for mistake in mistakes_in(path)]


@pytest.mark.parametrize(
    ("path", "mistake"), PAIRS, ids=[f"{path.stem}: {mistake}" for path, mistake in PAIRS]
)
def test_a_transcript_fails_without_its_protection(
    path: Path, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MISTAKES[mistake](monkeypatch)
    with pytest.raises(AssertionError):
        run(path)


def test_every_transcript_names_its_protection_and_every_mistake_is_tried() -> None:
    assert all(mistakes_in(path) for path in TRANSCRIPTS)
    assert {mistake for _, mistake in PAIRS} == MISTAKES.keys()
