"""The narrow port between a node and its API processes: a Unix socket (spec N8).

Frames are u32be length ‖ canonical MessagePack. The client numbers its requests; answers carry
the number and may come in any order. After ``Watch`` the node also sends ``Committed`` events.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self

from msgspec import Meta

from engines.seam import SeenCommit
from ledger.encoding import codec
from ledger.encoding.codec import Hash, Natural, NotCanonical, Record
from ledger.encoding.note import NOTE_BYTES_MAX
from ledger.inadmissible import Inadmissible
from ledger.rules.base import ENVELOPE_BYTES_MAX, Posting
from ledger.rules.refusals import TransactionRefused
from ledger.status import HOLDS, Busy, Judged, TransactionStatus, Waiting

FRAME_BYTES_MAX = 256 * 1024
COSIGN_BYTES_MAX = NOTE_BYTES_MAX + 4 * 1024
"""Longest request to cosign: a note, and up to 63 hashes in base64."""
REQUESTS_MAX = 1_024
"""Requests of one connection that may be under way at once."""
EVENTS_MAX = 1_024
"""Commit events that may wait for a slow watcher before its connection is closed."""


class PeerStatus(Record, frozen=True):
    """A peer as this node sees it."""

    name: str
    up: bool
    round_trip_us: Natural


class NodeStatus(Record, frozen=True):
    """How a node is."""

    name: str
    network: str
    log_id: Hash
    height: Natural
    time_ms: Natural
    record_hash: Hash
    log_size: Natural
    round: Natural
    step: str
    validating: bool
    pending: Natural
    quorum_age_ms: Natural
    """Time since more than two thirds of the power was last heard or linked."""
    stopped: str
    """Why this node no longer votes; empty while it does."""
    peers: tuple[PeerStatus, ...]
    commits: tuple[SeenCommit, ...]


class Effect(Record, frozen=True):
    """What a simulated transaction would do, at the height it was simulated on."""

    height: Natural
    code: str
    number: Natural
    sentence: str
    values: tuple[tuple[str, int | str], ...]
    postings: tuple[Posting, ...]

    @classmethod
    def holding(cls, height: int, postings: tuple[Posting, ...]) -> Self:
        """Return that of a transaction which every rule lets stand."""
        return cls._of(height, HOLDS, postings)

    @classmethod
    def refused(cls, height: int, refusal: TransactionRefused) -> Self:
        """Return that of a transaction which a rule refuses."""
        return cls._of(height, Judged.refused(refusal))

    @classmethod
    def inadmissible(cls, height: int, error: Inadmissible) -> Self:
        """Return that of a transaction that no block can hold."""
        return cls._of(height, Judged.inadmissible(error))

    @classmethod
    def _of(cls, height: int, judged: Judged, postings: tuple[Posting, ...] = ()) -> Self:
        return cls(
            height=height,
            code=judged.code,
            number=judged.number,
            sentence=judged.sentence,
            values=judged.values,
            postings=postings,
        )


class Committed(Record, frozen=True, tag="committed"):
    """A block became durable."""

    height: Natural
    time_ms: Natural
    log_size: Natural


class Refused(Record, frozen=True, tag="refused"):
    """A rule refuses a pending transaction of this node's own client, which is dropped."""

    status: TransactionStatus


class Submit(Record, frozen=True, tag="submit"):
    """Take in an envelope."""

    id: Natural
    raw: Annotated[bytes, Meta(max_length=ENVELOPE_BYTES_MAX)]


class Simulate(Record, frozen=True, tag="simulate"):
    """Say what an envelope would do now; signatures need not verify."""

    id: Natural
    raw: Annotated[bytes, Meta(max_length=ENVELOPE_BYTES_MAX)]


class Lookup(Record, frozen=True, tag="lookup"):
    """Say what is known of a transaction that is not in the log."""

    id: Natural
    transaction_id: Hash


class ListWaiting(Record, frozen=True, tag="list_waiting"):
    """Say what waits on this node."""

    id: Natural
    after: Natural
    """An arrival: list what came in later."""
    limit: Natural


class Status(Record, frozen=True, tag="status"):
    """Say how the node is."""

    id: Natural


class Metrics(Record, frozen=True, tag="metrics"):
    """Return the metrics page."""

    id: Natural


class Watch(Record, frozen=True, tag="watch"):
    """Send events from now on: commits, and pending transactions that a rule refuses."""

    id: Natural


class Cosign(Record, frozen=True, tag="cosign"):
    """Cosign a head of the log (Y11.2)."""

    id: Natural
    body: Annotated[bytes, Meta(max_length=COSIGN_BYTES_MAX)]


Request = Submit | Simulate | Lookup | ListWaiting | Status | Metrics | Watch | Cosign


class TransactionAnswer(Record, frozen=True, tag="transaction"):
    """Answers Submit and Lookup."""

    id: Natural
    status: TransactionStatus


