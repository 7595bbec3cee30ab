"""Redemptions: T9 without invoice, device time and contract."""

from typing import Any

import pytest
from msgspec.structs import replace

from ledger.encoding.codec import FEN_MAX
from ledger.rules.centres import ACCREDITATIONS, RECOGNITION_PERIODS, RECOGNITIONS
from ledger.rules.claims import CLAIMS, REDEEMED, Line
from ledger.rules.control import CONTROL
from ledger.rules.invoices import DEVICE_TIME, INVOICES, Usage
from ledger.rules.money import Rounding
from ledger.rules.parties import PARTIES
from ledger.rules.payables import PAYABLES, payable_id
from ledger.rules.programmes import PROGRAMMES, TOTALS, RateRow, Review
from ledger.rules.redemptions import BAND_USED
from ledger.rules.sums import Amount
from ledger.rules.vouchers import GROUP_ISSUED, ISSUED
from ledger.view import get
from tests import builders
from tests.builders import NOON_MS, criterion, funded_chain, no_caps, seed
from tests.ledger.rules.case import (
    BOTH,
    BY_HAND,
    CLAIM,
    EVER_MS,
    FOR_LONG,
    GRANTED,
    HOST_PAYS,
    PAYABLE,
    PROGRAMME,
    RESERVE,
    TODAY,
    V1,
    V2,
    V3,
    Case,
    Ready,
    accredit,
    anchor,
    appropriate,
    attest,
    credit,
    doctored,
    enrol,
    mint,
    missing,
    no,
    ok,
    publish,
    rate,
    recognise,
    recover,
    redeem,
    removed,
    set_hold,
    suspended,
    together,
    transfer,
    written,
)
from tests.ledger.rules.chains import chain_with, code, postings, stored, voucher
from tests.ledger.rules.situations import (
    AFTER,
    ALL_MINTED,
    ALL_SPENT,
    APPROPRIATED,
    CENTRE,
    CLOSED,
    EXPIRY_MS,
    G_TAG,
    H_TAG,
    NEARLY,
    OWNER,
    S1,
    SET_ASIDE,
    STACKED,
    SUSPENDED,
    WHOLE_BILLS,
    G,
    after_use,
    alone,
    caps,
    claim,
    stacked,
)

ONE_GROUP = together(
    doctored(PARTIES, "firm-a", control_group=(G_TAG,)),
    doctored(PARTIES, "guian-hub", control_group=(G_TAG,)),
)
APART: dict[str, Any] = {"eligibility": ((criterion("unrelated_to"),),)}

EACH_DRAWN: dict[str, Any] = {"review": Review(automatic_band=10**9, sample_every=1)}
NONE_DRAWN: dict[str, Any] = {"review": Review(automatic_band=10**9, sample_every=2**50)}
"""One claim in so many is drawn that none of ours is."""
ANYTHING = attest("firm-b")
MONTH = ("shanghai", "firm-a", "2026-01")
YEAR_OF_A = (PROGRAMME, "2026", "firm-a")

