"""One member floods the others with junk: they go on, within bounds, and blame nobody else."""

from random import Random

import pytest

from consensus.messages import ROUND_MAX, ValidatorKey, Vote, VoteKind, vote_sign_bytes
from consensus.votebook import WINDOW_MAX
from engines.builtin import quotas as shares
from engines.builtin import votes as votes_module
from engines.builtin.engine import BuiltinEngine
from engines.builtin.evidence_pool import EVIDENCE_MAX
from engines.builtin.messages import ENGINE_EPOCH, Here, VoteMessage
from engines.builtin.p2p.frames import Channel
from engines.builtin.proposed_blocks import ASSEMBLIES_PER_PROPOSER_MAX, BODIES_MAX
from ledger.encoding import codec
from tests.trials.simulation.town import CHECK_US, Town
from trials.simulation.member import Member
from trials.simulation.signatures import STAND_IN

FLOOD_FACTOR = 10
"""Junk messages for each message that all honest members together send without it."""
TICK_US = 10_000
BREAKS_EVERY = 10
"""Ticks between messages that break the protocol: while links are closed no junk arrives."""
WISHES = 20
WISH_EVERY_US = 200_000
FINAL_US_MAX = 20_000_000
ROUNDS_MAX = 4
"""More rounds than honest members need for a height here."""


class Flooder:
    """A validator that sends junk to every peer at a steady rate, and else is silent."""

    def __init__(self, town: Town, member: Member, per_second: int) -> None:
        self._town, self._member = town, member
        self.name = member.name
        self._dice = Random(f"{town.seed}/flood")
        self._per_tick = per_second * TICK_US // 1_000_000
        self._ticks = 0
        self.sent = 0
        member.port = self  # its own host follows the chain and is heard by nobody
        town.honest.pop(member.key)

    def send(self, peer: str, channel: Channel, payload: bytes) -> None:
        """Say nothing that makes sense, but ask for blocks."""
        if channel is Channel.SYNC:
            self._town.network.send(self._member.name, peer, channel, payload)

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Say nothing."""

    def fault(self, peer: str, reason: str) -> None:
        """Blame nobody."""

    def start(self) -> None:
        """Flood from now on."""
        self._town.world.after(TICK_US, self._tick)

    def _tick(self) -> None:
        peers = [name for name in self._town.network.names if name != self._member.name]
        useless = (self._far_round, self._far_height, self._next_height, self._far_claim)
        for _ in range(self._per_tick):
            self._town.network.send(
                self._member.name, self._dice.choice(peers), *self._dice.choice(useless)()
            )
        self.sent += self._per_tick
        self._ticks += 1
        if self._ticks % BREAKS_EVERY == 0:
            broken = (self._random_bytes, self._forged_vote, self._cut_vote)
            for peer in peers:
                self._town.network.send(self._member.name, peer, *self._dice.choice(broken)())
        self._town.world.after(TICK_US, self._tick)

    # --- what keeps to the protocol, and is of no use --------------------------------------------

    def _far_round(self) -> tuple[Channel, bytes]:
        host = self._host()
        most = self._dice.choice((WINDOW_MAX, ROUND_MAX // 2))
        return self._vote(host.height, host.round + self._dice.randint(1, most))

    def _far_height(self) -> tuple[Channel, bytes]:
        return self._vote(self._host().height + self._dice.randint(2, 10**9), 0)

    def _next_height(self) -> tuple[Channel, bytes]:
        return self._vote(self._host().height + 1, self._dice.randint(0, ROUND_MAX))

    def _far_claim(self) -> tuple[Channel, bytes]:
        height = self._host().height + self._dice.randint(1, 10**9)
        return Channel.VOTE, codec.encode(Here(height=height, round=0))

    # --- what breaks it --------------------------------------------------------------------------

    def _random_bytes(self) -> tuple[Channel, bytes]:
        channels = (Channel.VOTE, Channel.BLOCK, Channel.TRANSACTIONS, Channel.SYNC)
        return self._dice.choice(channels), self._dice.randbytes(self._dice.randint(1, 2_000))

    def _forged_vote(self) -> tuple[Channel, bytes]:
        """Return somebody's vote for this height, badly signed."""
        host = self._host()
        key = self._dice.choice(list(self._town.honest))
        return self._vote(
            host.height,
            host.round,
            key=key,
            signature=self._dice.randbytes(64),
        )

    def _cut_vote(self) -> tuple[Channel, bytes]:
        channel, payload = self._far_height()
        return channel, payload[: self._dice.randrange(len(payload))]

    # --- making them -----------------------------------------------------------------------------

    def _host(self) -> BuiltinEngine:
        assert self._member.host is not None
        return self._member.host

    def _vote(
        self, height: int, round_: int, *, key: bytes = b"", signature: bytes = b""
    ) -> tuple[Channel, bytes]:
        kind = self._dice.choice(list(VoteKind))
        message = vote_sign_bytes(self._town.checks.log_id, ENGINE_EPOCH, kind, height, round_, ())
        vote = Vote(
            kind=kind,
            height=height,
            round=round_,
            block_id=(),
            validator=ValidatorKey(key or self._member.key),
            signature=signature or STAND_IN.sign(self._member.seed, message),
        )
        return Channel.VOTE, codec.encode(VoteMessage(vote=vote))


