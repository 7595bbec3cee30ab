"""Log entries: what a leaf of the log's Merkle tree is made of (spec L1)."""

from ledger.blocks import BlockRecord
from ledger.encoding import codec
from ledger.encoding.codec import Record
from ledger.rules.base import Posting

ENTRY_BYTES_MAX = 65_535
"""Largest entry that an entry bundle can carry."""


class GenesisEntry(Record, frozen=True, tag="genesis"):
    """Entry 0."""

    genesis: bytes


class AutomaticEntry(Record, frozen=True, tag="automatic"):
    """What block time did by itself; stands before the block's transactions."""

    postings: tuple[Posting, ...]


class TransactionEntry(Record, frozen=True, tag="transaction"):
    """One logged transaction: every rule let it stand."""

    signed: bytes
    """The envelope as received."""
    postings: tuple[Posting, ...]


class ClosingEntry(Record, frozen=True, tag="block"):
    """The record that closes a block."""

    record: BlockRecord


Entry = GenesisEntry | AutomaticEntry | TransactionEntry | ClosingEntry


def encode_entry(entry: Entry) -> bytes:
    """Return an entry's bytes; their length is an invariant of the limits above it."""
    data = codec.encode(entry)
    assert len(data) <= ENTRY_BYTES_MAX, f"entry of {len(data)} bytes"
    return data


def decode_entry(data: bytes) -> Entry:
    """Return an entry; raise NotCanonical."""
    entry: Entry = codec.decode(Entry, data, ENTRY_BYTES_MAX)
    return entry
