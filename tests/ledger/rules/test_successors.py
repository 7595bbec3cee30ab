"""Who acts for a member that may not act itself: R10.5, R10.6, and every check that asks it."""

from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.ledger import Ledger
from ledger.rules.claims import CLAIMS
from ledger.rules.governance import SetStatus
from ledger.rules.parties import PARTIES
from ledger.rules.recoveries import RECOVERIES, RECOVERY_WAIT_MS
from ledger.rules.successors import STEPS_MAX, SUCCESSIONS, Succession, acting_for, actor_of
from ledger.store.memory import MemoryStore
from ledger.view import StateView, must
from tests.builders import NOON_MS, Chain, Signers, officers
from tests.ledger.rules.case import (
    BOTH,
    BY_HAND,
    CLAIM,
    DAY_MS,
    GENESIS,
    GRANTED,
    PAYABLE,
    RESERVE,
    TODAY,
    V1,
    Case,
    Ready,
    accredit,
    announce,
    appropriate,
    confirm,
    credit,
    decide,
    decide_keys,
    doctored,
    extend,
    instruct,
    no,
    object_to_payment,
    objection,
    ok,
    propose,
    put,
    recognise,
    recover,
    redeem,
    release,
    removed,
    resolve_payment,
    return_payment,
    revoke,
    rotate,
    second,
    set_aside,
    suspended,
    treasury_keys,
    vote,
    write_off,
)
from tests.ledger.rules.situations import (
    CENTRE,
    GUIYANG,
    OWED,
    OWNER,
    REVIEW,
    SET_ASIDE,
    SHANGHAI,
    alone,
)

GONE = removed("shanghai", "guiyang")
"""Shanghai was removed, and Guiyang takes its place."""
AWAY = suspended("shanghai", successor=("guiyang",))
THEIR_REVIEW = officers("guiyang", "review")
THEIR_PAY = officers("guiyang", "pay")
THEIR_BANK = officers("guiyang", "bank")
PAY = officers("shanghai", "pay")
CHENGDU = (("chengdu-aicc", "officer-1"),)
CENTRE_GONE = removed("guian-hub", "chengdu-aicc")
WAITING = (GRANTED, redeem((V1, 100)))
RIPE_MS = second(1) + RECOVERY_WAIT_MS
STOPPED = (recover(), *GONE, RIPE_MS)
"""Shanghai opened a recovery and was removed: 72 hours after it was opened."""
ASKED = (recover(), objection())
CHANGING = (announce("shanghai", keys=treasury_keys("shanghai"), threshold=2),)
HOLD_END_MS = NOON_MS + 10 * DAY_MS
"""When what was set aside is no longer the centre's alone."""
INSTRUCTED = (*OWED, instruct(PAYABLE, 100))
NOBODY = doctored(PARTIES, "shanghai", status="removed")
"""A store in which Shanghai was removed, and nobody takes its place."""
LATER = TODAY + 400


def acts(name: str, clause: str, step: Any, theirs: Signers, before: tuple[Any, ...]) -> list[Case]:
    """Return cases of an act of Shanghai's, by itself or by Guiyang, once it is gone or away.

    ``step`` makes the act for signers, none for Shanghai itself.
    """
    gone = {"party": "guiyang"}
    return [
        no(
            f"a removed city {name}",
            clause,
            "four_eyes_missing",
            step(),
            before=(*before, *GONE),
            values=gone,
            terms=BY_HAND,
        ),
        ok(
            f"a removed city's successor {name}",
            clause,
            step(by=theirs),
            before=(*before, *GONE),
            terms=BY_HAND,
        ),
        no(
            f"a suspended city {name}",
            clause,
            "party_not_active",
            step(),
            before=(*before, *suspended("shanghai")),
            values={"party": "shanghai", "status": "suspended"},
            terms=BY_HAND,
        ),
        ok(
            f"a suspended city's successor {name}",
            clause,
            step(by=theirs),
            before=(*before, *AWAY),
            terms=BY_HAND,
        ),
    ]


