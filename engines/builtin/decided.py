"""Decided blocks made again from the log and the commits beside it, for a peer that was away."""

from engines.builtin import messages
from engines.builtin.messages import Body, DecidedBlock
from engines.seam import Blockstore
from ledger import entries
from ledger.encoding import codec


def decided_block(blocks: Blockstore, height: int) -> DecidedBlock | None:
    """Return a committed block with its proof, or None if this node has none of that height."""
    row, data = blocks.block_row(height), blocks.stored_commit(height)
    if row is None or data is None:
        return None
    commit = messages.decode_commit(data)
    transactions: list[bytes] = []
    for raw in blocks.entries(row.first_sequence, row.log_size):
        entry = entries.decode_entry(raw)
        if isinstance(entry, entries.TransactionEntry):
            transactions.append(entry.signed)
    body = Body(
        transactions=tuple(transactions), evidence=commit.evidence, previous=commit.previous
    )
    return DecidedBlock(
        header=commit.header, certificate=commit.certificate, body=codec.encode(body)
    )
