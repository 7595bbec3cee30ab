"""One world from one seed: faults, clients, healing, and what must be true in the end."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from consensus.messages import ValidatorKey
from engines.builtin.engine import BuiltinEngine
from ledger.rules.governance import SetValidator
from ledger.transactions import parse
from trials.simulation.checks import Checks
from trials.simulation.churn import Register
from trials.simulation.faults import LOST_PARTS, Faults, draw, faults_text
from trials.simulation.liar import Liar
from trials.simulation.member import Member
from trials.simulation.network import SimulatedNetwork
from trials.simulation.signatures import REAL, STAND_IN, seed_of
from trials.simulation.society import (
    CITY,
    PROGRAMME,
    Clients,
    centre_name,
    consensus_key,
    foundation_of,
    validator_of,
)
from trials.simulation.tally import Tally
from trials.simulation.world import MIDNIGHT_MS, Violation, World

SETTLE_US_MAX = 240_000_000
"""How long after healing everything pending is final or expired, on every member."""
PROBE_US_MAX = 60_000_000
"""How long after that a new transaction of each member is final everywhere."""
CHECK_EVERY_US = 250_000
RESUBMIT_US = 1_500_000
OPENING_AGAIN_US = 250_000
"""The same for the opening: each of its facts is refused until what it rests on is final."""
CLOG_US_MAX = 5_000_000
VALIDATORS_MIN = 3
"""Nobody is asked to go where fewer would remain."""
POWER_MAX = 3
STEPS_MAX = 60
"""A planned crash comes within this many steps."""
LONG_PAUSE_US_MIN, LONG_PAUSE_US_MAX = 30_000_000, 120_000_000
LOSE_EVERY_US = 40_000
"""Mean time between looks for a member to lose a part of its disk."""
LOST_ANYWAY = 0.02
"""Chance of a loss at a moment at which it can do no harm."""
DISK_FULL_US_MAX = 2_000_000
DAY_MS = 86_400_000
FLOOD_MAX = 40
ROOTS_OF, REPLAYS_OF = 2, 4
"""Of so many seeds one has its state roots compared, or its log replayed from genesis."""
REPLAYED_MAX = 10
WITH_REAL_SIGNATURES = "with real signatures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a simulation did, none of it wrong."""

    seed: int
    validators: int
    trace_hash: str
    delivered: int
    commits: int
    """Durable blocks, counted on every honest member."""
    heights: int
    crashes: int
    transactions: int
    """Logged."""
    pairs: int
    """Double spends that clients tried."""
    changes: int
    """Changes of the validators that were adopted."""
    lies: int
    """Lies that honest members noticed."""
    recorded: int
    """Misbehaviours on the log."""
    suspended: int
    """Keys that stopped validating for one."""
    roots: int
    """State roots on the log that were compared."""
    virtual_us: int
    happened: dict[str, int]
    """Faults that came about, by name."""


class Failed(AssertionError):
    """A seed found something wrong; the text has the trace and the command to see it again."""

    def __init__(self, simulation: "Simulation", reason: str) -> None:
        self.seed, self.validators = simulation.seed, len(simulation.members)
        self.faults, self.reason = simulation.faults, reason
        self.trace = simulation.world.trace()
        self.trace_hash = simulation.world.trace_hash()
        self.again = again(self.seed, self.validators, simulation.given)
        lines = "\n".join(self.trace)
        super().__init__(f"{lines}\nseed {self.seed}: {reason}\nagain: {self.again}")


def again(seed: int, validators: int, faults: Faults | None) -> str:
    """Return the command that runs a seed again."""
    command = f"tally network simulate --seed {seed} --validators {validators}"
    return command if faults is None else f"{command} --faults '{faults_text(faults)}'"


def run_seed(seed: int, *, validators: int, faults: Faults | None = None) -> Report:
    """Run a seed to its end; raise Failed."""
    simulation = Simulation(seed, validators=validators, faults=faults)
    with Reproducible(simulation):
        return simulation.run()
    raise AssertionError("either a report or Failed")


