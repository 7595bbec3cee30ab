"""The tiles and bundles of a log by their definition: every hash from the entries below it."""

from collections.abc import Sequence

from tests.reference import merkle

WIDTH = 256


def tiles(entries: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """Return every tile by (level, index), as wide as the tree has it (c2sp.org/tlog-tiles)."""
    made: dict[tuple[int, int], bytes] = {}
    level, span = 0, 1
    while span <= len(entries):
        hashes = [
            merkle.root(entries[start : start + span])
            for start in range(0, len(entries) - span + 1, span)
        ]
        for start in range(0, len(hashes), WIDTH):
            made[level, start // WIDTH] = b"".join(hashes[start : start + WIDTH])
        level, span = level + 1, span * WIDTH
    return made


def bundle(entries: Sequence[bytes], index: int, width: int) -> bytes:
    """Return some entries, each after its length as u16be."""
    framed = b""
    for entry in entries[WIDTH * index :][:width]:
        framed += len(entry).to_bytes(2, "big") + entry
    return framed
