"""Decided blocks made again from the log and the commits beside it, for a peer that was away."""

from typing import Protocol

from ledger import entries
from ledger.encoding import codec
from ledger.store.rows import BlockRow
from node import messages
from node.messages import Body, DecidedBlock


class Blockstore(Protocol):
    """What the host reads back to help a peer that was away."""

    def block_row(self, height: int) -> BlockRow | None:
        """Return where a block lies in the log."""

    def certificate(self, height: int) -> bytes | None:
        """Return what this engine stored with a block."""

    def entries(self, first: int, last: int) -> tuple[bytes, ...]:
        """Return log entries."""


def decided_block(blocks: Blockstore, height: int) -> DecidedBlock | None:
    """Return a committed block with its proof, or None if this node has none of that height."""
    row, data = blocks.block_row(height), blocks.certificate(height)
    if row is None or data is None:
        return None
    commit = messages.decode_commit(data)
    transactions: list[bytes] = []
    for raw in blocks.entries(row.first_sequence, row.log_size):
        entry = entries.decode_entry(raw)
        if isinstance(entry, entries.TransactionEntry):
            transactions.append(entry.signed)
    body = Body(transactions=tuple(transactions), faults=commit.faults, previous=commit.previous)
    return DecidedBlock(
        header=commit.header, certificate=commit.certificate, body=codec.encode(body)
    )
