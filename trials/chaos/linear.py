"""Is there one order of the operations that explains every answer?

The search of Wing and Gong (*Testing and verifying concurrent objects*, 1993), remembering the
situations that led nowhere (Lowe, *Testing for linearizability*, 2017). What the operations mean is
the caller's: a start state, and a step that says which state an act leads to, if it can happen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State")
"""Hashable, and equal to another state exactly if nothing later can tell them apart."""
Act = TypeVar("Act")

Step = Callable[[State, Act], State | None]
"""Return the state after an act, or None if its answer is impossible in this state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Act]):
    """Something that took effect at one moment between its call and its answer."""

    act: Act
    """What was asked, and what was answered."""
    called_us: int
    """On a clock that all clients share. A read that may be stale counts as called at 0."""
    answered_us: int | None
    """None if nobody heard an answer: it may take effect at any time from its call on, or never."""
    is_read: bool = False
    """It never changes a state: taken as soon as it is possible, for no order needs it later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The longest order that was found, as positions in the history."""

    order: tuple[int, ...]
    unexplained: tuple[int, ...]
    """Answered operations that no order has room for; empty if the history is linearizable."""


def explain(
    operations: Sequence[Operation[Act]], start: State, step: Step[State, Act]
) -> Explanation:
    """Return an order that explains every answer, or the longest attempt at one.

    An order must keep what was over before something else began.
    """
    last_us = 1 + max(
        (max(operation.called_us, operation.answered_us or 0) for operation in operations),
        default=0,
    )
    ends_us = [
        last_us if operation.answered_us is None else operation.answered_us
        for operation in operations
    ]
    answered = sum(
        1 << position
        for position, operation in enumerate(operations)
        if operation.answered_us is not None
    )
    by_call = sorted(range(len(operations)), key=lambda position: operations[position].called_us)
    seen: set[tuple[int, State]] = set()
    longest: tuple[int, ...] = ()
    waiting: list[tuple[int, State, tuple[int, ...]]] = [(0, start, ())]
    while waiting:
        done, state, order = waiting.pop()
        may_be_next = _first(operations, by_call, ends_us, done)
        branches = []
        for position in may_be_next:
            after = step(state, operations[position].act)
            if after is None:
                continue
            following = (done | 1 << position, after, (*order, position))
            if operations[position].is_read:
                branches = [following]
                break
            branches.append(following)
        if len(order) >= len(longest):
            longest = order
        if done & answered == answered:
            return Explanation(order=order, unexplained=())
        for following in reversed(branches):
            if following[:2] not in seen:
                seen.add(following[:2])
                waiting.append(following)
    missing = [
        position
        for position, operation in enumerate(operations)
        if operation.answered_us is not None and position not in longest
    ]
    return Explanation(order=longest, unexplained=tuple(missing))


def _first(
    operations: Sequence[Operation[Act]], by_call: list[int], ends_us: list[int], done: int
) -> list[int]:
    """Return what may come next: all that began before anything else that is left was over."""
    left = [position for position in by_call if not done >> position & 1]
    bound_us = min((ends_us[position] for position in left), default=0)
    return [position for position in left if operations[position].called_us <= bound_us]
