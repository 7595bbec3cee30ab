"""Holds and anchors: T20, T21, T22."""

from typing import Any

import pytest

from ledger.rules.governance import Admit
from ledger.rules.holds import HELD as HELD_THINGS
from ledger.rules.holds import HOLD_BARS, HOLDS_MAX, OWN_HOLDS_MAX, HeldBy
from ledger.rules.payables import OPEN_CYCLE, PAYABLES
from tests import builders
from tests.ledger.rules.case import (
    BY_HAND,
    CLAIM,
    GRANTED,
    ONE_OFFICER,
    PAYABLE,
    PROGRAMME,
    V1,
    Case,
    Doctor,
    Ready,
    Step,
    adopted,
    anchor,
    appropriate,
    clear_hold,
    close_cycle,
    decide,
    no,
    ok,
    redeem,
    removed,
    set_hold,
    shares,
    suspended,
    written,
)
from tests.ledger.rules.situations import (
    CYCLE_RIPE_MS,
    OWNER,
    REIMBURSED,
    REIMBURSEMENT,
    REVIEW,
    SHANGHAI,
)

USED = (GRANTED, redeem((V1, 100)))
THINGS = {
    "party": "firm-a",
    "centre": "guian-hub",
    "programme": PROGRAMME,
    "voucher": V1,
    "claim": CLAIM,
    "payable": PAYABLE,
}
"""One thing of each scope, once a voucher was used."""
SETTERS = {"centre": "guiyang"}
"""Which city is concerned, if not Shanghai."""
HELD = (set_hold("party", "firm-a"),)
HOLD = "shanghai.000000001"
AUDITORS = "audit-office.000000001"
HENAN_PAYS: dict[str, Any] = {
    "funders": shares(("shanghai", 0), ("henan", 10_000)),
    "residual_funder": "henan",
}
"""Terms under which the issuer owes nothing."""
XIAN = builders.city("xian", validates=False)


def holds(count: int) -> tuple[Step, ...]:
    """Return as many holds on one firm."""
    return tuple(set_hold("party", "firm-a", reason=f"reason {n}") for n in range(count))


def held_by_others(count: int) -> Doctor:
    """Return a doctor who sets so many holds of others on one firm."""
    ids = tuple(f"auditor-{n // OWN_HOLDS_MAX}.{n:09d}" for n in range(count))
    return written(HELD_THINGS, HeldBy(holds=ids), "party", "firm-a")


