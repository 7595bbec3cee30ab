"""Where this node stands: the last decided block, and the height being decided."""

from dataclasses import dataclass, field

from consensus.certificate import Certificate
from consensus.driver import Driver
from consensus.effects import SignVote
from consensus.messages import ValidatorKey, Vote
from consensus.timeouts import TimeoutPolicy
from consensus.validators import ValidatorSet
from engines.builtin import messages
from engines.builtin.block_check import BlockCheck, validator_set
from engines.builtin.evidence_pool import EvidencePool, Place
from engines.builtin.messages import Header
from engines.builtin.own_key import OwnKey
from engines.builtin.proposed_blocks import ProposedBlocks
from engines.builtin.quotas import RecentlySent
from engines.seam import Blockstore, Clock, EngineStopped
from ledger.execute import Verify
from ledger.ledger import Ledger

NAME = "builtin"
"""What governance calls this engine."""


class EngineSwitched(EngineStopped):
    """Members chose another engine from this height on: this one decides nothing any more."""

    def __init__(self, *, height: int, engine: str) -> None:
        super().__init__(f"from height {height} on engine {engine} decides, this node is {NAME}")


@dataclass(slots=True, kw_only=True)
class Height:
    """All that belongs to the height being decided: the next one gets a new one."""

    number: int
    driver: Driver
    check: BlockCheck
    """Judges its blocks; knows who validates and the block before."""
    began_us: int
    blocks: ProposedBlocks = field(default_factory=ProposedBlocks)
    votes: dict[Place, Vote] = field(default_factory=dict)
    """Verified ones, so that none is verified twice."""
    withheld: list[SignVote] = field(default_factory=list)
    """Votes that a pause kept back."""
    sent: RecentlySent = field(default_factory=RecentlySent)
    """What was repeated to whom."""
    has_work: bool = False
    """Whether there was a reason to start it."""
    work_since_us: int | None = None
    """When this node first knew of work for it."""
    build_waits: int | None = None
    """Round of an own block that waits for its time, since there was nothing to put in."""

    @property
    def validators(self) -> ValidatorSet:
        """Return who decides it."""
        return self.check.validators

    def note_work(self, now_us: int) -> None:
        """Remember when work for it was first heard of."""
        if self.work_since_us is None:
            self.work_since_us = now_us


class Heights:
    """The chain as far as it is decided, and the height that is being decided."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        blocks: Blockstore,
        key: OwnKey,
        evidence: EvidencePool,
        clock: Clock,
        timeouts: TimeoutPolicy,
        verify: Verify,
    ) -> None:
        self.log_id = ledger.last().log_id
        self.now: Height
        """Known after ``next``."""
        self.parent, self.previous = _last_commit(ledger, blocks)
        self._ledger = ledger
        self._key = key
        self._evidence = evidence
        self._clock = clock
        self._timeouts = timeouts
        self._verify = verify

    @property
    def number(self) -> int:
        """Return the height being decided."""
        return self._ledger.last().height + 1

    def next(self) -> None:
        """Begin the height after the last durable block; raise EngineSwitched or RulesUnknown."""
        number = self.number
        engine = self._ledger.engine(number)
        if engine not in ("", NAME):
            raise EngineSwitched(height=number, engine=engine)
        self._ledger.require_known_rules(number)
        check = BlockCheck(
            ledger=self._ledger,
            log_id=self.log_id,
            parent=self.parent,
            previous=self.previous,
            validators=validator_set(self._ledger.validators(number)),
            has_verified=self._evidence.has_verified,
            verify=self._verify,
        )
        driver = Driver(
            height=number,
            validators=check.validators,
            own_key=self.voting_key(number, check.validators),
            timeouts=self._timeouts,
        )
        self.now = Height(
            number=number, driver=driver, check=check, began_us=self._clock.monotonic_us()
        )

    def decided(self, header: Header, certificate: Certificate) -> None:
        """Note the block that the next height stands on."""
        self.parent, self.previous = messages.block_id(header), (certificate,)

    def voting_key(self, number: int, validators: ValidatorSet) -> ValidatorKey | None:
        """Return the key that votes at a height, if it is this node's and may."""
        key = self._key.public_key
        if key is None or self._key.follows(number):
            return None
        return key if validators.power_of(key) else None

    @property
    def public_key(self) -> ValidatorKey | None:
        """Return this node's key, whether it may vote now or not."""
        return self._key.public_key

    def own_key(self) -> ValidatorKey | None:
        """Return the key by which this node votes at this height, as things are now."""
        return self.voting_key(self.now.number, self.now.validators)


def _last_commit(ledger: Ledger, blocks: Blockstore) -> tuple[bytes, tuple[Certificate, ...]]:
    """Return the id and certificate of the last block, from the store."""
    height = ledger.last().height
    if height == 0:
        return messages.NO_BLOCK, ()
    data = blocks.stored_commit(height)
    assert data is not None, f"block {height} has no commit"
    commit = messages.decode_commit(data)
    return messages.block_id(commit.header), (commit.certificate,)
