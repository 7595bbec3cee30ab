"""A stored log in parts, to be edited and made to fit again up to some level, by all keys."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit import files
from consensus.certificate import Certificate
from engines.builtin import messages
from engines.builtin.messages import NO_BLOCK, Body, Header, StoredCommit, decode_commit
from ledger.blocks import BlockRecord, StateRoot, record_hash_of
from ledger.encoding import codec, merkle
from ledger.entries import (
    ClosingEntry,
    GenesisEntry,
    TransactionEntry,
    decode_entry,
    encode_entry,
)
from node.exports import read_commits, read_entries, read_history
from node.snapshot import COMMITS, HISTORY, LOG
from tests import builders, decided
from tests.node.test_fetch import Mirror, framed, rows_in

change = msgspec.structs.replace
VOTERS = ("shanghai", "guiyang", "chengdu-aicc")
"""They validate at every height, before the fourth leaves and after."""


@dataclass(frozen=True, slots=True)
class Height:
    """One height: its entries, none if it logged nothing, and its commit."""

    raws: tuple[bytes, ...]
    commit: StoredCommit

    @property
    def record(self) -> BlockRecord:
        """Return the record of a height that has one."""
        entry = decode_entry(self.raws[-1])
        assert isinstance(entry, ClosingEntry)
        return entry.record


Log = tuple[Height, ...]
"""Everything after genesis."""


def heights_of(mirror: Mirror) -> Log:
    """Return a mirror's log in parts."""
    blocks: dict[int, tuple[bytes, ...]] = {}
    held: list[bytes] = []
    _, *raws = read_entries(io.BytesIO(mirror.files[LOG]))
    for raw in raws:
        held.append(raw)
        entry = decode_entry(raw)
        if isinstance(entry, ClosingEntry):
            blocks[entry.record.height] = tuple(held)
            held = []
    commits = read_commits(io.BytesIO(mirror.files[COMMITS]))
    return tuple(
        Height(blocks.get(height, ()), decode_commit(data)) for height, data in commits if height
    )


def first_sequence(log: Log, at: int) -> int:
    """Return the sequence number of the first entry of a height, counted from 0 here."""
    return 1 + sum(len(one.raws) for one in log[:at])


def with_height(log: Log, at: int, **fields: Any) -> Log:
    """Return a log with a height changed."""
    return (*log[:at], replace(log[at], **fields), *log[at + 1 :])


def with_record(log: Log, at: int, **fields: Any) -> Log:
    """Return a log with fields of a record changed."""
    record = change(log[at].record, **fields)
    raws = (*log[at].raws[:-1], encode_entry(ClosingEntry(record=record)))
    return with_height(log, at, raws=raws)


def with_entry(log: Log, at: int, offset: int, raw: bytes) -> Log:
    """Return a log with an entry replaced."""
    raws = log[at].raws
    return with_height(log, at, raws=(*raws[:offset], raw, *raws[offset + 1 :]))


def count_again(log: Log) -> Log:
    """Make the sizes that records name fit again: the first level then sees nothing."""
    size, made = 1, list[Height]()
    for old in log:
        one = old
        if one.raws:
            size += len(one.raws)
            (one,) = with_record((one,), 0, log_size=size - 1)
        made.append(one)
    return tuple(made)


def link_again(log: Log, genesis: bytes) -> Log:
    """Make every root of the log, record, header and certificate fit: levels 1 to 3 see nothing.

    Signatures of transactions, codes, postings and what records say of the state stay.
    """
    frontier = merkle.Frontier()
    frontier.append(merkle.leaf_hash(genesis))
    record_hash, parent, made = builders.LOG_ID, NO_BLOCK, list[Height]()
    for old in count_again(log):
        one = old
        envelopes: tuple[bytes, ...] = ()
        if one.raws:
            *before, _ = one.raws
            entries = map(decode_entry, before)
            envelopes = tuple(e.signed for e in entries if isinstance(e, TransactionEntry))
            for raw in before:
                frontier.append(merkle.leaf_hash(raw))
            (one,) = with_record(
                (one,),
                0,
                previous=record_hash,
                transactions_root=merkle.root(envelopes),
                log_root=frontier.root(),
            )
            frontier.append(merkle.leaf_hash(one.raws[-1]))
            record_hash = record_hash_of(one.record)
        previous = (made[-1].commit.certificate,) if made else ()
        commit = change(one.commit, previous=previous)
        body = Body(transactions=envelopes, evidence=commit.evidence, previous=previous)
        chunks = messages.chunks_of(codec.encode(body))
        header = change(
            commit.header,
            parent=parent,
            record_hash=record_hash,
            body_hash=messages.body_hash(messages.chunk_hashes(chunks)),
        )
        certificate = certify(header)
        made.append(replace(one, commit=change(commit, header=header, certificate=certificate)))
        parent = messages.block_id(header)
    return tuple(made)


def certify(header: Header) -> Certificate:
    """Return a certificate of the validators for a header."""
    with pytest.MonkeyPatch.context() as changing:
        changing.setattr(decided, "VOTERS", VOTERS)
        return decided.certify(header)


def write(folder: Path, genesis: bytes, log: Log) -> Path:
    """Write a log as an export."""
    folder.mkdir()
    first = encode_entry(GenesisEntry(genesis=genesis))
    entries = (first, *(raw for one in log for raw in one.raws))
    (folder / files.GENESIS).write_bytes(genesis)
    (folder / files.ENTRIES).write_bytes(b"".join(map(framed, entries)))
    (folder / files.COMMITS).write_bytes(
        b"".join(
            one.commit.header.height.to_bytes(8, "big") + framed(codec.encode(one.commit))
            for one in log
        )
    )
    return folder


def rows_until(history: bytes, log_size: int) -> bytes:
    """Return the rows of a history that are older than a log position."""
    rows = rows_in(HISTORY, history)
    kept = (row for row in rows if next(read_history(io.BytesIO(row))).sequence < log_size)
    return b"".join(kept)


def state_root(root: bytes, height: int) -> StateRoot:
    """Return what a record says of the state."""
    return StateRoot(root=root, height=height)
