"""The check of histories is checked: against trying every order, and on wrong histories."""

import itertools
import random
from dataclasses import replace

import pytest

from trials.chaos.history import Answer, History, Spending
from trials.chaos.linear import Operation, explain

SEED = 20260103
HISTORIES = 3_000
FACE = 100

Act = tuple[str, int]
"""A register's acts: ("write", value), ("read", value), ("add", amount)."""


def register(state: int, act: Act) -> int | None:
    """Return a register's value after a act; it never gets below zero."""
    match act:
        case ("write", value):
            return value
        case ("add", amount):
            return state + amount if state + amount >= 0 else None
        case (_, value):
            return state if state == value else None


def can_be_explained(operations: list[Operation[Act]]) -> bool:
    """Try every order of every choice of the unanswered ones: slow, and obviously right."""
    answered = [one for one in operations if one.answered_us is not None]
    doubtful = [one for one in operations if one.answered_us is None]
    for count in range(len(doubtful) + 1):
        for chosen in itertools.combinations(doubtful, count):
            for order in itertools.permutations([*answered, *chosen]):
                if keeps_time(order) and happens(order):
                    return True
    return False


def keeps_time(order: tuple[Operation[Act], ...]) -> bool:
    """Return whether nothing stands before what was over when it began."""
    return all(
        later.answered_us is None or later.answered_us >= earlier.called_us
        for earlier, later in itertools.combinations(order, 2)
    )


def happens(order: tuple[Operation[Act], ...]) -> bool:
    """Return whether a register can do these acts one after another."""
    state = 0
    for one in order:
        after = register(state, one.act)
        if after is None:
            return False
        state = after
    return True


def random_history(dice: random.Random) -> list[Operation[Act]]:
    """Return up to six acts at random times, some never answered."""
    operations = []
    for _ in range(dice.randrange(1, 7)):
        called_us = dice.randrange(12)
        act = (dice.choice(("write", "read", "add")), dice.randrange(3))
        if act[0] == "add":
            act = ("add", act[1] - 1)
        answered_us = None if dice.randrange(6) == 0 else called_us + dice.randrange(6)
        operations.append(
            Operation(
                act=act,
                called_us=called_us,
                answered_us=answered_us,
                is_read=act[0] == "read",
            )
        )
    return operations


def test_the_search_agrees_with_trying_every_order() -> None:
    dice = random.Random(SEED)
    explained = 0
    for _ in range(HISTORIES):
        operations = random_history(dice)
        explanation = explain(operations, 0, register)
        can = can_be_explained(operations)
        assert (not explanation.unexplained) == can, operations
        if can:
            order = tuple(operations[position] for position in explanation.order)
            assert keeps_time(order)
            assert happens(order)
        explained += can
    print(f"{HISTORIES} histories, {explained} of them linearizable")
    assert HISTORIES // 5 < explained < HISTORIES * 4 // 5


def test_many_reads_at_once_are_no_burden() -> None:
    read = Operation(act=("read", 1), called_us=0, answered_us=100, is_read=True)
    reads = [read] * 200
    late = replace(read, act=("read", 2))
    write = Operation(act=("write", 1), called_us=0, answered_us=10)
    assert explain([*reads, write], 0, register).unexplained == ()
    assert explain([*reads, late, write], 0, register).unexplained == (200,)


# A ledger that behaves: a voucher of 100 fen pays 60; a second payment of 60 is refused, expires.

GOOD = (
    Answer(
        client=0,
        node="a",
        asked="submit",
        about="first",
        called_us=10,
        answered_us=30,
        said="final",
        height=5,
        sequence=50,
        as_of=5,
        time_ms=500,
        record_hash="05",
    ),
    Answer(
        client=1,
        node="b",
        asked="submit",
        about="second",
        called_us=12,
        answered_us=40,
        said="refused",
        code="voucher_exhausted",
        as_of=5,
        time_ms=500,
        record_hash="05",
    ),
    Answer(  # b is behind, and says so
        client=0,
        node="c",
        asked="status",
        about="first",
        called_us=50,
        answered_us=55,
        said="pending",
        as_of=4,
        time_ms=400,
        record_hash="04",
    ),
    Answer(
        client=0,
        node="c",
        asked="balance",
        about="v",
        called_us=60,
        answered_us=65,
        said="balance",
        amount=100,
        as_of=4,
        record_hash="04",
    ),
    Answer(
        client=0,
        node="a",
        asked="balance",
        about="v",
        called_us=70,
        answered_us=75,
        said="balance",
        amount=40,
        as_of=6,
        record_hash="06",
    ),
    Answer(
        client=1,
        node="c",
        asked="status",
        about="second",
        called_us=90,
        answered_us=95,
        said="expired",
        as_of=9,
        time_ms=900,
        record_hash="09",
    ),
    Answer(
        client=2,
        node="a",
        asked="submit",
        about="third",
        called_us=100,
        answered_us=110,
        said="lost",
    ),
    Answer(
        client=2,
        node="b",
        asked="submit",
        about="third",
        called_us=111,
        answered_us=120,
        said="final",
        height=10,
        sequence=60,
        as_of=10,
        time_ms=1000,
        record_hash="10",
    ),
)
FIRST, SECOND, BEHIND, OLD_BALANCE, BALANCE, EXPIRED, LOST, THIRD = GOOD


