"""The same bill gives the same tag, and only by a key whose check value stands on the ledger."""

from pathlib import Path

import pytest

from ledger.devkeys import tag_key_of
from ledger.encoding.normal import (
    credit_check,
    invoice_number,
    invoice_tag,
    registration_tag,
    tag_key_check,
)
from tests.builders import seed
from tests.wallet.fake_node import MASTER, NETWORK, FakeNode
from tests.wallet.terminal import BUDGET, FIRST, Tally, credit_code, redemption
from tests.wallet.test_life import (
    BY,
    CLAIM,
    REVIEW,
    Later,
    _officers,
    claimed,
    later,
    refused,
    reserved,
)
from wallet.tags import EpochKey, tag_of

__all__ = ["claimed", "later", "reserved"]
KEY = tag_key_of(NETWORK, MASTER)
NEXT = seed("tag-key", "next")
BILL = "FP-2026-0001"
ENROL = (
    *("party", "enrol", "firm-b", "--city", "shanghai", "--class", "maker", "--name", "B"),
    *("--region", "310000", "--person", "owner", *BUDGET),
)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The network's tag key in a file."""
    path = tmp_path / "tag-key"
    path.write_text(KEY.hex() + "\n")
    return path


@pytest.fixture
def next_file(tmp_path: Path) -> Path:
    """The tag key of the second epoch in a file."""
    path = tmp_path / "next-tag-key"
    path.write_text(NEXT.hex())
    return path


def begin_second_epoch(tally: Tally, *more: str) -> None:
    """Have the members list the next tag key."""
    listed = ("--tag-key", f"2={tag_key_check(NEXT).hex()}", *more)
    tally.must("governance", "propose", "parameters", *listed, *BY)
    number = str(tally.json("governance", "list")[-1]["number"])
    for party in ("guiyang", "wuhan", "henan-province", "guian-hub"):
        words = ("governance", "vote", number, "--yes", "--by", party)
        tally.must(*words, *_officers(party))


@pytest.mark.parametrize(
    "typed",
    ["fp-2026-0001 ", "ＦＰ－２０２６－０００１", "FP-2026\u200b-0001", "FP\u20142026/0001"],
)
def test_a_bill_of_another_spelling_is_claimed_once(minted: Tally, typed: str) -> None:
    minted.must(*redemption(invoice=BILL))
    refused(minted, "invoice_used", *redemption(invoice=typed, amount="1"))


def test_a_firm_of_another_spelling_is_enrolled_once(funded: Tally) -> None:
    typed = f"\ufeff{credit_code('firm-a').lower()}\u3000"
    refused(funded, "registration_tag_taken", *ENROL, "--registration", typed)


def test_thirty_two_bytes_that_somebody_made_up_make_no_tag(
    minted: Tally, node: FakeNode, tmp_path: Path
) -> None:
    made_up = tmp_path / "made-up"
    made_up.write_text("07" * 32)
    sent = len(node.requests)
    assert minted(*redemption(**{"--tag-key": str(made_up)})) == 2
    assert f"its check value is {tag_key_check(bytes([7]) * 32).hex()}" in minted.err
    assert f"in force is {tag_key_check(KEY).hex()} (epoch 1)" in minted.err
    assert "Ask a city or an auditor" in minted.err
    assert not any("POST" in str(request) for request in node.requests[sent:])


def test_the_networks_key_in_a_file_is_the_one_that_a_dev_network_derives(
    minted: Tally, key_file: Path
) -> None:
    minted.must(*redemption(invoice=BILL, **{"--tag-key": str(key_file)}))
    shown = minted.json("claim", "show", CLAIM)["invoice"]
    assert shown["tag"] == invoice_tag(KEY, "guian-hub", invoice_number(BILL)).hex()
    assert shown["tag_epoch"] == 1


@pytest.mark.parametrize(
    ("option", "typed", "said"),
    [
        ("--invoice", "12345678", "got 8 digits"),
        ("--invoice", "2.4E+19", "character 5 is U+002B"),
        ("--invoice", " \u200b", "never empty"),
        ("--contract", "〔〕/7/2026-01-01/2026-12-31", "never empty"),
    ],
)
def test_a_number_that_is_none_exits_2(minted: Tally, option: str, typed: str, said: str) -> None:
    assert minted(*redemption(**{option: typed})) == 2
    assert said in minted.err


def test_a_registration_number_with_a_wrong_check_character_exits_2(funded: Tally) -> None:
    code = credit_code("firm-b")
    wrong = code[:17] + ("1" if code[17] == "0" else "0")
    assert funded(*ENROL, "--registration", wrong) == 2
    assert f"the check character of the 17 before is {credit_check(code[:17])}" in funded.err


