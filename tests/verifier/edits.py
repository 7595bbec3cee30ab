"""Edits of an exported ledger, by the level that finds them; each fits up to the level below."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from engines.builtin import messages
from ledger.encoding import crypto
from tests.verifier.ledgers import (
    CHANGES_ROOT,
    HEIGHT,
    LOG_ID,
    LOG_ROOT,
    LOG_SIZE,
    MISBEHAVIOURS,
    PARAMETERS_HASH,
    PREVIOUS,
    RULES_VERSION,
    STATE_ROOT,
    TIME,
    TRANSACTIONS_ROOT,
    VALIDATORS_HASH,
    Export,
    pack,
    unpack,
)

Place = tuple[int, int | None, str]
"""Height, sequence number and field."""


@dataclass(frozen=True, kw_only=True)
class Edited:
    """An export with one thing wrong, and where."""

    export: Export
    place: Place
    replayed: bool = True
    """Whether replay looks at this too: it takes body hash, proposer and proofs as they are."""


Edit = Callable[[Random, Export], Edited]


def logged(export: Export, fits: Callable[[Any], bool] = lambda _: True) -> list[int]:
    """Return the positions of transactions' entries that fit."""
    entries = ((at, unpack(raw)) for at, raw in enumerate(export.log))
    return [at for at, entry in entries if entry[0] == "transaction" and fits(entry)]


def closings(export: Export) -> list[int]:
    """Return the positions of closing entries, but for the first and last."""
    return [closing for _, closing in export.blocks()][1:-1]


def at_entry(export: Export, sequence: int, field: str) -> Place:
    """Return the place of an entry."""
    return export.block_of(sequence)[1], sequence, field


def at_closing(export: Export, sequence: int, field: str) -> Place:
    """Return the place of a record's field, by any entry of its block."""
    closing, height = export.block_of(sequence)
    return height, closing, f"record.{field}"


def of_record(field: str, place: int, change: Callable[[Any], Any]) -> Edit:
    """Return an edit of a record that is found in the very field."""

    def edit(dice: Random, export: Export) -> Edited:
        sequence = dice.choice(closings(export))
        entry = export.entry(sequence)
        entry[1][place] = change(entry[1][place])
        found = export.edited(sequence, entry)
        return Edited(export=found, place=at_closing(found, sequence, field))

    return edit


def other_bytes(value: bytes) -> bytes:
    """Return another hash."""
    return bytes((value[0] ^ 1, *value[1:]))


# Structure


def wider_code(dice: Random, export: Export) -> Edited:
    """A number in more bytes than it needs."""
    sequence = dice.choice(logged(export, lambda entry: entry[2] < 128))
    kind, envelope, code, postings = export.entry(sequence)
    raw = b"\x94" + pack(kind) + pack(envelope) + bytes((0xCC, code)) + pack(postings)
    log = (*export.log[:sequence], raw, *export.log[sequence + 1 :])
    return Edited(export=replace(export, log=log), place=at_entry(export, sequence, "entry"))


def trailing_byte(dice: Random, export: Export) -> Edited:
    """A byte behind an entry."""
    sequence = dice.choice(logged(export))
    log = (*export.log[:sequence], export.log[sequence] + b"\x00", *export.log[sequence + 1 :])
    return Edited(export=replace(export, log=log), place=at_entry(export, sequence, "entry"))


def unknown_code(dice: Random, export: Export) -> Edited:
    """A code that no rule gives."""
    sequence = dice.choice(logged(export))
    entry = export.entry(sequence)
    entry[2] = dice.choice((1, 99, 405, 2**40))
    place = at_entry(export, sequence, "transaction.code")
    return Edited(export=export.edited(sequence, entry), place=place)


def refused_that_moves(dice: Random, export: Export) -> Edited:
    """A refusal with postings."""
    sequence = dice.choice(logged(export, lambda entry: bool(entry[3])))
    entry = export.entry(sequence)
    entry[2] = 502
    place = at_entry(export, sequence, "transaction.postings")
    return Edited(export=export.edited(sequence, entry), place=place)


