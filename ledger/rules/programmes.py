"""Programmes, their versions and terms, and what funders consent to (spec T3, T25, R4.6, R9)."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger.encoding import codec
from ledger.encoding.codec import (
    AtMostOne,
    BasisPoints,
    Fen,
    Hash,
    Natural,
    ProgrammeId,
    Record,
    Slug,
    Text,
    only,
)
from ledger.encoding.crypto import tagged_hash
from ledger.rules.attestations import CRITERIA_MAX, Criterion
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.money import WHOLE_BASIS_POINTS, FunderShare, Rounding
from ledger.rules.parties import HolderClass, party_of, require_active, require_city, require_kind
from ledger.rules.refusals import (
    FunderConsentMissing,
    NotAFunder,
    ProgrammeNotOpen,
    ProgrammeUnknown,
    ProgrammeVersionWrong,
    TermsDiffer,
    TermsHashWrong,
    TermsInconsistent,
    TermsVersionWrong,
    VersionNotProposed,
)
from ledger.view import Draft, StateView, Table, get, must

Ownership = Literal["public", "private", "mixed"]
ChipOrigin = Literal["domestic", "foreign"]
ServiceClass = Literal["training", "inference", "general"]
Status = Literal["open", "suspended", "closed"]

GROUPS_MAX = 16
RATES_MAX = 64
FUNDERS_MAX = 16
LISTED_MAX = 64
VALIDITY_DAYS_MAX = 3_660


class RateRow(Record, frozen=True):
    """A row of the rate table; an empty column matches everything, the first match wins."""

    holder_class: AtMostOne[HolderClass]
    chip_origin: AtMostOne[ChipOrigin]
    service_class: AtMostOne[ServiceClass]
    ownership: AtMostOne[Ownership]
    basis_points: BasisPoints


class Caps(Record, frozen=True):
    """Upper and lower bounds in fen; an empty one does not bind."""

    grant_min: AtMostOne[Fen]
    grant_max: AtMostOne[Fen]
    contract_max: AtMostOne[Fen]
    holder_year_issued: AtMostOne[Fen]
    holder_year_redeemed: AtMostOne[Fen]
    group_year_issued: AtMostOne[Fen]


class Review(Record, frozen=True):
    """Which claims the rules decide and which a reviewer does."""

    automatic_band: Fen
    """Claims of a holder at a centre in a month are accepted at once up to this sum."""
    sample_every: Natural
    """One claim in this many goes to review regardless; 0 for none."""


class Terms(Record, frozen=True):
    """An issuer's promise, as one version of a programme."""

    title: Text
    legal_basis: Text
    assumed: Annotated[tuple[Text, ...], Meta(max_length=32)]
    """Names of terms that no published source gave."""
    eligibility: Annotated[
        tuple[
            Annotated[tuple[Criterion, ...], Meta(min_length=1, max_length=GROUPS_MAX)],
            ...,
        ],
        Meta(max_length=GROUPS_MAX),
    ]
    """All of these groups, any criterion within a group."""
    rates: Annotated[tuple[RateRow, ...], Meta(min_length=1, max_length=RATES_MAX)]
    caps: Caps
    settlement: Literal["monthly", "quarterly", "yearly"]
    centres: Literal["listed", "own_city", "recognised"]
    listed: Annotated[tuple[Slug, ...], Meta(max_length=LISTED_MAX)]
    transfer: Literal["none", "enrolled", "same_group"]
    review: Review
    payee: Literal["centre", "holder"]
    grant: Literal["on_application", "automatic", "after_use"]
    funders: Annotated[tuple[FunderShare, ...], Meta(min_length=1, max_length=FUNDERS_MAX)]
    residual_funder: Slug
    rounding: Rounding
    validity_days: Annotated[int, Meta(ge=0, le=VALIDITY_DAYS_MAX)]
    base_period: AtMostOne[tuple[Natural, Natural]]
    """First day and end of the time whose use counts: a contract's amount is prorated to it."""
    contract_days_max: Natural
    """Longest contract, in days; 0 sets no limit."""
    stackable: Annotated[tuple[ProgrammeId, ...], Meta(max_length=LISTED_MAX)]
    ceiling: BasisPoints
    """The share of an invoice's base that all programmes together may pay."""


class Programme(Record, frozen=True):
    """A programme's version in force and its status."""

    id: ProgrammeId
    version: Natural
    """In force; 0 before the first is."""
    proposed: AtMostOne[Natural]
    """The version, above the one in force, that waits for its funders' consent."""
    status: Status


