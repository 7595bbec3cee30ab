"""Twins: a traitor is two honest drivers with one key, and the network is split round by round.

A scenario gives each round a *choice*: a split of the drivers into groups and a leader. All choices
together are few enough to try every one of them, without writing a single attack by hand.

How a round is played. All drivers enter it at once. Proposal and prevotes travel within a group.
Precommits are on their way when the split changes: they arrive within the old group, but not at
those who share a group with the next leader. So a block may be decided by one part of a group while
the other goes on without knowing, which is the moment locks are made for. After the last round they
arrive in the whole group.

Timers run out when the scenario says so, started or not. That is more than a host ever does, and
every scenario has its full number of rounds for it: agreement must not rest on timers at all.

Afterwards the network heals. Whoever has decided falls silent if the others have a quorum without
it: these must decide the same. Here timers run out only if they were started.

Checked at every step: agreement, one vote per round and kind, the lock, that certificates prove
their block, that nobody honest is accused.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

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
from consensus.inputs import Input, ProposalReceived, TimeoutExpired, TimeoutKind, WorkArrived
from consensus.inputs import VoteReceived as Voted
from consensus.messages import BlockId, OptionalBlockId, ValidatorKey, Vote, VoteKind
from consensus.rounds import Step
from consensus.timeouts import TimeoutPolicy
from consensus.validators import Validator, ValidatorSet
from consensus.votebook import VoteBook, _Tally
from tests.consensus.harness import Violation, key_of, proposal_of

HEIGHT = 4
TIMEOUTS = TimeoutPolicy()
HEALING_TURNS_MAX = 48
"""A turn of a healed network is one re-sending and one expiry of timers; each round takes few."""
PREVOTE, PRECOMMIT = VoteKind.PREVOTE, VoteKind.PRECOMMIT


class Disagreement(Violation):
    """Honest drivers decided two blocks; here is the proof."""

    def __init__(self, one: Certificate, other: Certificate) -> None:
        super().__init__(f"disagreement: rounds {one.round} and {other.round}")
        self.one, self.other = one, other


class Standstill(Violation):
    """A healed network does not decide, which f traitors must never achieve."""


@dataclass(frozen=True, kw_only=True)
class LedValidators(ValidatorSet):
    """Equal validators whose leaders are dictated; beyond the script they take turns."""

    leaders: list[ValidatorKey] = field(default_factory=list, compare=False)

    def proposer(self, height: int, round: int) -> ValidatorKey:
        if round < len(self.leaders):
            return self.leaders[round]
        return super().proposer(height, round)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the adversary decides about one round."""

    groups: tuple[int, ...]
    """The group of each driver."""
    leader: int
    """Index of the leading key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How many keys there are and how many of them have two drivers."""

    keys: int = 4
    twins: int = 1
    """The last keys are the traitors'."""

    @property
    def owners(self) -> tuple[int, ...]:
        """The key index of each driver: the honest ones, then two for each traitor."""
        honest = range(self.keys - self.twins)
        return (*honest, *(key for key in range(len(honest), self.keys) for _ in range(2)))

    def choices(self) -> tuple[Choice, ...]:
        """Return every split into at most two groups with every leader."""
        drivers = len(self.owners)
        splits = [(0, *rest) for rest in itertools.product((0, 1), repeat=drivers - 1)]
        return tuple(
            Choice(groups=groups, leader=leader) for groups in splits for leader in range(self.keys)
        )

    def relabellings(self) -> tuple[tuple[int, ...], ...]:
        """Return how choices map onto each other when drivers that are alike change names.

        Honest drivers are alike, traitors are alike, and so are the two drivers of a traitor. Each
        relabelling gives, for the index of a choice, the index of its image.
        """
        choices = self.choices()
        index_of = {choice: index for index, choice in enumerate(choices)}
        honest = self.keys - self.twins
        relabellings = []
        for honest_names in itertools.permutations(range(honest)):
            for twin_names in itertools.permutations(range(honest, self.keys)):
                keys = (*honest_names, *twin_names)
                for flips in itertools.product((0, 1), repeat=self.twins):
                    drivers = list(honest_names)
                    for twin, flip in zip(twin_names, flips, strict=True):
                        first = honest + 2 * (twin - honest)
                        drivers += [first + flip, first + 1 - flip]
                    relabellings.append(
                        tuple(index_of[_renamed(choice, drivers, keys)] for choice in choices)
                    )
        return tuple(relabellings)


