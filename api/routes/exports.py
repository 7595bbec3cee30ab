"""What is streamed without a cap, in reads of bounded size: the log, tables, statements.

Tables are all as they were after one block, however many reads it takes: of what changed since,
the history has the older version.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from starlette.responses import StreamingResponse

from api import exported, owed, schemas, tabular
from api.columns import TABLES
from api.exported import Exported, posting_rows
from api.owed import Statement
from api.problems import Problem
from api.reads import Moment, Resource, Selection, head_of, moment_at, sequence_at
from api.routes.claims import wanted_claims
from api.routes.payables import wanted_payables, wanted_payments
from api.routes.vouchers import wanted_vouchers
from api.services import services_of
from api.tabular import Form
from ledger.encoding.codec import Record
from ledger.encoding.plain import Plain
from ledger.execute import Head
from ledger.rules.budgets import BUDGETS, Budget
from ledger.state_tree import KEY_BYTES_MAX
from ledger.store.lmdb_store import LmdbReader, Snapshot
from ledger.store.rows import BlockRow

BYTES = "application/octet-stream"
CHUNK_ROWS_MAX = 1_024
CHUNK_BYTES_MAX = 1024 * 1024
"""A chunk ends after the row that reaches this."""

RowQuery = Annotated[
    str | None,
    Query(
        alias="from",
        pattern=schemas.ROW_PATTERN,
        max_length=2 * (KEY_BYTES_MAX + 9),
        description="key ‖ 00 ‖ u64be sequence of the row before the first, in hex",
    ),
]
R = TypeVar("R", bound=Record)

router = APIRouter(prefix="/v1/exports", tags=["exports"], responses=schemas.PROBLEM)


def _chunk(reader: LmdbReader, database: str, first: int, end: int) -> tuple[int, bytes]:
    """Return the next framed rows of a table by number, and the number after them."""
    pieces = []
    size = 0
    with reader.begin() as snapshot:
        start = first.to_bytes(8, "big")
        for key, value in snapshot.scan(database, prefix=b"", start=start, limit=CHUNK_ROWS_MAX):
            number = int.from_bytes(key, "big")
            if number >= end or size >= CHUNK_BYTES_MAX:
                break
            frame = len(value).to_bytes(4, "big") + value
            # Log entries follow one another; heights may skip, so a commit names its own.
            pieces.append(frame if database == "log" else key + frame)
            size += len(frame)
            first = number + 1
    return first, b"".join(pieces)


async def _rows(reader: LmdbReader, database: str, first: int, end: int) -> AsyncIterator[bytes]:
    while first < end:
        first, chunk = _chunk(reader, database, first, end)
        if not chunk:
            return
        yield chunk


def _export(request: Request, database: str, first: int, end: int) -> Response:
    if first > end:
        raise Problem("out_of_range", f"expected at most {end}, got {first}", maximum=end)
    rows = _rows(services_of(request).reader, database, first, end)
    return StreamingResponse(rows, media_type=BYTES)


@router.get("/log", response_class=Response, responses=schemas.OCTETS)
async def log(request: Request, start: schemas.FromQuery = 0) -> Response:
    """Stream log entries from a sequence number on: u32be length ‖ entry, again and again."""
    with services_of(request).reader.begin() as snapshot:
        end = head_of(snapshot).log_size
    return _export(request, "log", start, end)


@router.get("/commits", response_class=Response, responses=schemas.OCTETS)
async def commits(request: Request, start: schemas.FromQuery = 0) -> Response:
    """Stream certificates from a height on: u64be height ‖ u32be length ‖ certificate."""
    with services_of(request).reader.begin() as snapshot:
        end = head_of(snapshot).height + 1
    return _export(request, "commits", start, end)


@router.get("/history", response_class=Response, responses=schemas.OCTETS)
async def history(
    request: Request, until: schemas.NaturalQuery = None, after: RowQuery = None
) -> Response:
    """Stream every version of every record through a block, in the order of keys.

    Each is u16be length ‖ key ‖ u64be sequence ‖ u32be length ‖ value; `from` names the row before
    the first: key ‖ 00 ‖ u64be sequence in hex.
    """
    reader = services_of(request).reader
    with reader.begin() as snapshot:
        block = moment_at(snapshot, until).block
    start = b"" if after is None else bytes.fromhex(after) + b"\0"
    return StreamingResponse(_versions(reader, start, block.log_size), media_type=BYTES)


async def _versions(reader: LmdbReader, begin: bytes, log_size: int) -> AsyncIterator[bytes]:
    start: bytes | None = begin
    while start is not None:
        with reader.begin() as snapshot:
            start, chunk = _version_chunk(snapshot, start, log_size)
        if chunk:
            yield chunk
        await asyncio.sleep(
            0
        )  # long stretches may be younger than the block: others get their turn


def _version_chunk(snapshot: Snapshot, start: bytes, log_size: int) -> tuple[bytes | None, bytes]:
    """Return where to go on, if anywhere, and the next framed versions."""
    pieces: list[bytes] = []
    size = 0
    rows = snapshot.scan("history", prefix=b"", start=start, limit=CHUNK_ROWS_MAX + 1)
    for seen, (row, value) in enumerate(rows):
        if seen == CHUNK_ROWS_MAX or size >= CHUNK_BYTES_MAX:
            return row, b"".join(pieces)
        key, sequence = row[:-9], row[-8:]
        if int.from_bytes(sequence, "big") < log_size:
            frame = (len(key).to_bytes(2, "big"), key, sequence, len(value).to_bytes(4, "big"))
            pieces += [*frame, value]
            size += len(value)
    return None, b"".join(pieces)


def _stream(content: AsyncIterator[bytes], form: Form, block: Head | BlockRow) -> Response:
    """Return rows that are true after a block, which the headers name."""
    headers = {
        "Tallystick-Height": str(block.height),
        "Tallystick-Record-Hash": block.record_hash.hex(),
    }
    return StreamingResponse(content, media_type=tabular.MEDIA_TYPES[form], headers=headers)


async def _records(
    reader: LmdbReader,
    wanted: Selection[R],
    table: Exported[R],
    block: Head | BlockRow,
    form: Form,
) -> AsyncIterator[bytes]:
    yield tabular.head(form, tuple(table.columns))
    start: bytes | None = wanted.prefix
    while start is not None:
        with reader.begin() as snapshot:
            start, chunk = _next_rows(Moment(snapshot, block), wanted, table, start, form)
        yield chunk
        await asyncio.sleep(0)  # where a filter matches little, others get their turn


def _next_rows(
    moment: Moment, wanted: Selection[R], table: Exported[R], start: bytes, form: Form
) -> tuple[bytes | None, bytes]:
    """Return where to go on, if anywhere, and the next rows."""
    rows: list[Plain] = []
    for seen, (key, version) in enumerate(wanted.versions(moment, start, CHUNK_ROWS_MAX + 1)):
        if seen == CHUNK_ROWS_MAX:
            return key, tabular.lines(form, rows)
        if version is not None:
            record, sequence = version
            rows.append(table.row(moment, key, record, sequence))
    return None, tabular.lines(form, rows)


@router.get("/postings", response_class=Response, responses=schemas.ROWS)
async def postings(
    request: Request,
    start: schemas.FromQuery = 0,
    form: schemas.FormQuery = "ndjson",
    at_height: schemas.NaturalQuery = None,
) -> Response:
    """Stream what each logged transaction and expiry moved, through a block."""
    reader = services_of(request).reader
    with reader.begin() as snapshot:
        block = moment_at(snapshot, at_height).block
    if start > block.log_size:
        raise Problem(
            "out_of_range",
            f"expected at most {block.log_size}, got {start}",
            maximum=block.log_size,
        )
    return _stream(_postings(reader, start, block.log_size, form), form, block)


async def _postings(reader: LmdbReader, first: int, end: int, form: Form) -> AsyncIterator[bytes]:
    yield tabular.head(form, tuple(TABLES["postings"]))
    while first < end:
        with reader.begin() as snapshot:
            first, chunk = _next_postings(snapshot, first, end, form)
        yield chunk
        await asyncio.sleep(0)  # as above


def _next_postings(snapshot: Snapshot, first: int, end: int, form: Form) -> tuple[int, bytes]:
    """Return where to go on, and the next rows."""
    rows: list[Plain] = []
    for sequence, of_entry in posting_rows(snapshot, first, min(end, first + CHUNK_ROWS_MAX)):
        rows += of_entry
        first = sequence + 1
        if len(rows) >= CHUNK_ROWS_MAX:
            break
    return first, tabular.lines(form, rows)


async def wanted_budgets(programme: schemas.ProgrammeQuery = None) -> Selection[Budget]:
    """Return the budgets that a request asks for."""
    return Selection(of=Resource(BUDGETS), under="" if programme is None else f"{programme}/")


def _serve(table: Exported[R], wanted: Callable[..., Awaitable[Selection[R]]], about: str) -> None:
    """Add the route of a table; ``wanted`` takes its filters from the request."""

    async def stream(
        request: Request,
        selection: Annotated[Selection[R], Depends(wanted)],
        form: schemas.FormQuery = "ndjson",
        at_height: schemas.NaturalQuery = None,
    ) -> Response:
        reader = services_of(request).reader
        with reader.begin() as snapshot:
            block = moment_at(snapshot, at_height).block
        return _stream(_records(reader, selection, table, block, form), form, block)

    router.add_api_route(
        f"/{table.name}",
        stream,
        name=table.name,
        description=f"Stream {about}.",
        response_class=Response,
        responses=schemas.ROWS,
    )


_THEN = "now or as they were after a block"
_serve(exported.VOUCHER, wanted_vouchers, f"vouchers, {_THEN}")
_serve(exported.CLAIM, wanted_claims, f"claims, {_THEN}")
_serve(exported.PAYABLE, wanted_payables, f"payables with their open amounts, {_THEN}")
_serve(exported.PAYMENT, wanted_payments, f"payments, {_THEN}")
_serve(
    exported.BUDGET,
    wanted_budgets,
    "what funders appropriated and committed by programme and year",
)


@router.get("/statement", response_class=Response, responses=schemas.ROWS)
async def statement(
    request: Request,
    debtor: schemas.SlugQuery = None,
    creditor: schemas.SlugQuery = None,
    from_ms: schemas.NaturalQuery = None,
    until_ms: schemas.NaturalQuery = None,
    form: schemas.FormQuery = "ndjson",
) -> Response:
    """Stream a statement: the opening balance, movements payable by payable, the closing balance.

    Any two nodes whose block time has reached ``until_ms`` give the same bytes.
    """
    if debtor is None and creditor is None:
        needed = "expected a debtor, a creditor or both"
        raise Problem.invalid(**{"query.debtor": needed, "query.creditor": needed})
    if until_ms is not None and until_ms < (from_ms or 0):
        raise Problem.invalid(**{"query.until_ms": f"expected at least {from_ms}, got {until_ms}"})
    reader = services_of(request).reader
    with reader.begin() as snapshot:
        head = head_of(snapshot)
        asked = Statement(
            wanted=owed.owed_between(debtor, creditor),
            first=0 if from_ms is None else sequence_at(snapshot, from_ms),
            end=head.log_size if until_ms is None else sequence_at(snapshot, until_ms),
        )
    opening_ms = from_ms or 0
    closing_ms = head.time_ms if until_ms is None else min(until_ms, head.time_ms)
    rows = _statement(reader, asked, head, form, opening_ms, closing_ms)
    return _stream(rows, form, head)


async def _statement(
    reader: LmdbReader, asked: Statement, head: Head, form: Form, opening_ms: int, closing_ms: int
) -> AsyncIterator[bytes]:
    balance = 0
    start: bytes | None = asked.wanted.prefix if asked.first > 0 else None
    while start is not None:
        with reader.begin() as snapshot:
            payables, start = asked.next_payables(Moment(snapshot, head), start)
        balance += sum(
            move.amount for _, moves in payables for move in moves if move.sequence < asked.first
        )
        await asyncio.sleep(0)  # a long past must not hold up other requests
    yield tabular.head(form, owed.COLUMNS)
    yield tabular.lines(form, [owed.balance_row("opening", opening_ms, balance)])
    start = asked.wanted.prefix
    while start is not None:
        with reader.begin() as snapshot:
            moment = Moment(snapshot, head)
            payables, start = asked.next_payables(moment, start)
            rows = []
            for payable, moves in payables:
                for move in moves:
                    if move.sequence >= asked.first:
                        balance += move.amount
                        rows.append(asked.row(moment, payable, move, balance))
        yield tabular.lines(form, rows)
    yield tabular.lines(form, [owed.balance_row("closing", closing_ms, balance)])
