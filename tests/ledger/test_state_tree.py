"""The state tree (docs/spec/state.md), beside its naive twin."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import state_tree
from ledger.state_tree import EMPTY, DamagedPage, Leaf, Proof
from tests.reference import state_tree as reference

DEEP = (b"voucher/16651", b"voucher/24204", b"voucher/22859", b"voucher/7564")
"""Two pairs, each with 27 bits of path in common: six pages stand on the way to their fork."""
KEYS = (*DEEP, *(b"voucher/%d" % number for number in range(20)), b"a", b"k" * 255)
ROOTS = {
    0: "0000000000000000000000000000000000000000000000000000000000000000",
    1: "0c87e9fcd0ddce9f0d38e339b10ef3e198a9e2e4590fb0ec7ce5ae66b5e2c71e",
    2: "509f6a879239cf8966d6ac3f5be1efd2801340d8ae04b8013ed901499a722754",
    3: "acb3765628bb80b81fd69b4e96e3994d65752f4f3b225c5f0e2af8307b75e596",
    100: "cf970dce5bb0721ca37b18778e945b37ac676ecb3f3ee852d3411e41cbbd46a3",
}
"""Roots over ``voucher/0`` = ``value 0``, ``voucher/1`` = ``value 1``, …, by number of keys."""

batches = st.lists(
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from([b"", b"x", b"y" * 300]), max_size=8),
    max_size=6,
)


class Kept(dict[bytes, bytes]):
    """Pages in memory; counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[bytes] = Counter()

    def page(self, prefix: bytes) -> bytes | None:
        self.reads[prefix] += 1
        return self.get(prefix)

    def put(self, values: dict[bytes, bytes]) -> bytes:
        """Take a batch in; return the root."""
        update = state_tree.update(self, values)
        super().update(update.pages)
        return update.root


def numbered(count: int) -> dict[bytes, bytes]:
    return {b"voucher/%d" % number: b"value %d" % number for number in range(count)}


def tree_of(values: dict[bytes, bytes]) -> Kept:
    pages = Kept()
    pages.put(values)
    return pages


def deep_tree() -> tuple[Kept, dict[bytes, bytes]]:
    values = {**numbered(60), **dict.fromkeys(DEEP, b"deep")}
    return tree_of(values), values


@pytest.mark.parametrize("count", ROOTS)
def test_the_root_is_the_golden_one(count: int) -> None:
    assert tree_of(numbered(count)).put({}).hex() == ROOTS[count]
    assert reference.root(numbered(count)).hex() == ROOTS[count]


def test_a_page_has_its_golden_bytes() -> None:
    assert {prefix.hex(): raw.hex() for prefix, raw in tree_of(numbered(1)).items()} == {
        "": "00800000"  # one leaf, in slot 8; no child
        "0c87e9fcd0ddce9f0d38e339b10ef3e198a9e2e4590fb0ec7ce5ae66b5e2c71e"
        "f2a69722b820ceb39ae47f76059ccbfb57584ae46c37304c6ed77f5f500b81cd"
        "09766f75636865722f30"
    }


@given(batches)
@settings(deadline=None)
def test_any_batches_give_the_root_and_the_pages_of_the_definition(
    given_batches: list[dict[bytes, bytes]],
) -> None:
    pages, values = Kept(), dict[bytes, bytes]()
    for batch in given_batches:
        values |= batch
        assert pages.put(batch) == reference.root(values) == state_tree.root(pages)
    assert pages == reference.pages(values)
    assert list(state_tree.check(pages, reference.root(values))) == []


@given(st.permutations(KEYS), st.lists(st.integers(0, len(KEYS)), max_size=5))
@settings(deadline=None)
def test_neither_order_nor_splits_change_root_or_pages(keys: list[bytes], cuts: list[int]) -> None:
    pages = Kept()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(keys)], strict=True):
        pages.put({key: key for key in keys[start:end]})
    whole = tree_of({key: key for key in KEYS})
    assert pages == whole
    assert state_tree.root(pages) == state_tree.root(whole)


def test_keys_with_27_common_bits_fork_in_the_seventh_page() -> None:
    path, other = (int(reference.bits(key), 2) for key in DEEP[:2])
    assert 256 - (path ^ other).bit_length() == 27
    values = dict.fromkeys(DEEP[:2], b"deep")
    pages = tree_of(values)
    assert sorted(map(len, pages)) == [0, 1, 2, 3, 4, 5, 6]
    assert pages == reference.pages(values)
    proof = state_tree.prove(pages, DEEP[0])
    assert proof.siblings.count(EMPTY) == 27
    assert len(proof.siblings) == 28


