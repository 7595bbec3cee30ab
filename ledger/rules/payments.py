"""Payments: what the bank did about a payable (spec T19)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ledger.encoding.codec import AtMostOne, Fen, Hash, Natural, Record, Slug, Text
from ledger.rules import calendar
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.holds import require_not_held
from ledger.rules.parties import (
    party_of,
    require_active,
    require_city_or_auditor,
    require_consent,
)
from ledger.rules.payables import PAYABLES, Payable, PayableId, is_cleared, open_of, payable_of
from ledger.rules.refusals import (
    EndToEndIdUsed,
    NotPartOfPayment,
    ObjectionWindowOpen,
    ObjectionWindowOver,
    PartyConcerned,
    PayableCleared,
    PaymentExceedsDue,
    PaymentStatusWrong,
    PaymentUnknown,
)
from ledger.rules.successors import acting_for, acts_for_one, settling_for
from ledger.rules.vouchers import PositiveFen
from ledger.view import Draft, StateView, Table, get, must

OBJECTION_WINDOW_MS = 10 * calendar.DAY_MS
"""How long the payee may object before the payer's bank may confirm, or take back."""

EndToEndId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9.-]{0,34}\Z")]
"""The payer's own reference, which goes with the money from end to end (ISO 20022)."""


class Payment(Record, frozen=True):
    """One payment of a payable, or of a part of it."""

    debtor: Slug
    id: EndToEndId
    payable: PayableId
    attempt: Natural
    """Of the payable, when it was instructed."""
    amount: Fen
    status: Literal[
        "instructed", "confirmed", "objected", "returning", "return_objected", "returned"
    ]
    instructed_ms: Natural
    changed_ms: AtMostOne[Natural]
    """When it got its present status, if that is not ``instructed``."""
    confirmed_by: AtMostOne[Slug]
    reason: Text
    """Why it was returned or objected to."""


PAYMENTS = Table("payment", Payment)
"""By debtor and its end-to-end id."""

ARRIVED = frozenset({"confirmed", "returning", "return_objected"})
"""Such a payment counts as paid."""


class Instruct(Record, frozen=True, tag="instructed"):
    """The payer told its bank to pay."""

    payable: PayableId
    amount: PositiveFen
    end_to_end_id: EndToEndId


class Confirm(Record, frozen=True, tag="confirmed"):
    """The money arrived, says the payee; or the payer's bank, if nobody objected."""

    debtor: Slug
    end_to_end_id: EndToEndId
    by: Slug


class Return(Record, frozen=True, tag="returned"):
    """The money came back, says the bank of the payer or of the payee."""

    debtor: Slug
    end_to_end_id: EndToEndId
    by: Slug
    reason: Text


class WriteOff(Record, frozen=True, tag="written_off"):
    """Payer and payee agree that a part will not be paid."""

    payable: PayableId
    amount: PositiveFen
    reason: Text


class ObjectToPayment(Record, frozen=True, tag="objected"):
    """The payee says that nothing arrived, or that nothing goes back."""

    debtor: Slug
    end_to_end_id: EndToEndId
    reason: Text


class Resolve(Record, frozen=True, tag="resolved"):
    """An auditor or another city ends an objection."""

    debtor: Slug
    end_to_end_id: EndToEndId
    by: Slug
    paid: bool
    case: Hash


class RecordPayment(Record, frozen=True, tag="payment.record"):
    """What happened to a payment (T19)."""

    act: Instruct | Confirm | Return | WriteOff | ObjectToPayment | Resolve


def apply_record_payment(view: StateView, tx: RecordPayment, context: Context) -> Outcome:
    """Return the writes of a payment's progress. Checks run in the order of T19."""
    match tx.act:
        case Instruct() as act:
            return _instruct(view, act, context)
        case Confirm() as act:
            return _confirm(view, act, context)
        case Return() as act:
            return _return(view, act, context)
        case WriteOff() as act:
            return _write_off(view, act, context)
        case ObjectToPayment() as act:
            return _object(view, act, context)
        case Resolve() as act:
            return _resolve(view, act, context)


