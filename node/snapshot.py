"""A store made from what strangers export: everything is proven, nothing is executed (spec N12).

Three passes. The log must be the chain of records that hash to each other; every version of every
record must be in the changes root of its block; every height must be decided by its validators,
who are themselves such records. What does not fit is refused with its place.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from engines.families import family_of
from engines.seam import CommitInvalid, ProvenCommit
from ledger.audit import BLOCK_ENTRIES_MAX
from ledger.blocks import BlockRecord, StateRoot, record_hash_of
from ledger.encoding import codec, crypto, merkle
from ledger.encoding.codec import NotCanonical, Record
from ledger.encoding.crypto import sha256
from ledger.entries import ClosingEntry, GenesisEntry, TransactionEntry, decode_entry
from ledger.execute import Head, stored_value
from ledger.genesis import genesis_changes, log_id_of, parse_genesis
from ledger.inadmissible import KindUnknown
from ledger.ledger import beginning
from ledger.rules.validators import VALIDATORS, ValidatorSchedule
from ledger.store.durable import sync_folder
from ledger.store.restore import StoreDraft
from ledger.store.rows import BlockRow
from ledger.tables import table_of
from ledger.transactions import parse
from node.exports import FileDamaged, Version, read_commits, read_entries, read_history

LOG, COMMITS, HISTORY = "entries.bin", "commits.bin", "history.bin"
INDEX = "index.sqlite"
"""Which version stands at which log position; only while a store is made."""
INDEX_CACHE_KIB = 16 * 1024
BLOCK_LOG_BYTES_MAX = 64 * 1024 * 1024
"""Entries of one block, in bytes, that are taken: far above what a block's limits (B3.3) allow."""
_VALIDATORS_KEY = VALIDATORS.key("all")

T = TypeVar("T")


class SnapshotRefused(Exception):
    """What was downloaded is not what an honest ledger exports; the sentence names the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPoint:
    """What somebody trusted says of the ledger: its record hash after a height."""

    height: int
    record_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A store that was made."""

    head: Head
    versions: int
    """Versions of records in it."""


def make_store(
    *,
    genesis: bytes,
    folder: Path,
    height: int,
    log_size: int,
    trust: TrustPoint | None,
    draft: Path,
    store: Path,
    map_bytes: int,
) -> Made:
    """Prove what a folder holds through a height, and turn it into a store by one rename.

    ``draft`` is a folder that does not exist yet, beside ``store``. Raises SnapshotRefused,
    StoreFull, or OSError if a store came to be meanwhile. Memory does not grow with the ledger.
    """
    index = folder / INDEX
    index.unlink(missing_ok=True)
    making = _Making(genesis, folder, height, log_size, trust)
    try:
        made = making.run(StoreDraft(draft, map_bytes=map_bytes), _Index(index))
    finally:
        index.unlink(missing_ok=True)
    sync_folder(draft)
    draft.rename(store)
    sync_folder(store.parent)
    return made


