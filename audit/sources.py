"""Where an audit reads from: an API, an export, tiles, a node's store. None of them is believed."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import httpx2
import msgspec

from audit import files
from ledger.encoding import checkpoint, merkle, note, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.codec import Natural, NotCanonical
from ledger.encoding.text import MalformedText
from ledger.encoding.tiles import Tile, TileNodes
from ledger.entries import GenesisEntry, decode_entry
from ledger.store.lmdb_store import LmdbReader, Snapshot
from node import exports
from node.exports import FileCutOff, FileDamaged
from node.fetch import client_of

ROWS_MAX = 1_024
"""Rows of one read of a store: readers that stay for long make it grow."""
ANSWER_BYTES_MAX = 1024 * 1024
"""Longest answer of an API that is not a stream."""
BREAKS_MAX = 10
"""How often a broken stream is taken up again without a row in between."""
CHECKPOINT = "checkpoint"

T = TypeVar("T")
Commit = tuple[int, bytes]
"""Height, and what the engine stored with the block."""


class SourceLacks(Exception):
    """A part that a source must have is not there, or ends in the middle."""


class SourceWrong(Exception):
    """A source is not what it should be; the name of the part stands in ``field``."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class SourceUnreachable(Exception):
    """A server does not answer."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """Through which block a source is read, if it may grow meanwhile."""

    height: Natural
    log_size: Natural


class Source(Protocol):
    """Reading raises SourceLacks, SourceWrong or SourceUnreachable."""

    def genesis(self) -> bytes:
        """Return the genesis bytes."""

    def entries(self, first: int) -> Iterator[bytes]:
        """Yield log entries from a sequence number on."""

    def commits(self, first: int) -> Iterator[Commit]:
        """Yield commits from a height on."""

    def end(self) -> End | None:
        """Return where to stop; None if the source is whole as it lies there."""

    def checkpoint(self) -> Checkpoint | None:
        """Return what the source says its tree is, if it does."""

    def close(self) -> None:
        """Let go of what is open."""


def _from_height(commits: Iterator[Commit], first: int) -> Iterator[Commit]:
    for commit in commits:
        if commit[0] >= first:
            yield commit


def _read_file(path: Path, read: Callable[[BinaryIO], Iterator[T]]) -> Iterator[T]:
    try:
        with path.open("rb") as file:
            yield from read(file)
    except FileNotFoundError:
        raise SourceLacks(f"{path.name} is not there") from None
    except FileCutOff as error:
        raise SourceLacks(f"{path.name}: {error}") from None
    except FileDamaged as error:
        raise SourceWrong(path.name, str(error)) from None


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """What ``tally audit export`` writes (A3)."""

    folder: Path

    def genesis(self) -> bytes:
        """Return the genesis bytes."""
        return _whole(self.folder / files.GENESIS)

    def entries(self, first: int) -> Iterator[bytes]:
        """Yield log entries from a sequence number on."""
        entries = _read_file(self.folder / files.ENTRIES, exports.read_entries)
        return islice(entries, first, None)

    def commits(self, first: int) -> Iterator[Commit]:
        """Yield commits from a height on."""
        path = self.folder / files.COMMITS
        return _from_height(_read_file(path, exports.read_commits), first)

    def end(self) -> End | None:
        """Return None: files do not grow."""
        return None

    def checkpoint(self) -> Checkpoint | None:
        """Return None: an export has none."""
        return None

    def close(self) -> None:
        """Do nothing: files are closed when they were read."""


def _whole(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceLacks(f"{path.name} is not there") from None


class TileDump:
    """A static tree of tiles with the commits beside it (Y5): only its entry bundles are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            text = note.parse(_whole(folder / CHECKPOINT)).text
            self._checkpoint = checkpoint.parse(text)
        except MalformedText as error:
            raise SourceWrong(CHECKPOINT, str(error)) from None

    def genesis(self) -> bytes:
        """Return the genesis bytes, which are entry 0."""
        try:
            entry = decode_entry(next(self.entries(0), b""))
        except NotCanonical as error:
            raise SourceWrong("genesis", str(error)) from None
        if not isinstance(entry, GenesisEntry):
            raise SourceWrong("genesis", "entry 0 is not genesis")
        return entry.genesis

    def entries(self, first: int) -> Iterator[bytes]:
        """Yield log entries from a sequence number on."""
        for bundle in tiles.bundles_of(self._checkpoint.size):
            at = bundle.index * tiles.TILE_WIDTH
            if at + bundle.width > first:
                yield from self._bundle(bundle)[max(0, first - at) :]

    def _bundle(self, bundle: tiles.Bundle) -> tuple[bytes, ...]:
        # The full bundle may stand in for a partial one that was deleted since.
        full = tiles.Bundle(index=bundle.index, width=tiles.TILE_WIDTH)
        for named in (bundle, full):
            path = self._folder / named.path()
            if path.is_file():
                try:
                    return tiles.bundle_entries(path.read_bytes(), named.width)[: bundle.width]
                except MalformedText as error:
                    raise SourceWrong(named.path(), str(error)) from None
        raise SourceLacks(f"{bundle.path()} is not there")

    def tile(self, tile: Tile) -> bytes:
        """Return a tile of the checkpoint's tree, believed no more than the rest."""
        full = Tile(level=tile.level, index=tile.index, width=tiles.TILE_WIDTH)
        for named in (tile, full):
            path = self._folder / named.path()
            if path.is_file():
                with path.open("rb") as file:
                    return file.read(tile.width * tiles.HASH_BYTES)
        raise SourceLacks(f"{tile.path()} is not there")

    def check_tree(self) -> None:
        """Raise SourceWrong unless every tile is what lies below it, up to the checkpoint's root.

        Raises SourceLacks if one is missing. Entries are read once more; memory stays flat.
        """
        size = self._checkpoint.size
        for named in tiles.tiles_of(size):
            if named.level == 0:
                bundle = tiles.Bundle(index=named.index, width=named.width)
                below = [merkle.leaf_hash(entry) for entry in self._bundle(bundle)]
            else:
                below = [self._root_below(named, number) for number in range(named.width)]
            if self.tile(named) != b"".join(below):
                raise SourceWrong(named.path(), "it is not what lies below it")
        if tiles.root(TileNodes(size=size, fetch=self.tile), size=size) != self._checkpoint.root:
            raise SourceWrong("checkpoint.root", "the tiles have another root")

    def _root_below(self, tile: Tile, number: int) -> bytes:
        """Return the root of the full tile under one hash of a tile."""
        index = tile.index * tiles.TILE_WIDTH + number
        full = Tile(level=tile.level - 1, index=index, width=tiles.TILE_WIDTH)
        return merkle.subtree_root(tiles.tile_hashes(self.tile(full), tiles.TILE_WIDTH))

    def commits(self, first: int) -> Iterator[Commit]:
        """Yield commits from a height on."""
        path = self._folder / files.COMMITS
        return _from_height(_read_file(path, exports.read_commits), first)

    def end(self) -> End | None:
        """Return None: a dump does not grow."""
        return None

    def checkpoint(self) -> Checkpoint | None:
        """Return the dump's checkpoint; whose it is, a policy says, not this."""
        return self._checkpoint

    def close(self) -> None:
        """Do nothing: files are closed when they were read."""


