"""What a reader can check without believing this server: receipts and state proofs (spec Y12, V7).

Both end in the head that the node published last. Nothing here is secret and nothing is signed: the
proofs are made from the tiles and from the pages of the state tree.
"""

from dataclasses import dataclass

from api.problems import Problem
from api.reads import head_of
from ledger import state_tree
from ledger.encoding import checkpoint, codec, note, tiles
from ledger.encoding.note import Note
from ledger.encoding.plain import Plain
from ledger.encoding.receipt import Receipt
from ledger.encoding.text import MalformedText
from ledger.encoding.tiles import Tile, TileNodes
from ledger.entries import ClosingEntry, decode_entry
from ledger.state_tree import Proof
from ledger.store.lmdb_store import Snapshot
from ledger.store.rows import BlockRow

BLOCKS_BACK_MAX = 10_000
"""Blocks that are looked at for the last one with a state root: some seconds' worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateProof:
    """What a key held when the state last had a root, and why that must be believed."""

    key: bytes
    value: bytes | None
    """u64be sequence ‖ record, or None: there is no such record."""
    proof: Proof
    root: bytes
    height: int
    """The root is of the state after this height."""
    receipt: Receipt
    """Of the record that carries the root; it is the entry in ``extra``."""


def head_within(data: bytes | None, snapshot: Snapshot) -> Note:
    """Return the published head; raise Problem if there is none that the store reaches to.

    A store that was made anew is behind what its node published before (Y9.3).
    """
    if data is None:
        raise Problem("proof_pending", "no head of the log is published yet")
    try:
        signed = note.parse(data)
        size = checkpoint.parse(signed.text).size
    except MalformedText:
        raise AssertionError("the node published what is no note") from None
    stored = head_of(snapshot).log_size
    if size > stored:
        raise Problem("proof_pending", f"this store has {stored} of the head's {size} entries yet")
    return signed


def receipt_of(snapshot: Snapshot, head: Note, sequence: int) -> Receipt:
    """Return the receipt of a logged entry; raise Problem if the head does not have it yet."""
    size = checkpoint.parse(head.text).size
    if sequence >= size:
        raise Problem(
            "proof_pending", f"the published head has {size} entries, this is entry {sequence}"
        )

    def fetch(tile: Tile) -> bytes:
        data = snapshot.tile(tile)
        assert data is not None, f"the store lacks {tile.path()}, which a published head has"
        return data

    path = tiles.inclusion_proof(TileNodes(size=size, fetch=fetch), index=sequence, size=size)
    (entry,) = snapshot.entries(sequence, sequence + 1)
    return Receipt(index=sequence, hashes=tuple(path), checkpoint=head, extra=entry)


def state_proof(snapshot: Snapshot, head: Note, key: bytes) -> StateProof:
    """Return the proof of a record, or of its absence, under the newest state root.

    Raises Problem while the published head does not have the record that carries the root.
    """
    sequence, closing = _rooted(snapshot)
    (root,) = closing.record.state_root
    proof = state_tree.prove(snapshot, key)
    value = snapshot.version_before(key, snapshot.tree_log_size())
    assert state_tree.verify(root.root, key, value, proof), "the stored state tree is damaged"
    return StateProof(
        key=key,
        value=value,
        proof=proof,
        root=root.root,
        height=root.height,
        receipt=receipt_of(snapshot, head, sequence),
    )


def document_of(proven: StateProof) -> dict[str, Plain]:
    """Return what ``/v1/proofs`` answers (Y12.3)."""
    leaf = proven.proof.leaf
    return {
        "key": proven.key.decode("ascii"),
        "value": None if proven.value is None else proven.value.hex(),
        "siblings": [sibling.hex() for sibling in proven.proof.siblings],
        "leaf": None
        if leaf is None
        else {"key": leaf.key.decode("ascii"), "value_hash": leaf.value_hash.hex()},
        "state_root": proven.root.hex(),
        "state_height": proven.height,
        "receipt": proven.receipt.to_bytes().decode("utf-8"),
    }


def _rooted(snapshot: Snapshot) -> tuple[int, ClosingEntry]:
    """Return the last record that carries a state root, and where it stands in the log."""
    rows = snapshot.scan("blocks", prefix=b"", start=b"", limit=BLOCKS_BACK_MAX, reverse=True)
    for _, row in rows:
        block: BlockRow = codec.decode_stored(BlockRow, row)
        if block.log_size > 1:
            (raw,) = snapshot.entries(block.log_size - 1, block.log_size)
            entry = decode_entry(raw)
            if isinstance(entry, ClosingEntry) and entry.record.state_root:
                return block.log_size - 1, entry
    raise Problem("proof_pending", "the state has no root yet")
