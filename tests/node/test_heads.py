"""Heads are published when a quorum has cosigned them, and nobody's answer keeps them back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from ledger.encoding import note
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.crypto import public_key, sha256
from ledger.encoding.note import NOTE_BYTES_MAX, KeyType, VerifierKey
from ledger.status import Busy
from ledger.store.durable import write_durably
from ledger.trust import cosigner_key, log_key
from node import heads
from node.heads import (
    ANSWER_BYTES_MAX,
    Head,
    HeadFollower,
    ProofBetween,
    Publisher,
    Target,
)
from tests.builders import seed

ORIGIN = "tallystick.log/dev-test/" + "0b" * 32
PARTIES = ("chengdu", "guiyang", "hefei", "shanghai")
OWN = "shanghai"
OUTSIDE = "witness.example/w"
HANG_GUARD_S = 20
NOW_S = 1_000

Answer = Callable[[bytes], Awaitable[tuple[int, bytes]]]
"""Takes the body of a request, returns status and body of the answer."""


def key_of(party: str) -> VerifierKey:
    """Return a party's cosigner key, or that of a witness who is no party."""
    public = public_key(seed(party, "cosigner"))
    if party == OUTSIDE:
        return VerifierKey(name=OUTSIDE, type=KeyType.COSIGNATURE, public_key=public)
    return cosigner_key(ORIGIN, party, public)


def line_of(
    party: str, head: Checkpoint, *, signer: str | None = None, time_s: int = NOW_S
) -> bytes:
    """Return a cosignature; ``signer`` has the seed, if it is another's."""
    key = key_of(party)
    made = note.cosign(
        head.text(), name=key.name, seed=seed(signer or party, "cosigner"), time_s=time_s
    )
    return made.line().encode()


def checkpoint_of(size: int) -> Checkpoint:
    """Return a head."""
    return Checkpoint(origin=ORIGIN, size=size, root=sha256(b"%d" % size))


def head_of(size: int) -> Head:
    """Return a head as the own node makes it."""
    made = checkpoint_of(size)
    return Head(
        checkpoint=made,
        log_lines=(note.sign(made.text(), name=ORIGIN, seed=seed(OWN, "log")),),
        own_lines=tuple(note.parse_signatures(line_of(OWN, made))),
        cosigners=tuple(key_of(party) for party in PARTIES),
    )


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """Serve HTTP with one answer for everybody; yield the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                front = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = 0
                if b"content-length:" in front:
                    length = int(front.split(b"content-length:")[1].split(b"\r\n")[0])
                status, body = await answer(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n" % (status, len(body)))
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()


def honest(party: str) -> Answer:
    """Return a cosigner that signs what it is asked, from wherever it is."""

    async def answer(body: bytes) -> tuple[int, bytes]:
        signed = note.parse(body.partition(b"\n\n")[2])
        size = int(signed.text.split("\n")[1])
        return 200, line_of(party, checkpoint_of(size))

    return answer


async def no_proof(old_size: int, size: int) -> tuple[bytes, ...]:
    """Return no proof: nobody here looks."""
    return ()


class Publishing:
    """A publisher with its cosigners, in a folder."""

    def __init__(
        self, folder: Path, answers: dict[str, Answer], proof_between: ProofBetween
    ) -> None:
        self.path = folder / "checkpoint"
        self.answers = answers
        self.proof_between = proof_between
        self.pauses: dict[int, float] = {}
        """Seconds until the next head, if not a few."""

    async def run(
        self, sizes: tuple[int, ...], until: Callable[[], bool], *, absent: str = ""
    ) -> None:
        """Publish heads until something is so."""
        async with asyncio.timeout(HANG_GUARD_S):
            publisher = Publisher(self.path, self.proof_between, lambda: NOW_S)
            try:
                await self._run(publisher, sizes, until, absent)
            finally:
                await publisher.stop()

    async def _run(
        self, publisher: Publisher, sizes: tuple[int, ...], until: Callable[[], bool], absent: str
    ) -> None:
        async with contexts(self.answers) as urls:
            publisher.set_targets(
                tuple(Target(name=party, key=key_of(party), url=url) for party, url in urls.items())
                + (
                    (Target(name="nobody", key=key_of(absent), url="http://127.0.0.1:1"),)
                    * bool(absent)
                )
            )
            for size in sizes:
                publisher.publish(head_of(size))
                await asyncio.sleep(self.pauses.get(size, 0.05))
            while not until():
                await asyncio.sleep(0.02)

    def cosigned(self) -> list[str]:
        """Return who cosigned the published head; nobody if there is none."""
        if not self.path.exists():
            return []
        published = note.parse(self.path.read_bytes())
        keys = {key_of(party): party for party in (*PARTIES, OUTSIDE)}
        found = note.verify(published, [*keys, LOG])
        assert any(one.key == LOG for one in found), "the log's own signature stands first"
        return [keys[one.key] for one in found if one.key in keys]


LOG = log_key(ORIGIN, public_key(seed(OWN, "log")))


@asynccontextmanager
async def contexts(answers: dict[str, Answer]) -> AsyncIterator[dict[str, str]]:
    """Serve all answers; yield the addresses."""
    async with AsyncExitStack() as stack:
        yield {
            party: await stack.enter_async_context(answering(answer))
            for party, answer in answers.items()
        }


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything happen soon."""
    monkeypatch.setattr(heads, "RETRY_S", 0.02)
    monkeypatch.setattr(heads, "LATE_S", 0.05)
    monkeypatch.setattr(heads, "ANSWER_S", 0.5)


