"""Governance: members, validators, parameters, and what members decide (spec T23, T24, R14).

The records that genesis makes and governance changes live here too.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger.blocks import (
    BLOCK_BYTES_MAX,
    BLOCK_LAPSES_MAX,
    BLOCK_ROWS_MAX,
    BLOCK_TRANSACTIONS_MAX,
    RULES_VERSION,
)
from ledger.encoding.codec import Fen, Natural, PublicKey, Record, Slug, Text
from ledger.encoding.crypto import is_registrable_key
from ledger.rules import calendar
from ledger.rules.authority import KEYS
from ledger.rules.base import Context, Outcome
from ledger.rules.parties import (
    CITIES,
    MEMBERS,
    PARTIES,
    RESERVED_ID,
    VALIDATOR_KEYS,
    Ids,
    KeyOwner,
    KeySet,
    OptionalTime,
    Party,
    PartyClass,
    PartyKind,
    PartyStatus,
    announce_keys,
    announced_for_other,
    is_city,
    party_of,
    put_keys,
    require_active,
    require_consent,
    require_keys_fit,
    require_kind,
    role_conflict,
)
from ledger.rules.recoveries import replace_keys
from ledger.rules.refusals import (
    ActionInvalid,
    KeyInvalid,
    KeyTaken,
    LedgerPaused,
    PartyExists,
    PartyWrongKind,
    ProposalClosed,
    ProposalUnknown,
    VoteRepeated,
)
from ledger.view import Draft, StateView, Table, get, must

VALIDATORS_MAX = 128
VALIDATOR_LAG = 2
"""A change of validators in block H acts at H + 2."""
VOTING_MS = 14 * calendar.DAY_MS
QUIET_MS = 72 * 3_600_000
"""How long after a pause nothing lapses (R11.4)."""
OFFICER_RULES_MAX = 64
BLOCK_BYTES_MIN = 65_536
"""A block must be able to hold the largest mint."""
BLOCK_ROWS_MIN = 1_000
EXPIRY_AHEAD_MIN_MS = 60_000
HEARTBEAT_MIN_MS = 1_000
WHILE_PAUSED = (
    "governance.propose",
    "governance.vote",
    "party.set_keys",
    "hold.set",
    "hold.clear",
    "record.anchor",
)
"""Kinds that a pause does not stop (R10.1)."""


class ValidatorKeys(Record, frozen=True):
    """The four keys of a validating node, and its power."""

    consensus: PublicKey
    log: PublicKey
    cosigner: PublicKey
    link: PublicKey
    power: Annotated[int, Meta(ge=1, le=1_000_000)]


OptionalValidator = Annotated[tuple[ValidatorKeys, ...], Meta(max_length=1)]


class Member(Record, frozen=True):
    """A treasury, data centre or auditor that joins."""

    id: Slug
    kind: PartyKind
    party_class: PartyClass
    name: Text
    region: Text
    control_group: Text
    keys: KeySet
    threshold: Natural
    validator: OptionalValidator


class OfficersRule(Record, frozen=True):
    """A kind and amount for which two officers are not enough (R3.1)."""

    kind: Text
    from_fen: Fen
    persons: Annotated[int, Meta(ge=2, le=16)]


class Parameters(Record, frozen=True):
    """What governance may change, within the limits of B3.3 and R14.2. Times in ms."""

    expiry_ahead_max_ms: Natural
    """How far ahead a transaction's expiry may lie."""
    heartbeat_ms: Natural
    """How long the ledger stays silent when nothing is pending."""
    block_bytes_max: Annotated[int, Meta(ge=1, le=BLOCK_BYTES_MAX)]
    block_transactions_max: Annotated[int, Meta(ge=1, le=BLOCK_TRANSACTIONS_MAX)]
    block_rows_max: Annotated[int, Meta(ge=1, le=BLOCK_ROWS_MAX)]
    block_lapses_max: Annotated[int, Meta(ge=1, le=BLOCK_LAPSES_MAX)]
    """More postings than this would not fit into one log entry."""
    officers: Annotated[tuple[OfficersRule, ...], Meta(max_length=OFFICER_RULES_MAX)]


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


class RulesFrom(Record, frozen=True):
    """A rules version and the height from which it holds."""

    version: Natural
    from_height: Natural


class EngineFrom(Record, frozen=True):
    """A consensus engine and the height from which it decides."""

    engine: Literal["builtin", "comet"]
    at_height: Natural


