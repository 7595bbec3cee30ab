"""A node's process: what it says when it ends by itself."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node import __main__ as main
from node.config import ConfigInvalid, config_text
from tests.node.test_config import config_at

Trouble = Callable[[asyncio.AbstractEventLoop], Any]


class Idle:
    """A node that does nothing, and ends when it is told to."""

    def __init__(self) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stopped = False

    async def stop(self) -> None:
        self.stopped = True


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, trouble: Trouble) -> Idle:
    """Run an idle node until something has happened to it."""
    (folder / "node.toml").write_text(config_text(config_at(folder)), encoding="utf-8")
    nodes: list[Idle] = []

    async def start(_: object) -> Idle:
        nodes.append(Idle())
        asyncio.get_running_loop().call_soon(trouble, asyncio.get_running_loop())
        return nodes[0]

    async def with_a_limit() -> None:
        async with asyncio.timeout(20):
            await main.run(folder / "node.toml")

    monkeypatch.setattr(main, "start_node", start)
    try:
        asyncio.run(with_a_limit())
    finally:
        assert [node.stopped for node in nodes] == [True]
    return nodes[0]


def test_a_configuration_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"node\.toml cannot be read: No such file"):
        asyncio.run(main.run(tmp_path / "node.toml"))


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (lambda _: 1 // 0, "a callback of the event loop failed: integer division"),
        (lambda loop: loop.call_exception_handler({"message": "in words"}), "failed: in words"),
    ],
)
def test_a_callback_that_fails_ends_the_node_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Trouble, says: str
) -> None:
    with pytest.raises(RuntimeError, match=says):
        run(tmp_path, monkeypatch, trouble)
    assert (tmp_path / "pid").read_text() == "", "nobody works in the folder"


def test_a_node_that_is_told_to_stop_ends_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(loop: asyncio.AbstractEventLoop) -> None:
        for task in asyncio.all_tasks(loop):
            assert not task.done()
        signal.raise_signal(signal.SIGTERM)

    run(tmp_path, monkeypatch, finish)
