"""A publisher and a follower by themselves: which lines, which sizes, how often, how long."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ledger.encoding import note
from ledger.status import Busy
from node import heads
from node.heads import (
    RETRY_MAX_S,
    TURNS_MAX,
    HeadFollower,
    Publisher,
    Target,
    size_of,
)
from tests.node.test_heads import (
    NOW_S,
    PARTIES,
    checkpoint_of,
    head_of,
    key_of,
    line_of,
    no_proof,
    signed,
)

HEFEI = Target(name="hefei", key=key_of("hefei"), url="http://hefei.example")


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run something that needs a loop."""

    async def on_loop() -> None:
        await scenario()

    asyncio.run(on_loop())


def publisher_at(folder: Path) -> Publisher:
    """Return a publisher that asks nobody yet."""
    return Publisher(folder / "checkpoint", no_proof, lambda: NOW_S)


def take(publisher: Publisher, size: int, *parties: str, time_s: int = NOW_S) -> list[bool]:
    """Give lines for the head that is being published."""
    head = publisher._head
    assert head is not None
    return [
        publisher._take(
            head,
            key_of(party),
            tuple(note.parse_signatures(line_of(party, checkpoint_of(size), time_s=time_s))),
        )
        for party in parties
    ]


def lines_at(folder: Path) -> int:
    """Return how many lines the published head has, the log's own too."""
    path = folder / "checkpoint"
    return len(note.parse(path.read_bytes()).signatures) if path.exists() else 0


@pytest.mark.parametrize("off_s", [60, -60])
def test_a_line_is_as_far_from_this_clock_as_it_may_be_and_no_further(
    tmp_path: Path, off_s: int
) -> None:
    async def scenario() -> None:
        publisher = publisher_at(tmp_path)
        publisher.publish(head_of(5))
        further = off_s + (1 if off_s > 0 else -1)
        assert take(publisher, 5, "hefei", time_s=NOW_S + further) == [False]
        assert take(publisher, 5, "hefei", time_s=NOW_S + off_s) == [True]
        assert len(publisher._lines) == 2
        await publisher.stop()

    run(scenario)


def test_the_lines_that_come_late_are_written_soon_and_never_under_another_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "LATE_S", 0.01)

    async def scenario() -> None:
        publisher = publisher_at(tmp_path)
        for size in (5, 6):
            publisher.publish(head_of(size))
            take(publisher, size, "guiyang")
            assert size_of(tmp_path / "checkpoint") != size, "two of four are not enough"
            take(publisher, size, "hefei")
            assert (size_of(tmp_path / "checkpoint"), lines_at(tmp_path)) == (size, 4)
            take(publisher, size, "chengdu")
            assert lines_at(tmp_path) == 4, "not at once"
            await asyncio.sleep(0.05)
            assert lines_at(tmp_path) == 5
        take(publisher, 6, "hefei")
        publisher.publish(head_of(7))
        before = (tmp_path / "checkpoint").read_bytes()
        await asyncio.sleep(0.05)
        assert (tmp_path / "checkpoint").read_bytes() == before, "it is given up"
        take(publisher, 7, *PARTIES[:3])
        last = lines_at(tmp_path)
        await publisher.stop()
        await asyncio.sleep(0.05)
        assert lines_at(tmp_path) == last, "it has stopped"

    run(scenario)


