"""Programmes with their terms and money."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import schemas
from api.reads import Moment, Resource, Selection, budget_items, now_of
from api.reads import single as must_single
from api.routes.listing import Paging, Place, listed, part_of, single
from api.services import services_of
from ledger.encoding.codec import only
from ledger.encoding.plain import Plain, plain
from ledger.rules.programmes import (
    PROGRAMMES,
    TERMS,
    TOTALS,
    Programme,
    missing_consents,
    standing_version,
    terms_hash,
    terms_of,
)

router = APIRouter(prefix="/v1/programmes", tags=["programmes"], responses=schemas.PROBLEM)


def _terms(moment: Moment, programme: Programme) -> Plain:
    version = str(standing_version(programme))
    return plain(must_single(moment.snapshot, TERMS, programme.id, version)[0])


def _proposed_terms(moment: Moment, programme: Programme) -> Plain:
    """Return what waits for consent, as a funder has to read it."""
    version = only(programme.proposed)
    if version is None:
        return None
    terms = terms_of(moment.snapshot, programme.id, version)
    missing = list(missing_consents(moment.snapshot, programme.id, version))
    return {"hash": terms_hash(terms).hex(), "consents_missing": missing, "terms": plain(terms)}


def _totals(moment: Moment, programme: Programme) -> Plain:
    return plain(must_single(moment.snapshot, TOTALS, programme.id)[0])


def _budgets(moment: Moment, programme: Programme) -> Plain:
    return budget_items(moment.snapshot, programme.id)


PROGRAMME = Resource(
    PROGRAMMES,
    {
        "terms": _terms,
        "proposed_terms": _proposed_terms,
        "totals": _totals,
        "budgets": _budgets,
    },
)


@router.get("", responses=schemas.LISTED)
async def programmes(request: Request, paging: Paging) -> Response:
    """List programmes with their terms in force, and those proposed, totals and budgets."""
    return listed(request, Selection(of=PROGRAMME), paging)


@router.get("/{city}/{slug}", responses=schemas.SINGLE)
async def programme(request: Request, city: schemas.SlugPath, slug: schemas.SlugPath) -> Response:
    """Return a programme with its terms in force, and those proposed, totals and budgets."""
    return single(request, PROGRAMME, f"{city}.{slug}")


@router.get("/{city}/{slug}/budget", responses=schemas.LISTED)
async def budget(
    request: Request, city: schemas.SlugPath, slug: schemas.SlugPath, place: Place
) -> Response:
    """List a programme's budgets by year and funder."""
    with services_of(request).reader.begin() as snapshot:
        must_single(snapshot, PROGRAMMES, f"{city}.{slug}")
        return part_of(budget_items(snapshot, f"{city}.{slug}"), place, now_of(snapshot))
