"""Who owes whom, in which cycle, and what a credit takes off: R5.2, R7.2, R13.1."""

from typing import Any

import pytest

from ledger.encoding.codec import FEN_MAX
from ledger.rules.centres import RECOGNITION_PERIODS, RECOGNITIONS
from ledger.rules.claims import CLAIMS
from ledger.rules.payables import OPEN_CYCLE, PAYABLES, Position, payable_id
from ledger.view import get
from tests import builders
from tests.ledger.rules.case import (
    BOTH,
    CLAIM,
    GRANTED,
    HOST_PAYS,
    PAYABLE,
    PROGRAMME,
    V1,
    Case,
    Ready,
    accredit,
    appropriate,
    clear_hold,
    close_cycle,
    credit,
    decide,
    instruct,
    mint,
    missing,
    no,
    ok,
    publish,
    recognise,
    redeem,
    set_aside,
    set_hold,
    shares,
    write_off,
)
from tests.ledger.rules.chains import HENAN_1_TO_1, chain_with, stored
from tests.ledger.rules.situations import (
    ALL_MINTED,
    CYCLE_RIPE_MS,
    OWED,
    REIMBURSED,
    REIMBURSEMENT,
    SECOND,
    WHOLE_BILLS,
    alone,
)

TWO: dict[str, Any] = {"funders": shares(("shanghai", 5_000), ("henan", 5_000))}
FUNDED = appropriate(5_000, funder="henan")
HOST_FUNDS: dict[str, Any] = {"funders": shares(("shanghai", 5_000), ("guiyang", 5_000))}
HOST_REIMBURSED = (appropriate(5_000, funder="guiyang"), *REIMBURSED)
"""Guiyang pays its centre 100, of which Shanghai owes it 50, and it would owe itself as much."""
ITS_OWN = f"{CLAIM}-002"

