"""Reading records: lists, single records, the past, and blocks."""

from typing import Any

import pytest

from api import reads
from api.schemas import PAGE_MAX
from ledger.entries import decode_entry
from ledger.rules import calendar
from ledger.transactions import parse
from tests import builders
from tests.api.world import World
from tests.builders import NOON_MS

pytestmark = pytest.mark.anyio

VOUCHER = "shanghai.compute.000000001"


@pytest.fixture
async def busy(world: World) -> World:
    """Mint, redeem and transfer: blocks 3, 4 and 5."""
    world.node.commit(builders.mint(("firm-a", 10_000_000), ("firm-b", 700)))
    world.node.commit(builders.redeem((VOUCHER, 1_000_000)))
    world.node.commit(builders.transfer(VOUCHER, 500))
    return world


async def test_every_state_answer_names_its_height_and_record_hash(busy: World) -> None:
    head = busy.chain.ledger.last()
    for path in (
        *("parties", "parties/firm-a", "programmes", "programmes/shanghai/compute"),
        *("programmes/shanghai/compute/budget", "vouchers", f"vouchers/{VOUCHER}"),
        *(f"vouchers/{VOUCHER}/history", "claims", "claims/guian-hub.000000001", "centres"),
        *("centres/guian-hub", "recognitions", "payables", "attestations/firm-a", "blocks"),
        *("blocks/3", "blocks/3/commit", "validators", "transactions"),
    ):
        found = await busy.get(f"/v1/{path}")
        assert (found["height"], found["record_hash"]) == (head.height, head.record_hash.hex()), (
            path
        )
        assert ("items" in found) != ("item" in found and "sequence" in found), path


async def test_a_record_shows_its_own_fields_and_optional_ones_as_null(busy: World) -> None:
    child = (await busy.get("/v1/vouchers/shanghai.compute.000000003"))["item"]
    assert child == {
        "id": "shanghai.compute.000000003",
        "programme": "shanghai.compute",
        "holder": "firm-b",
        "face": 500,
        "available": 500,
        "reserved": 0,
        "claimed": 0,
        "redeemed": 0,
        "expired": 0,
        "revoked": 0,
        "expires_at_ms": child["expires_at_ms"],
        "due_ms": child["expires_at_ms"],
        "stopped_ms": 0,
        "given_back_ms": 0,
        "terms_version": 1,
        "year": builders.YEAR,
        "minted_day": calendar.day_of(NOON_MS),
        "parent": VOUCHER,
        "depth": 1,
    }
    assert (await busy.get(f"/v1/vouchers/{VOUCHER}"))["item"]["parent"] is None
    firm = (await busy.get("/v1/parties/firm-a"))["item"]
    assert firm["registration_tag"] == builders.seed("firm-a", "registration").hex()
    assert firm["keys"][0]["key"] == builders.key("firm-a", "owner").hex()


@pytest.mark.parametrize("path", ["validators", "governance/members"])
async def test_a_short_list_has_pages_like_any_other(busy: World, path: str) -> None:
    whole = (await busy.get(f"/v1/{path}"))["items"]
    paged: list[Any] = []
    cursor = None
    while True:
        page = await busy.get(f"/v1/{path}?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        assert len(page["items"]) <= 2
        paged += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(whole) > 2
    assert paged == whole


async def test_a_programme_comes_with_terms_totals_and_budgets(busy: World) -> None:
    item = (await busy.get("/v1/programmes/shanghai/compute"))["item"]
    assert item["terms"]["rates"][0]["basis_points"] == 3000
    assert item["totals"]["redeemed"] == 1_000_000
    assert item["budgets"] == [
        {
            "year": builders.YEAR,
            "funder": "shanghai",
            "appropriated": 100_000_000,
            "committed": 10_000_700,
        }
    ]
    assert (await busy.get("/v1/programmes"))["items"] == [item]
    budget = await busy.get("/v1/programmes/shanghai/compute/budget")
    assert budget["items"] == item["budgets"]


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("parties?kind=holder", ["firm-a", "firm-b"]),
        ("parties?kind=data_centre", ["chengdu-aicc", "guian-hub"]),
        ("vouchers?holder=firm-b", ["shanghai.compute.000000002", "shanghai.compute.000000003"]),
        ("vouchers?holder=firm-a&programme=shanghai.compute", [VOUCHER]),
        ("vouchers?holder=firm-a&programme=shanghai.other", []),
        ("vouchers?programme=shanghai.comp", []),
        ("claims?centre=guian-hub", ["guian-hub.000000001"]),
        ("claims?holder=firm-a&programme=shanghai.compute", ["guian-hub.000000001"]),
        ("claims?holder=guian-hub", []),
        ("claims?centre=chengdu-aicc", []),
    ],
)
async def test_a_filter_narrows_a_list(busy: World, path: str, ids: list[str]) -> None:
    assert [item["id"] for item in (await busy.get(f"/v1/{path}"))["items"]] == ids


