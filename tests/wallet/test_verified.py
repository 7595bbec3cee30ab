"""A wallet believes no server: what a dishonest one says is refused, and named."""

import base64
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.crypto import sha256
from ledger.encoding.note import KeyType, VerifierKey
from ledger.rules.vouchers import VOUCHERS
from tally.exits import NotCertain
from tests.wallet.fake_node import FakeNode, Reply, problem
from tests.wallet.mutations import mutated
from tests.wallet.terminal import FIRST, Tally
from wallet import verified
from wallet.client import NodeClient
from wallet.profile import Profile, trust_path
from wallet.verified import DishonestServer, Verifier

PROOF = f"/v1/proofs/voucher/{FIRST}"
SHOWN = f"/v1/vouchers/{FIRST}"
MUTATIONS = 1_000
"""Of one proof here; test_proofs.py has many more, in a large state."""


def answer(node: FakeNode, path: str) -> Any:
    """Return what the node says truly."""
    return json.loads(node.answer("GET", path, b"").body)


def say(node: FakeNode, path: str, content: Any) -> None:
    """Let the node say something from now on."""
    node.replies[path] = Reply(200, json.dumps(content).encode())


def told(tally: Tally, *words: str) -> str:
    """Return the sentence of a finding."""
    assert tally(*words) == 8, tally.out + tally.err
    return tally.err


RESERVE = (
    *("voucher", "reserve", FIRST, "1,000", "--at", "guian-hub", "--chip", "ascend-910b"),
    *("--until", "2026-02-01", "--key", "firm-a/owner"),
)


def spend(tally: Tally, order: str = "order-1") -> None:
    """Set a part of the voucher aside: less is available."""
    tally.must(*RESERVE, "--order", order, "--no-verify")


def test_an_honest_server_is_believed_and_its_head_remembered(
    minted: Tally, node: FakeNode, profile: Profile
) -> None:
    shown = minted.json("voucher", "proof", FIRST)
    assert shown["cosigned_by"] == ["guian-hub", "guiyang", "shanghai"]
    assert shown["available_fen"] == 100_000_000
    assert shown["log_size"] == len(node.store.log)
    learned = json.loads(trust_path(profile.name).read_bytes())
    assert f"\n{shown['log_size']}\n" in learned["head"]
    minted.must("voucher", "show", FIRST, "--verify")


def test_an_inflated_balance_is_refused(minted: Tally, node: FakeNode) -> None:
    lie = answer(node, SHOWN)
    lie["item"]["available"] *= 2
    say(node, SHOWN, lie)
    sentence = told(minted, "voucher", "show", FIRST, "--verify")
    assert "with available 200000000, the log has 100000000" in sentence
    before = len(node.received)
    assert "the log has 100000000" in told(minted, *RESERVE, "--order", "order-1")
    assert len(node.received) == before, "nothing was sent"
    spend(minted)


def test_a_hidden_spending_is_refused(minted: Tally, node: FakeNode) -> None:
    old = answer(node, SHOWN)
    spend(minted)
    say(node, SHOWN, old)
    assert "and hides that entry" in told(minted, "voucher", "show", FIRST, "--verify")


def test_a_change_that_cannot_be_proven_is_not_certain(
    minted: Tally, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "PATIENCE_S", 0.2)
    monkeypatch.setattr(verified, "PAUSE_S", 0.05)
    lie = answer(node, SHOWN)
    lie["sequence"] += 1_000
    lie["item"]["available"] *= 2
    say(node, SHOWN, lie)
    assert minted("voucher", "show", FIRST, "--verify") == 5
    assert "unproven yet" in minted.err


def test_a_head_cosigned_long_ago_is_refused(minted: Tally, node: FakeNode) -> None:
    node.prover.seconds_ago = verified.HEAD_AGE_MAX_S + 60
    assert "an old head: of entry" in told(minted, "voucher", "proof", FIRST)


