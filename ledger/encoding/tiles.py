"""The log as files: tiles of hashes, bundles of entries, proofs from tiles (c2sp.org/tlog-tiles).

A *node* here is the root of a perfect subtree: ``node(level, index)`` covers the entries from
index · 2^level on, 2^level of them. A tile holds 256 neighbouring nodes of every eighth level.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ledger.encoding import merkle
from ledger.encoding.text import SIZE_MAX, MalformedText, parse_decimal

TILE_WIDTH = 256
"""Hashes in a full tile, entries in a full bundle."""
TILE_HEIGHT = 8
"""Levels of the tree from one level of tiles to the next."""
HASH_BYTES = 32
ENTRY_BYTES_MAX = 65_535
"""Longest entry of a bundle: its length has two bytes."""
BUNDLE_BYTES_MAX = TILE_WIDTH * (2 + ENTRY_BYTES_MAX)
"""Longest bundle: whoever fetches one reads no more."""
LEVEL_MAX = 63
"""Highest level that a path may write."""
PATH_CHARACTERS_MAX = 64
"""Longest path of a tile or bundle; the longest that means anything has 43."""

Node = Callable[[int, int], bytes]
"""Takes level and index, returns the root of that perfect subtree, 32 bytes."""


class MalformedTile(MalformedText):
    """A path names no tile, or the bytes are not what the tile must hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A sequence of nodes of level 8 · ``level``."""

    level: int
    index: int
    width: int
    """How many hashes: 256, or less at the right edge of a tree."""

    def path(self) -> str:
        """Return ``tile/<L>/<N>[.p/<W>]`` (Y5.2)."""
        return f"tile/{self.level}/{_index_path(self.index)}{_width_path(self.width)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The entries under the tile of level 0 with the same index and width."""

    index: int
    width: int

    def path(self) -> str:
        """Return ``tile/entries/<N>[.p/<W>]`` (Y5.2)."""
        return f"tile/entries/{_index_path(self.index)}{_width_path(self.width)}"


def parse_path(path: str) -> Tile | Bundle:
    """Return what a path names. Raises MalformedTile unless it is that thing's only path."""
    if len(path) > PATH_CHARACTERS_MAX:
        raise MalformedTile(f"expected at most {PATH_CHARACTERS_MAX} characters")
    whole, partial, width_text = path.partition(".p/")
    _, _, rest = whole.partition("/")
    level_text, _, groups = rest.partition("/")
    try:
        index = parse_decimal(groups.replace("/", "").replace("x", "").lstrip("0") or "0")
        width = parse_decimal(width_text) if partial else TILE_WIDTH
        level = 0 if level_text == "entries" else parse_decimal(level_text)
    except MalformedText as error:
        raise MalformedTile(str(error)) from None
    named = (
        Bundle(index=index, width=width)
        if level_text == "entries"
        else Tile(level=level, index=index, width=width)
    )
    if not (level <= LEVEL_MAX and 1 <= width <= TILE_WIDTH and is_within(named, SIZE_MAX)):
        raise MalformedTile("no tree has such a tile")
    if named.path() != path:
        raise MalformedTile(f"the path is {named.path()}")
    return named


