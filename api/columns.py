"""The tables that auditors take away: their columns in order, what each holds and where it is from.

One declaration a table: the server makes rows of it, `tally audit export` makes files of those, and
docs/auditing.md explains it. Names end in the unit: ``_fen``, ``_wh``, ``_ms`` (since 1970, UTC;
``gpu_ms`` is device time).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Literal

from ledger.encoding.plain import Plain
from ledger.rules.programmes import issuer_of
from ledger.rules.vouchers import voucher_id

Kind = Literal["integer", "flag", "name", "text", "parts"]
"""``name`` is a text that comes again and again, such as a party; ``parts`` is a list as JSON."""
Row = dict[str, Plain]


@dataclass(frozen=True, slots=True)
class Column:
    """What stands under a column's name."""

    kind: Kind
    value: str | Callable[[Row], Plain] = ""
    """Computed from what the row is made of, or a field of it: ``invoice.net`` is a field's field.
    Without it the column reads the field of its own name."""


Columns = Mapping[str, Column]


def row_of(table: str, source: Row) -> Row:
    """Return a row from a record in plain values and what was joined to it."""
    return {name: read(source) for name, read in _readers(table)}


@cache
def _readers(table: str) -> list[tuple[str, Callable[[Row], Plain]]]:
    return [(name, _reader(column.value or name)) for name, column in TABLES[table].items()]


def _reader(value: str | Callable[[Row], Plain]) -> Callable[[Row], Plain]:
    if callable(value):
        return value
    field, *more = value.split(".")
    if not more:
        return itemgetter(field)
    (inner,) = more
    return lambda source: None if source[field] is None else source[field][inner]


def _city(source: Row) -> Plain:
    return issuer_of(source["programme"])


def _first_voucher(source: Row) -> Plain:
    posting = source["posting"]
    return None if posting is None else voucher_id(posting["programme"], posting["serial"])


def _chips(source: Row) -> Plain:
    return "+".join(sorted({usage["chip"] for usage in source["usage"]}))


def _summed(field: str) -> Callable[[Row], Plain]:
    return lambda source: sum(usage[field] for usage in source["usage"])


def _domestic(source: Row) -> Plain:
    origins = {devices["chip"]: devices["origin"] for devices in source["accreditation"]["devices"]}
    usage = source["usage"]
    return sum(row["gpu_ms"] for row in usage if origins.get(row["chip"]) == "domestic")


def _lines(source: Row) -> Plain:
    return [
        {"voucher": line["voucher"], "amount_fen": line["amount"], "reserve": line["reserve"]}
        for line in source["lines"]
    ]


TABLES: Mapping[str, Columns] = {
    "postings": {
        "sequence": Column("integer"),
        "height": Column("integer"),
        "time_ms": Column("integer"),
        "transaction": Column("text"),
        "kind": Column("name"),
        "code": Column("name"),
        "position": Column("integer"),
        "posting": Column("name", "posting.kind"),
        "programme": Column("name", "posting.programme"),
        "voucher": Column("text", _first_voucher),
        "count": Column("integer", "posting.count"),
        "amount_fen": Column("integer", "posting.amount"),
        "source": Column("name", "posting.source"),
        "target": Column("name", "posting.target"),
    },
    "vouchers": {
        "id": Column("text"),
        "programme": Column("name"),
        "city": Column("name", _city),
        "holder": Column("name"),
        "face_fen": Column("integer", "face"),
        "available_fen": Column("integer", "available"),
        "reserved_fen": Column("integer", "reserved"),
        "claimed_fen": Column("integer", "claimed"),
        "redeemed_fen": Column("integer", "redeemed"),
        "expired_fen": Column("integer", "expired"),
        "revoked_fen": Column("integer", "revoked"),
        "expires_at_ms": Column("integer"),
        "due_ms": Column("integer"),
        "stopped_ms": Column("integer"),
        "terms_version": Column("integer"),
        "year": Column("integer"),
        "parent": Column("text"),
        "sequence": Column("integer"),
    },
    "claims": {
        "id": Column("text"),
        "programme": Column("name"),
        "city": Column("name", _city),
        "terms_version": Column("integer"),
        "holder": Column("name"),
        "centre": Column("name"),
        "centre_city": Column("name", "accreditation.host"),
        "paying_host": Column("name", "host"),
        "order": Column("text"),
        "service_class": Column("name"),
        "status": Column("name"),
        "amount_fen": Column("integer", "amount"),
        "accepted_fen": Column("integer", "accepted"),
        "credited_fen": Column("integer", "credited"),
        "basis_points": Column("integer"),
        "invoice_tag": Column("text", "invoice.tag"),
        "invoice_tag_epoch": Column("integer", "invoice.tag_epoch"),
        "invoice_net_fen": Column("integer", "invoice.net"),
        "invoice_base_fen": Column("integer", "invoice.base"),
        "contract_tag": Column("text", "contract.tag"),
        "contract_amount_fen": Column("integer", "contract.amount"),
        "contract_start_day": Column("integer", "contract.start_day"),
        "contract_end_day": Column("integer", "contract.end_day"),
        "chips": Column("name", _chips),
        "gpu_ms": Column("integer", _summed("gpu_ms")),
        "domestic_gpu_ms": Column("integer", _domestic),
        "energy_wh": Column("integer", _summed("energy_wh")),
        "pue_milli": Column("integer", "accreditation.pue_milli"),
        "holder_signed": Column("flag"),
        "submitted_by": Column("parts"),
        "submitted_ms": Column("integer"),
        "decided_ms": Column("integer"),
        "payables": Column("integer"),
        "credits": Column("integer"),
        "lines": Column("parts", _lines),
        "usage": Column("parts"),
        "sequence": Column("integer"),
    },
    "payables": {
        "id": Column("text"),
        "debtor": Column("name"),
        "creditor": Column("name"),
        "cause": Column("text"),
        "leg": Column("name"),
        "reverse": Column("flag"),
        "amount_fen": Column("integer", "amount"),
        "cancelled_fen": Column("integer", "cancelled"),
        "reversed_fen": Column("integer", "reversed"),
        "paid_fen": Column("integer", "paid"),
        "pending_fen": Column("integer", "pending"),
        "written_off_fen": Column("integer", "written_off"),
        "open_fen": Column("integer", "open"),
        "attempt": Column("integer"),
        "due_ms": Column("integer"),
        "cycle": Column("integer"),
        "sequence": Column("integer"),
    },
    "payments": {
        "debtor": Column("name"),
        "id": Column("text"),
        "payable": Column("text"),
        "attempt": Column("integer"),
        "amount_fen": Column("integer", "amount"),
        "status": Column("name"),
        "instructed_ms": Column("integer"),
        "changed_ms": Column("integer"),
        "confirmed_by": Column("name"),
        "reason": Column("text"),
        "sequence": Column("integer"),
    },
    "budgets": {
        "programme": Column("name"),
        "year": Column("integer"),
        "funder": Column("name"),
        "appropriated_fen": Column("integer", "appropriated"),
        "committed_fen": Column("integer", "committed"),
        "sequence": Column("integer"),
    },
}
