"""Redemptions: vouchers presented to a data centre with its invoice (spec T9, R6)."""

from dataclasses import dataclass

import msgspec

from ledger.encoding.codec import AtMostOne, Hash, Natural, ProgrammeId, Record, Slug, only
from ledger.encoding.crypto import tagged_hash
from ledger.rules import calendar, centres, invoices, money
from ledger.rules.attestations import require_eligible, require_unrelated
from ledger.rules.base import Context, Kind, Outcome, Posting
from ledger.rules.centres import (
    ACCREDITATIONS,
    Accreditation,
    PayingHost,
    accreditation_of,
    is_accepted,
    require_accepted,
    require_distinct,
)
from ledger.rules.claims import CLAIMS, Claim, Line, Lines, accept, count_redeemed, end_waiting
from ledger.rules.holds import require_not_held
from ledger.rules.invoices import Contract, Invoice, InvoiceUse, Shown, UsageRows
from ledger.rules.parties import (
    PARTIES,
    Party,
    party_of,
    require_active,
    require_free,
    require_kind,
)
from ledger.rules.programmes import (
    ServiceClass,
    Terms,
    issuer_of,
    programme_of,
    require_in_force,
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
    PersonSubmitted,
    RateExceeded,
    ReserveMismatch,
    SignatureMissing,
    TransactionRefused,
)
from ledger.rules.reserves import OrderRef, change_left, require_good, require_left, reserve_of
from ledger.rules.successors import acts_for_one, settling_for
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
from ledger.view import Draft, StateView, Table, get, must


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
    holder_signs: bool
    """The holder consents to this very claim: the body says so, which nobody can change."""


BAND_USED = Table("band-used", Amount, running_sum=True)
"""By issuer, holder and month: what was accepted without review, everywhere."""


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
    earliest = _earliest_day(tx, asked, accreditation, context)
    basis_points = invoices.single_rate(shown, terms, holder, accreditation, earliest)
    invoices.require_tariff(shown, accreditation)
    invoices.use_contract(draft, shown, terms, amount)
    allowed = money.benefit(tx.invoice.base, basis_points, terms.rounding)
    if amount > allowed:  # T9.22
        raise RateExceeded(
            asked=amount, allowed=allowed, basis_points=basis_points, base=tx.invoice.base
        )
    invoices.require_below_ceiling(shown, claimed_before, terms, amount)
    recognition = centres.paying_host(view, programme_id, terms, accreditation, context.time_ms)
    if recognition is not None:
        centres.use_recognition(draft, recognition, amount)
    lines, postings = tx.lines, []
    if tx.grant:
        granted, posting = _grant(draft, terms, asked, context)
        lines, postings = (Line(voucher=granted.id, amount=amount, reserve=()),), [posting]
    is_good = (
        tx.holder_signs
        and not _is_late(view, centre, programme_id, terms, accreditation, context)
        and _band_left(view, programme_id, holder.id, terms, context) >= amount
    )
    automatic = is_good and not terms.review.sample_every
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
        status="to_be_drawn" if is_good else "under_review",
        host=()
        if recognition is None
        else (PayingHost(party=recognition.host, period=recognition.period),),
        holder_signed=tx.holder_signs,
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
        _take_band(draft, claim, context)
        claim = accept(draft, claim, terms, amount, context)
    elif is_good:  # what the cap forbids is refused now, and not left to the draw
        count_redeemed(Draft(draft), terms, claim, amount, context.time_ms)
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
    _require_deciders_apart(view, tx, context)
    if joint and not tx.holder_signs:
        raise SignatureMissing(party=holder.id, needed=holder.threshold, signed=0)
    if tx.holder_signs:
        context.signers.require_threshold(holder.id, holder.threshold)
        require_free(holder, context.time_ms)
    if joint:
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


def _require_deciders_apart(view: StateView, tx: Redeem, context: Context) -> None:
    """Raise PersonSubmitted if somebody signed who may decide the claim (T9.5)."""
    issuer = issuer_of(tx.lines[0].voucher if tx.lines else tx.grant[0].programme)
    for key in context.signers.keys:
        is_auditor = must(view, PARTIES, key.party).kind == "auditor"
        if is_auditor or key.party == issuer or acts_for_one(view, key.party, (issuer,)):
            raise PersonSubmitted(party=key.party, person=key.person)


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
    require_in_force(view, programme, grant.terms_version)
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


def _earliest_day(tx: Redeem, asked: Asked, accreditation: Accreditation, context: Context) -> int:
    """Return the earliest day whose use a claim may show (R12.6)."""
    today = calendar.day_of(context.time_ms)
    begun = [voucher.minted_day for voucher in asked.vouchers]
    if tx.grant:
        begun = [contract.start_day for contract in tx.contract]
    return max(today - invoices.USAGE_AGE_MAX_DAYS, accreditation.since_day, *begun)


def _is_late(
    view: StateView,
    centre: Party,
    programme_id: str,
    terms: Terms,
    accreditation: Accreditation,
    context: Context,
) -> bool:
    """Return whether what allowed a reserve has ended since: then it needs a review (R6.2)."""
    return (
        centre.status != "active"
        or programme_of(view, programme_id).status == "suspended"
        or not centres.is_in_force(view, accreditation)
        or not is_accepted(view, programme_id, terms, accreditation, context.time_ms)
    )


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
        minted_day=calendar.day_of(context.time_ms),
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


def _band_key(programme_id: str, holder: str, context: Context) -> tuple[str, str, str]:
    return issuer_of(programme_id), holder, calendar.month_of(context.time_ms)


def _band_left(
    view: StateView, programme_id: str, holder: str, terms: Terms, context: Context
) -> int:
    """Return how much of the month's band is left; below 0 if other terms allowed more (R6.2)."""
    used = amount_at(view, BAND_USED, *_band_key(programme_id, holder, context))
    return terms.review.automatic_band - used


def _take_band(draft: Draft, claim: Claim, context: Context) -> None:
    key = _band_key(claim.programme, claim.holder, context)
    change_amount(draft, BAND_USED, claim.amount, *key)


def draw(draft: Draft, claim: Claim, context: Context) -> tuple[Posting, ...]:
    """Accept a claim to be drawn, unless the draw or a rule asks for a review (R6.3)."""
    terms = terms_of(draft, claim.programme, claim.terms_version)
    drawn = tagged_hash(
        "tallystick/sample/v1", context.previous_record_hash, claim.id.encode("ascii")
    )
    trial = Draft(draft)
    if int.from_bytes(drawn, "big") % terms.review.sample_every and _still_good(
        draft, claim, terms, context
    ):
        try:
            _take_band(trial, claim, context)
            postings = end_waiting(trial, claim, claim.amount, context)
        except TransactionRefused:  # nobody is there to be refused: people decide
            pass
        else:
            draft.apply(trial.changes())
            return postings
    draft.put(CLAIMS, msgspec.structs.replace(claim, status="under_review"), claim.id)
    return ()


def _still_good(draft: Draft, claim: Claim, terms: Terms, context: Context) -> bool:
    """Return whether the rules would still accept a claim (R6.2)."""
    centre = must(draft, PARTIES, claim.centre)
    accreditation = must(draft, ACCREDITATIONS, claim.centre)
    left = _band_left(draft, claim.programme, claim.holder, terms, context)
    is_late = _is_late(draft, centre, claim.programme, terms, accreditation, context)
    return not is_late and claim.amount <= left
