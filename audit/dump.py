"""The public log as a folder that any web server can mirror (spec Y9.4).

A checkpoint, the whole tree that it stands for, and the commits beside it. All is downloaded into
a scratch folder and proven there: what is in the dump, every byte of it, leads to its checkpoint.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import httpx2

from audit import files
from ledger.encoding import checkpoint as checkpoints
from ledger.encoding import merkle, note, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.codec import NotCanonical
from ledger.encoding.text import MalformedText
from ledger.encoding.tiles import (
    BUNDLE_BYTES_MAX,
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Bundle,
    MalformedTile,
    Tile,
    TileNodes,
)
from ledger.entries import ClosingEntry, GenesisEntry, decode_entry
from node.exports import FileCutOff, FileDamaged, read_commits
from tally.exits import Unreachable

CHECKPOINT = "checkpoint"
WAITS_MAX = 60
"""How often in a row a server may ask for patience."""
WAIT_S = 1
"""What servers mean by it, whatever they write: their limits are per second."""


class DumpRefused(Exception):
    """What was downloaded is not the tree of its checkpoint; the sentence names the place."""


class NoDump(Exception):
    """The folder holds something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dumped:
    """A dump as it is in place."""

    checkpoint: Checkpoint
    height: int
    """Of the last record in the tree, and of the last commit beside it."""
    fetched: int
    """Tiles and bundles that were downloaded; the others were there."""


