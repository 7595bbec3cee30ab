"""Published facts become terms: exactly, and with everything assumed named as assumed."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ledger.encoding import codec
from ledger.encoding.codec import UINT64_MAX
from ledger.rules.programmes import Terms, check_terms
from tally.exits import UsageError
from wallet.terms import DEFAULTS, terms_from_facts

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT: dict[str, Any] = json.loads(
    (ROOT / "localnet" / "programmes.json").read_text(encoding="utf-8")
)
PROGRAMMES: dict[str, dict[str, Any]] = {one["city"]: one for one in DOCUMENT["programmes"]}


def facts(city: str = "beijing", **changes: Any) -> dict[str, Any]:
    """Return a city's facts with changes; None takes a fact away."""
    changed = copy.deepcopy(PROGRAMMES[city]) | changes
    return {name: value for name, value in changed.items() if value is not None}


def terms(city: str, **changes: Any) -> Terms:
    """Return the terms of a city's programme."""
    return terms_from_facts(facts(city, **changes), DOCUMENT["assumptions"])


def test_there_are_seventeen_programmes() -> None:
    assert len(PROGRAMMES) == 17


@pytest.mark.parametrize("city", PROGRAMMES)
def test_published_facts_make_terms_that_the_ledger_takes(city: str) -> None:
    made = terms(city)
    check_terms(made)
    assert codec.decode(Terms, codec.encode(made), UINT64_MAX) == made


@pytest.mark.parametrize("city", PROGRAMMES)
def test_amounts_are_the_published_yuan_in_fen(city: str) -> None:
    made, stated = terms(city), PROGRAMMES[city]
    cap = (stated["cap_per_holder_year_yuan"] * 100,)
    assert made.caps.holder_year_issued == made.caps.holder_year_redeemed == cap
    assert made.review.automatic_band == stated["review_band_yuan"] * 100
    assert [row.basis_points for row in made.rates] == [
        row["basis_points"] for row in stated["rates"]
    ]


@pytest.mark.parametrize("city", PROGRAMMES)
def test_everything_assumed_is_named(city: str) -> None:
    made, stated = terms(city), PROGRAMMES[city]
    assert set(stated["assumed"]) <= set(made.assumed)
    for name in DEFAULTS:
        assert (name in made.assumed) == (name not in stated or name in stated["assumed"])
    assert list(made.assumed) == sorted(set(made.assumed))


@pytest.mark.parametrize("city", PROGRAMMES)
def test_the_source_stays_with_the_terms(city: str) -> None:
    assert terms(city).legal_basis == PROGRAMMES[city]["source"]


def test_shenzhen_pays_start_ups_more() -> None:
    first, second = terms("shenzhen").rates
    assert (first.holder_class, first.basis_points) == (("start_up",), 6000)
    assert (second.holder_class, second.basis_points) == ((), 5000)


def test_hangzhou_pays_domestic_chips_more() -> None:
    first, second = terms("hangzhou").rates
    assert (first.chip_origin, first.basis_points) == (("domestic",), 3000)
    assert (second.chip_origin, second.basis_points) == ((), 2000)


def test_henan_and_zhengzhou_share_and_the_city_takes_the_rest() -> None:
    made = terms("zhengzhou")
    shares = [(share.funder, share.basis_points) for share in made.funders]
    assert shares == [("henan-province", 5000), ("zhengzhou", 5000)]
    assert made.residual_funder == "zhengzhou"
    assert "funding" not in made.assumed


def test_a_city_pays_alone_where_nothing_is_said_and_that_is_assumed() -> None:
    made = terms("shanghai")
    assert [(share.funder, share.basis_points) for share in made.funders] == [("shanghai", 10_000)]
    assert "funding" in made.assumed


def test_qingyang_settles_quarterly_and_grants_no_less_than_its_minimum() -> None:
    made = terms("qingyang")
    assert (made.settlement, made.transfer) == ("quarterly", "none")
    assert made.caps.grant_min == (500_000,)
    assert "settlement" not in made.assumed


def test_nanning_grants_after_use_and_rounds_to_whole_yuan() -> None:
    made = terms("nanning")
    assert (made.grant, made.payee) == ("after_use", "holder")
    assert (made.rounding.mode, made.rounding.step_fen) == ("truncate", 100)
    assert "validity_days" in made.assumed
    assert "grant" not in made.assumed


def test_chengdu_takes_a_research_project_instead_of_revenue() -> None:
    registered, either = terms("chengdu").eligibility
    assert [(one.topic, one.text, one.attesters) for one in registered] == [
        ("registered_in", "510100", ("chengdu",))
    ]
    assert [(one.topic, one.amount, one.attesters) for one in either] == [
        ("research_project", 0, ()),
        ("revenue_at_least", 100_000_000, ("chengdu",)),
    ]
    assert {"attesters", "revenue_threshold_yuan"} <= set(terms("chengdu").assumed)


def test_guiyang_takes_holders_from_everywhere() -> None:
    assert terms("guiyang").eligibility == ()
    made = terms("guiyang", eligibility=[["registered_in"]])
    assert made.eligibility[0][0].text == ""


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rates": None}, "lack 'rates'"),
        ({"cap_per_holder_year_yuan": 1.5}, "whole yuan"),
        ({"cap_per_holder_year_yuan": True}, "whole yuan"),
        ({"cap_per_holder_year_yuan": -1}, "don't make terms"),
        ({"transfer": "anybody"}, "don't make terms"),
        ({"eligibility": [["tall"]]}, "don't make terms"),
        ({"rates": []}, "don't make terms"),
        ({"residual_funder": "nobody"}, "residual funder is not a funder"),
        ({"funding": [{"funder": "beijing", "basis_points": 1}]}, "add up to 10000"),
    ],
)
def test_facts_that_make_no_terms_are_refused_by_name(
    changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        terms("beijing", **changes)
