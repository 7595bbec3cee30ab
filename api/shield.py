"""What stands before every route: security headers, the rate limit, a count of answers."""

from collections.abc import Callable
from time import monotonic

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem
from api.services import Limits
from api.spoken import language_of

CLIENTS_MAX = 10_000
"""Clients whose rate is remembered; the one seen longest ago is forgotten first."""

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_RAW_HEADERS = [(name.encode("ascii"), value.encode("ascii")) for name, value in HEADERS.items()]
_NO_STORE = (b"cache-control", b"no-store")


class Rates:
    """A token bucket for each client."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        """Tokens and when they were counted, by client; the last seen stands last."""

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str) -> bool:
        """Return whether the client may send a request now."""
        rate = self._limits.requests_per_s
        if rate is None:
            return True
        now = self._clock()
        tokens, then = self._buckets.pop(client, (float(self._limits.requests_at_once), now))
        tokens = min(self._limits.requests_at_once, tokens + (now - then) * rate)
        allowed = tokens >= 1
        if len(self._buckets) >= CLIENTS_MAX:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        return allowed


class Shield:
    """Pure ASGI, so that it costs a request little and never buffers a stream."""

    def __init__(self, app: ASGIApp, *, limits: Limits, answers: dict[str, int]) -> None:
        self._app = app
        self._rates = Rates(limits)
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within its client's rate."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *_RAW_HEADERS]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append(_NO_STORE)
                message = {**message, "headers": headers}
                status_class = f"{message['status'] // 100}xx"
                self._answers[status_class] = self._answers.get(status_class, 0) + 1
            await send(message)

        client = scope["client"][0] if scope.get("client") else ""
        if self._rates.take(client):
            await self._app(scope, receive, send_shielded)
        else:
            problem = Problem("rate_limited", "too many requests from this address")
            answer = problem.response(language_of(HTTPConnection(scope)))
            await answer(scope, receive, send_shielded)