def sizes_of(host: BuiltinEngine) -> dict[str, int]:
    """Return how long each of a host's queues and tables is."""
    book = host.heights.now.driver._book
    return {
        "seen votes": len(host.heights.now.votes),
        "future": max(host._presence._next_height.count.values(), default=0),
        "future bytes": max(host._presence._next_height.bytes.values(), default=0),
        "assemblies": len(host.heights.now.blocks._assemblies),
        "bodies": len(host.heights.now.blocks._whole),
        "slots beyond the window": len(book._beyond),
        "rounds counted": len({round_ for round_, _ in book._tallies}),
        "claims": len(host.catchup._peers),
        "faults": len(host.evidence.known()),
    }


def bounds(validators: int) -> dict[str, int]:
    """Return what each may be while honest members stay in the first rounds."""
    return {
        "seen votes": votes_module.SEEN_VOTES_MAX,
        "future": shares.FUTURE_MESSAGES_MAX,
        "future bytes": shares.FUTURE_BYTES_MAX,
        "assemblies": ASSEMBLIES_PER_PROPOSER_MAX * validators,
        "bodies": BODIES_MAX,
        "slots beyond the window": 2,  # of the one key that lies, one for each kind of vote
        "rounds counted": WINDOW_MAX + ROUNDS_MAX,
        "claims": validators - 1,
        "faults": EVIDENCE_MAX,
    }


class Load:
    """Wishes one after the other, with one member silent or flooding."""

    def __init__(self, seed: int, validators: int, junk_per_second: int = 0) -> None:
        town = Town(seed, validators)
        flooder = Flooder(town, town.members[0], junk_per_second)
        honest = list(town.honest.values())
        town.begin()
        self.flooder = flooder.name
        self.waits_us: list[int] = []
        self.largest = dict.fromkeys(bounds(validators), 0)
        sent, start_us = town.network.sent, town.world.now_us
        if junk_per_second:
            flooder.start()
        for index in range(WISHES):
            town.world.run_until(max(town.world.now_us, start_us + index * WISH_EVERY_US))
            made, handed_us = town.wish(), town.world.now_us
            town.submit(honest[index % len(honest)], made)
            while not town.is_everywhere(made[0]):
                assert town.world.now_us < handed_us + FINAL_US_MAX, "honest members go on"
                town.world.run_until(town.world.now_us + CHECK_US)
                self._measure(honest)
            self.waits_us.append(town.world.now_us - handed_us)
        town.checks.all_may_vote()
        elapsed_us = town.world.now_us - start_us
        self.per_second = (town.network.sent - sent) * 1_000_000 // elapsed_us
        self.junk_per_second = flooder.sent * 1_000_000 // elapsed_us

    def _measure(self, honest: list[Member]) -> None:
        for member in honest:
            assert member.host is not None
            for name, size in sizes_of(member.host).items():
                self.largest[name] = max(size, self.largest[name])


@pytest.fixture
def blamed(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What members were blamed for, by name; the checks fail if an honest one is."""
    reasons: dict[str, list[str]] = {}
    correct = Member.blame

    def spy(member: Member, peer: str, reason: str) -> None:
        reasons.setdefault(peer, []).append(reason)
        correct(member, peer, reason)

    monkeypatch.setattr(Member, "blame", spy)
    return reasons


@pytest.mark.parametrize(("validators", "seed"), [(4, 0), (4, 1), (7, 2)])
def test_a_flood_of_ten_times_the_honest_rate_at_most_doubles_the_longest_wait(
    validators: int, seed: int, blamed: dict[str, list[str]]
) -> None:
    quiet = Load(seed, validators)
    assert not blamed
    flooded = Load(seed, validators, FLOOD_FACTOR * quiet.per_second)
    assert len(quiet.waits_us) == len(flooded.waits_us) == WISHES
    assert flooded.junk_per_second >= (FLOOD_FACTOR - 1) * quiet.per_second > 0
    assert max(flooded.waits_us) <= 2 * max(quiet.waits_us)
    for name, most in bounds(validators).items():
        assert flooded.largest[name] <= most, name
    assert list(blamed) == [flooded.flooder], "nobody else is blamed"
    said = {reason.split(":")[0] for reason in blamed[flooded.flooder]}
    assert said >= {"malformed vote message", "a vote's signature does not verify"}


def test_queues_that_a_flood_fills_stay_at_their_limits_and_the_height_is_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(votes_module, "SEEN_VOTES_MAX", 24)
    monkeypatch.setattr(shares, "FUTURE_MESSAGES_MAX", 16)
    flooded = Load(0, 4, 5_000)
    assert flooded.largest["seen votes"] == 24, "the flood reached the limit"
    assert flooded.largest["future"] == 16, "the flood reached the limit"
    assert flooded.largest["slots beyond the window"] == 2
    assert len(flooded.waits_us) == WISHES


def test_votes_before_their_time_do_not_make_transactions_wait_for_an_empty_block() -> None:
    quiet = Load(0, 4)
    flooded = Load(0, 4, FLOOD_FACTOR * quiet.per_second)
    assert sum(flooded.waits_us) <= 2 * sum(quiet.waits_us)
