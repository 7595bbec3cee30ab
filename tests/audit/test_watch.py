"""A watch of several nodes: what contradicts is found, proven and told; what is harmless is not."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from audit import findings, watch, web
from audit.commands import watch as command
from audit.watch import Code, Event, Watch, document_of
from audit.web import NoAnswer, Web
from ledger.encoding import misbehaviour, policy
from ledger.encoding.misbehaviour import Misbehaviour, NothingProven
from ledger.encoding.note import NOTE_BYTES_MAX
from ledger.encoding.policy import Policy
from tally.exits import TallyError
from tests.audit.stories import COSIGNERS, HANG_S, ORIGIN, Server, entries, serving, trusted
from tests.wallet.fake_node import unused_url
from tests.wallet.terminal import Tally
from wallet.verified import HEAD_AGE_MAX_S


@pytest.fixture
def asking() -> Iterator[Web]:
    """Return a client."""
    made = Web()
    yield made
    made.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Return what ends the servers of a test."""
    with ExitStack() as made:
        yield made


class Nodes:
    """Four nodes with one honest log of 300 entries, and a watch that a test may start anew."""

    def __init__(self, stack: ExitStack, asking: Web, folder: Path) -> None:
        self.servers = [
            stack.enter_context(serving(Server(entries(300), log=name))) for name in COSIGNERS
        ]
        self.web, self.folder = asking, folder
        self.policies: list[Policy] = [trusted()]
        self.restart()

    @property
    def urls(self) -> list[str]:
        """Return the addresses."""
        return [one.url for one in self.servers]

    def restart(self) -> None:
        """Forget what is in memory."""
        self.watch = Watch(self.urls, self.policies, self.folder, self.web)

    def grow(self, size: int) -> None:
        """Let every node go on with the honest log."""
        for one in self.servers:
            one.entries = entries(size)

    def codes(self) -> list[str]:
        """Do a round that finds nothing; return what each node's head is."""
        statuses, found = self.watch.round()
        assert not found, [one.sentence for one in found]
        return [str(one.code) for one in statuses]

    def found(self) -> list[Event]:
        """Do a round; return what it found."""
        return self.watch.round()[1]

    def checked(self, event: Event, policies: Sequence[Policy] = ()) -> misbehaviour.Proven:
        """Return what the file of a finding proves to a stranger."""
        data = Path(event.facts["file"]).read_bytes()
        assert data.decode() == event.facts["evidence"]
        return misbehaviour.verify(misbehaviour.parse(data), policies or [trusted()])


@pytest.fixture
def nodes(stack: ExitStack, asking: Web, tmp_path: Path) -> Nodes:
    """Serve four nodes."""
    return Nodes(stack, asking, tmp_path / "state")


def test_nodes_that_agree_are_well_also_while_some_are_behind(nodes: Nodes) -> None:
    assert nodes.codes() == ["ok"] * 4
    nodes.grow(700)
    nodes.servers[1].entries = entries(699)
    nodes.servers[2].entries = entries(300)
    assert nodes.codes() == ["ok", "behind", "behind", "ok"]
    nodes.grow(701)
    nodes.restart()
    assert nodes.codes() == ["ok"] * 4
    assert [one.size for one in nodes.watch.branches()] == [701]


def test_two_heads_of_one_size_are_a_fork_that_names_every_signer(nodes: Nodes) -> None:
    nodes.servers[2].entries = entries(300, "another", 299)
    (event,) = nodes.found()
    proven = nodes.checked(event)
    assert (event.code, proven.misbehaviour) == (Code.FORK, Misbehaviour.FORK)
    assert "two heads of 300 entries" in event.sentence
    assert event.sentence.endswith("cosigned both: a, b, c, d")
    assert [one["name"] for one in event.facts["signers"]] == list(COSIGNERS), "no log key did"
    assert nodes.urls[2] in (event.node, event.facts["other_node"])


@pytest.mark.parametrize("since", [0, 255, 299])
@pytest.mark.parametrize("size", [300, 512, 515])
def test_a_larger_head_that_begins_otherwise_is_a_fork(nodes: Nodes, size: int, since: int) -> None:
    nodes.grow(min(size, 400) if size > 300 else 257)
    assert nodes.codes() == ["ok"] * 4
    nodes.servers[3].entries = entries(size + 300, "another", min(since, size - 1, 256))
    (event,) = nodes.found()
    assert nodes.checked(event).misbehaviour is Misbehaviour.FORK
    assert "do not begin with" in event.sentence


