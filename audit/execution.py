"""The fourth level: everything is executed again and compared byte for byte (spec A5.4)."""

from collections.abc import Callable

from audit.roots import RootKeeper, Written
from audit.structure import LoggedBlock
from audit.verdicts import Tampered, Unverifiable
from ledger.audit import AuditFinding, compare
from ledger.blocks import BlockInput, BlockRefused
from ledger.execute import Execution, Head, RulesUnknown, execute
from ledger.invariants import InvariantBroken
from ledger.store.scratch import ScratchStore
from ledger.transactions import Transaction


class Executor:
    """Executes block after block on a store; others verify signatures and make roots."""

    def __init__(self, store: ScratchStore, head: Head, roots: RootKeeper) -> None:
        self.head = head
        self._store = store
        self._roots = roots

    def take(self, block: LoggedBlock) -> None:
        """Execute a block; raise Tampered or Unverifiable."""
        execution = self._execute(block)
        try:
            compare(block.raws, execution, block.first)
        except AuditFinding as finding:
            raise Tampered(
                height=finding.height,
                sequence=finding.sequence,
                field=finding.field,
                reason=finding.reason,
            ) from None
        self._store.commit(execution)
        self.head = execution.head
        record = block.record
        self._roots.take(
            Written(
                height=record.height,
                sequence=block.last,
                keys=[write.key for write in execution.writes],
                values=[write.value for write in execution.writes],
                changes_root=record.changes_root,
                state_root=record.state_root[0].root if record.state_root else None,
                cuts=len(execution.head.cuts),
            )
        )

    def _execute(self, block: LoggedBlock) -> Execution:
        record = block.record
        try:
            return execute(
                self._store,
                self.head,
                BlockInput(
                    height=record.height,
                    time_ms=record.time_ms,
                    transactions=tuple(transaction.raw for transaction in block.transactions),
                    misbehaviours=record.misbehaviours,
                ),
                is_logged=self._is_logged,
                load=_in_turn(block),
                signatures_valid=lambda _: True,  # the workers say so, or end the replay
                claimed=record,
            )
        except BlockRefused as error:
            sequence = block.last
            if error.position is not None:
                sequence = block.first_transaction + error.position
            raise Tampered(
                height=record.height, sequence=sequence, field="block", reason=str(error)
            ) from None
        except RulesUnknown as error:
            raise Unverifiable(
                height=record.height,
                sequence=block.last,
                field="record.rules_version",
                reason=str(error),
            ) from None
        except InvariantBroken as error:
            raise Tampered(
                height=record.height, sequence=block.last, field="invariant", reason=str(error)
            ) from None

    def _is_logged(self, transaction: Transaction) -> bool:
        expires_at = transaction.body.expires_at
        return self._store.sequence_of(transaction.id, expires_at) is not None


def _in_turn(block: LoggedBlock) -> Callable[[bytes], Transaction]:
    """Return a loader of a block's transactions, which were decoded before, in their order."""
    decoded = iter(block.transactions)
    return lambda _: next(decoded)
