"""What must hold after every block; a broken one stops the node (spec I).

Sums are kept as in double-entry books: each record books amounts to named accounts, one side plus
and the other minus, so that every account is always 0. The running node adds up what a block's
writes change; an audit adds up all records from nothing. Both use the same bookings.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ledger.encoding.codec import FEN_MAX, Record, only
from ledger.rules import calendar, money
from ledger.rules.budgets import Budget
from ledger.rules.centres import Recognition
from ledger.rules.claims import REDEEMED, WAITING, Claim
from ledger.rules.clearing import Cycle
from ledger.rules.holds import HELD, HeldBy, Hold
from ledger.rules.invoices import CONTRACT_BASE, CONTRACT_PAID, InvoiceRecord
from ledger.rules.parties import RESERVED_ID, Party
from ledger.rules.payables import OpenCycle, Payable, owed_net
from ledger.rules.payments import ARRIVED, Payment
from ledger.rules.programmes import TERMS, TOTALS, Terms, Totals
from ledger.rules.reserves import Reserve
from ledger.rules.sums import Amount, serial_id
from ledger.rules.vouchers import GROUP_ISSUED, ISSUED, Voucher
from ledger.view import StateView

PARTS = ("available", "reserved", "claimed", "redeemed", "expired", "revoked")
"""Where a voucher's value can be."""

Account = tuple[str, ...]
"""What a sum is of, for people: invariant, name and key parts."""
Booking = tuple[Account, int]


class InvariantBroken(AssertionError):
    """The ledger contradicts itself: stop, never go on."""


def check_changes(before: StateView, after: Mapping[bytes, Record]) -> None:
    """Raise InvariantBroken if a block's writes break an invariant.

    ``before`` is the committed state, ``after`` the last write of each key. Costs one read of each
    changed record.
    """
    sums: dict[Account, int] = {}
    for key, record in after.items():
        check_record(key, record)
        book = _BOOKS.get(type(record), _no_bookings)
        _add(sums, book(key, record), 1)
        old = before.read(key, type(record))
        if old is not None:
            _add(sums, book(key, old), -1)
            if isinstance(record, Voucher) and isinstance(old, Voucher):
                _check(key, old.expired <= record.expired, "expired value moved")
                _check(key, old.revoked <= record.revoked, "revoked value moved")
    _require_balanced(sums)


def check_state(
    records: Iterable[tuple[bytes, Record]],
    vouchers: Iterable[tuple[bytes, Voucher]] | None = None,
) -> int:
    """Recompute every invariant from nothing over all current records; return their number.

    ``vouchers`` are those that are not among the records, by id from the last to the first: given
    them, memory does not grow with their number.
    """
    sums: dict[Account, int] = {}
    kept: list[tuple[bytes, Voucher]] = []
    grants = _Grants()
    count = 0
    for key, record in records:
        if isinstance(record, Voucher):
            kept.append((key, record))
            continue
        count += 1
        check_record(key, record)
        _settle(sums, _BOOKS.get(type(record), _no_bookings)(key, record))
        if isinstance(record, Terms) and record.grant == "after_use":
            grants.after_use[key] = None
        elif isinstance(record, Party):
            grants.groups[record.id] = "".join(group.hex() for group in record.control_group)
        elif key.startswith((ISSUED.prefix, GROUP_ISSUED.prefix)):
            assert isinstance(record, Amount)
            name, *parts = key.decode("ascii").split("/")
            _settle(sums, [(("I3", name, *parts), record.fen)])
    if vouchers is None:
        vouchers = sorted(kept, key=lambda row: row[0], reverse=True)
    else:
        assert not kept, "each voucher is given once"
    for key, voucher in vouchers:
        count += 1
        check_record(key, voucher)
        _settle(sums, _voucher_bookings(key, voucher))
        _settle(sums, grants.bookings(voucher))
    _require_balanced(sums)
    return count


def _settle(sums: dict[Account, int], booked: Iterable[Booking]) -> None:
    """Add to sums, and forget those that are settled: few are open at once."""
    for account, amount in booked:
        if amount:
            total = sums.get(account, 0) + amount
            if total:
                sums[account] = total
            else:
                del sums[account]


def _add(sums: dict[Account, int], booked: Iterable[Booking], sign: int) -> None:
    for account, amount in booked:
        if amount:  # most parts of most records are 0
            sums[account] = sums.get(account, 0) + sign * amount


def _require_balanced(sums: Mapping[Account, int]) -> None:
    for account, total in sums.items():
        if total != 0:
            raise InvariantBroken(f"{' '.join(account)}: the two sides differ by {total}")


def _no_bookings(_: bytes, __: Record) -> Iterable[Booking]:
    return ()


