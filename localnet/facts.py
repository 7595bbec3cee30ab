"""The published programmes and data centres that demos and tests run on.

``programmes.json`` keeps each programme's source, and names every value that no source gave.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ledger.rules.centres import Accredit, Devices
from localnet.network import Plan

PATH = Path(__file__).with_name("programmes.json")
DEMO_VALIDATORS = ("shanghai", "guiyang", "guian-hub", "chengdu-aicc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The data file, as it is."""

    programmes: tuple[dict[str, Any], ...]
    data_centres: tuple[dict[str, Any], ...]
    chips: dict[str, dict[str, Any]]
    treasuries: tuple[dict[str, str], ...]
    assumptions: dict[str, Any]

    def programme(self, city: str) -> dict[str, Any]:
        """Return a city's programme."""
        return next(programme for programme in self.programmes if programme["city"] == city)

    def centre(self, centre: str) -> dict[str, Any]:
        """Return a data centre."""
        return next(data_centre for data_centre in self.data_centres if data_centre["id"] == centre)

    def devices(self, counts: Mapping[str, int]) -> tuple[Devices, ...]:
        """Return so many devices of each chip as an accreditation states them."""
        return tuple(
            Devices(
                chip=chip,
                origin=self.chips[chip]["origin"],
                count=count,
                tariff_ceiling=self.chips[chip]["assumed_tariff_ceiling_fen_per_gpu_hour"],
                power_w=self.chips[chip]["watts"],
            )
            for chip, count in counts.items()
        )

    def accreditation(self, centre: str, host: str) -> Accredit:
        """Return a data centre's accreditation by a host."""
        data_centre = self.centre(centre)
        return Accredit(
            host=host,
            centre=centre,
            devices=self.devices(data_centre["devices"]),
            pue_milli=data_centre["assumed_pue_milli"],
            ownership=data_centre["ownership"],
            ended=False,
        )


@cache
def load_facts() -> Facts:
    """Return the facts."""
    values = json.loads(PATH.read_text(encoding="utf-8"))
    return Facts(
        programmes=tuple(values["programmes"]),
        data_centres=tuple(values["data_centres"]),
        chips={chip["model"]: chip for chip in values["chips"]},
        treasuries=tuple(values["treasuries"]),
        assumptions=values["assumptions"],
    )


def member_plans(facts: Facts) -> tuple[Plan, ...]:
    """Return every treasury and data centre as a member of genesis."""
    treasuries = tuple(
        Plan(
            party=treasury["id"],
            kind="treasury",
            party_class=treasury["class"],  # type: ignore[arg-type]
            name=treasury["name"],
            region=treasury["region"],
        )
        for treasury in facts.treasuries
    )
    regions = {treasury["id"]: treasury["region"] for treasury in facts.treasuries}
    centres = tuple(
        Plan(
            party=centre["id"],
            kind="data_centre",
            party_class="",
            name=centre["note"],
            region=regions[centre["city"]],
        )
        for centre in facts.data_centres
    )
    return treasuries + centres


def validators_for(count: int, facts: Facts) -> tuple[str, ...]:
    """Return ``count`` validating members: the demo's four first, then cities, then centres."""
    cities = [treasury["id"] for treasury in facts.treasuries if treasury["class"] == "city"]
    everyone = [*DEMO_VALIDATORS, *cities, *(centre["id"] for centre in facts.data_centres)]
    return tuple(dict.fromkeys(everyone))[:count]
