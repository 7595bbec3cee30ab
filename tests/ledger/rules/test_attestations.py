"""Statements and whom they convince: T2, T11, R4.1, R4.5."""

from typing import Any, TypeVar

import pytest

from ledger.encoding.codec import Record
from ledger.ledger import Ledger
from ledger.rules import calendar
from ledger.rules.attestations import ATTESTATIONS
from ledger.store.memory import MemoryStore
from tests import builders
from tests.builders import NOON_MS, Chain, criterion, funded_chain
from tests.ledger.rules.case import (
    DAY_MS,
    ONE_OFFICER,
    V1,
    Case,
    Ready,
    attest,
    no,
    ok,
    redeem,
    removed,
    revoke_attestation,
    second,
    suspended,
    transfer,
)
from tests.ledger.rules.chains import chain_with, code, stored
from tests.ledger.rules.situations import CLEAN, GUIYANG, MINT, OWNER, SHANGHAI, clean

STATED_MS = second(1)
"""When the first statement of a case is made."""
UNTIL_MS = STATED_MS + 10 * DAY_MS


def attested(**changes: Any) -> Any:
    return attest("firm-a", "clean_record", **changes)


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
    no(
        "a suspended city takes back",
        "T11.2",
        "party_not_active",
        revoke_attestation("firm-a"),
        before=(attest("firm-a"), *suspended("shanghai")),
        values={"party": "shanghai", "status": "suspended"},
    ),
    ok(
        "the successor of a removed city takes back",
        "T11.3",
        revoke_attestation("firm-a", by=GUIYANG),
        before=(attest("firm-a"), *removed("shanghai", "guiyang")),
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
    *(
        no(
            f"a statement of a removed city where {whom} trusted",
            "T7.7",
            "not_eligible",
            MINT,
            terms=clean(attesters=attesters),
            before=(attested(attester="guiyang"), *removed("guiyang", "shanghai")),
        )
        for whom, attesters in {"it is": ("guiyang",), "any city is": ()}.items()
    ),
    ok(
        "a statement of a suspended city",
        "T7.7",
        MINT,
        terms=clean(attesters=("guiyang",)),
        before=(attested(attester="guiyang"), *suspended("guiyang")),
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
        "T8.13",
        "not_eligible",
        transfer(V1, 100),
        terms=CLEAN,
        before=(attested(), MINT),
        values={"party": "firm-b"},
    ),
    ok(
        "an eligible recipient",
        "T8.13",
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
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_refused_and_changes_nothing_or_just_holds(case: Case) -> None:
    Ready(case).check()


R = TypeVar("R", bound=Record)


class CountingStore(MemoryStore):
    """A store that counts how often attestations are looked up."""

    looked_up = 0

    def read(self, key: bytes, record: type[R]) -> R | None:
        """Read and count."""
        self.looked_up += key.startswith(ATTESTATIONS.prefix)
        return super().read(key, record)


def attestations_read_by_a_mint(*holders: str) -> int:
    """Return how many attestations are looked up to check a mint with these rows."""
    store = CountingStore()
    chain = Chain(ledger=Ledger(store))
    trusted = criterion("registered_in", attesters=("shanghai",))
    chain.accept(builders.publish(eligibility=((trusted,),)), builders.appropriate())
    for firm in ("firm-a", "firm-b"):
        chain.accept(builders.enrol(firm))
        chain.accept(builders.attest(firm))
    store.looked_up = 0
    raw = builders.mint(*((holder, 1) for holder in holders))
    assert chain.ledger.check(raw, time_ms=chain.now_ms + 1).refusal is None
    return store.looked_up


def test_an_attestation_is_recorded_and_a_newer_one_replaces_it() -> None:
    chain = funded_chain()
    chain.accept(builders.attest("firm-a", "revenue_at_least", amount=5))
    chain.accept(builders.attest("firm-a", "revenue_at_least", amount=7))
    found = stored(chain, ATTESTATIONS, "firm-a", "revenue_at_least", "shanghai", "")
    assert (found.amount, found.issued_ms) == (7, chain.now_ms)


def test_eligibility_is_all_of_any_of_what_trusted_attesters_say() -> None:
    groups = (
        (
            builders.criterion("revenue_at_least", amount=1_000, attesters=("guiyang",)),
            builders.criterion("research_project"),
        ),
        (builders.criterion("registered_in", text="310000"),),
    )
    chain = chain_with(eligibility=groups)

    def verdict(fen: int) -> str:
        return code(chain.attempt(builders.mint(("firm-a", fen))))

    chain.accept(builders.attest("firm-a", text="520000"))
    chain.accept(builders.attest("firm-a", "revenue_at_least", amount=1_000))
    assert verdict(1) == "not_eligible", "Shanghai is not trusted on revenue"
    chain.accept(builders.attest("firm-a", "revenue_at_least", amount=999, attester="guiyang"))
    assert verdict(2) == "not_eligible", "one fen of revenue is missing"
    chain.accept(builders.attest("firm-a", "revenue_at_least", amount=1_000, attester="guiyang"))
    assert verdict(3) == "not_eligible", "registered elsewhere"
    chain.accept(builders.attest("firm-a", text="310000"))
    assert verdict(4) == "ok"


def test_a_research_project_qualifies_without_revenue() -> None:
    group = (
        builders.criterion("revenue_at_least", amount=10**9),
        builders.criterion("research_project"),
    )
    chain = chain_with(eligibility=(group,))
    chain.accept(builders.attest("firm-a", "research_project", attester="guiyang"))
    assert code(chain.attempt(builders.mint(("firm-a", 1)))) == "ok"


def test_an_attestation_ends_at_its_last_millisecond() -> None:
    chain = chain_with(eligibility=((builders.criterion("clean_record"),),))
    end = NOON_MS + 100_000
    chain.accept(builders.attest("firm-a", "clean_record", valid_until_ms=end))
    assert code(chain.attempt(builders.mint(("firm-a", 1)), time_ms=end - 1)) == "ok"
    assert code(chain.attempt(builders.mint(("firm-a", 2)), time_ms=end)) == "not_eligible"


def test_an_attestation_may_be_too_old() -> None:
    chain = chain_with(eligibility=((builders.criterion("clean_record", max_age_days=2),),))
    chain.accept(builders.attest("firm-a", "clean_record"))
    issued = chain.now_ms
    young, old = issued + 3 * calendar.DAY_MS - 1, issued + 3 * calendar.DAY_MS
    late = {"expires_at": old + 60_000}
    assert code(chain.attempt(builders.mint(("firm-a", 1), **late), time_ms=young)) == "ok"
    assert code(chain.attempt(builders.mint(("firm-a", 2), **late), time_ms=old)) == "not_eligible"


def test_a_recipient_must_be_eligible_too() -> None:
    chain = chain_with(eligibility=((builders.criterion("clean_record"),),))
    chain.accept(builders.attest("firm-a", "clean_record"))
    chain.accept(builders.mint(("firm-a", 10)))
    assert code(chain.attempt(builders.transfer(V1, 5))) == "not_eligible"
    chain.accept(builders.attest("firm-b", "clean_record"))
    assert code(chain.attempt(builders.transfer(V1, 4))) == "ok"


def test_eligibility_is_looked_up_once_a_holder() -> None:
    assert attestations_read_by_a_mint("firm-a") == 1
    assert attestations_read_by_a_mint(*["firm-a"] * 50, *["firm-b"] * 50) == 2
