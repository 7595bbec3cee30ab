"""Every refusal code is reached by every check that gives it, in the cases of all concepts."""

from collections import Counter

from ledger import catalogue
from ledger.rules.refusals import all_refusals, code_text
from ledger.transactions import parse
from tests.ledger.rules.clauses import SPEC, checks
from tests.ledger.rules.table import TABLE
from tests.ledger.rules.test_quotas import who_wrote


def test_a_case_is_told_by_its_claim() -> None:
    assert [name for name, count in Counter(map(str, TABLE)).items() if count > 1] == []


def test_every_code_has_a_case() -> None:
    reached = Counter(case.code for case in TABLE)
    held = reached.pop("ok")
    print(f"{reached.total()} refusals by {len(reached)} codes, {held} values that just hold")
    assert set(reached) == {refusal.code for refusal in all_refusals()}
    assert reached.total() >= 500
    assert held >= 130


def test_every_check_of_the_specification_has_a_case_of_every_code_it_names() -> None:
    reached = {(case.clause, case.code) for case in TABLE}
    asked = {
        (clause, code_text(number)) for clause, numbers in checks().items() for number in numbers
    }
    print(f"{len(asked)} codes of {len(checks())} checks")
    assert len(checks()) >= 218
    assert sorted(asked - reached) == []


def test_every_case_names_a_check_or_a_rule() -> None:
    rules = {case.clause for case in TABLE} - set(checks())
    page = (SPEC / "rules.md").read_text(encoding="utf-8")
    assert [clause for clause in sorted(rules) if f"**{clause}**" not in page] == []


def test_codes_and_numbers_are_unique_and_named() -> None:
    refusals = all_refusals()
    assert len({refusal.code for refusal in refusals}) == len(refusals)
    assert len({refusal.number for refusal in refusals}) == len(refusals)
    assert all(100 < refusal.number < 1_000 for refusal in refusals)
    assert [code_text(refusal.number) for refusal in refusals] == [one.code for one in refusals]
    assert code_text(0) == "ok"


def test_every_act_that_holds_is_counted_for_one_party() -> None:
    held = [case for case in TABLE if case.code == "ok"]
    for case in held:
        assert len(who_wrote(case)) == 1, str(case)
    kinds = {parse(case.transaction()).kind for case in held}
    assert kinds == set(catalogue.KINDS)
