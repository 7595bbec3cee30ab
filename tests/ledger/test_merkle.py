"""RFC 6962 trees (W4): public vectors and the definition itself."""

import base64
from typing import Any

from ledger.encoding import merkle
from tests.ledger import public_vectors
from tests.reference import merkle as reference

ENTRIES = [bytes([number]) * (number % 5) for number in range(33)]


def unpacked(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def proof_of(case: dict[str, Any]) -> list[bytes]:
    return [unpacked(item) for item in case["proof"] or ()]


def test_the_98_inclusion_vectors_have_their_verdicts() -> None:
    cases = public_vectors.load("merkle-inclusion.json")
    wrong = [
        case["name"]
        for case in cases
        if merkle.verify_inclusion(
            leaf=unpacked(case["leafHash"]),
            index=case["leafIdx"],
            size=case["treeSize"],
            proof=proof_of(case),
            expected_root=unpacked(case["root"]),
        )
        is case["wantErr"]
    ]
    assert (len(cases), wrong) == (98, [])


def test_the_98_consistency_vectors_have_their_verdicts() -> None:
    cases = public_vectors.load("merkle-consistency.json")
    wrong = [
        case["name"]
        for case in cases
        if merkle.verify_consistency(
            size1=case["size1"],
            size2=case["size2"],
            root1=unpacked(case["root1"]),
            root2=unpacked(case["root2"]),
            proof=proof_of(case),
        )
        is case["wantErr"]
    ]
    assert (len(cases), wrong) == (98, [])


def test_the_frontier_gives_the_root_of_the_definition_at_every_size() -> None:
    frontier = merkle.Frontier()
    assert frontier.root() == reference.root([])
    for size, entry in enumerate(ENTRIES, start=1):
        frontier.append(merkle.leaf_hash(entry))
        assert frontier.root() == reference.root(ENTRIES[:size]) == merkle.root(ENTRIES[:size])
        frontier = merkle.Frontier(frontier.size, tuple(frontier.peaks))  # as a store would


def test_a_frontier_takes_many_leaves_as_it_takes_one_after_the_other() -> None:
    leaves = merkle.leaf_hashes(ENTRIES)
    cases = 0
    for first in range(len(leaves) + 1):
        for end in range(first, len(leaves) + 1):
            one, many = merkle.Frontier(), merkle.Frontier()
            many.extend(leaves[:first])
            many.extend(leaves[first:end])
            for leaf in leaves[:end]:
                one.append(leaf)
            assert (many.size, many.peaks) == (one.size, one.peaks)
            cases += 1
    assert cases == (len(leaves) + 1) * (len(leaves) + 2) // 2


def test_a_copied_frontier_is_independent() -> None:
    frontier = merkle.Frontier()
    frontier.append(merkle.leaf_hash(b"one"))
    frontier.copy().append(merkle.leaf_hash(b"two"))
    assert frontier.root() == reference.root([b"one"])


def test_inclusion_proofs_are_those_of_the_definition_and_verify() -> None:
    for size in range(1, 18):
        entries = ENTRIES[:size]
        leaves = [merkle.leaf_hash(entry) for entry in entries]
        for index in range(size):
            proof = merkle.inclusion_proof(leaves, index)
            assert proof == reference.path(index, entries)
            for claimed in range(size):
                holds = merkle.verify_inclusion(
                    leaf=leaves[index],
                    index=claimed,
                    size=size,
                    proof=proof,
                    expected_root=reference.root(entries),
                )
                assert holds is (claimed == index)


def test_consistency_proofs_of_the_definition_verify_and_of_other_trees_do_not() -> None:
    for size2 in range(1, 18):
        for size1 in range(1, size2 + 1):
            proof = reference.proof(size1, ENTRIES[:size2])
            old, new = reference.root(ENTRIES[:size1]), reference.root(ENTRIES[:size2])

            def holds(old: bytes, new: bytes, a: int = size1, b: int = size2) -> bool:
                return merkle.verify_consistency(
                    size1=a, size2=b, root1=old, root2=new, proof=reference.proof(a, ENTRIES[:b])
                )

            assert holds(old, new)
            assert not holds(bytes(32), new)
            assert not holds(old, bytes(32))
            if proof:
                assert not merkle.verify_consistency(
                    size1=size1, size2=size2, root1=old, root2=new, proof=[*proof, bytes(32)]
                )


def test_the_empty_tree_is_no_prefix_here() -> None:
    new = reference.root(ENTRIES[:3])
    assert not merkle.verify_consistency(
        size1=0, size2=3, root1=merkle.EMPTY_ROOT, root2=new, proof=[]
    )