def test_only_what_changed_is_written_and_nothing_is_read_twice() -> None:
    pages = tree_of(numbered(2_000))
    before = dict(pages)
    pages.reads.clear()
    key = b"voucher/7"
    update = state_tree.update(pages, {key: b"new", b"voucher/8": b"value 8"})
    path = bytes(int(digit, 16) for digit in reference.nibbles(key))
    assert sorted(update.pages) == [path[:depth] for depth in range(len(update.pages))]
    assert all(before[prefix] != raw for prefix, raw in update.pages.items())
    assert set(pages.reads.values()) == {1}
    assert pages.reads.keys() > update.pages.keys(), "the way to voucher/8 was read, not changed"
    assert pages == before, "an update stores nothing"


def test_a_value_that_is_the_same_changes_no_page() -> None:
    pages, values = deep_tree()
    update = state_tree.update(pages, values)
    assert update.pages == {}
    assert update.root == state_tree.root(pages)


def test_leaves_are_all_keys_in_the_order_of_their_paths() -> None:
    pages, values = deep_tree()
    assert list(state_tree.leaves(pages)) == [
        (key, state_tree.leaf_hash(key, values[key])) for key in sorted(values, key=reference.bits)
    ]
    assert list(state_tree.leaves(Kept())) == []


@pytest.mark.parametrize("key", [b"", b"k" * 256, "键".encode()])
def test_a_key_that_no_record_has_is_our_fault(key: bytes) -> None:
    with pytest.raises(AssertionError):
        state_tree.update(Kept(), {key: b"value"})


def test_every_key_is_proven_to_have_its_value_and_no_other() -> None:
    pages, values = deep_tree()
    root = state_tree.root(pages)
    for key, value in values.items():
        proof = state_tree.prove(pages, key)
        assert state_tree.verify(root, key, value, proof)
        assert not state_tree.verify(root, key, value + b"!", proof)
        assert not state_tree.verify(root, key, None, proof)


def test_absent_keys_are_proven_absent_by_nothing_or_by_another_leaf() -> None:
    pages, _ = deep_tree()
    root = state_tree.root(pages)
    ends = Counter[bool]()
    for number in range(100, 300):
        key = b"voucher/%d" % number
        proof = state_tree.prove(pages, key)
        assert state_tree.verify(root, key, None, proof)
        assert not state_tree.verify(root, key, b"value", proof)
        ends[proof.leaf is None] += 1
    assert min(ends[True], ends[False]) > 10


def test_everything_is_absent_from_the_empty_tree() -> None:
    proof = state_tree.prove(Kept(), b"voucher/0")
    assert proof == Proof(siblings=(), leaf=None)
    assert state_tree.verify(EMPTY, b"voucher/0", None, proof)
    assert not state_tree.verify(EMPTY, b"voucher/0", b"", proof)


def test_a_present_key_cannot_be_hidden_behind_its_own_leaf_under_another_name() -> None:
    pages, _ = deep_tree()
    key, namesake = DEEP[:2]
    honest = state_tree.prove(pages, key)
    assert honest.leaf is not None
    forged = replace(honest, leaf=replace(honest.leaf, key=namesake))
    assert not state_tree.verify(state_tree.root(pages), key, None, forged)


def test_a_leaf_from_elsewhere_says_nothing_about_a_key() -> None:
    pages = tree_of(numbered(100))
    root, refused = state_tree.root(pages), 0
    for number in range(99):
        proof = state_tree.prove(pages, b"voucher/%d" % number)
        refused += not state_tree.verify(root, b"voucher/99", None, proof)
    assert refused == 99


def test_a_leaf_off_its_own_path_proves_nothing_even_if_it_folds_to_the_root() -> None:
    left, *_, right = sorted(KEYS, key=reference.bits)
    assert reference.bits(left)[0] < reference.bits(right)[0]
    swapped = hashlib.sha256(b"\x01" + reference.leaf(right, b"") + bytes(32)).digest()
    leaf = Leaf(key=right, value_hash=hashlib.sha256(b"").digest())
    assert not state_tree.verify(swapped, left, None, Proof(siblings=(EMPTY,), leaf=leaf))


def test_a_value_hash_has_32_bytes_even_if_it_folds_to_the_root() -> None:
    short = bytes(31)
    root = hashlib.sha256(b"\x00" + hashlib.sha256(b"b").digest() + short).digest()
    proof = Proof(siblings=(), leaf=Leaf(key=b"b", value_hash=short))
    assert not state_tree.verify(root, b"a", None, proof)


