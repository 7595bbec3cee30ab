"""``tally settlement``: who owes whom, clearing cycles, and what banks did."""

from collections.abc import Sequence
from pathlib import Path
from string import ascii_letters, digits

import click

from desk.documents import Json
from ledger.rules import calendar
from ledger.rules.clearing import Close
from ledger.rules.payments import (
    Confirm,
    Instruct,
    ObjectToPayment,
    RecordPayment,
    Resolve,
    Return,
    WriteOff,
)
from tally.exits import NotFound, Refused, TallyError, UsageError
from tally.output import YUAN, emit, say
from wallet import bankfiles, signing
from wallet.bankfiles import Nothing, Result, Unfit
from wallet.commands.session import (
    Desk,
    Session,
    emit_outcome,
    in_fen,
    item_or_none,
    nothing_sent,
    reading,
    shown_times,
    writing,
)
from wallet.commands.typed import (
    CLAIM,
    DAY,
    PARTY,
    PAYABLE,
    Committed,
    committing,
    read_text,
)

PARTS = ("amount", "cancelled", "reversed", "paid", "pending", "written_off", "open")
LISTED = (
    *("id", "debtor", "creditor", "leg", "amount_fen", "cancelled_fen", "paid_fen"),
    *("pending_fen", "written_off_fen", "open_fen", "due"),
)
SUMS = ("amount", "cancelled", "paid", "pending", "written_off", "open")
SUMMED = ("debtor", "creditor", "leg", "payables", *(f"{name}_fen" for name in SUMS))
MOVEMENTS = ("time", "movement", "payable", "end_to_end_id", "amount_fen", "balance_fen")
PAYMENTS = ("debtor", "id", "payable", "amount_fen", "status", "instructed", "changed", "reason")
CYCLES = ("number", "closed", "closed_by", "payables", "amount_fen")
IMPORTED = ("line", "end_to_end_id", "status", "amount_fen", "recorded", "because", "transaction")
FILE_BYTES_MAX = 16 * 1024 * 1024
END_TO_END_CHARACTERS = frozenset(ascii_letters + digits + ".-")


@click.group()
def group() -> None:
    """What is owed for accepted claims, and how it is paid."""


@group.command()
@click.option("--debtor", help="What this treasury owes.")
@click.option("--creditor", help="What this party is owed.")
@click.option("--sum", "summed", is_flag=True, help="One row for each debtor, creditor and leg.")
@click.option("--movements", is_flag=True, help="From an opening to a closing balance.")
@click.option("--from", "from_day", type=DAY, help="First day of the movements.")
@click.option("--until", "until_day", type=DAY, help="Last day of the movements.")
@reading
def statement(
    *,
    debtor: str | None,
    creditor: str | None,
    summed: bool,
    movements: bool,
    from_day: int | None,
    until_day: int | None,
    session: Session,
) -> None:
    """List what is owed, claim by claim, its sums, or its movements.

    What is open is the amount without what was cancelled, paid, is pending, or was written off.
    A reimbursement goes through clearing cycles: once its cycle is closed nothing of it is open,
    and what the cycle came to is owed as a settlement. Movements are the same at any two nodes that
    have reached the end of the last day: payer and payee can ask each their own.
    """
    _require_parties(session, debtor, creditor)
    if movements:
        rows = session.nodes.rows(
            "/v1/exports/statement",
            debtor=debtor,
            creditor=creditor,
            from_ms=None if from_day is None else calendar.end_of_day_ms(from_day - 1),
            until_ms=None if until_day is None else calendar.end_of_day_ms(until_day),
        )
        emit([shown_times(in_fen(row, "amount", "balance"), "time") for row in rows], MOVEMENTS)
        return
    items = session.nodes.items("/v1/payables", debtor=debtor, creditor=creditor)
    if summed:
        emit(_sums(items), SUMMED)
    else:
        emit([_payable(item) for item in items], LISTED)


def _require_parties(session: Session, *names: str | None) -> None:
    """Raise NotFound if a name is nobody's: that nothing is owed would look like settled."""
    for name in names:
        if name is None:
            continue
        if not PARTY.fits(name) or item_or_none(session, f"/v1/parties/{name}") is None:
            raise NotFound(f"there is no party {name!r}")


def _payable(item: Json) -> Json:
    return shown_times(in_fen(item, *PARTS), "due")


def _sums(items: Sequence[Json]) -> list[Json]:
    rows: dict[tuple[str, str, str], Json] = {}
    for item in items:
        key = item["debtor"], item["creditor"], item["leg"]
        row = rows.setdefault(
            key,
            {
                **dict(zip(("debtor", "creditor", "leg"), key, strict=True)),
                "payables": 0,
                **{f"{name}_fen": 0 for name in SUMS},
            },
        )
        row["payables"] += 1
        for name in SUMS:
            row[f"{name}_fen"] += item[name]
    return [rows[key] for key in sorted(rows)]


