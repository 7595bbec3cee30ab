"""RFC 6962 trees by their definition: recursive, unoptimised."""

import hashlib
from collections.abc import Sequence


def root(entries: Sequence[bytes]) -> bytes:
    """Return MTH(entries) as RFC 6962, section 2.1 defines it."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = _split(len(entries))
    return hashlib.sha256(b"\x01" + root(entries[:k]) + root(entries[k:])).digest()


def path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """Return PATH(m, entries), section 2.1.1."""
    if len(entries) == 1:
        return []
    k = _split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), root(entries[k:])]
    return [*path(m - k, entries[k:]), root(entries[:k])]


def proof(m: int, entries: Sequence[bytes], complete: bool = True) -> list[bytes]:
    """Return PROOF(m, entries) by SUBPROOF, section 2.1.2."""
    if m == len(entries):
        return [] if complete else [root(entries)]
    k = _split(len(entries))
    if m <= k:
        return [*proof(m, entries[:k], complete), root(entries[k:])]
    return [*proof(m - k, entries[k:], False), root(entries[:k])]


def _split(n: int) -> int:
    """Return the largest power of two below n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k
