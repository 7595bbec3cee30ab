"""Programmes, their terms, and who consents to them: T3, T25, R4.6."""

from typing import Any

import pytest

from ledger.rules.attestations import CRITERIA_MAX
from ledger.rules.programmes import CONSENTS, PROGRAMMES
from tests import builders
from tests.builders import Chain, criterion, funded_chain, no_caps, officers
from tests.ledger.rules.case import (
    ONE_OFFICER,
    PROGRAMME,
    V1,
    Case,
    Ready,
    agree,
    appropriate,
    mint,
    no,
    ok,
    publish,
    second,
    shares,
    suspended,
)
from tests.ledger.rules.chains import code, stored
from tests.ledger.rules.situations import (
    AFTER,
    APPROPRIATED,
    BUDGET,
    CLEAN,
    CLOSED,
    HALVES,
    SHARED,
    after_use,
    clean,
)


def inconsistent(claim: str, reason: str, **terms: object) -> Case:
    return no(
        claim,
        "T3.7",
        "terms_inconsistent",
        publish(version=2, **terms),
        values={"reason": reason},
    )


PROPOSED = publish(version=2, funders=HALVES)
AGREED = agree(version=2, funders=HALVES)
THIRDS = shares(("shanghai", 3_334), ("henan", 3_333), ("guiyang", 3_333))
NOTHING_OF_HENAN = shares(("shanghai", 10_000), ("henan", 0))
STRICT = {"funders": HALVES, **CLEAN}
"""What Henan consented to: half, for firms with a clean record."""
APPROPRIATED_BY_HENAN = (*SHARED, appropriate(funder="henan"))
ALONE = publish(version=3, funders=shares(("henan", 10_000)), residual_funder="henan")
"""The issuer alone: no eligibility, and Henan pays everything."""


