"""Families of commits by the name of the engine that makes them.

Whoever verifies what stands beside a block asks here, by the name that governance has for the
engine of its height; nobody else knows whose commits there are.
"""

from engines.builtin.commits import BuiltinCommits
from engines.seam import CommitFamily

FIRST_ENGINE = "builtin"
"""Who decides until members choose another engine."""
FAMILIES: dict[str, CommitFamily] = {"builtin": BuiltinCommits()}


class FamilyUnknown(Exception):
    """This software cannot verify what an engine stores: install one that can."""


def family_of(engine: str) -> CommitFamily:
    """Return the family of an engine, as governance names it; empty before any was chosen."""
    name = engine or FIRST_ENGINE
    family = FAMILIES.get(name)
    if family is None:
        known = ", ".join(sorted(FAMILIES))
        raise FamilyUnknown(f"commits of engine {name} cannot be verified here, only of {known}")
    return family


def commit_bytes_max() -> int:
    """Return how long a stored commit of any family can be."""
    return max(family.bytes_max for family in FAMILIES.values())
