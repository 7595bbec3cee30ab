"""Vouchers: mint and transfer (spec T7, T8)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from ledger.encoding.codec import (
    FEN_MAX,
    Fen,
    Hash,
    Natural,
    ProgrammeId,
    Record,
    SerialId,
    Slug,
)
from ledger.encoding.crypto import sha256
from ledger.rules import calendar, money
from ledger.rules.base import Context, Outcome, Posting
from ledger.rules.parties import Party, party_of, require_kind
from ledger.rules.programmes import (
    TOTALS,
    Terms,
    Totals,
    commit_budget,
    issuer_of,
    programme_of,
    require_eligible,
    require_open,
    terms_of,
)
from ledger.rules.refusals import (
    GrantIsAfterUse,
    GrantOutOfBounds,
    GroupCapExceeded,
    HolderCapExceeded,
    TermsVersionWrong,
    TransferNotAllowed,
    TransferToSelf,
    VoucherExhausted,
    VoucherExpired,
    VoucherNotHeld,
)
from ledger.view import Draft, StateView, Table, get, must

MINT_ROWS_MAX = 1_000
SERIAL_DIGITS = 9

PositiveFen = Annotated[int, Meta(ge=1, le=FEN_MAX)]


class Voucher(Record, frozen=True):
    """Value that a programme granted to a holder.

    face = available + reserved + claimed + redeemed + expired + revoked, always.
    """

    id: SerialId
    programme: ProgrammeId
    holder: Slug
    face: Fen
    available: Fen
    reserved: Fen
    claimed: Fen
    redeemed: Fen
    expired: Fen
    revoked: Fen
    expires_at_ms: Natural
    """First millisecond at which the voucher is no longer good."""
    terms_version: Natural
    year: Natural
    """Fiscal year of the mint, whose budget carries it."""
    parent: Annotated[tuple[SerialId, ...], Meta(max_length=1)]
    """The voucher that this one was transferred out of."""


class Amount(Record, frozen=True):
    """A running sum in fen."""

    fen: Fen


VOUCHERS = Table("voucher", Voucher)
ISSUED = Table("issued", Amount)
"""By programme, year of mint and holder: what the cap on grants counts."""
GROUP_ISSUED = Table("group-issued", Amount)
"""By programme, year of mint and SHA-256 of the control group in hex."""


class MintRow(Record, frozen=True):
    """One voucher of a mint batch."""

    holder: Slug
    amount: PositiveFen
    commitment: Annotated[tuple[Hash, ...], Meta(max_length=1)]
    """Salted hash of the grant decision."""


class Mint(Record, frozen=True, tag="voucher.mint"):
    """A city grants vouchers: all rows or none (T7)."""

    programme: ProgrammeId
    terms_version: Natural
    rows: Annotated[tuple[MintRow, ...], Meta(min_length=1, max_length=MINT_ROWS_MAX)]


class Transfer(Record, frozen=True, tag="voucher.transfer"):
    """A holder passes part of a voucher on, where the programme allows it (T8)."""

    voucher: SerialId
    holder: Slug
    recipient: Slug
    amount: PositiveFen


def voucher_id(programme_id: str, serial: int) -> str:
    """Return the id of a programme's voucher: adjacent serials are adjacent on disk."""
    return f"{programme_id}.{serial:0{SERIAL_DIGITS}d}"


def serial_of(voucher: str) -> int:
    """Return the serial in a voucher's id."""
    return int(voucher.rsplit(".", 1)[1])


def held_voucher(view: StateView, voucher: str, holder: str) -> Voucher:
    """Return a voucher that the party holds; raise VoucherNotHeld."""
    found = get(view, VOUCHERS, voucher)
    if found is None or found.holder != holder:
        raise VoucherNotHeld(voucher=voucher, party=holder)
    return found


def require_usable(voucher: Voucher, amount: int, time_ms: int) -> None:
    """Raise VoucherExpired or VoucherExhausted unless ``amount`` fen can leave the voucher."""
    if time_ms >= voucher.expires_at_ms:  # block time, so a replay years later agrees
        raise VoucherExpired(
            voucher=voucher.id, expires_at_ms=voucher.expires_at_ms, time_ms=time_ms
        )
    if amount > voucher.available:
        raise VoucherExhausted(asked=amount, available=voucher.available)


def amount_at(view: StateView, table: Table[Amount], *parts: str) -> int:
    """Return a running sum, 0 if it was never written."""
    found = get(view, table, *parts)
    return 0 if found is None else found.fen


def count_issued(
    draft: Draft, terms: Terms, programme_id: str, year: int, party: Party, amount: int
) -> None:
    """Count a grant or a transfer in against the recipient's caps (R4.2).

    Raises HolderCapExceeded or GroupCapExceeded (invariant I3).
    """
    issued = amount_at(draft, ISSUED, programme_id, str(year), party.id)
    for cap in terms.caps.holder_year_issued:
        if issued + amount > cap:
            raise HolderCapExceeded(
                party=party.id, year=year, asked=amount, available=max(0, cap - issued)
            )
    draft.put(ISSUED, Amount(fen=money.add(issued, amount)), programme_id, str(year), party.id)
    if not party.control_group:
        return
    group = sha256(party.control_group.encode()).hex()
    issued = amount_at(draft, GROUP_ISSUED, programme_id, str(year), group)
    for cap in terms.caps.group_year_issued:
        if issued + amount > cap:
            raise GroupCapExceeded(
                group=party.control_group,
                year=year,
                asked=amount,
                available=max(0, cap - issued),
            )
    draft.put(
        GROUP_ISSUED,
        Amount(fen=money.add(issued, amount)),
        programme_id,
        str(year),
        group,
    )


