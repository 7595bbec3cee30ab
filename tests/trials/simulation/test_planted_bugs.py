"""The simulator finds mistakes: each known one is planted, and some seed must see it.

A bug is planted in the code that every member runs, honest or not; the checks do not use that code.
"""

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consensus import certificate, evidence, rounds, votebook
from consensus import messages as consensus_messages
from consensus.driver import Driver
from consensus.effects import Effect, Log
from consensus.inputs import ProposalReceived, TimeoutExpired
from consensus.messages import Proposal, Vote, VoteKind
from consensus.rounds import RoundState, Transition
from consensus.validators import ValidatorSet
from engines.builtin import block_check as judge_module
from engines.builtin import messages, own_key
from engines.builtin import proposals as proposals_module
from engines.builtin import votes as votes_module
from engines.builtin.block_check import BlockCheck, validator_set
from engines.builtin.building import Builder
from engines.builtin.deciding import Decisions
from engines.builtin.evidence_pool import EvidencePool
from engines.builtin.journal import Journal
from engines.builtin.messages import Header
from engines.builtin.own_key import OwnKey
from engines.builtin.proposals import Proposals
from engines.builtin.signer import Refused, Signer, SignRequest
from engines.builtin.silence import Silence
from engines.builtin.votes import Votes
from engines.builtin.wal import WriteAheadLog
from ledger import execute, invariants, state_tree
from ledger.blocks import BlockInput, BlockRefused
from ledger.encoding import merkle
from ledger.encoding.codec import NotCanonical, Record
from ledger.execute import Execution
from ledger.invariants import InvariantBroken
from ledger.ledger import Ledger
from ledger.rules import misbehaviour as misbehaviour_module
from ledger.rules import redemptions, validators, vouchers
from ledger.rules.base import Context
from ledger.rules.calendar import DAY_MS
from ledger.rules.refusals import TransactionRefused
from ledger.rules.validators import ValidatorSetRecord
from ledger.store.memory import MemoryStore, _Pages
from ledger.store.tree import TreeBesideStore
from ledger.transactions import Transaction
from ledger.view import Draft, StateView
from trials.simulation import checks, liar, member
from trials.simulation.disk import SimulatedSlotFile
from trials.simulation.faults import Faults, faults_text
from trials.simulation.simulation import Failed, run_seed

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reliability.md"
SEEDS_MAX = 500
"""The adversary has this many tries for each bug."""

LYING = Faults(liars=1, delay_mean_ms=5.0, keeps_order=False)
LYING_SLOWLY = Faults(liars=1, delay_mean_ms=200.0, keeps_order=False, drop=0.1)
CRASHING = Faults(crash_every_ms=150, delay_mean_ms=20.0)
CRASHING_AND_LOSING = Faults(crash_every_ms=300, delay_mean_ms=400.0, drop=0.2)
LOSING = Faults(delay_mean_ms=80.0, drop=0.3, keeps_order=False)
LYING_AND_CRASHING = Faults(
    liars=1, crash_every_ms=200, delay_mean_ms=200.0, keeps_order=False, drop=0.1
)
FAILING_DISKS = Faults(
    full_every_ms=300, sync_error_every_ms=100, crash_every_ms=150, delay_mean_ms=20.0
)
LOSING_STORES = Faults(
    lost_disks=1, lost_part="store", delay_mean_ms=60.0, drop=0.35, keeps_order=False
)
LOSING_LOGS = replace(LOSING_STORES, lost_part="log")
LOSING_ENDS = replace(LOSING_STORES, lost_part="end of the log", delay_mean_ms=200.0)
LOSING_ALL = Faults(
    lasts_ms=20_000,
    lost_disks=1,
    lost_part="all",
    delay_mean_ms=10.0,
    drop=0.3,
    starved="precommit",
    keeps_order=False,
)
CHURNING = Faults(churn_every_ms=500, delay_mean_ms=20.0, crash_every_ms=1_500)
REPEATING = Faults(delay_mean_ms=20.0, duplicate=0.5)

