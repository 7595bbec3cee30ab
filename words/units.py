"""Numbers as people write them: yuan for fen, per cent for basis points, hours for milliseconds.

Integers in and text out, exact, never through a float. Nothing here needs the ledger, so that all
may use it: `tally` writes tables before any command is loaded.
"""

import re

FEN_MAX = 2**63 - 1
"""The largest amount a ledger record can hold, in fen."""
_YUAN = re.compile(r"(?P<yuan>[0-9]{1,17}|[0-9]{1,3}(?:,[0-9]{3}){1,5})(?:\.(?P<fen>[0-9]{1,2}))?")
_HOUR_PLACES = 7
"""An hour has 3,600,000 ms: what divides by 9 of them comes out whole with so many decimals."""


def decimal(number: int, places: int, *, thousands: bool = False) -> str:
    """Return a number of smallest units with its decimals: ``(123456, 2)`` is ``1234.56``."""
    whole, rest = divmod(abs(number), 10**places)
    shown = f"{whole:,}" if thousands else str(whole)
    return f"{'-' if number < 0 else ''}{shown}.{rest:0{places}}"


def yuan(fen: int) -> str:
    """Return fen as yuan with two decimals: ``123456`` becomes ``1,234.56``."""
    return decimal(fen, 2, thousands=True)


def bare_yuan(fen: int) -> str:
    """Return fen as a bank's file writes them: ``1234.56``."""
    return decimal(fen, 2)


def fen_of(text: str) -> int:
    """Return the fen of an amount such as ``1,234.5``.

    Raises ValueError for signs, a third decimal, misplaced commas and what a record can't hold.
    """
    match = _YUAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not an amount in yuan; write 1234.56 (two decimals at most, no sign)"
        )
    fen = int(match["yuan"].replace(",", "")) * 100 + int((match["fen"] or "").ljust(2, "0"))
    if fen > FEN_MAX:
        raise ValueError(f"{text} yuan is more than the ledger can hold")
    return fen


def percent(basis_points: int) -> str:
    """Return basis points as per cent with two decimals: ``3050`` becomes ``30.50``."""
    return decimal(basis_points, 2)


def hours(duration_ms: int) -> str | None:
    """Return milliseconds as hours, exact; None if they don't come out whole as a decimal."""
    if duration_ms % 9:
        return None
    return decimal(duration_ms // 9 * 25, _HOUR_PLACES, thousands=True).rstrip("0").rstrip(".")


def count(number: int) -> str:
    """Return a count with its thousands set apart."""
    return f"{number:,}"


def milliseconds(duration_us: int) -> str:
    """Return a duration in milliseconds, one decimal."""
    return decimal((duration_us + 50) // 100, 1, thousands=True)
