"""Redemptions: vouchers presented to a data centre with its invoice (spec T9, R6)."""

from dataclasses import dataclass

from ledger.encoding.codec import AtMostOne, Hash, Natural, ProgrammeId, Record, Slug, only
from ledger.encoding.crypto import tagged_hash
from ledger.rules import calendar, centres, invoices, money
from ledger.rules.attestations import require_eligible, require_unrelated
from ledger.rules.base import Context, Kind, Outcome, Posting
from ledger.rules.centres import (
    ACCREDITATIONS,
    Accreditation,
    accreditation_of,
    require_accepted,
    require_distinct,
)
from ledger.rules.claims import CLAIMS, Claim, Line, Lines, accept
from ledger.rules.holds import require_not_held
from ledger.rules.invoices import Contract, Invoice, InvoiceUse, Shown, UsageRows
from ledger.rules.parties import Party, party_of, require_active, require_free, require_kind
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
    BaseExceedsNet,
    CentreNotAccredited,
    GrantNotAfterUse,
    LinesMixed,
    LinesOrGrant,
    RateExceeded,
    ReserveMismatch,
    TermsVersionWrong,
)
from ledger.rules.reserves import OrderRef, change_left, require_good, require_left, reserve_of
from ledger.rules.successors import settling_for
from ledger.rules.sums import Amount, amount_at, change_amount, next_serial
from ledger.rules.vouchers import (
    Part,
    PositiveFen,
    Voucher,
    change_totals,
    held_voucher,
    held_with,
    move_value,
    new_voucher,
    require_available,
    require_grant,
    require_unexpired,
    serial_of,
)
from ledger.view import Draft, StateView, Table, get


class GrantAfterUse(Record, frozen=True):
    """A grant that is paid after the use it is for, without a voucher before."""

    programme: ProgrammeId
    terms_version: Natural
    amount: PositiveFen


class Redeem(Record, frozen=True, tag="voucher.redeem"):
    """Present vouchers to a data centre with its invoice (T9)."""

    holder: Slug
    centre: Slug
    order: OrderRef
    lines: Lines
    grant: AtMostOne[GrantAfterUse]
    invoice: Invoice
    contract: AtMostOne[Contract]
    service_class: ServiceClass
    usage: UsageRows
    own_share: Hash
    """Commitment to the proof that the holder paid the rest of the bill, or all of it where the
    programme pays the holder."""


BAND_USED = Table("band-used", Amount, running_sum=True)
"""By programme, holder, centre and month: what was accepted without review."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a redemption asks for, found and checked."""

    holder: Party
    centre: Party
    joint: bool
    """The holder signs it now; else it authorised the centre when it reserved (T9)."""
    programme: str
    terms_version: int
    vouchers: tuple[Voucher, ...]
    amount: int


def apply_redeem(view: StateView, tx: Redeem, context: Context) -> Outcome:
    """Return the writes a redemption causes. Checks run in the order of T9."""
    asked = _asked(view, tx, context)  # T9.1 to T9.10
    holder, centre, programme_id, amount = (
        asked.holder,
        asked.centre,
        asked.programme,
        asked.amount,
    )
    terms = terms_of(view, programme_id, asked.terms_version)
    require_not_held(
        view,
        ("party", holder.id),
        ("party", centre.id),
        ("centre", centre.id),
        ("programme", programme_id),
        *(thing for voucher in asked.vouchers for thing in held_with(view, voucher)),
    )
    accreditation = _accreditation(view, asked, terms, context)  # T9.12, T9.13
    require_unrelated(view, terms.eligibility, holder, centre, context.time_ms)
    if tx.grant:
        require_eligible(view, terms.eligibility, holder, context.time_ms)
    if tx.invoice.base > tx.invoice.net:
        raise BaseExceedsNet(base=tx.invoice.base, net=tx.invoice.net)
    shown = Shown(
        centre=centre.id,
        holder=holder.id,
        programme=programme_id,
        invoice=tx.invoice,
        contract=tx.contract,
        service_class=tx.service_class,
        usage=tx.usage,
    )
    draft = Draft(view)
    claimed_before = invoices.find_invoice(view, shown, terms)
    invoices.require_usage(tx.usage)
    if claimed_before is None:
        invoices.count_usage(draft, tx.usage, accreditation, context.time_ms)
    basis_points = invoices.single_rate(shown, terms, holder, accreditation)
    invoices.require_tariff(shown, accreditation)
    invoices.use_contract(draft, shown, terms, amount)
    allowed = money.benefit(tx.invoice.base, basis_points, terms.rounding)
    if amount > allowed:  # T9.22
        raise RateExceeded(
            asked=amount, allowed=allowed, basis_points=basis_points, base=tx.invoice.base
        )
    invoices.require_below_ceiling(shown, claimed_before, terms, amount)
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
        id=next_serial(draft, "claim", centre.id),
        programme=programme_id,
        terms_version=asked.terms_version,
        holder=holder.id,
        centre=centre.id,
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
        reserve = only(line.reserve)
        source: Part = "available" if reserve is None else "reserved"
        if reserve is not None:
            change_left(draft, reserve, -line.amount)
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
        claimed_before,
        terms,
        use,
        pending=0 if automatic else amount,
        accepted=amount if automatic else 0,
    )
    if automatic:
        claim = accept(draft, claim, terms, amount, context)
    draft.put(CLAIMS, claim, claim.id)
    return Outcome(changes=draft.changes(), postings=tuple(postings))


