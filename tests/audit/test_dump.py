"""The dump of the public log (Y9.4): the tree of its checkpoint, byte for byte, or nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx2
import pytest

from audit import dump as dumping
from audit.dump import CHECKPOINT, DumpRefused, NoDump, dump
from ledger.encoding import merkle, note, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.tiles import Bundle
from tally import cli
from tally.exits import Unreachable
from tests.api.process import served_at
from tests.builders import seed
from tests.ledger.log_vectors import entry
from tests.ledger.synthetic import closing, log_of
from tests.reference import tiles as naive

ORIGIN = "tallystick.log/dev-test/" + "0a" * 32
SEED = 20263
SIZES = (1, 2, 255, 256, 257, 600)


def signed_checkpoint(entries: list[bytes], origin: str = ORIGIN) -> bytes:
    """Return the checkpoint of a log, signed by its key."""
    text = Checkpoint(origin=origin, size=len(entries), root=merkle.root(entries)).text()
    return note.Note(
        text=text, signatures=(note.sign(text, name=origin, seed=seed("log")),)
    ).to_bytes()


def tree_of(entries: list[bytes]) -> dict[str, bytes]:
    """Return every tile and bundle of a log by its path, the naive way."""
    made = naive.tiles(entries)
    found = {tile.path(): made[tile.level, tile.index] for tile in tiles.tiles_of(len(entries))}
    for bundle in tiles.bundles_of(len(entries)):
        found[bundle.path()] = naive.bundle(entries, bundle.index, bundle.width)
    return found


def grown_by(entries: list[bytes], count: int, height: int) -> list[bytes]:
    """Return a log with more entries, the last of which closes a block."""
    more = [entry(len(entries) + number) for number in range(count - 1)]
    return [*entries, *more, closing(height)]


@dataclass
class FakeServer:
    """Serves a log as an API does, and goes wrong where a test says so."""

    entries: list[bytes]
    height: int = 1
    """Of the last entry; commits go three heights further."""
    origin: str = ORIGIN
    altered: dict[str, bytes] = field(default_factory=dict)
    """Other answers, by path."""
    busy: int = 0
    """How many requests are answered with 429 first."""
    breaks_after: int | None = None
    """How many requests are answered before the connection is lost."""
    asked: list[str] = field(default_factory=list)

    def dump(self, folder: Path) -> dumping.Dumped:
        """Dump this server's log."""
        transport = httpx2.MockTransport(self._answer)
        with httpx2.Client(transport=transport, base_url="http://node") as client:
            return dump(client, folder)

    def commits(self, first: int, last: int) -> bytes:
        """Return the rows of some heights."""
        rows = [b"commit %d" % height for height in range(first, last + 1)]
        numbered = enumerate(rows, first)
        return b"".join(n.to_bytes(8, "big") + len(r).to_bytes(4, "big") + r for n, r in numbered)

    def files(self) -> dict[str, bytes]:
        """Return what a whole dump of this log has."""
        return {
            **tree_of(self.entries),
            CHECKPOINT: signed_checkpoint(self.entries, self.origin),
            "commits.bin": self.commits(1, self.height),
        }

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        path = str(request.url.raw_path, "ascii")
        if self.busy:
            self.busy -= 1
            return httpx2.Response(429)
        if self.breaks_after is not None and len(self.asked) >= self.breaks_after:
            raise httpx2.ReadError("lost")
        self.asked.append(path)
        if path in self.altered:
            return httpx2.Response(200, content=self.altered[path])
        if path.startswith("/v1/exports/commits?from="):
            rows = self.commits(int(path.partition("=")[2]), self.height + 3)
            return httpx2.Response(200, content=self._halves(rows))
        found = self.files().get(path.removeprefix("/log/"))
        return httpx2.Response(404) if found is None else httpx2.Response(200, content=found)

    def _halves(self, data: bytes) -> Iterator[bytes]:
        yield data[: len(data) // 2]
        if self.breaks_after is not None and len(self.asked) >= self.breaks_after:
            raise httpx2.ReadError("lost")
        yield data[len(data) // 2 :]


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("size", SIZES)
def test_a_dump_is_the_tree_of_the_definition_and_its_commits(size: int, tmp_path: Path) -> None:
    server = FakeServer(log_of(size))
    done = server.dump(tmp_path / "dump")
    assert files_of(tmp_path / "dump") == server.files()
    assert (done.checkpoint.size, done.height) == (size, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["dump"]


def test_a_second_dump_fetches_nothing_again(tmp_path: Path) -> None:
    server = FakeServer(log_of(600))
    server.dump(tmp_path / "dump")
    server.asked.clear()
    assert server.dump(tmp_path / "dump").fetched == 0
    assert server.asked == ["/log/checkpoint"]
    assert files_of(tmp_path / "dump") == server.files()


def test_a_dump_grows_with_the_log_by_what_is_new(tmp_path: Path) -> None:
    server = FakeServer(log_of(300))
    server.dump(tmp_path / "dump")
    entries = grown_by(grown_by(server.entries, 10, 2), 400, 5)
    for size, height in ((310, 2), (710, 5)):
        before = files_of(tmp_path / "dump")
        server = FakeServer(entries[:size], height=height)
        server.dump(tmp_path / "dump")
        found, expected = files_of(tmp_path / "dump"), server.files()
        assert {path: found[path] for path in expected} == expected
        news = {f"/log/{path}" for path in expected.keys() - before.keys()}
        commits = f"/v1/exports/commits?from={1 + (2 if height == 5 else 1)}"
        assert sorted(server.asked) == sorted([*news, "/log/checkpoint", commits])
    left = files_of(tmp_path / "dump").keys() - expected.keys()
    assert left == {"tile/1/000.p/1"}, "parts of tiles that are full now are gone"


def test_a_dump_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    server = FakeServer(log_of(600), breaks_after=1)
    breaks = 0
    for _ in range(100):
        try:
            server.dump(tmp_path / "dump")
            break
        except Unreachable:
            breaks += 1
            assert not (tmp_path / "dump").exists()
            assert server.breaks_after is not None
            server.breaks_after = len(server.asked) + 5
    assert breaks == 4, "the last time among the commits"
    assert files_of(tmp_path / "dump") == server.files()
    trees = [path for path in server.asked if "/tile/" in path and ".p/" not in path]
    assert len(trees) == len(set(trees)), "nothing whole is fetched twice"


def test_what_an_earlier_server_left_unproven_is_in_no_dump(tmp_path: Path) -> None:
    liar = FakeServer(log_of(300), altered={"/log/tile/0/001.p/44": bytes(44 * 32)})
    liar.breaks_after = 4
    with pytest.raises(Unreachable):
        liar.dump(tmp_path / "dump")
    assert (tmp_path / ".dump.part" / "tile" / "0" / "001.p" / "44").is_file()
    honest = FakeServer(grown_by(log_of(300), 300, 2), height=2)
    honest.dump(tmp_path / "dump")
    assert files_of(tmp_path / "dump") == honest.files()


def test_a_busy_server_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dumping, "WAIT_S", 0)
    server = FakeServer(log_of(2), busy=dumping.WAITS_MAX - 1)
    server.dump(tmp_path / "dump")
    assert files_of(tmp_path / "dump") == server.files()
    with pytest.raises(Unreachable, match="too busy"):
        FakeServer(log_of(2), busy=dumping.WAITS_MAX).dump(tmp_path / "other")


def test_one_altered_byte_of_any_file_of_the_tree_is_refused(tmp_path: Path) -> None:
    dice, server = Random(SEED), FakeServer(log_of(600))
    flips = 0
    for path, data in tree_of(server.entries).items():
        for _ in range(6):
            at = dice.randrange(len(data))
            wrong = data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
            server.altered = {f"/log/{path}": wrong}
            with pytest.raises(DumpRefused):
                server.dump(tmp_path / "dump")
            assert list(tmp_path.iterdir()) == []
            flips += 1
    assert flips == 6 * 7
    server.altered = {}
    server.dump(tmp_path / "dump")


def test_a_file_of_the_dump_that_rotted_is_named_and_the_dump_left_alone(tmp_path: Path) -> None:
    server = FakeServer(log_of(600))
    server.dump(tmp_path / "dump")
    path = tmp_path / "dump" / "tile" / "0" / "001"
    path.write_bytes(bytes(8_192))
    before = files_of(tmp_path / "dump")
    with pytest.raises(DumpRefused, match="tile/0/001 is not what the entries below it make"):
        server.dump(tmp_path / "dump")
    assert files_of(tmp_path / "dump") == before


def test_a_checkpoint_of_another_root_is_refused(tmp_path: Path) -> None:
    server = FakeServer(log_of(600))
    server.altered = {"/log/checkpoint": signed_checkpoint([*server.entries[:-1], closing(2)])}
    with pytest.raises(DumpRefused, match="do not lead to the checkpoint's root"):
        server.dump(tmp_path / "dump")


def test_a_log_that_forgot_what_the_dump_has_is_refused(tmp_path: Path) -> None:
    FakeServer(log_of(300)).dump(tmp_path / "dump")
    before = files_of(tmp_path / "dump")
    forked = grown_by([*log_of(299)[:-1], b"another", closing()], 100, 2)
    with pytest.raises(DumpRefused, match="with another root"):
        FakeServer(forked, height=2).dump(tmp_path / "dump")
    assert files_of(tmp_path / "dump") == before


def test_an_older_checkpoint_changes_nothing(tmp_path: Path) -> None:
    server = FakeServer(grown_by(log_of(300), 5, 2), height=2)
    server.dump(tmp_path / "dump")
    with pytest.raises(Unreachable, match="has 300 entries"):
        FakeServer(log_of(300)).dump(tmp_path / "dump")
    assert files_of(tmp_path / "dump") == server.files()


def test_another_logs_dump_and_strangers_folders_are_left_alone(tmp_path: Path) -> None:
    FakeServer(log_of(3)).dump(tmp_path / "dump")
    with pytest.raises(NoDump, match="is a dump of"):
        FakeServer(log_of(5), origin="tallystick.log/other").dump(tmp_path / "dump")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    with pytest.raises(NoDump, match="no dump"):
        FakeServer(log_of(5)).dump(tmp_path / "home")


def test_a_checkpoint_within_a_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DumpRefused, match="entry 299, the last one, closes no block"):
        FakeServer([entry(index) for index in range(300)]).dump(tmp_path / "dump")


def test_an_answer_without_end_is_refused(tmp_path: Path) -> None:
    for path in ("/log/checkpoint", "/log/tile/0/000.p/3", "/log/tile/entries/000.p/3"):
        server = FakeServer(log_of(3), altered={path: bytes(tiles.BUNDLE_BYTES_MAX + 1)})
        with pytest.raises(DumpRefused, match="answers more than"):
            server.dump(tmp_path / "dump")


def test_missing_commits_are_refused(tmp_path: Path) -> None:
    server = FakeServer(grown_by(log_of(3), 3, 7), height=7)
    server.altered = {"/v1/exports/commits?from=1": server.commits(1, 6)}
    with pytest.raises(DumpRefused, match="the commits end at height 6, the log at 7"):
        server.dump(tmp_path / "dump")


def test_the_command_dumps_what_a_server_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dump"
    words = ("-o", "json", "audit", "export", "--tiles", str(out), "--node")
    with served_at(tmp_path) as served:
        assert cli.run((*words, served.address)) == 7, "no checkpoint yet"
        assert not out.exists()
        answer = httpx2.get(f"{served.address}/v1/exports/log")
        entries, data = [], answer.content
        while data:
            length = int.from_bytes(data[:4], "big")
            entries.append(data[4 : 4 + length])
            data = data[4 + length :]
        (tmp_path / CHECKPOINT).write_bytes(signed_checkpoint(entries))
        head = httpx2.head(f"{served.address}/log/{Bundle(index=0, width=2).path()}")
        assert (head.status_code, head.content) == (200, b"")
        capsys.readouterr()
        assert cli.run((*words, served.address)) == 0
        commits = httpx2.get(f"{served.address}/v1/exports/commits").content
    assert f'"entries": {len(entries)}' in capsys.readouterr().out
    expected = {
        **tree_of(entries),
        CHECKPOINT: signed_checkpoint(entries),
        "commits.bin": commits,
    }
    assert files_of(out) == expected
    assert cli.run((*words, "http://name:secret@127.0.0.1:1")) == 2
    assert cli.run(("audit", "export", "--tiles", str(out), "--out", str(out))) == 2
    assert cli.run(("audit", "export")) == 2
