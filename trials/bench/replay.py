"""``tally bench replay``: what an audit of a large log costs, against raw signature verification.

A log of transfers is made in process, with commits as four validators sign them, and exported. Then
each level replays it. What bounds them, Ed25519 on all cores, is measured in the same run, between
the replays; shares are the figures to keep.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from audit import files
from audit.replay import Level, Plan, Report, replay
from audit.roots import StateRoots
from audit.sources import ExportFolder
from consensus.certificate import Certificate
from consensus.messages import ValidatorKey, VoteKind, vote_sign_bytes
from engines.builtin import messages
from engines.builtin.messages import ENGINE_EPOCH, NO_BLOCK, Body, Header, StoredCommit
from ledger.blocks import BlockInput
from ledger.encoding import codec, crypto
from ledger.encoding.codec import Record
from ledger.entries import ClosingEntry, decode_entry
from ledger.execute import Execution
from ledger.genesis import log_id_of
from ledger.ledger import Ledger
from ledger.rules import calendar
from ledger.rules.budgets import Appropriate
from ledger.rules.programmes import Publish
from ledger.rules.vouchers import Mint, MintRow, Transfer, voucher_id
from ledger.store.lmdb_store import LmdbStore
from localnet.facts import DEMO_VALIDATORS, load_facts, member_plans
from localnet.network import node_seed
from tally.output import say
from tally.percentiles import percentile
from trials.bench.transfers import FACE_FEN, PROGRAMME, firm
from trials.datasets.world import (
    LIFE_MS,
    MASTER,
    NETWORK,
    Act,
    Signer,
    Who,
    first_officers,
    genesis,
    public_key,
    second_officers,
)
from trials.samples import enrolment, plain_terms
from words import units

FIRMS = 512
BLOCK_TRANSACTIONS = 500
BLOCK_MS = 500
"""A thousand transfers a second, as four validators finalise on two cores."""
START_MS = 1_767_225_600_000
"""2026-01-01 08:00 at +08:00."""
RAW_BATCH = 4_000


def make_log(folder: Path, transfers: int) -> bytes:
    """Write the export of a ledger with so many transfers; return its genesis."""
    data = genesis(member_plans(load_facts()), time_ms=START_MS, validators=DEMO_VALIDATORS)
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as scratch:
        store = LmdbStore(Path(scratch), durable=False)
        # Signed here a moment ago: replay verifies them, which is what is measured.
        ledger = Ledger(store, verify=lambda *_: True)
        ledger.begin(data)
        signer = Signer(NETWORK, MASTER, log_id_of(data))
        engine = _Engine(ledger)
        for acts in _acts(transfers):
            time_ms = ledger.last().time_ms + BLOCK_MS
            raws = tuple(signer.sign(act, expires_at=time_ms + LIFE_MS) for act in acts)
            engine.block(raws, time_ms)
        _export(store, data, folder)
        store.close()
    return data


def _acts(transfers: int) -> Iterator[list[Act]]:
    """Yield the acts of each block."""
    yield from opening(FIRMS * FACE_FEN)
    yield [mint(range(FIRMS), FACE_FEN)]
    for first in range(0, transfers, BLOCK_TRANSACTIONS):
        yield [_transfer(n) for n in range(first, min(first + BLOCK_TRANSACTIONS, transfers))]


def opening(granted_fen: int) -> Iterator[list[Act]]:
    """Yield the acts of the blocks before a first mint: a programme, its budget, its firms."""
    shanghai = first_officers("shanghai")
    publish = Publish(programme=PROGRAMME, version=1, status="open", terms=plain_terms())
    fund = Appropriate(
        programme=PROGRAMME,
        funder="shanghai",
        year=calendar.year_of(START_MS),
        delta=granted_fen,
        carried_from=(),
    )
    yield [Act(operation=operation, signers=shanghai) for operation in (publish, fund)]
    yield [Act(operation=enrol(number), signers=shanghai) for number in range(FIRMS)]


def mint(numbers: range, face_fen: int) -> Act:
    """Return the mint of a voucher for each number; firms take turns."""
    rows = tuple(
        MintRow(holder=firm(number % FIRMS), amount=face_fen, decision=number.to_bytes(32, "big"))
        for number in numbers
    )
    operation = Mint(programme=PROGRAMME, terms_version=1, rows=rows)
    return Act(operation=operation, signers=second_officers("shanghai"))


def enrol(number: int) -> Record:
    """Return the enrolment of a firm."""
    return enrolment(firm(number), public_key(firm(number), "owner"))


def _transfer(number: int) -> Act:
    giver = number % FIRMS
    taker = (giver + 1 + number // FIRMS % (FIRMS - 1)) % FIRMS
    operation = Transfer(
        voucher=voucher_id(PROGRAMME, giver + 1),
        holder=firm(giver),
        recipient=firm(taker),
        amount=1 + number % 1_000,
    )
    signers: tuple[Who, ...] = ((firm(giver), "owner"), (firm(taker), "owner"))
    return Act(operation=operation, signers=signers)


class _Engine:
    """Decides blocks, and signs their commits with the keys of a dev network."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seeds = [
            node_seed(NETWORK, MASTER, party, "consensus")
            for party in DEMO_VALIDATORS[: 2 * len(DEMO_VALIDATORS) // 3 + 1]
        ]
        self._parent = NO_BLOCK
        self._previous: tuple[Certificate, ...] = ()

    def block(self, raws: tuple[bytes, ...], time_ms: int) -> Execution:
        ledger = self._ledger
        height = ledger.last().height + 1
        execution = ledger.execute(BlockInput(height=height, time_ms=time_ms, transactions=raws))
        body = codec.encode(Body(transactions=raws, evidence=(), previous=self._previous))
        header = Header(
            version=1,
            log_id=ledger.last().log_id,
            epoch=ENGINE_EPOCH,
            height=height,
            time_ms=time_ms,
            proposer=crypto.public_key(self._seeds[0]),
            parent=self._parent,
            record_hash=execution.head.record_hash,
            body_hash=messages.body_hash(messages.chunk_hashes(messages.chunks_of(body))),
        )
        certificate = self._certify(header)
        commit = StoredCommit(
            header=header, certificate=certificate, previous=self._previous, evidence=()
        )
        ledger.commit(execution, codec.encode(commit))
        self._parent, self._previous = messages.block_id(header), (certificate,)
        return execution

    def _certify(self, header: Header) -> Certificate:
        block = messages.block_id(header)
        message = vote_sign_bytes(
            header.log_id, header.epoch, VoteKind.PRECOMMIT, header.height, 0, (block,)
        )
        signatures = sorted(
            (ValidatorKey(crypto.public_key(seed)), crypto.sign(seed, message))
            for seed in self._seeds
        )
        return Certificate(
            height=header.height, round=0, block_id=block, signatures=tuple(signatures)
        )


