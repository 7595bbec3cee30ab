"""Reading what a voucher's whole life leaves behind: every kind of record, by its own address."""

import re
from pathlib import Path
from typing import Any

import pytest

from ledger.rules.governance import SetStatus
from tests import builders
from tests.api import life
from tests.api.world import World

pytestmark = pytest.mark.anyio

SPEC = Path(__file__).parents[2] / "docs/spec/http.md"
PAYABLE = f"{life.PAID}-000"
SETTLING = "clearing.000000001-000"


@pytest.fixture
async def lived(world: World) -> World:
    """Serve a chain that every kind of transaction has touched."""
    life.live(world.node)
    return world


async def test_every_state_answer_names_its_height_and_record_hash(lived: World) -> None:
    head = lived.chain.ledger.last()
    for path in (
        *("reserves", f"reserves/{life.RESERVE}", "payables", f"payables/{PAYABLE}", "payments"),
        *(
            "payments/shanghai/E1",
            "settlement",
            "cycles",
            "cycles/1",
            "holds",
            "holds/shanghai.000000001",
        ),
        *("anchors", "anchors/shanghai.000000001", "recoveries", "recoveries/firm-b"),
        *("governance/proposals", "governance/proposals/1", "governance/parameters"),
        *("governance/control", "governance/members", "parties/firm-b/attestations"),
    ):
        found = await lived.get(f"/v1/{path}")
        assert (found["height"], found["record_hash"]) == (head.height, head.record_hash.hex()), (
            path
        )
        assert ("items" in found) != ("item" in found and "sequence" in found), path


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        (f"reserves?voucher={life.FIRST}", [life.RESERVE]),
        (f"reserves?voucher={life.SECOND}", []),
        (f"reserves?voucher={life.FIRST}&holder=firm-b", []),
        ("reserves?holder=firm-a&centre=guian-hub", [life.RESERVE]),
        ("reserves?holder=guian-hub", []),
        ("reserves?centre=chengdu-aicc", []),
        ("claims?status=under_review", [life.WAITING]),
        ("claims?status=disputed", []),
        ("claims?status=accepted&programme=shanghai.shared", [life.CLEARED]),
        ("claims?holder=firm-a&status=under_review", [life.WAITING]),
        (f"payables?claim={life.PAID}", [PAYABLE]),
        ("payables?claim=clearing.000000001", [SETTLING]),
        ("payables?debtor=guiyang", [f"{life.CLEARED}-000", f"{life.CLEARED}-002"]),
        ("payables?debtor=guiyang&creditor=shanghai", [f"{life.CLEARED}-002"]),
        ("payables?creditor=shanghai", [f"{life.CLEARED}-002"]),
        ("payables?debtor=shanghai&creditor=guiyang&open=true", [SETTLING]),
        ("payables?debtor=shanghai&open=false", [f"{life.CLEARED}-001"]),
        (f"payments?payable={PAYABLE}", ["E1", "E2", "E3", "E4"]),
        (f"payments?payable={SETTLING}", []),
        ("holds?open=true", ["shanghai.000000002"]),
        ("holds?open=false", ["shanghai.000000001"]),
        (f"holds?scope=voucher&thing={life.SECOND}", ["shanghai.000000001"]),
        ("holds?thing=firm-b&open=true", ["shanghai.000000002"]),
        ("holds?scope=centre&thing=firm-b", []),
        ("anchors?by=shanghai", ["shanghai.000000001"]),
        ("anchors?by=guiyang", []),
    ],
)
async def test_a_filter_narrows_a_list(lived: World, path: str, ids: list[str]) -> None:
    assert [item["id"] for item in (await lived.get(f"/v1/{path}"))["items"]] == ids


@pytest.mark.parametrize(
    "path",
    [
        *("payables", "payables?debtor=shanghai", "payments", f"payments?payable={PAYABLE}"),
        *("claims", "holds", "governance/proposals", "payables?open=true"),
    ],
)
async def test_pages_of_any_size_give_the_whole_list_in_order(lived: World, path: str) -> None:
    joint = "&" if "?" in path else "?"
    whole = (await lived.get(f"/v1/{path}"))["items"]
    assert len(whole) >= 2
    for limit in range(1, len(whole) + 1):
        items = []
        cursor = ""
        while True:
            page = await lived.get(f"/v1/{path}{joint}limit={limit}{cursor}")
            assert len(page["items"]) <= limit
            items += page["items"]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert items == whole


