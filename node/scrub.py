"""Reads everything a store holds again and again, in small steps, and finds what rotted (spec N11).

Nothing stored is believed because it is stored: entries must hash to the roots that records name,
records to the state root and their indexes, commits to the chain of headers. A step reads a few
rows inside one short read; the next step may see a later state.
"""

from collections.abc import Generator

import msgspec

from engines.failures import unbroken
from engines.families import family_of
from engines.seam import CommitInvalid
from ledger import state_tree
from ledger.blocks import BlockRecord, record_hash_of
from ledger.encoding import codec, merkle, tiles
from ledger.encoding.codec import UINT64_MAX, NotCanonical
from ledger.encoding.tiles import HASH_BYTES, TILE_HEIGHT, TILE_WIDTH
from ledger.entries import ClosingEntry, GenesisEntry, TransactionEntry, decode_entry
from ledger.genesis import log_id_of, parse_genesis
from ledger.inadmissible import KindUnknown
from ledger.store.lmdb_store import DAMAGES, Snapshot, StoreDamaged
from ledger.store.rows import BlockRow, due_row, party_rows
from ledger.tables import table_of
from ledger.transactions import parse

ROWS_A_STEP = 64
"""Rows read in one step: some milliseconds."""
TILES_A_STEP = 8
"""Tiles read in one step, and their roots computed: some milliseconds."""

UNREADABLE = (NotCanonical, KindUnknown, LookupError, ValueError, msgspec.MsgspecError, *DAMAGES)
"""What reading rotten rows ends with; every other error is a defect of this module."""

STORE_DAMAGED = "the store is damaged"
"""How the reason begins that `tally node heal` takes away."""

Walk = Generator[None, Snapshot, None]


class StoreRotten(StoreDamaged):
    """A row is not what was written."""

    def __init__(self, damage: str) -> None:
        super().__init__(
            f"{STORE_DAMAGED}: {damage}; `tally node heal` puts it aside, and the node then "
            "makes it anew from its peers"
        )


class Scrub:
    """One reader over the whole store; ``passes`` counts how often it came to the end."""

    def __init__(self) -> None:
        self.passes = 0
        self._walk = self._begin()

    def step(self, snapshot: Snapshot) -> None:
        """Read some rows more; raise StoreRotten."""
        with unbroken("reading the store over"):  # else the rest would never be read
            try:
                self._walk.send(snapshot)
            except StopIteration:
                self.passes += 1
                self._walk = self._begin()
            except UNREADABLE as error:
                reason = f"a row cannot be read ({type(error).__name__}: {error})"
                raise StoreRotten(reason) from None

    def _begin(self) -> Walk:
        walk = self._all()
        next(walk)
        return walk

    def _all(self) -> Walk:
        snapshot = yield
        if snapshot.head() is None:
            return
        for part in (_log(), _tiles(), _blocks(), _records(), _pages(), _states()):
            next(part)
            while _goes_on(part, snapshot):
                snapshot = yield


def _goes_on(part: Walk, snapshot: Snapshot) -> bool:
    try:
        part.send(snapshot)
    except StopIteration:
        return False
    return True


def _require(holds: bool, damage: str) -> None:
    if not holds:
        raise StoreRotten(damage)


def _log() -> Walk:
    """Read every entry: each record must name the root over all before it, a tile its hash."""
    frontier = merkle.Frontier()
    previous = b""
    envelopes: list[bytes] = []
    snapshot = yield
    while True:
        head = snapshot.head()
        assert head is not None
        previous = previous or head.log_id
        start = frontier.size.to_bytes(8, "big")
        rows = list(snapshot.scan("log", prefix=b"", start=start, limit=ROWS_A_STEP))
        for key, raw in rows:
            _require(key == frontier.size.to_bytes(8, "big"), f"entry {frontier.size} is missing")
            entry = decode_entry(raw)
            if isinstance(entry, TransactionEntry):
                envelopes.append(entry.signed)
                _check_id(snapshot, entry, frontier.size)
            if isinstance(entry, ClosingEntry):
                _check_record(entry.record, previous, envelopes, frontier)
                previous = record_hash_of(entry.record)
                envelopes = []
            leaf = merkle.leaf_hash(raw)
            tile, place = divmod(frontier.size, TILE_WIDTH)
            in_tile = snapshot.stored_tile(0, tile)[place * HASH_BYTES :][:HASH_BYTES]
            _require(in_tile == leaf, f"entry {frontier.size} of the log, or its hash in the tile")
            frontier.append(leaf)
        if len(rows) < ROWS_A_STEP:
            _require(frontier.size == head.log_size, f"entry {frontier.size} of the log is missing")
            _require(tuple(frontier.peaks) == head.log_peaks, "the head is not of this log")
            _require(previous == head.record_hash, "the head names another record")
            return
        snapshot = yield


