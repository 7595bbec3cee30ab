"""The node's own key: when it may sign, what it signs, what it can have signed (spec N6, N10).

No clock and no network. Before any signature is made, the write-ahead log is durable (E3).
"""

from collections.abc import Callable, Iterable

from consensus.effects import BuildProposal, Effect, Repropose, SignVote
from consensus.messages import (
    BlockId,
    Proposal,
    ValidatorKey,
    Vote,
    VoteKind,
    proposal_sign_bytes,
    vote_sign_bytes,
)
from engines.builtin import messages
from engines.builtin.messages import Header
from engines.builtin.signer import PRECOMMIT, PREVOTE, PROPOSAL, Refused, SigningPort, SignRequest
from engines.builtin.silence import Silence
from engines.builtin.wal import WriteAheadLog
from ledger.encoding import codec
from ledger.rules.validators import ValidatorSetRecord

_STEPS = {VoteKind.PREVOTE: PREVOTE, VoteKind.PRECOMMIT: PRECOMMIT}


class OwnKey:
    """What stands between the host and its signer. A node without a signer never signs."""

    def __init__(
        self,
        signer: SigningPort | None,
        wal: WriteAheadLog,
        log_id: bytes,
        on_stop: Callable[[str], None],
    ) -> None:
        self.stopped = ""
        """Why this key signs nothing until the node is started again; empty while it may."""
        self.paused = ""
        """Why it signs nothing for now."""
        self.silent_below = self._height_not_to_sign_below(signer, wal)
        self._signer = signer
        self._wal = wal
        self._log_id = log_id
        self._silence = Silence()
        self._on_stop = on_stop

    @staticmethod
    def _height_not_to_sign_below(signer: SigningPort | None, wal: WriteAheadLog) -> int:
        """Return below which height to be silent, 0 if the disks agree (N6.5).

        A store or log that was replaced by an older one, or lost, no longer knows what the key was
        bound to; the newer of log and signer's record does.
        """
        logged = wal.height or 0
        signed = 0
        if signer is not None and signer.last is not None:
            signed = signer.last.request.height
        return max(logged, signed + 1 if signed > logged else 0)

    @property
    def public_key(self) -> ValidatorKey | None:
        """Return the key, or None if this node has none."""
        return None if self._signer is None else ValidatorKey(self._signer.public_key)

    def follows(self, height: int) -> bool:
        """Return whether this node takes no part in a height, but for what others say."""
        return self._signer is None or bool(self.stopped) or height < self.silent_below

    def may_sign(self, height: int) -> bool:
        """Return whether anything of a height may be signed now."""
        return not self.follows(height) and not self.paused

    def stop(self, reason: str) -> None:
        """Sign nothing any more; the first reason stays, and the node writes it down (N6.11)."""
        if not self.stopped:
            self.stopped = reason
            self._on_stop(reason)

    # --- signing ---------------------------------------------------------------------------------

    def sign_vote(
        self,
        kind: VoteKind,
        height: int,
        round_: int,
        value: tuple[BlockId, ...],
        then: Callable[[Vote], None],
    ) -> None:
        """Have a vote signed; ``then`` gets it now or later, or never if it must not be."""

        def signed(signature: bytes) -> None:
            then(
                Vote(
                    kind=kind,
                    height=height,
                    round=round_,
                    block_id=value,
                    validator=self._must(),
                    signature=signature,
                )
            )

        message = self._vote_bytes(kind, height, round_, value)
        self._sign(height, round_, _STEPS[kind], message, signed)

    def sign_proposal(
        self,
        round_: int,
        header: Header,
        body: bytes,
        valid_round: tuple[int, ...],
        then: Callable[[Proposal], None],
    ) -> None:
        """Have a proposal signed and give it to ``then``, as ``sign_vote`` does."""
        block = messages.block_id(header)

        def signed(signature: bytes) -> None:
            then(
                Proposal(
                    height=header.height,
                    round=round_,
                    valid_round=valid_round,
                    block_id=block,
                    validator=self._must(),
                    header=codec.encode(header),
                    chunk_hashes=messages.chunk_hashes(messages.chunks_of(body)),
                    signature=signature,
                )
            )

        message = proposal_sign_bytes(
            self._log_id, messages.ENGINE_EPOCH, header.height, round_, valid_round, block
        )
        self._sign(header.height, round_, PROPOSAL, message, signed)

    def _sign(
        self, height: int, round_: int, step: int, message: bytes, then: Callable[[bytes], None]
    ) -> None:
        if not self.may_sign(height):
            return
        assert self._signer is not None
        self._wal.sync()

        def answer(signature: bytes | Refused) -> None:
            # Refused is silence for this step: the signer remembers what we no longer know. Who
            # has stopped since it asked is silent too.
            if not isinstance(signature, Refused) and not self.follows(height):
                then(signature)

        request = SignRequest(
            epoch=messages.ENGINE_EPOCH, height=height, round=round_, step=step, message=message
        )
        self._signer.ask(request, answer)

    def _must(self) -> ValidatorKey:
        key = self.public_key
        assert key is not None
        return key

    def _vote_bytes(
        self, kind: VoteKind, height: int, round_: int, value: tuple[BlockId, ...]
    ) -> bytes:
        return vote_sign_bytes(self._log_id, messages.ENGINE_EPOCH, kind, height, round_, value)

    def close(self) -> None:
        """Give the signer's record back."""
        if self._signer is not None:
            self._signer.close()

    # --- what it can have signed -----------------------------------------------------------------

    def explains_its_last_signature(self, height: int, effects: Iterable[Effect]) -> bool:
        """Return whether a log's replay led to what the key signed last at a height (N6.5).

        It does unless the log's end is gone: inputs are durable before what they lead to is signed.
        """
        if self._signer is None or self._signer.last is None:
            return True
        last = self._signer.last.request
        if last.height != height:
            return True
        for effect in effects:
            match effect:
                case BuildProposal(round=last.round) | Repropose(round=last.round):
                    if last.step == PROPOSAL:
                        return True
                case SignVote(kind=kind, round=last.round, block_id=value):
                    if self._vote_bytes(kind, height, last.round, value) == last.message:
                        return True
        return False

    def made(self, vote: Vote, own: Vote | None) -> bool:
        """Return whether the signer can have made a verified vote by its key.

        ``own`` is the vote of that kind and round that this node knows to be its own.
        """
        assert self._signer is not None
        if vote.height <= self._signer.watermark_height:
            return True  # perhaps before its record was lost (N10)
        last = self._signer.last
        if last is None:
            return False
        position = _position(vote)
        if position == last.request.position:
            message = self._vote_bytes(vote.kind, vote.height, vote.round, vote.block_id)
            return last.request.message == message
        if own is not None and own.block_id != vote.block_id:
            return False
        return position < last.request.position

    def lacks(self, vote: Vote) -> bool:
        """Return whether a certified precommit is by this key, and newer than its record."""
        if self._signer is None or vote.validator != self._signer.public_key:
            return False
        last = self._signer.last
        return vote.height > self._signer.watermark_height and (
            last is None or last.request.position < _position(vote)
        )

    # --- a lost record (N10) ---------------------------------------------------------------------

    def heard(self, party: str, height: int) -> None:
        """Note the height that a peer says it is deciding now."""
        self._silence.heard(party, height)

    def knows_where_it_was(self, height: int, validators: ValidatorSetRecord) -> bool:
        """Return whether this key's node decided nothing above ``height`` before it was started.

        What a node had decided, a quorum had come to; so none of what it is told may be beyond.
        """
        records = validators.validators
        powers = {record.party: record.keys.power for record in records}
        own = [record.party for record in records if record.keys.consensus == self.public_key]
        if not own or len(powers) == 1:
            return bool(own)
        return self._silence.may_have_signed(own[0], height, powers) is not None

    def end_silence_if_sure(self, height: int, validators: ValidatorSetRecord) -> None:
        """Let a key whose record was lost sign again above all that it may have signed."""
        if self._signer is None or not self._signer.is_silent:
            return
        records = validators.validators
        powers = {record.party: record.keys.power for record in records}
        for record in records:
            if record.keys.consensus == self._signer.public_key:
                watermark = self._silence.may_have_signed(record.party, height, powers)
                if watermark is not None:
                    self._signer.end_silence(watermark)


def _position(vote: Vote) -> tuple[int, int, int, int]:
    return (messages.ENGINE_EPOCH, vote.height, vote.round, _STEPS[vote.kind])
