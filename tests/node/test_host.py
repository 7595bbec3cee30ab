"""The host alone: one real host on simulated ports, and peers played by the test."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from msgspec.structs import replace

from consensus.certificate import Certificate
from consensus.messages import (
    BlockId,
    Proposal,
    ValidatorKey,
    Vote,
    VoteKind,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from ledger.blocks import BlockInput
from ledger.encoding import codec
from ledger.execute import Execution
from ledger.ledger import Ledger
from ledger.store.memory import MemoryStore
from ledger.transactions import parse
from node import messages
from node.host import EngineSwitched, Host, StoreBehindLog
from node.messages import (
    ENGINE_EPOCH,
    NO_BLOCK,
    Ask,
    Blocks,
    Body,
    Chunk,
    DecidedBlock,
    Header,
    Here,
    ProposalMessage,
    StoredCommit,
    VoteMessage,
)
from node.offers import BODIES_MAX
from node.p2p.frames import Channel, PeerFault
from node.port import Committed
from node.signer import Signer, format_slots
from node.simulation.disk import Crash, CrashPlan, SimulatedLogFile, SimulatedSlotFile
from node.simulation.member import TIMEOUTS
from node.simulation.signatures import STAND_IN, seed_of
from node.simulation.society import Clients, centre_name, consensus_key, found
from node.simulation.world import MIDNIGHT_MS
from node.wal import WriteAheadLog

VALIDATORS = 4
FOUNDATION = found(VALIDATORS)
START_MS = MIDNIGHT_MS - 60_000
HOSTILE_CASES = 1_500


def names_in_turn() -> list[str]:
    """Return validator names by whose turn it is at height 1, from round 0 on."""
    by_key = {consensus_key(centre_name(i)): centre_name(i) for i in range(VALIDATORS)}
    return [by_key[FOUNDATION.validators.proposer(1, round_)] for round_ in range(VALIDATORS)]


FIRST, SECOND, OWN, FOURTH = names_in_turn()
"""The host under test is OWN: two others propose before it."""


@dataclass
class Ports:
    """Everything that outlives a process, and what the process says. Time is set by hand."""

    name: str = OWN
    now_ms: int = START_MS
    sent: list[tuple[str, Channel, bytes]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    timers: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    commits: list[Committed] = field(default_factory=list)
    store: MemoryStore = field(default_factory=MemoryStore)
    plan: CrashPlan = field(default_factory=CrashPlan)

    def __post_init__(self) -> None:
        dice = Random(1)
        self.logs = [SimulatedLogFile(f"wal.{index}", self.plan, dice) for index in (0, 1)]
        self.slots = SimulatedSlotFile(self.plan, dice)
        format_slots(seed_of(self.name, "consensus"), self.slots)
        Ledger(self.store).begin(FOUNDATION.genesis)

    def host(self) -> Host:
        """Return a new process on these disks, started."""
        self.sent.clear()
        self.timers.clear()
        host = Host(
            ledger=Ledger(self.store, verify=STAND_IN.verify),
            blocks=self.store,
            wal=WriteAheadLog(self.logs),
            signer=Signer(seed_of(self.name, "consensus"), self.slots, sign=STAND_IN.sign),
            network=self,
            clock=self,
            timers=self,
            timeouts=TIMEOUTS,
            on_commit=self._on_commit,
            verify=STAND_IN.verify,
        )
        host.start()
        return host

    def crash(self) -> None:
        """Lose what was not synced."""
        self.plan.arm(0)
        for file in self.logs:
            file.crash()
        self.slots.crash()

    def send(self, peer: str, channel: Channel, payload: bytes) -> None:
        self.plan.step()
        self.sent.append((peer, channel, payload))

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        self.send("*", channel, payload)

    def fault(self, peer: str, reason: str) -> None:
        self.faults.append((peer, reason))

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_us(self) -> int:
        return self.now_ms * 1_000

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.timers.append((self.now_ms + delay_ms, action))

    def pass_time(self, for_ms: int) -> None:
        """Let timers run out."""
        end_ms = self.now_ms + for_ms
        while due := sorted(
            (timer for timer in self.timers if timer[0] <= end_ms), key=lambda timer: timer[0]
        ):
            self.timers.remove(due[0])
            self.now_ms = max(self.now_ms, due[0][0])
            due[0][1]()
        self.now_ms = end_ms

    def _on_commit(self, event: Committed, execution: Execution) -> None:
        self.commits.append(event)

    def votes(self) -> list[Vote]:
        """Return the host's own votes, as sent."""
        out = []
        for _, channel, payload in self.sent:
            if channel is Channel.VOTE:
                message = codec.decode(messages.OnVoteChannel, payload, len(payload))
                is_vote = isinstance(message, VoteMessage)
                if is_vote and message.vote.validator == consensus_key(self.name):
                    out.append(message.vote)
        return out

    def asks(self) -> list[tuple[str, int]]:
        """Return whom the host asked for blocks, and from which height."""
        return [
            (peer, message.from_height)
            for peer, channel, payload in self.sent
            if channel is Channel.SYNC
            and isinstance(message := codec.decode(messages.OnSyncChannel, payload, 10**7), Ask)
        ]


