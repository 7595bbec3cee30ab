"""What block time does by itself: available value expires at its date (spec R8)."""

from ledger.rules import calendar
from ledger.rules.base import Outcome, Posting
from ledger.rules.programmes import return_budget, terms_of
from ledger.rules.vouchers import VOUCHERS, move_value, serial_of
from ledger.view import Draft, StateView, must


def apply_lapses(view: StateView, *, time_ms: int, limit: int) -> Outcome:
    """Return the expiries that are due, at most ``limit``, by (expiry, voucher id).

    Expired value returns to its funders while the fiscal year of its mint is open.
    """
    draft = Draft(view)
    postings = []
    for voucher_id in view.due(time_ms, limit):
        voucher = must(draft, VOUCHERS, voucher_id)
        amount = voucher.available
        assert amount > 0 and voucher.expires_at_ms <= time_ms, "the due index is wrong"
        move_value(draft, voucher, source="available", target="expired", amount=amount)
        if calendar.year_of(time_ms) == voucher.year:
            terms = terms_of(view, voucher.programme, voucher.terms_version)
            return_budget(
                draft,
                terms,
                voucher.programme,
                voucher.year,
                before=voucher.expired,
                after=voucher.expired + amount,
            )
        postings.append(
            Posting(
                kind="move",
                programme=voucher.programme,
                serial=serial_of(voucher.id),
                count=1,
                amount=amount,
                source="available",
                target="expired",
            )
        )
    return Outcome(changes=draft.changes(), postings=tuple(postings))
