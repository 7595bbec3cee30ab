"""What a party may write in a day: R3.11."""

import pytest

from ledger.rules import calendar
from ledger.rules.control import PARAMETERS
from ledger.rules.quotas import WRITTEN, Written
from ledger.transactions import parse
from tests.builders import officers
from tests.ledger.rules import case as world
from tests.ledger.rules.case import (
    GRANTED,
    TODAY,
    V1,
    Case,
    Doctor,
    Ready,
    Step,
    doctored,
    no,
    ok,
    together,
    written,
)

SPENDS = world.set_aside(V1, 100)
SIZE = len(parse(SPENDS()).body_bytes)
MINTS = world.mint(("firm-a", 1))
MINT_SIZE = len(parse(MINTS()).body_bytes)
HOLDS = world.set_hold("party", "firm-b")
BOTH_MINT = officers("shanghai", "mint") + officers("guiyang", "mint")
WITHDRAWS = world.withdraw(bytes(32), party="firm-a")
TOMORROW_MS = calendar.end_of_day_ms(TODAY)


def bounds(**fields: int) -> Doctor:
    """Return a doctor who sets what may be written in a day."""
    return doctored(PARAMETERS, "all", **fields)


def wrote(party: str, *, entries: int = 0, size: int = 0, day: int = TODAY) -> Doctor:
    """Return a doctor who lets a party have written so much on a day."""
    return written(WRITTEN, Written(day=day, entries=entries, bytes=size), party)


CASES: list[Case] = [
    no(
        "one act too many of a holder",
        "R3.11",
        "quota_spent",
        SPENDS,
        before=(GRANTED,),
        doctor=together(bounds(holder_daily_entries=9), wrote("firm-a", entries=9)),
        values={"party": "firm-a", "entries": 10, "bytes": SIZE, "from_ms": TOMORROW_MS},
    ),
    ok(
        "the last act of a holder's day",
        "R3.11",
        SPENDS,
        before=(GRANTED,),
        doctor=together(bounds(holder_daily_entries=9), wrote("firm-a", entries=8)),
        wrote=((WRITTEN, ("firm-a",), {"day": TODAY, "entries": 9, "bytes": SIZE}),),
    ),
    no(
        "a byte too much of a holder",
        "R3.11",
        "quota_spent",
        SPENDS,
        before=(GRANTED,),
        doctor=together(bounds(holder_daily_bytes=SIZE + 6), wrote("firm-a", size=7)),
        values={"entries": 1, "bytes": SIZE + 7},
    ),
    ok(
        "the last byte of a holder's day",
        "R3.11",
        SPENDS,
        before=(GRANTED,),
        doctor=together(bounds(holder_daily_bytes=SIZE + 7), wrote("firm-a", size=7)),
        wrote=((WRITTEN, ("firm-a",), {"entries": 1, "bytes": SIZE + 7}),),
    ),
    ok(
        "a new day begins with nothing",
        "R3.11",
        SPENDS,
        before=(GRANTED,),
        doctor=together(
            bounds(holder_daily_entries=1, holder_daily_bytes=SIZE),
            wrote("firm-a", entries=5, size=10**6, day=TODAY - 1),
        ),
        wrote=((WRITTEN, ("firm-a",), {"day": TODAY, "entries": 1, "bytes": SIZE}),),
    ),
    no(
        "one act too many of a member",
        "R3.11",
        "quota_spent",
        MINTS,
        doctor=together(bounds(member_daily_entries=9), wrote("shanghai", entries=9)),
        values={"party": "shanghai", "entries": 10},
    ),
    ok(
        "the last act of a member's day",
        "R3.11",
        MINTS,
        doctor=together(bounds(member_daily_entries=9), wrote("shanghai", entries=8)),
    ),
    no(
        "a byte too much of a member",
        "R3.11",
        "quota_spent",
        MINTS,
        doctor=together(bounds(member_daily_bytes=MINT_SIZE + 6), wrote("shanghai", size=7)),
    ),
    ok(
        "the last byte of a member's day",
        "R3.11",
        MINTS,
        doctor=together(bounds(member_daily_bytes=MINT_SIZE + 7), wrote("shanghai", size=7)),
    ),
    ok(
        "what binds holders binds no member",
        "R3.11",
        MINTS,
        doctor=together(
            bounds(holder_daily_entries=1, holder_daily_bytes=1), wrote("shanghai", entries=8)
        ),
    ),
    ok(
        "what binds members binds no holder",
        "R3.11",
        SPENDS,
        before=(GRANTED,),
        doctor=together(
            bounds(member_daily_entries=1, member_daily_bytes=1), wrote("firm-a", entries=8)
        ),
    ),
    ok(
        "a city that has used up its day still sets a hold, which counts",
        "R3.11",
        HOLDS,
        doctor=together(bounds(member_daily_entries=9), wrote("shanghai", entries=9)),
        wrote=((WRITTEN, ("shanghai",), {"entries": 10}),),
    ),
    no(
        "attack: a holder withdraws without end",
        "R3.11",
        "quota_spent",
        WITHDRAWS,
        doctor=together(bounds(holder_daily_entries=9), wrote("firm-a", entries=9)),
    ),
    no(
        "another check speaks first",
        "T12.13",
        "voucher_exhausted",
        world.set_aside(V1, 10_001),
        before=(GRANTED,),
        doctor=together(bounds(holder_daily_entries=9), wrote("firm-a", entries=9)),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    Ready(case).check()


def who_wrote(case: Case) -> list[bytes]:
    """Return the keys under which a case's transaction was counted."""
    ready = Ready(case)
    writes = ready.execute(ready.block).writes
    return [write.key for write in writes if write.key.startswith(WRITTEN.prefix)]


@pytest.mark.parametrize(
    ("transaction", "party"),
    [
        (world.transfer(V1, 1), "firm-a"),
        (world.mint(("firm-a", 1), by=BOTH_MINT), "shanghai"),
        (world.redeem((V1, 1)), "guian-hub"),
    ],
    ids=("transfer", "mint", "redeem"),
)
def test_an_act_counts_for_whom_its_kind_asks_first(transaction: Step, party: str) -> None:
    case = ok("", "R3.11", transaction, before=(GRANTED,))
    assert who_wrote(case) == [WRITTEN.key(party)]
