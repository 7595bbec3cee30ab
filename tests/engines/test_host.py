"""The host alone: one real host on simulated ports, and peers played by the test."""

from collections.abc import Callable
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from consensus.certificate import Certificate
from consensus.messages import (
    CHUNKS_MAX,
    BlockId,
    Vote,
    VoteKind,
)
from engines.builtin import messages
from engines.builtin.block_check import BlockCheck
from engines.builtin.engine import BuiltinEngine
from engines.builtin.height import EngineSwitched
from engines.builtin.messages import (
    Ask,
    Blocks,
    Chunk,
    DecidedBlock,
    Header,
    Here,
    ProposalMessage,
    VoteMessage,
)
from engines.builtin.p2p.frames import Channel, PeerFault
from engines.builtin.proposed_blocks import BODIES_MAX
from engines.builtin.signer import PROPOSAL, SLOT_BYTES, Signer
from ledger.encoding import codec
from ledger.ledger import Ledger
from ledger.store.memory import MemoryStore
from ledger.transactions import parse
from tests.engines.peers import (
    FIRST,
    FOUNDATION,
    FOURTH,
    OWN,
    SECOND,
    START_MS,
    VALIDATORS,
    Ports,
    certify,
    decided_chain,
    first_block,
    make_block,
    offer,
    opening,
    proposal,
    said,
    tell,
    vote,
)
from trials.simulation.disk import Crash, SimulatedLogFile
from trials.simulation.signatures import STAND_IN, seed_of
from trials.simulation.society import consensus_key

HOSTILE_CASES = 1_500


# --- one height ----------------------------------------------------------------------------------


def test_a_block_with_a_quorum_of_precommits_becomes_durable() -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for kind in VoteKind:
        for who in (FIRST, SECOND):
            tell(host, who, VoteMessage(vote=vote(who, kind, (block,))))
    assert [event.height for event in ports.commits] == [1]
    assert said(ports.votes()) == {(0, "prevote"): {(block,)}, (0, "precommit"): {(block,)}}
    head = ports.store.head()
    assert head is not None
    assert head.record_hash == header.record_hash


@pytest.mark.parametrize("off_ms", [-2_001, 2_001])
def test_a_block_whose_time_is_off_gets_a_prevote_for_nil(off_ms: int) -> None:
    ports = Ports()
    header, body = first_block(FIRST, START_MS + off_ms)
    offer(ports.host(), FIRST, proposal(FIRST, header, body), body)
    assert said(ports.votes()) == {(0, "prevote"): {()}}


@pytest.mark.parametrize("off_ms", [-2_000, 2_000])
def test_a_block_whose_time_is_just_near_enough_gets_a_prevote(off_ms: int) -> None:
    ports = Ports()
    header, body = first_block(FIRST, START_MS + off_ms)
    offer(ports.host(), FIRST, proposal(FIRST, header, body), body)
    assert said(ports.votes()) == {(0, "prevote"): {(messages.block_id(header),)}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"record_hash": bytes(32)},
        {"parent": b"\1" * 32},
        {"log_id": bytes(32)},
        {"epoch": 1},
        {"height": 1, "time_ms": START_MS + 1},
    ],
    ids=lambda wrong: next(iter(wrong)) if len(wrong) == 1 else "another time's record",
)
def test_a_block_that_must_not_stand_gets_a_prevote_for_nil(wrong: dict[str, object]) -> None:
    ports = Ports()
    header, body = first_block(FIRST)
    bad = replace(header, **wrong)
    offer(ports.host(), FIRST, proposal(FIRST, bad, body), body)
    assert said(ports.votes()) == {(0, "prevote"): {()}}


def test_a_block_that_says_another_height_than_its_proposal_gets_a_prevote_for_nil() -> None:
    ports = Ports()
    header, body = first_block(FIRST)
    bad = replace(header, height=2)
    offer(ports.host(), FIRST, proposal(FIRST, bad, body, height=1), body)
    assert said(ports.votes()) == {(0, "prevote"): {()}}


