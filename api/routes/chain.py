"""The chain itself: the node's status, genesis, blocks, commits."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import schemas
from api.documents import id_of
from api.problems import Problem
from api.reads import Page, anchored, closing_of, head_of, now_of
from api.routes.listing import listing
from api.services import json, services_of
from ledger.encoding import codec
from ledger.encoding.plain import Plain, plain
from ledger.entries import decode_entry
from ledger.store.lmdb_store import Snapshot
from ledger.store.rows import BlockRow

BYTES = "application/octet-stream"

router = APIRouter(prefix="/v1", tags=["chain"], responses=schemas.PROBLEM)


def _block(snapshot: Snapshot, height: int) -> BlockRow:
    block = snapshot.block_row(height)
    if block is None:
        raise Problem("not_found", f"no block {height}", height=height)
    return block


@router.get("/status")
async def status(request: Request) -> Response:
    """Return how the node is."""
    return json(plain(await services_of(request).node.required()))


@router.get("/genesis", response_class=Response, responses=schemas.OCTETS)
async def genesis(request: Request) -> Response:
    """Return the genesis bytes, whose hash is the log id."""
    with services_of(request).reader.begin() as snapshot:
        data = snapshot.genesis()
    assert data is not None
    return Response(data, media_type=BYTES)


@router.get("/blocks", responses=schemas.LISTED)
async def blocks(
    request: Request,
    before: schemas.NaturalQuery = None,
    cursor: schemas.NaturalQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List blocks, newest first, from below a height."""
    below = before if cursor is None else cursor
    start = b"" if below is None else below.to_bytes(8, "big")
    with services_of(request).reader.begin() as snapshot:
        items: list[Plain] = []
        following = None
        rows = snapshot.scan("blocks", prefix=b"", start=start, limit=limit + 1, reverse=True)
        for _, value in rows:
            block: BlockRow = codec.decode_stored(BlockRow, value)
            if len(items) == limit:
                following = str(block.height + 1)
                break
            items.append(plain(block))
        return listing(Page(items, following), now_of(snapshot))


@router.get("/blocks/{height}", responses=schemas.SINGLE)
async def block(request: Request, height: schemas.HeightPath) -> Response:
    """Return a block: its place in the log, its record if it has one, its transactions' ids."""
    with services_of(request).reader.begin() as snapshot:
        row = _block(snapshot, height)
        closing = None if height == 0 else closing_of(snapshot, row)
        ids = [
            transaction_id.hex()
            for data in snapshot.entries(row.first_sequence, row.log_size)
            if (transaction_id := id_of(decode_entry(data))) is not None
        ]
        item = plain(row) | {
            "record": None if closing is None else plain(closing.record),
            "transactions": ids,
        }
        content = {"item": item, "sequence": max(0, row.log_size - 1)}
        return json(anchored(content, head_of(snapshot)))


@router.get("/blocks/{height}/commit", responses=schemas.SINGLE)
async def commit(request: Request, height: schemas.HeightPath) -> Response:
    """Return what the engine stored with a block: the certificate that makes it final."""
    with services_of(request).reader.begin() as snapshot:
        row = _block(snapshot, height)
        certificate = snapshot.stored_commit(height)
        if certificate is None:
            raise Problem("not_found", f"block {height} needs no commit", height=height)
        item = {
            "height": height,
            "time_ms": row.time_ms,
            "record_hash": row.record_hash.hex(),
            "certificate": certificate.hex(),
        }
        content = {"item": item, "sequence": max(0, row.log_size - 1)}
        return json(anchored(content, head_of(snapshot)))
