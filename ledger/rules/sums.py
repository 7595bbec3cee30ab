"""Running sums and serial numbers: what would else have to be counted over all records."""

from ledger.encoding.codec import Delta, Fen, Natural, Record
from ledger.rules import money
from ledger.rules.refusals import AmountOverflow
from ledger.view import Draft, StateView, Table, get

SERIAL_MAX = 999_999_999


class Amount(Record, frozen=True):
    """A running sum, in fen unless its table says otherwise."""

    fen: Fen


class Counter(Record, frozen=True):
    """The next serial of a family."""

    next: Natural


SERIALS = Table("serial", Counter, running_sum=True)
"""By family (``claim``, ``reserve``, ``hold``, ``anchor``) and the party that counts."""


def amount_at(view: StateView, table: Table[Amount], *parts: str) -> int:
    """Return a running sum, 0 if it was never written."""
    amount = get(view, table, *parts)
    return 0 if amount is None else amount.fen


def change_amount(draft: Draft, table: Table[Amount], delta: Delta, *parts: str) -> None:
    """Add to a running sum; raise AmountOverflow beyond the range of amounts."""
    draft.put(table, Amount(fen=money.add(amount_at(draft, table, *parts), delta)), *parts)


def next_serial(draft: Draft, family: str, owner: str) -> str:
    """Count one on and return the new id, ``owner.000000001``."""
    counter = get(draft, SERIALS, family, owner)
    serial = 1 if counter is None else counter.next
    draft.put(SERIALS, Counter(next=serial + 1), family, owner)
    return serial_id(owner, serial)


def serial_id(owner: str, serial: int) -> str:
    """Return an id: serials have nine digits, so that neighbours are neighbours on disk.

    Raises AmountOverflow when a family has used all its serials (R1.4).
    """
    if serial > SERIAL_MAX:
        raise AmountOverflow(total=serial, maximum=SERIAL_MAX)
    return f"{owner}.{serial:09d}"
