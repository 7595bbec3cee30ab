"""Receipts: an entry is in the log, for whoever has the file and a policy (c2sp.org/tlog-proof)."""

from dataclasses import dataclass

from ledger.encoding import checkpoint, merkle, note, policy
from ledger.encoding.note import NOTE_BYTES_MAX, Note
from ledger.encoding.policy import Accepted, Policy
from ledger.encoding.text import (
    MalformedText,
    base64_of,
    parse_base64,
    parse_decimal,
    parse_hash,
)

HASHES_MAX = 63
"""Longest audit path: the depth of the largest tree that a checkpoint can name."""
EXTRA_BYTES_MAX = 65_535
"""Longest extra data: an entry fits in."""
RECEIPT_BYTES_MAX = NOTE_BYTES_MAX + 96 * 1024
"""Longest receipt: extra data, path and checkpoint."""

_HEADER = "c2sp.org/tlog-proof@v1"


class MalformedReceipt(MalformedText):
    """The bytes are no tlog-proof file."""


class NotIncluded(ValueError):
    """The checkpoint is good, but the entry is not at this position of its tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Claims that a log holds an entry; nothing is known before ``verify``."""

    index: int
    """The entry's position in the log: its sequence number."""
    hashes: tuple[bytes, ...]
    """The audit path, leaf side first."""
    checkpoint: Note
    extra: bytes = b""
    """Whatever helps to find the entry's bytes; no signature covers it."""

    def to_bytes(self) -> bytes:
        """Return the receipt's file, which ``parse`` takes back."""
        lines = [_HEADER]
        if self.extra:
            lines.append(f"extra {base64_of(self.extra)}")
        lines.append(f"index {self.index}")
        lines += map(base64_of, self.hashes)
        head = "".join(f"{line}\n" for line in lines)
        data = f"{head}\n".encode() + self.checkpoint.to_bytes()
        assert parse(data) == self
        return data


def parse(data: bytes) -> Receipt:
    """Return the receipt that a file writes. Raises MalformedReceipt."""
    if len(data) > RECEIPT_BYTES_MAX:
        raise MalformedReceipt(f"expected at most {RECEIPT_BYTES_MAX} bytes, got {len(data)}")
    head, blank, rest = data.partition(b"\n\n")
    if not blank:
        raise MalformedReceipt("no empty line before the checkpoint")
    try:
        signed = note.parse(rest)
        checkpoint.parse(signed.text)  # a note of anything else makes no receipt
        # The head is ASCII; anything else is no line of it.
        return _with_head(head.decode("ascii", "replace").split("\n"), signed)
    except MalformedText as error:
        raise MalformedReceipt(str(error)) from None


def _with_head(lines: list[str], signed: Note) -> Receipt:
    header, extra = lines.pop(0), b""
    if header != _HEADER:
        raise MalformedReceipt(f"expected {_HEADER}")
    if lines and lines[0].startswith("extra "):
        extra = parse_base64(lines.pop(0).removeprefix("extra "))
        if not 1 <= len(extra) <= EXTRA_BYTES_MAX:
            raise MalformedReceipt(f"expected 1 to {EXTRA_BYTES_MAX} bytes of extra data")
    if not lines or not lines[0].startswith("index "):
        raise MalformedReceipt("no index line")
    index = parse_decimal(lines.pop(0).removeprefix("index "))
    if len(lines) > HASHES_MAX:
        raise MalformedReceipt("no tree is that deep")
    hashes = tuple(parse_hash(line) for line in lines)
    return Receipt(index=index, hashes=hashes, checkpoint=signed, extra=extra)


def verify(receipt: Receipt, *, entry: bytes, trusted: Policy) -> Accepted:
    """Return the checkpoint under which the log holds ``entry`` at the receipt's position (Y7.3).

    The caller brings the entry: from its own records or, since it is checked here, out of
    ``extra``. Raises NotIncluded, and what ``policy.accept`` raises.
    """
    claimed = checkpoint.parse(receipt.checkpoint.text)
    if not merkle.verify_inclusion(
        leaf=merkle.leaf_hash(entry),
        index=receipt.index,
        size=claimed.size,
        proof=receipt.hashes,
        expected_root=claimed.root,
    ):
        raise NotIncluded(f"the log does not hold this entry at {receipt.index}")
    return policy.accept(trusted, receipt.checkpoint)
