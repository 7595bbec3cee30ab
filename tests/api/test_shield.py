"""Headers, rates, health and failures: what holds for every route."""

import re
from pathlib import Path

import pytest

from api.app import limits_of
from api.asked import TOLD_MAX
from api.problems import CODES
from api.schemas import EXPECTED, PROBLEM_MEDIA_TYPE
from api.services import NO_LIMITS, Limits
from api.shield import CLIENTS_MAX, HEADERS, Rates
from desk.following import QUORUM_AGE_MAX_MS
from tests.api.world import World, world_at
from tests.builders import GENESIS_MS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/v1/parties", "/v1/nothing", "/v1/parties?limit=0"]
)
async def test_every_answer_carries_the_security_headers_and_no_cookie(
    world: World, path: str
) -> None:
    answer = await world.client.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_an_unknown_method_is_a_problem_that_names_the_known_ones(
    world: World, method: str
) -> None:
    answer = await world.client.request(method, "/v1/parties")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"
    assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE


async def test_a_problem_says_what_was_expected_where(world: World) -> None:
    answer = await world.client.get("/v1/parties?limit=0&kind=stranger")
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (400, 400, "invalid_request")
    assert problem["type"] == "https://tallystick.example/problems/invalid_request"
    assert set(problem["values"]) == {"query.limit", "query.kind"}
    assert "greater than or equal to 1" in problem["values"]["query.limit"]
    assert "'holder'" in problem["values"]["query.kind"]


async def test_an_id_of_a_wrong_form_is_told_one_that_is_right(world: World) -> None:
    told = (await world.client.get("/v1/vouchers/shanghai.42?at_height=x")).json()["values"]
    expected = "expected an id such as shanghai.compute.000000042 or guian-hub.000000042"
    assert told["path.voucher"] == expected
    assert told.keys() == {"path.voucher", "query.at_height"}


async def test_every_pattern_of_a_parameter_has_words(world: World) -> None:
    paths = (await world.get("/openapi.json"))["paths"].values()
    found = re.findall(r"'pattern': '([^']*)'", str([list(path.values()) for path in paths]))
    patterns = {pattern.replace("\\\\", "\\") for pattern in found}
    assert len(patterns) > 6
    assert patterns == set(EXPECTED)


def test_a_problem_is_retryable_exactly_when_it_is_about_now() -> None:
    for code, known in CODES.items():
        about_now = known.status in (429, 503) or code == "transaction_unknown"
        assert known.retryable == about_now, code


def test_a_client_sends_its_burst_and_then_at_its_rate() -> None:
    now = [100.0]
    rates = Rates(Limits(requests_per_s=8, requests_at_once=3), clock=lambda: now[0])
    assert [rates.take("a") for _ in range(4)] == [True, True, True, False]
    assert rates.take("b"), "another client has its own bucket"
    now[0] += 0.125
    assert [rates.take("a") for _ in range(2)] == [True, False]
    now[0] += 3600
    assert [rates.take("a") for _ in range(4)] == [True, True, True, False]


def test_the_table_of_clients_is_bounded() -> None:
    rates = Rates(Limits(requests_per_s=1, requests_at_once=1), clock=lambda: 0.0)
    for number in range(CLIENTS_MAX + 10):
        assert rates.take(str(number))
    assert len(rates) == CLIENTS_MAX
    assert not rates.take(str(CLIENTS_MAX)), "who was seen lately is remembered"
    assert rates.take("0"), "who was seen longest ago is forgotten"


def test_only_networks_for_trying_out_have_no_rate() -> None:
    assert limits_of("dev-demo") == NO_LIMITS
    assert limits_of("national").requests_per_s is not None


