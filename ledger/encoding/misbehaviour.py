"""Evidence that keys of a log misbehaved: two heads that nobody honest signs both (spec Y13).

It needs nothing but itself and a policy. What it claims, its form says: heads of one size fork;
so do heads of two sizes with a path; without one they were cosigned in the wrong order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ledger.encoding import checkpoint, merkle, note
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.note import NOTE_BYTES_MAX, BadSignature, KeyType, NotSigned, VerifierKey
from ledger.encoding.policy import Accepted, Policy, QuorumMissing, UntrustedLog, accept
from ledger.encoding.text import MalformedText, base64_of, parse_hash

PATH_MAX = 64
"""Longest path: the depth of the largest tree, and the subtree that it starts with."""
EVIDENCE_BYTES_MAX = 2 * NOTE_BYTES_MAX + 4 * 1024
"""Longest file: two notes and a path."""

_HEADER = "tallystick.log/misbehaviour@v1"


class MalformedEvidence(MalformedText):
    """The bytes are no file of Y13.1."""


class NotAccepted(ValueError):
    """No policy at hand accepts a head: what it says binds nobody."""


class NothingProven(ValueError):
    """Both heads are signed, and an honest signer may have signed both."""


class Misbehaviour(StrEnum):
    """What the keys did."""

    FORK = "fork"
    """Two trees of which none is the beginning of the other."""
    ROLLBACK = "rollback"
    """A smaller tree was cosigned after a larger one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Claims that heads contradict each other; nothing is known before ``verify``."""

    first: note.Note
    """The head of the smaller tree; of two of one size that with the smaller root."""
    second: note.Note
    path: tuple[bytes, ...] = ()
    """Of the second tree, makes its root and another one at the first's size (Y13.2)."""

    def to_bytes(self) -> bytes:
        """Return the file, which ``parse`` takes back."""
        lines = "".join(f"{line}\n" for line in [_HEADER, *map(base64_of, self.path)])
        notes = self.first.to_bytes() + b"\n" + self.second.to_bytes()
        data = f"{lines}\n".encode() + notes
        assert parse(data) == self
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A key, and when it cosigned the two heads: None for a log's own key."""

    name: str
    """The policy's name of a cosigner; the origin for a log's key."""
    key: VerifierKey
    first_s: int | None
    second_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What is proven."""

    misbehaviour: Misbehaviour
    first: Checkpoint
    second: Checkpoint
    signers: tuple[Signer, ...]
    """Of a fork: every key at hand that signed both. Of a rollback: the keys that did it."""


def of(first: note.Note, second: note.Note, path: Sequence[bytes] = ()) -> Evidence:
    """Return the file about two heads in either order; the path is of the larger one."""
    smaller, larger = sorted((first, second), key=lambda head: _order(checkpoint.parse(head.text)))
    return Evidence(first=smaller, second=larger, path=tuple(path))


def parse(data: bytes) -> Evidence:
    """Return the evidence that a file holds. Raises MalformedEvidence."""
    if len(data) > EVIDENCE_BYTES_MAX:
        raise MalformedEvidence(f"expected at most {EVIDENCE_BYTES_MAX} bytes, got {len(data)}")
    # A checkpoint has no empty line: each of the two notes has the one before its signatures.
    parts = data.split(b"\n\n")
    if len(parts) != 5:
        raise MalformedEvidence(f"expected a head and two notes, got {len(parts)} parts")
    # The head is ASCII; anything else is no line of it.
    header, *lines = parts[0].decode("ascii", "replace").split("\n")
    if header != _HEADER:
        raise MalformedEvidence(f"expected {_HEADER}")
    if len(lines) > PATH_MAX:
        raise MalformedEvidence("no tree is that deep")
    try:
        path = tuple(map(parse_hash, lines))
        notes = [
            note.parse(parts[1] + b"\n\n" + parts[2] + b"\n"),
            note.parse(parts[3] + b"\n\n" + parts[4]),
        ]
        first, second = (checkpoint.parse(head.text) for head in notes)
    except MalformedText as error:
        raise MalformedEvidence(str(error)) from None
    if first.origin != second.origin:
        raise MalformedEvidence("the heads are of two logs")
    if _order(first) >= _order(second):
        raise MalformedEvidence("expected two heads, first that of the smaller tree")
    if path and not 0 < first.size < second.size:
        raise MalformedEvidence("a path between trees that have none")
    return Evidence(first=notes[0], second=notes[1], path=path)


def verify(evidence: Evidence, trusted: Sequence[Policy]) -> Proven:
    """Return what a file proves under some policies; one of them has to accept each head (Y13.3).

    Raises NotAccepted or NothingProven.
    """
    first = accept_any(trusted, evidence.first).checkpoint
    second = accept_any(trusted, evidence.second).checkpoint
    signers = _signers_of_both(evidence, trusted)
    if first.size == second.size:
        misbehaviour = Misbehaviour.FORK
    elif evidence.path:
        roots = merkle.prefix_roots(size1=first.size, size2=second.size, path=evidence.path)
        if roots is None or roots[1] != second.root:
            raise NothingProven("the path does not lead to the root of the larger tree")
        if roots[0] == first.root:
            raise NothingProven("the smaller tree is the beginning of the larger one")
        misbehaviour = Misbehaviour.FORK
    else:
        misbehaviour = Misbehaviour.ROLLBACK
        signers = tuple(
            signer
            for signer in signers
            if signer.first_s is not None
            and signer.second_s is not None
            and signer.first_s > signer.second_s
        )
        if not signers:
            raise NothingProven("no key cosigned the smaller tree after the larger one")
    return Proven(misbehaviour=misbehaviour, first=first, second=second, signers=signers)


def accept_any(trusted: Sequence[Policy], signed: note.Note) -> Accepted:
    """Return what the first policy that accepts a head says of it; raise NotAccepted."""
    refused: dict[str, None] = {}
    for policy in trusted:
        try:
            return accept(policy, signed)
        except (MalformedText, BadSignature, UntrustedLog, QuorumMissing) as error:
            refused[str(error)] = None
    raise NotAccepted("; ".join(refused) or "no policy is given")


def _order(head: Checkpoint) -> tuple[int, bytes]:
    return head.size, head.root


def _signers_of_both(evidence: Evidence, trusted: Sequence[Policy]) -> tuple[Signer, ...]:
    """Return every key of the policies that signed both heads, once each."""
    both: dict[VerifierKey, Signer] = {}
    origin = checkpoint.parse(evidence.first.text).origin
    for policy in trusted:
        names = {witness.key: witness.name for witness in policy.witnesses}
        names |= {log.key: origin for log in policy.logs if log.key.name == origin}
        first, second = _signed_by(evidence.first, names), _signed_by(evidence.second, names)
        for key, first_s in first.items():
            if key in second:
                signer = Signer(name=names[key], key=key, first_s=first_s, second_s=second[key])
                both.setdefault(key, signer)
    return tuple(both.values())


def _signed_by(signed: note.Note, keys: dict[VerifierKey, str]) -> dict[VerifierKey, int | None]:
    """Return which keys signed a head and when; keys with a line that fails prove nothing."""
    try:
        verified = note.verify(signed, keys)
    except (BadSignature, NotSigned):
        return {}
    return {
        line.key: line.time_s if line.key.type is KeyType.COSIGNATURE else None for line in verified
    }
