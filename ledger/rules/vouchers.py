"""Vouchers: mint, transfer, extend, revoke, and where value goes (spec T7, T8, T16, T17, R11)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger.encoding.codec import (
    FEN_MAX,
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
from ledger.rules import calendar, money
from ledger.rules.attestations import require_eligible
from ledger.rules.base import ENVELOPE_BYTES_MAX, Context, Kind, Outcome, Posting
from ledger.rules.budgets import commit_budget, return_budget
from ledger.rules.holds import Scope, require_not_held
from ledger.rules.parties import (
    PARTIES,
    Party,
    party_of,
    require_active,
    require_free,
    require_kind,
    stopped_so_far,
)
from ledger.rules.programmes import (
    TOTALS,
    VALIDITY_DAYS_MAX,
    Terms,
    issuer_of,
    programme_of,
    require_in_force,
    require_open,
    terms_of,
)
from ledger.rules.refusals import (
    DecisionMinted,
    ExtensionInvalid,
    GrantIsAfterUse,
    GrantOutOfBounds,
    GroupCapExceeded,
    HolderCapExceeded,
    TransferNotAllowed,
    TransfersTooMany,
    TransferToSelf,
    VoucherExhausted,
    VoucherExpired,
    VoucherNotHeld,
    VoucherUnknown,
)
from ledger.rules.successors import acting_for
from ledger.rules.sums import Amount, amount_at, change_amount, serial_id
from ledger.view import Draft, StateView, Table, get, must

MINT_ROWS_MAX = 1_000
GIVEN_BACK_MAX_MS = 30 * calendar.DAY_MS
"""How much of its holders' stopped time a voucher is given back, until it is extended."""
TRANSFERS_MAX = 16
"""Through how many transfers value may go: each move of a voucher looks at all before it."""

PositiveFen = Annotated[int, Meta(ge=1, le=FEN_MAX)]
Part = Literal["available", "reserved", "claimed", "redeemed", "expired", "revoked"]
"""Where a voucher's value can be."""


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
    """First millisecond at which the voucher is no longer good, but for R11.1."""
    due_ms: Natural
    """When expiry looks at it next, if value is available (R8.1)."""
    stopped_ms: Natural
    """How long its holder had been stopped when it got the voucher (R11.1)."""
    given_back_ms: Natural
    """How much of its holders' stopped time it was given back before (R11.1)."""
    terms_version: Natural
    year: Natural
    """Fiscal year of the mint, whose budget carries it."""
    minted_day: Natural
    """Day of the mint: it pays for no use before."""
    parent: AtMostOne[SerialId]
    """The voucher that this one was transferred out of."""
    depth: Natural
    """How many transfers it came through: 0 if it was minted."""


VOUCHERS = Table("voucher", Voucher)
ISSUED = Table("issued", Amount, running_sum=True)
"""By programme, year of mint and holder: what the cap on grants counts."""
GROUP_ISSUED = Table("group-issued", Amount, running_sum=True)
"""By programme, year of mint and control group in hex."""


class MintedDecision(Record, frozen=True):
    """What a grant decision became: no second voucher is minted of it."""

    voucher: SerialId


DECISIONS = Table("decision", MintedDecision)
"""By programme and the decision in hex."""


class MintRow(Record, frozen=True):
    """One voucher of a mint batch."""

    holder: Slug
    amount: PositiveFen
    decision: Hash
    """Names the grant decision (X8): one decision makes one voucher of a programme."""


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


class Extend(Record, frozen=True, tag="voucher.extend"):
    """A city gives a voucher more time (T16)."""

    voucher: SerialId
    until_day: Natural
    """Last good day, since 1970-01-01 at +08:00."""
    case: Hash


class Revoke(Record, frozen=True, tag="voucher.revoke"):
    """A city takes available value back (T17)."""

    voucher: SerialId
    amount: PositiveFen
    case: Hash


def voucher_id(programme_id: str, serial: int) -> str:
    """Return the id of a programme's voucher."""
    return serial_id(programme_id, serial)


def serial_of(voucher: str) -> int:
    """Return the serial in a voucher's id."""
    return int(voucher.rsplit(".", 1)[1])


def held_voucher(view: StateView, voucher: str, holder: str) -> Voucher:
    """Return a voucher that the party holds; raise VoucherNotHeld."""
    record = get(view, VOUCHERS, voucher)
    if record is None or record.holder != holder:
        raise VoucherNotHeld(voucher=voucher, party=holder)
    return record


def held_with(view: StateView, voucher: Voucher) -> tuple[tuple[Scope, str], ...]:
    """Return a voucher and those that it was transferred out of: a hold on one holds it (R10.4)."""
    line: list[tuple[Scope, str]] = [("voucher", voucher.id)]
    while (parent := only(voucher.parent)) is not None:
        line.append(("voucher", parent))
        voucher = must(view, VOUCHERS, parent)
    return tuple(line)


