"""The state tree: one hash over every record, and proofs of one record against it (spec V).

A compact sparse Merkle tree in the shape of ICS23's SmtSpec, kept in pages of 16 slots, so that a
changed key costs a stored page every four levels instead of a stored node every level.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

EMPTY = bytes(32)
"""What a subtree without leaves hashes to; the root of the empty tree."""

KEY_BYTES_MAX = 255
SIBLINGS_MAX = 256
"""Levels of the tree: one for each bit of a path."""

_SLOTS = 16
_BIT = tuple(0x8000 >> slot for slot in range(_SLOTS))
_HASH = 32
_KEY_AT = _HASH + _HASH + 1
"""Where the key stands in a leaf's slot: leaf hash ‖ value hash ‖ u8 length ‖ key."""
_NIBBLES = bytes.maketrans(b"0123456789abcdef", bytes(range(_SLOTS)))

# In here a node is bytes, as in a page's slot: b"" if empty, the hash if it has children, and the
# whole slot of a leaf if that stands alone. The first 32 bytes are the hash of either.


class Pages(Protocol):
    """Where the pages are kept."""

    def page(self, prefix: bytes) -> bytes | None:
        """Return the page under a path prefix, one nibble a byte; b"" names the top page."""


class DamagedPage(Exception):
    """A page is missing or malformed: the disk's fault or ours. ``check`` names all of them."""

    def __init__(self, prefix: bytes) -> None:
        super().__init__(f"page {prefix.hex()[1::2] or 'on top'} of the state tree is damaged")
        self.prefix = prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What a batch of values makes of the tree."""

    root: bytes
    pages: dict[bytes, bytes]
    """The pages whose bytes changed, by prefix. No page ever vanishes, since no key does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A key and the SHA-256 of its value."""

    key: bytes
    value_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The way from the end of a key's path up to the root (V6)."""

    siblings: tuple[bytes, ...]
    """The hashes beside the way, the lowest first. Their sides follow from the key: ``steps``."""
    leaf: Leaf | None
    """What stands where the way ends: the key's own leaf, another one, or nothing. Either of the
    last two proves that the key is absent."""


def leaf_hash(key: bytes, value: bytes) -> bytes:
    """Return SHA-256(00 ‖ SHA-256(key) ‖ SHA-256(value)) (V2)."""
    return _leaf_hash(sha256(key).digest(), sha256(value).digest())


def root(pages: Pages) -> bytes:
    """Return the root of the tree."""
    raw = pages.page(b"")
    return EMPTY if raw is None else _fold(_decode(b"", raw))


def update(pages: Pages, values: Mapping[bytes, bytes]) -> Update:
    """Set the values of keys, known and new ones; nothing is stored here.

    Each page on the way to a key is read, folded and encoded once for the whole batch.
    """
    if not values:
        return Update(root=root(pages), pages={})
    batch = []
    for key, value in values.items():
        assert 0 < len(key) <= KEY_BYTES_MAX and key.isascii()  # V1
        path = sha256(key).digest()
        value_hash = sha256(value).digest()
        leaf = b"".join((_leaf_hash(path, value_hash), value_hash, bytes((len(key),)), key))
        batch.append((_nibbles(path), leaf))
    changed: dict[bytes, bytes] = {}
    top = _write(pages, b"", pages.page(b""), batch, changed)
    return Update(root=top, pages=changed)


def prove(pages: Pages, key: bytes) -> Proof:
    """Return the proof of what a key holds, or that it is absent."""
    path = _nibbles(sha256(key).digest())
    siblings: list[bytes] = []
    raw = pages.page(b"")
    leaf = b""
    depth = 0
    while raw is not None:
        slot = path[depth]
        levels = _levels(_decode(path[:depth], raw))
        for height in (4, 3, 2, 1, 0):
            leaf = levels[height][slot >> height]
            if len(leaf) != _HASH:  # nothing or a lone leaf: here the way ends
                raw = None
                break
            if height:
                sibling = levels[height - 1][slot >> (height - 1) ^ 1]
                siblings.append(sibling[:_HASH] or EMPTY)
        else:
            depth += 1
            raw = _stored(pages, path[:depth])
    return Proof(
        siblings=tuple(reversed(siblings)),
        leaf=Leaf(key=leaf[_KEY_AT:], value_hash=leaf[_HASH : 2 * _HASH]) if leaf else None,
    )


