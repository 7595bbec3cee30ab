"""Canonical MessagePack: the only place where bytes become objects (spec W1).

Records are frozen, array-like ``msgspec.Struct`` classes. A byte string is accepted only if it
decodes to the exact types and encoding the result gives the same bytes again, so that one value
has one encoding and nobody can smuggle a second form of it past a hash.
"""

import threading
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from ledger.encoding.characters import TEXT_PATTERN, fault_in
from ledger.encoding.complaint import PROGRAMME_ID, SERIAL_ID, SLUG, complaint

FEN_MAX = 2**53 - 1
"""Largest amount in fen: every JSON client reads it exactly."""
UINT64_MAX = 2**64 - 1
TEXT_BYTES_MAX = 256
"""Longest text in UTF-8 bytes (W1.4)."""
NESTING_MAX = 8
"""Arrays in arrays: no message has more (W1.6)."""

Fen = Annotated[int, Meta(ge=0, le=FEN_MAX)]
"""One hundredth of a yuan. Never a float: every replica must agree."""
Delta = Annotated[int, Meta(ge=-FEN_MAX, le=FEN_MAX)]
"""A signed difference of fen."""
Natural = Annotated[int, Meta(ge=0, le=FEN_MAX)]
"""A count, a height, a sequence number or a time in milliseconds."""
BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]
Slug = Annotated[str, Meta(pattern=SLUG)]
"""An identifier part: ASCII, at most 32 characters."""
ProgrammeId = Annotated[str, Meta(pattern=PROGRAMME_ID)]
"""``city.slug``."""
SerialId = Annotated[str, Meta(pattern=SERIAL_ID)]
"""A programme or party, a dot and nine digits: ``shanghai.compute.000000042``."""
Text = Annotated[str, Meta(max_length=TEXT_BYTES_MAX, pattern=TEXT_PATTERN)]
"""What a person wrote, of the characters of W5."""
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
PublicKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]

T = TypeVar("T")
AtMostOne = Annotated[tuple[T, ...], Meta(max_length=1)]
"""A field that may be absent, ``[x]?`` in the specification; ``only`` reads it (ADR 19)."""


class NotCanonical(ValueError):
    """The bytes are not the one canonical encoding of the expected type."""


class Record(
    msgspec.Struct,
    frozen=True,
    array_like=True,
    kw_only=True,
    forbid_unknown_fields=True,
    gc=False,
):
    """Base of everything that has bytes: a fixed-position array with exact types.

    Records are frozen and hold no cycles, so the garbage collector need not visit them.
    """


_ENCODER = msgspec.msgpack.Encoder()


_DECODERS: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
_BUILDING = threading.Lock()
"""Two threads that build decoders of types in common crash the process in msgspec 0.22: one sees
the other's half-made type (measured). Using finished decoders from many threads is safe."""


def _decoder(type_: Any) -> msgspec.msgpack.Decoder[Any]:
    with _BUILDING:
        return _DECODERS.setdefault(type_, msgspec.msgpack.Decoder(type_))


def only(field: tuple[T, ...]) -> T | None:
    """Return the value of a field of at most one, or None if it is absent."""
    return field[0] if field else None


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a record."""
    return _ENCODER.encode(value)


def decode(type_: Any, data: bytes, limit: int, *, within: str = "") -> Any:
    """Return the value that ``data`` canonically encodes.

    ``limit`` is the largest accepted length in bytes; it is checked before anything is decoded.
    Raises NotCanonical with a sentence that names the field and what was expected there; ``within``
    is the field that ``data`` itself is.
    """
    if len(data) > limit:
        raise NotCanonical(f"expected at most {limit} bytes, got {len(data)}")
    try:
        value = (_DECODERS.get(type_) or _decoder(type_)).decode(data)
    except _UNDECODABLE as error:
        raise _not_canonical(error, type_, data, within) from None
    if _ENCODER.encode(value) != data:
        raise NotCanonical("not the shortest encoding of its value")
    return value


REASON_CHARS_MAX = 200
"""How much of a decoder's own sentence is passed on."""

_UNDECODABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What bytes can make a decoder raise. It does not wrap the last one, and a peer can cause it."""


def _not_canonical(error: Exception, type_: Any, data: bytes, within: str = "") -> NotCanonical:
    if isinstance(error, UnicodeDecodeError):
        return NotCanonical(f"text is not UTF-8: {error.reason}")
    path, reason = complaint(type_, _lists_in(data), str(error))
    if not all(" " <= one <= "~" for one in reason):
        reason = ascii(reason)  # what a stranger chose steers no screen
    where = ".".join(str(step) for step in ((within, *path) if within else path))
    return NotCanonical(f"{where}: {reason[:REASON_CHARS_MAX]}" if where else reason)


def _lists_in(data: bytes) -> Any:
    """Return a message of whatever type as plain lists, None if it is none."""
    try:
        return msgspec.msgpack.decode(data)
    except _UNDECODABLE:  # what follows a wrong field was not looked at before
        return None


def decode_stored(type_: Any, data: bytes) -> Any:
    """Return a value that this process encoded and stored itself: its form needs no proof."""
    return (_DECODERS.get(type_) or _decoder(type_)).decode(data)


class _Named(msgspec.Struct, frozen=True, array_like=True, gc=False):
    name: str


_Untyped = bool | int | str | tuple[msgspec.Raw, ...]
"""Every type that the specification has (W1.1), one level deep; bytes alone stand apart."""
_BYTE_STRINGS = (b"\xc4", b"\xc5", b"\xc6")
"""How byte strings begin (W1.3)."""


def name_in(data: bytes, *, within: str = "") -> str:
    """Return the name with which one of several kinds of record begins; raise NotCanonical.

    What follows the name is not looked at; ``within`` as in ``decode``.
    """
    try:
        named: _Named = decode_stored(_Named, data)
    except _UNDECODABLE as error:
        raise _not_canonical(error, _Named, data, within) from None
    return named.name


def check_untyped(data: bytes, *, nesting: int) -> None:
    """Raise NotCanonical unless ``data`` is one canonical value, of whatever type (W1)."""
    value = decode(bytes if data[:1] in _BYTE_STRINGS else _Untyped, data, len(data))
    if isinstance(value, str):
        check_texts(value)
        if (fault := fault_in(value)) is not None:
            raise NotCanonical(fault)
    if isinstance(value, tuple):
        if not nesting:
            raise NotCanonical("too many arrays in arrays")
        for item in value:
            check_untyped(bytes(item), nesting=nesting - 1)


def check_texts(*texts: str, within: str = "") -> None:
    """Raise NotCanonical if a text is longer than TEXT_BYTES_MAX bytes in UTF-8.

    ``within`` is the field that they stand in. The type bounds characters; this bounds bytes,
    which is what the specification says (W1.4).
    """
    for text in texts:
        if len(text.encode()) > TEXT_BYTES_MAX:
            where = f"{within}: " if within else ""
            raise NotCanonical(f"{where}text of more than {TEXT_BYTES_MAX} bytes")