def voucher_of(view: StateView, voucher: str) -> Voucher:
    """Return a voucher; raise VoucherUnknown."""
    record = get(view, VOUCHERS, voucher)
    if record is None:
        raise VoucherUnknown(voucher=voucher)
    return record


def given_back(voucher: Voucher, holder: Party, time_ms: int) -> int:
    """Return how much of its holders' stopped time a voucher is given back, in ms (R11.1)."""
    since_ms = stopped_so_far(holder, time_ms) - voucher.stopped_ms
    return min(voucher.given_back_ms + since_ms, GIVEN_BACK_MAX_MS)


def expiry_of(voucher: Voucher, holder: Party, context: Context) -> int:
    """Return the first millisecond at which a voucher is no longer good (R11.1).

    Neither a pause of the ledger nor a recovery of its holder's keys costs a voucher its time.
    """
    return context.put_off(voucher.expires_at_ms + given_back(voucher, holder, context.time_ms))


def require_unexpired(voucher: Voucher, holder: Party, context: Context) -> int:
    """Return a voucher's expiry; raise VoucherExpired if it is over."""
    expiry = expiry_of(voucher, holder, context)
    if context.time_ms >= expiry:  # block time, so a replay years later agrees
        raise VoucherExpired(voucher=voucher.id, expires_at_ms=expiry, time_ms=context.time_ms)
    return expiry


def require_available(voucher: Voucher, amount: int) -> None:
    """Raise VoucherExhausted unless ``amount`` fen are available."""
    if amount > voucher.available:
        raise VoucherExhausted(asked=amount, available=voucher.available)


def count_issued(
    draft: Draft, terms: Terms, programme_id: str, year: int, party: Party, amount: int
) -> None:
    """Count a grant or a transfer in against the recipient's caps (R4.2).

    Raises HolderCapExceeded or GroupCapExceeded (invariant I3).
    """
    key = (programme_id, str(year), party.id)
    issued = amount_at(draft, ISSUED, *key)
    cap = only(terms.caps.holder_year_issued)
    if cap is not None and issued + amount > cap:
        raise HolderCapExceeded(
            party=party.id, year=year, asked=amount, available=max(0, cap - issued)
        )
    draft.put(ISSUED, Amount(fen=money.add(issued, amount)), *key)
    group = only(party.control_group)
    if group is None:
        return
    group_key = (programme_id, str(year), group.hex())
    issued = amount_at(draft, GROUP_ISSUED, *group_key)
    cap = only(terms.caps.group_year_issued)
    if cap is not None and issued + amount > cap:
        raise GroupCapExceeded(
            group=group.hex(),
            year=year,
            asked=amount,
            available=max(0, cap - issued),
        )
    draft.put(GROUP_ISSUED, Amount(fen=money.add(issued, amount)), *group_key)


def uncount_issued(draft: Draft, programme_id: str, year: int, party: Party, amount: int) -> None:
    """Take a grant after use that was not accepted off its holder's caps (R12.5)."""
    change_amount(draft, ISSUED, -amount, programme_id, str(year), party.id)
    for group in party.control_group:
        change_amount(draft, GROUP_ISSUED, -amount, programme_id, str(year), group.hex())


def apply_mint(view: StateView, tx: Mint, context: Context) -> Outcome:
    """Return the writes of a mint batch. Checks run in the order of T7."""
    programme = programme_of(view, tx.programme)
    city = party_of(view, issuer_of(tx.programme))
    context.signers.require_officers(city.id, "mint")
    require_active(city)
    require_open(programme)
    require_in_force(view, programme, tx.terms_version)
    terms = terms_of(view, tx.programme, programme.version)
    if terms.grant == "after_use":
        raise GrantIsAfterUse(programme=tx.programme)
    expires_at_ms = calendar.expiry_ms(context.time_ms, terms.validity_days)
    draft = Draft(view)
    first = must(view, TOTALS, tx.programme).next_serial
    total = 0
    eligible: dict[str, Party] = {}
    for serial, row in enumerate(tx.rows, first):
        mint_decision(draft, tx.programme, row.decision, serial)
        if row.holder not in eligible:
            party = party_of(view, row.holder)
            require_kind(party, "holder")
            require_eligible(view, terms.eligibility, party, context.time_ms)
            eligible[row.holder] = party
        require_grant(draft, terms, tx.programme, eligible[row.holder], row.amount, context)
        total = money.add(total, row.amount)
    for row in tx.rows:
        new_voucher(
            draft,
            tx.programme,
            eligible[row.holder],
            row.amount,
            expires_at_ms=expires_at_ms,
            terms_version=programme.version,
            minted_day=calendar.day_of(context.time_ms),
            year=calendar.year_of(context.time_ms),
            time_ms=context.time_ms,
        )
    change_totals(draft, tx.programme, minted=total, available=total)
    posting = Posting(
        kind="mint",
        programme=tx.programme,
        serial=first,
        count=len(tx.rows),
        amount=total,
        source=city.id,
        target="available",
    )
    return Outcome(changes=draft.changes(), postings=(posting,))


