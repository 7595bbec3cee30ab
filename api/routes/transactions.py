"""Sending transactions and asking what became of them."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import documents, schemas
from api.documents import Logged
from api.following import Expired
from api.node_view import answer
from api.problems import CODES, Problem
from api.reads import SCAN_MAX, anchored, head_of, log_before
from api.services import Services, json, services_of
from api.spoken import headers_of, language_of
from ledger.encoding.codec import NotCanonical
from ledger.encoding.plain import Plain
from ledger.entries import TransactionEntry
from ledger.inadmissible import AlreadyLogged, EnvelopeMalformed, Inadmissible, KindUnknown
from ledger.status import TransactionStatus
from ledger.store.lmdb_store import Snapshot
from ledger.transactions import Transaction, parse
from node.port import PortClosed
from words import answers
from words.languages import Language

BODY_BYTES_MAX = 64 * 1024

router = APIRouter(prefix="/v1/transactions", tags=["transactions"], responses=schemas.PROBLEM)


async def body_of(request: Request) -> bytes:
    """Return a request's body; raise Problem too_large as soon as it is known to be."""
    declared = request.headers.get("content-length", "")
    pieces: list[bytes] = []
    total = int(declared) if declared.isascii() and declared.isdigit() else 0
    if total <= BODY_BYTES_MAX:
        total = 0
        async for piece in request.stream():
            total += len(piece)
            if total > BODY_BYTES_MAX:
                break
            pieces.append(piece)
    if total > BODY_BYTES_MAX:
        raise Problem("too_large", f"expected at most {BODY_BYTES_MAX} bytes", limit=BODY_BYTES_MAX)
    return b"".join(pieces)


def parsed(raw: bytes, spoken: Language) -> Transaction:
    """Return the transaction in an envelope; raise Problem not_canonical or kind_unknown."""
    try:
        return parse(raw)
    except NotCanonical as error:
        raise _told(EnvelopeMalformed(reason=str(error)), spoken) from None
    except KindUnknown as error:
        raise _told(error, spoken) from None


def _told(error: Inadmissible, spoken: Language) -> Problem:
    return Problem(error.code, answers.sentence(error.code, error.values, spoken), **error.values)


@router.post(
    "", responses=schemas.DOCUMENT, openapi_extra=schemas.takes("application/octet-stream")
)
async def submit(
    request: Request,
    wait: schemas.WaitQuery = None,
    timeout_ms: schemas.WaitMsQuery = schemas.WAIT_MS_DEFAULT,
) -> Response:
    """Hand a signed envelope to the node. Sending the same bytes again is always safe."""
    services, spoken = services_of(request), language_of(request)
    transaction = parsed(await body_of(request), spoken)
    status = await answer(services.port.submit(transaction.raw))
    if status.status == "pending" and wait == "final":
        expires_at = transaction.body.expires_at
        outcome = await services.waiters.settled(transaction.id, expires_at, timeout_ms / 1000)
    else:
        outcome = _already(services, transaction, status, spoken)
    document = await _document(services, transaction, outcome or status, spoken)
    return _answer(document, spoken)


def _already(
    services: Services, transaction: Transaction, status: TransactionStatus, spoken: Language
) -> Logged | Expired | TransactionStatus:
    """Return what a first answer means; raise Problem for what no block can hold."""
    # What this node calls expired may be in the log all the same: the log has the last word.
    if status.status in ("final", "expired") or status.code == AlreadyLogged.code:
        with services.reader.begin() as snapshot:
            logged = documents.find_logged(snapshot, transaction.id, transaction.body.expires_at)
        if logged is not None:
            return logged
        return Expired() if status.status == "expired" else status
    if status.status == "inadmissible":
        known = status.code in CODES
        values = dict(status.values) if known else {"reason": status.code}
        sentence = documents.sentence_of(status, spoken)
        raise Problem(status.code if known else "inadmissible", sentence, **values)
    return status


async def _document(
    services: Services,
    transaction: Transaction,
    outcome: Logged | Expired | TransactionStatus,
    spoken: Language,
) -> dict[str, Plain]:
    with services.reader.begin() as snapshot:
        head = head_of(snapshot)
    node = await services.node.brief(head)
    match outcome:
        case Logged():
            return documents.of_logged(outcome, transaction, node, spoken)
        case Expired():
            expires_at = transaction.body.expires_at
            return documents.expired(transaction.id, expires_at, transaction.kind, node, spoken)
        case TransactionStatus():
            return documents.of_status(outcome, transaction.kind, node, spoken)


def _answer(document: dict[str, Plain], spoken: Language) -> Response:
    headers = headers_of(spoken)
    if document["status"] == "pending":
        headers["Location"] = f"/v1/transactions/{document['id']}"
        return json(document, 202, headers)
    return json(document, headers=headers)