STUCK = ("Violation: not live", "WalDamaged", "AssertionError")
WRONG_SET = (
    *("Violation: certificate", "Violation: wrong proposer", "Violation: no polka"),
    *("Violation: not proposed", "Violation: disagreement", "Violation: not live"),
)

NO_PAGES = _Pages()
SIGNS = (votes_module, proposals_module, own_key, certificate, evidence, checks, liar)
"""Who makes sign bytes."""
STOPPED = tuple(f"Violation: v{index} stopped" for index in range(10))

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedBug:
    name: str
    plant: Callable[[Patch], None]
    faults: Faults
    caught_as: tuple[str, ...]
    """How the violations begin that count as seeing it."""
    validators: int = 4


# --- consensus -----------------------------------------------------------------------------------


def quorum_of_exactly_two_thirds(patch: Patch) -> None:
    patch.setattr(ValidatorSet, "is_quorum", lambda s, power: 3 * power >= 2 * s.total_power)


def lock_ignored(patch: Patch) -> None:
    correct = rounds.start_round

    def planted(state: RoundState, round: int) -> Transition:
        return correct(replace(state, locked_block=(), locked_round=rounds.NO_ROUND), round)

    patch.setattr(rounds, "start_round", planted)


def vote_counted_twice_per_key(patch: Patch) -> None:
    def planted(tally: votebook._Tally, vote: Vote) -> votebook.Recorded:
        tally.first.setdefault(vote.validator, vote)
        tally.power_of_all += tally._validators.power_of(vote.validator)
        tally._count(vote)
        return votebook.Recorded(True, None)

    patch.setattr(votebook._Tally, "add", planted)


def valid_round_off_by_one(patch: Patch) -> None:
    correct = rounds.on_polka_for_proposal

    def planted(state: RoundState, event: rounds.PolkaForProposal) -> Transition:
        if state.valid_round == event.round + 1:
            return state, ()
        after, outputs = correct(state, event)
        changed = after.valid_round == event.round
        return replace(after, valid_round=after.valid_round + changed), outputs

    patch.setattr(rounds, "on_polka_for_proposal", planted)


def polka_of_the_valid_round_not_checked(patch: Patch) -> None:
    patch.setattr(Driver, "_has_polka", lambda driver, round, value: True)


def precommit_without_a_polka(patch: Patch) -> None:
    def planted(book: votebook.VoteBook, round: int, kind: VoteKind) -> Any:
        values = [vote.block_id for vote in book.votes(round, kind) if vote.block_id]
        return values[0] if values else None

    patch.setattr(votebook.VoteBook, "quorum_value", planted)


# --- host ----------------------------------------------------------------------------------------


def proposer_not_checked(patch: Patch) -> None:
    turn: list[Any] = []
    correct_proposer = ValidatorSet.proposer
    correct_host, correct_driver = Proposals.on_proposal, Driver._receive_proposal

    def proposer(one: ValidatorSet, height: int, round: int) -> Any:
        return turn[0] if turn else correct_proposer(one, height, round)

    def on_proposal(proposals: Proposals, proposal: Proposal) -> None:
        turn[:] = [proposal.validator]
        try:
            correct_host(proposals, proposal)
        finally:
            turn.clear()

    def receive(driver: Driver, received: ProposalReceived, effects: list[Effect]) -> bool:
        turn[:] = [received.proposal.validator]
        try:
            return correct_driver(driver, received, effects)
        finally:
            turn.clear()

    patch.setattr(ValidatorSet, "proposer", proposer)
    patch.setattr(Proposals, "on_proposal", on_proposal)
    patch.setattr(Driver, "_receive_proposal", receive)


def time_not_checked(patch: Patch) -> None:
    patch.setattr("engines.builtin.proposals.TIMELY_MS", 10**12)


def record_not_compared(patch: Patch) -> None:
    def planted(judge: BlockCheck, header: Header, data: bytes) -> Execution | None:
        try:
            body = messages.decode_body(data)
            return judge.ledger.execute(judge_module._block_input(header, body))
        except (NotCanonical, BlockRefused):
            return None

    patch.setattr(BlockCheck, "execution", planted)