def amount_of_another_type(dice: Random, export: Export) -> Edited:
    """A posting whose amount is no natural."""
    sequence = dice.choice(logged(export, lambda entry: bool(entry[3])))
    entry = export.entry(sequence)
    entry[3][0][4] = dice.choice((-1, True, "1", 2**53, b"", []))
    place = at_entry(export, sequence, "transaction.postings.0.amount")
    return Edited(export=export.edited(sequence, entry), place=place)


def keys_out_of_order(dice: Random, export: Export) -> Edited:
    """Signatures in another order."""
    sequence = dice.choice(logged(export, lambda entry: len(unpack(entry[1])[1]) > 1))
    entry = export.entry(sequence)
    body, signatures = unpack(entry[1])
    entry[1] = pack([body, signatures[::-1]])
    place = at_entry(export, sequence, "signatures")
    return Edited(export=export.edited(sequence, entry), place=place)


def body(change: Callable[[list[Any], int], None], field: str) -> Edit:
    """Return an edit of a transaction's body; it is given its block's time."""

    def edit(dice: Random, export: Export) -> Edited:
        sequence = dice.choice(logged(export))
        entry = export.entry(sequence)
        raw, signatures = unpack(entry[1])
        value = unpack(raw)
        change(value, export.entry(export.block_of(sequence)[0])[1][TIME])
        entry[1] = pack([pack(value), signatures])
        place = at_entry(export, sequence, field)
        return Edited(export=export.edited(sequence, entry), place=place)

    return edit


def of_another_ledger(value: list[Any], _: int) -> None:
    """Name another log."""
    value[1] = bytes(32)


def over_already(value: list[Any], time_ms: int) -> None:
    """Expire with the block."""
    value[2] = time_ms


def far_ahead(value: list[Any], time_ms: int) -> None:
    """Expire beyond any limit."""
    value[2] = time_ms + 2**42


def dropped(dice: Random, export: Export) -> Edited:
    """A transaction that is gone."""
    sequence = dice.choice(logged(export))
    log = (*export.log[:sequence], *export.log[sequence + 1 :])
    closing, height = export.block_of(sequence)
    return Edited(export=replace(export, log=log), place=(height, closing - 1, "record.log_size"))


def doubled(dice: Random, export: Export) -> Edited:
    """A transaction that stands twice, with everything else made to fit."""
    sequence = dice.choice(logged(export))
    log = (*export.log[: sequence + 1], *export.log[sequence:])
    found = replace(export, log=log).hashed()
    return Edited(export=found, place=at_entry(found, sequence + 1, "id"))


def expiries_later(dice: Random, export: Export) -> Edited:
    """The automatic entry behind a transaction."""
    found = [
        at
        for at in range(1, len(export.log) - 1)
        if unpack(export.log[at])[0] == "automatic"
        and unpack(export.log[at + 1])[0] == "transaction"
    ]
    sequence = dice.choice(found)
    one, two = export.log[sequence : sequence + 2]
    log = (*export.log[:sequence], two, one, *export.log[sequence + 2 :])
    return Edited(
        export=replace(export, log=log), place=at_entry(export, sequence + 1, "automatic")
    )


def no_commit(dice: Random, export: Export) -> Edited:
    """A height without its commit."""
    at = dice.randrange(len(export.commits) - 2)
    commits = (*export.commits[:at], *export.commits[at + 1 :])
    place = (export.commits[at][0], None, "commit.height")
    return Edited(export=replace(export, commits=commits), place=place)


def of_header(field: str, place: int, change: Callable[[Any], Any]) -> Edit:
    """Return an edit of a header that was signed all the same, and is found in the very field."""

    def edit(dice: Random, export: Export) -> Edited:
        at = dice.randrange(1, len(export.commits) - 2)
        height, raw = export.commits[at]
        header, _, previous, _ = unpack(raw)
        header[place] = change(header[place])
        # What stands in the header is signed by the validators of the height it has here.
        sealed = replace(export, sets={header[3]: export.sets[height]}).sealed(header, previous)
        commits = (*export.commits[:at], (height, sealed), *export.commits[at + 1 :])
        return Edited(
            export=replace(export, commits=commits),
            place=(height, None, f"commit.header.{field}"),
            replayed=field not in ("proposer", "body_hash"),
        )

    return edit


