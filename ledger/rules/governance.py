"""Governance: members, what they propose and how they vote on it (spec T23, T24, R14)."""

from typing import Literal

import msgspec

from ledger.encoding.codec import AtMostOne, Hash, Natural, Record, Slug, Text, only
from ledger.encoding.crypto import is_registrable_key
from ledger.rules import calendar
from ledger.rules.authority import KEYS
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.control import (
    CONTROL,
    PARAMETERS,
    Control,
    EngineFrom,
    Parameters,
    RulesFrom,
    check_parameters,
    quiet_after,
)
from ledger.rules.parties import (
    CITIES,
    MEMBERS,
    PARTIES,
    RESERVED_ID,
    VALIDATOR_KEYS,
    Ids,
    KeySet,
    Party,
    PartyClass,
    PartyKind,
    PartyStatus,
    Proofs,
    announce_keys,
    announced_for_other,
    is_city,
    party_of,
    put_keys,
    require_active,
    require_consent,
    require_keys_fit,
    require_kind,
    require_proven,
    role_conflict,
)
from ledger.rules.recoveries import replace_keys
from ledger.rules.refusals import (
    ActionInvalid,
    KeyInvalid,
    KeyTaken,
    PartyExists,
    PartyWrongKind,
    ProposalClosed,
    ProposalsTooMany,
    ProposalUnknown,
    VoteRepeated,
)
from ledger.rules.successors import SUCCESSIONS, Succession, successor_of
from ledger.rules.validators import (
    VALIDATOR_LAG,
    ValidatorKeys,
    next_set,
    put_validator_keys,
    require_room,
    set_validator,
    validator_keys,
)
from ledger.view import Draft, StateView, Table, get, must

VOTING_MS = 14 * calendar.DAY_MS
OPEN_PROPOSALS_MAX = 4
"""Of one member."""


class Member(Record, frozen=True):
    """A treasury, data centre or auditor that joins."""

    id: Slug
    kind: PartyKind
    party_class: PartyClass
    name: Text
    region: Text
    control_group: AtMostOne[Hash]
    keys: KeySet
    threshold: Natural
    validator: AtMostOne[ValidatorKeys]


class Admit(Record, frozen=True, tag="admit"):
    """A new member."""

    member: Member
    proofs: Proofs


class SetStatus(Record, frozen=True, tag="status"):
    """A member is suspended, active again, or removed for ever."""

    party: Slug
    status: PartyStatus
    successor: AtMostOne[Slug]
    """Who takes its place while it is not active; a treasury is not removed without one."""


class SetValidator(Record, frozen=True, tag="validator"):
    """A member's validator keys and power, or none any more."""

    party: Slug
    validator: AtMostOne[ValidatorKeys]
    proofs: Proofs


class SetMemberKeys(Record, frozen=True, tag="keys"):
    """New keys for a member that lost its own."""

    party: Slug
    keys: KeySet
    threshold: Natural
    proofs: Proofs


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


PROPOSAL_COUNT = Table("proposal-count", ProposalCount, running_sum=True)
"""One record, under ``all``."""
PROPOSALS = Table("proposal", Proposal)
"""By number, nine digits."""


class OpenProposals(Record, frozen=True):
    """A member's newest proposal, and those before that were open then, oldest first."""

    numbers: tuple[Natural, ...]


OPEN_PROPOSALS = Table("open-proposals", OpenProposals)
"""By proposer."""


def proposal_key(number: int) -> str:
    """Return the key part of a proposal."""
    return f"{number:09d}"


def apply_propose(view: StateView, tx: Propose, context: Context) -> Outcome:
    """Return the writes of a proposal. Checks run in the order of T23."""
    _require_voter(view, tx.proposer, context)
    still_open = _open_proposals(view, tx.proposer, context.time_ms)
    if len(still_open) >= OPEN_PROPOSALS_MAX:
        raise ProposalsTooMany(
            party=tx.proposer, maximum=OPEN_PROPOSALS_MAX, from_ms=still_open[0].closes_ms
        )
    check_action(view, tx.action, context)
    draft = Draft(view)
    closes_ms = context.time_ms + VOTING_MS
    party, keys = keys_of_action(tx.action)
    announce_keys(draft, party, keys, closes_ms)
    counted = get(view, PROPOSAL_COUNT, "all")
    number = 1 if counted is None else counted.count + 1
    draft.put(PROPOSAL_COUNT, ProposalCount(count=number), "all")
    numbers = (*(proposal.number for proposal in still_open), number)
    draft.put(OPEN_PROPOSALS, OpenProposals(numbers=numbers), tx.proposer)
    proposal = Proposal(
        number=number,
        proposer=tx.proposer,
        action=tx.action,
        opened_ms=context.time_ms,
        closes_ms=closes_ms,
        yes=(tx.proposer,),
        no=(),
        status="open",
    )
    _put_and_count(draft, proposal, context)
    return Outcome(changes=draft.changes())


PROPOSE = Kind(
    record=Propose,
    apply=apply_propose,
    allowed_while_paused=True,
    rows=lambda tx: max(1, len(keys_of_action(tx.action)[1])),
)


def apply_vote(view: StateView, tx: Vote, context: Context) -> Outcome:
    """Return the writes of a vote. Checks run in the order of T24."""
    _require_voter(view, tx.voter, context)
    proposal = get(view, PROPOSALS, proposal_key(tx.proposal))
    if proposal is None:
        raise ProposalUnknown(proposal=tx.proposal)
    if not _is_open(proposal, context.time_ms):
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


VOTE = Kind(record=Vote, apply=apply_vote, allowed_while_paused=True)