def _voucher_bookings(_: bytes, voucher: Voucher) -> Iterable[Booking]:
    programme = voucher.programme
    available = (("I1", "available", programme), -voucher.available)
    minted = (("I1", "minted", programme), -voucher.face)
    if voucher.available == voucher.face:  # as of most: by ``check_record`` all else is 0
        return available, minted
    return (
        available,
        minted,
        (("I1", "reserved", programme), -voucher.reserved),
        (("I1", "claimed", programme), -voucher.claimed),
        (("I1", "redeemed", programme), -voucher.redeemed),
        (("I1", "expired", programme), -voucher.expired),
        (("I1", "revoked", programme), -voucher.revoked),
        (("I1", "reserves of", voucher.id), voucher.reserved),
    )


def _totals_bookings(key: bytes, totals: Totals) -> Iterator[Booking]:
    programme = key[len(TOTALS.prefix) :].decode("ascii")
    for part in PARTS:
        yield ("I1", part, programme), getattr(totals, part)
    yield ("I1", "minted", programme), totals.minted
    yield ("I1", "claims' pending", programme), totals.claimed
    yield ("I1", "claims' accepted", programme), totals.redeemed


def _reserve_bookings(_: bytes, reserve: Reserve) -> Iterable[Booking]:
    return ((("I1", "reserves of", reserve.voucher), -reserve.left),)


def _invoice_bookings(key: bytes, invoice: InvoiceRecord) -> Iterable[Booking]:
    tag = key.decode("ascii")
    return (("I4", "pending", tag), invoice.pending), (("I4", "accepted", tag), invoice.accepted)


def _payment_bookings(_: bytes, payment: Payment) -> Iterable[Booking]:
    if payment.status == "returned":
        return ()
    side = "paid" if payment.status in ARRIVED else "pending"
    return ((("I5", side, payment.payable), -payment.amount),)


def _cycle_bookings(key: bytes, cycle: Cycle) -> Iterator[Booking]:
    yield from _net_bookings(key, cycle)
    yield ("I5", "settlement of", serial_id(RESERVED_ID, cycle.number)), cycle.amount


def _hold_bookings(_: bytes, hold: Hold) -> Iterable[Booking]:
    return () if hold.cleared_ms else ((("I7", "holds on", hold.scope, hold.thing), 1),)


def _held_bookings(key: bytes, held: HeldBy) -> Iterable[Booking]:
    scope, _, thing = key[len(HELD.prefix) :].decode("ascii").partition("/")
    return ((("I7", "holds on", scope, thing), -len(held.holds)),)


def _amount_bookings(key: bytes, amount: Amount) -> Iterable[Booking]:
    name = _SUMS.get(key.partition(b"/")[0])
    if name is None:
        return ()
    _, *parts = key.decode("ascii").split("/")
    return ((("I3", name, *parts), amount.fen),)


def _claim_bookings(_: bytes, claim: Claim) -> Iterator[Booking]:
    pending = claim.amount if claim.status in WAITING else 0
    accepted = claim.accepted - claim.credited
    tag = f"invoice/{claim.invoice.tag.hex()}"
    yield ("I1", "claims' pending", claim.programme), -pending
    yield ("I1", "claims' accepted", claim.programme), -accepted
    yield ("I4", "pending", tag), -pending
    yield ("I4", "accepted", tag), -accepted
    yield ("I5", "benefit", claim.id), accepted
    yield ("I5", "reimbursement", claim.id), accepted if claim.host else 0
    if (host := only(claim.host)) is not None:
        period = (claim.programme, host.party, str(host.period))
        yield ("I3", "used by period", *period), -pending - accepted
    if (contract := only(claim.contract)) is not None:
        account = (claim.programme, contract.tag.hex())
        yield ("I3", "contract", *account), -pending - accepted
        if pending + accepted:
            yield ("I3", "contract base", *account), -claim.invoice.base
    if (decided_ms := only(claim.decided_ms)) is not None:
        year = str(calendar.year_of(decided_ms))
        yield ("I3", "redeemed", claim.programme, year, claim.holder), -accepted


def _recognition_bookings(_: bytes, period: Recognition) -> Iterable[Booking]:
    account = ("I3", "used by period", period.programme, period.host, str(period.period))
    return ((account, period.used),)


def _net_bookings(_: bytes, cycle: OpenCycle | Cycle) -> Iterator[Booking]:
    number = str(cycle.number)
    for position in cycle.positions:
        yield ("I5", "nets of cycle", number), position.net
        yield ("I5", "net in cycle", number, position.party), position.net


def _payable_bookings(_: bytes, payable: Payable) -> Iterator[Booking]:
    owed = -payable.amount if payable.reverse else payable.amount - payable.cancelled
    if payable.leg == "settlement":
        yield ("I5", "settlement of", payable.cause), -payable.amount
    else:
        yield ("I5", payable.leg, payable.cause), -owed
    if payable.leg == "reimbursement":
        joined = payable.amount - payable.cancelled
        if (number := only(payable.cycle)) is not None:
            yield ("I5", "net in cycle", str(number), payable.debtor), joined
            yield ("I5", "net in cycle", str(number), payable.creditor), -joined
    yield ("I5", "paid", payable.id), payable.paid
    yield ("I5", "pending", payable.id), payable.pending


