"""Claims: what data centres ask to be paid."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api import schemas
from api.reads import Resource, Selection, where
from api.routes.listing import Paging, listed, single
from ledger.rules.claims import CLAIMS, Claim, Status

router = APIRouter(prefix="/v1/claims", tags=["claims"], responses=schemas.PROBLEM)

StatusQuery = Annotated[Status | None, Query()]

CLAIM = Resource(CLAIMS)


async def wanted_claims(
    holder: schemas.SlugQuery = None,
    centre: schemas.SlugQuery = None,
    programme: schemas.ProgrammeQuery = None,
    status: StatusQuery = None,
) -> Selection[Claim]:
    """Return the claims that a request asks for."""
    return Selection(
        of=CLAIM,
        under="" if centre is None else f"{centre}.",
        named=holder,
        keep=where(holder=holder, programme=programme, status=status),
    )


WantedClaims = Annotated[Selection[Claim], Depends(wanted_claims)]


@router.get("", responses=schemas.LISTED)
async def claims(request: Request, wanted: WantedClaims, paging: Paging) -> Response:
    """List claims by id, which starts with the centre."""
    return listed(request, wanted, paging)


@router.get("/{claim}", responses=schemas.SINGLE)
async def claim(request: Request, claim: schemas.SerialPath) -> Response:
    """Return a claim."""
    return single(request, CLAIM, claim)
