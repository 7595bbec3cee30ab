"""What the port's records say, and the bytes they are."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import msgpack

from ledger.encoding import codec
from ledger.encoding.codec import NotCanonical
from ledger.inadmissible import Expired, WrongLog
from ledger.rules.base import ENVELOPE_BYTES_MAX, Posting
from ledger.rules.refusals import VoucherExhausted
from ledger.status import Busy, TransactionStatus
from node import port
from node.port import (
    COSIGN_BYTES_MAX,
    EVENTS_MAX,
    FRAME_BYTES_MAX,
    Committed,
    Cosign,
    Effect,
    PortClient,
    PortClosed,
    PortServer,
    Request,
    Simulate,
    Submit,
    TextAnswer,
    read_frame,
)

ID = bytes(range(32))
REFUSAL = VoucherExhausted(asked=61, available=60)


def fields(status: TransactionStatus) -> list[object]:
    """Return a status as its bytes hold it, without the id that all of them begin with."""
    data = codec.encode(status)
    assert codec.decode(TransactionStatus, data, 10_000) == status
    first, *rest = msgpack.decode(data, type=list[object])
    assert first == ID
    return rest


def test_a_status_says_what_is_known_of_a_transaction() -> None:
    refused = [REFUSAL.code, REFUSAL.number, str(REFUSAL)]
    values = [["asked", 61], ["available", 60]]
    late = Expired(expires_at_ms=9, time_ms=10)
    times = [["expires_at_ms", 9], ["time_ms", 10]]
    strange = WrongLog(signed_for="00", log_id="01")
    logs = [["signed_for", "00"], ["log_id", "01"]]

    cases = (
        (TransactionStatus.pending(ID, 9), ["pending", "ok", 0, "", [], 9, [], []]),
        (
            TransactionStatus.refused(ID, 9, REFUSAL),
            ["refused", *refused, values, 9, [], []],
        ),
        (TransactionStatus.logged(ID, 9, 7), ["final", "ok", 0, "", [], 9, [7], []]),
        (TransactionStatus.expired(ID, 9), ["expired", "ok", 0, "", [], 9, [], []]),
        (
            TransactionStatus.inadmissible(ID, 9, late),
            ["expired", "expired", 0, str(late), times, 9, [], []],
        ),
        (
            TransactionStatus.inadmissible(ID, 9, strange),
            ["inadmissible", "wrong_log", 0, str(strange), logs, 9, [], []],
        ),
        (TransactionStatus.unknown(ID), ["unknown", "ok", 0, "", [], 0, [], []]),
    )
    for status, expected in cases:
        assert fields(status) == expected


def test_an_effect_is_seven_plain_values_a_posting() -> None:
    burn = Posting(
        kind="burn",
        programme="shanghai.compute",
        serial=3,
        count=1,
        amount=500,
        source="claimed",
        target="redeemed",
    )
    plain = ["burn", "shanghai.compute", 3, 1, 500, "claimed", "redeemed"]
    refused = [8, REFUSAL.code, REFUSAL.number, str(REFUSAL), [["asked", 61], ["available", 60]]]
    strange = WrongLog(signed_for="00", log_id="01")
    logs = [["signed_for", "00"], ["log_id", "01"]]

    for effect, expected in (
        (Effect.holding(8, (burn,)), [8, "ok", 0, "", [], [plain]]),
        (Effect.refused(8, REFUSAL), [*refused, []]),
        (Effect.inadmissible(8, strange), [8, "wrong_log", 0, str(strange), logs, []]),
    ):
        data = codec.encode(effect)
        assert msgpack.decode(data) == expected
        assert codec.decode(Effect, data, 10_000) == effect


def read(data: bytes) -> bytes:
    """Return the frame that some bytes begin with."""

    async def on_loop() -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await read_frame(reader)

    return asyncio.run(on_loop())


def test_a_frame_has_one_byte_or_as_many_as_it_may() -> None:
    for length in (1, FRAME_BYTES_MAX):
        assert read(length.to_bytes(4, "big") + bytes(length)) == bytes(length)
    for length in (0, FRAME_BYTES_MAX + 1):
        with pytest.raises(NotCanonical, match=f"got {length}"):
            read(length.to_bytes(4, "big") + bytes(length))
    with pytest.raises(PortClosed):
        read((2).to_bytes(4, "big") + b"x")


@pytest.mark.parametrize(
    ("make", "longest"),
    [
        (lambda raw: Submit(id=1, raw=raw), ENVELOPE_BYTES_MAX),
        (lambda raw: Simulate(id=1, raw=raw), ENVELOPE_BYTES_MAX),
        (lambda raw: Cosign(id=1, body=raw), COSIGN_BYTES_MAX),
    ],
)
def test_a_request_carries_as_much_as_it_may_and_no_more(
    make: Callable[[bytes], Request], longest: int
) -> None:
    codec.decode(Request, codec.encode(make(bytes(longest))), 2 * FRAME_BYTES_MAX)
    with pytest.raises(NotCanonical):
        codec.decode(Request, codec.encode(make(bytes(longest + 1))), 2 * FRAME_BYTES_MAX)


class Unfinished:
    """A handler that answers a look-up when it is told to, and refuses to be asked for metrics."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def lookup(self, transaction_id: bytes) -> TransactionStatus:
        self.asked += 1
        await self.may_answer.wait()
        return TransactionStatus.unknown(transaction_id)

    async def metrics(self) -> str:
        raise Busy("others ask")


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[tuple[PortServer, Unfinished, PortClient]]:
    """Yield a server, its handler and a client."""
    handler = Unfinished()
    server, client = PortServer(path, cast(Any, handler)), PortClient(path)
    await server.start()
    try:
        yield server, handler, client
    finally:
        await client.close()
        await server.stop()


