"""Payments: T19."""

from typing import Any

import pytest

from ledger.encoding.codec import FEN_MAX
from ledger.rules.payables import PAYABLES
from ledger.rules.payments import OBJECTION_WINDOW_MS, PAYMENTS
from tests.builders import officers
from tests.ledger.rules.case import (
    CLAIM,
    GRANTED,
    PAYABLE,
    Case,
    Ready,
    Step,
    confirm,
    credit,
    instruct,
    no,
    object_to_payment,
    ok,
    return_payment,
    second,
    set_hold,
    write_off,
)
from tests.ledger.rules.situations import (
    ALL_SPENT,
    CENTRE,
    OWED,
    OWNER,
    REIMBURSED,
    REIMBURSEMENT,
    WHOLE_BILLS,
    claim,
)

ONE_PAYS = (("shanghai", "officer-3"),)
INSTRUCTED = (*OWED, instruct(PAYABLE, 100))
WINDOW_MS = second(len(INSTRUCTED)) + OBJECTION_WINDOW_MS
OBJECTED = (*INSTRUCTED, object_to_payment())
RETURNED = (*INSTRUCTED, return_payment())
CONFIRMED = (*INSTRUCTED, confirm())
BACK = f"{CLAIM}-001"
REVERSED = (*CONFIRMED, credit(CLAIM, 100))
"""The centre owes Shanghai 100: the debtor is a centre, the creditor a treasury."""


def pay_back(**changes: Any) -> Step:
    """Return that the centre told its bank to pay back."""
    return instruct(BACK, 100, "E2", debtor="guian-hub", **changes)


PAID_BACK = (*REVERSED, pay_back())

