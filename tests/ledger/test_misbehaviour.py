"""Evidence of misbehaviour (Y13): who signed two heads that do not go together is named, no other.

The twin walks a path by the definition of consistency proofs (RFC 6962, 2.1.2).
"""

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger.encoding import merkle, misbehaviour, note, policy, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.misbehaviour import (
    EVIDENCE_BYTES_MAX,
    PATH_MAX,
    Evidence,
    MalformedEvidence,
    Misbehaviour,
    NotAccepted,
    NothingProven,
)
from ledger.encoding.note import Note
from ledger.encoding.text import base64_of
from ledger.encoding.tiles import Node
from ledger.trust import log_key
from tests.audit.stories import COSIGNERS, ORIGIN, entries, trusted
from tests.builders import key, seed
from tests.reference import merkle as reference

GOLDEN = Path(__file__).parents[1] / "vectors" / "misbehaviour.json"
SEED = 20_271


def head(
    entries: Sequence[bytes],
    time_s: int = 1_000,
    by: Sequence[str] = COSIGNERS,
    *,
    log: str = "a",
    times: dict[str, int] | None = None,
) -> Note:
    """Return the signed head of a log."""
    root = merkle.root(entries)
    text = Checkpoint(origin=ORIGIN, size=len(entries), root=root).text()
    lines = [note.sign(text, name=ORIGIN, seed=seed(log, "log"))]
    for name in by:
        when = (times or {}).get(name, time_s)
        owner = f"{ORIGIN}/{name}"
        lines.append(note.cosign(text, name=owner, seed=seed(name, "cosigner"), time_s=when))
    return Note(text=text, signatures=tuple(lines))


def nodes(entries: Sequence[bytes]) -> Node:
    """Return what reads the tree of some entries."""

    def node(level: int, index: int) -> bytes:
        return merkle.root(entries[index << level : (index + 1) << level])

    return node


def fork(small: list[bytes], large: list[bytes]) -> Evidence:
    """Return what an honest watcher makes of the heads of two sizes."""
    path = tiles.prefix_path(nodes(large), size1=len(small), size2=len(large))
    return misbehaviour.of(head(large), head(small), path)


