"""Sending a transaction: the statuses, the waits, and what no block can hold."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from api import following
from api.app import stop_waiting
from api.problems import CODES
from api.routes.transactions import BODY_BYTES_MAX
from ledger.inadmissible import AlreadyLogged, BadSignature, Expired, all_inadmissible
from ledger.status import TransactionStatus
from ledger.transactions import parse, seal
from tests import builders
from tests.api.world import World
from tests.builders import GENESIS_MS, MINUTE_MS, NOON_MS
from tests.toy.note import Note

pytestmark = pytest.mark.anyio

VOUCHER = "shanghai.compute.000000001"
POST = "/v1/transactions"
SIGNERS = [{"party": party, "person": "owner"} for party in ("firm-a", "firm-b")]
"""Of a transfer, in the order of their keys."""


@pytest.fixture
async def minted(world: World) -> World:
    """Give firm-a a voucher of 100,000 yuan."""
    world.node.commit(builders.mint(("firm-a", 10_000_000)))
    return world


def id_of(raw: bytes) -> str:
    """Return the id of an envelope's transaction."""
    return parse(raw).id.hex()


async def until_waiting(world: World) -> None:
    """Return once a request waits."""
    while len(world.app.state.services.waiters) == 0:
        await asyncio.sleep(0)


async def test_a_transaction_is_pending_until_a_block_holds_it(minted: World) -> None:
    raw = builders.transfer(VOUCHER, 500)
    sent = await minted.client.post(POST, content=raw)
    assert (sent.status_code, sent.json()["status"]) == (202, "pending")
    assert sent.headers["location"] == f"{POST}/{id_of(raw)}"
    assert (await minted.client.get(sent.headers["location"])).status_code == 202
    minted.node.commit()
    found = await minted.get(sent.headers["location"])
    head = minted.chain.ledger.last()
    assert (found["status"], found["code"], found["number"]) == ("final", "ok", 0)
    assert (found["kind"], found["height"]) == ("voucher.transfer", head.height)
    assert found["sequence"] == head.log_size - 2
    assert found["expires_at"] == NOON_MS + 60 * MINUTE_MS
    assert found["postings"] == [
        {
            "kind": "transfer",
            "programme": "shanghai.compute",
            "serial": 2,
            "count": 1,
            "amount": 500,
            "source": "firm-a",
            "target": "firm-b",
        }
    ]
    assert found["node"]["name"] == "shanghai"
    assert found["node"]["record_hash"] == head.record_hash.hex()


async def test_waiting_for_final_answers_when_the_block_is_durable(minted: World) -> None:
    raw = builders.transfer(VOUCHER, 500)
    sending = asyncio.create_task(minted.client.post(f"{POST}?wait=final", content=raw))
    await until_waiting(minted)
    assert not sending.done()
    minted.node.commit()
    answer = await sending
    assert (answer.status_code, answer.json()["status"]) == (200, "final")
    assert len(minted.app.state.services.waiters) == 0


async def test_many_wait_for_one_block_and_all_are_answered(minted: World) -> None:
    raws = [builders.transfer(VOUCHER, 500 + number) for number in range(50)]
    sending = [
        asyncio.create_task(minted.client.post(f"{POST}?wait=final", content=raw)) for raw in raws
    ]
    while len(minted.app.state.services.waiters) < len(raws):
        await asyncio.sleep(0)
    minted.node.commit()
    answers = await asyncio.gather(*sending)
    assert [answer.json()["status"] for answer in answers] == ["final"] * len(raws)
    assert [answer.json()["id"] for answer in answers] == [id_of(raw) for raw in raws]


async def test_waiting_ends_at_the_timeout_with_what_is_known(minted: World) -> None:
    raw = builders.transfer(VOUCHER, 500)
    answer = await minted.client.post(f"{POST}?wait=final&timeout_ms=30", content=raw)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")


async def test_a_refusal_for_now_is_answered_at_once_with_code_and_values(minted: World) -> None:
    raw = builders.transfer(VOUCHER, 10_000_001)
    answer = await minted.client.post(f"{POST}?wait=final", content=raw)
    document = answer.json()
    assert answer.status_code == 200
    assert (document["status"], document["code"], document["number"]) == (
        "refused",
        "voucher_exhausted",
        502,
    )
    assert document["values"] == {"asked": 10_000_001, "available": 10_000_000}


