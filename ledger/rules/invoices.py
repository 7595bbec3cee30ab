"""Invoices, device time and contracts: what a claim rests on (spec T9.17 to T9.23, R12)."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from ledger.encoding import codec
from ledger.encoding.codec import (
    AtMostOne,
    BasisPoints,
    Fen,
    Hash,
    Natural,
    ProgrammeId,
    Record,
    SerialId,
    Slug,
    only,
)
from ledger.encoding.crypto import tagged_hash
from ledger.rules import calendar, money
from ledger.rules.centres import Accreditation, devices_of, rate_for
from ledger.rules.control import require_tag_epoch
from ledger.rules.parties import Party
from ledger.rules.programmes import ServiceClass, Terms, terms_of
from ledger.rules.refusals import (
    BaseExceedsContract,
    CapacityExceeded,
    CeilingExceeded,
    ContractCapExceeded,
    ContractDiffers,
    ContractMissing,
    ContractTooLong,
    EnergyExceeded,
    InvoiceDiffers,
    InvoiceUsed,
    PeriodEmpty,
    ProgrammesNotStackable,
    RatesMixed,
    TariffExceeded,
    UsageInFuture,
    UsageMissing,
    UsageTooOld,
)
from ledger.rules.sums import Amount, amount_at, change_amount
from ledger.rules.vouchers import PositiveFen
from ledger.view import Draft, StateView, Table, get, must

USAGE_ROWS_MAX = 64
HOUR_MS = 3_600_000
DAY_GPU_MS = 24 * HOUR_MS
USAGE_AGE_MAX_DAYS = 400
"""How far back use may lie."""


class Invoice(Record, frozen=True):
    """The centre's bill, by a keyed tag so that nobody can guess its number."""

    tag: Hash
    tag_epoch: Natural
    net: PositiveFen
    """What the bill asks, in fen without tax."""
    base: PositiveFen
    """The part of it that the programme's rate applies to."""


class Contract(Record, frozen=True):
    """The contract behind an invoice, by a keyed tag."""

    tag: Hash
    amount: PositiveFen
    """Of the whole contract, in fen."""
    start_day: Natural
    end_day: Natural
    """Days since 1970-01-01; the contract has end − start of them."""


class Usage(Record, frozen=True):
    """Device time on one day."""

    chip: Slug
    day: Natural
    """Days since 1970-01-01 at +08:00."""
    gpu_ms: PositiveFen
    """Milliseconds summed over devices."""
    energy_wh: Natural


UsageRows = Annotated[tuple[Usage, ...], Meta(max_length=USAGE_ROWS_MAX)]


class InvoiceUse(Record, frozen=True):
    """A claim that rests on an invoice."""

    programme: ProgrammeId
    terms_version: Natural
    claim: SerialId


class InvoiceRecord(Record, frozen=True):
    """What was claimed of an invoice, over all programmes (R12.1, invariant I4)."""

    centre: Slug
    holder: Slug
    net: Fen
    base: Fen
    usage: Hash
    """Tagged hash of the usage rows."""
    ceiling: BasisPoints
    """The least ceiling of the terms that claimed it."""
    pending: Fen
    accepted: Fen
    uses: tuple[InvoiceUse, ...]


class ContractRecord(Record, frozen=True):
    """A contract as it was first shown: it stays so while a claim rests on it."""

    centre: Slug
    holder: Slug
    amount: Fen
    start_day: Natural
    end_day: Natural
    claims: Natural
    """Claims that rest on it; with none it is as good as new."""


INVOICES = Table("invoice", InvoiceRecord)
"""By invoice tag in hex."""
CONTRACTS = Table("contract", ContractRecord, running_sum=True)
"""By contract tag in hex. It counts its claims, so each of them writes it."""
CONTRACT_BASE = Table("contract-base", Amount, running_sum=True)
"""By programme and contract tag in hex: the bases of its invoices."""
CONTRACT_PAID = Table("contract-paid", Amount, running_sum=True)
"""By programme and contract tag in hex: what its claims have pending and accepted."""
DEVICE_TIME = Table("device-time", Amount, running_sum=True)
"""By centre, chip and day: claimed gpu_ms."""


class Shown(Record, frozen=True):
    """What a redemption shows: the part of T9 that is about the bill."""

    centre: Slug
    holder: Slug
    programme: ProgrammeId
    invoice: Invoice
    contract: AtMostOne[Contract]
    service_class: ServiceClass
    usage: UsageRows


def usage_hash(rows: Sequence[Usage]) -> bytes:
    """Return the hash by which two claims on an invoice show the same usage."""
    return tagged_hash("tallystick/usage/v1", *map(codec.encode, rows))


