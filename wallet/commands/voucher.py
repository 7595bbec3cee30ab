"""``tally voucher``: mint, transfer, redeem, and what became of a voucher."""

import csv
import io
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import get_args

import click
import msgspec

from ledger.encoding import codec
from ledger.rules.claims import HOUR_MS, Invoice, Line, Redeem, Usage
from ledger.rules.programmes import ServiceClass
from ledger.rules.refusals import (
    GrantOutOfBounds,
    GroupCapExceeded,
    HolderCapExceeded,
    NotEligible,
    PartyUnknown,
    PartyWrongKind,
)
from ledger.rules.vouchers import MINT_ROWS_MAX, Mint, MintRow, Transfer, voucher_id
from ledger.transactions import MINT_BYTES_MAX
from tally.exits import Exit, Refused, TallyError, UsageError
from tally.output import YUAN, emit, parse_yuan
from wallet import signing
from wallet.client import Json, TransactionDocument, moment
from wallet.commands.session import (
    DAY,
    HASH,
    NOTHING_SENT,
    PARTY,
    VOUCHER,
    Desk,
    Session,
    amount_pairs,
    emit_outcome,
    in_fen,
    programme_of,
    read_text,
    reading,
    writing,
)

PARTS = ("face", "available", "reserved", "claimed", "redeemed", "expired", "revoked")
LISTED = ("id", "holder", "face_fen", "available_fen", "claimed_fen", "redeemed_fen", "expires")
HISTORY = ("sequence", "height", "time", "available_fen", "claimed_fen", "redeemed_fen", "cause")
MINTED = ("voucher", "holder", "amount_fen", "height", "transaction")
ROW_CODES = frozenset(
    refusal.code
    for refusal in (
        PartyUnknown,
        PartyWrongKind,
        NotEligible,
        GrantOutOfBounds,
        HolderCapExceeded,
        GroupCapExceeded,
    )
)
"""Refusals of a mint that lie in its rows; any other is about the whole."""
BAD_ROWS_MAX = 20
"""Bad rows that are looked for before giving up: each costs about ten questions to a node."""
CSV_BYTES_MAX = 8 * 1024 * 1024
MINT_OVERHEAD_BYTES = 4_096
"""Room for the body's other fields and sixteen signatures."""


@click.group()
def group() -> None:
    """Mint, transfer and redeem vouchers. A voucher is named CITY.SLUG.SERIAL."""


@group.command()
@click.argument("programme")
@click.option("--row", "rows", multiple=True, help="holder=yuan; may be given many times.")
@click.option(
    "--csv",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with the columns holder, yuan and perhaps commitment.",
)
@writing
def mint(programme: str, *, rows: tuple[str, ...], file: Path | None, desk: Desk) -> None:
    """Grant vouchers, all rows of a transaction or none. Two mint officers sign."""
    wanted = [
        MintRow(holder=holder, amount=fen, commitment=())
        for holder, fen in amount_pairs(rows, "holder=yuan")
    ]
    if file is not None:
        wanted += _csv_rows(file)
    batches = list(_batches(wanted))
    if not batches:
        raise UsageError("name whom to grant what: --row holder=yuan, or --csv FILE")
    if len(batches) > 1 and desk.only_shows:
        raise UsageError(f"{len(wanted)} rows need {len(batches)} transactions: split the file")
    version = programme_of(desk, programme)["version"]
    operations = [Mint(programme=programme, terms_version=version, rows=rows) for rows in batches]
    if len(operations) > 1:
        _try_out_all(desk, operations)
    minted: list[Json] = []
    for nth, operation in enumerate(operations):
        try:
            document = desk.act(operation, nth=nth)
        except TallyError as error:
            if len(operations) == 1:
                raise
            raise _stopped(error, minted, len(operation.rows), len(wanted)) from None
        if document is not None:
            minted += _minted(document, programme, operation.rows)
    if minted:
        emit(minted, MINTED)