def _export(store: LmdbStore, data: bytes, folder: Path) -> None:
    head = store.head()
    assert head is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / files.GENESIS).write_bytes(data)
    with (folder / files.ENTRIES).open("wb") as file:
        for first in range(0, head.log_size, 1_000):
            for entry in store.entries(first, min(first + 1_000, head.log_size)):
                file.write(len(entry).to_bytes(4, "big") + entry)
    with (folder / files.COMMITS).open("wb") as file:
        for height in range(1, head.height + 1):
            commit = store.stored_commit(height)
            assert commit is not None
            file.write(height.to_bytes(8, "big") + len(commit).to_bytes(4, "big") + commit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One replay: its report, and the memory of its serial process."""

    report: Report
    memory_kib: int
    """Most anonymous memory that the process had more than before, sampled."""

    @property
    def ns_per_transaction(self) -> int:
        """Return nanoseconds of wall time for each transaction."""
        return self.report.cost.wall_ms * 1_000_000 // self.report.counts.transactions


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayBench:
    """What a run measured."""

    cores: int
    raw_per_second: int
    """Verifications a second of all cores together, before and after the replays."""
    levels: dict[str, Timing]
    parts: dict[str, Timing]
    """The whole audit of the first quarter, half and all of the log."""

    def lines(self) -> list[str]:
        """Return the report in words."""
        lines = [f"raw Ed25519, {self.cores} cores together   {self.raw_per_second} a second"]
        for name, timing in self.levels.items():
            cost = timing.report.cost
            count = timing.report.counts.transactions
            lines.append(
                f"{name:34} {1_000_000_000 // timing.ns_per_transaction:7} transactions a second, "
                f"{self.share_percent(timing):3} % of raw; CPU us each: serial "
                f"{cost.serial_cpu_ms * 1000 // count}, signatures "
                f"{cost.signatures_cpu_ms * 1000 // count}, roots "
                f"{cost.roots_cpu_ms * 1000 // count}"
            )
        structure, execute = self.levels["structure"], self.levels["execute, all state roots"]
        ratio = execute.ns_per_transaction * 10 // structure.ns_per_transaction
        lines.append(f"structure is {units.decimal(ratio, 1)} times as fast as execute")
        for name, timing in self.parts.items():
            lines.append(f"memory of the serial process, {name:8} {timing.memory_kib // 1024} MiB")
        return lines

    def share_percent(self, timing: Timing) -> int:
        """Return transactions a second as a share of the raw verification rate."""
        return 100 * 1_000_000_000 // timing.ns_per_transaction // self.raw_per_second


def run_replay_bench(transfers: int) -> ReplayBench:
    """Make a log and replay it at every level; each replay is checked against the live hash."""
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as scratch:
        folder = Path(scratch)
        data = make_log(folder / "log", transfers)
        say(f"a log of {transfers} transfers is made")
        plans: dict[str, tuple[Level, StateRoots]] = {
            "structure": (Level.STRUCTURE, "none"),
            "merkle": (Level.MERKLE, "none"),
            "signatures": (Level.SIGNATURES, "none"),
            "execute, changes roots": (Level.EXECUTE, "none"),
            "execute, all state roots": (Level.EXECUTE, "all"),
        }
        raw = [_raw_per_second()]
        levels = {}
        for name, (level, state_roots) in plans.items():
            plan = Plan(log_id=log_id_of(data), level=level, state_roots=state_roots)
            levels[name] = _timed(folder / "log", plan)
            say(f"{name}: {levels[name].report.cost.wall_ms} ms")
            raw.append(_raw_per_second())
        parts = {}
        for name, share in (("a quarter", 4), ("a half", 2), ("all", 1)):
            part = _cut(folder / "log", folder / f"part-{share}", share)
            parts[name] = _timed(part, Plan(log_id=log_id_of(data)))
    return ReplayBench(
        cores=os.cpu_count() or 1,
        raw_per_second=percentile(raw, 50),
        levels=levels,
        parts=parts,
    )


def _cut(log: Path, part: Path, share: int) -> Path:
    """Write the first blocks of a log: those of about one share of its commits."""
    part.mkdir()
    whole = ExportFolder(log)
    commits = list(whole.commits(1))
    height = len(commits) // share
    (part / files.GENESIS).write_bytes(whole.genesis())
    with (part / files.COMMITS).open("wb") as file:
        for number, commit in commits[:height]:
            file.write(number.to_bytes(8, "big") + len(commit).to_bytes(4, "big") + commit)
    with (part / files.ENTRIES).open("wb") as file:
        for entry in whole.entries(0):
            file.write(len(entry).to_bytes(4, "big") + entry)
            decoded = decode_entry(entry)
            if isinstance(decoded, ClosingEntry) and decoded.record.height == height:
                break
    return part


def _timed(log: Path, plan: Plan) -> Timing:
    """Replay a log in a process of its own, so that memory is its own too."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_timed_here, log, plan).result()


def _timed_here(log: Path, plan: Plan) -> Timing:
    before = most = _anonymous_kib()

    def sample(_: int) -> None:
        nonlocal most
        most = max(most, _anonymous_kib())

    with tempfile.TemporaryDirectory(prefix="tallystick-replay-") as scratch:
        report = replay(ExportFolder(log), plan, Path(scratch), on_entries=sample)
    sample(0)
    return Timing(report=report, memory_kib=most - before)


def _anonymous_kib() -> int:
    """Return this process's memory that is no file's: what LMDB maps is the page cache's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(entry for entry in status.splitlines() if entry.startswith("RssAnon"))
    return int(line.split()[1])


def _raw_per_second() -> int:
    """Return how many signatures all cores together verify in a second, doing nothing else."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        list(pool.map(_verify_some, [10] * cores))  # all have started
        before = time.perf_counter_ns()
        list(pool.map(_verify_some, [RAW_BATCH] * 2 * cores))
        took_ns = time.perf_counter_ns() - before
    return 2 * cores * RAW_BATCH * 1_000_000_000 // took_ns


def _verify_some(count: int) -> None:
    seed, message = bytes(range(32)), b"m" * 250
    key, signature = crypto.public_key(seed), crypto.sign(seed, message)
    for _ in range(count):
        assert crypto.verify(key, message, signature)
