"""The wallet's commands, from the words typed to the ledger and back, in every output mode."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desk.drafts import OFFLINE_LIFE_MS
from ledger.rules import calendar
from ledger.rules.vouchers import VOUCHERS, MintRow
from ledger.transactions import parse
from tests.builders import NOON_MS
from tests.wallet.fake_node import NETWORK, FakeNode, Reply, ok, unused_url
from tests.wallet.terminal import (
    BUDGET,
    DAY,
    FACTS,
    FIRST,
    MINT,
    PROGRAMME,
    Tally,
    enrol,
    granting,
    redemption,
)
from wallet import signing
from wallet.commands import minting
from wallet.profile import NodeAddress, Profile, keys_folder, load_profile, save_profile
from words import dates

# Flow


def test_a_voucher_goes_from_programme_to_settlement(minted: Tally) -> None:
    redeemed = minted.json(*redemption())
    assert (redeemed["status"], redeemed["decided"]) == ("final", "burned")
    assert redeemed["amount_fen"] == 30_000
    shown = minted.json("voucher", "show", FIRST)
    assert (shown["available_fen"], shown["redeemed_fen"]) == (99_970_000, 30_000)
    (claim,) = minted.json("claim", "list", "--centre", "guian-hub")
    assert (claim["accepted_fen"], claim["status"]) == (30_000, "accepted")
    assert minted.json("claim", "show", claim["id"])["lines"][0]["amount_fen"] == 30_000
    (payable,) = minted.json("settlement", "statement", "--creditor", "guian-hub")
    assert (payable["debtor"], payable["cause"]) == ("shanghai", claim["id"])
    assert payable["amount_fen"] == 30_000


def grant_in_wuhan(tally: Tally) -> None:
    """Grant firm-w a voucher of 1,000 yuan that it may pass on to firm-x."""
    city = ("--key", "wuhan/officer-1", "--key", "wuhan/officer-2")
    tally.must("programme", "publish", "wuhan.compute", "--facts", FACTS, *city)
    tally.must("programme", "appropriate", "wuhan.compute", "1000000", *city)
    for firm in ("firm-w", "firm-x"):
        enrol(tally, firm, city="wuhan", region="420100")
    mint = ("--key", "wuhan/officer-3", "--key", "wuhan/officer-4")
    tally.must("voucher", "mint", "wuhan.compute", "--row", "firm-w=1000@17", *mint)


def test_a_transfer_makes_a_voucher_of_the_recipients_own(tally: Tally) -> None:
    grant_in_wuhan(tally)
    passes = ("voucher", "transfer", "wuhan.compute.000000001", "firm-x", "400")
    made = tally.json(*passes, "--key", "firm-w/owner", "--key", "firm-x/owner")

    assert (made["voucher"], made["amount_fen"]) == ("wuhan.compute.000000002", 40_000)
    child = tally.json("voucher", "show", made["voucher"])
    assert (child["holder"], child["face_fen"]) == ("firm-x", 40_000)
    first, second = tally.json("voucher", "history", "wuhan.compute.000000001")
    assert (first["available_fen"], second["available_fen"]) == (100_000, 60_000)


def test_holder_and_recipient_sign_a_transfer_at_two_desks(tally: Tally, tmp_path: Path) -> None:
    grant_in_wuhan(tally)
    passes = ("voucher", "transfer", "wuhan.compute.000000001", "firm-x", "400")
    alone = tally.json(*passes, "--key", "firm-w/owner", exits=4)["error"]
    assert alone["details"]["code"] == "signature_missing"
    assert alone["details"]["values"]["party"] == "firm-x"
    assert "--save" in alone["message"], "it says how the other one signs"
    file = str(tmp_path / "transfer.tx")
    tally.must(*passes, "--key", "firm-w/owner", "--save", file)
    until = f"it can become final until {dates.moment(NOON_MS + calendar.DAY_MS)} (1 d from now)"
    assert until in tally.err
    for words in (("tx", "sign", file, "--key", "firm-x/owner"), ("tx", "send", file)):
        tally.must(*words)
        assert "firm-w passes 400.00 yuan" in tally.err
        assert until in tally.err
    assert tally.json("voucher", "show", "wuhan.compute.000000002")["holder"] == "firm-x"


@pytest.mark.parametrize(
    ("expires_in", "told"),
    [((), "10 min"), (("--expires-in", "90m"), "1 h"), (("--expires-in", "59s"), "59 s")],
)
def test_what_is_signed_and_sent_says_until_when(
    funded: Tally, node: FakeNode, expires_in: tuple[str, ...], told: str
) -> None:
    funded.must("voucher", "mint", PROGRAMME, "--row", "firm-a=1@17", *MINT, *expires_in)
    expires_at = parse(node.received[-1]).body.expires_at
    assert f"until {dates.moment(expires_at)} ({told} from now)" in funded.err


def test_a_recipient_withdraws_a_transfer_before_it_is_sent(tally: Tally, tmp_path: Path) -> None:
    grant_in_wuhan(tally)
    passes = ("voucher", "transfer", "wuhan.compute.000000001", "firm-x", "400")
    file = str(tmp_path / "transfer.tx")
    tally.must(*passes, "--key", "firm-w/owner", "--key", "firm-x/owner", "--save", file)
    made = tally.json("tx", "withdraw", file, "--key", "firm-x/owner")
    assert (made["status"], made["party"]) == ("final", "firm-x")
    assert made["withdrawn"] == tally.json("tx", "decode", file)["transaction"]
    assert tally("tx", "simulate", file) == 4
    assert "signature_withdrawn: firm-x has withdrawn its signature" in tally.err
    tally.must(*passes, "--key", "firm-w/owner", "--key", "firm-x/owner", "--expires-in", "1h")


def test_what_is_logged_cannot_be_withdrawn(tally: Tally, tmp_path: Path) -> None:
    grant_in_wuhan(tally)
    passes = ("voucher", "transfer", "wuhan.compute.000000001", "firm-x", "400")
    file = str(tmp_path / "transfer.tx")
    tally.must(*passes, "--key", "firm-w/owner", "--key", "firm-x/owner", "--save", file)
    tally.must("tx", "send", file)
    failure = tally.json("tx", "withdraw", file, "--key", "firm-w/owner", exits=4)["error"]
    assert failure["details"]["status"] == "final"
    assert failure["message"].endswith("nothing takes it back")
    assert tally("tx", "withdraw", file, "--save", str(tmp_path / "away.tx")) == 2
    assert "--party" in tally.err


def test_what_was_refused_can_be_withdrawn_since_a_copy_may_be_sent_again(
    tally: Tally, tmp_path: Path
) -> None:
    grant_in_wuhan(tally)
    file = str(tmp_path / "transfer.tx")
    passes = ("voucher", "transfer", "wuhan.compute.000000001", "firm-x", "400")
    tally.must(*passes, "--key", "firm-w/owner", "--save", file)
    assert tally("tx", "send", file) == 4
    assert "signature_missing" in tally.err
    made = tally.json("tx", "withdraw", file, "--key", "firm-w/owner")
    assert (made["status"], made["party"]) == ("final", "firm-w")
    tally.must("tx", "sign", file, "--key", "firm-x/owner")
    assert tally("tx", "send", file) == 4
    assert "signature_withdrawn" in tally.err


def test_what_waits_on_a_node_is_listed_by_party(tally: Tally, node: FakeNode) -> None:
    shared = {"kind": "voucher.transfer", "expires_at": NOON_MS, "message": "", "values": {}}
    node.page = 1
    node.waiting = [
        {"id": "11" * 32, "status": "pending", "code": "ok", "says": "a passes", **shared}
        | {"signers": [{"party": "firm-a", "person": "owner"}]},
        {"id": "22" * 32, "status": "refused", "code": "voucher_exhausted", **shared}
        | {"says": "b passes", "values": {"asked": 200, "available": 100}}
        | {"signers": [{"party": name, "person": "owner"} for name in ("firm-b", "firm-a")]},
    ]
    rows = tally.json("tx", "pending")
    assert [row["transaction"][:2] for row in rows] == ["11", "22"]
    assert rows[1]["signed_by"] == "firm-b/owner, firm-a/owner"
    assert (rows[0]["code"], rows[1]["code"]) == ("ok", "voucher_exhausted")
    assert "asked 2.00 yuan" in rows[1]["message"]
    assert rows[1]["expires"] == dates.moment(NOON_MS)
    (row,) = tally.json("tx", "pending", "--party", "firm-b")
    assert row["says"] == "b passes"
    assert tally.json("tx", "pending", "--party", "firm-c") == []


def test_a_transfer_against_the_terms_exits_4_and_sends_nothing(
    minted: Tally, node: FakeNode
) -> None:
    enrol(minted, "firm-b")
    before = len(node.received)
    failure = minted.json(
        *("voucher", "transfer", FIRST, "firm-b", "1"),
        *("--key", "firm-a/owner", "--key", "firm-b/owner"),
        exits=4,
    )["error"]
    assert failure["details"]["code"] == "transfer_not_allowed"
    assert failure["message"].endswith("nothing was sent")
    assert len(node.received) == before


def test_too_much_is_refused_with_its_amounts(minted: Tally) -> None:
    failure = minted.json(*redemption(amount="300.01"), exits=4)["error"]
    assert failure["details"]["code"] == "rate_exceeded"
    assert failure["details"]["number"] == 610


def test_one_officer_is_not_enough(funded: Tally) -> None:
    failure = funded.json(
        *("voucher", "mint", PROGRAMME, "--row", "firm-a=1@17", "--key", "shanghai/officer-3"),
        exits=4,
    )["error"]
    assert failure["details"]["code"] == "four_eyes_missing"


def test_an_unregistered_key_exits_6(funded: Tally) -> None:
    words = ("voucher", "mint", PROGRAMME, "--row", "firm-a=1@17", "--key", "stranger/owner")
    failure = funded.json(*words, exits=6)["error"]
    assert failure["details"]["code"] == "key_unknown"


# Mint


def test_a_mint_answers_with_a_row_per_voucher(funded: Tally) -> None:
    enrol(funded, "firm-b")
    rows = funded.json(
        "voucher", "mint", PROGRAMME, "--row", "firm-a=1.5@17", "--row", "firm-b=2@17", *MINT
    )
    assert [(row["voucher"], row["holder"], row["amount_fen"]) for row in rows] == [
        (FIRST, "firm-a", 150),
        (f"{PROGRAMME}.000000002", "firm-b", 200),
    ]
    assert len({row["transaction"] for row in rows}) == 1


def test_a_mint_takes_its_rows_from_a_spreadsheet(funded: Tally, tmp_path: Path) -> None:
    path = tmp_path / "grants.csv"
    path.write_text(
        f'holder,yuan,decision\nfirm-a,"1,000.50",{"ab" * 32}\nfirm-a,7,17\n',
        encoding="utf-8-sig",
    )
    rows = funded.json("voucher", "mint", PROGRAMME, "--csv", str(path), *MINT)
    assert [row["amount_fen"] for row in rows] == [100_050, 700]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("holder;yuan\n", "columns holder, yuan, decision"),
        ("holder,yuan\n", "columns decision"),
        ('"holder"x,yuan\n', "line 1: "),
        ("holder,yuan,decision\nfirm-a,1.234,17\n", "line 2 (firm-a): '1.234' is not an amount"),
        ("holder,yuan,decision\nfirm-a\n", "line 2 (firm-a): expected a holder and an amount"),
        ("holder,yuan,decision\nfirm-a,1\n", "line 2 (firm-a): expected the number of the grant"),
        ("holder,yuan,decision\nfirm-a,1,\u3000\n", "expected the number of the grant decision"),
        ("holder,yuan,decision\n", "name whom to grant what"),
    ],
)
def test_a_wrong_spreadsheet_is_refused_by_line(
    funded: Tally, tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "grants.csv"
    path.write_text(text)
    assert funded("voucher", "mint", PROGRAMME, "--csv", str(path), *MINT) == 2
    assert complaint in funded.err


MALFORMED = (
    "holder,yuan,decision\n"
    "firm-a,-3,1\n"
    "firm-a,10,2\n"
    "\n"
    'firm-a,1.005,"a\nb"\n'
    ",5,4\n"
    "nobody,5,5\n"
    "firm-a,5,\n"
    "firm-a,0,7\n"
    "Firm A,5,8\n"
    "firm-a,1,000.50,\n"
    "firm-a,5,9,6\n"
    '"firm-a"x,5,10\n'
    '"firm-a,5,11\n'
    "firm-a,5,12\n"
)
MALFORMED_LINES = [2, 5, 7, 9, 10, 11, 12, 13, 14, 15]
REFUSED_LINES = [(8, "party_unknown")]


def test_a_dry_run_names_every_malformed_line_with_those_that_would_be_refused(
    funded: Tally, node: FakeNode, tmp_path: Path
) -> None:
    path = tmp_path / "grants.csv"
    path.write_text(MALFORMED)
    sent = len(node.received)
    words = (
        "--row",
        "firm-a=1@17",
        "--row",
        "stranger=1@17",
        "--csv",
        str(path),
        *MINT,
        "--dry-run",
    )
    failure = funded.json("voucher", "mint", PROGRAMME, *words, exits=2)["error"]
    bad = failure["details"]["bad_rows"]
    assert (bad[0]["row"], bad[0]["code"]) == (2, "party_unknown")
    lines = [(row["line"], row["code"]) for row in bad[1:]]
    assert lines == sorted([(line, "line_malformed") for line in MALFORMED_LINES] + REFUSED_LINES)
    told = failure["message"].splitlines()[1:]
    assert [one.replace(":", "").split()[:2] for one in told] == [
        ["row", "2"],
        *(["line", str(line)] for line, _ in lines),
    ]
    assert "'-3' is not an amount" in failure["message"]
    assert "expected the number of the grant decision" in failure["message"]
    assert len(node.received) == sent


def test_malformed_lines_are_all_named_before_a_node_is_asked(
    funded: Tally, node: FakeNode, tmp_path: Path
) -> None:
    path = tmp_path / "grants.csv"
    path.write_text(MALFORMED)
    sent, tried = len(node.received), len(node.rehearsed)
    words = ("voucher", "mint", PROGRAMME, "--csv", str(path), *MINT)
    for more in ((), ("--save", str(tmp_path / "grants.tx"))):
        failure = funded.json(*words, *more, exits=2)["error"]
        bad = failure["details"]["bad_rows"]
        assert [row["line"] for row in bad] == MALFORMED_LINES
    assert (len(node.received), len(node.rehearsed)) == (sent, tried)
    assert not (tmp_path / "grants.tx").exists()


def test_malformed_lines_are_named_though_the_others_cannot_be_tried(
    funded: Tally, tmp_path: Path
) -> None:
    path = tmp_path / "grants.csv"
    path.write_text("holder,yuan,decision\nfirm-a,1,1\nfirm-a,-1,2\n")
    words = ("voucher", "mint", PROGRAMME, "--csv", str(path), *MINT[:2], "--dry-run")
    failure = funded.json(*words, exits=2)["error"]
    assert [row["line"] for row in failure["details"]["bad_rows"]] == [3]
    assert "four_eyes_missing" in failure["message"]


def test_rows_of_a_file_are_numbered_by_its_lines(
    funded: Tally, node: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 1)
    path = tmp_path / "grants.csv"
    path.write_text("holder,yuan,decision\nfirm-a,1,1\n\nnobody,2,2\n")
    words = ("voucher", "mint", PROGRAMME, "--csv", str(path), *MINT)
    failure = funded.json(*words, exits=4)["error"]
    (bad,) = failure["details"]["bad_rows"]
    assert (bad["line"], bad["code"]) == (4, "party_unknown")
    assert "line 4 (nobody): " in failure["message"]
    path.write_text("holder,yuan,decision\nnobody,2,2\n")
    (bad,) = funded.json(*words, "--dry-run", exits=4)["error"]["details"]["bad_rows"]
    assert (bad["line"], bad["code"]) == (2, "party_unknown")

    path.write_text("holder,yuan,decision\nfirm-a,1,1\n\nfirm-a,2,2\n")
    node.submissions = [None, {"status": "refused", "code": "voucher_exhausted", "number": 502}]
    failure = funded.json(*words, exits=4)["error"]
    details = failure["details"]
    assert (details["final_rows"], details["tried_lines"]) == (1, [4, 4])
    assert details["go_on_from_line"] == 4
    assert "final: 1 of 2, line 2 (" in failure["message"]
    assert failure["message"].endswith("go on from line 4")


def test_a_clerk_who_mints_a_batch_again_is_refused_before_anybody_signs(
    funded: Tally, node: FakeNode, tmp_path: Path
) -> None:
    enrol(funded, "firm-b")
    path = tmp_path / "grants.csv"
    path.write_text("holder,yuan,decision\nfirm-a,1,沪〔2026〕17号\nfirm-b,2,沪〔2026〕17号\n")
    words = ("voucher", "mint", PROGRAMME, "--csv", str(path))
    funded.must(*words, *MINT)
    batch = next(line for line in funded.err.splitlines() if line.startswith("batch "))
    path.write_text("holder,yuan,decision\nfirm-a,3,18\nfirm-b,2,沪[2026] 17号\n")
    sent = len(node.received)
    saved = str(tmp_path / "again.tx")
    for more in (MINT, ("--save", saved), (*MINT[:2], "--save", saved), (*MINT, "--dry-run")):
        assert funded(*words, *more) == 4
        assert "decision_minted: decision " in funded.err
        assert f"is minted: voucher {PROGRAMME}.000000002" in funded.err
        assert funded.err.endswith("another one has a number of its own\n")
    assert len(node.received) == sent
    assert not Path(saved).exists()
    path.write_text("holder,yuan,decision\nfirm-a,1,沪〔2026〕17号\nfirm-b,2,沪(2026)17号\n")
    assert funded(*words, *MINT) == 4
    assert batch in funded.err, "the same rows are the same batch"


def test_two_rows_of_one_decision_are_named_before_a_node_is_asked(
    funded: Tally, node: FakeNode
) -> None:
    tried = len(node.rehearsed)
    words = ("--row", "firm-a=1@17", "--row", "firm-a=2@18", "--row", "firm-a=1@ １７ ")
    failure = funded.json("voucher", "mint", PROGRAMME, *words, *MINT, exits=2)["error"]
    assert "row 3 (firm-a): names the decision of row 1" in failure["message"]
    assert failure["details"]["code"] == "decision_minted"
    assert len(node.rehearsed) == tried


def test_more_rows_than_a_transaction_holds_become_several(
    funded: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 2)
    words = granting(*["firm-a=1"] * 5)
    rows = funded.json("voucher", "mint", PROGRAMME, *words, *MINT)
    assert len({row["transaction"] for row in rows}) == 3
    assert [row["voucher"][-1] for row in rows] == ["1", "2", "3", "4", "5"]


def test_several_transactions_are_saved_to_a_file_each(
    funded: Tally, node: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 2)
    sent = len(node.received)
    words = granting(*["firm-a=1"] * 5)
    here, there = MINT[:2], MINT[2:]
    save = ("voucher", "mint", PROGRAMME, *words, *here, "--save", str(tmp_path / "grants.tx"))
    rows = funded.json(*save)
    assert [Path(row["file"]).name for row in rows] == [
        *("grants-1.tx", "grants-2.tx", "grants-3.tx"),
    ]
    assert len({row["transaction"] for row in rows}) == 3
    assert len(node.received) == sent
    assert funded(*save) == 2, "nothing is overwritten"
    for row in rows:
        funded.must("tx", "sign", row["file"], *there)
        funded.must("tx", "send", row["file"])
    assert len(funded.json("voucher", "list")) == 5


def test_a_dry_run_of_several_transactions_tries_all_and_sends_nothing(
    funded: Tally, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 2)
    enrol(funded, "firm-b")
    sent = len(node.received)
    words = granting(*["firm-a=1", "firm-b=2"] * 2)
    tried = funded.json("voucher", "mint", PROGRAMME, *words, *MINT, "--dry-run")
    assert (tried["effect"], tried["transactions"], tried["rows"]) == ("accepted", 2, 4)
    assert (tried["amount_fen"], tried["caps_known_per_transaction_only"]) == (600, [])
    one_more = ("--row", "firm-a=1@one more", *MINT, "--dry-run")
    tried = funded.json("voucher", "mint", PROGRAMME, *words, *one_more)
    assert tried["caps_known_per_transaction_only"] == ["firm-a"]
    assert "can't hold all their rows: the caps of firm-a" in funded.err
    assert len(node.received) == sent


def test_a_cap_that_rows_of_several_transactions_pass_together_shows_in_a_dry_run(
    funded: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 3)
    enrol(funded, "firm-b")
    cap = funded.json("programme", "show", PROGRAMME)["terms"]["caps"]["holder_year_issued"]
    half = cap // 200 + 1
    rows = [f"firm-a={half}", "firm-b=1", "firm-b=1", f"firm-a={half}"]
    words = granting(*rows)
    failure = funded.json("voucher", "mint", PROGRAMME, *words, *MINT, "--dry-run", exits=4)
    (bad,) = failure["error"]["details"]["bad_rows"]
    assert (bad["row"], bad["holder"], bad["code"]) == (4, "firm-a", "holder_cap_exceeded")


def test_a_group_cap_that_two_holders_pass_together_shows_in_a_dry_run(
    funded: Tally, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 2)
    terms = funded.json("programme", "show", PROGRAMME)["terms"]
    terms["caps"]["group_year_issued"] = 1_000
    path = tmp_path / "terms.json"
    path.write_text(json.dumps(terms))
    funded.must("programme", "publish", PROGRAMME, "--terms", str(path), *BUDGET)
    for party in ("firm-x", "firm-y"):
        enrol(funded, party, parent="MOON")
    rows = ["firm-x=6", "firm-a=20", "firm-a=20", "firm-y=6"]
    words = granting(*rows)
    failure = funded.json("voucher", "mint", PROGRAMME, *words, *MINT, "--dry-run", exits=4)
    (bad,) = failure["error"]["details"]["bad_rows"]
    assert (bad["row"], bad["code"]) == (4, "group_cap_exceeded")


def test_rows_beyond_the_budget_are_named_in_a_dry_run(
    funded: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 2)
    funded.must("programme", "appropriate", PROGRAMME, "4,999,990", "--take-back", *BUDGET)
    words = granting("firm-a=6", "firm-a=5", "firm-a=4", "firm-a=1")
    failure = funded.json("voucher", "mint", PROGRAMME, *words, *MINT, "--dry-run", exits=4)
    bad = failure["error"]["details"]["bad_rows"]
    assert [(row["row"], row["code"]) for row in bad] == [
        (2, "appropriation_exceeded"),
        (4, "appropriation_exceeded"),
    ]
    assert bad[0]["values"]["available"] == 400


def test_a_batch_stays_below_the_bytes_of_a_transaction() -> None:
    row = MintRow(holder="x" * 32, amount=2**53 - 1, decision=b"\xff" * 32)
    batches = list(minting.batches_of([row] * 1_500))
    assert sum(len(batch) for batch in batches) == 1_500
    assert len(batches) == 3


def test_a_mint_of_several_transactions_is_refused_whole_with_its_bad_rows(
    funded: Tally, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 4)
    sent = len(node.received)
    rows = ["firm-a=1"] * 10
    rows[2], rows[8] = "firm-a=9,000,000", "nobody=1"
    words = granting(*rows)
    failure = funded.json("voucher", "mint", PROGRAMME, *words, *MINT, exits=4)["error"]
    bad = failure["details"]["bad_rows"]
    assert [(row["row"], row["code"]) for row in bad] == [
        (3, "holder_cap_exceeded"),
        (9, "party_unknown"),
    ]
    assert failure["message"].startswith("nothing was sent")
    assert len(node.received) == sent


def test_the_row_that_is_too_much_after_those_before_it_is_named(
    funded: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 2)
    cap = funded.json("programme", "show", PROGRAMME)["terms"]["caps"]["holder_year_issued"]
    half = cap // 200 + 1
    words = granting(f"firm-a={half}", f"firm-a={half}", "firm-a=1")
    failure = funded.json("voucher", "mint", PROGRAMME, *words, *MINT, exits=4)["error"]
    (bad,) = failure["details"]["bad_rows"]
    assert (bad["row"], bad["code"]) == (2, "holder_cap_exceeded")


def test_the_search_for_bad_rows_has_an_end(funded: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 2)
    monkeypatch.setattr(minting, "BAD_ROWS_MAX", 3)
    words = granting(*["nobody=1"] * 9)
    failure = funded.json("voucher", "mint", PROGRAMME, *words, *MINT, exits=4)["error"]
    assert 3 <= len(failure["details"]["bad_rows"]) <= 4
    assert "looked no further than 3" in failure["message"]


LOST_QUORUM = {
    "name": "shanghai",
    "height": 1,
    "time_ms": 0,
    "record_hash": "",
    "quorum_age_ms": 9_000,
}


@pytest.mark.parametrize(
    ("ending", "exits", "is_open", "go_on"),
    [
        ({"status": "refused", "code": "voucher_exhausted", "number": 502}, 4, False, 2),
        ({"status": "pending", "node": LOST_QUORUM}, 7, True, 3),
    ],
)
def test_a_mint_that_stops_half_way_says_what_is_final_and_where_to_go_on(
    funded: Tally,
    node: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
    ending: dict[str, Any],
    exits: int,
    is_open: bool,
    go_on: int,
) -> None:
    monkeypatch.setattr(minting, "MINT_ROWS_MAX", 1)
    node.submissions = [None, ending]
    words = granting("firm-a=1", "firm-a=2", "firm-a=3")
    failure = funded.json("voucher", "mint", PROGRAMME, *words, *MINT, exits=exits)["error"]
    details = failure["details"]
    assert (details["final_rows"], details["tried_rows"]) == (1, [2, 2])
    assert (details["tried_rows_are_open"], details["go_on_from_row"]) == (is_open, go_on)
    (final,) = details["final_transactions"]
    assert f"final: 1 of 3, row 1 ({final})" in failure["message"]
    assert f"go on from row {go_on}" in failure["message"]
    assert "nothing was sent" not in failure["message"]


# What people see


def test_a_refusal_shows_people_yuan_and_programs_fen(minted: Tally) -> None:
    assert minted(*redemption(amount="300.01")) == 4
    assert "asked 300.01 yuan, 30.00 % of 1,000.00 yuan give 300.00 yuan" in minted.err
    failure = minted.json(*redemption(amount="300.01"), exits=4)["error"]
    assert "asked 300.01 yuan" in failure["message"], "the same sentence, beside typed values"
    assert failure["details"]["values"]["asked"] == 30_001


def test_device_time_in_a_refusal_is_told_in_hours(minted: Tally) -> None:
    assert minted(*redemption(**{"--usage": f"ascend-910b:{DAY}:999999"})) == 4
    assert "asked 999,999 h, free 48,000 h" in minted.err


def test_a_dry_run_and_the_caps_of_a_programme_are_shown_in_yuan(funded: Tally) -> None:
    funded.must("voucher", "mint", PROGRAMME, "--row", "firm-a=1000000@17", *MINT, "--dry-run")
    assert "amount (yuan) 1,000,000.00" in funded.out
    funded.must("programme", "show", PROGRAMME)
    assert "holder year issued (yuan) " in funded.out
    assert "00000000" not in funded.out.replace(PROGRAMME, "")


# Effects without a trace


def test_a_dry_run_shows_the_effect_at_a_height_and_changes_nothing(
    funded: Tally, node: FakeNode
) -> None:
    before = node.chain.ledger.last()
    sent = len(node.received)
    words = ("voucher", "mint", PROGRAMME, "--row", "firm-a=1000000@17", *MINT, "--dry-run")
    effect = funded.json(*words)
    assert (effect["effect"], effect["height"]) == ("accepted", before.height)
    assert effect["postings"][0]["amount_fen"] == 100_000_000
    assert node.chain.ledger.last() == before
    assert len(node.received) == sent
    assert all(value == bytes(64) for _, value in parse(node.rehearsed[-1]).signatures)


def test_a_dry_run_of_what_would_be_refused_exits_4(funded: Tally) -> None:
    words = ("voucher", "mint", PROGRAMME, "--row", "firm-a=9000000@17", *MINT, "--dry-run")
    failure = funded.json(*words, exits=4)["error"]
    assert failure["details"]["code"] == "holder_cap_exceeded"


# Outcomes that are not final


def test_a_lost_quorum_exits_7_with_a_plain_sentence(funded: Tally, node: FakeNode) -> None:
    node.quorum_age_ms = 9_000
    assert funded("voucher", "mint", PROGRAMME, "--row", "firm-a=1@17", *MINT) == 7
    assert funded.out == ""
    assert "shanghai has seen no quorum for 9 s; nothing can become final now." in funded.err
    assert "wait with: tally tx wait" in funded.err


def test_not_waiting_exits_5_and_waiting_later_exits_0(funded: Tally, node: FakeNode) -> None:
    node.submissions = [{"status": "pending"}]
    words = ("programme", "appropriate", PROGRAMME, "1", *BUDGET, "--no-wait")
    details = funded.json(*words, exits=5)["error"]["details"]
    assert node.chain.ledger.last().height > 0
    node.replies[f"/v1/transactions/{details['id']}"] = ok(
        node.document(details["id"], status="final", height=9)
    )
    waited = funded.json("tx", "wait", details["id"], "--expires-at", str(details["expires_at"]))
    assert (waited["transaction"], waited["height"]) == (details["id"], 9)


def test_no_node_exits_7(funded: Tally, profile: Profile) -> None:
    nowhere = NodeAddress(name="nowhere", url=unused_url())
    save_profile(
        Profile(
            name="gone",
            network=NETWORK,
            log_id=profile.log_id,
            nodes=(nowhere,),
            dev_seed=profile.dev_seed,
        )
    )
    assert funded("programme", "list", "--profile", "gone") == 7
    words = ("programme", "appropriate", PROGRAMME, "1", *BUDGET, "--profile", "gone")
    assert funded(*words) == 7
    assert f"no node answers at {nowhere.url}" in funded.err
    assert "rrno" not in funded.err


# Usage


@pytest.mark.parametrize(
    "words",
    [
        ("voucher", "mint", PROGRAMME, "--row", "firm-a=1@17"),
        ("voucher", "mint", PROGRAMME, *MINT),
        ("voucher", "mint", PROGRAMME, "--row", "firm-a", *MINT),
        ("voucher", "mint", PROGRAMME, "--row", "firm-a=-1@17", *MINT),
        ("voucher", "mint", PROGRAMME, "--row", "Firm A=1@17", *MINT),
        ("voucher", "transfer", FIRST, "firm-b", "0.001", "--key", "firm-a/owner"),
        ("programme", "show", "shanghai"),
        ("programme", "publish", "shanghai.other", *BUDGET),
        ("programme", "appropriate", PROGRAMME, "1", "--expires-in", "10", *BUDGET),
        ("centre", "list", "--holder", "firm-a"),
        ("tx", "show", "abc"),
        ("profile", "add", "x", "--node", "ftp://host"),
    ],
    ids=[
        "no key",
        "no row",
        "no amount",
        "a sign",
        "no id",
        "a third decimal",
        "no slug",
        "no terms",
        "no unit",
        "no programme",
        "no hash",
        "no address",
    ],
)
def test_wrong_words_exit_2_and_send_nothing(
    funded: Tally, node: FakeNode, words: tuple[str, ...]
) -> None:
    before = len(node.received)
    assert funded(*words) == 2
    assert funded.err.startswith("tally: ")
    assert len(node.received) == before


@pytest.mark.parametrize(
    "usage",
    ["chip", f"chip:{DAY}:x", f"chip:{DAY}:0.0000001", f"chip:{DAY}:-1", "chip:31.3.2026:1"],
)
def test_a_wrong_usage_row_exits_2(minted: Tally, usage: str) -> None:
    assert minted(*redemption(**{"--usage": usage})) == 2


def test_a_question_without_a_terminal_exits_2(
    funded: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert funded("wallet", "create", "mine") == 2
    assert "--passphrase-fd" in funded.err


# Output modes


def test_a_table_shows_yuan(minted: Tally) -> None:
    minted.must("voucher", "list", "--holder", "firm-a")
    title, row = minted.out.splitlines()
    assert title.split()[:5] == ["id", "holder", "face", "(yuan)", "available"]
    assert row.split()[:3] == [FIRST, "firm-a", "1,000,000.00"]


def test_json_is_one_document_in_fen(minted: Tally) -> None:
    (item,) = minted.json("voucher", "list", "--programme", PROGRAMME)
    assert item["face_fen"] == 100_000_000


def test_ndjson_is_a_document_a_line(minted: Tally) -> None:
    minted.must("voucher", "mint", PROGRAMME, "--row", "firm-a=1@again", *MINT)
    minted.must("-o", "ndjson", "voucher", "list")
    assert [json.loads(line)["face_fen"] for line in minted.out.splitlines()] == [100_000_000, 100]


def test_csv_carries_fen(minted: Tally) -> None:
    minted.must("-o", "csv", "voucher", "list")
    (row,) = csv.DictReader(io.StringIO(minted.out))
    assert (row["id"], row["face_fen"]) == (FIRST, "100000000")


def test_an_empty_list_is_an_empty_document(tally: Tally) -> None:
    assert tally.json("voucher", "list") == []
    tally.must("voucher", "list")
    assert tally.out == ""


def test_a_failure_in_json_is_one_document(funded: Tally) -> None:
    failure = funded.json("voucher", "show", FIRST, exits=3)["error"]
    assert (failure["kind"], failure["exit"]) == ("not_found", 3)


@pytest.mark.parametrize("mode", ["table", "json", "ndjson", "csv"])
@pytest.mark.parametrize(
    "words",
    [
        ("party", "list"),
        ("party", "show", "firm-a"),
        ("programme", "list"),
        ("programme", "show", PROGRAMME),
        ("programme", "budget", PROGRAMME),
        ("centre", "list"),
        ("centre", "list", "--voucher", FIRST),
        ("voucher", "show", FIRST),
        ("voucher", "history", FIRST),
        ("profile", "list"),
        ("tx", "kinds"),
    ],
    ids=" ".join,
)
def test_every_reading_command_writes_every_mode(
    minted: Tally, mode: str, words: tuple[str, ...]
) -> None:
    minted.must("-o", mode, *words)
    assert minted.out
    if mode == "json":
        json.loads(minted.out)


# Reading


def test_a_programme_says_what_was_assumed_and_what_is_left(minted: Tally) -> None:
    shown = minted.json("programme", "show", PROGRAMME)
    assert "cap_per_holder_year_yuan" in shown["terms"]["assumed"]
    assert shown["totals"]["minted"] == 100_000_000
    (budget,) = minted.json("programme", "budget", PROGRAMME)
    assert budget["free_fen"] == 400_000_000
    (listed,) = minted.json("programme", "list")
    assert listed["outstanding_fen"] == 100_000_000


def test_an_appropriation_can_be_taken_back(funded: Tally) -> None:
    words = ("programme", "appropriate", PROGRAMME, "1,000,000", "--take-back", *BUDGET)
    assert funded.json(*words)["delta_fen"] == -100_000_000
    (budget,) = funded.json("programme", "budget", PROGRAMME)
    assert budget["appropriated_fen"] == 400_000_000


def test_a_programme_can_be_closed_with_its_terms_as_they_are(funded: Tally) -> None:
    before = funded.json("programme", "show", PROGRAMME)
    funded.must("programme", "publish", PROGRAMME, "--status", "closed", *BUDGET)
    after = funded.json("programme", "show", PROGRAMME)
    assert (after["version"], after["status"]) == (2, "closed")
    assert after["terms"] == before["terms"]


def test_terms_can_be_edited_by_hand(funded: Tally, tmp_path: Path) -> None:
    terms = funded.json("programme", "show", PROGRAMME)["terms"] | {"transfer": "enrolled"}
    path = tmp_path / "terms.json"
    path.write_text(json.dumps(terms))
    funded.must("programme", "publish", PROGRAMME, "--terms", str(path), *BUDGET)
    assert funded.json("programme", "show", PROGRAMME)["terms"]["transfer"] == "enrolled"
    path.write_text(json.dumps(terms | {"ceiling": 0.5}))
    assert funded("programme", "publish", PROGRAMME, "--terms", str(path), *BUDGET) == 2


@pytest.mark.parametrize("city", ["hangzhou", "shenzhen"])
def test_facts_of_another_city_are_not_this_programmes(funded: Tally, city: str) -> None:
    assert funded("programme", "publish", f"{city}.other", "--facts", FACTS, *BUDGET) == 3


def test_where_a_voucher_is_good_and_at_what_rate(minted: Tally, node: FakeNode) -> None:
    rows = minted.json("centre", "list", "--voucher", FIRST)
    assert [(row["centre"], row["chip"], row["rate_basis_points"]) for row in rows] == [
        ("guian-hub", "ascend-910b", 3000),
        ("guian-hub", "nvidia-a100", 3000),
    ]
    assert {row["because"] for row in rows} == {"recognised"}
    assert {row["rate"] for row in rows} == {"30.00 %"}
    assert len(minted.json("centre", "list")) == 2


def test_a_voucher_is_not_good_after_its_recognition(
    minted: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = NOON_MS + 370 * calendar.DAY_MS
    monkeypatch.setattr(signing, "now_ms", lambda: later)
    assert minted.json("centre", "list", "--programme", PROGRAMME) == []


def test_a_partys_attestations_stand_beside_it(funded: Tally) -> None:
    shown = funded.json("party", "show", "firm-a")
    assert (shown["kind"], shown["enrolled_by"]) == ("holder", "shanghai")
    (attested,) = shown["attestations"]
    assert (attested["topic"], attested["text"]) == ("registered_in", "310000")


def test_a_statement_sums_by_debtor_and_creditor(minted: Tally) -> None:
    minted.must(*redemption())
    minted.must(*redemption(invoice="INV-2", amount="150", net="500"))
    assert minted.json("settlement", "statement", "--sum") == [
        {
            "debtor": "shanghai",
            "creditor": "guian-hub",
            "leg": "benefit",
            "payables": 2,
            "amount_fen": 45_000,
            "cancelled_fen": 0,
            "paid_fen": 0,
            "pending_fen": 0,
            "written_off_fen": 0,
            "open_fen": 45_000,
        }
    ]


def test_an_invoice_is_claimed_once(minted: Tally) -> None:
    minted.must(*redemption())
    failure = minted.json(*redemption(), exits=4)["error"]
    assert failure["details"]["code"] == "invoice_used"


def test_a_proof_is_committed_to_with_a_salt_that_is_shown(minted: Tally, tmp_path: Path) -> None:
    proof = tmp_path / "receipt.pdf"
    proof.write_bytes(b"paid")
    words = list(redemption())
    at = words.index("--own-share")
    words[at : at + 2] = ["--own-share-proof", str(proof)]
    assert len(minted.json(*words)["own_share_salt"]) == 64


def test_a_text_of_others_cannot_steer_the_screen(funded: Tally, node: FakeNode) -> None:
    item = node.answer("GET", "/v1/parties/firm-a", b"")
    body = json.loads(item.body)
    body["item"]["name"] = "firm \x1b[2J"
    node.replies["/v1/parties"] = ok({"items": [body["item"]], "next": None})
    funded.must("party", "list")
    assert "\x1b" not in funded.out


# Offline signing


def test_four_eyes_sign_at_two_desks(funded: Tally, node: FakeNode, tmp_path: Path) -> None:
    file = str(tmp_path / "mint.tx")
    sent = len(node.received)
    words = ("voucher", "mint", PROGRAMME, "--row", "firm-a=250000@17", "--save", file)
    saved = funded.json(*words, "--key", "shanghai/officer-3")
    assert (saved["signatures"], len(node.received)) == (1, sent)
    assert saved["expires_at"] == NOON_MS + OFFLINE_LIFE_MS

    failure = funded.json("tx", "simulate", file, exits=4)["error"]
    assert failure["details"]["code"] == "four_eyes_missing"
    effect = funded.json("tx", "simulate", file, "--key", "shanghai/officer-4")
    assert effect["effect"] == "accepted"

    signed = funded.json("tx", "sign", file, "--key", "shanghai/officer-4")
    assert (signed["transaction"], signed["signatures"]) == (saved["transaction"], 2)
    assert signed["operation"]["rows"][0]["amount"] == 25_000_000
    assert funded.json("tx", "decode", file)["operation"] == signed["operation"]

    sent_document = funded.json("tx", "send", file)
    assert (sent_document["status"], sent_document["transaction"]) == (
        "final",
        saved["transaction"],
    )
    assert node.store.read(VOUCHERS.key(FIRST), VOUCHERS.record) is not None
    assert funded.json("tx", "send", file)["status"] == "final", "sending again is safe"
    assert funded.json("tx", "show", saved["transaction"])["status"] == "final"


def test_a_description_is_built_without_a_node(
    tally: Tally, node: FakeNode, tmp_path: Path
) -> None:
    description, out = tmp_path / "transfer.json", str(tmp_path / "transfer.tx")
    operation = {
        "kind": "voucher.transfer",
        "voucher": FIRST,
        "holder": "firm-a",
        "recipient": "firm-b",
        "amount": 5,
    }
    description.write_text(json.dumps(operation))
    built = tally.json("tx", "build", str(description), "--out", out)
    assert built["signatures"] == 0
    assert tally("tx", "send", out) == 2
    assert tally.json("tx", "sign", out, "--key", "firm-a/owner")["signatures"] == 1
    decoded = tally.json("tx", "decode", out)
    assert decoded["operation"] == operation
    assert decoded["log_id"] == node.log_id.hex()
    assert node.requests == []


def test_a_file_for_another_network_is_not_signed(
    tally: Tally, profile: Profile, tmp_path: Path
) -> None:
    save_profile(
        Profile(
            name="other",
            network=NETWORK,
            log_id="33" * 32,
            nodes=profile.nodes,
            dev_seed=profile.dev_seed,
        )
    )
    file = str(tmp_path / "x.tx")
    tally.must("programme", "appropriate", PROGRAMME, "1", "--save", file)
    sign = ("tx", "sign", file, "--key", "shanghai/officer-1")
    assert tally(*sign, "--profile", "other") == 2
    assert "the transaction is for log" in tally.err
    tally.must(*sign)


def test_a_file_is_never_overwritten_but_by_its_next_signature(
    tally: Tally, tmp_path: Path
) -> None:
    path = tmp_path / "mine.tx"
    path.write_text("precious")
    saving = ("programme", "appropriate", PROGRAMME, "1", "--save", str(path))
    assert tally(*saving) == 2
    description = tmp_path / "x.json"
    description.write_text("{}")
    assert tally("tx", "build", str(description), "--out", str(path)) == 2
    assert "is not overwritten" in tally.err
    assert path.read_text() == "precious"
    assert sorted(one.name for one in tmp_path.glob("*.new")) == []
    path.unlink()
    tally.must(*saving)
    tally.must("tx", "sign", str(path), "--key", "shanghai/officer-1")


@pytest.mark.parametrize(
    "words",
    [
        ("voucher", "show", "xx"),
        ("voucher", "history", "xx"),
        ("claim", "show", "xx"),
        ("party", "show", "New Firm"),
        ("party", "enrol", "New Firm"),
    ],
)
def test_a_wrong_id_is_answered_with_an_example(
    tally: Tally, node: FakeNode, words: tuple[str, ...]
) -> None:
    assert tally(*words) == 2
    if words[1] != "enrol":
        assert "expected an id such as" in tally.err
    assert node.requests == []


def test_a_tag_key_that_is_no_hex_exits_2(minted: Tally, tmp_path: Path) -> None:
    path = tmp_path / "tag-key"
    path.write_text("not hex")
    assert minted(*redemption(**{"--tag-key": str(path)})) == 2
    assert "expected 64 hex digits" in minted.err


@pytest.mark.parametrize(
    ("topic", "option"),
    [
        ("registered_in", "--text"),
        ("research_project", "--text"),
        ("revenue_at_least", "--amount"),
    ],
)
def test_a_statement_without_its_content_replaces_nothing(
    funded: Tally, node: FakeNode, topic: str, option: str
) -> None:
    sent = len(node.received)
    words = ("party", "attest", "firm-a", "--by", "shanghai", "--topic", topic, *BUDGET)
    assert funded(*words) == 2
    assert f"--topic {topic} needs {option}" in funded.err
    assert len(node.received) == sent


def test_the_help_of_redeem_says_which_options_are_pairs(tally: Tally) -> None:
    tally.must("voucher", "redeem", "--help")
    assert "Two pairs are required" in tally.out


# Export


def test_a_failed_export_leaves_nothing_behind_and_can_be_tried_again(
    tally: Tally, node: FakeNode, tmp_path: Path
) -> None:
    out = tmp_path / "ledger"
    words = ("audit", "export", "--node", node.url, "--out", str(out))
    before = sorted(tmp_path.iterdir())
    last = {"items": [{"height": 1, "log_size": 2}], "next": None}
    node.replies["/v1/blocks"] = Reply(200, json.dumps(last).encode())
    node.replies["/v1/exports/log"] = Reply(200, 3 * (b"\0\0\0\3" + b"log"))
    assert tally(*words) == 3, "the node has no commits to give"
    assert sorted(tmp_path.iterdir()) == before
    commits = b"".join(n.to_bytes(8, "big") + b"\0\0\0\1" + b"c" for n in (1, 2))
    node.replies["/v1/exports/commits"] = Reply(200, commits)
    tally.must(*words)
    assert sorted(path.name for path in out.iterdir()) == [
        "commits.bin",
        "entries.bin",
        "genesis.bin",
    ]
    assert (out / "entries.bin").read_bytes() == 2 * (b"\0\0\0\3" + b"log"), "and no third"
    assert (out / "commits.bin").read_bytes() == commits[:13], "through height 1"
    assert tally(*words) == 2


def test_the_fields_of_a_kind_are_listed(tally: Tally) -> None:
    fields = tally.json("tx", "kinds", "voucher.transfer")
    assert [row["field"] for row in fields] == ["voucher", "holder", "recipient", "amount"]


# Events


def test_events_are_written_a_line_each_and_resume(tally: Tally, node: FakeNode) -> None:
    posting = {"kind": "burn", "amount": 5}
    node.events = [
        (
            number,
            "transaction" if number % 2 else "block",
            {"sequence": number, "height": number, "time_ms": 0, "postings": [posting]},
        )
        for number in range(6)
    ]
    node.events_a_connection = 2
    words = ("event", "watch", "--kind", "transaction", "--count", "3")
    tally.must("-o", "ndjson", *words)
    events = [json.loads(line) for line in tally.out.splitlines()]
    assert [event["sequence"] for event in events] == [1, 3, 5]
    assert events[0]["time"] == "1970-01-01 08:00:00 +08:00"
    assert events[0]["postings"] == [{"kind": "burn", "amount_fen": 5}]
    tally.must("-o", "csv", *words, "--after", "0")
    assert len(tally.out.splitlines()) == 4


def test_an_endless_stream_is_no_document(tally: Tally) -> None:
    assert "ndjson" in tally.json("event", "watch", exits=2)["error"]["message"]


# Keys and profiles


@pytest.fixture
def passphrase(tmp_path: Path) -> Iterator[list[str]]:
    """Return option words that give a passphrase, once."""
    path = tmp_path / "passphrase"
    path.write_text("three old coins\n" * 4)
    with path.open() as file:
        yield ["--passphrase-fd", str(file.fileno())]


def test_a_key_is_made_shown_recovered_and_signs(
    tally: Tally, passphrase: list[str], tmp_path: Path
) -> None:
    made = tally.json("wallet", "create", "firm-k/owner", *passphrase)
    assert len(made["phrase"].split()) == 12
    assert tally.json("wallet", "show", "firm-k/owner")["public_key"] == made["public_key"]
    assert [row["key"] for row in tally.json("wallet", "list")] == ["firm-k/owner"]
    assert tally("wallet", "create", "firm-k/owner", *passphrase) == 6

    exported = tally.json("wallet", "export", "firm-k/owner", "--yes", *passphrase)
    assert exported["phrase"] == made["phrase"]
    copy = str(tmp_path / "copy.json")
    tally.must("wallet", "export", "firm-k/owner", "--out", copy, *passphrase)
    imported = tally.json("wallet", "import", "again", copy, *passphrase)
    assert imported["public_key"] == made["public_key"]


def test_a_key_comes_back_from_its_phrase(
    tally: Tally, passphrase: list[str], tmp_path: Path
) -> None:
    made = tally.json("wallet", "create", "lost", *passphrase)
    (keys_folder(NETWORK) / "lost.json").unlink()
    phrase = tmp_path / "phrase"
    phrase.write_text(made["phrase"] + "\n")
    with phrase.open() as file:
        words = ("--phrase-fd", str(file.fileno()))
        found = tally.json("wallet", "recover", "lost", *words, *passphrase)
    assert found["public_key"] == made["public_key"]
    assert "phrase" not in found


def test_a_damaged_key_file_hides_no_other_key(tally: Tally, passphrase: list[str]) -> None:
    tally.must("wallet", "create", "good", *passphrase)
    bad = keys_folder(NETWORK) / "bad.json"
    bad.write_text("{")
    bad.chmod(0o600)
    rows = tally.json("wallet", "list")
    assert [(row["key"], row["state"]) for row in rows] == [("bad", "damaged"), ("good", "ok")]
    assert "is not a key file" in rows[0]["problem"]
    tally.must("wallet", "show", "good")
    assert tally("wallet", "show", "bad") == 6


def test_a_missing_key_exits_6(tally: Tally) -> None:
    assert tally("wallet", "show", "nobody") == 6


def test_a_profile_takes_the_log_id_from_the_genesis(tally: Tally, node: FakeNode) -> None:
    added = tally.json("profile", "add", "mine", "--node", f"a={node.url}")
    assert (added["network"], added["log_id"]) == (NETWORK, node.log_id.hex())
    assert added["default"] is False
    assert "compare it with what the members publish" in tally.err
    assert tally.json("profile", "use", "mine")["default"] is True
    assert load_profile().name == "mine"


def test_a_profile_with_another_log_id_is_not_added(tally: Tally, node: FakeNode) -> None:
    words = ("profile", "add", "mine", "--node", node.url, "--log-id")
    assert tally(*words, "11" * 32) == 2
    assert [row["profile"] for row in tally.json("profile", "list")] == ["test"]
    assert tally.json(*words, node.log_id.hex())["profile"] == "mine"


# Doctor


def test_the_doctor_finds_nothing_wrong(tally: Tally) -> None:
    checks = tally.json("doctor")
    assert all(check["ok"] for check in checks)
    names = [check["check"] for check in checks]
    assert names[:4] == ["python", "libraries", "profile", "keys"]
    assert "node shanghai" in names


def test_the_doctor_names_a_lost_quorum(tally: Tally, node: FakeNode) -> None:
    node.quorum_age_ms = 6_000
    checks = tally.json("doctor", exits=7)
    assert [check["detail"] for check in checks if not check["ok"]] == [
        "has seen no quorum for 6 s"
    ]


@pytest.mark.parametrize(
    ("offset_ms", "complaint"), [(-3_000, "ahead of this machine"), (200_000, "behind")]
)
def test_the_doctor_names_a_wrong_clock(
    tally: Tally, monkeypatch: pytest.MonkeyPatch, offset_ms: int, complaint: str
) -> None:
    monkeypatch.setattr(signing, "now_ms", lambda: NOON_MS + offset_ms)
    checks = tally.json("doctor", exits=1)
    (wrong,) = [check for check in checks if not check["ok"]]
    assert complaint in wrong["detail"]


def test_the_doctor_without_a_profile_says_how_to_get_one(
    tally: Tally, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "empty"))
    checks = tally.json("doctor", exits=1)
    (wrong,) = [check for check in checks if not check["ok"]]
    assert "tally network up" in wrong["detail"]
