"""Canonical MessagePack, field types and tagged hashes (wire.md, W1 and W2).

A *shape* is a function that looks at a decoded value and raises Malformed where it is not what a
field may hold. Shapes are built from shapes, so a record is written down as its page lists it.
Arrays are decoded as tuples. No shape refers to itself, so none nests without end (W1.6).
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import msgpack  # type: ignore[import-untyped]

INTEGER_MAX = 2**53 - 1
TEXT_BYTES_MAX = 256
HASH_BYTES = 32
SIGNATURE_BYTES = 64

Shape = Callable[[Any], None]


class Malformed(ValueError):
    """A value is not what the pages say; ``path`` leads to it, field by field."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path

    def below(self, name: str) -> "Malformed":
        """Return the same, seen from one level further out."""
        return Malformed(self.reason, f"{name}.{self.path}" if self.path else name)


def decode(data: bytes, shape: Shape, *, bytes_max: int) -> Any:
    """Return the value of a whole message; raise Malformed unless it is canonical (W1.6)."""
    if len(data) > bytes_max:
        raise Malformed(f"{len(data)} bytes, at most {bytes_max} are allowed")
    try:
        value = msgpack.unpackb(data, use_list=False, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise Malformed(f"no MessagePack of these types ({type(error).__name__})") from None
    shape(value)
    if encode(value) != data:
        raise Malformed("not in its shortest form")
    return value


def encode(value: object) -> bytes:
    """Return the canonical bytes of a value (W1.3)."""
    data: bytes = msgpack.packb(value)
    return data


def frame(tag: str, *parts: bytes) -> bytes:
    """Return what is hashed, and signed, for a tag and parts (W2.1)."""
    pieces = [bytes((len(tag),)), tag.encode("ascii")]
    for part in parts:
        pieces += (len(part).to_bytes(4, "big"), part)
    return b"".join(pieces)


def tagged_hash(tag: str, *parts: bytes) -> bytes:
    """Return the SHA-256 of a frame (W2.2)."""
    return hashlib.sha256(frame(tag, *parts)).digest()


# Field types (W1.5)


def integer(least: int, most: int) -> Shape:
    """An integer in a range; a boolean is none."""

    def check(value: Any) -> None:
        if type(value) is not int or not least <= value <= most:
            raise Malformed(f"no integer from {least} to {most}")

    return check


natural = integer(0, INTEGER_MAX)
positive = integer(1, INTEGER_MAX)
delta = integer(-INTEGER_MAX, INTEGER_MAX)
basis_points = integer(0, 10_000)


def boolean(value: Any) -> None:
    """True or false."""
    if type(value) is not bool:
        raise Malformed("no boolean")


def binary(least: int, most: int) -> Shape:
    """A byte string."""

    def check(value: Any) -> None:
        if type(value) is not bytes or not least <= len(value) <= most:
            raise Malformed(f"no byte string of {least} to {most} bytes")

    return check


hash32 = binary(HASH_BYTES, HASH_BYTES)
signature = binary(SIGNATURE_BYTES, SIGNATURE_BYTES)


_NO_TEXT = (
    "0000-001F 007F-00A0 00AD 0300-036F 037E 0387 0600-0605 061C 06DD 070F 0890-0891 08E2"
    " 1100-11FF 1680 17B4-17B5 180B-180F 1AB0-1AFF 1DC0-1DFF 1FEF 2000-200F 2028-202F"
    " 205F-206F 20D0-20FF 2126 212A-212B 2329-232A 2800 2E80-2FDF 3000 3099-309A 3164"
    " A960-A97F D7B0-FA0D FA10 FA12 FA15-FA1E FA20 FA22 FA25-FA26 FA2A-FAFF FDD0-FDEF"
    " FE00-FE0F FE20-FE2F FEFF FF10-FF19 FF21-FF3A FF41-FF5A FFA0 FFF0-FFFF 110BD 110CD"
    " 13430-1345F 1BCA0-1BCA3 1D173-1D17A 1FFFE-1FFFF 2F800-2FA1F 2FFFE-2FFFF 3FFFE-3FFFF"
    " 4FFFE-4FFFF 5FFFE-5FFFF 6FFFE-6FFFF 7FFFE-7FFFF 8FFFE-8FFFF 9FFFE-9FFFF AFFFE-AFFFF"
    " BFFFE-BFFFF CFFFE-CFFFF DFFFE-DFFFF E0000-E0FFF EFFFE-10FFFF"
)
"""W5.1's table, in ascending order."""


def _pattern_of(ranges: str) -> re.Pattern[str]:
    """Return what finds a character of such a list, or a blank where none stands (W5.2)."""
    ends = (span.partition("-")[::2] for span in ranges.split())
    spans = (rf"\U{first:0>8}-\U{last or first:0>8}" for first, last in ends)
    return re.compile(rf"[{''.join(spans)}]|\A | \Z|  ")


_find_fault = _pattern_of(_NO_TEXT).search


def limited(characters_max: int) -> Shape:
    """Text of a number of characters, and of what W1.4 allows in bytes and W5 in characters."""

    def check(value: Any) -> None:
        if type(value) is not str or len(value) > characters_max:
            raise Malformed(f"no text of at most {characters_max} characters")
        if len(value.encode()) > TEXT_BYTES_MAX:
            raise Malformed(f"text of more than {TEXT_BYTES_MAX} bytes")
        if not (value.isascii() and value.isalnum()) and _find_fault(value) is not None:
            raise Malformed("text with a character that W5 excludes")

    return check


text = limited(TEXT_BYTES_MAX)


def matching(name: str, pattern: str) -> Shape:
    """Text that a pattern matches as a whole."""
    matches = re.compile(pattern, re.ASCII).fullmatch

    def check(value: Any) -> None:
        if type(value) is not str or matches(value) is None:
            raise Malformed(f"no {name}")

    return check


_SLUG = "[a-z0-9][a-z0-9-]{0,31}"
slug = matching("slug", _SLUG)
programme_id = matching("programme id", rf"{_SLUG}\.{_SLUG}")
serial_id = matching("serial id", rf"{_SLUG}(\.{_SLUG})?\.[0-9]{{9}}")


def word(*words: str) -> Shape:
    """One of a few words."""

    def check(value: Any) -> None:
        if type(value) is not str or value not in words:
            raise Malformed(f"none of {', '.join(words)}")

    return check


# Arrays


def many(item: Shape, least: int, most: int) -> Shape:
    """An array of like items: ``[item]{least,most}``."""

    def check(value: Any) -> None:
        if type(value) is not tuple or not least <= len(value) <= most:
            raise Malformed(f"no array of {least} to {most} items")
        for position, element in enumerate(value):
            try:
                item(element)
            except Malformed as error:
                raise error.below(str(position)) from None

    return check


def optional(item: Shape) -> Shape:
    """``[item]?``: nothing or one item, in an array."""
    return many(item, 0, 1)


def fields(**shapes: Shape) -> Shape:
    """A record: exactly these fields in this order (W1.2)."""
    pairs = tuple(shapes.items())

    def check(value: Any) -> None:
        if type(value) is not tuple or len(value) != len(pairs):
            raise Malformed(f"no array of {len(pairs)} fields")
        for (name, shape), field in zip(pairs, value, strict=True):
            try:
                shape(field)
            except Malformed as error:
                raise error.below(name) from None

    return check


def named(kinds: dict[str, Shape]) -> Shape:
    """A record of one of several kinds: its kind, then that kind's fields (W1.2)."""

    def check(value: Any) -> None:
        if type(value) is not tuple or not value or type(value[0]) is not str:
            raise Malformed("no array that begins with a kind")
        if value[0] not in kinds:
            raise Malformed("no such kind")
        try:
            kinds[value[0]](value[1:])
        except Malformed as error:
            raise error.below(value[0]) from None

    return check