def find_invoice(view: StateView, shown: Shown, terms: Terms) -> InvoiceRecord | None:
    """Return the invoice if another programme's claim rests on it, None if it is as new (T9.17).

    Raises TagEpochUnknown, InvoiceDiffers, InvoiceUsed or ProgrammesNotStackable.
    """
    require_tag_epoch(view, shown.invoice.tag_epoch)
    invoice = get(view, INVOICES, shown.invoice.tag.hex())
    if invoice is None or not invoice.uses:
        return None
    for field, known, given in (
        ("centre", invoice.centre, shown.centre),
        ("holder", invoice.holder, shown.holder),
        ("net", invoice.net, shown.invoice.net),
        ("base", invoice.base, shown.invoice.base),
        ("usage", invoice.usage, usage_hash(shown.usage)),
    ):
        if known != given:
            raise InvoiceDiffers(claim=invoice.uses[0].claim, field=field)
    for use in invoice.uses:
        if use.programme == shown.programme:
            raise InvoiceUsed(claim=use.claim)
    for use in invoice.uses:
        theirs = terms_of(view, use.programme, use.terms_version).stackable
        if use.programme not in terms.stackable or shown.programme not in theirs:
            raise ProgrammesNotStackable(first=use.programme, second=shown.programme)
    return invoice


def count_usage(
    draft: Draft, rows: Sequence[Usage], accreditation: Accreditation, time_ms: int
) -> None:
    """Count device time in against the accredited devices and their power (T9.18)."""
    today = calendar.day_of(time_ms)
    for row in rows:
        devices = devices_of(accreditation, row.chip)
        if row.day > today:
            raise UsageInFuture(day=row.day, today=today)
        key = (accreditation.centre, row.chip, str(row.day))
        free = devices.count * DAY_GPU_MS - amount_at(draft, DEVICE_TIME, *key)
        if row.gpu_ms > free:
            raise CapacityExceeded(
                centre=accreditation.centre,
                chip=row.chip,
                day=row.day,
                asked=row.gpu_ms,
                available=max(0, free),
            )
        allowed_wh = row.gpu_ms * devices.power_w // HOUR_MS
        if row.energy_wh > allowed_wh:
            raise EnergyExceeded(
                chip=row.chip, day=row.day, energy_wh=row.energy_wh, allowed_wh=allowed_wh
            )
        change_amount(draft, DEVICE_TIME, row.gpu_ms, *key)


def require_usage(rows: Sequence[Usage]) -> None:
    """Raise UsageMissing unless some device time is shown."""
    if not rows:
        raise UsageMissing()


def single_rate(
    shown: Shown, terms: Terms, holder: Party, accreditation: Accreditation, earliest: int
) -> int:
    """Return the one rate that all usage rows fall under, none before a day (T9.19)."""
    rates = []
    for row in shown.usage:
        origin = devices_of(accreditation, row.chip).origin
        if row.day < earliest:
            raise UsageTooOld(day=row.day, earliest=earliest)
        rates.append(
            rate_for(
                terms,
                holder_class=holder.party_class,
                chip_origin=origin,
                service_class=shown.service_class,
                ownership=accreditation.ownership,
            )
        )
    for rate in rates:
        if rate != rates[0]:
            raise RatesMixed(first=rates[0], second=rate)
    return rates[0]


