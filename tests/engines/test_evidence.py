"""Contradictions on their way from a liar's mouth to the log (N9), and forks (N6.14)."""

from dataclasses import dataclass

import msgspec
import pytest

from consensus.evidence import Evidence, Said, evidence_hash, evidence_of
from consensus.messages import BlockId, Vote, VoteKind
from engines.builtin import messages
from engines.builtin.block_check import ForkSeen
from engines.builtin.engine import BuiltinEngine
from engines.builtin.evidence_pool import EVIDENCE_AGE_MAX, EVIDENCE_MAX, LATE_HEIGHTS, EvidencePool
from engines.builtin.messages import Blocks, Body, DecidedBlock, EvidenceMessage, VoteMessage
from engines.builtin.p2p.frames import Channel, PeerFault
from ledger.blocks import BlockInput, Misbehaviour
from ledger.encoding import codec
from tests.engines.peers import (
    FIRST,
    FOURTH,
    OWN,
    SECOND,
    Ports,
    certify,
    decided_chain,
    first_block,
    make_block,
    offer,
    opening,
    proposal,
    tell,
    vote,
)
from trials.simulation.society import consensus_key

ONE, OTHER = BlockId(b"1" * 32), BlockId(b"2" * 32)


def lie(
    who: str = FOURTH, *, kind: VoteKind = VoteKind.PREVOTE, round_: int = 0, height: int = 1
) -> tuple[Vote, Vote]:
    """Return two votes that contradict each other."""
    first = vote(who, kind, (ONE,), round_=round_, height=height)
    return first, vote(who, kind, (OTHER,), round_=round_, height=height)


def told(ports: Ports) -> list[Evidence]:
    """Return the evidence that a host told its peers."""
    decoded = [
        codec.decode(messages.OnVoteChannel, payload, len(payload))
        for _, channel, payload in ports.sent
        if channel is Channel.VOTE
    ]
    return [message.evidence for message in decoded if isinstance(message, EvidenceMessage)]


def waiting(host: BuiltinEngine) -> tuple[Evidence, ...]:
    """Return what the host would put into a block."""
    return host.evidence.waiting(lambda misbehaviour: True)


def test_two_votes_become_evidence_that_everybody_is_told() -> None:
    ports = Ports()
    host = ports.host()
    first, second = lie()
    tell(host, FOURTH, VoteMessage(vote=first))
    tell(host, FOURTH, VoteMessage(vote=second))
    assert waiting(host) == (evidence_of(first, second),) == (evidence_of(second, first),)
    assert told(ports) == [evidence_of(first, second)]


def test_two_proposals_of_one_round_become_evidence() -> None:
    ports = Ports()
    host = ports.host()
    for time_ms in (0, 1):
        header, body = first_block(FIRST, ports.now_ms + time_ms)
        offer(host, FIRST, proposal(FIRST, header, body), body)
    (evidence,) = waiting(host)
    assert (evidence.kind, evidence.validator) == ("proposal", consensus_key(FIRST))


def test_evidence_is_passed_on_once() -> None:
    ports = Ports()
    host = ports.host()
    evidence = evidence_of(*lie())
    tell(host, SECOND, EvidenceMessage(evidence=evidence))
    tell(host, FIRST, EvidenceMessage(evidence=evidence))
    assert told(ports) == [evidence]
    ports.sent.clear()
    host.on_peer_up(FIRST)
    assert told(ports) == [evidence], "a new link hears what waits"


@dataclass(frozen=True)
class Forgery:
    name: str
    evidence: Evidence


def forgeries() -> list[Forgery]:
    """Return evidence that proves nothing."""
    good = evidence_of(*lie())
    one, other = good.said
    bad = msgspec.structs.replace(other, signature=bytes(64))
    return [
        Forgery("a bad signature", msgspec.structs.replace(good, said=(one, bad))),
        Forgery("the same thing twice", msgspec.structs.replace(good, said=(one, one))),
        Forgery("the wrong order", msgspec.structs.replace(good, said=(other, one))),
        Forgery("another round", msgspec.structs.replace(good, round=1)),
        Forgery("another kind", msgspec.structs.replace(good, kind="precommit")),
        Forgery("a valid round", msgspec.structs.replace(good, said=(one, _round(other)))),
        Forgery("a proposal for nil", msgspec.structs.replace(good, said=_nil(one, other))),
        Forgery("somebody else", msgspec.structs.replace(good, validator=consensus_key(FIRST))),
    ]


def _round(said: Said) -> Said:
    return msgspec.structs.replace(said, valid_round=(0,))


