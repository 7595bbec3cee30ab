"""Questions to the host thread and envelopes on their way in: how many at once, and who is told."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import lmdb
import pytest
from msgspec.structs import replace

from engines.failures import Mistake
from engines.seam import PromiseBroken
from ledger.encoding.codec import NotCanonical
from ledger.inadmissible import BadSignature
from ledger.state_tree import DamagedPage
from ledger.status import Busy, TransactionStatus
from ledger.transactions import parse
from node import runtime
from node.inbox import Inbox, Job, ThreadOwned
from node.port import JobFailed
from node.runtime import GATHER_S, HostQuestions, Node, Submissions
from node.scrub import StoreRotten
from node.stopped import read_stop
from node.verifying import Verified
from tests import builders
from tests.node.test_config import config_at

ENVELOPE = builders.enrol("firm-a")


class Host:
    """A host whose jobs run when the test says so; admits everything."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.is_full = False
        self.told: list[Exception] = []

    def put_bulk(self, job: Job) -> bool:
        if not self.is_full:
            self.jobs.append(job)
        return not self.is_full

    def tell(self, error: Exception) -> None:
        self.told.append(error)

    def admit(self, transaction: object) -> TransactionStatus:
        return TransactionStatus.pending(bytes(32), 1)

    async def work(self) -> None:
        """Do what waits, and let the loop hear of it."""
        await asyncio.sleep(0)
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job()
        await asyncio.sleep(0.001)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run something that needs a loop."""

    async def on_loop() -> None:
        await scenario()

    asyncio.run(on_loop())


def test_as_many_questions_of_a_kind_are_under_way_as_may_be_and_the_next_is_told() -> None:
    async def scenario() -> None:
        host = Host()
        questions = HostQuestions(cast(Inbox, host))
        few = [
            asyncio.create_task(questions.ask_few("simulations", 2, lambda: 7)) for _ in range(2)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="other simulations are under way"):
            await questions.ask_few("simulations", 2, lambda: 7)
        other = asyncio.create_task(questions.ask_few("listings", 2, lambda: 8))
        await host.work()
        assert [await one for one in few] == [7, 7]
        assert await other == 8, "of another kind"
        again = asyncio.create_task(questions.ask_few("simulations", 2, lambda: 9))
        await host.work()
        assert await again == 9

    run(scenario)


def test_a_full_inbox_is_told_and_counts_for_nothing() -> None:
    async def scenario() -> None:
        host = Host()
        questions = HostQuestions(cast(Inbox, host))
        host.is_full = True
        for _ in range(3):
            with pytest.raises(Busy, match="behind with its work"):
                await questions.ask_few("simulations", 1, lambda: 7)

    run(scenario)


class Verifying:
    """Verifies when the test says so."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.may_go_on = asyncio.Event()
        self.gives: Verified = parse(ENVELOPE)

    async def verify(self, raws: tuple[bytes, ...]) -> Sequence[Verified]:
        self.batches.append(len(raws))
        await self.may_go_on.wait()
        return [self.gives for _ in raws]


def submissions(host: Host, verifying: Verifying) -> Submissions:
    """Return a way in."""
    as_host = SimpleNamespace(admit=host.admit, jobs=SimpleNamespace(tell=host.tell))
    return Submissions(cast(Inbox, host), cast(Any, verifying), cast(Any, as_host))


