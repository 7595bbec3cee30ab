"""The log as a folder of tiles, bundles and a checkpoint (log.md, Y2 to Y5)."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verifier.blocks import ENTRY_BYTES_MAX
from verifier.finding import FileDamaged
from verifier.signatures import holds
from verifier.tree import node_hash

WIDTH = 256
"""Hashes of a full tile, entries of a full bundle."""
NOTE_BYTES_MAX = 131_072
LINES_MAX = 64
SIZE_MAX = 2**63 - 1
SIGNED, COSIGNED = 1, 4
"""Types of keys (Y2.4)."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_LINE = re.compile(r"— ([^\s+]{1,255}) ([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signed tree head (Y4)."""

    origin: str
    size: int
    root: bytes
    text: bytes
    """What is signed, with its last line feed."""
    lines: tuple[tuple[str, bytes], ...]
    """Name, and key id with signature, of each line."""

    def signed_by(self, name: str | None, key: bytes, kind: int) -> bool | None:
        """Return whether all lines of a key hold; None if there is none (Y2.4 to Y2.7).

        Without a name, any name is taken: that of a cosigner is its own business.
        """
        verdict = None
        for said, payload in self.lines:
            if name not in (None, said):
                continue
            digest = hashlib.sha256(said.encode() + b"\n" + bytes((kind,)) + key).digest()
            if payload[:4] != digest[:4]:
                continue
            signature, message = payload[4:], self.text
            if kind == COSIGNED:  # Y3
                time = int.from_bytes(signature[:8], "big")
                message = f"cosignature/v1\ntime {time}\n".encode() + self.text
                signature = signature[8:]
            if not holds(key, message, signature):
                return False
            verdict = True
        return verdict


def read_checkpoint(data: bytes) -> Checkpoint:
    """Return a checkpoint; raise FileDamaged unless it has the form of Y2 and Y4."""

    def damaged(reason: str) -> FileDamaged:
        return FileDamaged("checkpoint", reason)

    try:
        note = data.decode()
    except UnicodeDecodeError:
        raise damaged("no UTF-8") from None
    if any(character < " " and character != "\n" for character in note):
        raise damaged("a control character")
    text, blank, rest = note.partition("\n\n")
    head, lines = text.split("\n"), rest.split("\n")
    if len(data) > NOTE_BYTES_MAX or not blank or len(head) != 3 or lines.pop() != "":
        raise damaged("not three lines, an empty one and signatures")
    origin, size, root = head
    if not origin or len(origin.encode()) > 255:
        raise damaged("no origin")
    if not _DECIMAL.fullmatch(size) or int(size) > SIZE_MAX:
        raise damaged("no size")
    if not 1 <= len(lines) <= LINES_MAX:
        raise damaged(f"{len(lines)} signature lines")
    signatures = []
    for line in lines:
        parts = _LINE.fullmatch(line)
        payload = _base64(parts[2]) if parts else None
        if parts is None or payload is None or len(payload) < 5:
            raise damaged("no signature line")
        signatures.append((parts[1], payload))
    digest = _base64(root)
    if digest is None or len(digest) != 32:
        raise damaged("no root")
    return Checkpoint(
        origin=origin,
        size=int(size),
        root=digest,
        text=(text + "\n").encode(),
        lines=tuple(signatures),
    )


def _base64(text: str) -> bytes | None:
    """Return what base64 says, if encoding it again gives the same (Y1)."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return data if base64.b64encode(data).decode() == text else None


def path_of(level: str, number: int, width: int) -> str:
    """Return the path of a tile or bundle (Y5.2)."""
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03}")
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"


def read_bundles(folder: Path, size: int) -> Iterator[bytes]:
    """Yield the entries of a tree from its bundles (Y5.5); raise FileDamaged."""
    for number in range((size + WIDTH - 1) // WIDTH):
        width = min(WIDTH, size - number * WIDTH)
        path = path_of("entries", number, width)
        data = _file(folder, path, width * (2 + ENTRY_BYTES_MAX))
        at = 0
        for _ in range(width):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            if len(data) < at + 2 or len(data) < end:
                raise FileDamaged(path, "it ends inside an entry")
            yield data[at + 2 : end]
            at = end
        if at != len(data):
            raise FileDamaged(path, f"it goes on after {width} entries")


def _file(folder: Path, path: str, bytes_max: int) -> bytes:
    try:
        with (folder / path).open("rb") as file:
            return file.read(bytes_max + 1)
    except FileNotFoundError:
        raise FileDamaged(path, "it is missing") from None


class Tiles:
    """Compares the hash tiles of a dump with what the entries make (Y5.1)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._levels: list[tuple[int, list[bytes]]] = []
        """Of each level: the number of the tile that is growing, and its hashes."""

    def append(self, node: bytes) -> None:
        """Take the next leaf hash; raise FileDamaged if it fills a tile that says otherwise."""
        for level in range(len(self._levels) + 1):
            if level == len(self._levels):
                self._levels.append((0, []))
            number, hashes = self._levels[level]
            hashes.append(node)
            if len(hashes) < WIDTH:
                return
            self._compare(level, number, hashes)
            self._levels[level] = number + 1, []
            while len(hashes) > 1:
                hashes = [node_hash(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
            (node,) = hashes

    def finish(self) -> None:
        """Compare the tiles that are not full; raise FileDamaged."""
        for level, (number, hashes) in enumerate(self._levels):
            if hashes:
                self._compare(level, number, hashes)

    def _compare(self, level: int, number: int, hashes: list[bytes]) -> None:
        path = path_of(str(level), number, len(hashes))
        if _file(self._folder, path, WIDTH * 32) != b"".join(hashes):
            raise FileDamaged(path, "not what the entries make")