async def test_a_payable_shows_what_may_still_be_paid(lived: World) -> None:
    item = (await lived.get(f"/v1/payables/{PAYABLE}"))["item"]
    assert (item["amount"], item["cancelled"], item["written_off"]) == (1_000_000, 50_000, 30_000)
    assert (item["paid"], item["pending"], item["attempt"]) == (600_000, 90_000, 3)
    assert item["open"] == 1_000_000 - 50_000 - 30_000 - 600_000 - 90_000


async def test_what_a_closed_cycle_settled_is_not_open_any_more(lived: World) -> None:
    gone = (await lived.get(f"/v1/payables/{life.CLEARED}-001"))["item"]
    assert (gone["cycle"], gone["open"]) == (1, 0)
    in_its_place = (await lived.get(f"/v1/payables/{SETTLING}"))["item"]
    assert (in_its_place["leg"], in_its_place["open"]) == ("settlement", 400_000)
    joined = (await lived.get(f"/v1/payables/{life.CLEARED}-002"))["item"]
    assert (joined["cycle"], joined["open"]) == (2, 100_000)


async def test_a_payment_shows_its_progress(lived: World) -> None:
    item = (await lived.get("/v1/payments/shanghai/E2"))["item"]
    assert (item["status"], item["reason"], item["confirmed_by"]) == (
        *("returned", "account closed", "guian-hub"),
    )
    assert (await lived.get("/v1/payments/shanghai/E3"))["item"]["status"] == "objected"


async def test_the_open_cycle_is_there_before_anything_joined_it(world: World) -> None:
    found = await world.get("/v1/settlement")
    assert found["item"] == {"number": 1, "first_join_ms": None, "positions": []}
    assert found["sequence"] == 0
    assert (await world.get("/v1/cycles"))["items"] == []


async def test_the_nets_of_the_open_cycle_and_of_closed_ones_are_shown(lived: World) -> None:
    found = await lived.get("/v1/settlement")
    assert found["item"]["number"] == 2
    assert {one["party"]: one["net"] for one in found["item"]["positions"]} == {
        "guiyang": -100_000,
        "shanghai": 100_000,
    }
    closed = (await lived.get("/v1/cycles/1"))["item"]
    assert (closed["closed_by"], closed["closed_ms"]) == ("guiyang", life.NEXT_DAY_MS)
    assert [one["id"] for one in closed["settlement"]] == [SETTLING]
    assert sum(one["amount"] for one in closed["settlement"]) == closed["amount"]
    assert (await lived.get("/v1/cycles"))["items"] == [closed]


async def test_closed_cycles_are_listed_newest_first_and_page_without_gap(lived: World) -> None:
    day_ms = 24 * 60 * builders.MINUTE_MS
    for number in (2, 3):
        time_ms = life.NEXT_DAY_MS + number * 2 * day_ms
        expires_at = time_ms + builders.MINUTE_MS
        if number == 3:
            credit = builders.credit(life.CLEARED, 1_000, expires_at=expires_at)
            life.accept(lived.node, credit, time_ms=time_ms - day_ms)
        close = builders.close_cycle(number, expires_at=expires_at)
        life.accept(lived.node, close, time_ms=time_ms)
    numbers = []
    path = "/v1/cycles?limit=1"
    while True:
        page = await lived.get(path)
        numbers += [one["number"] for one in page["items"]]
        if page["next"] is None:
            break
        path = f"/v1/cycles?limit=1&cursor={page['next']}"
    assert numbers == [3, 2, 1]
    assert (await lived.get("/v1/cycles?cursor=0"))["items"] == []
    assert len((await lived.get("/v1/cycles?cursor=99"))["items"]) == 3


async def test_a_party_shows_who_takes_its_place(lived: World) -> None:
    away = SetStatus(party="chengdu-aicc", status="suspended", successor=("guian-hub",))
    rest: dict[str, Any] = {"expires_at": later(lived)}
    number = len((await lived.get("/v1/governance/proposals"))["items"]) + 1
    votes = (builders.vote(number, voter=one, **rest) for one in ("guiyang", "henan", "guian-hub"))
    life.accept(lived.node, builders.propose(away, **rest), *votes)
    item = (await lived.get("/v1/parties/chengdu-aicc"))["item"]
    assert (item["status"], item["successor"]) == ("suspended", "guian-hub")
    assert (await lived.get("/v1/parties/guian-hub"))["item"]["successor"] is None


