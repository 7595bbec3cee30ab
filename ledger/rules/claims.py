"""Claims: redeeming vouchers against an invoice and device time (spec T9, R6)."""

from typing import Annotated, Literal

from msgspec import Meta

from ledger.encoding.codec import (
    Fen,
    Hash,
    Natural,
    ProgrammeId,
    Record,
    SerialId,
    Slug,
)
from ledger.encoding.crypto import tagged_hash
from ledger.rules import calendar, money
from ledger.rules.base import Context, Outcome, Posting
from ledger.rules.centres import (
    Accreditation,
    accreditation_of,
    require_accepted,
    require_distinct,
)
from ledger.rules.parties import Party, party_of, require_kind
from ledger.rules.programmes import ServiceClass, Terms, programme_of, terms_of
from ledger.rules.refusals import (
    AfterUseNotSupported,
    BaseExceedsNet,
    CapacityExceeded,
    CeilingExceeded,
    ChipNotAccredited,
    InvoiceUsed,
    ProgrammeNotOpen,
    ProgrammesNotStackable,
    RateExceeded,
    RateNone,
    RatesMixed,
    RedeemedCapExceeded,
    ReserveNotSupported,
    UsageInFuture,
    UsageMissing,
)
from ledger.rules.settlement import add_payables
from ledger.rules.vouchers import (
    Amount,
    PositiveFen,
    Voucher,
    amount_at,
    held_voucher,
    move_value,
    require_usable,
    serial_of,
)
from ledger.view import Draft, StateView, Table, get

LINES_MAX = 16
USAGE_ROWS_MAX = 64
HOUR_MS = 3_600_000
DAY_GPU_MS = 24 * HOUR_MS


class Line(Record, frozen=True):
    """What one voucher pays of a claim."""

    voucher: SerialId
    amount: PositiveFen
    reserve: Annotated[tuple[SerialId, ...], Meta(max_length=1)]


class Invoice(Record, frozen=True):
    """The centre's bill, by a keyed tag so that nobody can guess its number."""

    tag: Hash
    tag_epoch: Natural
    net: PositiveFen
    """What the bill asks, in fen without tax."""
    base: PositiveFen
    """The part of it that the programme's rate applies to."""


class Usage(Record, frozen=True):
    """Device time on one day."""

    chip: Slug
    day: Natural
    """Days since 1970-01-01 at +08:00."""
    gpu_ms: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    """Milliseconds summed over devices."""
    energy_wh: Natural


class Redeem(Record, frozen=True, tag="voucher.redeem"):
    """Present vouchers to a data centre with its invoice (T9)."""

    holder: Slug
    redeemer: Slug
    order: Annotated[str, Meta(max_length=64)]
    """The centre's own reference of the job."""
    lines: Annotated[tuple[Line, ...], Meta(max_length=LINES_MAX)]
    invoice: Invoice
    service_class: ServiceClass
    usage: Annotated[tuple[Usage, ...], Meta(max_length=USAGE_ROWS_MAX)]
    own_share: Hash
    """Commitment to the proof that the holder paid the rest of the bill."""


class Claim(Record, frozen=True):
    """A redemption on its way to a decision."""

    id: SerialId
    programme: ProgrammeId
    holder: Slug
    redeemer: Slug
    order: Annotated[str, Meta(max_length=64)]
    lines: Annotated[tuple[Line, ...], Meta(max_length=LINES_MAX)]
    invoice: Invoice
    amount: Fen
    basis_points: Natural
    accepted: Fen
    credited: Fen
    status: Literal["accepted", "under_review", "rejected", "disputed"]
    submitted_by: Annotated[tuple[Slug, ...], Meta(max_length=16)]
    """Persons of the centre who signed: none of them may decide it."""
    submitted_ms: Natural
    decided_ms: Annotated[tuple[Natural, ...], Meta(max_length=1)]


class InvoiceUse(Record, frozen=True):
    """Where an invoice was claimed (invariant I4)."""

    claim: SerialId
    net: Fen
    base: Fen
    accepted: Fen


class Counter(Record, frozen=True):
    """The next serial of a family."""

    next: Natural


CLAIMS = Table("claim", Claim)
INVOICES = Table("invoice", InvoiceUse)
"""By invoice tag in hex."""
CLAIM_SERIALS = Table("claim-serial", Counter)
"""By redeemer."""
DEVICE_TIME = Table("device-time", Amount)
"""By centre, chip and day: claimed gpu_ms."""
REDEEMED = Table("redeemed", Amount)
"""By programme, year of decision and holder: what the cap on redemption counts."""
BAND_USED = Table("band-used", Amount)
"""By programme, holder, centre and month: what was accepted without review."""