@pytest.mark.parametrize("index", [1, 2, CHUNKS_MAX - 1])
def test_a_chunk_beyond_those_that_the_proposal_names_is_a_fault(index: int) -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    one = proposal(FIRST, header, body)
    assert len(one.chunk_hashes) == 1
    tell(host, FIRST, ProposalMessage(proposal=one))
    with pytest.raises(PeerFault, match="not the one that its proposal names"):
        tell(host, "a-liar", Chunk(height=1, block_id=one.block_id, index=index, data=body))
    assert ports.votes() == []
    tell(host, FIRST, Chunk(height=1, block_id=one.block_id, index=0, data=body))
    assert said(ports.votes()) == {(0, "prevote"): {(one.block_id,)}}


# --- the certificate that a block carries --------------------------------------------------------

ELSEWHERE = BlockId(b"\7" * 32)
FALSE_CERTIFICATES: dict[str, Callable[[Certificate], tuple[Certificate, ...]]] = {
    "none": lambda true: (),
    "of another block": lambda true: (replace(true, block_id=ELSEWHERE),),
    "of another height": lambda true: (replace(true, height=2),),
    "of another round": lambda true: (replace(true, round=1),),
    "signed by too few": lambda true: (replace(true, signatures=true.signatures[:2]),),
    "signed by one three times": lambda true: (replace(true, signatures=true.signatures[:1] * 3),),
    "with a bad signature": lambda true: (
        replace(true, signatures=(*true.signatures[:2], (true.signatures[2][0], bytes(64)))),
    ),
    "with a stranger's signature": lambda true: (
        replace(true, signatures=((bytes(32), bytes(64)), *true.signatures)),
    ),
}


def prevote_on_a_second_block(
    carry: Callable[[Header], tuple[Certificate, ...]],
) -> tuple[BlockId, set[tuple[BlockId, ...]]]:
    """Return the second block, with what it carries of the first, and what the host says of it."""
    ports = Ports()
    host = ports.host()
    (first,) = decided_chain(1)
    tell(host, FIRST, Blocks(blocks=(first,)))
    round_, proposer = others_turn(host)
    ports.now_ms = START_MS + 10_000
    header, body, _ = make_block(
        host._ledger, proposer, (), host.heights.parent, carry(first.header), ports.now_ms
    )
    for who in (FIRST, SECOND, FOURTH):  # takes the host to that round
        tell(
            host, who, VoteMessage(vote=vote(who, VoteKind.PRECOMMIT, (), round_=round_, height=2))
        )
    ports.sent.clear()
    offer(host, proposer, proposal(proposer, header, body, round_=round_), body)
    return messages.block_id(header), said(ports.votes())[round_, "prevote"]


@pytest.mark.parametrize("lie", FALSE_CERTIFICATES)
def test_a_block_that_carries_a_false_certificate_gets_a_prevote_for_nil(lie: str) -> None:
    _, prevoted = prevote_on_a_second_block(lambda header: FALSE_CERTIFICATES[lie](certify(header)))
    assert prevoted == {()}


@pytest.mark.parametrize("signers", [(FIRST, SECOND, FOURTH), (SECOND, OWN, FOURTH)])
def test_a_block_may_carry_any_certificate_of_its_parent_that_holds(
    signers: tuple[str, ...],
) -> None:
    block, prevoted = prevote_on_a_second_block(lambda header: (certify(header, signers),))
    assert prevoted == {(block,)}


def test_a_first_block_that_carries_a_certificate_gets_a_prevote_for_nil() -> None:
    ports = Ports()
    host = ports.host()
    true = Certificate(height=0, round=0, block_id=BlockId(messages.NO_BLOCK), signatures=())
    header, body, _ = make_block(host._ledger, FIRST, opening(), previous=(true,))
    offer(host, FIRST, proposal(FIRST, header, body), body)
    assert said(ports.votes()) == {(0, "prevote"): {()}}


def others_turn(host: BuiltinEngine) -> tuple[int, str]:
    """Return the first round of a host's height in which FIRST or SECOND proposes, and who."""
    by_key = {consensus_key(who): who for who in (FIRST, SECOND)}
    turns = [host.heights.now.validators.proposer(host.height, round_) for round_ in range(4)]
    return next((round_, by_key[key]) for round_, key in enumerate(turns) if key in by_key)


