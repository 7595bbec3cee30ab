"""Programmes and money: T3, T4."""

from ledger.encoding.codec import FEN_MAX
from tests.builders import no_caps, officers
from tests.ledger.adversarial.case import (
    GRANTED,
    ONE_OFFICER,
    PROGRAMME,
    Case,
    appropriate,
    no,
    ok,
    publish,
    shares,
    suspended,
)

BUDGET = officers("shanghai", "budget")
HALVES = shares(("shanghai", 5_000), ("henan", 5_000))
BOTH_FUND = (*BUDGET, *officers("henan", "budget"))
FORMER = (
    publish(version=2, funders=HALVES, by=BOTH_FUND),
    appropriate(5, funder="henan"),
    publish(version=3, funders=shares(("shanghai", 10_000))),
)
"""Henan funded the programme once, and left money there."""
CLOSED = publish(status="closed")
APPROPRIATED = 100_000_000
"""What every case's setting appropriates for 2026."""
OF_2025 = appropriate(5, year=2025)


def inconsistent(claim: str, reason: str, **terms: object) -> Case:
    return no(
        claim,
        "T3.7",
        "terms_inconsistent",
        publish(version=2, **terms),
        values={"reason": reason},
    )


CASES = [
    # T3
    no(
        "no city publishes",
        "T3.1",
        "party_unknown",
        publish(programme="nowhere.compute", by=BUDGET),
    ),
    no("a province publishes", "T3.1", "party_wrong_kind", publish(programme="henan.compute")),
    no("one officer publishes", "T3.2", "four_eyes_missing", publish(version=2, by=ONE_OFFICER)),
    no(
        "another city's officers publish",
        "T3.2",
        "four_eyes_missing",
        publish(version=2, by=officers("guiyang", "budget")),
        values={"party": "shanghai", "role": "budget"},
    ),
    no(
        "a suspended city publishes",
        "T3.3",
        "party_not_active",
        publish(version=2),
        before=suspended("shanghai"),
    ),
    no(
        "a closed programme gets a version",
        "T3.4",
        "programme_not_open",
        publish(version=2),
        before=(CLOSED,),
        values={"status": "closed"},
    ),
    no(
        "a closed programme opens again",
        "T3.4",
        "programme_not_open",
        publish(status="suspended"),
        before=(CLOSED,),
    ),
    ok(
        "a suspended programme gets a version",
        "T3.4",
        publish(version=2),
        before=(publish(status="suspended"),),
    ),
    no(
        "a version is skipped",
        "T3.5",
        "programme_version_wrong",
        publish(version=3),
        values={"expected": 2, "given": 3},
    ),
    no("a version before the first", "T3.5", "programme_version_wrong", publish(version=0)),
    no(
        "an older version",
        "T3.5",
        "programme_version_wrong",
        publish(version=1),
        before=(publish(version=2),),
    ),
    no(
        "a new programme starts at version 2",
        "T3.5",
        "programme_version_wrong",
        publish(programme="shanghai.second", version=2),
        values={"expected": 1, "given": 2},
    ),
    no(
        "a new programme starts at version 0",
        "T3.5",
        "programme_version_wrong",
        publish(programme="shanghai.second", version=0),
    ),
    ok("the next version", "T3.5", publish(version=2, title="again")),
    ok("a new programme", "T3.5", publish(programme="shanghai.second")),
    no(
        "other terms under the same version",
        "T3.6",
        "terms_differ",
        publish(title="again"),
        values={"version": 1},
    ),
    ok("another status under the same version", "T3.6", publish(status="suspended")),
    inconsistent(
        "a funder named twice",
        "a funder is named twice",
        funders=shares(("shanghai", 5_000), ("shanghai", 5_000)),
    ),
    inconsistent(
        "a residual funder who does not fund",
        "the residual funder is not a funder",
        residual_funder="henan",
    ),
    inconsistent(
        "shares below the whole",
        "funder shares do not add up to 10000 basis points",
        funders=shares(("shanghai", 5_000), ("henan", 4_999)),
    ),
    inconsistent(
        "shares above the whole",
        "funder shares do not add up to 10000 basis points",
        funders=shares(("shanghai", 5_000), ("henan", 5_001)),
    ),
    ok(
        "shares of the whole",
        "T3.7",
        publish(version=2, funders=HALVES, by=BOTH_FUND),
    ),
    no(
        "a funder's share grows and it did not sign",
        "T3.8",
        "four_eyes_missing",
        publish(version=2, funders=HALVES),
        values={"party": "henan", "role": "budget"},
    ),
    no(
        "a funder's share grows by a basis point",
        "T3.8",
        "four_eyes_missing",
        publish(version=3, funders=shares(("shanghai", 4_999), ("henan", 5_001))),
        before=(publish(version=2, funders=HALVES, by=BOTH_FUND),),
    ),
    ok(
        "a share stays without its funder",
        "T3.8",
        publish(version=3, funders=HALVES),
        before=(publish(version=2, funders=HALVES, by=BOTH_FUND),),
    ),
    ok(
        "a share falls without its funder",
        "T3.8",
        publish(version=3, funders=shares(("shanghai", 5_001), ("henan", 4_999))),
        before=(publish(version=2, funders=HALVES, by=BOTH_FUND),),
    ),
    ok(
        "the first version needs its funders' money, not their word",
        "T3.8",
        publish(programme="shanghai.second", funders=HALVES),
    ),
    inconsistent(
        "a transferable grant after use",
        "a grant after use has no voucher to transfer",
        grant="after_use",
    ),
    inconsistent(
        "a minimum grant above the maximum",
        "the minimum grant is above the maximum",
        caps=no_caps(grant_min=(2,), grant_max=(1,)),
    ),
    ok(
        "one amount for all grants",
        "T3.7",
        publish(version=2, caps=no_caps(grant_min=(2,), grant_max=(2,))),
    ),
    ok(
        "only a minimum for grants",
        "T3.7",
        publish(version=2, caps=no_caps(grant_min=(2,))),
    ),
    ok(
        "only a maximum for grants",
        "T3.7",
        publish(version=2, caps=no_caps(grant_max=(2,))),
    ),
    ok("a grant after use", "T3.7", publish(version=2, grant="after_use", transfer="none")),
    ok("listed centres", "T3.7", publish(version=2, centres="listed", listed=("guian-hub",))),
    inconsistent(
        "listed centres under another rule",
        "centres are listed but the rule is not 'listed'",
        listed=("guian-hub",),
    ),
    inconsistent(
        "a base period of no day", "the base period ends before it starts", base_period=((5, 5),)
    ),
    ok("a base period of one day", "T3.7", publish(version=2, base_period=((5, 6),))),
    no(
        "a funder who is nobody",
        "T3.8",
        "party_unknown",
        publish(version=2, funders=shares(("nobody", 10_000)), residual_funder="nobody"),
    ),
    no(
        "a data centre as funder",
        "T3.8",
        "party_wrong_kind",
        publish(version=2, funders=shares(("guian-hub", 10_000)), residual_funder="guian-hub"),
    ),
    # T4
    no(
        "money for no programme",
        "T4.1",
        "programme_unknown",
        appropriate(programme="shanghai.other"),
    ),
    no(
        "a stranger's money",
        "T4.2",
        "not_a_funder",
        appropriate(funder="henan"),
        values={"party": "henan", "programme": PROGRAMME},
    ),
    ok(
        "a former funder takes back what is left",
        "T4.2",
        appropriate(-1, funder="henan"),
        before=FORMER,
    ),
    no(
        "a former funder carries over",
        "T4.2",
        "not_a_funder",
        appropriate(-1, funder="henan", carried_from=(2025,)),
        before=FORMER,
    ),
    no(
        "a former funder takes nothing",
        "T4.2",
        "not_a_funder",
        appropriate(0, funder="henan"),
    ),
    no("one officer appropriates", "T4.3", "four_eyes_missing", appropriate(5, by=ONE_OFFICER)),
    no(
        "a suspended funder appropriates",
        "T4.4",
        "party_not_active",
        appropriate(5),
        before=suspended("shanghai"),
    ),
    no(
        "money carried within a year",
        "T4.5",
        "carry_over_invalid",
        appropriate(5, carried_from=(2026,)),
        values={"from_year": 2026, "year": 2026, "delta": 5},
    ),
    no(
        "money carried backwards",
        "T4.5",
        "carry_over_invalid",
        appropriate(5, year=2025, carried_from=(2026,)),
    ),
    no(
        "nothing carried over",
        "T4.5",
        "carry_over_invalid",
        appropriate(0, carried_from=(2025,)),
        before=(OF_2025,),
    ),
    no(
        "money carried over negatively",
        "T4.5",
        "carry_over_invalid",
        appropriate(-1, carried_from=(2025,)),
        before=(OF_2025,),
    ),
    no(
        "a fen more than the old year has",
        "T4.5",
        "appropriation_below_committed",
        appropriate(6, carried_from=(2025,)),
        before=(OF_2025,),
        values={"appropriated": -1, "committed": 0},
    ),
    ok(
        "all that the old year has", "T4.5", appropriate(5, carried_from=(2025,)), before=(OF_2025,)
    ),
    ok(
        "one fen of the year before",
        "T4.5",
        appropriate(1, carried_from=(2025,)),
        before=(OF_2025,),
    ),
    no(
        "a fen of what is committed is taken back",
        "T4.6",
        "appropriation_below_committed",
        appropriate(10_000 - 1 - APPROPRIATED),
        before=(GRANTED,),
        values={"appropriated": 9_999, "committed": 10_000},
    ),
    ok(
        "all that is not committed is taken back",
        "T4.6",
        appropriate(10_000 - APPROPRIATED),
        before=(GRANTED,),
    ),
    no(
        "a fen beyond all amounts",
        "T4.7",
        "amount_overflow",
        appropriate(FEN_MAX - APPROPRIATED + 1),
        values={"total": FEN_MAX + 1, "maximum": FEN_MAX},
    ),
    ok("the largest amount", "T4.7", appropriate(FEN_MAX - APPROPRIATED)),
    ok("a delta of zero", "T4.7", appropriate(0)),
]
