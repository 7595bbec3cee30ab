"""What waits for people: claims to decide, and exceptions."""

from dataclasses import dataclass

from api.console.settlement import PAYMENTS_SCAN_MAX, PaymentRow, payment_row
from api.owed import open_amount
from api.reads import Moment, Resource, Selection, head_of, now_of
from ledger.rules.calendar import DAY_MS
from ledger.rules.claims import CLAIMS, DISPUTE_WINDOW_MS, Claim
from ledger.rules.holds import HOLDS, Hold
from ledger.rules.payables import PAYABLES
from ledger.rules.payments import PAYMENTS, Payment
from ledger.rules.recoveries import RECOVERIES, RECOVERY_WAIT_MS, Recovery
from ledger.store.lmdb_store import Snapshot
from ledger.view import must

CLAIMS_SCAN_MAX = 10_000
"""Claims that one drawing looks at; beyond, the page says that it shows a part."""
EXCEPTIONS_SCAN_MAX = 5_000
"""Holds, and recoveries, that one drawing looks at."""
ROWS_SHOWN = 20
AGES_DAYS = (0, 7, 30, 90)
"""Where the bands of age begin."""
WHOLE = 1000
"""A bar's length."""


@dataclass(slots=True, kw_only=True)
class Age:
    """Claims that have waited for so many days."""

    from_days: int
    until_days: int | None
    claims: int = 0
    amount: int = 0
    length: int = 0
    """Of its bar, in thousandths of the largest amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRow:
    """A claim that waits."""

    claim: Claim
    days: int
    """How long it has waited."""
    disputable_until_ms: int | None
    """Until when its holder may dispute it, and nobody accept it; None if that is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Claims to decide."""

    under_review: int
    disputed: int
    ages: tuple[Age, ...]
    rows: tuple[ClaimRow, ...]
    """The oldest ones."""
    seen: int
    is_part: bool


def claims(snapshot: Snapshot) -> Waiting:
    """Return the claims that wait for a decision."""
    now_ms = head_of(snapshot).time_ms
    ages = tuple(
        Age(from_days=first, until_days=last)
        for first, last in zip(AGES_DAYS, (*AGES_DAYS[1:], None), strict=True)
    )
    waiting: list[Claim] = []
    seen = 0
    wanted = Selection(of=Resource(CLAIMS), keep=_waits)
    for _, claim in wanted.rows(now_of(snapshot), wanted.prefix, CLAIMS_SCAN_MAX + 1):
        seen += 1
        if claim is not None and seen <= CLAIMS_SCAN_MAX:
            waiting.append(claim)
            days = _days(claim.submitted_ms, now_ms)
            age = [age for age in ages if age.from_days <= days][-1]
            age.claims += 1
            age.amount += claim.amount
    largest = max(1, *(age.amount for age in ages))
    for age in ages:
        age.length = age.amount * WHOLE // largest
    waiting.sort(key=lambda claim: (claim.submitted_ms, claim.id))
    disputed = sum(1 for claim in waiting if claim.status == "disputed")
    return Waiting(
        under_review=len(waiting) - disputed,
        disputed=disputed,
        ages=ages,
        rows=tuple(_claim_row(claim, now_ms) for claim in waiting[:ROWS_SHOWN]),
        seen=min(seen, CLAIMS_SCAN_MAX),
        is_part=seen > CLAIMS_SCAN_MAX,
    )


def _waits(_: Moment, claim: Claim) -> bool:
    return claim.status in ("under_review", "disputed")


def _days(since_ms: int, now_ms: int) -> int:
    return (now_ms - since_ms) // DAY_MS


def _claim_row(claim: Claim, now_ms: int) -> ClaimRow:
    until_ms = claim.submitted_ms + DISPUTE_WINDOW_MS
    is_open = claim.status == "under_review" and not claim.holder_signed and now_ms < until_ms
    return ClaimRow(
        claim=claim,
        days=_days(claim.submitted_ms, now_ms),
        disputable_until_ms=until_ms if is_open else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryRow:
    """An open recovery or key change."""

    recovery: Recovery
    decides_from_ms: int
    """From when on the new keys may come into force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceptions:
    """What does not go its ordinary way; the newest of each."""

    holds: tuple[Hold, ...]
    recoveries: tuple[RecoveryRow, ...]
    payments: tuple[PaymentRow, ...]
    """Objected to, on the way back, or returned and not yet paid again."""
    is_part: bool


def exceptions(snapshot: Snapshot) -> Exceptions:
    """Return open holds, open recoveries and key changes, and payments in trouble."""
    moment = now_of(snapshot)
    holds: list[Hold] = []
    recoveries: list[Recovery] = []
    payments: list[Payment] = []
    is_part = False
    held = Selection(of=Resource(HOLDS), keep=_is_open)
    for seen, (_, hold) in enumerate(held.rows(moment, held.prefix, EXCEPTIONS_SCAN_MAX + 1)):
        is_part = is_part or seen == EXCEPTIONS_SCAN_MAX
        if hold is not None:
            holds.append(hold)
    waiting = Selection(of=Resource(RECOVERIES), keep=_is_undecided)
    rows = waiting.rows(moment, waiting.prefix, EXCEPTIONS_SCAN_MAX + 1)
    for seen, (_, recovery) in enumerate(rows):
        is_part = is_part or seen == EXCEPTIONS_SCAN_MAX
        if recovery is not None:
            recoveries.append(recovery)
    troubled = Selection(of=Resource(PAYMENTS), keep=_is_in_trouble)
    paid = troubled.rows(moment, troubled.prefix, PAYMENTS_SCAN_MAX + 1)
    for seen, (_, payment) in enumerate(paid):
        is_part = is_part or seen == PAYMENTS_SCAN_MAX
        if payment is not None:
            payments.append(payment)
    holds.sort(key=lambda hold: (-hold.set_ms, hold.id))
    recoveries.sort(key=lambda recovery: (-recovery.opened_ms, recovery.party))
    payments.sort(key=lambda payment: (-payment.changed_ms[0], payment.id))
    return Exceptions(
        holds=tuple(holds[:ROWS_SHOWN]),
        recoveries=tuple(
            RecoveryRow(recovery=recovery, decides_from_ms=recovery.opened_ms + RECOVERY_WAIT_MS)
            for recovery in recoveries[:ROWS_SHOWN]
        ),
        payments=tuple(payment_row(snapshot, payment) for payment in payments[:ROWS_SHOWN]),
        is_part=is_part or max(len(holds), len(recoveries), len(payments)) > ROWS_SHOWN,
    )


def _is_open(_: Moment, hold: Hold) -> bool:
    return not hold.cleared_ms


def _is_undecided(moment: Moment, recovery: Recovery) -> bool:
    return recovery.is_open(moment.block.time_ms)


def _is_in_trouble(moment: Moment, payment: Payment) -> bool:
    if payment.status == "returned":
        return open_amount(moment, must(moment.snapshot, PAYABLES, payment.payable)) > 0
    return payment.status in ("objected", "returning", "return_objected")
