"""Attacks on a node's agreement with others: one liar, an unlucky restart, a disk that rots.

Each test says what must hold. Those marked as expected failures show a hole that is still open.
"""

import asyncio
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast

import lmdb
import pytest
from msgspec.structs import replace

from consensus.evidence import evidence_of
from consensus.messages import BlockId, Proposal, Vote, VoteKind
from engines.builtin import messages
from engines.builtin.block_check import EMPTY_BLOCK_MS
from engines.builtin.engine import BuiltinEngine
from engines.builtin.evidence_pool import EVIDENCE_AGE_MAX, LATE_VOTES_MAX
from engines.builtin.height import EngineSwitched
from engines.builtin.messages import (
    Blocks,
    DecidedBlock,
    EvidenceMessage,
    Here,
    ProposalMessage,
    VoteMessage,
    WantChunks,
)
from engines.builtin.p2p.frames import Channel
from engines.builtin.signer import UNKNOWN_HEIGHT, Signer, SignerDamaged, format_slots
from ledger import catalogue
from ledger.encoding import codec
from ledger.execute import RulesUnknown
from ledger.ledger import Ledger
from ledger.store.lmdb_store import LmdbStore, Snapshot
from ledger.store.rows import BlockRow
from node.runtime import Node
from node.scrub import ROWS_A_STEP, Scrub, StoreRotten
from node.stopped import read_stop
from tests import builders
from tests.builders import Chain
from tests.decided import DecidedChain
from tests.engines.peers import (
    FIRST,
    FOUNDATION,
    FOURTH,
    OWN,
    SECOND,
    START_MS,
    Ports,
    certify,
    decided_chain,
    first_block,
    offer,
    proposal,
    tell,
    vote,
)
from trials.simulation.disk import Crash, CrashPlan, SimulatedSlotFile
from trials.simulation.signatures import STAND_IN, seed_of
from trials.simulation.society import consensus_key

A_BLOCK, OTHER_BLOCK = BlockId(b"1" * 32), BlockId(b"2" * 32)
MEMBERS = (FIRST, SECOND, OWN, FOURTH)
SIGNERS = dict(certify(decided_chain(1)[0].header).signatures)
ABSENT = next(who for who in MEMBERS if consensus_key(who) not in SIGNERS)
"""Signed none of the certificates in ``peers``."""
TURN = next(h for h in range(2, 9) if FOUNDATION.validators.proposer(h, 0) == consensus_key(ABSENT))
"""A height at which ABSENT proposes first."""


def lie(
    who: str = FOURTH, *, kind: VoteKind = VoteKind.PREVOTE, round_: int = 0, height: int = 1
) -> tuple[Vote, Vote]:
    """Return two votes that contradict each other."""
    first = vote(who, kind, (A_BLOCK,), round_=round_, height=height)
    return first, vote(who, kind, (OTHER_BLOCK,), round_=round_, height=height)


def synced(name: str, chain: list[DecidedBlock]) -> tuple[Ports, BuiltinEngine]:
    """Return a member that took a chain from a peer, a long time after its last block."""
    ports = Ports(name=name, now_ms=START_MS + 1_000 * (len(chain) + 60))
    host = ports.host()
    take(host, chain)
    return ports, host


def take(host: BuiltinEngine, chain: list[DecidedBlock]) -> None:
    """Let a peer hand blocks over, as many at once as fit."""
    for at in range(0, len(chain), messages.SYNC_BLOCKS_MAX):
        part = tuple(chain[at : at + messages.SYNC_BLOCKS_MAX])
        tell(host, "a-peer", Blocks(blocks=part))


def of_channel(ports: Ports, channel: Channel) -> list[bytes]:
    """Return what a host sent on a channel."""
    return [payload for _, sent_on, payload in ports.sent if sent_on is channel]


def offered(ports: Ports) -> list[Proposal]:
    """Return what a host proposed, each once."""
    decoded = [
        codec.decode(messages.OnBlockChannel, payload, len(payload))
        for payload in of_channel(ports, Channel.BLOCK)
    ]
    return list(dict.fromkeys(one.proposal for one in decoded if isinstance(one, ProposalMessage)))


