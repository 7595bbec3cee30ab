"""What clients asked and heard, and whether one ledger can have answered so.

A node answers reads from its own store, which may be a few blocks behind: a read is true at the
height that it names, not at the moment of the question. So writes must be linearizable, reads must
be true at their height, and nobody may hear of what nobody had yet sent.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Literal

from trials.chaos.linear import Operation, explain

Asked = Literal["submit", "status", "balance"]
Said = Literal[
    "final",
    "refused",
    "expired",
    "pending",
    "unknown",
    "balance",
    "lost",  # no answer, or none that says anything
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """A transfer out of a voucher, as its client signed it."""

    id: str
    """Of the transaction, hex."""
    voucher: str
    amount: int
    """Fen."""
    expires_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question of one client to one node, and what came back."""

    client: int
    node: str
    asked: Asked
    about: str
    """The id of a transaction, of a voucher for a balance."""
    called_us: int
    """On the machine's monotonic clock, which all clients share."""
    answered_us: int
    said: Said
    code: str = ""
    height: int = 0
    """Of the block that holds the transaction, 0 if none is named."""
    sequence: int = 0
    """Of the transaction in the log."""
    as_of: int = 0
    """Height at which the answer is true, 0 if none is named."""
    time_ms: int = 0
    """Block time at that height."""
    record_hash: str = ""
    """Record hash at that height."""
    amount: int = 0
    """Fen available, of a balance."""


@dataclass(slots=True, kw_only=True)
class History:
    """Everything that the clients of one network did."""

    faces: dict[str, int] = field(default_factory=dict)
    """Fen of each voucher before the first spending."""
    spendings: dict[str, Spending] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)

    def acknowledged(self) -> dict[str, Answer]:
        """Return the first answer that said final, by transaction."""
        return _first(answer for answer in self.answers if answer.said == "final")

    def certain(self) -> dict[str, Answer]:
        """Return the first answer that settles what became of it, by transaction."""
        return _first(
            answer
            for answer in self.answers
            if _is_certain(answer, self.spendings.get(answer.about))
        )

    def problems(self) -> list[str]:
        """Return every way in which no single ledger can have given these answers."""
        return [
            *one_hash_a_height(self.answers),
            *outcomes_are_for_ever(self),
            *no_node_goes_backwards(self.answers),
            *finality_is_seen(self),
            *log_follows_time(self),
            *vouchers_are_linearizable(self),
        ]


def one_hash_a_height(answers: Iterable[Answer]) -> Iterator[str]:
    """Two nodes that stand at one height hold one ledger."""
    known: dict[int, Answer] = {}
    for answer in answers:
        if answer.record_hash:
            earlier = known.setdefault(answer.as_of, answer)
            if earlier.record_hash != answer.record_hash:
                nodes = f"on {earlier.node} and on {answer.node}"
                yield f"height {answer.as_of} has two records, {nodes}"


def outcomes_are_for_ever(history: History) -> Iterator[str]:
    """Final, refused and expired are certain: all say the same of a transaction."""
    known: dict[str, Answer] = {}
    for answer in history.answers:
        if not _is_certain(answer, history.spendings.get(answer.about)):
            continue
        earlier = known.setdefault(answer.about, answer)
        first = (earlier.said, earlier.height, earlier.sequence)
        if first != (answer.said, answer.height, answer.sequence):
            yield (
                f"{answer.about}: {earlier.node} said {_outcome(earlier)}, "
                f"{answer.node} said {_outcome(answer)}"
            )


def _is_certain(answer: Answer, spending: Spending | None) -> bool:
    if answer.said == "expired":
        # By the node's clock alone it is a guess; by block time it is certain.
        return spending is not None and answer.time_ms >= spending.expires_at_ms
    return answer.said == "final"


def _outcome(answer: Answer) -> str:
    place = f" at height {answer.height}, sequence {answer.sequence}" if answer.height else ""
    return f"{answer.said}{place}"


def no_node_goes_backwards(answers: Iterable[Answer]) -> Iterator[str]:
    """A node that has told of a height stands there or higher ever after, killed or not."""
    for node, own in _by_node(answers).items():
        told = _heights_told(own)
        for answer in own:
            least = told(answer.called_us)
            if answer.as_of and answer.as_of < least:
                yield f"{node} stood at {least}, and later at {answer.as_of}"


def finality_is_seen(history: History) -> Iterator[str]:
    """Who stands at a transaction's height or above knows that it is final."""
    final = history.acknowledged()
    for node, own in _by_node(history.answers).items():
        told = _heights_told(own)
        for answer in own:
            # A submission's answer may name a later height than that of the read behind it.
            if (
                answer.asked != "status"
                or answer.said in ("final", "lost")
                or answer.about not in final
            ):
                continue
            least = answer.as_of or told(answer.called_us)  # "unknown" names no height
            if least >= final[answer.about].height:
                height = final[answer.about].height
                yield f"{answer.about} is final at {height}, and {answer.said} on {node} at {least}"


