"""Links over real sockets on loopback: who gets in, what is sent first, and what closes a link."""

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from engines.builtin.p2p.frames import MESSAGE_BYTES_MAX, Channel, PeerFault, encode_frame
from engines.builtin.p2p.identity import (
    SecureSession,
    client_context,
    make_certificate,
    peer_key,
    server_context,
)
from engines.builtin.p2p.link import (
    UNAUTHENTICATED_BYTES_MAX,
    VERSION,
    Hello,
    Limits,
    Pace,
    Peer,
    Ping,
    Pong,
    Welcome,
)
from engines.builtin.p2p.links import Links
from ledger.encoding.codec import encode
from ledger.encoding.crypto import public_key

HANG_GUARD_S = 20
LOG_ID = hashlib.sha256(b"log").digest()
SEEDS = {name: hashlib.sha256(name.encode()).digest() for name in ("ada", "bob", "cyd", "eve")}
FAST = Limits(
    handshake_ms=2_000,
    hello_ms=500,
    ping_ms=50,
    silence_ms_max=1_000,
    dial_ms_first=10,
    dial_ms_max=100,
    per_address_max=16,
)
CALM = replace(FAST, silence_ms_max=HANG_GUARD_S * 1_000)
GARBAGE_CASES = 60
GOLDEN_CERTIFICATE = "1ed4de8368805048303ccf25c64cf9520205023e8ddd7de12b6ef56bd2a1d7b3"
"""SHA-256 of the certificate of the key whose seed is 32 zero bytes."""


class Node:
    """Links that write down what they are told."""

    def __init__(
        self,
        name: str,
        peers: dict[str, int],
        *,
        limits: Limits = FAST,
        log_id: bytes = LOG_ID,
        seed: bytes | None = None,
        clock_ahead_ms: int = 0,
    ) -> None:
        self.events: list[str] = []
        self.messages: list[tuple[str, Channel, bytes]] = []
        self.reject: bytes | None = None
        """A message that this node's upper rooms find wrong."""
        self.links = Links(
            name=name,
            seed=seed or SEEDS[name],
            log_id=log_id,
            peers=[
                Peer(name=peer, link_key=public_key(SEEDS[peer]), host="127.0.0.1", port=port)
                for peer, port in peers.items()
            ],
            on_message=self._take,
            on_up=lambda peer: self.events.append(f"up {peer}"),
            on_down=lambda peer: self.events.append(f"down {peer}"),
            limits=limits,
            wall_ms=lambda: 1_000_000 + clock_ahead_ms,
        )

    def _take(self, peer: str, channel: Channel, payload: bytes) -> None:
        if payload == self.reject:
            raise PeerFault("wrong")
        self.messages.append((peer, channel, payload))

    async def start(self, port: int = 0) -> int:
        await self.links.start("127.0.0.1", port)
        return self.links.port


