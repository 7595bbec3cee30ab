"""Heads and proofs for a node of the wallet's tests: cosigned by the validators' own keys.

Everything is made naively, from the whole log and the whole state.
"""

import time
from dataclasses import dataclass, field

from ledger import state_tree
from ledger.encoding import merkle, note
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.receipt import Receipt
from ledger.encoding.tiles import Tile
from ledger.entries import ClosingEntry, decode_entry
from ledger.execute import ROOT_EVERY_MS, ROOT_LAG_MS
from ledger.store.memory import MemoryStore
from ledger.trust import origin_of
from tests.builders import Chain, seed

ROOT_AFTER_MS = ROOT_EVERY_MS + ROOT_LAG_MS
Json = dict[str, object]


class _NoPages:
    def page(self, prefix: bytes) -> bytes | None:
        """Return nothing: every tree is made from the start."""
        return None


@dataclass
class _Pages:
    pages: dict[bytes, bytes]

    def page(self, prefix: bytes) -> bytes | None:
        """Return a page."""
        return self.pages.get(prefix)


@dataclass
class Prover:
    """Publishes a chain's heads and proves its records under the last one."""

    chain: Chain
    store: MemoryStore
    network: str
    cosigners: tuple[str, ...]
    signer: str
    """Whose log key signs the heads."""
    seconds_ago: int = 0
    """How old the cosignatures say they are."""
    ages_s: tuple[int, ...] = ()
    """The same of each cosigner, if they differ."""
    state: dict[bytes, bytes] = field(default_factory=dict)
    """As of the last root."""
    rooted: int = 0
    """Where the record stands that carries it."""

    @property
    def origin(self) -> str:
        """Return the log's name."""
        return origin_of(self.network, self.chain.ledger.last().log_id)

    def root(self) -> None:
        """Let blocks carry roots until that of the present state was carried."""
        while (head := self.chain.ledger.last()).cuts:
            self.state = dict(self.store.state)
            execution = self.chain.block(time_ms=head.time_ms + ROOT_AFTER_MS)
            assert execution.record is not None
            assert execution.record.state_root
            self.rooted = execution.head.log_size - 1

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        """Return a head, by default the one that ends with the last root."""
        size = self.rooted + 1 if size is None else size
        root = merkle.root(self.store.log[:size])
        return Checkpoint(origin=self.origin, size=size, root=root)

    def signed(self, head: Checkpoint) -> note.Note:
        """Return a head with the signature of a log key and all cosignatures."""
        text, now_s = head.text(), int(time.time())
        ages_s = self.ages_s or (self.seconds_ago,) * len(self.cosigners)
        lines = [note.sign(text, name=self.origin, seed=seed(self.signer, "log"))]
        lines += [
            note.cosign(
                text, name=f"{self.origin}/{one}", seed=seed(one, "cosigner"), time_s=now_s - age_s
            )
            for one, age_s in zip(self.cosigners, ages_s, strict=True)
        ]
        return note.Note(text=text, signatures=tuple(lines))

    def receipt(self, index: int, head: note.Note | None = None) -> Receipt:
        """Return the receipt of an entry."""
        head = self.signed(self.checkpoint()) if head is None else head
        size = int(head.text.split("\n")[1])
        leaves = [merkle.leaf_hash(entry) for entry in self.store.log[:size]]
        path = merkle.inclusion_proof(leaves, index)
        return Receipt(
            index=index, hashes=tuple(path), checkpoint=head, extra=self.store.log[index]
        )

    def proof(self, key: bytes) -> Json:
        """Return what `/v1/proofs/` answers."""
        self.root()
        pages = _Pages(state_tree.update(_NoPages(), self.state).pages)
        made = state_tree.prove(pages, key)
        value = self.state.get(key)
        closing = decode_entry(self.store.log[self.rooted])
        assert isinstance(closing, ClosingEntry)
        (root,) = closing.record.state_root
        return {
            "key": key.decode(),
            "value": None if value is None else value.hex(),
            "siblings": [one.hex() for one in made.siblings],
            "leaf": None
            if made.leaf is None
            else {"key": made.leaf.key.decode(), "value_hash": made.leaf.value_hash.hex()},
            "state_root": root.root.hex(),
            "state_height": root.height,
            "receipt": self.receipt(self.rooted).to_bytes().decode(),
        }

    def tile(self, named: Tile) -> bytes:
        """Return a tile of the log."""
        width = 256**named.level
        first = 256 * named.index
        return b"".join(
            merkle.root(self.store.log[i * width : (i + 1) * width])
            for i in range(first, first + named.width)
        )