def _try_out_all(desk: Desk, operations: Sequence[Mint]) -> None:
    """Raise Refused with every bad row before the first transaction of several is sent.

    All are tried against the same state, so a sum over several transactions may still be refused.
    """
    bad: list[Json] = []
    first = 1
    for operation in operations:
        bad += _bad_rows(desk, operation, first)
        first += len(operation.rows)
        if len(bad) >= BAD_ROWS_MAX:
            break
    if bad:
        lines = [f"{_rows(row['row'], row['to_row'])}: {row['message']}" for row in bad]
        more = f"; looked no further than {BAD_ROWS_MAX}" if len(bad) >= BAD_ROWS_MAX else ""
        raise Refused(
            "\n  ".join(
                ["nothing was sent, since these rows would be refused" + more + ":", *lines]
            ),
            details={"code": bad[0]["code"], "bad_rows": bad},
        )


def _bad_rows(desk: Desk, operation: Mint, first: int) -> list[Json]:
    """Return which rows are refused, by halves: a good half is tried once. ``first`` is 1-based."""
    rows = operation.rows
    try:
        desk.try_out(operation)
    except Refused as error:
        code = error.details["code"]
        if code not in ROW_CODES:
            raise
        middle = len(rows) // 2
        found: list[Json] = []
        for start, half in ((0, rows[:middle]), (middle, rows[middle:])):
            if middle and len(found) < BAD_ROWS_MAX:
                part = msgspec.structs.replace(operation, rows=half)
                found += _bad_rows(desk, part, first + start)
        # Halves that hold each by itself are refused for their sum.
        return found or [
            {
                "row": first,
                "to_row": first + len(rows) - 1,
                "holder": rows[0].holder if len(rows) == 1 else None,
                "code": code,
                "message": error.message.removesuffix(NOTHING_SENT),
                "values": error.details["values"],
            }
        ]
    return []


def _rows(first: int, last: int) -> str:
    return f"row {first}" if first == last else f"rows {first} to {last}"


def _stopped(error: TallyError, minted: Sequence[Json], tried: int, total: int) -> TallyError:
    """Return the error of a mint that stopped half way: what is final, what is open, where next."""
    done = len(minted)
    transactions = list(dict.fromkeys(row["transaction"] for row in minted))
    final = f"final: {_rows(1, done)} of {total} ({', '.join(transactions)})"
    open_ = error.code in (Exit.NOT_CERTAIN, Exit.UNREACHABLE) and "id" in error.details
    next_row = done + 1
    go_on = f"go on from row {next_row}"
    if open_:
        next_row += tried
        go_on = f"{_rows(done + 1, done + tried)} are open; "
        go_on += (
            f"once they are final, go on from row {next_row}"
            if next_row <= total
            else "they are the last"
        )
    message = (
        f"{final if minted else f'none of {total} rows is final yet'}; "
        f"{_rows(done + 1, done + tried)}: {error.message.removesuffix(NOTHING_SENT)}; {go_on}"
    )
    return TallyError(
        message,
        error.code,
        {
            **error.details,
            "final_rows": done,
            "final_transactions": transactions,
            "tried_rows": [done + 1, done + tried],
            "tried_rows_are_open": open_,
            "go_on_from_row": next_row,
        },
    )


def _csv_rows(file: Path) -> list[MintRow]:
    reader = csv.DictReader(io.StringIO(read_text(file, CSV_BYTES_MAX)), strict=True)
    if not {"holder", "yuan"} <= set(reader.fieldnames or ()):
        raise UsageError(f"{file} needs a first line with the columns holder and yuan")
    rows = []
    try:
        for row in reader:
            where = f"{file}, line {reader.line_num}"
            holder, yuan = row["holder"], row["yuan"]
            if not holder or not yuan:
                raise UsageError(f"{where}: expected a holder and an amount")
            rows.append(MintRow(holder=holder, amount=_yuan(yuan, where), commitment=_hash(row)))
    except csv.Error as error:
        raise UsageError(f"{file}, line {reader.line_num}: {error}") from None
    return rows


def _yuan(text: str, where: str) -> int:
    try:
        return parse_yuan(text)
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}") from None