def test_a_head_smaller_than_one_seen_is_refused(minted: Tally, node: FakeNode) -> None:
    minted.must("voucher", "proof", FIRST)
    old_proof, old = answer(node, PROOF), answer(node, SHOWN)
    spend(minted)
    minted.must("voucher", "proof", FIRST)
    say(node, SHOWN, old)
    say(node, PROOF, old_proof)
    assert "entries, this wallet has seen" in told(minted, "voucher", "proof", FIRST)


def test_an_old_state_under_a_new_head_is_refused(minted: Tally, node: FakeNode) -> None:
    """Every record stays in the log: only the last one of a head has the newest root."""
    old_proof, old, index = answer(node, PROOF), answer(node, SHOWN), node.prover.rooted
    spend(minted)
    node.prover.root()
    old_proof["receipt"] = node.prover.receipt(index).to_bytes().decode()
    say(node, PROOF, old_proof)
    say(node, SHOWN, old)
    assert "is not the newest" in told(minted, "voucher", "proof", FIRST)


def forked(node: FakeNode, size: int, content: bytes) -> Reply:
    """Return a head with a root of its own, signed by everybody whom the wallet trusts."""
    head = Checkpoint(origin=node.prover.origin, size=size, root=sha256(content))
    return Reply(200, node.prover.signed(head).to_bytes(), "text/plain")


@pytest.mark.parametrize("more", [0, 7])
def test_a_forked_head_is_refused(
    minted: Tally, node: FakeNode, profile: Profile, more: int
) -> None:
    verifier = Verifier(profile, NodeClient(node.url))
    size = verifier.head().checkpoint.size
    for number in range(more):
        node.chain.block(time_ms=node.chain.now_ms + 10_000 + number)
    node.replies["/log/checkpoint"] = forked(node, size + more, b"fork")
    with pytest.raises(DishonestServer, match="a forked head"):
        verifier.head()
    del node.replies["/log/checkpoint"]
    assert verifier.head().checkpoint.size >= size, "and what was seen before stays"


def test_a_larger_head_that_extends_the_one_seen_is_taken(
    minted: Tally, node: FakeNode, profile: Profile
) -> None:
    verifier = Verifier(profile, NodeClient(node.url))
    first = verifier.head().checkpoint.size
    spend(minted)
    assert verifier.head().checkpoint.size > first


def test_a_head_without_a_quorum_is_refused(minted: Tally, node: FakeNode) -> None:
    node.prover.cosigners = ("guian-hub", "shanghai")
    assert "a head that this wallet does not trust" in told(minted, "voucher", "proof", FIRST)


def test_a_voucher_that_the_log_lacks_is_refused(minted: Tally, node: FakeNode) -> None:
    lie = answer(node, SHOWN)
    other = FIRST[:-1] + "9"
    lie["item"]["id"] = other
    lie["sequence"] = 0
    say(node, f"/v1/vouchers/{other}", lie)
    assert "that the log does not have" in told(minted, "voucher", "proof", other)


def test_a_server_without_a_head_is_not_certain(
    minted: Tally, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "PATIENCE_S", 0.2)
    monkeypatch.setattr(verified, "PAUSE_S", 0.05)
    node.replies[PROOF] = problem(503, "proof_pending", "no head is published yet", retryable=True)
    assert minted("voucher", "proof", FIRST) == 5
    assert "no head is published yet" in minted.err


def cosigned_at(node: FakeNode, *ages_s: int) -> None:
    """Let the heads' cosigners say that they saw them so many seconds ago, one after the other."""
    node.prover.ages_s = ages_s


def test_a_head_is_new_only_if_a_quorum_says_so(minted: Tally, node: FakeNode) -> None:
    """One of three cosigners, the server itself, is no quorum: the others' lines are of before."""
    old, old_proof = answer(node, SHOWN), None
    cosigned_at(node, 36_000, 36_000, 0)
    old_proof = answer(node, PROOF)
    spend(minted)
    say(node, SHOWN, old)
    say(node, PROOF, old_proof)
    assert "an old head: of entry" in told(minted, "voucher", "proof", FIRST)


