"""The languages: one catalogue each, and which of them somebody reads.

English and Chinese have the same keys. Two families stand in English beside the rules and only
in Chinese here: `refusal.` and `meaning.`, a code's sentence and what it means without values.

Nothing below needs the ledger, so that `tally` may load it before any command.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "locales"
CODES = ("en", "zh")
DEFAULT = "en"
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""Of these the first that is set says what a terminal's user reads (POSIX 8.2)."""
GROUPS = {
    "chip_origin": "origin",
    "expected": "kind",
    "needed": "topic",
    "party_class": "holder_class",
    "roles": "role",
    "rule": "transfer",
}
"""Fields that hold the words of another one; the others have a group of their own name."""


@dataclass(frozen=True, slots=True)
class Language:
    """One language and its texts by key."""

    code: str
    texts: Mapping[str, str]

    def text(self, key: str, **values: object) -> str:
        """Return a text with its values filled in; an unknown key is a bug."""
        return self.texts[key].format(**values)

    def title(self, name: str) -> str:
        """Return what people call a field; one that nobody described keeps its own name."""
        stem = name.removesuffix("_fen")
        return self.texts.get(f"field.{stem}") or stem.replace("_", " ")

    def word(self, name: str, value: str) -> str | None:
        """Return the word for one of a field's fixed values, None for free text and ids."""
        return self.texts.get(f"value.{GROUPS.get(name, name)}.{value}")

    def status(self, status: str) -> str:
        """Return the word for how a transaction stands."""
        return self.texts.get(f"status.{status}") or status.replace("_", " ")

    def kind(self, kind: str) -> str:
        """Return what people call a kind of transaction, by its text name."""
        return self.texts.get(f"kind.{kind}") or kind

    def act(self, act: str) -> str:
        """Return what people call one of a kind's acts, or an action that is proposed."""
        return self.texts.get(f"act.{act}") or act

    def listed(self, items: Iterable[str]) -> str:
        """Return items side by side."""
        return self.texts["join.items"].join(items)

    def extended(self, more: Mapping[str, str]) -> "Language":
        """Return the language with the texts of somebody's own furniture."""
        shared = self.texts.keys() & more.keys()
        assert not shared, f"said twice: {sorted(shared)}"
        return Language(self.code, {**self.texts, **more})


@cache
def load(code: str) -> Language:
    """Return a language with its catalogue."""
    return Language(code, read(FOLDER / f"{code}.json"))


def read(path: Path) -> dict[str, str]:
    """Return the texts in a catalogue file."""
    texts: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return texts


def of_environment(environment: Mapping[str, str]) -> str:
    """Return the language of a terminal: Chinese if its locale is, else English."""
    first = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    return "zh" if first.lower().startswith("zh") else DEFAULT


def chosen(asked: str | None, accept_language: str) -> str:
    """Return the language to answer in: what the address asks, else what the client prefers."""
    if asked in CODES:
        return asked
    best, best_weight = DEFAULT, 0.0
    for part in accept_language.split(","):
        name, _, parameter = part.strip().partition(";")
        code = name.split("-")[0].lower()
        weight = _weight(parameter)
        if code in CODES and weight > best_weight:
            best, best_weight = code, weight
    return best


def _weight(parameter: str) -> float:
    """Return a language's weight, 0 for one that makes no sense."""
    name, _, value = parameter.strip().partition("=")
    if name == "":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
