"""Replay at four levels, on all cores, from any source (spec A4-A8).

One process reads, decodes, links and executes the log, which has an order. Beside it, worker
processes verify signatures and one more makes roots; their verdicts come back in the order of the
log, so the first finding is named whoever makes it. Memory does not grow with the log.
"""

import gc
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from pathlib import Path

import msgspec

from audit.execution import Executor
from audit.links import CommitLinks, CommitShapes, LogLinks
from audit.roots import RootKeeper, StateRoots
from audit.signatures import Place, SetChange, SetFollower, SignatureQueue
from audit.sources import Commit, Source, SourceLacks, SourceWrong, TileDump
from audit.structure import LoggedBlock, check_genesis, read_blocks
from audit.verdicts import Finding, Incomplete, Tampered
from audit.verifying import HelperLost
from engines.seam import CommitHead
from ledger.blocks import record_hash_of
from ledger.encoding import codec, merkle
from ledger.encoding.codec import Record
from ledger.execute import Head
from ledger.genesis import GenesisInvalid, log_id_of, parse_genesis
from ledger.invariants import InvariantBroken, check_state
from ledger.ledger import beginning
from ledger.rules.programmes import Totals
from ledger.rules.validators import VALIDATORS, ValidatorSchedule
from ledger.store.lmdb_store import LmdbReader
from ledger.store.scratch import ScratchStore, ScratchTree
from ledger.view import must
from node.fetch import TARGET, Target
from node.lock import FolderInUse, held
from node.snapshot import SnapshotRefused, make_store

STANDING_EVERY = 20_000
"""Entries after which a replay that can be taken up again writes where it stands."""
SNAPSHOT_MAP_BYTES = 64 * 1024**3


class Level(IntEnum):
    """How much is looked at; each level includes those before it (A4)."""

    STRUCTURE = 1
    MERKLE = 2
    SIGNATURES = 3
    EXECUTE = 4


class WorkFolderWrong(Exception):
    """A work folder belongs to another log or another level, or somebody works in it."""


class Counts(msgspec.Struct, kw_only=True):
    """What was seen of the log."""

    entries: int = 0
    records: int = 0
    """Of blocks: closing entries."""
    transactions: int = 0
    state_roots: int = 0
    commits: int = 0
    height: int = 0
    """Of the last record."""
    time_ms: int = 0
    record_hash: bytes = b""


