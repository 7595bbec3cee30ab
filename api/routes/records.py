"""The ledger's records: parties, programmes, vouchers, claims, centres, payables."""

from typing import TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import schemas
from api.documents import id_of
from api.plain import Plain, plain
from api.problems import Problem
from api.reads import (
    Page,
    anchored,
    block_at,
    block_of,
    budget_items,
    cursor_of,
    head_of,
    missing,
    page,
    page_of_party,
    programme_item,
    single,
    single_at,
    start_of,
)
from api.services import json, services_of
from ledger.encoding import codec
from ledger.encoding.codec import UINT64_MAX, Record
from ledger.entries import decode_entry
from ledger.execute import Head
from ledger.rules.centres import ACCREDITATIONS, RECOGNITIONS
from ledger.rules.claims import CLAIMS
from ledger.rules.parties import ATTESTATIONS, PARTIES
from ledger.rules.programmes import PROGRAMMES
from ledger.rules.settlement import PAYABLES
from ledger.rules.vouchers import VOUCHERS, Voucher
from ledger.view import Table

R = TypeVar("R", bound=Record)

router = APIRouter(prefix="/v1", tags=["records"], responses=schemas.PROBLEM)


def listing(found: Page, head: Head) -> Response:
    """Return a page as an answer."""
    return json(anchored({"items": found.items, "next": found.next}, head))


def _item(request: Request, table: Table[R], *parts: str) -> Response:
    with services_of(request).reader.begin() as snapshot:
        record, sequence = single(snapshot, table, *parts)
        head = head_of(snapshot)
    return json(anchored({"item": plain(record), "sequence": sequence}, head))


