"""What block time does by itself: value expires, reserves end (spec R8)."""

import msgspec

from ledger.rules import calendar
from ledger.rules.base import Context, Outcome, Posting
from ledger.rules.control import CONTROL, expiry_runs
from ledger.rules.parties import PARTIES
from ledger.rules.reserves import RESERVES, Reserve, change_left, end_of_grace
from ledger.rules.vouchers import VOUCHERS, Voucher, expiry_of, give_back, move_value
from ledger.view import Draft, StateView, must

RECHECK_MS = calendar.DAY_MS
"""A voucher whose holder is stopped by a recovery is looked at once a day (R8.2)."""


def due_ms(record: Voucher | Reserve) -> int | None:
    """Return when expiry looks at a record, None if nothing of it can expire (R8.1)."""
    if isinstance(record, Voucher):
        return record.due_ms if record.available else None
    return end_of_grace(record) if record.left else None


def apply_expiries(view: StateView, context: Context, *, limit: int) -> Outcome:
    """Return what is due at block time, at most ``limit`` records, by (due, table, id)."""
    if not expiry_runs(must(view, CONTROL, "all"), context.time_ms):
        return Outcome(changes=())
    draft = Draft(view)
    postings: list[Posting] = []
    for key in view.due(context.time_ms, limit):
        table, _, record_id = key.partition("/")
        if table == RESERVES.name:
            postings += _expire_reserve(draft, record_id, context)
        else:
            postings += _expire_voucher(draft, record_id, context)
    return Outcome(changes=draft.changes(), postings=tuple(postings))


def _expire_voucher(draft: Draft, voucher_id: str, context: Context) -> tuple[Posting, ...]:
    voucher = must(draft, VOUCHERS, voucher_id)
    assert voucher.available > 0 and voucher.due_ms <= context.time_ms, "the due index is wrong"
    holder = must(draft, PARTIES, voucher.holder)
    next_ms = expiry_of(voucher, holder, context)
    if holder.stopped_since_ms:
        next_ms = context.time_ms + RECHECK_MS
    if next_ms > context.time_ms:
        later = msgspec.structs.replace(voucher, due_ms=next_ms)
        draft.put(VOUCHERS, later, voucher.id)
        return ()
    posting = move_value(
        draft,
        voucher.id,
        source="available",
        target="expired",
        amount=voucher.available,
    )
    return (posting,)


def _expire_reserve(draft: Draft, reserve_id: str, context: Context) -> tuple[Posting, ...]:
    reserve = must(draft, RESERVES, reserve_id)
    assert reserve.left > 0 and end_of_grace(reserve) <= context.time_ms, "the due index is wrong"
    change_left(draft, reserve_id, -reserve.left)
    return give_back(
        draft, reserve.voucher, source="reserved", amount=reserve.left, context=context
    )
