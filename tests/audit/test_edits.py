"""Edits of a stored log, each made to fit up to the level below: every one is found and named."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit.replay import Level
from audit.verdicts import Tampered, Unverifiable
from ledger.encoding import codec
from ledger.entries import GenesisEntry, TransactionEntry, decode_entry, encode_entry
from ledger.rules.base import Posting
from ledger.transactions import parse, seal
from tests.audit import forge
from tests.audit.conftest import World, audited
from tests.audit.forge import Log, change

SEED = 20265
EDITS = 300
SAMPLE = 60


@dataclass(frozen=True, slots=True)
class Edit:
    """An edited log, and what the level that finds it must name."""

    name: str
    level: Level
    log: Log
    at: int
    """Which height, from 0."""
    sequence: int | tuple[int, int]
    """Of the entry, or the first and last of those that may be named."""
    fields: tuple[str, ...]
    """One of these."""
    is_known_below: bool = True
    """False if the level below cannot tell what the edit made of the validators."""


MADE_UP = Posting(
    kind="move",
    programme="shanghai.compute",
    serial=1,
    count=1,
    amount=1,
    source="available",
    target="redeemed",
)


class Editor:
    """Makes edits with seeded dice."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self._log, self._dice = world.log, dice
        self._genesis = encode_entry(GenesisEntry(genesis=world.mirror.genesis))
        self._logged = [n for n, one in enumerate(world.log) if one.raws]
        self._busy = [n for n in self._logged if len(world.log[n].raws) > 1]

    def edit(self) -> Edit:
        """Return an edit of any kind."""
        return self._dice.choice(KINDS)(self)

    def _link(self, log: Log) -> Log:
        return forge.link_again(log, self._genesis)

    def _entry(self) -> tuple[int, int, int, TransactionEntry]:
        """Return a transaction: height, place in its block, sequence number, entry."""
        at = self._dice.choice(self._busy)
        offset = self._dice.randrange(len(self._log[at].raws) - 1)
        entry = decode_entry(self._log[at].raws[offset])
        assert isinstance(entry, TransactionEntry)
        return at, offset, forge.first_sequence(self._log, at) + offset, entry

    def _closing(self) -> tuple[int, int]:
        at = self._dice.choice(self._logged)
        return at, forge.first_sequence(self._log, at) + len(self._log[at].raws) - 1

    # Found by structure

    def entry_bytes(self) -> Edit:
        """Bytes that are not canonical, or no entry."""
        at, offset, sequence, _ = self._entry()
        raw = self._log[at].raws[offset]
        wrong = self._dice.choice([raw + b"\x00", raw[:-1], b"\xc0" + raw[1:], raw[:1] + raw])
        log = forge.with_entry(self._log, at, offset, wrong)
        return Edit("entry bytes", Level.STRUCTURE, log, at, sequence, ("entry",))

    def envelope_bytes(self) -> Edit:
        """An envelope that is none, in an entry that is one."""
        at, offset, sequence, entry = self._entry()
        raw = encode_entry(change(entry, signed=entry.signed + b"\x00"))
        log = forge.with_entry(self._log, at, offset, raw)
        return Edit("envelope bytes", Level.STRUCTURE, log, at, sequence, ("signed",))

    def count(self) -> Edit:
        """A record that counts wrongly."""
        at, sequence = self._closing()
        size = self._log[at].record.log_size + self._dice.choice([-1, 1, 1_000])
        log = forge.with_record(self._log, at, log_size=size)
        return Edit("count", Level.STRUCTURE, log, at, sequence, ("record.log_size",))

    def lost_entry(self) -> Edit:
        """An entry that is gone, and nothing else changed."""
        at, offset, sequence, _ = self._entry()
        raws = self._log[at].raws
        log = forge.with_height(self._log, at, raws=raws[:offset] + raws[offset + 1 :])
        closing = sequence - offset + len(raws) - 2
        return Edit("lost entry", Level.STRUCTURE, log, at, closing, ("record.log_size",))

    def second_genesis(self) -> Edit:
        """A genesis in the middle."""
        at, offset, sequence, _ = self._entry()
        log = forge.with_entry(self._log, at, offset, self._genesis)
        return Edit("second genesis", Level.STRUCTURE, log, at, sequence, ("entry",))

    def lost_commit(self) -> Edit:
        """A height without a commit."""
        at = self._dice.randrange(len(self._log) - 1)
        kept = [one for n, one in enumerate(self._log) if n != at or one.raws]
        if len(kept) == len(self._log):
            return self.count()
        first = forge.first_sequence(self._log, at)
        return Edit(
            "lost commit", Level.STRUCTURE, tuple(kept), at, (first, first + 9), ("commit",)
        )

    # Found by merkle

    def order(self) -> Edit:
        """Two transactions of one block in the other order."""
        many = [n for n in self._busy if len(self._log[n].raws) > 2]
        at = self._dice.choice(many)
        *before, last = self._log[at].raws
        one = self._dice.randrange(len(before) - 1)
        before[one], before[one + 1] = before[one + 1], before[one]
        log = forge.with_height(self._log, at, raws=(*before, last))
        closing = forge.first_sequence(log, at) + len(before)
        fields = ("record.transactions_root",)
        return Edit("order", Level.MERKLE, log, at, closing, fields)

    def lost_and_counted(self) -> Edit:
        """An entry that is gone, and every count made to fit."""
        at, offset, sequence, _ = self._entry()
        raws = self._log[at].raws
        log = forge.with_height(self._log, at, raws=raws[:offset] + raws[offset + 1 :])
        closing = sequence - offset + len(raws) - 2
        fields = ("record.transactions_root",)
        return Edit("lost and counted", Level.MERKLE, forge.count_again(log), at, closing, fields)

    def link(self) -> Edit:
        """A hash in a record."""
        at, sequence = self._closing()
        name = self._dice.choice(["previous", "log_root", "transactions_root", "log_id"])
        log = forge.with_record(self._log, at, **{name: bytes(32)})
        return Edit("link", Level.MERKLE, log, at, sequence, (f"record.{name}",))

    def header(self) -> Edit:
        """A field of a header."""
        at = self._dice.randrange(len(self._log))
        name = self._dice.choice(["parent", "record_hash", "body_hash", "log_id"])
        commit = self._log[at].commit
        header = change(commit.header, **{name: b"\x01" * 32})
        log = forge.with_height(self._log, at, commit=change(commit, header=header))
        # What a header says of itself is part of its block id, which its certificate names.
        fields = (f"commit.header.{name}", "commit.certificate.block_id")
        return Edit("header", Level.MERKLE, log, at, self._span(at), fields)

    def _span(self, at: int) -> tuple[int, int]:
        """Return the log positions between which a height lies: heights may log nothing."""
        before = max((n for n in self._logged if n < at), default=0)
        after = min((n for n in self._logged if n >= at), default=len(self._log))
        return forge.first_sequence(self._log, before), forge.first_sequence(self._log, after)

    # Found by signatures

    def signature(self) -> Edit:
        """A bent signature of a member, and everything else made to fit."""
        at, offset, sequence, entry = self._entry()
        raw = bytearray(entry.signed)
        raw[-1 - self._dice.randrange(60)] ^= 1 << self._dice.randrange(8)
        return self._signed_otherwise("signature", at, offset, sequence, entry, bytes(raw))

    def amount(self) -> Edit:
        """Another amount, or another expiry, under the old signature."""
        at, offset, sequence, entry = self._entry()
        transaction = parse(entry.signed)
        body, operation = transaction.body, transaction.body.operation
        if hasattr(operation, "amount"):
            body = change(body, operation=change(operation, amount=operation.amount + 1))
        else:
            body = change(body, expires_at=body.expires_at - 1)
        raw = seal(codec.encode(body), dict(transaction.signatures))
        return self._signed_otherwise("amount", at, offset, sequence, entry, raw)

    def _signed_otherwise(
        self, name: str, at: int, offset: int, sequence: int, entry: Any, raw: bytes
    ) -> Edit:
        edited = encode_entry(change(entry, signed=raw))
        log = self._link(forge.with_entry(self._log, at, offset, edited))
        return Edit(name, Level.SIGNATURES, log, at, sequence, ("signatures",))

    def certificate(self) -> Edit:
        """A certificate with a bent signature, or with too few."""
        at = self._dice.randrange(len(self._log))
        commit = self._log[at].commit
        *rest, (key, signature) = commit.certificate.signatures
        if self._dice.randrange(2):
            bent = bytearray(signature)
            bent[self._dice.randrange(32)] ^= 1 << self._dice.randrange(8)
            rest.append((key, bytes(bent)))
        certificate = change(commit.certificate, signatures=tuple(rest))
        log = forge.with_height(self._log, at, commit=change(commit, certificate=certificate))
        fields = ("commit.certificate",)
        return Edit("certificate", Level.SIGNATURES, log, at, self._span(at), fields)

    # Found by execute

    def postings(self) -> Edit:
        """Other postings: a total that nobody moved."""
        at, offset, sequence, entry = self._entry()
        name = self._dice.choice(["amount", "serial", "count"])
        if entry.postings:
            first, *rest = entry.postings
            entry = change(
                entry, postings=(change(first, **{name: getattr(first, name) + 1}), *rest)
            )
        else:
            entry = change(entry, postings=(MADE_UP,))
        log = self._link(forge.with_entry(self._log, at, offset, encode_entry(entry)))
        return Edit("postings", Level.EXECUTE, log, at, sequence, ("postings",))

    def root(self) -> Edit:
        """What a record says of the state and its rules, decided and signed by all validators."""
        at, sequence = self._closing()
        record = self._log[at].record
        fields: dict[str, Any] = {
            "changes_root": bytes(32),
            "validators_hash": bytes(32),
            "parameters_hash": bytes(32),
            "rules_version": record.rules_version + 1,
        }
        name = self._dice.choice(list(fields))
        log = self._link(forge.with_record(self._log, at, **{name: fields[name]}))
        known = name != "validators_hash"
        return Edit("root", Level.EXECUTE, log, at, sequence, (f"record.{name}",), known)

    def state_root(self) -> Edit:
        """A wrong state root, none, or one too many."""
        at, sequence = self._closing()
        rooted = [n for n in self._logged if self._log[n].record.state_root]
        if self._dice.randrange(2):
            at = self._dice.choice(rooted)
            sequence = forge.first_sequence(self._log, at) + len(self._log[at].raws) - 1
        found = self._log[at].record.state_root
        root = forge.state_root(bytes(32), found[0].height if found else 1)
        made = self._dice.choice([(), (root,)]) if found else (root,)
        log = self._link(forge.with_record(self._log, at, state_root=made))
        fields = ("record.state_root",)
        return Edit("state root", Level.EXECUTE, log, at, sequence, fields)

    def order_signed(self) -> Edit:
        """Two transactions in the other order, decided and signed by all validators."""
        swapped = self.order()
        log = self._link(swapped.log)
        first = forge.first_sequence(log, swapped.at)
        span = (first, first + len(log[swapped.at].raws) - 1)
        fields = ("record.changes_root", "code", "postings", "block")
        return Edit("order, signed", Level.EXECUTE, log, swapped.at, span, fields)