class Consent(Record, frozen=True):
    """A funder's word that its money may be spent under the terms of a version."""

    programme: ProgrammeId
    version: Natural
    funder: Slug
    terms: Hash
    consented_ms: Natural


class Totals(Record, frozen=True):
    """What became of everything a programme minted, in fen (invariant I1)."""

    next_serial: Natural
    minted: Fen
    available: Fen
    reserved: Fen
    claimed: Fen
    redeemed: Fen
    expired: Fen
    revoked: Fen


PROGRAMMES = Table("programme", Programme)
TERMS = Table("terms", Terms)
"""By programme and version."""
CONSENTS = Table("consent", Consent)
"""By programme, version and funder."""
TOTALS = Table("totals", Totals, running_sum=True)
"""By programme."""


class Publish(Record, frozen=True, tag="programme.publish"):
    """A city makes a programme, a new version of it, or a new status (T3)."""

    programme: ProgrammeId
    version: Natural
    status: Status
    terms: Terms


class GiveConsent(Record, frozen=True, tag="programme.consent"):
    """A funder agrees to a version by name (T25)."""

    programme: ProgrammeId
    version: Natural
    funder: Slug
    terms: Hash
    """The hash of what the funder read."""


def issuer_of(programme_id: str) -> str:
    """Return the city in a programme's or voucher's id."""
    return programme_id.split(".", 1)[0]


def programme_of(view: StateView, programme_id: str) -> Programme:
    """Return a programme; raise ProgrammeUnknown."""
    programme = get(view, PROGRAMMES, programme_id)
    if programme is None:
        raise ProgrammeUnknown(programme=programme_id)
    return programme


def terms_of(view: StateView, programme_id: str, version: int) -> Terms:
    """Return the terms of a version that is known to exist."""
    return must(view, TERMS, programme_id, str(version))


def terms_hash(terms: Terms) -> bytes:
    """Return what a consent names terms by (T25)."""
    return tagged_hash("tallystick/terms/v1", codec.encode(terms))


def standing_version(programme: Programme) -> int:
    """Return the version in force, or the proposed one while none is (T3.5)."""
    return programme.version or programme.proposed[0]


def missing_consents(view: StateView, programme_id: str, version: int) -> Iterator[str]:
    """Yield the funders whose consent a version needs and has not got, in order (R4.6)."""
    terms = terms_of(view, programme_id, version)
    for share in terms.funders:
        if share.funder == issuer_of(programme_id):
            continue
        pays = share.basis_points > 0 or share.funder == terms.residual_funder
        if pays and get(view, CONSENTS, programme_id, str(version), share.funder) is None:
            yield share.funder


def funders_in_force(view: StateView, programme: Programme) -> tuple[str, ...]:
    """Return who funds a programme by the terms in force; nobody while none are."""
    if not programme.version:
        return ()
    terms = terms_of(view, programme.id, programme.version)
    return tuple(share.funder for share in terms.funders)


def require_in_force(view: StateView, programme: Programme, version: int) -> None:
    """Raise FunderConsentMissing or TermsVersionWrong unless a version is in force (T7.5)."""
    if not programme.version or programme.proposed == (version,):
        (proposed,) = programme.proposed
        funder = next(missing_consents(view, programme.id, proposed))
        raise FunderConsentMissing(programme=programme.id, version=proposed, funder=funder)
    if version != programme.version:
        raise TermsVersionWrong(current=programme.version, given=version)


def require_open(programme: Programme) -> None:
    """Raise ProgrammeNotOpen unless the programme is open."""
    if programme.status != "open":
        raise ProgrammeNotOpen(programme=programme.id, status=programme.status)


def require_not_suspended(programme: Programme) -> None:
    """Raise ProgrammeNotOpen while the programme is suspended; a closed one still redeems."""
    if programme.status == "suspended":
        raise ProgrammeNotOpen(programme=programme.id, status=programme.status)


