"""What evidence must show by itself, whatever its two messages are signed with."""

import msgspec
import pytest

from consensus.evidence import (
    EVIDENCE_BYTES_MAX,
    Evidence,
    EvidenceInvalid,
    Said,
    evidence_of,
    verify_evidence,
)
from consensus.messages import ROUND_MAX, BlockId
from ledger.encoding.codec import encode
from tests.consensus.harness import LOG_ID, key_of, proposal_of

V, W = BlockId(b"v" * 32), BlockId(b"w" * 32)


def two_stories() -> Evidence:
    first, second = (proposal_of(key_of(1), 4, 0, block_id) for block_id in (V, W))
    return evidence_of(first, second)


def refusal(evidence: Evidence) -> str:
    """Return why evidence is refused, whoever signed what; empty if it holds."""
    try:
        verify_evidence(evidence, LOG_ID, 1, lambda *_: True)
    except EvidenceInvalid as invalid:
        return str(invalid)
    return ""


def test_two_proposals_of_one_key_are_evidence() -> None:
    assert refusal(two_stories()) == ""


def test_a_proposal_for_nothing_is_none_even_if_it_is_signed() -> None:
    first, second = two_stories().said
    nothing = msgspec.structs.replace(first, block_id=())
    evidence = msgspec.structs.replace(two_stories(), said=(nothing, second))
    assert refusal(evidence) == "a proposal names a block"


def test_a_vote_has_no_valid_round_even_if_it_is_signed() -> None:
    first, second = two_stories().said
    odd = msgspec.structs.replace(second, valid_round=(0,))
    evidence = msgspec.structs.replace(two_stories(), kind="prevote", said=(first, odd))
    assert refusal(evidence) == "a vote has no valid round"


@pytest.mark.parametrize("places", [(0, 0), (1, 0)])
def test_the_two_are_different_and_ascend_even_if_they_are_signed(places: tuple[int, int]) -> None:
    said = two_stories().said
    evidence = msgspec.structs.replace(two_stories(), said=(said[places[0]], said[places[1]]))
    assert "not two different things" in refusal(evidence)


def test_the_longest_evidence_has_its_length() -> None:
    longest = Evidence(
        validator=key_of(0),
        height=2**53 - 1,
        kind="precommit",
        round=ROUND_MAX,
        said=tuple(  # type: ignore[arg-type]
            Said(block_id=(block_id,), valid_round=(ROUND_MAX - 1,), signature=bytes(64))
            for block_id in (V, W)
        ),
    )
    assert len(encode(longest)) <= EVIDENCE_BYTES_MAX