@group.group()
def payable() -> None:
    """What one party owes another. Named by its claim or cycle and three digits."""


@payable.command(name="list")
@click.option("--debtor")
@click.option("--creditor")
@click.option("--claim", type=CLAIM, help="That came of this claim.")
@click.option("--open", "only_open", is_flag=True, help="Only those with something open.")
@reading
def list_payables(
    *,
    debtor: str | None,
    creditor: str | None,
    claim: str | None,
    only_open: bool,
    session: Session,
) -> None:
    """List payables."""
    items = session.nodes.items(
        "/v1/payables",
        debtor=debtor,
        creditor=creditor,
        claim=claim,
        open="true" if only_open else None,
    )
    emit([_payable(item) for item in items], LISTED)


@payable.command(name="show")
@click.argument("payable", type=PAYABLE)
@reading
def show_payable(payable: str, *, session: Session) -> None:
    """Show a payable and its payments."""
    payments = session.nodes.items("/v1/payments", payable=payable)
    item = _payable(session.item(f"/v1/payables/{payable}"))
    emit({**item, "payments": [_payment(payment) for payment in payments]})


@group.group()
def payment() -> None:
    """What banks did. Named by the payer and its end-to-end id."""


@payment.command(name="list")
@click.option("--payable", type=PAYABLE, help="Of this payable.")
@reading
def list_payments(*, payable: str | None, session: Session) -> None:
    """List payments."""
    items = session.nodes.items("/v1/payments", payable=payable)
    emit([_payment(item) for item in items], PAYMENTS)


@payment.command(name="show")
@click.argument("debtor", type=PARTY)
@click.argument("end_to_end_id")
@reading
def show_payment(debtor: str, end_to_end_id: str, *, session: Session) -> None:
    """Show a payment."""
    emit(_payment(session.item(f"/v1/payments/{debtor}/{end_to_end_id}")))


def _payment(item: Json) -> Json:
    return shown_times(in_fen(item, "amount"), "instructed", "changed")


# Clearing


@group.group()
def cycle() -> None:
    """Clearing between treasuries, cycle by cycle."""


@cycle.command(name="list")
@reading
def list_cycles(*, session: Session) -> None:
    """List closed cycles."""
    emit([_cycle(item) for item in session.nodes.items("/v1/cycles")], CYCLES)


@cycle.command(name="show")
@click.argument("number", type=click.IntRange(0), required=False)
@reading
def show_cycle(number: int | None, *, session: Session) -> None:
    """Show a closed cycle and who paid whom; without a number the open one."""
    if number is None:
        item = session.item("/v1/settlement")
        positions = [in_fen(position, "net") for position in item["positions"]]
        emit(shown_times({**item, "positions": positions}, "first_join"))
    else:
        emit(_cycle(session.item(f"/v1/cycles/{number}")))


def _cycle(item: Json) -> Json:
    settled = [_payable(payable) for payable in item.get("settlement", [])]
    positions = [in_fen(position, "net") for position in item["positions"]]
    shown = {**in_fen(item, "amount"), "positions": positions, "settlement": settled}
    return shown_times(shown, "closed")


@group.command()
@click.option("--by", required=True, help="The member that closes it.")
@click.option("--cycle", "number", type=click.IntRange(0), help="Default: the open one.")
@writing
def close(*, by: str, number: int | None, desk: Desk) -> None:
    """Close the open cycle, a day after its first payable at the earliest.

    Two pay officers of a treasury sign, or the member. Net positions are computed, not chosen.
    """
    if number is None:
        number = int(desk.item("/v1/settlement")["number"])
    document = desk.act(Close(by=by, cycle=number))
    if document is not None:
        closed = desk.after(f"/v1/cycles/{number}")
        more = {"payables": closed.get("payables"), "amount_fen": closed.get("amount")}
        emit_outcome(document, cycle=number, **more)


# What banks did


@group.group()
def pay() -> None:
    """Record what became of a payment, one at a time; `settlement import` takes a file."""


DEBTOR = click.option("--debtor", required=True, help="Who pays: each counts its own ids.")
REASON = click.option("--reason", required=True, help="In a few words, for everybody to read.")


