"""Payables: who owes whom for accepted claims, and the open clearing cycle (spec R7, R13)."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger.encoding.codec import AtMostOne, Delta, Fen, Natural, Record, SerialId, Slug, only
from ledger.rules import calendar, money
from ledger.rules.holds import open_holds
from ledger.rules.programmes import Terms
from ledger.rules.refusals import PayableUnknown
from ledger.view import Draft, StateView, Table, get, must

PayableId = Annotated[
    str,
    Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\.[0-9]{9}-[0-9]{3}\Z"),
]
"""A claim or cycle, a dash and three digits: ``guian-hub.000000001-000``."""
Leg = Literal["benefit", "reimbursement", "settlement"]


class Payable(Record, frozen=True):
    """An amount that one party owes another; its parts only grow, but for returned payments."""

    id: PayableId
    debtor: Slug
    creditor: Slug
    cause: SerialId
    """The claim, or ``clearing.`` and the cycle."""
    leg: Leg
    """``benefit``: to the payee of a claim; ``reimbursement``: to the host that paid it;
    ``settlement``: of a cycle's net positions."""
    reverse: bool
    """It runs the other way, for a credit note after payment."""
    amount: Fen
    cancelled: Fen
    """Taken back by credit notes before it was paid."""
    reversed: Fen
    """Taken back by credit notes through payables the other way."""
    paid: Fen
    pending: Fen
    """Instructed and not confirmed."""
    written_off: Fen
    attempt: Natural
    """How often a payment was returned, plus 1."""
    due_ms: Natural
    cycle: AtMostOne[Natural]
    """The cycle that it is in; one of a settlement comes out of its cycle."""


class Position(Record, frozen=True):
    """What a treasury gets (above 0) or pays (below) in a cycle, net."""

    party: Slug
    net: Delta


class OpenCycle(Record, frozen=True):
    """The cycle that payables join now."""

    number: Natural
    first_join_ms: AtMostOne[Natural]
    positions: tuple[Position, ...]
    """By party id. Their nets add up to 0."""


PAYABLES = Table("payable", Payable)
OPEN_CYCLE = Table("open-cycle", OpenCycle, running_sum=True)
"""One record, under ``all``; none before the first join."""


def payable_id(cause: str, position: int) -> str:
    """Return the id of a cause's payable."""
    return f"{cause}-{position:03d}"


def payable_of(view: StateView, payable: str) -> Payable:
    """Return a payable; raise PayableUnknown."""
    record = get(view, PAYABLES, payable)
    if record is None:
        raise PayableUnknown(payable=payable)
    return record


def open_of(payable: Payable) -> int:
    """Return what may still be paid, in fen (R7.3)."""
    taken = payable.cancelled + payable.paid + payable.pending + payable.written_off
    return payable.amount - taken


def new_payable(
    draft: Draft,
    *,
    cause: str,
    position: int,
    debtor: str,
    creditor: str,
    leg: Leg,
    amount: int,
    due_ms: int,
    reverse: bool = False,
    cycle: tuple[int, ...] = (),
) -> Payable:
    """Write a payable."""
    payable = Payable(
        id=payable_id(cause, position),
        debtor=debtor,
        creditor=creditor,
        cause=cause,
        leg=leg,
        reverse=reverse,
        amount=amount,
        cancelled=0,
        reversed=0,
        paid=0,
        pending=0,
        written_off=amount if debtor == creditor else 0,  # nobody owes itself (R7.1)
        attempt=1,
        due_ms=due_ms,
        cycle=cycle,
    )
    draft.put(PAYABLES, payable, payable.id)
    return payable


def add_payables(
    draft: Draft,
    terms: Terms,
    *,
    cause: str,
    host: tuple[str, ...],
    creditor: str,
    amount: int,
    time_ms: int,
) -> int:
    """Write what is owed for an accepted claim (R7.1); return how many payables that makes."""
    due_ms = calendar.settlement_due_ms(time_ms, terms.settlement)
    parts = money.split(amount, terms.funders, terms.residual_funder)
    legs: list[tuple[str, str, Leg, int]] = []
    payee = creditor
    leg: Leg = "benefit"
    if (paying := only(host)) is not None:
        legs.append((paying, creditor, "benefit", amount))
        payee, leg = paying, "reimbursement"
    for share, part in zip(terms.funders, parts, strict=True):
        if part:
            legs.append((share.funder, payee, leg, part))
    for position, (debtor, to, of_leg, part) in enumerate(legs):
        payable = new_payable(
            draft,
            cause=cause,
            position=position,
            debtor=debtor,
            creditor=to,
            leg=of_leg,
            amount=part,
            due_ms=due_ms,
        )
        _join_if_cleared(draft, payable, time_ms)
    return len(legs)


def credit_payables(
    draft: Draft,
    terms: Terms,
    *,
    cause: str,
    host: tuple[str, ...],
    amount: int,
    payables: int,
    time_ms: int,
) -> int:
    """Take a credit note off what is owed (R7.2); return how many reverse payables that makes."""
    originals = list(_originals(draft, cause, payables))
    due_ms = calendar.settlement_due_ms(time_ms, terms.settlement)
    made = 0
    for leg in ("benefit", "reimbursement"):
        of_leg = [payable for payable in originals if payable.leg == leg]
        parts = [amount] if host and leg == "benefit" else _credit_parts(of_leg, terms, amount)
        for payable, part in zip(of_leg, parts, strict=True):
            reversed_part = _cancel(draft, payable, part)
            if reversed_part:
                reverse = new_payable(
                    draft,
                    cause=cause,
                    position=payables + made,
                    debtor=payable.creditor,
                    creditor=payable.debtor,
                    leg=payable.leg,
                    amount=reversed_part,
                    due_ms=due_ms,
                    reverse=True,
                )
                _join_if_cleared(draft, reverse, time_ms)
                made += 1
    return made