async def test_a_party_shows_its_recovery_only_while_one_is_open(lived: World) -> None:
    item = (await lived.get("/v1/parties/firm-b"))["item"]
    assert item["recovery"]["status"] == "open"
    assert item["stopped_since_ms"] == item["recovery"]["opened_ms"]
    assert (await lived.get("/v1/parties/firm-a"))["item"]["recovery"] is None
    life.accept(lived.node, builders.decide_keys("firm-b", accept=False, expires_at=later(lived)))
    assert (await lived.get("/v1/parties/firm-b"))["item"]["recovery"] is None
    closed = (await lived.get("/v1/recoveries/firm-b"))["item"]
    assert (closed["status"], closed["closed_ms"]) == ("rejected", lived.chain.now_ms)
    assert (await lived.get("/v1/recoveries?status=open"))["items"] == []


def later(world: World) -> int:
    """Return an expiry that lies ahead."""
    return world.chain.now_ms + builders.MINUTE_MS


async def test_a_proposal_shows_its_action_votes_and_status(lived: World) -> None:
    adopted = (await lived.get("/v1/governance/proposals/1"))["item"]
    assert adopted["yes"] == ["shanghai", "guiyang", "henan", "guian-hub"]
    assert (adopted["action"]["kind"], adopted["status"]) == ("parameters", "adopted")
    assert adopted["action"]["parameters"] == (await lived.get("/v1/governance/parameters"))["item"]
    listed = {}
    for status in ("open", "adopted", "over"):
        found = await lived.get(f"/v1/governance/proposals?status={status}")
        listed[status] = [one["number"] for one in found["items"]]
    assert listed == {"open": [2], "adopted": [1], "over": []}
    lived.node.commit(time_ms=(await lived.get("/v1/governance/proposals/2"))["item"]["closes_ms"])
    over = (await lived.get("/v1/governance/proposals?status=over"))["items"]
    assert [(one["number"], one["status"], one["over"]) for one in over] == [(2, "open", True)]


async def test_members_are_those_who_vote_with_their_power(lived: World) -> None:
    items = (await lived.get("/v1/governance/members"))["items"]
    assert {one["id"]: one["power"] for one in items} == {
        "chengdu-aicc": 1,
        "guian-hub": 1,
        "guiyang": 1,
        "henan": 0,
        "shanghai": 1,
    }
    control = (await lived.get("/v1/governance/control"))["item"]
    assert (control["paused_since_ms"], control["rules"], control["engines"]) == (None, [], [])


async def test_attestations_have_their_address_under_the_party_too(lived: World) -> None:
    items = (await lived.get("/v1/parties/firm-a/attestations"))["items"]
    assert [(one["topic"], one["attester"]) for one in items] == [("registered_in", "shanghai")]
    assert items[0]["revoked_ms"] is not None
    assert items == (await lived.get("/v1/attestations/firm-a"))["items"]


@pytest.mark.parametrize(
    "path",
    [
        *(
            "reserves/guian-hub.000000009",
            "payables/guian-hub.000000001-009",
            "payments/shanghai/E9",
        ),
        *("cycles/2", "holds/shanghai.000000009", "anchors/shanghai.000000009"),
        *("recoveries/firm-a", "governance/proposals/9", "claims/guian-hub.000000009"),
    ],
)
async def test_what_is_not_there_is_not_found(lived: World, path: str) -> None:
    assert await lived.problem(f"/v1/{path}") == (404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        *("claims?status=paid", "payables?open=perhaps", "holds?scope=city", "cycles/0"),
        *(
            "payables/guian-hub.000000001",
            "payments/shanghai/E%20",
            "governance/proposals?status=won",
        ),
        *("exports/vouchers?format=xml", "exports/statement", "reserves?voucher=shanghai"),
        "exports/statement?debtor=shanghai&from_ms=2&until_ms=1",
    ],
)
async def test_what_makes_no_sense_is_refused_as_a_request(lived: World, path: str) -> None:
    assert await lived.problem(f"/v1/{path}") == (400, "invalid_request")


async def test_every_route_is_described_in_openapi_and_in_the_specification(world: World) -> None:
    described = await world.get("/openapi.json")
    assert described["openapi"].startswith("3.1")
    spec = SPEC.read_text(encoding="utf-8")
    written = set(re.findall(r"/v1[a-z/{}_\[\]]*", spec))
    told = set()
    for address in written:
        # `/v1/claims[/{claim}]` tells of both.
        told |= {re.sub(r"\[.*?\]", "", address), address.replace("[", "").replace("]", "")}
    paths = {path for path in described["paths"] if path.startswith("/v1")}
    assert {re.sub(r"{.*?}", "{}", path) for path in paths} <= {
        re.sub(r"{.*?}", "{}", address) for address in told
    }
    for path in paths:
        for operation in described["paths"][path].values():
            assert operation.get("description"), path
