"""The ledger keeps the same books as a naive twin, act by act."""

import random

import pytest

from ledger.rules.programmes import BUDGETS, TOTALS
from ledger.rules.settlement import PAYABLES
from ledger.rules.vouchers import VOUCHERS
from ledger.view import get, must
from tests.builders import Chain
from tests.ledger.acts import (
    APPROPRIATED,
    FIRMS,
    VALIDITY_DAYS,
    Act,
    opened,
    random_act,
    random_step_ms,
)
from tests.reference.tally import Tally

PROGRAMME = "shanghai.compute"
ACTS = 150


def do(tally: Tally, act: Act, now_ms: int) -> bool:
    """Do an act on the twin; return whether it held."""
    if act.kind == "mint":
        return tally.mint(act.holder, act.amount, now_ms)
    if act.kind == "transfer":
        return tally.transfer(act.serial, act.holder, act.other, act.amount, now_ms)
    return tally.redeem(
        act.serial, act.holder, "guian-hub", act.amount, act.bill, int(act.other), now_ms
    )


def check_books(chain: Chain, tally: Tally) -> None:
    """Assert that both have the same vouchers, totals, budget and debts."""
    view = chain.ledger._storage
    totals = must(view, TOTALS, PROGRAMME)
    assert totals.next_serial == len(tally.slips) + 1
    for serial, slip in tally.slips.items():
        voucher = must(view, VOUCHERS, f"{PROGRAMME}.{serial:09d}")
        assert (voucher.holder, voucher.available, voucher.redeemed, voucher.expired) == (
            slip.holder,
            slip.available,
            slip.redeemed,
            slip.expired,
        )
        assert voucher.expires_at_ms == slip.expires_at_ms
    assert (totals.minted, totals.available) == (tally.minted, sum(tally.balances().values()))
    assert totals.expired == tally.returned
    assert totals.redeemed == sum(slip.redeemed for slip in tally.slips.values())
    budget = must(view, BUDGETS, PROGRAMME, "2026", "shanghai")
    assert budget.committed == tally.minted - tally.returned
    owed = 0
    for number in range(1, len(tally.bills) + 1):
        payable = get(view, PAYABLES, f"guian-hub.{number:09d}", "0")
        assert payable is not None
        owed += payable.amount
    assert owed == tally.owed.get("guian-hub", 0)


@pytest.mark.parametrize("seed", range(6))
def test_the_ledger_keeps_the_same_books_as_its_naive_twin(seed: int) -> None:
    dice = random.Random(seed)
    chain = opened(Chain())
    tally = Tally(appropriated=APPROPRIATED, validity_days=VALIDITY_DAYS, rate_percent=30)
    verdicts = {True: 0, False: 0}
    number = 0
    while number < ACTS:
        now_ms = chain.now_ms + random_step_ms(dice)
        acts: list[Act] = []
        for _ in range(dice.randrange(5)):
            number += 1
            acts.append(random_act(dice, now_ms, len(tally.slips) + len(acts), number))
        execution = chain.block(*[act.raw for act in acts], time_ms=now_ms)
        tally.lapse(now_ms)
        for act, result in zip(acts, execution.results, strict=True):
            held = do(tally, act, now_ms)
            assert held is (result.refusal is None), f"{act.kind}: {result.refusal}"
            verdicts[held] += 1
        check_books(chain, tally)
    print(f"seed {seed}: {verdicts[True]} acts held, {verdicts[False]} were refused")
    assert verdicts[True] > ACTS // 5
    assert verdicts[False] > ACTS // 10
    assert set(tally.balances()) == set(FIRMS)
