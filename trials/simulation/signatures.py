"""Keys and signatures of simulated parties: a fast stand-in, or the real thing.

The stand-in is a hash that anybody could compute. That is no weakness here: only the simulator
signs, and its liar signs with its own key alone. Keys are real curve points in both cases, since
genesis and enrolment look at them.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

from ledger.encoding import crypto
from ledger.execute import Verify
from ledger.proofs import NamedKey

VERDICTS_MAX = 10_000

Sign = Callable[[bytes, bytes], bytes]
"""(seed, message) → 64-byte signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """How everybody in one simulation signs and verifies."""

    sign: Sign
    verify: Verify


@cache
def seed_of(*names: str) -> bytes:
    """Return the 32-byte key seed of a name: every run has the same keys."""
    return crypto.tagged_hash("tallystick/simulation-seed/v1", *(n.encode() for n in names))


@cache
def public_key(seed: bytes) -> bytes:
    """Return the Ed25519 public key of a seed."""
    return crypto.public_key(seed)


def prove(named: NamedKey, message: bytes) -> bytes:
    """Return a named key's proof, a real signature: rules look at it themselves."""
    return crypto.sign(seed_of(named.party, named.name), message)


def _stand_in(key: bytes, message: bytes) -> bytes:
    return hashlib.blake2b(message, key=key, digest_size=64).digest()


def _sign(seed: bytes, message: bytes) -> bytes:
    return _stand_in(public_key(seed), message)


def _verify(key: bytes, message: bytes, signature: bytes) -> bool:
    return signature == _stand_in(key, message)


STAND_IN = Signatures(sign=_sign, verify=_verify)
# Every member verifies every signature: the same bytes get the same verdict.
REAL = Signatures(sign=crypto.sign, verify=lru_cache(VERDICTS_MAX)(crypto.verify))
