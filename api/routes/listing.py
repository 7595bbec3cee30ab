"""What all routes that read records share: a page of a list, a single record, a plain list."""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.responses import Response

from api import schemas
from api.reads import Moment, Page, Resource, Selection, anchored, moment_at, now_of
from api.services import json, services_of
from ledger.encoding.codec import Record
from ledger.encoding.plain import Plain

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class _Paging:
    cursor: str | None
    limit: int


async def _paging(
    cursor: schemas.CursorQuery = None, limit: schemas.LimitQuery = schemas.PAGE_DEFAULT
) -> _Paging:
    return _Paging(cursor, limit)


Paging = Annotated[_Paging, Depends(_paging)]
"""Which page of a list a request asks for."""


def listing(page: Page, moment: Moment) -> Response:
    """Return a page as an answer."""
    return json(anchored({"items": page.items, "next": page.next}, moment.block))


def listed(request: Request, wanted: Selection[R], paging: _Paging) -> Response:
    """Return a page of the records wanted."""
    with services_of(request).reader.begin() as snapshot:
        moment = now_of(snapshot)
        return listing(wanted.page(moment, paging.cursor, paging.limit), moment)


def single(
    request: Request, resource: Resource[R], *parts: str, at_height: int | None = None
) -> Response:
    """Return one record, now or as it was after a block."""
    with services_of(request).reader.begin() as snapshot:
        return json(resource.single(moment_at(snapshot, at_height), *parts))


@dataclass(frozen=True, slots=True)
class _Place:
    first: int
    limit: int


async def _place(
    cursor: schemas.NaturalQuery = None, limit: schemas.LimitQuery = schemas.PAGE_DEFAULT
) -> _Place:
    return _Place(cursor or 0, limit)


Place = Annotated[_Place, Depends(_place)]
"""Which page of a short list a request asks for: the cursor is a position."""


def part_of(items: list[Plain], place: _Place, moment: Moment) -> Response:
    """Return a page of a list that is short enough to be made whole each time."""
    end = place.first + place.limit
    following = str(end) if end < len(items) else None
    return listing(Page(items[place.first : end], following), moment)
