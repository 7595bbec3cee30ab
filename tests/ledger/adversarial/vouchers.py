"""Grants, transfers, extensions and revocations: T7, T8, T16, T17."""

from typing import Any

from ledger.encoding.codec import FEN_MAX
from ledger.encoding.crypto import sha256
from ledger.rules import calendar
from ledger.rules.programmes import VALIDITY_DAYS_MAX
from ledger.rules.sums import Amount
from ledger.rules.vouchers import GROUP_ISSUED, ISSUED, VOUCHERS
from tests.builders import no_caps, officers
from tests.ledger.adversarial.case import (
    FOR_LONG,
    GRANTED,
    ONE_OFFICER,
    PROGRAMME,
    TODAY,
    V1,
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
from tests.ledger.adversarial.programmes import APPROPRIATED

MINT = mint(("firm-a", 1_000))
CLOSED = publish(status="closed")
SUSPENDED = publish(status="suspended")
NO_GRANTS: dict[str, Any] = {"grant": "after_use", "transfer": "none"}
MANY: dict[str, Any] = {
    "funders": shares(("shanghai", 5_000), ("henan", 5_000)),
    "residual_funder": "shanghai",
}
MUCH = (appropriate(FEN_MAX - APPROPRIATED), appropriate(FEN_MAX, funder="henan"))
"""All the money that two funders can appropriate."""
GROUP = (enrol("firm-c", control_group="g"), enrol("firm-d", control_group="g"))
G = sha256(b"g").hex()
NEARLY = Amount(fen=FEN_MAX - 99)
"""A counter that 99 more still fit."""


def caps(**changes: tuple[int]) -> dict[str, Any]:
    return {"caps": no_caps(**changes)}


CASES = [
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
        values={"group": "g", "year": 2026, "asked": 1_000, "available": 999},
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
        transfer(V1, 1, recipient="nobody"),
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
        transfer(V1, 1, recipient="guiyang"),
        before=(GRANTED,),
    ),
    no(
        "a transfer where there is none",
        "T8.9",
        "transfer_not_allowed",
        transfer(V1, 1),
        terms={"transfer": "none"},
        before=(GRANTED,),
        values={"rule": "none"},
    ),
    no(
        "a transfer between firms of no group",
        "T8.9",
        "transfer_not_allowed",
        transfer(V1, 1),
        terms={"transfer": "same_group"},
        before=(GRANTED,),
        values={"rule": "same_group"},
    ),
    no(
        "a transfer out of the group",
        "T8.9",
        "transfer_not_allowed",
        transfer(V1, 1, holder="firm-c", recipient="firm-b"),
        terms={"transfer": "same_group"},
        before=(*GROUP, mint(("firm-c", 100))),
    ),
    ok(
        "a transfer within the group",
        "T8.9",
        transfer(V1, 1, holder="firm-c", recipient="firm-d"),
        terms={"transfer": "same_group"},
        before=(*GROUP, mint(("firm-c", 100))),
    ),
    no(
        "a transfer in the first expired millisecond",
        "T8.10",
        "voucher_expired",
        transfer(V1, 1),
        before=(GRANTED, FOR_LONG),
        values={"voucher": V1, "expires_at_ms": FOR_LONG, "time_ms": FOR_LONG},
    ),
    ok(
        "a transfer in the last millisecond",
        "T8.10",
        transfer(V1, 1),
        before=(GRANTED, FOR_LONG - 1),
    ),
    no(
        "a transfer of a fen too much",
        "T8.10",
        "voucher_exhausted",
        transfer(V1, 10_001),
        before=(GRANTED,),
        values={"asked": 10_001, "available": 10_000},
    ),
    ok("a transfer of all", "T8.10", transfer(V1, 10_000), before=(GRANTED,)),
    no(
        "a transfer a fen above the recipient's cap",
        "T8.12",
        "holder_cap_exceeded",
        transfer(V1, 51),
        terms=caps(holder_year_issued=(1_000,)),
        before=(mint(("firm-a", 1_000), ("firm-b", 950)),),
        values={"party": "firm-b", "asked": 51, "available": 50},
    ),
    ok(
        "a transfer that fills the recipient's cap",
        "T8.12",
        transfer(V1, 50),
        terms=caps(holder_year_issued=(1_000,)),
        before=(mint(("firm-a", 1_000), ("firm-b", 950)),),
    ),
    no(
        "a transfer a fen above the group's cap",
        "T8.12",
        "group_cap_exceeded",
        transfer(V1, 101, recipient="firm-c"),
        terms=caps(group_year_issued=(100,)),
        before=(*GROUP, GRANTED),
        values={"asked": 101, "available": 100},
    ),
    ok(
        "a transfer that fills the group's cap",
        "T8.12",
        transfer(V1, 100, recipient="firm-c"),
        terms=caps(group_year_issued=(100,)),
        before=(*GROUP, GRANTED),
    ),
    no(
        "a recipient is issued a fen beyond all amounts",
        "T8.12",
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
]
