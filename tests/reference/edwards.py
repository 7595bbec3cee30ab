"""The curve of Ed25519 from its equation −x² + y² = 1 + d·x²·y², slow and plain.

Used to make keys and signatures that no library would make: of small order, with a part of small
order, or encoded in a second way.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def is_on_curve(point: Point) -> bool:
    """Return whether a point satisfies the curve's equation."""
    x, y = point
    return (y * y - x * x - 1 - D * x * x * y * y) % P == 0


def add(a: Point, b: Point) -> Point:
    """Return the sum of two points by the complete addition law."""
    x1, y1 = a
    x2, y2 = b
    product = D * x1 * x2 * y1 * y2 % P
    x3 = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y3 = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x3, y3


def negate(a: Point) -> Point:
    """Return −a."""
    return -a[0] % P, a[1]


def multiply(scalar: int, a: Point) -> Point:
    """Return scalar · a for a scalar ≥ 0, by doubling and adding."""
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = add(result, a)
        a = add(a, a)
        scalar >>= 1
    return result


def x_of(y: int) -> int | None:
    """Return an x with (x, y) on the curve, or None."""
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x_squared, (P + 3) // 8, P)
    if x * x % P != x_squared:
        x = x * pow(2, (P - 1) // 4, P) % P
    return x if x * x % P == x_squared else None


def _base() -> Point:
    y = 4 * pow(5, -1, P) % P
    x = x_of(y)
    assert x is not None
    return (x if x % 2 == 0 else P - x), y


BASE = _base()


def encode(point: Point) -> bytes:
    """Return the canonical 32 bytes of a point: y, and the lowest bit of x on top."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def small_order_points() -> list[Point]:
    """Return the eight points of order 1, 2, 4 and 8: the multiples of one of order 8."""
    y = 2
    while True:
        x = x_of(y)
        if x is not None:
            candidate = multiply(L, (x, y))
            if multiply(4, candidate) != IDENTITY:
                return [multiply(k, candidate) for k in range(8)]
        y += 1


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    """Return SHA-512(R ‖ A ‖ M) mod L."""
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L


def signature(r: bytes, s: int) -> bytes:
    """Return R ‖ S."""
    return r + s.to_bytes(32, "little")