CASES: list[Case] = [
    no("nobody redeems", "T9.1", "party_unknown", claim(holder="nobody", by=OWNER)),
    no("a treasury redeems", "T9.1", "party_wrong_kind", claim(holder="guiyang", by=OWNER)),
    no("a claim at nobody", "T9.2", "party_unknown", claim(centre="nobody", by=OWNER)),
    no("a claim at a firm", "T9.2", "party_wrong_kind", claim(centre="firm-b", by=OWNER)),
    no(
        "neither vouchers nor a grant",
        "T9.3",
        "lines_or_grant",
        redeem(),
        values={"lines": 0, "grants": 0},
    ),
    no(
        "vouchers and a grant",
        "T9.3",
        "lines_or_grant",
        after_use(lines=(Line(voucher=V1, amount=1, reserve=()),)),
        values={"lines": 1, "grants": 1},
    ),
    no(
        "a voucher named twice",
        "T9.4",
        "repeated_value",
        redeem((V1, 1), (V1, 2)),
        before=(GRANTED,),
        values={"value": V1},
    ),
    no(
        "the holder redeems without the centre",
        "T9.5",
        "signature_missing",
        claim(by=OWNER),
        before=(GRANTED,),
        values={"party": "guian-hub", "needed": 1, "signed": 0},
    ),
    *(
        no(
            f"a person of {party} signs a {what} that it decides",
            "T9.5",
            "person_submitted",
            make(by=(*OWNER, *CENTRE, (party, "officer-1"))),
            terms=terms,
            before=before,
            values={"party": party, "person": "officer-1"},
        )
        for party in ("shanghai", "audit-office")
        for what, make, before, terms in (
            ("grant", after_use, (), AFTER),
            ("claim", claim, (GRANTED,), {}),
        )
    ),
    ok(
        "a person of another city signs",
        "T9.5",
        claim(by=(*OWNER, *CENTRE, ("guiyang", "officer-1"))),
        before=(GRANTED,),
    ),
    no(
        "a claim of both that does not say so",
        "T9.6",
        "signature_missing",
        claim(holder_signs=False),
        before=(GRANTED,),
        values={"party": "firm-a", "needed": 1, "signed": 0},
    ),
    no(
        "a grant of both that does not say so",
        "T9.6",
        "signature_missing",
        after_use(holder_signs=False),
        terms=AFTER,
        values={"party": "firm-a", "signed": 0},
    ),
    no(
        "a suspended centre takes a grant",
        "T9.6",
        "party_not_active",
        after_use(),
        terms=AFTER,
        before=suspended("guian-hub"),
    ),
    no(
        "attack: who strips the holder's signature on the way gets a refusal, not a review",
        "T9.6",
        "signature_missing",
        alone(holder_signs=True),
        before=SET_ASIDE,
        values={"party": "firm-a", "needed": 1, "signed": 0},
    ),
    ok(
        "holder and centre redeem what was reserved",
        "T9.6",
        alone(holder_signs=True, by=OWNER + CENTRE),
        before=SET_ASIDE,
        wrote=((CLAIMS, (CLAIM,), {"status": "accepted", "holder_signed": True}),),
    ),
    ok(
        "a signature that the body does not name changes nothing",
        "T9.6",
        alone(by=OWNER + CENTRE),
        before=SET_ASIDE,
        wrote=((CLAIMS, (CLAIM,), {"status": "under_review", "holder_signed": False}),),
    ),
    no(
        "a stopped holder redeems what it reserved",
        "T9.6",
        "recovery_open",
        alone(holder_signs=True, by=OWNER + CENTRE),
        before=(*SET_ASIDE, recover()),
    ),
    no(
        "the centre redeems without the holder",
        "T9.6",
        "signature_missing",
        claim(by=CENTRE),
        before=(GRANTED,),
        values={"party": "firm-a"},
    ),
    no(
        "the centre redeems a reserve and a voucher alone",
        "T9.6",
        "signature_missing",
        redeem(
            (V1, 200),
            lines=(
                Line(voucher=V1, amount=100, reserve=(RESERVE,)),
                Line(voucher=V2, amount=100, reserve=()),
            ),
            by=CENTRE,
        ),
        before=(*SET_ASIDE, mint(("firm-a", 100))),
    ),
    no(
        "the centre takes a grant alone",
        "T9.6",
        "signature_missing",
        after_use(by=CENTRE),
        terms=AFTER,
    ),
    no(
        "a stopped holder redeems",
        "T9.6",
        "recovery_open",
        claim(),
        before=(GRANTED, recover()),
    ),
    no(
        "a suspended centre redeems",
        "T9.6",
        "party_not_active",
        claim(),
        before=(GRANTED, *suspended("guian-hub")),
    ),
    ok(
        "holder and centre redeem",
        "T9.6",
        claim(),
        before=(GRANTED,),
        wrote=((CLAIMS, (CLAIM,), {"status": "accepted", "holder_signed": True}),),
    ),
    ok(
        "a centre alone redeems what was reserved",
        "T9.6",
        alone(),
        before=SET_ASIDE,
        wrote=((CLAIMS, (CLAIM,), {"status": "under_review", "holder_signed": False}),),
    ),
    ok(
        "a stopped holder's reserve goes to review even if the old key signs",
        "T9.6",
        alone(by=OWNER + CENTRE),
        before=(*SET_ASIDE, recover()),
        wrote=((CLAIMS, (CLAIM,), {"status": "under_review", "holder_signed": False}),),
    ),
    ok(
        "a suspended centre redeems what was reserved",
        "T9.6",
        alone(),
        before=(*SET_ASIDE, *suspended("guian-hub")),
    ),
    no("a claim of no voucher", "T9.7", "voucher_not_held", claim()),
    no(
        "a claim of another's voucher",
        "T9.7",
        "voucher_not_held",
        claim(),
        before=(mint(("firm-b", 1_000)),),
        values={"voucher": V1, "party": "firm-a"},
    ),
    no("a claim of no reserve", "T9.7", "reserve_unknown", alone(), before=(GRANTED,)),
    no(
        "a reserve of another voucher",
        "T9.7",
        "reserve_mismatch",
        alone(voucher=V2),
        before=(*SET_ASIDE, mint(("firm-a", 1_000))),
        values={"reserve": RESERVE, "voucher": V1, "centre": "guian-hub"},
    ),
    no(
        "a reserve for another centre",
        "T9.7",
        "reserve_mismatch",
        alone(centre="chengdu-aicc", by=(("chengdu-aicc", "officer-1"),)),
        before=SET_ASIDE,
    ),
    *(
        no(
            f"a reserve for another {name}",
            "T9.7",
            "reserve_mismatch",
            alone(**dict[str, Any]({name: value})),
            before=SET_ASIDE,
        )
        for name, value in {
            "order": "another job",
            "service_class": "inference",
            "chip": "nvidia-a100",
        }.items()
    ),
    no(
        "vouchers of two versions",
        "T9.8",
        "lines_mixed",
        redeem((V1, 1), (V2, 1)),
        before=(GRANTED, publish(version=2), mint(("firm-a", 500), terms_version=2)),
        values={"first": V1, "second": V2},
    ),
    no(
        "vouchers of two programmes",
        "T9.8",
        "lines_mixed",
        redeem((V1, 1), (S1, 1)),
        before=STACKED,
        values={"first": V1, "second": S1},
    ),
    no(
        "a claim in the first expired millisecond",
        "T9.9",
        "voucher_expired",
        claim(),
        before=(GRANTED, recognise(until_ms=EVER_MS), FOR_LONG),
        values={"voucher": V1, "expires_at_ms": FOR_LONG, "time_ms": FOR_LONG},
    ),
    ok(
        "a claim in the last millisecond",
        "T9.9",
        claim(),
        before=(GRANTED, recognise(until_ms=EVER_MS), FOR_LONG - 1),
    ),
    no(
        "a claim of a fen too much",
        "T9.9",
        "voucher_exhausted",
        claim(10_001),
        before=(GRANTED,),
        values={"asked": 10_001, "available": 10_000},
    ),
    ok("a claim of all", "T9.9", claim(10_000), before=(GRANTED,)),
    no(
        "a reserve in its first expired millisecond",
        "T9.9",
        "reserve_expired",
        alone(),
        before=(*SET_ASIDE, EXPIRY_MS),
        values={"reserve": RESERVE, "until_ms": EXPIRY_MS, "time_ms": EXPIRY_MS},
    ),
    ok("a reserve in its last millisecond", "T9.9", alone(), before=(*SET_ASIDE, EXPIRY_MS - 1)),
    no(
        "a fen more than is left in a reserve",
        "T9.9",
        "reserve_exhausted",
        alone(1_001),
        before=SET_ASIDE,
        values={"asked": 1_001, "available": 1_000},
    ),
    ok("all that is left in a reserve", "T9.9", alone(1_000), before=SET_ASIDE),
    no(
        "a grant of no programme",
        "T9.10",
        "programme_unknown",
        after_use(programme="shanghai.other"),
    ),
    no(
        "a grant of a suspended programme",
        "T9.10",
        "programme_not_open",
        after_use(),
        terms=AFTER,
        before=(publish(status="suspended", **AFTER),),
    ),
    no(
        "a grant of a suspended city",
        "T9.10",
        "party_not_active",
        after_use(),
        terms=AFTER,
        before=suspended("shanghai"),
        values={"party": "shanghai"},
    ),
    no(
        "a grant under other terms",
        "T9.10",
        "terms_version_wrong",
        after_use(terms_version=2),
        terms=AFTER,
        values={"current": 1, "given": 2},
    ),
    no("a grant where vouchers come first", "T9.10", "grant_not_after_use", after_use()),
    ok("a grant after use", "T9.10", after_use(), terms=AFTER),
    *(
        no(
            f"a claim under a hold on the {scope} {thing}",
            "T9.11",
            "held",
            claim(),
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
        "the second voucher is held",
        "T9.11",
        "held",
        redeem((V1, 1), (V2, 1)),
        before=(GRANTED, mint(("firm-a", 5)), set_hold("voucher", V2)),
    ),
    no(
        "value moved to a child before the hold is claimed",
        "T9.11",
        "held",
        redeem((V2, 1), holder="firm-b"),
        before=(GRANTED, transfer(V1, 10), set_hold("voucher", V1)),
        values={"scope": "voucher", "id": V1},
    ),
    no(
        "a reserved voucher is held",
        "T9.11",
        "held",
        alone(),
        before=(*SET_ASIDE, set_hold("voucher", V1)),
    ),
    no(
        "a claim of a suspended programme",
        "T9.12",
        "programme_not_open",
        claim(),
        before=(GRANTED, SUSPENDED),
        values={"status": "suspended"},
    ),
    ok("a claim of a closed programme", "T9.12", claim(), before=(GRANTED, CLOSED)),
    ok("what was reserved before a suspension", "T9.12", alone(), before=(*SET_ASIDE, SUSPENDED)),
    no(
        "a centre without accreditation",
        "T9.13",
        "centre_not_accredited",
        claim(centre="chengdu-aicc"),
        before=(GRANTED,),
        values={"centre": "chengdu-aicc"},
    ),
    no(
        "a host that was never recognised",
        "T9.13",
        "centre_not_accepted",
        claim(),
        before=(GRANTED,),
        doctor=missing(RECOGNITION_PERIODS, PROGRAMME, "guiyang"),
    ),
    no(
        "a centre whose accreditation ended",
        "T9.13",
        "centre_not_accredited",
        claim(),
        before=(GRANTED, accredit(ended=True)),
    ),
    no(
        "a reserve at a centre that lost its record",
        "T9.13",
        "centre_not_accredited",
        alone(),
        before=SET_ASIDE,
        doctor=missing(ACCREDITATIONS, "guian-hub"),
    ),
    ok(
        "what was reserved before an accreditation ended",
        "T9.13",
        alone(),
        before=(*SET_ASIDE, accredit(ended=True), recognise(until_ms=NOON_MS)),
    ),
    *(
        ok(
            f"attack: what both claim of a reserve after {what} is never paid without a review",
            "T9.26",
            alone(holder_signs=True, by=OWNER + CENTRE),
            before=(*SET_ASIDE, *ended),
            wrote=((CLAIMS, (CLAIM,), {"status": "under_review", "holder_signed": True}),),
        )
        for what, ended in (
            ("the programme was suspended", (SUSPENDED,)),
            ("the accreditation ended", (accredit(ended=True),)),
            ("the host was removed", removed("guiyang", "shanghai")),
            ("the recognition ended", (recognise(until_ms=NOON_MS),)),
            ("the centre was suspended", suspended("guian-hub")),
        )
    ),
    no(
        "holder and centre in one group",
        "T9.14",
        "related_parties",
        claim(),
        terms=APART,
        before=(GRANTED,),
        doctor=ONE_GROUP,
        values={"holder": "firm-a", "centre": "guian-hub", "group": G},
    ),
    ok(
        "holder and centre in two groups",
        "T9.14",
        claim(),
        terms=APART,
        before=(GRANTED, attest("firm-a", "unrelated_to")),
        doctor=together(
            doctored(PARTIES, "firm-a", control_group=(G_TAG,)),
            doctored(PARTIES, "guian-hub", control_group=(H_TAG,)),
        ),
    ),
    ok(
        "one group where nobody asks",
        "T9.14",
        claim(),
        before=(GRANTED,),
        doctor=ONE_GROUP,
    ),
    no(
        "a grant to who is not eligible",
        "T9.15",
        "not_eligible",
        after_use(),
        terms={**AFTER, "eligibility": ((criterion("clean_record"),),)},
    ),
    no(
        "a fen above rate × base",
        "T9.22",
        "rate_exceeded",
        claim(301, net=1_000),
        before=(GRANTED,),
        values={"asked": 301, "allowed": 300, "basis_points": 3_000, "base": 1_000},
    ),
    ok("rate × base", "T9.22", claim(300, net=1_000), before=(GRANTED,)),
    no(
        "a fen above what the host agreed to pay",
        "T9.24",
        "recognition_exceeded",
        claim(51, invoice="2"),
        before=(recognise(mode="host_pays", limit=(150,), by=BOTH), GRANTED, claim()),
        values={"programme": PROGRAMME, "host": "guiyang", "asked": 51, "available": 50},
    ),
    ok(
        "all that the host agreed to pay",
        "T9.24",
        claim(50, invoice="2"),
        before=(recognise(mode="host_pays", limit=(150,), by=BOTH), GRANTED, claim()),
        wrote=((RECOGNITIONS, (PROGRAMME, "guiyang", "1"), {"used": 150}),),
    ),
    ok(
        "a limit binds nobody who does not pay",
        "T9.24",
        claim(),
        before=(recognise(limit=(1,)), GRANTED),
    ),
    no(
        "a host would pay a fen beyond all amounts",
        "R1.1",
        "amount_overflow",
        claim(),
        before=(HOST_PAYS, GRANTED),
        doctor=doctored(RECOGNITIONS, PROGRAMME, "guiyang", "1", used=FEN_MAX - 99),
    ),
    no(
        "a grant below the minimum",
        "T9.25",
        "grant_out_of_bounds",
        after_use(),
        terms={**AFTER, **caps(grant_min=(101,))},
        values={"asked": 100, "minimum": 101},
    ),
    no(
        "a grant above the holder's cap",
        "T9.25",
        "holder_cap_exceeded",
        after_use(),
        terms={**AFTER, **caps(holder_year_issued=(99,))},
    ),
    no(
        "a grant above the group's cap",
        "T9.25",
        "group_cap_exceeded",
        after_use(holder="firm-c"),
        terms={**AFTER, **caps(group_year_issued=(99,))},
        before=(enrol("firm-c", control_group=(G_TAG,)),),
    ),
    no(
        "a grant beyond a holder's amounts",
        "T9.25",
        "amount_overflow",
        after_use(),
        terms=AFTER,
        doctor=written(ISSUED, NEARLY, PROGRAMME, "2026", "firm-a"),
    ),
    no(
        "a grant beyond a group's amounts",
        "T9.25",
        "amount_overflow",
        after_use(holder="firm-c"),
        terms=AFTER,
        before=(enrol("firm-c", control_group=(G_TAG,)),),
        doctor=written(GROUP_ISSUED, NEARLY, PROGRAMME, "2026", G),
    ),
    no(
        "a grant a fen above the appropriation",
        "T9.25",
        "appropriation_exceeded",
        after_use(),
        terms=AFTER,
        before=(appropriate(99 - APPROPRIATED),),
        values={"asked": 100, "available": 99},
    ),
    ok(
        "a grant of all that is appropriated",
        "T9.25",
        after_use(),
        terms=AFTER,
        before=(appropriate(100 - APPROPRIATED),),
    ),
    no(
        "a fen above the year's redemptions",
        "T9.26",
        "redeemed_cap_exceeded",
        claim(51, invoice="2"),
        terms=caps(holder_year_redeemed=(150,)),
        before=(GRANTED, claim()),
        values={"party": "firm-a", "year": 2026, "asked": 51, "available": 50},
    ),
    ok(
        "all of the year's redemptions",
        "T9.26",
        claim(50, invoice="2"),
        terms=caps(holder_year_redeemed=(150,)),
        before=(GRANTED, claim()),
    ),
    ok(
        "what was credited may be redeemed again",
        "T9.26",
        claim(100, invoice="2"),
        terms=caps(holder_year_redeemed=(150,)),
        before=(GRANTED, claim(), credit(CLAIM, 50)),
    ),
    no(
        "a holder redeems a fen beyond all amounts",
        "T9.26",
        "amount_overflow",
        claim(),
        before=(GRANTED,),
        doctor=written(REDEEMED, NEARLY, PROGRAMME, "2026", "firm-a"),
    ),
    ok(
        "a claim that fills the band",
        "T9.26",
        claim(50, invoice="2"),
        terms={"review": Review(automatic_band=150, sample_every=0)},
        before=(GRANTED, claim()),
        wrote=((CLAIMS, ("guian-hub.000000002",), {"status": "accepted", "accepted": 50}),),
    ),
    ok(
        "a claim a fen above the band",
        "T9.26",
        claim(51, invoice="2"),
        terms={"review": Review(automatic_band=150, sample_every=0)},
        before=(GRANTED, claim()),
        wrote=((CLAIMS, ("guian-hub.000000002",), {"status": "under_review", "accepted": 0}),),
    ),
    ok(
        "attack: a claim at another centre of the issuer's month",
        "T9.26",
        claim(51, invoice="2", centre="chengdu-aicc"),
        terms={"review": Review(automatic_band=150, sample_every=0)},
        before=(GRANTED, accredit("chengdu-aicc", host="shanghai"), claim()),
        wrote=((CLAIMS, ("chengdu-aicc.000000001",), {"status": "under_review"}),),
    ),
    ok(
        "attack: a claim of another programme in the issuer's month",
        "T9.26",
        redeem((S1, 51), invoice="2"),
        before=stacked(review=Review(automatic_band=150, sample_every=0)),
        wrote=((CLAIMS, ("guian-hub.000000002",), {"status": "under_review"}),),
    ),
    ok(
        "another programme fills its band with the first one's",
        "T9.26",
        redeem((S1, 50), invoice="2"),
        before=stacked(review=Review(automatic_band=150, sample_every=0)),
        wrote=((BAND_USED, ("shanghai", "firm-a", "2026-01"), {"fen": 150}),),
    ),
    ok(
        "another holder has a band of its own",
        "T9.26",
        redeem((V2, 150), holder="firm-b", invoice="2"),
        terms={"review": Review(automatic_band=150, sample_every=0)},
        before=(GRANTED, mint(("firm-b", 1_000)), claim()),
        wrote=((CLAIMS, ("guian-hub.000000002",), {"status": "accepted"}),),
    ),
    ok(
        "a claim that may be drawn waits for the next block",
        "T9.26",
        claim(),
        terms=EACH_DRAWN,
        before=(GRANTED,),
        wrote=((CLAIMS, (CLAIM,), {"status": "to_be_drawn", "accepted": 0}),),
        untouched=(BAND_USED, REDEEMED, PAYABLES),
    ),
    no(
        "a claim that may be drawn stays within the year's redemptions",
        "T9.26",
        "redeemed_cap_exceeded",
        claim(),
        terms={**NONE_DRAWN, **caps(holder_year_redeemed=(99,))},
        before=(GRANTED,),
    ),
    ok(
        "the next block draws a claim for review",
        "R6.3",
        ANYTHING,
        terms=EACH_DRAWN,
        before=(GRANTED, claim()),
        wrote=((CLAIMS, (CLAIM,), {"status": "under_review", "accepted": 0}),),
        untouched=(BAND_USED, REDEEMED, PAYABLES),
    ),
    ok(
        "the next block accepts a claim that is not drawn",
        "R6.3",
        ANYTHING,
        terms=NONE_DRAWN,
        before=(GRANTED, claim()),
        wrote=(
            (CLAIMS, (CLAIM,), {"status": "accepted", "accepted": 100, "payables": 1}),
            (BAND_USED, ("shanghai", "firm-a", "2026-01"), {"fen": 100}),
            (REDEEMED, (PROGRAMME, "2026", "firm-a"), {"fen": 100}),
            (INVOICES, (seed("invoice-1").hex(),), {"pending": 0, "accepted": 100}),
        ),
    ),
    *(
        ok(
            f"a claim that is not drawn is reviewed if meanwhile {what}",
            "R6.3",
            ANYTHING,
            terms={**NONE_DRAWN, **caps(holder_year_redeemed=(1_000,))},
            before=(GRANTED, claim()),
            doctor=doctor,
            wrote=((CLAIMS, (CLAIM,), {"status": "under_review", "accepted": 0}),),
            untouched=(PAYABLES, BAND_USED),
        )
        for what, doctor in (
            ("the band was used", written(BAND_USED, Amount(fen=10**9 - 99), *MONTH)),
            ("the cap was reached", written(REDEEMED, Amount(fen=901), *YEAR_OF_A)),
            ("an amount ran out", written(BAND_USED, NEARLY, *MONTH)),
            ("the centre was suspended", doctored(PARTIES, "guian-hub", status="suspended")),
            ("the programme was suspended", doctored(PROGRAMMES, PROGRAMME, status="suspended")),
            ("the accreditation ended", doctored(ACCREDITATIONS, "guian-hub", ended=True)),
        )
    ),
    ok(
        "no claim is drawn in a pause",
        "R6.3",
        anchor(0),
        terms=NONE_DRAWN,
        before=(GRANTED, claim()),
        doctor=doctored(CONTROL, "all", paused_since_ms=(NOON_MS,)),
        untouched=(CLAIMS,),
    ),
    ok(
        "claims are drawn while nothing expires after a pause",
        "R6.3",
        anchor(0),
        terms=NONE_DRAWN,
        before=(GRANTED, claim()),
        doctor=doctored(CONTROL, "all", quiet=(NOON_MS, EVER_MS)),
        wrote=((CLAIMS, (CLAIM,), {"status": "accepted"}),),
    ),
    ok(
        "a claim that is not drawn fills the band",
        "R6.3",
        ANYTHING,
        terms=NONE_DRAWN,
        before=(GRANTED, claim()),
        doctor=written(BAND_USED, Amount(fen=10**9 - 100), *MONTH),
        wrote=((CLAIMS, (CLAIM,), {"status": "accepted"}),),
    ),
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
        "a rate of nothing",
        "T9.22",
        "rate_exceeded",
        claim(1),
        terms={"rates": (rate(0),)},
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
    ok(
        "all is redeemed at once",
        "T9.26",
        ALL_SPENT[-1],
        terms=WHOLE_BILLS,
        before=ALL_MINTED,
        wrote=((PAYABLES, (PAYABLE,), {"amount": FEN_MAX}),),
    ),
    ok(
        "all is redeemed by two vouchers",
        "T9.22",
        redeem((V1, FEN_MAX - 1), (V2, 1), net=FEN_MAX),
        terms=WHOLE_BILLS,
        before=(ALL_MINTED[0], mint(("firm-a", FEN_MAX - 1), ("firm-a", 1))),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


def line(voucher_id: str, amount: int) -> Line:
    return Line(voucher=voucher_id, amount=amount, reserve=())


def row_for(origin: Any, points: int) -> RateRow:
    return RateRow(
        holder_class=(),
        chip_origin=(origin,),
        service_class=(),
        ownership=(),
        basis_points=points,
    )


def test_a_redemption_in_the_band_is_burned_and_owed() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 1_000), ("firm-a", 500)))
    execution = chain.accept(builders.redeem((V1, 700), (V2, 500)))
    assert (voucher(chain, V1).available, voucher(chain, V1).redeemed) == (300, 700)
    claim = stored(chain, CLAIMS, "guian-hub.000000001")
    assert (claim.amount, claim.accepted, claim.status) == (1_200, 1_200, "accepted")
    payable = stored(chain, PAYABLES, payable_id(claim.id, 0))
    assert (payable.debtor, payable.creditor, payable.amount) == ("shanghai", "guian-hub", 1_200)
    assert [posting.kind for posting in postings(execution)] == ["burn", "burn"]
    assert [use.claim for use in stored(chain, INVOICES, claim.invoice.tag.hex()).uses] == [
        claim.id
    ]
    assert stored(chain, DEVICE_TIME, "guian-hub", "ascend-910b", str(TODAY)).fen == 3_600_000
    totals = stored(chain, TOTALS, PROGRAMME)
    assert (totals.minted, totals.available, totals.redeemed) == (1_500, 300, 1_200)