@pay.command()
@click.argument("payable", type=PAYABLE)
@click.argument("amount", type=YUAN, required=False)
@click.option("--id", "end_to_end_id", help="Its end-to-end id (default: as in an export).")
@writing
def instructed(payable: str, amount: int | None, *, end_to_end_id: str | None, desk: Desk) -> None:
    """The payer told its bank to pay, all that is open by default. Its pay officers sign."""
    item = desk.item(f"/v1/payables/{payable}")
    operation = Instruct(
        payable=payable,
        amount=int(item["open"]) if amount is None else amount,
        end_to_end_id=end_to_end_id or bankfiles.end_to_end_id(item, desk.profile.log_id_bytes),
    )
    more = {"end_to_end_id": operation.end_to_end_id, "amount_fen": operation.amount}
    desk.carry_out(RecordPayment(act=operation), **more)


@pay.command()
@click.argument("end_to_end_id")
@DEBTOR
@click.option("--by", required=True, help="The payee; the payer too, ten days later.")
@writing
def confirmed(end_to_end_id: str, *, debtor: str, by: str, desk: Desk) -> None:
    """The money arrived. Bank officers of the payee sign, or of the payer after ten days."""
    operation = RecordPayment(act=Confirm(debtor=debtor, end_to_end_id=end_to_end_id, by=by))
    desk.carry_out(operation, debtor=debtor, end_to_end_id=end_to_end_id)


@pay.command()
@click.argument("end_to_end_id")
@DEBTOR
@click.option("--by", help="The payer (the default) or the payee.")
@REASON
@writing
def returned(end_to_end_id: str, *, debtor: str, by: str | None, reason: str, desk: Desk) -> None:
    """The money came back: the payable is open again. Bank officers of payer or payee sign.

    What was confirmed only the payee gives back at once. The payer says so, and again ten days
    later, if the payee has not objected.
    """
    act = Return(debtor=debtor, end_to_end_id=end_to_end_id, by=by or debtor, reason=reason)
    desk.carry_out(RecordPayment(act=act), debtor=debtor, end_to_end_id=end_to_end_id)


@pay.command(name="written-off")
@click.argument("payable", type=PAYABLE)
@click.argument("amount", type=YUAN)
@REASON
@writing
def written_off(payable: str, amount: int, *, reason: str, desk: Desk) -> None:
    """A part will not be paid. Pay officers of payer and payee sign."""
    operation = RecordPayment(act=WriteOff(payable=payable, amount=amount, reason=reason))
    desk.carry_out(operation, payable=payable, amount_fen=amount)


@pay.command()
@click.argument("end_to_end_id")
@DEBTOR
@REASON
@writing
def objected(end_to_end_id: str, *, debtor: str, reason: str, desk: Desk) -> None:
    """Nothing arrived, or nothing goes back, says the payee within ten days.

    Its bank officers sign.
    """
    act = ObjectToPayment(debtor=debtor, end_to_end_id=end_to_end_id, reason=reason)
    desk.carry_out(RecordPayment(act=act), debtor=debtor, end_to_end_id=end_to_end_id)


@pay.command()
@click.argument("end_to_end_id")
@DEBTOR
@click.option("--by", required=True, help="An auditor, or a city that neither pays nor gets it.")
@click.option("--paid/--not-paid", required=True, help="Whether the money arrived.")
@committing("case", "the case that ends it")
@writing
def resolved(
    end_to_end_id: str, *, debtor: str, by: str, paid: bool, case: Committed, desk: Desk
) -> None:
    """An objection ends. Two review officers of another city sign, or an auditor."""
    act = Resolve(debtor=debtor, end_to_end_id=end_to_end_id, by=by, paid=paid, case=case.hash)
    more = {"debtor": debtor, "end_to_end_id": end_to_end_id, **case.salt}
    desk.carry_out(RecordPayment(act=act), **more)


# Files


@group.command()
@click.option("--debtor", required=True, help="Who pays.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write, as docs/settlement-files.md says.",
)
@click.option("--due-by", type=DAY, help="Only what is due on or before this day.")
@click.option("--on", "not_before", type=DAY, help="Earliest day of execution (default: today).")
@reading
def export(
    *, debtor: str, out: Path, due_by: int | None, not_before: int | None, session: Session
) -> None:
    """Write what is to be paid as a CSV for a bank. Sends nothing, records nothing."""
    if out.exists():
        raise signing.file_exists(out)
    _require_parties(session, debtor)
    today = calendar.day_of(signing.now_ms())
    held = {
        (hold["scope"], hold["thing"]): hold["id"]
        for hold in session.nodes.items("/v1/holds", open="true")
    }
    orders = []
    total = 0
    for item in session.nodes.items("/v1/payables", debtor=debtor, open="true"):
        if item["leg"] == "reimbursement":
            continue  # goes through clearing cycles
        if due_by is not None and calendar.day_of(item["due_ms"] - 1) > due_by:
            continue
        hold = held.get(("payable", item["id"])) or held.get(("claim", item["cause"]))
        if hold is not None:
            say(f"left out: {item['id']} is held by {hold}")
            continue
        earliest = today if not_before is None else not_before
        orders.append(bankfiles.order_of(item, session.profile.log_id_bytes, not_before=earliest))
        total += item["open"]
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(bankfiles.write_orders(orders))
    except OSError as error:
        raise UsageError(f"can't write {out}: {error.strerror}") from None
    emit({"file": str(out), "payments": len(orders), "amount_fen": total})


