"""The event stream: every entry once, in order, from any place on, within its limits."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api import events
from api.events import STREAMS_MAX, STREAMS_PER_CLIENT_MAX, Streams
from api.problems import Problem
from tests import builders
from tests.api.world import World

pytestmark = pytest.mark.anyio

HANG_S = 20


class Reading:
    """Reads the events of a stream one by one."""

    def __init__(self, world: World, first: int) -> None:
        services = world.app.state.services
        self._chunks: AsyncIterator[bytes] = events.events(
            services.reader, services.follower, first
        )
        self._ready: list[dict[str, Any]] = []
        self.comments: list[str] = []

    async def next(self) -> dict[str, Any]:
        """Return the next event: id, event and data."""
        while not self._ready:
            async with asyncio.timeout(HANG_S):
                chunk = await anext(self._chunks)
            for block in chunk.decode().split("\n\n")[:-1]:
                if block.startswith(":"):
                    self.comments.append(block)
                    continue
                fields = dict(line.split(": ", 1) for line in block.splitlines())
                self._ready.append({**fields, "data": json.loads(fields["data"])})
        return self._ready.pop(0)


async def test_a_stream_resumes_after_any_entry_and_misses_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BATCH_MAX", 3)
    log_size = world.chain.ledger.last().log_size
    for first in range(log_size):
        reading = Reading(world, first)
        seen = [await reading.next() for _ in range(first, log_size)]
        assert [int(one["id"]) for one in seen] == list(range(first, log_size))
        assert [one["data"]["sequence"] for one in seen] == list(range(first, log_size))


async def test_a_commit_is_streamed_as_its_entries(world: World) -> None:
    reading = Reading(world, world.chain.ledger.last().log_size)
    following = asyncio.create_task(reading.next())
    await asyncio.sleep(0)
    world.node.commit(builders.mint(("firm-a", 100)), builders.mint(("firm-b", 200)))
    first, second, third = await following, await reading.next(), await reading.next()
    assert [one["event"] for one in (first, second, third)] == [
        "transaction",
        "transaction",
        "block",
    ]
    assert first["data"]["kind"] == "voucher.mint"
    assert first["data"]["status"] == "final"
    assert first["data"]["postings"][0]["amount"] == 100
    head = world.chain.ledger.last()
    assert third["data"] == {
        "sequence": head.log_size - 1,
        "height": head.height,
        "time_ms": head.time_ms,
        "record_hash": head.record_hash.hex(),
        "entries": 2,
    }


async def test_what_expires_by_itself_is_streamed_as_automatic(world: World) -> None:
    world.node.commit(builders.mint(("firm-a", 100)))
    reading = Reading(world, world.chain.ledger.last().log_size)
    world.chain.block(time_ms=builders.NOON_MS + 400 * 86_400_000)
    event = await reading.next()
    assert event["event"] == "automatic"
    assert event["data"]["postings"][0]["target"] == "expired"


async def test_a_silent_stream_is_kept_alive_by_comments(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0)
    monkeypatch.setattr(events, "POLL_S", 0.01)
    reading = Reading(world, world.chain.ledger.last().log_size)
    following = asyncio.create_task(reading.next())
    async with asyncio.timeout(HANG_S):
        while ": alive" not in reading.comments:
            await asyncio.sleep(0.01)
    following.cancel()


async def test_a_commit_that_nobody_announced_is_streamed_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "POLL_S", 0.01)
    await world.lose_node()
    reading = Reading(world, world.chain.ledger.last().log_size)
    following = asyncio.create_task(reading.next())
    await asyncio.sleep(0.02)
    world.chain.block(builders.mint(("firm-a", 100)))
    assert (await following)["event"] == "transaction"


@pytest.mark.parametrize("headers", [{"last-event-id": "999"}, {"last-event-id": "x"}])
async def test_a_place_that_is_not_in_the_log_is_refused(
    world: World, headers: dict[str, str]
) -> None:
    answer = await world.client.get("/v1/events", headers=headers)
    assert answer.status_code == 400
    assert (await world.client.get("/v1/events?after=999")).json()["code"] == "out_of_range"
    assert world.app.state.services.streams.open == 0


async def test_one_client_has_at_most_four_streams() -> None:
    assert STREAMS_PER_CLIENT_MAX == 4
    streams = Streams()
    for _ in range(STREAMS_PER_CLIENT_MAX):
        streams.enter("a")
    with pytest.raises(Problem) as refused:
        streams.enter("a")
    assert refused.value.code == "too_many_streams"
    streams.enter("b")
    streams.leave("a")
    streams.enter("a")


async def test_all_clients_together_have_at_most_a_hundred_streams() -> None:
    assert STREAMS_MAX == 100
    streams = Streams()
    for number in range(STREAMS_MAX):
        streams.enter(str(number))
    with pytest.raises(Problem):
        streams.enter("one more")
    streams.leave("0")
    streams.enter("one more")
    assert streams.open == STREAMS_MAX
