"""Claims: redeeming vouchers, deciding, disputing, credit notes (spec T9, T14, T15, R6)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger.encoding.codec import Fen, Hash, Natural, ProgrammeId, Record, SerialId, Slug
from ledger.encoding.crypto import tagged_hash
from ledger.rules import calendar, centres, invoices, money
from ledger.rules.attestations import require_eligible, require_unrelated
from ledger.rules.base import Context, Outcome, Posting
from ledger.rules.centres import (
    ACCREDITATIONS,
    Accreditation,
    accreditation_of,
    require_accepted,
    require_distinct,
)
from ledger.rules.holds import require_not_held
from ledger.rules.invoices import Contract, Invoice, InvoiceUse, Shown, UsageRows
from ledger.rules.parties import (
    PARTIES,
    OptionalTime,
    Party,
    party_of,
    require_active,
    require_free,
    require_kind,
)
from ledger.rules.payables import add_payables, credit_payables
from ledger.rules.programmes import (
    ServiceClass,
    Terms,
    issuer_of,
    programme_of,
    require_not_suspended,
    require_open,
    terms_of,
)
from ledger.rules.refusals import (
    AcceptedOutOfBounds,
    BaseExceedsNet,
    CaseMissing,
    CentreNotAccredited,
    ClaimStatusWrong,
    ClaimUnknown,
    CreditExceedsAccepted,
    CreditsTooMany,
    DisputeWindowOpen,
    DisputeWindowOver,
    GrantNotAfterUse,
    LinesMixed,
    LinesOrGrant,
    NotDisputable,
    PersonSubmitted,
    RateExceeded,
    RedeemedCapExceeded,
    ReserveMismatch,
    TagNotChecked,
    TermsVersionWrong,
)
from ledger.rules.reserves import (
    RESERVES,
    OrderRef,
    change_left,
    lapse_of,
    require_good,
    require_left,
    reserve_of,
)
from ledger.rules.sums import Amount, amount_at, change_amount, next_serial
from ledger.rules.vouchers import (
    VOUCHERS,
    Part,
    PositiveFen,
    Voucher,
    change_totals,
    give_back,
    held_voucher,
    move_value,
    new_voucher,
    require_available,
    require_grant,
    require_unexpired,
    serial_of,
    uncount_issued,
)
from ledger.view import Draft, StateView, Table, get, must

LINES_MAX = 16
CREDITS_MAX = 32
"""Credit notes of one claim: each may add a payable of every funder."""
DISPUTE_WINDOW_MS = 7 * calendar.DAY_MS
"""How long a holder may dispute a claim that it did not sign."""


class Line(Record, frozen=True):
    """What one voucher pays of a claim."""

    voucher: SerialId
    amount: PositiveFen
    reserve: Annotated[tuple[SerialId, ...], Meta(max_length=1)]
    """The reserve that it is paid out of, if any."""


Lines = Annotated[tuple[Line, ...], Meta(max_length=LINES_MAX)]
OptionalContract = Annotated[tuple[Contract, ...], Meta(max_length=1)]
OptionalCase = Annotated[tuple[Hash, ...], Meta(max_length=1)]


class GrantAfterUse(Record, frozen=True):
    """A grant that is paid after the use it is for, without a voucher before."""

    programme: ProgrammeId
    terms_version: Natural
    amount: PositiveFen


class Redeem(Record, frozen=True, tag="voucher.redeem"):
    """Present vouchers to a data centre with its invoice (T9)."""

    holder: Slug
    redeemer: Slug
    order: OrderRef
    lines: Lines
    grant: Annotated[tuple[GrantAfterUse, ...], Meta(max_length=1)]
    invoice: Invoice
    contract: OptionalContract
    service_class: ServiceClass
    usage: UsageRows
    own_share: Hash
    """Commitment to the proof that the holder paid the rest of the bill, or all of it where the
    programme pays the holder."""


class Claim(Record, frozen=True):
    """A redemption on its way to a decision."""

    id: SerialId
    programme: ProgrammeId
    terms_version: Natural
    holder: Slug
    redeemer: Slug
    order: OrderRef
    lines: Lines
    invoice: Invoice
    contract: OptionalContract
    service_class: ServiceClass
    usage: UsageRows
    amount: Fen
    basis_points: Natural
    accepted: Fen
    credited: Fen
    status: Literal["accepted", "under_review", "rejected", "disputed"]
    host: Annotated[tuple[Slug, ...], Meta(max_length=1)]
    """The host that pays and is reimbursed (R5.2)."""
    holder_signed: bool
    """Else the holder may dispute it."""
    submitted_by: Annotated[tuple[str, ...], Meta(max_length=16)]
    """``party/person`` of all who signed it: none of them may decide it."""
    submitted_ms: Natural
    decided_ms: OptionalTime
    payables: Natural
    """How many payables it made so far."""
    credits: Natural
    """How many credit notes it has."""


class Decide(Record, frozen=True, tag="decide"):
    """The issuer accepts a claim, in part or not at all."""

    claim: SerialId
    accepted: Fen
    case: OptionalCase
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
REDEEMED = Table("redeemed", Amount)
"""By programme, year of decision and holder: what the cap on redemption counts."""
BAND_USED = Table("band-used", Amount)
"""By programme, holder, centre and month: what was accepted without review."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a redemption asks for, found and checked."""

    holder: Party
    redeemer: Party
    joint: bool
    """The holder signs it now; else it authorised the centre when it reserved (T9)."""
    programme: str
    terms_version: int
    vouchers: tuple[Voucher, ...]
    amount: int