class Control(Record, frozen=True):
    """What governance decided about the ledger as a whole."""

    paused_since_ms: OptionalTime
    quiet: tuple[Natural, Natural]
    """Start of the last pause, and until when nothing lapses after it; zeros at first (R11.4)."""
    rules: tuple[RulesFrom, ...]
    """By height; the first holds from the start."""
    engines: tuple[EngineFrom, ...]
    """By height; none until the first switch."""


class Admit(Record, frozen=True, tag="admit"):
    """A new member."""

    member: Member


class SetStatus(Record, frozen=True, tag="status"):
    """A member is suspended, active again, or removed for ever."""

    party: Slug
    status: PartyStatus


class SetValidator(Record, frozen=True, tag="validator"):
    """A member's validator keys and power, or none any more."""

    party: Slug
    validator: OptionalValidator


class SetMemberKeys(Record, frozen=True, tag="keys"):
    """New keys for a member that lost its own."""

    party: Slug
    keys: KeySet
    threshold: Natural


class SetParameters(Record, frozen=True, tag="parameters"):
    """All parameters anew."""

    parameters: Parameters


class SetRulesVersion(Record, frozen=True, tag="rules_version"):
    """Another version of the rules from a height on."""

    version: Natural
    from_height: Natural


class SwitchEngine(Record, frozen=True, tag="engine.switch"):
    """Another engine decides blocks from a height on."""

    engine: Literal["builtin", "comet"]
    at_height: Natural


class Pause(Record, frozen=True, tag="pause"):
    """The ledger stops all but governance and emergencies."""


class Resume(Record, frozen=True, tag="resume"):
    """The ledger goes on."""


Action = (
    Admit
    | SetStatus
    | SetValidator
    | SetMemberKeys
    | SetParameters
    | SetRulesVersion
    | SwitchEngine
    | Pause
    | Resume
)


class Propose(Record, frozen=True, tag="governance.propose"):
    """A member asks the others (T23)."""

    proposer: Slug
    action: Action


class Vote(Record, frozen=True, tag="governance.vote"):
    """A member answers (T24)."""

    voter: Slug
    proposal: Natural
    approve: bool


class Proposal(Record, frozen=True):
    """What members were asked and answered."""

    number: Natural
    proposer: Slug
    action: Action
    opened_ms: Natural
    closes_ms: Natural
    yes: tuple[Slug, ...]
    no: tuple[Slug, ...]
    status: Literal["open", "adopted"]
    """An open one whose time is over was not adopted."""


class ProposalCount(Record, frozen=True):
    """How many proposals there are."""

    count: Natural


PARAMETERS = Table("parameters", Parameters)
VALIDATORS = Table("validators", ValidatorSchedule)
CONTROL = Table("control", Control)
PROPOSAL_COUNT = Table("proposal-count", ProposalCount)
"""These four have one record, under ``all``."""
PROPOSALS = Table("proposal", Proposal)
"""By number, nine digits."""


def proposal_key(number: int) -> str:
    """Return the key part of a proposal."""
    return f"{number:09d}"


def require_not_paused(control: Control, kind: str) -> None:
    """Raise LedgerPaused unless a kind may be applied now (R10.1)."""
    for since_ms in control.paused_since_ms:
        if kind not in WHILE_PAUSED:
            raise LedgerPaused(since_ms=since_ms)


def lapses_run(control: Control, time_ms: int) -> bool:
    """Return whether things lapse at a time: not in a pause, and not for a while after (R8.1)."""
    return not control.paused_since_ms and time_ms >= control.quiet[1]


def quiet_after(control: Control, time_ms: int) -> tuple[int, int]:
    """Return the quiet time when a pause ends now (R11.4).

    A pause that began in the quiet time of the one before prolongs it.
    """
    (paused_ms,), (from_ms, until_ms) = control.paused_since_ms, control.quiet
    return (from_ms if paused_ms < until_ms else paused_ms, time_ms + QUIET_MS)


def rules_version_at(control: Control, height: int) -> int:
    """Return the rules version that holds at a height."""
    acting = RULES_VERSION
    for rules in control.rules:
        if rules.from_height <= height:
            acting = rules.version
    return acting


def engine_at(control: Control, height: int) -> str:
    """Return the engine that decides a height; before any switch whichever began."""
    acting = ""
    for engine in control.engines:
        if engine.at_height <= height:
            acting = engine.engine
    return acting


def validators_at(schedule: ValidatorSchedule, height: int) -> ValidatorSetRecord:
    """Return the set that acts at a height."""
    acting = schedule.sets[0]
    for candidate in schedule.sets:
        if candidate.from_height <= height:
            acting = candidate
    return acting