def a_record_of_nothing(_: Random, export: Export) -> Edited:
    """A block that logs nothing and has a record all the same."""
    record = export.entry(len(export.log) - 1)[1]
    record[HEIGHT] += 1
    record[TIME] += 1
    record[STATE_ROOT], record[MISBEHAVIOURS], record[LOG_SIZE] = [], [], len(export.log)
    log = (*export.log, pack(["block", record]))
    place = (record[HEIGHT], len(export.log), "record.height")
    return Edited(export=replace(export, log=log), place=place)


# Merkle


def bent_signature(dice: Random, export: Export) -> Edited:
    """Another bit in a signature."""
    sequence = dice.choice(logged(export))
    entry = export.entry(sequence)
    raw = bytearray(entry[1])
    raw[-1 - dice.randrange(60)] ^= 1 << dice.randrange(8)
    entry[1] = bytes(raw)
    place = at_closing(export, sequence, "transactions_root")
    return Edited(export=export.edited(sequence, entry), place=place)


def other_posting(dice: Random, export: Export) -> Edited:
    """Another amount, programme, source or target."""
    sequence = dice.choice(logged(export, lambda entry: bool(entry[3])))
    entry = export.entry(sequence)
    field, value = dice.choice(((1, "a.b"), (2, 999), (3, 7), (4, 2**40), (5, "x"), (6, "y")))
    entry[3][0][field] = value
    place = at_closing(export, sequence, "log_root")
    return Edited(export=export.edited(sequence, entry), place=place)


def other_code(dice: Random, export: Export) -> Edited:
    """A refusal instead of success."""
    sequence = dice.choice(logged(export, lambda entry: not entry[2]))
    entry = export.entry(sequence)
    entry[2:] = [dice.choice((101, 502)), []]
    place = at_closing(export, sequence, "log_root")
    return Edited(export=export.edited(sequence, entry), place=place)


def swapped(dice: Random, export: Export) -> Edited:
    """Two neighbours in the other order."""
    found = set(logged(export))
    sequence = dice.choice([at for at in sorted(found) if at + 1 in found])
    one, two = export.log[sequence : sequence + 2]
    log = (*export.log[:sequence], two, one, *export.log[sequence + 2 :])
    place = at_closing(export, sequence, "transactions_root")
    return Edited(export=replace(export, log=log), place=place)


def dropped_and_counted(dice: Random, export: Export) -> Edited:
    """A transaction that is gone, with all sizes made to fit."""
    sequence = dice.choice(logged(export))
    log = [*export.log[:sequence], *export.log[sequence + 1 :]]
    found = replace(export, log=tuple(log))
    for _, closing in found.blocks():
        entry = found.entry(closing)
        entry[1][LOG_SIZE] = closing
        log[closing] = pack(entry)
    found = replace(export, log=tuple(log))
    closing = export.block_of(sequence)[0] - 1
    # Without entries that write, the changes that the record names are what is wrong first.
    return Edited(export=found, place=at_closing(found, closing, "transactions_root"))


def unseen_root(place: int) -> Edit:
    """Return an edit of a root that only execution knows: the next record gives it away."""

    def edit(dice: Random, export: Export) -> Edited:
        ends = closings(export)
        rooted = [at for at in ends if place != STATE_ROOT or export.entry(at)[1][STATE_ROOT]]
        written = [at for at in rooted if export.entry(at)[1][CHANGES_ROOT] != EMPTY_ROOT]
        sequence = dice.choice(written)
        entry = export.entry(sequence)
        if place == STATE_ROOT:
            entry[1][place][0][0] = other_bytes(entry[1][place][0][0])
        else:
            entry[1][place] = other_bytes(entry[1][place])
        found = export.edited(sequence, entry)
        return Edited(export=found, place=at_closing(found, sequence + 1, "previous"))

    return edit


def changes(writes: bool) -> Edit:
    """Return an edit by which a block claims to write nothing, or something."""

    def edit(dice: Random, export: Export) -> Edited:
        roots = [(at, export.entry(at)[1][CHANGES_ROOT]) for at in closings(export)]
        sequence = dice.choice([at for at, root in roots if (root == EMPTY_ROOT) is writes])
        entry = export.entry(sequence)
        entry[1][CHANGES_ROOT] = other_bytes(EMPTY_ROOT) if writes else EMPTY_ROOT
        found = export.edited(sequence, entry)
        return Edited(export=found, place=at_closing(found, sequence, "changes_root"))

    return edit


