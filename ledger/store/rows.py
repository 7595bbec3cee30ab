"""Rows that the store keeps beside the records: blocks, indexes (not covered by any hash)."""

from collections.abc import Iterable

from ledger.encoding.codec import Hash, Natural, Record
from ledger.rules.claims import Claim
from ledger.rules.expiry import due_ms
from ledger.rules.holds import Hold
from ledger.rules.misbehaviour import MisbehaviourRecord
from ledger.rules.payables import Payable
from ledger.rules.payments import Payment
from ledger.rules.reserves import Reserve
from ledger.rules.vouchers import Voucher

HOUR_MS = 3_600_000


class BlockRow(Record, frozen=True):
    """Where a block lies in the log."""

    height: Natural
    time_ms: Natural
    record_hash: Hash
    first_sequence: Natural
    """Log position of the block's first entry."""
    log_size: Natural
    """Entries in the log after the block; equal to ``first_sequence`` if it logged nothing."""


def id_key(transaction_id: bytes, expires_at: int) -> bytes:
    """Return the index key of a transaction id: neighbours in time are neighbours on disk."""
    return (expires_at // HOUR_MS).to_bytes(4, "big") + transaction_id


def due_row(key: bytes, record: Record | None) -> bytes | None:
    """Return the index row under which a record waits for expiry, if it does (R8.1)."""
    if not isinstance(record, (Voucher, Reserve, Claim)):
        return None
    due = due_ms(record)
    return None if due is None else due.to_bytes(8, "big") + key


def party_rows(key: bytes, record: Record) -> Iterable[bytes]:
    """Return index rows ``name NUL record key`` by which a new record is found.

    A name is a party's id, or the id of what the record is about: a reserve is also found by its
    voucher, a payment by its payable, a hold by the thing it freezes, misbehaviour by the key's
    owner.
    """
    names: tuple[str, ...]
    match record:
        case Voucher(holder=holder):
            names = (holder,)
        case Claim(holder=holder, centre=centre):
            names = (holder, centre)
        case Reserve(holder=holder, centre=centre, voucher=voucher):
            names = (holder, centre, voucher)
        case Payable(debtor=debtor, creditor=creditor):
            names = (debtor, creditor)
        case Payment(payable=payable):
            names = (payable,)
        case Hold(thing=thing):
            names = (thing,)
        case MisbehaviourRecord(party=party):
            names = (party,)
        case _:
            return
    for name in dict.fromkeys(names):
        yield name.encode("ascii") + b"\0" + key
