"""Files to and from banks: what a line means on the ledger, to the payer and to the payee."""

from pathlib import Path
from typing import Any

import pytest

from ledger.rules.payments import OBJECTION_WINDOW_MS
from tally.exits import UsageError
from tests.builders import NOON_MS
from wallet.bankfiles import (
    ORDER_COLUMNS,
    STATUSES,
    Nothing,
    Result,
    Unfit,
    end_to_end_id,
    order_of,
    read_results,
    what_to_record,
    write_orders,
)

ROOT = Path(__file__).resolve().parents[2]
LOG_ID = b"\x11" * 32
PAYABLE = {
    "id": "guian-hub.000000001-000",
    "debtor": "shanghai",
    "creditor": "guian-hub",
    "paid": 0,
    "pending": 0,
    "written_off": 0,
    "attempt": 1,
    "open": 1_250_005,
    "due_ms": NOON_MS,
}
PAYER, PAYEE = "shanghai", "guian-hub"
WINDOW_OVER_MS = NOON_MS + OBJECTION_WINDOW_MS


def line(status: str, **changes: Any) -> Result:
    """Return a line about payment pay-1 of 100.00 yuan."""
    values: dict[str, Any] = {
        "line": 2,
        "end_to_end_id": "pay-1",
        "amount": 10_000,
        "payable": PAYABLE["id"],
        "reason": "",
    }
    return Result(status=status, **(values | changes))


def known(status: str) -> dict[str, Any]:
    """Return payment pay-1 as the ledger has it."""
    return {
        "debtor": PAYER,
        "id": "pay-1",
        "payable": PAYABLE["id"],
        "amount": 10_000,
        "status": status,
        "instructed_ms": NOON_MS,
        "changed_ms": None if status == "instructed" else NOON_MS,
    }


def meaning(by: str, status: str, before: str | None, now_ms: int) -> str:
    """Return in a word what a line means."""
    payment = None if before is None else known(before)
    try:
        found = what_to_record(line(status), by, PAYABLE, payment, now_ms)
    except Unfit:
        return "bad"
    return "-" if isinstance(found, Nothing) else str(found.act.__struct_config__.tag)


