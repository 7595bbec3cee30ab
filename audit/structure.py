"""The first level: every entry is canonical, in its place, and counted right (spec A5.1)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from audit.verdicts import Incomplete, Tampered, Unverifiable
from ledger.audit import BLOCK_ENTRIES_MAX
from ledger.blocks import BlockRecord
from ledger.encoding.codec import NotCanonical
from ledger.entries import (
    AutomaticEntry,
    ClosingEntry,
    GenesisEntry,
    TransactionEntry,
    decode_entry,
    encode_entry,
)
from ledger.inadmissible import KindUnknown
from ledger.transactions import Transaction, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedBlock:
    """The entries of one block, decoded."""

    first: int
    """Sequence number of the first entry."""
    raws: tuple[bytes, ...]
    """All entries, the closing one last."""
    automatic: AutomaticEntry | None
    logged: tuple[TransactionEntry, ...]
    transactions: tuple[Transaction, ...]
    """What their envelopes hold."""
    record: BlockRecord

    @property
    def first_transaction(self) -> int:
        """Return the sequence number of the first transaction."""
        return self.first + (self.automatic is not None)

    @property
    def last(self) -> int:
        """Return the sequence number of the closing entry."""
        return self.first + len(self.raws) - 1


def check_genesis(raw: bytes, genesis: bytes) -> None:
    """Raise Tampered unless entry 0 is the genesis."""
    if raw != encode_entry(GenesisEntry(genesis=genesis)):
        reason = "entry 0 is not the genesis" if raw else "the log is empty"
        kind = Tampered if raw else Incomplete
        raise kind(height=0, sequence=0, field="genesis", reason=reason)


def read_blocks(
    raws: Iterable[bytes], *, first: int, height: int, time_ms: int
) -> Iterator[LoggedBlock]:
    """Yield the blocks of a log from a sequence number on; raise Tampered or Incomplete.

    ``height`` and ``time_ms`` are those of the record before.
    """
    held: list[bytes] = []
    automatic: AutomaticEntry | None = None
    logged: list[TransactionEntry] = []
    transactions: list[Transaction] = []
    sequence = first
    for raw in raws:
        held.append(raw)
        try:
            entry = decode_entry(raw)
        except NotCanonical as error:
            raise _wrong(height, sequence, "entry", str(error)) from None
        if type(entry) is TransactionEntry:
            try:
                transactions.append(parse(entry.signed))
            except NotCanonical as error:
                raise _wrong(height, sequence, "signed", str(error)) from None
            except KindUnknown as error:
                raise Unverifiable(
                    height=height, sequence=sequence, field="signed", reason=str(error)
                ) from None
            logged.append(entry)
        elif isinstance(entry, ClosingEntry):
            record = entry.record
            _check_record(record, height, time_ms, sequence)
            height, time_ms = record.height, record.time_ms
            yield LoggedBlock(
                first=first,
                raws=tuple(held),
                automatic=automatic,
                logged=tuple(logged),
                transactions=tuple(transactions),
                record=record,
            )
            held, automatic, logged, transactions, first = [], None, [], [], sequence + 1
        elif isinstance(entry, AutomaticEntry) and len(held) == 1:
            automatic = entry
        else:
            name = type(entry).__name__
            raise _wrong(height, sequence, "entry", f"a {name} has no place here")
        if len(held) >= BLOCK_ENTRIES_MAX:
            reason = f"no block has more than {BLOCK_ENTRIES_MAX} entries"
            raise _wrong(height, sequence, "entry", reason)
        sequence += 1
    if held:
        reason = "the log ends inside a block"
        raise Incomplete(height=height, sequence=sequence, field="entry", reason=reason)


def _check_record(record: BlockRecord, height: int, time_ms: int, sequence: int) -> None:
    for field, is_right, reason in (
        ("height", record.height > height, f"not above {height}, that of the record before"),
        ("time_ms", record.time_ms > time_ms, f"not after {time_ms}, that of the record before"),
        ("log_size", record.log_size == sequence, f"{sequence} entries stand before it"),
    ):
        if not is_right:
            raise _wrong(max(record.height, height), sequence, f"record.{field}", reason)


def _wrong(height: int, sequence: int, field: str, reason: str) -> Tampered:
    return Tampered(height=height, sequence=sequence, field=field, reason=reason)
