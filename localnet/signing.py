"""Signs transactions with the derived keys of a local network."""

import time
from dataclasses import dataclass

from ledger.encoding import codec, crypto
from ledger.encoding.codec import Record
from ledger.proofs import proven
from ledger.transactions import Body, kind_of, seal, signing_bytes, transaction_id
from localnet.network import LocalNetwork, dev_proof, officer_seed

LIFE_MS = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A transaction ready to be sent."""

    raw: bytes
    id: str
    kind: str


class DevSigner:
    """Whoever is asked for signs: on a dev network all keys come from one seed."""

    def __init__(self, network: LocalNetwork) -> None:
        self._network = network
        self._master = network.master
        self._prove = dev_proof(network.name, network.master)
        self._seeds: dict[tuple[str, str], tuple[bytes, bytes]] = {}

    def sign(self, operation: Record, *signers: tuple[str, str], life_ms: int = LIFE_MS) -> Signed:
        """Return an operation signed by (party, person) pairs; keys that it names are proven."""
        operation = proven(operation, self._network.log_id, self._prove)
        body = codec.encode(
            Body(
                version=1,
                log_id=self._network.log_id,
                expires_at=time.time_ns() // 1_000_000 + life_ms,
                operation=operation,
            )
        )
        message = signing_bytes(body)
        signatures = {}
        for who in signers:
            seed, key = self._keys(who)
            signatures[key] = crypto.sign(seed, message)
        return Signed(
            raw=seal(body, signatures), id=transaction_id(body).hex(), kind=kind_of(operation)
        )

    def public_key(self, party: str, person: str) -> bytes:
        """Return a person's public key."""
        return self._keys((party, person))[1]

    def _keys(self, who: tuple[str, str]) -> tuple[bytes, bytes]:
        if who not in self._seeds:
            seed = officer_seed(self._network.name, self._master, *who)
            self._seeds[who] = (seed, crypto.public_key(seed))
        return self._seeds[who]
