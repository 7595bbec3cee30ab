"""Whatever comes, the answer is a clear 4xx and the server goes on."""

import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import quote, quote_from_bytes

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import builders
from tests.api.process import Served, served_at

CASES = 120
PATHS = (
    *("/v1/parties/{}", "/v1/programmes/{}/x", "/v1/programmes/shanghai/{}", "/v1/vouchers/{}"),
    *("/v1/vouchers/{}/history", "/v1/vouchers?holder={}", "/v1/vouchers?programme={}"),
    *("/v1/vouchers?cursor={}", "/v1/vouchers?limit={}", "/v1/claims/{}", "/v1/claims?holder={}"),
    *("/v1/claims?cursor={}&holder=firm-a", "/v1/centres/{}", "/v1/recognitions?programme={}"),
    *("/v1/payables?debtor={}", "/v1/attestations/{}", "/v1/blocks/{}", "/v1/blocks/{}/commit"),
    *("/v1/blocks?before={}", "/v1/blocks?limit={}", "/v1/exports/log?from={}"),
    *("/v1/exports/commits?from={}", "/v1/transactions/{}", "/v1/transactions?before={}"),
    *("/v1/vouchers/shanghai.compute.000000001?at_height={}", "/v1/events?after={}9999999"),
    *("/v1/vouchers/shanghai.compute.000000001/history?cursor={}", "/{}", "/v1/{}"),
    *("/v1/reserves/{}", "/v1/reserves?voucher={}", "/v1/claims?status={}", "/v1/payables/{}"),
    *(
        "/v1/payables?claim={}",
        "/v1/payables?open={}",
        "/v1/payments/{}/E1",
        "/v1/payments/shanghai/{}",
        "/v1/payments?payable={}",
    ),
    *("/v1/cycles/{}", "/v1/cycles?cursor={}", "/v1/holds/{}", "/v1/holds?thing={}"),
    *("/v1/holds?scope={}", "/v1/anchors/{}", "/v1/anchors?by={}", "/v1/recoveries/{}"),
    *("/v1/governance/proposals/{}", "/v1/governance/proposals?status={}"),
    *("/v1/parties/{}/attestations", "/v1/exports/vouchers?at_height={}"),
    *("/v1/exports/claims?format={}", "/v1/exports/payments?payable={}"),
    *("/v1/exports/postings?from={}", "/v1/exports/budgets?programme={}"),
    *("/v1/exports/statement?debtor={}", "/v1/exports/statement?creditor=guian-hub&from_ms={}"),
    *("/v1/exports/statement?debtor=shanghai&until_ms={}", "/console/vouchers/{}"),
    *(
        "/console/fragment/voucher/{}",
        "/console/fragment/{}",
        "/console/static/{}/console.js",
        "/?lang={}",
        "/v1/parties?kind={}",
    ),
)
TEXTS = (
    st.text(max_size=40).map(lambda text: quote(text, safe=""))
    | st.binary(max_size=40).map(lambda data: quote_from_bytes(data, safe=""))
    | st.integers(min_value=-(2**70), max_value=2**70).map(str)
    | st.sampled_from(["..", "%2e%2e%2f", "%00", "a" * 5000, "ab" * 32, "0x10", "１", "NaN", "1e3"])
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a chain with a voucher from a process of its own."""
    folder = tmp_path_factory.mktemp("hostile")
    with served_at(folder, lambda node: node.commit(builders.mint(("firm-a", 100)))) as made:
        yield made


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx2.Client]:
    """Return a client that keeps its connection."""
    with httpx2.Client(base_url=served.address) as made:
        yield made


@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(PATHS), text=TEXTS)
def test_no_address_makes_the_server_fail(client: httpx2.Client, path: str, text: str) -> None:
    address = path.format(quote(text, safe="%"))
    answer = client.get(address)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["code"] in ("invalid_request", "not_found", "transaction_unknown") or (
            answer.json()["code"] in ("cursor_invalid", "out_of_range")
        )


@settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=300), cut=st.integers(0, 400), flip=st.integers(0, 2**12))
def test_no_body_makes_the_server_fail(
    client: httpx2.Client, body: bytes, cut: int, flip: int
) -> None:
    good = bytearray(builders.transfer("shanghai.compute.000000001", 1))
    good[flip % len(good)] ^= 1 << flip % 8
    for content in (body, bytes(good), bytes(good[:cut])):
        for path in ("/v1/transactions", "/v1/transactions/simulate"):
            answer = client.post(path, content=content)
            assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v1/parties HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 4096,
        b"GET /v1/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: \xb2\xb3\r\n\r\n",
    ],
)
def test_no_bytes_on_the_wire_make_the_server_fail(served: Served, sent: bytes) -> None:
    host, port = served.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = connection.recv(4096)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert httpx2.get(f"{served.address}/livez").status_code == 200
