"""Receipts, policies and proofs of records over HTTP (Y12)."""

import re
from pathlib import Path
from typing import Any

import pytest

from api.schemas import PROBLEM_MEDIA_TYPE
from ledger import state_tree
from ledger.encoding import policy, receipt
from ledger.entries import ClosingEntry, decode_entry
from ledger.rules.vouchers import VOUCHERS
from ledger.state_tree import Leaf, Proof
from ledger.transactions import parse
from tests import builders
from tests.api.publishing import PARTIES, publish, rooted
from tests.api.world import World, store_of

pytestmark = pytest.mark.anyio

FIRST = "shanghai.compute.000000001"


async def published(world: World, folder: Path) -> str:
    """Mint, let a root be made and published; return the id of the mint."""
    raw = builders.mint(("firm-a", 50_000))
    world.node.commit(raw)
    rooted(world)
    publish(world, folder / "checkpoint")
    return parse(raw).id.hex()


def root_in(document: dict[str, Any], trusted: policy.Policy) -> bytes:
    """Return the root under which a proof has to hold, if its receipt does."""
    found = receipt.parse(document["receipt"].encode())
    receipt.verify(found, entry=found.extra, trusted=trusted)
    entry = decode_entry(found.extra)
    assert isinstance(entry, ClosingEntry)
    (root,) = entry.record.state_root
    assert (root.root.hex(), root.height) == (document["state_root"], document["state_height"])
    return root.root


async def policy_now(world: World) -> policy.Policy:
    """Return whom the server says to believe."""
    return policy.parse((await world.client.get("/v1/policy")).content)


def holds(document: dict[str, Any], root: bytes) -> bool:
    """Return whether a proof leads to a root."""
    leaf = document["leaf"]
    proof = Proof(
        siblings=tuple(bytes.fromhex(one) for one in document["siblings"]),
        leaf=None
        if leaf is None
        else Leaf(key=leaf["key"].encode(), value_hash=bytes.fromhex(leaf["value_hash"])),
    )
    value = None if document["value"] is None else bytes.fromhex(document["value"])
    return state_tree.verify(root, document["key"].encode(), value, proof)


async def test_a_receipt_holds_under_the_policy_that_the_server_names(
    world: World, tmp_path: Path
) -> None:
    transaction = await published(world, tmp_path)
    answer = await world.client.get(f"/v1/receipts/{transaction}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    found = receipt.parse(answer.content)
    accepted = receipt.verify(found, entry=found.extra, trusted=await policy_now(world))
    assert [name for name, _ in accepted.cosigned] == list(PARTIES)
    entries = list(store_of(world.chain).entries(0, accepted.checkpoint.size))
    assert entries[found.index] == found.extra


async def test_records_and_their_absence_are_proven(world: World, tmp_path: Path) -> None:
    await published(world, tmp_path)
    trusted = await policy_now(world)
    document = await world.get(f"/v1/vouchers/{FIRST}/proof")
    assert document == await world.get(f"/v1/proofs/voucher/{FIRST}")
    assert document["key"].encode() == VOUCHERS.key(FIRST)
    assert holds(document, root_in(document, trusted))
    absent = await world.get("/v1/proofs/voucher/shanghai.compute.000000099")
    assert absent["value"] is None
    assert holds(absent, root_in(absent, trusted))
    assert not holds({**absent, "key": document["key"]}, root_in(absent, trusted))


async def test_what_no_head_proves_yet_is_pending(world: World, tmp_path: Path) -> None:
    raw = builders.mint(("firm-a", 50_000))
    world.node.commit(raw)
    transaction = parse(raw).id.hex()
    paths = (f"/v1/receipts/{transaction}", f"/v1/vouchers/{FIRST}/proof")
    for path in paths:
        assert await world.problem(path) == (503, "proof_pending"), "there is no head"
    rooted(world)
    publish(world, tmp_path / "checkpoint")
    later = builders.mint(("firm-b", 60_000))
    world.node.commit(later)
    last = parse(later).id.hex()
    assert await world.problem(f"/v1/receipts/{last}") == (503, "proof_pending")
    answer = await world.client.get(f"/v1/receipts/{last}")
    assert answer.headers["retry-after"] == "1"
    rooted(world)
    assert await world.problem(paths[1]) == (503, "proof_pending"), "the root has no head yet"
    publish(world, tmp_path / "checkpoint", more=1)
    for path in paths:
        assert await world.problem(path) == (503, "proof_pending"), "the store is behind the head"


async def test_the_last_root_is_found_however_long_nothing_happens(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.proofs.BLOCKS_BACK_MAX", 5)
    await published(world, tmp_path)
    for _ in range(20):
        world.node.commit(time_ms=world.chain.ledger.last().time_ms + 60_000)
    document = await world.get(f"/v1/vouchers/{FIRST}/proof")
    assert holds(document, root_in(document, await policy_now(world)))


async def test_the_description_gives_every_answer_its_media_type(
    world: World, tmp_path: Path
) -> None:
    minted = await published(world, tmp_path)
    paths = (await world.get("/openapi.json"))["paths"]
    parts = {"{transaction_id}": minted, "{voucher}": FIRST, "{rest}": "0/000.p/1", "{height}": "1"}
    looked_at = 0
    for path, methods in paths.items():
        for method, described in methods.items():
            answers = described["responses"]
            assert list(answers["default"]["content"]) == [PROBLEM_MEDIA_TYPE], path
            assert answers["200"]["content"], path
            assert (method == "post") == ("requestBody" in described), path
        if path == "/v1/events":
            continue
        address = path
        for part, value in parts.items():
            address = address.replace(part, value)
        answer = await world.client.get(address)
        if answer.status_code == 200:
            looked_at += 1
            told = answer.headers["content-type"].partition(";")[0]
            assert told in answers["200"]["content"], path
    assert looked_at > 35


async def test_a_proof_has_the_fields_of_the_page_and_no_others(
    world: World, tmp_path: Path
) -> None:
    await published(world, tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "spec" / "http.md").read_text(encoding="utf-8")
    table = text[text.index("- **H10.3**") : text.index("- **H10.4**")]
    fields = re.findall(r"^\| `(\w+)` \|", table, re.M)
    described = (await world.get("/openapi.json"))["components"]["schemas"]["ProofDocument"]
    for path in (f"vouchers/{FIRST}/proof", "proofs/voucher/nothing"):
        assert list(await world.get(f"/v1/{path}")) == fields
    assert list(described["properties"]) == fields


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("receipts/" + "00" * 32, (404, "transaction_unknown")),
        ("receipts/xyz", (400, "invalid_request")),
        ("policy?at_height=999", (400, "out_of_range")),
        ("policy?at_height=-1", (400, "invalid_request")),
        ("proofs/" + "k" * 256, (400, "invalid_request")),
        ("proofs/%C3%A4", (400, "invalid_request")),
        ("vouchers/nothing/proof", (400, "invalid_request")),
    ],
)
async def test_what_makes_no_sense_is_refused(
    world: World, tmp_path: Path, path: str, problem: tuple[int, str]
) -> None:
    await published(world, tmp_path)
    assert await world.problem(f"/v1/{path}") == problem


async def test_a_policy_out_of_range_names_the_range(world: World) -> None:
    most = world.chain.ledger.last().height + 1
    answer = await world.client.get(f"/v1/policy?at_height={most + 1}")
    assert answer.json()["values"] == {"maximum": most}
    assert (await world.client.get(f"/v1/policy?at_height={most}")).status_code == 200
