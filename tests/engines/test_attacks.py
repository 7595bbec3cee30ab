"""Attacks on a host: what one liar among four validators says, and how little it gets for it."""

import dataclasses

import pytest
from msgspec.structs import replace

from consensus.evidence import evidence_of
from consensus.messages import BlockId, Proposal, VoteKind
from engines.builtin import mempool, messages
from engines.builtin.block_check import EMPTY_BLOCK_MS
from engines.builtin.engine import BuiltinEngine
from engines.builtin.messages import Batch, Blocks, Chunk, Header, ProposalMessage, VoteMessage
from engines.builtin.p2p.frames import Channel
from engines.builtin.proposed_blocks import ASSEMBLIES_PER_PROPOSER_MAX
from ledger.blocks import BLOCK_TRANSACTIONS_MAX, BlockInput
from ledger.encoding import codec
from ledger.encoding.codec import Record
from ledger.encoding.crypto import sha256
from ledger.execute import Execution
from ledger.inadmissible import Inadmissible
from ledger.ledger import Ledger
from ledger.proofs import proven
from ledger.rules.parties import Enrol, PartyKey
from ledger.store.memory import MemoryStore
from ledger.transactions import Body, Transaction, parse, seal, signing_bytes
from tests.engines.peers import (
    FIRST,
    FOUNDATION,
    FOURTH,
    OWN,
    SECOND,
    START_MS,
    VALIDATORS,
    Ports,
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
from trials.simulation.member import TIMEOUTS
from trials.simulation.signatures import STAND_IN, prove, public_key, seed_of
from trials.simulation.society import centre_name, consensus_key

REGISTRARS = ("officer-1", "officer-2")
MINUTE_MS = 60_000
A_BLOCK = BlockId(b"\1" * 32)


def envelope(operation: Record, *people: str, expires_at: int = START_MS + MINUTE_MS) -> bytes:
    """Return an operation signed by officers of the city."""
    operation = proven(operation, FOUNDATION.log_id, prove)
    body = codec.encode(
        Body(version=1, log_id=FOUNDATION.log_id, expires_at=expires_at, operation=operation)
    )
    seeds = [seed_of("shanghai", person) for person in people]
    message = signing_bytes(body)
    return seal(body, {public_key(seed): STAND_IN.sign(seed, message) for seed in seeds})


def enrolment(firm: str) -> Enrol:
    """Return what two registrars may say of a new firm."""
    return Enrol(
        city="shanghai",
        party=firm,
        holder_class="start_up",
        name=firm,
        region="310000",
        control_group=(),
        registration_tag=seed_of(firm, "registration"),
        tag_epoch=1,
        keys=(PartyKey(key=public_key(seed_of(firm, "owner")), person="owner", roles=()),),
        threshold=1,
        proofs=(),
    )


def batches(ports: Ports) -> list[bytes]:
    """Return the batches of transactions that a host sent."""
    return [payload for _, channel, payload in ports.sent if channel is Channel.TRANSACTIONS]


class CountingLedger(Ledger):
    """A ledger that counts how often it is asked to execute a block."""

    executed = 0

    def execute(self, block: BlockInput) -> Execution:
        """Execute and count."""
        self.executed += 1
        return super().execute(block)


def counting(host: BuiltinEngine, ports: Ports) -> CountingLedger:
    """Let a started host execute on a ledger that counts."""
    ledger = CountingLedger(ports.store, verify=STAND_IN.verify)
    ledger.begin(FOUNDATION.genesis)
    host._ledger = ledger
    host.heights.now.check = dataclasses.replace(host.heights.now.check, ledger=ledger)
    return ledger


# --- blocks and proposals ------------------------------------------------------------------------


def test_a_block_cut_in_other_chunks_is_invalid_and_never_decided() -> None:
    ports = Ports()
    host = ports.host()
    plain, body = first_block(FIRST)
    half = len(body) // 2
    chunks = (body[:half], body[half:])
    hashes = tuple(sha256(chunk) for chunk in chunks)
    header = replace(plain, body_hash=messages.body_hash(hashes))
    block = messages.block_id(header)
    odd = replace(proposal(FIRST, header, body), chunk_hashes=hashes)
    tell(host, FIRST, ProposalMessage(proposal=odd))
    for index, data in enumerate(chunks):
        tell(host, FIRST, Chunk(height=1, block_id=block, index=index, data=data))
    assert said(ports.votes()) == {(0, "prevote"): {()}}
    for kind in VoteKind:
        for who in (FIRST, SECOND, FOURTH):
            tell(host, who, VoteMessage(vote=vote(who, kind, (block,))))
    assert ports.commits == []
    assert "invalid here" in host.key.stopped


def fresh_blocks(count: int) -> list[tuple[Proposal, bytes]]:
    """Return different blocks that the first proposer offers for round 0."""
    ledger = Ledger(MemoryStore(), verify=STAND_IN.verify)
    ledger.begin(FOUNDATION.genesis)
    made = [make_block(ledger, FIRST, time_ms=START_MS + number) for number in range(count)]
    return [(proposal(FIRST, header, body), body) for header, body, _ in made]


def test_of_many_blocks_of_one_proposer_and_round_one_is_executed() -> None:
    ports = Ports()
    host = ports.host()
    ledger = counting(host, ports)
    offers = fresh_blocks(10)
    for one, body in offers:
        offer(host, FIRST, one, body)
    assert ledger.executed == 1
    assert said(ports.votes()) == {(0, "prevote"): {(offers[0][0].block_id,)}}
    (found, *_) = host.evidence.known()
    assert found == evidence_of(offers[0][0], offers[1][0])


def test_of_many_blocks_on_their_way_in_at_once_one_is_executed() -> None:
    ports = Ports()
    host = ports.host()
    ledger = counting(host, ports)
    offers = fresh_blocks(ASSEMBLIES_PER_PROPOSER_MAX)
    for one, _ in offers:
        tell(host, FIRST, ProposalMessage(proposal=one))
    for one, body in offers:
        chunk = Chunk(height=1, block_id=one.block_id, index=0, data=body)
        tell(host, FIRST, chunk)
    assert ledger.executed == 1
    assert said(ports.votes()) == {(0, "prevote"): {(offers[0][0].block_id,)}}


def test_offering_another_proposers_block_again_does_not_evict_it() -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    again = proposal(SECOND, header, body, round_=1, valid_round=(0,))
    tell(host, SECOND, ProposalMessage(proposal=again))
    tell(host, FIRST, ProposalMessage(proposal=proposal(FIRST, header, body)))
    for number in range(2 * ASSEMBLIES_PER_PROPOSER_MAX):
        other, other_body = first_block(SECOND, START_MS + 1 + number)
        one = proposal(SECOND, other, other_body, round_=1)
        tell(host, SECOND, ProposalMessage(proposal=one))
    block = messages.block_id(header)
    for index, data in enumerate(messages.chunks_of(body)):
        tell(host, FIRST, Chunk(height=1, block_id=block, index=index, data=data))
    assert said(ports.votes()) == {(0, "prevote"): {(block,)}}


# --- empty blocks --------------------------------------------------------------------------------


def proposer_of(height: int) -> str:
    """Return whose turn round 0 of a height is."""
    by_key = {consensus_key(centre_name(index)): centre_name(index) for index in range(VALIDATORS)}
    return by_key[FOUNDATION.validators.proposer(height, 0)]


def host_after(ports: Ports, length: int) -> tuple[BuiltinEngine, int]:
    """Return a host that took over decided blocks, and the time of the last one."""
    host = ports.host()
    blocks = decided_chain(length)
    tell(host, FIRST, Blocks(blocks=tuple(blocks)))
    assert host.height == length + 1
    ports.now_ms = blocks[-1].header.time_ms
    ports.sent.clear()
    return host, ports.now_ms


@pytest.mark.parametrize(
    ("after_ms", "stands"), [(1, False), (EMPTY_BLOCK_MS - 1, False), (EMPTY_BLOCK_MS, True)]
)
def test_an_empty_block_just_after_its_parent_is_not_accepted(after_ms: int, stands: bool) -> None:
    ports = Ports()
    host, parent_ms = host_after(ports, 1)
    who = proposer_of(2)
    header, body, execution = make_block(
        host._ledger, who, (), host.heights.parent, host.heights.previous, parent_ms + after_ms
    )
    assert execution.record is None, "the block changes nothing"
    offer(host, who, proposal(who, header, body), body)
    value = (messages.block_id(header),) if stands else ()
    assert said(ports.votes()) == {(0, "prevote"): {value}}


def own_headers(ports: Ports) -> list[Header]:
    """Return the headers of the blocks that the host proposed."""
    found = []
    for _, channel, payload in ports.sent:
        if channel is Channel.BLOCK:
            message = codec.decode(messages.OnBlockChannel, payload, len(payload))
            if isinstance(message, ProposalMessage):
                found.append(messages.decode_header(message.proposal.header))
    return found


def test_one_liars_vote_does_not_make_an_idle_proposer_hurry() -> None:
    height = next(height for height in range(2, 20) if proposer_of(height) == OWN)
    ports = Ports()
    host, parent_ms = host_after(ports, height - 1)
    ports.pass_time(1)
    liars = vote(FOURTH, VoteKind.PREVOTE, (), height=height)
    tell(host, FOURTH, VoteMessage(vote=liars))
    assert host.state().step == "propose", "a vote starts the height"
    ports.pass_time(EMPTY_BLOCK_MS - 2)
    assert own_headers(ports) == []
    ports.pass_time(1)
    (header,) = own_headers(ports)
    assert header.time_ms == parent_ms + EMPTY_BLOCK_MS


# --- the own key ---------------------------------------------------------------------------------


def test_a_vote_by_the_own_key_that_the_signer_never_made_ends_voting() -> None:
    ports = Ports()
    host = ports.host()
    tell(host, FIRST, VoteMessage(vote=vote(OWN, VoteKind.PREVOTE, (A_BLOCK,))))
    assert "never made" in host.key.stopped
    header, body = first_block(FIRST)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    ports.pass_time(10 * TIMEOUTS.propose_ms)
    assert ports.votes() == []


def test_other_words_at_the_place_of_the_last_own_vote_end_voting() -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    tell(host, FIRST, VoteMessage(vote=vote(OWN, VoteKind.PREVOTE, (A_BLOCK,))))
    assert "never made" in host.key.stopped


def test_an_echo_of_own_votes_does_no_harm() -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for who in (FIRST, SECOND):
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PREVOTE, (block,))))
    prevote, precommit = ports.votes()
    for echo in (prevote, precommit, prevote):
        tell(host, FOURTH, VoteMessage(vote=echo))
    assert host.key.stopped == ""
    for who in (FIRST, SECOND):
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PRECOMMIT, (block,))))
    assert [event.height for event in ports.commits] == [1]


