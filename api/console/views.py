"""What the console shows, gathered from one read of the store and the node's status.

What is not known is None here and said so on the page; it is never drawn as zero.
"""

from dataclasses import dataclass

from api.documents import code_of
from api.reads import SCAN_MAX, budgets_of, head_of, log_before, single
from desk.following import QUORUM_AGE_MAX_MS
from engines.seam import SeenCommit
from ledger.encoding import codec
from ledger.encoding.codec import Record
from ledger.entries import TransactionEntry
from ledger.execute import Head
from ledger.rules.programmes import PROGRAMMES, TERMS, TOTALS, Programme, standing_version
from ledger.rules.validators import VALIDATORS, validators_at
from ledger.store.lmdb_store import Snapshot
from ledger.transactions import parse
from node.port import NodeStatus
from tally.percentiles import percentile

TRANSACTIONS_SHOWN = 20
COMMITS_SHOWN = 24
WHOLE = 1000
"""A bar's length: its parts are drawn in thousandths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Where the ledger stands and how its node is."""

    head: Head
    status: NodeStatus | None
    """None while the node is unreachable."""
    peers_up: int
    has_quorum: bool


def summary(snapshot: Snapshot, status: NodeStatus | None) -> Summary:
    """Return the summary."""
    peers = () if status is None else status.peers
    return Summary(
        head=head_of(snapshot),
        status=status,
        peers_up=sum(1 for peer in peers if peer.up),
        has_quorum=status is not None and status.quorum_age_ms < QUORUM_AGE_MAX_MS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a bar, in thousandths of its length."""

    name: str
    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeRow:
    """A programme and what became of its money, in fen, over all years."""

    id: str
    title: str
    status: str
    assumed: tuple[str, ...]
    """Names of terms that no published source gave."""
    appropriated: int
    outstanding: int
    burned: int
    expired: int
    """Expired or revoked."""
    free: int
    """Appropriated and not committed; value that expired within its year is in it again."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the bar: burned, outstanding; what remains of its length is free."""
        whole = max(self.appropriated, self.outstanding + self.burned)
        if whole == 0:
            return ()
        burned = self.burned * WHOLE // whole
        both = (self.burned + self.outstanding) * WHOLE // whole
        return (
            Part(name="burned", start=0, length=burned),
            Part(name="outstanding", start=burned, length=both - burned),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Programmes:
    """All programmes and their sum."""

    rows: tuple[ProgrammeRow, ...]
    total: ProgrammeRow


def programmes(snapshot: Snapshot) -> Programmes:
    """Return every programme by id."""
    rows = []
    for _, value in snapshot.scan("state", prefix=PROGRAMMES.prefix, limit=SCAN_MAX):
        programme: Programme = codec.decode_stored(Programme, value[8:])
        rows.append(_programme_row(snapshot, programme))
    total = ProgrammeRow(
        id="",
        title="",
        status="",
        assumed=(),
        appropriated=sum(row.appropriated for row in rows),
        outstanding=sum(row.outstanding for row in rows),
        burned=sum(row.burned for row in rows),
        expired=sum(row.expired for row in rows),
        free=sum(row.free for row in rows),
    )
    return Programmes(rows=tuple(rows), total=total)


def _programme_row(snapshot: Snapshot, programme: Programme) -> ProgrammeRow:
    terms, _ = single(snapshot, TERMS, programme.id, str(standing_version(programme)))
    totals, _ = single(snapshot, TOTALS, programme.id)
    budgets = budgets_of(snapshot, programme.id)
    return ProgrammeRow(
        id=programme.id,
        title=terms.title,
        status=programme.status,
        assumed=terms.assumed,
        appropriated=sum(entry.budget.appropriated for entry in budgets),
        outstanding=totals.available + totals.reserved + totals.claimed,
        burned=totals.redeemed,
        expired=totals.expired + totals.revoked,
        free=sum(entry.budget.appropriated - entry.budget.committed for entry in budgets),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionRow:
    """A logged transaction, decoded."""

    sequence: int
    height: int
    time_ms: int
    id: str
    operation: Record
    code: str
    is_final: bool


def transactions(snapshot: Snapshot) -> tuple[TransactionRow, ...]:
    """Return the newest logged transactions."""
    rows: list[TransactionRow] = []
    for sequence, block, entry in log_before(snapshot, head_of(snapshot).log_size, SCAN_MAX):
        if isinstance(entry, TransactionEntry):
            transaction = parse(entry.signed)
            rows.append(
                TransactionRow(
                    sequence=sequence,
                    height=block.height,
                    time_ms=block.time_ms,
                    id=transaction.id.hex(),
                    operation=transaction.body.operation,
                    code=code_of(entry.code),
                    is_final=entry.code == 0,
                )
            )
            if len(rows) == TRANSACTIONS_SHOWN:
                break
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatorRow:
    """A validator and which of the last blocks it signed, oldest first."""

    party: str
    power: int
    signed: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """Who signed the last blocks, as this node saw the commits."""

    rows: tuple[ValidatorRow, ...]
    commits: tuple[SeenCommit, ...] | None
    """Oldest first; None while the node is unreachable."""


def validators(snapshot: Snapshot, status: NodeStatus | None) -> Validators:
    """Return the acting validators against the last blocks."""
    head = head_of(snapshot)
    schedule, _ = single(snapshot, VALIDATORS, "all")
    commits = shown_commits(status)
    rows = tuple(
        ValidatorRow(
            party=validator.party,
            power=validator.keys.power,
            signed=tuple(validator.keys.consensus in commit.signers for commit in commits or ()),
        )
        for validator in validators_at(schedule, head.height + 1).validators
    )
    return Validators(rows=rows, commits=commits)


def shown_commits(status: NodeStatus | None) -> tuple[SeenCommit, ...] | None:
    """Return the last commits, oldest first; None while the node is unreachable."""
    if status is None:
        return None
    return tuple(sorted(status.commits, key=lambda commit: commit.height))[-COMMITS_SHOWN:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finality:
    """How long the last blocks took from first work to durable commit."""

    commits: tuple[SeenCommit, ...]
    """Oldest first."""
    p50_us: int
    p95_us: int
    heights: tuple[int, ...]
    """Of the columns, in thousandths of the slowest."""


def finality(status: NodeStatus | None) -> Finality | None:
    """Return the finality of the last blocks, None if there is none to show."""
    commits = shown_commits(status)
    if not commits:
        return None
    durations = [commit.finality_us for commit in commits]
    slowest = max(1, *durations)
    return Finality(
        commits=commits,
        p50_us=percentile(durations, 50),
        p95_us=percentile(durations, 95),
        heights=tuple(duration * WHOLE // slowest for duration in durations),
    )