# --- stalling everybody --------------------------------------------------------------------------


def test_evidence_told_at_its_last_height_spoils_no_honest_block() -> None:
    """One liar tells it after it proposed a block without it: next, all build on stale evidence."""
    height = TURN + EVIDENCE_AGE_MAX
    chain = decided_chain(height - 1)
    building, builder = synced(ABSENT, chain[:-1])
    tell(builder, SECOND, EvidenceMessage(evidence=evidence_of(*lie(SECOND, height=TURN))))
    take(builder, chain[-1:])
    _, judge = synced(FIRST, chain)
    assert builder.height == judge.height == height
    building.sent.clear()
    tell(builder, FIRST, VoteMessage(vote=vote(FIRST, VoteKind.PREVOTE, (), height=height)))
    (made,) = offered(building)
    for payload in of_channel(building, Channel.BLOCK):
        judge.on_message(ABSENT, Channel.BLOCK, payload)
    assert made.height == height
    execution = judge.heights.now.blocks.must(made.block_id).execution
    assert execution is not None, "an honest node refuses the block of another honest node"


def test_misbehaviour_does_not_let_heights_run() -> None:
    """A liar lies anew at each height, and has a vote to start it: no height has work."""
    chain = decided_chain(TURN - 1)
    ports = Ports(name=ABSENT, now_ms=chain[-1].header.time_ms + 1)
    host = ports.host()
    take(host, chain)
    tell(host, SECOND, EvidenceMessage(evidence=evidence_of(*lie(SECOND))))
    stray = vote(SECOND, VoteKind.PREVOTE, (), height=TURN)
    tell(host, SECOND, VoteMessage(vote=stray))
    ports.pass_time(EMPTY_BLOCK_MS - 100)
    assert offered(ports) == []
    ports.pass_time(200)
    assert offered(ports)


# --- blaming the honest --------------------------------------------------------------------------


def accept_second_signatures(host: BuiltinEngine) -> None:
    """Let a key have two signatures for one message, as Ed25519 has: the nonce is the signer's."""

    def verify(key: bytes, message: bytes, signature: bytes) -> bool:
        return STAND_IN.verify(key, message, signature) or STAND_IN.verify(
            key, message, signature[::-1]
        )

    host._votes._verify = host._proposals._verify = verify
    host.heights.now.check = dataclasses.replace(host.heights.now.check, verify=verify)


def test_a_proposal_signed_twice_makes_no_evidence_that_proves_nothing() -> None:
    """The evidence would close the links of all who tell it, and spoil all blocks that carry it."""
    ports = Ports()
    host = ports.host()
    accept_second_signatures(host)
    header, body = first_block(FIRST)
    once = proposal(FIRST, header, body)
    offer(host, FIRST, once, body)
    tell(host, FIRST, ProposalMessage(proposal=replace(once, signature=once.signature[::-1])))
    assert host.evidence.waiting(lambda misbehaviour: True) == ()


@pytest.mark.parametrize("ended", [False, True])
def test_a_wiped_validator_is_not_stopped_by_its_own_old_votes(ended: bool) -> None:
    """Peers tell a node that comes back all votes of the open height, its own among them."""
    ports = Ports()
    format_slots(seed_of(OWN, "consensus"), ports.slots, watermark_height=UNKNOWN_HEIGHT)
    host = ports.host()
    if ended:
        for peer in (FIRST, SECOND, FOURTH):
            tell(host, peer, Here(height=1, round=0))
        assert host.key._signer is not None
        assert not host.key._signer.is_silent
    tell(host, FIRST, VoteMessage(vote=vote(OWN, VoteKind.PREVOTE, (A_BLOCK,))))
    assert host.key.stopped == ""


# --- signing twice -------------------------------------------------------------------------------


def test_a_signer_whose_record_is_an_old_copy_is_caught_by_a_certificate() -> None:
    """Store, log and record restored together agree; what others decided since tells."""
    ports = Ports()
    host = ports.host()
    (block,) = decided_chain(1)
    certificate = certify(block.header, signers=(FIRST, SECOND, OWN))
    take(host, [replace(block, certificate=certificate)])
    assert host.height == 2
    assert host.key.stopped, "its key precommitted at height 1, and its record does not know"


