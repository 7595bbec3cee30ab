"""Programmes, their terms, their budgets and who is eligible (spec T3, T4, R4)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from ledger.encoding.codec import (
    FEN_MAX,
    BasisPoints,
    Delta,
    Fen,
    Natural,
    ProgrammeId,
    Record,
    Slug,
    Text,
)
from ledger.rules import calendar, money
from ledger.rules.base import Context, Outcome
from ledger.rules.money import WHOLE_BASIS_POINTS, FunderShare, Rounding
from ledger.rules.parties import (
    ATTESTATIONS,
    HolderClass,
    Party,
    Topic,
    party_of,
    require_city,
    require_kind,
)
from ledger.rules.refusals import (
    AmountOverflow,
    AppropriationBelowCommitted,
    AppropriationExceeded,
    CarryOverNotSupported,
    NotAFunder,
    NotEligible,
    ProgrammeNotOpen,
    ProgrammeUnknown,
    ProgrammeVersionWrong,
    TermsInconsistent,
)
from ledger.view import Draft, StateView, Table, get, must

OptionalFen = Annotated[tuple[Fen, ...], Meta(max_length=1)]
Ownership = Literal["public", "private", "mixed"]
ChipOrigin = Literal["domestic", "foreign"]
ServiceClass = Literal["training", "inference", "general"]
Status = Literal["open", "suspended", "closed"]

GROUPS_MAX = 16
CRITERIA_MAX = 16
"""Criteria of all groups together: each is looked up for every holder of a mint."""
RATES_MAX = 64
FUNDERS_MAX = 16
LISTED_MAX = 64


class Criterion(Record, frozen=True):
    """One way to be eligible: an attestation of this topic."""

    topic: Topic
    text: Text
    """What the attestation must say, exactly; empty accepts any."""
    amount: Fen
    """The least amount that the attestation must state."""
    attesters: Annotated[tuple[Slug, ...], Meta(max_length=LISTED_MAX)]
    """Whom the programme trusts; empty means any city."""
    max_age_days: Natural
    """How old the attestation may be; 0 sets no limit."""


class RateRow(Record, frozen=True):
    """A row of the rate table; an empty column matches everything, the first match wins."""

    holder_class: Annotated[tuple[HolderClass, ...], Meta(max_length=1)]
    chip_origin: Annotated[tuple[ChipOrigin, ...], Meta(max_length=1)]
    service_class: Annotated[tuple[ServiceClass, ...], Meta(max_length=1)]
    ownership: Annotated[tuple[Ownership, ...], Meta(max_length=1)]
    basis_points: BasisPoints


class Caps(Record, frozen=True):
    """Upper and lower bounds in fen; an empty one does not bind."""

    grant_min: OptionalFen
    grant_max: OptionalFen
    contract_max: OptionalFen
    holder_year_issued: OptionalFen
    holder_year_redeemed: OptionalFen
    group_year_issued: OptionalFen


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
    payee: Literal["provider", "holder"]
    grant: Literal["on_application", "automatic", "after_use"]
    funders: Annotated[tuple[FunderShare, ...], Meta(min_length=1, max_length=FUNDERS_MAX)]
    residual_funder: Slug
    rounding: Rounding
    validity_days: Annotated[int, Meta(ge=0, le=3_660)]
    stackable: Annotated[tuple[ProgrammeId, ...], Meta(max_length=LISTED_MAX)]
    ceiling: BasisPoints
    """The share of an invoice that all programmes together may pay."""


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


class Budget(Record, frozen=True):
    """One funder's appropriation to a programme for one fiscal year (invariant I2)."""

    appropriated: Fen
    committed: Fen
    """Minted less what returned while the year was open."""


PROGRAMMES = Table("programme", Programme)
TERMS = Table("terms", Terms)
"""By programme and version."""
TOTALS = Table("totals", Totals)
"""By programme."""
BUDGETS = Table("budget", Budget)
"""By programme, year and funder."""


class Publish(Record, frozen=True, tag="programme.publish"):
    """A city makes a programme, a new version of it, or a new status (T3)."""

    programme: ProgrammeId
    version: Natural
    status: Status
    terms: Terms


class Appropriate(Record, frozen=True, tag="programme.appropriate"):
    """A funder sets money aside for a year, or takes some back (T4)."""

    programme: ProgrammeId
    funder: Slug
    year: Annotated[int, Meta(ge=2000, le=9999)]
    delta: Delta
    carried_from: Annotated[tuple[Natural, ...], Meta(max_length=1)]


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


def check_terms(terms: Terms) -> None:
    """Raise TermsInconsistent if the terms contradict themselves (T3.4)."""
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
    if caps.grant_min and caps.grant_max and caps.grant_min[0] > caps.grant_max[0]:
        raise TermsInconsistent(reason="the minimum grant is above the maximum")
    if sum(map(len, terms.eligibility)) > CRITERIA_MAX:
        raise TermsInconsistent(reason=f"more than {CRITERIA_MAX} criteria")
    if any(len(one.attesters) > CRITERIA_MAX for group in terms.eligibility for one in group):
        raise TermsInconsistent(reason=f"a criterion trusts more than {CRITERIA_MAX}")
    if terms.listed and terms.centres != "listed":
        raise TermsInconsistent(reason="centres are listed but the rule is not 'listed'")


