"""Exports to verify, and forgers who make edits fit together again up to a level.

Whoever forges here has every key of the test world. What a verifier can still see then is exactly
what its level promises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]

from consensus.messages import BlockId, VoteKind, proposal_sign_bytes, vote_sign_bytes
from engines.builtin import messages
from ledger.blocks import Misbehaviour
from ledger.encoding import crypto, merkle
from ledger.execute import Execution
from ledger.genesis import log_id_of
from ledger.ledger import Ledger
from ledger.store.memory import MemoryStore
from tests.builders import Chain
from tests.ledger import acts
from tests.ledger.acts import Play

TRANSACTIONS = 400
VERSION, LOG_ID, HEIGHT, TIME, PREVIOUS, TRANSACTIONS_ROOT, CHANGES_ROOT, STATE_ROOT = range(8)
LOG_SIZE, LOG_ROOT, VALIDATORS_HASH, PARAMETERS_HASH, RULES_VERSION, MISBEHAVIOURS = range(8, 14)
"""Places in a record (B4)."""

Sets = Mapping[int, Sequence[tuple[bytes, int]]]
"""Consensus keys and powers of the validators of each height."""


def pack(value: object) -> bytes:
    """Return MessagePack."""
    data: bytes = msgpack.packb(value)
    return data


def unpack(data: bytes) -> Any:
    """Return what MessagePack says, arrays as lists: to be edited."""
    return msgpack.unpackb(data)


def envelopes_in(entries: Sequence[bytes]) -> list[bytes]:
    """Return the envelopes of the transactions among some entries."""
    return [entry[1] for entry in map(unpack, entries) if entry[0] == "transaction"]


@dataclass(frozen=True, kw_only=True)
class Export:
    """An exported ledger in memory."""

    genesis: bytes
    log: tuple[bytes, ...]
    commits: tuple[tuple[int, bytes], ...]
    sets: Sets
    evidence: Mapping[int, list[Any]]
    """Of the misbehaviours in each block (D2)."""
    seeds: Mapping[bytes, bytes]
    """Of every key of the world, by public key."""

    @property
    def log_id(self) -> bytes:
        """Return the ledger's name."""
        return log_id_of(self.genesis)

    def write(self, folder: Path) -> Path:
        """Write the three files of A3 into a folder; return it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "genesis.bin").write_bytes(self.genesis)
        framed = (len(raw).to_bytes(4, "big") + raw for raw in self.log)
        (folder / "entries.bin").write_bytes(b"".join(framed))
        rows = (
            height.to_bytes(8, "big") + len(raw).to_bytes(4, "big") + raw
            for height, raw in self.commits
        )
        (folder / "commits.bin").write_bytes(b"".join(rows))
        return folder

    def edited(self, sequence: int, entry: Any) -> "Export":
        """Return it with another entry in a place."""
        return replace(self, log=(*self.log[:sequence], pack(entry), *self.log[sequence + 1 :]))

    def entry(self, sequence: int) -> Any:
        """Return an entry, to be edited."""
        return unpack(self.log[sequence])

    def blocks(self) -> list[tuple[int, int]]:
        """Return the first sequence number of each block, and that of its closing entry."""
        ends = [at for at, raw in enumerate(self.log) if unpack(raw)[0] == "block"]
        return [(before + 1, end) for before, end in pairwise([0, *ends])]

    def block_of(self, sequence: int) -> tuple[int, int]:
        """Return the closing entry's sequence number and the height of an entry's block."""
        closing = next(end for _, end in self.blocks() if end >= sequence)
        return closing, self.entry(closing)[1][HEIGHT]

    def hashed(self) -> "Export":
        """Return it with sizes, roots and the chain of records made to fit the entries."""
        log = list(self.log)
        previous = self.log_id
        for first, closing in self.blocks():
            record = unpack(log[closing])[1]
            envelopes = envelopes_in(log[first:closing])
            record[PREVIOUS] = previous
            record[TRANSACTIONS_ROOT] = merkle.root(envelopes)
            record[LOG_SIZE] = closing
            record[LOG_ROOT] = merkle.root(log[:closing])
            log[closing] = pack(["block", record])
            previous = crypto.tagged_hash("tallystick/record/v1", pack(record))
        return replace(self, log=tuple(log))

    def certified(self) -> "Export":
        """Return it with commits that validators of every height signed."""
        records = {}
        for first, closing in self.blocks():
            record = self.entry(closing)[1]
            envelopes = envelopes_in(self.log[first:closing])
            records[record[HEIGHT]] = record, envelopes
        commits: list[tuple[int, bytes]] = []
        record_hash, parent = self.log_id, bytes(32)
        previous: list[Any] = []
        time_ms = unpack(self.genesis)[2]
        for height in range(1, max(self.sets) + 1):
            record, envelopes = records.get(height, (None, []))
            time_ms += 1
            if record is not None:
                time_ms = record[TIME]
                record_hash = crypto.tagged_hash("tallystick/record/v1", pack(record))
            keys = sorted(self.sets[height])
            body = messages.chunk_hashes(
                messages.chunks_of(pack([envelopes, self.evidence[height], previous]))
            )
            header = [1, self.log_id, 0, height, time_ms, keys[0][0], parent, record_hash]
            header.append(messages.body_hash(body))
            commits.append((height, self.sealed(header, previous)))
            certificate = unpack(commits[-1][1])[1]
            parent, previous = certificate[2], [certificate]
        return replace(self, commits=tuple(commits))

    def sealed(self, header: list[Any], previous: list[Any], *, leave_out: int = 0) -> bytes:
        """Return the commit of a header, signed by all validators of its height but some."""
        height = header[3]
        block_id = crypto.tagged_hash("tallystick/header/v1", pack(header))
        vote = vote_sign_bytes(self.log_id, 0, VoteKind.PRECOMMIT, height, 0, (BlockId(block_id),))
        signers = sorted(self.sets[height])[leave_out:]
        pairs = [[key, crypto.sign(self.seeds[key], vote)] for key, _ in signers]
        return pack([header, [height, 0, block_id, pairs], previous, self.evidence[height]])


@dataclass(kw_only=True)
class Living:
    """A ledger that is still being written, and who validates at each of its heights."""

    chain: Chain
    seeds: Mapping[bytes, bytes]
    sets: dict[int, list[tuple[bytes, int]]] = field(default_factory=dict)
    evidence: dict[int, list[Any]] = field(default_factory=dict)

    def block(self, *raws: bytes, after_ms: int = 1_000, evidence: Sequence[Any] = ()) -> Execution:
        """Execute and commit a block; its misbehaviours are those that the evidence proves."""
        ordered = sorted(evidence, key=lambda one: one[:3])
        misbehaviours = tuple(
            Misbehaviour(
                validator=key,
                kind=kind,
                height=height,
                evidence=crypto.tagged_hash("tallystick/evidence/v1", pack(one)),
            )
            for one in ordered
            for key, height, kind, _, _ in (one,)
        )
        execution = self.chain.block(
            *raws, time_ms=self.chain.now_ms + after_ms, misbehaviours=misbehaviours
        )
        height = self.chain.ledger.last().height
        self.evidence[height] = ordered
        found = self.chain.ledger.validators(height).validators
        self.sets[height] = [(one.keys.consensus, one.keys.power) for one in found]
        return execution

    def contradiction(self, key: bytes, kind: str = "prevote") -> list[Any]:
        """Return evidence that a key signed two blocks at the next height."""
        head = self.chain.ledger.last()
        height = head.height + 1
        said = []
        for block in (BlockId(b"\x01" * 32), BlockId(b"\x02" * 32)):
            if kind == "proposal":
                message = proposal_sign_bytes(head.log_id, 0, height, 0, (), block)
            else:
                message = vote_sign_bytes(head.log_id, 0, VoteKind(kind), height, 0, (block,))
            said.append([[block], [], crypto.sign(self.seeds[key], message)])
        return [key, height, kind, 0, said]

    def export(self) -> Export:
        """Return everything so far, with commits."""
        store = self.chain.ledger._storage
        assert isinstance(store, MemoryStore)
        return Export(
            genesis=self.chain.genesis,
            log=tuple(store.log),
            commits=(),
            sets=dict(self.sets),
            evidence=dict(self.evidence),
            seeds=self.seeds,
        ).certified()


@cache
def played(seed: int = 0, transactions: int = TRANSACTIONS) -> Export:
    """Return a small world's ledger: all kinds, expiries, governance, skipped heights."""
    play = Play(seed, signs=True)
    chain = Chain(ledger=Ledger(MemoryStore()), genesis=play.genesis, now_ms=play.time_ms)
    living = Living(chain=chain, seeds=acts._SEEDS)
    while play.made < transactions:
        raws = [act.raw for act in play.block(chain.ledger.last().record_hash) if not act.code]
        living.block(*raws, after_ms=play.time_ms - chain.now_ms)
    return living.export()