MINT = Kind(
    record=Mint,
    apply=apply_mint,
    bytes_max=ENVELOPE_BYTES_MAX,
    rows=lambda tx: len(tx.rows),
    amount=lambda tx: sum(row.amount for row in tx.rows),
)


def mint_decision(draft: Draft, programme_id: str, decision: bytes, serial: int) -> None:
    """Note of which voucher a decision is; raise DecisionMinted if it has one (T7.7)."""
    known = get(draft, DECISIONS, programme_id, decision.hex())
    if known is not None:
        raise DecisionMinted(programme=programme_id, decision=decision.hex(), voucher=known.voucher)
    minted = MintedDecision(voucher=voucher_id(programme_id, serial))
    draft.put(DECISIONS, minted, programme_id, decision.hex())


def require_grant(
    draft: Draft, terms: Terms, programme_id: str, party: Party, amount: int, context: Context
) -> None:
    """Count a grant in against its bounds, caps and budget; raise if one does not hold (T7.7)."""
    minimum = terms.caps.grant_min[0] if terms.caps.grant_min else 1
    maximum = terms.caps.grant_max[0] if terms.caps.grant_max else FEN_MAX
    if not minimum <= amount <= maximum:
        raise GrantOutOfBounds(asked=amount, minimum=minimum, maximum=maximum)
    year = calendar.year_of(context.time_ms)
    count_issued(draft, terms, programme_id, year, party, amount)
    commit_budget(draft, terms, programme_id, year, amount)


def new_voucher(
    draft: Draft,
    programme_id: str,
    holder: Party,
    amount: int,
    *,
    expires_at_ms: int,
    terms_version: int,
    minted_day: int,
    year: int,
    time_ms: int,
    given_back_ms: int = 0,
    parent: tuple[str, ...] = (),
    depth: int = 0,
) -> Voucher:
    """Write a voucher with the programme's next serial; the totals' parts are the caller's."""
    totals = must(draft, TOTALS, programme_id)
    voucher = Voucher(
        id=voucher_id(programme_id, totals.next_serial),
        programme=programme_id,
        holder=holder.id,
        face=amount,
        available=amount,
        reserved=0,
        claimed=0,
        redeemed=0,
        expired=0,
        revoked=0,
        expires_at_ms=expires_at_ms,
        due_ms=expires_at_ms + given_back_ms,
        stopped_ms=stopped_so_far(holder, time_ms),
        given_back_ms=given_back_ms,
        terms_version=terms_version,
        year=year,
        minted_day=minted_day,
        parent=parent,
        depth=depth,
    )
    draft.put(VOUCHERS, voucher, voucher.id)
    counted = msgspec.structs.replace(totals, next_serial=totals.next_serial + 1)
    draft.put(TOTALS, counted, programme_id)
    return voucher


def apply_transfer(view: StateView, tx: Transfer, context: Context) -> Outcome:
    """Return the writes of a transfer. Checks run in the order of T8."""
    holder = party_of(view, tx.holder)
    require_kind(holder, "holder")
    context.signers.require_threshold(holder.id, holder.threshold)
    require_free(holder, context.time_ms)
    voucher = held_voucher(view, tx.voucher, tx.holder)
    require_not_held(
        view, ("party", holder.id), ("programme", voucher.programme), *held_with(view, voucher)
    )
    terms = terms_of(view, voucher.programme, voucher.terms_version)
    recipient = party_of(view, tx.recipient)
    if recipient.id == holder.id:
        raise TransferToSelf(party=holder.id)
    require_kind(recipient, "holder")
    # Else anybody could fill a rival's caps with a voucher that is about to expire.
    context.signers.require_threshold(recipient.id, recipient.threshold)
    require_free(recipient, context.time_ms)
    same_group = holder.control_group != () and holder.control_group == recipient.control_group
    if terms.transfer == "none" or (terms.transfer == "same_group" and not same_group):
        raise TransferNotAllowed(programme=voucher.programme, rule=terms.transfer)
    require_unexpired(voucher, holder, context)
    require_available(voucher, tx.amount)
    require_eligible(view, terms.eligibility, recipient, context.time_ms)
    draft = Draft(view)
    count_issued(draft, terms, voucher.programme, voucher.year, recipient, tx.amount)
    if voucher.depth >= TRANSFERS_MAX:
        raise TransfersTooMany(voucher=voucher.id, maximum=TRANSFERS_MAX)
    parent = msgspec.structs.replace(
        voucher, face=voucher.face - tx.amount, available=voucher.available - tx.amount
    )
    draft.put(VOUCHERS, parent, parent.id)
    child = new_voucher(
        draft,
        voucher.programme,
        recipient,
        tx.amount,
        expires_at_ms=voucher.expires_at_ms,
        terms_version=voucher.terms_version,
        minted_day=voucher.minted_day,
        year=voucher.year,
        time_ms=context.time_ms,
        given_back_ms=given_back(voucher, holder, context.time_ms),
        parent=(voucher.id,),
        depth=voucher.depth + 1,
    )
    posting = Posting(
        kind="transfer",
        programme=voucher.programme,
        serial=serial_of(child.id),
        count=1,
        amount=tx.amount,
        source=holder.id,
        target=recipient.id,
    )
    return Outcome(changes=draft.changes(), postings=(posting,))


