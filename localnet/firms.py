"""Forty made-up firms for the demo: nothing about them is real but the cities they stand in."""

from dataclasses import dataclass

from ledger.rules.parties import HolderClass

FIRMS_PER_CITY = {
    "shanghai": 5,
    "shenzhen": 4,
    "beijing": 3,
    "hangzhou": 3,
    "chengdu": 3,
    "guiyang": 3,
    "wuhan": 3,
    "ningbo": 3,
    "qingyang": 2,
    "zhengzhou": 2,
    "tianjin": 2,
    "wuxi": 2,
    "nanning": 1,
    "xiamen": 1,
    "jinan": 1,
    "yangzhou": 1,
    "langfang": 1,
}
RESEARCH_FIRM = "chengdu-firm-2"
"""Qualifies by a research project, without the revenue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firm:
    """A synthetic holder."""

    id: str
    city: str
    holder_class: HolderClass
    parent: str
    """The firm whose registration tag names its control group, empty if there is none."""
    has_revenue: bool

    @property
    def name(self) -> str:
        """Return a name that nobody can take for a real firm's."""
        return f"Synthetic firm {self.id}"


def make_firms() -> tuple[Firm, ...]:
    """Return the forty firms, by city."""
    firms = []
    for city, count in FIRMS_PER_CITY.items():
        for number in range(1, count + 1):
            firm_id = f"{city}-firm-{number}"
            # Ningbo lets value move within a group only, so two of its firms share one.
            in_group = city == "ningbo" and number <= 2
            firms.append(
                Firm(
                    id=firm_id,
                    city=city,
                    holder_class="start_up" if number % 2 else "enterprise",
                    parent=f"{city}-firm-1" if in_group else "",
                    has_revenue=firm_id != RESEARCH_FIRM,
                )
            )
    return tuple(firms)
