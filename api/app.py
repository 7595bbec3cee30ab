"""Wires the server: its parts, its routes, its failures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response

from api import problems, schemas
from api.asked import known_parameters
from api.console import pages
from api.events import Streams
from api.following import Follower, Waiters
from api.node_view import NodeView
from api.routes import (
    cases,
    centres,
    chain,
    claims,
    clearing,
    exports,
    governance,
    health,
    log,
    parties,
    payables,
    programmes,
    proofs,
    stream,
    transactions,
    vouchers,
    witness,
)
from api.services import NO_LIMITS, Limits, Services, json
from api.shield import Shield
from ledger.store.lmdb_store import LmdbReader
from node.port import PortClient

DEV_PREFIX = "dev-"
"""Networks to try things out on: their servers set no rate limits."""


class _Server(FastAPI):
    def openapi(self) -> dict[str, Any]:
        return schemas.with_problems(super().openapi())


def limits_of(network: str) -> Limits:
    """Return the limits of a network's servers."""
    return NO_LIMITS if network.startswith(DEV_PREFIX) else Limits()


def create_app(
    reader: LmdbReader,
    port_client: PortClient,
    network: str,
    *,
    limits: Limits | None = None,
    checkpoint: Path | None = None,
    cosigned: Path | None = None,
) -> FastAPI:
    """Return the server over a store and a node's port; limits are the network's by default.

    ``checkpoint`` is the file in which the node publishes the log's head, ``cosigned`` the one
    with the head that it cosigned last.
    """
    follower = Follower(port_client)
    services = Services(
        reader=reader,
        port=port_client,
        network=network,
        node=NodeView(port_client),
        follower=follower,
        waiters=Waiters(reader, port_client, follower),
        streams=Streams(),
        checkpoint=checkpoint,
        cosigned=cosigned,
    )
    app = _Server(
        title="Tallystick",
        version="1",
        # The stock pages load scripts from elsewhere; the description alone is enough.
        docs_url=None,
        openapi_url=None,  # a route of its own serves it, under the rules of all routes
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(known_parameters)],
        lifespan=_lifespan,
    )
    app.state.services = services
    app.add_middleware(
        Shield,
        limits=limits_of(network) if limits is None else limits,
        answers=services.answers,
    )
    problems.install(app)
    for router in (
        transactions.router,
        parties.router,
        programmes.router,
        centres.router,
        vouchers.router,
        claims.router,
        payables.router,
        clearing.router,
        cases.router,
        governance.router,
        chain.router,
        exports.router,
        log.router,
        proofs.router,
        witness.router,
        stream.router,
        health.router,
    ):
        app.include_router(router)
    app.add_api_route("/openapi.json", _description, include_in_schema=False)
    pages.install(app)
    return app


async def _description(request: Request) -> Response:
    assert isinstance(request.app, FastAPI)
    return json(request.app.openapi())


def stop_waiting(app: FastAPI) -> None:
    """End open streams and answer waiting requests, so that the server can stop."""
    services = app.state.services
    assert isinstance(services, Services)
    services.follower.stop()
    services.waiters.stop()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services = app.state.services
    assert isinstance(services, Services)
    tasks = [
        asyncio.create_task(services.follower.run()),
        asyncio.create_task(services.waiters.run()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await services.port.close()