def verify(root: bytes, key: bytes, value: bytes | None, proof: Proof) -> bool:
    """Return whether a proof shows that the key has this value or, with None, that it is absent.

    The proof may be hostile: any bytes get a verdict, after at most 256 nodes.
    """
    leaf, depth = proof.leaf, len(proof.siblings)
    if depth > SIBLINGS_MAX or any(len(sibling) != _HASH for sibling in proof.siblings):
        return False
    if (leaf is not None and leaf.key == key) is (value is None):
        return False
    accumulated = EMPTY
    if leaf is not None:
        path = sha256(leaf.key).digest()
        # Another leaf tells of this key only if it stands where the key's own would.
        if (int.from_bytes(path, "big") ^ _path_bits(key)) >> (SIBLINGS_MAX - depth):
            return False
        if value is not None and leaf.value_hash != sha256(value).digest():
            return False
        if len(leaf.value_hash) != _HASH:
            return False
        accumulated = _leaf_hash(path, leaf.value_hash)
    for is_left, sibling in steps(key, proof):
        pair = sibling + accumulated if is_left else accumulated + sibling
        accumulated = sha256(b"\x01" + pair).digest()
    return accumulated == root


def steps(key: bytes, proof: Proof) -> tuple[tuple[bool, bytes], ...]:
    """Return the siblings of a proof, the lowest first, each with whether it stands on the left.

    These are the inner operations of an ICS23 existence proof (V7).
    """
    assert len(proof.siblings) <= SIBLINGS_MAX
    bits = _path_bits(key) >> (SIBLINGS_MAX - len(proof.siblings))
    return tuple((bool(bits >> level & 1), sibling) for level, sibling in enumerate(proof.siblings))


def check(pages: Pages, expected_root: bytes | None = None) -> Iterator[bytes]:
    """Recompute everything; yield the prefixes of pages that are missing, malformed or wrong (V8).

    A page is measured by the page above it, the top page by the root, if given. Below a bad page
    nothing is measured: mend what is named, then check again.
    """
    stack: list[tuple[bytes, bytes | None]] = [(b"", expected_root)]
    while stack:
        prefix, expected = stack.pop()
        raw = pages.page(prefix)
        if raw is None:
            if prefix or expected not in (None, EMPTY):
                yield prefix
            continue
        try:
            slots = _decode(prefix, raw)
        except DamagedPage:
            yield prefix
            continue
        if expected not in (None, _fold(slots)) or not _has_its_own_leaves(prefix, slots):
            yield prefix
            continue
        stack += [
            (prefix + bytes((slot,)), slots[slot])
            for slot in reversed(range(_SLOTS))
            if len(slots[slot]) == _HASH
        ]


def holds(pages: Pages, prefix: bytes) -> bool:
    """Return whether one page is good (V8), measured by the page above it, and has all below it.

    The top page is measured by nothing here: compare ``root``.
    """
    try:
        slots = _decode(prefix, _stored(pages, prefix))
        if prefix and _decode(prefix[:-1], _stored(pages, prefix[:-1]))[prefix[-1]] != _fold(slots):
            return False
        for slot, node in enumerate(slots):
            if len(node) == _HASH:
                _stored(pages, prefix + bytes((slot,)))
    except DamagedPage:
        return False
    return _has_its_own_leaves(prefix, slots)


def leaves(pages: Pages) -> Iterator[tuple[bytes, bytes]]:
    """Yield each key with its leaf hash, in the order of their paths."""
    if pages.page(b"") is None:
        return
    stack = [(b"", EMPTY)]  # any hash will do: the top page is walked as a child
    while stack:
        prefix, node = stack.pop()
        if len(node) > _HASH:
            yield node[_KEY_AT:], node[:_HASH]
        elif node:
            slots = _decode(prefix, _stored(pages, prefix))
            stack += [(prefix + bytes((slot,)), slots[slot]) for slot in reversed(range(_SLOTS))]