def rate_for(
    terms: Terms,
    *,
    holder_class: str,
    chip_origin: str,
    service_class: str,
    ownership: str,
) -> int:
    """Return the basis points of the first matching row; raise RateNone (R6.1)."""
    for row in terms.rates:
        if row.holder_class and row.holder_class[0] != holder_class:
            continue
        if row.chip_origin and row.chip_origin[0] != chip_origin:
            continue
        if row.service_class and row.service_class[0] != service_class:
            continue
        if row.ownership and row.ownership[0] != ownership:
            continue
        return row.basis_points
    raise RateNone(holder_class=holder_class, chip_origin=chip_origin, ownership=ownership)


def apply_redeem(view: StateView, tx: Redeem, context: Context) -> Outcome:
    """Return the writes a redemption causes. Checks run in the order of T9."""
    holder, redeemer = _require_parties(view, tx, context)
    vouchers = _require_vouchers(view, tx, context)
    programme_id = vouchers[0].programme
    terms = terms_of(view, programme_id, vouchers[0].terms_version)
    programme = programme_of(view, programme_id)
    if programme.status == "suspended":  # T9.11; a closed programme still redeems
        raise ProgrammeNotOpen(programme=programme_id, status=programme.status)
    accreditation = accreditation_of(view, redeemer.id)  # T9.12
    require_accepted(view, programme_id, terms, accreditation, context.time_ms)  # T9.13
    used = get(view, INVOICES, tx.invoice.tag.hex())
    if used is not None:  # T9.14
        raise InvoiceUsed(claim=used.claim)
    if tx.invoice.base > tx.invoice.net:  # T9.15
        raise BaseExceedsNet(base=tx.invoice.base, net=tx.invoice.net)
    draft = Draft(view)
    _count_usage(draft, tx, accreditation, context.time_ms)
    basis_points = _single_rate(tx, terms, holder, accreditation)
    amount = sum(line.amount for line in tx.lines)
    allowed = money.benefit(tx.invoice.base, basis_points, terms.rounding)
    if amount > allowed:  # T9.19
        raise RateExceeded(
            asked=amount,
            allowed=allowed,
            basis_points=basis_points,
            base=tx.invoice.base,
        )
    ceiling = tx.invoice.base * terms.ceiling // money.WHOLE_BASIS_POINTS
    if amount > ceiling:  # T9.20
        raise CeilingExceeded(asked=amount, allowed=ceiling)
    claim_id = _next_claim_id(draft, redeemer.id)
    automatic = _take_band(draft, tx, terms, programme_id, amount, context)
    if automatic:
        _count_redeemed(draft, terms, programme_id, holder.id, amount, context.time_ms)
    target = "redeemed" if automatic else "claimed"
    postings = []
    for line, voucher in zip(tx.lines, vouchers, strict=True):
        move_value(draft, voucher, source="available", target=target, amount=line.amount)
        postings.append(
            Posting(
                kind="burn" if automatic else "move",
                programme=programme_id,
                serial=serial_of(voucher.id),
                count=1,
                amount=line.amount,
                source="available",
                target=target,
            )
        )
    if automatic:
        creditor = redeemer.id if terms.payee == "provider" else holder.id
        add_payables(
            draft,
            terms,
            cause=claim_id,
            creditor=creditor,
            amount=amount,
            time_ms=context.time_ms,
        )
    accepted = amount if automatic else 0
    claim = Claim(
        id=claim_id,
        programme=programme_id,
        holder=holder.id,
        redeemer=redeemer.id,
        order=tx.order,
        lines=tx.lines,
        invoice=tx.invoice,
        amount=amount,
        basis_points=basis_points,
        accepted=accepted,
        credited=0,
        status="accepted" if automatic else "under_review",
        submitted_by=context.signers.persons(redeemer.id),
        submitted_ms=context.time_ms,
        decided_ms=(context.time_ms,) if automatic else (),
    )
    draft.put(CLAIMS, claim, claim_id)
    use = InvoiceUse(claim=claim_id, net=tx.invoice.net, base=tx.invoice.base, accepted=accepted)
    draft.put(INVOICES, use, tx.invoice.tag.hex())
    return Outcome(changes=draft.changes(), postings=tuple(postings))


def _require_parties(view: StateView, tx: Redeem, context: Context) -> tuple[Party, Party]:
    """Return holder and redeemer, both of whom signed (T9.1 to T9.4)."""
    holder = party_of(view, tx.holder)
    require_kind(holder, "holder")
    redeemer = party_of(view, tx.redeemer)
    require_kind(redeemer, "data_centre")
    context.signers.require_threshold(holder.id, holder.threshold)
    context.signers.require_threshold(redeemer.id, redeemer.threshold)
    return holder, redeemer