def carried_certificate_not_checked(patch: Patch) -> None:
    patch.setattr(BlockCheck, "_check_previous", lambda judge, body, height: None)


def a_vote_is_fed_once(patch: Patch) -> None:
    correct = Votes.on_vote

    def on_vote(votes: Votes, vote: Vote) -> None:
        if votes._heights.now.votes.get((vote.validator, vote.kind, vote.round)) != vote:
            correct(votes, vote)

    patch.setattr(Votes, "on_vote", on_vote)


def votes_not_verified(patch: Patch) -> None:
    correct = Votes.on_vote

    def planted(votes: Votes, vote: Vote) -> None:
        verify, votes._verify = votes._verify, lambda *arguments: True
        try:
            correct(votes, vote)
        finally:
            votes._verify = verify

    patch.setattr(Votes, "on_vote", planted)


def certificate_not_verified_in_sync(patch: Patch) -> None:
    patch.setattr(judge_module, "verify_certificate", lambda *arguments: None)


def log_not_replayed(patch: Patch) -> None:
    patch.setattr(Journal, "_replay", lambda journal, records: None)


def votes_before_the_log_is_durable(patch: Patch) -> None:
    correct = OwnKey.sign_vote

    def planted(key: OwnKey, *arguments: Any) -> None:
        with pytest.MonkeyPatch.context() as lazily:
            lazily.setattr(WriteAheadLog, "sync", lambda wal: None)
            correct(key, *arguments)

    patch.setattr(OwnKey, "sign_vote", planted)


def timeouts_not_logged(patch: Patch) -> None:
    correct = Journal.log

    def planted(journal: Journal, wanted: Log) -> None:
        if not isinstance(wanted.input, TimeoutExpired):
            correct(journal, wanted)

    patch.setattr(Journal, "log", planted)


# --- who validates -------------------------------------------------------------------------------


def validators_change_one_height_early(patch: Patch) -> None:
    correct = validators.validators_at
    patch.setattr(
        "ledger.ledger.validators_at", lambda schedule, height: correct(schedule, height + 1)
    )


def validators_change_one_height_late(patch: Patch) -> None:
    correct = validators.validators_at
    patch.setattr(
        "ledger.ledger.validators_at", lambda schedule, height: correct(schedule, height - 1)
    )


def who_left_still_votes(patch: Patch) -> None:
    patch.setattr("ledger.ledger.validators_at", lambda schedule, height: schedule.sets[0])


def powers_ignored(patch: Patch) -> None:
    correct = validator_set

    def planted(record: ValidatorSetRecord) -> ValidatorSet:
        voters = correct(record).validators
        return ValidatorSet(validators=tuple(replace(voter, power=1) for voter in voters))

    patch.setattr("engines.builtin.height.validator_set", planted)
    patch.setattr(judge_module, "validator_set", planted)


# --- signer --------------------------------------------------------------------------------------


def signer_forgets(patch: Patch) -> None:
    correct = Signer.sign

    def planted(signer: Signer, request: SignRequest) -> bytes | Refused:
        if request.position <= signer._signed.request.position:
            return signer._make_signature(signer._seed, request.message)
        return correct(signer, request)

    patch.setattr(Signer, "sign", planted)


def signature_leaves_before_its_record_is_durable(patch: Patch) -> None:
    patch.setattr(SimulatedSlotFile, "sync", lambda file: None)


# --- lost disks ----------------------------------------------------------------------------------


def silence_ends_at_once(patch: Patch) -> None:
    patch.setattr(Silence, "may_have_signed", lambda silence, own, height, powers: height + 1)


def watermark_one_too_low(patch: Patch) -> None:
    correct = Silence.may_have_signed

    def planted(silence: Silence, own: str, height: int, powers: Mapping[str, int]) -> int | None:
        found = correct(silence, own, height, powers)
        return None if found is None else found - 1

    patch.setattr(Silence, "may_have_signed", planted)


def log_above_the_store_truncated(patch: Patch) -> None:
    correct = Journal.take_up

    def planted(journal: Journal) -> None:
        if journal.is_behind_log:
            for file in journal._wal._files:
                file.truncate(0)
            journal._wal.height, journal._wal.records = None, ()
        correct(journal)

    patch.setattr(Journal, "take_up", planted)