def test_a_block_offered_as_fresh_by_a_thief_is_a_fault_and_can_still_be_decided() -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    with pytest.raises(PeerFault, match="somebody else built"):
        offer(host, SECOND, proposal(SECOND, header, body, round_=1), body)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for who in (FIRST, SECOND, FOURTH):
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PRECOMMIT, (block,))))
    assert [event.height for event in ports.commits] == [1]
    assert host.key.stopped == ""


def test_a_proposer_of_many_blocks_fills_no_memory_and_hinders_nobody() -> None:
    ports = Ports()
    host = ports.host()
    ledger = Ledger(MemoryStore(), verify=STAND_IN.verify)
    ledger.begin(FOUNDATION.genesis)
    for number in range(2 * BODIES_MAX):
        header, body, _ = make_block(ledger, SECOND, time_ms=START_MS + number)
        offer(host, SECOND, proposal(SECOND, header, body, round_=1), body)
    assert len(host.heights.now.blocks._logged) <= 2
    assert len(host.heights.now.blocks._whole) <= BODIES_MAX + len(host.heights.now.blocks._logged)
    for number in range(2 * BODIES_MAX):
        header, body, _ = make_block(ledger, SECOND, time_ms=START_MS - 1 - number)
        tell(host, SECOND, ProposalMessage(proposal=proposal(SECOND, header, body, round_=1)))
    assert len(host.heights.now.blocks._assemblies) <= VALIDATORS * 4
    good, good_body = first_block(FIRST)
    offer(host, FIRST, proposal(FIRST, good, good_body), good_body)
    assert said(ports.votes())[0, "prevote"] == {(messages.block_id(good),)}


# --- restart -------------------------------------------------------------------------------------


def test_a_restarted_host_says_what_it_said_and_keeps_its_lock() -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for who in (FIRST, SECOND):
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PREVOTE, (block,))))
    before = said(ports.votes())
    assert before == {(0, "prevote"): {(block,)}, (0, "precommit"): {(block,)}}
    ports.crash()
    again = ports.host()
    assert again.heights.now.driver.locked == (block, 0)
    ports.pass_time(3_000)
    assert said(ports.votes()).items() <= before.items()
    other, other_body = first_block(SECOND)
    for who in (FIRST, FOURTH):
        tell(again, who, VoteMessage(vote=vote(who, VoteKind.PRECOMMIT, (), round_=1)))
    offer(again, SECOND, proposal(SECOND, other, other_body, round_=1), other_body)
    assert said(ports.votes())[1, "prevote"] == {()}, "it is locked on the first block"


def test_a_host_that_dies_at_any_step_never_contradicts_itself() -> None:
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    points = 0
    for steps in range(1, 200):
        ports = Ports()
        host = ports.host()
        ports.plan.arm(steps)
        spoken: list[Vote] = []
        died = False
        try:
            _play_height_one(host, header, body, block)
        except Crash:
            died = True
            spoken += ports.votes()
            ports.crash()
            ports.now_ms += 700  # another wall clock: a block built now is another block
            _play_height_one(ports.host(), header, body, block)
        spoken += ports.votes()
        for place, values in said(spoken).items():
            assert len(values) == 1, f"dying at step {steps}, it said {values} at {place}"
        assert [event.height for event in ports.commits] in ([1], [])
        assert ports.store.head() is not None
        if not died:
            break
        points += 1
    assert points >= 10, "every write, sync, send and commit was a point to die at"


def _play_height_one(host: BuiltinEngine, header: Header, body: bytes, block: BlockId) -> None:
    if host.height > 1:
        return
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for kind in VoteKind:
        for who in (FIRST, SECOND):
            if host.height == 1:
                tell(host, who, VoteMessage(vote=vote(who, kind, (block,))))


