"""Clearing between treasuries: a cycle closes, and only net positions are owed (spec T18, R13)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from ledger.encoding.codec import Fen, Natural, Record, Slug, only
from ledger.rules import calendar
from ledger.rules.base import Context, Kind, Outcome
from ledger.rules.parties import (
    RESERVED_ID,
    party_of,
    require_active,
    require_consent,
    require_kind,
)
from ledger.rules.payables import OPEN_CYCLE, OpenCycle, Position, new_payable, open_cycle
from ledger.rules.refusals import CycleEmpty, CycleTooEarly, CycleWrong
from ledger.rules.sums import serial_id
from ledger.view import Draft, StateView, Table

CYCLE_OPEN_MIN_MS = calendar.DAY_MS
"""How long a cycle stays open after the first join: nobody can net payables one by one."""


class Cycle(Record, frozen=True):
    """A closed clearing cycle."""

    number: Natural
    closed_by: Slug
    closed_ms: Natural
    positions: Annotated[tuple[Position, ...], Meta(max_length=512)]
    """By party id; the nets add up to 0."""
    payables: Natural
    """How many payables settle the nets."""
    amount: Fen
    """What they add up to."""


CYCLES = Table("cycle", Cycle)
"""By number."""


class Close(Record, frozen=True, tag="clearing.close"):
    """A member closes the open cycle: computed, not chosen (T18)."""

    by: Slug
    cycle: Natural


def apply_close(view: StateView, tx: Close, context: Context) -> Outcome:
    """Return the writes that close a cycle. Checks run in the order of T18."""
    member = party_of(view, tx.by)
    require_kind(member, "treasury", "data_centre", "auditor")
    require_consent(context, member, "pay")
    require_active(member)
    cycle = open_cycle(view)
    if tx.cycle != cycle.number:
        raise CycleWrong(open=cycle.number, given=tx.cycle)
    first_join_ms = only(cycle.first_join_ms)
    if first_join_ms is None:
        raise CycleEmpty(cycle=cycle.number)
    from_ms = first_join_ms + CYCLE_OPEN_MIN_MS
    if context.time_ms < from_ms:
        raise CycleTooEarly(from_ms=from_ms, time_ms=context.time_ms)
    draft = Draft(view)
    transfers = net_transfers(cycle.positions)
    for position, (debtor, creditor, amount) in enumerate(transfers):
        new_payable(
            draft,
            cause=serial_id(RESERVED_ID, cycle.number),
            position=position,
            debtor=debtor,
            creditor=creditor,
            leg="settlement",
            amount=amount,
            due_ms=calendar.clearing_due_ms(context.time_ms),
            cycle=(cycle.number,),
        )
    closed = Cycle(
        number=cycle.number,
        closed_by=member.id,
        closed_ms=context.time_ms,
        positions=cycle.positions,
        payables=len(transfers),
        amount=sum(amount for _, _, amount in transfers),
    )
    draft.put(CYCLES, closed, str(cycle.number))
    following = OpenCycle(number=cycle.number + 1, first_join_ms=(), positions=())
    draft.put(OPEN_CYCLE, following, "all")
    return Outcome(changes=draft.changes())


CLOSE = Kind(record=Close, apply=apply_close)


def net_transfers(positions: tuple[Position, ...]) -> tuple[tuple[str, str, int], ...]:
    """Return (debtor, creditor, fen) that settle net positions, both sides by id (R13.3)."""
    creditors = [position for position in positions if position.net > 0]
    transfers = []
    for debtor in positions:
        owed = -debtor.net
        while owed > 0:
            creditor = creditors.pop(0)
            amount = min(owed, creditor.net)
            transfers.append((debtor.party, creditor.party, amount))
            owed -= amount
            if amount < creditor.net:
                rest = msgspec.structs.replace(creditor, net=creditor.net - amount)
                creditors.insert(0, rest)
    assert not creditors, "the nets of a cycle add up to 0"
    return tuple(transfers)
