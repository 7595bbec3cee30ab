"""Downloads what a server exports, and makes a store of it (spec N12).

Whatever a download breaks off at, the next one goes on there, from the same server or another: what
was fetched is believed no more than what will be.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx2
import msgspec

from ledger.encoding.codec import Natural
from node.config import NodeConfig
from node.exports import FileCutOff, FileDamaged, Version, read_commits, read_entries, read_history
from node.snapshot import COMMITS, HISTORY, LOG, Made, SnapshotRefused, TrustPoint, make_store

SILENCE_S = 60
"""A server that says nothing for so long is given up."""
ANSWER_BYTES_MAX = 1024 * 1024
"""Longest answer that is not streamed into a file."""
TARGET = "target.json"


class FetchBroken(Exception):
    """The server does not answer, or not with what was asked for; what was fetched stays."""


class AnotherLedger(Exception):
    """The server serves another ledger: nothing is taken from it, what was fetched stays."""


class AddressInvalid(ValueError):
    """What was given is no address of a server."""


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Through which block everything is fetched: chosen once, so that all parts fit."""

    height: Natural
    log_size: Natural


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A file of the download, and how it is taken up where it ends."""

    name: str
    read: Callable[[BinaryIO], Iterator[object]]
    path: Callable[[int, object, Target], str | None]
    """From the number of whole rows and the last of them, the address of the rest; None if there
    is nothing left to ask for."""


def _log_path(count: int, _: object, target: Target) -> str | None:
    return None if count >= target.log_size else f"/v1/exports/log?from={count}"


def _commits_path(_: int, last: object, target: Target) -> str | None:
    height = last[0] if isinstance(last, tuple) else 0
    return None if height >= target.height else f"/v1/exports/commits?from={height + 1}"


def _history_path(_: int, last: object, target: Target) -> str:
    after = f"&from={last.row.hex()}" if isinstance(last, Version) else ""
    return f"/v1/exports/history?until={target.height}{after}"


PARTS = (
    _Part(name=LOG, read=read_entries, path=_log_path),
    _Part(name=COMMITS, read=read_commits, path=_commits_path),
    _Part(name=HISTORY, read=read_history, path=_history_path),
)


def fetch_store(
    config: NodeConfig,
    client: httpx2.Client,
    trust: TrustPoint | None,
    say: Callable[[str], None] = lambda _: None,
) -> Made:
    """Make a node's store from a server's exports; the node must not run, nor have a store.

    Raises FetchBroken or AnotherLedger; SnapshotRefused, and deletes what was downloaded;
    StoreFull or OSError.
    """
    folder, draft = config.folder / "fetch", config.folder / "store.new"
    shutil.rmtree(draft, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    genesis = config.genesis.read_bytes()
    if _read(client, "/v1/genesis") != genesis:
        raise AnotherLedger(
            f"{client.base_url} serves another ledger: its genesis is not {config.genesis}"
        )
    try:
        target = _target(client, folder / TARGET)
        if trust is not None and trust.height > target.height:
            raise FetchBroken(f"the server ends at height {target.height}, below the trusted one")
        for part in PARTS:
            size = _download(client, folder / part.name, part, target)
            say(f"{part.name}: {size} bytes")
        made = make_store(
            genesis=genesis,
            folder=folder,
            height=target.height,
            log_size=target.log_size,
            trust=trust,
            draft=draft,
            store=config.store,
            map_bytes=config.map_bytes,
        )
    except SnapshotRefused:
        shutil.rmtree(folder)  # nothing in it says which row is the wrong one
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(folder)
    return made


def _target(client: httpx2.Client, path: Path) -> Target:
    """Return through which block is fetched: the one chosen before, else the server's last."""
    if not path.exists():
        data = _read(client, "/v1/blocks?limit=1")
        try:
            (item,) = msgspec.json.decode(data)["items"]
            asked = {"height": item["height"], "log_size": item["log_size"]}
            text = msgspec.json.encode(msgspec.convert(asked, Target))
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
            raise FetchBroken(f"{client.base_url} does not say which block is its last") from None
        path.with_suffix(".new").write_bytes(text)
        path.with_suffix(".new").rename(path)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Target)
    except msgspec.MsgspecError as error:
        raise SnapshotRefused(f"{path}: {error}") from None


def _read(client: httpx2.Client, path: str) -> bytes:
    data = b""
    for piece in _stream(client, path):
        data += piece
        if len(data) > ANSWER_BYTES_MAX:
            raise FetchBroken(f"{client.base_url}{path} answers without end")
    return data


def _download(client: httpx2.Client, path: Path, part: _Part, target: Target) -> int:
    """Fetch what a file lacks; return its size in bytes."""
    path.touch()
    count, last = _cut_to_whole_rows(path, part)
    rest = part.path(count, last, target)
    with path.open("ab") as file:
        if rest is not None:
            for piece in _stream(client, rest):
                file.write(piece)
        return file.tell()


def _cut_to_whole_rows(path: Path, part: _Part) -> tuple[int, object]:
    """Cut a broken-off row from the end of a file; return the number of rows and the last one."""
    count, last, end = 0, None, 0
    with path.open("r+b") as file:
        try:
            for row in part.read(file):
                count, last, end = count + 1, row, file.tell()
        except FileCutOff:
            file.truncate(end)
        except FileDamaged as error:
            raise SnapshotRefused(f"{path.name}, byte {end}: {error}") from None
    return count, last


def _stream(client: httpx2.Client, path: str) -> Iterator[bytes]:
    try:
        with client.stream("GET", path) as answer:
            if answer.status_code != 200:
                raise FetchBroken(f"{answer.url} answered {answer.status_code}")
            yield from answer.iter_bytes()  # as they come: a buffer would be lost with the link
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol):
        raise FetchBroken(f"nobody answers at {client.base_url}") from None
    except httpx2.TransportError:
        raise FetchBroken(
            f"the connection to {client.base_url} was lost; the same command goes on from there"
        ) from None


def client_of(url: str) -> httpx2.Client:
    """Return a client for a server's address; raise AddressInvalid if it is none.

    Everything that is exported is public, so a name and a password have no place in the address;
    it is not repeated, since they would be seen.
    """
    expected = "expected http://HOST:PORT or https://HOST"
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise AddressInvalid(f"{expected}: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise AddressInvalid(f"{expected}, got another scheme or no host")
    if parsed.userinfo or parsed.query or parsed.fragment or parsed.path.endswith("/v1"):
        raise AddressInvalid(f"{expected}, without name, password, /v1 and what follows")
    return httpx2.Client(base_url=parsed, timeout=SILENCE_S, trust_env=False)