def _renamed(choice: Choice, drivers: list[int], keys: tuple[int, ...]) -> Choice:
    groups = [0] * len(drivers)
    for old, new in enumerate(drivers):
        groups[new] = choice.groups[old]
    groups = [group ^ groups[0] for group in groups]  # the first driver's group is called 0
    return Choice(groups=tuple(groups), leader=keys[choice.leader])


@cache
def block_of(driver: int, round: int) -> BlockId:
    """Each driver has one block for each round: twins that lead offer two."""
    return BlockId(bytes([driver + 1, round]) * 16)


@cache
def vote_of(key: ValidatorKey, kind: VoteKind, round: int, block_id: OptionalBlockId) -> Voted:
    vote = Vote(
        kind=kind,
        height=HEIGHT,
        round=round,
        block_id=block_id,
        validator=key,
        signature=key * 2,
    )
    return Voted(vote=vote)


@cache
def offer_of(
    key: ValidatorKey, round: int, block_id: BlockId, valid_round: tuple[int, ...]
) -> ProposalReceived:
    proposal = proposal_of(key, HEIGHT, round, block_id, valid_round)
    return ProposalReceived(proposal=proposal, valid=True, timely=True)


@cache
def expiry_of(kind: TimeoutKind, round: int) -> TimeoutExpired:
    return TimeoutExpired(kind=kind, round=round)


WORK = WorkArrived()


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A host loses its power between two inputs."""

    after: int
    """How many inputs all drivers have handled together by then."""
    driver: int
    lost: int
    """How many inputs at the end of its log are lost, if they were not durable."""


@dataclass(slots=True, kw_only=True)
class Member:
    """One driver with its host's memory."""

    index: int
    key: ValidatorKey
    is_honest: bool
    driver: Driver
    log: list[Input] = field(default_factory=list)
    durable: int = 0
    """How many inputs of the log a crash leaves."""
    timers: list[tuple[TimeoutKind, int]] = field(default_factory=list)
    """Started and not yet run out."""
    said: dict[tuple[int, VoteKind], OptionalBlockId] = field(default_factory=dict)
    certificate: Certificate | None = None
    unsent: list[Input] = field(default_factory=list)
    """What it signed and has not logged yet."""


