"""What all data sets stand on: members and keys from names, signed acts, a ledger in process."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger.blocks import BlockInput, Limits
from ledger.devkeys import tag_key_of
from ledger.encoding import codec, crypto
from ledger.encoding.codec import Record
from ledger.execute import Execution
from ledger.genesis import Genesis
from ledger.ledger import Ledger, Storage
from ledger.proofs import proven
from ledger.rules.programmes import GiveConsent, Terms, terms_hash
from ledger.rules.refusals import TransactionRefused
from ledger.transactions import Body, parse, seal, signing_bytes
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


def consent(programme: str, version: int, terms: Terms, funder: str) -> Act:
    """Return a funder's consent to a version."""
    operation = GiveConsent(
        programme=programme, version=version, funder=funder, terms=terms_hash(terms)
    )
    return Act(operation=operation, signers=first_officers(funder))


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
            parameters=plain_parameters(60_000, tag_key_of(NETWORK, MASTER)),
        )
    )


@dataclass(frozen=True, slots=True)
class Attempted:
    """A block of what held of some acts."""

    execution: Execution
    raws: tuple[bytes, ...]
    """All acts as they were signed."""
    refusals: tuple[TransactionRefused | None, ...]
    """Why each is not in the block, None if it is."""

    @property
    def codes(self) -> list[str]:
        """Return what became of each act: ``ok`` or a refusal's code."""
        return ["ok" if one is None else one.code for one in self.refusals]


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

    def attempt(self, acts: Iterable[Act], *, time_ms: int) -> Attempted:
        """Sign acts and commit a block of those that hold; return what became of each."""
        raws = self._sign(acts, time_ms)
        refusals: dict[bytes, TransactionRefused] = {}
        self._ledger.propose(
            [parse(raw) for raw in raws],
            height=self.height + 1,
            time_ms=time_ms,
            limits=Limits(),
            on_refused=lambda transaction, refusal: refusals.update({transaction.raw: refusal}),
        )
        execution = self._commit(tuple(raw for raw in raws if raw not in refusals), time_ms)
        return Attempted(execution, raws, tuple(refusals.get(raw) for raw in raws))

    def block(self, acts: Iterable[Act], *, time_ms: int) -> Execution:
        """Sign, execute and commit a block; raise BlockRefused if an act of it is refused."""
        return self._commit(self._sign(acts, time_ms), time_ms)

    def _sign(self, acts: Iterable[Act], time_ms: int) -> tuple[bytes, ...]:
        return tuple(self._signer.sign(act, expires_at=time_ms + LIFE_MS) for act in acts)

    def _commit(self, raws: tuple[bytes, ...], time_ms: int) -> Execution:
        execution = self._ledger.execute(
            BlockInput(height=self.height + 1, time_ms=time_ms, transactions=raws)
        )
        self._ledger.commit(execution, b"")
        return execution
