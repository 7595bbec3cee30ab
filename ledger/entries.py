"""Log entries: what a leaf of the log's Merkle tree is made of (spec L1)."""

from typing import Annotated

from msgspec import Meta

from ledger.blocks import BlockRecord
from ledger.encoding import codec
from ledger.encoding.codec import Record
from ledger.rules.base import Posting

ENTRY_BYTES_MAX = 65_535
"""Largest entry that an entry bundle can carry."""

Code = Annotated[int, Meta(ge=0, le=65_535)]


class GenesisEntry(Record, frozen=True, tag="genesis"):
    """Entry 0."""

    genesis: bytes


class AutomaticEntry(Record, frozen=True, tag="automatic"):
    """What block time did by itself; stands before the block's transactions."""

    signed: bytes
    """Always empty: nobody signs an expiry."""
    code: Code
    postings: tuple[Posting, ...]


class TransactionEntry(Record, frozen=True, tag="transaction"):
    """One logged transaction."""

    signed: bytes
    """The envelope as received."""
    code: Code
    """0, or the number of the refusal."""
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