def test_a_signer_whose_record_is_older_than_the_store_signs_nothing() -> None:
    """Record and log are an old copy, the store is not: it may have signed at the next height."""
    ports = Ports()
    (block,) = decided_chain(1)
    certificate = certify(block.header, signers=(FIRST, SECOND, OWN))
    take(ports.host(), [replace(block, certificate=certificate)])
    ports.logs = Ports().logs
    assert ports.host().key.stopped


def test_a_crash_at_the_end_of_the_silence_leaves_a_record() -> None:
    """A record that cannot be read keeps the node from starting."""
    seed = seed_of(OWN, "consensus")
    for dice in range(200):
        plan = CrashPlan()
        slots = SimulatedSlotFile(plan, Random(dice))
        format_slots(seed, slots, watermark_height=UNKNOWN_HEIGHT)
        signer = Signer(seed, slots, sign=STAND_IN.sign)
        plan.arm(1 + dice % 6, only_durable=True)
        try:
            signer.end_silence(7)
        except Crash:
            plan.arm(0)
        slots.crash()
        try:
            Signer(seed, slots, sign=STAND_IN.sign)
        except SignerDamaged:
            pytest.fail("neither slot survived")


# --- misbehaviour that nobody records ------------------------------------------------------------


def decide_first(host: BuiltinEngine) -> None:
    """Let the others decide height 1 in round 0."""
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for kind in VoteKind:
        for who in (FIRST, SECOND):
            tell(host, who, VoteMessage(vote=vote(who, kind, (block,))))
    assert host.height == 2


def test_a_liar_cannot_make_others_forget_the_votes_of_a_height() -> None:
    ports = Ports()
    host = ports.host()
    timely, late = lie()
    tell(host, FOURTH, VoteMessage(vote=timely))
    for round_ in range(100, 100 + LATE_VOTES_MAX):
        tell(host, FOURTH, VoteMessage(vote=vote(FOURTH, VoteKind.PREVOTE, (), round_=round_)))
    decide_first(host)
    tell(host, FOURTH, VoteMessage(vote=late))
    assert host.evidence.waiting(lambda misbehaviour: True) == (evidence_of(timely, late),)


def test_a_vote_that_a_certificate_contradicts_becomes_evidence() -> None:
    ports = Ports()
    host = ports.host()
    told = vote(FOURTH, VoteKind.PRECOMMIT, ())
    tell(host, FOURTH, VoteMessage(vote=told))
    (block,) = decided_chain(1)
    certificate = certify(block.header, signers=(FIRST, SECOND, FOURTH))
    take(host, [replace(block, certificate=certificate)])
    assert host.height == 2
    certified = vote(FOURTH, VoteKind.PRECOMMIT, (messages.block_id(block.header),))
    assert host.evidence.waiting(lambda misbehaviour: True) == (evidence_of(told, certified),)


# --- work for nothing ----------------------------------------------------------------------------


def test_a_flood_of_heres_is_answered_once() -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    ports.sent.clear()
    tell(host, FOURTH, Here(height=1, round=0))
    once = len(ports.sent)
    assert once > 0
    for _ in range(100):
        tell(host, FOURTH, Here(height=1, round=0))
        tell(host, FOURTH, Here(height=0, round=0))
    assert len(ports.sent) <= 2 * once


def test_a_flood_of_wants_is_answered_once() -> None:
    ports = Ports()
    host = ports.host()
    header, body = first_block(FIRST)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    ports.sent.clear()
    want = codec.encode(WantChunks(height=1, block_id=messages.block_id(header)))
    for _ in range(100):
        host.on_message(FOURTH, Channel.BLOCK, want)
    assert 0 < len(ports.sent) <= 2 * len(messages.chunks_of(body))


# --- upgrades ------------------------------------------------------------------------------------


def test_a_node_of_old_software_signs_nothing_at_a_height_of_new_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogue, "RULES_VERSIONS", ())
    ports = Ports()
    with pytest.raises(RulesUnknown):
        ports.host()


