"""Parties, their keys and their status; enrolment (spec T1, R3, R10)."""

from collections.abc import Iterable
from itertools import zip_longest
from typing import Annotated, Literal, Protocol

from msgspec import Meta

from ledger.encoding.codec import (
    AtMostOne,
    Hash,
    Natural,
    PublicKey,
    Record,
    Signature,
    Slug,
    Text,
    only,
)
from ledger.encoding.crypto import frame, is_registrable_key, proves_key
from ledger.rules import calendar
from ledger.rules.authority import CONFLICTING_ROLES, KEYS, TREASURY_ROLES, RegisteredKey
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.control import require_tag_epoch
from ledger.rules.refusals import (
    KeyInvalid,
    KeyProofWrong,
    KeysUnfit,
    KeyTaken,
    PartyExists,
    PartyNotActive,
    PartyUnknown,
    PartyWrongKind,
    RecoveryOpen,
    RegistrationTagTaken,
    RolesNotForHolders,
    ThresholdInvalid,
)
from ledger.view import Draft, StateView, Table, get

KEYS_PER_PARTY_MAX = 64
TREASURY_PERSONS_MIN = 4
KEYS_WAIT_MAX_MS = 14 * calendar.DAY_MS
"""After this long a recovery, or a member's key change, ends by itself (T10)."""
RESERVED_ID = "clearing"
"""No party's id: clearing cycles name themselves so."""

PartyKind = Literal["treasury", "data_centre", "holder", "auditor"]
PartyClass = Literal[
    "",
    "city",
    "province",
    "district",
    "start_up",
    "enterprise",
    "institute",
    "university",
    "maker",
]
"""Of a treasury its level, of a holder its class, else empty."""
HolderClass = Literal["start_up", "enterprise", "institute", "university", "maker"]
PartyStatus = Literal["active", "suspended", "removed"]


class PartyKey(Record, frozen=True):
    """A signing key of a party, the person who holds it and that person's roles."""

    key: PublicKey
    person: Slug
    roles: Annotated[tuple[Slug, ...], Meta(max_length=8)]


KeySet = Annotated[tuple[PartyKey, ...], Meta(min_length=1, max_length=KEYS_PER_PARTY_MAX)]
Proofs = Annotated[tuple[Signature, ...], Meta(max_length=KEYS_PER_PARTY_MAX + 4)]
"""Signatures by the keys that an operation names, in their order (R3.9)."""


class Party(Record, frozen=True):
    """A legal person on the ledger. Vouchers belong to parties, never to keys."""

    id: Slug
    kind: PartyKind
    party_class: PartyClass
    name: Text
    region: Text
    """Administrative region code, six digits."""
    control_group: AtMostOne[Hash]
    """Registration tag of the parent, if one is known; of a parent its own."""
    registration_tag: AtMostOne[Hash]
    """Keyed hash of the registration number; members have none."""
    tag_epoch: Natural
    """Which key made the tag."""
    keys: KeySet
    threshold: Natural
    """How many keys sign for the party where no role is asked."""
    status: PartyStatus
    enrolled_by: AtMostOne[Slug]
    """The city that enrolled a holder."""
    stopped_since_ms: AtMostOne[Natural]
    """When the recovery began that is open, or ended by itself (R10.3)."""
    stopped_ms: Natural
    """How long finished recoveries stopped the party, in ms together (R11.1)."""


PARTIES = Table("party", Party)


class KeyOwner(Record, frozen=True):
    """Which party a tag or a validator key belongs to."""

    party: Slug


REGISTRATION_TAGS = Table("registration-tag", KeyOwner)
"""By the tag in hex."""
VALIDATOR_KEYS = Table("validator-key", KeyOwner)
"""By the key in hex: the keys of validating nodes sign no transactions and stay theirs for ever."""


class AnnouncedKey(Record, frozen=True):
    """Whom a key is set aside for, and until when."""

    party: Slug
    until_ms: Natural


ANNOUNCED_KEYS = Table("announced-key", AnnouncedKey)
"""By the key in hex: keys that a recovery, a key change or a proposal names are set aside for its
party, so that nobody can take one while it waits (R3.6)."""


class Ids(Record, frozen=True):
    """Some parties' ids, in order."""

    ids: tuple[Slug, ...]


CITIES = Table("cities", Ids)
"""One record, under ``all``: cities that were not removed; whom a criterion trusts that names
nobody."""
MEMBERS = Table("members", Ids)
"""One record, under ``all``: treasuries and data centres that were not removed: who votes."""