KINDS: tuple[Callable[[Editor], Edit], ...] = (
    Editor.entry_bytes,
    Editor.envelope_bytes,
    Editor.count,
    Editor.lost_entry,
    Editor.second_genesis,
    Editor.lost_commit,
    Editor.order,
    Editor.lost_and_counted,
    Editor.link,
    Editor.header,
    Editor.signature,
    Editor.amount,
    Editor.certificate,
    Editor.postings,
    Editor.root,
    Editor.state_root,
    Editor.order_signed,
)


def find_all(world: World, folder: Path, count: int) -> Counter[str]:
    """Make edits and have each found by its level, and not by the one below; return by kind."""
    editor = Editor(world, random.Random(SEED))
    found: Counter[str] = Counter()
    for number in range(count):
        edit = editor.edit()
        place = f"edit {number}: {edit.name} at height {edit.at + 1}"
        export = forge.write(folder / f"{number}", world.mirror.genesis, edit.log)
        if edit.level is not Level.STRUCTURE:
            below = Level(edit.level - 1)
            try:
                audited(export, folder / f"{number}-below", level=below)
            except Unverifiable:
                assert not edit.is_known_below, place
        with pytest.raises(Tampered) as finding:
            audited(export, folder / f"{number}-work", level=edit.level)
        named, span = finding.value, edit.sequence
        first, last = span if isinstance(span, tuple) else (span, span)
        assert named.field in edit.fields, f"{place}: {named}"
        assert first <= named.sequence <= last, f"{place}: {named}"
        if edit.level is not Level.STRUCTURE or "record" in named.field:
            assert named.height == edit.at + 1, f"{place}: {named}"
        found[edit.name] += 1
    return found


def test_every_edit_is_found_and_named(world: World, tmp_path: Path) -> None:
    found = find_all(world, tmp_path, SAMPLE)
    print(f"{found.total()} edits found: {dict(found)}")
    assert len(found) >= len(KINDS) - 3


@pytest.mark.ci
def test_every_one_of_300_edits_is_found_and_named(world: World, tmp_path: Path) -> None:
    found = find_all(world, tmp_path, EDITS)
    print(f"{found.total()} edits found: {dict(found)}")
    assert found.total() == EDITS
    assert len(found) == len(KINDS)
