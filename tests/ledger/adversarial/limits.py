"""The ends of the range of amounts: nothing, one fen, and 2^53 − 1."""

from typing import Any

from msgspec.structs import replace

from ledger.encoding.codec import FEN_MAX
from ledger.rules.claims import CLAIMS
from ledger.rules.money import Rounding
from ledger.rules.payables import PAYABLES
from ledger.rules.programmes import TOTALS, Review
from ledger.rules.vouchers import VOUCHERS
from tests.builders import no_caps
from tests.ledger.adversarial.case import (
    BOTH,
    BY_HAND,
    CLAIM,
    GRANTED,
    HOST_PAYS,
    PAYABLE,
    PROGRAMME,
    RESERVE,
    V1,
    V2,
    Case,
    appropriate,
    close_cycle,
    confirm,
    credit,
    decide,
    instruct,
    mint,
    no,
    ok,
    publish,
    rate,
    recognise,
    redeem,
    release,
    revoke,
    second,
    set_aside,
    transfer,
    write_off,
)
from tests.ledger.adversarial.claims import CONTRACT, claim, contracted
from tests.ledger.adversarial.programmes import APPROPRIATED

SECOND = "shanghai.second"
ALL: dict[str, Any] = {
    "rates": (rate(10_000),),
    "review": Review(automatic_band=FEN_MAX, sample_every=0),
}
"""Terms that pay whole bills at once."""
MUCH = (appropriate(FEN_MAX - APPROPRIATED), mint(("firm-a", FEN_MAX)))
"""A voucher of the largest amount."""
SPENT = (*MUCH, redeem((V1, FEN_MAX), net=FEN_MAX))
OWED_BY_HOST = (HOST_PAYS, *SPENT)


def caps(**changes: tuple[int]) -> dict[str, Any]:
    return {"caps": no_caps(**changes)}


NOTHING: list[Case] = [
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
        "no fen may be redeemed",
        "T9.26",
        "redeemed_cap_exceeded",
        claim(1),
        terms=caps(holder_year_redeemed=(0,)),
        before=(GRANTED,),
        values={"asked": 1, "available": 0},
    ),
    no(
        "no fen of a contract",
        "T9.21",
        "contract_cap_exceeded",
        contracted(1),
        terms=caps(contract_max=(0,)),
        before=(GRANTED,),
    ),
    no(
        "a rate of nothing",
        "T9.22",
        "rate_exceeded",
        claim(1),
        terms={"rates": (rate(0),)},
        before=(GRANTED,),
        values={"allowed": 0},
    ),
    no(
        "a ceiling of nothing",
        "T9.23",
        "ceiling_exceeded",
        claim(1),
        terms={"ceiling": 0},
        before=(GRANTED,),
        values={"allowed": 0},
    ),
    no(
        "a host that pays nothing",
        "T9.24",
        "recognition_exceeded",
        claim(1),
        before=(recognise(mode="host_pays", limit=(0,), by=BOTH), GRANTED),
        values={"asked": 1, "available": 0},
    ),
    ok(
        "a band of nothing",
        "T9.26",
        claim(1),
        terms=BY_HAND,
        before=(GRANTED,),
        wrote=((CLAIMS, (CLAIM,), {"status": "under_review"}),),
    ),
    no(
        "a fen of a voucher that is spent",
        "T8.10",
        "voucher_exhausted",
        transfer(V1, 1),
        before=(GRANTED, claim(10_000)),
        values={"asked": 1, "available": 0},
    ),
    no(
        "a fen of a reserve that is empty",
        "T13.4",
        "reserve_exhausted",
        release(RESERVE, 1),
        before=(GRANTED, set_aside(V1, 5), release(RESERVE, 5)),
        values={"asked": 1, "available": 0},
    ),
    no(
        "a fen of a debt that is paid",
        "T19.instructed.6",
        "payment_exceeds_due",
        instruct(PAYABLE, 1, "E2"),
        before=(GRANTED, claim(), instruct(PAYABLE, 100)),
        values={"asked": 1, "available": 0},
    ),
    no(
        "a fen of a claim that is credited",
        "T15.5",
        "credit_exceeds_accepted",
        credit(CLAIM, 1),
        before=(GRANTED, claim(), credit(CLAIM, 100)),
        values={"asked": 1, "available": 0},
    ),
]