class Progress(msgspec.Struct, kw_only=True):
    """Where a replay stands: all that it needs to go on, beside its store."""

    log_id: bytes
    level: int
    state_roots: str
    counts: Counts
    peaks: tuple[bytes, ...]
    commits_height: int
    commit: CommitHead | None
    schedule: ValidatorSchedule
    proposed: tuple[SetChange, ...]
    executed_from: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a replay took. Only the first part is serial."""

    wall_ms: int
    serial_cpu_ms: int
    """Reading, decoding, Merkle roots of the log, executing: one process."""
    signatures_cpu_ms: int
    """All workers together."""
    roots_cpu_ms: int
    """Roots of changes and of the state: one process."""
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a replay found to be sound."""

    level: Level
    log_id: bytes
    counts: Counts
    state_records: int
    """Records of the final state, over which every invariant was added up from nothing."""
    totals: tuple[tuple[str, Totals], ...]
    """By programme, in order; none below execute."""
    state_roots: StateRoots
    """Which state roots were made again."""
    executed_from: int
    """Height after which blocks were executed: 0, or that of a snapshot."""
    resumed_at: int
    """Entries that an earlier run of the same replay had done."""
    cost: Cost

    def facts(self) -> dict[str, object]:
        """Return what is true of the log, whoever replays it on however many cores."""
        verdict = {
            Level.STRUCTURE: "every entry and commit is well-formed and in its place",
            Level.MERKLE: "every root of the log, every record and every header leads to the next",
            Level.SIGNATURES: "every signature of members and validators holds",
            Level.EXECUTE: "every entry, signature, commit and total was recomputed",
        }[self.level]
        if self.level is Level.EXECUTE and self.state_roots == "none":
            verdict += ", but for the roots of the state"
        counts = self.counts
        facts: dict[str, object] = {
            "verdict": verdict,
            "level": self.level.name.lower(),
            "log_id": self.log_id,
            "height": counts.height,
            "commits": counts.commits,
            "entries": counts.entries,
            "transactions": counts.transactions,
            "record_hash": counts.record_hash,
        }
        if self.level is Level.EXECUTE:
            totals = [programme for _, programme in self.totals]
            facts |= {
                "records": self.state_records,
                "state_roots": counts.state_roots if self.state_roots == "all" else "left out",
                "programmes": len(totals),
                "minted_fen": sum(programme.minted for programme in totals),
                "outstanding_fen": sum(
                    programme.available + programme.reserved + programme.claimed
                    for programme in totals
                ),
                "burned_fen": sum(programme.redeemed for programme in totals),
            }
        return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked of a replay."""

    log_id: bytes
    """From somewhere that is trusted: everything else is recomputed."""
    level: Level = Level.EXECUTE
    state_roots: StateRoots = "all"
    workers: int | None = None
    """Processes that verify signatures; by default one for each core. 0: no other process."""
    snapshot: Path | None = None
    """What ``tally node fetch`` downloads; blocks through it are not executed."""


def replay(
    source: Source,
    plan: Plan,
    work: Path,
    *,
    is_kept: bool = False,
    on_entries: Callable[[int], None] = lambda _: None,
) -> Report:
    """Replay a source's log; raise Tampered, Unverifiable or Incomplete at the first finding.

    ``work`` is a folder for scratch files. If ``is_kept``, a replay that was killed goes on in it
    where it stood; WorkFolderWrong if it belongs to another or is in use. ``on_entries`` is told
    of progress.
    """
    _take_folder(work)
    was_enabled = gc.isenabled()
    gc.disable()  # records hold no cycles, and there are millions of them
    try:
        with ExitStack() as stack:
            try:
                stack.enter_context(held(work / "lock"))
            except FolderInUse as error:
                raise WorkFolderWrong(str(error)) from None
            except OSError as error:
                raise WorkFolderWrong(f"{work}: {error.strerror}") from None
            return _Replay(source, plan, work, is_kept, on_entries, stack).run()
    finally:
        if was_enabled:
            gc.enable()


MARK = "of-a-replay"
"""A file that says whose the folder is: in a folder without it nothing is written or deleted."""


def _take_folder(work: Path) -> None:
    """Raise WorkFolderWrong if a folder is neither new, empty nor a replay's."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in work.iterdir())
        if names and MARK not in names:
            raise WorkFolderWrong(f"{work} holds something else: {', '.join(names[:3])}")
        (work / MARK).touch()
    except OSError as error:
        raise WorkFolderWrong(f"{work}: {error.strerror}") from None