def _originals(draft: Draft, cause: str, payables: int) -> Iterator[Payable]:
    """Yield the payables of a claim's acceptance: they come before all reverse ones."""
    for payable in claim_payables(draft, cause, payables):
        if payable.reverse:
            return
        yield payable


def claim_payables(view: StateView, cause: str, payables: int) -> Iterator[Payable]:
    """Yield all payables of a claim, by position."""
    for position in range(payables):
        yield must(view, PAYABLES, payable_id(cause, position))


def _credit_parts(originals: list[Payable], terms: Terms, amount: int) -> list[int]:
    """Return what each funder's original gives of a credit note; the parts add up (R7.2)."""
    if not originals:
        return []
    shares = {share.funder: share.basis_points for share in terms.funders}
    wanted = [amount * shares[payable.debtor] // money.WHOLE_BASIS_POINTS for payable in originals]
    for position, payable in enumerate(originals):
        if payable.debtor == terms.residual_funder:
            others = sum(part for other, part in enumerate(wanted) if other != position)
            wanted[position] = amount - others
    parts = [
        min(part, _remaining(payable)) for payable, part in zip(originals, wanted, strict=True)
    ]
    left = amount - sum(parts)
    for position, payable in enumerate(originals):
        more = min(left, _remaining(payable) - parts[position])
        parts[position] += more
        left -= more
    assert left == 0, "a credit note is never above what is accepted"
    return parts


def _remaining(payable: Payable) -> int:
    return payable.amount - payable.cancelled - payable.reversed


def _cancel(draft: Draft, payable: Payable, part: int) -> int:
    """Take ``part`` off an original, directly as far as possible; return what must be reversed."""
    room = open_of(payable)
    if is_cleared(payable) and payable.cycle:
        cycle = must(draft, OPEN_CYCLE, "all")
        if payable.cycle == (cycle.number,):
            change_nets(draft, payable, -min(part, room))
        else:
            room = 0
    direct = min(part, room)
    forgiven = min(part - direct, payable.written_off)  # nobody paid it, so nobody pays it back
    back = part - direct - forgiven
    changed = msgspec.structs.replace(
        payable,
        cancelled=payable.cancelled + direct + forgiven,
        written_off=payable.written_off - forgiven,
        reversed=payable.reversed + back,
    )
    draft.put(PAYABLES, changed, payable.id)
    return back


# The open cycle (R13)


def is_cleared(payable: Payable) -> bool:
    """Return whether a payable goes through clearing cycles instead of being paid by itself."""
    return payable.leg == "reimbursement" and payable.debtor != payable.creditor


def open_cycle(view: StateView) -> OpenCycle:
    """Return the cycle that payables join now."""
    cycle = get(view, OPEN_CYCLE, "all")
    return cycle if cycle is not None else OpenCycle(number=1, first_join_ms=(), positions=())


def owed_net(nets: Iterable[int]) -> int:
    """Return what those who are owed something are owed together, in fen."""
    return sum(max(net, 0) for net in nets)


def change_nets(draft: Draft, payable: Payable, amount: int) -> None:
    """Add ``amount`` fen of a payable to the nets of the open cycle.

    What treasuries are owed in it together stays an amount; raises AmountOverflow (R13.1).
    """
    cycle = open_cycle(draft)
    nets = {position.party: position.net for position in cycle.positions}
    nets[payable.debtor] = nets.get(payable.debtor, 0) - amount
    nets[payable.creditor] = nets.get(payable.creditor, 0) + amount
    money.add(0, owed_net(nets.values()))
    positions = tuple(Position(party=party, net=nets[party]) for party in sorted(nets))
    draft.put(OPEN_CYCLE, msgspec.structs.replace(cycle, positions=positions), "all")


def _join_if_cleared(draft: Draft, payable: Payable, time_ms: int) -> None:
    held = open_holds(draft, "payable", payable.id) or open_holds(draft, "claim", payable.cause)
    if is_cleared(payable) and not held:
        join_cycle(draft, payable, time_ms)


def join_cycle(draft: Draft, payable: Payable, time_ms: int) -> None:
    """Put a payable into the open cycle (R13.1)."""
    change_nets(draft, payable, payable.amount - payable.cancelled)
    cycle = open_cycle(draft)
    if not cycle.first_join_ms:
        cycle = msgspec.structs.replace(cycle, first_join_ms=(time_ms,))
        draft.put(OPEN_CYCLE, cycle, "all")
    joined = msgspec.structs.replace(payable, cycle=(cycle.number,))
    draft.put(PAYABLES, joined, payable.id)


def leave_cycle(draft: Draft, payable: Payable) -> None:
    """Take a payable out of the open cycle (R13.2)."""
    change_nets(draft, payable, payable.cancelled - payable.amount)
    draft.put(PAYABLES, msgspec.structs.replace(payable, cycle=()), payable.id)
