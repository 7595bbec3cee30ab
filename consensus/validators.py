"""Who votes with how much weight, what a quorum is, and whose turn it is (spec V1-V4)."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import gcd

from consensus.messages import ValidatorKey

VALIDATORS_MAX = 128
"""Most validators in a set; it bounds certificates and the vote book."""
POWER_TOTAL_MAX = 2**53 - 1
"""Largest sum of powers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """One voter."""

    key: ValidatorKey
    power: int
    """Weight of its vote, at least 1."""


@dataclass(frozen=True, kw_only=True)  # not slotted: the derived tables are cached
class ValidatorSet:
    """The voters of one height, in ascending order of their keys."""

    validators: tuple[Validator, ...]
    """Distinct keys, ascending; at most VALIDATORS_MAX. Anything else raises ValueError."""

    def __post_init__(self) -> None:
        keys = [validator.key for validator in self.validators]
        if not 1 <= len(keys) <= VALIDATORS_MAX:
            raise ValueError(f"a set has 1 to {VALIDATORS_MAX} validators, not {len(keys)}")
        if any(first >= second for first, second in pairwise(keys)):
            raise ValueError("validators are not distinct and ascending by key")
        if any(validator.power < 1 for validator in self.validators):
            raise ValueError("a validator has no power")
        if self.total_power > POWER_TOTAL_MAX:
            raise ValueError(f"powers add up to more than {POWER_TOTAL_MAX}")

    @cached_property
    def total_power(self) -> int:
        """Sum of all powers."""
        return sum(validator.power for validator in self.validators)

    @cached_property
    def _powers(self) -> dict[ValidatorKey, int]:
        return {validator.key: validator.power for validator in self.validators}

    def power_of(self, key: ValidatorKey) -> int:
        """Return the power of a key, 0 if it is not in the set."""
        return self._powers.get(key, 0)

    def is_quorum(self, power: int) -> bool:
        """Return whether ``power`` is more than two thirds of all: the paper's 2f + 1 (V2)."""
        return 3 * power > 2 * self.total_power

    def is_one_third_plus(self, power: int) -> bool:
        """Return whether at least one correct validator is among ``power``: the paper's f + 1."""
        return 3 * power > self.total_power

    @cached_property
    def _stride(self) -> int:
        """Slots to move per round: at least the greatest share, and coprime to the cycle (V4).

        The first keeps a failed proposer from being followed by itself where that is possible;
        the second makes every slot come up once in a cycle.
        """
        cycle = self._cycle
        stride = max(validator.power for validator in self.validators) // self._unit
        while gcd(stride, cycle) != 1:
            stride += 1
        return stride

    @cached_property
    def _unit(self) -> int:
        return gcd(*(validator.power for validator in self.validators))

    @cached_property
    def _cycle(self) -> int:
        return self.total_power // self._unit

    def proposer(self, height: int, round: int) -> ValidatorKey:
        """Return whose turn it is: a stateless rotation in proportion to power (V4)."""
        slot = (height + round) * self._stride % self._cycle
        for validator in self.validators:
            slot -= validator.power // self._unit
            if slot < 0:
                return validator.key
        raise AssertionError("a slot lies within the cycle")
