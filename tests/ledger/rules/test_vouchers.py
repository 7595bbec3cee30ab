"""Grants, transfers, extensions and revocations: T7, T8, T16, T17."""

from datetime import date
from typing import Any

import pytest

from ledger.encoding.codec import FEN_MAX
from ledger.rules import calendar
from ledger.rules.budgets import BUDGETS
from ledger.rules.programmes import TOTALS, VALIDITY_DAYS_MAX
from ledger.rules.vouchers import DECISIONS, GROUP_ISSUED, ISSUED, TRANSFERS_MAX, VOUCHERS
from ledger.view import get
from tests import builders
from tests.builders import NOON_MS, funded_chain, no_caps, officers
from tests.ledger.rules.case import (
    DAY_MS,
    FOR_LONG,
    GRANTED,
    ONE_OFFICER,
    PROGRAMME,
    TODAY,
    V1,
    V2,
    V3,
    Case,
    Ready,
    appropriate,
    doctored,
    enrol,
    extend,
    mint,
    no,
    ok,
    publish,
    recover,
    revoke,
    set_hold,
    shares,
    suspended,
    transfer,
    written,
)
from tests.ledger.rules.chains import chain_with, code, postings, stored, voucher
from tests.ledger.rules.situations import (
    ALL_MINTED,
    APPROPRIATED,
    CLOSED,
    G_TAG,
    MINT,
    NEARLY,
    OWNER,
    S1,
    SECOND,
    SUSPENDED,
    G,
    caps,
    claim,
)

BACK = {"holder": "firm-b", "recipient": "firm-a"}
MOVED = (GRANTED, transfer(V1, 10), set_hold("voucher", V1))
"""Value moved to a child, then its voucher was held."""
NO_GRANTS: dict[str, Any] = {"grant": "after_use", "transfer": "none"}
MANY: dict[str, Any] = {
    "funders": shares(("shanghai", 5_000), ("henan", 5_000)),
    "residual_funder": "shanghai",
}
MUCH = (appropriate(FEN_MAX - APPROPRIATED), appropriate(FEN_MAX, funder="henan"))
"""All the money that two funders can appropriate."""
TWO_SIGN = enrol("firm-x", keys=builders.keys_of("firm-x", "one", "two"), threshold=2)
TWO_DECISIONS = [builders.seed("decision", name) for name in ("one", "other")]
LATER_MS = NOON_MS + 2 * DAY_MS
GROUP = (enrol("firm-c", control_group=(G_TAG,)), enrol("firm-d", control_group=(G_TAG,)))

