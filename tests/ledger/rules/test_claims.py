"""Decisions, disputes and credit notes: T14, T15, and what they give back."""

from typing import Any

import pytest

from ledger.encoding.codec import FEN_MAX
from ledger.rules.centres import RECOGNITIONS
from ledger.rules.claims import (
    CLAIMS,
    CREDITS_MAX,
    DISPUTE_WINDOW_MS,
    ISSUER_DECIDES_MS,
    REDEEMED,
)
from ledger.rules.control import QUIET_MS
from ledger.rules.governance import Pause, Resume
from ledger.rules.invoices import DEVICE_TIME, INVOICES, InvoiceUse
from ledger.rules.payables import PAYABLES
from ledger.rules.reserves import RESERVES
from ledger.rules.sums import Amount
from ledger.rules.vouchers import ISSUED, VOUCHERS
from tests.builders import CASE, NOON_MS, no_caps, officers, seed
from tests.ledger.rules.case import (
    BOTH,
    BY_HAND,
    CLAIM,
    DAY_MS,
    EVER_MS,
    GRANTED,
    HOST_PAYS,
    ONE_OFFICER,
    PAYABLE,
    PROGRAMME,
    RESERVE,
    V1,
    Case,
    Ready,
    Step,
    adopted,
    confirm,
    credit,
    decide,
    dispute,
    doctored,
    instruct,
    no,
    ok,
    recognise,
    recover,
    redeem,
    second,
    set_aside,
    set_hold,
    suspended,
    written,
)
from tests.ledger.rules.situations import (
    AFTER,
    ALL_SPENT,
    CENTRE,
    EXPIRY_MS,
    FIRST_YES_MS,
    NEARLY,
    OWED,
    OWNER,
    REIMBURSED,
    REVIEW,
    SECOND,
    SET_ASIDE,
    STACKABLE,
    STACKED,
    WHOLE_BILLS,
    YEAR,
    after_use,
    again,
    alone,
    claim,
)

WAITING = (GRANTED, redeem((V1, 100)))
"""A claim of holder and centre that waits, under terms BY_HAND."""
ALONE = (*SET_ASIDE, alone())
"""A claim of the centre alone: the holder may dispute it."""
UNTIL_MS = second(len(ALONE)) + DISPUTE_WINDOW_MS
DECIDES_MS = second(len(WAITING)) + ISSUER_DECIDES_MS
"""When the issuer's time to decide WAITING alone is over."""
DISPUTED = (*ALONE, dispute(CLAIM))
ACCEPTED = WAITING
"""The same claim under other terms is accepted at once."""


def capped(cap: int) -> dict[str, Any]:
    return {**BY_HAND, "caps": no_caps(holder_year_redeemed=(cap,))}


ALL_SET_ASIDE = (GRANTED, set_aside(V1, 100), alone(100))
"""A reserve of 100 is claimed as a whole and waits."""
INVOICE = seed("invoice-1").hex()
USES = (
    InvoiceUse(programme=PROGRAMME, terms_version=1, claim=CLAIM),
    InvoiceUse(programme=SECOND, terms_version=1, claim="guian-hub.000000002"),
)


def recognised_from(from_ms: int) -> Step:
    """Return a recognition by which the host pays 100, from a time on."""
    return recognise(mode="host_pays", by=BOTH, limit=(100,), from_ms=from_ms, until_ms=EVER_MS)


RENEWED = (
    *REIMBURSED,
    recognise(until_ms=NOON_MS),
    recognised_from(second(len(REIMBURSED) + 2)),
)
"""A claim of a host's first period, and the second one."""


