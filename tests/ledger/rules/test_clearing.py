"""Clearing cycles: T18."""

import pytest

from ledger.encoding.codec import FEN_MAX
from ledger.rules.payables import PAYABLES
from tests.ledger.rules.case import (
    HOST_PAYS,
    Case,
    Ready,
    close_cycle,
    no,
    ok,
    second,
    set_hold,
    suspended,
)
from tests.ledger.rules.situations import ALL_SPENT, CYCLE_RIPE_MS, OWNER, REIMBURSED, WHOLE_BILLS

OWED_BY_HOST = (HOST_PAYS, *ALL_SPENT)

CASES: list[Case] = [
    # T18
    no("nobody closes", "T18.1", "party_unknown", close_cycle(member="nobody", by=OWNER)),
    no("a holder closes", "T18.1", "party_wrong_kind", close_cycle(member="firm-a")),
    no(
        "one officer closes",
        "T18.2",
        "four_eyes_missing",
        close_cycle(by=(("guiyang", "officer-3"),)),
    ),
    no(
        "an auditor closes without its signature",
        "T18.2",
        "signature_missing",
        close_cycle(member="audit-office", by=OWNER),
    ),
    no(
        "a suspended member closes",
        "T18.3",
        "party_not_active",
        close_cycle(),
        before=suspended("guiyang"),
    ),
    no(
        "a cycle that is not open",
        "T18.4",
        "cycle_wrong",
        close_cycle(2),
        before=(*REIMBURSED, CYCLE_RIPE_MS),
        values={"open": 1, "given": 2},
    ),
    no(
        "a cycle that was closed",
        "T18.4",
        "cycle_wrong",
        close_cycle(1, member="shanghai"),
        before=(*REIMBURSED, CYCLE_RIPE_MS, close_cycle()),
        values={"open": 2, "given": 1},
    ),
    no("an empty cycle", "T18.5", "cycle_empty", close_cycle(), values={"cycle": 1}),
    no(
        "a cycle a millisecond before its day is over",
        "T18.6",
        "cycle_too_early",
        close_cycle(),
        before=(*REIMBURSED, CYCLE_RIPE_MS - 1),
        values={"from_ms": CYCLE_RIPE_MS, "time_ms": CYCLE_RIPE_MS - 1},
    ),
    ok(
        "a cycle after its day",
        "T18.6",
        close_cycle(),
        before=(*REIMBURSED, CYCLE_RIPE_MS),
        wrote=((PAYABLES, ("clearing.000000001-000",), {"debtor": "shanghai", "amount": 100}),),
    ),
    ok(
        "a holder's hold keeps an auditor from nothing",
        "T18.6",
        close_cycle(member="audit-office"),
        before=(*REIMBURSED, set_hold("party", "firm-a"), CYCLE_RIPE_MS),
    ),
    ok(
        "all is settled by a cycle",
        "T18.6",
        close_cycle(),
        terms=WHOLE_BILLS,
        before=(*OWED_BY_HOST, second(9) + 86_400_000),
        wrote=((PAYABLES, ("clearing.000000001-000",), {"amount": FEN_MAX}),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
