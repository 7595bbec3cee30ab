"""Accreditation and recognition, and which centres a programme accepts: T5, T6, R5.1."""

from typing import Any

import pytest

from ledger.rules.centres import ACCREDITATIONS, RECOGNITION_PERIODS, RECOGNITIONS, Devices
from ledger.transactions import parse
from tests import builders
from tests.builders import GENESIS_MS, NOON_MS, Chain, funded_chain, officers
from tests.ledger.rules.case import (
    BOTH,
    EVER_MS,
    GRANTED,
    HOST_PAYS,
    ONE_OFFICER,
    PROGRAMME,
    V1,
    YEAR_MS,
    Case,
    Ready,
    Step,
    accredit,
    no,
    ok,
    recognise,
    redeem,
    second,
    set_aside,
    suspended,
)
from tests.ledger.rules.chains import chain_with, code, stored
from tests.ledger.rules.situations import GUIYANG

CHIP = Devices(chip="a", origin="domestic", count=1, tariff_ceiling=1, power_w=1)
START_MS, END_MS = NOON_MS + 100_000, NOON_MS + 200_000
OVER = recognise(until_ms=NOON_MS)
"""The setting's recognition ends at once."""
FOR_A_WHILE = recognise(from_ms=START_MS, until_ms=END_MS)
BY_THE_WAY = (GRANTED, OVER, FOR_A_WHILE)
PAID = (HOST_PAYS, GRANTED, redeem((V1, 100)))
ENDS_MS = GENESIS_MS + YEAR_MS
"""When the setting's recognition ends."""


def ahead(years: int, **changes: Any) -> Step:
    """Return a period of a year, so many years after the setting's first."""
    from_ms = GENESIS_MS + years * YEAR_MS
    return recognise(from_ms=from_ms, until_ms=from_ms + YEAR_MS, **changes)


TAKEN = (("T9.13", redeem((V1, 100))), ("T12.10", set_aside(V1, 100)))
"""Both ways in which a centre takes vouchers, with the check that asks whether it may."""

