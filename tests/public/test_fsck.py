"""A verifier that strangers wrote accepts the log as served and as dumped, and no altered one."""

import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from audit.dump import CHECKPOINT, dump
from ledger.encoding import crypto, note
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.note import KeyType, VerifierKey
from node.fetch import client_of
from tests.api.process import START_WITHIN_S, start_server
from tests.builders import seed
from tests.ledger import synthetic
from tests.public.fsck import run_fsck

pytestmark = [pytest.mark.ci, pytest.mark.cluster]

ORIGIN = "tallystick.log/dev-test/" + "0b" * 32
KEY = VerifierKey(
    name=ORIGIN, type=KeyType.ED25519, public_key=crypto.public_key(seed("log"))
).text()
OTHER_KEY = VerifierKey(
    name=ORIGIN, type=KeyType.ED25519, public_key=crypto.public_key(seed("other"))
).text()
SIZE = 70_000
"""So that a tile of level 2 exists."""
SERVED_SIZES = (1, 255, 256, 257, 65_535, 65_536, 65_537)
HTTP_WORKERS = 16
FLIPS = 300
SEED = 20264


@contextmanager
def served(folder: Path, size: int) -> Iterator[str]:
    """Serve a log of ``size`` entries from a process; yield the address."""
    synthetic.make_store(folder / "store", size)
    text = Checkpoint(origin=ORIGIN, size=size, root=synthetic.root_of(size)).text()
    signature = note.sign(text, name=ORIGIN, seed=seed("log"))
    (folder / CHECKPOINT).write_bytes(note.Note(text=text, signatures=(signature,)).to_bytes())
    reading, writing = os.pipe()
    process = start_server(folder / "store", folder / "no-node", writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as ready:
            port = int(ready.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(START_WITHIN_S)


@pytest.fixture(scope="module")
def dumped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dump the large log from a server that fsck accepts."""
    folder = tmp_path_factory.mktemp("served")
    with served(folder, SIZE) as address:
        found = run_fsck(f"{address}/log/", KEY, workers=HTTP_WORKERS)
        assert found.size == SIZE, found.text
        with client_of(address) as client:
            dump(client, folder / "dump")
    return folder / "dump"


def test_it_accepts_the_dump_of_a_log_with_a_tile_of_level_2(dumped: Path) -> None:
    assert (dumped / "tile" / "2" / "000.p" / "1").is_file()
    found = run_fsck(f"file://{dumped}/", KEY)
    assert found.size == SIZE, found.text


@pytest.mark.parametrize("size", SERVED_SIZES)
def test_it_accepts_a_served_log_of_any_size(size: int, tmp_path: Path) -> None:
    with served(tmp_path, size) as address:
        found = run_fsck(f"{address}/log/", KEY, workers=HTTP_WORKERS)
    assert found.size == size, found.text


def test_it_accepts_no_other_key(dumped: Path) -> None:
    assert not run_fsck(f"file://{dumped}/", OTHER_KEY).accepted


def is_same_note(one: bytes, other: bytes) -> bool:
    """Return whether two notes differ in bits of the last line's base64 that stand for nothing."""
    (text, line), (other_text, other_line) = one.rsplit(b" ", 1), other.rsplit(b" ", 1)
    if text != other_text or not re.fullmatch(rb"[A-Za-z0-9+/]+=\n", other_line):
        return False
    return base64.b64decode(line) == base64.b64decode(other_line)


def test_three_changes_of_a_byte_of_the_checkpoint_change_nothing_for_it(dumped: Path) -> None:
    path = dumped / CHECKPOINT
    data, idle = path.read_bytes(), []
    for at in range(len(data)):
        for byte in range(256):
            changed = data[:at] + bytes([byte]) + data[at + 1 :]
            if changed != data and is_same_note(data, changed):
                idle.append(changed)
    assert len(idle) == 3, "two bits of 68 bytes in base64"
    for changed in idle:
        path.write_bytes(changed)
        found = run_fsck(f"file://{dumped}/", KEY)
        path.write_bytes(data)
        assert found.size == SIZE
        with pytest.raises(note.MalformedNote):  # Y1 is stricter
            note.parse(changed)


def test_it_refuses_the_dump_after_any_byte_is_changed(dumped: Path) -> None:
    dice = Random(SEED)
    kinds = [
        sorted(path for path in (dumped / name).rglob("*") if path.is_file())
        for name in ("tile/0", "tile/1", "tile/2", "tile/entries")
    ]
    kinds.append([dumped / CHECKPOINT])
    refused, late, idle = [0] * len(kinds), 0, 0
    while sum(refused) < FLIPS:
        kind = sum(refused) % len(kinds)
        path = dice.choice(kinds[kind])
        data = path.read_bytes()
        at = dice.randrange(len(data))
        changed = data[:at] + bytes([data[at] ^ dice.randrange(1, 256)]) + data[at + 1 :]
        if path.name == CHECKPOINT and is_same_note(data, changed):
            idle += 1
            continue
        path.write_bytes(changed)
        found = run_fsck(f"file://{dumped}/", KEY)
        path.write_bytes(data)
        assert not found.accepted, f"byte {at} of {path.relative_to(dumped)}: {changed[at]}"
        refused[kind] += 1
        late += found.is_late
    assert min(refused) == FLIPS // len(kinds)
    assert run_fsck(f"file://{dumped}/", KEY).size == SIZE, "it is as it was"
    print(
        f"fsck refused {FLIPS} changed bytes ({refused}; {late} by silence, {idle} idle left out)"
    )


def test_it_refuses_a_dump_that_lacks_a_file(dumped: Path) -> None:
    dice = Random(SEED)
    every = sorted(path for path in (dumped / "tile").rglob("*") if path.is_file())
    for path in [dumped / CHECKPOINT, *(dice.choice(every) for _ in range(10))]:
        path.rename(dumped / "aside")
        found = run_fsck(f"file://{dumped}/", KEY)
        (dumped / "aside").rename(path)
        assert not found.accepted, path
