"""The own votes and proposals: asked of the signer, fed when it has answered (spec N6.3)."""

from collections.abc import Iterator
from contextlib import contextmanager

from consensus.effects import SignVote
from consensus.inputs import Input, ProposalReceived, VoteReceived
from consensus.messages import Proposal, Vote
from engines.builtin.height import Heights
from engines.builtin.machine import Inputs, Machine
from engines.builtin.messages import Header
from engines.builtin.own_key import OwnKey
from engines.failures import unbroken


class Signing:
    """Has the own key sign for the present height. An answer that comes too late is dropped."""

    def __init__(self, heights: Heights, key: OwnKey, inputs: Inputs, machine: Machine) -> None:
        self._heights = heights
        self._key = key
        self._inputs = inputs
        self._machine = machine
        self._is_asking = False
        """While the signer is asked: an answer at once waits for its turn, as any input."""

    def vote(self, wanted: SignVote) -> None:
        """Have a vote signed, or keep it back while voting is paused."""
        now = self._heights.now
        if self._key.paused:
            now.withheld.append(wanted)
            return
        with self._asking():
            self._key.sign_vote(
                wanted.kind, now.number, wanted.round, wanted.block_id, self._vote_signed
            )

    def propose(
        self, round_: int, header: Header, body: bytes, valid_round: tuple[int, ...]
    ) -> None:
        """Have a proposal of a block signed."""
        with self._asking():
            self._key.sign_proposal(round_, header, body, valid_round, self._proposal_signed)

    def resume(self) -> None:
        """Sign again, first the votes of this round that a pause kept back.

        Were they left out, a network that paused together would wait for them for ever.
        """
        self._key.paused = ""
        now = self._heights.now
        withheld, now.withheld = now.withheld, []
        for vote in withheld:
            if vote.round == now.driver.round:
                self.vote(vote)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        self._is_asking = True
        with unbroken("signing"):
            yield
        self._is_asking = False

    def _vote_signed(self, vote: Vote) -> None:
        if vote.height == self._heights.now.number:
            self._signed(VoteReceived(vote=vote))

    def _proposal_signed(self, proposal: Proposal) -> None:
        now = self._heights.now
        if proposal.height == now.number and now.blocks.get(proposal.block_id) is not None:
            self._signed(ProposalReceived(proposal=proposal, valid=True, timely=True))

    def _signed(self, input: Input) -> None:
        self._inputs.feed(input)
        if not self._is_asking:
            self._machine.drain()
