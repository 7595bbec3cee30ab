"""The tables that auditors take away: their columns in order, and what each column holds.

The server makes rows of them (`api/exported.py`), `tally audit export` makes files of those, and
docs/auditing.md explains them. Names end in the unit: ``_fen``, ``_wh``, ``_ms`` (since 1970, UTC;
``gpu_ms`` is device time).
"""

from collections.abc import Mapping
from typing import Literal

Kind = Literal["integer", "flag", "name", "text", "parts"]
"""``name`` is a text that comes again and again, such as a party; ``parts`` is a list as JSON."""
Columns = Mapping[str, Kind]

POSTINGS: Columns = {
    "sequence": "integer",
    "height": "integer",
    "time_ms": "integer",
    "transaction": "text",
    "kind": "name",
    "code": "name",
    "position": "integer",
    "posting": "name",
    "programme": "name",
    "voucher": "text",
    "count": "integer",
    "amount_fen": "integer",
    "source": "name",
    "target": "name",
}
VOUCHERS: Columns = {
    "id": "text",
    "programme": "name",
    "city": "name",
    "holder": "name",
    "face_fen": "integer",
    "available_fen": "integer",
    "reserved_fen": "integer",
    "claimed_fen": "integer",
    "redeemed_fen": "integer",
    "expired_fen": "integer",
    "revoked_fen": "integer",
    "expires_at_ms": "integer",
    "due_ms": "integer",
    "stopped_ms": "integer",
    "terms_version": "integer",
    "year": "integer",
    "parent": "text",
    "sequence": "integer",
}
CLAIMS: Columns = {
    "id": "text",
    "programme": "name",
    "city": "name",
    "terms_version": "integer",
    "holder": "name",
    "redeemer": "name",
    "centre_city": "name",
    "paying_host": "name",
    "order": "text",
    "service_class": "name",
    "status": "name",
    "amount_fen": "integer",
    "accepted_fen": "integer",
    "credited_fen": "integer",
    "basis_points": "integer",
    "invoice_tag": "text",
    "invoice_tag_epoch": "integer",
    "invoice_net_fen": "integer",
    "invoice_base_fen": "integer",
    "contract_tag": "text",
    "contract_amount_fen": "integer",
    "contract_start_day": "integer",
    "contract_end_day": "integer",
    "chips": "name",
    "gpu_ms": "integer",
    "domestic_gpu_ms": "integer",
    "energy_wh": "integer",
    "pue_milli": "integer",
    "holder_signed": "flag",
    "submitted_by": "parts",
    "submitted_ms": "integer",
    "decided_ms": "integer",
    "payables": "integer",
    "credits": "integer",
    "lines": "parts",
    "usage": "parts",
    "sequence": "integer",
}
PAYABLES: Columns = {
    "id": "text",
    "debtor": "name",
    "creditor": "name",
    "cause": "text",
    "leg": "name",
    "reverse": "flag",
    "amount_fen": "integer",
    "cancelled_fen": "integer",
    "reversed_fen": "integer",
    "paid_fen": "integer",
    "pending_fen": "integer",
    "written_off_fen": "integer",
    "open_fen": "integer",
    "attempt": "integer",
    "due_ms": "integer",
    "cycle": "integer",
    "sequence": "integer",
}
PAYMENTS: Columns = {
    "id": "text",
    "payable": "text",
    "attempt": "integer",
    "amount_fen": "integer",
    "status": "name",
    "instructed_ms": "integer",
    "changed_ms": "integer",
    "confirmed_by": "name",
    "reason": "text",
    "sequence": "integer",
}
BUDGETS: Columns = {
    "programme": "name",
    "year": "integer",
    "funder": "name",
    "appropriated_fen": "integer",
    "committed_fen": "integer",
    "sequence": "integer",
}

TABLES: Mapping[str, Columns] = {
    "postings": POSTINGS,
    "vouchers": VOUCHERS,
    "claims": CLAIMS,
    "payables": PAYABLES,
    "payments": PAYMENTS,
    "budgets": BUDGETS,
}
