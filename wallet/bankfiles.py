"""Files to and from banks: what is to be paid, and what became of it (docs/settlement-files.md).

Columns have the names of ISO 20022; amounts are yuan with two decimals, as banks write them. What
a line of results means on the ledger depends on who reads it: the payer instructs and takes back,
the payee confirms.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from desk.documents import Json
from ledger.encoding.characters import tidied
from ledger.encoding.crypto import tagged_hash
from ledger.rules import calendar
from ledger.rules.payments import (
    OBJECTION_WINDOW_MS,
    Confirm,
    Instruct,
    RecordPayment,
    Return,
)
from tally.exits import UsageError
from tally.output import parse_yuan
from wallet.spreadsheets import Unreadable, csv_lines
from words import units
from words.dates import moment

ORDER_COLUMNS = ("EndToEndId", "InstdAmt", "Ccy", "ReqdExctnDt", "Dbtr", "Cdtr", "RmtInf")
RESULT_COLUMNS = ("EndToEndId", "TxSts", "InstdAmt")
CURRENCY = "CNY"
ON_THE_WAY = frozenset(
    {
        *("ACCP", "ACFC", "ACIS", "ACPD", "ACSP", "ACTC", "ACWC", "ACWP", "PATC", "PDNG"),
        "RCVD",
    }
)
"""The bank has the order, and the money has not moved for certain."""
SETTLED = frozenset({"ACSC", "ACCC"})
FAILED = frozenset({"RJCT", "CANC", "BLCK", "RTND"})
"""``RTND`` is our own word: a return after settlement (pacs.004) has no status code."""
STATUSES = ON_THE_WAY | SETTLED | FAILED
REASON_DEFAULT = "returned by the bank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A line of a file of results."""

    line: int
    end_to_end_id: str
    status: str
    amount: int
    """Fen."""
    payable: str
    """Empty if the line does not say."""
    reason: str


class Unfit(Exception):
    """A line can't be recorded; the text says why."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """A line needs no transaction, for a reason."""

    because: str


def order_of(payable: Json, log_id: bytes, *, not_before: int) -> dict[str, str]:
    """Return the line that asks a bank to pay what is open of a payable.

    The day of execution is the last one on which it is due, or ``not_before`` (a day number).
    """
    due_day = calendar.day_of(payable["due_ms"] - 1)
    return {
        "EndToEndId": end_to_end_id(payable, log_id),
        "InstdAmt": units.bare_yuan(payable["open"]),
        "Ccy": CURRENCY,
        "ReqdExctnDt": calendar.date_of(max(due_day, not_before)).isoformat(),
        "Dbtr": payable["debtor"],
        "Cdtr": payable["creditor"],
        "RmtInf": payable["id"],
    }


def end_to_end_id(payable: Json, log_id: bytes) -> str:
    """Return the reference of the next payment of a payable.

    It stays the same until a payment of the payable is recorded: a file that is made twice asks
    for the same payments.
    """
    taken = payable["paid"] + payable["pending"] + payable["written_off"]
    parts = (payable["id"], str(payable["attempt"]), str(taken))
    digest = tagged_hash("tallystick/end-to-end/v1", log_id, *(part.encode() for part in parts))
    return f"ts{digest.hex()[:24]}"


def write_orders(orders: Sequence[Mapping[str, str]]) -> str:
    """Return a file of orders."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ORDER_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(orders)
    return text.getvalue()


def read_results(text: str, path: Path) -> tuple[list[Result], dict[int, str]]:
    """Return the lines of a file of results that can be read, and what is wrong with the others.

    Raises UsageError if it has not the columns, or is no CSV.
    """
    results: list[Result] = []
    bad: dict[int, str] = {}
    first_line: dict[str, int] = {}
    for line, row in csv_lines(text, path, RESULT_COLUMNS):
        if isinstance(row, Unreadable):
            raise UsageError(f"{path}, line {line}: {row}")
        try:
            result = _result(row, line)
            known = first_line.setdefault(result.end_to_end_id, line)
            if known != line:
                raise Unfit(f"{result.end_to_end_id} stands in line {known} already")
        except Unfit as error:
            bad[line] = str(error)
        else:
            results.append(result)
    return results, bad


