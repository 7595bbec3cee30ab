"""Value set aside, and given back: T12, T13."""

from typing import Any

import pytest

from ledger.encoding.codec import FEN_MAX
from ledger.rules.control import PARAMETERS, QUIET_MS
from ledger.rules.governance import Pause, Resume
from ledger.rules.vouchers import VOUCHERS
from tests.builders import NOON_MS, officers
from tests.ledger.rules.case import (
    DAY_MS,
    EVER_MS,
    FOR_LONG,
    GRANTED,
    PROGRAMME,
    RESERVE,
    V1,
    V2,
    Case,
    Ready,
    Step,
    accredit,
    adopted,
    doctored,
    mint,
    no,
    ok,
    publish,
    rate,
    recognise,
    recover,
    release,
    removed,
    second,
    set_aside,
    set_hold,
    suspended,
    transfer,
)
from tests.ledger.rules.situations import (
    ALL_MINTED,
    CENTRE,
    FIRST_YES_MS,
    OWNER,
    REVIEW,
    SET_ASIDE,
    SHANGHAI,
)

RESERVED_FOR_LONG = (GRANTED, set_aside(V1, 1_000, until_ms=FOR_LONG))
RESUMED_MS = FOR_LONG + DAY_MS
HOLD_END_MS = NOON_MS + 10 * DAY_MS
"""Hold end of the setting's reserve."""


def taken_back(amount: int = 1, **changes: Any) -> Step:
    """Return that holder and city take back what the centre leaves lying."""
    return release(RESERVE, amount, **{"party": "firm-a", "by": OWNER + REVIEW, **changes})