def apply_propose(view: StateView, tx: Propose, context: Context) -> Outcome:
    """Return the writes of a proposal. Checks run in the order of T23."""
    _require_voter(view, tx.proposer, context)
    check_action(view, tx.action, context)
    draft = Draft(view)
    _announce_keys(draft, tx.action)
    counted = get(view, PROPOSAL_COUNT, "all")
    number = 1 if counted is None else counted.count + 1
    draft.put(PROPOSAL_COUNT, ProposalCount(count=number), "all")
    proposal = Proposal(
        number=number,
        proposer=tx.proposer,
        action=tx.action,
        opened_ms=context.time_ms,
        closes_ms=context.time_ms + VOTING_MS,
        yes=(tx.proposer,),
        no=(),
        status="open",
    )
    _put_and_count(draft, proposal, context)
    return Outcome(changes=draft.changes())


def apply_vote(view: StateView, tx: Vote, context: Context) -> Outcome:
    """Return the writes of a vote. Checks run in the order of T24."""
    _require_voter(view, tx.voter, context)
    proposal = get(view, PROPOSALS, proposal_key(tx.proposal))
    if proposal is None:
        raise ProposalUnknown(proposal=tx.proposal)
    if proposal.status != "open" or context.time_ms >= proposal.closes_ms:
        status = "adopted" if proposal.status == "adopted" else "over"
        raise ProposalClosed(proposal=proposal.number, status=status)
    if tx.voter in proposal.yes + proposal.no:
        raise VoteRepeated(party=tx.voter, proposal=proposal.number)
    draft = Draft(view)
    if tx.approve:
        voted = msgspec.structs.replace(proposal, yes=(*proposal.yes, tx.voter))
        _put_and_count(draft, voted, context)
    else:
        voted = msgspec.structs.replace(proposal, no=(*proposal.no, tx.voter))
        draft.put(PROPOSALS, voted, proposal_key(proposal.number))
    return Outcome(changes=draft.changes())


def _announce_keys(draft: Draft, action: Action) -> None:
    """Set the keys that a proposal names aside while it waits (R3.6)."""
    match action:
        case Admit(member=member):
            announce_keys(draft, member.id, member_keys(member))
        case SetValidator(party=party, validator=validators):
            for validator in validators:
                announce_keys(draft, party, validator_keys(validator))
        case SetMemberKeys(party=party, keys=keys):
            announce_keys(draft, party, (key.key for key in keys))


def _require_voter(view: StateView, party_id: str, context: Context) -> None:
    party = party_of(view, party_id)
    require_kind(party, "treasury", "data_centre")
    require_consent(context, party, "registrar")
    require_active(party)


def _put_and_count(draft: Draft, proposal: Proposal, context: Context) -> None:
    """Write a proposal after a yes; adopt it if that suffices (R14.1)."""
    if _suffices(draft, proposal.yes):
        check_action(draft, proposal.action, context)
        _do(draft, proposal.action, context)
        proposal = msgspec.structs.replace(proposal, status="adopted")
    draft.put(PROPOSALS, proposal, proposal_key(proposal.number))


def _suffices(view: StateView, yes: tuple[str, ...]) -> bool:
    """Return whether more than two thirds of active cities and of active members said yes."""
    members = [must(view, PARTIES, member) for member in must(view, MEMBERS, "all").ids]
    active = [member for member in members if member.status == "active"]
    cities = [member for member in active if is_city(member)]
    return all(
        3 * sum(1 for member in group if member.id in yes) > 2 * len(group)
        for group in (active, cities)
    )


# What actions need (R14.2)


def check_action(view: StateView, action: Action, context: Context) -> None:
    """Raise unless an action could be done now (R14.2)."""
    control = must(view, CONTROL, "all")
    match action:
        case Admit(member=member):
            _check_admission(view, member, context)
        case SetStatus():
            _check_status(view, action, context)
        case SetValidator():
            _check_validator(view, action, context)
        case SetMemberKeys(party=party_id, keys=keys, threshold=threshold):
            party = party_of(view, party_id)
            require_kind(party, "treasury", "data_centre", "auditor")
            require_keys_fit(view, party.id, party.kind, keys, threshold)
        case SetParameters(parameters=parameters):
            _check_parameters(parameters)
        case SetRulesVersion(version=version, from_height=from_height):
            _require_ahead(from_height, context)
            last = control.rules[-1] if control.rules else RulesFrom(version=1, from_height=0)
            if version <= last.version:
                raise ActionInvalid(reason=f"version {version} is not above {last.version}")
            if from_height <= last.from_height:
                raise ActionInvalid(reason=f"height {from_height} is not above the last change's")
        case SwitchEngine(at_height=at_height):
            _require_ahead(at_height, context)
            if control.engines and at_height <= control.engines[-1].at_height:
                raise ActionInvalid(reason=f"height {at_height} is not above the last switch's")
        case Pause():
            if control.paused_since_ms:
                raise ActionInvalid(reason="the ledger is paused already")
        case Resume():
            if not control.paused_since_ms:
                raise ActionInvalid(reason="the ledger is not paused")


