"""What is streamed: records as they were after one block, statements that two nodes agree on."""

import csv
import io
import json
from typing import Any

import pytest

from api import tabular
from api.columns import TABLES, Kind
from api.routes import exports
from node.exports import Version, read_history
from tests import builders
from tests.api import life
from tests.api.world import World, store_of

pytestmark = pytest.mark.anyio

DESCRIBING = ("payable", "movement", "end_to_end_id", "amount")


@pytest.fixture
async def lived(world: World) -> World:
    """Serve a chain that every kind of transaction has touched."""
    life.live(world.node)
    return world


async def rows_of(world: World, path: str) -> list[dict[str, Any]]:
    """Return the rows of an export in NDJSON."""
    answer = await world.client.get(f"/v1/exports/{path}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def table_of(world: World, path: str) -> list[dict[str, str]]:
    """Return the rows of an export in CSV."""
    joint = "&" if "?" in path else "?"
    answer = await world.client.get(f"/v1/exports/{path}{joint}format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


@pytest.mark.parametrize(
    "path",
    [
        *("vouchers", "vouchers?holder=firm-a", "vouchers?programme=shanghai.shared", "claims"),
        *("claims?status=accepted", "payables", "payables?debtor=shanghai&open=true", "payments"),
        "payments?payable=guian-hub.000000001-000",
    ],
)
@pytest.mark.parametrize("rows_max", [1, 2, 1_024])
async def test_an_export_is_the_whole_list_whatever_the_reads(
    lived: World, monkeypatch: pytest.MonkeyPatch, path: str, rows_max: int
) -> None:
    monkeypatch.setattr(exports, "CHUNK_ROWS_MAX", rows_max)
    listed = (await lived.get(f"/v1/{path}"))["items"]
    assert len(listed) > 0
    rows = await rows_of(lived, path)
    assert [row["id"] for row in rows] == [item["id"] for item in listed]
    assert [money_of(row) for row in rows] == [money_of(item) for item in listed]
    table = await table_of(lived, path)
    assert [list(row) for row in table] == [list(row) for row in rows]
    assert [row["id"] for row in table] == [row["id"] for row in rows]


MONEY = ("face", "available", "redeemed", "amount", "accepted", "credited", "paid", "open")


def money_of(item: dict[str, Any]) -> list[int | None]:
    """Return amounts of a list's item or of an export's row."""
    return [item.get(name, item.get(f"{name}_fen")) for name in MONEY]


@pytest.mark.parametrize("table", TABLES)
async def test_rows_have_the_columns_that_are_promised_in_their_order(
    lived: World, table: str
) -> None:
    rows = await rows_of(lived, table)
    assert len(rows) > 0
    for row in rows:
        assert list(row) == list(TABLES[table])
        for name, column in TABLES[table].items():
            assert row[name] is None or isinstance(row[name], HOLDS[column.kind]), name
    answer = await lived.client.get(f"/v1/exports/{table}?format=csv")
    assert answer.text.splitlines()[0].split(",") == list(TABLES[table])


HOLDS: dict[Kind, type] = {"integer": int, "flag": bool, "name": str, "text": str, "parts": list}


@pytest.mark.parametrize("table", [name for name in TABLES if name != "postings"])
async def test_a_row_names_the_entry_that_changed_it_last(lived: World, table: str) -> None:
    head = lived.chain.ledger.last()
    changed = {
        version.key.partition(b"/")[2].decode(): version.sequence
        for version in history_of(lived, head.log_size)
        if version.key.startswith(f"{table[:-1]}/".encode())
    }
    rows = await rows_of(lived, table)
    assert len(rows) == len(changed)
    for row in rows:
        key = row["id"] if "id" in row else "{programme}/{year}/{funder}".format(**row)
        if table == "payments":
            key = f"{row['debtor']}/{key}"
        assert row["sequence"] == changed[key]


@pytest.mark.parametrize("rows_max", [1, 3, 1_024])
async def test_postings_are_those_of_the_log_and_refusals_say_why(
    lived: World, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    expires_at = lived.chain.now_ms + builders.MINUTE_MS
    lived.node.commit(builders.transfer(life.FIRST, 10**12, expires_at=expires_at))
    monkeypatch.setattr(exports, "CHUNK_ROWS_MAX", rows_max)
    rows = await rows_of(lived, "postings")
    documents = (await lived.get("/v1/transactions?limit=500"))["items"]
    assert sorted({row["sequence"] for row in rows if row["transaction"]}) == sorted(
        one["sequence"] for one in documents
    )
    by_sequence = {one["sequence"]: one for one in documents}
    for row in rows:
        if row["transaction"] is None:
            assert row["kind"] == "automatic"
            continue
        document = by_sequence[row["sequence"]]
        assert (row["transaction"], row["kind"]) == (document["id"], document["kind"])
        assert (row["code"], row["height"]) == (document["code"], document["height"])
        if not document["postings"]:
            assert (row["position"], row["posting"], row["amount_fen"]) == (None, None, None)
            continue
        posting = document["postings"][row["position"]]
        assert (row["posting"], row["amount_fen"]) == (posting["kind"], posting["amount"])
        assert (row["source"], row["target"]) == (posting["source"], posting["target"])
        assert row["voucher"] == f"{posting['programme']}.{posting['serial']:09d}"
    last = rows[-1]
    assert (last["kind"], last["code"]) == ("voucher.transfer", "voucher_exhausted")
    middle = rows[len(rows) // 2]["sequence"]
    rest = [row for row in rows if row["sequence"] >= middle]
    assert await rows_of(lived, f"postings?from={middle}") == rest


async def test_postings_of_the_past_end_with_the_block_that_is_named(lived: World) -> None:
    rows = await rows_of(lived, "postings")
    height = rows[len(rows) // 2]["height"]
    past = await rows_of(lived, f"postings?at_height={height}")
    assert past == [row for row in rows if row["height"] <= height]
    size = lived.chain.ledger.last().log_size
    assert await lived.problem(f"/v1/exports/postings?from={size + 1}") == (400, "out_of_range")


async def test_a_claim_says_where_the_centre_was_and_whose_chips_it_had_then(world: World) -> None:
    world.node.commit(builders.mint(("firm-a", 10_000_000)))
    world.node.commit(builders.redeem((life.FIRST, 1_000)))
    (before,) = await rows_of(world, "claims")
    (usage,) = before["usage"]
    assert (before["chips"], before["centre_city"]) == (usage["chip"], "guiyang")
    assert before["gpu_ms"] == before["domestic_gpu_ms"] == usage["gpu_ms"]
    later = builders.accredit(pue_milli=1_999, devices=(), expires_at=world.chain.now_ms + 60_000)
    life.accept(world.node, later)
    (after,) = await rows_of(world, "claims")
    assert after == before, "what is accredited later changes no claim of before"


async def test_an_export_names_the_block_that_it_is_true_at(lived: World) -> None:
    head = lived.chain.ledger.last()
    answer = await lived.client.get("/v1/exports/vouchers")
    assert answer.headers["tallystick-height"] == str(head.height)
    assert answer.headers["tallystick-record-hash"] == head.record_hash.hex()


async def test_an_export_of_the_past_is_what_an_export_was_then(world: World) -> None:
    world.node.commit(builders.mint(("firm-a", 10_000_000)))
    before = {
        path: await rows_of(world, path) for path in ("vouchers", "claims", "payables", "payments")
    }
    height = world.chain.ledger.last().height
    assert len(before["vouchers"]) == 1
    world.node.commit(builders.mint(("firm-b", 700)), builders.redeem((life.FIRST, 1_000)))
    for path, rows in before.items():
        assert await rows_of(world, f"{path}?at_height={height}") == rows
        assert await rows_of(world, path) != rows or path == "payments"
    assert await world.problem(f"/v1/exports/vouchers?at_height={height + 2}") == (404, "not_found")


async def test_a_block_that_comes_while_an_export_runs_does_not_show_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.node.commit(builders.mint(("firm-a", 10_000_000), ("firm-b", 700)))
    before = await rows_of(world, "vouchers")
    monkeypatch.setattr(exports, "CHUNK_ROWS_MAX", 1)
    read = exports._next_rows
    reads = 0

    def read_and_commit(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        found = read(*arguments)
        if reads == 1:
            world.node.commit(builders.transfer(life.FIRST, 500), builders.mint(("firm-b", 9)))
        return found

    monkeypatch.setattr(exports, "_next_rows", read_and_commit)
    assert await rows_of(world, "vouchers") == before
    assert reads == 4
    assert len(await rows_of(world, "vouchers")) == 4


async def test_a_cell_is_plain_and_never_a_formula(world: World) -> None:
    world.node.commit(builders.mint(("firm-a", 10_000_000)))
    world.node.commit(builders.redeem((life.FIRST, 1_000), order='=HYPERLINK("x"),\n2'))
    (row,) = await table_of(world, "claims")
    assert row["order"] == '\'=HYPERLINK("x"),\n2'
    assert (row["holder_signed"], row["paying_host"], row["amount_fen"]) == ("true", "", "1000")
    assert json.loads(row["lines"]) == [
        {"voucher": life.FIRST, "amount_fen": 1_000, "reserve": None}
    ]
    (plain,) = await rows_of(world, "claims")
    assert plain["order"] == '=HYPERLINK("x"),\n2'


async def test_a_table_without_rows_still_has_its_head(world: World) -> None:
    answer = await world.client.get("/v1/exports/payables?format=csv")
    assert answer.text.startswith("id,debtor,creditor,") and answer.text.endswith(",sequence\r\n")


async def test_a_statement_lists_payables_and_payments_between_two_balances(lived: World) -> None:
    rows = await rows_of(lived, "statement?debtor=shanghai&creditor=guian-hub")
    assert (rows[0]["movement"], rows[0]["balance"]) == ("opening", 0)
    payable = f"{life.PAID}-000"
    assert [tuple(row[name] for name in DESCRIBING) for row in rows[1:-1]] == [
        (payable, "accrued", None, 1_000_000),
        (payable, "cancelled", None, -50_000),
        (payable, "written_off", None, -30_000),
        *((payable, "instructed", f"E{number}", 0) for number in (1, 2, 3, 4)),
        (payable, "confirmed", "E1", -600_000),
        (payable, "confirmed", "E2", -100_000),
        (payable, "objected", "E3", 0),
        (payable, "returned", "E4", 0),  # it had not been confirmed
        (payable, "returned", "E2", 100_000),
        (f"{life.DISPUTED}-000", "accrued", None, 40_000),
    ]
    assert [row["payment"] for row in rows[4:8]] == [600_000, 100_000, 90_000, 10_000]
    assert (rows[-1]["movement"], rows[-1]["balance"]) == ("closing", 360_000)
    balance = 0
    for row in rows[1:-1]:
        balance += row["amount"]
        assert row["balance"] == balance


@pytest.mark.parametrize("who", ["debtor=shanghai", "creditor=guian-hub", "debtor=guiyang"])
async def test_a_closing_balance_is_what_is_open_or_on_its_way(lived: World, who: str) -> None:
    payables = await rows_of(lived, f"payables?{who}")
    owed = sum(one["open_fen"] + one["pending_fen"] for one in payables)
    assert owed > 0
    assert (await rows_of(lived, f"statement?{who}"))[-1]["balance"] == owed


async def test_what_a_cycle_settled_leaves_a_statement_when_the_cycle_closes(lived: World) -> None:
    rows = await rows_of(lived, "statement?debtor=shanghai&creditor=guiyang")
    assert [tuple(row[name] for name in DESCRIBING) for row in rows[1:-1]] == [
        ("clearing.000000001-000", "accrued", None, 400_000),
        (f"{life.CLEARED}-001", "accrued", None, 400_000),
        (f"{life.CLEARED}-001", "cleared", None, -400_000),
    ]
    assert rows[1]["sequence"] == rows[3]["sequence"]


@pytest.mark.parametrize("payables_max", [1, 256])
async def test_statements_of_adjoining_periods_add_up(
    lived: World, monkeypatch: pytest.MonkeyPatch, payables_max: int
) -> None:
    monkeypatch.setattr("api.owed.PAYABLES_MAX", payables_max)
    whole = await rows_of(lived, "statement?debtor=shanghai")
    end_ms = lived.chain.now_ms + 1
    for cut_ms in sorted({row["time_ms"] for row in whole[1:]} | {1, end_ms}):
        first = await rows_of(lived, f"statement?debtor=shanghai&until_ms={cut_ms}")
        second = await rows_of(lived, f"statement?debtor=shanghai&from_ms={cut_ms}")
        assert first[-1]["balance"] == second[0]["balance"]
        assert second[-1]["balance"] == whole[-1]["balance"]
        assert all(row["time_ms"] < cut_ms for row in first[1:-1])
        assert all(row["time_ms"] >= cut_ms for row in second[1:-1])
        assert len(first) + len(second) == len(whole) + 2


async def test_payer_and_payee_get_the_same_statement_from_nodes_at_different_heights(
    lived: World,
) -> None:
    """A node that is further on knows later versions of the same records."""
    until_ms = builders.NOON_MS + 13_000  # E1 and E2 are confirmed, E2 not yet returned
    path = f"/v1/exports/statement?debtor=shanghai&until_ms={until_ms}&format=csv"
    behind = (await lived.client.get(path)).content
    expires_at = lived.chain.now_ms + builders.MINUTE_MS
    life.accept(
        lived.node,
        builders.confirm("E3", expires_at=expires_at),
        builders.credit(life.PAID, 1_000, expires_at=expires_at),
        builders.decide(life.WAITING, 0, expires_at=expires_at),
        builders.write_off(f"{life.DISPUTED}-000", 1_000, expires_at=expires_at),
    )
    ahead = await lived.client.get(path)
    assert ahead.content == behind
    assert ahead.headers["tallystick-height"] == str(lived.chain.ledger.last().height)


def history_of(world: World, log_size: int) -> list[Version]:
    """Return every version of every record in a log of this size, by key, from the store."""
    rows = store_of(world.chain).snapshot.scan("history", prefix=b"", limit=10**6)
    versions = (Version(row[:-9], int.from_bytes(row[-8:], "big"), value) for row, value in rows)
    return [version for version in versions if version.sequence < log_size]


@pytest.mark.parametrize("rows_max", [1, 7, 1_024])
async def test_the_history_is_every_version_whatever_the_reads_and_goes_on_after_any_row(
    lived: World, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    monkeypatch.setattr(exports, "CHUNK_ROWS_MAX", rows_max)
    expected = history_of(lived, lived.chain.ledger.last().log_size)
    answer = await lived.client.get("/v1/exports/history")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert list(read_history(io.BytesIO(answer.content))) == expected
    for at in (0, 1, len(expected) // 2, len(expected) - 1):
        rest = await lived.client.get(f"/v1/exports/history?from={expected[at].row.hex()}")
        assert list(read_history(io.BytesIO(rest.content))) == expected[at + 1 :]


async def test_the_history_until_a_height_is_what_it_was_then(lived: World) -> None:
    head = lived.chain.ledger.last()
    before = (await lived.client.get("/v1/exports/history")).content
    lived.node.commit(builders.enrol("firm-new", expires_at=lived.chain.now_ms + 60_000))
    assert (await lived.client.get("/v1/exports/history")).content != before
    until = await lived.client.get(f"/v1/exports/history?until={head.height}")
    assert until.content == before
    genesis = await lived.client.get("/v1/exports/history?until=0")
    assert list(read_history(io.BytesIO(genesis.content))) == history_of(lived, 1)


async def test_a_history_to_come_or_from_no_row_is_a_problem(lived: World) -> None:
    path = "/v1/exports/history"
    beyond = lived.chain.ledger.last().height + 1
    assert await lived.problem(f"{path}?until={beyond}") == (404, "not_found")
    assert await lived.problem(f"{path}?from=zz") == (400, "invalid_request")
    assert await lived.problem(f"{path}?from={'00' * 300}") == (400, "invalid_request")


async def test_postings_end_with_the_block_at_which_they_were_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.node.commit(builders.mint(("firm-a", 10_000_000), ("firm-b", 700)))
    before = await rows_of(world, "postings")
    monkeypatch.setattr(exports, "CHUNK_ROWS_MAX", 2)
    read = exports._next_postings
    reads = 0

    def read_and_commit(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        found = read(*arguments)
        world.node.commit(builders.mint(("firm-b", reads)))
        return found

    monkeypatch.setattr(exports, "_next_postings", read_and_commit)
    assert await rows_of(world, "postings") == before
    assert reads > 2
    monkeypatch.undo()
    assert len(await rows_of(world, "postings")) == len(before) + reads


@pytest.mark.parametrize("table", TABLES)
async def test_no_read_takes_more_rows_than_its_bound(
    lived: World, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr(exports, "CHUNK_ROWS_MAX", 2)
    most_postings = 3
    """Of one entry of this chain: an entry is never divided."""
    sizes = []
    lines = tabular.lines

    def counted(form: tabular.Form, rows: list[Any]) -> bytes:
        sizes.append(len(rows))
        return lines(form, rows)

    monkeypatch.setattr(tabular, "lines", counted)
    rows = await rows_of(lived, table)
    assert sum(sizes) == len(rows)
    assert max(sizes) <= (1 + most_postings if table == "postings" else 2)