def apply_redeem(view: StateView, tx: Redeem, context: Context) -> Outcome:
    """Return the writes a redemption causes. Checks run in the order of T9."""
    asked = _asked(view, tx, context)  # T9.1 to T9.10
    holder, redeemer, programme_id, amount = (
        asked.holder,
        asked.redeemer,
        asked.programme,
        asked.amount,
    )
    terms = terms_of(view, programme_id, asked.terms_version)
    require_not_held(
        view,
        ("party", holder.id),
        ("party", redeemer.id),
        ("centre", redeemer.id),
        ("programme", programme_id),
        *(("voucher", voucher.id) for voucher in asked.vouchers),
    )
    accreditation = _accreditation(view, asked, terms, context)  # T9.12, T9.13
    require_unrelated(view, terms.eligibility, holder, redeemer, context.time_ms)
    if tx.grant:
        require_eligible(view, terms.eligibility, holder, context.time_ms)
    if tx.invoice.base > tx.invoice.net:
        raise BaseExceedsNet(base=tx.invoice.base, net=tx.invoice.net)
    shown = Shown(
        redeemer=redeemer.id,
        holder=holder.id,
        programme=programme_id,
        invoice=tx.invoice,
        contract=tx.contract,
        service_class=tx.service_class,
        usage=tx.usage,
    )
    draft = Draft(view)
    found = invoices.find_invoice(view, shown, terms)
    invoices.require_usage(tx.usage)
    if found is None:
        invoices.count_usage(draft, tx.usage, accreditation, context.time_ms)
    basis_points = invoices.single_rate(shown, terms, holder, accreditation)
    invoices.require_tariff(shown, accreditation)
    invoices.use_contract(draft, shown, terms, amount)
    allowed = money.benefit(tx.invoice.base, basis_points, terms.rounding)
    if amount > allowed:  # T9.22
        raise RateExceeded(
            asked=amount, allowed=allowed, basis_points=basis_points, base=tx.invoice.base
        )
    invoices.require_below_ceiling(shown, found, terms, amount)
    recognition = centres.paying_host(view, programme_id, terms, accreditation)
    if recognition is not None:
        centres.use_recognition(draft, recognition, amount)
    lines, postings = tx.lines, []
    if tx.grant:
        granted, posting = _grant(draft, terms, asked, context)
        lines, postings = (Line(voucher=granted.id, amount=amount, reserve=()),), [posting]
    holder_signed = not holder.stopped_since_ms and context.signers.has_threshold(
        holder.id, holder.threshold
    )
    automatic = holder_signed and _take_band(draft, asked, terms, context)
    claim = Claim(
        id=next_serial(draft, "claim", redeemer.id),
        programme=programme_id,
        terms_version=asked.terms_version,
        holder=holder.id,
        redeemer=redeemer.id,
        order=tx.order,
        lines=lines,
        invoice=tx.invoice,
        contract=tx.contract,
        service_class=tx.service_class,
        usage=tx.usage,
        amount=amount,
        basis_points=basis_points,
        accepted=0,
        credited=0,
        status="under_review",
        host=() if recognition is None else (recognition.host,),
        holder_signed=holder_signed,
        submitted_by=context.signers.everybody(),
        submitted_ms=context.time_ms,
        decided_ms=(),
        payables=0,
        credits=0,
    )
    for line in lines:
        for reserve in line.reserve:
            change_left(draft, reserve, -line.amount)
        source: Part = "reserved" if line.reserve else "available"
        postings.append(
            move_value(
                draft,
                line.voucher,
                source=source,
                target="redeemed" if automatic else "claimed",
                amount=line.amount,
                time_ms=context.time_ms,
            )
        )
    use = InvoiceUse(programme=programme_id, terms_version=asked.terms_version, claim=claim.id)
    invoices.use_invoice(
        draft,
        shown,
        found,
        terms,
        use,
        pending=0 if automatic else amount,
        accepted=amount if automatic else 0,
    )
    if automatic:
        claim = _accept(draft, claim, terms, amount, context)
    draft.put(CLAIMS, claim, claim.id)
    return Outcome(changes=draft.changes(), postings=tuple(postings))


