"""A second, independent reading of envelopes: the `msgpack` package and the wire specification.

Nothing of the ledger's codec, types or limits is used here, so that the two can disagree.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgpack  # type: ignore[import-untyped]

Check = Callable[[Any], bool]
"""Whether a decoded value has the form that a field asks."""

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
PROGRAMME = re.compile(rf"{SLUG.pattern}\.{SLUG.pattern}")
SERIAL = re.compile(rf"{SLUG.pattern}(\.{SLUG.pattern})?\.[0-9]{{9}}")
PAYABLE = re.compile(rf"{SLUG.pattern}\.[0-9]{{9}}-[0-9]{{3}}")
END_TO_END = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,34}")
THING = re.compile(r"[a-z0-9][a-z0-9.-]{0,95}")
KIND_NAME = re.compile(r"[a-z_]{1,32}\.[a-z_]{1,32}")


def integer(least: int, most: int) -> Check:
    """An integer in a range; booleans are none."""
    return lambda value: type(value) is int and least <= value <= most


def matching(pattern: re.Pattern[str]) -> Check:
    """Text that a pattern matches as a whole."""
    return lambda value: type(value) is str and pattern.fullmatch(value) is not None


def binary(least: int, most: int) -> Check:
    """A byte string with a length in a range."""
    return lambda value: type(value) is bytes and least <= len(value) <= most


NO_TEXT = """
    0000–001F 007F–009F
    00A0 1680 2000–200A 202F 205F 2800 3000
    00AD 0600–0605 061C 06DD 070F 0890–0891 08E2 17B4–17B5 180B–180F 200B–200F 2028–202E 2060–206F
    3164 FE00–FE0F FEFF FFA0 FFF0–FFFF 110BD 110CD 13430–1345F 1BCA0–1BCA3 1D173–1D17A E0000–E0FFF
    0300–036F 1AB0–1AFF 1DC0–1DFF 20D0–20FF 3099–309A FE20–FE2F
    037E 0387 1100–11FF 1FEF 2126 212A–212B 2329–232A 2E80–2FDF A960–A97F D7B0–D7FF F900–FA0D FA10
    FA12 FA15–FA1E FA20 FA22 FA25–FA26 FA2A–FAFF FF10–FF19 FF21–FF3A FF41–FF5A 2F800–2FA1F
    D800–DFFF
    E000–F8FF F0000–FFFFD 100000–10FFFD
    FDD0–FDEF
"""
"""The table of W5.1 as it is printed; the last two of each plane are asked apart."""


def points_of(table: str) -> frozenset[int]:
    """Return the code points of a table."""
    found: set[int] = set()
    for span in table.split():
        first, _, last = span.partition("–")
        found.update(range(int(first, 16), int(last or first, 16) + 1))
    return frozenset(found)


EXCLUDED = points_of(NO_TEXT)


def characters_fit(value: str) -> bool:
    """Whether a text has characters of W5 alone."""
    for place, char in enumerate(value):
        if ord(char) in EXCLUDED or (ord(char) > 0xFFFF and ord(char) % 0x10000 >= 0xFFFE):
            return False
        if char == " " and not (0 < place < len(value) - 1 and value[place + 1] != " "):
            return False
    return True


def text(characters_max: int, bytes_max: int = 256) -> Check:
    """Text of bounded length, in characters and in UTF-8 bytes, and of W5's characters."""
    return lambda value: (
        type(value) is str
        and len(value) <= characters_max
        and len(value.encode("utf-8")) <= bytes_max
        and characters_fit(value)
    )


def one_of(*values: str) -> Check:
    """One of a few words."""
    return lambda value: type(value) is str and value in values


def many(item: Check, least: int, most: int) -> Check:
    """An array of like items."""
    return lambda value: (
        type(value) is list and least <= len(value) <= most and all(map(item, value))
    )


def optional(item: Check) -> Check:
    """`[]` or `[x]`."""
    return many(item, 0, 1)


def row(*fields: Check) -> Check:
    """An array with fixed positions."""
    return lambda value: (
        type(value) is list
        and len(value) == len(fields)
        and all(check(item) for check, item in zip(fields, value, strict=True))
    )


