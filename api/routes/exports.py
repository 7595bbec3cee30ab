"""Everything that an auditor replays, streamed without a cap, in looks of bounded size."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.responses import StreamingResponse

from api import schemas
from api.problems import Problem
from api.reads import head_of
from api.services import services_of
from ledger.store.lmdb_store import LmdbReader

BYTES = "application/octet-stream"
CHUNK_ROWS_MAX = 1_024
CHUNK_BYTES_MAX = 1024 * 1024
"""A chunk ends after the row that reaches this."""

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


@router.get("/log", response_class=Response)
async def log(request: Request, start: schemas.FromQuery = 0) -> Response:
    """Stream log entries from a sequence number on: u32be length ‖ entry, again and again."""
    with services_of(request).reader.begin() as snapshot:
        end = head_of(snapshot).log_size
    return _export(request, "log", start, end)


@router.get("/commits", response_class=Response)
async def commits(request: Request, start: schemas.FromQuery = 0) -> Response:
    """Stream certificates from a height on: u64be height ‖ u32be length ‖ certificate."""
    with services_of(request).reader.begin() as snapshot:
        end = head_of(snapshot).height + 1
    return _export(request, "commits", start, end)
