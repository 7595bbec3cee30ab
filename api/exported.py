"""What the rows of auditors' tables are made of (`api/columns.py`, docs/auditing.md).

What an auditor would have to look up elsewhere stands in the row: where a centre is, and whose
chips it has, both as they were accredited when the claim was made.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from api import owed
from api.columns import TABLES, Columns, Row, row_of
from api.reads import Moment, block_of, log_from
from ledger.encoding.codec import Record
from ledger.encoding.plain import plain
from ledger.entries import AutomaticEntry, TransactionEntry
from ledger.rules.budgets import BUDGETS, Budget
from ledger.rules.centres import ACCREDITATIONS, Accreditation
from ledger.rules.claims import CLAIMS, Claim
from ledger.rules.payables import Payable
from ledger.rules.payments import Payment
from ledger.rules.vouchers import Voucher
from ledger.store.lmdb_store import Snapshot
from ledger.store.rows import BlockRow
from ledger.transactions import parse

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Exported(Generic[R]):
    """A table of the records of one kind."""

    name: str
    source: Callable[[Moment, bytes, R], Row]
    """Takes a record and its key; returns what the columns read, but for ``sequence``."""

    @property
    def columns(self) -> Columns:
        """Return its columns."""
        return TABLES[self.name]

    def row(self, moment: Moment, key: bytes, record: R, sequence: int) -> Row:
        """Return a record's row."""
        return row_of(self.name, self.source(moment, key, record) | {"sequence": sequence})


def _alone(_: Moment, __: bytes, record: Record) -> Row:
    return plain(record)


def _of_claim(moment: Moment, _: bytes, claim: Claim) -> Row:
    return plain(claim) | {"accreditation": plain(_accreditation_then(moment, claim))}


def _accreditation_then(moment: Moment, claim: Claim) -> Accreditation:
    """Return the centre's accreditation that a claim was made under."""
    made, _ = next(moment.versions(CLAIMS, claim.id))
    accreditation = None
    for sequence, version in moment.versions(ACCREDITATIONS, claim.centre):
        # A store without replay may lack the first versions within a block (spec H6.8).
        if accreditation is not None and sequence > made:
            break
        accreditation = version
    assert accreditation is not None, "only accredited centres claim (T9.13)"
    return accreditation


def _of_payable(moment: Moment, _: bytes, payable: Payable) -> Row:
    return owed.PAYABLE.show(moment, payable)


def _of_budget(_: Moment, key: bytes, budget: Budget) -> Row:
    programme, year, funder = key[len(BUDGETS.prefix) :].decode("ascii").split("/")
    return plain(budget) | {"programme": programme, "year": int(year), "funder": funder}


VOUCHER: Exported[Voucher] = Exported("vouchers", _alone)
CLAIM = Exported("claims", _of_claim)
PAYABLE = Exported("payables", _of_payable)
PAYMENT: Exported[Payment] = Exported("payments", _alone)
BUDGET = Exported("budgets", _of_budget)


def posting_rows(snapshot: Snapshot, first: int, end: int) -> Iterator[tuple[int, list[Row]]]:
    """Yield the log's entries from ``first`` until ``end``: (sequence, a row for each posting).

    What moved nothing has one row without a posting.
    """
    block: BlockRow | None = None
    for sequence, entry in log_from(snapshot, first, end - first):
        if not isinstance(entry, TransactionEntry | AutomaticEntry):
            yield sequence, []  # genesis and the records of blocks
            continue
        if block is None or sequence >= block.log_size:
            block = block_of(snapshot, sequence)
        about: Row = {
            "sequence": sequence,
            "height": block.height,
            "time_ms": block.time_ms,
            "transaction": None,
            "kind": "automatic",
        }
        if isinstance(entry, TransactionEntry):
            transaction = parse(entry.signed)
            about |= {"transaction": transaction.id.hex(), "kind": transaction.kind}
        moved: list[tuple[int | None, Row | None]] = [*enumerate(map(plain, entry.postings))]
        rows = [
            about | {"position": at, "posting": posting} for at, posting in moved or [(None, None)]
        ]
        yield sequence, [row_of("postings", row) for row in rows]