def _hash(row: dict[str, str]) -> tuple[bytes, ...]:
    text = row.get("commitment") or ""
    return (HASH.convert(text, None, None),) if text else ()


def _batches(rows: Sequence[MintRow]) -> Iterator[tuple[MintRow, ...]]:
    """Yield the rows in as few transactions as their limits allow, in order."""
    batch: list[MintRow] = []
    room = MINT_BYTES_MAX - MINT_OVERHEAD_BYTES
    for row in rows:
        size = len(codec.encode(row))
        if batch and (len(batch) == MINT_ROWS_MAX or size > room):
            yield tuple(batch)
            batch, room = [], MINT_BYTES_MAX - MINT_OVERHEAD_BYTES
        batch.append(row)
        room -= size
    if batch:
        yield tuple(batch)


def _minted(
    document: TransactionDocument, programme: str, rows: Sequence[MintRow]
) -> Iterator[Json]:
    """Yield which vouchers a mint made: serials run in row order."""
    first = document.postings[0]["serial"]
    for offset, row in enumerate(rows):
        yield {
            "voucher": voucher_id(programme, first + offset),
            "holder": row.holder,
            "amount_fen": row.amount,
            "status": document.status,
            "transaction": document.id,
            "height": document.height,
            "sequence": document.sequence,
        }


@group.command()
@click.argument("voucher", type=VOUCHER)
@click.argument("recipient", type=PARTY)
@click.argument("amount", type=YUAN)
@click.option("--holder", help="Who passes it on (default: who holds it).")
@writing
def transfer(voucher: str, recipient: str, amount: int, *, holder: str | None, desk: Desk) -> None:
    """Pass part of a voucher on, where the programme allows it. The holder signs."""
    operation = Transfer(
        voucher=voucher,
        holder=holder or _holder_of(desk, voucher),
        recipient=recipient,
        amount=amount,
    )
    document = desk.act(operation)
    if document is not None:
        posting = document.postings[0]
        child = voucher_id(posting["programme"], posting["serial"])
        emit_outcome(document, voucher=child, holder=recipient, amount_fen=amount)


def _holder_of(session: Session, voucher: str) -> str:
    return str(session.one(f"/v1/vouchers/{voucher}")["holder"])


