"""Who acts for a member that may not act itself (spec R10.5, R10.6)."""

from collections.abc import Iterable

from ledger.encoding.codec import AtMostOne, Record, Slug, only
from ledger.rules.parties import PARTIES, Party
from ledger.rules.refusals import PartyNotActive
from ledger.view import StateView, Table, get, must

STEPS_MAX = 16
"""How many successors are looked through: members that were suspended or removed after they were
named. They never come round in a circle: who is named is active, and so has no successor then."""


class Succession(Record, frozen=True):
    """Who takes a member's place while it is not active, if anybody does."""

    successor: AtMostOne[Slug]


SUCCESSIONS = Table("succession", Succession)
"""By party: what the last decision about its status named (R14.2)."""


def successor_of(view: StateView, party_id: str) -> AtMostOne[str]:
    """Return whom the last decision about a member's status named."""
    succession = get(view, SUCCESSIONS, party_id)
    return () if succession is None else succession.successor


def actor_of(view: StateView, party_id: str) -> Party | None:
    """Return who acts for a party: itself while it is active, else its successor (R10.5)."""
    party = must(view, PARTIES, party_id)
    for _ in range(STEPS_MAX):
        if party.status == "active":
            return party
        successor = only(successor_of(view, party.id))
        if successor is None:
            return None
        party = must(view, PARTIES, successor)
    return party if party.status == "active" else None


def acts_for_one(view: StateView, by: str, parties: Iterable[str]) -> bool:
    """Return whether a party acts for itself or another of these (R10.5)."""
    actors = (actor_of(view, party) for party in parties)
    return any(actor is not None and actor.id == by for actor in actors)


def acting_for(view: StateView, party_id: str) -> Party:
    """Return who acts for a party; raise PartyNotActive if nobody does (R10.5)."""
    actor = actor_of(view, party_id)
    if actor is None:
        raise PartyNotActive(party=party_id, status=must(view, PARTIES, party_id).status)
    return actor


def settling_for(view: StateView, party_id: str) -> Party:
    """Return who pays, confirms, returns and releases for a party (R10.6).

    A suspended member does so itself: its debts do not wait for its members' decision.
    """
    party = must(view, PARTIES, party_id)
    return party if party.status == "suspended" else acting_for(view, party_id)
