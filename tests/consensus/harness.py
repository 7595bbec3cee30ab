"""A whole network of drivers from one seed, on virtual time, with an adversary.

Messages are delayed, reordered, dropped and duplicated; nodes are cut off, crash between any two
effects, lose what was not durable, and restart from their logged inputs. Up to f validators are
Byzantine. Checked after every step: agreement, validity, that no correct node contradicts itself
or breaks its lock, that certificates prove their blocks, that nobody runs ahead of every correct
node. After the faults end, everybody must decide.
"""

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from consensus.certificate import Certificate
from consensus.driver import Driver
from consensus.effects import (
    BroadcastProposal,
    BroadcastVote,
    BuildProposal,
    Decide,
    Effect,
    Equivocation,
    Log,
    Repropose,
    ScheduleTimeout,
    SignVote,
    StopVoting,
)
from consensus.inputs import Input, ProposalReceived, TimeoutExpired, VoteReceived, WorkArrived
from consensus.messages import (
    NIL,
    BlockId,
    OptionalBlockId,
    Proposal,
    ValidatorKey,
    Vote,
    VoteKind,
    vote_sign_bytes,
)
from consensus.timeouts import TimeoutPolicy
from consensus.validators import Validator, ValidatorSet

LOG_ID = bytes(32)
TIMEOUTS = TimeoutPolicy(propose_ms=60, prevote_ms=30, precommit_ms=30, increment_ms=15)
HEAL_MS = 2_000
"""When the faults end."""
FAULTS_MS = 500
"""Crashes and cuts start before this: most heights are decided soon after."""
LIVE_MS = 60_000
"""Everybody has decided by then; it is virtual time."""
RESEND_MS = 150
DELAY_MS_MAX = 25
TICK_MS = 30
STEPS_MAX = 60_000
Message = Vote | Proposal | Certificate


class Violation(AssertionError):
    """A promise was broken; the text names it and the seed."""


class Crash(Exception):
    """Power went between two effects."""


def key_of(index: int) -> ValidatorKey:
    return ValidatorKey(bytes([index + 1]) * 32)


def validator_set(powers: tuple[int, ...]) -> ValidatorSet:
    return ValidatorSet(
        validators=tuple(
            Validator(key=key_of(index), power=power) for index, power in enumerate(powers)
        )
    )


def signature_of(key: ValidatorKey, message: bytes) -> bytes:
    """Stand in for Ed25519: only the holder of a key asks for it here."""
    return hashlib.sha512(key + message).digest()


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    return signature == signature_of(ValidatorKey(key), message)


def signed_vote(
    key: ValidatorKey, kind: VoteKind, height: int, round: int, block_id: OptionalBlockId
) -> Vote:
    message = vote_sign_bytes(LOG_ID, 0, kind, height, round, block_id)
    return Vote(
        kind=kind,
        height=height,
        round=round,
        block_id=block_id,
        validator=key,
        signature=signature_of(key, message),
    )


def proposal_of(
    key: ValidatorKey,
    height: int,
    round: int,
    block_id: BlockId,
    valid_round: tuple[int, ...] = (),
) -> Proposal:
    return Proposal(
        height=height,
        round=round,
        valid_round=valid_round,
        block_id=block_id,
        validator=key,
        header=b"",
        chunk_hashes=(),
        signature=bytes(64),
    )


def is_valid(block_id: BlockId) -> bool:
    """One block in a while is invalid, and every node finds the same ones so."""
    return block_id[0] != 0


def kind_of(message: Message) -> str:
    match message:
        case Vote(kind=kind):
            return kind
        case Proposal():
            return "proposal"
        case Certificate():
            return "certificate"