EVERYTHING: list[Case] = [
    ok(
        "all is granted to one",
        "T7.7",
        MUCH[-1],
        before=MUCH[:-1],
        wrote=((TOTALS, (PROGRAMME,), {"minted": FEN_MAX, "available": FEN_MAX}),),
    ),
    ok("all is passed on", "T8.10", transfer(V1, FEN_MAX), before=MUCH),
    no(
        "all, and a voucher has less",
        "T8.10",
        "voucher_exhausted",
        transfer(V1, FEN_MAX),
        before=(GRANTED,),
        values={"asked": FEN_MAX, "available": 10_000},
    ),
    ok("all is set aside", "T12.13", set_aside(V1, FEN_MAX), before=MUCH),
    ok(
        "all is revoked",
        "T17.3",
        revoke(V1, FEN_MAX),
        before=MUCH,
        wrote=((VOUCHERS, (V1,), {"available": 0, "revoked": FEN_MAX}),),
    ),
    ok(
        "all is redeemed at once",
        "T9.26",
        SPENT[-1],
        terms=ALL,
        before=MUCH,
        wrote=((PAYABLES, (PAYABLE,), {"amount": FEN_MAX}),),
    ),
    ok(
        "all is redeemed by two vouchers",
        "T9.22",
        redeem((V1, FEN_MAX - 1), (V2, 1), net=FEN_MAX),
        terms=ALL,
        before=(MUCH[0], mint(("firm-a", FEN_MAX - 1), ("firm-a", 1))),
    ),
    ok(
        "all is accepted by hand",
        "T14.decide.5",
        decide(CLAIM, FEN_MAX),
        terms={**ALL, **BY_HAND},
        before=SPENT,
    ),
    ok("all is paid", "T19.instructed.6", instruct(PAYABLE, FEN_MAX), terms=ALL, before=SPENT),
    ok("all is let go", "T19.written_off.5", write_off(PAYABLE, FEN_MAX), terms=ALL, before=SPENT),
    ok("all is credited", "T15.5", credit(CLAIM, FEN_MAX), terms=ALL, before=SPENT),
    ok(
        "all is credited after it was paid",
        "T15.5",
        credit(CLAIM, FEN_MAX),
        terms=ALL,
        before=(*SPENT, instruct(PAYABLE, FEN_MAX), confirm()),
        wrote=((PAYABLES, (f"{CLAIM}-001",), {"reverse": True, "amount": FEN_MAX}),),
    ),
    no(
        "a prorated base rounded up stays within its contract",
        "R12.3",
        "base_exceeds_contract",
        redeem(
            (V1, 1),
            net=FEN_MAX,
            contract=(replace(CONTRACT, amount=FEN_MAX - 1),),
        ),
        terms={
            **ALL,
            "base_period": ((0, 10**6),),
            "rounding": Rounding(mode="half_up", step_fen=100),
        },
        before=MUCH,
        values={"base": FEN_MAX, "allowed": FEN_MAX - 1},
    ),
    no(
        "hosts would be owed more than an amount in one cycle",
        "R13.1",
        "amount_overflow",
        redeem((f"{SECOND}.000000001", 1), net=1, invoice="second"),
        terms=ALL,
        before=(
            *MUCH,
            publish(programme=SECOND, **ALL),
            appropriate(1, programme=SECOND),
            mint(("firm-a", 1), programme=SECOND),
            recognise(mode="host_pays", by=BOTH, programmes=(PROGRAMME, SECOND)),
            redeem((V1, FEN_MAX), net=FEN_MAX),
        ),
        values={"total": FEN_MAX + 1, "maximum": FEN_MAX},
    ),
    ok(
        "what was written off is not paid back",
        "R7.2",
        credit(CLAIM, 100),
        before=(GRANTED, redeem((V1, 100)), write_off(PAYABLE, 60)),
        wrote=((PAYABLES, (PAYABLE,), {"cancelled": 100, "written_off": 0, "reversed": 0}),),
    ),
    ok(
        "all is settled by a cycle",
        "T18.6",
        close_cycle(),
        terms=ALL,
        before=(*OWED_BY_HOST, second(9) + 86_400_000),
        wrote=((PAYABLES, ("clearing.000000001-000",), {"amount": FEN_MAX}),),
    ),
]
CASES: list[Case] = [*NOTHING, *EVERYTHING]