def log_above_the_store_not_replayed(patch: Patch) -> None:
    correct = Decisions._commit

    def planted(decisions: Decisions, *arguments: Any) -> None:
        with pytest.MonkeyPatch.context() as forgetful:
            if decisions._journal.is_behind_log:
                forgetful.setattr(Journal, "take_up", lambda journal: None)
            correct(decisions, *arguments)

    patch.setattr(Decisions, "_commit", planted)


def record_made_again_as_a_new_one(patch: Patch) -> None:
    patch.setattr(member, "UNKNOWN_HEIGHT", 0)


def last_signature_not_explained(patch: Patch) -> None:
    patch.setattr(OwnKey, "explains_its_last_signature", lambda key, height, effects: True)


def log_lost_and_nobody_minds(patch: Patch) -> None:
    patch.setattr(
        OwnKey, "_height_not_to_sign_below", staticmethod(lambda signer, wal: wal.height or 0)
    )


# --- misbehaviour on the log ---------------------------------------------------------------------


def evidence_not_verified(patch: Patch) -> None:
    patch.setattr(judge_module, "verify_evidence", lambda *arguments: None)


def misbehaviour_recorded_twice(patch: Patch) -> None:
    patch.setattr(misbehaviour_module, "is_recorded", lambda view, misbehaviour: False)


def misbehaviour_suspends_below_four(patch: Patch) -> None:
    patch.setattr(misbehaviour_module, "VALIDATORS_LEFT_MIN", 1)
    patch.setattr(misbehaviour_module, "_power", lambda validators: 1)


def suspended_at_once(patch: Patch) -> None:
    def planted(draft: Draft, party: str, validator: Any, context: Context) -> None:
        early = msgspec.structs.replace(context, height=context.height - 1)
        validators.set_validator(draft, party, validator, early)

    patch.setattr(misbehaviour_module, "set_validator", planted)


def evidence_left_out_by_the_proposer(patch: Patch) -> None:
    correct = Builder.build

    def planted(builder: Builder, round_: int) -> None:
        with pytest.MonkeyPatch.context() as silent:
            silent.setattr(EvidencePool, "waiting", lambda pool, may_record: ())
            correct(builder, round_)

    patch.setattr(Builder, "build", planted)


# --- state roots ---------------------------------------------------------------------------------


def root_of_the_state_before_its_block(patch: Patch) -> None:
    correct = MemoryStore.state_root

    def planted(store: MemoryStore) -> bytes:
        correct(store)
        return state_tree.update(NO_PAGES, store.state).root

    patch.setattr(MemoryStore, "state_root", planted)


def root_of_changed_keys_alone(patch: Patch) -> None:
    correct = TreeBesideStore._fold

    def planted(tree: TreeBesideStore, most: int) -> bytes:
        values = dict(tree.waiting()[0]) if tree.waiting() else {}
        correct(tree, most)
        tree._root = state_tree.update(NO_PAGES, values).root
        return tree._root

    patch.setattr(TreeBesideStore, "_fold", planted)


def fold_loses_a_value(patch: Patch) -> None:
    correct = TreeBesideStore._fold

    def planted(tree: TreeBesideStore, most: int) -> bytes:
        if tree.waiting() and tree.waiting()[0]:
            del tree.waiting()[0][min(tree.waiting()[0])]
        return correct(tree, most)

    patch.setattr(TreeBesideStore, "_fold", planted)


# --- disks ---------------------------------------------------------------------------------------


def disk_errors_of_the_log_swallowed(patch: Patch) -> None:
    correct = WriteAheadLog.sync

    def planted(log: WriteAheadLog) -> None:
        try:
            correct(log)
        except OSError:
            log._pending, log._pending_bytes = [], 0

    patch.setattr(WriteAheadLog, "sync", planted)


# --- ledger --------------------------------------------------------------------------------------


def double_spend_check_dropped(patch: Patch) -> None:
    for rules in (vouchers, redemptions):
        patch.setattr(rules, "require_available", lambda voucher, amount: None)