def named(rows: dict[str, tuple[Check, ...]]) -> Check:
    """An array that begins with one of a few names, and goes on as that name says (X1)."""
    return lambda value: (
        type(value) is list
        and len(value) > 0
        and type(value[0]) is str
        and value[0] in rows
        and row(*rows[value[0]])(value[1:])
    )


def boolean(value: Any) -> bool:
    """True or false, never 1 or 0."""
    return type(value) is bool


NATURAL = integer(0, 2**53 - 1)
POSITIVE = integer(1, 2**53 - 1)
RATE = integer(0, 10_000)
SLUG_TEXT, PROGRAMME_TEXT, SERIAL_TEXT = matching(SLUG), matching(PROGRAMME), matching(SERIAL)
HASH, TEXT, SIGNATURE = binary(32, 32), text(256), binary(64, 64)
PAYABLE_TEXT, END_TO_END_TEXT, THING_TEXT = map(matching, (PAYABLE, END_TO_END, THING))
HOLDER_CLASSES = ("start_up", "enterprise", "institute", "university", "maker")
HOLDER_CLASS = one_of(*HOLDER_CLASSES)
OWNERSHIP = one_of("public", "private", "mixed")
ORIGIN = one_of("domestic", "foreign")
SERVICE = one_of("training", "inference", "general")
TOPIC = one_of(
    "registered_in", "revenue_at_least", "research_project", "clean_record", "unrelated_to"
)
PARTY_KEY = row(HASH, SLUG_TEXT, many(SLUG_TEXT, 0, 8))
KEYS = many(PARTY_KEY, 1, 64)
PROOFS = many(SIGNATURE, 0, 68)
DEVICES = row(SLUG_TEXT, ORIGIN, integer(0, 10_000_000), POSITIVE, integer(1, 100_000))
CRITERION = row(TOPIC, TEXT, NATURAL, many(SLUG_TEXT, 0, 64), NATURAL)
RATE_ROW = row(
    optional(HOLDER_CLASS), optional(ORIGIN), optional(SERVICE), optional(OWNERSHIP), RATE
)
TERMS = row(
    TEXT,
    TEXT,
    many(TEXT, 0, 32),
    many(many(CRITERION, 1, 16), 0, 16),
    many(RATE_ROW, 1, 64),
    row(*[optional(NATURAL)] * 6),
    one_of("monthly", "quarterly", "yearly"),
    one_of("listed", "own_city", "recognised"),
    many(SLUG_TEXT, 0, 64),
    one_of("none", "enrolled", "same_group"),
    row(NATURAL, NATURAL),
    one_of("centre", "holder"),
    one_of("on_application", "automatic", "after_use"),
    many(row(SLUG_TEXT, RATE), 1, 16),
    SLUG_TEXT,
    row(one_of("truncate", "half_up"), integer(1, 1_000_000)),
    integer(0, 3_660),
    optional(row(NATURAL, NATURAL)),
    NATURAL,
    many(PROGRAMME_TEXT, 0, 64),
    RATE,
)
VALIDATOR = row(HASH, HASH, HASH, HASH, integer(1, 1_000_000))
MEMBER = row(
    SLUG_TEXT,
    # What a member cannot be is refused by a rule (805), not by its form.
    one_of("treasury", "data_centre", "holder", "auditor"),
    one_of("", "city", "province", "district", *HOLDER_CLASSES),
    *[TEXT] * 2,
    optional(HASH),
    KEYS,
    NATURAL,
    optional(VALIDATOR),
)
PARAMETERS = row(
    NATURAL,
    NATURAL,
    integer(1, 2_097_152),
    integer(1, 4_000),
    integer(1, 8_000),
    integer(1, 256),
    many(row(TEXT, NATURAL, integer(2, 16)), 0, 64),
    many(row(NATURAL, HASH), 1, 8),
    *[POSITIVE] * 4,
    integer(1, 1_000_000),
)
STATUS = one_of("active", "suspended", "removed")
ACTION = named(
    {
        "admit": (MEMBER, PROOFS),
        "status": (SLUG_TEXT, STATUS, optional(SLUG_TEXT)),
        "validator": (SLUG_TEXT, optional(VALIDATOR), PROOFS),
        "keys": (SLUG_TEXT, KEYS, NATURAL, PROOFS),
        "parameters": (PARAMETERS,),
        "rules_version": (NATURAL, NATURAL),
        "engine.switch": (one_of("builtin", "comet"), NATURAL),
        "pause": (),
        "resume": (),
    }
)
KEYS_ACT = named(
    {
        "rotate": (SLUG_TEXT, KEYS, NATURAL, PROOFS),
        "announce": (SLUG_TEXT, KEYS, NATURAL, PROOFS),
        "recover": (SLUG_TEXT, SLUG_TEXT, KEYS, NATURAL, PROOFS, HASH, optional(SLUG_TEXT)),
        "object": (SLUG_TEXT, SLUG_TEXT),
        "decide": (SLUG_TEXT, SLUG_TEXT, boolean, optional(SLUG_TEXT)),
    }
)
CLAIM_ACT = named(
    {
        "decide": (SERIAL_TEXT, SLUG_TEXT, NATURAL, optional(HASH), boolean),
        "dispute": (SERIAL_TEXT, HASH),
    }
)
PAYMENT_ACT = named(
    {
        "instructed": (PAYABLE_TEXT, POSITIVE, END_TO_END_TEXT),
        "confirmed": (SLUG_TEXT, END_TO_END_TEXT, SLUG_TEXT),
        "returned": (SLUG_TEXT, END_TO_END_TEXT, SLUG_TEXT, TEXT),
        "written_off": (PAYABLE_TEXT, POSITIVE, TEXT),
        "objected": (SLUG_TEXT, END_TO_END_TEXT, TEXT),
        "resolved": (SLUG_TEXT, END_TO_END_TEXT, SLUG_TEXT, boolean, HASH),
    }
)
KINDS: dict[str, tuple[Check, ...]] = {
    "party.enrol": (
        SLUG_TEXT,
        SLUG_TEXT,
        HOLDER_CLASS,
        *[TEXT] * 2,
        optional(HASH),
        HASH,
        NATURAL,
        KEYS,
        NATURAL,
        PROOFS,
    ),
    "party.set_keys": (KEYS_ACT,),
    "attestation.revoke": (SLUG_TEXT, SLUG_TEXT, TOPIC, optional(SLUG_TEXT)),
    "attestation.issue": (
        SLUG_TEXT,
        SLUG_TEXT,
        TOPIC,
        optional(SLUG_TEXT),
        TEXT,
        NATURAL,
        NATURAL,
        optional(HASH),
    ),
    "programme.publish": (
        PROGRAMME_TEXT,
        NATURAL,
        one_of("open", "suspended", "closed"),
        TERMS,
    ),
    "programme.appropriate": (
        PROGRAMME_TEXT,
        SLUG_TEXT,
        integer(2000, 9999),
        integer(1 - 2**53, 2**53 - 1),
        optional(NATURAL),
    ),
    "programme.consent": (PROGRAMME_TEXT, NATURAL, SLUG_TEXT, HASH),
    "centre.accredit": (
        SLUG_TEXT,
        SLUG_TEXT,
        many(DEVICES, 0, 64),
        NATURAL,
        OWNERSHIP,
        boolean,
    ),
    "recognition.set": (
        SLUG_TEXT,
        many(PROGRAMME_TEXT, 1, 64),
        many(SLUG_TEXT, 1, 64),
        one_of("direct", "host_pays"),
        optional(NATURAL),
        NATURAL,
        NATURAL,
    ),
    "voucher.mint": (
        PROGRAMME_TEXT,
        NATURAL,
        many(row(SLUG_TEXT, POSITIVE, HASH), 1, 1_000),
    ),
    "voucher.transfer": (SERIAL_TEXT, SLUG_TEXT, SLUG_TEXT, POSITIVE),
    "voucher.redeem": (
        SLUG_TEXT,
        SLUG_TEXT,
        text(64),
        many(row(SERIAL_TEXT, POSITIVE, optional(SERIAL_TEXT)), 0, 16),
        optional(row(PROGRAMME_TEXT, NATURAL, POSITIVE)),
        row(HASH, NATURAL, POSITIVE, POSITIVE),
        optional(row(HASH, POSITIVE, NATURAL, NATURAL)),
        SERVICE,
        many(row(SLUG_TEXT, NATURAL, POSITIVE, NATURAL), 0, 64),
        HASH,
        boolean,
    ),
    "voucher.reserve": (
        SERIAL_TEXT,
        SLUG_TEXT,
        SLUG_TEXT,
        text(64),
        POSITIVE,
        SLUG_TEXT,
        SERVICE,
        NATURAL,
    ),
    "voucher.release": (SERIAL_TEXT, SLUG_TEXT, POSITIVE),
    "voucher.extend": (SERIAL_TEXT, NATURAL, HASH),
    "voucher.revoke": (SERIAL_TEXT, POSITIVE, HASH),
    "claim.decide": (CLAIM_ACT,),
    "claim.credit": (SERIAL_TEXT, POSITIVE, HASH),
    "clearing.close": (SLUG_TEXT, NATURAL),
    "payment.record": (PAYMENT_ACT,),
    "hold.set": (
        SLUG_TEXT,
        one_of("party", "centre", "programme", "voucher", "claim", "payable"),
        THING_TEXT,
        HASH,
        TEXT,
    ),
    "hold.clear": (SLUG_TEXT, SERIAL_TEXT, HASH),
    "tx.withdraw": (SLUG_TEXT, HASH),
    "record.anchor": (
        SLUG_TEXT,
        one_of("case", "document", "trial_balance"),
        NATURAL,
        HASH,
        TEXT,
    ),
    "governance.propose": (SLUG_TEXT, ACTION),
    "governance.vote": (SLUG_TEXT, NATURAL, boolean),
}
"""The fields of every kind after its name (T1 to T25)."""