def settles(
    name: str, clause: str, step: Any, theirs: Signers, before: tuple[Any, ...]
) -> list[Case]:
    """Return cases of what Shanghai still does while it is suspended, Guiyang once it is gone."""
    return [
        no(
            f"a removed city {name}",
            clause,
            "four_eyes_missing",
            step(),
            before=(*before, *GONE),
            values={"party": "guiyang"},
        ),
        ok(f"a removed city's successor {name}", clause, step(by=theirs), before=(*before, *GONE)),
        no(
            f"nobody in a removed city's place {name}",
            clause,
            "party_not_active",
            step(),
            before=before,
            doctor=NOBODY,
            values={"party": "shanghai", "status": "removed"},
        ),
        ok(f"a suspended city {name}", clause, step(), before=(*before, *AWAY)),
    ]


def of_a_centre(
    name: str, clause: str, step: Any, theirs: Signers, before: tuple[Any, ...]
) -> list[Case]:
    """Return the same of a centre, which may be removed for nobody."""
    return [
        no(
            f"a removed centre {name}",
            clause,
            "signature_missing",
            step(),
            before=(*before, *CENTRE_GONE),
            values={"party": "chengdu-aicc"},
        ),
        ok(
            f"a removed centre's successor {name}",
            clause,
            step(by=theirs),
            before=(*before, *CENTRE_GONE),
        ),
        no(
            f"nobody in a removed centre's place {name}",
            clause,
            "party_not_active",
            step(),
            before=(*before, *removed("guian-hub")),
            values={"party": "guian-hub", "status": "removed"},
        ),
        ok(f"a suspended centre {name}", clause, step(), before=(*before, *suspended("guian-hub"))),
    ]