@router.get("/parties", responses=schemas.LISTED)
async def parties(
    request: Request,
    kind: schemas.KindQuery = None,
    cursor: schemas.CursorQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List parties by id."""
    with services_of(request).reader.begin() as snapshot:
        found = page(
            snapshot,
            PARTIES,
            cursor=cursor,
            limit=limit,
            keep=lambda party: kind is None or party.kind == kind,
        )
        return listing(found, head_of(snapshot))


@router.get("/parties/{party}", responses=schemas.SINGLE)
async def party(request: Request, party: schemas.SlugPath) -> Response:
    """Return a party."""
    return _item(request, PARTIES, party)


@router.get("/attestations/{party}", responses=schemas.LISTED)
async def attestations(
    request: Request,
    party: schemas.SlugPath,
    cursor: schemas.CursorQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List what members attest about a party, by topic and attester."""
    with services_of(request).reader.begin() as snapshot:
        found = page(snapshot, ATTESTATIONS, under=f"{party}/", cursor=cursor, limit=limit)
        return listing(found, head_of(snapshot))


@router.get("/programmes", responses=schemas.LISTED)
async def programmes(
    request: Request,
    cursor: schemas.CursorQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List programmes with their current terms, totals and budgets."""
    with services_of(request).reader.begin() as snapshot:
        found = page(
            snapshot,
            PROGRAMMES,
            cursor=cursor,
            limit=limit,
            show=lambda programme: programme_item(snapshot, programme.id)[0],
        )
        return listing(found, head_of(snapshot))


@router.get("/programmes/{city}/{slug}", responses=schemas.SINGLE)
async def programme(request: Request, city: schemas.SlugPath, slug: schemas.SlugPath) -> Response:
    """Return a programme with its current terms, totals and budgets."""
    with services_of(request).reader.begin() as snapshot:
        item, sequence = programme_item(snapshot, f"{city}.{slug}")
        return json(anchored({"item": item, "sequence": sequence}, head_of(snapshot)))


@router.get("/programmes/{city}/{slug}/budget", responses=schemas.LISTED)
async def budget(request: Request, city: schemas.SlugPath, slug: schemas.SlugPath) -> Response:
    """List a programme's budgets by year and funder."""
    with services_of(request).reader.begin() as snapshot:
        single(snapshot, PROGRAMMES, f"{city}.{slug}")
        items = budget_items(snapshot, f"{city}.{slug}")
        return listing(Page(items, None), head_of(snapshot))


@router.get("/vouchers", responses=schemas.LISTED)
async def vouchers(
    request: Request,
    holder: schemas.SlugQuery = None,
    programme: schemas.ProgrammeQuery = None,
    cursor: schemas.CursorQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List vouchers by id."""
    under = "" if programme is None else f"{programme}."
    with services_of(request).reader.begin() as snapshot:
        if holder is None:
            found = page(snapshot, VOUCHERS, under=under, cursor=cursor, limit=limit)
        else:
            found = page_of_party(
                snapshot, VOUCHERS, holder, under=under, cursor=cursor, limit=limit
            )
        return listing(found, head_of(snapshot))


@router.get("/vouchers/{voucher}", responses=schemas.SINGLE)
async def voucher(
    request: Request, voucher: schemas.SerialPath, at_height: schemas.NaturalQuery = None
) -> Response:
    """Return a voucher, now or as it was after a block."""
    if at_height is None:
        return _item(request, VOUCHERS, voucher)
    with services_of(request).reader.begin() as snapshot:
        head = head_of(snapshot)
        block = block_at(snapshot, at_height)
        if at_height > head.height or block is None:
            raise Problem(
                "not_found", f"no block {at_height}, the last is {head.height}", last=head.height
            )
        record, sequence = single_at(snapshot, VOUCHERS, voucher, log_size=block.log_size)
        return json(anchored({"item": plain(record), "sequence": sequence}, block))


@router.get("/vouchers/{voucher}/history", responses=schemas.LISTED)
async def history(
    request: Request,
    voucher: schemas.SerialPath,
    cursor: schemas.CursorQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List every version of a voucher, oldest first, each with the transaction that made it."""
    prefix = VOUCHERS.key(voucher) + b"\0"
    start = start_of(cursor, prefix)
    with services_of(request).reader.begin() as snapshot:
        items: list[Plain] = []
        following = None
        for key, value in snapshot.scan("history", prefix=prefix, start=start, limit=limit + 1):
            if len(items) == limit:
                following = cursor_of(key)
                break
            sequence = int.from_bytes(key[-8:], "big")
            block = block_of(snapshot, sequence)
            (entry,) = snapshot.entries(sequence, sequence + 1)
            cause = id_of(decode_entry(entry))
            record: Voucher = codec.decode(Voucher, value[8:], UINT64_MAX)
            items.append(
                {
                    "sequence": sequence,
                    "height": block.height,
                    "time_ms": block.time_ms,
                    "transaction": None if cause is None else cause.hex(),
                    "voucher": plain(record),
                }
            )
        if not items and cursor is None:
            raise missing(VOUCHERS, voucher)
        return listing(Page(items, following), head_of(snapshot))


@router.get("/claims", responses=schemas.LISTED)
async def claims(
    request: Request,
    redeemer: schemas.SlugQuery = None,
    holder: schemas.SlugQuery = None,
    programme: schemas.ProgrammeQuery = None,
    cursor: schemas.CursorQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List claims by id, which starts with the redeemer."""
    under = "" if redeemer is None else f"{redeemer}."
    with services_of(request).reader.begin() as snapshot:
        if holder is None:
            found = page(
                snapshot,
                CLAIMS,
                under=under,
                cursor=cursor,
                limit=limit,
                keep=lambda claim: programme is None or claim.programme == programme,
            )
        else:
            found = page_of_party(
                snapshot,
                CLAIMS,
                holder,
                under=under,
                cursor=cursor,
                limit=limit,
                keep=lambda claim: (
                    claim.holder == holder and (programme is None or claim.programme == programme)
                ),
            )
        return listing(found, head_of(snapshot))


@router.get("/claims/{claim}", responses=schemas.SINGLE)
async def claim(request: Request, claim: schemas.SerialPath) -> Response:
    """Return a claim."""
    return _item(request, CLAIMS, claim)


@router.get("/centres", responses=schemas.LISTED)
async def centres(
    request: Request,
    cursor: schemas.CursorQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List accreditations by centre."""
    with services_of(request).reader.begin() as snapshot:
        found = page(snapshot, ACCREDITATIONS, cursor=cursor, limit=limit)
        return listing(found, head_of(snapshot))


@router.get("/centres/{centre}", responses=schemas.SINGLE)
async def centre(request: Request, centre: schemas.SlugPath) -> Response:
    """Return a centre's accreditation."""
    return _item(request, ACCREDITATIONS, centre)


@router.get("/recognitions", responses=schemas.LISTED)
async def recognitions(
    request: Request,
    programme: schemas.ProgrammeQuery = None,
    cursor: schemas.CursorQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List recognitions by programme and host."""
    under = "" if programme is None else f"{programme}/"
    with services_of(request).reader.begin() as snapshot:
        found = page(snapshot, RECOGNITIONS, under=under, cursor=cursor, limit=limit)
        return listing(found, head_of(snapshot))


@router.get("/payables", responses=schemas.LISTED)
async def payables(
    request: Request,
    debtor: schemas.SlugQuery = None,
    creditor: schemas.SlugQuery = None,
    cursor: schemas.CursorQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
) -> Response:
    """List what funders owe for accepted claims, by claim."""
    with services_of(request).reader.begin() as snapshot:
        found = page(
            snapshot,
            PAYABLES,
            cursor=cursor,
            limit=limit,
            keep=lambda payable: (
                (debtor is None or payable.debtor == debtor)
                and (creditor is None or payable.creditor == creditor)
            ),
        )
        return listing(found, head_of(snapshot))
