"""What every rule is given and what it returns."""

from typing import Literal

import msgspec

from ledger.encoding.codec import Natural, Record
from ledger.rules.authority import Signers
from ledger.view import Put


class Posting(Record, frozen=True):
    """One movement of value: the log is the record of these.

    ``mint`` and ``transfer`` name the first voucher and how many; accounts are party ids or the
    parts of a voucher (``available``, ``claimed``, ``redeemed``, ``expired``).
    """

    kind: Literal["mint", "transfer", "burn", "move"]
    programme: str
    serial: Natural
    """Serial of the first voucher; a transfer names the child."""
    count: Natural
    amount: Natural
    """Sum in fen."""
    source: str
    target: str


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule may know besides state: all of it comes from signed or logged bytes."""

    time_ms: int
    """Block time."""
    height: int
    """Of the block."""
    sequence: int
    """Log position of this transaction."""
    previous_record_hash: bytes
    """Hash of the last block record; it draws the sample of claims for review."""
    transaction_id: bytes
    signers: Signers
    quiet: tuple[int, int]
    """From when until when, in ms, nothing lapses because of the last pause (R11.4)."""

    def put_off(self, date_ms: int) -> int:
        """Return when something ends: not in the quiet time, if it was good before (R11.4)."""
        from_ms, until_ms = self.quiet
        return max(date_ms, until_ms) if date_ms >= from_ms else date_ms


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The writes and postings of a transaction that holds."""

    changes: tuple[Put, ...]
    postings: tuple[Posting, ...] = ()
