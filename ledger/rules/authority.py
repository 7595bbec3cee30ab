"""Who must have signed: four eyes at treasuries, thresholds elsewhere (spec R3)."""

import msgspec

from ledger.encoding.codec import PublicKey, Record, Slug
from ledger.rules.refusals import FourEyesMissing, PersonsMissing, SignatureMissing
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


class Signers(msgspec.Struct, frozen=True):
    """The registered keys whose signatures a transaction carries."""

    keys: tuple[RegisteredKey, ...]
    officers_needed: int = FOUR_EYES
    """How many persons of a treasury this transaction needs: two, or more by parameter (R3.1)."""

    def persons(self, party: str, role: str | None = None) -> tuple[str, ...]:
        """Return the distinct persons of a party, holding a role if one is named."""
        persons: dict[str, None] = {}
        for key in self.keys:
            if key.party == party and (role is None or role in key.roles):
                persons[key.person] = None
        return tuple(persons)

    def require_officers(self, party: str, role: str) -> tuple[str, ...]:
        """Return the persons who signed in a role; raise FourEyesMissing if too few."""
        persons = self.persons(party, role)
        needed = self.officers_needed
        if len(persons) < needed:
            raise FourEyesMissing(party=party, role=role, needed=needed, signed=len(persons))
        return persons

    def everybody(self) -> tuple[str, ...]:
        """Return all who signed as ``party/person``, each once, in the order of their keys."""
        return tuple(dict.fromkeys(f"{key.party}/{key.person}" for key in self.keys))

    def has_threshold(self, party: str, threshold: int) -> bool:
        """Return whether enough keys of a party signed."""
        return self._signed(party) >= threshold

    def require_threshold(self, party: str, threshold: int) -> None:
        """Raise SignatureMissing unless enough keys of a party signed."""
        signed = self._signed(party)
        if signed < threshold:
            raise SignatureMissing(party=party, needed=threshold, signed=signed)

    def require_persons(self, party: str, named: int) -> None:
        """Raise PersonsMissing unless two persons of a party signed, or all if it names fewer."""
        needed, signed = min(FOUR_EYES, named), len(self.persons(party))
        if signed < needed:
            raise PersonsMissing(party=party, needed=needed, signed=signed)

    def _signed(self, party: str) -> int:
        """Return how many keys of a party signed."""
        return [key.party for key in self.keys].count(party)


def registered(view: StateView, key: PublicKey) -> RegisteredKey | None:
    """Return who signs with a key, or None if nobody does or the key is dead."""
    registered_key = get(view, KEYS, key.hex())
    return registered_key if registered_key is not None and registered_key.alive else None
