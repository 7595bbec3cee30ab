"""Replay: recompute everything from genesis and the log entries alone (spec A1).

Nothing that the log says is believed. Each block's transactions are executed again, and every
entry, code, posting, root and hash must come out byte for byte.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from ledger import entries
from ledger.blocks import BlockInput, BlockRecord, BlockRefused
from ledger.encoding.codec import NotCanonical
from ledger.encoding.crypto import verify
from ledger.entries import AutomaticEntry, ClosingEntry, Entry, GenesisEntry, TransactionEntry
from ledger.execute import Execution, Head, Verify
from ledger.invariants import InvariantBroken, check_state
from ledger.ledger import Ledger, Storage
from ledger.rules.governance import ValidatorSetRecord
from ledger.rules.programmes import TOTALS, Programme, Totals
from ledger.view import get

BLOCK_ENTRIES_MAX = 4_002
"""Lapses, transactions and the closing entry of one block."""

VerifyCommit = Callable[[BlockRecord, ValidatorSetRecord], None]
"""Raises whatever it likes if the block was not decided by the validators of its height."""


class AuditFinding(Exception):
    """The log is not what an honest ledger writes; names the first place where it is not."""

    def __init__(self, *, height: int, sequence: int, field: str, reason: str) -> None:
        super().__init__(f"height {height}, entry {sequence}, {field}: {reason}")
        self.height = height
        """Of the block, or of the last whole block if the block's own is not known."""
        self.sequence = sequence
        """Log position of the entry."""
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What a replay recomputed."""

    log_id: bytes
    height: int
    """Of the last block with a record."""
    app_hash: bytes
    entries: int
    blocks: int
    transactions: int
    refused: int
    """Of the transactions, those that a rule refused and the log says so."""
    records: int
    """Records of the final state, over which every invariant was recomputed."""
    totals: tuple[tuple[str, Totals], ...]
    """By programme, in order."""


def replay(
    genesis: bytes,
    log: Iterable[bytes],
    *,
    storage: Storage,
    verify_commit: VerifyCommit | None,
    verify_signature: Verify = verify,
) -> ReplayReport:
    """Execute a whole log on an empty store; raise AuditFinding at the first difference.

    ``log`` begins with entry 0. Memory does not grow with it: one block is held at a time.
    """
    ledger = Ledger(storage, verify=verify_signature)
    head = ledger.begin(genesis)
    remaining = iter(log)
    expected = entries.encode_entry(GenesisEntry(genesis=genesis))
    if next(remaining, b"") != expected:
        raise AuditFinding(height=0, sequence=0, field="genesis", reason="entry 0 is not genesis")
    blocks = transactions = refused = 0
    programmes: dict[str, None] = {}
    for raws in _blocks(remaining, ledger):
        sequence = ledger.last().log_size
        execution = _execute(ledger, raws, sequence)
        compare(raws, execution, sequence)
        assert execution.record is not None
        if verify_commit is not None:
            verify_commit(execution.record, ledger.validators(execution.record.height))
        head = ledger.commit(execution, b"")
        blocks += 1
        transactions += len(execution.results)
        refused += sum(1 for result in execution.results if result.refusal is not None)
        for write in execution.writes:
            if isinstance(write.record, Programme):
                programmes[write.record.id] = None
    return ReplayReport(
        log_id=head.log_id,
        height=head.height,
        app_hash=head.app_hash,
        entries=head.log_size,
        blocks=blocks,
        transactions=transactions,
        refused=refused,
        records=_check_state(storage, head),
        totals=tuple((name, _totals(storage, name)) for name in sorted(programmes)),
    )


def _check_state(storage: Storage, head: Head) -> int:
    """Recompute every invariant over the final state; return how many records it has."""
    try:
        return check_state(storage.records())
    except InvariantBroken as error:
        raise AuditFinding(
            height=head.height, sequence=head.log_size - 1, field="invariant", reason=str(error)
        ) from None


def _totals(storage: Storage, programme: str) -> Totals:
    totals = get(storage, TOTALS, programme)
    assert totals is not None
    return totals


def _blocks(remaining: Iterator[bytes], ledger: Ledger) -> Iterator[list[bytes]]:
    """Yield the entries of one block after the other, each list ending with its closing entry."""
    block: list[bytes] = []
    for raw in remaining:
        block.append(raw)
        head = ledger.last()
        sequence = head.log_size + len(block) - 1
        try:
            entry = entries.decode_entry(raw)
        except NotCanonical as error:
            raise AuditFinding(
                height=head.height, sequence=sequence, field="entry", reason=str(error)
            ) from None
        if isinstance(entry, ClosingEntry):
            yield block
            block = []
        elif len(block) >= BLOCK_ENTRIES_MAX:
            raise AuditFinding(
                height=head.height,
                sequence=sequence,
                field="entry",
                reason=f"no block has more than {BLOCK_ENTRIES_MAX} entries",
            )
    if block:
        head = ledger.last()
        raise AuditFinding(
            height=head.height,
            sequence=head.log_size + len(block),
            field="entry",
            reason="the log ends inside a block",
        )


def _execute(ledger: Ledger, raws: list[bytes], sequence: int) -> Execution:
    block = [entries.decode_entry(raw) for raw in raws]
    closing = block[-1]
    assert isinstance(closing, ClosingEntry)
    record = closing.record
    envelopes = []
    for offset, entry in enumerate(block[:-1]):
        if isinstance(entry, TransactionEntry):
            envelopes.append(entry.signed)
        elif not (isinstance(entry, AutomaticEntry) and offset == 0):
            raise AuditFinding(
                height=record.height,
                sequence=sequence + offset,
                field="entry",
                reason=f"a {type(entry).__name__} has no place here",
            )
    try:
        return ledger.execute(
            BlockInput(
                height=record.height,
                time_ms=record.time_ms,
                transactions=tuple(envelopes),
                faults=record.faults,
            )
        )
    except BlockRefused as error:
        raise AuditFinding(
            height=record.height, sequence=sequence, field="block", reason=str(error)
        ) from None


def compare(raws: Sequence[bytes], execution: Execution, sequence: int) -> None:
    """Raise AuditFinding at the first entry that differs from the recomputed one."""
    height = execution.block.height
    for offset, (found, expected) in enumerate(zip(raws, execution.entries, strict=False)):
        if found != expected:
            field = _first_difference(entries.decode_entry(found), entries.decode_entry(expected))
            raise AuditFinding(
                height=height,
                sequence=sequence + offset,
                field=field,
                reason="differs from what execution gives",
            )
    if len(raws) != len(execution.entries):
        raise AuditFinding(
            height=height,
            sequence=sequence + min(len(raws), len(execution.entries)),
            field="entry",
            reason=f"the log has {len(raws)} entries, execution gives {len(execution.entries)}",
        )


def _first_difference(found: Entry, expected: Entry) -> str:
    """Return the name of the first field in which two entries differ."""
    if type(found) is not type(expected):
        return "entry"
    if isinstance(found, ClosingEntry) and isinstance(expected, ClosingEntry):
        return "record." + _field(found.record, expected.record)
    return _field(found, expected)


def _field(found: msgspec.Struct, expected: msgspec.Struct) -> str:
    for name in found.__struct_fields__:
        if getattr(found, name) != getattr(expected, name):
            return name
    return "encoding"
