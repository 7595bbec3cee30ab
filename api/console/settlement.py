"""Settlement: who owes whom, the open clearing cycle, payments on their way."""

from dataclasses import dataclass

from api.owed import PAYABLE, open_amount, open_cycle_of
from api.reads import Resource, Selection, now_of
from ledger.rules.clearing import CYCLE_OPEN_MIN_MS
from ledger.rules.payables import PAYABLES, OpenCycle, is_cleared
from ledger.rules.payments import OBJECTION_WINDOW_MS, PAYMENTS, Payment
from ledger.store.lmdb_store import Snapshot
from ledger.view import must

PAYABLES_SCAN_MAX = 20_000
"""Payables that one drawing sums up; beyond, the page says that it shows a part."""
PAYMENTS_SCAN_MAX = 20_000
PAYMENTS_SHOWN = 20


@dataclass(slots=True, kw_only=True)
class Debt:
    """What one party owes another, in fen."""

    debtor: str
    creditor: str
    payables: int = 0
    amount: int = 0
    """Less what credit notes and agreements took off."""
    paid: int = 0
    pending: int = 0
    open: int = 0
    due_ms: int = 0
    """The earliest date at which something open is due; 0 if nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Debts:
    """Who owes whom."""

    rows: tuple[Debt, ...]
    summed: int
    """How many payables were summed up."""
    is_part: bool
    """Whether there are more."""


def payables(snapshot: Snapshot) -> Debts:
    """Return debts by debtor and creditor; what a cycle settled counts as its net positions."""
    debts: dict[tuple[str, str], Debt] = {}
    summed = 0
    moment = now_of(snapshot)
    closed = open_cycle_of(moment).number - 1
    wanted = Selection(of=PAYABLE)
    for _, payable in wanted.rows(moment, wanted.prefix, PAYABLES_SCAN_MAX + 1):
        if summed == PAYABLES_SCAN_MAX:
            return Debts(rows=_sorted(debts), summed=summed, is_part=True)
        summed += 1
        assert payable is not None, "every payable is wanted"
        if is_cleared(payable) and payable.cycle and payable.cycle[0] <= closed:
            continue
        pair = (payable.debtor, payable.creditor)
        debt = debts.setdefault(pair, Debt(debtor=payable.debtor, creditor=payable.creditor))
        debt.payables += 1
        debt.amount += payable.amount - payable.cancelled - payable.written_off
        debt.paid += payable.paid
        debt.pending += payable.pending
        still_open = open_amount(moment, payable)
        debt.open += still_open
        if still_open:
            debt.due_ms = min(debt.due_ms or payable.due_ms, payable.due_ms)
    return Debts(rows=_sorted(debts), summed=summed, is_part=False)


def _sorted(debts: dict[tuple[str, str], Debt]) -> tuple[Debt, ...]:
    return tuple(debts[pair] for pair in sorted(debts))


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """A payment on its way or in trouble, with who pays whom."""

    payment: Payment
    debtor: str
    creditor: str
    payer_confirms_ms: int
    """From when on the payer's bank may confirm it."""


def payment_row(snapshot: Snapshot, payment: Payment) -> PaymentRow:
    """Return a payment's row."""
    payable = must(snapshot, PAYABLES, payment.payable)
    return PaymentRow(
        payment=payment,
        debtor=payable.debtor,
        creditor=payable.creditor,
        payer_confirms_ms=payment.instructed_ms + OBJECTION_WINDOW_MS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The open cycle and the payments on their way."""

    cycle: OpenCycle
    closes_from_ms: int | None
    """From when on the cycle may be closed; None before anything joined it."""
    payments: tuple[PaymentRow, ...]
    """The oldest ones."""
    on_their_way: int
    amount: int
    """Of all on their way."""
    is_part: bool
    """Whether there are more payments than were looked at."""


def settlement(snapshot: Snapshot) -> Settlement:
    """Return the state of settlement."""
    moment = now_of(snapshot)
    cycle = open_cycle_of(moment)
    wanted = Selection(of=Resource(PAYMENTS))
    instructed: list[Payment] = []
    seen = 0
    for _, payment in wanted.rows(moment, wanted.prefix, PAYMENTS_SCAN_MAX + 1):
        seen += 1
        if seen <= PAYMENTS_SCAN_MAX and payment is not None and payment.status == "instructed":
            instructed.append(payment)
    instructed.sort(key=lambda payment: (payment.instructed_ms, payment.id))
    joined_ms = cycle.first_join_ms
    return Settlement(
        cycle=cycle,
        closes_from_ms=joined_ms[0] + CYCLE_OPEN_MIN_MS if joined_ms else None,
        payments=tuple(payment_row(snapshot, payment) for payment in instructed[:PAYMENTS_SHOWN]),
        on_their_way=len(instructed),
        amount=sum(payment.amount for payment in instructed),
        is_part=seen > PAYMENTS_SCAN_MAX,
    )