class WaitingAnswer(Record, frozen=True, tag="waiting"):
    """Answers ListWaiting: a page, in the order of arrival."""

    id: Natural
    transactions: tuple[Waiting, ...]


class EffectAnswer(Record, frozen=True, tag="effect"):
    """Answers Simulate."""

    id: Natural
    effect: Effect


class StatusAnswer(Record, frozen=True, tag="node"):
    """Answers Status."""

    id: Natural
    status: NodeStatus


class CosignAnswer(Record, frozen=True, tag="cosigned"):
    """Answers Cosign, in the words of HTTP."""

    id: Natural
    status: Natural
    text: str


class TextAnswer(Record, frozen=True, tag="text"):
    """Answers Metrics, and Watch with an empty text."""

    id: Natural
    text: str


class Failure(Record, frozen=True, tag="failure"):
    """The request was not understood, the node is too busy to take it, or it broke off."""

    id: Natural
    code: Literal["malformed", "busy", "failed"]
    sentence: str


PortEvent = Committed | Refused
Reply = TransactionAnswer | WaitingAnswer | EffectAnswer | StatusAnswer | CosignAnswer | TextAnswer
Answer = Reply | Failure | PortEvent


class PortHandler(Protocol):
    """What a node does for its API processes."""

    async def submit(self, raw: bytes) -> TransactionStatus:
        """Take in an envelope; raise Busy if there is no room."""

    async def simulate(self, raw: bytes) -> Effect:
        """Say what an envelope would do; raise NotCanonical."""

    async def lookup(self, transaction_id: bytes) -> TransactionStatus:
        """Say what is known of a transaction outside the log."""

    async def waiting(self, after: int, limit: int) -> tuple[Waiting, ...]:
        """Say what waits here and came in after an arrival; raise Busy if others ask."""

    async def status(self) -> NodeStatus:
        """Say how the node is."""

    async def metrics(self) -> str:
        """Return the metrics page."""

    async def cosign(self, body: bytes) -> tuple[int, str]:
        """Answer a request to cosign with a status of HTTP and its text; raise Busy."""


class JobFailed(Exception):
    """A question broke off in the node: a mistake of ours, which its log tells of."""


class PortClosed(ConnectionError):
    """The node cannot be reached through its port."""


_FAILURES: dict[str, type[Exception]] = {
    "malformed": NotCanonical,
    "busy": Busy,
    "failed": JobFailed,
}


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the next frame; raise PortClosed or NotCanonical."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if not 0 < length <= FRAME_BYTES_MAX:
            raise NotCanonical(f"expected a frame of 1 to {FRAME_BYTES_MAX} bytes, got {length}")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise PortClosed("the port was closed") from error


def write_frame(writer: asyncio.StreamWriter, message: Record) -> None:
    """Queue a frame for sending."""
    data = codec.encode(message)
    writer.write(len(data).to_bytes(4, "big") + data)


