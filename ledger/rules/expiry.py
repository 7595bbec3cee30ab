"""What a block does by itself: claims are drawn, value expires, reserves end (spec R8)."""

import msgspec

from ledger.rules import calendar
from ledger.rules.base import Context, Outcome, Posting
from ledger.rules.claims import CLAIMS, Claim
from ledger.rules.control import CONTROL, looks_until
from ledger.rules.parties import PARTIES, is_stopped
from ledger.rules.redemptions import draw
from ledger.rules.reserves import RESERVES, Reserve, change_left, end_of_grace
from ledger.rules.vouchers import VOUCHERS, Voucher, expiry_of, give_back, move_value
from ledger.view import Draft, StateView, must

RECHECK_MS = calendar.DAY_MS
"""A voucher whose holder is stopped by a recovery is looked at once a day at most (R8.2)."""


def due_ms(record: Voucher | Reserve | Claim) -> int | None:
    """Return when a block looks at a record by itself, None if it never does (R8.1)."""
    if isinstance(record, Claim):
        return 0 if record.status == "to_be_drawn" else None
    if isinstance(record, Voucher):
        return record.due_ms if record.available else None
    return end_of_grace(record) if record.left else None


def apply_expiries(view: StateView, context: Context, *, limit: int) -> Outcome:
    """Return what is due at block time, until ``limit`` are counted, by (due, table, id)."""
    until_ms = looks_until(must(view, CONTROL, "all"), context.time_ms)
    if until_ms is None:
        return Outcome(changes=())
    draft = Draft(view)
    postings: list[Posting] = []
    counted = 0
    for key in view.due(until_ms, limit):
        if counted >= limit:
            break
        table, _, record_id = key.partition("/")
        counted += 1
        if table == CLAIMS.name:
            claim = must(view, CLAIMS, record_id)
            counted += len(claim.lines) - 1
            postings += draw(draft, claim, context)
        elif table == RESERVES.name:
            postings += _expire_reserve(draft, record_id, context)
        else:
            postings += _expire_voucher(draft, record_id, context)
    return Outcome(changes=draft.changes(), postings=tuple(postings))


def _expire_voucher(draft: Draft, voucher_id: str, context: Context) -> tuple[Posting, ...]:
    voucher = must(draft, VOUCHERS, voucher_id)
    assert voucher.available > 0 and voucher.due_ms <= context.time_ms, "the due index is wrong"
    holder = must(draft, PARTIES, voucher.holder)
    next_ms = expiry_of(voucher, holder, context)
    if next_ms > context.time_ms:
        if is_stopped(holder, context.time_ms):  # its expiry moves along with the time
            next_ms = max(next_ms, context.time_ms + RECHECK_MS)
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
