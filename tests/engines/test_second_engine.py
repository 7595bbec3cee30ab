"""A node runs on an engine that shares nothing with the built-in one: only the seam is between."""

import ast
import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit.replay import Level
from audit.sources import NodeStore
from audit.verdicts import Tampered
from engines import families
from ledger.genesis import log_id_of
from ledger.store.lmdb_store import LmdbStore
from ledger.trust import origin_of
from node.clock import SystemClock
from node.config import NodeConfig
from node.cosigner import Cosigner
from node.log_keeper import LogKeeper
from node.port import PortClient
from node.runtime import Node
from node.scrub import Scrub
from node.stopped import remember_stop
from tests import builders
from tests.audit.conftest import audited
from tests.engines import solo
from tests.engines.solo import Solo, SoloCommits

HANG_GUARD_S = 20
HOUR_MS = 3_600_000
GENESIS = builders.genesis()


@pytest.fixture(autouse=True)
def family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a log begin under the second engine, and take the first one's name away."""
    monkeypatch.setattr(families, "FIRST_ENGINE", solo.NAME)
    monkeypatch.setattr(families, "FAMILIES", {solo.NAME: SoloCommits()})


@dataclass(frozen=True)
class Place:
    config: NodeConfig

    @property
    def store(self) -> Path:
        return self.config.store


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "shanghai"
    folder.mkdir()
    return Place(
        NodeConfig(
            party="shanghai",
            folder=folder,
            listen_host="127.0.0.1",
            listen_port=0,
            peers=(),
            links_per_address_max=2,
            map_bytes=1 << 28,
        )
    )


@asynccontextmanager
async def running(place: Place, kind: Solo) -> AsyncIterator[PortClient]:
    """Yield a client of a node on the second engine."""
    config, clock = place.config, SystemClock()
    async with asyncio.timeout(HANG_GUARD_S):
        node = Node(
            config,
            genesis=GENESIS,
            network="dev-test",
            kind=kind,
            log_keeper=LogKeeper(
                config,
                cosigner=Cosigner(
                    origin=origin_of("dev-test", log_id_of(GENESIS)),
                    party=config.party,
                    seeds=[builders.seed("shanghai", "cosigner")],
                    path=config.cosigned,
                ),
                log_seeds=(builders.seed("shanghai", "log"),),
            ),
            clock=clock,
        )
        await node.start()
        client = PortClient(config.port_socket)
        try:
            yield client
        finally:
            await client.close()
            await node.stop()


def work() -> list[bytes]:
    """Return what a firm needs for a voucher, and a transfer that must be refused."""
    late = SystemClock().wall_ms() + HOUR_MS
    return [
        builders.enrol("firm-a", expires_at=late),
        builders.publish(expires_at=late),
        builders.appropriate(expires_at=late),
    ]


async def submitted(client: PortClient, raws: list[bytes]) -> int:
    """Hand envelopes in one after the other; return the height when the last one is logged."""
    for raw in raws:
        before = (await client.status()).height
        answer = await client.submit(raw)
        assert answer.status in ("pending", "unknown", "final"), answer
        while (status := await client.status()).height == before:
            await asyncio.sleep(0.01)
    return status.height


def test_the_second_engine_and_its_family_name_nothing_of_the_first() -> None:
    source = Path(solo.__file__).read_text(encoding="utf-8")
    imported = [
        node.module or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
    ]
    assert any(module.startswith("engines") for module in imported)
    assert not [name for name in imported if name.startswith(("engines.builtin", "consensus"))]
    assert "builtin" not in source


def test_a_node_commits_restarts_and_goes_on(place: Place) -> None:
    async def scenario() -> None:
        kind = Solo()
        async with running(place, kind) as client:
            assert kind.connection.started
            raws = work()
            assert await submitted(client, raws) == 3
            assert (await client.submit(raws[0])).status == "final", "asked again, told again"
            status = await client.status()
            assert (status.step, status.validating) == ("alone", True)
            assert [commit.signers for commit in status.commits[:3]] == [(solo.KEY,)] * 3
        assert not kind.connection.started
        async with running(place, Solo()) as client:
            assert (await client.status()).height >= 3
            late = SystemClock().wall_ms() + HOUR_MS
            height = await submitted(client, [builders.enrol("firm-b", expires_at=late)])
            assert height == (await client.status()).height

    asyncio.run(scenario())


def test_a_node_whose_clock_is_ahead_tells_what_is_logged_as_it_is_logged(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(place, Solo()) as client:
            raws = work()
            await submitted(client, raws)
            now_ms = SystemClock().wall_ms
            monkeypatch.setattr(SystemClock, "wall_ms", lambda clock: now_ms() + 3 * HOUR_MS)
            for raw in raws:
                answer = await client.submit(raw)
                assert answer.status == "final", "its expiry is over by this clock"
            monkeypatch.setattr("node.host_side.STORE_FULL_PERCENT", 0)
            assert (await client.submit(raws[0])).status == "final", "however full the store is"

    asyncio.run(scenario())


def test_the_disk_and_the_operator_are_heard_through_the_seam(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(place.config.folder)._replace(free=0)

    async def scenario() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("node.host_side.shutil.disk_usage", lambda folder: full)
            async with running(place, Solo()) as client:
                assert "disk is free" in (await client.status()).stopped
        remember_stop(place.config.stopped, "an operator has to look")
        async with running(place, Solo()) as client:
            status = await client.status()
            assert not status.validating
            assert status.stopped.startswith("an operator has to look")

    asyncio.run(scenario())


def logged(place: Place) -> int:
    """Run the work on a node; return the height it ended at."""

    async def scenario() -> int:
        async with running(place, Solo()) as client:
            return await submitted(client, work())

    return asyncio.run(scenario())


@pytest.mark.parametrize("level", list(Level))
def test_an_auditor_asks_the_family_by_its_name(place: Place, tmp_path: Path, level: Level) -> None:
    height = logged(place)
    with closing(NodeStore(place.store)) as source:
        report = audited(source, tmp_path / "work", level=level)
    assert report.facts()["height"] == report.facts()["commits"] == height


def test_an_auditor_finds_what_the_key_did_not_sign(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(place)
    monkeypatch.setattr(solo, "KEY", builders.key("somebody", "else"))
    with closing(NodeStore(place.store)) as source, pytest.raises(Tampered, match="certificate"):
        audited(source, tmp_path / "work", level=Level.SIGNATURES)


def test_a_running_store_is_read_over_by_its_own_family(place: Place, tmp_path: Path) -> None:
    height = logged(place)
    copy = tmp_path / "copy"
    shutil.copytree(place.store, copy)
    store = LmdbStore(copy)
    scrub = Scrub()
    for _ in range(20 * (height + 1)):
        scrub.step(store.snapshot)
    store.close()


def test_commits_of_an_engine_that_nobody_here_knows_are_not_guessed_at() -> None:
    with pytest.raises(families.FamilyUnknown, match="engine comet cannot be verified"):
        families.family_of("comet")