async def test_payables_and_recognitions_are_found_by_their_parties(busy: World) -> None:
    owed = (await busy.get("/v1/payables?debtor=shanghai&creditor=guian-hub"))["items"]
    assert [(one["cause"], one["amount"]) for one in owed] == [("guian-hub.000000001", 1_000_000)]
    assert (await busy.get("/v1/payables?debtor=guiyang"))["items"] == []
    known = (await busy.get("/v1/recognitions?programme=shanghai.compute"))["items"]
    assert [one["host"] for one in known] == ["guiyang"]
    assert (await busy.get("/v1/recognitions?programme=shanghai.other"))["items"] == []


@pytest.mark.parametrize(
    "path", ["parties", "vouchers", "vouchers?holder=firm-b", "parties?kind=holder"]
)
async def test_pages_of_any_size_give_the_whole_list_in_order(busy: World, path: str) -> None:
    joint = "&" if "?" in path else "?"
    whole = (await busy.get(f"/v1/{path}"))["items"]
    assert len(whole) >= 2
    for limit in range(1, len(whole) + 2):
        items = []
        cursor = ""
        pages = 0
        while True:
            pages += 1
            page = await busy.get(f"/v1/{path}{joint}limit={limit}{cursor}")
            assert len(page["items"]) <= limit
            items += page["items"]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert items == whole
        # A filtered list may end in a page without a match.
        assert pages <= -(-len(whole) // limit) + ("kind" in path)


async def test_a_page_has_at_most_500_items(busy: World) -> None:
    assert PAGE_MAX == 500
    assert await busy.problem(f"/v1/vouchers?limit={PAGE_MAX + 1}") == (400, "invalid_request")
    assert len((await busy.get(f"/v1/vouchers?limit={PAGE_MAX}"))["items"]) == 3


async def test_a_filter_that_matches_little_gives_short_pages_that_go_on(
    busy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "SCAN_MAX", 2)
    found = []
    path = "/v1/parties?kind=holder"
    cursor = ""
    taken = 0
    while True:
        page = await busy.get(path + cursor)
        taken += 1
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == ["firm-a", "firm-b"]
    assert taken == 4  # seven parties, two at a time


async def test_the_cursor_of_another_list_is_refused(busy: World) -> None:
    cursor = (await busy.get("/v1/parties?limit=1"))["next"]
    assert await busy.problem(f"/v1/vouchers?cursor={cursor}") == (400, "cursor_invalid")
    assert await busy.problem("/v1/vouchers?cursor=%F0%9F%92%A5") == (400, "cursor_invalid")
    assert await busy.problem(f"/v1/vouchers?cursor={'A' * 300}") == (400, "cursor_invalid")
    assert await busy.problem(f"/v1/vouchers?cursor={'A' * 301}") == (400, "invalid_request")


async def test_a_voucher_is_shown_as_it_was_after_any_block(busy: World) -> None:
    available = {}
    for height in (3, 4, 5):
        found = await busy.get(f"/v1/vouchers/{VOUCHER}?at_height={height}")
        available[height] = found["item"]["available"]
        block = await busy.get(f"/v1/blocks/{height}")
        assert (found["height"], found["record_hash"]) == (height, block["item"]["record_hash"])
        assert block["item"]["first_sequence"] <= found["sequence"] < block["item"]["log_size"]
    assert available == {3: 10_000_000, 4: 9_000_000, 5: 8_999_500}
    assert await busy.problem(f"/v1/vouchers/{VOUCHER}?at_height=2") == (404, "not_found")
    assert await busy.problem(f"/v1/vouchers/{VOUCHER}?at_height=6") == (404, "not_found")


async def test_a_history_names_the_transaction_behind_each_version(busy: World) -> None:
    history = await busy.get(f"/v1/vouchers/{VOUCHER}/history")
    assert [one["height"] for one in history["items"]] == [3, 4, 5]
    kinds = [
        (await busy.get(f"/v1/transactions/{one['transaction']}"))["kind"]
        for one in history["items"]
    ]
    assert kinds == ["voucher.mint", "voucher.redeem", "voucher.transfer"]
    first = await busy.get(f"/v1/vouchers/{VOUCHER}/history?limit=1")
    rest = await busy.get(f"/v1/vouchers/{VOUCHER}/history?cursor={first['next']}")
    assert first["items"] + rest["items"] == history["items"]


@pytest.mark.parametrize(
    "path",
    [
        *("parties/nobody", "programmes/shanghai/other", "programmes/shanghai/other/budget"),
        *("vouchers/shanghai.compute.000000099", "vouchers/shanghai.compute.000000099/history"),
        *("claims/guian-hub.000000009", "centres/shanghai", "blocks/99", "blocks/99/commit"),
        "blocks/0/commit",
    ],
)
async def test_what_is_not_there_is_not_found(busy: World, path: str) -> None:
    assert await busy.problem(f"/v1/{path}") == (404, "not_found")


async def test_blocks_are_listed_newest_first_and_page_without_gap(busy: World) -> None:
    heights = []
    path = "/v1/blocks?limit=2"
    while True:
        page = await busy.get(path)
        heights += [block["height"] for block in page["items"]]
        if page["next"] is None:
            break
        path = f"/v1/blocks?limit=2&cursor={page['next']}"
    assert heights == [5, 4, 3, 2, 1, 0]
    assert (await busy.get("/v1/blocks?before=3"))["items"][0]["height"] == 2


async def test_a_block_shows_its_record_and_its_transactions(busy: World) -> None:
    item = (await busy.get("/v1/blocks/1"))["item"]
    assert len(item["transactions"]) == 4
    assert item["record"]["height"] == 1
    assert item["record"]["state_root"]["height"] == 0, "the first record is over genesis"
    assert (await busy.get(f"/v1/transactions/{item['transactions'][0]}"))["height"] == 1
    commit = (await busy.get("/v1/blocks/1/commit"))["item"]
    assert bytes.fromhex(commit["certificate"]) == b"certificate"


async def test_validators_are_named_with_their_four_keys(busy: World) -> None:
    items = (await busy.get("/v1/validators"))["items"]
    assert [one["party"] for one in items] == ["shanghai", "guiyang", "guian-hub", "chengdu-aicc"]
    assert items[0]["keys"]["consensus"] == builders.key("shanghai", "consensus").hex()


async def test_the_exported_log_is_every_entry_in_order(
    busy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.exports.CHUNK_ROWS_MAX", 4)
    monkeypatch.setattr("api.routes.exports.CHUNK_BYTES_MAX", 1500)
    data = (await busy.client.get("/v1/exports/log")).content
    entries = []
    offset = 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        entries.append(data[offset + 4 : offset + 4 + length])
        offset += 4 + length
    assert len(entries) == busy.chain.ledger.last().log_size
    assert [type(decode_entry(entry)).__name__ for entry in entries[-2:]] == [
        "TransactionEntry",
        "ClosingEntry",
    ]
    tail = (await busy.client.get(f"/v1/exports/log?from={len(entries) - 1}")).content
    assert tail == len(entries[-1]).to_bytes(4, "big") + entries[-1]
    assert (await busy.client.get(f"/v1/exports/log?from={len(entries)}")).content == b""
    assert await busy.problem(f"/v1/exports/log?from={len(entries) + 1}") == (400, "out_of_range")


async def test_exported_commits_name_their_heights(busy: World) -> None:
    data = (await busy.client.get("/v1/exports/commits?from=4")).content
    row = (11).to_bytes(4, "big") + b"certificate"
    assert data == (4).to_bytes(8, "big") + row + (5).to_bytes(8, "big") + row


async def test_the_genesis_is_served_as_it_is(busy: World) -> None:
    assert (await busy.client.get("/v1/genesis")).content == busy.chain.genesis


async def test_the_status_is_the_nodes_own(busy: World) -> None:
    status = await busy.get("/v1/status")
    assert (status["name"], status["height"]) == ("shanghai", 5)
    assert [peer["up"] for peer in status["peers"]] == [True, True, False]
    assert status["commits"][0]["signers"][0] == builders.key("shanghai", "consensus").hex()


async def test_a_block_without_entries_is_found_and_has_no_record(busy: World) -> None:
    while busy.chain.ledger.last().cuts:
        busy.node.commit()  # at last with every state root
    busy.node.commit()  # a heartbeat
    height = busy.chain.ledger.last().height
    item = (await busy.get(f"/v1/blocks/{height}"))["item"]
    assert (item["record"], item["transactions"]) == (None, [])
    raw = builders.transfer(VOUCHER, 501)
    busy.node.commit(raw)
    found = await busy.get(f"/v1/transactions/{parse(raw).id.hex()}")
    assert found["height"] == height + 1
