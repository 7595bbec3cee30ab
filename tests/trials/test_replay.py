"""Replay (A1): an honest log gives the live hash, and every edit of it is found and named."""

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ledger.audit import AuditFinding
from ledger.blocks import BlockRecord
from ledger.encoding import merkle
from ledger.encoding.codec import NotCanonical
from ledger.entries import (
    AutomaticEntry,
    ClosingEntry,
    TransactionEntry,
    decode_entry,
    encode_entry,
)
from ledger.rules.programmes import TOTALS
from ledger.rules.validators import ValidatorSetRecord
from ledger.store.memory import MemoryStore
from ledger.transactions import parse, seal
from ledger.view import must
from tests import builders
from tests.builders import MINUTE_MS, Chain
from tests.ledger.acts import opened, random_act
from trials.replay import ReplayReport, replay

PROGRAMME = "shanghai.compute"
Log = list[bytes]


def history() -> tuple[Chain, Log]:
    """Return a chain with every kind of entry in its log, and that log."""
    dice = random.Random("audit")
    chain = opened(Chain())
    chain.accept(builders.attest("firm-a"))
    number = 0
    for _ in range(8):
        now_ms = chain.now_ms + MINUTE_MS
        raws = []
        for _ in range(4):
            number += 1
            raws.append(random_act(dice, now_ms, number // 3, number).raw)
        chain.attempt(*raws, time_ms=now_ms)
        chain.block()
    chain.block(time_ms=chain.now_ms + 4 * 86_400_000)
    store = chain.ledger._storage
    assert isinstance(store, MemoryStore)
    return chain, list(store.log)


CHAIN, LOG = history()
ENTRIES = [decode_entry(raw) for raw in LOG]


def audited(log: Log) -> ReplayReport:
    return replay(CHAIN.genesis, log, storage=MemoryStore(), verify_commit=None)


def block_of(sequence: int) -> int:
    """Return the height of the block that an entry belongs to."""
    for entry in ENTRIES[sequence:]:
        if isinstance(entry, ClosingEntry):
            return entry.record.height
    raise AssertionError("every block is closed")


def test_the_history_has_every_kind_of_entry() -> None:
    kinds = {type(entry).__name__ for entry in ENTRIES}
    assert kinds == {"GenesisEntry", "AutomaticEntry", "TransactionEntry", "ClosingEntry"}


def test_an_honest_log_gives_the_live_hash_and_totals() -> None:
    head = CHAIN.ledger.last()
    report = audited(LOG)
    assert (report.log_id, report.record_hash) == (head.log_id, head.record_hash)
    assert (report.height, report.entries) == (head.height, len(LOG))
    closing = [entry for entry in ENTRIES if isinstance(entry, ClosingEntry)]
    logged = [entry for entry in ENTRIES if isinstance(entry, TransactionEntry)]
    assert (report.blocks, report.transactions) == (len(closing), len(logged))
    assert report.totals == ((PROGRAMME, must(CHAIN.ledger._storage, TOTALS, PROGRAMME)),)


def test_every_record_is_given_to_the_check_of_commits_with_its_set() -> None:
    seen: list[tuple[int, int]] = []

    def verify_commit(record: BlockRecord, validators: ValidatorSetRecord) -> None:
        seen.append((record.height, len(validators.validators)))

    replay(CHAIN.genesis, LOG, storage=MemoryStore(), verify_commit=verify_commit)
    heights = [entry.record.height for entry in ENTRIES if isinstance(entry, ClosingEntry)]
    assert seen == [(height, 4) for height in heights]


def test_what_the_check_of_commits_raises_ends_the_replay() -> None:
    class NotDecided(Exception):
        pass

    def verify_commit(record: BlockRecord, validators: ValidatorSetRecord) -> None:
        if record.height == 3:
            raise NotDecided

    storage = MemoryStore()
    with pytest.raises(NotDecided):
        replay(CHAIN.genesis, LOG, storage=storage, verify_commit=verify_commit)
    head = storage.head()
    assert head is not None
    assert head.height == 2


# Edits of one entry: each returns new bytes, or None where it does not apply.

Edit = Callable[[random.Random, Any], Any]
replace = msgspec.structs.replace


def other_posting(dice: random.Random, entry: Any) -> Any:
    if not entry.postings:
        return None
    first, *rest = entry.postings
    field, value = dice.choice(
        [
            ("amount", first.amount + 1),
            ("serial", first.serial + 1),
            ("count", first.count + 1),
            ("target", "firm-z"),
            ("source", "firm-z"),
            ("programme", "shanghai.other"),
        ]
    )
    return replace(entry, postings=(replace(first, **{field: value}), *rest))


def fewer_postings(dice: random.Random, entry: Any) -> Any:
    return replace(entry, postings=()) if entry.postings else None


def other_amount(dice: random.Random, entry: Any) -> Any:
    """Change the operation and keep the signatures: they no longer hold."""
    if not isinstance(entry, TransactionEntry):
        return None
    transaction = parse(entry.signed)
    operation = transaction.body.operation
    if not hasattr(operation, "amount"):
        return None
    body = replace(transaction.body, operation=replace(operation, amount=operation.amount + 1))
    return replace(entry, signed=seal(msgspec.msgpack.encode(body), dict(transaction.signatures)))


def bent_signature(dice: random.Random, entry: Any) -> Any:
    if not isinstance(entry, TransactionEntry):
        return None
    raw = bytearray(entry.signed)
    raw[-1 - dice.randrange(60)] ^= 1 << dice.randrange(8)
    return replace(entry, signed=bytes(raw))


RECORD_FIELDS: dict[str, Callable[[Any], Any]] = {
    "log_id": lambda _: bytes(32),
    "previous": lambda _: bytes(32),
    "transactions_root": lambda _: bytes(32),
    "changes_root": lambda _: bytes(32),
    "log_size": lambda value: value + 1,
    "log_root": lambda _: bytes(32),
    "validators_hash": lambda _: bytes(32),
    "parameters_hash": lambda _: bytes(32),
    "rules_version": lambda value: value + 1,
}


def edits_of_entries(dice: random.Random) -> list[tuple[int, Any, str]]:
    """Return (sequence, edited entry, what the finding must name)."""
    found: list[tuple[int, Any, str]] = []
    simple: list[tuple[Edit, str]] = [
        (other_posting, "postings"),
        (fewer_postings, "postings"),
        (other_amount, "block"),
        (bent_signature, "block"),
    ]
    for sequence, entry in enumerate(ENTRIES):
        if isinstance(entry, TransactionEntry | AutomaticEntry):
            for edit, field in simple:
                edited = edit(dice, entry)
                if edited is not None:
                    found.append((sequence, edited, field))
        elif isinstance(entry, ClosingEntry):
            for name, change in RECORD_FIELDS.items():
                value = change(getattr(entry.record, name))
                record = replace(entry.record, **{name: value})
                found.append((sequence, ClosingEntry(record=record), f"record.{name}"))
    return found


EDITS_MIN = 50


def test_an_edited_posting_envelope_or_record_is_found_and_named() -> None:
    dice = random.Random("edits")
    edits = dice.sample(edits_of_entries(dice), 90)
    fields: dict[str, int] = {}
    for sequence, edited, field in edits:
        log = [*LOG[:sequence], encode_entry(edited), *LOG[sequence + 1 :]]
        with pytest.raises(AuditFinding) as finding:
            audited(log)
        assert finding.value.height == block_of(sequence)
        assert finding.value.field == field
        if field != "block":
            assert finding.value.sequence == sequence
        fields[field] = fields.get(field, 0) + 1
    print(f"{len(edits)} edits found: {fields}")
    assert len(edits) >= EDITS_MIN
    assert {"postings", "block"} <= fields.keys()
    assert sum(1 for field in fields if field.startswith("record.")) >= 5


def test_a_record_of_another_time_or_height_is_found() -> None:
    at = next(n for n, entry in enumerate(ENTRIES) if n > 5 and isinstance(entry, ClosingEntry))
    closing = ENTRIES[at]
    assert isinstance(closing, ClosingEntry)
    for change in ({"time_ms": closing.record.time_ms + 1}, {"height": 0}, {"time_ms": 0}):
        edited = ClosingEntry(record=replace(closing.record, **change))
        with pytest.raises(AuditFinding):
            audited([*LOG[:at], encode_entry(edited), *LOG[at + 1 :]])


def record_after(height: int) -> int:
    """Return the height of the next record but one; a block that changes nothing leaves none."""
    records = [entry.record.height for entry in ENTRIES if isinstance(entry, ClosingEntry)]
    later = [one for one in records if one > height]
    return later[1] if len(later) > 1 else records[-1] + 1


def test_a_dropped_doubled_or_moved_entry_is_found() -> None:
    found = 0
    for sequence in range(1, len(LOG) - 1):
        dropped = [*LOG[:sequence], *LOG[sequence + 1 :]]
        doubled = [*LOG[: sequence + 1], *LOG[sequence:]]
        swapped = list(LOG)
        swapped[sequence], swapped[sequence + 1] = swapped[sequence + 1], swapped[sequence]
        for log in (dropped, doubled, swapped):
            with pytest.raises(AuditFinding) as finding:
                audited(log)
            assert finding.value.height <= record_after(block_of(sequence))
            found += 1
    print(f"{found} changes of order found")
    assert found >= EDITS_MIN


def test_bits_flipped_anywhere_are_found() -> None:
    dice = random.Random("bits")
    for _ in range(EDITS_MIN):
        # What the last record says of height and time is its block's input: its commit tells.
        sequence = dice.randrange(len(LOG) - 1)
        raw = bytearray(LOG[sequence])
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        with pytest.raises(AuditFinding):
            audited([*LOG[:sequence], bytes(raw), *LOG[sequence + 1 :]])


def test_a_log_that_ends_inside_a_block_is_found() -> None:
    for size in range(1, len(LOG)):
        if isinstance(ENTRIES[size - 1], ClosingEntry) or size == 1:
            assert audited(LOG[:size]).entries == size, "a shorter log is an older one"
        else:
            with pytest.raises(AuditFinding, match="ends inside a block"):
                audited(LOG[:size])


def test_a_log_of_another_genesis_is_found() -> None:
    with pytest.raises(AuditFinding) as finding:
        replay(
            builders.genesis(network="dev-other"), LOG, storage=MemoryStore(), verify_commit=None
        )
    assert (finding.value.sequence, finding.value.field) == (0, "genesis")
    with pytest.raises(AuditFinding):
        audited([])
    with pytest.raises(NotCanonical):
        replay(b"\x00", LOG, storage=MemoryStore(), verify_commit=None)


def test_a_forged_block_without_contents_is_found() -> None:
    closing = ENTRIES[-1]
    assert isinstance(closing, ClosingEntry)
    record = replace(
        closing.record, height=closing.record.height + 1, time_ms=closing.record.time_ms + 1
    )
    with pytest.raises(AuditFinding) as finding:
        audited([*LOG, encode_entry(ClosingEntry(record=record))])
    assert finding.value.sequence == len(LOG)


def test_a_value_written_by_hand_into_a_record_is_not_believed() -> None:
    """Hashes that fit each other do not help: what counts is what execution gives."""
    at = next(
        n
        for n, entry in enumerate(ENTRIES)
        if isinstance(entry, TransactionEntry) and entry.postings
    )
    entry = ENTRIES[at]
    assert isinstance(entry, TransactionEntry)
    edited = list(LOG)
    edited[at] = encode_entry(other_posting(random.Random(1), entry))
    end = next(n for n in range(at, len(LOG)) if isinstance(ENTRIES[n], ClosingEntry))
    closing = ENTRIES[end]
    assert isinstance(closing, ClosingEntry)
    record = replace(closing.record, log_root=merkle.root(edited[:end]))
    edited[end] = encode_entry(ClosingEntry(record=record))
    with pytest.raises(AuditFinding) as finding:
        audited(edited[: end + 1])
    assert (finding.value.sequence, finding.value.field) == (at, "postings")