class Enrol(Record, frozen=True, tag="party.enrol"):
    """A city admits a holder (T1)."""

    city: Slug
    party: Slug
    holder_class: HolderClass
    name: Text
    region: Text
    control_group: AtMostOne[Hash]
    registration_tag: Hash
    tag_epoch: Natural
    keys: KeySet
    threshold: Natural
    proofs: Proofs


class NewKeys(Protocol):
    """Whatever names new keys of a party."""

    @property
    def keys(self) -> KeySet:
        """Return the keys."""

    @property
    def threshold(self) -> int:
        """Return how many of them sign."""

    @property
    def proofs(self) -> tuple[bytes, ...]:
        """Return what shows that they are the party's."""


def party_of(view: StateView, party_id: str) -> Party:
    """Return a party; raise PartyUnknown."""
    party = get(view, PARTIES, party_id)
    if party is None:
        raise PartyUnknown(party=party_id)
    return party


def require_kind(party: Party, *kinds: PartyKind) -> None:
    """Raise PartyWrongKind unless the party is of one of the kinds."""
    if party.kind not in kinds:
        raise PartyWrongKind(party=party.id, kind=party.kind, expected=" or ".join(kinds))


def is_city(party: Party) -> bool:
    """Return whether a party is a city's treasury."""
    return party.kind == "treasury" and party.party_class == "city"


def require_city(view: StateView, city_id: str) -> Party:
    """Return a city's treasury; raise PartyUnknown or PartyWrongKind."""
    city = party_of(view, city_id)
    if not is_city(city):
        raise PartyWrongKind(party=city_id, kind=city.party_class or city.kind, expected="city")
    return city


def require_city_or_auditor(party: Party) -> None:
    """Raise PartyWrongKind unless the party is a city or an auditor."""
    if not is_city(party) and party.kind != "auditor":
        raise PartyWrongKind(
            party=party.id, kind=party.party_class or party.kind, expected="city or auditor"
        )


def require_active(party: Party) -> None:
    """Raise PartyNotActive if the party is suspended or removed (R10.2)."""
    if party.status != "active":
        raise PartyNotActive(party=party.id, status=party.status)


def is_stopped(party: Party, time_ms: int) -> bool:
    """Return whether an open recovery stops a party (R10.3)."""
    since_ms = only(party.stopped_since_ms)
    return since_ms is not None and time_ms < since_ms + KEYS_WAIT_MAX_MS


def require_free(party: Party, time_ms: int) -> None:
    """Raise RecoveryOpen while a recovery stops the party (R10.3)."""
    if is_stopped(party, time_ms):
        raise RecoveryOpen(party=party.id, opened_ms=party.stopped_since_ms[0])


def stopped_so_far(party: Party, time_ms: int) -> int:
    """Return how long recoveries have stopped a party until now, in ms (R10.3)."""
    since_ms = only(party.stopped_since_ms)
    if since_ms is None:
        return party.stopped_ms
    return party.stopped_ms + min(time_ms - since_ms, KEYS_WAIT_MAX_MS)


def require_consent(context: Context, party: Party, role: str) -> None:
    """Raise unless the party signed: a treasury by its officers, others by their threshold."""
    if party.kind == "treasury":
        context.signers.require_officers(party.id, role)
    else:
        context.signers.require_threshold(party.id, party.threshold)


def role_conflict(keys: KeySet) -> str | None:
    """Return what is wrong with the roles and persons of a treasury's keys, or None (R3.5)."""
    roles: dict[str, list[str]] = {}
    for key in keys:
        held = roles.setdefault(key.person, [])
        for role in key.roles:
            if role not in TREASURY_ROLES:
                return f"{role} is not a role"
            held.append(role)
    for person, held in roles.items():
        for first, second in CONFLICTING_ROLES:
            if first in held and second in held:
                return f"{person} holds both {first} and {second}"
    if len(roles) < TREASURY_PERSONS_MIN:
        return f"a treasury names at least {TREASURY_PERSONS_MIN} persons"
    return None