# --- what peers say ------------------------------------------------------------------------------


def opening(now_ms: int = START_MS) -> tuple[bytes, ...]:
    """Return transactions that hold on an empty ledger."""
    clients = Clients(FOUNDATION.log_id, STAND_IN, Random(1))
    return tuple(raw for _, raw in clients.opening(now_ms, lapses=False))


def decided_chain(length: int) -> list[DecidedBlock]:
    """Return blocks that four validators decided: the first with transactions, the rest empty."""
    ledger = Ledger(MemoryStore(), verify=STAND_IN.verify)
    ledger.begin(FOUNDATION.genesis)
    blocks: list[DecidedBlock] = []
    for height in range(1, length + 1):
        transactions = opening() if height == 1 else ()
        parent = messages.block_id(blocks[-1].header) if blocks else NO_BLOCK
        previous = (blocks[-1].certificate,) if blocks else ()
        header, data, execution = make_block(
            ledger, FIRST, transactions, parent, previous, START_MS + 1_000 * height
        )
        certificate = certify(header)
        stored = StoredCommit(header=header, certificate=certificate, previous=previous)
        ledger.commit(execution, codec.encode(stored))
        blocks.append(DecidedBlock(header=header, certificate=certificate, body=data))
    return blocks


def make_block(
    ledger: Ledger,
    proposer: str,
    transactions: tuple[bytes, ...] = (),
    parent: bytes = NO_BLOCK,
    previous: tuple[Certificate, ...] = (),
    time_ms: int = START_MS,
) -> tuple[Header, bytes, Execution]:
    height = ledger.last().height + 1
    execution = ledger.execute(
        BlockInput(height=height, time_ms=time_ms, transactions=transactions)
    )
    body = codec.encode(Body(transactions=transactions, faults=(), previous=previous))
    header = Header(
        version=1,
        log_id=FOUNDATION.log_id,
        epoch=ENGINE_EPOCH,
        height=height,
        time_ms=time_ms,
        proposer=consensus_key(proposer),
        parent=parent,
        record_hash=execution.head.app_hash,
        body_hash=messages.body_hash(messages.chunk_hashes(messages.chunks_of(body))),
    )
    return header, body, execution


def first_block(proposer: str, time_ms: int = START_MS) -> tuple[Header, bytes]:
    """Return a valid block of height 1."""
    ledger = Ledger(MemoryStore(), verify=STAND_IN.verify)
    ledger.begin(FOUNDATION.genesis)
    header, body, _ = make_block(ledger, proposer, opening(), time_ms=time_ms)
    return header, body


def vote(
    who: str, kind: VoteKind, block: tuple[BlockId, ...], *, round_: int = 0, height: int = 1
) -> Vote:
    message = vote_sign_bytes(FOUNDATION.log_id, ENGINE_EPOCH, kind, height, round_, block)
    return Vote(
        kind=kind,
        height=height,
        round=round_,
        block_id=block,
        validator=ValidatorKey(consensus_key(who)),
        signature=STAND_IN.sign(seed_of(who, "consensus"), message),
    )


def certify(header: Header, signers: tuple[str, ...] = (FIRST, SECOND, OWN)) -> Certificate:
    block = messages.block_id(header)
    votes = [vote(who, VoteKind.PRECOMMIT, (block,), height=header.height) for who in signers]
    return Certificate(
        height=header.height,
        round=0,
        block_id=block,
        signatures=tuple(sorted((one.validator, one.signature) for one in votes)),
    )


def proposal(
    who: str, header: Header, body: bytes, *, round_: int = 0, valid_round: tuple[int, ...] = ()
) -> Proposal:
    block = messages.block_id(header)
    message = proposal_sign_bytes(
        FOUNDATION.log_id, ENGINE_EPOCH, header.height, round_, valid_round, block
    )
    return Proposal(
        height=header.height,
        round=round_,
        valid_round=valid_round,
        block_id=block,
        validator=ValidatorKey(consensus_key(who)),
        header=codec.encode(header),
        chunk_hashes=messages.chunk_hashes(messages.chunks_of(body)),
        signature=STAND_IN.sign(seed_of(who, "consensus"), message),
    )


