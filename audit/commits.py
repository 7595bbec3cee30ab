"""Checks the chain of commits beside a replayed log, block by block (spec A2)."""

from collections.abc import Iterator

from consensus.certificate import CertificateInvalid, verify_certificate
from ledger.blocks import BlockRecord, record_hash
from ledger.encoding import crypto
from ledger.encoding.codec import NotCanonical
from ledger.rules.governance import ValidatorSetRecord
from node import messages
from node.host import validator_set


class CommitInvalid(Exception):
    """A commit does not prove the block it stands beside."""

    def __init__(self, *, height: int, reason: str) -> None:
        super().__init__(f"commit at height {height}: {reason}")
        self.height, self.reason = height, reason


class CommitChain:
    """Follows the commits of every height, those of blocks that logged nothing too."""

    def __init__(self, log_id: bytes, commits: Iterator[tuple[int, bytes]]) -> None:
        self._log_id = log_id
        self._commits = commits
        self._parent = messages.NO_BLOCK
        self._record_hash = log_id
        self._time_ms = 0
        self.height = 0
        """The last height whose commit was verified."""

    def advance_to(self, record: BlockRecord, validators: ValidatorSetRecord) -> None:
        """Verify all commits through that of a block with a record; raise CommitInvalid."""
        while self.height < record.height - 1:
            self._next(validators, None)
        self._next(validators, record)

    def finish(self, validators: ValidatorSetRecord) -> None:
        """Verify what follows the last record: heights that logged nothing."""
        while self._next(validators, None, may_end=True):
            pass

    def _next(
        self,
        validators: ValidatorSetRecord,
        record: BlockRecord | None,
        *,
        may_end: bool = False,
    ) -> bool:
        expected = self.height + 1
        height, data = next(self._commits, (0, b""))
        if height == 0 and may_end:
            return False
        if height != expected:
            raise CommitInvalid(height=expected, reason=f"expected it next, found height {height}")
        try:
            commit = messages.decode_commit(data)
        except NotCanonical as error:
            raise CommitInvalid(height=expected, reason=str(error)) from None
        header, certificate = commit.header, commit.certificate
        if record is not None:
            self._record_hash = record_hash(record)
            if header.time_ms != record.time_ms:
                raise CommitInvalid(height=expected, reason="its time is not the record's")
        block_id = messages.block_id(header)
        problems = (
            (header.log_id != self._log_id, "it is of another log"),
            (header.height != expected, f"its header says height {header.height}"),
            (header.parent != self._parent, "its parent is not the block before"),
            (header.time_ms <= self._time_ms, "its time is not after its parent's"),
            (header.record_hash != self._record_hash, "it certifies another record"),
            (certificate.block_id != block_id, "its certificate is of another block"),
            (certificate.height != expected, "its certificate is of another height"),
        )
        for is_wrong, reason in problems:
            if is_wrong:
                raise CommitInvalid(height=expected, reason=reason)
        try:
            verify_certificate(
                certificate,
                validator_set(validators),
                self._log_id,
                header.epoch,
                crypto.verify,
            )
        except CertificateInvalid as error:
            raise CommitInvalid(height=expected, reason=str(error)) from None
        self._check_previous(commit, validators)
        self._parent, self._time_ms = block_id, header.time_ms
        self.height = expected
        return True

    def _check_previous(
        self, commit: messages.StoredCommit, validators: ValidatorSetRecord
    ) -> None:
        """Raise CommitInvalid unless the block carried a certificate of its parent that holds."""
        height = self.height + 1
        if not commit.previous and self.height == 0:
            return
        if not commit.previous or self.height == 0:
            raise CommitInvalid(height=height, reason="it lacks its parent's certificate")
        carried = commit.previous[0]
        if (carried.height, carried.block_id) != (self.height, self._parent):
            raise CommitInvalid(height=height, reason="it carries a certificate of another parent")
        try:
            verify_certificate(
                carried,
                validator_set(validators),
                self._log_id,
                commit.header.epoch,
                crypto.verify,
            )
        except CertificateInvalid as error:
            raise CommitInvalid(
                height=height, reason=f"its parent's certificate: {error}"
            ) from None
