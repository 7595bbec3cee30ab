"""A verifier that strangers wrote accepts a log of any size; test_live.py has a large one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from audit.dump import CHECKPOINT
from ledger.encoding import crypto, note
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.note import KeyType, VerifierKey
from tests.api.process import START_WITHIN_S, start_server
from tests.builders import seed
from tests.ledger import synthetic
from tests.public.fsck import run_fsck

pytestmark = [pytest.mark.ci, pytest.mark.cluster]

ORIGIN = "tallystick.log/dev-test/" + "0b" * 32
KEY = VerifierKey(
    name=ORIGIN, type=KeyType.ED25519, public_key=crypto.public_key(seed("log"))
).text()
SERVED_SIZES = (1, 255, 256, 257, 65_535, 65_536, 65_537)
HTTP_WORKERS = 16


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


@pytest.mark.parametrize("size", SERVED_SIZES)
def test_it_accepts_a_served_log_of_any_size(size: int, tmp_path: Path) -> None:
    with served(tmp_path, size) as address:
        found = run_fsck(f"{address}/log/", KEY, workers=HTTP_WORKERS)
    assert found.size == size, found.text
