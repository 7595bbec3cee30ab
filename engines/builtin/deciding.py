"""Decided blocks become durable, and the next height begins (spec N6.6)."""

from collections import deque
from collections.abc import Callable

from consensus.certificate import Certificate
from consensus.effects import Decide
from engines.builtin import messages
from engines.builtin.evidence_pool import EvidencePool
from engines.builtin.height import Heights
from engines.builtin.journal import Journal
from engines.builtin.machine import Inputs
from engines.builtin.mempool import Mempool
from engines.builtin.messages import Body, DecidedBlock, Header, StoredCommit
from engines.builtin.own_key import OwnKey
from engines.builtin.votes import Votes
from engines.failures import unbroken
from engines.seam import Clock, SeenCommit, Tell
from ledger.encoding import codec
from ledger.execute import Execution
from ledger.ledger import Ledger

SEEN_COMMITS_MAX = 64
"""Heights of which is remembered how they were decided."""


class Decisions:
    """Commits what was decided here or elsewhere; each height once, in order."""

    def __init__(
        self,
        *,
        heights: Heights,
        ledger: Ledger,
        pool: Mempool,
        inputs: Inputs,
        votes: Votes,
        evidence: EvidencePool,
        key: OwnKey,
        journal: Journal,
        clock: Clock,
        tell: Tell,
        on_next_height: Callable[[], None],
    ) -> None:
        self.seen: deque[SeenCommit] = deque(maxlen=SEEN_COMMITS_MAX)
        """The last ones."""
        self._heights = heights
        self._ledger = ledger
        self._pool = pool
        self._inputs = inputs
        self._votes = votes
        self._evidence = evidence
        self._key = key
        self._journal = journal
        self._clock = clock
        self._tell = tell
        self._on_next_height = on_next_height

    def decide(self, decided: Decide) -> None:
        """Commit the block that this node's driver decided."""
        block = self._heights.now.blocks.must(decided.block_id)
        assert block.execution is not None, "the driver decides valid blocks only"
        body = messages.decode_body(block.body)
        with unbroken("a commit"):
            self._commit(block.header, body, decided.certificate, block.execution)

    def adopt(self, block: DecidedBlock) -> None:
        """Commit a block that others decided; raise PeerFault if its proof does not hold."""
        execution = self._heights.now.check.adopted(block)
        body = messages.decode_body(block.body)
        with unbroken("a commit"):
            self._commit(block.header, body, block.certificate, execution)

    def end_silence_if_sure(self) -> None:
        """Let a key whose record was lost sign again, once it is safe (N10)."""
        number = self._heights.now.number
        self._key.end_silence_if_sure(number, self._ledger.validators(number))

    def _commit(
        self, header: Header, body: Body, certificate: Certificate, execution: Execution
    ) -> None:
        """Make a decided block durable and go on to the next height."""
        began_us = self._heights.now.work_since_us
        decided_us = self._clock.monotonic_us()
        stored = StoredCommit(
            header=header, certificate=certificate, previous=body.previous, evidence=body.evidence
        )
        head = self._ledger.commit(execution, codec.encode(stored))
        self._heights.decided(header, certificate)
        was_behind_log = self._journal.is_behind_log_of(head.height)
        if not was_behind_log:
            self._journal.start(head.height + 1)
        self._evidence.decided(head.height, self._heights.now.votes, self._ledger.may_record)
        for proven in (certificate, *body.previous):
            self._votes.compare_with(proven)
        self._inputs.clear()
        self._pool.committed(execution)
        since_us = decided_us if began_us is None else began_us
        self.seen.append(
            SeenCommit(
                height=head.height,
                time_ms=head.time_ms,
                round=certificate.round,
                transactions=len(execution.results),
                finality_us=self._clock.monotonic_us() - since_us,
                signers=tuple(key for key, _ in certificate.signatures),
            )
        )
        next_height = head.height + 1
        self._key.end_silence_if_sure(next_height, self._ledger.validators(next_height))
        self._tell.committed(execution, self.seen[-1])
        self._heights.next()  # last: it may be that this node decides no further height
        if was_behind_log:
            self._journal.take_up()
        self._on_next_height()