class _Making:
    """The three passes, and what one leaves to the next."""

    _draft: StoreDraft
    _index: "_Index"

    def __init__(
        self, genesis: bytes, folder: Path, height: int, log_size: int, trust: TrustPoint | None
    ) -> None:
        self._genesis = genesis
        self._log_id = log_id_of(genesis)
        self._folder = folder
        self._height, self._log_size = height, log_size
        self._trust = trust
        self._frontier = merkle.Frontier()
        self._root: tuple[int, StateRoot] | None = None
        """How many entries the last state root covers, and the root."""
        self._ends = {0: 1}
        """Where the block of a height ends in the log, of those that the next root may name."""
        self._rooted: bytes | None = None
        """The current key's last version as of that root."""
        self._versions = 0
        self._block = (0, 0, 1)
        """Height, first sequence and end of the block whose commits are verified."""
        self._envelopes: tuple[bytes, ...] = ()

    def run(self, draft: StoreDraft, index: "_Index") -> Made:
        self._draft, self._index = draft, index
        with closing(draft), closing(index):
            self._take_log()
            self._take_history()
            head = self._prove_blocks()
            self._prove_state()
            draft.finish(
                self._genesis, head, tree_log_size=None if self._root is None else self._root[0]
            )
        return Made(head=head, versions=self._versions)

    # First pass: the log

    def _take_log(self) -> None:
        """Take every entry; each record must name the root over all before it."""
        previous, height, first, size = self._log_id, 0, 0, 0
        envelopes = merkle.Frontier()
        for sequence, raw in enumerate(self._entries()):
            place = f"entry {sequence} of the log"
            entry = _decoded(decode_entry, raw, place)
            is_genesis = isinstance(entry, GenesisEntry) and entry.genesis == self._genesis
            _require(is_genesis is (sequence == 0), f"{place}: genesis is entry 0 and no other")
            size += len(raw)
            is_small = sequence - first < BLOCK_ENTRIES_MAX and size <= BLOCK_LOG_BYTES_MAX
            _require(is_small, f"{place}: no block is as large as this one")
            if isinstance(entry, TransactionEntry):
                envelopes.append(merkle.leaf_hash(entry.signed))
                transaction = _decoded(parse, entry.signed, place)
                self._draft.add_id(transaction.id, transaction.body.expires_at, sequence)
            if isinstance(entry, ClosingEntry):
                record = entry.record
                self._check_record(record, previous, height, envelopes)
                previous, height = record_hash_of(record), record.height
                envelopes = merkle.Frontier()
                for root in record.state_root:
                    end = self._ends.get(root.height, 0)
                    name = f"the record of height {height}"
                    _require(bool(end), f"{name}: no root before is of {root.height}")
                    self._root = (end, root)
                    self._ends = {at: end for at, end in self._ends.items() if at > root.height}
            leaf = merkle.leaf_hash(raw)
            self._frontier.append(leaf)
            self._draft.add_entry(sequence, raw, leaf)
            if isinstance(entry, ClosingEntry):
                self._ends[height] = sequence + 1
            if isinstance(entry, ClosingEntry | GenesisEntry):
                self._index.add_block(first, sequence + 1)
                first, size = sequence + 1, 0
        end = self._frontier.size
        _require(end == self._log_size, f"the log ends at entry {end}, not at {self._log_size}")
        _require(first == end, f"the log ends inside a block, at entry {end}")

    def _entries(self) -> Iterator[bytes]:
        with (self._folder / LOG).open("rb") as file:
            try:
                yield from islice(read_entries(file), self._log_size)
            except FileDamaged as error:
                raise SnapshotRefused(f"{LOG}, byte {file.tell()}: {error}") from None

    def _check_record(
        self, record: BlockRecord, previous: bytes, height: int, envelopes: merkle.Frontier
    ) -> None:
        name = f"the record of height {record.height}, entry {self._frontier.size} of the log"
        is_next = record.previous == previous and record.height > height
        _require(is_next, f"{name}: it does not follow the one before")
        is_of_these = record.transactions_root == envelopes.root()
        _require(is_of_these, f"{name}: the transactions before it are not its own")
        is_of_log = (record.log_size, record.log_root) == (
            self._frontier.size,
            self._frontier.root(),
        )
        _require(is_of_log, f"{name}: the entries before it are not those that it names")

    # Second pass: the history

    def _take_history(self) -> None:
        """Take the last version of each block and key; every other is under no hash."""
        held: Version | None = None
        is_first = True
        before = b""
        for version in self._history():
            row = version.row
            problem = self._problem_of(version, row, before)
            if problem:
                raise SnapshotRefused(f"{_place(version)}: {problem}")
            if held is not None:
                is_last = held.key != version.key
                if is_last or not self._index.same_block(held.sequence, version.sequence):
                    self._keep(held, is_first=is_first, is_last=is_last)
                    is_first = is_last
            held, before = version, row
        _require(held is not None, "the history is empty")
        assert held is not None
        self._keep(held, is_first=is_first, is_last=True)
        self._draft.flush()

    def _problem_of(self, version: Version, row: bytes, before: bytes) -> str:
        """Return why no row like this can follow the one before, or nothing."""
        if not version.key or not version.key.isascii():
            return "it is no key"
        if row <= before:
            return "it is not after the row before"
        if version.sequence >= self._log_size:
            return f"the log ends at {self._log_size}"
        if version.value[:8] != row[-8:]:
            return "its value names another entry"
        return ""

    def _history(self) -> Iterator[Version]:
        with (self._folder / HISTORY).open("rb") as file:
            try:
                yield from read_history(file)
            except FileDamaged as error:
                raise SnapshotRefused(f"{HISTORY}, byte {file.tell()}: {error}") from None

    def _keep(self, version: Version, *, is_first: bool, is_last: bool) -> None:
        key, value = version.key, version.value
        self._versions += 1
        self._index.add_version(version)
        self._draft.add_version(version.row, value)
        if self._root is not None and version.sequence < self._root[0]:
            self._rooted = value
        if is_first or is_last:
            record = _record(version)
            if is_first:
                self._draft.add_first(key, record)
            if is_last:
                self._draft.add_current(key, value, record)
        if is_last and self._rooted is not None:
            self._draft.add_leaf(key, self._rooted)
            self._rooted = None

    # Third pass: what was written, and who decided it

    def _prove_blocks(self) -> Head:
        """Check each block's writes and all commits; return where the ledger then stands."""
        genesis = parse_genesis(self._genesis)
        self._prove_genesis()
        self._add_block_row(
            height=0, time_ms=genesis.time_ms, record_hash=self._log_id, logs=(0, 1)
        )
        schedule = self._schedule(0, 1, None)
        _, head, _ = beginning(genesis, self._genesis)
        self._check_trust(0, self._log_id)
        with (self._folder / COMMITS).open("rb") as file:
            chain = family_of("").chain(
                self._log_id,
                self._commits(read_commits(file)),
                self._on_commit,
                verify=crypto.verify,
            )
            try:
                for first, end in self._index.blocks():
                    record, self._envelopes = self._block_of(first, end)
                    self._block = (record.height, first, end)
                    place = f"height {record.height}, entries {first} to {end - 1}"
                    _require(record.height <= self._height, f"{place}: above {self._height}")
                    root, count = self._index.changes_root(first, end)
                    is_written = root == record.changes_root
                    _require(is_written, f"{place}: the history is not what they wrote")
                    chain.advance_to(record, schedule)
                    schedule = self._schedule(first, end, schedule)
                    head = head.after(
                        height=record.height,
                        time_ms=record.time_ms,
                        record_hash=chain.record_hash,
                        log_size=end,
                        log_peaks=(),
                        is_rooted=bool(record.state_root),
                        is_written=count > 0,
                    )
                chain.finish(schedule)
            except FileDamaged as error:
                raise SnapshotRefused(f"{COMMITS}, byte {file.tell()}: {error}") from None
            except CommitInvalid as error:
                raise SnapshotRefused(str(error)) from None
        is_reached = self._trust is None or self._trust.height <= chain.height
        _require(is_reached, f"height {chain.height}: the trusted one is above it")
        is_whole = chain.height == self._height
        _require(is_whole, f"the commits end at height {chain.height}, not at {self._height}")
        return head.after(
            height=chain.height,
            time_ms=chain.time_ms or genesis.time_ms,
            record_hash=chain.record_hash,
            log_size=self._log_size,
            log_peaks=tuple(self._frontier.peaks),
            is_rooted=False,
            is_written=False,
        )

    def _commits(self, commits: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Leave out what was decided after the height that was asked for."""
        for height, data in commits:
            if height > self._height:
                return
            yield height, data

    def _on_commit(self, commit: ProvenCommit) -> None:
        """Take a commit whose signatures hold; its block must be the one in the log."""
        height, first, end = self._block
        is_logged = commit.height == height
        is_body = commit.carries(self._envelopes if is_logged else ())
        _require(is_body, f"commit at height {commit.height}: the body is not what it certifies")
        # A height without a record lies between two blocks of the log, or after the last.
        before = first if commit.height < height else end
        logs = (first, end) if is_logged else (before, before)
        self._add_block_row(commit.height, commit.time_ms, commit.record_hash, logs)
        self._draft.add_commit(commit.height, commit.stored)
        self._check_trust(commit.height, commit.record_hash)

    def _add_block_row(
        self, height: int, time_ms: int, record_hash: bytes, logs: tuple[int, int]
    ) -> None:
        first, end = logs
        self._draft.add_block(
            BlockRow(
                height=height,
                time_ms=time_ms,
                record_hash=record_hash,
                first_sequence=first,
                log_size=end,
            )
        )

    def _check_trust(self, height: int, record_hash: bytes) -> None:
        trust = self._trust
        if trust is not None and trust.height == height:
            own, given = record_hash.hex(), trust.record_hash.hex()
            _require(
                own == given,
                f"height {height}: its record hash is {own}, the trusted {given}",
            )

    def _prove_genesis(self) -> None:
        """Check that the history begins with what genesis makes, and nothing else."""
        made = {
            key: sha256(stored_value(0, record))
            for key, record in genesis_changes(parse_genesis(self._genesis))
        }
        written = dict(islice(self._index.versions(0, 1), len(made) + 1))
        _require(written == made, "height 0, entry 0: the history is not what genesis makes")

    def _block_of(self, first: int, end: int) -> tuple[BlockRecord, tuple[bytes, ...]]:
        """Return the record of a block of the log, and its envelopes."""
        *before, last = map(decode_entry, self._draft.entries(first, end))
        assert isinstance(last, ClosingEntry)
        envelopes = (entry.signed for entry in before if isinstance(entry, TransactionEntry))
        return last.record, tuple(envelopes)

    def _schedule(
        self, first: int, end: int, before: ValidatorSchedule | None
    ) -> ValidatorSchedule:
        """Return who validates after a block whose writes are proven."""
        sequence = self._index.written(_VALIDATORS_KEY, first, end)
        if sequence is None:
            assert before is not None, "genesis writes the first"
            return before
        value = self._draft.version(Version(_VALIDATORS_KEY, sequence, b"").row)
        assert value is not None
        schedule: ValidatorSchedule = codec.decode_stored(ValidatorSchedule, value[8:])
        return schedule

    def _prove_state(self) -> None:
        """Check the state as of the last record with a state root."""
        if self._root is not None:
            _, root = self._root
            is_state = self._draft.tree_root() == root.root
            _require(is_state, f"the state after height {root.height} is not what its root says")


class _Index:
    """Versions by log position, and blocks by theirs, in a file: memory stays small."""

    def __init__(self, path: Path) -> None:
        self._tables = sqlite3.connect(path, isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            f"PRAGMA cache_size = -{INDEX_CACHE_KIB}",
            "CREATE TABLE block (end INTEGER PRIMARY KEY, first INTEGER)",
            "CREATE TABLE version (sequence INTEGER, key BLOB, hash BLOB,"
            " PRIMARY KEY (sequence, key)) WITHOUT ROWID",
        ):
            self._tables.execute(statement)
        self._tables.execute("BEGIN")

    def add_block(self, first: int, end: int) -> None:
        self._tables.execute("INSERT INTO block VALUES (?, ?)", (end, first))

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield first sequence and end of each block after genesis."""
        yield from self._tables.execute("SELECT first, end FROM block WHERE first > 0 ORDER BY end")

    def same_block(self, earlier: int, later: int) -> bool:
        """Return whether two log positions lie in one block."""
        if later - earlier >= BLOCK_ENTRIES_MAX:
            return False
        rows = self._tables.execute("SELECT min(end) FROM block WHERE end > ?", (earlier,))
        return later < int(rows.fetchone()[0])

    def add_version(self, version: Version) -> None:
        row = (version.sequence, version.key, sha256(version.value))
        self._tables.execute("INSERT INTO version VALUES (?, ?, ?)", row)

    def versions(self, first: int, end: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, hash of the value) of what a block wrote, by key."""
        yield from self._tables.execute(
            "SELECT key, hash FROM version WHERE sequence >= ? AND sequence < ? ORDER BY key",
            (first, end),
        )

    def written(self, key: bytes, first: int, end: int) -> int | None:
        """Return the log position at which a block wrote a record, if it did."""
        sequence = self._tables.execute(
            "SELECT max(sequence) FROM version WHERE sequence >= ? AND sequence < ? AND key = ?",
            (first, end, key),
        ).fetchone()[0]
        return None if sequence is None else int(sequence)

    def changes_root(self, first: int, end: int) -> tuple[bytes, int]:
        """Return the changes root of a block (B4), and how many records it wrote."""
        frontier = merkle.Frontier()
        for key, value_hash in self.versions(first, end):
            frontier.append(merkle.leaf_hash(len(key).to_bytes(2, "big") + key + value_hash))
        return frontier.root(), frontier.size

    def close(self) -> None:
        self._tables.close()


def _record(version: Version) -> Record:
    """Return the record of a version; what it says is proven later."""
    try:
        record: Record = codec.decode_stored(table_of(version.key).record, version.value[8:])
    except (LookupError, ValueError, msgspec.MsgspecError) as error:
        raise SnapshotRefused(f"{_place(version)}: it cannot be read: {error!r}") from None
    return record


def _decoded(decode: Callable[[bytes], T], data: bytes, place: str) -> T:
    try:
        return decode(data)
    except (NotCanonical, KindUnknown) as error:
        raise SnapshotRefused(f"{place}: {error}") from None


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise SnapshotRefused(reason)


def _place(version: Version) -> str:
    key = version.key.decode("ascii", "replace")
    return f"version {version.sequence} of {key} in the history"
