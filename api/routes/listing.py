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


def whole(items: list[Plain], moment: Moment) -> Response:
    """Return a list that is short enough to have one page."""
    return listing(Page(items, None), moment)
