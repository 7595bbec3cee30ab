"""``tally governance``: what members ask each other, and how they answer."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import click
import msgspec

from desk.description import describe, record_from
from desk.documents import Json
from ledger.rules.control import OfficersRule, Parameters, TagKey
from ledger.rules.governance import (
    Action,
    Admit,
    Member,
    Pause,
    Propose,
    Resume,
    SetMemberKeys,
    SetParameters,
    SetRulesVersion,
    SetStatus,
    SetValidator,
    SwitchEngine,
    Vote,
)
from ledger.rules.parties import PartyStatus
from ledger.rules.validators import ValidatorKeys
from tally.exits import UsageError
from tally.output import emit, parse_yuan
from wallet.commands.session import Desk, Session, emit_outcome, reading, shown_times, writing
from wallet.commands.typed import (
    HASH,
    PARTY,
    PERSONS,
    THRESHOLD,
    party_keys,
    read_object,
    split_pair,
)

LISTED = ("number", "proposer", "kind", "yes", "no", "status", "closes")
MEMBERS = ("id", "kind", "party_class", "name", "status")
VALIDATORS = ("party", "power", "consensus")
LISTS = ("officers", "tag_keys")
"""Parameters that are no number."""
FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
Command = Callable[..., None]


@click.group()
def group() -> None:
    """Propose, vote, and see how the members are organised."""


@group.group()
def propose() -> None:
    """Ask the members. Two registrars of a treasury sign, or the data centre."""


def proposing(function: Callable[..., Action]) -> Command:
    """Make a command of what returns an action: it is proposed."""

    @writing
    @click.option("--by", required=True, help="The member that proposes.")
    @functools.wraps(function)
    def command(*, by: str, desk: Desk, **rest: Any) -> None:
        action = function(desk=desk, **rest)
        document = desk.act(Propose(proposer=by, action=action))
        if document is not None:
            like = {"proposer": by, "action": describe(action)}
            number = desk.made("/v1/governance/proposals", like, id_="number")
            emit_outcome(document, proposal=number)

    return command


@propose.command()
@FILE
@proposing
def admit(*, file: Path, desk: Desk) -> Admit:
    """Admit the member in a JSON or TOML file, with its fields as in genesis and `proofs`.

    Proofs are those of its keys (the part after the dot of `tally wallet prove`), then those of its
    node's keys (`tally node keys prove`).
    """
    stated = read_object(file)
    proofs = _proofs(stated)
    empty = {"control_group": None, "party_class": "", "validator": None}
    return Admit(member=record_from(Member, {**empty, **stated}), proofs=proofs)


def _proofs(stated: Json) -> tuple[bytes, ...]:
    """Take the proofs out of what a file states; raise UsageError."""
    texts = stated.pop("proofs", [])
    try:
        return tuple(bytes.fromhex(text) for text in texts)
    except (TypeError, ValueError):
        raise UsageError("proofs: expected a list of signatures in hex") from None


@propose.command()
@click.argument("party", type=PARTY)
@click.argument("status", type=click.Choice(get_args(PartyStatus)))
@click.option("--successor", type=PARTY, help="Who takes its place; a treasury needs one to go.")
@proposing
def status(*, party: str, status: PartyStatus, successor: str | None, desk: Desk) -> SetStatus:
    """Suspend a member, make it active again, or remove it for ever."""
    return SetStatus(
        party=party, status=status, successor=() if successor is None else (successor,)
    )


@propose.command()
@click.argument("party", type=PARTY)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON or TOML with what `tally node keys prove` shows, and the power.",
)
@click.option("--none", "stops", is_flag=True, help="It validates no longer.")
@proposing
def validator(*, party: str, file: Path | None, stops: bool, desk: Desk) -> SetValidator:
    """Give a member's node new keys or power, or end its part."""
    if (file is None) != stops:
        raise UsageError("give either --file or --none")
    if file is None:
        return SetValidator(party=party, validator=(), proofs=())
    stated = read_object(file)
    proofs = _proofs(stated)
    return SetValidator(party=party, validator=(record_from(ValidatorKeys, stated),), proofs=proofs)


@propose.command()
@click.argument("party", type=PARTY)
@PERSONS
@THRESHOLD
@proposing
def keys(*, party: str, persons: tuple[str, ...], threshold: int, desk: Desk) -> SetMemberKeys:
    """Give a member that lost its keys new ones."""
    new = party_keys(desk.profile, party, persons, desk.passphrase_fd)
    return SetMemberKeys(party=party, keys=new.keys, threshold=threshold, proofs=new.proofs)


@propose.command()
@click.option("--set", "changes", multiple=True, help="name=number; times in ms.")
@click.option(
    "--officers",
    multiple=True,
    help="kind=yuan:persons: so many must sign from so much on. Replaces all such rules.",
)
@click.option("--no-officers", is_flag=True, help="Drop all such rules: two are enough.")
@click.option("--tag-key", "new_keys", multiple=True, help="epoch=check value, of a new tag key.")
@click.option(
    "--end-tag-epoch", "ended", type=click.IntRange(0), multiple=True, help="No longer in force."
)
@proposing
def parameters(
    *,
    changes: tuple[str, ...],
    officers: tuple[str, ...],
    no_officers: bool,
    new_keys: tuple[str, ...],
    ended: tuple[int, ...],
    desk: Desk,
) -> SetParameters:
    """Change parameters; those not named stay as they are."""
    if officers and no_officers:
        raise UsageError("give --officers or --no-officers, not both")
    now = _parameters(desk)
    known = [name for name in Parameters.__struct_fields__ if name not in LISTS]
    changed: dict[str, Any] = {}
    for text in changes:
        name, value = split_pair(text, "name=number")
        if name not in known or not value.isdecimal():
            raise UsageError(f"{text!r}: write name=number; the names are {', '.join(known)}")
        changed[name] = int(value)
    if officers or no_officers:
        changed["officers"] = tuple(_officers_rule(text) for text in officers)
    if new_keys or ended:
        kept = [key for key in now.tag_keys if key.epoch not in ended]
        changed["tag_keys"] = (*kept, *(_tag_key(text) for text in new_keys))
    if not changed:
        raise UsageError("name what changes: --set name=number")
    return SetParameters(parameters=msgspec.structs.replace(now, **changed))


