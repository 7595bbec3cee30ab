"""The seam: what any engine asks of the ledger (spec B2).

An engine calls ``begin`` once, then ``check``, ``propose``, ``execute`` and ``commit``. Executing
changes nothing; committing is one durable transaction of the store.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ledger import entries, execute, genesis
from ledger.blocks import BLOCK_BYTES_MAX, BlockInput, Limits, Misbehaviour
from ledger.encoding import crypto, merkle
from ledger.encoding.codec import Record
from ledger.execute import (
    BlockBuilder,
    Cut,
    Execution,
    Head,
    Verify,
    Write,
    check_form,
    cut_of,
    require_registered,
    signatures_hold,
    stored_value,
)
from ledger.inadmissible import AlreadyLogged, BadSignature, Inadmissible
from ledger.rules.authority import KEYS
from ledger.rules.base import Outcome
from ledger.rules.control import (
    CONTROL,
    PARAMETERS,
    Control,
    Parameters,
    engine_at,
    looks_until,
    rules_version_at,
)
from ledger.rules.misbehaviour import problem_of
from ledger.rules.parties import PARTIES, VALIDATOR_KEYS, Party
from ledger.rules.refusals import TransactionRefused
from ledger.rules.validators import VALIDATORS, ValidatorSetRecord, validators_at
from ledger.transactions import Transaction, parse
from ledger.view import Draft, Reads, StateView, get, must

R = TypeVar("R", bound=Record)

KNOWN_MAX = 40_000
"""Decoded transactions kept between admission and commit."""
VERIFIED_MAX = 60_000
"""Signature verdicts kept: each envelope is verified once per node."""
EXECUTIONS_MAX = 8
"""Executions kept: proposer and validator of one block run it once."""


class Storage(Protocol):
    """What the ledger needs of a store; committed state only."""

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Return a committed record."""

    def due(self, until_ms: int, limit: int) -> tuple[str, ...]:
        """Return keys of due records, as StateView says."""

    def records(self) -> Iterator[tuple[bytes, Record]]:
        """Yield every current record with its key, by key."""

    def state_root(self) -> bytes:
        """Return the root of the state tree (V1) as of the oldest cut that has none yet (B7)."""

    def head(self) -> Head | None:
        """Return where the last commit ended, or None in a new store."""

    def genesis(self) -> bytes | None:
        """Return the genesis bytes, or None in a new store."""

    def begin(self, data: bytes, head: Head, entry: bytes, writes: tuple[Write, ...]) -> None:
        """Write genesis, durably."""

    def sequence_of(self, transaction_id: bytes, expires_at: int) -> int | None:
        """Return where an id was logged, or None."""

    def commit(self, execution: Execution, stored_commit: bytes) -> None:
        """Write everything of a block in one durable transaction."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the rules say of an admitted transaction now, and the keys that this rests on."""

    transaction: Transaction
    refusal: TransactionRefused | None
    reads: tuple[bytes, ...]