def _nil(one: Said, other: Said) -> tuple[Said, Said]:
    return msgspec.structs.replace(one, block_id=()), other


@pytest.mark.parametrize("forgery", forgeries(), ids=lambda forgery: forgery.name)
def test_evidence_that_proves_nothing_is_its_senders_fault(forgery: Forgery) -> None:
    evidence = forgery.evidence
    if forgery.name == "a proposal for nil":
        evidence = msgspec.structs.replace(evidence, kind="proposal")
    ports = Ports()
    host = ports.host()
    with pytest.raises(PeerFault, match="evidence of misbehaviour"):
        tell(host, SECOND, EvidenceMessage(evidence=evidence))
    assert (waiting(host), told(ports)) == ((), [])


def test_evidence_of_strangers_and_of_other_times_is_not_even_looked_at() -> None:
    ports = Ports()
    host = ports.host()
    stranger = msgspec.structs.replace(evidence_of(*lie()), validator=bytes(32))
    future = evidence_of(*lie(height=2))
    for evidence in (stranger, future):
        tell(host, SECOND, EvidenceMessage(evidence=evidence))
    assert (waiting(host), told(ports)) == ((), [])


def test_evidence_against_the_own_key_ends_this_nodes_voting() -> None:
    ports = Ports()
    host = ports.host()
    tell(host, SECOND, EvidenceMessage(evidence=evidence_of(*lie(OWN))))
    assert "a second node?" in host.key.stopped


def decide(host: BuiltinEngine, ports: Ports, *evidence: Evidence) -> tuple[int, ...]:
    """Propose a first block with this evidence, let all precommit it; return heights committed."""
    header, body = block_with(ports, *evidence)
    block = messages.block_id(header)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for kind in VoteKind:
        for who in (FIRST, SECOND):
            tell(host, who, VoteMessage(vote=vote(who, kind, (block,))))
    return tuple(event.height for event in ports.commits)


def block_with(ports: Ports, *evidence: Evidence) -> tuple[messages.Header, bytes]:
    """Return a first block that carries evidence, its record hash as execution gives it."""
    host = Ports().host()
    ledger = host._ledger
    execution = ledger.execute(
        messages_block(ports.now_ms, opening(), tuple(map(messages.misbehaviour_of, evidence)))
    )
    body = codec.encode(Body(transactions=opening(), evidence=evidence, previous=()))
    plain, _ = first_block(FIRST)
    header = msgspec.structs.replace(
        plain,
        record_hash=execution.head.record_hash,
        body_hash=messages.body_hash(messages.chunk_hashes(messages.chunks_of(body))),
    )
    return header, body


def messages_block(
    time_ms: int, transactions: tuple[bytes, ...], found: tuple[Misbehaviour, ...]
) -> BlockInput:
    return BlockInput(height=1, time_ms=time_ms, transactions=transactions, misbehaviours=found)


def test_proven_misbehaviour_is_on_the_log_and_a_peer_gets_the_same_block_again() -> None:
    ports = Ports()
    host = ports.host()
    evidence = evidence_of(*lie())
    tell(host, SECOND, EvidenceMessage(evidence=evidence))
    assert decide(host, ports, evidence) == (1,)
    misbehaviour = messages.misbehaviour_of(evidence)
    assert misbehaviour.evidence == evidence_hash(evidence)
    assert not host._ledger.may_record(misbehaviour)
    assert host.evidence.waiting(host._ledger.may_record) == ()
    ports.sent.clear()
    tell(host, SECOND, EvidenceMessage(evidence=evidence))
    assert told(ports) == [], "what the log says is no news"
    tell(host, SECOND, messages.Ask(from_height=1))
    (answer,) = [payload for _, channel, payload in ports.sent if channel is Channel.SYNC]
    (block,) = codec.decode(Blocks, answer, len(answer)).blocks
    assert messages.decode_body(block.body).evidence == (evidence,)


@pytest.mark.parametrize("forgery", forgeries(), ids=lambda forgery: forgery.name)
def test_a_block_with_evidence_that_proves_nothing_is_not_voted_for(forgery: Forgery) -> None:
    ports = Ports()
    host = ports.host()
    header, body = block_with(ports, forgery.evidence)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    (own,) = ports.votes()
    assert own.block_id == ()


