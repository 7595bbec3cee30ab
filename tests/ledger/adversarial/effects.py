"""Edges of what a transaction does once it holds: where value goes back to, and what counts."""

from typing import Any

from ledger.rules.budgets import BUDGETS
from ledger.rules.centres import RECOGNITIONS
from ledger.rules.claims import CLAIMS
from ledger.rules.governance import Pause, Resume
from ledger.rules.invoices import DEVICE_TIME, INVOICES, InvoiceUse
from ledger.rules.payables import OPEN_CYCLE, PAYABLES
from ledger.rules.reserves import RESERVES
from ledger.rules.vouchers import ISSUED, VOUCHERS
from tests.builders import seed
from tests.ledger.adversarial.case import (
    BOTH,
    BY_HAND,
    CLAIM,
    DAY_MS,
    EVER_MS,
    FOR_LONG,
    GRANTED,
    HOST_PAYS,
    PAYABLE,
    PROGRAMME,
    RESERVE,
    V1,
    Case,
    Step,
    accredit,
    adopted,
    anchor,
    appropriate,
    close_cycle,
    credit,
    decide,
    missing,
    ok,
    recognise,
    redeem,
    release,
    revoke,
    second,
    set_aside,
    set_hold,
    shares,
)
from tests.ledger.adversarial.claims import (
    AFTER,
    EXPIRY_MS,
    SECOND,
    STACKABLE,
    STACKED,
    after_use,
    again,
    alone,
)
from tests.ledger.adversarial.governance import FIRST_YES_MS
from tests.ledger.adversarial.settlement import OWED, REIMBURSED, REIMBURSEMENT, RIPE_MS

ALL_SET_ASIDE = (GRANTED, set_aside(V1, 100), alone(100))
"""A reserve of 100 is claimed as a whole and waits."""
RESERVED_FOR_LONG = (GRANTED, set_aside(V1, 1_000, until_ms=FOR_LONG))
RESUMED_MS = FOR_LONG + DAY_MS
YEAR = "2026"
TWO: dict[str, Any] = {"funders": shares(("shanghai", 5_000), ("henan", 5_000))}
FUNDED = appropriate(5_000, funder="henan")
CLAIMED_MS = second(len(REIMBURSED))
INVOICE = seed("invoice-1").hex()
USES = (
    InvoiceUse(programme=PROGRAMME, terms_version=1, claim=CLAIM),
    InvoiceUse(programme=SECOND, terms_version=1, claim="guian-hub.000000002"),
)


def recognised_from(from_ms: int) -> Step:
    """Return a recognition that goes on, with another start."""
    return recognise(mode="host_pays", by=BOTH, from_ms=from_ms, until_ms=EVER_MS)


