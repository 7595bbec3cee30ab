"""Normal forms of numbers and their tags once more, from docs/spec/normal.md alone."""

import hashlib
import hmac

from tests.reference.decode import points_of

LEFT_OUT = points_of("""
    0000–0020 007F–00A0 00AD 034F 061C 115F–1160 1680 17B4–17B5 180B–180F 2000–200F 2028–202F
    205F–206F 2800 3000 3164 FE00–FE0F FEFF FFA0 FFF0–FFFB E0000–E0FFF
    0027–0029 002C–002F 003A 005B–005D 005F 00B7 2010–2015 2018–2019 2022 2027 2043 2212 3001
    3010–3011 3014–3015 30FB FE58 FE63
""")
"""The table of Z1.3 as it is printed."""
DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CHINESE = points_of("3007 3400–4DBF 4E00–9FFF")
CREDIT = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def folded(typed: str) -> str | None:
    """Z1."""
    if len(typed) > 256:
        return None
    half = "".join(chr(ord(c) - 65_248) if "\uff01" <= c <= "\uff5e" else c for c in typed)
    upper = "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in half)
    left = "".join(c for c in upper if ord(c) not in LEFT_OUT)
    return left if 1 <= len(left) <= 64 else None


def invoice(typed: str) -> str | None:
    """Z2."""
    number = folded(typed)
    if number is None or any(c not in LETTERS + DIGITS for c in number):
        return None
    if all(c in DIGITS for c in number):
        return number if len(number) in (18, 20) else None
    before, e, after = number.partition("E")
    if e and before and after and all(c in DIGITS for c in before + after):
        return None
    return number if any(c in DIGITS for c in number) else None


def contract(typed: str) -> str | None:
    """Z3."""
    number = folded(typed)
    if number is None or any(c not in LETTERS + DIGITS and ord(c) not in CHINESE for c in number):
        return None
    return number


def registration(typed: str) -> str | None:
    """Z4."""
    number = folded(typed)
    if number is None or len(number) != 18 or any(c not in CREDIT for c in number):
        return None
    if any(c not in DIGITS for c in number[2:8]):
        return None
    total = sum(CREDIT.index(number[i - 1]) * 3 ** (i - 1) for i in range(1, 18))
    return number if CREDIT.index(number[17]) == (31 - total % 31) % 31 else None


def tag(key: bytes, frame_tag: str, *parts: str) -> bytes:
    """Z5.1."""
    frame = bytes([len(frame_tag)]) + frame_tag.encode()
    for part in parts:
        frame += len(part.encode()).to_bytes(4, "big") + part.encode()
    return hmac.new(key, frame, hashlib.sha256).digest()