def voted_at_five() -> tuple[Ports, list[DecidedBlock]]:
    """Return the disks of a host that prevoted and precommitted a block at height 5."""
    ports = Ports()
    chain = decided_chain(4)
    host = ports.host()
    tell(host, FIRST, Blocks(blocks=tuple(chain)))
    header, body, _ = make_block(
        host._ledger, FIRST, (), host.heights.parent, host.heights.previous, START_MS + 10_000
    )
    ports.now_ms = START_MS + 10_000
    round_, proposer = others_turn(host)
    header = msgspec.structs.replace(header, proposer=consensus_key(proposer))
    block = messages.block_id(header)
    for who in (FIRST, SECOND, FOURTH):  # takes the host to that round
        nil = vote(who, VoteKind.PRECOMMIT, (), round_=round_, height=5)
        tell(host, who, VoteMessage(vote=nil))
    offer(host, proposer, proposal(proposer, header, body, round_=round_), body)
    for who in (FIRST, SECOND):
        polka = vote(who, VoteKind.PREVOTE, (block,), round_=round_, height=5)
        tell(host, who, VoteMessage(vote=polka))
    assert any(one.kind == "precommit" and one.block_id == (block,) for one in ports.votes())
    return ports, chain


def test_a_lost_store_is_made_anew_in_silence_and_the_log_then_taken_up() -> None:
    ports, chain = voted_at_five()
    before = ports.votes()
    ports.crash()
    ports.store = MemoryStore()
    Ledger(ports.store).begin(FOUNDATION.genesis)
    host = ports.host()
    assert (host.height, host.state().validates) == (1, False)
    header, body = first_block(FIRST)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    ports.pass_time(5_000)
    assert ports.votes() == []
    tell(host, FIRST, Blocks(blocks=tuple(chain)))
    assert (host.height, host.state().validates) == (5, True)
    assert host.heights.now.driver.locked is not None, "the log says what the key is bound to"
    assert all(one in before for one in ports.votes() if one.round == before[-1].round)


def test_a_log_that_a_rotten_store_judged_is_judged_again_and_the_key_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ports = Ports()
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    with monkeypatch.context() as rotten:
        rotten.setattr(BlockCheck, "execution", lambda *_: None)
        host = ports.host()
        offer(host, FIRST, proposal(FIRST, header, body), body)
        assert said(ports.votes()) == {(0, "prevote"): {()}}
        for who in (FIRST, SECOND, FOURTH):
            tell(host, who, VoteMessage(vote=vote(who, VoteKind.PREVOTE, (block,))))
        for who in (FIRST, SECOND):
            tell(host, who, VoteMessage(vote=vote(who, VoteKind.PRECOMMIT, (block,))))
        ports.pass_time(60_000)
        assert not host.key.stopped
    before = ports.votes()
    ports.crash()
    ports.store = MemoryStore()
    Ledger(ports.store).begin(FOUNDATION.genesis)
    again = ports.host()
    assert again.heights.now.driver.locked is not None, "the polka of a good block"
    ports.pass_time(60_000)
    assert all(one in before for one in ports.votes()), "what it would say now it has not said"
    tell(again, FOURTH, VoteMessage(vote=vote(FOURTH, VoteKind.PRECOMMIT, (block,))))
    assert not again.key.stopped
    assert (again.height, again.state().validates) == (2, True)


def test_a_key_whose_lock_this_store_finds_invalid_is_silent_at_its_height(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for who in (FIRST, SECOND):
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PREVOTE, (block,))))
    for who in (FIRST, SECOND, FOURTH):
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PREVOTE, (), round_=1)))
    ports.pass_time(5_000)
    before = ports.votes()
    assert said(before)[0, "precommit"] == {(block,)}
    assert said(before)[1, "precommit"] == {()}, "what it signed last follows without the lock too"
    ports.crash()
    monkeypatch.setattr(BlockCheck, "execution", lambda *_: None)
    again = ports.host()
    assert (again.height, again.state().validates) == (1, False)
    ports.pass_time(60_000)
    assert all(one in before for one in ports.votes())


