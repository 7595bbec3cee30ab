"""``tally bench proofs``: how large state proofs are, and what they cost, over many vouchers.

The ledger is made in process, by mints of a thousand rows; head and proofs are those that a node
publishes. Times are beside one Ed25519 verification, measured in the same run: keep the ratios.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from api.proofs import StateProof, document_of, state_proof
from ledger import state_tree
from ledger.encoding import note, receipt, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.note import Note
from ledger.encoding.policy import Policy
from ledger.encoding.tiles import Tile, TileNodes
from ledger.execute import ROOT_EVERY_MS, ROOT_LAG_MS
from ledger.rules.validators import VALIDATORS, ValidatorSchedule, validators_at
from ledger.rules.vouchers import VOUCHERS, voucher_id
from ledger.store.lmdb_store import LmdbReader, LmdbStore, Snapshot
from ledger.trust import origin_of, policy_of
from localnet.facts import DEMO_VALIDATORS, load_facts, member_plans
from localnet.network import node_seed
from tally.percentiles import percentile
from trials.bench.replay import BLOCK_MS, START_MS, mint, opening
from trials.bench.transfers import PROGRAMME, time_verification
from trials.datasets.world import MASTER, NETWORK, InProcess, genesis
from words import units

T = TypeVar("T")

MINT_ROWS = 1_000
FACE_FEN = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Proving:
    """A ledger of vouchers at rest, the head that it publishes, and who is to be believed."""

    snapshot: Snapshot
    genesis: bytes
    log_id: bytes
    trusted: Policy
    head: Note
    time_ms: int
    """When the head was cosigned."""
    vouchers: int

    def proof(self, key: bytes) -> StateProof:
        """Return the proof of a record, or of its absence."""
        return state_proof(self.snapshot, self.head, key)

    def answer(self, key: bytes) -> bytes:
        """Return what ``/v1/proofs/`` answers."""
        return msgspec.json.encode(document_of(self.proof(key)))

    def present(self, count: int) -> list[bytes]:
        """Return keys of some vouchers, all over the serials: paths are hashes."""
        numbers = range(1, self.vouchers + 1, self.vouchers // count)[:count]
        return [VOUCHERS.key(voucher_id(PROGRAMME, number)) for number in numbers]

    def absent(self, count: int) -> list[bytes]:
        """Return keys of vouchers that nobody has minted."""
        first = self.vouchers + 1
        return [VOUCHERS.key(voucher_id(PROGRAMME, first + number)) for number in range(count)]


@contextmanager
def proving(folder: Path, vouchers: int) -> Iterator[Proving]:
    """Make a ledger with so many vouchers in a folder; yield it."""
    data = genesis(member_plans(load_facts()), time_ms=START_MS, validators=DEMO_VALIDATORS)
    store = LmdbStore(folder, durable=False)
    ledger = InProcess(store, data)
    mints = [
        [mint(range(first, min(first + MINT_ROWS, vouchers)), FACE_FEN)]
        for first in range(0, vouchers, MINT_ROWS)
    ]
    for acts in (*opening(vouchers * FACE_FEN), *mints):
        ledger.block(acts, time_ms=ledger.time_ms + BLOCK_MS)
    while (head := store.head()) is not None and head.cuts:
        ledger.block((), time_ms=ledger.time_ms + ROOT_EVERY_MS + ROOT_LAG_MS)
    store.close()
    reader = LmdbReader(folder)
    with reader.begin() as snapshot:
        yield _publish(snapshot, data, vouchers)
    reader.close()


def _publish(snapshot: Snapshot, data: bytes, vouchers: int) -> Proving:
    """Sign the head of the log as one node does, and cosign it as all do."""
    head = snapshot.head()
    schedule = snapshot.read(VALIDATORS.key("all"), ValidatorSchedule)
    assert head is not None and schedule is not None
    origin = origin_of(NETWORK, head.log_id)

    def fetch(tile: Tile) -> bytes:
        stored = snapshot.tile(tile)
        assert stored is not None
        return stored

    root = tiles.root(TileNodes(size=head.log_size, fetch=fetch), size=head.log_size)
    text = Checkpoint(origin=origin, size=head.log_size, root=root).text()
    lines = [note.sign(text, name=origin, seed=_seed(DEMO_VALIDATORS[0], "log"))]
    lines += [
        note.cosign(
            text,
            name=f"{origin}/{party}",
            seed=_seed(party, "cosigner"),
            time_s=head.time_ms // 1000,
        )
        for party in DEMO_VALIDATORS
    ]
    return Proving(
        snapshot=snapshot,
        genesis=data,
        log_id=head.log_id,
        trusted=policy_of(origin, validators_at(schedule, head.height + 1)),
        head=Note(text=text, signatures=tuple(lines)),
        time_ms=head.time_ms,
        vouchers=vouchers,
    )


def _seed(party: str, name: str) -> bytes:
    return node_seed(NETWORK, MASTER, party, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Least, middle and most of some measurements."""

    least: int
    median: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofCosts:
    """Proofs of one sort. Bytes, and nanoseconds of CPU."""

    count: int
    answer_bytes: Spread
    """The JSON of ``/v1/proofs/``: value, proof, and the receipt of the root with its heads."""
    proof_bytes: Spread
    """Siblings, and the leaf's key and value hash."""
    siblings: Spread
    answer_ns: int
    """Make an answer: proof, value and receipt."""
    prove_ns: int
    """Make the proof alone."""
    verify_ns: int
    """Verify it alone, against a root that is known."""
    receipt_ns: int
    """Read and verify the receipt of the root: once for all proofs under one head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofsBench:
    """What a run measured."""

    vouchers: int
    verification_ns: int
    """One Ed25519 verification."""
    present: ProofCosts
    absent: ProofCosts

    def lines(self) -> list[str]:
        """Return the report in words."""
        lines = [
            f"vouchers                       {self.vouchers}",
            f"one Ed25519 verification       {self.verification_ns // 1000} us",
        ]
        for name, costs in (("present", self.present), ("absent", self.absent)):
            lines.append(f"{costs.count} proofs of {name} vouchers: least, median, most")
            for label, spread in (
                ("answer, bytes", costs.answer_bytes),
                ("proof, bytes", costs.proof_bytes),
                ("siblings", costs.siblings),
            ):
                lines.append(f"  {label:28} {spread.least} {spread.median} {spread.most}")
            for label, spent_ns in (
                ("make an answer", costs.answer_ns),
                ("make the proof", costs.prove_ns),
                ("verify the proof", costs.verify_ns),
                ("verify the root's receipt", costs.receipt_ns),
            ):
                ratio = spent_ns * 100 // self.verification_ns
                lines.append(
                    f"  {label:28} {spent_ns // 1000} us = {units.decimal(ratio, 2)} verifications"
                )
        return lines


def run_proofs_bench(*, vouchers: int, samples: int) -> ProofsBench:
    """Make a ledger and measure its proofs; every one of them must hold."""
    with (
        tempfile.TemporaryDirectory(prefix="tallystick-bench-") as folder,
        proving(Path(folder), vouchers) as made,
    ):
        before_ns = time_verification()
        present = _costs(made, made.present(samples), is_present=True)
        absent = _costs(made, made.absent(samples), is_present=False)
        after_ns = time_verification()
    return ProofsBench(
        vouchers=vouchers,
        verification_ns=(before_ns + after_ns) // 2,
        present=present,
        absent=absent,
    )


def _costs(made: Proving, keys: list[bytes], *, is_present: bool) -> ProofCosts:
    proofs = [made.proof(key) for key in keys]
    assert all((proven.value is not None) is is_present for proven in proofs)
    receipts = [proven.receipt.to_bytes() for proven in proofs]

    def verify(proven: StateProof) -> None:
        assert state_tree.verify(proven.root, proven.key, proven.value, proven.proof)

    def verify_receipt(data: bytes) -> None:
        parsed = receipt.parse(data)
        receipt.verify(parsed, entry=parsed.extra, trusted=made.trusted)

    return ProofCosts(
        count=len(keys),
        answer_bytes=_spread(len(msgspec.json.encode(document_of(proven))) for proven in proofs),
        proof_bytes=_spread(map(_bytes_of, proofs)),
        siblings=_spread(len(proven.proof.siblings) for proven in proofs),
        answer_ns=_each_ns(made.answer, keys),
        prove_ns=_each_ns(lambda key: state_tree.prove(made.snapshot, key), keys),
        verify_ns=_each_ns(verify, proofs),
        receipt_ns=_each_ns(verify_receipt, receipts),
    )


def _bytes_of(proven: StateProof) -> int:
    leaf = proven.proof.leaf
    ends = 0 if leaf is None else len(leaf.key) + len(leaf.value_hash)
    return sum(map(len, proven.proof.siblings)) + ends


def _spread(measured: Iterable[int]) -> Spread:
    values = list(measured)
    return Spread(least=min(values), median=percentile(values, 50), most=max(values))


def _each_ns(work: Callable[[T], object], items: list[T]) -> int:
    """Return the CPU time of one of some calls, in nanoseconds: the median of ten rounds."""
    size = max(1, len(items) // 10)
    rounds = []
    for first in range(0, len(items), size):
        piece = items[first : first + size]
        before = time.thread_time_ns()
        for item in piece:
            work(item)
        rounds.append((time.thread_time_ns() - before) // len(piece))
    return percentile(rounds, 50)
