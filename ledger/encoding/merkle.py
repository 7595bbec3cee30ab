"""RFC 6962 Merkle trees: roots, the append-only frontier, and proof checks (spec W4)."""

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree without leaves."""


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return the leaf hash of each entry."""
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + entry).digest() for entry in entries]


class Frontier:
    """The roots of the perfect subtrees of an append-only tree, largest first.

    Appending costs one hash amortised. ``size`` and ``peaks`` are the whole state, so that they
    can be stored and taken up again.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        assert len(peaks) == size.bit_count()
        self.size = size
        self.peaks = list(peaks)

    def copy(self) -> "Frontier":
        """Return an independent frontier with the same leaves."""
        return Frontier(self.size, self.peaks)

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        carry = leaf
        size = self.size
        while size & 1:
            carry = node_hash(self.peaks.pop(), carry)
            size >>= 1
        self.peaks.append(carry)
        self.size += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes, level by level."""
        sha256 = hashlib.sha256
        nodes, size, peaks = list(leaves), self.size, self.peaks
        rest: list[bytes] = []
        """The new peaks, smallest first."""
        while nodes or size:
            if size & 1:
                nodes.insert(0, peaks.pop())
            if len(nodes) & 1:
                rest.append(nodes.pop())
            pairs = zip(nodes[::2], nodes[1::2], strict=True)
            nodes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
            size >>= 1
        self.peaks = rest[::-1]
        self.size += len(leaves)

    def root(self) -> bytes:
        """Return the RFC 6962 root over all leaves so far."""
        if not self.peaks:
            return EMPTY_ROOT
        accumulated = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            accumulated = node_hash(peak, accumulated)
        return accumulated


def root(entries: Sequence[bytes]) -> bytes:
    """Return the RFC 6962 root over entries (not yet hashed)."""
    return subtree_root(leaf_hashes(entries))


def verify_inclusion(
    *, leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes
) -> bool:
    """Return whether ``proof`` shows the leaf hash at ``index`` of a tree of ``size`` leaves."""
    if not 0 <= index < size or len(leaf) != 32:
        return False
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    if len(proof) != inner + border:
        return False
    accumulated = leaf
    for level, sibling in enumerate(proof):
        if level < inner and not (index >> level) & 1:
            accumulated = node_hash(accumulated, sibling)
        else:
            accumulated = node_hash(sibling, accumulated)
    return accumulated == expected_root


def verify_consistency(
    *, size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]
) -> bool:
    """Return whether ``proof`` shows that the tree of ``size1`` is a prefix of that of ``size2``.

    A first size of 0 is refused here: the caller decides what an empty old tree means.
    """
    if size1 < 1 or size2 < size1:
        return False
    if size1 == size2:
        return not proof and root1 == root2
    # A first tree that is perfect is a part of the second one: the proof leaves out its root.
    path = (root1, *proof) if size1 & (size1 - 1) == 0 else proof
    return prefix_roots(size1=size1, size2=size2, path=path) == (root1, root2)


def prefix_roots(*, size1: int, size2: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the roots at two sizes, 0 < size1 < size2, that a path makes; None at another length.

    The path is a consistency proof that starts with a subtree of the first tree in any case. Within
    a tree that has the second root, the first root can be no other.
    """
    assert 0 < size1 < size2
    # What lies below the lowest complete right edge of the first tree is shared as it is.
    shift = (size1 & -size1).bit_length() - 1
    inner = ((size1 - 1) ^ (size2 - 1)).bit_length() - shift
    border = ((size1 - 1) >> (inner + shift)).bit_count()
    if len(path) != 1 + inner + border:
        return None
    mask = (size1 - 1) >> shift
    old = new = path[0]
    for level, sibling in enumerate(path[1:]):
        if level >= inner or (mask >> level) & 1:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    return old, new


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of a leaf, leaf side first, from all leaf hashes."""
    assert 0 <= index < len(leaves)
    if len(leaves) == 1:
        return []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < split:
        return [*inclusion_proof(leaves[:split], index), subtree_root(leaves[split:])]
    return [
        *inclusion_proof(leaves[split:], index - split),
        subtree_root(leaves[:split]),
    ]


def subtree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    if not leaves:
        return EMPTY_ROOT
    sha256 = hashlib.sha256
    nodes = list(leaves)
    while len(nodes) > 1:  # level by level: a lone node on the right goes up as it is
        pairs = zip(nodes[::2], nodes[1::2], strict=False)
        upper = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        if len(nodes) & 1:
            upper.append(nodes[-1])
        nodes = upper
    return nodes[0]