@pytest.mark.parametrize(
    ("by", "status", "before", "means", "means_after_ten_days"),
    [
        (PAYER, "ACSP", None, "instructed", "instructed"),
        (PAYER, "ACSC", None, "instructed", "instructed"),
        (PAYER, "RJCT", None, "-", "-"),
        (PAYER, "ACSP", "instructed", "-", "-"),
        (PAYER, "ACSC", "instructed", "-", "confirmed"),
        (PAYER, "ACSC", "objected", "-", "-"),
        (PAYER, "ACSC", "confirmed", "-", "-"),
        (PAYER, "ACSC", "returned", "bad", "bad"),
        (PAYER, "ACSP", "returned", "-", "-"),
        (PAYER, "RJCT", "instructed", "returned", "returned"),
        (PAYER, "RTND", "confirmed", "returned", "returned"),
        (PAYER, "CANC", "objected", "returned", "returned"),
        (PAYER, "BLCK", "returned", "-", "-"),
        (PAYER, "RTND", "returning", "-", "returned"),
        (PAYER, "ACSC", "returning", "-", "-"),
        (PAYER, "RTND", "return_objected", "-", "-"),
        (PAYER, "ACSC", "return_objected", "-", "-"),
        (PAYEE, "ACSC", "return_objected", "-", "-"),
        (PAYEE, "ACCC", None, "bad", "bad"),
        (PAYEE, "ACCC", "instructed", "confirmed", "confirmed"),
        (PAYEE, "ACSC", "objected", "confirmed", "confirmed"),
        (PAYEE, "ACSC", "confirmed", "-", "-"),
        (PAYEE, "ACSC", "returned", "bad", "bad"),
        (PAYEE, "ACSC", "returning", "-", "-"),
        (PAYEE, "ACSP", "instructed", "-", "-"),
        (PAYEE, "RJCT", "instructed", "-", "-"),
        ("wuhan", "ACSC", "instructed", "bad", "bad"),
    ],
)
def test_what_a_line_means(
    by: str, status: str, before: str | None, means: str, means_after_ten_days: str
) -> None:
    assert meaning(by, status, before, NOON_MS) == means
    assert meaning(by, status, before, WINDOW_OVER_MS) == means_after_ten_days


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"amount": 10_001}, "was instructed with 100.00"),
        ({"payable": "guian-hub.000000002-000"}, "is a payment of guian-hub.000000001-000"),
    ],
)
def test_a_line_that_differs_from_its_payment_is_bad(
    changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(Unfit, match=complaint):
        what_to_record(line("ACSC", **changes), PAYER, PAYABLE, known("instructed"), NOON_MS)


def test_an_order_says_yuan_with_two_decimals_and_is_never_of_the_past() -> None:
    order = order_of(PAYABLE, LOG_ID, not_before=0)
    assert (order["InstdAmt"], order["ReqdExctnDt"]) == ("12500.05", "2026-01-31")
    assert order_of(PAYABLE, LOG_ID, not_before=20_600)["ReqdExctnDt"] == "2026-05-27"
    header, row = write_orders([order]).splitlines()
    assert header.split(",") == list(ORDER_COLUMNS)
    assert row.endswith(",shanghai,guian-hub,guian-hub.000000001-000")


def test_a_reference_changes_only_when_a_payment_was_recorded() -> None:
    first = end_to_end_id(PAYABLE, LOG_ID)
    assert end_to_end_id(PAYABLE | {"open": 5}, LOG_ID) == first
    others = [
        end_to_end_id(PAYABLE | {"attempt": 2}, LOG_ID),
        end_to_end_id(PAYABLE | {"paid": 1}, LOG_ID),
        end_to_end_id(PAYABLE | {"id": "guian-hub.000000001-001"}, LOG_ID),
        end_to_end_id(PAYABLE, b"\x12" * 32),
    ]
    assert len({first, *others}) == 5
    assert len(first) <= 35


def test_a_banks_reason_is_tidied_to_what_the_ledger_takes(tmp_path: Path) -> None:
    text = "EndToEndId,TxSts,InstdAmt,Rsn\npay-1,RJCT,100.00,ＡＣ０１　账户  不存在\u200b\n"
    (found,), bad = read_results(text, tmp_path)
    assert (found.reason, bad) == ("AC01 账户 不存在", {})


def test_a_file_may_have_more_columns_and_a_result_may_lack_its_payable(tmp_path: Path) -> None:
    text = 'Bank,InstdAmt,TxSts,EndToEndId\nICBC,"1,000.50",ACSC,pay-1\n'
    (found,), bad = read_results(text, tmp_path)
    assert (found.amount, found.payable, bad) == (100_050, "", {})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("EndToEndId,TxSts\n", "columns InstdAmt"),
        ('EndToEndId,TxSts,InstdAmt\n"x', "line 2: unexpected end"),
        ('EndToEndId,TxSts,InstdAmt\nx,ACSP,1\n\n"x"y\n', "line 4: "),
        ("EndToEndId,TxSts,InstdAmt\nx,ACSP,1,000.50\n", "line 2: '000.50' stands after"),
    ],
)
def test_a_file_that_is_none_is_refused_whole(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=complaint):
        read_results(text, tmp_path)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (",ACSC,1.00,CNY", "expected an EndToEndId"),
        ("pay-1,ACSC,1.00,USD", "expected CNY"),
        ("pay-1,ACSC,-1.00,CNY", "not an amount"),
        ("pay-1,,1.00,CNY", "TxSts ''"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(row: str, complaint: str, tmp_path: Path) -> None:
    results, bad = read_results(f"EndToEndId,TxSts,InstdAmt,Ccy\n{row}\n", tmp_path)
    assert results == []
    assert complaint in bad[2]


def test_the_page_about_files_names_every_column_and_status() -> None:
    page = (ROOT / "docs" / "settlement-files.md").read_text()
    for name in (*ORDER_COLUMNS, *sorted(STATUSES), "TxSts", "Rsn"):
        assert f"`{name}`" in page
