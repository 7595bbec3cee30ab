"""Each bound of consensus is the number that its specification gives, in these words."""

from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec
import pytest

from consensus import certificate, messages, timeouts, validators, votebook
from consensus.certificate import Certificate
from consensus.messages import NIL, VOTE_BYTES_MAX, Proposal, Vote, VoteKind
from ledger.encoding.codec import NotCanonical, decode, encode
from tests.consensus.harness import key_of, signed_vote

SPEC = (Path(__file__).resolve().parents[2] / "docs" / "spec" / "consensus.md").read_text("utf-8")

BOUNDS = [
    ("rounds 0 to 2^31 − 1", messages.ROUND_MAX, 2**31 - 1),
    ("A header has at most 1,024 bytes", messages.HEADER_BYTES_MAX, 1_024),
    ("a proposal at most 48 chunk hashes", messages.CHUNKS_MAX, 48),
    ("block `[]` or `[id]`, validator key, signature | 4,096", messages.VOTE_BYTES_MAX, 4_096),
    ("header, chunk hashes, signature | 4,096 bytes", messages.PROPOSAL_BYTES_MAX, 4_096),
    ("`[[key, signature]…]` | 16,384 bytes", certificate.CERTIFICATE_BYTES_MAX, 16_384),
    ("1 to 128 distinct keys", validators.VALIDATORS_MAX, 128),
    ("together less than 2^53", validators.POWER_TOTAL_MAX, 2**53 - 1),
    ("up to the current one + 16 are all kept", votebook.WINDOW_MAX, 16),
    ("lasts min(base + r · increment, 30,000)", timeouts.TIMEOUT_MS_MAX, 30_000),
]


@pytest.mark.parametrize(("words", "bound", "number"), BOUNDS)
def test_a_bound_is_the_number_of_the_specification(words: str, bound: int, number: int) -> None:
    assert words in SPEC
    assert bound == number


@pytest.mark.parametrize(
    ("round", "is_one"), [(-1, False), (0, True), (2**31 - 1, True), (2**31, False)]
)
def test_a_round_is_one_of_those_that_there_are(round: int, is_one: bool) -> None:
    vote = signed_vote(key_of(0), VoteKind.PREVOTE, 1, round, NIL)
    try:
        decoded = decode(Vote, encode(vote), VOTE_BYTES_MAX)
    except NotCanonical:
        assert not is_one
    else:
        assert decoded == vote
        assert is_one


def lengths(record: type[msgspec.Struct], field: str) -> msgspec.Meta:
    """Return what bounds the length of a field."""
    declared = get_type_hints(record, include_extras=True)[field]
    assert get_origin(declared) is Annotated
    return next(part for part in get_args(declared) if isinstance(part, msgspec.Meta))


@pytest.mark.parametrize("record", [Vote, Proposal])
def test_a_key_has_32_bytes(record: type[msgspec.Struct]) -> None:
    bounds = lengths(record, "validator")
    assert (bounds.min_length, bounds.max_length) == (32, 32)


@pytest.mark.parametrize("record", [Proposal, Certificate])
def test_a_block_id_has_32_bytes(record: type[msgspec.Struct]) -> None:
    bounds = lengths(record, "block_id")
    assert (bounds.min_length, bounds.max_length) == (32, 32)