def test_a_key_whose_log_was_lost_is_silent_through_the_height_it_signed_at() -> None:
    ports, _ = voted_at_five()
    ports.crash()
    ports.logs = [SimulatedLogFile(f"new.{index}", ports.plan, Random(1)) for index in (0, 1)]
    host = ports.host()
    assert (host.height, host.state().validates) == (5, False)
    ports.pass_time(60_000)
    assert ports.votes() == []


def test_a_log_that_lost_its_end_keeps_the_key_silent_at_its_height() -> None:
    ports, _ = voted_at_five()
    ports.crash()
    longest = max(ports.logs, key=lambda file: len(file.read_all()))
    longest._durable = longest.read_all()[:-9]  # as if a torn write had ended it
    host = ports.host()
    assert host.height == 5
    ports.pass_time(60_000)
    assert ports.votes() == []


def proposed_at_two(ports: Ports) -> None:
    """Let a host come to round 2, in which it is to propose."""
    host = ports.host()
    for raw in opening(ports.now_ms):
        host.on_transaction(parse(raw), own=True)
    for who in (FIRST, SECOND):
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PREVOTE, (), round_=2)))


def own_proposals(ports: Ports) -> set[BlockId]:
    """Return the blocks that a host proposed, as sent."""
    decoded = [
        codec.decode(messages.OnBlockChannel, payload, len(payload))
        for _, channel, payload in ports.sent
        if channel is Channel.BLOCK
    ]
    return {one.proposal.block_id for one in decoded if isinstance(one, ProposalMessage)}


@pytest.mark.parametrize("rots", [False, True])
def test_a_record_that_lost_a_slot_builds_no_second_block(rots: bool) -> None:
    twice = silent = 0
    for steps in range(1, 200):
        ports = Ports()
        ports.plan.arm(steps)
        try:
            proposed_at_two(ports)
        except Crash:
            before = own_proposals(ports)
            ports.crash()
        else:
            break
        record = Signer(seed_of(OWN, "consensus"), ports.slots, sign=STAND_IN.sign)
        if record.last is not None and record.last.request.step == PROPOSAL:
            if rots:
                ports.slots.write_at(record._newest_index * SLOT_BYTES, bytes(8))
                ports.slots.sync()
            ports.now_ms += 700  # another wall clock: a block built now is another block
            proposed_at_two(ports)
            twice += len(before | own_proposals(ports)) > 1
            silent += 1
    assert silent, "it died between its signature and the log of it"
    assert not twice


def test_a_host_stops_before_the_height_of_another_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Ledger, "engine", lambda ledger, height: "comet" if height >= 3 else "")
    ports = Ports()
    host = ports.host()
    with pytest.raises(EngineSwitched, match="from height 3 on engine comet decides"):
        tell(host, FIRST, Blocks(blocks=tuple(decided_chain(3))))
    head = ports.store.head()
    assert head is not None and head.height == 2
    with pytest.raises(EngineSwitched):
        ports.host()


# --- catching up ---------------------------------------------------------------------------------


def test_a_host_that_is_behind_asks_and_takes_decided_blocks() -> None:
    ports = Ports()
    host = ports.host()
    tell(host, FIRST, Here(height=4, round=0))
    ports.pass_time(500)
    assert ports.asks()[0] == (FIRST, 1)
    tell(host, FIRST, Blocks(blocks=tuple(decided_chain(3))))
    assert host.height == 4
    assert [event.height for event in ports.commits] == [1, 2, 3]


def test_a_host_answers_with_the_blocks_it_committed() -> None:
    chain = decided_chain(3)
    ahead, behind = Ports(), Ports(name=FOURTH)
    teacher, pupil = ahead.host(), behind.host()
    tell(teacher, FIRST, Blocks(blocks=tuple(chain)))
    ahead.sent.clear()
    tell(teacher, FOURTH, Ask(from_height=1))
    ((peer, channel, answer),) = ahead.sent
    assert (peer, channel) == (FOURTH, Channel.SYNC)
    pupil.on_message(OWN, channel, answer)
    assert pupil.height == 4
    assert (behind.store.state, behind.store.log) == (ahead.store.state, ahead.store.log)


