"""Seeds that once failed, each with a sentence on what it was. They stay.

Each passes, and fails again when its mend is undone: what cannot fail keeps nothing mended.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from consensus.messages import Vote
from engines.builtin.journal import Journal
from engines.builtin.own_key import OwnKey
from tests.trials.simulation.test_planted_bugs import (
    a_vote_is_fed_once,
    last_signature_not_explained,
)
from trials.simulation.checks import Checks
from trials.simulation.faults import faults_from
from trials.simulation.member import Member, MemberClock
from trials.simulation.simulation import Failed, run_seed
from trials.simulation.society import Clients

Patch = pytest.MonkeyPatch

EXPIRED_AFTER_MS = 3_000
"""How long the transactions lasted by which the simulator once asked for life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    seed: int
    validators: int
    faults: str
    """As JSON, so that a later way to draw faults does not change them."""
    what_it_was: str
    undo: Callable[[Patch], None]
    """Takes the mend away."""
    fails_as: str
    """How the failure begins that it then is."""


def clocks_are_never_set(patch: Patch) -> None:
    def drifting(clock: MemberClock) -> int:
        passed_ms = int(clock.world.now_us * clock.rate) // 1_000
        return clock.world.start_ms + clock.offset_ms + passed_ms

    patch.setattr(MemberClock, "wall_ms", drifting)


def the_sleeper_is_not_waited_for(patch: Patch) -> None:
    patch.setattr(Member, "is_stalled", property(lambda member: False))


def what_asks_for_life_expires_soon(patch: Patch) -> None:
    correct = Clients.mint

    def mint(clients: Clients, now_ms: int, *, lasts: bool = False) -> tuple[bytes, bytes]:
        with pytest.MonkeyPatch.context() as soon:
            if lasts:
                soon.setattr(Clients, "_expiry", lambda _, now_ms: now_ms + EXPIRED_AFTER_MS)
            return correct(clients, now_ms)

    patch.setattr(Clients, "mint", mint)


def a_key_without_its_record_expects_nothing(patch: Patch) -> None:
    correct = OwnKey.made

    def made(key: OwnKey, vote: Vote, own: Vote | None) -> bool:
        assert key._signer is not None
        return key._signer.last is not None and correct(key, vote, own)

    patch.setattr(OwnKey, "made", made)


def misbehaviour_of_whoever_is_gone_is_asked_for(patch: Patch) -> None:
    patch.setattr(Checks, "_may_be_named", lambda *_: True)


def a_rotten_stores_verdict_stays(patch: Patch) -> None:
    patch.setattr(Journal, "_judged_again", lambda _, logged: logged)


REGRESSIONS = (
    Regression(
        seed=13,
        validators=4,
        faults='{"lasts_ms": 2000, "long_pause": true, "drift": 0.1}',
        what_it_was=(
            "Clocks drifted all through a stall of two minutes and were seconds apart after"
            " healing, beyond what a proposal may be off: the simulator now sets clocks when it"
            " heals, as a time service does."
        ),
        undo=clocks_are_never_set,
        fails_as="Violation: not live",
    ),
    Regression(
        seed=1,
        validators=4,
        faults=(
            '{"lasts_ms": 2000, "delay_mean_ms": 1.0, "crash_every_ms": 5000, "long_pause": true,'
            ' "bit_flips": 1, "day_off": true, "expiries": true}'
        ),
        what_it_was=(
            "One member with a damaged disk and one asleep left two of four, and new transactions"
            " were asked for before the sleeper woke: the simulator now waits for it."
        ),
        undo=the_sleeper_is_not_waited_for,
        fails_as="Violation: not live",
    ),
    Regression(
        seed=107,
        validators=4,
        faults=(
            '{"lasts_ms": 4000, "clients_every_ms": 2000, "delay_mean_ms": 400.0,'
            ' "long_pause": true, "liars": 1}'
        ),
        what_it_was=(
            "A liar and a sleeper let a height reach a late round, and the transactions by which"
            " the simulator asks for life expired after 3 s: now they last longer than they may"
            " take."
        ),
        undo=what_asks_for_life_expires_soon,
        fails_as="Violation: not live",
    ),
    Regression(
        seed=1,
        validators=4,
        faults=(
            '{"delay_mean_ms": 200.0, "keeps_order": false, "drop": 0.35, "lost_disks": 1,'
            ' "lost_part": "end of the log"}'
        ),
        what_it_was=(
            "A bit that flips in the last frame of the log looks like a torn write and is cut off,"
            " and with it went a lock that the signer's record still proved: now log and record"
            " must explain each other (N6.5)."
        ),
        undo=last_signature_not_explained,
        fails_as="Violation: lock broken",
    ),
    Regression(
        seed=7,
        validators=4,
        faults=(
            '{"lasts_ms": 3000, "delay_mean_ms": 10.0, "drop": 0.1, "lost_disks": 1,'
            ' "lost_part": "record"}'
        ),
        what_it_was=(
            "A key that had lost its record stopped for good at the first of its own old votes"
            " that a peer repeated: up to its watermark it is expected to have said anything."
        ),
        undo=a_key_without_its_record_expects_nothing,
        fails_as="Violation: v3 stopped: a vote by this node's key",
    ),
    Regression(
        seed=1174,
        validators=10,
        faults='{"lasts_ms": 2000, "delay_mean_ms": 20.0, "long_pause": true, "liars": 3}',
        what_it_was=(
            "A sleeper alone knew misbehaviour of a key that was out for another one already, and"
            " the simulator asked for it on the log, where no block may carry it any more (B3.1)."
        ),
        undo=misbehaviour_of_whoever_is_gone_is_asked_for,
        fails_as="Violation: not recorded",
    ),
    Regression(
        seed=351,
        validators=7,
        faults=(
            '{"lasts_ms": 1500, "delay_mean_ms": 80.0, "newest_first_ms": 60,'
            ' "clog_every_ms": 700, "bit_flips": 2}'
        ),
        what_it_was=(
            "A rotten store found a good block invalid; it was made anew, but the log replayed the"
            " old verdict, and the node stopped again: now the store there is executes it (N6.5)."
        ),
        undo=a_rotten_stores_verdict_stays,
        fails_as="Violation: v3 stopped: a quorum committed",
    ),
    Regression(
        seed=27,
        validators=4,
        faults='{"delay_mean_ms": 200.0, "keeps_order": false, "drop": 0.1, "liars": 1}',
        what_it_was=(
            "The second word of a liar came before an honest vote for the same block, so it did"
            " not count (B3); it was remembered as verified, and never looked at again however"
            " often it was repeated: a height without end for three honest nodes of four."
        ),
        undo=a_vote_is_fed_once,
        fails_as="Violation: not live",
    ),
)


def named(one: Regression) -> str:
    return one.undo.__name__


@pytest.mark.parametrize("one", REGRESSIONS, ids=named)
def test_a_seed_that_failed_once_passes(one: Regression) -> None:
    report = run_seed(one.seed, validators=one.validators, faults=faults_from(one.faults))
    assert report.transactions > 0
    assert one.what_it_was.endswith(".")


@pytest.mark.parametrize("one", REGRESSIONS, ids=named)
def test_it_fails_again_without_its_mend(one: Regression, monkeypatch: Patch) -> None:
    one.undo(monkeypatch)
    with pytest.raises(Failed) as failed:
        run_seed(one.seed, validators=one.validators, faults=faults_from(one.faults))
    assert failed.value.reason.startswith(one.fails_as)
