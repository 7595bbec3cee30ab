"""Rows that the store keeps beside the records: blocks, indexes (not covered by any hash)."""

from collections.abc import Iterable

from ledger.encoding.codec import Hash, Natural, Record
from ledger.execute import Head
from ledger.rules.claims import CLAIMS, Claim
from ledger.rules.vouchers import VOUCHERS, Voucher

HOUR_MS = 3_600_000


class BlockRow(Record, frozen=True):
    """Where a block lies in the log."""

    height: Natural
    time_ms: Natural
    app_hash: Hash
    first_sequence: Natural
    """Log position of the block's first entry."""
    log_size: Natural
    """Entries in the log after the block; equal to ``first_sequence`` if it logged nothing."""


class HeadRow(Record, frozen=True):
    """The head as stored."""

    log_id: Hash
    height: Natural
    time_ms: Natural
    app_hash: Hash
    log_size: Natural
    log_peaks: tuple[Hash, ...]

    def head(self) -> Head:
        """Return the head."""
        return Head(
            log_id=self.log_id,
            height=self.height,
            time_ms=self.time_ms,
            app_hash=self.app_hash,
            log_size=self.log_size,
            log_peaks=self.log_peaks,
        )

    @classmethod
    def of(cls, head: Head) -> "HeadRow":
        """Return a head's row."""
        return cls(
            log_id=head.log_id,
            height=head.height,
            time_ms=head.time_ms,
            app_hash=head.app_hash,
            log_size=head.log_size,
            log_peaks=head.log_peaks,
        )


def id_key(transaction_id: bytes, expires_at: int) -> bytes:
    """Return the index key of a transaction id: neighbours in time are neighbours on disk."""
    return (expires_at // HOUR_MS).to_bytes(4, "big") + transaction_id


def due_key(voucher: Voucher) -> bytes:
    """Return the index key under which a voucher waits for its expiry."""
    return voucher.expires_at_ms.to_bytes(8, "big") + voucher.id.encode("ascii")


def is_due(voucher: Voucher | None) -> bool:
    """Return whether a voucher belongs into the due index: it has value that can expire."""
    return voucher is not None and voucher.available > 0


def party_rows(record: Record) -> Iterable[bytes]:
    """Return index keys ``party NUL record key`` by which a new record is found."""
    if isinstance(record, Voucher):
        yield record.holder.encode("ascii") + b"\0" + VOUCHERS.key(record.id)
    elif isinstance(record, Claim):
        yield record.holder.encode("ascii") + b"\0" + CLAIMS.key(record.id)
        yield record.redeemer.encode("ascii") + b"\0" + CLAIMS.key(record.id)
