"""Payments: T19."""

from typing import Any

import pytest

from ledger.encoding.codec import FEN_MAX
from ledger.rules.payables import PAYABLES
from ledger.rules.payments import OBJECTION_WINDOW_MS, PAYMENTS
from tests.builders import OFFICERS, officers
from tests.ledger.rules.case import (
    CLAIM,
    GRANTED,
    PAYABLE,
    V1,
    Case,
    Ready,
    Step,
    confirm,
    credit,
    instruct,
    no,
    object_to_payment,
    ok,
    redeem,
    resolve_payment,
    return_payment,
    rotate,
    second,
    set_hold,
    suspended,
    treasury_keys,
    write_off,
)
from tests.ledger.rules.situations import (
    ALL_SPENT,
    CENTRE,
    OWED,
    OWNER,
    REIMBURSED,
    REIMBURSEMENT,
    SHANGHAI,
    WHOLE_BILLS,
    claim,
)

ONE_PAYS = (("shanghai", "officer-3"),)
INSTRUCTED = (*OWED, instruct(PAYABLE, 100))
WINDOW_MS = second(len(INSTRUCTED)) + OBJECTION_WINDOW_MS
OBJECTED = (*INSTRUCTED, object_to_payment())
RETURNED = (*INSTRUCTED, return_payment())
CONFIRMED = (*INSTRUCTED, confirm())
RETURNING = (*CONFIRMED, return_payment())
RETURN_OBJECTED = (*RETURNING, object_to_payment())
LATE_MS = 2_000_000_000_000
"""The same act once more has another id."""
RETURN_WINDOW_MS = second(len(RETURNING)) + OBJECTION_WINDOW_MS
ONE_BANKER = (("shanghai", "officer-3"),)
BACK = f"{CLAIM}-001"
REVERSED = (*CONFIRMED, credit(CLAIM, 100))
"""The centre owes Shanghai 100: the debtor is a centre, the creditor a treasury."""


def pay_back(**changes: Any) -> Step:
    """Return that the centre told its bank to pay back."""
    return instruct(BACK, 100, "E2", debtor="guian-hub", **changes)


PAID_BACK = (*REVERSED, pay_back())
OF_THE_CENTRE: dict[str, Any] = {"end_to_end_id": "E2", "debtor": "guian-hub"}


def payment(**fields: Any) -> tuple[Any, ...]:
    """Return what is written of Shanghai's payment."""
    return (PAYMENTS, ("shanghai", "E1"), fields)


def payable(**fields: Any) -> tuple[Any, ...]:
    """Return what is written of what Shanghai owes."""
    return (PAYABLES, (PAYABLE,), fields)


