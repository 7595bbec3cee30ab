"""Execution: a block's input becomes its record, results and writes (spec B3).

Pure over committed state and repeatable: executing twice gives the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from ledger import catalogue, entries
from ledger.blocks import (
    BLOCK_BYTES_MAX,
    MISBEHAVIOURS_MAX,
    BlockInput,
    BlockRecord,
    BlockRefused,
    StateRoot,
    record_hash_of,
)
from ledger.encoding import codec, merkle
from ledger.encoding.codec import Hash, Natural, NotCanonical, Record, only
from ledger.encoding.crypto import sha256
from ledger.genesis import parameters_hash, validators_hash
from ledger.inadmissible import (
    AlreadyLogged,
    BadSignature,
    Expired,
    ExpiresTooFar,
    Inadmissible,
    KeyUnknown,
    KindUnknown,
    WrongLog,
)
from ledger.invariants import check_changes
from ledger.rules import calendar
from ledger.rules.authority import Signers, registered
from ledger.rules.base import Context, Outcome, Posting, Rule
from ledger.rules.calendar import TIME_MAX_MS
from ledger.rules.control import (
    CONTROL,
    PARAMETERS,
    Control,
    Parameters,
    count_officers,
    officers_needed,
    require_not_paused,
    rules_version_at,
)
from ledger.rules.expiry import apply_expiries
from ledger.rules.misbehaviour import apply_misbehaviours, problem_of
from ledger.rules.quotas import count_written
from ledger.rules.refusals import TransactionRefused
from ledger.rules.validators import VALIDATOR_LAG, VALIDATORS, ValidatorSchedule, validators_at
from ledger.rules.withdrawals import has_withdrawn
from ledger.transactions import (
    Transaction,
    amount_of,
    parse,
    signing_bytes,
)
from ledger.view import Draft, Put, StateView, must

ROOT_EVERY_MS = 5_000
"""The state is cut at every multiple of this of block time."""
ROOT_LAG_MS = 2_000
"""Block time from a cut to the block that carries its root: what a tree has to be ready in."""

Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) → verdict."""


class Cut(Record, frozen=True):
    """A moment of block time as of which the state gets a root (B7)."""

    time_ms: Natural
    """A multiple of ``ROOT_EVERY_MS``; what was written before it belongs to it."""
    height: Natural
    """Of the last record that wrote for it."""
    log_size: Natural
    """Entries of the log through that record."""


