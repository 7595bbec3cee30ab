"""Receipts (Y7): a file and a policy are enough, and nothing in the file can be bent."""

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ledger.encoding import merkle, note, receipt, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.note import BadSignature
from ledger.encoding.policy import QuorumMissing, UntrustedLog
from ledger.encoding.receipt import (
    EXTRA_BYTES_MAX,
    HASHES_MAX,
    RECEIPT_BYTES_MAX,
    MalformedReceipt,
    NotIncluded,
    Receipt,
)
from ledger.encoding.text import base64_of
from tests.ledger import log_vectors
from tests.ledger.log_vectors import GO, ORIGIN, SIZE, entry, node, seed

DATA = GO["receipt"].encode()
INDEX: int = GO["receipt_index"]
CHECKPOINT = note.parse(GO["checkpoint"].encode())
TRUSTED = log_vectors.policy()


def test_the_receipt_of_go_verifies_and_is_made_here_byte_for_byte() -> None:
    theirs = receipt.parse(DATA)
    accepted = receipt.verify(theirs, entry=entry(INDEX), trusted=TRUSTED)
    assert (accepted.checkpoint.size, len(accepted.cosigned)) == (SIZE, 4)
    path = tiles.inclusion_proof(node, index=INDEX, size=SIZE)
    ours = Receipt(
        index=INDEX, hashes=tuple(path), checkpoint=CHECKPOINT, extra=str(INDEX).encode()
    )
    assert ours.to_bytes() == DATA


def test_the_only_entry_of_a_log_needs_no_hash() -> None:
    tree = Checkpoint(origin=ORIGIN, size=1, root=merkle.leaf_hash(b"only"))
    signed = note.Note(
        text=tree.text(), signatures=(note.sign(tree.text(), name=ORIGIN, seed=seed(0)),)
    )
    made = Receipt(index=0, hashes=(), checkpoint=signed)
    assert made.to_bytes().startswith(b"c2sp.org/tlog-proof@v1\nindex 0\n\ntallystick.log/")
    trusted = log_vectors.policy("quorum none\n")
    assert receipt.verify(receipt.parse(made.to_bytes()), entry=b"only", trusted=trusted)


def test_another_entry_or_position_is_not_included() -> None:
    good = receipt.parse(DATA)
    for wrong, claimed in (
        (good, entry(INDEX + 1)),
        (good, merkle.leaf_hash(entry(INDEX))),
        (dataclasses.replace(good, index=INDEX + 1), entry(INDEX)),
        (dataclasses.replace(good, index=SIZE), entry(INDEX)),
        (dataclasses.replace(good, hashes=good.hashes[:-1]), entry(INDEX)),
        (dataclasses.replace(good, hashes=(*good.hashes, bytes(32))), entry(INDEX)),
    ):
        with pytest.raises(NotIncluded):
            receipt.verify(wrong, entry=claimed, trusted=TRUSTED)


def test_a_receipt_without_the_quorum_says_so() -> None:
    good = receipt.parse(DATA)
    few = dataclasses.replace(
        good, checkpoint=dataclasses.replace(CHECKPOINT, signatures=CHECKPOINT.signatures[:3])
    )
    with pytest.raises(QuorumMissing):
        receipt.verify(few, entry=entry(INDEX), trusted=TRUSTED)


def test_no_flipped_bit_is_believed() -> None:
    """Only the extra line may change: nothing covers it, and nobody is told to believe it."""
    dice = random.Random(5)
    good = receipt.parse(DATA)
    refused = 0
    for place in range(len(DATA)):
        changed = bytearray(DATA)
        changed[place] ^= 1 << dice.randrange(8)
        try:
            found = receipt.parse(bytes(changed))
            receipt.verify(found, entry=entry(INDEX), trusted=TRUSTED)
        except (MalformedReceipt, NotIncluded, BadSignature, UntrustedLog, QuorumMissing):
            refused += 1
            continue
        # A flip in a witness's name or key id makes it a stranger; three of four are enough.
        same = dataclasses.replace(found, extra=good.extra, checkpoint=good.checkpoint)
        assert same == good
        assert found.checkpoint.text == good.checkpoint.text
    assert refused > len(DATA) * 3 // 4