def twin(size1: int, size2: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return what SUBPROOF(size1, size2 entries, false) makes of both roots, by its definition."""
    if size1 == size2:
        (only,) = path
        return only, only
    k = 1
    while k * 2 < size2:
        k *= 2
    *rest, last = path

    def joined(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\x01" + left + right).digest()

    if size1 <= k:
        old, new = twin(size1, k, rest)
        return old, joined(new, last)
    old, new = twin(size1 - k, size2 - k, rest)
    return joined(last, old), joined(last, new)


def test_a_path_is_that_of_the_definition_and_makes_both_roots() -> None:
    compared = 0
    for size2 in range(2, 40):
        large = entries(size2)
        for size1 in range(1, size2):
            path = tiles.prefix_path(nodes(large), size1=size1, size2=size2)
            assert path == reference.proof(size1, large, complete=False)
            roots = reference.root(large[:size1]), reference.root(large)
            assert merkle.prefix_roots(size1=size1, size2=size2, path=path) == roots
            assert twin(size1, size2, path) == roots
            for wrong in (path[1:], [*path, path[0]]):
                assert merkle.prefix_roots(size1=size1, size2=size2, path=wrong) is None
            compared += 1
    assert compared == 741


def test_any_path_makes_what_the_twin_makes() -> None:
    dice = random.Random(SEED)
    agreed = refused = 0
    for _ in range(5_000):
        size2 = dice.choice((dice.randrange(2, 300), dice.randrange(2, 2**63)))
        size1 = dice.randrange(1, size2)
        length = len(tiles.prefix_path(lambda *_: b"", size1=size1, size2=size2))
        path = [dice.randbytes(32) for _ in range(max(0, length + dice.choice((-1, 0, 0, 1))))]
        made = merkle.prefix_roots(size1=size1, size2=size2, path=path)
        try:
            assert made == twin(size1, size2, path)
            agreed += 1
        except ValueError:
            assert made is None
            refused += 1
    assert agreed > 2_000
    assert refused > 2_000


def test_heads_of_random_forks_are_proven_whatever_their_sizes() -> None:
    dice = random.Random(SEED)
    for _ in range(60):
        size1, size2 = sorted((dice.randrange(1, 600), dice.randrange(1, 600)))
        since = dice.randrange(size1)
        small, large = entries(size1), entries(size2, "another", since)
        made = fork(small, large) if size1 < size2 else misbehaviour.of(head(small), head(large))
        found = misbehaviour.verify(misbehaviour.parse(made.to_bytes()), [trusted()])
        assert (found.misbehaviour, found.first.size, found.second.size) == (
            Misbehaviour.FORK,
            size1,
            size2,
        )
        assert [one.name for one in found.signers] == [ORIGIN, *COSIGNERS]


def altered(made: Evidence, other: Sequence[bytes], dice: random.Random) -> Evidence:
    """Return a claim about the same heads with another path."""
    path = list(made.path)
    match dice.randrange(7):
        case 0:
            at = dice.randrange(len(path))
            path[at] = dice.randbytes(32)
        case 1:
            dice.shuffle(path)
        case 2:
            del path[dice.randrange(len(path))]
        case 3:
            path.insert(dice.randrange(len(path) + 1), dice.choice([*path, bytes(32)]))
        case 4:
            path = list(other)
        case 5:
            path = []
        case _:
            at, bit = dice.randrange(len(path)), dice.randrange(256)
            path[at] = (int.from_bytes(path[at], "big") ^ 1 << bit).to_bytes(32, "big")
    return Evidence(first=made.first, second=made.second, path=tuple(path))


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.ci)])
def test_two_heads_of_one_log_are_never_misbehaviour(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of all files about heads that an honest log has, none proves anything."""
    dice = random.Random(SEED)
    lone = policy.parse(f"log {log_key(ORIGIN, key('a', 'log')).text()}\nquorum none\n".encode())
    counts = {"refused": 0, "malformed": 0, "not accepted": 0}
    for _ in range(count // 50):
        size1, size2 = sorted(dice.sample(range(1, 400), 2))
        log = entries(size2)
        path = tiles.prefix_path(nodes(log), size1=size1, size2=size2)
        lies = entries(size2, "another", dice.randrange(size1))
        other = tiles.prefix_path(nodes(lies), size1=size1, size2=size2)
        true = misbehaviour.of(head(log[:size1], by=()), head(log, by=()), path)
        with pytest.raises(NothingProven, match="is the beginning"):
            misbehaviour.verify(true, [lone])
        data = true.to_bytes()
        for number in range(50):
            try:
                if number % 2:
                    made = altered(true, other, dice)
                else:
                    at = dice.randrange(len(data))
                    swapped = bytes([dice.choice(b"AZaz019+/=\n ")])
                    made = misbehaviour.parse(data[:at] + swapped + data[at + 1 :])
                found = misbehaviour.verify(made, [lone])
            except NothingProven:
                counts["refused"] += 1
            except MalformedEvidence:
                counts["malformed"] += 1
            except NotAccepted:
                counts["not accepted"] += 1
            else:
                pytest.fail(f"{found} is proven by {made}")
    with capsys.disabled():
        print(f"\n{count} claims against an honest log: {counts}")
    assert sum(counts.values()) == count
    assert min(counts.values()) > count // 20


def test_a_fork_names_who_signed_both_sides_and_nobody_else() -> None:
    small, large = entries(5), entries(9, "another", 3)
    path = tiles.prefix_path(nodes(large), size1=5, size2=9)
    one, other = head(small, 1_000, "abc"), head(large, 1_500, "bcd", log="b")
    found = misbehaviour.verify(misbehaviour.of(one, other, path), [trusted()])
    said = [(one.name, one.first_s, one.second_s) for one in found.signers]
    assert said == [("b", 1_000, 1_500), ("c", 1_000, 1_500)]


def test_later_cosignatures_of_a_smaller_head_are_a_rollback_by_their_keys_alone() -> None:
    log = entries(9)
    times = {"a": 1_001, "b": 1_000, "c": 999, "d": 2_000}
    late = misbehaviour.of(head(log[:5], times=times), head(log, 1_000))
    found = misbehaviour.verify(misbehaviour.parse(late.to_bytes()), [trusted()])
    assert found.misbehaviour is Misbehaviour.ROLLBACK
    said = [(one.name, one.first_s, one.second_s) for one in found.signers]
    assert said == [("a", 1_001, 1_000), ("d", 2_000, 1_000)]
    early = misbehaviour.of(head(log[:5], 1_000), head(log, 1_000))
    with pytest.raises(NothingProven, match="no key cosigned"):
        misbehaviour.verify(early, [trusted()])
    others = misbehaviour.of(
        head(log[:5], 2_000, "abc"), head(log, 1_000, "bcd", times={"b": 2_000, "c": 2_000})
    )
    with pytest.raises(NothingProven, match="no key cosigned"):
        misbehaviour.verify(others, [trusted()])


def test_a_fork_without_a_path_is_only_claimed() -> None:
    small, large = entries(5), entries(9, "another", 3)
    with pytest.raises(NothingProven):
        misbehaviour.verify(misbehaviour.of(head(small), head(large)), [trusted()])


def test_heads_need_a_policy_each_and_may_have_different_ones() -> None:
    small, large = entries(5), entries(9, "another", 3)
    path = tiles.prefix_path(nodes(large), size1=5, size2=9)
    later = ("c", "d", "e", "f")
    made = misbehaviour.of(head(small), head(large, by=later, log="c"), path)
    for policies in ([], [trusted()], [trusted(later)]):
        with pytest.raises(NotAccepted):
            misbehaviour.verify(made, policies)
    found = misbehaviour.verify(made, [trusted(), trusted(later)])
    assert [one.name for one in found.signers] == ["c", "d"]


def test_the_files_of_three_misbehaviours_are_what_they_were() -> None:
    small, large = entries(5), entries(9, "another", 3)
    made = {
        "fork": fork(small, large),
        "fork of one size": misbehaviour.of(head(small), head(entries(5, "another", 3))),
        "rollback": misbehaviour.of(head(small, 2_000), head(entries(9), 1_000)),
    }
    found = {name: one.to_bytes().decode() for name, one in made.items()}
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))


