"""What the log's text formats share: strict decimals and strict base64 (spec Y1)."""

import base64
import re

SIZE_MAX = 2**63 - 1
"""Largest tree size, position or time in seconds: other implementations keep them signed."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


class MalformedText(ValueError):
    """The text is not the one form that the format allows for its value."""


def parse_decimal(text: str) -> int:
    """Return the integer 0 … SIZE_MAX that ``text`` writes in ASCII digits, no leading zeros."""
    if not _DECIMAL.fullmatch(text) or int(text) > SIZE_MAX:
        raise MalformedText(f"expected a decimal up to {SIZE_MAX}, got {text[:24]!r}")
    return int(text)


def parse_base64(text: str) -> bytes:
    """Return the bytes of padded standard base64; one value has one text, also in its last bits."""
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise MalformedText(f"expected base64, got {text[:24]!r}") from None
    if base64_of(value) != text:
        raise MalformedText(f"expected base64 with clear last bits, got {text[-24:]!r}")
    return value


def parse_hash(text: str) -> bytes:
    """Return the 32 bytes that ``text`` writes in base64."""
    value = parse_base64(text)
    if len(value) != 32:
        raise MalformedText(f"expected a hash of 32 bytes, got {len(value)}")
    return value


def base64_of(value: bytes) -> str:
    """Return ``value`` in padded standard base64."""
    return base64.b64encode(value).decode("ascii")
