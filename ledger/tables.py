"""All tables by name: what a record under a key of the state is."""

from typing import Any

from ledger.catalogue import CONCEPTS
from ledger.view import Table

TABLES: dict[str, Table[Any]] = {
    table.name: table
    for concept in CONCEPTS
    for table in vars(concept).values()
    if isinstance(table, Table)
}


def table_of(key: bytes) -> Table[Any]:
    """Return the table of a storage key."""
    return TABLES[key.split(b"/", 1)[0].decode("ascii")]