CASES: list[Case] = [
    ok(
        "the issuer's own centre is paid by the issuer",
        "R5.2",
        redeem((V1, 100), centre="chengdu-aicc"),
        before=(
            GRANTED,
            accredit("chengdu-aicc", host="shanghai"),
            recognise(hosts=("shanghai",), mode="host_pays"),
        ),
        wrote=((CLAIMS, ("chengdu-aicc.000000001",), {"host": ()}),),
        untouched=(RECOGNITIONS, OPEN_CYCLE),
    ),
    ok(
        "a host that recognition lets pay does not pay where centres are listed",
        "R5.2",
        redeem((V1, 100)),
        terms={"centres": "listed", "listed": ("guian-hub",)},
        before=(HOST_PAYS, GRANTED),
        wrote=((CLAIMS, (CLAIM,), {"host": ()}),),
        untouched=(RECOGNITIONS, OPEN_CYCLE),
    ),
    ok(
        "a host that nobody recognises does not pay",
        "R5.2",
        alone(),
        before=(GRANTED, set_aside(V1, 100)),
        doctor=missing(RECOGNITION_PERIODS, PROGRAMME, "guiyang"),
        wrote=((CLAIMS, (CLAIM,), {"host": ()}),),
    ),
    ok(
        "a benefit goes through no cycle",
        "R13.1",
        redeem((V1, 100)),
        before=(GRANTED,),
        untouched=(OPEN_CYCLE,),
    ),
    ok(
        "a credit falls on both funders",
        "R7.2",
        credit(CLAIM, 41),
        terms=TWO,
        before=(FUNDED, *OWED),
        wrote=(
            (PAYABLES, (PAYABLE,), {"cancelled": 21, "reversed": 0}),
            (PAYABLES, (f"{CLAIM}-001",), {"cancelled": 20, "reversed": 0}),
        ),
    ),
    ok(
        "a credit falls on the paying host, and on both funders",
        "R7.2",
        credit(CLAIM, 41),
        terms=TWO,
        before=(FUNDED, *REIMBURSED),
        wrote=(
            (PAYABLES, (PAYABLE,), {"cancelled": 41}),
            (PAYABLES, (REIMBURSEMENT,), {"cancelled": 21}),
            (PAYABLES, (f"{CLAIM}-002",), {"cancelled": 20}),
        ),
    ),
    ok(
        "a credit of a held reimbursement is taken off it",
        "R7.2",
        credit(CLAIM, 40),
        before=(*REIMBURSED, set_hold("payable", REIMBURSEMENT, member="audit-office")),
        wrote=((PAYABLES, (REIMBURSEMENT,), {"cancelled": 40, "reversed": 0}),),
        untouched=(OPEN_CYCLE,),
    ),
    ok(
        "a credit of what a closed cycle settled runs the other way",
        "R7.2",
        credit(CLAIM, 40),
        before=(*REIMBURSED, CYCLE_RIPE_MS, close_cycle()),
        wrote=(
            (PAYABLES, (REIMBURSEMENT,), {"cancelled": 0, "reversed": 40}),
            (PAYABLES, (f"{CLAIM}-002",), {"reverse": True, "amount": 40, "cycle": (2,)}),
        ),
    ),
    ok(
        "what runs the other way of a held claim joins no cycle",
        "R13.1",
        credit(CLAIM, 40),
        before=(
            *REIMBURSED,
            CYCLE_RIPE_MS,
            close_cycle(),
            set_hold("claim", CLAIM, member="audit-office"),
        ),
        wrote=((PAYABLES, (f"{CLAIM}-002",), {"reverse": True, "cycle": ()}),),
        untouched=(OPEN_CYCLE,),
    ),
    no(
        "hosts would be owed more than an amount in one cycle",
        "R13.1",
        "amount_overflow",
        decide("guian-hub.000000002", 1),
        terms=WHOLE_BILLS,
        before=(
            *ALL_MINTED,
            publish(programme=SECOND, **WHOLE_BILLS),
            appropriate(1, programme=SECOND),
            mint(("firm-a", 1), programme=SECOND),
            recognise(mode="host_pays", by=BOTH, programmes=(PROGRAMME, SECOND)),
            redeem((V1, FEN_MAX), net=FEN_MAX),
            redeem((f"{SECOND}.000000001", 1), net=1, invoice="second"),
        ),
        values={"total": FEN_MAX + 1, "maximum": FEN_MAX},
    ),
    ok(
        "a host that funds too owes itself nothing: its part is written off, and in no cycle",
        "R7.1",
        redeem((V1, 100)),
        terms=HOST_FUNDS,
        before=HOST_REIMBURSED[:-1],
        wrote=(
            (PAYABLES, (PAYABLE,), {"debtor": "guiyang", "amount": 100, "written_off": 0}),
            (PAYABLES, (REIMBURSEMENT,), {"debtor": "shanghai", "amount": 50, "cycle": (1,)}),
            (
                PAYABLES,
                (ITS_OWN,),
                {"debtor": "guiyang", "creditor": "guiyang", "written_off": 50, "cycle": ()},
            ),
            (
                OPEN_CYCLE,
                ("all",),
                {
                    "positions": (
                        Position(party="guiyang", net=50),
                        Position(party="shanghai", net=-50),
                    )
                },
            ),
        ),
    ),
    ok(
        "a credit takes what a host would owe itself off what was written off",
        "R7.2",
        credit(CLAIM, 40),
        terms=HOST_FUNDS,
        before=HOST_REIMBURSED,
        wrote=((PAYABLES, (ITS_OWN,), {"cancelled": 20, "written_off": 30, "reversed": 0}),),
    ),
    ok(
        "a credit after the cycle leaves nothing that a host owes itself the other way",
        "R7.2",
        credit(CLAIM, 100),
        terms=HOST_FUNDS,
        before=(*HOST_REIMBURSED, CYCLE_RIPE_MS + 1_000, close_cycle()),
        wrote=(
            (PAYABLES, (REIMBURSEMENT,), {"cancelled": 0, "reversed": 50}),
            (PAYABLES, (ITS_OWN,), {"cancelled": 50, "written_off": 0, "reversed": 0}),
        ),
    ),
    ok(
        "what a host would owe itself joins no cycle when the claim's hold ends",
        "R13.1",
        clear_hold("audit-office.000000001", member="audit-office"),
        terms=HOST_FUNDS,
        before=(*HOST_REIMBURSED, set_hold("claim", CLAIM, member="audit-office")),
        wrote=((PAYABLES, (REIMBURSEMENT,), {"cycle": (1,)}),),
    ),
    no(
        "a host pays itself",
        "T19.instructed.6",
        "payment_exceeds_due",
        instruct(ITS_OWN, 1, debtor="guiyang"),
        terms=HOST_FUNDS,
        before=HOST_REIMBURSED,
        values={"asked": 1, "available": 0},
    ),
    ok(
        "what was written off is not paid back",
        "R7.2",
        credit(CLAIM, 100),
        before=(GRANTED, redeem((V1, 100)), write_off(PAYABLE, 60)),
        wrote=((PAYABLES, (PAYABLE,), {"cancelled": 100, "written_off": 0, "reversed": 0}),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


def test_the_payee_may_be_the_holder() -> None:
    chain = chain_with(payee="holder")
    chain.accept(builders.mint(("firm-a", 100)))
    chain.accept(builders.redeem((V1, 100)))
    assert stored(chain, PAYABLES, "guian-hub.000000001-000").creditor == "firm-a"


@pytest.mark.parametrize("amount", [1, 2, 3, 99_999, 100_000])
def test_henan_and_its_province_owe_the_claim_to_the_fen(amount: int) -> None:
    chain = chain_with(("shanghai", 10**6), ("henan", 10**6), funders=HENAN_1_TO_1)
    chain.accept(builders.mint(("firm-a", 100_000)))
    chain.accept(builders.redeem((V1, amount)))
    owed = {}
    for position, debtor in enumerate(("shanghai", "henan")):
        found = get(chain.ledger._storage, PAYABLES, payable_id("guian-hub.000000001", position))
        owed[debtor] = 0 if found is None else found.amount
    assert owed == {"henan": amount // 2, "shanghai": amount - amount // 2}
