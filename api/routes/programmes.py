"""Programmes with their terms and money."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import schemas
from api.reads import Moment, Resource, Selection, budget_items, now_of
from api.reads import single as must_single
from api.routes.listing import Paging, listed, single, whole
from api.services import services_of
from ledger.encoding.plain import Plain, plain
from ledger.rules.programmes import PROGRAMMES, TERMS, TOTALS, Programme

router = APIRouter(prefix="/v1/programmes", tags=["programmes"], responses=schemas.PROBLEM)


def _terms(moment: Moment, programme: Programme) -> Plain:
    return plain(must_single(moment.snapshot, TERMS, programme.id, str(programme.version))[0])


def _totals(moment: Moment, programme: Programme) -> Plain:
    return plain(must_single(moment.snapshot, TOTALS, programme.id)[0])


def _budgets(moment: Moment, programme: Programme) -> Plain:
    return budget_items(moment.snapshot, programme.id)


PROGRAMME = Resource(PROGRAMMES, {"terms": _terms, "totals": _totals, "budgets": _budgets})


@router.get("", responses=schemas.LISTED)
async def programmes(request: Request, paging: Paging) -> Response:
    """List programmes with their current terms, totals and budgets."""
    return listed(request, Selection(of=PROGRAMME), paging)


@router.get("/{city}/{slug}", responses=schemas.SINGLE)
async def programme(request: Request, city: schemas.SlugPath, slug: schemas.SlugPath) -> Response:
    """Return a programme with its current terms, totals and budgets."""
    return single(request, PROGRAMME, f"{city}.{slug}")


@router.get("/{city}/{slug}/budget", responses=schemas.LISTED)
async def budget(request: Request, city: schemas.SlugPath, slug: schemas.SlugPath) -> Response:
    """List a programme's budgets by year and funder."""
    with services_of(request).reader.begin() as snapshot:
        must_single(snapshot, PROGRAMMES, f"{city}.{slug}")
        return whole(budget_items(snapshot, f"{city}.{slug}"), now_of(snapshot))