class NodeStore:
    """A node's store, read in short transactions; the node may run."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "data.mdb").is_file():
            raise SourceLacks(f"{folder} is no store")
        self._reader = LmdbReader(folder)
        with self._reader.begin() as snapshot:
            head, genesis = snapshot.head(), snapshot.genesis()
        if head is None or genesis is None:
            raise SourceLacks(f"{folder} is a store that has not begun")
        self._genesis = genesis
        self._end = End(height=head.height, log_size=head.log_size)

    def genesis(self) -> bytes:
        """Return the genesis bytes."""
        return self._genesis

    def entries(self, first: int) -> Iterator[bytes]:
        """Yield log entries from a sequence number on."""
        return (value for _, value in self._rows("log", first, self._end.log_size))

    def tile(self, tile: Tile) -> bytes:
        """Return a tile of the log's tree."""
        with self._reader.begin() as snapshot:
            data = snapshot.tile(tile)
        if not data:
            raise SourceLacks(f"the store has no {tile.path()}")
        return data

    def commits(self, first: int) -> Iterator[Commit]:
        """Yield commits from a height on."""
        return self._rows("commits", first, self._end.height + 1)

    def _rows(self, table: str, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        while first < end:
            with self._reader.begin() as snapshot:
                rows = list(self._read_rows(snapshot, table, first))
            if not rows:
                return
            for number, value in rows:
                if number >= end:
                    return
                if table == "log" and number != first:
                    raise SourceLacks(f"the store has no entry {first}")
                yield number, value
                first = number + 1

    def _read_rows(self, snapshot: Snapshot, table: str, first: int) -> Iterator[tuple[int, bytes]]:
        start = first.to_bytes(8, "big")
        for key, value in snapshot.scan(table, prefix=b"", start=start, limit=ROWS_MAX):
            yield int.from_bytes(key, "big"), value

    def end(self) -> End | None:
        """Return where the store ended when it was opened."""
        return self._end

    def checkpoint(self) -> Checkpoint | None:
        """Return None."""
        return None

    def close(self) -> None:
        """Close the reading end."""
        self._reader.close()


class Api:
    """A node's API or a mirror of it; a stream that breaks off is taken up where it ended."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client
        try:
            (item,) = msgspec.json.decode(self._answer("/v1/blocks?limit=1"))["items"]
            fields = {name: item[name] for name in End.__struct_fields__}
            self._end = msgspec.convert(fields, End)
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
            reason = f"{client.base_url} does not say which block is its last"
            raise SourceWrong("blocks", reason) from None

    def genesis(self) -> bytes:
        """Return the genesis bytes."""
        return self._answer("/v1/genesis")

    def entries(self, first: int) -> Iterator[bytes]:
        """Yield log entries from a sequence number on."""
        read = self._rows("/v1/exports/log", first, exports.read_entries, lambda at, _: at + 1)
        for _, entry in zip(range(first, self._end.log_size), read, strict=False):
            yield entry

    def tile(self, tile: Tile) -> bytes:
        """Return a tile of the log's tree."""
        return self._answer(f"/log/{tile.path()}")

    def commits(self, first: int) -> Iterator[Commit]:
        """Yield commits from a height on."""
        read = self._rows(
            "/v1/exports/commits", first, exports.read_commits, lambda _, row: row[0] + 1
        )
        for commit in read:
            if commit[0] > self._end.height:
                return
            yield commit

    def end(self) -> End | None:
        """Return where the ledger ended when the audit began."""
        return self._end

    def checkpoint(self) -> Checkpoint | None:
        """Return None."""
        return None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _rows(
        self,
        path: str,
        first: int,
        read: Callable[[BinaryIO], Iterator[T]],
        after: Callable[[int, T], int],
    ) -> Iterator[T]:
        breaks = 0
        while True:
            try:
                with self._client.stream("GET", f"{path}?from={first}") as answer:
                    self._require_ok(answer)
                    for row in read(_Pieces(answer.iter_bytes())):  # type: ignore[arg-type]
                        first, breaks = after(first, row), 0
                        yield row
                return
            except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol):
                raise SourceUnreachable(f"nobody answers at {self._client.base_url}") from None
            except (httpx2.TransportError, FileCutOff):
                breaks += 1
                if breaks > BREAKS_MAX:
                    reason = f"{self._client.base_url}{path} breaks off again and again"
                    raise SourceUnreachable(reason) from None
            except FileDamaged as error:
                raise SourceWrong(path, str(error)) from None

    def _answer(self, path: str) -> bytes:
        data = b""
        try:
            with self._client.stream("GET", path) as answer:
                self._require_ok(answer)
                for piece in answer.iter_bytes():
                    data += piece
                    if len(data) > ANSWER_BYTES_MAX:
                        raise SourceWrong(path, "an answer without end")
        except httpx2.TransportError:
            raise SourceUnreachable(f"nobody answers at {self._client.base_url}") from None
        return data

    def _require_ok(self, answer: httpx2.Response) -> None:
        if answer.status_code != 200:
            raise SourceUnreachable(f"{answer.url} answered {answer.status_code}")


