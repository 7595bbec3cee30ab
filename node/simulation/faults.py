"""Which faults a seed switches on: swarm testing, every seed a random subset of classes."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The adversary's settings of one simulation. Times in milliseconds; 0 switches a class off."""

    delay_mean_ms: float = 2.0
    """Mean of the exponential delay of a message."""
    keeps_order: bool = True
    """Whether messages of a link arrive in the order they were sent."""
    drop: float = 0.0
    """Share of messages that vanish."""
    duplicate: float = 0.0
    """Share of messages that arrive again later."""
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
    skew_ms: int = 0
    """Largest error of a member's wall clock."""
    drift: float = 0.0
    """Largest error of a member's clock rate."""
    jumps_every_ms: int = 0
    """Mean time between steps of a random member's wall clock within ``skew_ms``."""
    churn_every_ms: int = 0
    """Mean time between proposals that a member stops or starts to validate."""
    liars: int = 0
    """Members that lie, fewer than a third."""
    lapses: bool = False
    """Whether vouchers end at the midnight in the middle of the run."""
    real_signatures: bool = False


def draw(random: Random, validators: int) -> Faults:
    """Return the faults of a seed."""

    def maybe(share: float) -> bool:
        return random.random() < share

    liars = (validators - 1) // 3 if maybe(0.4) else 0
    return Faults(
        delay_mean_ms=random.choice((1.0, 2.0, 5.0, 20.0, 80.0)),
        keeps_order=maybe(0.5),
        drop=random.choice((0.01, 0.05, 0.2)) if maybe(0.4) else 0.0,
        duplicate=random.choice((0.02, 0.3)) if maybe(0.3) else 0.0,
        partition_every_ms=random.choice((150, 1_000, 4_000)) if maybe(0.35) else 0,
        one_way_every_ms=random.choice((1_000, 4_000)) if maybe(0.25) else 0,
        crash_every_ms=random.choice((400, 1_500, 5_000)) if maybe(0.6) else 0,
        pause_every_ms=2_000 if maybe(0.2) else 0,
        skew_ms=random.choice((50, 500, 5_000)) if maybe(0.35) else 0,
        drift=0.05 if maybe(0.2) else 0.0,
        jumps_every_ms=3_000 if maybe(0.3) else 0,
        liars=liars,
        lapses=maybe(0.3),
        real_signatures=maybe(0.05),
        # Liars are fewer than a third of all: with members gone they could be more.
        churn_every_ms=0 if liars else random.choice((0, 700, 2_000)),
        clog_every_ms=random.choice((1_000, 3_000)) if maybe(0.25) else 0,
    )