def strict(data: bytes) -> Any:
    """Return the value of canonical bytes; raise ValueError.

    msgpack reads many forms of one value; packing it again gives the shortest.
    """
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=False)
        again = msgpack.packb(value, use_bin_type=True)
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException) as error:
        raise ValueError(str(error)) from None
    if again != data:
        raise ValueError("another form of the same value")
    return value


def accepts(envelope: bytes) -> bool:
    """Return whether the specification takes these bytes for an envelope."""
    operation = operation_in(envelope)
    if operation is None or operation[0] not in KINDS:
        return False
    if operation[0] != "voucher.mint" and len(envelope) > 16_384:
        return False
    return row(*KINDS[operation[0]])(operation[1:])


def unknown_kind(envelope: bytes) -> str | None:
    """Return the name of a kind that the specification lacks, if nothing else is wrong (X7)."""
    operation = operation_in(envelope)
    if operation is None or operation[0] in KINDS or not is_plain(operation, 7):
        return None
    return operation[0] if KIND_NAME.fullmatch(operation[0]) else None


def operation_in(envelope: bytes) -> Any:
    """Return the operation in an envelope, a name first; None if the rest has another form."""
    if len(envelope) > 60_000:
        return None
    try:
        outer = strict(envelope)
        is_sealed = row(binary(0, 60_000), many(row(HASH, binary(64, 64)), 1, 16))
        if not is_sealed(outer):
            return None
        body = strict(outer[0])
    except ValueError:
        return None
    keys = [key for key, _ in outer[1]]
    if any(first >= second for first, second in pairwise(keys)):
        return None
    if not row(integer(1, 1), HASH, NATURAL, lambda value: type(value) is list)(body):
        return None
    operation = body[3]
    return operation if operation and type(operation[0]) is str else None


def is_plain(value: Any, nesting: int) -> bool:
    """Return whether a value has types of W1.1 only, texts and nesting within their bounds."""
    if type(value) is list:
        return nesting > 0 and all(is_plain(item, nesting - 1) for item in value)
    if type(value) is str:
        return text(256)(value)
    return type(value) in (int, bytes, bool)