RECORD_PAYMENT = Kind(
    record=RecordPayment,
    apply=apply_record_payment,
    amount=lambda tx: tx.act.amount if isinstance(tx.act, Instruct | WriteOff) else 0,
)


def _instruct(view: StateView, act: Instruct, context: Context) -> Outcome:
    payable = payable_of(view, act.payable)
    require_consent(context, settling_for(view, payable.debtor), "pay")
    _require_paid_by_itself(payable)
    require_not_held(view, ("payable", payable.id), ("claim", payable.cause))
    if get(view, PAYMENTS, payable.debtor, act.end_to_end_id) is not None:
        raise EndToEndIdUsed(end_to_end_id=act.end_to_end_id)
    _require_open(payable, act.amount)
    draft = Draft(view)
    payment = Payment(
        debtor=payable.debtor,
        id=act.end_to_end_id,
        payable=payable.id,
        attempt=payable.attempt,
        amount=act.amount,
        status="instructed",
        instructed_ms=context.time_ms,
        changed_ms=(),
        confirmed_by=(),
        reason="",
    )
    draft.put(PAYMENTS, payment, payment.debtor, payment.id)
    pending = msgspec.structs.replace(payable, pending=payable.pending + act.amount)
    draft.put(PAYABLES, pending, payable.id)
    return Outcome(changes=draft.changes())


def _confirm(view: StateView, act: Confirm, context: Context) -> Outcome:
    payment, payable = _payment_of(view, act)
    by_payee = _require_bank_of(view, act, payable, context)
    if payment.status != "instructed" and not (by_payee and payment.status == "objected"):
        raise PaymentStatusWrong(end_to_end_id=payment.id, status=payment.status)
    if not by_payee:
        _require_window_over(payment, context)
    draft = Draft(view)
    _arrived(draft, payment, payable, context, confirmed_by=(act.by,))
    return Outcome(changes=draft.changes())


def _return(view: StateView, act: Return, context: Context) -> Outcome:
    payment, payable = _payment_of(view, act)
    by_payee = _require_bank_of(view, act, payable, context)
    # Whose return was objected to says no more about it: else an objection would never end.
    over = ("returned",) if by_payee else ("returned", "return_objected")
    if payment.status in over:
        raise PaymentStatusWrong(end_to_end_id=payment.id, status=payment.status)
    if payment.status == "returning" and not by_payee:
        _require_window_over(payment, context)
    draft = Draft(view)
    if payment.status == "confirmed" and not by_payee:
        # What the payee confirmed is not open again before the payee could object.
        _put(draft, payment, context, status="returning", reason=act.reason)
    else:
        _came_back(draft, payment, payable, context, reason=act.reason)
    return Outcome(changes=draft.changes())


def _write_off(view: StateView, act: WriteOff, context: Context) -> Outcome:
    payable = payable_of(view, act.payable)
    require_consent(context, acting_for(view, payable.debtor), "pay")
    require_consent(context, acting_for(view, payable.creditor), "pay")
    _require_paid_by_itself(payable)
    _require_open(payable, act.amount)
    draft = Draft(view)
    less = msgspec.structs.replace(payable, written_off=payable.written_off + act.amount)
    draft.put(PAYABLES, less, payable.id)
    return Outcome(changes=draft.changes())


def _object(view: StateView, act: ObjectToPayment, context: Context) -> Outcome:
    payment, payable = _payment_of(view, act)
    require_consent(context, settling_for(view, payable.creditor), "bank")
    if payment.status not in ("instructed", "returning"):
        raise PaymentStatusWrong(end_to_end_id=payment.id, status=payment.status)
    until_ms = _window_end(payment, context)
    if context.time_ms >= until_ms:
        raise ObjectionWindowOver(until_ms=until_ms, time_ms=context.time_ms)
    draft = Draft(view)
    status = "objected" if payment.status == "instructed" else "return_objected"
    _put(draft, payment, context, status=status, reason=act.reason)
    return Outcome(changes=draft.changes())


