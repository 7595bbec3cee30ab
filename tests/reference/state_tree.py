"""The state tree by its definition (docs/spec/state.md): recursive over bits, unoptimised."""

import functools
import hashlib
from collections.abc import Mapping

EMPTY = bytes(32)


def root(values: Mapping[bytes, bytes]) -> bytes:
    """Return the root over keys and values (V2, V3)."""
    return subtree(values, "")


def subtree(values: Mapping[bytes, bytes], start: str) -> bytes:
    """Return the hash of what lies below a path, given as text of bits."""
    below = [key for key in sorted(values) if bits(key).startswith(start)]
    if not below:
        return EMPTY
    if len(below) == 1:
        return leaf(below[0], values[below[0]])
    within = {key: values[key] for key in below}
    return sha256(b"\x01" + subtree(within, start + "0") + subtree(within, start + "1"))


def pages(values: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return all pages by their prefix (V4, V5)."""
    found = {}
    prefixes = {nibbles(key)[:depth] for key in values for depth in range(65)}
    for prefix in sorted(prefixes):
        below = {key: values[key] for key in values if nibbles(key).startswith(prefix)}
        if len(below) > 1 or prefix == "":
            found[bytes(int(digit, 16) for digit in prefix)] = page(below, prefix)
    return found


def page(values: Mapping[bytes, bytes], prefix: str) -> bytes:
    """Return the bytes of the page under a prefix, given as text of hex digits."""
    is_leaf, is_child, slots = "", "", b""
    for digit in "0123456789abcdef":
        below = {key: values[key] for key in values if nibbles(key).startswith(prefix + digit)}
        is_leaf += "1" if len(below) == 1 else "0"
        is_child += "1" if len(below) > 1 else "0"
        if len(below) == 1:
            ((key, value),) = below.items()
            slots += leaf(key, value) + sha256(value) + bytes([len(key)]) + key
        elif below:
            slots += subtree(below, "".join(f"{int(one, 16):04b}" for one in prefix + digit))
    return int(is_leaf, 2).to_bytes(2, "big") + int(is_child, 2).to_bytes(2, "big") + slots


def leaf(key: bytes, value: bytes) -> bytes:
    return sha256(b"\x00" + sha256(key) + sha256(value))


@functools.cache
def nibbles(key: bytes) -> str:
    """Return the path of a key as 64 hex digits."""
    return sha256(key).hex()


@functools.cache
def bits(key: bytes) -> str:
    """Return the path of a key as 256 binary digits."""
    return "".join(f"{byte:08b}" for byte in sha256(key))


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