@router.post(
    "/simulate", responses=schemas.EFFECT, openapi_extra=schemas.takes("application/octet-stream")
)
async def simulate(request: Request) -> Response:
    """Say what an envelope would do now; its signatures need not verify."""
    services, spoken = services_of(request), language_of(request)
    transaction = parsed(await body_of(request), spoken)
    try:
        effect = await answer(services.port.simulate(transaction.raw))
    except NotCanonical as error:
        raise _told(EnvelopeMalformed(reason=str(error)), spoken) from None
    return json(
        {
            "height": effect.height,
            "code": effect.code,
            "number": effect.number,
            "message": documents.sentence_of(effect, spoken),
            "values": dict(effect.values),
            "postings": documents.postings_of(effect.postings),
        },
        headers=headers_of(spoken),
    )


@router.get("", responses=schemas.LISTED)
async def newest(
    request: Request,
    before: schemas.NaturalQuery = None,
    cursor: schemas.NaturalQuery = None,
    limit: schemas.LimitQuery = schemas.PAGE_DEFAULT,
    status: schemas.PendingQuery = None,
) -> Response:
    """List logged transactions, newest first, from below a sequence number.

    With ``status=pending`` those that wait on this node, in the order in which they came in.
    """
    spoken = language_of(request)
    if status is not None:
        if before is not None:
            raise Problem.invalid(**{"query.before": "expected only of what is logged"})
        return await _waiting(services_of(request), cursor or 0, limit, spoken)
    with services_of(request).reader.begin() as snapshot:
        head = head_of(snapshot)
        below = before if cursor is None else cursor
        start = head.log_size if below is None else min(below, head.log_size)
        items: list[Plain] = []
        following: str | None = None
        rows = log_before(snapshot, start, SCAN_MAX + 1)
        for seen, (sequence, block, entry) in enumerate(rows):
            if len(items) == limit or seen == SCAN_MAX:
                following = str(sequence + 1)
                break
            if isinstance(entry, TransactionEntry):
                items.append(documents.listed(snapshot, sequence, block, entry, spoken))
    return json(anchored({"items": items, "next": following}, head), headers=headers_of(spoken))


async def _waiting(services: Services, after: int, limit: int, spoken: Language) -> Response:
    """Return a page of what waits on the node; the last page is empty."""
    page = await answer(services.port.waiting(after, limit))
    with services.reader.begin() as snapshot:
        head = head_of(snapshot)
        items: list[Plain] = [documents.waiting(snapshot, one, spoken) for one in page]
    following = str(page[-1].arrival) if page else None
    return json(anchored({"items": items, "next": following}, head), headers=headers_of(spoken))


@router.get("/{transaction_id}", responses=schemas.DOCUMENT)
async def transaction(
    request: Request,
    transaction_id: schemas.HashPath,
    expires_at: schemas.NaturalQuery = None,
) -> Response:
    """Say what became of a transaction.

    With its ``expires_at`` an id that neither the log nor the node knows is expired once block
    time has reached it. The number is the client's word, so what is known here comes first.
    """
    services, spoken = services_of(request), language_of(request)
    wanted = bytes.fromhex(transaction_id)
    with services.reader.begin() as snapshot:
        head = head_of(snapshot)
        _require_possible(snapshot, expires_at)
        logged = documents.find_logged(snapshot, wanted, expires_at)
    node = await services.node.brief(head)
    if logged is not None:
        transaction = parse(logged.entry.signed)
        return _answer(documents.of_logged(logged, transaction, node, spoken), spoken)
    try:
        status = await answer(services.port.lookup(wanted))
    except PortClosed:
        if expires_at is None:
            raise
        status = TransactionStatus.unknown(wanted)
    until_ms = status.expires_at or expires_at
    is_over = status.status == "expired" or (until_ms is not None and head.time_ms >= until_ms)
    if status.status in ("pending", "refused") and not is_over:
        return _answer(documents.of_status(status, None, node, spoken), spoken)
    with services.reader.begin() as snapshot:  # it may have been logged while we asked
        head = head_of(snapshot)
        logged = documents.find_logged(snapshot, wanted, expires_at)
    node = await services.node.brief(head)
    if logged is not None:
        transaction = parse(logged.entry.signed)
        return _answer(documents.of_logged(logged, transaction, node, spoken), spoken)
    if is_over and until_ms is not None:
        return _answer(documents.expired(wanted, until_ms, None, node, spoken), spoken)
    raise Problem("transaction_unknown", f"no transaction {transaction_id}", id=transaction_id)


def _require_possible(snapshot: Snapshot, expires_at: int | None) -> None:
    """Raise Problem if nothing on this ledger can end then: seconds for milliseconds, say."""
    genesis = snapshot.block_row(0)
    if expires_at is not None and genesis is not None and expires_at <= genesis.time_ms:
        wrong = (
            f"expected milliseconds after {genesis.time_ms}, when this ledger began, "
            f"got {expires_at}"
        )
        raise Problem.invalid(**{"query.expires_at": wrong})
