"""Which faults a seed switches on: swarm testing, every seed a random subset of classes."""

import json
from dataclasses import dataclass, replace
from random import Random

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The adversary's settings of one simulation. Times in milliseconds; 0 switches a class off."""

    lasts_ms: int = 8_000
    """How long faults last; after it the network heals."""
    clients_every_ms: int = 300
    """Mean time between what clients hand in."""
    delay_mean_ms: float = 2.0
    """Mean of the exponential delay of a message."""
    keeps_order: bool = True
    """Whether messages of a link arrive in the order they were sent."""
    drop: float = 0.0
    """Share of messages that vanish."""
    duplicate: float = 0.0
    """Share of messages that arrive again later."""
    newest_first_ms: int = 0
    """How long a member's messages pile up before they arrive, the newest first."""
    starved: str = ""
    """The kind of message that comes seconds late."""
    replay_every_ms: int = 0
    """Mean time between repetitions of messages of the whole history."""
    partition_every_ms: int = 0
    """Mean time between partitions, which last as long in the mean."""
    one_way_every_ms: int = 0
    """Mean time between losses of one direction of a link."""
    clog_every_ms: int = 0
    """Mean time until a member hears nothing for a while, and then everything at once."""
    crash_every_ms: int = 0
    """Mean time between crashes of random members."""
    pause_every_ms: int = 0
    """Mean time between stalls of random members."""
    long_pause: bool = False
    """Whether a member stalls for up to two minutes, through the healing and beyond."""
    full_every_ms: int = 0
    """Mean time until a random member's disk is full for a while."""
    sync_error_every_ms: int = 0
    """Mean time until a sync of a random member fails."""
    bit_flips: int = 0
    """Members on whose disks a bit flips: with liars and lost disks fewer than a third."""
    lost_disks: int = 0
    """How many members may at the same time lack a part of their disks that they lost."""
    lost_part: str = ""
    """The part that is lost every time, one of ``LOST_PARTS``; empty: any."""
    skew_ms: int = 0
    """Largest error of a member's wall clock."""
    drift: float = 0.0
    """Largest error of a member's clock rate."""
    jumps_every_ms: int = 0
    """Mean time between steps of a random member's wall clock within ``skew_ms``."""
    day_off: bool = False
    """Whether one member's wall clock is wrong by a day."""
    flood_every_ms: int = 0
    """Mean time between floods of clients."""
    churn_every_ms: int = 0
    """Mean time between proposals that a member stops or starts validating."""
    liars: int = 0
    """Members that lie, fewer than a third."""
    expiries: bool = False
    """Whether vouchers end at the midnight in the middle of the run."""
    real_signatures: bool = False


STARVED = ("prevote", "precommit", "proposal", "chunk", "batch", "blocks")
"""The kinds of messages that can be starved, as they name themselves."""
LOST_PARTS = ("store", "log", "end of the log", "record", "all")
"""What a member may lose of its disk; its key it never loses, for that is kept elsewhere too."""
WORDS = {"starved": STARVED, "lost_part": LOST_PARTS}
TIME_MAX_MS = 24 * 3_600 * 1_000
MAXIMA = {"drop": 1, "duplicate": 1, "drift": 0.5}
"""Of shares; all other numbers are times, or members, who have bounds of their own."""


def failing(faults: Faults) -> int:
    """Return how many members fail for good: fewer than a third may."""
    return faults.liars + faults.bit_flips + faults.lost_disks


def draw(random: Random, validators: int) -> Faults:
    """Return the faults of a seed."""

    def maybe(share: float) -> bool:
        return random.random() < share

    def every(share: float, *means_ms: int) -> int:
        return random.choice(means_ms) if maybe(share) else 0

    weak = (validators - 1) // 3
    liars = weak if maybe(0.4) else 0
    if liars > 1 and maybe(0.5):
        liars = random.randint(1, liars)
    bit_flips = random.randint(1, weak - liars) if weak > liars and maybe(0.3) else 0
    left = weak - liars - bit_flips
    lost_disks = random.randint(1, left) if left and maybe(0.4) else 0
    drawn = Faults(
        lasts_ms=random.choice((1_500, 2_000, 2_000, 3_000, 4_000, 8_000)),
        delay_mean_ms=random.choice((1.0, 2.0, 5.0, 20.0, 80.0, 400.0)),
        keeps_order=maybe(0.5),
        drop=random.choice((0.01, 0.05, 0.2, 0.3)) if maybe(0.4) else 0.0,
        duplicate=random.choice((0.02, 0.3)) if maybe(0.3) else 0.0,
        newest_first_ms=every(0.1, 10, 60, 300),
        starved=random.choice(STARVED) if maybe(0.15) else "",
        replay_every_ms=every(0.15, 50, 300),
        partition_every_ms=every(0.35, 150, 1_000, 4_000),
        one_way_every_ms=every(0.25, 1_000, 4_000),
        clog_every_ms=every(0.25, 1_000, 3_000),
        crash_every_ms=every(0.6, 400, 1_500, 5_000),
        pause_every_ms=every(0.2, 2_000),
        long_pause=maybe(0.05),
        full_every_ms=every(0.15, 700, 3_000),
        sync_error_every_ms=every(0.15, 700, 3_000),
        bit_flips=bit_flips,
        lost_disks=lost_disks,
        lost_part=random.choice(("", "", "", *LOST_PARTS)) if lost_disks else "",
        skew_ms=random.choice((50, 500, 5_000)) if maybe(0.35) else 0,
        drift=0.05 if maybe(0.2) else 0.0,
        jumps_every_ms=every(0.3, 3_000),
        day_off=validators > 3 and maybe(0.1),
        flood_every_ms=every(0.1, 1_500),
        # Those who fail for good are fewer than a third of all: with members gone they could be
        # more.
        churn_every_ms=0 if liars or bit_flips or lost_disks else random.choice((0, 700, 2_000)),
        liars=liars,
        expiries=maybe(0.3),
        real_signatures=maybe(0.05),
    )
    # Whoever has two thirds of the power after changes would move the ledger's time by a day.
    return replace(drawn, churn_every_ms=0) if drawn.day_off else drawn


def faults_text(faults: Faults) -> str:
    """Return what differs from a quiet network, as JSON."""
    plain = Faults()
    names = Faults.__dataclass_fields__
    differing = {
        name: value for name in names if (value := getattr(faults, name)) != getattr(plain, name)
    }
    return json.dumps(differing)


def faults_from(text: str) -> Faults:
    """Return faults from their JSON; raise ValueError, which names what is wrong."""
    names = Faults.__dataclass_fields__
    try:
        values = msgspec.json.decode(text, type=dict[str, object])
        for name in values:
            if name not in names:
                raise ValueError(f"{name}: unknown, expected one of {', '.join(names)}")
        faults = msgspec.convert(values, Faults)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    for name in names:
        _check(name, getattr(faults, name))
    return faults


def _check(name: str, value: object) -> None:
    if name in WORDS and value not in ("", *WORDS[name]):
        raise ValueError(f"{name}: expected one of {', '.join(WORDS[name])}, got {value!r}")
    if isinstance(value, int | float) and not 0 <= value <= MAXIMA.get(name, TIME_MAX_MS):
        raise ValueError(f"{name}: expected 0 to {MAXIMA.get(name, TIME_MAX_MS)}, got {value}")