def _resolve(view: StateView, act: Resolve, context: Context) -> Outcome:
    payment, payable = _payment_of(view, act)
    by = party_of(view, act.by)
    require_city_or_auditor(by)
    sides = (payable.debtor, payable.creditor)
    if by.id in sides or acts_for_one(view, by.id, sides):
        raise PartyConcerned(party=by.id, end_to_end_id=payment.id)
    require_consent(context, by, "review")
    require_active(by)
    if payment.status != "objected" and (act.paid or payment.status != "return_objected"):
        raise PaymentStatusWrong(end_to_end_id=payment.id, status=payment.status)
    draft = Draft(view)
    if act.paid:
        _arrived(draft, payment, payable, context, confirmed_by=(by.id,))
    else:
        _came_back(draft, payment, payable, context, reason=payment.reason)
    return Outcome(changes=draft.changes())


def _payment_of(
    view: StateView, act: Confirm | Return | ObjectToPayment | Resolve
) -> tuple[Payment, Payable]:
    payment = get(view, PAYMENTS, act.debtor, act.end_to_end_id)
    if payment is None:
        raise PaymentUnknown(debtor=act.debtor, end_to_end_id=act.end_to_end_id)
    return payment, must(view, PAYABLES, payment.payable)


def _require_bank_of(
    view: StateView, act: Confirm | Return, payable: Payable, context: Context
) -> bool:
    """Return whether the payee's bank speaks, and not the payer's; raise if neither does."""
    if act.by not in (payable.creditor, payable.debtor):
        raise NotPartOfPayment(party=act.by, end_to_end_id=act.end_to_end_id)
    require_consent(context, settling_for(view, act.by), "bank")
    return act.by == payable.creditor


def _window_end(payment: Payment, context: Context) -> int:
    """Return when it is too late to object to a payment, or to its return (R11.5)."""
    began_ms = payment.changed_ms[0] if payment.status == "returning" else payment.instructed_ms
    return context.put_off(began_ms + OBJECTION_WINDOW_MS)


def _require_window_over(payment: Payment, context: Context) -> None:
    until_ms = _window_end(payment, context)
    if context.time_ms < until_ms:
        raise ObjectionWindowOpen(until_ms=until_ms, time_ms=context.time_ms)


def _put(draft: Draft, payment: Payment, context: Context, **changes: Any) -> None:
    """Write a payment whose status changes now."""
    changed = msgspec.structs.replace(payment, changed_ms=(context.time_ms,), **changes)
    draft.put(PAYMENTS, changed, payment.debtor, payment.id)


def _arrived(
    draft: Draft,
    payment: Payment,
    payable: Payable,
    context: Context,
    *,
    confirmed_by: tuple[str, ...],
) -> None:
    """Count a payment on its way as paid."""
    _put(draft, payment, context, status="confirmed", confirmed_by=confirmed_by)
    paid = msgspec.structs.replace(
        payable,
        pending=payable.pending - payment.amount,
        paid=payable.paid + payment.amount,
    )
    draft.put(PAYABLES, paid, payable.id)


def _came_back(
    draft: Draft, payment: Payment, payable: Payable, context: Context, *, reason: str
) -> None:
    """Open what a payment paid, or was to pay, again."""
    _put(draft, payment, context, status="returned", reason=reason)
    part = "paid" if payment.status in ARRIVED else "pending"
    reopened = msgspec.structs.replace(
        payable,
        **{part: getattr(payable, part) - payment.amount},
        attempt=payable.attempt + 1,
    )
    draft.put(PAYABLES, reopened, payable.id)


def _require_paid_by_itself(payable: Payable) -> None:
    if is_cleared(payable):
        raise PayableCleared(payable=payable.id)


def _require_open(payable: Payable, amount: int) -> None:
    if amount > open_of(payable):
        raise PaymentExceedsDue(asked=amount, available=open_of(payable))
