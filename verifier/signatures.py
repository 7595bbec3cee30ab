"""The one signature rule (wire.md, W3)."""

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from verifier.wire import HASH_BYTES, SIGNATURE_BYTES

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
_Y_BITS = (1 << 255) - 1


def _root(square: int) -> int | None:
    """Return a square root modulo p, which is 5 modulo 8, or None."""
    root = pow(square, (P + 3) // 8, P)
    for candidate in (root, root * pow(2, (P - 1) // 4, P) % P):
        if candidate * candidate % P == square % P:
            return candidate
    return None


def _small_order_ys() -> frozenset[int]:
    """Return the y of the eight points of small order (W3.5)."""
    ys = {0, 1, P - 1}
    # d·z² + 2·z − 1 = 0 with z = y²; on the curve if (y² − 1) / (d·y² + 1) is a square, x².
    discriminant = _root(1 + D)
    assert discriminant is not None, "1 + d is a square modulo p"
    for sign in (1, -1):
        square = (sign * discriminant - 1) * pow(D, -1, P) % P
        y = _root(square)
        if y is not None and _root((square - 1) * pow(D * square + 1, -1, P) % P) is not None:
            ys |= {y, P - y}
    assert len(ys) == 5, "W3.5 counts five"
    return frozenset(ys)


SMALL_ORDER_YS = _small_order_ys()


def _is_usable(point: bytes) -> bool:
    """Return whether an encoding is canonical and of no small order (W3.3, W3.4)."""
    y = int.from_bytes(point, "little") & _Y_BITS
    return y < P and y not in SMALL_ORDER_YS


def holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether a signature verifies; the message is a frame (W3.7)."""
    if len(key) != HASH_BYTES or len(signature) != SIGNATURE_BYTES:  # W3.1
        return False
    if int.from_bytes(signature[32:], "little") >= L:  # W3.2
        return False
    if not _is_usable(key) or not _is_usable(signature[:32]):
        return False
    try:
        crypto_sign_open(signature + message, key)  # W3.6
    except BadSignatureError:
        return False
    return True
