"""The event stream: every log entry from some sequence number on, as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.documents import postings_of
from api.following import Follower, woken
from api.problems import Problem
from api.reads import block_of, head_of, log_from
from ledger.encoding.plain import Plain
from ledger.entries import AutomaticEntry, ClosingEntry, Entry, GenesisEntry, TransactionEntry
from ledger.store.lmdb_store import LmdbReader
from ledger.store.rows import BlockRow
from ledger.transactions import parse

STREAMS_MAX = 100
STREAMS_PER_CLIENT_MAX = 4
BATCH_MAX = 256
"""Entries that one read of the log reads."""
POLL_S = 1
"""How often a stream looks at the store when no commit wakes it."""
KEEP_ALIVE_S = 15
MEDIA_TYPE = "text/event-stream"


class Streams:
    """Counts open event streams, in all and by client."""

    def __init__(self) -> None:
        self._by_client: dict[str, int] = {}
        self.open = 0

    def enter(self, client: str) -> None:
        """Count a stream in; raise Problem too_many_streams."""
        own = self._by_client.get(client, 0)
        if self.open >= STREAMS_MAX or own >= STREAMS_PER_CLIENT_MAX:
            raise Problem(
                "too_many_streams",
                f"at most {STREAMS_PER_CLIENT_MAX} streams a client and {STREAMS_MAX} in all",
                own=own,
                open=self.open,
            )
        self._by_client[client] = own + 1
        self.open += 1

    def leave(self, client: str) -> None:
        """Count a stream out."""
        self.open -= 1
        self._by_client[client] -= 1
        if self._by_client[client] == 0:
            del self._by_client[client]


class EventStream(StreamingResponse):
    """A stream that is counted out however it ends, even before its first byte."""

    media_type = MEDIA_TYPE

    def __init__(self, content: AsyncIterator[bytes], *, streams: Streams, client: str) -> None:
        super().__init__(content, headers={"X-Accel-Buffering": "no"})
        self._streams = streams
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until either side ends the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave(self._client)


async def events(reader: LmdbReader, follower: Follower, first: int) -> AsyncIterator[bytes]:
    """Yield the events of log entries from ``first`` on, for ever, with comments to stay alive."""
    yield b": tallystick\n\n"
    sent_at = monotonic()
    while not follower.stopping:
        commit = follower.next_commit()
        first, text = _batch(reader, first)
        if text:
            yield text
            sent_at = monotonic()
            await asyncio.sleep(0)  # a long backlog must not hold up other requests
            continue
        await woken(commit, POLL_S)
        if monotonic() - sent_at >= KEEP_ALIVE_S:
            yield b": alive\n\n"
            sent_at = monotonic()


def _batch(reader: LmdbReader, first: int) -> tuple[int, bytes]:
    """Return the next events and the sequence number after them."""
    pieces = []
    block: BlockRow | None = None
    with reader.begin() as snapshot:
        if first < head_of(snapshot).log_size:
            for sequence, entry in log_from(snapshot, first, BATCH_MAX):
                if block is None or sequence >= block.log_size:
                    block = block_of(snapshot, sequence)
                pieces.append(_event(sequence, block, entry))
                first = sequence + 1
    return first, b"".join(pieces)


def _event(sequence: int, block: BlockRow, entry: Entry) -> bytes:
    where: dict[str, Plain] = {
        "sequence": sequence,
        "height": block.height,
        "time_ms": block.time_ms,
    }
    match entry:
        case TransactionEntry():
            transaction = parse(entry.signed)
            name = "transaction"
            data = where | {
                "id": transaction.id.hex(),
                "kind": transaction.kind,
                "status": "final",
                "postings": postings_of(entry.postings),
            }
        case AutomaticEntry():
            name = "automatic"
            data = where | {"postings": postings_of(entry.postings)}
        case ClosingEntry():
            name = "block"
            entries = block.log_size - block.first_sequence - 1
            data = where | {"record_hash": block.record_hash.hex(), "entries": entries}
        case GenesisEntry():
            name = "block"
            data = where | {"record_hash": block.record_hash.hex(), "entries": 0}
    return f"id: {sequence}\nevent: {name}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"