def _tag_key(text: str) -> TagKey:
    epoch, check_value = split_pair(text, "epoch=check value")
    if not epoch.isdecimal():
        raise UsageError(f"{text!r}: write epoch=check value")
    return TagKey(epoch=int(epoch), check_value=HASH.convert(check_value, None, None))


def _parameters(session: Session) -> Parameters:
    item = session.item("/v1/governance/parameters")
    return record_from(Parameters, {name: item[name] for name in Parameters.__struct_fields__})


def _officers_rule(text: str) -> OfficersRule:
    kind, value = split_pair(text, "kind=yuan:persons")
    amount, _, persons = value.partition(":")
    if not persons.isdecimal():
        raise UsageError(f"{text!r}: write kind=yuan:persons")
    return OfficersRule(kind=kind, from_fen=parse_yuan(amount), persons=int(persons))


@propose.command(name="rules-version")
@click.argument("version", type=click.IntRange(1))
@click.option("--from-height", type=click.IntRange(1), required=True)
@proposing
def rules_version(*, version: int, from_height: int, desk: Desk) -> SetRulesVersion:
    """Apply another version of the rules from a height on."""
    return SetRulesVersion(version=version, from_height=from_height)


@propose.command(name="engine-switch")
@click.argument("engine", type=click.Choice(get_args(SwitchEngine.__annotations__["engine"])))
@click.option("--at-height", type=click.IntRange(1), required=True)
@proposing
def engine_switch(
    *, engine: Literal["builtin", "comet"], at_height: int, desk: Desk
) -> SwitchEngine:
    """Let another consensus engine decide from a height on."""
    return SwitchEngine(engine=engine, at_height=at_height)


@propose.command()
@proposing
def pause(*, desk: Desk) -> Pause:
    """Stop all but governance, keys, holds and anchors."""
    return Pause()


@propose.command()
@proposing
def resume(*, desk: Desk) -> Resume:
    """Let the ledger go on; nothing expires for 72 hours."""
    return Resume()


@group.command()
@click.argument("proposal", type=click.IntRange(1))
@click.option("--by", required=True, help="The member that answers.")
@click.option("--yes/--no", "approve", required=True, default=None)
@writing
def vote(proposal: int, *, by: str, approve: bool, desk: Desk) -> None:
    """Answer a proposal. Two registrars of a treasury sign, or the data centre."""
    operation = Vote(voter=by, proposal=proposal, approve=approve)
    document = desk.act(operation)
    if document is not None:
        now = desk.after(f"/v1/governance/proposals/{proposal}").get("status")
        emit_outcome(document, proposal=proposal, approve=approve, proposal_status=now)


@group.command(name="list")
@click.option("--status", type=click.Choice(["open", "adopted", "over"]))
@reading
def list_(*, status: str | None, session: Session) -> None:
    """List proposals and how they stand."""
    items = session.nodes.items("/v1/governance/proposals", status=status)
    rows = [_shown(item) for item in items]
    emit([{**row, "kind": row["action"]["kind"]} for row in rows], LISTED)


@group.command()
@click.argument("proposal", type=click.IntRange(1))
@reading
def show(proposal: int, *, session: Session) -> None:
    """Show a proposal and who answered how."""
    emit(_shown(session.item(f"/v1/governance/proposals/{proposal}")))


def _shown(item: Json) -> Json:
    return shown_times(item, "opened", "closes")


@group.command()
@reading
def validators(*, session: Session) -> None:
    """List whose nodes decide the next block, with their keys and power."""
    rows = [{**item, **item.get("keys", {})} for item in session.nodes.items("/v1/validators")]
    emit(rows, VALIDATORS)


@group.command()
@reading
def members(*, session: Session) -> None:
    """List the members who vote."""
    emit(session.nodes.items("/v1/governance/members"), MEMBERS)


@group.command(name="parameters")
@reading
def show_parameters(*, session: Session) -> None:
    """Show the parameters in force."""
    item = session.item("/v1/governance/parameters")
    emit({**item, "officers": [_rule_shown(rule) for rule in item["officers"]]})


def _rule_shown(rule: Json) -> Json:
    return {"kind": rule["kind"], "amount_fen": rule["from_fen"], "persons": rule["persons"]}


@group.command()
@reading
def control(*, session: Session) -> None:
    """Show whether the ledger is paused, and which rules and engines hold from when."""
    item = session.item("/v1/governance/control")
    start_ms, until_ms = item["quiet"]  # zeros: there was no pause yet
    quiet = {"quiet_from_ms": start_ms or None, "quiet_until_ms": until_ms or None}
    emit(shown_times({**item, **quiet}, "paused_since", "quiet_from", "quiet_until"))