def early_root(dice: Random, export: Export) -> Edited:
    """A state root where none is due."""
    bare = [at for at in closings(export) if not export.entry(at)[1][STATE_ROOT]]
    sequence = dice.choice(bare)
    entry = export.entry(sequence)
    entry[1][STATE_ROOT] = [[bytes(32), entry[1][HEIGHT] - 1]]
    found = export.edited(sequence, entry)
    return Edited(export=found, place=at_closing(found, sequence, "state_root"))


def state_root(change: Callable[[list[Any]], list[Any]]) -> Edit:
    """Return an edit of when a state root stands in a record."""

    def edit(dice: Random, export: Export) -> Edited:
        # A block with nothing but its root would be one of nothing without it.
        filled = [at for at in closings(export) if export.entry(at - 1)[0] != "block"]
        rooted = [at for at in filled if export.entry(at)[1][STATE_ROOT]]
        sequence = dice.choice(rooted)
        entry = export.entry(sequence)
        entry[1][STATE_ROOT] = change(entry[1][STATE_ROOT])
        found = export.edited(sequence, entry)
        return Edited(export=found, place=at_closing(found, sequence, "state_root"))

    return edit


# Signatures


def forged(edit: Edit) -> Edit:
    """Return an edit with all hashes of the log made to fit: the header certifies another."""

    def forge(dice: Random, export: Export) -> Edited:
        edited = edit(dice, export)
        at = edited.place[1]
        assert at is not None
        found = edited.export.hashed()
        return Edited(export=found, place=(found.block_of(at)[1], None, HEADER_HASH))

    return forge


EMPTY_ROOT = crypto.sha256(b"")
HEADER_HASH = "commit.header.record_hash"


def forged_signature(dice: Random, export: Export) -> Edited:
    """Another bit in a signature, decided by validators who did not look."""
    sequence = dice.choice(logged(export))
    entry = export.entry(sequence)
    body_, signatures = unpack(entry[1])
    number = dice.randrange(len(signatures))
    bent = bytearray(signatures[number][1])
    bent[dice.randrange(64)] ^= 1 << dice.randrange(8)
    signatures[number][1] = bytes(bent)
    entry[1] = pack([body_, signatures])
    found = export.edited(sequence, entry).hashed().certified()
    return Edited(export=found, place=at_entry(found, sequence, f"signatures.{number}"))


def of_commit(change: Callable[[Random, Export, list[Any]], str]) -> Edit:
    """Return an edit of a commit's certificate, which names the field itself."""

    def edit(dice: Random, export: Export) -> Edited:
        at = dice.randrange(1, len(export.commits))
        height, raw = export.commits[at]
        commit = unpack(raw)
        field = change(dice, export, commit)
        commits = (*export.commits[:at], (height, pack(commit)), *export.commits[at + 1 :])
        place = (height, None, f"commit.{field}")
        return Edited(export=replace(export, commits=commits), place=place)

    return edit


def bent_precommit(dice: Random, _: Export, commit: list[Any]) -> str:
    """A signature that is none."""
    pairs = commit[1][3]
    number = dice.randrange(len(pairs))
    pairs[number][1] = other_bytes(pairs[number][1])
    return f"certificate.signatures.{number}"


