"""What all data sets stand on: members and keys from names, signed acts, a ledger in process."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger.blocks import BlockInput
from ledger.encoding import codec, crypto
from ledger.encoding.codec import Record
from ledger.execute import Execution
from ledger.genesis import Genesis
from ledger.ledger import Ledger, Storage
from ledger.proofs import proven
from ledger.transactions import Body, seal, signing_bytes
from localnet.network import Plan, dev_proof, make_member, officer_seed, plain_parameters

NETWORK = "dev-datasets"
MASTER = crypto.tagged_hash("tallystick/dataset-master/v1")
"""All keys come from it: the same on every machine, and worthless outside of ``dev-`` networks."""
LIFE_MS = 3_600_000
"""How long an act in process may wait for its block."""
YUAN = 100

Who = tuple[str, str]
"""Party and person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """An operation and who signs it; by itself it has neither a ledger nor a time."""

    operation: Record
    signers: tuple[Who, ...]


def first_officers(treasury: str) -> tuple[Who, Who]:
    """Return the two who hold budget, registrar and review."""
    return (treasury, "officer-1"), (treasury, "officer-2")


def second_officers(treasury: str) -> tuple[Who, Who]:
    """Return the two who hold bank, mint and pay."""
    return (treasury, "officer-3"), (treasury, "officer-4")


class Signer:
    """Signs for whoever is asked, on one ledger."""

    def __init__(self, network: str, master: bytes, log_id: bytes) -> None:
        self._network = network
        self._master = master
        self._log_id = log_id
        self._prove = dev_proof(network, master)
        self._keys: dict[Who, tuple[bytes, bytes]] = {}

    def sign(self, act: Act, *, expires_at: int) -> bytes:
        """Return the envelope of an act; keys that it names are proven."""
        body = codec.encode(
            Body(
                version=1,
                log_id=self._log_id,
                expires_at=expires_at,
                operation=proven(act.operation, self._log_id, self._prove),
            )
        )
        message = signing_bytes(body)
        signatures = {}
        for who in act.signers:
            seed, key = self._seed_and_key(who)
            signatures[key] = crypto.sign(seed, message)
        return seal(body, signatures)

    def _seed_and_key(self, who: Who) -> tuple[bytes, bytes]:
        if who not in self._keys:
            seed = officer_seed(self._network, self._master, *who)
            self._keys[who] = seed, crypto.public_key(seed)
        return self._keys[who]


def public_key(party: str, person: str, *, network: str = NETWORK, master: bytes = MASTER) -> bytes:
    """Return a person's public key."""
    return crypto.public_key(officer_seed(network, master, party, person))


def genesis(plans: Sequence[Plan], *, time_ms: int, validators: Sequence[str]) -> bytes:
    """Return the genesis of a ledger in process."""
    return codec.encode(
        Genesis(
            version=1,
            network=NETWORK,
            time_ms=time_ms,
            members=tuple(
                make_member(NETWORK, MASTER, plan, validates=plan.party in validators)
                for plan in plans
            ),
            parameters=plain_parameters(60_000),
        )
    )


class InProcess:
    """A ledger without an engine: whoever holds it decides the blocks."""

    def __init__(self, storage: Storage, data: bytes) -> None:
        self.storage = storage
        self._ledger = Ledger(storage)
        head = self._ledger.begin(data)
        self._signer = Signer(NETWORK, MASTER, head.log_id)

    @property
    def time_ms(self) -> int:
        """Return the time of the last block."""
        return self._ledger.last().time_ms

    @property
    def height(self) -> int:
        """Return the height of the last block."""
        return self._ledger.last().height

    @property
    def record_hash(self) -> bytes:
        """Return the record hash after the last block."""
        return self._ledger.last().record_hash

    def block(self, acts: Iterable[Act], *, time_ms: int) -> Execution:
        """Sign, execute and commit a block."""
        raws = tuple(self._signer.sign(act, expires_at=time_ms + LIFE_MS) for act in acts)
        execution = self._ledger.execute(
            BlockInput(height=self.height + 1, time_ms=time_ms, transactions=raws)
        )
        self._ledger.commit(execution, b"")
        return execution

    def accept(self, acts: Iterable[Act], *, time_ms: int) -> Execution:
        """Commit a block of which every act must hold."""
        execution = self.block(acts, time_ms=time_ms)
        for position, result in enumerate(execution.results):
            assert result.refusal is None, f"act {position} of the block: {result.refusal!r}"
        return execution
