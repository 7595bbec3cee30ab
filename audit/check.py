"""Checks an exported ledger: replay, every signature, every commit (spec A2)."""

import tempfile
from pathlib import Path

from audit import files
from ledger.audit import AuditFinding, replay
from ledger.blocks import BlockRecord
from ledger.genesis import log_id_of
from ledger.rules.governance import VALIDATORS, ValidatorSetRecord
from ledger.store.lmdb_store import LmdbStore
from ledger.view import must
from node.commits import CommitChain, CommitInvalid


class CheckFailed(Exception):
    """The export is not what an honest ledger writes."""

    def __init__(self, sentence: str, details: dict[str, object]) -> None:
        super().__init__(sentence)
        self.details = details


def check_export(genesis: bytes, folder: Path) -> dict[str, object]:
    """Return what was recomputed; raise CheckFailed at the first difference.

    Nothing is believed but ``genesis``, whose hash the caller compared with the log id.
    """
    chain = CommitChain(log_id_of(genesis), files.read_commits(folder))
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
        "refused": report.refused,
        "records": report.records,
        "record_hash": report.app_hash,
        "programmes": len(report.totals),
        "minted_fen": sum(totals.minted for _, totals in report.totals),
        "outstanding_fen": sum(
            totals.available + totals.reserved + totals.claimed for _, totals in report.totals
        ),
        "burned_fen": sum(totals.redeemed for _, totals in report.totals),
    }
