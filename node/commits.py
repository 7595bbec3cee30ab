"""The chain of commits beside a log: each height decided by those who validate it (spec A2)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from consensus.certificate import Certificate, CertificateInvalid, Verify, verify_certificate
from consensus.messages import BlockId
from consensus.validators import ValidatorSet
from ledger.blocks import BlockRecord, record_hash
from ledger.encoding import crypto
from ledger.encoding.codec import NotCanonical
from ledger.rules.validators import ValidatorSchedule, validators_at
from node import messages
from node.judge import validator_set
from node.messages import StoredCommit

OnCommit = Callable[[StoredCommit, bytes], None]
"""Told of each commit that holds, and of its bytes, in the order of heights."""


class CommitInvalid(Exception):
    """A commit does not prove the block it stands beside."""

    def __init__(self, *, height: int, reason: str, field: str = "commit") -> None:
        super().__init__(f"commit at height {height}: {reason}")
        self.height, self.reason = height, reason
        self.field = field
        """``commit``, or the part of it that is wrong: ``commit.header.time_ms``."""


class CommitMissing(CommitInvalid):
    """The commits end before the log does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitHead:
    """Where a chain of commits stands, so that it can be taken up again."""

    height: int
    time_ms: int
    record_hash: bytes
    parent: bytes
    """Block id of that height."""
    certificate: Certificate


class CommitChain:
    """Follows the commits of every height, those of blocks that logged nothing too.

    Whoever calls gives the schedule of validators as it was before the block: a set that a block
    decides acts two heights on, so the schedule holds for all heights through that block.
    """

    def __init__(
        self,
        log_id: bytes,
        commits: Iterator[tuple[int, bytes]],
        on_commit: OnCommit = lambda *_: None,
        verify: Verify | None = crypto.verify,
    ) -> None:
        """Begin before the first height; without ``verify`` no certificate is looked into."""
        self._log_id = log_id
        self._commits = commits
        self._on_commit = on_commit
        self._verify = verify
        self._parent = messages.NO_BLOCK
        self._parent_certificate: Certificate | None = None
        self._parent_set: ValidatorSet | None = None
        self.record_hash = log_id
        """Record hash after the last verified height."""
        self.time_ms = 0
        self.height = 0
        """The last height whose commit was verified."""

    def head(self) -> CommitHead | None:
        """Return where the chain stands, None before the first height."""
        if self._parent_certificate is None:
            return None
        return CommitHead(
            height=self.height,
            time_ms=self.time_ms,
            record_hash=self.record_hash,
            parent=self._parent,
            certificate=self._parent_certificate,
        )

    def go_on(self, head: CommitHead, schedule: ValidatorSchedule) -> None:
        """Take up a chain after a height; the commits that come are of those above."""
        self.height, self.time_ms, self.record_hash = head.height, head.time_ms, head.record_hash
        self._parent, self._parent_certificate = BlockId(head.parent), head.certificate
        self._parent_set = validator_set(validators_at(schedule, head.height))

    def advance_to(self, record: BlockRecord, schedule: ValidatorSchedule) -> None:
        """Verify all commits through that of a block with a record; raise CommitInvalid."""
        while self.height < record.height - 1:
            self._next(schedule, None)
        self._next(schedule, record)

    def finish(self, schedule: ValidatorSchedule) -> None:
        """Verify what follows the last record: heights that logged nothing."""
        while self._next(schedule, None, may_end=True):
            pass

    def _next(
        self, schedule: ValidatorSchedule, record: BlockRecord | None, *, may_end: bool = False
    ) -> bool:
        expected = self.height + 1
        height, data = next(self._commits, (0, b""))
        if height == 0 and may_end:
            return False
        if height == 0:
            raise CommitMissing(height=expected, reason="the commits end before it")
        if height != expected:
            raise CommitInvalid(height=expected, reason=f"expected it next, found height {height}")
        try:
            commit = messages.decode_commit(data)
        except NotCanonical as error:
            raise CommitInvalid(height=expected, reason=str(error)) from None
        header, certificate = commit.header, commit.certificate
        if record is not None:
            self.record_hash = record_hash(record)
            if header.time_ms != record.time_ms:
                raise CommitInvalid(
                    height=expected,
                    reason="its time is not the record's",
                    field="commit.header.time_ms",
                )
        block_id = messages.block_id(header)
        problems = (
            (header.log_id != self._log_id, "header.log_id", "it is of another log"),
            (header.height != expected, "header.height", f"its header says {header.height}"),
            (header.parent != self._parent, "header.parent", "its parent is not the block before"),
            (
                header.time_ms <= self.time_ms,
                "header.time_ms",
                "its time is not after its parent's",
            ),
            (
                header.record_hash != self.record_hash,
                "header.record_hash",
                "it is of another record",
            ),
            (certificate.block_id != block_id, "certificate.block_id", "it is of another block"),
            (certificate.height != expected, "certificate.height", "it is of another height"),
        )
        for is_wrong, name, reason in problems:
            if is_wrong:
                raise CommitInvalid(height=expected, reason=reason, field=f"commit.{name}")
        acting = validator_set(validators_at(schedule, expected))
        self._verify_certificate(certificate, acting, header.epoch)
        self._check_previous(commit)
        self._parent, self._parent_certificate, self._parent_set = block_id, certificate, acting
        self.time_ms = header.time_ms
        self.height = expected
        self._on_commit(commit, data)
        return True

    def _check_previous(self, commit: StoredCommit) -> None:
        """Raise CommitInvalid unless the block carried a certificate of its parent that holds."""
        height = self.height + 1
        if not commit.previous and self.height == 0:
            return
        if not commit.previous or self._parent_set is None:
            raise CommitInvalid(
                height=height,
                reason="it lacks its parent's certificate",
                field="commit.previous",
            )
        carried = commit.previous[0]
        if carried == self._parent_certificate:  # mostly the very one that was just verified
            return
        if (carried.height, carried.block_id) != (self.height, self._parent):
            raise CommitInvalid(
                height=height,
                reason="it carries a certificate of another parent",
                field="commit.previous",
            )
        self._verify_certificate(carried, self._parent_set, commit.header.epoch, "previous")

    def _verify_certificate(
        self, certificate: Certificate, acting: ValidatorSet, epoch: int, which: str = "certificate"
    ) -> None:
        if self._verify is None:
            return
        try:
            verify_certificate(certificate, acting, self._log_id, epoch, self._verify)
        except CertificateInvalid as error:
            whose = "its parent's certificate: " if which == "previous" else ""
            raise CommitInvalid(
                height=self.height + 1, reason=f"{whose}{error}", field=f"commit.{which}"
            ) from None
