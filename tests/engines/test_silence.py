"""A key whose record was lost (N10)."""

import pytest

from consensus.messages import BlockId, VoteKind
from engines.builtin import messages
from engines.builtin.messages import Blocks, Here
from engines.builtin.signer import UNKNOWN_HEIGHT, format_slots
from engines.builtin.silence import Silence
from tests.engines.peers import (
    FIRST,
    FOURTH,
    OWN,
    SECOND,
    Ports,
    decided_chain,
    first_block,
    offer,
    proposal,
    tell,
    vote,
)
from trials.simulation.signatures import seed_of

EQUAL = {"a": 1, "b": 1, "c": 1, "own": 1}


def wiped() -> Ports:
    """Return the disks of a validator that has nothing left but its key."""
    ports = Ports()
    format_slots(seed_of(OWN, "consensus"), ports.slots, watermark_height=UNKNOWN_HEIGHT)
    return ports


@pytest.mark.parametrize(
    ("powers", "heard", "expected"),
    [
        (EQUAL, {"a": 7, "b": 7}, None),
        (EQUAL, {"a": 7, "b": 7, "c": 7}, 8),
        (EQUAL, {"a": 7, "b": 3, "c": 1}, 8),
        (EQUAL, {"a": 7, "b": 7, "c": 8}, None),
        ({"a": 5, "b": 1, "own": 1}, {"a": 7}, 8),
        ({"a": 4, "b": 1, "own": 1}, {"a": 7}, None),
        ({"a": 1, "own": 1}, {"a": 7}, 8),
        ({"a": 1, "b": 1, "c": 1, "own": 2}, {"a": 7, "b": 7, "c": 7}, None),
        ({"a": 1, "b": 1, "own": 1}, {"a": 7}, None),
        ({"a": 1, "b": 1, "own": 1}, {"a": 7, "b": 7}, 8),
        ({"own": 1}, {}, None),
        (EQUAL, {"a": 7, "b": 7, "stranger": 7}, None),
    ],
)
def test_enough_others_must_be_at_this_height_or_below(
    powers: dict[str, int], heard: dict[str, int], expected: int | None
) -> None:
    silence = Silence()
    for party, height in heard.items():
        silence.heard(party, height)
    assert silence.may_have_signed("own", 7, powers) == expected


def test_a_peer_that_goes_back_is_not_believed() -> None:
    silence = Silence()
    for height in (9, 7):
        for party in ("a", "b", "c"):
            silence.heard(party, height)
    assert silence.may_have_signed("own", 7, EQUAL) is None


def test_a_wiped_validator_follows_and_signs_nothing_where_it_may_have_signed() -> None:
    ports = wiped()
    host = ports.host()
    header, body = first_block(FIRST)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    ports.pass_time(60_000)
    assert ports.votes() == []
    for peer in (FIRST, SECOND, FOURTH):
        tell(host, peer, Here(height=3, round=0))
    assert ports.votes() == []
    tell(host, FIRST, Blocks(blocks=tuple(decided_chain(2))))
    assert host.height == 3
    ports.pass_time(60_000)
    assert ports.votes() == [], "it may have decided height 3 and signed at 4"
    assert host.key._signer is not None
    assert host.key._signer.watermark_height == 4


def test_a_wiped_validator_signs_again_above_what_it_may_have_signed() -> None:
    ports = wiped()
    host = ports.host()
    for peer in (FIRST, SECOND, FOURTH):
        tell(host, peer, Here(height=1, round=0))
    tell(host, FIRST, Blocks(blocks=tuple(decided_chain(2))))
    block = BlockId(b"3" * 32)
    for who in (FIRST, SECOND, FOURTH):
        tell(host, who, messages.VoteMessage(vote=vote(who, VoteKind.PREVOTE, (block,), height=3)))
    ports.pass_time(60_000)
    assert {one.height for one in ports.votes()} == {3}


def test_a_restart_does_not_end_the_silence() -> None:
    ports = wiped()
    ports.host()
    ports.crash()
    host = ports.host()
    assert host.key._signer is not None
    assert host.key._signer.is_silent
