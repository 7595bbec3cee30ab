"""What every route works with, made once for a server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from fastapi import Request
from fastapi.responses import Response

from api.events import Streams
from api.following import Follower, Waiters
from api.node_view import NodeView
from ledger.encoding.plain import Plain
from ledger.store.lmdb_store import LmdbReader
from node.port import PortClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may ask for; None sets no limit."""

    requests_per_s: int | None = 200
    requests_at_once: int = 400
    """How many requests a client that was silent may send in one go."""


NO_LIMITS = Limits(requests_per_s=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of a server."""

    reader: LmdbReader
    port: PortClient
    network: str
    node: NodeView
    follower: Follower
    waiters: Waiters
    streams: Streams
    checkpoint: Path | None
    """The file in which the node publishes the head of the log."""
    cosigned: Path | None
    """The file with the head that the node cosigned last."""
    answers: dict[str, int] = field(default_factory=dict)
    """Number of answers by class of status: ``2xx`` and so on."""


def services_of(request: Request) -> Services:
    """Return the server's parts."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


def client_of(request: Request) -> str:
    """Return the address of a request's client."""
    return "" if request.client is None else request.client.host


def json(content: Plain, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer, without a second validation of what we made ourselves."""
    return Response(
        msgspec.json.encode(content), status, media_type="application/json", headers=headers
    )
