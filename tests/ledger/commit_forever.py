"""A child process that commits block after block until somebody kills it.

Run as ``python -m tests.ledger.commit_forever STORE``; prints each height it has committed.
"""

import sys
from pathlib import Path

from ledger.blocks import BlockInput
from ledger.ledger import Ledger
from ledger.rules.budgets import Appropriate
from ledger.store.lmdb_store import LmdbStore
from tests import builders


def main(path: Path) -> None:
    """Commit appropriations of one fen, each of them another transaction, for ever."""
    ledger = Ledger(LmdbStore(path))
    head = ledger.begin(builders.genesis())
    if head.height == 0:
        first = BlockInput(height=1, time_ms=builders.NOON_MS, transactions=(builders.publish(),))
        ledger.commit(ledger.execute(first), b"certificate 1")
    while True:
        head = ledger.last()
        raw = builders.signed(
            Appropriate(
                programme="shanghai.compute",
                funder="shanghai",
                year=builders.YEAR,
                delta=1,
                carried_from=(),
            ),
            *builders.officers("shanghai", "budget"),
            expires_at=head.time_ms + builders.MINUTE_MS,
        )
        block = BlockInput(height=head.height + 1, time_ms=head.time_ms + 1, transactions=(raw,))
        ledger.commit(ledger.execute(block), b"certificate %d" % block.height)
        print(block.height, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
