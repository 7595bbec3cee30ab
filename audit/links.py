"""The second level: what the records and headers say of each other holds (spec A5.2)."""

from collections.abc import Iterator, Sequence

from audit.sources import Commit
from audit.structure import LoggedBlock
from audit.verdicts import Incomplete, Tampered
from consensus.certificate import Verify
from engines.families import family_of
from engines.seam import CommitHead, CommitInvalid, CommitMissing, ProvenCommit
from ledger.blocks import record_hash_of
from ledger.encoding import merkle
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.codec import NotCanonical
from ledger.rules.validators import ValidatorSchedule


class LogLinks:
    """The Merkle tree of the log, and the chain of its records."""

    def __init__(
        self, log_id: bytes, frontier: merkle.Frontier, previous: bytes, seen: Checkpoint | None
    ) -> None:
        self.frontier = frontier
        self.previous = previous
        """Hash of the last record; the log id before the first."""
        self._height = 0
        self._log_id = log_id
        self._checkpoint = seen

    def append(self, raws: Sequence[bytes]) -> None:
        """Take entries; raise Tampered if a checkpoint says otherwise of the log through one."""
        leaves = merkle.leaf_hashes(raws)
        seen = self._checkpoint
        through = 0 if seen is None else seen.size - self.frontier.size
        if seen is not None and 0 < through <= len(leaves):
            self.frontier.extend(leaves[:through])
            if seen.root != self.frontier.root():
                raise Tampered(
                    height=self._height,
                    sequence=seen.size - 1,
                    field="checkpoint.root",
                    reason="the entries have another root",
                )
            leaves = leaves[through:]
        self.frontier.extend(leaves)

    def take(self, block: LoggedBlock) -> None:
        """Take a block; raise Tampered."""
        record, frontier = block.record, self.frontier
        self._height = record.height
        if record.log_id != self._log_id:
            raise _wrong(block, "log_id", "it is of another log")
        if record.previous != self.previous:
            raise _wrong(block, "previous", "the record before has another hash")
        if record.transactions_root != merkle.root([entry.signed for entry in block.logged]):
            raise _wrong(block, "transactions_root", "the transactions have another root")
        self.append(block.raws[:-1])
        if record.log_root != frontier.root():
            raise _wrong(block, "log_root", "the entries before it have another root")
        self.append(block.raws[-1:])
        self.previous = record_hash_of(record)


def _wrong(block: LoggedBlock, field: str, reason: str) -> Tampered:
    return Tampered(
        height=block.record.height, sequence=block.last, field=f"record.{field}", reason=reason
    )


class CommitShapes:
    """The commits at the first level: canonical, one for each height, in order."""

    def __init__(self, commits: Iterator[Commit], height: int) -> None:
        self._commits = commits
        self._family = family_of("")
        self.height = height

    def advance_to(self, block: LoggedBlock) -> None:
        """Look at all commits through a block's; raise Tampered or Incomplete."""
        while self.height < block.record.height:
            if not self._next(block.first):
                raise _missing(self.height + 1, block.first)

    def finish(self, log_size: int) -> None:
        """Look at what follows the last record."""
        while self._next(log_size):
            pass

    def _next(self, sequence: int) -> bool:
        height, data = next(self._commits, (0, b""))
        if height == 0:
            return False
        expected = self.height + 1
        reason = "" if height == expected else f"found height {height}"
        try:
            stated = self._family.height_of(data)
            if not reason and stated != expected:
                reason = f"its header says height {stated}"
        except NotCanonical as error:
            reason = reason or str(error)
        if reason:
            raise Tampered(height=expected, sequence=sequence, field="commit", reason=reason)
        self.height = expected
        return True


class CommitLinks:
    """The commits from the second level on: headers that continue each other and carry the log.

    With ``verify`` their certificates hold too, under the validators of each height.
    """

    def __init__(
        self,
        log_id: bytes,
        commits: Iterator[Commit],
        *,
        head: CommitHead | None,
        schedule: ValidatorSchedule,
        verify: Verify | None,
    ) -> None:
        self._chain = family_of("").chain(log_id, commits, self._on_commit, verify=verify)
        if head is not None:
            self._chain.go_on(head, schedule)
        self._block: LoggedBlock | None = None

    @property
    def head(self) -> CommitHead | None:
        """Return where the chain stands."""
        return self._chain.head()

    @property
    def height(self) -> int:
        """Return the last height whose commit holds."""
        return self._chain.height

    def advance_to(self, block: LoggedBlock, schedule: ValidatorSchedule) -> None:
        """Look at all commits through a block's; raise Tampered or Incomplete."""
        self._block = block
        try:
            self._chain.advance_to(block.record, schedule)
        except CommitMissing as error:
            raise _missing(error.height, block.first) from None
        except CommitInvalid as error:
            raise _commit_wrong(error, block.first) from None
        self._block = None

    def finish(self, schedule: ValidatorSchedule, log_size: int) -> None:
        """Look at what follows the last record."""
        try:
            self._chain.finish(schedule)
        except CommitInvalid as error:
            raise _commit_wrong(error, log_size) from None

    def _on_commit(self, commit: ProvenCommit) -> None:
        """Raise CommitInvalid unless the commit is of the body that the log has (N2.3)."""
        block = self._block
        envelopes: tuple[bytes, ...] = ()
        if block is not None and block.record.height == commit.height:
            envelopes = tuple(entry.signed for entry in block.logged)
        if not commit.carries(envelopes):
            raise CommitInvalid(
                height=commit.height,
                reason="the log has another body",
                field="commit.header.body_hash",
            )


def _missing(height: int, sequence: int) -> Incomplete:
    reason = "the commits end before it"
    return Incomplete(height=height, sequence=sequence, field="commit", reason=reason)


def _commit_wrong(error: CommitInvalid, sequence: int) -> Tampered:
    return Tampered(height=error.height, sequence=sequence, field=error.field, reason=error.reason)
