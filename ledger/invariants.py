"""What must hold after every block; a broken one stops the node (spec I)."""

from collections.abc import Mapping
from operator import attrgetter

from ledger.encoding.codec import FEN_MAX, Record
from ledger.rules.claims import Claim, InvoiceUse
from ledger.rules.programmes import TOTALS, Budget, Totals
from ledger.rules.settlement import Payable
from ledger.rules.vouchers import Amount, Voucher
from ledger.view import StateView

PARTS = ("available", "reserved", "claimed", "redeemed", "expired", "revoked")
"""Where a voucher's value can be."""


NOTHING = (0,) * len(PARTS)
_parts = attrgetter(*PARTS)
"""A record's parts in the order of PARTS."""


class InvariantBroken(AssertionError):
    """The ledger contradicts itself: stop, never go on."""


def check_changes(before: StateView, after: Mapping[bytes, Record]) -> None:
    """Raise InvariantBroken if a block's writes break an invariant.

    ``before`` is the committed state, ``after`` the last write of each key. Costs a few reads
    per changed voucher: the totals of a programme must move by what its vouchers moved.
    """
    moved: dict[str, list[int]] = {}
    accepted: dict[str, int] = {}
    owed: dict[str, int] = {}
    for key, record in after.items():
        if isinstance(record, Voucher):
            _check_parts(key, record, "face")
            old = before.read(key, Voucher)
            was = NOTHING if old is None else _parts(old)
            sums = moved.get(record.programme, NOTHING)
            moved[record.programme] = [
                total + new - gone
                for total, new, gone in zip(sums, _parts(record), was, strict=True)
            ]
        elif isinstance(record, Totals):
            _check_parts(key, record, "minted")
        elif isinstance(record, Budget):
            _check_range(key, "committed", record.committed)
            _check_range(key, "appropriated", record.appropriated)
            if record.committed > record.appropriated:
                raise InvariantBroken(f"{key!r}: committed above appropriated")
        elif isinstance(record, Payable):
            _check_range(key, "amount", record.amount)
            if record.paid > record.amount:
                raise InvariantBroken(f"{key!r}: paid above due")
            due = before.read(key, Payable)
            more = record.amount - (0 if due is None else due.amount)
            owed[record.cause] = owed.get(record.cause, 0) + more
        elif isinstance(record, Claim):
            _check_range(key, "accepted", record.accepted)
            if record.accepted > record.amount:
                raise InvariantBroken(f"{key!r}: accepted above what was asked")
            claim = before.read(key, Claim)
            accepted[record.id] = record.accepted - (0 if claim is None else claim.accepted)
        elif isinstance(record, Amount):
            _check_range(key, "sum", record.fen)
        elif isinstance(record, InvoiceUse) and not record.accepted <= record.base <= record.net:
            raise InvariantBroken(f"{key!r}: accepted {record.accepted}, base {record.base}")
    for cause in sorted(accepted.keys() | owed.keys()):
        if accepted.get(cause, 0) != owed.get(cause, 0):
            raise InvariantBroken(f"{cause}: payables do not add up to what was accepted")
    for programme, sums in moved.items():
        key = TOTALS.key(programme)
        old_totals = before.read(key, Totals)
        new_totals = after.get(key, old_totals)
        assert isinstance(new_totals, Totals) and isinstance(old_totals, Totals | None)
        was = NOTHING if old_totals is None else _parts(old_totals)
        for part, new, gone, change in zip(PARTS, _parts(new_totals), was, sums, strict=True):
            if new - gone != change:
                raise InvariantBroken(f"{programme}: {part} of the total is not its vouchers'")


def _check_parts(key: bytes, record: Voucher | Totals, whole: str) -> None:
    values = _parts(record)
    if min(values) < 0 or max(values) > FEN_MAX:
        raise InvariantBroken(f"{key!r}: parts {values} leave the range of amounts")
    if sum(values) != getattr(record, whole):
        raise InvariantBroken(f"{key!r}: parts do not add up to {whole}")


def _check_range(key: bytes, name: str, amount: int) -> None:
    if not 0 <= amount <= FEN_MAX:
        raise InvariantBroken(f"{key!r}: {name} is {amount}")
