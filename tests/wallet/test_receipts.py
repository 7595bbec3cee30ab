"""Receipts: saved by the wallet, verified offline with nothing but the file and a policy."""

import json
from pathlib import Path
from random import Random

import pytest

from ledger.encoding import note, receipt
from ledger.transactions import parse
from ledger.trust import origin_of, policy_of
from tests.builders import seed
from tests.wallet.fake_node import NETWORK, FakeNode
from tests.wallet.terminal import Tally

MUTATIONS = 500
TAMPERED, UNVERIFIABLE = 8, 9


@pytest.fixture
def policy(node: FakeNode, tmp_path: Path) -> Path:
    """Write whom to believe about the node's log."""
    path = tmp_path / "log.policy"
    made = policy_of(origin_of(NETWORK, node.log_id), node.chain.ledger.validators(1))
    path.write_bytes(made.to_bytes())
    return path


@pytest.fixture
def saved(minted: Tally, node: FakeNode, tmp_path: Path) -> tuple[Path, str]:
    """Save the receipt of the mint; return the file and the transaction's id."""
    transaction = parse(node.received[-1]).id.hex()
    path = tmp_path / "mint.tlog-proof"
    shown = minted.json("tx", "receipt", transaction, "--out", str(path))
    assert shown["transaction"] == transaction
    return path, transaction


def verify(tally: Tally, path: Path, policy: Path, *more: str) -> int:
    """Return how the offline command ends."""
    return tally("-o", "json", "audit", "receipt", str(path), "--policy", str(policy), *more)


def test_it_verifies_offline_and_says_what_it_proves(
    minted: Tally, node: FakeNode, saved: tuple[Path, str], policy: Path
) -> None:
    path, transaction = saved
    node.replies.clear()
    node.prover.cosigners = ()  # nobody is asked any more
    assert verify(minted, path, policy) == 0, minted.err
    shown = json.loads(minted.out)
    assert (shown["transaction"], shown["kind"]) == (transaction, "voucher.mint")
    assert shown["cosigned_by"] == ["guian-hub", "guiyang", "shanghai"]
    assert shown["postings"][0]["amount"] == 100_000_000


def test_a_receipt_is_not_written_over(minted: Tally, saved: tuple[Path, str]) -> None:
    path, transaction = saved
    before = path.read_bytes()
    assert minted("tx", "receipt", transaction, "--out", str(path)) == 2
    assert "is not overwritten" in minted.err
    assert path.read_bytes() == before


def test_an_entry_may_be_kept_apart(
    minted: Tally, saved: tuple[Path, str], policy: Path, tmp_path: Path
) -> None:
    found = receipt.parse(saved[0].read_bytes())
    bare, entry = tmp_path / "bare", tmp_path / "entry"
    bare.write_bytes(
        receipt.Receipt(
            index=found.index, hashes=found.hashes, checkpoint=found.checkpoint
        ).to_bytes()
    )
    entry.write_bytes(found.extra)
    assert verify(minted, bare, policy) == 2, "there is nothing to prove"
    assert verify(minted, bare, policy, "--entry", str(entry)) == 0
    entry.write_bytes(found.extra + b"x")
    assert verify(minted, bare, policy, "--entry", str(entry)) == TAMPERED


def test_keys_of_other_years_are_told_from_forgery(
    minted: Tally, saved: tuple[Path, str], policy: Path, tmp_path: Path
) -> None:
    path = saved[0]
    found = receipt.parse(path.read_bytes())
    other = tmp_path / "other"
    cosigned = [line for line in found.checkpoint.signatures if "/guiyang" in line.name]
    few = note.Note(
        text=found.checkpoint.text,
        signatures=(found.checkpoint.signatures[0], *cosigned),
    )
    other.write_bytes(
        receipt.Receipt(
            index=found.index, hashes=found.hashes, checkpoint=few, extra=found.extra
        ).to_bytes()
    )
    assert verify(minted, other, policy) == UNVERIFIABLE
    assert "take the policy of that time" in minted.out
    text = found.checkpoint.text
    strangers = tuple(
        note.sign(text, name=one.name, seed=seed("stranger"))
        if one.key_id == found.checkpoint.signatures[0].key_id
        else note.cosign(text, name=one.name, seed=seed("stranger"), time_s=1)
        for one in found.checkpoint.signatures
    )
    forged = note.Note(text=text, signatures=strangers)
    other.write_bytes(
        receipt.Receipt(
            index=found.index, hashes=found.hashes, checkpoint=forged, extra=found.extra
        ).to_bytes()
    )
    assert verify(minted, other, policy) == UNVERIFIABLE, "unknown keys prove nothing either way"
    assert verify(minted, other, policy, "--policy", str(policy)) == UNVERIFIABLE


def test_no_altered_receipt_is_accepted(
    minted: Tally, saved: tuple[Path, str], policy: Path, tmp_path: Path
) -> None:
    path = saved[0]
    data, dice = path.read_bytes(), Random(MUTATIONS)
    found = receipt.parse(data)
    other = tmp_path / "other"
    ends = {0: 0, TAMPERED: 0, UNVERIFIABLE: 0, 2: 0}
    for _ in range(MUTATIONS):
        changed = bytearray(data)
        changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        other.write_bytes(changed)
        code = verify(minted, other, policy)
        ends[code] += 1
        if code == 0:  # a line of a key that the policy does not need may be anything
            again = receipt.parse(bytes(changed))
            assert (again.index, again.extra) == (found.index, found.extra)
            assert again.checkpoint.text == found.checkpoint.text
    assert ends[TAMPERED] > MUTATIONS // 2, ends
    assert ends[0] < MUTATIONS // 5, ends


def test_what_is_no_receipt_and_no_policy_is_said(
    minted: Tally, saved: tuple[Path, str], policy: Path, tmp_path: Path
) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    assert verify(minted, junk, policy) == TAMPERED
    assert "is no receipt: no empty line before the checkpoint" in minted.out
    assert verify(minted, saved[0], junk) == 2, "a wrong file is no finding about the log"
    assert "no policy" in minted.out