def test_a_late_vote_that_contradicts_a_timely_one_is_noticed() -> None:
    ports = Ports()
    host = ports.host()
    tell(host, FOURTH, VoteMessage(vote=lie()[0]))
    assert decide(host, ports) == (1,)
    assert waiting(host) == ()
    late = lie()[1]
    forged = msgspec.structs.replace(late, signature=bytes(64))
    with pytest.raises(PeerFault):
        tell(host, FOURTH, VoteMessage(vote=forged))
    tell(host, FOURTH, VoteMessage(vote=late))
    (evidence,) = waiting(host)
    assert (evidence.height, evidence.validator) == (1, consensus_key(FOURTH))


# --- limits --------------------------------------------------------------------------------------


def test_evidence_and_votes_that_wait_are_bounded() -> None:
    known = EvidencePool()
    for height in range(EVIDENCE_MAX):
        assert known.learn(evidence_of(*lie(height=height + 1)))
    assert not known.learn(evidence_of(*lie(height=EVIDENCE_MAX + 1)))
    assert len(known.waiting(lambda misbehaviour: True)) == 64
    known.decided(EVIDENCE_AGE_MAX + 9, {}, lambda misbehaviour: True)
    heights = [evidence.height for evidence in known.waiting(lambda misbehaviour: True)]
    assert heights[0] == 11, "what the next block could not carry is forgotten"


@pytest.mark.parametrize(("later", "noticed"), [(LATE_HEIGHTS - 1, True), (LATE_HEIGHTS, False)])
def test_votes_of_the_last_heights_are_remembered(later: int, noticed: bool) -> None:
    known = EvidencePool()
    first, second = lie()
    place = (first.validator, first.kind, first.round)
    known.decided(1, {place: first}, lambda misbehaviour: True)
    for height in range(2, 2 + later):
        known.decided(height, {}, lambda misbehaviour: True)
    assert (known.contradicted_by(second) is not None) is noticed
    assert known.contradicted_by(first) is None


# --- forks ---------------------------------------------------------------------------------------


def test_a_certified_block_of_another_branch_stops_the_node_and_names_the_guilty() -> None:
    ports = Ports()
    host = ports.host()
    tell(host, FIRST, Blocks(blocks=tuple(decided_chain(1))))
    assert host.height == 2
    other_header, _ = first_block(SECOND, ports.now_ms + 7)
    certificate = certify(other_header, signers=(FIRST, SECOND, FOURTH))
    branch = messages.block_id(other_header)
    header, body, _ = make_block(
        host._ledger, FIRST, parent=branch, previous=(certificate,), time_ms=ports.now_ms + 9_000
    )
    proposer = next(
        who
        for who in (FIRST, SECOND, FOURTH)
        if consensus_key(who) == host.heights.now.validators.proposer(2, 0)
    )
    header = msgspec.structs.replace(header, proposer=consensus_key(proposer))
    with pytest.raises(ForkSeen, match="proven guilty") as seen:
        offer(host, proposer, proposal(proposer, header, body), body)
    assert set(seen.value.fork.named) == {consensus_key(who) for who in (FIRST, SECOND, FOURTH)}


def test_a_synced_block_of_another_branch_shows_the_fork_whoever_signed_the_block_itself() -> None:
    ports = Ports()
    host = ports.host()
    tell(host, FIRST, Blocks(blocks=tuple(decided_chain(1))))
    other_header, _ = first_block(SECOND, ports.now_ms + 7)
    header, body, _ = make_block(
        host._ledger,
        FIRST,
        parent=messages.block_id(other_header),
        previous=(certify(other_header, signers=(FIRST, SECOND, FOURTH)),),
        time_ms=ports.now_ms + 9_000,
    )
    # As if the others had been suspended there: no quorum of the set that decides here.
    block = DecidedBlock(header=header, body=body, certificate=certify(header, signers=(FIRST,)))
    with pytest.raises(ForkSeen, match="proven guilty"):
        tell(host, FIRST, Blocks(blocks=(block,)))


def test_a_forged_branch_stops_nobody() -> None:
    ports = Ports()
    host = ports.host()
    tell(host, FIRST, Blocks(blocks=tuple(decided_chain(1))))
    other_header, _ = first_block(SECOND, ports.now_ms + 7)
    too_few = certify(other_header, signers=(FIRST, SECOND))
    header, body, _ = make_block(
        host._ledger,
        FIRST,
        parent=messages.block_id(other_header),
        previous=(too_few,),
        time_ms=ports.now_ms + 9_000,
    )
    by_key = {consensus_key(who): who for who in (FIRST, SECOND, FOURTH, OWN)}
    proposer = by_key[host.heights.now.validators.proposer(2, 0)]
    header = msgspec.structs.replace(header, proposer=consensus_key(proposer))
    if proposer != OWN:
        offer(host, proposer, proposal(proposer, header, body), body)
    assert host.height == 2
