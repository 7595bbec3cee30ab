"""What parties owe one another: the open amount of a payable, and statements (docs/spec/http.md).

A statement's balance is what was owed and not yet paid: a payment changes it once it is confirmed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from api.reads import Moment, Resource, Selection, block_of, where
from ledger.encoding.codec import UINT64_MAX
from ledger.encoding.plain import Plain
from ledger.rules.clearing import CYCLES
from ledger.rules.payables import OPEN_CYCLE, PAYABLES, OpenCycle, Payable, is_cleared, open_of
from ledger.rules.payments import ARRIVED, PAYMENTS

PAYABLES_MAX = 256
"""Payables that one read of the store takes in for a statement."""

COLUMNS = (
    *("payable", "debtor", "creditor", "cause", "leg", "reverse", "due_ms"),
    *("movement", "end_to_end_id", "payment", "sequence", "height", "time_ms", "amount", "balance"),
)
"""The fields of a statement's row."""

Change = Literal[
    "accrued",
    "cancelled",
    "written_off",
    "cleared",
    "instructed",
    "confirmed",
    "objected",
    "returning",
    "return_objected",
    "returned",
]
"""What happens to a payable, then what happens to a payment of it."""


@dataclass(frozen=True, slots=True)
class Movement:
    """Something that happened to a payable."""

    sequence: int
    change: Change
    amount: int
    """What it adds to what is owed, in fen; 0 for a payment on its way."""
    end_to_end_id: str | None = None
    payment: int | None = None
    """The amount of the payment that it is about."""


def open_cycle_of(moment: Moment) -> OpenCycle:
    """Return the cycle that payables join."""
    cycle = moment.get(OPEN_CYCLE, "all")
    return OpenCycle(number=1, first_join_ms=(), positions=()) if cycle is None else cycle


def cleared_in(moment: Moment, payable: Payable) -> int | None:
    """Return the closed cycle whose settlement took a payable's place, if one did (R13.3)."""
    if not is_cleared(payable) or not payable.cycle:
        return None
    return payable.cycle[0] if payable.cycle[0] < open_cycle_of(moment).number else None


def open_amount(moment: Moment, payable: Payable) -> int:
    """Return what may still be paid (R7.3): nothing once a closed cycle took its place."""
    return open_of(payable) if cleared_in(moment, payable) is None else 0


PAYABLE = Resource(PAYABLES, {"open": open_amount})


def movements(moment: Moment, payable: Payable) -> list[Movement]:
    """Return what happened to a payable, in order."""
    moves = [*_of_payable(moment, payable), *_of_payments(moment, payable)]
    cycle = cleared_in(moment, payable)
    if cycle is not None:
        closed = moment.latest(CYCLES, str(cycle))
        assert closed is not None, "a cycle below the open one is closed"
        moves.append(Movement(closed[1], "cleared", payable.cancelled - payable.amount))
    return sorted(moves, key=lambda movement: movement.sequence)


def _of_payable(moment: Moment, payable: Payable) -> Iterator[Movement]:
    cancelled = written_off = 0
    for number, (sequence, version) in enumerate(moment.versions(PAYABLES, payable.id)):
        if number == 0:
            yield Movement(sequence, "accrued", version.amount)
        if version.cancelled != cancelled:
            yield Movement(sequence, "cancelled", cancelled - version.cancelled)
        if version.written_off != written_off:
            yield Movement(sequence, "written_off", written_off - version.written_off)
        cancelled, written_off = version.cancelled, version.written_off


def _of_payments(moment: Moment, payable: Payable) -> Iterator[Movement]:
    prefix = PAYMENTS.prefix
    for key in moment.snapshot.keys_of_party(payable.id, prefix, prefix, UINT64_MAX):
        paid = 0
        for sequence, payment in moment.versions(PAYMENTS, key[len(prefix) :].decode("ascii")):
            now_paid = payment.amount if payment.status in ARRIVED else 0
            yield Movement(sequence, payment.status, paid - now_paid, payment.id, payment.amount)
            paid = now_paid


def owed_between(debtor: str | None, creditor: str | None) -> Selection[Payable]:
    """Return the payables of a debtor, of a creditor, or from one to the other."""
    return Selection(
        of=PAYABLE,
        named=debtor if debtor is not None else creditor,
        keep=where(debtor=debtor, creditor=creditor),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What happened to some payables from one place in the log (inclusive) to another."""

    wanted: Selection[Payable]
    first: int
    end: int

    def next_payables(
        self, moment: Moment, start: bytes
    ) -> tuple[list[tuple[Payable, list[Movement]]], bytes | None]:
        """Return the next payables with their movements up to the end, and where to go on."""
        listed: list[tuple[Payable, list[Movement]]] = []
        for seen, (key, payable) in enumerate(self.wanted.rows(moment, start, PAYABLES_MAX + 1)):
            if seen == PAYABLES_MAX:
                return listed, key
            if payable is not None:
                moves = [move for move in movements(moment, payable) if move.sequence < self.end]
                listed.append((payable, moves))
        return listed, None

    def row(
        self, moment: Moment, payable: Payable, movement: Movement, balance: int
    ) -> dict[str, Plain]:
        """Return a movement as a row."""
        block = block_of(moment.snapshot, movement.sequence)
        return {
            "payable": payable.id,
            "debtor": payable.debtor,
            "creditor": payable.creditor,
            "cause": payable.cause,
            "leg": payable.leg,
            "reverse": payable.reverse,
            "due_ms": payable.due_ms,
            "movement": movement.change,
            "end_to_end_id": movement.end_to_end_id,
            "payment": movement.payment,
            "sequence": movement.sequence,
            "height": block.height,
            "time_ms": block.time_ms,
            "amount": movement.amount,
            "balance": balance,
        }


def balance_row(name: str, time_ms: int, balance: int) -> dict[str, Plain]:
    """Return the ``opening`` or ``closing`` row of a statement."""
    return dict.fromkeys(COLUMNS) | {"movement": name, "time_ms": time_ms, "balance": balance}