def _write(
    pages: Pages,
    prefix: bytes,
    raw: bytes | None,
    batch: list[tuple[bytes, bytes]],
    changed: dict[bytes, bytes],
) -> bytes:
    """Put leaves, each after its path, into a page and those below; return what it folds to."""
    slots = [b""] * _SLOTS if raw is None else _decode(prefix, raw)
    depth = len(prefix)
    groups: dict[int, list[tuple[bytes, bytes]]] = {}
    for item in batch:
        groups.setdefault(item[0][depth], []).append(item)
    for slot, group in groups.items():
        node = slots[slot]
        is_child = len(node) == _HASH
        if node and not is_child:
            key = node[_KEY_AT:]
            if all(leaf[_KEY_AT:] != key for _, leaf in group):
                group.append((_nibbles(sha256(key).digest()), node))
        if len(group) == 1 and not is_child:
            slots[slot] = group[0][1]
        else:
            below = prefix + bytes((slot,))
            below_raw = _stored(pages, below) if is_child else None
            slots[slot] = _write(pages, below, below_raw, group, changed)
    encoded = _encode(slots)
    if encoded != raw:
        changed[prefix] = encoded
    return _fold(slots)


def _fold(slots: list[bytes]) -> bytes:
    """Return the hash of the subtree that a page holds."""
    return _levels(slots)[-1][0][:_HASH]


def _levels(slots: list[bytes]) -> list[list[bytes]]:
    """Return the nodes of a page level by level, from its 16 slots to the one on top."""
    levels = [slots]
    nodes = slots
    while len(nodes) > 1:
        upper: list[bytes] = []
        for left, right in zip(nodes[::2], nodes[1::2], strict=True):
            if left and right:
                upper.append(sha256(b"\x01" + left[:_HASH] + right[:_HASH]).digest())
            elif len(node := left or right) == _HASH:
                upper.append(sha256(b"\x01" + (left or EMPTY) + (right or EMPTY)).digest())
            else:
                upper.append(node)  # a lone leaf is its subtree (V3)
        nodes = upper
        levels.append(nodes)
    return levels


def _encode(slots: list[bytes]) -> bytes:
    """Return the bytes of a page (V5)."""
    bitmaps = 0
    for bit, node in zip(_BIT, slots, strict=True):
        if node:
            bitmaps |= bit if len(node) == _HASH else bit << _SLOTS
    return bitmaps.to_bytes(4, "big") + b"".join(slots)


def _decode(prefix: bytes, raw: bytes) -> list[bytes]:
    """Return the slots of a page; bytes that no page can have raise ``DamagedPage``."""
    slots = [b""] * _SLOTS
    bitmaps = int.from_bytes(raw[:4], "big")
    is_leaf, is_child = bitmaps >> _SLOTS, bitmaps & 0xFFFF
    at = 4
    for slot, bit in enumerate(_BIT):
        end = at
        if is_child & bit:
            end += _HASH
        elif is_leaf & bit:
            end += _KEY_AT
            end += int.from_bytes(raw[end - 1 : end], "big")
        slots[slot] = raw[at:end]
        at = end
    is_lone = bool(prefix) and not is_child and is_leaf.bit_count() < 2
    if at != len(raw) or is_leaf & is_child or is_lone or not bitmaps:
        raise DamagedPage(prefix)
    return slots


def _stored(pages: Pages, prefix: bytes) -> bytes:
    """Return a page that the page above names."""
    raw = pages.page(prefix)
    if raw is None:
        raise DamagedPage(prefix)
    return raw


def _has_its_own_leaves(prefix: bytes, slots: list[bytes]) -> bool:
    """Return whether every leaf of a page hashes to what it says, and belongs where it stands."""
    for slot, leaf in enumerate(slots):
        if len(leaf) > _HASH:
            path = sha256(leaf[_KEY_AT:]).digest()
            if leaf[:_HASH] != _leaf_hash(path, leaf[_HASH : 2 * _HASH]):
                return False
            if not _nibbles(path).startswith(prefix + bytes((slot,))):
                return False
    return True


def _leaf_hash(path: bytes, value_hash: bytes) -> bytes:
    return sha256(b"\x00" + path + value_hash).digest()


def _path_bits(key: bytes) -> int:
    """Return the path of a key as a number of 256 bits."""
    return int.from_bytes(sha256(key).digest(), "big")


def _nibbles(path: bytes) -> bytes:
    """Return a path as 64 nibbles, one a byte."""
    return path.hex().encode().translate(_NIBBLES)