def test_a_head_of_the_size_that_was_published_before_is_published_and_a_smaller_one_not(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        (tmp_path / "checkpoint").write_bytes(signed(6))
        for size, count in ((5, 5), (6, 4)):
            publisher = publisher_at(tmp_path)
            publisher.publish(head_of(size))
            take(publisher, size, "guiyang", "hefei")
            assert (size_of(tmp_path / "checkpoint"), lines_at(tmp_path)) == (6, count)
            await publisher.stop()

    run(scenario)


def test_a_line_for_a_head_that_was_given_up_is_not_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        publisher = publisher_at(tmp_path)
        old = head_of(5)
        publisher.publish(old)
        publisher.publish(head_of(6))
        lines = tuple(note.parse_signatures(line_of("hefei", checkpoint_of(5))))
        assert publisher._take(old, key_of("hefei"), lines)
        assert len(publisher._lines) == 1
        others = tuple(note.parse_signatures(line_of("guiyang", checkpoint_of(6))))
        own = tuple(note.parse_signatures(line_of("hefei", checkpoint_of(6))))
        assert take(publisher, 6, "chengdu") == [True]
        head = publisher._head
        assert head is not None
        assert publisher._take(head, key_of("hefei"), (*others, *own))
        place = (key_of("hefei").name, key_of("hefei").id)
        assert publisher._lines[place] == own[0], "its own among several"
        await publisher.stop()

    run(scenario)


class Asked:
    """A cosigner that answers as it is told to."""

    def __init__(self, publisher: Publisher, *answers: tuple[int, bytes]) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []
        publisher._post = self.post  # type: ignore[method-assign]

    async def post(self, target: Target, body: bytes) -> tuple[int, bytes]:
        self.bodies.append(body.split(b"\n")[0])
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


LINE = (200, line_of("hefei", checkpoint_of(5)))


@pytest.mark.parametrize(
    ("begin", "answers", "asked", "end"),
    [
        (0, [LINE], [b"old 0"], 5),
        (5, [LINE], [b"old 5"], 5),
        (6, [LINE], [b"old 0"], 5),
        (0, [(409, b"5\n"), LINE], [b"old 0", b"old 5"], 5),
        (0, [(409, b"6\n"), LINE], [b"old 0"], 6),
        (0, [*[(409, b"3\n")] * (TURNS_MAX - 1), LINE], [b"old 0"] + [b"old 3"] * 7, 5),
    ],
)
def test_a_cosigner_is_met_where_it_is(
    tmp_path: Path, begin: int, answers: list[tuple[int, bytes]], asked: list[bytes], end: int
) -> None:
    async def scenario() -> None:
        publisher = publisher_at(tmp_path)
        one = Asked(publisher, *answers)
        head = head_of(5)
        publisher.publish(head)
        assert await publisher._bring(HEFEI, head, begin) == end
        assert one.bodies == asked
        await publisher.stop()

    run(scenario)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((409, b"3\n"), "it names another size 8 times"),
        ((409, b"three\n"), "it names no size"),
        ((409, b"\xff\n"), "it names no size"),
        ((200, b"junk"), "its lines are malformed"),
        ((200, line_of("hefei", checkpoint_of(9))), "it signed with another key"),
        ((200, line_of("hefei", checkpoint_of(5), time_s=1)), "another time"),
        ((503, b"later\x1b[2J\nmore"), "it answers 503: later"),
    ],
)
def test_why_a_cosigner_does_not_cosign_now(
    tmp_path: Path, answer: tuple[int, bytes], says: str
) -> None:
    async def scenario() -> None:
        publisher = publisher_at(tmp_path)
        Asked(publisher, answer)
        head = head_of(5)
        publisher.publish(head)
        with pytest.raises(heads._NotNow, match=says):
            await publisher._bring(HEFEI, head, 0)
        await publisher.stop()

    run(scenario)


def test_a_node_that_makes_no_proof_now_says_so(tmp_path: Path) -> None:
    async def busy(old_size: int, size: int) -> tuple[bytes, ...]:
        raise Busy("behind")

    async def scenario() -> None:
        publisher = Publisher(tmp_path / "checkpoint", busy, lambda: NOW_S)
        with pytest.raises(heads._NotNow, match="this node makes no proof now: behind"):
            await publisher._bring(HEFEI, head_of(5), 0)
        await publisher.stop()

    run(scenario)


def test_a_pause_doubles_up_to_its_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = list[float]()

    async def never(awaited: Any, seconds: float) -> None:
        awaited.close()
        pauses.append(seconds)
        if len(pauses) > 8:
            raise asyncio.CancelledError
        raise TimeoutError

    async def scenario() -> None:
        publisher = publisher_at(tmp_path)
        Asked(publisher, (503, b""))
        publisher.publish(head_of(5))
        monkeypatch.setattr("node.heads.asyncio.wait_for", never)
        with pytest.raises(asyncio.CancelledError):
            await publisher._serve(HEFEI)
        await publisher.stop()

    run(scenario)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]
    assert RETRY_MAX_S == 30.0


def test_a_head_that_is_cosigned_is_brought_to_nobody_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        publisher = publisher_at(tmp_path)
        one = Asked(publisher, LINE)
        publisher.set_targets((HEFEI,))
        await asyncio.sleep(0.01)
        assert one.bodies == [], "there is no head yet"
        publisher.publish(head_of(5))
        await asyncio.sleep(0.05)
        assert one.bodies == [b"old 0"]
        await publisher.stop()

    run(scenario)


