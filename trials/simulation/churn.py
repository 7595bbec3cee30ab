"""Members come and go: the clients' side of governance, and a naive twin of who validates when.

The twin follows the committed log alone. What it says of a height is what every certificate,
proposer and vote of that height is checked against.
"""

from dataclasses import dataclass, field

from consensus.messages import ValidatorKey
from consensus.validators import Validator, ValidatorSet
from ledger.execute import Execution
from ledger.rules.governance import Propose, SetValidator, Vote
from ledger.transactions import parse

ACTS_AFTER = 2
"""A change that block H adopts acts at H + 2."""


@dataclass(slots=True)
class Asked:
    """A proposal that was logged."""

    action: SetValidator
    yes: list[str]
    is_open: bool = True


@dataclass(slots=True, kw_only=True)
class Register:
    """Who may vote in governance, what they were asked, and the validators of every height."""

    members: int
    """Treasuries and data centres, of which one is a city."""
    city: str
    first: ValidatorSet
    key_of: dict[str, ValidatorKey]
    """Consensus key by member: here nobody changes it."""
    asked: list[Asked] = field(default_factory=list)
    """Proposals in the order of their numbers."""
    logged_as: dict[bytes, int] = field(default_factory=dict)
    """Number of a proposal by its transaction's id."""
    changes: int = 0
    """Adopted."""
    suspended: int = 0
    """Keys taken out for misbehaviour."""
    _sets: dict[int, ValidatorSet] = field(default_factory=dict)
    """By the first height at which each acts."""

    def at(self, height: int) -> ValidatorSet:
        """Return the validators of a height, at most two above the last block followed."""
        acting = self.first
        for from_height in sorted(self._sets):
            if from_height <= height:
                acting = self._sets[from_height]
        return acting

    def follow(self, execution: Execution) -> None:
        """Take in a block's proposals and votes."""
        height = execution.head.height
        for raw in execution.block.transactions:
            transaction = parse(raw)
            match transaction.body.operation:
                case Propose(proposer=proposer, action=SetValidator() as action):
                    self.asked.append(Asked(action, [proposer]))
                    self.logged_as[transaction.id] = len(self.asked)
                    self._count(self.asked[-1], height)
                case Vote(voter=voter, proposal=number):
                    self.asked[number - 1].yes.append(voter)
                    self._count(self.asked[number - 1], height)
        if execution.record is not None:
            for misbehaviour in execution.record.misbehaviours:
                self._suspend(ValidatorKey(misbehaviour.validator), height)

    def _suspend(self, key: ValidatorKey, height: int) -> None:
        """Take a faulty key out, if four and more than two thirds of the power stay (R15.3)."""
        acting, coming = self.at(height).validators, self.at(height + ACTS_AFTER).validators
        left = tuple(voter for voter in coming if voter.key != key)
        stays = {voter.key for voter in left}
        gone = sum(voter.power for voter in acting if voter.key not in stays)
        total = sum(voter.power for voter in acting)
        if len(left) < len(coming) and len(left) >= 4 and 3 * gone < total:
            self.suspended += 1
            self._sets[height + ACTS_AFTER] = ValidatorSet(validators=left)

    def _count(self, asked: Asked, height: int) -> None:
        if asked.is_open and self.city in asked.yes and 3 * len(asked.yes) > 2 * self.members:
            asked.is_open = False
            self.changes += 1
            self._sets[height + ACTS_AFTER] = self._changed(asked.action, height + ACTS_AFTER)

    def _changed(self, action: SetValidator, height: int) -> ValidatorSet:
        voters = {voter.key: voter for voter in self.at(height).validators}
        voters.pop(self.key_of[action.party], None)
        for validator in action.validator:
            key = ValidatorKey(validator.consensus)
            voters[key] = Validator(key=key, power=validator.power)
        return ValidatorSet(validators=tuple(voters[key] for key in sorted(voters)))