class Node:
    """A correct validator: performs effects in order, with a log that is lost until synced."""

    def __init__(self, network: "Network", index: int) -> None:
        self.network = network
        self.index = index
        self.key = key_of(index)
        self.durable: list[tuple[Input, tuple[Effect, ...]]] = []
        self.unsynced: list[tuple[Input, tuple[Effect, ...]]] = []
        self.generation = 0
        self.effects_until_crash: int | None = None
        self.is_up = True
        self.decision: BlockId | None = None
        self.certificate: Certificate | None = None
        self.start()

    def start(self) -> None:
        self.driver = Driver(
            height=self.network.height,
            validators=self.network.validators,
            own_key=self.key,
            timeouts=TIMEOUTS,
        )
        self.inbox: deque[Input] = deque()

    def feed(self, input: Input) -> None:
        if not self.is_up:
            return
        self.inbox.append(input)
        try:
            while self.inbox:
                self.handle(self.inbox.popleft())
        except Crash:
            self.is_up = False
            self.unsynced.clear()
            self.inbox.clear()
            self.network.after(self.network.random.randint(10, 400), self.restart)

    def handle(self, input: Input) -> None:
        effects = self.driver.handle(input)
        self.network.check_round(self)
        for effect in effects:
            if self.effects_until_crash is not None:
                self.effects_until_crash -= 1
                if self.effects_until_crash < 0:
                    self.effects_until_crash = None
                    raise Crash
            if isinstance(effect, Log):
                self.unsynced.append((effect.input, effects))
            else:
                self.perform(effect)

    def sync(self) -> None:
        self.durable += self.unsynced
        self.unsynced.clear()

    def perform(self, effect: Effect) -> None:
        match effect:
            case SignVote():
                self.sync()
                self.sign(effect)
            case BroadcastVote(vote=vote):
                self.network.broadcast(self, vote)
            case BroadcastProposal(proposal=proposal):
                self.sync()
                self.network.broadcast(self, proposal)
            case BuildProposal(round=round):
                self.sync()
                self.propose(self.network.new_block(), round, ())
            case Repropose():
                self.sync()
                self.propose(effect.block_id, effect.round, (effect.valid_round,))
            case ScheduleTimeout():
                self.arm(effect)
            case Decide():
                self.sync()
                self.decide(effect.certificate)
            case StopVoting():
                raise Violation("a quorum precommitted an invalid block")
            case Equivocation(first=first):
                if first.validator not in self.network.byzantine:
                    raise Violation("a correct validator was accused")
            case Log():
                raise AssertionError("Log comes first and only once")

    def sign(self, effect: SignVote) -> None:
        vote = signed_vote(
            self.key, effect.kind, self.network.height, effect.round, effect.block_id
        )
        self.network.check_vote(self, vote)
        self.inbox.append(VoteReceived(vote=vote))

    def propose(self, block_id: BlockId, round: int, valid_round: tuple[int, ...]) -> None:
        proposal = proposal_of(self.key, self.network.height, round, block_id, valid_round)
        self.inbox.append(ProposalReceived(proposal=proposal, valid=True, timely=True))

    def arm(self, effect: ScheduleTimeout) -> None:
        generation = self.generation

        def expire() -> None:
            if self.generation == generation and self.is_up:
                self.feed(TimeoutExpired(kind=effect.kind, round=effect.round))

        self.network.after(effect.after_ms, expire)

    def decide(self, certificate: Certificate) -> None:
        self.network.check_decision(certificate)
        self.decision = certificate.block_id
        self.certificate = certificate

    def receive(self, message: Message) -> None:
        if not self.is_up:
            return
        match message:
            case Certificate():
                if self.network.proves(message) and self.decision is None:
                    self.decide(message)
            case _ if self.certificate is not None:
                pass
            case Vote():
                self.feed(VoteReceived(vote=message))
            case Proposal():
                timely = self.network.random.random() > 0.1
                valid = is_valid(message.block_id)
                self.feed(ProposalReceived(proposal=message, valid=valid, timely=timely))

    def resend(self) -> None:
        if not self.is_up:
            return
        if self.certificate is not None:
            self.network.broadcast(self, self.certificate)
            return
        for proposal in self.driver.resend_proposals():
            self.network.broadcast(self, proposal)
        for vote in self.driver.resend():
            self.network.broadcast(self, vote)

    def restart(self) -> None:
        """Replay the log with the gate shut, then catch up on what was not done before."""
        self.generation += 1
        self.is_up = True
        self.start()
        wanted: list[Effect] = []
        expired: list[tuple[str, int]] = []
        for input, effects in self.durable:
            if self.driver.handle(input) != effects:
                raise Violation("a replay gave other effects")
            wanted += effects
            if isinstance(input, TimeoutExpired):
                expired.append((input.kind, input.round))
        for effect in wanted:
            match effect:
                case ScheduleTimeout(kind=kind, round=round):
                    if round == self.driver.round and (kind, round) not in expired:
                        self.arm(effect)
                case SignVote(kind=kind, round=round):
                    if self.driver.own_vote(round, kind) is None:
                        self.perform(effect)
                case BuildProposal(round=round) | Repropose(round=round):
                    if round == self.driver.round and self.driver.proposal_for(round) is None:
                        self.perform(effect)
                case BroadcastVote(vote=sent) if sent.round == self.driver.round:
                    self.perform(effect)
                case BroadcastProposal(proposal=sent) if sent.round == self.driver.round:
                    self.perform(effect)
                case Decide():
                    self.perform(effect)
                case _:
                    pass
        self.feed(WorkArrived())