# --- transactions --------------------------------------------------------------------------------


def test_own_pending_transactions_fit_one_batch_that_peers_can_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One city is enough here to hand in more than a batch holds.
    monkeypatch.setattr(mempool, "PER_MEMBER_MAX", 2 * BLOCK_TRANSACTIONS_MAX)
    ports = Ports()
    host = ports.host()
    what = enrolment("firm-z")
    raws = [
        envelope(what, *REGISTRARS, expires_at=START_MS + MINUTE_MS + number)
        for number in range(BLOCK_TRANSACTIONS_MAX + 1)
    ]
    for raw in raws:
        host.pool.add(parse(raw), own=True, time_ms=START_MS)
    host.on_peer_up(FIRST)
    (payload,) = batches(ports)
    batch: Batch = codec.decode(Batch, payload, len(payload))
    assert batch.envelopes == tuple(raws[:BLOCK_TRANSACTIONS_MAX])


def test_an_envelope_refused_at_admission_is_not_remembered() -> None:
    ports = Ports()
    host = ports.host()
    stranger = parse(envelope(enrolment("firm-z"), "nobody"))
    with pytest.raises(Inadmissible):
        host.on_transaction(stranger, own=True)
    assert len(host._ledger._known) == 0
    host.on_transaction(parse(opening()[0]), own=True)
    assert len(host._ledger._known) == 1, "one that is taken in is"


