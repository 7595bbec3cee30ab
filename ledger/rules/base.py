"""What every rule is given and what it returns, and what a kind of transaction is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from ledger.encoding.codec import Natural, Record
from ledger.rules.authority import Signers
from ledger.view import Put, StateView

ENVELOPE_BYTES_MAX = 60_000
"""Longest envelope of any kind: with its postings it fits into one log entry (X2, L1)."""
TRANSACTION_BYTES_MAX = 16 * 1024
"""Longest envelope of a kind that does not ask for more."""


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

    log_id: bytes
    """Of the ledger (G2)."""
    time_ms: int
    """Block time."""
    height: int
    """Of the block."""
    sequence: int
    """Log position of this transaction."""
    previous_record_hash: bytes
    """Hash of the last block record; it draws claims for review (R6.3)."""
    signers: Signers
    quiet: tuple[int, int]
    """From when until when, in ms, nothing expires because of the last pause (R11.4)."""

    def put_off(self, date_ms: int) -> int:
        """Return when something expires: what the quiet time would end, ends with it (R11.4)."""
        from_ms, until_ms = self.quiet
        return max(date_ms, until_ms) if date_ms >= from_ms else date_ms


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The writes and postings of a transaction that holds."""

    changes: tuple[Put, ...]
    postings: tuple[Posting, ...] = ()


Rule = Callable[[StateView, Any, Context], Outcome]
"""Reads, checks in the order of its page, and returns the writes; raises TransactionRefused."""


def _one_row(_: Record) -> int:
    return 1


def _no_amount(_: Record) -> int:
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of transaction, declared once under its rule; all lists of kinds follow from it."""

    record: type[Record]
    """What is signed; its tag names the kind."""
    apply: Rule
    """The rule that holds from ``since`` on."""
    since: int = 1
    """The first rules version that knows the kind (R14.2)."""
    changed: tuple[tuple[int, Rule], ...] = ()
    """Rules that took its place, each with its first rules version, ascending: a log from before
    is replayed with the rule of its time."""
    allowed_while_paused: bool = False
    """Whether a pause does not stop it (R10.1)."""
    bytes_max: int = TRANSACTION_BYTES_MAX
    """Longest envelope (X2), at most ENVELOPE_BYTES_MAX."""
    rows: Callable[[Any], int] = _one_row
    """How many rows a transaction counts against a block's limit (B3.3)."""
    amount: Callable[[Any], int] = _no_amount
    """The fen that a transaction is about: for more, parameters may ask more officers (R3.1)."""

    @property
    def name(self) -> str:
        """Return the text name."""
        return str(self.record.__struct_config__.tag)

    def rule_at(self, version: int) -> Rule | None:
        """Return the rule of a rules version, None if that version does not know the kind."""
        rule = self.apply if version >= self.since else None
        for since, later in self.changed:
            if version >= since:
                rule = later
        return rule