CASES: list[Case] = [
    # T7
    no(
        "a grant of no programme",
        "T7.1",
        "programme_unknown",
        mint(("firm-a", 1_000), programme="shanghai.other"),
    ),
    no(
        "two officers without the role mint",
        "T7.2",
        "four_eyes_missing",
        mint(("firm-a", 1_000), by=officers("shanghai", "budget")),
        values={"role": "mint", "signed": 0},
    ),
    no(
        "one mint officer alone",
        "T7.2",
        "four_eyes_missing",
        mint(("firm-a", 1_000), by=(("shanghai", "officer-3"),)),
        values={"signed": 1},
    ),
    no("a suspended city mints", "T7.3", "party_not_active", MINT, before=suspended("shanghai")),
    no("a grant of a closed programme", "T7.4", "programme_not_open", MINT, before=(CLOSED,)),
    no("a grant of a suspended one", "T7.4", "programme_not_open", MINT, before=(SUSPENDED,)),
    no(
        "a grant under old terms",
        "T7.5",
        "terms_version_wrong",
        MINT,
        before=(publish(version=2),),
        values={"current": 2, "given": 1},
    ),
    no(
        "a grant where money follows use",
        "T7.6",
        "grant_is_after_use",
        MINT,
        terms=NO_GRANTS,
    ),
    no(
        "a clerk mints the same batch again",
        "T7.7",
        "decision_minted",
        mint(("firm-a", 1_000), ("firm-b", 2_000), expires_at=LATER_MS, decisions=TWO_DECISIONS),
        before=(mint(("firm-a", 1_000), ("firm-b", 2_000), decisions=TWO_DECISIONS),),
        values={"programme": PROGRAMME, "decision": TWO_DECISIONS[0].hex(), "voucher": V1},
    ),
    no(
        "a decision of an earlier batch in a batch of new ones",
        "T7.7",
        "decision_minted",
        mint(("firm-a", 5), ("firm-b", 5), decisions=TWO_DECISIONS),
        before=(mint(("firm-b", 2_000), decisions=TWO_DECISIONS[1:]),),
        values={"decision": TWO_DECISIONS[1].hex(), "voucher": V1},
    ),
    no(
        "one decision twice in a batch",
        "T7.7",
        "decision_minted",
        mint(("firm-a", 5), ("firm-b", 5), decisions=TWO_DECISIONS[:1] * 2),
        values={"decision": TWO_DECISIONS[0].hex(), "voucher": V1},
    ),
    no(
        "a decision that is minted, to nobody",
        "T7.7",
        "decision_minted",
        mint(("nobody", 5), decisions=TWO_DECISIONS[:1]),
        before=(mint(("firm-a", 5), decisions=TWO_DECISIONS[:1]),),
    ),
    ok(
        "the same decision in another programme",
        "T7.7",
        mint(("firm-a", 5), programme=SECOND, decisions=TWO_DECISIONS[:1]),
        before=(
            publish(programme=SECOND),
            appropriate(programme=SECOND),
            mint(("firm-a", 5), decisions=TWO_DECISIONS[:1]),
        ),
        wrote=((DECISIONS, (SECOND, TWO_DECISIONS[0].hex()), {"voucher": S1}),),
    ),
    ok(
        "two decisions, each with its voucher",
        "T7.7",
        mint(("firm-a", 5), ("firm-a", 5), decisions=TWO_DECISIONS),
        before=(GRANTED,),
        wrote=(
            (DECISIONS, (PROGRAMME, TWO_DECISIONS[0].hex()), {"voucher": V2}),
            (DECISIONS, (PROGRAMME, TWO_DECISIONS[1].hex()), {"voucher": V3}),
        ),
    ),
    no("a grant to nobody", "T7.7", "party_unknown", mint(("firm-a", 5), ("nobody", 5))),
    no("a grant to a data centre", "T7.7", "party_wrong_kind", mint(("guian-hub", 5))),
    no(
        "a grant below the minimum",
        "T7.7",
        "grant_out_of_bounds",
        MINT,
        terms=caps(grant_min=(1_001,)),
        values={"asked": 1_000, "minimum": 1_001, "maximum": FEN_MAX},
    ),
    ok("the least grant", "T7.7", MINT, terms=caps(grant_min=(1_000,))),
    no(
        "a grant above the maximum",
        "T7.7",
        "grant_out_of_bounds",
        MINT,
        terms=caps(grant_max=(999,)),
        values={"minimum": 1, "maximum": 999},
    ),
    ok("the largest grant", "T7.7", MINT, terms=caps(grant_max=(1_000,))),
    no(
        "two rows a fen above the holder's cap",
        "T7.7",
        "holder_cap_exceeded",
        mint(("firm-a", 1_000), ("firm-a", 1_000)),
        terms=caps(holder_year_issued=(1_999,)),
        values={"party": "firm-a", "year": 2026, "asked": 1_000, "available": 999},
    ),
    ok(
        "two rows that fill the holder's cap",
        "T7.7",
        mint(("firm-a", 1_000), ("firm-a", 1_000)),
        terms=caps(holder_year_issued=(2_000,)),
    ),
    no(
        "two firms a fen above their group's cap",
        "T7.7",
        "group_cap_exceeded",
        mint(("firm-d", 1_000)),
        terms=caps(group_year_issued=(1_999,)),
        before=(*GROUP, mint(("firm-c", 1_000))),
        values={"group": G, "year": 2026, "asked": 1_000, "available": 999},
    ),
    ok(
        "two firms that fill their group's cap",
        "T7.7",
        mint(("firm-d", 1_000)),
        terms=caps(group_year_issued=(2_000,)),
        before=(*GROUP, mint(("firm-c", 1_000))),
    ),
    no(
        "a holder is issued a fen beyond all amounts",
        "T7.7",
        "amount_overflow",
        mint(("firm-a", 100)),
        doctor=written(ISSUED, NEARLY, PROGRAMME, "2026", "firm-a"),
        values={"total": FEN_MAX + 1},
    ),
    ok(
        "a holder is issued all that is an amount",
        "T7.7",
        mint(("firm-a", 99)),
        doctor=written(ISSUED, NEARLY, PROGRAMME, "2026", "firm-a"),
    ),
    no(
        "a group is issued a fen beyond all amounts",
        "T7.7",
        "amount_overflow",
        mint(("firm-c", 100)),
        before=GROUP,
        doctor=written(GROUP_ISSUED, NEARLY, PROGRAMME, "2026", G),
    ),
    no(
        "a fen above the appropriation",
        "T7.7",
        "appropriation_exceeded",
        mint(("firm-a", APPROPRIATED), ("firm-b", 1)),
        values={"funder": "shanghai", "year": 2026, "asked": 1, "available": 0},
    ),
    ok("all of the appropriation", "T7.7", mint(("firm-a", APPROPRIATED))),
    no(
        "rows a fen beyond all amounts",
        "T7.7",
        "amount_overflow",
        mint(("firm-a", FEN_MAX), ("firm-b", 1)),
        terms=MANY,
        before=MUCH,
        values={"total": FEN_MAX + 1},
    ),
    ok(
        "rows of the largest amount",
        "T7.7",
        mint(("firm-a", FEN_MAX - 1), ("firm-b", 1)),
        terms=MANY,
        before=MUCH,
    ),
    no(
        "a programme a fen beyond all amounts",
        "T7.8",
        "amount_overflow",
        mint(("firm-b", 1)),
        terms=MANY,
        before=(*MUCH, mint(("firm-a", FEN_MAX))),
        values={"total": FEN_MAX + 1},
    ),
    ok(
        "a programme of the largest amount",
        "T7.8",
        mint(("firm-b", 1)),
        terms=MANY,
        before=(*MUCH, mint(("firm-a", FEN_MAX - 1))),
    ),
    # T8
    no(
        "nobody passes on",
        "T8.1",
        "party_unknown",
        transfer(V1, 1, holder="nobody", by=(("firm-a", "owner"),)),
    ),
    no(
        "a treasury passes on",
        "T8.1",
        "party_wrong_kind",
        transfer(V1, 1, holder="guiyang", by=officers("guiyang", "pay")),
        before=(GRANTED,),
    ),
    no(
        "somebody else passes on",
        "T8.2",
        "signature_missing",
        transfer(V1, 1, by=(("firm-b", "owner"),)),
        before=(GRANTED,),
    ),
    no(
        "a stopped holder passes on",
        "T8.3",
        "recovery_open",
        transfer(V1, 1),
        before=(GRANTED, recover()),
    ),
    no(
        "no such voucher",
        "T8.4",
        "voucher_not_held",
        transfer(V1, 1),
        values={"voucher": V1, "party": "firm-a"},
    ),
    no(
        "another's voucher",
        "T8.4",
        "voucher_not_held",
        transfer(V1, 1, holder="firm-b", recipient="firm-a"),
        before=(GRANTED,),
    ),
    *(
        no(
            f"a transfer under a hold on the {scope}",
            "T8.5",
            "held",
            transfer(V1, 1),
            before=(GRANTED, set_hold(scope, thing)),
            values={"scope": scope, "id": thing, "hold": "shanghai.000000001"},
        )
        for scope, thing in (("party", "firm-a"), ("programme", PROGRAMME), ("voucher", V1))
    ),
    *(
        no(
            f"value moved to a {name} before the hold on its voucher",
            "T8.5",
            "held",
            transfer(*moves, **whose),
            before=before,
            values={"scope": "voucher", "id": V1, "hold": "shanghai.000000001"},
        )
        for name, moves, whose, before in (
            ("child", (V2, 1), BACK, MOVED),
            ("grandchild", (V3, 1), {}, (*MOVED[:2], transfer(V2, 9, **BACK), MOVED[2])),
        )
    ),
    ok(
        "a hold on a child leaves its parent free",
        "T8.5",
        transfer(V1, 1),
        before=(*MOVED[:2], set_hold("voucher", V2)),
    ),
    no(
        "a voucher that came through sixteen transfers",
        "T8.15",
        "transfers_too_many",
        transfer(V1, 1),
        before=(GRANTED,),
        doctor=doctored(VOUCHERS, V1, depth=TRANSFERS_MAX),
        values={"voucher": V1, "maximum": 16},
    ),
    ok(
        "a sixteenth transfer",
        "T8.15",
        transfer(V1, 1),
        before=(GRANTED,),
        doctor=doctored(VOUCHERS, V1, depth=TRANSFERS_MAX - 1),
        wrote=((VOUCHERS, (V2,), {"depth": 16, "parent": (V1,)}),),
    ),
    ok(
        "a transfer to a held party",
        "T8.5",
        transfer(V1, 1),
        before=(GRANTED, set_hold("party", "firm-b")),
    ),
    no(
        "a transfer to nobody",
        "T8.6",
        "party_unknown",
        transfer(V1, 1, recipient="nobody", by=OWNER),
        before=(GRANTED,),
    ),
    no(
        "a transfer to oneself",
        "T8.7",
        "transfer_to_self",
        transfer(V1, 1, recipient="firm-a"),
        before=(GRANTED,),
    ),
    no(
        "a transfer to a treasury",
        "T8.8",
        "party_wrong_kind",
        transfer(V1, 1, recipient="guiyang", by=OWNER),
        before=(GRANTED,),
    ),
    no(
        "a rival's cap is filled a millisecond before a voucher expires",
        "T8.9",
        "signature_missing",
        transfer(V1, 1_000, by=OWNER),
        terms=caps(holder_year_issued=(1_000,)),
        before=(mint(("firm-a", 1_000)), FOR_LONG - 1),
        values={"party": "firm-b", "needed": 1, "signed": 0},
    ),
    no(
        "a recipient of two signs with one key",
        "T8.9",
        "signature_missing",
        transfer(V1, 1, recipient="firm-x", by=(*OWNER, ("firm-x", "one"))),
        before=(GRANTED, TWO_SIGN),
        values={"party": "firm-x", "needed": 2, "signed": 1},
    ),
    ok(
        "a recipient of two signs with both",
        "T8.9",
        transfer(V1, 1, recipient="firm-x", by=(*OWNER, ("firm-x", "one"), ("firm-x", "two"))),
        before=(GRANTED, TWO_SIGN),
    ),
    no(
        "a transfer to a stopped recipient",
        "T8.10",
        "recovery_open",
        transfer(V1, 1),
        before=(GRANTED, recover(party="firm-b")),
        values={"party": "firm-b"},
    ),
    no(
        "a transfer where there is none",
        "T8.11",
        "transfer_not_allowed",
        transfer(V1, 1),
        terms={"transfer": "none"},
        before=(GRANTED,),
        values={"rule": "none"},
    ),
    no(
        "a transfer between firms of no group",
        "T8.11",
        "transfer_not_allowed",
        transfer(V1, 1),
        terms={"transfer": "same_group"},
        before=(GRANTED,),
        values={"rule": "same_group"},
    ),
    no(
        "a transfer out of the group",
        "T8.11",
        "transfer_not_allowed",
        transfer(V1, 1, holder="firm-c", recipient="firm-b"),
        terms={"transfer": "same_group"},
        before=(*GROUP, mint(("firm-c", 100))),
    ),
    ok(
        "a transfer within the group",
        "T8.11",
        transfer(V1, 1, holder="firm-c", recipient="firm-d"),
        terms={"transfer": "same_group"},
        before=(*GROUP, mint(("firm-c", 100))),
    ),
    no(
        "a transfer in the first expired millisecond",
        "T8.12",
        "voucher_expired",
        transfer(V1, 1),
        before=(GRANTED, FOR_LONG),
        values={"voucher": V1, "expires_at_ms": FOR_LONG, "time_ms": FOR_LONG},
    ),
    ok(
        "a transfer in the last millisecond",
        "T8.12",
        transfer(V1, 1),
        before=(GRANTED, FOR_LONG - 1),
    ),
    no(
        "a transfer of a fen too much",
        "T8.12",
        "voucher_exhausted",
        transfer(V1, 10_001),
        before=(GRANTED,),
        values={"asked": 10_001, "available": 10_000},
    ),
    ok("a transfer of all", "T8.12", transfer(V1, 10_000), before=(GRANTED,)),
    no(
        "a transfer a fen above the recipient's cap",
        "T8.14",
        "holder_cap_exceeded",
        transfer(V1, 51),
        terms=caps(holder_year_issued=(1_000,)),
        before=(mint(("firm-a", 1_000), ("firm-b", 950)),),
        values={"party": "firm-b", "asked": 51, "available": 50},
    ),
    ok(
        "a transfer that fills the recipient's cap",
        "T8.14",
        transfer(V1, 50),
        terms=caps(holder_year_issued=(1_000,)),
        before=(mint(("firm-a", 1_000), ("firm-b", 950)),),
    ),
    no(
        "a transfer a fen above the group's cap",
        "T8.14",
        "group_cap_exceeded",
        transfer(V1, 101, recipient="firm-c"),
        terms=caps(group_year_issued=(100,)),
        before=(*GROUP, GRANTED),
        values={"asked": 101, "available": 100},
    ),
    ok(
        "a transfer that fills the group's cap",
        "T8.14",
        transfer(V1, 100, recipient="firm-c"),
        terms=caps(group_year_issued=(100,)),
        before=(*GROUP, GRANTED),
    ),
    no(
        "a recipient is issued a fen beyond all amounts",
        "T8.14",
        "amount_overflow",
        transfer(V1, 100),
        before=(GRANTED,),
        doctor=written(ISSUED, NEARLY, PROGRAMME, "2026", "firm-b"),
    ),
    # T16
    no("an extension of nothing", "T16.1", "voucher_unknown", extend(V1, TODAY + 400)),
    no(
        "one officer extends",
        "T16.2",
        "four_eyes_missing",
        extend(V1, TODAY + 400, by=ONE_OFFICER),
        before=(GRANTED,),
        values={"role": "review"},
    ),
    no(
        "an extension in the first expired millisecond",
        "T16.3",
        "voucher_expired",
        extend(V1, TODAY + 400),
        before=(GRANTED, FOR_LONG),
    ),
    no(
        "an extension to the same day",
        "T16.4",
        "extension_invalid",
        extend(V1, TODAY + 365),
        before=(GRANTED,),
        values={"asked_ms": FOR_LONG, "after_ms": FOR_LONG},
    ),
    ok("an extension by a day", "T16.4", extend(V1, TODAY + 366), before=(GRANTED,)),
    ok(
        "an extension by a millisecond",
        "T16.4",
        extend(V1, TODAY + 365),
        before=(GRANTED,),
        doctor=doctored(VOUCHERS, V1, expires_at_ms=FOR_LONG - 1),
    ),
    no(
        "an extension a day too far",
        "T16.4",
        "extension_invalid",
        extend(V1, TODAY + VALIDITY_DAYS_MAX + 1),
        before=(GRANTED,),
        values={"latest_ms": calendar.end_of_day_ms(TODAY + VALIDITY_DAYS_MAX)},
    ),
    ok(
        "the longest extension",
        "T16.4",
        extend(V1, TODAY + VALIDITY_DAYS_MAX),
        before=(GRANTED,),
    ),
    # T17
    no("a revocation of nothing", "T17.1", "voucher_unknown", revoke(V1, 1)),
    no(
        "one officer revokes",
        "T17.2",
        "four_eyes_missing",
        revoke(V1, 1, by=ONE_OFFICER),
        before=(GRANTED,),
    ),
    no(
        "a revocation of a fen too much",
        "T17.3",
        "voucher_exhausted",
        revoke(V1, 10_001),
        before=(GRANTED,),
        values={"asked": 10_001, "available": 10_000},
    ),
    ok("a revocation of all", "T17.3", revoke(V1, 10_000), before=(GRANTED,)),
    no(
        "no fen may be issued",
        "T7.7",
        "holder_cap_exceeded",
        mint(("firm-a", 1)),
        terms=caps(holder_year_issued=(0,)),
        values={"asked": 1, "available": 0},
    ),
    no(
        "no fen may be granted",
        "T7.7",
        "grant_out_of_bounds",
        mint(("firm-a", 1)),
        terms=caps(grant_max=(0,)),
        values={"asked": 1, "maximum": 0},
    ),
    ok("a fen is the least grant", "T7.7", mint(("firm-a", 1)), terms=caps(grant_min=(0,))),
    no(
        "a fen of a voucher that is spent",
        "T8.12",
        "voucher_exhausted",
        transfer(V1, 1),
        before=(GRANTED, claim(10_000)),
        values={"asked": 1, "available": 0},
    ),
    ok(
        "all is granted to one",
        "T7.7",
        ALL_MINTED[-1],
        before=ALL_MINTED[:-1],
        wrote=((TOTALS, (PROGRAMME,), {"minted": FEN_MAX, "available": FEN_MAX}),),
    ),
    ok("all is passed on", "T8.12", transfer(V1, FEN_MAX), before=ALL_MINTED),
    no(
        "all, and a voucher has less",
        "T8.12",
        "voucher_exhausted",
        transfer(V1, FEN_MAX),
        before=(GRANTED,),
        values={"asked": FEN_MAX, "available": 10_000},
    ),
    ok(
        "all is revoked",
        "T17.3",
        revoke(V1, FEN_MAX),
        before=ALL_MINTED,
        wrote=((VOUCHERS, (V1,), {"available": 0, "revoked": FEN_MAX}),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


def test_a_mint_numbers_its_vouchers_in_row_order_with_one_posting() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 100)))
    execution = chain.accept(builders.mint(("firm-b", 200), ("firm-a", 300)))
    assert [(voucher(chain, v).holder, voucher(chain, v).face) for v in (V1, V2, V3)] == [
        ("firm-a", 100),
        ("firm-b", 200),
        ("firm-a", 300),
    ]
    (posting,) = postings(execution)
    assert (posting.kind, posting.serial, posting.count, posting.amount) == ("mint", 2, 2, 500)
    totals = stored(chain, TOTALS, PROGRAMME)
    assert (totals.minted, totals.available, totals.next_serial) == (600, 600, 4)
    assert stored(chain, BUDGETS, PROGRAMME, "2026", "shanghai").committed == 600