def _tiles() -> Walk:
    """Read every tile: full ones make the hashes above them, as entries those of level 0 (Y5.1)."""
    level, index = 0, 0
    snapshot = yield
    while True:
        head = snapshot.head()
        assert head is not None
        for _ in range(TILES_A_STEP):
            if index * TILE_WIDTH >= head.log_size >> (level * TILE_HEIGHT):
                level, index = level + 1, 0
            hashes = head.log_size >> (level * TILE_HEIGHT)
            if not hashes:
                return
            _check_tile(snapshot, level, index, min(TILE_WIDTH, hashes - index * TILE_WIDTH))
            index += 1
        snapshot = yield


def _check_tile(snapshot: Snapshot, level: int, index: int, width: int) -> None:
    """Check a tile's width and, if it is full, the hash above it.

    So each hash above level 0 is checked with the tile that it is the root of.
    """
    name = f"tile {level}/{index} of the log"
    data = snapshot.stored_tile(level, index)
    _require(len(data) == width * HASH_BYTES, f"{name} has another width")
    if width == TILE_WIDTH:
        parent, place = divmod(index, TILE_WIDTH)
        above = snapshot.stored_tile(level + 1, parent)[place * HASH_BYTES :][:HASH_BYTES]
        root = merkle.subtree_root(tiles.tile_hashes(data, width))
        _require(above == root, f"{name} is not what the tile above it says")


def _check_id(snapshot: Snapshot, entry: TransactionEntry, sequence: int) -> None:
    transaction = parse(entry.signed)
    indexed = snapshot.sequence_of(transaction.id, transaction.body.expires_at)
    _require(indexed == sequence, f"the id of the transaction at {sequence} is not in the index")


def _check_record(
    record: BlockRecord, previous: bytes, envelopes: list[bytes], before: merkle.Frontier
) -> None:
    name = f"the record of height {record.height}"
    _require(record.previous == previous, f"{name} does not follow the one before")
    _require(record.transactions_root == merkle.root(envelopes), f"a transaction before {name}")
    is_of_log = (record.log_size, record.log_root) == (before.size, before.root())
    _require(is_of_log, f"an entry before {name}")


def _records() -> Walk:
    """Read every version of every record: the last is the current one, and in the state tree."""
    start, known = b"", b""
    covered, root = 0, b""
    snapshot = yield
    while True:
        if snapshot.tree_log_size() != covered:
            covered = snapshot.tree_log_size()
            root = _root_after(snapshot, covered)
        _require(not root or _tree_root(snapshot) == root, "the top of the state tree")
        rows = list(snapshot.scan("history", prefix=b"", start=start, limit=ROWS_A_STEP))
        for row, value in rows:
            key, sequence = row[:-9], row[-8:]
            if known and key != known:
                _check_current(snapshot, known, root)
            known, start = key, row + b"\0"
            _require(value[:8] == sequence, f"a version of {_name(key)} names another entry")
            codec.decode(table_of(key).record, value[8:], UINT64_MAX)
        if len(rows) < ROWS_A_STEP:
            _check_current(snapshot, known, root)
            return
        snapshot = yield