@group.command(name="import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--by", required=True, help="Whose bank answered: the payer or the payee.")
@writing
def import_(file: Path, *, by: str, desk: Desk) -> None:
    """Record a bank's results from a CSV, as docs/settlement-files.md says.

    Every line is tried before the first is sent; what is recorded already is passed over, so a
    file may be imported again. Pay and bank officers sign.
    """
    if desk.save_to is not None or not desk.wait:
        raise UsageError("an import is many transactions: it can't be saved, and it waits for each")
    results, bad = bankfiles.read_results(read_text(file, FILE_BYTES_MAX), file)
    planned: list[tuple[Result, RecordPayment]] = []
    rows: dict[int, Json] = {}
    payables: dict[str, Json] = {}
    for result in results:
        rows[result.line] = row = _import_row(result)
        try:
            meant = _meaning(desk, by, result, payables)
        except Unfit as error:
            bad[result.line] = str(error)
            continue
        if isinstance(meant, Nothing):
            row["because"] = meant.because
        else:
            row["recorded"] = str(meant.act.__struct_config__.tag)
            planned.append((result, meant))
    bad |= dict(bankfiles.beyond_open(planned, payables))
    for result, operation in planned:
        if result.line not in bad:
            try:
                desk.try_out(operation)
            except Refused as error:
                bad[result.line] = error.message.removesuffix(nothing_sent())
    if bad:
        raise _bad_lines(file, bad)
    if desk.dry_run:
        say("dry run: nothing was sent")
    elif planned:
        _record(desk, planned, rows)
    emit([rows[line] for line in sorted(rows)], IMPORTED)


def _import_row(result: Result) -> Json:
    return {
        "line": result.line,
        "end_to_end_id": result.end_to_end_id,
        "status": result.status,
        "amount_fen": result.amount,
        "recorded": None,
        "because": None,
        "transaction": None,
        "height": None,
    }


def _meaning(
    session: Session, by: str, result: Result, payables: dict[str, Json]
) -> RecordPayment | Nothing:
    """Return what a line means; raise Unfit. Payables that were read are kept."""
    if not set(result.end_to_end_id) <= END_TO_END_CHARACTERS:
        raise Unfit(f"EndToEndId {result.end_to_end_id!r} has characters that no payment has")
    named = _known(session, result.payable, payables)
    debtor = by if named is None else named["debtor"]
    payment = item_or_none(session, f"/v1/payments/{debtor}/{result.end_to_end_id}")
    name = result.payable if payment is None else payment["payable"]
    if not PAYABLE.fits(name):
        raise Unfit(f"RmtInf {name!r} names no payable")
    if _known(session, name, payables) is None:
        raise Unfit(f"there is no payable {name}")
    return bankfiles.what_to_record(result, by, payables[name], payment, signing.now_ms())


def _known(session: Session, payable: str, payables: dict[str, Json]) -> Json | None:
    """Return a payable, which is kept, or None if there is none of the name."""
    if payable not in payables and PAYABLE.fits(payable):
        item = item_or_none(session, f"/v1/payables/{payable}")
        if item is not None:
            payables[payable] = item
    return payables.get(payable)


def _bad_lines(file: Path, bad: dict[int, str]) -> Refused:
    lines = [{"line": line, "message": bad[line]} for line in sorted(bad)]
    told = [f"line {row['line']}: {row['message']}" for row in lines]
    return Refused(
        "\n  ".join([f"nothing was sent, since {file} has lines that can't be recorded:", *told]),
        details={"code": "lines_refused", "bad_lines": lines},
    )


def _record(
    desk: Desk, planned: Sequence[tuple[Result, RecordPayment]], rows: dict[int, Json]
) -> None:
    """Send what was planned and note what each line became; raise with what is final."""
    documents = desk.act_all([operation for _, operation in planned])
    done = 0
    try:
        for (result, _), document in zip(planned, documents, strict=True):
            rows[result.line] |= {"transaction": document.id, "height": document.height}
            done += 1
    except TallyError as error:
        stopped = planned[done][0]
        raise TallyError(
            f"{done} of {len(planned)} are final; line {stopped.line}: {error.message}; "
            "the same file can be imported again",
            error.code,
            {**error.details, "final": done, "line": stopped.line},
        ) from None