def cut_of(time_ms: int) -> int:
    """Return the cut to which what a block at ``time_ms`` writes belongs (B7)."""
    return (time_ms // ROOT_EVERY_MS + 1) * ROOT_EVERY_MS


class Head(Record, frozen=True):
    """Where the ledger stands after its last durable commit; the store keeps it as it is."""

    log_id: Hash
    height: Natural
    time_ms: Natural
    record_hash: Hash
    """Hash of the last block record; the log id before the first."""
    log_size: Natural
    log_peaks: tuple[Hash, ...]
    cuts: tuple[Cut, ...]
    """Those whose roots no record carries yet, the oldest first: at most two (B7)."""

    def due_cut(self, time_ms: int) -> Cut | None:
        """Return the cut whose root a block at ``time_ms`` carries, if it carries one (B7)."""
        is_due = bool(self.cuts) and time_ms >= self.cuts[0].time_ms + ROOT_LAG_MS
        return self.cuts[0] if is_due else None

    def after(
        self,
        *,
        height: int,
        time_ms: int,
        record_hash: bytes,
        log_size: int,
        log_peaks: tuple[bytes, ...],
        is_rooted: bool,
        is_written: bool,
    ) -> "Head":
        """Return where the ledger stands after a block.

        ``is_rooted`` says that its record carries the root of the oldest cut (B7).
        """
        cuts = self.cuts[1:] if is_rooted else self.cuts
        if is_written:
            cut = Cut(time_ms=cut_of(time_ms), height=height, log_size=log_size)
            cuts = (*(other for other in cuts if other.time_ms != cut.time_ms), cut)
        return Head(
            log_id=self.log_id,
            height=height,
            time_ms=time_ms,
            record_hash=record_hash,
            log_size=log_size,
            log_peaks=log_peaks,
            cuts=cuts,
        )


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one transaction of a block."""

    id: bytes
    sequence: int
    expires_at: int
    postings: tuple[Posting, ...]


class Write(msgspec.Struct, frozen=True):
    """One version of a record: what the current and the history table store."""

    key: bytes
    sequence: int
    value: bytes
    """Sequence number as u64be, then the record's canonical bytes."""
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Everything that a block does, ready to be committed."""

    parent: Head
    block: BlockInput
    record: BlockRecord | None
    """None for a block that changes nothing: it leaves no log entry."""
    head: Head
    entries: tuple[bytes, ...]
    leaves: tuple[bytes, ...]
    """The leaf hashes of the entries."""
    writes: tuple[Write, ...]
    """All of them; of a claimed block the last of each key."""
    results: tuple[Result, ...]


def stored_value(sequence: int, record: Record) -> bytes:
    """Return a record as it is stored and hashed."""
    return sequence.to_bytes(8, "big") + codec.encode(record)


def check_form(
    transaction: Transaction,
    head: Head,
    parameters: Parameters,
    *,
    rules_version: int,
    time_ms: int,
    latest_ms: int | None = None,
) -> None:
    """Raise Inadmissible unless a transaction can stand in a block at ``time_ms`` (B3.2).

    With ``latest_ms``, in one at some time between the two.
    """
    rule_of(transaction, rules_version)
    body = transaction.body
    if body.log_id != head.log_id:
        raise WrongLog(signed_for=body.log_id.hex(), log_id=head.log_id.hex())
    if body.expires_at <= time_ms:
        raise Expired(expires_at_ms=body.expires_at, time_ms=time_ms)
    latest_ms = time_ms if latest_ms is None else latest_ms
    ahead_ms = parameters.expiry_ahead_max_ms
    if body.expires_at > latest_ms + ahead_ms:
        raise ExpiresTooFar(
            expires_at_ms=body.expires_at, expiry_ahead_max_ms=ahead_ms, time_ms=latest_ms
        )


def rule_of(transaction: Transaction, rules_version: int) -> Rule:
    """Return a transaction's rule; raise KindUnknown if a rules version does not know its kind."""
    rule = catalogue.rule_at(rules_version, transaction.kind)
    if rule is None:
        raise KindUnknown(kind=transaction.kind)
    return rule


class RulesUnknown(Exception):
    """Members chose rules that this software does not know: upgrade it to go on."""


def require_registered(view: StateView, transaction: Transaction) -> None:
    """Raise Inadmissible unless every key of a transaction is registered and alive."""
    for key, _ in transaction.signatures:
        if registered(view, key) is None:
            raise KeyUnknown(key=key.hex())


def signers_of(view: StateView, transaction: Transaction) -> Signers:
    """Return who signed.

    A key that died earlier in the same block no longer counts (R3.4), nor one of a party that took
    its signature off the transaction (R3.10).
    """
    keys = [
        signer for key, _ in transaction.signatures if (signer := registered(view, key)) is not None
    ]
    parties = dict.fromkeys(key.party for key in keys)
    withdrawn = tuple(party for party in parties if has_withdrawn(view, transaction.id, party))
    return Signers(
        keys=tuple(key for key in keys if key.party not in withdrawn),
        withdrawn=withdrawn,
        transaction=transaction.id.hex(),
    )


def signatures_hold(transaction: Transaction, verify: Verify) -> bool:
    """Return whether every signature of a transaction verifies."""
    message = signing_bytes(transaction.body_bytes)
    return all(verify(key, message, signature) for key, signature in transaction.signatures)


def apply_transaction(
    view: StateView,
    transaction: Transaction,
    *,
    parameters: Parameters,
    height: int,
    time_ms: int,
    sequence: int,
    previous_record_hash: bytes,
) -> Outcome:
    """Return what a transaction causes on ``view``; raise TransactionRefused or KindUnknown."""
    control = must(view, CONTROL, "all")
    rule = rule_of(transaction, known_version(control, height))
    kind = catalogue.KINDS[transaction.kind]
    require_not_paused(control, kind)
    signers = signers_of(view, transaction)
    month = calendar.month_of(time_ms)
    amount = 0
    rows = tuple(row for row in parameters.officers if row.kind == transaction.kind)
    if rows:
        amount = amount_of(transaction.body.operation)
        signers = msgspec.structs.replace(
            signers,
            officers_needed=lambda party: officers_needed(view, rows, amount, party, month),
        )
    context = Context(
        log_id=transaction.body.log_id,  # B3.2: it is this ledger's
        time_ms=time_ms,
        height=height,
        sequence=sequence,
        previous_record_hash=previous_record_hash,
        signers=signers,
        quiet=control.quiet,
    )
    outcome = rule(view, transaction.body.operation, context)
    size = len(transaction.body_bytes)
    counted = count_written(view, kind, signers, parameters, size=size, time_ms=time_ms)
    if amount:
        counted += count_officers(view, transaction.kind, amount, signers.asked, month)
    return msgspec.structs.replace(outcome, changes=outcome.changes + counted)


def known_version(control: Control, height: int) -> int:
    """Return the rules version of a height; raise RulesUnknown if this software lacks it."""
    version = rules_version_at(control, height)
    if version not in catalogue.RULES_VERSIONS:
        raise RulesUnknown(
            f"from height {height} rules version {version} holds, this software "
            f"knows {' '.join(map(str, catalogue.RULES_VERSIONS))}: install a newer one"
        )
    return version


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """The roots of a block record that cover the block itself."""

    transactions_root: bytes
    changes_root: bytes
    log_root: bytes


class CommittedState(StateView, Protocol):
    """The state after the last block, with its tree."""

    def state_root(self) -> bytes:
        """Return the root of the state tree (V1) as of the oldest cut that has none yet (B7)."""


class BlockBuilder:
    """Applies a block step by step; proposers and validators share it.

    Expiries come first, then each transaction in order; ``finish`` closes the block.
    """

    def __init__(self, view: CommittedState, head: Head, *, height: int, time_ms: int) -> None:
        if height <= head.height:
            raise BlockRefused(f"height {height} is not above {head.height}")
        if time_ms <= head.time_ms:
            raise BlockRefused(f"time {time_ms} is not after the parent's {head.time_ms}")
        if time_ms > TIME_MAX_MS:  # else one validator could stop all with a date that has no year
            raise BlockRefused(f"time {time_ms} is above {TIME_MAX_MS}")
        self._view = view
        self._head = head
        self._height = height
        self._time_ms = time_ms
        self._parameters = must(view, PARAMETERS, "all")
        self._draft = Draft(view)
        self._entries: list[bytes] = []
        self._changes: list[tuple[int, tuple[Put, ...]]] = []
        """What each entry wrote, by its sequence."""
        self._results: list[Result] = []
        self._raws: list[bytes] = []
        self.bytes = 0
        self.rows = 0
        control = must(view, CONTROL, "all")
        self._rules_version = known_version(control, height)
        expiries = apply_expiries(
            view, self._unsigned(control.quiet), limit=self._parameters.block_expiries_max
        )
        if expiries.changes:
            self._write(expiries.changes, self._sequence)
            self._entries.append(
                entries.encode_entry(entries.AutomaticEntry(postings=expiries.postings))
            )

    def _unsigned(self, quiet: tuple[int, int]) -> Context:
        """Return the context of what a block does without anybody's signature."""
        return Context(
            log_id=self._head.log_id,
            time_ms=self._time_ms,
            height=self._height,
            sequence=self._sequence,
            previous_record_hash=self._head.record_hash,
            signers=Signers(keys=()),
            quiet=quiet,
        )

    @property
    def parameters(self) -> Parameters:
        """Return the parameters in force."""
        return self._parameters

    @property
    def rules_version(self) -> int:
        """Return the rules version of this height."""
        return self._rules_version

    @property
    def _sequence(self) -> int:
        """Return the log position of the next entry."""
        return self._head.log_size + len(self._entries)

    def apply(self, transaction: Transaction) -> None:
        """Apply one transaction and log it; raise TransactionRefused, and nothing has changed."""
        sequence = self._sequence
        outcome = apply_transaction(
            self._draft,
            transaction,
            parameters=self._parameters,
            height=self._height,
            time_ms=self._time_ms,
            sequence=sequence,
            previous_record_hash=self._head.record_hash,
        )
        self._write(outcome.changes, sequence)
        self._log(transaction, outcome.postings, sequence)

    def _write(self, changes: tuple[Put, ...], sequence: int) -> None:
        self._draft.apply(changes)
        self._changes.append((sequence, changes))

    def _log(self, transaction: Transaction, postings: tuple[Posting, ...], sequence: int) -> None:
        self._entries.append(
            entries.encode_entry(
                entries.TransactionEntry(signed=transaction.raw, postings=postings)
            )
        )
        self._results.append(
            Result(
                id=transaction.id,
                sequence=sequence,
                expires_at=transaction.body.expires_at,
                postings=postings,
            )
        )
        self._raws.append(transaction.raw)
        self.bytes += len(transaction.raw)
        self.rows += transaction.rows

    def finish(self, block: BlockInput, claimed: BlockRecord | None = None) -> Execution:
        """Close the block and return its execution.

        The roots that ``claimed`` names are taken from it instead of made: an auditor makes them
        in another process, and compares them there. It needs no more than the last write of each
        key, so the execution holds no other.
        """
        self._note_misbehaviours(block)
        check_changes(self._view, self._draft.written)
        if claimed is None:
            writes, leaves = self._all_writes(), merkle.leaf_hashes(self._entries)
            log = merkle.Frontier(self._head.log_size, self._head.log_peaks)
            log.extend(leaves)
        else:
            writes, leaves = self._last_writes(), []
            log = merkle.Frontier()  # it grows in another process
        state_root = self._state_root(block.time_ms, claimed)
        record, record_hash = None, self._head.record_hash
        if self._entries or block.misbehaviours or state_root:
            roots = self._roots(writes, log) if claimed is None else claimed
            record = self._record(block, state_root, roots)
            record_hash = record_hash_of(record)
            closing = entries.encode_entry(entries.ClosingEntry(record=record))
            self._entries.append(closing)
            if claimed is None:
                leaves.append(merkle.leaf_hash(closing))
                log.append(leaves[-1])
        head = self._head.after(
            height=block.height,
            time_ms=block.time_ms,
            record_hash=record_hash,
            log_size=self._sequence,
            log_peaks=tuple(log.peaks),
            is_rooted=bool(state_root),
            is_written=bool(writes),
        )
        return Execution(
            parent=self._head,
            block=block,
            record=record,
            head=head,
            entries=tuple(self._entries),
            leaves=tuple(leaves),
            writes=writes,
            results=tuple(self._results),
        )

    def _all_writes(self) -> tuple[Write, ...]:
        return tuple(
            Write(key, sequence, stored_value(sequence, record), record)
            for sequence, changes in self._changes
            for key, record in changes
        )

    def _last_writes(self) -> tuple[Write, ...]:
        """Return the last write of each key."""
        last = {key: sequence for sequence, changes in self._changes for key, _ in changes}
        return tuple(
            Write(key, last[key], stored_value(last[key], record), record)
            for key, record in self._draft.written.items()
        )

    def _state_root(self, time_ms: int, claimed: BlockRecord | None) -> tuple[StateRoot, ...]:
        """Return the root that this block carries, if one is due (B7)."""
        cut = self._head.due_cut(time_ms)
        if cut is None:
            return ()
        if claimed is None:
            root = self._view.state_root()
        else:
            # A record that lacks a root that is due differs, whatever root stands here.
            state_root = only(claimed.state_root)
            root = bytes(32) if state_root is None else state_root.root
        return (StateRoot(root=root, height=cut.height),)

    def _roots(self, writes: tuple[Write, ...], log: merkle.Frontier) -> Roots:
        return Roots(
            transactions_root=merkle.root(self._raws),
            changes_root=changes_root({write.key: write.value for write in writes}),
            log_root=log.root(),
        )

    def _note_misbehaviours(self, block: BlockInput) -> None:
        """Write what follows from the block's misbehaviours; the closing entry names them."""
        if block.misbehaviours:
            control = must(self._draft, CONTROL, "all")
            context = self._unsigned(control.quiet)
            changes = apply_misbehaviours(self._view, self._draft, block.misbehaviours, context)
            self._write(changes, self._sequence)

    def _record(
        self,
        block: BlockInput,
        state_root: tuple[StateRoot, ...],
        roots: Roots | BlockRecord,
    ) -> BlockRecord:
        schedule: ValidatorSchedule = must(self._draft, VALIDATORS, "all")
        parameters: Parameters = must(self._draft, PARAMETERS, "all")
        return BlockRecord(
            version=1,
            log_id=self._head.log_id,
            height=block.height,
            time_ms=block.time_ms,
            previous=self._head.record_hash,
            transactions_root=roots.transactions_root,
            changes_root=roots.changes_root,
            state_root=state_root,
            log_size=self._sequence,
            log_root=roots.log_root,
            validators_hash=validators_hash(validators_at(schedule, block.height + VALIDATOR_LAG)),
            parameters_hash=parameters_hash(parameters),
            rules_version=self._rules_version,
            misbehaviours=block.misbehaviours,
        )


def changes_root(values: dict[bytes, bytes]) -> bytes:
    """Return the RFC 6962 root over ``u16be len ‖ key ‖ SHA-256(value)``, sorted by key (B4)."""
    return merkle.root(
        [len(key).to_bytes(2, "big") + key + sha256(value) for key, value in sorted(values.items())]
    )


def execute(
    view: CommittedState,
    head: Head,
    block: BlockInput,
    *,
    is_logged: Callable[[Transaction], bool],
    load: Callable[[bytes], Transaction] = parse,
    signatures_valid: Callable[[Transaction], bool],
    claimed: BlockRecord | None = None,
) -> Execution:
    """Return what a block does to committed state; raise BlockRefused if it must not stand.

    The checks run in the order of B3. ``is_logged`` tells whether an id was spent before. The
    roots of ``claimed``, if given, are not made but taken from it.
    """
    builder = BlockBuilder(view, head, height=block.height, time_ms=block.time_ms)
    parameters = builder.parameters
    if len(block.transactions) > parameters.block_transactions_max:
        raise BlockRefused(f"{len(block.transactions)} transactions")
    if sum(map(len, block.transactions)) > min(parameters.block_bytes_max, BLOCK_BYTES_MAX):
        raise BlockRefused("too many bytes")
    if len(block.misbehaviours) > MISBEHAVIOURS_MAX:
        raise BlockRefused(f"{len(block.misbehaviours)} misbehaviours")
    problem = problem_of(view, block.misbehaviours, block.height)
    if problem:
        raise BlockRefused(problem)
    seen: dict[bytes, None] = {}
    for position, raw in enumerate(block.transactions):
        try:
            transaction = load(raw)
            check_form(
                transaction,
                head,
                parameters,
                rules_version=builder.rules_version,
                time_ms=block.time_ms,
            )
            if transaction.id in seen or is_logged(transaction):
                raise AlreadyLogged(id=transaction.id.hex())
            require_registered(view, transaction)
            if not signatures_valid(transaction):
                raise BadSignature()
        except (NotCanonical, Inadmissible) as error:
            raise BlockRefused(f"transaction {position}: {error}", position=position) from None
        seen[transaction.id] = None
        if builder.rows + transaction.rows > parameters.block_rows_max:
            raise BlockRefused("too many rows", position=position)
        try:
            builder.apply(transaction)
        except TransactionRefused as refusal:
            # Else who proposes could end an act for good: by leaving out a signature, or by an
            # order in which it does not hold (X3).
            reason = f"transaction {position} is refused: {refusal.code}"
            raise BlockRefused(reason, position=position) from None
    return builder.finish(block, claimed)
