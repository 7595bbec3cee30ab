"""A ledger whose blocks carry commits as the built-in engine makes them, with real signatures."""

from dataclasses import dataclass, field

from consensus.certificate import Certificate
from consensus.messages import ValidatorKey, VoteKind, vote_sign_bytes
from engines.builtin import messages
from engines.builtin.messages import ENGINE_EPOCH, NO_BLOCK, Body, Header, StoredCommit
from ledger.blocks import BlockInput
from ledger.encoding import codec, crypto
from ledger.execute import Execution
from tests.builders import LOG_ID, NOON_MS, Chain, key, seed

VOTERS = ("shanghai", "guiyang", "guian-hub", "chengdu-aicc")
"""Who validates in the builders' genesis."""


def certify(header: Header) -> Certificate:
    """Return the certificate of three validators for a block."""
    block = messages.block_id(header)
    message = vote_sign_bytes(LOG_ID, header.epoch, VoteKind.PRECOMMIT, header.height, 0, (block,))
    signatures = sorted(
        (ValidatorKey(key(who, "consensus")), crypto.sign(seed(who, "consensus"), message))
        for who in VOTERS[:3]
    )
    return Certificate(height=header.height, round=0, block_id=block, signatures=tuple(signatures))


@dataclass
class DecidedChain:
    """A chain and the commits beside it."""

    chain: Chain = field(default_factory=Chain)
    commits: list[StoredCommit] = field(default_factory=list)

    def block(self, *transactions: bytes, after_ms: int = 1) -> Execution:
        """Decide a block of these transactions."""
        ledger = self.chain.ledger
        height = ledger.last().height + 1
        time_ms = max(NOON_MS, ledger.last().time_ms) + after_ms
        execution = ledger.execute(
            BlockInput(height=height, time_ms=time_ms, transactions=transactions)
        )
        previous = (self.commits[-1].certificate,) if self.commits else ()
        body = codec.encode(Body(transactions=transactions, evidence=(), previous=previous))
        header = Header(
            version=1,
            log_id=LOG_ID,
            epoch=ENGINE_EPOCH,
            height=height,
            time_ms=time_ms,
            proposer=key(VOTERS[0], "consensus"),
            parent=messages.block_id(self.commits[-1].header) if self.commits else NO_BLOCK,
            record_hash=execution.head.record_hash,
            body_hash=messages.body_hash(messages.chunk_hashes(messages.chunks_of(body))),
        )
        commit = StoredCommit(
            header=header, certificate=certify(header), previous=previous, evidence=()
        )
        ledger.commit(execution, codec.encode(commit))
        self.commits.append(commit)
        return execution
