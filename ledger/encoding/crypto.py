"""Tagged hashes and the one signature rule (spec W2, W3)."""

import functools
import hashlib

import nacl.bindings
import nacl.exceptions

_L = 2**252 + 27742317777372353535851937790883648493
"""Order of the prime-order subgroup of edwards25519."""
_P = 2**255 - 19
_Y_MASK = 2**255 - 1
KEYS_REMEMBERED = 4_096
"""Keys whose verdict is remembered: it costs as much as a signature, and genesis asks again."""


def frame(tag: str, *parts: bytes) -> bytes:
    """Return ``u8 len ‖ tag ‖ (u32be len ‖ part)…``: no two lists of parts share a frame."""
    pieces = [_framed_tag(tag)]
    for part in parts:
        pieces.append(len(part).to_bytes(4, "big"))
        pieces.append(part)
    return b"".join(pieces)


@functools.cache
def _framed_tag(tag: str) -> bytes:
    """Return how a frame begins; there are few tags."""
    name = tag.encode("ascii")
    return len(name).to_bytes(1, "big") + name


def tagged_hash(tag: str, *parts: bytes) -> bytes:
    """Return SHA-256 of the frame, 32 bytes."""
    return hashlib.sha256(frame(tag, *parts)).digest()


def sha256(data: bytes) -> bytes:
    """Return SHA-256 of ``data``, 32 bytes."""
    return hashlib.sha256(data).digest()


def _small_order_ys() -> frozenset[int]:
    """Return the y coordinates of the eight points of small order.

    They are y = 1, -1, 0 and the two y of the points of order 8, which solve
    d·y⁴ + 2·y² − 1 = 0 on the curve −x² + y² = 1 + d·x²·y² (there x² = −y²).
    """
    d = -121665 * pow(121666, -1, _P) % _P
    sqrt_minus_one = pow(2, (_P - 1) // 4, _P)

    def square_root(a: int) -> int | None:
        root = pow(a, (_P + 3) // 8, _P)
        if root * root % _P != a % _P:
            root = root * sqrt_minus_one % _P
        return root if root * root % _P == a % _P else None

    ys = {0, 1, _P - 1}
    discriminant = square_root(1 + d)
    assert discriminant is not None
    for sign in (1, -1):
        y_squared = (-1 + sign * discriminant) * pow(d, -1, _P) % _P
        y = square_root(y_squared)
        if y is not None:
            ys |= {y, _P - y}
    return frozenset(ys)


_SMALL_ORDER_YS = _small_order_ys()


def _is_acceptable_point(encoding: bytes) -> bool:
    """Return whether the encoding is canonical (y < p) and its y is not of small order.

    The sign bit is ignored for the second check, so that both encodings of a small-order point
    are refused, the one with a needless sign bit included.
    """
    y = int.from_bytes(encoding, "little") & _Y_MASK
    return y < _P and y not in _SMALL_ORDER_YS


def precheck(public_key: bytes, signature: bytes) -> bool:
    """Return whether lengths, S < L, and the encodings of A and R pass (W3.1 to W3.4).

    It runs before the library so that a library upgrade cannot change a verdict.
    """
    if len(public_key) != 32 or len(signature) != 64:
        return False
    if int.from_bytes(signature[32:], "little") >= _L:
        return False
    return _is_acceptable_point(public_key) and _is_acceptable_point(signature[:32])


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Return the protocol's verdict on a signature: pre-check, then W3.6.

    libsodium releases the GIL here, so threads verify in parallel.
    """
    if not precheck(public_key, signature):
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + message, public_key)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


@functools.lru_cache(maxsize=KEYS_REMEMBERED)
def is_registrable_key(public_key: bytes) -> bool:
    """Return whether a key is a canonical point of the prime-order subgroup (W3.8)."""
    return len(public_key) == 32 and bool(
        nacl.bindings.crypto_core_ed25519_is_valid_point(public_key)
    )


@functools.lru_cache(maxsize=KEYS_REMEMBERED)
def proves_key(public_key: bytes, message: bytes, proof: bytes) -> bool:
    """Return whether a key signed a message that says whose it is."""
    return verify(public_key, message, proof)


def public_key(seed: bytes) -> bytes:
    """Return the Ed25519 public key of a 32-byte seed."""
    key, _ = nacl.bindings.crypto_sign_seed_keypair(seed)
    return key


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the 64-byte Ed25519 signature of ``message`` under a 32-byte seed."""
    _, secret = nacl.bindings.crypto_sign_seed_keypair(seed)
    return nacl.bindings.crypto_sign(message, secret)[:64]
