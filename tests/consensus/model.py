"""A small model of the algorithm, written from the paper alone (arXiv 1807.04938, algorithm 1).

It shares no line with ``consensus/``. What is left out makes the model allow *more* than the paper:

- Byzantine processes have no state. All their messages to everybody are there from the start, so a
  quorum is there as soon as enough honest processes make up the rest.
- There is no proposer: every value may be proposed in every round with every valid round.
- Messages arrive in any order or never: a process may always wait, and its timers run out whenever
  it likes (L57 to L67). So it need not know the time.
- Who has decided just stops. A decision is no act, but a fact: a quorum of precommits.

A state is what the honest processes have said. The lock of a process is its last precommit for a
value (L36 to L41), and so need not be remembered either.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

UNSAID, NIL = 0, 1
"""What is said that names no value. Values are the numbers above."""
VALUES = (2, 3)


class Kind(IntEnum):
    """An act; also where in a round a process is after it."""

    ENTER = 0
    PREVOTE = 1
    PRECOMMIT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One step of one process."""

    process: int
    kind: Kind
    round: int
    value: int = NIL
    """What is voted for; of no meaning when a round is entered."""


Round = tuple[int, int]
"""Prevote and precommit of one process in one round."""
Process = tuple[Round, ...]
"""Its rounds up to the current one. A skipped round has nothing said in it."""
State = tuple[Process, ...]
"""All honest processes."""

NAMES = tuple((UNSAID, NIL, *names) for names in itertools.permutations(VALUES))
"""Every way to rename the values, by value."""
QUIET: Round = (UNSAID, UNSAID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The processes of one height, all of equal power. The honest ones have the first indexes."""

    honest: int = 3
    byzantine: int = 1
    has_lock: bool = True
    """Whether L23 and L29 ask for the lock. False must make two decisions possible."""

    @property
    def start(self) -> State:
        """Everybody is in round 0 and has said nothing (L10)."""
        return ((QUIET,),) * self.honest

    @property
    def _missing(self) -> int:
        """How many honest processes must say something for a quorum to be possible."""
        total = self.honest + self.byzantine
        return total * 2 // 3 + 1 - self.byzantine

    def is_quorum(self, state: State, round: int, kind: Kind, value: int) -> bool:
        """Return whether two thirds may have voted so."""
        count = 0
        for process in state:
            if round < len(process) and process[round][kind - 1] == value:
                count += 1
        return count >= self._missing

    def is_quorum_of_any(self, state: State, round: int, kind: Kind) -> bool:
        """Return whether two thirds may have voted at all."""
        voted = [
            process
            for process in state
            if round < len(process) and process[round][kind - 1] != UNSAID
        ]
        return len(voted) >= self._missing

    def allows(self, state: State, act: Act) -> bool:
        """Return whether an honest process may do this now."""
        process = state[act.process]
        current = len(process) - 1
        if act.kind is Kind.ENTER:
            return act.round > current and (
                any(len(other) > act.round for other in state)  # L55
                or self.is_quorum_of_any(state, act.round - 1, Kind.PRECOMMIT)  # L47, L65
            )
        if act.round != current:
            return False
        prevoted, precommitted = process[current]
        if act.kind is Kind.PREVOTE:
            is_its_turn = prevoted == UNSAID and precommitted == UNSAID
            return is_its_turn and (act.value == NIL or self._accepts(state, act))
        if prevoted == UNSAID or precommitted != UNSAID:
            return False
        if act.value == NIL:
            return self.is_quorum_of_any(state, current, Kind.PREVOTE)  # L34, L44, L61
        return self.is_quorum(state, current, Kind.PREVOTE, act.value)  # L36

    def _accepts(self, state: State, act: Act) -> bool:
        """Return whether some proposal of the value would get this prevote (L22, L28)."""
        locked, locked_round = lock_of(state[act.process])
        if not self.has_lock or locked_round == -1 or locked == act.value:  # L23
            return True
        since = range(max(locked_round, 0), act.round)  # L29
        return any(self.is_quorum(state, round, Kind.PREVOTE, act.value) for round in since)

    def after(self, state: State, act: Act) -> State:
        """Return the state after an act."""
        process = state[act.process]
        if act.kind is Kind.ENTER:
            process += (QUIET,) * (act.round + 1 - len(process))
        else:
            prevoted, precommitted = process[-1]
            said = (act.value, precommitted)
            if act.kind is Kind.PRECOMMIT:
                said = (prevoted, act.value)
            process = (*process[:-1], said)
        return (*state[: act.process], process, *state[act.process + 1 :])

    def decided(self, state: State) -> set[int]:
        """Return all values that somebody may decide (L49)."""
        precommitted = {(round, said[1]) for process in state for round, said in enumerate(process)}
        return {
            value
            for round, value in precommitted
            if value > NIL and self.is_quorum(state, round, Kind.PRECOMMIT, value)
        }


def lock_of(process: Process) -> tuple[int, int]:
    """Return the locked value and its round, (NIL, -1) without one."""
    for round in range(len(process) - 1, -1, -1):
        value = process[round][1]
        if value > NIL:
            return value, round
    return NIL, -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What a search has found."""

    states: int
    final: frozenset[State]
    """States without a further act, up to names."""
    disagreement: State | None
    """The first state found in which two values may be decided."""
    decided: int
    """States in which a value may be decided."""


def explore(model: Model, *, rounds: int) -> Explored:
    """Visit every reachable state, breadth first; states that differ in names alone are one."""
    start = _canonical(model.start)
    seen = {start}
    queue = deque([start])
    final, disagreement, decided = set[State](), None, 0
    while queue:
        state = queue.popleft()
        reached = model.decided(state)
        decided += bool(reached)
        if len(reached) > 1:
            return Explored(
                states=len(seen), final=frozenset(final), disagreement=state, decided=decided
            )
        is_final = True
        for act in _acts(state, rounds):
            if not model.allows(state, act):
                continue
            is_final = False
            following = _canonical(model.after(state, act))
            if following not in seen:
                seen.add(following)
                queue.append(following)
        if is_final:
            final.add(state)
    return Explored(
        states=len(seen), final=frozenset(final), disagreement=disagreement, decided=decided
    )


def _acts(state: State, rounds: int) -> Iterator[Act]:
    for index, process in enumerate(state):
        current = len(process) - 1
        for round in range(current + 1, rounds):
            yield Act(process=index, kind=Kind.ENTER, round=round)
        for kind in (Kind.PREVOTE, Kind.PRECOMMIT):
            for value in (NIL, *VALUES):
                yield Act(process=index, kind=kind, round=current, value=value)


def _canonical(state: State) -> State:
    """Return the first of all states that differ from this one in the names of processes or values.

    No act tells processes apart, nor values: all are proposed by somebody in every round.
    """
    return min(
        tuple(
            sorted(
                tuple((names[prevoted], names[precommitted]) for prevoted, precommitted in process)
                for process in state
            )
        )
        for names in NAMES
    )