TRANSFER = Kind(record=Transfer, apply=apply_transfer)


def apply_extend(view: StateView, tx: Extend, context: Context) -> Outcome:
    """Return the write of a longer validity. Checks run in the order of T16."""
    voucher = voucher_of(view, tx.voucher)
    context.signers.require_officers(acting_for(view, issuer_of(voucher.programme)).id, "review")
    holder = must(view, PARTIES, voucher.holder)
    expiry = require_unexpired(voucher, holder, context)
    until_ms = calendar.end_of_day_ms(tx.until_day)
    latest_ms = calendar.expiry_ms(context.time_ms, VALIDITY_DAYS_MAX)
    if not expiry < until_ms <= latest_ms:
        raise ExtensionInvalid(asked_ms=until_ms, after_ms=expiry, latest_ms=latest_ms)
    draft = Draft(view)
    extended = msgspec.structs.replace(
        voucher,
        expires_at_ms=until_ms,
        due_ms=until_ms,
        stopped_ms=stopped_so_far(holder, context.time_ms),
        given_back_ms=0,
    )
    draft.put(VOUCHERS, extended, voucher.id)
    return Outcome(changes=draft.changes())


EXTEND = Kind(record=Extend, apply=apply_extend)


def apply_revoke(view: StateView, tx: Revoke, context: Context) -> Outcome:
    """Return the writes that take value back. Checks run in the order of T17."""
    voucher = voucher_of(view, tx.voucher)
    context.signers.require_officers(acting_for(view, issuer_of(voucher.programme)).id, "review")
    require_available(voucher, tx.amount)
    draft = Draft(view)
    posting = move_value(
        draft,
        voucher.id,
        source="available",
        target="revoked",
        amount=tx.amount,
    )
    return Outcome(changes=draft.changes(), postings=(posting,))


REVOKE = Kind(record=Revoke, apply=apply_revoke, amount=lambda tx: tx.amount)


def change_totals(draft: Draft, programme_id: str, **parts: int) -> None:
    """Add to parts of a programme's totals, by name; raise AmountOverflow."""
    totals = must(draft, TOTALS, programme_id)
    changed = {name: money.add(getattr(totals, name), delta) for name, delta in parts.items()}
    draft.put(TOTALS, msgspec.structs.replace(totals, **changed), programme_id)


def move_value(draft: Draft, voucher: str, *, source: Part, target: Part, amount: int) -> Posting:
    """Move ``amount`` fen between two parts of a voucher and of its programme's totals.

    What expires or is revoked returns to the funders' budget of the year of its mint (R4.4).
    Returns the posting: a burn if the value is redeemed, else a move.
    """
    before = must(draft, VOUCHERS, voucher)
    after = msgspec.structs.replace(
        before,
        **{source: getattr(before, source) - amount, target: getattr(before, target) + amount},
    )
    draft.put(VOUCHERS, after, voucher)
    change_totals(draft, before.programme, **{source: -amount, target: amount})
    if target in ("expired", "revoked"):
        return_budget(
            draft,
            terms_of(draft, before.programme, before.terms_version),
            before.programme,
            before.year,
            before=before.expired + before.revoked,
            after=after.expired + after.revoked,
        )
    return Posting(
        kind="burn" if target == "redeemed" else "move",
        programme=before.programme,
        serial=serial_of(voucher),
        count=1,
        amount=amount,
        source=source,
        target=target,
    )


def give_back(
    draft: Draft, voucher_id: str, *, source: Part, amount: int, context: Context
) -> tuple[Posting, ...]:
    """Return value of a part to the holder, or let it expire if its time is over (R11.2)."""
    if amount == 0:
        return ()
    voucher = must(draft, VOUCHERS, voucher_id)
    holder = must(draft, PARTIES, voucher.holder)
    good = context.time_ms < expiry_of(voucher, holder, context)
    posting = move_value(
        draft,
        voucher_id,
        source=source,
        target="available" if good else "expired",
        amount=amount,
    )
    return (posting,)