class Byzantine:
    """A validator under the adversary: tells everybody what hurts, but can't forge signatures."""

    def __init__(self, network: "Network", index: int) -> None:
        self.network = network
        self.index = index
        self.key = key_of(index)
        self.seen: dict[int, list[BlockId]] = {}
        self.round = 0
        self.falls_silent = network.random.random() < 0.3
        """Once the faults end. The rest must be able to go on alone."""
        self.share_nil = network.random.choice((0.1, 0.5))

    def receive(self, message: Message) -> None:
        if isinstance(message, Certificate):
            return
        if message.validator not in self.network.byzantine:
            self.round = max(self.round, message.round)
        if isinstance(message, Proposal):
            blocks = self.seen.setdefault(message.round, [])
            if message.block_id not in blocks:
                blocks.append(message.block_id)

    def tick(self) -> None:
        dice, network = self.network.random, self.network
        if self.falls_silent and network.now_ms >= HEAL_MS:
            return
        round = max(0, self.round + dice.choice((0, 0, 0, 0, 1, -1)))
        is_proposer = network.validators.proposer(network.height, round) == self.key
        if is_proposer or dice.random() < 0.1:
            self.propose(round)
        if dice.random() < 0.05:
            round += dice.randint(2, 40)
        elif self.round and dice.random() < 0.2:
            round = dice.randrange(self.round)  # reveal what was withheld
        blocks = [*self.seen.get(round, ()), *self.seen.get(round - 1, ())]
        newest: OptionalBlockId = (blocks[0],) if blocks else NIL
        strategy = dice.random()
        for node in network.nodes:
            for kind in VoteKind:
                value = newest
                if strategy < self.share_nil:
                    value = NIL
                elif strategy > 0.7:
                    value = dice.choice((NIL, *((block,) for block in blocks)))
                if dice.random() < 0.8:
                    vote = signed_vote(self.key, kind, network.height, round, value)
                    network.send(self.index, node.index, vote)

    def propose(self, round: int) -> None:
        """Propose up to two blocks: new ones, or old ones with or without the truth about them."""
        dice, network = self.network.random, self.network
        old = [
            (seen_in, block)
            for seen_in, blocks in self.seen.items()
            for block in blocks
            if seen_in < round
        ]
        faces: list[Proposal] = []
        for _ in range(dice.randint(1, 2)):
            block = network.new_block(True)
            valid_round: tuple[int, ...] = ()
            if old and dice.random() < 0.4:
                seen_in, block = dice.choice(old)
                valid_round = (seen_in,)
            elif round and dice.random() < 0.3:
                valid_round = (max(0, round - dice.randint(1, 3)),)
            faces.append(proposal_of(self.key, network.height, round, block, valid_round))
        for node in network.nodes:
            face = dice.choice(faces)
            self.receive(face)
            network.note_proposal(face)
            network.send(self.index, node.index, face)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one seed did, so that a test can show that it did something."""

    steps: int
    rounds: int
    crashes: int
    delivered: int
    equivocators: int


class Network:
    """One height of one network."""

    def __init__(
        self,
        seed: int,
        *,
        powers: tuple[int, ...] = (1, 1, 1, 1),
        byzantine: int = 1,
        node: Callable[["Network", int], Node] = Node,
    ) -> None:
        """The last ``byzantine`` of the validators are the adversary's."""
        self.seed = seed
        self.random = random.Random(seed)
        self.validators = validator_set(powers)
        self.height = 1 + seed % len(powers)
        self.now_ms = 0
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.sequence = 0
        self.blocks_made = 0
        self.steps = self.crashes = self.delivered = 0
        self.highest_round = 0
        self.cut_off: list[int] = []
        self.decision: BlockId | None = None
        self.said: dict[tuple[ValidatorKey, VoteKind, int], OptionalBlockId] = {}
        self.proposed: list[tuple[int, BlockId]] = []
        self.prevoted: dict[tuple[int, OptionalBlockId], dict[ValidatorKey, int]] = {}
        """Who ever prevoted what, the adversary included, with its power."""
        self.drop_share = self.random.choice((0.0, 0.1, 0.3))
        self.drop_share_of = {
            "proposal": self.random.choice((0.0, 0.0, 0.7)),
            VoteKind.PREVOTE: self.random.choice((0.0, 0.0, 0.3)),
            VoteKind.PRECOMMIT: self.random.choice((0.0, 0.5)),
        }
        """The network may be worst just where it hurts; the adversary's own messages arrive."""
        correct = len(powers) - byzantine
        self.byzantine = [key_of(index) for index in range(correct, len(powers))]
        self.nodes = [node(self, index) for index in range(correct)]
        self.traitors = [Byzantine(self, index) for index in range(correct, len(powers))]

    def run(self) -> Outcome:
        """Run until all correct nodes have decided. Raises Violation."""
        dice = self.random
        for node in self.nodes:
            self.after(dice.randint(0, 40), partial(node.feed, WorkArrived()))
            self.every(RESEND_MS, node.resend)
        for traitor in self.traitors:
            self.every(TICK_MS, traitor.tick)
        for _ in range(dice.randint(0, 4)):
            self.after(dice.randint(0, FAULTS_MS), self.crash_one)
        for _ in range(dice.randint(0, 3)):
            self.after(dice.randint(0, FAULTS_MS), self.cut_one_off)
        self.after(HEAL_MS, self.heal)
        while not all(node.decision and node.is_up for node in self.nodes):
            if self.now_ms > LIVE_MS or self.steps > STEPS_MAX:
                raise Violation(f"not live: seed {self.seed}, rounds up to {self.highest_round}")
            self.now_ms, _, action = heapq.heappop(self.queue)
            self.steps += 1
            action()
        return Outcome(
            steps=self.steps,
            rounds=self.highest_round,
            crashes=self.crashes,
            delivered=self.delivered,
            equivocators=len(self.byzantine),
        )

    # --- time and wires ------------------------------------------------------------------------

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.sequence += 1
        heapq.heappush(self.queue, (self.now_ms + delay_ms, self.sequence, action))

    def every(self, period_ms: int, action: Callable[[], None]) -> None:
        def again() -> None:
            action()
            self.after(period_ms, again)

        self.after(self.random.randint(1, period_ms), again)

    def broadcast(self, sender: Node, message: Message) -> None:
        if isinstance(message, Proposal):
            self.note_proposal(message)
        for index in range(len(self.nodes) + len(self.traitors)):
            if index != sender.index:
                self.send(sender.index, index, message)

    def send(self, sender: int, to: int, message: Message) -> None:
        dice, healed = self.random, self.now_ms >= HEAL_MS
        if isinstance(message, Vote) and message.kind is VoteKind.PREVOTE:
            voters = self.prevoted.setdefault((message.round, message.block_id), {})
            voters[message.validator] = self.validators.power_of(message.validator)
        if not healed:
            if sender in self.cut_off or to in self.cut_off or dice.random() < self.drop_share:
                return
            is_correct = sender < len(self.nodes)
            if is_correct and dice.random() < self.drop_share_of.get(kind_of(message), 0):
                return
            if dice.random() < 0.05:
                self.deliver_after(dice.randint(1, 10 * DELAY_MS_MAX), to, message)
        self.deliver_after(dice.randint(1, DELAY_MS_MAX), to, message)

    def deliver_after(self, delay_ms: int, to: int, message: Message) -> None:
        receivers: list[Node | Byzantine] = [*self.nodes, *self.traitors]
        receiver = receivers[to]

        def deliver() -> None:
            self.delivered += 1
            receiver.receive(message)

        self.after(delay_ms, deliver)

    # --- faults --------------------------------------------------------------------------------

    def crash_one(self) -> None:
        node = self.random.choice(self.nodes)
        node.effects_until_crash = self.random.randint(0, 4)
        self.crashes += 1

    def cut_one_off(self) -> None:
        index = self.random.randrange(len(self.nodes))
        self.cut(index, self.random.randint(50, 800))

    def cut(self, index: int, for_ms: int) -> None:
        self.cut_off.append(index)
        self.after(for_ms, lambda: self.cut_off.remove(index))

    def heal(self) -> None:
        for node in self.nodes:
            node.effects_until_crash = None

    def new_block(self, may_be_invalid: bool = False) -> BlockId:
        self.blocks_made += 1
        name = b"%d/%d" % (self.seed, self.blocks_made)
        digest = hashlib.sha256(name).digest()
        first = 0 if may_be_invalid and self.random.random() < 0.1 else 1
        return BlockId(bytes([first]) + digest[1:])

    # --- promises ------------------------------------------------------------------------------

    def note_proposal(self, proposal: Proposal) -> None:
        if proposal.validator == self.validators.proposer(self.height, proposal.round):
            self.proposed.append((proposal.round, proposal.block_id))

    def check_vote(self, node: Node, vote: Vote) -> None:
        """No correct node contradicts itself, or prevotes what the proposer did not propose."""
        said = self.said.setdefault((vote.validator, vote.kind, vote.round), vote.block_id)
        if said != vote.block_id:
            raise Violation(f"contradiction: seed {self.seed}, node {node.index}, {vote.kind}")
        if vote.kind is VoteKind.PREVOTE and vote.block_id:
            own_turn = self.validators.proposer(self.height, vote.round) == node.key
            if not own_turn and (vote.round, vote.block_id[0]) not in self.proposed:
                raise Violation(f"prevote for what was not proposed: seed {self.seed}")
            self.check_lock(vote)

    def check_lock(self, vote: Vote) -> None:
        """Who precommitted one block prevotes another only after a polka since: why locks work."""
        locks = [
            (round, value)
            for (key, kind, round), value in self.said.items()
            if key == vote.validator and kind is VoteKind.PRECOMMIT and value
        ]
        locked_round, locked_value = max(locks, default=(-1, vote.block_id))
        if locked_value == vote.block_id:
            return
        total = sum(validator.power for validator in self.validators.validators)
        for round in range(locked_round, vote.round):
            if sum(self.prevoted.get((round, vote.block_id), {}).values()) * 3 > 2 * total:
                return
        raise Violation(f"lock broken: seed {self.seed}, {vote.round} after {locked_round}")

    def check_round(self, node: Node) -> None:
        """A round is entered from the one before it, or because a correct node is there."""
        if node.driver.round > self.highest_round + 1:
            raise Violation(f"ran ahead: seed {self.seed}, round {node.driver.round}")
        self.highest_round = max(self.highest_round, node.driver.round)

    def check_decision(self, certificate: Certificate) -> None:
        """All decisions agree, are valid, and are proven."""
        if not self.proves(certificate):
            raise Violation(f"certificate does not prove its block: seed {self.seed}")
        if not is_valid(certificate.block_id):
            raise Violation(f"invalid block decided: seed {self.seed}")
        if self.decision is None:
            self.decision = certificate.block_id
            if self.random.random() < 0.7:
                # The worst moment: who has decided falls silent, and the rest must agree with it.
                for node in self.nodes:
                    if node.driver.has_decided:
                        self.cut(node.index, self.random.randint(200, 1_000))
        if certificate.block_id != self.decision:
            raise Violation(f"disagreement: seed {self.seed}")

    def proves(self, certificate: Certificate) -> bool:
        """Naive twin of verify_certificate."""
        message = vote_sign_bytes(
            LOG_ID,
            0,
            VoteKind.PRECOMMIT,
            certificate.height,
            certificate.round,
            (certificate.block_id,),
        )
        powers = {validator.key: validator.power for validator in self.validators.validators}
        signers = {key: verify(key, message, sig) for key, sig in certificate.signatures}
        power = sum(powers[key] for key, is_good in signers.items() if is_good)
        return certificate.height == self.height and power > sum(powers.values()) * 2 // 3
