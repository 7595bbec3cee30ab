"""Signing sheets: what a transaction says, line by line, for whoever is about to sign it."""

from dataclasses import dataclass
from typing import Any

from desk.decisions import batch_id
from desk.description import describe_body
from desk.drafts import Draft
from ledger.encoding.crypto import sha256
from ledger.rules.vouchers import Mint
from ledger.transactions import Operation
from words import acts, dates
from words.acts import Line
from words.languages import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A transaction decoded from the bytes that are signed."""

    says: str
    """All of it in one line."""
    lines: tuple[Line, ...]
    """The same, a line for each field."""


def sheet_of(draft: Draft, spoken: Language) -> Sheet:
    """Return the signing sheet of a draft."""
    operation = draft.content.operation
    return Sheet(
        says=acts.in_words(operation, spoken, whole=True), lines=acts.lines(operation, spoken)
    )


def batch_of(operation: Operation) -> str | None:
    """Return the identity of a mint's batch, hex; None for anything else."""
    if not isinstance(operation, Mint):
        return None
    return batch_id(operation.programme, operation.rows).hex()


def life_of(draft: Draft, now_ms: int, spoken: Language) -> str:
    """Return the sentence that says until when a draft can become final, by this clock."""
    until_ms = draft.content.expires_at
    left_s = max(0, until_ms - now_ms) // 1000
    for unit, seconds in (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1)):
        if left_s >= seconds or seconds == 1:
            left = spoken.text(f"life.{unit}", count=left_s // seconds)
            break
    return spoken.text("sign.until", until=dates.moment(until_ms), left=left)


def summary_of(draft: Draft) -> dict[str, Any]:
    """Return what a program is told of a transaction that is not sent yet."""
    content = draft.content
    return {
        "transaction": draft.id,
        "kind": draft.kind,
        "signatures": len(draft.signatures),
        "keys": [key.hex() for key in sorted(draft.signatures)],
        "expires_at": content.expires_at,
        "expires": dates.moment(content.expires_at),
    }


def document_of(draft: Draft, spoken: Language) -> dict[str, Any]:
    """Return all that a program is told of a transaction that is not sent yet."""
    sheet = sheet_of(draft, spoken)
    return {
        **summary_of(draft),
        **describe_body(draft.content),
        "batch": batch_of(draft.content.operation),
        "says": sheet.says,
        "lines": [
            {"field": line.field, "title": line.title, "value": line.value} for line in sheet.lines
        ],
        "body": draft.body,
        "body_sha256": sha256(draft.body),
    }
