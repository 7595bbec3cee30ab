"""Genesis: members, their keys and parameters, nothing else (spec G)."""

from typing import Annotated, Literal

from msgspec import Meta

from ledger.blocks import (
    BLOCK_BYTES_MAX,
    BLOCK_LAPSES_MAX,
    BLOCK_ROWS_MAX,
    BLOCK_TRANSACTIONS_MAX,
)
from ledger.encoding import codec
from ledger.encoding.codec import Natural, PublicKey, Record, Slug, Text
from ledger.encoding.crypto import is_registrable_key, tagged_hash
from ledger.rules.authority import CONFLICTING_ROLES, KEYS, TREASURY_ROLES, RegisteredKey
from ledger.rules.calendar import TIME_MAX_MS
from ledger.rules.parties import PARTIES, Party, PartyClass, PartyKey, PartyKind
from ledger.rules.programmes import CITIES, Cities
from ledger.view import Put, Table

GENESIS_BYTES_MAX = 60_000
MEMBERS_MAX = 256
TREASURY_PERSONS_MIN = 4


class ValidatorKeys(Record, frozen=True):
    """The four keys of a validating node, and its power."""

    consensus: PublicKey
    log: PublicKey
    cosigner: PublicKey
    link: PublicKey
    power: Annotated[int, Meta(ge=1, le=1_000_000)]


class Member(Record, frozen=True):
    """A treasury, data centre or auditor that is there from the start."""

    id: Slug
    kind: PartyKind
    party_class: PartyClass
    name: Text
    region: Text
    control_group: Text
    keys: Annotated[tuple[PartyKey, ...], Meta(min_length=1, max_length=64)]
    threshold: Natural
    validator: Annotated[tuple[ValidatorKeys, ...], Meta(max_length=1)]


class Parameters(Record, frozen=True):
    """What governance may change later, within the limits of B3.3. Times in ms."""

    expiry_ahead_max_ms: Natural
    """How far ahead a transaction's expiry may lie."""
    heartbeat_ms: Natural
    """How long the ledger stays silent when nothing is pending."""
    block_bytes_max: Annotated[int, Meta(ge=1, le=BLOCK_BYTES_MAX)]
    block_transactions_max: Annotated[int, Meta(ge=1, le=BLOCK_TRANSACTIONS_MAX)]
    block_rows_max: Annotated[int, Meta(ge=1, le=BLOCK_ROWS_MAX)]
    block_lapses_max: Annotated[int, Meta(ge=1, le=BLOCK_LAPSES_MAX)]
    """More postings than this would not fit into one log entry."""


class Genesis(Record, frozen=True):
    """Entry 0 of the log; its hash is the log id."""

    version: Literal[1]
    network: Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")]
    """Networks whose name starts with ``dev-`` are for trying things out."""
    time_ms: Natural
    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]
    parameters: Parameters


class ValidatorRecord(Record, frozen=True):
    """A validator of a set."""

    party: Slug
    keys: ValidatorKeys


class ValidatorSetRecord(Record, frozen=True):
    """The validators that act from a height on."""

    from_height: Natural
    validators: tuple[ValidatorRecord, ...]


class ValidatorSchedule(Record, frozen=True):
    """The sets in force and decided, by height."""

    sets: tuple[ValidatorSetRecord, ...]


PARAMETERS = Table("parameters", Parameters)
VALIDATORS = Table("validators", ValidatorSchedule)
"""Both have one record, under ``all``."""


class GenesisInvalid(ValueError):
    """The genesis cannot start a ledger; the sentence says what is wrong."""


def log_id_of(genesis: bytes) -> bytes:
    """Return the log id, which names this ledger for ever."""
    return tagged_hash("tallystick/genesis/v1", genesis)


def validators_hash(record: ValidatorSetRecord) -> bytes:
    """Return the hash of a set's members (not of the height from which it acts)."""
    return tagged_hash("tallystick/validators/v1", *map(codec.encode, record.validators))


def parameters_hash(parameters: Parameters) -> bytes:
    """Return the hash of the parameters in force."""
    return tagged_hash("tallystick/parameters/v1", codec.encode(parameters))


