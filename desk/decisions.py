"""Grant decisions: the hash by which a mint row names one, and a batch's identity (spec X8)."""

from collections.abc import Sequence

from ledger.encoding import codec
from ledger.encoding.crypto import tagged_hash
from ledger.encoding.normal import seen
from ledger.rules.vouchers import MintRow

_SAME = {
    **dict.fromkeys((0x5B, 0x3010, 0x3014), 0x28),
    **dict.fromkeys((0x5D, 0x3011, 0x3015), 0x29),
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), 0x2D),
}
"""Brackets and dashes that are typed in several ways."""


def normal_form(number: str) -> str:
    """Return the one form of a decision's number; by fixed code points, never Unicode's tables."""
    return "".join(chr(_SAME.get(point, point)) for _, point in seen(number))


def decision_hash(programme: str, number: str, holder: str) -> bytes:
    """Return what a mint row names of a decision: the same at every desk, for ever."""
    return tagged_hash(
        "tallystick/decision/v1", programme.encode(), normal_form(number).encode(), holder.encode()
    )


def batch_id(programme: str, rows: Sequence[MintRow]) -> bytes:
    """Return the identity of a mint batch: two with the same rows have the same."""
    return tagged_hash("tallystick/batch/v1", programme.encode(), *map(codec.encode, rows))
