"""Signed notes, their keys and cosignatures: c2sp.org/signed-note, /tlog-cosignature (spec Y2, Y3).

A note is text with signature lines below it. Whoever reads one names the keys it trusts; lines of
other keys are no error, so that logs can change keys and strangers can add their witness.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from ledger.encoding import crypto
from ledger.encoding.text import SIZE_MAX, MalformedText, base64_of, parse_base64

NOTE_TEXT_BYTES_MAX = 16 * 1024
"""Longest text of a note. Ours have three lines."""
SIGNATURES_MAX = 64
"""Most signature lines of a note: a log's, 31 cosigners', and room for outside witnesses."""
NOTE_BYTES_MAX = 128 * 1024
"""Longest note with its signatures: 16 lines of 5 kB, which everybody has to accept, fit in."""
KEY_NAME_BYTES_MAX = 255
"""Longest name of a key, in UTF-8."""
_VERIFIER_KEY_CHARACTERS_MAX = KEY_NAME_BYTES_MAX + 64

_DASH = "\u2014 "
_FORBIDDEN_IN_TEXT = re.compile("[\x00-\x09\x0b-\x1f]")
# The 25 characters with Unicode's White_Space property, spelled out: tables differ by Python.
_FORBIDDEN_IN_NAME = re.compile(
    "[\x00-\x20+\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
)


class MalformedNote(MalformedText):
    """The bytes are no note, or a line of it is none."""


class MalformedKey(MalformedText):
    """The text is no verifier key of a type that we know."""


class BadSignature(ValueError):
    """A line names a key that the reader trusts, and that key did not make its signature."""

    def __init__(self, key: "VerifierKey") -> None:
        super().__init__(f"the signature of {key.name} does not verify")
        self.key = key


class NotSigned(ValueError):
    """No key that the reader trusts signed the note."""


class KeyType(IntEnum):
    """The signature types that Tallystick makes and checks (Y2.4)."""

    ED25519 = 1
    """A signature of the note's text."""
    COSIGNATURE = 4
    """A signature of the text and of the time at which the cosigner had seen it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """The public half of a key, as readers of notes know it."""

    name: str
    type: KeyType
    public_key: bytes
    """32 bytes."""

    @property
    def id(self) -> bytes:
        """Return the 4 bytes that stand before this key's signatures (Y2.4)."""
        kind = bytes([self.type])
        return crypto.sha256(self.name.encode() + b"\n" + kind + self.public_key)[:4]

    def text(self) -> str:
        """Return ``name+id+key``, the form in which keys are published (Y2.5)."""
        key = base64_of(bytes([self.type]) + self.public_key)
        return f"{self.name}+{self.id.hex()}+{key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature line, verified or not."""

    name: str
    key_id: bytes
    """4 bytes."""
    value: bytes
    """At least 1 byte; what they are depends on the type of the key."""

    def line(self) -> str:
        """Return the line with its newline."""
        return f"{_DASH}{self.name} {base64_of(self.key_id + self.value)}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Text and its signatures; nothing is known of either before ``verify``."""

    text: str
    """Ends in a newline."""
    signatures: tuple[Signature, ...]
    """At least one."""

    def to_bytes(self) -> bytes:
        """Return the note's bytes, which ``parse`` takes back."""
        lines = "".join(signature.line() for signature in self.signatures)
        data = f"{self.text}\n{lines}".encode()
        assert parse(data) == self
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A trusted key signed the note."""

    key: VerifierKey
    time_s: int | None
    """When a cosigner had seen the text, in seconds since 1970; None for a plain signature."""


def parse(data: bytes) -> Note:
    """Return the note that ``data`` writes. Raises MalformedNote."""
    if len(data) > NOTE_BYTES_MAX:
        raise MalformedNote(f"expected at most {NOTE_BYTES_MAX} bytes, got {len(data)}")
    whole = _decoded(data)
    # The last empty line divides: the text may have empty lines of its own.
    text, blank, lines = whole.rpartition("\n\n")
    if not blank:
        raise MalformedNote("no empty line before the signatures")
    text += "\n"
    if len(text.encode()) > NOTE_TEXT_BYTES_MAX:
        raise MalformedNote(f"expected at most {NOTE_TEXT_BYTES_MAX} bytes of text")
    return Note(text=text, signatures=_signatures(lines))


def parse_signatures(data: bytes) -> tuple[Signature, ...]:
    """Return signature lines that stand alone, as a witness answers. Raises MalformedNote."""
    if len(data) > NOTE_BYTES_MAX:
        raise MalformedNote(f"expected at most {NOTE_BYTES_MAX} bytes, got {len(data)}")
    return _signatures(_decoded(data))


def parse_verifier_key(text: str) -> VerifierKey:
    """Return the key that ``name+id+key`` writes. Raises MalformedKey, also for other types."""
    if len(text) > _VERIFIER_KEY_CHARACTERS_MAX or text.count("+") < 2:
        raise MalformedKey("expected name+id+key")
    # Base64 may hold a plus, a name may not.
    name, key_id, encoded = text.split("+", 2)
    if not is_key_name(name):
        raise MalformedKey("not a name of a key")
    try:
        material = parse_base64(encoded)
    except MalformedText as error:
        raise MalformedKey(str(error)) from None
    if material[:1] not in (b"\x01", b"\x04"):
        raise MalformedKey(f"a key of type {material[:1].hex() or 'none'} is not known here")
    if len(material) != 33:
        raise MalformedKey(f"expected a public key of 32 bytes, got {len(material) - 1}")
    key = VerifierKey(name=name, type=KeyType(material[0]), public_key=material[1:])
    if key.id.hex() != key_id:
        raise MalformedKey(f"the key's id is {key.id.hex()}, not {key_id[:8]!r}")
    return key


def is_key_name(name: str) -> bool:
    """Return whether a key may have this name (Y2.3)."""
    if not name or _FORBIDDEN_IN_NAME.search(name):
        return False
    try:
        return len(name.encode()) <= KEY_NAME_BYTES_MAX
    except UnicodeEncodeError:  # a lone surrogate
        return False


def sign(text: str, *, name: str, seed: bytes) -> Signature:
    """Return the plain signature of a text by the key of a 32-byte seed (Y2.6)."""
    key = VerifierKey(name=name, type=KeyType.ED25519, public_key=crypto.public_key(seed))
    return Signature(name=name, key_id=key.id, value=crypto.sign(seed, text.encode()))


def cosign(text: str, *, name: str, seed: bytes, time_s: int) -> Signature:
    """Return the cosignature of a checkpoint's text as of a time (Y3).

    Whoever calls it has checked that the checkpoint extends all that this key cosigned before.
    """
    key = VerifierKey(name=name, type=KeyType.COSIGNATURE, public_key=crypto.public_key(seed))
    made = crypto.sign(seed, cosigned_message(text, time_s))
    return Signature(name=name, key_id=key.id, value=time_s.to_bytes(8, "big") + made)


def cosigned_message(text: str, time_s: int) -> bytes:
    """Return the bytes that a cosigner signs (Y3.2)."""
    assert 0 <= time_s <= SIZE_MAX
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def verify(note: Note, keys: Iterable[VerifierKey]) -> tuple[Verified, ...]:
    """Return which of the trusted keys signed, each once, in the order of their first lines.

    Lines of other keys are ignored. Raises BadSignature if any line of a trusted key fails, and
    NotSigned if there is none: a note without a verified signature is not to be read. Keys may
    share name and id, for whoever means to make two that do can: one that verifies is enough.
    """
    trusted: dict[tuple[str, bytes], list[VerifierKey]] = {}
    for key in dict.fromkeys(keys):
        trusted.setdefault((key.name, key.id), []).append(key)
    by_key: dict[VerifierKey, Verified] = {}
    for signature in dict.fromkeys(note.signatures):  # a line said twice costs no second look
        signers = trusted.get((signature.name, signature.key_id))
        if signers is not None:
            verified = _verify_line(note.text, signers, signature.value)
            by_key.setdefault(verified.key, verified)
    if not by_key:
        raise NotSigned("no trusted key signed this note")
    return tuple(by_key.values())


def _verify_line(text: str, keys: list[VerifierKey], value: bytes) -> Verified:
    """Return which of some keys made a line; raise BadSignature, with the first of them."""
    for key in keys:
        time_s, message, made = None, text.encode(), value
        if key.type is KeyType.COSIGNATURE:
            time_s, made = int.from_bytes(value[:8], "big"), value[8:]
            if len(made) != 64 or time_s > SIZE_MAX:
                continue
            message = cosigned_message(text, time_s)
        if crypto.verify(key.public_key, message, made):
            return Verified(key=key, time_s=time_s)
    raise BadSignature(keys[0])


def _decoded(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedNote(f"not UTF-8: {error.reason}") from None
    if _FORBIDDEN_IN_TEXT.search(text):
        raise MalformedNote("a control character")
    return text


def _signatures(lines: str) -> tuple[Signature, ...]:
    if not lines.endswith("\n"):
        raise MalformedNote("the last signature line does not end")
    if lines.count("\n") > SIGNATURES_MAX:
        raise MalformedNote(f"more than {SIGNATURES_MAX} signatures")
    return tuple(_signature(line) for line in lines[:-1].split("\n"))


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not is_key_name(name):
        raise MalformedNote("not a signature line")
    try:
        value = parse_base64(encoded)
    except MalformedText as error:
        raise MalformedNote(str(error)) from None
    if len(value) < 5:
        raise MalformedNote("a signature line without a signature")
    return Signature(name=name, key_id=value[:4], value=value[4:])