def _is_open(proposal: Proposal, time_ms: int) -> bool:
    return proposal.status == "open" and time_ms < proposal.closes_ms


def _open_proposals(view: StateView, proposer: str, time_ms: int) -> list[Proposal]:
    """Return a member's proposals that are open, oldest first."""
    known = get(view, OPEN_PROPOSALS, proposer)
    numbers = () if known is None else known.numbers
    proposals = [must(view, PROPOSALS, proposal_key(number)) for number in numbers]
    return [proposal for proposal in proposals if _is_open(proposal, time_ms)]


def keys_of_action(action: Action) -> tuple[str, list[bytes]]:
    """Return for whom an action names keys, and which (R3.6)."""
    match action:
        case Admit(member=member):
            return member.id, member_keys(member)
        case SetValidator(party=party, validator=validators):
            return party, [key for validator in validators for key in validator_keys(validator)]
        case SetMemberKeys(party=party, keys=keys):
            return party, [key.key for key in keys]
    return "", []


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
        case Admit():
            _check_admission(view, action, context)
        case SetStatus():
            _check_status(view, action, context)
        case SetValidator():
            _check_validator(view, action, context)
        case SetMemberKeys(party=party_id):
            party = party_of(view, party_id)
            require_kind(party, "treasury", "data_centre", "auditor")
            require_keys_fit(view, party.id, party.kind, action, context)
        case SetParameters(parameters=parameters):
            check_parameters(view, parameters)
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
    if (validator := only(member.validator)) is not None:
        keys += validator_keys(validator)
    return keys


def _check_admission(view: StateView, action: Admit, context: Context) -> None:
    member = action.member
    if member.id == RESERVED_ID or get(view, PARTIES, member.id) is not None:
        raise PartyExists(party=member.id)
    problem = member_problem(member)
    if problem is not None:
        raise ActionInvalid(reason=problem)
    _require_new_keys(view, member_keys(member), action.proofs, context, owner=member.id)
    if member.validator:
        require_room(next_set(view, context, member.id, member.validator))


def _require_new_keys(
    view: StateView, keys: list[bytes], proofs: tuple[bytes, ...], context: Context, *, owner: str
) -> None:
    """Raise unless each key is nobody's, or ``owner``'s as a validator, registrable and proven."""
    named: dict[bytes, None] = {}
    for key in keys:
        held = get(view, VALIDATOR_KEYS, key.hex())
        taken = get(view, KEYS, key.hex()) is not None or (held is not None and held.party != owner)
        if key in named or taken or announced_for_other(view, key, owner, context.time_ms):
            raise KeyTaken(key=key.hex())
        named[key] = None
        if not is_registrable_key(key):
            raise KeyInvalid(key=key.hex())
    require_proven(owner, keys, proofs, context)


def _check_status(view: StateView, action: SetStatus, context: Context) -> None:
    party = party_of(view, action.party)
    require_kind(party, "treasury", "data_centre", "auditor")
    if party.status == "removed" and action.status != "removed":
        raise ActionInvalid(reason=f"{party.id} was removed for ever")
    same_successor = action.successor == successor_of(view, party.id)
    if party.status == action.status and same_successor:
        raise ActionInvalid(reason=f"{party.id} is {party.status} already")
    _check_successor(view, party, action)
    if action.status != "active":
        require_room(next_set(view, context, party.id, ()))


def _check_successor(view: StateView, party: Party, action: SetStatus) -> None:
    """Raise unless somebody fit takes the place of a member that goes, where one is needed."""
    successor_id = only(action.successor)
    if successor_id is None:
        if party.kind == "treasury" and action.status == "removed":
            raise ActionInvalid(reason=f"{party.id} is a treasury: its removal names a successor")
        return
    successor = party_of(view, successor_id)
    if action.status == "active":
        raise ActionInvalid(reason=f"{party.id} would be active: it has no successor")
    if successor.id == party.id:
        raise ActionInvalid(reason=f"{party.id} does not succeed itself")
    if (successor.kind, successor.party_class) != (party.kind, party.party_class):
        raise ActionInvalid(reason=f"{successor.id} is of another kind or class than {party.id}")
    if successor.status != "active":
        raise ActionInvalid(reason=f"{successor.id} is {successor.status}: it succeeds nobody")


def _check_validator(view: StateView, action: SetValidator, context: Context) -> None:
    party = party_of(view, action.party)
    if not is_city(party) and party.kind != "data_centre":
        raise PartyWrongKind(
            party=party.id,
            kind=party.party_class or party.kind,
            expected="city or data_centre",
        )
    require_active(party)
    _require_new_keys(view, keys_of_action(action)[1], action.proofs, context, owner=party.id)
    require_room(next_set(view, context, party.id, action.validator))


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
        case SetStatus(party=party_id, status=status, successor=successor):
            party = must(draft, PARTIES, party_id)
            draft.put(PARTIES, msgspec.structs.replace(party, status=status), party_id)
            draft.put(SUCCESSIONS, Succession(successor=successor), party_id)
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
    if (validator := only(member.validator)) is not None:
        put_validator_keys(draft, member.id, validator)
    if member.kind in ("treasury", "data_centre"):
        _change_ids(draft, MEMBERS, with_=member.id)
    if is_city(party):
        _change_ids(draft, CITIES, with_=member.id)


def _change_ids(draft: Draft, table: Table[Ids], *, with_: str = "", without: str = "") -> None:
    record = get(draft, table, "all")
    ids = [] if record is None else [id_ for id_ in record.ids if id_ != without]
    if with_:
        ids.append(with_)
    draft.put(table, Ids(ids=tuple(sorted(ids))), "all")