def test_a_claim_above_the_band_waits_and_owes_nothing() -> None:
    chain = chain_with(review=Review(automatic_band=999, sample_every=0))
    chain.accept(builders.mint(("firm-a", 10_000)))
    execution = chain.accept(builders.redeem((V1, 1_000)))
    claim = stored(chain, CLAIMS, "guian-hub.000000001")
    assert (claim.status, claim.accepted, claim.decided_ms) == ("under_review", 0, ())
    assert (voucher(chain, V1).available, voucher(chain, V1).claimed) == (9_000, 1_000)
    assert [posting.kind for posting in postings(execution)] == ["move"]
    assert get(chain.ledger._storage, PAYABLES, payable_id(claim.id, 0)) is None


def test_the_band_is_summed_over_a_month_and_filled_to_the_fen() -> None:
    chain = chain_with(review=Review(automatic_band=1_000, sample_every=0))
    chain.accept(builders.mint(("firm-a", 10_000)))
    statuses = []
    for number, amount in enumerate((600, 401, 400, 1)):
        chain.accept(builders.redeem((V1, amount), invoice=f"bill {number}"))
        statuses.append(stored(chain, CLAIMS, f"guian-hub.{number + 1:09d}").status)
    assert statuses == ["accepted", "under_review", "accepted", "under_review"]
    assert stored(chain, BAND_USED, "shanghai", "firm-a", "2026-01").fen == 1_000


