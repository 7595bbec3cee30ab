"""What two conflicting certificates prove, and what they do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.certificate import Certificate
from consensus.forks import ForkEvidence, fork_evidence
from consensus.messages import BlockId
from tests.consensus.harness import key_of, validator_set

V, W = BlockId(b"v" * 32), BlockId(b"w" * 32)
FOUR = validator_set((1, 1, 1, 1))
POWERS = st.lists(st.integers(1, 12), min_size=1, max_size=9).map(tuple)


def certificate(
    *signers: int, block_id: BlockId = V, round: int = 0, height: int = 4
) -> Certificate:
    signatures = tuple((key_of(index), bytes(64)) for index in sorted(signers))
    return Certificate(height=height, round=round, block_id=block_id, signatures=signatures)


def test_keys_in_two_certificates_of_one_round_are_proven() -> None:
    one, other = certificate(0, 1, 2), certificate(1, 2, 3, block_id=W)
    found = fork_evidence(one, other, FOUR)
    assert found == ForkEvidence(
        first=one, second=other, proven=(key_of(1), key_of(2)), suspects=()
    )
    assert found.named == found.proven


@pytest.mark.parametrize("later", [1, 3])
def test_keys_in_certificates_of_two_rounds_are_suspects_and_nobody_is_proven(later: int) -> None:
    early, late = certificate(0, 1, 2), certificate(1, 2, 3, block_id=W, round=later)
    expected = ForkEvidence(first=early, second=late, proven=(), suspects=(key_of(1), key_of(2)))
    assert fork_evidence(early, late, FOUR) == expected
    assert fork_evidence(late, early, FOUR) == expected, "the earlier round comes first"
    assert expected.named == expected.suspects


@pytest.mark.parametrize(
    "other",
    [
        certificate(1, 2, 3),
        certificate(1, 2, 3, round=2),
        certificate(1, 2, 3, block_id=W, height=5),
    ],
    ids=["other signers", "another round", "another height"],
)
def test_certificates_of_one_block_or_of_two_heights_agree(other: Certificate) -> None:
    assert fork_evidence(certificate(0, 1, 2), other, FOUR) is None


def test_less_than_a_quorum_is_our_mistake_and_accuses_nobody() -> None:
    with pytest.raises(AssertionError):
        fork_evidence(certificate(0, 1, 2), certificate(2, 3, block_id=W), FOUR)


@given(powers=POWERS, rounds=st.tuples(st.integers(0, 1), st.integers(0, 1)), data=st.data())
def test_the_named_keys_have_more_than_a_third_of_the_power(
    powers: tuple[int, ...], rounds: tuple[int, int], data: st.DataObject
) -> None:
    validators = validator_set(powers)

    def quorum(label: str) -> list[int]:
        order = data.draw(st.permutations(range(len(powers))), label=label)
        need = next(
            count
            for count in range(1, len(powers) + 1)
            if 3 * sum(powers[index] for index in order[:count]) > 2 * sum(powers)
        )
        return order[: data.draw(st.integers(need, len(powers)))]

    one = certificate(*quorum("one"), round=rounds[0])
    other = certificate(*quorum("other"), block_id=W, round=rounds[1])
    found = fork_evidence(one, other, validators)
    assert found is not None
    assert 3 * sum(validators.power_of(key) for key in found.named) > sum(powers)
    for key in found.named:
        assert key in dict(one.signatures) and key in dict(other.signatures)
    assert bool(found.proven) == (rounds[0] == rounds[1])
    assert not (found.proven and found.suspects)