def test_a_false_height_costs_a_question_and_no_wait() -> None:
    ports = Ports()
    host = ports.host()
    tell(host, "a-liar", Here(height=1_000_000, round=0))
    tell(host, FIRST, Here(height=2, round=0))
    ports.pass_time(500)
    assert ports.asks() == [("a-liar", 1)]
    tell(host, "a-liar", Blocks(blocks=()))
    assert ports.asks() == [("a-liar", 1), (FIRST, 1)]


def test_a_silent_peer_is_given_up() -> None:
    ports = Ports()
    host = ports.host()
    tell(host, "a-liar", Here(height=1_000_000, round=0))
    tell(host, FIRST, Here(height=2, round=0))
    ports.pass_time(5_000)
    assert (FIRST, 1) in ports.asks()


def _other_body(block: DecidedBlock) -> DecidedBlock:
    body = messages.decode_body(block.body)
    return replace(block, body=codec.encode(replace(body, transactions=body.transactions[:-1])))


LIES: dict[str, tuple[Callable[[DecidedBlock], DecidedBlock], str]] = {
    "signed by too few": (
        lambda block: replace(block, certificate=certify(block.header, (FIRST, SECOND))),
        "not a quorum",
    ),
    "signed three times by one": (
        lambda block: replace(
            block,
            certificate=replace(block.certificate, signatures=block.certificate.signatures[:1] * 3),
        ),
        "not distinct",
    ),
    "with a bad signature": (
        lambda block: replace(
            block,
            certificate=replace(
                block.certificate,
                signatures=(
                    (block.certificate.signatures[0][0], bytes(64)),
                    *block.certificate.signatures[1:],
                ),
            ),
        ),
        "bad signature",
    ),
    "with a stranger's signature": (
        lambda block: replace(
            block,
            certificate=replace(
                block.certificate,
                signatures=((bytes(32), bytes(64)), *block.certificate.signatures),
            ),
        ),
        "outside the validator set",
    ),
    "with the certificate of another round": (
        lambda block: replace(block, certificate=replace(block.certificate, round=1)),
        "bad signature",
    ),
    "with the certificate of another block": (
        lambda block: replace(block, header=replace(block.header, time_ms=START_MS + 7)),
        "another block",
    ),
    "with another block's body": (_other_body, "not what its header names"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_forged_decision_is_a_fault_and_changes_nothing(lie: str) -> None:
    forge, sentence = LIES[lie]
    ports = Ports()
    host = ports.host()
    chain = decided_chain(1)
    with pytest.raises(PeerFault, match=sentence):
        tell(host, "a-liar", Blocks(blocks=(forge(chain[0]),)))
    assert host.height == 1
    assert ports.commits == []
    tell(host, FIRST, Blocks(blocks=tuple(chain)))
    assert host.height == 2


def test_were_the_time_not_under_the_block_id_the_same_lie_would_stop_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    correct = messages.block_id
    monkeypatch.setattr(messages, "block_id", lambda header: correct(replace(header, time_ms=0)))
    forge, _ = LIES["with the certificate of another block"]
    host = Ports().host()
    with pytest.raises(AssertionError, match="does not hold on this state"):
        tell(host, "a-liar", Blocks(blocks=(forge(decided_chain(1)[0]),)))


def test_a_certified_block_that_does_not_hold_here_stops_the_node() -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    wrong = replace(header, record_hash=bytes(32))
    block = DecidedBlock(header=wrong, certificate=certify(wrong), body=body)
    with pytest.raises(AssertionError, match="does not hold on this state"):
        tell(host, FIRST, Blocks(blocks=(block,)))
    assert ports.commits == []


def test_a_quorum_for_an_invalid_block_ends_this_nodes_voting() -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    wrong = replace(header, record_hash=bytes(32))
    offer(host, FIRST, proposal(FIRST, wrong, body), body)
    for who in (FIRST, SECOND, FOURTH):
        value = (messages.block_id(wrong),)
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PRECOMMIT, value)))
    assert "invalid here" in host.key.stopped
    assert ports.commits == []
    ports.pass_time(20_000)
    assert said(ports.votes()) == {(0, "prevote"): {()}}, "it only repeats what it said before"


