"""The one signature rule (W3): public vectors, and edge cases derived from the curve itself."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledger.encoding import crypto
from tests.ledger import public_vectors
from tests.reference import edwards
from tests.reference.edwards import BASE, IDENTITY, L, P

MESSAGE = b"a voucher"
SMALL = edwards.small_order_points()


def verify_with_openssl(key: bytes, message: bytes, signature: bytes) -> bool:
    """The second backend: the same pre-check, then the `cryptography` package."""
    if not crypto.precheck(key, signature):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


Verify = Callable[[bytes, bytes, bytes], bool]
BACKENDS = pytest.mark.parametrize(
    "verify", [crypto.verify, verify_with_openssl], ids=["libsodium", "openssl"]
)


@BACKENDS
def test_of_the_914_cctv_vectors_43_are_accepted(verify: Verify) -> None:
    cases = public_vectors.load("ed25519-cctv.json")
    accepted = [
        case["number"]
        for case in cases
        if verify(bytes.fromhex(case["key"]), case["msg"].encode(), bytes.fromhex(case["sig"]))
    ]
    assert (len(cases), len(accepted)) == (914, 43)


@BACKENDS
def test_of_the_speccheck_vectors_only_case_3_is_accepted(verify: Verify) -> None:
    cases = public_vectors.load("ed25519-speccheck.json")
    names = ("pub_key", "message", "signature")
    accepted = [
        index
        for index, case in enumerate(cases)
        if verify(*(bytes.fromhex(case[name]) for name in names))
    ]
    assert (len(cases), accepted) == (12, [3])


@BACKENDS
def test_the_151_wycheproof_vectors_have_their_verdicts(verify: Verify) -> None:
    document = public_vectors.load("ed25519-wycheproof.json")
    wrong, count = [], 0
    for group in document["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            count += 1
            verdict = verify(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            if verdict != (case["result"] == "valid"):
                wrong.append(case["tcId"])
    assert (count, wrong) == (151, [])


@dataclass(frozen=True)
class Case:
    """A signature made by hand and the verdict that W3 gives it."""

    claim: str
    key: bytes
    signature: bytes
    accepted: bool
    message: bytes = MESSAGE


SECRET, NONCE = 1234567, 7654321
HONEST_KEY = edwards.multiply(SECRET, BASE)


def made(
    claim: str,
    accepted: bool,
    *,
    key: edwards.Point = HONEST_KEY,
    nonce: edwards.Point | None = None,
    r: bytes | None = None,
    nonce_scalar: int = NONCE,
    message: bytes = MESSAGE,
    add_order: int = 0,
) -> Case:
    """Return S = r + h·a over a key and a nonce point that may have small-order parts."""
    point = edwards.multiply(nonce_scalar, BASE) if nonce is None else nonce
    encoded_r = edwards.encode(point) if r is None else r
    encoded_key = edwards.encode(key)
    h = edwards.challenge(encoded_r, encoded_key, message)
    s = (nonce_scalar + h * SECRET) % L + add_order * L
    return Case(claim, encoded_key, edwards.signature(encoded_r, s), accepted, message)


def mixed_key(divisible: bool) -> Case:
    """A key with a part of order 8: the equation holds only where 8 divides the challenge."""
    key = edwards.add(HONEST_KEY, SMALL[1])
    r = edwards.encode(edwards.multiply(NONCE, BASE))
    counter = 0
    while True:
        message = MESSAGE + bytes([counter])
        if (edwards.challenge(r, edwards.encode(key), message) % 8 == 0) == divisible:
            claim = f"mixed-order A, {'' if divisible else 'not '}divisible challenge"
            return made(claim, divisible, key=key, message=message)
        counter += 1


def cancelling_torsion() -> Case:
    """Small-order parts of A and R that cancel: cofactorless verification accepts it."""
    key = edwards.add(HONEST_KEY, SMALL[1])
    for multiple in range(8):
        nonce = edwards.add(edwards.multiply(NONCE, BASE), SMALL[multiple])
        for counter in range(256):
            message = MESSAGE + bytes([counter])
            h = edwards.challenge(edwards.encode(nonce), edwards.encode(key), message)
            if multiple and (multiple + h) % 8 == 0:
                return made(
                    "torsion of A and R cancels", True, key=key, nonce=nonce, message=message
                )
    raise AssertionError("one of 8 messages fits")


def second_encodings(point: edwards.Point) -> list[bytes]:
    """Return the other byte strings that stand for a point: y + p, and a sign bit for x = 0."""
    x, y = point
    ys = [y] if y + P >= 2**255 else [y, y + P]
    signs = [x & 1] if x else [0, 1]
    every = [(one | sign << 255).to_bytes(32, "little") for one in ys for sign in signs]
    return [encoding for encoding in every if encoding != edwards.encode(point)]


def cases() -> list[Case]:
    """Return the edge cases."""
    found = [
        made("an ordinary signature", True),
        made("another message's signature", False),
        made("S + L", False, add_order=1),
        made("S + 7 L", False, add_order=7),
        made("R of small order: the identity", False, nonce=IDENTITY, nonce_scalar=0),
        mixed_key(True),
        mixed_key(False),
        cancelling_torsion(),
    ]
    other = found[1]
    found[1] = Case(other.claim, other.key, other.signature, False, MESSAGE + b"!")
    for index, point in enumerate(SMALL[1:], start=1):
        nonce = edwards.add(edwards.multiply(NONCE, BASE), point)
        found.append(made(f"R with torsion {index}: only cofactored holds", False, nonce=nonce))
    for index, point in enumerate(SMALL):
        encodings = [edwards.encode(point), *second_encodings(point)]
        for number, encoding in enumerate(encodings):
            name = f"small-order point {index}, encoding {number}"
            honest_r = edwards.encode(edwards.multiply(NONCE, BASE))
            found.append(Case(f"A is {name}", encoding, edwards.signature(honest_r, NONCE), False))
            found.append(made(f"R is {name}", False, r=encoding, nonce_scalar=0))
    return found


CASES = cases()


@BACKENDS
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.claim)
def test_the_rule_gives_its_verdict_on(verify: Verify, case: Case) -> None:
    assert verify(case.key, case.message, case.signature) is case.accepted


def test_the_reference_curve_is_the_curve() -> None:
    assert edwards.multiply(L, BASE) == IDENTITY
    assert all(edwards.is_on_curve(point) for point in [BASE, HONEST_KEY, *SMALL])
    assert len(set(SMALL)) == 8
    assert all(edwards.multiply(8, point) == IDENTITY for point in SMALL)
    assert len(CASES) > 40


def test_every_encoding_of_a_small_order_point_fails_the_precheck_alone() -> None:
    honest = made("honest", True)
    encodings = [
        encoding
        for point in SMALL
        for encoding in (edwards.encode(point), *second_encodings(point))
    ]
    assert len(encodings) == 14, "8 points, and 6 second encodings below 2^255"
    for encoding in encodings:
        assert not crypto.precheck(encoding, honest.signature)
        assert not crypto.precheck(honest.key, encoding + honest.signature[32:])


def test_a_y_of_p_or_more_fails_the_precheck() -> None:
    honest = made("honest", True)
    for excess in range(19):
        encoding = (P + excess).to_bytes(32, "little")
        assert not crypto.precheck(encoding, honest.signature)
        assert not crypto.precheck(honest.key, encoding + honest.signature[32:])


def test_the_scalar_must_be_below_the_order() -> None:
    honest = made("honest", True)
    for s, passes in ((0, True), (L - 1, True), (L, False), (2**256 - 1, False)):
        assert crypto.precheck(honest.key, honest.signature[:32] + s.to_bytes(32, "little")) is (
            passes
        )


@pytest.mark.parametrize(("key_bytes", "signature_bytes"), [(31, 64), (33, 64), (32, 63), (32, 65)])
def test_other_lengths_are_refused(key_bytes: int, signature_bytes: int) -> None:
    honest = made("honest", True)
    key = (honest.key + b"\0")[:key_bytes]
    assert not crypto.verify(key, MESSAGE, (honest.signature + b"\0")[:signature_bytes])


def test_only_keys_of_the_prime_order_subgroup_are_registrable() -> None:
    assert crypto.is_registrable_key(edwards.encode(HONEST_KEY))
    for point in SMALL:
        assert not crypto.is_registrable_key(edwards.encode(point))
    for point in SMALL[1:]:
        assert not crypto.is_registrable_key(edwards.encode(edwards.add(HONEST_KEY, point)))
    off_curve = next(y for y in range(2, 99) if edwards.x_of(y) is None)
    assert not crypto.is_registrable_key(off_curve.to_bytes(32, "little"))
    assert not crypto.is_registrable_key(b"")


def test_what_the_project_signs_it_also_accepts() -> None:
    seed = bytes(range(32))
    signature = crypto.sign(seed, MESSAGE)
    assert crypto.verify(crypto.public_key(seed), MESSAGE, signature)
    for bit in range(512):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not crypto.verify(crypto.public_key(seed), MESSAGE, bytes(changed))


def test_no_two_lists_of_parts_share_a_frame() -> None:
    lists = [(), (b"",), (b"", b""), (b"a",), (b"a", b""), (b"", b"a"), (b"\0\0\0\0",), (b"ab",)]
    frames = {crypto.frame("tallystick/x", *parts) for parts in lists}
    frames |= {crypto.frame("tallystick/", b"x", *parts) for parts in lists}
    assert len(frames) == 2 * len(lists)
    assert crypto.frame("ab", b"xyz") == b"\x02ab\x00\x00\x00\x03xyz"