GIVEN_BACK = [
    ok(
        "a release in a voucher's last millisecond is available",
        "R11.2",
        release(RESERVE, 1_000),
        before=(*RESERVED_FOR_LONG, FOR_LONG - 1),
        wrote=((VOUCHERS, (V1,), {"available": 10_000, "expired": 0}),),
    ),
    ok(
        "a release in a voucher's first expired millisecond expires",
        "R11.2",
        release(RESERVE, 1_000),
        before=(*RESERVED_FOR_LONG, FOR_LONG),
        wrote=((VOUCHERS, (V1,), {"available": 0, "expired": 10_000}),),
    ),
    ok(
        "what expires as a pause begins is put off",
        "R11.4",
        release(RESERVE, 1_000),
        before=(
            *RESERVED_FOR_LONG,
            FOR_LONG - FIRST_YES_MS,
            *adopted(Pause()),
            RESUMED_MS,
            *adopted(Resume(), 2),
        ),
        wrote=((VOUCHERS, (V1,), {"available": 1_000, "expired": 9_000}),),
    ),
    ok(
        "a rejected claim goes back to a reserve in its last millisecond",
        "R11.3",
        decide(CLAIM, 0),
        before=(*ALL_SET_ASIDE, EXPIRY_MS - 1),
        wrote=((RESERVES, (RESERVE,), {"left": 100}),),
    ),
    ok(
        "a rejected claim goes back to the holder once the reserve expired",
        "R11.3",
        decide(CLAIM, 0),
        before=(*ALL_SET_ASIDE, EXPIRY_MS),
        wrote=((VOUCHERS, (V1,), {"available": 10_000, "reserved": 0}),),
        untouched=(RESERVES,),
    ),
    ok(
        "a credited grant after use leaves the holder's count",
        "R12.5",
        credit(CLAIM, 40),
        terms=AFTER,
        before=(after_use(),),
        wrote=((ISSUED, (PROGRAMME, YEAR, "firm-a"), {"fen": 60}),),
    ),
    ok(
        "a credited voucher stays in the holder's count",
        "R12.5",
        credit(CLAIM, 40),
        before=OWED,
        untouched=(ISSUED,),
    ),
    ok(
        "a grant after use that is accepted as a whole stays counted as it was",
        "R12.5",
        decide(CLAIM, 100),
        terms={**AFTER, **BY_HAND},
        before=(after_use(),),
        untouched=(ISSUED,),
    ),
    ok(
        "what is revoked in its year returns to the funders",
        "R4.4",
        revoke(V1, 100),
        before=(GRANTED,),
        wrote=((BUDGETS, (PROGRAMME, YEAR, "shanghai"), {"committed": 9_900}),),
    ),
    ok(
        "what expires in the next year does not return",
        "R4.4",
        anchor(),
        before=(GRANTED, FOR_LONG),
        wrote=((VOUCHERS, (V1,), {"expired": 10_000}),),
        untouched=(BUDGETS,),
    ),
    ok(
        "what is redeemed does not return",
        "R4.4",
        redeem((V1, 100)),
        before=(GRANTED,),
        untouched=(BUDGETS,),
    ),
]

COUNTED = [
    ok(
        "a credit of the recognition's present time frees it",
        "R12.4",
        credit(CLAIM, 40),
        before=(*REIMBURSED, recognised_from(CLAIMED_MS)),
        wrote=((RECOGNITIONS, (PROGRAMME, "guiyang"), {"used": 60}),),
    ),
    ok(
        "a credit of a claim from before the recognition's time frees nothing",
        "R12.4",
        credit(CLAIM, 40),
        before=(*REIMBURSED, recognised_from(CLAIMED_MS + 1)),
        untouched=(RECOGNITIONS,),
    ),
    ok(
        "a claim of which something stays keeps the invoice",
        "R12.4",
        credit(CLAIM, 99),
        terms=STACKABLE,
        before=(*STACKED, again()),
        wrote=((INVOICES, (INVOICE,), {"uses": USES, "accepted": 101}),),
        untouched=(DEVICE_TIME,),
    ),
    ok(
        "a claim of which nothing stays leaves the invoice to the other",
        "R12.4",
        credit(CLAIM, 100),
        terms=STACKABLE,
        before=(*STACKED, again()),
        wrote=((INVOICES, (INVOICE,), {"uses": USES[1:], "accepted": 100}),),
        untouched=(DEVICE_TIME,),
    ),
]

PAID: list[Case] = [
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
        doctor=missing(RECOGNITIONS, PROGRAMME, "guiyang"),
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
        before=(*REIMBURSED, set_hold("payable", REIMBURSEMENT)),
        wrote=((PAYABLES, (REIMBURSEMENT,), {"cancelled": 40, "reversed": 0}),),
        untouched=(OPEN_CYCLE,),
    ),
    ok(
        "a credit of what a closed cycle settled runs the other way",
        "R7.2",
        credit(CLAIM, 40),
        before=(*REIMBURSED, RIPE_MS, close_cycle()),
        wrote=(
            (PAYABLES, (REIMBURSEMENT,), {"cancelled": 0, "reversed": 40}),
            (PAYABLES, (f"{CLAIM}-002",), {"reverse": True, "amount": 40, "cycle": (2,)}),
        ),
    ),
    ok(
        "what runs the other way of a held claim joins no cycle",
        "R13.1",
        credit(CLAIM, 40),
        before=(*REIMBURSED, RIPE_MS, close_cycle(), set_hold("claim", CLAIM)),
        wrote=((PAYABLES, (f"{CLAIM}-002",), {"reverse": True, "cycle": ()}),),
        untouched=(OPEN_CYCLE,),
    ),
]
CASES: list[Case] = [*GIVEN_BACK, *COUNTED, *PAID]