_SUMS = {
    REDEEMED.prefix[:-1]: "redeemed",
    CONTRACT_BASE.prefix[:-1]: "contract base",
    CONTRACT_PAID.prefix[:-1]: "contract",
}
"""Tables of sums that are booked whenever they change; grants are added up by ``check_state``."""

_BOOKS: dict[type[Record], Callable[[bytes, Any], Iterable[Booking]]] = {
    Voucher: _voucher_bookings,
    Totals: _totals_bookings,
    Reserve: _reserve_bookings,
    Claim: _claim_bookings,
    Recognition: _recognition_bookings,
    InvoiceRecord: _invoice_bookings,
    Payable: _payable_bookings,
    Payment: _payment_bookings,
    OpenCycle: _net_bookings,
    Cycle: _cycle_bookings,
    Hold: _hold_bookings,
    HeldBy: _held_bookings,
    Amount: _amount_bookings,
}
"""What books, by the type of the record: over all records, every account adds up to 0. A table,
since this runs for every write of a block."""


class _Grants:
    """What each holder and its group were issued: a voucher's face and all passed on of it.

    Of a grant after use what was not accepted counts no longer (R12.5): it has expired.
    """

    def __init__(self) -> None:
        self.after_use: dict[bytes, None] = {}
        """Keys of terms."""
        self.groups: dict[str, str] = {}
        """Each party's control group in hex, empty if it has none."""
        self._passed_on: dict[str, int] = {}

    def bookings(self, voucher: Voucher) -> Iterable[Booking]:
        """Return what a voucher books, of which all children were given before."""
        programme, holder = voucher.programme, voucher.holder
        # A child has a higher serial than its parent, so it is complete when it is added.
        issued = voucher.face + self._passed_on.pop(voucher.id, 0)
        if (parent := only(voucher.parent)) is not None:
            self._passed_on[parent] = self._passed_on.get(parent, 0) + issued
        if self.after_use and TERMS.key(programme, str(voucher.terms_version)) in self.after_use:
            issued -= voucher.expired
        year = str(voucher.year)
        by_holder = (("I3", ISSUED.name, programme, year, holder), -issued)
        group = self.groups[holder]
        if not group:
            return (by_holder,)
        return by_holder, (("I3", GROUP_ISSUED.name, programme, year, group), -issued)


def check_record(key: bytes, record: Record) -> None:
    """Raise InvariantBroken if a record by itself breaks an invariant."""
    match record:
        case Voucher():
            parts = (
                record.available,
                record.reserved,
                record.claimed,
                record.redeemed,
                record.expired,
                record.revoked,
            )
            # Most records of a block are vouchers: what is in order needs no second look.
            if min(parts) < 0 or sum(parts) != record.face or record.face > FEN_MAX:
                _check_range(key, record, "face", *PARTS)
                _check(key, sum(parts) == record.face, "face")
        case Amount():
            if not 0 <= record.fen <= FEN_MAX:  # most of the others are sums
                _check_range(key, record, "fen")
        case Totals():
            _check_range(key, record, "minted", *PARTS)
            _check(key, sum(getattr(record, part) for part in PARTS) == record.minted, "minted")
        case Budget():
            _check_range(key, record, "committed", "appropriated")
            _check(key, record.committed <= record.appropriated, "committed above appropriated")
        case Reserve():
            _check_range(key, record, "left")
            _check(key, record.left <= record.amount, "more left than was reserved")
        case Claim():
            _check_range(key, record, "accepted", "credited")
            _check(key, record.credited <= record.accepted <= record.amount, "accepted")
        case InvoiceRecord():
            _check_range(key, record, "pending", "accepted")
            ceiling = record.base * record.ceiling // money.WHOLE_BASIS_POINTS
            _check(key, record.base <= record.net, "base above net")
            _check(key, record.pending + record.accepted <= ceiling, "above the ceiling")
        case Payable():
            _check_range(key, record, "cancelled", "reversed", "paid", "pending", "written_off")
            paid = record.paid + record.pending + record.written_off
            _check(key, record.cancelled + paid <= record.amount, "paid above due")
            _check(key, record.cancelled + record.reversed <= record.amount, "credited above due")
        case OpenCycle():
            owed = owed_net(position.net for position in record.positions)
            _check(key, owed <= FEN_MAX, "nets above the range of amounts")
        case Cycle():
            _check_range(key, record, "amount")


def _check(key: bytes, holds: bool, claim: str) -> None:
    if not holds:
        raise InvariantBroken(f"{key.decode('ascii')}: {claim}")


def _check_range(key: bytes, record: Record, *names: str) -> None:
    for name in names:
        amount = getattr(record, name)
        if not 0 <= amount <= FEN_MAX:
            raise InvariantBroken(f"{key.decode('ascii')}: {name} is {amount}")
