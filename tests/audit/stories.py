"""Servers that publish a log, truly or not: each tells a story, and every head is well signed.

The keys are a test's own, so a story may be one that no honest validator would sign.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ledger.encoding import merkle, note
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.note import Note
from ledger.encoding.policy import Log, Policy, Witness, validators_policy
from ledger.encoding.tiles import Tile, is_within, parse_path
from ledger.trust import cosigner_key, log_key
from tests.builders import key, seed

ORIGIN = "tallystick.log/dev-test/" + "0a" * 32
COSIGNERS = ("a", "b", "c", "d")
HANG_S = 30
"""A guard against hanging, never a measure."""

Answer = tuple[int, bytes]


def trusted(names: Sequence[str] = COSIGNERS) -> Policy:
    """Return the policy of some validators."""
    return validators_policy(
        logs=[Log(key=log_key(ORIGIN, key(name, "log"))) for name in names],
        witnesses=[
            Witness(name=name, key=cosigner_key(ORIGIN, name, key(name, "cosigner")))
            for name in names
        ],
    )


def entries(count: int, story: str = "", since: int = 0) -> list[bytes]:
    """Return entries that are those of a story of their own from a position on."""
    return [f"{index} {story if index >= since else ''}".encode() for index in range(count)]


@dataclass
class Server:
    """Publishes a head of some entries, and their tiles."""

    entries: list[bytes]
    log: str = "a"
    """Whose log key signs."""
    cosigners: Sequence[str] = COSIGNERS
    seconds_ago: int = 0
    """How old the cosignatures say they are."""
    origin: str = ORIGIN
    secret: Callable[[str, str], bytes] = seed
    """The seed of a party's key of a name."""
    replies: dict[str, Answer | Callable[[], Answer]] = field(default_factory=dict)
    """Other answers, by path."""
    asked: list[str] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    url: str = ""

    def head(self, time_s: int | None = None) -> Note:
        """Return the signed head."""
        root = merkle.root(self.entries)
        text = Checkpoint(origin=self.origin, size=len(self.entries), root=root).text()
        when = int(time.time()) - self.seconds_ago if time_s is None else time_s
        lines = [note.sign(text, name=self.origin, seed=self.secret(self.log, "log"))]
        for name in self.cosigners:
            owner, secret = f"{self.origin}/{name}", self.secret(name, "cosigner")
            lines.append(note.cosign(text, name=owner, seed=secret, time_s=when))
        return Note(text=text, signatures=tuple(lines))

    def answer(self, path: str) -> Answer:
        """Return status and body."""
        if (scripted := self.replies.get(path)) is not None:
            return scripted() if callable(scripted) else scripted
        if path == "/log/checkpoint":
            return 200, self.head().to_bytes()
        if path.startswith("/log/tile/"):
            tile = parse_path(path.removeprefix("/log/"))
            if isinstance(tile, Tile) and is_within(tile, len(self.entries)):
                return 200, self.tile(tile)
        return 404, b""

    def tile(self, tile: Tile) -> bytes:
        """Return a tile by its definition."""
        span, first = 256**tile.level, 256 * tile.index
        return b"".join(
            merkle.root(self.entries[at * span : (at + 1) * span])
            for at in range(first, first + tile.width)
        )


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = HANG_S
        wbufsize = 64 * 1024

        def do_GET(self) -> None:
            server.asked.append(self.path)
            self._reply(*server.answer(self.path))

        def do_POST(self) -> None:
            status, body = server.answer(self.path)
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if status == 200:
                server.posted.append(content)
            self._reply(status, body)

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def serving(server: Server, port: int = 0) -> Iterator[Server]:
    """Serve on a loopback port until the block ends."""
    listener = ThreadingHTTPServer(("127.0.0.1", port), _handler(server))
    listener.daemon_threads = True
    server.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(
        target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(HANG_S)