class Ledger:
    """Deterministic state machine over a store."""

    def __init__(self, storage: Storage, *, verify: Verify = crypto.verify) -> None:
        self._storage = storage
        self._verify = verify
        self._known: dict[bytes, Transaction] = {}
        self._verified: dict[bytes, None] = {}
        self._executions: dict[tuple[int, int, tuple[bytes, ...]], Execution] = {}
        self._head = storage.head()
        self._parameters = storage.read(PARAMETERS.key("all"), Parameters)
        self._control = storage.read(CONTROL.key("all"), Control)

    def begin(self, data: bytes) -> Head:
        """Start a new store with a genesis, or check that the store has this one; idempotent.

        Raises GenesisInvalid or NotCanonical on a genesis that cannot start a ledger.
        """
        parsed = genesis.parse_genesis(data)
        if self._head is not None:
            if self._storage.genesis() != data:
                raise genesis.GenesisInvalid(
                    "the store belongs to another genesis, or is damaged (`tally node heal`)"
                )
            return self._head
        entry, head, writes = beginning(parsed, data)
        self._storage.begin(data, head, entry, writes)
        self._head = head
        self._parameters = parsed.parameters
        self._control = must(self._storage, CONTROL, "all")
        return head

    def last(self) -> Head:
        """Return height, time and record hash of the last durable commit."""
        assert self._head is not None, "begin() comes first"
        return self._head

    def parameters(self) -> Parameters:
        """Return the parameters in force."""
        assert self._parameters is not None, "begin() comes first"
        return self._parameters

    def control(self) -> Control:
        """Return what members decided about the ledger as a whole."""
        assert self._control is not None, "begin() comes first"
        return self._control

    def validators(self, height: int) -> ValidatorSetRecord:
        """Return the set that acts at a height, at most two above the last commit."""
        return validators_at(must(self._storage, VALIDATORS, "all"), height)

    def validator_key_owner(self, key: bytes) -> str | None:
        """Return whose validator key this is or was, None if nobody's."""
        owner = get(self._storage, VALIDATOR_KEYS, key.hex())
        return None if owner is None else owner.party

    def load(self, raw: bytes) -> Transaction:
        """Return a decoded envelope, remembered until it commits.

        Raises NotCanonical or KindUnknown.
        """
        transaction = self._known.get(raw)
        if transaction is None:
            transaction = parse(raw)
            _bounded(self._known, KNOWN_MAX)
            self._known[raw] = transaction
        return transaction

    def adopt(self, transaction: Transaction) -> None:
        """Take in a transaction that another thread decoded and verified."""
        _bounded(self._known, KNOWN_MAX)
        self._known[transaction.raw] = transaction
        self.remember_verified(transaction)

    def forget(self, transaction: Transaction) -> None:
        """Drop what is remembered of a transaction that left the pool."""
        self._known.pop(transaction.raw, None)
        self._verified.pop(transaction.digest, None)

    def remember_verified(self, transaction: Transaction) -> None:
        """Note that every signature of this envelope verified, in whatever thread."""
        _bounded(self._verified, VERIFIED_MAX)
        self._verified[transaction.digest] = None

    def signatures_valid(self, transaction: Transaction) -> bool:
        """Return whether all signatures verify; a verdict is remembered."""
        if transaction.digest in self._verified:
            return True
        if not signatures_hold(transaction, self._verify):
            return False
        self.remember_verified(transaction)
        return True

    def is_logged(self, transaction: Transaction) -> bool:
        """Return whether this id was spent."""
        return self._storage.sequence_of(transaction.id, transaction.body.expires_at) is not None

    def check(self, raw: bytes, *, time_ms: int | None = None) -> Checked:
        """Return what the rules say of an envelope now; change nothing.

        ``time_ms`` is the caller's guess of the next block time, by default just after the last.
        Raises NotCanonical or Inadmissible; what a rule refuses is in the answer.
        """
        now = max(self.last().time_ms + 1, 0 if time_ms is None else time_ms)
        transaction = self.load(raw)
        self.admit(transaction, now)
        return self.recheck(transaction, time_ms=now)

    def admit(self, transaction: Transaction, time_ms: int) -> None:
        """Raise Inadmissible unless a transaction could be logged at ``time_ms``."""
        self._require_admissible(transaction, time_ms, time_ms)

    def take_in(self, transaction: Transaction, time_ms: int) -> None:
        """Raise Inadmissible unless a later block may hold a transaction (X7).

        ``time_ms`` is the caller's guess of that block's time, by a clock that may be ahead: so
        only block time says that something has expired.
        """
        last_ms = self.last().time_ms
        self._require_admissible(transaction, last_ms, max(time_ms, last_ms))

    def _require_admissible(self, transaction: Transaction, time_ms: int, latest_ms: int) -> None:
        # The log first: what is in it is no other thing for being sent again later.
        if self.is_logged(transaction):
            raise AlreadyLogged(id=transaction.id.hex())
        check_form(
            transaction,
            self.last(),
            self.parameters(),
            rules_version=rules_version_at(self.control(), self.last().height + 1),
            time_ms=time_ms,
            latest_ms=latest_ms,
        )
        require_registered(self._storage, transaction)
        if not self.signatures_valid(transaction):
            raise BadSignature()

    def recheck(self, transaction: Transaction, *, time_ms: int) -> Checked:
        """Return what the rules say of an admitted transaction."""
        view = Reads(self._storage)
        refusal = None
        try:
            self._apply(view, transaction, time_ms)
        except TransactionRefused as error:
            refusal = error
        return Checked(transaction=transaction, refusal=refusal, reads=tuple(view.keys))

    def _apply(self, view: StateView, transaction: Transaction, time_ms: int) -> Outcome:
        head = self.last()
        return execute.apply_transaction(
            view,
            transaction,
            parameters=self.parameters(),
            height=head.height + 1,
            time_ms=max(time_ms, head.time_ms + 1),
            sequence=head.log_size,
            previous_record_hash=head.record_hash,
        )

    def signers(self, transaction: Transaction) -> list[Party]:
        """Return the parties whose keys signed an admitted transaction, each once."""
        keys = (must(self._storage, KEYS, key.hex()) for key, _ in transaction.signatures)
        parties = dict.fromkeys(key.party for key in keys)
        return [must(self._storage, PARTIES, party) for party in parties]

    def simulate(self, raw: bytes, *, time_ms: int) -> Outcome:
        """Return what an envelope would cause now, its signatures unchecked.

        Raises NotCanonical, Inadmissible or TransactionRefused.
        """
        transaction = parse(raw)
        require_registered(self._storage, transaction)
        return self._apply(Draft(self._storage), transaction, time_ms)

    def has_due(self, time_ms: int) -> bool:
        """Return whether a block at ``time_ms`` would have something to do by itself."""
        until_ms = looks_until(self.control(), time_ms)
        is_due = until_ms is not None and bool(self._storage.due(until_ms, 1))
        return is_due or self.last().due_cut(time_ms) is not None

    def may_record(self, misbehaviour: Misbehaviour) -> bool:
        """Return whether the next block may name it: news, of a key that validates (B3.1)."""
        return not problem_of(self._storage, (misbehaviour,), self.last().height + 1)

    def engine(self, height: int) -> str:
        """Return the engine that members chose for a height, empty if they never did."""
        return engine_at(self.control(), height)

    def require_known_rules(self, height: int) -> None:
        """Raise RulesUnknown if this software lacks the rules of a height."""
        execute.known_version(self.control(), height)

    def propose(
        self,
        pending: Iterable[Transaction],
        *,
        height: int,
        time_ms: int,
        limits: Limits,
        misbehaviours: tuple[Misbehaviour, ...] = (),
        on_refused: Callable[[Transaction, TransactionRefused], None] | None = None,
    ) -> tuple[bytes, ...]:
        """Return envelopes that apply in this order within limits, as a block at ``time_ms``.

        ``misbehaviours`` are new and ascending; ``on_refused`` gets what a rule refused meanwhile.
        """
        head = self.last()
        builder = BlockBuilder(self._storage, head, height=height, time_ms=time_ms)
        parameters = builder.parameters
        bytes_max = min(limits.bytes_max, parameters.block_bytes_max, BLOCK_BYTES_MAX)
        rows_max = min(limits.rows_max, parameters.block_rows_max)
        chosen: list[bytes] = []
        chosen_ids: dict[bytes, None] = {}
        for transaction in self._admissible(pending, time_ms):
            if len(chosen) >= min(limits.transactions_max, parameters.block_transactions_max):
                break
            if transaction.id in chosen_ids:
                continue
            if builder.bytes + len(transaction.raw) > bytes_max:
                continue
            if builder.rows + transaction.rows > rows_max:
                continue
            try:
                builder.apply(transaction)
            except TransactionRefused as refusal:
                if on_refused is not None:
                    on_refused(transaction, refusal)
                continue
            chosen.append(transaction.raw)
            chosen_ids[transaction.id] = None
        block = BlockInput(
            height=height, time_ms=time_ms, transactions=tuple(chosen), misbehaviours=misbehaviours
        )
        self._keep(builder.finish(block))
        return block.transactions

    def _admissible(self, pending: Iterable[Transaction], time_ms: int) -> Iterator[Transaction]:
        for transaction in pending:
            try:
                self.admit(transaction, time_ms)
            except Inadmissible:
                continue
            yield transaction

    def execute(self, block: BlockInput) -> Execution:
        """Return what a block does; repeatable. Raises BlockRefused."""
        known = self._executions.get(_execution_key(block))
        if known is not None and known.parent == self.last() and known.block == block:
            return known
        execution = execute.execute(
            self._storage,
            self.last(),
            block,
            is_logged=self.is_logged,
            load=self.load,
            signatures_valid=self.signatures_valid,
        )
        self._keep(execution)
        return execution

    def _keep(self, execution: Execution) -> None:
        _bounded(self._executions, EXECUTIONS_MAX)
        self._executions[_execution_key(execution.block)] = execution

    def commit(self, execution: Execution, stored_commit: bytes) -> Head:
        """Make a block durable with what its engine stores beside it; return the new head."""
        assert execution.parent == self.last(), "executed on another parent"
        self._storage.commit(execution, stored_commit)
        self._head = execution.head
        self._parameters = must(self._storage, PARAMETERS, "all")
        self._control = must(self._storage, CONTROL, "all")
        self._executions.clear()
        for raw in execution.block.transactions:
            known = self._known.pop(raw, None)
            if known is not None:
                self._verified.pop(known.digest, None)
        return execution.head


def beginning(parsed: genesis.Genesis, data: bytes) -> tuple[bytes, Head, tuple[Write, ...]]:
    """Return entry 0, the head after it, and what a genesis writes (G4)."""
    log_id = genesis.log_id_of(data)
    entry = entries.encode_entry(entries.GenesisEntry(genesis=data))
    frontier = merkle.Frontier()
    frontier.append(merkle.leaf_hash(entry))
    head = Head(
        log_id=log_id,
        height=0,
        time_ms=parsed.time_ms,
        record_hash=log_id,
        log_size=frontier.size,
        log_peaks=tuple(frontier.peaks),
        cuts=(Cut(time_ms=cut_of(parsed.time_ms), height=0, log_size=frontier.size),),
    )
    writes = tuple(
        Write(key, 0, stored_value(0, record), record)
        for key, record in genesis.genesis_changes(parsed)
    )
    return entry, head, writes


def _execution_key(block: BlockInput) -> tuple[int, int, tuple[bytes, ...]]:
    return block.height, block.time_ms, block.transactions


K = TypeVar("K")
V = TypeVar("V")


def _bounded(table: dict[K, V], maximum: int) -> None:
    """Make room for one more: the oldest goes."""
    if len(table) >= maximum:
        del table[next(iter(table))]
