"""States that contradict themselves: one record of a sound ledger is changed past all rules.

Each names the invariant (I) that it breaks and the words by which the check tells so. Most are seen
both in the changes of a block and in a whole state; what only an audit adds up says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ledger.encoding import codec
from ledger.encoding.codec import FEN_MAX, UINT64_MAX, Record
from ledger.invariants import PARTS
from ledger.rules.budgets import BUDGETS
from ledger.rules.claims import CLAIMS, REDEEMED
from ledger.rules.clearing import CYCLE_OPEN_MIN_MS, CYCLES
from ledger.rules.holds import HELD, HOLDS
from ledger.rules.invoices import CONTRACT_BASE, CONTRACT_PAID, INVOICES
from ledger.rules.payables import OPEN_CYCLE, PAYABLES, Position
from ledger.rules.payments import PAYMENTS
from ledger.rules.programmes import TOTALS
from ledger.rules.reserves import RESERVES
from ledger.rules.vouchers import ISSUED, VOUCHERS
from ledger.store.memory import MemoryStore
from ledger.tables import table_of
from ledger.view import Table, must
from tests.builders import seed
from tests.ledger.rules.case import (
    CLAIM,
    GRANTED,
    HOST_PAYS,
    PAYABLE,
    PROGRAMME,
    RESERVE,
    TODAY,
    V1,
    V2,
    Case,
    close_cycle,
    confirm,
    credit,
    extend,
    instruct,
    redeem,
    revoke,
    second,
    set_aside,
    set_hold,
    setting,
    transfer,
)
from tests.ledger.rules.situations import CONTRACT, C, alone

WAITING = "guian-hub.000000002"
SETTLED = "clearing.000000001-000"
BUSY = (
    HOST_PAYS,
    GRANTED,
    set_aside(V1, 1_000),
    redeem((V1, 100)),
    alone(50, invoice="waits"),
    redeem((V1, 70), invoice="contract", contract=(CONTRACT,)),
    instruct(PAYABLE, 60, debtor="guiyang"),
    confirm(debtor="guiyang"),
    instruct(PAYABLE, 30, "E2", debtor="guiyang"),
    credit(CLAIM, 5),
    revoke(V1, 10),
    transfer(V1, 500),
    extend(V2, TODAY + 400),
    set_hold("party", "firm-a"),
    second(4) + CYCLE_OPEN_MIN_MS,
    close_cycle(),
    redeem((V2, 20), invoice="later", holder="firm-b"),
)
"""What makes a ledger of which every invariant has something to say."""


def busy_store() -> MemoryStore:
    """Return the store of a busy ledger."""
    case = Case(claim="busy", clause="", code="ok", transaction=GRANTED, before=BUSY)
    store = setting(case).ledger._storage
    assert isinstance(store, MemoryStore)
    return store


def records_of(store: MemoryStore) -> dict[bytes, Record]:
    """Return all current records."""
    return {
        key: codec.decode(table_of(key).record, value[8:], UINT64_MAX)
        for key, value in store.state.items()
    }


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One record, changed."""

    claim: str
    invariant: str
    says: str
    """How the check tells it."""
    change: Callable[[MemoryStore], tuple[bytes, Record]]
    only_in_audit: bool = False

    def __str__(self) -> str:
        return f"{self.invariant}: {self.claim}"


def corrupt(claim: str, says: str, table: Table[Any], *parts: str, **by: Any) -> Corruption:
    """Return a corruption: a number is added to a field, anything else takes its place."""

    def change(store: MemoryStore) -> tuple[bytes, Record]:
        record = must(store, table, *parts)
        fields = {
            name: getattr(record, name) + value if type(value) is int else value
            for name, value in by.items()
        }
        return table.key(*parts), msgspec.structs.replace(record, **fields)

    invariant, _, claim = claim.partition(": ")
    # What was issued is added up along the way of every voucher: only an audit does that.
    return Corruption(
        claim=claim, invariant=invariant, says=says, change=change, only_in_audit=table is ISSUED
    )


INVOICE = seed("invoice-1").hex()
YEAR = (PROGRAMME, "2026")
ONE_SIDE = (Position(party="shanghai", net=-20),)
TWO_SIDES = (Position(party="guiyang", net=9_000), Position(party="shanghai", net=-9_000))

