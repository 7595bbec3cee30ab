"""The signer: one key, and a durable record of the last thing it signed.

A validator that contradicts itself loses its good name, so before any signature leaves, the record
of it is on disk. Two checksummed slots in one preallocated file take turns: a write can tear only
the older one, and the slot with the larger position is the truth.

    slot = magic 16 ‖ public key 32 ‖ u64be watermark ‖ u64be epoch ‖ u64be height ‖ u32be round
         ‖ u8 step ‖ signature 64 ‖ u16be length ‖ message ‖ SHA-256 of all before 32
"""

import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from engines.seam import EngineStopped
from ledger.encoding.crypto import public_key, sign
from ledger.store.durable import sync_folder

MESSAGE_BYTES_MAX = 4 * 1024
"""Longest message: the framed bytes of a vote or of a proposal's header."""
SLOT_BYTES = 8 * 1024
"""Two pages a slot, so that no write touches the other one."""
_MAGIC = b"tallystick-sign1"
_HEADER = struct.Struct(">16s32sQQQIB64sH")
_CHECKSUM_BYTES = 32

UNKNOWN_HEIGHT = 2**64 - 1
"""Watermark of a key whose record was lost: it signs nothing until ``end_silence``."""

PROPOSAL, PREVOTE, PRECOMMIT = 0, 1, 2
"""The steps of a round, in the order they are signed."""

Position = tuple[int, int, int, int]
"""Epoch, height, round, step: what a key signs only ever goes up."""


class SignerDamaged(EngineStopped):
    """The record is missing, unreadable, in use or another key's. This key must not sign."""


class SlotFile(Protocol):
    """A file of two slots that is written in place: the disk, or a simulated one."""

    def read(self) -> bytes:
        """Return the whole content."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Write in place; durable only after ``sync``."""

    def sync(self) -> None:
        """Make everything written so far durable."""

    def close(self) -> None:
        """Give the file back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """A message to sign and the one place it has in the life of a key."""

    epoch: int
    height: int
    round: int
    step: int
    message: bytes
    """The framed bytes that the signature covers."""

    @property
    def position(self) -> Position:
        """Where this request stands among all others."""
        return (self.epoch, self.height, self.round, self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The signer will not sign. An ordinary answer: stay silent for this step."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The last thing a key signed; it may be sent again at any time."""

    request: SignRequest
    signature: bytes


class SigningPort(Protocol):
    """How the engine has its key sign: the `Signer` of this process, or one somewhere else.

    What it said last is known here too, so that nobody asks for what must be refused.
    """

    watermark_height: int
    """At and below this height the key may have signed what no record tells (N10)."""

    @property
    def public_key(self) -> bytes:
        """Return the Ed25519 public key, 32 bytes."""

    @property
    def last(self) -> Signed | None:
        """Return what the key signed last, as far as is known."""

    @property
    def is_silent(self) -> bool:
        """Return whether nobody knows yet at which heights this key has signed."""

    def ask(self, request: SignRequest, answer: Callable[[bytes | Refused], None]) -> None:
        """Have a message signed; ``answer`` is called on the host thread, now or later, or never.

        A signature that is given is durable in the signer's record.
        """

    def end_silence(self, watermark_height: int) -> None:
        """Sign above a height from now on; durable when this returns."""

    def close(self) -> None:
        """Give the record back, so that another process can hold it."""


class RealSlotFile:
    """A SlotFile on disk, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open an existing file. Raises SignerDamaged if it is missing or in use."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise SignerDamaged(
                f"{path} is missing; a key without its record must not sign"
            ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise SignerDamaged(f"{path} is in use by another process") from None

    def read(self) -> bytes:
        """Return the whole content."""
        return os.pread(self._descriptor, 2 * SLOT_BYTES, 0)

    def write_at(self, offset: int, data: bytes) -> None:
        """Write in place; durable only after ``sync``."""
        written = os.pwrite(self._descriptor, data, offset)
        if written != len(data):
            raise OSError(f"wrote {written} of {len(data)} bytes")

    def sync(self) -> None:
        """Make everything written so far durable."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)