GOOD = fork(entries(5), entries(9, "another", 3))
DATA = GOOD.to_bytes()
ONE, OTHER = GOOD.first.to_bytes(), GOOD.second.to_bytes()
FRONT = DATA[: DATA.index(b"\n\n") + 1]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "a head and two notes"),
        (DATA + b"\n", "parts|line"),
        (b"\n" + DATA, "expected tallystick"),
        (DATA[:-1], "does not end"),
        (DATA.replace(b"@v1", b"@v2"), "expected tallystick"),
        (FRONT + b"\n" + OTHER + b"\n" + ONE, "first that of the smaller tree"),
        (FRONT + b"\n" + ONE + b"\n" + ONE, "first that of the smaller tree"),
        (FRONT + b"\n" + ONE, "a head and two notes"),
        (FRONT + b"\n" + ONE + b"\n\n" + OTHER, "two notes|three lines"),
        (FRONT + f"{base64_of(bytes(31))}\n\n".encode() + ONE + b"\n" + OTHER, "a hash of 32"),
        (FRONT + b"caf\xc3\xa9\n\n" + ONE + b"\n" + OTHER, "base64"),
        (
            FRONT + f"{base64_of(bytes(32))}\n".encode() * PATH_MAX + b"\n" + ONE + b"\n" + OTHER,
            "that deep",
        ),
        (bytes(EVIDENCE_BYTES_MAX + 1), "expected at most"),
        (
            FRONT + b"\n" + ONE + b"\n" + head(entries(5, "another")).to_bytes(),
            "without|that have none|smaller tree",
        ),
        (FRONT + b"\n" + ONE + b"\n" + OTHER.replace(b"dev-test", b"dev-tesu"), "two logs"),
    ],
)
def test_what_is_no_such_file_is_refused(bad: bytes, reason: str) -> None:
    with pytest.raises(MalformedEvidence, match=reason):
        misbehaviour.parse(bad)


def test_a_path_from_the_empty_tree_is_refused() -> None:
    made = misbehaviour.of(head([]), head(entries(2)))
    front, gap, rest = made.to_bytes().partition(b"\n\n")
    with pytest.raises(MalformedEvidence, match="that have none"):
        misbehaviour.parse(front + b"\n" + base64_of(bytes(32)).encode() + gap + rest)


def test_every_accepted_file_is_the_only_one_of_its_value() -> None:
    dice, same = random.Random(SEED), 0
    for _ in range(3_000):
        at = dice.randrange(len(DATA))
        bent = DATA[:at] + bytes([dice.randrange(256)]) + DATA[at + 1 :]
        try:
            same += misbehaviour.parse(bent).to_bytes() == bent
        except MalformedEvidence:
            continue
    assert same > 300, "none of them parsed to something else: to_bytes asserts it"
