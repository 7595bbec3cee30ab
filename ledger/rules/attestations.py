"""Attestations: what members state about parties, and who is eligible (T2, T11, R4.1, R4.5)."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger.encoding.codec import AtMostOne, Fen, Hash, Natural, Record, Slug, Text, only
from ledger.rules import calendar
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.parties import (
    CITIES,
    PARTIES,
    Party,
    party_of,
    require_active,
    require_consent,
    require_kind,
)
from ledger.rules.refusals import AttestationUnknown, NotEligible, RelatedParties, ValidityPassed
from ledger.rules.successors import acting_for
from ledger.view import Draft, StateView, Table, get, must

CRITERIA_MAX = 16
"""Criteria of all groups together, and attesters of each: all are looked up for every holder."""
ATTESTERS_MAX = 64

Topic = Literal[
    "registered_in",
    "revenue_at_least",
    "research_project",
    "clean_record",
    "unrelated_to",
]


class Criterion(Record, frozen=True):
    """One way to be eligible: an attestation of this topic."""

    topic: Topic
    text: Text
    """What the attestation must say, exactly; empty accepts any."""
    amount: Fen
    """The least amount that the attestation must state."""
    attesters: Annotated[tuple[Slug, ...], Meta(max_length=ATTESTERS_MAX)]
    """Whom the programme trusts; empty means any city."""
    max_age_days: Natural
    """How old the attestation may be; 0 sets no limit."""


Groups = tuple[tuple[Criterion, ...], ...]
"""All of these groups, any criterion within a group."""


class Attestation(Record, frozen=True):
    """A member's statement about a party; programmes decide whom they trust."""

    attester: Slug
    subject: Slug
    topic: Topic
    about: AtMostOne[Slug]
    """The other party of an ``unrelated_to``; empty means every centre."""
    text: Text
    """The region of a ``registered_in``, the name of a project, else empty."""
    amount: Fen
    """The revenue of a ``revenue_at_least``, else 0."""
    issued_ms: Natural
    valid_until_ms: Natural
    revoked_ms: AtMostOne[Natural]
    commitment: AtMostOne[Hash]
    """Salted hash of the document seen."""


ATTESTATIONS = Table("attestation", Attestation)
"""By subject, topic, attester and whom it is about, if anybody: a newer statement replaces one."""


class Attest(Record, frozen=True, tag="attestation.issue"):
    """A member states a fact about a party (T2)."""

    attester: Slug
    subject: Slug
    topic: Topic
    about: AtMostOne[Slug]
    text: Text
    amount: Fen
    valid_until_ms: Natural
    commitment: AtMostOne[Hash]


class RevokeAttestation(Record, frozen=True, tag="attestation.revoke"):
    """A member takes a statement back (T11)."""

    attester: Slug
    subject: Slug
    topic: Topic
    about: AtMostOne[Slug]


def _key(subject: str, topic: str, attester: str, about: AtMostOne[str]) -> tuple[str, ...]:
    return subject, topic, attester, only(about) or ""


def apply_attest(view: StateView, tx: Attest, context: Context) -> Outcome:
    """Return the write that records a statement. Checks run in the order of T2."""
    attester = party_of(view, tx.attester)
    require_kind(attester, "treasury", "data_centre", "auditor")
    require_consent(context, attester, "registrar")
    require_active(attester)
    party_of(view, tx.subject)
    if (about := only(tx.about)) is not None:
        party_of(view, about)
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
        revoked_ms=(),
        commitment=tx.commitment,
    )
    draft = Draft(view)
    draft.put(ATTESTATIONS, attestation, *_key(tx.subject, tx.topic, tx.attester, tx.about))
    return Outcome(changes=draft.changes())


ATTEST = Kind(record=Attest, apply=apply_attest)


def apply_revoke_attestation(view: StateView, tx: RevokeAttestation, context: Context) -> Outcome:
    """Return the write that takes a statement back. Checks run in the order of T11."""
    party_of(view, tx.attester)
    require_consent(context, acting_for(view, tx.attester), "registrar")
    key = _key(tx.subject, tx.topic, tx.attester, tx.about)
    attestation = get(view, ATTESTATIONS, *key)
    if attestation is None or attestation.revoked_ms:
        raise AttestationUnknown(attester=tx.attester, subject=tx.subject, topic=tx.topic)
    draft = Draft(view)
    revoked = msgspec.structs.replace(attestation, revoked_ms=(context.time_ms,))
    draft.put(ATTESTATIONS, revoked, *key)
    return Outcome(changes=draft.changes())


REVOKE_ATTESTATION = Kind(record=RevokeAttestation, apply=apply_revoke_attestation)


def require_eligible(view: StateView, groups: Groups, party: Party, time_ms: int) -> None:
    """Raise NotEligible unless the party fulfils every group that needs no centre (R4.1)."""
    for group in groups:
        if not _asks_unrelated(group):
            _require_group(view, group, party, ((),), time_ms)


def require_unrelated(
    view: StateView, groups: Groups, holder: Party, centre: Party, time_ms: int
) -> None:
    """Raise RelatedParties or NotEligible unless the two are as far apart as asked (R4.5)."""
    for group in groups:
        if not _asks_unrelated(group):
            continue
        if holder.control_group and holder.control_group == centre.control_group:
            raise RelatedParties(
                holder=holder.id, centre=centre.id, group=holder.control_group[0].hex()
            )
        _require_group(view, group, holder, ((), (centre.id,)), time_ms)


def _asks_unrelated(group: Sequence[Criterion]) -> bool:
    return any(criterion.topic == "unrelated_to" for criterion in group)


def _require_group(
    view: StateView,
    group: Sequence[Criterion],
    party: Party,
    abouts: Sequence[tuple[str, ...]],
    time_ms: int,
) -> None:
    if not any(_fulfils(view, criterion, party, abouts, time_ms) for criterion in group):
        needed = " or ".join(criterion.topic for criterion in group)
        raise NotEligible(party=party.id, needed=needed)


def _fulfils(
    view: StateView,
    criterion: Criterion,
    party: Party,
    abouts: Sequence[tuple[str, ...]],
    time_ms: int,
) -> bool:
    attesters: Sequence[str] = criterion.attesters or must(view, CITIES, "all").ids
    for attester in attesters:
        for about in abouts:
            key = _key(party.id, criterion.topic, attester, about)
            attestation = get(view, ATTESTATIONS, *key)
            if attestation is None or must(view, PARTIES, attester).status == "removed":
                continue
            if _convinces(attestation, criterion, time_ms):
                return True
    return False


def _convinces(attestation: Attestation, criterion: Criterion, time_ms: int) -> bool:
    if attestation.revoked_ms or attestation.valid_until_ms <= time_ms:
        return False
    if criterion.text and attestation.text != criterion.text:
        return False
    if attestation.amount < criterion.amount:
        return False
    age_days = (time_ms - attestation.issued_ms) // calendar.DAY_MS
    return not criterion.max_age_days or age_days <= criterion.max_age_days
