"""Every check of the rules is needed, and every bound is exact: some named case notices."""

import re
from collections.abc import Callable

import pytest

from ledger.rules import vouchers
from ledger.rules.refusals import VoucherExhausted, all_refusals
from tests.ledger.rules.case import Ready
from tests.ledger.rules.table import TABLE
from tests.mutants.hunt import hunt
from tests.mutants.mutate import RULES, Mutant, in_place, mutants
from tests.mutants.units import UNITS

LEAST = 500
"""There are more mutants than this."""

EQUIVALENT = {
    "centres.is_accepted: without `terms.centres == 'listed'` in "
    "`terms.centres == 'listed' and accreditation.centre in terms.listed`": (
        "terms list centres only where that is the rule (T3.7)"
    ),
    "parties.is_city: without `party.kind == 'treasury'` in "
    "`party.kind == 'treasury' and party.party_class == 'city'`": (
        "only treasuries are of class city (G3)"
    ),
    "payables._cancel: without `is_cleared(payable)` in `is_cleared(payable) and payable.cycle`": (
        "no benefit has a cycle, and a settlement is not credited"
    ),
    "payables._join_if_cleared: without `open_holds(draft, 'payable', payable.id)` in "
    "`open_holds(draft, 'payable', payable.id) or open_holds(draft, 'claim',`": (
        "a payable that is being made was held by nobody: there was no such thing (T20.4)"
    ),
    "vouchers.apply_extend: `expiry < until_ms <= latest_ms` off by +1 at 1": (
        "both are ends of days: no end of a day lies a millisecond later"
    ),
}
"""Mutants that do what the rule does, with the reason."""


@pytest.fixture(scope="module")
def all_mutants() -> list[Mutant]:
    return mutants()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.__name__)
def test_it_is_so_that(unit: Callable[[], None]) -> None:
    unit()


@pytest.mark.ci
def test_every_mutant_is_killed_by_a_named_case(all_mutants: list[Mutant]) -> None:
    cases = [Ready(case) for case in TABLE]
    verdicts = [hunt(mutant, cases, UNITS) for mutant in all_mutants]
    for verdict in verdicts:
        print(f"{verdict.mutant}\n    killed by {verdict.killer or 'NOTHING'}")
    survivors = {verdict.mutant.name for verdict in verdicts if not verdict.killer}
    print(f"{len(verdicts)} mutants, {len(verdicts) - len(survivors)} killed, {len(cases)} cases")
    assert survivors == set(EQUIVALENT), sorted(survivors ^ set(EQUIVALENT))
    assert len(verdicts) >= LEAST
    for ready in cases:
        ready.check()


def test_every_refusal_of_the_rules_has_a_mutant_without_it(all_mutants: list[Mutant]) -> None:
    names = "|".join(type_.__name__ for type_ in all_refusals())
    raised = {
        path.stem: len(re.findall(rf"^ +raise (?:{names})\(", path.read_text(), re.M))
        for path in RULES.glob("*.py")
    }
    made = dict.fromkeys(raised, 0)
    for mutant in all_mutants:
        made[mutant.module] += mutant.text.startswith("without raise ")
    assert made == raised
    assert sum(made.values()) >= 140


def test_a_mutant_is_what_everybody_runs_while_it_is_in_place(all_mutants: list[Mutant]) -> None:
    (mutant,) = (one for one in all_mutants if one.name.endswith("without raise VoucherExhausted"))
    imported = vouchers.require_available
    (case,) = (one for one in TABLE if str(one).startswith("T17.3 voucher_exhausted"))
    ready = Ready(case)
    voucher = vouchers.Voucher(
        **dict.fromkeys(("id", "programme", "holder"), "x"),  # type: ignore[arg-type]
        **dict.fromkeys(  # type: ignore[arg-type]
            ("face", "available", "reserved", "claimed", "redeemed", "expired", "revoked"), 0
        ),
        expires_at_ms=0,
        due_ms=0,
        stopped_ms=0,
        given_back_ms=0,
        terms_version=1,
        year=2026,
        minted_day=0,
        parent=(),
        depth=0,
    )
    with pytest.raises(VoucherExhausted):
        imported(voucher, 1)
    with in_place(mutant):
        imported(voucher, 1)
        with pytest.raises(AssertionError):
            ready.check()
    with pytest.raises(VoucherExhausted):
        imported(voucher, 1)
    ready.check()
