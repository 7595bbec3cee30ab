"""The server process: ``python -m api.serve`` beside a node, as many as wanted."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from socket import socket

import lmdb  # only for the name of its error: a store that is not there yet
import uvicorn
from fastapi import FastAPI

from api.app import create_app, stop_waiting
from api.overdue import TimedReader, end_when_overdue
from node.port import PortClient

STORE_RETRY_S = 0.02
"""How often a store that the node has not made yet is tried."""
CHECKPOINT, COSIGNED = "checkpoint", "cosigned"
"""The node's file beside its store."""
STOP_WITHIN_S = 2
"""How long open requests may take once the server stops."""


class Server(uvicorn.Server):
    """Tells when it listens, and ends open streams when it stops."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, ready_fd: int | None) -> None:
        super().__init__(config)
        self._app = app
        self._ready_fd = ready_fd

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen, then write the port and a newline to the descriptor that was asked for."""
        await super().startup(sockets)
        if self._ready_fd is not None and self.started:
            (port,) = {listener.getsockname()[1] for listener in self.servers[0].sockets}
            os.write(self._ready_fd, f"{port}\n".encode("ascii"))
            os.close(self._ready_fd)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Let streams and waiting requests end, then the rest."""
        stop_waiting(self._app)
        await super().shutdown(sockets)


def open_store(path: Path) -> TimedReader:
    """Return the store, once the node has made it and written genesis."""
    while True:
        try:
            reader = TimedReader(path)
        except lmdb.Error:
            time.sleep(STORE_RETRY_S)
            continue
        with reader.begin() as snapshot:
            if snapshot.head() is not None:
                return reader
        reader.close()
        time.sleep(STORE_RETRY_S)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="api.serve", description="Serve a node's ledger.")
    parser.add_argument("--store", type=Path, required=True, help="the node's LMDB folder")
    parser.add_argument("--port-socket", type=Path, required=True, help="the node's Unix socket")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--listen-port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--network", required=True, help="the network's name")
    parser.add_argument(
        "--ready-fd", type=int, help="descriptor that gets the port once it listens"
    )
    given = parser.parse_args(arguments)
    reader = open_store(given.store)
    end_when_overdue(reader)
    app = create_app(
        reader,
        PortClient(given.port_socket),
        given.network,
        checkpoint=given.store.parent / CHECKPOINT,
        cosigned=given.store.parent / COSIGNED,
    )
    config = uvicorn.Config(
        app,
        host=given.host,
        port=given.listen_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )
    # uvicorn raises the signal again after a clean stop; the stop was asked for, so that is a 0.
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, lambda *_: sys.exit(0))
    Server(config, app, given.ready_fd).run()


if __name__ == "__main__":
    main()