def test_a_sample_of_one_in_one_sends_every_claim_to_review() -> None:
    chain = chain_with(review=Review(automatic_band=10**9, sample_every=1))
    chain.accept(builders.mint(("firm-a", 10_000)))
    chain.accept(builders.redeem((V1, 1)))
    assert stored(chain, CLAIMS, "guian-hub.000000001").status == "to_be_drawn"
    assert chain.ledger.has_due(chain.now_ms), "so the next block comes"
    chain.block()
    assert stored(chain, CLAIMS, "guian-hub.000000001").status == "under_review"


def test_a_sample_of_one_in_three_is_drawn_by_hashes() -> None:
    chain = chain_with(review=Review(automatic_band=10**9, sample_every=3))
    chain.accept(builders.mint(("firm-a", 10_000)))
    for number in range(30):
        chain.accept(builders.redeem((V1, 1), invoice=f"bill {number}"))
    chain.block()
    statuses = [stored(chain, CLAIMS, f"guian-hub.{number:09d}").status for number in range(1, 31)]
    assert 3 <= statuses.count("under_review") <= 20
    assert set(statuses) == {"under_review", "accepted"}


def test_attack_a_claimant_that_knows_all_before_its_block_cannot_tell_what_is_drawn() -> None:
    """The same claim in two blocks that differ by nothing but a millisecond is drawn or not."""
    statuses = set()
    for late_ms in range(16):
        chain = chain_with(review=Review(automatic_band=10**9, sample_every=2))
        chain.accept(builders.mint(("firm-a", 10_000)))
        chain.block(builders.redeem((V1, 1)), time_ms=chain.now_ms + 1_000 + late_ms)
        chain.block()
        statuses.add(stored(chain, CLAIMS, CLAIM).status)
    assert statuses == {"under_review", "accepted"}