def run(
    folder: Path,
    answers: dict[str, Answer],
    until: Callable[[Publishing], bool],
    *,
    sizes: tuple[int, ...] = (5,),
    absent: str = "",
    proof_between: ProofBetween = no_proof,
    pauses: dict[int, float] | None = None,
) -> Publishing:
    """Publish heads until something is so."""
    publishing = Publishing(folder, answers, proof_between)
    publishing.pauses = pauses or {}
    asyncio.run(publishing.run(sizes, lambda: until(publishing), absent=absent))
    return publishing


def a_while_without_a_head() -> Callable[[Publishing], bool]:
    """Return what is so after a while, and asks that nothing is published meanwhile."""
    reads = 0

    def passed(one: Publishing) -> bool:
        nonlocal reads
        reads += 1
        assert one.cosigned() == []
        return reads > 20

    return passed


def test_a_head_is_published_with_all_who_cosigned_it(tmp_path: Path) -> None:
    others = {party: honest(party) for party in PARTIES if party != OWN}
    run(tmp_path, others, lambda one: len(one.cosigned()) == 4)


def test_three_of_four_are_enough_and_two_are_not(tmp_path: Path) -> None:
    two = {"guiyang": honest("guiyang")}
    run(tmp_path, two, a_while_without_a_head(), absent="hefei")
    three = two | {"hefei": honest("hefei")}
    done = run(tmp_path, three, lambda one: len(one.cosigned()) == 3, absent="chengdu")
    assert sorted(done.cosigned()) == ["guiyang", "hefei", "shanghai"]


async def _hangs(body: bytes) -> tuple[int, bytes]:
    await asyncio.sleep(HANG_GUARD_S)
    return 200, b""


def says(status: int, body: bytes) -> Answer:
    """Return somebody who always says the same."""

    async def answer(_: bytes) -> tuple[int, bytes]:
        return status, body

    return answer


