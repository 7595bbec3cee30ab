"""All tables by name: what a record under a key of the state is."""

from typing import Any

from ledger.rules import (
    attestations,
    authority,
    budgets,
    cases,
    centres,
    claims,
    clearing,
    control,
    faults,
    governance,
    holds,
    invoices,
    parties,
    payables,
    payments,
    programmes,
    recoveries,
    redemptions,
    reserves,
    sums,
    validators,
    vouchers,
)
from ledger.view import Table

TABLES: dict[str, Table[Any]] = {
    table.name: table
    for module in (
        attestations,
        authority,
        budgets,
        cases,
        centres,
        claims,
        clearing,
        control,
        faults,
        governance,
        holds,
        invoices,
        parties,
        payables,
        payments,
        programmes,
        recoveries,
        redemptions,
        reserves,
        sums,
        validators,
        vouchers,
    )
    for table in vars(module).values()
    if isinstance(table, Table)
}


def table_of(key: bytes) -> Table[Any]:
    """Return the table of a storage key."""
    return TABLES[key.split(b"/", 1)[0].decode("ascii")]
