"""The plain twin of ``audit.replay``: a whole log executed in one process (spec A1, A2).

Nothing that the log says is believed. Each block's transactions are executed again, and every
entry, code, posting, root and hash must come out byte for byte.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from audit import files
from engines.families import family_of
from engines.seam import CommitInvalid
from ledger import entries
from ledger.audit import BLOCK_ENTRIES_MAX, AuditFinding, compare
from ledger.blocks import BlockInput, BlockRecord, BlockRefused
from ledger.encoding.codec import NotCanonical
from ledger.encoding.crypto import verify
from ledger.entries import AutomaticEntry, ClosingEntry, GenesisEntry, TransactionEntry
from ledger.execute import Execution, Head, Verify
from ledger.genesis import log_id_of
from ledger.invariants import InvariantBroken, check_state
from ledger.ledger import Ledger, Storage
from ledger.rules.programmes import TOTALS, Programme, Totals
from ledger.rules.validators import VALIDATORS, ValidatorSetRecord
from ledger.store.lmdb_store import LmdbStore
from ledger.view import get, must

VerifyCommit = Callable[[BlockRecord, ValidatorSetRecord], None]
"""Raises whatever it likes if the block was not decided by the validators of its height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What a replay recomputed."""

    log_id: bytes
    height: int
    """Of the last block with a record."""
    record_hash: bytes
    entries: int
    blocks: int
    transactions: int
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
    blocks = transactions = 0
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
        for write in execution.writes:
            if isinstance(write.record, Programme):
                programmes[write.record.id] = None
    return ReplayReport(
        log_id=head.log_id,
        height=head.height,
        record_hash=head.record_hash,
        entries=head.log_size,
        blocks=blocks,
        transactions=transactions,
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
                misbehaviours=record.misbehaviours,
            )
        )
    except BlockRefused as error:
        raise AuditFinding(
            height=record.height, sequence=sequence, field="block", reason=str(error)
        ) from None


class CheckFailed(Exception):
    """The export is not what an honest ledger writes."""

    def __init__(self, sentence: str, details: dict[str, object]) -> None:
        super().__init__(sentence)
        self.details = details


def check_export(genesis: bytes, folder: Path) -> dict[str, object]:
    """Return what was recomputed; raise CheckFailed at the first difference.

    Nothing is believed but ``genesis``, whose hash the caller compared with the log id.
    """
    chain = family_of("").chain(log_id_of(genesis), files.read_commits(folder), verify=verify)
    try:
        with tempfile.TemporaryDirectory(prefix="tallystick-replay-") as scratch:
            store = LmdbStore(Path(scratch), durable=False)

            def verify_commit(record: BlockRecord, _: ValidatorSetRecord) -> None:
                # Heights without a record lie before it, and others may have decided those.
                chain.advance_to(record, must(store, VALIDATORS, "all"))

            report = replay(
                genesis, files.read_entries(folder), storage=store, verify_commit=verify_commit
            )
            chain.finish(must(store, VALIDATORS, "all"))
    except AuditFinding as finding:
        raise CheckFailed(
            str(finding),
            {"height": finding.height, "sequence": finding.sequence, "field": finding.field},
        ) from None
    except CommitInvalid as finding:
        raise CheckFailed(str(finding), {"height": finding.height, "field": "commit"}) from None
    except files.FileDamaged as finding:
        raise CheckFailed(str(finding), {"field": "file"}) from None
    return {
        "verdict": "every entry, signature, commit and total was recomputed",
        "log_id": report.log_id,
        "height": report.height,
        "commits": chain.height,
        "entries": report.entries,
        "transactions": report.transactions,
        "records": report.records,
        "record_hash": report.record_hash,
        "programmes": len(report.totals),
        "minted_fen": sum(totals.minted for _, totals in report.totals),
        "outstanding_fen": sum(
            totals.available + totals.reserved + totals.claimed for _, totals in report.totals
        ),
        "burned_fen": sum(totals.redeemed for _, totals in report.totals),
    }
