"""Appropriations: T4, and what returns to them: R4.4."""

import pytest

from ledger.encoding.codec import FEN_MAX
from ledger.rules import money
from ledger.rules.budgets import BUDGETS
from ledger.rules.money import FunderShare
from ledger.rules.payables import PAYABLES
from ledger.rules.programmes import TOTALS
from ledger.rules.vouchers import VOUCHERS
from tests import builders
from tests.builders import NOON_MS, funded_chain
from tests.ledger.rules.case import (
    DAY_MS,
    FOR_LONG,
    GRANTED,
    ONE_OFFICER,
    PROGRAMME,
    V1,
    Case,
    Ready,
    anchor,
    appropriate,
    no,
    ok,
    publish,
    redeem,
    revoke,
    shares,
    suspended,
)
from tests.ledger.rules.chains import HENAN_1_TO_1, chain_with, code, stored, voucher
from tests.ledger.rules.situations import APPROPRIATED, BUDGET, SHARED, YEAR

FORMER = (
    *SHARED,
    appropriate(5, funder="henan"),
    publish(version=3, funders=shares(("shanghai", 10_000))),
)
"""Henan funded the programme once, and left money there."""
OF_2025 = appropriate(5, year=2025)

CASES: list[Case] = [
    # T4
    no(
        "money for no programme",
        "T4.1",
        "programme_unknown",
        appropriate(programme="shanghai.other"),
    ),
    no(
        "a stranger's money",
        "T4.2",
        "not_a_funder",
        appropriate(funder="henan"),
        values={"party": "henan", "programme": PROGRAMME},
    ),
    ok(
        "a former funder takes back what is left",
        "T4.2",
        appropriate(-1, funder="henan"),
        before=FORMER,
    ),
    no(
        "a former funder carries over",
        "T4.2",
        "not_a_funder",
        appropriate(-1, funder="henan", carried_from=(2025,)),
        before=FORMER,
    ),
    no(
        "a former funder takes nothing",
        "T4.2",
        "not_a_funder",
        appropriate(0, funder="henan"),
    ),
    no(
        "nobody takes back",
        "T4.3",
        "party_unknown",
        appropriate(-5, funder="nobody", by=BUDGET),
    ),
    no("one officer appropriates", "T4.3", "four_eyes_missing", appropriate(5, by=ONE_OFFICER)),
    no(
        "a suspended funder appropriates",
        "T4.4",
        "party_not_active",
        appropriate(5),
        before=suspended("shanghai"),
    ),
    no(
        "money carried within a year",
        "T4.5",
        "carry_over_invalid",
        appropriate(5, carried_from=(2026,)),
        values={"from_year": 2026, "year": 2026, "delta": 5},
    ),
    no(
        "money carried backwards",
        "T4.5",
        "carry_over_invalid",
        appropriate(5, year=2025, carried_from=(2026,)),
    ),
    no(
        "nothing carried over",
        "T4.5",
        "carry_over_invalid",
        appropriate(0, carried_from=(2025,)),
        before=(OF_2025,),
    ),
    no(
        "money carried over negatively",
        "T4.5",
        "carry_over_invalid",
        appropriate(-1, carried_from=(2025,)),
        before=(OF_2025,),
    ),
    no(
        "a fen more than the old year has",
        "T4.5",
        "appropriation_below_committed",
        appropriate(6, carried_from=(2025,)),
        before=(OF_2025,),
        values={"appropriated": -1, "committed": 0},
    ),
    ok(
        "all that the old year has", "T4.5", appropriate(5, carried_from=(2025,)), before=(OF_2025,)
    ),
    ok(
        "one fen of the year before",
        "T4.5",
        appropriate(1, carried_from=(2025,)),
        before=(OF_2025,),
    ),
    no(
        "a fen of what is committed is taken back",
        "T4.6",
        "appropriation_below_committed",
        appropriate(10_000 - 1 - APPROPRIATED),
        before=(GRANTED,),
        values={"appropriated": 9_999, "committed": 10_000},
    ),
    ok(
        "all that is not committed is taken back",
        "T4.6",
        appropriate(10_000 - APPROPRIATED),
        before=(GRANTED,),
    ),
    no(
        "a fen beyond all amounts",
        "T4.7",
        "amount_overflow",
        appropriate(FEN_MAX - APPROPRIATED + 1),
        values={"total": FEN_MAX + 1, "maximum": FEN_MAX},
    ),
    ok("the largest amount", "T4.7", appropriate(FEN_MAX - APPROPRIATED)),
    ok("a delta of zero", "T4.7", appropriate(0)),
    ok(
        "what is revoked in its year returns to the funders",
        "R4.4",
        revoke(V1, 100),
        before=(GRANTED,),
        wrote=((BUDGETS, (PROGRAMME, YEAR, "shanghai"), {"committed": 9_900}),),
    ),
    ok(
        "what expires in the next year returns to the year of its mint",
        "R4.4",
        anchor(),
        before=(GRANTED, FOR_LONG),
        wrote=(
            (VOUCHERS, (V1,), {"expired": 10_000}),
            (BUDGETS, (PROGRAMME, YEAR, "shanghai"), {"committed": 0}),
        ),
    ),
    ok(
        "what expired after its year is carried over, and not bound for ever",
        "R4.4",
        appropriate(APPROPRIATED, year=2027, carried_from=(2026,)),
        before=(GRANTED, FOR_LONG, anchor()),
    ),
    ok(
        "what expired after its year is taken back, and not bound for ever",
        "R4.4",
        appropriate(-APPROPRIATED),
        before=(GRANTED, FOR_LONG, anchor()),
    ),
    ok(
        "what is redeemed does not return",
        "R4.4",
        redeem((V1, 100)),
        before=(GRANTED,),
        untouched=(BUDGETS,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


def test_an_appropriation_adds_up_and_may_be_taken_back_to_nothing() -> None:
    chain = funded_chain()
    chain.accept(builders.appropriate(5))
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").appropriated == 100_000_005
    chain.accept(builders.appropriate(-100_000_005))
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").appropriated == 0
    assert code(chain.attempt(builders.mint(("firm-a", 1)))) == "appropriation_exceeded"


def test_what_returns_to_a_year_that_is_over_is_minted_no_more() -> None:
    chain = chain_with(("shanghai", 100), validity_days=365)
    chain.accept(builders.mint(("firm-a", 100)))
    chain.block(time_ms=voucher(chain).expires_at_ms)
    assert voucher(chain).expired == 100
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").committed == 0
    mint = builders.mint(("firm-a", 1), expires_at=chain.now_ms + DAY_MS)
    assert code(chain.attempt(mint)) == "appropriation_exceeded"


def test_the_residual_funder_owes_up_to_a_fen_less_than_there_are_funders_beyond_its_share() -> (
    None
):
    sixteen = tuple(FunderShare(funder=f"city-{n}", basis_points=625) for n in range(16))
    assert money.split(15, sixteen, "city-7") == (*[0] * 7, 15, *[0] * 8)
    # A voucher of 10 fen commits 5 of each; ten claims of a fen each owe nothing of Henan's.
    chain = chain_with(("shanghai", 5), ("henan", 5), funders=HENAN_1_TO_1)
    chain.accept(builders.mint(("firm-a", 10)))
    for number in range(10):
        chain.accept(builders.redeem((V1, 1), invoice=f"invoice {number}", net=4))
    owed = [stored(chain, PAYABLES, f"guian-hub.{claim:09d}-000") for claim in range(1, 11)]
    assert [(one.debtor, one.amount) for one in owed] == [("shanghai", 1)] * 10
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").committed == 5


def test_funders_never_get_back_more_than_they_committed_however_a_voucher_is_split() -> None:
    chain = chain_with(("shanghai", 1_000), ("henan", 1_000), funders=HENAN_1_TO_1, validity_days=1)
    chain.accept(builders.mint(("firm-a", 10)))
    for serial in range(9):
        chain.accept(builders.transfer(V1, 1, expires_at=NOON_MS + 3_600_000 + serial))
    chain.block(time_ms=voucher(chain).expires_at_ms)
    assert stored(chain, TOTALS, PROGRAMME).expired == 10
    for funder in ("shanghai", "henan"):
        assert 0 <= stored(chain, BUDGETS, PROGRAMME, "2026", funder).committed <= 5
