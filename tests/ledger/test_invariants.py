"""Each invariant over states, broken on purpose: the ledger stops instead of going on."""

import re
from typing import Any

import msgspec
import pytest

from ledger.encoding.codec import Record
from ledger.execute import stored_value
from ledger.invariants import InvariantBroken, check_changes, check_state
from ledger.rules.budgets import BUDGETS
from ledger.rules.claims import CLAIMS
from ledger.rules.invoices import INVOICES
from ledger.rules.payables import PAYABLES
from ledger.rules.programmes import TOTALS
from ledger.rules.vouchers import VOUCHERS
from ledger.store.memory import MemoryStore
from ledger.view import Put, Table, must
from tests import builders
from tests.builders import Chain
from tests.ledger.corruptions import STATES, Corruption, busy_store, records_of

PROGRAMME = "shanghai.compute"
V1 = f"{PROGRAMME}.000000001"
CLAIM = "guian-hub.000000001"
PAYABLE = f"{CLAIM}-000"
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
    return table.key(*parts), record


@pytest.fixture(scope="module")
def busy() -> MemoryStore:
    return busy_store()


def test_a_busy_ledger_is_sound(busy: MemoryStore) -> None:
    records = records_of(busy)
    assert check_state(records.items()) == len(records) > 60
    check_changes(busy, records)


@pytest.mark.parametrize("state", STATES, ids=str)
def test_an_audit_finds(state: Corruption, busy: MemoryStore) -> None:
    key, record = state.change(busy)
    with pytest.raises(InvariantBroken, match=re.escape(state.says)):
        check_state({**records_of(busy), key: record}.items())


@pytest.mark.parametrize("state", [state for state in STATES if not state.only_in_audit], ids=str)
def test_the_running_ledger_finds(state: Corruption, busy: MemoryStore) -> None:
    with pytest.raises(InvariantBroken, match=re.escape(state.says)):
        check_changes(busy, dict((state.change(busy),)))


def test_every_invariant_over_states_is_broken_once() -> None:
    assert {state.invariant for state in STATES} == {"I1", "I2", "I3", "I4", "I5", "I7", "I8"}
    print(f"{len(STATES)} corrupted states")


@pytest.mark.parametrize("part", ["expired", "revoked"])
def test_what_expired_or_was_revoked_stays_so(part: str) -> None:
    """I7: a block in which such value became available again, books and all, is not made."""
    chain = used_chain()
    chain.accept(builders.revoke(V1, 200))
    store = store_of(chain)
    gone = {"expired": 0, "revoked": 0, part: 200}
    for table, name in ((VOUCHERS, V1), (TOTALS, PROGRAMME)):
        key, record = changed(store, table, name, **gone)
        store.state[key] = stored_value(0, record)
    more = must(store, VOUCHERS, V1).available + 1
    with pytest.raises(InvariantBroken, match=f"{part} value moved"):
        check_changes(
            store,
            dict(
                (
                    changed(store, VOUCHERS, V1, available=more, **{part: 199}),
                    changed(store, TOTALS, PROGRAMME, available=more, **{part: 199}),
                )
            ),
        )


def test_the_check_is_content_with_what_rules_wrote() -> None:
    store = store_of(used_chain())
    same = (
        changed(store, VOUCHERS, V1),
        changed(store, TOTALS, PROGRAMME),
        changed(store, BUDGETS, PROGRAMME, "2026", "shanghai"),
        changed(store, CLAIMS, CLAIM),
        changed(store, PAYABLES, PAYABLE),
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