def test_what_a_rule_refuses_is_not_offered_again() -> None:
    ports = Ports()
    host = ports.host()
    refused = parse(envelope(enrolment("firm-z"), "officer-1", expires_at=START_MS + 2 * MINUTE_MS))
    host.on_transaction(refused, own=True)
    host.on_idle()
    assert host.pool.status(refused.id).status == "refused"
    assert len(host.pool) == 0
    ports.sent.clear()
    host.on_peer_up(FIRST)
    ports.pass_time(MINUTE_MS)
    assert batches(ports) == []


def test_a_ready_transaction_is_offered_again() -> None:
    ports = Ports()
    host = ports.host()
    ready = parse(envelope(enrolment("firm-z"), *REGISTRARS, expires_at=START_MS + 2 * MINUTE_MS))
    host.on_transaction(ready, own=True)
    host.on_idle()
    ports.sent.clear()
    ports.pass_time(MINUTE_MS)
    assert codec.encode(Batch(envelopes=(ready.raw,))) in batches(ports)


def twice() -> tuple[Transaction, Transaction]:
    """Return one transaction with one signature of the two it needs, and with both."""
    what = enrolment("firm-z")
    return parse(envelope(what, "officer-1")), parse(envelope(what, *REGISTRARS))


def test_a_further_signature_makes_a_refused_transaction_ready() -> None:
    host = Ports().host()
    half, whole = twice()
    assert half.id == whole.id
    host.on_transaction(half, own=False)
    assert not host.pool.has_ready()
    host.on_transaction(whole, own=True)
    assert host.pool.status(whole.id).status == "pending"
    assert [one.raw for one in host.pool.ready()] == [whole.raw]
    assert len(host.pool) == 1
    assert host.pool.bytes == len(whole.raw)


def test_fewer_signatures_do_not_displace_a_ready_transaction() -> None:
    host = Ports().host()
    half, whole = twice()
    host.on_transaction(whole, own=True)
    host.on_transaction(half, own=True)
    assert [one.raw for one in host.pool.ready()] == [whole.raw]