class World:
    """The drivers of one height and the network between them."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        keys = [key_of(index) for index in range(shape.keys)]
        self.validators = LedValidators(
            validators=tuple(Validator(key=key, power=1) for key in keys)
        )
        self.members = [
            Member(
                index=index,
                key=keys[owner],
                is_honest=owner < shape.keys - shape.twins,
                driver=self._new_driver(keys[owner]),
            )
            for index, owner in enumerate(shape.owners)
        ]
        self.round = -1
        self.groups: tuple[int, ...] = (0,) * len(self.members)
        self.queue: deque[tuple[Member, Input]] = deque()
        self.late: list[tuple[int, Input]] = []
        """Precommits of this round that wait for the next split, each with its sender."""
        self.is_healed = False
        self.handled = 0
        """Inputs given to drivers so far, those of the common beginning counted once."""
        self.crashes: deque[Crash] = deque()
        """What is still to fail, soonest first."""
        self.crashed = 0

    def _new_driver(self, key: ValidatorKey) -> Driver:
        return Driver(height=HEIGHT, validators=self.validators, own_key=key, timeouts=TIMEOUTS)

    def fork(self) -> "World":
        """Return a copy that goes its own way; the script of leaders is shared (depth first)."""
        copy = object.__new__(World)
        copy.__dict__.update(self.__dict__)
        copy.members = [
            Member(
                index=member.index,
                key=member.key,
                is_honest=member.is_honest,
                driver=_forked(member.driver),
                log=list(member.log),
                durable=member.durable,
                timers=list(member.timers),
                said=dict(member.said),
                certificate=member.certificate,
            )
            for member in self.members
        ]
        assert not self.queue
        copy.queue = deque()
        copy.late = list(self.late)
        copy.handled = 0
        return copy

    # --- the scenario ----------------------------------------------------------------------------

    def play(self, choice: Choice) -> None:
        """Play the next round up to everybody's precommit."""
        self.round += 1
        round = self.round
        del self.validators.leaders[round:]
        self.validators.leaders.append(key_of(choice.leader))
        owners = self.shape.owners
        leading = {choice.groups[i] for i, owner in enumerate(owners) if owner == choice.leader}
        self._deliver_late({i for i in range(len(owners)) if choice.groups[i] not in leading})
        self.groups = choice.groups
        for member in self.members:
            self.feed(member, expiry_of(TimeoutKind.PRECOMMIT, round - 1) if round else WORK)
        self.settle()
        for kind in (TimeoutKind.PROPOSE, TimeoutKind.PREVOTE):
            for member in self.members:
                self.feed(member, expiry_of(kind, round))
            self.settle()

    def _deliver_late(self, hearing: set[int]) -> None:
        late, self.late = self.late, []
        for sender, input in late:
            for member in self.members:
                same_group = self.groups[member.index] == self.groups[sender]
                if same_group and member.index != sender and member.index in hearing:
                    self.queue.append((member, input))
        self.settle()

    def heal(self) -> bool:
        """Let everybody hear everybody, and see that all decide one block.

        Return whether some had decided before and the others did so without hearing of it.
        """
        self._deliver_late(set(range(len(self.members))))
        self.is_healed = True
        self.groups = (0,) * len(self.members)
        # A decided host answers with its certificate. It is silent as long as the others can do
        # without: only so do we see what they would have decided alone.
        open_keys = {member.key for member in self.members if member.certificate is None}
        must_decide_alone = 3 * len(open_keys) > 2 * self.shape.keys
        decided = [member for member in self.members if member.certificate]
        for _ in range(HEALING_TURNS_MAX):
            waiting = [member for member in self.members if member.certificate is None]
            known = next((m.certificate for m in self.members if m.certificate), None)
            is_new = sum(m.certificate is not None for m in self.members) > len(decided)
            if known is not None and (is_new or not must_decide_alone):
                for member in waiting:
                    self._decide(member, known)
                return is_new and any(member.is_honest for member in decided)
            for member in waiting:
                for proposal in member.driver.resend_proposals():
                    again = ProposalReceived(proposal=proposal, valid=True, timely=True)
                    self.send(member, again)
                for vote in member.driver.resend():
                    self.send(member, Voted(vote=vote))
            self.settle()
            self._expire(waiting)
        raise Standstill("not live: the healed network does not decide")

    def _expire(self, members: list[Member]) -> None:
        """Let the earliest kind of timer run out that was started and still matters."""
        due = [
            (step, member, (kind, member.driver.round))
            for member in members
            for step, kind in (
                (Step.PROPOSE, TimeoutKind.PROPOSE),
                (Step.PREVOTE, TimeoutKind.PREVOTE),
                (None, TimeoutKind.PRECOMMIT),
            )
            if step in (None, member.driver.step) and (kind, member.driver.round) in member.timers
        ]
        early = [entry for entry in due if entry[0] is not None]
        for _, member, timer in early or due:
            if timer in member.timers:
                member.timers.remove(timer)
                self.feed(member, expiry_of(*timer))
        self.settle()

    # --- hosts and wires -------------------------------------------------------------------------

    def settle(self) -> None:
        """Deliver until nothing is on its way."""
        while self.queue:
            member, input = self.queue.popleft()
            self.feed(member, input)
            while self.crashes and self.crashes[0].after <= self.handled:
                crash = self.crashes.popleft()
                self.crash(self.members[crash.driver], crash.lost)

    def send(self, sender: Member, input: Input) -> None:
        if not self.is_healed and isinstance(input, Voted) and input.vote.kind is PRECOMMIT:
            self.late.append((sender.index, input))
            return
        groups = self.groups
        own = groups[sender.index]
        for member in self.members:
            if groups[member.index] == own and member is not sender:
                self.queue.append((member, input))

    def feed(self, member: Member, input: Input) -> None:
        """Give one input to a driver and do what it asks for."""
        self.handled += 1
        effects = member.driver.handle(input)
        if not effects:
            return
        member.log.append(input)
        for effect in effects[1:]:
            self.perform(member, effect)

    def perform(self, member: Member, effect: Effect) -> None:
        match effect:
            case SignVote():
                self.sign(member, effect)
            case BroadcastVote() | BroadcastProposal():
                self.send_own(member, effect)
            case BuildProposal(round=round):
                self.propose(member, round, block_of(member.index, round), ())
            case Repropose(round=round, block_id=block_id, valid_round=valid_round):
                self.propose(member, round, block_id, (valid_round,))
            case ScheduleTimeout(kind=kind, round=round):
                member.timers.append((kind, round))
            case Decide(certificate=certificate):
                self._decide(member, certificate)
            case Equivocation(first=first):
                if any(other.is_honest and other.key == first.validator for other in self.members):
                    raise Violation("an honest key was accused")
            case StopVoting():
                raise Violation("a quorum precommitted an invalid block")
            case Log():
                raise AssertionError("Log comes first and only once")

    def sign(self, member: Member, wanted: SignVote) -> None:
        member.durable = len(member.log)
        self._check_vote(member, wanted)
        vote = vote_of(member.key, wanted.kind, wanted.round, wanted.block_id)
        member.unsent.append(vote)
        self.queue.appendleft((member, vote))

    def propose(
        self, member: Member, round: int, block_id: BlockId, valid_round: tuple[int, ...]
    ) -> None:
        offer = offer_of(member.key, round, block_id, valid_round)
        member.unsent.append(offer)
        self.feed(member, offer)

    def send_own(self, member: Member, wanted: BroadcastVote | BroadcastProposal) -> None:
        """Send what this member signed; what its twin signed, the twin sends."""
        said: Input
        match wanted:
            case BroadcastVote(vote=vote):
                said = Voted(vote=vote)
            case BroadcastProposal(proposal=proposal):
                member.durable = len(member.log)
                said = ProposalReceived(proposal=proposal, valid=True, timely=True)
        if said in member.unsent:
            member.unsent.remove(said)
            self.send(member, said)

    def crash(self, member: Member, lost: int) -> None:
        """Replace a driver by a fresh one fed its log, without the last ``lost`` inputs.

        Nothing is lost that a vote, a proposal or a decision rests on. What was on its way to the
        host is gone. A decided host is past this height and needs no log of it.
        """
        if member.certificate is not None:
            return
        before = member.driver
        kept = max(member.durable, len(member.log) - lost)
        is_whole = kept == len(member.log)
        del member.log[kept:]
        self.queue = deque(entry for entry in self.queue if entry[0] is not member)
        logged, member.log, member.timers = member.log, [], []
        member.driver = self._new_driver(member.key)
        wanted: list[Effect] = []
        for input in logged:
            effects = member.driver.handle(input)
            assert effects and effects[0] == Log(input=input), (
                "the log holds what changed something"
            )
            member.log.append(input)
            wanted += effects[1:]
        if is_whole and (before.round, before.step, before.locked, before.valid) != (
            member.driver.round,
            member.driver.step,
            member.driver.locked,
            member.driver.valid,
        ):
            raise Violation("a replay ends elsewhere")
        self.crashed += 1
        for effect in wanted:
            match effect:
                case SignVote(kind=kind, round=round):
                    if member.driver.own_vote(round, kind) is None:
                        self.perform(member, effect)
                case BuildProposal(round=round) | Repropose(round=round):
                    if round == member.driver.round and not member.driver.proposal_for(round):
                        self.perform(member, effect)
                case ScheduleTimeout(kind=kind, round=round):
                    if expiry_of(kind, round) not in logged:
                        self.perform(member, effect)
                case Decide():
                    self.perform(member, effect)
                case _:
                    pass

    # --- promises --------------------------------------------------------------------------------

    def _check_vote(self, member: Member, vote: SignVote) -> None:
        said = member.said.setdefault((vote.round, vote.kind), vote.block_id)
        if not member.is_honest:
            return
        if said != vote.block_id:
            raise Violation(f"contradiction: two votes of {member.index} in round {vote.round}")
        if vote.kind is PREVOTE and vote.block_id:
            self._check_lock(member, vote.round, vote.block_id)

    def _check_lock(self, member: Member, round: int, block_id: OptionalBlockId) -> None:
        """Who precommitted one block prevotes another only after a polka since (L23, L29)."""
        locks = [
            (locked_round, value)
            for (locked_round, kind), value in member.said.items()
            if kind is PRECOMMIT and value
        ]
        if not locks:
            return
        locked_round, locked = max(locks)
        if locked == block_id:
            return
        if not any(self.is_voted(since, PREVOTE, block_id) for since in range(locked_round, round)):
            raise Violation(f"lock broken: round {round} after {locked_round}")

    def is_voted(self, round: int, kind: VoteKind, block_id: OptionalBlockId) -> bool:
        """Return whether a quorum of keys voted so; counted anew, not by the code under test."""
        return 3 * len(self.voters(round, kind, block_id)) > 2 * self.shape.keys

    def voters(self, round: int, kind: VoteKind, block_id: OptionalBlockId) -> set[ValidatorKey]:
        """Return the keys of which one driver at least voted so."""
        return {member.key for member in self.members if member.said.get((round, kind)) == block_id}

    def _decide(self, member: Member, certificate: Certificate) -> None:
        if not self.is_voted(certificate.round, PRECOMMIT, (certificate.block_id,)):
            raise Violation("certificate does not prove its block")
        member.certificate = certificate
        if not member.is_honest:
            return
        for other in self.members:
            held = other.certificate
            if other.is_honest and held is not None and held.block_id != certificate.block_id:
                raise Disagreement(held, certificate)


