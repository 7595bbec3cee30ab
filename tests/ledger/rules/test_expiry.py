"""What expires by itself, and when: R8.1."""

import pytest

from ledger.entries import AutomaticEntry, decode_entry
from ledger.execute import Execution
from ledger.genesis import log_id_of
from ledger.rules import calendar
from ledger.rules.base import Posting
from ledger.rules.budgets import BUDGETS
from ledger.rules.programmes import TOTALS, Review
from ledger.rules.vouchers import VOUCHERS
from tests import builders
from tests.builders import Chain
from tests.ledger.rules.case import PROGRAMME, TODAY, V1, V2, Case, Ready, anchor, ok
from tests.ledger.rules.chains import chain_with, stored, voucher
from tests.ledger.rules.situations import AFTER_A_PAUSE, QUIET_UNTIL_MS, RESUMED_MS

CASES: list[Case] = [
    ok(
        "nothing expires in a pause",
        "R8.1",
        anchor(),
        before=(*AFTER_A_PAUSE[:6], RESUMED_MS),
        untouched=(VOUCHERS,),
    ),
    ok(
        "nothing expires in the quiet after a pause",
        "R8.1",
        anchor(),
        before=(*AFTER_A_PAUSE, QUIET_UNTIL_MS - 1),
        untouched=(VOUCHERS,),
    ),
    ok(
        "what is due expires as the quiet ends",
        "R8.1",
        anchor(),
        before=(*AFTER_A_PAUSE, QUIET_UNTIL_MS),
        wrote=((VOUCHERS, (V1,), {"available": 0, "expired": 10_000}),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


def expiries(execution: Execution) -> tuple[Posting, ...]:
    """Return the postings of a block's automatic entry."""
    for data in execution.entries[:1]:
        entry = decode_entry(data)
        if isinstance(entry, AutomaticEntry):
            return entry.postings
    return ()


def test_value_expires_at_the_end_of_its_last_day_and_returns_to_its_funders() -> None:
    chain = chain_with(validity_days=3)
    chain.accept(builders.mint(("firm-a", 100)))
    chain.accept(builders.transfer(V1, 40))
    expires = voucher(chain).expires_at_ms
    assert expires == calendar.end_of_day_ms(TODAY + 3)
    chain.block(time_ms=expires - 1)
    assert voucher(chain).available == 60
    execution = chain.block(time_ms=expires)
    assert (voucher(chain).available, voucher(chain).expired) == (0, 60)
    assert (voucher(chain, V2).available, voucher(chain, V2).expired) == (0, 40)
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").committed == 0
    assert stored(chain, TOTALS, PROGRAMME).expired == 100
    assert execution.record is not None


def test_claimed_value_waits_for_its_decision_and_does_not_expire() -> None:
    chain = chain_with(validity_days=3, review=Review(automatic_band=0, sample_every=0))
    chain.accept(builders.mint(("firm-a", 100)))
    chain.accept(builders.redeem((V1, 30)))
    chain.block(time_ms=voucher(chain).expires_at_ms)
    assert (voucher(chain).claimed, voucher(chain).expired) == (30, 70)


def test_expiries_are_at_most_the_parameter_a_block_in_order_of_expiry_and_id() -> None:
    genesis = builders.genesis(block_expiries_max=2)
    chain = Chain(genesis=genesis)
    log_id = log_id_of(genesis)
    chain.accept(
        builders.publish(validity_days=3, log_id=log_id), builders.enrol("firm-a", log_id=log_id)
    )
    chain.accept(builders.appropriate(log_id=log_id))
    chain.accept(builders.mint(*[("firm-a", 5)] * 5, log_id=log_id))
    due = voucher(chain).expires_at_ms
    serials = []
    for step in range(4):
        execution = chain.block(time_ms=due + step)
        serials.append([posting.serial for posting in expiries(execution)])
    assert serials == [[1, 2], [3, 4], [5], []]


def test_256_expiries_fit_into_one_entry_and_the_rest_follows() -> None:
    chain = chain_with(validity_days=3)
    chain.accept(builders.mint(*[("firm-a", 1)] * 300))
    due = voucher(chain).expires_at_ms
    counts = [len(expiries(chain.block(time_ms=due + step))) for step in range(3)]
    assert counts == [256, 44, 0]