def log_follows_time(history: History) -> Iterator[str]:
    """What was final before another was first sent stands before it in the log."""
    final = history.acknowledged()
    sent_us = _sent_us(history.answers)
    before = sorted(final.values(), key=lambda answer: answer.answered_us)
    position = highest = 0
    for later in sorted(final.values(), key=lambda answer: sent_us[answer.about]):
        while position < len(before) and before[position].answered_us < sent_us[later.about]:
            highest = max(highest, before[position].sequence)
            position += 1
        if later.sequence < highest:
            yield f"{later.about} was sent after sequence {highest} was final, and has a lower one"


# One voucher as an object with one state, for the search.


@dataclass(frozen=True, slots=True)
class Spend:
    """Value leaves the voucher; the sequence is 0 while nobody knows it."""

    amount: int
    sequence: int


@dataclass(frozen=True, slots=True)
class CannotCover:
    """A node refused, from what it knew: the voucher has less than this."""

    amount: int
    doubtful: int
    """Fen of spendings that were sent before and not known to be final: in a block that the node
    built and nobody decided, they may have come first."""


@dataclass(frozen=True, slots=True)
class Read:
    """The voucher had this much after the spending with a sequence number."""

    available: int
    after: int


Act = Spend | CannotCover | Read
Balance = tuple[int, int]
"""Fen available, and the last known sequence number."""


def step(state: Balance, act: Act) -> Balance | None:
    """Return what a voucher is after an act; None if its answer is impossible now."""
    available, sequence = state
    match act:
        case Spend(amount=amount, sequence=own):
            if amount > available or (own and own <= sequence):
                return None
            return (available - amount, own or sequence)
        case CannotCover(amount=amount, doubtful=doubtful):
            return state if amount > available - doubtful else None
        case Read(available=told, after=after):
            return state if (told, after) == state else None


def vouchers_are_linearizable(history: History) -> Iterator[str]:
    """Of each voucher, one order of what happened explains all that was answered."""
    for voucher, operations in sorted(operations_of(history).items()):
        explanation = explain(operations, (history.faces[voucher], 0), step)
        if explanation.unexplained:
            left = [operations[position].act for position in explanation.unexplained[:3]]
            yield f"{voucher}: no order explains {left} and {len(explanation.order)} others"


def operations_of(history: History) -> dict[str, list[Operation[Act]]]:
    """Return what happened to each voucher; a read may be as old as it likes, but not early."""
    certain = history.certain()
    sent_us = _sent_us(history.answers)
    logged: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for name, settled in certain.items():
        if settled.said == "final":
            logged[history.spendings[name].voucher].append((settled.height, settled.sequence))
    final = history.acknowledged()
    spent: dict[str, list[Spending]] = defaultdict(list)
    for name, spending in history.spendings.items():
        if name in sent_us:
            spent[spending.voucher].append(spending)
    operations: dict[str, list[Operation[Act]]] = defaultdict(list)
    for name, spending in history.spendings.items():
        if name not in sent_us:
            continue
        outcome = certain.get(name)
        operation: Operation[Act] = Operation(
            act=Spend(spending.amount, 0), called_us=sent_us[name], answered_us=None
        )
        match outcome:
            case Answer(said="final"):
                act: Act = Spend(spending.amount, outcome.sequence)
                operation = replace(operation, act=act, answered_us=outcome.answered_us)
            case Answer(said="expired"):
                continue
        operations[spending.voucher].append(operation)
    for answer in history.answers:
        if answer.said == "balance":
            earlier = [at for height, at in logged[answer.about] if height <= answer.as_of]
            act, voucher = Read(answer.amount, max(earlier, default=0)), answer.about
        elif answer.said == "refused" and answer.code == "voucher_exhausted":
            spending = history.spendings[answer.about]
            doubtful = sum(
                rival.amount
                for rival in spent[spending.voucher]
                if rival is not spending
                and sent_us[rival.id] < answer.answered_us
                and not (rival.id in final and final[rival.id].answered_us < answer.answered_us)
            )
            act, voucher = CannotCover(spending.amount, doubtful), spending.voucher
        else:
            continue
        operations[voucher].append(
            Operation(act=act, called_us=0, answered_us=answer.answered_us, is_read=True)
        )
    return dict(operations)


def _sent_us(answers: Iterable[Answer]) -> dict[str, int]:
    """Return when each transaction was first sent."""
    sent: dict[str, int] = {}
    for answer in answers:
        if answer.asked == "submit":
            sent[answer.about] = min(answer.called_us, sent.get(answer.about, answer.called_us))
    return sent


def _by_node(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    nodes: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        nodes[answer.node].append(answer)
    return dict(sorted(nodes.items()))


def _heights_told(answers: Iterable[Answer]) -> Callable[[int], int]:
    """Return a function from a time to the greatest height that was told before it."""
    told = sorted((answer.answered_us, answer.as_of) for answer in answers)
    times = [answered_us for answered_us, _ in told]
    greatest = [0, *accumulate((as_of for _, as_of in told), max)]
    return lambda called_us: greatest[bisect_left(times, called_us)]


def _first(answers: Iterable[Answer]) -> dict[str, Answer]:
    """Return the earliest answer about each thing."""
    first: dict[str, Answer] = {}
    for answer in sorted(answers, key=lambda answer: answer.answered_us):
        first.setdefault(answer.about, answer)
    return first
