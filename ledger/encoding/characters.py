"""Which characters text on the ledger has: a table of code points that no library moves (W5)."""

Spans = tuple[tuple[int, int], ...]
"""First and last code points."""


def spans(written: str) -> Spans:
    """Return the code points that a row of a page lists: ``0020 2000-200A``."""
    found = []
    for span in written.split():
        first, _, last = span.partition("-")
        found.append((int(first, 16), int(last or first, 16)))
    return tuple(found)


EXCLUDED: tuple[tuple[str, Spans], ...] = (
    ("a control character", spans("0000-001F 007F-009F")),
    (
        "a blank other than U+0020",
        spans("00A0 1680 2000-200A 202F 205F 2800 3000"),
    ),
    (
        "an invisible or format character",
        spans(
            "00AD 0600-0605 061C 06DD 070F 0890-0891 08E2 17B4-17B5 180B-180F 200B-200F 2028-202E"
            " 2060-206F 3164 FE00-FE0F FEFF FFA0 FFF0-FFFF 110BD 110CD 13430-1345F 1BCA0-1BCA3"
            " 1D173-1D17A E0000-E0FFF"
        ),
    ),
    ("a combining mark", spans("0300-036F 1AB0-1AFF 1DC0-1DFF 20D0-20FF 3099-309A FE20-FE2F")),
    (
        "another form of a character that has a plain one",
        spans(
            "037E 0387 1100-11FF 1FEF 2126 212A-212B 2329-232A 2E80-2FDF A960-A97F D7B0-D7FF"
            " F900-FA0D FA10 FA12 FA15-FA1E FA20 FA22 FA25-FA26 FA2A-FAFF FF10-FF19 FF21-FF3A"
            " FF41-FF5A 2F800-2FA1F"
        ),
    ),
    ("a surrogate", spans("D800-DFFF")),
    ("a character of private use", spans("E000-F8FF F0000-FFFFD 100000-10FFFD")),
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
