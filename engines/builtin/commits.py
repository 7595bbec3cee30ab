"""The family of commits that this engine stores: headers and certificates in a chain (spec A2)."""

from collections.abc import Iterator

from consensus.certificate import Certificate, CertificateInvalid, Verify, verify_certificate
from consensus.messages import BlockId, VoteKind, vote_sign_bytes
from consensus.validators import ValidatorSet
from engines.builtin import messages
from engines.builtin.block_check import validator_set
from engines.builtin.decided import decided_block
from engines.builtin.height import NAME
from engines.builtin.messages import Body, StoredCommit
from engines.seam import (
    Blockstore,
    CommitHead,
    CommitInvalid,
    CommitMissing,
    OnCommit,
    ProvenCommit,
)
from ledger.blocks import BlockRecord, record_hash_of
from ledger.encoding import codec, crypto
from ledger.encoding.codec import NotCanonical, only
from ledger.rules.validators import ValidatorSchedule, validators_at
from ledger.store.rows import BlockRow

_Proof = tuple[bytes, Certificate]
"""Block id and certificate of the last verified height."""


class BuiltinChain:
    """A `engines.seam.CommitChain` of this engine's commits."""

    def __init__(
        self,
        log_id: bytes,
        commits: Iterator[tuple[int, bytes]],
        on_commit: OnCommit,
        verify: Verify | None,
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
            proof=codec.encode((self._parent, self._parent_certificate)),
        )

    def go_on(self, head: CommitHead, schedule: ValidatorSchedule) -> None:
        """Take up a chain after a height; the commits that come are of those above."""
        self.height, self.time_ms, self.record_hash = head.height, head.time_ms, head.record_hash
        proof: _Proof = codec.decode(_Proof, head.proof, len(head.proof))
        self._parent, self._parent_certificate = BlockId(proof[0]), proof[1]
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
            self.record_hash = record_hash_of(record)
            if header.time_ms != record.time_ms:
                raise CommitInvalid(
                    height=expected,
                    reason="its time is not the record's",
                    field="commit.header.time_ms",
                )
        block_id = messages.block_id(header)
        problems = (
            (header.log_id != self._log_id, "header.log_id", "it is of another log"),
            (
                header.epoch != messages.ENGINE_EPOCH,
                "header.epoch",
                f"expected {messages.ENGINE_EPOCH}, found {header.epoch}",
            ),
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
        self._on_commit(
            ProvenCommit(
                height=expected,
                time_ms=header.time_ms,
                record_hash=header.record_hash,
                stored=data,
                carries=lambda envelopes: _carries(commit, envelopes),
            )
        )
        return True

    def _check_previous(self, commit: StoredCommit) -> None:
        """Raise CommitInvalid unless the block carried a certificate of its parent that holds."""
        height = self.height + 1
        carried = only(commit.previous)
        if carried is None and self.height == 0:
            return
        if carried is None or self._parent_set is None:
            raise CommitInvalid(
                height=height,
                reason="it lacks its parent's certificate",
                field="commit.previous",
            )
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


def _carries(commit: StoredCommit, envelopes: tuple[bytes, ...]) -> bool:
    """Return whether a header is of the body with these envelopes (N2.3)."""
    body = Body(transactions=envelopes, evidence=commit.evidence, previous=commit.previous)
    hashes = messages.chunk_hashes(messages.chunks_of(codec.encode(body)))
    return messages.body_hash(hashes) == commit.header.body_hash


class BuiltinCommits:
    """What this engine stores with a block; an `engines.seam.CommitFamily`."""

    name = NAME
    bytes_max = messages.COMMIT_BYTES_MAX

    def height_of(self, stored: bytes) -> int:
        """Return which height a commit says it is of; raise NotCanonical."""
        return messages.decode_commit(stored).header.height

    def chain(
        self,
        log_id: bytes,
        commits: Iterator[tuple[int, bytes]],
        on_commit: OnCommit = lambda _: None,
        *,
        verify: Verify | None,
    ) -> BuiltinChain:
        """Return a chain before the first height; without ``verify`` no signature is looked at."""
        return BuiltinChain(log_id, commits, on_commit, verify)

    def verify_stored(self, blocks: Blockstore, row: BlockRow, parent: bytes) -> bytes:
        """Verify header, body and signatures of one height; return its block id."""
        height = row.height

        def require(holds: bool, reason: str, field: str) -> None:
            if not holds:
                raise CommitInvalid(height=height, reason=reason, field=f"commit.{field}")

        block = decided_block(blocks, height)
        if block is None:
            raise CommitMissing(height=height, reason="it is missing")
        header, certificate = block.header, block.certificate
        block_id = messages.block_id(header)
        said = (header.height, header.parent, header.record_hash, header.time_ms)
        stored = (height, parent or messages.NO_BLOCK, row.record_hash, row.time_ms)
        require(said == stored, "it is of another block", "header")
        hashes = messages.chunk_hashes(messages.chunks_of(block.body))
        is_body = messages.body_hash(hashes) == header.body_hash
        require(is_body, "the log has another body", "header.body_hash")
        is_of_block = (certificate.height, certificate.block_id) == (height, block_id)
        require(is_of_block, "it proves another block", "certificate")
        message = vote_sign_bytes(
            header.log_id, header.epoch, VoteKind.PRECOMMIT, height, certificate.round, (block_id,)
        )
        for key, signature in certificate.signatures:
            is_signed = crypto.verify(key, message, signature)
            require(is_signed, "it has a bad signature", "certificate.signatures")
        return block_id
