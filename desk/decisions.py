"""Grant decisions: the hash by which a mint row names one, and a batch's identity (spec X8)."""

from collections.abc import Sequence

from ledger.encoding import codec
from ledger.encoding.crypto import tagged_hash
from ledger.rules.vouchers import MintRow

_WIDE = range(0xFF01, 0xFF5F)
"""Full-width forms of the printable ASCII characters."""
_WIDE_OFFSET = 0xFF01 - 0x21
_DROPPED = frozenset(
    {
        *range(0x09, 0x0E),
        *(0x20, 0x85, 0xA0, 0xAD, 0x1680, 0x180E, 0x3000, 0xFEFF),
        *range(0x2000, 0x2010),
        *range(0x2028, 0x2030),
        *range(0x205F, 0x2070),
    }
)
"""Blanks, and what nobody sees."""
_SAME = {
    **dict.fromkeys((0x5B, 0x3010, 0x3014), 0x28),
    **dict.fromkeys((0x5D, 0x3011, 0x3015), 0x29),
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), 0x2D),
    **{letter: letter - 0x20 for letter in range(0x61, 0x7B)},
}
"""Brackets, dashes and letters that are typed in several ways."""


def normal_form(number: str) -> str:
    """Return the one form of a decision's number; by fixed code points, never Unicode's tables."""
    points = [point - _WIDE_OFFSET if point in _WIDE else point for point in map(ord, number)]
    return "".join(chr(_SAME.get(point, point)) for point in points if point not in _DROPPED)


def decision_hash(programme: str, number: str, holder: str) -> bytes:
    """Return what a mint row names of a decision: the same at every desk, for ever."""
    return tagged_hash(
        "tallystick/decision/v1", programme.encode(), normal_form(number).encode(), holder.encode()
    )


def batch_id(programme: str, rows: Sequence[MintRow]) -> bytes:
    """Return the identity of a mint batch: two with the same rows have the same."""
    return tagged_hash("tallystick/batch/v1", programme.encode(), *map(codec.encode, rows))
