"""Refusals as sentences for the one who asked: people read yuan, programs read fen."""

from collections.abc import Mapping

from ledger.rules.refusals import all_refusals
from tally.output import Mode, current_mode, format_yuan

MONEY = frozenset(
    {
        *("asked", "available", "allowed", "base", "net", "minimum", "maximum"),
        *("appropriated", "committed", "total"),
    }
)
"""Names of values that are fen, in every refusal whose sentence speaks of fen."""
_BY_CODE = {refusal.code: refusal for refusal in all_refusals()}


def refusal_sentence(code: str, message: str, values: Mapping[str, int | str]) -> str:
    """Return what a node said of a refusal, with amounts in yuan unless JSON was asked for.

    The sentence is made anew from the typed values; one that this wallet does not know stays.
    """
    refusal = _BY_CODE.get(code)
    if current_mode() in (Mode.JSON, Mode.NDJSON) or refusal is None:
        return message
    if " fen" not in refusal.sentence or not set(refusal.__annotations__) <= set(values):
        return message
    shown = {
        name: f"{format_yuan(value)} yuan" if name in MONEY and isinstance(value, int) else value
        for name, value in values.items()
    }
    return refusal.sentence.replace("} fen", "}").format(**shown)
