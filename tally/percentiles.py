"""The one definition of a percentile, wherever times are summed up: the nearest rank."""

from collections.abc import Iterable


def percentile(values: Iterable[int], percent: int) -> int:
    """Return the smallest value that at least ``percent`` of a hundred values do not exceed.

    It is always a value that occurred. The 50th is the median, of an even number the lower one;
    the 0th is the least. There must be a value.
    """
    ranked = sorted(values)
    rank = -(-len(ranked) * percent // 100)
    return ranked[max(rank, 1) - 1]
