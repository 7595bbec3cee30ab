"""The log for strangers: checkpoint, tiles, entry bundles, as C2SP's tools fetch them (Y9)."""

import gzip
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import schemas
from api.problems import Problem
from api.proofs import head_within
from api.services import services_of
from ledger.encoding.tiles import MalformedTile, Tile, parse_path

TILE_MEDIA_TYPE = "application/octet-stream"
CHECKPOINT_MEDIA_TYPE = "text/plain; charset=utf-8"
FOREVER = "public, max-age=31536000, immutable"
"""What a path once answered never changes, at partial tiles neither."""
BRIEFLY = "public, max-age=2"
"""A checkpoint is followed by the next one within seconds."""
GZIP_LEVEL = 1
"""Higher levels take longer and save little: most of an entry is signatures and hashes."""

router = APIRouter(prefix="/log", tags=["log"], responses=schemas.PROBLEM)


def read_checkpoint(path: Path | None) -> bytes | None:
    """Return the checkpoint that the node published last, or None if it has not yet."""
    try:
        return None if path is None else path.read_bytes()
    except FileNotFoundError:
        return None


@router.head("/checkpoint", include_in_schema=False)
@router.get("/checkpoint", response_class=Response, responses=schemas.TEXT)
async def checkpoint(request: Request) -> Response:
    """Return the signed head of the log."""
    services = services_of(request)
    published = read_checkpoint(services.checkpoint)
    with services.reader.begin() as snapshot:
        try:
            head_within(published, snapshot)
        except Problem as pending:
            raise Problem("not_found", pending.detail) from None
    return Response(published, media_type=CHECKPOINT_MEDIA_TYPE, headers={"Cache-Control": BRIEFLY})


@router.head("/tile/{rest:path}", include_in_schema=False)
@router.get("/tile/{rest:path}", response_class=Response, responses=schemas.OCTETS)
async def tile(request: Request, rest: str) -> Response:
    """Return the hashes of a tile, or under `entries/` the entries of a bundle."""
    path = f"tile/{rest}"
    try:
        named = parse_path(path)
    except MalformedTile as error:
        raise Problem("not_found", str(error)) from None
    with services_of(request).reader.begin() as snapshot:
        data = snapshot.tile(named) if isinstance(named, Tile) else snapshot.bundle(named)
    if data is None:
        raise Problem("not_found", f"the log has no {path} yet")
    headers = {"Cache-Control": FOREVER}
    if not isinstance(named, Tile):
        headers["Vary"] = "Accept-Encoding"
        if _takes_gzip(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            data = gzip.compress(data, GZIP_LEVEL, mtime=0)  # the same bytes from every node
    return Response(data, media_type=TILE_MEDIA_TYPE, headers=headers)


def _takes_gzip(accepted: str) -> bool:
    """Return whether an Accept-Encoding names gzip, and not with weight 0 (RFC 9110, 12.5.3)."""
    for choice in accepted.lower().replace(" ", "").split(","):
        coding, _, weight = choice.partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or not weight
    return False