def test_who_is_no_target_any_more_is_asked_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        publisher = publisher_at(tmp_path)
        publisher.set_targets((HEFEI,))
        (task,) = publisher._tasks.values()
        publisher.set_targets((HEFEI,))
        assert list(publisher._tasks.values()) == [task], "it goes on"
        publisher.set_targets(())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert task.cancelled()
        assert publisher._tasks == {}
        await publisher.stop()

    run(scenario)


@pytest.mark.parametrize(("length", "is_taken"), [(16 * 1024, True), (16 * 1024 + 1, False)])
def test_an_answer_may_be_so_long_and_no_longer(
    tmp_path: Path, length: int, is_taken: bool
) -> None:
    async def scenario() -> None:
        publisher = publisher_at(tmp_path)
        await publisher._client.aclose()
        answer = httpx2.MockTransport(lambda _: httpx2.Response(200, content=bytes(length)))
        publisher._client = httpx2.AsyncClient(transport=answer)
        if is_taken:
            assert await publisher._post(HEFEI, b"") == (200, bytes(length))
        else:
            with pytest.raises(heads._NotNow, match="longer than"):
                await publisher._post(HEFEI, b"")
        await publisher.stop()

    run(scenario)


def follower_at(folder: Path, *, is_own: bool = True, busy: bool = False) -> HeadFollower:
    """Return a follower of a log that has every head, or none."""

    async def own(data: bytes) -> tuple[bytes, ...]:
        if busy:
            raise Busy("behind")
        return (data,) if is_own else ()

    return HeadFollower(folder / "checkpoint", own)


def test_one_follower_follows_until_there_is_nobody_to_follow(tmp_path: Path) -> None:
    async def scenario() -> None:
        follower = follower_at(tmp_path)
        follower.set_urls(())
        assert follower._task is None
        follower.set_urls(("http://127.0.0.1:1",))
        task = follower._task
        assert task is not None
        follower.set_urls(("http://127.0.0.1:2",))
        await asyncio.sleep(0)
        assert follower._task is task
        assert not task.cancelling(), "it goes on, elsewhere"
        follower.set_urls(())
        assert follower._task is None
        await asyncio.wait({task})
        assert task.cancelled()
        follower.set_urls(("http://127.0.0.1:1",))
        assert follower._task not in (None, task)
        await follower.stop()

    run(scenario)


def test_what_a_follower_takes_and_why_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "checkpoint"
    fewer = note.Note(
        text=checkpoint_of(6).text(), signatures=note.parse(signed(6)).signatures[:-1]
    ).to_bytes()

    async def scenario() -> None:
        follower = follower_at(tmp_path)
        for data, size, lines in ((signed(6), 6, 5), (fewer, 6, 4), (signed(5), 6, 4)):
            await follower._take(data)
            assert (size_of(path), lines_at(tmp_path)) == (size, lines)
        with monkeypatch.context() as patch:
            patch.setattr(heads, "write_durably", lambda *_: pytest.fail("it stands there"))
            await follower._take(fewer)
            patch.setattr(heads, "write_durably", fails)
            with pytest.raises(heads._NotNow, match="No space"):
                await follower._take(signed(7))
        for stranger, says in (
            (follower_at(tmp_path, is_own=False), "none of this log"),
            (follower_at(tmp_path, busy=True), "behind"),
        ):
            with pytest.raises(heads._NotNow, match=says):
                await stranger._take(signed(7))
            await stranger.stop()
        await follower.stop()

    run(scenario)
    assert size_of(path) == 6


@pytest.mark.parametrize("status", [199, 201, 404])
def test_a_head_that_is_no_answer_is_not_taken(status: int) -> None:
    async def scenario() -> None:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(status))
        async with httpx2.AsyncClient(transport=transport) as client:
            with pytest.raises(heads._NotNow, match=f"a node answers {status}"):
                await heads._get(client, "http://node/log/checkpoint")
        async with httpx2.AsyncClient(
            transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=b"x"))
        ) as client:
            assert await heads._get(client, "http://node/log/checkpoint") == b"x"

    run(scenario)


def test_a_cosigner_that_cannot_be_reached_is_told_without_its_address(tmp_path: Path) -> None:
    async def scenario() -> None:
        publisher = publisher_at(tmp_path)
        nobody = Target(name="nobody", key=key_of("hefei"), url="http://127.0.0.1:1/secret")
        with pytest.raises(heads._NotNow, match="it cannot be reached") as reason:
            await publisher._post(nobody, b"")
        assert "secret" not in str(reason.value)
        await publisher.stop()

    run(scenario)
