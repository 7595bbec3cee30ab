"""Cosigns heads of the node's own log, never two that do not extend each other (spec Y11).

The record of what was cosigned last is the cosigned head itself, a signed note in the node's
folder. It is durable before a signature leaves.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ledger.encoding import checkpoint, merkle, note, tiles
from ledger.encoding.checkpoint import Checkpoint, MalformedCheckpoint
from ledger.encoding.crypto import public_key
from ledger.encoding.note import NOTE_BYTES_MAX, BadSignature, NotSigned, Signature, VerifierKey
from ledger.encoding.receipt import HASHES_MAX
from ledger.encoding.text import MalformedText, base64_of, parse_decimal, parse_hash
from ledger.encoding.tiles import Tile, TileNodes
from ledger.store.durable import write_durably
from ledger.trust import cosigner_key
from node.port import COSIGN_BYTES_MAX

_LOGGER = logging.getLogger(__name__)


class Tree(Protocol):
    """The own log, as far as the store has it."""

    @property
    def size(self) -> int:
        """Return how many entries are committed."""

    def tile(self, tile: Tile) -> bytes:
        """Return a tile within that size."""


class MalformedRequest(MalformedText):
    """A request is not what Y11.2 says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asks to be cosigned."""

    old_size: int
    """Of the head from which the proof leads."""
    proof: tuple[bytes, ...]
    head: note.Note

    def to_bytes(self) -> bytes:
        """Return the request's body, which ``parse_request`` takes back."""
        lines = "".join(f"{base64_of(sibling)}\n" for sibling in self.proof)
        return f"old {self.old_size}\n{lines}\n".encode() + self.head.to_bytes()


