"""Where two copies of a ledger part: the first entry that one has otherwise than the other.

The entries are the ledger: the records among them carry results, state roots and each other's
hashes. Certificates are not compared: two nodes keep different quorums of one block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from audit.sources import (
    Api,
    NodeStore,
    Source,
    SourceLacks,
    SourceUnreachable,
    SourceWrong,
    TileDump,
)
from ledger.encoding import merkle, tiles
from ledger.encoding.codec import NotCanonical
from ledger.encoding.text import MalformedText
from ledger.encoding.tiles import Node, TileNodes
from ledger.entries import ClosingEntry, decode_entry

BLOCK_ENTRIES_MAX = 100_000
"""How far the record is looked for that closes an entry's block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two sources have in common, and how much each has."""

    sizes: tuple[int, int]
    """Entries of each, of a source that was read to the end; else as far as it was compared."""
    common: int
    """How many entries from the beginning are the same."""
    root: bytes
    """Over these."""
    compared: Literal["tiles", "entries"]
    """Tiles are what a source says of its tree; of the entries only the one at the end is read."""

    @property
    def differ(self) -> bool:
        """Return whether the next entry is another in each."""
        return self.common < min(self.sizes)


def compare(source1: Source, source2: Source, *, by_entries: bool = False) -> Comparison:
    """Return how two sources of one log id compare: by tiles, where both have some.

    Raises SourceLacks, SourceWrong or SourceUnreachable.
    """
    if not by_entries:
        try:
            trees = _tree(source1), _tree(source2)
            if trees[0] is not None and trees[1] is not None:
                return _by_tiles(*trees[0], *trees[1])
        except (SourceLacks, SourceUnreachable):
            pass  # no tiles, or none now: the entries say the same, or what is wrong
    return _by_entries(source1, source2)


def entry_at(source: Source, index: int) -> tuple[bytes, int | None]:
    """Return an entry, and the height of the block that it is in; None if none closes."""
    wanted: bytes | None = None
    for _, data in zip(range(BLOCK_ENTRIES_MAX), source.entries(index), strict=False):
        wanted = data if wanted is None else wanted
        try:
            entry = decode_entry(data)
        except NotCanonical:
            break
        if isinstance(entry, ClosingEntry):
            return wanted, entry.record.height
    if wanted is None:
        raise SourceLacks(f"there is no entry {index}")
    return wanted, None


def _tree(source: Source) -> tuple[int, Node] | None:
    """Return size and nodes of a source's tree, as it says; None if it has no tiles."""
    if not isinstance(source, Api | NodeStore | TileDump):
        return None
    end, head = source.end(), source.checkpoint()
    size = end.log_size if end is not None else 0 if head is None else head.size
    return size, TileNodes(size=size, fetch=source.tile)


def _by_tiles(size1: int, node1: Node, size2: int, node2: Node) -> Comparison:
    common = min(size1, size2)
    try:
        first = tiles.first_difference(node1, node2, size=common)
        common = common if first is None else first
        root = tiles.root(node1, size=common)
    except MalformedText as error:
        raise SourceWrong("tiles", str(error)) from None
    return Comparison(sizes=(size1, size2), common=common, root=root, compared="tiles")


def _by_entries(source1: Source, source2: Source) -> Comparison:
    same = merkle.Frontier()
    rows: Iterator[tuple[bytes | None, bytes | None]] = zip_longest(
        source1.entries(0), source2.entries(0)
    )
    sizes = [0, 0]
    for first, second in rows:
        sizes[0] += first is not None
        sizes[1] += second is not None
        if first is None or second is None:
            continue  # one has ended: only the length of the other is of interest
        if first != second:
            break
        same.append(merkle.leaf_hash(first))
    return Comparison(
        sizes=(sizes[0], sizes[1]), common=same.size, root=same.root(), compared="entries"
    )
