"""The third level: every signature holds, on all cores (spec A5.3)."""

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import product
from multiprocessing import get_context
from typing import NamedTuple

import msgspec

from audit.structure import LoggedBlock
from audit.verdicts import Tampered, Unverifiable
from audit.verifying import HelperLost, Job, Verdict, verify_batch
from ledger.blocks import BlockRecord
from ledger.encoding import codec
from ledger.genesis import validators_hash
from ledger.rules.governance import Admit, Propose, SetStatus, SetValidator
from ledger.rules.validators import (
    VALIDATOR_LAG,
    VALIDATORS_MAX,
    ValidatorKeys,
    ValidatorRecord,
    ValidatorSchedule,
    ValidatorSetRecord,
    validators_at,
)
from ledger.transactions import TRANSACTION_TAG
from tally.helpers import end_with_parent, interrupts_held

BATCH_MAX = 512
"""Signatures that one worker is given at once."""
AHEAD_MAX = 16
"""Batches under way for each worker: reading never runs further ahead of them."""
CHANGES_MAX = 3
"""Members whose validators one block changes, if the signatures level alone is to follow."""
SETS_TRIED_MAX = 20_000
WORK = "verifies signatures"
"""What a lost worker did, in a sentence."""


class Place(NamedTuple):
    """Where a signature stands."""

    height: int
    sequence: int
    field: str


class SignatureQueue:
    """Hands signatures to worker processes and takes the verdicts in the order of the log."""

    def __init__(self, workers: int | None = None) -> None:
        """With 0 workers everything happens in this process."""
        self.workers = os.cpu_count() or 1 if workers is None else workers
        # Spawned, not forked: a forked child would use its parent's LMDB environment.
        self._pool = (
            ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=end_with_parent
            )
            if self.workers
            else None
        )
        self._jobs: list[Job] = []
        self._places: list[tuple[int, int, str]] = []
        self._under_way: deque[tuple[Future[Verdict], list[tuple[int, int, str]]]] = deque()
        self.verified = 0
        self.cpu_ns = 0
        """What the workers spent on batches."""

    def add_block(self, block: LoggedBlock) -> None:
        """Have every signature of a block's transactions verified."""
        sequence = block.first_transaction
        height = block.record.height
        jobs, places = self._jobs, self._places
        for transaction in block.transactions:
            for key, signature in transaction.signatures:
                jobs.append((key, transaction.body_bytes, signature, TRANSACTION_TAG))
                places.append((height, sequence, "signatures"))
            sequence += 1
            if len(jobs) >= BATCH_MAX:
                self._submit()
                jobs, places = self._jobs, self._places

    def add_commit(self, place: Place, key: bytes, message: bytes, signature: bytes) -> None:
        """Have a validator's signature verified."""
        self._jobs.append((key, message, signature, ""))
        self._places.append(place)

    def settle(self, *, all_of_them: bool = False) -> None:
        """Take verdicts until few are open, or none.

        Raises Tampered at the first bad signature, HelperLost.
        """
        if all_of_them:
            self._submit()
        while self._under_way:
            future, places = self._under_way[0]
            if not (all_of_them or future.done() or len(self._under_way) > self._ahead):
                return
            try:
                verdict = future.result()
            except BrokenProcessPool:
                raise HelperLost(WORK) from None
            self._under_way.popleft()
            self.cpu_ns += verdict.cpu_ns
            if verdict.bad is not None:
                height, sequence, field = places[verdict.bad]
                raise Tampered(
                    height=height, sequence=sequence, field=field, reason="it does not verify"
                )
            self.verified += len(places)

    @property
    def _ahead(self) -> int:
        return AHEAD_MAX * self.workers

    def _submit(self) -> None:
        if self._jobs:
            jobs = codec.encode(self._jobs)
            if self._pool is not None:
                try:
                    with interrupts_held():  # it may start a worker
                        future = self._pool.submit(verify_batch, jobs)
                except BrokenProcessPool:
                    raise HelperLost(WORK) from None
            else:
                future = Future()
                future.set_result(verify_batch(jobs))
            self._under_way.append((future, self._places))
            self._jobs, self._places = [], []

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


class SetChange(msgspec.Struct, frozen=True, array_like=True):
    """That a party's validator is another, or that it has none."""

    party: str
    validator: tuple[ValidatorKeys, ...]


class SetFollower:
    """Who validates at which height, told from the log without executing it.

    A record names the hash of the set two heights on. What can have changed is what members
    proposed, or that a validator was caught; the one that gives the hash is what happened.
    """

    def __init__(self, schedule: ValidatorSchedule, proposed: Sequence[SetChange] = ()) -> None:
        self.schedule = schedule
        """The sets that act at the last block's height and after it."""
        self.proposed = dict.fromkeys(proposed)

    def take(self, block: LoggedBlock) -> None:
        """Follow a block; raise Unverifiable if it changes the set in a way not understood."""
        for transaction in block.transactions:
            operation = transaction.body.operation
            if isinstance(operation, Propose):
                change = _change_of(operation)
                if change is not None:
                    self.proposed[change] = None
        record = block.record
        latest = self.schedule.sets[-1]
        if validators_hash(latest) == record.validators_hash:
            return
        successor = self._find(latest, record)
        if successor is None:
            raise Unverifiable(
                height=record.height,
                sequence=block.last,
                field="record.validators_hash",
                reason="which set it stands for is not told without executing the log",
            )
        acting = validators_at(self.schedule, record.height)
        kept = [
            validators
            for validators in self.schedule.sets
            if validators.from_height >= acting.from_height
        ]
        self.schedule = ValidatorSchedule(sets=(*kept, successor))

    def _find(self, latest: ValidatorSetRecord, record: BlockRecord) -> ValidatorSetRecord | None:
        owners = {validator.keys.consensus: validator.party for validator in latest.validators}
        caught = [
            owners[misbehaviour.validator]
            for misbehaviour in record.misbehaviours
            if misbehaviour.validator in owners
        ]
        changes = [*self.proposed, *(SetChange(party, ()) for party in caught)]
        tried = 0
        for depth in range(1, CHANGES_MAX + 1):
            for chosen in product(reversed(changes), repeat=depth):
                tried += 1
                if tried > SETS_TRIED_MAX:
                    return None
                validators = latest.validators
                for change in chosen:
                    validators = _changed(validators, change)
                if not 1 <= len(validators) <= VALIDATORS_MAX:
                    continue
                from_height = record.height + VALIDATOR_LAG
                candidate = ValidatorSetRecord(from_height=from_height, validators=validators)
                if validators_hash(candidate) == record.validators_hash:
                    return candidate
        return None


def _change_of(operation: Propose) -> SetChange | None:
    match operation.action:
        case Admit(member=member) if member.validator:
            return SetChange(member.id, member.validator)
        case SetValidator(party=party, validator=validator):
            return SetChange(party, validator)
        case SetStatus(party=party, status=status) if status != "active":
            return SetChange(party, ())
    return None


def _changed(
    validators: tuple[ValidatorRecord, ...], change: SetChange
) -> tuple[ValidatorRecord, ...]:
    """Return the validators with one party's replaced, in its old place (R14)."""
    new = tuple(ValidatorRecord(party=change.party, keys=keys) for keys in change.validator)
    if not any(validator.party == change.party for validator in validators):
        return validators + new
    changed: list[ValidatorRecord] = []
    for validator in validators:
        changed += new if validator.party == change.party else [validator]
    return tuple(changed)