VERSION = "c2sp.org/tlog-proof@v1\n"
HEAD = f"{VERSION}index {INDEX}\n"
TAIL = f"\n{GO['checkpoint']}"
HASH = f"{base64_of(bytes(32))}\n"
MALFORMED = {
    "nothing": "",
    "no checkpoint": HEAD,
    "an empty checkpoint": f"{HEAD}\n",
    "another version": f"{HEAD.replace('v1', 'v2')}{TAIL}",
    "no header": f"index {INDEX}\n{TAIL}",
    "no index": f"{VERSION}{TAIL}",
    "an index with a leading zero": f"{HEAD.replace('index ', 'index 0')}{TAIL}",
    "an index with two spaces": f"{HEAD.replace('index ', 'index  ')}{TAIL}",
    "a hash of 31 bytes": f"{HEAD}{base64_of(bytes(31))}\n{TAIL}",
    "a hash in hex": f"{HEAD}{'00' * 32}\n{TAIL}",
    "two empty lines": f"{HEAD}\n{TAIL}",
    "a carriage return": f"{HEAD}{HASH}{TAIL}".replace("\n", "\r\n"),
    "extra data of no bytes": f"{VERSION}extra \nindex 0\n{TAIL}",
    "extra data after the index": f"{HEAD}extra AAAA\n{TAIL}",
    "extra data twice": f"{VERSION}extra AAAA\nextra AAAA\nindex 0\n{TAIL}",
    "a note that is no checkpoint": f"{HEAD}\nhello\n\n\u2014 here AAAAAAA=\n",
    "a letter beyond ASCII": f"{HEAD}\u00e9{HASH}{TAIL}",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_no_receipt_is_read_from(case: str) -> None:
    with pytest.raises(MalformedReceipt):
        receipt.parse(MALFORMED[case].encode())


def test_a_receipt_has_limits_of_hashes_extra_data_and_bytes() -> None:
    largest = Receipt(
        index=0,
        hashes=(bytes(32),) * HASHES_MAX,
        checkpoint=CHECKPOINT,
        extra=bytes(EXTRA_BYTES_MAX),
    )
    assert receipt.parse(largest.to_bytes()) == largest
    with pytest.raises(MalformedReceipt, match="deep"):
        receipt.parse(f"{HEAD}{HASH * (HASHES_MAX + 1)}{TAIL}".encode())
    extra = base64_of(bytes(EXTRA_BYTES_MAX + 1))
    with pytest.raises(MalformedReceipt, match="extra data"):
        receipt.parse(f"{VERSION}extra {extra}\nindex 0\n{TAIL}".encode())
    with pytest.raises(MalformedReceipt, match="at most"):
        receipt.parse(bytes(RECEIPT_BYTES_MAX + 1))


@given(
    some.integers(0, 2**63 - 1),
    some.lists(some.binary(min_size=32, max_size=32), max_size=6),
    some.binary(max_size=80),
)
def test_what_is_written_is_read(index: int, hashes: list[bytes], extra: bytes) -> None:
    written = Receipt(index=index, hashes=tuple(hashes), checkpoint=CHECKPOINT, extra=extra)
    assert receipt.parse(written.to_bytes()) == written


@given(some.integers(0, len(DATA)), some.integers(0, len(DATA)), some.binary(max_size=8))
def test_what_is_read_is_written_back(start: int, end: int, between: bytes) -> None:
    data = DATA[:start] + between + DATA[end:]
    try:
        found = receipt.parse(data)
    except MalformedReceipt:
        return
    assert found.to_bytes() == data