def require_tariff(shown: Shown, accreditation: Accreditation) -> None:
    """Raise TariffExceeded if the base is above device time at the highest tariff (R12.2)."""
    ceilings = [devices_of(accreditation, row.chip).tariff_ceiling for row in shown.usage]
    worth = sum(row.gpu_ms * ceiling for row, ceiling in zip(shown.usage, ceilings, strict=True))
    if shown.invoice.base > worth // HOUR_MS:
        raise TariffExceeded(base=shown.invoice.base, allowed=worth // HOUR_MS)


def use_contract(draft: Draft, shown: Shown, terms: Terms, amount: int) -> None:
    """Count an invoice and a claim in against the contract behind them (R12.3)."""
    contract = only(shown.contract)
    if contract is None:
        if (
            terms.grant == "after_use"
            or terms.caps.contract_max
            or terms.base_period
            or terms.contract_days_max
        ):
            raise ContractMissing(programme=shown.programme)
        return
    tag = contract.tag.hex()
    known = get(draft, CONTRACTS, tag)
    claims = 0 if known is None else known.claims
    record = ContractRecord(
        centre=shown.centre,
        holder=shown.holder,
        amount=contract.amount,
        start_day=contract.start_day,
        end_day=contract.end_day,
        claims=claims + 1,
    )
    for field in ("centre", "holder", "amount", "start_day", "end_day"):
        if claims and getattr(known, field) != getattr(record, field):
            raise ContractDiffers(field=field)
    days = contract.end_day - contract.start_day
    if days <= 0:
        raise PeriodEmpty(from_ms=contract.start_day, until_ms=contract.end_day)
    if terms.contract_days_max and days > terms.contract_days_max:
        raise ContractTooLong(days=days, allowed=terms.contract_days_max)
    allowed = allowed_base(contract, terms)
    base = amount_at(draft, CONTRACT_BASE, shown.programme, tag) + shown.invoice.base
    if base > allowed:
        raise BaseExceedsContract(base=base, allowed=allowed)
    paid = amount_at(draft, CONTRACT_PAID, shown.programme, tag)
    cap = only(terms.caps.contract_max)
    if cap is not None and paid + amount > cap:
        raise ContractCapExceeded(asked=amount, available=max(0, cap - paid))
    draft.put(CONTRACTS, record, tag)
    draft.put(CONTRACT_BASE, Amount(fen=base), shown.programme, tag)
    change_amount(draft, CONTRACT_PAID, amount, shown.programme, tag)


def allowed_base(contract: Contract, terms: Terms) -> int:
    """Return what a programme counts of a contract: all, or its days in the base period (R12.3)."""
    base_period = only(terms.base_period)
    if base_period is None:
        return contract.amount
    first_day, end_day = base_period
    used = min(contract.end_day, end_day) - max(contract.start_day, first_day)
    days = contract.end_day - contract.start_day
    share = money.share_of(contract.amount, max(0, used), days, terms.rounding)
    return min(share, contract.amount)


def require_below_ceiling(
    shown: Shown, invoice: InvoiceRecord | None, terms: Terms, amount: int
) -> None:
    """Raise CeilingExceeded if programmes together would pay too much of the base (T9.23)."""
    ceiling, taken = terms.ceiling, 0
    if invoice is not None:
        ceiling = min(ceiling, invoice.ceiling)
        taken = invoice.pending + invoice.accepted
    allowed = shown.invoice.base * ceiling // money.WHOLE_BASIS_POINTS
    if taken + amount > allowed:
        raise CeilingExceeded(asked=amount, allowed=max(0, allowed - taken))


def use_invoice(
    draft: Draft,
    shown: Shown,
    invoice: InvoiceRecord | None,
    terms: Terms,
    use: InvoiceUse,
    *,
    pending: int,
    accepted: int,
) -> None:
    """Write a claim into its invoice: a new one, or one that other programmes claimed before."""
    record = invoice or InvoiceRecord(
        centre=shown.centre,
        holder=shown.holder,
        net=shown.invoice.net,
        base=shown.invoice.base,
        usage=usage_hash(shown.usage),
        ceiling=terms.ceiling,
        pending=0,
        accepted=0,
        uses=(),
    )
    used = msgspec.structs.replace(
        record,
        ceiling=min(record.ceiling, terms.ceiling),
        pending=record.pending + pending,
        accepted=record.accepted + accepted,
        uses=(*record.uses, use),
    )
    draft.put(INVOICES, used, shown.invoice.tag.hex())


def settle_invoice(
    draft: Draft, shown: Shown, claim: str, *, pending: int, accepted: int, ended: bool
) -> None:
    """Change what an invoice has pending and accepted (R12.4).

    ``ended``: nothing of this claim stays accepted, so the invoice is free of it, and its device
    time too once no claim rests on it.
    """
    tag = shown.invoice.tag.hex()
    record = must(draft, INVOICES, tag)
    uses = tuple(use for use in record.uses if not (ended and use.claim == claim))
    changed = msgspec.structs.replace(
        record, pending=record.pending + pending, accepted=record.accepted + accepted, uses=uses
    )
    draft.put(INVOICES, changed, tag)
    if (contract := only(shown.contract)) is not None:
        key = (shown.programme, contract.tag.hex())
        change_amount(draft, CONTRACT_PAID, pending + accepted, *key)
        if ended:
            change_amount(draft, CONTRACT_BASE, -shown.invoice.base, *key)
            known = must(draft, CONTRACTS, key[1])
            fewer = msgspec.structs.replace(known, claims=known.claims - 1)
            draft.put(CONTRACTS, fewer, key[1])
    if not uses:
        for row in shown.usage:
            used = (shown.centre, row.chip, str(row.day))
            change_amount(draft, DEVICE_TIME, -row.gpu_ms, *used)
