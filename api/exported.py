"""Rows of the tables that auditors take away (docs/auditing.md): flat, with units in the names.

What an auditor would have to look up elsewhere stands in the row: where a centre is, and whose
chips it has, both as they were accredited when the claim was made.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from api import columns
from api.columns import Columns
from api.documents import code_of
from api.owed import open_amount
from api.reads import Moment, block_of, log_from
from ledger.encoding.codec import Record
from ledger.encoding.plain import Plain, plain
from ledger.entries import AutomaticEntry, TransactionEntry
from ledger.rules.base import Posting
from ledger.rules.budgets import BUDGETS, Budget
from ledger.rules.centres import ACCREDITATIONS, Accreditation
from ledger.rules.claims import CLAIMS, Claim
from ledger.rules.payables import Payable
from ledger.rules.payments import Payment
from ledger.rules.programmes import issuer_of
from ledger.rules.vouchers import Voucher, voucher_id
from ledger.store.lmdb_store import Snapshot
from ledger.store.rows import BlockRow
from ledger.transactions import parse

R = TypeVar("R", bound=Record)
Row = dict[str, Plain]


@dataclass(frozen=True, slots=True)
class Exported(Generic[R]):
    """How records of a table become rows."""

    columns: Columns
    row: Callable[[Moment, bytes, R], Row]
    """Takes a record and its key; returns all columns but the last, ``sequence``."""


def _of_voucher(_: Moment, __: bytes, voucher: Voucher) -> Row:
    return {
        "id": voucher.id,
        "programme": voucher.programme,
        "city": issuer_of(voucher.programme),
        "holder": voucher.holder,
        "face_fen": voucher.face,
        "available_fen": voucher.available,
        "reserved_fen": voucher.reserved,
        "claimed_fen": voucher.claimed,
        "redeemed_fen": voucher.redeemed,
        "expired_fen": voucher.expired,
        "revoked_fen": voucher.revoked,
        "expires_at_ms": voucher.expires_at_ms,
        "due_ms": voucher.due_ms,
        "stopped_ms": voucher.stopped_ms,
        "terms_version": voucher.terms_version,
        "year": voucher.year,
        "parent": _optional(voucher.parent),
    }


def _of_claim(moment: Moment, _: bytes, claim: Claim) -> Row:
    centre = _accreditation_then(moment, claim)
    origins = {devices.chip: devices.origin for devices in centre.devices}
    (contract,) = claim.contract or (None,)
    domestic = [row for row in claim.usage if origins.get(row.chip) == "domestic"]
    return {
        "id": claim.id,
        "programme": claim.programme,
        "city": issuer_of(claim.programme),
        "terms_version": claim.terms_version,
        "holder": claim.holder,
        "redeemer": claim.redeemer,
        "centre_city": centre.host,
        "paying_host": _optional(claim.host),
        "order": claim.order,
        "service_class": claim.service_class,
        "status": claim.status,
        "amount_fen": claim.amount,
        "accepted_fen": claim.accepted,
        "credited_fen": claim.credited,
        "basis_points": claim.basis_points,
        "invoice_tag": claim.invoice.tag.hex(),
        "invoice_tag_epoch": claim.invoice.tag_epoch,
        "invoice_net_fen": claim.invoice.net,
        "invoice_base_fen": claim.invoice.base,
        "contract_tag": None if contract is None else contract.tag.hex(),
        "contract_amount_fen": None if contract is None else contract.amount,
        "contract_start_day": None if contract is None else contract.start_day,
        "contract_end_day": None if contract is None else contract.end_day,
        "chips": "+".join(sorted({row.chip for row in claim.usage})),
        "gpu_ms": sum(row.gpu_ms for row in claim.usage),
        "domestic_gpu_ms": sum(row.gpu_ms for row in domestic),
        "energy_wh": sum(row.energy_wh for row in claim.usage),
        "pue_milli": centre.pue_milli,
        "holder_signed": claim.holder_signed,
        "submitted_by": list(claim.submitted_by),
        "submitted_ms": claim.submitted_ms,
        "decided_ms": _optional(claim.decided_ms),
        "payables": claim.payables,
        "credits": claim.credits,
        "lines": [
            {
                "voucher": line.voucher,
                "amount_fen": line.amount,
                "reserve": _optional(line.reserve),
            }
            for line in claim.lines
        ],
        "usage": [plain(row) for row in claim.usage],
    }


def _accreditation_then(moment: Moment, claim: Claim) -> Accreditation:
    """Return the centre's accreditation that a claim was made under."""
    made, _ = next(moment.versions(CLAIMS, claim.id))
    found = None
    for sequence, version in moment.versions(ACCREDITATIONS, claim.redeemer):
        # A store without replay may lack the first versions within a block (spec H6.8).
        if found is not None and sequence > made:
            break
        found = version
    assert found is not None, "only accredited centres claim (T9.13)"
    return found


