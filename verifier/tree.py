"""Merkle trees of RFC 6962 over a stream of leaves (wire.md, W4)."""

import hashlib

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf (W4.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (W4.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that only grows: its size, and the roots of its perfect subtrees (W4.3)."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []
        """Largest first; one for each binary digit 1 of the size."""

    def append(self, entry: bytes) -> bytes:
        """Add a leaf on the right; return its hash."""
        leaf = node = leaf_hash(entry)
        # Each trailing digit 1 of the size is a peak as large as what has just grown.
        size = self.size
        while size & 1:
            node = node_hash(self._peaks.pop(), node)
            size >>= 1
        self._peaks.append(node)
        self.size += 1
        return leaf

    def root(self) -> bytes:
        """Return the root of all leaves."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def root_of(leaves: tuple[bytes, ...]) -> bytes:
    """Return the root of a few leaves."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()