CASES: list[Case] = [
    # T12
    no(
        "nobody reserves",
        "T12.1",
        "party_unknown",
        set_aside(V1, 1, holder="nobody", by=OWNER),
    ),
    no(
        "a treasury reserves",
        "T12.1",
        "party_wrong_kind",
        set_aside(V1, 1, holder="guiyang", by=officers("guiyang", "pay")),
    ),
    no("a reserve for nobody", "T12.2", "party_unknown", set_aside(V1, 1, centre="nobody")),
    no("a reserve for a firm", "T12.2", "party_wrong_kind", set_aside(V1, 1, centre="firm-b")),
    no(
        "the centre reserves",
        "T12.3",
        "signature_missing",
        set_aside(V1, 1, by=(("guian-hub", "officer-1"),)),
        before=(GRANTED,),
    ),
    no(
        "a stopped holder reserves",
        "T12.4",
        "recovery_open",
        set_aside(V1, 1),
        before=(GRANTED, recover()),
    ),
    no(
        "a reserve for a suspended centre",
        "T12.5",
        "party_not_active",
        set_aside(V1, 1),
        before=(GRANTED, *suspended("guian-hub")),
    ),
    no("a reserve of no voucher", "T12.6", "voucher_not_held", set_aside(V1, 1)),
    no(
        "a reserve of another's voucher",
        "T12.6",
        "voucher_not_held",
        set_aside(V1, 1),
        before=(mint(("firm-b", 1_000)),),
    ),
    *(
        no(
            f"a reserve under a hold on the {scope} {thing}",
            "T12.7",
            "held",
            set_aside(V1, 1),
            before=(GRANTED, set_hold(scope, thing, member="audit-office")),
            values={"scope": scope, "id": thing, "hold": "audit-office.000000001"},
        )
        for scope, thing in (
            ("party", "firm-a"),
            ("party", "guian-hub"),
            ("centre", "guian-hub"),
            ("programme", PROGRAMME),
            ("voucher", V1),
        )
    ),
    no(
        "value moved to a child before the hold is set aside",
        "T12.7",
        "held",
        set_aside(V2, 1, holder="firm-b"),
        before=(GRANTED, transfer(V1, 10), set_hold("voucher", V1)),
        values={"scope": "voucher", "id": V1},
    ),
    *(
        no(
            f"a centre whose host was removed{then}",
            "T12.9",
            "centre_not_accredited",
            set_aside(V1, 1),
            before=(GRANTED, *removed("guiyang", "shanghai"), *more),
            values={"centre": "guian-hub"},
        )
        for then, more in {
            "": (),
            ", which its successor recognised": (recognise(hosts=("shanghai",)),),
        }.items()
    ),
    ok(
        "a centre whose host was removed, and that a city accredited anew",
        "T12.9",
        set_aside(V1, 1),
        before=(
            GRANTED,
            *removed("guiyang", "shanghai"),
            accredit(host="shanghai", by=SHANGHAI + CENTRE),
        ),
    ),
    ok(
        "a centre whose host is suspended",
        "T12.9",
        set_aside(V1, 1),
        before=(GRANTED, *suspended("guiyang")),
    ),
    no(
        "a reserve of a suspended programme",
        "T12.8",
        "programme_not_open",
        set_aside(V1, 1),
        before=(GRANTED, publish(status="suspended")),
        values={"status": "suspended"},
    ),
    ok(
        "a reserve of a closed programme",
        "T12.8",
        set_aside(V1, 1),
        before=(GRANTED, publish(status="closed")),
    ),
    no(
        "a reserve for a centre without accreditation",
        "T12.9",
        "centre_not_accredited",
        set_aside(V1, 1, centre="chengdu-aicc"),
        before=(GRANTED,),
    ),
    no(
        "a reserve for a centre whose accreditation ended",
        "T12.9",
        "centre_not_accredited",
        set_aside(V1, 1),
        before=(GRANTED, accredit(ended=True)),
    ),
    no(
        "a reserve of a chip that the centre does not have",
        "T12.11",
        "chip_not_accredited",
        set_aside(V1, 1, chip="nvidia-h100"),
        before=(GRANTED,),
        values={"centre": "guian-hub", "chip": "nvidia-h100"},
    ),
    no(
        "a reserve of a chip that no rate covers",
        "T12.12",
        "rate_none",
        set_aside(V1, 1, chip="nvidia-a100"),
        terms={"rates": (rate(3_000, chip_origin="domestic"),)},
        before=(GRANTED,),
    ),
    no(
        "a reserve of a use that no rate covers",
        "T12.12",
        "rate_none",
        set_aside(V1, 1, service_class="inference"),
        terms={
            "rates": (
                rate(1, service_class="training"),
                rate(2, holder_class="maker"),
                rate(3, ownership="private"),
            )
        },
        before=(GRANTED,),
    ),
    no(
        "a reserve in the first expired millisecond",
        "T12.13",
        "voucher_expired",
        set_aside(V1, 1, until_ms=FOR_LONG + 1),
        before=(GRANTED, recognise(until_ms=EVER_MS), FOR_LONG),
    ),
    no(
        "a reserve of a fen too much",
        "T12.13",
        "voucher_exhausted",
        set_aside(V1, 10_001),
        before=(GRANTED,),
    ),
    ok("a reserve of all", "T12.13", set_aside(V1, 10_000), before=(GRANTED,)),
    no(
        "a reserve a fen below the least",
        "T12.13",
        "reserve_too_small",
        set_aside(V1, 99),
        before=(GRANTED,),
        doctor=doctored(PARAMETERS, "all", reserve_min=100),
        values={"amount": 99, "least": 100},
    ),
    ok(
        "a reserve of the least",
        "T12.13",
        set_aside(V1, 100),
        before=(GRANTED,),
        doctor=doctored(PARAMETERS, "all", reserve_min=100),
    ),
    no(
        "less than all of what is below the least",
        "T12.13",
        "reserve_too_small",
        set_aside(V1, 9_999),
        before=(GRANTED,),
        doctor=doctored(PARAMETERS, "all", reserve_min=20_000),
    ),
    ok(
        "all of what is below the least",
        "T12.13",
        set_aside(V1, 10_000),
        before=(GRANTED,),
        doctor=doctored(PARAMETERS, "all", reserve_min=20_000),
    ),
    no(
        "a hold end that is now",
        "T12.14",
        "reserve_until_invalid",
        set_aside(V1, 1, until_ms=second(2)),
        before=(GRANTED,),
        values={"until_ms": second(2), "time_ms": second(2), "latest_ms": FOR_LONG},
    ),
    ok(
        "a hold end a millisecond ahead",
        "T12.14",
        set_aside(V1, 1, until_ms=second(2) + 1),
        before=(GRANTED,),
    ),
    ok(
        "a hold end with the voucher's",
        "T12.14",
        set_aside(V1, 1, until_ms=FOR_LONG),
        before=(GRANTED,),
    ),
    no(
        "a hold end a millisecond after the voucher's",
        "T12.14",
        "reserve_until_invalid",
        set_aside(V1, 1, until_ms=FOR_LONG + 1),
        before=(GRANTED,),
    ),
    # T13
    no("no such reserve", "T13.1", "reserve_unknown", release(RESERVE, 1)),
    no(
        "a reserve for another centre",
        "T13.2",
        "reserve_mismatch",
        release(RESERVE, 1, party="chengdu-aicc"),
        before=SET_ASIDE,
        values={"reserve": RESERVE, "voucher": V1, "centre": "guian-hub"},
    ),
    no(
        "another firm takes a reserve",
        "T13.2",
        "reserve_mismatch",
        release(RESERVE, 1, party="firm-b"),
        before=SET_ASIDE,
    ),
    no(
        "the holder releases for the centre",
        "T13.3",
        "signature_missing",
        release(RESERVE, 1, by=OWNER),
        before=SET_ASIDE,
    ),
    no(
        "the city takes a holder's reserve back alone",
        "T13.3",
        "signature_missing",
        release(RESERVE, 1, party="firm-a", by=REVIEW),
        before=(*SET_ASIDE, HOLD_END_MS),
        values={"party": "firm-a"},
    ),
    no(
        "a stopped holder takes a reserve back",
        "T13.4",
        "recovery_open",
        taken_back(),
        before=(*SET_ASIDE, recover(), HOLD_END_MS),
    ),
    no(
        "the holder takes a reserve back without its city",
        "T13.4",
        "four_eyes_missing",
        taken_back(by=OWNER),
        before=(*SET_ASIDE, HOLD_END_MS),
        values={"party": "shanghai", "role": "review"},
    ),
    no(
        "the holder takes a reserve back a millisecond before its hold end",
        "T13.4",
        "reserve_running",
        taken_back(),
        before=(*SET_ASIDE, HOLD_END_MS - 1),
        values={"until_ms": HOLD_END_MS, "time_ms": HOLD_END_MS - 1},
    ),
    ok(
        "attack: a centre that neither claims nor releases keeps a reserve no longer than agreed",
        "T13.4",
        taken_back(1_000),
        before=(*SET_ASIDE, HOLD_END_MS),
        wrote=((VOUCHERS, (V1,), {"available": 10_000, "reserved": 0}),),
    ),
    no(
        "a hold end in a pause is put off",
        "T13.4",
        "reserve_running",
        taken_back(),
        before=(
            *SET_ASIDE,
            HOLD_END_MS - DAY_MS,
            *adopted(Pause()),
            HOLD_END_MS + DAY_MS,
            *adopted(Resume(), 2),
        ),
        values={"until_ms": HOLD_END_MS + DAY_MS + FIRST_YES_MS + QUIET_MS},
    ),
    no(
        "the holder takes back a fen too much",
        "T13.5",
        "reserve_exhausted",
        taken_back(1_001),
        before=(*SET_ASIDE, HOLD_END_MS),
    ),
    no(
        "a release of a fen too much",
        "T13.5",
        "reserve_exhausted",
        release(RESERVE, 1_001),
        before=SET_ASIDE,
        values={"asked": 1_001, "available": 1_000},
    ),
    ok("a release of all", "T13.5", release(RESERVE, 1_000), before=SET_ASIDE),
    ok(
        "a release in a voucher's last millisecond is available",
        "R11.2",
        release(RESERVE, 1_000),
        before=(*RESERVED_FOR_LONG, FOR_LONG - 1),
        wrote=((VOUCHERS, (V1,), {"available": 10_000, "expired": 0}),),
    ),
    ok(
        "a release in a voucher's first expired millisecond expires",
        "R11.2",
        release(RESERVE, 1_000),
        before=(*RESERVED_FOR_LONG, FOR_LONG),
        wrote=((VOUCHERS, (V1,), {"available": 0, "expired": 10_000}),),
    ),
    ok(
        "what expires as a pause begins is put off",
        "R11.4",
        release(RESERVE, 1_000),
        before=(
            *RESERVED_FOR_LONG,
            FOR_LONG - FIRST_YES_MS,
            *adopted(Pause()),
            RESUMED_MS,
            *adopted(Resume(), 2),
        ),
        wrote=((VOUCHERS, (V1,), {"available": 1_000, "expired": 9_000}),),
    ),
    no(
        "a fen of a reserve that is empty",
        "T13.5",
        "reserve_exhausted",
        release(RESERVE, 1),
        before=(GRANTED, set_aside(V1, 5), release(RESERVE, 5)),
        values={"asked": 1, "available": 0},
    ),
    ok("all is set aside", "T12.13", set_aside(V1, FEN_MAX), before=ALL_MINTED),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()