def check_terms(terms: Terms) -> None:
    """Raise TermsInconsistent if the terms contradict themselves (T3.7)."""
    names = [share.funder for share in terms.funders]
    if len(names) != len(dict.fromkeys(names)):
        raise TermsInconsistent(reason="a funder is named twice")
    if terms.residual_funder not in names:
        raise TermsInconsistent(reason="the residual funder is not a funder")
    if sum(share.basis_points for share in terms.funders) != WHOLE_BASIS_POINTS:
        raise TermsInconsistent(reason="funder shares do not add up to 10000 basis points")
    if terms.grant == "after_use" and terms.transfer != "none":
        raise TermsInconsistent(reason="a grant after use has no voucher to transfer")
    caps = terms.caps
    grant_min, grant_max = only(caps.grant_min), only(caps.grant_max)
    if grant_min is not None and grant_max is not None and grant_min > grant_max:
        raise TermsInconsistent(reason="the minimum grant is above the maximum")
    criteria = [criterion for group in terms.eligibility for criterion in group]
    if len(criteria) > CRITERIA_MAX:
        raise TermsInconsistent(reason=f"more than {CRITERIA_MAX} criteria")
    if any(len(criterion.attesters) > CRITERIA_MAX for criterion in criteria):
        raise TermsInconsistent(reason=f"a criterion trusts more than {CRITERIA_MAX}")
    if terms.listed and terms.centres != "listed":
        raise TermsInconsistent(reason="centres are listed but the rule is not 'listed'")
    base_period = only(terms.base_period)
    if base_period is not None and base_period[0] >= base_period[1]:
        raise TermsInconsistent(reason="the base period ends before it starts")


def apply_publish(view: StateView, tx: Publish, context: Context) -> Outcome:
    """Return the writes that publish a version. Checks run in the order of T3."""
    city = require_city(view, issuer_of(tx.programme))
    context.signers.require_officers(city.id, "budget")
    require_active(city)
    current = get(view, PROGRAMMES, tx.programme)
    if current is not None and current.status == "closed":
        raise ProgrammeNotOpen(programme=current.id, status=current.status)
    before = current or Programme(id=tx.programme, version=0, proposed=(), status=tx.status)
    last = only(before.proposed) or before.version
    is_new = tx.version == last + 1
    if not is_new and (current is None or tx.version != standing_version(current)):
        raise ProgrammeVersionWrong(expected=last + 1, given=tx.version)
    if not is_new and tx.terms != terms_of(view, tx.programme, tx.version):
        raise TermsDiffer(version=tx.version)
    check_terms(tx.terms)
    for share in tx.terms.funders:
        require_kind(party_of(view, share.funder), "treasury")
    draft = Draft(view)
    draft.put(TERMS, tx.terms, tx.programme, str(tx.version))
    proposed = (tx.version,) if is_new else before.proposed
    changed = msgspec.structs.replace(before, proposed=proposed, status=tx.status)
    _put_programme(draft, changed)
    if current is None:
        draft.put(
            TOTALS,
            Totals(
                next_serial=1,
                minted=0,
                available=0,
                reserved=0,
                claimed=0,
                redeemed=0,
                expired=0,
                revoked=0,
            ),
            tx.programme,
        )
    return Outcome(changes=draft.changes())


PUBLISH = Kind(record=Publish, apply=apply_publish)


def _put_programme(draft: Draft, programme: Programme) -> None:
    """Write a programme; the proposed version is in force if all consented to it (R4.6)."""
    proposed = only(programme.proposed)
    if proposed is not None and not any(missing_consents(draft, programme.id, proposed)):
        programme = msgspec.structs.replace(programme, version=proposed, proposed=())
    draft.put(PROGRAMMES, programme, programme.id)


def apply_give_consent(view: StateView, tx: GiveConsent, context: Context) -> Outcome:
    """Return the writes of a consent. Checks run in the order of T25."""
    programme = programme_of(view, tx.programme)
    if programme.proposed != (tx.version,):
        raise VersionNotProposed(programme=tx.programme, version=tx.version)
    terms = terms_of(view, tx.programme, tx.version)
    if tx.funder not in [share.funder for share in terms.funders]:
        raise NotAFunder(party=tx.funder, programme=tx.programme)
    context.signers.require_officers(tx.funder, "budget")
    require_active(party_of(view, tx.funder))
    if tx.terms != terms_hash(terms):
        raise TermsHashWrong(programme=tx.programme, version=tx.version)
    draft = Draft(view)
    consent = Consent(
        programme=tx.programme,
        version=tx.version,
        funder=tx.funder,
        terms=tx.terms,
        consented_ms=context.time_ms,
    )
    draft.put(CONSENTS, consent, tx.programme, str(tx.version), tx.funder)
    _put_programme(draft, programme)
    return Outcome(changes=draft.changes())


GIVE_CONSENT = Kind(record=GiveConsent, apply=apply_give_consent)