def test_a_smaller_head_that_is_no_part_of_the_largest_is_a_fork(nodes: Nodes) -> None:
    nodes.grow(600)
    nodes.servers[0].entries = entries(350, "another", 349)
    (event,) = nodes.found()
    assert nodes.checked(event).misbehaviour is Misbehaviour.FORK
    assert nodes.checked(event).second.size == 600


def test_a_fork_is_told_once_and_both_branches_may_grow(nodes: Nodes) -> None:
    nodes.servers[3].entries = entries(310, "another", 299)
    assert len(nodes.found()) == 1
    for size in (320, 330, 900):
        nodes.grow(size)
        nodes.servers[3].entries = entries(size + 5, "another", 299)
        assert nodes.codes() == ["fork"] * 4
        nodes.restart()
    assert sorted(one.size for one in nodes.watch.branches()) == [900, 905]
    nodes.servers[2].entries = entries(901, "a third", 298)
    assert len(nodes.found()) == 2, "it contradicts both"
    assert len(nodes.watch.findings.names()) == 3


def test_a_fork_after_a_restart_contradicts_what_was_seen_before_it(nodes: Nodes) -> None:
    assert nodes.codes() == ["ok"] * 4
    nodes.restart()
    for one in nodes.servers:
        one.entries = entries(420, "another", 299)
    (event,) = nodes.found()
    assert nodes.checked(event).first.size == 300
    assert "fork" in event.sentence


