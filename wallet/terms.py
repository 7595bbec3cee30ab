"""From a programme's published facts to the terms that the ledger holds.

Facts are one entry of a programmes file. What no source gave is named in its ``assumed`` list, and
what this module had to assume on top is added there, so that no reader takes it for published.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from ledger.rules import calendar
from ledger.rules.attestations import Criterion, Topic
from ledger.rules.money import WHOLE_BASIS_POINTS, FunderShare, Rounding
from ledger.rules.programmes import Caps, RateRow, Review, Terms, check_terms
from ledger.rules.refusals import TermsInconsistent
from tally.exits import UsageError

FEN_PER_YUAN = 100
VALIDITY_DAYS = 365

DEFAULTS: dict[str, Any] = {
    "grant": "on_application",
    "rounding": {"mode": "truncate", "step_fen": 1},
    "settlement": "monthly",
    "transfer": "none",
    "validity_days": VALIDITY_DAYS,
}
"""What a programme is taken to say where its facts are silent; named as assumed."""

Facts = Mapping[str, Any]


def terms_from_facts(programme: Facts, assumptions: Facts) -> Terms:
    """Return the terms of a published programme; amounts in yuan become fen exactly.

    Raises UsageError, naming what is missing or of the wrong type.
    """
    try:
        return _terms(programme, assumptions)
    except KeyError as error:
        raise UsageError(f"the programme's facts lack {error}") from None
    except (msgspec.ValidationError, TermsInconsistent) as error:
        raise UsageError(f"the programme's facts don't make terms: {error}") from None


def _terms(programme: Facts, assumptions: Facts) -> Terms:
    city = programme["city"]
    stated = {**DEFAULTS, **programme}
    cap_fen = _fen(programme["cap_per_holder_year_yuan"])
    minimum = programme.get("minimum_grant_yuan")
    terms = Terms(
        title=programme["title"],
        legal_basis=programme["source"],
        assumed=_assumed(programme),
        eligibility=_eligibility(programme, assumptions),
        rates=tuple(_rate(row) for row in programme["rates"]),
        caps=Caps(
            grant_min=() if minimum is None else (_fen(minimum),),
            grant_max=(),
            contract_max=(),
            holder_year_issued=(cap_fen,),
            holder_year_redeemed=(cap_fen,),
            group_year_issued=(),
        ),
        settlement=stated["settlement"],
        centres=programme["centres"],
        listed=(),
        transfer=stated["transfer"],
        review=Review(automatic_band=_fen(programme["review_band_yuan"]), sample_every=0),
        payee=programme["payee"],
        grant=stated["grant"],
        funders=_funders(programme),
        residual_funder=programme.get("residual_funder", city),
        rounding=Rounding(**stated["rounding"]),
        validity_days=stated["validity_days"],
        base_period=_base_period(programme),
        contract_days_max=programme.get("contract_max_days", 0),
        stackable=(),
        ceiling=WHOLE_BASIS_POINTS,
    )
    # Facts come from a file: hold every field to its type and bounds, as a decoder would.
    checked: Terms = msgspec.convert(msgspec.to_builtins(terms), Terms)
    check_terms(checked)
    return checked


def _base_period(programme: Facts) -> tuple[tuple[int, int], ...]:
    """Return the first and last day whose use counts, as day numbers."""
    if "base_period" not in programme:
        return ()
    try:
        first, last = (date.fromisoformat(text) for text in programme["base_period"])
    except ValueError as error:
        raise UsageError(f"base_period: expected two dates as YYYY-MM-DD: {error}") from None
    return ((calendar.day_number(first), calendar.day_number(last)),)


def _fen(yuan: object) -> int:
    if type(yuan) is not int:
        raise UsageError(f"expected an amount in whole yuan, got {yuan!r}")
    return yuan * FEN_PER_YUAN


def _assumed(programme: Facts) -> tuple[str, ...]:
    """Return the names of everything that no source gave, in order."""
    added = [name for name in DEFAULTS if name not in programme]
    if "funding" not in programme:
        added.append("funding")
    if programme["eligibility"]:
        added.append("attesters")
    if _asks(programme, "revenue_at_least"):
        added.append("revenue_threshold_yuan")
    return tuple(sorted({*programme["assumed"], *added}))


def _asks(programme: Facts, topic: str) -> bool:
    return any(topic in group for group in programme["eligibility"])


def _eligibility(programme: Facts, assumptions: Facts) -> tuple[tuple[Criterion, ...], ...]:
    """Return the groups of topics as criteria: all of the groups, any within a group."""
    return tuple(
        tuple(_criterion(topic, programme, assumptions) for topic in group)
        for group in programme["eligibility"]
    )


def _criterion(topic: Topic, programme: Facts, assumptions: Facts) -> Criterion:
    text = ""
    amount = 0
    if topic == "registered_in" and not programme.get("holders_from_other_regions", False):
        text = programme["region_code"]
    if topic == "revenue_at_least":
        amount = _fen(assumptions["revenue_threshold_yuan"])
    return Criterion(
        topic=topic,
        text=text,
        amount=amount,
        # A project is sponsored anywhere; the rest is for the issuing city to know.
        attesters=() if topic == "research_project" else (programme["city"],),
        max_age_days=0,
    )


def _rate(row: Facts) -> RateRow:
    return RateRow(
        holder_class=_optional(row, "holder_class"),
        chip_origin=_optional(row, "chip_origin"),
        service_class=_optional(row, "service_class"),
        ownership=_optional(row, "ownership"),
        basis_points=row["basis_points"],
    )


def _optional(row: Facts, name: str) -> tuple[Any, ...]:
    return (row[name],) if name in row else ()


def _funders(programme: Facts) -> tuple[FunderShare, ...]:
    funding = programme.get(
        "funding", [{"funder": programme["city"], "basis_points": WHOLE_BASIS_POINTS}]
    )
    return tuple(
        FunderShare(funder=share["funder"], basis_points=share["basis_points"]) for share in funding
    )
