"""Parties: who they are, what members attest about them, recoveries of their keys."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import schemas
from api.reads import Moment, Resource, Selection, where
from api.routes.listing import Paging, listed, single
from ledger.encoding.codec import only
from ledger.encoding.plain import Plain
from ledger.rules.attestations import ATTESTATIONS
from ledger.rules.parties import PARTIES, Party
from ledger.rules.recoveries import RECOVERIES, Recovery
from ledger.rules.successors import SUCCESSIONS

router = APIRouter(prefix="/v1", tags=["parties"], responses=schemas.PROBLEM)

KindQuery = Annotated[Literal["treasury", "data_centre", "holder", "auditor"] | None, Query()]
StatusQuery = Annotated[Literal["open", "accepted", "rejected", "over"] | None, Query()]


def _open_recovery(moment: Moment, party: Party) -> Plain:
    recovery = moment.get(RECOVERIES, party.id)
    if recovery is None or not recovery.is_open(moment.block.time_ms):
        return None
    return RECOVERY.show(moment, recovery)


def _is_over(moment: Moment, recovery: Recovery) -> bool:
    """Return whether it ended by itself."""
    return recovery.status == "open" and not recovery.is_open(moment.block.time_ms)


def _successor(moment: Moment, party: Party) -> Plain:
    succession = moment.get(SUCCESSIONS, party.id)
    return None if succession is None else only(succession.successor)


PARTY = Resource(PARTIES, {"recovery": _open_recovery, "successor": _successor})
ATTESTATION = Resource(ATTESTATIONS)
RECOVERY = Resource(RECOVERIES, {"over": _is_over})


@router.get("/parties", responses=schemas.LISTED)
async def parties(request: Request, paging: Paging, kind: KindQuery = None) -> Response:
    """List parties by id."""
    return listed(request, Selection(of=PARTY, keep=where(kind=kind)), paging)


@router.get("/parties/{party}", responses=schemas.SINGLE)
async def party(request: Request, party: schemas.SlugPath) -> Response:
    """Return a party, with the recovery or change of its keys while one is open."""
    return single(request, PARTY, party)


@router.get("/parties/{party}/attestations", responses=schemas.LISTED)
@router.get("/attestations/{party}", responses=schemas.LISTED)
async def attestations(request: Request, party: schemas.SlugPath, paging: Paging) -> Response:
    """List what members attest about a party, by topic and attester."""
    return listed(request, Selection(of=ATTESTATION, under=f"{party}/"), paging)


@router.get("/recoveries", responses=schemas.LISTED)
async def recoveries(request: Request, paging: Paging, status: StatusQuery = None) -> Response:
    """List each party's newest recovery or key change; ``over`` are those that nobody decided."""

    def keep(moment: Moment, recovery: Recovery) -> bool:
        now = "over" if _is_over(moment, recovery) else recovery.status
        return status in (None, now)

    return listed(request, Selection(of=RECOVERY, keep=keep), paging)


@router.get("/recoveries/{party}", responses=schemas.SINGLE)
async def recovery(request: Request, party: schemas.SlugPath) -> Response:
    """Return a party's newest recovery or key change."""
    return single(request, RECOVERY, party)
