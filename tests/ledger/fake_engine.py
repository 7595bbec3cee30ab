"""A second engine, as unlike the first as the seam allows (B2).

It orders its pool its own way, proposes several candidate blocks and throws all but one away,
executes what it keeps more than once, and makes a block that holds nothing now and then. It knows
no votes: whatever it decides is decided.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from ledger.blocks import BlockInput, BlockRefused, Limits
from ledger.encoding.codec import NotCanonical
from ledger.execute import Execution
from ledger.inadmissible import Inadmissible
from ledger.ledger import Ledger
from ledger.transactions import Transaction

CANDIDATES = 3
BLOCK_TRANSACTIONS = 7


@dataclass
class FakeEngine:
    """Drives one ledger; every choice comes from its dice."""

    ledger: Ledger
    dice: random.Random
    now_ms: int
    pool: list[Transaction] = field(default_factory=list)
    decided: list[BlockInput] = field(default_factory=list)
    """What another ledger may be fed."""
    thrown_away: int = 0
    empty: int = 0

    def submit(self, raws: Iterable[bytes]) -> None:
        """Take in what could be logged, whether the rules like it now or not."""
        for raw in raws:
            try:
                checked = self.ledger.check(raw, time_ms=self.now_ms)
            except (NotCanonical, Inadmissible):
                continue
            self.pool.append(checked.transaction)

    def run(self, rounds_max: int = 200) -> None:
        """Make blocks until the pool is empty or nothing in it will ever hold."""
        for _ in range(rounds_max):
            if not self.pool:
                return
            if not self._step().transactions and not self._last_chance():
                return

    def _last_chance(self) -> bool:
        """Return whether the pool as a whole still gives a block: a small candidate may not."""
        raws = self._propose(self.pool)
        return bool(raws)

    def _propose(self, pending: list[Transaction]) -> tuple[bytes, ...]:
        limits = Limits(transactions_max=self.dice.randrange(1, BLOCK_TRANSACTIONS))
        return self.ledger.propose(
            pending,
            height=self.ledger.last().height + 1,
            time_ms=self.now_ms + 1,
            limits=limits,
        )

    def _candidate(self) -> BlockInput:
        shuffled = list(self.pool)
        self.dice.shuffle(shuffled)
        self.now_ms += self.dice.randrange(1, 50)
        raws = self._propose(shuffled)
        height = self.ledger.last().height + 1
        return BlockInput(height=height, time_ms=self.now_ms + 1, transactions=raws)

    def _step(self) -> BlockInput:
        """Decide one block, after candidates that came to nothing; return it."""
        if self.dice.randrange(4) == 0:
            self._decide(self._nothing())
        candidates = [self._candidate() for _ in range(CANDIDATES)]
        executions = [self._execute_twice(block) for block in candidates]
        self.thrown_away += len(executions) - 1
        block = self.dice.choice(candidates)
        self._decide(block)
        return block

    def _nothing(self) -> BlockInput:
        self.now_ms += 1
        self.empty += 1
        height = self.ledger.last().height + 1
        return BlockInput(height=height, time_ms=self.now_ms, transactions=())

    def _execute_twice(self, block: BlockInput) -> Execution:
        first, second = self.ledger.execute(block), self.ledger.execute(block)
        assert (first.head, first.entries) == (second.head, second.entries)
        return first

    def _decide(self, block: BlockInput) -> None:
        try:
            execution = self.ledger.execute(block)
        except BlockRefused as refused:
            raise AssertionError(f"its own block was refused: {refused}") from None
        self.now_ms = max(self.now_ms, block.time_ms)
        self.ledger.commit(execution, b"the fake engine says so")
        self.decided.append(block)
        logged = {result.id for result in execution.results}
        self.pool = [one for one in self.pool if one.id not in logged]