def apply_mint(view: StateView, tx: Mint, context: Context) -> Outcome:
    """Return the writes of a mint batch. Checks run in the order of T7."""
    city = issuer_of(tx.programme)
    programme = programme_of(view, tx.programme)
    context.signers.require_officers(city, "mint")
    require_open(programme)
    if tx.terms_version != programme.version:
        raise TermsVersionWrong(current=programme.version, given=tx.terms_version)
    terms = terms_of(view, tx.programme, programme.version)
    if terms.grant == "after_use":
        raise GrantIsAfterUse(programme=tx.programme)
    year = calendar.year_of(context.time_ms)
    expires_at_ms = calendar.expiry_ms(context.time_ms, terms.validity_days)
    totals = must(view, TOTALS, tx.programme)
    serial = totals.next_serial
    total = 0
    draft = Draft(view)
    eligible: dict[str, Party] = {}
    for row in tx.rows:
        if row.holder not in eligible:
            party = party_of(view, row.holder)
            require_kind(party, "holder")
            require_eligible(view, terms, party, context.time_ms)
            eligible[row.holder] = party
        party = eligible[row.holder]
        _require_grant(terms, row.amount)
        count_issued(draft, terms, tx.programme, year, party, row.amount)
        commit_budget(draft, terms, tx.programme, year, row.amount)
        voucher = Voucher(
            id=voucher_id(tx.programme, serial),
            programme=tx.programme,
            holder=row.holder,
            face=row.amount,
            available=row.amount,
            reserved=0,
            claimed=0,
            redeemed=0,
            expired=0,
            revoked=0,
            expires_at_ms=expires_at_ms,
            terms_version=programme.version,
            year=year,
            parent=(),
        )
        draft.put(VOUCHERS, voucher, voucher.id)
        serial += 1
        total = money.add(total, row.amount)
    after = msgspec.structs.replace(
        totals,
        next_serial=serial,
        minted=money.add(totals.minted, total),
        available=money.add(totals.available, total),
    )
    draft.put(TOTALS, after, tx.programme)
    posting = Posting(
        kind="mint",
        programme=tx.programme,
        serial=totals.next_serial,
        count=len(tx.rows),
        amount=total,
        source=city,
        target="available",
    )
    return Outcome(changes=draft.changes(), postings=(posting,))


def _require_grant(terms: Terms, amount: int) -> None:
    minimum = terms.caps.grant_min[0] if terms.caps.grant_min else 1
    maximum = terms.caps.grant_max[0] if terms.caps.grant_max else FEN_MAX
    if not minimum <= amount <= maximum:
        raise GrantOutOfBounds(asked=amount, minimum=minimum, maximum=maximum)


def apply_transfer(view: StateView, tx: Transfer, context: Context) -> Outcome:
    """Return the writes of a transfer. Checks run in the order of T8."""
    holder = party_of(view, tx.holder)
    context.signers.require_threshold(holder.id, holder.threshold)
    voucher = held_voucher(view, tx.voucher, tx.holder)
    terms = terms_of(view, voucher.programme, voucher.terms_version)
    recipient = party_of(view, tx.recipient)
    if recipient.id == holder.id:
        raise TransferToSelf(party=holder.id)
    require_kind(recipient, "holder")
    same_group = holder.control_group != "" and holder.control_group == recipient.control_group
    if terms.transfer == "none" or (terms.transfer == "same_group" and not same_group):
        raise TransferNotAllowed(programme=voucher.programme, rule=terms.transfer)
    require_usable(voucher, tx.amount, context.time_ms)
    require_eligible(view, terms, recipient, context.time_ms)
    draft = Draft(view)
    count_issued(draft, terms, voucher.programme, voucher.year, recipient, tx.amount)
    totals = must(view, TOTALS, voucher.programme)
    child = Voucher(
        id=voucher_id(voucher.programme, totals.next_serial),
        programme=voucher.programme,
        holder=recipient.id,
        face=tx.amount,
        available=tx.amount,
        reserved=0,
        claimed=0,
        redeemed=0,
        expired=0,
        revoked=0,
        expires_at_ms=voucher.expires_at_ms,
        terms_version=voucher.terms_version,
        year=voucher.year,
        parent=(voucher.id,),
    )
    parent = msgspec.structs.replace(
        voucher, face=voucher.face - tx.amount, available=voucher.available - tx.amount
    )
    draft.put(VOUCHERS, parent, parent.id)
    draft.put(VOUCHERS, child, child.id)
    next_totals = msgspec.structs.replace(totals, next_serial=totals.next_serial + 1)
    draft.put(TOTALS, next_totals, voucher.programme)
    posting = Posting(
        kind="transfer",
        programme=voucher.programme,
        serial=totals.next_serial,
        count=1,
        amount=tx.amount,
        source=holder.id,
        target=recipient.id,
    )
    return Outcome(changes=draft.changes(), postings=(posting,))


def with_totals(totals: Totals, *, source: str, target: str, amount: int) -> Totals:
    """Return programme totals with ``amount`` fen moved between two parts."""
    return msgspec.structs.replace(
        totals,
        **{
            source: getattr(totals, source) - amount,
            target: getattr(totals, target) + amount,
        },
    )


def move_value(draft: Draft, voucher: Voucher, *, source: str, target: str, amount: int) -> None:
    """Move ``amount`` fen between two parts of a voucher and of its programme's totals."""
    moved = msgspec.structs.replace(
        voucher,
        **{
            source: getattr(voucher, source) - amount,
            target: getattr(voucher, target) + amount,
        },
    )
    draft.put(VOUCHERS, moved, voucher.id)
    totals = must(draft, TOTALS, voucher.programme)
    changed = with_totals(totals, source=source, target=target, amount=amount)
    draft.put(TOTALS, changed, voucher.programme)