@pytest.mark.parametrize("off_s", [-(10**9), -300, 10**9, 300])
def test_a_clock_that_is_off_is_named(
    minted: Tally, node: FakeNode, profile: Profile, off_s: int
) -> None:
    verifier = Verifier(profile, NodeClient(node.url), now_s=lambda: time.time() + off_s)
    with pytest.raises(DishonestServer, match="this machine's clock"):
        verifier.head()


def test_a_voucher_that_changes_all_the_time_accuses_nobody(
    minted: Tally, node: FakeNode, profile: Profile
) -> None:
    class Busy(NodeClient):
        spent = 0
        most = 2

        def get_json(self, path: str, **query: str | int | None) -> dict[str, Any]:
            if path != SHOWN:
                return super().get_json(path, **query)
            if self.spent:
                self.spend()
            answered = super().get_json(path, **query)
            self.spend()
            return answered

        def spend(self) -> None:
            """Change the voucher, if it has not been changed often enough."""
            if Busy.spent < Busy.most:
                Busy.spent += 1
                spend(minted, f"order-{Busy.spent}")

    item, found = Verifier(profile, Busy(node.url)).voucher(FIRST)
    assert item["available"] == 100_000_000 - 2 * 100_000
    assert found.sequence == answer(node, SHOWN)["sequence"]
    Busy.most = 99
    with pytest.raises(NotCertain, match="changes faster"):
        Verifier(profile, Busy(node.url)).voucher(FIRST)


MALFORMED: dict[str, Any] = {
    "receipt": 5,
    "leaf": {"key": 5, "value_hash": "00"},
    "siblings": "none",
    "value": "00",
}


@pytest.mark.parametrize("field", MALFORMED)
def test_a_malformed_proof_is_a_finding(minted: Tally, node: FakeNode, field: str) -> None:
    say(node, PROOF, answer(node, PROOF) | {field: MALFORMED[field]})
    assert "serves a proof that is malformed" in told(minted, "voucher", "proof", FIRST)


def test_a_malformed_voucher_is_a_finding(minted: Tally, node: FakeNode) -> None:
    for sequence in ("1", True, 1.5, None):
        say(node, SHOWN, answer(node, SHOWN) | {"sequence": sequence})
        assert "a voucher that is malformed" in told(minted, "voucher", "proof", FIRST)
        del node.replies[SHOWN]
    lie = answer(node, SHOWN)
    lie["item"]["available"] = 100_000_000.0
    say(node, SHOWN, lie)
    shown = minted.json("voucher", "show", FIRST, "--verify")
    assert isinstance(shown["available_fen"], int), "what is shown is the proven record"


def test_what_another_log_of_the_same_name_left_behind_counts_for_nothing(
    minted: Tally, node: FakeNode, profile: Profile
) -> None:
    minted.must("voucher", "proof", FIRST)
    path = trust_path(profile.name)
    other = path.read_text().replace(node.log_id.hex(), "ab" * 32)
    path.write_text(json.dumps({"policy": rekeyed(json.loads(other)["policy"]), "head": None}))
    minted.must("voucher", "proof", FIRST)
    assert node.log_id.hex() in path.read_text()


def rekeyed(text: str) -> str:
    """Return a policy whose keys have the ids that their new names give them."""
    lines = []
    for line in text.splitlines():
        words = line.split(" ")
        for number, word in enumerate(words):
            if word.count("+") >= 2:
                name, _, encoded = word.split("+", 2)
                public = base64.b64decode(encoded)
                key = VerifierKey(name=name, type=KeyType(public[0]), public_key=public[1:])
                words[number] = key.text()
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("field", ["policy", "head"])
def test_a_damaged_file_of_what_was_learned_is_named(
    minted: Tally, profile: Profile, field: str
) -> None:
    minted.must("voucher", "proof", FIRST)
    path = trust_path(profile.name)
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: "junk"}))
    assert minted("voucher", "proof", FIRST) == 1
    assert f"{path} is damaged" in minted.err