STATES: tuple[Corruption, ...] = (
    corrupt("I1: a fen out of nowhere", "face", VOUCHERS, V1, available=1),
    corrupt("I1: a fen gone", "face", VOUCHERS, V1, redeemed=-1),
    corrupt(
        "I1: a voucher's value moved, its programme's did not",
        "I1 available",
        VOUCHERS,
        V1,
        available=-1,
        redeemed=1,
    ),
    corrupt("I1: a voucher nobody minted", "I1 available", VOUCHERS, V1, face=1, available=1),
    corrupt("I1: a programme's total out of nowhere", "minted", TOTALS, PROGRAMME, available=1),
    corrupt(
        "I1: a programme's total moved, its vouchers did not",
        "I1 available",
        TOTALS,
        PROGRAMME,
        available=-1,
        expired=1,
    ),
    corrupt("I1: a reserve without value", "I1 reserves of", RESERVES, RESERVE, left=1),
    corrupt("I1: reserved value without a reserve", "I1 reserves of", RESERVES, RESERVE, left=-1),
    corrupt(
        "I1: more left than was reserved",
        "more left than was reserved",
        RESERVES,
        RESERVE,
        left=FEN_MAX - 1_000,
    ),
    corrupt("I1: a claim waits for another sum", "I1 claims' pending", CLAIMS, WAITING, amount=1),
    corrupt(
        "I1: a claim that waits is rejected, its value is not given back",
        "I1 claims' pending",
        CLAIMS,
        WAITING,
        status="rejected",
    ),
    corrupt("I1: another sum was accepted", "I1 claims' accepted", CLAIMS, CLAIM, accepted=-1),
    corrupt(
        "I2: more committed than appropriated",
        "committed above appropriated",
        BUDGETS,
        *YEAR,
        "shanghai",
        committed=100_000_000,
    ),
    corrupt(
        "I2: committed below zero", "committed is", BUDGETS, *YEAR, "shanghai", committed=-10_001
    ),
    corrupt("I3: a holder redeemed more", "I3 redeemed", REDEEMED, *YEAR, "firm-a", fen=1),
    corrupt("I3: a holder redeemed less", "I3 redeemed", REDEEMED, *YEAR, "firm-b", fen=-1),
    corrupt("I3: a contract was paid more", "I3 contract", CONTRACT_PAID, PROGRAMME, C, fen=1),
    corrupt(
        "I3: a holder was issued more",
        "I3 issued",
        ISSUED,
        *YEAR,
        "firm-a",
        fen=1,
    ),
    corrupt(
        "I3: a recipient was issued less",
        "I3 issued",
        ISSUED,
        *YEAR,
        "firm-b",
        fen=-1,
    ),
    corrupt(
        "I3: a claim was decided in another year",
        "I3 redeemed",
        CLAIMS,
        CLAIM,
        decided_ms=(second(4) + 400 * 86_400_000,),
    ),
    corrupt("I4: an invoice has more accepted", "I4 accepted", INVOICES, INVOICE, accepted=1),
    corrupt("I4: an invoice has more pending", "I4 pending", INVOICES, INVOICE, pending=1),
    corrupt("I4: a base above the bill", "base above net", INVOICES, INVOICE, base=1),
    corrupt("I4: an invoice above its ceiling", "ceiling", INVOICES, INVOICE, ceiling=-9_100),
    corrupt("I5: a payable of a fen more", "I5 benefit", PAYABLES, PAYABLE, amount=1),
    corrupt("I5: a payable that is cancelled", "I5 benefit", PAYABLES, PAYABLE, cancelled=1),
    corrupt(
        "I5: a reimbursement of a fen more",
        "I5 reimbursement",
        PAYABLES,
        f"{CLAIM}-001",
        amount=1,
    ),
    corrupt("I5: a payment counted twice", "I5 paid", PAYABLES, PAYABLE, paid=1),
    corrupt("I5: a payment forgotten", "I5 pending", PAYABLES, PAYABLE, pending=-1),
    corrupt("I5: more paid than is due", "paid above due", PAYABLES, PAYABLE, written_off=9),
    corrupt("I5: more credited than is due", "credited above due", PAYABLES, PAYABLE, reversed=100),
    corrupt("I5: a payment of another sum", "I5 paid", PAYMENTS, "guiyang/E1", amount=1),
    corrupt(
        "I5: a payment that came back", "I5 pending", PAYMENTS, "guiyang/E2", status="returned"
    ),
    corrupt(
        "I5: nets of the open cycle that do not add up",
        "cycle 2",
        OPEN_CYCLE,
        "all",
        positions=ONE_SIDE,
    ),
    corrupt(
        "I5: nets of a closed cycle that do not add up",
        "cycle 1",
        CYCLES,
        "1",
        positions=ONE_SIDE,
    ),
    corrupt(
        "I5: nets of the open cycle that nobody joined with",
        "I5 net in cycle 2",
        OPEN_CYCLE,
        "all",
        positions=TWO_SIDES,
    ),
    corrupt("I3: a contract has more base", "I3 contract base", CONTRACT_BASE, PROGRAMME, C, fen=1),
    corrupt("I5: a cycle settles more", "I5 settlement of", CYCLES, "1", amount=1),
    corrupt("I5: a settlement of a fen more", "I5 settlement of", PAYABLES, SETTLED, amount=1),
    corrupt("I5: more credited than accepted", "accepted", CLAIMS, CLAIM, credited=200, accepted=0),
    corrupt(
        "I7: a hold cleared by nobody", "I7 holds on", HOLDS, "shanghai.000000001", cleared_ms=(1,)
    ),
    corrupt("I7: a hold that stops nothing", "I7 holds on", HELD, "party", "firm-a", holds=()),
    *(
        corrupt(f"I8: {part} below zero", f"{part} is -", VOUCHERS, V1, **{part: -FEN_MAX})
        for part in PARTS
    ),
    corrupt(
        "I8: beyond all amounts",
        "appropriated is",
        BUDGETS,
        *YEAR,
        "shanghai",
        appropriated=FEN_MAX,
    ),
    corrupt("I8: a counter below zero", "fen is -", REDEEMED, *YEAR, "firm-a", fen=-FEN_MAX),
)