def _asked(view: StateView, tx: Redeem, context: Context) -> Asked:
    """Return who asks for what, each line or the grant able to pay (T9.1 to T9.10)."""
    holder = party_of(view, tx.holder)
    require_kind(holder, "holder")
    redeemer = party_of(view, tx.redeemer)
    require_kind(redeemer, "data_centre")
    if bool(tx.lines) == bool(tx.grant):
        raise LinesOrGrant(lines=len(tx.lines), grants=len(tx.grant))
    require_distinct([line.voucher for line in tx.lines])
    context.signers.require_threshold(redeemer.id, redeemer.threshold)
    joint = not tx.lines or not all(line.reserve for line in tx.lines)
    if joint:
        context.signers.require_threshold(holder.id, holder.threshold)
        require_free(holder)
        require_active(redeemer)
    vouchers = tuple(_voucher_of_line(view, line, tx) for line in tx.lines)
    for other in vouchers[1:]:
        first = vouchers[0]
        if (other.programme, other.terms_version) != (first.programme, first.terms_version):
            raise LinesMixed(first=first.id, second=other.id)
    for line, voucher in zip(tx.lines, vouchers, strict=True):
        if line.reserve:
            reserve = reserve_of(view, line.reserve[0])
            require_good(reserve, context)
            require_left(reserve, line.amount)
        else:
            require_unexpired(voucher, holder, context)
            require_available(voucher, line.amount)
    for grant in tx.grant:
        _require_after_use(view, grant)
    return Asked(
        holder=holder,
        redeemer=redeemer,
        joint=joint,
        programme=vouchers[0].programme if vouchers else tx.grant[0].programme,
        terms_version=vouchers[0].terms_version if vouchers else tx.grant[0].terms_version,
        vouchers=vouchers,
        amount=sum(line.amount for line in tx.lines) + sum(grant.amount for grant in tx.grant),
    )


def _voucher_of_line(view: StateView, line: Line, tx: Redeem) -> Voucher:
    """Return the voucher that the holder holds, and that the line's reserve is of (T9.7)."""
    voucher = held_voucher(view, line.voucher, tx.holder)
    for reserve_id in line.reserve:
        reserve = reserve_of(view, reserve_id)
        is_for_this = (
            (reserve.voucher, reserve.redeemer) == (line.voucher, tx.redeemer)
            and (reserve.order, reserve.service_class) == (tx.order, tx.service_class)
            and all(row.chip == reserve.chip for row in tx.usage)
        )
        if not is_for_this:
            raise ReserveMismatch(
                reserve=reserve_id, voucher=reserve.voucher, redeemer=reserve.redeemer
            )
    return voucher


def _require_after_use(view: StateView, grant: GrantAfterUse) -> None:
    programme = programme_of(view, grant.programme)
    require_open(programme)
    if grant.terms_version != programme.version:
        raise TermsVersionWrong(current=programme.version, given=grant.terms_version)
    if terms_of(view, grant.programme, grant.terms_version).grant != "after_use":
        raise GrantNotAfterUse(programme=grant.programme)


def _accreditation(view: StateView, asked: Asked, terms: Terms, context: Context) -> Accreditation:
    """Return the centre's accreditation, in force and accepted where the claim is joint.

    What was reserved before a suspension or an end is still paid.
    """
    if asked.joint:
        require_not_suspended(programme_of(view, asked.programme))
        accreditation = accreditation_of(view, asked.redeemer.id)
        require_accepted(view, asked.programme, terms, accreditation, context.time_ms)
        return accreditation
    found = get(view, ACCREDITATIONS, asked.redeemer.id)
    if found is None:
        raise CentreNotAccredited(centre=asked.redeemer.id)
    return found


