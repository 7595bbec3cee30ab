"""All cases of all concepts: every way to be refused, and the last values that hold."""

from tests.ledger.rules import (
    test_attestations,
    test_budgets,
    test_cases,
    test_centres,
    test_claims,
    test_clearing,
    test_control,
    test_expiry,
    test_governance,
    test_invoices,
    test_parties,
    test_payables,
    test_payments,
    test_programmes,
    test_quotas,
    test_recoveries,
    test_redemptions,
    test_reserves,
    test_successors,
    test_validators,
    test_vouchers,
    test_withdrawals,
)
from tests.ledger.rules.case import Case

TABLE: tuple[Case, ...] = tuple(
    case
    for concept in (
        test_parties,
        test_attestations,
        test_programmes,
        test_budgets,
        test_centres,
        test_vouchers,
        test_reserves,
        test_redemptions,
        test_invoices,
        test_claims,
        test_payables,
        test_clearing,
        test_payments,
        test_cases,
        test_governance,
        test_validators,
        test_recoveries,
        test_successors,
        test_control,
        test_expiry,
        test_withdrawals,
        test_quotas,
    )
    for case in concept.CASES
)