NOBODY = 9
"""A port where nothing listens."""


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario; an exception in a callback of the loop fails it, too."""

    async def guarded() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: failures.append(what))
        async with asyncio.timeout(HANG_GUARD_S):
            await scenario()
        assert not failures

    asyncio.run(guarded())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def linked_pair(**bob_options: Any) -> tuple[Node, Node]:
    """Ada and bob, linked; bob calls."""
    ada = Node("ada", {"bob": NOBODY})
    bob = Node("bob", {"ada": await ada.start()}, **bob_options)
    await bob.start()
    await until(lambda: ada.links.up() and bob.links.up())
    return ada, bob


async def stop(*nodes: Node) -> None:
    for node in nodes:
        await node.links.stop()


class Stranger:
    """A hand-made end of a link, to say what no node says."""

    def __init__(self, name: str, server: Node) -> None:
        self.name = name
        self.port = server.links.port
        self.session = SecureSession(
            client_context(SEEDS[name], [public_key(SEEDS["ada"])]), server_side=False
        )
        self.plaintext = b""

    async def connect(self) -> None:
        """Finish the handshake from this end's view."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.session.receive(b"")
        while not self.session.complete:
            self.writer.write(self.session.take())
            self.plaintext += self.session.receive(await self.reader.read(65_536))
        self.writer.write(self.session.take())

    def say(self, message: Any) -> None:
        self.send(encode_frame(Channel.CONTROL, encode(message)))

    def send(self, plaintext: bytes) -> None:
        self.writer.write(self.session.send(plaintext))

    def say_hello(self, **changes: Any) -> None:
        hello: dict[str, Any] = {
            "version": VERSION,
            "log_id": LOG_ID,
            "name": self.name,
            "nonce": bytes(16),
        }
        self.say(Hello(**(hello | changes)))

    async def closed(self) -> None:
        """Wait until the other end closes the connection."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionResetError:
            pass
        self.writer.close()


def test_a_certificate_is_a_function_of_the_link_key_for_ever() -> None:
    certificate = make_certificate(public_key(bytes(32)))
    assert certificate == make_certificate.__wrapped__(public_key(bytes(32)))
    assert hashlib.sha256(certificate).hexdigest() == GOLDEN_CERTIFICATE


def handshake(client: SecureSession, server: SecureSession) -> None:
    client.receive(b"")
    for _ in range(3):
        server.receive(client.take())
        client.receive(server.take())


@pytest.mark.parametrize(
    ("claim", "client_expects", "server_expects"),
    [
        ("the server is not whom the client expects", "cyd", "ada"),
        ("the client is not registered with the server", "bob", "cyd"),
        ("the server knows nobody", "bob", None),
    ],
)
def test_a_handshake_needs_both_registered_keys(
    claim: str, client_expects: str, server_expects: str | None
) -> None:
    def sessions(client_peer: str, server_peer: str | None) -> tuple[SecureSession, SecureSession]:
        server_keys = [public_key(SEEDS[server_peer])] if server_peer else []
        client = client_context(SEEDS["ada"], [public_key(SEEDS[client_peer])])
        server = server_context(SEEDS["bob"], server_keys)
        return SecureSession(client, server_side=False), SecureSession(server, server_side=True)

    client, server = sessions("bob", "ada")
    handshake(client, server)
    ada, bob = public_key(SEEDS["ada"]), public_key(SEEDS["bob"])
    assert peer_key(server.ssl_object, [bob, ada]) == ada
    assert peer_key(client.ssl_object, [ada, bob]) == bob
    with pytest.raises(PeerFault, match="not registered"):
        peer_key(client.ssl_object, [ada])
    with pytest.raises(PeerFault, match="TLS"):
        handshake(*sessions(client_expects, server_expects))


def test_two_nodes_link_up_and_talk_both_ways() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        assert ada.links.send("bob", Channel.VOTE, b"from ada")
        assert bob.links.send("ada", Channel.BLOCK, b"from bob")
        await until(lambda: ada.messages and bob.messages)
        assert ada.messages == [("bob", Channel.BLOCK, b"from bob")]
        assert bob.messages == [("ada", Channel.VOTE, b"from ada")]
        await stop(ada, bob)
        assert ada.events == ["up bob", "down bob"]

    run(scenario)


def test_three_nodes_that_call_each_other_keep_one_link_a_pair() -> None:
    async def scenario() -> None:
        names = ("ada", "bob", "cyd")
        ports = {}
        for name in names:  # every port must be known before the first node starts
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
            ports[name] = server.sockets[0].getsockname()[1]
            server.close()
        nodes = {
            name: Node(name, {peer: ports[peer] for peer in names if peer != name})
            for name in names
        }
        for name, node in nodes.items():
            await node.start(ports[name])
        await until(lambda: all(len(node.links.up()) == 2 for node in nodes.values()))
        await until(lambda: all(len(node.links._open) == 2 for node in nodes.values()))
        assert nodes["ada"].links.broadcast(Channel.VOTE, b"vote") == 2
        await until(lambda: nodes["bob"].messages and nodes["cyd"].messages)
        for node in nodes.values():
            assert len(node.events) == 2, "a superfluous link comes and goes unseen"
            assert not node.links.faults
        await stop(*nodes.values())

    run(scenario)


def test_both_ends_of_two_links_keep_the_same_one() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        before = ada.links._open[0]
        (peer,) = ada.links._peers.values()
        # Ada calls as well.
        answering = replace(peer, port=bob.links.port)
        ada.links._peers = {peer.link_key: answering}
        assert await ada.links._dial(answering)
        await until(lambda: len(ada.links._open) == len(bob.links._open) == 1)
        ours, theirs = ada.links._open[0], bob.links._open[0]
        smaller_is_ada = public_key(SEEDS["ada"]) < public_key(SEEDS["bob"])
        assert (ours.dialled is not None) == smaller_is_ada == (theirs.dialled is None)
        assert (ours is not before) == smaller_is_ada
        assert (ada.events, bob.events) == (["up bob"], ["up ada"])
        await stop(ada, bob)

    run(scenario)


def test_a_node_with_an_unregistered_key_is_refused_and_both_ends_say_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "engines.builtin.p2p.links")

    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY})
        eve = Node("bob", {"ada": await ada.start()}, seed=SEEDS["eve"])
        await eve.start()
        await until(lambda: ada.links.faults[""] >= 2)
        await until(lambda: "link to ada closed: TLS: the other end lists this" in caplog.text)
        assert "link to 127.0.0.1 closed: TLS: the other end's link key is listed" in caplog.text
        assert (ada.events, eve.events) == ([], [])
        await stop(ada, eve)

    run(scenario)


def test_a_node_of_another_log_is_refused() -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY})
        bob = Node("bob", {"ada": await ada.start()}, log_id=bytes(32))
        await bob.start()
        await until(lambda: ada.links.faults["bob"] + bob.links.faults["ada"] >= 2)
        assert (ada.events, bob.events) == ([], [])
        await stop(ada, bob)

    run(scenario)


@pytest.mark.parametrize(
    ("claim", "act"),
    [
        ("another version", lambda bob: bob.say_hello(version=VERSION + 1)),
        ("another log", lambda bob: bob.say_hello(log_id=bytes(32))),
        ("another name", lambda bob: bob.say_hello(name="cyd")),
        ("a name that is no slug", lambda bob: bob.say_hello(name="Ü")),
        ("two hellos", lambda bob: (bob.say_hello(), bob.say_hello())),
        ("a ping before the link is up", lambda bob: bob.say(Ping(number=1))),
        ("a welcome to no hello", lambda bob: bob.say(Welcome(nonce=bytes(16)))),
        ("a vote before the hello", lambda bob: bob.send(encode_frame(Channel.VOTE, b"v"))),
        ("an oversized frame", lambda bob: bob.send(b"\x00\x01\x00\x00\x01\x00")),
        ("an empty frame", lambda bob: bob.send(b"\x00\x00\x00\x02\x01\x00")),
        ("an unknown channel", lambda bob: bob.send(b"\x00\x00\x00\x03\x09\x00x")),
        ("control that is no record", lambda bob: bob.send(encode_frame(Channel.CONTROL, b"\xc1"))),
    ],
)
def test_a_registered_peer_that_breaks_the_protocol_is_cut_off(
    claim: str, act: Callable[[Stranger], None]
) -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY})
        await ada.start()
        bob = Stranger("bob", ada)
        await bob.connect()
        act(bob)
        await bob.closed()
        assert ada.links.faults["bob"] == 1
        assert ada.events == []
        await stop(ada)

    run(scenario)


def test_a_peer_that_never_says_hello_is_cut_off_without_blame() -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY}, limits=replace(FAST, hello_ms=50))
        await ada.start()
        bob = Stranger("bob", ada)
        await bob.connect()
        await bob.closed()
        assert (ada.links.faults.total(), ada.links._open) == (0, [])
        await stop(ada)

    run(scenario)


def test_a_stranger_that_says_nothing_is_cut_off_and_frees_its_place() -> None:
    async def scenario() -> None:
        limits = replace(FAST, handshake_ms=200, unauthenticated_max=2)
        ada = Node("ada", {"bob": NOBODY}, limits=limits)
        port = await ada.start()
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()
        assert ada.links.refused == 1
        bob = Node("bob", {"ada": port})
        await bob.start()
        await until(ada.links.up)
        await stop(ada, bob)

    run(scenario)


def test_one_address_has_a_limited_number_of_connections() -> None:
    async def scenario() -> None:
        ada = Node("ada", {}, limits=replace(FAST, per_address_max=2))
        port = await ada.start()
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        assert ada.links.refused == 1
        for _, other in [*held, (reader, writer)]:
            other.close()
        await stop(ada)

    run(scenario)


def test_one_identity_has_at_most_two_links() -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY})
        await ada.start()
        held = [Stranger("bob", ada) for _ in range(2)]
        for bob in held:
            await bob.connect()
        await until(lambda: sum(link.peer is not None for link in ada.links._open) == 2)
        third = Stranger("bob", ada)
        await third.connect()
        await third.closed()
        assert ada.links.refused == 1
        for bob in held:
            bob.writer.close()
        await stop(ada)

    run(scenario)


def test_a_stranger_may_not_send_much_before_it_is_known() -> None:
    async def scenario() -> None:
        ada = Node("ada", {})
        reader, writer = await asyncio.open_connection("127.0.0.1", await ada.start())
        # A handshake record that promises 16 KiB and a handshake message that promises more.
        writer.write(b"\x16\x03\x01\x40\x00" + b"\x01\x00\xff\xff" + bytes(16_380))
        writer.write(b"\x16\x03\x01\x40\x00" + bytes(UNAUTHENTICATED_BYTES_MAX))
        try:
            while await reader.read(4096):
                pass
        except ConnectionResetError:
            pass
        assert ada.links.faults[""] == 1
        writer.close()
        await stop(ada)

    run(scenario)


def test_garbage_at_the_port_leaves_the_node_running() -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY})
        port = await ada.start()
        dice = random.Random(11)
        for case in range(GARBAGE_CASES):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            prefix = (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n")[case % 3]
            writer.write(prefix + dice.randbytes(dice.randrange(1, 30_000)))
            writer.write_eof()
            try:
                while await reader.read(4096):
                    pass
            except ConnectionResetError:
                pass
            writer.close()
        await until(lambda: not ada.links._open)
        assert ada.links.faults[""] > GARBAGE_CASES // 2
        bob = Node("bob", {"ada": port})
        await bob.start()
        await until(lambda: ada.links.up() and bob.links.up())
        await stop(ada, bob)

    run(scenario)


def test_an_oversized_frame_on_a_link_that_is_up_closes_it_and_it_comes_up_again() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        link = bob.links._open[0]
        assert link._transport is not None
        link._transport.write(link.session.send(b"\xff\xff\xff\xff"))
        await until(lambda: ada.links.faults["bob"] == 1)
        await until(lambda: ada.events == ["up bob", "down bob", "up bob"])
        await stop(ada, bob)

    run(scenario)


def test_a_pong_to_another_ping_closes_the_link() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        link = ada.links._open[0]
        link._ping()
        bob.links._open[0]._say(Pong(number=1_000_000, time_ms=0))
        await until(lambda: ada.links.faults["bob"] == 1)
        assert all(offset > -500_000 for offset in link._offsets_ms), "its time is not believed"
        await stop(ada, bob)

    run(scenario)


def test_a_message_that_the_upper_rooms_find_wrong_closes_the_link() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        ada.reject = b"bad"
        bob.links.send("ada", Channel.VOTE, b"bad")
        await until(lambda: ada.links.faults["bob"] == 1)
        await until(lambda: ada.events[-1] == "up bob" and len(ada.events) == 3)
        ada.links.fault("bob", "found out later")
        assert ada.links.faults["bob"] == 2
        await stop(ada, bob)

    run(scenario)


def test_a_vote_overtakes_a_large_sync_answer() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        answer = bytes(MESSAGE_BYTES_MAX[Channel.SYNC])
        assert ada.links.send("bob", Channel.SYNC, answer)
        assert Channel.SYNC in ada.links._open[0]._queue._begun, "the answer is under way"
        assert ada.links.send("bob", Channel.VOTE, b"vote")
        await until(lambda: len(bob.messages) == 2)
        assert bob.messages == [("ada", Channel.VOTE, b"vote"), ("ada", Channel.SYNC, answer)]
        await stop(ada, bob)

    run(scenario)


def test_a_peer_that_speaks_too_fast_is_read_more_slowly_and_loses_nothing() -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY}, limits=replace(CALM, validator_messages_per_s=100))
        bob = Node("bob", {"ada": await ada.start()}, limits=CALM)
        await bob.start()
        await until(lambda: ada.links.up() and bob.links.up())
        said = [b"%d" % number for number in range(500)]
        for start in range(0, len(said), 100):  # a queue has its limit, too
            for payload in said[start : start + 100]:
                assert bob.links.send("ada", Channel.VOTE, payload)
            await asyncio.sleep(0)
        await until(lambda: len(ada.messages) >= 200)
        assert len(ada.messages) < 300, "twice the pace at once, not all of it"
        await until(lambda: len(ada.messages) == 500)
        assert [payload for _, _, payload in ada.messages] == said
        assert ada.events == ["up bob"], "nobody is cut off, or to blame"
        assert not ada.links.faults
        await stop(ada, bob)

    run(scenario)


def test_a_peer_that_would_not_be_answered_in_time_is_cut_off_without_blame() -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY}, limits=replace(FAST, validator_messages_per_s=10))
        bob = Node("bob", {"ada": await ada.start()})
        await bob.start()
        await until(lambda: ada.links.up() and bob.links.up())
        for number in range(200):
            assert bob.links.send("ada", Channel.VOTE, b"%d" % number)
        await until(lambda: "down bob" in ada.events)
        assert not ada.links.faults
        assert len(ada.messages) < 100
        await stop(ada, bob)

    run(scenario)


@pytest.mark.parametrize("validates", [True, False])
def test_a_peer_is_read_at_the_pace_of_what_it_is_now(validates: bool) -> None:
    async def scenario() -> None:
        limits = replace(CALM, validator_messages_per_s=5_000, observer_messages_per_s=400)
        ada = Node("ada", {"bob": NOBODY}, limits=limits)
        bob = Node("bob", {"ada": await ada.start()}, limits=CALM)
        await bob.start()
        await until(lambda: ada.links.up() and bob.links.up())
        key = public_key(SEEDS["bob"])
        ada.links.set_peers([Peer(name="bob", link_key=key, validates=validates)])
        for number in range(200):
            assert bob.links.send("ada", Channel.VOTE, b"%d" % number)
        await until(lambda: len(ada.messages) >= 100)
        at_once = len(ada.messages)
        await until(lambda: len(ada.messages) == 200)
        assert (at_once < 150) is not validates or at_once == 200
        await stop(ada, bob)

    run(scenario)


def test_a_pace_allows_a_quarter_at_once_and_then_so_much_a_second() -> None:
    second = 1_000_000
    pace = Pace(10 * second)
    assert [pace.wait_us(20, 10 * second) for _ in range(5)] == [0] * 5
    assert pace.wait_us(20, 10 * second) == 50_000
    assert pace.wait_us(20, 10 * second + 25_000) == 25_000
    assert pace.wait_us(20, 10 * second + 50_000) == 0
    taken = sum(not pace.wait_us(20, 10_050_000 + step * 10_000) for step in range(1_001))
    assert taken == 200, "ten seconds at twenty a second"
    later = [pace.wait_us(20, 1_000 * second) for _ in range(6)]
    assert later.count(0) == 5, "and no more saved up"


def test_a_peer_that_does_not_read_is_cut_off_by_overflow() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        transport = bob.links._open[0]._transport
        assert transport is not None
        transport.pause_reading()
        chunk = bytes(MESSAGE_BYTES_MAX[Channel.BLOCK])
        sent = 0
        while ada.links.send("bob", Channel.BLOCK, chunk):
            sent += 1
            await asyncio.sleep(0)
        assert ada.events == ["up bob", "down bob"]
        assert sent * len(chunk) > 4 * 1024 * 1024
        await stop(ada, bob)

    run(scenario)


def test_a_silent_peer_is_dead() -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY}, limits=replace(FAST, silence_ms_max=200))
        bob = Node("bob", {"ada": await ada.start()}, limits=replace(FAST, dial_ms_first=60_000))
        await bob.start()
        await until(ada.links.up)
        link = bob.links._open[0]
        link.data_received = lambda data: None  # type: ignore[method-assign]  # hears nothing
        link._cancel("tick")
        await until(lambda: ada.events == ["up bob", "down bob"])
        assert not ada.links.faults
        await stop(ada, bob)

    run(scenario)


def test_a_link_comes_up_again_after_the_peer_restarts() -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY})
        port = await ada.start()
        bob = Node("bob", {"ada": port})
        await bob.start()
        await until(lambda: ada.links.up() and bob.links.up())
        await stop(ada)
        await until(lambda: bob.events == ["up ada", "down ada"])
        assert not bob.links.send("ada", Channel.VOTE, b"nobody hears")
        again = Node("ada", {"bob": NOBODY})
        await again.start(port)
        await until(lambda: again.links.up() and bob.links.up())
        assert bob.links.send("ada", Channel.VOTE, b"vote")
        await until(lambda: again.messages)
        await stop(again, bob)

    run(scenario)


def peer(name: str, *, seed: str = "", port: int = 0) -> Peer:
    """A peer with an address if it has a port, with a key of its own if a seed is named."""
    key = public_key(SEEDS[seed or name])
    return Peer(name=name, link_key=key, host="127.0.0.1" if port else "", port=port)


def test_a_peer_without_an_address_is_waited_for_and_called_once_it_has_one() -> None:
    async def scenario() -> None:
        ada = Node("ada", {})
        port = await ada.start()
        bob = Node("bob", {})
        ada.links.set_peers([peer("bob")])
        bob_port = await bob.start()
        bob.links.set_peers([peer("ada")])
        assert (ada.links._dialling, bob.links._dialling) == ({}, {})
        bob.links.set_peers([peer("ada", port=NOBODY)])
        assert list(bob.links._dialling) == ["ada"]
        bob.links.set_peers([peer("ada", port=port)])  # the address was wrong
        await until(lambda: ada.links.up() and bob.links.up())
        assert (ada.links.up(), bob.links.up()) == (("bob",), ("ada",))
        ada.links.set_peers([peer("bob", port=bob_port)])
        assert ada.links.up() == ("bob",), "a link does not depend on the address"
        await stop(ada, bob)
        assert (ada.events, bob.events[0]) == (["up bob", "down bob"], "up ada")

    run(scenario)


def test_a_removed_peer_is_cut_off_and_not_let_in_until_it_is_a_peer_again() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        ada.links.set_peers([peer("cyd")])
        assert ada.events == ["up bob", "down bob"]
        assert [status.name for status in ada.links.status()] == ["cyd"]
        await until(lambda: ada.links.faults[""] >= 2)  # bob keeps calling
        assert not ada.links.faults["bob"], "it did nothing wrong while it was a peer"
        assert (ada.links.up(), ada.links.broadcast(Channel.VOTE, b"vote")) == ((), 0)
        ada.links.set_peers([peer("cyd"), peer("bob")])
        await until(lambda: ada.links.up() == ("bob",))
        await stop(ada, bob)

    run(scenario)


def test_a_removed_peer_is_not_called_any_more() -> None:
    async def scenario() -> None:
        calls: list[bytes] = []

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            calls.append(await reader.read(1))
            await reader.read()  # says nothing, until the caller hangs up
            calls.append(b"")
            writer.close()

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        ada = Node("ada", {"bob": server.sockets[0].getsockname()[1]})
        await ada.start()
        await until(lambda: calls)
        ada.links.set_peers([])
        assert ada.links._open == [], "a call whose handshake is under way ends at once"
        await until(lambda: not ada.links._tasks)
        await until(lambda: len(calls) == 2)
        assert (calls[1], ada.links._dialling, ada.events) == (b"", {}, [])
        server.close()
        await stop(ada)

    run(scenario)


def test_a_key_that_is_removed_during_its_handshake_is_refused() -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY})
        await ada.start()
        bob = Stranger("bob", ada)
        reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
        bob.session.receive(b"")
        while not bob.session.complete:
            writer.write(bob.session.take())
            bob.session.receive(await reader.read(65_536))
        ada.links.set_peers([peer("cyd")])
        # Ada has sent its part, and its trust store of that moment knows bob.
        writer.write(bob.session.take())
        assert await reader.read() == b""
        writer.close()
        assert ada.links.faults[""] == 1
        assert (ada.links._open, ada.events) == ([], [])
        await stop(ada)

    run(scenario)


def test_a_key_that_is_removed_before_its_hello_is_cut_off_without_blame() -> None:
    async def scenario() -> None:
        ada = Node("ada", {"bob": NOBODY})
        await ada.start()
        bob = Stranger("bob", ada)
        await bob.connect()
        await until(lambda: any(link.peer for link in ada.links._open))
        ada.links.set_peers([])
        bob.say_hello()
        await bob.closed()
        assert (ada.links.faults.total(), ada.events) == (0, [])
        await stop(ada)

    run(scenario)


def test_a_peer_that_replaces_its_key_is_one_peer_throughout() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        ada.links.set_peers([peer("bob"), peer("bob", seed="eve")])
        assert (ada.links.up(), ada.events) == (("bob",), ["up bob"])
        heir = Node("bob", {"ada": ada.links.port}, seed=SEEDS["eve"])
        await heir.start()
        await until(heir.links.up)
        ada.links.set_peers([peer("bob", seed="eve")])
        await until(lambda: not bob.links.up())
        await until(lambda: ada.links.up() == ("bob",) == tuple(ada.links._alone))
        assert {link.peer.link_key for link in ada.links._open if link.peer} == {
            public_key(SEEDS["eve"])
        }
        assert ada.links.send("bob", Channel.VOTE, b"vote")
        await until(lambda: heir.messages)
        assert not bob.messages
        await until(lambda: ada.links.faults[""] >= 2)  # the old key calls in vain
        await stop(ada, bob, heir)

    run(scenario)


def test_a_key_that_changes_hands_is_cut_off() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        ada.links.set_peers([peer("cyd", seed="bob")])
        assert ada.links.up() == ()
        await until(lambda: ada.links.faults["cyd"] >= 1)  # it still calls itself bob
        assert ada.events == ["up bob", "down bob"]
        await stop(ada, bob)

    run(scenario)


def test_round_trip_and_clock_offset_are_measured() -> None:
    async def scenario() -> None:
        one_ping = replace(FAST, ping_ms=60_000, silence_ms_max=60_000)
        ada = Node("ada", {"bob": NOBODY}, limits=one_ping)
        bob = Node("bob", {"ada": await ada.start()}, clock_ahead_ms=500, limits=one_ping)
        await bob.start()
        await until(lambda: ada.links.clock_offset_ms() is not None)
        assert ada.links.clock_offset_ms(among=["cyd"]) is None
        (status,) = ada.links.status()
        assert (status.name, status.up, status.faults) == ("bob", True, 0)
        assert status.round_trip_us
        # The clocks of this test stand still, so that the pong looks early by half a round trip.
        assert status.clock_offset_ms == 500 - status.round_trip_us // 2_000
        await stop(ada, bob)
        assert ada.links.clock_offset_ms() is None

    run(scenario)


def test_a_stopped_node_leaves_no_socket_and_no_task() -> None:
    async def scenario() -> None:
        ada, bob = await linked_pair()
        transport = bob.links._open[0]._transport
        assert transport is not None
        transport.pause_reading()
        ada.links.send("bob", Channel.SYNC, bytes(MESSAGE_BYTES_MAX[Channel.SYNC]))
        port = ada.links.port
        await stop(ada, bob)
        assert (ada.links._open, bob.links._open) == ([], [])
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    run(scenario)
