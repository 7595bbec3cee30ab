"""Vouchers, their past, and what of them is reserved."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from api import schemas
from api.documents import id_of
from api.reads import (
    Page,
    Resource,
    Selection,
    block_of,
    cursor_of,
    missing,
    now_of,
    start_of,
    where,
)
from api.routes.listing import Paging, listed, listing, single
from api.services import services_of
from ledger.encoding import codec
from ledger.encoding.plain import Plain, plain
from ledger.entries import decode_entry
from ledger.rules.reserves import RESERVES
from ledger.rules.vouchers import VOUCHERS, Voucher

router = APIRouter(prefix="/v1", tags=["vouchers"], responses=schemas.PROBLEM)

VOUCHER = Resource(VOUCHERS)
RESERVE = Resource(RESERVES)


async def wanted_vouchers(
    holder: schemas.SlugQuery = None, programme: schemas.ProgrammeQuery = None
) -> Selection[Voucher]:
    """Return the vouchers that a request asks for."""
    under = "" if programme is None else f"{programme}."
    return Selection(of=VOUCHER, under=under, named=holder)


WantedVouchers = Annotated[Selection[Voucher], Depends(wanted_vouchers)]


@router.get("/vouchers", responses=schemas.LISTED)
async def vouchers(request: Request, wanted: WantedVouchers, paging: Paging) -> Response:
    """List vouchers by id."""
    return listed(request, wanted, paging)


@router.get("/vouchers/{voucher}", responses=schemas.SINGLE)
async def voucher(
    request: Request, voucher: schemas.SerialPath, at_height: schemas.NaturalQuery = None
) -> Response:
    """Return a voucher, now or as it was after a block."""
    return single(request, VOUCHER, voucher, at_height=at_height)


@router.get("/vouchers/{voucher}/history", responses=schemas.LISTED)
async def history(request: Request, voucher: schemas.SerialPath, paging: Paging) -> Response:
    """List every version of a voucher, oldest first, each with the transaction that made it."""
    prefix = VOUCHERS.key(voucher) + b"\0"
    start = start_of(paging.cursor, prefix)
    with services_of(request).reader.begin() as snapshot:
        items: list[Plain] = []
        following = None
        rows = snapshot.scan("history", prefix=prefix, start=start, limit=paging.limit + 1)
        for key, value in rows:
            if len(items) == paging.limit:
                following = cursor_of(key)
                break
            sequence = int.from_bytes(key[-8:], "big")
            block = block_of(snapshot, sequence)
            (entry,) = snapshot.entries(sequence, sequence + 1)
            cause = id_of(decode_entry(entry))
            items.append(
                {
                    "sequence": sequence,
                    "height": block.height,
                    "time_ms": block.time_ms,
                    "transaction": None if cause is None else cause.hex(),
                    "voucher": plain(codec.decode_stored(Voucher, value[8:])),
                }
            )
        if not items and paging.cursor is None:
            raise missing(VOUCHERS, voucher)
        return listing(Page(items, following), now_of(snapshot))


@router.get("/reserves", responses=schemas.LISTED)
async def reserves(
    request: Request,
    paging: Paging,
    holder: schemas.SlugQuery = None,
    centre: schemas.SlugQuery = None,
    voucher: schemas.SerialQuery = None,
) -> Response:
    """List reserves by id, which starts with the centre."""
    wanted = Selection(
        of=RESERVE,
        under="" if centre is None else f"{centre}.",
        named=voucher if voucher is not None else holder,
        keep=where(holder=holder, voucher=voucher),
    )
    return listed(request, wanted, paging)


@router.get("/reserves/{reserve}", responses=schemas.SINGLE)
async def reserve(request: Request, reserve: schemas.SerialPath) -> Response:
    """Return a reserve."""
    return single(request, RESERVE, reserve)
