"""Certificates and the bytes that votes and proposals sign."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.certificate import (
    CERTIFICATE_BYTES_MAX,
    Certificate,
    CertificateInvalid,
    verify_certificate,
)
from consensus.inputs import (
    Input,
    ProposalReceived,
    TimeoutExpired,
    TimeoutKind,
    VoteReceived,
    WorkArrived,
)
from consensus.messages import (
    CHUNKS_MAX,
    HEADER_BYTES_MAX,
    NIL,
    PROPOSAL_BYTES_MAX,
    VOTE_BYTES_MAX,
    BlockId,
    Proposal,
    ValidatorKey,
    Vote,
    VoteKind,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from consensus.validators import VALIDATORS_MAX, Validator, ValidatorSet
from ledger.encoding import crypto
from ledger.encoding.codec import NotCanonical, decode, encode
from tests.consensus.harness import key_of, proposal_of, signed_vote

V = BlockId(b"v" * 32)
LOG_ID = bytes(32)
SEEDS = sorted((bytes([n]) * 32 for n in range(1, 5)), key=crypto.public_key)
FOUR_KEYS = [ValidatorKey(crypto.public_key(seed)) for seed in SEEDS]


def certificate(signers: Sequence[int], *, bad: frozenset[int] = frozenset()) -> Certificate:
    pairs = []
    for who in signers:
        kind = VoteKind.PREVOTE if who in bad else VoteKind.PRECOMMIT
        message = vote_sign_bytes(LOG_ID, 1, kind, 7, 2, (V,))
        pairs.append((FOUR_KEYS[who], crypto.sign(SEEDS[who], message)))
    return Certificate(height=7, round=2, block_id=V, signatures=tuple(pairs))


def check(candidate: Certificate, *, log_id: bytes = LOG_ID, epoch: int = 1) -> None:
    members = tuple(Validator(key=key, power=1) for key in FOUR_KEYS)
    verify_certificate(candidate, ValidatorSet(validators=members), log_id, epoch, crypto.verify)


@given(signers=st.sets(st.integers(0, 3)).map(sorted))
def test_a_certificate_needs_three_of_four(signers: list[int]) -> None:
    if len(signers) >= 3:
        check(certificate(signers))
    else:
        with pytest.raises(CertificateInvalid, match="not a quorum"):
            check(certificate(signers))


def test_a_bad_signature_beyond_the_quorum_spoils_it() -> None:
    with pytest.raises(CertificateInvalid, match="bad signature"):
        check(certificate([0, 1, 2, 3], bad=frozenset({3})))


@pytest.mark.parametrize("signers", [[0, 0, 1], [0, 2, 1], [0, 1, 2, 2]])
def test_keys_are_distinct_and_ascending(signers: list[int]) -> None:
    with pytest.raises(CertificateInvalid, match="ascending"):
        check(certificate(signers))


def test_a_stranger_spoils_it() -> None:
    pairs = sorted((*certificate([0, 1, 2]).signatures, (key_of(0), bytes(64))))
    strange = Certificate(height=7, round=2, block_id=V, signatures=tuple(pairs))
    with pytest.raises(CertificateInvalid, match="outside"):
        check(strange)


def test_a_certificate_is_bound_to_log_epoch_height_round_and_block() -> None:
    good = certificate([0, 1, 2])
    check(good)
    others = [
        Certificate(height=8, round=2, block_id=V, signatures=good.signatures),
        Certificate(height=7, round=3, block_id=V, signatures=good.signatures),
        Certificate(height=7, round=2, block_id=BlockId(bytes(32)), signatures=good.signatures),
    ]
    for other in others:
        with pytest.raises(CertificateInvalid, match="bad signature"):
            check(other)
    with pytest.raises(CertificateInvalid, match="bad signature"):
        check(good, log_id=b"x" * 32)
    with pytest.raises(CertificateInvalid, match="bad signature"):
        check(good, epoch=2)


def test_the_signed_bytes_of_a_vote_are_as_the_specification_shows_them() -> None:
    expected = (
        b"\x12tallystick/vote/v1"
        + (85).to_bytes(4, "big")
        + b"\x96"
        + b"\xc4\x20" + b"L" * 32
        + b"\x01"
        + b"\xa9precommit"
        + b"\xcd\x01\x00"
        + b"\x02"
        + b"\x91\xc4\x20" + V
    )  # fmt: skip
    signed = vote_sign_bytes(b"L" * 32, 1, VoteKind.PRECOMMIT, 256, 2, (V,))
    assert signed == expected


def test_the_signed_bytes_of_a_proposal_are_as_the_specification_shows_them() -> None:
    expected = (
        b"\x16tallystick/proposal/v1"
        + (74).to_bytes(4, "big")
        + b"\x96"
        + b"\xc4\x20" + b"L" * 32
        + b"\x01"
        + b"\x07"
        + b"\x02"
        + b"\x91\x00"
        + b"\xc4\x20" + V
    )  # fmt: skip
    assert proposal_sign_bytes(b"L" * 32, 1, 7, 2, (0,), V) == expected


def test_a_vote_for_nil_signs_an_empty_array() -> None:
    assert vote_sign_bytes(LOG_ID, 0, VoteKind.PREVOTE, 1, 0, NIL).endswith(b"\x00\x90")


def largest_proposal(chunks: int = CHUNKS_MAX, header: int = HEADER_BYTES_MAX) -> Proposal:
    return Proposal(
        height=2**53 - 1,
        round=2**31 - 1,
        valid_round=(2**31 - 2,),
        block_id=V,
        validator=key_of(0),
        header=bytes(header),
        chunk_hashes=(bytes(32),) * chunks,
        signature=bytes(64),
    )


def test_the_largest_messages_fit_their_limits() -> None:
    vote = signed_vote(key_of(0), VoteKind.PRECOMMIT, 2**53 - 1, 2**31 - 1, (V,))
    assert decode(Vote, encode(vote), VOTE_BYTES_MAX) == vote
    proposal = largest_proposal()
    assert decode(Proposal, encode(proposal), PROPOSAL_BYTES_MAX) == proposal
    largest = Certificate(
        height=2**53 - 1,
        round=2**31 - 1,
        block_id=V,
        signatures=((key_of(0), bytes(64)),) * VALIDATORS_MAX,
    )
    assert decode(Certificate, encode(largest), CERTIFICATE_BYTES_MAX) == largest


@pytest.mark.parametrize(
    "proposal",
    [largest_proposal(chunks=CHUNKS_MAX + 1), largest_proposal(header=HEADER_BYTES_MAX + 1)],
)
def test_a_proposal_beyond_a_limit_is_refused(proposal: Proposal) -> None:
    with pytest.raises(NotCanonical):
        decode(Proposal, encode(proposal), 2 * PROPOSAL_BYTES_MAX)


def test_a_certificate_of_more_signatures_than_validators_is_refused() -> None:
    pairs = ((key_of(0), bytes(64)),) * (VALIDATORS_MAX + 1)
    longer = Certificate(height=7, round=2, block_id=V, signatures=pairs)
    with pytest.raises(NotCanonical):
        decode(Certificate, encode(longer), 2 * CERTIFICATE_BYTES_MAX)


@pytest.mark.parametrize(
    "logged",
    [
        WorkArrived(),
        ProposalReceived(proposal=proposal_of(key_of(0), 4, 0, V), valid=True, timely=False),
        VoteReceived(vote=signed_vote(key_of(1), VoteKind.PREVOTE, 4, 0, NIL)),
        TimeoutExpired(kind=TimeoutKind.PREVOTE, round=3),
    ],
)
def test_inputs_come_back_from_the_log_as_they_were(logged: Input) -> None:
    assert decode(Input, encode(logged), 2 * PROPOSAL_BYTES_MAX) == logged