def test_a_mint_is_all_rows_or_none() -> None:
    chain = funded_chain()
    assert code(chain.attempt(builders.mint(("firm-a", 100), ("nobody", 1)))) == "party_unknown"
    assert get(chain.ledger._storage, VOUCHERS, V1) is None
    assert stored(chain, TOTALS, PROGRAMME).next_serial == 1


def test_a_thousand_rows_are_one_mint() -> None:
    chain = funded_chain()
    execution = chain.accept(builders.mint(*[("firm-a", 1)] * 1_000))
    assert stored(chain, TOTALS, PROGRAMME).next_serial == 1_001
    assert postings(execution)[0].count == 1_000


def test_a_transfer_moves_face_to_a_child_and_mints_nothing() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 100)))
    before = stored(chain, TOTALS, PROGRAMME)
    execution = chain.accept(builders.transfer(V1, 40))
    parent, child = voucher(chain, V1), voucher(chain, V2)
    assert (parent.face, parent.available) == (60, 60)
    assert (child.face, child.available, child.holder) == (40, 40, "firm-b")
    assert (child.parent, child.expires_at_ms, child.year) == (
        (V1,),
        parent.expires_at_ms,
        parent.year,
    )
    after = stored(chain, TOTALS, PROGRAMME)
    assert (after.minted, after.available) == (before.minted, before.available)
    (posting,) = postings(execution)
    assert (posting.kind, posting.serial, posting.amount) == ("transfer", 2, 40)
    assert (posting.source, posting.target) == ("firm-a", "firm-b")
    assert stored(chain, ISSUED, PROGRAMME, "2026", "firm-a").fen == 100, "the sender's stays"
    assert stored(chain, ISSUED, PROGRAMME, "2026", "firm-b").fen == 40


