"""Everything that can go wrong with a request, as problem+json with a stable code (RFC 9457)."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.schemas import EXPECTED, PROBLEM_MEDIA_TYPE
from api.spoken import headers_of, language_of
from ledger import inadmissible
from ledger.status import Busy
from node.port import PortClosed
from words.answers import placeholders
from words.languages import Language

TYPE_BASE = "https://tallystick.example/problems/"
"""Prefix of a problem's ``type``: a name, not an address."""
RETRY_AFTER_S = 1
VALUE_CHARACTERS_MAX = 200
"""Longest excerpt of a request that an answer repeats."""


@dataclass(frozen=True, slots=True)
class Code:
    """What a code means: HTTP status, and whether the same request may succeed later."""

    status: int
    retryable: bool = False


CODES = {
    "invalid_request": Code(400),
    "cursor_invalid": Code(400),
    "out_of_range": Code(400),
    inadmissible.EnvelopeMalformed.code: Code(400),
    inadmissible.KindUnknown.code: Code(400),
    inadmissible.WrongLog.code: Code(400),
    "inadmissible": Code(400),
    inadmissible.ExpiresTooFar.code: Code(400),
    inadmissible.KeyUnknown.code: Code(403),
    inadmissible.BadSignature.code: Code(403),
    "not_found": Code(404),
    "transaction_unknown": Code(404, retryable=True),
    "method_not_allowed": Code(405),
    "too_large": Code(413),
    "busy": Code(429, retryable=True),
    "rate_limited": Code(429, retryable=True),
    "too_many_streams": Code(429, retryable=True),
    "internal": Code(500),
    "node_unreachable": Code(503, retryable=True),
    "proof_pending": Code(503, retryable=True),
    "not_ready": Code(503, retryable=True),
}
"""Every code that an answer of this API can carry; its title stands in the catalogue."""


class Problem(Exception):
    """A request that is answered with problem+json.

    ``detail`` is told as it is, unless the language has a sentence of its own for the code.
    """

    def __init__(self, code: str, detail: str, **values: int | str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.values = values

    @classmethod
    def invalid(cls, **parts: str) -> Self:
        """Return the problem of parts of a request, each with what was expected of it.

        A part is named by where it stands: ``query.limit``.
        """
        detail = "; ".join(f"{where}: {expected}" for where, expected in parts.items())
        return cls("invalid_request", detail, **parts)

    def response(self, spoken: Language) -> Response:
        """Return the answer in a language."""
        known = CODES[self.code]
        content = {
            "type": TYPE_BASE + self.code,
            "title": spoken.text(f"problem.{self.code}"),
            "status": known.status,
            "detail": self._told(spoken),
            "code": self.code,
            "values": self.values,
            "retryable": known.retryable,
        }
        headers = headers_of(spoken)
        if known.retryable:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return Response(
            msgspec.json.encode(content),
            known.status,
            media_type=PROBLEM_MEDIA_TYPE,
            headers=headers,
        )

    def _told(self, spoken: Language) -> str:
        template = spoken.texts.get(f"detail.{self.code}")
        if template is None or not placeholders(template) <= self.values.keys():
            return self.detail
        return template.format(**self.values)


def unreachable() -> Problem:
    """Return the problem of a node that does not answer."""
    return Problem("node_unreachable", "the node behind this server does not answer; try again")


def excerpt(value: object) -> str:
    """Return what an answer repeats of a request."""
    text = str(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"


async def _on_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem.response(language_of(request))


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Name each part that was wrong and what was expected of it."""
    assert isinstance(error, RequestValidationError)
    values = {
        ".".join(str(part) for part in wrong["loc"]): _expected(wrong) for wrong in error.errors()
    }
    return Problem.invalid(**values).response(language_of(request))


def _expected(wrong: dict[str, Any]) -> str:
    words = EXPECTED.get(wrong.get("ctx", {}).get("pattern", ""))
    return excerpt(wrong["msg"]) if words is None else f"expected {words}"


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        problem = Problem("method_not_allowed", f"{request.method} is not possible here")
    elif error.status_code == HTTPStatus.NOT_FOUND:
        problem = Problem("not_found", f"nothing at {excerpt(request.url.path)}")
    else:
        problem = Problem("invalid_request", excerpt(error.detail))
    response = problem.response(language_of(request))
    response.headers.update(error.headers or {})
    return response


async def _on_unreachable(request: Request, error: Exception) -> Response:
    return unreachable().response(language_of(request))


async def _on_busy(request: Request, error: Exception) -> Response:
    return Problem("busy", str(error)).response(language_of(request))


async def _on_bug(request: Request, error: Exception) -> Response:
    """Answer without the error's text; the server's log has it."""
    problem = Problem("internal", "an unexpected failure; the server's log has it")
    return problem.response(language_of(request))


def install(app: FastAPI) -> None:
    """Make every failure of ``app`` a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(PortClosed, _on_unreachable)
    app.add_exception_handler(TimeoutError, _on_unreachable)
    app.add_exception_handler(Busy, _on_busy)
    app.add_exception_handler(HTTPStatus.INTERNAL_SERVER_ERROR, _on_bug)