def history(*answers: Answer) -> History:
    """Return a history of the three payments with these answers."""
    spendings = [
        Spending(id=name, voucher="v", amount=amount, expires_at_ms=800 if amount == 60 else 1200)
        for name, amount in (("first", 60), ("second", 60), ("third", 10))
    ]
    return History(
        faces={"v": FACE},
        spendings={one.id: one for one in spendings},
        answers=list(answers),
    )


def test_a_ledger_that_behaves_is_believed() -> None:
    assert history(*GOOD).problems() == []
    for lost in GOOD:
        answers = [replace(one, said="lost") if one is lost else one for one in GOOD]
        assert history(*answers).problems() == []


def test_what_stood_first_in_a_block_that_nobody_decided_may_explain_a_refusal() -> None:
    sent = replace(LOST, about="first", called_us=0, answered_us=2)
    refused = replace(SECOND, called_us=3, answered_us=5)
    gone = replace(EXPIRED, about="first")
    assert history(sent, refused, gone, EXPIRED).problems() == []
    later = replace(sent, called_us=6, answered_us=8)
    assert history(later, refused, gone, EXPIRED).problems() != []
    final_later = replace(FIRST, called_us=125, answered_us=130, height=11, sequence=70, as_of=11)
    final_later = replace(final_later, record_hash="11")
    assert history(sent, refused, THIRD, final_later, EXPIRED).problems() == []
    assert history(refused, THIRD, final_later, EXPIRED).problems() != []


WRONG = {
    "both halves of a double spend are final": (
        "no order explains",
        [replace(SECOND, said="final", code="ok", height=5, sequence=51), *GOOD[:1], *GOOD[2:5]],
    ),
    "a balance forgets a payment": (
        "no order explains",
        [*GOOD, replace(BALANCE, called_us=130, answered_us=140, as_of=11, record_hash="11")],
    ),
    "a balance knows a payment before anybody sent it": (
        "no order explains",
        [
            *GOOD,
            replace(BALANCE, called_us=76, answered_us=80, amount=30, as_of=10, record_hash="10"),
        ],
    ),
    "a payment that nobody sent": (
        "no order explains",
        [*GOOD[:4], replace(BALANCE, amount=39), *GOOD[5:]],
    ),
    "a refusal although there was enough": (
        "no order explains",
        [replace(SECOND, called_us=1, answered_us=5), *GOOD[:1], *GOOD[2:]],
    ),
    "a refusal beside one that expired, and enough for both": (
        "no order explains",
        [
            replace(LOST, about="third", called_us=0, answered_us=2),
            replace(EXPIRED, about="third", time_ms=1_200, as_of=9),
            replace(SECOND, called_us=3, answered_us=5),
            *(one for one in GOOD if one.about not in ("second", "third")),
        ],
    ),
    "final, and expired later": (
        "first: a said final",
        [*GOOD, replace(EXPIRED, about="first", called_us=130, answered_us=135, as_of=11)],
    ),
    "final at two places": (
        "first: a said final at height 5, sequence 50, b said final at height 5, sequence 51",
        [*GOOD, replace(FIRST, node="b", sequence=51)],
    ),
    "final, and pending at a later height": (
        "first is final at 5, and pending on c at 9",
        [*GOOD, replace(BEHIND, called_us=130, answered_us=135, as_of=9, record_hash="09")],
    ),
    "final, and unknown to a node that had passed its height": (
        "first is final at 5, and unknown on a at 6",
        [
            *GOOD,
            replace(BEHIND, node="a", called_us=130, answered_us=135, said="unknown", as_of=0),
        ],
    ),
    "a node that falls back": (
        "a stood at 6, and later at 5",
        [*GOOD, replace(FIRST, called_us=130, answered_us=140)],
    ),
    "two records at one height": (
        "height 6 has two records, on a and on b",
        [*GOOD, replace(BALANCE, node="b", record_hash="66", called_us=112, answered_us=119)],
    ),
    "a payment that was sent later stands before one that was final": (
        "third was sent after sequence 50 was final",
        [*GOOD[:7], replace(THIRD, sequence=49)],
    ),
}
"""What each history is an example of: a part of the complaint, and the answers."""


@pytest.mark.parametrize("name", WRONG)
def test_a_ledger_is_not_believed_that_shows(name: str) -> None:
    complaint, answers = WRONG[name]
    problems = history(*answers).problems()
    assert any(complaint in problem for problem in problems), problems