@group.command()
@click.option("--line", "lines", multiple=True, required=True, help="voucher=yuan; up to sixteen.")
@click.option("--at", "redeemer", required=True, help="The data centre.")
@click.option("--holder", help="Who spends it (default: who holds the first voucher).")
@click.option("--order", required=True, help="The centre's own reference of the job.")
@click.option("--invoice", help="Its number, of which a keyed tag is stored; or --invoice-tag.")
@click.option("--invoice-tag", type=HASH, help="The tag itself, made elsewhere; or --invoice.")
@click.option("--tag-key", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--tag-epoch", type=click.IntRange(0), default=1, show_default=True)
@click.option("--net", type=YUAN, required=True, help="What the invoice asks, without tax.")
@click.option("--base", type=YUAN, help="The part that the rate applies to (default: all).")
@click.option(
    "--usage",
    multiple=True,
    required=True,
    help="chip:date:device hours[:kWh], such as ascend-910b:2026-03-31:120.5:48",
)
@click.option(
    "--service",
    "service_class",
    type=click.Choice(get_args(ServiceClass)),
    default="training",
    show_default=True,
)
@click.option("--own-share", type=HASH, help="Commitment to the proof; or --own-share-proof.")
@click.option(
    "--own-share-proof",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The proof itself: only a salted hash is stored, the salt is shown; or --own-share.",
)
@writing
def redeem(
    *,
    lines: tuple[str, ...],
    redeemer: str,
    holder: str | None,
    order: str,
    invoice: str | None,
    invoice_tag: bytes | None,
    tag_key: Path | None,
    tag_epoch: int,
    net: int,
    base: int | None,
    usage: tuple[str, ...],
    service_class: ServiceClass,
    own_share: bytes | None,
    own_share_proof: Path | None,
    desk: Desk,
) -> None:
    """Spend vouchers at a data centre against its invoice. Holder and centre sign.

    Two pairs are required, one option of each: --invoice or --invoice-tag (which invoice it is),
    and --own-share or --own-share-proof (that the holder paid the rest).
    """
    if (invoice is None) == (invoice_tag is None):
        raise UsageError("give either --invoice or --invoice-tag")
    if (own_share is None) == (own_share_proof is None):
        raise UsageError("give either --own-share or --own-share-proof")
    if invoice is not None:
        invoice_tag = signing.keyed_tag(signing.tag_key(desk.profile, tag_key), invoice)
    salt = None
    if own_share_proof is not None:
        own_share, salt = signing.commitment(own_share_proof)
    assert invoice_tag is not None, "one of the two was given"
    assert own_share is not None, "one of the two was given"
    pairs = amount_pairs(lines, "voucher=yuan")
    operation = Redeem(
        holder=holder or _holder_of(desk, pairs[0][0]),
        redeemer=redeemer,
        order=order,
        lines=tuple(Line(voucher=voucher, amount=fen, reserve=()) for voucher, fen in pairs),
        invoice=Invoice(
            tag=invoice_tag, tag_epoch=tag_epoch, net=net, base=net if base is None else base
        ),
        service_class=service_class,
        usage=tuple(_usage(text) for text in usage),
        own_share=own_share,
    )
    document = desk.act(operation)
    if document is None:
        return
    decided = "burned" if document.postings[0]["kind"] == "burn" else "under review"
    more = {} if salt is None else {"own_share_salt": salt}
    emit_outcome(document, amount_fen=sum(fen for _, fen in pairs), decided=decided, **more)


def _usage(text: str) -> Usage:
    parts = text.split(":")
    if len(parts) not in (3, 4):
        raise UsageError(f"{text!r}: write chip:date:device hours[:kWh]")
    return Usage(
        chip=parts[0],
        day=DAY.convert(parts[1], None, None),
        gpu_ms=_scaled(parts[2], HOUR_MS, text),
        energy_wh=_scaled(parts[3], 1_000, text) if len(parts) == 4 else 0,
    )


def _scaled(text: str, unit: int, where: str) -> int:
    """Return a decimal number in a smaller unit; it must come out whole."""
    try:
        value = Decimal(text) * unit
    except InvalidOperation:
        raise UsageError(f"{where!r}: {text!r} is no number") from None
    if not value.is_finite() or value < 0 or value != value.to_integral_value():
        raise UsageError(f"{where!r}: {text!r} does not come out whole in the ledger's unit")
    return int(value)


@group.command(name="list")
@click.option("--holder")
@click.option("--programme")
@reading
def list_(*, holder: str | None, programme: str | None, session: Session) -> None:
    """List vouchers."""
    items = session.nodes.items("/v1/vouchers", holder=holder, programme=programme)
    emit([_shown(item) for item in items], LISTED)


def _shown(item: Json) -> Json:
    return {**in_fen(item, *PARTS), "expires": moment(item["expires_at_ms"])}


@group.command()
@click.argument("voucher", type=VOUCHER)
@click.option("--at-height", type=click.IntRange(0), help="As it was after this block.")
@reading
def show(voucher: str, *, at_height: int | None, session: Session) -> None:
    """Show a voucher, now or as it was."""
    emit(_shown(session.one(f"/v1/vouchers/{voucher}", at_height=at_height)))


@group.command()
@click.argument("voucher", type=VOUCHER)
@reading
def history(voucher: str, *, session: Session) -> None:
    """List every version of a voucher, oldest first, with the transaction that made it."""
    rows = []
    for item in session.nodes.items(f"/v1/vouchers/{voucher}/history"):
        rows.append(
            {
                **_shown(item["voucher"]),
                "sequence": item["sequence"],
                "height": item["height"],
                "time": moment(item["time_ms"]),
                "cause": item["transaction"] or "expiry",
            }
        )
    emit(rows, HISTORY)