def _of_payable(moment: Moment, _: bytes, payable: Payable) -> Row:
    return {
        "id": payable.id,
        "debtor": payable.debtor,
        "creditor": payable.creditor,
        "cause": payable.cause,
        "leg": payable.leg,
        "reverse": payable.reverse,
        "amount_fen": payable.amount,
        "cancelled_fen": payable.cancelled,
        "reversed_fen": payable.reversed,
        "paid_fen": payable.paid,
        "pending_fen": payable.pending,
        "written_off_fen": payable.written_off,
        "open_fen": open_amount(moment, payable),
        "attempt": payable.attempt,
        "due_ms": payable.due_ms,
        "cycle": _optional(payable.cycle),
    }


def _of_payment(_: Moment, __: bytes, payment: Payment) -> Row:
    return {
        "id": payment.id,
        "payable": payment.payable,
        "attempt": payment.attempt,
        "amount_fen": payment.amount,
        "status": payment.status,
        "instructed_ms": payment.instructed_ms,
        "changed_ms": _optional(payment.changed_ms),
        "confirmed_by": _optional(payment.confirmed_by),
        "reason": payment.reason,
    }


def _of_budget(_: Moment, key: bytes, budget: Budget) -> Row:
    programme, year, funder = key[len(BUDGETS.prefix) :].decode("ascii").split("/")
    return {
        "programme": programme,
        "year": int(year),
        "funder": funder,
        "appropriated_fen": budget.appropriated,
        "committed_fen": budget.committed,
    }


VOUCHER = Exported(columns.VOUCHERS, _of_voucher)
CLAIM = Exported(columns.CLAIMS, _of_claim)
PAYABLE = Exported(columns.PAYABLES, _of_payable)
PAYMENT = Exported(columns.PAYMENTS, _of_payment)
BUDGET = Exported(columns.BUDGETS, _of_budget)


def posting_rows(snapshot: Snapshot, first: int, end: int) -> Iterator[tuple[int, list[Row]]]:
    """Yield the log's entries from ``first`` until ``end``: (sequence, a row for each posting).

    What was asked and moved nothing, a refusal above all, has one row without a posting.
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
            "code": code_of(entry.code),
        }
        if isinstance(entry, TransactionEntry):
            transaction = parse(entry.signed)
            about |= {"transaction": transaction.id.hex(), "kind": transaction.kind}
        rows = [
            about | {"position": position} | _of_posting(posting)
            for position, posting in enumerate(entry.postings)
        ]
        yield sequence, rows or [dict.fromkeys(columns.POSTINGS) | about]


def _of_posting(posting: Posting) -> Row:
    return {
        "posting": posting.kind,
        "programme": posting.programme,
        "voucher": voucher_id(posting.programme, posting.serial),
        "count": posting.count,
        "amount_fen": posting.amount,
        "source": posting.source,
        "target": posting.target,
    }


def _optional(value: tuple[Plain, ...]) -> Plain:
    """Return an optional field's value, or None."""
    return value[0] if value else None
