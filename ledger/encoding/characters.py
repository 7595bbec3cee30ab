"""Which characters text on the ledger has: a table of code points that no library moves (W5)."""

Spans = tuple[tuple[int, int], ...]
"""First and last code points."""


def spans(written: str) -> Spans:
    """Return the code points that a row of a page lists: ``0020 2000-200a``."""
    found = []
    for span in written.split():
        first, _, last = span.partition("-")
        found.append((int(first, 16), int(last or first, 16)))
    return tuple(found)


EXCLUDED: tuple[tuple[str, Spans], ...] = (
    ("a control character", spans("0000-001f 007f-009f")),
    (
        "a blank other than U+0020",
        spans("00a0 1680 2000-200a 202f 205f 2800 3000"),
    ),
    (
        "an invisible or format character",
        spans(
            "00ad 0600-0605 061c 06dd 070f 0890-0891 08e2 17b4-17b5 180b-180f 200b-200f 2028-202e"
            " 2060-206f 3164 fe00-fe0f feff ffa0 fff0-ffff 110bd 110cd 13430-1345f 1bca0-1bca3"
            " 1d173-1d17a e0000-e0fff"
        ),
    ),
    ("a combining mark", spans("0300-036f 1ab0-1aff 1dc0-1dff 20d0-20ff 3099-309a fe20-fe2f")),
    (
        "another form of a character that has a plain one",
        spans(
            "037e 0387 1100-11ff 1fef 2126 212a-212b 2329-232a 2e80-2fdf a960-a97f d7b0-d7ff"
            " f900-fa0d fa10 fa12 fa15-fa1e fa20 fa22 fa25-fa26 fa2a-faff ff10-ff19 ff21-ff3a"
            " ff41-ff5a 2f800-2fa1f"
        ),
    ),
    ("a surrogate", spans("d800-dfff")),
    ("a character of private use", spans("e000-f8ff f0000-ffffd 100000-10fffd")),
    (
        "a noncharacter",
        ((0xFDD0, 0xFDEF), *((last - 1, last) for last in range(0x1FFFF, 0x110000, 0x10000))),
    ),
)
"""Why, and which (W5.1). U+0020 stands between two others (W5.2)."""


def _pattern() -> str:
    """Return the rule as one pattern.

    Possessive, so that no text takes longer than its length. Plain ASCII goes first, and what lies
    beyond U+FFFF apart: Python looks the others up in a map (measured, four times as fast).
    """
    ranges = [one for _, group in EXCLUDED for one in group]
    low = _class([one for one in ranges if one[1] <= 0xFFFF])
    high = _class([one for one in ranges if one[0] > 0xFFFF])
    run = rf"(?:[^ {low}\U00010000-\U0010ffff]++|[^\x00-\uffff{high}]++)++"
    return rf"\A(?:[!-~]++(?: [!-~]++)*+\Z|{run}(?: {run})*+\Z|\Z)"


def _class(ranges: list[tuple[int, int]]) -> str:
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


TEXT_PATTERN = _pattern()
"""What matches has no excluded character, and no blank but one between two characters."""


def fault_in(text: str) -> str | None:
    """Return which character of a text the ledger does not take and why, or None."""
    for position, char in enumerate(text):
        number = f"character {position + 1}, U+{ord(char):04X}, is "
        if char == " " and (position in (0, len(text) - 1) or text[position - 1] == " "):
            return number + "a blank at an end or after another"
        for reason, ranges in EXCLUDED:
            if any(first <= ord(char) <= last for first, last in ranges):
                return number + reason
    return None


def tidied(text: str) -> str:
    """Return a text as the ledger takes it: for what a machine wrote and nobody can correct.

    Full-width letters and digits become plain ones, each run of whatever else is excluded a blank.
    """
    kept = []
    for char in text:
        plain = chr(ord(char) - 0xFEE0) if "\uff10" <= char <= "\uff5a" else char
        is_letter = plain.isascii() and plain.isalnum()
        kept.append(plain if is_letter else " " if fault_in(char) else char)
    return " ".join("".join(kept).split())
