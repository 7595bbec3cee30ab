"""Decisions, disputes and credit notes: T14, T15."""

from typing import Any

from ledger.encoding.codec import FEN_MAX
from ledger.rules.claims import CLAIMS, CREDITS_MAX, DISPUTE_WINDOW_MS, REDEEMED
from ledger.rules.sums import Amount
from tests.builders import CASE, no_caps, officers
from tests.ledger.adversarial.case import (
    BY_HAND,
    CLAIM,
    GRANTED,
    ONE_OFFICER,
    PROGRAMME,
    V1,
    credit,
    decide,
    dispute,
    doctored,
    no,
    ok,
    recover,
    redeem,
    second,
    set_hold,
    suspended,
    written,
)
from tests.ledger.adversarial.claims import SET_ASIDE, alone

OWNER = (("firm-a", "owner"),)
CENTRE = (("guian-hub", "officer-1"),)
REVIEW = officers("shanghai", "review")
WAITING = (GRANTED, redeem((V1, 100)))
"""A claim of holder and centre that waits, under terms BY_HAND."""
ALONE = (*SET_ASIDE, alone())
"""A claim of the centre alone: the holder may dispute it."""
UNTIL_MS = second(len(ALONE)) + DISPUTE_WINDOW_MS
DISPUTED = (*ALONE, dispute(CLAIM))
ACCEPTED = WAITING
"""The same claim under other terms is accepted at once."""
SUBMITTED = (GRANTED, redeem((V1, 100), by=(*OWNER, *CENTRE, ("shanghai", "officer-1"))))
"""A claim that an officer of the issuer signed too."""
NEARLY = Amount(fen=FEN_MAX - 99)


def capped(cap: int) -> dict[str, Any]:
    return {**BY_HAND, "caps": no_caps(holder_year_redeemed=(cap,))}


CASES = [
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
        "T14.decide.3",
        "four_eyes_missing",
        decide(CLAIM, 1, by=ONE_OFFICER),
        terms=BY_HAND,
        before=WAITING,
        values={"role": "review"},
    ),
    no(
        "another city decides",
        "T14.decide.3",
        "four_eyes_missing",
        decide(CLAIM, 1, by=officers("guiyang", "review")),
        terms=BY_HAND,
        before=WAITING,
        values={"party": "shanghai"},
    ),
    no(
        "an officer decides what the same person submitted",
        "T14.decide.4",
        "person_submitted",
        decide(CLAIM, 1),
        terms=BY_HAND,
        before=SUBMITTED,
        values={"party": "shanghai", "person": "officer-1", "claim": CLAIM},
    ),
    ok(
        "a person of the same name elsewhere submitted",
        "T14.decide.4",
        decide(CLAIM, 1),
        terms=BY_HAND,
        before=WAITING,
        wrote=((CLAIMS, (CLAIM,), {"submitted_by": ("guian-hub/officer-1", "firm-a/owner")}),),
    ),
    no(
        "a fen more than was claimed",
        "T14.decide.5",
        "accepted_out_of_bounds",
        decide(CLAIM, 101),
        terms=BY_HAND,
        before=WAITING,
        values={"accepted": 101, "amount": 100},
    ),
    ok("all that was claimed", "T14.decide.5", decide(CLAIM, 100), terms=BY_HAND, before=WAITING),
    ok(
        "all of a claim under a hold, by a suspended city",
        "T14.decide.5",
        decide(CLAIM, 100),
        terms=BY_HAND,
        before=(*WAITING, set_hold("claim", CLAIM), *suspended("shanghai")),
    ),
    no(
        "a dispute is decided without a case",
        "T14.decide.6",
        "case_missing",
        decide(CLAIM, 1),
        before=DISPUTED,
        values={"claim": CLAIM},
    ),
    no(
        "a dispute is rejected without a case",
        "T14.decide.6",
        "case_missing",
        decide(CLAIM, 0),
        before=DISPUTED,
    ),
    ok(
        "a dispute is decided by a case",
        "T14.decide.6",
        decide(CLAIM, 1, case=(CASE,)),
        before=DISPUTED,
    ),
    no(
        "a millisecond before the holder has had its week",
        "T14.decide.7",
        "dispute_window_open",
        decide(CLAIM, 1),
        before=(*ALONE, UNTIL_MS - 1),
        values={"until_ms": UNTIL_MS, "time_ms": UNTIL_MS - 1},
    ),
    ok("after the holder's week", "T14.decide.7", decide(CLAIM, 1), before=(*ALONE, UNTIL_MS)),
    ok("a rejection waits for nobody", "T14.decide.7", decide(CLAIM, 0), before=ALONE),
    ok(
        "what the holder signed waits for nobody",
        "T14.decide.7",
        decide(CLAIM, 1),
        terms=BY_HAND,
        before=WAITING,
    ),
    no(
        "nobody checked the tag",
        "T14.decide.8",
        "tag_not_checked",
        decide(CLAIM, 1, tag_checked=False),
        terms=BY_HAND,
        before=WAITING,
    ),
    ok(
        "a rejection checks no tag",
        "T14.decide.8",
        decide(CLAIM, 0, tag_checked=False),
        terms=BY_HAND,
        before=WAITING,
    ),
    no(
        "a fen above the year's redemptions",
        "T14.decide.9",
        "redeemed_cap_exceeded",
        decide(CLAIM, 100),
        terms=capped(99),
        before=WAITING,
        values={"asked": 100, "available": 99},
    ),
    ok(
        "all of the year's redemptions",
        "T14.decide.9",
        decide(CLAIM, 99),
        terms=capped(99),
        before=WAITING,
    ),
    ok(
        "a rejection asks for no cap",
        "T14.decide.9",
        decide(CLAIM, 0),
        terms=capped(99),
        before=WAITING,
        doctor=written(REDEEMED, Amount(fen=100), PROGRAMME, "2026", "firm-a"),
    ),
    no(
        "a holder redeems a fen beyond all amounts",
        "T14.decide.9",
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
]
