"""A validator that proposes acts with a signature missing: ``python -m tests.cluster.stripping``.

In all else it is an honest node, but for rules of its own: what is refused may stand in a block and
spends its id. In its folder the file ``stripped`` names the acts that it tried to end.
"""

import sys
from pathlib import Path
from typing import Any

from ledger.execute import BlockBuilder
from ledger.ledger import Ledger
from ledger.rules.refusals import TransactionRefused
from ledger.transactions import Transaction, parse, seal
from node.__main__ import main

STRIPPED = Path("stripped")


def without_one(raw: bytes) -> bytes:
    """Return an envelope with one signature less, if it has more than one: the id is the same."""
    transaction = parse(raw)
    pairs = dict(transaction.signatures)
    if len(pairs) > 1:
        del pairs[max(pairs)]
        with STRIPPED.open("a", encoding="ascii") as file:
            file.write(f"{transaction.id.hex()}\n")
    return seal(transaction.body_bytes, pairs)


if __name__ == "__main__":
    apply, propose = BlockBuilder.apply, Ledger.propose

    def apply_anything(builder: BlockBuilder, transaction: Transaction) -> None:
        """Log what a rule refuses too."""
        try:
            apply(builder, transaction)
        except TransactionRefused:
            builder._log(transaction, (), builder._sequence)

    def propose_less(ledger: Ledger, *args: Any, **named: Any) -> tuple[bytes, ...]:
        """Propose what an honest node would, with a signature missing from each act."""
        return tuple(without_one(raw) for raw in propose(ledger, *args, **named))

    BlockBuilder.apply = apply_anything  # type: ignore[method-assign, assignment]
    Ledger.propose = propose_less  # type: ignore[method-assign, assignment]
    del sys.argv[1]
    sys.exit(main())