PAY_AND_BANK_APART = treasury_keys(
    "shanghai",
    officer_1=("registrar", "bank"),
    officer_2=("registrar", "bank"),
    officer_3=("pay",),
    officer_4=("pay",),
)
"""Who pays is not who speaks for the bank."""
ALL_OFFICERS = tuple(("shanghai", person) for person in OFFICERS)

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
    ok(
        "a rival burns the next end-to-end id with one fen: each debtor counts its own",
        "T19.instructed.5",
        instruct("guian-hub.000000002-000", 100, "E2"),
        before=(
            *REVERSED,
            redeem((V1, 100), invoice="again"),
            instruct(BACK, 1, "E2", debtor="guian-hub"),
        ),
        wrote=((PAYMENTS, ("shanghai", "E2"), {"debtor": "shanghai", "id": "E2"}),),
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
        "another's payment of the same id arrives",
        "T19.confirmed.1",
        "payment_unknown",
        confirm(debtor="guiyang"),
        before=INSTRUCTED,
        values={"debtor": "guiyang", "end_to_end_id": "E1"},
    ),
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
        wrote=(payment(status="confirmed", confirmed_by=("shanghai",)),),
    ),
    ok("the payee confirms at once", "T19.confirmed.5", confirm(), before=INSTRUCTED),
    # T19 returned
    no("no such payment comes back", "T19.returned.1", "payment_unknown", return_payment()),
    no(
        "a stranger says that money came back",
        "T19.returned.2",
        "not_part_of_payment",
        return_payment(member="guiyang"),
        before=INSTRUCTED,
        values={"party": "guiyang", "end_to_end_id": "E1"},
    ),
    no(
        "one officer says that money came back",
        "T19.returned.3",
        "four_eyes_missing",
        return_payment(by=ONE_BANKER),
        before=INSTRUCTED,
        values={"party": "shanghai", "role": "bank"},
    ),
    no(
        "pay officers reopen a confirmed payment, to pay again",
        "T19.returned.3",
        "four_eyes_missing",
        return_payment(),
        before=(*CONFIRMED, rotate("shanghai", keys=PAY_AND_BANK_APART, by=ALL_OFFICERS)),
        values={"party": "shanghai", "role": "bank", "signed": 0},
    ),
    no(
        "another says that a centre's payment came back",
        "T19.returned.3",
        "signature_missing",
        return_payment(**OF_THE_CENTRE, member="guian-hub", by=OWNER),
        before=PAID_BACK,
        values={"party": "guian-hub"},
    ),
    no(
        "money comes back twice",
        "T19.returned.4",
        "payment_status_wrong",
        return_payment(expires_at=WINDOW_MS),
        before=RETURNED,
        values={"status": "returned"},
    ),
    no(
        "the payee sends back what came back",
        "T19.returned.4",
        "payment_status_wrong",
        return_payment(member="guian-hub"),
        before=RETURNED,
    ),
    ok(
        "money on its way comes back, says the payer's bank",
        "T19.returned.5",
        return_payment(),
        before=INSTRUCTED,
        wrote=(payment(status="returned"), payable(paid=0, pending=0, attempt=2)),
    ),
    ok(
        "money that was objected to comes back, says the payer's bank",
        "T19.returned.5",
        return_payment(),
        before=OBJECTED,
        wrote=(payment(status="returned"), payable(paid=0, pending=0, attempt=2)),
    ),
    ok(
        "money on its way goes back, says the payee's bank",
        "T19.returned.5",
        return_payment(member="guian-hub"),
        before=INSTRUCTED,
        wrote=(payment(status="returned"), payable(paid=0, pending=0, attempt=2)),
    ),
    ok(
        "the payee's bank sends back at once what arrived",
        "T19.returned.5",
        return_payment(member="guian-hub"),
        before=CONFIRMED,
        wrote=(payment(status="returned"), payable(paid=0, pending=0, attempt=2)),
    ),
    ok(
        "what arrived is still paid while the payer's bank says that it came back",
        "T19.returned.5",
        return_payment(),
        before=CONFIRMED,
        wrote=(payment(status="returning", changed_ms=(second(len(RETURNING)),)),),
        untouched=(PAYABLES,),
    ),
    no(
        "the payer's bank reopens what arrived and pays again before the payee could object",
        "T19.instructed.6",
        "payment_exceeds_due",
        instruct(PAYABLE, 1, "E2"),
        before=RETURNING,
        values={"asked": 1, "available": 0},
    ),
    no(
        "the payer's bank takes back a millisecond early what arrived",
        "T19.returned.5",
        "objection_window_open",
        return_payment(),
        before=(*RETURNING, RETURN_WINDOW_MS - 1),
        values={"until_ms": RETURN_WINDOW_MS, "time_ms": RETURN_WINDOW_MS - 1},
    ),
    ok(
        "what arrived is open again ten days after the payer's bank said that it came back",
        "T19.returned.5",
        return_payment(),
        before=(*RETURNING, RETURN_WINDOW_MS),
        wrote=(payment(status="returned"), payable(paid=0, pending=0, attempt=2)),
    ),
    ok(
        "the payee's bank agrees at once that it goes back",
        "T19.returned.5",
        return_payment(member="guian-hub"),
        before=RETURNING,
        wrote=(payment(status="returned"), payable(paid=0, pending=0, attempt=2)),
    ),
    no(
        "what goes back is confirmed by the payer's bank",
        "T19.confirmed.4",
        "payment_status_wrong",
        confirm(member="shanghai"),
        before=RETURNING,
        values={"status": "returning"},
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
        object_to_payment(**OF_THE_CENTRE, by=ONE_PAYS),
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
        wrote=(payment(status="objected"),),
    ),
    no(
        "an objection to what came back",
        "T19.objected.3",
        "payment_status_wrong",
        object_to_payment(),
        before=RETURNED,
        values={"status": "returned"},
    ),
    no(
        "a payee objects to a return as its ten days end",
        "T19.objected.4",
        "objection_window_over",
        object_to_payment(),
        before=(*RETURNING, RETURN_WINDOW_MS),
        values={"until_ms": RETURN_WINDOW_MS, "time_ms": RETURN_WINDOW_MS},
    ),
    ok(
        "a payee objects to a return in the last millisecond: what arrived stays paid",
        "T19.objected.4",
        object_to_payment(),
        before=(*RETURNING, RETURN_WINDOW_MS - 1),
        wrote=(payment(status="return_objected", confirmed_by=("guian-hub",)),),
        untouched=(PAYABLES,),
    ),
    no(
        "the payer's bank announces a return again that the payee objected to",
        "T19.returned.4",
        "payment_status_wrong",
        return_payment(expires_at=LATE_MS),
        before=RETURN_OBJECTED,
        values={"status": "return_objected"},
    ),
    ok(
        "the payee's bank sends back what it first kept",
        "T19.returned.4",
        return_payment(member="guian-hub"),
        before=RETURN_OBJECTED,
        wrote=(payment(status="returned"), payable(paid=0, pending=0, attempt=2)),
    ),
    no(
        "what the payee keeps is confirmed once more",
        "T19.confirmed.4",
        "payment_status_wrong",
        confirm(),
        before=RETURN_OBJECTED,
        values={"status": "return_objected"},
    ),
    no(
        "an objection to a return is made twice",
        "T19.objected.3",
        "payment_status_wrong",
        object_to_payment(expires_at=LATE_MS),
        before=RETURN_OBJECTED,
        values={"status": "return_objected"},
    ),
    # T19 resolved
    no("an end of no objection", "T19.resolved.1", "payment_unknown", resolve_payment()),
    no(
        "nobody ends an objection",
        "T19.resolved.2",
        "party_unknown",
        resolve_payment(member="nobody", by=SHANGHAI),
        before=OBJECTED,
    ),
    no(
        "a province ends an objection",
        "T19.resolved.2",
        "party_wrong_kind",
        resolve_payment(member="henan"),
        before=OBJECTED,
        values={"expected": "city or auditor"},
    ),
    no(
        "a payer ends an objection to its own payment",
        "T19.resolved.3",
        "party_concerned",
        resolve_payment(member="shanghai"),
        before=OBJECTED,
        values={"party": "shanghai", "end_to_end_id": "E1"},
    ),
    no(
        "a payee ends its own objection against the payer",
        "T19.resolved.3",
        "party_concerned",
        resolve_payment(**OF_THE_CENTRE, member="shanghai", paid=False),
        before=(*PAID_BACK, object_to_payment(**OF_THE_CENTRE, creditor="shanghai")),
        values={"party": "shanghai"},
    ),
    no(
        "one officer of a city ends an objection",
        "T19.resolved.4",
        "four_eyes_missing",
        resolve_payment(member="guiyang", by=(("guiyang", "officer-1"),)),
        before=OBJECTED,
        values={"party": "guiyang", "role": "review"},
    ),
    no(
        "an objection ends without the auditor",
        "T19.resolved.4",
        "signature_missing",
        resolve_payment(by=OWNER),
        before=OBJECTED,
        values={"party": "audit-office"},
    ),
    no(
        "a suspended city ends an objection",
        "T19.resolved.5",
        "party_not_active",
        resolve_payment(member="guiyang"),
        before=(*suspended("guiyang"), *OBJECTED),
        values={"party": "guiyang"},
    ),
    no(
        "an end of no objection to a payment on its way",
        "T19.resolved.6",
        "payment_status_wrong",
        resolve_payment(),
        before=INSTRUCTED,
        values={"status": "instructed"},
    ),
    no(
        "an auditor says of what counts as paid that it is",
        "T19.resolved.6",
        "payment_status_wrong",
        resolve_payment(),
        before=RETURN_OBJECTED,
        values={"status": "return_objected"},
    ),
    ok(
        "an auditor finds that what the payee says it keeps came back",
        "T19.resolved.6",
        resolve_payment(paid=False),
        before=RETURN_OBJECTED,
        wrote=(payment(status="returned"), payable(paid=0, pending=0, attempt=2)),
    ),
    no(
        "an auditor takes back what the payee confirmed",
        "T19.resolved.6",
        "payment_status_wrong",
        resolve_payment(paid=False),
        before=CONFIRMED,
        values={"status": "confirmed"},
    ),
    ok(
        "an objected payment stays for ever: an auditor says that it arrived",
        "T19.resolved.6",
        resolve_payment(),
        before=OBJECTED,
        wrote=(
            payment(status="confirmed", confirmed_by=("audit-office",)),
            payable(paid=100, pending=0, attempt=1),
        ),
    ),
    ok(
        "an objected payment stays for ever: another city says that it did not",
        "T19.resolved.6",
        resolve_payment(member="guiyang", paid=False),
        before=OBJECTED,
        wrote=(
            payment(status="returned", reason="nothing arrived", confirmed_by=()),
            payable(paid=0, pending=0, attempt=2),
        ),
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
