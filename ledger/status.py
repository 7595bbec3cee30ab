"""What is known of one transaction (spec X5)."""

from typing import Annotated, Literal

from msgspec import Meta

from ledger.encoding.codec import Hash, Natural, Record
from ledger.execute import Inadmissible
from ledger.rules.refusals import TransactionRefused

StatusWord = Literal[
    "pending", "refused_for_now", "refused", "final", "expired", "inadmissible", "unknown"
]


class TransactionStatus(Record, frozen=True):
    """What a node knows of a transaction (spec X5)."""

    id: Hash
    status: StatusWord
    """``inadmissible`` was never taken in; ``unknown`` was never seen."""
    code: str
    """``ok``, a refusal's code, or why it is inadmissible."""
    number: Natural
    """0, or the refusal's number; 0 too for what is inadmissible."""
    sentence: str
    values: tuple[tuple[str, int | str], ...]
    """The refusal's typed values by name."""
    expires_at: Natural
    sequence: Annotated[tuple[Natural, ...], Meta(max_length=1)]
    """Log position, once logged."""
    height: Annotated[tuple[Natural, ...], Meta(max_length=1)]


class Busy(Exception):
    """There is no room for a request now; try again."""


def status_of(
    transaction_id: bytes,
    status: str,
    *,
    expires_at: int = 0,
    refusal: TransactionRefused | None = None,
) -> TransactionStatus:
    """Return the status document of a transaction outside the log."""
    return TransactionStatus(
        id=transaction_id,
        status=status,  # type: ignore[arg-type]
        code="ok" if refusal is None else refusal.code,
        number=0 if refusal is None else refusal.number,
        sentence="" if refusal is None else str(refusal),
        values=() if refusal is None else tuple(refusal.values.items()),
        expires_at=expires_at,
        sequence=(),
        height=(),
    )


def inadmissible_status(
    transaction_id: bytes, error: Inadmissible, expires_at: int = 0
) -> TransactionStatus:
    """Return the status of a transaction that was not taken in."""
    return TransactionStatus(
        id=transaction_id,
        status="expired" if error.code == "expired" else "inadmissible",
        code=error.code,
        number=0,
        sentence=str(error),
        values=(),
        expires_at=expires_at,
        sequence=(),
        height=(),
    )


def final_status(transaction_id: bytes, expires_at: int, sequence: int) -> TransactionStatus:
    """Return a status that sends its reader to the log, where the rest stands."""
    return TransactionStatus(
        id=transaction_id,
        status="final",
        code="ok",
        number=0,
        sentence="",
        values=(),
        expires_at=expires_at,
        sequence=(sequence,),
        height=(),
    )
