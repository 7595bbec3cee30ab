"""The event stream's address."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import schemas
from api.events import EventStream, events
from api.problems import Problem
from api.reads import head_of
from api.services import client_of, services_of
from ledger.encoding.codec import FEN_MAX

router = APIRouter(prefix="/v1", tags=["events"], responses=schemas.PROBLEM)


@router.get("/events", response_class=Response, responses=schemas.answers_in("text/event-stream"))
async def stream(request: Request, after: schemas.NaturalQuery = None) -> Response:
    """Stream log entries as events; the id of each is its sequence number.

    Starts after ``Last-Event-ID``, else after ``after``, else with what is logged from now on.
    """
    services = services_of(request)
    with services.reader.begin() as snapshot:
        log_size = head_of(snapshot).log_size
    last = _last_event_id(request)
    seen = after if last is None else last
    first = log_size if seen is None else seen + 1
    if first > log_size:
        raise Problem(
            "out_of_range", f"expected at most {log_size - 1}, got {seen}", maximum=log_size - 1
        )
    client = client_of(request)
    services.streams.enter(client)
    content = events(services.reader, services.follower, first)
    return EventStream(content, streams=services.streams, client=client)


def _last_event_id(request: Request) -> int | None:
    """Return the number that a reconnecting browser sends; raise Problem on anything else."""
    sent = request.headers.get("last-event-id")
    if sent is None or sent == "":
        return None
    if not (sent.isascii() and sent.isdigit() and len(sent) <= len(str(FEN_MAX))):
        raise Problem.invalid(**{"header.last-event-id": "expected a sequence number"})
    return int(sent)
