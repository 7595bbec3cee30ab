"""The chain of headers and certificates beside the log (blocks.md A2; node.md N1, N2; K)."""

import hashlib
from collections.abc import Iterator

from verifier.blocks import Certificate, Commit, Header, Record, decode_commit, is_ascending
from verifier.finding import FileDamaged, Finding, Level
from verifier.members import EVIDENCE_AGE_MAX, Members, ValidatorSet
from verifier.signatures import holds
from verifier.wire import Malformed, encode, frame, tagged_hash

CHUNK_BYTES = 60_000
EPOCH = 0
"""The only one of the built-in engine that these pages describe (N1.1)."""


class BuiltinCommits:
    """Takes the commits of all heights, in order, beside the log.

    Who calls gives the members as they were before the block: a set that a block decides acts two
    heights on.
    """

    def __init__(
        self, log_id: bytes, time_ms: int, rows: Iterator[tuple[int, bytes]], level: Level
    ) -> None:
        self._log_id = log_id
        self._rows = rows
        self._level = level
        self._time_ms = time_ms
        self._parent = bytes(32)
        self._parent_certificate: Certificate | None = None
        self._parent_set: ValidatorSet = ()
        self._record_hash = log_id
        self.height = 0
        """The last height whose commit was checked."""

    def through(
        self, record: Record, record_hash: bytes, envelopes: tuple[bytes, ...], members: Members
    ) -> None:
        """Check the commits up to that of a record's height; raise Finding."""
        while self.height + 1 < record.height and not self._is_over(members):
            self._take(self._next(), None, (), members)
        if not self._is_over(members):
            self._record_hash = record_hash
            self._take(self._next(), record, envelopes, members)

    def finish(self, members: Members) -> None:
        """Check the commits of heights that logged nothing after the last record; raise Finding."""
        while not self._is_over(members) and (commit := self._next(may_end=True)) is not None:
            self._take(commit, None, (), members)

    def _is_over(self, members: Members) -> bool:
        """Return whether another engine decides the next height."""
        return members.engine_ends_at is not None and self.height + 1 >= members.engine_ends_at

    def _wrong(self, field: str, reason: str) -> Finding:
        return Finding(
            height=self.height + 1, sequence=None, field=f"commit.{field}", reason=reason
        )

    def _next(self, *, may_end: bool = False) -> Commit | None:
        expected = self.height + 1
        try:
            row = next(self._rows, None)
        except FileDamaged as damage:
            raise self._wrong("file", damage.reason) from None
        if row is None:
            if may_end:
                return None
            raise self._wrong("file", "the log goes on, and this height has no commit")
        height, data = row
        if height != expected:
            raise self._wrong("height", f"expected {expected}, found {height}")
        try:
            return decode_commit(data)
        except Malformed as error:
            raise self._wrong(error.path or "bytes", error.reason) from None

    def _take(
        self,
        commit: Commit | None,
        record: Record | None,
        envelopes: tuple[bytes, ...],
        members: Members,
    ) -> None:
        assert commit is not None, "only finish lets the commits end"
        self._check_structure(commit.header, record)
        block_id = commit.header.block_id()
        if self._level.includes(Level.SIGNATURES):
            acting = members.acting(self.height + 1)
            self._check_header(commit, envelopes, acting)
            self._check_certificate("certificate", commit.certificate, block_id, acting)
            self._check_previous(commit)
            self._check_evidence(commit, record)
            self._parent_set = acting
        self._parent, self._parent_certificate = block_id, commit.certificate
        self._time_ms = commit.header.time_ms
        self.height += 1

    def _check_structure(self, header: Header, record: Record | None) -> None:
        if header.log_id != self._log_id:
            raise self._wrong("header.log_id", "another ledger's")
        if header.epoch != EPOCH:
            raise self._wrong("header.epoch", f"expected {EPOCH}, found {header.epoch}")
        if header.height != self.height + 1:
            raise self._wrong("header.height", f"found {header.height}")
        if header.time_ms <= self._time_ms:
            raise self._wrong("header.time_ms", "not after its parent's")
        if record is not None and header.time_ms != record.time_ms:
            raise self._wrong("header.time_ms", "not that of the block's record")

    def _check_header(
        self, commit: Commit, envelopes: tuple[bytes, ...], acting: ValidatorSet
    ) -> None:
        header = commit.header
        if header.parent != self._parent:
            raise self._wrong("header.parent", "not the block before")
        if header.record_hash != self._record_hash:
            raise self._wrong("header.record_hash", "not the record hash of the log")
        if all(keys[0] != header.proposer for _, keys in acting):
            raise self._wrong("header.proposer", "no validator of this height")
        body = encode((envelopes, commit.evidence, commit.previous))
        chunks = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
        hashes = [hashlib.sha256(chunk).digest() for chunk in chunks]
        if header.body_hash != tagged_hash("tallystick/body/v1", *hashes):
            raise self._wrong("header.body_hash", "not that of envelopes, evidence and certificate")

    def _check_certificate(
        self, field: str, certificate: Certificate, block_id: bytes, acting: ValidatorSet
    ) -> None:
        """Check K2 for a block of the height that the certificate must name."""
        height = self.height + 1 if field == "certificate" else self.height
        if certificate.height != height:
            raise self._wrong(f"{field}.height", f"expected {height}, found {certificate.height}")
        if certificate.block_id != block_id:
            raise self._wrong(f"{field}.block_id", "not this block's")
        if not is_ascending([key for key, _ in certificate.signatures]):
            raise self._wrong(f"{field}.signatures", "keys do not ascend")
        powers = {keys[0]: keys[4] for _, keys in acting}
        message = self._vote("precommit", height, certificate.round, (block_id,))
        signed = 0
        for position, (key, signature) in enumerate(certificate.signatures):
            place = f"{field}.signatures.{position}"
            if key not in powers:
                raise self._wrong(place, "no validator of that height")
            if not holds(key, message, signature):
                raise self._wrong(place, "does not verify")
            signed += powers[key]
        total = sum(powers.values())
        if 3 * signed <= 2 * total:  # V2
            raise self._wrong(f"{field}.signatures", f"power {signed} of {total} is no quorum")

    def _check_previous(self, commit: Commit) -> None:
        """The block carried a certificate of its parent that holds (N2.4)."""
        if self.height == 0:
            if commit.previous:
                raise self._wrong("previous", "the first block has no parent")
            return
        if not commit.previous:
            raise self._wrong("previous", "the parent's certificate is missing")
        (carried,) = commit.previous
        if carried != self._parent_certificate:  # mostly the very one that was just checked
            self._check_certificate("previous", carried, self._parent, self._parent_set)

    def _check_evidence(self, commit: Commit, record: Record | None) -> None:
        """The evidence is of the misbehaviours that the record names, and holds (D2, D3, N9.2)."""
        named = (
            [(key, kind, height, name) for key, kind, height, name in record.misbehaviours]
            if (record is not None)
            else []
        )
        shown = [
            (key, kind, height, tagged_hash("tallystick/evidence/v1", encode(evidence)))
            for evidence in commit.evidence
            for key, height, kind, _, _ in (evidence,)
        ]
        if shown != named:
            raise self._wrong("evidence", "not that of the record's misbehaviours")
        for position, (key, height, kind, round_, said) in enumerate(commit.evidence):
            place = f"evidence.{position}"
            if not self.height + 1 - EVIDENCE_AGE_MAX < height <= self.height + 1:
                raise self._wrong(place, f"about height {height}")
            if not said[0][:2] < said[1][:2]:
                raise self._wrong(place, "the two messages do not differ in order")
            for block, valid_round, signature in said:
                if kind == "proposal":
                    if not block:
                        raise self._wrong(place, "a proposal names a block")
                    value = (self._log_id, EPOCH, height, round_, valid_round, block[0])
                    message = frame("tallystick/proposal/v1", encode(value))
                elif valid_round:
                    raise self._wrong(place, "a vote has no valid round")
                else:
                    message = self._vote(kind, height, round_, block)
                if not holds(key, message, signature):
                    raise self._wrong(place, "a signature does not verify")

    def _vote(self, kind: str, height: int, round_: int, block: tuple[bytes, ...]) -> bytes:
        """Return what a vote signs (M2)."""
        body = encode((self._log_id, EPOCH, kind, height, round_, block))
        return frame("tallystick/vote/v1", body)


FIRST_ENGINE = "builtin"
"""Who decides until members choose another engine."""
FAMILIES = {"builtin": BuiltinCommits}
"""What follows the commits that an engine stores, by the engine's name."""
