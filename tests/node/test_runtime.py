"""A whole node in this process: what it remembers, when it pauses, what it reads again."""

import asyncio
import errno
import json
import logging
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from engines.builtin.membership import WrongParty
from engines.builtin.mesh import CLOCK_OFFSET_MAX_MS, Mesh
from engines.builtin.p2p.frames import Channel, PeerFault
from engines.builtin.signer import open_signer
from ledger.encoding.codec import NotCanonical
from ledger.encoding.crypto import public_key
from ledger.inadmissible import Inadmissible
from ledger.rules.base import ENVELOPE_BYTES_MAX
from ledger.status import Busy, TransactionStatus, Waiting
from localnet.facts import load_facts, member_plans
from localnet.network import LocalNetwork, free_ports
from node import host_side
from node.__main__ import read_again
from node.build import load_keys, start_node
from node.config import ConfigInvalid, ObserverConfig, config_text, load_config
from node.port import JobFailed, PortClient
from node.runtime import Node
from node.scrub import StoreRotten
from node.stopped import forget_stop, read_stop, remember_stop
from node.verifying import Verified
from tests import builders
from tests.ledger.test_store_readers import DIES_WHILE_IT_READS, ROOT

HANG_GUARD_S = 20
ENVELOPE = builders.enrol("firm-a")
CITIES = ("shanghai", "guiyang")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of Shanghai's node, which validates alone; Guiyang is a member."""
    plans = [plan for plan in member_plans(load_facts()) if plan.party in CITIES]
    network = LocalNetwork.create(
        tmp_path / "net", name="dev-test", plans=plans, validators=CITIES[:1], heartbeat_ms=1_000
    )
    network.places["shanghai"].link_port = free_ports(1)[0]
    network.write_configs()
    return network.folder / "shanghai"


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Node]:
    """Yield a running node; stop it afterwards."""
    async with asyncio.timeout(HANG_GUARD_S):
        node = await start_node(load_config(folder / "node.toml"))
        try:
            yield node
        finally:
            await node.stop()


def mesh_of(node: Node) -> Mesh:
    """Return the half of the built-in engine that has the links."""
    assert isinstance(node._connection, Mesh)
    return node._connection


def pause(node: Node, cause: str, reason: str) -> None:
    """Pause voting, or end that; on the host thread."""
    node._host._engine.pause_voting(cause, reason)


async def until_stopped(node: Node, words: str) -> None:
    """Wait until a node says that it does not vote, in these words; empty if it votes."""
    while words not in (found := (await node.status()).stopped) or bool(words) != bool(found):
        await asyncio.sleep(0.02)