def in_force(version: int, *proposed: int) -> tuple[Any, ...]:
    """Return which versions of the programme are written."""
    return ((PROGRAMMES, (PROGRAMME,), {"version": version, "proposed": proposed}),)


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
        "the status of a version that is not in force",
        "T3.5",
        "programme_version_wrong",
        publish(version=2, funders=HALVES, status="closed"),
        before=(PROPOSED,),
        values={"expected": 3, "given": 2},
    ),
    ok(
        "the status of the version in force, while another waits",
        "T3.5",
        publish(status="suspended"),
        before=(PROPOSED,),
        wrote=in_force(1, 2),
    ),
    ok(
        "the status of the first version, while it waits",
        "T3.5",
        publish(programme="shanghai.second", funders=HALVES, status="closed"),
        before=(publish(programme="shanghai.second", funders=HALVES),),
        wrote=(
            (
                PROGRAMMES,
                ("shanghai.second",),
                {"version": 0, "proposed": (1,), "status": "closed"},
            ),
        ),
    ),
    ok(
        "a version in the place of one that waits",
        "T3.5",
        publish(version=3, funders=HALVES),
        before=(PROPOSED,),
        wrote=in_force(1, 3),
    ),
    ok(
        "a version of the issuer alone in the place of one that waits",
        "R4.6",
        publish(version=3),
        before=(PROPOSED,),
        wrote=in_force(3),
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
    ok("shares of the whole", "T3.7", PROPOSED, wrote=in_force(1, 2)),
    # R4.6
    ok(
        "a version of the issuer alone is in force at once",
        "R4.6",
        publish(version=2),
        wrote=in_force(2),
    ),
    ok(
        "a first version waits for its funders",
        "R4.6",
        publish(programme="shanghai.second", funders=HALVES),
        wrote=((PROGRAMMES, ("shanghai.second",), {"version": 0, "proposed": (1,)}),),
    ),
    ok(
        "another's share of nothing needs no consent",
        "R4.6",
        publish(version=2, funders=NOTHING_OF_HENAN),
        wrote=in_force(2),
    ),
    ok(
        "a residual funder's share of nothing needs its consent",
        "R4.6",
        publish(version=2, funders=NOTHING_OF_HENAN, residual_funder="henan"),
        wrote=in_force(1, 2),
    ),
    ok(
        "one basis point needs its funder's consent",
        "R4.6",
        publish(version=2, funders=shares(("shanghai", 9_999), ("henan", 1))),
        wrote=in_force(1, 2),
    ),
    ok(
        "the same shares under a new version need it anew",
        "R4.6",
        publish(version=3, funders=HALVES),
        before=SHARED,
        wrote=in_force(2, 3),
    ),
    # T25
    no("terms of no programme", "T25.1", "programme_unknown", agree(programme="shanghai.other")),
    no(
        "consent to what is in force",
        "T25.2",
        "version_not_proposed",
        agree(version=2, funders=HALVES),
        before=SHARED,
        values={"programme": PROGRAMME, "version": 2},
    ),
    no(
        "consent to a version that another took the place of",
        "T25.2",
        "version_not_proposed",
        AGREED,
        before=(PROPOSED, publish(version=3, funders=HALVES)),
    ),
    no(
        "consent to a version to come",
        "T25.2",
        "version_not_proposed",
        agree(version=3, funders=HALVES),
        before=(PROPOSED,),
    ),
    no(
        "who does not fund it consents",
        "T25.3",
        "not_a_funder",
        agree("guiyang", version=2, funders=HALVES),
        before=(PROPOSED,),
        values={"party": "guiyang"},
    ),
    no(
        "the issuer's officers consent for a funder",
        "T25.4",
        "four_eyes_missing",
        agree(version=2, funders=HALVES, by=BUDGET),
        before=(PROPOSED,),
        values={"party": "henan", "role": "budget"},
    ),
    no(
        "one officer consents",
        "T25.4",
        "four_eyes_missing",
        agree(version=2, funders=HALVES, by=(("henan", "officer-1"),)),
        before=(PROPOSED,),
    ),
    no(
        "a funder's mint officers consent",
        "T25.4",
        "four_eyes_missing",
        agree(version=2, funders=HALVES, by=officers("henan", "mint")),
        before=(PROPOSED,),
    ),
    no(
        "a suspended funder consents",
        "T25.5",
        "party_not_active",
        AGREED,
        before=(PROPOSED, *suspended("henan")),
        values={"party": "henan"},
    ),
    no(
        "a funder read other terms than were published",
        "T25.6",
        "terms_hash_wrong",
        agree(version=2, **STRICT),
        before=(PROPOSED,),
        values={"programme": PROGRAMME, "version": 2},
    ),
    ok(
        "the last consent brings a version into force",
        "T25.6",
        AGREED,
        before=(PROPOSED,),
        wrote=(
            *in_force(2),
            (CONSENTS, (PROGRAMME, "2", "henan"), {"consented_ms": second(2), "version": 2}),
        ),
    ),
    ok(
        "a consent before the last",
        "T25.6",
        agree(version=2, funders=THIRDS),
        before=(publish(version=2, funders=THIRDS),),
        wrote=in_force(1, 2),
    ),
    ok(
        "a funder consents again",
        "T25.6",
        agree(version=2, funders=THIRDS),
        before=(publish(version=2, funders=THIRDS), agree(version=2, funders=THIRDS)),
        wrote=in_force(1, 2),
    ),
    ok(
        "the issuer may say so too",
        "T25.6",
        agree("shanghai", version=2, funders=HALVES),
        before=(PROPOSED,),
        wrote=in_force(1, 2),
    ),
    # T7.5, T9.10: what is not in force spends nothing
    no(
        "money under a version that waits",
        "T7.5",
        "funder_consent_missing",
        mint(("firm-a", 100), terms_version=2),
        before=(publish(version=2, funders=THIRDS), agree(version=2, funders=THIRDS)),
        values={"programme": PROGRAMME, "version": 2, "funder": "guiyang"},
    ),
    no(
        "a mint before any version is in force",
        "T7.5",
        "funder_consent_missing",
        mint(("firm-a", 100), programme="shanghai.second", terms_version=0),
        before=(publish(programme="shanghai.second", funders=HALVES),),
        values={"version": 1, "funder": "henan"},
    ),
    ok(
        "what is in force goes on while another waits",
        "T7.5",
        mint(("firm-a", 1)),
        before=(PROPOSED,),
    ),
    no(
        "a grant after use under a version that waits",
        "T9.10",
        "funder_consent_missing",
        after_use(terms_version=2),
        terms=AFTER,
        before=(publish(version=2, funders=HALVES, **AFTER),),
        values={"version": 2, "funder": "henan"},
    ),
    no(
        "money for a version that waits",
        "T4.2",
        "not_a_funder",
        appropriate(funder="henan"),
        before=(PROPOSED,),
    ),
    no(
        "money for a programme of which no version is in force",
        "T4.2",
        "not_a_funder",
        appropriate(programme="shanghai.second"),
        before=(publish(programme="shanghai.second", funders=HALVES),),
    ),
    no(
        "the issuer alone changes the terms after the province appropriated, and spends its money",
        "T7.5",
        "funder_consent_missing",
        mint(("firm-a", APPROPRIATED), terms_version=3),
        before=(*APPROPRIATED_BY_HENAN, ALONE),
        values={"version": 3, "funder": "henan"},
    ),
    ok(
        "the issuer alone changes the terms after the province appropriated: they wait",
        "R4.6",
        ALONE,
        before=APPROPRIATED_BY_HENAN,
        wrote=in_force(2, 3),
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
    assert code(chain.block(builders.transfer(V1, 1))) == "ok"


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
    (result,) = Chain().block(builders.publish(eligibility=(group,) * groups)).results
    assert (result.refusal.code if result.refusal else "ok") == code