async def test_a_client_beyond_its_rate_is_told_when_to_come_back(tmp_path: Path) -> None:
    limits = Limits(requests_per_s=1, requests_at_once=2)
    async with world_at(tmp_path, limits=limits) as world:
        answers = [await world.client.get("/livez") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "rate_limited"
    assert answers[2].headers["retry-after"] == "1"
    assert answers[2].headers["x-content-type-options"] == "nosniff"


async def test_ready_means_that_the_node_can_finalise(world: World) -> None:
    assert (await world.get("/readyz"))["status"] == "ready"


async def test_a_node_without_quorum_is_not_ready(world: World) -> None:
    world.node.quorum_age_ms = QUORUM_AGE_MAX_MS
    assert await world.problem("/readyz") == (503, "not_ready")


async def test_a_stopped_node_is_not_ready(world: World) -> None:
    world.node.stopped = "the disk is full"
    assert await world.problem("/readyz") == (503, "not_ready")


async def test_without_a_node_the_server_lives_but_is_not_ready(world: World) -> None:
    await world.lose_node()
    assert (await world.get("/livez"))["network"] == "dev-test"
    assert await world.problem("/readyz") == (503, "node_unreachable")
    assert await world.problem("/v1/status") == (503, "node_unreachable")
    assert "tally_api_node_up 0\n" in (await world.client.get("/metrics")).text


async def test_metrics_are_the_nodes_and_the_servers_own(world: World) -> None:
    await world.client.get("/v1/nothing")
    text = (await world.client.get("/metrics")).text
    assert text.startswith("tally_height 3\n")
    assert 'tally_api_answers_total{class="4xx"} 1\n' in text
    assert "tally_api_node_up 1\n" in text


async def test_the_description_names_every_route_and_the_problem(world: World) -> None:
    described = await world.get("/openapi.json")
    assert described["openapi"].startswith("3.1")
    assert {"/v1/transactions", "/v1/events", "/v1/exports/log"} <= set(described["paths"])
    assert "ProblemDocument" in described["components"]["schemas"]
    assert (await world.client.get("/docs")).status_code == 404


async def test_the_quorums_age_goes_on_while_the_node_is_away(world: World) -> None:
    world.node.commit()
    world.node.quorum_age_ms = 400
    assert (await world.get("/readyz"))["status"] == "ready"
    path = f"/v1/transactions/{'00' * 32}?expires_at={GENESIS_MS + 1}"
    assert (await world.get(path))["node"]["quorum_age_ms"] == 400
    await world.lose_node()
    view = world.app.state.services.node
    view._asked_at -= 10
    view._reached_at -= 10
    assert (await world.get(path))["node"]["quorum_age_ms"] >= 10_400


async def test_no_address_ignores_a_parameter_that_it_does_not_have(world: World) -> None:
    paths = (await world.get("/openapi.json"))["paths"]
    read = [path for path, methods in paths.items() if "get" in methods]
    assert len(read) > 60
    for path in (
        *read,
        "/openapi.json",
        "/",
        "/console/vouchers/{voucher}",
        "/console/fragment/{name}",
    ):
        answer = await world.client.get(re.sub(r"{[^}]*}", "x", path) + "?hodler=firm-a")
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (400, "invalid_request"), path
        assert set(problem["values"]) == {"query.hodler"}, path


async def test_what_is_sent_takes_no_foreign_parameter_either(world: World) -> None:
    for address in ("/v1/transactions", "/v1/transactions/simulate", "/witness/add-checkpoint"):
        answer = await world.client.post(f"{address}?waits=final", content=b"")
        assert answer.json()["values"].keys() == {"query.waits"}


async def test_a_foreign_parameter_is_told_the_known_ones(world: World) -> None:
    told = (await world.client.get("/v1/vouchers?hodler=x&limit=5")).json()["values"]
    expected = "holder, programme, cursor, limit"
    assert told == {"query.hodler": f"unknown: expected one of {expected}"}
    told = (await world.client.get("/v1/settlement?number=1")).json()["values"]
    assert told == {"query.number": "unknown: expected no parameter"}


async def test_a_parameter_stands_once(world: World) -> None:
    answer = await world.client.get("/v1/vouchers?holder=firm-a&holder=firm-b")
    assert answer.json()["values"] == {"query.holder": "expected once"}


async def test_many_foreign_parameters_give_a_short_answer(world: World) -> None:
    many = "&".join(f"{number}{'x' * 500}=1" for number in range(50))
    answer = await world.client.get(f"/v1/parties?{many}")
    assert answer.status_code == 400
    assert len(answer.json()["values"]) == TOLD_MAX
    assert len(answer.content) < 8_000
