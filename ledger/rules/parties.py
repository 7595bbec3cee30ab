"""Parties and what members attest about them (spec T1, T2)."""

from typing import Annotated, Literal

from msgspec import Meta

from ledger.encoding.codec import Fen, Hash, Natural, PublicKey, Record, Slug, Text
from ledger.encoding.crypto import is_registrable_key
from ledger.rules.authority import KEYS, RegisteredKey
from ledger.rules.base import Context, Outcome
from ledger.rules.refusals import (
    KeyInvalid,
    KeyTaken,
    PartyExists,
    PartyUnknown,
    PartyWrongKind,
    RegistrationTagTaken,
    RolesNotForHolders,
    ThresholdInvalid,
    ValidityPassed,
)
from ledger.view import Draft, StateView, Table, get

KEYS_PER_PARTY_MAX = 64

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
Topic = Literal[
    "registered_in",
    "revenue_at_least",
    "research_project",
    "clean_record",
    "unrelated_to",
]


class PartyKey(Record, frozen=True):
    """A signing key of a party, the person who holds it and that person's roles."""

    key: PublicKey
    person: Slug
    roles: Annotated[tuple[Slug, ...], Meta(max_length=8)]


class Party(Record, frozen=True):
    """A legal person on the ledger. Vouchers belong to parties, never to keys."""

    id: Slug
    kind: PartyKind
    party_class: PartyClass
    name: Text
    region: Text
    """Administrative region code, six digits."""
    control_group: Text
    """Parties under one control share it; empty if none is known."""
    registration_tag: Annotated[tuple[Hash, ...], Meta(max_length=1)]
    """Keyed hash of the registration number; members have none."""
    tag_epoch: Natural
    """Which key made the tag."""
    keys: Annotated[tuple[PartyKey, ...], Meta(min_length=1, max_length=KEYS_PER_PARTY_MAX)]
    threshold: Natural
    """How many keys sign for the party where no role is asked."""
    status: Literal["active", "suspended", "removed"]
    enrolled_by: Annotated[tuple[Slug, ...], Meta(max_length=1)]
    """The city that enrolled a holder."""


PARTIES = Table("party", Party)


class TagOwner(Record, frozen=True):
    """Which party a registration tag belongs to."""

    party: Slug


REGISTRATION_TAGS = Table("registration-tag", TagOwner)
"""By the tag in hex."""


class Attestation(Record, frozen=True):
    """A member's statement about a party; programmes decide whom they trust."""

    attester: Slug
    subject: Slug
    topic: Topic
    about: Annotated[tuple[Slug, ...], Meta(max_length=1)]
    """The other party of an ``unrelated_to``; empty means every accredited centre."""
    text: Text
    """The region of a ``registered_in``, the name of a project, else empty."""
    amount: Fen
    """The revenue of a ``revenue_at_least``, else 0."""
    issued_ms: Natural
    valid_until_ms: Natural
    commitment: Annotated[tuple[Hash, ...], Meta(max_length=1)]
    """Salted hash of the document seen."""


ATTESTATIONS = Table("attestation", Attestation)
"""By subject, topic, attester: a member's newer statement replaces its older one."""


class Enrol(Record, frozen=True, tag="party.enrol"):
    """A city admits a holder (T1)."""

    city: Slug
    party: Slug
    holder_class: HolderClass
    name: Text
    region: Text
    control_group: Text
    registration_tag: Hash
    tag_epoch: Natural
    keys: Annotated[tuple[PartyKey, ...], Meta(min_length=1, max_length=KEYS_PER_PARTY_MAX)]
    threshold: Natural


class Attest(Record, frozen=True, tag="attestation.issue"):
    """A member states a fact about a party (T2)."""

    attester: Slug
    subject: Slug
    topic: Topic
    about: Annotated[tuple[Slug, ...], Meta(max_length=1)]
    text: Text
    amount: Fen
    valid_until_ms: Natural
    commitment: Annotated[tuple[Hash, ...], Meta(max_length=1)]


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


def require_city(view: StateView, city_id: str) -> Party:
    """Return a city's treasury; raise PartyUnknown or PartyWrongKind."""
    city = party_of(view, city_id)
    if city.kind != "treasury" or city.party_class != "city":
        raise PartyWrongKind(party=city_id, kind=city.party_class or city.kind, expected="city")
    return city


def require_consent(context: Context, party: Party, role: str) -> None:
    """Raise unless the party signed: a treasury by two officers, others by their threshold."""
    if party.kind == "treasury":
        context.signers.require_officers(party.id, role)
    else:
        context.signers.require_threshold(party.id, party.threshold)


def apply_enrol(view: StateView, tx: Enrol, context: Context) -> Outcome:
    """Return the writes that admit a holder. Checks run in the order of T1."""
    require_city(view, tx.city)
    context.signers.require_officers(tx.city, "registrar")
    if get(view, PARTIES, tx.party) is not None:
        raise PartyExists(party=tx.party)
    owner = get(view, REGISTRATION_TAGS, tx.registration_tag.hex())
    if owner is not None:
        raise RegistrationTagTaken(party=owner.party)
    if not 1 <= tx.threshold <= len(tx.keys):
        raise ThresholdInvalid(threshold=tx.threshold, keys=len(tx.keys))
    draft = Draft(view)
    for key in tx.keys:
        if key.roles:
            raise RolesNotForHolders(person=key.person, roles=" ".join(key.roles))
        if get(draft, KEYS, key.key.hex()) is not None:
            raise KeyTaken(key=key.key.hex())
        if not is_registrable_key(key.key):
            raise KeyInvalid(key=key.key.hex())
        registered = RegisteredKey(party=tx.party, person=key.person, roles=())
        draft.put(KEYS, registered, key.key.hex())
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
    )
    draft.put(PARTIES, party, tx.party)
    draft.put(REGISTRATION_TAGS, TagOwner(party=tx.party), tx.registration_tag.hex())
    return Outcome(changes=draft.changes())


def apply_attest(view: StateView, tx: Attest, context: Context) -> Outcome:
    """Return the write that records a statement. Checks run in the order of T2."""
    attester = party_of(view, tx.attester)
    require_kind(attester, "treasury", "data_centre", "auditor")
    require_consent(context, attester, "registrar")
    party_of(view, tx.subject)
    for other in tx.about:
        party_of(view, other)
    if tx.valid_until_ms <= context.time_ms:
        raise ValidityPassed(until_ms=tx.valid_until_ms, time_ms=context.time_ms)
    attestation = Attestation(
        attester=tx.attester,
        subject=tx.subject,
        topic=tx.topic,
        about=tx.about,
        text=tx.text,
        amount=tx.amount,
        issued_ms=context.time_ms,
        valid_until_ms=tx.valid_until_ms,
        commitment=tx.commitment,
    )
    draft = Draft(view)
    draft.put(ATTESTATIONS, attestation, tx.subject, tx.topic, tx.attester)
    return Outcome(changes=draft.changes())
