"""Genesis: members, their keys and parameters, nothing else (spec G)."""

from typing import Annotated, Literal

from msgspec import Meta

from ledger.encoding import codec
from ledger.encoding.codec import Natural, Record, only
from ledger.encoding.crypto import is_registrable_key, tagged_hash
from ledger.rules.calendar import TIME_MAX_MS
from ledger.rules.control import CONTROL, PARAMETERS, Control, Parameters, tag_keys_problem
from ledger.rules.governance import Member, admit, member_keys, member_problem
from ledger.rules.parties import CITIES, MEMBERS, RESERVED_ID, Ids
from ledger.rules.validators import (
    VALIDATORS,
    VALIDATORS_MAX,
    ValidatorRecord,
    ValidatorSchedule,
    ValidatorSetRecord,
)
from ledger.view import Draft, Nothing, Put

GENESIS_BYTES_MAX = 60_000
MEMBERS_MAX = 256


class Genesis(Record, frozen=True):
    """Entry 0 of the log; its hash is the log id."""

    version: Literal[1]
    network: Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")]
    """Networks whose name starts with ``dev-`` are for trying things out."""
    time_ms: Natural
    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]
    parameters: Parameters


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
    ids: dict[str, None] = {RESERVED_ID: None}
    keys: dict[bytes, None] = {}
    for member in genesis.members:
        codec.check_texts(member.name, member.region)
        problem = member_problem(member)
        if problem is not None:
            raise GenesisInvalid(problem)
        if member.id in ids:
            raise GenesisInvalid(f"member {member.id} is named twice")
        ids[member.id] = None
        for key in member_keys(member):
            if key in keys:
                raise GenesisInvalid(f"key {key.hex()} is named twice")
            if not is_registrable_key(key):
                raise GenesisInvalid(f"key {key.hex()} is not in the prime-order subgroup")
            keys[key] = None
    validators = sum(1 for member in genesis.members if member.validator)
    if not 1 <= validators <= VALIDATORS_MAX:
        raise GenesisInvalid(f"{validators} members validate, expected 1 to {VALIDATORS_MAX}")
    problem = tag_keys_problem(genesis.parameters.tag_keys)
    if problem is not None:
        raise GenesisInvalid(problem)
    return genesis


def genesis_changes(genesis: Genesis) -> tuple[Put, ...]:
    """Return the state that genesis makes, all of it at sequence number 0."""
    draft = Draft(Nothing())
    draft.put(PARAMETERS, genesis.parameters, "all")
    draft.put(CONTROL, Control(paused_since_ms=(), quiet=(0, 0), rules=(), engines=()), "all")
    draft.put(CITIES, Ids(ids=()), "all")
    draft.put(MEMBERS, Ids(ids=()), "all")
    validators = []
    for member in genesis.members:
        admit(draft, member)
        if (keys := only(member.validator)) is not None:
            validators.append(ValidatorRecord(party=member.id, keys=keys))
    first = ValidatorSetRecord(from_height=0, validators=tuple(validators))
    draft.put(VALIDATORS, ValidatorSchedule(sets=(first,)), "all")
    return draft.changes()