def test_who_learned_less_takes_nothing_back(
    minted: Tally, node: FakeNode, profile: Profile
) -> None:
    """Two commands at once: the slower one has an older head in its hand."""
    old_head = node.answer("GET", "/log/checkpoint", b"").body

    class Slow(NodeClient):
        def get_bytes(self, path: str, **query: str | int | None) -> bytes:
            return old_head if path == "/log/checkpoint" else super().get_bytes(path, **query)

    slow = Verifier(profile, Slow(node.url))
    spend(minted)
    seen = Verifier(profile, NodeClient(node.url)).head().checkpoint
    with pytest.raises(DishonestServer, match="this wallet has seen"):
        slow.head()
    assert Verifier(profile, NodeClient(node.url)).seen() == seen


def test_a_given_policy_stays_and_one_that_tells_nothing_is_refused(
    minted: Tally, node: FakeNode, profile: Profile, tmp_path: Path
) -> None:
    learned = Verifier(profile, NodeClient(node.url)).policy.to_bytes().decode()
    given = tmp_path / "given.policy"
    strict = learned.replace("group validators 3", "group all 3").replace(
        "quorum validators", "quorum all"
    )
    given.write_text(strict)
    minted.must("profile", "trust", "--policy", str(given))
    minted.must("voucher", "proof", FIRST)
    assert json.loads(trust_path(profile.name).read_text())["policy"] == strict
    minted.must("profile", "trust", "--follow")
    minted.must("voucher", "proof", FIRST)
    assert json.loads(trust_path(profile.name).read_text())["policy"] == learned
    for text in (
        "".join(line for line in learned.splitlines(True) if line[:3] == "log") + "quorum none\n",
        "".join(line for line in learned.splitlines(True) if line[:3] != "log"),
        "junk",
    ):
        given.write_text(text)
        assert minted("profile", "trust", "--policy", str(given)) == 2, text
    minted.must("voucher", "proof", FIRST)


def test_a_server_without_a_quorum_is_no_liar(minted: Tally, node: FakeNode) -> None:
    node.prover.seconds_ago = verified.HEAD_AGE_MAX_S + 60
    say(node, "/v1/status", {"quorum_age_ms": 65_000})
    assert minted("voucher", "proof", FIRST) == 7
    assert "has seen no quorum for 65 s" in minted.err
    say(node, "/v1/status", {"quorum_age_ms": 100})
    assert "an old head: of entry" in told(minted, "voucher", "proof", FIRST)
    node.replies[PROOF] = problem(503, "proof_pending", "no head is published yet", retryable=True)
    say(node, "/v1/status", {"quorum_age_ms": 65_000})
    assert minted("voucher", "transfer", FIRST, "firm-b", "1.00", "--key", "firm-a/owner") == 7


def test_the_absence_of_a_record_is_proven(minted: Tally, node: FakeNode, profile: Profile) -> None:
    verifier = Verifier(profile, NodeClient(node.url))
    found = verifier.record(VOUCHERS.key("shanghai.compute.000000077"))
    assert (found.value, found.sequence) == (None, 0)


class Altered(NodeClient):
    """Answers with a proof of the test's own."""

    proof: dict[str, Any]

    def get_json(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """Return an answer."""
        return self.proof if path == PROOF else super().get_json(path, **query)


def test_no_altered_proof_says_anything_else(
    minted: Tally, node: FakeNode, profile: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused, or still proves the same: some bytes of a note are nobody's."""
    true = answer(node, PROOF)
    client = Altered(node.url)
    client.proof = true
    verifier = Verifier(profile, client)
    value = verifier.record(VOUCHERS.key(FIRST)).value
    dice, accepted, same = random.Random(MUTATIONS), 0, 0
    for _ in range(MUTATIONS):
        client.proof = mutated(true, dice)
        try:
            found = verifier._proven(VOUCHERS.key(FIRST))
        except DishonestServer:
            continue
        same += client.proof == true or found.value == value
        accepted += found.value != value
    with capsys.disabled():
        print(f"\n{MUTATIONS} altered proofs: {accepted} accepted, {same} prove the same")
    assert accepted == 0
    assert same < MUTATIONS // 20
