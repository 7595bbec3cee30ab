"""Looks for an image that breaks a promise.

Run as ``python -m tests.crash.hunt FILE IMAGES SEED`` on pickled operations, in a process of its
own: a store that is not whole can take the process that maps it down. Exits with 0, BROKEN or a
signal.
"""

import os
import pickle
import random
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import lmdb

from engines.builtin.signer import SignerDamaged
from engines.builtin.wal import WalDamaged
from tests.crash.disk import Operation
from tests.crash.images import images
from tests.crash.recording import ROOT
from tests.crash.verdict import UNSET, check, write_image

BROKEN = 3
AT_LEAST = 2_000
GOES_ON_EVERY = 20
"""Every so many images the node's parts also take their next step."""


def hunt(operations: Sequence[Operation], *, at_least: int, dice: random.Random) -> Counter[str]:
    """Check that many images; return how many there were, and where they stood."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        for image, promises in images(operations, at_least=at_least, dice=dice):
            write_image(image, Path(folder))
            goes_on = counts["images"] % GOES_ON_EVERY == 0
            found = check(Path(folder), promises, goes_on=goes_on)
            counts["images"] += 1
            counts["went on"] += goes_on
            counts["before there was a store"] += found.height == UNSET
            counts["store at the next commit"] += found.height > promises.height
            counts["store at the promised commit"] += found.height == promises.height
            counts["log at the next sync"] += found.log > promises.log
            counts["log at the promised sync"] += found.log == promises.log
            counts["signer at the next request"] += found.signed > promises.signed
            counts["signer at the promised request"] += found.signed == promises.signed
    return counts


def finds_a_broken_image(
    operations: Sequence[Operation], folder: Path, *, seed: int, at_least: int = AT_LEAST
) -> bool:
    """Return whether a hunt in another process meets an image that breaks a promise."""
    file = folder / "operations"
    file.write_bytes(pickle.dumps(operations))
    command = [sys.executable, "-m", "tests.crash.hunt", str(file), str(at_least), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, BROKEN) or done.returncode < 0, done.stderr
    print(done.stdout)
    return done.returncode != 0


def _fast_folder() -> str | None:
    """Return a folder in memory: an image is as durable there as it needs to be."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def main(file: Path, at_least: int, seed: int) -> int:
    """Hunt through pickled operations."""
    try:
        counts = hunt(pickle.loads(file.read_bytes()), at_least=at_least, dice=random.Random(seed))
    except (AssertionError, ValueError, WalDamaged, SignerDamaged, lmdb.Error):
        print(traceback.format_exc(limit=-1))
        return BROKEN
    print(f"{counts['images']} images, none of them broken")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
