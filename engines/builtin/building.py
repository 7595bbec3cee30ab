"""Blocks of our own (spec N4)."""

from collections.abc import Callable, Iterator

from consensus.driver import Driver
from consensus.effects import BuildProposal, Repropose
from engines.builtin import messages
from engines.builtin.block_check import EMPTY_BLOCK_MS, is_idle
from engines.builtin.evidence import EvidenceDesk
from engines.builtin.height import Heights
from engines.builtin.mempool import Mempool
from engines.builtin.messages import Body, Header
from engines.builtin.proposed_blocks import ProposedBlock
from engines.builtin.signing import Signing
from engines.failures import BrokenOff, attempt
from engines.seam import Clock, Timers
from ledger.blocks import BlockInput, Limits
from ledger.encoding import codec
from ledger.ledger import Ledger
from ledger.transactions import Transaction


class Builder:
    """Builds a block when it is this node's turn, now or when there is something to put in."""

    def __init__(
        self,
        *,
        heights: Heights,
        ledger: Ledger,
        pool: Mempool,
        desk: EvidenceDesk,
        signing: Signing,
        clock: Clock,
        timers: Timers,
    ) -> None:
        self._heights = heights
        self._ledger = ledger
        self._pool = pool
        self._desk = desk
        self._signing = signing
        self._clock = clock
        self._timers = timers

    def propose(self, wanted: BuildProposal) -> None:
        """Propose a block of our own."""
        self.build(wanted.round)

    def repropose(self, wanted: Repropose) -> None:
        """Propose a known block again."""
        block = self._heights.now.blocks.must(wanted.block_id)
        self._signing.propose(wanted.round, block.header, block.body, (wanted.valid_round,))

    def build(self, round_: int) -> None:
        """Build a block and have it signed; it is sent once it is logged."""
        now, head = self._heights.now, self._ledger.last()
        now_ms = self._clock.wall_ms()
        if now_ms <= head.time_ms:
            # Our clock is behind the parent's time: wait until it is past.
            wait_ms = head.time_ms + 1 - now_ms
            self._timers.after(wait_ms, self._later(now.driver, round_))
            return
        evidence = self._desk.waiting()
        block = BlockInput(
            height=now.number,
            time_ms=now_ms,
            transactions=(),
            misbehaviours=tuple(map(messages.misbehaviour_of, evidence)),
        )
        transactions = self._chosen(block)
        body = Body(transactions=transactions, evidence=evidence, previous=self._heights.previous)
        data = codec.encode(body)
        execution = self._ledger.execute(
            BlockInput(
                height=block.height,
                time_ms=now_ms,
                transactions=transactions,
                misbehaviours=block.misbehaviours,
            )
        )
        if is_idle(execution) and now_ms < head.time_ms + EMPTY_BLOCK_MS:
            now.build_waits = round_
            wait_ms = head.time_ms + EMPTY_BLOCK_MS - now_ms
            self._timers.after(wait_ms, lambda: self.build_what_waits(now.driver))
            return
        own = self._heights.public_key
        assert own is not None, "the driver asks validators only"
        header = Header(
            version=1,
            log_id=self._heights.log_id,
            epoch=messages.ENGINE_EPOCH,
            height=now.number,
            time_ms=now_ms,
            proposer=own,
            parent=self._heights.parent,
            record_hash=execution.head.record_hash,
            body_hash=messages.body_hash(messages.chunk_hashes(messages.chunks_of(data))),
        )
        now.blocks.keep(messages.block_id(header), ProposedBlock(header, data, execution))
        self._signing.propose(round_, header, data, ())

    def _chosen(self, block: BlockInput) -> tuple[bytes, ...]:
        """Return what the block takes; one that a rule breaks off at leaves the pool."""
        while True:
            tried: list[Transaction] = []

            def pending(tried: list[Transaction] = tried) -> Iterator[Transaction]:
                for transaction in self._pool.ready():
                    tried[:] = [transaction]
                    yield transaction

            chosen = attempt(
                lambda pending=pending: self._ledger.propose(  # type: ignore[misc]
                    pending(),
                    height=block.height,
                    time_ms=block.time_ms,
                    limits=Limits(),
                    misbehaviours=block.misbehaviours,
                    on_refused=self._pool.refuse,
                )
            )
            if not isinstance(chosen, BrokenOff):
                return chosen
            if not tried:
                raise AssertionError("an empty block cannot be made") from chosen.error
            self._pool.drop(tried[0], chosen.error)

    def build_what_waits(self, driver: Driver | None = None) -> None:
        """Build what waited, once: because it is time, or because work arrived before."""
        now = self._heights.now
        if driver in (None, now.driver) and now.build_waits is not None:
            round_, now.build_waits = now.build_waits, None
            if now.driver.round == round_:
                self.build(round_)

    def _later(self, driver: Driver, round_: int) -> Callable[[], None]:
        def build() -> None:
            now = self._heights.now
            if now.driver is driver and driver.round == round_:
                self.build(round_)

        return build