def _require_vouchers(view: StateView, tx: Redeem, context: Context) -> tuple[Voucher, ...]:
    """Return the lines' vouchers, each able to pay its line (T9.5 to T9.10)."""
    if not tx.lines:
        raise AfterUseNotSupported()
    if any(line.reserve for line in tx.lines):
        raise ReserveNotSupported()
    require_distinct([line.voucher for line in tx.lines])
    vouchers = tuple(held_voucher(view, line.voucher, tx.holder) for line in tx.lines)
    for line, voucher in zip(tx.lines, vouchers, strict=True):
        require_usable(voucher, line.amount, context.time_ms)
    first = vouchers[0]
    for other in vouchers[1:]:
        if (other.programme, other.terms_version) != (
            first.programme,
            first.terms_version,
        ):
            raise ProgrammesNotStackable(first=first.id, second=other.id)
    return vouchers


def _count_usage(draft: Draft, tx: Redeem, accreditation: Accreditation, time_ms: int) -> None:
    """Count device time in against the accredited devices of each day (T9.16, T9.17)."""
    if not tx.usage:
        raise UsageMissing()
    today = calendar.day_of(time_ms)
    counts = {devices.chip: devices.count for devices in accreditation.devices}
    for row in tx.usage:
        if row.chip not in counts:
            raise ChipNotAccredited(centre=accreditation.centre, chip=row.chip)
        if row.day > today:
            raise UsageInFuture(day=row.day, today=today)
        key = (accreditation.centre, row.chip, str(row.day))
        before = amount_at(draft, DEVICE_TIME, *key)
        free = counts[row.chip] * DAY_GPU_MS - before
        if row.gpu_ms > free:
            raise CapacityExceeded(
                centre=accreditation.centre,
                chip=row.chip,
                day=row.day,
                asked=row.gpu_ms,
                available=max(0, free),
            )
        draft.put(DEVICE_TIME, Amount(fen=money.add(before, row.gpu_ms)), *key)


def _single_rate(tx: Redeem, terms: Terms, holder: Party, accreditation: Accreditation) -> int:
    """Return the one rate that all usage rows fall under (T9.18)."""
    origins = {devices.chip: devices.origin for devices in accreditation.devices}
    rates = [
        rate_for(
            terms,
            holder_class=holder.party_class,
            chip_origin=origins[row.chip],
            service_class=tx.service_class,
            ownership=accreditation.ownership,
        )
        for row in tx.usage
    ]
    for rate in rates:
        if rate != rates[0]:
            raise RatesMixed(first=rates[0], second=rate)
    return rates[0]


def _next_claim_id(draft: Draft, redeemer: str) -> str:
    counter = get(draft, CLAIM_SERIALS, redeemer)
    serial = 1 if counter is None else counter.next
    draft.put(CLAIM_SERIALS, Counter(next=serial + 1), redeemer)
    return f"{redeemer}.{serial:09d}"


def _take_band(
    draft: Draft,
    tx: Redeem,
    terms: Terms,
    programme_id: str,
    amount: int,
    context: Context,
) -> bool:
    """Return whether the rules accept this claim, using up the month's band (R6.2, R6.3)."""
    every = terms.review.sample_every
    if every:
        draw = tagged_hash(
            "tallystick/sample/v1", context.previous_record_hash, context.transaction_id
        )
        if int.from_bytes(draw, "big") % every == 0:
            return False
    key = (programme_id, tx.holder, tx.redeemer, calendar.month_of(context.time_ms))
    used = amount_at(draft, BAND_USED, *key)
    if used + amount > terms.review.automatic_band:
        return False
    draft.put(BAND_USED, Amount(fen=money.add(used, amount)), *key)
    return True


def _count_redeemed(
    draft: Draft,
    terms: Terms,
    programme_id: str,
    holder: str,
    amount: int,
    time_ms: int,
) -> None:
    """Count an acceptance in against the holder's cap; raise RedeemedCapExceeded (T9.21, R6.4)."""
    year = calendar.year_of(time_ms)
    redeemed = amount_at(draft, REDEEMED, programme_id, str(year), holder)
    for cap in terms.caps.holder_year_redeemed:
        if redeemed + amount > cap:
            raise RedeemedCapExceeded(
                party=holder, year=year, asked=amount, available=max(0, cap - redeemed)
            )
    draft.put(
        REDEEMED,
        Amount(fen=money.add(redeemed, amount)),
        programme_id,
        str(year),
        holder,
    )