async def test_the_loser_of_a_double_spend_learns_it_while_it_waits(minted: World) -> None:
    loser = builders.transfer(VOUCHER, 9_000_000)
    sending = asyncio.create_task(minted.client.post(f"{POST}?wait=final", content=loser))
    await until_waiting(minted)
    minted.node.pending.clear()
    minted.node.commit(builders.transfer(VOUCHER, 8_000_000))
    await minted.node.refuse(loser)
    answer = await sending
    assert (answer.status_code, answer.json()["status"]) == (200, "refused")
    assert answer.json()["values"] == {"asked": 9_000_000, "available": 2_000_000}


async def test_a_refusal_that_nobody_told_is_asked_for(
    minted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOKUP_AFTER_S", 0)
    loser = builders.transfer(VOUCHER, 9_000_000)
    sending = asyncio.create_task(minted.client.post(f"{POST}?wait=final", content=loser))
    await until_waiting(minted)
    minted.node.pending.clear()
    minted.node.commit(builders.transfer(VOUCHER, 8_000_000))
    await minted.node.submit(loser)
    assert (await sending).json()["status"] == "refused"


async def test_sending_again_what_is_logged_answers_the_logged_status(minted: World) -> None:
    raw = builders.transfer(VOUCHER, 500)
    minted.node.commit(raw)
    first = (await minted.client.post(POST, content=raw)).json()
    second = (await minted.client.post(f"{POST}?wait=final", content=raw)).json()
    assert first == second | {"node": first["node"]}
    assert first["status"] == "final"


async def test_what_is_final_stays_final_when_it_is_sent_again_after_its_expiry(
    minted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = builders.transfer(VOUCHER, 500, expires_at=minted.chain.now_ms + 1_500)
    minted.node.commit(raw)
    minted.node.commit(time_ms=minted.chain.now_ms + MINUTE_MS)
    assert (await minted.client.post(POST, content=raw)).json()["status"] == "final"

    async def by_its_clock(raw: bytes) -> TransactionStatus:
        expired = Expired(expires_at_ms=1, time_ms=2)
        return TransactionStatus.inadmissible(parse(raw).id, 1, expired)

    monkeypatch.setattr(minted.node, "submit", by_its_clock)
    answer = await minted.client.post(f"{POST}?wait=final", content=raw)
    assert (answer.status_code, answer.json()["status"]) == (200, "final"), "the log knows better"


async def test_what_expired_before_it_came_is_expired(minted: World) -> None:
    raw = builders.transfer(VOUCHER, 500, expires_at=GENESIS_MS + 1)
    time_ms = minted.chain.ledger.last().time_ms
    for answer in (
        await minted.client.post(POST, content=raw),
        await minted.client.post(f"{POST}?wait=final", content=raw),
        await minted.client.get(f"{POST}/{id_of(raw)}?expires_at={GENESIS_MS + 1}"),
    ):
        document = answer.json()
        assert (answer.status_code, document["status"]) == (200, "expired")
        assert document["values"] == {"expires_at_ms": GENESIS_MS + 1, "time_ms": time_ms}
        assert document["node"]["time_ms"] == time_ms


async def test_waiting_ends_when_block_time_passes_the_expiry(minted: World) -> None:
    raw = builders.transfer(VOUCHER, 500, expires_at=minted.chain.now_ms + 1_500)
    sending = asyncio.create_task(minted.client.post(f"{POST}?wait=final", content=raw))
    await until_waiting(minted)
    minted.node.pending.clear()
    minted.node.commit(builders.attest("firm-a"))
    minted.node.commit(builders.attest("firm-b"))
    answer = await sending
    assert (answer.status_code, answer.json()["status"]) == (200, "expired")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"log_id": b"\1" * 32}, 400, "wrong_log"),
        ({"expires_at": NOON_MS + 30 * 86_400_000}, 400, "expires_too_far"),
        ({"by": (("stranger", "owner"),)}, 403, "key_unknown"),
    ],
)
async def test_what_no_block_can_hold_is_a_problem(
    minted: World, changes: dict[str, Any], status: int, code: str
) -> None:
    raw = builders.transfer(VOUCHER, 500, **changes)
    answer = await minted.client.post(POST, content=raw)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["retryable"] is False