def test_the_last_block_before_another_engine_is_told_to_who_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Ledger, "engine", lambda self, height: "comet" if height > 1 else "")
    ports = Ports()
    host = ports.host()
    with pytest.raises(EngineSwitched):
        take(host, decided_chain(1))
    assert [event.height for event in ports.commits] == [1]


# --- the scrub -----------------------------------------------------------------------------------


def idle_store(path: Path, *, idle_heights: int) -> LmdbStore:
    """Return a store with a few roots, and then only heights of which the log says nothing."""
    store = LmdbStore(path, map_bytes=2**26, durable=False)
    made = DecidedChain(Chain(ledger=Ledger(store)))
    made.block(builders.publish(), builders.enrol("firm-a"))
    made.block(builders.accredit(), after_ms=6_000)
    made.block(after_ms=6_000)
    for _ in range(idle_heights):
        made.block(after_ms=1_000)
    return store


def test_a_new_store_is_sound(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, map_bytes=2**26, durable=False)
    Ledger(store).begin(FOUNDATION.genesis)
    scrub = Scrub()
    while not scrub.passes:
        scrub.step(store.snapshot)
    store.close()


def rows_read(store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many rows of blocks and entries each step of one pass of the scrub reads."""
    counted = [0]
    row_of, entries_of = Snapshot.block_row, Snapshot.entries

    def block_row(self: Snapshot, height: int) -> BlockRow | None:
        counted[0] += 1
        return row_of(self, height)

    def entries(self: Snapshot, first: int, last: int) -> tuple[bytes, ...]:
        found = entries_of(self, first, last)
        counted[0] += len(found)
        return found

    monkeypatch.setattr(Snapshot, "block_row", block_row)
    monkeypatch.setattr(Snapshot, "entries", entries)
    steps: list[int] = []
    scrub = Scrub()
    while not scrub.passes:
        counted[0] = 0
        scrub.step(store.snapshot)
        steps.append(counted[0])
    return steps


def test_a_step_of_the_scrub_does_not_grow_with_idle_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = idle_store(tmp_path, idle_heights=200)
    assert max(rows_read(store, monkeypatch)) <= 3 * ROWS_A_STEP
    store.close()


def test_a_step_of_the_scrub_does_not_grow_with_full_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LmdbStore(tmp_path, map_bytes=2**26, durable=False)
    made = DecidedChain(Chain(ledger=Ledger(store)))
    for height in range(8):
        made.block(*(builders.enrol(f"firm-{height}-{number}") for number in range(40)))
    assert max(rows_read(store, monkeypatch)) <= 3 * ROWS_A_STEP
    store.close()


class RottenLook:
    """A look at a file whose pages LMDB cannot follow any more."""

    def head(self) -> None:
        raise lmdb.CorruptedError("MDB_CORRUPTED: Located page was wrong type")


def test_damage_that_lmdb_finds_is_a_rotten_store() -> None:
    with pytest.raises(StoreRotten):
        Scrub().step(cast(Snapshot, RottenLook()))


@dataclass(frozen=True)
class Folder:
    """As much of a node as writes down why it broke off."""

    folder: Path

    @property
    def _config(self) -> "Folder":
        return self

    @property
    def stopped(self) -> Path:
        """Return where the reason is kept."""
        return self.folder / "stopped"


def broken_off(folder: Path, error: Exception) -> str:
    """Return what a node writes down when this ends its host."""

    async def end() -> None:
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        finished.set_exception(error)
        Node._host_ended(cast(Node, Folder(folder)), finished)

    asyncio.run(end())
    return read_stop(folder / "stopped")


def test_a_broken_assertion_is_not_forgotten(tmp_path: Path) -> None:
    assert "no such block" in broken_off(tmp_path, AssertionError("no such block"))


@pytest.mark.parametrize(
    "error",
    [
        lmdb.Error("mdb_txn_commit: Input/output error"),
        lmdb.CorruptedError("MDB_CORRUPTED: Located page was wrong type"),
    ],
    ids=["a commit that could not be synced", "a page that is none"],
)
def test_a_store_that_fails_is_not_forgotten(error: lmdb.Error, tmp_path: Path) -> None:
    assert str(error) in broken_off(tmp_path, error)