REDEEM = Kind(record=Redeem, apply=apply_redeem, rows=lambda tx: len(tx.lines) + len(tx.usage))


def _asked(view: StateView, tx: Redeem, context: Context) -> Asked:
    """Return who asks for what, each line or the grant able to pay (T9.1 to T9.10)."""
    holder = party_of(view, tx.holder)
    require_kind(holder, "holder")
    centre = party_of(view, tx.centre)
    require_kind(centre, "data_centre")
    if bool(tx.lines) == bool(tx.grant):
        raise LinesOrGrant(lines=len(tx.lines), grants=len(tx.grant))
    require_distinct([line.voucher for line in tx.lines])
    joint = not tx.lines or not all(line.reserve for line in tx.lines)
    signing = centre if joint else settling_for(view, centre.id)
    context.signers.require_threshold(signing.id, signing.threshold)
    if joint:
        context.signers.require_threshold(holder.id, holder.threshold)
        require_free(holder)
        require_active(centre)
    vouchers = tuple(_voucher_of_line(view, line, tx) for line in tx.lines)
    for voucher in vouchers[1:]:
        first = vouchers[0]
        if (voucher.programme, voucher.terms_version) != (first.programme, first.terms_version):
            raise LinesMixed(first=first.id, second=voucher.id)
    for line, voucher in zip(tx.lines, vouchers, strict=True):
        if (reserve_id := only(line.reserve)) is not None:
            reserve = reserve_of(view, reserve_id)
            require_good(reserve, context)
            require_left(reserve, line.amount)
        else:
            require_unexpired(voucher, holder, context)
            require_available(voucher, line.amount)
    if (grant := only(tx.grant)) is not None:
        _require_after_use(view, grant)
    paid_from = vouchers[0] if vouchers else tx.grant[0]
    return Asked(
        holder=holder,
        centre=centre,
        joint=joint,
        programme=paid_from.programme,
        terms_version=paid_from.terms_version,
        vouchers=vouchers,
        amount=sum(line.amount for line in tx.lines) + sum(grant.amount for grant in tx.grant),
    )


def _voucher_of_line(view: StateView, line: Line, tx: Redeem) -> Voucher:
    """Return the voucher that the holder holds, and that the line's reserve is of (T9.7)."""
    voucher = held_voucher(view, line.voucher, tx.holder)
    if (reserve_id := only(line.reserve)) is not None:
        reserve = reserve_of(view, reserve_id)
        is_for_this = (
            (reserve.voucher, reserve.centre) == (line.voucher, tx.centre)
            and (reserve.order, reserve.service_class) == (tx.order, tx.service_class)
            and all(row.chip == reserve.chip for row in tx.usage)
        )
        if not is_for_this:
            raise ReserveMismatch(
                reserve=reserve_id, voucher=reserve.voucher, centre=reserve.centre
            )
    return voucher


def _require_after_use(view: StateView, grant: GrantAfterUse) -> None:
    programme = programme_of(view, grant.programme)
    require_open(programme)
    require_active(party_of(view, issuer_of(grant.programme)))  # it grants something new
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
        accepted = accreditation_of(view, asked.centre.id)
        require_accepted(view, asked.programme, terms, accepted, context.time_ms)
        return accepted
    accreditation = get(view, ACCREDITATIONS, asked.centre.id)
    if accreditation is None:
        raise CentreNotAccredited(centre=asked.centre.id)
    return accreditation


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
    key = (asked.programme, asked.holder.id, asked.centre.id, month)
    if amount_at(draft, BAND_USED, *key) + asked.amount > terms.review.automatic_band:
        return False
    change_amount(draft, BAND_USED, asked.amount, *key)
    return True