def spent_ids_forgotten(patch: Patch) -> None:
    patch.setattr(Ledger, "is_logged", lambda ledger, transaction: False)


def broken_invariants_swallowed(patch: Patch) -> None:
    double_spend_check_dropped(patch)
    correct = invariants.check_changes

    def planted(before: StateView, after: Mapping[bytes, Record]) -> None:
        with suppress(InvariantBroken):
            correct(before, after)

    patch.setattr(execute, "check_changes", planted)


def time_as_a_float(patch: Patch) -> None:
    """Days as a float and back: on some machines one rounds, on others one cuts."""
    correct = Ledger.execute
    machines: dict[int, tuple[Callable[[float], int], Ledger]] = {}
    """One of four cuts. The ledgers are kept, so that no id comes twice."""

    def planted(ledger: Ledger, block: BlockInput) -> Execution:
        rounds_down = len(machines) % 4 == 0
        back, _ = machines.setdefault(id(ledger), (int if rounds_down else round, ledger))
        return correct(ledger, replace(block, time_ms=back(block.time_ms / DAY_MS * DAY_MS)))

    patch.setattr(Ledger, "execute", planted)


def changes_not_sorted(patch: Patch) -> None:
    """Members go through a set of keys in the order of their processes' hash seeds."""
    correct_execute, correct_propose = Ledger.execute, Ledger.propose
    process: list[int] = []

    def root(values: dict[bytes, bytes]) -> bytes:
        order = sorted(values, key=lambda key: sha256(b"%d" % process[0] + key).digest())
        return merkle.root(
            [len(key).to_bytes(2, "big") + key + sha256(values[key]).digest() for key in order]
        )

    def executed(ledger: Ledger, *arguments: Any, **named: Any) -> Execution:
        process[:] = [id(ledger)]
        return correct_execute(ledger, *arguments, **named)

    def proposed(ledger: Ledger, *arguments: Any, **named: Any) -> tuple[bytes, ...]:
        process[:] = [id(ledger)]
        return correct_propose(ledger, *arguments, **named)

    patch.setattr(Ledger, "execute", executed)
    patch.setattr(Ledger, "propose", proposed)
    patch.setattr(execute, "changes_root", root)


def log_id_left_out_of_sign_bytes(patch: Patch) -> None:
    for name in ("vote_sign_bytes", "proposal_sign_bytes"):
        correct = getattr(consensus_messages, name)

        def planted(log_id: bytes, *rest: Any, correct: Callable[..., bytes] = correct) -> bytes:
            return correct(bytes(32), *rest)

        for module in SIGNS:
            if hasattr(module, name):
                patch.setattr(module, name, planted)


def what_is_refused_may_stand(patch: Patch) -> None:
    """A block may hold what a rule refuses, which spends its id and does nothing else."""
    apply = execute.BlockBuilder.apply

    def applied(builder: execute.BlockBuilder, transaction: Transaction) -> None:
        try:
            apply(builder, transaction)
        except TransactionRefused:
            builder._log(transaction, (), builder._sequence)

    patch.setattr(execute.BlockBuilder, "apply", applied)


def expiry_not_checked(patch: Patch) -> None:
    for module in ("ledger.ledger", "ledger.execute"):
        patch.setattr(f"{module}.check_form", lambda *given, **named: None)
    patch.setattr("engines.builtin.mempool.Mempool.next_expiry_ms", lambda pool: None)