CASES: list[Case] = [
    # T19 instructed
    no("no such payable is paid", "T19.instructed.1", "payable_unknown", instruct(PAYABLE, 1)),
    no(
        "one officer pays",
        "T19.instructed.2",
        "four_eyes_missing",
        instruct(PAYABLE, 1, by=ONE_PAYS),
        before=OWED,
        values={"party": "shanghai", "role": "pay"},
    ),
    no(
        "a centre's payment is instructed by another",
        "T19.instructed.2",
        "signature_missing",
        pay_back(by=officers("shanghai", "pay")),
        before=REVERSED,
    ),
    no(
        "a reimbursement is paid by itself",
        "T19.instructed.3",
        "payable_cleared",
        instruct(REIMBURSEMENT, 1),
        before=REIMBURSED,
        values={"payable": REIMBURSEMENT},
    ),
    no(
        "a held payable is paid",
        "T19.instructed.4",
        "held",
        instruct(PAYABLE, 1),
        before=(*OWED, set_hold("payable", PAYABLE, member="audit-office")),
        values={"scope": "payable", "id": PAYABLE},
    ),
    no(
        "a held claim's payable is paid",
        "T19.instructed.4",
        "held",
        instruct(PAYABLE, 1),
        before=(*OWED, set_hold("claim", CLAIM, member="audit-office")),
        values={"scope": "claim", "id": CLAIM},
    ),
    no(
        "an end-to-end id is used twice",
        "T19.instructed.5",
        "end_to_end_id_used",
        instruct(PAYABLE, 1),
        before=(*OWED, instruct(PAYABLE, 2)),
        values={"end_to_end_id": "E1"},
    ),
    no(
        "a fen more than is owed",
        "T19.instructed.6",
        "payment_exceeds_due",
        instruct(PAYABLE, 101),
        before=OWED,
        values={"asked": 101, "available": 100},
    ),
    ok("all that is owed", "T19.instructed.6", instruct(PAYABLE, 100), before=OWED),
    no(
        "a fen more than pending, paid, cancelled and written off leave",
        "T19.instructed.6",
        "payment_exceeds_due",
        instruct(PAYABLE, 61, "E3"),
        before=(
            *OWED,
            instruct(PAYABLE, 10),
            confirm(),
            instruct(PAYABLE, 10, "E2"),
            credit(CLAIM, 10),
            write_off(PAYABLE, 10),
        ),
        values={"asked": 61, "available": 60},
    ),
    # T19 confirmed
    no("no such payment arrives", "T19.confirmed.1", "payment_unknown", confirm()),
    no(
        "a stranger confirms",
        "T19.confirmed.2",
        "not_part_of_payment",
        confirm(member="guiyang"),
        before=INSTRUCTED,
        values={"party": "guiyang", "end_to_end_id": "E1"},
    ),
    no(
        "one officer of the payer confirms",
        "T19.confirmed.3",
        "four_eyes_missing",
        confirm(member="shanghai", by=ONE_PAYS),
        before=INSTRUCTED,
        values={"role": "bank"},
    ),
    no(
        "the payee did not confirm",
        "T19.confirmed.3",
        "signature_missing",
        confirm(by=OWNER),
        before=INSTRUCTED,
    ),
    no(
        "money that came back arrives",
        "T19.confirmed.4",
        "payment_status_wrong",
        confirm(),
        before=RETURNED,
        values={"status": "returned"},
    ),
    no(
        "money arrives twice",
        "T19.confirmed.4",
        "payment_status_wrong",
        confirm(by=(*CENTRE, *OWNER), expires_at=WINDOW_MS + 1),
        before=CONFIRMED,
        values={"status": "confirmed"},
    ),
    no(
        "the payer's bank confirms in spite of an objection",
        "T19.confirmed.4",
        "payment_status_wrong",
        confirm(member="shanghai"),
        before=(*OBJECTED, WINDOW_MS),
        values={"status": "objected"},
    ),
    ok("the payee takes its objection back", "T19.confirmed.4", confirm(), before=OBJECTED),
    no(
        "the payer's bank confirms a millisecond early",
        "T19.confirmed.5",
        "objection_window_open",
        confirm(member="shanghai"),
        before=(*INSTRUCTED, WINDOW_MS - 1),
        values={"until_ms": WINDOW_MS, "time_ms": WINDOW_MS - 1},
    ),
    ok(
        "the payer's bank confirms after ten days",
        "T19.confirmed.5",
        confirm(member="shanghai"),
        before=(*INSTRUCTED, WINDOW_MS),
        wrote=((PAYMENTS, ("E1",), {"status": "confirmed", "confirmed_by": ("shanghai",)}),),
    ),
    ok("the payee confirms at once", "T19.confirmed.5", confirm(), before=INSTRUCTED),
    # T19 returned
    no("no such payment comes back", "T19.returned.1", "payment_unknown", return_payment()),
    no(
        "one officer says that money came back",
        "T19.returned.2",
        "four_eyes_missing",
        return_payment(by=ONE_PAYS),
        before=INSTRUCTED,
        values={"party": "shanghai"},
    ),
    no(
        "another says that a centre's payment came back",
        "T19.returned.2",
        "signature_missing",
        return_payment("E2", by=OWNER),
        before=PAID_BACK,
        values={"party": "guian-hub"},
    ),
    no(
        "money comes back twice",
        "T19.returned.3",
        "payment_status_wrong",
        return_payment(expires_at=WINDOW_MS),
        before=RETURNED,
        values={"status": "returned"},
    ),
    ok(
        "money comes back after it arrived",
        "T19.returned.3",
        return_payment(),
        before=CONFIRMED,
        wrote=((PAYABLES, (PAYABLE,), {"paid": 0, "pending": 0, "attempt": 2}),),
    ),
    # T19 written_off
    no("no such payable is let go", "T19.written_off.1", "payable_unknown", write_off(PAYABLE, 1)),
    no(
        "one officer of the payer lets go",
        "T19.written_off.2",
        "four_eyes_missing",
        write_off(PAYABLE, 1, by=ONE_PAYS + CENTRE),
        before=OWED,
        values={"party": "shanghai"},
    ),
    no(
        "a centre's debt is let go without it",
        "T19.written_off.2",
        "signature_missing",
        write_off(BACK, 1, parties=("shanghai",)),
        before=REVERSED,
        values={"party": "guian-hub"},
    ),
    no(
        "the payer lets go alone",
        "T19.written_off.3",
        "signature_missing",
        write_off(PAYABLE, 1, parties=("shanghai",)),
        before=OWED,
        values={"party": "guian-hub"},
    ),
    no(
        "a centre lets its own debt go",
        "T19.written_off.3",
        "four_eyes_missing",
        write_off(BACK, 1, parties=("guian-hub",)),
        before=REVERSED,
        values={"party": "shanghai"},
    ),
    no(
        "a reimbursement is let go",
        "T19.written_off.4",
        "payable_cleared",
        write_off(REIMBURSEMENT, 1, parties=("shanghai", "guiyang")),
        before=REIMBURSED,
    ),
    no(
        "a fen more than is owed is let go",
        "T19.written_off.5",
        "payment_exceeds_due",
        write_off(PAYABLE, 101),
        before=OWED,
        values={"asked": 101, "available": 100},
    ),
    ok("all that is owed is let go", "T19.written_off.5", write_off(PAYABLE, 100), before=OWED),
    # T19 objected
    no("an objection to no payment", "T19.objected.1", "payment_unknown", object_to_payment()),
    no(
        "somebody else objects",
        "T19.objected.2",
        "signature_missing",
        object_to_payment(by=OWNER),
        before=INSTRUCTED,
        values={"party": "guian-hub"},
    ),
    no(
        "one officer of a payee objects",
        "T19.objected.2",
        "four_eyes_missing",
        object_to_payment("E2", by=ONE_PAYS),
        before=PAID_BACK,
        values={"party": "shanghai", "role": "bank"},
    ),
    no(
        "an objection to money that arrived",
        "T19.objected.3",
        "payment_status_wrong",
        object_to_payment(),
        before=CONFIRMED,
        values={"status": "confirmed"},
    ),
    no(
        "an objection as the ten days end",
        "T19.objected.4",
        "objection_window_over",
        object_to_payment(),
        before=(*INSTRUCTED, WINDOW_MS),
        values={"until_ms": WINDOW_MS, "time_ms": WINDOW_MS},
    ),
    ok(
        "an objection in the last millisecond",
        "T19.objected.4",
        object_to_payment(),
        before=(*INSTRUCTED, WINDOW_MS - 1),
    ),
    no(
        "a fen of a debt that is paid",
        "T19.instructed.6",
        "payment_exceeds_due",
        instruct(PAYABLE, 1, "E2"),
        before=(GRANTED, claim(), instruct(PAYABLE, 100)),
        values={"asked": 1, "available": 0},
    ),
    ok(
        "all is paid",
        "T19.instructed.6",
        instruct(PAYABLE, FEN_MAX),
        terms=WHOLE_BILLS,
        before=ALL_SPENT,
    ),
    ok(
        "all is let go",
        "T19.written_off.5",
        write_off(PAYABLE, FEN_MAX),
        terms=WHOLE_BILLS,
        before=ALL_SPENT,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