def tell(host: Host, peer: str, message: object) -> None:
    """Let a peer say something."""
    channels: dict[type, Channel] = {
        VoteMessage: Channel.VOTE,
        Here: Channel.VOTE,
        ProposalMessage: Channel.BLOCK,
        Chunk: Channel.BLOCK,
        Ask: Channel.SYNC,
        Blocks: Channel.SYNC,
    }
    host.on_message(peer, channels[type(message)], codec.encode(message))


def offer(host: Host, peer: str, one: Proposal, body: bytes) -> None:
    """Let a peer send a proposal with all its chunks."""
    tell(host, peer, ProposalMessage(proposal=one))
    for index, data in enumerate(messages.chunks_of(body)):
        chunk = Chunk(height=one.height, block_id=one.block_id, index=index, data=data)
        tell(host, peer, chunk)


def said(votes: list[Vote]) -> dict[tuple[int, str], set[tuple[BlockId, ...]]]:
    """Return what was voted for by round and kind."""
    found: dict[tuple[int, str], set[tuple[BlockId, ...]]] = {}
    for one in votes:
        found.setdefault((one.round, one.kind), set()).add(one.block_id)
    return found


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
    assert head.app_hash == header.record_hash


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
    assert host.stopped == ""


def test_a_proposer_of_many_blocks_fills_no_memory_and_hinders_nobody() -> None:
    ports = Ports()
    host = ports.host()
    ledger = Ledger(MemoryStore(), verify=STAND_IN.verify)
    ledger.begin(FOUNDATION.genesis)
    for number in range(2 * BODIES_MAX):
        header, body, _ = make_block(ledger, SECOND, time_ms=START_MS + number)
        offer(host, SECOND, proposal(SECOND, header, body, round_=1), body)
    assert len(host.offers._logged) <= 2
    assert len(host.offers._whole) <= BODIES_MAX + len(host.offers._logged)
    for number in range(2 * BODIES_MAX):
        header, body, _ = make_block(ledger, SECOND, time_ms=START_MS - 1 - number)
        tell(host, SECOND, ProposalMessage(proposal=proposal(SECOND, header, body, round_=1)))
    assert len(host.offers._assemblies) <= VALIDATORS * 4
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
    assert again._driver.locked == (block, 0)
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


def _play_height_one(host: Host, header: Header, body: bytes, block: BlockId) -> None:
    if host.height > 1:
        return
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for kind in VoteKind:
        for who in (FIRST, SECOND):
            if host.height == 1:
                tell(host, who, VoteMessage(vote=vote(who, kind, (block,))))


def test_a_store_behind_the_log_refuses_to_start() -> None:
    ports = Ports()
    host = ports.host()
    tell(host, FIRST, Blocks(blocks=tuple(decided_chain(4))))
    header, body, _ = make_block(
        host._ledger, FIRST, (), host._parent, host._previous, START_MS + 10_000
    )
    ports.now_ms = START_MS + 100
    offer(host, FIRST, proposal(FIRST, header, body), body)
    assert host.height == 5
    ports.store = MemoryStore()
    Ledger(ports.store).begin(FOUNDATION.genesis)
    with pytest.raises(StoreBehindLog) as refusal:
        ports.host()
    assert (refusal.value.store, refusal.value.log) == (0, 5)


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
    assert "invalid here" in host.stopped
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
    assert host.stopped == ""
    assert all(len(values) == 1 for values in said(ports.votes()).values())
    if host.height == 1:
        tell(host, FIRST, Blocks(blocks=tuple(decided_chain(3))))
    assert host.height > 1


@pytest.mark.parametrize("channel", [Channel.CONTROL, Channel.TRANSACTIONS])
def test_a_channel_that_is_not_the_hosts_is_a_fault(channel: Channel) -> None:
    with pytest.raises(PeerFault, match="not for the host"):
        Ports().host().on_message("a-liar", channel, b"\x90")


# --- transactions --------------------------------------------------------------------------------


def test_a_clients_transaction_is_sent_on_once_and_starts_the_height() -> None:
    head = Ports().store.head()
    assert head is not None
    ports = Ports(now_ms=head.time_ms + 1_000)  # no heartbeat is due yet
    host = ports.host()
    transaction = parse(opening(ports.now_ms)[0])
    assert host.step == "waiting"
    for _ in range(2):
        host.on_transaction(transaction, own=True)
    host.flush()
    batches = [payload for _, channel, payload in ports.sent if channel is Channel.TRANSACTIONS]
    assert batches == [codec.encode(messages.Batch(envelopes=(transaction.raw,)))]
    assert host.step == "propose"
    assert len(host.mempool) == 1


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
