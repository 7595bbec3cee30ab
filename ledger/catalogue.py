"""The ledger's concepts in one list, and what follows from it: the kinds of transaction.

A concept is a module of the rules that declares tables or kinds. Whoever adds one names it here,
and nowhere else.
"""

from types import ModuleType

from ledger.rules import (
    attestations,
    authority,
    budgets,
    cases,
    centres,
    claims,
    clearing,
    control,
    governance,
    holds,
    invoices,
    misbehaviour,
    parties,
    payables,
    payments,
    programmes,
    quotas,
    recoveries,
    redemptions,
    reserves,
    successors,
    sums,
    validators,
    vouchers,
    withdrawals,
)
from ledger.rules.base import Kind, Rule

CONCEPTS: tuple[ModuleType, ...] = (
    attestations,
    authority,
    budgets,
    cases,
    centres,
    claims,
    clearing,
    control,
    misbehaviour,
    governance,
    holds,
    invoices,
    parties,
    payables,
    payments,
    programmes,
    quotas,
    recoveries,
    redemptions,
    reserves,
    successors,
    sums,
    validators,
    vouchers,
    withdrawals,
)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for concept in CONCEPTS
    for kind in vars(concept).values()
    if isinstance(kind, Kind)
}
"""Every kind of transaction that this software knows, by name."""

RULES_VERSIONS: tuple[int, ...] = (1,)
"""The rules versions that this software knows (R14.2)."""


def rule_at(version: int, kind: str) -> Rule | None:
    """Return the rule of a kind in a rules version, None if it is not known there."""
    known = KINDS.get(kind)
    return None if known is None else known.rule_at(version)
