"""A short life of a node's durable parts, always the same: what it writes, and what it then says.

Run as ``python -m tests.crash.life FOLDER`` it lives this life on real files. After each step that
a node would rely on it appends a line to the file ``said``: from then on the step must survive.
"""

import os
import random
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from engines.builtin.signer import PRECOMMIT, PREVOTE, PROPOSAL, SignRequest, create_signer
from engines.builtin.wal import open_wal
from ledger.blocks import BlockInput
from ledger.ledger import Ledger
from ledger.store.lmdb_store import LmdbStore
from tests import builders
from tests.ledger.acts import random_act, random_step_ms

BLOCKS = 40
GENESIS = builders.genesis()
SEED = bytes(range(32))
SAID = "said"
"""The file of promises: not one of the node's, and never lost."""


@cache
def blocks() -> tuple[BlockInput, ...]:
    """Return the blocks of heights 1 to BLOCKS: all simple kinds, and expiries."""
    dice = random.Random("blocks")
    now_ms = builders.NOON_MS
    firms = (builders.enrol("firm-a"), builders.enrol("firm-b"))
    contents: list[tuple[bytes, ...]] = [
        (builders.publish(validity_days=2), *firms, builders.accredit()),
        (builders.appropriate(50_000), builders.recognise()),
    ]
    chain = builders.Chain(genesis=GENESIS)
    made = []
    for height in range(1, BLOCKS + 1):
        now_ms += 1_000 if contents else random_step_ms(dice)
        if contents:
            raws = contents.pop(0)
        else:
            numbers = range(10 * height, 10 * height + dice.randrange(4))
            raws = tuple(random_act(dice, now_ms, height, number).raw for number in numbers)
        refusals = chain.refusals(*raws, time_ms=now_ms)
        raws = tuple(raw for raw in raws if raw not in refusals)
        made.append(chain.block(*raws, time_ms=now_ms).block)
    return tuple(made)


def certificate(height: int) -> bytes:
    """Return what an engine would store with a block."""
    return random.Random(f"certificate {height}").randbytes(400)


@cache
def batches(height: int) -> tuple[tuple[bytes, ...], ...]:
    """Return the records of a height's log, by the sync that makes them durable.

    One batch before each signature, one before the commit.
    """
    dice = random.Random(f"log {height}")
    sizes = (40, 200, 700, 3_000, 9_000)
    return tuple(
        tuple(dice.randbytes(dice.choice(sizes)) for _ in range(dice.randrange(1, 4)))
        for _ in range(len(steps(height)) + 1)
    )


def steps(height: int) -> tuple[int, ...]:
    """Return what the node signs at a height: it proposes at each third."""
    return (PROPOSAL, PREVOTE, PRECOMMIT) if height % 3 == 0 else (PREVOTE, PRECOMMIT)


@cache
def requests() -> tuple[SignRequest, ...]:
    """Return all that the node signs, in order."""
    dice = random.Random("requests")
    return tuple(
        SignRequest(
            epoch=0,
            height=height,
            round=height % 2,
            step=step,
            message=dice.randbytes(dice.choice((120, 700, 3_000))),
        )
        for height in range(1, BLOCKS + 1)
        for step in steps(height)
    )


def live(folder: Path, *, durable: bool, say: Callable[[str], None]) -> None:
    """Live through all blocks, in the order of the node's host: log, sign, commit."""
    signer = create_signer(folder / "signer", SEED)
    say("signed 0")
    log = open_wal(folder)
    say("log 0 0")
    ledger = Ledger(LmdbStore(folder / "store", durable=durable))
    ledger.begin(GENESIS)
    say("commit 0")
    signed = 0
    for block in blocks():
        log.start_height(block.height)
        for count, batch in enumerate(batches(block.height), start=1):
            for record in batch:
                log.append(record)
            log.sync()
            say(f"log {block.height} {count}")
            if count <= len(steps(block.height)):
                assert isinstance(signer.sign(requests()[signed]), bytes)
                signed += 1
                say(f"signed {signed}")
        ledger.commit(ledger.execute(block), certificate(block.height))
        say(f"commit {block.height}")


def main(folder: Path, durable: bool) -> None:
    """Live in an empty folder."""
    descriptor = os.open(folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    def say(line: str) -> None:
        os.write(descriptor, line.encode("ascii"))

    live(folder, durable=durable, say=say)


if __name__ == "__main__":
    main(Path(sys.argv[1]), durable="--not-durable" not in sys.argv)
