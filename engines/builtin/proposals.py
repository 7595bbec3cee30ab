"""Proposed blocks on their way in and out (spec N2, N3)."""

from collections.abc import Callable

from consensus.effects import BroadcastProposal
from consensus.evidence import evidence_of
from consensus.inputs import ProposalReceived
from consensus.messages import BlockId, Proposal, proposal_sign_bytes
from consensus.votebook import WINDOW_MAX
from engines.builtin import messages
from engines.builtin.evidence import EvidenceDesk
from engines.builtin.height import Heights
from engines.builtin.machine import Inputs
from engines.builtin.messages import Chunk, Header, ProposalMessage, WantChunks
from engines.builtin.p2p.frames import PeerFault
from engines.builtin.ports import Messenger
from engines.builtin.proposed_blocks import CHUNK_PATIENCE_US, Assembly, ProposedBlock
from engines.seam import Clock
from ledger.encoding.codec import only
from ledger.execute import Verify

TIMELY_MS = 2_000
TIMELY_INCREMENT_MS = 500


class Proposals:
    """Verifies proposals, gathers their chunks, and feeds the driver what is whole."""

    def __init__(
        self,
        *,
        heights: Heights,
        inputs: Inputs,
        desk: EvidenceDesk,
        messenger: Messenger,
        sync_log: Callable[[], None],
        clock: Clock,
        verify: Verify,
    ) -> None:
        self._heights = heights
        self._inputs = inputs
        self._desk = desk
        self._messenger = messenger
        self._sync_log = sync_log
        self._clock = clock
        self._verify = verify

    # --- in --------------------------------------------------------------------------------------

    def on_proposal(self, proposal: Proposal) -> None:
        """Take a proposal of this height; raise PeerFault."""
        now = self._heights.now
        if proposal.round > now.driver.round + WINDOW_MAX:
            return
        if proposal.validator != now.validators.proposer(proposal.height, proposal.round):
            return
        valid_round = only(proposal.valid_round)
        if valid_round is not None and valid_round >= proposal.round:
            raise PeerFault("a proposal whose valid round is not before its round")
        if self._knows(proposal):
            return
        now.note_work(self._clock.monotonic_us())
        header = self._verified_header(proposal)
        first = now.driver.proposal_for(proposal.round)
        if first is not None and not now.driver.wants(proposal):
            self._desk.learn(evidence_of(first, proposal))
            return  # executing block after block of one proposer would be its weapon
        received_ms = self._clock.wall_ms()
        if now.blocks.get(proposal.block_id) is not None:
            self._feed(proposal, header, received_ms)
            return
        now_us = self._clock.monotonic_us()
        now.blocks.begin(proposal, header, received_ms=received_ms, now_us=now_us)

    def _verified_header(self, proposal: Proposal) -> Header:
        """Return the header of a proposal whose parts belong together; raise PeerFault."""
        message = proposal_sign_bytes(
            self._heights.log_id,
            messages.ENGINE_EPOCH,
            proposal.height,
            proposal.round,
            proposal.valid_round,
            proposal.block_id,
        )
        if not self._verify(proposal.validator, message, proposal.signature):
            raise PeerFault("a proposal's signature does not verify")
        header = messages.decode_header(proposal.header)
        if messages.block_id(header) != proposal.block_id:
            raise PeerFault("a proposal's header is not the block it names")
        if messages.body_hash(proposal.chunk_hashes) != header.body_hash:
            raise PeerFault("a proposal's chunks are not what its header names")
        if not proposal.valid_round and header.proposer != proposal.validator:
            # Judged as a fresh one, the block of somebody else would be invalid here for ever.
            raise PeerFault("a fresh proposal of a block that somebody else built")
        return header

    def _knows(self, proposal: Proposal) -> bool:
        now = self._heights.now
        if now.blocks.awaits(proposal):
            return True
        # Not by signature: a key can sign the same message in many ways, and that is no lie.
        return any(
            (known.round, known.valid_round) == (proposal.round, proposal.valid_round)
            for known in now.driver.proposals_of(proposal.block_id)
        )

    def on_chunk(self, chunk: Chunk) -> None:
        """Take a chunk of this height; raise PeerFault if it is not what a proposal names."""
        blocks = self._heights.now.blocks
        assembly = blocks.assembly(BlockId(chunk.block_id))
        if assembly is None:
            return
        if not assembly.add(chunk.index, chunk.data):
            raise PeerFault("a chunk is not the one that its proposal names")
        body = assembly.body()
        if body is not None:
            blocks.finished(assembly)
            self._take_whole(assembly, body)

    def _take_whole(self, assembly: Assembly, body: bytes) -> None:
        now = self._heights.now
        if not any(now.driver.wants(proposal) for proposal in assembly.proposals):
            for proposal in assembly.proposals:  # another block of this round was faster
                first = now.driver.proposal_for(proposal.round)
                if first is not None:
                    self._desk.learn(evidence_of(first, proposal))
            return
        execution = now.check.execution(assembly.header, body)
        block = ProposedBlock(assembly.header, body, execution)
        now.blocks.keep(assembly.block_id, block, may_forget=not self._inputs)
        for proposal in assembly.proposals:
            self._feed(proposal, assembly.header, assembly.received_ms)

    def _feed(self, proposal: Proposal, header: Header, received_ms: int) -> None:
        """Give a complete proposal to the driver with both verdicts."""
        # The verdict is said of the block, and all correct validators agree on it.
        valid = self._heights.now.blocks.must(proposal.block_id).execution is not None
        timely = True
        if not proposal.valid_round:
            bound_ms = TIMELY_MS + TIMELY_INCREMENT_MS * proposal.round
            timely = abs(header.time_ms - received_ms) <= bound_ms
        self._inputs.feed(ProposalReceived(proposal=proposal, valid=valid, timely=timely))

    def ask_for_chunks(self) -> None:
        """Ask all for chunks that should have come by now."""
        now = self._heights.now
        for block in now.blocks.overdue(self._clock.monotonic_us()):
            self._messenger.broadcast(WantChunks(height=now.number, block_id=block))

    # --- out -------------------------------------------------------------------------------------

    def broadcast(self, wanted: BroadcastProposal) -> None:
        """Send an own proposal and its block to all, once its log is durable."""
        self._sync_log()
        self._messenger.broadcast(ProposalMessage(proposal=wanted.proposal))
        for chunk in self._chunks(wanted.proposal.block_id):
            self._messenger.broadcast(chunk)

    def on_want_chunks(self, peer: str, wanted: WantChunks) -> None:
        """Send a peer the chunks of a block of this height, but not again and again."""
        now, block = self._heights.now, BlockId(wanted.block_id)
        if wanted.height != now.number or now.blocks.get(block) is None:
            return
        now_us = self._clock.monotonic_us()
        if now.sent.may_repeat(peer, block.hex(), now_us, CHUNK_PATIENCE_US // 2):
            for chunk in self._chunks(block):
                self._messenger.send(peer, chunk)

    def _chunks(self, block: BlockId) -> tuple[Chunk, ...]:
        now = self._heights.now
        known = now.blocks.get(block)
        if known is None:
            return ()
        return tuple(
            Chunk(height=now.number, block_id=block, index=index, data=data)
            for index, data in enumerate(messages.chunks_of(known.body))
        )
