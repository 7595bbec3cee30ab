"""One spelling of the numbers on papers, and the tags made of it (spec Z).

The same bill has to give the same tag at every desk, whoever typed its number. So numbers are
brought into one form by tables of code points, which no version of Unicode or of Python moves.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator

from ledger.encoding.characters import Spans, spans
from ledger.encoding.crypto import frame, tagged_hash

TYPED_MAX = 256
"""Longest number as it may be typed, in characters (Z1.1)."""
NUMBER_MAX = 64
"""Longest number in its normal form (Z1.4)."""

BLANKS = spans(
    "0000-0020 007f-00a0 00ad 034f 061c 115f-1160 1680 17b4-17b5 180b-180f 2000-200f 2028-202f"
    " 205f-206f 2800 3000 3164 fe00-fe0f feff ffa0 fff0-fffb e0000-e0fff"
)
"""What nobody sees (Z1.3)."""
SEPARATORS = spans(
    "0027-0029 002c-002f 003a 005b-005d 005f 00b7 2010-2015 2018-2019 2022 2027 2043 2212 3001"
    " 3010-3011 3014-3015 30fb fe58 fe63"
)
"""Dashes, points and brackets, which one office writes and another leaves out (Z1.3)."""
HANZI = spans("3007 3400-4dbf 4e00-9fff")
"""Chinese characters that a contract's number may have (Z3)."""

CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The 31 characters of credit codes, each worth its place (GB 32100-2015)."""
_CREDIT_CODE = re.compile(
    f"[{CREDIT_ALPHABET}]{{2}}[0-9]{{6}}[{CREDIT_ALPHABET}]{{10}}",
)
_NATIONAL = re.compile(r"[0-9]{18}|[0-9]{20}")
_ROUNDED = re.compile(r"[0-9]+E[0-9]+")
_TYPED, _BARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "letters A to Z and digits"


class NotNormal(ValueError):
    """What was typed is no number of its kind; the sentence says what came and what is one."""


def invoice_number(typed: str) -> str:
    """Return an invoice's number in its normal form (Z2); raise NotNormal."""
    number = _folded(typed, "an invoice number")
    if _ROUNDED.fullmatch(number):
        raise NotNormal(f"{number} was rounded by a spreadsheet: expected all digits, as text")
    if number.isdecimal() and not _NATIONAL.fullmatch(number):
        raise NotNormal(
            f"an invoice number of digits alone has 20, or a code of 10 or 12 before a number of 8,"
            f" together 18 or 20; got {len(number)} digits"
        )
    if not any(char in "0123456789" for char in number):
        raise NotNormal(f"an invoice number has a digit; got {number}")
    return number


def contract_number(typed: str) -> str:
    """Return a contract's number in its normal form (Z3); raise NotNormal."""
    return _folded(typed, "a contract number", hanzi=True)


def registration_number(typed: str) -> str:
    """Return a unified social credit code in its normal form (Z4); raise NotNormal."""
    number = _folded(typed, "a unified social credit code")
    if len(number) != 18:
        old = " (15 digits are an old registration number; the code took its place)"
        raise NotNormal(
            f"a unified social credit code has 18 characters; got {len(number)}"
            + (old if len(number) == 15 and number.isdecimal() else "")
        )
    if not _CREDIT_CODE.fullmatch(number):
        raise NotNormal(
            f"{number} is no unified social credit code: no letter of it is I, O, S, V or Z, and"
            " its characters 3 to 8 are digits"
        )
    expected = credit_check(number[:17])
    if number[17] != expected:
        raise NotNormal(
            f"{number} ends in {number[17]}: the check character of the 17 before is {expected}"
        )
    return number


def credit_check(first: str) -> str:
    """Return the check character after the first 17 of a credit code (Z4)."""
    total = sum(CREDIT_ALPHABET.index(char) * pow(3, place, 31) for place, char in enumerate(first))
    return CREDIT_ALPHABET[-total % 31]


def _folded(typed: str, what: str, *, hanzi: bool = False) -> str:
    """Return what is left of a number as it was typed (Z1)."""
    if len(typed) > TYPED_MAX:
        raise NotNormal(f"{what} has at most {TYPED_MAX} characters as typed; got {len(typed)}")
    kept = []
    for position, point in seen(typed):
        if _is_in(SEPARATORS, point):
            continue
        if chr(point) not in _TYPED and not (hanzi and _is_in(HANZI, point)):
            expected = _BARE + (" and Chinese characters" if hanzi else "")
            came = f"character {position + 1} is U+{ord(typed[position]):04X}"
            raise NotNormal(f"{what} has {expected}; {came}")
        kept.append(chr(point))
    if not kept:
        raise NotNormal(f"{what} is never empty; got nothing but blanks and separators")
    if len(kept) > NUMBER_MAX:
        raise NotNormal(f"{what} has at most {NUMBER_MAX} characters; got {len(kept)}")
    return "".join(kept)


def seen(typed: str) -> Iterator[tuple[int, int]]:
    """Yield place and code point of what is seen of a text, folded (Z1.2, blanks of Z1.3)."""
    for position, char in enumerate(typed):
        point = ord(char)
        if 0xFF01 <= point <= 0xFF5E:  # full-width
            point -= 0xFEE0
        if 0x61 <= point <= 0x7A:
            point -= 0x20
        if not _is_in(BLANKS, point):
            yield position, point


def _is_in(ranges: Spans, point: int) -> bool:
    return any(first <= point <= last for first, last in ranges)


# Tags (Z5)


def invoice_tag(key: bytes, centre: str, number: str) -> bytes:
    """Return the tag of an invoice by its normal number.

    Numbers of digits alone are the nation's; any other is unique at its centre only.
    """
    if number.isdecimal():
        return _tag(key, "tallystick/invoice-tag/v1", number)
    return _tag(key, "tallystick/bill-tag/v1", centre, number)


def contract_tag(key: bytes, centre: str, number: str) -> bytes:
    """Return the tag of a contract with a centre by its normal number."""
    return _tag(key, "tallystick/contract-tag/v1", centre, number)


def registration_tag(key: bytes, number: str) -> bytes:
    """Return the tag of a firm by its normal registration number."""
    return _tag(key, "tallystick/registration-tag/v1", number)


def _tag(key: bytes, kind: str, *parts: str) -> bytes:
    """Return HMAC-SHA256 of a frame: who lacks the key can't try numbers out."""
    message = frame(kind, *(part.encode() for part in parts))
    return hmac.new(key, message, hashlib.sha256).digest()


def tag_key_check(key: bytes) -> bytes:
    """Return the check value by which the ledger names a tag key (Z6)."""
    return tagged_hash("tallystick/tag-key/v1", key)
