"""Integer money: rates, rounding and splits (spec R1)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from ledger.encoding.codec import FEN_MAX, BasisPoints, Record, Slug
from ledger.rules.refusals import AmountOverflow

WHOLE_BASIS_POINTS = 10_000


class Rounding(Record, frozen=True):
    """How a programme rounds: down or half up, to a multiple of ``step_fen``."""

    mode: Literal["truncate", "half_up"]
    step_fen: Annotated[int, Meta(ge=1, le=1_000_000)]


class FunderShare(Record, frozen=True):
    """A funder and the share of every benefit that it pays."""

    funder: Slug
    basis_points: BasisPoints


def benefit(base_fen: int, basis_points: int, rounding: Rounding) -> int:
    """Return rate × base in fen, rounded as the programme says (R1.2)."""
    return share_of(base_fen, basis_points, WHOLE_BASIS_POINTS, rounding)


def share_of(amount_fen: int, parts: int, whole: int, rounding: Rounding) -> int:
    """Return amount × parts / whole in fen, rounded as the programme says (R1.2)."""
    product = amount_fen * parts
    step = rounding.step_fen * whole
    if rounding.mode == "half_up":
        product += step // 2
    return product // step * rounding.step_fen


def split(amount_fen: int, shares: Sequence[FunderShare], residual: str) -> tuple[int, ...]:
    """Return what each funder pays, in the order of ``shares`` (R1.3).

    Every share is truncated; the residual funder takes the rest, so the parts always add up.
    """
    parts = [amount_fen * share.basis_points // WHOLE_BASIS_POINTS for share in shares]
    rest = amount_fen - sum(parts)
    return tuple(
        part + rest if share.funder == residual else part
        for part, share in zip(parts, shares, strict=True)
    )


def add(total_fen: int, amount_fen: int) -> int:
    """Return the sum; raise AmountOverflow beyond the range of amounts (R1.1)."""
    result = total_fen + amount_fen
    if result > FEN_MAX:
        raise AmountOverflow(total=result, maximum=FEN_MAX)
    return result