def member_problem(member: Member) -> str | None:
    """Return why a member is not fit to join, or None (G3)."""
    if member.kind == "holder":
        return f"{member.id}: holders are enrolled by a city"
    if member.kind == "treasury":
        conflict = role_conflict(member.keys)
        if conflict is not None:
            return f"{member.id}: {conflict}"
    elif any(key.roles for key in member.keys):
        return f"{member.id}: only a treasury's keys carry roles"
    levels = ("city", "province", "district")
    if member.kind == "treasury" and member.party_class not in levels:
        return f"{member.id}: class {member.party_class!r} of a treasury"
    if member.kind != "treasury" and member.party_class:
        return f"{member.id}: class {member.party_class!r} of a {member.kind}"
    if not 1 <= member.threshold <= len(member.keys):
        return f"{member.id}: threshold {member.threshold} of {len(member.keys)} keys"
    if member.validator and member.kind != "data_centre" and member.party_class != "city":
        return f"{member.id}: only cities and data centres validate"
    return None


def member_keys(member: Member) -> list[bytes]:
    """Return all keys that a member brings, signing keys first."""
    keys = [key.key for key in member.keys]
    for validator in member.validator:
        keys += validator_keys(validator)
    return keys


def validator_keys(validator: ValidatorKeys) -> list[bytes]:
    """Return the four keys of a validating node."""
    return [validator.consensus, validator.log, validator.cosigner, validator.link]


def _check_admission(view: StateView, member: Member, context: Context) -> None:
    if member.id == RESERVED_ID or get(view, PARTIES, member.id) is not None:
        raise PartyExists(party=member.id)
    problem = member_problem(member)
    if problem is not None:
        raise ActionInvalid(reason=problem)
    _require_new_keys(view, member_keys(member), owner=member.id)
    if member.validator:
        _require_room(_next_set(view, context, member.id, member.validator))


def _require_new_keys(view: StateView, keys: list[bytes], *, owner: str) -> None:
    """Raise unless each key is nobody's, or ``owner``'s as a validator, and registrable."""
    named: dict[bytes, None] = {}
    for key in keys:
        held = get(view, VALIDATOR_KEYS, key.hex())
        taken = get(view, KEYS, key.hex()) is not None or (held is not None and held.party != owner)
        if key in named or taken or announced_for_other(view, key, owner):
            raise KeyTaken(key=key.hex())
        named[key] = None
        if not is_registrable_key(key):
            raise KeyInvalid(key=key.hex())


def _check_status(view: StateView, action: SetStatus, context: Context) -> None:
    party = party_of(view, action.party)
    require_kind(party, "treasury", "data_centre", "auditor")
    if party.status == "removed":
        raise ActionInvalid(reason=f"{party.id} was removed for ever")
    if party.status == action.status:
        raise ActionInvalid(reason=f"{party.id} is {party.status} already")
    if action.status != "active":
        _require_room(_next_set(view, context, party.id, ()))


def _check_validator(view: StateView, action: SetValidator, context: Context) -> None:
    party = party_of(view, action.party)
    if not is_city(party) and party.kind != "data_centre":
        raise PartyWrongKind(
            party=party.id,
            kind=party.party_class or party.kind,
            expected="city or data_centre",
        )
    require_active(party)
    for validator in action.validator:
        _require_new_keys(view, validator_keys(validator), owner=party.id)
    _require_room(_next_set(view, context, party.id, action.validator))


def _require_room(validators: tuple[ValidatorRecord, ...]) -> None:
    if not 1 <= len(validators) <= VALIDATORS_MAX:
        raise ActionInvalid(
            reason=f"{len(validators)} validators would remain, expected 1 to {VALIDATORS_MAX}"
        )


def _check_parameters(parameters: Parameters) -> None:
    for name, least in (
        ("block_bytes_max", BLOCK_BYTES_MIN),
        ("block_rows_max", BLOCK_ROWS_MIN),
        ("expiry_ahead_max_ms", EXPIRY_AHEAD_MIN_MS),
        ("heartbeat_ms", HEARTBEAT_MIN_MS),
    ):
        value = getattr(parameters, name)
        if value < least:
            raise ActionInvalid(reason=f"{name} is {value}, expected at least {least}")
    for rule in parameters.officers:
        if rule.kind.startswith("governance."):  # else nobody could ever take it back
            raise ActionInvalid(reason="governance asks for two officers, whatever it is about")


