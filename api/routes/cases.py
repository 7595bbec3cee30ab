"""Cases: what is frozen, and commitments to what lies outside the ledger."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import schemas
from api.reads import Moment, Resource, Selection, where
from api.routes.listing import Paging, listed, single
from ledger.rules.cases import ANCHORS
from ledger.rules.holds import HOLDS, Hold

router = APIRouter(prefix="/v1", tags=["cases"], responses=schemas.PROBLEM)

ScopeQuery = Annotated[
    Literal["party", "centre", "programme", "voucher", "claim", "payable"] | None, Query()
]
ThingQuery = Annotated[
    str | None, Query(pattern=schemas.THING_PATTERN, description="the id of what is held")
]

HOLD = Resource(HOLDS)
ANCHOR = Resource(ANCHORS)


@router.get("/holds", responses=schemas.LISTED)
async def holds(
    request: Request,
    paging: Paging,
    scope: ScopeQuery = None,
    thing: ThingQuery = None,
    open: schemas.OpenQuery = None,
) -> Response:
    """List holds by id, which starts with the party that set it."""
    fields = where(scope=scope, thing=thing)

    def keep(moment: Moment, hold: Hold) -> bool:
        return fields(moment, hold) and (open is None or open == (not hold.cleared_ms))

    return listed(request, Selection(of=HOLD, named=thing, keep=keep), paging)


@router.get("/holds/{hold}", responses=schemas.SINGLE)
async def hold(request: Request, hold: schemas.SerialPath) -> Response:
    """Return a hold."""
    return single(request, HOLD, hold)


@router.get("/anchors", responses=schemas.LISTED)
async def anchors(request: Request, paging: Paging, by: schemas.SlugQuery = None) -> Response:
    """List anchors by id, which starts with the party that recorded it."""
    under = "" if by is None else f"{by}."
    return listed(request, Selection(of=ANCHOR, under=under), paging)


@router.get("/anchors/{anchor}", responses=schemas.SINGLE)
async def anchor(request: Request, anchor: schemas.SerialPath) -> Response:
    """Return an anchor."""
    return single(request, ANCHOR, anchor)
