"""Claims: how they are decided, disputed and credited (spec T14, T15, R6)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger.encoding.codec import (
    AtMostOne,
    Fen,
    Hash,
    Natural,
    ProgrammeId,
    Record,
    SerialId,
    Slug,
    only,
)
from ledger.rules import calendar, centres, invoices
from ledger.rules.base import Context, Kind, Outcome, Posting
from ledger.rules.centres import PayingHost
from ledger.rules.invoices import Contract, Invoice, Shown, UsageRows
from ledger.rules.parties import PARTIES, party_of, require_active, require_consent
from ledger.rules.payables import add_payables, credit_payables
from ledger.rules.programmes import ServiceClass, Terms, issuer_of, terms_of
from ledger.rules.refusals import (
    AcceptedOutOfBounds,
    CaseMissing,
    ClaimStatusWrong,
    ClaimUnknown,
    CreditExceedsAccepted,
    CreditsTooMany,
    DecisionEarly,
    DisputeWindowOpen,
    DisputeWindowOver,
    NotDisputable,
    PartyWrongKind,
    RedeemedCapExceeded,
    TagNotChecked,
)
from ledger.rules.reserves import RESERVES, OrderRef, change_left, reserve_expiry_of
from ledger.rules.successors import acting_for, settling_for
from ledger.rules.sums import Amount, amount_at, change_amount
from ledger.rules.vouchers import VOUCHERS, Part, PositiveFen, give_back, move_value, uncount_issued
from ledger.view import Draft, StateView, Table, get, must

LINES_MAX = 16
CREDITS_MAX = 32
"""Credit notes of one claim: each may add a payable of every funder."""
DISPUTE_WINDOW_MS = 7 * calendar.DAY_MS
"""How long a holder may dispute a claim that it did not sign."""
ISSUER_DECIDES_MS = 90 * calendar.DAY_MS
"""How long nobody but the issuer decides a claim."""


class Line(Record, frozen=True):
    """What one voucher pays of a claim."""

    voucher: SerialId
    amount: PositiveFen
    reserve: AtMostOne[SerialId]
    """The reserve that it is paid out of, if any."""


Status = Literal["accepted", "to_be_drawn", "under_review", "rejected", "disputed"]
WAITING = ("to_be_drawn", "under_review", "disputed")
"""Statuses of claims whose value is claimed."""
Lines = Annotated[tuple[Line, ...], Meta(max_length=LINES_MAX)]


class Claim(Record, frozen=True):
    """A redemption on its way to a decision."""

    id: SerialId
    programme: ProgrammeId
    terms_version: Natural
    holder: Slug
    centre: Slug
    order: OrderRef
    lines: Lines
    invoice: Invoice
    contract: AtMostOne[Contract]
    service_class: ServiceClass
    usage: UsageRows
    amount: Fen
    basis_points: Natural
    accepted: Fen
    credited: Fen
    status: Status
    host: AtMostOne[PayingHost]
    """The host that pays and is reimbursed (R5.2)."""
    holder_signed: bool
    """Else the holder may dispute it."""
    submitted_ms: Natural
    decided_ms: AtMostOne[Natural]
    payables: Natural
    """How many payables it made so far."""
    credits: Natural
    """How many credit notes it has."""


class Decide(Record, frozen=True, tag="decide"):
    """The issuer, or an auditor after long, accepts a claim, in part or not at all."""

    claim: SerialId
    by: Slug
    accepted: Fen
    case: AtMostOne[Hash]
    tag_checked: bool
    """The officers recomputed the tag from the invoice: consensus cannot see a tag that centre
    and holder falsified together."""


class Dispute(Record, frozen=True, tag="dispute"):
    """The holder contests a claim that the centre made alone."""

    claim: SerialId
    case: Hash


class DecideClaim(Record, frozen=True, tag="claim.decide"):
    """A claim is decided or disputed (T14)."""

    act: Decide | Dispute


class Credit(Record, frozen=True, tag="claim.credit"):
    """Centre and issuer take back part of an accepted claim (T15)."""

    claim: SerialId
    amount: PositiveFen
    note: Hash
    """Salted hash of the credit note."""


CLAIMS = Table("claim", Claim)
REDEEMED = Table("redeemed", Amount, running_sum=True)
"""By programme, year of decision and holder: what the cap on redemption counts."""


def accept(draft: Draft, claim: Claim, terms: Terms, accepted: int, context: Context) -> Claim:
    """Count an acceptance in against the holder's cap, make its payables, return the claim."""
    count_redeemed(draft, terms, claim, accepted, context.time_ms)
    made = add_payables(
        draft,
        terms,
        cause=claim.id,
        host=tuple(host.party for host in claim.host),
        creditor=claim.centre if terms.payee == "centre" else claim.holder,
        amount=accepted,
        time_ms=context.time_ms,
    )
    return msgspec.structs.replace(
        claim,
        accepted=accepted,
        status="accepted",
        decided_ms=(context.time_ms,),
        payables=made,
    )


