"""Is the process alive, is it any use, and what does it count."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from api import schemas
from api.node_view import answer
from api.problems import Problem
from api.services import Services, json, services_of
from desk.following import QUORUM_AGE_MAX_MS
from ledger.status import Busy
from node.port import JobFailed, PortClosed

router = APIRouter(tags=["health"], responses=schemas.PROBLEM)


@router.get("/livez")
async def alive(request: Request) -> Response:
    """Answer as long as the process lives."""
    return json({"status": "alive", "network": services_of(request).network})


@router.get("/readyz")
async def ready(request: Request) -> Response:
    """Answer 200 while transactions sent here can become final."""
    status = await services_of(request).node.required()
    if status.stopped:
        raise Problem("not_ready", f"the node has stopped: {status.stopped}")
    if status.quorum_age_ms >= QUORUM_AGE_MAX_MS:
        raise Problem(
            "not_ready",
            f"the node has seen no quorum for {status.quorum_age_ms} ms",
            quorum_age_ms=status.quorum_age_ms,
        )
    return json({"status": "ready", "height": status.height})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return the node's metrics and this server's own, in Prometheus' text format."""
    services = services_of(request)
    try:
        text = await answer(services.port.metrics())
    except (PortClosed, Busy, JobFailed):
        text = ""
    lines = text + _own_metrics(services, node_is_up=text != "")
    return PlainTextResponse(lines, media_type="text/plain; version=0.0.4")


def _own_metrics(services: Services, *, node_is_up: bool) -> str:
    answers = "".join(
        f'tally_api_answers_total{{class="{name}"}} {count}\n'
        for name, count in sorted(services.answers.items())
    )
    return (
        "# HELP tally_api_answers_total Answers by class of status.\n"
        "# TYPE tally_api_answers_total counter\n"
        f"{answers}"
        "# HELP tally_api_streams Open event streams.\n"
        "# TYPE tally_api_streams gauge\n"
        f"tally_api_streams {services.streams.open}\n"
        "# HELP tally_api_waiting Requests that wait for a transaction.\n"
        "# TYPE tally_api_waiting gauge\n"
        f"tally_api_waiting {len(services.waiters)}\n"
        "# HELP tally_api_node_up Whether the node answered this scrape.\n"
        "# TYPE tally_api_node_up gauge\n"
        f"tally_api_node_up {int(node_is_up)}\n"
    )