# --- hostile bytes -------------------------------------------------------------------------------


def honest_messages() -> list[tuple[Channel, bytes]]:
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    one = proposal(FIRST, header, body)
    return [
        (Channel.VOTE, codec.encode(VoteMessage(vote=vote(FIRST, VoteKind.PREVOTE, (block,))))),
        (Channel.VOTE, codec.encode(Here(height=3, round=0))),
        (Channel.BLOCK, codec.encode(ProposalMessage(proposal=one))),
        (Channel.BLOCK, codec.encode(Chunk(height=1, block_id=block, index=0, data=body))),
        (Channel.BLOCK, codec.encode(messages.WantChunks(height=1, block_id=block))),
        (Channel.SYNC, codec.encode(Ask(from_height=1))),
        (Channel.SYNC, codec.encode(Blocks(blocks=tuple(decided_chain(2))))),
    ]


def test_hostile_bytes_on_every_channel_do_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    dice = Random(7)
    good = honest_messages()
    blamed = taken = 0
    ports = Ports()
    host = ports.host()
    for case in range(HOSTILE_CASES):
        channel, payload = dice.choice(good)
        match case % 4:
            case 0:
                payload = dice.randbytes(dice.randint(0, 300))
            case 1:
                payload = payload[: dice.randrange(len(payload))]
            case 2:
                place = dice.randrange(len(payload))
                payload = payload[:place] + dice.randbytes(1) + payload[place + 1 :]
            case _:
                channel = dice.choice((Channel.CONTROL, Channel.VOTE, Channel.BLOCK, Channel.SYNC))
        try:
            host.on_message("a-liar", channel, payload)
        except PeerFault:
            blamed += 1
        else:
            taken += 1
    with capsys.disabled():
        print(f"\n  hostile bytes: {HOSTILE_CASES} messages, {blamed} blamed, {taken} harmless")
    assert blamed > HOSTILE_CASES // 2
    assert taken > 0
    assert host.key.stopped == ""
    assert all(len(values) == 1 for values in said(ports.votes()).values())
    if host.height == 1:
        tell(host, FIRST, Blocks(blocks=tuple(decided_chain(3))))
    assert host.height > 1


@pytest.mark.parametrize("channel", [Channel.CONTROL, Channel.TRANSACTIONS])
def test_a_channel_that_is_not_the_hosts_is_a_fault(channel: Channel) -> None:
    with pytest.raises(PeerFault, match=r"not for the engine|another way"):
        Ports().host().on_message("a-liar", channel, b"\x90")


# --- transactions --------------------------------------------------------------------------------


def test_a_clients_transaction_is_sent_on_once_and_starts_the_height() -> None:
    head = Ports().store.head()
    assert head is not None
    ports = Ports(now_ms=head.time_ms + 1_000)  # no heartbeat is due yet
    host = ports.host()
    transaction = parse(opening(ports.now_ms)[0])
    assert host.state().step == "waiting"
    for _ in range(2):
        host.on_transaction(transaction, own=True)
    host.on_idle()
    batches = [payload for _, channel, payload in ports.sent if channel is Channel.TRANSACTIONS]
    assert batches == [codec.encode(messages.Batch(envelopes=(transaction.raw,)))]
    assert host.state().step == "propose"
    assert len(host.pool) == 1


def test_a_new_link_gets_what_this_nodes_clients_handed_in() -> None:
    ports = Ports()
    host = ports.host()
    first, second = (parse(raw) for raw in opening()[:2])
    host.on_transaction(first, own=True)
    host.on_transaction(second, own=False)
    ports.sent.clear()
    host.on_peer_up(FIRST)
    here, batch = ports.sent
    assert here == (FIRST, Channel.VOTE, codec.encode(Here(height=1, round=0)))
    assert batch == (
        FIRST,
        Channel.TRANSACTIONS,
        codec.encode(messages.Batch(envelopes=(first.raw,))),
    )
