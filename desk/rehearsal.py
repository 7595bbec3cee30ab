"""Rehearsals: what a node said that an act would do, before anybody signs it."""

from dataclasses import dataclass

from desk.documents import Effect, Json
from words import answers
from words.languages import Language

OF_KEYS = frozenset({"key_unknown"})
"""Codes that say something of the keys, not of the act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why an act would not hold."""

    text: str
    details: Json
    """Code, number, typed values and height, for programs."""
    is_about_keys: bool
    way_out: str
    """What to do about it, empty where nothing is to be said."""


def objection_to(effect: Effect, spoken: Language) -> Objection | None:
    """Return why a rehearsed act would not hold, None if it would."""
    if effect.code == "ok":
        return None
    sentence = answers.sentence(effect.code, effect.values, spoken, otherwise=effect.message)
    return Objection(
        text=spoken.text(
            "rehearsal.refused", height=effect.height, code=effect.code, sentence=sentence
        ),
        details={
            "code": effect.code,
            "number": effect.number,
            "values": effect.values,
            "height": effect.height,
        },
        is_about_keys=effect.code in OF_KEYS,
        way_out=way_out(effect.code, spoken),
    )


def way_out(code: str, spoken: Language) -> str:
    """Return the sentence that says what to do about a code, empty if there is none."""
    return spoken.texts.get(f"way_out.{code}", "")
