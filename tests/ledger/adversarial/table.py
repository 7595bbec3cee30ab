"""The adversarial data set: every way to be refused, and the last values that hold."""

from tests.ledger.adversarial import (
    attestations,
    cases,
    centres,
    claims,
    decisions,
    effects,
    governance,
    limits,
    parties,
    programmes,
    reserves,
    settlement,
    vouchers,
)
from tests.ledger.adversarial.case import Case

TABLE: tuple[Case, ...] = tuple(
    case
    for concept in (
        parties,
        attestations,
        programmes,
        centres,
        vouchers,
        reserves,
        claims,
        decisions,
        settlement,
        cases,
        governance,
        effects,
        limits,
    )
    for case in concept.CASES
)