class Reproducible:
    """Turns whatever breaks in a simulation into Failed: a host may break in any way."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if isinstance(error, Exception):
            raise Failed(self._simulation, f"{type(error).__name__}: {error}") from error


class Simulation:
    """A whole network."""

    def __init__(self, seed: int, *, validators: int, faults: Faults | None = None) -> None:
        self.seed = seed
        self.given = faults
        """Faults that were asked for instead of drawn."""
        self.random = Random(f"{seed}/{validators}")
        self.faults = draw(self.random, validators) if faults is None else faults
        self._churning = self._dice("churn")
        self.world = World(MIDNIGHT_MS - self.random.randint(3_000, 9_000))
        self.network = SimulatedNetwork(self.world, self.faults, self._dice("network"))
        self._pairs: list[tuple[bytes, bytes]] = []
        self._opening: list[bytes] = []
        """Transactions that hold and do not expire: they must become final."""
        self._foundation = foundation_of(validators)
        signatures = REAL if self.faults.real_signatures else STAND_IN
        self._clients = Clients(self._foundation.log_id, signatures, self._dice("clients"))
        self._is_faulty = True
        self.honest: dict[bytes, Member] = {}
        """Members whose state can be relied on."""
        self._keys: dict[bytes, Member] = {}
        """Members whose signatures can be relied on: also some with rot on their disks."""
        self.checks = Checks(
            log_id=self._foundation.log_id,
            register=Register(
                members=validators + 1,
                city=CITY,
                first=self._foundation.validators,
                key_of={
                    name: ValidatorKey(consensus_key(name))
                    for name in map(centre_name, range(validators))
                },
            ),
            verify=signatures.verify,
            honest=self.honest,
            keys=self._keys,
            compares_roots=seed % ROOTS_OF == 1,
            tally=Tally(PROGRAMME),
        )
        self.members: list[Member] = []
        liars = self._dice("liars").sample(range(validators), self.faults.liars)
        for index in range(validators):
            name = centre_name(index)
            member = Member(
                name,
                seed=seed_of(name, "consensus"),
                genesis=self._foundation.genesis,
                world=self.world,
                network=self.network,
                signatures=signatures,
                witness=self.checks,
                random=self._dice(name),
            )
            self.network.add(member)
            self.members.append(member)
            if index in liars:
                Liar(
                    member,
                    log_id=self._foundation.log_id,
                    world=self.world,
                    network=self.network,
                    signatures=signatures,
                    random=self._dice(f"{name} lies"),
                )
            else:
                self.honest[member.key] = self._keys[member.key] = member
        self.checks.state.update(self.members[0].store.state)
        self._losing = self._dice("losing")
        self._day_off = self._dice("day").choice(self.members) if self.faults.day_off else None
        self._flipped: list[Member] = []
        """Who has, or had, a flipped bit on its disk and is not relied on again yet."""
        self._sleeper: Member | None = None
        """Who stalls through the healing."""
        self._set_clocks()

    def _dice(self, use: str) -> Random:
        """Return dice of their own for one use, so that one fault does not shift the others."""
        return Random(f"{self.seed}/{use}")

    def run(self) -> Report:
        """Run to the end; raise Violation or another AssertionError."""
        self.world.note(f"{self.faults}")
        if self.faults.real_signatures:
            self.world.count(WITH_REAL_SIGNATURES)
        for member in self.members:
            member.start()
        self._plan_faults()
        self._open()
        self._watch_members()
        self.world.run_until(self.faults.lasts_ms * 1_000)
        self._heal()
        self._wait(SETTLE_US_MAX, self._is_settled, "settles")
        probes = [self._clients.mint(self.world.now_ms, lasts=True) for _ in self._up()]
        for member, (probe_id, raw) in zip(self._up(), probes, strict=True):
            self._hand_in(member, probe_id, raw)
        self._wait(
            PROBE_US_MAX,
            lambda: (
                self._is_settled()
                and all(transaction_id in self.checks.tally.logged for transaction_id, _ in probes)
            ),
            "takes new transactions",
        )
        self._finish()
        return self._report()

    # --- clients ---------------------------------------------------------------------------------

    def opening(self) -> list[tuple[bytes, bytes]]:
        """Return new transactions of the facts without which there are no vouchers."""
        return self._clients.opening(self.world.now_ms, expiries=self.faults.expiries)

    def _open(self) -> None:
        for transaction_id, raw in self.opening():
            self._opening.append(transaction_id)
            member = self.random.choice(self.members)
            self._hand_in(member, transaction_id, raw, again_us=OPENING_AGAIN_US)
        self._every(self.faults.clients_every_ms * 1_000, self._act)

    def _hand_in(
        self, member: Member, transaction_id: bytes, raw: bytes, *, again_us: int = RESUBMIT_US
    ) -> None:
        """Hand a transaction in at a member, and to others later until it is final or expired."""
        self.checks.submitted[transaction_id] = raw
        expires_at = parse(raw).body.expires_at
        self.world.note(f"client hands {transaction_id.hex()[:6]} to {member.name}")
        member.submit(raw)

        def again() -> None:
            is_open = self.world.now_ms < expires_at
            if is_open and transaction_id not in self.checks.tally.logged:
                other = self.random.choice(self.members)
                self._hand_in(other, transaction_id, raw, again_us=again_us)

        self.world.after(again_us, again)

    def _act(self) -> None:
        now_ms = self.world.now_ms
        tally, random = self.checks.tally, self.random
        full = [(name, purse) for name, purse in tally.purses.items() if purse.fen]
        if not full or random.random() < 0.25:
            self._hand_in(random.choice(self.members), *self._clients.mint(now_ms))
            return
        voucher, purse = random.choice(full)
        match random.randrange(4):
            case 0:
                fen = random.randint(1, purse.fen + purse.fen // 4)
                made = self._clients.transfer(now_ms, voucher, purse, fen)
                self._hand_in(random.choice(self.members), *made)
            case 1:
                fen = random.randint(1, purse.fen + purse.fen // 4)
                made = self._clients.redemption(now_ms, voucher, purse, fen)
                self._hand_in(random.choice(self.members), *made)
            case _:
                self._spend_twice(voucher)

    def _spend_twice(self, voucher: str) -> None:
        """Spend all of a voucher at two members in the same instant."""
        now_ms, purse = self.world.now_ms, self.checks.tally.purses[voucher]
        first = self._clients.transfer(now_ms, voucher, purse, purse.fen)
        second = self._clients.redemption(now_ms, voucher, purse, purse.fen)
        here, there = self.random.choices(self.members, k=2)
        self._hand_in(here, *first)
        self._hand_in(there, *second)
        self._pairs.append((first[0], second[0]))

    def _flood(self) -> None:
        """Hand in very many at one member: too much of anything, and all that was there before."""
        dice, member = self._dice(f"flood {self.world.now_us}"), self.random.choice(self.members)
        self.world.count("floods")
        known = list(self.checks.submitted.values())
        purses = list(self.checks.tally.purses.items())
        for _ in range(dice.randint(FLOOD_MAX // 4, FLOOD_MAX)):
            if not purses or dice.random() < 0.5:
                member.submit(dice.choice(known))
                continue
            voucher, purse = dice.choice(purses)
            fen = dice.randint(1, 2 * purse.fen + 1)
            transaction_id, raw = self._clients.transfer(self.world.now_ms, voucher, purse, fen)
            self.checks.submitted[transaction_id] = raw
            member.submit(raw)

    # --- faults ----------------------------------------------------------------------------------

    def _every(self, mean_us: int, action: Callable[[], None]) -> None:
        """Do something again and again at random intervals, while faults last."""
        if not mean_us:
            return

        def again() -> None:
            if self._is_faulty:
                action()
                self._every(mean_us, action)

        self.world.after(int(self.random.expovariate(1 / mean_us)), again)

    def _plan_faults(self) -> None:
        faults = self.faults
        self._every(faults.partition_every_ms * 1_000, self._split)
        self._every(faults.one_way_every_ms * 1_000, self._deafen)
        self._every(faults.crash_every_ms * 1_000, self._crash)
        self._every(faults.pause_every_ms * 1_000, self._pause)
        self._every(faults.jumps_every_ms * 1_000, self._set_clocks)
        self._every(faults.churn_every_ms * 1_000, self._churn)
        self._every(faults.clog_every_ms * 1_000, self._clog)
        self._every(faults.flood_every_ms * 1_000, self._flood)
        self._every(faults.replay_every_ms * 1_000, self._replay)
        self._every(faults.full_every_ms * 1_000, self._fill_disk)
        self._every(faults.sync_error_every_ms * 1_000, self._fail_sync)
        if faults.lost_disks:
            self._every(LOSE_EVERY_US, self._lose)
        dice = self._dice("once")
        honest = list(self.honest.values())
        for member in dice.sample(honest, faults.bit_flips):
            self.world.after(dice.randint(0, faults.lasts_ms * 1_000), partial(self._flip, member))
        if faults.long_pause:
            self._sleeper = dice.choice(self.members)
            self.world.after(dice.randint(0, faults.lasts_ms * 1_000), self._stall_long)

    def _split(self) -> None:
        """Part the members in two or three; perhaps some change sides before they join again."""
        names = [member.name for member in self.members]
        self.random.shuffle(names)
        at = self.random.randint(1, max(1, len(names) // 2))
        groups = [names[:at], names[at:]]
        if len(names) > 2 and self.random.random() < 0.3:
            cut = self.random.randint(at + 1, len(names) - 1) if at + 1 < len(names) else at
            groups = [names[:at], names[at:cut], names[cut:]]
        self._part(groups)
        if self.random.random() < 0.3:
            # Who was with the majority is with the minority now.
            self.random.shuffle(names)
            flip_ms = self.random.expovariate(2 / self.faults.partition_every_ms)
            self.world.after(int(flip_ms * 1_000), partial(self._part, [names[at:], names[:at]]))
        self._join_later(self.faults.partition_every_ms)

    def _part(self, groups: list[list[str]]) -> None:
        if self._is_faulty:
            self.world.count("partitions")
            self.world.note(f"split: {' | '.join(' '.join(group) for group in groups)}")
            self.network.join()
            self.network.split(groups)

    def _replay(self) -> None:
        self.world.count("replays")
        self.network.repeat(self.random.randint(1, REPLAYED_MAX))

    def _fill_disk(self) -> None:
        member = self.random.choice(self.members)
        self.world.count("full disks")
        self.world.note(f"the disk of {member.name} is full")
        member.plan.is_full = True

        def has_room() -> None:
            member.plan.is_full = False

        self.world.after(self.random.randint(0, DISK_FULL_US_MAX), has_room)

    def _fail_sync(self) -> None:
        self.random.choice(self.members).plan.sync_fails = True

    def _flip(self, member: Member) -> None:
        """Flip a bit on a disk while its process is down; from now on it counts as faulty."""
        self.world.count("bit flips")
        member.kill()
        self.honest.pop(member.key, None)
        self._flipped.append(member)
        member.flip_a_bit(self._dice(f"flip {member.name}"))
        if member.rotten == "store":  # it may believe anything of who validates
            del self._keys[member.key]
        member.start()

    def _lose(self) -> None:
        """Let a member lose a part of its disk, unless too many lack one.

        It likes moments at which that could hurt: a member has signed at a height to which no other
        has come, or it is locked.
        """
        dice = self._losing
        whole = [member for member in self.honest.values() if member.is_whole and member.is_up]
        if not whole or len(self.honest) - len(whole) >= self.faults.lost_disks:
            return
        part = self.faults.lost_part or dice.choice(LOST_PARTS)
        hurts = [member for member in whole if self._would_hurt(member, part)]
        if not hurts and dice.random() > LOST_ANYWAY:
            return
        member = dice.choice(hurts or whole)
        self.world.count(f"lost: {part}")
        member.kill()
        member.lose(part)
        member.start()

    def _would_hurt(self, member: Member, part: str) -> bool:
        """Return whether a member just now knows something by itself that it could lose."""
        host, last = member.host, member.signer.last
        assert host is not None
        if last is None or last.request.height != host.height:
            return False
        if part in ("record", "all"):
            others = [another.store_height for another in self.members if another is not member]
            return member.store_height > max(others, default=0)
        return host.heights.now.driver.locked is not None and self._losing.random() < 0.2

    def _operate(self, member: Member) -> None:
        """Do what an operator does about a member that stopped for rot, or is mended."""
        if member.host is not None and member.host.key.stopped and member.rotten == "store":
            member.kill()
            member.heal("store")
        member.note_if_whole()
        if not member.rotten and member in self._flipped:
            self._flipped.remove(member)
            self.honest[member.key] = self._keys[member.key] = member

    def _stall_long(self) -> None:
        assert self._sleeper is not None
        if self._sleeper.is_up:
            self.world.count("long stalls")
            self._sleeper.pause(self.random.randint(LONG_PAUSE_US_MIN, LONG_PAUSE_US_MAX))
        else:
            self._sleeper = None

    def _deafen(self) -> None:
        if len(self.members) < 2:
            return
        source, target = self.random.sample(self.members, 2)
        self.world.count("one-way losses")
        self.world.note(f"{target.name} cannot hear {source.name}")
        self.network.deafen(source.name, target.name)
        self._join_later(self.faults.one_way_every_ms)

    def _join_later(self, mean_ms: int) -> None:
        self.world.after(int(self.random.expovariate(1 / mean_ms) * 1_000), self._join)

    def _join(self) -> None:
        if self._is_faulty:
            self.network.join()

    def _clog(self) -> None:
        name = self.random.choice(self.members).name
        self.world.count("clogs")
        self.world.note(f"{name} hears nothing for a while")
        self.network.clog(name)
        for_us = self.random.randint(0, CLOG_US_MAX)
        self.world.after(for_us, lambda: self.network.flood(name))

    def _crash(self) -> None:
        """Kill a member between events, or plan its death within its next steps."""
        member = self.random.choice(self.members)
        if not member.is_up:
            return
        if self.random.random() < 0.3:
            member.kill()
        else:
            member.plan.arm(self.random.randint(1, STEPS_MAX))

    def _churn(self) -> None:
        """Ask the members to let one of them go, or back with another power; all say yes."""
        dice, register = self._churning, self.checks.register
        latest = max(self.checks.blocks, default=0)
        acting = register.at(latest + 2).validators
        name = dice.choice(self.members).name
        leaves = any(validator.key == register.key_of[name] for validator in acting)
        if leaves and len(acting) <= VALIDATORS_MIN:
            return
        keys = () if leaves else (validator_of(name, dice.randint(1, POWER_MAX)),)
        action = SetValidator(party=name, validator=keys, proofs=())
        transaction_id, raw = self._clients.proposal(self.world.now_ms, action)
        self._hand_in(dice.choice(self.members), transaction_id, raw)
        self._vote_when_asked(transaction_id)

    def _vote_when_asked(self, transaction_id: bytes) -> None:
        """Let every centre vote once a proposal has its number."""
        if transaction_id not in self.checks.tally.logged:
            if self.world.now_ms < parse(self.checks.submitted[transaction_id]).body.expires_at:
                again = partial(self._vote_when_asked, transaction_id)
                self.world.after(CHECK_EVERY_US, again)
            return
        number = self.checks.register.logged_as.get(transaction_id)
        if number is None:
            return
        for voter in self.members:
            made = self._clients.vote(self.world.now_ms, voter.name, number)
            self._hand_in(self._churning.choice(self.members), *made)

    def _pause(self) -> None:
        member = self.random.choice(self.members)
        if member.is_up and member is not self._sleeper:
            self.world.count("stalls")
            member.pause(self.random.randint(50_000, 3_000_000))

    def _set_clocks(self) -> None:
        if self.checks.honest and self.world.now_us:
            self.checks.clock_steps()
            self.world.count("clock steps")
        skew_ms = self.faults.skew_ms
        for member in self.members:
            member.clock.offset_ms = self.random.randint(-skew_ms, skew_ms)
            if member is self._day_off:
                member.clock.offset_ms += self.random.choice((-DAY_MS, DAY_MS))
            if not self.world.now_us:
                member.clock.rate = 1 + self.random.uniform(-1, 1) * self.faults.drift

    def _watch_members(self) -> None:
        """Look after members now and then: restart the dead, check that nobody gave up."""
        for member in self.members:
            self._operate(member)
            if not member.is_up and (not self._is_faulty or self.random.random() < 0.2):
                if self._is_faulty and self.faults.crash_every_ms and self.random.random() < 0.3:
                    member.plan.arm(self.random.randint(1, STEPS_MAX))
                member.start()
        self.checks.all_may_vote()
        self.world.after(CHECK_EVERY_US, self._watch_members)

    def _heal(self) -> None:
        self.world.note("healed")
        self.checks.clock_steps()
        self._is_faulty = False
        for member in self.members:
            member.plan.arm(0)
            member.plan.is_full = member.plan.sync_fails = False
            member.clock.offset_ms, member.clock.is_set = 0, True
            if member is not self._sleeper:
                member.pause(0)
            if not member.is_up:
                member.start()
        self.network.heal()

    # --- the end ---------------------------------------------------------------------------------

    def _up(self) -> list[Member]:
        return list(self.honest.values())

    def _hosts(self) -> list[BuiltinEngine]:
        return [member.host for member in self._up() if member.host is not None]

    def _is_settled(self) -> bool:
        hosts = self._hosts()
        heads = {member.store.head() for member in self._up()}
        return (
            len(hosts) == len(self.honest)
            and not (self._sleeper and self._sleeper.is_stalled)
            and len(heads) == 1
            and not any(len(host.pool) for host in hosts)
            and all(transaction_id in self.checks.tally.logged for transaction_id in self._opening)
        )

    def _wait(self, most_us: int, is_done: Callable[[], bool], goal: str) -> None:
        end_us = self.world.now_us + most_us
        while not is_done():
            if self.world.now_us >= end_us:
                where = [
                    f"{member.name} h{host.height} r{host.round} {host.state().step} "
                    f"{len(host.pool)}"
                    for member in self._up()
                    if (host := member.host) is not None
                ]
                raise Violation(f"not live: {where} never {goal}")
            self.world.run_until(self.world.now_us + CHECK_EVERY_US)

    def _finish(self) -> None:
        self.checks.all_may_vote()
        members = self._up()
        self.checks.same_everywhere(member.store for member in members)
        logged = self.checks.tally.logged
        for first, second in self._pairs:
            if first in logged and second in logged:
                raise Violation(f"double spend: {first.hex()} and {second.hex()} are final")
        if self.seed % REPLAYS_OF == 0:
            self.checks.replayed(self._foundation.genesis, members[0].store)

    def _report(self) -> Report:
        return Report(
            seed=self.seed,
            validators=len(self.members),
            trace_hash=self.world.trace_hash(),
            delivered=self.network.delivered,
            commits=self.checks.commits,
            heights=len(self.checks.blocks),
            crashes=sum(member.crashes for member in self.members),
            transactions=len(self.checks.tally.logged),
            pairs=len(self._pairs),
            changes=self.checks.register.changes,
            lies=len(self.checks.lies),
            recorded=len(self.checks.recorded),
            suspended=self.checks.register.suspended,
            roots=self.checks.roots,
            virtual_us=self.world.now_us,
            happened={name: self.world.happened[name] for name in sorted(self.world.happened)},
        )
