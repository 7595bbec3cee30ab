"""What members decide together: proposals, parameters, control, who votes and who validates."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import schemas
from api.reads import Moment, Resource, Selection, now_of
from api.reads import single as must_single
from api.routes.listing import Paging, Place, listed, part_of, single
from api.routes.parties import PARTY
from api.services import services_of
from ledger.encoding.plain import plain
from ledger.rules.control import CONTROL, PARAMETERS
from ledger.rules.governance import PROPOSALS, Proposal, proposal_key
from ledger.rules.parties import MEMBERS, PARTIES
from ledger.rules.validators import VALIDATORS, ValidatorRecord, validators_at

router = APIRouter(prefix="/v1", tags=["governance"], responses=schemas.PROBLEM)

StatusQuery = Annotated[Literal["open", "adopted", "over"] | None, Query(alias="status")]


def _is_over(moment: Moment, proposal: Proposal) -> bool:
    """Return whether the time to vote has passed without adoption."""
    return proposal.status == "open" and proposal.closes_ms <= moment.block.time_ms


PROPOSAL = Resource(PROPOSALS, {"over": _is_over})


@router.get("/governance/proposals", responses=schemas.LISTED)
async def proposals(request: Request, paging: Paging, status: StatusQuery = None) -> Response:
    """List proposals by number; ``over`` are those not adopted in time."""

    def keep(moment: Moment, proposal: Proposal) -> bool:
        now = "over" if _is_over(moment, proposal) else proposal.status
        return status in (None, now)

    return listed(request, Selection(of=PROPOSAL, keep=keep), paging)


@router.get("/governance/proposals/{number}", responses=schemas.SINGLE)
async def proposal(request: Request, number: schemas.NumberPath) -> Response:
    """Return a proposal with its votes."""
    return single(request, PROPOSAL, proposal_key(number))


@router.get("/governance/parameters", responses=schemas.SINGLE)
async def parameters(request: Request) -> Response:
    """Return the parameters in force."""
    return single(request, Resource(PARAMETERS), "all")


@router.get("/governance/control", responses=schemas.SINGLE)
async def control(request: Request) -> Response:
    """Return whether the ledger is paused, and the rules versions and engines that were set."""
    return single(request, Resource(CONTROL), "all")


def _acting(moment: Moment) -> tuple[ValidatorRecord, ...]:
    """Return the validators that act at the next height."""
    schedule, _ = must_single(moment.snapshot, VALIDATORS, "all")
    return validators_at(schedule, moment.block.height + 1).validators


@router.get("/governance/members", responses=schemas.LISTED)
async def members(request: Request, place: Place) -> Response:
    """List the parties that vote, each with its power as a validator at the next height."""
    with services_of(request).reader.begin() as snapshot:
        moment = now_of(snapshot)
        power = {member.party: member.keys.power for member in _acting(moment)}
        ids = must_single(snapshot, MEMBERS, "all")[0].ids
        items = [
            PARTY.show(moment, must_single(snapshot, PARTIES, member)[0])
            | {"power": power.get(member, 0)}
            for member in ids
        ]
        return part_of(items, place, moment)


@router.get("/validators", responses=schemas.LISTED)
async def validators(request: Request, place: Place) -> Response:
    """List the validators that act at the next height."""
    with services_of(request).reader.begin() as snapshot:
        moment = now_of(snapshot)
        return part_of([plain(one) for one in _acting(moment)], place, moment)
