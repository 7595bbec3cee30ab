"""Control: parameters, pauses, rules version and engine of the ledger as a whole (spec R14.2)."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta

from ledger.blocks import (
    BLOCK_BYTES_MAX,
    BLOCK_EXPIRIES_MAX,
    BLOCK_ROWS_MAX,
    BLOCK_TRANSACTIONS_MAX,
    RULES_VERSION,
)
from ledger.encoding.codec import FEN_MAX, AtMostOne, Fen, Hash, Natural, Record, Text, only
from ledger.rules.authority import FOUR_EYES
from ledger.rules.base import ENVELOPE_BYTES_MAX, Kind
from ledger.rules.refusals import ActionInvalid, LedgerPaused, TagEpochUnknown
from ledger.rules.sums import Amount, amount_at
from ledger.view import Draft, Put, StateView, Table, must

QUIET_MS = 72 * 3_600_000
"""How long after a pause nothing expires (R11.4)."""
OFFICER_RULES_MAX = 64
TAG_KEYS_MAX = 8
BLOCK_BYTES_MIN = 65_536
"""A block must be able to hold the largest mint."""
BLOCK_ROWS_MIN = 1_000
EXPIRY_AHEAD_MIN_MS = 60_000
HEARTBEAT_MIN_MS = 1_000
DAILY_ENTRIES_MIN = 100
RESERVE_MIN_MAX = 1_000_000


class OfficersRule(Record, frozen=True):
    """A kind and amount for which two officers are not enough (R3.1)."""

    kind: Text
    from_fen: Fen
    persons: Annotated[int, Meta(ge=2, le=16)]


class TagKey(Record, frozen=True):
    """The key of an epoch of tags, by what a file of it is checked against (Z6)."""

    epoch: Natural
    check_value: Hash


class Parameters(Record, frozen=True):
    """What governance may change, within the limits of B3.3 and R14.2. Times in ms."""

    expiry_ahead_max_ms: Natural
    """How far ahead a transaction's expiry may lie."""
    heartbeat_ms: Natural
    """How long the ledger stays silent when nothing is pending."""
    block_bytes_max: Annotated[int, Meta(ge=1, le=BLOCK_BYTES_MAX)]
    block_transactions_max: Annotated[int, Meta(ge=1, le=BLOCK_TRANSACTIONS_MAX)]
    block_rows_max: Annotated[int, Meta(ge=1, le=BLOCK_ROWS_MAX)]
    block_expiries_max: Annotated[int, Meta(ge=1, le=BLOCK_EXPIRIES_MAX)]
    """More postings than this would not fit into one log entry."""
    officers: Annotated[tuple[OfficersRule, ...], Meta(max_length=OFFICER_RULES_MAX)]
    tag_keys: Annotated[tuple[TagKey, ...], Meta(min_length=1, max_length=TAG_KEYS_MAX)]
    """Of the epochs in force, ascending."""
    holder_daily_entries: Annotated[int, Meta(ge=1, le=FEN_MAX)]
    """What a holder writes in a calendar day at most (R3.11)."""
    holder_daily_bytes: Annotated[int, Meta(ge=1, le=FEN_MAX)]
    member_daily_entries: Annotated[int, Meta(ge=1, le=FEN_MAX)]
    """The same for every party that is no holder."""
    member_daily_bytes: Annotated[int, Meta(ge=1, le=FEN_MAX)]
    reserve_min: Annotated[int, Meta(ge=1, le=RESERVE_MIN_MAX)]
    """Least amount of a reserve in fen, unless it is all that is available."""


class RulesFrom(Record, frozen=True):
    """A rules version and the height from which it holds."""

    version: Natural
    from_height: Natural


class EngineFrom(Record, frozen=True):
    """A consensus engine and the height from which it decides."""

    engine: Literal["builtin", "comet"]
    at_height: Natural


class Control(Record, frozen=True):
    """What governance decided about the ledger as a whole."""

    paused_since_ms: AtMostOne[Natural]
    quiet: tuple[Natural, Natural]
    """Start of the last pause, and until when nothing expires after it; zeros at first (R11.4)."""
    rules: tuple[RulesFrom, ...]
    """By height; the first holds from the start."""
    engines: tuple[EngineFrom, ...]
    """By height; none until the first switch."""


PARAMETERS = Table("parameters", Parameters)
CONTROL = Table("control", Control)
"""These two have one record, under ``all``."""
OFFICERS_USED = Table("officers-used", Amount, running_sum=True)
"""By party, kind and month: what acts of a kind with rows of officers were about."""


def require_not_paused(control: Control, kind: Kind) -> None:
    """Raise LedgerPaused unless a kind may be applied now (R10.1)."""
    since_ms = only(control.paused_since_ms)
    if since_ms is not None and not kind.allowed_while_paused:
        raise LedgerPaused(since_ms=since_ms)