def test_the_steps_of_a_proof_are_an_ics23_existence_proof() -> None:
    pages, values = deep_tree()
    for key, value in values.items():
        proof = state_tree.prove(pages, key)
        node = reference.leaf(key, value)
        for is_left, sibling in state_tree.steps(key, proof):
            prefix, suffix = (b"\x01" + sibling, b"") if is_left else (b"\x01", sibling)
            node = hashlib.sha256(prefix + node + suffix).digest()
        assert node == reference.root(values)


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data), "big")


Case = tuple[bytes, bytes, bytes | None, Proof]
"""Root, key, claimed value, proof: what `verify` is given."""


def flip_root(case: Case, dice: random.Random) -> Case:
    root, key, value, proof = case
    return flipped(root, dice.randrange(256)), key, value, proof


def flip_sibling(case: Case, dice: random.Random) -> Case:
    root, key, value, proof = case
    siblings = list(proof.siblings)
    at = dice.randrange(len(siblings))
    siblings[at] = flipped(siblings[at], dice.randrange(256))
    return root, key, value, replace(proof, siblings=tuple(siblings))


def drop_sibling(case: Case, dice: random.Random) -> Case:
    root, key, value, proof = case
    at = dice.randrange(len(proof.siblings))
    shorter = proof.siblings[:at] + proof.siblings[at + 1 :]
    return root, key, value, replace(proof, siblings=shorter)


def add_sibling(case: Case, dice: random.Random) -> Case:
    root, key, value, proof = case
    at = dice.randrange(len(proof.siblings) + 1)
    more = dice.choice([EMPTY, root, b"", *proof.siblings]), *proof.siblings[at:]
    return root, key, value, replace(proof, siblings=proof.siblings[:at] + more)


def reverse_siblings(case: Case, dice: random.Random) -> Case:
    root, key, value, proof = case
    return root, key, value, replace(proof, siblings=proof.siblings[::-1])


def shorten_sibling(case: Case, dice: random.Random) -> Case:
    root, key, value, proof = case
    siblings = list(proof.siblings)
    at = dice.randrange(len(siblings))
    siblings[at] = siblings[at][: dice.randrange(32)]
    return root, key, value, replace(proof, siblings=tuple(siblings))


def change_end(case: Case, dice: random.Random) -> Case:
    root, key, value, proof = case
    if proof.leaf is None:
        other = Leaf(key=dice.choice(KEYS), value_hash=dice.randbytes(32))
        return root, key, value, replace(proof, leaf=other)
    hash_flipped = replace(
        proof.leaf, value_hash=flipped(proof.leaf.value_hash, dice.randrange(256))
    )
    ends = (None, hash_flipped, replace(proof.leaf, key=dice.choice(KEYS) + b"!"))
    return root, key, value, replace(proof, leaf=dice.choice(ends))


def claim_otherwise(case: Case, dice: random.Random) -> Case:
    root, key, value, proof = case
    return root, key, b"" if value is None else dice.choice([None, value + b"!"]), proof


def ask_for_another(case: Case, dice: random.Random) -> Case:
    root, key, value, proof = case
    return root, flipped(key, dice.randrange(8 * len(key))), value or b"", proof


MUTATIONS: tuple[Callable[[Case, random.Random], Case], ...] = (
    *(flip_root, flip_sibling, drop_sibling, add_sibling, reverse_siblings, shorten_sibling),
    *(change_end, claim_otherwise, ask_for_another),
)


def test_2000_mutated_proofs_are_refused() -> None:
    dice = random.Random(20)
    pages, values = deep_tree()
    root = state_tree.root(pages)
    keys = [*values, *(b"voucher/%d" % number for number in range(100, 160))]
    refused = Counter[str]()
    while refused.total() < 2_000:
        key = dice.choice(keys)
        case = (root, key, values.get(key), state_tree.prove(pages, key))
        assert state_tree.verify(*case)
        mutate = dice.choice(MUTATIONS)
        mutated = mutate(case, dice)
        if mutated != case:
            assert not state_tree.verify(*mutated), (mutate.__name__, mutated)
            refused[mutate.__name__] += 1
    assert min(refused[mutate.__name__] for mutate in MUTATIONS) > 100


