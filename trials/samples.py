"""Terms and firms of which nothing matters but that they are there."""

from typing import Any

import msgspec

from ledger.encoding import crypto
from ledger.rules.money import FunderShare, Rounding
from ledger.rules.parties import Enrol, PartyKey
from ledger.rules.programmes import Caps, RateRow, Review, Terms


def plain_terms(**changes: Any) -> Terms:
    """Return terms that refuse nobody, but for what is changed."""
    plain = Terms(
        title="Bench",
        legal_basis="",
        assumed=(),
        eligibility=(),
        rates=(
            RateRow(
                holder_class=(),
                chip_origin=(),
                service_class=(),
                ownership=(),
                basis_points=3000,
            ),
        ),
        caps=Caps(
            grant_min=(),
            grant_max=(),
            contract_max=(),
            holder_year_issued=(),
            holder_year_redeemed=(),
            group_year_issued=(),
        ),
        settlement="monthly",
        centres="recognised",
        listed=(),
        transfer="enrolled",
        review=Review(automatic_band=0, sample_every=0),
        payee="centre",
        grant="on_application",
        funders=(FunderShare(funder="shanghai", basis_points=10_000),),
        residual_funder="shanghai",
        rounding=Rounding(mode="truncate", step_fen=1),
        validity_days=365,
        base_period=(),
        contract_days_max=0,
        stackable=(),
        ceiling=10_000,
    )
    return msgspec.structs.replace(plain, **changes)


def enrolment(firm: str, key: bytes) -> Enrol:
    """Return a start-up's enrolment by Shanghai, with one key."""
    return Enrol(
        city="shanghai",
        party=firm,
        holder_class="start_up",
        name=firm,
        region="310000",
        control_group=(),
        registration_tag=crypto.tagged_hash("tallystick/samples/v1", firm.encode()),
        tag_epoch=1,
        keys=(PartyKey(key=key, person="owner", roles=()),),
        threshold=1,
        proofs=(),
    )
