"""A running node and a kind that it does not know, or not yet: it answers, and blames nobody."""

import asyncio
from pathlib import Path

import pytest

from engines.builtin.messages import Batch
from engines.builtin.p2p.frames import Channel
from ledger.encoding import codec
from ledger.genesis import Genesis, log_id_of, parse_genesis
from ledger.transactions import Body, seal
from node.runtime import Node
from tests.node.test_runtime import folder, mesh_of, running
from tests.toy.note import Note

FAR_MS = 2**53 - 1

__all__ = ["folder"]  # a fixture, found by its name


def rehearsal(home: Path) -> bytes:
    """Return a remark in the name of a registered key, with a signature of zeros."""
    data = (home / "genesis.bin").read_bytes()
    genesis: Genesis = parse_genesis(data)
    operation = Note(voucher="shanghai.compute.000000001", holder="firm-a", remark=bytes(32))
    body = Body(version=1, log_id=log_id_of(data), expires_at=FAR_MS, operation=operation)
    return seal(codec.encode(body), {genesis.members[0].keys[0].key: bytes(64)})


async def require_answers(node: Node, raw: bytes) -> None:
    """Assert that a node says what it lacks, whoever asks, and goes on."""
    effect = await node.simulate(raw)
    assert (effect.code, effect.number) == ("kind_unknown", 0)
    assert "voucher.note" in effect.sentence
    status = await node.submit(raw)
    assert status.status == "inadmissible"
    height = (await node.status()).height
    while (await node.status()).height == height:
        await asyncio.sleep(0.02)


def test_one_rehearsal_of_a_kind_that_the_software_lacks_is_answered(folder: Path) -> None:
    async def scenario() -> None:
        async with running(folder) as node:
            await require_answers(node, rehearsal(folder))
            assert (await node.submit(rehearsal(folder))).code == "kind_unknown"

    asyncio.run(scenario())


@pytest.mark.usefixtures("newer")
def test_one_rehearsal_of_a_kind_of_later_rules_is_answered(folder: Path) -> None:
    """The rules of version 1 have no such kind: to look its rule up ended the host thread."""

    async def scenario() -> None:
        async with running(folder) as node:
            await require_answers(node, rehearsal(folder))

    asyncio.run(scenario())


def test_who_sends_on_a_kind_that_is_not_known_here_is_not_cut_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(folder) as node:
            blamed: list[str] = []
            mesh = mesh_of(node)
            monkeypatch.setattr(mesh.network, "fault", lambda peer, why: blamed.append(peer))
            for envelopes in ((rehearsal(folder),), (rehearsal(folder), b"\0")):
                batch = codec.encode(Batch(envelopes=envelopes))
                mesh._on_message("guiyang", Channel.TRANSACTIONS, batch)
                while mesh.inflow._batches["guiyang"]:
                    await asyncio.sleep(0.01)
                assert blamed == ["guiyang"] * (len(envelopes) - 1)

    asyncio.run(scenario())