def _require_ahead(height: int, context: Context) -> None:
    if height <= context.height + VALIDATOR_LAG:
        raise ActionInvalid(
            reason=f"height {height} is too near, expected above {context.height + VALIDATOR_LAG}"
        )


# What actions do (R14.2)


def _do(draft: Draft, action: Action, context: Context) -> None:
    control = must(draft, CONTROL, "all")
    match action:
        case Admit(member=member):
            admit(draft, member)
            if member.validator:
                set_validator(draft, member.id, member.validator, context)
        case SetStatus(party=party_id, status=status):
            party = must(draft, PARTIES, party_id)
            draft.put(PARTIES, msgspec.structs.replace(party, status=status), party_id)
            if status != "active":
                set_validator(draft, party_id, (), context)
            if status == "removed":
                for table in (CITIES, MEMBERS):
                    _change_ids(draft, table, without=party_id)
        case SetValidator(party=party_id, validator=validator):
            set_validator(draft, party_id, validator, context)
        case SetMemberKeys(party=party_id, keys=keys, threshold=threshold):
            replace_keys(draft, must(draft, PARTIES, party_id), keys, threshold)
        case SetParameters(parameters=parameters):
            draft.put(PARAMETERS, parameters, "all")
        case SetRulesVersion(version=version, from_height=from_height):
            change = RulesFrom(version=version, from_height=from_height)
            _put_control(draft, control, rules=(*control.rules, change))
        case SwitchEngine(engine=engine, at_height=at_height):
            switch = EngineFrom(engine=engine, at_height=at_height)
            _put_control(draft, control, engines=(*control.engines, switch))
        case Pause():
            _put_control(draft, control, paused_since_ms=(context.time_ms,))
        case Resume():
            quiet = quiet_after(control, context.time_ms)
            _put_control(draft, control, paused_since_ms=(), quiet=quiet)


def _put_control(draft: Draft, control: Control, **changes: object) -> None:
    draft.put(CONTROL, msgspec.structs.replace(control, **changes), "all")


def admit(draft: Draft, member: Member) -> None:
    """Write a new member, its keys, and its place among voters and cities."""
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
        stopped_since_ms=(),
        stopped_ms=0,
    )
    draft.put(PARTIES, party, member.id)
    put_keys(draft, member.id, (), member.keys)
    for validator in member.validator:
        _own_validator_keys(draft, member.id, validator)
    if member.kind in ("treasury", "data_centre"):
        _change_ids(draft, MEMBERS, with_=member.id)
    if is_city(party):
        _change_ids(draft, CITIES, with_=member.id)


def _own_validator_keys(draft: Draft, party: str, validator: ValidatorKeys) -> None:
    for key in validator_keys(validator):
        draft.put(VALIDATOR_KEYS, KeyOwner(party=party), key.hex())


def _change_ids(draft: Draft, table: Table[Ids], *, with_: str = "", without: str = "") -> None:
    found = get(draft, table, "all")
    ids = [] if found is None else [one for one in found.ids if one != without]
    if with_:
        ids.append(with_)
    draft.put(table, Ids(ids=tuple(sorted(ids))), "all")


def set_validator(draft: Draft, party: str, validator: OptionalValidator, context: Context) -> None:
    """Write the set that acts two heights on; sets that nobody asks for any more are dropped."""
    for keys in validator:
        _own_validator_keys(draft, party, keys)
    from_height = context.height + VALIDATOR_LAG
    changed = ValidatorSetRecord(
        from_height=from_height, validators=_next_set(draft, context, party, validator)
    )
    schedule = must(draft, VALIDATORS, "all")
    acting = validators_at(schedule, context.height)
    kept = [
        one
        for one in schedule.sets
        if acting.from_height <= one.from_height and one.from_height != from_height
    ]
    draft.put(VALIDATORS, ValidatorSchedule(sets=(*kept, changed)), "all")


def _next_set(
    view: StateView, context: Context, party: str, validator: OptionalValidator
) -> tuple[ValidatorRecord, ...]:
    """Return the validators two heights on with one party's replaced, in its old place."""
    schedule = must(view, VALIDATORS, "all")
    before = validators_at(schedule, context.height + VALIDATOR_LAG).validators
    new = tuple(ValidatorRecord(party=party, keys=keys) for keys in validator)
    if not any(one.party == party for one in before):
        return before + new
    found: list[ValidatorRecord] = []
    for one in before:
        found += new if one.party == party else [one]
    return tuple(found)