def parse_genesis(data: bytes) -> Genesis:
    """Return a genesis that can start a ledger; raise GenesisInvalid or NotCanonical."""
    genesis: Genesis = codec.decode(Genesis, data, GENESIS_BYTES_MAX)
    if genesis.time_ms > TIME_MAX_MS:
        raise GenesisInvalid(f"time {genesis.time_ms} is above {TIME_MAX_MS}")
    ids: dict[str, None] = {}
    keys: dict[bytes, None] = {}
    validators = 0
    for member in genesis.members:
        _check_member(member)
        if member.id in ids:
            raise GenesisInvalid(f"member {member.id} is named twice")
        ids[member.id] = None
        own = [key.key for key in member.keys]
        for validator in member.validator:
            validators += 1
            own += [validator.consensus, validator.log, validator.cosigner, validator.link]
        for key in own:
            if key in keys:
                raise GenesisInvalid(f"key {key.hex()} is named twice")
            if not is_registrable_key(key):
                raise GenesisInvalid(f"key {key.hex()} is not in the prime-order subgroup")
            keys[key] = None
    if validators == 0:
        raise GenesisInvalid("no member validates")
    return genesis


def _check_member(member: Member) -> None:
    codec.check_texts(member.name, member.region, member.control_group)
    persons: dict[str, None] = {}
    for key in member.keys:
        persons[key.person] = None
        for role in key.roles:
            if member.kind != "treasury" or role not in TREASURY_ROLES:
                raise GenesisInvalid(f"{member.id}: {role} is not a role of a {member.kind}")
    for person in persons:
        roles = [role for key in member.keys if key.person == person for role in key.roles]
        for one, other in CONFLICTING_ROLES:
            if one in roles and other in roles:
                raise GenesisInvalid(f"{member.id}: {person} holds both {one} and {other}")
    if member.kind == "holder":
        raise GenesisInvalid(f"{member.id}: holders are enrolled by a city, not by genesis")
    if member.kind == "treasury" and len(persons) < TREASURY_PERSONS_MIN:
        raise GenesisInvalid(f"{member.id}: a treasury names at least four persons")
    levels = ("city", "province", "district")
    if (member.kind == "treasury") != (member.party_class in levels) or (
        member.kind != "treasury" and member.party_class
    ):
        raise GenesisInvalid(f"{member.id}: class {member.party_class!r} of a {member.kind}")
    if not 1 <= member.threshold <= len(member.keys):
        raise GenesisInvalid(f"{member.id}: threshold {member.threshold} of {len(member.keys)}")
    if member.validator and member.kind != "data_centre" and member.party_class != "city":
        raise GenesisInvalid(f"{member.id}: only cities and data centres validate")


def genesis_changes(genesis: Genesis) -> tuple[Put, ...]:
    """Return the state that genesis makes, all of it at sequence number 0."""
    changes = [Put(PARAMETERS.key("all"), genesis.parameters)]
    validators = []
    cities = []
    for member in genesis.members:
        party = Party(
            id=member.id,
            kind=member.kind,
            party_class=member.party_class,
            name=member.name,
            region=member.region,
            control_group=member.control_group,
            registration_tag=(),
            tag_epoch=0,
            keys=member.keys,
            threshold=member.threshold,
            status="active",
            enrolled_by=(),
        )
        changes.append(Put(PARTIES.key(member.id), party))
        for key in member.keys:
            registered = RegisteredKey(party=member.id, person=key.person, roles=key.roles)
            changes.append(Put(KEYS.key(key.key.hex()), registered))
        for keys in member.validator:
            validators.append(ValidatorRecord(party=member.id, keys=keys))
        if member.party_class == "city":
            cities.append(member.id)
    first = ValidatorSetRecord(from_height=0, validators=tuple(validators))
    changes.append(Put(VALIDATORS.key("all"), ValidatorSchedule(sets=(first,))))
    changes.append(Put(CITIES.key("all"), Cities(ids=tuple(sorted(cities)))))
    return tuple(changes)


def validators_at(schedule: ValidatorSchedule, height: int) -> ValidatorSetRecord:
    """Return the set that acts at a height."""
    acting = schedule.sets[0]
    for candidate in schedule.sets:
        if candidate.from_height <= height:
            acting = candidate
    return acting
