"""Receipts, policies and proofs of records, for those who believe no server (spec Y12)."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import documents, schemas
from api.problems import Problem
from api.proofs import document_of, head_within, receipt_of, state_proof
from api.reads import head_of, moment_at
from api.routes.log import CHECKPOINT_MEDIA_TYPE, read_checkpoint
from api.services import Services, json, services_of
from ledger.rules.validators import VALIDATORS, validators_at
from ledger.rules.vouchers import VOUCHERS
from ledger.state_tree import KEY_BYTES_MAX
from ledger.trust import origin_of, policy_of

POLICY_MEDIA_TYPE = CHECKPOINT_MEDIA_TYPE

router = APIRouter(prefix="/v1", tags=["proofs"], responses=schemas.PROBLEM)


@router.get("/receipts/{transaction_id}", response_class=Response, responses=schemas.TEXT)
async def receipt(
    request: Request,
    transaction_id: schemas.HashPath,
    expires_at: schemas.NaturalQuery = None,
) -> Response:
    """Return a logged transaction's receipt, a C2SP tlog-proof with the entry in it."""
    services = services_of(request)
    published = read_checkpoint(services.checkpoint)
    with services.reader.begin() as snapshot:
        head = head_within(published, snapshot)
        logged = documents.find_logged(snapshot, bytes.fromhex(transaction_id), expires_at)
        if logged is None:
            raise Problem(
                "transaction_unknown", f"no transaction {transaction_id}", id=transaction_id
            )
        made = receipt_of(snapshot, head, logged.sequence)
    return Response(made.to_bytes(), media_type=CHECKPOINT_MEDIA_TYPE)


@router.get("/policy", response_class=Response, responses=schemas.TEXT)
async def policy(request: Request, at_height: schemas.NaturalQuery = None) -> Response:
    """Return whom to believe about the log: a C2SP tlog-policy, now or as of a height."""
    services = services_of(request)
    with services.reader.begin() as snapshot:
        head = head_of(snapshot)
        height = head.height + 1 if at_height is None else at_height
        if height > head.height + 1:
            most = head.height + 1
            raise Problem("out_of_range", f"expected at most {most}, got {height}", maximum=most)
        moment = moment_at(snapshot, max(0, height - 1))
        schedule = moment.get(VALIDATORS, "all")
        assert schedule is not None, "genesis makes it"
    origin = origin_of(services.network, head.log_id)
    return Response(
        policy_of(origin, validators_at(schedule, height)).to_bytes(), media_type=POLICY_MEDIA_TYPE
    )


@router.get("/proofs/{key:path}", responses=schemas.PROOF)
async def proof(request: Request, key: str) -> Response:
    """Prove what a record was when the state last had a root, or that there was none."""
    if not key.isascii() or not key.isprintable() or not 0 < len(key) <= KEY_BYTES_MAX:
        raise Problem.invalid(**{"path.key": "expected a key of 1 to 255 characters of ASCII"})
    return _proof(services_of(request), key.encode("ascii"))


@router.get("/vouchers/{voucher}/proof", responses=schemas.PROOF)
async def voucher(request: Request, voucher: schemas.SerialPath) -> Response:
    """Prove a voucher's record."""
    return _proof(services_of(request), VOUCHERS.key(voucher))


def _proof(services: Services, key: bytes) -> Response:
    published = read_checkpoint(services.checkpoint)
    with services.reader.begin() as snapshot:
        return json(document_of(state_proof(snapshot, head_within(published, snapshot), key)))