def _pages() -> Walk:
    """Read every page of the state tree."""
    start = b""
    snapshot = yield
    while True:
        rows = list(snapshot.scan("tree", prefix=b"", start=start, limit=ROWS_A_STEP // 4))
        for row, _ in rows:
            is_named = len(row) == 1 + row[0]
            _require(
                is_named and state_tree.holds(snapshot, row[1:]), f"page {row.hex()} of the tree"
            )
            start = row + b"\0"
        if len(rows) < ROWS_A_STEP // 4:
            return
        snapshot = yield


def _states() -> Walk:
    """Read every current record: it is the last version of its history."""
    start = b""
    snapshot = yield
    while True:
        rows = list(snapshot.scan("state", prefix=b"", start=start, limit=ROWS_A_STEP))
        for key, value in rows:
            newest = snapshot.version_before(key, UINT64_MAX)
            _require(newest == value, f"{_name(key)} is not its last version")
            start = key + b"\0"
        if len(rows) < ROWS_A_STEP:
            return
        snapshot = yield


def _check_current(snapshot: Snapshot, key: bytes, root: bytes) -> None:
    name, value = _name(key), snapshot.value(key)
    newest = snapshot.version_before(key, UINT64_MAX)
    _require(value is not None and value == newest, f"{name} is not its last version")
    assert value is not None
    record = codec.decode(table_of(key).record, value[8:], UINT64_MAX)
    due = due_row(key, record)
    rows = [("parties", row) for row in party_rows(key, record)]
    rows += [] if due is None else [("due", due)]
    for database, row in rows:
        _require(snapshot.has(database, row), f"the index {database} lacks {name}")
    rooted = snapshot.version_before(key, snapshot.tree_log_size())
    if rooted is not None:
        try:
            proof = state_tree.prove(snapshot, key)
        except state_tree.DamagedPage as error:
            raise StoreRotten(str(error)) from None
        holds = state_tree.verify(root, key, rooted, proof)
        _require(holds, f"{name} is not what the state root says, or the tree is not")


def _name(key: bytes) -> str:
    return key.decode("ascii", "replace")


def _tree_root(snapshot: Snapshot) -> bytes:
    try:
        return state_tree.root(snapshot)
    except state_tree.DamagedPage as error:
        raise StoreRotten(str(error)) from None


def _root_after(snapshot: Snapshot, log_size: int) -> bytes:
    """Return the root that a record names of the height at whose end the log had that size."""
    ends = snapshot.entries(log_size - 1, log_size)
    _require(len(ends) == 1, "the state tree is of no block")
    last = decode_entry(ends[0])
    height = last.record.height if isinstance(last, ClosingEntry) else 0
    at = log_size
    while rows := snapshot.entries(at, at + ROWS_A_STEP):
        for raw in rows:
            entry = decode_entry(raw)
            if isinstance(entry, ClosingEntry):
                for root in entry.record.state_root:
                    if root.height == height:
                        return root.root
        at += len(rows)
    raise StoreRotten("the state tree is of no root")


def _blocks() -> Walk:
    """Read row and commit of every height: headers in a chain, with bodies and signatures."""
    height, parent = 0, b""
    before: BlockRow | None = None
    snapshot = yield
    while True:
        head = snapshot.head()
        assert head is not None
        rows_left = ROWS_A_STEP
        while rows_left > 0 and height <= head.height:
            before = _check_row(snapshot, height, before)
            if height:
                try:
                    parent = family_of("").verify_stored(snapshot, before, parent)
                except CommitInvalid as error:
                    raise StoreRotten(str(error)) from None
            height += 1
            # A commit costs about as much as eight rows: its signatures are verified.
            rows_left -= 8 + before.log_size - before.first_sequence
        if height > head.height:
            assert before is not None
            last = (before.height, before.record_hash, before.log_size, before.time_ms)
            _require(
                last == (head.height, head.record_hash, head.log_size, head.time_ms),
                "the head is not of the last block",
            )
            return
        snapshot = yield


def _check_row(snapshot: Snapshot, height: int, before: BlockRow | None) -> BlockRow:
    """Return where a block lies; it begins where the one before ends, and ends with its record."""
    name = f"the row of block {height}"
    row = snapshot.block_row(height)
    _require(row is not None and row.height == height, f"{name} is missing")
    assert row is not None
    begins = 0 if before is None else before.log_size
    _require(row.first_sequence == begins <= row.log_size, name)
    if row.log_size == row.first_sequence:
        _require(before is not None and row.record_hash == before.record_hash, name)
        return row
    (raw,) = snapshot.entries(row.log_size - 1, row.log_size) or (b"",)
    match decode_entry(raw):
        case ClosingEntry(record=record):
            closed = (record.height, record.time_ms, record_hash_of(record))
        case GenesisEntry(genesis=data):
            _require(data == snapshot.genesis(), "the genesis")
            closed = (0, parse_genesis(data).time_ms, log_id_of(data))
        case _:
            raise StoreRotten(f"{name} does not end with a record")
    _require(closed == (height, row.time_ms, row.record_hash), name)
    return row