def test_a_connection_has_so_many_requests_under_way_and_the_others_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "REQUESTS_MAX", 3)

    async def scenario() -> None:
        async with served(tmp_path / "port") as (_, handler, client):
            tasks = [asyncio.create_task(client.lookup(ID)) for _ in range(5)]
            await until(lambda: handler.asked == 3)
            await asyncio.sleep(0.02)
            assert handler.asked == 3
            handler.may_answer.set()
            assert {(await task).status for task in tasks} == {"unknown"}

    asyncio.run(scenario())


def test_a_refusal_and_a_loss_reach_whoever_asked_and_nothing_is_left_behind(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        path = tmp_path / "port"
        with pytest.raises(PortClosed, match="no node at"):
            await PortClient(path).lookup(ID)
        path.write_bytes(b"left by an earlier process")
        async with served(path) as (server, handler, client):
            assert path.stat().st_mode & 0o777 == 0o600
            with pytest.raises(Busy, match="others ask"):
                await client.metrics()
            task = asyncio.create_task(client.lookup(ID))
            await until(lambda: handler.asked == 1)
            given_up = asyncio.create_task(client.lookup(ID))
            await until(lambda: handler.asked == 2)
            given_up.cancel()
            await asyncio.sleep(0.01)
            assert len(client._waiting) == 1
            await server.stop()
            with pytest.raises(PortClosed):
                await task
            assert not path.exists()
            assert client._waiting == {}
            await until(lambda: not server._tasks)
            await server.start()
            handler.may_answer.set()
            assert (await client.lookup(ID)).status == "unknown", "it connects anew"

    asyncio.run(scenario())


HAPPENED = Committed(height=1, time_ms=2, log_size=3)


def test_a_watcher_hears_what_happens_until_the_connection_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path / "port") as (server, _, client):
            events = client.watch()
            first = asyncio.ensure_future(anext(events))
            await until(lambda: bool(server._watchers))
            server.tell(HAPPENED)
            assert await first == HAPPENED
            await server.stop()
            with pytest.raises(PortClosed):
                await anext(events)
            assert client._events == []
            await asyncio.sleep(0)
            left = [task.get_coro() for task in asyncio.all_tasks()]
            assert not [one for one in left if "Queue.get" in repr(one)], "nobody waits any more"
            await until(lambda: not server._watchers)

    asyncio.run(scenario())


class Slow:
    """A watcher's end that holds so many bytes unread."""

    def __init__(self, unread: int) -> None:
        self.transport = self
        self.done: list[str] = []
        self._unread = unread

    def get_write_buffer_size(self) -> int:
        return self._unread

    def close(self) -> None:
        self.done.append("cut off")

    def write(self, _: bytes) -> None:
        self.done.append("told")


def test_a_watcher_that_reads_too_slowly_is_cut_off() -> None:
    longest = EVENTS_MAX * 64
    for unread, done in ((0, "told"), (longest, "told"), (longest + 1, "cut off")):
        server, writer = PortServer(Path("port"), cast(Any, None)), Slow(unread)
        server._watchers[cast(Any, writer)] = None
        server.tell(HAPPENED)
        assert writer.done == [done]


def test_an_answer_that_nobody_waits_for_any_more_hinders_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        client, loop = PortClient(tmp_path / "port"), asyncio.get_running_loop()
        given_up, waited_for = loop.create_future(), loop.create_future()
        given_up.cancel()
        client._waiting.update({7: given_up, 9: waited_for})
        reader, writer = asyncio.StreamReader(), Slow(0)
        for number in (7, 8, 9):
            data = codec.encode(TextAnswer(id=number, text="here"))
            reader.feed_data(len(data).to_bytes(4, "big") + data)
        reader.feed_eof()
        await client._read(reader, cast(Any, writer))
        assert (await waited_for).text == "here"
        assert writer.done == ["cut off"]

    asyncio.run(scenario())