class Signer:
    """Signs with one key, never twice differently for one position and never backwards.

    The seed stays in memory and in no representation. An OSError while signing leaves unknown what
    is durable: the signer refuses from then on, and the node must stop.
    """

    def __init__(
        self, seed: bytes, file: SlotFile, *, sign: Callable[[bytes, bytes], bytes] = sign
    ) -> None:
        """Take up the record in ``file``. Raises SignerDamaged.

        ``sign(seed, message)`` is replaced only in simulations.
        """
        self._seed = seed
        self._file = file
        self._make_signature = sign
        self._broken = False
        self.public_key = public_key(seed)
        slots = [_parse(file.read()[at : at + SLOT_BYTES]) for at in (0, SLOT_BYTES)]
        valid = [slot for slot in slots if slot is not None]
        if not valid:
            raise SignerDamaged(
                "both slots of the signer's record (the file signer) are damaged: delete it, and "
                "the key is silent until it cannot contradict itself"
            )
        if any(slot.public_key != self.public_key for slot in valid):
            raise SignerDamaged(
                "the signer's record (the file signer) belongs to another key than node-keys.json "
                "has: put the right keys back, or delete the record, and the key is silent at first"
            )
        newest = max(valid, key=lambda slot: slot.signed.request.position)
        self._newest_index = slots.index(newest)
        self._signed = newest.signed
        self.watermark_height = newest.watermark_height
        """Nothing is signed at this height or below: a wiped key may have signed there."""

    def __repr__(self) -> str:
        return f"Signer({self.public_key.hex()})"

    @property
    def last(self) -> Signed | None:
        """The last thing signed, or None with a new record."""
        return self._signed if self._signed.request.message else None

    def sign(self, request: SignRequest) -> bytes | Refused:
        """Return the signature once its record is durable, or why there will be none.

        The same request gives the same signature again.
        """
        assert 0 < len(request.message) <= MESSAGE_BYTES_MAX
        assert PROPOSAL <= request.step <= PRECOMMIT
        if self._broken:
            return Refused(reason="the record could not be written")
        if self.is_silent:
            return Refused(reason="the record of this key was lost")
        if request.height <= self.watermark_height:
            return Refused(reason=f"may have signed at heights up to {self.watermark_height}")
        if request == self._signed.request:
            return self._signed.signature
        if request.position == self._signed.request.position:
            return Refused(reason=f"signed other bytes at {request.position}")
        if request.position < self._signed.request.position:
            return Refused(reason=f"{request.position} is before {self._signed.request.position}")
        signed = Signed(
            request=request, signature=self._make_signature(self._seed, request.message)
        )
        index = 1 - self._newest_index
        slot = _slot(self.public_key, self.watermark_height, signed)
        self._broken = True  # until the disk has said otherwise
        self._file.write_at(index * SLOT_BYTES, slot)
        self._file.sync()
        self._broken = False
        self._newest_index, self._signed = index, signed
        return signed.signature

    def ask(self, request: SignRequest, answer: Callable[["bytes | Refused"], None]) -> None:
        """Give the signature or the refusal to ``answer``, at once."""
        answer(self.sign(request))

    @property
    def is_silent(self) -> bool:
        """Return whether nobody knows yet at which heights this key has signed."""
        return self.watermark_height == UNKNOWN_HEIGHT

    def end_silence(self, watermark_height: int) -> None:
        """Sign above a height from now on; durable when this returns."""
        assert self.is_silent and self.last is None
        self._broken = True
        format_slots(self._seed, self._file, watermark_height=watermark_height)
        self._broken = False
        self.watermark_height = watermark_height

    def close(self) -> None:
        """Give the file back, so that another process can hold it."""
        self._file.close()


def format_slots(seed: bytes, file: SlotFile, *, watermark_height: int = 0) -> None:
    """Write the record of a key that has signed nothing above ``watermark_height``.

    Only for a new key, or one whose record was lost: it forgets what was signed.
    """
    nothing = SignRequest(epoch=0, height=0, round=0, step=0, message=b"")
    blank = Signed(request=nothing, signature=bytes(64))
    for at in (0, SLOT_BYTES):
        file.write_at(at, _slot(public_key(seed), watermark_height, blank))
        file.sync()  # one after the other: a crash may tear what is not synced


def create_signer(path: Path, seed: bytes, *, watermark_height: int = 0) -> Signer:
    """Make the record of a new key at ``path`` and return its signer.

    For a key whose record was lost the watermark is UNKNOWN_HEIGHT. Raises FileExistsError: a
    record is never replaced. A crash leaves no file or a whole one.
    """
    draft = path.with_name(path.name + ".new")
    # Never truncated: after a crash below, the draft's name may be the finished record's as well.
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, 2 * SLOT_BYTES)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    file = RealSlotFile(draft)
    try:
        format_slots(seed, file, watermark_height=watermark_height)
    finally:
        file.close()
    os.link(draft, path)  # unlike a rename, it fails if there is a record already
    os.unlink(draft)
    sync_folder(path.parent)
    return open_signer(path, seed)


def open_signer(path: Path, seed: bytes) -> Signer:
    """Return the signer of an existing record. Raises SignerDamaged."""
    return Signer(seed, RealSlotFile(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    public_key: bytes
    watermark_height: int
    signed: Signed


def _slot(key: bytes, watermark_height: int, signed: Signed) -> bytes:
    request = signed.request
    head = _HEADER.pack(
        _MAGIC,
        key,
        watermark_height,
        *request.position,
        signed.signature,
        len(request.message),
    )
    content = head + request.message
    return content + sha256(content).digest()


def _parse(data: bytes) -> _Slot | None:
    """Return what a slot says, or None if it is torn or damaged."""
    if len(data) < _HEADER.size:
        return None
    fields = _HEADER.unpack_from(data)
    magic, key, watermark_height, epoch, height, round_, step, signature, length = fields
    end = _HEADER.size + length
    checksum = data[end : end + _CHECKSUM_BYTES]
    if magic != _MAGIC or checksum != sha256(data[:end]).digest():
        return None
    request = SignRequest(
        epoch=epoch, height=height, round=round_, step=step, message=data[_HEADER.size : end]
    )
    return _Slot(
        public_key=key,
        watermark_height=watermark_height,
        signed=Signed(request=request, signature=signature),
    )
