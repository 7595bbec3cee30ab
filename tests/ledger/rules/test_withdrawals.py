"""Withdrawals: T26, and the signatures that no longer count (R3.10)."""

import pytest

from ledger.rules.claims import CLAIMS
from ledger.rules.withdrawals import WITHDRAWALS
from ledger.transactions import parse
from tests import builders
from tests.builders import officers
from tests.ledger.rules import situations
from tests.ledger.rules.case import (
    CLAIM,
    EVER_MS,
    GRANTED,
    LOG_ID,
    ONE_OFFICER,
    V1,
    Case,
    Ready,
    Step,
    enrol,
    mint,
    no,
    ok,
    recover,
    set_aside,
    suspended,
    transfer,
    withdraw,
)
from tests.ledger.rules.situations import CENTRE, OWNER, alone

SOLD = transfer(V1, 1)
SET_ASIDE = set_aside(V1, 1)
TWO_KEYS = enrol("firm-x", keys=builders.keys_of("firm-x", "one", "two"), threshold=2)
CLAIMED = alone(by=(*OWNER, *CENTRE))
SIGNED_ALONG = set_aside(V1, 1, by=(*OWNER, ("firm-b", "owner")))
SOME_ID = builders.seed("some transaction")


def withdrawal_of(act: Step, party: str = "firm-a") -> Step:
    """Return a party's withdrawal of another transaction."""
    return lambda: builders.withdraw(
        parse(act()).id, party=party, log_id=LOG_ID, expires_at=EVER_MS
    )


CASES: list[Case] = [
    # T26
    no("nobody withdraws", "T26.1", "party_unknown", withdraw(SOME_ID, party="nobody", by=OWNER)),
    no(
        "a rival withdraws in a holder's name",
        "T26.2",
        "signature_missing",
        withdraw(SOME_ID, by=(("firm-b", "owner"),)),
        values={"party": "firm-a", "needed": 1, "signed": 0},
    ),
    ok(
        "one officer of a treasury withdraws alone",
        "T26.2",
        withdraw(SOME_ID, party="shanghai", by=ONE_OFFICER),
        wrote=((WITHDRAWALS, (SOME_ID.hex(), "shanghai"), {}),),
    ),
    ok(
        "one of two keys withdraws",
        "T26.2",
        withdraw(SOME_ID, party="firm-x", by=(("firm-x", "two"),)),
        before=(TWO_KEYS,),
    ),
    ok("a stopped holder withdraws", "T26.2", withdraw(SOME_ID), before=(recover(),)),
    ok(
        "a suspended city withdraws",
        "T26.2",
        withdraw(SOME_ID, party="shanghai"),
        before=suspended("shanghai"),
    ),
    ok("what was withdrawn before", "T26.2", withdraw(SOME_ID), before=(withdraw(SOME_ID),)),
    # R3.10
    no(
        "a holder has withdrawn its transfer",
        "R3.10",
        "signature_withdrawn",
        SOLD,
        before=(GRANTED, withdrawal_of(SOLD)),
        values={"party": "firm-a", "transaction": parse(SOLD()).id.hex()},
    ),
    no(
        "a recipient has withdrawn a transfer",
        "R3.10",
        "signature_withdrawn",
        SOLD,
        before=(GRANTED, withdrawal_of(SOLD, "firm-b")),
        values={"party": "firm-b"},
    ),
    no(
        "one officer has withdrawn a mint that two signed",
        "R3.10",
        "signature_withdrawn",
        GRANTED,
        before=(withdrawal_of(GRANTED, "shanghai"),),
        values={"party": "shanghai"},
    ),
    no(
        "a withdrawal is withdrawn",
        "R3.10",
        "signature_withdrawn",
        withdraw(SOME_ID),
        before=(withdrawal_of(withdraw(SOME_ID)),),
    ),
    ok(
        "a rival has withdrawn what it never signed",
        "R3.10",
        SET_ASIDE,
        before=(GRANTED, withdrawal_of(SET_ASIDE, "firm-b")),
    ),
    ok(
        "a rival signs along what it has withdrawn",
        "R3.10",
        SIGNED_ALONG,
        before=(GRANTED, withdrawal_of(SIGNED_ALONG, "firm-b")),
    ),
    ok(
        "another transaction was withdrawn",
        "R3.10",
        SOLD,
        before=(GRANTED, withdrawal_of(SET_ASIDE), withdrawal_of(transfer(V1, 2))),
    ),
    ok(
        "a holder that has withdrawn has not signed a claim",
        "R3.10",
        CLAIMED,
        before=(*situations.SET_ASIDE, withdrawal_of(CLAIMED)),
        wrote=((CLAIMS, (CLAIM,), {"holder_signed": False, "status": "under_review"}),),
    ),
    no(
        "too few officers, none of whom has withdrawn",
        "R3.10",
        "four_eyes_missing",
        mint(("firm-a", 5), by=officers("shanghai", "mint")[:1]),
        before=(withdrawal_of(mint(("firm-a", 6)), "shanghai"),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
