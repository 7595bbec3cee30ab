"""Statements and whom they convince: T2, T11, R4.1, R4.5."""

from typing import Any

from ledger.rules.attestations import CRITERIA_MAX
from tests.builders import criterion, officers
from tests.ledger.adversarial.case import (
    DAY_MS,
    ONE_OFFICER,
    V1,
    Case,
    attest,
    mint,
    no,
    ok,
    publish,
    redeem,
    revoke_attestation,
    second,
    suspended,
    transfer,
)

OWNER = (("firm-a", "owner"),)
SHANGHAI = officers("shanghai", "registrar")
CLEAN: dict[str, Any] = {"eligibility": ((criterion("clean_record"),),)}
STATED_MS = second(1)
"""When the first statement of a case is made."""
UNTIL_MS = STATED_MS + 10 * DAY_MS


def clean(**changes: Any) -> dict[str, Any]:
    """Return terms that ask for a clean record."""
    return {"eligibility": ((criterion("clean_record", **changes),),)}


def attested(**changes: Any) -> Any:
    return attest("firm-a", "clean_record", **changes)


MINT = mint(("firm-a", 1_000))
APART: dict[str, Any] = {"eligibility": ((criterion("unrelated_to", attesters=("shanghai",)),),)}

CASES: list[Case] = [
    # T2
    no(
        "nobody attests",
        "T2.1",
        "party_unknown",
        attest("firm-a", attester="nobody", by=SHANGHAI),
    ),
    no(
        "a holder attests",
        "T2.1",
        "party_wrong_kind",
        attest("firm-a", attester="firm-a", by=OWNER),
    ),
    no("one officer attests", "T2.2", "four_eyes_missing", attest("firm-a", by=ONE_OFFICER)),
    no(
        "a data centre attests without its signature",
        "T2.2",
        "signature_missing",
        attest("firm-a", attester="guian-hub", by=SHANGHAI),
        values={"party": "guian-hub", "needed": 1, "signed": 0},
    ),
    ok(
        "a data centre attests",
        "T2.2",
        attest("firm-a", attester="guian-hub", by=(("guian-hub", "officer-2"),)),
    ),
    ok(
        "an auditor attests",
        "T2.1",
        attest("firm-a", attester="audit-office", by=(("audit-office", "officer-1"),)),
    ),
    no(
        "a suspended city attests",
        "T2.3",
        "party_not_active",
        attest("firm-a"),
        before=suspended("shanghai"),
    ),
    no("a statement on nobody", "T2.4", "party_unknown", attest("nobody")),
    no(
        "a statement that names nobody",
        "T2.5",
        "party_unknown",
        attest("firm-a", "unrelated_to", about=("nobody",)),
    ),
    no(
        "validity that ends with the block",
        "T2.6",
        "validity_passed",
        attest("firm-a", valid_until_ms=second(1)),
        values={"until_ms": second(1), "time_ms": second(1)},
    ),
    ok(
        "validity of one millisecond",
        "T2.6",
        attest("firm-a", valid_until_ms=second(1) + 1),
    ),
    # T11
    no(
        "nobody takes back",
        "T11.1",
        "party_unknown",
        revoke_attestation("firm-a", attester="nobody", by=SHANGHAI),
    ),
    no(
        "one officer takes back",
        "T11.2",
        "four_eyes_missing",
        revoke_attestation("firm-a", by=ONE_OFFICER),
        before=(attest("firm-a"),),
    ),
    no(
        "a data centre's statement is taken back by another",
        "T11.2",
        "signature_missing",
        revoke_attestation("firm-a", attester="guian-hub", by=SHANGHAI),
    ),
    no(
        "a statement that was never made",
        "T11.3",
        "attestation_unknown",
        revoke_attestation("firm-a"),
        values={"attester": "shanghai", "subject": "firm-a", "topic": "registered_in"},
    ),
    no(
        "a statement about another",
        "T11.3",
        "attestation_unknown",
        revoke_attestation("firm-a", "unrelated_to", about=("guian-hub",)),
        before=(attest("firm-a", "unrelated_to"),),
    ),
    no(
        "a statement taken back twice",
        "T11.3",
        "attestation_unknown",
        revoke_attestation("firm-a", expires_at=second(900)),
        before=(attest("firm-a"), revoke_attestation("firm-a")),
    ),
    ok(
        "a suspended city takes back",
        "T11.3",
        revoke_attestation("firm-a"),
        before=(attest("firm-a"), *suspended("shanghai")),
    ),
    # R4.1: eligible at a mint
    no(
        "a grant without a statement",
        "T7.7",
        "not_eligible",
        MINT,
        terms={"eligibility": ((criterion("revenue_at_least"), criterion("research_project")),)},
        values={"party": "firm-a", "needed": "revenue_at_least or research_project"},
    ),
    no(
        "one group of two",
        "T7.7",
        "not_eligible",
        MINT,
        terms={"eligibility": (*clean()["eligibility"], (criterion("research_project"),))},
        before=(attested(),),
        values={"needed": "research_project"},
    ),
    ok(
        "either of a group",
        "T7.7",
        MINT,
        terms={"eligibility": ((criterion("research_project"), criterion("clean_record")),)},
        before=(attested(),),
    ),
    no(
        "a statement in its first expired millisecond",
        "T7.7",
        "not_eligible",
        MINT,
        terms=CLEAN,
        before=(attested(valid_until_ms=UNTIL_MS), UNTIL_MS),
    ),
    ok(
        "a statement in its last millisecond",
        "T7.7",
        MINT,
        terms=CLEAN,
        before=(attested(valid_until_ms=UNTIL_MS), UNTIL_MS - 1),
    ),
    no(
        "a statement taken back",
        "T7.7",
        "not_eligible",
        MINT,
        terms=CLEAN,
        before=(attested(), revoke_attestation("firm-a", "clean_record")),
    ),
    no(
        "another text",
        "T7.7",
        "not_eligible",
        MINT,
        terms=clean(text="310000"),
        before=(attested(text="520000"),),
    ),
    ok("the text asked for", "T7.7", MINT, terms=clean(text="310000"), before=(attested(),)),
    no(
        "one fen too little",
        "T7.7",
        "not_eligible",
        MINT,
        terms=clean(amount=1_000),
        before=(attested(amount=999),),
    ),
    ok("the amount", "T7.7", MINT, terms=clean(amount=1_000), before=(attested(amount=1_000),)),
    no(
        "a statement a day too old",
        "T7.7",
        "not_eligible",
        MINT,
        terms=clean(max_age_days=1),
        before=(attested(), STATED_MS + 2 * DAY_MS),
    ),
    ok(
        "a statement on its last day",
        "T7.7",
        MINT,
        terms=clean(max_age_days=1),
        before=(attested(), STATED_MS + 2 * DAY_MS - 1),
    ),
    ok(
        "an old statement where age does not matter",
        "T7.7",
        MINT,
        terms=clean(max_age_days=0),
        before=(attested(), STATED_MS + 300 * DAY_MS),
    ),
    no(
        "an attester whom nobody trusts",
        "T7.7",
        "not_eligible",
        MINT,
        terms=clean(attesters=("guiyang",)),
        before=(attested(),),
    ),
    no(
        "a province where any city is trusted",
        "T7.7",
        "not_eligible",
        MINT,
        terms=CLEAN,
        before=(attested(attester="henan"),),
    ),
    no(
        "a recipient without a statement",
        "T8.11",
        "not_eligible",
        transfer(V1, 100),
        terms=CLEAN,
        before=(attested(), MINT),
        values={"party": "firm-b"},
    ),
    ok(
        "an eligible recipient",
        "T8.11",
        transfer(V1, 100),
        terms=CLEAN,
        before=(attested(), MINT, attest("firm-b", "clean_record")),
    ),
    # R4.5: unrelated at a redemption
    ok("distance is not asked at the grant", "T7.7", MINT, terms=APART),
    no(
        "a claim without a statement of distance",
        "T9.14",
        "not_eligible",
        redeem((V1, 100)),
        terms=APART,
        before=(MINT,),
        values={"needed": "unrelated_to"},
    ),
    no(
        "a statement about another centre",
        "T9.14",
        "not_eligible",
        redeem((V1, 100)),
        terms=APART,
        before=(MINT, attest("firm-a", "unrelated_to", about=("chengdu-aicc",))),
    ),
    ok(
        "a statement about this centre",
        "T9.14",
        redeem((V1, 100)),
        terms=APART,
        before=(MINT, attest("firm-a", "unrelated_to", about=("guian-hub",))),
    ),
    ok(
        "a statement about every centre",
        "T9.14",
        redeem((V1, 100)),
        terms=APART,
        before=(MINT, attest("firm-a", "unrelated_to")),
    ),
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
]
