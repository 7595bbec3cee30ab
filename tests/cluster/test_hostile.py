"""Hostile bytes at a live validator's API and peer port: clear refusals, and the node goes on."""

import asyncio
import random
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from engines.builtin.p2p.frames import FRAME_BYTES_MAX, Channel, encode_frame
from engines.builtin.p2p.identity import client_context
from ledger.encoding import codec, crypto
from ledger.rules.vouchers import Transfer, voucher_id
from ledger.transactions import Body, seal, signing_bytes
from localnet.network import HOST, node_seed, officer_seed
from tests.cluster.support import PROGRAMME, Cluster, firm, running_cluster

pytestmark = pytest.mark.cluster

SEED = 20260102
MUTATIONS = 200
STRANGERS = 60


def test_hostile_bytes_at_the_api_get_a_4xx_and_the_node_goes_on(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    counts: dict[int, int] = {}
    with running_cluster(tmp_path) as cluster:
        good = cluster.transfer(0, 1, 5).raw
        cases: list[bytes] = [b"", b"\xc1", b"[" * 60_000, b"\x91" * 60_000, bytes(70_000)]
        cases += [dice.randbytes(dice.randrange(1, 400)) for _ in range(MUTATIONS)]
        cases += [good[:cut] for cut in range(0, len(good), 7)]
        cases += [good + bytes([dice.randrange(256)]) for _ in range(10)]
        for _ in range(MUTATIONS):
            mutated = bytearray(good)
            mutated[dice.randrange(len(mutated))] ^= 1 << dice.randrange(8)
            cases.append(bytes(mutated))
        cases += [wrong_log(cluster), wrong_key(cluster), non_canonical(good)]
        for case in cases:
            answer = cluster.http.post(cluster.url("guiyang", "/v1/transactions"), content=case)
            counts[answer.status_code] = counts.get(answer.status_code, 0) + 1
            assert 400 <= answer.status_code < 500, f"{answer.status_code} for {case[:80].hex()}"
            problem = answer.json()
            assert problem["code"] and problem["detail"], problem
        assert sum(counts.values()) == len(cases) > 400
        print(f"API: {len(cases)} hostile bodies, answers {dict(sorted(counts.items()))}")
        cluster.final(cluster.transfer(0, 1, 5), party="guiyang")


def wrong_log(cluster: Cluster) -> bytes:
    """Return a transfer that is signed for another ledger."""
    return _transfer(cluster, log_id=bytes(32), owner=firm(0))


def wrong_key(cluster: Cluster) -> bytes:
    """Return a transfer signed by a key that nobody registered."""
    return _transfer(cluster, log_id=cluster.network.log_id, owner=None)


def _transfer(cluster: Cluster, *, log_id: bytes, owner: str | None) -> bytes:
    name, master = cluster.network.name, cluster.network.master
    seed = officer_seed(name, master, owner or "nobody", "owner")
    operation = Transfer(
        voucher=voucher_id(PROGRAMME, 1), holder=firm(0), recipient=firm(1), amount=5
    )
    head = cluster.head("guiyang")
    body = codec.encode(
        Body(version=1, log_id=log_id, expires_at=head.time_ms + 600_000, operation=operation)
    )
    return seal(body, {crypto.public_key(seed): crypto.sign(seed, signing_bytes(body))})


def non_canonical(good: bytes) -> bytes:
    """Return an envelope whose outer array has a longer header than it needs."""
    assert good[0] == 0x92
    return b"\xdc\x00\x02" + good[1:]


def test_hostile_bytes_at_a_peer_port_close_the_link_and_the_node_goes_on(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with running_cluster(tmp_path) as cluster:
        place = cluster.network.places["guiyang"]
        closed = 0
        for number in range(STRANGERS):
            with socket.create_connection((HOST, place.link_port), timeout=10) as stranger:
                stranger.sendall(_greeting(dice, number))
                closed += _is_closed(stranger)
        assert closed == STRANGERS
        refused = asyncio.run(_unregistered_key(place.link_port))
        assert refused, "a key that genesis does not register was let in"
        answered = asyncio.run(_registered_but_rude(cluster, place.link_port, dice))
        page = cluster.http.get(cluster.url("guiyang", "/metrics")).text
        faults = sum(
            int(line.rsplit(" ", 1)[1].split(".")[0])
            for line in page.splitlines()
            if line.startswith("tallystick_peer_faults{")
        )
        print(
            f"peer port: {closed} strangers closed, {answered} rude links closed, {faults} faults"
        )
        assert faults >= closed + answered, page
        assert answered == len(Channel) * 4
        cluster.final(cluster.transfer(0, 1, 5), party="guiyang")
        cluster.wait_same_head()


def _greeting(dice: random.Random, number: int) -> bytes:
    if number % 3 == 0:
        return dice.randbytes(dice.randrange(1, 30_000))
    if number % 3 == 1:
        return b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10
    return b"\x16\x03\x01\xff\xff" + dice.randbytes(20_000)


def _is_closed(stranger: socket.socket) -> bool:
    """Return whether the other end hangs up within the handshake's limit."""
    try:
        while stranger.recv(65_536):
            pass
    except ConnectionError:
        return True
    return True  # recv returned nothing: closed; a timeout raises and fails the test


async def _unregistered_key(port: int) -> bool:
    """Return whether a link key outside genesis is refused."""
    context = client_context(crypto.tagged_hash("stranger"), [])
    context.verify_mode = ssl.CERT_NONE
    try:
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
        writer.write(encode_frame(Channel.CONTROL, b"hello"))
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 10) == b""
    except (ssl.SSLError, ConnectionError):
        return True


async def _registered_but_rude(cluster: Cluster, port: int, dice: random.Random) -> int:
    """Link up as a registered validator that then sends garbage; count the closed links."""
    network = cluster.network
    seed = node_seed(network.name, network.master, "chengdu-aicc", "link")
    peer = crypto.public_key(node_seed(network.name, network.master, "guiyang", "link"))
    closed = 0
    for channel in Channel:
        for number in range(4):
            context = client_context(seed, [peer])
            reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
            if number == 0:
                data = (FRAME_BYTES_MAX + 1).to_bytes(4, "big") + bytes(16)
            elif number == 1:
                data = bytes(64)
            else:
                data = encode_frame(channel, dice.randbytes(200))
            writer.write(data)
            with suppress(ConnectionError, ssl.SSLError):
                await asyncio.wait_for(reader.read(), 20)
            closed += 1  # read() ended: the node closed the link; a timeout raises
            writer.close()
    return closed


def test_the_api_survives_clients_that_hang_up(tmp_path: Path) -> None:
    beginning = b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Length: 9"
    with running_cluster(tmp_path) as cluster:
        place = cluster.network.places["shanghai"]
        for cut in range(len(beginning)):
            with socket.create_connection((HOST, place.api_port)) as client:
                client.sendall(beginning[:cut])
        cluster.final(cluster.transfer(0, 1, 5))