class Server:
    """Reads what an API publishes. Raises Unreachable."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client
        self._base = str(client.base_url).rstrip("/")

    def read(self, path: str, bytes_max: int) -> bytes:
        """Return an answer that is not longer than it can be."""
        data = b""
        for piece in self.stream(path):
            data += piece
            if len(data) > bytes_max:
                raise DumpRefused(f"{self._base}{path} answers more than {bytes_max} bytes")
        return data

    def stream(self, path: str) -> Iterator[bytes]:
        """Yield an answer as it comes; wait where the server asks for it."""
        url = self._base + path
        try:
            for _ in range(WAITS_MAX):
                with self._client.stream("GET", url) as answer:
                    if answer.status_code == 200:
                        yield from answer.iter_bytes()
                        return
                    if answer.status_code not in (429, 503):
                        raise Unreachable(f"{url} answered {answer.status_code}")
                time.sleep(WAIT_S)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol):
            raise Unreachable(f"no node answers at {url}") from None
        except (httpx2.TransportError, httpx2.DecodingError):
            raise Unreachable(
                f"the connection to {url} was lost; the same command goes on from there"
            ) from None
        raise Unreachable(f"{url} is too busy; the same command goes on from there")


def dump(
    client: httpx2.Client, folder: Path, say: Callable[[str], None] = lambda _: None
) -> Dumped:
    """Make the dump of a server's newest checkpoint, or bring the one in ``folder`` up to it.

    Whatever it breaks off at, the next call goes on there. Memory stays flat. Raises NoDump,
    DumpRefused (and forgets what was downloaded), Unreachable or OSError.
    """
    if folder.exists() and not (folder / CHECKPOINT).is_file() and any(folder.iterdir()):
        raise NoDump(f"{folder} exists and is no dump of a log")
    scratch = folder.with_name(f".{folder.name}.part")
    scratch.mkdir(parents=True, exist_ok=True)
    for partial in list(scratch.rglob("*.p")):
        shutil.rmtree(partial)  # of the tree that an earlier call fetched, perhaps not of this one
    try:
        done = _Dumping(Server(client), folder, scratch).run(say)
    except DumpRefused:
        shutil.rmtree(scratch)  # nothing in it says which file is the wrong one
        raise
    _put_in_place(scratch, folder)
    return done


class _Dumping:
    """The steps between an empty scratch folder and a proven one."""

    def __init__(self, server: Server, folder: Path, scratch: Path) -> None:
        self._server = server
        self._folder, self._scratch = folder, scratch

    def run(self, say: Callable[[str], None]) -> Dumped:
        data = self._server.read("/log/checkpoint", note.NOTE_BYTES_MAX)
        checkpoint = _checkpoint(data, "the server's checkpoint")
        before = self._before(checkpoint)
        self._write(CHECKPOINT, data)
        say(f"checkpoint: {checkpoint.size} entries")
        fetched = self._fetch(checkpoint.size)
        say(f"tiles and bundles: {fetched} new")
        height = self._verify(checkpoint, before)
        self._take_commits(height)
        say(f"commits: through height {height}")
        return Dumped(checkpoint=checkpoint, height=height, fetched=fetched)

    def _before(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """Return the dump's checkpoint until now, which the new one must extend."""
        path = self._folder / CHECKPOINT
        if not path.is_file():
            return None
        before = _checkpoint(path.read_bytes(), str(path))
        if before.origin != checkpoint.origin:
            raise NoDump(f"{self._folder} is a dump of {before.origin}, not {checkpoint.origin}")
        if before.size > checkpoint.size:
            raise Unreachable(
                f"the node's checkpoint has {checkpoint.size} entries, {self._folder} has "
                f"{before.size} already: ask later or another node"
            )
        return before

    def _fetch(self, size: int) -> int:
        """Download the tiles and bundles of a tree that are not there; return how many."""
        fetched = 0
        tree: Iterator[Tile | Bundle] = chain(tiles.tiles_of(size), tiles.bundles_of(size))
        for named in tree:
            path = named.path()
            if not self._find(path).is_file():
                most = BUNDLE_BYTES_MAX if isinstance(named, Bundle) else TILE_WIDTH * HASH_BYTES
                self._write(path, self._server.read(f"/log/{path}", most))
                fetched += 1
        return fetched

    def _write(self, path: str, data: bytes) -> None:
        """Write a file that is whole as soon as it has its name."""
        new, target = self._scratch / "new", self._scratch / path
        new.write_bytes(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        new.replace(target)

    def _find(self, path: str) -> Path:
        new = self._scratch / path
        return new if new.is_file() else self._folder / path

    def _tile(self, tile: Tile) -> bytes:
        return self._find(tile.path()).read_bytes()

    def _verify(self, checkpoint: Checkpoint, before: Checkpoint | None) -> int:
        """Check entries, tiles and root against each other; return the last record's height."""
        height = -1
        last_tiles: dict[int, bytes] = {}
        for bundle in tiles.bundles_of(checkpoint.size):
            path = bundle.path()
            try:
                entries = tiles.bundle_entries(self._find(path).read_bytes(), bundle.width)
            except MalformedTile as error:
                raise DumpRefused(f"{path}: {error}") from None
            grown = tiles.grow(
                lambda level, _: last_tiles[level],
                size=bundle.index * TILE_WIDTH,
                leaves=[merkle.leaf_hash(entry) for entry in entries],
            )
            for (level, index), data in grown.items():
                last_tiles[level] = data
                left = (checkpoint.size >> (level * TILE_HEIGHT)) - index * TILE_WIDTH
                tile = Tile(level=level, index=index, width=min(left, TILE_WIDTH))
                is_whole = len(data) == tile.width * HASH_BYTES
                if is_whole and self._tile(tile) != data:
                    raise DumpRefused(f"{tile.path()} is not what the entries below it make")
            height = _height_of(entries[-1])
        node = TileNodes(size=checkpoint.size, fetch=self._tile)
        if tiles.root(node, size=checkpoint.size) != checkpoint.root:
            raise DumpRefused("the tiles do not lead to the checkpoint's root")
        if before is not None and tiles.root(node, size=before.size) != before.root:
            raise DumpRefused(
                f"the log is another: {self._folder} has a checkpoint of its first {before.size} "
                "entries with another root"
            )
        if height < 0:
            raise DumpRefused(f"entry {checkpoint.size - 1}, the last one, closes no block")
        return height

    def _take_commits(self, height: int) -> None:
        """Add the commits through a height to those that are there."""
        path, old = self._scratch / files.COMMITS, self._folder / files.COMMITS
        if not path.exists() and old.exists():
            shutil.copyfile(old, path)
        last = _cut_commits(path, height)
        if last < height:
            with path.open("ab") as file:
                for piece in self._server.stream(f"/v1/exports/commits?from={last + 1}"):
                    file.write(piece)
            last = _cut_commits(path, height)
        if last != height:
            raise DumpRefused(f"the commits end at height {last}, the log at {height}")


def _checkpoint(data: bytes, name: str) -> Checkpoint:
    try:
        return checkpoints.parse(note.parse(data).text)
    except MalformedText as error:
        raise DumpRefused(f"{name}: {error}") from None


def _height_of(entry: bytes) -> int:
    """Return the height of the block that an entry closes, or -1 if it closes none."""
    try:
        match decode_entry(entry):
            case ClosingEntry(record=record):
                return record.height
            case GenesisEntry():
                return 0
    except NotCanonical:
        pass  # only the last entry has to close a block, and only replay reads the others
    return -1


def _cut_commits(path: Path, height: int) -> int:
    """Cut a file of commits behind the one of a height; return the height of its last."""
    last, end = 0, 0
    path.touch()
    with path.open("r+b") as file:
        try:
            for number, _ in read_commits(file):
                if number > height:
                    break
                last, end = number, file.tell()
        except FileCutOff:
            pass  # the download broke off here
        except FileDamaged as error:
            raise DumpRefused(f"{path.name}, byte {end}: {error}") from None
        file.truncate(end)
    return last


def _put_in_place(scratch: Path, folder: Path) -> None:
    """Rename a new dump, or move what it adds to the one that is there, the checkpoint last."""
    if not (folder / CHECKPOINT).exists():
        scratch.rename(folder)
        return
    for parent, _, names in os.walk(scratch):
        for name in names:
            path = Path(parent, name)
            if path != scratch / CHECKPOINT:
                target = folder / path.relative_to(scratch)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    (scratch / CHECKPOINT).replace(folder / CHECKPOINT)
    shutil.rmtree(scratch)
    for partial in list(folder.rglob("*.p")):
        if partial.with_suffix("").is_file():  # the full tile is there: no reader needs a part
            shutil.rmtree(partial)