def count_redeemed(draft: Draft, terms: Terms, claim: Claim, amount: int, time_ms: int) -> None:
    """Count an acceptance in; raise RedeemedCapExceeded (T9.26, T14.10, R6.4)."""
    year = calendar.year_of(time_ms)
    key = (claim.programme, str(year), claim.holder)
    redeemed = amount_at(draft, REDEEMED, *key)
    cap = only(terms.caps.holder_year_redeemed)
    if cap is not None and redeemed + amount > cap:
        raise RedeemedCapExceeded(
            party=claim.holder, year=year, asked=amount, available=max(0, cap - redeemed)
        )
    change_amount(draft, REDEEMED, amount, *key)


def claim_of(view: StateView, claim_id: str) -> Claim:
    """Return a claim; raise ClaimUnknown."""
    claim = get(view, CLAIMS, claim_id)
    if claim is None:
        raise ClaimUnknown(claim=claim_id)
    return claim


def require_status(claim: Claim, *statuses: str) -> None:
    """Raise ClaimStatusWrong unless the claim is in one of the statuses."""
    if claim.status not in statuses:
        raise ClaimStatusWrong(claim=claim.id, status=claim.status)


def shown_of(claim: Claim) -> Shown:
    """Return what a claim showed when it was made."""
    return Shown(
        centre=claim.centre,
        holder=claim.holder,
        programme=claim.programme,
        invoice=claim.invoice,
        contract=claim.contract,
        service_class=claim.service_class,
        usage=claim.usage,
    )


def apply_decide_claim(view: StateView, tx: DecideClaim, context: Context) -> Outcome:
    """Return the writes of a decision or a dispute. Checks run in the order of T14."""
    match tx.act:
        case Decide() as act:
            return _decide(view, act, context)
        case Dispute() as act:
            return _dispute(view, act, context)


DECIDE_CLAIM = Kind(
    record=DecideClaim,
    apply=apply_decide_claim,
    amount=lambda tx: tx.act.accepted if isinstance(tx.act, Decide) else 0,
)


def _decide(view: StateView, act: Decide, context: Context) -> Outcome:
    claim = claim_of(view, act.claim)
    require_status(claim, "under_review", "disputed")
    _require_decider(view, act, claim, context)
    if act.accepted > claim.amount:
        raise AcceptedOutOfBounds(accepted=act.accepted, amount=claim.amount)
    if claim.status == "disputed" and not act.case:
        raise CaseMissing(claim=claim.id)
    if act.accepted and claim.status == "under_review" and not claim.holder_signed:
        until_ms = _window_end(claim, context)
        if context.time_ms < until_ms:
            raise DisputeWindowOpen(until_ms=until_ms, time_ms=context.time_ms)
    if act.accepted and not act.tag_checked:
        raise TagNotChecked(claim=claim.id)
    draft = Draft(view)
    postings = end_waiting(draft, claim, act.accepted, context)
    return Outcome(changes=draft.changes(), postings=postings)


def end_waiting(draft: Draft, claim: Claim, accepted: int, context: Context) -> tuple[Posting, ...]:
    """Accept a claim that waits, in part or not at all, and give the rest back (T14)."""
    terms = terms_of(draft, claim.programme, claim.terms_version)
    if accepted:
        decided = accept(draft, claim, terms, accepted, context)
    else:
        decided = msgspec.structs.replace(claim, status="rejected", decided_ms=(context.time_ms,))
    draft.put(CLAIMS, decided, claim.id)
    postings: list[Posting] = []
    for line, kept in zip(claim.lines, laid_over(claim.lines, accepted), strict=True):
        if kept:
            postings.append(
                move_value(
                    draft,
                    line.voucher,
                    source="claimed",
                    target="redeemed",
                    amount=kept,
                )
            )
        postings += _return_line(draft, terms, line, "claimed", line.amount - kept, context)
    _settle(draft, claim, pending=-claim.amount, accepted=accepted, ended=not accepted)
    _uncount_grant(draft, terms, claim, claim.amount - accepted)
    return tuple(postings)


def _require_decider(view: StateView, act: Decide, claim: Claim, context: Context) -> None:
    """Raise unless ``by`` may decide a claim now (T14.3 to T14.5)."""
    by = party_of(view, act.by)
    is_issuer = by.id == issuer_of(claim.programme)
    if not is_issuer and by.kind != "auditor":
        raise PartyWrongKind(party=by.id, kind=by.kind, expected="issuer or auditor")
    require_consent(context, acting_for(view, by.id) if is_issuer else by, "review")
    if is_issuer:
        return
    require_active(by)
    until_ms = context.put_off(claim.submitted_ms + ISSUER_DECIDES_MS)
    if context.time_ms < until_ms:
        raise DecisionEarly(until_ms=until_ms, time_ms=context.time_ms)