def parse_request(body: bytes) -> Request:
    """Return the request in a body. Raises MalformedText."""
    if len(body) > COSIGN_BYTES_MAX:
        raise MalformedRequest(f"expected at most {COSIGN_BYTES_MAX} bytes, got {len(body)}")
    front, gap, rest = body.partition(b"\n\n")
    if not gap:
        raise MalformedRequest("expected an empty line before the checkpoint")
    try:
        first, *proof = front.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise MalformedRequest("what stands before the checkpoint is not ASCII") from None
    word, _, old_size = first.partition(" ")
    if word != "old":
        raise MalformedRequest("expected a first line `old` and a size")
    if len(proof) > HASHES_MAX:
        raise MalformedRequest(f"expected at most {HASHES_MAX} hashes, got {len(proof)}")
    hashes = tuple(map(parse_hash, proof))
    return Request(old_size=parse_decimal(old_size), proof=hashes, head=note.parse(rest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request is answered, in the words of HTTP."""

    status: int
    text: str
    """Signature lines, the size cosigned last, or a sentence."""


class Cosigner:
    """One node's cosigner. It is used on one thread."""

    def __init__(self, *, origin: str, party: str, seeds: Iterable[bytes], path: Path) -> None:
        """Take up the record at ``path``, if there is one that these keys signed.

        ``seeds`` are the present key's and perhaps the next one's (Y10.4).
        """
        self.origin = origin
        self._seeds = tuple(seeds)
        self._party = party
        self._path = path
        self._last, self._time_s = self._read()
        self._least_size: int | None = None

    def keys(self) -> tuple[VerifierKey, ...]:
        """Return the keys that cosign."""
        return tuple(
            cosigner_key(self.origin, self._party, public_key(seed)) for seed in self._seeds
        )

    @property
    def is_silent(self) -> bool:
        """Return whether it is not known yet what may have been cosigned before (Y11.4)."""
        return self._least_size is None

    def end_silence(self, size: int) -> None:
        """Cosign heads of at least ``size`` entries from now on."""
        self._least_size = size

    def add(
        self,
        body: bytes,
        *,
        tree: Tree,
        log_keys: Iterable[VerifierKey],
        time_s: int,
    ) -> Answer:
        """Answer a request (Y11.2); ``log_keys`` are those whose heads may be cosigned.

        An OSError means that the record is not durable: nothing was signed.
        """
        try:
            request = parse_request(body)
            claimed = checkpoint.parse(request.head.text)
        except (MalformedText, MalformedCheckpoint) as error:
            return Answer(status=400, text=str(error))
        if request.old_size > claimed.size:
            return Answer(status=400, text=f"expected an old size of at most {claimed.size}")
        if claimed.origin != self.origin:
            return Answer(status=404, text=f"expected the origin {self.origin}")
        try:
            note.verify(request.head, log_keys)
        except (NotSigned, BadSignature) as error:
            return Answer(status=403, text=f"no validator of this log signed it: {error}")
        last = self._last
        last_size = 0 if last is None else last.size
        is_fork = last is not None and claimed.size == last.size and claimed.root != last.root
        if request.old_size != last_size or is_fork:
            return Answer(status=409, text=f"{last_size}\n")
        if last is None:
            leads = not request.proof
        else:
            leads = merkle.verify_consistency(
                size1=last.size,
                size2=claimed.size,
                root1=last.root,
                root2=claimed.root,
                proof=request.proof,
            )
        if not leads:
            return Answer(status=422, text="the proof does not lead from the head cosigned last")
        if claimed.size > tree.size:
            return Answer(status=503, text=f"this node has come to {tree.size} entries")
        if root_at(tree, claimed.size) != claimed.root:
            return Answer(status=422, text=f"this node's log has another root at {claimed.size}")
        if self._least_size is None or claimed.size < self._least_size:
            return Answer(status=503, text="it is not known yet what this key has cosigned")
        return Answer(
            status=200,
            text="".join(signature.line() for signature in self._cosign(claimed, time_s)),
        )

    def own(self, head: Checkpoint, *, tree: Tree, time_s: int) -> tuple[Signature, ...]:
        """Return cosignatures of a head that this node made itself; none if it must be silent.

        Raises AssertionError if this log is not the one that was cosigned before.
        """
        last = self._last
        if self._least_size is None or head.size < self._least_size:
            return ()
        if last is not None and last.size > head.size:
            return ()  # the store is older than the record
        if last is not None and root_at(tree, last.size) != last.root:
            raise AssertionError(f"{self._path} has another root at {last.size} than this log")
        return self._cosign(head, time_s)

    def _cosign(self, head: Checkpoint, time_s: int) -> tuple[Signature, ...]:
        text, time_s = head.text(), max(time_s, self._time_s)
        lines = tuple(
            note.cosign(text, name=key.name, seed=seed, time_s=time_s)
            for key, seed in zip(self.keys(), self._seeds, strict=True)
        )
        if head != self._last or time_s > self._time_s:
            write_durably(self._path, note.Note(text=text, signatures=lines).to_bytes())
        self._last, self._time_s = head, time_s
        return lines

    def _read(self) -> tuple[Checkpoint | None, int]:
        """Return the head of the record and its time; None if it is lost or other keys' (Y11.4)."""
        try:
            with self._path.open("rb") as file:
                signed = note.parse(file.read(NOTE_BYTES_MAX + 1))
            times = [signature.time_s for signature in note.verify(signed, self.keys())]
            return checkpoint.parse(signed.text), max(time for time in times if time is not None)
        except FileNotFoundError:
            pass
        except (MalformedText, NotSigned, BadSignature) as error:
            _LOGGER.warning("%s is not a head that this key cosigned: %s", self._path, error)
        return None, 0


def root_at(tree: Tree, size: int) -> bytes:
    """Return the root that the own log had at a size."""
    return tiles.root(TileNodes(size=size, fetch=tree.tile), size=size)


def proof_between(tree: Tree, old_size: int, size: int) -> tuple[bytes, ...]:
    """Return the consistency proof between two of the own log's heads; empty from size 0."""
    if old_size == 0:
        return ()
    node = TileNodes(size=size, fetch=tree.tile)
    return tuple(tiles.consistency_proof(node, size1=old_size, size2=size))
