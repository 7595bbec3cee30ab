"""The seam (B2): any engine gives the same totals, and the same inputs give the same records."""

import random
from typing import Any

import pytest

from ledger.blocks import BlockRefused, record_hash_of
from ledger.ledger import Ledger
from ledger.rules.budgets import BUDGETS
from ledger.rules.programmes import TOTALS
from ledger.rules.vouchers import VOUCHERS, Voucher
from ledger.store.memory import MemoryStore
from ledger.view import must
from tests import builders
from tests.builders import NOON_MS, Chain
from tests.ledger.fake_engine import FakeEngine

PROGRAMME = "shanghai.compute"
FIRMS = tuple(f"firm-{letter}" for letter in "abcdef")
VOUCHERS_EACH = 3


def opened() -> Chain:
    """Return a chain with a programme, money, six firms with vouchers, and a centre."""
    chain = Chain()
    firms = [builders.enrol(firm) for firm in FIRMS]
    chain.accept(builders.publish(), *firms, builders.accredit())
    chain.accept(builders.appropriate(), builders.recognise())
    chain.accept(builders.mint(*[(firm, 10_000) for firm in FIRMS for _ in range(VOUCHERS_EACH)]))
    return chain


def work() -> tuple[bytes, ...]:
    """Return transactions that hold in whatever order they come."""
    raws = []
    for index, firm in enumerate(FIRMS):
        for number in range(VOUCHERS_EACH):
            voucher = f"{PROGRAMME}.{index * VOUCHERS_EACH + number + 1:09d}"
            to = FIRMS[(index + number + 1) % len(FIRMS)]
            raws.append(builders.transfer(voucher, 100 + number, holder=firm, recipient=to))
            invoice = f"bill {firm} {number}"
            raws.append(builders.redeem((voucher, 1_000 + index), holder=firm, invoice=invoice))
    return tuple(raws)


def store_of(ledger: Ledger) -> MemoryStore:
    store = ledger._storage
    assert isinstance(store, MemoryStore)
    return store


def books(ledger: Ledger) -> dict[str, Any]:
    """Return totals, budget and what every party holds: what no order of blocks may change."""
    store = store_of(ledger)
    held: dict[str, int] = {}
    for key in store.state:
        if key.startswith(VOUCHERS.prefix):
            voucher = store.read(key, Voucher)
            assert voucher is not None
            held[voucher.holder] = held.get(voucher.holder, 0) + voucher.available
    return {
        "totals": must(store, TOTALS, PROGRAMME),
        "budget": must(store, BUDGETS, PROGRAMME, "2026", "shanghai"),
        "held": held,
    }


def driven(seed: int) -> FakeEngine:
    """Return a fake engine after it logged all the work."""
    chain = opened()
    engine = FakeEngine(ledger=chain.ledger, dice=random.Random(seed), now_ms=chain.now_ms)
    engine.submit(work())
    engine.run()
    return engine


@pytest.mark.parametrize("seed", range(4))
def test_whatever_an_engine_chooses_the_totals_and_balances_are_the_same(seed: int) -> None:
    plain = opened()
    plain.accept(*work())
    engine = driven(seed)
    assert engine.pool == []
    assert engine.thrown_away > 0
    assert books(engine.ledger) == books(plain.ledger)
    assert engine.ledger.last().record_hash != plain.ledger.last().record_hash, "other blocks"


def test_the_engine_makes_empty_blocks_that_leave_the_record_hash() -> None:
    engines = [driven(seed) for seed in range(4)]
    assert sum(engine.empty for engine in engines) > 0
    for engine in engines:
        again = opened().ledger
        for block in engine.decided:
            before = again.last()
            after = again.commit(again.execute(block), b"")
            assert (after.record_hash == before.record_hash) is (not block.transactions)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_inputs_give_the_same_records(seed: int) -> None:
    engine = driven(seed)
    other = opened().ledger
    for block in engine.decided:
        execution = other.execute(block)
        other.commit(execution, b"another engine's certificate")
        if execution.record is not None:
            assert other.last().record_hash == record_hash_of(execution.record)
    assert other.last() == engine.ledger.last()
    one, two = store_of(engine.ledger), store_of(other)
    assert (one.log, one.state, one.history) == (two.log, two.state, two.history)


def test_the_engine_leaves_in_its_pool_what_can_never_hold() -> None:
    chain = opened()
    engine = FakeEngine(ledger=chain.ledger, dice=random.Random(1), now_ms=chain.now_ms)
    voucher = f"{PROGRAMME}.000000001"
    spends = [builders.transfer(voucher, 6_000 + extra) for extra in (0, 1)]
    engine.submit([*spends, b"no envelope", builders.transfer(voucher, 1, expires_at=NOON_MS)])
    assert len(engine.pool) == 2
    engine.run()
    assert len(engine.pool) == 1, "a double spend: one of two"
    assert books(engine.ledger)["held"]["firm-a"] in (24_000, 23_999)


def test_checking_says_what_a_block_would_say_and_changes_nothing() -> None:
    chain = opened()
    state = dict(store_of(chain.ledger).state)
    voucher = f"{PROGRAMME}.000000001"
    good, bad = builders.transfer(voucher, 1), builders.transfer(voucher, 10_001)
    assert chain.ledger.check(good).refusal is None
    assert VOUCHERS.key(voucher) in chain.ledger.check(good).reads
    refusal = chain.ledger.check(bad).refusal
    assert refusal is not None
    assert refusal.code == "voucher_exhausted"
    assert store_of(chain.ledger).state == state
    assert [one.code for one in chain.attempt(good, bad)] == ["ok", refusal.code]
    with pytest.raises(BlockRefused, match="transaction 1 is refused: voucher_exhausted"):
        chain.block(builders.transfer(voucher, 2), bad)