CASES: list[Case] = [
    # Attack: a removed city goes on with what it began
    *acts(
        "recovers its holder",
        "T10.recover.4",
        recover,
        GUIYANG,
        (),
    ),
    no(
        "a removed city takes its holder's keys after 72 hours",
        "T10.decide.4",
        "four_eyes_missing",
        decide_keys(),
        before=STOPPED,
        values={"party": "guiyang"},
    ),
    ok(
        "a removed city's successor decides what it began",
        "T10.decide.4",
        decide_keys(by=GUIYANG),
        before=STOPPED,
        wrote=((RECOVERIES, ("firm-a",), {"opened_by": "shanghai", "status": "accepted"}),),
    ),
    no(
        "a suspended city decides what it began",
        "T10.decide.4",
        "party_not_active",
        decide_keys(accept=False),
        before=(recover(), *suspended("shanghai")),
    ),
    no(
        "a successor is its own second opinion",
        "T10.decide.3",
        "second_opinion_missing",
        decide_keys(second=("guiyang",), by=GUIYANG),
        before=(*ASKED, *GONE, RIPE_MS),
    ),
    ok(
        "a second opinion frees a holder for whose city nobody acts",
        "T10.decide.3",
        decide_keys(accept=False, second=("guiyang",), by=GUIYANG),
        before=(*ASKED, *suspended("shanghai")),
    ),
    *acts(
        "decides a claim",
        "T14.decide.4",
        lambda **by: decide(CLAIM, 100, **by),
        THEIR_REVIEW,
        WAITING,
    ),
    ok(
        "a claim that a successor decided stays of its programme",
        "T14.decide.4",
        decide(CLAIM, 100, by=THEIR_REVIEW),
        terms=BY_HAND,
        before=(*WAITING, *GONE),
        wrote=((CLAIMS, (CLAIM,), {"programme": "shanghai.compute", "status": "accepted"}),),
    ),
    *(
        no(
            f"an officer of {whose} signs a claim that it may decide",
            "T9.5",
            "person_submitted",
            redeem((V1, 100), by=(*OWNER, *CENTRE, (party, "officer-1"))),
            before=(GRANTED, *away),
            values={"party": party, "person": "officer-1"},
        )
        for whose, party, away in (
            ("a removed city's successor", "guiyang", GONE),
            ("a suspended city's successor", "guiyang", AWAY),
            ("a suspended city", "shanghai", AWAY),
        )
    ),
    ok(
        "an officer of a city that acts for nobody signs a claim along",
        "T9.5",
        redeem((V1, 100), by=(*OWNER, *CENTRE, ("guiyang", "officer-1"))),
        before=(GRANTED, *suspended("shanghai")),
    ),
    *acts(
        "extends a voucher", "T16.2", lambda **by: extend(V1, LATER, **by), THEIR_REVIEW, (GRANTED,)
    ),
    *acts("revokes a voucher", "T17.2", lambda **by: revoke(V1, 1, **by), THEIR_REVIEW, (GRANTED,)),
    *acts(
        "takes back what it set aside",
        "T4.3",
        lambda **by: appropriate(-5, **by),
        officers("guiyang", "budget"),
        (),
    ),
    no(
        "a removed city's successor sets more aside for it",
        "T4.3",
        "four_eyes_missing",
        appropriate(5, by=officers("guiyang", "budget")),
        before=GONE,
        values={"party": "shanghai"},
    ),
    *acts(
        "lets a holder take a reserve back",
        "T13.4",
        lambda by=REVIEW: release(RESERVE, 1, party="firm-a", by=OWNER + by),
        THEIR_REVIEW,
        (*SET_ASIDE, HOLD_END_MS),
    ),
    no(
        "a successor ends an objection to what its predecessor owes",
        "T19.resolved.3",
        "party_concerned",
        resolve_payment(member="guiyang", paid=False),
        before=(*INSTRUCTED, object_to_payment(), *GONE),
        values={"party": "guiyang", "end_to_end_id": "E1"},
    ),
    no(
        "a suspended payer ends an objection to its own payment",
        "T19.resolved.3",
        "party_concerned",
        resolve_payment(member="shanghai"),
        before=(*INSTRUCTED, object_to_payment(), *suspended("shanghai")),
        values={"party": "shanghai"},
    ),
    # Credit notes take two
    *(
        no(f"a {how} city credits", "T15.4", code, credit(CLAIM, 1), before=(*OWED, *away))
        for how, code, away in (
            ("removed", "four_eyes_missing", GONE),
            ("suspended", "party_not_active", suspended("shanghai")),
        )
    ),
    ok(
        "a removed city's successor credits",
        "T15.4",
        credit(CLAIM, 1, by=CENTRE + THEIR_REVIEW),
        before=(*OWED, *GONE),
    ),
    *of_a_centre(
        "credits",
        "T15.3",
        lambda by=CENTRE: credit(CLAIM, 1, by=by + REVIEW),
        CHENGDU,
        OWED,
    ),
    # What a suspended member still does, and a removed one does not
    *of_a_centre(
        "releases what was reserved",
        "T13.3",
        lambda **by: release(RESERVE, 1, **by),
        CHENGDU,
        (GRANTED, set_aside(V1, 100)),
    ),
    *of_a_centre(
        "claims what was reserved",
        "T9.5",
        lambda by=CENTRE: alone(by=by),
        CHENGDU,
        SET_ASIDE,
    ),
    *settles(
        "pays",
        "T19.instructed.2",
        lambda **by: instruct(PAYABLE, 1, **by),
        THEIR_PAY,
        OWED,
    ),
    *settles(
        "records a return",
        "T19.returned.3",
        return_payment,
        THEIR_BANK,
        INSTRUCTED,
    ),
    *of_a_centre(
        "confirms",
        "T19.confirmed.3",
        confirm,
        CHENGDU,
        INSTRUCTED,
    ),
    *of_a_centre(
        "objects",
        "T19.objected.2",
        object_to_payment,
        CHENGDU,
        INSTRUCTED,
    ),
    *(
        no(
            f"a suspended {side} lets go of a debt",
            clause,
            "party_not_active",
            write_off(PAYABLE, 1),
            before=(*OWED, *suspended(party)),
            values={"party": party},
        )
        for side, clause, party in (
            ("debtor", "T19.written_off.2", "shanghai"),
            ("creditor", "T19.written_off.3", "guian-hub"),
        )
    ),
    ok(
        "a successor lets go of what its predecessor owed",
        "T19.written_off.2",
        write_off(PAYABLE, 1, by=THEIR_PAY + CENTRE),
        before=(*OWED, *GONE),
    ),
    ok(
        "a successor lets go of what its predecessor was owed",
        "T19.written_off.3",
        write_off(PAYABLE, 1, by=PAY + CHENGDU),
        before=(*OWED, *CENTRE_GONE),
    ),
    # What is new needs an active member
    *(
        case
        for how, away in (("suspended", AWAY), ("removed", GONE))
        for case in (
            no(
                f"a member that is {how} announces keys",
                "T10.announce.3",
                "party_not_active",
                announce("shanghai", keys=treasury_keys("shanghai"), threshold=2),
                before=away,
                values={"party": "shanghai"},
            ),
            no(
                f"a member that is {how} objects to its own keys",
                "T10.object.3",
                "party_not_active",
                objection("shanghai", by=(("shanghai", "officer-3"),)),
                before=(*CHANGING, *away),
                values={"party": "shanghai"},
            ),
            no(
                f"a member that is {how} decides its own keys",
                "T10.decide.4",
                "party_not_active",
                decide_keys("shanghai"),
                before=(*CHANGING, *away, RIPE_MS),
                values={"party": "shanghai"},
            ),
            no(
                f"the successor of a member that is {how} decides its keys",
                "T10.decide.4",
                "party_not_active",
                decide_keys("shanghai", by=GUIYANG),
                before=(*CHANGING, *away, RIPE_MS),
                values={"party": "shanghai"},
            ),
        )
    ),
    *(
        no(
            f"a member that is {how} rotates its keys",
            "T10.rotate.3",
            "party_not_active",
            rotate("shanghai", keys=treasury_keys("shanghai"), threshold=2),
            before=away,
            values={"party": "shanghai"},
        )
        for how, away in (("suspended", suspended("shanghai")), ("removed", GONE))
    ),
    no(
        "a suspended centre moves to another host",
        "T5.5",
        "party_not_active",
        accredit(host="shanghai", by=SHANGHAI + CENTRE),
        before=suspended("guian-hub"),
        values={"party": "guian-hub"},
    ),
    ok(
        "a suspended centre's devices change at its host",
        "T5.5",
        accredit(pue_milli=1_300),
        before=suspended("guian-hub"),
    ),
    no(
        "a suspended host agrees to pay",
        "T6.7",
        "party_not_active",
        recognise(mode="host_pays", by=BOTH),
        before=suspended("guiyang"),
        values={"party": "guiyang"},
    ),
    ok(
        "a suspended host is recognised and pays nothing",
        "T6.7",
        recognise(limit=(5,)),
        before=suspended("guiyang"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


def line_of(steps: int, last: str) -> StateView:
    """Return a state in which Shanghai has so many successors one after the other."""
    store = MemoryStore()
    Chain(ledger=Ledger(store), genesis=GENESIS)
    shanghai = must(store, PARTIES, "shanghai")
    names = ["shanghai", *(f"city-{step}" for step in range(1, steps + 1))]
    for name, successor in pairwise(names):
        put(store, PARTIES, replace(shanghai, id=name, status="removed"), name)
        put(store, SUCCESSIONS, Succession(successor=(successor,)), name)
    put(store, PARTIES, replace(shanghai, id=names[-1], status=last), names[-1])
    return store


def test_who_acts_is_the_first_active_one_of_at_most_sixteen() -> None:
    for steps in (0, 1, 2, STEPS_MAX):
        actor = actor_of(line_of(steps, "active"), "shanghai")
        assert actor is not None
        assert actor.id == ("shanghai" if steps == 0 else f"city-{steps}")
    assert actor_of(line_of(STEPS_MAX + 1, "active"), "shanghai") is None


@pytest.mark.parametrize("status", ["suspended", "removed"])
@pytest.mark.parametrize("steps", [0, 1, STEPS_MAX])
def test_nobody_acts_where_the_last_one_is_not_active(steps: int, status: str) -> None:
    assert actor_of(line_of(steps, status), "shanghai") is None


def test_a_member_that_comes_back_acts_itself_again() -> None:
    chain = Chain(genesis=GENESIS)
    chain.accept(*(step() for step in suspended("shanghai", successor=("guiyang",))))
    assert acting(chain, "shanghai") == "guiyang"
    back = SetStatus(party="shanghai", status="active", successor=())
    votes = (vote(2, voter=voter)() for voter in ("henan", "guian-hub"))
    chain.accept(propose(back, proposer="guiyang")(), *votes)
    assert acting(chain, "shanghai") == "shanghai"


def acting(chain: Chain, party: str) -> str:
    """Return who acts for a party."""
    return acting_for(chain.ledger._storage, party).id