def _forked(value: Any) -> Any:
    """Copy what a driver changes in place; messages and states are frozen and shared."""
    if isinstance(value, Driver | VoteBook | _Tally):
        copy = object.__new__(type(value))
        copy.__dict__.update({name: _forked(held) for name, held in vars(value).items()})
        return copy
    if isinstance(value, dict):
        return {key: _forked(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_forked(held) for held in value]
    return set(value) if isinstance(value, set) else value


# --- all scenarios --------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Tally:
    """What an enumeration did."""

    runs: int = 0
    early: int = 0
    """Runs in which somebody honest decided before the network healed."""
    alone: int = 0
    """Of these, runs in which the others then decided without hearing of it."""
    forks: int = 0
    """With too many traitors: beginnings or runs that ended in a disagreement."""
    standstills: int = 0
    """With too many traitors: runs that never ended."""
    handled: int = 0
    """Inputs that drivers were given."""
    rounds_max: int = 0


def explore(
    world: World,
    rounds: int,
    tally: Tally,
    *,
    choices: tuple[Choice, ...],
    relabellings: tuple[tuple[int, ...], ...] = (),
    on_fork: Callable[[World, Disagreement], None] | None = None,
    first: Iterable[int] | None = None,
) -> None:
    """Play every scenario of ``rounds`` further rounds; runs with one beginning share it.

    Given relabellings, only those scenarios are played that none of them maps to an earlier one
    (in the order of their choices' indexes). ``first`` restricts the first choice. ``on_fork`` is
    for worlds with too many traitors: there disagreement and standstill are results, not failures.
    """
    for index in range(len(choices)) if first is None else first:
        images = [relabelling[index] for relabelling in relabellings]
        if any(image < index for image in images):
            continue
        # A relabelling that moves this choice to a later one can't map what follows to an earlier.
        kept = tuple(
            relabelling
            for relabelling, image in zip(relabellings, images, strict=True)
            if image == index
        )
        branch = world.fork()
        try:
            branch.play(choices[index])
            if rounds > 1:
                explore(
                    branch,
                    rounds - 1,
                    tally,
                    choices=choices,
                    relabellings=kept,
                    on_fork=on_fork,
                )
            else:
                finish(branch, tally)
        except Disagreement as fork:
            if on_fork is None:
                raise
            on_fork(branch, fork)
            tally.forks += 1
        except Standstill:
            if on_fork is None:
                raise
            tally.standstills += 1
        tally.handled += branch.handled


def finish(world: World, tally: Tally) -> None:
    """Heal a network after its scenario and count the run."""
    tally.runs += 1
    tally.early += any(member.is_honest and member.certificate for member in world.members)
    tally.alone += world.heal()
    tally.rounds_max = max(tally.rounds_max, *(member.driver.round for member in world.members))