def apply_publish(view: StateView, tx: Publish, context: Context) -> Outcome:
    """Return the writes that publish a version. Checks run in the order of T3."""
    city = issuer_of(tx.programme)
    require_city(view, city)
    context.signers.require_officers(city, "budget")
    current = get(view, PROGRAMMES, tx.programme)
    expected = 1 if current is None else current.version + 1
    if tx.version != expected:
        raise ProgrammeVersionWrong(expected=expected, given=tx.version)
    check_terms(tx.terms)
    for share in tx.terms.funders:
        require_kind(party_of(view, share.funder), "treasury")
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


def apply_appropriate(view: StateView, tx: Appropriate, context: Context) -> Outcome:
    """Return the write that changes an appropriation. Checks run in the order of T4."""
    programme = programme_of(view, tx.programme)
    terms = terms_of(view, programme.id, programme.version)
    if tx.funder not in [share.funder for share in terms.funders]:
        raise NotAFunder(party=tx.funder, programme=tx.programme)
    context.signers.require_officers(tx.funder, "budget")
    for year in tx.carried_from:
        raise CarryOverNotSupported(year=year)
    budget = budget_of(view, tx.programme, tx.year, tx.funder)
    appropriated = budget.appropriated + tx.delta
    if appropriated < budget.committed:
        raise AppropriationBelowCommitted(appropriated=appropriated, committed=budget.committed)
    if appropriated > FEN_MAX:
        raise AmountOverflow(total=appropriated, maximum=FEN_MAX)
    draft = Draft(view)
    draft.put(
        BUDGETS,
        Budget(appropriated=appropriated, committed=budget.committed),
        tx.programme,
        str(tx.year),
        tx.funder,
    )
    return Outcome(changes=draft.changes())


def budget_of(view: StateView, programme_id: str, year: int, funder: str) -> Budget:
    """Return a budget, empty if nothing was appropriated yet."""
    found = get(view, BUDGETS, programme_id, str(year), funder)
    return found if found is not None else Budget(appropriated=0, committed=0)


def commit_budget(draft: Draft, terms: Terms, programme_id: str, year: int, amount: int) -> None:
    """Commit ``amount`` fen to the funders; raise AppropriationExceeded (R4.3, invariant I2)."""
    parts = money.split(amount, terms.funders, terms.residual_funder)
    for share, part in zip(terms.funders, parts, strict=True):
        budget = budget_of(draft, programme_id, year, share.funder)
        free = budget.appropriated - budget.committed
        if part > free:
            raise AppropriationExceeded(funder=share.funder, year=year, asked=part, available=free)
        change_committed(draft, programme_id, year, share.funder, part)


def return_budget(
    draft: Draft, terms: Terms, programme_id: str, year: int, *, before: int, after: int
) -> None:
    """Give back to the funders what a voucher returned: ``after`` − ``before`` fen (R4.4).

    Shares are taken of the running total that the voucher returned. All of them are truncated,
    the residual funder's too: were it given the rest of every part of a voucher that was split by
    transfers, it would get back more than it committed. A fen that no share takes stays committed.
    """
    for share in terms.funders:
        was = before * share.basis_points // WHOLE_BASIS_POINTS
        now = after * share.basis_points // WHOLE_BASIS_POINTS
        change_committed(draft, programme_id, year, share.funder, was - now)


def change_committed(draft: Draft, programme_id: str, year: int, funder: str, delta: int) -> None:
    """Add ``delta`` fen to what is committed of one funder's budget."""
    budget = budget_of(draft, programme_id, year, funder)
    changed = Budget(appropriated=budget.appropriated, committed=budget.committed + delta)
    draft.put(BUDGETS, changed, programme_id, str(year), funder)


def require_eligible(view: StateView, terms: Terms, party: Party, time_ms: int) -> None:
    """Raise NotEligible unless every group has a criterion that the party fulfils (R4.1)."""
    for group in terms.eligibility:
        if not any(_fulfils(view, criterion, party, time_ms) for criterion in group):
            needed = " or ".join(criterion.topic for criterion in group)
            raise NotEligible(party=party.id, needed=needed)


def _fulfils(view: StateView, criterion: Criterion, party: Party, time_ms: int) -> bool:
    attesters: Sequence[str] = criterion.attesters or _cities(view)
    for attester in attesters:
        attestation = get(view, ATTESTATIONS, party.id, criterion.topic, attester)
        if attestation is None or attestation.valid_until_ms <= time_ms:
            continue
        if criterion.text and attestation.text != criterion.text:
            continue
        if attestation.amount < criterion.amount:
            continue
        age_days = (time_ms - attestation.issued_ms) // calendar.DAY_MS
        if criterion.max_age_days and age_days > criterion.max_age_days:
            continue
        return True
    return False


class Cities(Record, frozen=True):
    """The ids of all cities, in order: whom a criterion trusts that names nobody."""

    ids: tuple[Slug, ...]


CITIES = Table("cities", Cities)
"""One record, under ``all``."""


def _cities(view: StateView) -> tuple[str, ...]:
    return must(view, CITIES, "all").ids