CASES: list[Case] = [
    # T5
    no(
        "no city accredits",
        "T5.1",
        "party_unknown",
        accredit("chengdu-aicc", host="nowhere", by=GUIYANG),
    ),
    no("a province accredits", "T5.1", "party_wrong_kind", accredit("chengdu-aicc", host="henan")),
    no("one officer accredits", "T5.2", "four_eyes_missing", accredit(by=GUIYANG[:1])),
    no(
        "a suspended host accredits",
        "T5.3",
        "party_not_active",
        accredit(pue_milli=1300),
        before=suspended("guiyang"),
    ),
    no("nobody is accredited", "T5.4", "party_unknown", accredit("nobody")),
    no("a firm is accredited", "T5.4", "party_wrong_kind", accredit("firm-a")),
    no(
        "a second city accredits a centre",
        "T5.5",
        "host_mismatch",
        accredit(host="shanghai"),
        values={"centre": "guian-hub", "host": "guiyang"},
    ),
    ok(
        "a centre moves to another host",
        "T5.5",
        accredit(
            host="shanghai", by=(*officers("shanghai", "registrar"), ("guian-hub", "officer-1"))
        ),
    ),
    ok("the same host accredits again", "T5.5", accredit(pue_milli=1300)),
    ok("a first accreditation", "T5.5", accredit("chengdu-aicc")),
    no(
        "a chip named twice",
        "T5.6",
        "repeated_value",
        accredit(devices=(CHIP, CHIP)),
        values={"value": "a"},
    ),
    # T6
    no(
        "no city recognises",
        "T6.1",
        "party_unknown",
        recognise(issuer="nowhere", by=BOTH),
    ),
    no("a province recognises", "T6.1", "party_wrong_kind", recognise(issuer="henan")),
    no(
        "one officer recognises",
        "T6.2",
        "four_eyes_missing",
        recognise(limit=(1,), by=ONE_OFFICER),
    ),
    no(
        "a suspended issuer recognises",
        "T6.3",
        "party_not_active",
        recognise(limit=(1,)),
        before=suspended("shanghai"),
    ),
    no(
        "a recognition for no time",
        "T6.4",
        "period_empty",
        recognise(until_ms=GENESIS_MS),
        values={"from_ms": GENESIS_MS, "until_ms": GENESIS_MS},
    ),
    ok("a recognition for one millisecond", "T6.4", recognise(until_ms=GENESIS_MS + 1)),
    ok(
        "a first recognition",
        "T6.4",
        recognise(hosts=("shanghai",)),
        wrote=(
            (RECOGNITIONS, (PROGRAMME, "shanghai", "1"), {"used": 0}),
            (RECOGNITION_PERIODS, (PROGRAMME, "shanghai"), {"last": 1, "periods": (1,)}),
        ),
    ),
    ok(
        "a change of the period in force keeps its number and its use",
        "T6.8",
        recognise(from_ms=second(len(PAID)), until_ms=EVER_MS, limit=(7,)),
        before=PAID,
        wrote=(
            (
                RECOGNITIONS,
                (PROGRAMME, "guiyang", "1"),
                {"mode": "direct", "used": 100, "limit": (7,), "from_ms": GENESIS_MS},
            ),
            (RECOGNITION_PERIODS, (PROGRAMME, "guiyang"), {"last": 1, "periods": (1,)}),
        ),
    ),
    ok(
        "a period that is set ahead does not end the one in force",
        "T6.8",
        recognise(from_ms=ENDS_MS, until_ms=EVER_MS),
        before=PAID,
        wrote=(
            (RECOGNITIONS, (PROGRAMME, "guiyang", "2"), {"used": 0, "from_ms": ENDS_MS}),
            (RECOGNITION_PERIODS, (PROGRAMME, "guiyang"), {"last": 2, "periods": (1, 2)}),
        ),
    ),
    ok(
        "a period that is set ahead is changed",
        "T6.8",
        recognise(from_ms=ENDS_MS, until_ms=ENDS_MS + 1),
        before=(recognise(from_ms=ENDS_MS, until_ms=EVER_MS),),
        wrote=(
            (RECOGNITIONS, (PROGRAMME, "guiyang", "2"), {"until_ms": ENDS_MS + 1}),
            (RECOGNITION_PERIODS, (PROGRAMME, "guiyang"), {"last": 2, "periods": (1, 2)}),
        ),
    ),
    ok(
        "what was cut short makes room for the next",
        "T6.8",
        recognise(from_ms=second(2), until_ms=EVER_MS),
        before=(recognise(until_ms=second(2)),),
        wrote=((RECOGNITION_PERIODS, (PROGRAMME, "guiyang"), {"last": 2, "periods": (2,)}),),
    ),
    ok(
        "a period in its last millisecond is changed",
        "T6.8",
        recognise(from_ms=second(2), until_ms=EVER_MS),
        before=(recognise(until_ms=second(2) + 1),),
        wrote=((RECOGNITION_PERIODS, (PROGRAMME, "guiyang"), {"last": 1, "periods": (1,)}),),
    ),
    ok(
        "the one in force is changed up to the next",
        "T6.8",
        recognise(limit=(7,)),
        before=(recognise(from_ms=ENDS_MS, until_ms=EVER_MS),),
        wrote=((RECOGNITION_PERIODS, (PROGRAMME, "guiyang"), {"last": 2, "periods": (1, 2)}),),
    ),
    no(
        "a period a millisecond before the one in force ends",
        "T6.8",
        "periods_overlap",
        recognise(from_ms=ENDS_MS - 1, until_ms=EVER_MS),
        before=PAID,
        values={"host": "guiyang", "from_ms": GENESIS_MS, "until_ms": ENDS_MS},
    ),
    no(
        "the one in force is drawn out into the next",
        "T6.8",
        "periods_overlap",
        recognise(until_ms=ENDS_MS + 1),
        before=(recognise(from_ms=ENDS_MS, until_ms=EVER_MS),),
        values={"from_ms": ENDS_MS, "until_ms": EVER_MS},
    ),
    ok("a fourth period", "T6.8", ahead(3), before=tuple(map(ahead, (1, 2)))),
    no(
        "a fifth period",
        "T6.8",
        "periods_too_many",
        ahead(4),
        before=tuple(map(ahead, (1, 2, 3))),
        values={"programme": PROGRAMME, "host": "guiyang", "maximum": 4},
    ),
    ok(
        "a fourth period is changed",
        "T6.8",
        ahead(3, limit=(1,)),
        before=tuple(map(ahead, (1, 2, 3))),
    ),
    ok(
        "a fifth period once the first has ended",
        "T6.8",
        ahead(4),
        before=(*map(ahead, (1, 2, 3)), ENDS_MS),
        wrote=((RECOGNITION_PERIODS, (PROGRAMME, "guiyang"), {"periods": (2, 3, 4, 5)}),),
    ),
    no(
        "a programme named twice",
        "T6.5",
        "repeated_value",
        recognise(programmes=(PROGRAMME, PROGRAMME)),
    ),
    no("a host named twice", "T6.6", "repeated_value", recognise(hosts=("guiyang", "guiyang"))),
    no("a host who is nobody", "T6.7", "party_unknown", recognise(hosts=("guiyang", "nowhere"))),
    no("a host who is no city", "T6.7", "party_wrong_kind", recognise(hosts=("guian-hub",))),
    no(
        "a host who pays did not sign",
        "T6.7",
        "four_eyes_missing",
        recognise(mode="host_pays"),
        values={"party": "guiyang", "role": "registrar"},
    ),
    ok("a host who pays signed", "T6.7", recognise(mode="host_pays", by=BOTH)),
    no(
        "another city's programme",
        "T6.8",
        "issuer_mismatch",
        recognise(issuer="guiyang"),
        values={"issuer": "shanghai", "party": "guiyang"},
    ),
    no(
        "a programme that is none",
        "T6.8",
        "programme_unknown",
        recognise(programmes=("shanghai.other",)),
    ),
    # R5.1
    *(
        case
        for clause, take in TAKEN
        for case in (
            no(
                "another city's centre where only own ones count",
                clause,
                "centre_not_accepted",
                take,
                terms={"centres": "own_city"},
                before=(GRANTED,),
                values={"programme": PROGRAMME, "centre": "guian-hub", "host": "guiyang"},
            ),
            no(
                "a centre that is not on the list",
                clause,
                "centre_not_accepted",
                take,
                terms={"centres": "listed", "listed": ("chengdu-aicc",)},
                before=(GRANTED,),
            ),
            ok(
                "a centre on the list",
                clause,
                take,
                terms={"centres": "listed", "listed": ("guian-hub",)},
                before=(GRANTED,),
            ),
            no(
                "a millisecond before a recognition begins",
                clause,
                "centre_not_accepted",
                take,
                before=(*BY_THE_WAY, START_MS - 1),
            ),
            ok("as a recognition begins", clause, take, before=(*BY_THE_WAY, START_MS)),
            ok(
                "in the last millisecond of a recognition",
                clause,
                take,
                before=(*BY_THE_WAY, END_MS - 1),
            ),
            no(
                "as a recognition ends",
                clause,
                "centre_not_accepted",
                take,
                before=(*BY_THE_WAY, END_MS),
            ),
        )
    ),
    no(
        "a centre that nobody recognised",
        "T9.13",
        "centre_not_accepted",
        redeem((V1, 100), centre="chengdu-aicc"),
        before=(GRANTED, recognise(until_ms=GENESIS_MS + 1), accredit("chengdu-aicc")),
    ),
    ok(
        "the issuer's own centre",
        "T9.13",
        redeem((V1, 100), centre="chengdu-aicc"),
        terms={"centres": "own_city"},
        before=(GRANTED, accredit("chengdu-aicc", host="shanghai")),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


def test_an_accreditation_may_change_and_end() -> None:
    chain = funded_chain()
    chain.accept(builders.accredit(pue_milli=1100))
    assert stored(chain, ACCREDITATIONS, "guian-hub").pue_milli == 1100
    chain.accept(builders.accredit(ended=True))
    assert stored(chain, ACCREDITATIONS, "guian-hub").ended


def test_a_recognition_covers_every_pair_of_programme_and_host() -> None:
    chain = funded_chain()
    chain.accept(builders.publish(programme="shanghai.second"))
    programmes = (PROGRAMME, "shanghai.second")
    chain.accept(builders.recognise(programmes=programmes, hosts=("guiyang", "shanghai")))
    for programme in programmes:
        for host in ("guiyang", "shanghai"):
            assert stored(chain, RECOGNITIONS, programme, host, "1").until_ms > NOON_MS


def test_a_recognition_holds_from_its_first_to_before_its_last_millisecond() -> None:
    chain = chain_with()
    chain.accept(builders.mint(("firm-a", 1_000)))
    start, end = NOON_MS + 100_000, NOON_MS + 200_000
    chain.accept(builders.recognise(until_ms=NOON_MS))
    chain.accept(builders.recognise(from_ms=start, until_ms=end))
    moments = [(start - 1, "centre_not_accepted"), (start, "ok")]
    moments += [(end - 1, "ok"), (end, "centre_not_accepted")]
    for number, (moment, expected) in enumerate(moments):
        claim = builders.redeem((V1, 1), invoice=f"bill {number}")
        assert code(chain.attempt(claim, time_ms=moment)) == expected


@pytest.mark.parametrize(
    ("terms", "accepted"),
    [
        ({"centres": "own_city"}, True),
        ({"centres": "listed", "listed": ("guian-hub",)}, True),
        ({"centres": "recognised"}, True),
    ],
)
def test_a_citys_own_centre_is_always_accepted(terms: dict[str, Any], accepted: bool) -> None:
    chain = chain_with(**terms)
    chain.accept(builders.accredit("chengdu-aicc", host="shanghai"))
    chain.accept(builders.mint(("firm-a", 1_000)))
    claim = builders.redeem((V1, 1), centre="chengdu-aicc")
    assert (code(chain.attempt(claim)) == "ok") is accepted


def test_a_listed_centre_needs_no_recognition() -> None:
    chain = Chain()
    chain.accept(
        builders.publish(centres="listed", listed=("guian-hub",)),
        builders.enrol("firm-a"),
        builders.accredit(),
    )
    chain.accept(builders.appropriate())
    chain.accept(builders.mint(("firm-a", 1_000)))
    assert code(chain.attempt(builders.redeem((V1, 1)))) == "ok"


def test_the_pairs_of_a_recognition_count_as_rows() -> None:
    raw = builders.recognise(
        programmes=("shanghai.a", "shanghai.b", "shanghai.c"), hosts=("guiyang", "henan")
    )
    assert parse(raw).rows == 6
