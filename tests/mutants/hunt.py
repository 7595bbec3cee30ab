"""Finds, for a mutant of the rules, the named case that notices it."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ledger.blocks import BlockRefused
from ledger.inadmissible import KindUnknown
from ledger.rules import refusals
from ledger.rules.refusals import TransactionRefused
from tests.ledger.rules.case import Ready
from tests.mutants.mutate import Mutant, in_place

NOTICED = (
    *(AssertionError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    *(BlockRefused, KindUnknown),
)
"""How a case fails: an outcome that it does not expect, rules that trip over themselves, or a kind
that no height knows any more."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    mutant: Mutant
    killer: str
    """The case that noticed it, empty if none did."""


def hunt(mutant: Mutant, cases: Sequence[Ready], units: Sequence[Callable[[], None]]) -> Verdict:
    """Return which case or unit test notices a mutant, the likely ones tried first."""
    with in_place(mutant):
        for ready in _likely_first(mutant, cases):
            if _notices(ready.check):
                return Verdict(mutant, str(ready.case))
        for unit in units:
            if _notices(unit):
                return Verdict(mutant, unit.__name__.replace("_", " "))
    return Verdict(mutant, "")


def _notices(check: Callable[[], None]) -> bool:
    try:
        check()
    except NOTICED:
        return True
    except TransactionRefused:  # raised where no transaction is applied
        return True
    return False


def _likely_first(mutant: Mutant, cases: Sequence[Ready]) -> Iterable[Ready]:
    """Return the cases: those of the mutant's codes, what just holds beside them, the others."""
    codes = {getattr(refusals, name).code for name in mutant.codes}
    clauses = Counter(ready.case.clause for ready in cases if ready.case.code in codes)

    def place(ready: Ready) -> int:
        case = ready.case
        if case.code in codes:
            return 0
        if case.code == "ok":
            return 1 if case.clause in clauses else 2
        return 3

    return sorted(cases, key=place)