LIES: dict[str, Answer] = {
    "another's key": says(200, line_of("chengdu", checkpoint_of(5), signer="x")),
    "another head": says(200, line_of("chengdu", checkpoint_of(9))),
    "somebody else's line": says(200, line_of("guiyang", checkpoint_of(5))),
    "no line": says(200, b""),
    "junk": says(200, b"\xff\xfe junk \x1b[2J"),
    "too much": says(200, b"x" * (ANSWER_BYTES_MAX + 1)),
    "another size for ever": says(409, b"3\n"),
    "no size": says(409, b"three\n"),
    "a refusal": says(503, b"later\n"),
    "a line of the future": says(200, line_of("chengdu", checkpoint_of(6), time_s=2**63 - 1)),
    "a line of the past": says(200, line_of("chengdu", checkpoint_of(6), time_s=0)),
    "a size beyond all logs": says(409, b"9223372036854775807\n"),
    "nothing, slowly": _hangs,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_liar_is_left_out_and_keeps_nobody_back(tmp_path: Path, lie: str) -> None:
    answers = {party: honest(party) for party in ("guiyang", "hefei")} | {"chengdu": LIES[lie]}
    done = run(
        tmp_path,
        answers,
        lambda one: one.path.exists() and b"\n6\n" in one.path.read_bytes(),
        sizes=(5, 6),
    )
    assert "chengdu" not in done.cosigned()


def test_who_is_elsewhere_is_met_there(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def at_three(body: bytes) -> tuple[int, bytes]:
        seen.append(body.split(b"\n")[0])
        return (
            (200, line_of("chengdu", checkpoint_of(5))) if body[:5] == b"old 3" else (409, b"3\n")
        )

    run(
        tmp_path,
        {"chengdu": at_three, "guiyang": honest("guiyang")},
        lambda one: len(one.cosigned()) == 3,
    )
    assert seen == [b"old 0", b"old 3"]


def test_a_published_head_waits_for_no_liar_who_is_ahead(tmp_path: Path) -> None:
    answers = {party: honest(party) for party in ("guiyang", "hefei")}
    run(tmp_path, answers | {"chengdu": says(409, b"900\n")}, lambda one: len(one.cosigned()) == 3)


def test_who_once_named_a_size_beyond_the_log_is_asked_again(tmp_path: Path) -> None:
    answers = [(409, b"9223372036854775807\n")]

    async def mended(body: bytes) -> tuple[int, bytes]:
        return answers.pop() if answers else await honest("chengdu")(body)

    others = {"chengdu": mended, "guiyang": honest("guiyang")}
    run(tmp_path, others, lambda one: "chengdu" in one.cosigned(), sizes=(5, 6))


def test_a_node_that_is_busy_goes_on_publishing_later(tmp_path: Path) -> None:
    refusals = [3]

    async def busy(old_size: int, size: int) -> tuple[bytes, ...]:
        refusals[0] -= 1
        if refusals[0] >= 0:
            raise Busy("behind with its work")
        return ()

    others = {party: honest(party) for party in PARTIES if party != OWN}
    run(tmp_path, others, lambda one: len(one.cosigned()) == 4, proof_between=busy)


def test_who_was_away_is_asked_at_once_about_each_new_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause that has grown is not kept: a cosigner may be just a moment behind each head."""
    monkeypatch.setattr(heads, "RETRY_MAX_S", HANG_GUARD_S * 10)
    asked: list[bytes] = []
    cosigned: list[bytes] = []

    async def a_moment_behind(body: bytes) -> tuple[int, bytes]:
        head = body.partition(b"\n\n")[2]
        is_away, is_new = b"\n5\n" in head, head not in asked
        asked.append(head)
        if is_away or is_new:
            return 503, b"behind\n"
        cosigned.append(head)
        return await honest("chengdu")(body)

    others = {"chengdu": a_moment_behind, "guiyang": honest("guiyang")}
    run(
        tmp_path,
        others,
        lambda one: "chengdu" in one.cosigned(),
        sizes=(5, *range(6, 40)),
        pauses={5: 1.5},
    )
    assert len(set(cosigned)) > 10, "not the last head alone, which had all the time"


def test_no_smaller_head_than_before_the_start_is_published(tmp_path: Path) -> None:
    others = {party: honest(party) for party in PARTIES if party != OWN}
    run(tmp_path, others, lambda one: len(one.cosigned()) == 4, sizes=(9,))
    before = (tmp_path / "checkpoint").read_bytes()
    reads = [0]

    def a_while(one: Publishing) -> bool:
        reads[0] += 1
        assert one.path.read_bytes() == before
        return reads[0] > 20

    run(tmp_path, others, a_while, sizes=(5,))
    run(tmp_path, others, lambda one: b"\n10\n" in one.path.read_bytes(), sizes=(10,))


class Server:
    """A node whose head an observer takes over."""

    def __init__(self) -> None:
        self.head = b""

    async def answer(self, body: bytes) -> tuple[int, bytes]:
        """Return the head."""
        return (200, self.head) if self.head else (404, b"")


def signed(size: int) -> bytes:
    """Return a head with all its lines."""
    made = head_of(size)
    lines = [*made.log_lines]
    for party in PARTIES:
        lines += note.parse_signatures(line_of(party, made.checkpoint))
    return note.Note(text=made.checkpoint.text(), signatures=tuple(lines)).to_bytes()


def test_an_observer_takes_over_what_is_of_its_own_log_and_goes_forward_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "FOLLOW_EVERY_S", 0.02)
    path, server, asked = tmp_path / "checkpoint", Server(), []

    async def own(data: bytes) -> tuple[bytes, ...]:
        asked.append(data)
        return () if data == signed(8) else (data,)  # of another log, or beyond the store

    async def follow() -> None:
        async with asyncio.timeout(HANG_GUARD_S), answering(server.answer) as url:
            follower = HeadFollower(path, own)
            follower.set_urls(("http://127.0.0.1:1", url))
            await asyncio.sleep(0.2)
            assert not path.exists(), "there is none"
            for size, expected in ((5, 5), (8, 5), (7, 7), (6, 7), (9, 9)):
                server.head, seen = signed(size), len(asked)
                while len(asked) < seen + 3 and not is_at(size):
                    await asyncio.sleep(0.02)
                assert is_at(expected)
            server.head = b"x" * (NOTE_BYTES_MAX + 1)
            await asyncio.sleep(0.2)
            follower.set_urls(())
            server.head, seen = signed(12), len(asked)
            await asyncio.sleep(0.2)
            assert len(asked) == seen, "it validates now"
            await follower.stop()

    def is_at(size: int) -> bool:
        return path.exists() and path.read_bytes() == signed(size)

    asyncio.run(follow())
    assert is_at(9)


def test_an_outside_witness_adds_its_line_and_counts_for_nothing(tmp_path: Path) -> None:
    two = {"guiyang": honest("guiyang"), OUTSIDE: honest(OUTSIDE)}
    run(tmp_path, two, a_while_without_a_head())
    three = two | {"hefei": honest("hefei")}
    run(tmp_path, three, lambda one: OUTSIDE in one.cosigned() and len(one.cosigned()) == 4)


def test_a_head_that_cannot_be_written_is_no_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {party: honest(party) for party in PARTIES if party != OWN}
    tries = [0]

    def fails_once(path: Path, data: bytes) -> None:
        tries[0] += 1
        if tries[0] == 1:
            raise OSError(28, "No space left on device")
        write_durably(path, data)

    monkeypatch.setattr(heads, "write_durably", fails_once)
    run(tmp_path, others, lambda one: len(one.cosigned()) >= 3)
    assert tries[0] > 1