class _Pieces:
    """The part of a file that reading rows needs, over a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._data = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """Return that many bytes, fewer only at the end."""
        while len(self._data) - self._at < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._data, self._at = self._data[self._at :] + piece, 0
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data


def open_source(where: str) -> Source:
    """Return the source that an address or a path stands for; raise AddressInvalid.

    A folder with ``data.mdb`` is a store, one with ``checkpoint`` a dump, any other an export.
    """
    if "://" in where:
        return Api(client_of(where.rstrip("/")))
    folder = Path(where)
    if (folder / "data.mdb").is_file():
        return NodeStore(folder)
    if (folder / CHECKPOINT).is_file():
        return TileDump(folder)
    if not folder.is_dir():
        raise SourceLacks("no such folder; an address begins with http:// or https://")
    return ExportFolder(folder)


def entries_in(source: Source) -> int:
    """Return how many entries a source seems to have, to show progress by; 1 if it does not say."""
    end, seen = source.end(), source.checkpoint()
    if end is not None:
        return end.log_size
    if seen is not None:
        return seen.size
    if not isinstance(source, ExportFolder):
        return 1
    count = 0
    path = source.folder / files.ENTRIES
    if not path.is_file():
        return 1
    with path.open("rb") as file:
        while head := file.read(4):
            file.seek(int.from_bytes(head, "big"), os.SEEK_CUR)
            count += 1
    return max(1, count)
