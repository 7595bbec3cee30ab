"""Governance: what members were asked, and what holds now."""

from dataclasses import dataclass

from api.reads import head_of, single
from ledger.encoding import codec
from ledger.rules.control import CONTROL, PARAMETERS, Control, OfficersRule, Parameters, TagKey
from ledger.rules.governance import PROPOSALS, Proposal
from ledger.rules.parties import MEMBERS, PARTIES, is_city
from ledger.store.lmdb_store import Snapshot
from ledger.transactions import kind_of
from ledger.view import must

PROPOSALS_SHOWN = 10
LISTS = ("officers", "tag_keys")
NUMBERS = tuple(name for name in Parameters.__struct_fields__ if name not in LISTS)
"""The parameters that are a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRow:
    """A proposal as it stands."""

    proposal: Proposal
    action: str
    status: str
    """``open``, ``adopted``, or ``over`` if its time is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Governance:
    """Proposals, newest first, and what is in force."""

    proposals: tuple[ProposalRow, ...]
    cities: int
    """Active cities, and"""
    members: int
    """active members: more than two thirds of both adopt a proposal."""
    parameters: tuple[tuple[str, int], ...]
    officers: tuple[OfficersRule, ...]
    tag_keys: tuple[TagKey, ...]
    control: Control


def governance(snapshot: Snapshot) -> Governance:
    """Return the state of governance."""
    now_ms = head_of(snapshot).time_ms
    rows = []
    newest = snapshot.scan("state", prefix=PROPOSALS.prefix, limit=PROPOSALS_SHOWN, reverse=True)
    for _, value in newest:
        proposal: Proposal = codec.decode_stored(Proposal, value[8:])
        is_over = proposal.status == "open" and proposal.closes_ms <= now_ms
        rows.append(
            ProposalRow(
                proposal=proposal,
                action=kind_of(proposal.action),
                status="over" if is_over else proposal.status,
            )
        )
    members = [must(snapshot, PARTIES, party) for party in must(snapshot, MEMBERS, "all").ids]
    active = [member for member in members if member.status == "active"]
    parameters, _ = single(snapshot, PARAMETERS, "all")
    return Governance(
        proposals=tuple(rows),
        cities=sum(1 for member in active if is_city(member)),
        members=len(active),
        parameters=tuple((name, getattr(parameters, name)) for name in NUMBERS),
        officers=parameters.officers,
        tag_keys=parameters.tag_keys,
        control=must(snapshot, CONTROL, "all"),
    )