def require_keys_fit(
    view: StateView, party_id: str, kind: PartyKind, new: NewKeys, context: Context
) -> None:
    """Raise unless a party could sign with these keys (R3.5)."""
    keys = new.keys
    if not 1 <= new.threshold <= len(keys):
        raise ThresholdInvalid(threshold=new.threshold, keys=len(keys))
    if kind == "treasury":
        reason = role_conflict(keys)
        if reason is not None:
            raise KeysUnfit(reason=reason)
    named: dict[bytes, None] = {}
    for key in keys:
        if key.roles and kind != "treasury":
            raise RolesNotForHolders(person=key.person, roles=" ".join(key.roles))
        if key.key in named or not may_use(view, party_id, key, context.time_ms):
            raise KeyTaken(key=key.key.hex())
        named[key.key] = None
        if not is_registrable_key(key.key):
            raise KeyInvalid(key=key.key.hex())
    require_proven(party_id, [key.key for key in keys], new.proofs, context)


def proof_message(log_id: bytes, party_id: str, key: bytes) -> bytes:
    """Return what a key signs to show that it is a party's (R3.9)."""
    return frame("tallystick/key/v1", log_id, party_id.encode(), key)


def require_proven(
    party_id: str, keys: list[bytes], proofs: tuple[bytes, ...], context: Context
) -> None:
    """Raise KeyProofWrong unless each key signed that it is the party's (R3.9)."""
    for key, proof in zip_longest(keys, proofs, fillvalue=b""):
        if not proves_key(key, proof_message(context.log_id, party_id, key), proof):
            raise KeyProofWrong(key=key.hex())


def may_use(view: StateView, party_id: str, key: PartyKey, time_ms: int) -> bool:
    """Return whether a key is nobody's, or alive at this very party and person."""
    if get(view, VALIDATOR_KEYS, key.key.hex()) is not None:
        return False
    if announced_for_other(view, key.key, party_id, time_ms):
        return False
    user = get(view, KEYS, key.key.hex())
    return user is None or (user.alive and (user.party, user.person) == (party_id, key.person))


def announced_for_other(view: StateView, key: bytes, party_id: str, time_ms: int) -> bool:
    """Return whether a key is set aside for another party (R3.6)."""
    announced = get(view, ANNOUNCED_KEYS, key.hex())
    return announced is not None and announced.party != party_id and time_ms < announced.until_ms


def announce_keys(draft: Draft, party_id: str, keys: Iterable[bytes], until_ms: int) -> None:
    """Set keys aside for a party that will get them (R3.6)."""
    for key in keys:
        draft.put(ANNOUNCED_KEYS, AnnouncedKey(party=party_id, until_ms=until_ms), key.hex())


def put_keys(draft: Draft, party_id: str, old: tuple[PartyKey, ...], new: KeySet) -> None:
    """Register a party's new keys; those left out are dead for ever."""
    kept = {key.key: None for key in new}
    for key in old:
        if key.key not in kept:
            dead = RegisteredKey(party=party_id, person=key.person, roles=key.roles, alive=False)
            draft.put(KEYS, dead, key.key.hex())
    for key in new:
        alive = RegisteredKey(party=party_id, person=key.person, roles=key.roles, alive=True)
        draft.put(KEYS, alive, key.key.hex())


def apply_enrol(view: StateView, tx: Enrol, context: Context) -> Outcome:
    """Return the writes that admit a holder. Checks run in the order of T1."""
    city = require_city(view, tx.city)
    context.signers.require_officers(tx.city, "registrar")
    require_active(city)
    if tx.party == RESERVED_ID or get(view, PARTIES, tx.party) is not None:
        raise PartyExists(party=tx.party)
    require_tag_epoch(view, tx.tag_epoch)
    owner = get(view, REGISTRATION_TAGS, tx.registration_tag.hex())
    if owner is not None:
        raise RegistrationTagTaken(party=owner.party)
    require_keys_fit(view, tx.party, "holder", tx, context)
    draft = Draft(view)
    put_keys(draft, tx.party, (), tx.keys)
    party = Party(
        id=tx.party,
        kind="holder",
        party_class=tx.holder_class,
        name=tx.name,
        region=tx.region,
        control_group=tx.control_group,
        registration_tag=(tx.registration_tag,),
        tag_epoch=tx.tag_epoch,
        keys=tx.keys,
        threshold=tx.threshold,
        status="active",
        enrolled_by=(tx.city,),
        stopped_since_ms=(),
        stopped_ms=0,
    )
    draft.put(PARTIES, party, tx.party)
    draft.put(REGISTRATION_TAGS, KeyOwner(party=tx.party), tx.registration_tag.hex())
    return Outcome(changes=draft.changes())


ENROL = Kind(record=Enrol, apply=apply_enrol, rows=lambda tx: len(tx.keys))