def too_few(dice: Random, _: Export, commit: list[Any]) -> str:
    """Two thirds and not more: no quorum."""
    pairs = commit[1][3]
    del pairs[: len(pairs) - 2 * len(pairs) // 3]
    return "certificate.signatures"


def twice(dice: Random, _: Export, commit: list[Any]) -> str:
    """One validator in place of another."""
    pairs = commit[1][3]
    pairs[1] = pairs[0]
    return "certificate.signatures"


def a_stranger(dice: Random, export: Export, commit: list[Any]) -> str:
    """A key that does not validate, in its place in the order."""
    pairs = commit[1][3]
    acting = {pair[0] for pair in pairs}
    stranger = dice.choice([key for key in sorted(export.seeds) if key not in acting])
    pairs.append([stranger, bytes(64)])
    pairs.sort()
    return f"certificate.signatures.{pairs.index([stranger, bytes(64)])}"


def another_round(dice: Random, _: Export, commit: list[Any]) -> str:
    """A round that nobody signed."""
    commit[1][1] += 1
    return "certificate.signatures.0"


def another_block(dice: Random, _: Export, commit: list[Any]) -> str:
    """A certificate of a block that this is not."""
    commit[1][2] = bytes(32)
    return "certificate.block_id"


def orphan(dice: Random, export: Export) -> Edited:
    """A block that carries no certificate of its parent, or one that does not hold."""
    # Any envelopes are in the body hash, so a height without them is taken.
    filled = {export.block_of(at)[1] for at in logged(export)}
    at = dice.choice(
        [at for at in range(1, len(export.commits)) if export.commits[at][0] not in filled]
    )
    height, raw = export.commits[at]
    header, _, previous, _ = unpack(raw)
    field = "previous"
    if dice.randrange(2):
        previous = []
    else:
        previous[0][3][0][1] = other_bytes(previous[0][3][0][1])
        field = "previous.signatures.0"
    chunks = messages.chunks_of(pack([[], [], previous]))
    header[8] = messages.body_hash(messages.chunk_hashes(chunks))
    sealed = export.sealed(header, previous)
    commits = (*export.commits[:at], (height, sealed), *export.commits[at + 1 :])
    return Edited(export=replace(export, commits=commits), place=(height, None, f"commit.{field}"))


DESCENDING = (b"\x02" * 32, b"\x01" * 32)

STRUCTURE: tuple[Edit, ...] = (
    wider_code,
    trailing_byte,
    unknown_code,
    refused_that_moves,
    amount_of_another_type,
    keys_out_of_order,
    body(of_another_ledger, "log_id"),
    body(over_already, "expires_at"),
    body(far_ahead, "expires_at"),
    of_record("log_id", LOG_ID, other_bytes),
    of_record("log_size", LOG_SIZE, lambda size: size + 1),
    of_record("rules_version", RULES_VERSION, lambda version: version + 1),
    of_record("time_ms", TIME, lambda _: 1),
    of_record("height", HEIGHT, lambda _: 1),
    of_record("misbehaviours", MISBEHAVIOURS, lambda _: [[bytes(32), "prevote", 1, bytes(32)]]),
    of_record(
        "misbehaviours", MISBEHAVIOURS, lambda _: [[key, "prevote", 1, key] for key in DESCENDING]
    ),
    a_record_of_nothing,
    dropped,
    doubled,
    expiries_later,
    no_commit,
    of_header("height", 3, lambda height: height + 1),
    of_header("log_id", 1, other_bytes),
    of_header("time_ms", 4, lambda _: 1),
)
MERKLE: tuple[Edit, ...] = (
    bent_signature,
    other_posting,
    other_code,
    swapped,
    dropped_and_counted,
    of_record("previous", PREVIOUS, other_bytes),
    of_record("transactions_root", TRANSACTIONS_ROOT, other_bytes),
    of_record("log_root", LOG_ROOT, other_bytes),
    of_record("validators_hash", VALIDATORS_HASH, other_bytes),
    of_record("parameters_hash", PARAMETERS_HASH, other_bytes),
    unseen_root(CHANGES_ROOT),
    unseen_root(STATE_ROOT),
    changes(writes=True),
    changes(writes=False),
    early_root,
    state_root(lambda found: []),
    state_root(lambda found: [[found[0][0], found[0][1] + 1]]),
)
SIGNATURES: tuple[Edit, ...] = (
    forged(other_posting),
    forged(swapped),
    forged_signature,
    of_header("parent", 6, other_bytes),
    of_header("record_hash", 7, other_bytes),
    of_header("proposer", 5, other_bytes),
    of_header("body_hash", 8, other_bytes),
    of_commit(bent_precommit),
    of_commit(too_few),
    of_commit(twice),
    of_commit(a_stranger),
    of_commit(another_round),
    of_commit(another_block),
    orphan,
)


def some(family: tuple[Edit, ...], export: Export, *, each: int) -> Iterator[tuple[str, Edited]]:
    """Yield several edits of each kind with their names, the same in every run."""
    for number, edit in enumerate(family):
        dice = Random(f"edit {number}")
        for _ in range(each):
            yield f"{number} {edit.__qualname__.partition('.')[0]}", edit(dice, export)
