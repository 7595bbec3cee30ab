"""Clearing between treasuries: the open cycle, and closed ones with what they made owed."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import schemas
from api.owed import PAYABLE, open_cycle_of
from api.reads import Moment, Page, Resource, Selection, anchored, now_of
from api.routes.listing import listing, single
from api.services import json, services_of
from ledger.encoding.codec import UINT64_MAX
from ledger.encoding.plain import Plain, plain
from ledger.rules.clearing import CYCLES, Cycle
from ledger.rules.parties import RESERVED_ID
from ledger.rules.payables import OPEN_CYCLE
from ledger.rules.sums import serial_id

router = APIRouter(prefix="/v1", tags=["settlement"], responses=schemas.PROBLEM)


def _settlement(moment: Moment, cycle: Cycle) -> list[Plain]:
    """Return the payables that settle a cycle: at most one less than it has positions."""
    wanted = Selection(of=PAYABLE, under=serial_id(RESERVED_ID, cycle.number) + "-")
    rows = wanted.rows(moment, wanted.prefix, UINT64_MAX)
    return [PAYABLE.show(moment, payable) for _, payable in rows if payable is not None]


CYCLE = Resource(CYCLES, {"settlement": _settlement})


@router.get("/settlement", responses=schemas.SINGLE)
async def settlement(request: Request) -> Response:
    """Return the cycle that payables join now, with everybody's net position."""
    with services_of(request).reader.begin() as snapshot:
        moment = now_of(snapshot)
        stored = moment.latest(OPEN_CYCLE, "all")
        content = {
            "item": plain(open_cycle_of(moment)),
            "sequence": 0 if stored is None else stored[1],
        }
        return json(anchored(content, moment.block))


@router.get("/cycles", responses=schemas.LISTED)
async def cycles(
    request: Request,
    cursor: schemas.NaturalQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List closed cycles, newest first, each with the payables that settle it."""
    with services_of(request).reader.begin() as snapshot:
        moment = now_of(snapshot)
        newest = open_cycle_of(moment).number - 1
        first = newest if cursor is None else min(cursor, newest)
        items = [
            CYCLE.single(moment, str(number))["item"]
            for number in range(first, max(0, first - limit), -1)
        ]
        return listing(Page(items, str(first - limit) if first > limit else None), moment)


@router.get("/cycles/{number}", responses=schemas.SINGLE)
async def cycle(request: Request, number: schemas.NumberPath) -> Response:
    """Return a closed cycle with the payables that settle it."""
    return single(request, CYCLE, str(number))