def test_nanning_refuses_one_fen_above_whole_yuan() -> None:
    chain = chain_with(rounding=Rounding(mode="truncate", step_fen=100))
    chain.accept(builders.mint(("firm-a", 5_000_000)))
    above = builders.redeem((V1, 25_102_01), net=83_676_00)
    exact = builders.redeem((V1, 25_102_00), net=83_676_00)
    assert code(chain.attempt(above)) == "rate_exceeded"
    assert code(chain.attempt(exact)) == "ok"


@pytest.mark.parametrize(("chip", "allowed"), [("ascend-910b", 300), ("nvidia-a100", 200)])
def test_hangzhou_pays_more_on_domestic_chips(chip: str, allowed: int) -> None:
    chain = chain_with(rates=(row_for("domestic", 3000), row_for("foreign", 2000)))
    chain.accept(builders.mint(("firm-a", 10_000)))
    above = builders.redeem((V1, allowed + 1), net=1_000, chip=chip)
    exact = builders.redeem((V1, allowed), net=1_000, chip=chip)
    assert code(chain.attempt(above)) == "rate_exceeded"
    assert code(chain.attempt(exact)) == "ok"


@pytest.mark.parametrize(("holder_class", "allowed"), [("start_up", 600), ("enterprise", 500)])
def test_shenzhen_pays_start_ups_more_and_the_first_row_wins(
    holder_class: str, allowed: int
) -> None:
    def row(points: int, *holders: Any) -> RateRow:
        return RateRow(
            holder_class=holders,
            chip_origin=(),
            service_class=(),
            ownership=(),
            basis_points=points,
        )

    chain = chain_with(rates=(row(6000, "start_up"), row(5000)))
    chain.accept(builders.enrol("firm-c", holder_class=holder_class))
    chain.accept(builders.mint(("firm-c", 10_000)))
    above = builders.redeem((V1, allowed + 1), net=1_000, holder="firm-c")
    exact = builders.redeem((V1, allowed), net=1_000, holder="firm-c")
    assert code(chain.attempt(above)) == "rate_exceeded"
    assert code(chain.attempt(exact)) == "ok"


