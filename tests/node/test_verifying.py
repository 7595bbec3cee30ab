"""Verifying envelopes off the loop: what each is, and which signature is wrong."""

from collections.abc import AsyncIterator

import pytest

from ledger.encoding.codec import NotCanonical
from ledger.inadmissible import BadSignature, KindUnknown
from ledger.transactions import Transaction, parse, seal
from node.verifying import Verifiers
from tests import builders
from tests.toy.note import Note

pytestmark = pytest.mark.anyio

VOUCHER = "shanghai.compute.000000001"


@pytest.fixture
async def verifiers() -> AsyncIterator[Verifiers]:
    """Return threads that verify."""
    made = Verifiers()
    yield made
    made.stop()


def spoilt(*positions: int) -> bytes:
    """Return a transfer whose signatures at these positions are wrong."""
    transaction = parse(builders.transfer(VOUCHER, 500))
    signatures = {
        key: bytes(64) if position in positions else signature
        for position, (key, signature) in enumerate(transaction.signatures)
    }
    return seal(transaction.body_bytes, signatures)


async def test_each_envelope_gets_its_own_verdict(verifiers: Verifiers) -> None:
    note = builders.signed(
        Note(voucher=VOUCHER, holder="firm-a", remark=bytes(32)), ("firm-a", "owner")
    )
    good, bad, unknown, none = await verifiers.verify((spoilt(), spoilt(0), note, b"x"))
    assert isinstance(good, Transaction)
    assert isinstance(bad, BadSignature)
    assert isinstance(unknown, KindUnknown)
    assert isinstance(none, NotCanonical)


async def test_the_first_wrong_signature_is_told_by_its_key(verifiers: Verifiers) -> None:
    keys = [key.hex() for key, _ in parse(spoilt()).signatures]
    assert len(keys) == 2
    for positions, key in (((0,), keys[0]), ((1,), keys[1]), ((0, 1), keys[0])):
        (told,) = await verifiers.verify((spoilt(*positions),))
        assert isinstance(told, BadSignature)
        assert told.values == {"key": key}
        assert str(told) == f"the signature by {key} does not verify"