@pytest.mark.parametrize("amount", [1, 99, 100])
def test_a_transfer_may_take_up_to_all(amount: int) -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 100)))
    chain.accept(builders.transfer(V1, amount))
    assert voucher(chain, V1).available == 100 - amount


def test_a_voucher_cannot_be_overspent_in_one_block() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 100)))
    first, second = builders.transfer(V1, 60), builders.transfer(V1, 41)
    attempts = chain.attempt(first, second)
    assert [one.code for one in attempts] == ["ok", "voucher_exhausted"]
    assert voucher(chain, V1).available == 40


def test_appropriations_caps_and_grants_hold_to_the_fen() -> None:
    caps = no_caps(grant_min=(10,), grant_max=(50,), holder_year_issued=(60,))
    chain = chain_with(("shanghai", 100), caps=caps)
    steps = [
        ("firm-a", 9, "grant_out_of_bounds"),
        ("firm-a", 51, "grant_out_of_bounds"),
        ("firm-a", 50, "ok"),
        ("firm-a", 11, "holder_cap_exceeded"),
        ("firm-a", 10, "ok"),
        ("firm-b", 41, "appropriation_exceeded"),
        ("firm-b", 40, "ok"),
    ]
    codes = [code(chain.attempt(builders.mint((who, amount)))) for who, amount, _ in steps]
    assert codes == [expected for _, _, expected in steps]


