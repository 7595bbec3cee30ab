"""Settlement: who owes whom for accepted claims (spec R7)."""

from typing import Annotated

from msgspec import Meta

from ledger.encoding.codec import Fen, Natural, Record, SerialId, Slug
from ledger.rules import calendar, money
from ledger.rules.programmes import Terms
from ledger.view import Draft, Table


class Payable(Record, frozen=True):
    """An amount that a funder owes for an accepted claim."""

    debtor: Slug
    creditor: Slug
    cause: SerialId
    """The claim."""
    amount: Fen
    due_ms: Natural
    paid: Fen
    cycle: Annotated[tuple[Natural, ...], Meta(max_length=1)]


PAYABLES = Table("payable", Payable)
"""By claim and position among the programme's funders."""


def add_payables(
    draft: Draft, terms: Terms, *, cause: str, creditor: str, amount: int, time_ms: int
) -> None:
    """Write one payable per funder with a share above zero; they add up to ``amount`` (R7.1)."""
    parts = money.split(amount, terms.funders, terms.residual_funder)
    due_ms = calendar.settlement_due_ms(time_ms, terms.settlement)
    for position, (share, part) in enumerate(zip(terms.funders, parts, strict=True)):
        if part == 0:
            continue
        payable = Payable(
            debtor=share.funder,
            creditor=creditor,
            cause=cause,
            amount=part,
            due_ms=due_ms,
            paid=0,
            cycle=(),
        )
        draft.put(PAYABLES, payable, cause, str(position))