def is_within(named: Tile | Bundle, size: int) -> bool:
    """Return whether a tree of ``size`` entries determines all of a tile or bundle (Y5.3)."""
    level = named.level if isinstance(named, Tile) else 0
    return (named.index * TILE_WIDTH + named.width) << (level * TILE_HEIGHT) <= size


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield the tiles of a tree: level by level, from the left, each as wide as it can be."""
    level, hashes = 0, size
    while hashes:
        for index, width in _widths(hashes):
            yield Tile(level=level, index=index, width=width)
        level, hashes = level + 1, hashes // TILE_WIDTH


def bundles_of(size: int) -> Iterator[Bundle]:
    """Yield the bundles of a tree, from the left."""
    for index, width in _widths(size):
        yield Bundle(index=index, width=width)


def tile_bytes(tile: Tile, node: Node) -> bytes:
    """Return what a tile holds, read from the nodes of the tree (Y5.1)."""
    start = tile.index * TILE_WIDTH
    level = tile.level * TILE_HEIGHT
    return b"".join(node(level, start + offset) for offset in range(tile.width))


def grow(
    stored: Callable[[int, int], bytes], *, size: int, leaves: Sequence[bytes]
) -> dict[tuple[int, int], bytes]:
    """Return the tiles, by (level, index), that leaf hashes behind a tree of ``size`` change.

    Each is as wide as the new tree has it; by level, from the left. ``stored`` gives such a tile
    as the old tree has it, and is asked for the last tiles of levels only.
    """
    changed: dict[tuple[int, int], bytes] = {}
    level, hashes = 0, leaves
    while hashes:
        roots: list[bytes] = []
        at = size >> (level * TILE_HEIGHT)
        end = at + len(hashes)
        while at < end:
            index, width = divmod(at, TILE_WIDTH)
            taken = hashes[at - end :][: TILE_WIDTH - width]
            before = stored(level, index) if width else b""
            assert len(before) == width * HASH_BYTES, f"tile {level}/{index} is not of this tree"
            changed[level, index] = before + b"".join(taken)
            at += len(taken)
            if at % TILE_WIDTH == 0:
                whole = tile_hashes(changed[level, index], TILE_WIDTH)
                roots.append(merkle.subtree_root(whole))
        level, hashes = level + 1, roots
    return changed


def tile_hashes(data: bytes, width: int) -> tuple[bytes, ...]:
    """Return the hashes of a tile of this width. Raises MalformedTile at any other length."""
    if len(data) != width * HASH_BYTES:
        raise MalformedTile(f"expected {width * HASH_BYTES} bytes, got {len(data)}")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def bundle_bytes(entries: Sequence[bytes]) -> bytes:
    """Return entries framed as a bundle (Y5.5)."""
    assert 1 <= len(entries) <= TILE_WIDTH
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def bundle_entries(data: bytes, width: int) -> tuple[bytes, ...]:
    """Return the entries of a bundle of this width. Raises MalformedTile.

    What they are is known once their leaf hashes are those of a believed tile.
    """
    entries: list[bytes] = []
    at = 0
    for _ in range(width):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise MalformedTile(f"the bundle ends within entry {len(entries)}")
        entries.append(data[start:at])
    if at != len(data):
        raise MalformedTile(f"{len(data) - at} bytes after the last entry")
    return tuple(entries)


class TileNodes:
    """Reads nodes from the tiles of a tree of one size; each tile is fetched once.

    Nothing fetched is believed: a wrong tile makes a wrong root or a proof that does not verify.
    So compare with the root of a checkpoint that a policy accepted.
    """

    def __init__(self, *, size: int, fetch: Callable[[Tile], bytes]) -> None:
        self._size = size
        self._fetch = fetch
        self._tiles: dict[Tile, tuple[bytes, ...]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Return a node that the tree has. Raises MalformedTile if its tile has another length."""
        assert (index + 1) << level <= self._size
        below = level % TILE_HEIGHT
        hashes = self._hashes(level // TILE_HEIGHT, (index << below) // TILE_WIDTH)
        start = (index << below) % TILE_WIDTH
        return merkle.subtree_root(hashes[start : start + (1 << below)])

    def _hashes(self, level: int, index: int) -> tuple[bytes, ...]:
        available = (self._size >> (level * TILE_HEIGHT)) - index * TILE_WIDTH
        tile = Tile(level=level, index=index, width=min(available, TILE_WIDTH))
        if tile not in self._tiles:
            self._tiles[tile] = tile_hashes(self._fetch(tile), tile.width)
        return self._tiles[tile]


def root(node: Node, *, size: int) -> bytes:
    """Return the root of a tree."""
    return _range_root(node, 0, size) if size else merkle.EMPTY_ROOT


def inclusion_proof(node: Node, *, index: int, size: int) -> list[bytes]:
    """Return the audit path of an entry, leaf side first (RFC 6962, 2.1.1)."""
    assert 0 <= index < size
    proof = []
    start, end = 0, size
    while end - start > 1:
        split = _split(start, end)
        if index < split:
            proof.append(_range_root(node, split, end))
            end = split
        else:
            proof.append(_range_root(node, start, split))
            start = split
    return proof[::-1]


def consistency_proof(node: Node, *, size1: int, size2: int) -> list[bytes]:
    """Return the proof that the first tree is a prefix of the second (RFC 6962, 2.1.2)."""
    assert 0 < size1 <= size2
    start, path = _way_to(node, size1, size2)
    # What starts at 0 is the whole first tree, whose root the reader has.
    return [_range_root(node, start, size1), *path] if start else path


def prefix_path(node: Node, *, size1: int, size2: int) -> list[bytes]:
    """Return what makes both roots (``merkle.prefix_roots``), read from the second tree."""
    assert 0 < size1 < size2
    start, path = _way_to(node, size1, size2)
    return [_range_root(node, start, size1), *path]


def _way_to(node: Node, size1: int, size2: int) -> tuple[int, list[bytes]]:
    """Return where the last subtree of the first tree starts, and the hashes beside the way."""
    path = []
    start, end = 0, size2
    while end != size1:
        split = _split(start, end)
        if size1 <= split:
            path.append(_range_root(node, split, end))
            end = split
        else:
            path.append(_range_root(node, start, split))
            start = split
    return start, path[::-1]


def first_difference(node1: Node, node2: Node, *, size: int) -> int | None:
    """Return the first of ``size`` entries that two trees have otherwise; None if there is none."""
    if root(node1, size=size) == root(node2, size=size):
        return None
    start, end = 0, size
    while end - start > 1:
        split = _split(start, end)
        if _range_root(node1, start, split) == _range_root(node2, start, split):
            start = split
        else:
            end = split
    return start


def _split(start: int, end: int) -> int:
    """Return where a subtree divides: the left part is the largest power of two below its size."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _range_root(node: Node, start: int, end: int) -> bytes:
    """Return the root over some entries; ``start`` is a multiple of what ``_split`` cuts off."""
    accumulated = b""
    while start < end:  # from the right, where the perfect subtrees are smallest
        level = ((end - start) & -(end - start)).bit_length() - 1
        end -= 1 << level
        piece = node(level, end >> level)
        accumulated = merkle.node_hash(piece, accumulated) if accumulated else piece
    return accumulated


def _widths(hashes: int) -> Iterator[tuple[int, int]]:
    """Yield index and width of the tiles that ``hashes`` hashes fill."""
    full, rest = divmod(hashes, TILE_WIDTH)
    for index in range(full):
        yield index, TILE_WIDTH
    if rest:
        yield full, rest


def _index_path(index: int) -> str:
    """Return the index in groups of three digits, all but the last after an x."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


def _width_path(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
