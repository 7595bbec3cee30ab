"""What a node tells of a transaction, as data: documents and effects (spec H3)."""

from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
"""A JSON object."""
Status = Literal["pending", "refused", "final", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBrief:
    """The node that answered, and the place in the ledger at which its answer is true."""

    name: str
    height: int
    time_ms: int
    record_hash: str
    """Hex."""
    quorum_age_ms: int
    """For how long it has seen no quorum; 0 while it sees one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionDocument:
    """What a node knows of a transaction."""

    id: str
    """Hex."""
    status: Status
    code: str
    """``ok``, the refusal's code, or ``expired``."""
    number: int
    message: str
    values: dict[str, int | str]
    """The refusal's typed values."""
    kind: str | None
    expires_at: int | None
    sequence: int | None
    height: int | None
    postings: tuple[Json, ...]
    node: NodeBrief


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a transaction would do if it were the next after a height."""

    height: int
    code: str
    number: int
    message: str
    values: dict[str, int | str]
    postings: tuple[Json, ...]


def unseen(transaction_id: str, expires_at: int) -> TransactionDocument:
    """Return the document of a transaction that no node has seen: it may yet be sent."""
    return TransactionDocument(
        id=transaction_id,
        status="pending",
        code="ok",
        number=0,
        message="",
        values={},
        kind=None,
        expires_at=expires_at,
        sequence=None,
        height=None,
        postings=(),
        node=NodeBrief(name="", height=0, time_ms=0, record_hash="", quorum_age_ms=0),
    )