def officers_needed(
    view: StateView, rows: tuple[OfficersRule, ...], amount: int, party: str, month: str
) -> int:
    """Return how many persons of a party an act of ``rows``' kind needs (R3.1)."""
    needed = FOUR_EYES
    for row in rows:
        if _of_month(view, row.kind, amount, party, month) >= row.from_fen:
            needed = max(needed, row.persons)
    return needed


def count_officers(
    view: StateView, kind: str, amount: int, parties: Iterable[str], month: str
) -> tuple[Put, ...]:
    """Return the writes that count an act in with the month of those whose officers it asked."""
    draft = Draft(view)
    for party in parties:
        total = _of_month(view, kind, amount, party, month)
        draft.put(OFFICERS_USED, Amount(fen=total), party, kind, month)
    return draft.changes()


def _of_month(view: StateView, kind: str, amount: int, party: str, month: str) -> int:
    """Return a party's amount of the month with an act."""
    return min(FEN_MAX, amount_at(view, OFFICERS_USED, party, kind, month) + amount)


def looks_until(control: Control, time_ms: int) -> int | None:
    """Return until which due time a block looks, None for nothing in a pause (R8.1).

    For a while after a pause nothing expires: only what is due at 0 is looked at.
    """
    if control.paused_since_ms:
        return None
    return time_ms if time_ms >= control.quiet[1] else 0


def quiet_after(control: Control, time_ms: int) -> tuple[int, int]:
    """Return the quiet time when a pause ends now (R11.4).

    A pause that began in the quiet time of the one before prolongs it.
    """
    (paused_ms,), (from_ms, until_ms) = control.paused_since_ms, control.quiet
    return (from_ms if paused_ms < until_ms else paused_ms, time_ms + QUIET_MS)


def rules_version_at(control: Control, height: int) -> int:
    """Return the rules version that holds at a height."""
    acting = RULES_VERSION
    for rules in control.rules:
        if rules.from_height <= height:
            acting = rules.version
    return acting


def engine_at(control: Control, height: int) -> str:
    """Return the engine that decides a height; before any switch whichever began."""
    acting = ""
    for engine in control.engines:
        if engine.at_height <= height:
            acting = engine.engine
    return acting


def require_tag_epoch(view: StateView, epoch: int) -> None:
    """Raise TagEpochUnknown unless tags of an epoch are taken (Z6.2)."""
    if all(key.epoch != epoch for key in must(view, PARAMETERS, "all").tag_keys):
        raise TagEpochUnknown(epoch=epoch)


def tag_keys_problem(keys: tuple[TagKey, ...]) -> str | None:
    """Return why epochs of tags don't fit together, or None (G3)."""
    for earlier, later in pairwise(keys):
        if earlier.epoch >= later.epoch:
            return f"tag epoch {later.epoch} stands after {earlier.epoch}"
    return None


def check_parameters(view: StateView, parameters: Parameters) -> None:
    """Raise ActionInvalid on parameters with which the ledger could not go on (R14.2)."""
    for name, least in (
        ("block_bytes_max", BLOCK_BYTES_MIN),
        ("block_rows_max", BLOCK_ROWS_MIN),
        ("expiry_ahead_max_ms", EXPIRY_AHEAD_MIN_MS),
        ("heartbeat_ms", HEARTBEAT_MIN_MS),
        ("holder_daily_entries", DAILY_ENTRIES_MIN),
        ("holder_daily_bytes", ENVELOPE_BYTES_MAX),
        ("member_daily_entries", DAILY_ENTRIES_MIN),
        ("member_daily_bytes", ENVELOPE_BYTES_MAX),
    ):
        value = getattr(parameters, name)
        if value < least:
            raise ActionInvalid(reason=f"{name} is {value}, expected at least {least}")
    for rule in parameters.officers:
        if rule.kind.startswith("governance."):  # else nobody could ever take it back
            raise ActionInvalid(reason="governance asks for two officers, whatever it is about")
    problem = tag_keys_problem(parameters.tag_keys)
    if problem is not None:
        raise ActionInvalid(reason=problem)
    now = must(view, PARAMETERS, "all").tag_keys
    newest = now[-1].epoch
    if parameters.tag_keys[-1].epoch < newest:
        raise ActionInvalid(reason=f"tag epoch {newest} stays until a later one is listed")
    for key in parameters.tag_keys:
        # An epoch has one key for ever, or a number would have two tags that nobody compares.
        if key.epoch <= newest and key not in now:
            raise ActionInvalid(reason=f"tag epoch {key.epoch} is not in force with this key")
