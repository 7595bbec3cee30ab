"""Each invariant (I1 to I5), broken on purpose: the ledger stops instead of going on."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ledger.encoding.codec import FEN_MAX, Record
from ledger.execute import stored_value
from ledger.invariants import PARTS, InvariantBroken, check_changes
from ledger.rules.claims import CLAIMS, INVOICES
from ledger.rules.programmes import BUDGETS, TOTALS
from ledger.rules.settlement import PAYABLES
from ledger.rules.vouchers import VOUCHERS
from ledger.store.memory import MemoryStore
from ledger.view import Put, Table, must
from tests import builders
from tests.builders import Chain

PROGRAMME = "shanghai.compute"
V1 = f"{PROGRAMME}.000000001"
CLAIM = "guian-hub.000000001"
TAG = builders.seed("invoice-1").hex()


def used_chain() -> Chain:
    """Return a chain with a voucher, a burn, a payable and a budget in use."""
    chain = builders.funded_chain()
    chain.accept(builders.mint(("firm-a", 1_000)))
    chain.accept(builders.redeem((V1, 300)))
    return chain


def store_of(chain: Chain) -> MemoryStore:
    store = chain.ledger._storage
    assert isinstance(store, MemoryStore)
    return store


def changed(store: MemoryStore, table: Table[Any], *parts: str, **fields: Any) -> Put:
    """Return a stored record with some fields changed."""
    record: Record = msgspec.structs.replace(must(store, table, *parts), **fields)
    return Put(table.key(*parts), record)


Doctor = Callable[[MemoryStore], tuple[Put, ...]]

BREAKS: dict[str, Doctor] = {
    "I1: parts of a voucher above its face": lambda store: (
        changed(store, VOUCHERS, V1, available=701),
    ),
    "I1: a voucher's value moved, its programme's total did not": lambda store: (
        changed(store, VOUCHERS, V1, available=600, expired=100),
    ),
    "I1: a programme's total moved, its vouchers did not": lambda store: (
        changed(store, VOUCHERS, V1),
        changed(store, TOTALS, PROGRAMME, available=600, expired=100),
    ),
    "I1: parts of a total above what was minted": lambda store: (
        changed(store, TOTALS, PROGRAMME, available=701),
    ),
    "I2: committed above appropriated": lambda store: (
        changed(store, BUDGETS, PROGRAMME, "2026", "shanghai", committed=100_000_001),
    ),
    "I2: committed below zero": lambda store: (
        changed(store, BUDGETS, PROGRAMME, "2026", "shanghai", committed=-1),
    ),
    "I2: appropriated beyond amounts": lambda store: (
        changed(store, BUDGETS, PROGRAMME, "2026", "shanghai", appropriated=FEN_MAX + 1),
    ),
    "I4: accepted above the base": lambda store: (changed(store, INVOICES, TAG, base=299),),
    "I4: base above the bill": lambda store: (changed(store, INVOICES, TAG, base=3_001),),
    "I5: accepted above what was asked": lambda store: (
        changed(store, CLAIMS, CLAIM, accepted=301),
    ),
    "I5: accepted without payables": lambda store: (
        changed(store, CLAIMS, CLAIM, amount=400, accepted=400),
    ),
    "I5: a payable without acceptance": lambda store: (
        changed(store, PAYABLES, CLAIM, "0", amount=301),
    ),
    "I5: paid above due": lambda store: (changed(store, PAYABLES, CLAIM, "0", paid=301),),
    **{
        f"I8: {part} below zero": lambda store, part=part: (  # type: ignore[misc]
            changed(store, VOUCHERS, V1, **{part: -1}),
        )
        for part in PARTS
    },
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_check_finds(name: str) -> None:
    store = store_of(used_chain())
    with pytest.raises(InvariantBroken):
        check_changes(store, dict(BREAKS[name](store)))


def test_the_check_is_content_with_what_rules_wrote() -> None:
    store = store_of(used_chain())
    same = (
        changed(store, VOUCHERS, V1),
        changed(store, TOTALS, PROGRAMME),
        changed(store, BUDGETS, PROGRAMME, "2026", "shanghai"),
        changed(store, CLAIMS, CLAIM),
        changed(store, PAYABLES, CLAIM, "0"),
        changed(store, INVOICES, TAG),
    )
    check_changes(store, dict(same))


def test_a_block_over_a_doctored_record_stops_the_ledger() -> None:
    chain = used_chain()
    store = store_of(chain)
    key, record = changed(store, VOUCHERS, V1, available=900)
    store.state[key] = stored_value(0, record)
    with pytest.raises(InvariantBroken):
        chain.block(builders.transfer(V1, 5))
    assert chain.ledger.last().height == 4, "nothing was committed"


def test_a_proposal_over_a_doctored_record_stops_the_ledger_too() -> None:
    chain = used_chain()
    store = store_of(chain)
    key, record = changed(store, TOTALS, PROGRAMME, available=0)
    store.state[key] = stored_value(0, record)
    with pytest.raises(InvariantBroken):
        chain.block(builders.redeem((V1, 5), invoice="bill 2"))


def test_an_invariant_is_no_refusal_that_somebody_might_catch() -> None:
    assert issubclass(InvariantBroken, AssertionError)
    assert not issubclass(InvariantBroken, ValueError)