class PortServer:
    """Serves a node's handler on a Unix socket."""

    def __init__(self, path: Path, handler: PortHandler) -> None:
        self._path = path
        self._handler = handler
        self._watchers: dict[asyncio.StreamWriter, None] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a socket file left by an earlier process is replaced."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path=str(self._path))
        self._path.chmod(0o600)

    def tell(self, event: PortEvent) -> None:
        """Tell every watcher; one that reads too slowly is cut off and will ask again."""
        for writer in list(self._watchers):
            if writer.transport.get_write_buffer_size() > EVENTS_MAX * 64:
                writer.close()
                continue
            write_frame(writer, event)

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for writer in list(self._watchers):
            writer.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        slots = asyncio.Semaphore(REQUESTS_MAX)
        own = asyncio.current_task()
        assert own is not None
        self._tasks.add(own)
        try:
            while True:
                frame = await read_frame(reader)
                request: Request = codec.decode(Request, frame, FRAME_BYTES_MAX)
                await slots.acquire()
                task = asyncio.create_task(self._answer(request, writer, slots))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except (PortClosed, NotCanonical, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(own)
            self._watchers.pop(writer, None)
            writer.close()

    async def _answer(
        self, request: Request, writer: asyncio.StreamWriter, slots: asyncio.Semaphore
    ) -> None:
        try:
            answer = await self._handle(request, writer)
        except NotCanonical as error:
            answer = Failure(id=request.id, code="malformed", sentence=str(error))
        except Busy as error:
            answer = Failure(id=request.id, code="busy", sentence=str(error))
        except JobFailed as error:
            answer = Failure(id=request.id, code="failed", sentence=str(error))
        finally:
            slots.release()
        if not writer.is_closing():
            write_frame(writer, answer)

    async def _handle(self, request: Request, writer: asyncio.StreamWriter) -> Answer:
        match request:
            case Submit():
                status = await self._handler.submit(request.raw)
                return TransactionAnswer(id=request.id, status=status)
            case Simulate():
                effect = await self._handler.simulate(request.raw)
                return EffectAnswer(id=request.id, effect=effect)
            case Lookup():
                status = await self._handler.lookup(request.transaction_id)
                return TransactionAnswer(id=request.id, status=status)
            case ListWaiting():
                page = await self._handler.waiting(request.after, request.limit)
                return WaitingAnswer(id=request.id, transactions=page)
            case Status():
                return StatusAnswer(id=request.id, status=await self._handler.status())
            case Metrics():
                return TextAnswer(id=request.id, text=await self._handler.metrics())
            case Cosign():
                code, text = await self._handler.cosign(request.body)
                return CosignAnswer(id=request.id, status=code, text=text)
            case Watch():
                self._watchers[writer] = None
                return TextAnswer(id=request.id, text="")


class PortClient:
    """An API process's end of the port; reconnects when asked again after a loss."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._next = 0
        self._events: list[Callable[[PortEvent], None]] = []
        self._reader_task: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def submit(self, raw: bytes) -> TransactionStatus:
        """Hand an envelope in; raise NotCanonical, Busy or PortClosed."""
        answer = await self._ask(lambda number: Submit(id=number, raw=raw))
        assert isinstance(answer, TransactionAnswer)
        return answer.status

    async def simulate(self, raw: bytes) -> Effect:
        """Ask what an envelope would do; raise NotCanonical, Busy or PortClosed."""
        answer = await self._ask(lambda number: Simulate(id=number, raw=raw))
        assert isinstance(answer, EffectAnswer)
        return answer.effect

    async def lookup(self, transaction_id: bytes) -> TransactionStatus:
        """Ask what the node knows of a transaction outside the log."""
        answer = await self._ask(lambda number: Lookup(id=number, transaction_id=transaction_id))
        assert isinstance(answer, TransactionAnswer)
        return answer.status

    async def waiting(self, after: int, limit: int) -> tuple[Waiting, ...]:
        """Ask what waits on the node and came in after an arrival."""
        answer = await self._ask(lambda number: ListWaiting(id=number, after=after, limit=limit))
        assert isinstance(answer, WaitingAnswer)
        return answer.transactions

    async def status(self) -> NodeStatus:
        """Ask how the node is."""
        answer = await self._ask(lambda number: Status(id=number))
        assert isinstance(answer, StatusAnswer)
        return answer.status

    async def metrics(self) -> str:
        """Ask for the metrics page."""
        answer = await self._ask(lambda number: Metrics(id=number))
        assert isinstance(answer, TextAnswer)
        return answer.text

    async def cosign(self, body: bytes) -> tuple[int, str]:
        """Ask to cosign a head; return a status of HTTP and its text; raise Busy or PortClosed."""
        answer = await self._ask(lambda number: Cosign(id=number, body=body))
        assert isinstance(answer, CosignAnswer)
        return answer.status, answer.text

    async def watch(self) -> AsyncIterator[PortEvent]:
        """Yield events until the connection is lost (then raise PortClosed).

        A watcher that is slow misses the oldest: what matters can be asked for.
        """
        queue: asyncio.Queue[PortEvent | None] = asyncio.Queue(EVENTS_MAX)

        def deliver(event: PortEvent) -> None:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

        self._events.append(deliver)
        try:
            await self._ask(lambda number: Watch(id=number))
            while True:
                getter = asyncio.ensure_future(queue.get())
                assert self._reader_task is not None
                await asyncio.wait({getter, self._reader_task}, return_when=asyncio.FIRST_COMPLETED)
                if not getter.done():
                    getter.cancel()
                    raise PortClosed("the port was closed")
                event = getter.result()
                assert event is not None
                yield event
        finally:
            self._events.remove(deliver)

    async def close(self) -> None:
        """Close the connection."""
        if self._reader_task is not None:
            self._reader_task.cancel()
        if self._writer is not None:
            self._writer.close()

    async def _ask(self, make: Callable[[int], Request]) -> Answer:
        writer = await self._connected()
        self._next += 1
        number = self._next
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            write_frame(writer, make(number))
            answer = await future
        finally:
            self._waiting.pop(number, None)
        if isinstance(answer, Failure):
            raise _FAILURES[answer.code](answer.sentence)
        return answer

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
            except OSError as error:
                raise PortClosed(f"no node at {self._path}") from error
            self._writer = writer
            self._reader_task = asyncio.create_task(self._read(reader, writer))
            return writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                answer: Answer = codec.decode(Answer, await read_frame(reader), FRAME_BYTES_MAX)
                if isinstance(answer, PortEvent):
                    for deliver in self._events:
                        deliver(answer)
                    continue
                future = self._waiting.get(answer.id)
                if future is not None and not future.done():
                    future.set_result(answer)
        except (PortClosed, NotCanonical) as error:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(PortClosed(str(error)))
        finally:
            writer.close()