def test_a_node_that_stopped_voting_follows_after_a_restart_until_it_is_resumed(
    folder: Path,
) -> None:
    stopped = load_config(folder / "node.toml").stopped

    async def scenario() -> None:
        async with running(folder) as node:
            assert (await node.status()).validating
            assert node._inbox.put_urgent(
                lambda: node._host._engine.stop_voting("two nodes, one key")
            )
            while not read_stop(stopped):
                await asyncio.sleep(0.01)
        assert read_stop(stopped) == "two nodes, one key"
        async with running(folder) as node:
            status = await node.status()
            assert not status.validating
            assert status.stopped.startswith("two nodes, one key")
            height = status.height
        async with running(folder) as node:
            assert (await node.status()).height == height, "nobody else votes here"
            assert read_stop(stopped) == "two nodes, one key", "not written again, longer each time"
        forget_stop(stopped)
        async with running(folder) as node:
            while (await node.status()).height <= height:
                await asyncio.sleep(0.02)
            assert (await node.status()).validating

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "is_remembered"),
    [
        (AssertionError("the sums differ"), True),
        (StoreRotten("entry 5 is missing"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_what_no_restart_mends_is_remembered(
    folder: Path, error: Exception, is_remembered: bool
) -> None:
    def job() -> None:
        raise error

    async def scenario() -> None:
        async with running(folder) as node:
            node._inbox.put_urgent(job)
            await asyncio.wait([node.finished])

    with pytest.raises(type(error)):
        asyncio.run(scenario())
    reason = read_stop(load_config(folder / "node.toml").stopped)
    assert (str(error.args[-1]) in reason, bool(reason)) == (is_remembered, is_remembered)
    assert "('" not in reason, "words, no Python"


class OddFailure(Exception):
    """Nobody has heard of it."""


MISTAKES = (
    *(KeyError("a kind"), IndexError("1"), TypeError("a type"), ValueError("a value")),
    *(AttributeError("a field"), ZeroDivisionError("0"), RecursionError("deep")),
    *(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bytes"), StopIteration(1), OddFailure("odd")),
    *(NotCanonical("bytes"), Inadmissible("bad_signature", "no"), PeerFault("a lie"), Busy("full")),
)
"""What a job may raise, by a mistake of ours or of whoever sent the bytes: no broken invariant."""


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: type(one).__name__)
def test_no_job_ends_the_host_thread_but_one_that_breaks_an_invariant(
    folder: Path, mistake: Exception
) -> None:
    def job() -> None:
        raise mistake

    async def scenario() -> None:
        async with running(folder) as node:
            assert node._inbox.put_urgent(job) and node._inbox.put_bulk(job)
            mesh_of(node).inflow.engine.on_message = lambda *_: job()  # type: ignore[method-assign]
            mesh_of(node)._on_message("guiyang", Channel.VOTE, b"")
            node._host._timers.after(0, job)
            with pytest.raises((JobFailed, NotCanonical, Busy)):
                await node._questions.ask(job)
            assert (await node.status()).stopped == ""
            assert "tallystick_failed_jobs_total 0.0" not in await node.metrics()

    asyncio.run(scenario())


QUESTIONS = ("submit", "simulate", "lookup", "waiting", "cosign", "status", "metrics")


def test_a_page_of_what_waits_is_as_long_as_asked_and_as_an_answer_can_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def five(after: int) -> Iterator[Waiting]:
        for arrival in range(after + 1, 6):
            status = TransactionStatus.pending(bytes(32), 1)
            yield Waiting(arrival=arrival, raw=bytes(ENVELOPE_BYTES_MAX), status=status)

    async def scenario() -> None:
        async with running(folder) as node:
            client = PortClient(load_config(folder / "node.toml").port_socket)
            monkeypatch.setattr(node._host._engine, "waiting", five)
            found = {
                asked: [one.arrival for one in await client.waiting(*asked)]
                for asked in ((0, 500), (0, 1), (4, 500), (5, 500))
            }
            assert found == {(0, 500): [1, 2], (0, 1): [1], (4, 500): [5], (5, 500): []}
            await client.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_that_breaks_off_is_answered_and_the_node_goes_on(
    folder: Path, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a kind that only a newer version of the rules knows")

    inside = {"submit": "admit", "metrics": "metrics_page"}.get(question, question)
    arguments: dict[str, tuple[object, ...]] = {
        "submit": (ENVELOPE,),
        "simulate": (ENVELOPE,),
        "lookup": (bytes(32),),
    }
    arguments |= {"cosign": (b"",), "waiting": (0, 10)}

    async def scenario() -> None:
        async with running(folder) as node:
            with monkeypatch.context() as patch:
                patch.setattr(node._host, inside, broken)
                with pytest.raises(JobFailed, match="an error of its own"):
                    await getattr(node, question)(*arguments.get(question, ()))
            assert (await node.status()).validating

    asyncio.run(scenario())


def test_envelopes_that_cannot_be_verified_are_answered_and_the_next_ones_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def exhausted(raws: tuple[bytes, ...]) -> Sequence[Verified]:
        raise MemoryError

    async def scenario() -> None:
        async with running(folder) as node:
            with monkeypatch.context() as patch:
                patch.setattr(node._verifiers, "verify", exhausted)
                asked = [asyncio.create_task(node.submit(ENVELOPE)) for _ in range(3)]
                answers = await asyncio.wait_for(
                    asyncio.gather(*asked, return_exceptions=True), HANG_GUARD_S
                )
            assert [type(answer) for answer in answers] == [JobFailed] * 3
            assert (await node.submit(ENVELOPE)).status != "unknown"

    asyncio.run(scenario())


def test_a_node_whose_host_ends_at_the_start_gives_everything_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(folder / "node.toml")

    async def scenario() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(host_side.HostSide, "_work", lambda _: 1 // 0)
            patch.setattr(host_side.Housekeeping, "start", lambda _: Path("/no/where").stat())
            async with asyncio.timeout(HANG_GUARD_S):
                with pytest.raises(FileNotFoundError):
                    await start_node(config)
        async with running(folder) as node:
            assert (await node.status()).validating, "neither store nor signer is held"

    asyncio.run(scenario())


def test_a_mistake_is_told_in_full_once_a_minute_and_counted_each_time(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def job() -> None:
        raise KeyError("a mistake")

    async def scenario() -> None:
        async with running(folder) as node:
            for _ in range(5):
                assert node._inbox.put_bulk(job)
            assert "tallystick_failed_jobs_total 5.0" in await node.metrics()

    asyncio.run(scenario())
    assert caplog.text.count("a job of the host broke off") == 1


def test_over_the_port_a_question_that_breaks_off_is_no_silence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(folder) as node:
            client = PortClient(load_config(folder / "node.toml").port_socket)
            with monkeypatch.context() as patch:
                patch.setattr(node._host, "lookup", lambda _: 1 // 0)
                with pytest.raises(JobFailed):
                    await client.lookup(bytes(32))
            assert (await client.lookup(bytes(32))).status == "unknown"
            await client.close()

    asyncio.run(scenario())


def test_each_half_of_a_node_refuses_the_others_thread(folder: Path) -> None:
    async def scenario() -> None:
        async with running(folder) as node:
            with pytest.raises(AssertionError, match="another thread"):
                node._host.lookup(bytes(32))

            def from_the_host() -> None:
                node.reconfigure(node._config)

            with pytest.raises(AssertionError, match="another thread"):
                await asyncio.get_running_loop().run_in_executor(None, from_the_host)

    asyncio.run(scenario())


def test_the_first_reason_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "stopped"
    assert read_stop(path) == ""
    remember_stop(path, "first")
    remember_stop(path, "second")
    assert read_stop(path) == "first"
    path.write_bytes(b"")
    assert read_stop(path), "an empty file stops the node, too"
    forget_stop(path)
    assert read_stop(path) == ""


def test_voting_pauses_while_the_clock_is_off_and_goes_on_by_itself(folder: Path) -> None:
    async def scenario() -> None:
        async with running(folder) as node:
            links = mesh_of(node).network.links
            assert links is not None
            asked: list[int] = []

            def offset_of_the_day(among: object = None) -> int:
                asked.append(offset_ms)
                return offset_ms

            offset_ms = CLOCK_OFFSET_MAX_MS
            links.clock_offset_ms = offset_of_the_day  # type: ignore[method-assign]
            while not asked:
                await asyncio.sleep(0.02)
            assert not mesh_of(node)._clock_is_off, "so much is allowed"
            offset_ms = -CLOCK_OFFSET_MAX_MS - 1
            await until_stopped(node, "clocks are -2001 ms ahead")
            offset_ms = 0
            await until_stopped(node, "")
        assert read_stop(load_config(folder / "node.toml").stopped) == "", "a pause passes"

    asyncio.run(scenario())


def test_two_causes_must_both_pass(folder: Path) -> None:
    async def scenario() -> None:
        async with running(folder) as node:
            for cause, reason, says in (
                ("disk", "little space", "little space"),
                ("clock", "wrong time", "little space; wrong time"),
                ("disk", "", "wrong time"),
                ("clock", "", ""),
            ):
                node._inbox.put_urgent(lambda c=cause, r=reason: pause(node, c, r))  # type: ignore[misc]
                await until_stopped(node, says)

    asyncio.run(scenario())


def test_a_configuration_that_cannot_be_used_changes_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder / "node.toml"
    good = path.read_text()
    observer = ObserverConfig(name="eve", link_key=public_key(bytes(32)))

    async def scenario() -> None:
        async with running(folder) as node:
            links = mesh_of(node).network.links
            assert links is not None and links.status() == ()
            config = replace(load_config(path), observers=(observer,))
            path.write_text(config_text(config))
            read_again(path, node)
            while not links.status():
                await asyncio.sleep(0.01)
            path.write_text("[[observers]]\n" + good)
            with caplog.at_level(logging.ERROR):
                read_again(path, node)
            assert "the configuration in force stays" in caplog.text
            path.unlink()
            read_again(path, node)
            await asyncio.sleep(0.05)
            assert [status.name for status in links.status()] == ["eve"]

    asyncio.run(scenario())


def test_a_node_whose_party_the_ledger_does_not_know_follows(folder: Path) -> None:
    path = folder / "node.toml"
    path.write_text(path.read_text().replace('party = "shanghai"', 'party = "newcomer"'))
    keys = folder / "node-keys.json"
    seeds = {
        name: bytes.fromhex(seed)[::-1].hex() for name, seed in json.loads(keys.read_text()).items()
    }
    keys.write_text(json.dumps(seeds))
    (folder / "signer").unlink()  # of the keys before

    async def scenario() -> None:
        async with running(folder) as node:
            status = await node.status()
            assert (status.name, status.validating, status.stopped) == ("newcomer", False, "")

    asyncio.run(scenario())


def test_a_node_does_not_start_with_the_consensus_key_of_another_party(folder: Path) -> None:
    path = folder / "node.toml"
    path.write_text(path.read_text().replace('party = "shanghai"', 'party = "guiyang"'))

    async def scenario() -> None:
        with pytest.raises(WrongParty, match="shanghai's, not guiyang's"):
            async with running(folder):
                pass

    asyncio.run(scenario())


def test_a_port_that_is_taken_ends_the_start_with_a_sentence(folder: Path) -> None:
    config = load_config(folder / "node.toml")
    port = config.listen_port

    async def scenario() -> None:
        async with asyncio.timeout(HANG_GUARD_S):
            with pytest.raises(ConfigInvalid, match=rf"can't listen at 127\.0\.0\.1, port {port}"):
                await start_node(config)

    with socket.create_server(("127.0.0.1", port)):
        asyncio.run(scenario())
    seed = load_keys(config.keys)["consensus"]
    open_signer(config.signer, seed).close()  # nobody holds it: the host has ended, too


def test_a_network_that_paused_together_goes_on(folder: Path) -> None:
    async def scenario() -> None:
        async with running(folder) as node:
            node._inbox.put_urgent(lambda: pause(node, "clock", "the clock is off"))
            await until_stopped(node, "the clock is off")
            height = (await node.status()).height
            await asyncio.sleep(2.5)  # over a heartbeat: its votes are kept back
            assert (await node.status()).height == height
            node._inbox.put_urgent(lambda: pause(node, "clock", ""))
            await until_stopped(node, "")
            while (await node.status()).height == height:
                await asyncio.sleep(0.1)

    asyncio.run(scenario())


def test_the_slot_of_a_reader_that_died_is_freed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_side, "READERS_EVERY_MS", 50)

    async def scenario() -> None:
        async with running(folder) as node:
            command = [sys.executable, "-c", DIES_WHILE_IT_READS, str(folder / "store")]
            reader = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
            assert await reader.wait() == 3
            while f" {reader.pid} " in node._host._store._environment.readers():
                await asyncio.sleep(0.02)

    asyncio.run(scenario())


def test_a_root_that_a_block_waited_for_is_measured(folder: Path) -> None:
    async def scenario() -> None:
        async with running(folder) as node:
            while "tallystick_state_root_seconds_count 1.0" not in (page := await node.metrics()):
                await asyncio.sleep(0.02)
            assert 'tallystick_state_root_seconds_bucket{le="+Inf"} 1.0' in page

    asyncio.run(scenario())


def test_what_validators_say_is_heard_before_what_observers_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, heard = threading.Event(), list[str]()

    def wait() -> None:
        gate.wait(HANG_GUARD_S)

    async def scenario() -> None:
        async with running(folder) as node:
            mesh = mesh_of(node)
            engine = mesh.inflow.engine
            monkeypatch.setattr(engine, "on_message", lambda peer, *_: heard.append(peer))
            node._inbox.put_urgent(wait)
            for peer in ("guiyang", "guiyang", "shanghai"):
                mesh._on_message(peer, Channel.VOTE, b"")
            gate.set()
            while len(heard) < 3:
                await asyncio.sleep(0.02)

    asyncio.run(scenario())
    assert heard == ["shanghai", "guiyang", "guiyang"]
