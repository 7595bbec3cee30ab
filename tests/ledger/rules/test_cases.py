"""Holds and anchors: T20, T21, T22."""

import pytest

from ledger.rules.holds import HOLDS_MAX
from ledger.rules.payables import OPEN_CYCLE, PAYABLES
from tests.ledger.rules.case import (
    CLAIM,
    GRANTED,
    ONE_OFFICER,
    PAYABLE,
    PROGRAMME,
    V1,
    Case,
    Ready,
    Step,
    anchor,
    clear_hold,
    close_cycle,
    no,
    ok,
    redeem,
    set_hold,
    suspended,
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


def holds(count: int) -> tuple[Step, ...]:
    """Return as many holds on one firm."""
    return tuple(set_hold("party", "firm-a", reason=f"reason {n}") for n in range(count))


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
            "T20.5",
            "not_concerned",
            set_hold(scope, thing, member="shanghai" if scope in SETTERS else "guiyang"),
            before=USED,
            values={"scope": scope, "id": thing},
        )
        for scope, thing in THINGS.items()
    ),
    no(
        "a city holds a member",
        "T20.5",
        "not_concerned",
        set_hold("party", "guian-hub", member="guiyang"),
    ),
    *(
        ok(
            f"the city of the {scope}",
            "T20.5",
            set_hold(scope, thing, member=SETTERS.get(scope, "shanghai")),
            before=USED,
        )
        for scope, thing in THINGS.items()
    ),
    *(
        ok(
            f"an auditor holds the {scope}",
            "T20.5",
            set_hold(scope, thing, member="audit-office"),
            before=USED,
        )
        for scope, thing in {**THINGS, "party": "guian-hub"}.items()
    ),
    no(
        "a seventeenth hold",
        "T20.6",
        "holds_too_many",
        set_hold("party", "firm-a"),
        before=holds(HOLDS_MAX),
        values={"scope": "party", "id": "firm-a", "maximum": 16},
    ),
    ok(
        "a sixteenth hold",
        "T20.6",
        set_hold("party", "firm-a"),
        before=holds(HOLDS_MAX - 1),
    ),
    ok(
        "a hold in the place of one that was cleared",
        "T20.6",
        set_hold("party", "firm-a"),
        before=(*holds(HOLDS_MAX), clear_hold(HOLD)),
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
    ok(
        "another clears after the setter was suspended",
        "T21.4",
        clear_hold(member="guiyang"),
        before=(*HELD, *suspended("shanghai")),
    ),
    ok(
        "a reimbursement joins the cycle again",
        "T21.4",
        clear_hold(),
        before=(*REIMBURSED, set_hold("payable", REIMBURSEMENT)),
        wrote=((PAYABLES, (REIMBURSEMENT,), {"cycle": (1,)}),),
    ),
    *(
        ok(
            f"a reimbursement that is held {how} stays out of the cycle",
            "T21.4",
            clear_hold(),
            before=(*REIMBURSED, set_hold(scope, thing), set_hold(*other)),
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
        clear_hold(),
        before=(*REIMBURSED, CYCLE_RIPE_MS, close_cycle(), set_hold("payable", REIMBURSEMENT)),
        untouched=(PAYABLES, OPEN_CYCLE),
    ),
    no(
        "one officer clears",
        "T21.5",
        "four_eyes_missing",
        clear_hold(by=ONE_OFFICER),
        before=HELD,
    ),
    no(
        "an auditor's hold is cleared by others",
        "T21.5",
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