def test_as_many_envelopes_wait_as_may_be_and_the_next_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "SUBMISSIONS_MAX", 2)

    async def scenario() -> None:
        host, verifying = Host(), Verifying()
        entry = submissions(host, verifying)
        tasks = [asyncio.create_task(entry.submit(ENVELOPE))]
        while not verifying.batches:
            await asyncio.sleep(0)
        tasks += [asyncio.create_task(entry.submit(ENVELOPE)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="2 envelopes wait to be verified"):
            await entry.submit(ENVELOPE)
        verifying.may_go_on.set()
        while not all(task.done() for task in tasks):
            await host.work()
        assert verifying.batches == [1, 2], "one at a time, and all that waited in one go"
        assert {(await task).status for task in tasks} == {"pending"}

    run(scenario)


def test_who_comes_soon_after_others_waits_a_moment_for_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        host, verifying, slept = Host(), Verifying(), list[float]()
        verifying.may_go_on.set()
        entry = submissions(host, verifying)
        now_s = 100.0
        entry._loop = cast(
            Any,
            SimpleNamespace(
                time=lambda: now_s,
                create_future=asyncio.get_running_loop().create_future,
                create_task=asyncio.get_running_loop().create_task,
                call_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            ),
        )
        sleep = asyncio.sleep

        async def noted(seconds: float) -> None:
            slept.append(seconds)
            await sleep(0)

        for later_s, count in ((0.0, 0), (GATHER_S / 2, 1), (GATHER_S, 1), (2 * GATHER_S, 1)):
            now_s += later_s
            with monkeypatch.context() as patch:
                patch.setattr("node.runtime.asyncio.sleep", noted)
                task = asyncio.create_task(entry.submit(ENVELOPE))
                for _ in range(8):
                    await sleep(0)
            await host.work()
            await task
            assert slept == [GATHER_S] * count
            now_s = float(round(now_s))
            entry._verified_at = now_s

    run(scenario)


@pytest.mark.parametrize(
    ("verified", "expected"),
    [
        (NotCanonical("no"), NotCanonical),
        (Mistake("ours"), JobFailed),
        (BadSignature(), TransactionStatus),
    ],
)
def test_what_an_envelope_is_decides_what_its_sender_hears(
    verified: Verified, expected: type
) -> None:
    async def scenario() -> None:
        entry = submissions(Host(), Verifying())
        assert isinstance(entry._answer(verified), expected)

    run(scenario)


def test_a_host_that_is_behind_is_told_to_all_who_wait() -> None:
    async def scenario() -> None:
        host, verifying = Host(), Verifying()
        host.is_full = True
        verifying.may_go_on.set()
        with pytest.raises(Busy, match="behind with its work"):
            await submissions(host, verifying).submit(ENVELOPE)

    run(scenario)


ENDS: list[tuple[Exception, str]] = [
    (AssertionError("two and two"), "AssertionError: two and two"),
    (OSError(errno.EIO, "the disk"), "OSError: [Errno 5] the disk"),
    (StoreRotten("entry 3"), "the store is damaged: entry 3"),
    (DamagedPage(b"\0"), "state tree is damaged"),
    (PromiseBroken("two blocks of one height", b"both"), "two blocks of one height"),
    (lmdb.CorruptedError("a page"), "CorruptedError: a page"),
    (lmdb.Error("write failed"), "Error: write failed"),
    (lmdb.MapFullError("no room"), ""),
    (OSError(errno.ENOSPC, "the disk"), ""),
    (OSError("no number"), ""),
    (ValueError(errno.EIO), ""),
    (KeyError("a mistake"), ""),
]


@pytest.mark.parametrize(("error", "reason"), ENDS, ids=lambda one: repr(one)[:40])
def test_what_no_restart_mends_is_written_down_and_nothing_else(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    async def scenario() -> None:
        config = SimpleNamespace(stopped=tmp_path / "stopped", folder=tmp_path)
        node = cast(Any, SimpleNamespace(_config=config))
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        finished.set_exception(error)
        Node._host_ended(node, finished)
        assert finished.exception() is error

    run(scenario)
    found = read_stop(tmp_path / "stopped")
    assert (reason in found) if reason else (found == "")
    assert bool(found) == bool(reason)
    assert (tmp_path / "fork.bin").exists() == isinstance(error, PromiseBroken)


@pytest.mark.parametrize(
    ("has_room", "links_take_it", "says"),
    [(True, True, "was read again"), (True, False, "too busy"), (False, True, "too busy")],
)
def test_a_configuration_is_taken_by_host_and_links_or_told_to_be_sent_again(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    has_room: bool,
    links_take_it: bool,
    says: str,
) -> None:
    asked: list[object] = []

    def by_links(config: object) -> bool:
        asked.append(config)
        return links_take_it

    config = config_at(tmp_path)
    node = SimpleNamespace(
        _config=config,
        _thread=ThreadOwned(),
        _inbox=SimpleNamespace(put_urgent=lambda _: has_room),
        _connection=SimpleNamespace(reconfigure=by_links),
    )
    with caplog.at_level("INFO"):
        Node.reconfigure(cast(Any, node), config)
    assert says in caplog.text
    assert "waits for a restart" not in caplog.text
    assert len(asked) == has_room, "links do not go ahead of the host"
    Node.reconfigure(cast(Any, node), replace(config, listen_port=1))
    assert "waits for a restart" in caplog.text
    assert node._config == config


def test_no_more_envelopes_than_512_are_verified_in_one_go() -> None:
    async def scenario() -> None:
        host, verifying = Host(), Verifying()
        verifying.may_go_on.set()
        entry = submissions(host, verifying)
        tasks = [asyncio.create_task(entry.submit(ENVELOPE)) for _ in range(600)]
        while not all(task.done() for task in tasks):
            await host.work()
        assert verifying.batches == [512, 88]

    run(scenario)