BUGS = (
    PlantedBug(
        name="quorum is exactly two thirds (V2)",
        plant=quorum_of_exactly_two_thirds,
        faults=LOSING,
        caught_as=("Violation: no polka", "Violation: certificate", "Violation: disagreement"),
        validators=6,
    ),
    PlantedBug(
        name="lock ignored in a new round (L23)",
        plant=lock_ignored,
        faults=LYING_SLOWLY,
        caught_as=("Violation: lock broken", "Violation: disagreement"),
    ),
    PlantedBug(
        name="a key counted twice (V2)",
        plant=vote_counted_twice_per_key,
        faults=LYING,
        caught_as=("Violation: no polka", "Violation: certificate", "Violation: disagreement"),
    ),
    PlantedBug(
        name="valid round off by one (L43)",
        plant=valid_round_off_by_one,
        faults=LOSING,
        caught_as=("Violation: not live", "Violation: lock broken", "AssertionError"),
    ),
    PlantedBug(
        name="polka of the valid round not checked (L28)",
        plant=polka_of_the_valid_round_not_checked,
        faults=LYING_SLOWLY,
        caught_as=("Violation: not proposed", "Violation: lock broken", "Violation: disagreement"),
    ),
    PlantedBug(
        name="precommit without a polka (L36)",
        plant=precommit_without_a_polka,
        faults=LOSING,
        caught_as=("Violation: no polka", "Violation: certificate", "Violation: disagreement"),
    ),
    PlantedBug(
        name="proposer not checked (L22)",
        plant=proposer_not_checked,
        faults=LYING,
        caught_as=("Violation: wrong proposer", "Violation: not proposed"),
    ),
    PlantedBug(
        name="time not checked",
        plant=time_not_checked,
        faults=LYING,
        caught_as=("Violation: time",),
    ),
    PlantedBug(
        name="record not compared with the header",
        plant=record_not_compared,
        faults=LYING,
        caught_as=("Violation: the header", "Violation: the block"),
    ),
    PlantedBug(
        name="carried certificate not checked (N2.4)",
        plant=carried_certificate_not_checked,
        faults=LYING,
        caught_as=("Violation: certificate",),
    ),
    PlantedBug(
        name="votes not verified",
        plant=votes_not_verified,
        faults=LYING,
        caught_as=("Violation: certificate", "Violation: no polka"),
    ),
    PlantedBug(
        name="a vote that did not count is never looked at again (B3)",
        plant=a_vote_is_fed_once,
        faults=LYING_SLOWLY,
        caught_as=("Violation: not live",),
    ),
    PlantedBug(
        name="certificate not verified in sync",
        plant=certificate_not_verified_in_sync,
        faults=LYING,
        caught_as=("Violation: certificate",),
    ),
    PlantedBug(
        name="log not replayed (E4)",
        plant=log_not_replayed,
        faults=CRASHING_AND_LOSING,
        caught_as=("Violation: not live", "Violation: lock broken", "Violation: disagreement"),
    ),
    PlantedBug(
        name="votes before the log is durable (E2)",
        plant=votes_before_the_log_is_durable,
        faults=CRASHING,
        # The record tells that the log lacks something (N6.5): too many keys are silent then.
        caught_as=("Violation: lock broken", "Violation: disagreement", "Violation: not live"),
    ),
    PlantedBug(
        name="signer forgets",
        plant=signer_forgets,
        faults=CRASHING,
        caught_as=("Violation: contradiction",),
    ),
    PlantedBug(
        name="signature before its record is durable",
        plant=signature_leaves_before_its_record_is_durable,
        faults=CRASHING,
        caught_as=("Violation: contradiction", "SignerDamaged"),
    ),
    PlantedBug(
        name="silence of a lost record ends at once (N10)",
        plant=silence_ends_at_once,
        faults=LOSING_ALL,
        caught_as=("Violation: contradiction", "Violation: lock broken"),
    ),
    PlantedBug(
        name="watermark one height too low (N10)",
        plant=watermark_one_too_low,
        faults=LOSING_ALL,
        caught_as=("Violation: contradiction", "Violation: lock broken"),
    ),
    PlantedBug(
        name="a lost record is made again as a new key's",
        plant=record_made_again_as_a_new_one,
        faults=LOSING_ALL,
        caught_as=("Violation: contradiction", "Violation: lock broken"),
    ),
    PlantedBug(
        name="log above the store truncated (N6.5)",
        plant=log_above_the_store_truncated,
        faults=LOSING_STORES,
        caught_as=("Violation: contradiction", "Violation: lock broken"),
    ),
    PlantedBug(
        name="log above the store not replayed (N6.5)",
        plant=log_above_the_store_not_replayed,
        faults=LOSING_STORES,
        caught_as=("Violation: contradiction", "Violation: lock broken"),
    ),
    PlantedBug(
        name="log lost, record not looked at (N6.5)",
        plant=log_lost_and_nobody_minds,
        faults=LOSING_LOGS,
        caught_as=("Violation: contradiction", "Violation: lock broken"),
    ),
    PlantedBug(
        name="last signature not explained by the log (N6.5)",
        plant=last_signature_not_explained,
        faults=LOSING_ENDS,
        caught_as=("Violation: contradiction", "Violation: lock broken"),
    ),
    PlantedBug(
        name="evidence of misbehaviour not verified (N9.2)",
        plant=evidence_not_verified,
        faults=LYING,
        caught_as=("Violation: the log blames", *STOPPED),
    ),
    PlantedBug(
        name="misbehaviour recorded twice (R15.1)",
        plant=misbehaviour_recorded_twice,
        faults=LYING,
        caught_as=("Violation: misbehaviour stands on the log twice",),
    ),
    PlantedBug(
        name="evidence left out by the proposer (N9.3)",
        plant=evidence_left_out_by_the_proposer,
        faults=LYING,
        caught_as=("Violation: not recorded",),
    ),
    PlantedBug(
        name="misbehaviour suspends below four (R15.3)",
        plant=misbehaviour_suspends_below_four,
        faults=LYING,
        caught_as=WRONG_SET,
    ),
    PlantedBug(
        name="suspension acts one height early (R15.2)",
        plant=suspended_at_once,
        faults=LYING,
        caught_as=WRONG_SET,
        validators=7,
    ),
    PlantedBug(
        name="state root of the state before its block (B7)",
        plant=root_of_the_state_before_its_block,
        faults=Faults(),
        caught_as=("Violation: state root",),
    ),
    PlantedBug(
        name="state root of changed keys alone (V1)",
        plant=root_of_changed_keys_alone,
        faults=Faults(),
        caught_as=("Violation: state root",),
    ),
    PlantedBug(
        name="state tree loses a value (V1)",
        plant=fold_loses_a_value,
        faults=Faults(),
        caught_as=("Violation: state root",),
    ),
    PlantedBug(
        name="log id left out of sign bytes (M2)",
        plant=log_id_left_out_of_sign_bytes,
        faults=LYING,
        caught_as=("Violation: the log blames", "Violation: an honest key", *STOPPED),
    ),
    PlantedBug(
        name="time as a float (B6)",
        plant=time_as_a_float,
        faults=LOSING,
        caught_as=("Violation: time", "AssertionError: certified block", *STOPPED),
    ),
    PlantedBug(
        name="changes not sorted (B4)",
        plant=changes_not_sorted,
        faults=LOSING,
        caught_as=("Violation: not live",),
    ),
    PlantedBug(
        name="what a rule refuses may stand in a block (B3.2)",
        plant=what_is_refused_may_stand,
        faults=LYING,
        caught_as=("Violation: an act was ended by its proposer", "Violation: overspent", *STUCK),
    ),
    PlantedBug(
        name="broken invariants swallowed (I)",
        plant=broken_invariants_swallowed,
        faults=Faults(),
        caught_as=("Violation: double spend", "Violation: overspent"),
    ),
    PlantedBug(
        name="disk errors of the log swallowed",
        plant=disk_errors_of_the_log_swallowed,
        faults=FAILING_DISKS,
        caught_as=("Violation: lock broken", "Violation: contradiction", *STUCK),
    ),
    PlantedBug(
        name="double-spend check dropped",
        plant=double_spend_check_dropped,
        faults=Faults(),
        caught_as=("Violation: double spend", "InvariantBroken"),
    ),
    PlantedBug(
        name="spent ids forgotten",
        plant=spent_ids_forgotten,
        faults=REPEATING,
        caught_as=("Violation: logged twice",),
    ),
    PlantedBug(
        name="validators change one height early",
        plant=validators_change_one_height_early,
        faults=CHURNING,
        caught_as=WRONG_SET,
    ),
    PlantedBug(
        name="validators change one height late",
        plant=validators_change_one_height_late,
        faults=CHURNING,
        caught_as=WRONG_SET,
    ),
    PlantedBug(
        name="who left still votes",
        plant=who_left_still_votes,
        faults=CHURNING,
        caught_as=WRONG_SET,
    ),
    PlantedBug(
        name="powers of validators ignored",
        plant=powers_ignored,
        faults=CHURNING,
        caught_as=WRONG_SET,
    ),
    PlantedBug(
        name="expiry not checked",
        plant=expiry_not_checked,
        faults=LOSING,
        caught_as=("Violation: an expired transaction", "Violation: not live"),
    ),
)


