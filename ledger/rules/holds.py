"""Holds: a freeze with a case behind it, never a balance (spec R10.4; T20 and T21 in cases)."""

from typing import Annotated, Literal

from msgspec import Meta

from ledger.encoding.codec import AtMostOne, Hash, Natural, Record, SerialId, Slug, Text
from ledger.rules.refusals import Held
from ledger.view import StateView, Table, get

OWN_HOLDS_MAX = 4
"""Open holds of one setter on one thing: nobody's holds shut out another's."""
HOLDS_MAX = 256
"""Open holds on one thing, of 64 setters or more. Of cities at most two are ever concerned with a
thing, so that dozens of auditors would have to act together."""

Scope = Literal["party", "centre", "programme", "voucher", "claim", "payable"]
ThingId = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9.-]{0,95}\Z")]


class Hold(Record, frozen=True):
    """A freeze of one thing by a city or an auditor."""

    id: SerialId
    setter: Slug
    scope: Scope
    thing: ThingId
    case: Hash
    """Salted hash of the case that it rests on."""
    reason: Text
    set_ms: Natural
    cleared_ms: AtMostOne[Natural]
    cleared_case: AtMostOne[Hash]


class HoldBar(Record, frozen=True):
    """The hold for which a setter may not hold a thing again."""

    hold: SerialId


class HeldBy(Record, frozen=True):
    """The open holds on a thing, oldest first."""

    holds: Annotated[tuple[SerialId, ...], Meta(max_length=HOLDS_MAX)]


HOLDS = Table("hold", Hold)
"""By id: setter and serial."""
HELD = Table("held", HeldBy)
"""By scope and thing."""
HOLD_BARS = Table("hold-bar", HoldBar)
"""By scope, thing and setter: somebody else cleared the setter's hold."""


def open_holds(view: StateView, scope: Scope, thing: str) -> tuple[str, ...]:
    """Return the ids of the open holds on a thing, oldest first."""
    held = get(view, HELD, scope, thing)
    return () if held is None else held.holds


def require_not_held(view: StateView, *things: tuple[Scope, str]) -> None:
    """Raise Held if a hold is open on one of these things (R10.4)."""
    for scope, thing in things:
        for hold in open_holds(view, scope, thing):
            raise Held(scope=scope, id=thing, hold=hold)
