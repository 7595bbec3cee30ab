"""Decided blocks, for a peer that was away and from peers when we were (spec N5)."""

from engines.builtin import messages
from engines.builtin.catchup import Catchup
from engines.builtin.decided import decided_block
from engines.builtin.deciding import Decisions
from engines.builtin.height import Heights
from engines.builtin.messages import Ask, Blocks, DecidedBlock
from engines.builtin.ports import Messenger
from engines.builtin.quotas import SyncAnswers
from engines.seam import Blockstore, Clock


class Sync:
    """Asks for decided blocks, and answers who asks; nobody's question may take all our time."""

    def __init__(
        self,
        *,
        heights: Heights,
        blocks: Blockstore,
        decisions: Decisions,
        catchup: Catchup,
        messenger: Messenger,
        clock: Clock,
    ) -> None:
        self._heights = heights
        self._blocks = blocks
        self._decisions = decisions
        self._catchup = catchup
        self._messenger = messenger
        self._clock = clock
        self._answers = SyncAnswers()

    def on_ask(self, peer: str, asked: Ask) -> None:
        """Send a peer decided blocks from a height on, as many as an answer holds."""
        if not self._answers.may_answer(peer):
            return
        first = asked.from_height
        blocks: list[DecidedBlock] = []
        size = 0
        for height in range(first, min(first + messages.SYNC_BLOCKS_MAX, self._heights.number)):
            block = decided_block(self._blocks, height)
            if block is None:
                break
            size += len(block.body)
            if blocks and size > messages.SYNC_BYTES_MAX:
                break
            blocks.append(block)
        self._answers.sent(size)
        self._messenger.send(peer, Blocks(blocks=tuple(blocks)))

    def on_blocks(self, peer: str, answer: Blocks) -> None:
        """Commit what a peer sent of the next heights; raise PeerFault if a proof fails."""
        useful = False
        for block in answer.blocks:
            if block.header.height < self._heights.number:
                continue
            if block.header.height > self._heights.number:
                break
            self._decisions.adopt(block)
            useful = True
        self._catchup.answered(peer, useful=useful)
        self.ask_if_behind(patient=False)

    def ask_if_behind(self, *, patient: bool = True) -> None:
        """Ask a peer that is ahead, if there is one."""
        number = self._heights.number
        peer = self._catchup.whom_to_ask(number, self._clock.monotonic_us(), patient=patient)
        if peer is not None:
            self._messenger.send(peer, Ask(from_height=number))

    def tick(self) -> None:
        """Let every peer ask again, and ask ourselves; call now and then."""
        self._answers.tick()
        self.ask_if_behind()
