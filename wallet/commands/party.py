"""``tally party``: who takes part, and what members attest about them."""

from pathlib import Path
from typing import get_args

import click

from desk.documents import Json
from ledger.rules.attestations import Attest, RevokeAttestation, Topic
from ledger.rules.calendar import DAY_MS
from ledger.rules.parties import KEYS_WAIT_MAX_MS, Enrol, HolderClass, PartyKind
from ledger.rules.recoveries import (
    RECOVERY_WAIT_MS,
    Announce,
    DecideKeys,
    ObjectToKeys,
    Recover,
    Rotate,
    SetKeys,
)
from tally.exits import UsageError
from tally.output import YUAN, emit
from wallet import signing
from wallet.commands.session import Desk, Session, in_fen, reading, shown_times, writing
from wallet.commands.typed import HASH, PARTY, PERSONS, THRESHOLD, Committed, committing, party_keys
from words.dates import moment

RECOVERIES = (
    *("party", "opened_by", "status", "opened", "objected", "decidable_from", "ends", "closed"),
)
COLUMNS = ("id", "kind", "party_class", "name", "region", "enrolled_by", "status")


@click.group()
def group() -> None:
    """Enrol parties, attest facts about them, and change or recover their keys."""


@group.command()
@click.argument("party", type=PARTY)
@click.option("--city", required=True, help="The city that enrols it.")
@click.option("--class", "holder_class", type=click.Choice(get_args(HolderClass)), required=True)
@click.option("--name", required=True, help="Its public name.")
@click.option("--region", required=True, help="Administrative region code.")
@click.option("--group", "control_group", default="", help="The control group it belongs to.")
@click.option("--registration", help="Its registration number; only a keyed tag is stored.")
@click.option("--registration-tag", type=HASH, help="The tag itself, made elsewhere.")
@click.option("--tag-key", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--tag-epoch", type=click.IntRange(0), default=1, show_default=True)
@PERSONS
@THRESHOLD
@writing
def enrol(
    party: str,
    *,
    city: str,
    holder_class: HolderClass,
    name: str,
    region: str,
    control_group: str,
    registration: str | None,
    registration_tag: bytes | None,
    tag_key: Path | None,
    tag_epoch: int,
    persons: tuple[str, ...],
    threshold: int,
    desk: Desk,
) -> None:
    """Admit a holder. Two registrars of the city sign."""
    if (registration is None) == (registration_tag is None):
        raise UsageError("give either --registration or --registration-tag")
    if registration is not None:
        key = signing.tag_key(desk.profile, tag_key)
        registration_tag = signing.keyed_tag(key, registration)
    assert registration_tag is not None, "one of the two was given"
    new = party_keys(desk.profile, party, persons, desk.passphrase_fd)
    operation = Enrol(
        city=city,
        party=party,
        holder_class=holder_class,
        name=name,
        region=region,
        control_group=control_group,
        registration_tag=registration_tag,
        tag_epoch=tag_epoch,
        keys=new.keys,
        threshold=threshold,
        proofs=new.proofs,
    )
    desk.carry_out(operation, party=party)


@group.command()
@click.argument("party", type=PARTY)
@PERSONS
@THRESHOLD
@writing
def keys(party: str, *, persons: tuple[str, ...], threshold: int, desk: Desk) -> None:
    """Replace a party's keys by these at once; keys left out are dead for ever.

    Two registrars of a treasury sign, and two officers of each role that gets other keys; elsewhere
    as many of the old keys as the threshold, of two persons if it is a member that names two. Who
    can't gather them announces the keys: see `announce`.
    """
    new = party_keys(desk.profile, party, persons, desk.passphrase_fd)
    act = Rotate(party=party, keys=new.keys, threshold=threshold, proofs=new.proofs)
    desk.carry_out(SetKeys(act=act), party=party)


@group.command()
@click.argument("party", type=PARTY)
@PERSONS
@THRESHOLD
@writing
def announce(party: str, *, persons: tuple[str, ...], threshold: int, desk: Desk) -> None:
    """Announce a member's new keys. Two registrars of a treasury sign, elsewhere the threshold.

    Whoever has one of its keys, or an auditor, has 72 hours to object: `recover object`. Then
    `recover decide` puts them in force.
    """
    new = party_keys(desk.profile, party, persons, desk.passphrase_fd)
    act = Announce(party=party, keys=new.keys, threshold=threshold, proofs=new.proofs)
    desk.carry_out(SetKeys(act=act), party=party)


@group.group()
def recover() -> None:
    """Give a holder new keys when its own are lost: open, object, decide.

    A member's announced keys are objected to and decided on here too.
    """


@recover.command(name="open")
@click.argument("party", type=PARTY)
@click.option("--city", help="The city that enrolled it (default: as the ledger says).")
@PERSONS
@THRESHOLD
@click.option("--second", help="Another city or an auditor that signs too.")
@committing("case", "the case")
@writing
def open_(
    party: str,
    *,
    city: str | None,
    second: str | None,
    persons: tuple[str, ...],
    threshold: int,
    case: Committed,
    desk: Desk,
) -> None:
    """Name the new keys; the holder stops at once. Two registrars of its city sign.

    The holder of the old keys has 72 hours to object. A recovery that nobody decides ends after 14
    days. After one that was not accepted the next opens 14 days later, and only with --second.
    """
    new = party_keys(desk.profile, party, persons, desk.passphrase_fd)
    act = Recover(
        city=city or _enrolled_by(desk, party),
        party=party,
        keys=new.keys,
        threshold=threshold,
        case=case.hash,
        second=() if second is None else (second,),
        proofs=new.proofs,
    )
    desk.carry_out(SetKeys(act=act), party=party, **case.salt)


@recover.command(name="object")
@click.argument("party", type=PARTY)
@click.option("--by", help="The auditor that objects to a member's keys (default: the party).")
@writing
def object_(party: str, *, by: str | None, desk: Desk) -> None:
    """Say no to new keys with one of the old ones: then they need a second opinion."""
    desk.carry_out(SetKeys(act=ObjectToKeys(party=party, by=by or party)), party=party)


@recover.command()
@click.argument("party", type=PARTY)
@click.option("--accept/--reject", required=True, default=None)
@click.option("--by", help="The city that enrolled a holder, or the member itself (default).")
@click.option("--second", help="Another city or an auditor that signs too.")
@writing
def decide(party: str, *, accept: bool, by: str | None, second: str | None, desk: Desk) -> None:
    """Put the new keys in force, or give them up. Two registrars of the city or treasury sign.

    After an objection only with --second, whose registrars sign too.
    """
    act = DecideKeys(
        by=by or desk.item(f"/v1/parties/{party}")["enrolled_by"] or party,
        party=party,
        accept=accept,
        second=() if second is None else (second,),
    )
    desk.carry_out(SetKeys(act=act), party=party, accepted=accept)


@recover.command(name="list")
@click.option("--status", type=click.Choice(["open", "accepted", "rejected", "over"]))
@reading
def list_recoveries(*, status: str | None, session: Session) -> None:
    """List the newest recovery or key change of each party; over: it ended by itself."""
    items = session.nodes.items("/v1/recoveries", status=status)
    emit([_shown_recovery(item) for item in items], RECOVERIES)


def _enrolled_by(session: Session, party: str) -> str:
    city = session.item(f"/v1/parties/{party}")["enrolled_by"]
    if city is None:
        raise UsageError(f"{party} was enrolled by no city; members announce keys or propose them")
    return str(city)


@group.command()
@click.argument("subject", type=PARTY)
@click.option("--by", "attester", required=True, help="The member that states it.")
@click.option("--topic", type=click.Choice(get_args(Topic)), required=True)
@click.option("--text", default="", help="The region, or the project's name.")
@click.option("--amount", type=YUAN, default=0, help="The revenue, in yuan.")
@click.option("--about", help="The other party of an unrelated_to.")
@click.option("--valid-days", type=click.IntRange(1, 3660), default=365, show_default=True)
@committing("commitment", "the document seen", file="--document", required=False)
@writing
def attest(
    subject: str,
    *,
    attester: str,
    topic: Topic,
    text: str,
    amount: int,
    about: str | None,
    valid_days: int,
    commitment: Committed | None,
    desk: Desk,
) -> None:
    """State a fact about a party. Programmes decide whom they trust.

    registered_in needs --text (the region), research_project --text (its name) and
    revenue_at_least --amount. A newer statement replaces an older one on the same topic.
    """
    # An empty statement is legal on the ledger, and would silently replace a good one.
    if topic in ("registered_in", "research_project") and not text.strip():
        raise UsageError(f"--topic {topic} needs --text")
    if topic == "revenue_at_least" and not amount:
        raise UsageError(f"--topic {topic} needs --amount")
    operation = Attest(
        attester=attester,
        subject=subject,
        topic=topic,
        about=() if about is None else (about,),
        text=text,
        amount=amount,
        valid_until_ms=signing.now_ms() + valid_days * DAY_MS,
        commitment=() if commitment is None else (commitment.hash,),
    )
    salt = {} if commitment is None else commitment.salt
    desk.carry_out(operation, subject=subject, topic=topic, **salt)


@group.command(name="revoke-attestation")
@click.argument("subject", type=PARTY)
@click.option("--by", "attester", required=True, help="The member that stated it.")
@click.option("--topic", type=click.Choice(get_args(Topic)), required=True)
@click.option("--about", help="The other party of an unrelated_to.")
@writing
def revoke_attestation(
    subject: str, *, attester: str, topic: Topic, about: str | None, desk: Desk
) -> None:
    """Take a statement back; what rested on it stays."""
    operation = RevokeAttestation(
        attester=attester,
        subject=subject,
        topic=topic,
        about=() if about is None else (about,),
    )
    desk.carry_out(operation, subject=subject, topic=topic)


@group.command(name="list")
@click.option("--kind", type=click.Choice(get_args(PartyKind)))
@reading
def list_(*, kind: str | None, session: Session) -> None:
    """List parties."""
    emit(session.nodes.items("/v1/parties", kind=kind), COLUMNS)


@group.command()
@click.argument("party", type=PARTY)
@reading
def show(party: str, *, session: Session) -> None:
    """Show a party, an open recovery or change of its keys, and what is attested about it."""
    item = session.item(f"/v1/parties/{party}")
    attested = [
        shown_times(in_fen(attestation, "amount"), "valid_until", "revoked")
        for attestation in session.nodes.items(f"/v1/parties/{party}/attestations")
    ]
    recovery = item.get("recovery")
    if recovery is not None:
        recovery = _shown_recovery(recovery)
    emit({**item, "recovery": recovery, "attestations": attested})


def _shown_recovery(recovery: Json) -> Json:
    """Return a recovery with its times, from when it can be decided, and when it ends by itself."""
    return {
        **shown_times(recovery, "opened", "objected", "closed"),
        "status": "over" if recovery["over"] else recovery["status"],
        "decidable_from": moment(recovery["opened_ms"] + RECOVERY_WAIT_MS),
        "ends": moment(recovery["opened_ms"] + KEYS_WAIT_MAX_MS),
    }
