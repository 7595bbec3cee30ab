"""What docs/spec says must be refused: each numbered check, and the codes that it names."""

import re
from pathlib import Path

SPEC = Path(__file__).resolve().parents[3] / "docs" / "spec"


def _codes(text: str) -> frozenset[int]:
    found: set[int] = set()
    for brackets in re.findall(r"\(([^()]*)\)", text):
        found |= {
            int(number) for number in re.findall(r"(?<![\d,.])([1-9]\d\d)(?![\d,]\d)", brackets)
        }
    return frozenset(found)


def checks() -> dict[str, frozenset[int]]:
    """Return the codes of every check of a kind that names some, by ``T9.17`` or ``T14.decide.3``.

    Also of the actions of governance (``R14.2.admit``) and of a pause (``R10.1``).
    """
    found: dict[str, frozenset[int]] = {}
    page = (SPEC / "kinds.md").read_text(encoding="utf-8")
    for section in re.split(r"^### ", page, flags=re.M)[1:]:
        kind = section.split(" ", 1)[0]
        act = ""
        # Effects follow the checks of each act; what they mention refuses nothing.
        for line in re.split(r"\n(?=\d+\. |\*[a-z_]+\*$|Effects)", section, flags=re.M):
            if heading := re.match(r"\*([a-z_]+)\*$", line.strip().split("\n")[0]):
                act = f".{heading[1]}"
            if (number := re.match(r"(\d+)\. ", line)) and _codes(line):
                found[f"{kind}{act}.{number[1]}"] = _codes(line)
    rules = (SPEC / "rules.md").read_text(encoding="utf-8")
    for row in re.findall(r"^\| `([a-z_.]+)`: `\[.*?\]`[^|]*\| ([^|]*) \|", rules, re.M):
        found[f"R14.2.{row[0]}"] = _codes(row[1])
    found["R10.1"] = frozenset({806})
    return found
