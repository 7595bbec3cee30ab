"""Programmes, their versions and terms (spec T3, R9)."""

from typing import Annotated, Literal

from msgspec import Meta

from ledger.encoding.codec import (
    AtMostOne,
    BasisPoints,
    Fen,
    Natural,
    ProgrammeId,
    Record,
    Slug,
    Text,
    only,
)
from ledger.rules.attestations import CRITERIA_MAX, Criterion
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.money import WHOLE_BASIS_POINTS, FunderShare, Rounding
from ledger.rules.parties import HolderClass, party_of, require_active, require_city, require_kind
from ledger.rules.refusals import (
    ProgrammeNotOpen,
    ProgrammeUnknown,
    ProgrammeVersionWrong,
    TermsDiffer,
    TermsInconsistent,
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
    """A programme's current version and status."""

    id: ProgrammeId
    version: Natural
    status: Status


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
TOTALS = Table("totals", Totals, running_sum=True)
"""By programme."""


class Publish(Record, frozen=True, tag="programme.publish"):
    """A city makes a programme, a new version of it, or a new status (T3)."""

    programme: ProgrammeId
    version: Natural
    status: Status
    terms: Terms


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
    version = 0 if current is None else current.version
    if tx.version != version + 1 and (current is None or tx.version != version):
        raise ProgrammeVersionWrong(expected=version + 1, given=tx.version)
    if tx.version == version and tx.terms != terms_of(view, tx.programme, version):
        raise TermsDiffer(version=version)
    check_terms(tx.terms)
    shares: dict[str, int] = {}
    if current is not None:
        before = terms_of(view, tx.programme, current.version)
        shares = {share.funder: share.basis_points for share in before.funders}
    for share in tx.terms.funders:
        funder = party_of(view, share.funder)
        require_kind(funder, "treasury")
        grows = current is not None and share.basis_points > shares.get(share.funder, 0)
        if grows:  # what it set aside would pay more than it agreed to
            context.signers.require_officers(share.funder, "budget")
            require_active(funder)
    draft = Draft(view)
    draft.put(
        PROGRAMMES,
        Programme(id=tx.programme, version=tx.version, status=tx.status),
        tx.programme,
    )
    draft.put(TERMS, tx.terms, tx.programme, str(tx.version))
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
