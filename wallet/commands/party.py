"""``tally party``: who takes part, and what members attest about them."""

from pathlib import Path
from typing import get_args

import click

from ledger.rules.calendar import DAY_MS
from ledger.rules.parties import Attest, Enrol, HolderClass, PartyKey, PartyKind, Topic
from tally.exits import UsageError
from tally.output import YUAN, emit
from wallet import signing
from wallet.client import moment
from wallet.commands.session import (
    HASH,
    PARTY,
    Desk,
    Session,
    emit_outcome,
    in_fen,
    reading,
    writing,
)

COLUMNS = ("id", "kind", "party_class", "name", "region", "enrolled_by", "status")


@click.group()
def group() -> None:
    """Enrol and attest parties."""


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
@click.option(
    "--person",
    "persons",
    multiple=True,
    required=True,
    help="person=public key in hex, or a person of the party whose key lies here.",
)
@click.option("--threshold", type=click.IntRange(1), default=1, show_default=True)
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
    operation = Enrol(
        city=city,
        party=party,
        holder_class=holder_class,
        name=name,
        region=region,
        control_group=control_group,
        registration_tag=registration_tag,
        tag_epoch=tag_epoch,
        keys=tuple(_person(desk, party, text) for text in persons),
        threshold=threshold,
    )
    emit_outcome(desk.act(operation), party=party)


def _person(desk: Desk, party: str, text: str) -> PartyKey:
    person, _, key = text.partition("=")
    public = (
        HASH.convert(key, None, None)
        if key
        else signing.public_key_of(desk.profile, f"{party}/{person}")
    )
    return PartyKey(key=public, person=person, roles=())


@group.command()
@click.argument("subject", type=PARTY)
@click.option("--by", "attester", required=True, help="The member that states it.")
@click.option("--topic", type=click.Choice(get_args(Topic)), required=True)
@click.option("--text", default="", help="The region, or the project's name.")
@click.option("--amount", type=YUAN, default=0, help="The revenue, in yuan.")
@click.option("--about", help="The other party of an unrelated_to.")
@click.option("--valid-days", type=click.IntRange(1, 3660), default=365, show_default=True)
@click.option("--commitment", type=HASH, help="Salted hash of the document seen.")
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
    commitment: bytes | None,
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
        commitment=() if commitment is None else (commitment,),
    )
    emit_outcome(desk.act(operation), subject=subject, topic=topic)


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
    """Show a party and what is attested about it."""
    attested = [
        {**in_fen(item, "amount"), "valid_until": moment(item["valid_until_ms"])}
        for item in session.nodes.items(f"/v1/attestations/{party}")
    ]
    emit({**session.one(f"/v1/parties/{party}"), "attestations": attested})
