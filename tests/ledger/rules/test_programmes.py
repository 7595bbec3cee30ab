"""Programmes and their terms: T3."""

import pytest

from ledger.rules.attestations import CRITERIA_MAX
from ledger.rules.programmes import PROGRAMMES
from tests import builders
from tests.builders import Chain, criterion, funded_chain, no_caps, officers
from tests.ledger.rules.case import (
    ONE_OFFICER,
    PROGRAMME,
    V1,
    Case,
    Ready,
    no,
    ok,
    publish,
    shares,
    suspended,
)
from tests.ledger.rules.chains import code, stored
from tests.ledger.rules.situations import BOTH_FUND, BUDGET, CLEAN, CLOSED, HALVES, clean


def inconsistent(claim: str, reason: str, **terms: object) -> Case:
    return no(
        claim,
        "T3.7",
        "terms_inconsistent",
        publish(version=2, **terms),
        values={"reason": reason},
    )


CASES: list[Case] = [
    # T3.7: how many criteria
    ok(
        "sixteen criteria",
        "T3.7",
        publish(version=2, eligibility=((criterion("clean_record"),) * CRITERIA_MAX,)),
    ),
    no(
        "seventeen criteria in two groups",
        "T3.7",
        "terms_inconsistent",
        publish(
            version=2,
            eligibility=((criterion("clean_record"),) * CRITERIA_MAX, *CLEAN["eligibility"]),
        ),
    ),
    no(
        "seventeen attesters",
        "T3.7",
        "terms_inconsistent",
        publish(
            version=2,
            **clean(attesters=tuple(f"city-{n}" for n in range(CRITERIA_MAX + 1))),
        ),
    ),
    ok(
        "sixteen attesters",
        "T3.7",
        publish(version=2, **clean(attesters=tuple(f"city-{n}" for n in range(CRITERIA_MAX)))),
    ),
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
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


def test_a_new_version_leaves_old_vouchers_their_terms() -> None:
    chain = funded_chain()
    chain.accept(builders.mint(("firm-a", 100)))
    chain.accept(builders.publish(version=2, transfer="none"))
    assert stored(chain, PROGRAMMES, PROGRAMME).version == 2
    assert code(chain.attempt(builders.transfer(V1, 1))) == "ok"


@pytest.mark.parametrize(
    ("criteria", "groups", "code"),
    [
        (CRITERIA_MAX, 1, "ok"),
        (CRITERIA_MAX // 2, 2, "ok"),
        (CRITERIA_MAX, 2, "terms_inconsistent"),
        (CRITERIA_MAX // 2 + 1, 2, "terms_inconsistent"),
    ],
)
def test_terms_with_too_many_criteria_are_refused(criteria: int, groups: int, code: str) -> None:
    group = (criterion("registered_in"),) * criteria
    (attempt,) = Chain().attempt(builders.publish(eligibility=(group,) * groups))
    assert attempt.code == code
