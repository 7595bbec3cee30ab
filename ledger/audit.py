"""Where a log differs from what executing it again gives (spec A1)."""

from collections.abc import Sequence

import msgspec

from ledger import entries
from ledger.entries import ClosingEntry, Entry
from ledger.execute import Execution

BLOCK_ENTRIES_MAX = 4_002
"""Expiries, transactions and the closing entry of one block."""


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


def compare(raws: Sequence[bytes], execution: Execution, sequence: int) -> None:
    """Raise AuditFinding at the first entry that differs from the recomputed one."""
    height = execution.block.height
    for offset, (logged, expected) in enumerate(zip(raws, execution.entries, strict=False)):
        if logged != expected:
            field = _first_difference(entries.decode_entry(logged), entries.decode_entry(expected))
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


def _first_difference(logged: Entry, expected: Entry) -> str:
    """Return the name of the first field in which two entries differ."""
    if type(logged) is not type(expected):
        return "entry"
    if isinstance(logged, ClosingEntry) and isinstance(expected, ClosingEntry):
        return "record." + _field(logged.record, expected.record)
    return _field(logged, expected)


def _field(logged: msgspec.Struct, expected: msgspec.Struct) -> str:
    for name in logged.__struct_fields__:
        if getattr(logged, name) != getattr(expected, name):
            return name
    return "encoding"
