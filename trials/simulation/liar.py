"""A Byzantine validator: the real host behind a port that lies, and mischief of its own.

It signs whatever it likes, with its own key alone. What it says to one peer it need not say to
another. Its own host stays honest, so that it can follow the chain and lie about what matters.
It has also heard everything that the same keys say in a twin network with another log id.
"""

from collections import deque
from collections.abc import Callable
from random import Random

import msgspec

from consensus.certificate import Certificate
from consensus.evidence import Evidence, Said
from consensus.messages import (
    BlockId,
    Proposal,
    ValidatorKey,
    Vote,
    VoteKind,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from engines.builtin import messages
from engines.builtin.engine import BuiltinEngine
from engines.builtin.messages import (
    ENGINE_EPOCH,
    Blocks,
    Body,
    Chunk,
    DecidedBlock,
    EvidenceMessage,
    Header,
    Here,
    ProposalMessage,
    VoteMessage,
)
from engines.builtin.p2p.frames import Channel
from ledger.blocks import BlockInput, BlockRefused
from ledger.encoding import codec
from ledger.transactions import parse, seal
from trials.simulation.member import Member
from trials.simulation.network import SimulatedNetwork
from trials.simulation.signatures import Signatures, public_key, seed_of
from trials.simulation.world import World

MISCHIEF_MEAN_US = 150_000
REMEMBERED_MAX = 200
FAR_FUTURE_MS = 3_600_000
TWIN_LOG_ID = bytes(range(32))
"""Of the twin network."""
BACKED = 0.4
"""Share of false proposals that all hear and the liar votes for: only a check can stop them."""


class Liar:
    """The port of a Byzantine member, and what it does without being asked."""

    def __init__(
        self,
        member: Member,
        *,
        log_id: bytes,
        world: World,
        network: SimulatedNetwork,
        signatures: Signatures,
        random: Random,
    ) -> None:
        self._member = member
        self._log_id = log_id
        self._world = world
        self._network = network
        self._sign = signatures.sign
        self._random = random
        self._remembered: deque[tuple[Channel, bytes]] = deque(maxlen=REMEMBERED_MAX)
        self._proposals: deque[tuple[Proposal, bytes]] = deque(maxlen=8)
        """Blocks of the last heights with their bodies."""
        self._honesty = random.choice((0.2, 0.6, 0.9))
        self._is_discreet = random.random() < 0.5
        """Whether it signs no two things at one place: nothing convicts it."""
        self._lied_at: set[tuple[int, int]] = set()
        """Heights and rounds at which a discreet liar proposed and voted against its host."""
        member.port = self
        self._plan_mischief()

    # --- the port --------------------------------------------------------------------------------

    def send(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Send what the host says to one peer, perhaps."""
        if self._would_convict(self._decode(channel, payload)):
            return
        self._remembered.append((channel, payload))
        if self._random.random() < max(self._honesty, 0.5):
            self._network.send(self._member.name, peer, channel, payload)

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Send what the host says to everybody, or something else to some."""
        message = self._decode(channel, payload)
        if self._would_convict(message):
            return
        is_own = False
        if isinstance(message, VoteMessage):
            is_own = message.vote.validator == self._member.key
        if isinstance(message, ProposalMessage):
            is_own = message.proposal.validator == self._member.key
        is_true = not is_own or self._random.random() < self._honesty
        if is_true or not isinstance(message, ProposalMessage):
            self._remembered.append((channel, payload))
        if is_true:
            self._to_all(channel, payload)
        elif isinstance(message, VoteMessage):
            if not self._is_discreet:
                self._vote_twice(message.vote)
        elif isinstance(message, ProposalMessage):
            self._propose_twice(message.proposal, payload)

    def _would_convict(self, message: object) -> bool:
        """Return whether the host now says another thing than a discreet liar said there."""
        match message:
            case VoteMessage(vote=said) | ProposalMessage(proposal=said):
                is_own = said.validator == self._member.key
                return is_own and (said.height, said.round) in self._lied_at
        return False

    def fault(self, peer: str, reason: str) -> None:
        """Blame nobody."""

    def _decode(self, channel: Channel, payload: bytes) -> object:
        kinds = {Channel.VOTE: messages.OnVoteChannel, Channel.BLOCK: messages.OnBlockChannel}
        return codec.decode(kinds[channel], payload, len(payload)) if channel in kinds else None

    def _peers(self) -> list[str]:
        return [name for name in self._network.names if name != self._member.name]

    def _some(self) -> list[str]:
        """Return a random part of the peers, in random order."""
        peers = self._peers()
        return self._random.sample(peers, self._random.randint(0, len(peers)))

    def _to(self, peers: list[str], channel: Channel, payload: bytes) -> None:
        for peer in peers:
            self._network.send(self._member.name, peer, channel, payload)

    def _to_all(self, channel: Channel, payload: bytes) -> None:
        self._to(self._peers(), channel, payload)

    # --- two stories -----------------------------------------------------------------------------

    def _vote_twice(self, vote: Vote) -> None:
        values = [
            vote.block_id,
            (),
            *((proposal.block_id,) for proposal, _ in self._now_proposed()),
        ]
        for peer in self._peers():
            for _ in range(self._random.randint(0, 3)):
                value = self._random.choice(values)
                self._to([peer], Channel.VOTE, self._vote(vote.kind, vote.round, value))

    def _propose_twice(self, proposal: Proposal, payload: bytes) -> None:
        host = self._host()
        if host is None:
            return
        data = host.heights.now.blocks.must(proposal.block_id).body
        twin = self._twin(proposal, data)
        is_backed = self._is_discreet or self._random.random() < BACKED
        if self._is_discreet:
            self._lied_at.add((proposal.height, proposal.round))
        told = [] if is_backed else self._some()
        self._to(told, Channel.BLOCK, payload)
        if twin is None:
            return
        header, body = twin
        valid_round = proposal.valid_round
        if proposal.round and self._random.random() < 0.6:
            valid_round = (self._random.randrange(proposal.round),)
        rival = self._proposal(header, body, proposal.round, valid_round)
        self._proposals.append((rival, body))
        for peer in self._peers():
            if peer not in told or self._random.random() < 0.2:
                self._propose(peer, rival, body)
        if is_backed:
            for kind in VoteKind:
                self._to_all(Channel.VOTE, self._vote(kind, proposal.round, (rival.block_id,)))

    def _propose(self, peer: str, proposal: Proposal, body: bytes) -> None:
        self._to([peer], Channel.BLOCK, codec.encode(ProposalMessage(proposal=proposal)))
        for index, data in enumerate(messages.chunks_of(body)):
            chunk = Chunk(
                height=proposal.height, block_id=proposal.block_id, index=index, data=data
            )
            self._to([peer], Channel.BLOCK, codec.encode(chunk))

    def _twin(self, proposal: Proposal, data: bytes) -> tuple[Header, bytes] | None:
        """Return another block in place of an own one: as good, or with one thing wrong."""
        header = messages.decode_header(proposal.header)
        taken = messages.decode_body(data).transactions
        host = self._host()
        assert host is not None
        pool = tuple(entry.transaction.raw for entry in host.pool._entries.values())
        stolen = self._now_proposed()
        if stolen and self._random.random() < 0.35:
            victim, body = self._random.choice(stolen)
            return messages.decode_header(victim.header), body
        match self._random.randrange(13):
            case 0:
                return self._block(taken, header.time_ms + 1)
            case 1:
                return self._block((), header.time_ms)
            case 2 | 9 | 10:
                fewer = [self._signed_by_fewer(raw) for raw in pool]
                return self._block(tuple(self._random.sample(fewer, len(fewer))), header.time_ms)
            case 3 | 11:
                return self._block(taken, header.time_ms + FAR_FUTURE_MS)
            case 4 | 5:
                return self._with_a_wrong_field(header), data
            case 6:
                return self._block((*taken, *taken), header.time_ms)
            case 7:
                return self._block(taken, header.time_ms, (self._forged_evidence(),))
            case 8:
                return self._block((*taken, *self._old_transactions()), header.time_ms)
            case _:
                previous = self._false_previous(header.height)
                return self._block(taken, header.time_ms, previous=previous)

    def _with_a_wrong_field(self, header: Header) -> Header:
        """Return a header with one field changed alone."""
        wrong: dict[str, bytes | int] = {
            "log_id": TWIN_LOG_ID,
            "epoch": header.epoch + 1,
            "height": header.height + self._random.choice((-1, 1)),
            "time_ms": header.time_ms + 1,
            "parent": self._random.randbytes(32),
            "record_hash": self._random.randbytes(32),
            "body_hash": self._random.randbytes(32),
        }
        name = self._random.choice(sorted(wrong))
        return msgspec.structs.replace(header, **{name: wrong[name]})

    def _false_previous(self, height: int) -> tuple[Certificate, ...]:
        """Return a certificate to carry that is not the parent's, or proves nothing."""
        host = self._host()
        assert host is not None
        own = (ValidatorKey(self._member.key), self._random.randbytes(64))
        made_up = Certificate(
            height=height - 1, round=0, block_id=BlockId(host.heights.parent), signatures=(own,)
        )
        if not host.heights.previous:
            return (made_up,)
        (true,) = host.heights.previous
        key, _ = true.signatures[-1]
        junk = (key, self._random.randbytes(64))
        return self._random.choice(
            (
                (),
                (made_up,),
                (msgspec.structs.replace(true, height=height),),
                (msgspec.structs.replace(true, round=true.round + 1),),
                (msgspec.structs.replace(true, block_id=BlockId(self._random.randbytes(32))),),
                (msgspec.structs.replace(true, signatures=true.signatures[:1]),),
                (msgspec.structs.replace(true, signatures=(*true.signatures[:-1], junk)),),
            )
        )

    def _signed_by_fewer(self, raw: bytes) -> bytes:
        """Return a transaction as it came, or with one signature left out: the id is the same."""
        transaction = parse(raw)
        pairs = dict(transaction.signatures)
        if len(pairs) > 1 and self._random.random() < 0.7:
            del pairs[self._random.choice(sorted(pairs))]
        return seal(transaction.body_bytes, pairs)

    def _old_transactions(self) -> tuple[bytes, ...]:
        log = self._member.store.log
        decoded = (
            msgspec.msgpack.decode(raw) for raw in self._random.sample(log, min(3, len(log)))
        )
        return tuple(entry[1] for entry in decoded if entry[0] == "transaction")

    def _now_proposed(self) -> list[tuple[Proposal, bytes]]:
        """Return blocks that anybody proposed at this height."""
        host = self._host()
        if host is None:
            return []
        known = [
            (proposal, host.heights.now.blocks.must(proposal.block_id).body)
            for round_ in range(host.round + 1)
            if (proposal := host.heights.now.driver.proposal_for(round_)) is not None
            and host.heights.now.blocks.get(proposal.block_id) is not None
        ]
        return known + [
            (proposal, body) for proposal, body in self._proposals if proposal.height == host.height
        ]

    # --- mischief --------------------------------------------------------------------------------

    def _plan_mischief(self) -> None:
        delay_us = int(self._random.expovariate(1 / MISCHIEF_MEAN_US))
        self._world.after(delay_us, self._do_mischief)

    def _do_mischief(self) -> None:
        self._plan_mischief()
        if self._host() is None:
            return
        deniable: tuple[Callable[[], None], ...] = (
            self._vote_for_another,
            self._claim_height,
            self._repeat_old_message,
            self._send_junk,
            self._frame,
            self._vote_as_in_the_twin,
        )
        convicting: tuple[Callable[[], None], ...] = (
            self._vote_at_random,
            self._vote_at_random,
            self._propose_out_of_turn,
            self._forge_decided_block,
        )
        self._random.choice(deniable if self._is_discreet else deniable + convicting)()

    def _vote_at_random(self) -> None:
        host = self._host()
        assert host is not None
        values = [(), *((proposal.block_id,) for proposal, _ in self._now_proposed())]
        round_ = host.round + self._random.choice((0, 0, 0, 1, 2, 40))
        for peer in self._some():
            kind = self._random.choice(list(VoteKind))
            value = self._random.choice(values)
            self._to([peer], Channel.VOTE, self._vote(kind, round_, value))

    def _vote_for_another(self) -> None:
        """Forge a vote of somebody else's key."""
        host = self._host()
        assert host is not None
        values = [(), *((proposal.block_id,) for proposal, _ in self._now_proposed())]
        vote = Vote(
            kind=self._random.choice(list(VoteKind)),
            height=host.height,
            round=host.round,
            block_id=self._random.choice(values),
            validator=self._random.choice(host.heights.now.validators.validators).key,
            signature=self._random.randbytes(64),
        )
        self._to(self._some(), Channel.VOTE, codec.encode(VoteMessage(vote=vote)))

    def _propose_out_of_turn(self) -> None:
        host = self._host()
        assert host is not None
        block = self._block((), self._world.now_ms)
        if block is None:
            return
        round_ = host.round + self._random.choice((0, 0, 1, 2, 40))
        valid_round = self._random.choice(((), (), (0,)))
        if valid_round and not round_:
            valid_round = ()
        stolen = self._now_proposed()
        if valid_round and stolen:  # as if it had a polka
            victim, body = self._random.choice(stolen)
            block = messages.decode_header(victim.header), body
        proposal = self._proposal(*block, round_, valid_round)
        self._proposals.append((proposal, block[1]))
        for peer in self._some():
            self._propose(peer, proposal, block[1])

    def _forge_decided_block(self) -> None:
        """Show a block as decided that was not: signed by too few, or by nobody."""
        block = self._block((), self._world.now_ms)
        host = self._host()
        assert host is not None
        if block is None:
            return
        header, body = block
        block_id = messages.block_id(header)
        message = self._vote_message(VoteKind.PRECOMMIT, 0, (block_id,))
        own = self._sign(self._member.seed, message)
        keys = [validator.key for validator in host.heights.now.validators.validators]
        signatures: list[tuple[ValidatorKey, bytes]] = [
            (key, own if key == self._member.key else self._random.randbytes(64)) for key in keys
        ]
        match self._random.randrange(3):
            case 0:
                signatures = [pair for pair in signatures if pair[0] == self._member.key]
            case 1:
                signatures = [(ValidatorKey(self._member.key), own)] * len(keys)
        certificate = Certificate(
            height=header.height, round=0, block_id=block_id, signatures=tuple(signatures)
        )
        forged = DecidedBlock(header=header, certificate=certificate, body=body)
        payload = codec.encode(Blocks(blocks=(forged,)))
        self._to(self._some(), Channel.SYNC, payload)

    def _claim_height(self) -> None:
        host = self._host()
        assert host is not None
        height = self._random.choice((0, host.height + 1, host.height + 1_000_000))
        self._to(self._some(), Channel.VOTE, codec.encode(Here(height=height, round=0)))

    def _repeat_old_message(self) -> None:
        if self._remembered:
            channel, payload = self._random.choice(self._remembered)
            self._to(self._some(), channel, payload)

    def _send_junk(self) -> None:
        channel = self._random.choice(
            (Channel.VOTE, Channel.BLOCK, Channel.TRANSACTIONS, Channel.SYNC)
        )
        payload = self._random.randbytes(self._random.randint(1, 100))
        if self._remembered and self._random.random() < 0.7:
            channel, old = self._random.choice(self._remembered)
            place = self._random.randrange(len(old))
            payload = old[:place] + self._random.randbytes(1) + old[place + 1 :]
        self._to(self._some(), channel, payload)

    def _frame(self) -> None:
        """Tell of misbehaviour that an honest key is not guilty of."""
        payload = codec.encode(EvidenceMessage(evidence=self._forged_evidence()))
        self._to(self._some(), Channel.VOTE, payload)

    def _vote_as_in_the_twin(self) -> None:
        """Pass on what an honest key said in the twin network."""
        host = self._host()
        assert host is not None
        values = [(), *((proposal.block_id,) for proposal, _ in self._now_proposed())]
        kind, value = self._random.choice(list(VoteKind)), self._random.choice(values)
        seed = self._somebody()
        vote = Vote(
            kind=kind,
            height=host.height,
            round=host.round,
            block_id=value,
            validator=ValidatorKey(public_key(seed)),
            signature=self._said_in_the_twin(seed, kind, host.height, host.round, value),
        )
        self._to(self._some(), Channel.VOTE, codec.encode(VoteMessage(vote=vote)))

    # --- making things ---------------------------------------------------------------------------

    def _host(self) -> BuiltinEngine | None:
        return self._member.host

    def _somebody(self) -> bytes:
        """Return the seed of another member, to ask what it said in the twin network."""
        return seed_of(self._random.choice(self._peers()), "consensus")

    def _said_in_the_twin(
        self, seed: bytes, kind: VoteKind, height: int, round_: int, value: tuple[BlockId, ...]
    ) -> bytes:
        message = vote_sign_bytes(TWIN_LOG_ID, ENGINE_EPOCH, kind, height, round_, value)
        return self._sign(seed, message)

    def _forged_evidence(self) -> Evidence:
        """Return a proof against another key, of signatures that it made elsewhere or never."""
        host = self._host()
        assert host is not None
        seed, kind = self._somebody(), self._random.choice(list(VoteKind))
        is_of_twin = self._random.random() < 0.5
        values = ((), (BlockId(self._random.randbytes(32)),))
        nil, block = (
            Said(
                block_id=value,
                valid_round=(),
                signature=self._said_in_the_twin(seed, kind, host.height, 0, value)
                if is_of_twin
                else self._random.randbytes(64),
            )
            for value in values
        )
        return Evidence(
            validator=ValidatorKey(public_key(seed)),
            height=host.height,
            kind="prevote" if kind is VoteKind.PREVOTE else "precommit",
            round=0,
            said=(nil, block),
        )

    def _block(
        self,
        transactions: tuple[bytes, ...],
        time_ms: int,
        evidence: tuple[Evidence, ...] = (),
        *,
        previous: tuple[Certificate, ...] | None = None,
    ) -> tuple[Header, bytes] | None:
        """Return a block on the last one; its record is wrong if it must not stand.

        It carries the certificate of its parent, or what is given in its place.
        """
        host = self._host()
        assert host is not None
        ledger = self._member.ledger
        height = ledger.last().height + 1
        try:
            block = BlockInput(
                height=height,
                time_ms=time_ms,
                transactions=transactions,
                misbehaviours=tuple(map(messages.misbehaviour_of, evidence)),
            )
            record_hash = ledger.execute(block).head.record_hash
        except BlockRefused:
            record_hash = self._random.randbytes(32)
        carried = host.heights.previous if previous is None else previous
        body = codec.encode(Body(transactions=transactions, evidence=evidence, previous=carried))
        header = Header(
            version=1,
            log_id=self._log_id,
            epoch=ENGINE_EPOCH,
            height=height,
            time_ms=time_ms,
            proposer=self._member.key,
            parent=host.heights.parent,
            record_hash=record_hash,
            body_hash=messages.body_hash(messages.chunk_hashes(messages.chunks_of(body))),
        )
        return header, body

    def _proposal(
        self, header: Header, body: bytes, round_: int, valid_round: tuple[int, ...]
    ) -> Proposal:
        block = messages.block_id(header)
        message = proposal_sign_bytes(
            self._log_id, ENGINE_EPOCH, header.height, round_, valid_round, block
        )
        return Proposal(
            height=header.height,
            round=round_,
            valid_round=valid_round,
            block_id=block,
            validator=ValidatorKey(self._member.key),
            header=codec.encode(header),
            chunk_hashes=messages.chunk_hashes(messages.chunks_of(body)),
            signature=self._sign(self._member.seed, message),
        )

    def _vote_message(self, kind: VoteKind, round_: int, value: tuple[BlockId, ...]) -> bytes:
        host = self._host()
        assert host is not None
        return vote_sign_bytes(self._log_id, ENGINE_EPOCH, kind, host.height, round_, value)

    def _vote(self, kind: VoteKind, round_: int, value: tuple[BlockId, ...]) -> bytes:
        host = self._host()
        assert host is not None
        vote = Vote(
            kind=kind,
            height=host.height,
            round=round_,
            block_id=value,
            validator=ValidatorKey(self._member.key),
            signature=self._sign(self._member.seed, self._vote_message(kind, round_, value)),
        )
        return codec.encode(VoteMessage(vote=vote))