CASES: list[Case] = [
    # T20
    no(
        "nobody holds",
        "T20.1",
        "party_unknown",
        set_hold("party", "firm-a", member="no", by=REVIEW),
    ),
    no(
        "a province holds",
        "T20.1",
        "party_wrong_kind",
        set_hold("party", "firm-a", member="henan"),
        values={"party": "henan", "kind": "province", "expected": "city or auditor"},
    ),
    no(
        "a data centre holds",
        "T20.1",
        "party_wrong_kind",
        set_hold("party", "firm-a", member="guian-hub"),
        values={"kind": "data_centre"},
    ),
    no(
        "one officer holds",
        "T20.2",
        "four_eyes_missing",
        set_hold("party", "firm-a", by=ONE_OFFICER),
        values={"role": "review"},
    ),
    no(
        "an auditor did not sign",
        "T20.2",
        "signature_missing",
        set_hold("party", "firm-a", member="audit-office", by=REVIEW),
    ),
    no(
        "a suspended city holds",
        "T20.3",
        "party_not_active",
        set_hold("party", "firm-a"),
        before=suspended("shanghai"),
    ),
    *(
        no(
            f"there is no such {scope}",
            "T20.4",
            "scope_unknown",
            set_hold(scope, thing, member="audit-office"),
            values={"scope": scope, "id": thing},
        )
        for scope, thing in {**THINGS, "party": "nobody", "centre": "chengdu-aicc"}.items()
        if scope != "programme"
    ),
    no(
        "there is no such programme",
        "T20.4",
        "scope_unknown",
        set_hold("programme", "shanghai.other"),
    ),
    *(
        no(
            f"a city that has nothing to do with the {scope}",
            "T20.6",
            "not_concerned",
            set_hold(scope, thing, member="shanghai" if scope in SETTERS else "guiyang"),
            before=USED,
            values={"scope": scope, "id": thing},
        )
        for scope, thing in THINGS.items()
    ),
    no(
        "a city holds a member",
        "T20.6",
        "not_concerned",
        set_hold("party", "guian-hub", member="guiyang"),
    ),
    *(
        ok(
            f"the city of the {scope}",
            "T20.6",
            set_hold(scope, thing, member=SETTERS.get(scope, "shanghai")),
            terms=BY_HAND if scope == "claim" else {},
            before=USED,
        )
        for scope, thing in THINGS.items()
        if scope != "payable"
    ),
    ok(
        "the issuer of a claim for which others owe",
        "T20.6",
        set_hold("payable", PAYABLE),
        terms=HENAN_PAYS,
        before=(appropriate(funder="henan"), *USED),
    ),
    *(
        ok(
            f"the successor of the city of the {scope}",
            "T20.6",
            set_hold(scope, THINGS[scope], member="guiyang"),
            before=(*USED, *removed("shanghai", "guiyang")),
        )
        for scope in ("party", "programme", "voucher")
    ),
    ok(
        "the successor of the centre's host",
        "T20.6",
        set_hold("centre", "guian-hub", member="shanghai"),
        before=(*USED, *removed("guiyang", "shanghai")),
    ),
    no(
        "a city holds what a cycle netted",
        "T20.6",
        "not_concerned",
        set_hold("payable", "clearing.000000001-000", member="xian"),
        before=(*REIMBURSED, CYCLE_RIPE_MS, close_cycle(), *adopted(Admit(member=XIAN, proofs=()))),
    ),
    ok(
        "an auditor holds what a cycle netted",
        "T20.6",
        set_hold("payable", "clearing.000000001-000", member="audit-office"),
        before=(*REIMBURSED, CYCLE_RIPE_MS, close_cycle()),
    ),
    *(
        ok(
            f"an auditor holds the {scope}",
            "T20.6",
            set_hold(scope, thing, member="audit-office"),
            before=USED,
        )
        for scope, thing in {**THINGS, "party": "guian-hub"}.items()
    ),
    # Own cause: T20.5
    no(
        "a debtor holds its debt",
        "T20.5",
        "own_cause",
        set_hold("payable", PAYABLE),
        before=USED,
        values={"party": "shanghai", "scope": "payable", "id": PAYABLE},
    ),
    no(
        "a creditor holds what it is owed",
        "T20.5",
        "own_cause",
        set_hold("payable", REIMBURSEMENT, member="guiyang"),
        before=REIMBURSED,
    ),
    no(
        "an issuer holds a claim for which it owes",
        "T20.5",
        "own_cause",
        set_hold("claim", CLAIM),
        before=USED,
        values={"party": "shanghai", "scope": "claim", "id": CLAIM},
    ),
    no(
        "a debtor's successor holds the debt",
        "T20.5",
        "own_cause",
        set_hold("payable", PAYABLE, member="guiyang"),
        before=(*USED, *removed("shanghai", "guiyang")),
    ),
    no(
        "an auditor holds itself",
        "T20.5",
        "own_cause",
        set_hold("party", "audit-office", member="audit-office"),
    ),
    # Attack: a debtor keeps its debt out of clearing, hold after hold
    no(
        "a debtor sets its payable's hold anew when an auditor cleared it",
        "T20.5",
        "own_cause",
        set_hold("payable", REIMBURSEMENT),
        before=(
            *REIMBURSED,
            set_hold("payable", REIMBURSEMENT, member="audit-office"),
            clear_hold(AUDITORS, member="audit-office"),
        ),
    ),
    no(
        "a city sets anew what an auditor cleared",
        "T20.7",
        "hold_barred",
        set_hold("party", "firm-a", expires_at=2_000_000_000_000),
        before=(*HELD, clear_hold(member="audit-office")),
        values={"party": "shanghai", "scope": "party", "id": "firm-a"},
    ),
    no(
        "a city sets anew what an auditor cleared, under another hold of its own",
        "T20.7",
        "hold_barred",
        set_hold("party", "firm-a", expires_at=2_000_000_000_000),
        before=(*holds(2), clear_hold(member="audit-office")),
    ),
    ok(
        "a city sets anew what it cleared itself",
        "T20.7",
        set_hold("party", "firm-a", expires_at=2_000_000_000_000),
        before=(*HELD, clear_hold()),
    ),
    ok(
        "a city holds another thing after an auditor cleared one",
        "T20.7",
        set_hold("party", "firm-b"),
        before=(*HELD, clear_hold(member="audit-office")),
    ),
    ok(
        "another sets anew what an auditor cleared",
        "T20.7",
        set_hold("party", "firm-a", member="audit-office"),
        before=(*HELD, clear_hold(member="audit-office")),
    ),
    # Attack: a setter fills all places
    no(
        "a fifth hold of one setter",
        "T20.8",
        "holds_too_many",
        set_hold("party", "firm-a"),
        before=holds(OWN_HOLDS_MAX),
        values={"party": "shanghai", "scope": "party", "id": "firm-a", "maximum": 4},
    ),
    ok(
        "a fourth hold of one setter",
        "T20.8",
        set_hold("party", "firm-a"),
        before=holds(OWN_HOLDS_MAX - 1),
    ),
    ok(
        "sixteen own holds would shut out an auditor: four do not",
        "T20.8",
        set_hold("party", "firm-a", member="audit-office"),
        before=holds(OWN_HOLDS_MAX),
    ),
    ok(
        "a hold in the place of one that was cleared",
        "T20.8",
        set_hold("party", "firm-a"),
        before=(*holds(OWN_HOLDS_MAX), clear_hold(HOLD)),
    ),
    no(
        "a hold beyond those of 64 setters",
        "T20.8",
        "holds_too_many",
        set_hold("party", "firm-a"),
        doctor=held_by_others(HOLDS_MAX),
        values={"maximum": 256},
    ),
    ok(
        "the last hold of 64 setters",
        "T20.8",
        set_hold("party", "firm-a"),
        doctor=held_by_others(HOLDS_MAX - 1),
    ),
    # T21
    no("no such hold", "T21.1", "hold_unknown", clear_hold(), values={"hold": HOLD}),
    no(
        "a hold is cleared twice",
        "T21.2",
        "hold_cleared",
        clear_hold(by=(*REVIEW, *OWNER)),
        before=(*HELD, clear_hold(expires_at=2_000_000_000_000)),
    ),
    no(
        "nobody clears",
        "T21.3",
        "party_unknown",
        clear_hold(member="nobody", by=REVIEW),
        before=HELD,
    ),
    no("a province clears", "T21.3", "party_wrong_kind", clear_hold(member="henan"), before=HELD),
    no(
        "a suspended city clears",
        "T21.3",
        "party_not_active",
        clear_hold(),
        before=(*HELD, *suspended("shanghai")),
    ),
    no(
        "another city clears",
        "T21.4",
        "hold_not_theirs",
        clear_hold(member="guiyang"),
        before=HELD,
        values={"hold": HOLD, "setter": "shanghai"},
    ),
    ok("an auditor clears a city's hold", "T21.4", clear_hold(member="audit-office"), before=HELD),
    no(
        "another city clears after the setter was suspended",
        "T21.4",
        "hold_not_theirs",
        clear_hold(member="guiyang"),
        before=(*HELD, *suspended("shanghai")),
    ),
    ok(
        "the successor clears after the setter was suspended",
        "T21.4",
        clear_hold(member="guiyang"),
        before=(*HELD, *suspended("shanghai", successor=("guiyang",))),
        untouched=(HOLD_BARS,),
    ),
    ok(
        "an auditor who clears a city's hold bars it from another",
        "T21.4",
        clear_hold(member="audit-office"),
        before=HELD,
        wrote=((HOLD_BARS, ("party", "firm-a", "shanghai"), {"hold": HOLD}),),
    ),
    no(
        "a successor clears what it owes for",
        "T21.5",
        "own_cause",
        clear_hold(member="guiyang"),
        terms=BY_HAND,
        before=(
            *USED,
            set_hold("claim", CLAIM),
            decide(CLAIM, 100),
            *removed("shanghai", "guiyang"),
        ),
        values={"party": "guiyang", "scope": "claim", "id": CLAIM},
    ),
    ok(
        "a debtor clears the hold that it set before it owed",
        "T21.5",
        clear_hold(),
        terms=BY_HAND,
        before=(*USED, set_hold("claim", CLAIM), decide(CLAIM, 100)),
    ),
    ok(
        "a reimbursement joins the cycle again",
        "T21.4",
        clear_hold(AUDITORS, member="audit-office"),
        before=(*REIMBURSED, set_hold("payable", REIMBURSEMENT, member="audit-office")),
        wrote=((PAYABLES, (REIMBURSEMENT,), {"cycle": (1,)}),),
    ),
    *(
        ok(
            f"a reimbursement that is held {how} stays out of the cycle",
            "T21.4",
            clear_hold(AUDITORS, member="audit-office"),
            before=(
                *REIMBURSED,
                set_hold(scope, thing, member="audit-office"),
                set_hold(*other, member="audit-office"),
            ),
            untouched=(PAYABLES, OPEN_CYCLE),
        )
        for how, scope, thing, other in (
            ("itself", "claim", CLAIM, ("payable", REIMBURSEMENT)),
            ("by its claim", "payable", REIMBURSEMENT, ("claim", CLAIM)),
        )
    ),
    ok(
        "a reimbursement of a closed cycle stays there",
        "T21.4",
        clear_hold(AUDITORS, member="audit-office"),
        before=(
            *REIMBURSED,
            CYCLE_RIPE_MS,
            close_cycle(),
            set_hold("payable", REIMBURSEMENT, member="audit-office"),
        ),
        untouched=(PAYABLES, OPEN_CYCLE),
    ),
    no(
        "one officer clears",
        "T21.6",
        "four_eyes_missing",
        clear_hold(by=ONE_OFFICER),
        before=HELD,
    ),
    no(
        "an auditor's hold is cleared by others",
        "T21.6",
        "signature_missing",
        clear_hold("audit-office.000000001", member="audit-office", by=REVIEW),
        before=(set_hold("party", "firm-a", member="audit-office"),),
    ),
    # T22
    no("nobody anchors", "T22.1", "party_unknown", anchor(member="nobody", by=SHANGHAI)),
    no("a holder anchors", "T22.1", "party_wrong_kind", anchor(member="firm-a")),
    no("one officer anchors", "T22.2", "four_eyes_missing", anchor(by=ONE_OFFICER)),
    no(
        "an auditor did not sign its anchor",
        "T22.2",
        "signature_missing",
        anchor(member="audit-office", by=SHANGHAI),
    ),
    no(
        "a suspended member anchors",
        "T22.3",
        "party_not_active",
        anchor(),
        before=suspended("shanghai"),
    ),
    no(
        "a statement about this very block",
        "T22.4",
        "height_ahead",
        anchor(3),
        values={"as_of": 3, "last": 2},
    ),
    ok("a statement about the last block", "T22.4", anchor(2)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
