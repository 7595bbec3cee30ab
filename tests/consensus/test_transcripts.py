"""Replays the readable scenarios in ``transcripts/``: ``>`` goes in, ``<`` must come out, in order.

Validators are a, b, c, …; blocks are capital letters. The first line gives powers, height and who
we are (``-`` for an observer). At height 4 of four equal validators a proposes in round 0, b in
round 1. ``? name value`` asks an accessor. After every scenario its logged inputs are replayed
through a fresh driver, which must return the same effects and end in the same state.
"""

from pathlib import Path

import pytest

from consensus.driver import Driver
from consensus.effects import (
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
from consensus.messages import NIL, BlockId, OptionalBlockId, ValidatorKey, VoteKind
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
        case ScheduleTimeout(kind=kind, round=round, after_ms=after_ms):
            return f"timer {kind} {round} {after_ms}"
        case Decide(round=round, block_id=block_id, certificate=certificate):
            signers = "".join(name_of(key) for key, _ in certificate.signatures)
            return f"decide {round} {value_name((block_id,))} {signers}"
        case StopVoting(round=round, block_id=block_id):
            return f"stop {round} {value_name((block_id,))}"
        case Equivocation(first=first):
            return f"equivocation {name_of(first.validator)}"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
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
                logged.append((given, effects))
        elif mark == "?":
            question = text.split()[0]
            came.append(f"? {question} {scenario.ask(question)}")
    assert came == expected
    fresh = scenario.new_driver()
    for given, effects in logged:
        assert fresh.handle(given) == effects, "a replay gives the same effects"
    assert fresh._state == scenario.driver._state


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 8