def test_redemptions_of_a_year_end_at_the_cap() -> None:
    chain = chain_with(caps=no_caps(holder_year_redeemed=(100,)))
    chain.accept(builders.mint(("firm-a", 1_000)))
    chain.accept(builders.redeem((V1, 60), invoice="1"))
    assert code(chain.attempt(builders.redeem((V1, 41), invoice="2"))) == "redeemed_cap_exceeded"
    assert code(chain.attempt(builders.redeem((V1, 40), invoice="3"))) == "ok"


def test_a_redemption_is_checked_in_the_order_of_its_clauses() -> None:
    """Everything is wrong at first; each step mends what was named, and the next clause speaks."""
    caps = no_caps(holder_year_redeemed=(300,))
    chain = chain_with(rates=(row_for("domestic", 3000),), ceiling=2_500, caps=caps)
    chain.accept(builders.mint(("firm-a", 1_000), ("firm-b", 5_000), ("firm-b", 5_000)))
    chain.accept(builders.redeem((V2, 250), holder="firm-b", invoice="used", net=1_000))
    chain.accept(builders.publish(version=2, status="suspended"))
    good = Usage(chip="ascend-910b", day=TODAY, gpu_ms=1, energy_wh=0)
    owner, centre = ("firm-b", "owner"), ("guian-hub", "officer-1")
    bad: dict[str, Any] = {
        "holder": "nobody",
        "centre": "firm-a",
        "by": (("firm-a", "owner"),),
        "lines": (),
        "invoice": "used",
        "net": 800,
        "base": 900,
        "usage": (),
    }
    open_again = builders.publish(version=3, ceiling=2_500)
    steps: list[tuple[str, dict[str, Any], bytes | None]] = [
        ("party_unknown", {"holder": "guiyang"}, None),
        ("party_wrong_kind", {"holder": "firm-b"}, None),
        ("party_wrong_kind", {"centre": "chengdu-aicc"}, None),
        ("lines_or_grant", {"lines": (line(V1, 9_999), line(V1, 9_999))}, None),
        (
            "repeated_value",
            {"lines": (line(V2, 9_999), replace(line(V1, 9_999), reserve=(V2,)))},
            None,
        ),
        ("signature_missing", {"by": (("chengdu-aicc", "officer-1"),)}, None),
        ("signature_missing", {"by": (owner, centre, ("chengdu-aicc", "officer-1"))}, None),
        ("voucher_not_held", {"lines": (line(V2, 9_999), line(V3, 9_999))}, None),
        ("voucher_exhausted", {"lines": (line(V2, 300), line(V3, 20))}, None),
        ("programme_not_open", {}, open_again),
        ("centre_not_accredited", {"centre": "guian-hub"}, builders.recognise(until_ms=NOON_MS)),
        ("centre_not_accepted", {}, builders.recognise(from_ms=NOON_MS)),
        ("base_exceeds_net", {"base": 800}, None),
        ("invoice_differs", {"invoice": "fresh"}, None),
        ("usage_missing", {"usage": (replace(good, chip="other"),)}, None),
        ("chip_not_accredited", {"usage": (replace(good, day=TODAY + 1, gpu_ms=2**50),)}, None),
        ("usage_in_future", {"usage": (replace(good, gpu_ms=2**50),)}, None),
        ("capacity_exceeded", {"usage": (replace(good, chip="nvidia-a100"),)}, None),
        ("rate_none", {"usage": (good,)}, None),
        ("rate_exceeded", {"net": 1_100, "base": 1_100}, None),
        ("ceiling_exceeded", {"net": 9_000, "base": 9_000}, None),
        ("redeemed_cap_exceeded", {"lines": (line(V2, 20), line(V3, 30))}, None),
        ("ok", {}, None),
    ]
    for number, (expected, mended, setting) in enumerate(steps):
        expires_at = NOON_MS + 3_600_000 + number
        assert code(chain.attempt(builders.redeem(**bad, expires_at=expires_at))) == expected
        bad |= mended
        if setting is not None:
            chain.accept(setting)