def test_a_tag_made_elsewhere_is_of_the_newest_epoch_unless_one_is_named(minted: Tally) -> None:
    words = list(redemption())
    words[words.index("--invoice") : words.index("--invoice") + 2] = ["--invoice-tag", "ab" * 32]
    refused(minted, "tag_epoch_unknown", *words, "--tag-epoch", "2")
    begin_second_epoch(minted)
    minted.must(*words)
    assert minted.json("claim", "show", CLAIM)["invoice"]["tag_epoch"] == 2


def test_a_bill_from_before_keeps_its_tag_while_two_epochs_overlap(
    minted: Tally, key_file: Path, next_file: Path
) -> None:
    minted.must(*redemption(invoice=BILL))
    begin_second_epoch(minted)
    both = [word for path in (next_file, key_file) for word in ("--tag-key", str(path))]
    refused(minted, "invoice_used", *redemption(invoice=BILL, amount="1"), *both)
    minted.must(*redemption(invoice="FP-2", amount="150", net="500"), *both)
    (_, second) = minted.json("claim", "list")
    assert second["invoice"]["tag_epoch"] == 2
    assert second["invoice"]["tag"] == invoice_tag(NEXT, "guian-hub", "FP2").hex()


def test_an_epoch_that_ended_makes_no_tag(minted: Tally, key_file: Path) -> None:
    begin_second_epoch(minted, "--end-tag-epoch", "1")
    assert minted(*redemption(**{"--tag-key": str(key_file)})) == 2
    assert "(epoch 2)" in minted.err


def test_whoever_decides_finds_a_bill_that_was_shown_under_another_key(
    claimed: Tally, later: Later, key_file: Path, next_file: Path
) -> None:
    begin_second_epoch(claimed)
    second = redemption(invoice="INV-1", amount="100", **{"--tag-key": str(next_file)})
    claimed.must(*second)
    later(7 * 86_400_000)
    decide = ("claim", "decide", CLAIM, "--all", "--invoice", "INV-1", *REVIEW)
    both = ("--tag-key", str(key_file), "--tag-key", str(next_file))
    assert claimed(*decide, *both) == 2
    assert "was claimed with guian-hub.000000002, under another tag key" in claimed.err
    assert claimed(*decide, "--tag-key", str(next_file)) == 2
    assert f"{CLAIM} has a tag of epoch 1: name its --tag-key" in claimed.err


def test_a_number_keeps_the_epoch_that_the_ledger_knows_it_by() -> None:
    keys = (EpochKey(1, KEY), EpochKey(2, NEXT))
    code = credit_code("firm-a")

    def make(key: bytes) -> bytes:
        return registration_tag(key, code)

    for of, key in ((1, KEY), (2, NEXT)):
        assert tag_of(keys, make, [make(key).hex()].copy) == (of, make(key))
    assert tag_of(keys, make, list) == (2, make(NEXT))
    assert KEY.hex() not in repr(keys)
    assert repr(KEY) not in repr(keys)


def test_a_tag_key_is_made_once_and_shows_its_check_value(tally: Tally, tmp_path: Path) -> None:
    path = tmp_path / "new-key"
    made = tally.json("wallet", "tag-key", str(path))
    assert made["new"] is True
    assert path.stat().st_mode & 0o777 == 0o600
    key = bytes.fromhex(path.read_text())
    assert made["check_value"] == tag_key_check(key).hex()
    assert tally.json("wallet", "tag-key", str(path)) == made | {"new": False}
    assert bytes.fromhex(path.read_text()) == key
    path.write_text("07")
    assert tally("wallet", "tag-key", str(path)) == 2
    assert "has 1 bytes, expected 32" in tally.err
    assert tally("wallet", "tag-key", str(tmp_path / "no" / "folder")) == 2


@pytest.mark.parametrize("listed", ["2", "two=" + "ab" * 32, "2=ab"])
def test_a_tag_key_in_wrong_words_exits_2(tally: Tally, listed: str) -> None:
    assert tally("governance", "propose", "parameters", "--tag-key", listed, *BY) == 2


def test_another_key_for_an_epoch_in_force_is_refused(tally: Tally) -> None:
    words = ("governance", "propose", "parameters", *BY)
    listed = f"1={tag_key_check(NEXT).hex()}"
    refused(tally, "action_invalid", *words, "--tag-key", listed)
    refused(tally, "action_invalid", *words, "--tag-key", listed, "--end-tag-epoch", "1")


def test_a_hidden_character_is_named_before_anything_is_signed(
    minted: Tally, node: FakeNode
) -> None:
    assert minted(*redemption(**{"--order": "order\u200b1"})) == 2
    assert "order: character 6, U+200B, is an invisible or format character" in minted.err
    assert FIRST not in minted.out