@given(
    root=st.binary(max_size=40),
    key=st.binary(max_size=300),
    value=st.none() | st.binary(max_size=9),
    siblings=st.lists(st.binary(min_size=32, max_size=32) | st.binary(max_size=40), max_size=9),
    repeat=st.sampled_from([1, 40]),
    leaf=st.none() | st.builds(Leaf, key=st.binary(max_size=9), value_hash=st.binary(max_size=40)),
)
@settings(deadline=None)
def test_any_bytes_get_a_verdict(
    root: bytes,
    key: bytes,
    value: bytes | None,
    siblings: list[bytes],
    repeat: int,
    leaf: Leaf | None,
) -> None:
    proof = Proof(siblings=tuple(siblings * repeat), leaf=leaf)
    is_nothing = root == EMPTY and value is None and proof == Proof(siblings=(), leaf=None)
    assert state_tree.verify(root, key, value, proof) is is_nothing


def test_a_proof_has_at_most_256_siblings() -> None:
    path = int(reference.bits(b"a"), 2)
    root, siblings = EMPTY, [EMPTY] * state_tree.SIBLINGS_MAX
    for level in range(256):
        pair = (EMPTY, root) if path >> level & 1 else (root, EMPTY)
        root = hashlib.sha256(b"\x01" + b"".join(pair)).digest()
    proof = Proof(siblings=tuple(siblings), leaf=None)
    assert state_tree.verify(root, b"a", None, proof)
    assert not state_tree.verify(root, b"a", None, replace(proof, siblings=(EMPTY,) * 257))


def test_check_names_exactly_the_page_with_a_flipped_bit() -> None:
    pages = tree_of({**dict.fromkeys(DEEP, b"deep"), **numbered(20)})
    root = state_tree.root(pages)
    bits = 0
    for prefix, raw in list(pages.items()):
        for bit in range(8 * len(raw)):
            pages[prefix] = flipped(raw, bit)
            assert list(state_tree.check(pages, root)) == [prefix]
            bits += 1
        pages[prefix] = raw
    assert bits > 10_000


def test_check_names_every_page_that_is_cut_gone_or_of_another_tree() -> None:
    pages, values = deep_tree()
    root = state_tree.root(pages)
    cut, gone, older = sorted(prefix for prefix in pages if len(prefix) == 1)[:3]
    pages[cut] = pages[cut][:-1]
    del pages[gone]
    pages[older] = tree_of({**values, **dict.fromkeys(values, b"older")})[older]
    assert list(state_tree.check(pages, root)) == [cut, gone, older]


def test_check_measures_the_top_page_by_the_root() -> None:
    pages, values = deep_tree()
    pages.put({b"voucher/0": b"changed behind our back"})
    assert list(state_tree.check(pages, reference.root(values))) == [b""]
    assert list(state_tree.check(pages)) == []
    assert list(state_tree.check(Kept(), reference.root(values))) == [b""]
    assert list(state_tree.check(Kept(), EMPTY)) == []


def test_a_missing_page_stops_updates_and_proofs() -> None:
    pages = tree_of(dict.fromkeys(DEEP[:2], b"deep"))
    prefix = max(pages, key=len)
    del pages[prefix]
    with pytest.raises(DamagedPage) as of_update:
        state_tree.update(pages, {DEEP[0]: b"new"})
    with pytest.raises(DamagedPage) as of_proof:
        state_tree.prove(pages, DEEP[0])
    assert of_update.value.prefix == of_proof.value.prefix == prefix
    assert reference.nibbles(DEEP[0])[:6] in str(of_update.value)


def test_check_names_a_page_with_an_honest_leaf_in_the_wrong_place() -> None:
    pages = tree_of(numbered(1))
    pages[b""] = b"\x80\x00" + pages[b""][2:]  # its place is slot 8
    assert state_tree.root(pages).hex() == ROOTS[1]
    assert list(state_tree.check(pages, state_tree.root(pages))) == [b""]


def test_a_page_that_no_tree_has_is_malformed() -> None:
    lone = tree_of(numbered(1))[b""]
    pages = tree_of(dict.fromkeys(DEEP[:2], b"deep"))
    prefix = max(pages, key=len)
    malformed = {
        b"": [bytes(4), lone[:2] + lone[:2] + lone[4:], lone[:-1], lone + b"!", b"", lone[:40]],
        prefix: [lone, bytes(4)],
    }
    for at, raws in malformed.items():
        for raw in raws:
            damaged = Kept()
            damaged.update({**pages, at: raw})
            with pytest.raises(DamagedPage):
                state_tree.prove(damaged, DEEP[0])
