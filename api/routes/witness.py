"""Cosigning over HTTP, as C2SP's witnesses do it (spec Y11). The node does the work."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import schemas
from api.problems import Problem
from api.reads import head_of
from api.routes.log import BRIEFLY, CHECKPOINT_MEDIA_TYPE, read_checkpoint
from api.services import services_of
from ledger.encoding.crypto import sha256
from ledger.trust import origin_of
from node.port import COSIGN_BYTES_MAX

SIZE_MEDIA_TYPE = "text/x.tlog.size"
RETRY_S = "1"

router = APIRouter(prefix="/witness", tags=["log"], responses=schemas.PROBLEM)


@router.post(
    "/add-checkpoint",
    response_class=Response,
    responses=schemas.TEXT,
    openapi_extra=schemas.takes("text/plain"),
)
async def add_checkpoint(request: Request) -> Response:
    """Cosign a head of this log: `old <size>`, a consistency proof, an empty line, the note."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > COSIGN_BYTES_MAX:
            raise Problem("too_large", f"expected at most {COSIGN_BYTES_MAX} bytes")
    status, text = await services_of(request).port.cosign(body)
    media_type = SIZE_MEDIA_TYPE if status == 409 else CHECKPOINT_MEDIA_TYPE
    headers = {"Content-Type": media_type}  # as a header, or a charset would be added to it
    if status == 503:
        headers["Retry-After"] = RETRY_S
    return Response(text, status_code=status, headers=headers)


@router.head("/{origin_hash}/checkpoint", include_in_schema=False)
@router.get("/{origin_hash}/checkpoint", response_class=Response, responses=schemas.TEXT)
async def checkpoint(request: Request, origin_hash: str) -> Response:
    """Return the head that this node cosigned last."""
    services = services_of(request)
    with services.reader.begin() as snapshot:
        origin = origin_of(services.network, head_of(snapshot).log_id)
    note = read_checkpoint(services.cosigned)
    if note is None or origin_hash != sha256(origin.encode()).hex():
        raise Problem("not_found", "this node has cosigned no head of that origin")
    return Response(note, media_type=CHECKPOINT_MEDIA_TYPE, headers={"Cache-Control": BRIEFLY})