def test_branches_end_at_a_limit(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BRANCHES_MAX", 3)
    monkeypatch.setattr(findings, "FINDINGS_MAX", 4)
    told = 0
    for story in range(5):
        nodes.servers[0].entries = entries(300, f"story {story}", 7)
        told += len(nodes.found())
    assert len(nodes.watch.branches()) == 3
    assert len(nodes.watch.findings.names()) == 4
    assert told == 1 + 2 + 3 * 3


def test_a_smaller_head_cosigned_later_is_a_rollback_by_its_cosigners(nodes: Nodes) -> None:
    nodes.grow(600)
    for one in nodes.servers:
        one.seconds_ago = 20
    assert nodes.codes() == ["ok"] * 4
    nodes.servers[1].entries = entries(500)
    nodes.servers[1].seconds_ago = 0
    nodes.servers[1].cosigners = "abc"
    statuses, (event,) = nodes.watch.round()
    assert [str(one.code) for one in statuses] == ["ok", "rollback", "ok", "ok"]
    proven = nodes.checked(event)
    assert (event.code, proven.misbehaviour) == (Code.ROLLBACK, Misbehaviour.ROLLBACK)
    assert [one.name for one in proven.signers] == ["a", "b", "c"]
    nodes.servers[1].entries = entries(501)
    nodes.restart()
    assert not nodes.found(), "told once, until the node is forward again"
    nodes.grow(601)
    nodes.servers[1].seconds_ago = 10
    assert nodes.codes() == ["ok"] * 4
    nodes.servers[1].entries = entries(502)
    nodes.servers[1].seconds_ago = 0
    assert len(nodes.found()) == 1


def test_a_node_never_seen_before_may_serve_the_rollback(nodes: Nodes) -> None:
    nodes.grow(600)
    for one in nodes.servers:
        one.seconds_ago = 20
    nodes.servers[1].entries = entries(500)
    nodes.servers[1].seconds_ago = 0
    assert [one.code for one in nodes.found()] == [Code.ROLLBACK]
    assert not nodes.found()


def test_a_node_that_serves_its_own_old_head_went_back_and_no_key_did(nodes: Nodes) -> None:
    old = nodes.servers[1].head().to_bytes()
    time.sleep(1.1)  # cosignatures count seconds
    nodes.grow(600)
    assert nodes.codes() == ["ok"] * 4
    nodes.servers[1].replies["/log/checkpoint"] = (200, old)
    statuses, (event,) = nodes.watch.round()
    assert [str(one.code) for one in statuses] == ["ok", "went_back", "ok", "ok"]
    assert event.facts["signers"] == []
    with pytest.raises(NothingProven, match="no key cosigned"):
        nodes.checked(event)
    nodes.restart()
    assert nodes.codes() == ["ok", "went_back", "ok", "ok"], "told once"


def test_a_node_that_lags_was_never_further_and_is_harmless(nodes: Nodes) -> None:
    old = nodes.servers[1].head().to_bytes()
    nodes.servers[1].replies["/log/checkpoint"] = (200, old)
    assert nodes.codes() == ["ok"] * 4
    time.sleep(1.1)
    nodes.grow(600)
    assert nodes.codes() == ["ok", "behind", "ok", "ok"]


def test_a_head_cosigned_long_ago_is_old(nodes: Nodes) -> None:
    nodes.servers[0].seconds_ago = HEAD_AGE_MAX_S + 5
    statuses, found = nodes.watch.round()
    assert [str(one.code) for one in statuses] == ["old", "ok", "ok", "ok"]
    assert not found
    assert "125 s ago" in statuses[0].sentence or "126 s ago" in statuses[0].sentence


def test_what_no_policy_accepts_is_named_with_the_new_cosigners(nodes: Nodes) -> None:
    nodes.servers[2].cosigners = ("a", "b", "e", "f")
    nodes.servers[2].log = "a"
    statuses, _ = nodes.watch.round()
    assert statuses[2].code is Code.UNTRUSTED
    assert f"no policy names: {ORIGIN}/e, {ORIGIN}/f" in statuses[2].sentence
    assert statuses[2].facts["unknown_cosigners"] == [f"{ORIGIN}/e", f"{ORIGIN}/f"]
    nodes.policies.append(trusted(("a", "b", "e", "f")))
    nodes.restart()
    assert nodes.codes() == ["ok"] * 4, "one of several policies is enough"


@pytest.mark.parametrize(
    "body", [b"", b"junk", b"\xff" * 50, b"a\n\n\xe2\x80\x94 b AAAAAAA=\n", b"<html>"]
)
def test_what_is_no_head_is_not_trusted(nodes: Nodes, body: bytes) -> None:
    nodes.servers[0].replies["/log/checkpoint"] = (200, body)
    assert nodes.codes() == ["untrusted", "ok", "ok", "ok"]


def test_answers_beyond_their_limits_are_none(nodes: Nodes) -> None:
    nodes.servers[0].replies["/log/checkpoint"] = (200, b"a" * (NOTE_BYTES_MAX + 1))
    nodes.servers[1].replies["/log/checkpoint"] = (302, b"")
    nodes.servers[2].replies["/log/checkpoint"] = (503, b"")
    statuses, _ = nodes.watch.round()
    assert [one.code for one in statuses[:3]] == [Code.UNREACHABLE] * 3
    assert "more than 131072 bytes" in statuses[0].sentence


def test_wrong_tiles_accuse_their_server_alone_and_prove_nothing(nodes: Nodes) -> None:
    assert nodes.codes() == ["ok"] * 4
    nodes.grow(301)
    liar = nodes.servers[0]
    liar.replies["/log/tile/0/001.p/45"] = (200, bytes(45 * 32))
    assert nodes.codes() == ["wrong_tiles", "ok", "ok", "ok"]
    liar.replies["/log/tile/0/001.p/45"] = (200, b"short")
    nodes.grow(301)
    assert [one.size for one in nodes.watch.branches()] == [301], "others had the tiles"


def test_slow_tiles_end_with_the_time_of_a_round(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nodes.codes() == ["ok"] * 4
    monkeypatch.setattr(watch, "ROUND_S", -1)
    nodes.grow(301)
    assert nodes.codes() == ["uncompared"] * 4
    monkeypatch.setattr(watch, "ROUND_S", 60)
    assert nodes.codes() == ["ok"] * 4


def test_names_that_nobody_vouches_for_reach_no_terminal(nodes: Nodes) -> None:
    good = nodes.servers[0].head().to_bytes().decode()
    lines = "".join(f"\u2014 {ORIGIN}/\x9b31m{number:02} AAAAAAAA\n" for number in range(20))
    body = (good[: good.rindex("\n", 0, -1) + 1] + lines).encode()
    nodes.servers[0].cosigners = ()
    few = nodes.servers[0].head().to_bytes() + lines.encode()
    nodes.servers[0].replies["/log/checkpoint"] = (200, body)
    assert nodes.watch.round()[0][0].code is Code.OK, "strangers may add lines"
    nodes.servers[0].replies["/log/checkpoint"] = (200, few)
    event = nodes.watch.round()[0][0]
    assert event.code is Code.UNTRUSTED
    assert event.sentence.isprintable()
    assert event.sentence.count("x9b31m") == watch.NAMES_MAX
    assert len(event.facts["unknown_cosigners"]) == 20


def test_a_head_whose_tiles_nobody_serves_is_not_compared(nodes: Nodes) -> None:
    assert nodes.codes() == ["ok"] * 4
    nodes.servers[0].entries = entries(301, "another", 5)
    nodes.servers[0].replies["/log/tile/0/001.p/45"] = (404, b"")
    assert nodes.codes() == ["uncompared", "ok", "ok", "ok"]
    assert [one.size for one in nodes.watch.branches()] == [300], "it is not believed meanwhile"
    del nodes.servers[0].replies["/log/tile/0/001.p/45"]
    assert len(nodes.found()) == 1


def drip(stack: ExitStack, first: bytes, piece: bytes) -> str:
    """Return the address of a server that answers a byte now and then, for ever."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    ended = threading.Event()
    stack.callback(ended.set)

    def serve() -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(first)
                while not ended.wait(0.05):
                    connection.sendall(piece)
        except OSError:
            pass

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"a"),
    ],
    ids=["silent", "endless headers", "slow body"],
)
def test_a_server_without_end_costs_its_time_and_no_more(
    nodes: Nodes, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, first: bytes, piece: bytes
) -> None:
    monkeypatch.setattr(web, "ANSWER_S", 1)
    nodes.servers[0].url = drip(stack, first, piece)
    nodes.restart()
    began = time.monotonic()
    statuses, _ = nodes.watch.round()
    assert time.monotonic() - began < HANG_S
    assert statuses[0].code is Code.UNREACHABLE
    assert "within 1 s" in statuses[0].sentence
    assert [one.code for one in statuses[1:]] == [Code.OK] * 3


def test_a_small_answer_does_not_unpack_into_a_large_one(stack: ExitStack, asking: Web) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"
    with pytest.raises(NoAnswer, match="encoding"):
        asking.get(drip(stack, head + bytes(20), b""), 1000)


class Killed(BaseException):
    """The process ends here."""


def test_a_kill_at_any_write_loses_no_finding_and_no_head(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each sync is a place to die at; afterwards the finding is whole, and told to the webhook."""
    sync, left = os.fsync, [0]

    def sometimes(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sometimes)
    deaths = 0
    for place in range(1, 40):
        nodes.folder = tmp_path / str(place)
        nodes.grow(300)
        left[0] = 0
        nodes.restart()
        assert nodes.codes() == ["ok"] * 4
        nodes.servers[3].entries = entries(310, "another", 299)
        left[0] = place
        try:
            nodes.found()
            nodes.watch.findings.mark_delivered("done")
            died = left[0] <= 0
        except Killed:
            died = True
            deaths += 1
        left[0] = 0
        nodes.restart()
        nodes.watch.round()
        (name,) = nodes.watch.findings.names()
        data = nodes.watch.findings.evidence_path(name).read_bytes()
        assert (
            misbehaviour.verify(misbehaviour.parse(data), [trusted()]).misbehaviour
            is Misbehaviour.FORK
        )
        assert [one.size for one in nodes.watch.branches()] in ([300, 310], [310, 300])
        assert list(nodes.watch.findings.undelivered()) == [name]
        if not died:
            break
    assert deaths >= 6


def test_a_damaged_or_foreign_state_is_named(nodes: Nodes) -> None:
    assert nodes.codes() == ["ok"] * 4
    path = nodes.folder / "state.json"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    with pytest.raises(TallyError, match=r"state.json is damaged"):
        nodes.restart()
    path.write_bytes(good.replace(ORIGIN.encode(), b"tallystick.log/dev-test/" + b"0b" * 32))
    with pytest.raises(TallyError, match="is about"):
        nodes.restart()


# --- the webhook ---------------------------------------------------------------------------------


def test_a_webhook_that_is_down_gets_the_finding_when_it_is_up(
    nodes: Nodes, asking: Web, stack: ExitStack
) -> None:
    nodes.servers[3].entries = entries(310, "another", 299)
    (event,) = nodes.found()
    address = unused_url()
    hook = findings.Webhook(f"{address}/T0KEN", asking, nodes.watch.findings)
    told = [hook.deliver(now_s) for now_s in range(20)]
    assert [now_s for now_s, one in enumerate(told) if one] == [0, 1, 3, 7, 15]
    assert "T0KEN" not in str(told)
    assert hook.due_s == 31
    receiver = Server([], replies={"/T0KEN": (200, b"thanks")})
    stack.enter_context(serving(receiver, int(address.rpartition(":")[2])))
    assert hook.deliver(30) is None
    assert not receiver.posted, "not due yet"
    for now_s in (31, 32, 1_000):
        assert hook.deliver(now_s) is None
    (body,) = receiver.posted
    assert json.loads(body) == json.loads(json.dumps(document_of(event)))
    assert hook.has_all()
    nodes.restart()
    again = findings.Webhook(f"{address}/T0KEN", asking, nodes.watch.findings)
    again.deliver(0)
    assert len(receiver.posted) == 1, "and never again"


def test_a_webhook_that_refuses_is_called_again(
    nodes: Nodes, asking: Web, stack: ExitStack
) -> None:
    nodes.servers[3].entries = entries(310, "another", 299)
    nodes.found()
    receiver = stack.enter_context(serving(Server([], replies={"/": (500, b"")})))
    hook = findings.Webhook(f"{receiver.url}/", asking, nodes.watch.findings)
    assert hook.deliver(0) == "the webhook answers 500; it is called again"
    receiver.replies["/"] = (200, b"")
    assert hook.deliver(1) is None
    assert hook.has_all()


# --- the commands --------------------------------------------------------------------------------


class Shell:
    """A terminal in front of the four nodes."""

    def __init__(self, nodes: Nodes, tally: Tally, folder: Path) -> None:
        self.nodes, self.folder = nodes, folder
        self._tally = tally
        self.policy = folder / "trusted.policy"
        self.policy.write_bytes(trusted().to_bytes())

    def words(self, *more: str) -> list[str]:
        """Return the command."""
        return [
            *("audit", "watch", *self.nodes.urls, "--policy", str(self.policy)),
            *("--state", str(self.folder / "state"), *more),
        ]

    def once(self, *more: str, exits: int = 0) -> Any:
        """Do one round; return the document."""
        return self._tally.json(*self.words("--once", *more), exits=exits)


@pytest.fixture
def shell(nodes: Nodes, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    """Return a terminal."""
    return Shell(nodes, Tally(capsys), tmp_path)


def test_one_round_says_that_all_is_well(shell: Shell) -> None:
    document = shell.once()
    assert document["verdict"].startswith("one log: 4 of 4 nodes answer")
    assert [one["event"] for one in document["nodes"]] == ["ok"] * 4
    assert [one["size"] for one in document["branches"]] == [300]


def test_one_round_that_finds_a_fork_proves_it_and_tells_the_webhook(
    shell: Shell, stack: ExitStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver = stack.enter_context(serving(Server([], replies={"/s3cret": (200, b"")})))
    hook = tmp_path / "hook"
    hook.write_text(f"{receiver.url}/s3cret\n")
    shell.nodes.servers[3].entries = entries(310, "another", 299)
    error = shell.once("--webhook-file", str(hook), exits=8)["error"]
    (found,) = error["details"]["findings"]
    assert found["event"] == "fork"
    assert "s3cret" not in json.dumps(error)
    assert json.loads(receiver.posted[0])["evidence"] == found["evidence"]
    terminal = Tally(capsys)
    verify = ("audit", "misbehaviour", found["file"], "--policy", str(shell.policy))
    verdict = terminal.json(*verify)
    assert verdict["misbehaviour"] == "fork"
    assert verdict["cosigned_both"] == list(COSIGNERS)
    other = tmp_path / "other.policy"
    other.write_bytes(trusted(("e", "f", "g", "h")).to_bytes())
    refused = terminal.json(*verify[:-1], str(other), exits=9)
    assert "proves nothing" in refused["error"]["message"]
    assert shell.once(exits=8)["error"]["details"]["findings"] == [], "it still has two branches"


def test_a_webhook_that_is_down_neither_stops_nor_shows(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "WEBHOOK_TRIES", 2)
    hook = tmp_path / "hook"
    hook.write_text(f"{unused_url()}/s3cret")
    shell.nodes.servers[3].entries = entries(310, "another", 299)
    error = shell.once("--webhook-file", str(hook), exits=8)["error"]
    assert "cannot be reached" in error["details"]["webhook"]
    assert "s3cret" not in json.dumps(error)
    hook.write_text("ftp://s3cret")
    error = shell.once("--webhook-file", str(hook), exits=2)["error"]
    assert "s3cret" not in json.dumps(error)


def test_exit_codes_tell_what_is_not_well(shell: Shell) -> None:
    nodes = shell.nodes
    nodes.servers[0].replies["/log/checkpoint"] = (404, b"")
    assert shell.once()["verdict"].startswith("one log: 3 of 4")
    nodes.servers[1].seconds_ago = 1_000
    assert "an old one" in shell.once(exits=7)["error"]["message"]
    nodes.servers[1].seconds_ago = 0
    nodes.servers[1].entries = entries(301)
    nodes.servers[1].replies["/log/tile/0/001.p/45"] = (404, b"")
    assert "tiles" in shell.once(exits=10)["error"]["message"]
    for one in nodes.servers:
        one.replies["/log/checkpoint"] = (404, b"")
    assert "answers 404" in shell.once(exits=7)["error"]["message"]


def test_what_cannot_be_watched_is_said_at_once(
    shell: Shell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tally = Tally(capsys)
    assert tally("-o", "json", *shell.words()) == 2
    assert "ndjson" in tally.out
    other = tmp_path / "other.policy"
    text = policy.validators_policy(logs=[], witnesses=trusted().witnesses).to_bytes()
    other.write_bytes(text)
    words = ["audit", "watch", "http://127.0.0.1:1", "--policy", str(other)]
    assert tally(*words) == 2
    assert "policies of one log, got none" in tally.err
    assert tally("audit", "watch", "http://a:b@c", "--policy", str(shell.policy)) == 2
    assert "a:b" not in tally.err
    many = [f"http://127.0.0.1:{port}" for port in range(1, watch.NODES_MAX + 2)]
    assert tally("audit", "watch", *many, "--policy", str(shell.policy)) == 2


def test_it_goes_on_and_tells_what_changes(shell: Shell) -> None:
    told = command._for_ever(shell.nodes.watch, None, 0)
    assert [next(told)["event"] for _ in range(4)] == ["ok"] * 4
    shell.nodes.servers[1].replies["/log/checkpoint"] = (404, b"")
    assert next(told)["event"] == "unreachable"
    shell.nodes.servers[3].entries = entries(310, "another", 299)
    found = next(told)
    assert (found["event"], "evidence" in found) == ("fork", False)
    assert Path(found["file"]).is_file()
    assert [next(told)["event"] for _ in range(3)] == ["fork"] * 3, "of the nodes that answer"


@pytest.mark.ci
def test_it_runs_until_it_is_interrupted_and_survives_a_kill(shell: Shell) -> None:
    words = [sys.executable, "-m", "tally", "-o", "ndjson", *shell.words("--every", "1")]

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def line(process: subprocess.Popen[str]) -> Any:
        assert process.stdout is not None
        return json.loads(process.stdout.readline())

    with started() as first:
        assert [line(first)["event"] for _ in range(4)] == ["ok"] * 4
        second = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S)
        assert second.returncode == 2
        assert "in use by process" in second.stdout
        first.kill()
    shell.nodes.servers[3].entries = entries(310, "another", 299)
    with started() as again:
        events = [line(again) for _ in range(5)]
        assert [one["event"] for one in events] == ["fork"] * 5
        assert events[0]["finding"]
        again.send_signal(signal.SIGINT)
        assert again.wait(HANG_S) == 130