def seeds_needed(bug: PlantedBug) -> tuple[int, str] | None:
    """Return how many seeds it took to see the bug and how it showed, or None."""
    for seed in range(SEEDS_MAX):
        try:
            run_seed(seed, validators=bug.validators, faults=bug.faults)
        except Failed as failed:
            if failed.reason.startswith(bug.caught_as):
                return seed + 1, failed.reason
    return None


SLOW = (
    "a vote that did not count is never looked at again (B3)",
    "lock ignored in a new round (L23)",
    "polka of the valid round not checked (L28)",
    "time not checked",
)
"""Bugs for which the adversary needs many seeds."""


@pytest.mark.parametrize(
    "bug",
    [pytest.param(bug, marks=pytest.mark.ci) if bug.name in SLOW else bug for bug in BUGS],
    ids=lambda bug: bug.name,
)
def test_the_simulator_sees(
    bug: PlantedBug, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bug.plant(monkeypatch)
    seen = seeds_needed(bug)
    with capsys.disabled():
        how = "NOT SEEN" if seen is None else f"{seen[0]:3} seeds, {seen[1][:60]}"
        sys.stderr.write(f"\n  planted: {bug.name:42} {how}\n")
    assert seen is not None, f"{SEEDS_MAX} seeds did not see: {bug.name}"


def test_at_least_forty_different_bugs_are_planted() -> None:
    assert set(SLOW) < {bug.name for bug in BUGS}
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 40


FEW, MANY = 3, 10
CONTROLS = list({(str(bug.faults), bug.validators): bug for bug in BUGS}.values())
"""One bug of each adversary."""


def seeds_documented() -> dict[str, int]:
    """Return how many seeds each bug of this kind needed, by the page's table."""
    rows = re.findall(r"^\| (.+) \| network \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    return {name: int(seeds) for name, seeds in rows}


NEEDED = seeds_documented()


def seeds_of(control: PlantedBug) -> int:
    """Return how many seeds the bugs of an adversary needed at the most."""
    place = control.faults, control.validators
    return max(NEEDED.get(bug.name, 0) for bug in BUGS if (bug.faults, bug.validators) == place)


def named(control: PlantedBug) -> str:
    text = faults_text(control.faults).translate(str.maketrans("", "", '{}"'))
    return f"{control.validators} validators {text}"


def see_nothing(control: PlantedBug, seeds: range) -> None:
    """Run seeds of a bug's adversary without the bug."""
    assert seeds
    for seed in seeds:
        assert run_seed(seed, validators=control.validators, faults=control.faults).commits > 0


def test_the_page_says_of_every_bug_how_many_seeds_it_needed() -> None:
    assert list(NEEDED) == [bug.name for bug in BUGS]


@pytest.mark.parametrize("control", CONTROLS, ids=named)
def test_without_a_planted_bug_the_same_adversary_sees_nothing(control: PlantedBug) -> None:
    see_nothing(control, range(FEW))


@pytest.mark.ci
@pytest.mark.parametrize("control", [one for one in CONTROLS if seeds_of(one) > FEW], ids=named)
def test_in_more_seeds_the_adversary_sees_nothing(control: PlantedBug) -> None:
    see_nothing(control, range(FEW, min(MANY, seeds_of(control))))


@pytest.mark.long
@pytest.mark.parametrize("control", [one for one in CONTROLS if seeds_of(one) > MANY], ids=named)
def test_in_as_many_seeds_as_its_bugs_needed_the_adversary_sees_nothing(
    control: PlantedBug,
) -> None:
    see_nothing(control, range(MANY, seeds_of(control)))
