"""What is known of one transaction (spec X5)."""

from dataclasses import dataclass
from typing import Literal, Self

from ledger.encoding.codec import AtMostOne, Hash, Natural, Record
from ledger.inadmissible import Expired, Inadmissible
from ledger.rules.refusals import TransactionRefused

StatusWord = Literal["pending", "refused", "final", "expired", "inadmissible", "unknown"]


class Busy(Exception):
    """There is no room for a request now; try again."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What rules or forms say of a transaction: the part that statuses and effects share."""

    code: str = "ok"
    number: int = 0
    sentence: str = ""
    values: tuple[tuple[str, int | str], ...] = ()

    @classmethod
    def refused(cls, refusal: TransactionRefused) -> Self:
        """Return what a rule says."""
        return cls(refusal.code, refusal.number, str(refusal), tuple(refusal.values.items()))

    @classmethod
    def inadmissible(cls, error: Inadmissible) -> Self:
        """Return why no block can hold it."""
        return cls(error.code, sentence=str(error), values=tuple(error.values.items()))


HOLDS = Judged()


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
    sequence: AtMostOne[Natural]
    """Log position, once logged."""
    height: AtMostOne[Natural]

    @classmethod
    def pending(cls, transaction_id: bytes, expires_at: int) -> Self:
        """Return that of a transaction that waits for a block."""
        return cls._of(transaction_id, "pending", expires_at)

    @classmethod
    def refused(cls, transaction_id: bytes, expires_at: int, refusal: TransactionRefused) -> Self:
        """Return that of a transaction which was dropped because a rule refuses it."""
        return cls._of(transaction_id, "refused", expires_at, Judged.refused(refusal))

    @classmethod
    def logged(cls, transaction_id: bytes, expires_at: int, sequence: int) -> Self:
        """Return that of a logged transaction: what is logged is final."""
        return cls._of(transaction_id, "final", expires_at, sequence=(sequence,))

    @classmethod
    def expired(cls, transaction_id: bytes, expires_at: int) -> Self:
        """Return that of a transaction that was taken in, and no block took in time."""
        return cls._of(transaction_id, "expired", expires_at)

    @classmethod
    def inadmissible(cls, transaction_id: bytes, expires_at: int, error: Inadmissible) -> Self:
        """Return that of a transaction that was not taken in."""
        word: StatusWord = "expired" if isinstance(error, Expired) else "inadmissible"
        return cls._of(transaction_id, word, expires_at, Judged.inadmissible(error))

    @classmethod
    def unknown(cls, transaction_id: bytes) -> Self:
        """Return that of a transaction that this node has not seen, or has forgotten."""
        return cls._of(transaction_id, "unknown", 0)

    @classmethod
    def _of(
        cls,
        transaction_id: bytes,
        status: StatusWord,
        expires_at: int,
        judged: Judged = HOLDS,
        *,
        sequence: tuple[int, ...] = (),
    ) -> Self:
        return cls(
            id=transaction_id,
            status=status,
            code=judged.code,
            number=judged.number,
            sentence=judged.sentence,
            values=judged.values,
            expires_at=expires_at,
            sequence=sequence,
            height=(),
        )


class Waiting(Record, frozen=True):
    """A transaction that waits on a node."""

    arrival: Natural
    """Counts what came in: the way to the next page."""
    raw: bytes
    status: TransactionStatus
