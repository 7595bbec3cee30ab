"""Everything that can go wrong with a request, as problem+json with a stable code (RFC 9457)."""

from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from ledger import inadmissible
from node.port import Busy, PortClosed

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://tallystick.example/problems/"
"""Prefix of a problem's ``type``: a name, not an address."""
RETRY_AFTER_S = 1
VALUE_CHARACTERS_MAX = 200
"""Longest excerpt of a request that an answer repeats."""


@dataclass(frozen=True, slots=True)
class Code:
    """What a code means: HTTP status, title, and whether the same request may succeed later."""

    status: int
    title: str
    retryable: bool = False


CODES = {
    "invalid_request": Code(400, "A part of the request is not what was expected"),
    "cursor_invalid": Code(400, "The cursor is not one of this list"),
    "out_of_range": Code(400, "The position lies beyond the end of the log"),
    inadmissible.EnvelopeMalformed.code: Code(
        400, "The bytes are not a canonical signed transaction"
    ),
    inadmissible.KindUnknown.code: Code(400, "The rules in force know no such kind"),
    inadmissible.WrongLog.code: Code(400, "The transaction was signed for another log"),
    "inadmissible": Code(400, "No block can hold the transaction"),
    inadmissible.ExpiresTooFar.code: Code(400, "The transaction's expiry lies too far ahead"),
    inadmissible.KeyUnknown.code: Code(403, "A signing key is not registered"),
    inadmissible.BadSignature.code: Code(403, "A signature does not verify"),
    "not_found": Code(404, "No such resource"),
    "transaction_unknown": Code(404, "No such transaction"),
    "method_not_allowed": Code(405, "The resource does not take this method"),
    "too_large": Code(413, "The body is larger than a transaction can be"),
    "busy": Code(429, "The node has no room for a transaction now", retryable=True),
    "rate_limited": Code(429, "Too many requests from this client", retryable=True),
    "too_many_streams": Code(429, "Too many open event streams", retryable=True),
    "internal": Code(500, "The server failed"),
    "node_unreachable": Code(503, "The node cannot be reached", retryable=True),
    "proof_pending": Code(503, "The published head does not prove this yet", retryable=True),
    "not_ready": Code(503, "The node cannot finalise transactions now", retryable=True),
}
"""Every code that an answer of this API can carry."""


class Problem(Exception):
    """A request that is answered with problem+json."""

    def __init__(self, code: str, detail: str, **values: int | str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.values = values

    def response(self) -> Response:
        """Return the answer."""
        known = CODES[self.code]
        content = {
            "type": TYPE_BASE + self.code,
            "title": known.title,
            "status": known.status,
            "detail": self.detail,
            "code": self.code,
            "values": self.values,
            "retryable": known.retryable,
        }
        headers = {"Retry-After": str(RETRY_AFTER_S)} if known.retryable else None
        return Response(
            msgspec.json.encode(content), known.status, media_type=MEDIA_TYPE, headers=headers
        )


def unreachable() -> Problem:
    """Return the problem of a node that does not answer."""
    return Problem("node_unreachable", "the node behind this server does not answer; try again")


def _excerpt(value: object) -> str:
    text = str(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"


async def _on_problem(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem.response()


async def _on_invalid(_: Request, error: Exception) -> Response:
    """Name each part that was wrong and what was expected of it."""
    assert isinstance(error, RequestValidationError)
    values = {
        ".".join(str(part) for part in one["loc"]): _excerpt(one["msg"]) for one in error.errors()
    }
    detail = "; ".join(f"{where}: {expected}" for where, expected in values.items())
    return Problem("invalid_request", detail, **values).response()


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        problem = Problem("method_not_allowed", f"{request.method} is not possible here")
    elif error.status_code == HTTPStatus.NOT_FOUND:
        problem = Problem("not_found", f"nothing at {_excerpt(request.url.path)}")
    else:
        problem = Problem("invalid_request", _excerpt(error.detail))
    response = problem.response()
    response.headers.update(error.headers or {})
    return response


async def _on_unreachable(_: Request, error: Exception) -> Response:
    return unreachable().response()


async def _on_busy(_: Request, error: Exception) -> Response:
    return Problem("busy", str(error)).response()


async def _on_bug(_: Request, error: Exception) -> Response:
    """Answer without the error's text; the server's log has it."""
    return Problem("internal", "an unexpected failure; the server's log has it").response()


def install(app: FastAPI) -> None:
    """Make every failure of ``app`` a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(PortClosed, _on_unreachable)
    app.add_exception_handler(TimeoutError, _on_unreachable)
    app.add_exception_handler(Busy, _on_busy)
    app.add_exception_handler(HTTPStatus.INTERNAL_SERVER_ERROR, _on_bug)