CASES: list[Case] = [
    # T14 decide
    no("no such claim is decided", "T14.decide.1", "claim_unknown", decide(CLAIM, 1)),
    no(
        "an accepted claim is decided",
        "T14.decide.2",
        "claim_status_wrong",
        decide(CLAIM, 1),
        before=ACCEPTED,
        values={"claim": CLAIM, "status": "accepted"},
    ),
    no(
        "a rejected claim is decided",
        "T14.decide.2",
        "claim_status_wrong",
        decide(CLAIM, 1),
        terms=BY_HAND,
        before=(*WAITING, decide(CLAIM, 0)),
        values={"status": "rejected"},
    ),
    no(
        "one officer decides",
        "T14.decide.4",
        "four_eyes_missing",
        decide(CLAIM, 1, by=ONE_OFFICER),
        terms=BY_HAND,
        before=WAITING,
        values={"role": "review"},
    ),
    no(
        "nobody decides",
        "T14.decide.3",
        "party_unknown",
        decide(CLAIM, 1, member="nowhere", by=REVIEW),
        terms=BY_HAND,
        before=WAITING,
    ),
    no(
        "another city decides",
        "T14.decide.3",
        "party_wrong_kind",
        decide(CLAIM, 1, member="guiyang"),
        terms=BY_HAND,
        before=WAITING,
        values={"party": "guiyang", "expected": "issuer or auditor"},
    ),
    no(
        "another city's officers decide for the issuer",
        "T14.decide.4",
        "four_eyes_missing",
        decide(CLAIM, 1, by=officers("guiyang", "review")),
        terms=BY_HAND,
        before=WAITING,
        values={"party": "shanghai"},
    ),
    no(
        "the issuer's officers decide for an auditor",
        "T14.decide.4",
        "signature_missing",
        decide(CLAIM, 1, member="audit-office", by=REVIEW),
        terms=BY_HAND,
        before=(*WAITING, DECIDES_MS),
        values={"party": "audit-office"},
    ),
    no(
        "a suspended auditor decides",
        "T14.decide.5",
        "party_not_active",
        decide(CLAIM, 1, member="audit-office"),
        terms=BY_HAND,
        before=(*WAITING, *suspended("audit-office"), DECIDES_MS),
        values={"party": "audit-office"},
    ),
    no(
        "an auditor decides a millisecond before the issuer's time is over",
        "T14.decide.5",
        "decision_early",
        decide(CLAIM, 1, member="audit-office"),
        terms=BY_HAND,
        before=(*WAITING, DECIDES_MS - 1),
        values={"until_ms": DECIDES_MS, "time_ms": DECIDES_MS - 1},
    ),
    ok(
        "attack: an issuer that never decides keeps nobody waiting for ever",
        "T14.decide.5",
        decide(CLAIM, 100, member="audit-office"),
        terms=BY_HAND,
        before=(*WAITING, DECIDES_MS),
        wrote=((CLAIMS, (CLAIM,), {"status": "accepted", "accepted": 100}),),
    ),
    ok(
        "the issuer still decides after its time",
        "T14.decide.5",
        decide(CLAIM, 100),
        terms=BY_HAND,
        before=(*WAITING, DECIDES_MS),
    ),
    no(
        "the end of the issuer's time is put off by a pause",
        "T14.decide.5",
        "decision_early",
        decide(CLAIM, 1, member="audit-office"),
        terms=BY_HAND,
        before=(
            *WAITING,
            DECIDES_MS - DAY_MS,
            *adopted(Pause()),
            DECIDES_MS + DAY_MS,
            *adopted(Resume(), 2),
        ),
        values={"until_ms": DECIDES_MS + DAY_MS + FIRST_YES_MS + QUIET_MS},
    ),
    no(
        "a fen more than was claimed",
        "T14.decide.6",
        "accepted_out_of_bounds",
        decide(CLAIM, 101),
        terms=BY_HAND,
        before=WAITING,
        values={"accepted": 101, "amount": 100},
    ),
    ok("all that was claimed", "T14.decide.6", decide(CLAIM, 100), terms=BY_HAND, before=WAITING),
    ok(
        "all of a claim under a hold",
        "T14.decide.6",
        decide(CLAIM, 100),
        terms=BY_HAND,
        before=(*WAITING, set_hold("claim", CLAIM)),
    ),
    no(
        "a dispute is decided without a case",
        "T14.decide.7",
        "case_missing",
        decide(CLAIM, 1),
        before=DISPUTED,
        values={"claim": CLAIM},
    ),
    no(
        "a dispute is rejected without a case",
        "T14.decide.7",
        "case_missing",
        decide(CLAIM, 0),
        before=DISPUTED,
    ),
    ok(
        "a dispute is decided by a case",
        "T14.decide.7",
        decide(CLAIM, 1, case=(CASE,)),
        before=DISPUTED,
    ),
    no(
        "a millisecond before the holder has had its week",
        "T14.decide.8",
        "dispute_window_open",
        decide(CLAIM, 1),
        before=(*ALONE, UNTIL_MS - 1),
        values={"until_ms": UNTIL_MS, "time_ms": UNTIL_MS - 1},
    ),
    ok("after the holder's week", "T14.decide.8", decide(CLAIM, 1), before=(*ALONE, UNTIL_MS)),
    ok("a rejection waits for nobody", "T14.decide.8", decide(CLAIM, 0), before=ALONE),
    ok(
        "what the holder signed waits for nobody",
        "T14.decide.8",
        decide(CLAIM, 1),
        terms=BY_HAND,
        before=WAITING,
    ),
    no(
        "nobody checked the tag",
        "T14.decide.9",
        "tag_not_checked",
        decide(CLAIM, 1, tag_checked=False),
        terms=BY_HAND,
        before=WAITING,
    ),
    ok(
        "a rejection checks no tag",
        "T14.decide.9",
        decide(CLAIM, 0, tag_checked=False),
        terms=BY_HAND,
        before=WAITING,
    ),
    no(
        "a fen above the year's redemptions",
        "T14.decide.10",
        "redeemed_cap_exceeded",
        decide(CLAIM, 100),
        terms=capped(99),
        before=WAITING,
        values={"asked": 100, "available": 99},
    ),
    ok(
        "all of the year's redemptions",
        "T14.decide.10",
        decide(CLAIM, 99),
        terms=capped(99),
        before=WAITING,
    ),
    ok(
        "a rejection asks for no cap",
        "T14.decide.10",
        decide(CLAIM, 0),
        terms=capped(99),
        before=WAITING,
        doctor=written(REDEEMED, Amount(fen=100), PROGRAMME, "2026", "firm-a"),
    ),
    no(
        "a holder redeems a fen beyond all amounts",
        "T14.decide.10",
        "amount_overflow",
        decide(CLAIM, 100),
        terms=BY_HAND,
        before=WAITING,
        doctor=written(REDEEMED, NEARLY, PROGRAMME, "2026", "firm-a"),
    ),
    # T14 dispute
    no("no such claim is disputed", "T14.dispute.1", "claim_unknown", dispute(CLAIM)),
    no(
        "an accepted claim is disputed",
        "T14.dispute.2",
        "claim_status_wrong",
        dispute(CLAIM),
        before=ACCEPTED,
    ),
    no(
        "a claim is disputed twice",
        "T14.dispute.2",
        "claim_status_wrong",
        dispute(CLAIM, by=(*OWNER, *CENTRE)),
        before=(*DISPUTED, UNTIL_MS - 1),
        values={"status": "disputed"},
    ),
    no(
        "the centre disputes",
        "T14.dispute.3",
        "signature_missing",
        dispute(CLAIM, by=CENTRE),
        before=ALONE,
        values={"party": "firm-a"},
    ),
    ok("a stopped holder disputes", "T14.dispute.3", dispute(CLAIM), before=(*ALONE, recover())),
    no(
        "a holder disputes what it signed",
        "T14.dispute.4",
        "not_disputable",
        dispute(CLAIM),
        terms=BY_HAND,
        before=WAITING,
        values={"claim": CLAIM},
    ),
    no(
        "a dispute as the week ends",
        "T14.dispute.5",
        "dispute_window_over",
        dispute(CLAIM),
        before=(*ALONE, UNTIL_MS),
        values={"until_ms": UNTIL_MS, "time_ms": UNTIL_MS},
    ),
    ok(
        "a dispute in the week's last millisecond",
        "T14.dispute.5",
        dispute(CLAIM),
        before=(*ALONE, UNTIL_MS - 1),
        wrote=((CLAIMS, (CLAIM,), {"status": "disputed"}),),
    ),
    # T15
    no("no such claim is credited", "T15.1", "claim_unknown", credit(CLAIM, 1)),
    no(
        "a waiting claim is credited",
        "T15.2",
        "claim_status_wrong",
        credit(CLAIM, 1),
        terms=BY_HAND,
        before=WAITING,
        values={"status": "under_review"},
    ),
    no(
        "officers credit alone",
        "T15.3",
        "signature_missing",
        credit(CLAIM, 1, by=REVIEW),
        before=ACCEPTED,
        values={"party": "guian-hub"},
    ),
    no(
        "the centre credits with one officer",
        "T15.4",
        "four_eyes_missing",
        credit(CLAIM, 1, by=CENTRE + ONE_OFFICER),
        before=ACCEPTED,
    ),
    no(
        "a credit note of a fen too much",
        "T15.5",
        "credit_exceeds_accepted",
        credit(CLAIM, 101),
        before=ACCEPTED,
        values={"asked": 101, "available": 100},
    ),
    ok("a credit note of all", "T15.5", credit(CLAIM, 100), before=ACCEPTED),
    no(
        "two credit notes of a fen too much",
        "T15.5",
        "credit_exceeds_accepted",
        credit(CLAIM, 41),
        before=(*ACCEPTED, credit(CLAIM, 60)),
        values={"asked": 41, "available": 40},
    ),
    no(
        "a thirty-third credit note",
        "T15.6",
        "credits_too_many",
        credit(CLAIM, 1),
        before=ACCEPTED,
        doctor=doctored(CLAIMS, CLAIM, credits=CREDITS_MAX),
        values={"claim": CLAIM, "maximum": 32},
    ),
    ok(
        "a thirty-second credit note",
        "T15.6",
        credit(CLAIM, 1),
        before=ACCEPTED,
        doctor=doctored(CLAIMS, CLAIM, credits=CREDITS_MAX - 1),
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
        "a credit frees what its period has in use",
        "R12.4",
        credit(CLAIM, 40),
        before=REIMBURSED,
        wrote=((RECOGNITIONS, (PROGRAMME, "guiyang", "1"), {"used": 60}),),
    ),
    ok(
        "attack: a claim of a former period that is rejected lowers nothing of the present one",
        "R12.4",
        decide(CLAIM, 0),
        terms=BY_HAND,
        before=RENEWED,
        doctor=doctored(RECOGNITIONS, PROGRAMME, "guiyang", "2", used=70),
        wrote=((RECOGNITIONS, (PROGRAMME, "guiyang", "1"), {"used": 0}),),
    ),
    ok(
        "attack: a claim of a period that was set anew frees its use",
        "R12.4",
        decide(CLAIM, 0),
        terms=BY_HAND,
        before=(*REIMBURSED, recognised_from(second(len(REIMBURSED)))),
        wrote=((RECOGNITIONS, (PROGRAMME, "guiyang", "1"), {"used": 0}),),
    ),
    no(
        "attack: the limit of the present period is not freed by a claim of the former one",
        "T9.24",
        "recognition_exceeded",
        redeem((V1, 31), invoice="3"),
        terms=BY_HAND,
        before=(*RENEWED, redeem((V1, 70), invoice="2"), decide(CLAIM, 0)),
        values={"asked": 31, "available": 30},
    ),
    ok(
        "what was reserved in a period is paid by the funders once it has ended",
        "R5.2",
        alone(),
        before=(HOST_PAYS, *SET_ASIDE, recognise(until_ms=NOON_MS)),
        wrote=((CLAIMS, (CLAIM,), {"host": ()}),),
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
    no(
        "a fen of a claim that is credited",
        "T15.5",
        "credit_exceeds_accepted",
        credit(CLAIM, 1),
        before=(GRANTED, claim(), credit(CLAIM, 100)),
        values={"asked": 1, "available": 0},
    ),
    ok(
        "all is accepted by hand",
        "T14.decide.6",
        decide(CLAIM, FEN_MAX),
        terms={**WHOLE_BILLS, **BY_HAND},
        before=ALL_SPENT,
    ),
    ok("all is credited", "T15.5", credit(CLAIM, FEN_MAX), terms=WHOLE_BILLS, before=ALL_SPENT),
    ok(
        "all is credited after it was paid",
        "T15.5",
        credit(CLAIM, FEN_MAX),
        terms=WHOLE_BILLS,
        before=(*ALL_SPENT, instruct(PAYABLE, FEN_MAX), confirm()),
        wrote=((PAYABLES, (f"{CLAIM}-001",), {"reverse": True, "amount": FEN_MAX}),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
