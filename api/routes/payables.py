"""Who owes whom, and what banks did about it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api import schemas
from api.owed import PAYABLE, open_amount
from api.reads import Moment, Resource, Selection, where
from api.routes.listing import Paging, listed, single
from ledger.rules.payables import Payable
from ledger.rules.payments import PAYMENTS, Payment

router = APIRouter(prefix="/v1", tags=["settlement"], responses=schemas.PROBLEM)

CauseQuery = Annotated[
    str | None,
    Query(pattern=schemas.SERIAL_PATTERN, description="a claim, or `clearing.` and a cycle"),
]
PayableQuery = Annotated[str | None, Query(pattern=schemas.PAYABLE_PATTERN)]

PAYMENT = Resource(PAYMENTS)


async def wanted_payables(
    debtor: schemas.SlugQuery = None,
    creditor: schemas.SlugQuery = None,
    claim: CauseQuery = None,
    open: schemas.OpenQuery = None,
) -> Selection[Payable]:
    """Return the payables that a request asks for."""
    fields = where(debtor=debtor, creditor=creditor)

    def keep(moment: Moment, payable: Payable) -> bool:
        if not fields(moment, payable):
            return False
        return open is None or open == (open_amount(moment, payable) > 0)

    return Selection(
        of=PAYABLE,
        under="" if claim is None else f"{claim}-",
        named=debtor if debtor is not None else creditor,
        keep=keep,
    )


async def wanted_payments(payable: PayableQuery = None) -> Selection[Payment]:
    """Return the payments that a request asks for."""
    return Selection(of=PAYMENT, named=payable)


WantedPayables = Annotated[Selection[Payable], Depends(wanted_payables)]
WantedPayments = Annotated[Selection[Payment], Depends(wanted_payments)]


@router.get("/payables", responses=schemas.LISTED)
async def payables(request: Request, wanted: WantedPayables, paging: Paging) -> Response:
    """List payables by id, each with its open amount."""
    return listed(request, wanted, paging)


@router.get("/payables/{payable}", responses=schemas.SINGLE)
async def payable(request: Request, payable: schemas.PayablePath) -> Response:
    """Return a payable with its open amount."""
    return single(request, PAYABLE, payable)


@router.get("/payments", responses=schemas.LISTED)
async def payments(request: Request, wanted: WantedPayments, paging: Paging) -> Response:
    """List payments by debtor and end-to-end id."""
    return listed(request, wanted, paging)


@router.get("/payments/{debtor}/{end_to_end_id}", responses=schemas.SINGLE)
async def payment(
    request: Request, debtor: schemas.SlugPath, end_to_end_id: schemas.EndToEndPath
) -> Response:
    """Return a payment: each debtor counts its end-to-end ids for itself."""
    return single(request, PAYMENT, debtor, end_to_end_id)