def _grant(draft: Draft, terms: Terms, asked: Asked, context: Context) -> tuple[Voucher, Posting]:
    """Mint what a grant after use pays: a voucher that nothing but this claim can use (T9.25)."""
    require_grant(draft, terms, asked.programme, asked.holder, asked.amount, context)
    voucher = new_voucher(
        draft,
        asked.programme,
        asked.holder,
        asked.amount,
        expires_at_ms=context.time_ms,
        terms_version=asked.terms_version,
        year=calendar.year_of(context.time_ms),
        time_ms=context.time_ms,
    )
    change_totals(draft, asked.programme, minted=asked.amount, available=asked.amount)
    posting = Posting(
        kind="mint",
        programme=asked.programme,
        serial=serial_of(voucher.id),
        count=1,
        amount=asked.amount,
        source=issuer_of(asked.programme),
        target="available",
    )
    return voucher, posting


def _take_band(draft: Draft, asked: Asked, terms: Terms, context: Context) -> bool:
    """Return whether the rules accept this claim, using up the month's band (R6.2, R6.3)."""
    every = terms.review.sample_every
    if every:
        draw = tagged_hash(
            "tallystick/sample/v1", context.previous_record_hash, context.transaction_id
        )
        if int.from_bytes(draw, "big") % every == 0:
            return False
    month = calendar.month_of(context.time_ms)
    key = (asked.programme, asked.holder.id, asked.redeemer.id, month)
    if amount_at(draft, BAND_USED, *key) + asked.amount > terms.review.automatic_band:
        return False
    change_amount(draft, BAND_USED, asked.amount, *key)
    return True


def _accept(draft: Draft, claim: Claim, terms: Terms, accepted: int, context: Context) -> Claim:
    """Count an acceptance in against the holder's cap, make its payables, return the claim."""
    _count_redeemed(draft, terms, claim, accepted, context.time_ms)
    made = add_payables(
        draft,
        terms,
        cause=claim.id,
        host=claim.host,
        creditor=claim.redeemer if terms.payee == "provider" else claim.holder,
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


def _count_redeemed(draft: Draft, terms: Terms, claim: Claim, amount: int, time_ms: int) -> None:
    """Count an acceptance in; raise RedeemedCapExceeded (T9.26, T14.9, R6.4)."""
    year = calendar.year_of(time_ms)
    key = (claim.programme, str(year), claim.holder)
    redeemed = amount_at(draft, REDEEMED, *key)
    for cap in terms.caps.holder_year_redeemed:
        if redeemed + amount > cap:
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
        redeemer=claim.redeemer,
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


def _decide(view: StateView, act: Decide, context: Context) -> Outcome:
    claim = claim_of(view, act.claim)
    require_status(claim, "under_review", "disputed")
    issuer = issuer_of(claim.programme)
    for person in context.signers.require_officers(issuer, "review"):
        if f"{issuer}/{person}" in claim.submitted_by:
            raise PersonSubmitted(party=issuer, person=person, claim=claim.id)
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
    terms = terms_of(view, claim.programme, claim.terms_version)
    if act.accepted:
        decided = _accept(draft, claim, terms, act.accepted, context)
    else:
        decided = msgspec.structs.replace(claim, status="rejected", decided_ms=(context.time_ms,))
    draft.put(CLAIMS, decided, claim.id)
    postings: list[Posting] = []
    for line, kept in zip(claim.lines, laid_over(claim.lines, act.accepted), strict=True):
        if kept:
            postings.append(
                move_value(
                    draft,
                    line.voucher,
                    source="claimed",
                    target="redeemed",
                    amount=kept,
                    time_ms=context.time_ms,
                )
            )
        postings += _return_line(draft, terms, line, "claimed", line.amount - kept, context)
    _settle(draft, claim, pending=-claim.amount, accepted=act.accepted, ended=not act.accepted)
    _uncount_grant(draft, terms, claim, claim.amount - act.accepted)
    return Outcome(changes=draft.changes(), postings=tuple(postings))


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
    for reserve_id in line.reserve:
        reserve = must(draft, RESERVES, reserve_id)
        if context.time_ms < lapse_of(reserve, context):
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
        time_ms=context.time_ms,
    )
    return (posting,)


def _settle(draft: Draft, claim: Claim, *, pending: int, accepted: int, ended: bool) -> None:
    """Change what invoice, contract and recognition count of a claim (R12.4)."""
    invoices.settle_invoice(
        draft, shown_of(claim), claim.id, pending=pending, accepted=accepted, ended=ended
    )
    for host in claim.host:
        centres.free_recognition(
            draft, claim.programme, host, -pending - accepted, submitted_ms=claim.submitted_ms
        )


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
    redeemer = party_of(view, claim.redeemer)
    context.signers.require_threshold(redeemer.id, redeemer.threshold)
    context.signers.require_officers(issuer_of(claim.programme), "review")
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
        host=claim.host,
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