class _Replay:
    def __init__(
        self,
        source: Source,
        plan: Plan,
        work: Path,
        is_kept: bool,
        on_entries: Callable[[int], None],
        stack: ExitStack,
    ) -> None:
        self._source, self._plan, self._work = source, plan, work
        self._is_kept, self._on_entries, self._stack = is_kept, on_entries, stack
        self._started_ns = time.monotonic_ns()
        self._cpu_ns = time.process_time_ns()
        self._counts = Counts()
        self._saved = 0
        self._executed_from = 0
        self._queue: SignatureQueue | None = None
        self._executor: Executor | None = None
        self._roots: RootKeeper | None = None
        self._place = Place(0, 0, "commit.certificate")

    def run(self) -> Report:
        try:
            return self._run()
        except SourceLacks as error:
            finding: Finding = self._here(Incomplete, "source", str(error))
        except SourceWrong as error:
            finding = self._here(Tampered, error.field, str(error))
        except Finding as error:
            finding = error
        raise self._earliest(finding)

    def _here(self, kind: type[Finding], field: str, reason: str) -> Finding:
        counts = self._counts
        return kind(height=counts.height, sequence=counts.entries, field=field, reason=reason)

    def _earliest(self, finding: Finding) -> Finding:
        """Return what others found of blocks before, or signatures of this one, else this."""
        if self._roots is not None:
            try:
                self._roots.settle(all_of_them=True)
            except Tampered as earlier:
                finding = earlier if earlier.height < finding.height else finding
            except HelperLost:
                pass  # what was found stands, if not as the first
        if self._queue is not None:
            try:
                self._queue.settle(all_of_them=True)
            except Tampered as earlier:
                finding = earlier if earlier.height <= finding.height else finding
            except HelperLost:
                pass
        return finding

    def _run(self) -> Report:
        genesis = self._genesis()
        progress = self._progress()
        if progress is None:  # or an earlier run stopped before it could say where
            for name in ("store", "tree"):
                shutil.rmtree(self._work / name, ignore_errors=True)
        self._store = ScratchStore(self._work / "store")
        self._stack.callback(self._store.close)
        self._begin(genesis, progress)
        self._read()
        self._finish()
        return self._report()

    def _genesis(self) -> bytes:
        genesis = self._source.genesis()
        log_id = log_id_of(genesis)
        if log_id != self._plan.log_id:
            reason = f"it makes log {log_id.hex()}, not {self._plan.log_id.hex()}"
            raise Tampered(height=0, sequence=0, field="genesis", reason=reason)
        return genesis

    # Beginning, or going on

    def _begin(self, genesis: bytes, progress: Progress | None) -> None:
        plan = self._plan
        try:
            parsed = parse_genesis(genesis)
        except (GenesisInvalid, codec.NotCanonical) as error:
            raise Tampered(height=0, sequence=0, field="genesis", reason=str(error)) from None
        entry, head, writes = beginning(parsed, genesis)
        seen = self._source.checkpoint()
        if progress is None:
            first = next(self._source.entries(0), b"")
            check_genesis(first, genesis)
            self._counts = Counts(entries=1, time_ms=parsed.time_ms, record_hash=plan.log_id)
            schedule = next(write.record for write in writes if write.key == VALIDATORS.key("all"))
            assert isinstance(schedule, ValidatorSchedule)
            proposed: tuple[SetChange, ...] = ()
            frontier, commits_height, commit = merkle.Frontier(), 0, None
        else:
            self._counts, schedule, proposed = progress.counts, progress.schedule, progress.proposed
            size = progress.counts.entries if plan.level >= Level.MERKLE else 0
            frontier = merkle.Frontier(size, progress.peaks)
            commits_height, commit = progress.commits_height, progress.commit
        self._saved = self._resumed_at = self._counts.entries if progress is not None else 0
        self._sets = SetFollower(schedule, proposed)
        self._links = LogLinks(plan.log_id, frontier, self._counts.record_hash, seen)
        if progress is None and plan.level >= Level.MERKLE:
            self._links.append([entry])
        commits = self._commits(commits_height + 1)
        self._shapes = CommitShapes(commits, commits_height)
        if plan.level >= Level.SIGNATURES:
            self._queue = SignatureQueue(plan.workers)
            self._stack.callback(self._queue.close)
        self._commit_links = CommitLinks(
            plan.log_id,
            commits,
            head=commit,
            schedule=schedule,
            verify=None if self._queue is None else self._verify_later,
        )
        if plan.level >= Level.EXECUTE:
            roots = RootKeeper(self._work / "tree", plan.state_roots, is_apart=plan.workers != 0)
            self._stack.callback(roots.close)
            if progress is not None:
                stood = self._store.head()
                assert stood is not None, "a note is written with its head"
                head = stood
                self._executed_from = progress.executed_from
                if not roots.takes_up(head.log_size):
                    roots.begin([self._store.values()], is_rooted=not head.cuts)
            elif plan.snapshot is not None:
                head = self._take_snapshot(plan.snapshot, genesis, roots)
            else:
                self._store.begin(writes)
                roots.begin([((one.key, one.value) for one in writes)], is_rooted=False)
            self._roots, self._executor = roots, Executor(self._store, head, roots)

    def _progress(self) -> Progress | None:
        """Return where an earlier run of this replay stood, if it said so."""
        if not (self._is_kept and (self._work / "store" / "data.mdb").exists()):
            return None
        with closing(ScratchStore(self._work / "store")) as store:
            note, head = store.note(), store.head()
        if note is None:
            return None
        if head is not None and len(head.cuts) > 1 and not self._has_pages(head):
            return None  # what the first of the cuts was of is written over
        progress = msgspec.msgpack.decode(note, type=Progress)
        plan = self._plan
        if progress.log_id != plan.log_id:
            raise WorkFolderWrong(f"{self._work} is of log {progress.log_id.hex()}")
        if (progress.level, progress.state_roots) != (plan.level, plan.state_roots):
            name = Level(progress.level).name.lower()
            raise WorkFolderWrong(
                f"{self._work} was begun at level {name} with state roots {progress.state_roots}"
            )
        return progress

    def _has_pages(self, head: Head) -> bool:
        """Return whether the state tree of an earlier run stands where its records do."""
        if self._plan.state_roots == "none":
            return True
        with closing(ScratchTree(self._work / "tree")) as tree:
            return tree.log_size() == head.log_size

    def _commits(self, first: int) -> Iterator[Commit]:
        end = self._source.end()
        for commit in self._source.commits(first):
            if end is not None and commit[0] > end.height:
                return
            yield commit

    def _take_snapshot(self, folder: Path, genesis: bytes, roots: RootKeeper) -> Head:
        """Fill the store from what a server exported of a height, proven by hashes (N12)."""
        made, draft = self._work / "snapshot", self._work / "snapshot.new"
        for path in (made, draft):
            shutil.rmtree(path, ignore_errors=True)
        try:
            target = msgspec.json.decode((folder / TARGET).read_bytes(), type=Target)
            head = make_store(
                genesis=genesis,
                folder=folder,
                height=target.height,
                log_size=target.log_size,
                trust=None,
                draft=draft,
                store=made,
                map_bytes=SNAPSHOT_MAP_BYTES,
            ).head
        except FileNotFoundError as error:
            raise SourceLacks(f"the snapshot has no {Path(error.filename).name}") from None
        except (SnapshotRefused, msgspec.MsgspecError) as error:
            raise SourceWrong("snapshot", str(error)) from None
        with closing(LmdbReader(made)) as reader, reader.begin() as snapshot:
            for key, value in snapshot.scan("state", prefix=b"", limit=codec.UINT64_MAX):
                self._store.add_current(key, value)
            for row, value in snapshot.scan("ids", prefix=b"", limit=codec.UINT64_MAX):
                self._store.add_id(row, int.from_bytes(value, "big"))
            ends = [cut.log_size for cut in head.cuts] or [head.log_size]
            spans = zip((0, *ends), ends, strict=False)
            by_cut = (snapshot.values_between(first, end) for first, end in spans)
            roots.begin(by_cut, is_rooted=not head.cuts)
        shutil.rmtree(made)
        self._executed_from = head.height
        return head

    def _verify_later(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Hand a validator's signature to the workers; whether it holds is known later."""
        assert self._queue is not None
        height = self._commit_links.height + 1
        place = Place(height, self._place.sequence, "commit.certificate")
        self._queue.add_commit(place, key, message, signature)
        return True

    # The log

    def _read(self) -> None:
        counts = self._counts
        end = self._source.end()
        raws = self._source.entries(counts.entries)
        if end is not None:
            raws = islice(raws, max(0, end.log_size - counts.entries))
        blocks = read_blocks(
            raws, first=counts.entries, height=counts.height, time_ms=counts.time_ms
        )
        for block in blocks:
            self._take(block)
            self._count(block)
            self._on_entries(len(block.raws))
            if self._is_kept and (
                counts.entries - self._saved >= STANDING_EVERY or self._store.is_full()
            ):
                # With two cuts open, whoever is killed between both files begins from nothing.
                if self._executor is None or len(self._executor.head.cuts) < 2:
                    self._save()
                elif self._store.is_full():
                    self._store.settle()
            elif self._store.is_full():
                self._store.settle()
        wanted = end.log_size if end is not None else counts.entries
        seen = self._source.checkpoint()
        if seen is not None:
            wanted = max(wanted, seen.size)
        if counts.entries < wanted:
            raise self._here(Incomplete, "entry", f"the log ends here, not at {wanted}")

    def _take(self, block: LoggedBlock) -> None:
        level = self._plan.level
        if level is Level.STRUCTURE:
            self._shapes.advance_to(block)
            return
        self._place = Place(0, block.first, "commit.certificate")
        self._links.take(block)
        schedule = self._sets.schedule
        self._commit_links.advance_to(block, schedule)
        if self._queue is not None:
            self._queue.add_block(block)
            self._queue.settle()
        if self._executor is not None and block.record.height > self._executed_from:
            self._require_same_ledger(block)
            self._executor.take(block)
            self._sets.schedule = must(self._store, VALIDATORS, "all")
        elif self._queue is not None:
            self._sets.take(block)

    def _require_same_ledger(self, block: LoggedBlock) -> None:
        """Raise Tampered unless the first block that is executed follows the snapshot."""
        assert self._executor is not None
        head = self._executor.head
        if (head.log_size, head.record_hash) != (block.first, block.record.previous):
            raise Tampered(
                height=head.height,
                sequence=head.log_size,
                field="snapshot",
                reason="it is of another history than this log",
            )

    def _count(self, block: LoggedBlock) -> None:
        counts = self._counts
        counts.entries += len(block.raws)
        counts.records += 1
        counts.transactions += len(block.logged)
        counts.state_roots += len(block.record.state_root)
        counts.height, counts.time_ms = block.record.height, block.record.time_ms
        counts.record_hash = record_hash_of(block.record)

    def _save(self) -> None:
        """Write where everything stands, once all that was handed out has come back."""
        if self._queue is not None:
            self._queue.settle(all_of_them=True)
        counts = self._counts
        if self._roots is not None:
            self._roots.flush(counts.entries)
        head = self._commit_links.head
        progress = Progress(
            log_id=self._plan.log_id,
            level=self._plan.level,
            state_roots=self._plan.state_roots,
            counts=counts,
            peaks=tuple(self._links.frontier.peaks),
            commits_height=head.height if head is not None else self._shapes.height,
            commit=head,
            schedule=self._sets.schedule,
            proposed=tuple(self._sets.proposed),
            executed_from=self._executed_from,
        )
        executed = None if self._executor is None else self._executor.head
        self._store.flush(executed, msgspec.msgpack.encode(progress))
        self._saved = counts.entries

    # The end

    def _finish(self) -> None:
        counts = self._counts
        if self._plan.level is Level.STRUCTURE:
            self._shapes.finish(counts.entries)
            counts.commits = self._shapes.height
        else:
            self._place = Place(0, counts.entries, "commit.certificate")
            self._commit_links.finish(self._sets.schedule, counts.entries)
            counts.commits = self._commit_links.height
        if counts.height < self._executed_from:
            raise self._here(Incomplete, "entry", f"the snapshot is of {self._executed_from}")
        end = self._source.end()
        if end is not None and counts.commits < end.height:
            reason = f"the commits end here, not at {end.height}"
            raise Incomplete(
                height=counts.commits, sequence=counts.entries, field="commit", reason=reason
            )
        if isinstance(self._source, TileDump) and self._plan.level >= Level.MERKLE:
            self._source.check_tree()

    def _settle(self) -> None:
        """Wait for what others have under way; raise Tampered at the first finding."""
        if self._queue is not None:
            self._queue.settle(all_of_them=True)
        if self._roots is not None:
            self._roots.settle(all_of_them=True)

    def _report(self) -> Report:
        counts = self._counts
        totals: list[tuple[str, Totals]] = []
        records = 0
        if self._executor is not None:
            try:  # while others work on what they still have
                self._store.settle()
                records = check_state(
                    _noting(self._store.records(), totals), self._store.vouchers_backwards()
                )
            except InvariantBroken as error:
                self._settle()  # what they find stands before it
                raise Tampered(
                    height=counts.height,
                    sequence=counts.entries - 1,
                    field="invariant",
                    reason=str(error),
                ) from None
        self._settle()
        queue, roots = self._queue, self._roots
        return Report(
            level=self._plan.level,
            log_id=self._plan.log_id,
            counts=counts,
            state_records=records,
            totals=tuple(totals),
            state_roots=self._plan.state_roots,
            executed_from=self._executed_from,
            resumed_at=self._resumed_at,
            cost=Cost(
                wall_ms=(time.monotonic_ns() - self._started_ns) // 1_000_000,
                serial_cpu_ms=(time.process_time_ns() - self._cpu_ns) // 1_000_000,
                signatures_cpu_ms=0 if queue is None else queue.cpu_ns // 1_000_000,
                roots_cpu_ms=0 if roots is None else roots.cpu_ns // 1_000_000,
                workers=0 if queue is None else queue.workers,
            ),
        )


def _noting(
    records: Iterator[tuple[bytes, Record]], totals: list[tuple[str, Totals]]
) -> Iterator[tuple[bytes, Record]]:
    """Yield records, and keep the totals among them."""
    for key, record in records:
        if isinstance(record, Totals):
            totals.append((key.partition(b"/")[2].decode("ascii"), record))
        yield key, record
