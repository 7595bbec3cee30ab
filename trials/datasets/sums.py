"""Sums over all records, made anew: they share nothing with the ledger's own bookkeeping.

A clerk with the records and an adding machine would do the same: statements by debtor and by
creditor, value by programme, and every figure that must then agree with another.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ledger.encoding.codec import Record
from ledger.rules.budgets import BUDGETS, Budget
from ledger.rules.claims import WAITING, Claim
from ledger.rules.payables import Payable
from ledger.rules.programmes import TOTALS, Totals
from ledger.rules.reserves import Reserve
from ledger.rules.vouchers import Voucher

PARTS = ("available", "reserved", "claimed", "redeemed", "expired", "revoked")


@dataclass(slots=True, kw_only=True)
class Sums:
    """All in fen, by programme unless it says otherwise."""

    totals: dict[str, Totals] = field(default_factory=dict)
    vouchers: Counter[str] = field(default_factory=Counter)
    """How many there are."""
    faces: Counter[str] = field(default_factory=Counter)
    parts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By programme and part."""
    accepted: Counter[str] = field(default_factory=Counter)
    """What claims have accepted, less credit notes."""
    waiting: Counter[str] = field(default_factory=Counter)
    """What claims under review or disputed ask for."""
    statuses: Counter[str] = field(default_factory=Counter)
    """How many claims, by status."""
    left: Counter[str] = field(default_factory=Counter)
    """What is left in reserves."""
    committed: Counter[str] = field(default_factory=Counter)
    to_payees: Counter[str] = field(default_factory=Counter)
    """Owed to centres and holders, less what they owe back."""
    from_funders: Counter[str] = field(default_factory=Counter)
    """Owed by funders, less what is owed back to them."""
    by_debtor: Counter[str] = field(default_factory=Counter)
    """Statement of each party: what it has to pay for claims, by party."""
    by_creditor: Counter[str] = field(default_factory=Counter)


def add_up(records: Iterable[tuple[bytes, Record]]) -> Sums:
    """Return the sums of all current records."""
    sums = Sums()
    claims: dict[str, tuple[str, bool]] = {}
    """Programme of each claim, and whether a host pays it."""
    payables: list[Payable] = []
    for key, record in records:
        match record:
            case Totals():
                sums.totals[key[len(TOTALS.prefix) :].decode("ascii")] = record
            case Budget():
                programme = key[len(BUDGETS.prefix) :].decode("ascii").partition("/")[0]
                sums.committed[programme] += record.committed
            case Voucher():
                sums.vouchers[record.programme] += 1
                sums.faces[record.programme] += record.face
                for part in PARTS:
                    sums.parts[record.programme, part] += getattr(record, part)
            case Reserve():
                sums.left[record.voucher.rpartition(".")[0]] += record.left
            case Claim():
                claims[record.id] = record.programme, bool(record.host)
                _add_claim(sums, record)
            case Payable():
                payables.append(record)
    for payable in payables:
        if payable.leg != "settlement":
            _add_payable(sums, payable, *claims[payable.cause])
    return sums


def _add_claim(sums: Sums, claim: Claim) -> None:
    sums.statuses[claim.status] += 1
    if claim.status in WAITING:
        sums.waiting[claim.programme] += claim.amount
    sums.accepted[claim.programme] += claim.accepted - claim.credited


def _add_payable(sums: Sums, payable: Payable, programme: str, host_pays: bool) -> None:
    owed = payable.amount - payable.cancelled
    sums.by_debtor[payable.debtor] += owed
    sums.by_creditor[payable.creditor] += owed
    signed = -owed if payable.reverse else owed
    if payable.leg == "benefit":
        sums.to_payees[programme] += signed
    if payable.leg == "reimbursement" or not host_pays:
        sums.from_funders[programme] += signed


def disagreements(sums: Sums) -> Iterator[str]:
    """Yield every figure that does not agree with the one it must agree with."""
    for programme, totals in sums.totals.items():
        pairs = {
            "faces": (sums.faces[programme], totals.minted),
            "number of vouchers": (sums.vouchers[programme], totals.next_serial - 1),
            "parts": (sum(getattr(totals, part) for part in PARTS), totals.minted),
            "accepted by claims": (sums.accepted[programme], totals.redeemed),
            "waiting in claims": (sums.waiting[programme], totals.claimed),
            "left in reserves": (sums.left[programme], totals.reserved),
            "owed to payees": (sums.to_payees[programme], totals.redeemed),
            "owed by funders": (sums.from_funders[programme], totals.redeemed),
        }
        for part in PARTS:
            pairs[part] = sums.parts[programme, part], getattr(totals, part)
        for name, (summed, stated) in pairs.items():
            if summed != stated:
                yield f"{programme}, {name}: {summed} and {stated}"
        returned = totals.minted - sums.committed[programme]
        if not 0 <= returned <= totals.expired + totals.revoked:
            yield f"{programme}: {returned} of {totals.minted} returned to its funders"
    if sums.by_debtor.total() != sums.by_creditor.total():
        yield "statements by debtor and by creditor differ"


def differences(actual: Mapping[str, int], wanted: Mapping[str, int], name: str) -> Iterator[str]:
    """Yield where two sets of sums differ; a missing one is 0."""
    for key in sorted({*actual, *wanted}):
        if actual.get(key, 0) != wanted.get(key, 0):
            yield f"{name} of {key}: {actual.get(key, 0)}, expected {wanted.get(key, 0)}"