def test_caps_are_of_the_year_and_begin_re_signed() -> None:
    chain = chain_with(caps=no_caps(holder_year_issued=(10,)))
    chain.accept(builders.appropriate(10, year=2027))
    chain.accept(builders.mint(("firm-a", 10)))
    new_year = calendar.end_of_day_ms(calendar.day_number(date(2026, 12, 31)))
    late = {"expires_at": new_year + 60_000}
    eve = chain.attempt(builders.mint(("firm-a", 9), **late), time_ms=new_year - 1)
    assert code(eve) == "holder_cap_exceeded"
    day = chain.attempt(builders.mint(("firm-a", 10), **late), time_ms=new_year)
    assert code(day) == "ok"
    assert voucher(chain, V2).year == 2027


def test_the_groups_cap_counts_all_its_firms() -> None:
    chain = chain_with(caps=no_caps(group_year_issued=(100,)))
    for name in ("firm-c", "firm-d"):
        chain.accept(builders.enrol(name, control_group=(G_TAG,)))
    chain.accept(builders.mint(("firm-c", 60)))
    assert code(chain.attempt(builders.mint(("firm-d", 41)))) == "group_cap_exceeded"
    assert code(chain.attempt(builders.mint(("firm-d", 40)))) == "ok"


def test_same_group_transfers_stay_in_the_group() -> None:
    chain = chain_with(transfer="same_group")
    for name in ("firm-c", "firm-d"):
        chain.accept(builders.enrol(name, control_group=(G_TAG,)))
    chain.accept(builders.mint(("firm-c", 60)))
    inside = builders.transfer(V1, 5, holder="firm-c", recipient="firm-d")
    outside = builders.transfer(V1, 5, holder="firm-c", recipient="firm-a")
    assert code(chain.attempt(inside)) == "ok"
    assert code(chain.attempt(outside)) == "transfer_not_allowed"
