"""Who must have signed: four eyes at treasuries, thresholds elsewhere (spec R3)."""

from collections.abc import Callable

import msgspec

from ledger.encoding.codec import PublicKey, Record, Slug
from ledger.rules.refusals import (
    FourEyesMissing,
    PersonsMissing,
    SignatureMissing,
    SignatureWithdrawn,
)
from ledger.view import StateView, Table, get

FOUR_EYES = 2
"""Distinct persons that a treasury's act needs."""
TREASURY_ROLES = ("bank", "budget", "mint", "pay", "registrar", "review")
CONFLICTING_ROLES = (("budget", "mint"), ("pay", "review"))
"""Pairs that one person must not hold together."""


class RegisteredKey(Record, frozen=True):
    """Who signs with a key. A key belongs to one person of one party, for ever."""

    party: Slug
    person: Slug
    """The person's tag within the party; that two tags are two people is the party's word."""
    roles: tuple[str, ...]
    alive: bool
    """Dead keys never sign again, and nobody else may register them."""


KEYS = Table("key", RegisteredKey)
"""By the key in lower-case hex."""


def two_officers(_: str) -> int:
    """Return how many persons of a treasury sign where no parameter asks for more."""
    return FOUR_EYES


class Signers(msgspec.Struct, frozen=True):
    """The registered keys whose signatures a transaction carries."""

    keys: tuple[RegisteredKey, ...]
    officers_needed: Callable[[str], int] = two_officers
    """How many persons of a treasury this transaction needs: two, or more by parameter (R3.1)."""
    withdrawn: tuple[str, ...] = ()
    """Parties that took their signatures off it: none of ``keys`` is theirs (R3.10)."""
    transaction: str = ""
    """Its id in hex, for whoever is told of that."""
    asked: dict[str, None] = msgspec.field(default_factory=dict)
    """Treasuries whose officers the rule asked for."""
    consented: dict[str, None] = msgspec.field(default_factory=dict)
    """Parties whose consent the rule asked and got, in that order."""

    def persons(self, party: str, role: str | None = None) -> tuple[str, ...]:
        """Return the distinct persons of a party, holding a role if one is named."""
        persons: dict[str, None] = {}
        for key in self.keys:
            if key.party == party and (role is None or role in key.roles):
                persons[key.person] = None
        return tuple(persons)

    def require_officers(self, party: str, role: str) -> None:
        """Raise FourEyesMissing unless enough persons of a treasury signed in a role."""
        self._require_not_withdrawn(party)
        self.asked[party] = None
        signed, needed = len(self.persons(party, role)), self.officers_needed(party)
        if signed < needed:
            raise FourEyesMissing(party=party, role=role, needed=needed, signed=signed)
        self.consented[party] = None

    def has_threshold(self, party: str, threshold: int) -> bool:
        """Return whether enough keys of a party signed."""
        return self._signed(party) >= threshold

    def require_threshold(self, party: str, threshold: int) -> None:
        """Raise SignatureMissing unless enough keys of a party signed."""
        self._require_not_withdrawn(party)
        signed = self._signed(party)
        if signed < threshold:
            raise SignatureMissing(party=party, needed=threshold, signed=signed)
        self.consented[party] = None

    def _require_not_withdrawn(self, party: str) -> None:
        if party in self.withdrawn:
            raise SignatureWithdrawn(party=party, transaction=self.transaction)

    def require_persons(self, party: str, named: int) -> None:
        """Raise PersonsMissing unless two persons of a party signed, or all if it names fewer."""
        needed, signed = min(FOUR_EYES, named), len(self.persons(party))
        if signed < needed:
            raise PersonsMissing(party=party, needed=needed, signed=signed)
        self.consented[party] = None

    def _signed(self, party: str) -> int:
        """Return how many keys of a party signed."""
        return [key.party for key in self.keys].count(party)


def registered(view: StateView, key: PublicKey) -> RegisteredKey | None:
    """Return who signs with a key, or None if nobody does or the key is dead."""
    registered_key = get(view, KEYS, key.hex())
    return registered_key if registered_key is not None and registered_key.alive else None
