"""The blocks offered at one height: those on their way in, and the whole ones (spec N2, N3.6).

Everything here is bounded, since a proposer can offer as many blocks as it likes. Synchronous and
without I/O.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from consensus.messages import BlockId, Proposal
from engines.builtin.messages import Header
from ledger.encoding.crypto import sha256
from ledger.execute import Execution

ASSEMBLIES_PER_PROPOSER_MAX = 4
"""Blocks of one proposer on their way in: by offering many it hinders only itself."""
PROPOSALS_MAX = 32
"""Proposals of one block that wait for its chunks, one a round."""
BODIES_MAX = 32
"""Whole blocks kept, those in logged proposals not counted."""
CHUNK_PATIENCE_US = 300_000
"""How long chunks may be missing before they are asked for."""


@dataclass(frozen=True, slots=True)
class ProposedBlock:
    """A whole block of this height."""

    header: Header
    body: bytes
    execution: Execution | None
    """What it does; None if it must not stand."""


@dataclass(slots=True)
class Assembly:
    """A proposed block on its way in: chunks are checked one by one against the proposal."""

    proposals: list[Proposal]
    """The rounds' offers of this block, the first one first."""
    header: Header
    received_ms: int
    """Wall clock at first receipt of the proposal."""
    asked_us: int
    chunks: dict[int, bytes]

    @property
    def block_id(self) -> BlockId:
        """Return which block it is."""
        return self.proposals[0].block_id

    def add(self, index: int, data: bytes) -> bool:
        """Take a chunk; return False if it is not the one that the proposal names."""
        hashes = self.proposals[0].chunk_hashes
        if index >= len(hashes) or sha256(data) != hashes[index]:
            return False
        self.chunks[index] = data
        return True

    def body(self) -> bytes | None:
        """Return the body once every chunk is here."""
        count = len(self.proposals[0].chunk_hashes)
        if len(self.chunks) < count:
            return None
        return b"".join(self.chunks[index] for index in range(count))


class ProposedBlocks:
    """What is known of the blocks of the current height."""

    def __init__(self) -> None:
        self._whole: dict[BlockId, ProposedBlock] = {}
        self._logged: dict[BlockId, None] = {}
        self._assemblies: dict[BlockId, Assembly] = {}

    def clear(self) -> None:
        """Forget everything: the height is decided."""
        self._whole.clear()
        self._logged.clear()
        self._assemblies.clear()

    def get(self, block: BlockId) -> ProposedBlock | None:
        """Return a whole block."""
        return self._whole.get(block)

    def must(self, block: BlockId) -> ProposedBlock:
        """Return a whole block that the driver knows of."""
        return self._whole[block]

    def keep(self, block: BlockId, offered: ProposedBlock, *, may_forget: bool = True) -> None:
        """Keep a whole block; the oldest that no logged proposal needs gives way.

        ``may_forget`` is False while a proposal waits to be fed: its block is needed for that.
        """
        unlogged = [known for known in self._whole if known not in self._logged]
        if len(unlogged) >= BODIES_MAX and may_forget:
            del self._whole[unlogged[0]]
        self._whole[block] = offered

    def log(self, block: BlockId) -> bytes | None:
        """Return the body to log with the first logged proposal of a block, else None."""
        if block in self._logged:
            return None
        self._logged[block] = None
        return self._whole[block].body

    def learn_logged(self, block: BlockId, offered: ProposedBlock) -> None:
        """Take up a block from the write-ahead log."""
        self._logged[block] = None
        self._whole[block] = offered

    def awaits(self, proposal: Proposal) -> bool:
        """Return whether this very proposal waits for its chunks."""
        assembly = self._assemblies.get(proposal.block_id)
        return assembly is not None and proposal in assembly.proposals

    def begin(self, proposal: Proposal, header: Header, *, received_ms: int, now_us: int) -> None:
        """Wait for the chunks of a verified proposal."""
        started = self._assemblies.get(proposal.block_id)
        if started is not None:
            is_new_round = all(known.round != proposal.round for known in started.proposals)
            if is_new_round and len(started.proposals) < PROPOSALS_MAX:
                started.proposals.append(proposal)
            return
        of_same = [
            block
            for block, assembly in self._assemblies.items()
            if all(known.validator == proposal.validator for known in assembly.proposals)
        ]
        if len(of_same) >= ASSEMBLIES_PER_PROPOSER_MAX:
            del self._assemblies[of_same[0]]
        self._assemblies[proposal.block_id] = Assembly(
            proposals=[proposal],
            header=header,
            received_ms=received_ms,
            asked_us=now_us,
            chunks={},
        )

    def assembly(self, block: BlockId) -> Assembly | None:
        """Return a block on its way in."""
        return self._assemblies.get(block)

    def finished(self, assembly: Assembly) -> None:
        """Stop waiting for a block's chunks."""
        del self._assemblies[assembly.block_id]

    def overdue(self, now_us: int) -> Iterator[BlockId]:
        """Yield blocks whose chunks should be asked for now."""
        for assembly in self._assemblies.values():
            if now_us - assembly.asked_us > CHUNK_PATIENCE_US:
                assembly.asked_us = now_us
                yield assembly.block_id
