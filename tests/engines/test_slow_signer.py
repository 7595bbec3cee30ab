"""A signer that answers later stops nobody: the engine goes on and takes answers as they come."""

from collections.abc import Callable

from consensus.messages import VoteKind
from engines.builtin import messages
from engines.builtin.messages import Blocks, VoteMessage
from engines.builtin.signer import Refused, Signed, Signer, SignRequest
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
    said,
    tell,
    vote,
)
from trials.simulation.signatures import STAND_IN, seed_of

Answer = Callable[[bytes | Refused], None]


class SlowSigner:
    """A signer elsewhere: it keeps what it was asked until the test lets it answer."""

    def __init__(self, signer: Signer) -> None:
        self.asked: list[tuple[SignRequest, Answer]] = []
        self.is_closed = False
        self._signer = signer

    @property
    def watermark_height(self) -> int:
        return self._signer.watermark_height

    @watermark_height.setter
    def watermark_height(self, height: int) -> None:
        self._signer.watermark_height = height

    @property
    def public_key(self) -> bytes:
        return self._signer.public_key

    @property
    def last(self) -> Signed | None:
        return self._signer.last

    @property
    def is_silent(self) -> bool:
        return self._signer.is_silent

    def ask(self, request: SignRequest, answer: Answer) -> None:
        self.asked.append((request, answer))

    def answer_all(self) -> int:
        """Sign whatever was asked so far; return how much that was."""
        asked, self.asked = self.asked, []
        for request, answer in asked:
            answer(self._signer.sign(request))
        return len(asked)

    def end_silence(self, watermark_height: int) -> None:
        self._signer.end_silence(watermark_height)

    def close(self) -> None:
        self.is_closed = True


def slow_ports() -> tuple[Ports, SlowSigner]:
    ports = Ports()
    return ports, SlowSigner(Signer(seed_of(OWN, "consensus"), ports.slots, sign=STAND_IN.sign))


def test_votes_come_when_the_signer_has_answered_and_the_host_goes_on_meanwhile() -> None:
    ports, signer = slow_ports()
    host = ports.host(signer=signer)
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    assert ports.votes() == []
    for who in (FIRST, SECOND):  # a polka needs three of four: the own prevote is under way
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PREVOTE, (block,))))
    assert [request.step for request, _ in signer.asked] == [1]
    assert signer.answer_all() == 1
    assert said(ports.votes()) == {(0, "prevote"): {(block,)}}
    assert [request.step for request, _ in signer.asked] == [2], "the polka asks for a precommit"
    signer.answer_all()
    for who in (FIRST, SECOND):
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PRECOMMIT, (block,))))
    assert [seen.height for seen in ports.commits] == [1]


def test_the_others_decide_without_a_signer_that_never_answers() -> None:
    ports, signer = slow_ports()
    host = ports.host(signer=signer)
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for kind in VoteKind:
        for who in (FIRST, SECOND, FOURTH):
            tell(host, who, VoteMessage(vote=vote(who, kind, (block,))))
    assert [seen.height for seen in ports.commits] == [1]
    assert ports.votes() == []


def test_an_answer_of_a_height_that_is_decided_is_dropped() -> None:
    ports, signer = slow_ports()
    host = ports.host(signer=signer)
    header, body = first_block(FIRST)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    tell(host, SECOND, Blocks(blocks=tuple(decided_chain(1))))
    assert host.height == 2
    assert signer.answer_all() == 1
    assert ports.votes() == [], "it is durable with the signer, and nobody needs it any more"


def test_a_refusal_is_silence_for_that_step() -> None:
    ports, signer = slow_ports()
    host = ports.host(signer=signer)
    header, body = first_block(FIRST)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for _, answer in signer.asked:
        answer(Refused(reason="somebody else signed there"))
    assert ports.votes() == []
    assert not host.key.stopped


def test_an_own_proposal_is_sent_when_the_signer_has_answered() -> None:
    ports, signer = slow_ports()
    host = ports.host(signer=signer)
    for who in (FIRST, SECOND, FOURTH):  # in round 2 it is this node's turn
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PRECOMMIT, (), round_=1)))
    ports.pass_time(3_000)
    steps = [request.step for request, _ in signer.asked]
    while 0 not in steps:
        signer.answer_all()
        ports.pass_time(1_000)
        steps = [request.step for request, _ in signer.asked]
    before = len([1 for _, payload_channel, _ in ports.sent if payload_channel.name == "BLOCK"])
    signer.answer_all()
    after = len([1 for _, payload_channel, _ in ports.sent if payload_channel.name == "BLOCK"])
    assert after > before


def test_the_signer_is_closed_with_the_engine() -> None:
    ports, signer = slow_ports()
    ports.host(signer=signer).close()
    assert signer.is_closed
