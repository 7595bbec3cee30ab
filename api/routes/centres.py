"""Data centres: accreditations, and where vouchers of other cities are good."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import schemas
from api.reads import Resource, Selection
from api.routes.listing import Paging, listed, single
from ledger.rules.centres import ACCREDITATIONS, RECOGNITIONS

router = APIRouter(prefix="/v1", tags=["centres"], responses=schemas.PROBLEM)

CENTRE = Resource(ACCREDITATIONS)
RECOGNITION = Resource(RECOGNITIONS)


@router.get("/centres", responses=schemas.LISTED)
async def centres(request: Request, paging: Paging) -> Response:
    """List accreditations by centre."""
    return listed(request, Selection(of=CENTRE), paging)


@router.get("/centres/{centre}", responses=schemas.SINGLE)
async def centre(request: Request, centre: schemas.SlugPath) -> Response:
    """Return a centre's accreditation."""
    return single(request, CENTRE, centre)


@router.get("/recognitions", responses=schemas.LISTED)
async def recognitions(
    request: Request, paging: Paging, programme: schemas.ProgrammeQuery = None
) -> Response:
    """List recognitions by programme and host."""
    under = "" if programme is None else f"{programme}/"
    return listed(request, Selection(of=RECOGNITION, under=under), paging)