async def test_a_signature_that_does_not_verify_is_forbidden(minted: World) -> None:
    raw = bytearray(builders.transfer(VOUCHER, 500))
    raw[-40] ^= 1
    answer = await minted.client.post(POST, content=bytes(raw))
    assert (answer.status_code, answer.json()["code"]) == (403, "bad_signature")


async def test_a_wrong_signature_is_told_by_its_key(
    minted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = builders.key("firm-b", "owner").hex()

    async def by_its_verifiers(raw: bytes) -> TransactionStatus:
        return TransactionStatus.inadmissible(bytes(32), 0, BadSignature(key=key))

    monkeypatch.setattr(minted.node, "submit", by_its_verifiers)
    answer = await minted.client.post(POST, content=builders.transfer(VOUCHER, 500))
    assert answer.json()["values"] == {"key": key}
    assert answer.json()["detail"] == f"the signature by {key} does not verify"


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x92\xc4", b"{}", b"\xff" * 1000])
async def test_bytes_that_are_no_transaction_are_named_so(minted: World, body: bytes) -> None:
    for path in (POST, f"{POST}/simulate"):
        answer = await minted.client.post(path, content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "not_canonical")


async def test_a_kind_that_the_software_lacks_is_named_so(minted: World) -> None:
    note = Note(voucher=VOUCHER, holder="firm-a", remark=bytes(32))
    raw = builders.signed(note, ("firm-a", "owner"))
    for path in (POST, f"{POST}/simulate"):
        answer = await minted.client.post(path, content=raw)
        assert (answer.status_code, answer.json()["code"]) == (400, "kind_unknown")
        assert answer.json()["values"] == {"kind": "voucher.note"}


async def test_what_is_malformed_is_told_in_the_clients_language(minted: World) -> None:
    chinese = {"Accept-Language": "zh"}
    for path in (POST, f"{POST}/simulate"):
        told = (await minted.client.post(path, content=b"\x01", headers=chinese)).json()
        assert told["values"] == {"reason": "expected array, got int"}
        assert told["detail"] == "不是规范的已签名交易：expected array, got int"


async def test_what_no_block_can_hold_is_told_with_its_values(minted: World) -> None:
    raw = builders.transfer(VOUCHER, 500, by=(("stranger", "owner"),))
    answer = await minted.client.post(POST, content=raw)
    assert answer.json()["values"] == {"key": builders.key("stranger", "owner").hex()}


def test_every_inadmissible_code_is_a_problem_or_a_status() -> None:
    told_as_status = {Expired.code, AlreadyLogged.code}
    assert {one.code for one in all_inadmissible()} - set(CODES) == told_as_status


async def test_a_body_beyond_the_limit_is_too_large_declared_or_not(minted: World) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 1024):
            yield bytes(1024)
        yield b"\0"

    fits = await minted.client.post(POST, content=bytes(BODY_BYTES_MAX))
    assert fits.json()["code"] == "not_canonical"
    for content in (bytes(BODY_BYTES_MAX + 1), pieces()):
        answer = await minted.client.post(POST, content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_busy_node_asks_to_try_again(minted: World) -> None:
    minted.node.is_busy = True
    answer = await minted.client.post(POST, content=builders.transfer(VOUCHER, 500))
    assert (answer.status_code, answer.json()["code"]) == (429, "busy")
    assert answer.json()["retryable"] is True
    assert answer.headers["retry-after"] == "1"


async def test_without_a_node_sending_fails_and_reading_goes_on(minted: World) -> None:
    logged = builders.transfer(VOUCHER, 500)
    minted.node.commit(logged)
    await minted.lose_node()
    answer = await minted.client.post(POST, content=builders.transfer(VOUCHER, 600))
    assert (answer.status_code, answer.json()["code"]) == (503, "node_unreachable")
    assert answer.json()["retryable"] is True
    assert (await minted.get(f"{POST}/{id_of(logged)}"))["status"] == "final"
    assert (await minted.get("/v1/vouchers"))["height"] == 4


async def test_beyond_the_bound_on_waiting_a_request_is_answered_as_things_stand(
    minted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "WAITERS_MAX", 1)
    first = asyncio.create_task(
        minted.client.post(f"{POST}?wait=final", content=builders.transfer(VOUCHER, 500))
    )
    await until_waiting(minted)
    second = await minted.client.post(f"{POST}?wait=final", content=builders.transfer(VOUCHER, 600))
    assert (second.status_code, second.json()["status"]) == (202, "pending")
    minted.node.commit()
    assert (await first).json()["status"] == "final"


async def test_the_node_is_asked_about_a_bounded_number_at_a_time(
    minted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOKUPS_MAX", 1)
    monkeypatch.setattr(following, "LOOKUP_AFTER_S", 0)
    raws = [builders.transfer(VOUCHER, 500 + number) for number in range(3)]
    sending = [
        asyncio.create_task(minted.client.post(f"{POST}?wait=final", content=raw)) for raw in raws
    ]
    while len(minted.app.state.services.waiters) < len(raws):
        await asyncio.sleep(0)
    minted.node.pending.clear()
    minted.node.commit(builders.transfer(VOUCHER, 10_000_000))
    for raw in raws:
        await minted.node.submit(raw)
    answers = await asyncio.gather(*sending)  # each got its turn
    assert [answer.json()["code"] for answer in answers] == ["voucher_exhausted"] * 3


async def test_simulating_says_what_would_happen_and_changes_nothing(minted: World) -> None:
    answer = await minted.client.post(f"{POST}/simulate", content=builders.transfer(VOUCHER, 500))
    assert answer.status_code == 200
    assert (answer.json()["code"], answer.json()["height"]) == ("ok", 4)
    assert answer.json()["postings"][0]["amount"] == 500
    refused = await minted.client.post(
        f"{POST}/simulate", content=builders.transfer(VOUCHER, 10_000_001)
    )
    assert (refused.json()["code"], refused.json()["number"]) == ("voucher_exhausted", 502)
    assert minted.node.pending == {}


async def test_an_unknown_id_is_unknown_or_expired_for_certain(minted: World) -> None:
    path = f"{POST}/{'ab' * 32}"
    answer = await minted.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "transaction_unknown")
    assert (answer.json()["retryable"], answer.headers["retry-after"]) == (True, "1")
    later = minted.chain.ledger.last().time_ms
    assert await minted.problem(f"{path}?expires_at={later + 1}") == (404, "transaction_unknown")
    assert (await minted.get(f"{path}?expires_at={later}"))["status"] == "expired"


async def test_a_wrong_expiry_makes_nothing_expired_that_waits_here(minted: World) -> None:
    raw = builders.transfer(VOUCHER, 500)
    await minted.node.submit(raw)
    passed = minted.chain.ledger.last().time_ms
    answer = await minted.client.get(f"{POST}/{id_of(raw)}?expires_at={passed}")
    document = answer.json()
    assert (answer.status_code, document["status"]) == (202, "pending")
    assert document["expires_at"] > passed, "the node knows the true one"


async def test_a_look_up_by_id_alone_tells_the_kind_of_what_is_logged(minted: World) -> None:
    raw = builders.transfer(VOUCHER, 500)
    await minted.node.submit(raw)
    path = f"{POST}/{id_of(raw)}"
    waiting = (await minted.client.get(path)).json()
    assert (waiting["status"], waiting["kind"]) == ("pending", None)
    minted.node.commit()
    logged = await minted.get(path)
    assert (logged["status"], logged["kind"]) == ("final", "voucher.transfer")


async def test_a_look_up_waits_for_nothing(minted: World) -> None:
    answer = await minted.client.get(f"{POST}/{'ab' * 32}?wait=final&timeout_ms=9")
    assert answer.status_code == 400
    assert answer.json()["values"].keys() == {"query.wait", "query.timeout_ms"}


async def test_simulating_looks_at_keys_and_not_at_signatures(minted: World) -> None:
    transaction = parse(builders.transfer(VOUCHER, 500))
    path = f"{POST}/simulate"
    blank = {key: bytes(64) for key, _ in transaction.signatures}
    answer = await minted.client.post(path, content=seal(transaction.body_bytes, blank))
    assert answer.json()["code"] == "ok"
    blank.popitem()
    answer = await minted.client.post(path, content=seal(transaction.body_bytes, blank))
    assert answer.json()["code"] == "signature_missing"
    stranger = {builders.key("stranger", "owner"): bytes(64)}
    told = (await minted.client.post(path, content=seal(transaction.body_bytes, stranger))).json()
    assert (told["code"], told["number"]) == ("key_unknown", 0)
    answer = await minted.client.post(path, content=seal(transaction.body_bytes, {}))
    assert answer.json()["code"] == "not_canonical"


async def test_an_expiry_in_seconds_is_told_from_one_in_milliseconds(minted: World) -> None:
    path = f"{POST}/{'ab' * 32}?expires_at="
    assert await minted.problem(f"{path}{GENESIS_MS // 1_000}") == (400, "invalid_request")
    assert await minted.problem(f"{path}{GENESIS_MS}") == (400, "invalid_request")
    assert (await minted.get(f"{path}{GENESIS_MS + 1}"))["status"] == "expired"


async def test_what_waits_is_listed_with_whose_it_is_and_why_and_until_when(minted: World) -> None:
    good = [builders.transfer(VOUCHER, 500 + number) for number in range(2)]
    refused = builders.transfer(VOUCHER, 10_000_001)
    for raw in (*good, refused):
        await minted.node.submit(raw)
    first = await minted.get(f"{POST}?status=pending&limit=2")
    assert [item["id"] for item in first["items"]] == [id_of(raw) for raw in good]
    second = await minted.get(f"{POST}?status=pending&cursor={first['next']}")
    (item,) = second["items"]
    assert (item["status"], item["code"], item["number"]) == ("refused", "voucher_exhausted", 502)
    assert item["values"] == {"asked": 10_000_001, "available": 10_000_000}
    assert "100,000.01 yuan" in item["message"]
    assert item["expires_at"] == NOON_MS + 60 * MINUTE_MS
    assert item["signers"] == SIGNERS
    assert (item["kind"], item["operation"]["amount"]) == ("voucher.transfer", 10_000_001)
    assert item["says"].startswith("voucher.transfer: firm-a passes")
    assert "node" not in item and "time_ms" not in item
    last = await minted.get(f"{POST}?status=pending&cursor={second['next']}")
    assert (last["items"], last["next"]) == ([], None)
    assert last["height"] == minted.chain.ledger.last().height
    assert await minted.problem(f"{POST}?status=final") == (400, "invalid_request")


async def test_transactions_are_listed_newest_first_and_page_without_gap(minted: World) -> None:
    minted.node.commit(builders.transfer(VOUCHER, 500), builders.transfer(VOUCHER, 501))
    whole = await minted.get(POST)
    sequences = [item["sequence"] for item in whole["items"]]
    assert sequences == sorted(sequences, reverse=True)
    assert whole["next"] is None
    newest = whole["items"][0]
    assert newest["operation"] == {
        "kind": "voucher.transfer",
        "voucher": VOUCHER,
        "holder": "firm-a",
        "recipient": "firm-b",
        "amount": 501,
    }
    assert newest["signers"] == SIGNERS
    paged: list[int] = []
    path = f"{POST}?limit=2"
    while True:
        page = await minted.get(path)
        assert len(page["items"]) <= 2
        paged += [item["sequence"] for item in page["items"]]
        if page["next"] is None:
            break
        path = f"{POST}?limit=2&cursor={page['next']}"
    assert paged == sequences


async def test_a_listed_transaction_names_its_signers_when_their_keys_are_gone(
    minted: World,
) -> None:
    minted.node.commit(builders.transfer(VOUCHER, 500))
    minted.node.commit(builders.rotate(keys=builders.keys_of("firm-a", "heir")))
    newest, before, *_ = (await minted.get(POST))["items"]
    assert newest["kind"] == "party.set_keys"
    assert before["signers"] == SIGNERS


async def test_the_server_lets_waiting_requests_go_when_it_stops(minted: World) -> None:
    sending: asyncio.Task[httpx2.Response] = asyncio.create_task(
        minted.client.post(f"{POST}?wait=final", content=builders.transfer(VOUCHER, 500))
    )
    await until_waiting(minted)
    stop_waiting(minted.app)
    assert (await sending).json()["status"] == "pending"