def _result(row: Mapping[str, str], line: int) -> Result:
    values = {name: row.get(name, "").strip() for name in (*RESULT_COLUMNS, "RmtInf", "Rsn")}
    if not values["EndToEndId"]:
        raise Unfit("expected an EndToEndId")
    if values["TxSts"] not in STATUSES:
        raise Unfit(f"TxSts {values['TxSts']!r} is not one of {', '.join(sorted(STATUSES))}")
    if (row.get("Ccy") or CURRENCY) != CURRENCY:
        raise Unfit(f"Ccy {row['Ccy']!r}: expected {CURRENCY}")
    try:
        amount = parse_yuan(values["InstdAmt"])
    except UsageError as error:
        raise Unfit(error.message) from None
    return Result(
        line=line,
        end_to_end_id=values["EndToEndId"],
        status=values["TxSts"],
        amount=amount,
        payable=values["RmtInf"],
        reason=tidied(values["Rsn"]) or REASON_DEFAULT,
    )


def what_to_record(
    result: Result, by: str, payable: Json, payment: Json | None, now_ms: int
) -> RecordPayment | Nothing:
    """Return what a line means on the ledger to ``by``; raise Unfit.

    ``payment`` is what the ledger has under the line's reference, ``payable`` what it pays.
    """
    if payment is not None:
        _require_same(result, payment)
    if by == payable["debtor"]:
        return _to_payer(result, by, payable, payment, now_ms)
    if by == payable["creditor"]:
        return _to_payee(result, by, payment)
    raise Unfit(f"{by} neither pays nor gets {payable['id']}")


def _require_same(result: Result, payment: Json) -> None:
    if result.payable not in ("", payment["payable"]):
        raise Unfit(f"{result.end_to_end_id} is a payment of {payment['payable']}")
    if result.amount != payment["amount"]:
        instructed = units.bare_yuan(payment["amount"])
        raise Unfit(f"{result.end_to_end_id} was instructed with {instructed}")
    if result.status in SETTLED and payment["status"] == "returned":
        raise Unfit("it was returned before; a new payment has a new EndToEndId")


def _to_payer(
    result: Result, by: str, payable: Json, payment: Json | None, now_ms: int
) -> RecordPayment | Nothing:
    if payment is None:
        if result.status in FAILED:
            return Nothing("never instructed on the ledger")
        return RecordPayment(
            act=Instruct(
                payable=payable["id"], amount=result.amount, end_to_end_id=result.end_to_end_id
            )
        )
    if result.status in FAILED:
        if payment["status"] == "returned":
            return Nothing("recorded already")
        until_ms = (payment["changed_ms"] or 0) + OBJECTION_WINDOW_MS
        if payment["status"] == "returning" and now_ms < until_ms:
            return Nothing(f"recorded already; once more after {moment(until_ms)}")
        if payment["status"] == "return_objected":
            return Nothing("the payee objected: only the payee can return it, or who resolves it")
        return RecordPayment(
            act=Return(debtor=by, end_to_end_id=result.end_to_end_id, by=by, reason=result.reason)
        )
    if result.status in ON_THE_WAY or payment["status"] in ("confirmed", "return_objected"):
        return Nothing("recorded already")
    if payment["status"] == "returning":
        return Nothing("it is on its way back")
    if payment["status"] == "objected":
        return Nothing("the payee objected: only the payee can confirm it, or who resolves it")
    until_ms = payment["instructed_ms"] + OBJECTION_WINDOW_MS
    if now_ms < until_ms:
        return Nothing(f"the payee confirms it, or you after {moment(until_ms)}")
    return RecordPayment(act=Confirm(debtor=by, end_to_end_id=result.end_to_end_id, by=by))


def _to_payee(result: Result, by: str, payment: Json | None) -> RecordPayment | Nothing:
    if payment is None:
        raise Unfit("the payer has not recorded this payment yet")
    if result.status not in SETTLED:
        return Nothing("nothing has arrived; the payer records what failed")
    if payment["status"] in ("confirmed", "return_objected"):
        return Nothing("recorded already")
    if payment["status"] == "returning":
        return Nothing("the payer says that it came back: return it, or object")
    return RecordPayment(
        act=Confirm(debtor=payment["debtor"], end_to_end_id=result.end_to_end_id, by=by)
    )


def beyond_open(
    planned: Sequence[tuple[Result, RecordPayment]], payables: Mapping[str, Json]
) -> Iterator[tuple[int, str]]:
    """Yield the lines that pay more than is open, together with the lines before them."""
    left = {name: payable["open"] for name, payable in payables.items()}
    for result, operation in planned:
        if not isinstance(operation.act, Instruct):
            continue
        name = operation.act.payable
        if operation.act.amount > left[name]:
            yield result.line, f"of {name} only {units.bare_yuan(left[name])} yuan are open"
        else:
            left[name] -= operation.act.amount
