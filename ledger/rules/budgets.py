"""Budgets: what funders set aside, commit to vouchers and get back (spec T4, R4.3, R4.4)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from ledger.encoding.codec import (
    FEN_MAX,
    AtMostOne,
    Delta,
    Fen,
    Natural,
    ProgrammeId,
    Record,
    Slug,
    only,
)
from ledger.rules import money
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.money import WHOLE_BASIS_POINTS
from ledger.rules.parties import party_of, require_active
from ledger.rules.programmes import Terms, funders_in_force, programme_of
from ledger.rules.refusals import (
    AmountOverflow,
    AppropriationBelowCommitted,
    AppropriationExceeded,
    CarryOverInvalid,
    NotAFunder,
)
from ledger.rules.successors import acting_for
from ledger.view import Draft, StateView, Table, get


class Budget(Record, frozen=True):
    """One funder's appropriation to a programme for one fiscal year (invariant I2)."""

    appropriated: Fen
    committed: Fen
    """Minted less what returned."""


BUDGETS = Table("budget", Budget, running_sum=True)
"""By programme, year and funder."""


class Appropriate(Record, frozen=True, tag="programme.appropriate"):
    """A funder sets money aside for a year, or takes some back (T4)."""

    programme: ProgrammeId
    funder: Slug
    year: Annotated[int, Meta(ge=2000, le=9999)]
    delta: Delta
    carried_from: AtMostOne[Natural]


def apply_appropriate(view: StateView, tx: Appropriate, context: Context) -> Outcome:
    """Return the write that changes an appropriation. Checks run in the order of T4."""
    programme = programme_of(view, tx.programme)
    takes_back = tx.delta < 0 and not tx.carried_from
    is_funder = tx.funder in funders_in_force(view, programme)
    if not is_funder and not takes_back:  # a former funder may take back what is left
        raise NotAFunder(party=tx.funder, programme=tx.programme)
    funder = party_of(view, tx.funder)
    if takes_back:  # whoever would pay for it may stop it
        funder = acting_for(view, tx.funder)
    context.signers.require_officers(funder.id, "budget")
    require_active(funder)
    draft = Draft(view)
    if (from_year := only(tx.carried_from)) is not None:
        if from_year >= tx.year or tx.delta <= 0:
            raise CarryOverInvalid(from_year=from_year, year=tx.year, delta=tx.delta)
        _change_appropriated(draft, tx.programme, from_year, tx.funder, -tx.delta)
    _change_appropriated(draft, tx.programme, tx.year, tx.funder, tx.delta)
    return Outcome(changes=draft.changes())


APPROPRIATE = Kind(record=Appropriate, apply=apply_appropriate, amount=lambda tx: abs(tx.delta))


def _change_appropriated(
    draft: Draft, programme_id: str, year: int, funder: str, delta: int
) -> None:
    """Change a year's appropriation; what is committed stays covered (T4.6, T4.7)."""
    budget = budget_of(draft, programme_id, year, funder)
    appropriated = budget.appropriated + delta
    if appropriated < budget.committed:
        raise AppropriationBelowCommitted(appropriated=appropriated, committed=budget.committed)
    if appropriated > FEN_MAX:
        raise AmountOverflow(total=appropriated, maximum=FEN_MAX)
    changed = msgspec.structs.replace(budget, appropriated=appropriated)
    draft.put(BUDGETS, changed, programme_id, str(year), funder)


def budget_of(view: StateView, programme_id: str, year: int, funder: str) -> Budget:
    """Return a budget, empty if nothing was appropriated yet."""
    budget = get(view, BUDGETS, programme_id, str(year), funder)
    return budget if budget is not None else Budget(appropriated=0, committed=0)


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
