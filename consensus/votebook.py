"""Counts the votes of one height (spec B1-B6). It knows nothing of steps, locks or timers."""

from typing import NamedTuple

from consensus.messages import OptionalBlockId, ValidatorKey, Vote, VoteKind
from consensus.validators import ValidatorSet

WINDOW_MAX = 16
"""Rounds beyond the current one whose votes are all kept (B4)."""


class Recorded(NamedTuple):
    """What became of a vote."""

    changed: bool
    """The book is not as it was before."""
    conflicts_with: Vote | None
    """The earlier vote of the same key, height, round and kind for something else."""


class _Tally:
    """The votes of one round and kind."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self.first: dict[ValidatorKey, Vote] = {}
        self.all: dict[tuple[ValidatorKey, OptionalBlockId], Vote] = {}
        self.power_of_all = 0
        self.power_of_value: dict[OptionalBlockId, int] = {}
        self.quorum: OptionalBlockId | None = None
        """What a quorum voted for, if one did."""

    def add(self, vote: Vote) -> Recorded:
        first = self.first.get(vote.validator)
        if first is None:
            self.first[vote.validator] = vote
            self.power_of_all += self._validators.power_of(vote.validator)
            self._count(vote)
            return Recorded(True, None)
        if (vote.validator, vote.block_id) in self.all:
            return Recorded(False, None)
        # A second value of one key counts for that value only, once, and only when a correct
        # validator is among those who voted for it. Were it dropped, one key telling two stories
        # could hide from us for ever a polka that the others have seen. Since at most two values
        # can have a third of the power, at most three votes of one key are kept (B3).
        if self._validators.is_one_third_plus(self.power_of_value.get(vote.block_id, 0)):
            self._count(vote)
            return Recorded(True, first)
        return Recorded(False, first)

    def _count(self, vote: Vote) -> None:
        self.all[vote.validator, vote.block_id] = vote
        power = self.power_of_value.get(vote.block_id, 0)
        power += self._validators.power_of(vote.validator)
        self.power_of_value[vote.block_id] = power
        if self._validators.is_quorum(power):
            self.quorum = vote.block_id


class VoteBook:
    """All votes known at a height, by round and kind."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._round = 0
        self._tallies: dict[tuple[int, VoteKind], _Tally] = {}
        self._beyond: dict[tuple[ValidatorKey, VoteKind], Vote] = {}
        """Beyond the window: one vote per key and kind, replaced by one of twice its round."""
        self._highest: dict[ValidatorKey, int] = {}
        """The highest round in which each key has said anything."""
        self.commit: tuple[int, OptionalBlockId] | None = None
        """Round and block of the first precommit quorum for a block."""

    def add(self, vote: Vote) -> Recorded:
        """Count a vote of a known key; its height and signature are the caller's business."""
        if vote.round > self._round + WINDOW_MAX:
            recorded = self._add_beyond(vote)
            if recorded.changed:  # what is not logged must not count: a replay lacks it
                self.saw(vote.validator, vote.round)
            return recorded
        self.saw(vote.validator, vote.round)
        recorded = self._tally(vote.round, vote.kind).add(vote)
        self._note_commit(vote)
        return recorded

    def saw(self, key: ValidatorKey, round: int) -> None:
        """Note that a key has spoken in a round, be it by a vote or a proposal (L55)."""
        self._highest[key] = max(round, self._highest.get(key, 0))

    def enter_round(self, round: int) -> None:
        """Move the window and count what waited in the slots for it."""
        self._round = round
        for slot, vote in list(self._beyond.items()):
            if vote.round <= round + WINDOW_MAX:
                del self._beyond[slot]
                self._tally(vote.round, vote.kind).add(vote)
                self._note_commit(vote)

    def has_quorum(self, round: int, kind: VoteKind) -> bool:
        """Return whether a quorum voted at all; a key counts once whatever it said (L34, L47)."""
        tally = self._tallies.get((round, kind))
        return tally is not None and self._validators.is_quorum(tally.power_of_all)

    def quorum_value(self, round: int, kind: VoteKind) -> OptionalBlockId | None:
        """Return what a quorum voted for: ``(block,)``, ``()`` for nil, None if there is none."""
        tally = self._tallies.get((round, kind))
        return None if tally is None else tally.quorum

    def power_for(self, round: int, kind: VoteKind, block_id: OptionalBlockId) -> int:
        """Return the power behind a value."""
        tally = self._tallies.get((round, kind))
        return 0 if tally is None else tally.power_of_value.get(block_id, 0)

    def votes(self, round: int, kind: VoteKind) -> tuple[Vote, ...]:
        """Return all counted votes of a round and kind, in order of arrival."""
        tally = self._tallies.get((round, kind))
        return () if tally is None else tuple(tally.all.values())

    def vote_of(self, key: ValidatorKey, round: int, kind: VoteKind) -> Vote | None:
        """Return the first vote of a key, or None."""
        tally = self._tallies.get((round, kind))
        return None if tally is None else tally.first.get(key)

    def skip_target(self) -> int | None:
        """Return the highest round that a correct validator has reached for certain (L55, B5).

        More than a third of the power has spoken in that round or a later one. None if it is not
        above the current round.
        """
        power = 0
        for key, round in sorted(self._highest.items(), key=lambda item: (-item[1], item[0])):
            if round <= self._round:
                return None
            power += self._validators.power_of(key)
            if self._validators.is_one_third_plus(power):
                return round
        return None

    def _add_beyond(self, vote: Vote) -> Recorded:
        slot = (vote.validator, vote.kind)
        held = self._beyond.get(slot)
        # Doubling bounds how often one key can make us log: 31 times a kind, whatever it sends.
        if held is None or 2 * held.round <= vote.round:
            self._beyond[slot] = vote
            return Recorded(True, None)
        conflicts = held.round == vote.round and held.block_id != vote.block_id
        return Recorded(False, held if conflicts else None)

    def _tally(self, round: int, kind: VoteKind) -> _Tally:
        tally = self._tallies.get((round, kind))
        if tally is None:
            tally = self._tallies[round, kind] = _Tally(self._validators)
        return tally

    def _note_commit(self, vote: Vote) -> None:
        if self.commit is None and vote.kind is VoteKind.PRECOMMIT:
            value = self._tally(vote.round, vote.kind).quorum
            if value:
                self.commit = (vote.round, value)
