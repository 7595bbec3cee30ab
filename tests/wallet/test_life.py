"""The whole life of a voucher at the command line: what each command does, and what refuses it."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.devkeys import derive
from ledger.encoding import crypto
from ledger.genesis import log_id_of
from ledger.proofs import NamedKey
from ledger.rules import calendar
from ledger.rules.parties import proof_message
from ledger.rules.payments import OBJECTION_WINDOW_MS
from tests.builders import NOON_MS, key, prove
from tests.wallet.fake_node import MASTER, NETWORK, FakeNode, make_genesis
from tests.wallet.terminal import (
    BUDGET,
    DAY,
    FACTS,
    FIRST,
    MINT,
    PROGRAMME,
    Tally,
    enrol,
    redemption,
)
from wallet import signing

OWNER = ("--key", "firm-a/owner")
CENTRE = ("--key", "guian-hub/officer-1")
REVIEW = BUDGET
PAY = MINT
GUIYANG = ("--key", "guiyang/officer-1", "--key", "guiyang/officer-2")
CASE = ("--case", "c5" * 32)
CLAIM = "guian-hub.000000001"
PAYABLE = f"{CLAIM}-000"
DEBTOR = ("--debtor", "shanghai")
LOG_ID = log_id_of(make_genesis())
NEW_KEY = key("firm-a", "new").hex()
TOMORROW = calendar.date_of(calendar.day_of(NOON_MS) + 1).isoformat()


def proof(party: str, named: bytes) -> str:
    """Return the proof that a key of the builders is a party's on the fake node's ledger."""
    return prove(NamedKey(party, "", named), proof_message(LOG_ID, party, named)).hex()


def line(party: str, public_key: str = NEW_KEY) -> str:
    """Return what `tally wallet prove` shows of a key."""
    return f"{public_key}.{proof(party, bytes.fromhex(public_key))}"


Words = tuple[str, ...]
Later = Callable[[int], None]


@pytest.fixture
def later(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> Later:
    """Return how to let time pass, for the node and for the wallet, in ms."""

    def pass_by(time_ms: int) -> None:
        now_ms = node.chain.now_ms + time_ms
        node.chain.block(time_ms=now_ms)
        monkeypatch.setattr(signing, "now_ms", lambda: now_ms)

    return pass_by


def refused(tally: Tally, code: str, *words: str) -> dict[str, Any]:
    """Run a command that the ledger must refuse; return the values it gives."""
    failure = tally.json(*words, exits=4)["error"]
    assert failure["details"]["code"] == code
    values: dict[str, Any] = failure["details"]["values"]
    return values


RESERVE: Words = (
    *("voucher", "reserve", FIRST, "1000", "--at", "guian-hub", "--order", "order-1"),
    *("--chip", "ascend-910b", "--until", TOMORROW, *OWNER),
)


@pytest.fixture
def reserved(minted: Tally) -> Tally:
    """Return a terminal on a ledger with a reserve of a thousand yuan."""
    minted.must(*RESERVE)
    return minted


def reserved_redemption(amount: str = "300", **options: str) -> Words:
    """Return the words of a redemption that the centre signs alone."""
    words = redemption(**{"--line": f"{FIRST}={amount}@{CLAIM}", **options})
    return (*words[: words.index("--key")], *CENTRE)


@pytest.fixture
def claimed(reserved: Tally) -> Tally:
    """Return a terminal on a ledger with a claim that the centre made alone."""
    reserved.must(*reserved_redemption())
    return reserved


@pytest.fixture
def owed(minted: Tally) -> Tally:
    """Return a terminal on a ledger with a payable of 300 yuan to guian-hub."""
    minted.must(*redemption())
    return minted


@pytest.fixture
def instructed(owed: Tally) -> Tally:
    """Return a terminal on a ledger with a payment under way."""
    owed.must("settlement", "pay", "instructed", PAYABLE, "--id", "pay-1", *PAY)
    return owed


# Keys, recovery, statements


def test_a_party_rotates_its_keys(funded: Tally) -> None:
    words = ("party", "keys", "firm-a", "--person", f"owner={line('firm-a')}")
    assert refused(funded, "signature_missing", *words, *CENTRE)["needed"] == 1
    assert funded.json(*words, *OWNER)["party"] == "firm-a"
    (held,) = funded.json("party", "show", "firm-a")["keys"]
    assert (held["key"], held["person"]) == (NEW_KEY, "owner")


def test_a_line_of_a_key_enrols_it_for_the_party_that_it_names(funded: Tally) -> None:
    shown = funded.json("wallet", "prove", "firm-a/owner")
    assert (shown["party"], shown["log_id"]) == ("firm-a", LOG_ID.hex())
    theirs = funded.json("wallet", "prove", "firm-a/owner", "--party", "firm-b")["line"]
    words = ("party", "keys", "firm-a", *OWNER, "--person")
    public_key = shown["line"].partition(".")[0]
    assert refused(funded, "key_proof_wrong", *words, f"owner={theirs}")["key"] == public_key
    funded.must(*words, f"owner={shown['line']}")
    assert funded("wallet", "prove", "nobodys") == 2


def test_a_treasurys_keys_carry_roles(tally: Tally) -> None:
    persons = [
        word
        for number, roles in enumerate(("registrar,review", "registrar,review", "mint", "pay"), 1)
        for word in ("--person", f"officer-{number}:{roles}")
    ]
    words = ("party", "keys", "wuhan", *persons, "--threshold", "2")
    assert refused(tally, "four_eyes_missing", *words, *_officers("wuhan"))["role"] == "bank"
    tally.must(*words, *_officers("wuhan"), *_officers("wuhan", 3, 4))
    assert tally.json("party", "show", "wuhan")["keys"][0]["roles"] == ["registrar", "review"]


def _officers(party: str, first: int = 1, second: int = 2) -> Words:
    return ("--key", f"{party}/officer-{first}", "--key", f"{party}/officer-{second}")


@pytest.mark.parametrize("person", ["owner=", "=ab", "owner:", "owner=zz", f"owner={NEW_KEY}"])
def test_a_wrong_person_exits_2(tally: Tally, person: str) -> None:
    assert tally("party", "keys", "firm-a", "--person", person, *OWNER) == 2


def test_a_recovery_is_opened_shown_objected_to_and_decided(funded: Tally, later: Later) -> None:
    recover = ("party", "recover", "open", "firm-a", "--person", f"owner={line('firm-a')}", *CASE)
    refused(funded, "four_eyes_missing", *recover, "--key", "shanghai/officer-1")
    funded.must(*recover, *BUDGET)
    shown = funded.json("party", "show", "firm-a")["recovery"]
    assert (shown["status"], shown["objected"]) == ("open", None)
    assert shown["decidable_from"] > shown["opened"]
    accept = ("party", "recover", "decide", "firm-a", "--accept")
    refused(funded, "recovery_too_early", *accept, *BUDGET)
    refused(funded, "recovery_open", "party", "keys", "firm-a", "--person", "owner", *OWNER)

    funded.must("party", "recover", "object", "firm-a", *OWNER)
    later(73 * 3_600_000)
    refused(funded, "second_opinion_missing", *accept, *BUDGET)
    decided = funded.json(*accept, "--second", "guiyang", *BUDGET, *GUIYANG)
    assert decided["accepted"] is True
    assert funded.json("party", "show", "firm-a")["recovery"] is None
    (row,) = funded.json("party", "recover", "list")
    assert (row["party"], row["status"]) == ("firm-a", "accepted")


def test_only_an_enrolled_party_is_recovered(tally: Tally) -> None:
    words = (
        "party",
        "recover",
        "open",
        "wuhan",
        "--person",
        f"one={line('wuhan')}",
        *CASE,
        *BUDGET,
    )
    assert tally(*words) == 2
    assert "members announce keys or propose them" in tally.err


def test_a_members_keys_are_announced_objected_to_and_given_up(tally: Tally, later: Later) -> None:
    persons = [
        word
        for number, roles in enumerate(("registrar", "registrar", "mint", "pay"), 1)
        for word in ("--person", f"officer-{number}:{roles}")
    ]
    registrars = _officers("wuhan")
    tally.must("party", "announce", "wuhan", *persons, *registrars)
    shown = tally.json("party", "show", "wuhan")["recovery"]
    assert (shown["opened_by"], shown["status"], shown["objected"]) == ("wuhan", "open", None)
    tally.must("party", "recover", "object", "wuhan", "--key", "wuhan/officer-3")
    later(73 * 3_600_000)
    decide = ("party", "recover", "decide", "wuhan")
    refused(tally, "second_opinion_missing", *decide, "--accept", *registrars)
    assert tally.json(*decide, "--reject", *registrars)["accepted"] is False
    assert tally.json("party", "show", "wuhan")["recovery"] is None


def test_a_statement_is_taken_back(funded: Tally) -> None:
    words = ("party", "revoke-attestation", "firm-a", "--by", "shanghai", "--topic")
    refused(funded, "attestation_unknown", *words, "clean_record", *BUDGET)
    funded.must(*words, "registered_in", *BUDGET)
    (attested,) = funded.json("party", "show", "firm-a")["attestations"]
    assert attested["revoked"] is not None
    refused(funded, "not_eligible", "voucher", "mint", PROGRAMME, "--row", "firm-a=1@17", *MINT)


# Programmes and centres


def test_a_programmes_status_changes_under_its_version(minted: Tally, later: Later) -> None:
    words = ("programme", "status", PROGRAMME, "suspended")
    refused(minted, "four_eyes_missing", *words, *MINT)
    changed = minted.json(*words, *BUDGET)
    assert (changed["version"], changed["programme_status"]) == (1, "suspended")
    refused(
        minted, "programme_not_open", "voucher", "mint", PROGRAMME, "--row", "firm-a=1@17", *MINT
    )
    later(1)
    minted.must("programme", "status", PROGRAMME, "open", *BUDGET)
    assert minted.json("programme", "show", PROGRAMME)["status"] == "open"


def test_a_version_comes_into_force_once_its_funders_consented(
    funded: Tally, tmp_path: Path
) -> None:
    consent = ("programme", "consent", PROGRAMME, "--funder", "guiyang")
    assert funded.json(*consent, *GUIYANG, exits=3)["error"]["message"] == (
        f"no version of {PROGRAMME} waits for consent"
    )
    terms = funded.json("programme", "show", PROGRAMME)["terms"]
    halves = [{"funder": name, "basis_points": 5_000} for name in ("shanghai", "guiyang")]
    other, proposed = tmp_path / "other.json", tmp_path / "proposed.json"
    other.write_text(json.dumps(terms))
    proposed.write_text(json.dumps(terms | {"funders": halves}))
    funded.must("programme", "publish", PROGRAMME, "--terms", str(proposed), *BUDGET)
    shown = funded.json("programme", "show", PROGRAMME)
    assert (shown["version"], shown["proposed"]) == (1, 2)
    assert shown["proposed_terms"]["consents_missing"] == ["guiyang"]
    assert shown["proposed_terms"]["terms"]["funders"] == halves
    funded.must("programme", "show", PROGRAMME)
    assert re.search(r"consents missing +guiyang", funded.out)
    refused(funded, "terms_hash_wrong", *consent, "--terms", str(other), *GUIYANG)
    refused(funded, "four_eyes_missing", *consent, *BUDGET)
    given = funded.json(*consent, "--terms", str(proposed), *GUIYANG)
    assert (given["version"], given["funder"]) == (2, "guiyang")
    shown = funded.json("programme", "show", PROGRAMME)
    assert (shown["version"], shown["proposed_terms"]) == (2, None)
    assert shown["terms"]["funders"] == halves


def test_money_is_carried_over_to_another_year(funded: Tally) -> None:
    words = ("programme", "appropriate", PROGRAMME, "1000", "--year")
    refused(funded, "carry_over_invalid", *words, "2026", "--carried-from", "2026", *BUDGET)
    funded.must(*words, "2027", "--carried-from", "2026", *BUDGET)
    rows = funded.json("programme", "budget", PROGRAMME)
    assert [(row["year"], row["appropriated_fen"]) for row in rows] == [
        (2026, 499_900_000),
        (2027, 100_000),
    ]


def test_an_accreditation_ends_and_keeps_its_devices(funded: Tally) -> None:
    words = ("centre", "accredit", "guian-hub", "--host", "guiyang", "--end")
    assert funded(*words, "--pue-milli", "1200", *GUIYANG) == 2
    assert funded.json(*words, *GUIYANG)["ended"] is True
    assert funded.json("centre", "list") == []
    refused(
        funded,
        "host_mismatch",
        *("centre", "accredit", "guian-hub", "--host", "shanghai", "--end"),
        *BUDGET,
    )


HOST_PAYS: Words = (
    *("centre", "recognise", "--issuer", "shanghai", "--programme", PROGRAMME),
    *("--host", "guiyang", "--mode", "host_pays", "--limit", "5000"),
)


def test_a_host_that_pays_agrees(funded: Tally) -> None:
    assert refused(funded, "four_eyes_missing", *HOST_PAYS, *BUDGET)["party"] == "guiyang"
    assert funded.json(*HOST_PAYS, *BUDGET, *GUIYANG)["mode"] == "host_pays"
    (row,) = funded.json("centre", "recognitions")
    assert (row["mode"], row["limit_fen"], row["used_fen"]) == ("host_pays", 500_000, 0)


# Vouchers


def test_value_is_set_aside_shown_and_given_back(minted: Tally) -> None:
    refused(minted, "signature_missing", *RESERVE[: RESERVE.index("--key")], *CENTRE)
    made = minted.json(*RESERVE)
    assert (made["reserve"], made["amount_fen"]) == (CLAIM, 100_000)
    shown = minted.json("voucher", "show", FIRST)
    assert (shown["reserved_fen"], shown["reserves"][0]["left_fen"]) == (100_000, 100_000)
    minted.must("voucher", "release", CLAIM, "400", *CENTRE)
    refused(minted, "reserve_exhausted", "voucher", "release", CLAIM, "601", *CENTRE)
    assert minted.json("voucher", "release", CLAIM, *CENTRE)["amount_fen"] == 60_000
    (row,) = minted.json("voucher", "reserves", "--at", "guian-hub")
    assert (row["id"], row["order"], row["left_fen"]) == (CLAIM, "order-1", 0)


def test_a_voucher_is_extended_and_revoked(minted: Tally) -> None:
    extend = ("voucher", "extend", FIRST, *CASE, "--until")
    refused(minted, "extension_invalid", *extend, DAY, *REVIEW)
    assert minted.json(*extend, "2029-12-31", *REVIEW)["until"] == "2029-12-31"
    assert minted.json("voucher", "show", FIRST)["expires"] == "2029-12-31"
    revoke = ("voucher", "revoke", FIRST, "600,000", *CASE, *REVIEW)
    minted.must(*revoke)
    refused(minted, "voucher_exhausted", *revoke)
    assert minted.json("voucher", "show", FIRST)["revoked_fen"] == 60_000_000


def test_a_case_can_be_a_file_whose_salt_is_shown_even_when_saved(
    minted: Tally, tmp_path: Path
) -> None:
    case = tmp_path / "case.txt"
    case.write_text("why")
    words = ("voucher", "revoke", FIRST, "1", "--case-file", str(case), *REVIEW)
    assert len(minted.json(*words)["case_salt"]) == 64
    assert len(minted.json(*words, "--save", str(tmp_path / "x.tx"))["case_salt"]) == 64
    assert minted("voucher", "revoke", FIRST, "1", *REVIEW) == 2
    assert "either --case or --case-file" in minted.err
    assert minted(*words, *CASE) == 2


def after_use(tally: Tally, tmp_path: Path) -> str:
    """Publish and fund a programme that pays after use; return its id."""
    terms = tally.json("programme", "show", PROGRAMME)["terms"] | {"grant": "after_use"}
    path = tmp_path / "terms.json"
    path.write_text(json.dumps(terms))
    programme = "shanghai.afterwards"
    tally.must("programme", "publish", programme, "--terms", str(path), *BUDGET)
    tally.must("programme", "appropriate", programme, "1000", *BUDGET)
    tally.must(
        *("centre", "recognise", "--issuer", "shanghai", "--programme", programme),
        *("--host", "guiyang", *BUDGET),
    )
    return programme


def test_a_grant_after_use_names_its_contract(funded: Tally, tmp_path: Path) -> None:
    programme = after_use(funded, tmp_path)
    words = list(redemption())
    words[words.index("--line") : words.index("--line") + 2] = ["--grant", f"{programme}=300"]
    contract = ("--contract", "K/7/100,000/2026-01-01/2026-12-31")
    assert funded(*words) == 2
    assert "name the --holder" in funded.err
    refused(funded, "contract_missing", *words, "--holder", "firm-a")
    made = funded.json(*words, "--holder", "firm-a", *contract)
    assert (made["claim"], made["amount_fen"], made["decided"]) == (CLAIM, 30_000, "burned")
    assert funded.json("claim", "show", CLAIM)["contract"]["amount_fen"] == 10_000_000


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--contract", "K/7/2026-01-01"),
        ("--contract", "K/1/2026-01-01/soon"),
        ("--grant", f"{PROGRAMME}=1"),
        ("--line", f"{FIRST}@x=1"),
    ],
)
def test_a_redemption_in_wrong_words_exits_2(minted: Tally, option: str, value: str) -> None:
    assert minted(*redemption(**{option: value})) == 2


# Claims


def test_a_claim_of_the_centre_alone_waits_for_the_holder_and_is_decided(
    reserved: Tally, later: Later
) -> None:
    made = reserved.json(*reserved_redemption())
    assert (made["claim"], made["decided"]) == (CLAIM, "waiting")
    shown = reserved.json("claim", "show", CLAIM)
    assert shown["disputable_until"] is not None
    decide = ("claim", "decide", CLAIM, "--all", *REVIEW)
    checked = ("--invoice", "INV-1")
    refused(reserved, "dispute_window_open", *decide, *checked)
    later(7 * calendar.DAY_MS)
    refused(reserved, "tag_not_checked", *decide)
    assert reserved(*decide, "--invoice", "INV-2") == 2
    assert "its tag differs" in reserved.err
    assert reserved.json(*decide, *checked)["accepted_fen"] == 30_000
    (row,) = reserved.json("claim", "list", "--status", "accepted")
    assert (row["id"], row["decided"] is None) == (CLAIM, False)
    assert reserved.json("claim", "list", "--status", "rejected") == []


def test_a_disputed_claim_needs_a_case(claimed: Tally) -> None:
    dispute = ("claim", "dispute", CLAIM, *CASE)
    refused(claimed, "signature_missing", *dispute, *CENTRE)
    claimed.must(*dispute, *OWNER)
    reject = ("claim", "decide", CLAIM, "--reject")
    refused(claimed, "case_missing", *reject, *REVIEW)
    claimed.must(*reject, *CASE, *REVIEW)
    assert claimed.json("claim", "show", CLAIM)["status"] == "rejected"
    assert claimed("claim", "decide", CLAIM, "--reject", "--all", *REVIEW) == 2


def test_a_claim_is_accepted_in_part(claimed: Tally, later: Later) -> None:
    later(7 * calendar.DAY_MS)
    words = ("claim", "decide", CLAIM, "--accept", "120.50", "--tag-checked", *REVIEW)
    assert claimed.json(*words)["accepted_fen"] == 12_050
    (payable,) = claimed.json("settlement", "payable", "list", "--claim", CLAIM)
    assert payable["amount_fen"] == 12_050


def test_an_accepted_claim_is_credited(owed: Tally) -> None:
    note = ("--note", "0e" * 32)
    words = ("claim", "credit", CLAIM, "100", *note)
    refused(owed, "four_eyes_missing", *words, *CENTRE)
    owed.must(*words, *CENTRE, *REVIEW)
    shown = owed.json("settlement", "payable", "show", PAYABLE)
    assert (shown["cancelled_fen"], shown["open_fen"]) == (10_000, 20_000)


# Payments


def test_a_payment_is_instructed_and_confirmed(owed: Tally) -> None:
    instruct = ("settlement", "pay", "instructed", PAYABLE)
    refused(owed, "payment_exceeds_due", *instruct, "301", *PAY)
    paid = owed.json(*instruct, *PAY)
    assert (paid["amount_fen"], paid["end_to_end_id"][:2]) == (30_000, "ts")
    confirm = ("settlement", "pay", "confirmed", paid["end_to_end_id"], *DEBTOR, "--by")
    refused(owed, "objection_window_open", *confirm, "shanghai", *PAY)
    owed.must(*confirm, "guian-hub", *CENTRE)
    shown = owed.json("settlement", "payable", "show", PAYABLE)
    assert (shown["paid_fen"], shown["open_fen"]) == (30_000, 0)
    assert shown["payments"][0]["status"] == "confirmed"
    assert owed.json("settlement", "payable", "list", "--open") == []


@pytest.mark.parametrize(
    ("words", "signers", "wrong", "code", "status"),
    [
        (
            ("returned", "pay-1", *DEBTOR, "--reason", "closed account"),
            PAY,
            CENTRE,
            "four_eyes_missing",
            "returned",
        ),
        (
            ("objected", "pay-1", *DEBTOR, "--reason", "nothing here"),
            CENTRE,
            PAY,
            "signature_missing",
            "objected",
        ),
    ],
    ids=["returned", "objected"],
)
def test_what_went_wrong_with_a_payment_is_recorded(
    instructed: Tally, words: Words, signers: Words, wrong: Words, code: str, status: str
) -> None:
    refused(instructed, code, "settlement", "pay", *words, *wrong)
    instructed.must("settlement", "pay", *words, *signers)
    (row,) = instructed.json("settlement", "payment", "list", "--payable", PAYABLE)
    assert (row["status"], row["reason"]) == (status, words[-1])
    shown = instructed.json("settlement", "payment", "show", "shanghai", "pay-1")
    assert shown["status"] == status


def test_an_objection_is_ended_by_another_city(instructed: Tally) -> None:
    objected = ("settlement", "pay", "objected", "pay-1", *DEBTOR, "--reason", "nothing here")
    instructed.must(*objected, *CENTRE)
    words = ("settlement", "pay", "resolved", "pay-1", *DEBTOR, "--not-paid", *CASE, "--by")
    refused(instructed, "party_concerned", *words, "shanghai", *REVIEW)
    instructed.must(*words, "guiyang", *GUIYANG)
    (row,) = instructed.json("settlement", "payment", "list", "--payable", PAYABLE)
    assert row["status"] == "returned"


def test_a_part_is_written_off_by_both(owed: Tally) -> None:
    words = ("settlement", "pay", "written-off", PAYABLE, "0.50", "--reason", "rounding")
    refused(owed, "signature_missing", *words, *PAY)
    owed.must(*words, *PAY, *CENTRE)
    (row,) = owed.json("settlement", "statement", "--debtor", "shanghai")
    assert (row["written_off_fen"], row["open_fen"]) == (50, 29_950)


@pytest.mark.parametrize("which", ["--debtor", "--creditor"])
@pytest.mark.parametrize("more", [(), ("--sum",), ("--movements",)])
@pytest.mark.parametrize("name", ["nobody", "No/Body"])
def test_a_statement_of_an_unknown_party_exits_3(
    owed: Tally, which: str, more: Words, name: str
) -> None:
    failure = owed.json("settlement", "statement", which, name, *more, exits=3)["error"]
    assert failure["message"] == f"there is no party {name!r}"


def test_an_export_for_an_unknown_party_exits_3_and_writes_no_file(
    owed: Tally, tmp_path: Path
) -> None:
    out = tmp_path / "orders.csv"
    words = ("settlement", "export", "--debtor", "nobody", "--out", str(out))
    assert owed.json(*words, exits=3)["error"]["message"] == "there is no party 'nobody'"
    assert not out.exists()


@pytest.mark.parametrize("more", [(), ("--sum",)])
def test_a_statement_shows_everything_that_leads_from_the_amount_to_what_is_open(
    instructed: Tally, more: Words
) -> None:
    back = ("settlement", "pay", "returned", "pay-1", *DEBTOR, "--reason", "closed account")
    instructed.must(*back, *PAY)
    instructed.must("claim", "credit", CLAIM, "100", "--note", "0e" * 32, *CENTRE, *REVIEW)
    write_off = ("settlement", "pay", "written-off", PAYABLE, "20", "--reason", "rounding")
    instructed.must(*write_off, *PAY, *CENTRE)
    instructed.must("settlement", "pay", "instructed", PAYABLE, "30", *PAY)
    instructed.must("-o", "csv", "settlement", "statement", *more)
    (row,) = csv.DictReader(instructed.out.splitlines())
    parts = ("amount", "cancelled", "paid", "pending", "written_off", "open")
    assert [int(row[f"{name}_fen"]) for name in parts] == [30_000, 10_000, 0, 3_000, 2_000, 15_000]
    instructed.must("settlement", "statement", *more)
    assert "cancelled (yuan)" in instructed.out.splitlines()[0]


# Files


def results(path: Path, *lines: Words) -> str:
    """Write a file of results; return its path."""
    text = ["EndToEndId,TxSts,InstdAmt,RmtInf,Rsn", *(",".join(line) for line in lines)]
    path.write_text("\n".join(text) + "\n")
    return str(path)


def test_what_is_to_be_paid_is_written_and_its_results_are_recorded_once(
    owed: Tally, node: FakeNode, tmp_path: Path, later: Later
) -> None:
    owed.must(*redemption(invoice="INV-2", amount="150", net="500"))
    out = tmp_path / "orders.csv"
    export = ("settlement", "export", "--debtor", "shanghai", "--out", str(out))
    written = owed.json(*export)
    assert (written["payments"], written["amount_fen"]) == (2, 45_000)
    with out.open() as orders:
        first, second = csv.DictReader(orders)
    assert (first["InstdAmt"], first["Ccy"], first["RmtInf"]) == ("300.00", "CNY", PAYABLE)
    assert (first["Dbtr"], first["Cdtr"]) == ("shanghai", "guian-hub")
    assert first["ReqdExctnDt"] >= DAY
    assert owed(*export) == 2, "nothing is overwritten"

    def line(order: dict[str, str], status: str) -> Words:
        return (order["EndToEndId"], status, order["InstdAmt"], order["RmtInf"], "")

    file = results(tmp_path / "results.csv", line(first, "ACSC"), line(second, "ACSP"))
    payer = ("settlement", "import", file, "--by", "shanghai", *PAY)
    sent = len(node.received)
    assert [row["recorded"] for row in owed.json(*payer, "--dry-run")] == ["instructed"] * 2
    assert len(node.received) == sent
    done = owed.json(*payer)
    assert all(row["transaction"] for row in done)
    again = owed.json(*payer)
    assert [row["recorded"] for row in again] == [None, None]
    assert again[0]["because"].startswith("the payee confirms it, or you after")
    assert again[1]["because"] == "recorded already"

    payee = ("settlement", "import", file, "--by", "guian-hub", *CENTRE)
    assert [row["recorded"] for row in owed.json(*payee)] == ["confirmed", None]
    results(tmp_path / "results.csv", line(first, "RTND"), line(second, "RJCT"))
    assert [row["recorded"] for row in owed.json(*payer)] == ["returned"] * 2
    first_of, second_of = owed.json(*payer)
    assert first_of["because"].startswith("recorded already; once more after")
    assert second_of["because"] == "recorded already"
    later(OBJECTION_WINDOW_MS)  # the payee had confirmed the first, and does not object
    assert [row["recorded"] for row in owed.json(*payer)] == ["returned", None]
    (row, _) = owed.json("settlement", "payable", "list")
    assert (row["paid_fen"], row["attempt"]) == (0, 2)
    out.unlink()
    owed.must(*export)
    assert first["EndToEndId"] not in out.read_text(), "a new attempt has a new id"


def test_what_is_held_or_not_due_is_not_exported(owed: Tally, tmp_path: Path) -> None:
    export = ("settlement", "export", "--debtor", "shanghai", "--out")
    early = ("--due-by", "2026-01-30")
    assert owed.json(*export, str(tmp_path / "early.csv"), *early)["payments"] == 0
    hold = ("hold", "set", "claim", CLAIM, "--reason", "look", *CASE)
    refused(owed, "own_cause", *hold, "--by", "shanghai", *REVIEW)
    file = tmp_path / "auditor.json"
    file.write_text(json.dumps(MEMBER_FILE))
    owed.must("governance", "propose", "admit", str(file), *BY)
    for party in ("guiyang", "wuhan", "henan-province", "guian-hub"):
        owed.must("governance", "vote", "1", "--yes", "--by", party, *_officers(party))
    owed.must(*hold, "--by", "auditor-x", "--key", "auditor-x/one")
    assert owed.json(*export, str(tmp_path / "held.csv"))["payments"] == 0
    assert f"left out: {PAYABLE} is held by auditor-x.000000001" in owed.err


def test_every_line_that_cannot_be_recorded_is_named_and_nothing_is_sent(
    instructed: Tally, node: FakeNode, tmp_path: Path
) -> None:
    instructed.must(*redemption(invoice="INV-2", amount="150", net="500"))
    other = "guian-hub.000000002-000"
    file = results(
        tmp_path / "results.csv",
        ("pay-1", "ACSP", "300.00", PAYABLE, ""),
        ("pay-1", "ACSP", "300.00", PAYABLE, ""),
        ("pay-2", "WHAT", "1.00", other, ""),
        ("pay-3", "ACSP", "1.234", other, ""),
        ("pay-4", "ACSP", "100.00", other, ""),
        ("pay-5", "ACSP", "50.01", other, ""),
        ("pay-6", "ACSP", "1.00", "guian-hub.000000009-000", ""),
        ("pay/7", "ACSP", "1.00", other, ""),
        ("pay-8", "ACSP", "1.00", "nonsense", ""),
    )
    sent = len(node.received)
    words = ("settlement", "import", file, "--by", "shanghai", *PAY)
    bad = instructed.json(*words, exits=4)["error"]["details"]["bad_lines"]
    assert [(row["line"], row["message"].partition(":")[0][:34]) for row in bad] == [
        (3, "pay-1 stands in line 2 already"),
        (4, "TxSts 'WHAT' is not one of ACCC, A"),
        (5, "'1.234' is not an amount in yuan; "),
        (7, f"of {other} only 50"),
        (8, "there is no payable guian-hub.0000"),
        (9, "EndToEndId 'pay/7' has characters "),
        (10, "RmtInf 'nonsense' names no payable"),
    ]
    assert len(node.received) == sent


def test_an_import_that_the_ledger_refuses_names_the_line(owed: Tally, tmp_path: Path) -> None:
    file = results(tmp_path / "results.csv", ("pay-1", "ACSP", "300.00", PAYABLE, ""))
    words = ("settlement", "import", file, "--by", "shanghai")
    (bad,) = owed.json(*words, *BUDGET, exits=4)["error"]["details"]["bad_lines"]
    assert bad["line"] == 2
    assert "four_eyes_missing" in bad["message"]
    assert owed(*words, *PAY, "--no-wait") == 2
    assert owed("settlement", "import", FACTS, "--by", "shanghai", *PAY) == 2


def test_an_import_that_breaks_off_says_how_far_it_came_and_goes_on(
    owed: Tally, node: FakeNode, tmp_path: Path
) -> None:
    owed.must(*redemption(invoice="INV-2", amount="150", net="500"))
    other = "guian-hub.000000002-000"
    file = results(
        tmp_path / "results.csv",
        ("pay-1", "ACSP", "300.00", PAYABLE, ""),
        ("pay-2", "ACSP", "150.00", other, ""),
    )
    words = ("settlement", "import", file, "--by", "shanghai", *PAY)
    stop = {"status": "refused", "code": "payment_exceeds_due", "number": 703}
    node.submissions = [None, stop, None, stop]
    failure = owed.json(*words, exits=4)["error"]
    assert failure["message"].startswith("1 of 2 are final; line 3: refused: payment_exceeds_due")
    assert failure["message"].endswith("the same file can be imported again")
    assert (failure["details"]["final"], failure["details"]["line"]) == (1, 3)
    rows = owed.json(*words)
    assert [row["recorded"] for row in rows] == [None, "instructed"]


# Clearing


def test_a_cycle_closes_and_its_net_is_owed(minted: Tally, later: Later) -> None:
    minted.must(*HOST_PAYS, *BUDGET, *GUIYANG)
    close = ("settlement", "close", "--by", "guian-hub", *CENTRE)
    refused(minted, "cycle_empty", *close)
    minted.must(*redemption())
    now = minted.json("settlement", "cycle", "show")
    assert [(one["party"], one["net_fen"]) for one in now["positions"]] == [
        ("guiyang", 30_000),
        ("shanghai", -30_000),
    ]
    refused(minted, "cycle_too_early", *close)
    later(calendar.DAY_MS)
    closed = minted.json(*close)
    assert (closed["payables"], closed["amount_fen"]) == (1, 30_000)
    (row,) = minted.json("settlement", "cycle", "list")
    assert (row["number"], row["closed_by"]) == (closed["cycle"], "guian-hub")
    shown = minted.json("settlement", "cycle", "show", str(closed["cycle"]))
    assert shown["settlement"][0]["open_fen"] == 30_000
    sums = minted.json("settlement", "statement", "--sum", "--debtor", "shanghai")
    assert [(one["leg"], one["open_fen"]) for one in sums] == [
        ("reimbursement", 0),
        ("settlement", 30_000),
    ]
    assert [row["debtor"] for row in minted.json("settlement", "statement", "--sum")] == [
        *("guiyang", "shanghai", "shanghai"),
    ]


# Cases


def test_a_hold_is_set_listed_and_cleared(minted: Tally) -> None:
    words = ("hold", "set", "voucher", FIRST, "--by", "shanghai", "--reason", "a case", *CASE)
    refused(minted, "four_eyes_missing", *words, *MINT)
    made = minted.json(*words, *REVIEW)
    assert made["hold"] == "shanghai.000000001"
    assert refused(minted, "held", *RESERVE)["hold"] == made["hold"]
    (row,) = minted.json("hold", "list", "--scope", "voucher", "--open")
    assert (row["thing"], row["cleared"]) == (FIRST, None)
    clear = ("hold", "clear", made["hold"], *CASE)
    minted.must(*clear, *REVIEW)
    refused(minted, "hold_cleared", *clear, *REVIEW)
    assert minted.json("hold", "list", "--open") == []
    assert minted.json("hold", "show", made["hold"])["cleared"] is not None


def test_a_commitment_is_anchored(tally: Tally, tmp_path: Path) -> None:
    path = tmp_path / "balance.csv"
    path.write_text("sums")
    words = ("record", "anchor", "--by", "shanghai", "--about", "trial_balance")
    hashed = ("--commitment", "ba" * 32)
    refused(tally, "height_ahead", *words, "--as-of", "99", *hashed, *BUDGET)
    made = tally.json(*words, "--document", str(path), "--note", "June", *BUDGET)
    assert (made["anchor"], len(made["commitment_salt"])) == ("shanghai.000000001", 64)
    (row,) = tally.json("record", "list", "--by", "shanghai")
    assert (row["id"], row["note"]) == (made["anchor"], "June")
    assert tally.json("record", "show", made["anchor"])["about"] == "trial_balance"


# Governance

BY: Words = ("--by", "shanghai", *BUDGET)


def test_members_vote_until_a_proposal_is_adopted(tally: Tally) -> None:
    made = tally.json("governance", "propose", "pause", *BY)
    assert made["proposal"] == 1
    refused(tally, "vote_repeated", "governance", "vote", "1", "--no", *BY)
    adopted = []
    for party in ("guiyang", "wuhan", "henan-province", "guian-hub"):
        words = ("governance", "vote", "1", "--yes", "--by", party, *_officers(party))
        adopted.append(tally.json(*words)["proposal_status"])
    assert adopted == ["open", "open", "open", "adopted"]
    assert tally.json("governance", "control")["paused_since"] is not None
    assert tally.json("governance", "show", "1")["yes"][0] == "shanghai"
    (row,) = tally.json("governance", "list", "--status", "adopted")
    assert (row["number"], row["kind"]) == (1, "pause")
    refused(tally, "ledger_paused", "programme", "publish", PROGRAMME, "--facts", FACTS, *BUDGET)
    assert tally("governance", "vote", "1", *BY) == 2, "yes or no must be said"


AUDITOR_SEED = derive(NETWORK, MASTER, "auditor-x", "one")
AUDITOR_KEY = crypto.public_key(AUDITOR_SEED)
MEMBER = {
    "id": "auditor-x",
    "kind": "auditor",
    "name": "Auditor X",
    "region": "110000",
    "threshold": 1,
    "keys": [{"key": AUDITOR_KEY.hex(), "person": "one", "roles": []}],
}
AUDITOR_PROOF = crypto.sign(AUDITOR_SEED, proof_message(LOG_ID, "auditor-x", AUDITOR_KEY))
MEMBER_FILE = {**MEMBER, "proofs": [AUDITOR_PROOF.hex()]}
VALIDATOR = {
    name: key("wuhan", name).hex() for name in ("consensus", "log", "cosigner", "link")
} | {"power": 2}
PROOFS = [proof("wuhan", key("wuhan", name)) for name in ("consensus", "log", "cosigner", "link")]
VALIDATOR_FILE = {**VALIDATOR, "proofs": PROOFS}
TOML = "".join(f"{name} = {value!r}\n" for name, value in VALIDATOR_FILE.items())


@pytest.mark.parametrize(
    ("words", "kind", "held"),
    [
        (("admit", "member.json"), "admit", {"member": MEMBER}),
        (("status", "wuhan", "suspended"), "status", {"successor": None}),
        (
            ("status", "wuhan", "removed", "--successor", "shanghai"),
            "status",
            {"status": "removed", "successor": "shanghai"},
        ),
        (("validator", "wuhan", "--file", "keys.toml"), "validator", {"validator": VALIDATOR}),
        (("validator", "guian-hub", "--none"), "validator", {"validator": None}),
        (("keys", "guian-hub", "--person", f"a={line('guian-hub')}"), "keys", {"threshold": 1}),
        (("parameters", "--set", "heartbeat_ms=5000"), "parameters", {}),
        (("parameters", "--officers", "voucher.mint=10,000:3"), "parameters", {}),
        (("rules-version", "2", "--from-height", "900"), "rules_version", {"version": 2}),
        (("engine-switch", "comet", "--at-height", "900"), "engine.switch", {"engine": "comet"}),
        (("pause",), "pause", {}),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_every_action_is_proposed(
    tally: Tally, tmp_path: Path, words: Words, kind: str, held: dict[str, Any]
) -> None:
    (tmp_path / "member.json").write_text(json.dumps(MEMBER_FILE))
    (tmp_path / "keys.toml").write_text(TOML)
    words = tuple(
        str(tmp_path / word) if word.endswith((".json", ".toml")) else word for word in words
    )
    made = tally.json("governance", "propose", *words, *BY)
    assert tally.err.startswith("governance.propose: shanghai proposes")
    action = tally.json("governance", "show", str(made["proposal"]))["action"]
    assert action["kind"] == kind
    assert {name: _same(action[name], held[name]) for name in held} == held
    refused(tally, "four_eyes_missing", "governance", "propose", *words, "--by", "wuhan", *BUDGET)


def _same(given: Any, expected: Any) -> Any:
    """Return of a record the fields that are expected: others have their defaults."""
    return {name: given[name] for name in expected} if isinstance(expected, dict) else given


def test_parameters_start_from_the_present_ones(tally: Tally) -> None:
    now = tally.json("governance", "parameters")
    words = ("governance", "propose", "parameters", "--set", "heartbeat_ms=5000")
    tally.must(*words, "--officers", "voucher.mint=10,000:3", *BY)
    asked = tally.json("governance", "show", "1")["action"]["parameters"]
    assert asked["officers"] == [{"kind": "voucher.mint", "from_fen": 1_000_000, "persons": 3}]
    assert asked["heartbeat_ms"] == 5_000
    assert asked["block_rows_max"] == now["block_rows_max"]


@pytest.mark.parametrize(
    "words",
    [
        ("resume",),
        ("rules-version", "1", "--from-height", "900"),
        ("status", "wuhan", "active"),
        ("parameters", "--set", "block_rows_max=5"),
    ],
    ids=" ".join,
)
def test_an_action_that_cannot_be_done_is_refused(tally: Tally, words: Words) -> None:
    refused(tally, "action_invalid", "governance", "propose", *words, *BY)


@pytest.mark.parametrize(
    "words",
    [
        ("validator", "wuhan"),
        ("parameters",),
        ("parameters", "--set", "colour=1"),
        ("parameters", "--set", "heartbeat_ms=fast"),
        ("parameters", "--officers", "voucher.mint=1"),
        ("parameters", "--officers", "voucher.mint=1:3", "--no-officers"),
        ("admit", FACTS),
    ],
    ids=" ".join,
)
def test_an_action_in_wrong_words_exits_2(tally: Tally, words: Words) -> None:
    assert tally("governance", "propose", *words, *BY) == 2


# All of them


@pytest.mark.parametrize("mode", ["table", "json", "ndjson", "csv"])
@pytest.mark.parametrize(
    "words",
    [
        ("party", "recover", "list"),
        ("centre", "recognitions"),
        ("voucher", "reserves"),
        ("claim", "list", "--status", "under_review"),
        ("claim", "show", CLAIM),
        ("settlement", "statement"),
        ("settlement", "statement", "--sum"),
        ("settlement", "payable", "list"),
        ("settlement", "payment", "list"),
        ("settlement", "cycle", "list"),
        ("settlement", "cycle", "show"),
        ("hold", "list"),
        ("record", "list"),
        ("governance", "list"),
        ("governance", "validators"),
        ("governance", "members"),
        ("governance", "parameters"),
        ("governance", "control"),
    ],
    ids=" ".join,
)
def test_every_reading_command_writes_every_mode(claimed: Tally, mode: str, words: Words) -> None:
    claimed.must("-o", mode, *words)
    assert claimed.out or "nothing to show" in claimed.err or mode in ("ndjson", "csv")
    if mode == "json":
        json.loads(claimed.out)


def test_what_will_be_signed_is_said_in_words(minted: Tally, tmp_path: Path) -> None:
    minted.must(*RESERVE, "--dry-run")
    assert (
        f"voucher.reserve: firm-a sets 1,000.00 yuan of voucher {FIRST} aside for guian-hub"
    ) in minted.err
    file = str(tmp_path / "x.tx")
    minted.must(*RESERVE, "--save", file)
    minted.must("tx", "decode", file)
    assert "says" in minted.out
    assert "sets 1,000.00 yuan" in minted.out
    assert "amount 100000" not in minted.out


def test_a_refusal_shows_people_dates(claimed: Tally) -> None:
    assert claimed("claim", "decide", CLAIM, "--all", "--tag-checked", *REVIEW) == 4
    assert "the holder may dispute until 2026-02-07" in claimed.err


def test_a_voucher_cannot_be_held_by_a_stranger(minted: Tally) -> None:
    enrol(minted, "firm-b")
    words = (*RESERVE[: RESERVE.index("--key")], "--holder", "firm-b", "--key", "firm-b/owner")
    refused(minted, "voucher_not_held", *words)