def laid_over(lines: Lines, amount: int) -> tuple[int, ...]:
    """Return how much of ``amount`` falls on each line, the first ones full."""
    parts = []
    for line in lines:
        part = min(line.amount, amount)
        amount -= part
        parts.append(part)
    return tuple(parts)


def _return_line(
    draft: Draft, terms: Terms, line: Line, source: Part, amount: int, context: Context
) -> tuple[Posting, ...]:
    """Give value of a claim's line back: to its reserve, else to the holder (R11.3)."""
    if amount == 0:
        return ()
    target: Part | None = "expired" if terms.grant == "after_use" else None
    if (reserve_id := only(line.reserve)) is not None:
        reserve = must(draft, RESERVES, reserve_id)
        if context.time_ms < reserve_expiry_of(reserve, context):
            change_left(draft, reserve_id, amount)
            target = "reserved"
    if target is None:
        return give_back(draft, line.voucher, source=source, amount=amount, context=context)
    posting = move_value(
        draft,
        line.voucher,
        source=source,
        target=target,
        amount=amount,
    )
    return (posting,)


def _settle(draft: Draft, claim: Claim, *, pending: int, accepted: int, ended: bool) -> None:
    """Change what invoice, contract and recognition count of a claim (R12.4)."""
    invoices.settle_invoice(
        draft, shown_of(claim), claim.id, pending=pending, accepted=accepted, ended=ended
    )
    if (host := only(claim.host)) is not None:
        centres.free_recognition(draft, claim.programme, host, -pending - accepted)


def _uncount_grant(draft: Draft, terms: Terms, claim: Claim, amount: int) -> None:
    """A grant after use that comes to nothing does not use up its holder's caps (R12.5)."""
    if terms.grant == "after_use" and amount:
        year = must(draft, VOUCHERS, claim.lines[0].voucher).year
        holder = must(draft, PARTIES, claim.holder)
        uncount_issued(draft, claim.programme, year, holder, amount)


def _window_end(claim: Claim, context: Context) -> int:
    """Return when it is too late to dispute a claim (R11.5)."""
    return context.put_off(claim.submitted_ms + DISPUTE_WINDOW_MS)


def _dispute(view: StateView, act: Dispute, context: Context) -> Outcome:
    claim = claim_of(view, act.claim)
    require_status(claim, "under_review")
    holder = party_of(view, claim.holder)
    context.signers.require_threshold(holder.id, holder.threshold)
    if claim.holder_signed:
        raise NotDisputable(claim=claim.id)
    until_ms = _window_end(claim, context)
    if context.time_ms >= until_ms:
        raise DisputeWindowOver(until_ms=until_ms, time_ms=context.time_ms)
    draft = Draft(view)
    draft.put(CLAIMS, msgspec.structs.replace(claim, status="disputed"), claim.id)
    return Outcome(changes=draft.changes())


def apply_credit(view: StateView, tx: Credit, context: Context) -> Outcome:
    """Return the writes of a credit note. Checks run in the order of T15."""
    claim = claim_of(view, tx.claim)
    require_status(claim, "accepted")
    centre = settling_for(view, claim.centre)
    context.signers.require_threshold(centre.id, centre.threshold)
    context.signers.require_officers(acting_for(view, issuer_of(claim.programme)).id, "review")
    before = claim.accepted - claim.credited
    if tx.amount > before:
        raise CreditExceedsAccepted(asked=tx.amount, available=before)
    if claim.credits >= CREDITS_MAX:
        raise CreditsTooMany(claim=claim.id, maximum=CREDITS_MAX)
    draft = Draft(view)
    terms = terms_of(view, claim.programme, claim.terms_version)
    after = before - tx.amount
    postings: list[Posting] = []
    kept = zip(laid_over(claim.lines, before), laid_over(claim.lines, after), strict=True)
    for line, (was, now) in zip(claim.lines, kept, strict=True):
        postings += _return_line(draft, terms, line, "redeemed", was - now, context)
    year = str(calendar.year_of(claim.decided_ms[0]))
    change_amount(draft, REDEEMED, -tx.amount, claim.programme, year, claim.holder)
    _settle(draft, claim, pending=0, accepted=-tx.amount, ended=after == 0)
    _uncount_grant(draft, terms, claim, tx.amount)
    made = credit_payables(
        draft,
        terms,
        cause=claim.id,
        host=tuple(host.party for host in claim.host),
        amount=tx.amount,
        payables=claim.payables,
        time_ms=context.time_ms,
    )
    credited = msgspec.structs.replace(
        claim,
        credited=claim.credited + tx.amount,
        payables=claim.payables + made,
        credits=claim.credits + 1,
    )
    draft.put(CLAIMS, credited, claim.id)
    return Outcome(changes=draft.changes(), postings=tuple(postings))


CREDIT = Kind(record=Credit, apply=apply_credit, amount=lambda tx: tx.amount)
