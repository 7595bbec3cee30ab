"""Random sequences of acts on one programme, for tests that compare two ways of keeping books."""

import random
from dataclasses import dataclass

from tests import builders
from tests.builders import MINUTE_MS

FIRMS = ("firm-a", "firm-b")
VALIDITY_DAYS = 2
APPROPRIATED = 50_000
DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Act:
    """One act: its words for a naive twin, and its envelope."""

    kind: str
    holder: str
    serial: int
    amount: int
    other: str
    bill: str
    raw: bytes


def random_act(dice: random.Random, now_ms: int, serials: int, number: int) -> Act:
    """Return an act that often, not always, makes sense; ``number`` makes it unique."""
    kind = dice.choice(("mint", "transfer", "transfer", "redeem"))
    holder = dice.choice(FIRMS)
    serial = dice.randrange(1, serials + 2)
    amount = dice.choice((1, 2, dice.randrange(1, 500), dice.randrange(1, 5_000)))
    voucher = f"shanghai.compute.{serial:09d}"
    expires_at = now_ms + 10 * MINUTE_MS + number
    other, bill = "", ""
    if kind == "mint":
        raw = builders.mint((holder, amount), expires_at=expires_at)
    elif kind == "transfer":
        other = dice.choice(FIRMS)
        raw = builders.transfer(
            voucher, amount, holder=holder, recipient=other, expires_at=expires_at
        )
    else:
        bill = f"bill {dice.randrange(40)}"
        other = str(net := amount * dice.choice((3, 4, 10)))
        raw = builders.redeem(
            (voucher, amount), holder=holder, invoice=bill, net=net, expires_at=expires_at
        )
    return Act(
        kind=kind,
        holder=holder,
        serial=serial,
        amount=amount,
        other=other,
        bill=bill,
        raw=raw,
    )


def random_step_ms(dice: random.Random) -> int:
    """Return how far time moves to the next block: mostly little, now and then over a day."""
    return dice.choice((1, 1_000, 60_000, 60_000, DAY_MS // 2, 3 * DAY_MS))


def opened(chain: builders.Chain) -> builders.Chain:
    """Return a chain on which the acts have their programme, money, firms and centre."""
    firms = [builders.enrol(firm) for firm in FIRMS]
    publish = builders.publish(validity_days=VALIDITY_DAYS)
    chain.accept(publish, *firms, builders.accredit())
    chain.accept(builders.appropriate(APPROPRIATED), builders.recognise())
    return chain
